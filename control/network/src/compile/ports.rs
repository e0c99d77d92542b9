//! Ports: what has to be attached, and with which addresses and routes.

use super::numbers::PortNumbers;
use super::{CompileError, missing};
use crate::model::{Device, Model, NamespaceRef, PLATFORM_HOSTS, ServiceDelivery, ServiceInstance};
use ipnet::Ipv4Net;
use postern_dataplane::policy::PortId;
use serde::Serialize;
use std::fmt;
use std::net::Ipv4Addr;

/// What a port is, for people and programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum PortKindName {
    /// A workload's NIC.
    Nic,
    /// The public side.
    Internet,
    /// The on-premises side of a virtual network.
    Gateway,
    /// Where service addresses live.
    Service,
    /// Where the platform's own addresses live.
    Platform,
}

impl fmt::Display for PortKindName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Nic => "nic",
            Self::Internet => "internet",
            Self::Gateway => "gateway",
            Self::Service => "service",
            Self::Platform => "platform",
        })
    }
}

/// What one TUN device has to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PortSpec {
    /// The number of the port.
    pub id: PortId,
    /// Its name: `nic/NAME`, `internet`, `gateway/NAME`, `service/NAMESPACE` or `platform`.
    pub name: String,
    /// What it is.
    pub kind: PortKindName,
    /// The namespace that the device is made in; a port without one has no device.
    pub namespace: NamespaceRef,
    /// The name of the device there.
    pub device: String,
    /// The largest IP packet, in bytes.
    pub mtu: u16,
    /// Whether super-frames and partial checksums pass.
    pub offload: bool,
    /// Addresses of the device, with their prefix lengths.
    pub addresses: Vec<Ipv4Net>,
    /// Destinations that are routed to the device.
    pub routes: Vec<Ipv4Net>,
    /// Whether IPv6 with identities passes: service prefixes are local and those of subnets are
    /// routed to the device.
    pub has_identities: bool,
}

/// The name of the port of the public side.
pub(super) const INTERNET: &str = "internet";

/// The name of the port of the platform.
pub(super) const PLATFORM: &str = "platform";

/// Returns the name of the port of a NIC.
pub(super) fn nic_name(nic: &str) -> String {
    format!("nic/{nic}")
}

/// Returns the name of the port of a gateway.
pub fn gateway_name(gateway: &str) -> String {
    format!("gateway/{gateway}")
}

/// Returns the name of the port of a service: one for each namespace.
pub(super) fn service_name(service: &ServiceInstance) -> String {
    format!("service/{}", service.device.namespace.canonical())
}

/// Returns every port of a model in the order of their numbers.
pub(super) fn specs(
    model: &Model,
    numbers: &mut PortNumbers,
) -> Result<Vec<PortSpec>, CompileError> {
    let mut specs = Vec::new();
    for nic in &model.nics {
        let (_, subnet) = model
            .subnet_of(nic)
            .ok_or_else(|| missing("subnet", &nic.subnet))?;
        let address = Ipv4Net::new(nic.private_address, subnet.prefix.prefix_len());
        let address = address.unwrap_or_else(|_| Ipv4Net::from(nic.private_address));
        let mut port = spec(nic_name(&nic.name), PortKindName::Nic, &nic.device);
        port.addresses.push(address);
        port.routes.push(Ipv4Net::default());
        specs.push(port);
    }
    if let Some(internet) = &model.internet {
        let mut port = spec(
            INTERNET.to_owned(),
            PortKindName::Internet,
            &internet.device,
        );
        port.addresses.clone_from(&internet.addresses);
        let services = model.services.iter().map(|service| service.address);
        port.routes = hosts(model.public_addresses().into_iter().chain(services));
        specs.push(port);
    }
    for gateway in &model.gateways {
        let vnet = model
            .vnet(&gateway.vnet)
            .ok_or_else(|| missing("virtualNetwork", &gateway.vnet))?;
        let name = gateway_name(&gateway.name);
        let mut port = spec(name, PortKindName::Gateway, &gateway.device);
        port.addresses.clone_from(&gateway.addresses);
        port.routes.clone_from(&vnet.address_prefixes);
        specs.push(port);
    }
    let first_service = specs.len();
    for service in &model.services {
        let name = service_name(service);
        let address = Ipv4Net::from(service.address);
        let known = specs
            .iter_mut()
            .skip(first_service)
            .find(|port| port.name == name);
        if let Some(port) = known {
            port.addresses.push(address);
            port.addresses.sort_unstable();
            port.addresses.dedup();
            port.has_identities |= service.delivery == ServiceDelivery::St6;
        } else {
            let mut port = spec(name, PortKindName::Service, &service.device);
            port.has_identities = service.delivery == ServiceDelivery::St6;
            port.addresses.push(address);
            port.routes.push(Ipv4Net::default());
            specs.push(port);
        }
    }
    specs.push(platform(model));
    let names: Vec<&str> = specs.iter().map(|port| port.name.as_str()).collect();
    let ids = numbers.assign(&names)?;
    for port in &mut specs {
        port.id = *ids
            .get(&port.name)
            .ok_or_else(|| missing("port", &port.name))?;
    }
    specs.sort_by_key(|port| port.id);
    Ok(specs)
}

/// Returns the port of the platform's own addresses.
fn platform(model: &Model) -> PortSpec {
    let kind = PortKindName::Platform;
    let mut port = spec(PLATFORM.to_owned(), kind, &model.platform.device);
    port.addresses = PLATFORM_HOSTS.concat();
    port.routes.push(Ipv4Net::default());
    port
}

/// Returns a port without addresses and routes; its number comes later.
fn spec(name: String, kind: PortKindName, device: &Device) -> PortSpec {
    PortSpec {
        id: PortId(0),
        name,
        kind,
        namespace: device.namespace.clone(),
        device: device.name.clone(),
        mtu: device.mtu,
        offload: device.offload,
        addresses: Vec::new(),
        routes: Vec::new(),
        has_identities: false,
    }
}

fn hosts(addresses: impl Iterator<Item = Ipv4Addr>) -> Vec<Ipv4Net> {
    let mut hosts: Vec<_> = addresses.map(Ipv4Net::from).collect();
    hosts.sort_unstable();
    hosts.dedup();
    hosts
}
