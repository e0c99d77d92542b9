//! Changes to a model that need no new file.

use super::{EndpointPolicy, Model};
use crate::catalog::{Catalog, Service};
use thiserror::Error;

/// Why a model was not changed.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ModelError {
    /// There is no such virtual network.
    #[error("virtualNetwork = \"{name}\": no such virtual network; accepted: {known}")]
    UnknownVnet {
        /// The name that was given.
        name: String,
        /// The names that there are.
        known: String,
    },
    /// The virtual network has no such subnet.
    #[error("subnet = \"{name}\": no such subnet in {vnet}; accepted: {known}")]
    UnknownSubnet {
        /// The virtual network.
        vnet: String,
        /// The name that was given.
        name: String,
        /// The names that there are.
        known: String,
    },
    /// There is no such service.
    #[error(
        "service = \"{name}\": invalid service name; accepted: {known}",
        known = Service::names()
    )]
    UnknownService {
        /// The name that was given.
        name: String,
    },
    /// The subnet has the other one of two endpoints that exclude each other.
    #[error(
        "service = \"{name}\": {subnet} has {present}, which excludes it; accepted: {name} after \
         {present} is disabled"
    )]
    Excluded {
        /// The service that was given.
        name: &'static str,
        /// The subnet.
        subnet: String,
        /// The service that it has.
        present: &'static str,
    },
    /// The subnet's endpoint policies need the endpoint.
    #[error(
        "service = \"{name}\": {subnet} has {policies}, which needs it; accepted: {name} after the \
         subnet's serviceEndpointPolicies are taken away"
    )]
    NeededByPolicy {
        /// The service that was given.
        name: &'static str,
        /// The subnet.
        subnet: String,
        /// Its policies.
        policies: String,
    },
    /// The service-tag file lacks the prefixes of the service.
    #[error(
        "service = \"{name}\": {source_name} has no prefixes for it; accepted: a service-tag file \
         with {tags}"
    )]
    NoPrefixes {
        /// The service that was given.
        name: &'static str,
        /// The service-tag file.
        source_name: String,
        /// The tags that it would need.
        tags: String,
    },
}

impl Model {
    /// Switches a service endpoint of a subnet and returns whether that changed anything.
    ///
    /// # Errors
    ///
    /// The network, the subnet or the service does not exist, or the endpoint cannot be on beside
    /// the ones that are. The model is then as it was.
    pub fn set_endpoint(
        &mut self,
        vnet: &str,
        subnet: &str,
        service: &str,
        on: bool,
        catalog: &Catalog,
    ) -> Result<bool, ModelError> {
        let service = Service::find(service).ok_or_else(|| ModelError::UnknownService {
            name: service.to_owned(),
        })?;
        let known = join(self.vnets.iter().map(|vnet| vnet.name.as_str()));
        let vnet = self
            .vnets
            .iter_mut()
            .find(|known| known.name.eq_ignore_ascii_case(vnet))
            .ok_or_else(|| ModelError::UnknownVnet {
                name: vnet.to_owned(),
                known,
            })?;
        let unknown = ModelError::UnknownSubnet {
            vnet: vnet.name.clone(),
            name: subnet.to_owned(),
            known: join(vnet.subnets.iter().map(|subnet| subnet.name.as_str())),
        };
        let subnet = vnet
            .subnets
            .iter_mut()
            .find(|known| known.name.eq_ignore_ascii_case(subnet))
            .ok_or(unknown)?;
        let endpoints = &mut subnet.service_endpoints;
        if endpoints.contains(&service) == on {
            return Ok(false);
        }
        if !on {
            let is_needed = service.family().name == EndpointPolicy::SERVICE;
            if is_needed && !subnet.endpoint_policies.is_empty() {
                return Err(ModelError::NeededByPolicy {
                    name: service.name,
                    subnet: subnet.name.clone(),
                    policies: subnet.endpoint_policies.join(", "),
                });
            }
            endpoints.retain(|present| *present != service);
            return Ok(true);
        }
        if let Some(present) = endpoints.iter().find(|present| present.excludes(service)) {
            let (name, present) = (service.name, present.name);
            return Err(ModelError::Excluded {
                name,
                subnet: subnet.name.clone(),
                present,
            });
        }
        if let Some(tags) = catalog.lacking(service, &service.locations(&vnet.location)) {
            let (name, source_name) = (service.name, catalog.source().to_owned());
            return Err(ModelError::NoPrefixes {
                name,
                source_name,
                tags,
            });
        }
        *endpoints = in_catalogue_order(endpoints.iter().copied().chain([service]));
        Ok(true)
    }
}

/// Returns the services in the catalogue's order, each once: a subnet's endpoints are a set.
pub(crate) fn in_catalogue_order(
    services: impl Iterator<Item = &'static Service>,
) -> Vec<&'static Service> {
    let wanted: Vec<_> = services.collect();
    Service::all()
        .iter()
        .filter(|service| wanted.contains(service))
        .collect()
}

fn join<'n>(names: impl Iterator<Item = &'n str>) -> String {
    let names: Vec<_> = names.collect();
    if names.is_empty() {
        "none, the configuration has none".to_owned()
    } else {
        names.join(", ")
    }
}
