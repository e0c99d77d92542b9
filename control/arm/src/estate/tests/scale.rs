//! What a change costs in a large estate.

use super::*;
use std::time::{Duration, Instant};

/// Makes an estate of networks with ten subnets each, and a NIC in every one.
fn large(vnets: u32) -> Stage {
    let mut stage = stage();
    stage.ok("networkSecurityGroups/n", json!({}));
    for vnet in 0..vnets {
        let prefix = |subnet: u32| {
            format!(
                "10.{}.{}.{}/28",
                vnet / 16,
                vnet % 16 * 16 + subnet / 16,
                subnet % 16 * 16
            )
        };
        let subnets: Vec<Value> = (0..10)
            .map(|at| {
                json!({ "name": format!("s{at}"), "properties": {
                "addressPrefix": prefix(at),
                "networkSecurityGroup": { "id": id("networkSecurityGroups/n") },
                "serviceEndpoints": [{ "service": "Microsoft.Storage" }],
            } })
            })
            .collect();
        let space = json!({ "addressPrefixes": ["10.0.0.0/8"] });
        stage.ok(
            &format!("virtualNetworks/v{vnet}"),
            json!({ "addressSpace": space, "subnets": subnets }),
        );
        stage.ok(
            &format!("networkInterfaces/i{vnet}"),
            nic(&format!("virtualNetworks/v{vnet}/subnets/s3")),
        );
    }
    stage.check().unwrap();
    stage
}

/// Returns the median time of a change of one subnet with its check, of reading a network, and of the
/// difference.
fn times(estate: &Estate, vnets: u32) -> [Duration; 3] {
    let settings = settings();
    let mut all = [const { Vec::new() }; 3];
    for round in 0..101_u32 {
        let vnet = round * 7 % vnets;
        let path = format!("virtualNetworks/v{vnet}/subnets/s5");
        let properties = json!({ "addressPrefix": "10.255.0.0/28", "serviceEndpoints": [] });
        let begin = Instant::now();
        let mut stage = Stage::new(estate, &settings);
        stage
            .api(&path, json!({ "properties": properties }))
            .unwrap();
        stage.check().unwrap();
        all[0].push(begin.elapsed());
        let begin = Instant::now();
        let shown = stage.get(&format!("virtualNetworks/v{vnet}"));
        all[1].push(begin.elapsed());
        assert_eq!(shown["properties"]["subnets"].as_array().unwrap().len(), 10);
        let begin = Instant::now();
        assert_eq!(stage.estate().changes_since(estate).count(), 1);
        all[2].push(begin.elapsed());
    }
    all.map(|mut times| {
        times.sort();
        times[times.len() / 2]
    })
}

#[test]
#[ignore = "it measures; run it alone"]
fn a_change_costs_the_same_in_a_large_estate() {
    let begin = Instant::now();
    let large = large(1_000);
    let (made, documents) = (begin.elapsed(), large.estate().documents().count());
    let begin = Instant::now();
    let parts = large.estate().to_parts();
    let copied = begin.elapsed();
    let begin = Instant::now();
    let again = Estate::from_parts(parts);
    let read = begin.elapsed();
    assert_eq!(again, *large.estate());
    let [put, get, differ] = times(large.estate(), 1_000);
    let [small, ..] = times(super::scale::large(10).estate(), 10);
    println!("{documents} documents: made in {made:?}, to parts {copied:?}, from parts {read:?}");
    println!(
        "put subnet and check {put:?} (of ten networks: {small:?}), get network {get:?}, difference {differ:?}"
    );
    assert!(
        put < small * 4,
        "{put:?} in a large estate, {small:?} in a small one"
    );
}

#[test]
#[ignore = "it measures; run it alone"]
fn two_thousand_nics_in_one_subnet() {
    let mut stage = stage();
    let subnet = json!({ "name": "a", "properties": { "addressPrefix": "10.0.0.0/16" } });
    let space = json!({ "addressPrefixes": ["10.0.0.0/8"] });
    stage.ok(
        "virtualNetworks/v",
        json!({ "addressSpace": space, "subnets": [subnet] }),
    );
    let begin = Instant::now();
    for at in 0..2_000 {
        stage.ok(&format!("networkInterfaces/i{at}"), nic(SUBNET_A));
    }
    let put = begin.elapsed();
    let begin = Instant::now();
    stage.check().unwrap();
    println!("2000 NICs: put {put:?}, check {:?}", begin.elapsed());
    let last = stage.get("networkInterfaces/i1999");
    assert_eq!(
        last["properties"]["ipConfigurations"][0]["properties"]["privateIPAddress"],
        "10.0.7.211"
    );
}
