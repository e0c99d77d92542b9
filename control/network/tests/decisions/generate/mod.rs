//! Random topologies in which edges are common: prefixes are equal, nested or neighbours more often
//! than not, and routes and rules speak of what is there.

mod rules;
mod tags;

pub use tags::BUNDLED;

use super::prefix::Prefix;
use super::random::Random;
use super::topology::{
    Gateway, Nic, Peering, Precedence, REGIONS, SERVICES, Service, ServiceKind, Settings, Subnet,
    Table, Target, Topology, UserHop, UserRoute, Vnet,
};

/// Where the service tags of a topology come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TagFile {
    Random,
    Bundled,
}

/// A topology in the making.
struct Maker {
    random: Random,
    topology: Topology,
    /// Prefixes that were mentioned already.
    mentioned: Vec<Prefix>,
    /// Addresses that are used once.
    taken: Vec<u32>,
}

/// Ranges that networks are made of: private ones inside of, equal to and around the blocks without
/// a route, and public ones, in which services live too.
const RANGES: [&str; 17] = [
    "10.0.0.0/16",
    "10.1.0.0/16",
    "10.2.0.0/20",
    "10.0.0.0/8",
    "8.0.0.0/6",
    "172.16.0.0/12",
    "172.16.0.0/11",
    "172.20.0.0/16",
    "192.168.0.0/16",
    "192.168.0.0/15",
    "192.168.4.0/24",
    "100.64.0.0/10",
    "100.64.0.0/9",
    "100.70.0.0/16",
    "20.1.0.0/16",
    "52.239.0.0/20",
    "11.0.0.0/16",
];

/// Returns the topology of a seed.
pub fn topology(seed: u64, file: TagFile) -> Topology {
    let mut maker = Maker {
        random: Random::new(seed),
        topology: Topology::default(),
        mentioned: Vec::new(),
        taken: vec![Prefix::parse("93.184.216.34/32").first],
    };
    maker.settings();
    maker.tags(file);
    maker.networks();
    maker.nics();
    maker.peerings();
    maker.gateways();
    maker.public_sources();
    maker.services();
    maker.tables();
    maker.rules();
    maker.assign();
    maker.topology
}

impl Maker {
    fn settings(&mut self) {
        let random = &mut self.random;
        self.topology.has_internet = random.percent(95);
        self.topology.settings = Settings {
            precedence: random.pick(&[Precedence::Strict, Precedence::Tie, Precedence::Observed]),
            tag_includes_default_route: random.percent(60),
            learned_default_removes_none: random.percent(30),
            shared_icmp: random.percent(40),
            shared_fragments: random.percent(40),
        };
    }

    /// Returns a prefix that is one of those mentioned, inside or around one, beside one, or new.
    fn prefix(&mut self) -> Prefix {
        let known = self.random.any(&self.mentioned);
        let random = &mut self.random;
        let fresh = |random: &mut Random| {
            let length = random.within(8, 32) as u8;
            let near = random.pick(&[0x1400_0000, 0x34ef_0000, 0x0d40_0000, 0x0a00_0000]);
            Prefix::around(near + (random.word() >> random.within(12, 16)), length)
        };
        let Some(known) = known else {
            return fresh(random);
        };
        let prefix = match random.weighted(&[40, 25, 15, 10, 10]) {
            0 => known,
            1 => {
                let length = random.within(usize::from(known.length), 32) as u8;
                let inside = known.first | (random.word() & (known.last() - known.first));
                Prefix::around(inside, length)
            }
            2 => {
                let shorter = known
                    .length
                    .saturating_sub(random.within(1, 4) as u8)
                    .max(1);
                Prefix::around(known.first, shorter)
            }
            3 => Prefix::around(known.last().wrapping_add(1), known.length),
            _ => fresh(random),
        };
        self.mentioned.push(prefix);
        prefix
    }

    /// Returns an address in a prefix, more often than not near its edges.
    fn address_in(&mut self, prefix: Prefix) -> u32 {
        let random = &mut self.random;
        match random.weighted(&[1, 1, 2]) {
            0 => prefix.first,
            1 => prefix.last(),
            _ => prefix.first | (random.word() & (prefix.last() - prefix.first)),
        }
    }

    /// Returns a new public address outside of every network, if one is found.
    fn public(&mut self) -> Option<u32> {
        for _ in 0..20 {
            let prefix = match self.random.percent(50) {
                true => self.prefix(),
                false => Prefix::parse("20.200.0.0/24"),
            };
            let address = self.address_in(prefix);
            let space = self.topology.vnets.iter().flat_map(|vnet| &vnet.ranges);
            let is_private = space
                .chain(&super::oracle::not_public())
                .any(|it| it.has(address));
            if !is_private && !self.taken.contains(&address) {
                self.taken.push(address);
                return Some(address);
            }
        }
        None
    }

    fn networks(&mut self) {
        for _ in 0..self.random.within(1, 4) {
            let mut ranges: Vec<Prefix> = Vec::new();
            for _ in 0..self.random.within(1, 3) {
                let range = self.range();
                if !ranges.iter().any(|other| other.meets(range)) {
                    ranges.push(range);
                }
            }
            self.mentioned.extend(&ranges);
            let mut vnet = Vnet {
                region: &REGIONS[self.random.below(REGIONS.len())],
                ranges,
                subnets: Vec::new(),
                peerings: Vec::new(),
            };
            for at in 0..self.random.within(1, 4) {
                let range = self.random.pick(&vnet.ranges);
                let length = self.random.within(24.max(usize::from(range.length)), 29) as u8;
                // Low places, so that networks have the same subnets.
                let place = (self.random.below(4).min(at) as u32) << (32 - u32::from(length));
                let prefix = Prefix::around(range.first + place, length);
                let mut others = vnet.subnets.iter();
                if !range.holds(prefix) || others.any(|other| other.prefix.meets(prefix)) {
                    continue;
                }
                self.mentioned.push(prefix);
                vnet.subnets.push(Subnet {
                    is_of_gateway: at == 1 && self.random.percent(60),
                    prefix,
                    nsg: None,
                    table: None,
                    nat_gateway: None,
                    default_outbound: self.random.percent(75),
                    endpoints: Vec::new(),
                });
            }
            self.topology.vnets.push(vnet);
        }
    }

    /// Returns a range for a network: one of [`RANGES`], or the very prefix of a service.
    fn range(&mut self) -> Prefix {
        let known = self.random.any(&self.mentioned);
        let is_fit = |prefix: &Prefix| {
            let forbidden = [
                "0.0.0.0/8",
                "127.0.0.0/8",
                "168.63.129.16/32",
                "169.254.0.0/16",
            ];
            let forbidden = forbidden.into_iter().chain(["224.0.0.0/3"]);
            (8..=28).contains(&prefix.length)
                && !forbidden
                    .map(Prefix::parse)
                    .any(|block| block.meets(*prefix))
        };
        match known.filter(is_fit) {
            Some(prefix) if self.random.percent(20) => prefix,
            _ => Prefix::parse(self.random.pick(&RANGES)),
        }
    }

    fn nics(&mut self) {
        for vnet in 0..self.topology.vnets.len() {
            for subnet in 0..self.topology.vnets[vnet].subnets.len() {
                if self.topology.vnets[vnet].subnets[subnet].is_of_gateway {
                    continue;
                }
                for _ in 0..self.random.within(1, 3) {
                    let prefix = self.topology.vnets[vnet].subnets[subnet].prefix;
                    let room = (prefix.last() - prefix.first).min(10) - 4;
                    let address = prefix.first + 4 + self.random.below(room as usize) as u32;
                    if self.topology.nic_at(vnet, address).is_some() {
                        continue;
                    }
                    let public = match self.random.percent(35) {
                        true => self.public(),
                        false => None,
                    };
                    self.topology.nics.push(Nic {
                        vnet,
                        subnet,
                        address,
                        public,
                        forwards: self.random.percent(45),
                        nsg: None,
                        groups: Vec::new(),
                    });
                }
            }
        }
    }

    fn peerings(&mut self) {
        let count = self.topology.vnets.len();
        let ranges = |maker: &Self, vnet: usize| maker.topology.vnets[vnet].ranges.clone();
        for one in 0..count {
            for other in 0..count {
                if one == other || !self.random.percent(55) {
                    continue;
                }
                let declared = |maker: &Self, vnet: usize| -> Vec<usize> {
                    let peerings = maker.topology.vnets[vnet].peerings.iter();
                    peerings.map(|peering| peering.remote).collect()
                };
                // Ranges of what a network is peered with meet neither its own nor each other.
                let is_apart = |maker: &Self, own: usize, remote: usize| {
                    let others = declared(maker, own).into_iter().filter(|it| *it != remote);
                    let space = others.chain([own]).flat_map(|vnet| ranges(maker, vnet));
                    let remote = ranges(maker, remote);
                    space
                        .into_iter()
                        .all(|it| !remote.iter().any(|other| other.meets(it)))
                };
                for (own, remote) in [(one, other), (other, one)] {
                    let is_there = declared(self, own).contains(&remote);
                    if !is_there && is_apart(self, own, remote) && self.random.percent(85) {
                        let allows_forwarded = self.random.percent(50);
                        let peering = Peering {
                            remote,
                            allows_forwarded,
                        };
                        self.topology.vnets[own].peerings.push(peering);
                    }
                }
            }
        }
    }

    fn gateways(&mut self) {
        for vnet in 0..self.topology.vnets.len() {
            if !self.random.percent(50) {
                continue;
            }
            let mut prefixes = Vec::new();
            for _ in 0..self.random.within(1, 5) {
                let prefix = match self.random.percent(12) {
                    true => Prefix::ALL,
                    false => self.prefix(),
                };
                if !prefixes.contains(&prefix) {
                    prefixes.push(prefix);
                }
            }
            self.topology.gateways.push(Gateway { vnet, prefixes });
        }
    }

    fn public_sources(&mut self) {
        if self.random.percent(70) {
            self.topology.default_outbound = self.public();
        }
        for _ in 0..self.random.below(3) {
            let addresses: Vec<u32> = (0..self.random.within(1, 3))
                .filter_map(|_| self.public())
                .collect();
            if !addresses.is_empty() {
                self.topology.nat_gateways.push(addresses);
            }
        }
    }

    fn services(&mut self) {
        for _ in 0..self.random.within(6, 24) {
            let kind = &SERVICES[self.random.below(SERVICES.len())];
            let region = &REGIONS[self.random.below(REGIONS.len())];
            let prefixes = self.topology.prefixes_of(kind, Some(&[region.name]));
            let Some(prefix) = self.random.any(&prefixes) else {
                continue;
            };
            let address = self.address_in(prefix);
            if kind.family == kind.name && !self.taken.contains(&address) {
                self.taken.push(address);
                self.topology.services.push(Service {
                    kind,
                    region,
                    address,
                    namespace: self.random.below(3),
                });
            }
        }
    }

    fn tables(&mut self) {
        for _ in 0..self.random.within(1, 5) {
            let mut routes: Vec<UserRoute> = Vec::new();
            for _ in 0..self.random.below(14) {
                let to = match self.random.weighted(&[8, 25, 67]) {
                    0 => Target::Prefix(Prefix::ALL),
                    1 => Target::Tag(self.random.below(self.topology.tags.len())),
                    _ => Target::Prefix(self.prefix()),
                };
                let hop = self.user_hop();
                if !routes.iter().any(|route| route.to == to) {
                    routes.push(UserRoute { to, hop });
                }
            }
            let is_cut_off = self.random.percent(30);
            self.topology.tables.push(Table { is_cut_off, routes });
        }
    }

    fn user_hop(&mut self) -> UserHop {
        match self.random.weighted(&[45, 12, 13, 15, 15]) {
            0 => {
                let choice = self.random.weighted(&[75, 20, 5]);
                let nics = self
                    .topology
                    .nics
                    .iter()
                    .filter(|nic| nic.forwards || choice == 1);
                let nics: Vec<u32> = nics.map(|nic| nic.address).collect();
                let known = self.random.any(&nics).filter(|_| choice < 2);
                UserHop::Appliance(known.unwrap_or(0x0a00_00c8))
            }
            1 => UserHop::Gateway,
            2 => UserHop::VnetLocal,
            3 => UserHop::Internet,
            _ => UserHop::Nowhere,
        }
    }

    /// Gives subnets and NICs their groups, tables, gateways and endpoints.
    fn assign(&mut self) {
        let count = |list: usize| (0..list).collect::<Vec<usize>>();
        let nsgs = count(self.topology.nsgs.len());
        let tables = count(self.topology.tables.len());
        let nats = count(self.topology.nat_gateways.len());
        let maybe = |random: &mut Random, list: &[usize], chance| {
            random.any(list).filter(|_| random.percent(chance))
        };
        for vnet in 0..self.topology.vnets.len() {
            for at in 0..self.topology.vnets[vnet].subnets.len() {
                let endpoints = self.endpoints(vnet);
                let random = &mut self.random;
                let table = maybe(random, &tables, 70);
                let subnet = &mut self.topology.vnets[vnet].subnets[at];
                subnet.nsg = maybe(random, &nsgs, 55);
                subnet.nat_gateway = maybe(random, &nats, 30);
                subnet.endpoints = endpoints;
                let is_cut_off = |table: &usize| self.topology.tables[*table].is_cut_off;
                subnet.table = table.filter(|table| !(subnet.is_of_gateway && is_cut_off(table)));
            }
        }
        for nic in &mut self.topology.nics {
            nic.nsg = maybe(&mut self.random, &nsgs, 40);
        }
    }

    fn endpoints(&mut self, vnet: usize) -> Vec<&'static ServiceKind> {
        let mut endpoints: Vec<&'static ServiceKind> = Vec::new();
        if !self.random.percent(70) {
            return endpoints;
        }
        for kind in &SERVICES {
            let region = self.topology.vnets[vnet].region;
            let is_out = endpoints.iter().any(|other| other.family == kind.family);
            if self.random.percent(35) && !is_out && !self.topology.covered(kind, region).is_empty()
            {
                endpoints.push(kind);
            }
        }
        endpoints
    }
}
