//! Resources of services, with their network rules in ARM's places.

use super::{Raiser, copy, name, table_list, text};
use crate::spelling::dialect::{Dialect, OPEN, ServiceType};
use crate::spelling::json::{self, Object};
use serde_json::{Value, json};
use toml::Table;

/// What ARM has no property for.
pub(in crate::spelling) const SERVICE_BINDINGS: &[&str] = &[
    "namespace",
    "device",
    "mtu",
    "offload",
    "address",
    "delivery",
    "host",
    "refusal",
    "front",
    "tenant",
];

/// The keys of a rule that hold a subnet, whatever the dialect.
const SUBNETS: [&str; 3] = ["id", "virtualNetworkSubnetId", "vnetSubnetResourceId"];

impl Raiser<'_> {
    /// Raises a resource of a service.
    pub(super) fn service(&mut self, section: &Table) {
        let told = text(section, "type").and_then(ServiceType::find);
        let usual = || ServiceType::usual(text(section, "service")?);
        let Some(kind) = told.or_else(usual) else {
            return;
        };
        let id = self.id(section, kind.arm);
        let mut properties = Object::new();
        super::copy_choice(
            section,
            "publicNetworkAccess",
            &["Enabled", "Disabled"],
            &mut properties,
        );
        let is_open = match kind.dialect {
            Dialect::Acls(key) => self.acls(section, key, &mut properties),
            Dialect::Server => self.server(section, &mut properties),
            Dialect::Account => self.account(section, &mut properties),
            Dialect::RuleSet => self.rule_set(section, &mut properties),
            Dialect::Site => self.site(section, &mut properties),
        };
        let mut bound = Object::new();
        copy(section, SERVICE_BINDINGS, &mut bound);
        if is_open {
            bound.insert(OPEN.to_owned(), true.into());
        }
        if !bound.is_empty() {
            self.out.bindings.push((id.clone(), bound));
        }
        self.add_with(id, section, properties, beside(kind));
    }

    fn acls(&self, section: &Table, key: &str, properties: &mut Object) -> bool {
        if let Some(acls) = section.get(key).and_then(toml::Value::as_table) {
            let mut acls = self.with_ids(acls);
            if !acls.contains_key("defaultAction") {
                acls.insert("defaultAction".to_owned(), "Allow".into());
            }
            properties.insert(key.to_owned(), acls.into());
        }
        false
    }

    /// Raises the rules of a server; returns whether it has no list of them, which means that it is
    /// open.
    fn server(&self, section: &Table, properties: &mut Object) -> bool {
        let mut is_open = true;
        for key in ["virtualNetworkRules", "firewallRules"] {
            if !section.contains_key(key) {
                continue;
            }
            is_open = false;
            let rules = table_list(section, key).map(|rule| {
                let mut own = self.with_ids(rule);
                own.remove("name");
                own.remove("state");
                json::child(name(rule), own)
            });
            let rules: Vec<_> = rules.collect();
            properties.insert(key.to_owned(), rules.into());
        }
        is_open
    }

    fn account(&self, section: &Table, properties: &mut Object) -> bool {
        copy(section, &["isVirtualNetworkFilterEnabled"], properties);
        for key in ["virtualNetworkRules", "ipRules"] {
            if section.contains_key(key) {
                let rules = table_list(section, key).map(|rule| self.with_ids(rule).into());
                let rules: Vec<Value> = rules.collect();
                properties.insert(key.to_owned(), rules.into());
            }
        }
        false
    }

    fn rule_set(&self, section: &Table, properties: &mut Object) -> bool {
        let key = "networkRuleSets";
        if let Some(set) = section.get(key).and_then(toml::Value::as_table) {
            let sets = json!([json::child("default", self.with_ids(set))]);
            properties.insert(key.to_owned(), sets);
        }
        false
    }

    fn site(&self, section: &Table, properties: &mut Object) -> bool {
        let key = "ipSecurityRestrictions";
        if section.contains_key(key) {
            let rules = table_list(section, key).map(|rule| self.with_ids(rule).into());
            let rules: Vec<Value> = rules.collect();
            let config = Object::from_iter([(key.to_owned(), rules.into())]);
            properties.insert("siteConfig".to_owned(), config.into());
        }
        false
    }

    /// Returns a table as an object in which subnets have their whole IDs, at any depth.
    fn with_ids(&self, table: &Table) -> Object {
        let value = |key: &str, value: &toml::Value| match value {
            toml::Value::String(id) if SUBNETS.contains(&key) => self.subnet_id(id).into(),
            toml::Value::Table(inner) => self.with_ids(inner).into(),
            toml::Value::Array(items) => items
                .iter()
                .map(|item| match item {
                    toml::Value::Table(inner) => self.with_ids(inner).into(),
                    other => json::from_toml(other),
                })
                .collect(),
            other => json::from_toml(other),
        };
        let fields = table.iter();
        fields
            .map(|(key, inner)| (key.clone(), value(key, inner)))
            .collect()
    }
}

/// Returns what ARM wants beside the properties of a resource. A tier is one that has the rules.
fn beside(kind: ServiceType) -> Object {
    let beside = match kind.arm {
        "Microsoft.Storage/storageAccounts" => {
            json!({ "sku": { "name": "Standard_LRS" }, "kind": "StorageV2" })
        }
        "Microsoft.ServiceBus/namespaces" | "Microsoft.ContainerRegistry/registries" => {
            json!({ "sku": { "name": "Premium" } })
        }
        "Microsoft.EventHub/namespaces" => json!({ "sku": { "name": "Standard" } }),
        _ => Value::Null,
    };
    match beside {
        Value::Object(beside) => beside,
        _ => Object::new(),
    }
}
