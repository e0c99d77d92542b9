//! The parts of the public pool.

use super::*;

const IP: &str = "Microsoft.Network/publicIPAddresses";
const PREFIX: &str = "Microsoft.Network/publicIPPrefixes";
const LIMIT: &str = "PublicIPCountLimitReached";

fn ip() -> Value {
    json!({ "location": "koreacentral", "sku": { "name": "Standard" },
        "properties": { "publicIPAllocationMethod": "Static" } })
}

/// A world whose pool has 14 addresses, with more keys of it.
fn with_pool(more: &str) -> World {
    let file = FILE.replace(
        "prefixes = [\"20.90.0.0/24\"]\n",
        &format!("prefixes = [\"20.90.0.0/28\"]\n{more}\n"),
    );
    assert_ne!(file, FILE);
    World::of(&file)
}

/// Lets the tenant take addresses until it gets no more; returns how many it has, and the error.
fn taken(world: &World) -> (usize, String) {
    for at in 0..20 {
        let path = team(IP, &format!("p{at}"));
        let answer = world.send(By::Tenant, "PUT", &path, ip());
        if answer.status >= 300 {
            assert_eq!(answer.status, 400, "{}", answer.value());
            return (at, answer.value().to_string());
        }
    }
    panic!("there is no end of the pool");
}

#[test]
fn a_group_leaves_the_others_their_parts() {
    // Two resource groups, of which each has a part of half the pool: 7, so 4 each.
    let world = with_pool("");
    let (count, error) = taken(&world);
    assert_eq!(count, 10, "{error}");
    assert!(error.contains(LIMIT), "{error}");
    assert!(
        error.contains("more than 10 public IP addresses"),
        "{error}"
    );
    assert!(error.contains("; accepted: "), "{error}");
    // Nor by a prefix, a template or a name.
    let prefix = json!({ "location": "koreacentral", "sku": { "name": "Standard" },
        "properties": { "prefixLength": 31 } });
    let text = world.refused(By::Tenant, "PUT", &team(PREFIX, "x"), prefix);
    assert!(text.contains(LIMIT), "{text}");
    let mut named = ip();
    named["properties"]["ipAddress"] = "20.90.0.14".into();
    let text = world.refused(By::Tenant, "PUT", &team(IP, "named"), named);
    assert!(text.contains(LIMIT), "{text}");
    let mut resource = ip();
    resource["type"] = IP.into();
    resource["apiVersion"] = "2024-05-01".into();
    resource["name"] = "by-template".into();
    let body = json!({ "properties": { "mode": "Incremental", "template": {
        "$schema": "https://schema.management.azure.com/schemas/2019-04-01/deploymentTemplate.json#",
        "contentVersion": "1.0.0.0",
        "resources": [resource],
    } } });
    let path = team("Microsoft.Resources/deployments", "d");
    let text = world
        .send(By::Tenant, "PUT", &path, body)
        .value()
        .to_string();
    assert!(text.contains(LIMIT), "{text}");
    // What it has it may write again, give back and take anew.
    world.ok(By::Tenant, "PUT", &team(IP, "p3"), ip());
    world.ok(By::Tenant, "DELETE", &team(IP, "p3"), Value::Null);
    world.ok(By::Tenant, "PUT", &team(IP, "again"), ip());
    // The host's own is not limited, and what it takes of its part is its part.
    for at in 0..4 {
        let path = of_group("host", IP, &format!("h{at}"));
        world.ok(By::Host, "PUT", &path, ip());
    }
    let text = world.refused(By::Tenant, "PUT", &team(IP, "more"), ip());
    assert!(text.contains(LIMIT), "{text}");
}

#[test]
fn a_group_gets_its_part_though_another_came_first() {
    let world = with_pool("");
    for at in 0..10 {
        let path = of_group("host", IP, &format!("h{at}"));
        world.ok(By::Host, "PUT", &path, ip());
    }
    let (count, error) = taken(&world);
    assert_eq!(count, 4, "{error}");
}

#[test]
fn many_groups_divide_the_part_of_their_own_subscription() {
    // With another subscription each has 4 of the kept half, and a group of two 2; with thirty more groups
    // in the own one, these share 7.
    for (subscription, wanted) in [
        ("55555555-5555-4555-8555-555555555555", 8),
        (SUBSCRIPTION, 7),
    ] {
        let groups = (0..30).map(|at| {
            format!(
                "[[routeTable]]\nname = \"rt{at}\"\nsubscription = \"{subscription}\"\n\
                 resourceGroup = \"g{at}\"\n"
            )
        });
        let world = with_pool(&groups.collect::<String>());
        let (count, error) = taken(&world);
        assert_eq!(count, wanted, "{subscription}: {error}");
    }
}

#[test]
fn the_file_limits_subscriptions_and_groups() {
    for (key, wanted) in [
        (
            "addressesPerSubscription = 3",
            "for this subscription in this region",
        ),
        (
            "addressesPerResourceGroup = 3",
            "for the resource group 'team'",
        ),
    ] {
        let world = with_pool(key);
        let (count, error) = taken(&world);
        assert_eq!(count, 3, "{error}");
        assert!(error.contains(LIMIT) && error.contains(wanted), "{error}");
        assert!(error.contains("more than 3 public IP addresses"), "{error}");
    }
}
