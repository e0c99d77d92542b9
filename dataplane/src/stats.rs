//! Counters: what came, what went, and why the rest did not.

use crate::policy::{DeniedBy, Direction, PortId, ResourceId, Ruling};
use std::collections::HashMap;

macro_rules! drop_reasons {
    ($($(#[$doc:meta])* $variant:ident => $name:literal,)*) => {
        /// Why a packet was not forwarded. Every packet is either forwarded or counted under one.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum DropReason {
            $($(#[$doc])* $variant,)*
        }

        impl DropReason {
            /// Every reason, in the order of the counters.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// Returns the name under which the reason is counted and printed.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }
        }
    };
}

drop_reasons! {
    /// The frame is shorter than its headers say, or a length field contradicts another.
    Malformed => "malformed",
    /// The `virtio_net_hdr` asks for something that the packet is not.
    BadOffload => "bad_offload",
    /// IPv6 that is neither a service's answer nor a forged identity: not carried.
    Ipv6 => "ipv6",
    /// IPv6 from anything but a service, with an address that would bear an identity.
    ForgedIdentity => "forged_identity",
    /// IPv6 from a service, with an address that bears no right identity where it has to.
    BadIdentity => "bad_identity",
    /// A tunnelled packet from a host that is no listed peer.
    UntrustedPeer => "untrusted_peer",
    /// A tunnelled packet whose outer headers are not those of its carrier.
    BadEncap => "bad_encap",
    /// A tunnelled packet with another key than the configured one.
    BadKey => "bad_key",
    /// IPv6 from a service that belongs to no flow.
    StNoFlow => "st_no_flow",
    /// IPv6 from a service between addresses other than those of its flow.
    StAddrMismatch => "st_addr_mismatch",
    /// A fragment of a packet that a service would get, or sent, over IPv6.
    StFragment => "st_fragment",
    /// Neither IPv4 nor IPv6.
    NotIp => "not_ip",
    /// A protocol that is not carried: anything but TCP, UDP, ICMP echo and errors, ESP and AH.
    ProtocolUnsupported => "protocol_unsupported",
    /// A packet within a packet, as it is (IP-in-IP) or in GRE.
    Encapsulated => "encapsulated",
    /// UDP port 65330 of a NIC, which belongs to the platform's host.
    ReservedPort => "reserved_port",
    /// To multicast, broadcast, loopback or "this network".
    Multicast => "multicast",
    /// An ICMP type that is neither echo nor a translatable error.
    IcmpUnsupported => "icmp_unsupported",
    /// The port is not part of the policy.
    NoPort => "no_port",
    /// The source is not the NIC's own and IP forwarding is off, or where it goes takes no source
    /// but a NIC's own; or it is a service's, the platform's or no host's, and comes from somebody
    /// else.
    SourceNotOwned => "source_not_owned",
    /// From the public side or a gateway, with a source that is ours, that is not behind that gateway,
    /// or that no host can have.
    SourceNotOutside => "source_not_outside",
    /// From an address to the same one, or from a NIC to its own public address ("LAND").
    Land => "land",
    /// Denied by an NSG on the way out of the sender.
    NsgDeniedOut => "nsg_denied_out",
    /// Denied by an NSG on the way in to the receiver.
    NsgDeniedIn => "nsg_denied_in",
    /// The route's next hop is `None`, or no route covers the destination.
    RouteNone => "route_none",
    /// No NIC that forwards has the address of the route's appliance.
    NoAppliance => "no_appliance",
    /// The route leads to a gateway, and the virtual network has none.
    NoGateway => "no_gateway",
    /// The route leads back to the port that the packet came from.
    RouteLoop => "route_loop",
    /// A peered network does not take packets that were only forwarded here.
    ForwardedNotAllowed => "forwarded_not_allowed",
    /// From the public side, to a NIC whose answers would not go back to the public side.
    ReturnElsewhere => "return_elsewhere",
    /// No NIC in the virtual network has the destination address.
    NoSuchNic => "no_such_nic",
    /// An endpoint covers the destination, but no service lives there.
    NoSuchService => "no_such_service",
    /// Refused by the network rules of a service's resource.
    ServiceDenied => "service_denied",
    /// Refused by the endpoint policies of the sender's subnet.
    EndpointPolicyDenied => "endpoint_policy_denied",
    /// The NIC's subnet has no public source.
    NoPublicSource => "no_public_source",
    /// The public source does not translate this kind of packet: a shared one ICMP, fragments, ESP
    /// and AH, and any source AH, which covers the addresses.
    NotTranslatable => "not_translatable",
    /// Every port of the shared public source is taken for this destination.
    SnatExhausted => "snat_exhausted",
    /// Another flow has the reply tuple already, and no other source port could be found where one
    /// may be chosen.
    ReplyTupleTaken => "reply_tuple_taken",
    /// The NIC has as many flows of this direction as it may have.
    NicFlowLimit => "nic_flow_limit",
    /// The flow table is full.
    FlowTableFull => "flow_table_full",
    /// A TCP segment that belongs to no flow and is not a SYN.
    TcpNoFlow => "tcp_no_flow",
    /// From the public side or a service, to an address or port that no flow of ours has.
    NoFlow => "no_flow",
    /// A service may only answer, never open a flow.
    ServiceInitiated => "service_initiated",
    /// The platform's addresses may only answer, never open a flow.
    PlatformInitiated => "platform_initiated",
    /// A late packet of a flow that the policy closed.
    FlowClosed => "flow_closed",
    /// An ICMP error that quotes no flow of ours, or a TCP segment that is not under way in it.
    IcmpNoFlow => "icmp_no_flow",
    /// An ICMP error whose checksum, or that of the header it quotes, is wrong or cannot be checked.
    IcmpChecksum => "icmp_checksum",
    /// A fragment whose first fragment was not seen.
    FragmentStray => "fragment_stray",
    /// A first fragment too short to hold the transport header (RFC 1858), or a later one of TCP that
    /// begins inside of that (RFC 3128).
    FragmentTiny => "fragment_tiny",
    /// A fragment that has passed already, overlaps one that has, or lies behind the datagram's end.
    FragmentOverlap => "fragment_overlap",
    /// With an IPv4 option that names the way to take: loose or strict source route.
    SourceRoute => "source_route",
    /// With an IPv4 option that records addresses (record route, timestamp, traceroute) or that nobody knows.
    IpOption => "ip_option",
    /// Larger than the output device takes, and not to be cut: it forbids fragments, of which its
    /// sender is told, or it is a super-frame.
    TooBig => "too_big",
    /// Would open a flow from outside, by a device that has more of these waiting than the worker takes.
    TooManyOpenings => "too_many_openings",
    /// The worker that owns the flow has more packets waiting than it takes.
    HandOverFull => "hand_over_full",
    /// The output device is gone or did not take the frame.
    OutputFailed => "output_failed",
}

/// How many reasons there are.
pub const REASONS: usize = DropReason::ALL.len();

/// Counters of one port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PortCounters {
    /// Frames that came from the port's device; a super-frame counts once.
    pub received_frames: u64,
    /// Their bytes, IP header included.
    pub received_bytes: u64,
    /// Frames forwarded to the port's device.
    pub sent_frames: u64,
    /// Their bytes, IP header included.
    pub sent_bytes: u64,
    /// Frames that Postern made itself and sent to the port: resets and ICMP errors.
    pub made_frames: u64,
    /// Flows that the port opened and that gave way to others ([`Counters::flows_evicted`]).
    pub flows_evicted: u64,
    drops: [[u64; REASONS]; 2],
}

impl Default for PortCounters {
    fn default() -> Self {
        Self {
            received_frames: 0,
            received_bytes: 0,
            sent_frames: 0,
            sent_bytes: 0,
            made_frames: 0,
            flows_evicted: 0,
            drops: [[0; REASONS]; 2],
        }
    }
}

impl PortCounters {
    /// Returns how many frames were dropped at this port for `reason`.
    #[must_use]
    pub fn dropped(&self, direction: Direction, reason: DropReason) -> u64 {
        let [inbound, outbound] = &self.drops;
        let row = match direction {
            Direction::Inbound => inbound,
            Direction::Outbound => outbound,
        };
        row.get(reason as usize).copied().unwrap_or(0)
    }

    /// Returns every drop counter that is not zero.
    pub fn drops(&self) -> impl Iterator<Item = (Direction, DropReason, u64)> {
        [Direction::Inbound, Direction::Outbound]
            .into_iter()
            .flat_map(move |direction| {
                DropReason::ALL
                    .iter()
                    .map(move |&reason| (direction, reason, self.dropped(direction, reason)))
                    .filter(|&(_, _, count)| count != 0)
            })
    }

    /// Adds what another engine counted of the same port.
    fn add(&mut self, other: &Self) {
        self.received_frames += other.received_frames;
        self.received_bytes += other.received_bytes;
        self.sent_frames += other.sent_frames;
        self.sent_bytes += other.sent_bytes;
        self.made_frames += other.made_frames;
        self.flows_evicted += other.flows_evicted;
        let counts = self.drops.iter_mut().flatten();
        for (count, more) in counts.zip(other.drops.iter().flatten()) {
            *count += more;
        }
    }

    fn count_drop(&mut self, direction: Direction, reason: DropReason) {
        let [inbound, outbound] = &mut self.drops;
        let row = match direction {
            Direction::Inbound => inbound,
            Direction::Outbound => outbound,
        };
        if let Some(counter) = row.get_mut(reason as usize) {
            *counter += 1;
        }
    }
}

/// Decisions on flows to one resource of a service.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ResourceCounters {
    /// Flows that were let in.
    pub allowed: u64,
    /// Those of them that an endpoint policy would have refused, but only audits.
    pub audited: u64,
    /// Flows that the resource's network rules refused.
    pub denied_by_rules: u64,
    /// Flows that an endpoint policy refused.
    pub denied_by_policy: u64,
}

impl ResourceCounters {
    fn add(&mut self, other: Self) {
        self.allowed += other.allowed;
        self.audited += other.audited;
        self.denied_by_rules += other.denied_by_rules;
        self.denied_by_policy += other.denied_by_policy;
    }
}

/// Counters of the whole engine.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    ports: Vec<PortCounters>,
    resources: HashMap<ResourceId, ResourceCounters>,
    /// Flow pairs that were opened.
    pub flows_opened: u64,
    /// Flow pairs that ended by themselves: closed by both sides, reset or idle.
    pub flows_ended: u64,
    /// Flow pairs that a policy change closed.
    pub flows_closed: u64,
    /// Flow pairs that gave way to others in a full table, or at a NIC that has as many as it may have:
    /// half-open and unanswered ones, and answered ones beyond their port's share.
    pub flows_evicted: u64,
}

impl Counters {
    /// Returns the counters of a port.
    #[must_use]
    pub fn port(&self, port: PortId) -> Option<&PortCounters> {
        self.ports.get(usize::from(port.0))
    }

    /// Returns the decisions on flows to a resource.
    #[must_use]
    pub fn resource(&self, resource: ResourceId) -> ResourceCounters {
        self.resources.get(&resource).copied().unwrap_or_default()
    }

    /// Adds what another engine counted of the same policy: several that share the work are summed
    /// when somebody reads them.
    pub fn add(&mut self, other: &Self) {
        let Self {
            ports,
            resources,
            flows_opened,
            flows_ended,
            flows_closed,
            flows_evicted,
        } = other;
        if let Some(last) = ports.len().checked_sub(1)
            && last >= self.ports.len()
        {
            self.make_room(last);
        }
        for (port, more) in self.ports.iter_mut().zip(ports) {
            port.add(more);
        }
        for (&resource, more) in resources {
            self.resources.entry(resource).or_default().add(*more);
        }
        self.flows_opened += flows_opened;
        self.flows_ended += flows_ended;
        self.flows_closed += flows_closed;
        self.flows_evicted += flows_evicted;
    }

    /// Counts a flow that this port opened and that gave way.
    pub(crate) fn flow_evicted(&mut self, port: PortId) {
        self.flows_evicted += 1;
        if let Some(counters) = self.port_mut(port) {
            counters.flows_evicted += 1;
        }
    }

    /// Counts a decision.
    pub(crate) fn decided(&mut self, resource: ResourceId, ruling: Ruling) {
        let counters = self.resources.entry(resource).or_default();
        match ruling {
            Ruling::Allow { audited, .. } => {
                counters.allowed += 1;
                counters.audited += u64::from(audited);
            }
            Ruling::Deny(DeniedBy::EndpointPolicy) => counters.denied_by_policy += 1,
            Ruling::Deny(_) => counters.denied_by_rules += 1,
        }
    }

    /// Forgets the decisions on flows to resources that are no more.
    pub(crate) fn retain_resources(&mut self, is_there: impl Fn(ResourceId) -> bool) {
        self.resources.retain(|&resource, _| is_there(resource));
    }

    /// Returns the counters of a port to change them, made at first use.
    #[inline]
    pub(crate) fn port_mut(&mut self, port: PortId) -> Option<&mut PortCounters> {
        let at = usize::from(port.0);
        if at >= self.ports.len() {
            self.make_room(at);
        }
        self.ports.get_mut(at)
    }

    #[cold]
    fn make_room(&mut self, at: usize) {
        self.ports.resize_with(at + 1, PortCounters::default);
    }

    /// Sets the counters of a port back to zero, for a port that takes over a number.
    pub(crate) fn reset_port(&mut self, port: PortId) {
        if let Some(counters) = self.port_mut(port) {
            *counters = PortCounters::default();
        }
    }

    pub(crate) fn drop(&mut self, port: PortId, direction: Direction, reason: DropReason) {
        if let Some(counters) = self.port_mut(port) {
            counters.count_drop(direction, reason);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counted(port: u16, resource: u32, times: u64) -> Counters {
        let (port, resource) = (PortId(port), ResourceId(resource));
        let mut counters = Counters::default();
        for _ in 0..times {
            counters.drop(port, Direction::Outbound, DropReason::TooBig);
            let ports = counters.port_mut(port).unwrap();
            ports.received_frames += 1;
            ports.received_bytes += 2;
            ports.sent_frames += 3;
            ports.sent_bytes += 4;
            ports.made_frames += 5;
            ports.flows_evicted += 6;
            for by in [DeniedBy::EndpointPolicy, DeniedBy::PublicAccessDisabled] {
                counters.decided(resource, Ruling::Deny(by));
            }
            let (rule, audited) = (None, true);
            counters.decided(resource, Ruling::Allow { rule, audited });
        }
        counters.flows_opened = times;
        counters.flows_ended = times * 10;
        counters.flows_closed = times * 100;
        counters.flows_evicted = times * 1000;
        counters
    }

    #[test]
    fn counters_of_engines_add_up_in_every_number() {
        let mut sum = counted(1, 7, 2);
        sum.add(&counted(1, 7, 3));
        assert_eq!(sum, counted(1, 7, 5));
        sum.add(&Counters::default());
        assert_eq!(sum, counted(1, 7, 5), "nothing added");
        // Ports and resources that only the other one has.
        let mut sum = counted(1, 7, 2);
        sum.add(&counted(9, 8, 3));
        assert_eq!(sum.port(PortId(1)), counted(1, 7, 2).port(PortId(1)));
        assert_eq!(sum.port(PortId(9)), counted(9, 8, 3).port(PortId(9)));
        assert_eq!(
            sum.resource(ResourceId(8)),
            counted(9, 8, 3).resource(ResourceId(8))
        );
        assert_eq!(sum.flows_opened, 5);
    }
}
