//! Cosmos DB accounts: lists at the account itself, and a switch for the one of subnets.

use super::rule;
use crate::config::loader::Loader;
use crate::config::section::Section;
use crate::model::ResourceRules;
use postern_dataplane::policy::Access;

const FILTER: &str = "isVirtualNetworkFilterEnabled";
const VNET_KEYS: &[&str] = &["id", IGNORE];
const IP_KEYS: &[&str] = &["ipAddressOrRange"];
const IGNORE: &str = "ignoreMissingVNetServiceEndpoint";
const MOST_VNET_RULES: usize = 64;

/// Reads the rules. Rules for subnets count only with the filter on; an account without the filter
/// and without address rules is open.
pub(super) fn rules(section: &Section<'_>, loader: &Loader<'_>) -> ResourceRules {
    let filters = section.flag(FILTER, false);
    let vnet_rules = section.sections("virtualNetworkRules", VNET_KEYS);
    section.limit("virtualNetworkRules", vnet_rules.len(), MOST_VNET_RULES);
    let mut rules = Vec::new();
    for section in vnet_rules {
        let ignores = section.flag(IGNORE, false);
        let rule = rule::subnet(&section, loader, "id", "virtualNetworkRules", None);
        rules.extend(rule.filter(|_| filters).map(|mut rule| {
            rule.ignore_missing_endpoint = ignores;
            rule
        }));
    }
    let ip_rules = section.sections("ipRules", IP_KEYS);
    let is_open = !filters && ip_rules.is_empty();
    for section in ip_rules {
        rules.extend(rule::address(&section, "ipAddressOrRange", "ipRules", 32));
    }
    ResourceRules {
        otherwise: if is_open { Access::Allow } else { Access::Deny },
        rules,
        ..ResourceRules::default()
    }
}
