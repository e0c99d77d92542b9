//! A packet whose fate is asked for, and the answer: Azure's "IP flow verify".

use clap::ValueEnum;
use postern_dataplane::policy::{Direction, Tuple};
use serde::{Deserialize, Serialize};
use std::net::SocketAddrV4;

/// Which way the packet goes, seen from the NIC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
pub enum FlowDirection {
    /// Towards the NIC.
    Inbound,
    /// From the NIC.
    Outbound,
}

/// The protocol of the packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
pub enum FlowProtocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
    /// ICMP; ports do not count.
    Icmp,
    /// Encapsulating security payload; ports do not count.
    Esp,
    /// Authentication header; ports do not count.
    Ah,
}

/// A packet, as a NIC sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FlowTuple {
    /// Which way it goes.
    pub direction: FlowDirection,
    /// Its protocol.
    pub protocol: FlowProtocol,
    /// The NIC's address and port.
    pub local: SocketAddrV4,
    /// The other address and port.
    pub remote: SocketAddrV4,
}

/// The answer, in the shape of Azure's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FlowVerdict {
    /// `Allow` or `Deny`.
    pub access: String,
    /// The rule that decided: of the group that denies, else of the last one. None where no group
    /// acts, or the destination is exempt.
    pub rule_name: Option<String>,
}

impl FlowTuple {
    /// Returns which way the packet goes, and the packet as the policy compares it.
    #[must_use]
    pub fn tuple(&self) -> (Direction, Tuple) {
        let (direction, source, destination) = match self.direction {
            FlowDirection::Inbound => (Direction::Inbound, self.remote, self.local),
            FlowDirection::Outbound => (Direction::Outbound, self.local, self.remote),
        };
        let (protocol, has_ports) = match self.protocol {
            FlowProtocol::Tcp => (6, true),
            FlowProtocol::Udp => (17, true),
            FlowProtocol::Icmp => (1, false),
            FlowProtocol::Esp => (50, false),
            FlowProtocol::Ah => (51, false),
        };
        let port = |at: SocketAddrV4| if has_ports { at.port() } else { 0 };
        let tuple = Tuple {
            protocol,
            source: *source.ip(),
            source_port: port(source),
            destination: *destination.ip(),
            destination_port: port(destination),
        };
        (direction, tuple)
    }
}
