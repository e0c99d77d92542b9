//! Ports: attachments, and what the policy knows of each.

use super::{AddrSet, Nsg, RouteTable, ServiceId, SubnetIndex, VnetIndex};
use crate::identity::ServicePrefix;
use core::time::Duration;
use std::net::Ipv4Addr;
use std::sync::Arc;

/// The number of a port: given when it is attached, kept until it is detached. `control` does not
/// give it again while flows of the old port may live.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PortId(pub u16);

/// An attachment: one TUN device in one namespace.
#[derive(Clone, Debug)]
pub struct Port {
    /// The largest IP packet, in bytes, that the device takes (segments of a super-frame count
    /// one by one).
    pub mtu: u16,
    /// What is behind it.
    pub kind: PortKind,
}

/// What is behind a port.
#[derive(Clone, Debug)]
pub enum PortKind {
    /// A workload's NIC in a subnet.
    Nic(Nic),
    /// The public side.
    Internet,
    /// The on-premises side of a virtual network.
    Gateway(Gateway),
    /// Where service addresses live.
    Service,
    /// Where the platform's own addresses live, which every NIC reaches whatever its routes.
    Platform,
}

/// The gateway of a virtual network.
#[derive(Clone, Debug)]
pub struct Gateway {
    /// The network.
    pub vnet: VnetIndex,
    /// Routes of what comes in from the on-premises side: the network's ranges and the routes that
    /// users gave the gateway's subnet.
    pub routes: Arc<RouteTable>,
    /// What is behind it, without what its network and the peers of that have: sources that its
    /// packets may bear.
    pub behind: Arc<AddrSet>,
}

/// A workload's NIC.
#[derive(Clone, Debug)]
pub struct Nic {
    /// The NIC's private addresses, the primary one first; never empty.
    pub addresses: Vec<Ipv4Addr>,
    /// Whether the NIC may send packets whose source is not its own.
    pub ip_forwarding: bool,
    /// The subnet that the NIC is in.
    pub subnet: SubnetIndex,
    /// The NIC's own NSG; none allows everything.
    pub nsg: Option<Arc<Nsg>>,
    /// The source that Internet-bound packets of this NIC get.
    pub public: PublicSource,
    /// The public address that belongs to this NIC alone, if it has one: packets to it come in
    /// even where `public` is a shared source.
    pub instance_address: Option<Ipv4Addr>,
}

/// How a NIC's packets get a public source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PublicSource {
    /// They do not: a private subnet.
    None,
    /// One-to-one: this address, ports unchanged.
    OneToOne(Ipv4Addr),
    /// An address and a leased port of this shared source.
    Shared(SourceId),
}

/// An index into [`super::Snapshot::sources`], valid within one snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SourceId(pub u16);

/// Public addresses that many NICs share, port by port.
#[derive(Clone, Debug, Default)]
pub struct SharedSource {
    /// The addresses; never empty.
    pub addresses: Vec<Ipv4Addr>,
    /// Whether ICMP echo is translated; if not, it is dropped.
    pub icmp: bool,
    /// Whether fragments are translated; if not, they are dropped.
    pub fragments: bool,
    /// How long an established TCP flow may be idle; none takes [`super::Timers::tcp_idle`]. A flow
    /// keeps what it was opened with.
    pub tcp_idle: Option<Duration>,
    /// Whether a TCP segment that belongs to no flow is answered with a reset, from either side: so
    /// a NAT gateway tells both ends that a connection which went idle is over. Others are silent.
    pub resets_unknown: bool,
    /// The most flows of one address to one destination: address, port and protocol. A flow whose
    /// port still rests counts. None leaves it to the ports that an address has.
    pub max_flows_per_destination: Option<u32>,
    /// The most of them that one guest has: what keeps a guest from using up a destination for all who
    /// share the address. Ports at rest count. None lets one have all.
    pub max_flows_per_guest: Option<u32>,
    /// The most flows of all addresses together, those that rest included. Flows beyond a limit
    /// that a new policy lowers live on; there are no new ones until enough have ended.
    pub max_flows: Option<u32>,
}

/// Where a service address lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServiceAddress {
    /// The port of kind service.
    pub port: PortId,
    /// The service that the address is of.
    pub service: ServiceId,
    /// How flows of an endpoint arrive there; all others are native.
    pub delivery: Delivery,
}

/// How a service gets the packets of an endpoint's flows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Delivery {
    /// As IPv4, with the sender's private address.
    #[default]
    Native,
    /// As IPv6, with the identity of the sender's subnet in the source address and this prefix in
    /// the destination (the carrier `st6`).
    Tunnel(ServicePrefix),
}
