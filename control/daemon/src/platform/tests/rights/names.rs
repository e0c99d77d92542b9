//! Host names.

use super::*;

fn named(host: &str) -> Value {
    account(json!({ "postern-host": host }))
}

#[test]
fn a_name_is_one_of_the_service_and_allowed() {
    let world = allowing(
        "hosts = [\"*.blob.core.windows.net\", \"{name}-x.queue.core.windows.net\", \"*.example\", \"microsoft.com\"]",
    );
    let path = team(ACCOUNTS, "acct");
    for host in [
        "mine.blob.core.windows.net",
        "MINE.Blob.core.windows.net",
        "acct-x.queue.core.windows.net",
    ] {
        world.ok(By::Tenant, "PUT", &path, named(host));
    }
    for (host, wanted) in [
        (
            "microsoft.com",
            "is no name of its service; accepted: NAME.blob.core.windows.net",
        ),
        ("mine.example", "is no name of its service"),
        ("mine.vault.azure.net", "is no name of its service"),
        ("a.b.blob.core.windows.net", "is no name of its service"),
        ("blob.core.windows.net", "is no name of its service"),
        (".blob.core.windows.net", "is no name of its service"),
        ("mine.blob.core.windows.net.", "is no name of its service"),
        (
            "mine.blob.core.windows.net.evil.example",
            "is no name of its service",
        ),
        ("mine.table.core.windows.net", "hosts of an `allow`"),
        ("other-x.queue.core.windows.net", "hosts of an `allow`"),
    ] {
        world.disallowed(&path, named(host), wanted);
    }
    let vault = team("Microsoft.KeyVault/vaults", "kv");
    let body = |host: &str| {
        json!({ "location": "koreacentral", "properties": {},
        "tags": { "postern-host": host } })
    };
    world.disallowed(
        &vault,
        body("mine2.blob.core.windows.net"),
        "accepted: NAME.vault.azure.net",
    );
}

#[test]
fn a_name_is_one_resources_whichever_came_first() {
    let world = allowing("hosts = [\"*\"]");
    let path = team(ACCOUNTS, "aaa");
    for host in [
        "beta.blob.core.windows.net",
        "BETA.blob.core.windows.net",
        "beta.queue.core.windows.net",
        "beta.web.core.windows.net",
        "beta-secondary.blob.core.windows.net",
    ] {
        let text = world.refused(By::Tenant, "PUT", &path, named(host));
        assert!(
            text.contains("HostNameInUse") || text.contains("BindingConflict"),
            "{text}"
        );
        assert!(text.contains("; accepted: "), "{text}");
        // Not even the host's own: nobody could tell the two apart.
        world.refused(By::Host, "PUT", &path, named(host));
    }
    // An account that comes later does not share the name with one that took it.
    world.ok(
        By::Tenant,
        "PUT",
        &path,
        named("later.dfs.core.windows.net"),
    );
    for by in [By::Tenant, By::Host] {
        let text = world.refused(by, "PUT", &team(ACCOUNTS, "later"), account(json!({})));
        assert!(text.contains("HostNameInUse"), "{text}");
    }
    // Nor does an own name come free by another one.
    world.refused(
        By::Tenant,
        "PUT",
        &team(ACCOUNTS, "bbb"),
        named("aaa.blob.core.windows.net"),
    );
    world.ok(By::Tenant, "PUT", &path, account(json!({})));
    world.ok(
        By::Tenant,
        "PUT",
        &team(ACCOUNTS, "later"),
        account(json!({})),
    );
}

/// A server of the tenant's that is called as an account of the host's will be.
fn server() -> Value {
    json!({ "location": "koreacentral", "properties": {} })
}

#[test]
fn an_account_keeps_its_host_name_where_a_server_has_its_name() {
    let world = allowing("hosts = [\"*\"]");
    const SERVERS: &str = "Microsoft.Sql/servers";
    world.ok(By::Tenant, "PUT", &team(SERVERS, "victim"), server());
    let path = of_group("host", ACCOUNTS, "victim");
    world.ok(By::Host, "PUT", &path, account(json!({})));
    let model = world.model();
    let of = |kind: &str| {
        let mut services = model.services.iter();
        services
            .find(|it| it.resource.kind == kind && it.resource.name == "victim")
            .unwrap()
    };
    let found = of(ACCOUNTS);
    assert_eq!(found.resource.host, "victim.blob.core.windows.net");
    assert_eq!(found.id(), path);
    assert_eq!(of(SERVERS).resource.host, "victim.database.windows.net");
    // Nor can anybody else take the name by a tag.
    let text = world.refused(
        By::Tenant,
        "PUT",
        &team(ACCOUNTS, "aaa"),
        named("victim.blob.core.windows.net"),
    );
    assert!(
        text.contains("HostNameInUse") || text.contains("BindingConflict"),
        "{text}"
    );
}

#[test]
fn a_second_server_of_a_name_is_refused_by_rest_and_by_template() {
    let world = allowing("hosts = [\"*\"]");
    for (kind, name, code) in [
        ("Microsoft.Sql/servers", "db1", "NameAlreadyExists"),
        (
            "Microsoft.DBforPostgreSQL/servers",
            "pg1",
            "ServerNameAlreadyExists",
        ),
        ("Microsoft.KeyVault/vaults", "vault1", "VaultAlreadyExists"),
    ] {
        world.ok(By::Host, "PUT", &of_group("host", kind, name), server());
        let text = world.refused(By::Tenant, "PUT", &team(kind, name), server());
        assert!(text.contains(code), "{text}");
        let template = json!({
            "$schema": "https://schema.management.azure.com/schemas/2019-04-01/deploymentTemplate.json#",
            "contentVersion": "1.0.0.0",
            "resources": [{ "type": kind, "apiVersion": "2023-01-01", "name": name,
                "location": "koreacentral", "properties": {} }],
        });
        let path = team("Microsoft.Resources/deployments", "d");
        let body = json!({ "properties": { "mode": "Incremental", "template": template } });
        let answer = world.send(By::Tenant, "PUT", &path, body);
        let text = answer.value().to_string();
        assert!(text.contains(code), "{text}");
        let other = team(kind, name).parse().unwrap();
        assert!(world.api.estate().document(&other).is_none(), "{name}");
    }
}
