//! Security groups, route tables and endpoint policies.

use super::{Lowerer, copy, named, place, put_list, put_text};
use crate::estate::json::{self, Object};
use crate::estate::kinds;
use postern_arm::document::Document;
use std::collections::HashSet;
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

/// The most letters of a name that say where a group is; a name has 80.
const LONGEST_PLACE: usize = 70;

/// The first priority that a rule can have.
const FIRST_PRIORITY: i64 = 100;

impl Lowerer<'_> {
    pub(super) fn nsg(&self, document: &Document) -> Table {
        self.nsg_named(&document.alias, json::properties(&document.body))
    }

    fn nsg_named(&self, name: &str, properties: &Object) -> Table {
        let mut section = named(name);
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

    /// Says the group of a subnet. Templates in the wild have it inside of the subnet, where there
    /// is no resource of its own: it gets a name that no other group has.
    pub(super) fn subnet_nsg(
        &mut self,
        vnet: &str,
        subnet: &str,
        properties: &Object,
        into: &mut Table,
    ) {
        let key = kinds::NSG.key;
        self.refer(properties, key, into);
        let inline = json::object(properties, key).and_then(|nsg| json::object(nsg, "properties"));
        let Some(inline) = inline.filter(|_| !into.contains_key(key)) else {
            return;
        };
        let mut wanted = format!("{vnet}-{subnet}");
        wanted.truncate(LONGEST_PLACE);
        let wanted = format!("{wanted}-nsg");
        let mut name = wanted.clone();
        for at in 2.. {
            if self.nsg_names.insert(name.to_ascii_lowercase()) {
                break;
            }
            name = format!("{wanted}{at}");
        }
        let mut section = self.nsg_named(&name, inline);
        fill(&mut section);
        self.inline_nsgs.push(Value::Table(section));
        put_text(into, key, name);
    }

    pub(super) fn route_table(&self, document: &Document) -> Table {
        let properties = json::properties(&document.body);
        let mut section = named(&document.alias);
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
        let mut section = named(&document.alias);
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

/// Gives the rules of a group inside of a subnet what they lack: they may have nothing but a
/// direction and an access.
fn fill(section: &mut Table) {
    let rules = section
        .get_mut("securityRule")
        .and_then(Value::as_array_mut);
    let Some(rules) = rules else { return };
    let number = |rule: &Value| rule.get("priority").and_then(Value::as_integer);
    let mut taken: HashSet<i64> = rules.iter().filter_map(number).collect();
    let mut next = FIRST_PRIORITY;
    for (at, rule) in rules.iter_mut().filter_map(Value::as_table_mut).enumerate() {
        let name = format!("rule{}", at.saturating_add(1));
        let mut lacking = |key: &str, value: Value| {
            rule.entry(key.to_owned()).or_insert(value);
        };
        lacking("name", Value::String(name));
        while taken.contains(&next) {
            next = next.saturating_add(1);
        }
        lacking("priority", Value::Integer(next));
        taken.insert(next);
        lacking("protocol", Value::String("*".to_owned()));
        for [one, many, groups] in PEERS {
            let is_there = [one, many, groups]
                .iter()
                .any(|key| rule.contains_key(*key));
            if !is_there {
                put_text(rule, one, "*");
            }
        }
        for [one, many] in PORTS {
            if !rule.contains_key(one) && !rule.contains_key(many) {
                put_text(rule, one, "*");
            }
        }
    }
}
