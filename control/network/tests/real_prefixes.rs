//! Longest-prefix match on the prefixes that Microsoft publishes, against a look at each of them.
#![allow(clippy::unwrap_used, reason = "test code")]

use ipnet::Ipv4Net;
use postern_dataplane::policy::{Endpoint, EndpointTable, ServiceId};
use postern_network::catalog::{Catalog, Locations, Service};
use std::collections::HashSet;
use std::net::Ipv4Addr;

fn all_endpoints() -> Vec<Endpoint> {
    let catalog = Catalog::bundled().unwrap();
    Service::all()
        .iter()
        .filter(|service| service.name != "Microsoft.Storage.Global")
        .flat_map(|service| {
            let prefixes = catalog.prefixes(service, &Locations::All).into_iter();
            prefixes.map(|prefix| Endpoint {
                prefix,
                service: service.id(),
            })
        })
        .collect()
}

fn scan(endpoints: &[Endpoint], address: Ipv4Addr) -> Option<(Ipv4Net, ServiceId)> {
    endpoints
        .iter()
        .filter(|endpoint| endpoint.prefix.contains(&address))
        .max_by_key(|endpoint| endpoint.prefix.prefix_len())
        .map(|endpoint| (endpoint.prefix, endpoint.service))
}

#[test]
fn every_edge_of_every_prefix_is_found_as_by_a_linear_scan() {
    let endpoints = all_endpoints();
    let distinct: HashSet<Ipv4Net> = endpoints.iter().map(|endpoint| endpoint.prefix).collect();
    assert!(distinct.len() >= 5_245, "{}", distinct.len());
    let table = EndpointTable::new(endpoints.clone());
    let (mut hits, mut misses) = (0, 0);
    for prefix in &distinct {
        let (first, last) = (u32::from(prefix.network()), u32::from(prefix.broadcast()));
        for address in [first.wrapping_sub(1), first, last, last.wrapping_add(1)] {
            let address = Ipv4Addr::from(address);
            let found = table
                .lookup(address)
                .map(|found| (found.prefix, found.service));
            assert_eq!(found, scan(&endpoints, address), "{address}");
            match found {
                Some(_) => hits += 1,
                None => misses += 1,
            }
        }
    }
    assert!(
        hits > 10_000 && misses > 1_000,
        "{hits} found, {misses} not"
    );
}
