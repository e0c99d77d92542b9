use super::*;
use crate::catalog::Catalog;
use crate::config;
use std::path::Path;
use std::sync::LazyLock;

static CATALOG: LazyLock<Catalog> = LazyLock::new(|| Catalog::bundled().unwrap());

const SAMPLE: &str = include_str!("../../../../config/two-subnets.toml");

fn model(text: &str) -> Model {
    config::parse(Path::new("f.toml"), text, &CATALOG).unwrap()
}

/// Returns the changes from the sample to the sample with `from` replaced by `to` once.
fn changes(from: &str, to: &str) -> Vec<String> {
    assert!(SAMPLE.contains(from), "the case does not apply: {from}");
    let new = model(&SAMPLE.replacen(from, to, 1));
    model(SAMPLE)
        .diff(&new)
        .iter()
        .map(ToString::to_string)
        .collect()
}

#[test]
fn an_endpoint_is_switched_on_and_off_once() {
    let mut model = model(SAMPLE);
    let set = |model: &mut Model, on| {
        model
            .set_endpoint("vnet1", "SUBNET2", "microsoft.storage", on, &CATALOG)
            .unwrap()
    };
    let before = model.clone();
    assert!(!set(&mut model, false), "it is off already");
    assert!(set(&mut model, true));
    assert!(!set(&mut model, true), "the second time changes nothing");
    assert_eq!(
        model.vnets[0].subnets[1].service_endpoints[0].name,
        "Microsoft.Storage"
    );
    let changes: Vec<_> = before
        .diff(&model)
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(
        changes,
        ["change subnet VNet1/subnet2 serviceEndpoints: none -> [Microsoft.Storage]"]
    );
    assert!(set(&mut model, false));
    assert_eq!(model, before);
}

#[test]
fn endpoints_keep_the_catalogues_order_whatever_the_order_of_switching() {
    let mut model = model(SAMPLE);
    for service in ["Microsoft.KeyVault", "Microsoft.Sql"] {
        assert!(
            model
                .set_endpoint("VNet1", "subnet1", service, true, &CATALOG)
                .unwrap()
        );
    }
    let names: Vec<_> = model.vnets[0].subnets[0]
        .service_endpoints
        .iter()
        .map(|service| service.name)
        .collect();
    assert_eq!(
        names,
        ["Microsoft.Storage", "Microsoft.Sql", "Microsoft.KeyVault"]
    );
}

#[test]
fn what_cannot_be_switched_is_refused_and_changes_nothing() {
    let small = r#"{"changeNumber":1,"cloud":"P","values":[{"name":"Sql","id":"Sql","properties":
        {"changeNumber":1,"region":"","addressPrefixes":["52.231.17.0/24"]}}]}"#;
    let small = Catalog::from_bytes("small.json", small.as_bytes()).unwrap();
    for (vnet, subnet, service, catalog, wanted) in [
        (
            "V",
            "subnet1",
            "Microsoft.Sql",
            &*CATALOG,
            "virtualNetwork = \"V\": no such virtual network; accepted: VNet1",
        ),
        (
            "VNet1",
            "x",
            "Microsoft.Sql",
            &CATALOG,
            "subnet = \"x\": no such subnet in VNet1; accepted: subnet1, subnet2",
        ),
        (
            "VNet1",
            "subnet1",
            "Sql",
            &CATALOG,
            "service = \"Sql\": invalid service name; accepted: Microsoft.Storage, ",
        ),
        (
            "VNet1",
            "subnet1",
            "Microsoft.Storage.Global",
            &CATALOG,
            "service = \"Microsoft.Storage.Global\": subnet1 has Microsoft.Storage, which excludes it; accepted: ",
        ),
        (
            "VNet1",
            "subnet1",
            "Microsoft.Web",
            &small,
            "service = \"Microsoft.Web\": small.json has no prefixes for it; accepted: a service-tag file with AppService",
        ),
    ] {
        let mut model = model(SAMPLE);
        let before = model.clone();
        let error = model
            .set_endpoint(vnet, subnet, service, true, catalog)
            .unwrap_err();
        assert!(error.to_string().starts_with(wanted), "{error}");
        assert_eq!(model, before);
    }
}

#[test]
fn a_model_does_not_differ_from_itself() {
    assert_eq!(model(SAMPLE).diff(&model(SAMPLE)), []);
    assert_eq!(
        changes("65.52.1.1\", \"65.52.1.2", "65.52.1.2\", \"65.52.1.1"),
        Vec::<String>::new()
    );
}

#[test]
fn each_kind_of_change_is_named_with_both_values() {
    for (from, to, wanted) in [
        (
            "closeMode = \"rst\"",
            "closeMode = \"silent\"",
            "change settings closeMode: rst -> silent",
        ),
        (
            "udpIdle = \"4m\"",
            "udpIdle = \"5m\"",
            "change timers udpIdle: 240s -> 300s",
        ),
        (
            "93.184.216.34",
            "93.184.216.35",
            "change internet addresses: [93.184.216.34/24] -> [93.184.216.35/24]",
        ),
        (
            "20.200.0.1",
            "20.200.0.2",
            "change defaultOutbound publicIPAddress: 20.200.0.1 -> 20.200.0.2",
        ),
        (
            ", \"65.52.1.2\"",
            "",
            "change natGateway nat1 publicIPAddresses: [65.52.1.1, 65.52.1.2] -> [65.52.1.1]",
        ),
        (
            "idleTimeoutInMinutes = 10\n",
            "",
            "change natGateway nat1 idleTimeoutInMinutes: 10 -> none",
        ),
        (
            "[\"10.0.0.0/16\"]",
            "[\"10.0.0.0/15\"]",
            "change virtualNetwork VNet1 addressPrefixes: [10.0.0.0/16] -> [10.0.0.0/15]",
        ),
        (
            "natGateway = \"nat1\"",
            "",
            "change subnet VNet1/subnet1 natGateway: nat1 -> none",
        ),
        (
            "publicIPAddress = \"20.0.0.9\"",
            "",
            "change networkInterface vm2 publicIPAddress: 20.0.0.9 -> none",
        ),
        (
            "namespace = \"vm0\"",
            "namespace = \"vmx\"",
            "change networkInterface vm0 namespace: vm0 -> vmx",
        ),
        (
            "destinationPortRange = \"22\"",
            "destinationPortRange = \"22-23\"",
            "change securityRule nsg1/allow-ssh destinationPorts: 22 -> 22-23",
        ),
        (
            "vsePrecedence = \"strict\"",
            "vsePrecedence = \"tie\"",
            "change settings vsePrecedence: strict -> tie",
        ),
        (
            "nextHopIpAddress = \"10.0.2.5\"",
            "nextHopIpAddress = \"10.0.2.6\"",
            "change route rt1/partner nextHop: VirtualAppliance 10.0.2.5 -> VirtualAppliance 10.0.2.6",
        ),
        (
            "# disableBgpRoutePropagation = false",
            "disableBgpRoutePropagation = true",
            "change routeTable rt1 disableBgpRoutePropagation: false -> true",
        ),
        (
            "# allowForwardedTraffic = false",
            "allowForwardedTraffic = true",
            "change peering VNet1/VNet2 allowForwardedTraffic: false -> true",
        ),
        (
            "[\"192.168.0.0/16\"]",
            "[\"192.168.0.0/17\"]",
            "change gateway vpn1 addressPrefixes: [192.168.0.0/16] -> [192.168.0.0/17]",
        ),
        (
            "routeTable = \"rt1\"",
            "",
            "change subnet VNet1/subnet1 routeTable: rt1 -> none",
        ),
        (
            "20.60.16.5",
            "20.60.16.6",
            "change service contoso address: 20.60.16.5 -> 20.60.16.6",
        ),
    ] {
        assert_eq!(changes(from, to), [wanted]);
    }
}

#[test]
fn what_is_renamed_is_removed_and_added() {
    let changes = changes("name = \"vm2\"", "name = \"vm3\"");
    assert_eq!(changes.len(), 2);
    assert!(
        changes[0]
            .starts_with("remove networkInterface vm2 virtualNetwork: VNet1, subnet: subnet2,")
    );
    assert!(
        changes[1].starts_with("add networkInterface vm3 virtualNetwork: VNet1,"),
        "{changes:?}"
    );
}

#[test]
fn changes_serialise_for_programs() {
    let mut new = model(SAMPLE);
    new.set_endpoint("VNet1", "subnet1", "Microsoft.Storage", false, &CATALOG)
        .unwrap();
    let changes = serde_json::to_value(model(SAMPLE).diff(&new)).unwrap();
    assert_eq!(
        changes,
        serde_json::json!([{"action": "change", "kind": "subnet", "name": "VNet1/subnet1",
            "detail": "serviceEndpoints: [Microsoft.Storage] -> none"}])
    );
}

#[test]
fn public_addresses_are_those_of_every_source() {
    let addresses: Vec<_> = model(SAMPLE)
        .public_addresses()
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(
        addresses,
        ["65.52.1.1", "65.52.1.2", "20.0.0.9", "20.200.0.1"]
    );
}
