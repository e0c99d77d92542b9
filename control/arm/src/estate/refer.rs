//! References: what is named has to be there, and what is named cannot go.

use super::Estate;
use super::index::{Edge, edges, spelled_target};
use crate::document::Document;
use crate::error::ArmError;
use crate::id::ResourceId;

/// Checks that nothing that is there needs what is not there any more: the document with the key, or
/// what was inside of it. `before` is an estate that has it.
pub(super) fn unused(now: &Estate, before: &Estate, key: &str) -> Result<(), ArmError> {
    let mut last: Option<(&str, bool)> = None;
    let mut users: Vec<&Edge> = Vec::new();
    for edge in now.index.naming(key).chain(now.index.naming_inside(key)) {
        // Edges come in the order of their targets, of which most are there.
        let is_there = match last {
            Some((target, is_there)) if target == edge.target => is_there,
            _ => now.find_key(&edge.target).is_some(),
        };
        last = Some((&edge.target, is_there));
        if !is_there && edge.by.binds && users.first().is_none_or(|one| one.target == edge.target) {
            users.push(edge);
        }
    }
    match users.as_slice() {
        [] => Ok(()),
        [first, ..] => {
            let names: Vec<String> = users
                .iter()
                .map(|edge| spelled(now, &edge.source))
                .collect();
            Err(in_use(before, first, &names))
        }
    }
}

/// Checks that what the document names, and did not name before, is there.
pub(super) fn present(
    now: &Estate,
    old: Option<&Document>,
    new: &Document,
) -> Result<(), ArmError> {
    let before = edges(old);
    for edge in edges(Some(new)).difference(&before) {
        if now.find_key(&edge.target).is_some() {
            continue;
        }
        let source = spelled(now, &edge.source);
        let target = spelled_target(new, edge);
        let message = format!(
            "Resource {target} referenced by resource {source} was not found. Please make sure that \
             the referenced resource exists, and that both resources are in the same region."
        );
        return Err(ArmError::bad_request("InvalidResourceReference", message).at(source));
    }
    Ok(())
}

/// Returns the ID of what has the key, as it was spelled when it was made.
pub(super) fn spelled(estate: &Estate, key: &str) -> String {
    let found = estate.find_key(key);
    found.map_or_else(|| key.to_owned(), |found| found.id().to_string())
}

/// Says in the platform's words that something is in use. Those that are not known are marked.
fn in_use(before: &Estate, edge: &Edge, users: &[String]) -> ArmError {
    let target = spelled(before, &edge.target);
    let id: Option<ResourceId> = target.parse().ok();
    let name = id.as_ref().map_or("", |id| id.name());
    let user = users.first().map_or("", String::as_str);
    let users = users.join(", ");
    let short = edge.by.to.split_once('/').map_or("", |(_, short)| short);
    let (code, message) = match short {
        "virtualNetworks/subnets" => (
            "InUseSubnetCannotBeDeleted",
            format!(
                "Subnet {name} is in use by {user} and cannot be deleted. In order to delete the \
                 subnet, delete all the resources within the subnet. See aka.ms/deletesubnet."
            ),
        ),
        "networkSecurityGroups" => (
            "InUseNetworkSecurityGroupCannotBeDeleted",
            format!(
                "Network security group {target} cannot be deleted because it is in use by the \
                 following resources: {users}. In order to delete the Network security group, remove the \
                 association with the resource(s). To learn how to do this, see aka.ms/deletensg."
            ),
        ),
        "routeTables" => (
            "InUseRouteTableCannotBeDeleted",
            format!("Route table {target} is in use by {users} and cannot be deleted."),
        ),
        "publicIPAddresses" => (
            "PublicIPAddressCannotBeDeleted",
            format!(
                "Public IP address {target} can not be deleted since it is still allocated to \
                 resource {user}. In order to delete the public IP, disassociate/detach the Public IP \
                 address from the resource. To learn how to do this, see aka.ms/deletepublicip."
            ),
        ),
        "networkInterfaces" => (
            "NicInUse",
            format!(
                "Network Interface {target} is used by existing resource {user}. In order to delete \
                 the network interface, it must be dissociated from the resource. To learn more, see \
                 aka.ms/deletenic."
            ),
        ),
        // The codes of the following are from memory or formed like the others.
        "natGateways" => (
            "InUseNatGatewayCannotBeDeleted",
            format!("NAT gateway {target} is in use by {users} and cannot be deleted."),
        ),
        "serviceEndpointPolicies" => (
            "InUseServiceEndpointPolicyCannotBeDeleted",
            format!("Service endpoint policy {target} is in use by {users} and cannot be deleted."),
        ),
        "publicIPPrefixes" => (
            "InUsePublicIpPrefixCannotBeDeleted",
            format!("Public IP prefix {target} is in use by {users} and cannot be deleted."),
        ),
        "applicationSecurityGroups" => (
            "InUseApplicationSecurityGroupCannotBeDeleted",
            format!(
                "Application security group {target} is in use by {users} and cannot be deleted."
            ),
        ),
        _ => (
            "InUseResourceCannotBeDeleted",
            format!("{target} is in use by {users} and cannot be deleted."),
        ),
    };
    ArmError::bad_request(code, message).at(target)
}
