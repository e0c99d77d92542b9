//! Who may bear which source: asked of packets that open a flow, and of errors. Packets of a live
//! flow bear the address that it was opened with.

use crate::policy::{PortId, PortKind, Snapshot};
use crate::stats::DropReason;
use std::net::Ipv4Addr;

/// Returns whether an address can be one host's for others: not multicast, broadcast, loopback or
/// "this network" (RFC 1122 section 3.2.1.3).
pub(super) fn is_host(address: Ipv4Addr) -> bool {
    !matches!(address.octets()[0], 0 | 127 | 224..)
}

/// Refuses the source of a packet that came in by `port`, which is of `kind`, unless who is behind the
/// port may bear it.
///
/// Groups trust the platform's addresses and rules of services trust public ones, so nobody else may
/// bear them. A NIC that forwards may bear what it could have got from others: anything but what only
/// answers, which would have come by its flow.
pub(super) fn check(
    snapshot: &Snapshot,
    port: PortId,
    kind: &PortKind,
    source: Ipv4Addr,
) -> Result<(), DropReason> {
    let place_of_service = snapshot.services.get(&source).map(|place| place.port);
    let (is_borne, reason) = match kind {
        PortKind::Nic(nic) => {
            let is_forwarded = nic.ip_forwarding
                && is_host(source)
                && !source.is_link_local()
                && place_of_service.is_none()
                && !snapshot.platform.contains_key(&source);
            let is_own = nic.addresses.contains(&source);
            (is_own || is_forwarded, DropReason::SourceNotOwned)
        }
        PortKind::Internet => {
            let is_outside = is_foreign(snapshot, source) && !snapshot.inside.contains(source);
            (is_outside, DropReason::SourceNotOutside)
        }
        PortKind::Gateway(gateway) => {
            let is_behind = gateway.behind.contains(source) && is_foreign(snapshot, source);
            (is_behind, DropReason::SourceNotOutside)
        }
        PortKind::Service => (place_of_service == Some(port), DropReason::SourceNotOwned),
        PortKind::Platform => {
            let place = snapshot.platform.get(&source);
            (place == Some(&port), DropReason::SourceNotOwned)
        }
    };
    if is_borne { Ok(()) } else { Err(reason) }
}

/// Like [`check`], of an ICMP error that does not come from the end of its flow. Routers on the way have
/// addresses that no route leads to, and their errors are worth having: only what is ours elsewhere
/// is refused.
pub(super) fn check_router(
    snapshot: &Snapshot,
    port: PortId,
    kind: &PortKind,
    source: Ipv4Addr,
) -> Result<(), DropReason> {
    let is_router = matches!(kind, PortKind::Gateway(_))
        && is_foreign(snapshot, source)
        && !snapshot.inside.contains(source);
    if is_router {
        return Ok(());
    }
    check(snapshot, port, kind, source)
}

/// Returns whether an address is one host's and none of those that the policy has one by one.
fn is_foreign(snapshot: &Snapshot, address: Ipv4Addr) -> bool {
    is_host(address)
        && !address.is_link_local()
        && !snapshot.publics.contains_key(&address)
        && !snapshot.services.contains_key(&address)
        && !snapshot.platform.contains_key(&address)
}
