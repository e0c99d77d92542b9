//! Where the keys of a configuration file are: the line of each, and what people call it.
//!
//! Errors arise with a key that counts tables from zero, such as
//! `virtualNetwork[3].subnet[1].addressPrefix`. What is printed names the tables, as in
//! `virtualNetwork[hub].subnet[apps].addressPrefix`, and the line in the file.

use std::collections::HashMap;
use std::fmt::Display;
use toml::de::{DeTable, DeValue};
use toml::{Table, Value};

/// The keys that a table of a list can be called by: the first of them that it has.
const NAMING: [&str; 10] = [
    "name",
    "remote",
    "roleName",
    "principal",
    "virtualNetworkSubnetId",
    "id",
    "value",
    "type",
    "service",
    "resourceGroup",
];

/// The lines and names of the keys of one file.
#[derive(Clone, Debug, Default)]
pub struct Source {
    /// By the key that counts.
    spots: HashMap<String, Spot>,
    /// Lines by the key that names, in lower case.
    lines: HashMap<String, usize>,
}

/// A key of the file.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Spot {
    line: usize,
    named: String,
}

/// Where a key is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// The line, from one; none for what is not in the file.
    pub(super) line: Option<usize>,
    /// The key, with tables by their names.
    pub(super) key: String,
}

impl Source {
    /// Reads where everything is; `text` is TOML. What is not TOML has no keys.
    #[must_use]
    pub fn read(text: &str) -> Self {
        let mut source = Self::default();
        let (table, _) = DeTable::parse_recoverable(text);
        let ends: Vec<usize> = text.match_indices('\n').map(|(at, _)| at).collect();
        let line_of = |at: usize| ends.partition_point(|&end| end < at).saturating_add(1);
        source.walk(table.get_ref(), ("", ""), &line_of);
        source
    }

    fn walk(
        &mut self,
        table: &DeTable<'_>,
        (at, named): (&str, &str),
        line_of: &impl Fn(usize) -> usize,
    ) {
        for (name, value) in table {
            let line = line_of(name.span().start);
            let (at, named) = (join(at, name.get_ref()), join(named, name.get_ref()));
            self.add(&at, &named, line);
            match value.get_ref() {
                DeValue::Table(inner) => self.walk(inner, (&at, &named), line_of),
                DeValue::Array(items) => {
                    for (number, item) in items.iter().enumerate() {
                        let line = line_of(item.span().start);
                        let at = format!("{at}[{number}]");
                        let DeValue::Table(inner) = item.get_ref() else {
                            // A value is told beside its key.
                            self.add(&at, &named, line);
                            continue;
                        };
                        let text = |key: &str| inner.get(key)?.get_ref().as_str();
                        let named = format!("{named}[{}]", called(text, number));
                        self.add(&at, &named, line);
                        self.walk(inner, (&at, &named), line_of);
                    }
                }
                _ => {}
            }
        }
    }

    fn add(&mut self, at: &str, named: &str, line: usize) {
        let spot = Spot {
            line,
            named: named.to_owned(),
        };
        self.spots.insert(at.to_owned(), spot);
        // Of two tables with one name the first; which one is meant is told by the line.
        let lower = named.to_ascii_lowercase();
        self.lines.entry(lower).or_insert(line);
    }

    /// Returns where a key that counts is; for one that is missing, where it would be.
    pub(super) fn place(&self, key: &str) -> Place {
        let mut outer = key;
        loop {
            if let Some(spot) = self.spots.get(outer) {
                let rest = key.get(outer.len()..).unwrap_or_default();
                return Place {
                    line: Some(spot.line),
                    key: format!("{}{rest}", spot.named),
                };
            }
            let Some((shorter, _)) = outer.rsplit_once('.') else {
                return Place {
                    line: None,
                    key: key.to_owned(),
                };
            };
            outer = shorter;
        }
    }

    /// Returns a text in which every key that counts is one that names, with its line.
    pub(super) fn tell(&self, text: &str) -> String {
        in_words(text, |key| {
            let spot = self.spots.get(key)?;
            Some(format!("{} (line {})", spot.named, spot.line))
        })
    }

    /// Returns a text of several lines about keys that count, for people: as [`Self::in_file`], with
    /// tables by their names.
    #[must_use]
    pub fn told(&self, file: impl Display, text: &str) -> String {
        let told = text.lines().map(|told| {
            let (key, rest) = told.split_at(told.find([' ', ':']).unwrap_or(told.len()));
            let place = self.place(key);
            match place.line {
                Some(line) => format!("{file}:{line}: {}{}", place.key, self.tell(rest)),
                None => format!("{file}: {}", self.tell(told)),
            }
        });
        told.collect::<Vec<_>>().join("\n")
    }

    /// Returns a text with the file in front of each of its lines, and the line of the file where a key
    /// says it.
    #[must_use]
    pub fn in_file(&self, file: impl Display, text: &str) -> String {
        let told = text.lines().map(|told| match self.line_in(told) {
            Some(line) => format!("{file}:{line}: {told}"),
            None => format!("{file}: {told}"),
        });
        told.collect::<Vec<_>>().join("\n")
    }

    /// Returns the line of the first key in a text that names tables of this file.
    fn line_in(&self, text: &str) -> Option<usize> {
        text.split(' ').find_map(|word| {
            let mut key = bare(word);
            if !key.contains('[') {
                return None;
            }
            loop {
                if let Some(line) = self.lines.get(&key.to_ascii_lowercase()) {
                    return Some(*line);
                }
                (key, _) = key.rsplit_once('.')?;
            }
        })
    }
}

/// Returns a text in which the keys that count tables of `table` name them.
#[must_use]
pub fn named_in(table: &Table, text: &str) -> String {
    in_words(text, |key| named(table, key))
}

/// Returns a key that counts as one that names; nothing if it is no key of the table.
fn named(table: &Table, key: &str) -> Option<String> {
    let mut found = String::new();
    let mut tables = Some(table);
    for part in key.split('.') {
        let (name, number) = match part.split_once('[') {
            Some((name, rest)) => (name, Some(rest.strip_suffix(']')?.parse::<usize>().ok()?)),
            None => (part, None),
        };
        let value = tables.and_then(|table| table.get(name));
        found = join(&found, name);
        let Some(number) = number else {
            tables = value.and_then(Value::as_table);
            continue;
        };
        tables = value?.as_array()?.get(number)?.as_table();
        if let Some(table) = tables {
            let text = |key: &str| table.get(key)?.as_str();
            found = format!("{found}[{}]", called(text, number));
        }
    }
    Some(found)
}

/// Returns what a table of a list is called: by a key of its own, else by its number from one.
fn called<'v>(text: impl Fn(&str) -> Option<&'v str>, number: usize) -> String {
    match NAMING.iter().find_map(|key| text(key)) {
        Some(name) => name.to_owned(),
        None => format!("#{}", number.saturating_add(1)),
    }
}

fn join(outer: &str, name: &str) -> String {
    if outer.is_empty() {
        name.to_owned()
    } else {
        format!("{outer}.{name}")
    }
}

/// Replaces the words of a text that are keys with a list in them.
fn in_words(text: &str, replace: impl Fn(&str) -> Option<String>) -> String {
    let word = |word: &str| {
        let key = bare(word);
        let other = key.contains('[').then(|| replace(key)).flatten();
        match other {
            Some(other) => format!("{other}{}", word.get(key.len()..).unwrap_or_default()),
            None => word.to_owned(),
        }
    };
    text.split(' ').map(word).collect::<Vec<_>>().join(" ")
}

/// Returns a word without the punctuation behind it.
fn bare(word: &str) -> &str {
    word.trim_end_matches([',', ';', ':', ')'])
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"location = "koreacentral"

[[virtualNetwork]]
name = "hub"
addressPrefixes = [
  "10.0.0.0/16",
  "10.1.0.0/16",
]
[[virtualNetwork.subnet]]
name = "apps"
addressPrefix = "10.0.1.0/24"
[[virtualNetwork.peering]]
remote = "spoke"

[[service]]
name = "contoso"
networkAcls = { defaultAction = "Deny", ipRules = [{ value = "1.2.3.4" }] }
[[service]]
[[service.subnet]]
"#;

    fn place(key: &str) -> (Option<usize>, String) {
        let place = Source::read(TEXT).place(key);
        (place.line, place.key)
    }

    #[test]
    fn keys_have_their_line_and_the_names_of_their_tables() {
        for (key, line, named) in [
            ("location", 1, "location"),
            ("virtualNetwork[0]", 3, "virtualNetwork[hub]"),
            (
                "virtualNetwork[0].addressPrefixes[1]",
                7,
                "virtualNetwork[hub].addressPrefixes",
            ),
            (
                "virtualNetwork[0].subnet[0].addressPrefix",
                11,
                "virtualNetwork[hub].subnet[apps].addressPrefix",
            ),
            (
                "virtualNetwork[0].peering[0].remote",
                13,
                "virtualNetwork[hub].peering[spoke].remote",
            ),
            (
                "service[0].networkAcls.ipRules[0].value",
                17,
                "service[contoso].networkAcls.ipRules[1.2.3.4].value",
            ),
            ("service[1]", 18, "service[#2]"),
        ] {
            assert_eq!(place(key), (Some(line), named.to_owned()), "{key}");
        }
    }

    #[test]
    fn what_is_missing_is_where_it_would_be() {
        assert_eq!(
            place("virtualNetwork[0].subnet[0].nsg.x"),
            (Some(9), "virtualNetwork[hub].subnet[apps].nsg.x".to_owned())
        );
        assert_eq!(place("internet"), (None, "internet".to_owned()));
    }

    #[test]
    fn texts_name_tables_and_lines() {
        let source = Source::read(TEXT);
        assert_eq!(
            source.tell(
                "overlaps virtualNetwork[0].subnet[0].addressPrefix (10.0.0.0/8); a[7] stays"
            ),
            "overlaps virtualNetwork[hub].subnet[apps].addressPrefix (line 11) (10.0.0.0/8); a[7] stays"
        );
        let text = "x: virtualNetwork[Hub].subnet[apps].nothing, is wrong";
        assert_eq!(
            source.in_file("f.toml", &format!("{text}\nvirtualNetwork hub is wrong")),
            format!("f.toml:9: {text}\nf.toml: virtualNetwork hub is wrong")
        );
    }

    #[test]
    fn a_table_names_its_keys_without_a_text() {
        let table: Table = TEXT.parse().unwrap();
        assert_eq!(
            named_in(
                &table,
                "virtualNetwork[0].subnet[0].addressPrefix: no, service[1].x too, b[1]"
            ),
            "virtualNetwork[hub].subnet[apps].addressPrefix: no, service[#2].x too, b[1]"
        );
    }
}
