//! Whether the security groups of a NIC let a packet pass: Azure's "IP flow verify".

use super::{Fabric, Host, ReadError};
use clap::ValueEnum;
use postern_dataplane::policy::{Access, Decision, Direction, Tuple};
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
    fn tuple(&self) -> (Direction, Tuple) {
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

impl<H: Host> Fabric<H> {
    /// Returns what the groups of a NIC say of a packet, by the running policy.
    ///
    /// # Errors
    ///
    /// There is no such NIC, or it does not have the local address.
    pub fn verify_flow(&self, nic: &str, flow: &FlowTuple) -> Result<FlowVerdict, ReadError> {
        let port = self.port_of(nic)?;
        let found = self.snapshot.nic(port);
        let subnet = found.and_then(|nic| self.snapshot.subnet(nic.subnet));
        let own = found.map(|nic| &*nic.addresses).unwrap_or_default();
        if !own.contains(flow.local.ip()) {
            let known: Vec<_> = own.iter().map(ToString::to_string).collect();
            return Err(ReadError::NotFound {
                kind: "local address of the NIC",
                name: flow.local.ip().to_string(),
                known: known.join(", "),
            });
        }
        let (direction, tuple) = flow.tuple();
        let by_nic = found.and_then(|nic| nic.nsg.as_ref());
        let by_subnet = subnet.and_then(|subnet| subnet.nsg.as_ref());
        let groups = match direction {
            Direction::Inbound => [by_subnet, by_nic],
            Direction::Outbound => [by_nic, by_subnet],
        };
        let mut last = None;
        for group in groups.into_iter().flatten() {
            let decision = group.evaluate(direction, &tuple);
            last = Some(decision);
            if decision.access == Access::Deny {
                break;
            }
        }
        Ok(self.verdict(last))
    }

    fn verdict(&self, decision: Option<Decision>) -> FlowVerdict {
        let access = decision.map_or(Access::Allow, |decision| decision.access);
        let rule = decision.and_then(|decision| self.names.rule(decision.rule?));
        FlowVerdict {
            access: crate::model::access_name(access).to_owned(),
            rule_name: rule.map(|name| name.rule.clone()),
        }
    }
}
