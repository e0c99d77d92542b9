//! The source that a new flow gets: its own, the NIC's public address, or a leased port.

use super::evaluate::{Path, Source};
use super::{Context, Dropped, Engine};
use crate::flow::{FlowKey, FlowTable, PairId, Side};
use crate::policy::{PortKind, SourceId};
use crate::snat::{Lease, Limits, Wanted};
use crate::stats::DropReason;
use crate::wire::{ICMP, TCP, UDP};
use core::time::Duration;
use rand::RngExt;
use std::net::Ipv4Addr;

/// Where the search for another source port begins: well-known ports are kept apart, as in the
/// pools.
const FIRST_PORT: u16 = 1024;
/// How many ports are tried for a native flow whose own is taken. While half are free, the chance to miss
/// them is 1 in 10^9; where all of these are taken, another guest has nearly all.
const NATIVE_TRIES: usize = 32;

/// How long a flow is idle before another guest's may have its port: its answer may be on its way.
const LATE: Duration = Duration::from_millis(100);

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
    /// flow has the reply tuple, one for which it is free, or that of a flow which another guest with the
    /// same address can do without: that one has nearly all. So two networks whose NICs have equal
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
        let (classes, own) = (self.share.classes(), key.source_port());
        let (rng, flows) = (&mut self.rng, &self.flows);
        let random = core::iter::repeat_with(|| rng.random_range(FIRST_PORT..=u16::MAX));
        let others = random.filter(|&port| classes.are_one(port, own));
        let mut spare: Option<(Duration, u16, PairId)> = None;
        for port in core::iter::once(own).chain(others.take(NATIVE_TRIES)) {
            let sent = key.translated(key.source(), port, path.destination);
            let Some((id, _)) = flows.find(sent.reply(path.egress)) else {
                return Ok(port);
            };
            if let Some(idle) = spare_for(flows, context, id)
                && spare.is_none_or(|(most, ..)| idle > most)
            {
                spare = Some((idle, port, id));
            }
        }
        let (_, port, id) = spare.ok_or(context.dropped(DropReason::ReplyTupleTaken))?;
        if let Some(ended) = self.flows.remove(id) {
            self.evict(ended);
        }
        Ok(port)
    }

    /// Gives a lease back to its pool.
    pub(super) fn release(&self, lease: Option<Lease>) {
        if let Some(lease) = lease {
            self.share.pools().release(lease);
        }
    }
}

/// Returns how gladly another guest's flow is given up for one that finds no port beside that guest's:
/// unanswered ones first, then by how long they are idle; never a connection.
fn spare_for(flows: &FlowTable, context: &Context<'_, '_>, id: PairId) -> Option<Duration> {
    let pair = flows.get(id)?;
    if pair.key(Side::Initiator).port() == context.ingress {
        return None;
    }
    let idle = context.now.since(pair.seen);
    match (flows.waits(id), &pair.tcp) {
        _ if idle < LATE => None,
        (true, _) => Some(Duration::MAX),
        (false, None) => Some(idle),
        (false, Some(_)) => None,
    }
}
