//! `reconcile` against its specification, over every combination.

use super::*;
use crate::flow::Tunnel;
use crate::policy::{Direction, PortId, ServiceId, SourceId};

const ROUTES: [RouteKind; 8] = [
    RouteKind::VnetLocal,
    RouteKind::VnetPeering,
    RouteKind::VirtualAppliance,
    RouteKind::VirtualNetworkGateway,
    RouteKind::Internet,
    RouteKind::ServiceEndpoint,
    RouteKind::Inbound,
    RouteKind::Platform,
];
const PUBLIC: Ipv4Addr = Ipv4Addr::new(20, 0, 0, 9);
const OTHER_PUBLIC: Ipv4Addr = Ipv4Addr::new(20, 0, 0, 8);
const TO: Ipv4Addr = Ipv4Addr::new(52, 239, 0, 10);

const CLIENT: Ipv6Addr = Ipv6Addr::new(0xfd40, 0, 42, 7, 26, 0x274, 0xa00, 0x104);
const OTHER_CLIENT: Ipv6Addr = Ipv6Addr::new(0xfd40, 0, 43, 7, 26, 0x273, 0xa00, 0x104);
const SERVICE: Ipv6Addr = Ipv6Addr::new(0xfd41, 1, 26, 0x2a3, 0, 0, 0x34ef, 0xa);
const TUNNEL: Tunnel = Tunnel {
    client: CLIENT,
    service: SERVICE,
};
/// A subnet that went and came back has another identity.
const OTHER_TUNNEL: Tunnel = Tunnel {
    client: OTHER_CLIENT,
    service: SERVICE,
};

use std::net::{Ipv4Addr, Ipv6Addr};

fn flows() -> Vec<Why> {
    let mut all = Vec::new();
    for route in ROUTES {
        for service in [None, Some(ServiceId(1))] {
            for (source, public) in [
                (SourceKind::Private, None),
                (SourceKind::OneToOne, Some(PUBLIC)),
                (SourceKind::Shared, Some(PUBLIC)),
            ] {
                for tunnel in [None, Some(TUNNEL)] {
                    all.push(Why {
                        route,
                        service,
                        source,
                        public,
                        egress: PortId(1),
                        destination: TO,
                        tunnel,
                        rules: [None; 4],
                        admission: None,
                    });
                }
            }
        }
    }
    all
}

fn evaluations() -> Vec<Result<Path, Denied>> {
    let mut all = Vec::new();
    for route in ROUTES {
        for service in [None, Some(ServiceId(1)), Some(ServiceId(2))] {
            for source in [
                Source::Unchanged,
                Source::OneToOne(PUBLIC),
                Source::OneToOne(OTHER_PUBLIC),
                Source::Shared(SourceId(0)),
            ] {
                for egress in [PortId(1), PortId(2)] {
                    for destination in [TO, Ipv4Addr::new(10, 0, 0, 4)] {
                        for tunnel in [None, Some(TUNNEL), Some(OTHER_TUNNEL)] {
                            all.push(Ok(Path {
                                route,
                                service,
                                source,
                                egress,
                                destination,
                                tunnel,
                                rules: [None; 4],
                            }));
                        }
                    }
                }
            }
        }
    }
    for &reason in DropReason::ALL {
        let (port, direction) = (PortId(0), Direction::Outbound);
        all.push(Err(Denied {
            reason,
            port,
            direction,
            rule: None,
        }));
    }
    all
}

/// The specification, line by line of the table in the module's documentation.
fn specified(why: &Why, is_tcp: bool, fresh: &Result<Path, Denied>, ours: bool) -> Outcome {
    let changed = if is_tcp {
        Outcome::Close
    } else {
        Outcome::Rebind
    };
    match fresh {
        Err(denied) if denied.reason.name().starts_with("nsg_denied") => Outcome::Deny,
        Err(denied) if denied.reason == DropReason::NotTranslatable => {
            // The way is the Internet's, only a new flow would not be translated.
            if why.route == RouteKind::Internet && why.source != SourceKind::Private && ours {
                Outcome::Keep
            } else {
                changed
            }
        }
        Err(_) => changed,
        Ok(_) if !ours => changed,
        Ok(path) => {
            let same_way = (path.route, path.service, path.egress, path.destination)
                == (why.route, why.service, why.egress, why.destination)
                && path.tunnel == why.tunnel;
            let same_source = match (why.source, path.source) {
                (SourceKind::Private, Source::Unchanged) => true,
                (SourceKind::Private, _) | (_, Source::Unchanged) => false,
                // Another instance address: the flow's went to another NIC.
                (SourceKind::OneToOne, Source::OneToOne(address)) => why.public == Some(address),
                // From one kind of public source to another: live flows keep theirs.
                _ => true,
            };
            if same_way && same_source {
                Outcome::Keep
            } else {
                changed
            }
        }
    }
}

#[test]
fn every_combination_is_as_specified() {
    let mut seen = std::collections::HashMap::new();
    for why in flows() {
        for fresh in evaluations() {
            for is_tcp in [false, true] {
                for ours in [false, true] {
                    let outcome = reconcile(&why, is_tcp, &fresh, ours);
                    let expected = specified(&why, is_tcp, &fresh, ours);
                    assert_eq!(outcome, expected, "{why:?} {is_tcp} {fresh:?} {ours}");
                    *seen.entry(format!("{outcome:?}")).or_insert(0) += 1;
                }
            }
        }
    }
    assert_eq!(seen.len(), 4, "every outcome occurs: {seen:?}");
}

#[test]
fn switching_an_endpoint_closes_tcp_and_leaves_the_rest() {
    let public = Why {
        route: RouteKind::Internet,
        service: None,
        source: SourceKind::Shared,
        public: Some(PUBLIC),
        egress: PortId(1),
        destination: TO,
        tunnel: None,
        rules: [None; 4],
        admission: None,
    };
    let private = Ok(Path {
        route: RouteKind::ServiceEndpoint,
        service: Some(ServiceId(1)),
        source: Source::Unchanged,
        egress: PortId(1),
        destination: TO,
        tunnel: None,
        rules: [None; 4],
    });
    assert_eq!(reconcile(&public, true, &private, true), Outcome::Close);
}
