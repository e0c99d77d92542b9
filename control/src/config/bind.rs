//! Patterns by which resources that say nothing of this host are bound to it.
//!
//! `[[bind]]` fills in the keys that a NIC or a service lacks, and nothing else: what the resource
//! says itself stands, and of several patterns the first that has a value for a key.

use super::access::{self, resource_types};
use super::device;
use super::problem::Problem;
use super::section::{Errors, Section};
use crate::model::{NamespaceRef, Scope};
use std::net::Ipv4Addr;
use toml::{Table, Value};

const NIC: &str = "Microsoft.Network/networkInterfaces";
const OF_A_NIC: &[&str] = &["namespace", "device", "mtu", "offload"];
const OF_A_SERVICE: &[&str] = &["address", "delivery", "host", "refusal", "front"];
const KEYS: &[&str] = &[
    "type",
    "name",
    "resourceGroup",
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
    "namespace",
    "device",
    "mtu",
    "offload",
];

/// What stands for the name of the resource in a value.
const OWN_NAME: &str = "{name}";

const A_TYPE: &str = "\"Microsoft.Network/networkInterfaces\", or the type of a service's resources such as \
                      \"Microsoft.Storage/storageAccounts\"";
const A_PATTERN: &str =
    "a name or a resource ID, in which \"*\" stands for anything and \"?\" for one character";
const A_NAMESPACE: &str = "a namespace, in which \"{name}\" stands for the name of the resource";
const A_GROUP: &str = "the name of a resource group, in which \"*\" stands for anything";
const AN_ADDRESS: &str = "an IPv4 address of the service in its region";

/// A pattern, and what it gives.
struct Pattern<'t> {
    /// The type; without one, NICs or all services.
    of: Option<&'static str>,
    is_for_nics: bool,
    name: &'t str,
    group: Option<&'t str>,
    table: &'t Table,
}

/// A resource that a pattern is held against.
struct Subject<'t> {
    of: &'t str,
    name: &'t str,
    scope: Scope,
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
    for key in ["networkInterface", "service"] {
        let Some(Value::Array(sections)) = table.get(key) else {
            continue;
        };
        let mut sections = sections.clone();
        for section in sections.iter_mut().filter_map(Value::as_table_mut) {
            let text = |key: &str| section.get(key).and_then(Value::as_str);
            let of = match key {
                "networkInterface" => Some(NIC),
                _ => text("type").or_else(|| usual_type(text("service")?)),
            };
            let (Some(of), Some(name)) = (of.map(str::to_owned), text("name").map(str::to_owned))
            else {
                continue;
            };
            let subject = Subject {
                of: &of,
                name: &name,
                scope: scope(section, &outer),
            };
            for pattern in patterns.iter().filter(|pattern| pattern.fits(&subject)) {
                pattern.fill(section, &name);
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
    section.require("name", A_PATTERN);
    let name = section.text("name", A_PATTERN);
    let types = || std::iter::once(NIC).chain(resource_types().map(|(_, of, _)| of));
    let told = section.text("type", A_TYPE);
    let of = told.and_then(|told| types().find(|of| of.eq_ignore_ascii_case(told)));
    if told.is_some() && of.is_none() {
        section.refuse("type", Problem::Malformed(A_TYPE));
    }
    let is_for_nics = match of {
        Some(of) => of == NIC,
        None => !OF_A_SERVICE.iter().any(|key| table.contains_key(*key)),
    };
    if is_for_nics {
        for key in OF_A_SERVICE.iter().filter(|key| section.has(key)) {
            section.refuse(key, Problem::UnknownKey(NIC_KEYS));
        }
    }
    if let Some(namespace) = section.text("namespace", A_NAMESPACE)
        && namespace
            .replace(OWN_NAME, "x")
            .parse::<NamespaceRef>()
            .is_err()
    {
        section.refuse("namespace", Problem::Malformed(A_NAMESPACE));
    }
    // Wrong values are said here too: there may be no resource yet that gets them.
    let _ = device::device_in(section, Some(NamespaceRef::Unattached));
    let _ = section.parse::<Ipv4Addr>("address", AN_ADDRESS);
    Some(Pattern {
        of,
        is_for_nics,
        name: name.and(table.get("name")?.as_str())?,
        group: section
            .text("resourceGroup", A_GROUP)
            .and(table.get("resourceGroup").and_then(Value::as_str)),
        table,
    })
}

impl Pattern<'_> {
    fn fits(&self, subject: &Subject<'_>) -> bool {
        let is_of = match self.of {
            Some(of) => of.eq_ignore_ascii_case(subject.of),
            None => self.is_for_nics == (subject.of == NIC),
        };
        let group = &subject.scope.resource_group;
        is_of
            && self.group.is_none_or(|wanted| glob(wanted, group))
            && if self.name.starts_with('/') {
                glob(self.name, &subject.scope.id(subject.of, subject.name))
            } else {
                glob(self.name, subject.name)
            }
    }

    /// Sets the keys that a resource does not have.
    fn fill(&self, section: &mut Table, name: &str) {
        let of_a_service = OF_A_SERVICE.iter().filter(|_| !self.is_for_nics);
        for key in OF_A_NIC.iter().chain(of_a_service) {
            if let Some(value) = self.table.get(*key)
                && !section.contains_key(*key)
            {
                section.insert((*key).to_owned(), with_name(value, name));
            }
        }
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

/// Returns whether a text fits a pattern; case does not count.
fn glob(pattern: &str, text: &str) -> bool {
    let lower = |text: &str| text.to_ascii_lowercase().into_bytes();
    let (pattern, text) = (lower(pattern), lower(text));
    let (mut at, mut in_text) = (0_usize, 0_usize);
    // Where the last star is, and what it stands for so far ends.
    let mut star: Option<(usize, usize)> = None;
    while let Some(letter) = text.get(in_text) {
        match pattern.get(at) {
            Some(b'*') => {
                star = Some((at, in_text));
                at = at.saturating_add(1);
            }
            Some(wanted) if *wanted == b'?' || wanted == letter => {
                at = at.saturating_add(1);
                in_text = in_text.saturating_add(1);
            }
            _ => match &mut star {
                Some((place, end)) => {
                    *end = end.saturating_add(1);
                    (at, in_text) = (place.saturating_add(1), *end);
                }
                None => return false,
            },
        }
    }
    let rest = pattern.get(at..).unwrap_or_default();
    rest.iter().all(|letter| *letter == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_fit_as_in_a_shell() {
        for (pattern, text, fits) in [
            ("nic*", "NIC0", true),
            ("nic*", "nic", true),
            ("nic*", "a-nic", false),
            ("*", "", true),
            ("", "", true),
            ("", "a", false),
            ("n?c", "nic", true),
            ("n?c", "nc", false),
            ("*-nic-*", "a-nic-b-nic-c", true),
            ("*ab", "aab", true),
            ("*ab*", "aacaabz", true),
            ("a*b*c", "abcb", false),
            ("/subscriptions/*/nic?", "/subscriptions/s/x/y/nic1", true),
        ] {
            assert_eq!(glob(pattern, text), fits, "{pattern} {text}");
        }
    }
}
