//! Network security groups and their rules.

use super::filing::RESOURCE_NAME;
use super::loader::{Claims, name};
use super::names::Names;
use super::problem::Problem;
use super::section::{Accepted, At, Section};
use crate::catalog::Catalog;
use crate::model::{
    NetworkSecurityGroup, Peer, Ports, RuleProtocol, RuleTag, SecurityRule, direction_name,
};
use ipnet::Ipv4Net;
use postern_dataplane::policy::{Access, Direction};
use std::net::Ipv4Addr;
use std::ops::RangeInclusive;

pub(super) const NSG_KEYS: &[&str] = &[
    "name",
    "location",
    "subscription",
    "resourceGroup",
    RESOURCE_NAME,
    "securityRule",
];

const RULE_KEYS: &[&str] = &[
    "name",
    "priority",
    "direction",
    "access",
    "protocol",
    "sourceAddressPrefix",
    "sourceAddressPrefixes",
    "sourceApplicationSecurityGroups",
    "sourcePortRange",
    "sourcePortRanges",
    "destinationAddressPrefix",
    "destinationAddressPrefixes",
    "destinationApplicationSecurityGroups",
    "destinationPortRange",
    "destinationPortRanges",
];

const DIRECTIONS: [(&str, Direction); 2] = [
    ("Inbound", Direction::Inbound),
    ("Outbound", Direction::Outbound),
];
const ACCESSES: [(&str, Access); 2] = [("Allow", Access::Allow), ("Deny", Access::Deny)];

const A_DIRECTION: &str = "\"Inbound\" or \"Outbound\"";
const AN_ACCESS: &str = "\"Allow\" or \"Deny\"";
const A_PROTOCOL: &str = "\"Tcp\", \"Udp\", \"Icmp\", \"Esp\", \"Ah\" or \"*\"";
const A_PRIORITY: &str = "a number from 100 to 4096";
const A_PEER: &str = "\"*\", an IPv4 prefix or address, or a service tag";
const A_PORT: &str = "\"*\", a port from 0 to 65535, or a range such as \"8000-8080\"";

const PRIORITIES: RangeInclusive<u32> = 100..=4096;
/// The most groups of a region and subscription (reference section 4.6).
pub(super) const MOST_NSGS: usize = 5000;
const MOST_RULES: usize = 1000;
/// The most addresses and port ranges of a group, for sources and for destinations.
const MOST_VALUES: usize = 4000;

/// What rules refer to: service tags, and the names of application security groups.
type Known<'k> = (&'k Catalog, &'k Names);

/// Reads a group.
pub(super) fn nsg(
    section: &Section<'_>,
    names: &mut Claims<String>,
    known: Known<'_>,
) -> Option<NetworkSecurityGroup> {
    let name = name(section, names);
    let sections = section.sections("securityRule", RULE_KEYS);
    if sections.len() > MOST_RULES {
        section.refuse("securityRule", Problem::TooMany(sections.len(), MOST_RULES));
    }
    let (mut names, mut priorities) = (Claims::default(), Claims::default());
    let read = sections.iter().filter_map(|section| {
        let rule = rule(section, &mut names, known)?;
        let place = (direction_name(rule.direction), rule.priority);
        if let Err(rule) = priorities.claim(place, &section.key("name")) {
            let direction = place.0;
            section.refuse("priority", Problem::DuplicatePriority { rule, direction });
        }
        Some(rule)
    });
    let rules: Vec<_> = read.collect();
    let sources = rules
        .iter()
        .map(|rule| values(&rule.source, &rule.source_ports))
        .sum();
    let targets = rules
        .iter()
        .map(|rule| values(&rule.destination, &rule.destination_ports))
        .sum();
    for count in [sources, targets]
        .into_iter()
        .filter(|count| *count > MOST_VALUES)
    {
        section.refuse("securityRule", Problem::TooMany(count, MOST_VALUES));
    }
    Some(NetworkSecurityGroup { name: name?, rules })
}

fn values(peer: &Peer, ports: &Ports) -> usize {
    let peers = match peer {
        Peer::Any | Peer::Tag(_) => 1,
        Peer::Prefixes(prefixes) => prefixes.len(),
        // They have a limit of their own.
        Peer::Groups(_) => 0,
    };
    match ports {
        Ports::Any => peers.saturating_add(1),
        Ports::Ranges(ranges) => peers.saturating_add(ranges.len()),
    }
}

fn rule(
    section: &Section<'_>,
    names: &mut Claims<String>,
    known: Known<'_>,
) -> Option<SecurityRule> {
    let name = name(section, names);
    section.require("priority", A_PRIORITY);
    section.require("direction", A_DIRECTION);
    section.require("access", AN_ACCESS);
    section.require("protocol", A_PROTOCOL);
    let priority = section.number("priority", *PRIORITIES.start(), *PRIORITIES.end());
    let direction = section.choice("direction", &DIRECTIONS, A_DIRECTION);
    let access = section.choice("access", &ACCESSES, AN_ACCESS);
    let protocol = section.choice("protocol", &RuleProtocol::ALL, A_PROTOCOL);
    let source = peer(section, &SOURCE, known);
    let destination = peer(section, &DESTINATION, known);
    for side in [(&source, &SOURCE), (&destination, &DESTINATION)] {
        check_platform(section, side, direction);
    }
    let source_ports = ports(section, "sourcePortRange", "sourcePortRanges");
    let (one, many) = ("destinationPortRange", "destinationPortRanges");
    // Whoever forgets the destination port does not mean every port.
    if protocol.is_some_and(|protocol| !protocol.is_portless()) && !section.has(many) {
        section.require(one, A_PORT);
    }
    let destination_ports = ports(section, one, many);
    Some(SecurityRule {
        name: name?,
        priority: u16::try_from(priority?).ok()?,
        direction: direction?,
        access: access?,
        protocol: protocol?,
        source: source?,
        source_ports: source_ports?,
        destination: destination?,
        destination_ports: destination_ports?,
    })
}

/// Returns the texts of a key pair, of which the singular holds one value and the plural a list.
fn either<'f>(
    section: &Section<'f>,
    one: &'static str,
    many: &'static str,
    accepted: Accepted,
) -> Option<Vec<At<&'f str>>> {
    if section.has(one) && section.has(many) {
        section.refuse(many, Problem::BothForms(one));
        return None;
    }
    if !section.has(many) {
        let value = section.text(one, accepted)?;
        return Some(vec![At {
            key: section.key(one),
            value,
        }]);
    }
    let texts = section.texts(many, accepted);
    if texts.is_empty() {
        section.refuse(many, Problem::Malformed(accepted));
        return None;
    }
    Some(texts)
}

/// The keys of one side of a rule.
struct SideKeys {
    one: &'static str,
    many: &'static str,
    groups: &'static str,
}

const SOURCE: SideKeys = SideKeys {
    one: "sourceAddressPrefix",
    many: "sourceAddressPrefixes",
    groups: "sourceApplicationSecurityGroups",
};
const DESTINATION: SideKeys = SideKeys {
    one: "destinationAddressPrefix",
    many: "destinationAddressPrefixes",
    groups: "destinationApplicationSecurityGroups",
};

/// Refuses a platform tag anywhere but as the destination of an outbound rule.
fn check_platform(
    section: &Section<'_>,
    (peer, keys): (&Option<Peer>, &SideKeys),
    direction: Option<Direction>,
) {
    let Some(Peer::Tag(tag)) = peer else { return };
    let is_right = keys.one == DESTINATION.one && direction != Some(Direction::Inbound);
    if tag.platform_addresses().is_some() && !is_right {
        let key = if section.has(keys.one) {
            keys.one
        } else {
            keys.many
        };
        section.refuse(key, Problem::PlatformTag);
    }
}

fn peer(section: &Section<'_>, keys: &SideKeys, (catalog, asgs): Known<'_>) -> Option<Peer> {
    let &SideKeys { one, many, groups } = keys;
    if section.has(groups) {
        if let Some(other) = [one, many].into_iter().find(|key| section.has(key)) {
            section.refuse(groups, Problem::BothForms(other));
            return None;
        }
        return super::groups::peer(section, groups, asgs);
    }
    if !section.has(many) {
        section.require(one, A_PEER);
    }
    let texts = either(section, one, many, A_PEER)?;
    let alone = texts.len() == 1;
    let mut prefixes = Vec::with_capacity(texts.len());
    let mut is_right = true;
    for At { key, value } in texts {
        let problem = match read_peer(value, catalog) {
            Ok(Peer::Prefixes(prefix)) => {
                prefixes.extend(prefix);
                continue;
            }
            Ok(Peer::Any | Peer::Tag(_)) if !alone => Problem::MixedPeers,
            Ok(peer @ (Peer::Any | Peer::Tag(_) | Peer::Groups(_))) => return Some(peer),
            Err(problem) => problem,
        };
        section
            .errors()
            .add(key, Some(format!("{value:?}")), problem);
        is_right = false;
    }
    is_right.then_some(Peer::Prefixes(prefixes))
}

fn read_peer(text: &str, catalog: &Catalog) -> Result<Peer, Problem> {
    if text == "*" {
        return Ok(Peer::Any);
    }
    if let Ok(address) = text.parse::<Ipv4Addr>() {
        return Ok(Peer::Prefixes(vec![Ipv4Net::from(address)]));
    }
    if let Ok(prefix) = text.parse::<Ipv4Net>() {
        let is_whole = prefix == prefix.trunc();
        let whole = || Peer::Prefixes(vec![prefix]);
        return is_whole
            .then(whole)
            .ok_or(Problem::HostBits(prefix.trunc()));
    }
    let built_in = RuleTag::BUILT_IN
        .into_iter()
        .find(|(name, _)| name.eq_ignore_ascii_case(text));
    if let Some((_, tag)) = built_in {
        return Ok(Peer::Tag(tag));
    }
    match catalog.tag(text) {
        Some(tag) => Ok(Peer::Tag(RuleTag::Service(tag.name.clone()))),
        None => Err(Problem::UnknownTag {
            catalog: catalog.source().to_owned(),
            similar: similar(text, catalog),
        }),
    }
}

/// Returns some tags whose names begin as `text` does, else the global ones.
pub(super) fn similar(text: &str, catalog: &Catalog) -> String {
    const SHOWN: usize = 12;
    let base = text.split('.').next().unwrap_or_default();
    let children: Vec<_> = catalog
        .tags()
        .iter()
        .filter(|tag| {
            tag.name
                .split('.')
                .next()
                .is_some_and(|it| it.eq_ignore_ascii_case(base))
        })
        .collect();
    let globals = || {
        catalog
            .tags()
            .iter()
            .filter(|tag| tag.location.is_none())
            .collect()
    };
    let tags: Vec<_> = if children.is_empty() {
        globals()
    } else {
        children
    };
    tags.iter()
        .take(SHOWN)
        .map(|tag| tag.name.as_str())
        .collect::<Vec<_>>()
        .join(", ")
}

/// Reads ports; every port where neither key is there.
fn ports(section: &Section<'_>, one: &'static str, many: &'static str) -> Option<Ports> {
    if !section.has(one) && !section.has(many) {
        return Some(Ports::Any);
    }
    let texts = either(section, one, many, A_PORT)?;
    let alone = texts.len() == 1;
    let mut ranges = Vec::with_capacity(texts.len());
    let mut is_right = true;
    for At { key, value } in texts {
        let problem = match (value, read_range(value)) {
            ("*", _) if alone => return Some(Ports::Any),
            ("*", _) => Problem::MixedPorts,
            (_, Ok(range)) => {
                ranges.push(range);
                continue;
            }
            (_, Err(problem)) => problem,
        };
        section
            .errors()
            .add(key, Some(format!("{value:?}")), problem);
        is_right = false;
    }
    is_right.then_some(Ports::Ranges(ranges))
}

fn read_range(text: &str) -> Result<RangeInclusive<u16>, Problem> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    match (first.trim().parse::<u16>(), last.trim().parse::<u16>()) {
        (Ok(first), Ok(last)) if first <= last => Ok(first..=last),
        (Ok(first), Ok(last)) => Err(Problem::ReversedRange(last, first)),
        _ => Err(Problem::Malformed(A_PORT)),
    }
}
