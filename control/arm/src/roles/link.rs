//! Linked access: who makes a resource refer to another one needs a right on that one too, such as
//! `subnets/join/action` for a NIC in a subnet or `subnets/joinViaServiceEndpoint/action` for a
//! network rule that lets a subnet in (reference sections 6.5 and 12).
//!
//! The right is needed by the write that brings the reference, and by no later one: somebody who
//! may not join a subnet can still tag a NIC that is in it.

use crate::document::Document;
use crate::id::ResourceId;
use serde_json::Value;
use std::collections::BTreeMap;

const SUBNETS: &str = "Microsoft.Network/virtualNetworks/subnets";

/// A reference from one resource to another, and the right that it needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// What is referred to.
    pub target: ResourceId,
    /// What the caller must be allowed to do there.
    pub action: String,
}

/// Returns the references that are in `new` and not in `old`, in the order of the text.
#[must_use]
pub fn new_links(old: Option<&Document>, new: &Document) -> Vec<Link> {
    let before = old.map(links).unwrap_or_default();
    let mut after: Vec<_> = links(new).into_iter().collect();
    after.retain(|(key, _)| !before.contains_key(key));
    after.sort_by_key(|(_, (at, _))| *at);
    after.into_iter().map(|(_, (_, link))| link).collect()
}

/// References by key of the target and action, with their places.
type Links = BTreeMap<(String, String), (usize, Link)>;

fn links(document: &Document) -> Links {
    let mut links = Links::new();
    let own = document.id.root();
    // Roles say where they are, and deployments what they did: neither makes use of anything.
    let notes = ["Microsoft.Authorization", "Microsoft.Resources"];
    if notes
        .iter()
        .any(|name| own.provider.eq_ignore_ascii_case(name))
    {
        return links;
    }
    let fields = document.body.iter();
    for (_, value) in fields.filter(|(name, _)| !name.eq_ignore_ascii_case("tags")) {
        collect(value, &own, &mut links);
    }
    links
}

fn collect(value: &Value, own: &ResourceId, links: &mut Links) {
    match value {
        Value::Object(fields) => {
            // A policy lists what others may be reached by it, wherever that is: naming is no use.
            let listed = |name: &str| name.eq_ignore_ascii_case("serviceResources");
            let fields = fields.iter().filter(|(name, _)| !listed(name));
            fields.for_each(|(_, value)| collect(value, own, links));
        }
        Value::Array(values) => values.iter().for_each(|value| collect(value, own, links)),
        Value::String(text) if text.starts_with('/') => {
            let Ok(target) = text.parse::<ResourceId>() else {
                return;
            };
            if target.root() == *own {
                return;
            }
            if let Some(action) = action(own, &target) {
                let (at, key) = (links.len(), (target.key(), action.to_ascii_lowercase()));
                links.entry(key).or_insert((at, Link { target, action }));
            }
        }
        _ => {}
    }
}

/// Returns the right that a reference needs, if it needs one.
fn action(own: &ResourceId, target: &ResourceId) -> Option<String> {
    if target.is(SUBNETS) {
        // Whatever is neither a network's nor a machine's lives outside of the subnet and lets it in.
        let joins = ["Microsoft.Network", "Microsoft.Compute"];
        let joins = joins
            .iter()
            .any(|name| own.provider.eq_ignore_ascii_case(name));
        let verb = if joins {
            "join"
        } else {
            "joinViaServiceEndpoint"
        };
        return Some(format!("{SUBNETS}/{verb}/action"));
    }
    let in_rules = own.is("Microsoft.Network/networkSecurityGroups");
    let (kind, verb) = [
        ("networkSecurityGroups", "join"),
        ("routeTables", "join"),
        ("natGateways", "join"),
        ("publicIPAddresses", "join"),
        ("publicIPPrefixes", "join"),
        ("serviceEndpointPolicies", "join"),
        ("networkInterfaces", "join"),
        ("virtualNetworks", "peer"),
        (
            "applicationSecurityGroups",
            if in_rules {
                "joinNetworkSecurityRule"
            } else {
                "joinIpConfiguration"
            },
        ),
    ]
    .into_iter()
    .find(|(kind, _)| target.is(&format!("Microsoft.Network/{kind}")))?;
    Some(format!("Microsoft.Network/{kind}/{verb}/action"))
}
