//! The estate as a value: lists, differences, pieces, names, other types.

use super::*;
use crate::estate::Parts;

#[test]
fn types_without_effect_are_kept_as_they_are() {
    let mut stage = stage();
    let body = json!({
        "location": "global", "kind": "web", "zones": ["1"], "plan": { "name": "p" }, "tags": { "A": "b" },
        "properties": { "Odd": [1, null, { "privateIpAddress": "x" }], "provisioningState": "Failed", "empty": null },
    });
    stage
        .api("Microsoft.Insights/components/Thing", body.clone())
        .unwrap();
    let mut shown = stage.get("Microsoft.insights/COMPONENTS/thing");
    assert_eq!(shown["properties"]["provisioningState"], "Succeeded");
    for name in ["id", "name", "type", "etag"] {
        assert!(shown.as_object_mut().unwrap().remove(name).is_some());
    }
    let mut wanted = body;
    wanted["properties"]["provisioningState"] = json!("Succeeded");
    assert_eq!(shown, wanted);
    // A deployment says itself how it went; a role is an extension of what it is for.
    let failed = json!({ "properties": { "provisioningState": "Failed" } });
    stage
        .api("Microsoft.Resources/deployments/d", failed)
        .unwrap();
    assert_eq!(
        stage.get("Microsoft.Resources/deployments/d")["properties"]["provisioningState"],
        "Failed"
    );
    stage.ok("virtualNetworks/v", network());
    let role = format!(
        "{}/providers/Microsoft.Authorization/roleAssignments/r",
        id(SUBNET_A)
    );
    let role: ResourceId = role.parse().unwrap();
    let body = json!({ "properties": { "principalId": "p" } });
    stage
        .put(&role, body, &Conditions::none(), Origin::Api)
        .unwrap();
    let roles = |stage: &Stage, scope: &str| {
        let list = stage.estate().list(
            &scope.parse().unwrap(),
            "Microsoft.Authorization/roleAssignments",
        );
        list.len()
    };
    assert_eq!(
        (
            roles(&stage, "/subscriptions/s"),
            roles(&stage, &id(SUBNET_A).to_string())
        ),
        (1, 1)
    );
    assert_eq!(roles(&stage, &id(SUBNET_B).to_string()), 0);
    let listed = stage.estate().resources_in(&GROUP.parse().unwrap());
    assert_eq!(listed.len(), 2, "{listed:?}");
    stage.delete(&id(SUBNET_A), &Conditions::none()).unwrap();
    assert_eq!(roles(&stage, "/"), 0);
    stage.check().unwrap();
}

#[test]
fn lists_are_of_a_group_a_subscription_or_a_parent() {
    let mut stage = stage();
    let other: Scope = "/subscriptions/s/resourceGroups/rg2".parse().unwrap();
    stage
        .put_group(
            &other,
            json!({ "location": "koreasouth", "tags": { "a": "b" } }),
        )
        .unwrap();
    stage.ok("virtualNetworks/v", network());
    let twin = other.resource("Microsoft.Network", &[("virtualNetworks", "V")]);
    let body = json!({ "location": "koreacentral", "properties": network() });
    stage
        .put(&twin, body, &Conditions::none(), Origin::Api)
        .unwrap();
    let names = |scope: &str, kind: &str| {
        let list = stage.estate().list(&scope.parse().unwrap(), kind);
        list.iter()
            .map(|one| one["name"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    let kind = "microsoft.network/VIRTUALnetworks";
    assert_eq!(names(GROUP, kind), ["v"]);
    assert_eq!(names("/subscriptions/s/resourcegroups/RG2", kind), ["V"]);
    assert_eq!(names("/subscriptions/s", kind), ["v", "V"]);
    assert!(names("/subscriptions/other", kind).is_empty());
    let vnet = id("virtualNetworks/v").to_string();
    assert_eq!(
        names(&vnet, "Microsoft.Network/virtualNetworks/subnets"),
        ["a", "b"]
    );
    assert!(
        names(
            &vnet,
            "Microsoft.Network/virtualNetworks/virtualNetworkPeerings"
        )
        .is_empty()
    );
    // Names of the command line are the only ones of their type, and stay.
    let alias = |id: &ResourceId| stage.estate().document(id).unwrap().alias.clone();
    assert_eq!(
        (alias(&id("virtualNetworks/v")), alias(&twin)),
        ("v".to_owned(), "V.rg2".to_owned())
    );
    let groups = stage.estate().list_groups("S");
    assert_eq!(groups.len(), 2);
    assert_eq!(groups[1]["tags"], json!({ "a": "b" }));
    assert_eq!(groups[1]["properties"]["provisioningState"], "Succeeded");
    let put = stage
        .put_group(&other, json!({ "location": "Korea South" }))
        .unwrap();
    assert!(put.changed && !put.created && put.value.get("tags").is_none());
    assert!(!stage.put_group(&other, put.value).unwrap().changed);
}

#[test]
fn an_estate_comes_back_from_its_pieces() {
    let mut stage = stage();
    stage.ok("virtualNetworks/v", network());
    stage.ok("networkInterfaces/i", nic(SUBNET_A));
    let binding = json!({ "namespace": "vm0" }).as_object().unwrap().clone();
    stage.bind(&id("networkInterfaces/i"), Some(binding));
    stage.set_host(
        json!({ "location": "koreacentral" })
            .as_object()
            .unwrap()
            .clone(),
    );
    let estate = stage.estate().clone();
    let text = serde_json::to_string(&estate.to_parts()).unwrap();
    let parts: Parts = serde_json::from_str(&text).unwrap();
    let mut again = Stage::new(&Estate::from_parts(parts), &settings());
    assert_eq!(*again.estate(), estate);
    assert_eq!(again.estate().version(), estate.version());
    assert_eq!(
        again.get("networkInterfaces/i"),
        stage.get("networkInterfaces/i")
    );
    // The index is there too.
    assert_eq!(
        code(
            &again
                .delete(&id(SUBNET_A), &Conditions::none())
                .unwrap_err()
        ),
        "InUseSubnetCannotBeDeleted"
    );
    again
        .delete(&id("networkInterfaces/i"), &Conditions::none())
        .unwrap();
    assert_eq!(
        again.estate().bindings().count(),
        0,
        "a binding goes with its resource"
    );
    let changes: Vec<_> = again.estate().changes_since(&estate).collect();
    assert_eq!(changes.len(), 1);
    assert_eq!(
        (changes[0].key.as_str(), &changes[0].new),
        (id("networkInterfaces/i").key().as_str(), &None)
    );
    assert_eq!(again.estate().binding_changes_since(&estate).count(), 1);
    assert_eq!(again.estate().group_changes_since(&estate).count(), 0);
}

#[test]
fn a_patch_replaces_tags_and_merges_properties() {
    let mut stage = stage();
    let acls = json!({ "defaultAction": "Deny", "ipRules": [{ "value": "20.0.0.9" }] });
    let path = "Microsoft.Storage/storageAccounts/acct";
    stage.ok(
        path,
        json!({ "networkAcls": acls, "minimumTlsVersion": "TLS1_2" }),
    );
    let none = Conditions::none();
    stage
        .patch(&id(path), json!({ "tags": { "a": "1", "b": "2" } }), &none)
        .unwrap();
    stage.patch(&id(path), json!({ "tags": { "c": "3" }, "properties": { "NetworkACLs": { "defaultAction": "allow" } } }), &none).unwrap();
    let shown = stage.get(path);
    assert_eq!(shown["tags"], json!({ "c": "3" }));
    assert_eq!(shown["properties"]["minimumTlsVersion"], "TLS1_2");
    assert_eq!(shown["properties"]["networkAcls"]["defaultAction"], "Allow");
    assert_eq!(
        shown["properties"]["networkAcls"]["ipRules"],
        json!([{ "value": "20.0.0.9", "action": "Allow" }])
    );
    let error = stage
        .patch(&id("virtualNetworks/none"), json!({}), &none)
        .unwrap_err();
    assert_eq!(
        (error.status, code(&error)),
        (404, "ResourceNotFound".into())
    );
}

#[test]
fn order_does_not_matter_where_it_means_nothing() {
    let mut stage = stage();
    let mut vnet = network();
    vnet["subnets"][0]["properties"]["serviceEndpoints"] = json!([{ "service": "Microsoft.Storage" }, { "service": "Microsoft.Sql" }, { "service": "microsoft.sql" }]);
    stage.ok("virtualNetworks/v", vnet.clone());
    vnet["subnets"][0]["properties"]["serviceEndpoints"] = json!([{ "service": "Microsoft.Sql", "locations": ["*"] }, { "service": "Microsoft.Storage", "locations": ["*"] }]);
    vnet["subnets"].as_array_mut().unwrap().reverse();
    assert!(!stage.ok("virtualNetworks/v", vnet.clone()).changed);
    vnet["dhcpOptions"] = json!({ "dnsServers": ["10.0.0.4", "10.0.0.5"] });
    assert!(stage.ok("virtualNetworks/v", vnet.clone()).changed);
    vnet["dhcpOptions"] = json!({ "dnsServers": ["10.0.0.5", "10.0.0.4"] });
    assert!(stage.ok("virtualNetworks/v", vnet).changed);
}

#[test]
fn what_the_file_declares_stays_its_own() {
    let mut stage = stage();
    let body = json!({ "location": "koreacentral", "properties": network() });
    stage
        .put(
            &id("virtualNetworks/v"),
            body.clone(),
            &Conditions::none(),
            Origin::File,
        )
        .unwrap();
    stage
        .api(
            "virtualNetworks/v",
            json!({ "location": "koreacentral", "tags": { "a": "b" }, "properties": network() }),
        )
        .unwrap();
    let origin = |stage: &Stage, path: &str| stage.estate().document(&id(path)).unwrap().origin;
    assert_eq!(origin(&stage, "virtualNetworks/v"), Origin::File);
    stage.api("virtualNetworks/w", body.clone()).unwrap();
    assert_eq!(origin(&stage, "virtualNetworks/w"), Origin::Api);
    let put = stage
        .put(
            &id("virtualNetworks/w"),
            body,
            &Conditions::none(),
            Origin::File,
        )
        .unwrap();
    assert!(!put.changed, "the resource is as it was");
    assert_eq!(origin(&stage, "virtualNetworks/w"), Origin::File);
}
