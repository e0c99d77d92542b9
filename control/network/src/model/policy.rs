//! Service endpoint policies: which accounts an endpoint leads to (reference section 8).

use super::{Scope, ServiceInstance, Subnet};
use crate::catalog::{Location, Locations, Service};
use std::fmt;

/// A service endpoint policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointPolicy {
    /// Its name.
    pub name: String,
    /// Its region, the same as of the networks that use it.
    pub location: Location,
    /// Where it is filed.
    pub scope: Scope,
    /// Whether what it refuses passes all the same and is only counted.
    pub audit: bool,
    /// What it allows; nothing where it is empty.
    pub definitions: Vec<PolicyDefinition>,
}

/// A part of a policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyDefinition {
    /// Its name.
    pub name: String,
    /// What it allows.
    pub resources: Vec<PolicyResource>,
}

/// What a definition allows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PolicyResource {
    /// Every account of a subscription.
    Subscription(String),
    /// Every account of a resource group.
    ResourceGroup(String, String),
    /// One account.
    Account(String, String, String),
    /// Accounts of a service of the platform's own; none of ours is one.
    Alias(&'static str),
}

/// What `service = "Global"` can list (reference section 8).
pub const ALIASES: [&str; 7] = [
    "/services/Azure",
    "/services/Azure/Batch",
    "/services/Azure/Databricks",
    "/services/Azure/DataFactory",
    "/services/Azure/MachineLearning",
    "/services/Azure/ManagedInstance",
    "/services/Azure/WebPI",
];

impl PolicyResource {
    /// Reads a scope: a subscription, a resource group or a storage account, in any case, with or
    /// without a slash in front.
    #[must_use]
    pub fn scope(text: &str) -> Option<Self> {
        let parts: Vec<&str> = text.trim_start_matches('/').split('/').collect();
        let is = |found: &str, wanted: &str| found.eq_ignore_ascii_case(wanted);
        if parts.iter().any(|part| part.is_empty()) {
            return None;
        }
        match *parts {
            [a, sub] if is(a, "subscriptions") => Some(Self::Subscription(sub.to_owned())),
            [a, sub, b, group] if is(a, "subscriptions") && is(b, "resourceGroups") => {
                Some(Self::ResourceGroup(sub.to_owned(), group.to_owned()))
            }
            [a, sub, b, group, c, space, kind, account]
                if is(a, "subscriptions")
                    && is(b, "resourceGroups")
                    && is(c, "providers")
                    && is(space, "Microsoft.Storage")
                    && is(kind, "storageAccounts") =>
            {
                let [sub, group, account] = [sub, group, account].map(str::to_owned);
                Some(Self::Account(sub, group, account))
            }
            _ => None,
        }
    }

    /// Reads an alias, in any case, with or without a slash in front.
    #[must_use]
    pub fn alias(text: &str) -> Option<Self> {
        let plain = |text: &str| text.trim_start_matches('/').to_ascii_lowercase();
        let found = ALIASES.iter().find(|alias| plain(alias) == plain(text));
        found.map(|alias| Self::Alias(alias))
    }

    fn covers(&self, service: &ServiceInstance) -> bool {
        let scope = &service.resource.scope;
        let in_subscription = |sub: &str| scope.subscription.eq_ignore_ascii_case(sub);
        let in_group = |sub, group: &str| {
            in_subscription(sub) && scope.resource_group.eq_ignore_ascii_case(group)
        };
        match self {
            Self::Subscription(sub) => in_subscription(sub),
            Self::ResourceGroup(sub, group) => in_group(sub, group),
            Self::Account(sub, group, name) => {
                in_group(sub, group) && service.resource.name.eq_ignore_ascii_case(name)
            }
            Self::Alias(_) => false,
        }
    }
}

impl fmt::Display for PolicyResource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Subscription(sub) => write!(f, "/subscriptions/{sub}"),
            Self::ResourceGroup(sub, group) => {
                write!(f, "/subscriptions/{sub}/resourceGroups/{group}")
            }
            Self::Account(sub, group, name) => write!(
                f,
                "/subscriptions/{sub}/resourceGroups/{group}/providers/\
                 Microsoft.Storage/storageAccounts/{name}"
            ),
            Self::Alias(alias) => f.write_str(alias),
        }
    }
}

impl EndpointPolicy {
    /// The service whose endpoint policies are about.
    pub const SERVICE: &str = "Microsoft.Storage";

    /// Returns whether the policy allows a resource.
    #[must_use]
    pub fn allows(&self, service: &ServiceInstance) -> bool {
        let mut resources = self.definitions.iter().flat_map(|part| &part.resources);
        resources.any(|resource| resource.covers(service))
    }
}

impl Subnet {
    /// Returns the regions that an endpoint of this subnet covers, whose network is in `region`: a
    /// policy makes the one of storage reach every region (reference section 1.4).
    #[must_use]
    pub fn locations(&self, service: &Service, region: &Location) -> Locations {
        if service.name == EndpointPolicy::SERVICE && !self.endpoint_policies.is_empty() {
            return Locations::All;
        }
        service.locations(region)
    }
}
