//! The source that a new flow gets: its own, the NIC's public address, or a leased port.

use super::evaluate::{Path, Source};
use super::{Context, Dropped, Engine};
use crate::flow::{FlowKey, Pair};
use crate::snat::Lease;
use crate::stats::DropReason;
use std::net::Ipv4Addr;

/// A public address and port that an earlier flow of the same tuple had.
#[derive(Clone, Copy, Debug)]
pub(super) struct Binding {
    address: Ipv4Addr,
    port: u16,
}

impl Binding {
    /// Returns the public address and port of a pair, if it has any.
    pub(super) fn of(pair: &Pair) -> Option<Self> {
        let lease = pair.lease.as_ref()?;
        Some(Self {
            address: lease.address(),
            port: lease.port(),
        })
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
            Source::Unchanged => return Ok((None, key.source(), key.source_port())),
            Source::OneToOne(address) => return Ok((None, address, key.source_port())),
            Source::Shared(id) => id,
        };
        let exhausted = context.dropped(DropReason::SnatExhausted);
        let snapshot = self.snapshot.clone();
        let addresses = snapshot
            .source(id)
            .map(|source| &*source.addresses)
            .unwrap_or_default();
        let flows = &self.flows;
        // All flows of one sender get the same address while it has ports (RFC 4787 REQ-2).
        let count = addresses.len().max(1);
        let first = earlier
            .and_then(|binding| {
                addresses
                    .iter()
                    .position(|&address| address == binding.address)
            })
            .unwrap_or(u32::from(key.source()) as usize % count);
        for &address in addresses.iter().cycle().skip(first).take(count) {
            let preferred = earlier
                .filter(|binding| binding.address == address)
                .map(|binding| binding.port);
            let is_free = |port| {
                let sent = key.translated(address, port, path.destination);
                flows.find(sent.reply(path.egress)).is_none()
            };
            let lease =
                self.pools
                    .lease(&mut self.rng, address, key.protocol(), preferred, is_free);
            if let Some(lease) = lease {
                let port = lease.port();
                return Ok((Some(lease), address, port));
            }
        }
        Err(exhausted)
    }

    pub(super) fn release(&mut self, lease: Option<Lease>) {
        if let Some(lease) = lease {
            self.pools.release(lease);
        }
    }
}
