//! A rule, and the tuple that it is held against.

use super::{AddrSet, PortSet};
use crate::wire::{TCP, UDP};
use std::net::Ipv4Addr;
use std::sync::Arc;

/// The number of a rule; `control` knows its NSG and name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RuleId(pub u32);

/// Which way a packet goes, seen from the NIC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Direction {
    /// Towards the NIC.
    Inbound,
    /// From the NIC.
    Outbound,
}

/// What a rule decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// The flow may begin.
    Allow,
    /// It may not.
    Deny,
}

/// The protocols that a rule matches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// Every protocol.
    Any,
    /// One protocol, by its IANA number.
    Number(u8),
}

/// One rule. Ports are compared for TCP and UDP only (reference section 4.1).
#[derive(Clone, Debug)]
pub struct Rule {
    /// The rule's number.
    pub id: RuleId,
    /// Lower is evaluated first.
    pub priority: u16,
    /// Protocols.
    pub protocol: Protocol,
    /// Source addresses.
    pub source: Arc<AddrSet>,
    /// Source ports.
    pub source_ports: PortSet,
    /// Destination addresses.
    pub destination: Arc<AddrSet>,
    /// Destination ports.
    pub destination_ports: PortSet,
    /// What a match decides.
    pub access: Access,
}

/// What an NSG compares: the untranslated tuple. Ports are zero for protocols that have none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tuple {
    /// The IANA protocol number.
    pub protocol: u8,
    /// Source address.
    pub source: Ipv4Addr,
    /// Source port.
    pub source_port: u16,
    /// Destination address.
    pub destination: Ipv4Addr,
    /// Destination port.
    pub destination_port: u16,
}

impl Tuple {
    /// Returns whether the protocol is one whose ports are compared.
    pub(super) fn has_ports(&self) -> bool {
        matches!(self.protocol, TCP | UDP)
    }
}

impl Rule {
    /// Returns whether the rule matches, read literally.
    pub(super) fn matches(&self, tuple: &Tuple) -> bool {
        let protocol = match self.protocol {
            Protocol::Any => true,
            Protocol::Number(number) => number == tuple.protocol,
        };
        let ports = !tuple.has_ports()
            || (self.source_ports.contains(tuple.source_port)
                && self.destination_ports.contains(tuple.destination_port));
        protocol
            && ports
            && self.destination.contains(tuple.destination)
            && self.source.contains(tuple.source)
    }
}
