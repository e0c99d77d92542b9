//! The resources in ARM's own words, validated.
//!
//! A [`Model`] comes from `config`, which has checked everything that can be checked without the
//! host: what refers to something refers to something that is there, spelled as it is spelled
//! there; addresses lie where they must; nothing is used twice. Whether namespaces exist is
//! `attach`'s to say. Names compare without case, as in ARM.

mod api;
mod blocks;
mod diff;
mod dns;
mod edit;
mod front;
mod learned;
mod namespace;
mod policy;
mod process;
mod resource;
mod routing;
mod rules;
mod supply;
#[cfg(test)]
mod tests;

pub use api::{
    Api, Assignment as ApiAssignment, Principal as ApiPrincipal, RoleSource, SecretSource,
    Subscription as ApiSubscription,
};
pub use blocks::{FORBIDDEN, NOT_PUBLIC, PLATFORM, PLATFORM_HOSTS, UNROUTED};
pub use diff::{Action, Change};
pub use dns::Dns;
pub use edit::ModelError;
pub(crate) use edit::in_catalogue_order;
pub use front::{Backend, Protocol, ServiceFront};
pub use learned::{GatewayRoutes, Learned, LearnedRoute, MOST_LEARNED};
pub use namespace::{NamespaceRef, NotANamespace, Pinned};
pub use policy::{ALIASES, EndpointPolicy, PolicyDefinition, PolicyResource};
pub use process::{Pin, Process};
pub use resource::{
    CrossTenant, NotASubnet, Resource, ResourceRule, ResourceRules, RuleCallers, Scope, SubnetRef,
};
pub use routing::{
    Destination, GATEWAY_SUBNET, Gateway, LearnedRoutes, NotAProtocol, Peer as NetworkPeer,
    Peering, PeeringState, RouteProtocol, RouteTable, UserNextHop, UserRoute, VsePrecedence,
};
pub use rules::{
    ApplicationSecurityGroup, NetworkSecurityGroup, Peer, Ports, RuleProtocol, RuleTag,
    SecurityRule, access_name, default_rules, direction_name,
};

pub use supply::{SupplyError, SupplyErrors};

use crate::catalog::{Location, Service};
use ipnet::Ipv4Net;
use postern_dataplane::policy::{CloseMode, Timers};
use std::net::Ipv4Addr;
use std::time::Duration;

/// Everything that one configuration declares.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Model {
    /// The region of resources that do not name one.
    pub location: Option<Location>,
    /// Where resources are filed that do not say so.
    pub scope: Scope,
    /// Switches.
    pub settings: Settings,
    /// How long flows and leases live.
    pub timers: Timers,
    /// The public side.
    pub internet: Option<Internet>,
    /// Where the platform's own addresses live.
    pub platform: Platform,
    /// The public source of NICs that have no other one.
    pub default_outbound: Option<Ipv4Addr>,
    /// The public addresses that resources get which name none: ours, whether or not anybody has them.
    pub public_pool: Vec<Ipv4Net>,
    /// NAT gateways.
    pub nat_gateways: Vec<NatGateway>,
    /// Route tables.
    pub route_tables: Vec<RouteTable>,
    /// Gateways to the on-premises side.
    pub gateways: Vec<Gateway>,
    /// Service endpoint policies.
    pub policies: Vec<EndpointPolicy>,
    /// Virtual networks.
    pub vnets: Vec<VirtualNetwork>,
    /// Network interfaces.
    pub nics: Vec<NetworkInterface>,
    /// Application security groups.
    pub asgs: Vec<ApplicationSecurityGroup>,
    /// Network security groups.
    pub nsgs: Vec<NetworkSecurityGroup>,
    /// Addresses of services.
    pub services: Vec<ServiceInstance>,
    /// The resolver of the virtual networks.
    pub dns: Dns,
    /// The REST API.
    pub api: Api,
}

/// Switches where the platform's behaviour is contested or can be chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// How a TCP flow whose path changed is closed.
    pub close_mode: CloseMode,
    /// Whether NSG edits act on live flows too.
    pub reevaluate_on_change: bool,
    /// Which of a service endpoint and a user's route decides.
    pub vse_precedence: VsePrecedence,
    /// Whether shared public sources translate ICMP echo.
    pub shared_snat_icmp: bool,
    /// Whether shared public sources translate fragments.
    pub shared_snat_fragments: bool,
    /// Whether a route for every address puts every address into the tag `VirtualNetwork`.
    pub vnet_tag_includes_default_route: bool,
    /// Whether a gateway's route for every address takes away the blocks that lead nowhere, as a
    /// user's does.
    pub learned_default_removes_none: bool,
    /// Whether a storage account does not see the public sources of its own region.
    pub same_region_public_source_hidden: bool,
    /// Which network rules for subnets of other tenants are accepted.
    pub cross_tenant_rules: CrossTenant,
    /// The most flows that a NIC opens at a time, and the most that are opened to it.
    pub max_nic_flows: u32,
    /// The most flows at a time of one address of a NAT gateway to one destination.
    pub nat_gateway_flows_per_destination: u32,
    /// The most of them that one NIC has; none lets one have all.
    pub nat_gateway_ports_per_nic: Option<u32>,
    /// The most flows at a time of one NIC from the default outbound address to one destination; none
    /// goes by how many NICs share the address, as the platform does.
    pub default_outbound_ports_per_nic: Option<u32>,
    /// The most flows of a NAT gateway at a time.
    pub nat_gateway_flows: u32,
    /// The most flows at a time.
    pub max_flows: u32,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            close_mode: CloseMode::default(),
            reevaluate_on_change: false,
            vse_precedence: VsePrecedence::default(),
            shared_snat_icmp: false,
            shared_snat_fragments: false,
            vnet_tag_includes_default_route: true,
            same_region_public_source_hidden: true,
            cross_tenant_rules: CrossTenant::default(),
            learned_default_removes_none: false,
            max_nic_flows: 500_000,
            nat_gateway_flows_per_destination: 50_000,
            nat_gateway_ports_per_nic: None,
            default_outbound_ports_per_nic: None,
            nat_gateway_flows: 2_000_000,
            max_flows: 1_048_576,
        }
    }
}

/// A TUN device in a namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Device {
    /// The namespace that it is made in.
    pub namespace: NamespaceRef,
    /// Its name there.
    pub name: String,
    /// The largest IP packet, in bytes.
    pub mtu: u16,
    /// Whether super-frames and partial checksums pass.
    pub offload: bool,
}

impl Device {
    /// The device name where none is given.
    pub const DEFAULT_NAME: &str = "postern0";
    /// The MTU where none is given.
    pub const DEFAULT_MTU: u16 = 1500;
}

/// The public side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Internet {
    /// Its device.
    pub device: Device,
    /// Addresses that the device gets, with their prefix lengths.
    pub addresses: Vec<Ipv4Net>,
}

/// Where 168.63.129.16 and 169.254.169.254 live, which every NIC reaches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Platform {
    /// The device that has them; in a namespace of Postern's own where none is named.
    pub device: Device,
}

impl Default for Platform {
    fn default() -> Self {
        let device = Device {
            namespace: NamespaceRef::Own,
            name: Device::DEFAULT_NAME.to_owned(),
            mtu: Device::DEFAULT_MTU,
            offload: true,
        };
        Self { device }
    }
}

/// A NAT gateway.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NatGateway {
    /// Its name.
    pub name: String,
    /// Its public addresses; at least one.
    pub addresses: Vec<Ipv4Addr>,
    /// How long an established TCP connection through it may be idle; none takes the timer
    /// `tcpIdle`.
    pub idle_timeout_minutes: Option<u32>,
}

/// A virtual network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VirtualNetwork {
    /// Its name.
    pub name: String,
    /// Its region.
    pub location: Location,
    /// Where it is filed.
    pub scope: Scope,
    /// Its address space; at least one range.
    pub address_prefixes: Vec<Ipv4Net>,
    /// How long an idle flow of its NICs lives, where that is set.
    pub flow_timeout: Option<Duration>,
    /// Its subnets.
    pub subnets: Vec<Subnet>,
    /// Its sides of peerings with other networks.
    pub peerings: Vec<Peering>,
}

/// A subnet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subnet {
    /// Its name, unique in the network.
    pub name: String,
    /// Its addresses.
    pub prefix: Ipv4Net,
    /// The services whose endpoint is on, each once, in the catalogue's order.
    pub service_endpoints: Vec<&'static Service>,
    /// The endpoint policies of all its NICs, each once.
    pub endpoint_policies: Vec<String>,
    /// The NSG of all its NICs.
    pub nsg: Option<String>,
    /// The route table of all its NICs.
    pub route_table: Option<String>,
    /// The NAT gateway of all its NICs.
    pub nat_gateway: Option<String>,
    /// Whether its NICs may use the default outbound source.
    pub default_outbound_access: bool,
}

/// A workload's network interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NetworkInterface {
    /// Its name.
    pub name: String,
    /// The name of its virtual network.
    pub vnet: String,
    /// The name of its subnet.
    pub subnet: String,
    /// Its private address.
    pub private_address: Ipv4Addr,
    /// The public address that belongs to it alone.
    pub public_address: Option<Ipv4Addr>,
    /// Whether it may send packets whose source is not its own.
    pub ip_forwarding: bool,
    /// Its own NSG.
    pub nsg: Option<String>,
    /// The application security groups that it is a member of.
    pub asgs: Vec<String>,
    /// Its device.
    pub device: Device,
}

/// An address behind which a service answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceInstance {
    /// Its name.
    pub name: String,
    /// The service that it is of.
    pub service: &'static Service,
    /// Its region.
    pub location: Location,
    /// What it is in ARM, and who may use it.
    pub resource: Resource,
    /// Its address, one of the service's in that region.
    pub address: Ipv4Addr,
    /// How it gets the connections of an endpoint.
    pub delivery: ServiceDelivery,
    /// The front that clients meet in its place; without one, a server listens on its address.
    pub front: Option<ServiceFront>,
    /// Its device; services in one namespace share one.
    pub device: Device,
}

/// How a service gets the connections of an endpoint; all others are IPv4.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ServiceDelivery {
    /// Over IPv4, with the private address of the sender.
    #[default]
    Native,
    /// Over IPv6, with the identity of the sender's subnet in the source address.
    St6,
}

impl ServiceDelivery {
    /// Returns the value of the key `delivery`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Native => "native",
            Self::St6 => "st6",
        }
    }
}

impl Model {
    /// Returns the virtual network with this name.
    #[must_use]
    pub fn vnet(&self, name: &str) -> Option<&VirtualNetwork> {
        self.vnets
            .iter()
            .find(|vnet| vnet.name.eq_ignore_ascii_case(name))
    }

    /// Returns the network interface with this name.
    #[must_use]
    pub fn nic(&self, name: &str) -> Option<&NetworkInterface> {
        self.nics
            .iter()
            .find(|nic| nic.name.eq_ignore_ascii_case(name))
    }

    /// Returns the network security group with this name.
    #[must_use]
    pub fn nsg(&self, name: &str) -> Option<&NetworkSecurityGroup> {
        self.nsgs
            .iter()
            .find(|nsg| nsg.name.eq_ignore_ascii_case(name))
    }

    /// Returns the virtual network and the subnet that a network interface is in.
    #[must_use]
    pub fn subnet_of(&self, nic: &NetworkInterface) -> Option<(&VirtualNetwork, &Subnet)> {
        let vnet = self.vnet(&nic.vnet)?;
        Some((vnet, vnet.subnet(&nic.subnet)?))
    }

    /// Returns every public address that packets can have as their source, in a fixed order.
    #[must_use]
    pub fn public_addresses(&self) -> Vec<Ipv4Addr> {
        let gateways = self
            .nat_gateways
            .iter()
            .flat_map(|gateway| gateway.addresses.iter());
        let instances = self
            .nics
            .iter()
            .filter_map(|nic| nic.public_address.as_ref());
        gateways
            .chain(instances)
            .chain(self.default_outbound.as_ref())
            .copied()
            .collect()
    }
}

impl VirtualNetwork {
    /// Returns the subnet with this name.
    #[must_use]
    pub fn subnet(&self, name: &str) -> Option<&Subnet> {
        self.subnets
            .iter()
            .find(|subnet| subnet.name.eq_ignore_ascii_case(name))
    }
}
