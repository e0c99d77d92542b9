//! Errors of the loader with the resources that they are about.

use super::*;
use postern_arm::error::ArmError;

fn vnet(name: &str, space: &str, subnets: &[(&str, &str)]) -> (String, Value) {
    let subnets = subnets
        .iter()
        .map(|(name, prefix)| json!({ "name": name, "properties": { "addressPrefix": prefix } }));
    let body = json!({ "location": "koreacentral", "properties": {
        "addressSpace": { "addressPrefixes": [space] },
        "subnets": subnets.collect::<Vec<_>>(),
    }});
    (id(&format!("virtualNetworks/{name}")), body)
}

fn id(rest: &str) -> String {
    format!("/subscriptions/s/resourceGroups/rg/providers/Microsoft.Network/{rest}")
}

fn refusal(documents: Vec<(String, Value)>) -> ArmError {
    let documents = documents.into_iter().map(|(id, body)| {
        let id = id.parse().unwrap();
        (id, body.as_object().unwrap().clone())
    });
    // What the estate checks itself it has checked when it comes here: the rest is the loader's.
    let estate = unchecked(documents.collect());
    *super::super::load(&estate, &CATALOG).unwrap_err().arm
}

fn unchecked(documents: Vec<(ResourceId, Map<String, Value>)>) -> Estate {
    use postern_arm::document::Document;
    use postern_arm::estate::Parts;
    let documents = documents
        .into_iter()
        .zip(1..)
        .map(|((id, body), version)| Document {
            sealed: Default::default(),
            alias: id.name().to_owned(),
            origin: Origin::Api,
            created: version,
            created_at: 0,
            version,
            body,
            id,
        });
    Estate::from_parts(Parts {
        documents: documents.collect(),
        ..Parts::default()
    })
}

#[test]
fn an_error_has_azures_code_and_the_id_of_the_resource() {
    let one = |subnets: &[(&str, &str)]| refusal(vec![vnet("v", "10.0.0.0/16", subnets)]);
    let error = one(&[("a", "10.0.1.0/24"), ("b", "10.0.1.128/25")]);
    assert_eq!(
        (error.status, error.code.as_str()),
        (400, "NetcfgSubnetRangesOverlap")
    );
    let target = format!("{}#addressPrefix", id("virtualNetworks/v/subnets/b"));
    assert_eq!(error.target, Some(target));
    let other = id("virtualNetworks/v/subnets/a");
    assert!(error.message.contains(&other), "{}", error.message);
    assert!(
        error.message.starts_with("Subnet 'b' is not valid because"),
        "{}",
        error.message
    );
    assert!(
        !error.message.contains("virtualNetwork["),
        "{}",
        error.message
    );

    let error = one(&[("a", "10.1.1.0/24")]);
    assert_eq!(error.code, "NetcfgInvalidSubnet");
    let error = one(&[("a", "10.0.1.1/24")]);
    assert_eq!(error.code, "InvalidCIDRNotation");
    assert!(error.message.contains("10.0.1.0/24"), "{}", error.message);
    let error = one(&[("a", "x")]);
    assert_eq!(error.code, "InvalidAddressPrefixFormat");
}

#[test]
fn several_errors_are_details_of_one() {
    let error = refusal(vec![
        vnet("v", "10.0.0.0/16", &[("a", "10.1.1.0/24")]),
        vnet("w", "10.0.0.1/16", &[]),
    ]);
    assert_eq!(error.code, "MultipleErrorsOccurred");
    let found: Vec<_> = error
        .details
        .iter()
        .map(|it| it.target.clone().unwrap())
        .collect();
    assert_eq!(
        found,
        [
            format!("{}#addressPrefix", id("virtualNetworks/v/subnets/a")),
            format!("{}#addressPrefixes[0]", id("virtualNetworks/w")),
        ]
    );
}

#[test]
fn codes_that_a_text_begins_with_are_the_codes() {
    let mut one = vnet("v", "10.0.0.0/16", &[]);
    let two = vnet("w", "10.0.0.0/16", &[]);
    let peering = json!([{ "name": "p", "properties": {
        "remoteVirtualNetwork": { "id": id("virtualNetworks/w") },
    }}]);
    one.1["properties"]["virtualNetworkPeerings"] = peering;
    let error = refusal(vec![one, two]);
    assert_eq!(error.code, "VnetAddressSpacesOverlap");

    let rule = |name: &str, prefix: &str| {
        json!({ "name": name, "properties": {
            "priority": 100, "direction": "Inbound", "access": "Allow", "protocol": "Tcp",
            "sourceAddressPrefix": prefix, "sourcePortRange": "*",
            "destinationAddressPrefix": "*", "destinationPortRange": "*",
        }})
    };
    let body =
        json!({ "properties": { "securityRules": [rule("r", "Nonsense"), rule("q", "*")] } });
    let error = refusal(vec![(id("networkSecurityGroups/n"), body)]);
    assert_eq!(error.code, "SecurityRuleInvalidAddressPrefix");
    let target = format!(
        "{}#sourceAddressPrefix",
        id("networkSecurityGroups/n/securityRules/r")
    );
    assert_eq!(error.target, Some(target));
    let body = json!({ "properties": { "securityRules": [rule("r", "*"), rule("q", "*")] } });
    let error = refusal(vec![(id("networkSecurityGroups/n"), body)]);
    assert_eq!(error.code, "SecurityRuleConflict");
}
