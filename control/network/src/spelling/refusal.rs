//! What the loader refuses, in Azure's words.
//!
//! The codes and sentences of Azure here are from memory, unless the reference has them.

use super::lower::{tag_of_key, unknown};
use super::place::{Place, Places};
use crate::config::{ConfigError, Problem};
use crate::keys::grants::{GrantError, GrantErrors, GrantProblem};
use postern_arm::error::ArmError;
use postern_arm::id::ResourceId;

/// Returns the error for what the loader found.
pub(super) fn of_config(places: &Places<'_>, errors: &[ConfigError]) -> ArmError {
    sum(errors.iter().map(|error| one(places, error)).collect())
}

/// Returns one error for several.
fn sum(mut errors: Vec<ArmError>) -> ArmError {
    if errors.len() == 1
        && let Some(error) = errors.pop()
    {
        return error;
    }
    let message = "Multiple error occurred: BadRequest. Please see details.";
    ArmError::bad_request("MultipleErrorsOccurred", message).with(errors)
}

fn one(places: &Places<'_>, error: &ConfigError) -> ArmError {
    let place = places.find(&error.key);
    if let (Problem::UnknownKey(_), Some(place)) = (&error.problem, &place)
        && let Some(tag) = tag_of_key(&place.property)
        && let Some(why) = unknown(&place.id, tag)
    {
        return not_a_binding(&place.id, tag, &why);
    }
    let text = in_ids(places, &error.problem.to_string());
    let (in_text, text) = split_code(&text);
    let code = in_text.unwrap_or_else(|| code(&error.problem, &error.key));
    let what = place.as_ref().map_or(&error.key, |place| &place.property);
    let value = error.value.as_ref();
    let detail = match value {
        Some(value) => format!("{what} = {value}: {text}"),
        None => format!("{what}: {text}"),
    };
    let message = match sentence(&error.problem, place.as_ref()) {
        Some(sentence) => format!("{sentence} {detail}"),
        None => match &place {
            Some(place) => format!("{}, {detail}", place.id.name()),
            None => detail,
        },
    };
    let target = place.map_or_else(|| error.key.clone(), |place| place.target());
    ArmError::bad_request(code, message).at(target)
}

/// Returns the error for a tag that binds nothing of a resource, though it is called as one that does.
pub(super) fn not_a_binding(id: &ResourceId, tag: &str, why: &str) -> ArmError {
    let message = format!("{}: {why}", id.name());
    ArmError::bad_request("InvalidTag", message).at(format!("{id}#tags.postern-{tag}"))
}

/// Returns a text with the IDs of resources in the place of keys of the configuration.
fn in_ids(places: &Places<'_>, text: &str) -> String {
    let word = |word: &str| {
        let bare = word.trim_end_matches([',', ';', ':', ')']);
        let found = bare.contains('[').then(|| places.find(bare)).flatten();
        found.map_or_else(
            || word.to_owned(),
            |place| {
                format!(
                    "{}{}",
                    place.target(),
                    word.get(bare.len()..).unwrap_or_default()
                )
            },
        )
    };
    text.split(' ').map(word).collect::<Vec<_>>().join(" ")
}

/// Splits the code from a text that begins with one.
fn split_code(text: &str) -> (Option<&str>, &str) {
    let is_code = |code: &&str| {
        code.len() > 8
            && code.starts_with(|letter: char| letter.is_ascii_uppercase())
            && code.chars().all(|letter| letter.is_ascii_alphabetic())
    };
    match text.split_once(": ") {
        Some((code, rest)) if is_code(&code) => (Some(code), rest),
        _ => (None, text),
    }
}

fn code(problem: &Problem, key: &str) -> &'static str {
    let is_rule = key.contains(".securityRule[");
    let is_acl = key.starts_with("service[");
    match problem {
        Problem::BadName => "InvalidResourceName",
        Problem::DuplicateName(_) | Problem::SameResource(_) => "ResourceNameConflict",
        Problem::UnknownRegion(_) => "LocationNotAvailableForResourceType",
        Problem::UnknownReference { .. } => "InvalidResourceReference",
        Problem::UnknownEndpoint { .. } | Problem::UnknownService | Problem::EndpointOnly(_) => {
            "InvalidServiceName"
        }
        Problem::ExcludedEndpoint(_) => "ServiceEndpointsConflict",
        Problem::NoPrefixes { .. } => "ServiceNotAvailableInLocation",
        Problem::Overlap { .. } if key.contains(".subnet[") => "NetcfgSubnetRangesOverlap",
        Problem::Overlap { .. } => "NetcfgInvalidAddressSpaceOverlap",
        Problem::OutsideVnet { .. } | Problem::TooSmall => "NetcfgInvalidSubnet",
        Problem::HostBits(_) => "InvalidCIDRNotation",
        Problem::ForbiddenSpace(_) => "InvalidAddressPrefix",
        Problem::NotInSubnet { reason, .. } if *reason == "outside of" => {
            "PrivateIPAddressNotInSubnet"
        }
        Problem::NotInSubnet { .. } => "PrivateIPAddressInReservedRange",
        Problem::AddressInUse(_) if key.ends_with("privateIPAddress") => {
            "PrivateIPAddressIsAllocated"
        }
        Problem::AddressInUse(_) => "PublicIPAddressInUse",
        Problem::CannotShare(_)
        | Problem::NamespaceInUse(_)
        | Problem::DeviceDiffers { .. }
        | Problem::HostInUse(_)
        | Problem::OwnServer(_) => "BindingConflict",
        Problem::BareAddress(_) | Problem::NotPublic(_) if is_acl => {
            "InvalidValuesForRequestParameters"
        }
        Problem::NotPublic(_) | Problem::InsideVnet(_) => "PublicIPAddressNotPublic",
        Problem::MixedPorts | Problem::ReversedRange(..) => "SecurityRuleInvalidPortRange",
        Problem::PlatformTag | Problem::BothForms(_) if is_rule => {
            "SecurityRuleParameterContainsUnsupportedValue"
        }
        Problem::MixedVnets { .. } => "ApplicationSecurityGroupsNotInSameVnet",
        Problem::OutOfRange(..) if is_rule => "SecurityRuleInvalidPriority",
        Problem::Malformed(_) if key.contains("PortRange") => "SecurityRuleInvalidPortRange",
        Problem::Malformed(_) if key.contains("ddressPrefix") => "InvalidAddressPrefixFormat",
        Problem::DuplicateDestination(_) => "RouteConflict",
        Problem::UnknownDestination { .. } => "InvalidAddressPrefixFormat",
        Problem::PlatformNextHop(_) | Problem::NextHopForbidden => "InvalidNextHopType",
        Problem::TooMany(..) | Problem::TooManyTagRoutes(..) => "ResourceLimitExceeded",
        Problem::Missing(_) => "MissingProperty",
        _ => "InvalidRequestFormat",
    }
}

/// Returns what Azure says, where its words are known.
fn sentence(problem: &Problem, place: Option<&Place>) -> Option<String> {
    let id = &place?.id;
    let name = id.name();
    let parent = id.parent();
    let vnet = parent.as_ref().map_or(name, |parent| parent.name());
    Some(match problem {
        Problem::Overlap { .. } if parent.is_some() => format!(
            "Subnet '{name}' is not valid because its IP address range overlaps with that of an \
             existing subnet in virtual network '{vnet}'."
        ),
        Problem::OutsideVnet { .. } => format!(
            "Subnet '{name}' is not valid because its IP address range is outside the IP address \
             range of virtual network '{vnet}'."
        ),
        Problem::HostBits(wanted) => format!(
            "The address prefix has an invalid CIDR notation. For the given prefix length, the \
             address prefix should be {wanted}."
        ),
        Problem::UnknownReference { .. } => format!(
            "A resource referenced by resource {id} was not found. Please make sure that the \
             referenced resource exists, and that both resources are in the same region."
        ),
        _ => return None,
    })
}

/// Returns the error for network rules that cannot be made.
#[must_use]
pub fn of_grants(places: &Places<'_>, errors: &GrantErrors) -> ArmError {
    sum(errors.0.iter().map(|error| grant(places, error)).collect())
}

/// Returns the error for a network rule that cannot be made, which each kind of resource wraps in its
/// own one.
fn grant(places: &Places<'_>, error: &GrantError) -> ArmError {
    let place = places.find(&error.key);
    let kind = place.as_ref().map(|place| place.id.kind());
    let is_storage = kind
        .as_deref()
        .is_some_and(|kind| kind.eq_ignore_ascii_case("Microsoft.Storage/storageAccounts"));
    let is_server = kind.as_deref().is_some_and(|kind| {
        kind.to_ascii_lowercase()
            .ends_with("servers/virtualnetworkrules")
    });
    let code = match (&error.problem, is_storage) {
        (_, true) => "NetworkAclsValidationFailure",
        _ if is_server => "VirtualNetworkRuleBadRequest",
        (GrantProblem::NoSuchSubnet { .. }, _) => "InvalidResourceReference",
        (GrantProblem::NoEndpoint { .. }, _) => "SubnetsHaveNoServiceEndpointsConfigured",
        (GrantProblem::OtherRegion { .. } | GrantProblem::OtherTenant { .. }, _) => {
            "InvalidVirtualNetworkRule"
        }
    };
    let (vnet, subnet) = error.id.rsplit_once("/subnets/").unwrap_or(("", &error.id));
    let text = error.problem.to_string();
    let text = text.trim_start_matches("NetworkAclsValidationFailure: ");
    let message = match &error.problem {
        GrantProblem::NoEndpoint { service, .. } => format!(
            "SubnetsHaveNoServiceEndpointsConfigured:Subnets {subnet} of virtual network {vnet} do \
             not have ServiceEndpoints for {service} resources configured. Add {service} to \
             subnet's ServiceEndpoints collection before trying to ACL {service} resources to these \
             subnets.."
        ),
        _ => format!("{}: {text}", error.id),
    };
    let message = if is_storage {
        format!("Validation of network acls failure: {message}")
    } else {
        message
    };
    let target = place.map_or_else(|| error.key.clone(), |place| place.target());
    ArmError::bad_request(code, message).at(target)
}
