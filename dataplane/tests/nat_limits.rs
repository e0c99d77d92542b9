//! How many flows a shared source carries, to one destination and in all, as section 9 of the
//! reference has it for NAT gateways; here with small limits.

#![allow(clippy::indexing_slicing, clippy::unwrap_used, reason = "test code")]

mod common;

use common::Rig;
use common::nat::*;
use common::packets::*;
use common::world::*;
use postern_dataplane::engine::{Engine, FlowView, SourceKind, Verdict};
use postern_dataplane::policy::{
    Direction, PortId, PublicAddress, PublicSource, SharedSource, Snapshot, SourceId,
};
use postern_dataplane::stats::DropReason;
use postern_dataplane::time::Now;
use proptest::prelude::*;
use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::Arc;

const SERVER: &str = "23.53.254.142:80";
const SECOND: &str = "65.52.1.2";
const THIRD: &str = "65.52.1.3";

/// A policy whose gateway has these addresses and limits: to one destination, and in all.
fn limited(
    epoch: u32,
    addresses: &[&str],
    (destination, total): (Option<u32>, Option<u32>),
) -> Snapshot {
    let mut snapshot = gateway_world(epoch, &[]);
    snapshot.publics.remove(&ip(GATEWAY));
    for address in addresses {
        snapshot
            .publics
            .insert(ip(address), PublicAddress::Shared(SourceId(0)));
    }
    let source = &mut snapshot.sources[0];
    source.addresses = addresses.iter().map(|address| ip(address)).collect();
    source.max_flows_per_destination = destination;
    source.max_flows = total;
    snapshot
}

fn syn(n: u16, server: &str) -> Vec<u8> {
    tcp(&format!("10.0.0.1:{n}"), server, SYN, 100, 0, &[])
}

fn query(n: u16, server: &str) -> Vec<u8> {
    udp(&format!("10.0.0.1:{n}"), server, b"q")
}

/// Opens a flow of VM1; returns the public address that it got.
#[track_caller]
fn opened(rig: &mut Rig, packet: &[u8]) -> Ipv4Addr {
    *ends(&rig.forward(VM1, packet, INET)).0.ip()
}

#[track_caller]
fn refused(rig: &mut Rig, packet: &[u8]) {
    rig.drop(VM1, packet, DropReason::SnatExhausted);
}

#[test]
fn a_full_destination_refuses_new_flows_and_nothing_else() {
    let mut rig = Rig::new(limited(1, &[GATEWAY], (Some(2), None)));
    let public = open(&mut rig, VM1, "10.0.0.1:1", SERVER);
    opened(&mut rig, &syn(2, SERVER));
    refused(&mut rig, &syn(3, SERVER));
    refused(&mut rig, &syn(4, SERVER));
    let counters = rig.engine.counters().port(VM1).unwrap();
    let dropped = counters.dropped(Direction::Outbound, DropReason::SnatExhausted);
    assert_eq!(dropped, 2);
    // What there is lives on, both ways.
    let (sent, answer) = (
        tcp("10.0.0.1:1", SERVER, ACK, 101, 501, b"x"),
        tcp(SERVER, &public, ACK, 501, 102, b"y"),
    );
    rig.forward(VM1, &sent, INET);
    rig.forward(INET, &answer, VM1);
    // Another port, address or protocol is another destination.
    for other in ["23.53.254.142:81", "23.53.254.143:80"] {
        opened(&mut rig, &syn(3, other));
    }
    opened(&mut rig, &query(3, SERVER));
}

#[test]
fn an_echo_has_no_port_so_all_of_one_host_are_counted() {
    let mut snapshot = limited(1, &[GATEWAY], (Some(2), None));
    snapshot.sources[0].icmp = true;
    let mut rig = Rig::new(snapshot);
    let ping = |to, ident| echo("10.0.0.1", to, true, ident);
    for ident in [1, 2] {
        rig.forward(VM1, &ping("8.8.8.8", ident), INET);
    }
    refused(&mut rig, &ping("8.8.8.8", 3));
    rig.forward(VM1, &ping("8.8.4.4", 3), INET);
}

#[test]
fn the_next_address_is_taken_when_one_is_full_for_the_destination() {
    let mut rig = Rig::new(limited(1, &[GATEWAY, SECOND], (Some(2), None)));
    let first: Vec<_> = (1..=2).map(|n| opened(&mut rig, &syn(n, SERVER))).collect();
    assert_eq!(first[0], first[1], "one sender, one address");
    let next: Vec<_> = (3..=4).map(|n| opened(&mut rig, &syn(n, SERVER))).collect();
    assert_eq!(next[0], next[1]);
    assert_ne!(first[0], next[0]);
    refused(&mut rig, &syn(5, SERVER));
    // The sender goes back to its own for what is not full there.
    assert_eq!(opened(&mut rig, &syn(5, "8.8.8.8:80")), first[0]);
}

#[test]
fn an_ended_flow_makes_room_once_its_port_has_rested() {
    let mut rig = Rig::new(limited(1, &[GATEWAY], (Some(1), None)));
    let public = open(&mut rig, VM1, "10.0.0.1:1", SERVER);
    close(&mut rig, VM1, "10.0.0.1:1", SERVER, &public);
    rig.pass_time(64_500);
    refused(&mut rig, &syn(2, SERVER));
    rig.pass_time(1_000);
    opened(&mut rig, &syn(2, SERVER));

    let mut rig = Rig::new(limited(1, &[GATEWAY], (Some(1), None)));
    opened(&mut rig, &query(1, SERVER));
    rig.pass_time(240_500);
    assert_eq!(rig.engine.flows(None, 1)[0].state, "held");
    rig.pass_time(64_000);
    refused(&mut rig, &query(2, SERVER));
    rig.pass_time(1_500);
    opened(&mut rig, &query(2, SERVER));
}

#[test]
fn a_connection_that_is_opened_again_takes_its_own_place() {
    let mut rig = Rig::new(limited(1, &[GATEWAY], (Some(1), Some(1))));
    for _ in 0..3 {
        let public = open(&mut rig, VM1, "10.0.0.1:1", SERVER);
        close(&mut rig, VM1, "10.0.0.1:1", SERVER, &public);
        refused(&mut rig, &syn(2, SERVER));
    }
    rig.pass_time(66_000);
    opened(&mut rig, &syn(2, SERVER));
}

#[test]
fn a_source_has_a_limit_of_all_its_flows() {
    let mut rig = Rig::new(limited(1, &[GATEWAY, SECOND], (Some(2), Some(4))));
    for n in 1..=3 {
        opened(&mut rig, &syn(n, SERVER));
    }
    opened(&mut rig, &query(1, "8.8.8.8:53"));
    refused(&mut rig, &syn(4, SERVER));
    refused(&mut rig, &query(2, "8.8.4.4:53"));
    opened(&mut rig, &syn(1, SERVER));
    // Half-open connections last 30 s.
    rig.pass_time(31_000);
    opened(&mut rig, &query(2, "8.8.4.4:53"));
}

#[test]
fn flows_of_another_source_are_not_counted() {
    // VM2 gets a source of its own, without a limit.
    let mut snapshot = limited(1, &[GATEWAY], (Some(1), Some(2)));
    snapshot.sources.push(SharedSource {
        addresses: vec![ip(SECOND)],
        ..SharedSource::default()
    });
    let id = SourceId(1);
    snapshot
        .publics
        .insert(ip(SECOND), PublicAddress::Shared(id));
    nic_mut(&mut snapshot, VM2).public = PublicSource::Shared(id);
    let mut rig = Rig::new(snapshot);
    for n in 1..=20 {
        let syn = tcp(&format!("10.0.2.4:{n}"), SERVER, SYN, 1, 0, &[]);
        rig.forward(VM2, &syn, INET);
    }
    opened(&mut rig, &syn(1, SERVER));
    refused(&mut rig, &syn(2, SERVER));
    opened(&mut rig, &query(1, SERVER));
    refused(&mut rig, &query(1, "8.8.8.8:53"));
}

#[test]
fn a_lower_limit_leaves_live_flows_alone() {
    // No limit at first: what is opened then is counted all the same.
    let mut rig = Rig::new(limited(1, &[GATEWAY], (None, None)));
    let clients: Vec<String> = (1..=4).map(|n| format!("10.0.0.1:{n}")).collect();
    let publics: Vec<String> = clients
        .iter()
        .map(|client| open(&mut rig, VM1, client, SERVER))
        .collect();
    let report = rig.apply(limited(2, &[GATEWAY], (Some(2), None)));
    assert_eq!((report.kept, report.closed), (4, 0));
    refused(&mut rig, &syn(9, SERVER));
    for (client, public) in clients.iter().zip(&publics) {
        let seen = rig.forward(VM1, &tcp(client, SERVER, ACK, 101, 501, b"x"), INET);
        assert_eq!(ends(&seen).0.to_string(), *public);
        rig.forward(INET, &tcp(SERVER, public, ACK, 501, 102, b"y"), VM1);
    }
    let report = rig.apply(limited(3, &[GATEWAY], (None, Some(3))));
    assert_eq!(report.kept, 4);
    refused(&mut rig, &syn(9, "8.8.8.8:80"));
    // There is room when fewer than the limit are left, not at the first that ends.
    for (n, room) in [(0, false), (1, true)] {
        rig.forward(VM1, &tcp(&clients[n], SERVER, RST, 102, 502, &[]), INET);
        rig.pass_time(17_000);
        match room {
            false => refused(&mut rig, &syn(9, "8.8.8.8:80")),
            true => _ = opened(&mut rig, &syn(9, "8.8.8.8:80")),
        }
    }
    rig.apply(limited(4, &[GATEWAY], (None, None)));
    opened(&mut rig, &syn(10, SERVER));
}

#[test]
fn an_address_that_goes_takes_its_flows_along() {
    let mut rig = Rig::new(limited(1, &[GATEWAY], (Some(2), Some(2))));
    for n in 1..=2 {
        opened(&mut rig, &syn(n, SERVER));
    }
    rig.apply(limited(2, &[SECOND], (Some(2), Some(2))));
    assert_eq!(rig.made().len(), 4, "both ends of both");
    for n in 3..=4 {
        assert_eq!(opened(&mut rig, &syn(n, SERVER)), ip(SECOND));
    }
    refused(&mut rig, &syn(5, SERVER));
    // Back again: what was closed there rests for as long as late segments are answered.
    rig.apply(limited(3, &[GATEWAY], (Some(2), Some(2))));
    rig.made();
    refused(&mut rig, &syn(5, SERVER));
    rig.pass_time(31_000);
    for n in 5..=6 {
        assert_eq!(opened(&mut rig, &syn(n, SERVER)), ip(GATEWAY));
    }
}

/// What happens in the property test.
#[derive(Clone, Debug)]
enum Step {
    /// A packet that may open a flow: of VM2 or VM1, UDP or TCP, from and to one of few.
    Send(bool, bool, u16, u8),
    /// The answer to one of the connections that there are, or what ends it: a flag of TCP.
    Answer(usize, u8),
    Wait(u64),
    /// A policy with the addresses of these bits and these limits; so many flows are swept.
    Apply(u8, u32, u32, usize),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (any::<bool>(), any::<bool>(), 1u16..7, 0u8..3)
            .prop_map(|(far, is_udp, port, to)| Step::Send(far, is_udp, port, to)),
        4 => (0usize..64, prop::sample::select(vec![SYN | ACK, ACK, ACK | FIN, RST | ACK]))
            .prop_map(|(at, flags)| Step::Answer(at, flags)),
        1 => (1u64..100_000).prop_map(Step::Wait),
        1 => (1u8..8, 1u32..4, 2u32..12, 0usize..30)
            .prop_map(|(bits, destination, total, swept)| {
                Step::Apply(bits, destination, total, swept)
            }),
    ]
}

fn server(n: u8) -> String {
    format!("8.8.8.{n}:53")
}

/// The engine beside the limits that are in force.
struct Limited {
    engine: Engine,
    now: u64,
    epoch: u32,
    addresses: Vec<Ipv4Addr>,
    destination: u32,
    total: u32,
}

impl Limited {
    fn new() -> Self {
        Self {
            engine: roomy_for(limited(1, &[GATEWAY, SECOND], (Some(2), Some(8))), 4096),
            now: 1_000,
            epoch: 1,
            addresses: vec![ip(GATEWAY), ip(SECOND)],
            destination: 2,
            total: 8,
        }
    }

    fn leased(&self) -> Vec<FlowView> {
        let mut flows = self.engine.flows(None, usize::MAX);
        flows.retain(|flow| flow.source_kind == SourceKind::Shared);
        flows
    }

    /// Says what a new flow gets, by counting all that there are from nothing: a public address, or
    /// none.
    fn expected(&self, protocol: u8, from: Ipv4Addr, to: SocketAddrV4) -> Option<Ipv4Addr> {
        let mut counts: HashMap<(Ipv4Addr, u8, SocketAddrV4), u32> = HashMap::new();
        for flow in self.leased() {
            let way = (
                *flow.translated_source.ip(),
                flow.protocol,
                flow.destination,
            );
            *counts.entry(way).or_default() += 1;
        }
        let ours = counts
            .iter()
            .filter(|((at, ..), _)| self.addresses.contains(at));
        if ours.map(|(_, count)| count).sum::<u32>() >= self.total {
            return None;
        }
        let first = u32::from(from) as usize % self.addresses.len();
        let (before, after) = self.addresses.split_at(first);
        after
            .iter()
            .chain(before)
            .copied()
            .find(|&at| counts.get(&(at, protocol, to)).copied().unwrap_or(0) < self.destination)
    }

    fn send(&mut self, far: bool, is_udp: bool, port: u16, to: &str) -> Result<(), TestCaseError> {
        let (vm, host) = if far {
            (VM2, "10.0.2.4")
        } else {
            (VM1, "10.0.0.1")
        };
        let client = format!("{host}:{port}");
        let (protocol, packet) = match is_udp {
            true => (17, udp(&client, to, b"q")),
            false => (6, tcp(&client, to, SYN, 100, 0, &[])),
        };
        let is_known = self.engine.flows(None, usize::MAX).iter().any(|flow| {
            (flow.ingress, flow.protocol, flow.source, flow.destination)
                == (vm, protocol, addr(&client), addr(to))
        });
        let expected = self.expected(protocol, ip(host), addr(to));
        let (verdict, source) = quick(&mut self.engine, self.now, vm, &packet);
        // A flow that is there goes on, or is judged anew; its place shows in the steps after.
        if !is_known {
            match expected {
                Some(address) => {
                    prop_assert_eq!((verdict, *source.ip()), (Verdict::Forward(INET), address));
                }
                None => prop_assert_eq!(verdict, Verdict::Drop(DropReason::SnatExhausted)),
            }
        }
        Ok(())
    }

    fn answer(&mut self, at: usize, flags: u8) {
        let mut flows = self.leased();
        flows.retain(|flow| flow.protocol == 6);
        flows.sort_by_key(|flow| (flow.source, flow.destination));
        let Some(flow) = flows.get(at % flows.len().max(1)) else {
            return;
        };
        let (client, server) = (flow.source.to_string(), flow.destination.to_string());
        let public = flow.translated_source.to_string();
        let mut quick =
            |port: PortId, packet: &[u8]| quick(&mut self.engine, self.now, port, packet);
        quick(INET, &tcp(&server, &public, flags, 500, 101, &[]));
        quick(
            flow.ingress,
            &tcp(&client, &server, ACK | flags & FIN, 101, 501, &[]),
        );
    }

    fn apply(&mut self, bits: u8, destination: u32, total: u32, swept: usize) {
        self.epoch += 1;
        let addresses: Vec<&str> = [GATEWAY, SECOND, THIRD]
            .into_iter()
            .enumerate()
            .filter(|(bit, _)| bits & 1 << bit != 0)
            .map(|(_, address)| address)
            .collect();
        self.addresses = addresses.iter().map(|address| ip(address)).collect();
        (self.destination, self.total) = (destination, total);
        let limits = (Some(destination), Some(total));
        let snapshot = limited(self.epoch, &addresses, limits);
        self.engine.install(Arc::new(snapshot));
        self.engine.advance(Now::from_millis(self.now), swept);
    }

    fn wait(&mut self, millis: u64) {
        self.now += millis;
        self.engine.advance(Now::from_millis(self.now), usize::MAX);
    }

    fn step(&mut self, step: Step) -> Result<(), TestCaseError> {
        match step {
            Step::Send(far, is_udp, port, to) => self.send(far, is_udp, port, &server(to))?,
            Step::Answer(at, flags) => self.answer(at, flags),
            Step::Wait(millis) => self.wait(millis),
            Step::Apply(bits, destination, total, swept) => {
                self.apply(bits, destination, total, swept);
            }
        }
        while self.engine.take_emitted().is_some() {}
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn the_numbers_never_drift(steps in prop::collection::vec(step(), 1..150)) {
        let mut limited = Limited::new();
        for step in steps {
            limited.step(step)?;
        }
        // All ends, and then there is as much room as at first.
        for _ in 0..3 {
            limited.wait(300_000);
        }
        prop_assert_eq!(limited.engine.flow_count(), 0);
        for view in limited.engine.snat() {
            prop_assert_eq!((view.tcp, view.udp), (0, 0));
        }
        let of_addresses = limited.destination as usize * limited.addresses.len();
        let room = of_addresses.min(limited.total as usize);
        for (port, _) in (1000..).zip(0..=room) {
            limited.send(true, true, port, &server(9))?;
        }
        prop_assert_eq!(limited.engine.flow_count(), room);
    }
}
