//! What fronts count.

use super::log::Log;
use postern_dataplane::policy::{DeniedBy, Ruling};
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::sync::watch;

/// A number that only goes up, and is read while it does.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Counts one.
    pub fn count(&self) {
        self.add(1);
    }

    /// Counts so many.
    pub fn add(&self, count: u64) {
        // Numbers for people: they order nothing.
        self.0.fetch_add(count, Ordering::Relaxed);
    }

    /// Returns the number.
    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// What became of the connections of a listener before it was known whom they call.
#[derive(Debug, Default)]
pub struct ListenerCounters {
    /// Taken from the kernel.
    pub accepted: Counter,
    /// Reset at once, because there were too many.
    pub over_limit: Counter,
    /// Ended because others, who held fewer, wanted the place.
    pub evicted: Counter,
    /// From or to an address that the dataplane never makes.
    pub bad_identity: Counter,
    /// Closed because the client did not say in time whom it calls.
    pub timed_out: Counter,
    /// Refused because what the client says is too long.
    pub too_large: Counter,
    /// Refused because what the client says cannot be read.
    pub malformed: Counter,
    /// Closed by the client before it said whom it calls.
    pub hung_up: Counter,
    /// For a name, or an address, that no resource here has.
    pub unknown_name: Counter,
}

/// What a resource's front has done, across all its ports and all policies.
#[derive(Debug, Default)]
pub struct Desk {
    /// Let through.
    pub allowed: Counter,
    /// Of those: an endpoint policy would have refused, but only audits.
    pub audited: Counter,
    /// Refused by a rule or the default of the network rules.
    pub denied_network_rules: Counter,
    /// Refused although a rule lists the address, because the resource does not get to see it.
    pub denied_hidden_source: Counter,
    /// Refused because the resource takes no public call.
    pub denied_public_access: Counter,
    /// Refused by the endpoint policies of the subnet.
    pub denied_endpoint_policy: Counter,
    /// Let through, but the backend did not answer.
    pub backend_failed: Counter,
    /// Refused, but the client did not stay to hear it.
    pub unheard: Counter,
    /// Ended because nothing had passed for too long.
    pub idle: Counter,
    /// Bytes from clients to the backend.
    pub to_backend: Counter,
    /// Bytes from the backend to clients.
    pub to_client: Counter,
    /// The last calls.
    pub log: Log,
    /// Turns true when the resource has left the policy, which ends its connections.
    pub gone: watch::Sender<bool>,
}

impl Desk {
    /// Counts a decision.
    pub fn count(&self, ruling: Ruling) {
        match ruling {
            Ruling::Allow { audited, .. } => {
                self.allowed.count();
                if audited {
                    self.audited.count();
                }
            }
            Ruling::Deny(by) => match by {
                DeniedBy::NetworkRules { .. } | DeniedBy::NoSuchResource => {
                    self.denied_network_rules.count();
                }
                DeniedBy::HiddenSource { .. } => self.denied_hidden_source.count(),
                DeniedBy::PublicAccessDisabled => self.denied_public_access.count(),
                DeniedBy::EndpointPolicy => self.denied_endpoint_policy.count(),
            },
        }
    }
}
