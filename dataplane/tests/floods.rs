//! A flood fills the table, and nobody else notices: whoever floods, with whatever, and from
//! wherever, flows that were answered live on and others open theirs.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "test code: a packet that is not as the test built it stops the test"
)]

mod common;

use common::Rig;
use common::fleet::Fleet;
use common::nat::{open, quick};
use common::packets::*;
use common::world::*;
use postern_dataplane::engine::{Engine, EngineConfig, ShareView, Verdict};
use postern_dataplane::policy::{Direction, Port, PortId, PortKind, Snapshot};
use postern_dataplane::stats::{Counters, DropReason};
use std::sync::Arc;

const PLATFORM: PortId = PortId(6);
const DNS: &str = "168.63.129.16:53";
const MAX: u32 = 4096;
const CONFIG: EngineConfig = EngineConfig {
    max_flows: MAX,
    seed: 5,
};

/// The world with the platform's resolver.
fn with_platform() -> Snapshot {
    let mut snapshot = world(1, &[]);
    snapshot.ports.push(Some(Port {
        mtu: 1500,
        kind: PortKind::Platform,
    }));
    snapshot.platform = [(ip("168.63.129.16"), PLATFORM)].into_iter().collect();
    snapshot
}

/// A packet whose ends are numbers, quickly made; sums are not asked for.
fn raw(protocol: u8, from: (u32, u16), to: (&str, u16), flags: u8) -> Vec<u8> {
    let rest = match protocol {
        6 => [&[0; 8][..], &[0x50, flags, 4, 0, 0, 0, 0, 0]].concat(),
        17 => vec![0, 8, 0, 0],
        _ => vec![],
    };
    let len = 24 + rest.len() + if protocol == 1 { 4 } else { 0 };
    let mut packet = vec![0x45, 0, 0, len as u8, 0, 0, 0, 0, 64, protocol, 0, 0];
    packet.extend(from.0.to_be_bytes());
    packet.extend(ip(to.0).octets());
    if protocol == 1 {
        packet.extend([8, 0, 0, 0]);
    }
    packet.extend(from.1.to_be_bytes());
    packet.extend(to.1.to_be_bytes());
    packet.extend(rest);
    packet
}

/// A way to flood: the port that it comes in by, and the packet with a number.
type Flood = (PortId, fn(u32) -> Vec<u8>);

fn address(text: &str) -> u32 {
    ip(text).to_bits()
}

/// Ports below the one that is the host's own.
fn port(n: u32) -> u16 {
    (1024 + n % 60_000) as u16
}

fn strangers_to_a_service(n: u32) -> Vec<u8> {
    raw(17, (0x0900_0000 + n, 5000), ("52.239.0.10", 80), 0)
}

fn strangers_to_a_nic(n: u32) -> Vec<u8> {
    raw(6, (0x0900_0000 + n, 5000), ("20.0.0.9", 80), SYN)
}

fn pings_of_strangers(n: u32) -> Vec<u8> {
    raw(1, (0x0900_0000 + n, 5000), ("20.0.0.9", 1), 0)
}

fn first_fragments_of_strangers(n: u32) -> Vec<u8> {
    let mut packet = strangers_to_a_service(n);
    packet[6] = 0x20;
    packet
}

fn syns_of_a_guest(n: u32) -> Vec<u8> {
    let to = format!("8.{}.0.1", n / 60_000);
    raw(6, (address("10.0.1.4"), port(n)), (&to, 80), SYN)
}

fn datagrams_of_another(n: u32) -> Vec<u8> {
    let to = format!("8.8.{}.9", n % 250);
    raw(17, (address("10.0.2.4"), port(n)), (&to, 80), 0)
}

fn a_guest_to_another(n: u32) -> Vec<u8> {
    let to = ("10.0.1.5", 1 + (n % 60_000) as u16);
    raw(17, (address("10.0.1.4"), port(n / 7)), to, 0)
}

/// Asserts that no flow was lost count of.
#[track_caller]
fn assert_adds_up(rig: &Rig) {
    let counters = rig.engine.counters();
    let live = rig.engine.flows(None, usize::MAX);
    let live = live
        .iter()
        .filter(|flow| !["held", "cut", "denied"].contains(&flow.state));
    assert_eq!(
        counters.flows_opened,
        counters.flows_ended + counters.flows_closed + counters.flows_evicted + live.count() as u64
    );
    let by_port = (0..8).filter_map(|n| counters.port(PortId(n)));
    let by_port: u64 = by_port.map(|port| port.flows_evicted).sum();
    assert_eq!(by_port, counters.flows_evicted);
    let shares = rig.engine.shares();
    let flows: u32 = shares.iter().map(|share| share.flows).sum();
    assert_eq!(flows as usize, rig.engine.flow_count());
    assert!(shares.iter().all(|share| share.waiting <= share.flows));
}

/// Sends `count` packets of each flood in turn. What is not forwarded is counted where it came in.
fn flood(rig: &mut Rig, floods: &[Flood], count: u32) {
    for n in 0..count {
        for &(port, make) in floods {
            rig.send_any(port, &make(n));
        }
    }
}

/// Established flows of every protocol, before the flood.
struct Established {
    tcp: String,
    udp: String,
}

const CLIENT: &str = "10.0.1.5:4000";
const SERVER: &str = "9.9.9.9:443";

impl Established {
    fn open(rig: &mut Rig) -> Self {
        let public = open(rig, VM1, CLIENT, SERVER);
        let query = rig.forward(VM1, &udp("10.0.1.5:4001", "9.9.9.9:53", b"q"), INET);
        let asked = ends(&query).0.to_string();
        rig.forward(INET, &udp("9.9.9.9:53", &asked, b"a"), VM1);
        rig.forward(VM0, &echo("10.0.1.4", "10.0.1.5", true, 7), VM1);
        rig.forward(VM1, &echo("10.0.1.5", "10.0.1.4", false, 7), VM0);
        Self {
            tcp: public,
            udp: asked,
        }
    }

    /// Nothing of them is lost, first from outside, which opens nothing.
    fn check(&self, rig: &mut Rig) {
        rig.forward(INET, &tcp(SERVER, &self.tcp, ACK, 501, 101, b"y"), VM1);
        let sent = rig.forward(VM1, &tcp(CLIENT, SERVER, ACK, 101, 502, b"x"), INET);
        assert_eq!(ends(&sent).0.to_string(), self.tcp);
        rig.forward(INET, &udp("9.9.9.9:53", &self.udp, b"a"), VM1);
        rig.forward(VM1, &echo("10.0.1.5", "10.0.1.4", false, 7), VM0);
    }
}

/// Opens `count` connections of FAR, whom nobody floods, to the Internet, with some names resolved,
/// while the flood goes on.
fn open_others(rig: &mut Rig, floods: &[Flood], count: u32) {
    for n in 0..count {
        if n % 10 == 0 {
            let client = format!("10.0.1.4:{}", 1024 + n);
            let query = rig.forward(FAR, &udp(&client, DNS, b"q"), PLATFORM);
            let asked = ends(&query).0.to_string();
            flood(rig, floods, 3);
            rig.forward(PLATFORM, &udp(DNS, &asked, b"a"), FAR);
        }
        let client = format!("10.0.1.4:{}", 1024 + n);
        let server = format!("7.7.{}.{}:443", n / 200, 1 + n % 200);
        let syn = tcp(&client, &server, SYN, 100, 0, &[]);
        let public = ends(&rig.forward(FAR, &syn, INET)).0.to_string();
        flood(rig, floods, 3);
        let answer = tcp(&server, &public, SYN | ACK, 500, 101, &[]);
        rig.forward(INET, &answer, FAR);
        flood(rig, floods, 3);
        rig.forward(FAR, &tcp(&client, &server, ACK, 101, 501, &[]), INET);
    }
}

/// Floods a table, and asserts that others open what they open and established flows lose nothing.
fn survives(floods: &[Flood]) {
    let mut rig = Rig::with(CONFIG, with_platform());
    let established = Established::open(&mut rig);
    flood(&mut rig, floods, MAX + 2000);
    rig.check();
    assert_eq!(rig.engine.flow_count(), MAX as usize, "the table is full");
    established.check(&mut rig);
    open_others(&mut rig, floods, 300);
    established.check(&mut rig);
    rig.check();
    assert_adds_up(&rig);
    let counters = rig.engine.counters();
    for port in [VM1, FAR, PLATFORM] {
        let evicted = counters.port(port).map_or(0, |port| port.flows_evicted);
        assert_eq!(evicted, 0, "{port:?} lost a flow to the flood");
    }
    assert!(counters.flows_evicted > 0);
}

#[test]
fn datagrams_of_strangers_to_a_service() {
    survives(&[(INET, strangers_to_a_service)]);
}

#[test]
fn connections_and_pings_of_strangers_to_a_guest() {
    survives(&[(INET, strangers_to_a_nic)]);
    survives(&[(INET, pings_of_strangers)]);
}

#[test]
fn first_fragments_of_strangers_fill_nothing_either() {
    survives(&[(INET, first_fragments_of_strangers)]);
}

#[test]
fn connections_of_one_guest() {
    survives(&[(VM0, syns_of_a_guest)]);
}

#[test]
fn datagrams_of_a_guest_to_another() {
    survives(&[(VM0, a_guest_to_another)]);
}

#[test]
fn two_guests_and_the_public_side_together() {
    survives(&[(VM0, syns_of_a_guest), (VM2, datagrams_of_another)]);
    survives(&[
        (VM0, syns_of_a_guest),
        (VM2, datagrams_of_another),
        (INET, strangers_to_a_service),
        (INET, strangers_to_a_nic),
    ]);
}

#[test]
fn a_limit_of_openings_holds_for_what_comes_from_outside_and_for_nothing_else() {
    let mut rig = Rig::with(CONFIG, with_platform());
    let established = Established::open(&mut rig);
    let stranger = |n: u32| tcp(&format!("9.0.0.{n}:5000"), "20.0.0.9:80", SYN, 1, 0, &[]);
    rig.engine.limit_openings(3);
    for n in 0..3 {
        rig.forward(INET, &stranger(n), VM0);
    }
    let refused = DropReason::TooManyOpenings;
    rig.drop(INET, &stranger(3), refused);
    rig.drop(INET, &strangers_to_a_service(4), refused);
    assert_eq!(rig.engine.openings(), 5, "tries are counted");
    // What belongs to a flow passes, and so does what a NIC opens.
    rig.forward(INET, &stranger(0), VM0);
    established.check(&mut rig);
    rig.forward(FAR, &udp("10.0.1.4:4000", DNS, b"q"), PLATFORM);
    assert_eq!(rig.engine.openings(), 5);
    rig.engine.limit_openings(u32::MAX);
    rig.forward(INET, &stranger(3), VM0);
    assert_eq!(rig.engine.openings(), 1);
    rig.check();
    assert_adds_up(&rig);
}

#[test]
fn who_floods_shares_the_table_evenly_and_has_names_resolved() {
    let mut rig = Rig::with(CONFIG, with_platform());
    let floods: [Flood; 2] = [(VM0, syns_of_a_guest), (VM2, datagrams_of_another)];
    // One has all there is until the other comes.
    flood(&mut rig, &floods[..1], MAX + 100);
    rig.drop(VM0, &syns_of_a_guest(59_000), DropReason::FlowTableFull);
    assert_eq!(rig.engine.counters().flows_evicted, 0);
    flood(&mut rig, &floods, MAX);
    let share = |rig: &Rig, of: PortId| {
        let shares = rig.engine.shares();
        let share = shares.into_iter().find(|share| share.port == of);
        share.map_or(0, |share| share.waiting)
    };
    let (one, other) = (share(&rig, VM0), share(&rig, VM2));
    assert!(one.abs_diff(other) * 3 < one, "{one} and {other}");
    // The flooder's own questions have their own share.
    let query = rig.forward(VM0, &udp("10.0.1.4:999", DNS, b"q"), PLATFORM);
    flood(&mut rig, &floods, 500);
    let asked = ends(&query).0.to_string();
    rig.forward(PLATFORM, &udp(DNS, &asked, b"a"), VM0);
    assert_adds_up(&rig);
}

#[test]
fn a_flooded_service_still_takes_others_in_and_so_do_its_neighbours() {
    let mut rig = Rig::with(CONFIG, with_platform());
    let floods: [Flood; 1] = [(INET, strangers_to_a_service)];
    flood(&mut rig, &floods, MAX + 100);
    for (n, to) in ["52.239.0.10:80", "40.79.0.10:1433"].iter().enumerate() {
        let from = format!("8.8.8.{}:7000", n + 1);
        let out = rig.forward(INET, &tcp(&from, to, SYN, 1, 0, &[]), SVC);
        assert_eq!(ends(&out).0.to_string(), from);
        flood(&mut rig, &floods, 100);
        rig.forward(SVC, &tcp(to, &from, SYN | ACK, 1, 2, &[]), INET);
        rig.forward(INET, &tcp(&from, to, ACK, 2, 2, &[]), SVC);
        flood(&mut rig, &floods, MAX + 100);
        rig.forward(SVC, &tcp(to, &from, ACK, 2, 2, b"late"), INET);
    }
    assert_adds_up(&rig);
}

/// A service that answers everybody makes every flow an answered one.
#[test]
fn a_flood_that_is_answered_leaves_room_for_others() {
    let mut rig = Rig::with(CONFIG, with_platform());
    let answered = |rig: &mut Rig, n: u32| {
        rig.send_any(INET, &strangers_to_a_service(n));
        let to = format!("{}:5000", std::net::Ipv4Addr::from(0x0900_0000 + n));
        rig.send_any(SVC, &udp("52.239.0.10:80", &to, b"a"));
    };
    for n in 0..MAX + 1000 {
        answered(&mut rig, n);
    }
    assert_eq!(rig.engine.flow_count(), MAX as usize);
    let shares = rig.engine.shares();
    let of_inet: Vec<&ShareView> = shares.iter().filter(|share| share.port == INET).collect();
    assert_eq!(of_inet.len(), 1);
    let kept = of_inet[0].flows - of_inet[0].waiting;
    assert!(kept <= MAX / 3 + 1 && kept > MAX / 4, "{kept} of {MAX}");
    let established = Established::open(&mut rig);
    for n in MAX + 1000..2 * MAX {
        answered(&mut rig, n);
    }
    established.check(&mut rig);
    open_others(&mut rig, &[(INET, strangers_to_a_nic)], 100);
    established.check(&mut rig);
    assert_adds_up(&rig);
}

#[test]
fn established_flows_never_give_way_and_the_table_can_be_full_of_them() {
    let config = EngineConfig {
        max_flows: 8,
        seed: 1,
    };
    let mut rig = Rig::with(config, with_platform());
    // Two guests keep six between them, and what is beyond that waits.
    for (vm, from) in [(VM0, "10.0.1.4"), (VM2, "10.0.2.4")] {
        for n in 1..=4 {
            let client = format!("{from}:{n}");
            let asked = rig.forward(vm, &udp(&client, "9.9.9.9:53", b"q"), INET);
            let asked = ends(&asked).0.to_string();
            rig.forward(INET, &udp("9.9.9.9:53", &asked, b"a"), vm);
        }
    }
    let waiting: u32 = rig.engine.shares().iter().map(|share| share.waiting).sum();
    assert_eq!(waiting, 2, "beyond the second one's share");
    for n in 1..=3 {
        let syn = tcp(&format!("10.0.1.5:{n}"), SERVER, SYN, 1, 0, &[]);
        match n {
            1 => _ = rig.forward(VM1, &syn, INET),
            // As many of its own wait as of the other.
            _ => rig.drop(VM1, &syn, DropReason::FlowTableFull),
        }
    }
    assert_adds_up(&rig);
}

#[test]
fn a_nic_that_is_flooded_up_to_its_limit_takes_others_in() {
    let mut snapshot = with_platform();
    snapshot.settings.max_nic_flows = 500;
    let mut rig = Rig::with(CONFIG, snapshot);
    let established = Established::open(&mut rig);
    flood(&mut rig, &[(VM0, a_guest_to_another)], 600);
    rig.drop_at(
        VM0,
        Default::default(),
        &a_guest_to_another(900),
        (VM0, Direction::Outbound, DropReason::NicFlowLimit),
    );
    // Fill what is left of the receiver's places from the public side's.
    for n in 0..400 {
        let client = format!("10.0.2.4:{}", 2000 + n);
        let public = rig.forward(VM2, &tcp(&client, "10.0.1.5:22", SYN, 9, 0, &[]), VM1);
        assert_eq!(ends(&public).0.to_string(), client);
        let answer = tcp("10.0.1.5:22", &client, SYN | ACK, 5, 10, &[]);
        rig.forward(VM1, &answer, VM2);
        rig.forward(VM2, &tcp(&client, "10.0.1.5:22", ACK, 10, 6, &[]), VM1);
    }
    established.check(&mut rig);
    let to_vm1 = rig.engine.flows(Some(VM1), usize::MAX);
    let to_vm1 = to_vm1.iter().filter(|flow| flow.egress == VM1).count();
    assert_eq!(to_vm1, 500, "the limit holds");
    assert_adds_up(&rig);
}

#[test]
fn unanswered_flows_are_short_while_they_take_half_the_table() {
    let mut rig = Rig::with(CONFIG, with_platform());
    let idle = udp("10.0.1.5:4001", "9.9.9.9:53", b"q");
    rig.forward(VM1, &idle, INET);
    rig.pass_time(11_000);
    assert_eq!(rig.engine.flow_count(), 1, "not short without need");
    flood(&mut rig, &[(INET, strangers_to_a_service)], MAX);
    let established = Established::open(&mut rig);
    rig.pass_time(11_000);
    assert!(rig.engine.flow_count() <= MAX as usize / 2 + 8);
    established.check(&mut rig);
    // Then the rest lives as long as any.
    rig.pass_time(50_000);
    assert!(rig.engine.flow_count() > MAX as usize / 3);
    established.check(&mut rig);
    assert_adds_up(&rig);
}

/// Sends floods through several engines, between which others open theirs.
#[test]
fn several_workers_survive_as_one_does() {
    for workers in [1, 2, 4] {
        let mut fleet = Fleet::new(CONFIG, &Arc::new(with_platform()), workers);
        let ok = |fleet: &mut Fleet, port, packet: &[u8], out| {
            let outcome = fleet.process(1, port, packet);
            assert_eq!(outcome.verdict, Verdict::Forward(out), "{workers} workers");
            outcome.packet
        };
        let flood = |fleet: &mut Fleet, from: u32, count: u32| {
            for n in from..from + count {
                // Ports of all classes.
                let packet = raw(17, (0x0900_0000 + n, port(n)), ("52.239.0.10", 80), 0);
                let mut packets = [(INET, packet), (VM0, syns_of_a_guest(n))];
                for (port, packet) in &mut packets {
                    let (now, worker) = (postern_dataplane::time::Now::from_millis(1), 0);
                    let owner = fleet.share.owner(now, *port, packet, worker);
                    let _ = quick(&mut fleet.engines[owner], 1, *port, packet);
                }
            }
        };
        flood(&mut fleet, 0, 2 * MAX);
        let mut publics = vec![];
        for n in 0..300u16 {
            let client = format!("10.0.1.4:{}", 2000 + n);
            let syn = ok(&mut fleet, FAR, &tcp(&client, SERVER, SYN, 1, 0, &[]), INET);
            let public = ends(&syn).0.to_string();
            flood(&mut fleet, 2 * MAX + 10 * u32::from(n), 10);
            let answer = tcp(SERVER, &public, SYN | ACK, 5, 2, &[]);
            ok(&mut fleet, INET, &answer, FAR);
            ok(&mut fleet, FAR, &tcp(&client, SERVER, ACK, 2, 6, &[]), INET);
            publics.push(public);
        }
        flood(&mut fleet, 4 * MAX, 2 * MAX);
        for public in publics {
            ok(
                &mut fleet,
                INET,
                &tcp(SERVER, &public, ACK, 6, 2, b"y"),
                FAR,
            );
        }
        let mut counters = Counters::default();
        for engine in &fleet.engines {
            assert_eq!(engine.flow_count(), engine.max_flows());
            counters.add(engine.counters());
        }
        let flows: usize = fleet.engines.iter().map(Engine::flow_count).sum();
        assert_eq!(
            counters.flows_opened,
            counters.flows_evicted + flows as u64,
            "none ended otherwise"
        );
    }
}
