//! What a configuration says and can hardly mean: it is accepted, as on Azure, and does nothing or
//! something else than it looks like.

use super::names;
use crate::model::{
    Model, PeeringState, RouteTable, RuleCallers, ServiceInstance, UserNextHop, VirtualNetwork,
};
use postern_dataplane::policy::Access;
use std::net::Ipv4Addr;

/// Something that is accepted and probably not meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    /// Where, in the order of the model: `routeTable[0].route[1].nextHopIpAddress`.
    pub key: String,
    /// What is odd, and what would be accepted without this warning.
    pub text: String,
}

fn warning(key: impl Into<String>, text: impl Into<String>) -> Warning {
    Warning {
        key: key.into(),
        text: text.into(),
    }
}

/// Returns what is odd in a model, in the order of the file.
#[must_use]
pub fn warnings(model: &Model) -> Vec<Warning> {
    let mut found: Vec<Warning> = Vec::new();
    found.extend(nothing(model));
    found.extend(appliances(model));
    found.extend(peerings(model));
    for (at, service) in model.services.iter().enumerate() {
        found.extend(account_name(at, service));
        found.extend(idle_rules(at, service));
    }
    found
}

fn nothing(model: &Model) -> Option<Warning> {
    let is_empty = model.vnets.is_empty()
        && model.nics.is_empty()
        && model.services.is_empty()
        && model.nsgs.is_empty()
        && model.route_tables.is_empty()
        && model.nat_gateways.is_empty()
        && model.api.listen.is_none();
    is_empty.then(|| {
        warning(
            "",
            "the file declares no resource and no API to make one; accepted: a [[virtualNetwork]], \
             or [api] with listen",
        )
    })
}

/// Returns the networks that use a route table, each with the subnets that do.
fn users<'m>(model: &'m Model, table: &RouteTable) -> Vec<(&'m VirtualNetwork, Vec<&'m str>)> {
    let uses = |own: &Option<String>| {
        own.as_ref()
            .is_some_and(|own| own.eq_ignore_ascii_case(&table.name))
    };
    let found = model.vnets.iter().map(|vnet| {
        let subnets = vnet.subnets.iter().filter(|one| uses(&one.route_table));
        (vnet, subnets.map(|subnet| subnet.name.as_str()).collect())
    });
    found
        .filter(|(_, subnets): &(_, Vec<_>)| !subnets.is_empty())
        .collect()
}

/// Routes to appliances that are not there, do not forward, or get back what they pass on.
fn appliances(model: &Model) -> Vec<Warning> {
    let mut found = Vec::new();
    for (at, table) in model.route_tables.iter().enumerate() {
        let users = users(model, table);
        for (number, route) in table.routes.iter().enumerate() {
            let UserNextHop::VirtualAppliance(address) = route.next_hop else {
                continue;
            };
            let key = format!("routeTable[{at}].route[{number}].nextHopIpAddress");
            let odd = users
                .iter()
                .find_map(|(vnet, subnets)| appliance(model, vnet, subnets, address));
            found.extend(odd.map(|text| warning(key, text)));
        }
    }
    found
}

/// Returns what is wrong with an appliance, as a network sees it.
fn appliance(
    model: &Model,
    vnet: &VirtualNetwork,
    subnets: &[&str],
    address: Ipv4Addr,
) -> Option<String> {
    let peers = model.peers(vnet).map(|peer| peer.vnet);
    let reached: Vec<_> = std::iter::once(vnet).chain(peers).collect();
    let nic = model.nics.iter().find(|nic| {
        nic.private_address == address
            && reached
                .iter()
                .any(|vnet| vnet.name.eq_ignore_ascii_case(&nic.vnet))
    });
    let Some(nic) = nic else {
        let behind = model.gateway_of(vnet).is_some();
        let in_space = reached
            .iter()
            .flat_map(|vnet| &vnet.address_prefixes)
            .any(|prefix| prefix.contains(&address));
        // Behind a gateway there can be an appliance that no file declares.
        return (!behind || in_space).then(|| {
            format!(
                "no network interface of {} or of a network that is peered with it has {address}, \
                 so packets of this route are dropped; accepted: the address of a network interface \
                 with enableIPForwarding",
                vnet.name
            )
        });
    };
    if !nic.ip_forwarding {
        return Some(format!(
            "network interface {} has {address} and does not forward, so packets of this route are \
             dropped; accepted: enableIPForwarding = true there",
            nic.name
        ));
    }
    let own = nic.vnet.eq_ignore_ascii_case(&vnet.name)
        && subnets
            .iter()
            .any(|subnet| subnet.eq_ignore_ascii_case(&nic.subnet));
    own.then(|| {
        format!(
            "subnet {}/{} of the appliance {} has this route too, so what the appliance sends on comes \
             back to it; accepted: another route table for its subnet",
            vnet.name, nic.subnet, nic.name
        )
    })
}

fn peerings(model: &Model) -> Vec<Warning> {
    let mut found = Vec::new();
    for (at, vnet) in model.vnets.iter().enumerate() {
        for (number, peering) in vnet.peerings.iter().enumerate() {
            if model.peering_state(vnet, peering) == PeeringState::Initiated {
                let key = format!("virtualNetwork[{at}].peering[{number}]");
                let text = format!(
                    "{remote} has no peering with {name}, so this one is Initiated and carries no \
                     packet; accepted: a [[virtualNetwork.peering]] of {remote} with remote = \
                     \"{name}\"",
                    remote = peering.remote,
                    name = vnet.name
                );
                found.push(warning(key, text));
            }
        }
    }
    found
}

fn account_name(at: usize, service: &ServiceInstance) -> Option<Warning> {
    let why = names::refused(service.resource.kind, &service.resource.name)?;
    let text = format!("Azure refuses this name; accepted: {why}");
    Some(warning(format!("service[{at}].name"), text))
}

/// Rules that let callers in whom the default action lets in anyway.
fn idle_rules(at: usize, service: &ServiceInstance) -> Option<Warning> {
    let rules = &service.resource.rules;
    let idle = rules.otherwise == Access::Allow
        && rules.default_action == Some(Access::Allow)
        && !rules.rules.is_empty()
        && rules
            .rules
            .iter()
            .all(|rule| rule.access == Access::Allow && !matches!(rule.who, RuleCallers::Anyone));
    idle.then(|| {
        let text = "the default action lets every caller in, so none of its rules decides anything; accepted: \
             defaultAction = \"Deny\"";
        warning(format!("service[{at}]"), text)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::Catalog;
    use crate::config;
    use std::path::Path;

    const HEAD: &str = r#"
location = "koreacentral"
[[virtualNetwork]]
name = "hub"
addressPrefixes = ["10.0.0.0/16"]
[[virtualNetwork.subnet]]
name = "apps"
addressPrefix = "10.0.1.0/24"
routeTable = "rt"
[[virtualNetwork.subnet]]
name = "nva"
addressPrefix = "10.0.3.0/24"
[[networkInterface]]
name = "nva"
virtualNetwork = "hub"
subnet = "nva"
privateIPAddress = "10.0.3.4"
enableIPForwarding = true
[[routeTable]]
name = "rt"
[[routeTable.route]]
name = "all"
addressPrefix = "0.0.0.0/0"
nextHopType = "VirtualAppliance"
nextHopIpAddress = "10.0.3.4"
"#;

    fn told(text: &str) -> Vec<(String, String)> {
        let catalog = Catalog::bundled().unwrap();
        let model = config::parse(Path::new("f.toml"), text, &catalog).unwrap();
        let told = warnings(&model).into_iter();
        told.map(|warning| (warning.key, warning.text)).collect()
    }

    /// Asserts that a text has one warning, at that key, with those words.
    #[track_caller]
    fn one(text: &str, key: &str, words: &str) {
        let told = told(text);
        assert_eq!(told.len(), 1, "{told:?}");
        assert_eq!(told[0].0, key);
        assert!(told[0].1.contains(words), "{}", told[0].1);
        assert!(told[0].1.contains("; accepted: "), "{}", told[0].1);
    }

    #[test]
    fn what_is_meant_is_not_warned_of() {
        assert_eq!(told(HEAD), []);
        for sample in [
            include_str!("../../../../config/two-subnets.toml"),
            include_str!("../../../../config/secured-service.toml"),
            include_str!("../../../../config/azure.toml"),
        ] {
            assert_eq!(told(sample), []);
        }
    }

    #[test]
    fn a_route_to_what_is_no_appliance_is_told() {
        let key = "routeTable[0].route[0].nextHopIpAddress";
        let nowhere = HEAD.replace(
            r#"nextHopIpAddress = "10.0.3.4""#,
            r#"nextHopIpAddress = "10.0.3.9""#,
        );
        one(&nowhere, key, "no network interface of hub");
        let deaf = HEAD.replace("enableIPForwarding = true", "");
        one(
            &deaf,
            key,
            "network interface nva has 10.0.3.4 and does not forward",
        );
        let looped = HEAD.replace(
            "addressPrefix = \"10.0.3.0/24\"",
            "addressPrefix = \"10.0.3.0/24\"\nrouteTable = \"rt\"",
        );
        one(&looped, key, "comes back to it");
    }

    #[test]
    fn a_peering_without_its_other_side_is_told() {
        let half = r#"
[[virtualNetwork]]
name = "spoke"
addressPrefixes = ["10.1.0.0/16"]
[[virtualNetwork.peering]]
remote = "hub"
"#;
        one(
            &format!("{HEAD}{half}"),
            "virtualNetwork[1].peering[0]",
            "Initiated",
        );
        let whole = HEAD.replace(
            "[[networkInterface]]",
            "[[virtualNetwork.peering]]\nremote = \"spoke\"\n[[networkInterface]]",
        );
        assert_eq!(told(&format!("{whole}{half}")), []);
    }

    #[test]
    fn names_that_azure_refuses_and_rules_that_decide_nothing_are_told() {
        let service = |name: &str, action: &str| {
            format!(
                r#"{HEAD}
[[service]]
name = "{name}"
service = "Microsoft.Storage"
address = "20.60.16.5"
[service.networkAcls]
defaultAction = "{action}"
ipRules = [{{ value = "16.17.18.19" }}]
"#
            )
        };
        assert_eq!(told(&service("contoso", "Deny")), []);
        one(&service("Contoso-1", "Deny"), "service[0].name", "3 to 24");
        one(
            &service("contoso", "Allow"),
            "service[0]",
            "none of its rules",
        );
    }

    #[test]
    fn an_empty_file_is_told() {
        one("", "", "declares no resource");
        one("location = \"koreacentral\"", "", "declares no resource");
    }
}
