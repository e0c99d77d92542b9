//! The compiler: a model and a catalogue become the packet path's policy.
//!
//! Compiling reads no file and touches no device. What it gives is complete: the snapshot, what has
//! to be attached for it, and the names behind its numbers.

mod access;
mod entries;
mod inside;
mod interned;
mod nsg;
mod numbers;
mod outbound;
mod ports;
mod routes;
mod tags;
#[cfg(test)]
mod tests;

pub(crate) use entries::{Entry, Hop, Origin, entries, rivals, standing_routes, table_of};
pub use numbers::{Names, PortNumbers, RuleName};
pub use ports::gateway_name;
pub use ports::{PortKindName, PortSpec};
pub(crate) use tags::{Tags, VnetTags, prefixes};

use crate::catalog::Catalog;
use crate::keys::KeyError;
use crate::keys::grants::GrantErrors;
use crate::model::{
    GATEWAY_SUBNET, Gateway as ModelGateway, Learned, Model, NatGateway, NetworkInterface,
    PLATFORM_HOSTS, ServiceDelivery, ServiceInstance, Subnet as ModelSubnet, VirtualNetwork,
};
use nsg::Groups;
use postern_dataplane::identity::{Identity, ServicePrefix};
use postern_dataplane::policy::{
    Delivery, Epoch, Gateway, Nic, Port, PortId, PortKind, PublicAddress, PublicSource,
    ServiceAddress, Settings, SharedSource, Snapshot, SourceId, Subnet, SubnetIndex, Vnet,
    VnetIndex,
};
use routes::{Endpoints, Places, Routes};
use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;
use thiserror::Error;

/// What a model compiles to.
#[derive(Clone, Debug)]
pub struct Compiled {
    /// The policy of the packet path.
    pub snapshot: Snapshot,
    /// What has to be attached, in the order of the port numbers.
    pub ports: Vec<PortSpec>,
    /// Ports of the policy that have no namespace, in the same order: packets to them are lost.
    pub unattached: Vec<PortSpec>,
    /// The names behind the numbers of the policy.
    pub names: Names,
}

/// Why a model does not compile.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum CompileError {
    /// There is more of something than it has numbers.
    #[error("{count} {what}: too many; accepted: at most {most}")]
    TooMany {
        /// What there is too much of.
        what: &'static str,
        /// How much of it there is.
        count: usize,
        /// How much there can be.
        most: usize,
    },
    /// The model or a service tag that it was validated with is not what it was.
    #[error(
        "{kind} = \"{name}\": not found; accepted: one of the configuration and of its \
         service-tag file"
    )]
    Missing {
        /// The kind of what was looked for.
        kind: &'static str,
        /// Its name.
        name: String,
    },
    /// There is no key for a network or subnet.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// Network rules cannot be made.
    #[error(transparent)]
    Grant(#[from] GrantErrors),
}

fn missing(kind: &'static str, name: &str) -> CompileError {
    CompileError::Missing {
        kind,
        name: name.to_owned(),
    }
}

/// Compiles a model whose gateways have learned nothing into the policy with the number `epoch`.
///
/// # Errors
///
/// As [`compile_learned`].
pub fn compile(
    model: &Model,
    catalog: &Catalog,
    epoch: Epoch,
    numbers: &mut PortNumbers,
) -> Result<Compiled, CompileError> {
    compile_learned(model, &Learned::default(), catalog, epoch, numbers)
}

/// Compiles a model, and what its gateways have learned, into the policy with the number `epoch`.
///
/// # Errors
///
/// The model has more ports, networks or subnets than there are numbers, or refers to a service tag
/// that `catalog` lacks.
pub fn compile_learned(
    model: &Model,
    learned: &Learned,
    catalog: &Catalog,
    epoch: Epoch,
    numbers: &mut PortNumbers,
) -> Result<Compiled, CompileError> {
    numbers.begin();
    numbers.keys.assign(model)?;
    numbers.keys.grant(model)?;
    let access = access::table(model, catalog, numbers)?;
    let ports = ports::specs(model, numbers)?;
    let ids = ports
        .iter()
        .map(|port| (port.name.as_str(), port.id))
        .collect();
    let places = Places::new(model, &ids);
    let mut compiler = Compiler {
        model,
        catalog,
        numbers,
        routes: Routes::new(model, learned, catalog, places),
        ids,
        groups: Groups::new(model, learned, catalog),
        endpoints: Endpoints::new(catalog),
        subnets: HashMap::new(),
        snapshot: Snapshot {
            epoch,
            ..Snapshot::default()
        },
    };
    compiler.settings();
    compiler.sources()?;
    compiler.networks()?;
    let kinds = compiler.kinds()?;
    let mut snapshot = compiler.snapshot;
    snapshot.access = Arc::new(access);
    snapshot.inside = inside::ranges(model, learned);
    snapshot.ports = table(&ports, kinds);
    let (ports, unattached) = ports
        .into_iter()
        .partition(|port| port.namespace.is_attached());
    Ok(Compiled {
        snapshot,
        ports,
        unattached,
        names: numbers.end(),
    })
}

/// Returns the ports at the indices of their numbers.
fn table(specs: &[PortSpec], mut kinds: HashMap<PortId, PortKind>) -> Vec<Option<Port>> {
    let last = specs.iter().map(|spec| usize::from(spec.id.0)).max();
    let mut table = vec![None; last.map_or(0, |last| last.saturating_add(1))];
    for spec in specs {
        let kind = kinds.remove(&spec.id);
        if let (Some(kind), Some(slot)) = (kind, table.get_mut(usize::from(spec.id.0))) {
            *slot = Some(Port {
                mtu: spec.mtu,
                kind,
            });
        }
    }
    table
}

/// A snapshot in the making.
struct Compiler<'m, 'n> {
    model: &'m Model,
    catalog: &'m Catalog,
    numbers: &'n mut PortNumbers,
    ids: HashMap<&'n str, PortId>,
    groups: Groups<'m>,
    routes: Routes<'m>,
    endpoints: Endpoints<'m>,
    /// Indices of subnets by the names of network and subnet.
    subnets: HashMap<(&'m str, &'m str), (VnetIndex, SubnetIndex)>,
    snapshot: Snapshot,
}

impl<'m> Compiler<'m, '_> {
    fn settings(&mut self) {
        self.snapshot.settings = Settings {
            close_mode: self.model.settings.close_mode,
            reevaluate_on_change: self.model.settings.reevaluate_on_change,
            max_nic_flows: self.model.settings.max_nic_flows,
            timers: self.model.timers,
        };
    }

    /// Numbers the shared sources: NAT gateways in their order, then the default outbound one.
    fn sources(&mut self) -> Result<(), CompileError> {
        let settings = &self.model.settings;
        let gateways = self.model.nat_gateways.iter().map(|gateway| SharedSource {
            addresses: gateway.addresses.clone(),
            tcp_idle: gateway.idle_timeout_minutes.map(minutes),
            resets_unknown: true,
            max_flows_per_destination: Some(settings.nat_gateway_flows_per_destination),
            max_flows_per_guest: settings.nat_gateway_ports_per_nic,
            max_flows: Some(settings.nat_gateway_flows),
            ..SharedSource::default()
        });
        let default = self.model.default_outbound.map(|address| SharedSource {
            addresses: vec![address],
            ..SharedSource::default()
        });
        for source in gateways.chain(default) {
            let id = SourceId(index("public sources", self.snapshot.sources.len())?);
            let shared = source.addresses.iter();
            let shared = shared.map(|&at| (at, PublicAddress::Shared(id)));
            self.snapshot.publics.extend(shared);
            self.snapshot.sources.push(SharedSource {
                icmp: settings.shared_snat_icmp,
                fragments: settings.shared_snat_fragments,
                ..source
            });
        }
        Ok(())
    }

    fn networks(&mut self) -> Result<(), CompileError> {
        for (at, vnet) in self.model.vnets.iter().enumerate() {
            let vnet_index = VnetIndex(index("virtual networks", at)?);
            self.snapshot.vnets.push(Vnet {
                flow_timeout: vnet.flow_timeout,
                ..Vnet::default()
            });
            for subnet in &vnet.subnets {
                let subnet_index = SubnetIndex(index("subnets", self.snapshot.subnets.len())?);
                let names = (vnet.name.as_str(), subnet.name.as_str());
                self.subnets.insert(names, (vnet_index, subnet_index));
                let nsg = self
                    .groups
                    .get(subnet.nsg.as_ref(), vnet, subnet, self.numbers)?;
                let tables = self.routes.get(at, vnet, subnet)?;
                self.snapshot.subnets.push(Subnet {
                    vnet: vnet_index,
                    identity: self.identity(vnet, subnet)?,
                    nsg,
                    routes: tables.routes,
                    rivals: tables.rivals,
                    endpoints: self.endpoints.get(vnet, subnet),
                });
            }
        }
        Ok(())
    }

    /// Returns what packets of the subnet carry where a service sees it.
    fn identity(
        &self,
        vnet: &VirtualNetwork,
        subnet: &ModelSubnet,
    ) -> Result<Identity, CompileError> {
        let keys = self.numbers.keys.subnet(&vnet.name, &subnet.name);
        let (vnet_key, subnet_key) = keys.ok_or_else(|| missing("subnet", &subnet.name))?;
        Ok(Identity {
            vnet: vnet_key,
            subnet: subnet_key,
            region: self.catalog.region_id(&vnet.location),
        })
    }

    /// Returns what is behind each port, and enters the addresses where packets look for them.
    fn kinds(&mut self) -> Result<HashMap<PortId, PortKind>, CompileError> {
        let mut kinds = HashMap::with_capacity(self.ids.len());
        for nic in &self.model.nics {
            let port = self.port(&ports::nic_name(&nic.name))?;
            let compiled = self.nic(nic, port)?;
            kinds.insert(port, PortKind::Nic(compiled));
        }
        self.share_out(&kinds);
        if self.model.internet.is_some() {
            let port = self.port(ports::INTERNET)?;
            self.snapshot.internet = Some(port);
            kinds.insert(port, PortKind::Internet);
        }
        for gateway in &self.model.gateways {
            let port = self.port(&ports::gateway_name(&gateway.name))?;
            kinds.insert(port, PortKind::Gateway(self.gateway(gateway)?));
        }
        for service in &self.model.services {
            let port = self.port(&ports::service_name(service))?;
            let place = ServiceAddress {
                port,
                service: service.service.id(),
                delivery: self.delivery(service)?,
            };
            self.snapshot.services.insert(service.address, place);
            kinds.insert(port, PortKind::Service);
        }
        let port = self.port(ports::PLATFORM)?;
        let hosts = PLATFORM_HOSTS.iter().copied().flatten();
        let hosts = hosts.map(|host| (host.addr(), port));
        self.snapshot.platform.extend(hosts);
        kinds.insert(port, PortKind::Platform);
        Ok(kinds)
    }

    /// Gives each NIC its part of the default outbound address.
    fn share_out(&mut self, kinds: &HashMap<PortId, PortKind>) {
        let last = self.snapshot.sources.len().checked_sub(1);
        let Some(default) = last.filter(|_| self.model.default_outbound.is_some()) else {
            return;
        };
        let shares_it = |kind: &&PortKind| match kind {
            PortKind::Nic(nic) => matches!(
                nic.public,
                PublicSource::Shared(id) if usize::from(id.0) == default
            ),
            _ => false,
        };
        let nics = kinds.values().filter(shares_it).count();
        let told = self.model.settings.default_outbound_ports_per_nic;
        if let Some(source) = self.snapshot.sources.get_mut(default) {
            source.max_flows_per_guest = Some(told.unwrap_or(outbound::ports_per_nic(nics)));
        }
    }

    fn delivery(&self, service: &ServiceInstance) -> Result<Delivery, CompileError> {
        match service.delivery {
            ServiceDelivery::Native => Ok(Delivery::Native),
            ServiceDelivery::St6 => {
                let code = service.service.code();
                Ok(Delivery::Tunnel(ServicePrefix {
                    service: code.ok_or_else(|| missing("service", service.service.name))?,
                    region: self.catalog.region_id(&service.location),
                }))
            }
        }
    }

    fn port(&self, name: &str) -> Result<PortId, CompileError> {
        self.ids
            .get(name)
            .copied()
            .ok_or_else(|| missing("port", name))
    }

    fn gateway(&self, gateway: &ModelGateway) -> Result<Gateway, CompileError> {
        let vnet = gateway.vnet.as_str();
        let is_own = |other: &crate::model::VirtualNetwork| other.name.eq_ignore_ascii_case(vnet);
        let at = self.model.vnets.iter().position(is_own);
        let at = at.ok_or_else(|| missing("virtualNetwork", vnet))?;
        let network = self.model.vnets.get(at);
        let network = network.ok_or_else(|| missing("virtualNetwork", vnet))?;
        let routes = self
            .routes
            .of_gateway(at, network, network.subnet(GATEWAY_SUBNET))?;
        Ok(Gateway {
            vnet: VnetIndex(index("virtual networks", at)?),
            routes,
            behind: inside::behind(self.model, self.routes.learned(), gateway, network),
        })
    }

    fn nic(&mut self, nic: &NetworkInterface, port: PortId) -> Result<Nic, CompileError> {
        let place = self.model.subnet_of(nic);
        let (vnet, subnet) = place.ok_or_else(|| missing("subnet", &nic.subnet))?;
        let indices = self
            .subnets
            .get(&(vnet.name.as_str(), subnet.name.as_str()));
        let &(at, subnet_index) = indices.ok_or_else(|| missing("subnet", &nic.subnet))?;
        if let Some(vnet) = self.snapshot.vnets.get_mut(usize::from(at.0)) {
            vnet.nics.insert(nic.private_address, port);
        }
        if let Some(address) = nic.public_address {
            self.snapshot
                .publics
                .insert(address, PublicAddress::OneToOne(port));
        }
        let nsg = self
            .groups
            .get(nic.nsg.as_ref(), vnet, subnet, self.numbers)?;
        Ok(Nic {
            addresses: vec![nic.private_address],
            ip_forwarding: nic.ip_forwarding,
            subnet: subnet_index,
            nsg,
            public: self.public_source(nic.public_address, subnet)?,
            instance_address: nic.public_address,
        })
    }

    /// Returns the public source of a NIC: the subnet's NAT gateway, else the NIC's own address,
    /// else the default outbound one, which a private subnet does not have.
    fn public_source(
        &self,
        own: Option<Ipv4Addr>,
        subnet: &ModelSubnet,
    ) -> Result<PublicSource, CompileError> {
        let gateways = &self.model.nat_gateways;
        if let Some(name) = &subnet.nat_gateway {
            let named = |gateway: &NatGateway| gateway.name.eq_ignore_ascii_case(name);
            let at = gateways
                .iter()
                .position(named)
                .ok_or_else(|| missing("natGateway", name))?;
            return Ok(PublicSource::Shared(SourceId(index("public sources", at)?)));
        }
        if let Some(address) = own {
            return Ok(PublicSource::OneToOne(address));
        }
        if self.model.default_outbound.is_some() && subnet.default_outbound_access {
            let default = index("public sources", gateways.len())?;
            return Ok(PublicSource::Shared(SourceId(default)));
        }
        Ok(PublicSource::None)
    }
}

fn minutes(count: u32) -> Duration {
    Duration::from_secs(u64::from(count) * 60)
}

/// Returns the next index among `count` things.
fn index(what: &'static str, count: usize) -> Result<u16, CompileError> {
    let most = usize::from(u16::MAX).saturating_add(1);
    let too_many = CompileError::TooMany {
        what,
        count: count.saturating_add(1),
        most,
    };
    u16::try_from(count).map_err(|_| too_many)
}
