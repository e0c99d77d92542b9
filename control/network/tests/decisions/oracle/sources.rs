//! Which sources a packet may bear, by where it comes in.

use super::Oracle;
use crate::topology::{Flow, PLATFORM, Port};
use postern_dataplane::stats::DropReason;

/// Whether no host has the address for others to see.
fn is_nobodys(address: u32) -> bool {
    let [first, second, ..] = address.to_be_bytes();
    first == 0 || first == 127 || first >= 224 || (first, second) == (169, 254)
}

impl Oracle<'_> {
    /// Returns why the source is not one that comes in there.
    pub(super) fn forged(&self, flow: &Flow) -> Option<DropReason> {
        let source = flow.source;
        match flow.ingress {
            Port::Nic(at) => {
                let nic = &self.topology.nics[at];
                let answers_only = PLATFORM.contains(&source) || self.service_at(source).is_some();
                let may_forward = nic.forwards && !is_nobodys(source) && !answers_only;
                let may = source == nic.address || may_forward;
                (!may).then_some(DropReason::SourceNotOwned)
            }
            Port::Internet => {
                let ours = is_nobodys(source) || self.is_ours(source) || self.is_inside(source);
                ours.then_some(DropReason::SourceNotOutside)
            }
            Port::Gateway(at) => {
                let gateway = &self.topology.gateways[at];
                let peers = self.topology.peers(gateway.vnet).into_iter();
                let mut near = [gateway.vnet]
                    .into_iter()
                    .chain(peers.map(|(peer, _)| peer));
                let is_near = near.any(|vnet| self.is_of_vnet(vnet, source));
                let is_behind = gateway.prefixes.iter().any(|prefix| prefix.has(source));
                let may = is_behind && !is_near && !is_nobodys(source) && !self.is_ours(source);
                (!may).then_some(DropReason::SourceNotOutside)
            }
            Port::Services(_) => {
                let may = self.service_at(source) == Some(flow.ingress);
                (!may).then_some(DropReason::SourceNotOwned)
            }
            Port::Platform => (!PLATFORM.contains(&source)).then_some(DropReason::SourceNotOwned),
        }
    }

    fn is_of_vnet(&self, vnet: usize, address: u32) -> bool {
        let ranges = &self.topology.vnets[vnet].ranges;
        ranges.iter().any(|range| range.has(address))
    }

    /// Whether the address is one of those that are ours one by one.
    fn is_ours(&self, address: u32) -> bool {
        PLATFORM.contains(&address)
            || self.service_at(address).is_some()
            || self.is_shared(address)
            || self
                .topology
                .nics
                .iter()
                .any(|nic| nic.public == Some(address))
    }

    /// Whether a network has the address, or a gateway something behind it that is no way to
    /// everywhere.
    fn is_inside(&self, address: u32) -> bool {
        let mut gateways = self.topology.gateways.iter();
        let behind = gateways.any(|gateway| {
            let mut prefixes = gateway.prefixes.iter();
            prefixes.any(|prefix| prefix.length >= 8 && prefix.has(address))
        });
        behind || (0..self.topology.vnets.len()).any(|vnet| self.is_of_vnet(vnet, address))
    }
}
