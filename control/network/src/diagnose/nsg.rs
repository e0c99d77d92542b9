//! Network security groups as they are shown: in ARM's words, and expanded as they act on a NIC.

use super::expand;
use crate::catalog::Catalog;
use crate::model::{
    Learned, Model, NetworkInterface, NetworkSecurityGroup, Peer, Ports, RuleProtocol,
    SecurityRule, Subnet, VirtualNetwork, access_name, default_rules, direction_name,
};
use ipnet::Ipv4Net;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// A network security group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NsgView {
    /// Its name.
    pub name: String,
    /// Its own rules.
    pub security_rules: Vec<RuleView>,
    /// The rules that every group has.
    pub default_security_rules: Vec<RuleView>,
    /// The subnets that it is associated with, as `VNET/SUBNET`.
    pub subnets: Vec<String>,
    /// The NICs that it is associated with.
    pub network_interfaces: Vec<String>,
}

/// A security rule. Of each singular and plural pair one is there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RuleView {
    /// Its name.
    pub name: String,
    /// Lower is evaluated first.
    pub priority: u16,
    /// `Inbound` or `Outbound`.
    pub direction: String,
    /// `Allow` or `Deny`.
    pub access: String,
    /// `Tcp`, `Udp`, `Icmp`, `Esp`, `Ah` or `*`.
    pub protocol: String,
    /// The source, if it is one prefix, a tag or `*`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_address_prefix: Option<String>,
    /// The sources, if they are several.
    #[serde(default)]
    pub source_address_prefixes: Vec<String>,
    /// The application security groups that the packets come from.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub source_application_security_groups: Vec<Id>,
    /// The source ports, if they are one range or `*`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_port_range: Option<String>,
    /// The source ports, if they are several ranges.
    #[serde(default)]
    pub source_port_ranges: Vec<String>,
    /// The destination, if it is one prefix, a tag or `*`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub destination_address_prefix: Option<String>,
    /// The destinations, if they are several.
    #[serde(default)]
    pub destination_address_prefixes: Vec<String>,
    /// The application security groups that the packets go to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub destination_application_security_groups: Vec<Id>,
    /// The destination ports, if they are one range or `*`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub destination_port_range: Option<String>,
    /// The destination ports, if they are several ranges.
    #[serde(default)]
    pub destination_port_ranges: Vec<String>,
}

/// The groups that act on a NIC, in the shape of Azure's effective security groups.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EffectiveNsgs {
    /// One element a group: the subnet's, then the NIC's.
    pub value: Vec<EffectiveNsg>,
    /// Always null: the answer is whole.
    pub next_link: Option<String>,
}

/// A group that acts on a NIC.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EffectiveNsg {
    /// The group.
    pub network_security_group: Id,
    /// What it is associated with.
    pub association: Association,
    /// Its rules, the default ones included.
    pub effective_security_rules: Vec<EffectiveRule>,
    /// Always empty, as Azure has it.
    pub tag_map: Map<String, Value>,
}

/// A reference to a resource.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Id {
    /// Its name; `VNET/SUBNET` for a subnet.
    pub id: String,
}

/// What a group is associated with: one of the two is there.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Association {
    /// The subnet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subnet: Option<Id>,
    /// The NIC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network_interface: Option<Id>,
}

/// A rule as it acts: ports as ranges, tags with what they stand for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EffectiveRule {
    /// `securityRules/NAME` or `defaultSecurityRules/NAME`.
    pub name: String,
    /// `Tcp`, `Udp`, `All`, or the protocol as the rule has it.
    pub protocol: String,
    /// The source ports, if they are one range.
    pub source_port_range: Option<String>,
    /// The source ports.
    pub source_port_ranges: Vec<String>,
    /// The destination ports, if they are one range.
    pub destination_port_range: Option<String>,
    /// The destination ports.
    pub destination_port_ranges: Vec<String>,
    /// The source, if it is one prefix or a tag.
    pub source_address_prefix: Option<String>,
    /// The sources.
    pub source_address_prefixes: Vec<String>,
    /// The destination, if it is one prefix or a tag.
    pub destination_address_prefix: Option<String>,
    /// The destinations.
    pub destination_address_prefixes: Vec<String>,
    /// What the tag of the source stands for.
    pub expanded_source_address_prefix: Vec<String>,
    /// What the tag of the destination stands for.
    pub expanded_destination_address_prefix: Vec<String>,
    /// `Allow` or `Deny`.
    pub access: String,
    /// Lower is evaluated first.
    pub priority: u16,
    /// `Inbound` or `Outbound`.
    pub direction: String,
}

/// Returns every group of the model.
pub fn views(model: &Model) -> Vec<NsgView> {
    model.nsgs.iter().map(|nsg| view(model, nsg)).collect()
}

fn view(model: &Model, nsg: &NetworkSecurityGroup) -> NsgView {
    let is_this = |name: &Option<String>| {
        name.as_ref()
            .is_some_and(|name| name.eq_ignore_ascii_case(&nsg.name))
    };
    let subnets = model.vnets.iter().flat_map(|vnet| {
        let here = vnet.subnets.iter().filter(|subnet| is_this(&subnet.nsg));
        here.map(move |subnet| format!("{}/{}", vnet.name, subnet.name))
    });
    let nics = model.nics.iter().filter(|nic| is_this(&nic.nsg));
    NsgView {
        name: nsg.name.clone(),
        security_rules: nsg.rules.iter().map(rule_view).collect(),
        default_security_rules: default_rules().iter().map(rule_view).collect(),
        subnets: subnets.collect(),
        network_interfaces: nics.map(|nic| nic.name.clone()).collect(),
    }
}

fn rule_view(rule: &SecurityRule) -> RuleView {
    let (source_address_prefix, source_address_prefixes) = one_or_many(peer_values(&rule.source));
    let (source_port_range, source_port_ranges) = one_or_many(port_values(&rule.source_ports));
    let (destination_address_prefix, destination_address_prefixes) =
        one_or_many(peer_values(&rule.destination));
    let (destination_port_range, destination_port_ranges) =
        one_or_many(port_values(&rule.destination_ports));
    RuleView {
        name: rule.name.clone(),
        priority: rule.priority,
        direction: direction_name(rule.direction).to_owned(),
        access: access_name(rule.access).to_owned(),
        protocol: rule.protocol.to_string(),
        source_address_prefix,
        source_address_prefixes,
        source_application_security_groups: group_ids(&rule.source),
        source_port_range,
        source_port_ranges,
        destination_address_prefix,
        destination_address_prefixes,
        destination_application_security_groups: group_ids(&rule.destination),
        destination_port_range,
        destination_port_ranges,
    }
}

fn group_ids(peer: &Peer) -> Vec<Id> {
    let names: &[String] = match peer {
        Peer::Groups(names) => names,
        _ => &[],
    };
    names.iter().map(|name| Id { id: name.clone() }).collect()
}

/// Returns a single value apart from several, as ARM has them.
fn one_or_many(values: Vec<String>) -> (Option<String>, Vec<String>) {
    match <[String; 1]>::try_from(values) {
        Ok([value]) => (Some(value), Vec::new()),
        Err(values) => (None, values),
    }
}

fn peer_values(peer: &Peer) -> Vec<String> {
    match peer {
        Peer::Any | Peer::Tag(_) => vec![peer.to_string()],
        Peer::Prefixes(prefixes) => texts(prefixes),
        Peer::Groups(_) => Vec::new(),
    }
}

fn port_values(ports: &Ports) -> Vec<String> {
    match ports {
        Ports::Any => vec![ports.to_string()],
        Ports::Ranges(ranges) => {
            let single = |range: &std::ops::RangeInclusive<u16>| Ports::Ranges(vec![range.clone()]);
            ranges
                .iter()
                .map(|range| single(range).to_string())
                .collect()
        }
    }
}

/// What the rules of a NIC's groups are expanded by.
struct Place<'m> {
    model: &'m Model,
    learned: &'m Learned,
    vnet: &'m VirtualNetwork,
    subnet: &'m Subnet,
    catalog: &'m Catalog,
}

impl Place<'_> {
    fn expand(&self, peer: &Peer) -> Vec<String> {
        let place = (self.vnet, self.subnet);
        texts(&expand(
            peer,
            (self.model, self.learned),
            place,
            self.catalog,
        ))
    }
}

/// Returns the groups that act on a NIC: the subnet's, then the NIC's own.
pub fn effective(
    model: &Model,
    learned: &Learned,
    catalog: &Catalog,
    nic: &NetworkInterface,
) -> EffectiveNsgs {
    let mut value = Vec::new();
    if let Some((vnet, subnet)) = model.subnet_of(nic) {
        let place = Place {
            model,
            learned,
            vnet,
            subnet,
            catalog,
        };
        let of = |nsg, association| effective_nsg(nsg, association, &place);
        let on_subnet = || Association {
            subnet: Some(Id {
                id: format!("{}/{}", vnet.name, subnet.name),
            }),
            ..Association::default()
        };
        let on_nic = || Association {
            network_interface: Some(Id {
                id: nic.name.clone(),
            }),
            ..Association::default()
        };
        let nsg = |name: &Option<String>| name.as_deref().and_then(|name| model.nsg(name));
        value.extend(nsg(&subnet.nsg).map(|nsg| of(nsg, on_subnet())));
        value.extend(nsg(&nic.nsg).map(|nsg| of(nsg, on_nic())));
    }
    EffectiveNsgs {
        value,
        next_link: None,
    }
}

fn effective_nsg(
    nsg: &NetworkSecurityGroup,
    association: Association,
    place: &Place<'_>,
) -> EffectiveNsg {
    let own = nsg.rules.iter();
    let mut rules: Vec<_> = own
        .map(|rule| effective_rule("securityRules", rule, place))
        .collect();
    let defaults = default_rules();
    let kind = "defaultSecurityRules";
    rules.extend(
        defaults
            .iter()
            .map(|rule| effective_rule(kind, rule, place)),
    );
    EffectiveNsg {
        network_security_group: Id {
            id: nsg.name.clone(),
        },
        association,
        effective_security_rules: rules,
        tag_map: Map::new(),
    }
}

fn effective_rule(kind: &str, rule: &SecurityRule, place: &Place<'_>) -> EffectiveRule {
    let sources = effective_peer(&rule.source, place);
    let destinations = effective_peer(&rule.destination, place);
    let (source_ports, destination_ports) = (
        effective_ports(&rule.source_ports),
        effective_ports(&rule.destination_ports),
    );
    let expanded = |peer: &Peer| match peer {
        Peer::Tag(_) => place.expand(peer),
        Peer::Any | Peer::Prefixes(_) | Peer::Groups(_) => Vec::new(),
    };
    EffectiveRule {
        name: format!("{kind}/{}", rule.name),
        protocol: match rule.protocol {
            RuleProtocol::Any => "All".to_owned(),
            protocol => protocol.to_string(),
        },
        source_port_range: only(&source_ports),
        source_port_ranges: source_ports,
        destination_port_range: only(&destination_ports),
        destination_port_ranges: destination_ports,
        source_address_prefix: only(&sources),
        source_address_prefixes: sources,
        destination_address_prefix: only(&destinations),
        destination_address_prefixes: destinations,
        expanded_source_address_prefix: expanded(&rule.source),
        expanded_destination_address_prefix: expanded(&rule.destination),
        access: access_name(rule.access).to_owned(),
        priority: rule.priority,
        direction: direction_name(rule.direction).to_owned(),
    }
}

fn only(values: &[String]) -> Option<String> {
    match values {
        [value] => Some(value.clone()),
        _ => None,
    }
}

fn texts(prefixes: &[Ipv4Net]) -> Vec<String> {
    prefixes.iter().map(ToString::to_string).collect()
}

/// Returns the prefixes or the tag, with `*` as Azure prints it here, and members for their groups.
fn effective_peer(peer: &Peer, place: &Place<'_>) -> Vec<String> {
    match peer {
        Peer::Any => vec!["0.0.0.0/0".to_owned()],
        Peer::Groups(_) => place.expand(peer),
        Peer::Tag(_) | Peer::Prefixes(_) => peer_values(peer),
    }
}

/// Returns the ranges with both ends, as Azure prints them here.
fn effective_ports(ports: &Ports) -> Vec<String> {
    match ports {
        Ports::Any => vec!["0-65535".to_owned()],
        Ports::Ranges(ranges) => ranges
            .iter()
            .map(|range| format!("{}-{}", range.start(), range.end()))
            .collect(),
    }
}
