//! Functions of address ranges.

use super::super::problem::Problem;
use super::{Call, Entry};
use ipnet::IpNet;
use serde_json::{Value, json};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

type Answer = Result<Value, Problem>;

pub(super) const ENTRIES: &[Entry] = &[
    Entry {
        name: "cidrHost",
        least: 2,
        most: 2,
        run: cidr_host,
    },
    Entry {
        name: "cidrSubnet",
        least: 3,
        most: 3,
        run: cidr_subnet,
    },
    Entry {
        name: "parseCidr",
        least: 1,
        most: 1,
        run: parse_cidr,
    },
];

fn range(call: &Call<'_>) -> Result<IpNet, Problem> {
    let text = call.text(0)?;
    text.parse::<IpNet>().map(|net| net.trunc()).map_err(|_| {
        call.bad(format!(
            "'{text}' is no address range such as '10.0.0.0/16'"
        ))
    })
}

fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => u128::from(u32::from(address)),
        IpAddr::V6(address) => u128::from(address),
    }
}

/// Returns the address of this number, of the same version as another one.
fn address(number: u128, like: IpAddr) -> Option<IpAddr> {
    match like {
        IpAddr::V4(_) => u32::try_from(number)
            .ok()
            .map(|number| Ipv4Addr::from(number).into()),
        IpAddr::V6(_) => Some(Ipv6Addr::from(number).into()),
    }
}

fn parse_cidr(call: &Call<'_>) -> Answer {
    let net = range(call)?;
    let (first, last) = (number(net.network()), number(net.broadcast()));
    // The first and the last address of an IPv4 range are no host's, unless there are no others.
    let inner = match net {
        IpNet::V4(net) if net.prefix_len() < 31 => {
            (first.saturating_add(1), last.saturating_sub(1))
        }
        _ => (first, last),
    };
    let show = |number| address(number, net.network()).map(|address| address.to_string());
    let mut parts = json!({
        "network": net.network(),
        "netmask": net.netmask(),
        "broadcast": net.broadcast(),
        "firstUsable": show(inner.0),
        "lastUsable": show(inner.1),
        "cidr": net.prefix_len(),
    });
    if let (IpNet::V6(_), Some(parts)) = (net, parts.as_object_mut()) {
        parts.shift_remove("broadcast");
    }
    Ok(parts)
}

/// `cidrSubnet(range, length, index)`: the range of that length at an index in the range.
fn cidr_subnet(call: &Call<'_>) -> Answer {
    let (net, length, index) = (range(call)?, call.integer(1)?, call.integer(2)?);
    let found = u8::try_from(length).ok().and_then(|length| {
        let index = u128::try_from(index).ok()?;
        let more = u32::from(length.checked_sub(net.prefix_len())?);
        let host = u32::from(net.max_prefix_len().checked_sub(length)?);
        if more < 128 && index >= 1_u128.checked_shl(more)? {
            return None;
        }
        let base = number(net.network());
        let offset = match host {
            128.. => 0,
            host => index.checked_mul(1_u128.checked_shl(host)?)?,
        };
        IpNet::new(address(base.checked_add(offset)?, net.network())?, length).ok()
    });
    found.map(|net| net.to_string().into()).ok_or_else(|| {
        call.bad(format!(
            "{net} has no range number {index} of length {length}; accepted: a length from {} to {}, an index from 0",
            net.prefix_len(),
            net.max_prefix_len()
        ))
    })
}

/// `cidrHost(range, index)`: the address of a host at an index from 0 in the range.
fn cidr_host(call: &Call<'_>) -> Answer {
    let (net, index) = (range(call)?, call.integer(1)?);
    let (first, last) = (number(net.network()), number(net.broadcast()));
    let (first, last) = match net {
        IpNet::V4(net) if net.prefix_len() < 31 => {
            (first.saturating_add(1), last.saturating_sub(1))
        }
        IpNet::V6(net) if net.prefix_len() < 127 => (first.saturating_add(1), last),
        _ => (first, last),
    };
    let found = u128::try_from(index)
        .ok()
        .and_then(|index| first.checked_add(index))
        .filter(|number| *number <= last)
        .and_then(|number| address(number, net.network()));
    found
        .map(|address| address.to_string().into())
        .ok_or_else(|| call.bad(format!("{net} has no host number {index}")))
}
