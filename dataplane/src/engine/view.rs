//! Copies of flows for people and programs that ask.

use super::Engine;
use crate::flow::{Admission, Pair, RouteKind, Side, SourceKind, Tunnel, Why};
use crate::policy::{Epoch, PortId, RuleId, ServiceId};
use crate::time::Now;
use std::net::SocketAddrV4;

/// What there is to say of a flow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FlowView {
    /// IANA protocol number.
    pub protocol: u8,
    /// The state's name.
    pub state: &'static str,
    /// The port that the initiator's packets come in by.
    pub ingress: PortId,
    /// The port that they leave by.
    pub egress: PortId,
    /// Source as the initiator sends it; the port is the identifier for ICMP echo.
    pub source: SocketAddrV4,
    /// Destination as the initiator sends it.
    pub destination: SocketAddrV4,
    /// Source as the responder sees it.
    pub translated_source: SocketAddrV4,
    /// Destination as the responder sees it.
    pub translated_destination: SocketAddrV4,
    /// The kind of route.
    pub route: RouteKind,
    /// The service, if an endpoint leads to it.
    pub service: Option<ServiceId>,
    /// The kind of source.
    pub source_kind: SourceKind,
    /// The rules that allowed it: the sender's NIC and subnet, the receiver's subnet and NIC.
    pub rules: [Option<RuleId>; 4],
    /// How a resource of a service let it in, where that was asked.
    pub admission: Option<Admission>,
    /// The ends as the responder sees them, if it gets them over IPv6 with an identity.
    pub tunnel: Option<Tunnel>,
    /// The policy by which it was last judged.
    pub epoch: Epoch,
    /// Milliseconds since it was opened.
    pub age_ms: u64,
    /// Milliseconds since its last packet.
    pub idle_ms: u64,
    /// Frames from the initiator and from the responder.
    pub frames: [u64; 2],
    /// Their bytes.
    pub bytes: [u64; 2],
}

fn millis(later: Now, earlier: Now) -> u64 {
    later.as_millis().saturating_sub(earlier.as_millis())
}

impl FlowView {
    fn of(pair: &Pair, why: &Why, opened: Now, now: Now) -> Self {
        let (sent, reply) = (pair.key(Side::Initiator), pair.key(Side::Responder));
        Self {
            protocol: sent.protocol(),
            state: pair.state_name(),
            ingress: sent.port(),
            egress: why.egress,
            source: SocketAddrV4::new(sent.source(), sent.source_port()),
            destination: SocketAddrV4::new(sent.destination(), sent.destination_port()),
            translated_source: SocketAddrV4::new(reply.destination(), reply.destination_port()),
            translated_destination: SocketAddrV4::new(reply.source(), reply.source_port()),
            route: why.route,
            service: why.service,
            source_kind: why.source,
            rules: why.rules,
            admission: why.admission,
            tunnel: why.tunnel,
            epoch: pair.epoch,
            age_ms: millis(now, opened),
            idle_ms: millis(now, pair.seen),
            frames: pair.frames,
            bytes: pair.bytes,
        }
    }
}

impl Engine {
    /// Returns copies of at most `limit` flows, in no particular order, only those of one port if
    /// one is given. Ages are as of the last [`Self::advance`].
    #[must_use]
    pub fn flows(&self, port: Option<PortId>, limit: usize) -> Vec<FlowView> {
        self.flows
            .iter()
            .filter(|(_, pair)| {
                port.is_none_or(|port| pair.keys().iter().any(|key| key.port() == port))
            })
            .take(limit)
            .filter_map(|(id, pair)| {
                let (why, opened) = (self.flows.why(id)?, self.flows.opened(id)?);
                Some(FlowView::of(pair, &why, opened, self.advanced))
            })
            .collect()
    }
}
