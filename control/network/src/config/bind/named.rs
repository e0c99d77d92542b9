//! Namespaces that are called after resources: whoever names the resource must not choose what else of
//! the host it gets.

use crate::config::glob::OWN_NAME;
use crate::model::NamespaceRef;
use std::collections::HashMap;
use std::path::Path;
use toml::{Table, Value};

/// Returns whether the text is a namespace, and stays one of its kind whatever the resource is called: a
/// name, or a file in one folder. The number of a process is nobody's name.
pub(super) fn is_namespace(pattern: &str) -> bool {
    let Ok(sample) = pattern.replace(OWN_NAME, "x").parse() else {
        return false;
    };
    match sample {
        NamespaceRef::Path(_) if pattern.contains(OWN_NAME) => {
            let folder = Path::new(pattern).parent();
            folder.is_some_and(|folder| !folder.to_string_lossy().contains(OWN_NAME))
        }
        NamespaceRef::Pid(_) => !pattern.contains(OWN_NAME),
        _ => true,
    }
}

/// Namespaces that the file gives to something by their own names.
#[derive(Debug, Default)]
pub(super) struct Fixed(HashMap<NamespaceRef, String>);

impl Fixed {
    /// Finds those of the host, of patterns and of the servers behind them.
    pub(super) fn of(table: &Table) -> Self {
        let mut fixed = Self::default();
        for key in ["internet", "platform"] {
            fixed.take(table.get(key), key);
        }
        for key in ["gateway", "bind"] {
            let tables = table.get(key).and_then(Value::as_array);
            for (at, table) in tables.into_iter().flatten().enumerate() {
                fixed.take(Some(table), &format!("{key}[{at}]"));
                fixed.take(table.get("front"), &format!("{key}[{at}].front"));
            }
        }
        fixed
    }

    fn take(&mut self, table: Option<&Value>, key: &str) {
        let namespace = table.and_then(|table| table.get("namespace")?.as_str());
        let namespace = namespace.filter(|text| !text.contains(OWN_NAME));
        if let Some(namespace) = namespace.and_then(|text| text.parse().ok()) {
            let key = format!("{key}.namespace");
            self.0.entry(namespace).or_insert(key);
        }
    }

    /// Returns the key that has the namespace.
    pub(super) fn holder(&self, namespace: &str) -> Option<&String> {
        self.0.get(&namespace.parse().ok()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_makes_another_kind_of_thing() {
        for (pattern, is_good) in [
            ("svc", true),
            ("pid:7", true),
            ("/run/netns/a", true),
            ("{name}", true),
            ("vm-{name}", true),
            ("/run/netns/{name}", true),
            ("pid:{name}", false),
            ("pid:1{name}", false),
            ("/proc/{name}/ns/net", false),
            ("/run/{name}/{name}", false),
            ("a/{name}", false),
            ("", false),
        ] {
            assert_eq!(is_namespace(pattern), is_good, "{pattern}");
        }
    }
}
