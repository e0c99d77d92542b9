//! How many instructions a hit takes: `scripts/instructions.sh` counts them, under valgrind.
//!
//! Instructions can be counted again on any machine, where seconds cannot. Named on the command line is
//! one case: a packet of a flow that is there, parsed, looked up, rewritten and counted.

#![allow(
    missing_docs,
    clippy::indexing_slicing,
    reason = "a benchmark is no interface"
)]

#[path = "../tests/common/mod.rs"]
mod common;

use common::packets::*;
use common::world::*;
use postern_dataplane::engine::{Engine, EngineConfig, Frame, Verdict};
use postern_dataplane::policy::{PortId, Snapshot};
use postern_dataplane::time::Now;
use postern_dataplane::wire::VnetHdr;
use std::hint::black_box;
use std::sync::Arc;

/// Every case is counted over so many packets.
const PACKETS: usize = 1_000;
const ROOM: usize = Frame::HEADROOM;

/// A policy, and a packet that comes in by a port once another has opened its flow.
struct Case {
    snapshot: Snapshot,
    port: PortId,
    opening: Vec<u8>,
    packet: Vec<u8>,
}

fn case(name: &str) -> Option<Case> {
    let tcp_case = |snapshot, port, from, to| Case {
        snapshot,
        port,
        opening: tcp(from, to, SYN, 1, 0, &[]),
        packet: tcp(from, to, ACK, 2, 1, &[7; 100]),
    };
    let (one, other) = ("10.0.1.4:5000", "10.0.1.5:5000");
    let service = "52.239.0.10:443";
    Some(match name {
        "tcp-unchanged" => tcp_case(world(1, &[STORAGE]), VM1, other, service),
        "tcp-shared-source" => tcp_case(world(1, &[]), VM1, other, "8.8.8.8:443"),
        "tcp-over-ipv6" => tcp_case(tunnel_world(1), VM0, one, service),
        "udp-instance-address" => {
            let query = udp(one, "8.8.8.8:53", b"query");
            Case {
                snapshot: world(1, &[]),
                port: VM0,
                opening: query.clone(),
                packet: query,
            }
        }
        _ => return None,
    })
}

/// What is counted. Putting the packet's header back is a part of it, and of every case the same.
#[inline(never)]
fn counted(engine: &mut Engine, port: PortId, packet: &[u8], bytes: &mut [u8]) {
    for _ in 0..PACKETS {
        let head = packet.len().min(40);
        bytes[ROOM..ROOM + head].copy_from_slice(&packet[..head]);
        let mut frame = Frame::with_room(VnetHdr::default(), bytes, ROOM);
        black_box(engine.process(Now::from_millis(1), port, &mut frame));
    }
}

fn main() {
    // `cargo bench` names no case, but gives options.
    let Some(case) = std::env::args().nth(1).and_then(|name| case(&name)) else {
        println!("cases are counted by scripts/instructions.sh");
        return;
    };
    let config = EngineConfig {
        max_flows: 1024,
        seed: 1,
    };
    let mut engine = Engine::new(config, Arc::new(case.snapshot));
    for packet in [&case.opening, &case.packet] {
        let mut bytes = [&[0; ROOM], &packet[..]].concat();
        let mut frame = Frame::with_room(VnetHdr::default(), &mut bytes, ROOM);
        let verdict = engine.process(Now::from_millis(1), case.port, &mut frame);
        assert!(matches!(verdict, Verdict::Forward(_)), "{verdict:?}");
    }
    let mut bytes = [&[0; ROOM], &case.packet[..]].concat();
    counted(&mut engine, case.port, &case.packet, &mut bytes);
}
