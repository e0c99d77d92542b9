//! Estates to try things on; the tests of the daemon's platform have them too.

use postern_arm::document::Origin;
use postern_arm::estate::{Conditions, Estate, Stage};
use postern_arm::id::{ResourceId, Scope};
use postern_network::catalog::Catalog;
use postern_network::spelling::{Raised, settings};
use serde_json::{Map, Value, json};
use std::sync::{Arc, LazyLock};

pub static CATALOG: LazyLock<Arc<Catalog>> =
    LazyLock::new(|| Arc::new(Catalog::bundled().unwrap()));

/// Puts what a file declares into an estate.
pub fn estate(raised: Raised) -> Estate {
    let mut stage = staged(raised.host, raised.documents, Origin::File);
    for (id, bound) in raised.bindings {
        stage.bind(&id, Some(bound));
    }
    stage.into_estate()
}

/// Puts documents into an estate, with their groups; whether what they name is there is not checked.
pub fn staged(
    host: Map<String, Value>,
    documents: Vec<(ResourceId, Map<String, Value>)>,
    origin: Origin,
) -> Stage {
    let mut stage = Stage::new(&Estate::default(), &settings(&host, &CATALOG, 1));
    stage.set_host(host);
    for (id, mut body) in documents {
        let group = Scope::Group(
            id.scope.subscription().unwrap().to_owned(),
            id.scope.group().unwrap().to_owned(),
        );
        let location = json!({ "location": "koreacentral" });
        stage.put_group(&group, location).unwrap();
        body.entry("location").or_insert("koreacentral".into());
        let put = stage.put(&id, body.into(), &Conditions::none(), origin);
        put.unwrap_or_else(|error| panic!("{id}: {error:?}"));
    }
    stage
}

const NET: &str = "/subscriptions/s/resourceGroups/rg/providers/Microsoft.Network";

pub fn id(rest: &str) -> String {
    format!("{NET}/{rest}")
}

/// Puts documents as requests do, with what the file says of the host.
pub fn of(host: Value, documents: &[(&str, Value)]) -> Estate {
    let documents = documents.iter().map(|(id, body)| {
        let id = if id.starts_with('/') {
            (*id).to_owned()
        } else {
            format!("/subscriptions/s/resourceGroups/rg/providers/{id}")
        };
        (id.parse().unwrap(), body.as_object().unwrap().clone())
    });
    let host = host.as_object().unwrap().clone();
    let mut stage = staged(host, documents.collect(), Origin::Api);
    stage.check().unwrap_or_else(|error| panic!("{error:?}"));
    stage.into_estate()
}

pub fn host() -> Value {
    json!({ "location": "koreacentral", "subscription": "s", "resourceGroup": "rg" })
}

/// The resources of the quickstart "two subnets, one with a storage endpoint", as its template makes
/// them.
pub fn quickstart() -> Vec<(&'static str, Value)> {
    let nic = |at: usize| {
        json!({ "location": "koreacentral", "properties": { "ipConfigurations": [{
            "name": "ipconfig1",
            "properties": {
                "privateIPAllocationMethod": "Dynamic",
                "privateIPAddress": format!("10.0.{}.4", at + 1),
                "publicIPAddress": { "id": id(&format!("publicIPAddresses/publicIp{at}")) },
                "subnet": { "id": id(&format!("virtualNetworks/VNet1/subnets/subnet{}", at + 1)) },
            },
        }]}})
    };
    let pip = |at: usize| {
        json!({ "location": "koreacentral", "properties": {
            "publicIPAllocationMethod": "Dynamic", "ipAddress": format!("20.90.0.{at}"),
        }})
    };
    vec![
        (
            "Microsoft.Network/networkSecurityGroups/nsg",
            json!({
                "location": "koreacentral",
                "properties": { "securityRules": [{ "name": "default-allow-3389", "properties": {
                    "priority": 1000, "access": "Allow", "direction": "Inbound",
                    "destinationPortRange": "3389", "protocol": "Tcp", "sourceAddressPrefix": "*",
                    "sourcePortRange": "*", "destinationAddressPrefix": "*",
                }}]},
            }),
        ),
        (
            "Microsoft.Network/virtualNetworks/VNet1",
            json!({
                "location": "koreacentral",
                "properties": {
                    "addressSpace": { "addressPrefixes": ["10.0.0.0/16"] },
                    "subnets": [
                        { "name": "subnet1", "properties": {
                            "addressPrefix": "10.0.1.0/24",
                            "serviceEndpoints": [{ "service": "Microsoft.Storage" }],
                            "networkSecurityGroup": { "id": id("networkSecurityGroups/nsg") },
                        }},
                        { "name": "subnet2", "properties": { "addressPrefix": "10.0.2.0/24" } },
                    ],
                },
            }),
        ),
        ("Microsoft.Network/publicIPAddresses/publicIp0", pip(0)),
        ("Microsoft.Network/publicIPAddresses/publicIp1", pip(1)),
        ("Microsoft.Network/networkInterfaces/nic0", nic(0)),
        ("Microsoft.Network/networkInterfaces/nic1", nic(1)),
        (
            "Microsoft.Storage/storageAccounts/abcdefghijklm",
            json!({
                "location": "koreacentral", "sku": { "name": "Standard_LRS" }, "kind": "StorageV2",
                "properties": { "networkAcls": {
                    "bypass": "None",
                    "virtualNetworkRules": [{
                        "id": id("virtualNetworks/VNet1/subnets/subnet1"), "action": "Allow",
                    }],
                    "defaultAction": "Deny",
                }},
            }),
        ),
        (
            "Microsoft.Compute/availabilitySets/set",
            json!({ "location": "koreacentral" }),
        ),
        (
            "Microsoft.Compute/virtualMachines/vm0",
            json!({ "location": "koreacentral" }),
        ),
    ]
}
