//! An estate as large as one is measured with: a thousand networks of ten subnets.

use super::*;
use crate::compile::{PortNumbers, compile};
use postern_arm::document::Document;
use postern_arm::estate::Parts;
use postern_dataplane::policy::Epoch;

const NETWORKS: usize = 1000;
const SUBNETS: usize = 10;

fn network(at: usize) -> Value {
    let (high, low) = (at / 256, at % 256);
    let subnets = (0..SUBNETS).map(|subnet| {
        json!({ "name": format!("subnet{subnet}"), "properties": {
            "addressPrefix": format!("10.{low}.{}.0/24", high * 16 + subnet),
            "serviceEndpoints": [{ "service": "Microsoft.Storage" }, { "service": "Microsoft.KeyVault" }],
        }})
    });
    json!({ "location": "koreacentral", "properties": {
        "addressSpace": { "addressPrefixes": [format!("10.{low}.{}.0/20", high * 16)] },
        "subnets": subnets.collect::<Vec<_>>(),
    }})
}

fn estate() -> Estate {
    let group = "/subscriptions/s/resourceGroups/rg/providers/Microsoft.Network/virtualNetworks";
    let documents = (0..NETWORKS).map(|at| Document {
        id: format!("{group}/vnet{at}").parse().unwrap(),
        alias: format!("vnet{at}"),
        origin: Origin::Api,
        created: 1,
        created_at: 0,
        version: 1,
        body: network(at).as_object().unwrap().clone(),
    });
    Estate::from_parts(Parts {
        documents: documents.collect(),
        ..Parts::default()
    })
}

#[test]
fn a_thousand_networks_become_a_model_and_one_change_is_one_difference() {
    let estate = estate();
    let table = lower(&estate);
    let model = load(&table);
    let mut numbers = PortNumbers::default();
    compile(&model, &CATALOG, Epoch(1), &mut numbers).unwrap();
    assert_eq!(model.vnets.len(), NETWORKS);
    let mut changed = model.clone();
    changed.vnets[500].subnets[3].service_endpoints.clear();
    let changes = model.diff(&changed);
    assert_eq!(changes.len(), 1);
    assert_eq!(changes[0].kind, "subnet");
    assert_eq!(model.diff(&model), []);
    changed.vnets.reverse();
    assert_eq!(model.diff(&changed).len(), 1);
}
