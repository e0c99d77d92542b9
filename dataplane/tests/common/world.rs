//! The network that the whole-port tests run in.
//!
//! ```text
//!  VM0 10.0.1.4 (20.0.0.9) ─┐ subnet 1: endpoints as given      ┌─ INET
//!  VM1 10.0.1.5 (shared)   ─┤                                   ├─ SVC  52.239.0.10 storage
//!  VM2 10.0.2.4 (shared)   ─┘ subnet 2: none          engine ───┘       40.79.0.10  SQL
//!  FAR 10.0.1.4 (other VNet, shared): equal address
//! ```

use ipnet::Ipv4Net;
use postern_dataplane::identity::{Identity, ServiceCode, ServicePrefix, SubnetKey, VnetKey};
use postern_dataplane::policy::{
    Access, AddrSet, Delivery, Endpoint, EndpointTable, Epoch, NextHop, Nic, Nsg, Port, PortId,
    PortKind, PortSet, Protocol, PublicAddress, PublicSource, Route, RouteTable, Rule, RuleId,
    ServiceAddress, ServiceId, SharedSource, Snapshot, SourceId, Standing, Subnet, SubnetIndex,
    Vnet, VnetIndex,
};
use std::net::Ipv4Addr;
use std::sync::Arc;

pub const VM0: PortId = PortId(0);
pub const VM1: PortId = PortId(1);
pub const VM2: PortId = PortId(2);
pub const INET: PortId = PortId(3);
pub const SVC: PortId = PortId(4);
pub const FAR: PortId = PortId(5);
pub const STORAGE: ServiceId = ServiceId(0);
pub const SQL: ServiceId = ServiceId(1);
pub const POOL: &str = "20.200.0.1";

pub fn net(text: &str) -> Ipv4Net {
    text.parse().unwrap()
}

fn routes(space: &str) -> Arc<RouteTable> {
    let route = |prefix, next_hop| Route {
        standing: Standing::AsLong,
        ..Route::new(net(prefix), next_hop)
    };
    Arc::new(RouteTable::new(vec![
        route("0.0.0.0/0", NextHop::Internet),
        route("10.0.0.0/8", NextHop::None),
        route("172.16.0.0/12", NextHop::None),
        route("192.168.0.0/16", NextHop::None),
        route("100.64.0.0/10", NextHop::None),
        route(space, NextHop::VnetLocal),
    ]))
}

fn endpoints(services: &[ServiceId]) -> Arc<EndpointTable> {
    let all = [
        ("52.239.0.0/17", STORAGE),
        ("20.60.0.0/16", STORAGE),
        ("40.79.0.0/24", SQL),
    ];
    Arc::new(EndpointTable::new(
        all.iter()
            .filter(|(_, service)| services.contains(service))
            .map(|&(prefix, service)| Endpoint {
                prefix: net(prefix),
                service,
            })
            .collect(),
    ))
}

fn nic(address: &str, subnet: u16, public: PublicSource) -> Port {
    Port {
        mtu: 1500,
        kind: PortKind::Nic(Nic {
            addresses: vec![address.parse().unwrap()],
            ip_forwarding: false,
            subnet: SubnetIndex(subnet),
            nsg: None,
            public,
            instance_address: match public {
                PublicSource::OneToOne(address) => Some(address),
                _ => None,
            },
        }),
    }
}

/// Returns the identity of a subnet in Korea Central.
pub fn identity(vnet: u32, subnet: u16) -> Identity {
    Identity {
        vnet: VnetKey::new(vnet).unwrap(),
        subnet: SubnetKey::new(subnet).unwrap(),
        region: 26,
    }
}

/// Returns the network with the storage endpoint on subnet 1 and on that of FAR, where the service
/// gets flows of an endpoint over IPv6.
pub fn tunnel_world(epoch: u32) -> Snapshot {
    let mut snapshot = world(epoch, &[STORAGE]);
    snapshot.subnets[2].endpoints = endpoints(&[STORAGE]);
    for (subnet, (vnet, key)) in snapshot.subnets.iter_mut().zip([(42, 7), (42, 8), (43, 7)]) {
        subnet.identity = identity(vnet, key);
    }
    let storage = ServicePrefix {
        service: ServiceCode::new(1).unwrap(),
        region: 26,
    };
    let place = snapshot.services.get_mut(&"52.239.0.10".parse().unwrap());
    place.unwrap().delivery = Delivery::Tunnel(storage);
    snapshot
}

/// Returns the network with these endpoints on subnet 1.
pub fn world(epoch: u32, services: &[ServiceId]) -> Snapshot {
    let a = |text: &str| -> Ipv4Addr { text.parse().unwrap() };
    let shared = PublicSource::Shared(SourceId(0));
    let subnet = |vnet, key, services: &[ServiceId]| Subnet {
        vnet: VnetIndex(vnet),
        identity: identity(u32::from(vnet) + 1, key),
        nsg: None,
        routes: routes("10.0.0.0/16"),
        rivals: routes("10.0.0.0/16"),
        endpoints: endpoints(services),
    };
    Snapshot {
        epoch: Epoch(epoch),
        settings: Default::default(),
        access: Default::default(),
        ports: vec![
            Some(nic("10.0.1.4", 0, PublicSource::OneToOne(a("20.0.0.9")))),
            Some(nic("10.0.1.5", 0, shared)),
            Some(nic("10.0.2.4", 1, shared)),
            Some(Port {
                mtu: 1500,
                kind: PortKind::Internet,
            }),
            Some(Port {
                mtu: 1500,
                kind: PortKind::Service,
            }),
            Some(nic("10.0.1.4", 2, shared)),
        ],
        internet: Some(INET),
        vnets: vec![
            Vnet {
                nics: [
                    (a("10.0.1.4"), VM0),
                    (a("10.0.1.5"), VM1),
                    (a("10.0.2.4"), VM2),
                ]
                .into_iter()
                .collect(),
                flow_timeout: None,
            },
            Vnet {
                nics: [(a("10.0.1.4"), FAR)].into_iter().collect(),
                flow_timeout: None,
            },
        ],
        subnets: vec![subnet(0, 1, services), subnet(0, 2, &[]), subnet(1, 1, &[])],
        sources: vec![SharedSource {
            addresses: vec![a(POOL)],
            ..SharedSource::default()
        }],
        publics: [
            (a("20.0.0.9"), PublicAddress::OneToOne(VM0)),
            (a(POOL), PublicAddress::Shared(SourceId(0))),
        ]
        .into_iter()
        .collect(),
        services: [
            (
                a("52.239.0.10"),
                ServiceAddress {
                    port: SVC,
                    service: STORAGE,
                    delivery: Delivery::Native,
                },
            ),
            (
                a("40.79.0.10"),
                ServiceAddress {
                    port: SVC,
                    service: SQL,
                    delivery: Delivery::Native,
                },
            ),
        ]
        .into_iter()
        .collect(),
        platform: Default::default(),
        inside: Arc::new(AddrSet::from_prefixes([net("10.0.0.0/16")])),
    }
}

/// Returns the NIC behind a port, to change it.
pub fn nic_mut(snapshot: &mut Snapshot, port: PortId) -> &mut Nic {
    match &mut snapshot.ports[usize::from(port.0)].as_mut().unwrap().kind {
        PortKind::Nic(nic) => nic,
        _ => panic!("{port:?} is no NIC"),
    }
}

/// Returns a group whose rules are (id, priority, access, destination port) for TCP, from and to
/// anywhere, in both directions; everything else is denied.
pub fn nsg(rules: &[(u32, u16, Access, u16)]) -> Arc<Nsg> {
    let rules: Vec<Rule> = rules
        .iter()
        .map(|&(id, priority, access, port)| Rule {
            id: RuleId(id),
            priority,
            protocol: Protocol::Number(6),
            source: Arc::new(AddrSet::any()),
            source_ports: PortSet::Any,
            destination: Arc::new(AddrSet::any()),
            destination_ports: PortSet::Ranges(vec![port..=port]),
            access,
        })
        .collect();
    Arc::new(Nsg::new(rules.clone(), rules))
}
