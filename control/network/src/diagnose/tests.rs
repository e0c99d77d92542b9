use super::*;
use crate::config;
use crate::model::{Learned, Model, RuleTag};
use serde_json::json;
use std::path::Path;

fn sample(text: &str) -> (Model, Catalog) {
    let catalog = Catalog::bundled().unwrap();
    (
        config::parse(Path::new("f.toml"), text, &catalog).unwrap(),
        catalog,
    )
}

const SAMPLE: &str = include_str!("../../../../config/two-subnets.toml");

#[test]
fn the_answer_has_azures_shape() {
    let (model, catalog) = sample(SAMPLE);
    let routes = effective_routes(
        &model,
        &Learned::default(),
        &catalog,
        model.nic("vm1").unwrap(),
    );
    let first = json!({
        "name": null, "source": "Default", "state": "Active", "addressPrefix": ["10.0.0.0/16"],
        "nextHopType": "VnetLocal", "nextHopIpAddress": [], "disableBgpRoutePropagation": false,
        "hasBgpOverride": false, "destinationServiceTags": [], "tagMap": {}
    });
    let answer = serde_json::to_value(&routes).unwrap();
    assert_eq!(answer["nextLink"], json!(null));
    assert_eq!(answer["value"][0], first);
    let hops: Vec<_> = routes
        .value
        .iter()
        .map(|row| row.next_hop_type.as_str())
        .collect();
    assert_eq!(
        hops,
        [
            "VnetLocal",
            "VNetPeering",
            "VirtualNetworkGateway",
            "Internet",
            "None",
            "None",
            "None",
            "None"
        ]
    );
}

#[test]
fn each_endpoint_is_one_row_in_descending_order_after_the_others() {
    let two = SAMPLE.replacen(
        "serviceEndpoints = [\"Microsoft.Storage\"]",
        "serviceEndpoints = [\"Microsoft.Sql\", \"Microsoft.Storage\"]",
        1,
    );
    let (model, catalog) = sample(&two);
    let routes = effective_routes(
        &model,
        &Learned::default(),
        &catalog,
        model.nic("vm0").unwrap(),
    );
    let is_endpoint = |row: &&EffectiveRoute| row.next_hop_type == "VirtualNetworkServiceEndpoint";
    let rows: Vec<_> = routes.value.iter().filter(is_endpoint).collect();
    assert_eq!(rows.len(), 2);
    assert_eq!(routes.value.len(), 11);
    assert_eq!(routes.value[8].name.as_deref(), Some("partner"));
    assert_eq!(routes.value[9..], [rows[0].clone(), rows[1].clone()]);
    for row in rows {
        assert!(row.address_prefix.iter().rev().is_sorted());
    }
    let storage = &routes.value[9].address_prefix;
    assert_eq!(storage.len(), 32);
    assert!(
        storage.contains(&"20.60.16.0/24".parse().unwrap()),
        "the region"
    );
    assert!(
        storage.contains(&"20.60.45.0/24".parse().unwrap()),
        "its pair"
    );
}

#[test]
fn tags_expand_as_the_policy_expands_them() {
    let (mut model, catalog) = sample(SAMPLE);
    let routed: Ipv4Net = "198.51.100.0/24".parse().unwrap();
    let internet = |model: &Model| {
        let place = (&model.vnets[0], &model.vnets[0].subnets[0]);
        let set = expand(
            &Peer::Tag(RuleTag::Internet),
            (model, &Learned::default()),
            place,
            &catalog,
        );
        let holds_routed = set.iter().any(|prefix| prefix.contains(&routed));
        (set.len(), holds_routed)
    };
    // A user's route takes its prefix out of the Internet.
    assert!(!internet(&model).1);
    model.vnets[0].subnets[0].route_table = None;
    model.vnets[0].peerings.clear();
    model.gateways.clear();
    assert_eq!(internet(&model), (74, true));
    let place = (&model.vnets[0], &model.vnets[0].subnets[0]);
    let expand = |peer: &Peer| expand(peer, (&model, &Learned::default()), place, &catalog);
    assert_eq!(expand(&Peer::Any), ["0.0.0.0/0".parse().unwrap()]);
    assert_eq!(expand(&Peer::Tag(RuleTag::Service("Nothing".into()))), []);
    let storage = expand(&Peer::Tag(RuleTag::Service("Storage.KoreaSouth".into())));
    assert!(!storage.is_empty());
}
