//! Whose addresses are whose: what comes from outside bears none of ours, and nobody talks to himself.
#![allow(clippy::indexing_slicing, reason = "test code")]

mod common;

use common::Rig;
use common::packets::*;
use common::world::*;
use postern_dataplane::policy::{
    Access, AccessRule, AccessRuleId, AccessTable, AddrSet, Appliance, Gateway, NetworkRules,
    NextHop, Port, PortId, PortKind, Refusal, Resource, ResourceId, Route, RouteTable, Snapshot,
    VnetIndex, Who,
};
use postern_dataplane::stats::{DropReason, ResourceCounters};
use std::sync::Arc;

const GATE: PortId = PortId(6);
const PLATFORM: PortId = PortId(7);
const OTHER: PortId = PortId(8);
const DNS: &str = "168.63.129.16";

/// Two hosts that are really outside.
const OUTSIDE: [&str; 2] = ["93.184.216.34", "198.51.100.7"];

/// A source of every kind that is ours, and of every kind that no host has.
const OURS: [&str; 20] = [
    "10.0.1.5",        // a NIC that shares its public source
    "10.0.1.4",        // one that has a public address, and one of another network
    "10.0.200.7",      // nobody's, but in a range of ours
    "10.7.0.9",        // in the range of a network without NICs
    "192.168.7.9",     // behind the gateway
    "20.0.0.9",        // a NIC's public address
    "20.200.0.1",      // the shared one
    "52.239.0.10",     // a service's
    "40.79.0.10",      // another's at the same port
    "20.60.0.10",      // one's at another port
    DNS,               // the platform's
    "169.254.169.254", // the platform's
    "169.254.7.7",
    "127.0.0.1",
    "127.255.255.254",
    "0.0.0.0",
    "0.1.2.3",
    "224.0.0.1",
    "240.0.0.1",
    "255.255.255.255",
];

/// The world with a gateway, the platform, a service at a port of its own and a network without NICs.
fn guarded(epoch: u32) -> Snapshot {
    let mut snapshot = world(epoch, &[STORAGE]);
    let port = |kind| Some(Port { mtu: 1500, kind });
    let into = Route::new(net("10.0.0.0/16"), NextHop::VnetLocal);
    snapshot.ports.push(port(PortKind::Gateway(Gateway {
        vnet: VnetIndex(0),
        routes: Arc::new(RouteTable::new(vec![into])),
        behind: Arc::new(AddrSet::from_prefixes([
            net("192.168.7.0/24"),
            net("203.0.113.0/24"),
        ])),
    })));
    snapshot.ports.push(port(PortKind::Platform));
    snapshot.ports.push(port(PortKind::Service));
    let platform = [DNS, "169.254.169.254"];
    snapshot.platform = platform.map(|at| (ip(at), PLATFORM)).into_iter().collect();
    let mut place = snapshot.services[&ip("52.239.0.10")];
    place.port = OTHER;
    snapshot.services.insert(ip("20.60.0.10"), place);
    let ranges = ["10.0.0.0/16", "10.7.0.0/16", "192.168.7.0/24"];
    snapshot.inside = Arc::new(AddrSet::from_prefixes(ranges.map(net)));
    let home = Route::new(
        net("192.168.0.0/16"),
        NextHop::VirtualNetworkGateway(Some(GATE)),
    );
    let routes = snapshot.subnets[0].routes.routes().iter().copied();
    snapshot.subnets[0].routes = Arc::new(RouteTable::new(routes.chain([home]).collect()));
    snapshot
}

/// Packets from one address to another of every kind that could open a flow or be answered.
fn packets(from: &str, to: &str) -> Vec<Vec<u8>> {
    let (client, server) = (format!("{from}:5000"), format!("{to}:443"));
    vec![
        tcp(&client, &server, SYN, 1, 0, &[]),
        tcp(&client, &server, ACK, 1, 1, b"x"),
        tcp(&client, &server, SYN | ACK, 1, 1, &[]),
        udp(&client, &server, b"x"),
        echo(from, to, true, 7),
        ipv4(from, to, 50, 1, 0, &[0; 16]),
    ]
}

#[test]
fn nothing_of_ours_comes_from_the_public_side() {
    let mut rig = Rig::new(guarded(1));
    for from in OURS {
        // A service, another at another port, a NIC's own address, the shared one, a private one, nobody.
        for to in [
            "52.239.0.10",
            "20.60.0.10",
            "20.0.0.9",
            "20.200.0.1",
            "10.0.1.5",
            "8.8.8.8",
        ] {
            for packet in packets(from, to) {
                rig.drop(INET, &packet, DropReason::SourceNotOutside);
            }
        }
    }
    assert_eq!(rig.engine.flow_count(), 0);
    assert!(rig.made().is_empty(), "no forged packet is answered");
    for from in OUTSIDE {
        let from = format!("{from}:5000");
        rig.forward(INET, &tcp(&from, "52.239.0.10:443", SYN, 1, 0, &[]), SVC);
        rig.forward(INET, &tcp(&from, "20.0.0.9:22", SYN, 1, 0, &[]), VM0);
    }
}

#[test]
fn a_gateway_brings_only_what_is_behind_it() {
    let mut rig = Rig::new(guarded(1));
    let strangers = [&["8.8.8.8", "172.16.0.1", "192.168.8.9"], &OURS[..]].concat();
    for from in strangers {
        if from == "192.168.7.9" {
            continue;
        }
        for to in ["10.0.1.4", "10.0.2.4", "52.239.0.10"] {
            for packet in packets(from, to) {
                rig.drop(GATE, &packet, DropReason::SourceNotOutside);
            }
        }
    }
    for from in ["192.168.7.9:5000", "203.0.113.5:5000"] {
        rig.forward(GATE, &tcp(from, "10.0.1.4:22", SYN, 1, 0, &[]), VM0);
    }
}

#[test]
fn a_service_and_the_platform_bear_their_own_addresses_alone() {
    let mut rig = Rig::new(guarded(1));
    for from in ["20.60.0.10", "10.0.1.5", "20.0.0.9", DNS, "8.8.8.8"] {
        for packet in packets(from, "10.0.2.4") {
            rig.drop(SVC, &packet, DropReason::SourceNotOwned);
        }
    }
    for from in ["52.239.0.10", "10.0.1.5", "8.8.8.8"] {
        for packet in packets(from, "10.0.2.4") {
            rig.drop(PLATFORM, &packet, DropReason::SourceNotOwned);
        }
    }
    let own = tcp("40.79.0.10:443", "10.0.2.4:5000", SYN, 1, 0, &[]);
    rig.drop(SVC, &own, DropReason::ServiceInitiated);
    let own = udp("168.63.129.16:53", "10.0.2.4:5000", b"x");
    rig.drop(PLATFORM, &own, DropReason::PlatformInitiated);
}

#[test]
fn an_appliance_bears_what_it_may_have_got_and_nothing_that_only_answers() {
    let mut snapshot = guarded(1);
    nic_mut(&mut snapshot, VM2).ip_forwarding = true;
    let mut rig = Rig::new(snapshot);
    for from in ["52.239.0.10", "20.60.0.10", DNS, "169.254.169.254"] {
        rig.drop(
            VM2,
            &tcp(&format!("{from}:443"), "10.0.1.5:5000", SYN, 1, 0, &[]),
            DropReason::SourceNotOwned,
        );
    }
    for from in [
        "127.0.0.1",
        "0.0.0.0",
        "224.0.0.1",
        "255.255.255.255",
        "169.254.1.1",
    ] {
        rig.drop(
            VM2,
            &udp(&format!("{from}:1"), "10.0.1.5:2", b"x"),
            DropReason::SourceNotOwned,
        );
    }
    // A client of the Internet, a neighbour, and the public address of another NIC: it forwards for them.
    for from in ["8.8.8.8:5000", "10.0.1.4:5000", "20.0.0.9:5000"] {
        rig.forward(VM2, &tcp(from, "10.0.1.5:443", SYN, 1, 0, &[]), VM1);
    }
}

#[test]
fn nobody_talks_to_himself() {
    let mut snapshot = guarded(1);
    nic_mut(&mut snapshot, VM2).ip_forwarding = true;
    let mut rig = Rig::new(snapshot);
    for (port, from, to) in [
        (VM0, "10.0.1.4:80", "10.0.1.4:80"),
        (VM0, "10.0.1.4:81", "10.0.1.4:80"),
        (VM0, "10.0.1.4:80", "20.0.0.9:80"),
        (VM0, "10.0.1.4:81", "20.0.0.9:80"),
        // What it forwards.
        (VM2, "10.0.1.4:80", "10.0.1.4:80"),
        (VM2, "8.8.8.8:80", "8.8.8.8:80"),
    ] {
        rig.drop(port, &tcp(from, to, SYN, 1, 0, &[]), DropReason::Land);
        rig.drop(port, &udp(from, to, b"x"), DropReason::Land);
    }
    rig.drop(
        VM0,
        &echo("10.0.1.4", "20.0.0.9", true, 1),
        DropReason::Land,
    );
    for (port, at) in [
        (INET, "8.8.8.8"),
        (GATE, "192.168.7.9"),
        (SVC, "52.239.0.10"),
        (PLATFORM, DNS),
    ] {
        for from in ["80", "81"] {
            let (from, to) = (format!("{at}:{from}"), format!("{at}:80"));
            rig.drop(port, &tcp(&from, &to, SYN, 1, 0, &[]), DropReason::Land);
        }
    }
    // A public address of ours, from outside: it is not outside's in the first place.
    let land = tcp("20.0.0.9:80", "20.0.0.9:80", SYN, 1, 0, &[]);
    rig.drop(INET, &land, DropReason::SourceNotOutside);
    assert_eq!(rig.engine.flow_count(), 0);
}

#[test]
fn a_loop_through_an_appliance_brings_nobody_back_to_himself() {
    let mut snapshot = guarded(1);
    nic_mut(&mut snapshot, VM2).ip_forwarding = true;
    let appliance = NextHop::VirtualAppliance(Some(Appliance {
        port: VM2,
        takes_forwarded: true,
    }));
    let all = Route::new(net("0.0.0.0/0"), appliance);
    snapshot.subnets[0].routes = Arc::new(RouteTable::new(vec![all]));
    let mut rig = Rig::new(snapshot);
    let land = tcp("10.0.1.4:80", "10.0.1.4:80", SYN, 1, 0, &[]);
    rig.drop(VM0, &land, DropReason::Land);
}

#[test]
fn what_no_host_can_have_is_no_destination() {
    let mut rig = Rig::new(guarded(1));
    for to in ["127.0.0.1:80", "0.0.0.0:80", "224.0.0.1:80", "240.1.1.1:80"] {
        let packet = udp("10.0.1.4:5000", to, b"x");
        rig.drop(VM0, &packet, DropReason::Multicast);
    }
}

/// A flow out of VM0 and the packet that the other end got of it.
fn flow_out(rig: &mut Rig, to: &str, out: PortId) -> Vec<u8> {
    rig.forward(VM0, &udp("10.0.1.4:5000", to, b"question"), out)
}

#[test]
fn an_error_bears_no_source_of_ours_either() {
    let mut rig = Rig::new(guarded(1));
    let sent = flow_out(&mut rig, "8.8.8.8:53", INET);
    for from in OURS {
        let error = unreachable(from, "20.0.0.9", 3, &sent, 60);
        rig.drop(INET, &error, DropReason::SourceNotOutside);
    }
    // The other end and a router on the way are heard.
    for from in ["8.8.8.8", "9.9.9.9"] {
        let error = unreachable(from, "20.0.0.9", 3, &sent, 60);
        assert_eq!(source(&rig.forward(INET, &error, VM0)), ip(from));
    }

    let sent = flow_out(&mut rig, "192.168.7.9:53", GATE);
    for from in [
        "10.0.2.4",
        "10.7.0.9",
        "20.200.0.1",
        "52.239.0.10",
        DNS,
        "127.0.0.1",
    ] {
        let error = unreachable(from, "10.0.1.4", 3, &sent, 60);
        rig.drop(GATE, &error, DropReason::SourceNotOutside);
    }
    for from in ["192.168.7.9", "192.168.7.1", "172.31.0.1"] {
        let error = unreachable(from, "10.0.1.4", 3, &sent, 60);
        assert_eq!(source(&rig.forward(GATE, &error, VM0)), ip(from));
    }

    let sent = flow_out(&mut rig, "52.239.0.10:53", SVC);
    for from in ["20.60.0.10", "8.8.8.8", "10.0.2.4", DNS] {
        let error = unreachable(from, "20.0.0.9", 3, &sent, 60);
        rig.drop(SVC, &error, DropReason::SourceNotOwned);
    }
    let error = unreachable("52.239.0.10", "20.0.0.9", 3, &sent, 60);
    rig.forward(SVC, &error, VM0);

    let sent = flow_out(&mut rig, "168.63.129.16:53", PLATFORM);
    let error = unreachable("8.8.8.8", "10.0.1.4", 3, &sent, 60);
    rig.drop(PLATFORM, &error, DropReason::SourceNotOwned);
    rig.forward(PLATFORM, &unreachable(DNS, "10.0.1.4", 3, &sent, 60), VM0);
}

#[test]
fn an_error_that_quotes_what_was_never_sent_is_dropped() {
    let mut rig = Rig::new(guarded(1));
    flow_out(&mut rig, "8.8.8.8:53", INET);
    for (from, to) in [
        ("10.0.1.4:5000", "8.8.8.8:53"),
        ("20.0.0.9:5000", "20.0.0.9:53"),
        ("20.0.0.9:5000", "10.0.1.4:53"),
        ("8.8.8.8:53", "8.8.8.8:53"),
    ] {
        let error = unreachable("9.9.9.9", "20.0.0.9", 3, &udp(from, to, b"q"), 28);
        rig.drop(INET, &error, DropReason::IcmpNoFlow);
    }
}

#[test]
fn a_flow_ends_when_its_source_becomes_ours() {
    let mut rig = Rig::new(guarded(1));
    let syn = |from: &str| tcp(from, "20.0.0.9:22", SYN, 1, 0, &[]);
    rig.forward(INET, &syn("198.51.100.7:5000"), VM0);
    rig.forward(INET, &syn("93.184.216.34:5000"), VM0);
    let mut next = guarded(2);
    let ranges = ["10.0.0.0/16", "198.51.100.0/24"];
    next.inside = Arc::new(AddrSet::from_prefixes(ranges.map(net)));
    let report = rig.apply(next);
    assert_eq!((report.kept, report.closed), (1, 1));
    rig.made();
}

/// An account that lets in what comes from `address`.
fn with_address_rule(address: &str) -> Snapshot {
    let prefix = net(&format!("{address}/32"));
    let account = Resource {
        service: STORAGE,
        address: ip("52.239.0.10"),
        rules: NetworkRules {
            rules: vec![AccessRule {
                id: AccessRuleId(1),
                who: Who::Addresses(Arc::new(AddrSet::from_prefixes([prefix]))),
                access: Access::Allow,
            }],
            otherwise: Access::Deny,
            ..NetworkRules::default()
        },
        has_front: false,
        refusal: Refusal::Reset,
    };
    Snapshot {
        access: Arc::new(AccessTable::new([(ResourceId(3), account)], [])),
        ..guarded(1)
    }
}

#[test]
fn an_address_rule_is_not_met_by_who_only_says_he_has_the_address() {
    // The shared source, a NIC's own address: guests meet the rules by them.
    for (address, guest, from) in [
        ("20.200.0.1", VM2, "10.0.2.4:5000"),
        ("20.0.0.9", VM0, "10.0.1.4:5000"),
    ] {
        let mut snapshot = with_address_rule(address);
        snapshot.subnets[0].endpoints = Arc::default();
        let mut rig = Rig::new(snapshot);
        let syn = |from: &str| tcp(from, "52.239.0.10:443", SYN, 1, 0, &[]);
        let seen = rig.forward(guest, &syn(from), SVC);
        assert_eq!(source(&seen), ip(address));
        let forged = syn(&format!("{address}:5001"));
        rig.drop(INET, &forged, DropReason::SourceNotOutside);
        rig.drop(GATE, &forged, DropReason::SourceNotOutside);
        for port in [VM1, FAR, SVC, OTHER, PLATFORM] {
            rig.drop(port, &forged, DropReason::SourceNotOwned);
        }
        let counted = rig.engine.counters().resource(ResourceId(3));
        let expected = ResourceCounters {
            allowed: 1,
            ..ResourceCounters::default()
        };
        assert_eq!(counted, expected, "the rules were asked once");
    }
    // Who really has such an address outside is let in.
    let mut rig = Rig::new(with_address_rule("198.51.100.7"));
    let syn = tcp("198.51.100.7:5000", "52.239.0.10:443", SYN, 1, 0, &[]);
    rig.forward(INET, &syn, SVC);
}
