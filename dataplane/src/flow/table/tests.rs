//! The table against a plain map.

use super::*;
use crate::flow::{RouteKind, SourceKind, Transposition, Why};
use crate::policy::{Epoch, PortId};
use crate::wire::{Headers, VnetHdr};
use proptest::prelude::*;
use std::collections::HashMap;
use std::net::{Ipv4Addr, Ipv6Addr};

/// A key between one of a few ends, so that keys meet.
fn key((port, from, to): (u16, u8, u8)) -> FlowKey {
    let mut packet = [0u8; 28];
    packet[0] = 0x45;
    packet[3] = 28;
    packet[9] = crate::wire::UDP;
    packet[15] = from;
    packet[19] = to;
    packet[25] = 8;
    FlowKey::of(
        PortId(port),
        &Headers::parse(&VnetHdr::default(), &packet).unwrap(),
    )
}

fn opening(forward: FlowKey, reply: FlowKey, at: u64) -> Opening {
    Opening {
        keys: [forward, reply],
        opener: Opener::host(forward.port()),
        why: Why {
            route: RouteKind::VnetLocal,
            service: None,
            source: SourceKind::Private,
            public: None,
            egress: reply.port(),
            destination: reply.source(),
            tunnel: None,
            rules: [None; 4],
            admission: None,
        },
        epoch: Epoch(0),
        idle_timeout: None,
        tcp: None,
        lease: None,
        now: Now::from_millis(at),
    }
}

#[derive(Clone, Debug)]
enum Step {
    Insert {
        forward: (u16, u8, u8),
        reply: (u16, u8, u8),
    },
    Remove {
        nth: usize,
    },
    Expire {
        millis: u64,
    },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let ends = || (0u16..2, 0u8..4, 0u8..4);
    let step = prop_oneof![
        6 => (ends(), ends()).prop_map(|(forward, reply)| Step::Insert { forward, reply }),
        2 => any::<usize>().prop_map(|nth| Step::Remove { nth }),
        1 => (0u64..2_000).prop_map(|millis| Step::Expire { millis }),
    ];
    prop::collection::vec(step, 0..120)
}

const LIFE_MS: u64 = 3_000;
const MAX: usize = 12;

/// Every key leads to the pair's two keys and to when it was inserted.
type Map = HashMap<FlowKey, (FlowKey, FlowKey, u64)>;

fn insert(table: &mut FlowTable, map: &mut Map, forward: FlowKey, reply: FlowKey, now: u64) {
    let expected = if map.len() / 2 >= MAX {
        Err(InsertError::Full)
    } else if map.contains_key(&reply) {
        Err(InsertError::ReplyTaken)
    } else if forward == reply || map.contains_key(&forward) {
        Err(InsertError::ForwardTaken)
    } else {
        map.insert(forward, (forward, reply, now));
        map.insert(reply, (forward, reply, now));
        Ok(())
    };
    let result = table.insert(
        opening(forward, reply, now),
        Now::from_millis(now + LIFE_MS),
    );
    assert_eq!(result.map(|_| ()).map_err(|(error, _)| error), expected);
}

fn remove(table: &mut FlowTable, map: &mut Map, nth: usize) {
    let mut keys: Vec<_> = map.values().copied().collect();
    keys.sort_by_key(|(forward, _, _)| forward.words());
    let Some(&(forward, reply, _)) = keys.get(nth % keys.len().max(1)) else {
        return;
    };
    let (id, _) = table.find(reply).unwrap();
    assert_eq!(table.remove(id).unwrap().keys, [forward, reply]);
    assert!(table.remove(id).is_none());
    map.remove(&forward);
    map.remove(&reply);
}

fn expire(table: &mut FlowTable, map: &mut Map, now: u64) {
    while let Some(id) = table.pop_due(Now::from_millis(now)) {
        let [forward, reply] = table.get(id).unwrap().keys();
        let (_, _, inserted) = map[&forward];
        assert!(inserted + LIFE_MS <= now, "too early");
        let _ = table.remove_due(id).unwrap();
        map.remove(&forward);
        map.remove(&reply);
    }
    let late = map
        .values()
        .filter(|(_, _, at)| at + LIFE_MS + 300 < now)
        .count();
    assert_eq!(late, 0, "too late");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn behaves_like_a_plain_map(steps in steps(), seed in any::<u64>()) {
        let mut table = FlowTable::new(u32::try_from(MAX).unwrap(), seed);
        let mut map = Map::new();
        let mut now = 0;
        for step in steps {
            match step {
                Step::Insert { forward, reply } => {
                    insert(&mut table, &mut map, key(forward), key(reply), now);
                }
                Step::Remove { nth } => remove(&mut table, &mut map, nth),
                Step::Expire { millis } => {
                    now += millis;
                    expire(&mut table, &mut map, now);
                }
            }
            prop_assert_eq!(table.len(), map.len() / 2);
            prop_assert_eq!(table.iter().count(), table.len());
            for (&key, &(forward, reply, _)) in &map {
                let (id, side) = table.find(key).unwrap();
                let found = table.get(id).unwrap();
                prop_assert_eq!(found.keys(), [forward, reply]);
                prop_assert_eq!(found.key(side), key);
            }
        }
    }
}

/// What opens a pair whose responder sees this client, which has the same address in every network.
fn tunnelled(port: u16, network: u16) -> (Opening, Tunnel) {
    let forward = key((port, 4, 1));
    let mut opening = opening(forward, forward.reply(PortId(9)).tunnelled(), 0);
    let tunnel = Tunnel {
        client: Ipv6Addr::new(0xfd40, 0, network, 7, 0, 0, 0, 4),
        service: Ipv6Addr::new(0xfd41, 1, 0, 0, 0, 0, 0, 1),
    };
    opening.why.tunnel = Some(tunnel);
    (opening, tunnel)
}

#[test]
fn equal_reply_keys_are_told_apart_by_the_identity_alone() {
    let mut table = FlowTable::new(2_000, 3);
    let mut all = Vec::new();
    for network in 0..1_000 {
        let (opening, tunnel) = tunnelled(network, network);
        let [_, reply] = opening.keys;
        let id = table.insert(opening, Now::from_millis(1)).unwrap();
        all.push((id, reply, tunnel));
    }
    assert_eq!(table.decisions.len(), 1_000);
    for &(id, reply, tunnel) in &all {
        assert_eq!(
            table.find_tunnelled(reply, &tunnel),
            Some((id, Side::Responder))
        );
        assert_eq!(table.tunnel(id), Some(tunnel));
        let other = Tunnel {
            service: Ipv6Addr::new(0xfd41, 2, 0, 0, 0, 0, 0, 1),
            ..tunnel
        };
        assert_eq!(table.find_tunnelled(reply, &other), None);
        assert_eq!(table.find(reply), None, "not by its words alone");
    }
    let (again, _) = tunnelled(1_500, 3);
    let (error, _) = table.insert(again, Now::from_millis(1)).unwrap_err();
    assert_eq!(error, InsertError::ReplyTaken);
    for (id, reply, tunnel) in all {
        let _ = table.remove(id).unwrap();
        assert_eq!(table.find_tunnelled(reply, &tunnel), None);
    }
    assert!(table.is_empty());
    assert_eq!(table.decisions.len(), 0);
}

#[test]
fn pair_takes_less_than_192_bytes_all_told() {
    let table = FlowTable::new(1 << 20, 1);
    let arrays = size_of::<Option<Pair>>() + size_of::<Remains>();
    assert_eq!(arrays, 128 + 32);
    let each = arrays + table.index.bytes() / table.max();
    assert!(each < 184, "{each} bytes");
}

#[test]
fn leased_port_comes_back_as_it_was() {
    let mut table = FlowTable::new(1, 1);
    let forward = key((0, 1, 2));
    let public = Ipv4Addr::new(20, 0, 0, 9);
    let sent = forward.translated(public, 4_000, forward.destination());
    let lease = || Lease::kept(forward.way(public), 4_000, forward.port());
    let mut leased = opening(forward, sent.reply(PortId(9)), 0);
    leased.why.source = SourceKind::Shared;
    leased.why.public = Some(public);
    leased.lease = Some(lease());
    let id = table.insert(leased, Now::from_millis(1)).unwrap();
    let (error, back) = table
        .insert(
            Opening {
                lease: Some(lease()),
                ..opening(sent, forward, 0)
            },
            Now::from_millis(1),
        )
        .unwrap_err();
    assert_eq!((error, back), (InsertError::Full, Some(lease())));
    assert_eq!(table.remove(id).unwrap().lease, Some(lease()));
}

/// A pair's rewrites, from its keys and two sums, against those made from whole keys.
#[test]
fn rewrites_follow_from_the_keys() {
    let mut table = FlowTable::new(2, 1);
    let forward = key((0, 1, 2));
    let sent = forward.translated(
        Ipv4Addr::new(20, 0, 0, 9),
        4_000,
        Ipv4Addr::new(10, 0, 0, 8),
    );
    for sent in [forward, sent] {
        let answered = sent.reply(PortId(9));
        let opening = opening(forward, answered, 0);
        let id = table.insert(opening, Now::from_millis(1)).unwrap();
        let pair = table.get(id).unwrap();
        assert_eq!(
            pair.rewrite(Side::Initiator),
            Transposition::new(forward, sent)
        );
        assert_eq!(
            pair.rewrite(Side::Responder),
            Transposition::new(answered, forward.reply(forward.port()))
        );
        assert_eq!(pair.egress(Side::Initiator), PortId(9));
        assert_eq!(pair.egress(Side::Responder), forward.port());
        let _ = table.remove(id).unwrap();
    }
}
