//! The source that a new flow gets: its own, the NIC's public address, or a leased port.

use super::evaluate::{Path, Source};
use super::{Context, Dropped, Engine};
use crate::flow::FlowKey;
use crate::policy::{PortKind, SourceId};
use crate::snat::{Lease, Limits, Wanted};
use crate::stats::DropReason;
use crate::wire::{ICMP, TCP, UDP};
use rand::RngExt;
use std::net::Ipv4Addr;

/// Where the search for another source port begins: well-known ports are kept apart, as in the
/// pools.
const FIRST_PORT: u16 = 1024;
/// How many ports are tried for a native flow whose own is taken, before it is refused. While one
/// in 50 is free, the chance to miss it is 0.98^1024, about 1 in 10^9.
const NATIVE_TRIES: usize = 1024;

/// A public address and port that an earlier flow of the same tuple had.
#[derive(Clone, Copy, Debug)]
pub(super) struct Binding {
    address: Ipv4Addr,
    port: u16,
}

impl Binding {
    /// Returns the public address and port of a lease.
    pub(super) fn of(lease: &Lease) -> Self {
        Self {
            address: lease.address(),
            port: lease.port(),
        }
    }
}

impl Engine {
    /// Gives the flow its source: its own, the NIC's public address, or a leased port.
    pub(super) fn bind(
        &mut self,
        context: &Context<'_, '_>,
        key: FlowKey,
        path: &Path,
        earlier: Option<Binding>,
    ) -> Result<(Option<Lease>, Ipv4Addr, u16), Dropped> {
        let id = match path.source {
            Source::Unchanged => {
                let port = self.native_port(context, key, path)?;
                return Ok((None, key.source(), port));
            }
            Source::OneToOne(address) => return Ok((None, address, key.source_port())),
            Source::Shared(id) => id,
        };
        let lease = self
            .lease(id, key, path, earlier)
            .ok_or(context.dropped(DropReason::SnatExhausted))?;
        let (address, port) = (lease.address(), lease.port());
        Ok((Some(lease), address, port))
    }

    /// Leases a port of a shared source, of the first address that has one for the destination,
    /// unless the source carries as many flows as it may.
    fn lease(
        &mut self,
        id: SourceId,
        key: FlowKey,
        path: &Path,
        earlier: Option<Binding>,
    ) -> Option<Lease> {
        let snapshot = self.snapshot.clone();
        let source = snapshot.source(id)?;
        let addresses = &*source.addresses;
        // One lock for the question and the answer: other engines lease too.
        let mut pools = self.share.pools();
        if let Some(most) = source.max_flows
            && pools.are_full(addresses, most)
        {
            return None;
        }
        // All flows of one sender get the same address while it has ports (RFC 4787 REQ-2).
        let count = addresses.len().max(1);
        let first = earlier
            .and_then(|binding| {
                addresses
                    .iter()
                    .position(|&address| address == binding.address)
            })
            .unwrap_or(u32::from(key.source()) as usize % count);
        let limits = Limits {
            in_all: source.max_flows_per_destination,
            of_guest: source.max_flows_per_guest,
        };
        let flows = &self.flows;
        addresses
            .iter()
            .cycle()
            .skip(first)
            .take(count)
            .find_map(|&address| {
                let wanted = Wanted {
                    way: key.way(address),
                    own: key.source_port(),
                    guest: key.port(),
                    preferred: earlier
                        .filter(|binding| binding.address == address)
                        .map(|binding| binding.port),
                };
                let is_free = |port| {
                    let sent = key.translated(address, port, path.destination);
                    flows.find(sent.reply(path.egress)).is_none()
                };
                pools.lease(&mut self.rng, wanted, limits, is_free)
            })
    }

    /// Returns the source port of a flow that keeps its source address: its own, or where another
    /// flow has the reply tuple, one for which it is free. So two networks whose NICs have equal
    /// addresses reach one service with equal ports and never meet.
    ///
    /// Only what belongs to no network sees flows of several, and so only there a port may change: to
    /// one of its class, so that the answers come to this engine.
    fn native_port(
        &mut self,
        context: &Context<'_, '_>,
        key: FlowKey,
        path: &Path,
    ) -> Result<u16, Dropped> {
        let egress = self.snapshot.port(path.egress).map(|port| &port.kind);
        let is_shared = matches!(egress, Some(PortKind::Service | PortKind::Platform));
        let has_port = matches!(key.protocol(), TCP | UDP | ICMP);
        // With an identity flows of two networks do not meet.
        if !is_shared || !has_port || path.tunnel.is_some() {
            return Ok(key.source_port());
        }
        let flows = &self.flows;
        let is_free = |&port: &u16| {
            let sent = key.translated(key.source(), port, path.destination);
            flows.find(sent.reply(path.egress)).is_none()
        };
        let (classes, own) = (self.share.classes(), key.source_port());
        let random = core::iter::repeat_with(|| self.rng.random_range(FIRST_PORT..=u16::MAX));
        let others = random.filter(|&port| classes.are_one(port, own));
        core::iter::once(own)
            .chain(others.take(NATIVE_TRIES))
            .find(is_free)
            .ok_or(context.dropped(DropReason::ReplyTupleTaken))
    }

    /// Gives a lease back to its pool.
    pub(super) fn release(&self, lease: Option<Lease>) {
        if let Some(lease) = lease {
            self.share.pools().release(lease);
        }
    }
}
