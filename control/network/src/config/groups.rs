//! Application security groups: who is a member, and what rules may say of them.

use super::filing::RESOURCE_NAME;
use super::loader::{Claims, Loader, name};
use super::names::Names;
use super::problem::Problem;
use super::section::{At, Errors, Section};
use crate::model::{ApplicationSecurityGroup, Model, Peer, SecurityRule};
use std::collections::HashMap;

pub(super) const GROUP_KEYS: &[&str] = &[
    "name",
    "location",
    "subscription",
    "resourceGroup",
    RESOURCE_NAME,
];

/// The key of a NIC's memberships.
pub(super) const MEMBERSHIPS: &str = "applicationSecurityGroups";

const NAMES: &str = "a list of names of application security groups";

/// The most groups (reference section 4.6).
pub(super) const MOST_GROUPS: usize = 3000;
/// The most groups of a NIC.
const MOST_MEMBERSHIPS: usize = 20;
/// The most groups on one side of a rule.
const MOST_ON_A_SIDE: usize = 10;
/// The most groups that the rules of one network security group name.
const MOST_IN_AN_NSG: usize = 100;
/// The most NICs of a group.
const MOST_MEMBERS: usize = 4000;

impl Loader<'_> {
    /// Reads an application security group.
    pub(super) fn asg(
        &mut self,
        section: &Section<'_>,
        names: &mut Claims<String>,
    ) -> Option<ApplicationSecurityGroup> {
        let name = name(section, names);
        let kind = "Microsoft.Network/applicationSecurityGroups";
        self.filed_anywhere(section, kind, name.as_deref());
        Some(ApplicationSecurityGroup { name: name? })
    }

    /// Reads the groups that a NIC is a member of.
    pub(super) fn memberships(&self, section: &Section<'_>) -> Vec<String> {
        names(section, MEMBERSHIPS, MOST_MEMBERSHIPS, &self.declared.asgs)
    }
}

/// Reads the groups on one side of a rule.
pub(super) fn peer(section: &Section<'_>, key: &'static str, known: &Names) -> Option<Peer> {
    let groups = names(section, key, MOST_ON_A_SIDE, known);
    (!groups.is_empty()).then_some(Peer::Groups(groups))
}

/// Reads a list of groups, spelled as they are declared, each once.
fn names(section: &Section<'_>, key: &str, most: usize, known: &Names) -> Vec<String> {
    let mut groups: Vec<String> = Vec::new();
    for At { key, value } in section.texts(key, NAMES) {
        match known.find(value) {
            Some(name) if groups.contains(name) => {}
            Some(name) => groups.push(name.clone()),
            None => {
                let kind = "applicationSecurityGroup";
                let known = known.listed(kind);
                let problem = Problem::UnknownReference { kind, known };
                section
                    .errors()
                    .add(key, Some(format!("{value:?}")), problem);
            }
        }
    }
    if groups.len() > most {
        section.refuse(key, Problem::TooMany(groups.len(), most));
    }
    groups
}

/// Checks what only the whole file can tell. `model` was read without an error, so that its
/// resources are where the file has them.
pub(super) fn check(model: &Model, errors: &Errors) {
    let members = check_members(model, errors);
    for (at, nsg) in model.nsgs.iter().enumerate() {
        let mut named: Vec<&str> = Vec::new();
        for (rule_at, rule) in nsg.rules.iter().enumerate() {
            let key = format!("networkSecurityGroup[{at}].securityRule[{rule_at}]");
            check_rule(rule, &key, &members, errors);
            let sides = [&rule.source, &rule.destination]
                .into_iter()
                .flat_map(groups);
            named.extend(sides);
        }
        named.sort_unstable();
        named.dedup();
        if named.len() > MOST_IN_AN_NSG {
            let problem = Problem::TooMany(named.len(), MOST_IN_AN_NSG);
            let key = format!("networkSecurityGroup[{at}].securityRule");
            errors.add(key, Some(format!("{} groups", named.len())), problem);
        }
    }
}

/// The virtual network of each group's members.
type Members<'m> = HashMap<&'m str, &'m str>;

fn check_members<'m>(model: &'m Model, errors: &Errors) -> Members<'m> {
    let mut members: HashMap<&str, (&str, usize)> = HashMap::new();
    for (at, nic) in model.nics.iter().enumerate() {
        for group in &nic.asgs {
            let (vnet, count) = members.entry(group).or_insert((&nic.vnet, 0));
            *count = count.saturating_add(1);
            let problem = if *vnet != nic.vnet {
                let vnet = (*vnet).to_owned();
                Problem::MixedVnets { vnet }
            } else if *count == MOST_MEMBERS.saturating_add(1) {
                Problem::TooMany(*count, MOST_MEMBERS)
            } else {
                continue;
            };
            let key = format!("networkInterface[{at}].{MEMBERSHIPS}");
            errors.add(key, Some(format!("{group:?}")), problem);
        }
    }
    members
        .into_iter()
        .map(|(group, (vnet, _))| (group, vnet))
        .collect()
}

/// Refuses a rule whose groups have members in several virtual networks.
fn check_rule(rule: &SecurityRule, key: &str, members: &Members<'_>, errors: &Errors) {
    let mut first = None;
    for (side, peer) in [("source", &rule.source), ("destination", &rule.destination)] {
        for group in groups(peer) {
            let Some(&vnet) = members.get(group) else {
                continue;
            };
            if *first.get_or_insert(vnet) != vnet {
                let key = format!("{key}.{side}ApplicationSecurityGroups");
                let vnet = first.unwrap_or_default().to_owned();
                let problem = Problem::MixedVnets { vnet };
                errors.add(key, Some(format!("{group:?}")), problem);
            }
        }
    }
}

fn groups(peer: &Peer) -> impl Iterator<Item = &str> {
    let names: &[String] = match peer {
        Peer::Groups(names) => names,
        _ => &[],
    };
    names.iter().map(String::as_str)
}
