//! Public templates as their users have them, where the checkout has the shared data beside it.

use super::*;
use serde_json::json;

/// Reads a template of the shared data; `None` where there is none.
fn shared(name: &str) -> Option<String> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/data/arm");
    std::fs::read_to_string(format!("{folder}/{name}")).ok()
}

fn deploy(memory: &mut Memory, name: &str, parameters: Value) -> Option<DeploymentResult> {
    let mut request = DeploymentRequest::from_template(&shared(name)?).unwrap();
    request.add_file(&parameters.to_string()).unwrap();
    let result = memory::with_context(|ctx| create(memory, &deployment("q"), &request, ctx));
    Some(result.unwrap())
}

#[test]
fn two_subnets_and_an_account() {
    let mut memory = Memory::new();
    let template = "201-vnet-2subnets-service-endpoints-storage-integration/azuredeploy.json";
    let parameters = json!({ "adminUsername": "me", "adminPassword": "s3cret-word" });
    let Some(result) = deploy(&mut memory, template, parameters) else {
        return;
    };
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
}

#[test]
fn a_nat_gateway() {
    let mut memory = Memory::new();
    let parameters = json!({ "adminusername": "me", "adminpassword": "s3cret-word" });
    if deploy(
        &mut memory,
        "101-nat-gateway-1-vm/azuredeploy.json",
        parameters,
    )
    .is_none()
    {
        return;
    }
    let names = memory.names();
    let at = |name: &str| names.iter().position(|other| *other == name).unwrap();
    assert!(at("myPublicIP") < at("myNATgateway") && at("myNATgateway") < at("myVnet"));
    assert!(at("myVnet") < at("mySubnet") && at("mySubnet") < at("myvmNIC"));
}

#[test]
fn an_appliance() {
    let mut memory = Memory::new();
    let parameters = json!({ "parameters": {
        "adminUsername": { "value": "me" },
        "adminPassword": { "value": "s3cret-word" },
        "uniqueDnsPrefixForVM": { "value": "dns" },
    } });
    let template = "201-userdefined-routes-appliance/azuredeploy.json";
    if deploy(&mut memory, template, parameters).is_none() {
        return;
    }
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
}

#[test]
fn what_bicep_made() {
    let mut memory = Memory::new();
    let parameters = json!({
        "serviceBusNamespaceName": "bus", "virtualNetworkName": "vnet", "subnetName": "a",
    });
    if deploy(
        &mut memory,
        "bicep-servicebus-namespace-vnet/main.json",
        parameters,
    )
    .is_none()
    {
        return;
    }
    let rule = memory.get("Microsoft.ServiceBus/namespaces/bus/virtualnetworkrules/vnet");
    assert_eq!(
        rule["properties"]["virtualNetworkSubnetId"],
        format!(
            "{}/providers/Microsoft.Network/virtualNetworks/vnet/subnets/a",
            memory::GROUP
        )
    );
}
