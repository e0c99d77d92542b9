//! Security groups, and the application groups that their rules name.

use super::Maker;
use crate::topology::{Nsg, Ports, Protocol, Rule, Side};

impl Maker {
    pub(super) fn rules(&mut self) {
        self.groups();
        for _ in 0..self.random.within(1, 5) {
            let most = self.random.pick(&[3, 12, 40]);
            let mut rules: Vec<Rule> = Vec::new();
            for _ in 0..self.random.within(1, most) {
                let rule = self.rule();
                let is_same = |other: &Rule| {
                    (other.is_inbound, other.priority) == (rule.is_inbound, rule.priority)
                };
                if !rules.iter().any(is_same) {
                    rules.push(rule);
                }
            }
            self.topology.nsgs.push(Nsg { rules });
        }
    }

    /// Makes application groups; the members of one are in one network.
    fn groups(&mut self) {
        for group in 0..self.random.below(6) {
            let vnet = self.random.below(self.topology.vnets.len());
            self.topology.groups.push(vnet);
            for nic in &mut self.topology.nics {
                if nic.vnet == vnet && self.random.percent(50) {
                    nic.groups.push(group);
                }
            }
        }
    }

    fn rule(&mut self) -> Rule {
        let is_inbound = self.random.percent(45);
        let vnet = self.random.below(self.topology.vnets.len());
        let allows = self.random.percent(60);
        let protocol = self.random.pick(&[
            Protocol::Any,
            Protocol::Any,
            Protocol::Tcp,
            Protocol::Tcp,
            Protocol::Udp,
            Protocol::Icmp,
            Protocol::Esp,
        ]);
        Rule {
            // Few enough values that rules follow each other closely.
            priority: 100 + self.random.below(60) as u16,
            is_inbound,
            allows,
            protocol,
            source: self.side(vnet, false),
            source_ports: self.ports(80),
            destination: self.side(vnet, !is_inbound),
            destination_ports: self.ports(45),
        }
    }

    fn side(&mut self, vnet: usize, may_be_platform: bool) -> Side {
        let platform = [Side::PlatformDns, Side::PlatformImds, Side::PlatformLkm];
        match self.random.weighted(&[22, 10, 10, 4, 14, 26, 9, 5]) {
            0 => Side::Any,
            1 => Side::VirtualNetwork,
            2 => Side::Internet,
            3 => Side::LoadBalancer,
            4 => Side::Tag(self.random.below(self.topology.tags.len())),
            6 => {
                let vnets = self.topology.groups.iter();
                let own: Vec<usize> = vnets
                    .enumerate()
                    .filter(|(_, of)| **of == vnet)
                    .map(|(at, _)| at)
                    .collect();
                match own.is_empty() {
                    true => Side::Any,
                    false => {
                        let count = self.random.within(1, own.len());
                        Side::Groups(own[..count].to_vec())
                    }
                }
            }
            7 if may_be_platform => platform[self.random.below(3)].clone(),
            _ => {
                let count = self.random.pick(&[1, 1, 2, 5]);
                Side::Prefixes((0..count).map(|_| self.prefix()).collect())
            }
        }
    }

    /// Returns ranges of ports, and every port in so many of a hundred cases.
    fn ports(&mut self, any: usize) -> Ports {
        if self.random.percent(any) {
            return Vec::new();
        }
        let known: [u16; 8] = [0, 22, 53, 80, 443, 1433, 8080, 65_535];
        let count = self.random.pick(&[1, 1, 2, 3]);
        (0..count)
            .map(|_| {
                let first = self.random.pick(&known);
                let width = self.random.pick(&[0, 0, 1, 100, 60_000]);
                (first, first.saturating_add(width))
            })
            .collect()
    }
}
