//! What fronts tell: their counters, and the last calls of a resource.

use serde::{Deserialize, Serialize};

/// The counters of every front.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FrontsView {
    /// By listener: what became of connections before it was known whom they call.
    pub listeners: Vec<ListenerView>,
    /// By resource: what became of calls.
    pub resources: Vec<DeskView>,
}

/// The counters of a listener.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ListenerView {
    /// Its namespace.
    pub namespace: String,
    /// Its port.
    pub port: u16,
    /// Connections taken.
    pub accepted: u64,
    /// Reset because there were too many.
    pub over_limit: u64,
    /// Ended because others, who held fewer, wanted the place.
    #[serde(default)]
    pub evicted: u64,
    /// Reset because an address is none that the dataplane makes.
    pub bad_identity: u64,
    /// Closed because the client did not say in time whom it calls.
    pub timed_out: u64,
    /// Refused because what the client says is too long.
    pub too_large: u64,
    /// Refused because what the client says cannot be read.
    pub malformed: u64,
    /// Closed by the client before it said whom it calls.
    pub hung_up: u64,
    /// For a name or address of no resource.
    pub unknown_name: u64,
}

/// The counters of a resource.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DeskView {
    /// The resource.
    pub name: String,
    /// Calls let through.
    pub allowed: u64,
    /// Of those: an endpoint policy would have refused, but only audits.
    pub audited: u64,
    /// Calls refused, by reason.
    pub denied: DeniedView,
    /// Let through, but the backend did not answer.
    pub backend_failed: u64,
    /// Refused, but the client did not stay to hear it.
    pub unheard: u64,
    /// Ended because nothing had passed for too long.
    #[serde(default)]
    pub idle: u64,
    /// Bytes from clients to the backend.
    pub to_backend_bytes: u64,
    /// Bytes from the backend to clients.
    pub to_client_bytes: u64,
}

/// Refused calls by reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DeniedView {
    /// A rule, or the default action.
    pub network_rules: u64,
    /// A rule lists the address, but the resource does not get to see it.
    pub hidden_source: u64,
    /// The resource takes no public call.
    pub public_network_access: u64,
    /// An endpoint policy of the caller's subnet.
    pub endpoint_policy: u64,
}

impl DeniedView {
    /// Returns how many were refused in all.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.network_rules
            .saturating_add(self.hidden_source)
            .saturating_add(self.public_network_access)
            .saturating_add(self.endpoint_policy)
    }
}

/// A call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CallView {
    /// When it was decided, in UTC.
    pub time: String,
    /// `Allow` or `Deny`.
    pub verdict: String,
    /// Why, in one word.
    pub reason: String,
    /// The rule that decided.
    pub rule: Option<String>,
    /// Who called, as `vnet/subnet address` or a public address.
    pub caller: String,
    /// The caller's own address and port.
    pub caller_ip_address: String,
    /// The address that the connection came from, identity and all.
    pub raw_address: String,
    /// The host that was asked for.
    pub host: Option<String>,
    /// The port that was called.
    pub port: u16,
}
