//! What the engines of one process have in common, so that several workers share its flows.
//!
//! Every flow has one owner, and its owner is known from any of its packets alone: the sum of the
//! classes of its ports ([`crate::class`]). Whatever worker reads a packet, the owner's engine
//! processes it, and that engine sees every packet of the flow, both ways. So it needs no lock: its
//! flow table, fragments, counters, access log, sweep and made packets are its own, and are summed or
//! merged when somebody reads them. What is left is here, and is touched when a flow is opened or ends:
//!
//! - the pools of public ports, behind one lock, so that limits per destination and source stay exact;
//! - how many flows each port has, as atomic numbers;
//! - the owners of datagrams in fragments, behind a lock that only fragments take.
//!
//! # Why it is enough that an engine sees its own flows
//!
//! | what an engine does | why it is right |
//! |---|---|
//! | reply tuples must be new | a tuple's owner follows from its ports: who else has it is in the same table, whether public ports, native ports or flows from outside are chosen against it |
//! | leases of public ports | of the class of the flow's own port, so that answers have the owner; a rest or an earlier binding is of the same tuple, hence of that class |
//! | native ports that are taken | another of the same class is tried |
//! | one-to-one addresses, hairpins, services over IPv6 | addresses change, ports do not |
//! | tombstones, held flows | rest in the owner's table, where late packets come |
//! | ICMP errors, from either end or between | belong to the flow of the packet that they quote, which has the same ports in any translation |
//! | later fragments | go where their first one went; before that, or after 15 s, or if over 4,096 datagrams came since and most by its port, they are strays wherever they are |
//! | packets in a carrier | the engine takes none off: GRE is refused, VXLAN and Geneve are UDP, with the outer ports for keys |
//! | ESP and AH | have no ports: the first worker has them all |
//! | unsolicited packets, resets of the unknown | are answered by the policy alone; that there is no flow is known by the one that would have it |
//! | services' answers between wrong addresses | have the ports of the flow that they miss |
//! | NIC limits, NAT gateway limits | counted here |
//! | room for flows | an even share each: an engine looks for a flow that gives way, or refuses the new one (`flow_table_full`), when its own share is used up, which can be before all shares are. Whose flows give way is told by those of the engine, which has its part of everybody's |
//! | a new policy | each engine puts it in force between two packets and walks its own flows; each flow is judged once, by its owner, and reports are added up |
//! | a port that takes over a number | each engine puts its own counters back when it learns of it; no packet of the port is read before all have |
//! | looking ahead | reads the engine's own table, and is worth nothing for another's packets |
//! | the access log | is merged by time, which is one clock for all workers |
//!
//! Two engines that take the last place of a limit at once are served one after the other. One that
//! takes a place and then finds that it has no use for it gives it back; another may have been refused
//! in between. No limit is ever passed.
//!
//! Several workers differ from one in this: a flow gets a public port of its class, so that for one
//! destination `1 / workers` of an address's ports serve `1 / workers` of the senders' ports, and a
//! sender whose ports are all of one class finds the address full that much sooner.

use super::EngineConfig;
use super::flow_counts::FlowCounts;
use crate::class::Classes;
use crate::flow::{FragmentKey, FragmentTable};
use crate::policy::PortId;
use crate::snat::Pools;
use crate::time::Now;
use crate::wire::Ends;
use crate::wire::ipv4::Ipv4View;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What the engines of one process have in common. A clone is the same thing.
#[derive(Clone, Debug)]
pub struct Share(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    classes: Classes,
    max_flows: u32,
    pools: Mutex<Pools>,
    flow_counts: FlowCounts,
    datagrams: Mutex<FragmentTable<usize>>,
}

impl Share {
    /// Returns what `workers` engines share, at least one.
    #[must_use]
    pub fn new(config: &EngineConfig, workers: usize) -> Self {
        let classes = Classes::new(workers);
        let pools = Pools::new(config.max_flows as usize, config.seed, classes);
        Self(Arc::new(Shared {
            classes,
            max_flows: config.max_flows,
            pools: Mutex::new(pools),
            flow_counts: FlowCounts::default(),
            datagrams: Mutex::default(),
        }))
    }

    /// Returns how many workers there are.
    #[must_use]
    pub fn workers(&self) -> usize {
        self.0.classes.count()
    }

    /// Returns the number of the worker that owns the flow of a packet, which came in by `port` and was
    /// read by worker `reader`. What belongs to no flow that could be is its reader's.
    ///
    /// Of a datagram in fragments the first one is remembered: ask once for each packet, in the order in
    /// which they came, and before the next one is read.
    #[must_use]
    #[inline]
    pub fn owner(&self, now: Now, port: PortId, packet: &[u8], reader: usize) -> usize {
        let classes = self.0.classes;
        if classes == Classes::ONE {
            return 0;
        }
        match Ends::of(packet) {
            Some(Ends::Whole(one, other)) => classes.owner(one, other),
            Some(Ends::First(one, other)) => {
                let owner = classes.owner(one, other);
                self.follow(now, port, packet, owner);
                owner
            }
            Some(Ends::Later) => self.followed(now, port, packet).unwrap_or(reader),
            None => reader,
        }
    }

    /// Notes the owner of a datagram.
    #[cold]
    fn follow(&self, now: Now, port: PortId, packet: &[u8], owner: usize) {
        if let Some(key) = datagram(port, packet) {
            let mut datagrams = locked(&self.0.datagrams);
            datagrams.expire(now);
            datagrams.follow(now, key, owner);
        }
    }

    /// Returns the owner of a datagram whose first fragment came.
    #[cold]
    fn followed(&self, now: Now, port: PortId, packet: &[u8]) -> Option<usize> {
        let key = datagram(port, packet)?;
        locked(&self.0.datagrams).find(now, key).copied()
    }

    /// Returns how many flows the engine with this number takes.
    pub(super) fn room(&self, index: usize) -> u32 {
        let workers = u32::try_from(self.workers()).unwrap_or(u32::MAX);
        let index = u32::try_from(index).unwrap_or(u32::MAX);
        let is_one_more = index < self.0.max_flows % workers;
        self.0.max_flows / workers + u32::from(is_one_more)
    }

    pub(super) fn classes(&self) -> Classes {
        self.0.classes
    }

    /// Returns the pools, which nobody else has in the meantime.
    pub(super) fn pools(&self) -> MutexGuard<'_, Pools> {
        locked(&self.0.pools)
    }

    pub(super) fn flow_counts(&self) -> &FlowCounts {
        &self.0.flow_counts
    }
}

/// Returns what a lock keeps. Nothing that is done under one here can fail half-way.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn datagram(port: PortId, packet: &[u8]) -> Option<FragmentKey> {
    let ip = Ipv4View::parse_quoted(packet).ok()?;
    Some(FragmentKey {
        port,
        source: ip.source(),
        destination: ip.destination(),
        protocol: ip.protocol(),
        ident: ip.ident(),
    })
}

#[cfg(test)]
mod tests;
