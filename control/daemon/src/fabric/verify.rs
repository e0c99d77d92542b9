//! Whether the security groups of a NIC let a packet pass: Azure's "IP flow verify".

use super::{Fabric, Host, ReadError};
use crate::protocol::verify::{FlowTuple, FlowVerdict};
use postern_dataplane::policy::{Access, Decision, Direction};

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
            access: postern_network::model::access_name(access).to_owned(),
            rule_name: rule.map(|name| name.rule.clone()),
        }
    }
}
