//! `networkRuleSets` of Event Hubs and Service Bus namespaces.

use super::acls::{ACTIONS, AN_ACTION};
use super::rule;
use crate::config::loader::Loader;
use crate::config::section::Section;
use crate::model::ResourceRules;
use postern_dataplane::policy::Access;

const KEYS: &[&str] = &[
    "defaultAction",
    "virtualNetworkRules",
    "ipRules",
    "trustedServiceAccessEnabled",
];
const VNET_KEYS: &[&str] = &["subnet", IGNORE];
const SUBNET_KEYS: &[&str] = &["id"];
const IP_KEYS: &[&str] = &["ipMask", "action"];
const IGNORE: &str = "ignoreMissingVnetServiceEndpoint";
const MOST_RULES: usize = 128;

/// Reads the rules. Deny is not enforced while both lists are empty.
pub(super) fn rules(section: &Section<'_>, loader: &Loader<'_>) -> ResourceRules {
    let Some(set) = section.section("networkRuleSets", KEYS) else {
        return ResourceRules::default();
    };
    let default_action = set.choice("defaultAction", &ACTIONS, AN_ACTION);
    let trusts = set.flag("trustedServiceAccessEnabled", false);
    let vnet_rules = set.sections("virtualNetworkRules", VNET_KEYS);
    set.limit("virtualNetworkRules", vnet_rules.len(), MOST_RULES);
    let ip_rules = set.sections("ipRules", IP_KEYS);
    set.limit("ipRules", ip_rules.len(), MOST_RULES);
    let is_empty = vnet_rules.is_empty() && ip_rules.is_empty();
    let mut rules = Vec::new();
    for section in vnet_rules {
        let ignores = section.flag(IGNORE, false);
        section.require("subnet", "a table with the id of a subnet");
        let subnet = section.section("subnet", SUBNET_KEYS);
        let rule =
            subnet.and_then(|at| rule::subnet(&at, loader, "id", "virtualNetworkRules", None));
        rules.extend(rule.map(|mut rule| {
            rule.ignore_missing_endpoint = ignores;
            rule
        }));
    }
    for section in ip_rules {
        rule::only_allow(&section);
        rules.extend(rule::address(&section, "ipMask", "ipRules", 32));
    }
    let default_action = default_action.unwrap_or(Access::Allow);
    ResourceRules {
        otherwise: if is_empty {
            Access::Allow
        } else {
            default_action
        },
        default_action: Some(default_action),
        bypass: trusts.then(|| "AzureServices".to_owned()),
        rules,
    }
}
