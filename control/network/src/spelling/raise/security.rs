//! Security groups, route tables and endpoint policies.

use super::{Raiser, copy, copy_choice, name, set, table_list};
use crate::spelling::json::{self, Object};
use crate::spelling::kinds;
use toml::Table;

const RULE_TEXTS: &[&str] = &[
    "description",
    "priority",
    "sourceAddressPrefix",
    "sourceAddressPrefixes",
    "sourcePortRange",
    "sourcePortRanges",
    "destinationAddressPrefix",
    "destinationAddressPrefixes",
    "destinationPortRange",
    "destinationPortRanges",
];

const RULE_CHOICES: [(&str, &[&str]); 3] = [
    ("direction", &["Inbound", "Outbound"]),
    ("access", &["Allow", "Deny"]),
    ("protocol", &["Tcp", "Udp", "Icmp", "Esp", "Ah", "*"]),
];

/// The ports of a rule that says nothing of them: ARM has no default for them.
const PORTS: [(&str, &str); 2] = [
    ("sourcePortRange", "sourcePortRanges"),
    ("destinationPortRange", "destinationPortRanges"),
];

const GROUPS: [&str; 2] = [
    "sourceApplicationSecurityGroups",
    "destinationApplicationSecurityGroups",
];

const HOPS: &[&str] = &[
    "VirtualNetworkGateway",
    "VnetLocal",
    "Internet",
    "VirtualAppliance",
    "None",
];

impl Raiser<'_> {
    /// Raises an application security group.
    pub(super) fn asg(&mut self, section: &Table) {
        let id = self.id(section, kinds::ASG.arm);
        self.add(id, section, Object::new());
    }

    /// Raises a network security group.
    pub(super) fn nsg(&mut self, section: &Table) {
        let id = self.id(section, kinds::NSG.arm);
        let rules: Vec<_> = table_list(section, "securityRule")
            .map(|rule| json::child(name(rule), self.rule(rule)))
            .collect();
        let mut properties = Object::new();
        properties.insert("securityRules".to_owned(), rules.into());
        self.add(id, section, properties);
    }

    fn rule(&self, section: &Table) -> Object {
        let mut properties = Object::new();
        copy(section, RULE_TEXTS, &mut properties);
        for (key, choices) in RULE_CHOICES {
            copy_choice(section, key, choices, &mut properties);
        }
        for key in GROUPS {
            let groups = self.refer_all(section, key, &kinds::ASG);
            set(&mut properties, key, groups);
        }
        for (one, many) in PORTS {
            if !section.contains_key(one) && !section.contains_key(many) {
                properties.insert(one.to_owned(), "*".into());
            }
        }
        properties
    }

    /// Raises a route table.
    pub(super) fn route_table(&mut self, section: &Table) {
        let id = self.id(section, kinds::ROUTE_TABLE.arm);
        let routes = table_list(section, "route").map(|route| {
            let mut properties = Object::new();
            copy(
                route,
                &["addressPrefix", "nextHopIpAddress"],
                &mut properties,
            );
            copy_choice(route, "nextHopType", HOPS, &mut properties);
            json::child(name(route), properties)
        });
        let routes: Vec<_> = routes.collect();
        let mut properties = Object::new();
        copy(section, &["disableBgpRoutePropagation"], &mut properties);
        properties.insert("routes".to_owned(), routes.into());
        self.add(id, section, properties);
    }

    /// Raises a service endpoint policy.
    pub(super) fn policy(&mut self, section: &Table) {
        let id = self.id(section, kinds::POLICY.arm);
        let definitions = table_list(section, "definition").map(|part| {
            let mut properties = Object::new();
            copy(part, &["description", "serviceResources"], &mut properties);
            let services = &["Microsoft.Storage", "Global"];
            copy_choice(part, "service", services, &mut properties);
            json::child(name(part), properties)
        });
        let definitions: Vec<_> = definitions.collect();
        let mut properties = Object::new();
        let key = "serviceEndpointPolicyDefinitions";
        properties.insert(key.to_owned(), definitions.into());
        self.bind(&id, section, &["tenant", "audit"]);
        self.add(id, section, properties);
    }
}
