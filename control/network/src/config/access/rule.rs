//! What the dialects have in common: a subnet, and public addresses.

use crate::config::loader::Loader;
use crate::config::problem::Problem;
use crate::config::section::Section;
use crate::model::{NOT_PUBLIC, ResourceRule, RuleCallers, SubnetRef};
use ipnet::Ipv4Net;
use postern_dataplane::policy::Access;
use std::net::Ipv4Addr;

const A_SUBNET: &str = "the resource ID of a subnet, or shortly \"VNet1/subnet1\"";
const A_RANGE: &str =
    "a public IPv4 address such as \"20.0.0.9\", or a prefix such as \"16.17.18.0/24\"";
const ALLOW: [(&str, ()); 1] = [("Allow", ())];

/// The action of a rule that can only allow.
pub(super) fn only_allow(section: &Section<'_>) {
    section.choice("action", &ALLOW, "\"Allow\"");
}

/// Reads the subnet that `key` names. `list` is the list that the rule is in, `name` what tells it
/// from others there, where that is not the subnet.
pub(super) fn subnet(
    section: &Section<'_>,
    loader: &Loader<'_>,
    key: &str,
    list: &str,
    name: Option<&str>,
) -> Option<ResourceRule> {
    let named: SubnetRef = section.parse_required(key, A_SUBNET)?;
    let named = named.canonical(&loader.model);
    let own = match (name, &named.place) {
        (Some(name), _) => name.to_owned(),
        (None, None) => format!("{}/{}", named.vnet, named.subnet),
        (None, Some(_)) => named.id(&loader.model),
    };
    Some(ResourceRule {
        name: format!("{list}/{}", own.trim_start_matches('/')),
        key: section.key(key),
        who: RuleCallers::Subnet(named),
        access: Access::Allow,
        priority: None,
        ignore_missing_endpoint: false,
    })
}

/// Reads the public address or prefix of `key`. A prefix longer than `longest` is refused: the
/// service wants the bare address.
pub(super) fn address(
    section: &Section<'_>,
    key: &str,
    list: &str,
    longest: u8,
) -> Option<ResourceRule> {
    section.require(key, A_RANGE);
    let text = section.text(key, A_RANGE)?;
    let prefix = prefix(section, key, text, longest)?;
    Some(ResourceRule {
        name: format!("{list}/{text}"),
        key: section.key(key),
        who: RuleCallers::Addresses(vec![(prefix.network(), prefix.broadcast())]),
        access: Access::Allow,
        priority: None,
        ignore_missing_endpoint: false,
    })
}

/// Reads a prefix or address, which must not be private.
pub(super) fn prefix(section: &Section<'_>, key: &str, text: &str, longest: u8) -> Option<Ipv4Net> {
    let bare = text.parse::<Ipv4Addr>().ok().map(Ipv4Net::from);
    let Some(prefix) = bare.or_else(|| text.parse::<Ipv4Net>().ok()) else {
        section.refuse(key, Problem::Malformed(A_RANGE));
        return None;
    };
    let problem = if prefix != prefix.trunc() {
        Problem::HostBits(prefix.trunc())
    } else if bare.is_none() && prefix.prefix_len() > longest {
        Problem::BareAddress(prefix.network())
    } else if let Some(block) = NOT_PUBLIC.iter().find(|block| block.contains(&prefix)) {
        Problem::NotPublic(*block)
    } else {
        return Some(prefix);
    };
    section.refuse(key, problem);
    None
}
