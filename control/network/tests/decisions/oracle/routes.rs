//! Section 3: the rows of a subnet, and which of them decides.

use super::{Note, Oracle};
use crate::prefix::Prefix;
use crate::topology::{Flow, Precedence, ServiceKind, Target, Topology, UserHop, UserRoute};

/// Where a row leads.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    VnetLocal,
    /// A peered network, and whether it takes forwarded packets.
    Peer(usize, bool),
    Gateway,
    Internet,
    Appliance(u32),
    Nowhere,
    Endpoint(&'static ServiceKind),
}

/// Who made a row: the greater of one prefix decides (3.3 and 3.4, rule 2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Origin {
    Platform,
    Gateway,
    UserByCloud,
    UserByCloudInRegion,
    UserByTag,
    UserByTagInRegion,
    UserByPrefix,
}

impl Origin {
    fn is_user(self) -> bool {
        self >= Self::UserByCloud
    }
}

/// A row for one prefix.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    pub prefix: Prefix,
    pub origin: Origin,
    pub kind: Kind,
}

impl Row {
    fn endpoint(&self) -> Option<&'static ServiceKind> {
        match self.kind {
            Kind::Endpoint(kind) => Some(kind),
            _ => None,
        }
    }

    fn is_inside(&self) -> bool {
        self.origin == Origin::Platform && matches!(self.kind, Kind::VnetLocal | Kind::Peer(..))
    }
}

/// The blocks that lead nowhere (3.1).
const BLOCKS: [&str; 4] = [
    "10.0.0.0/8",
    "172.16.0.0/12",
    "192.168.0.0/16",
    "100.64.0.0/10",
];

/// Returns every row of a subnet.
pub fn rows(topology: &Topology, vnet: usize, subnet: usize) -> Vec<Row> {
    let network = &topology.vnets[vnet];
    let subnet = &network.subnets[subnet];
    let table = subnet.table.map(|table| &topology.tables[table]);
    let routes = table.map_or(&[][..], |table| &table.routes);
    let row = |origin, prefix, kind| Row {
        prefix,
        origin,
        kind,
    };
    let mut rows = Vec::new();
    for &range in &network.ranges {
        rows.push(row(Origin::Platform, range, Kind::VnetLocal));
    }
    for (peer, takes) in topology.peers(vnet) {
        for &range in &topology.vnets[peer].ranges {
            rows.push(row(Origin::Platform, range, Kind::Peer(peer, takes)));
        }
    }
    rows.push(row(Origin::Platform, Prefix::ALL, Kind::Internet));
    let behind: &[Prefix] = match topology.gateway_of(vnet) {
        Some(gateway) if !table.is_some_and(|table| table.is_cut_off) => {
            &topology.gateways[gateway].prefixes
        }
        _ => &[],
    };
    let everything = Target::Prefix(Prefix::ALL);
    let by_user = routes.iter().any(|route| route.to == everything);
    let by_gateway =
        topology.settings.learned_default_removes_none && behind.contains(&Prefix::ALL);
    if !by_user && !by_gateway {
        for block in BLOCKS.map(Prefix::parse) {
            if !network.ranges.iter().any(|range| range.holds(block)) {
                rows.push(row(Origin::Platform, block, Kind::Nowhere));
            }
        }
    }
    for &prefix in behind {
        rows.push(row(Origin::Gateway, prefix, Kind::Gateway));
    }
    for route in routes {
        rows.extend(user_rows(topology, route));
    }
    for &kind in &subnet.endpoints {
        for prefix in topology.covered(kind, network.region) {
            rows.push(row(Origin::Platform, prefix, Kind::Endpoint(kind)));
        }
    }
    rows
}

fn user_rows(topology: &Topology, route: &UserRoute) -> Vec<Row> {
    let kind = match route.hop {
        UserHop::Appliance(address) => Kind::Appliance(address),
        UserHop::Gateway => Kind::Gateway,
        UserHop::VnetLocal => Kind::VnetLocal,
        UserHop::Internet => Kind::Internet,
        UserHop::Nowhere => Kind::Nowhere,
    };
    let row = |prefix, origin| Row {
        prefix,
        origin,
        kind,
    };
    match route.to {
        Target::Prefix(prefix) => vec![row(prefix, Origin::UserByPrefix)],
        Target::Tag(at) => {
            let tag = &topology.tags[at];
            let origin = match (tag.base.as_str(), &tag.region) {
                ("AzureCloud", None) => Origin::UserByCloud,
                ("AzureCloud", Some(_)) => Origin::UserByCloudInRegion,
                (_, None) => Origin::UserByTag,
                (_, Some(_)) => Origin::UserByTagInRegion,
            };
            let prefixes = tag.prefixes.iter();
            prefixes.map(|&prefix| row(prefix, origin)).collect()
        }
    }
}

/// Returns the row with the longest prefix, of those the one with the greatest origin, of those the
/// first.
fn best(rows: &[Row]) -> Option<Row> {
    let mut best: Option<Row> = None;
    for &row in rows {
        let place = |row: Row| (row.prefix.length, row.origin);
        if best.is_none_or(|best| place(row) > place(best)) {
            best = Some(row);
        }
    }
    best
}

impl Oracle<'_> {
    /// Returns the row that decides on a packet from a subnet.
    pub(super) fn route(&self, vnet: usize, subnet: usize, flow: &Flow) -> Option<Row> {
        let all = self.rows[vnet][subnet].iter().copied();
        let covering = all.filter(|row| row.prefix.has(flow.destination));
        let (endpoints, mut others): (Vec<Row>, Vec<Row>) =
            covering.partition(|row| row.endpoint().is_some());
        let endpoint = if flow.protocol == 6 {
            self.best_endpoint(&endpoints)
        } else {
            // Section 0, step 5: the lookup without rows of endpoints.
            if !endpoints.is_empty() {
                self.note(Note::NotTcpToEndpoint);
            }
            None
        };
        // Exception 3 of 3.4.
        if endpoint.is_some() || others.iter().any(Row::is_inside) {
            let before = others.len();
            others.retain(|row| row.origin != Origin::Gateway);
            if others.len() < before {
                self.note(Note::GatewayHidden);
            }
        }
        let Some(endpoint) = endpoint else {
            let best = best(&others)?;
            let is_rival = |row: &&Row| row.origin.is_user() && row.prefix == best.prefix;
            if others.iter().filter(is_rival).count() > 1 {
                self.note(Note::TagRank);
            }
            return Some(best);
        };
        Some(self.against_endpoint(endpoint, others))
    }

    /// The longest prefix; of equal ones the first name (5.1).
    fn best_endpoint(&self, rows: &[Row]) -> Option<Row> {
        let longest = rows.iter().map(|row| row.prefix.length).max()?;
        let mut rows: Vec<Row> = rows
            .iter()
            .filter(|row| row.prefix.length == longest)
            .copied()
            .collect();
        rows.sort_by_key(|row| row.endpoint().map(|kind| kind.name));
        let names = rows.iter().map(|row| row.endpoint().map(|kind| kind.name));
        if names.clone().min() != names.max() {
            self.note(Note::ServicesTied);
        }
        rows.first().copied()
    }

    /// Section 3.4, rules 4 and 5.
    fn against_endpoint(&self, endpoint: Row, mut others: Vec<Row>) -> Row {
        let precedence = self.topology.settings.precedence;
        if precedence == Precedence::Strict {
            let longer =
                |row: &Row| row.origin.is_user() && row.prefix.length > endpoint.prefix.length;
            if others.iter().any(longer) {
                self.note(Note::EndpointWonAgainstLonger);
            }
            others.retain(|row| !row.origin.is_user());
        }
        let Some(other) = best(&others) else {
            return endpoint;
        };
        let is_observed = precedence == Precedence::Observed && other.origin.is_user();
        let goes_out = matches!(other.kind, Kind::Internet);
        let wins = match other.prefix.length.cmp(&endpoint.prefix.length) {
            std::cmp::Ordering::Less => false,
            std::cmp::Ordering::Greater => !(is_observed && goes_out),
            std::cmp::Ordering::Equal => {
                self.note(Note::EndpointTied);
                let elsewhere = matches!(
                    other.kind,
                    Kind::Appliance(_) | Kind::Gateway | Kind::Nowhere
                );
                other.is_inside() || (is_observed && elsewhere)
            }
        };
        if wins {
            self.note(Note::EndpointLost);
            return other;
        }
        if other.prefix.length > endpoint.prefix.length {
            self.note(Note::EndpointWonAgainstLonger);
        }
        endpoint
    }

    /// Returns the row that decides on a packet from the on-premises side.
    pub(super) fn route_of_gateway(&self, vnet: usize, destination: u32) -> Option<Row> {
        let network = &self.topology.vnets[vnet];
        let ranges = network.ranges.iter().map(|&prefix| Row {
            prefix,
            origin: Origin::Platform,
            kind: Kind::VnetLocal,
        });
        let mut rows: Vec<Row> = ranges.collect();
        let mut subnets = network.subnets.iter();
        let subnet = subnets.find(|subnet| subnet.is_of_gateway);
        if let Some(table) = subnet.and_then(|subnet| subnet.table) {
            for route in &self.topology.tables[table].routes {
                rows.extend(user_rows(self.topology, route));
            }
        }
        rows.retain(|row| row.prefix.has(destination));
        best(&rows)
    }
}
