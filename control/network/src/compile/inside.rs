//! Which addresses are ours, so that nobody outside may bear them, and which are behind a gateway.

use crate::model::{Gateway, Learned, Model, VirtualNetwork};
use ipnet::Ipv4Net;
use postern_dataplane::policy::AddrSet;
use std::sync::Arc;

/// A gateway's prefix that is shorter than this is a way to everywhere, cut in two or four perhaps, and
/// says nothing of where an address is.
const SHORTEST: u8 = 8;

/// Returns the ranges of all virtual networks, what is behind their gateways, and the public addresses
/// that are given out here.
pub(super) fn ranges(model: &Model, learned: &Learned) -> Arc<AddrSet> {
    let networks = model.vnets.iter();
    let networks = networks.flat_map(|vnet| vnet.address_prefixes.iter().copied());
    let gateways = model.gateways.iter();
    let behind = gateways
        .flat_map(|gateway| learned.behind(gateway))
        .filter(|prefix| prefix.prefix_len() >= SHORTEST);
    let pool = model.public_pool.iter().copied();
    Arc::new(AddrSet::from_prefixes(networks.chain(behind).chain(pool)))
}

/// Returns what is behind the gateway of a network: its prefixes and the addresses of its device, but for
/// what the network and its peers have, whose ranges stand before a gateway's.
pub(super) fn behind(
    model: &Model,
    learned: &Learned,
    gateway: &Gateway,
    network: &VirtualNetwork,
) -> Arc<AddrSet> {
    let device = gateway.addresses.iter();
    let device = device.map(|address| Ipv4Net::from(address.addr()));
    let all = AddrSet::from_prefixes(learned.behind(gateway).chain(device));
    let peers = model.peers(network);
    let networks = std::iter::once(network).chain(peers.map(|peer| peer.vnet));
    let near = networks.flat_map(|vnet| vnet.address_prefixes.iter().copied());
    let near = AddrSet::from_prefixes(near);
    // What is in one set and not in the other.
    Arc::new(all.complement().union(&near).complement())
}

#[cfg(test)]
mod tests;
