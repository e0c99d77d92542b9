//! Network security groups, as compiled: rules in order of priority, the first match decides.

use core::ops::RangeInclusive;
use ipnet::Ipv4Net;
use std::net::Ipv4Addr;
use std::sync::Arc;

/// The number of a rule; `control` knows its NSG and name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RuleId(pub u32);

/// Which way a packet goes, seen from the NIC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Direction {
    /// Towards the NIC.
    Inbound,
    /// From the NIC.
    Outbound,
}

/// What a rule decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// The flow may begin.
    Allow,
    /// It may not.
    Deny,
}

/// The protocols that a rule matches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// Every protocol.
    Any,
    /// One protocol, by its IANA number.
    Number(u8),
}

/// A set of IPv4 addresses: disjoint ranges in ascending order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AddrSet {
    ranges: Vec<(u32, u32)>,
}

impl AddrSet {
    /// Returns the set of all addresses.
    #[must_use]
    pub fn any() -> Self {
        Self {
            ranges: vec![(0, u32::MAX)],
        }
    }

    /// Returns the union of `prefixes`.
    #[must_use]
    pub fn from_prefixes(prefixes: impl IntoIterator<Item = Ipv4Net>) -> Self {
        let ranges = prefixes
            .into_iter()
            .map(|prefix| (u32::from(prefix.network()), u32::from(prefix.broadcast())));
        Self::from_ranges(ranges.collect())
    }

    fn from_ranges(mut ranges: Vec<(u32, u32)>) -> Self {
        ranges.sort_unstable();
        let mut merged: Vec<(u32, u32)> = Vec::with_capacity(ranges.len());
        for (first, last) in ranges {
            match merged.last_mut() {
                Some(open) if first <= open.1.saturating_add(1) => open.1 = open.1.max(last),
                _ => merged.push((first, last)),
            }
        }
        Self { ranges: merged }
    }

    /// Returns the addresses that are not in this set.
    #[must_use]
    pub fn complement(&self) -> Self {
        let mut ranges = Vec::with_capacity(self.ranges.len() + 1);
        let mut next = Some(0u32);
        for &(first, last) in &self.ranges {
            if let Some(from) = next
                && from < first
            {
                ranges.push((from, first - 1));
            }
            next = last.checked_add(1);
        }
        ranges.extend(next.map(|from| (from, u32::MAX)));
        Self { ranges }
    }

    /// Returns the addresses of either set.
    #[must_use]
    pub fn union(&self, other: &Self) -> Self {
        Self::from_ranges(self.ranges.iter().chain(&other.ranges).copied().collect())
    }

    /// Returns whether the set holds `address`.
    #[must_use]
    pub fn contains(&self, address: Ipv4Addr) -> bool {
        let address = u32::from(address);
        let after = self.ranges.partition_point(|&(first, _)| first <= address);
        after
            .checked_sub(1)
            .and_then(|at| self.ranges.get(at))
            .is_some_and(|&(_, last)| address <= last)
    }

    /// Returns the ranges, first and last address of each.
    #[must_use]
    pub fn ranges(&self) -> &[(u32, u32)] {
        &self.ranges
    }
}

/// A set of ports.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum PortSet {
    /// Every port, and packets that have none.
    #[default]
    Any,
    /// These ranges.
    Ranges(Vec<RangeInclusive<u16>>),
}

impl PortSet {
    fn contains(&self, port: u16) -> bool {
        match self {
            Self::Any => true,
            Self::Ranges(ranges) => ranges.iter().any(|range| range.contains(&port)),
        }
    }
}

/// One rule. Ports are compared for TCP and UDP only (reference section 4.1).
#[derive(Clone, Debug)]
pub struct Rule {
    /// The rule's number.
    pub id: RuleId,
    /// Lower is evaluated first.
    pub priority: u16,
    /// Protocols.
    pub protocol: Protocol,
    /// Source addresses.
    pub source: Arc<AddrSet>,
    /// Source ports.
    pub source_ports: PortSet,
    /// Destination addresses.
    pub destination: Arc<AddrSet>,
    /// Destination ports.
    pub destination_ports: PortSet,
    /// What a match decides.
    pub access: Access,
}

/// What an NSG compares: the untranslated tuple. Ports are zero for protocols that have none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tuple {
    /// The IANA protocol number.
    pub protocol: u8,
    /// Source address.
    pub source: Ipv4Addr,
    /// Source port.
    pub source_port: u16,
    /// Destination address.
    pub destination: Ipv4Addr,
    /// Destination port.
    pub destination_port: u16,
}

const TCP: u8 = 6;
const UDP: u8 = 17;

impl Rule {
    fn matches(&self, tuple: &Tuple) -> bool {
        let protocol = match self.protocol {
            Protocol::Any => true,
            Protocol::Number(number) => number == tuple.protocol,
        };
        let ports = match tuple.protocol {
            TCP | UDP => {
                self.source_ports.contains(tuple.source_port)
                    && self.destination_ports.contains(tuple.destination_port)
            }
            _ => true,
        };
        protocol
            && ports
            && self.destination.contains(tuple.destination)
            && self.source.contains(tuple.source)
    }
}

/// What an NSG decided, and by which rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decision {
    /// Allow or deny.
    pub access: Access,
    /// The rule that matched; none if no rule did, which denies.
    pub rule: Option<RuleId>,
}

/// A network security group: the rules of both directions, default rules included.
#[derive(Clone, Debug, Default)]
pub struct Nsg {
    inbound: Vec<Rule>,
    outbound: Vec<Rule>,
}

impl Nsg {
    /// Builds the group from rules in any order.
    #[must_use]
    pub fn new(mut inbound: Vec<Rule>, mut outbound: Vec<Rule>) -> Self {
        inbound.sort_by_key(|rule| rule.priority);
        outbound.sort_by_key(|rule| rule.priority);
        Self { inbound, outbound }
    }

    /// Returns the decision of the first rule that matches; deny if none does.
    #[must_use]
    pub fn evaluate(&self, direction: Direction, tuple: &Tuple) -> Decision {
        let rules = match direction {
            Direction::Inbound => &self.inbound,
            Direction::Outbound => &self.outbound,
        };
        match rules.iter().find(|rule| rule.matches(tuple)) {
            Some(rule) => Decision {
                access: rule.access,
                rule: Some(rule.id),
            },
            None => Decision {
                access: Access::Deny,
                rule: None,
            },
        }
    }
}
