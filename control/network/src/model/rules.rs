//! Network security groups and their rules, as ARM words them.

use super::blocks::{PLATFORM_DNS, PLATFORM_IMDS, PLATFORM_LKM};
use ipnet::Ipv4Net;
use postern_dataplane::policy::{Access, Direction};
use std::fmt;
use std::ops::RangeInclusive;

/// A network security group without the default rules, which every group has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NetworkSecurityGroup {
    /// Its name.
    pub name: String,
    /// Its own rules, in the order of the file.
    pub rules: Vec<SecurityRule>,
}

/// An application security group: a name that rules have for its members.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApplicationSecurityGroup {
    /// Its name.
    pub name: String,
}

/// A security rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecurityRule {
    /// Its name, unique in the group.
    pub name: String,
    /// Lower is evaluated first; unique in the group by direction.
    pub priority: u16,
    /// Which way the packets go, seen from the NIC.
    pub direction: Direction,
    /// What a match decides.
    pub access: Access,
    /// The protocol.
    pub protocol: RuleProtocol,
    /// Where the packets come from.
    pub source: Peer,
    /// Their source ports.
    pub source_ports: Ports,
    /// Where the packets go.
    pub destination: Peer,
    /// Their destination ports.
    pub destination_ports: Ports,
}

/// The protocol of a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RuleProtocol {
    /// Every protocol, written `*`.
    Any,
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
    /// ICMP.
    Icmp,
    /// Encapsulating security payload.
    Esp,
    /// Authentication header.
    Ah,
}

impl RuleProtocol {
    /// Every protocol with its spelling.
    pub const ALL: [(&'static str, Self); 6] = [
        ("Tcp", Self::Tcp),
        ("Udp", Self::Udp),
        ("Icmp", Self::Icmp),
        ("Esp", Self::Esp),
        ("Ah", Self::Ah),
        ("*", Self::Any),
    ];

    /// Returns whether packets of the protocol have no ports.
    #[must_use]
    pub fn is_portless(self) -> bool {
        matches!(self, Self::Icmp | Self::Esp | Self::Ah)
    }
}

impl fmt::Display for RuleProtocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let spelling = Self::ALL.iter().find(|(_, protocol)| protocol == self);
        f.write_str(spelling.map_or("*", |(text, _)| text))
    }
}

/// The addresses of one side of a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Peer {
    /// Every address, written `*`.
    Any,
    /// What a tag stands for.
    Tag(RuleTag),
    /// These prefixes.
    Prefixes(Vec<Ipv4Net>),
    /// The NICs that are members of any of these application security groups.
    Groups(Vec<String>),
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("*"),
            Self::Tag(tag) => tag.fmt(f),
            Self::Prefixes(prefixes) => joined(f, prefixes),
            Self::Groups(names) => joined(f, names),
        }
    }
}

/// A service tag in a rule.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum RuleTag {
    /// The ranges of the virtual network that the rule is evaluated in.
    VirtualNetwork,
    /// Public addresses outside of it.
    Internet,
    /// The source of health probes.
    AzureLoadBalancer,
    /// The platform's name server.
    AzurePlatformDns,
    /// The platform's instance metadata service.
    AzurePlatformImds,
    /// The platform's licensing service.
    AzurePlatformLkm,
    /// A tag of the catalogue, by its name there.
    Service(String),
}

impl RuleTag {
    /// The tags that are not in the catalogue, with their spelling.
    pub const BUILT_IN: [(&'static str, Self); 6] = [
        ("VirtualNetwork", Self::VirtualNetwork),
        ("Internet", Self::Internet),
        ("AzureLoadBalancer", Self::AzureLoadBalancer),
        ("AzurePlatformDNS", Self::AzurePlatformDns),
        ("AzurePlatformIMDS", Self::AzurePlatformImds),
        ("AzurePlatformLKM", Self::AzurePlatformLkm),
    ];

    /// Returns the addresses of a platform tag; none for other tags.
    #[must_use]
    pub fn platform_addresses(&self) -> Option<&'static [Ipv4Net]> {
        match self {
            Self::AzurePlatformDns => Some(PLATFORM_DNS),
            Self::AzurePlatformImds => Some(PLATFORM_IMDS),
            Self::AzurePlatformLkm => Some(PLATFORM_LKM),
            _ => None,
        }
    }
}

impl fmt::Display for RuleTag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::VirtualNetwork => "VirtualNetwork",
            Self::Internet => "Internet",
            Self::AzureLoadBalancer => "AzureLoadBalancer",
            Self::AzurePlatformDns => "AzurePlatformDNS",
            Self::AzurePlatformImds => "AzurePlatformIMDS",
            Self::AzurePlatformLkm => "AzurePlatformLKM",
            Self::Service(name) => name,
        })
    }
}

/// The ports of one side of a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ports {
    /// Every port, and packets that have none; written `*`.
    Any,
    /// These ranges.
    Ranges(Vec<RangeInclusive<u16>>),
}

impl fmt::Display for Ports {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("*"),
            Self::Ranges(ranges) => {
                let texts = ranges
                    .iter()
                    .map(|range| match (range.start(), range.end()) {
                        (first, last) if first == last => first.to_string(),
                        (first, last) => format!("{first}-{last}"),
                    });
                joined(f, &texts.collect::<Vec<_>>())
            }
        }
    }
}

/// Returns the direction in ARM's spelling.
#[must_use]
pub fn direction_name(direction: Direction) -> &'static str {
    match direction {
        Direction::Inbound => "Inbound",
        Direction::Outbound => "Outbound",
    }
}

/// Returns the access in ARM's spelling.
#[must_use]
pub fn access_name(access: Access) -> &'static str {
    match access {
        Access::Allow => "Allow",
        Access::Deny => "Deny",
    }
}

fn joined<T: fmt::Display>(f: &mut fmt::Formatter<'_>, items: &[T]) -> fmt::Result {
    for (at, item) in items.iter().enumerate() {
        if at > 0 {
            f.write_str(",")?;
        }
        item.fmt(f)?;
    }
    Ok(())
}

/// The priority of the first default rule; those of a group's own rules are lower.
const DEFAULT_PRIORITY: u16 = 65000;

/// Returns the rules that every group has after its own.
#[must_use]
pub fn default_rules() -> Vec<SecurityRule> {
    use Access::{Allow, Deny};
    use Direction::{Inbound, Outbound};
    let vnet = || Peer::Tag(RuleTag::VirtualNetwork);
    let probes = Peer::Tag(RuleTag::AzureLoadBalancer);
    let internet = Peer::Tag(RuleTag::Internet);
    let rule = |name: &str, after: u16, direction, source, destination, access| SecurityRule {
        name: name.to_owned(),
        priority: DEFAULT_PRIORITY.saturating_add(after),
        direction,
        access,
        protocol: RuleProtocol::Any,
        source,
        source_ports: Ports::Any,
        destination,
        destination_ports: Ports::Any,
    };
    vec![
        rule("AllowVnetInBound", 0, Inbound, vnet(), vnet(), Allow),
        rule(
            "AllowAzureLoadBalancerInBound",
            1,
            Inbound,
            probes,
            Peer::Any,
            Allow,
        ),
        rule("DenyAllInBound", 500, Inbound, Peer::Any, Peer::Any, Deny),
        rule("AllowVnetOutBound", 0, Outbound, vnet(), vnet(), Allow),
        rule(
            "AllowInternetOutBound",
            1,
            Outbound,
            Peer::Any,
            internet,
            Allow,
        ),
        rule("DenyAllOutBound", 500, Outbound, Peer::Any, Peer::Any, Deny),
    ]
}
