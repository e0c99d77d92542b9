//! The properties of a resource in the shape that ARM has for its type (reference section 6).
//!
//! What a dialect's reader understood is written back; what it does not have is left out. Lists that
//! are child resources in ARM (rules of database servers, rule sets of messaging) stand in the
//! properties, as they do in the configuration.

use super::Shown;
use postern_dataplane::policy::Access;
use postern_network::model::{ResourceRule, RuleCallers, ServiceInstance, access_name};
use serde_json::{Map, Value, json};
use std::net::Ipv4Addr;

const VNET_RULES: &str = "virtualNetworkRules";
const IP_RULES: &str = "ipRules";
const FIREWALL_RULES: &str = "firewallRules";

/// Returns whether the rules are those of a database server, or of what spells them alike.
pub(super) fn is_server(service: &ServiceInstance) -> bool {
    let name = service.service.name;
    matches!(name, "Microsoft.Sql" | "Microsoft.AzureActiveDirectory")
}

impl Shown<'_> {
    /// Returns the properties of a service.
    pub(super) fn properties(&self, service: &ServiceInstance) -> Value {
        let access = service.resource.public_network_access;
        let mut properties = Map::new();
        let access = if access { "Enabled" } else { "Disabled" };
        properties.insert("publicNetworkAccess".to_owned(), access.into());
        properties.insert("provisioningState".to_owned(), "Succeeded".into());
        let rules = match service.service.name {
            "Microsoft.AzureCosmosDB" => self.account_rules(service),
            "Microsoft.EventHub" | "Microsoft.ServiceBus" => {
                json!({ "networkRuleSets": self.rule_set(service) })
            }
            "Microsoft.Web" => json!({
                "ipSecurityRestrictions": self.list(service, |rule| self.restriction(service, rule)),
            }),
            "Microsoft.ContainerRegistry" => json!({ "networkRuleSet": self.acls(service) }),
            _ if is_server(service) => self.server_rules(service),
            _ => json!({ "networkAcls": self.acls(service) }),
        };
        if let Value::Object(rules) = rules {
            properties.extend(rules);
        }
        Value::Object(properties)
    }

    /// Returns the rules as `shape` writes them, without those that it leaves out.
    fn list(
        &self,
        service: &ServiceInstance,
        shape: impl Fn(&ResourceRule) -> Option<Value>,
    ) -> Vec<Value> {
        let rules = service.resource.rules.rules.iter();
        rules.filter_map(shape).collect()
    }

    fn acls(&self, service: &ServiceInstance) -> Value {
        let written = &service.resource.rules;
        let vnet_rules = self.list(service, |rule| {
            let mut shaped = json!({
                "id": self.subnet(rule)?,
                "action": access_name(rule.access),
                "state": self.state(service, rule),
            });
            if rule.ignore_missing_endpoint {
                put(&mut shaped, "ignoreMissingVnetServiceEndpoint", true.into());
            }
            Some(shaped)
        });
        let ip_rules = self.list(service, |rule| {
            Some(json!({ "value": range(rule)?, "action": access_name(rule.access) }))
        });
        let mut acls = json!({
            "defaultAction": access_name(written.default_action.unwrap_or(written.otherwise)),
            VNET_RULES: vnet_rules,
            IP_RULES: ip_rules,
        });
        if let Some(bypass) = &written.bypass {
            put(&mut acls, "bypass", bypass.as_str().into());
        }
        acls
    }

    fn rule_set(&self, service: &ServiceInstance) -> Value {
        let written = &service.resource.rules;
        let vnet_rules = self.list(service, |rule| {
            Some(json!({
                "subnet": { "id": self.subnet(rule)? },
                "ignoreMissingVnetServiceEndpoint": rule.ignore_missing_endpoint,
                "state": self.state(service, rule),
            }))
        });
        let ip_rules = self.list(service, |rule| {
            Some(json!({ "ipMask": range(rule)?, "action": access_name(rule.access) }))
        });
        json!({
            "defaultAction": access_name(written.default_action.unwrap_or(written.otherwise)),
            "trustedServiceAccessEnabled": written.bypass.is_some(),
            VNET_RULES: vnet_rules,
            IP_RULES: ip_rules,
        })
    }

    /// Rules for subnets are kept only where the filter is on, so that the filter follows from what
    /// was kept: with addresses alone it makes no difference.
    fn account_rules(&self, service: &ServiceInstance) -> Value {
        let vnet_rules = self.list(service, |rule| {
            Some(json!({
                "id": self.subnet(rule)?,
                "ignoreMissingVNetServiceEndpoint": rule.ignore_missing_endpoint,
                "state": self.state(service, rule),
            }))
        });
        let ip_rules = self.list(service, |rule| {
            Some(json!({ "ipAddressOrRange": range(rule)? }))
        });
        let is_closed = service.resource.rules.otherwise == Access::Deny;
        json!({
            "isVirtualNetworkFilterEnabled": !vnet_rules.is_empty() || (is_closed && ip_rules.is_empty()),
            VNET_RULES: vnet_rules,
            IP_RULES: ip_rules,
        })
    }

    fn server_rules(&self, service: &ServiceInstance) -> Value {
        let child = |rule: &ResourceRule, properties: Value| {
            let kind = service.resource.kind;
            let (list, name) = rule.name.split_once('/').unwrap_or_default();
            json!({
                "id": format!("{}/{list}/{name}", service.id()),
                "name": name,
                "type": format!("{kind}/{list}"),
                "properties": properties,
            })
        };
        let vnet_rules = self.list(service, |rule| {
            let properties = json!({
                "virtualNetworkSubnetId": self.subnet(rule)?,
                "ignoreMissingVnetServiceEndpoint": rule.ignore_missing_endpoint,
                "state": self.state(service, rule),
            });
            Some(child(rule, properties))
        });
        let firewall_rules = self.list(service, |rule| {
            let (first, last) = match &rule.who {
                RuleCallers::Addresses(ranges) => *ranges.first()?,
                RuleCallers::AnyAzure => (Ipv4Addr::UNSPECIFIED, Ipv4Addr::UNSPECIFIED),
                _ => return None,
            };
            let properties = json!({
                "startIpAddress": first.to_string(),
                "endIpAddress": last.to_string(),
            });
            Some(child(rule, properties))
        });
        json!({ VNET_RULES: vnet_rules, FIREWALL_RULES: firewall_rules })
    }

    fn restriction(&self, service: &ServiceInstance, rule: &ResourceRule) -> Option<Value> {
        let (_, name) = rule.name.split_once('/')?;
        let mut shaped = json!({ "name": name, "action": access_name(rule.access) });
        if let Some(priority) = rule.priority {
            put(&mut shaped, "priority", priority.into());
        }
        match &rule.who {
            RuleCallers::Subnet(_) => {
                put(
                    &mut shaped,
                    "vnetSubnetResourceId",
                    self.subnet(rule)?.into(),
                );
                put(&mut shaped, "state", self.state(service, rule).into());
            }
            RuleCallers::Tag(tag) => {
                put(&mut shaped, "ipAddress", tag.as_str().into());
                put(&mut shaped, "tag", "ServiceTag".into());
            }
            RuleCallers::Addresses(_) => put(&mut shaped, "ipAddress", written(rule)?.into()),
            RuleCallers::AnyAzure | RuleCallers::Anyone => {
                put(&mut shaped, "ipAddress", "Any".into());
            }
        }
        Some(shaped)
    }

    /// Returns the resource ID of the subnet that a rule names; nothing where it names none.
    fn subnet(&self, rule: &ResourceRule) -> Option<String> {
        match &rule.who {
            RuleCallers::Subnet(named) => Some(named.id(self.model)),
            _ => None,
        }
    }
}

fn put(object: &mut Value, key: &str, value: Value) {
    if let Value::Object(fields) = object {
        fields.insert(key.to_owned(), value);
    }
}

/// Returns the address or prefix of a rule as it was written; nothing where it has none.
fn range(rule: &ResourceRule) -> Option<&str> {
    let (list, text) = rule.name.split_once('/')?;
    (list == IP_RULES).then_some(text)
}

/// Returns the one prefix of a rule.
fn written(rule: &ResourceRule) -> Option<String> {
    let RuleCallers::Addresses(ranges) = &rule.who else {
        return None;
    };
    let &(first, last) = ranges.first()?;
    let prefix = ipnet::Ipv4Subnets::new(first, last, 0).next()?;
    Some(prefix.to_string())
}
