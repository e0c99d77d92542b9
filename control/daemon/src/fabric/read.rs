//! What the running state answers when asked.

use super::access_log::decided;
use super::callers::{Callers, admission};
use super::tags::file_view;
use super::{Fabric, Host, LinuxHost};
use crate::protocol::view::{
    DropView, EndpointView, FlowRow, FlowRules, FlowStatsView, FlowsView, PoolStatsView,
    PortStatsView, PortView, StatsView, StatusView, SubnetView, TrafficView, WorkerView,
};
use postern_dataplane::engine::{Engine, FlowView, RouteKind, SourceKind};
use postern_dataplane::identity::Identity;
use postern_dataplane::io::WorkerGone;
use postern_dataplane::policy::{PortId, RuleId};
use postern_dataplane::snat::PoolView;
use postern_dataplane::stats::{Counters, PortCounters};
use postern_network::compile::{Names, PortSpec};
use postern_network::diagnose::nsg::{EffectiveNsgs, NsgView, effective, views};
use postern_network::model::{NetworkInterface, Subnet, VirtualNetwork, direction_name};
use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddrV4};

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// There is no resource of that name.
    #[error("{kind} = \"{name}\": there is none of that name; accepted: {known}")]
    NotFound {
        /// The kind of resource.
        kind: &'static str,
        /// The name that was given.
        name: String,
        /// The names that there are.
        known: String,
    },
    /// The worker has ended.
    #[error(transparent)]
    WorkerGone(#[from] WorkerGone),
}

impl Fabric<LinuxHost> {
    /// Returns what runs.
    ///
    /// # Errors
    ///
    /// The worker has ended.
    pub fn status(&self) -> Result<StatusView, ReadError> {
        let look = |engine: &Engine| {
            (
                engine.is_sweeping(),
                engine.flow_count(),
                engine.max_flows(),
            )
        };
        let worker = self.host.worker();
        let looks = worker.query(look)?;
        let workers = worker.handed_over().into_iter();
        let sum = |of: fn(&(bool, usize, usize)) -> usize| looks.iter().map(of).sum::<usize>();
        let missing = self.missing()?;
        Ok(StatusView {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: std::process::id(),
            uptime_seconds: self.started.elapsed().as_secs(),
            epoch: self.epoch().0,
            sweeping: looks.iter().any(|&(sweeping, ..)| sweeping),
            service_tags: file_view(&self.catalog),
            flows: sum(|&(_, flows, _)| flows) as u64,
            max_flows: sum(|&(.., max)| max) as u64,
            workers: workers
                .map(|handed_over| WorkerView { handed_over })
                .collect(),
            ports: self
                .in_order()
                .map(|spec| self.port_view(spec, &missing))
                .collect(),
            subnets: self.subnets(),
        })
    }

    fn subnets(&self) -> Vec<SubnetView> {
        let vnets = self.model.vnets.iter();
        let places = vnets.flat_map(|vnet| vnet.subnets.iter().map(move |subnet| (vnet, subnet)));
        let view = |(vnet, subnet): (&VirtualNetwork, &Subnet)| {
            let (vnet_key, subnet_key) = self.numbers.keys().subnet(&vnet.name, &subnet.name)?;
            let identity = Identity {
                vnet: vnet_key,
                subnet: subnet_key,
                region: self.catalog.region_id(&vnet.location),
            };
            Some(SubnetView {
                virtual_network: vnet.name.clone(),
                subnet: subnet.name.clone(),
                address_prefix: subnet.prefix.to_string(),
                vnet_key: vnet_key.get(),
                subnet_key: subnet_key.get(),
                region_id: identity.region,
                identity: format!("{}/96", identity.address(Ipv4Addr::UNSPECIFIED)),
            })
        };
        places.filter_map(view).collect()
    }

    /// Returns the counters.
    ///
    /// # Errors
    ///
    /// The worker has ended.
    pub fn stats(&self) -> Result<StatsView, ReadError> {
        let look = |engine: &Engine| {
            let sizes = (engine.flow_count() as u64, engine.max_flows() as u64);
            let shares = engine.shares();
            (engine.counters().clone(), engine.snat(), sizes, shares)
        };
        let mut counters = Counters::default();
        let (mut count, mut max) = (0, 0);
        // Of these there is one for all workers.
        let mut pools = Vec::new();
        let mut shares: HashMap<PortId, [u64; 2]> = HashMap::new();
        for (counted, of_all, sizes, of_ports) in self.host.worker().query(look)? {
            counters.add(&counted);
            pools = of_all;
            count += sizes.0;
            max += sizes.1;
            for share in of_ports {
                let [flows, waiting] = shares.entry(share.port).or_default();
                *flows += u64::from(share.flows);
                *waiting += u64::from(share.waiting);
            }
        }
        let Counters {
            flows_opened,
            flows_ended,
            flows_closed,
            flows_evicted,
            ..
        } = counters;
        let none = PortCounters::default();
        let ports = self
            .in_order()
            .map(|spec| {
                let share = shares.get(&spec.id).copied().unwrap_or_default();
                port_stats(spec, counters.port(spec.id).unwrap_or(&none), share)
            })
            .collect();
        let flows = FlowStatsView {
            count,
            max,
            opened: flows_opened,
            ended: flows_ended,
            closed: flows_closed,
            evicted: flows_evicted,
        };
        Ok(StatsView {
            ports,
            snat: pools.iter().map(pool_stats).collect(),
            flows,
            fronts: self.front_stats(),
            services: decided(&self.model, &self.names, &counters),
        })
    }

    /// Returns up to `limit` live flows, only those of one NIC if one is named.
    ///
    /// # Errors
    ///
    /// There is no such NIC, or the worker has ended.
    pub fn flows(&self, limit: usize, nic: Option<&str>) -> Result<FlowsView, ReadError> {
        let port = nic.map(|nic| self.port_of(nic)).transpose()?;
        // One more than asked for tells whether some are left out.
        let wanted = limit.saturating_add(1);
        let look = move |engine: &Engine| {
            let flows = engine.flows(port, wanted);
            (flows, engine.flow_count() as u64)
        };
        let (mut flows, mut count) = (Vec::new(), 0);
        for (some, of_worker) in self.host.worker().query(look)? {
            flows.extend(some);
            count += of_worker;
        }
        let callers = self.callers();
        let value = flows
            .iter()
            .take(limit)
            .map(|flow| flow_row(flow, &self.names, &callers))
            .collect();
        Ok(FlowsView {
            value,
            count,
            truncated: flows.len() > limit,
        })
    }
}

impl<H: Host> Fabric<H> {
    /// Returns the endpoints that are on.
    #[must_use]
    pub fn endpoints(&self) -> Vec<EndpointView> {
        let mut endpoints = Vec::new();
        for vnet in &self.model.vnets {
            for subnet in &vnet.subnets {
                endpoints.extend(subnet.service_endpoints.iter().map(|service| {
                    let locations = subnet.locations(service, &vnet.location);
                    EndpointView {
                        virtual_network: vnet.name.clone(),
                        subnet: subnet.name.clone(),
                        service: service.name.to_owned(),
                        prefixes: self.catalog.prefixes(service, &locations).len(),
                        locations: locations.values().into_iter().map(str::to_owned).collect(),
                        provisioning_state: "Succeeded".to_owned(),
                    }
                }));
            }
        }
        endpoints
    }

    /// Returns every network security group.
    #[must_use]
    pub fn nsgs(&self) -> Vec<NsgView> {
        views(&self.model)
    }

    /// Returns the network security group with this name.
    ///
    /// # Errors
    ///
    /// There is none.
    pub fn nsg(&self, name: &str) -> Result<NsgView, ReadError> {
        let nsgs = self.nsgs();
        let known = known(nsgs.iter().map(|nsg| nsg.name.as_str()));
        nsgs.into_iter()
            .find(|nsg| nsg.name.eq_ignore_ascii_case(name))
            .ok_or_else(|| not_found("networkSecurityGroup", name, known))
    }

    /// Returns the network security groups that act on a NIC, and their expanded rules.
    ///
    /// # Errors
    ///
    /// There is no such NIC.
    pub fn effective_nsgs(&self, nic: &str) -> Result<EffectiveNsgs, ReadError> {
        let nic = self.nic(nic)?;
        Ok(effective(&self.model, &self.learned, &self.catalog, nic))
    }

    /// Returns the NIC with this name.
    ///
    /// # Errors
    ///
    /// There is none.
    pub fn nic(&self, name: &str) -> Result<&NetworkInterface, ReadError> {
        self.model.nic(name).ok_or_else(|| {
            let known = known(self.model.nics.iter().map(|nic| nic.name.as_str()));
            not_found("networkInterface", name, known)
        })
    }

    pub(super) fn port_of(&self, nic: &str) -> Result<PortId, ReadError> {
        let name = format!("nic/{}", self.nic(nic)?.name);
        let known = || known(self.ports.iter().map(|spec| spec.name.as_str()));
        let mut ports = self.ports.iter().chain(&self.unattached);
        ports
            .find(|spec| spec.name.eq_ignore_ascii_case(&name))
            .map(|spec| spec.id)
            .ok_or_else(|| not_found("port", &name, known()))
    }

    fn port_view(&self, spec: &PortSpec, missing: &[PortId]) -> PortView {
        let (state, reason) = if !spec.namespace.is_attached() {
            ("unattached", None)
        } else if missing.contains(&spec.id) {
            ("detached", Some(self.why_away(spec)))
        } else {
            let impaired = self.trouble.impaired.get(&spec.id);
            ("attached", impaired.cloned())
        };
        PortView {
            number: spec.id.0,
            name: spec.name.clone(),
            state: state.to_owned(),
            reason,
            namespace: spec.namespace.to_string(),
            device: spec.device.clone(),
            mtu: spec.mtu,
            offload: spec.offload,
            addresses: spec.addresses.iter().map(ToString::to_string).collect(),
        }
    }

    fn in_order(&self) -> impl Iterator<Item = &PortSpec> {
        let mut ports: Vec<_> = self.ports.iter().chain(&self.unattached).collect();
        ports.sort_by_key(|spec| spec.id);
        ports.into_iter()
    }
}

fn not_found(kind: &'static str, name: &str, known: String) -> ReadError {
    ReadError::NotFound {
        kind,
        name: name.to_owned(),
        known,
    }
}

fn known<'n>(names: impl Iterator<Item = &'n str>) -> String {
    let names: Vec<_> = names.collect();
    if names.is_empty() {
        "none, the configuration has none".to_owned()
    } else {
        names.join(", ")
    }
}

fn port_stats(
    spec: &PortSpec,
    counters: &PortCounters,
    [flows, unanswered]: [u64; 2],
) -> PortStatsView {
    let drops = counters
        .drops()
        .map(|(direction, reason, frames)| DropView {
            direction: direction_name(direction).to_owned(),
            reason: reason.name().to_owned(),
            frames,
        });
    PortStatsView {
        name: spec.name.clone(),
        received_frames: counters.received_frames,
        received_bytes: counters.received_bytes,
        sent_frames: counters.sent_frames,
        sent_bytes: counters.sent_bytes,
        made_frames: counters.made_frames,
        flows,
        unanswered,
        evicted: counters.flows_evicted,
        drops: drops.collect(),
    }
}

fn pool_stats(pool: &PoolView) -> PoolStatsView {
    PoolStatsView {
        public_address: pool.address.to_string(),
        tcp: pool.tcp,
        udp: pool.udp,
        icmp: pool.icmp,
    }
}

const ICMP: u8 = 1;
const TCP: u8 = 6;
const UDP: u8 = 17;
const ESP: u8 = 50;
const AH: u8 = 51;

fn flow_row(flow: &FlowView, names: &Names, callers: &Callers) -> FlowRow {
    let endpoint = |at: SocketAddrV4| match flow.protocol {
        TCP | UDP => at.to_string(),
        // The identifier of an echo, which both sides share.
        ICMP => format!("{}#{}", at.ip(), at.port()),
        _ => at.ip().to_string(),
    };
    let [outbound_nic, outbound_subnet, inbound_subnet, inbound_nic] = flow
        .rules
        .map(|rule| rule.map(|rule| rule_name(rule, names)));
    let [forward, reply] = [0, 1].map(|side: usize| TrafficView {
        frames: flow.frames.get(side).copied().unwrap_or_default(),
        bytes: flow.bytes.get(side).copied().unwrap_or_default(),
    });
    FlowRow {
        protocol: match flow.protocol {
            TCP => "tcp".to_owned(),
            UDP => "udp".to_owned(),
            ICMP => "icmp".to_owned(),
            ESP => "esp".to_owned(),
            AH => "ah".to_owned(),
            number => number.to_string(),
        },
        state: flow.state.to_owned(),
        ingress: port_name(flow.ingress, names),
        egress: port_name(flow.egress, names),
        source: endpoint(flow.source),
        destination: endpoint(flow.destination),
        translated_source: endpoint(flow.translated_source),
        translated_destination: endpoint(flow.translated_destination),
        route: route_name(flow.route).to_owned(),
        service: flow.service.map(|service| {
            names
                .service(service)
                .map_or_else(|| format!("service {}", service.0), str::to_owned)
        }),
        source_kind: source_kind_name(flow.source_kind).to_owned(),
        rules: FlowRules {
            outbound_nic,
            outbound_subnet,
            inbound_subnet,
            inbound_nic,
        },
        admission: flow.admission.map(|how| admission(how, names)),
        identity: flow.tunnel.map(|ends| callers.identity(ends)),
        epoch: flow.epoch.0,
        age_ms: flow.age_ms,
        idle_ms: flow.idle_ms,
        forward,
        reply,
    }
}

fn port_name(port: PortId, names: &Names) -> String {
    names
        .port(port)
        .map_or_else(|| format!("port {} (detached)", port.0), str::to_owned)
}

fn rule_name(rule: RuleId, names: &Names) -> String {
    names
        .rule(rule)
        .map_or_else(|| format!("rule {} (removed)", rule.0), ToString::to_string)
}

fn route_name(route: RouteKind) -> &'static str {
    match route {
        RouteKind::VnetLocal => "VnetLocal",
        RouteKind::VnetPeering => "VnetPeering",
        RouteKind::VirtualAppliance => "VirtualAppliance",
        RouteKind::VirtualNetworkGateway => "VirtualNetworkGateway",
        RouteKind::Internet => "Internet",
        RouteKind::ServiceEndpoint => "ServiceEndpoint",
        RouteKind::Inbound => "Inbound",
        RouteKind::Platform => "Platform",
    }
}

fn source_kind_name(kind: SourceKind) -> &'static str {
    match kind {
        SourceKind::Private => "private",
        SourceKind::OneToOne => "oneToOne",
        SourceKind::Shared => "shared",
    }
}
