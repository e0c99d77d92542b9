//! Public templates as their users have them, on a map and on the estate.

use super::*;
use crate::estate::{Estate, Settings, Stage};
use serde_json::json;

const ENDPOINTS: &str = include_str!(
    "../../../../../tests/data/arm/201-vnet-2subnets-service-endpoints-storage-integration/azuredeploy.json"
);
const GATEWAY: &str =
    include_str!("../../../../../tests/data/arm/101-nat-gateway-1-vm/azuredeploy.json");
const APPLIANCE: &str =
    include_str!("../../../../../tests/data/arm/201-userdefined-routes-appliance/azuredeploy.json");
const BICEP: &str =
    include_str!("../../../../../tests/data/arm/bicep-servicebus-namespace-vnet/main.json");

fn deploy<R: Resources>(resources: &mut R, template: &str, parameters: Value) -> DeploymentResult {
    let mut request = DeploymentRequest::from_template(template).unwrap();
    request.add_file(&parameters.to_string()).unwrap();
    memory::with_context(|ctx| create(resources, &deployment("q"), &request, ctx)).unwrap()
}

/// Deploys on the estate twice, and says what the second time would change.
fn on_the_estate(template: &str, parameters: Value) -> (Stage, Vec<Value>) {
    let settings = Settings {
        pools: vec!["203.0.113.0/24".parse().unwrap()],
        ..Settings::default()
    };
    let mut stage = Stage::new(&Estate::default(), &settings);
    let scope: Scope = memory::GROUP.parse().unwrap();
    Stage::put_group(&mut stage, &scope, json!({ "location": "westeurope" })).unwrap();
    deploy(&mut stage, template, parameters.clone());
    let mut draft = Stage::new(&stage.clone().into_estate(), &settings);
    let mut request = DeploymentRequest::from_template(template).unwrap();
    request.add_file(&parameters.to_string()).unwrap();
    let result = memory::with_context(|ctx| what_if(&mut draft, &deployment("q"), &request, ctx));
    let changes = result.unwrap().value["properties"]["changes"].clone();
    (stage, changes.as_array().unwrap().clone())
}

fn assert_nothing_changes(changes: &[Value]) {
    for change in changes {
        assert_eq!(change["changeType"], "NoChange", "{change:#}");
    }
}

#[test]
fn two_subnets_and_an_account() {
    let mut memory = Memory::new();
    let parameters = json!({ "adminUsername": "me", "adminPassword": "s3cret-word" });
    let result = deploy(&mut memory, ENDPOINTS, parameters.clone());
    let names = memory.names();
    let at = |name: &str| names.iter().position(|other| *other == name).unwrap();
    assert!(at("default-NSG") < at("VNet1") && at("VNet1") < at("nic0"));
    assert!(at("pip1") < at("nic0") && at("nic1") < at("testvm0") && at("as1") < at("testvm0"));
    assert_eq!(names.len(), 10, "{names:?}");
    let nic = memory.get("Microsoft.Network/networkInterfaces/nic1");
    let subnet = format!(
        "{}/providers/Microsoft.Network/virtualNetworks/VNet1/subnets/subnet2",
        memory::GROUP
    );
    assert_eq!(
        nic["properties"]["ipConfigurations"][0]["properties"]["subnet"]["id"],
        subnet
    );
    assert_eq!(nic["location"], "westeurope");
    let kept = format!("{:?}", memory.kept);
    assert!(!kept.contains("s3cret-word"));
    assert_eq!(result.without_effect.len(), 3);
    let shown = &result.value["properties"];
    assert_eq!(
        shown["parameters"]["adminPassword"],
        json!({ "type": "SecureString" })
    );
    assert_eq!(shown["outputResources"].as_array().unwrap().len(), 10);
    let (stage, changes) = on_the_estate(ENDPOINTS, parameters);
    assert_nothing_changes(&changes);
    assert_eq!(changes.len(), 10);
    let names = |one: ResourceId| one.name().to_owned();
    let group: Scope = memory::GROUP.parse().unwrap();
    let kept: Vec<String> = stage.in_group(&group).into_iter().map(names).collect();
    assert!(
        kept.contains(&"testvm1".to_owned()) && kept.len() == 10,
        "{kept:?}"
    );
}

#[test]
fn a_nat_gateway() {
    let mut memory = Memory::new();
    let parameters = json!({ "adminusername": "me", "adminpassword": "s3cret-word" });
    deploy(&mut memory, GATEWAY, parameters.clone());
    let names = memory.names();
    let at = |name: &str| names.iter().position(|other| *other == name).unwrap();
    assert!(at("myPublicIP") < at("myNATgateway") && at("myNATgateway") < at("myVnet"));
    assert!(at("myVnet") < at("mySubnet") && at("mySubnet") < at("myvmNIC"));
    assert_nothing_changes(&on_the_estate(GATEWAY, parameters).1);
}

#[test]
fn an_appliance() {
    let mut memory = Memory::new();
    let parameters = json!({ "parameters": {
        "adminUsername": { "value": "me" },
        "adminPassword": { "value": "s3cret-word" },
        "uniqueDnsPrefixForVM": { "value": "dns" },
    } });
    deploy(&mut memory, APPLIANCE, parameters.clone());
    let table = memory.get("Microsoft.Network/routeTables/BasicNVA");
    let route = &table["properties"]["routes"][0]["properties"];
    assert_eq!(route["addressPrefix"], "10.1.2.0/24");
    let nic = memory.get("Microsoft.Network/networkInterfaces/Nic1");
    let own = &nic["properties"]["ipConfigurations"][0]["properties"];
    assert_eq!(own["privateIPAddress"], "10.1.1.4");
    assert!(
        own["subnet"]["id"]
            .as_str()
            .unwrap()
            .ends_with("/virtualNetworks/Contoso_Network/subnets/NVASubnet")
    );
    assert_nothing_changes(&on_the_estate(APPLIANCE, parameters).1);
}

#[test]
fn what_bicep_made() {
    let mut memory = Memory::new();
    let parameters = json!({
        "serviceBusNamespaceName": "bus", "virtualNetworkName": "vnet", "subnetName": "a",
    });
    deploy(&mut memory, BICEP, parameters.clone());
    let rule = memory.get("Microsoft.ServiceBus/namespaces/bus/virtualnetworkrules/vnet");
    assert_eq!(
        rule["properties"]["virtualNetworkSubnetId"],
        format!(
            "{}/providers/Microsoft.Network/virtualNetworks/vnet/subnets/a",
            memory::GROUP
        )
    );
    // The security group inside of the subnet is the template's too.
    let (mut stage, changes) = on_the_estate(BICEP, parameters.clone());
    assert_nothing_changes(&changes);
    let mut request = DeploymentRequest::from_template(BICEP).unwrap();
    request.mode = Mode::Complete;
    request.add_file(&parameters.to_string()).unwrap();
    memory::with_context(|ctx| create(&mut stage, &deployment("q"), &request, ctx)).unwrap();
    assert_eq!(stage.in_group(&memory::GROUP.parse().unwrap()).len(), 3);
}
