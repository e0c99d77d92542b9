//! Public addresses.

use super::*;

const IP: &str = "Microsoft.Network/publicIPAddresses";
const PREFIX: &str = "Microsoft.Network/publicIPPrefixes";

fn ip(address: Option<&str>) -> Value {
    json!({ "location": "koreacentral", "sku": { "name": "Standard" }, "properties": {
        "publicIPAllocationMethod": "Static", "ipAddress": address,
    }})
}

fn prefix(range: Option<&str>) -> Value {
    json!({ "location": "koreacentral", "sku": { "name": "Standard" },
        "properties": { "prefixLength": 30, "ipPrefix": range } })
}

#[test]
fn an_address_is_of_the_pool_and_nobody_elses() {
    let world = World::new("");
    for address in [
        "8.8.8.8",
        "20.200.0.1",
        "198.51.100.7",
        "20.60.16.5",
        "10.9.1.4",
        "20.90.1.0",
    ] {
        world.disallowed(
            &team(IP, "p"),
            ip(Some(address)),
            &format!("ipAddress = '{address}'"),
        );
    }
    let text = world.refused(By::Tenant, "PUT", &team(IP, "p"), ip(Some("20.0.0.9")));
    assert!(text.contains("PublicIPAddressInUse"), "{text}");
    let given = world.ok(By::Tenant, "PUT", &team(IP, "p"), ip(None));
    let given = given["properties"]["ipAddress"]
        .as_str()
        .unwrap()
        .to_owned();
    assert!(given.starts_with("20.90.0."), "{given}");
    // It is asked for again as it is, and not changed to another one.
    world.ok(By::Tenant, "PUT", &team(IP, "p"), ip(Some(&given)));
    world.disallowed(
        &team(IP, "p"),
        ip(Some("8.8.8.8")),
        "what [publicIPPool] has: 20.90.0.0/24",
    );
    world.ok(By::Tenant, "PUT", &team(IP, "q"), ip(Some("20.90.0.77")));
    let text = world.refused(By::Tenant, "PUT", &team(IP, "r"), ip(Some("20.90.0.77")));
    assert!(text.contains("PublicIPAddressInUse"), "{text}");
    // The host's own knows what it does.
    world.ok(By::Host, "PUT", &team(IP, "h"), ip(Some("20.91.0.1")));
    world.ok(
        By::Tenant,
        "PATCH",
        &team(IP, "h"),
        json!({ "tags": { "a": "b" } }),
    );
}

#[test]
fn without_a_pool_nobody_names_an_address() {
    let file = FILE.replace("[publicIPPool]\nprefixes = [\"20.90.0.0/24\"]\n", "");
    assert_ne!(file, FILE);
    let world = World::of(&file);
    world.disallowed(
        &team(IP, "p"),
        ip(Some("20.90.0.5")),
        "there is no [publicIPPool]",
    );
    world.ok(By::Tenant, "PUT", &team(IP, "p"), ip(None));
}

#[test]
fn a_prefix_is_of_the_pool_and_its_addresses_are_of_it() {
    let world = World::new("");
    for range in ["8.8.8.0/30", "20.200.0.0/30", "20.0.0.12/30"] {
        world.disallowed(
            &team(PREFIX, "x"),
            prefix(Some(range)),
            &format!("ipPrefix = '{range}'"),
        );
    }
    let mut all = prefix(None);
    all["properties"]["prefixLength"] = 25.into();
    let text = world.refused(By::Tenant, "PUT", &team(PREFIX, "x"), all);
    assert!(text.contains("accepted: 28 to 32"), "{text}");
    let mine = world.ok(By::Tenant, "PUT", &team(PREFIX, "x"), prefix(None));
    let range: ipnet::Ipv4Net = mine["properties"]["ipPrefix"]
        .as_str()
        .unwrap()
        .parse()
        .unwrap();
    let of = |address: Option<&str>| {
        let mut body = ip(address);
        body["properties"]["publicIPPrefix"] = json!({ "id": team(PREFIX, "x") });
        body
    };
    world.ok(By::Tenant, "PUT", &team(IP, "a"), of(None));
    world.ok(
        By::Tenant,
        "PUT",
        &team(IP, "b"),
        of(Some(&range.broadcast().to_string())),
    );
    // Nor is one of the pool had twice by saying that it is of a prefix.
    world.ok(By::Tenant, "PUT", &team(IP, "d"), ip(Some("20.90.0.77")));
    for by in [By::Tenant, By::Host] {
        for address in ["20.90.0.77", "8.8.8.8"] {
            let text = world.refused(by, "PUT", &team(IP, "c"), of(Some(address)));
            let code = "PublicIPAddressNotInPublicIPPrefix";
            assert!(text.contains(code), "{text}");
        }
    }
}
