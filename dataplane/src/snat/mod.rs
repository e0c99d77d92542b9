//! Public sources that NICs share: which port of which address a flow gets, and when it is free.
//!
//! One port may serve any number of flows at once as long as their destinations differ: what must
//! be unique is the reply tuple, and the flow table guards that. A port that no flow has is
//! preferred, at random (RFC 6056); when there is none, ports in use are tried at random against
//! the destination's own list and the flow table. Each flow holds a [`Lease`] for as long as its record lives, which includes the
//! rest after its end, so that a port cannot meet late segments of another's connection.
//!
//! A source may limit how many flows it carries, to one destination, to one destination from one guest,
//! and in all. What is counted is leases, so a port at rest counts as used: it serves its destination as
//! little as a live one. All sources are counted, limited or not, so that a policy that sets a limit
//! finds true numbers.
//!
//! Each destination knows its ports (`ways.rs`), so that the search costs the same however many are
//! taken, and none at all when all are.
//!
//! A port is leased to a flow only if it is of the class of the flow's own port (`class.rs`), so
//! that both directions of the flow belong to one of several workers, who share the pools. "A port
//! that no flow has" is then one of that class. With one worker every port is.

mod pool;
mod taken;
mod ways;

use crate::class::Classes;
use crate::policy::PortId;
use crate::wire::{ICMP, TCP, UDP};
use pool::{PortPool, PortsByClass};
use rand::rngs::StdRng;
use std::collections::HashMap;
use std::net::Ipv4Addr;
use taken::Taken;
use ways::Ways;

/// What flows must have in common to need different ports: a public address, and what it talks to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Way {
    /// The public address.
    pub address: Ipv4Addr,
    /// IANA protocol number.
    pub protocol: u8,
    /// The destination's address, as the sender knows it.
    pub destination: Ipv4Addr,
    /// The destination's port; 0 for ICMP.
    pub destination_port: u16,
}

/// A port of a public address, held by one flow. It is not `Clone`: whoever takes it out of a flow
/// gives it to [`Pools::release`]. It knows its destination, so that it is given back to the number
/// that it was taken from.
#[must_use = "a lease that is not released is lost to its pool"]
#[derive(Debug, PartialEq, Eq)]
pub struct Lease {
    way: Way,
    port: u16,
    guest: PortId,
}

impl Lease {
    /// Returns the lease that a flow has, from what it keeps of it: to give it back, once.
    pub(crate) fn kept(way: Way, port: u16, guest: PortId) -> Self {
        Self { way, port, guest }
    }

    /// Returns the public address.
    #[must_use]
    pub fn address(&self) -> Ipv4Addr {
        self.way.address
    }

    /// Returns the public port; the identifier for ICMP echo.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }
}

/// What a flow needs a public port for.
#[derive(Clone, Copy, Debug)]
pub struct Wanted {
    /// What its port must be its own for.
    pub way: Way,
    /// The flow's own source port, whose class the public one must have.
    pub own: u16,
    /// Whose flow it is.
    pub guest: PortId,
    /// The port to give if it can be had.
    pub preferred: Option<u16>,
}

/// How many leases there may be of one way.
#[derive(Clone, Copy, Debug, Default)]
pub struct Limits {
    /// In all.
    pub in_all: Option<u32>,
    /// Of one guest.
    pub of_guest: Option<u32>,
}

/// How many ports of one public address are held by at least one flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolView {
    /// The public address.
    pub address: Ipv4Addr,
    /// TCP ports.
    pub tcp: u32,
    /// UDP ports.
    pub udp: u32,
    /// ICMP echo identifiers.
    pub icmp: u32,
}

#[derive(Debug, Default)]
struct AddressPool {
    tcp: PortPool,
    udp: PortPool,
    icmp: PortPool,
    /// Leases of all protocols and destinations.
    leases: u32,
}

impl AddressPool {
    fn ports(&mut self, protocol: u8) -> Option<&mut PortPool> {
        match protocol {
            TCP => Some(&mut self.tcp),
            UDP => Some(&mut self.udp),
            ICMP => Some(&mut self.icmp),
            _ => None,
        }
    }
}

/// The port pools of all shared public addresses. Inventories of the protocols are separate.
#[derive(Debug)]
pub struct Pools {
    pools: HashMap<Ipv4Addr, AddressPool>,
    by_class: PortsByClass,
    /// Leases by way. An entry goes with its last lease, so that there are never more than leases.
    ways: Ways,
    /// Leases of all addresses.
    leases: u32,
}

impl Pools {
    /// Returns pools for `max` flows, which hash by `seed`, for as many workers as there are classes.
    pub(crate) fn new(max: usize, seed: u64, classes: Classes) -> Self {
        Self {
            pools: HashMap::new(),
            by_class: PortsByClass::new(classes),
            // A flow that turns out to be one too many has its lease already, one of each worker.
            ways: Ways::new(max + classes.count(), seed),
            leases: 0,
        }
    }

    /// Leases a port to a flow, unless its way has as many leases as the limits say: the preferred port
    /// if it can be had, else any of the class. `is_free` says whether the flow table has room for the
    /// reply tuple of a port; it is asked a few times at most, and not at all when there is no port.
    pub fn lease(
        &mut self,
        rng: &mut StdRng,
        wanted: Wanted,
        limits: Limits,
        is_free: impl Fn(u16) -> bool,
    ) -> Option<Lease> {
        let Wanted { way, guest, .. } = wanted;
        let of_way = self.ways.get(&way);
        let leases = of_way.map_or(0, Taken::len);
        let of_guest = || of_way.map_or(0, |taken| taken.of_guest(guest));
        if limits.in_all.is_some_and(|most| leases >= most)
            || limits.of_guest.is_some_and(|most| of_guest() >= most)
        {
            return None;
        }
        let pool = self.pools.entry(way.address).or_default();
        let ports = pool.ports(way.protocol)?;
        let eligible = self.by_class.like(wanted.own);
        let preferred = wanted
            .preferred
            .filter(|&port| of_way.is_none_or(|taken| !taken.has(port)) && is_free(port));
        let port = match preferred {
            Some(port) => port,
            None => ports.choose(rng, eligible, of_way, is_free)?,
        };
        debug_assert!(eligible.has(port), "its replies have its owner");
        if !self.ways.add(way, port, guest, &self.by_class) {
            return None;
        }
        ports.hold(port, &self.by_class);
        pool.leases += 1;
        self.leases += 1;
        Some(Lease { way, port, guest })
    }

    /// Returns whether these addresses have `most` leases together.
    #[must_use]
    pub fn are_full(&self, addresses: &[Ipv4Addr], most: u32) -> bool {
        // Where all addresses that there are have fewer, which is nearly always, none is looked up.
        self.leases >= most
            && addresses
                .iter()
                .filter_map(|address| self.pools.get(address))
                .map(|pool| pool.leases)
                .sum::<u32>()
                >= most
    }

    /// Takes a lease back.
    pub fn release(&mut self, lease: Lease) {
        let Lease { way, port, guest } = lease;
        if let Some(pool) = self.pools.get_mut(&way.address)
            && let Some(ports) = pool.ports(way.protocol)
        {
            ports.give_back(port, &self.by_class);
            pool.leases = pool.leases.saturating_sub(1);
        }
        self.leases = self.leases.saturating_sub(1);
        self.ways.remove(&way, port, guest, &self.by_class);
    }

    /// Returns the use of every address, in ascending order.
    #[must_use]
    pub fn view(&self) -> Vec<PoolView> {
        let mut views: Vec<PoolView> = self
            .pools
            .iter()
            .map(|(&address, pool)| PoolView {
                address,
                tcp: pool.tcp.in_use(),
                udp: pool.udp.in_use(),
                icmp: pool.icmp.in_use(),
            })
            .collect();
        views.sort_by_key(|view| view.address);
        views
    }
}

#[cfg(test)]
mod tests;
