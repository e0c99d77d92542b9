//! The public addresses that resources get which name none.

use super::loader::Loader;
use super::problem::Problem;
use super::section::{At, Section};
use crate::catalog::{Locations, Service};
use crate::model::NOT_PUBLIC;
use ipnet::Ipv4Net;

const KEYS: &[&str] = &[
    "prefixes",
    "addressesPerSubscription",
    "addressesPerResourceGroup",
];
const PREFIXES: &str = "a list of public IPv4 prefixes such as [\"20.90.0.0/24\"]";

impl Loader<'_> {
    /// Reads the pool, of which the model needs where it is. Nothing but NICs and NAT gateways may have an
    /// address of it: whoever gives one out knows only theirs.
    pub(super) fn public_pool(&mut self, root: &Section<'_>) {
        let Some(section) = root.section("publicIPPool", KEYS) else {
            return;
        };
        for key in ["addressesPerSubscription", "addressesPerResourceGroup"] {
            section.number(key, 1, u32::MAX);
        }
        let prefixes: Vec<At<Ipv4Net>> = section.parse_some("prefixes", PREFIXES);
        let mut pool: Vec<At<Ipv4Net>> = Vec::new();
        for prefix in prefixes {
            if let Some(problem) = self.problem_of(prefix.value, &pool) {
                let value = Some(format!("\"{}\"", prefix.value));
                self.errors.add(&prefix.key, value, problem);
            }
            pool.push(prefix);
        }
        self.model.public_pool = pool.into_iter().map(|prefix| prefix.value).collect();
    }

    fn problem_of(&self, prefix: Ipv4Net, earlier: &[At<Ipv4Net>]) -> Option<Problem> {
        let meets = |other: &Ipv4Net| other.contains(&prefix) || prefix.contains(other);
        if prefix != prefix.trunc() {
            return Some(Problem::HostBits(prefix.trunc()));
        }
        if let Some(block) = NOT_PUBLIC.iter().find(|block| meets(block)) {
            return Some(Problem::NotPublic(*block));
        }
        let overlap = |other: String, prefix: Ipv4Net| Some(Problem::Overlap { other, prefix });
        if let Some(other) = earlier.iter().find(|other| meets(&other.value)) {
            return overlap(other.key.clone(), other.value);
        }
        for vnet in &self.model.vnets {
            if let Some(range) = vnet.address_prefixes.iter().find(|range| meets(range)) {
                return overlap(format!("virtualNetwork {}", vnet.name), *range);
            }
        }
        for service in Service::all() {
            let prefixes = self.catalog.prefixes(service, &Locations::All);
            if let Some(range) = prefixes.iter().find(|range| meets(range)) {
                return overlap(service.name.to_owned(), *range);
            }
        }
        let default = self.model.default_outbound.map(Ipv4Net::from);
        if let Some(default) = default.filter(meets) {
            return overlap("defaultOutbound.publicIPAddress".to_owned(), default);
        }
        let internet = self.model.internet.iter();
        let mut addresses = internet.flat_map(|internet| &internet.addresses);
        let host = addresses.find(|address| meets(&Ipv4Net::from(address.addr())));
        host.and_then(|address| overlap("internet.addresses".to_owned(), *address))
    }
}
