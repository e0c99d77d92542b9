//! What a change of the estate has to know about this host and about Azure.

use super::quota::Quotas;
use crate::seal::Seal;
use ipnet::Ipv4Net;
use std::fmt;
use std::sync::Arc;

/// What is known of Azure's services and regions; the catalogue is behind it.
pub trait Knowledge: Send + Sync + fmt::Debug {
    /// Returns the service of an endpoint in its canonical spelling; none if there is no such service.
    fn service(&self, name: &str) -> Option<String>;

    /// Returns the `locations` of an endpoint for the service in a virtual network of the region
    /// (reference section 1.3).
    fn endpoint_locations(&self, service: &str, region: &str) -> Vec<String>;

    /// Returns whether there is such a region, by its programmatic name (`koreacentral`).
    fn is_region(&self, name: &str) -> bool;

    /// Returns some regions, to name in an error.
    fn regions(&self) -> Vec<String>;
}

/// Knows nothing: every name is a service or a region, and endpoints reach everywhere.
#[derive(Clone, Copy, Debug, Default)]
pub struct AnythingGoes;

impl Knowledge for AnythingGoes {
    fn service(&self, name: &str) -> Option<String> {
        Some(name.to_owned())
    }

    fn endpoint_locations(&self, _: &str, _: &str) -> Vec<String> {
        vec!["*".to_owned()]
    }

    fn is_region(&self, _: &str) -> bool {
        true
    }

    fn regions(&self) -> Vec<String> {
        Vec::new()
    }
}

/// What the host says beside the resources.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The ranges that public addresses come from; where there are none, a public address that does not
    /// say what it is stays without.
    pub pools: Vec<Ipv4Net>,
    /// Ranges inside of the pools that something else has, such as the default outbound address.
    pub reserved: Vec<Ipv4Net>,
    /// The time, in seconds since 1970.
    pub now: u64,
    /// Azure's services and regions.
    pub knowledge: Arc<dyn Knowledge>,
    /// The key of the digests that stay of secrets.
    pub seal: Seal,
    /// How much there may be.
    pub quotas: Quotas,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            pools: Vec::new(),
            reserved: Vec::new(),
            now: 0,
            knowledge: Arc::new(AnythingGoes),
            seal: Seal::default(),
            quotas: Quotas::default(),
        }
    }
}
