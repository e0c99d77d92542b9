//! Engines that share the work, against one engine that does all of it: the same verdicts, packets,
//! counters, flows and use of public ports, whichever worker reads a packet.

#![allow(clippy::indexing_slicing, clippy::unwrap_used, reason = "test code")]

mod common;

use common::fleet::{Fleet, PUBLIC, masked};
use common::packets::*;
use common::tunnel::{FAR_CLIENT, SERVICE, ends6, error6, tcp6};
use common::world::*;
use postern_dataplane::engine::{Emitted, EngineConfig, Verdict};
use postern_dataplane::policy::{Delivery, PortId, PublicAddress, Snapshot, SourceId};
use proptest::prelude::*;
use std::net::Ipv4Addr;
use std::sync::Arc;

const CONFIG: EngineConfig = EngineConfig {
    max_flows: 4096,
    seed: 7,
};
/// Who opens flows. The ports that they do it from are below those that are ever chosen for them.
const SENDERS: [(PortId, &str); 6] = [
    (VM0, "10.0.1.4"),
    (VM1, "10.0.1.5"),
    (VM2, "10.0.2.4"),
    (FAR, "10.0.1.4"),
    (INET, "8.8.8.8"),
    (INET, "5.5.5.5"),
];
/// To whom: the Internet, an instance address, NICs, a service over IPv6, a native one.
const RECEIVERS: [&str; 8] = [
    "8.8.8.8:53",
    "8.8.4.4:443",
    "20.0.0.9:80",
    "10.0.1.4:22",
    "10.0.1.5:22",
    "10.0.2.4:22",
    "52.239.0.10:443",
    "40.79.0.10:1433",
];
const ESP: u8 = 50;

/// The network with a NAT gateway of two addresses and small limits, with these endpoints on the
/// subnets of VM0, VM1 and FAR.
fn shared_world(epoch: u32, services: &[postern_dataplane::policy::ServiceId]) -> Arc<Snapshot> {
    let mut snapshot = tunnel_world(epoch);
    let endpoints = world(epoch, services).subnets[0].endpoints.clone();
    for subnet in [0, 2] {
        snapshot.subnets[subnet].endpoints = endpoints.clone();
    }
    let place = snapshot.services.get_mut(&ip("52.239.0.10")).unwrap();
    assert!(matches!(place.delivery, Delivery::Tunnel(_)));
    for public in PUBLIC {
        let shared = PublicAddress::Shared(SourceId(0));
        snapshot.publics.insert(ip(public), shared);
    }
    let source = &mut snapshot.sources[0];
    source.addresses = PUBLIC.map(ip).to_vec();
    source.icmp = true;
    source.fragments = true;
    source.resets_unknown = true;
    Arc::new(snapshot)
}

/// [`shared_world`] with limits that are met soon.
fn narrow_world(epoch: u32, services: &[postern_dataplane::policy::ServiceId]) -> Arc<Snapshot> {
    let mut snapshot = Arc::unwrap_or_clone(shared_world(epoch, services));
    snapshot.settings.max_nic_flows = 12;
    snapshot.sources[0].max_flows_per_destination = Some(3);
    snapshot.sources[0].max_flows = Some(15);
    Arc::new(snapshot)
}

/// The same packet as it is on the way through the one engine and through the several.
type Both = [Vec<u8>; 2];

/// A connection, and the last packet that arrived of either side, with the port that it left by.
struct Talk {
    sender: usize,
    receiver: usize,
    protocol: u8,
    port: u16,
    last: [Option<(PortId, Both)>; 2],
}

impl Talk {
    fn packet(&self, flags: u8, payload: &[u8]) -> Vec<u8> {
        let (from, to) = (SENDERS[self.sender].1, RECEIVERS[self.receiver]);
        let client = format!("{from}:{}", self.port);
        let address = addr(to).ip().to_string();
        match self.protocol {
            6 => tcp(&client, to, flags, 100, 500, payload),
            17 => udp(&client, to, payload),
            1 => echo(from, &address, true, self.port),
            _ => ipv4(from, &address, ESP, 0, 0, &[7; 16]),
        }
    }
}

/// Returns what answers a packet as it arrived.
fn answer(packet: &[u8], flags: u8, payload: &[u8]) -> Vec<u8> {
    if packet[0] >> 4 == 6 {
        let (from, to) = ends6(packet);
        return tcp6(&to.to_string(), &from.to_string(), flags, 500, 101, payload);
    }
    let [from, to] = [source(packet), destination(packet)].map(|ip| ip.to_string());
    let (client, server) = ends(packet);
    let (client, server) = (client.to_string(), server.to_string());
    match packet[9] {
        6 => tcp(&server, &client, flags, 500, 101, payload),
        17 => udp(&server, &client, payload),
        1 => echo(
            &to,
            &from,
            false,
            u16::from_be_bytes([packet[24], packet[25]]),
        ),
        _ => ipv4(&to, &from, ESP, 0, 0, &[7; 16]),
    }
}

/// Returns the error about a packet as it arrived: of its receiver, or of a router on the way.
fn error_about(packet: &[u8], is_receivers: bool, quote: usize) -> Vec<u8> {
    if packet[0] >> 4 == 6 {
        return error6(1, 4, 0, packet, 40 + quote);
    }
    let from = match is_receivers {
        true => destination(packet),
        false => Ipv4Addr::new(9, 9, 9, 9),
    };
    let to = source(packet).to_string();
    unreachable(&from.to_string(), &to, 3, packet, 20 + quote)
}

/// One engine, several engines, and what went through both.
struct Twins {
    one: Fleet,
    several: Fleet,
    now: u64,
    epoch: u32,
    ident: u16,
    talks: Vec<Talk>,
}

impl Twins {
    fn new(workers: usize, snapshot: &Arc<Snapshot>) -> Self {
        Self {
            one: Fleet::one(CONFIG, snapshot),
            several: Fleet::new(CONFIG, snapshot, workers),
            now: 1000,
            epoch: 1,
            ident: 0,
            talks: vec![],
        }
    }

    /// Sends a packet through both and compares all that there is; returns it if it left.
    #[track_caller]
    fn send(&mut self, port: PortId, [one, several]: [&[u8]; 2]) -> Option<(PortId, Both)> {
        let one = self.one.process(self.now, port, one);
        let several = self.several.process(self.now, port, several);
        assert_eq!(several.verdict, one.verdict);
        assert_eq!(in_order(&several.emitted), in_order(&one.emitted));
        self.compare();
        let Verdict::Forward(out) = one.verdict else {
            return None;
        };
        assert_eq!(masked(out, &several.packet), masked(out, &one.packet));
        Some((out, [one.packet, several.packet]))
    }

    #[track_caller]
    fn compare(&self) {
        assert_eq!(self.several.counters(), self.one.counters());
        assert_eq!(self.several.snat(), self.one.snat());
    }

    /// Sends packets in this shape, and returns the first of those that left.
    #[track_caller]
    fn send_as(&mut self, shape: Shape, port: PortId, both: &Both) -> Option<(PortId, Both)> {
        let [one, several] = both;
        let is_v6 = one[0] >> 4 == 6;
        if is_v6 || shape == Shape::Whole {
            return self.send(port, [one, several]);
        }
        self.ident = self.ident.wrapping_add(1);
        let parts = both
            .each_ref()
            .map(|packet| fragments(packet, self.ident, 24));
        let [one, several] = &parts;
        let mut order: Vec<usize> = (0..one.len()).collect();
        if shape == Shape::LastFragmentFirst {
            order.reverse();
        }
        let left: Vec<_> = order
            .into_iter()
            .map(|at| (at, self.send(port, [&one[at], &several[at]])))
            .collect();
        left.into_iter()
            .find(|&(at, _)| at == 0)
            .and_then(|(_, left)| left)
    }

    fn talk(&mut self, sender: usize, receiver: usize, protocol: u8, port: u16) -> usize {
        let is_it = |talk: &Talk| {
            (talk.sender, talk.receiver, talk.protocol, talk.port)
                == (sender, receiver, protocol, port)
        };
        if let Some(at) = self.talks.iter().position(is_it) {
            return at;
        }
        self.talks.push(Talk {
            sender,
            receiver,
            protocol,
            port,
            last: [None, None],
        });
        self.talks.len() - 1
    }

    #[track_caller]
    fn request(&mut self, at: usize, flags: u8, shape: Shape, payload: &[u8]) {
        let packet = self.talks[at].packet(flags, payload);
        let (port, _) = SENDERS[self.talks[at].sender];
        if let Some(left) = self.send_as(shape, port, &[packet.clone(), packet]) {
            self.talks[at].last[0] = Some(left);
        }
    }

    #[track_caller]
    fn reply(&mut self, at: usize, flags: u8, shape: Shape, payload: &[u8]) {
        let Some((port, both)) = self.talks[at].last[0].clone() else {
            return;
        };
        let both = both.map(|packet| answer(&packet, flags, payload));
        if let Some(left) = self.send_as(shape, port, &both) {
            self.talks[at].last[1] = Some(left);
        }
    }

    #[track_caller]
    fn complain(&mut self, at: usize, side: usize, is_receivers: bool, quote: usize) -> bool {
        let Some((port, both)) = self.talks[at].last[side].clone() else {
            return false;
        };
        let [one, several] = both.map(|packet| error_about(&packet, is_receivers, quote));
        self.send(port, [&one, &several]).is_some()
    }

    #[track_caller]
    fn run(&mut self, step: &Step) {
        let count = self.talks.len().max(1);
        match *step {
            Step::Request {
                ends: (sender, receiver),
                protocol,
                port,
                flags,
                shape,
            } => {
                let at = self.talk(sender, receiver, protocol, port);
                self.request(at, flags, shape, &[5; 40]);
            }
            Step::Reply { nth, flags, shape } if !self.talks.is_empty() => {
                self.reply(nth % count, flags, shape, &[6; 40]);
            }
            Step::Complain {
                nth,
                side,
                is_receivers,
                quote,
            } if !self.talks.is_empty() => {
                self.complain(nth % count, side, is_receivers, quote);
            }
            Step::Large { nth, df } if !self.talks.is_empty() => {
                let talk = &self.talks[nth % count];
                let packet = with_df(talk.packet(ACK, &[9; 2000]), df);
                let (port, _) = SENDERS[talk.sender];
                self.send(port, [&packet, &packet]);
            }
            Step::Stray { kind, port } => {
                let (at, packet) = stray(kind, port);
                self.send(at, [&packet, &packet]);
            }
            Step::Pass { millis } => {
                self.now += millis;
                self.one.pass_time(self.now);
                self.several.pass_time(self.now);
                self.compare();
            }
            Step::Policy { variant } => {
                self.epoch += 1;
                let services: &[_] = [&[STORAGE, SQL][..], &[SQL], &[]][variant];
                let snapshot = narrow_world(self.epoch, services);
                let one = self.one.install(self.now, &snapshot);
                assert_eq!(self.several.install(self.now, &snapshot), one);
                let (one, several) = (self.one.emitted(), self.several.emitted());
                assert_eq!(in_order(&several), in_order(&one));
                self.compare();
            }
            _ => {}
        }
    }
}

fn in_order(emitted: &[Emitted]) -> Vec<(PortId, Vec<u8>)> {
    let masked = |made: &Emitted| (made.port, masked(made.port, &made.packet));
    let mut all: Vec<_> = emitted.iter().map(masked).collect();
    all.sort_by(|(a, one), (b, other)| (a.0, one).cmp(&(b.0, other)));
    all
}

/// Returns a packet that belongs to no flow, and the port that it comes in by.
fn stray(kind: u8, port: u16) -> (PortId, Vec<u8>) {
    let from = format!("8.8.8.8:{port}");
    match kind {
        0 => (INET, tcp(&from, &format!("{POOL}:9"), ACK, 1, 2, b"late")),
        1 => (INET, tcp(&from, &format!("{POOL}:9"), SYN, 1, 0, &[])),
        2 => (INET, udp(&from, "20.0.0.9:80", b"in")),
        3 => (VM1, ipv4("10.0.1.5", "8.8.8.8", 17, port, 3, &[1; 16])),
        4 => (VM1, ipv4("10.0.1.5", "8.8.8.8", 47, 0, 0, &[1; 16])),
        5 => (
            SVC,
            tcp(&format!("40.79.0.10:{port}"), "10.0.1.4:7", SYN, 1, 0, &[]),
        ),
        6 => {
            let client = FAR_CLIENT.replace("50312", &port.to_string());
            (SVC, tcp6(SERVICE, &client, ACK, 1, 2, &[]))
        }
        7 => (VM0, tcp6(SERVICE, FAR_CLIENT, SYN, 1, 0, &[])),
        8 => (VM2, port.to_be_bytes().to_vec()),
        _ => {
            let about = udp("8.8.8.8:53", &format!("{POOL}:{port}"), b"unknown");
            (INET, unreachable("9.9.9.9", "8.8.8.8", 3, &about, 28))
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shape {
    Whole,
    Fragments,
    LastFragmentFirst,
}

#[derive(Clone, Debug)]
enum Step {
    Request {
        ends: (usize, usize),
        protocol: u8,
        port: u16,
        flags: u8,
        shape: Shape,
    },
    Reply {
        nth: usize,
        flags: u8,
        shape: Shape,
    },
    Complain {
        nth: usize,
        side: usize,
        is_receivers: bool,
        quote: usize,
    },
    Large {
        nth: usize,
        df: bool,
    },
    Stray {
        kind: u8,
        port: u16,
    },
    Pass {
        millis: u64,
    },
    Policy {
        variant: usize,
    },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let shape = || {
        prop_oneof![
            6 => Just(Shape::Whole),
            1 => Just(Shape::Fragments),
            1 => Just(Shape::LastFragmentFirst),
        ]
    };
    let flags = || prop::sample::select(vec![SYN, SYN, SYN, ACK, ACK, SYN | ACK, FIN | ACK, RST]);
    let protocol = prop::sample::select(vec![6, 6, 17, 17, 1, ESP]);
    let ends = (0..SENDERS.len(), 0..RECEIVERS.len());
    // Half a checksum at the end of a quote would be left as it is.
    let quote = prop::sample::select(vec![8, 12, 18, 29]);
    let step = prop_oneof![
        10 => (ends, protocol, 400u16..408, flags(), shape()).prop_map(
            |(ends, protocol, port, flags, shape)|
                Step::Request { ends, protocol, port, flags, shape }
        ),
        6 => (any::<usize>(), flags(), shape())
            .prop_map(|(nth, flags, shape)| Step::Reply { nth, flags, shape }),
        2 => (any::<usize>(), 0usize..2, any::<bool>(), quote).prop_map(
            |(nth, side, is_receivers, quote)| Step::Complain { nth, side, is_receivers, quote }
        ),
        1 => (any::<usize>(), any::<bool>()).prop_map(|(nth, df)| Step::Large { nth, df }),
        1 => (0u8..10, 400u16..408).prop_map(|(kind, port)| Step::Stray { kind, port }),
        1 => prop::sample::select(vec![1, 200, 14_000, 31_000, 66_000, 250_000])
            .prop_map(|millis| Step::Pass { millis }),
        1 => (0usize..3).prop_map(|variant| Step::Policy { variant }),
    ];
    prop::collection::vec(step, 1..200)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn several_engines_do_what_one_does(
        steps in steps(),
        workers in prop::sample::select(vec![1, 2, 3, 4]),
    ) {
        let mut twins = Twins::new(workers, &narrow_world(1, &[STORAGE, SQL]));
        for step in &steps {
            twins.run(step);
        }
        prop_assert_eq!(twins.several.flows(), twins.one.flows());
    }
}

/// Kinds of flows that pass: sender, receiver, protocol, and whether fragments and errors do too.
const PASSING: [(usize, usize, u8, bool); 13] = [
    (0, 0, 6, true),
    (0, 0, 17, true),
    (1, 0, 6, true),
    (2, 1, 17, true),
    (1, 0, 1, true),
    (1, 2, 6, true),
    (0, 4, 17, true),
    (1, 5, ESP, false),
    (0, 6, 6, false),
    (3, 6, 6, false),
    (2, 6, 6, true),
    (0, 7, 6, true),
    (4, 2, 17, true),
];

/// So that the property above is not about packets that are dropped alike.
#[test]
fn every_kind_of_flow_passes_both_ways_whoever_reads_it() {
    for workers in [1, 2, 4] {
        let mut twins = Twins::new(workers, &shared_world(1, &[STORAGE, SQL]));
        for port in 400..424 {
            for (sender, receiver, protocol, passes_all) in PASSING {
                let what = (workers, port, sender, receiver, protocol);
                let at = twins.talk(sender, receiver, protocol, port);
                twins.request(at, SYN, Shape::Whole, &[]);
                assert!(twins.talks[at].last[0].is_some(), "{what:?}");
                // About what is not acknowledged yet.
                assert!(!passes_all || twins.complain(at, 0, true, 8), "{what:?}");
                twins.reply(at, SYN | ACK, Shape::Whole, &[]);
                assert!(twins.talks[at].last[1].is_some(), "{what:?}");
                if passes_all {
                    assert!(twins.complain(at, 1, true, 8), "{what:?}");
                    let before = sent(&twins.several);
                    twins.request(at, ACK, Shape::Fragments, &[5; 40]);
                    twins.reply(at, ACK, Shape::Fragments, &[5; 40]);
                    assert!(
                        sent(&twins.several) >= before + 4 || protocol == 1,
                        "{what:?}"
                    );
                }
            }
        }
        let counts = twins
            .several
            .engines
            .iter()
            .map(|engine| engine.flow_count());
        // ESP has no ports: one flow for all of them.
        assert_eq!(counts.clone().sum::<usize>(), 24 * (PASSING.len() - 1) + 1);
        let least = 24 * PASSING.len() / workers / 2;
        assert!(
            counts.clone().all(|count| count >= least),
            "{:?}",
            counts.collect::<Vec<_>>()
        );
    }
}

fn sent(fleet: &Fleet) -> u64 {
    let counters = fleet.counters();
    let ports = (0..8).filter_map(|port| counters.port(PortId(port)));
    ports.map(|port| port.sent_frames).sum()
}

/// Two networks have equal addresses, and their NICs reach one native service from equal ports: the
/// second gets another port, of the same class.
#[test]
fn native_port_that_is_taken_gives_way_to_one_of_the_same_owner() {
    for workers in [2, 3, 4] {
        let mut twins = Twins::new(workers, &shared_world(1, &[STORAGE, SQL]));
        for port in 400..500 {
            let mut seen = vec![];
            for sender in [0, 3] {
                let at = twins.talk(sender, 7, 6, port);
                twins.request(at, SYN, Shape::Whole, &[]);
                twins.reply(at, SYN | ACK, Shape::Whole, &[]);
                assert!(twins.talks[at].last[1].is_some());
                let (_, [_, packet]) = twins.talks[at].last[0].as_ref().unwrap();
                seen.push(ends(packet).0.port());
            }
            assert!(seen[0] == port && seen[1] != port, "{seen:?}");
        }
    }
}
