//! What the reference says of a packet, read section by section and without any cleverness: every
//! list is walked from its beginning to its end. Nothing of the compiler or of the policy is used;
//! the names of routes and of reasons are the common language that answers are compared in.

mod groups;
mod routes;
mod sources;

use super::prefix::Prefix;
use super::topology::{Flow, PLATFORM, Port, Topology};
pub use groups::not_public;
use postern_dataplane::flow::RouteKind;
use postern_dataplane::stats::DropReason;
use routes::{Kind, Row};
use std::cell::Cell;

/// A rule by the places of its group and of itself; default rules follow [`DEFAULT`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RuleAt {
    pub group: usize,
    pub rule: usize,
}

/// The place of the first default rule in every group.
pub const DEFAULT: usize = 10_000;

/// The default rules in the order of their priorities, inbound ones first.
pub const DEFAULTS: [&str; 6] = [
    "AllowVnetInBound",
    "AllowAzureLoadBalancerInBound",
    "DenyAllInBound",
    "AllowVnetOutBound",
    "AllowInternetOutBound",
    "DenyAllOutBound",
];

/// The source that a flow gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    Unchanged,
    OneToOne(u32),
    /// A port of this NAT gateway; the default outbound source comes behind all of them.
    Shared(usize),
}

/// A flow that may begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pass {
    pub route: RouteKind,
    pub service: Option<&'static str>,
    pub source: Source,
    pub egress: Port,
    pub destination: u32,
    /// Sender's NIC, sender's subnet, receiver's subnet, receiver's NIC.
    pub rules: [Option<RuleAt>; 4],
}

/// A flow that may not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drop {
    pub reason: DropReason,
    pub port: Port,
    pub is_inbound: bool,
    pub rule: Option<RuleAt>,
}

pub type Answer = Result<Pass, Drop>;

/// What was special on the way to an answer: so that the test can tell that it happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Note {
    /// An endpoint covers the destination, and another row of the same or a longer prefix won.
    EndpointLost,
    /// An endpoint won against a user's row with a longer prefix.
    EndpointWonAgainstLonger,
    /// An endpoint and the row that it was held against had one prefix.
    EndpointTied,
    /// A row of the gateway was not a candidate because of exception 3.
    GatewayHidden,
    /// Two user rows of one prefix were told apart by what they were written as.
    TagRank,
    /// A packet that is not TCP went to a prefix of an endpoint.
    NotTcpToEndpoint,
    /// Two services of a subnet's endpoints have one prefix.
    ServicesTied,
    /// The destination was exempt from the groups.
    Exempt,
    /// A rule of the 13th place or later, among those of its direction, decided.
    LateRule,
    /// A rule with a set of application security groups decided.
    ByGroups,
    /// A rule with a service tag decided.
    ByTag,
    /// A route for everything put every address into `VirtualNetwork`.
    WideTag,
    /// An appliance of a peered network.
    PeerAppliance,
}

impl Note {
    pub const ALL: [Self; 13] = [
        Self::EndpointLost,
        Self::EndpointWonAgainstLonger,
        Self::EndpointTied,
        Self::GatewayHidden,
        Self::TagRank,
        Self::NotTcpToEndpoint,
        Self::ServicesTied,
        Self::Exempt,
        Self::LateRule,
        Self::ByGroups,
        Self::ByTag,
        Self::WideTag,
        Self::PeerAppliance,
    ];
}

/// The oracle of one topology.
pub struct Oracle<'t> {
    topology: &'t Topology,
    /// The rows of each subnet of each network.
    rows: Vec<Vec<Vec<Row>>>,
    /// What `VirtualNetwork` stands for in each subnet of each network.
    virtual_network: Vec<Vec<Vec<Prefix>>>,
    not_public: Vec<Prefix>,
    notes: Cell<u32>,
}

impl<'t> Oracle<'t> {
    pub fn new(topology: &'t Topology) -> Self {
        Self {
            topology,
            rows: in_each_subnet(topology, routes::rows),
            virtual_network: in_each_subnet(topology, groups::virtual_network),
            not_public: groups::not_public(),
            notes: Cell::new(0),
        }
    }

    fn note(&self, note: Note) {
        self.notes.set(self.notes.get() | 1 << note as u32);
    }

    /// Returns what was special since it was last asked, a bit for each note.
    pub fn take_notes(&self) -> u32 {
        self.notes.take()
    }

    /// Returns what becomes of a flow.
    pub fn judge(&self, flow: &Flow) -> Answer {
        let is_inbound = !matches!(flow.ingress, Port::Nic(_));
        if let Some(reason) = self.forged(flow) {
            return Err(drop(flow, is_inbound, reason));
        }
        if flow.source == flow.destination {
            return Err(drop(flow, is_inbound, DropReason::Land));
        }
        match flow.ingress {
            Port::Nic(nic) => self.nic_sends(flow, nic),
            Port::Internet => self.internet_sends(flow),
            Port::Gateway(gateway) => self.premises_send(flow, gateway),
            // Section 0: services never open connections, nor does the platform (2.4).
            Port::Services(_) => Err(drop(flow, true, DropReason::ServiceInitiated)),
            Port::Platform => Err(drop(flow, true, DropReason::PlatformInitiated)),
        }
    }

    /// Section 0, steps 1 to 6.
    fn nic_sends(&self, flow: &Flow, at: usize) -> Answer {
        let nic = &self.topology.nics[at];
        let out = |reason| Err(drop(flow, false, reason));
        let is_own = flow.source == nic.address;
        // Section 3.5: the port is the host's.
        if (flow.protocol, flow.source_port) == (17, 65_330) {
            return out(DropReason::ReservedPort);
        }
        let subnet = &self.topology.vnets[nic.vnet].subnets[nic.subnet];
        let mut pass = Pass {
            route: RouteKind::Internet,
            service: None,
            source: Source::Unchanged,
            egress: flow.ingress,
            destination: flow.destination,
            rules: [None; 4],
        };
        pass.rules[0] = self.ask(nic.nsg, at, false, flow)?;
        pass.rules[1] = self.ask(subnet.nsg, at, false, flow)?;
        if PLATFORM.contains(&flow.destination) {
            // Section 2.4: no table routes it, and it serves the NIC alone.
            if !is_own {
                return out(DropReason::SourceNotOwned);
            }
            return Ok(Pass {
                route: RouteKind::Platform,
                egress: Port::Platform,
                ..pass
            });
        }
        let Some(row) = self.route(nic.vnet, nic.subnet, flow) else {
            return out(DropReason::RouteNone);
        };
        match row.kind {
            Kind::Endpoint(kind) => {
                // Section 10: an endpoint is the NIC's own, not that of what is behind it.
                if !is_own {
                    return out(DropReason::SourceNotOwned);
                }
                pass.route = RouteKind::ServiceEndpoint;
                pass.service = Some(kind.family);
                match self.service_at(flow.destination) {
                    Some(port) => Ok(Pass {
                        egress: port,
                        ..pass
                    }),
                    None => out(DropReason::NoSuchService),
                }
            }
            Kind::Internet => {
                pass.source = self.public_source(flow, at)?;
                if !is_own {
                    return out(DropReason::SourceNotOwned);
                }
                self.to_public(flow, pass)
            }
            _ => self.to_private(flow, nic.vnet, false, row, pass),
        }
    }

    /// Section 9: the gateway of the subnet, the NIC's own address, the default, nothing.
    fn public_source(&self, flow: &Flow, at: usize) -> Result<Source, Drop> {
        let nic = &self.topology.nics[at];
        let subnet = &self.topology.vnets[nic.vnet].subnets[nic.subnet];
        let shared = match (subnet.nat_gateway, nic.public) {
            (Some(gateway), _) => gateway,
            (None, Some(own)) => return Ok(Source::OneToOne(own)),
            (None, None) if subnet.default_outbound && self.topology.default_outbound.is_some() => {
                self.topology.nat_gateways.len()
            }
            (None, None) => return Err(drop(flow, false, DropReason::NoPublicSource)),
        };
        let settings = &self.topology.settings;
        if (flow.protocol == 1 && !settings.shared_icmp)
            || (flow.is_fragment && !settings.shared_fragments)
        {
            return Err(drop(flow, false, DropReason::NotTranslatable));
        }
        Ok(Source::Shared(shared))
    }

    /// Towards a NIC or a gateway, with the source unchanged.
    fn to_private(
        &self,
        flow: &Flow,
        vnet: usize,
        is_inbound: bool,
        row: Row,
        mut pass: Pass,
    ) -> Answer {
        let lost = |reason| drop(flow, is_inbound, reason);
        let nic_of = |vnet| {
            let nic = self.topology.nic_at(vnet, flow.destination);
            let nic = nic.map(Port::Nic).filter(|port| *port != flow.ingress);
            nic.ok_or(lost(DropReason::NoSuchNic))
        };
        let mut takes_forwarded = true;
        (pass.route, pass.egress) = match row.kind {
            Kind::VnetLocal => (RouteKind::VnetLocal, nic_of(vnet)?),
            Kind::Peer(peer, takes) => {
                takes_forwarded = takes;
                (RouteKind::VnetPeering, nic_of(peer)?)
            }
            Kind::Appliance(address) => {
                // In the network itself, else in the first peer that has it; it has to forward.
                let own = [(vnet, true)].into_iter();
                let mut places = own.chain(self.topology.peers(vnet));
                let found = places.find_map(|(place, takes)| {
                    let nic = self.topology.nic_at(place, address)?;
                    self.topology.nics[nic].forwards.then_some((nic, takes))
                });
                let (nic, takes) = found.ok_or(lost(DropReason::NoAppliance))?;
                if self.topology.nics[nic].vnet != vnet {
                    self.note(Note::PeerAppliance);
                }
                takes_forwarded = takes;
                (RouteKind::VirtualAppliance, Port::Nic(nic))
            }
            Kind::Gateway => {
                let gateway = self.topology.gateway_of(vnet);
                let gateway = gateway.ok_or(lost(DropReason::NoGateway))?;
                (RouteKind::VirtualNetworkGateway, Port::Gateway(gateway))
            }
            Kind::Nowhere | Kind::Internet | Kind::Endpoint(_) => {
                return Err(lost(DropReason::RouteNone));
            }
        };
        if pass.egress == flow.ingress {
            return Err(lost(DropReason::RouteLoop));
        }
        // Section 10: a peer takes what did not begin next door only if it says so.
        if !takes_forwarded && self.topology.nic_at(vnet, flow.source).is_none() {
            return Err(lost(DropReason::ForwardedNotAllowed));
        }
        self.admit(flow, pass)
    }

    /// Section 4.2: the receiver's subnet, then its NIC. `flow` is as the receiver sees it.
    fn admit(&self, flow: &Flow, mut pass: Pass) -> Answer {
        if let Port::Nic(receiver) = pass.egress {
            let nic = &self.topology.nics[receiver];
            let subnet = &self.topology.vnets[nic.vnet].subnets[nic.subnet];
            if (flow.protocol, flow.destination_port) == (17, 65_330) {
                return Err(Drop {
                    port: pass.egress,
                    ..drop(flow, true, DropReason::ReservedPort)
                });
            }
            pass.rules[2] = self.ask(subnet.nsg, receiver, true, flow)?;
            pass.rules[3] = self.ask(nic.nsg, receiver, true, flow)?;
        }
        Ok(pass)
    }

    fn service_at(&self, address: u32) -> Option<Port> {
        let mut services = self.topology.services.iter();
        let service = services.find(|service| service.address == address)?;
        Some(Port::Services(service.namespace))
    }

    /// Whether a NAT gateway or the default outbound source has the address.
    fn is_shared(&self, address: u32) -> bool {
        let mut gateways = self.topology.nat_gateways.iter();
        gateways.any(|addresses| addresses.contains(&address))
            || self.topology.default_outbound == Some(address)
    }

    /// From a NIC by the public side: a service, another NIC's own address, the Internet.
    fn to_public(&self, flow: &Flow, pass: Pass) -> Answer {
        if let Some(egress) = self.service_at(flow.destination) {
            return Ok(Pass { egress, ..pass });
        }
        let seen = match pass.source {
            Source::Unchanged => flow.source,
            Source::OneToOne(address) => address,
            // Which of the addresses it will be is not known yet.
            Source::Shared(at) => match self.topology.nat_gateways.get(at) {
                Some(addresses) => addresses[0],
                None => self.topology.default_outbound.unwrap(),
            },
        };
        let mut nics = self.topology.nics.iter();
        if let Some(nic) = nics.position(|nic| nic.public == Some(flow.destination)) {
            return self.to_instance(flow, pass, nic, seen);
        }
        if self.is_shared(flow.destination) {
            return Err(drop(flow, false, DropReason::NoFlow));
        }
        if !self.topology.has_internet {
            return Err(drop(flow, false, DropReason::RouteNone));
        }
        Ok(Pass {
            egress: Port::Internet,
            ..pass
        })
    }

    fn internet_sends(&self, flow: &Flow) -> Answer {
        let pass = Pass {
            route: RouteKind::Internet,
            service: None,
            source: Source::Unchanged,
            egress: flow.ingress,
            destination: flow.destination,
            rules: [None; 4],
        };
        if let Some(egress) = self.service_at(flow.destination) {
            return Ok(Pass { egress, ..pass });
        }
        let mut nics = self.topology.nics.iter();
        match nics.position(|nic| nic.public == Some(flow.destination)) {
            Some(nic) => {
                let route = RouteKind::Inbound;
                self.to_instance(flow, Pass { route, ..pass }, nic, flow.source)
            }
            None => Err(drop(flow, true, DropReason::NoFlow)),
        }
    }

    /// To the NIC that has the public address: its groups see what is left of the translations. The
    /// way back has to be the public side (section 3.5).
    fn to_instance(&self, flow: &Flow, pass: Pass, at: usize, seen: u32) -> Answer {
        let nic = &self.topology.nics[at];
        if flow.ingress == Port::Nic(at) {
            return Err(drop(flow, false, DropReason::Land));
        }
        let back = Flow {
            destination: seen,
            protocol: 17,
            ..*flow
        };
        let notes = self.notes.get();
        let back = self.route(nic.vnet, nic.subnet, &back);
        self.notes.set(notes);
        if back.is_none_or(|row| !matches!(row.kind, Kind::Internet)) {
            return Err(drop(flow, true, DropReason::ReturnElsewhere));
        }
        let inside = Flow {
            source: seen,
            destination: nic.address,
            ..*flow
        };
        let pass = Pass {
            egress: Port::Nic(at),
            destination: nic.address,
            ..pass
        };
        self.admit(&inside, pass)
    }

    /// From the on-premises side: into the network, or where the user's routes of `GatewaySubnet`
    /// lead. It is no way to peers, endpoints or the Internet (section 10).
    fn premises_send(&self, flow: &Flow, at: usize) -> Answer {
        let vnet = self.topology.gateways[at].vnet;
        let pass = Pass {
            route: RouteKind::VnetLocal,
            service: None,
            source: Source::Unchanged,
            egress: flow.ingress,
            destination: flow.destination,
            rules: [None; 4],
        };
        match self.route_of_gateway(vnet, flow.destination) {
            Some(row) if !PLATFORM.contains(&flow.destination) => {
                self.to_private(flow, vnet, true, row, pass)
            }
            _ => Err(drop(flow, true, DropReason::RouteNone)),
        }
    }
}

/// Returns a list for each subnet of each network.
fn in_each_subnet<T>(
    topology: &Topology,
    list: impl Fn(&Topology, usize, usize) -> Vec<T>,
) -> Vec<Vec<Vec<T>>> {
    let of_vnet = |vnet: usize| {
        let subnets = 0..topology.vnets[vnet].subnets.len();
        subnets.map(|subnet| list(topology, vnet, subnet)).collect()
    };
    (0..topology.vnets.len()).map(of_vnet).collect()
}

fn drop(flow: &Flow, is_inbound: bool, reason: DropReason) -> Drop {
    Drop {
        reason,
        port: flow.ingress,
        is_inbound,
        rule: None,
    }
}
