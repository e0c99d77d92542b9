//! Section 4: network security groups.

use super::{DEFAULT, Drop, Note, Oracle, RuleAt};
use crate::prefix::Prefix;
use crate::topology::{Flow, PLATFORM, Port, Ports, Protocol, Rule, Side, Target, Topology};
use postern_dataplane::stats::DropReason;

const NAME_SERVER: u32 = PLATFORM[0];
const METADATA: u32 = PLATFORM[1];
/// 20.118.99.224, 40.83.235.53 and 23.102.135.246: Windows is activated there.
const LICENSING: [u32; 3] = [0x1476_63e0, 0x2853_eb35, 0x1766_87f6];

/// What a rule of the group decides.
struct Decision {
    allows: bool,
    rule: Option<usize>,
}

impl Oracle<'_> {
    /// Asks a group for the NIC at `nic`; where there is none, everything is allowed.
    pub(super) fn ask(
        &self,
        group: Option<usize>,
        nic: usize,
        is_inbound: bool,
        flow: &Flow,
    ) -> Result<Option<RuleAt>, Drop> {
        let Some(group) = group else { return Ok(None) };
        let Decision { allows, rule } = self.decide(group, nic, is_inbound, flow);
        let rule = rule.map(|rule| RuleAt { group, rule });
        if allows {
            return Ok(rule);
        }
        let reason = if is_inbound {
            DropReason::NsgDeniedIn
        } else {
            DropReason::NsgDeniedOut
        };
        Err(Drop {
            reason,
            port: Port::Nic(nic),
            is_inbound,
            rule,
        })
    }

    fn decide(&self, group: usize, nic: usize, is_inbound: bool, flow: &Flow) -> Decision {
        let rules = &self.topology.nsgs[group].rules;
        let of_direction = |rule: &&Rule| rule.is_inbound == is_inbound;
        let is_exempt = !is_inbound && PLATFORM.contains(&flow.destination);
        let is_platform = |rule: &Rule| {
            matches!(
                rule.destination,
                Side::PlatformDns | Side::PlatformImds | Side::PlatformLkm
            )
        };
        let mut first: Option<(usize, &Rule)> = None;
        for (at, rule) in rules.iter().enumerate() {
            if rule.is_inbound == is_inbound
                && (!is_exempt || is_platform(rule))
                && first.is_none_or(|(_, first)| rule.priority < first.priority)
                && self.matches(rule, nic, flow)
            {
                first = Some((at, rule));
            }
        }
        if let Some((at, rule)) = first {
            let before = |other: &&Rule| other.priority < rule.priority;
            if rules.iter().filter(of_direction).filter(before).count() >= 12 {
                self.note(Note::LateRule);
            }
            for side in [&rule.source, &rule.destination] {
                match side {
                    Side::Groups(_) => self.note(Note::ByGroups),
                    Side::Tag(_) => self.note(Note::ByTag),
                    _ => {}
                }
            }
            return Decision {
                allows: rule.allows,
                rule: Some(at),
            };
        }
        if is_exempt {
            // Section 2.4: exempt unless a rule with a platform tag says otherwise.
            self.note(Note::Exempt);
            return Decision {
                allows: true,
                rule: None,
            };
        }
        let (allows, rule) = self.default_rule(nic, is_inbound, flow);
        Decision {
            allows,
            rule: Some(DEFAULT + rule),
        }
    }

    /// Section 4.1: the default rules, by their places in [`super::DEFAULTS`].
    fn default_rule(&self, nic: usize, is_inbound: bool, flow: &Flow) -> (bool, usize) {
        let in_vnet = |address| self.side_has(&Side::VirtualNetwork, nic, address);
        let is_within = in_vnet(flow.source) && in_vnet(flow.destination);
        match (is_inbound, is_within) {
            (true, true) => (true, 0),
            (true, false) if flow.source == NAME_SERVER => (true, 1),
            (true, false) => (false, 2),
            (false, true) => (true, 3),
            (false, false) if self.side_has(&Side::Internet, nic, flow.destination) => (true, 4),
            (false, false) => (false, 5),
        }
    }

    fn matches(&self, rule: &Rule, nic: usize, flow: &Flow) -> bool {
        let protocol = match rule.protocol {
            Protocol::Any => true,
            Protocol::Icmp => flow.protocol == 1,
            Protocol::Tcp => flow.protocol == 6,
            Protocol::Udp => flow.protocol == 17,
            Protocol::Esp => flow.protocol == 50,
        };
        let has_ports = [6, 17].contains(&flow.protocol);
        let ports = !has_ports
            || (has_port(&rule.source_ports, flow.source_port)
                && has_port(&rule.destination_ports, flow.destination_port));
        protocol
            && ports
            && self.side_has(&rule.source, nic, flow.source)
            && self.side_has(&rule.destination, nic, flow.destination)
    }

    /// Returns whether a side of a rule has the address, seen from a NIC.
    fn side_has(&self, side: &Side, nic: usize, address: u32) -> bool {
        match side {
            Side::Any => true,
            Side::VirtualNetwork => self.in_virtual_network(nic, address),
            Side::Internet => {
                !has(&self.not_public, address) && !self.in_virtual_network(nic, address)
            }
            Side::LoadBalancer | Side::PlatformDns => address == NAME_SERVER,
            Side::PlatformImds => address == METADATA,
            Side::PlatformLkm => LICENSING.contains(&address),
            Side::Tag(tag) => has(&self.topology.tags[*tag].prefixes, address),
            Side::Prefixes(prefixes) => has(prefixes, address),
            Side::Groups(groups) => {
                let vnet = self.topology.nics[nic].vnet;
                self.topology.nics.iter().any(|member| {
                    let is_member = member.groups.iter().any(|group| groups.contains(group));
                    is_member && member.vnet == vnet && member.address == address
                })
            }
        }
    }

    fn in_virtual_network(&self, nic: usize, address: u32) -> bool {
        let nic = &self.topology.nics[nic];
        let prefixes = &self.virtual_network[nic.vnet][nic.subnet];
        if prefixes.contains(&Prefix::ALL) {
            self.note(Note::WideTag);
        }
        has(prefixes, address)
    }
}

/// Section 4.4: ranges, peers, what is known behind gateways, prefixes of the subnet's routes, and
/// the platform's address.
pub fn virtual_network(topology: &Topology, vnet: usize, subnet: usize) -> Vec<Prefix> {
    let network = &topology.vnets[vnet];
    let mut prefixes = network.ranges.clone();
    prefixes.push(Prefix::around(NAME_SERVER, 32));
    for (peer, _) in topology.peers(vnet) {
        prefixes.extend(&topology.vnets[peer].ranges);
    }
    let table = network.subnets[subnet].table;
    let table = table.map(|table| &topology.tables[table]);
    if let Some(gateway) = topology.gateway_of(vnet) {
        // Its route for everything is not learned where propagation is off; what else is behind it
        // is on-premises all the same.
        let is_cut_off = table.is_some_and(|table| table.is_cut_off);
        let behind = topology.gateways[gateway].prefixes.iter();
        prefixes.extend(behind.filter(|prefix| **prefix != Prefix::ALL || !is_cut_off));
    }
    if let Some(table) = table {
        for route in &table.routes {
            if let Target::Prefix(prefix) = route.to {
                prefixes.push(prefix);
            }
        }
    }
    if !topology.settings.tag_includes_default_route {
        prefixes.retain(|prefix| *prefix != Prefix::ALL);
    }
    prefixes
}

/// What is not publicly routable (4.4).
pub fn not_public() -> Vec<Prefix> {
    let blocks = [
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",
        "127.0.0.0/8",
        "168.63.129.16/32",
        "169.254.0.0/16",
        "172.16.0.0/12",
        "192.168.0.0/16",
        "224.0.0.0/3",
    ];
    blocks.map(Prefix::parse).into()
}

fn has(prefixes: &[Prefix], address: u32) -> bool {
    prefixes.iter().any(|prefix| prefix.has(address))
}

fn has_port(ports: &Ports, port: u16) -> bool {
    ports.is_empty()
        || ports
            .iter()
            .any(|&(first, last)| (first..=last).contains(&port))
}
