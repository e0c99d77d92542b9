use super::link::new_links;
use super::*;
use crate::document::{Document, Origin};
use serde_json::json;

const SUBSCRIPTION: &str = "/subscriptions/s";
const VNET: &str =
    "/subscriptions/s/resourceGroups/rg/providers/Microsoft.Network/virtualNetworks/v";

fn scope(text: &str) -> Scope {
    text.parse().unwrap()
}

#[test]
fn patterns_match_as_azure_does() {
    let write = "Microsoft.Network/virtualNetworks/write";
    for pattern in [
        "*",
        "*/write",
        "Microsoft.Network/*",
        "microsoft.network/VIRTUALNETWORKS/write",
        "Microsoft.Network/*/write",
        "Microsoft.*/virtual*/write",
        "Microsoft.Network/virtualNetworks/write*",
    ] {
        assert!(matches(pattern, write), "{pattern}");
    }
    for pattern in [
        "",
        "*/read",
        "Microsoft.Network",
        "Microsoft.Network/virtualNetworks",
        "Microsoft.Network/*/write/action",
        "Microsoft.Storage/*",
        "*/virtualNetworks/*/write",
        "Microsoft.Network/virtualNetworks/write/*",
    ] {
        assert!(!matches(pattern, write), "{pattern}");
    }
}

/// Compares with the obvious way: every way to split the text.
#[test]
fn patterns_agree_with_a_plain_search() {
    fn oracle(pattern: &[u8], text: &[u8]) -> bool {
        match pattern.split_first() {
            None => text.is_empty(),
            Some((b'*', rest)) => (0..=text.len()).any(|at| oracle(rest, &text[at..])),
            Some((first, rest)) => text.first() == Some(first) && oracle(rest, &text[1..]),
        }
    }
    let words = |letters: &[char], most: u32| {
        let mut all = vec![String::new()];
        let mut last = all.clone();
        for _ in 0..most {
            let pairs = last
                .iter()
                .flat_map(|word| letters.iter().map(move |l| (word, l)));
            last = pairs
                .map(|(word, letter)| format!("{word}{letter}"))
                .collect();
            all.extend(last.clone());
        }
        all
    };
    for pattern in words(&['a', 'b', '*'], 5) {
        for text in words(&['a', 'b'], 5) {
            let expected = oracle(pattern.as_bytes(), text.as_bytes());
            assert_eq!(matches(&pattern, &text), expected, "{pattern} on {text}");
        }
    }
}

#[test]
fn built_in_roles_have_their_rights() {
    let (vnet, join) = (
        "Microsoft.Network/virtualNetworks/write",
        "Microsoft.Network/virtualNetworks/subnets/joinViaServiceEndpoint/action",
    );
    let (account, assign) = (
        "Microsoft.Storage/storageAccounts/write",
        "Microsoft.Authorization/roleAssignments/write",
    );
    let (read, deploy) = (
        "Microsoft.Storage/storageAccounts/read",
        "Microsoft.Resources/deployments/write",
    );
    let group = "Microsoft.Resources/subscriptions/resourceGroups/write";
    let actions = [vnet, join, account, assign, read, deploy, group];
    for (role, allowed) in [
        ("Owner", [true; 7]),
        ("Contributor", [true, true, true, false, true, true, true]),
        ("Reader", [false, false, false, false, true, false, false]),
        (
            "Network Contributor",
            [true, true, false, false, false, true, false],
        ),
        (
            "Storage Account Contributor",
            [false, true, true, false, true, true, false],
        ),
        (
            "User Access Administrator",
            [false, false, false, true, true, false, false],
        ),
    ] {
        let role = find_built_in(role).unwrap();
        for (action, allowed) in actions.iter().zip(allowed) {
            assert_eq!(role.allows(action), allowed, "{} {action}", role.name);
        }
    }
}

#[test]
fn assignments_count_at_their_scope_and_below() {
    let assign = |at: &str, role: &str| RoleAssignment {
        id: "a".into(),
        scope: scope(at),
        principal: "p".into(),
        principal_type: "ServicePrincipal".into(),
        role: find_built_in(role).unwrap().id.clone(),
        tenant: None,
    };
    let roles = Roles::new(
        Vec::new(),
        vec![
            assign("/subscriptions/s/resourceGroups/rg", "Contributor"),
            assign("/subscriptions/s", "Reader"),
        ],
    );
    let who = |object| Who {
        tenant: "t",
        object,
    };
    let (read, write) = (
        "Microsoft.Network/virtualNetworks/read",
        "Microsoft.Network/virtualNetworks/write",
    );
    assert!(roles.allows(
        who("P"),
        write,
        &scope(&VNET.to_uppercase().replace("MICROSOFT", "Microsoft"))
    ));
    assert!(roles.allows(who("p"), write, &scope(VNET)));
    assert!(!roles.allows(who("p"), write, &scope(SUBSCRIPTION)));
    assert!(roles.allows(who("p"), read, &scope(SUBSCRIPTION)));
    assert!(!roles.allows(who("p"), write, &scope(&VNET.replace("rg", "rg2"))));
    assert!(roles.allows(who("p"), read, &scope(&VNET.replace("rg", "rg2"))));
    assert!(!roles.allows(who("q"), read, &scope(VNET)));
    assert!(!roles.allows(who("p"), read, &Scope::Tenant));
    assert!(roles.is_known(who("p"), &Scope::Tenant));
    assert!(!roles.is_known(who("q"), &Scope::Tenant));
    assert!(!roles.is_known(who("p"), &scope("/subscriptions/other")));
}

#[test]
fn roles_are_told_by_their_ids_and_of_one_tenant() {
    let role =
        |id: &str, name: &str, tenant: Option<&str>, at: &str, action: &str| RoleDefinition {
            id: id.into(),
            name: name.into(),
            description: String::new(),
            is_built_in: false,
            permissions: vec![Permission {
                actions: vec![action.into()],
                ..Permission::default()
            }],
            assignable_scopes: vec![scope(at)],
            tenant: tenant.map(str::to_owned),
        };
    let reader = find_built_in("Reader").unwrap().id.clone();
    let has = |principal: &str, role: &str, at: &str| RoleAssignment {
        id: "a".into(),
        scope: scope(at),
        principal: principal.into(),
        principal_type: "ServicePrincipal".into(),
        role: role.into(),
        tenant: Some("t".into()),
    };
    let roles = Roles::new(
        vec![
            role("x", &reader, Some("t"), "/subscriptions/s", "*"),
            role(&reader, "y", Some("t"), "/subscriptions/s", "*"),
            role("r", "r", Some("u"), "/subscriptions/s", "*"),
            role(
                "R",
                "r",
                Some("T"),
                "/subscriptions/s/resourceGroups/rg",
                "A/*",
            ),
            role("h", "h", None, "/", "A/b"),
        ],
        vec![
            has("reader", &reader, "/subscriptions/s"),
            has("named", "y", "/subscriptions/s"),
            has("near", "r", "/subscriptions/s/resourceGroups/RG"),
            has("far", "r", "/subscriptions/s"),
            has("host", "H", "/subscriptions/s"),
        ],
    );
    let may = |tenant, object, action| roles.allows(Who { tenant, object }, action, &scope(VNET));
    assert!(may("t", "reader", "A/read") && !may("t", "reader", "A/write"));
    assert!(!may("t", "named", "A/b"), "a name is no ID");
    assert!(may("t", "near", "A/b") && !may("t", "near", "B/b"));
    assert!(!may("t", "far", "A/b"), "it may not be assigned there");
    assert!(may("t", "host", "A/b") && !may("u", "host", "A/b"));
    assert!(!may("u", "near", "A/b"), "another tenant's object");
}

#[test]
fn definitions_are_read_in_both_forms() {
    let rest = json!({"name": "ignored", "properties": {"roleName": "Net", "description": "d",
        "assignableScopes": ["/subscriptions/s"],
        "permissions": [{"actions": ["A/*"], "notActions": ["A/b"]}]}});
    let file = json!({"Name": "Net", "Description": "d", "IsCustom": true, "Id": null,
        "Actions": ["A/*"], "NotActions": ["A/b"], "AssignableScopes": ["/subscriptions/s"]});
    let (rest, file) = (
        RoleDefinition::read(&rest, "g").unwrap(),
        RoleDefinition::read(&file, "g").unwrap(),
    );
    assert_eq!(rest, file);
    assert!(rest.allows("A/c") && !rest.allows("A/b"));
    assert!(rest.is_assignable(&scope(VNET)) && !rest.is_assignable(&scope("/subscriptions/t")));
    let again = RoleDefinition::read(&rest.show(Some("s")), "x").unwrap();
    assert_eq!(again, rest, "what is shown can be read");
    for bad in [
        json!(null),
        json!({}),
        json!({"roleName": ""}),
        json!({"roleName": "a", "actions": "*"}),
        json!({"roleName": "a", "permissions": [{"actions": 1}]}),
        json!({"roleName": "a", "assignableScopes": ["x"]}),
    ] {
        assert!(RoleDefinition::read(&bad, "g").is_err(), "{bad}");
    }
}

fn document(id: &str, body: serde_json::Value) -> Document {
    Document {
        id: id.parse().unwrap(),
        alias: "a".into(),
        origin: Origin::Api,
        version: 1,
        created: 1,
        created_at: 0,
        sealed: Default::default(),
        body: body.as_object().unwrap().clone(),
    }
}

#[test]
fn new_references_need_a_right_and_old_ones_none() {
    let id = |kind: &str, name: &str| {
        format!("/subscriptions/s/resourceGroups/rg/providers/Microsoft.Network/{kind}/{name}")
    };
    let (nsg, policy) = (
        id("networkSecurityGroups", "n"),
        id("serviceEndpointPolicies", "p"),
    );
    let subnet = |nsg: &str| {
        json!({"tags": {"x": id("routeTables", "t")}, "properties": {"subnets": [{
            "id": format!("{VNET}/subnets/a"),
            "properties": {"networkSecurityGroup": {"id": nsg},
                "serviceEndpointPolicies": [{"id": policy}]}}]}})
    };
    let before = document(
        VNET,
        subnet(&nsg.to_uppercase().replace("MICROSOFT", "Microsoft")),
    );
    let after = document(VNET, subnet(&nsg));
    let actions = |old, new| {
        let links: Vec<_> = new_links(old, new);
        links
            .into_iter()
            .map(|link| link.action)
            .collect::<Vec<_>>()
    };
    assert_eq!(
        actions(None, &after),
        [
            "Microsoft.Network/networkSecurityGroups/join/action",
            "Microsoft.Network/serviceEndpointPolicies/join/action"
        ]
    );
    assert!(actions(Some(&before), &after).is_empty());

    let rules = json!({"properties": {"networkAcls": {"virtualNetworkRules": [
        {"id": format!("{VNET}/subnets/a")}]}}});
    let account = document(
        "/subscriptions/s/resourceGroups/rg/providers/Microsoft.Storage/storageAccounts/x",
        rules,
    );
    let links = new_links(None, &account);
    assert_eq!(
        links[0].action,
        "Microsoft.Network/virtualNetworks/subnets/joinViaServiceEndpoint/action"
    );
    assert_eq!(links[0].target.to_string(), format!("{VNET}/subnets/a"));
    let nic = document(
        &id("networkInterfaces", "i"),
        json!({"properties": {"ipConfigurations": [{"properties": {
            "subnet": {"id": format!("{VNET}/subnets/a")},
            "applicationSecurityGroups": [{"id": id("applicationSecurityGroups", "g")}],
            "publicIPAddress": {"id": id("publicIPAddresses", "b")}}}]}}),
    );
    let mut found = actions(None, &nic);
    found.sort();
    assert_eq!(
        found,
        [
            "Microsoft.Network/applicationSecurityGroups/joinIpConfiguration/action",
            "Microsoft.Network/publicIPAddresses/join/action",
            "Microsoft.Network/virtualNetworks/subnets/join/action"
        ]
    );
    let list = document(
        &policy,
        json!({"properties": {"serviceEndpointPolicyDefinitions": [{"properties": {
            "serviceResources": [format!("{VNET}/subnets/a")]}}]}}),
    );
    assert!(actions(None, &list).is_empty());
}

#[test]
fn roles_are_of_a_bounded_size() {
    let role = |actions: Vec<String>, scopes: usize| {
        let scopes: Vec<String> = (0..scopes)
            .map(|at| format!("/subscriptions/{at}"))
            .collect();
        let body = json!({
            "roleName": "r", "assignableScopes": scopes,
            "permissions": [{ "actions": actions, "notActions": ["*/delete"] }],
        });
        RoleDefinition::read(&body, "r").unwrap().check_size()
    };
    let many = |count: usize| (0..count).map(|at| format!("A/x{at}*y/read")).collect();
    assert_eq!(role(many(1_999), 2_000), Ok(()));
    let refused = [
        role(many(2_000), 1),
        role(many(1), 2_001),
        role(vec!["a".repeat(513)], 1),
    ];
    for refused in refused {
        let error = refused.unwrap_err();
        assert!(error.contains("; accepted: at most "), "{error}");
    }
}

#[test]
fn what_is_granted_is_what_is_allowed() {
    let assign = |object: &str, at: &str, role: &str| RoleAssignment {
        id: "a".into(),
        scope: scope(at),
        principal: object.into(),
        principal_type: "ServicePrincipal".into(),
        role: find_built_in(role).unwrap().id.clone(),
        tenant: None,
    };
    let (group, other) = (
        "/subscriptions/s/resourceGroups/rg",
        "/subscriptions/s/resourceGroups/other",
    );
    let all = vec![
        assign("p", group, "Network Contributor"),
        assign("p", "/subscriptions/s2", "Reader"),
        assign("q", other, "Owner"),
    ];
    let roles = Roles::new(Vec::new(), all);
    for object in ["p", "q", "r"] {
        let who = Who {
            tenant: "t",
            object,
        };
        for action in [
            "Microsoft.Network/virtualNetworks/write",
            "A/b/read",
            "*/read",
        ] {
            let granted = roles.granted(who, action);
            for at in [group, other, VNET, SUBSCRIPTION, "/subscriptions/s2", "/"] {
                let at = scope(at);
                let wanted = roles.held(who, &at).any(|role| role.allows(action));
                let holds = granted.iter().any(|scope| scope.holds(&at));
                assert_eq!(holds, wanted, "{object} {action} {at}");
                let allows = roles.allows(who, action, &at);
                assert_eq!(allows, wanted, "{object} {action} {at}");
            }
        }
    }
}
