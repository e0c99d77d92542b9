//! Whether a resource of a service lets a flow in, where no front stands before it.
//!
//! It is asked once the flow has its source, because network rules look at that, and only of TCP and
//! UDP: an echo asks nothing of the service. The connection is refused here and now, which no
//! service does: it completes the handshake and then refuses in its own words. That is what a front
//! is for; without one, a reset is what clients understand.

use super::evaluate::{Denied, Path};
use super::{Context, Dropped, Engine, make};
use crate::flow::{Admission, RouteKind};
use crate::policy::{Caller, DeniedBy, Direction, PortId, Refusal, ResourceId, Ruling, Snapshot};
use crate::stats::DropReason;
use crate::time::Now;
use crate::wire::{TCP, Transport, UDP, icmp};
use std::collections::VecDeque;
use std::net::{Ipv4Addr, SocketAddrV4};

/// How many decisions are remembered.
const MOST_REMEMBERED: usize = 1024;

/// A decision on a flow to a resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AccessEvent {
    /// When it was taken.
    pub at: Now,
    /// The resource.
    pub resource: ResourceId,
    /// Who asked.
    pub caller: Caller,
    /// Where to.
    pub destination: SocketAddrV4,
    /// IANA protocol number.
    pub protocol: u8,
    /// What was decided.
    pub ruling: Ruling,
}

/// The newest decisions, oldest first.
#[derive(Debug, Default)]
pub(super) struct AccessLog(VecDeque<AccessEvent>);

impl AccessLog {
    fn note(&mut self, event: AccessEvent) {
        if self.0.len() == MOST_REMEMBERED {
            self.0.pop_front();
        }
        self.0.push_back(event);
    }
}

/// Returns the newest decisions of several engines that share the work, oldest first: as many as one
/// engine would remember. What each remembers is in the order of time.
#[must_use]
pub fn merged_access(logs: impl IntoIterator<Item = Vec<AccessEvent>>) -> Vec<AccessEvent> {
    let mut events: Vec<AccessEvent> = logs.into_iter().flatten().collect();
    events.sort_by_key(|event| event.at);
    let older = events.len().saturating_sub(MOST_REMEMBERED);
    events.split_off(older)
}

/// Returns what the access rules say of a flow with this source, and of whom; nothing where they
/// have no say.
pub(super) fn ask(
    snapshot: &Snapshot,
    ingress: PortId,
    path: &Path,
    source: Ipv4Addr,
    protocol: u8,
) -> Option<(Caller, ResourceId, Ruling)> {
    if !matches!(protocol, TCP | UDP) {
        return None;
    }
    let caller = match path.route {
        RouteKind::ServiceEndpoint => {
            let identity = snapshot.subnet(snapshot.nic(ingress)?.subnet)?.identity;
            Caller::Subnet {
                vnet: identity.vnet,
                subnet: identity.subnet,
                address: source,
            }
        }
        RouteKind::Internet => Caller::Public(source),
        _ => return None,
    };
    let (resource, ruling) = snapshot.access.decide_at(&caller, path.destination)?;
    Some((caller, resource, ruling))
}

/// Returns why a flow that a resource refused may not begin.
fn denied(by: DeniedBy, port: PortId, direction: Direction) -> Denied {
    Denied {
        reason: match by {
            DeniedBy::EndpointPolicy => DropReason::EndpointPolicyDenied,
            DeniedBy::NoSuchResource
            | DeniedBy::PublicAccessDisabled
            | DeniedBy::NetworkRules { .. }
            | DeniedBy::HiddenSource { .. } => DropReason::ServiceDenied,
        },
        port,
        direction,
        rule: None,
    }
}

impl Engine {
    /// Asks whether the resource at the end of `path` lets in a flow whose source is `source`, and
    /// answers the sender if it does not.
    pub(super) fn admit(
        &mut self,
        context: &Context<'_, '_>,
        path: &Path,
        source: Ipv4Addr,
    ) -> Result<Option<Admission>, Dropped> {
        let headers = &context.headers;
        let asked = ask(
            &self.snapshot,
            context.ingress,
            path,
            source,
            headers.protocol,
        );
        let Some((caller, resource, ruling)) = asked else {
            return Ok(None);
        };
        self.counters.decided(resource, ruling);
        self.access_log.note(AccessEvent {
            at: context.now,
            resource,
            caller,
            destination: SocketAddrV4::new(path.destination, headers.destination_port),
            protocol: headers.protocol,
            ruling,
        });
        match ruling {
            Ruling::Allow { rule, audited } => Ok(Some(Admission {
                resource,
                rule,
                audited,
            })),
            Ruling::Deny(by) => {
                self.answer_refused(context, resource);
                Err(denied(by, context.ingress, context.direction).into())
            }
        }
    }

    /// Tells the sender that the resource refused, in the way that it is set to.
    fn answer_refused(&mut self, context: &Context<'_, '_>, resource: ResourceId) {
        let known = self.snapshot.access.resource(resource);
        let refusal = known.map_or(Refusal::Silent, |known| known.refusal);
        let packet = context.frame.packet();
        let answer = match (refusal, &context.headers.transport) {
            (Refusal::Silent, _) => None,
            (Refusal::Reset, Transport::Tcp(segment)) => make::reset_for(&context.headers, segment),
            (Refusal::Reset, _) => make::unreachable(packet, icmp::PORT_UNREACHABLE),
            (Refusal::Prohibited, _) => make::unreachable(packet, icmp::PROHIBITED),
        };
        if let Some(answer) = answer {
            self.emit(context.ingress, answer);
        }
    }

    /// Returns the newest decisions on resources without a front, oldest first; only those on one
    /// resource if one is given.
    pub fn access_log(&self, resource: Option<ResourceId>) -> impl Iterator<Item = &AccessEvent> {
        let wanted =
            move |event: &&AccessEvent| resource.is_none_or(|resource| event.resource == resource);
        self.access_log.0.iter().filter(wanted)
    }

    /// Returns the time that [`AccessEvent::at`] is held against: that of the last
    /// [`Self::advance`].
    #[must_use]
    pub fn now(&self) -> Now {
        self.advanced
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(millis: u64, port: u16) -> AccessEvent {
        AccessEvent {
            at: Now::from_millis(millis),
            resource: ResourceId(1),
            caller: Caller::Public(Ipv4Addr::new(8, 8, 8, 8)),
            destination: SocketAddrV4::new(Ipv4Addr::new(52, 239, 0, 10), port),
            protocol: TCP,
            ruling: Ruling::Deny(DeniedBy::PublicAccessDisabled),
        }
    }

    #[test]
    fn merged_logs_are_in_the_order_of_time_and_no_longer_than_one() {
        let one = vec![event(1, 1), event(4, 2), event(4, 3)];
        let other = vec![event(2, 4), event(4, 5), event(9, 6)];
        let merged = merged_access([one, other]);
        let ports: Vec<u16> = merged
            .iter()
            .map(|event| event.destination.port())
            .collect();
        assert_eq!(ports, [1, 4, 2, 3, 5, 6]);

        let many = |first: u64| (0..700).map(|n| event(first + 2 * n, 0)).collect();
        let merged = merged_access([many(0), many(1)]);
        let times: Vec<u64> = merged.iter().map(|event| event.at.as_millis()).collect();
        let newest: Vec<u64> = (1400 - MOST_REMEMBERED as u64..1400).collect();
        assert_eq!(times, newest);
    }
}
