//! Virtual networks, NAT gateways, network interfaces, and the public addresses of both.

use super::{Raiser, copy, name, set, table_list, text};
use crate::model::Scope;
use crate::spelling::json::{self, Object};
use crate::spelling::kinds;
use serde_json::{Value, json};
use toml::Table;

/// What ARM has no property for.
pub(in crate::spelling) const NIC_BINDINGS: &[&str] = &["namespace", "device", "mtu", "offload"];

/// The binding of a NAT gateway whose idle timeout is the timer of the host: ARM has a default of its
/// own.
pub(in crate::spelling) const FOLLOWS_TIMER: &str = "followsTimer";

impl Raiser<'_> {
    /// Raises a virtual network with its subnets and its sides of peerings.
    pub(super) fn vnet(&mut self, section: &Table) {
        let id = self.id(section, kinds::VNET.arm);
        let prefixes = section.get("addressPrefixes").map(json::from_toml);
        let subnets: Vec<_> = table_list(section, "subnet")
            .map(|subnet| json::child(name(subnet), self.subnet(subnet)))
            .collect();
        let peerings: Vec<_> = table_list(section, "peering")
            .filter_map(|peering| self.peering(peering))
            .collect();
        let mut properties = Object::new();
        let space = json!({ "addressPrefixes": prefixes });
        properties.insert("addressSpace".to_owned(), space);
        copy(section, &["flowTimeoutInMinutes"], &mut properties);
        properties.insert("subnets".to_owned(), subnets.into());
        if !peerings.is_empty() {
            properties.insert("virtualNetworkPeerings".to_owned(), peerings.into());
        }
        self.bind(&id, section, &["tenant"]);
        self.add(id, section, properties);
    }

    fn subnet(&self, section: &Table) -> Object {
        let mut properties = Object::new();
        copy(section, &["addressPrefix"], &mut properties);
        let endpoints = section.get("serviceEndpoints").and_then(|it| it.as_array());
        set(
            &mut properties,
            "serviceEndpoints",
            endpoints.map(|items| items.iter().filter_map(endpoint).collect()),
        );
        let key = "serviceEndpointPolicies";
        let policies = self.refer_all(section, key, &kinds::POLICY);
        set(&mut properties, key, policies);
        for kind in [&kinds::NSG, &kinds::ROUTE_TABLE, &kinds::NAT_GATEWAY] {
            set(
                &mut properties,
                kind.key,
                self.refer(section, kind.key, kind),
            );
        }
        copy(section, &["defaultOutboundAccess"], &mut properties);
        properties
    }

    fn peering(&self, section: &Table) -> Option<Value> {
        let (remote, network) = self.find(&kinds::VNET, text(section, "remote")?)?;
        let mut properties = Object::new();
        let key = "remoteVirtualNetwork";
        properties.insert(key.to_owned(), json::refer(remote));
        properties.insert("allowVirtualNetworkAccess".to_owned(), true.into());
        copy(section, &["allowForwardedTraffic"], &mut properties);
        Some(json::child(&format!("to-{}", name(network)), properties))
    }

    /// Raises a NAT gateway and its public addresses.
    pub(super) fn nat_gateway(&mut self, section: &Table) {
        let id = self.id(section, kinds::NAT_GATEWAY.arm);
        let addresses = section
            .get("publicIPAddresses")
            .and_then(|it| it.as_array());
        let addresses = addresses.map(Vec::as_slice).unwrap_or_default();
        let addresses: Vec<_> = addresses
            .iter()
            .filter_map(|address| Some(self.public_ip(section, address.as_str()?)))
            .collect();
        let mut properties = Object::new();
        properties.insert("publicIpAddresses".to_owned(), addresses.into());
        copy(section, &["idleTimeoutInMinutes"], &mut properties);
        if !section.contains_key("idleTimeoutInMinutes") {
            let bound = Object::from_iter([(FOLLOWS_TIMER.to_owned(), true.into())]);
            self.out.bindings.push((id.clone(), bound));
        }
        self.add_with(id, section, properties, standard());
    }

    /// Raises a network interface and its public address.
    pub(super) fn nic(&mut self, section: &Table) {
        let id = self.id(section, kinds::NIC.arm);
        let mut config = Object::new();
        config.insert("primary".to_owned(), true.into());
        copy(section, &["privateIPAddress"], &mut config);
        let key = "privateIPAllocationMethod";
        config.insert(key.to_owned(), "Static".into());
        let subnet = text(section, "virtualNetwork").zip(text(section, "subnet"));
        set(
            &mut config,
            "subnet",
            subnet.map(|(vnet, subnet)| json::refer(self.subnet_id(&format!("{vnet}/{subnet}")))),
        );
        let key = "publicIPAddress";
        let address = text(section, key).map(|address| self.public_ip(section, address));
        set(&mut config, key, address);
        let key = "applicationSecurityGroups";
        set(&mut config, key, self.refer_all(section, key, &kinds::ASG));
        let mut properties = Object::new();
        let configs = vec![json::child("ipconfig1", config)];
        properties.insert("ipConfigurations".to_owned(), configs.into());
        copy(section, &["enableIPForwarding"], &mut properties);
        let key = kinds::NSG.key;
        set(&mut properties, key, self.refer(section, key, &kinds::NSG));
        self.bind(&id, section, NIC_BINDINGS);
        self.add(id, section, properties);
    }

    /// Adds the resource of a public address, which is filed with its owner, and returns a reference to
    /// it. Its name follows from the address, which one owner has.
    fn public_ip(&mut self, owner: &Table, address: &str) -> Value {
        let scope: Scope = super::scope(owner, &self.scope);
        let id = self.id_of(&scope, kinds::PUBLIC_IP, &format!("pip-{address}"));
        let mut properties = Object::new();
        properties.insert("publicIPAllocationMethod".to_owned(), "Static".into());
        properties.insert("publicIPAddressVersion".to_owned(), "IPv4".into());
        properties.insert("ipAddress".to_owned(), address.into());
        let reference = json::refer(&id);
        self.add_with(id, owner, properties, standard());
        reference
    }
}

fn standard() -> Object {
    Object::from_iter([("sku".to_owned(), json!({ "name": "Standard" }))])
}

/// Returns an endpoint as ARM has it; its locations are the platform's to say.
fn endpoint(written: &toml::Value) -> Option<Value> {
    let service = match written {
        toml::Value::Table(table) => text(table, "service"),
        other => other.as_str(),
    }?;
    let known = crate::catalog::Service::find(service);
    Some(json!({ "service": known.map_or(service, |known| known.name) }))
}
