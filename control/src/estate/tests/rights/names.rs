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
