//! A hit allocates nothing: counted by the allocator, not believed.

#![allow(clippy::indexing_slicing, reason = "test code")]

mod common;

use allocation_counter::measure;
use common::packets::*;
use common::world::*;
use postern_dataplane::engine::{Engine, EngineConfig, Frame, Verdict};
use postern_dataplane::policy::{PortId, Snapshot};
use postern_dataplane::time::Now;
use postern_dataplane::wire::VnetHdr;
use std::sync::Arc;

fn allocations_of_a_hit(snapshot: Snapshot, port: PortId, first: &[u8], packet: &[u8]) -> u64 {
    const ROOM: usize = Frame::HEADROOM;
    let mut engine = Engine::new(EngineConfig::default(), Arc::new(snapshot));
    let mut process = |packet: &[u8], count: usize| {
        let mut bytes = [&[0; ROOM], packet].concat();
        let info = measure(|| {
            for n in 0..count {
                bytes[ROOM..].copy_from_slice(packet);
                let mut frame = Frame::with_room(VnetHdr::default(), &mut bytes, ROOM);
                let now = Now::from_millis(n as u64);
                assert!(matches!(
                    engine.process(now, port, &mut frame),
                    Verdict::Forward(_)
                ));
            }
        });
        info.count_total
    };
    assert!(
        process(first, 1) > 0,
        "a miss allocates: the counter counts"
    );
    process(packet, 1);
    process(packet, 10_000)
}

#[test]
fn hit_allocates_nothing() {
    let syn = tcp("10.0.1.5:5000", "8.8.8.8:443", SYN, 1, 0, &[]);
    let data = tcp("10.0.1.5:5000", "8.8.8.8:443", ACK, 2, 1, &[7; 1000]);
    assert_eq!(
        allocations_of_a_hit(world(1, &[STORAGE]), VM1, &syn, &data),
        0,
        "TCP by a shared source"
    );
    let syn = tcp("10.0.1.4:5000", "52.239.0.10:443", SYN, 1, 0, &[]);
    let data = tcp("10.0.1.4:5000", "52.239.0.10:443", ACK, 2, 1, &[7; 1000]);
    assert_eq!(
        allocations_of_a_hit(tunnel_world(1), VM0, &syn, &data),
        0,
        "TCP to a service over IPv6"
    );
    let query = udp("10.0.1.4:5000", "8.8.8.8:53", b"query");
    // An instance address takes no lease, so that its miss may allocate nothing either.
    let mut engine = Engine::new(EngineConfig::default(), Arc::new(world(1, &[])));
    let mut bytes = query.clone();
    let info = measure(|| {
        for _ in 0..10_000 {
            bytes.copy_from_slice(&query);
            let mut frame = Frame::new(VnetHdr::default(), &mut bytes);
            engine.process(Now::from_millis(1), VM0, &mut frame);
        }
    });
    assert!(
        info.count_total <= 4,
        "counters of new ports at most: {}",
        info.count_total
    );
}
