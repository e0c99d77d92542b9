//! The public side, public sources, network interfaces and services.

use super::access;
use super::device::Shared;
use super::filing::RESOURCE_NAME;
use super::front;
use super::loader::{Claims, Loader, name};
use super::problem::Problem;
use super::section::Section;
use crate::catalog::Service;
use crate::model::{
    Device, Internet, NamespaceRef, NatGateway, NetworkInterface, Platform, ServiceDelivery,
    ServiceInstance, Subnet,
};
use ipnet::Ipv4Net;
use std::net::Ipv4Addr;

pub(super) const GATEWAY_KEYS: &[&str] = &[
    "name",
    "location",
    "subscription",
    "resourceGroup",
    RESOURCE_NAME,
    "publicIPAddresses",
    IDLE_TIMEOUT,
];
const IDLE_TIMEOUT: &str = "idleTimeoutInMinutes";

pub(super) const NIC_KEYS: &[&str] = &[
    "name",
    "subscription",
    "resourceGroup",
    RESOURCE_NAME,
    "virtualNetwork",
    "subnet",
    "privateIPAddress",
    "publicIPAddress",
    "enableIPForwarding",
    "networkSecurityGroup",
    "applicationSecurityGroups",
    "namespace",
    "device",
    "mtu",
    "offload",
];

pub(super) const SERVICE_KEYS: &[&str] = &[
    "name",
    "service",
    "location",
    "address",
    DELIVERY,
    "subscription",
    "resourceGroup",
    RESOURCE_NAME,
    "tenant",
    "type",
    "host",
    "refusal",
    "publicNetworkAccess",
    "networkAcls",
    "networkRuleSet",
    "networkRuleSets",
    "isVirtualNetworkFilterEnabled",
    "virtualNetworkRules",
    "ipRules",
    "firewallRules",
    "ipSecurityRestrictions",
    "front",
    "namespace",
    "device",
    "mtu",
    "offload",
];

const DELIVERY: &str = "delivery";
/// The smallest MTU of a device that carries IPv6 (RFC 8200 section 5).
const SMALLEST_MTU_V6: u16 = 1280;

const INTERNET_KEYS: &[&str] = &["namespace", "device", "addresses", "mtu", "offload"];
const PLATFORM_KEYS: &[&str] = &["namespace", "device", "mtu", "offload"];
const OUTBOUND_KEYS: &[&str] = &["publicIPAddress"];

const PUBLIC_ADDRESS: &str = "a public IPv4 address such as \"20.200.0.1\"";
const PUBLIC_ADDRESSES: &str = "a list of public IPv4 addresses such as [\"65.52.1.1\"]";
const PRIVATE_ADDRESS: &str = "an IPv4 address of the subnet such as \"10.0.1.4\"";
const DEVICE_ADDRESSES: &str =
    "a list of IPv4 addresses with prefix lengths such as [\"93.184.216.34/24\"]";
const SERVICE_ADDRESS: &str = "an IPv4 address of the service in its region";
const A_SERVICE: &str = "the name of a service such as \"Microsoft.Storage\"";
const A_NAME: &str = "the name of a resource of this file";

/// The most addresses of one NAT gateway.
const MOST_GATEWAY_ADDRESSES: usize = 16;

impl Loader<'_> {
    /// Reads the public side.
    pub(super) fn internet(&mut self, root: &Section<'_>) {
        let Some(section) = root.section("internet", INTERNET_KEYS) else {
            return;
        };
        let addresses = section.parse_list::<Ipv4Net>("addresses", DEVICE_ADDRESSES);
        for address in &addresses {
            self.claim_address(address.value.addr(), &address.key);
        }
        let addresses = addresses.into_iter().map(|address| address.value).collect();
        let device = self.own_device(&section);
        self.model.internet = device.map(|device| Internet { device, addresses });
    }

    /// Reads where the platform's own addresses live.
    pub(super) fn platform(&mut self, root: &Section<'_>) {
        let Some(section) = root.section("platform", PLATFORM_KEYS) else {
            return;
        };
        let device = self.own_device_or(&section, NamespaceRef::Own);
        self.model.platform = device.map(|device| Platform { device }).unwrap_or_default();
    }

    /// Reads the default outbound source.
    pub(super) fn default_outbound(&mut self, root: &Section<'_>) {
        let Some(section) = root.section("defaultOutbound", OUTBOUND_KEYS) else {
            return;
        };
        section.require("publicIPAddress", PUBLIC_ADDRESS);
        self.model.default_outbound = self.public_address(&section);
    }

    fn public_address(&mut self, section: &Section<'_>) -> Option<Ipv4Addr> {
        let address = section.parse("publicIPAddress", PUBLIC_ADDRESS)?;
        self.claim_public(address, &section.key("publicIPAddress"));
        Some(address)
    }

    /// Reads a NAT gateway.
    pub(super) fn nat_gateway(
        &mut self,
        section: &Section<'_>,
        names: &mut Claims<String>,
    ) -> Option<NatGateway> {
        const KEY: &str = "publicIPAddresses";
        let name = name(section, names);
        let kind = "Microsoft.Network/natGateways";
        self.filed_anywhere(section, kind, name.as_deref());
        let addresses = section.parse_some::<Ipv4Addr>(KEY, PUBLIC_ADDRESSES);
        if addresses.len() > MOST_GATEWAY_ADDRESSES {
            section.refuse(
                KEY,
                Problem::TooMany(addresses.len(), MOST_GATEWAY_ADDRESSES),
            );
        }
        for address in &addresses {
            self.claim_public(address.value, &address.key);
        }
        let addresses = addresses.into_iter().map(|address| address.value).collect();
        Some(NatGateway {
            name: name?,
            addresses,
            idle_timeout_minutes: section.number(IDLE_TIMEOUT, 4, 120),
        })
    }

    /// Reads a network interface.
    pub(super) fn nic(
        &mut self,
        section: &Section<'_>,
        names: &mut Claims<String>,
    ) -> Option<NetworkInterface> {
        let name = name(section, names);
        let kind = "Microsoft.Network/networkInterfaces";
        self.filed(section, kind, name.as_deref());
        section.require("virtualNetwork", A_NAME);
        section.require("subnet", A_NAME);
        let vnets = &self.declared.vnets;
        let vnet = Self::reference(section, "virtualNetwork", "virtualNetwork", vnets);
        let subnets = vnet
            .as_ref()
            .and_then(|vnet| self.declared.subnets.get(vnet));
        let subnet = subnets.and_then(|subnets| {
            Self::reference(section, "subnet", "subnet of the network", subnets)
        });
        let private = section.parse_required::<Ipv4Addr>("privateIPAddress", PRIVATE_ADDRESS);
        if let (Some(vnet), Some(subnet), Some(private)) = (&vnet, &subnet, private) {
            self.claim_private(section, vnet, subnet, private);
        }
        let public_address = self.public_address(section);
        let ip_forwarding = section.flag("enableIPForwarding", false);
        let nsg = "networkSecurityGroup";
        let nsg = Self::reference(section, nsg, nsg, &self.declared.nsgs);
        let asgs = self.memberships(section);
        let device = self.own_device_or(section, NamespaceRef::Unattached);
        Some(NetworkInterface {
            name: name?,
            vnet: vnet?,
            subnet: subnet?,
            private_address: private?,
            public_address,
            ip_forwarding,
            nsg,
            asgs,
            device: device?,
        })
    }

    fn claim_private(&mut self, section: &Section<'_>, vnet: &str, subnet: &str, at: Ipv4Addr) {
        const KEY: &str = "privateIPAddress";
        // A subnet that could not be read was reported there.
        let known = self.known_vnet(vnet).and_then(|vnet| vnet.subnet(subnet));
        if let Some(problem) = known.and_then(|subnet| outside(subnet, at)) {
            section.refuse(KEY, problem);
        }
        if let Err(other) = self.private.claim((vnet.to_owned(), at), &section.key(KEY)) {
            section.refuse(KEY, Problem::AddressInUse(other));
        }
    }

    /// Reads a service; one without an address is at the unspecified one until it is placed.
    pub(super) fn service(
        &mut self,
        section: &Section<'_>,
        names: &mut Claims<String>,
        devices: &mut Shared,
    ) -> Option<ServiceInstance> {
        let name = name(section, names);
        section.require("service", A_SERVICE);
        let service = section
            .text("service", A_SERVICE)
            .and_then(|name| known(section, name));
        let location = self.location(section);
        let told = section.parse::<Ipv4Addr>("address", SERVICE_ADDRESS);
        if let (Some(service), Some(location), Some(address)) = (service, &location, told) {
            self.check_service_address(section, service, location, address);
        }
        let resource = match (service, &name) {
            (Some(service), Some(name)) => {
                let of = access::type_of(section, service);
                let filed = self.filed(section, of, Some(name));
                access::resource(section, self, (service, of), filed)
            }
            _ => None,
        };
        let kind = resource.as_ref().map(|resource| resource.kind);
        let front = front::front(section, kind);
        let device = self.shared_device(section, devices);
        let delivery = delivery(section, device.as_ref(), front.is_some());
        Some(ServiceInstance {
            name: name?,
            service: service?,
            location: location?,
            resource: resource?,
            address: if section.has("address") {
                told?
            } else {
                Ipv4Addr::UNSPECIFIED
            },
            delivery,
            front,
            device: device?,
        })
    }
}

/// Reads how a service gets the connections of an endpoint; a front has to see the identity.
fn delivery(section: &Section<'_>, device: Option<&Device>, has_front: bool) -> ServiceDelivery {
    let choices = [ServiceDelivery::Native, ServiceDelivery::St6];
    let choices = choices.map(|delivery| (delivery.name(), delivery));
    let delivery = section.choice(DELIVERY, &choices, "\"native\" or \"st6\"");
    if delivery == Some(ServiceDelivery::Native) && has_front {
        section.refuse(
            DELIVERY,
            Problem::Malformed("\"st6\", which the front needs"),
        );
    }
    let delivery = delivery.unwrap_or(if has_front {
        ServiceDelivery::St6
    } else {
        ServiceDelivery::Native
    });
    let is_small = device.is_some_and(|device| device.mtu < SMALLEST_MTU_V6);
    if delivery == ServiceDelivery::St6 && is_small {
        let (least, most) = (u32::from(SMALLEST_MTU_V6), u32::from(u16::MAX));
        section.refuse("mtu", Problem::OutOfRange(least, most));
    }
    delivery
}

fn known(section: &Section<'_>, name: &str) -> Option<&'static Service> {
    let service = Service::find(name);
    match service.map(|service| (service, service.family())) {
        None => section.refuse("service", Problem::UnknownService),
        Some((service, family)) if service != family => {
            section.refuse("service", Problem::EndpointOnly(family.name));
        }
        Some(_) => {}
    }
    service.map(Service::family)
}

/// Returns why a NIC cannot have the address in the subnet: the first four and the last one are
/// the platform's.
fn outside(subnet: &Subnet, address: Ipv4Addr) -> Option<Problem> {
    const FIRST_FREE: u32 = 4;
    let prefix = subnet.prefix;
    let first = Ipv4Addr::from(u32::from(prefix.network()).saturating_add(FIRST_FREE));
    let last = Ipv4Addr::from(u32::from(prefix.broadcast()).saturating_sub(1));
    let reason = if !prefix.contains(&address) {
        "outside of"
    } else if !(first..=last).contains(&address) {
        "reserved in"
    } else {
        return None;
    };
    Some(Problem::NotInSubnet {
        reason,
        subnet: subnet.name.clone(),
        prefix,
        first,
        last,
    })
}
