//! What the tests of shared public sources have in common.

use super::Rig;
use super::packets::*;
use super::world::*;
use postern_dataplane::engine::{Engine, EngineConfig, Frame, Verdict};
use postern_dataplane::policy::{PortId, PublicAddress, SharedSource, Snapshot, SourceId};
use postern_dataplane::time::Now;
use postern_dataplane::wire::VnetHdr;
use std::net::SocketAddrV4;
use std::sync::Arc;

/// The NAT gateway's address in the reference's example.
pub const GATEWAY: &str = "65.52.1.1";

/// Returns the world with a NAT gateway in place of the default outbound source: for VM1, which is
/// 10.0.0.1 here, and VM2.
pub fn gateway_world(epoch: u32, endpoints: &[postern_dataplane::policy::ServiceId]) -> Snapshot {
    let mut snapshot = world(epoch, endpoints);
    snapshot.sources[0] = SharedSource {
        addresses: vec![ip(GATEWAY)],
        resets_unknown: true,
        ..SharedSource::default()
    };
    snapshot.publics.remove(&ip(POOL));
    snapshot
        .publics
        .insert(ip(GATEWAY), PublicAddress::Shared(SourceId(0)));
    nic_mut(&mut snapshot, VM1).addresses = vec![ip("10.0.0.1")];
    snapshot.vnets[0].nics.remove(&ip("10.0.1.5"));
    snapshot.vnets[0].nics.insert(ip("10.0.0.1"), VM1);
    snapshot
}

/// Sends the first segment of a connection; returns the client as the server sees it.
#[track_caller]
pub fn begin(rig: &mut Rig, vm: PortId, client: &str, server: &str) -> String {
    let syn = tcp(client, server, SYN, 100, 0, &[]);
    ends(&rig.forward(vm, &syn, INET)).0.to_string()
}

/// Opens a connection to the Internet; returns the client as the server sees it.
#[track_caller]
pub fn open(rig: &mut Rig, vm: PortId, client: &str, server: &str) -> String {
    let public = begin(rig, vm, client, server);
    rig.forward(INET, &tcp(server, &public, SYN | ACK, 500, 101, &[]), vm);
    rig.forward(vm, &tcp(client, server, ACK, 101, 501, &[]), INET);
    public
}

/// Closes a connection that [`open`] opened, by FIN of both sides.
#[track_caller]
pub fn close(rig: &mut Rig, vm: PortId, client: &str, server: &str, public: &str) {
    rig.forward(vm, &tcp(client, server, ACK | FIN, 101, 501, &[]), INET);
    rig.forward(INET, &tcp(server, public, ACK | FIN, 501, 102, &[]), vm);
    rig.forward(vm, &tcp(client, server, ACK, 102, 502, &[]), INET);
}

/// Returns an engine for many flows.
pub fn roomy(snapshot: Snapshot) -> Engine {
    roomy_for(snapshot, 200_000)
}

/// Returns an engine for so many flows.
pub fn roomy_for(snapshot: Snapshot, max_flows: u32) -> Engine {
    let config = EngineConfig {
        max_flows,
        seed: 11,
    };
    Engine::new(config, Arc::new(snapshot))
}

/// Sends a packet without looking at the counters, for cases with very many; returns the verdict
/// and the source that it left with.
pub fn quick(
    engine: &mut Engine,
    now: u64,
    port: PortId,
    packet: &[u8],
) -> (Verdict, SocketAddrV4) {
    let mut bytes = packet.to_vec();
    let mut frame = Frame::new(VnetHdr::default(), &mut bytes);
    let verdict = engine.process(Now::from_millis(now), port, &mut frame);
    (verdict, ends(&bytes).0)
}
