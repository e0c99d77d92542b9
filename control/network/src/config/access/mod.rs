//! The ARM side of a service: where it is filed, and its network rules in its own dialect.
//!
//! The keys of a dialect are those of the resource's ARM shape (reference sections 6.2 to 6.4). What
//! can be said without knowing what was granted before is said here; whether a subnet may be named
//! is for [`crate::keys::grants`] to say.

mod acls;
mod cosmos;
mod messaging;
mod rule;
mod sql;
mod web;

use super::filing::Filed;
use super::loader::Loader;
use super::problem::Problem;
use super::section::{Errors, Section};
use crate::catalog::Service;
use crate::model::{Model, Resource, ResourceRules, Scope};
use postern_dataplane::policy::Refusal;
use std::collections::HashMap;

/// The keys that say where a resource is filed.
pub(super) const SCOPE_KEYS: [&str; 3] = ["subscription", "resourceGroup", "tenant"];

const A_NAME: &str = "a name without \"/\"";
const A_REFUSAL: &str = "\"reset\", \"prohibited\" or \"silent\"";
const REFUSALS: [(&str, Refusal); 3] = [
    ("reset", Refusal::Reset),
    ("prohibited", Refusal::Prohibited),
    ("silent", Refusal::Silent),
];
const SWITCH: [(&str, bool); 2] = [("Enabled", true), ("Disabled", false)];

/// What a service's resources are in ARM.
struct Kind {
    service: &'static str,
    /// The types that they can have, the usual one first.
    types: &'static [&'static str],
    /// What the host names of those of the usual type end with.
    suffix: &'static str,
    /// The keys of their network rules.
    keys: &'static [&'static str],
    read: fn(&Section<'_>, &Loader<'_>) -> ResourceRules,
}

impl Kind {
    /// Returns what the host names of resources of a type end with.
    fn suffix_of(&self, of: &str) -> &'static str {
        let is = |known: &str| known.eq_ignore_ascii_case(of);
        if is("Microsoft.DBforPostgreSQL/servers") {
            "postgres.database.azure.com"
        } else if is("Microsoft.DBforMySQL/servers") {
            "mysql.database.azure.com"
        } else {
            self.suffix
        }
    }
}

static KINDS: [Kind; 10] = [
    Kind {
        service: "Microsoft.Storage",
        types: &["Microsoft.Storage/storageAccounts"],
        suffix: "blob.core.windows.net",
        keys: &["networkAcls"],
        read: acls::storage,
    },
    Kind {
        service: "Microsoft.Sql",
        types: &[
            "Microsoft.Sql/servers",
            "Microsoft.DBforPostgreSQL/servers",
            "Microsoft.DBforMySQL/servers",
        ],
        suffix: "database.windows.net",
        keys: &["virtualNetworkRules", "firewallRules"],
        read: sql::rules,
    },
    Kind {
        service: "Microsoft.AzureCosmosDB",
        types: &["Microsoft.DocumentDB/databaseAccounts"],
        suffix: "documents.azure.com",
        keys: &[
            "isVirtualNetworkFilterEnabled",
            "virtualNetworkRules",
            "ipRules",
        ],
        read: cosmos::rules,
    },
    Kind {
        service: "Microsoft.KeyVault",
        types: &["Microsoft.KeyVault/vaults"],
        suffix: "vault.azure.net",
        keys: &["networkAcls"],
        read: acls::key_vault,
    },
    Kind {
        service: "Microsoft.EventHub",
        types: &["Microsoft.EventHub/namespaces"],
        suffix: "servicebus.windows.net",
        keys: &["networkRuleSets"],
        read: messaging::rules,
    },
    Kind {
        service: "Microsoft.ServiceBus",
        types: &["Microsoft.ServiceBus/namespaces"],
        suffix: "servicebus.windows.net",
        keys: &["networkRuleSets"],
        read: messaging::rules,
    },
    Kind {
        service: "Microsoft.Web",
        types: &["Microsoft.Web/sites"],
        suffix: "azurewebsites.net",
        keys: &["ipSecurityRestrictions"],
        read: web::rules,
    },
    Kind {
        service: "Microsoft.ContainerRegistry",
        types: &["Microsoft.ContainerRegistry/registries"],
        suffix: "azurecr.io",
        keys: &["networkRuleSet"],
        read: acls::container_registry,
    },
    Kind {
        service: "Microsoft.CognitiveServices",
        types: &["Microsoft.CognitiveServices/accounts"],
        suffix: "cognitiveservices.azure.com",
        keys: &["networkAcls"],
        read: acls::cognitive_services,
    },
    Kind {
        service: "Microsoft.AzureActiveDirectory",
        types: &["Microsoft.DataLakeStore/accounts"],
        suffix: "azuredatalakestore.net",
        keys: &["virtualNetworkRules", "firewallRules"],
        read: sql::rules,
    },
];

/// Returns every type that resources of a service can have, with the service, and whether it is the
/// service's usual one.
pub(crate) fn resource_types() -> impl Iterator<Item = (&'static str, &'static str, bool)> {
    KINDS.iter().flat_map(|kind| {
        let types = kind.types.iter().enumerate();
        types.map(|(at, of)| (kind.service, *of, at == 0))
    })
}

/// The domains in which an account of storage has its names.
const STORAGE: [&str; 6] = [
    "blob.core.windows.net",
    "dfs.core.windows.net",
    "file.core.windows.net",
    "queue.core.windows.net",
    "table.core.windows.net",
    "web.core.windows.net",
];

fn kind_of(of: &str) -> Option<&'static Kind> {
    let is = |known: &&str| known.eq_ignore_ascii_case(of);
    KINDS.iter().find(|kind| kind.types.iter().any(is))
}

/// Returns what the host names of resources of a type end with; none for what is no service's.
pub(crate) fn host_suffixes(of: &str) -> Vec<&'static str> {
    match kind_of(of) {
        Some(kind) if kind.service == "Microsoft.Storage" => STORAGE.to_vec(),
        Some(kind) => vec![kind.suffix_of(of)],
        None => Vec::new(),
    }
}

/// Refuses host names that two resources have: nobody could tell which of them a client means.
pub(super) fn check_hosts(model: &Model, errors: &Errors) {
    let mut hosts: HashMap<&str, &str> = HashMap::new();
    for (at, service) in model.services.iter().enumerate() {
        let host = service.resource.host.as_str();
        if let Some(other) = hosts.insert(host, &service.name) {
            let value = Some(format!("{host:?}"));
            let problem = Problem::HostInUse(format!("service {other}"));
            errors.add(format!("service[{at}].host"), value, problem);
        }
    }
}

/// Returns the host name that a resource of a type has by what it is called.
pub(crate) fn own_host(of: &str, name: &str) -> String {
    let suffix = kind_of(of).map_or("", |kind| kind.suffix_of(of));
    format!("{}.{suffix}", name.to_ascii_lowercase())
}

/// Returns what all names have in common that one resource has by one of them: an account of storage is
/// called alike in each of its domains, and so is its secondary.
pub(crate) fn claimed_name(host: &str) -> String {
    let host = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
    let Some((account, domain)) = host.split_once('.') else {
        return host;
    };
    if STORAGE.contains(&domain) {
        let account = account.strip_suffix("-secondary").unwrap_or(account);
        return format!("{account}.core.windows.net");
    }
    host
}

/// Reads where a resource is filed; what it does not say is as in `outer`.
pub(super) fn scope(section: &Section<'_>, outer: &Scope) -> Scope {
    let [subscription, group, tenant] = SCOPE_KEYS;
    let read = |key, outer: &String| match section.text(key, A_NAME) {
        None => outer.clone(),
        Some(text) if text.is_empty() || text.contains('/') => {
            section.refuse(key, Problem::Malformed(A_NAME));
            outer.clone()
        }
        Some(text) => text.to_owned(),
    };
    Scope {
        subscription: read(subscription, &outer.subscription),
        resource_group: read(group, &outer.resource_group),
        tenant: read(tenant, &outer.tenant),
    }
}

/// Reads the ARM side of a service.
pub(super) fn resource(
    section: &Section<'_>,
    loader: &Loader<'_>,
    (service, of): (&'static Service, &'static str),
    filed: Filed,
) -> Option<Resource> {
    let kind = KINDS.iter().find(|kind| kind.service == service.name)?;
    let foreign = KINDS.iter().flat_map(|other| other.keys);
    let foreign = foreign.filter(|key| !kind.keys.contains(key) && section.has(key));
    let mut refused: Vec<&str> = foreign.copied().collect();
    refused.sort_unstable();
    refused.dedup();
    for key in refused {
        section.refuse(
            key,
            Problem::OtherDialect {
                service: service.name,
                keys: kind.keys,
            },
        );
    }
    let refusal = section.choice("refusal", &REFUSALS, A_REFUSAL);
    let access = section.choice(
        "publicNetworkAccess",
        &SWITCH,
        "\"Enabled\" or \"Disabled\"",
    );
    Some(Resource {
        host: host(section, of, &filed.name),
        scope: filed.scope,
        name: filed.name,
        kind: of,
        refusal: refusal.unwrap_or_default(),
        public_network_access: access.unwrap_or(true),
        rules: (kind.read)(section, loader),
    })
}

/// Reads the type of a resource of the service.
pub(super) fn type_of(section: &Section<'_>, service: &Service) -> &'static str {
    let kind = KINDS.iter().find(|kind| kind.service == service.name);
    let types = kind.map(|kind| kind.types).unwrap_or_default();
    let first = types.first().copied().unwrap_or_default();
    let Some(text) = section.text("type", "a resource type") else {
        return first;
    };
    let found = types.iter().find(|known| known.eq_ignore_ascii_case(text));
    if found.is_none() {
        section.refuse("type", Problem::OtherType(types));
    }
    found.copied().unwrap_or(first)
}

fn host(section: &Section<'_>, of: &str, name: &str) -> String {
    const A_HOST: &str = "a host name such as \"contoso.blob.core.windows.net\"";
    let is_host = |text: &str| {
        let is_label = |label: &str| {
            (1..=63).contains(&label.len())
                && !label.starts_with('-')
                && !label.ends_with('-')
                && label
                    .chars()
                    .all(|letter| letter.is_ascii_alphanumeric() || letter == '-')
        };
        text.len() <= 253 && text.split('.').all(is_label)
    };
    match section.text("host", A_HOST) {
        Some(text) if is_host(text) => text.to_ascii_lowercase(),
        Some(_) => {
            section.refuse("host", Problem::Malformed(A_HOST));
            String::new()
        }
        None => own_host(of, name),
    }
}
