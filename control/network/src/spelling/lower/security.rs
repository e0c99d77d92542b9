//! Security groups, route tables and endpoint policies.

use super::{Lowerer, copy, declared, place, put_list, put_text};
use crate::spelling::json::{self, Object};
use postern_arm::document::Document;
use toml::{Table, Value};

/// The sides of a rule: the keys of one value, of several, and of groups.
const PEERS: [[&str; 3]; 2] = [
    [
        "sourceAddressPrefix",
        "sourceAddressPrefixes",
        "sourceApplicationSecurityGroups",
    ],
    [
        "destinationAddressPrefix",
        "destinationAddressPrefixes",
        "destinationApplicationSecurityGroups",
    ],
];
const PORTS: [[&str; 2]; 2] = [
    ["sourcePortRange", "sourcePortRanges"],
    ["destinationPortRange", "destinationPortRanges"],
];

impl Lowerer<'_> {
    pub(super) fn nsg(&self, document: &Document) -> Table {
        let properties = json::properties(&document.body);
        let mut section = declared(document);
        place(document, &mut section);
        let rules: Vec<&Object> = json::objects(properties, "securityRules").collect();
        let rules = rules.iter().map(|rule| self.rule(rule)).collect();
        put_list(&mut section, "securityRule", complete(rules));
        section
    }

    fn rule(&self, rule: &Object) -> Table {
        let properties = json::properties(rule);
        let mut section = Table::new();
        if let Some(name) = json::text(rule, "name") {
            put_text(&mut section, "name", name);
        }
        copy(
            properties,
            &["priority", "direction", "access", "protocol"],
            &mut section,
        );
        for [one, many, groups] in PEERS {
            self.refer_all(properties, groups, &mut section);
            copy(properties, &[one, many], &mut section);
            any(one, &mut section);
        }
        for [one, many] in PORTS {
            copy(properties, &[one, many], &mut section);
            any(one, &mut section);
        }
        section
    }

    pub(super) fn route_table(&self, document: &Document) -> Table {
        let properties = json::properties(&document.body);
        let mut section = declared(document);
        place(document, &mut section);
        copy(properties, &["disableBgpRoutePropagation"], &mut section);
        let routes = json::objects(properties, "routes").map(|route| {
            let mut section = Table::new();
            copy(route, &["name"], &mut section);
            copy(
                json::properties(route),
                &["addressPrefix", "nextHopType", "nextHopIpAddress"],
                &mut section,
            );
            Value::Table(section)
        });
        put_list(&mut section, "route", routes.collect());
        section
    }

    pub(super) fn policy(&self, id: &str, document: &Document) -> Table {
        let properties = json::properties(&document.body);
        let mut section = declared(document);
        place(document, &mut section);
        let definitions = json::objects(properties, "serviceEndpointPolicyDefinitions");
        let definitions = definitions.map(|part| {
            let mut section = Table::new();
            copy(part, &["name"], &mut section);
            let keys = &["description", "service", "serviceResources"];
            copy(json::properties(part), keys, &mut section);
            Value::Table(section)
        });
        put_list(&mut section, "definition", definitions.collect());
        self.bind(id, document, &mut section);
        section
    }
}

/// Spells "any" as the configuration does.
fn any(key: &str, section: &mut Table) {
    if let Some(Value::String(text)) = section.get_mut(key)
        && ["any", "all"]
            .iter()
            .any(|any| any.eq_ignore_ascii_case(text))
    {
        "*".clone_into(text);
    }
}

/// Returns the rules with `*` for a protocol that is spelled out.
fn complete(mut rules: Vec<Table>) -> Vec<Value> {
    for rule in &mut rules {
        any("protocol", rule);
    }
    rules.into_iter().map(Value::Table).collect()
}
