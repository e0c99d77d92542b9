//! Patterns by which resources that say nothing of this host are bound to it.
//!
//! `[[bind]]` fills in the keys that a NIC or a service lacks, and nothing else: what the resource
//! says itself stands, and of several patterns the first that has a value for a key. Beside that it says
//! what the tags of resources may bind ([`allow`]).

pub(crate) mod allow;
mod named;
mod who;

pub(crate) use who::{Permit, permits};

use super::access::{self, resource_types};
use super::filing::name_in_arm;
use super::glob::OWN_NAME;
use super::loader::is_name;
use super::problem::Problem;
use super::section::{Errors, Section};
use super::{device, front};
use crate::model::{NamespaceRef, Scope};
use named::Fixed;
use std::net::Ipv4Addr;
use toml::{Table, Value};
use who::{Subject, Who};

const NIC: &str = "Microsoft.Network/networkInterfaces";
const OF_A_NIC: &[&str] = &["namespace", "device", "mtu", "offload"];
const OF_A_SERVICE: &[&str] = &["address", "delivery", "host", "refusal", "front"];
const KEYS: &[&str] = &[
    "type",
    "name",
    "resourceGroup",
    "subscription",
    "allow",
    "namespace",
    "device",
    "mtu",
    "offload",
    "address",
    "delivery",
    "host",
    "refusal",
    "front",
];
const NIC_KEYS: &[&str] = &[
    "type",
    "name",
    "resourceGroup",
    "subscription",
    "allow",
    "namespace",
    "device",
    "mtu",
    "offload",
];

const A_NAMESPACE: &str = "a namespace, in which \"{name}\" stands for the name of the resource: in a name or in the \
                           last part of a path";
const AN_ADDRESS: &str = "an IPv4 address of the service in its region";

/// A pattern, and what it gives.
struct Pattern<'t> {
    who: Who,
    is_for_nics: bool,
    table: &'t Table,
}

/// Returns the lists of NICs and services as the patterns of the file complete them, under their keys;
/// nothing where there is no pattern.
pub(super) fn completed(table: &Table, errors: &Errors) -> Table {
    let mut completed = Table::new();
    let Some(patterns) = patterns(table, errors) else {
        return completed;
    };
    // What is wrong with a scope is said where the scope is read.
    let unsaid = Errors::default();
    let scope = |table: &Table, outer: &Scope| {
        access::scope(&Section::over(table, String::new(), &unsaid), outer)
    };
    let outer = scope(table, &Scope::default());
    let fixed = Fixed::of(table);
    for key in ["networkInterface", "service"] {
        let Some(Value::Array(sections)) = table.get(key) else {
            continue;
        };
        let mut sections = sections.clone();
        for (at, section) in sections.iter_mut().enumerate() {
            let Some(section) = section.as_table_mut() else {
                continue;
            };
            let text = |key: &str| section.get(key).and_then(Value::as_str);
            let of = match key {
                "networkInterface" => Some(NIC),
                _ => text("type").or_else(|| usual_type(text("service")?)),
            };
            let (Some(of), Some(name)) = (of.map(str::to_owned), text("name").map(str::to_owned))
            else {
                continue;
            };
            // The loader refuses what has another name.
            if !is_name(&name) {
                continue;
            }
            let scope = scope(section, &outer);
            let own = name_in_arm(section).unwrap_or(&name).to_owned();
            let subject = Subject {
                of: &of,
                name: &own,
                subscription: &scope.subscription,
                group: &scope.resource_group,
                id: &scope.id(&of, &own),
            };
            for pattern in patterns.iter().filter(|pattern| pattern.fits(&subject)) {
                let refused = pattern.fill(section, [&name, &own], &fixed);
                if let Some((namespace, other)) = refused {
                    let value = Some(format!("{namespace:?}"));
                    let key = format!("{key}[{at}].namespace");
                    errors.add(key, value, Problem::NamespaceInUse(other));
                }
            }
        }
        completed.insert(key.to_owned(), Value::Array(sections));
    }
    completed
}

fn usual_type(service: &str) -> Option<&'static str> {
    let mut types = resource_types();
    let found = types.find(|(known, _, is_usual)| *is_usual && known.eq_ignore_ascii_case(service));
    found.map(|(_, of, _)| of)
}

/// Reads the patterns; nothing where there is none.
fn patterns<'t>(table: &'t Table, errors: &Errors) -> Option<Vec<Pattern<'t>>> {
    let tables = table.get("bind")?.as_array();
    let tables = tables.map(Vec::as_slice).unwrap_or_default();
    // What else is at the root is the loader's to judge.
    let root = Section::over(table, String::new(), errors);
    let sections = root.sections("bind", KEYS);
    let patterns = sections.iter().zip(tables);
    let patterns = patterns.filter_map(|(section, table)| pattern(section, table.as_table()?));
    Some(patterns.collect())
}

fn pattern<'t>(section: &Section<'_>, table: &'t Table) -> Option<Pattern<'t>> {
    let gives_values = gives_values(table);
    let who = Who::read(section, gives_values);
    let is_for_nics = match who.of {
        Some(of) => of == NIC,
        None => !OF_A_SERVICE.iter().any(|key| table.contains_key(*key)),
    };
    if is_for_nics {
        for key in OF_A_SERVICE.iter().filter(|key| section.has(key)) {
            section.refuse(key, Problem::UnknownKey(NIC_KEYS));
        }
    }
    let _ = allow::allow(section);
    if !gives_values {
        return None;
    }
    if let Some(namespace) = section.text("namespace", A_NAMESPACE)
        && !named::is_namespace(namespace)
    {
        section.refuse("namespace", Problem::Malformed(A_NAMESPACE));
    }
    // Wrong values are said here too: there may be no resource yet that gets them.
    let _ = device::device_in(section, Some(NamespaceRef::Unattached));
    let _ = section.parse::<Ipv4Addr>("address", AN_ADDRESS);
    if !is_for_nics {
        let namespace = table
            .get("front")
            .and_then(|it| it.get("namespace")?.as_str());
        match namespace.filter(|namespace| !named::is_namespace(namespace)) {
            Some(namespace) => section.errors().add(
                section.key("front.namespace"),
                Some(format!("{namespace:?}")),
                Problem::Malformed(A_NAMESPACE),
            ),
            None => drop(front::front(section, who.of)),
        }
    }
    table.get("name")?.as_str()?;
    Some(Pattern {
        who,
        is_for_nics,
        table,
    })
}

/// Returns whether the table has a value for resources that lack it.
fn gives_values(table: &Table) -> bool {
    let mut keys = OF_A_NIC.iter().chain(OF_A_SERVICE);
    keys.any(|key| table.contains_key(*key))
}

impl Pattern<'_> {
    fn fits(&self, subject: &Subject<'_>) -> bool {
        let is_of = self.who.of.is_some() || self.is_for_nics == (subject.of == NIC);
        is_of && self.who.fits(subject)
    }

    /// Sets the keys that a resource does not have. It has two names: that of the file, which no other one
    /// has, and that of ARM, which its host name comes from. Returns the namespace that it cannot have, as
    /// the resource is only called like it, and whose it is.
    fn fill(
        &self,
        section: &mut Table,
        [name, own]: [&str; 2],
        fixed: &Fixed,
    ) -> Option<(String, String)> {
        let mut refused = None;
        let of_a_service = OF_A_SERVICE.iter().filter(|_| !self.is_for_nics);
        for key in OF_A_NIC.iter().chain(of_a_service) {
            let Some(value) = self.table.get(*key).filter(|_| !section.contains_key(*key)) else {
                continue;
            };
            let filled = with_name(value, if *key == "host" { own } else { name });
            let namespace = filled
                .as_str()
                .filter(|_| *key == "namespace" && filled != *value);
            match namespace.and_then(|it| Some((it.to_owned(), fixed.holder(it)?.clone()))) {
                Some(holder) => refused = refused.or(Some(holder)),
                None => drop(section.insert((*key).to_owned(), filled)),
            }
        }
        refused
    }
}

fn with_name(value: &Value, name: &str) -> Value {
    match value {
        Value::String(text) => Value::String(text.replace(OWN_NAME, name)),
        Value::Table(table) => {
            let fields = table.iter();
            let fields = fields.map(|(key, value)| (key.clone(), with_name(value, name)));
            Value::Table(fields.collect())
        }
        other => other.clone(),
    }
}
