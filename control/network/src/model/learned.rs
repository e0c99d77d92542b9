//! What gateways have learned: state beside the model, which stays what its user applied.

use super::{Gateway, RouteProtocol};
use ipnet::Ipv4Net;
use std::collections::BTreeMap;
use std::net::Ipv4Addr;

/// The most prefixes that one gateway learns, as one BGP peer of an Azure gateway may announce.
/// Azure ends the session beyond; there is no session here, so the first ones in the order of their
/// addresses stand and the rest is left out: the same ones whatever order they came in.
pub const MOST_LEARNED: usize = 4000;

/// A route that a daemon put into the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LearnedRoute {
    /// What it covers.
    pub prefix: Ipv4Net,
    /// The router behind the gateway that it leads to; none if it leads to a device.
    pub next_hop: Option<Ipv4Addr>,
    /// Who put it there.
    pub protocol: RouteProtocol,
    /// The kernel's metric.
    pub metric: u32,
}

/// What one gateway has learned.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GatewayRoutes {
    /// Its routes in the order of their prefixes, each prefix once.
    pub routes: Vec<LearnedRoute>,
    /// How many more there are than it takes.
    pub left_out: usize,
}

impl GatewayRoutes {
    /// Takes routes in the order of their prefixes, up to [`MOST_LEARNED`].
    #[must_use]
    pub fn new(mut routes: Vec<LearnedRoute>) -> Self {
        let left_out = routes.len().saturating_sub(MOST_LEARNED);
        routes.truncate(MOST_LEARNED);
        Self { routes, left_out }
    }

    /// Returns what the routes cover.
    pub fn prefixes(&self) -> impl Iterator<Item = Ipv4Net> {
        self.routes.iter().map(|route| route.prefix)
    }
}

/// What gateways have learned.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Learned {
    gateways: BTreeMap<String, GatewayRoutes>,
}

impl Learned {
    /// Returns what a gateway has learned.
    #[must_use]
    pub fn of(&self, gateway: &str) -> Option<&GatewayRoutes> {
        self.gateways.get(gateway)
    }

    /// Puts what a gateway has learned in the place of what it had.
    pub fn set(&mut self, gateway: &str, routes: GatewayRoutes) {
        self.gateways.insert(gateway.to_owned(), routes);
    }

    /// Keeps the gateways that `is_kept` says yes to.
    pub fn retain(&mut self, is_kept: impl Fn(&str) -> bool) {
        self.gateways.retain(|gateway, _| is_kept(gateway));
    }

    /// Returns every prefix that is known to be behind a gateway: those that were written down, and
    /// those that it learned besides.
    pub fn behind<'l>(&'l self, gateway: &'l Gateway) -> impl Iterator<Item = Ipv4Net> + 'l {
        let written = &gateway.address_prefixes;
        let learned = self.of(&gateway.name).into_iter();
        let learned = learned.flat_map(GatewayRoutes::prefixes);
        written
            .iter()
            .copied()
            .chain(learned.filter(|prefix| !written.contains(prefix)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn beyond_the_limit_the_first_prefixes_stand() {
        let route = |number: u32| LearnedRoute {
            prefix: Ipv4Net::from(Ipv4Addr::from(0x0b00_0000 + number)),
            next_hop: None,
            protocol: RouteProtocol(12),
            metric: 32,
        };
        let routes = GatewayRoutes::new((0..4003).map(route).collect());
        assert_eq!((routes.routes.len(), routes.left_out), (MOST_LEARNED, 3));
        assert_eq!(routes.prefixes().last(), Some(route(3999).prefix));
        let routes = GatewayRoutes::new((0..4000).map(route).collect());
        assert_eq!((routes.routes.len(), routes.left_out), (4000, 0));
    }
}
