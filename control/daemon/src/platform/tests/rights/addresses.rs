//! Addresses of services.

use super::*;
use std::net::Ipv4Addr;

fn at(address: &str) -> Value {
    account(json!({ "postern-address": address }))
}

#[test]
fn an_address_is_of_the_allowed_ones_and_nobody_elses() {
    let world = allowing("addresses = [\"20.60.16.0/24\", \"20.200.0.1\", \"8.8.8.8\"]");
    let path = team(ACCOUNTS, "acct");
    world.ok(By::Tenant, "PUT", &path, at("20.60.16.9"));
    let gamma = world.model().service("gamma").unwrap().address.to_string();
    world.disallowed(
        &path,
        at("20.60.16.5"),
        "the address of a resource of another resource group",
    );
    for address in ["20.60.17.5", &gamma, "x", "::1"] {
        world.disallowed(&path, at(address), "addresses of an `allow`");
    }
    for address in ["20.200.0.1", "8.8.8.8"] {
        let text = world.refused(By::Tenant, "PUT", &path, at(address));
        assert!(
            text.contains("not an address of Microsoft.Storage in koreacentral"),
            "{text}"
        );
    }
    // Those of one group share as they like.
    world.ok(
        By::Tenant,
        "PUT",
        &team(ACCOUNTS, "acct2"),
        at("20.60.16.9"),
    );
}

#[test]
fn an_address_is_shared_with_another_group_where_the_file_says_so() {
    let world = allowing(
        "sharedAddresses = [\"20.60.16.5\"], namespaces = [\"stor\"], ports = [443], \
         backends = [\"127.0.0.1:24100\"]",
    );
    let tags = json!({ "postern-address": "20.60.16.5", "postern-namespace": "stor",
        "postern-front-ports": "443", "postern-front-connect": "127.0.0.1:24100" });
    world.ok(By::Tenant, "PUT", &team(ACCOUNTS, "acct"), account(tags));
}

/// Finds a name that would have the address of another account, and comes before it.
fn rival(world: &World, of: &str) -> (String, Ipv4Addr) {
    let address = world.model().service(of).unwrap().address;
    let prefixes = CATALOG.prefixes_in(
        postern_network::catalog::Service::find("Microsoft.Storage").unwrap(),
        &postern_network::catalog::Location::new("koreacentral"),
    );
    let mut names = (0_u32..).map(|at| format!("a{at:x}"));
    let found = names.find(|name| config::natural_address(name, &prefixes) == Some(address));
    (found.unwrap(), address)
}

#[test]
fn no_name_takes_the_address_of_somebody_elses_account() {
    let world = World::new("");
    let (name, address) = rival(&world, "gamma");
    let path = team(ACCOUNTS, &name);
    let text = world.refused(By::Tenant, "PUT", &path, account(json!({})));
    assert!(text.contains("AddressInUse"), "{text}");
    assert!(
        text.contains(&format!("would take the address {address}")),
        "{text}"
    );
    assert_eq!(world.model().service("gamma").unwrap().address, address);
    world.ok(
        By::Tenant,
        "PUT",
        &team(ACCOUNTS, "harmless"),
        account(json!({})),
    );
    assert_eq!(world.model().service("gamma").unwrap().address, address);
}

fn network(space: &str) -> Value {
    json!({ "location": "koreacentral",
        "properties": { "addressSpace": { "addressPrefixes": [space] } } })
}

#[test]
fn no_address_space_moves_somebody_elses_account() {
    let world = allowing("addressSpaces = [\"0.0.0.0/0\"]");
    let address = world.model().service("gamma").unwrap().address;
    let space = ipnet::Ipv4Net::new(address, 24).unwrap().trunc();
    let body = network(&space.to_string());
    let text = world.refused(By::Tenant, "PUT", &team(VNET, "wide"), body);
    assert!(text.contains("AddressInUse"), "{text}");
    assert_eq!(world.model().service("gamma").unwrap().address, address);
}

#[test]
fn a_public_range_is_inside_of_nobodys_network_unless_allowed() {
    let world = allowing("addressSpaces = [\"25.0.0.0/8\"]");
    let path = team(VNET, "wide");
    for space in [
        "10.0.0.0/8",
        "100.64.0.0/10",
        "192.168.7.0/24",
        "172.20.0.0/16",
        "25.7.0.0/16",
    ] {
        world.ok(By::Tenant, "PUT", &path, network(space));
    }
    // The public side, the pool, and whoever is outside.
    for space in [
        "198.51.100.0/24",
        "20.90.0.0/24",
        "8.8.8.0/24",
        "24.0.0.0/7",
        "172.0.0.0/8",
    ] {
        world.disallowed(&path, network(space), "which is public");
    }
    world.ok(By::Host, "PUT", &path, network("30.0.0.0/8"));
    world.ok(By::Tenant, "PUT", &path, network("30.1.0.0/16"));
    world.disallowed(&path, network("30.0.0.0/8"), "which is public");
}
