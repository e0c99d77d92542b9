//! Resources of services as ARM has them: where they are filed, and who may use them.
//!
//! Every service spells its network rules in its own dialect. Here they are one form: rules in the
//! order in which they decide, and what becomes of the others. `config` reads the dialects.

use super::{Model, ServiceInstance, Subnet, VirtualNetwork};
use crate::catalog::{Location, Service};
use ipnet::Ipv4Net;
use postern_dataplane::policy::{Access, Refusal};
use std::fmt;
use std::net::Ipv4Addr;

/// Where a resource is filed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scope {
    /// The subscription.
    pub subscription: String,
    /// The resource group in it.
    pub resource_group: String,
    /// The tenant that the subscription is of.
    pub tenant: String,
}

impl Default for Scope {
    fn default() -> Self {
        let zero = "00000000-0000-0000-0000-000000000000".to_owned();
        Self {
            subscription: zero.clone(),
            resource_group: "postern".to_owned(),
            tenant: zero,
        }
    }
}

impl Scope {
    /// Returns the resource ID of `name`, which is of the type `kind`.
    #[must_use]
    pub fn id(&self, kind: &str, name: &str) -> String {
        format!(
            "/subscriptions/{}/resourceGroups/{}/providers/{kind}/{name}",
            self.subscription, self.resource_group
        )
    }
}

/// Which rules of other tenants' subnets are accepted (reference section 6.5).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CrossTenant {
    /// None: as before 2020.
    #[default]
    Never,
    /// Those of storage accounts.
    Storage,
    /// Those of storage accounts and key vaults.
    StorageAndKeyVault,
}

impl CrossTenant {
    /// Every value, with the way it is written.
    pub const ALL: [(&'static str, Self); 3] = [
        ("never", Self::Never),
        ("storage", Self::Storage),
        ("storageAndKeyVault", Self::StorageAndKeyVault),
    ];

    /// Returns whether resources of the service may have such rules.
    #[must_use]
    pub fn accepts(self, service: &Service) -> bool {
        match service.name {
            "Microsoft.Storage" => self != Self::Never,
            "Microsoft.KeyVault" => self == Self::StorageAndKeyVault,
            _ => false,
        }
    }
}

impl fmt::Display for CrossTenant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let found = Self::ALL.iter().find(|(_, value)| value == self);
        f.write_str(found.map_or("", |(name, _)| name))
    }
}

/// The ARM side of a service that is declared: a storage account, a database server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resource {
    /// Where it is filed.
    pub scope: Scope,
    /// What it is called there.
    pub name: String,
    /// Its type, such as `Microsoft.Storage/storageAccounts`.
    pub kind: &'static str,
    /// Its name in the DNS.
    pub host: String,
    /// How the packet path refuses, where no front does.
    pub refusal: Refusal,
    /// Whether it can be reached by an endpoint or the public side at all.
    pub public_network_access: bool,
    /// Its network rules.
    pub rules: ResourceRules,
}

/// The network rules of a resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResourceRules {
    /// What becomes of callers that no rule matches.
    pub otherwise: Access,
    /// What the owner wrote as the default action, where the service has one. It differs from
    /// `otherwise` where the service does not enforce it.
    pub default_action: Option<Access>,
    /// Which of the platform's own services pass; there are none here, so that it is only kept.
    pub bypass: Option<String>,
    /// The rules in the order in which they decide.
    pub rules: Vec<ResourceRule>,
}

impl Default for ResourceRules {
    fn default() -> Self {
        Self {
            otherwise: Access::Allow,
            default_action: None,
            bypass: None,
            rules: Vec::new(),
        }
    }
}

/// A network rule of a resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResourceRule {
    /// Its list and what tells it from others there, such as `ipRules/16.17.18.0/24`.
    pub name: String,
    /// The key of the file that says whom it is about.
    pub key: String,
    /// Whom it is about.
    pub who: RuleCallers,
    /// What it decides.
    pub access: Access,
    /// Its priority, in a dialect that orders by it.
    pub priority: Option<u32>,
    /// Whether it may name a subnet without the endpoint: it matches nothing until it has it.
    pub ignore_missing_endpoint: bool,
}

/// The callers that a rule is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RuleCallers {
    /// Those of a subnet that has the endpoint.
    Subnet(SubnetRef),
    /// Those with a public source in these ranges, first and last address of each.
    Addresses(Vec<(Ipv4Addr, Ipv4Addr)>),
    /// Those with a public source of a service tag.
    Tag(String),
    /// Those with a public source of Azure itself.
    AnyAzure,
    /// Everyone.
    Anyone,
}

impl fmt::Display for RuleCallers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Subnet(subnet) => write!(f, "{}/{}", subnet.vnet, subnet.subnet),
            Self::Addresses(ranges) => {
                let texts = ranges.iter().map(|(first, last)| match first == last {
                    true => first.to_string(),
                    false => format!("{first}-{last}"),
                });
                f.write_str(&texts.collect::<Vec<_>>().join(", "))
            }
            Self::Tag(tag) => f.write_str(tag),
            Self::AnyAzure => f.write_str("any Azure source"),
            Self::Anyone => f.write_str("Any"),
        }
    }
}

/// A subnet as a rule names it: by its resource ID, or shortly as `VNet1/subnet1`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubnetRef {
    /// The subscription and resource group, where the rule says them.
    pub place: Option<(String, String)>,
    /// The virtual network.
    pub vnet: String,
    /// The subnet.
    pub subnet: String,
}

impl std::str::FromStr for SubnetRef {
    type Err = NotASubnet;

    fn from_str(text: &str) -> Result<Self, NotASubnet> {
        let parts: Vec<&str> = text.trim_start_matches('/').split('/').collect();
        if parts.iter().any(|part| part.is_empty()) {
            return Err(NotASubnet);
        }
        match *parts {
            [vnet, subnet] => Ok(Self {
                place: None,
                vnet: vnet.to_owned(),
                subnet: subnet.to_owned(),
            }),
            [
                subscriptions,
                subscription,
                groups,
                group,
                providers,
                namespace,
                kind,
                vnet,
                subnets,
                subnet,
            ] if [subscriptions, groups, providers, namespace, kind, subnets]
                .iter()
                .zip([
                    "subscriptions",
                    "resourceGroups",
                    "providers",
                    "Microsoft.Network",
                    "virtualNetworks",
                    "subnets",
                ])
                .all(|(found, wanted)| found.eq_ignore_ascii_case(wanted)) =>
            {
                Ok(Self {
                    place: Some((subscription.to_owned(), group.to_owned())),
                    vnet: vnet.to_owned(),
                    subnet: subnet.to_owned(),
                })
            }
            _ => Err(NotASubnet),
        }
    }
}

/// The text names no subnet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not the resource ID of a subnet")]
pub struct NotASubnet;

impl SubnetRef {
    /// Returns the subnet and its network, if the model has them.
    #[must_use]
    pub fn find<'m>(&self, model: &'m Model) -> Option<(&'m VirtualNetwork, &'m Subnet)> {
        let vnet = model.vnet(&self.vnet)?;
        let is_there = self.place.as_ref().is_none_or(|(subscription, group)| {
            vnet.scope.subscription.eq_ignore_ascii_case(subscription)
                && vnet.scope.resource_group.eq_ignore_ascii_case(group)
        });
        is_there.then_some((vnet, vnet.subnet(&self.subnet)?))
    }

    /// Returns the form that every spelling of one subnet shares: that of a subnet of the model is its
    /// short name, that of another one its ID.
    #[must_use]
    pub fn canonical(self, model: &Model) -> Self {
        if let Some((vnet, subnet)) = self.find(model) {
            return Self {
                place: None,
                vnet: vnet.name.clone(),
                subnet: subnet.name.clone(),
            };
        }
        if self.place.is_some() {
            return self;
        }
        let vnet = model.vnet(&self.vnet);
        let scope = vnet.map_or(&model.scope, |vnet| &vnet.scope);
        Self {
            place: Some((scope.subscription.clone(), scope.resource_group.clone())),
            vnet: vnet.map_or(self.vnet, |vnet| vnet.name.clone()),
            subnet: self.subnet,
        }
    }

    /// Returns the resource ID; `scope` is where networks are filed that the rule says nothing of.
    #[must_use]
    pub fn id(&self, model: &Model) -> String {
        let mut scope = model
            .vnet(&self.vnet)
            .map_or_else(|| model.scope.clone(), |vnet| vnet.scope.clone());
        if let Some((subscription, group)) = &self.place {
            scope.subscription.clone_from(subscription);
            scope.resource_group.clone_from(group);
        }
        let network = scope.id("Microsoft.Network/virtualNetworks", &self.vnet);
        format!("{network}/subnets/{}", self.subnet)
    }
}

impl VirtualNetwork {
    /// Returns the resource ID of a subnet of this network.
    #[must_use]
    pub fn subnet_id(&self, subnet: &Subnet) -> String {
        let network = self
            .scope
            .id("Microsoft.Network/virtualNetworks", &self.name);
        format!("{network}/subnets/{}", subnet.name)
    }
}

impl ServiceInstance {
    /// Returns the resource ID.
    #[must_use]
    pub fn id(&self) -> String {
        let resource = &self.resource;
        resource.scope.id(resource.kind, &resource.name)
    }

    /// Returns where a subnet may be that a rule of this resource names, none where it may be
    /// anywhere (reference section 1.2).
    #[must_use]
    pub fn rule_regions(&self) -> Option<Vec<Location>> {
        let own = self.location.clone();
        match self.service.name {
            "Microsoft.Sql" | "Microsoft.AzureActiveDirectory" => Some(vec![own]),
            "Microsoft.Storage" => Some([own.clone()].into_iter().chain(own.pair()).collect()),
            _ => None,
        }
    }
}

impl Model {
    /// Returns the service with this name.
    #[must_use]
    pub fn service(&self, name: &str) -> Option<&ServiceInstance> {
        let mut services = self.services.iter();
        services.find(|service| service.name.eq_ignore_ascii_case(name))
    }

    /// Returns the public addresses that a NIC of the region sends from: a storage account there
    /// does not get to see them (reference section 6.2).
    #[must_use]
    pub fn public_sources_in(&self, location: &Location) -> Vec<Ipv4Net> {
        let mut sources = Vec::new();
        for nic in &self.nics {
            let Some((vnet, subnet)) = self.subnet_of(nic) else {
                continue;
            };
            if vnet.location != *location {
                continue;
            }
            let gateway = subnet.nat_gateway.as_ref().and_then(|name| {
                let mut gateways = self.nat_gateways.iter();
                gateways.find(|gateway| gateway.name.eq_ignore_ascii_case(name))
            });
            match (gateway, nic.public_address) {
                (Some(gateway), _) => sources.extend(gateway.addresses.iter().copied()),
                (None, Some(own)) => sources.push(own),
                (None, None) if subnet.default_outbound_access => {
                    sources.extend(self.default_outbound);
                }
                (None, None) => {}
            }
        }
        sources.sort_unstable();
        sources.dedup();
        sources.into_iter().map(Ipv4Net::from).collect()
    }
}
