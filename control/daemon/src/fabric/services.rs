//! Services as they are shown: as ARM resources, their network rules in their own dialect, and what
//! became of each rule.

mod shape;

use super::{Fabric, Host, ReadError};
use crate::protocol::service::{OwnView, RuleView, ServiceView};
use postern_network::keys::Keys;
use postern_network::model::{
    Model, ResourceRule, RuleCallers, ServiceInstance, SubnetRef, access_name,
};

/// What became of a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum RuleState {
    /// It is in force.
    InForce,
    /// It was accepted before its subnet has the endpoint, and matches nothing until then.
    Waiting,
    /// Its subnet is gone, or is another one of the name: it matches nothing.
    SourceDeleted,
}

impl RuleState {
    /// Returns the word of the service. Database servers have words of their own, of which none is
    /// for a subnet that is gone: the nearest is taken.
    fn word(self, service: &ServiceInstance) -> &'static str {
        let is_server = shape::is_server(service);
        match self {
            Self::InForce if is_server => "Ready",
            Self::InForce => "Succeeded",
            Self::Waiting if is_server => "Initializing",
            Self::Waiting => "Provisioning",
            Self::SourceDeleted if is_server => "Failed",
            Self::SourceDeleted => "NetworkSourceDeleted",
        }
    }
}

impl<H: Host> Fabric<H> {
    /// Returns every service.
    #[must_use]
    pub fn services(&self) -> Vec<ServiceView> {
        let shown = Shown {
            model: &self.model,
            keys: self.numbers.keys(),
        };
        let services = self.model.services.iter();
        services.map(|service| shown.service(service)).collect()
    }

    /// Returns the service with this name.
    ///
    /// # Errors
    ///
    /// There is none.
    pub fn service(&self, name: &str) -> Result<ServiceView, ReadError> {
        let views = self.services();
        let known: Vec<_> = views.iter().map(|view| view.name.clone()).collect();
        let mut views = views.into_iter();
        let found = views.find(|view| view.name.eq_ignore_ascii_case(name));
        found.ok_or_else(|| ReadError::NotFound {
            kind: "service",
            name: name.to_owned(),
            known: known.join(", "),
        })
    }
}

/// What the services that are shown refer to.
struct Shown<'f> {
    model: &'f Model,
    keys: &'f Keys,
}

impl Shown<'_> {
    fn service(&self, service: &ServiceInstance) -> ServiceView {
        let resource = &service.resource;
        let rules = resource.rules.rules.iter().map(|rule| RuleView {
            name: rule.name.clone(),
            who: rule.who.to_string(),
            access: access_name(rule.access).to_owned(),
            state: self.state(service, rule).to_owned(),
        });
        ServiceView {
            id: service.id(),
            name: service.name.clone(),
            kind: resource.kind.to_owned(),
            location: service.location.to_string(),
            properties: self.properties(service),
            postern: OwnView {
                service: service.service.name.to_owned(),
                address: service.address.to_string(),
                host: resource.host.clone(),
                namespace: service.device.namespace.to_string(),
                delivery: service.delivery.name().to_owned(),
                has_front: service.front.is_some(),
                otherwise: access_name(resource.rules.otherwise).to_owned(),
                rules: rules.collect(),
            },
        }
    }

    fn state(&self, service: &ServiceInstance, rule: &ResourceRule) -> &'static str {
        let state = match &rule.who {
            RuleCallers::Subnet(named) => self.state_of(service, rule, named),
            _ => RuleState::InForce,
        };
        state.word(service)
    }

    fn state_of(
        &self,
        service: &ServiceInstance,
        rule: &ResourceRule,
        named: &SubnetRef,
    ) -> RuleState {
        let granted = self.keys.grants().get(service, &named.id(self.model));
        let there = named.find(self.model);
        let key = there.and_then(|(vnet, subnet)| self.keys.subnet(&vnet.name, &subnet.name));
        let is_same = granted.is_some() && granted == key;
        let has_endpoint = there.is_some_and(|(_, subnet)| {
            let mut endpoints = subnet.service_endpoints.iter();
            endpoints.any(|endpoint| endpoint.family() == service.service)
        });
        match (is_same, has_endpoint) {
            (false, _) => RuleState::SourceDeleted,
            (true, false) if rule.ignore_missing_endpoint => RuleState::Waiting,
            (true, _) => RuleState::InForce,
        }
    }
}

#[cfg(test)]
mod tests;
