//! Network security groups: rules with names and tags become rules with numbers and addresses.

use super::numbers::{PortNumbers, RuleName};
use super::tags::{Tags, VnetTags};
use super::{CompileError, missing};
use crate::catalog::Catalog;
use crate::model::{Model, Ports, RuleProtocol, SecurityRule, default_rules};
use postern_dataplane::policy::{Direction, Nsg, PortSet, Protocol, Rule, RuleId};
use std::collections::HashMap;
use std::sync::Arc;

/// Compiles groups, each once for every network that it is used in: `VirtualNetwork` and
/// `Internet` stand for other addresses in another one.
pub(super) struct Groups<'m> {
    model: &'m Model,
    tags: Tags<'m>,
    vnets: Vec<VnetTags>,
    compiled: HashMap<(&'m str, usize), Arc<Nsg>>,
}

impl<'m> Groups<'m> {
    pub(super) fn new(model: &'m Model, catalog: &'m Catalog) -> Self {
        let vnets = model.vnets.iter().map(VnetTags::new).collect();
        Self {
            model,
            tags: Tags::new(catalog),
            vnets,
            compiled: HashMap::new(),
        }
    }

    /// Returns the group with this name as it is in the network at index `vnet`.
    pub(super) fn get(
        &mut self,
        name: Option<&String>,
        vnet: usize,
        numbers: &mut PortNumbers,
    ) -> Result<Option<Arc<Nsg>>, CompileError> {
        let Some(name) = name else {
            return Ok(None);
        };
        let nsg = self
            .model
            .nsg(name)
            .ok_or_else(|| missing("networkSecurityGroup", name))?;
        if let Some(done) = self.compiled.get(&(nsg.name.as_str(), vnet)) {
            return Ok(Some(Arc::clone(done)));
        }
        let tags = self.vnets.get(vnet).cloned();
        let tags = tags.ok_or_else(|| missing("virtualNetwork", &vnet.to_string()))?;
        let (mut inbound, mut outbound) = (Vec::new(), Vec::new());
        let defaults = default_rules();
        let own = nsg.rules.iter().map(|rule| (rule, false));
        for (rule, is_default) in own.chain(defaults.iter().map(|rule| (rule, true))) {
            let number = numbers.rule(RuleName::new(&nsg.name, &rule.name, is_default))?;
            let compiled = self.rule(rule, number, &tags)?;
            match rule.direction {
                Direction::Inbound => inbound.push(compiled),
                Direction::Outbound => outbound.push(compiled),
            }
        }
        let done = Arc::new(Nsg::new(inbound, outbound));
        self.compiled
            .insert((nsg.name.as_str(), vnet), Arc::clone(&done));
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
