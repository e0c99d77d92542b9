//! Public addresses: principals get them from the pool of the host, or from a prefix that they may use.

use super::{Asked, disallowed};
use crate::spelling::json;
use crate::spelling::kinds::{PUBLIC_IP, PUBLIC_IP_PREFIX};
use ipnet::Ipv4Net;
use postern_arm::document::Document;
use postern_arm::error::ArmError;
use postern_arm::estate::Estate;
use std::net::Ipv4Addr;

/// The shortest prefix that one resource gets, as on the platform: nobody takes the pool at once.
const SHORTEST_LENGTH: u8 = 28;

/// Returns what is not allowed of the public addresses that a request brings.
pub(super) fn check(asked: &Asked<'_>) -> Vec<ArmError> {
    let pool = pool(asked.now);
    let mut refused = Vec::new();
    for change in &asked.changes {
        let (old, Some(new)) = (change.old.as_deref(), change.new.as_deref()) else {
            continue;
        };
        let (property, is_good) = if new.id.is(PUBLIC_IP) {
            let address = |document| text::<Ipv4Addr>(document, "ipAddress");
            let Some(asks) = address(new).filter(|asks| old.and_then(address) != Some(*asks))
            else {
                continue;
            };
            let is_of_prefix = || prefix_of(asked.next, new).is_some_and(|it| it.contains(&asks));
            let is_of_pool = pool.iter().any(|prefix| prefix.contains(&asks));
            ("ipAddress", is_of_pool || is_of_prefix())
        } else if new.id.is(PUBLIC_IP_PREFIX) {
            let prefix = |document| text::<Ipv4Net>(document, "ipPrefix");
            let Some(asks) = prefix(new).filter(|asks| old.and_then(prefix) != Some(*asks)) else {
                continue;
            };
            if asks.prefix_len() < SHORTEST_LENGTH {
                refused.push(too_wide(new, asks));
                continue;
            }
            ("ipPrefix", pool.iter().any(|prefix| prefix.contains(&asks)))
        } else {
            continue;
        };
        if !is_good {
            refused.push(outside(new, property, &pool));
        }
    }
    refused
}

fn too_wide(document: &Document, range: Ipv4Net) -> ArmError {
    // The code is from memory.
    let message = format!(
        "The public IP prefix '{}' has prefixLength {}, which is too short; accepted: {SHORTEST_LENGTH} to 32.",
        document.id.name(),
        range.prefix_len()
    );
    ArmError::bad_request("InvalidPublicIpPrefixLength", message).at(document.id.to_string())
}

fn outside(document: &Document, property: &str, pool: &[Ipv4Net]) -> ArmError {
    let written = json::text(json::properties(&document.body), property).unwrap_or_default();
    let names: Vec<_> = pool.iter().map(ToString::to_string).collect();
    let known = match names.is_empty() {
        true => {
            "there is no [publicIPPool] in the configuration file, so that none can be".to_owned()
        }
        false => format!("what [publicIPPool] has: {}", names.join(", ")),
    };
    let why = format!(
        "{property} = '{written}' is no public address of this host's pool; accepted: no {property}, so \
         that one is given, or {known}."
    );
    disallowed(&document.id, &format!("properties.{property}"), &why)
}

pub(super) fn pool(estate: &Estate) -> Vec<Ipv4Net> {
    let pool = json::object(estate.host(), "publicIPPool").into_iter();
    let prefixes = pool.flat_map(|pool| json::texts(pool, "prefixes"));
    prefixes.filter_map(|prefix| prefix.parse().ok()).collect()
}

/// Returns the public addresses that a resource has itself: those in a prefix are the prefix's.
pub(super) fn range_of(document: &Document) -> Option<Ipv4Net> {
    if document.id.is(PUBLIC_IP_PREFIX) {
        return text(document, "ipPrefix");
    }
    let is_own = || json::reference(json::properties(&document.body), "publicIPPrefix").is_none();
    let address = document
        .id
        .is(PUBLIC_IP)
        .then(|| text::<Ipv4Addr>(document, "ipAddress"));
    address.flatten().filter(|_| is_own()).map(Ipv4Net::from)
}

fn text<T: std::str::FromStr>(document: &Document, property: &str) -> Option<T> {
    let properties = json::properties(&document.body);
    json::text(properties, property)?.parse().ok()
}

/// Returns the range of the prefix that an address is of.
fn prefix_of(estate: &Estate, address: &Document) -> Option<Ipv4Net> {
    let id = json::reference(json::properties(&address.body), "publicIPPrefix")?;
    let prefix = estate.document_by_key(&id.to_ascii_lowercase())?;
    text(prefix, "ipPrefix")
}
