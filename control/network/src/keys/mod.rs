//! The keys of virtual networks and subnets: issued once, kept over restarts, never issued again.
//!
//! A key is what packets carry and what services decide by (wire-identity reference, section 1),
//! not the name. A subnet that leaves the model and comes back is another subnet with another key,
//! so that nothing that was granted to the first is granted to the second. That is why keys outlive
//! the process: the store keeps them.

pub mod grants;
mod pins;
pub mod rows;
#[cfg(test)]
mod tests;

pub use pins::Pins;

use crate::catalog::Location;
use crate::model::{Model, VirtualNetwork};
use grants::{GrantErrors, Grants};
use postern_dataplane::identity::{SubnetKey, VnetKey};
use postern_dataplane::policy::SubnetId;
use std::collections::BTreeMap;
use thiserror::Error;

/// Numbers that no virtual network gets: the platform's redirect messages have them as tunnel keys
/// (wire-identity reference, section 2).
const RESERVED: [u32; 2] = [253, 254];

/// There is no key left.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum KeyError {
    /// Every key of a virtual network has been issued once.
    #[error(
        "virtualNetwork {vnet}: every one of the {} keys of virtual networks has been issued once; \
         accepted: a new state directory, which gives every network and subnet a new identity",
        VnetKey::MAX.get()
    )]
    VnetsExhausted {
        /// The network that got none.
        vnet: String,
    },
    /// Every key of a subnet has been issued once in the network.
    #[error(
        "subnet {vnet}/{subnet}: every one of the {} keys of subnets of the network has been issued \
         once; accepted: a new virtual network, or one of the subnets that are there",
        SubnetKey::MAX.get()
    )]
    SubnetsExhausted {
        /// The network.
        vnet: String,
        /// The subnet that got none.
        subnet: String,
    },
}

/// The keys of what is there, and which ones were never issued.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Keys {
    /// Networks by what they are called, in lower case.
    vnets: BTreeMap<String, Network>,
    /// The first number that was never issued to a network.
    next: u32,
    grants: Grants,
    /// The processes that bindings were written for.
    pub pins: Pins,
}

/// The keys of one virtual network.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Network {
    key: VnetKey,
    /// A network does not move: one of the name elsewhere is another network.
    location: Location,
    /// Subnets by name, in lower case.
    subnets: BTreeMap<String, SubnetKey>,
    /// The first number that was never issued to a subnet; too large for one where none is left.
    next: u32,
}

impl Default for Keys {
    fn default() -> Self {
        Self {
            vnets: BTreeMap::new(),
            next: VnetKey::MIN.get(),
            grants: Grants::default(),
            pins: Pins::default(),
        }
    }
}

impl Keys {
    /// Issues keys to the networks and subnets of `model` that have none, and forgets those of what
    /// is not in it.
    ///
    /// # Errors
    ///
    /// There are none left. The keys are then half changed: work on a copy.
    pub fn assign(&mut self, model: &Model) -> Result<(), KeyError> {
        let mut kept = BTreeMap::new();
        for vnet in &model.vnets {
            let name = vnet.name.to_ascii_lowercase();
            let known = self.vnets.remove(&name);
            let known = known.filter(|known| known.location == vnet.location);
            let mut network = match known {
                Some(network) => network,
                None => self.issue(vnet)?,
            };
            network.assign(vnet)?;
            kept.insert(name, network);
        }
        self.vnets = kept;
        Ok(())
    }

    /// Binds the network rules of `model` that are new to the subnets that they name, and forgets
    /// those that are gone. Call it after [`Self::assign`].
    ///
    /// # Errors
    ///
    /// New rules that cannot be made.
    pub fn grant(&mut self, model: &Model) -> Result<(), GrantErrors> {
        let mut grants = std::mem::take(&mut self.grants);
        let bound = grants.bind(model, self);
        self.grants = grants;
        bound
    }

    /// Returns what rules were bound to.
    #[must_use]
    pub fn grants(&self) -> &Grants {
        &self.grants
    }

    fn issue(&mut self, vnet: &VirtualNetwork) -> Result<Network, KeyError> {
        while RESERVED.contains(&self.next) {
            self.next = self.next.saturating_add(1);
        }
        let key = VnetKey::new(self.next).ok_or_else(|| KeyError::VnetsExhausted {
            vnet: vnet.name.clone(),
        })?;
        self.next = self.next.saturating_add(1);
        Ok(Network {
            key,
            location: vnet.location.clone(),
            subnets: BTreeMap::new(),
            next: u32::from(SubnetKey::MIN.get()),
        })
    }

    /// Returns the key of a virtual network.
    #[must_use]
    pub fn vnet(&self, vnet: &str) -> Option<VnetKey> {
        self.network(vnet).map(|network| network.key)
    }

    /// Returns the keys of a subnet.
    #[must_use]
    pub fn subnet(&self, vnet: &str, subnet: &str) -> Option<SubnetId> {
        let network = self.network(vnet)?;
        let key = network.subnets.get(&subnet.to_ascii_lowercase())?;
        Some((network.key, *key))
    }

    fn network(&self, vnet: &str) -> Option<&Network> {
        self.vnets.get(&vnet.to_ascii_lowercase())
    }
}

impl Network {
    fn assign(&mut self, vnet: &VirtualNetwork) -> Result<(), KeyError> {
        let mut kept = BTreeMap::new();
        for subnet in &vnet.subnets {
            let name = subnet.name.to_ascii_lowercase();
            let key = match self.subnets.get(&name) {
                Some(key) => *key,
                None => self.issue().ok_or_else(|| KeyError::SubnetsExhausted {
                    vnet: vnet.name.clone(),
                    subnet: subnet.name.clone(),
                })?,
            };
            kept.insert(name, key);
        }
        self.subnets = kept;
        Ok(())
    }

    fn issue(&mut self) -> Option<SubnetKey> {
        let key = SubnetKey::new(u16::try_from(self.next).ok()?)?;
        self.next = self.next.saturating_add(1);
        Some(key)
    }
}
