//! Keys as they are kept: a row for each virtual network and each rule, and the counters.

use super::{Keys, Network};
use crate::catalog::Location;
use postern_dataplane::identity::{SubnetKey, VnetKey};
use postern_dataplane::policy::SubnetId;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// The place of the counter of virtual networks among [`issued`]: no network has this key.
pub const VNETS: u32 = 0;

/// What a rule is kept under: the resource and the subnet that it names.
pub type GrantPlace = (String, String);

/// What is wrong with keys that were kept.
#[derive(Debug, thiserror::Error)]
pub enum Damage {
    /// It is no JSON, or has other members.
    #[error("{0}")]
    Syntax(#[from] serde_json::Error),
    /// A number is no key.
    #[error("{what} has the key {key}, which is none")]
    NotAKey {
        /// The network or subnet.
        what: String,
        /// The number.
        key: u32,
    },
    /// A key is one that is yet to be issued.
    #[error("{what} has the key {key}, which is not issued yet")]
    NotIssued {
        /// The network or subnet.
        what: String,
        /// The number.
        key: u32,
    },
    /// Two have the same key or name.
    #[error("{what} is there twice, or has the key of another")]
    Twice {
        /// The network or subnet.
        what: String,
    },
}

/// A rule of a resource that names a subnet, and the subnet that it was granted to.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct GrantDocument {
    resource: String,
    subnet: String,
    vnet_key: u32,
    subnet_key: u32,
}

/// A virtual network with its keys.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NetworkDocument {
    name: String,
    location: String,
    key: u32,
    next_subnet_key: u32,
    subnets: Vec<SubnetDocument>,
}

/// A subnet with its key.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct SubnetDocument {
    name: String,
    key: u32,
}

impl From<(&String, &Network)> for NetworkDocument {
    fn from((name, network): (&String, &Network)) -> Self {
        let subnet = |(name, key): (&String, &SubnetKey)| SubnetDocument {
            name: name.clone(),
            key: key.get().into(),
        };
        Self {
            name: name.clone(),
            location: network.location.to_string(),
            key: network.key.get(),
            next_subnet_key: network.next,
            subnets: network.subnets.iter().map(subnet).collect(),
        }
    }
}

impl From<(&GrantPlace, &SubnetId)> for GrantDocument {
    fn from(((resource, subnet), (vnet_key, subnet_key)): (&GrantPlace, &SubnetId)) -> Self {
        Self {
            resource: resource.clone(),
            subnet: subnet.clone(),
            vnet_key: vnet_key.get(),
            subnet_key: subnet_key.get().into(),
        }
    }
}

/// Returns the number that is issued to the first network of all.
pub fn first_vnet() -> u32 {
    Keys::default().next
}

/// Returns the networks that are other ones in `new`, by name; nothing for one that is gone.
pub fn network_changes(old: &Keys, new: &Keys) -> Vec<(String, Option<NetworkDocument>)> {
    changes(&old.vnets, &new.vnets)
}

/// Returns the rules that are other ones in `new`; nothing for one that is gone.
pub fn grant_changes(old: &Keys, new: &Keys) -> Vec<(GrantPlace, Option<GrantDocument>)> {
    changes(&old.grants.0, &new.grants.0)
}

fn changes<'a, K: Ord + Clone, V: PartialEq, R: From<(&'a K, &'a V)>>(
    old: &'a BTreeMap<K, V>,
    new: &'a BTreeMap<K, V>,
) -> Vec<(K, Option<R>)> {
    let gone = old.keys().filter(|key| !new.contains_key(key));
    let gone = gone.map(|key| (key.clone(), None));
    let put = new
        .iter()
        .filter(|(key, value)| old.get(key) != Some(value));
    let put = put.map(|row| (row.0.clone(), Some(R::from(row))));
    gone.chain(put).collect()
}

/// Returns the first number that was never issued: to a virtual network at [`VNETS`], and to the
/// subnets of each one at its key.
pub fn issued(keys: &Keys) -> BTreeMap<u32, u32> {
    let networks = keys.vnets.values();
    let subnets = networks.map(|network| (network.key.get(), network.next));
    subnets.chain([(VNETS, keys.next)]).collect()
}

impl Keys {
    /// Takes every number below these counters, as [`issued`] returns them, for issued.
    pub fn skip(&mut self, issued: &BTreeMap<u32, u32>) {
        let at_least = |next: u32, place: u32| next.max(issued.get(&place).copied().unwrap_or(0));
        self.next = at_least(self.next, VNETS);
        for network in self.vnets.values_mut() {
            network.next = at_least(network.next, network.key.get());
        }
    }
}

/// Returns the keys of these rows.
///
/// # Errors
///
/// They contradict each other, or a number is no key.
pub fn decode(
    next_vnet_key: u32,
    networks: Vec<NetworkDocument>,
    grants: Vec<GrantDocument>,
) -> Result<Keys, Damage> {
    let mut keys = Keys {
        next: next_vnet_key,
        ..Keys::default()
    };
    let mut used = BTreeSet::new();
    for network in networks {
        let what = format!("virtual network {:?}", network.name);
        let key = VnetKey::new(network.key);
        let key = check(key, network.key, next_vnet_key, &what)?;
        let name = network.name.clone();
        let is_new = used.insert(key);
        let before = keys.vnets.insert(name, decode_network(network, key)?);
        if before.is_some() || !is_new {
            return Err(Damage::Twice { what });
        }
    }
    for grant in grants {
        let what = format!("the rule of {:?} for {:?}", grant.resource, grant.subnet);
        let vnet = VnetKey::new(grant.vnet_key);
        let vnet = check(vnet, grant.vnet_key, next_vnet_key, &what)?;
        let number = grant.subnet_key;
        let subnet = u16::try_from(number).ok().and_then(SubnetKey::new);
        // The network may be gone, and with it the number that would be next.
        let subnet = check(subnet, number, u32::MAX, &what)?;
        let place = (grant.resource, grant.subnet);
        if keys.grants.0.insert(place, (vnet, subnet)).is_some() {
            return Err(Damage::Twice { what });
        }
    }
    Ok(keys)
}

fn decode_network(document: NetworkDocument, key: VnetKey) -> Result<Network, Damage> {
    let mut network = Network {
        key,
        location: Location::new(&document.location),
        subnets: Default::default(),
        next: document.next_subnet_key,
    };
    let mut used = BTreeSet::new();
    for subnet in document.subnets {
        let what = format!("subnet {:?} of {:?}", subnet.name, document.name);
        let key = u16::try_from(subnet.key).ok().and_then(SubnetKey::new);
        let key = check(key, subnet.key, document.next_subnet_key, &what)?;
        let is_new = used.insert(key);
        if network.subnets.insert(subnet.name, key).is_some() || !is_new {
            return Err(Damage::Twice { what });
        }
    }
    Ok(network)
}

/// Returns the key, if it is one that was issued.
fn check<K>(key: Option<K>, number: u32, next: u32, what: &str) -> Result<K, Damage> {
    let what = || what.to_owned();
    match key {
        None => Err(Damage::NotAKey {
            what: what(),
            key: number,
        }),
        Some(_) if number >= next => Err(Damage::NotIssued {
            what: what(),
            key: number,
        }),
        Some(key) => Ok(key),
    }
}
