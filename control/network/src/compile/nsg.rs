//! Network security groups: rules with names and tags become rules with numbers and addresses.

use super::numbers::{PortNumbers, RuleName};
use super::tags::{Tags, VnetTags, routed_prefixes};
use super::{CompileError, missing};
use crate::catalog::Catalog;
use crate::model::{
    Learned, Model, PLATFORM_HOSTS, Peer, Ports, RuleProtocol, SecurityRule, Subnet,
    VirtualNetwork, default_rules,
};
use ipnet::Ipv4Net;
use postern_dataplane::policy::{AddrSet, Direction, Nsg, PortSet, Protocol, Rule, RuleId};
use std::collections::HashMap;
use std::sync::Arc;

/// A virtual network, and what the routes of a subnet add to its tags there.
type Place<'m> = (&'m str, Vec<Ipv4Net>);

/// Compiles groups, each once for every network that it is used in, and every set of prefixes that
/// the routes of its subnets add: `VirtualNetwork` and `Internet` stand for other addresses there.
pub(super) struct Groups<'m> {
    model: &'m Model,
    learned: &'m Learned,
    tags: Tags<'m>,
    places: HashMap<Place<'m>, VnetTags>,
    exempt: Arc<AddrSet>,
    compiled: HashMap<(&'m str, Place<'m>), Arc<Nsg>>,
}

impl<'m> Groups<'m> {
    pub(super) fn new(model: &'m Model, learned: &'m Learned, catalog: &'m Catalog) -> Self {
        let exempt = PLATFORM_HOSTS.iter().copied().flatten().copied();
        Self {
            model,
            learned,
            tags: Tags::new(catalog),
            places: HashMap::new(),
            exempt: Arc::new(AddrSet::from_prefixes(exempt)),
            compiled: HashMap::new(),
        }
    }

    /// Returns the group with this name as it is in a subnet of a network.
    pub(super) fn get(
        &mut self,
        name: Option<&String>,
        vnet: &'m VirtualNetwork,
        subnet: &Subnet,
        numbers: &mut PortNumbers,
    ) -> Result<Option<Arc<Nsg>>, CompileError> {
        let Some(name) = name else {
            return Ok(None);
        };
        let nsg = self
            .model
            .nsg(name)
            .ok_or_else(|| missing("networkSecurityGroup", name))?;
        let place = (
            vnet.name.as_str(),
            routed_prefixes(self.model, self.learned, vnet, subnet),
        );
        let key = (nsg.name.as_str(), place.clone());
        if let Some(done) = self.compiled.get(&key) {
            return Ok(Some(Arc::clone(done)));
        }
        let model = self.model;
        let of_place = || VnetTags::with_routed(model, vnet, &key.1.1);
        let tags = self.places.entry(place).or_insert_with(of_place).clone();
        let (mut inbound, mut outbound) = (Vec::new(), Vec::new());
        let mut platform = Vec::new();
        let defaults = default_rules();
        let own = nsg.rules.iter().map(|rule| (rule, false));
        for (rule, is_default) in own.chain(defaults.iter().map(|rule| (rule, true))) {
            let number = numbers.rule(&RuleName::new(&nsg.name, &rule.name, is_default))?;
            let compiled = self.rule(rule, number, &tags)?;
            if is_platform(&rule.destination) {
                platform.push(compiled.clone());
            }
            match rule.direction {
                Direction::Inbound => inbound.push(compiled),
                Direction::Outbound => outbound.push(compiled),
            }
        }
        let nsg = Nsg::new(inbound, outbound).exempting(Arc::clone(&self.exempt), platform);
        let done = Arc::new(nsg);
        self.compiled.insert(key, Arc::clone(&done));
        Ok(Some(done))
    }

    fn rule(
        &mut self,
        rule: &SecurityRule,
        id: RuleId,
        vnet: &VnetTags,
    ) -> Result<Rule, CompileError> {
        let mut expand = |peer| {
            let set = self.tags.expand(peer, vnet);
            set.ok_or_else(|| missing("service tag", &peer.to_string()))
        };
        Ok(Rule {
            id,
            priority: rule.priority,
            protocol: protocol(rule.protocol),
            source: expand(&rule.source)?,
            source_ports: ports(&rule.source_ports),
            destination: expand(&rule.destination)?,
            destination_ports: ports(&rule.destination_ports),
            access: rule.access,
        })
    }
}

fn is_platform(peer: &Peer) -> bool {
    matches!(peer, Peer::Tag(tag) if tag.platform_addresses().is_some())
}

fn protocol(protocol: RuleProtocol) -> Protocol {
    match protocol {
        RuleProtocol::Any => Protocol::Any,
        RuleProtocol::Icmp => Protocol::Number(1),
        RuleProtocol::Tcp => Protocol::Number(6),
        RuleProtocol::Udp => Protocol::Number(17),
        RuleProtocol::Esp => Protocol::Number(50),
        RuleProtocol::Ah => Protocol::Number(51),
    }
}

fn ports(ports: &Ports) -> PortSet {
    match ports {
        Ports::Any => PortSet::Any,
        Ports::Ranges(ranges) => PortSet::Ranges(ranges.clone()),
    }
}

#[cfg(test)]
mod tests;
