//! What differs between two models, resource by resource.

mod reduce;

use super::rules::{access_name, direction_name};
use super::{Device, Model, Scope, ServiceInstance};
use postern_dataplane::policy::CloseMode;
use serde::Serialize;
use std::collections::HashMap;
use std::fmt;

/// What happens to a resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// It is new.
    Add,
    /// It goes away.
    Remove,
    /// It stays, with other values.
    Change,
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Add => "add",
            Self::Remove => "remove",
            Self::Change => "change",
        })
    }
}

/// One difference between two models.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Change {
    /// What happens.
    pub action: Action,
    /// The kind of the resource, as the configuration spells it.
    pub kind: &'static str,
    /// Its name; empty for what there is one of.
    pub name: String,
    /// The values that differ: for a change `key: old -> new`, else `key: value`.
    pub detail: String,
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.action, self.kind)?;
        for part in [&self.name, &self.detail]
            .into_iter()
            .filter(|part| !part.is_empty())
        {
            write!(f, " {part}")?;
        }
        Ok(())
    }
}

/// A resource as the diff sees it: where it is, and its values as text.
struct Item {
    kind: &'static str,
    name: String,
    values: Vec<(&'static str, String)>,
}

impl Item {
    fn key(&self) -> (&'static str, String) {
        (self.kind, self.name.to_ascii_lowercase())
    }

    fn summary(&self) -> String {
        let shown = self.values.iter().filter(|(_, value)| !value.is_empty());
        shown
            .map(|(key, value)| format!("{key}: {value}"))
            .collect::<Vec<_>>()
            .join(", ")
    }
}

impl Model {
    /// Returns what has to change to get from this model to `new`: removals first, then additions
    /// and changes in the order of `new`. The order of resources within a model does not count.
    #[must_use]
    pub fn diff(&self, new: &Self) -> Vec<Change> {
        let (old, new) = reduce::differing(self, new);
        let (old, new) = (items(&old), items(&new));
        let before: HashMap<_, _> = old.iter().map(|item| (item.key(), item)).collect();
        let after: HashMap<_, _> = new.iter().map(|item| (item.key(), item)).collect();
        let removed = old.iter().filter(|item| !after.contains_key(&item.key()));
        let mut changes: Vec<Change> = removed
            .map(|item| change(Action::Remove, item, item.summary()))
            .collect();
        for item in &new {
            match before.get(&item.key()) {
                None => changes.push(change(Action::Add, item, item.summary())),
                Some(old) => changes.extend(
                    differences(old, item).map(|detail| change(Action::Change, item, detail)),
                ),
            }
        }
        changes
    }
}

fn change(action: Action, item: &Item, detail: String) -> Change {
    Change {
        action,
        kind: item.kind,
        name: item.name.clone(),
        detail,
    }
}

/// Returns the values that differ, nothing if none does.
fn differences(old: &Item, new: &Item) -> Option<String> {
    let or_none = |value: &str| {
        if value.is_empty() {
            "none".to_owned()
        } else {
            value.to_owned()
        }
    };
    let pairs = old.values.iter().zip(&new.values);
    let changed: Vec<_> = pairs
        .filter(|(old, new)| old != new)
        .map(|((key, old), (_, new))| format!("{key}: {} -> {}", or_none(old), or_none(new)))
        .collect();
    (!changed.is_empty()).then(|| changed.join(", "))
}

fn items(model: &Model) -> Vec<Item> {
    let mut items = vec![settings(model), timers(model), dns(model)];
    items.extend(model.internet.as_ref().map(|internet| Item {
        kind: "internet",
        name: String::new(),
        values: with_device(
            vec![("addresses", list(&internet.addresses))],
            &internet.device,
        ),
    }));
    items.push(Item {
        kind: "platform",
        name: String::new(),
        values: with_device(Vec::new(), &model.platform.device),
    });
    items.extend(model.default_outbound.map(|address| Item {
        kind: "defaultOutbound",
        name: String::new(),
        values: vec![("publicIPAddress", address.to_string())],
    }));
    if !model.public_pool.is_empty() {
        items.push(Item {
            kind: "publicIPPool",
            name: String::new(),
            values: vec![("prefixes", set(&model.public_pool))],
        });
    }
    items.extend(model.nat_gateways.iter().map(|gateway| Item {
        kind: "natGateway",
        name: gateway.name.clone(),
        values: vec![
            ("publicIPAddresses", set(&gateway.addresses)),
            (
                "idleTimeoutInMinutes",
                gateway
                    .idle_timeout_minutes
                    .map(|minutes| minutes.to_string())
                    .unwrap_or_default(),
            ),
        ],
    }));
    nsgs(model, &mut items);
    policies(model, &mut items);
    route_tables(model, &mut items);
    networks(model, &mut items);
    nics(model, &mut items);
    for service in &model.services {
        resource_rules(service, &mut items);
    }
    items.extend(model.services.iter().map(|service| Item {
        kind: "service",
        name: service.name.clone(),
        values: with_device(
            vec![
                ("service", service.service.to_string()),
                ("location", service.location.to_string()),
                ("address", service.address.to_string()),
                ("delivery", service.delivery.name().to_owned()),
                ("scope", scope(&service.resource.scope)),
                ("resourceName", service.resource.name.clone()),
                ("type", service.resource.kind.to_owned()),
                ("host", service.resource.host.clone()),
                ("refusal", format!("{:?}", service.resource.refusal).to_ascii_lowercase()),
                (
                    "publicNetworkAccess",
                    switch(service.resource.public_network_access),
                ),
                (
                    "otherwise",
                    access_name(service.resource.rules.otherwise).to_owned(),
                ),
                (
                    "defaultAction",
                    service
                        .resource
                        .rules
                        .default_action
                        .map(|action| access_name(action).to_owned())
                        .unwrap_or_default(),
                ),
                (
                    "bypass",
                    service.resource.rules.bypass.clone().unwrap_or_default(),
                ),
                (
                    "front",
                    service.front.as_ref().map(ToString::to_string).unwrap_or_default(),
                ),
            ],
            &service.device,
        ),
    }));
    items
}

fn settings(model: &Model) -> Item {
    let settings = &model.settings;
    let close_mode = match settings.close_mode {
        CloseMode::Rst => "rst",
        CloseMode::Silent => "silent",
    };
    let values = vec![
        ("closeMode", close_mode.to_owned()),
        (
            "reevaluateOnChange",
            settings.reevaluate_on_change.to_string(),
        ),
        ("vsePrecedence", settings.vse_precedence.to_string()),
        ("sharedSnatIcmp", settings.shared_snat_icmp.to_string()),
        (
            "sharedSnatFragments",
            settings.shared_snat_fragments.to_string(),
        ),
        (
            "vnetTagIncludesDefaultRoute",
            settings.vnet_tag_includes_default_route.to_string(),
        ),
        (
            "learnedDefaultRemovesNone",
            settings.learned_default_removes_none.to_string(),
        ),
        (
            "sameRegionPublicSourceHidden",
            settings.same_region_public_source_hidden.to_string(),
        ),
        ("crossTenantRules", settings.cross_tenant_rules.to_string()),
        ("maxFlowsPerNic", settings.max_nic_flows.to_string()),
        (
            "natGatewayFlowsPerDestination",
            settings.nat_gateway_flows_per_destination.to_string(),
        ),
        (
            "natGatewayPortsPerNic",
            ports_per_nic(settings.nat_gateway_ports_per_nic, "unlimited"),
        ),
        (
            "defaultOutboundPortsPerNic",
            ports_per_nic(
                settings.default_outbound_ports_per_nic,
                "by the number of NICs",
            ),
        ),
        ("natGatewayFlows", settings.nat_gateway_flows.to_string()),
        ("maxFlows", settings.max_flows.to_string()),
    ];
    Item {
        kind: "settings",
        name: String::new(),
        values,
    }
}

fn ports_per_nic(ports: Option<u32>, otherwise: &str) -> String {
    ports.map_or_else(|| otherwise.to_owned(), |ports| ports.to_string())
}

fn timers(model: &Model) -> Item {
    let timers = &model.timers;
    let values = [
        ("tcpHalfOpen", timers.tcp_half_open),
        ("tcpIdle", timers.tcp_idle),
        ("tcpClosing", timers.tcp_closing),
        ("tcpFinHold", timers.tcp_fin_hold),
        ("tcpRstHold", timers.tcp_rst_hold),
        ("udpIdle", timers.udp_idle),
        ("udpHold", timers.udp_hold),
        ("icmpIdle", timers.icmp_idle),
        ("unanswered", timers.unanswered),
        ("tombstone", timers.tombstone),
    ];
    let values = values
        .map(|(key, duration)| (key, format!("{duration:?}")))
        .into();
    Item {
        kind: "timers",
        name: String::new(),
        values,
    }
}

fn dns(model: &Model) -> Item {
    Item {
        kind: "dns",
        name: String::new(),
        values: vec![
            ("enabled", model.dns.enabled.to_string()),
            ("forwarders", list(&model.dns.forwarders)),
        ],
    }
}

fn nsgs(model: &Model, items: &mut Vec<Item>) {
    items.extend(model.asgs.iter().map(|asg| Item {
        kind: "applicationSecurityGroup",
        name: asg.name.clone(),
        values: Vec::new(),
    }));
    for nsg in &model.nsgs {
        let (kind, name) = ("networkSecurityGroup", nsg.name.clone());
        items.push(Item {
            kind,
            name,
            values: Vec::new(),
        });
        items.extend(nsg.rules.iter().map(|rule| Item {
            kind: "securityRule",
            name: format!("{}/{}", nsg.name, rule.name),
            values: vec![
                ("priority", rule.priority.to_string()),
                ("direction", direction_name(rule.direction).to_owned()),
                ("access", access_name(rule.access).to_owned()),
                ("protocol", rule.protocol.to_string()),
                ("source", rule.source.to_string()),
                ("sourcePorts", rule.source_ports.to_string()),
                ("destination", rule.destination.to_string()),
                ("destinationPorts", rule.destination_ports.to_string()),
            ],
        }));
    }
}

fn scope(scope: &Scope) -> String {
    format!(
        "{}/{} of {}",
        scope.subscription, scope.resource_group, scope.tenant
    )
}

fn switch(on: bool) -> String {
    if on { "Enabled" } else { "Disabled" }.to_owned()
}

/// The rules of a resource, with their place in it where the order decides.
fn resource_rules(service: &ServiceInstance, items: &mut Vec<Item>) {
    for (place, rule) in service.resource.rules.rules.iter().enumerate() {
        items.push(Item {
            kind: "networkRule",
            name: format!("{}/{}", service.name, rule.name),
            values: vec![
                ("who", rule.who.to_string()),
                ("access", access_name(rule.access).to_owned()),
                (
                    "ignoreMissingVnetServiceEndpoint",
                    rule.ignore_missing_endpoint.to_string(),
                ),
                ("place", place.to_string()),
            ],
        });
    }
}

fn policies(model: &Model, items: &mut Vec<Item>) {
    for policy in &model.policies {
        items.push(Item {
            kind: "serviceEndpointPolicy",
            name: policy.name.clone(),
            values: vec![
                ("location", policy.location.to_string()),
                ("scope", scope(&policy.scope)),
                ("audit", policy.audit.to_string()),
            ],
        });
        items.extend(policy.definitions.iter().map(|part| Item {
            kind: "serviceEndpointPolicyDefinition",
            name: format!("{}/{}", policy.name, part.name),
            values: vec![("serviceResources", list(&part.resources))],
        }));
    }
}

fn route_tables(model: &Model, items: &mut Vec<Item>) {
    for table in &model.route_tables {
        items.push(Item {
            kind: "routeTable",
            name: table.name.clone(),
            values: vec![(
                "disableBgpRoutePropagation",
                table.disable_bgp_route_propagation.to_string(),
            )],
        });
        items.extend(table.routes.iter().map(|route| Item {
            kind: "route",
            name: format!("{}/{}", table.name, route.name),
            values: vec![
                ("addressPrefix", route.destination.to_string()),
                ("nextHop", route.next_hop.to_string()),
            ],
        }));
    }
}

fn networks(model: &Model, items: &mut Vec<Item>) {
    for vnet in &model.vnets {
        items.push(Item {
            kind: "virtualNetwork",
            name: vnet.name.clone(),
            values: vec![
                ("location", vnet.location.to_string()),
                ("scope", scope(&vnet.scope)),
                ("addressPrefixes", set(&vnet.address_prefixes)),
                (
                    "flowTimeoutInMinutes",
                    vnet.flow_timeout
                        .map(|timeout| (timeout.as_secs() / 60).to_string())
                        .unwrap_or_default(),
                ),
            ],
        });
        items.extend(vnet.peerings.iter().map(|peering| Item {
            kind: "peering",
            name: format!("{}/{}", vnet.name, peering.remote),
            values: vec![(
                "allowForwardedTraffic",
                peering.allow_forwarded_traffic.to_string(),
            )],
        }));
        items.extend(vnet.subnets.iter().map(|subnet| Item {
            kind: "subnet",
            name: format!("{}/{}", vnet.name, subnet.name),
            values: vec![
                ("addressPrefix", subnet.prefix.to_string()),
                ("serviceEndpoints", list(&subnet.service_endpoints)),
                ("serviceEndpointPolicies", set(&subnet.endpoint_policies)),
                (
                    "networkSecurityGroup",
                    subnet.nsg.clone().unwrap_or_default(),
                ),
                ("routeTable", subnet.route_table.clone().unwrap_or_default()),
                ("natGateway", subnet.nat_gateway.clone().unwrap_or_default()),
                (
                    "defaultOutboundAccess",
                    subnet.default_outbound_access.to_string(),
                ),
            ],
        }));
    }
}

fn nics(model: &Model, items: &mut Vec<Item>) {
    items.extend(model.gateways.iter().map(|gateway| Item {
        kind: "gateway",
        name: gateway.name.clone(),
        values: with_device(
            vec![
                ("virtualNetwork", gateway.vnet.clone()),
                ("addressPrefixes", set(&gateway.address_prefixes)),
                (
                    "learnedRoutes",
                    gateway
                        .learned_routes
                        .as_ref()
                        .map(ToString::to_string)
                        .unwrap_or_default(),
                ),
                ("addresses", list(&gateway.addresses)),
            ],
            &gateway.device,
        ),
    }));
    items.extend(model.nics.iter().map(|nic| Item {
        kind: "networkInterface",
        name: nic.name.clone(),
        values: with_device(
            vec![
                    ("virtualNetwork", nic.vnet.clone()),
                    ("subnet", nic.subnet.clone()),
                    ("privateIPAddress", nic.private_address.to_string()),
                    (
                        "publicIPAddress",
                        nic.public_address
                            .map(|at| at.to_string())
                            .unwrap_or_default(),
                    ),
                    ("enableIPForwarding", nic.ip_forwarding.to_string()),
                    ("networkSecurityGroup", nic.nsg.clone().unwrap_or_default()),
                    ("applicationSecurityGroups", set(&nic.asgs)),
                ],
            &nic.device,
        ),
    }));
}

fn with_device(
    mut values: Vec<(&'static str, String)>,
    device: &Device,
) -> Vec<(&'static str, String)> {
    values.extend([
        ("namespace", device.namespace.to_string()),
        ("device", device.name.clone()),
        ("mtu", device.mtu.to_string()),
        (
            "offload",
            if device.offload { "on" } else { "off" }.to_owned(),
        ),
    ]);
    values
}

fn list<T: fmt::Display>(values: &[T]) -> String {
    let texts: Vec<_> = values.iter().map(ToString::to_string).collect();
    if texts.is_empty() {
        String::new()
    } else {
        format!("[{}]", texts.join(", "))
    }
}

/// Returns the values in a fixed order, for those whose order in the file means nothing.
fn set<T: fmt::Display + Ord>(values: &[T]) -> String {
    let mut values: Vec<_> = values.iter().collect();
    values.sort_unstable();
    list(&values)
}
