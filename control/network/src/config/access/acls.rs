//! `networkAcls` of storage accounts, key vaults and AI accounts, and the like of registries.

use super::rule;
use crate::config::loader::Loader;
use crate::config::problem::Problem;
use crate::config::section::Section;
use crate::model::ResourceRules;
use postern_dataplane::policy::Access;

const KEYS: &[&str] = &[
    "defaultAction",
    "bypass",
    "virtualNetworkRules",
    "ipRules",
    "resourceAccessRules",
];
const VNET_KEYS: &[&str] = &["id", "action", "state", IGNORE];
const IP_KEYS: &[&str] = &["value", "action"];
const IGNORE: &str = "ignoreMissingVnetServiceEndpoint";
pub(super) const ACTIONS: [(&str, Access); 2] = [("Allow", Access::Allow), ("Deny", Access::Deny)];
pub(super) const AN_ACTION: &str = "\"Allow\" or \"Deny\"";

/// What differs between the services that spell their rules so.
struct Dialect {
    table: &'static str,
    most_vnet_rules: usize,
    most_ip_rules: usize,
    /// The longest prefix of an address rule that may be written as a prefix.
    longest: u8,
    /// What `bypass` can list.
    bypass: &'static [&'static str],
    /// Whether a rule can be made for a subnet without the endpoint.
    ignores: bool,
}

pub(super) fn storage(section: &Section<'_>, loader: &Loader<'_>) -> ResourceRules {
    read(
        section,
        loader,
        &Dialect {
            table: "networkAcls",
            most_vnet_rules: 400,
            most_ip_rules: 400,
            longest: 30,
            bypass: &["None", "Logging", "Metrics", "AzureServices"],
            ignores: false,
        },
    )
}

pub(super) fn key_vault(section: &Section<'_>, loader: &Loader<'_>) -> ResourceRules {
    read(
        section,
        loader,
        &Dialect {
            table: "networkAcls",
            most_vnet_rules: 200,
            most_ip_rules: 1000,
            longest: 32,
            bypass: &["None", "AzureServices"],
            ignores: true,
        },
    )
}

pub(super) fn container_registry(section: &Section<'_>, loader: &Loader<'_>) -> ResourceRules {
    read(
        section,
        loader,
        &Dialect {
            table: "networkRuleSet",
            most_vnet_rules: 100,
            most_ip_rules: 100,
            longest: 32,
            bypass: &[],
            ignores: false,
        },
    )
}

pub(super) fn cognitive_services(section: &Section<'_>, loader: &Loader<'_>) -> ResourceRules {
    read(
        section,
        loader,
        &Dialect {
            table: "networkAcls",
            most_vnet_rules: 200,
            most_ip_rules: 200,
            longest: 32,
            bypass: &["None", "AzureServices"],
            ignores: true,
        },
    )
}

fn read(section: &Section<'_>, loader: &Loader<'_>, dialect: &Dialect) -> ResourceRules {
    let Some(acls) = section.section(dialect.table, KEYS) else {
        return ResourceRules::default();
    };
    let default_action = acls.choice("defaultAction", &ACTIONS, AN_ACTION);
    let vnet_rules = acls.sections("virtualNetworkRules", VNET_KEYS);
    acls.limit(
        "virtualNetworkRules",
        vnet_rules.len(),
        dialect.most_vnet_rules,
    );
    let ip_rules = acls.sections("ipRules", IP_KEYS);
    acls.limit("ipRules", ip_rules.len(), dialect.most_ip_rules);
    let mut rules = Vec::new();
    for section in vnet_rules {
        rule::only_allow(&section);
        let ignores = section.flag(IGNORE, false);
        if section.has(IGNORE) && !dialect.ignores {
            section.refuse(IGNORE, Problem::UnknownKey(&["id", "action"]));
        }
        let rule = rule::subnet(&section, loader, "id", "virtualNetworkRules", None);
        rules.extend(rule.map(|mut rule| {
            rule.ignore_missing_endpoint = ignores;
            rule
        }));
    }
    for section in ip_rules {
        rule::only_allow(&section);
        rules.extend(rule::address(&section, "value", "ipRules", dialect.longest));
    }
    let otherwise = default_action.unwrap_or(Access::Allow);
    ResourceRules {
        otherwise,
        default_action: Some(otherwise),
        bypass: bypass(&acls, dialect.bypass).or_else(|| {
            let has_bypass = !dialect.bypass.is_empty();
            has_bypass.then(|| "AzureServices".to_owned())
        }),
        rules,
    }
}

/// Reads the list of the platform's own services that pass.
fn bypass(acls: &Section<'_>, known: &'static [&'static str]) -> Option<String> {
    const LIST: &str = "\"None\", or some of the platform's services with commas between, such as \
                        \"Logging, AzureServices\"";
    let text = acls.text("bypass", LIST)?;
    let mut names = Vec::new();
    for part in text.split(',').map(str::trim) {
        match known.iter().find(|known| known.eq_ignore_ascii_case(part)) {
            Some(name) => names.push(*name),
            None => acls.refuse("bypass", Problem::Malformed(LIST)),
        }
    }
    Some(names.join(", "))
}
