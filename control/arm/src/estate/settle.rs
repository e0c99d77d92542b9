//! The end of a change: what follows from it in other resources, and what only the whole can tell.

use super::Stage;
use super::allocate::{is_in, prefix_of};
use super::index::{self, Lease};
use super::read::is_kind;
use super::refer::{self, spelled};
use crate::document::Document;
use crate::error::ArmError;
use crate::types;
use serde_json::{Map, Value};
use std::net::Ipv4Addr;
use std::sync::Arc;

const VNET: &str = "Microsoft.Network/virtualNetworks";
const NIC: &str = "Microsoft.Network/networkInterfaces";
const PUBLIC_IP: &str = "Microsoft.Network/publicIPAddresses";
/// What marks a peering whose remote side was removed, and how it is shown.
const PEERING_STATE: &str = "peeringState";

impl Stage {
    /// Checks what only the whole can tell: that everything that is named is there, that nothing that is
    /// in use went, and that no two have one address. Addresses that could not be given before, as their
    /// subnet came later, are given now, and what lost its other side is marked.
    ///
    /// Only what was touched is looked at, so that the size of the estate does not matter.
    ///
    /// # Errors
    ///
    /// The first that is wrong.
    pub fn check(&mut self) -> Result<(), ArmError> {
        self.settle()?;
        for key in &self.touched {
            let (old, new) = (self.base.documents.get(key), self.now.documents.get(key));
            if old.is_some() {
                refer::unused(&self.now, &self.base, key)?;
            }
            if let Some(new) = new {
                refer::present(&self.now, old.map(|old| &**old), new)?;
                for lease in index::leases(Some(new)) {
                    self.lease_is_free(&lease)?;
                }
                if is_kind(&new.id, VNET) {
                    self.prefixes_hold(key, old.map(|old| &**old), new)?;
                    self.peers_are_connected(old.map(|old| &**old), new)?;
                }
            }
        }
        Ok(())
    }

    /// Brings other resources in line with the change.
    fn settle(&mut self) -> Result<(), ArmError> {
        let touched: Vec<Arc<Document>> = self
            .touched
            .iter()
            .filter_map(|key| self.now.documents.get(key))
            .cloned()
            .collect();
        for document in &touched {
            self.settle_addresses(document)?;
        }
        let before: Vec<Arc<Document>> = self
            .touched
            .iter()
            .filter_map(|key| self.base.documents.get(key))
            .filter(|document| is_kind(&document.id, VNET))
            .cloned()
            .collect();
        for document in &before {
            self.disconnect(document)?;
            self.mark_rules(document)?;
        }
        Ok(())
    }

    /// Gives addresses to what could not have one before, and others to those that got one in this change
    /// that a later write asks for.
    fn settle_addresses(&mut self, document: &Arc<Document>) -> Result<(), ArmError> {
        let is_nic = is_kind(&document.id, NIC);
        if !is_nic && !is_kind(&document.id, PUBLIC_IP) {
            return Ok(());
        }
        let mut body = document.body.clone();
        let mut is_late = false;
        let Some(properties) = body.get_mut("properties").and_then(Value::as_object_mut) else {
            return Ok(());
        };
        if is_nic {
            let before = index::leases(
                self.base
                    .documents
                    .get(&document.id.key())
                    .map(|old| &**old),
            );
            let mine = index::leases(Some(document));
            let items = properties
                .get_mut("ipConfigurations")
                .and_then(Value::as_array_mut);
            for item in items.into_iter().flatten().filter_map(Value::as_object_mut) {
                let key = document
                    .id
                    .child("ipConfigurations", types::name_of(item))
                    .key();
                let Some(own) = item.get_mut("properties").and_then(Value::as_object_mut) else {
                    continue;
                };
                let is_dynamic = own
                    .get("privateIPAllocationMethod")
                    .is_some_and(|it| it == "Dynamic");
                let lease = mine.iter().find(|lease| lease.by == key);
                let is_taken = lease.is_some_and(|lease| {
                    !before.contains(lease) && self.other_lease(lease).is_some()
                });
                if is_dynamic && is_taken {
                    own.remove("privateIPAddress");
                }
                is_late |= !own.contains_key("privateIPAddress");
            }
        } else {
            is_late = !properties.contains_key("ipAddress");
        }
        match is_late {
            true => self.complete(&document.id, body, document.origin),
            false => Ok(()),
        }
    }

    /// Marks the peerings of others whose other side was one of this network and is not any more.
    fn disconnect(&mut self, old: &Document) -> Result<(), ArmError> {
        let own = old.id.key();
        let remotes = |document: Option<&Document>| {
            let edges = index::edges(document).into_iter();
            let edges = edges.filter(|edge| edge.by.path == "remoteVirtualNetwork");
            edges
                .map(|edge| edge.target)
                .collect::<std::collections::BTreeSet<_>>()
        };
        let left = remotes(self.now.documents.get(&own).map(|new| &**new));
        for remote in remotes(Some(old)).difference(&left) {
            let Some(document) = self.now.documents.get(remote).cloned() else {
                continue;
            };
            // One that was made in this change waits for its other side.
            let before = index::edges(self.base.documents.get(remote).map(|old| &**old));
            let is_old = before.iter().any(|edge| edge.target == own);
            let mut body = document.body.clone();
            let items = body
                .get_mut("properties")
                .and_then(|properties| properties.get_mut("virtualNetworkPeerings"));
            for item in items.and_then(Value::as_array_mut).into_iter().flatten() {
                let Some(inner) = item.get_mut("properties").and_then(Value::as_object_mut) else {
                    continue;
                };
                if is_old && names(inner, "remoteVirtualNetwork", &own) {
                    inner.insert(PEERING_STATE.to_owned(), Value::from("Disconnected"));
                }
            }
            self.complete(&document.id, body, document.origin)?;
        }
        Ok(())
    }

    /// Marks the rules of services for subnets that went: a subnet that is made again with the same name is
    /// another one (reference section 2.3).
    fn mark_rules(&mut self, old: &Document) -> Result<(), ArmError> {
        let key = old.id.key();
        let mut gone: Vec<(String, String)> = Vec::new();
        for edge in self.now.index.naming_inside(&key) {
            let is_rule = !edge.by.binds && edge.by.path.ends_with("virtualNetworkRules[]");
            if is_rule && self.now.find_key(&edge.target).is_none() {
                gone.push((edge.source.clone(), edge.target.clone()));
            }
        }
        for (source, subnet) in gone {
            let Some(document) = self.now.documents.get(&source).cloned() else {
                continue;
            };
            let mut body = document.body.clone();
            let properties = body.get_mut("properties").and_then(Value::as_object_mut);
            let lists = ["networkAcls", "networkRuleSet"].map(str::to_owned);
            for acls in properties.into_iter().flat_map(|all| all.iter_mut()) {
                if !lists.contains(acls.0) {
                    continue;
                }
                let rules = acls
                    .1
                    .get_mut("virtualNetworkRules")
                    .and_then(Value::as_array_mut);
                for rule in rules.into_iter().flatten().filter_map(Value::as_object_mut) {
                    let is_it = rule.get("id").and_then(Value::as_str);
                    if is_it.is_some_and(|id| id.eq_ignore_ascii_case(&subnet)) {
                        rule.insert("state".to_owned(), Value::from(types::GONE));
                    }
                }
            }
            self.complete(&document.id, body, document.origin)?;
        }
        Ok(())
    }

    /// Checks that a new peering does not lead to one that was left by its other side.
    fn peers_are_connected(&self, old: Option<&Document>, new: &Document) -> Result<(), ArmError> {
        let own = new.id.key();
        let before = index::edges(old);
        for edge in index::edges(Some(new)).difference(&before) {
            if edge.by.path != "remoteVirtualNetwork" {
                continue;
            }
            let remote = self
                .now
                .documents
                .get(&edge.target)
                .and_then(|remote| remote.properties());
            let items = remote.and_then(|remote| remote.get("virtualNetworkPeerings")?.as_array());
            for item in items.into_iter().flatten() {
                let Some(inner) = item.get("properties").and_then(Value::as_object) else {
                    continue;
                };
                if names(inner, "remoteVirtualNetwork", &own) && inner.contains_key(PEERING_STATE) {
                    let name = item.get("name").and_then(Value::as_str).unwrap_or("");
                    let remote = spelled(&self.now, &edge.target);
                    let message = format!(
                        "Cannot create or update peering {} because remote peering \
                         {remote}/virtualNetworkPeerings/{name} referencing parent virtual network {} \
                         is in Disconnected state. Update or re-create the remote peering to get it \
                         back to Initiated state.",
                        spelled(&self.now, &edge.source),
                        new.id
                    );
                    return Err(
                        ArmError::bad_request("RemotePeeringIsDisconnected", message)
                            .at(spelled(&self.now, &edge.source)),
                    );
                }
            }
        }
        Ok(())
    }

    /// Checks that the prefixes of subnets still hold the addresses in use.
    fn prefixes_hold(
        &self,
        key: &str,
        old: Option<&Document>,
        new: &Document,
    ) -> Result<(), ArmError> {
        let subnets = new
            .properties()
            .and_then(|properties| properties.get("subnets")?.as_array());
        for subnet in subnets.into_iter().flatten().filter_map(Value::as_object) {
            let name = types::name_of(subnet);
            let subnet = format!("{key}/subnets/{}", name.to_ascii_lowercase());
            let now = prefix_of(&self.now, &subnet);
            let was = old.and_then(|_| prefix_of(&self.base, &subnet));
            let (Some(now), Some(was)) = (now, was) else {
                continue;
            };
            let mut leases = self.now.index.leases(&subnet, Ipv4Addr::UNSPECIFIED);
            if now != was && leases.any(|lease| is_in(now, lease.first).is_err()) {
                let message = format!(
                    "IpPrefix {was} on Subnet {name} has active allocations and cannot be deleted."
                );
                let id = new.id.child("subnets", name);
                return Err(
                    ArmError::bad_request("InUsePrefixCannotBeDeleted", message).at(id.to_string())
                );
            }
        }
        Ok(())
    }

    /// Returns who else has an address of the lease.
    fn other_lease<'s>(&'s self, lease: &'s Lease) -> Option<&'s Lease> {
        let is_other = |other: &&Lease| other.by != lease.by && other.last >= lease.first;
        let from = match lease.subnet.as_str() {
            // A prefix that begins before reaches in; there are none wider than this.
            "" => Ipv4Addr::from(lease.first.to_bits() & 0xff00_0000),
            _ => lease.first,
        };
        let subnet = lease.subnet.as_str();
        let mut leases = self
            .now
            .index
            .leases(subnet, from)
            .take_while(|it| it.first <= lease.last);
        leases.find(is_other)
    }

    /// Checks that nobody else has the address.
    pub(super) fn lease_is_free(&self, lease: &Lease) -> Result<(), ArmError> {
        let now = &self.now;
        if let Some(other) = self.other_lease(lease) {
            let (address, by) = (lease.first, spelled(now, &lease.by));
            let has = spelled(now, &other.by);
            let (code, message) = match by.contains("/ipConfigurations/") {
                true => (
                    "PrivateIPAddressInUse",
                    format!(
                        "IP configuration {by} is using the private IP address {address} which is \
                         already allocated to resource {has}."
                    ),
                ),
                // The code is from memory.
                false => (
                    "PublicIPAddressInUse",
                    format!(
                        "The address {address} of {by} is already allocated to resource {has}."
                    ),
                ),
            };
            return Err(ArmError::bad_request(code, message).at(by));
        }
        // The subnet or the prefix may be another one than when the address was given.
        let Some(prefix) = prefix_of(now, &lease.subnet) else {
            return Ok(());
        };
        let by = || spelled(now, &lease.by);
        if !lease.by.contains("/publicipaddresses/") {
            return is_in(prefix, lease.first).map_err(|error| error.at(by()));
        }
        if prefix.contains(&lease.first) {
            return Ok(());
        }
        // The code is from memory.
        let message = format!(
            "The address {} of {} is not one of its public IP prefix {prefix}.",
            lease.first,
            by()
        );
        Err(ArmError::bad_request("PublicIPAddressNotInPublicIPPrefix", message).at(by()))
    }
}

/// Returns whether the reference is to what has the key.
fn names(fields: &Map<String, Value>, reference: &str, key: &str) -> bool {
    let id = fields
        .get(reference)
        .and_then(|target| target.get("id")?.as_str());
    id.is_some_and(|id| id.eq_ignore_ascii_case(key))
}
