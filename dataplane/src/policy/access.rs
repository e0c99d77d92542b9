//! Who may use which resource of a service: network rules and endpoint policies as compiled, and
//! the one function that decides ([`AccessTable::decide`]).
//!
//! A resource (a storage account, a database server) may share its address with others, so that
//! the packet path knows the address and only the service's front knows the resource. Both ask
//! here, and so cannot disagree. What `control` turned into a rule is its business: a rule whose
//! subnet is gone, or that is not in force yet, is not among the rules here.
//!
//! The rules and the subnet's endpoint policies must both allow (reference sections 6.1 and 8).

use super::{Access, AddrSet, ServiceId};
use crate::identity::{SubnetKey, VnetKey};
use std::collections::{HashMap, HashSet};
use std::net::Ipv4Addr;
use std::sync::Arc;

/// The number of a resource; `control` knows its name, and never gives the number again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ResourceId(pub u32);

/// The number of a network rule of a resource; `control` knows its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AccessRuleId(pub u32);

/// A subnet by the keys that its packets carry.
pub type SubnetId = (VnetKey, SubnetKey);

/// Who asks for a resource, as the service sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Caller {
    /// Came by an endpoint: the identity of its subnet, and its private address.
    Subnet {
        /// The virtual network.
        vnet: VnetKey,
        /// The subnet.
        subnet: SubnetKey,
        /// The private address; rules never look at it, logs do.
        address: Ipv4Addr,
    },
    /// Came by the public side with this source.
    Public(Ipv4Addr),
}

impl Caller {
    /// Returns the subnet that the caller is in, if it came by an endpoint.
    #[must_use]
    pub const fn subnet(&self) -> Option<SubnetId> {
        match *self {
            Self::Subnet { vnet, subnet, .. } => Some((vnet, subnet)),
            Self::Public(_) => None,
        }
    }

    /// Returns the address that the service sees: the private one, or the public source.
    #[must_use]
    pub const fn address(&self) -> Ipv4Addr {
        match *self {
            Self::Subnet { address, .. } | Self::Public(address) => address,
        }
    }
}

/// The callers that a rule is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Who {
    /// Those that came by an endpoint of this subnet.
    Subnet(SubnetId),
    /// Those whose public source is one of these. Who came by an endpoint shows no public source,
    /// and is none of them.
    Addresses(Arc<AddrSet>),
    /// Everyone.
    Anyone,
}

/// A network rule of a resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessRule {
    /// The rule's number.
    pub id: AccessRuleId,
    /// Whom it is about.
    pub who: Who,
    /// What it decides.
    pub access: Access,
}

impl AccessRule {
    fn matches(&self, caller: &Caller) -> bool {
        match (&self.who, caller) {
            (Who::Anyone, _) => true,
            (Who::Subnet(wanted), caller) => caller.subnet() == Some(*wanted),
            (Who::Addresses(wanted), Caller::Public(address)) => wanted.contains(*address),
            (Who::Addresses(_), Caller::Subnet { .. }) => false,
        }
    }
}

/// The network rules of a resource; the default ones let everyone in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NetworkRules {
    /// Whether the resource can be reached by an endpoint or the public side at all.
    pub public_network_access: bool,
    /// The rules, tried in this order; the first that matches decides.
    pub rules: Vec<AccessRule>,
    /// What becomes of callers that no rule matches.
    pub otherwise: Access,
    /// Public addresses that the resource does not get to see: their callers are in its own
    /// region, arrive with internal addresses there, and match no [`Who::Addresses`].
    pub hidden: Arc<AddrSet>,
}

impl Default for NetworkRules {
    fn default() -> Self {
        Self {
            public_network_access: true,
            rules: Vec::new(),
            otherwise: Access::Allow,
            hidden: Arc::default(),
        }
    }
}

impl NetworkRules {
    /// Returns the rule that lets the caller in, none where that is the default.
    fn admit(&self, caller: &Caller) -> Result<Option<AccessRuleId>, DeniedBy> {
        if !self.public_network_access {
            return Err(DeniedBy::PublicAccessDisabled);
        }
        let mut passed_over = None;
        for rule in self.rules.iter().filter(|rule| rule.matches(caller)) {
            if self.hides(rule, caller) {
                passed_over =
                    passed_over.or(Some(rule.id).filter(|_| rule.access == Access::Allow));
                continue;
            }
            return match rule.access {
                Access::Allow => Ok(Some(rule.id)),
                Access::Deny => Err(DeniedBy::NetworkRules {
                    rule: Some(rule.id),
                }),
            };
        }
        match (self.otherwise, passed_over) {
            (Access::Allow, _) => Ok(None),
            (Access::Deny, Some(rule)) => Err(DeniedBy::HiddenSource { rule }),
            (Access::Deny, None) => Err(DeniedBy::NetworkRules { rule: None }),
        }
    }

    fn hides(&self, rule: &AccessRule, caller: &Caller) -> bool {
        matches!(rule.who, Who::Addresses(_)) && self.hidden.contains(caller.address())
    }
}

/// What the packet path answers to a refused flow, where it refuses by itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Refusal {
    /// As a closed port does: a reset, or "port unreachable" for what is not TCP.
    #[default]
    Reset,
    /// "Communication administratively prohibited" (RFC 1812 section 5.2.7.1).
    Prohibited,
    /// Nothing.
    Silent,
}

/// A resource of a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resource {
    /// The service that it is of.
    pub service: ServiceId,
    /// The address that it answers at.
    pub address: Ipv4Addr,
    /// Its network rules.
    pub rules: NetworkRules,
    /// Whether a front stands before it, which refuses in the service's own words: the packet path
    /// then lets everyone through to it.
    pub has_front: bool,
    /// How it is refused where no front does so.
    pub refusal: Refusal,
}

/// The endpoint policies of a subnet, taken together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointPolicy {
    /// The service whose endpoint they are about; resources of others are not their concern.
    pub service: ServiceId,
    /// The resources that any of them names.
    pub allowed: HashSet<ResourceId>,
    /// Whether what they refuse passes all the same, with a mark.
    pub audit: bool,
}

/// Who refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DeniedBy {
    /// There is no such resource.
    NoSuchResource,
    /// The resource can be reached neither by an endpoint nor by the public side.
    PublicAccessDisabled,
    /// Its network rules: this rule, or the default where none matched.
    NetworkRules {
        /// The rule.
        rule: Option<AccessRuleId>,
    },
    /// Its network rules, although this one lists the caller's public address: the resource does
    /// not get to see that address, because the caller is in its own region.
    HiddenSource {
        /// The rule.
        rule: AccessRuleId,
    },
    /// The endpoint policies of the caller's subnet.
    EndpointPolicy,
}

/// What was decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Ruling {
    /// The caller is let in.
    Allow {
        /// The network rule that did so; none where that is the default.
        rule: Option<AccessRuleId>,
        /// Whether an endpoint policy would have refused, but only audits.
        audited: bool,
    },
    /// The caller is refused.
    Deny(DeniedBy),
}

impl Ruling {
    /// Returns whether the caller is let in.
    #[must_use]
    pub const fn is_allowed(self) -> bool {
        matches!(self, Self::Allow { .. })
    }

    /// Returns the rule that decided, if one did.
    #[must_use]
    pub const fn rule(self) -> Option<AccessRuleId> {
        match self {
            Self::Allow { rule, .. } | Self::Deny(DeniedBy::NetworkRules { rule }) => rule,
            Self::Deny(DeniedBy::HiddenSource { rule }) => Some(rule),
            Self::Deny(_) => None,
        }
    }
}

/// Every resource and every endpoint policy of one policy.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AccessTable {
    resources: HashMap<ResourceId, Resource>,
    by_address: HashMap<Ipv4Addr, Vec<ResourceId>>,
    policies: HashMap<SubnetId, EndpointPolicy>,
}

impl AccessTable {
    /// Builds the table. A subnet without a policy has no restriction.
    #[must_use]
    pub fn new(
        resources: impl IntoIterator<Item = (ResourceId, Resource)>,
        policies: impl IntoIterator<Item = (SubnetId, EndpointPolicy)>,
    ) -> Self {
        let mut table = Self {
            policies: policies.into_iter().collect(),
            ..Self::default()
        };
        for (id, resource) in resources {
            let at = table.by_address.entry(resource.address).or_default();
            at.push(id);
            table.resources.insert(id, resource);
        }
        table
    }

    /// Returns the resource with this number.
    #[must_use]
    pub fn resource(&self, id: ResourceId) -> Option<&Resource> {
        self.resources.get(&id)
    }

    /// Returns the resources that answer at an address, in the order in which they were given.
    #[must_use]
    pub fn at(&self, address: Ipv4Addr) -> &[ResourceId] {
        self.by_address.get(&address).map_or(&[], Vec::as_slice)
    }

    /// Returns the endpoint policies of a subnet.
    #[must_use]
    pub fn policy(&self, subnet: SubnetId) -> Option<&EndpointPolicy> {
        self.policies.get(&subnet)
    }

    /// Decides whether `caller` may use `resource`.
    #[must_use]
    pub fn decide(&self, caller: &Caller, resource: ResourceId) -> Ruling {
        let Some(known) = self.resources.get(&resource) else {
            return Ruling::Deny(DeniedBy::NoSuchResource);
        };
        let rule = match known.rules.admit(caller) {
            Ok(rule) => rule,
            Err(by) => return Ruling::Deny(by),
        };
        let policy = caller
            .subnet()
            .and_then(|subnet| self.policies.get(&subnet));
        let refusing = policy.filter(|policy| {
            policy.service == known.service && !policy.allowed.contains(&resource)
        });
        match refusing {
            Some(policy) if !policy.audit => Ruling::Deny(DeniedBy::EndpointPolicy),
            refusing => Ruling::Allow {
                rule,
                audited: refusing.is_some(),
            },
        }
    }

    /// Decides whether `caller` may reach an address, where that is the packet path's to decide:
    /// not where a front stands, nor where no resource is. Of several resources at the address one
    /// that lets the caller in is enough, because a packet does not say which of them it is for.
    #[must_use]
    pub fn decide_at(&self, caller: &Caller, address: Ipv4Addr) -> Option<(ResourceId, Ruling)> {
        let ids = self.at(address);
        let has_front = |id: &ResourceId| self.resource(*id).is_some_and(|known| known.has_front);
        if ids.iter().any(has_front) {
            return None;
        }
        let rulings = || ids.iter().map(|&id| (id, self.decide(caller, id)));
        let allowed = rulings().find(|(_, ruling)| ruling.is_allowed());
        allowed.or_else(|| rulings().next())
    }
}

#[cfg(test)]
mod tests;
