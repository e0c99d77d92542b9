//! What a rule that names a subnet was granted to: the subnet that was there when the rule was made.
//!
//! A rule is checked once, when it is made (reference sections 1.2, 6.2 and 6.5), and bound to the
//! key that its subnet has then. If the subnet goes, the rule stays and lets nobody in; a subnet of
//! the same name is another one. The rule has to be taken away and made again to be bound to it.

use super::Keys;
use crate::catalog::Service;
use crate::model::{Model, ResourceRule, RuleCallers, ServiceInstance, SubnetRef};
use postern_dataplane::policy::SubnetId;
use std::collections::BTreeMap;
use std::fmt;
use thiserror::Error;

/// Which subnet each rule was granted to, by the name of the service and the ID of the subnet, both
/// in lower case.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Grants(pub(super) BTreeMap<(String, String), SubnetId>);

/// A rule that cannot be made.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{key} = \"{id}\": {problem}")]
pub struct GrantError {
    /// The key of the file.
    pub key: String,
    /// The subnet that is named.
    pub id: String,
    /// Why.
    pub problem: GrantProblem,
}

/// Why a rule cannot be made.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum GrantProblem {
    /// There is no such subnet.
    #[error("there is no such subnet; accepted: {known}")]
    NoSuchSubnet {
        /// The subnets that there are.
        known: String,
    },
    /// The subnet lacks the endpoint of the service.
    #[error(
        "{validation}SubnetsHaveNoServiceEndpointsConfigured: the subnet has no endpoint {service}; \
         accepted: a subnet whose serviceEndpoints have it"
    )]
    NoEndpoint {
        /// The error that the service puts around this one, with a colon.
        validation: &'static str,
        /// The endpoint.
        service: &'static str,
    },
    /// The subnet's network is in a region that the service takes no rules from.
    #[error("{validation}the virtual network is in {found}; accepted: {regions}")]
    OtherRegion {
        /// The error that the service puts around this one, with a colon.
        validation: &'static str,
        /// Where the network is.
        found: String,
        /// Where it may be.
        regions: String,
    },
    /// The subnet is another tenant's.
    #[error(
        "the virtual network is of the tenant {tenant}; accepted: one of the resource's own tenant, \
         or another value of settings.crossTenantRules"
    )]
    OtherTenant {
        /// The tenant of the network.
        tenant: String,
    },
}

/// Every rule that cannot be made; prints one line each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GrantErrors(pub Vec<GrantError>);

impl std::error::Error for GrantErrors {}

impl fmt::Display for GrantErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines: Vec<_> = self.0.iter().map(ToString::to_string).collect();
        f.write_str(&lines.join("\n"))
    }
}

impl Grants {
    /// Binds the rules of `model` that are new, and forgets those that are gone.
    ///
    /// # Errors
    ///
    /// New rules that cannot be made. The grants are then as they were.
    pub fn bind(&mut self, model: &Model, keys: &Keys) -> Result<(), GrantErrors> {
        let (mut kept, mut errors) = (BTreeMap::new(), Vec::new());
        for service in &model.services {
            for rule in &service.resource.rules.rules {
                let RuleCallers::Subnet(named) = &rule.who else {
                    continue;
                };
                let place = place(service, &named.id(model));
                if let Some(grant) = self.0.get(&place) {
                    kept.insert(place, *grant);
                    continue;
                }
                match check(model, keys, service, rule, named) {
                    Ok(grant) => {
                        kept.insert(place, grant);
                    }
                    Err(problem) => errors.push(GrantError {
                        key: rule.key.clone(),
                        id: named.id(model),
                        problem,
                    }),
                }
            }
        }
        if !errors.is_empty() {
            return Err(GrantErrors(errors));
        }
        self.0 = kept;
        Ok(())
    }

    /// Returns the subnet that a rule of the service was granted to.
    #[must_use]
    pub fn get(&self, service: &ServiceInstance, subnet_id: &str) -> Option<SubnetId> {
        self.0.get(&place(service, subnet_id)).copied()
    }
}

fn place(service: &ServiceInstance, subnet_id: &str) -> (String, String) {
    let resource = service.id().to_ascii_lowercase();
    (resource, subnet_id.to_ascii_lowercase())
}

fn check(
    model: &Model,
    keys: &Keys,
    service: &ServiceInstance,
    rule: &ResourceRule,
    named: &SubnetRef,
) -> Result<SubnetId, GrantProblem> {
    let known = || {
        let names = model.vnets.iter().flat_map(|vnet| {
            let subnets = vnet.subnets.iter();
            subnets.map(move |subnet| format!("{}/{}", vnet.name, subnet.name))
        });
        let names: Vec<_> = names.collect();
        if names.is_empty() {
            "none, the configuration has none".to_owned()
        } else {
            names.join(", ")
        }
    };
    let missing = || GrantProblem::NoSuchSubnet { known: known() };
    let (vnet, subnet) = named.find(model).ok_or_else(missing)?;
    let validation = match service.service.name {
        "Microsoft.Storage" => "NetworkAclsValidationFailure: ",
        _ => "",
    };
    let own_tenant = &service.resource.scope.tenant;
    let accepts = model.settings.cross_tenant_rules.accepts(service.service);
    if !vnet.scope.tenant.eq_ignore_ascii_case(own_tenant) && !accepts {
        let tenant = vnet.scope.tenant.clone();
        return Err(GrantProblem::OtherTenant { tenant });
    }
    let endpoint: Option<&&Service> = subnet
        .service_endpoints
        .iter()
        .find(|endpoint| endpoint.family() == service.service);
    let is_global = endpoint.is_some_and(|endpoint| **endpoint != *service.service);
    if let Some(regions) = service.rule_regions()
        && !is_global
        && !regions.contains(&vnet.location)
    {
        let regions: Vec<_> = regions.iter().map(ToString::to_string).collect();
        return Err(GrantProblem::OtherRegion {
            validation,
            found: vnet.location.to_string(),
            regions: regions.join(" or "),
        });
    }
    if endpoint.is_none() && !rule.ignore_missing_endpoint {
        let service = service.service.name;
        return Err(GrantProblem::NoEndpoint {
            validation,
            service,
        });
    }
    keys.subnet(&vnet.name, &subnet.name).ok_or_else(missing)
}
