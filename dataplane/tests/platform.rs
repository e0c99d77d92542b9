//! The platform's own addresses: reached by every NIC whatever its routes, and by nobody else.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "test code: a packet that is not as the test built it stops the test"
)]

mod common;

use common::Rig;
use common::packets::{ACK, SYN, echo, ends, ip, tcp, udp, unreachable};
use common::world::{INET, SQL, STORAGE, SVC, VM0, VM1, VM2, net, nic_mut, nsg, world};
use postern_dataplane::engine::{RouteKind, SourceKind};
use postern_dataplane::policy::{
    Access, AddrSet, Direction, Gateway, NextHop, Nsg, Port, PortId, PortKind, PortSet, Protocol,
    Route, RouteTable, Rule, RuleId, Snapshot, VnetIndex,
};
use postern_dataplane::stats::DropReason;
use postern_dataplane::wire::VnetHdr;
use std::sync::Arc;

const PLATFORM: PortId = PortId(6);
const GATE: PortId = PortId(7);
const DNS: &str = "168.63.129.16";
const IMDS: &str = "169.254.169.254";

/// The world with the platform, a gateway, and every route of subnet 1 nowhere.
fn forced(epoch: u32) -> Snapshot {
    let mut snapshot = world(epoch, &[STORAGE, SQL]);
    snapshot.ports.push(Some(Port {
        mtu: 1500,
        kind: PortKind::Platform,
    }));
    snapshot.ports.push(Some(Port {
        mtu: 1500,
        kind: PortKind::Gateway(Gateway {
            vnet: VnetIndex(0),
            routes: Arc::new(RouteTable::new(vec![
                Route::new(net("10.0.0.0/16"), NextHop::VnetLocal),
                Route::new(net("168.63.129.16/32"), NextHop::VnetLocal),
            ])),
            behind: Arc::new(AddrSet::from_prefixes([net("192.168.7.0/24")])),
        }),
    }));
    snapshot.platform = [(ip(DNS), PLATFORM), (ip(IMDS), PLATFORM)]
        .into_iter()
        .collect();
    let nowhere = Route::new(net("0.0.0.0/0"), NextHop::None);
    let platform = Route::new(net("168.63.129.16/32"), NextHop::VirtualAppliance(None));
    snapshot.subnets[0].routes = Arc::new(RouteTable::new(vec![nowhere, platform]));
    snapshot
}

/// A group that denies everything, with the platform exempt but for `rules`.
fn exempting(rules: Vec<Rule>) -> Arc<Nsg> {
    let hosts = [net("168.63.129.16/32"), net("169.254.169.254/32")];
    let exempt = Arc::new(AddrSet::from_prefixes(hosts));
    Arc::new(Nsg::new(vec![], vec![]).exempting(exempt, rules))
}

fn at(address: &str, port: u16) -> String {
    format!("{address}:{port}")
}

#[test]
fn every_protocol_passes_untranslated_under_routes_to_nowhere_and_closed_groups() {
    let mut snapshot = forced(1);
    nic_mut(&mut snapshot, VM0).nsg = Some(exempting(vec![]));
    snapshot.subnets[0].nsg = Some(exempting(vec![]));
    let mut rig = Rig::new(snapshot);
    // VM0 has a public address of its own, VM1 shares one: neither is used.
    for (vm, address) in [(VM0, "10.0.1.4"), (VM1, "10.0.1.5")] {
        for to in [DNS, IMDS] {
            let (client, server) = (at(address, 5000), at(to, 80));
            let syn = tcp(&client, &server, SYN, 1, 0, &[]);
            assert_eq!(rig.forward(vm, &syn, PLATFORM), syn);
            let answer = tcp(&server, &client, SYN | ACK, 9, 2, &[]);
            assert_eq!(rig.forward(PLATFORM, &answer, vm), answer);

            let (client, server) = (at(address, 5000), at(to, 53));
            let question = udp(&client, &server, b"?");
            assert_eq!(rig.forward(vm, &question, PLATFORM), question);
            let answer = udp(&server, &client, b"!");
            assert_eq!(rig.forward(PLATFORM, &answer, vm), answer);

            let ping = echo(address, to, true, 77);
            assert_eq!(rig.forward(vm, &ping, PLATFORM), ping);
            let pong = echo(to, address, false, 77);
            assert_eq!(rig.forward(PLATFORM, &pong, vm), pong);
        }
    }
    assert!(rig.engine.snat().is_empty(), "no public port is taken");
    let flows = rig.engine.flows(None, 100);
    assert_eq!(flows.len(), 12);
    for flow in flows {
        let seen = (flow.route, flow.source_kind, flow.egress);
        assert_eq!(seen, (RouteKind::Platform, SourceKind::Private, PLATFORM));
        assert_eq!(flow.source, flow.translated_source);
    }
}

#[test]
fn everything_else_still_goes_by_the_routes() {
    let mut rig = Rig::new(forced(1));
    let near = tcp("10.0.1.5:5000", "168.63.129.17:80", SYN, 1, 0, &[]);
    rig.drop(VM1, &near, DropReason::RouteNone);
    let service = tcp("10.0.1.5:5000", "52.239.0.10:443", SYN, 1, 0, &[]);
    assert_eq!(ends(&rig.forward(VM1, &service, SVC)).0.port(), 5000);
}

#[test]
fn a_rule_that_names_the_platform_denies_it() {
    let rule = Rule {
        id: RuleId(9),
        priority: 100,
        protocol: Protocol::Any,
        source: Arc::new(AddrSet::any()),
        source_ports: PortSet::Any,
        destination: Arc::new(AddrSet::from_prefixes([net("168.63.129.16/32")])),
        destination_ports: PortSet::Any,
        access: Access::Deny,
    };
    let mut snapshot = forced(1);
    snapshot.subnets[0].nsg = Some(exempting(vec![rule]));
    let mut rig = Rig::new(snapshot);
    let dns = udp("10.0.1.5:5000", "168.63.129.16:53", b"?");
    rig.drop(VM1, &dns, DropReason::NsgDeniedOut);
    let metadata = tcp("10.0.1.5:5000", "169.254.169.254:80", SYN, 1, 0, &[]);
    rig.forward(VM1, &metadata, PLATFORM);
}

#[test]
fn the_platform_answers_and_never_begins() {
    let mut rig = Rig::new(forced(1));
    let syn = tcp("168.63.129.16:5000", "10.0.1.4:22", SYN, 1, 0, &[]);
    rig.drop(PLATFORM, &syn, DropReason::PlatformInitiated);
    let stray = udp("168.63.129.16:53", "10.0.1.4:5000", b"!");
    rig.drop(PLATFORM, &stray, DropReason::PlatformInitiated);
    rig.drop(
        PLATFORM,
        &tcp("168.63.129.16:5000", "20.0.0.9:22", SYN, 1, 0, &[]),
        DropReason::PlatformInitiated,
    );
}

#[test]
fn an_error_of_the_platform_finds_its_way_back() {
    let mut rig = Rig::new(forced(1));
    let question = udp("10.0.1.5:5000", "168.63.129.16:5353", b"?");
    rig.forward(VM1, &question, PLATFORM);
    let error = unreachable(DNS, "10.0.1.5", 3, &question, 28);
    assert_eq!(rig.forward(PLATFORM, &error, VM1), error);
}

#[test]
fn nobody_but_a_nic_reaches_the_platform() {
    let mut rig = Rig::new(forced(1));
    let from_internet = tcp("8.8.8.8:5000", "168.63.129.16:80", SYN, 1, 0, &[]);
    rig.drop(INET, &from_internet, DropReason::NoFlow);
    // Not even where a route of the gateway's subnet covers it.
    let from_premises = tcp("192.168.7.9:5000", "168.63.129.16:80", SYN, 1, 0, &[]);
    rig.drop(GATE, &from_premises, DropReason::RouteNone);
    let from_service = tcp("52.239.0.10:443", "168.63.129.16:80", SYN, 1, 0, &[]);
    rig.drop(SVC, &from_service, DropReason::ServiceInitiated);
}

#[test]
fn nobody_but_the_platform_bears_its_addresses() {
    let mut snapshot = forced(1);
    nic_mut(&mut snapshot, VM2).ip_forwarding = true;
    // A group that lets in what comes from the platform, as every group of Azure's does.
    nic_mut(&mut snapshot, VM0).nsg = Some(nsg(&[(1, 100, Access::Allow, 22)]));
    let mut rig = Rig::new(snapshot);
    let to_neighbour = tcp("168.63.129.16:5000", "10.0.1.4:22", SYN, 1, 0, &[]);
    rig.drop(VM2, &to_neighbour, DropReason::SourceNotOwned);
    let to_public = tcp("168.63.129.16:5000", "20.0.0.9:22", SYN, 1, 0, &[]);
    rig.drop(INET, &to_public, DropReason::SourceNotOutside);
    rig.drop(GATE, &to_neighbour, DropReason::SourceNotOutside);
    // And a NIC that forwards reaches the platform for itself alone.
    let forwarded = tcp("10.0.1.4:5000", "168.63.129.16:80", SYN, 1, 0, &[]);
    rig.drop_at(
        VM2,
        VnetHdr::default(),
        &forwarded,
        (VM2, Direction::Outbound, DropReason::SourceNotOwned),
    );
    rig.forward(
        VM2,
        &tcp("10.0.2.4:5000", "168.63.129.16:80", SYN, 1, 0, &[]),
        PLATFORM,
    );
}

#[test]
fn routes_and_endpoints_that_come_and_go_leave_its_flows_alone() {
    let mut rig = Rig::new(forced(1));
    let syn = tcp("10.0.1.5:5000", "168.63.129.16:80", SYN, 1, 0, &[]);
    rig.forward(VM1, &syn, PLATFORM);
    let mut plain = world(2, &[]);
    let with_platform = forced(2);
    plain.ports = with_platform.ports;
    plain.platform = with_platform.platform;
    let report = rig.apply(plain);
    assert_eq!((report.kept, report.closed), (1, 0));
    let answer = tcp("168.63.129.16:80", "10.0.1.5:5000", SYN | ACK, 9, 2, &[]);
    rig.forward(PLATFORM, &answer, VM1);

    // Without a platform its flows are over.
    let report = rig.apply(world(3, &[]));
    assert_eq!((report.kept, report.closed), (0, 1));
    assert_eq!(rig.made().len(), 1, "the sender is told");
}
