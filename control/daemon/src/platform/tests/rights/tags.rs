//! Tags that bind, by every way.

use super::*;

/// Every tag with a value that could stand, and what it is for.
const TAGS: [(&str, &str, &str); 20] = [
    ("namespace", "vm1", NIC),
    ("device", "tap7", NIC),
    ("mtu", "1400", NIC),
    ("offload", "off", NIC),
    ("address", "20.60.16.9", ACCOUNTS),
    ("delivery", "st6", ACCOUNTS),
    ("host", "mine.blob.core.windows.net", ACCOUNTS),
    ("refusal", "silent", ACCOUNTS),
    ("tenant", "other", ACCOUNTS),
    ("front-ports", "443", ACCOUNTS),
    ("front-connect", "127.0.0.1:22", ACCOUNTS),
    ("front-namespace", "job", ACCOUNTS),
    ("front-protocol", "http", ACCOUNTS),
    ("front-proxy-protocol", "true", ACCOUNTS),
    ("front-tls", "terminate", ACCOUNTS),
    ("front-connect-tls", "false", ACCOUNTS),
    ("front-idle-timeout-in-minutes", "120", ACCOUNTS),
    ("audit", "true", "Microsoft.Network/serviceEndpointPolicies"),
    ("open-without-rules", "true", "Microsoft.Sql/servers"),
    ("follows-timer", "true", "Microsoft.Network/natGateways"),
];

fn body(kind: &str, tags: Value) -> Value {
    match kind {
        NIC => nic(tags),
        ACCOUNTS => account(tags),
        _ => json!({ "location": "koreacentral", "tags": tags, "properties": {} }),
    }
}

fn tag(name: &str, value: &str) -> Value {
    json!({ format!("postern-{name}"): value })
}

#[test]
fn no_tag_counts_that_no_allow_has() {
    for more in [
        "",
        "[[bind]]\nresourceGroup = \"other\"\nallow = { namespaces = [\"*\"], devices = [\"*\"] }\n",
    ] {
        let world = World::new(more);
        for (name, value, kind) in TAGS {
            let path = team(kind, "xyz");
            for spelled in [name.to_owned(), name.to_ascii_uppercase()] {
                let tags = json!({ format!("Postern-{spelled}"): value, "cost": "7" });
                let text = world.refused(By::Tenant, "PUT", &path, body(kind, tags));
                assert!(text.contains("RequestDisallowedByPolicy"), "{name}: {text}");
                assert!(
                    text.contains(&format!("tags.postern-{}", &name[..5.min(name.len())]))
                        || text.contains("tags.postern-front"),
                    "{name}: {text}"
                );
                assert!(text.contains("; accepted: "), "{name}: {text}");
            }
            world.ok(By::Tenant, "PUT", &path, body(kind, json!({ "cost": "7" })));
        }
    }
}

#[test]
fn the_hosts_own_writes_every_tag() {
    let world = World::new("");
    for (at, (name, value, kind)) in TAGS.into_iter().enumerate() {
        // Parts of a front do not stand alone.
        let tags = match name.strip_prefix("front-") {
            None => tag(name, value),
            Some(_) => json!({ "postern-namespace": "f", "postern-front-ports": "443",
                "postern-front-connect": "127.0.0.1:22", format!("postern-{name}"): value }),
        };
        let path = team(kind, &format!("tagged{at}"));
        world.ok(By::Host, "PUT", &path, body(kind, tags));
        world.ok(By::Host, "DELETE", &path, Value::Null);
    }
}

/// Every way by which the tenant can give a NIC a tag.
fn ways(name: &str, tags: &Value) -> Vec<(&'static str, String, Value)> {
    let path = team(NIC, name);
    let tags_path = format!("{path}/providers/Microsoft.Resources/tags/default");
    let deployment = |word: &str| format!("{}{word}", team("Microsoft.Resources/deployments", "d"));
    let mut resource = nic(tags.clone());
    resource["type"] = NIC.into();
    resource["apiVersion"] = "2024-05-01".into();
    resource["name"] = name.into();
    let template = |resources: Value| {
        json!({ "contentVersion": "1.0.0.0", "resources": resources,
            "$schema": "https://schema.management.azure.com/schemas/2019-04-01/deploymentTemplate.json#" })
    };
    let flat = template(json!([resource]));
    let nested = template(json!([{
        "type": "Microsoft.Resources/deployments", "apiVersion": "2022-09-01", "name": "inner",
        "properties": { "mode": "Incremental", "template": flat },
    }]));
    let deployed =
        |template: &Value| json!({ "properties": { "mode": "Incremental", "template": template } });
    vec![
        ("PUT", path.clone(), nic(tags.clone())),
        ("PATCH", path, json!({ "tags": tags })),
        (
            "PUT",
            tags_path.clone(),
            json!({ "properties": { "tags": tags } }),
        ),
        (
            "PATCH",
            tags_path.clone(),
            json!({ "operation": "Merge", "properties": { "tags": tags } }),
        ),
        (
            "PATCH",
            tags_path,
            json!({ "operation": "Replace", "properties": { "tags": tags } }),
        ),
        ("PUT", deployment(""), deployed(&flat)),
        ("PUT", deployment(""), deployed(&nested)),
        ("POST", deployment("/validate"), deployed(&flat)),
        ("POST", deployment("/whatIf"), deployed(&flat)),
        ("POST", deployment("/whatIf"), deployed(&nested)),
    ]
}

#[test]
fn every_way_is_refused_alike() {
    let world = World::new("");
    world.ok(By::Tenant, "PUT", &team(NIC, "x"), nic(json!({})));
    for (method, path, body) in ways("x", &tag("namespace", "job2")) {
        let text = world.refused(By::Tenant, method, &path, body);
        assert!(
            text.contains("RequestDisallowedByPolicy"),
            "{method} {path}: {text}"
        );
        assert!(
            text.contains("postern-namespace = 'job2'"),
            "{method} {path}: {text}"
        );
    }
    // What the host's own gave goes along where it was, and is not copied elsewhere.
    world.ok(
        By::Host,
        "PUT",
        &team(NIC, "x"),
        nic(tag("namespace", "job2")),
    );
    for (method, path, body) in ways("x", &tag("namespace", "job2")) {
        world.ok(By::Tenant, method, &path, body);
    }
    let more = json!({ "postern-namespace": "job2", "mine": "1" });
    world.ok(
        By::Tenant,
        "PATCH",
        &team(NIC, "x"),
        json!({ "tags": more }),
    );
    world.ok(
        By::Tenant,
        "PATCH",
        &team(NIC, "x"),
        json!({ "properties": { "enableIPForwarding": true } }),
    );
    world.disallowed(
        &team(NIC, "y"),
        nic(tag("namespace", "job2")),
        "postern-namespace = 'job2'",
    );
    let twice = json!({ "postern-namespace": "job2", "postern-NAMESPACE": "job3" });
    world.disallowed(&team(NIC, "x"), nic(twice), "postern-namespace");
    let export = format!("/subscriptions/{SUBSCRIPTION}/resourceGroups/team/exportTemplate");
    let exported = world.ok(By::Tenant, "POST", &export, json!({ "resources": ["*"] }));
    world.ok(By::Tenant, "DELETE", &team(NIC, "x"), Value::Null);
    let again =
        json!({ "properties": { "mode": "Incremental", "template": exported["template"] } });
    let deployment = team("Microsoft.Resources/deployments", "again");
    let text = world.refused(By::Tenant, "PUT", &deployment, again.clone());
    assert!(text.contains("RequestDisallowedByPolicy"), "{text}");
    world.ok(By::Host, "PUT", &deployment, again);
    let model = world.model();
    assert_eq!(model.nic("x").unwrap().device.namespace.to_string(), "job2");
}

#[test]
fn a_namespace_is_allowed_by_name_and_nothing_else_is_one() {
    let world =
        allowing("namespaces = [\"vm*\", \"ns-{name}\", \"*-x\"], devices = [\"postern*\"]");
    for namespace in ["vm1", "vm", "ns-x", "a-x"] {
        world.ok(
            By::Tenant,
            "PUT",
            &team(NIC, "x"),
            nic(tag("namespace", namespace)),
        );
        world.ok(By::Tenant, "DELETE", &team(NIC, "x"), Value::Null);
    }
    for namespace in [
        "x-gw",
        "VM1",
        "ns-y",
        "pid:1",
        "pid:1-x",
        "/run/netns/vm1",
        "vm/../x",
        "/proc/1/ns/net",
        "/run/netns/../../proc/1/ns/net-x",
        "..",
        "",
    ] {
        world.disallowed(
            &team(NIC, "x"),
            nic(tag("namespace", namespace)),
            "namespaces of an `allow`",
        );
    }
    let device = |name: &str| json!({ "postern-namespace": "vm1", "postern-device": name });
    world.ok(By::Tenant, "PUT", &team(NIC, "x"), nic(device("postern7")));
    world.disallowed(
        &team(NIC, "x"),
        nic(device("eth0")),
        "devices of an `allow`",
    );
    // Another port has it: not even an allow gives it away.
    let taken = allowing("namespaces = [\"*\"]");
    for namespace in ["job", "inet", "stor", "plain"] {
        let tags = tag("namespace", namespace);
        let text = taken.refused(By::Tenant, "PUT", &team(NIC, "x"), nic(tags));
        assert!(text.contains("BindingConflict"), "{text}");
    }
}

#[test]
fn an_allow_is_for_those_that_it_names() {
    let bind = |who: &str| format!("[[bind]]\n{who}\nallow = {{ namespaces = [\"vm*\"] }}\n");
    let id = team(NIC, "x");
    let yes = [
        "resourceGroup = \"te*\"".to_owned(),
        format!("subscription = \"{SUBSCRIPTION}\""),
        "subscription = \"11111111-*\"\nresourceGroup = \"TEAM\"".to_owned(),
        format!("type = \"{NIC}\""),
        "name = \"x\"".to_owned(),
        format!("name = \"{id}\""),
    ];
    let no = [
        "resourceGroup = \"team2\"".to_owned(),
        "subscription = \"2*\"".to_owned(),
        format!("type = \"{ACCOUNTS}\""),
        "name = \"y\"".to_owned(),
        "name = \"/subscriptions/*/resourceGroups/other/*\"".to_owned(),
    ];
    for (who, is_allowed) in yes
        .iter()
        .map(|who| (who, true))
        .chain(no.iter().map(|who| (who, false)))
    {
        let world = World::new(&bind(who));
        let answer = world.send(By::Tenant, "PUT", &id, nic(tag("namespace", "vm1")));
        assert_eq!(answer.status < 300, is_allowed, "{who}: {}", answer.value());
    }
}

fn front(ports: &str, connect: &str, more: Value) -> Value {
    let mut tags = json!({ "postern-namespace": "f", "postern-front-ports": ports,
        "postern-front-connect": connect });
    tags.as_object_mut()
        .unwrap()
        .extend(more.as_object().unwrap().clone());
    account(tags)
}

#[test]
fn a_front_leads_where_the_file_says_as_one() {
    let world = allowing(
        "namespaces = [\"f\"], ports = [443, \"8000-8010\"], backends = [\"127.0.0.1:10000\", \
         \"10.7.0.0/24\", { connect = \"127.0.0.1:10001\", namespace = \"store*\", proxyProtocol = true }]",
    );
    let path = team(ACCOUNTS, "acct");
    let none = json!({});
    let there =
        json!({ "postern-front-namespace": "store1", "postern-front-proxy-protocol": "true" });
    for body in [
        front("443", "127.0.0.1:10000", none.clone()),
        front("443,8005", "10.7.0.9", none.clone()),
        front("443", "10.7.0.9:22", none.clone()),
        front("443", "127.0.0.1:10001", there.clone()),
    ] {
        world.ok(By::Tenant, "PUT", &path, body);
        world.ok(By::Tenant, "DELETE", &path, Value::Null);
    }
    for (body, key) in [
        (front("443", "127.0.0.1:22", none.clone()), "backends"),
        (front("443", "127.0.0.1", none.clone()), "backends"),
        (front("443", "[::1]:10000", none.clone()), "backends"),
        (
            front("443", "[::ffff:127.0.0.1]:10000", none.clone()),
            "backends",
        ),
        (front("443", "0.0.0.0:10000", none.clone()), "backends"),
        (front("443", "10.7.1.1", none.clone()), "backends"),
        (front("443", "127.0.0.1:10001", none.clone()), "backends"),
        (front("443", "127.0.0.1:10000", there.clone()), "backends"),
        (
            front(
                "443",
                "127.0.0.1:10001",
                json!({ "postern-front-namespace": "store1" }),
            ),
            "backends",
        ),
        (
            front(
                "443",
                "127.0.0.1:10001",
                json!({ "postern-front-namespace": "pid:1",
            "postern-front-proxy-protocol": "true" }),
            ),
            "backends",
        ),
        (front("444", "127.0.0.1:10000", none.clone()), "ports"),
        (front("443,22", "127.0.0.1:10000", none.clone()), "ports"),
        (
            front(
                "443",
                "127.0.0.1:10000",
                json!({ "postern-front-protocol": "http" }),
            ),
            "keys",
        ),
    ] {
        world.disallowed(&path, body, &format!("{key} of an `allow`"));
    }
}

#[test]
fn a_part_of_a_front_is_not_taken_away_from_the_rest() {
    let world = World::new("");
    let path = team(ACCOUNTS, "acct");
    let inner =
        json!({ "postern-front-namespace": "vault", "postern-front-proxy-protocol": "true" });
    let whole = front("443", "127.0.0.1:22", inner);
    world.ok(By::Host, "PUT", &path, whole.clone());
    world.ok(By::Tenant, "PUT", &path, whole.clone());
    for gone in ["postern-front-namespace", "postern-front-proxy-protocol"] {
        let mut body = whole.clone();
        body["tags"].as_object_mut().unwrap().remove(gone);
        world.disallowed(&path, body, "backends of an `allow`");
    }
    // All of it may go: what the file says is left.
    world.ok(By::Tenant, "PUT", &path, account(json!({})));
    // What the file says of a front stays, whoever adds to it.
    let beta = of_group("host", ACCOUNTS, "beta");
    let more = json!({ "tags": { "postern-front-ports": "22" } });
    let text = world.refused(By::Tenant, "PATCH", &beta, more.clone());
    assert!(text.contains("AuthorizationFailed"), "{text}");
    world.ok(By::Host, "PATCH", &beta, more);
}

#[test]
fn who_may_lead_a_front_does_not_say_how_calls_are_judged() {
    let here = "namespaces = [\"f\"], ports = [443], backends = [\"127.0.0.1:10000\"]";
    let path = team(ACCOUNTS, "acct");
    let ended = |more: Value| front("443", "127.0.0.1:10000", more);
    let inner = json!({ "postern-front-tls": "terminate", "postern-front-connect-tls": "true",
        "postern-front-idle-timeout-in-minutes": "4" });
    let world = allowing(here);
    world.ok(By::Host, "PUT", &path, ended(inner.clone()));
    for (tag, other) in [
        ("postern-front-tls", "pass"),
        ("postern-front-connect-tls", "false"),
        ("postern-front-idle-timeout-in-minutes", "120"),
    ] {
        for value in [None, Some(other)] {
            let mut more = inner.clone();
            let tags = more.as_object_mut().unwrap();
            match value {
                None => drop(tags.remove(tag)),
                Some(value) => drop(tags.insert(tag.to_owned(), value.into())),
            }
            // Both go with the end of TLS.
            if tag == "postern-front-tls" {
                tags.remove("postern-front-connect-tls");
            }
            world.disallowed(&path, ended(more), &format!("tags.{tag}"));
        }
    }
    world.ok(By::Tenant, "PUT", &path, ended(inner.clone()));
    let keys = "keys = [\"front-tls\", \"front-connect-tls\", \"front-idle-timeout-in-minutes\"]";
    let world = allowing(&format!("{here}, {keys}"));
    world.ok(By::Tenant, "PUT", &path, ended(inner));
    world.ok(By::Tenant, "PUT", &path, ended(json!({})));
}

#[test]
fn tags_that_name_nothing_are_opened_by_their_keys() {
    let world = allowing("keys = [\"mtu\", \"delivery\", \"front-protocol\"]");
    world.ok(By::Tenant, "PUT", &team(NIC, "x"), nic(tag("mtu", "1400")));
    world.disallowed(
        &team(NIC, "x"),
        nic(tag("offload", "off")),
        "keys of an `allow`",
    );
    world.ok(
        By::Tenant,
        "PUT",
        &team(ACCOUNTS, "acct"),
        account(tag("delivery", "st6")),
    );
    world.disallowed(
        &team(ACCOUNTS, "acct"),
        account(tag("refusal", "reset")),
        "keys of an `allow`",
    );
    // Only the host's own moves something out of the tenant that it was put into.
    world.ok(
        By::Host,
        "PUT",
        &team(ACCOUNTS, "acct"),
        account(tag("tenant", "other")),
    );
    world.disallowed(
        &team(ACCOUNTS, "acct"),
        account(json!({})),
        "tag postern-tenant",
    );
    // Several at once are told together.
    let both = json!({ "postern-refusal": "reset", "postern-address": "20.60.16.9", "postern-tenant": "other" });
    let text = world.refused(By::Tenant, "PUT", &team(ACCOUNTS, "acct"), account(both));
    assert!(
        text.contains("postern-refusal") && text.contains("postern-address"),
        "{text}"
    );
}

#[test]
fn tags_of_what_is_not_bound_are_anybodys() {
    let world = World::new("");
    let tags = tag("namespace", "job");
    let machine = json!({ "location": "koreacentral", "tags": tags });
    world.ok(
        By::Tenant,
        "PUT",
        &team("Microsoft.Compute/virtualMachines", "x"),
        machine.clone(),
    );
    let group = format!("/subscriptions/{SUBSCRIPTION}/resourceGroups/team");
    world.ok(By::Tenant, "PATCH", &group, json!({ "tags": tags }));
    world.ok(By::Tenant, "PUT", &team(NIC, "x"), nic(json!({})));
    assert!(
        !world
            .model()
            .nic("x")
            .unwrap()
            .device
            .namespace
            .is_attached()
    );
}

#[test]
fn a_tag_that_binds_nothing_is_told_those_that_do() {
    let world = allowing("keys = [\"mtu\"]");
    let of_a_nic = "Microsoft.Network/networkInterfaces; accepted: postern-namespace, \
                    postern-device, postern-mtu, postern-offload.";
    let mut network = vnet("10.9.0.0/16");
    network["tags"] = tag("mtu", "1400");
    let server =
        |tags: Value| json!({ "location": "koreacentral", "tags": tags, "properties": {} });
    for (path, body, name, wanted) in [
        (
            team(NIC, "x"),
            nic(tag("colour", "red")),
            "colour",
            of_a_nic,
        ),
        (
            team(NIC, "x"),
            nic(tag("host", "a.example")),
            "host",
            of_a_nic,
        ),
        (
            team(NIC, "x"),
            nic(tag("front-connect", "127.0.0.1:1")),
            "front-",
            of_a_nic,
        ),
        (
            team(VNET, "v"),
            network,
            "mtu",
            "Microsoft.Network/virtualNetworks; accepted: postern-tenant.",
        ),
        (
            team(ACCOUNTS, "acct"),
            account(tag("colour", "red")),
            "colour",
            "Microsoft.Storage/storageAccounts; accepted: postern-namespace, ",
        ),
        (
            team("Microsoft.Sql/servers", "server"),
            server(tag("colour", "red")),
            "colour",
            "postern-open-without-rules, postern-front-ports, ",
        ),
    ] {
        for by in [By::Tenant, By::Host] {
            let text = world.refused(by, "PUT", &path, body.clone());
            assert!(text.contains("InvalidTag"), "{by:?} {text}");
            assert!(
                text.contains(&format!("the tag postern-{name}")),
                "{by:?} {text}"
            );
            assert!(text.contains(wanted), "{by:?} {text}");
            assert!(!text.contains("allow"), "{by:?} {text}");
        }
    }
    let gateway = team("Microsoft.Network/natGateways", "nat");
    let text = world.refused(By::Tenant, "PUT", &gateway, server(tag("mtu", "1400")));
    assert!(text.contains("accepted: postern-follows-timer."), "{text}");
}
