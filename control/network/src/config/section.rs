//! A table of the file, read key by key, with every error collected.

use super::problem::{ConfigError, Problem};
use postern_arm::types::secret::is_secret_name;
use std::cell::RefCell;
use std::str::FromStr;
use toml::{Table, Value};

/// A description of the values that a key takes.
pub type Accepted = &'static str;

/// The errors found so far.
#[derive(Debug, Default)]
pub(super) struct Errors(RefCell<Vec<ConfigError>>);

impl Errors {
    pub(super) fn add(&self, key: impl Into<String>, value: Option<String>, problem: Problem) {
        let key = key.into();
        let value = match may_be_secret(&key) {
            true => value.map(|_| "(not shown)".to_owned()),
            false => value,
        };
        self.0.borrow_mut().push(ConfigError {
            key,
            value,
            problem,
        });
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.borrow().is_empty()
    }

    pub(super) fn into_vec(self) -> Vec<ConfigError> {
        self.0.into_inner()
    }
}

/// A value with the key that it came from.
#[derive(Clone, Debug)]
pub(super) struct At<T> {
    pub(super) key: String,
    pub(super) value: T,
}

/// A table of the file and where it is.
pub(super) struct Section<'f> {
    table: &'f Table,
    path: String,
    errors: &'f Errors,
}

impl<'f> Section<'f> {
    /// Opens a table and refuses every key that is not in `known`.
    pub(super) fn open(
        table: &'f Table,
        path: String,
        errors: &'f Errors,
        known: &'static [&'static str],
    ) -> Self {
        let section = Self::over(table, path, errors);
        for (key, value) in table
            .iter()
            .filter(|(key, _)| !known.contains(&key.as_str()))
        {
            errors.add(
                section.key(key),
                Some(display(value)),
                Problem::UnknownKey(known),
            );
        }
        section
    }

    /// Opens a table whose keys are looked at elsewhere.
    pub(super) fn over(table: &'f Table, path: String, errors: &'f Errors) -> Self {
        Self {
            table,
            path,
            errors,
        }
    }

    /// Returns the path of a key of this table.
    pub(super) fn key(&self, name: &str) -> String {
        if self.path.is_empty() {
            name.to_owned()
        } else {
            format!("{}.{name}", self.path)
        }
    }

    /// Returns whether the key is there.
    pub(super) fn has(&self, name: &str) -> bool {
        self.table.contains_key(name)
    }

    /// Records that the value of a key cannot stand.
    pub(super) fn refuse(&self, name: &str, problem: Problem) {
        self.errors
            .add(self.key(name), self.table.get(name).map(display), problem);
    }

    /// Records that a key has more values than it may have, if it does.
    pub(super) fn limit(&self, name: &str, count: usize, most: usize) {
        if count > most {
            let value = Some(format!("{count} of them"));
            let problem = Problem::TooMany(count, most);
            self.errors.add(self.key(name), value, problem);
        }
    }

    /// Records that a required key is absent.
    pub(super) fn require(&self, name: &str, accepted: Accepted) {
        if !self.has(name) {
            self.refuse(name, Problem::Missing(accepted));
        }
    }

    /// Returns the text of a key, if it is there and is a text.
    pub(super) fn text(&self, name: &str, accepted: Accepted) -> Option<&'f str> {
        let value = self.table.get(name)?;
        let text = value.as_str();
        if text.is_none() {
            self.refuse(name, Problem::Malformed(accepted));
        }
        text
    }

    /// Returns the text of a key that no error may show.
    pub(super) fn hidden(&self, name: &str) -> Option<&'f str> {
        self.table.get(name).and_then(Value::as_str)
    }

    /// Returns the value of a key, if it is there and can be read.
    pub(super) fn parse<T: FromStr>(&self, name: &str, accepted: Accepted) -> Option<T> {
        let parsed = self.text(name, accepted)?.parse().ok();
        if parsed.is_none() {
            self.refuse(name, Problem::Malformed(accepted));
        }
        parsed
    }

    /// Returns the value of a key that must be there.
    pub(super) fn parse_required<T: FromStr>(&self, name: &str, accepted: Accepted) -> Option<T> {
        self.require(name, accepted);
        self.parse(name, accepted)
    }

    /// Returns which of `choices` the value of a key is; case does not count.
    pub(super) fn choice<T: Copy>(
        &self,
        name: &str,
        choices: &[(&'static str, T)],
        accepted: Accepted,
    ) -> Option<T> {
        let text = self.text(name, accepted)?;
        let found = choices
            .iter()
            .find(|(spelling, _)| spelling.eq_ignore_ascii_case(text));
        if found.is_none() {
            self.refuse(name, Problem::Malformed(accepted));
        }
        found.map(|&(_, choice)| choice)
    }

    /// Returns the flag, or `default` where it is absent or not a flag.
    pub(super) fn flag(&self, name: &str, default: bool) -> bool {
        match self.table.get(name) {
            None => default,
            Some(Value::Boolean(flag)) => *flag,
            Some(_) => {
                self.refuse(name, Problem::Malformed("true or false"));
                default
            }
        }
    }

    /// Returns the number, if it is there and from `first` to `last`.
    pub(super) fn number(&self, name: &str, first: u32, last: u32) -> Option<u32> {
        let value = self.table.get(name)?;
        let Some(number) = value.as_integer() else {
            self.refuse(name, Problem::Malformed("a whole number"));
            return None;
        };
        let number = u32::try_from(number)
            .ok()
            .filter(|number| (first..=last).contains(number));
        if number.is_none() {
            self.refuse(name, Problem::OutOfRange(first, last));
        }
        number
    }

    /// Returns the ports of a list that must be there, have one at least, and none twice.
    pub(super) fn ports(&self, name: &str, accepted: Accepted) -> Option<Vec<u16>> {
        self.require(name, accepted);
        let value = self.table.get(name)?;
        let port = |value: &Value| {
            let port = u16::try_from(value.as_integer()?).ok()?;
            (port > 0).then_some(port)
        };
        let values = value.as_array().map(Vec::as_slice).unwrap_or_default();
        let ports = values.iter().map(port).collect::<Option<Vec<_>>>();
        let ports = ports.filter(|ports| {
            let mut different = ports.clone();
            different.sort_unstable();
            different.dedup();
            !ports.is_empty() && different.len() == ports.len()
        });
        if ports.is_none() {
            self.refuse(name, Problem::Malformed(accepted));
        }
        ports
    }

    /// Returns the texts of a list, each with its key.
    pub(super) fn texts(&self, name: &str, accepted: Accepted) -> Vec<At<&'f str>> {
        let items = self.items(name, accepted).into_iter();
        let texts = items.filter_map(|item| match item.value.as_str() {
            Some(value) => Some(At {
                key: item.key,
                value,
            }),
            None => {
                self.refuse_item(&item, Problem::Malformed(accepted));
                None
            }
        });
        texts.collect()
    }

    /// Returns the items of a list, each with its key.
    pub(super) fn items(&self, name: &str, accepted: Accepted) -> Vec<At<&'f Value>> {
        let Some(value) = self.table.get(name) else {
            return Vec::new();
        };
        let Some(values) = value.as_array() else {
            self.refuse(name, Problem::Malformed(accepted));
            return Vec::new();
        };
        let items = values.iter().enumerate().map(|(at, value)| At {
            key: format!("{}[{at}]", self.key(name)),
            value,
        });
        items.collect()
    }

    /// Records that an item of a list cannot stand.
    pub(super) fn refuse_item(&self, item: &At<&Value>, problem: Problem) {
        let value = Some(display(item.value));
        self.errors.add(item.key.as_str(), value, problem);
    }

    /// Returns the names of a list whose items are names, or tables that have the name under `name_key`
    /// beside other keys of `known`; the tables come along.
    pub(super) fn named(
        &self,
        name: &str,
        name_key: &str,
        known: &'static [&'static str],
        accepted: Accepted,
    ) -> Vec<(At<&'f str>, Option<Self>)> {
        let Some(values) = self.table.get(name).and_then(Value::as_array) else {
            // None, or none that can be read.
            return self
                .texts(name, accepted)
                .into_iter()
                .map(|text| (text, None))
                .collect();
        };
        let mut named = Vec::with_capacity(values.len());
        for (at, value) in values.iter().enumerate() {
            let key = format!("{}[{at}]", self.key(name));
            if let Some(table) = value.as_table() {
                let section = Self::open(table, key, self.errors, known);
                section.require(name_key, accepted);
                if let Some(value) = section.text(name_key, accepted) {
                    let key = section.key(name_key);
                    named.push((At { key, value }, Some(section)));
                }
            } else if let Some(value) = value.as_str() {
                named.push((At { key, value }, None));
            } else {
                let problem = Problem::Malformed(accepted);
                self.errors.add(key, Some(display(value)), problem);
            }
        }
        named
    }

    /// Returns the values of a list that can be read, each with its key.
    pub(super) fn parse_list<T: FromStr>(&self, name: &str, accepted: Accepted) -> Vec<At<T>> {
        let texts = self.texts(name, accepted);
        let parse = |text: At<&str>| match text.value.parse() {
            Ok(value) => Some(At {
                key: text.key,
                value,
            }),
            Err(_) => {
                let value = Some(format!("{:?}", text.value));
                self.errors
                    .add(text.key, value, Problem::Malformed(accepted));
                None
            }
        };
        texts.into_iter().filter_map(parse).collect()
    }

    /// Returns the values of a list that must be there and not be empty.
    pub(super) fn parse_some<T: FromStr>(&self, name: &str, accepted: Accepted) -> Vec<At<T>> {
        self.require(name, accepted);
        if self
            .table
            .get(name)
            .and_then(Value::as_array)
            .is_some_and(Vec::is_empty)
        {
            self.refuse(name, Problem::Malformed(accepted));
        }
        self.parse_list(name, accepted)
    }

    /// Returns the table of a key, if it is there.
    pub(super) fn section(&self, name: &str, known: &'static [&'static str]) -> Option<Self> {
        let value = self.table.get(name)?;
        let Some(table) = value.as_table() else {
            self.refuse(name, Problem::Malformed("a table"));
            return None;
        };
        Some(Self::open(table, self.key(name), self.errors, known))
    }

    /// Returns the tables of a key that is an array of them.
    pub(super) fn sections(&self, name: &str, known: &'static [&'static str]) -> Vec<Self> {
        let Some(value) = self.table.get(name) else {
            return Vec::new();
        };
        let tables = value.as_array().and_then(|values| {
            values
                .iter()
                .map(Value::as_table)
                .collect::<Option<Vec<&'f Table>>>()
        });
        let Some(tables) = tables else {
            self.refuse(
                name,
                Problem::Malformed("tables, each written under [[...]]"),
            );
            return Vec::new();
        };
        let open = |(at, table)| {
            Self::open(
                table,
                format!("{}[{at}]", self.key(name)),
                self.errors,
                known,
            )
        };
        tables.into_iter().enumerate().map(open).collect()
    }

    /// Returns the place where errors go.
    pub(super) fn errors(&self) -> &'f Errors {
        self.errors
    }
}

/// Returns whether the value of a key may be a secret, which no error may show: by its name, or as a key of
/// a principal that is not known, and so may be a secret's by a slip.
fn may_be_secret(key: &str) -> bool {
    const SHOWN: [&str; 5] = ["name", "appId", "objectId", "tenant", "secretFile"];
    let last = key.rsplit('.').next().unwrap_or(key);
    let is_principal = key.to_ascii_lowercase().starts_with("serviceprincipal");
    is_secret_name(last) || is_principal && !SHOWN.contains(&last)
}

/// Returns a value as TOML on one line.
fn display(value: &Value) -> String {
    match value {
        Value::String(text) => format!("{text:?}"),
        Value::Integer(number) => number.to_string(),
        Value::Float(number) => number.to_string(),
        Value::Boolean(flag) => flag.to_string(),
        Value::Datetime(when) => when.to_string(),
        Value::Array(values) => {
            format!(
                "[{}]",
                values.iter().map(display).collect::<Vec<_>>().join(", ")
            )
        }
        Value::Table(_) => "{...}".to_owned(),
    }
}
