//! The table against a plain map.

use super::*;
use crate::flow::{Life, RouteKind, SourceKind, Transposition, Why};
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

fn pair(forward: FlowKey, reply: FlowKey, at: u64) -> Pair {
    Pair {
        keys: [forward, reply],
        rewrites: [
            Transposition::new(forward, forward),
            Transposition::new(reply, reply),
        ],
        why: Why {
            route: RouteKind::VnetLocal,
            service: None,
            source: SourceKind::Private,
            public: None,
            egress: reply.port(),
            destination: Ipv4Addr::UNSPECIFIED,
            tunnel: None,
            rules: [None; 4],
            admission: None,
        },
        epoch: Epoch(0),
        life: Life::Live,
        idle_timeout: None,
        tcp: None,
        lease: None,
        opened: Now::from_millis(at),
        seen: Now::from_millis(at),
        frames: [0; 2],
        bytes: [0; 2],
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
    let result = table.insert(pair(forward, reply, now), Now::from_millis(now + LIFE_MS));
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
        let [forward, reply] = table.get(id).unwrap().keys;
        let (_, _, inserted) = map[&forward];
        assert!(inserted + LIFE_MS <= now, "too early");
        table.remove_due(id).unwrap();
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
                prop_assert_eq!(found.keys, [forward, reply]);
                prop_assert_eq!(found.key(side), key);
            }
        }
    }
}

/// A pair whose responder sees this client.
fn tunnelled(port: u16, client: u16) -> (Pair, Tunnel) {
    let forward = key((port, 0, 1));
    let mut pair = pair(forward, forward.reply(PortId(9)).tunnelled(), 0);
    let tunnel = Tunnel {
        client: Ipv6Addr::new(0xfd40, 0, client, 7, 0, 0, 0, 0),
        service: Ipv6Addr::LOCALHOST,
    };
    pair.why.tunnel = Some(tunnel);
    (pair, tunnel)
}

#[test]
fn equal_reply_keys_are_told_apart_by_the_identity_alone() {
    let mut table = FlowTable::new(2_000, 3);
    let mut all = Vec::new();
    for client in 0..1_000 {
        let (pair, tunnel) = tunnelled(client, client);
        let reply = pair.key(Side::Responder);
        let id = table.insert(pair, Now::from_millis(1)).unwrap();
        all.push((id, reply, tunnel));
    }
    for &(id, reply, tunnel) in &all {
        assert_eq!(
            table.find_tunnelled(reply, &tunnel),
            Some((id, Side::Responder))
        );
        let other = Tunnel {
            service: Ipv6Addr::UNSPECIFIED,
            ..tunnel
        };
        assert_eq!(table.find_tunnelled(reply, &other), None);
        assert_eq!(table.find(reply), None, "not by its words alone");
    }
    let (again, _) = tunnelled(1_500, 3);
    let (error, _) = table.insert(again, Now::from_millis(1)).unwrap_err();
    assert_eq!(error, InsertError::ReplyTaken);
    for (id, reply, tunnel) in all {
        table.remove(id).unwrap();
        assert_eq!(table.find_tunnelled(reply, &tunnel), None);
    }
    assert!(table.is_empty());
}
