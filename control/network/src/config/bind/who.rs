//! Which resources a `[[bind]]` is for.

use super::NIC;
use super::allow::{Allow, allow};
use crate::config::access::resource_types;
use crate::config::glob::glob;
use crate::config::problem::Problem;
use crate::config::section::{Errors, Section};
use postern_arm::id::ResourceId;
use toml::{Table, Value};

/// Types that tags can bind and patterns have no value for.
const TAGGED: [&str; 3] = [
    "Microsoft.Network/virtualNetworks",
    "Microsoft.Network/natGateways",
    "Microsoft.Network/serviceEndpointPolicies",
];

const A_TYPE: &str = "\"Microsoft.Network/networkInterfaces\", or the type of a service's resources such as \
                      \"Microsoft.Storage/storageAccounts\"";
const A_PATTERN: &str =
    "a name or a resource ID, in which \"*\" stands for anything and \"?\" for one character";
const A_GROUP: &str = "the name of a resource group, in which \"*\" stands for anything";
const A_SUBSCRIPTION: &str = "the ID of a subscription, in which \"*\" stands for anything";

/// Which resources something is for.
#[derive(Clone, Debug, Default)]
pub(super) struct Who {
    /// The type.
    pub(super) of: Option<&'static str>,
    name: Option<String>,
    group: Option<String>,
    subscription: Option<String>,
}

/// A resource that is held against that.
pub(super) struct Subject<'a> {
    pub(super) of: &'a str,
    pub(super) name: &'a str,
    pub(super) subscription: &'a str,
    pub(super) group: &'a str,
    pub(super) id: &'a str,
}

/// What the tags of some resources may bind.
#[derive(Clone, Debug)]
pub(crate) struct Permit {
    who: Who,
    pub(crate) allow: Allow,
}

impl Who {
    /// Reads for whom the table is; one that gives values has to say a name.
    pub(super) fn read(section: &Section<'_>, gives_values: bool) -> Self {
        if gives_values || !section.has("allow") {
            section.require("name", A_PATTERN);
        }
        let types = || {
            let services = resource_types().map(|(_, of, _)| of);
            std::iter::once(NIC).chain(services)
        };
        let told = section.text("type", A_TYPE);
        let is_told = |of: &&str| told.is_some_and(|told| of.eq_ignore_ascii_case(told));
        let more = TAGGED.into_iter().filter(|_| !gives_values);
        let of = types().chain(more).find(is_told);
        if told.is_some() && of.is_none() {
            section.refuse("type", Problem::Malformed(A_TYPE));
        }
        let text = |key, accepted| section.text(key, accepted).map(str::to_owned);
        Self {
            of,
            name: text("name", A_PATTERN),
            group: text("resourceGroup", A_GROUP),
            subscription: text("subscription", A_SUBSCRIPTION),
        }
    }

    /// Returns whether the resource is one of these.
    pub(super) fn fits(&self, subject: &Subject<'_>) -> bool {
        let fits = |wanted: &Option<String>, text: &str| {
            wanted.as_ref().is_none_or(|wanted| glob(wanted, text))
        };
        let is_id = |name: &String| name.starts_with('/');
        let called = match self.name.as_ref().is_some_and(is_id) {
            true => subject.id,
            false => subject.name,
        };
        self.of.is_none_or(|of| of.eq_ignore_ascii_case(subject.of))
            && fits(&self.group, subject.group)
            && fits(&self.subscription, subject.subscription)
            && fits(&self.name, called)
    }
}

impl Permit {
    /// Returns whether it is for the resource.
    pub(crate) fn fits(&self, id: &ResourceId) -> bool {
        self.who.fits(&Subject {
            of: &id.kind(),
            name: id.name(),
            subscription: id.scope.subscription().unwrap_or_default(),
            group: id.scope.group().unwrap_or_default(),
            id: &id.to_string(),
        })
    }
}

/// Returns what tags may bind, by the `[[bind]]` of a file that was read before.
pub(crate) fn permits(table: &Table) -> Vec<Permit> {
    let unsaid = Errors::default();
    let binds = table.get("bind").and_then(Value::as_array);
    let binds = binds.into_iter().flatten().filter_map(Value::as_table);
    let permits = binds.filter_map(|table| {
        let section = Section::over(table, String::new(), &unsaid);
        let who = Who::read(&section, super::gives_values(table));
        allow(&section).map(|allow| Permit { who, allow })
    });
    permits.collect()
}
