//! Service endpoint policies.

use super::filing::RESOURCE_NAME;
use super::loader::{Claims, Loader, name};
use super::problem::Problem;
use super::section::{At, Section};
use crate::catalog::{Location, Service};
use crate::model::{EndpointPolicy, PolicyDefinition, PolicyResource};

pub(super) const POLICY_KEYS: &[&str] = &[
    "name",
    "location",
    "subscription",
    "resourceGroup",
    RESOURCE_NAME,
    "tenant",
    "audit",
    "definition",
];
const DEFINITION_KEYS: &[&str] = &["name", "description", "service", "serviceResources"];

/// The key of a subnet's policies.
pub(super) const ATTACHED: &str = "serviceEndpointPolicies";

const NAMES: &str = "a list of names of service endpoint policies";
const RESOURCES: &str = "a list of subscriptions, resource groups and storage accounts by their \
                         resource IDs";
const ALIASES: &str = "a list of aliases such as [\"/services/Azure/Databricks\"]";
const A_SERVICE: &str = "\"Microsoft.Storage\" or \"Global\"";

/// The limits of reference section 8.
pub(super) const MOST_POLICIES: usize = 500;
const MOST_ATTACHED: usize = 100;
const MOST_RESOURCES: usize = 200;

impl Loader<'_> {
    /// Reads a policy.
    pub(super) fn policy(
        &mut self,
        section: &Section<'_>,
        names: &mut Claims<String>,
    ) -> Option<EndpointPolicy> {
        let name = name(section, names);
        let kind = "Microsoft.Network/serviceEndpointPolicies";
        let filed = self.filed(section, kind, name.as_deref());
        let location = self.location(section);
        let mut names = Claims::default();
        let sections = section.sections("definition", DEFINITION_KEYS);
        let definitions = sections.iter().filter_map(|at| definition(at, &mut names));
        let definitions = definitions.collect();
        Some(EndpointPolicy {
            name: name?,
            location: location?,
            scope: filed.scope,
            audit: section.flag("audit", false),
            definitions,
        })
    }

    /// Reads the policies of a subnet, spelled as they are declared, each once.
    pub(super) fn policies(
        &self,
        section: &Section<'_>,
        location: Option<&Location>,
        endpoints: &[&'static Service],
    ) -> Vec<String> {
        let mut attached: Vec<String> = Vec::new();
        for At { key, value } in section.texts(ATTACHED, NAMES) {
            let refuse = |problem| self.errors.add(&key, Some(format!("{value:?}")), problem);
            let known = &self.declared.policies;
            let Some(name) = known.find(value) else {
                let kind = "serviceEndpointPolicy";
                let known = known.listed(kind);
                refuse(Problem::UnknownReference { kind, known });
                continue;
            };
            let policy = self
                .model
                .policies
                .iter()
                .find(|policy| policy.name == *name);
            let there = policy.map(|policy| &policy.location);
            if let (Some(policy), Some(own)) = (there, location)
                && policy != own
            {
                refuse(Problem::OtherRegion {
                    found: policy.to_string(),
                    wanted: own.to_string(),
                });
            }
            if !attached.contains(name) {
                attached.push(name.clone());
            }
        }
        section.limit(ATTACHED, attached.len(), MOST_ATTACHED);
        let has_storage = endpoints
            .iter()
            .any(|endpoint| endpoint.family().name == EndpointPolicy::SERVICE);
        if !attached.is_empty() && !has_storage {
            section.refuse(ATTACHED, Problem::PolicyWithoutEndpoint);
        }
        attached
    }
}

fn definition(section: &Section<'_>, names: &mut Claims<String>) -> Option<PolicyDefinition> {
    let name = name(section, names);
    section.require("service", A_SERVICE);
    let choices = [(EndpointPolicy::SERVICE, false), ("Global", true)];
    let is_global = section.choice("service", &choices, A_SERVICE)?;
    let (read, accepted): (fn(&str) -> Option<PolicyResource>, _) = match is_global {
        true => (PolicyResource::alias, ALIASES),
        false => (PolicyResource::scope, RESOURCES),
    };
    section.require("serviceResources", accepted);
    let texts = section.texts("serviceResources", accepted);
    section.limit("serviceResources", texts.len(), MOST_RESOURCES);
    let mut resources = Vec::new();
    for At { key, value } in texts {
        match read(value) {
            Some(resource) => resources.push(resource),
            None => {
                let problem = Problem::Malformed(accepted);
                section
                    .errors()
                    .add(key, Some(format!("{value:?}")), problem);
            }
        }
    }
    Some(PolicyDefinition {
        name: name?,
        resources,
    })
}
