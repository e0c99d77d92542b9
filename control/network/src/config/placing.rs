//! The addresses of services: those that the file says, and those that are found for the others.
//!
//! A service without an address gets one of the real prefixes of its service in its region. Which
//! one follows from its name, so that it is the same at every reading of the file: another service
//! moves it only by taking just this address, another prefix only by being the better one.

use super::device::Shared;
use super::loader::{Claims, Loader};
use super::problem::Problem;
use super::resources::SERVICE_KEYS;
use super::section::Section;
use crate::catalog::{Location, Locations, Service};
use crate::model::{NOT_PUBLIC, ServiceInstance};
use ipnet::Ipv4Net;
use std::cmp::Reverse;
use std::net::Ipv4Addr;

/// The service whose resources may share an address: a cluster of storage has many accounts.
const SHARING: &str = "Microsoft.Storage";

impl Loader<'_> {
    /// Reads the services. Addresses that the file says are claimed before others are found.
    pub(super) fn services(&mut self, root: &Section<'_>) {
        let (mut names, mut devices) = (Claims::default(), Shared::default());
        let mut unplaced = Vec::new();
        for section in root.sections("service", SERVICE_KEYS) {
            let Some(service) = self.service(&section, &mut names, &mut devices) else {
                continue;
            };
            if section.has("address") {
                self.claim_of(&service, &section);
            } else {
                unplaced.push((self.model.services.len(), section));
            }
            self.model.services.push(service);
        }
        for (at, section) in unplaced {
            self.place(at, &section);
        }
    }

    /// Claims the address of a service, but for one that shares it.
    fn claim_of(&mut self, service: &ServiceInstance, section: &Section<'_>) {
        let mut others = self.model.services.iter();
        let there = others.find(|other| other.address == service.address);
        match there {
            Some(other) if may_share(other, service) => {}
            Some(other) if is_storage(other) && is_storage(service) => {
                let other = other.name.clone();
                section.refuse("address", Problem::CannotShare(other));
            }
            _ => self.claim_address(service.address, &section.key("address")),
        }
    }

    /// Finds an address for the service at `at`.
    fn place(&mut self, at: usize, section: &Section<'_>) {
        let Some(service) = self.model.services.get(at) else {
            return;
        };
        let prefixes = self.catalog.prefixes_in(service.service, &service.location);
        if prefixes.is_empty() {
            self.refuse_no_prefixes(section, service.service, &service.location);
            return;
        }
        let found = find(&service.name, &prefixes, |address| self.is_free(address));
        let Some(address) = found else {
            section.refuse("address", Problem::NoFreeAddress(service.service.name));
            return;
        };
        if let Some(service) = self.model.services.get_mut(at) {
            service.address = address;
        }
        self.claim_address(address, &section.key("address"));
    }

    fn is_free(&self, address: Ipv4Addr) -> bool {
        let mut vnets = self.model.vnets.iter();
        let is_in_network = vnets.any(|vnet| {
            let mut prefixes = vnet.address_prefixes.iter();
            prefixes.any(|prefix| prefix.contains(&address))
        });
        !is_in_network
            && !self.addresses.has(&address)
            && !NOT_PUBLIC.iter().any(|block| block.contains(&address))
    }

    /// Refuses an address that the service does not have in the region.
    pub(super) fn check_service_address(
        &self,
        section: &Section<'_>,
        service: &'static Service,
        location: &Location,
        address: Ipv4Addr,
    ) {
        let prefixes = self.catalog.prefixes_in(service, location);
        if prefixes.is_empty() {
            self.refuse_no_prefixes(section, service, location);
        } else if !prefixes.iter().any(|prefix| prefix.contains(&address)) {
            let tags = self.catalog.supplying_tags(service, &only(location));
            let tags = tags
                .iter()
                .map(|tag| format!("{} ({})", tag.name, count(&tag.prefixes)));
            section.refuse(
                "address",
                Problem::OutsideService {
                    service: service.name,
                    location: location.to_string(),
                    tags: tags.collect::<Vec<_>>().join(", "),
                    example: examples(&prefixes),
                },
            );
        }
    }

    fn refuse_no_prefixes(
        &self,
        section: &Section<'_>,
        service: &'static Service,
        location: &Location,
    ) {
        let tags = self.catalog.lacking(service, &only(location));
        section.refuse(
            "service",
            Problem::NoPrefixes {
                service: service.name,
                catalog: self.catalog.source().to_owned(),
                tags: tags.unwrap_or_default(),
            },
        );
    }
}

fn only(location: &Location) -> Locations {
    Locations::Regions(vec![location.clone()])
}

fn is_storage(service: &ServiceInstance) -> bool {
    service.service.name == SHARING
}

/// Returns whether two services can have one address: a packet says the address only, so that
/// where it goes and what becomes of it must not depend on which of them is meant.
fn may_share(one: &ServiceInstance, other: &ServiceInstance) -> bool {
    is_storage(one)
        && is_storage(other)
        && one.device.namespace == other.device.namespace
        && one.location == other.location
        && one.delivery == other.delivery
        && one.front.is_some() == other.front.is_some()
}

/// Returns a free address for a name. Every prefix has a rank for every name, so that a prefix that
/// comes or goes moves only the names that it ranks highest for.
fn find(name: &str, prefixes: &[Ipv4Net], is_free: impl Fn(Ipv4Addr) -> bool) -> Option<Ipv4Addr> {
    let name = name.to_ascii_lowercase();
    let mut ranked: Vec<&Ipv4Net> = prefixes.iter().collect();
    ranked.sort_by_cached_key(|prefix| (Reverse(hash(&format!("{name} {prefix}"))), **prefix));
    let mut found = ranked.into_iter().filter_map(|prefix| {
        let (first, count) = usable(*prefix);
        let start = hash(&name).checked_rem(count)?;
        let nth = |at: u64| {
            let offset = start.checked_add(at)?.checked_rem(count)?;
            let address = u64::from(u32::from(first)).checked_add(offset)?;
            u32::try_from(address).ok().map(Ipv4Addr::from)
        };
        (0..count).filter_map(nth).find(|address| is_free(*address))
    });
    found.next()
}

/// Returns the first address of a prefix that a host can have, and how many there are: not those
/// of the network and of broadcasts, which a prefix of two addresses or one does not have.
fn usable(prefix: Ipv4Net) -> (Ipv4Addr, u64) {
    let span = |first: Ipv4Addr, last: Ipv4Addr| {
        let between = u32::from(last).saturating_sub(u32::from(first));
        (first, u64::from(between).saturating_add(1))
    };
    let (network, broadcast) = (prefix.network(), prefix.broadcast());
    if prefix.prefix_len() >= 31 {
        return span(network, broadcast);
    }
    let first = u32::from(network).saturating_add(1);
    let last = u32::from(broadcast).saturating_sub(1);
    span(Ipv4Addr::from(first), Ipv4Addr::from(last))
}

/// FNV-1a, with the finish of SplitMix64 so that near texts are far apart. Written out, because
/// addresses must stay what they are when a library chooses another hash.
fn hash(text: &str) -> u64 {
    const BASIS: u64 = 0xcbf2_9ce4_8422_2325;
    const PRIME: u64 = 0x0100_0000_01b3;
    let sum = text.bytes().fold(BASIS, |sum, byte| {
        (sum ^ u64::from(byte)).wrapping_mul(PRIME)
    });
    let sum = (sum ^ (sum >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let sum = (sum ^ (sum >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    sum ^ (sum >> 31)
}

fn count(prefixes: &[Ipv4Net]) -> String {
    match prefixes.len() {
        1 => "1 prefix".to_owned(),
        count => format!("{count} prefixes"),
    }
}

/// Returns the first prefixes, as an error line can hold them.
fn examples(prefixes: &[Ipv4Net]) -> String {
    const SHOWN: usize = 3;
    prefixes
        .iter()
        .take(SHOWN)
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(", ")
}

/// Returns the address that a service of this name gets while all are free.
#[must_use]
pub fn natural_address(name: &str, prefixes: &[Ipv4Net]) -> Option<Ipv4Addr> {
    find(name, prefixes, |_| true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    fn nets(texts: &[&str]) -> Vec<Ipv4Net> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    fn found(name: &str, prefixes: &[&str], taken: &[&str]) -> Option<String> {
        let taken: HashSet<Ipv4Addr> = taken.iter().map(|text| text.parse().unwrap()).collect();
        let is_free = |address| !taken.contains(&address);
        find(name, &nets(prefixes), is_free).map(|address| address.to_string())
    }

    #[test]
    fn addresses_of_the_network_and_of_broadcasts_are_nobodys() {
        let all = ["20.0.0.1", "20.0.0.2"];
        for name in ["a", "b", "c", "contoso"] {
            let own = found(name, &["20.0.0.0/30"], &[]).unwrap();
            assert!(all.contains(&own.as_str()), "{name} {own}");
        }
        assert_eq!(found("a", &["20.0.0.0/30"], &all), None);
        assert_eq!(
            found("a", &["20.0.0.4/32"], &[]),
            Some("20.0.0.4".to_owned())
        );
        let both = ["20.0.0.6", "20.0.0.7"];
        let own = found("a", &["20.0.0.6/31"], &both[1..]);
        assert_eq!(own.as_deref(), Some(both[0]));
        let own = found("a", &["20.0.0.6/31"], &both[..1]);
        assert_eq!(own.as_deref(), Some(both[1]));
    }

    #[test]
    fn a_name_keeps_its_address() {
        let (few, more) = (
            ["20.60.16.0/24", "20.150.4.0/24"],
            ["20.150.4.0/24", "20.60.16.0/24", "52.239.148.0/27"],
        );
        let own = found("contoso", &few, &[]);
        assert_eq!(own, found("Contoso", &few, &[]), "names have no case");
        let names: Vec<String> = (0..300).map(|at| format!("account{at}")).collect();
        let mut moved = 0;
        for name in &names {
            let before = found(name, &few, &[]).unwrap();
            let after = found(name, &more, &[]).unwrap();
            assert!(before == after || after.starts_with("52.239.148."));
            moved += u32::from(before != after);
        }
        assert!((60..140).contains(&moved), "a third, not {moved}");
        let distinct: HashSet<_> = names.iter().map(|name| found(name, &few, &[])).collect();
        assert!(distinct.len() > 200, "{} of 300", distinct.len());
    }

    #[test]
    fn what_is_taken_is_passed_over() {
        let prefixes = ["20.60.16.0/29", "20.60.17.0/29"];
        let mut taken: Vec<String> = Vec::new();
        for _ in 0..12 {
            let refs: Vec<&str> = taken.iter().map(String::as_str).collect();
            let next = found("contoso", &prefixes, &refs).unwrap();
            assert!(!taken.contains(&next));
            taken.push(next);
        }
        let refs: Vec<&str> = taken.iter().map(String::as_str).collect();
        assert_eq!(found("contoso", &prefixes, &refs), None);
    }
}
