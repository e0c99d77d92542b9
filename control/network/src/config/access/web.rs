//! `ipSecurityRestrictions` of App Service: rules in order of priority, which may deny.

use super::acls::{ACTIONS, AN_ACTION};
use super::rule;
use crate::config::loader::{Claims, Loader, name};
use crate::config::problem::Problem;
use crate::config::section::Section;
use crate::model::{ResourceRule, ResourceRules, RuleCallers};
use postern_dataplane::policy::Access;

const KEYS: &[&str] = &[
    "name",
    "priority",
    "action",
    "vnetSubnetResourceId",
    "ipAddress",
    "tag",
];
const LIST: &str = "ipSecurityRestrictions";
const A_RANGE: &str = "a prefix, \"Any\", or a service tag with tag = \"ServiceTag\"";
const MOST_RULES: usize = 512;
/// The priority of a rule that has none.
const LAST: u32 = 2_147_483_647;

/// Reads the rules. Whoever none of them matches is denied once there is one.
pub(super) fn rules(section: &Section<'_>, loader: &Loader<'_>) -> ResourceRules {
    let sections = section.sections(LIST, KEYS);
    section.limit(LIST, sections.len(), MOST_RULES);
    let is_open = sections.is_empty();
    let mut names = Claims::default();
    let read = |section: &Section<'_>| {
        let name = name(section, &mut names);
        let priority = section.number("priority", 1, LAST).unwrap_or(LAST);
        let action = section.choice("action", &ACTIONS, AN_ACTION);
        let mut rule = restriction(section, loader, name.as_deref())?;
        rule.access = action.unwrap_or(Access::Allow);
        rule.priority = Some(priority);
        Some((priority, rule))
    };
    let mut rules: Vec<_> = sections.iter().filter_map(read).collect();
    rules.sort_by_key(|(priority, _)| *priority);
    ResourceRules {
        otherwise: if is_open { Access::Allow } else { Access::Deny },
        rules: rules.into_iter().map(|(_, rule)| rule).collect(),
        ..ResourceRules::default()
    }
}

fn restriction(
    section: &Section<'_>,
    loader: &Loader<'_>,
    name: Option<&str>,
) -> Option<ResourceRule> {
    const BOTH: &str = "vnetSubnetResourceId";
    if section.has(BOTH) {
        if section.has("ipAddress") {
            section.refuse("ipAddress", Problem::BothForms(BOTH));
        }
        return rule::subnet(section, loader, BOTH, LIST, name).map(|mut rule| {
            // The portal switches the endpoint on by itself; the API makes the rule all the same.
            rule.ignore_missing_endpoint = true;
            rule
        });
    }
    section.require("ipAddress", A_RANGE);
    let text = section.text("ipAddress", A_RANGE)?;
    let is_tag = section.choice(
        "tag",
        &[("Default", false), ("ServiceTag", true)],
        "\"ServiceTag\"",
    );
    let who = if is_tag == Some(true) {
        let Some(tag) = loader.catalog.tag(text) else {
            section.refuse("ipAddress", Problem::Malformed("the name of a service tag"));
            return None;
        };
        RuleCallers::Tag(tag.name.clone())
    } else if text.eq_ignore_ascii_case("Any") {
        RuleCallers::Anyone
    } else {
        let prefix = rule::prefix(section, "ipAddress", text, 32)?;
        RuleCallers::Addresses(vec![(prefix.network(), prefix.broadcast())])
    };
    Some(ResourceRule {
        name: format!("{LIST}/{}", name.unwrap_or_default()),
        key: section.key("ipAddress"),
        who,
        access: Access::Allow,
        priority: None,
        ignore_missing_endpoint: false,
    })
}
