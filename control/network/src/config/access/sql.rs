//! Database servers: two lists of named rules, and nobody is let in but by one of them.

use super::rule;
use crate::config::loader::{Claims, Loader, name};
use crate::config::problem::Problem;
use crate::config::section::Section;
use crate::model::{NOT_PUBLIC, ResourceRule, ResourceRules, RuleCallers};
use postern_dataplane::policy::Access;
use std::net::Ipv4Addr;

const VNET_KEYS: &[&str] = &["name", "virtualNetworkSubnetId", "state", IGNORE];
const IP_KEYS: &[&str] = &["name", "startIpAddress", "endIpAddress"];
const IGNORE: &str = "ignoreMissingVnetServiceEndpoint";
const AN_ADDRESS: &str = "an IPv4 address such as \"20.0.0.9\"";
const MOST_VNET_RULES: usize = 128;
const MOST_IP_RULES: usize = 256;

/// Reads the rules; a server that has neither list is open, because nothing is said of it.
pub(super) fn rules(section: &Section<'_>, loader: &Loader<'_>) -> ResourceRules {
    if !section.has("virtualNetworkRules") && !section.has("firewallRules") {
        return ResourceRules::default();
    }
    let vnet_rules = section.sections("virtualNetworkRules", VNET_KEYS);
    section.limit("virtualNetworkRules", vnet_rules.len(), MOST_VNET_RULES);
    let ip_rules = section.sections("firewallRules", IP_KEYS);
    section.limit("firewallRules", ip_rules.len(), MOST_IP_RULES);
    let mut rules = Vec::new();
    let mut names = Claims::default();
    for section in vnet_rules {
        let name = name(&section, &mut names);
        let ignores = section.flag(IGNORE, false);
        let (key, list) = ("virtualNetworkSubnetId", "virtualNetworkRules");
        let rule = rule::subnet(&section, loader, key, list, name.as_deref());
        rules.extend(rule.map(|mut rule| {
            rule.ignore_missing_endpoint = ignores;
            rule
        }));
    }
    let mut names = Claims::default();
    for section in ip_rules {
        let name = name(&section, &mut names);
        rules.extend(name.and_then(|name| firewall_rule(&section, &name)));
    }
    ResourceRules {
        otherwise: Access::Deny,
        rules,
        ..ResourceRules::default()
    }
}

/// Reads a range of addresses; 0.0.0.0 to 0.0.0.0 means every source in Azure.
fn firewall_rule(section: &Section<'_>, name: &str) -> Option<ResourceRule> {
    let first: Ipv4Addr = section.parse_required("startIpAddress", AN_ADDRESS)?;
    let last: Ipv4Addr = section.parse_required("endIpAddress", AN_ADDRESS)?;
    let who = if first.is_unspecified() && last.is_unspecified() {
        RuleCallers::AnyAzure
    } else {
        if last < first {
            section.refuse("endIpAddress", Problem::ReversedAddresses(last, first));
        }
        let mut blocks = NOT_PUBLIC.iter();
        let inside = blocks.find(|block| block.contains(&first) && block.contains(&last));
        if let Some(block) = inside {
            section.refuse("startIpAddress", Problem::NotPublic(*block));
        }
        RuleCallers::Addresses(vec![(first, last)])
    };
    Some(ResourceRule {
        name: format!("firewallRules/{name}"),
        key: section.key("startIpAddress"),
        who,
        access: Access::Allow,
        priority: None,
        ignore_missing_endpoint: false,
    })
}
