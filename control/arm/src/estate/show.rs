//! Resources as a GET shows them: what is kept, and what follows from it and from the others.

use super::read::{Found, is_kind};
use super::{Estate, guid, refer};
use crate::date::rfc3339;
use crate::document::Document;
use crate::id::ResourceId;
use crate::types::{self, Child, Kind};
use serde_json::{Map, Value, json};
use std::sync::Arc;

impl Estate {
    /// Returns the resource as a GET shows it.
    #[must_use]
    pub fn show_found(&self, found: Found<'_>) -> Value {
        match found.child {
            None => self.show_document(found.document),
            Some((child, item)) => {
                let etag = Value::from(found.document.etag());
                Value::Object(self.show_child(found.document, child, item, &etag))
            }
        }
    }

    fn show_document(&self, document: &Arc<Document>) -> Value {
        let id = &document.id;
        let kind = types::find(&id.kind());
        let etag = Value::from(document.etag());
        let mut shown = Map::new();
        shown.insert("id".to_owned(), Value::from(id.to_string()));
        shown.insert("name".to_owned(), Value::from(id.name()));
        shown.insert("type".to_owned(), Value::from(spelled_kind(id)));
        shown.insert("etag".to_owned(), etag.clone());
        for (name, value) in &document.body {
            if name != "properties" {
                shown.insert(name.clone(), value.clone());
            }
        }
        let mut properties = document.properties().cloned().unwrap_or_default();
        if let Some(kind) = kind {
            let key = id.key();
            let created = document.created.to_string();
            if kind.has_guid {
                properties.insert(
                    "resourceGuid".to_owned(),
                    Value::from(guid(&[&key, &created])),
                );
            }
            for child in kind.children.iter().filter(|child| child.only.is_none()) {
                if child.is_hidden {
                    properties.remove(child.at);
                    continue;
                }
                let items = types::items(document.properties(), child);
                let items =
                    items.map(|item| Value::Object(self.show_child(document, child, item, &etag)));
                let items = items.collect();
                properties.insert(child.at.to_owned(), Value::Array(items));
            }
            self.compute(kind, document, &key, &mut properties);
        }
        if !properties.contains_key("provisioningState") && !is_extension(id) {
            properties.insert("provisioningState".to_owned(), Value::from("Succeeded"));
        }
        shown.insert("properties".to_owned(), Value::Object(properties));
        Value::Object(shown)
    }

    fn show_child(
        &self,
        document: &Arc<Document>,
        child: &Child,
        item: &Map<String, Value>,
        etag: &Value,
    ) -> Map<String, Value> {
        let name = child.only.unwrap_or_else(|| types::name_of(item));
        let id = document.id.child(child.segment, name);
        let mut shown = Map::new();
        shown.insert("id".to_owned(), Value::from(id.to_string()));
        shown.insert("name".to_owned(), Value::from(name));
        shown.insert("type".to_owned(), Value::from(child.kind.name));
        shown.insert("etag".to_owned(), etag.clone());
        let mut properties = match child.only {
            Some(_) => item.clone(),
            None => {
                for (name, value) in item {
                    if name != "properties" && name != "name" {
                        shown.insert(name.clone(), value.clone());
                    }
                }
                let properties = item.get("properties").and_then(Value::as_object);
                properties.cloned().unwrap_or_default()
            }
        };
        let key = id.key();
        if child.kind.has_guid {
            let created = document.created.to_string();
            properties.insert(
                "resourceGuid".to_owned(),
                Value::from(guid(&[&key, &created])),
            );
        }
        self.compute(child.kind, document, &key, &mut properties);
        properties.insert("provisioningState".to_owned(), Value::from("Succeeded"));
        shown.insert("properties".to_owned(), Value::Object(properties));
        shown
    }

    /// Fills in what follows from others.
    fn compute(
        &self,
        kind: &Kind,
        document: &Document,
        key: &str,
        properties: &mut Map<String, Value>,
    ) {
        let name = kind.name.split_once('/').map_or("", |(_, name)| name);
        match name {
            "networkSecurityGroups" => {
                let rules = types::default_rules(document);
                properties.insert("defaultSecurityRules".to_owned(), rules);
                self.users(key, "subnets", "/subnets/", properties);
                self.users(key, "networkInterfaces", "/networkinterfaces/", properties);
            }
            "routeTables" | "serviceEndpointPolicies" | "natGateways" => {
                self.users(key, "subnets", "/subnets/", properties);
            }
            "virtualNetworks/subnets" => {
                self.users(key, "ipConfigurations", "/ipconfigurations/", properties);
                succeed(properties.get_mut("serviceEndpoints"), "provisioningState");
            }
            "publicIPAddresses" => {
                self.user(key, "ipConfiguration", "/ipconfigurations/", properties);
                self.user(key, "natGateway", "/natgateways/", properties);
            }
            "publicIPPrefixes" => {
                self.users(key, "publicIPAddresses", "/publicipaddresses/", properties);
                self.user(key, "natGateway", "/natgateways/", properties);
            }
            "virtualNetworks/virtualNetworkPeerings" => {
                self.peering(document, properties);
            }
            "networkInterfaces" => self.nic(key, properties),
            "virtualMachines" => {
                let created = document.created.to_string();
                properties.insert("vmId".to_owned(), Value::from(guid(&[key, &created, "vm"])));
                let time = rfc3339(document.created_at);
                properties.insert("timeCreated".to_owned(), Value::from(time));
            }
            "storageAccounts" => {
                types::account(document, &rfc3339(document.created_at), properties)
            }
            _ => {}
        }
    }

    /// Lists those that name the resource and have `part` in their keys.
    fn users(&self, key: &str, name: &str, part: &str, properties: &mut Map<String, Value>) {
        let ids: Vec<Value> = self
            .index
            .naming(key)
            .filter(|edge| edge.source.contains(part))
            .map(|edge| json!({ "id": refer::spelled(self, &edge.source) }))
            .collect();
        if !ids.is_empty() {
            properties.insert(name.to_owned(), Value::Array(ids));
        }
    }

    fn user(&self, key: &str, name: &str, part: &str, properties: &mut Map<String, Value>) {
        let mut edges = self.index.naming(key);
        if let Some(edge) = edges.find(|edge| edge.source.contains(part)) {
            let id = refer::spelled(self, &edge.source);
            properties.insert(name.to_owned(), json!({ "id": id }));
        }
    }

    fn peering(&self, document: &Document, properties: &mut Map<String, Value>) {
        let remote = properties
            .get("remoteVirtualNetwork")
            .and_then(|remote| remote.get("id")?.as_str());
        let remote = remote.map(str::to_ascii_lowercase);
        let remote = remote.and_then(|key| self.document_by_key(&key).cloned());
        let own = document.id.key();
        let answers = |remote: &Arc<Document>| {
            let key = remote.id.key();
            let mut edges = self.index.naming(&own);
            edges.any(|edge| {
                edge.source
                    .strip_prefix(&key)
                    .is_some_and(|rest| rest.starts_with('/'))
            })
        };
        let state = match &remote {
            _ if properties.contains_key("peeringState") => "Disconnected",
            Some(remote) if answers(remote) => "Connected",
            Some(_) => "Initiated",
            None => "Disconnected",
        };
        properties.insert("peeringState".to_owned(), Value::from(state));
        let sync = if state == "Connected" {
            "FullyInSync"
        } else {
            "RemoteNotInSync"
        };
        properties.insert("peeringSyncLevel".to_owned(), Value::from(sync));
        let space = remote
            .as_ref()
            .and_then(|remote| remote.properties()?.get("addressSpace"));
        if let Some(space) = space {
            properties.insert("remoteAddressSpace".to_owned(), space.clone());
            properties.insert("remoteVirtualNetworkAddressSpace".to_owned(), space.clone());
        }
    }

    fn nic(&self, key: &str, properties: &mut Map<String, Value>) {
        self.user(key, "virtualMachine", "/virtualmachines/", properties);
        if properties.contains_key("virtualMachine") {
            properties.insert("primary".to_owned(), Value::from(true));
        }
        let settings = properties.entry("dnsSettings").or_insert_with(|| json!({}));
        if let Value::Object(settings) = settings {
            settings
                .entry("appliedDnsServers")
                .or_insert_with(|| json!([]));
        }
        for (name, value) in [
            ("hostedWorkloads", json!([])),
            ("tapConfigurations", json!([])),
            ("vnetEncryptionSupported", json!(false)),
        ] {
            properties.entry(name).or_insert(value);
        }
    }
}

/// Returns whether the ID is of a resource that has no state of its own, such as a role assignment.
fn is_extension(id: &ResourceId) -> bool {
    ["roleAssignments", "roleDefinitions"]
        .iter()
        .any(|kind| is_kind(id, &format!("Microsoft.Authorization/{kind}")))
}

fn succeed(list: Option<&mut Value>, name: &str) {
    let items = list.and_then(Value::as_array_mut).into_iter().flatten();
    for item in items.filter_map(Value::as_object_mut) {
        item.entry(name).or_insert_with(|| Value::from("Succeeded"));
    }
}

/// Returns the full type as Azure spells it, or as it was written where it means nothing here.
pub(super) fn spelled_kind(id: &ResourceId) -> String {
    let written = id.kind();
    types::find(&written).map_or(written, |kind| kind.name.to_owned())
}
