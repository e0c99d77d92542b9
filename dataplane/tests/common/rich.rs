//! A network with everything at once, and the ways in which it is changed while packets flow.

use super::packets::ip;
use super::world::*;
use postern_dataplane::policy::{
    Access, AccessRule, AccessRuleId, AccessTable, AddrSet, Appliance, CloseMode, Epoch, Gateway,
    NetworkRules, NextHop, Port, PortId, PortKind, PublicAddress, PublicSource, Refusal, Resource,
    ResourceId, Route, RouteTable, SharedSource, Snapshot, SourceId, VnetIndex, Who,
};
use std::sync::Arc;
use std::time::Duration;

pub const GATE: PortId = PortId(6);
pub const PLATFORM: PortId = PortId(7);
pub const LAST: u16 = 8;
pub const POOL2: &str = "20.200.0.2";

/// How many policies there are.
pub const POLICIES: u32 = 10;

/// Returns the network as it is in one of its policies: a shared source with two addresses that translates
/// everything, one-to-one addresses, services over IPv6 and with fronts, an appliance, a gateway, the
/// platform. The policies differ in endpoints, carriers, rules, MTUs, ports and the end of flows.
pub fn rich(epoch: u32) -> Snapshot {
    let kind = epoch % POLICIES;
    let mut snapshot = tunnel_world(epoch);
    snapshot.epoch = Epoch(epoch);
    let on = [&[STORAGE][..], &[STORAGE, SQL], &[]][kind as usize % 3];
    for (subnet, other) in snapshot.subnets.iter_mut().zip(world(epoch, on).subnets) {
        subnet.endpoints = other.endpoints;
    }
    let port = |mtu, kind| Some(Port { mtu, kind });
    snapshot.ports.push(port(1400, gateway()));
    snapshot.ports.push(port(1500, PortKind::Platform));
    snapshot.platform = ["168.63.129.16", "169.254.169.254"]
        .map(|at| (ip(at), PLATFORM))
        .into_iter()
        .collect();
    let ranges = ["10.0.0.0/16", "192.168.7.0/24"].map(net);
    snapshot.inside = Arc::new(AddrSet::from_prefixes(ranges));
    snapshot.sources[0] = SharedSource {
        addresses: vec![ip(POOL), ip(POOL2)],
        icmp: true,
        fragments: true,
        resets_unknown: true,
        ..SharedSource::default()
    };
    let second = PublicAddress::Shared(SourceId(0));
    snapshot.publics.insert(ip(POOL2), second);
    routes(&mut snapshot);
    snapshot.access = Arc::new(access(kind));
    vary(&mut snapshot, kind);
    snapshot
}

fn gateway() -> PortKind {
    let into = Route::new(net("10.0.0.0/16"), NextHop::VnetLocal);
    PortKind::Gateway(Gateway {
        vnet: VnetIndex(0),
        routes: Arc::new(RouteTable::new(vec![into])),
        behind: Arc::new(AddrSet::from_prefixes([net("192.168.7.0/24")])),
    })
}

/// VM2 forwards, and subnet 1 sends a part of the Internet to it.
fn routes(snapshot: &mut Snapshot) {
    nic_mut(snapshot, VM2).ip_forwarding = true;
    let appliance = NextHop::VirtualAppliance(Some(Appliance {
        port: VM2,
        takes_forwarded: true,
    }));
    let more = [
        Route::new(net("9.0.0.0/8"), appliance),
        Route::new(
            net("192.168.7.0/24"),
            NextHop::VirtualNetworkGateway(Some(GATE)),
        ),
    ];
    for subnet in &mut snapshot.subnets[..2] {
        let all = subnet.routes.routes().iter().copied().chain(more);
        subnet.routes = Arc::new(RouteTable::new(all.collect()));
    }
}

/// One account that a front decides for, and one that refuses by itself.
fn access(kind: u32) -> AccessTable {
    let identity = identity(42, 7);
    let named = Arc::new(AddrSet::from_prefixes(
        ["20.0.0.9/32", "9.9.9.0/24"].map(net),
    ));
    let rules = [
        Who::Subnet((identity.vnet, identity.subnet)),
        Who::Addresses(named),
    ];
    let rules = rules.into_iter().zip(1..).map(|(who, id)| AccessRule {
        id: AccessRuleId(id),
        who,
        access: Access::Allow,
    });
    let rules = NetworkRules {
        rules: rules.collect(),
        otherwise: [Access::Allow, Access::Deny][kind as usize % 2],
        ..NetworkRules::default()
    };
    let refusals = [Refusal::Reset, Refusal::Prohibited, Refusal::Silent];
    let resource = |service, address: &str, has_front| Resource {
        service,
        address: ip(address),
        rules: rules.clone(),
        has_front,
        refusal: refusals[kind as usize % 3],
    };
    let resources = [
        resource(STORAGE, "52.239.0.10", true),
        resource(SQL, "40.79.0.10", false),
    ];
    AccessTable::new((1..).map(ResourceId).zip(resources), [])
}

/// What one policy has and others have not.
fn vary(snapshot: &mut Snapshot, kind: u32) {
    let storage = ip("52.239.0.10");
    match kind {
        1 => snapshot.settings.close_mode = CloseMode::Silent,
        2 => snapshot.services = world(1, &[]).services,
        3 => {
            for port in [VM0, VM1, SVC, INET] {
                snapshot.ports[usize::from(port.0)].as_mut().unwrap().mtu = 600;
            }
        }
        4 => snapshot.ports[usize::from(VM1.0)] = None,
        5 => {
            snapshot.sources[0].addresses = vec![ip(POOL2)];
            snapshot.publics.remove(&ip(POOL));
            snapshot.sources[0].max_flows_per_destination = Some(3);
        }
        6 => {
            snapshot.subnets[0].nsg = Some(nsg(&[(1, 100, Access::Allow, 443)]));
            snapshot.settings.reevaluate_on_change = true;
        }
        7 => {
            snapshot.settings.max_nic_flows = 12;
            snapshot.settings.timers.tcp_idle = Duration::from_secs(5);
        }
        8 => {
            snapshot.publics.remove(&ip("20.0.0.9"));
            let nic = nic_mut(snapshot, VM0);
            nic.public = PublicSource::Shared(SourceId(0));
            nic.instance_address = None;
        }
        9 => {
            snapshot.services.remove(&storage);
            snapshot.internet = None;
            snapshot.ports[usize::from(INET.0)] = None;
            snapshot.ports[usize::from(GATE.0)] = None;
        }
        _ => {}
    }
}
