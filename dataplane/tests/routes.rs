//! Next hops: appliances, peered networks, gateways, and endpoints held against routes.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "test code: a packet that is not as the test built it stops the test"
)]

mod common;

use common::Rig;
use common::packets::{ACK, SYN, ends, ip, source, tcp, udp};
use common::world::{FAR, INET, STORAGE, SVC, VM0, VM1, VM2, net, nic_mut, nsg, world};
use postern_dataplane::engine::RouteKind;
use postern_dataplane::policy::{
    Access, AddrSet, Appliance, Direction, Gateway, NextHop, Peer, Port, PortId, PortKind, Route,
    RouteTable, Snapshot, Standing, VnetIndex,
};
use postern_dataplane::stats::DropReason;
use postern_dataplane::wire::VnetHdr;
use std::sync::Arc;

const GATE: PortId = PortId(6);
const SUBNET1: usize = 0;
const SUBNET2: usize = 1;
const FAR_SUBNET: usize = 2;

/// Adds a route to a subnet, before and beside endpoints.
fn add(snapshot: &mut Snapshot, subnet: usize, prefix: &str, next_hop: NextHop, at: Standing) {
    let route = Route {
        standing: at,
        ..Route::new(net(prefix), next_hop)
    };
    let subnet = &mut snapshot.subnets[subnet];
    for table in [&mut subnet.routes, &mut subnet.rivals] {
        let routes = table.routes().iter().copied().chain([route]);
        *table = Arc::new(RouteTable::new(routes.collect()));
    }
}

/// VM2 in subnet 2 forwards for subnet 1, whose packets all go there.
fn inspected(epoch: u32, standing: Standing) -> Snapshot {
    let mut snapshot = world(epoch, &[STORAGE]);
    nic_mut(&mut snapshot, VM2).ip_forwarding = true;
    let next_hop = NextHop::VirtualAppliance(Some(Appliance {
        port: VM2,
        takes_forwarded: true,
    }));
    add(&mut snapshot, SUBNET1, "0.0.0.0/0", next_hop, standing);
    snapshot
}

/// The networks of VM0 and FAR peered, with FAR at 10.1.0.4.
fn peered(forwarded: bool) -> Snapshot {
    let mut snapshot = world(1, &[]);
    nic_mut(&mut snapshot, FAR).addresses = vec![ip("10.1.0.4")];
    snapshot.vnets[1].nics = [(ip("10.1.0.4"), FAR)].into_iter().collect();
    let peer = |vnet| {
        NextHop::VnetPeering(Peer {
            vnet: VnetIndex(vnet),
            takes_forwarded: forwarded,
        })
    };
    let at = Standing::AsLong;
    for subnet in [SUBNET1, SUBNET2] {
        add(&mut snapshot, subnet, "10.1.0.0/16", peer(1), at);
    }
    add(
        &mut snapshot,
        FAR_SUBNET,
        "10.1.0.0/16",
        NextHop::VnetLocal,
        at,
    );
    add(&mut snapshot, FAR_SUBNET, "10.0.0.0/16", peer(0), at);
    snapshot
}

/// A gateway to 192.168.7.0/24, and everything of subnet 2 forced through it.
fn with_gateway() -> Snapshot {
    let mut snapshot = world(1, &[]);
    snapshot.ports.push(Some(Port {
        mtu: 1500,
        kind: PortKind::Gateway(Gateway {
            vnet: VnetIndex(0),
            routes: Arc::new(RouteTable::new(vec![
                Route::new(net("10.0.0.0/16"), NextHop::VnetLocal),
                Route::new(net("0.0.0.0/0"), NextHop::Internet),
            ])),
            behind: Arc::new(AddrSet::from_prefixes([net("192.168.7.0/24")])),
        }),
    }));
    let next_hop = NextHop::VirtualNetworkGateway(Some(GATE));
    let at = Standing::Longer;
    add(&mut snapshot, SUBNET1, "192.168.7.0/24", next_hop, at);
    add(&mut snapshot, SUBNET2, "0.0.0.0/0", next_hop, at);
    snapshot
}

fn syn(from: &str, to: &str) -> Vec<u8> {
    tcp(from, to, SYN, 1, 0, &[])
}

fn answer(from: &str, to: &str) -> Vec<u8> {
    tcp(from, to, SYN | ACK, 9, 2, &[])
}

#[test]
fn an_appliance_gets_packets_unmodified_and_its_answers_go_back() {
    let mut rig = Rig::new(inspected(1, Standing::Longer));
    let out = syn("10.0.1.5:5000", "8.8.8.8:443");
    assert_eq!(rig.forward(VM1, &out, VM2), out);
    let back = answer("8.8.8.8:443", "10.0.1.5:5000");
    assert_eq!(rig.forward(VM2, &back, VM1), back);
    let flows = rig.engine.flows(None, 10);
    assert_eq!(flows.len(), 1);
    assert_eq!(flows[0].route, RouteKind::VirtualAppliance);
    assert!(rig.engine.snat().is_empty(), "no public port is taken");
}

#[test]
fn what_an_appliance_forwards_with_a_source_of_others_has_no_public_source() {
    let mut rig = Rig::new(inspected(1, Standing::Longer));
    let out = syn("10.0.1.5:5000", "8.8.8.8:443");
    rig.forward(VM1, &out, VM2);
    rig.drop(VM2, &out, DropReason::SourceNotOwned);
    // Behind its own address it has one.
    rig.forward(VM2, &syn("10.0.2.4:5000", "8.8.8.8:443"), INET);
    // Between NICs it may forward.
    let inside = udp("10.0.1.5:9", "10.0.1.4:9", b"x");
    assert_eq!(rig.forward(VM2, &inside, VM0), inside);
}

#[test]
fn a_route_to_an_appliance_that_is_not_there_never_falls_back() {
    let mut snapshot = inspected(1, Standing::Longer);
    let gone = NextHop::VirtualAppliance(None);
    add(&mut snapshot, SUBNET1, "9.0.0.0/8", gone, Standing::Longer);
    let none = NextHop::VirtualNetworkGateway(None);
    add(&mut snapshot, SUBNET1, "7.0.0.0/8", none, Standing::Longer);
    let mut rig = Rig::new(snapshot);
    rig.drop(
        VM1,
        &syn("10.0.1.5:1", "9.1.1.1:1"),
        DropReason::NoAppliance,
    );
    rig.drop(VM1, &syn("10.0.1.5:1", "7.1.1.1:1"), DropReason::NoGateway);
}

#[test]
fn an_appliance_in_the_subnet_that_it_serves_does_not_loop() {
    let mut snapshot = inspected(1, Standing::Longer);
    let itself = NextHop::VirtualAppliance(Some(Appliance {
        port: VM2,
        takes_forwarded: true,
    }));
    add(
        &mut snapshot,
        SUBNET2,
        "0.0.0.0/0",
        itself,
        Standing::Longer,
    );
    let mut rig = Rig::new(snapshot);
    rig.drop(VM2, &syn("10.0.2.4:1", "8.8.8.8:1"), DropReason::RouteLoop);
}

#[test]
fn the_appliances_groups_see_the_untouched_destination() {
    let mut snapshot = inspected(1, Standing::Longer);
    nic_mut(&mut snapshot, VM2).nsg = Some(nsg(&[(1, 100, Access::Allow, 443)]));
    let mut rig = Rig::new(snapshot);
    rig.forward(VM1, &syn("10.0.1.5:5000", "8.8.8.8:443"), VM2);
    let other = syn("10.0.1.5:5000", "8.8.8.8:80");
    let reason = (VM2, Direction::Inbound, DropReason::NsgDeniedIn);
    rig.drop_at(VM1, VnetHdr::default(), &other, reason);
}

#[test]
fn forced_tunnelling_stops_what_comes_in_unasked() {
    let mut rig = Rig::new(inspected(1, Standing::Longer));
    let to_instance = syn("8.8.8.8:5000", "20.0.0.9:22");
    rig.drop(INET, &to_instance, DropReason::ReturnElsewhere);
    let mut rig = Rig::new(world(1, &[]));
    rig.forward(INET, &to_instance, VM0);
    let report = rig.apply(inspected(2, Standing::Longer));
    assert_eq!((report.kept, report.closed), (0, 1));
    assert_eq!(rig.made().len(), 2, "both sides are reset");
}

#[test]
fn an_endpoint_stands_against_routes_as_they_were_compiled() {
    let service = "52.239.0.10:443";
    // The endpoint's prefix is 52.239.0.0/17.
    for (prefix, standing, is_endpoint) in [
        ("0.0.0.0/0", Standing::AsLong, true),
        ("52.239.0.0/17", Standing::Longer, true),
        ("52.239.0.0/17", Standing::AsLong, false),
        ("52.239.0.0/24", Standing::Longer, false),
        ("52.239.0.0/24", Standing::Never, true),
    ] {
        let mut snapshot = inspected(1, Standing::Longer);
        let next_hop = NextHop::VirtualAppliance(Some(Appliance {
            port: VM2,
            takes_forwarded: true,
        }));
        add(&mut snapshot, SUBNET1, prefix, next_hop, standing);
        let mut rig = Rig::new(snapshot);
        let out = if is_endpoint { SVC } else { VM2 };
        let sent = rig.forward(VM1, &syn("10.0.1.5:5000", service), out);
        assert_eq!(source(&sent), ip("10.0.1.5"), "{prefix} {standing:?}");
        // What is not TCP does not ride the endpoint.
        rig.forward(VM1, &udp("10.0.1.5:5000", service, b"x"), VM2);
    }
}

#[test]
fn peered_networks_reach_each_other_and_both_chains_are_asked() {
    let mut rig = Rig::new(peered(false));
    let out = syn("10.0.1.4:5000", "10.1.0.4:443");
    assert_eq!(rig.forward(VM0, &out, FAR), out);
    let back = answer("10.1.0.4:443", "10.0.1.4:5000");
    assert_eq!(rig.forward(FAR, &back, VM0), back);
    let theirs = syn("10.1.0.4:5000", "10.0.2.4:443");
    rig.forward(FAR, &theirs, VM2);
    rig.drop(VM0, &syn("10.0.1.4:1", "10.1.0.9:1"), DropReason::NoSuchNic);
    let routes: Vec<_> = rig.engine.flows(None, 10);
    assert!(
        routes
            .iter()
            .all(|flow| flow.route == RouteKind::VnetPeering)
    );

    let mut snapshot = peered(false);
    snapshot.subnets[SUBNET1].nsg = Some(nsg(&[(1, 100, Access::Allow, 443)]));
    nic_mut(&mut snapshot, FAR).nsg = Some(nsg(&[(2, 100, Access::Deny, 443)]));
    let mut rig = Rig::new(snapshot);
    let denied = syn("10.0.1.4:5000", "10.1.0.4:80");
    rig.drop(VM0, &denied, DropReason::NsgDeniedOut);
    let reason = (FAR, Direction::Inbound, DropReason::NsgDeniedIn);
    rig.drop_at(VM0, VnetHdr::default(), &out, reason);
}

#[test]
fn a_peer_takes_what_was_only_forwarded_if_it_is_allowed() {
    let foreign = syn("172.20.0.5:5000", "10.1.0.4:443");
    let sibling = syn("10.0.1.4:5000", "10.1.0.4:443");
    for forwarded in [false, true] {
        let mut snapshot = peered(forwarded);
        nic_mut(&mut snapshot, VM2).ip_forwarding = true;
        let mut rig = Rig::new(snapshot);
        rig.forward(VM2, &sibling, FAR);
        if forwarded {
            assert_eq!(rig.forward(VM2, &foreign, FAR), foreign);
        } else {
            rig.drop(VM2, &foreign, DropReason::ForwardedNotAllowed);
        }
    }
}

#[test]
fn a_gateway_carries_flows_that_begin_on_either_side() {
    let mut rig = Rig::new(with_gateway());
    let out = syn("10.0.1.4:5000", "192.168.7.9:443");
    assert_eq!(rig.forward(VM0, &out, GATE), out);
    let back = answer("192.168.7.9:443", "10.0.1.4:5000");
    assert_eq!(rig.forward(GATE, &back, VM0), back);
    let theirs = syn("192.168.7.9:5000", "10.0.2.4:22");
    assert_eq!(rig.forward(GATE, &theirs, VM2), theirs);
    let back = answer("10.0.2.4:22", "192.168.7.9:5000");
    assert_eq!(rig.forward(VM2, &back, GATE), back);
    // Forced through it: with the private source, and nothing of the public side comes in.
    let forced = syn("10.0.2.4:5000", "8.8.8.8:443");
    assert_eq!(ends(&rig.forward(VM2, &forced, GATE)), ends(&forced));
}

#[test]
fn a_gateway_gives_the_other_side_no_more_than_the_network() {
    let mut rig = Rig::new(with_gateway());
    for (to, reason) in [
        ("8.8.8.8:443", DropReason::RouteNone),
        ("52.239.0.10:443", DropReason::RouteNone),
        ("10.0.9.9:443", DropReason::NoSuchNic),
    ] {
        rig.drop(GATE, &syn("192.168.7.9:5000", to), reason);
    }
    let spoofed = syn("10.0.1.4:5000", "10.0.2.4:22");
    rig.drop(GATE, &spoofed, DropReason::SourceNotOutside);
}
