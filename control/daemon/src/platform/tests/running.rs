//! What is asked of a running fabric.

use super::*;
use crate::fabric::{Fabric, Host, Shut};
use postern_arm::error::ArmError;
use postern_dataplane::engine::SweepReport;
use postern_dataplane::io::WorkerGone;
use postern_dataplane::policy::{PortId, Snapshot};
use postern_host::attach::{AttachError, NamespaceId};
use postern_host::front::FrontError;
use postern_host::front::door::Doors;
use postern_network::compile::PortSpec;
use postern_network::model::{NamespaceRef, Process};
use std::sync::mpsc::{Receiver, channel};

/// A host without devices.
struct Nothing;

impl Host for Nothing {
    type Device = ();
    type Listeners = ();

    fn identify(&self, _: &NamespaceRef) -> Result<NamespaceId, AttachError> {
        Ok(NamespaceId::new(1, 1))
    }

    fn process(&self, _: u32) -> Option<Process> {
        None
    }

    fn attach(&self, _: &PortSpec) -> Result<((), NamespaceId), AttachError> {
        Ok(((), NamespaceId::new(1, 1)))
    }

    fn mend(&self, _: &PortSpec, _: NamespaceId) -> Result<Vec<String>, AttachError> {
        Ok(Vec::new())
    }

    fn update(&self, _: &PortSpec, _: &PortSpec) -> Result<(), AttachError> {
        Ok(())
    }

    fn devices(&self) -> Result<Vec<PortId>, WorkerGone> {
        Ok((0..100).map(PortId).collect())
    }

    fn prepare_fronts(&self, _: &Doors) -> Result<((), Vec<Shut>), FrontError> {
        Ok(((), Vec::new()))
    }

    fn commit_fronts(&self, (): (), _: Doors) {}

    fn install(
        &self,
        _: Arc<Snapshot>,
        _: Vec<(PortId, ())>,
        _: Vec<PortId>,
    ) -> Result<Receiver<SweepReport>, WorkerGone> {
        Ok(channel().1)
    }
}

fn running(estate: &Estate) -> Fabric<Nothing> {
    let mut fabric = Fabric::new(Nothing, Arc::clone(&CATALOG));
    let mut model = load(estate, &CATALOG).unwrap();
    model.settings.max_flows = fabric.model().settings.max_flows;
    fabric.apply(model).unwrap();
    fabric
}

/// The quickstart with machines, a route table at subnet2 and a watcher.
fn estate() -> Estate {
    let mut documents = quickstart();
    documents.retain(|(id, _)| !id.starts_with("Microsoft.Compute"));
    documents.push((
        "Microsoft.Network/routeTables/rt",
        json!({ "properties": { "routes": [{ "name": "all", "properties": {
            "addressPrefix": "0.0.0.0/0", "nextHopType": "VirtualAppliance",
            "nextHopIpAddress": "10.0.1.4",
        }}]}}),
    ));
    let nics = json!([{ "id": id("networkInterfaces/nic0") }]);
    documents.push((
        "Microsoft.Compute/virtualMachines/vm0",
        json!({ "properties": { "networkProfile": { "networkInterfaces": nics } } }),
    ));
    documents.push(("Microsoft.Network/networkWatchers/w", json!({})));
    for (id, body) in &mut documents {
        if id.ends_with("VNet1") {
            let table = json!({ "id": super::id("routeTables/rt") });
            body["properties"]["subnets"][1]["properties"]["routeTable"] = table;
        }
    }
    documents.sort_by_key(|(id, _)| !id.contains("routeTables"));
    of(host(), &documents)
}

fn ask(rest: &str, action: &str, body: Value) -> Result<Value, ArmError> {
    let estate = estate();
    let id = id(rest).parse().unwrap();
    super::super::action(&running(&estate), &estate, &id, action, &body)
}

#[test]
fn a_nic_has_one_row_for_its_endpoint_and_beaten_rows_are_invalid() {
    let routes = ask("networkInterfaces/nic0", "EffectiveRouteTable", Value::Null).unwrap();
    let rows = routes["value"].as_array().unwrap();
    let endpoint = |row: &&Value| row["nextHopType"] == "VirtualNetworkServiceEndpoint";
    let endpoints: Vec<_> = rows.iter().filter(endpoint).collect();
    assert_eq!(endpoints.len(), 1);
    assert!(endpoints[0]["addressPrefix"].as_array().unwrap().len() > 1);
    let routes = ask("NetworkInterfaces/NIC1", "effectiveRouteTable", json!({})).unwrap();
    let rows = routes["value"].as_array().unwrap();
    let everything = |state: &str| {
        let found = rows
            .iter()
            .find(|row| row["addressPrefix"] == json!(["0.0.0.0/0"]) && row["state"] == state);
        found.unwrap_or_else(|| panic!("{state}: {rows:?}"))
    };
    assert_eq!(everything("Invalid")["source"], "Default");
    assert_eq!(everything("Active")["name"], "all");
    assert_eq!(rows.iter().filter(endpoint).count(), 0);
}

#[test]
fn effective_groups_have_ids() {
    let groups = ask(
        "networkInterfaces/nic0",
        "effectiveNetworkSecurityGroups",
        json!({}),
    );
    let groups = groups.unwrap();
    let group = &groups["value"][0];
    assert_eq!(
        group["networkSecurityGroup"]["id"],
        id("networkSecurityGroups/nsg")
    );
    let subnet = id("virtualNetworks/VNet1/subnets/subnet1");
    assert_eq!(group["association"]["subnet"]["id"], subnet);
    assert_eq!(
        group["effectiveSecurityRules"][0]["name"],
        "securityRules/default-allow-3389"
    );
    let none = ask(
        "networkInterfaces/nic1",
        "effectiveNetworkSecurityGroups",
        json!({}),
    );
    assert_eq!(none.unwrap()["value"], json!([]));
}

#[test]
fn a_watcher_tells_the_next_hop_of_a_machine() {
    let machine = id("virtualMachines/vm0").replace("Microsoft.Network", "Microsoft.Compute");
    let hop = |target: &str, source: &str, destination: &str| {
        let body = json!({
            "targetResourceId": target, "sourceIPAddress": source,
            "destinationIPAddress": destination,
        });
        ask("networkWatchers/w", "nextHop", body).unwrap()
    };
    let storage = CATALOG.tag("Storage.KoreaCentral").unwrap().prefixes[0]
        .addr()
        .to_string();
    let found = hop(&machine, "10.0.1.4", &storage);
    assert_eq!(found["nextHopType"], "VirtualNetworkServiceEndpoint");
    assert_eq!(found["routeTableId"], "System Route");
    assert_eq!(
        hop(&machine, "10.0.1.4", "10.0.2.4")["nextHopType"],
        "VnetLocal"
    );
    assert_eq!(
        hop(&machine, "10.0.1.4", "8.8.8.8")["nextHopType"],
        "Internet"
    );
    assert_eq!(hop(&machine, "10.0.1.4", "10.9.0.1")["nextHopType"], "None");
    let nic1 = id("networkInterfaces/nic1");
    let wanted = json!({
        "nextHopType": "VirtualAppliance", "nextHopIpAddress": "10.0.1.4",
        "routeTableId": id("routeTables/rt"),
    });
    assert_eq!(hop(&nic1, "10.0.2.4", &storage), wanted);
}

#[test]
fn a_watcher_verifies_a_flow() {
    let verify = |local: &str, port: &str| {
        ask(
            "networkWatchers/w",
            "ipFlowVerify",
            json!({
                "targetResourceId": id("networkInterfaces/nic0"), "direction": "Inbound",
                "protocol": "TCP", "localPort": port, "remotePort": "60000",
                "localIPAddress": local, "remoteIPAddress": "198.51.100.7",
            }),
        )
    };
    let wanted = json!({ "access": "Allow", "ruleName": "securityRules/default-allow-3389" });
    assert_eq!(verify("10.0.1.4", "3389").unwrap(), wanted);
    let wanted = json!({ "access": "Deny", "ruleName": "defaultSecurityRules/DenyAllInBound" });
    assert_eq!(verify("10.0.1.4", "22").unwrap(), wanted);
    for (local, port, property) in [
        ("10.0.1.9", "22", "localIPAddress"),
        ("10.0.1.4", "x", "localPort"),
    ] {
        let error = verify(local, port).unwrap_err();
        assert_eq!(
            (error.status, error.target.as_deref()),
            (400, Some(property))
        );
    }
}

#[test]
fn what_is_not_there_is_said() {
    let missing = ask("networkInterfaces/x", "effectiveRouteTable", json!({})).unwrap_err();
    assert_eq!(
        (missing.status, missing.code.as_str()),
        (404, "ResourceNotFound")
    );
    let unknown = ask("networkInterfaces/nic0", "explode", json!({})).unwrap_err();
    assert_eq!(unknown.status, 404);
    let target = json!({
        "targetResourceId": "x", "sourceIPAddress": "1.1.1.1", "destinationIPAddress": "1.1.1.1",
    });
    let wrong = ask("networkWatchers/w", "nextHop", target).unwrap_err();
    assert_eq!(wrong.target.as_deref(), Some("targetResourceId"));
}

#[test]
fn a_region_has_tags_and_services() {
    let tags = regional(&CATALOG, "koreacentral", "ServiceTags").unwrap();
    assert_eq!(tags["changeNumber"], CATALOG.change_number().to_string());
    let values = tags["values"].as_array().unwrap();
    let storage = values
        .iter()
        .find(|tag| tag["name"] == "Storage.KoreaCentral")
        .unwrap();
    assert_eq!(storage["properties"]["region"], "koreacentral");
    let services = "virtualNetworkAvailableEndpointServices";
    let services = regional(&CATALOG, "Korea Central", services).unwrap();
    assert_eq!(services["value"][0]["name"], "Microsoft.Storage");
    let error = regional(&CATALOG, "atlantis", "serviceTags").unwrap_err();
    assert_eq!(error.code, "LocationNotAvailableForResourceType");
    assert_eq!(
        regional(&CATALOG, "koreacentral", "x").unwrap_err().status,
        404
    );
}

#[test]
fn a_preview_tells_routes_and_rules_and_changes_nothing() {
    let now = estate();
    let fabric = running(&now);
    let vnet: ResourceId = id("virtualNetworks/VNet1/subnets/subnet1").parse().unwrap();
    let change = |properties: Value| {
        let mut stage = Stage::new(&now, &settings(now.host(), &CATALOG, 2));
        let body = json!({ "properties": properties });
        stage
            .put(&vnet, body, &Conditions::none(), Origin::Api)
            .unwrap();
        stage.check().unwrap();
        preview(&fabric, &now, &stage.into_estate())
    };
    let nsg = json!({ "id": id("networkSecurityGroups/nsg") });
    let sql = json!([{ "service": "Microsoft.Storage" }, { "service": "Microsoft.Sql" }]);
    let told = change(json!({
        "addressPrefix": "10.0.1.0/24", "serviceEndpoints": sql, "networkSecurityGroup": nsg,
    }));
    let told = told.unwrap();
    assert_eq!(told["changes"].as_array().unwrap().len(), 1);
    let routes = told["effectiveRoutes"].as_array().unwrap();
    assert_eq!(routes.len(), 1);
    assert_eq!(routes[0]["networkInterface"], id("networkInterfaces/nic0"));
    assert_eq!(routes[0]["removed"], json!([]));
    assert_eq!(
        routes[0]["added"][0]["nextHopType"],
        "VirtualNetworkServiceEndpoint"
    );
    assert_eq!(told["effectiveSecurityRules"], json!([]));
    // Without the group its rules go.
    let storage = json!([{ "service": "Microsoft.Storage" }]);
    let told = change(json!({ "addressPrefix": "10.0.1.0/24", "serviceEndpoints": storage }));
    let told = told.unwrap();
    assert_eq!(told["effectiveRoutes"], json!([]));
    let rules = told["effectiveSecurityRules"][0]["removed"]
        .as_array()
        .unwrap()
        .len();
    assert_eq!(rules, 7);
    // What the loader refuses is said as when it is done.
    let rule: ResourceId = id("networkSecurityGroups/nsg/securityRules/x")
        .parse()
        .unwrap();
    let body = json!({ "properties": {
        "priority": 100, "direction": "Inbound", "access": "Allow", "protocol": "Tcp",
        "sourceAddressPrefix": "NoSuchTag", "sourcePortRange": "*",
        "destinationAddressPrefix": "*", "destinationPortRange": "22",
    }});
    let mut stage = Stage::new(&now, &settings(now.host(), &CATALOG, 2));
    stage
        .put(&rule, body, &Conditions::none(), Origin::Api)
        .unwrap();
    let error = preview(&fabric, &now, &stage.into_estate())
        .unwrap_err()
        .arm;
    assert_eq!(error.code, "SecurityRuleInvalidAddressPrefix");
    assert_eq!(fabric.epoch().0, 1);
}

#[test]
fn a_rule_for_a_subnet_without_the_endpoint_is_refused_in_the_words_of_storage() {
    let mut documents = quickstart();
    for (_, body) in &mut documents {
        let rules = &mut body["properties"]["networkAcls"]["virtualNetworkRules"];
        if let Some(rule) = rules.get_mut(0) {
            rule["id"] = id("virtualNetworks/VNet1/subnets/subnet2").into();
        } else {
            body["properties"]
                .as_object_mut()
                .map(|it| it.remove("networkAcls"));
        }
    }
    documents.retain(|(id, _)| !id.starts_with("Microsoft.Compute"));
    let estate = of(host(), &documents);
    let mut fabric = Fabric::new(Nothing, Arc::clone(&CATALOG));
    let error = fabric.apply(load(&estate, &CATALOG).unwrap()).unwrap_err();
    let error = explain(&estate, &error).arm;
    assert_eq!(error.code, "NetworkAclsValidationFailure");
    let wanted = "Validation of network acls failure: SubnetsHaveNoServiceEndpointsConfigured:";
    assert!(error.message.starts_with(wanted), "{}", error.message);
    let target = error.target.unwrap();
    assert!(
        target.contains("storageAccounts/abcdefghijklm#networkAcls"),
        "{target}"
    );
}
