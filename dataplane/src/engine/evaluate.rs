//! What the policy says of a flow: the layers in order, without side effects.
//!
//! ownership, NSG out, route, source, destination (NSG in). The platform's own addresses are known
//! before any route is asked. The result is complete: given a public port where the source asks for
//! one, it is all that is needed to open the flow.

use super::ownership;
use crate::flow::{RouteKind, SourceKind, Tunnel};
use crate::policy::{
    Access, Delivery, Direction, Gateway, NextHop, Nic, Nsg, PortId, PortKind, PublicAddress,
    PublicSource, RuleId, ServiceId, Snapshot, SourceId, Subnet, Tuple, VnetIndex,
};
use crate::stats::DropReason;
use crate::wire::{AH, ICMP, TCP, UDP};
use std::net::Ipv4Addr;
use std::sync::Arc;

/// The UDP port of a NIC that the platform's host keeps for itself (reference section 3.5).
const HOST_PORT: u16 = 65_330;

/// The source that a flow is to get.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// The one it has.
    Unchanged,
    /// This address, port unchanged.
    OneToOne(Ipv4Addr),
    /// A port of this shared source.
    Shared(SourceId),
}

impl Source {
    /// Returns what the responder sees.
    #[must_use]
    pub const fn kind(self) -> SourceKind {
        match self {
            Self::Unchanged => SourceKind::Private,
            Self::OneToOne(_) => SourceKind::OneToOne,
            Self::Shared(_) => SourceKind::Shared,
        }
    }
}

/// What is to become of a flow that may begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Path {
    /// The kind of route.
    pub route: RouteKind,
    /// The service, if an endpoint leads to it.
    pub service: Option<ServiceId>,
    /// The source that the responder is to see.
    pub source: Source,
    /// The port to leave by.
    pub egress: PortId,
    /// The address to be delivered to.
    pub destination: Ipv4Addr,
    /// The ends as the service is to see them, if it gets them over IPv6 with an identity.
    pub tunnel: Option<Tunnel>,
    /// The rules that allowed it: the sender's NIC and subnet, the receiver's subnet and NIC.
    pub rules: [Option<RuleId>; 4],
}

/// Why a flow may not begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Denied {
    /// The reason.
    pub reason: DropReason,
    /// The port where it is counted: the ingress port, but the receiver's for its NSG.
    pub port: PortId,
    /// The direction seen from that port.
    pub direction: Direction,
    /// The NSG rule that denied it, if one did.
    pub rule: Option<RuleId>,
}

/// Whether NSGs are asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NsgMode {
    /// They are: for new flows.
    Enforce,
    /// They are not: for flows that they admitted once.
    Ignore,
}

/// A flow to be judged.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// The policy.
    pub snapshot: &'a Snapshot,
    /// The port that the first packet came in by.
    pub ingress: PortId,
    /// The first packet's tuple; ports 0 for ICMP.
    pub tuple: Tuple,
    /// Whether the first packet is a fragment.
    pub is_fragment: bool,
    /// Whether NSGs are asked.
    pub nsg: NsgMode,
}

type Rules = [Option<RuleId>; 2];

impl Request<'_> {
    /// Returns what the policy says of the flow.
    ///
    /// # Errors
    ///
    /// [`Denied`] if the flow may not begin.
    pub fn evaluate(&self) -> Result<Path, Denied> {
        // One place for what is found: it is large to be handed on from layer to layer.
        let mut path = Path {
            route: RouteKind::Internet,
            service: None,
            source: Source::Unchanged,
            egress: self.ingress,
            destination: self.tuple.destination,
            tunnel: None,
            rules: [None; 4],
        };
        self.enter(&mut path)?;
        Ok(path)
    }

    fn enter(&self, path: &mut Path) -> Result<(), Denied> {
        let Some(port) = self.snapshot.port(self.ingress) else {
            return Err(self.denied(Direction::Inbound, DropReason::NoPort));
        };
        let inbound = |reason| Err(self.denied(Direction::Inbound, reason));
        let (source, destination) = (self.tuple.source, self.tuple.destination);
        let owned = ownership::check(self.snapshot, self.ingress, &port.kind, source);
        let sound = match owned {
            Ok(()) if source == destination => Err(DropReason::Land),
            other => other,
        };
        match (&port.kind, sound) {
            (PortKind::Nic(_), Err(reason)) => Err(self.out(reason)),
            (_, Err(reason)) => inbound(reason),
            (PortKind::Nic(nic), _) => self.leaving_nic(nic, path),
            (PortKind::Internet, _) => self.entering_from_internet(path),
            (PortKind::Gateway(gateway), _) => self.entering_from_gateway(gateway, path),
            (PortKind::Service, _) => inbound(DropReason::ServiceInitiated),
            (PortKind::Platform, _) => inbound(DropReason::PlatformInitiated),
        }
    }

    fn denied(&self, direction: Direction, reason: DropReason) -> Denied {
        Denied {
            reason,
            port: self.ingress,
            direction,
            rule: None,
        }
    }

    fn out(&self, reason: DropReason) -> Denied {
        self.denied(Direction::Outbound, reason)
    }

    fn leaving_nic(&self, nic: &Nic, path: &mut Path) -> Result<(), Denied> {
        let is_own = nic.addresses.contains(&self.tuple.source);
        if self.tuple.protocol == UDP && self.tuple.source_port == HOST_PORT {
            return Err(self.out(DropReason::ReservedPort));
        }
        let subnet = self
            .snapshot
            .subnet(nic.subnet)
            .ok_or_else(|| self.out(DropReason::NoPort))?;
        self.route(nic, subnet, path)?;
        let is_for_own_alone = matches!(
            path.route,
            RouteKind::ServiceEndpoint | RouteKind::Internet | RouteKind::Platform
        );
        if !is_own && is_for_own_alone {
            // An endpoint, a public source and the platform serve no address behind the NIC.
            return Err(self.out(DropReason::SourceNotOwned));
        }
        self.deliver(path, subnet)
    }

    fn entering_from_gateway(&self, gateway: &Gateway, path: &mut Path) -> Result<(), Denied> {
        let destination = self.tuple.destination;
        let route = gateway.routes.lookup(destination);
        let route = route.filter(|_| !self.snapshot.platform.contains_key(&destination));
        let followed = match route.map(|route| route.next_hop) {
            // An on-premises host has no public source, no endpoint and no platform here.
            Some(NextHop::Internet) | None => {
                return Err(self.denied(Direction::Inbound, DropReason::RouteNone));
            }
            Some(next_hop) => self.follow(next_hop, gateway.vnet, path),
        };
        followed.map_err(|denied| Denied {
            direction: Direction::Inbound,
            ..denied
        })?;
        self.admit(path, self.tuple)
    }

    /// NSG out, route and source.
    fn route(&self, nic: &Nic, subnet: &Subnet, path: &mut Path) -> Result<(), Denied> {
        let [by_nic, by_subnet] = self.nsgs(
            [&nic.nsg, &subnet.nsg],
            self.ingress,
            Direction::Outbound,
            &self.tuple,
        )?;
        let destination = self.tuple.destination;
        let mut route = subnet.routes.lookup(destination);
        let endpoint = match self.tuple.protocol {
            TCP => subnet.endpoints.lookup(destination),
            _ => None,
        };
        path.rules = [by_nic, by_subnet, None, None];
        if let Some(&port) = self.snapshot.platform.get(&destination) {
            path.route = RouteKind::Platform;
            path.egress = port;
            return Ok(());
        }
        if let Some(endpoint) = endpoint {
            let rival = subnet.rivals.lookup(destination);
            route = rival.filter(|rival| rival.beats(endpoint));
            if route.is_none() {
                path.route = RouteKind::ServiceEndpoint;
                path.service = Some(endpoint.service);
                return Ok(());
            }
        }
        match route.map(|route| route.next_hop) {
            Some(NextHop::Internet) => path.source = self.public_source(nic)?,
            Some(next_hop) => return self.follow(next_hop, subnet.vnet, path),
            None => return Err(self.out(DropReason::RouteNone)),
        }
        Ok(())
    }

    /// Finds the port that a private next hop leads to, from within `vnet`.
    fn follow(&self, next_hop: NextHop, vnet: VnetIndex, path: &mut Path) -> Result<(), Denied> {
        let destination = path.destination;
        let lost = |reason| move || self.out(reason);
        let nic_in = |vnet| {
            let nics = self.snapshot.vnet(vnet).map(|vnet| &vnet.nics);
            let port = nics.and_then(|nics| nics.get(&destination)).copied();
            port.filter(|&port| port != self.ingress)
                .ok_or_else(lost(DropReason::NoSuchNic))
        };
        let takes_forwarded = match next_hop {
            NextHop::VnetLocal => {
                path.route = RouteKind::VnetLocal;
                path.egress = nic_in(vnet)?;
                true
            }
            NextHop::VnetPeering(peer) => {
                path.route = RouteKind::VnetPeering;
                path.egress = nic_in(peer.vnet)?;
                peer.takes_forwarded
            }
            NextHop::VirtualAppliance(appliance) => {
                let appliance = appliance.ok_or_else(lost(DropReason::NoAppliance))?;
                path.route = RouteKind::VirtualAppliance;
                path.egress = appliance.port;
                appliance.takes_forwarded
            }
            NextHop::VirtualNetworkGateway(port) => {
                path.route = RouteKind::VirtualNetworkGateway;
                path.egress = port.ok_or_else(lost(DropReason::NoGateway))?;
                true
            }
            NextHop::Internet | NextHop::None => return Err(self.out(DropReason::RouteNone)),
        };
        if path.egress == self.ingress {
            return Err(self.out(DropReason::RouteLoop));
        }
        let began_here = || {
            let vnet = self.snapshot.vnet(vnet);
            vnet.is_some_and(|vnet| vnet.nics.contains_key(&self.tuple.source))
        };
        if !takes_forwarded && !began_here() {
            return Err(self.out(DropReason::ForwardedNotAllowed));
        }
        Ok(())
    }

    fn public_source(&self, nic: &Nic) -> Result<Source, Denied> {
        match nic.public {
            PublicSource::None => Err(self.out(DropReason::NoPublicSource)),
            // Its receiver could not verify it.
            _ if self.tuple.protocol == AH => Err(self.out(DropReason::NotTranslatable)),
            PublicSource::OneToOne(address) => Ok(Source::OneToOne(address)),
            PublicSource::Shared(id) => {
                let source = self
                    .snapshot
                    .source(id)
                    .ok_or_else(|| self.out(DropReason::NoPublicSource))?;
                let is_translated = match self.tuple.protocol {
                    TCP | UDP => true,
                    ICMP => source.icmp,
                    _ => false,
                };
                if !is_translated || (self.is_fragment && !source.fragments) {
                    return Err(self.out(DropReason::NotTranslatable));
                }
                Ok(Source::Shared(id))
            }
        }
    }

    /// Finds the port that has the destination, and asks the receiver's NSGs.
    fn deliver(&self, path: &mut Path, subnet: &Subnet) -> Result<(), Denied> {
        match path.route {
            RouteKind::Platform => Ok(()),
            RouteKind::VnetLocal
            | RouteKind::VnetPeering
            | RouteKind::VirtualAppliance
            | RouteKind::VirtualNetworkGateway => self.admit(path, self.tuple),
            RouteKind::ServiceEndpoint => match self.snapshot.services.get(&path.destination) {
                Some(service) => {
                    path.egress = service.port;
                    path.tunnel = self.tunnel(service.delivery, subnet);
                    Ok(())
                }
                None => Err(self.out(DropReason::NoSuchService)),
            },
            RouteKind::Internet | RouteKind::Inbound => self.deliver_public(path),
        }
    }

    /// Returns the ends of the flow as a service sees them that gets it over IPv6. The identity is
    /// that of the subnet in which the packet entered.
    fn tunnel(&self, delivery: Delivery, subnet: &Subnet) -> Option<Tunnel> {
        match delivery {
            Delivery::Native => None,
            Delivery::Tunnel(prefix) => Some(Tunnel {
                client: subnet.identity.address(self.tuple.source),
                service: prefix.address(self.tuple.destination),
            }),
        }
    }

    /// A service address, another NIC's public address, or the Internet.
    fn deliver_public(&self, path: &mut Path) -> Result<(), Denied> {
        if let Some(service) = self.snapshot.services.get(&path.destination) {
            path.egress = service.port;
            return Ok(());
        }
        match self.snapshot.publics.get(&path.destination) {
            Some(&PublicAddress::OneToOne(port)) => {
                let seen = match path.source {
                    Source::Unchanged => self.tuple.source,
                    Source::OneToOne(address) => address,
                    // The port is not leased yet, and rules on it would be of no use.
                    Source::Shared(id) => self
                        .snapshot
                        .source(id)
                        .and_then(|source| source.addresses.first().copied())
                        .unwrap_or(self.tuple.source),
                };
                self.deliver_to_instance(path, port, seen)
            }
            Some(PublicAddress::Shared(_)) => Err(self.out(DropReason::NoFlow)),
            None => {
                path.egress = self
                    .snapshot
                    .internet
                    .ok_or_else(|| self.out(DropReason::RouteNone))?;
                Ok(())
            }
        }
    }

    fn entering_from_internet(&self, path: &mut Path) -> Result<(), Denied> {
        if let Some(service) = self.snapshot.services.get(&path.destination) {
            path.egress = service.port;
            return Ok(());
        }
        match self.snapshot.publics.get(&path.destination) {
            Some(&PublicAddress::OneToOne(port)) => {
                path.route = RouteKind::Inbound;
                self.deliver_to_instance(path, port, self.tuple.source)
            }
            Some(PublicAddress::Shared(_)) | None => {
                Err(self.denied(Direction::Inbound, DropReason::NoFlow))
            }
        }
    }

    /// Delivers to the NIC that owns a public address: its NSGs see the private destination.
    fn deliver_to_instance(
        &self,
        path: &mut Path,
        port: PortId,
        seen_source: Ipv4Addr,
    ) -> Result<(), Denied> {
        let lost = |reason| move || self.denied(Direction::Inbound, reason);
        let no_such_nic = lost(DropReason::NoSuchNic);
        let nic = self.snapshot.nic(port).ok_or_else(no_such_nic)?;
        let &private = nic.addresses.first().ok_or_else(no_such_nic)?;
        if port == self.ingress {
            return Err(self.out(DropReason::Land));
        }
        if self.tuple.protocol == AH {
            return Err(lost(DropReason::NotTranslatable)());
        }
        // Where answers go by another way than packets came, no connection comes about
        // (reference section 3.5).
        let subnet = self.snapshot.subnet(nic.subnet);
        let back = subnet.and_then(|subnet| subnet.routes.lookup(seen_source));
        if back.is_none_or(|route| route.next_hop != NextHop::Internet) {
            return Err(lost(DropReason::ReturnElsewhere)());
        }
        path.egress = port;
        path.destination = private;
        self.admit(
            path,
            Tuple {
                source: seen_source,
                destination: private,
                ..self.tuple
            },
        )
    }

    /// Asks the NSGs of the NIC at `path.egress`.
    fn admit(&self, path: &mut Path, tuple: Tuple) -> Result<(), Denied> {
        let receiver = path.egress;
        let Some(nic) = self.snapshot.nic(receiver) else {
            return Ok(());
        };
        if tuple.protocol == UDP && tuple.destination_port == HOST_PORT {
            // Its answers could not leave.
            return Err(Denied {
                reason: DropReason::ReservedPort,
                port: receiver,
                direction: Direction::Inbound,
                rule: None,
            });
        }
        let none = None;
        let subnet_nsg = self
            .snapshot
            .subnet(nic.subnet)
            .map_or(&none, |subnet| &subnet.nsg);
        let [by_subnet, by_nic] =
            self.nsgs([subnet_nsg, &nic.nsg], receiver, Direction::Inbound, &tuple)?;
        let [out_nic, out_subnet, ..] = path.rules;
        path.rules = [out_nic, out_subnet, by_subnet, by_nic];
        Ok(())
    }

    /// Asks two NSGs in this order; an absent one allows, the first denial ends it.
    fn nsgs(
        &self,
        groups: [&Option<Arc<Nsg>>; 2],
        port: PortId,
        direction: Direction,
        tuple: &Tuple,
    ) -> Result<Rules, Denied> {
        let mut rules = [None; 2];
        if self.nsg == NsgMode::Ignore {
            return Ok(rules);
        }
        for (group, rule) in groups.into_iter().zip(&mut rules) {
            let Some(group) = group else { continue };
            let decision = group.evaluate(direction, tuple);
            if decision.access == Access::Deny {
                let reason = match direction {
                    Direction::Outbound => DropReason::NsgDeniedOut,
                    Direction::Inbound => DropReason::NsgDeniedIn,
                };
                return Err(Denied {
                    reason,
                    port,
                    direction,
                    rule: decision.rule,
                });
            }
            *rule = decision.rule;
        }
        Ok(rules)
    }
}
