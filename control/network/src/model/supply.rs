//! Whether a service-tag file supplies what a model uses, and which of its tags that are.

use super::{Model, Peer, RuleTag, SecurityRule};
use crate::catalog::{Catalog, Location, Locations};
use std::collections::BTreeSet;
use std::fmt;
use std::net::Ipv4Addr;
use thiserror::Error;

/// Something of the running configuration that a service-tag file does not supply.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum SupplyError {
    /// The file has no prefixes for an endpoint that is on.
    #[error(
        "subnet {subnet}, serviceEndpoints = \"{service}\": no prefixes; accepted: a service-tag \
         file with {tags}, or the endpoint switched off before"
    )]
    Endpoint {
        /// The subnet, with its network.
        subnet: String,
        /// The service.
        service: &'static str,
        /// The tags that it would need.
        tags: String,
    },
    /// The file lacks a tag that a rule names.
    #[error(
        "securityRule {rule} = \"{tag}\": no such tag; accepted: a service-tag file with {tag}, or \
         the rule changed before"
    )]
    Rule {
        /// The rule, with its group.
        rule: String,
        /// The tag.
        tag: String,
    },
    /// The file does not know a region.
    #[error(
        "{resource}, location = \"{location}\": unknown region; accepted: a service-tag file with \
         tags of {location}"
    )]
    Region {
        /// The kind and name of the resource.
        resource: String,
        /// The region.
        location: Location,
    },
    /// A service's address is not one of the service any more.
    #[error(
        "service {name}, address = \"{address}\": not an address of {service} in {location}; \
         accepted: a service-tag file in which it is, or the service changed before"
    )]
    Address {
        /// The name of the resource.
        name: String,
        /// Its address.
        address: Ipv4Addr,
        /// What it is of.
        service: &'static str,
        /// Its region.
        location: Location,
    },
}

/// Everything that a service-tag file does not supply; prints one line each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SupplyErrors(pub Vec<SupplyError>);

impl std::error::Error for SupplyErrors {}

impl fmt::Display for SupplyErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines: Vec<_> = self.0.iter().map(ToString::to_string).collect();
        f.write_str(&lines.join("\n"))
    }
}

impl Model {
    /// Checks that `catalog` supplies everything that the model was validated with.
    ///
    /// # Errors
    ///
    /// What it does not supply.
    pub fn check_supply(&self, catalog: &Catalog) -> Result<(), SupplyErrors> {
        let mut errors = Vec::new();
        self.check_networks(catalog, &mut errors);
        for (rule, tag) in self.rule_tags() {
            if catalog.tag(tag).is_none() {
                let (rule, tag) = (rule, tag.to_owned());
                errors.push(SupplyError::Rule { rule, tag });
            }
        }
        self.check_services(catalog, &mut errors);
        if errors.is_empty() {
            Ok(())
        } else {
            Err(SupplyErrors(errors))
        }
    }

    fn check_networks(&self, catalog: &Catalog, errors: &mut Vec<SupplyError>) {
        for vnet in &self.vnets {
            if !catalog.knows(&vnet.location) {
                errors.push(SupplyError::Region {
                    resource: format!("virtualNetwork {}", vnet.name),
                    location: vnet.location.clone(),
                });
            }
            for subnet in &vnet.subnets {
                for service in &subnet.service_endpoints {
                    let lacking =
                        catalog.lacking(service, &subnet.locations(service, &vnet.location));
                    errors.extend(lacking.map(|tags| SupplyError::Endpoint {
                        subnet: format!("{}/{}", vnet.name, subnet.name),
                        service: service.name,
                        tags,
                    }));
                }
            }
        }
    }

    fn check_services(&self, catalog: &Catalog, errors: &mut Vec<SupplyError>) {
        for service in &self.services {
            let prefixes = catalog.prefixes_in(service.service, &service.location);
            if !prefixes
                .iter()
                .any(|prefix| prefix.contains(&service.address))
            {
                errors.push(SupplyError::Address {
                    name: service.name.clone(),
                    address: service.address,
                    service: service.service.name,
                    location: service.location.clone(),
                });
            }
        }
    }

    /// Returns the service tags that rules name, with the key that names them.
    fn rule_tags(&self) -> impl Iterator<Item = (String, &str)> {
        let rules = self
            .nsgs
            .iter()
            .flat_map(|nsg| nsg.rules.iter().map(move |rule| (nsg, rule)));
        rules.flat_map(|(nsg, rule)| {
            sides(rule)
                .into_iter()
                .filter_map(move |(key, peer)| match peer {
                    Peer::Tag(RuleTag::Service(tag)) => {
                        Some((format!("{}/{} {key}", nsg.name, rule.name), tag.as_str()))
                    }
                    _ => None,
                })
        })
    }

    /// Returns the names of the tags that rules name, each once.
    #[must_use]
    pub fn tags_in_rules(&self) -> BTreeSet<&str> {
        self.rule_tags().map(|(_, tag)| tag).collect()
    }

    /// Returns the names of the tags of `catalog` that supply the endpoints which are on.
    #[must_use]
    pub fn tags_in_use<'c>(&self, catalog: &'c Catalog) -> BTreeSet<&'c str> {
        let endpoints = self.vnets.iter().flat_map(|vnet| {
            vnet.subnets.iter().flat_map(move |subnet| {
                let services = subnet.service_endpoints.iter();
                services.map(move |service| (*service, subnet.locations(service, &vnet.location)))
            })
        });
        let tags =
            |(service, locations): (_, Locations)| catalog.supplying_tags(service, &locations);
        endpoints
            .flat_map(tags)
            .map(|tag| tag.name.as_str())
            .collect()
    }
}

fn sides(rule: &SecurityRule) -> [(&'static str, &Peer); 2] {
    [
        ("sourceAddressPrefix", &rule.source),
        ("destinationAddressPrefix", &rule.destination),
    ]
}
