//! Property tests against slow, plain implementations that share no code with the engine.

#![allow(clippy::unwrap_used, reason = "test code")]

mod common;

use common::Rig;
use common::packets::*;
use common::world::*;
use ipnet::Ipv4Net;
use postern_dataplane::flow::{FlowKey, Transposition};
use postern_dataplane::policy::{
    Access, AddrSet, Direction, Nsg, PortId, PortSet, Protocol, Rule, RuleId, Tuple,
};
use postern_dataplane::wire::{GsoType, Headers, VnetHdr};
use proptest::prelude::*;
use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::sync::Arc;

/// A rule as a person would write it down.
#[derive(Clone, Debug)]
struct Written {
    priority: u16,
    protocol: Option<u8>,
    source: Vec<Ipv4Net>,
    source_ports: Option<(u16, u16)>,
    destination: Vec<Ipv4Net>,
    destination_ports: Option<(u16, u16)>,
    allow: bool,
}

fn prefix() -> impl Strategy<Value = Ipv4Net> {
    // Few addresses, so that rules and packets meet.
    (0u32..64, 24u8..=32).prop_map(|(low, len)| {
        Ipv4Net::new(Ipv4Addr::from(0x0a00_0100 | low), len)
            .unwrap()
            .trunc()
    })
}

fn ports() -> impl Strategy<Value = Option<(u16, u16)>> {
    prop::option::of((0u16..12, 0u16..6).prop_map(|(first, more)| (first, first + more)))
}

fn written() -> impl Strategy<Value = Written> {
    (
        100u16..4096,
        prop::option::of(prop::sample::select(vec![1u8, 6, 17])),
        prop::collection::vec(prefix(), 1..4),
        ports(),
        prop::collection::vec(prefix(), 1..4),
        ports(),
        any::<bool>(),
    )
        .prop_map(
            |(priority, protocol, source, source_ports, destination, destination_ports, allow)| {
                Written {
                    priority,
                    protocol,
                    source,
                    source_ports,
                    destination,
                    destination_ports,
                    allow,
                }
            },
        )
}

/// The literal reading: rules in order of priority, the first that matches decides.
fn read_literally(rules: &[Written], tuple: &Tuple) -> Option<(u16, bool)> {
    let mut order: Vec<&Written> = rules.iter().collect();
    order.sort_by_key(|rule| rule.priority);
    for rule in order {
        let has_ports = tuple.protocol == 6 || tuple.protocol == 17;
        let port_fits = |range: Option<(u16, u16)>, port: u16| match range {
            Some((first, last)) if has_ports => first <= port && port <= last,
            _ => true,
        };
        if rule
            .protocol
            .is_none_or(|protocol| protocol == tuple.protocol)
            && rule.source.iter().any(|net| net.contains(&tuple.source))
            && rule
                .destination
                .iter()
                .any(|net| net.contains(&tuple.destination))
            && port_fits(rule.source_ports, tuple.source_port)
            && port_fits(rule.destination_ports, tuple.destination_port)
        {
            return Some((rule.priority, rule.allow));
        }
    }
    None
}

fn compiled(rules: &[Written]) -> Nsg {
    let set = |ports: Option<(u16, u16)>| match ports {
        Some((first, last)) => PortSet::Ranges(vec![first..=last]),
        None => PortSet::Any,
    };
    let rules = rules
        .iter()
        .map(|rule| Rule {
            id: RuleId(u32::from(rule.priority)),
            priority: rule.priority,
            protocol: rule.protocol.map_or(Protocol::Any, Protocol::Number),
            source: Arc::new(AddrSet::from_prefixes(rule.source.iter().copied())),
            source_ports: set(rule.source_ports),
            destination: Arc::new(AddrSet::from_prefixes(rule.destination.iter().copied())),
            destination_ports: set(rule.destination_ports),
            access: if rule.allow {
                Access::Allow
            } else {
                Access::Deny
            },
        })
        .collect();
    Nsg::new(rules, vec![])
}

/// A packet of one of the protocols between two ends, built from nothing.
fn build(protocol: u8, from: (u32, u16), to: (u32, u16), payload: &[u8]) -> Vec<u8> {
    let text = |(address, port): (u32, u16)| format!("{}:{port}", Ipv4Addr::from(address));
    let address = |(address, _)| Ipv4Addr::from(address).to_string();
    match protocol {
        6 => tcp(&text(from), &text(to), ACK, 7, 9, payload),
        17 => udp(&text(from), &text(to), payload),
        _ => echo(&address(from), &address(to), true, from.1),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]

    /// Rewriting a packet gives the very bytes of one that was built with the new ends, whole
    /// checksum or partial: the sum is never taken again, and never wrong.
    #[test]
    fn rewritten_packet_equals_one_built_anew(
        protocol in prop::sample::select(vec![1u8, 6, 17]),
        ends in any::<[(u32, u16); 2]>(),
        new in any::<(u32, u16, u32)>(),
        payload in prop::collection::vec(any::<u8>(), 0..50),
        partly in any::<bool>(),
    ) {
        let (source, source_port, destination) = new;
        let before = build(protocol, ends[0], ends[1], &payload);
        let expected =
            build(protocol, (source, source_port), (destination, ends[1].1), &payload);
        let offload = |packet: &[u8]| match partly && protocol != 1 {
            true => partial(packet, GsoType::None, 0),
            false => (VnetHdr::default(), packet.to_vec()),
        };
        let (vnet, mut packet) = offload(&before);
        let headers = Headers::parse(&vnet, &packet).unwrap();
        let key = FlowKey::of(PortId(1), &headers);
        let sent = key.translated(Ipv4Addr::from(source), source_port, Ipv4Addr::from(destination));
        Transposition::new(key, sent).apply(&vnet, &headers, &mut packet);
        prop_assert_eq!(&packet, &offload(&expected).1);
        // And back again.
        let headers = Headers::parse(&vnet, &packet).unwrap();
        prop_assert_eq!(FlowKey::of(PortId(1), &headers), sent);
        Transposition::new(sent, key).apply(&vnet, &headers, &mut packet);
        prop_assert_eq!(packet, offload(&before).1);
    }
}

type Packet = (u8, u32, u16, u32, u16);

fn packets() -> impl Strategy<Value = Vec<Packet>> {
    prop::collection::vec(
        (
            prop::sample::select(vec![1u8, 6, 17, 50, 51]),
            0u32..70,
            0u16..20,
            0u32..70,
            0u16..20,
        ),
        60,
    )
}

/// Holds the compiled group against the literal reading, packet by packet.
fn decides_as_read(mut rules: Vec<Written>, packets: Vec<Packet>) -> Result<Nsg, TestCaseError> {
    rules.sort_by_key(|rule| rule.priority);
    rules.dedup_by_key(|rule| rule.priority);
    let nsg = compiled(&rules);
    for (protocol, from, source_port, to, destination_port) in packets {
        let tuple = Tuple {
            protocol,
            source: Ipv4Addr::from(0x0a00_0100 | from),
            source_port,
            destination: Ipv4Addr::from(0x0a00_0100 | to),
            destination_port,
        };
        let decision = nsg.evaluate(Direction::Inbound, &tuple);
        match read_literally(&rules, &tuple) {
            Some((priority, allow)) => {
                prop_assert_eq!(decision.rule, Some(RuleId(u32::from(priority))));
                prop_assert_eq!(decision.access == Access::Allow, allow);
            }
            None => prop_assert_eq!((decision.rule, decision.access), (None, Access::Deny)),
        }
        let other = nsg.evaluate(Direction::Outbound, &tuple);
        prop_assert_eq!(other.access, Access::Deny);
    }
    Ok(nsg)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn nsg_decides_as_the_rules_read(
        rules in prop::collection::vec(written(), 0..20),
        packets in packets(),
    ) {
        let count = rules.len();
        let nsg = decides_as_read(rules, packets)?;
        prop_assert!(count >= 8 || nsg.index_bytes() == 0, "few rules are scanned");
    }

    /// Rules that match little, so that the deciding one is anywhere among them.
    #[test]
    fn large_nsg_decides_as_the_rules_read(
        rules in prop::collection::vec(written(), 60..1000),
        packets in packets(),
    ) {
        let bytes = decides_as_read(rules, packets)?.index_bytes();
        prop_assert!(bytes > 0 && bytes <= Nsg::MAX_INDEX_BYTES, "{} bytes", bytes);
    }

    #[test]
    fn address_set_is_the_union_and_its_complement_the_rest(
        prefixes in prop::collection::vec((any::<u32>(), 0u8..=32), 0..20),
        probes in prop::collection::vec(any::<u32>(), 30),
    ) {
        let nets: Vec<Ipv4Net> = prefixes
            .iter()
            .map(|&(bits, len)| Ipv4Net::new(Ipv4Addr::from(bits), len).unwrap().trunc())
            .collect();
        let set = AddrSet::from_prefixes(nets.iter().copied());
        let edges = nets.iter().flat_map(|net| {
            let (first, last) = (u32::from(net.network()), u32::from(net.broadcast()));
            [first.wrapping_sub(1), first, last, last.wrapping_add(1)]
        });
        for probe in probes.into_iter().chain(edges).map(Ipv4Addr::from) {
            let expected = nets.iter().any(|net| net.contains(&probe));
            prop_assert_eq!(set.contains(probe), expected);
            prop_assert_eq!(set.complement().contains(probe), !expected);
            prop_assert!(set.union(&set.complement()).contains(probe));
        }
    }

    /// UDP both ways through shared and instance sources, held against a plain map of who talks
    /// to whom: replies reach who asked, nobody else, and no two flows share what a server sees.
    #[test]
    fn flow_table_behaves_like_a_plain_map(
        steps in prop::collection::vec((0usize..3, 1u16..12, 1u16..6, 0u8..10), 1..150),
    ) {
        let clients =
            [(VM0, "10.0.1.4"), (VM1, "10.0.1.5"), (FAR, "10.0.1.4")];
        let mut rig = Rig::new(world(1, &[]));
        // (client, its port, server port) -> what the server saw.
        let mut map: HashMap<(usize, u16, u16), String> = HashMap::new();
        for (client, port, server_port, kind) in steps {
            let (vm, address) = clients[client];
            let server = format!("8.8.8.8:{server_port}");
            let own = format!("{address}:{port}");
            let known = map.get(&(client, port, server_port)).cloned();
            if kind < 6 {
                let seen = rig.forward(vm, &udp(&own, &server, b"q"), INET);
                let public = ends(&seen).0.to_string();
                match known {
                    Some(known) => prop_assert_eq!(known, public),
                    None => {
                        let taken = map.iter().any(|(&(_, _, to), seen)| {
                            to == server_port && *seen == public
                        });
                        prop_assert!(!taken, "{public} seen twice by {server}");
                        map.insert((client, port, server_port), public);
                    }
                }
            } else if let Some(public) = known {
                let back = rig.forward(INET, &udp(&server, &public, b"r"), vm);
                prop_assert_eq!(ends(&back), (addr(&server), addr(&own)));
            } else if kind == 9 {
                let nobody = format!("{POOL}:{}", 1 + port % 1000);
                rig.drop(
                    INET,
                    &udp(&server, &nobody, b"r"),
                    postern_dataplane::stats::DropReason::NoFlow,
                );
            }
            prop_assert_eq!(rig.engine.flow_count(), map.len());
        }
        let shared = map.keys().filter(|&&(client, _, _)| client != 0).count();
        let holders: usize = map
            .iter()
            .filter(|&(&(client, _, _), _)| client != 0)
            .map(|(_, public)| public)
            .collect::<std::collections::HashSet<_>>()
            .len();
        prop_assert!(holders <= shared);
        let in_use = rig.engine.snat().first().map_or(0, |pool| pool.udp);
        prop_assert_eq!(in_use as usize, holders);
        // Every lease comes back.
        rig.pass_time(250_000);
        rig.pass_time(70_000);
        prop_assert_eq!(rig.engine.flow_count(), 0);
        prop_assert!(rig.engine.snat().iter().all(|pool| pool.udp == 0));
    }
}
