//! Random changes against an oracle that knows nothing of documents, stages or an index: names in maps,
//! and references found by looking at everything.

use super::*;
use proptest::prelude::*;
use std::collections::BTreeMap;

/// Names are few, so that changes meet.
type Name = u8;

#[derive(Clone, Debug)]
enum Op {
    PutVnet(Name, BTreeMap<Name, Option<Name>>),
    PutSubnet(Name, Name, Option<Name>),
    DeleteSubnet(Name, Name),
    DeleteVnet(Name),
    PutNsg(Name, BTreeMap<Name, u8>),
    PutRule(Name, Name, u8),
    DeleteRule(Name, Name),
    DeleteNsg(Name),
    PutNic(Name, (Name, Name), Option<Name>),
    DeleteNic(Name),
    Tag(Name, Name),
}

fn op() -> impl Strategy<Value = Op> {
    let name = || 0..3_u8;
    let nsg = || proptest::option::of(0..3_u8);
    let subnets = proptest::collection::btree_map(name(), nsg(), 0..3);
    let rules = proptest::collection::btree_map(name(), 0..3_u8, 0..3);
    prop_oneof![
        3 => (name(), subnets).prop_map(|(vnet, subnets)| Op::PutVnet(vnet, subnets)),
        3 => (name(), name(), nsg()).prop_map(|(vnet, subnet, nsg)| Op::PutSubnet(vnet, subnet, nsg)),
        2 => (name(), name()).prop_map(|(vnet, subnet)| Op::DeleteSubnet(vnet, subnet)),
        1 => name().prop_map(Op::DeleteVnet),
        3 => (name(), rules).prop_map(|(nsg, rules)| Op::PutNsg(nsg, rules)),
        2 => (name(), name(), 0..3_u8).prop_map(|(nsg, rule, at)| Op::PutRule(nsg, rule, at)),
        1 => (name(), name()).prop_map(|(nsg, rule)| Op::DeleteRule(nsg, rule)),
        1 => name().prop_map(Op::DeleteNsg),
        6 => (0..6_u8, (name(), name()), nsg()).prop_map(|(nic, at, nsg)| Op::PutNic(nic, at, nsg)),
        3 => (0..6_u8).prop_map(Op::DeleteNic),
        1 => (name(), 0..2_u8).prop_map(|(nsg, tag)| Op::Tag(nsg, tag)),
    ]
}

fn nsg_ref(nsg: Option<Name>) -> Value {
    nsg.map_or(
        Value::Null,
        |nsg| json!({ "id": id(&format!("networkSecurityGroups/n{nsg}")) }),
    )
}

fn subnet_body(vnet: Name, subnet: Name, nsg: Option<Name>) -> Value {
    json!({ "addressPrefix": format!("10.{vnet}.{subnet}.0/29"), "networkSecurityGroup": nsg_ref(nsg) })
}

fn rule_body(at: u8) -> Value {
    json!({
        "priority": 100 + u32::from(at), "direction": "Inbound", "access": "Deny", "protocol": "Tcp",
        "sourceAddressPrefix": "*", "sourcePortRange": "*",
        "destinationAddressPrefix": "*", "destinationPortRange": "*",
    })
}

/// Does the change; returns the resource that was written and what with.
fn perform(stage: &mut Stage, op: &Op) -> Result<Option<(String, Value)>, ArmError> {
    let located =
        |properties: Value| json!({ "location": "koreacentral", "properties": properties });
    let written = match op {
        Op::PutVnet(vnet, subnets) => {
            let subnets: Vec<Value> = subnets
                .iter()
                .map(|(subnet, nsg)| {
                    let body = subnet_body(*vnet, *subnet, *nsg);
                    json!({ "name": format!("s{subnet}"), "properties": body })
                })
                .collect();
            let space = json!({ "addressPrefixes": [format!("10.{vnet}.0.0/16")] });
            let body = json!({ "addressSpace": space, "subnets": subnets });
            (format!("virtualNetworks/v{vnet}"), located(body))
        }
        Op::PutSubnet(vnet, subnet, nsg) => (
            format!("virtualNetworks/V{vnet}/SUBNETS/S{subnet}"),
            json!({ "properties": subnet_body(*vnet, *subnet, *nsg) }),
        ),
        Op::PutNsg(nsg, rules) => {
            let rules: Vec<Value> = rules
                .iter()
                .map(|(rule, at)| json!({ "name": format!("r{rule}"), "properties": rule_body(*at) }))
                .collect();
            (
                format!("networkSecurityGroups/n{nsg}"),
                located(json!({ "securityRules": rules })),
            )
        }
        Op::PutRule(nsg, rule, at) => (
            format!("networkSecurityGroups/n{nsg}/securityRules/r{rule}"),
            json!({ "properties": rule_body(*at) }),
        ),
        Op::PutNic(name, (vnet, subnet), nsg) => {
            let mut body = nic(&format!("virtualNetworks/v{vnet}/subnets/s{subnet}"));
            body["networkSecurityGroup"] = nsg_ref(*nsg);
            (format!("networkInterfaces/i{name}"), located(body))
        }
        Op::DeleteSubnet(vnet, subnet) => {
            return delete(stage, &format!("virtualNetworks/v{vnet}/subnets/s{subnet}"));
        }
        Op::DeleteVnet(vnet) => return delete(stage, &format!("virtualNetworks/v{vnet}")),
        Op::DeleteRule(nsg, rule) => {
            return delete(
                stage,
                &format!("networkSecurityGroups/n{nsg}/securityRules/r{rule}"),
            );
        }
        Op::DeleteNsg(nsg) => return delete(stage, &format!("networkSecurityGroups/n{nsg}")),
        Op::DeleteNic(nic) => return delete(stage, &format!("networkInterfaces/i{nic}")),
        Op::Tag(nsg, tag) => {
            let body = json!({ "tags": { "t": tag.to_string() } });
            let nsg = id(&format!("networkSecurityGroups/n{nsg}"));
            return stage.patch(&nsg, body, &Conditions::none()).map(|_| None);
        }
    };
    stage.api(&written.0, written.1.clone())?;
    Ok(Some(written))
}

fn delete(stage: &mut Stage, path: &str) -> Result<Option<(String, Value)>, ArmError> {
    stage.delete(&id(path), &Conditions::none()).map(|_| None)
}

/// What there is: subnets with their groups, rules with their priorities, NICs with where they are.
#[derive(Clone, Debug, Default, PartialEq)]
struct Oracle {
    vnets: BTreeMap<Name, BTreeMap<Name, Option<Name>>>,
    nsgs: BTreeMap<Name, (BTreeMap<Name, u8>, Option<Name>)>,
    nics: BTreeMap<Name, (Name, Name, Option<Name>, u8)>,
}

impl Oracle {
    /// Returns what becomes of the change; none if it is refused.
    fn after(&self, op: &Op) -> Option<Self> {
        let mut next = self.clone();
        match op {
            Op::PutVnet(vnet, subnets) => {
                next.vnets.insert(*vnet, subnets.clone());
            }
            Op::PutSubnet(vnet, subnet, nsg) => {
                next.vnets.get_mut(vnet)?.insert(*subnet, *nsg);
            }
            Op::DeleteSubnet(vnet, subnet) => {
                if let Some(subnets) = next.vnets.get_mut(vnet) {
                    subnets.remove(subnet);
                }
            }
            Op::DeleteVnet(vnet) => {
                next.vnets.remove(vnet);
            }
            Op::PutNsg(nsg, rules) => {
                next.nsgs.insert(*nsg, (rules.clone(), None));
            }
            Op::PutRule(nsg, rule, at) => {
                next.nsgs.get_mut(nsg)?.0.insert(*rule, *at);
            }
            Op::DeleteRule(nsg, rule) => {
                if let Some((rules, _)) = next.nsgs.get_mut(nsg) {
                    rules.remove(rule);
                }
            }
            Op::DeleteNsg(nsg) => {
                next.nsgs.remove(nsg);
            }
            Op::PutNic(nic, (vnet, subnet), nsg) => {
                let old = next.nics.remove(nic);
                let kept = old
                    .filter(|old| (old.0, old.1) == (*vnet, *subnet))
                    .map(|old| old.3);
                let is_free = |address: &u8| {
                    !next
                        .nics
                        .values()
                        .any(|nic| (nic.0, nic.1, nic.3) == (*vnet, *subnet, *address))
                };
                // A /29 has three addresses that a NIC may have.
                let address = kept.or_else(|| (4..7).find(is_free))?;
                next.nics.insert(*nic, (*vnet, *subnet, *nsg, address));
            }
            Op::DeleteNic(nic) => {
                next.nics.remove(nic);
            }
            Op::Tag(nsg, tag) => next.nsgs.get_mut(nsg)?.1 = Some(*tag),
        }
        next.stands().then_some(next)
    }

    /// Whether everything that is named is there and no two rules have one priority.
    fn stands(&self) -> bool {
        let has_nsg = |nsg: &Option<Name>| nsg.is_none_or(|nsg| self.nsgs.contains_key(&nsg));
        self.vnets.values().flat_map(BTreeMap::values).all(has_nsg)
            && self.nics.values().all(|(vnet, subnet, nsg, _)| {
                has_nsg(nsg)
                    && self
                        .vnets
                        .get(vnet)
                        .is_some_and(|all| all.contains_key(subnet))
            })
            && self.nsgs.values().all(|(rules, _)| {
                let priorities: std::collections::BTreeSet<_> = rules.values().collect();
                priorities.len() == rules.len()
            })
    }

    /// Checks that the estate shows exactly this.
    fn is_shown_by(&self, stage: &Stage) {
        let count = self.vnets.len() + self.nsgs.len() + self.nics.len();
        assert_eq!(stage.estate().documents().count(), count);
        for (vnet, subnets) in &self.vnets {
            let shown = stage.get(&format!("virtualNetworks/v{vnet}"));
            let list = shown["properties"]["subnets"].as_array().unwrap();
            assert_eq!(list.len(), subnets.len());
            for (subnet, nsg) in subnets {
                let path = format!("virtualNetworks/v{vnet}/subnets/s{subnet}");
                let shown = stage.get(&path);
                assert!(list.contains(&shown));
                assert_eq!(shown["properties"]["networkSecurityGroup"], nsg_ref(*nsg));
                let users = self
                    .nics
                    .iter()
                    .filter(|(_, nic)| (nic.0, nic.1) == (*vnet, *subnet));
                let users = users.map(|(nic, _)| {
                    id(&format!(
                        "networkInterfaces/i{nic}/ipConfigurations/ipconfig1"
                    ))
                });
                same_ids(&shown["properties"]["ipConfigurations"], users);
            }
        }
        for (nsg, (rules, tag)) in &self.nsgs {
            let shown = stage.get(&format!("networkSecurityGroups/n{nsg}"));
            let tag = tag.map_or(Value::Null, |tag| json!({ "t": tag.to_string() }));
            assert_eq!(shown.get("tags").unwrap_or(&Value::Null), &tag);
            assert_eq!(
                shown["properties"]["securityRules"]
                    .as_array()
                    .unwrap()
                    .len(),
                rules.len()
            );
            for (rule, at) in rules {
                let rule = stage.get(&format!(
                    "networkSecurityGroups/n{nsg}/securityRules/r{rule}"
                ));
                assert_eq!(rule["properties"]["priority"], 100 + u32::from(*at));
            }
            let nics = self.nics.iter().filter(|(_, nic)| nic.2 == Some(*nsg));
            let nics = nics.map(|(nic, _)| id(&format!("networkInterfaces/i{nic}")));
            same_ids(&shown["properties"]["networkInterfaces"], nics);
            let subnets = self.vnets.iter().flat_map(|(vnet, subnets)| {
                let of = subnets.iter().filter(|(_, has)| **has == Some(*nsg));
                of.map(move |(subnet, _)| id(&format!("virtualNetworks/v{vnet}/subnets/s{subnet}")))
            });
            same_ids(&shown["properties"]["subnets"], subnets);
        }
        for (nic, (vnet, subnet, nsg, address)) in &self.nics {
            let shown = stage.get(&format!("networkInterfaces/i{nic}"))["properties"].clone();
            assert_eq!(shown["networkSecurityGroup"], nsg_ref(*nsg));
            let own = &shown["ipConfigurations"][0]["properties"];
            assert_eq!(
                own["privateIPAddress"],
                format!("10.{vnet}.{subnet}.{address}")
            );
        }
    }
}

fn same_ids(shown: &Value, wanted: impl Iterator<Item = ResourceId>) {
    let shown = shown.as_array().into_iter().flatten();
    let mut shown: Vec<ResourceId> = shown
        .map(|one| one["id"].as_str().unwrap().parse().unwrap())
        .collect();
    let mut wanted: Vec<ResourceId> = wanted.collect();
    shown.sort_by_key(ResourceId::key);
    wanted.sort_by_key(ResourceId::key);
    assert_eq!(shown, wanted);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn every_change_is_that_of_the_oracle(ops in proptest::collection::vec(op(), 1..40)) {
        let mut stage = stage();
        stage.commit();
        let mut oracle = Oracle::default();
        for op in &ops {
            let before = stage.clone();
            let done = perform(&mut stage, op).and_then(|done| stage.check().map(|()| done));
            match (oracle.after(op), done) {
                (Some(next), Ok(written)) => {
                    oracle = next;
                    // The same again is no change.
                    let version = stage.estate().version();
                    if let Some((path, body)) = written {
                        prop_assert!(!stage.api(&path, body).unwrap().changed, "{op:?}");
                        let shown = stage.get(&path);
                        let mut again = stage.clone();
                        prop_assert!(!again.api(&path, shown).unwrap().changed, "{op:?}");
                    }
                    prop_assert_eq!(stage.estate().version(), version);
                    stage.commit();
                }
                (None, Err(_)) => {
                    stage = before;
                    stage.commit();
                }
                (wanted, found) => prop_assert!(false, "{op:?}: {wanted:?}, not {found:?}"),
            }
            oracle.is_shown_by(&stage);
        }
        // What the estate remembers of its changes is what it would know if it were read from a disk.
        let again = Estate::from_parts(stage.estate().to_parts());
        prop_assert_eq!(&again, stage.estate());
        prop_assert_eq!(again.index.contents(), stage.estate().index.contents());
    }

    #[test]
    fn a_batch_stands_when_its_end_does(
        before in proptest::collection::vec(op(), 0..30),
        batch in proptest::collection::vec(op(), 1..12),
    ) {
        let mut stage = stage();
        stage.commit();
        let mut oracle = Oracle::default();
        for op in &before {
            let mut next = stage.clone();
            if perform(&mut next, op).and_then(|_| next.check()).is_ok() {
                next.commit();
                stage = next;
                oracle = oracle.after(op).unwrap();
            }
        }
        let base = stage.estate().clone();
        for op in &batch {
            let removed = match op {
                Op::DeleteSubnet(vnet, subnet) => Some(format!("virtualNetworks/v{vnet}/subnets/s{subnet}")),
                Op::DeleteVnet(vnet) => Some(format!("virtualNetworks/v{vnet}")),
                Op::DeleteNsg(nsg) => Some(format!("networkSecurityGroups/n{nsg}")),
                Op::DeleteNic(nic) => Some(format!("networkInterfaces/i{nic}")),
                _ => None,
            };
            match removed {
                Some(path) => drop(stage.remove(&id(&path)).unwrap()),
                // A write that is refused leaves the stage as it was.
                None => drop(perform(&mut stage, op)),
            }
        }
        let found = stage.check();
        // Every reference of every document, looked for in every document.
        let all: Vec<Value> = stage.estate().documents().map(|one| Value::Object(one.body.clone())).collect();
        let mut names = Vec::new();
        all.iter().for_each(|body| references(body, &mut names));
        let dangling: Vec<_> = names.iter().filter(|name| stage.estate().show(name).is_none()).collect();
        let is_full = found.as_ref().is_err_and(|error| error.code == "SubnetIsFull");
        prop_assert_eq!(found.is_ok(), dangling.is_empty() && !is_full, "{:?} {:?}", found, dangling);
        if found.is_ok() {
            let again = Estate::from_parts(stage.estate().to_parts());
            prop_assert_eq!(again.index.contents(), stage.estate().index.contents());
            let changed: Vec<_> = stage.estate().changes_since(&base).map(|change| change.key).collect();
            for document in stage.estate().documents() {
                let was = base.document_by_key(&document.id.key());
                let differs = was.is_none_or(|was| was.body != document.body);
                prop_assert!(!differs || changed.contains(&document.id.key()));
            }
        }
    }
}

fn references(value: &Value, into: &mut Vec<ResourceId>) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| references(item, into)),
        Value::Object(fields) => {
            into.extend(fields.get("id").and_then(|id| id.as_str()?.parse().ok()));
            fields.values().for_each(|value| references(value, into));
        }
        _ => {}
    }
}
