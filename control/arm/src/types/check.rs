//! What cannot stand in a resource, in Azure's words.

use super::Kind;
use crate::error::ArmError;
use crate::id::ResourceId;
use ipnet::IpNet;
use serde_json::{Map, Value};
use std::collections::HashMap;
use std::net::IpAddr;

/// Checks the name of a resource.
///
/// # Errors
///
/// The type does not have such names.
pub(crate) fn check_name(id: &ResourceId) -> Result<(), ArmError> {
    let name = id.name();
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    if id.provider.eq_ignore_ascii_case("Microsoft.Network") {
        let fits = name.len() <= 80
            && name.starts_with(is_word)
            && name.ends_with(is_word)
            && name.chars().all(|c| is_word(c) || c == '.' || c == '-');
        if !fits {
            let message = format!(
                "Resource name {name} is invalid. The name can be up to 80 characters long. It must \
                 begin with a word character, and it must end with a word character or with '_'. The \
                 name may contain word characters or '.', '-', '_'."
            );
            return Err(ArmError::bad_request("InvalidResourceName", message).at(id.to_string()));
        }
    }
    if id.is("Microsoft.Storage/storageAccounts") {
        let fits = (3..=24).contains(&name.len())
            && name
                .chars()
                .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
        if !fits {
            let message = format!(
                "{name} is not a valid storage account name. Storage account name must be between 3 \
                 and 24 characters in length and use numbers and lower-case letters only."
            );
            return Err(ArmError::bad_request("AccountNameInvalid", message).at(id.to_string()));
        }
    }
    Ok(())
}

/// Checks a document in its normal form.
///
/// # Errors
///
/// It cannot stand by itself. What else cannot be is found by who gives it its effect.
pub(crate) fn check(
    kind: &Kind,
    id: &ResourceId,
    body: &Map<String, Value>,
) -> Result<(), ArmError> {
    let Some(properties) = body.get("properties").and_then(Value::as_object) else {
        return Ok(());
    };
    match kind.name {
        "Microsoft.Network/virtualNetworks" => network(id, properties),
        "Microsoft.Network/networkSecurityGroups" => rules(id, properties),
        "Microsoft.Network/routeTables" => routes(id, properties),
        "Microsoft.Network/networkInterfaces" => configurations(id, properties),
        _ => Ok(()),
    }
}

/// Returns the children in a list, each with its ID and its properties.
fn children<'p>(
    id: &ResourceId,
    properties: &'p Map<String, Value>,
    segment: &'static str,
) -> impl Iterator<Item = (ResourceId, &'p Map<String, Value>)> {
    let items = properties
        .get(segment)
        .and_then(Value::as_array)
        .into_iter()
        .flatten();
    items.filter_map(move |item| {
        let name = item.get("name")?.as_str()?;
        Some((
            id.child(segment, name),
            item.get("properties")?.as_object()?,
        ))
    })
}

/// Returns the texts of a value that is in one property or a list in another.
fn texts<'p>(
    properties: &'p Map<String, Value>,
    one: &str,
    many: &str,
) -> impl Iterator<Item = &'p str> {
    let many = properties
        .get(many)
        .and_then(Value::as_array)
        .into_iter()
        .flatten();
    properties
        .get(one)
        .into_iter()
        .chain(many)
        .filter_map(Value::as_str)
}

fn network(id: &ResourceId, properties: &Map<String, Value>) -> Result<(), ArmError> {
    let space = properties.get("addressSpace").and_then(Value::as_object);
    let mut ranges = Vec::new();
    for text in space
        .into_iter()
        .flat_map(|space| texts(space, "", "addressPrefixes"))
    {
        ranges.push(prefix(id, text)?);
    }
    if ranges.is_empty() {
        // The code is from memory.
        let message = format!(
            "Virtual network {} has no address space; accepted: addressSpace.addressPrefixes with one \
             prefix at least.",
            id.name()
        );
        return Err(ArmError::bad_request("AddressSpaceMissing", message).at(id.to_string()));
    }
    let mut taken: Vec<(IpNet, String)> = Vec::new();
    for (id, subnet) in children(id, properties, "subnets") {
        let mut has_prefix = false;
        for text in texts(subnet, "addressPrefix", "addressPrefixes") {
            let net = prefix(&id, text)?;
            has_prefix = true;
            if !ranges.iter().any(|range| range.contains(&net)) {
                return Err(outside(&id));
            }
            taken.push((net, id.name().to_owned()));
        }
        if !has_prefix && !subnet.contains_key("ipamPoolPrefixAllocations") {
            // The code is from memory.
            let message = format!(
                "Subnet {} has no addressPrefix; accepted: one prefix.",
                id.name()
            );
            return Err(
                ArmError::bad_request("SubnetAddressPrefixMissing", message).at(id.to_string())
            );
        }
    }
    // Prefixes that overlap are nested, so that those that follow one in this order tell.
    taken.sort_by_key(|(net, _)| (net.network(), net.prefix_len()));
    for pair in taken.windows(2) {
        if let [(outer, _), (inner, name)] = pair
            && outer.contains(inner)
        {
            let message = format!(
                "Subnet '{name}' is not valid because its IP address range overlaps with that of an \
                 existing subnet in virtual network '{}'.",
                id.name()
            );
            let at = id.child("subnets", name);
            return Err(
                ArmError::bad_request("NetcfgSubnetRangesOverlap", message).at(at.to_string())
            );
        }
    }
    Ok(())
}

fn outside(subnet: &ResourceId) -> ArmError {
    let network = subnet.root();
    let message = format!(
        "Subnet '{}' is not valid in virtual network '{}'.",
        subnet.name(),
        network.name()
    );
    ArmError::bad_request("NetcfgInvalidSubnet", message).at(subnet.to_string())
}

/// Reads a prefix, which has no bits behind its length.
fn prefix(id: &ResourceId, text: &str) -> Result<IpNet, ArmError> {
    let net: IpNet = text.parse().map_err(|_| {
        let message = format!(
            "Address prefix {text} on resource {id} is not formatted correctly. It should follow CIDR \
             notation, for example 10.0.0.0/24."
        );
        ArmError::bad_request("InvalidAddressPrefixFormat", message).at(id.to_string())
    })?;
    if net.trunc() == net {
        return Ok(net);
    }
    let message = format!(
        "The address prefix {text} in resource {id} has an invalid CIDR notation. For the given prefix \
         length, the address prefix should be {}.",
        net.trunc()
    );
    Err(ArmError::bad_request("InvalidCIDRNotation", message).at(id.to_string()))
}

fn rules(id: &ResourceId, properties: &Map<String, Value>) -> Result<(), ArmError> {
    let mut seen: HashMap<(&str, i64), ResourceId> = HashMap::new();
    for (id, rule) in children(id, properties, "securityRules") {
        let refuse = |code: &str, message: String| {
            Err(ArmError::bad_request(code, message).at(id.to_string()))
        };
        for name in ["priority", "direction", "access", "protocol"] {
            if !rule.contains_key(name) {
                let message = format!("Security rule {} must specify {name}.", id.name());
                // The code is from memory.
                return refuse("SecurityRuleParameterNotSpecified", message);
            }
        }
        let priority = rule.get("priority").and_then(Value::as_i64).unwrap_or(0);
        if !(100..=4096).contains(&priority) {
            let message = format!(
                "Security rule has invalid Priority. Value provided: {priority} Allowed range 100-4096."
            );
            return refuse("SecurityRuleInvalidPriority", message);
        }
        for (one, many) in [
            ("sourcePortRange", "sourcePortRanges"),
            ("destinationPortRange", "destinationPortRanges"),
        ] {
            if let Some(text) = texts(rule, one, many).find(|text| !is_port_range(text)) {
                let message = format!(
                    "Security rule has invalid Port range. Value provided: {text}. Value should be an \
                     integer OR integer range with '-' delimiter. Valid range 0-65535."
                );
                return refuse("SecurityRuleInvalidPortRange", message);
            }
        }
        let direction = rule.get("direction").and_then(Value::as_str).unwrap_or("");
        if let Some(other) = seen.insert((direction, priority), id.clone()) {
            let message = format!(
                "Security rule {} conflicts with rule {}. Rules cannot have the same Priority and \
                 Direction.",
                id.name(),
                other.name()
            );
            return refuse("SecurityRuleConflict", message);
        }
    }
    Ok(())
}

fn is_port_range(text: &str) -> bool {
    let number = |text: &str| text.trim().parse::<u16>().ok();
    match text.split_once('-') {
        _ if text == "*" => true,
        Some((first, last)) => number(first)
            .zip(number(last))
            .is_some_and(|(first, last)| first <= last),
        None => number(text).is_some(),
    }
}

fn routes(id: &ResourceId, properties: &Map<String, Value>) -> Result<(), ArmError> {
    for (id, route) in children(id, properties, "routes") {
        for name in ["addressPrefix", "nextHopType"] {
            if !route.contains_key(name) {
                let message = format!("Route {} must specify {name}.", id.name());
                // The code is from memory.
                return Err(
                    ArmError::bad_request("RouteParameterNotSpecified", message).at(id.to_string())
                );
            }
        }
        let is_appliance = route
            .get("nextHopType")
            .is_some_and(|hop| hop == "VirtualAppliance");
        let address = route
            .get("nextHopIpAddress")
            .and_then(Value::as_str)
            .unwrap_or("");
        if is_appliance && address.parse::<IpAddr>().is_err() {
            // The code is from memory.
            let message = format!(
                "Route {} has the next hop type VirtualAppliance and the next hop IP address \
                 '{address}'; accepted: an address such as 10.0.0.4.",
                id.name()
            );
            return Err(
                ArmError::bad_request("InvalidNextHopIpAddress", message).at(id.to_string())
            );
        }
    }
    Ok(())
}

fn configurations(id: &ResourceId, properties: &Map<String, Value>) -> Result<(), ArmError> {
    let mut all = children(id, properties, "ipConfigurations").peekable();
    // The codes of both are from memory.
    if all.peek().is_none() {
        let message = format!("Network interface {id} must have at least one IP configuration.");
        let code = "NetworkInterfaceMustHaveAtLeastOneIPConfiguration";
        return Err(ArmError::bad_request(code, message).at(id.to_string()));
    }
    match all.find(|(_, configuration)| !configuration.contains_key("subnet")) {
        Some((id, _)) => {
            let message = format!("IP configuration {id} must name a subnet.");
            Err(ArmError::bad_request("SubnetRequired", message).at(id.to_string()))
        }
        None => Ok(()),
    }
}
