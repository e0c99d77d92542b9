//! Random flows, aimed at what a topology is about.

use super::prefix::Prefix;
use super::random::Random;
use super::topology::{Flow, Nic, PLATFORM, Port, Side, Target, Topology};

/// What flows are aimed at.
pub struct Aims {
    /// Edges of every prefix that anything mentions, and their neighbours.
    edges: Vec<u32>,
    /// Edges of what endpoints cover.
    services: Vec<u32>,
    /// Every address that somebody has, from outside.
    publics: Vec<u32>,
    /// Edges of the port ranges of rules, and their neighbours.
    ports: Vec<u16>,
}

impl Aims {
    pub fn new(topology: &Topology) -> Self {
        let mut prefixes: Vec<Prefix> = Vec::new();
        let mut services: Vec<Prefix> = Vec::new();
        let mut ports = vec![0, 80, 443, 65_330, 65_535];
        for vnet in &topology.vnets {
            prefixes.extend(&vnet.ranges);
            for subnet in &vnet.subnets {
                prefixes.push(subnet.prefix);
                for kind in &subnet.endpoints {
                    services.extend(topology.covered(kind, vnet.region));
                }
            }
        }
        for gateway in &topology.gateways {
            prefixes.extend(&gateway.prefixes);
        }
        for route in topology.tables.iter().flat_map(|table| &table.routes) {
            match route.to {
                Target::Prefix(prefix) => prefixes.push(prefix),
                Target::Tag(tag) => prefixes.extend(&topology.tags[tag].prefixes),
            }
        }
        for rule in topology.nsgs.iter().flat_map(|nsg| &nsg.rules) {
            for side in [&rule.source, &rule.destination] {
                match side {
                    Side::Prefixes(some) => prefixes.extend(some),
                    Side::Tag(tag) => prefixes.extend(&topology.tags[*tag].prefixes),
                    _ => {}
                }
            }
            for &(first, last) in rule.source_ports.iter().chain(&rule.destination_ports) {
                ports.extend([first, last, first.saturating_sub(1), last.saturating_add(1)]);
            }
        }
        let mut publics: Vec<u32> = topology.nics.iter().filter_map(|nic| nic.public).collect();
        publics.extend(topology.nat_gateways.iter().flatten());
        publics.extend(topology.default_outbound);
        publics.extend(topology.services.iter().map(|service| service.address));
        let (edges, services) = (edges(&prefixes), edges(&services));
        Self {
            edges,
            services,
            publics,
            ports,
        }
    }

    /// Returns a flow.
    pub fn flow(&self, random: &mut Random, topology: &Topology) -> Flow {
        let ingress = ingress(random, topology);
        let (source, destination) = match ingress {
            Port::Nic(nic) => self.of_nic(random, topology, nic),
            Port::Internet => self.of_internet(random),
            Port::Gateway(gateway) => self.of_gateway(random, topology, gateway),
            Port::Services(_) | Port::Platform => {
                let own: Vec<u32> = match ingress {
                    Port::Platform => PLATFORM.to_vec(),
                    _ => topology.services.iter().map(|at| at.address).collect(),
                };
                let source = match random.percent(75) {
                    true => random.pick(&own),
                    false => self.edge(random),
                };
                (source, nic_in(random, topology, None))
            }
        };
        let protocol = random.pick(&[6, 6, 6, 6, 17, 17, 1]);
        let mut port = || match random.percent(75) {
            true => random.pick(&self.ports),
            false => random.word() as u16,
        };
        let (source_port, destination_port) = match protocol {
            1 => (0, 0),
            _ => (port(), port()),
        };
        Flow {
            ingress,
            protocol,
            source,
            source_port,
            destination,
            destination_port,
            is_fragment: random.percent(4),
        }
    }

    fn of_nic(&self, random: &mut Random, topology: &Topology, nic: usize) -> (u32, u32) {
        let sender = &topology.nics[nic];
        let vnet = Some(sender.vnet);
        let own = if sender.forwards { 12 } else { 48 };
        let source = match random.weighted(&[own, 3, 2, 3, 1]) {
            0 => sender.address,
            1 => nic_in(random, topology, vnet),
            2 => nic_in(random, topology, None),
            3 => self.edge(random),
            _ => random.pick(&PLATFORM),
        };
        let destination = match random.weighted(&[32, 10, 12, 6, 25, 6, 3, 4]) {
            0 => self.edge(random),
            1 => any_of(random, &self.services),
            2 => nic_in(random, topology, vnet),
            3 => nic_in(random, topology, None),
            4 => any_of(random, &self.publics),
            5 => 0x0808_0800 | random.below(256) as u32,
            6 => random.pick(&PLATFORM),
            _ => random.word(),
        };
        (source, destination)
    }

    fn of_internet(&self, random: &mut Random) -> (u32, u32) {
        let source = match random.weighted(&[60, 36, 4]) {
            0 => random.word(),
            1 => self.edge(random),
            _ => random.pick(&PLATFORM),
        };
        let destination = match random.weighted(&[85, 15]) {
            0 => any_of(random, &self.publics),
            _ => self.edge(random),
        };
        (source, destination)
    }

    fn of_gateway(&self, random: &mut Random, topology: &Topology, gateway: usize) -> (u32, u32) {
        let gateway = &topology.gateways[gateway];
        let source = match random.weighted(&[80, 10, 9, 1]) {
            0 => random.pick(&gateway.prefixes).first,
            1 => nic_in(random, topology, Some(gateway.vnet)),
            2 => self.edge(random),
            _ => random.pick(&PLATFORM),
        };
        let destination = match random.weighted(&[60, 38, 2]) {
            0 => nic_in(random, topology, Some(gateway.vnet)),
            1 => self.edge(random),
            _ => random.pick(&PLATFORM),
        };
        (source, destination)
    }

    fn edge(&self, random: &mut Random) -> u32 {
        random.pick(&self.edges)
    }
}

/// Returns one of the addresses, or any where there is none.
fn any_of(random: &mut Random, addresses: &[u32]) -> u32 {
    random.any(addresses).unwrap_or_else(|| random.word())
}

fn edges(prefixes: &[Prefix]) -> Vec<u32> {
    let of = |prefix: &Prefix| {
        let (first, last) = (prefix.first, prefix.last());
        [first, last, first.wrapping_sub(1), last.wrapping_add(1)]
    };
    prefixes.iter().flat_map(of).collect()
}

fn ingress(random: &mut Random, topology: &Topology) -> Port {
    let choice = random.weighted(&[160, 19, 19, 1, 1]);
    match choice {
        1 if topology.has_internet => Port::Internet,
        2 if !topology.gateways.is_empty() => Port::Gateway(random.below(topology.gateways.len())),
        3 if !topology.services.is_empty() => {
            let service = random.below(topology.services.len());
            Port::Services(topology.services[service].namespace)
        }
        4 => Port::Platform,
        _ => Port::Nic(random.below(topology.nics.len())),
    }
}

/// Returns the address of a NIC of a network, or of any NIC.
fn nic_in(random: &mut Random, topology: &Topology, vnet: Option<usize>) -> u32 {
    let is_there = |nic: &&Nic| vnet.is_none_or(|vnet| nic.vnet == vnet);
    let nics: Vec<u32> = topology
        .nics
        .iter()
        .filter(is_there)
        .map(|nic| nic.address)
        .collect();
    any_of(random, &nics)
}
