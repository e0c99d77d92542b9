//! A thousand networks of ten subnets: the estate that the benchmark and the test of its size share.

use postern_arm::document::{Document, Origin};
use postern_arm::estate::{Estate, Parts};
use serde_json::{Value, json};

pub const NETWORKS: usize = 1000;
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

pub fn estate() -> Estate {
    let group = "/subscriptions/s/resourceGroups/rg/providers/Microsoft.Network/virtualNetworks";
    let documents = (0..NETWORKS).map(|at| Document {
        sealed: Default::default(),
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
