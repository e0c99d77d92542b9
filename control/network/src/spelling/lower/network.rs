//! Virtual networks, NAT gateways and network interfaces.

use super::{Lowerer, copy, declared, file, named, place, put_list, put_text};
use crate::spelling::json::{self, Object};
use crate::spelling::kinds;
use crate::spelling::raise::FOLLOWS_TIMER;
use ipnet::{Ipv4Net, Ipv6Net};
use postern_arm::document::Document;
use std::net::Ipv4Addr;
use toml::{Table, Value};

const IDLE_TIMEOUT: &str = "idleTimeoutInMinutes";
/// What ARM fills in for a gateway that does not say how long a connection may be idle.
const DEFAULT_MINUTES: i64 = 4;

impl Lowerer<'_> {
    pub(super) fn vnet(&self, id: &str, document: &Document) -> Table {
        let properties = json::properties(&document.body);
        let mut section = declared(document);
        place(document, &mut section);
        let space = json::object(properties, "addressSpace");
        let prefixes = space.map(|space| ipv4(space, "addressPrefixes"));
        put_list(
            &mut section,
            "addressPrefixes",
            strings(prefixes.unwrap_or_default()),
        );
        copy(properties, &["flowTimeoutInMinutes"], &mut section);
        let subnets = json::objects(properties, "subnets");
        let subnets: Vec<_> = subnets
            .map(|subnet| Value::Table(self.subnet(subnet)))
            .collect();
        put_list(&mut section, "subnet", subnets);
        let peerings = json::objects(properties, "virtualNetworkPeerings");
        let peerings: Vec<_> = peerings
            .filter_map(|peering| self.peering(json::properties(peering)))
            .map(Value::Table)
            .collect();
        put_list(&mut section, "peering", peerings);
        self.bind(id, document, &mut section);
        section
    }

    fn subnet(&self, subnet: &Object) -> Table {
        let properties = json::properties(subnet);
        let name = json::text(subnet, "name").unwrap_or_default();
        let mut section = named(name);
        let own = json::text(properties, "addressPrefix").map(str::to_owned);
        // Several ranges of one subnet are not known here: the loader refuses the list that they make.
        let listed = || Some(ipv4(properties, "addressPrefixes").join(", "));
        if let Some(prefix) = own.or_else(listed).filter(|prefix| !prefix.is_empty()) {
            put_text(&mut section, "addressPrefix", prefix);
        }
        let endpoints = json::list(properties, "serviceEndpoints").unwrap_or_default();
        let endpoints = endpoints.iter().filter_map(|item| match item {
            serde_json::Value::Object(item) => json::text(item, "service"),
            item => item.as_str(),
        });
        put_list(&mut section, "serviceEndpoints", strings(endpoints));
        self.refer_all(properties, "serviceEndpointPolicies", &mut section);
        self.refer(properties, kinds::ROUTE_TABLE.key, &mut section);
        self.refer(properties, kinds::NSG.key, &mut section);
        // A gateway without an address has no effect.
        let gateway = json::reference(properties, kinds::NAT_GATEWAY.key);
        let is_idle = |id: &str| {
            let found = self.find(id);
            found.is_some_and(|gateway| self.gateway_addresses(gateway).is_empty())
        };
        if let Some(id) = gateway.filter(|id| !is_idle(id)) {
            put_text(&mut section, kinds::NAT_GATEWAY.key, self.alias(id));
        }
        copy(properties, &["defaultOutboundAccess"], &mut section);
        section
    }

    /// Returns the table of a peering; nothing for one that does not let packets through, or whose
    /// remote network is gone (which Azure calls disconnected). From memory: a peering without
    /// `allowVirtualNetworkAccess` connects nothing.
    fn peering(&self, properties: &Object) -> Option<Table> {
        let access = json::field(properties, "allowVirtualNetworkAccess");
        if access.and_then(serde_json::Value::as_bool) == Some(false) {
            return None;
        }
        let id = json::reference(properties, "remoteVirtualNetwork")?;
        let mut section = Table::new();
        put_text(&mut section, "remote", &*self.find(id)?.alias);
        copy(properties, &["allowForwardedTraffic"], &mut section);
        Some(section)
    }

    /// Returns the table of a NAT gateway; nothing while it has no address.
    pub(super) fn nat_gateway(&self, id: &str, document: &Document) -> Option<Table> {
        let addresses = self.gateway_addresses(document);
        if addresses.is_empty() {
            return None;
        }
        let mut section = declared(document);
        place(document, &mut section);
        put_list(&mut section, "publicIPAddresses", strings(addresses));
        let properties = json::properties(&document.body);
        copy(properties, &[IDLE_TIMEOUT], &mut section);
        let minutes = section.get(IDLE_TIMEOUT).and_then(Value::as_integer);
        let is_default = minutes == Some(DEFAULT_MINUTES);
        if is_default && self.bindings(id, document).contains_key(FOLLOWS_TIMER) {
            section.remove(IDLE_TIMEOUT);
        }
        Some(section)
    }

    fn gateway_addresses(&self, document: &Document) -> Vec<String> {
        let properties = json::properties(&document.body);
        let ids = |key| json::objects(properties, key).filter_map(|item| json::text(item, "id"));
        let single = ids("publicIpAddresses").filter_map(|id| self.public_ip(id));
        let ranges = ids("publicIpPrefixes").filter_map(|id| {
            let properties = json::properties(&self.find(id)?.body);
            let prefix: Ipv4Net = json::text(properties, "ipPrefix")?.parse().ok()?;
            let (first, last) = (prefix.network(), prefix.broadcast());
            Some((u32::from(first)..=u32::from(last)).map(|at| Ipv4Addr::from(at).to_string()))
        });
        single.chain(ranges.flatten()).collect()
    }

    /// Returns the address of a public IP resource, if it has one.
    fn public_ip(&self, id: &str) -> Option<String> {
        let properties = json::properties(&self.find(id)?.body);
        let address = json::text(properties, "ipAddress")?;
        address.parse::<Ipv4Addr>().ok()?;
        Some(address.to_owned())
    }

    /// Returns the table of a network interface; nothing for one without an IPv4 configuration. Only its
    /// primary configuration has an effect.
    pub(super) fn nic(&self, id: &str, document: &Document) -> Option<Table> {
        let properties = json::properties(&document.body);
        let configs: Vec<&Object> = json::objects(properties, "ipConfigurations")
            .map(json::properties)
            .filter(|config| json::text(config, "privateIPAddressVersion") != Some("IPv6"))
            .collect();
        let is_primary = |config: &&&Object| {
            let flag = json::field(config, "primary");
            flag.and_then(serde_json::Value::as_bool) == Some(true)
        };
        let config = configs.iter().find(is_primary).or(configs.first())?;
        let mut section = declared(document);
        file(document, &mut section);
        let subnet = json::reference(config, "subnet");
        if let Some((vnet, subnet)) = subnet.and_then(|id| self.subnet_alias(id)) {
            put_text(&mut section, "virtualNetwork", vnet);
            put_text(&mut section, "subnet", subnet);
        } else if let Some(id) = subnet {
            put_text(&mut section, "virtualNetwork", id);
        }
        copy(config, &["privateIPAddress"], &mut section);
        let public = json::reference(config, "publicIPAddress");
        if let Some(address) = public.and_then(|id| self.public_ip(id)) {
            put_text(&mut section, "publicIPAddress", address);
        }
        self.refer_all(config, "applicationSecurityGroups", &mut section);
        copy(properties, &["enableIPForwarding"], &mut section);
        self.refer(properties, kinds::NSG.key, &mut section);
        self.bind(id, document, &mut section);
        Some(section)
    }
}

/// Returns the prefixes of a list without those of IPv6, which has no effect here.
fn ipv4(from: &Object, key: &str) -> Vec<String> {
    let prefixes = json::texts(from, key);
    let prefixes = prefixes.filter(|prefix| prefix.parse::<Ipv6Net>().is_err());
    prefixes.map(str::to_owned).collect()
}

fn strings(texts: impl IntoIterator<Item = impl Into<String>>) -> Vec<Value> {
    let texts = texts.into_iter();
    texts.map(|text| Value::String(text.into())).collect()
}
