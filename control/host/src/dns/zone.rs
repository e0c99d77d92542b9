//! What is known of names: a pure lookup in data made from a model.
//!
//! Service names are the same for everybody, and no endpoint changes them. A name inside a virtual
//! network is told to that network alone. Who asks is known by the source address only, which two
//! networks may both use: where it does not tell the network, such names are not told at all.

use super::names;
use hickory_proto::rr::{Name, RecordType};
use ipnet::Ipv4Net;
use postern_network::model::Model;
use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr};

/// What is said of a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// Its address, and for how many seconds that may be kept.
    Address(Ipv4Addr, u32),
    /// The name that it points to, and for how many seconds that may be kept.
    Pointer(Name, u32),
    /// The name is there, but has nothing of the kind that was asked for; the zone that says so.
    NoData(Name),
    /// There is no such name; the zone that says so.
    NoName(Name),
    /// The name is inside a network, and the asker's cannot be told.
    Unplaced,
    /// Nothing is known of the name: others may know it.
    Unknown,
}

/// The names of one virtual network.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Inside {
    /// Its addresses.
    prefixes: Vec<Ipv4Net>,
    /// Addresses by name.
    hosts: HashMap<Name, Ipv4Addr>,
    /// Names by address.
    names: HashMap<Ipv4Addr, Name>,
}

/// Everything that is known of names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Zone {
    /// Addresses of services by host name.
    services: HashMap<Name, Ipv4Addr>,
    /// The domains of services.
    domains: Vec<Name>,
    /// The domain of names inside networks.
    internal: Name,
    networks: Vec<Inside>,
    /// The networks, by their place in `networks`, that have a NIC with the address.
    askers: HashMap<Ipv4Addr, Vec<usize>>,
    /// Who is asked for names that are not known here.
    pub(super) forwarders: Vec<SocketAddr>,
}

impl Zone {
    /// How long the address of a service may be kept.
    const SERVICE_TTL: u32 = 60;
    /// How long what is inside a network may be kept: short, as NICs come and go.
    const INSIDE_TTL: u32 = 10;

    /// Makes the zone of a model.
    pub(super) fn new(model: &Model) -> Self {
        let mut zone = Self {
            domains: names::service_domains(),
            internal: names::internal(),
            forwarders: model.dns.forwarders.clone(),
            ..Self::default()
        };
        let hosts = model.services.iter();
        let hosts = hosts.filter_map(|it| Some((names::of_service(it)?, it.address)));
        let hosts: Vec<_> = hosts.collect();
        // A name that a service declares comes before one that another has by being of storage.
        let siblings = hosts.iter().flat_map(|(host, address)| {
            let names = names::siblings(host).into_iter();
            names.map(|name| (name, *address))
        });
        let siblings: Vec<_> = siblings.collect();
        for (name, address) in hosts.into_iter().chain(siblings) {
            zone.services.entry(name).or_insert(address);
        }
        for (at, vnet) in model.vnets.iter().enumerate() {
            let mut inside = Inside {
                prefixes: vnet.address_prefixes.clone(),
                ..Inside::default()
            };
            let is_here = |name: &str| vnet.name.eq_ignore_ascii_case(name);
            for nic in model.nics.iter().filter(|nic| is_here(&nic.vnet)) {
                zone.askers.entry(nic.private_address).or_default().push(at);
                if let Some(name) = names::of_nic(nic) {
                    inside.hosts.insert(name.clone(), nic.private_address);
                    inside.names.insert(nic.private_address, name);
                }
            }
            zone.networks.push(inside);
        }
        zone
    }

    /// Returns what is known of a name, as far as the asker may know it.
    pub(super) fn lookup(&self, name: &Name, kind: RecordType, asker: Ipv4Addr) -> Found {
        if let Some(address) = self.services.get(name) {
            return match kind {
                RecordType::A | RecordType::ANY => Found::Address(*address, Self::SERVICE_TTL),
                _ => Found::NoData(self.domain_of(name)),
            };
        }
        if self.internal.zone_of(name) {
            return match self.network_of(asker) {
                Some(inside) => self.inside(inside, name, kind),
                None => Found::Unplaced,
            };
        }
        if let Some(address) = address_of(name)
            && self.is_inside_some(address)
        {
            return match self.network_of(asker) {
                Some(inside) if holds(inside, address) => reverse(inside, address, name, kind),
                Some(_) => Found::Unknown,
                None => Found::Unplaced,
            };
        }
        self.elsewhere(name)
    }

    /// Looks up a name of the domain inside networks.
    fn inside(&self, inside: &Inside, name: &Name, kind: RecordType) -> Found {
        match (inside.hosts.get(name), kind) {
            (Some(address), RecordType::A | RecordType::ANY) => {
                Found::Address(*address, Self::INSIDE_TTL)
            }
            (Some(_), _) => Found::NoData(self.internal.clone()),
            (None, _) if *name == self.internal => Found::NoData(self.internal.clone()),
            (None, _) => Found::NoName(self.internal.clone()),
        }
    }

    /// Says of a name that nothing of the model has: somebody else may know it; if there is nobody
    /// to ask, a domain of services has no other names.
    fn elsewhere(&self, name: &Name) -> Found {
        if !self.forwarders.is_empty() {
            return Found::Unknown;
        }
        match self.domains.iter().find(|domain| domain.zone_of(name)) {
            // The domain itself is there, whatever it is asked for.
            Some(domain) if domain == name => Found::NoData(domain.clone()),
            Some(domain) => Found::NoName(domain.clone()),
            None => Found::Unknown,
        }
    }

    /// Returns the domain of a service name.
    fn domain_of(&self, name: &Name) -> Name {
        let found = self.domains.iter().find(|domain| domain.zone_of(name));
        found.cloned().unwrap_or_else(|| name.base_name())
    }

    /// Returns the network that the asker is in, if the address is of NICs of one network only.
    fn network_of(&self, asker: Ipv4Addr) -> Option<&Inside> {
        match self.askers.get(&asker)?.as_slice() {
            [at] => self.networks.get(*at),
            _ => None,
        }
    }

    fn is_inside_some(&self, address: Ipv4Addr) -> bool {
        self.networks.iter().any(|inside| holds(inside, address))
    }
}

fn holds(inside: &Inside, address: Ipv4Addr) -> bool {
    inside
        .prefixes
        .iter()
        .any(|prefix| prefix.contains(&address))
}

/// Looks up the name of an address of the asker's network. Negative answers are of the zone of the
/// last octet.
fn reverse(inside: &Inside, address: Ipv4Addr, name: &Name, kind: RecordType) -> Found {
    match (inside.names.get(&address), kind) {
        (Some(host), RecordType::PTR | RecordType::ANY) => {
            Found::Pointer(host.clone(), Zone::INSIDE_TTL)
        }
        (Some(_), _) => Found::NoData(name.base_name()),
        (None, _) => Found::NoName(name.base_name()),
    }
}

/// Returns the address that a name below `in-addr.arpa` spells, if it spells a whole one.
fn address_of(name: &Name) -> Option<Ipv4Addr> {
    let network = name.parse_arpa_name().ok()?;
    match network {
        ipnet::IpNet::V4(network) if network.prefix_len() == 32 => {
            // Not every spelling that can be read is the address's name: `01` is not `1`.
            Some(network.addr()).filter(|address| Name::from(*address) == *name)
        }
        _ => None,
    }
}

#[cfg(test)]
pub(super) mod tests;
