//! Security groups that are written inside of a subnet instead of being named by it.
//!
//! Templates in the wild have them (reference arm-clients, section 3.10). Such a group becomes a
//! resource of its own, which the subnet names; a second PUT finds it again.

use super::gate::Ask;
use super::stage::Stage;
use crate::document::Origin;
use crate::error::ArmError;
use crate::id::ResourceId;
use crate::types;
use crate::types::secret::Digests;
use serde_json::{Map, Value, json};

impl Stage {
    /// Makes resources of the security groups inside of the subnets of a virtual network.
    pub(super) fn adopt(
        &mut self,
        id: &ResourceId,
        body: &mut Map<String, Value>,
        origin: Origin,
    ) -> Result<(), ArmError> {
        if !super::read::is_kind(id, "Microsoft.Network/virtualNetworks") {
            return Ok(());
        }
        let location = body.get("location").cloned().unwrap_or_default();
        let subnets = body
            .get_mut("properties")
            .and_then(|properties| properties.get_mut("subnets"));
        let subnets = subnets.and_then(Value::as_array_mut).into_iter().flatten();
        for subnet in subnets.filter_map(Value::as_object_mut) {
            let name = types::name_of(subnet).to_owned();
            let group = subnet
                .get_mut("properties")
                .and_then(|properties| properties.get_mut("networkSecurityGroup"));
            let Some(group) = group.filter(|group| group.get("id").is_none()) else {
                continue;
            };
            let mut properties = group.get("properties").cloned().unwrap_or_default();
            complete_rules(&mut properties);
            let own = self.group_of(id, &name);
            // Who may write the network need not be one who may write security groups.
            self.ask(&Ask::Write(&own))?;
            let written = json!({ "location": location, "properties": properties });
            let Value::Object(written) = written else {
                continue;
            };
            self.write(&own, written, origin, Digests::new())?;
            *group = json!({ "id": own });
        }
        Ok(())
    }

    /// Returns the ID of the group: that which the subnet names already, or a new one.
    fn group_of(&self, vnet: &ResourceId, subnet: &str) -> ResourceId {
        let name = format!("{}-{subnet}-nsg", vnet.name());
        let user = vnet.child("subnets", subnet).key();
        let named = |name: &str| {
            vnet.scope
                .resource("Microsoft.Network", &[("networkSecurityGroups", name)])
        };
        let fits = |id: &ResourceId| {
            let key = id.key();
            let mut users = self.now.index.naming(&key);
            self.now.document_by_key(&key).is_none() || users.any(|edge| edge.source == user)
        };
        let first = named(&name);
        if fits(&first) {
            return first;
        }
        let mut others = (2_u32..).map(|number| named(&format!("{name}{number}")));
        others.find(fits).unwrap_or(first)
    }
}

/// Fills in what such rules leave out: names, priorities, and everything for what they are about.
fn complete_rules(properties: &mut Value) {
    let rules = properties
        .get_mut("securityRules")
        .and_then(Value::as_array_mut);
    for (at, rule) in rules.into_iter().flatten().enumerate() {
        let Some(rule) = rule.as_object_mut() else {
            continue;
        };
        rule.entry("name")
            .or_insert_with(|| Value::from(format!("rule{}", at + 1)));
        let inner = rule.entry("properties").or_insert_with(|| json!({}));
        let Some(inner) = inner.as_object_mut() else {
            continue;
        };
        inner
            .entry("priority")
            .or_insert_with(|| Value::from(100 + at));
        for (one, many) in [
            ("sourceAddressPrefix", "sourceAddressPrefixes"),
            ("destinationAddressPrefix", "destinationAddressPrefixes"),
            ("sourcePortRange", "sourcePortRanges"),
            ("destinationPortRange", "destinationPortRanges"),
        ] {
            if !inner.contains_key(many) {
                inner.entry(one).or_insert_with(|| Value::from("*"));
            }
        }
    }
}
