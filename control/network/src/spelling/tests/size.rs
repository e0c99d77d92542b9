//! An estate as large as one is measured with: a thousand networks of ten subnets.

use super::*;
use crate::compile::{PortNumbers, compile};
use large::{NETWORKS, estate};
use postern_dataplane::policy::Epoch;

#[path = "../../../benches/large/mod.rs"]
mod large;

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
