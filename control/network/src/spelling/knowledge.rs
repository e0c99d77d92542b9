//! What a change of the estate has to know of this host and of Azure.

use super::json::{self, Object};
use crate::catalog::{Catalog, Location, Service};
use ipnet::Ipv4Net;
use postern_arm::estate::{Knowledge, Settings};
use std::net::Ipv4Addr;
use std::sync::Arc;

/// The catalogue, as the estate asks it.
#[derive(Debug)]
struct Known(Arc<Catalog>);

impl Knowledge for Known {
    fn service(&self, name: &str) -> Option<String> {
        Service::find(name).map(|service| service.name.to_owned())
    }

    fn endpoint_locations(&self, service: &str, region: &str) -> Vec<String> {
        let Some(service) = Service::find(service) else {
            return Vec::new();
        };
        let locations = service.locations(&Location::new(region));
        locations.values().into_iter().map(str::to_owned).collect()
    }

    fn is_region(&self, name: &str) -> bool {
        self.0.knows(&Location::new(name))
    }

    fn regions(&self) -> Vec<String> {
        self.0.locations().map(ToString::to_string).collect()
    }
}

/// Returns the settings of a change of an estate on this host; `now` is in seconds since 1970.
#[must_use]
pub fn settings(host: &Object, catalog: &Arc<Catalog>, now: u64) -> Settings {
    let pool = json::object(host, "publicIPPool");
    let pools = pool
        .into_iter()
        .flat_map(|pool| json::texts(pool, "prefixes"));
    let outbound = json::object(host, "defaultOutbound");
    let outbound = outbound.and_then(|it| json::text(it, "publicIPAddress"));
    let outbound = outbound.and_then(|address| address.parse::<Ipv4Addr>().ok());
    Settings {
        pools: pools
            .filter_map(|prefix| prefix.parse::<Ipv4Net>().ok())
            .collect(),
        reserved: outbound.map(Ipv4Net::from).into_iter().collect(),
        now,
        knowledge: Arc::new(Known(Arc::clone(catalog))),
        ..Settings::default()
    }
}
