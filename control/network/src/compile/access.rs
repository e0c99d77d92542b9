//! Network rules and endpoint policies: names become numbers, subnets become keys.

use super::numbers::PortNumbers;
use super::{CompileError, missing};
use crate::catalog::{Catalog, Location};
use crate::model::{EndpointPolicy, Model, ResourceRule, RuleCallers, ServiceInstance, Subnet};
use ipnet::Ipv4Net;
use postern_dataplane::policy::{
    AccessRule, AccessTable, AddrSet, EndpointPolicy as CompiledPolicy, NetworkRules, Resource,
    ResourceId, Who,
};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// The tag of everything that is the platform's, where the file has it.
const AZURE: &str = "AzureCloud";

/// Compiles who may use which resource. Rules have been granted already: one whose subnet is gone
/// keeps the key of that subnet, which nobody has any more.
pub(super) fn table(
    model: &Model,
    catalog: &Catalog,
    numbers: &mut PortNumbers,
) -> Result<AccessTable, CompileError> {
    let mut resources = Vec::with_capacity(model.services.len());
    let mut hidden = Hidden::new(model);
    for service in &model.services {
        let id = numbers.resource(&service.id())?;
        let hidden = hidden.from(service);
        let compiled = resource((model, catalog), service, hidden, numbers)?;
        resources.push((id, compiled));
    }
    let ids: Vec<ResourceId> = resources.iter().map(|(id, _)| *id).collect();
    let mut policies = Vec::new();
    for vnet in &model.vnets {
        for subnet in &vnet.subnets {
            let key = numbers.keys.subnet(&vnet.name, &subnet.name);
            let key = key.ok_or_else(|| missing("subnet", &subnet.name))?;
            policies.extend(policy(model, subnet, &ids).map(|policy| (key, policy)));
        }
    }
    Ok(AccessTable::new(resources, policies))
}

/// The public sources that resources do not get to see, by their region.
struct Hidden<'m> {
    model: &'m Model,
    by_region: HashMap<&'m Location, Arc<AddrSet>>,
}

impl<'m> Hidden<'m> {
    fn new(model: &'m Model) -> Self {
        let by_region = HashMap::new();
        Self { model, by_region }
    }

    fn from(&mut self, service: &'m ServiceInstance) -> Arc<AddrSet> {
        let is_storage = service.service.name == EndpointPolicy::SERVICE;
        if !is_storage || !self.model.settings.same_region_public_source_hidden {
            return Arc::default();
        }
        let sources = || {
            let sources = self.model.public_sources_in(&service.location);
            Arc::new(AddrSet::from_prefixes(sources))
        };
        let known = self.by_region.entry(&service.location);
        Arc::clone(known.or_insert_with(sources))
    }
}

fn resource(
    (model, catalog): (&Model, &Catalog),
    service: &ServiceInstance,
    hidden: Arc<AddrSet>,
    numbers: &mut PortNumbers,
) -> Result<Resource, CompileError> {
    let written = &service.resource.rules;
    let mut rules = Vec::with_capacity(written.rules.len());
    for rule in &written.rules {
        let id = numbers.access_rule(&format!("{}/{}", service.name, rule.name))?;
        let who = who(model, catalog, service, rule, numbers)?;
        rules.extend(who.map(|who| AccessRule {
            id,
            who,
            access: rule.access,
        }));
    }
    Ok(Resource {
        service: service.service.id(),
        address: service.address,
        rules: NetworkRules {
            public_network_access: service.resource.public_network_access,
            rules,
            otherwise: written.otherwise,
            hidden,
        },
        has_front: service.front.is_some(),
        refusal: service.resource.refusal,
    })
}

/// Returns whom a rule is about, nobody where it was never granted.
fn who(
    model: &Model,
    catalog: &Catalog,
    service: &ServiceInstance,
    rule: &ResourceRule,
    numbers: &PortNumbers,
) -> Result<Option<Who>, CompileError> {
    let tagged = |name: &str| {
        let tag = catalog.tag(name);
        tag.map(|tag| tag.prefixes.clone())
    };
    let prefixes: Vec<Ipv4Net> = match &rule.who {
        RuleCallers::Anyone => return Ok(Some(Who::Anyone)),
        RuleCallers::Subnet(named) => {
            let granted = numbers.keys.grants().get(service, &named.id(model));
            return Ok(granted.map(Who::Subnet));
        }
        RuleCallers::Addresses(ranges) => {
            let subnets = ranges
                .iter()
                .flat_map(|&(first, last)| ipnet::Ipv4Subnets::new(first, last, 0));
            subnets.collect()
        }
        RuleCallers::Tag(name) => tagged(name).ok_or_else(|| missing("service tag", name))?,
        // What has a public address here is in Azure, whether the file says so or not.
        RuleCallers::AnyAzure => {
            let own = model.public_addresses().into_iter().map(Ipv4Net::from);
            own.chain(tagged(AZURE).unwrap_or_default()).collect()
        }
    };
    Ok(Some(Who::Addresses(Arc::new(AddrSet::from_prefixes(
        prefixes,
    )))))
}

/// Returns the policies of a subnet, taken together; nothing where it has none.
fn policy(model: &Model, subnet: &Subnet, ids: &[ResourceId]) -> Option<CompiledPolicy> {
    if subnet.endpoint_policies.is_empty() {
        return None;
    }
    let attached: Vec<&EndpointPolicy> = model
        .policies
        .iter()
        .filter(|policy| subnet.endpoint_policies.contains(&policy.name))
        .collect();
    let services = model.services.iter().zip(ids);
    let allowed: HashSet<ResourceId> = services
        .filter(|(service, _)| attached.iter().any(|policy| policy.allows(service)))
        .map(|(_, id)| *id)
        .collect();
    let service = crate::catalog::Service::find(EndpointPolicy::SERVICE)?;
    Some(CompiledPolicy {
        service: service.id(),
        allowed,
        // One that enforces is enough.
        audit: attached.iter().all(|policy| policy.audit),
    })
}

#[cfg(test)]
mod tests;
