//! Public sources that NICs share: which port of which address a flow gets, and when it is free.
//!
//! One port may serve any number of flows at once as long as their destinations differ: what must
//! be unique is the reply tuple, and the flow table guards that. A port that no flow has is
//! preferred, at random (RFC 6056); when there is none, ports in use are tried at random against
//! the flow table. Each flow holds a [`Lease`] for as long as its record lives, which includes the
//! rest after its end, so that a port cannot meet late segments of another's connection.

mod pool;

use crate::wire::{ICMP, TCP, UDP};
use pool::PortPool;
use rand::rngs::StdRng;
use std::collections::HashMap;
use std::net::Ipv4Addr;

/// A port of a public address, held by one flow. It is not `Clone`: whoever takes it out of a flow
/// gives it to [`Pools::release`].
#[must_use = "a lease that is not released is lost to its pool"]
#[derive(Debug, PartialEq, Eq)]
pub struct Lease {
    address: Ipv4Addr,
    protocol: u8,
    port: u16,
}

impl Lease {
    /// Returns the public address.
    #[must_use]
    pub fn address(&self) -> Ipv4Addr {
        self.address
    }

    /// Returns the public port; the identifier for ICMP echo.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }
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
#[derive(Debug, Default)]
pub struct Pools {
    pools: HashMap<Ipv4Addr, AddressPool>,
}

impl Pools {
    /// Leases a port of `address`: the preferred one if it can be had, else any. `is_free` says
    /// whether the flow table has room for the reply tuple of a port.
    pub fn lease(
        &mut self,
        rng: &mut StdRng,
        address: Ipv4Addr,
        protocol: u8,
        preferred: Option<u16>,
        is_free: impl Fn(u16) -> bool,
    ) -> Option<Lease> {
        let ports = self.pools.entry(address).or_default().ports(protocol)?;
        let port = match preferred.filter(|&port| is_free(port)) {
            Some(port) => port,
            None => ports.choose(rng, is_free)?,
        };
        ports.hold(port);
        Some(Lease {
            address,
            protocol,
            port,
        })
    }

    /// Takes a lease back.
    pub fn release(&mut self, lease: Lease) {
        let Lease {
            address,
            protocol,
            port,
        } = lease;
        if let Some(ports) = self
            .pools
            .get_mut(&address)
            .and_then(|pool| pool.ports(protocol))
        {
            ports.give_back(port);
        }
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
