//! What virtual networks can be asked for beside themselves: free addresses, and how full they are.

use super::call::{Answer, Call};
use super::request::Response;
use super::resources::missing;
use crate::error::ArmError;
use crate::id::{ResourceId, Scope};
use ipnet::Ipv4Net;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

/// The addresses at the begin of a subnet that are the platform's; so is the last one.
const PLATFORM: u32 = 4;
/// How many free addresses are named beside one that is not.
const NAMED: usize = 5;

/// A subnet and the addresses in it that are taken.
struct Space {
    id: ResourceId,
    prefixes: Vec<Ipv4Net>,
    taken: BTreeSet<Ipv4Addr>,
    /// NIC configurations in it, with or without an address yet.
    count: usize,
}

/// Answers whether an address of a virtual network is free.
pub(crate) fn check_address(call: &Call<'_>, id: &ResourceId) -> Answer {
    let spaces = spaces(call, id)?;
    let text = call.request.query("ipAddress").unwrap_or_default();
    let address: Ipv4Addr = text.parse().map_err(|_| {
        let message = format!("The ipAddress '{text}' is invalid; accepted: an IPv4 address.");
        ArmError::bad_request("InvalidIPAddress", message).at("ipAddress")
    })?;
    let holds = |net: &Ipv4Net| net.contains(&address);
    let home = spaces.iter().find_map(|space| {
        space
            .prefixes
            .iter()
            .find(|net| holds(net))
            .map(|net| (space, net))
    });
    let answer = match home {
        Some((space, net)) if is_free(space, net, address) => json!({
            "available": true,
            "availableIPAddresses": [],
            "isPlatformReserved": false,
        }),
        home => {
            let free = home.map(|(space, net)| {
                let free = net.hosts().filter(|&host| is_free(space, net, host));
                free.take(NAMED)
                    .map(|host| host.to_string())
                    .collect::<Vec<_>>()
            });
            json!({
                "available": false,
                "availableIPAddresses": free.unwrap_or_default(),
                "isPlatformReserved": home.is_some_and(|(_, net)| is_platforms(net, address)),
            })
        }
    };
    Ok(Response::json(200, &answer))
}

/// Answers how full the subnets of a virtual network are.
pub(crate) fn usages(call: &Call<'_>, id: &ResourceId) -> Answer {
    let show = |space: &Space| {
        let sizes = space.prefixes.iter().map(|net| {
            let all = 1_u64 << u32::from(32_u8.saturating_sub(net.prefix_len()));
            all.saturating_sub(u64::from(PLATFORM).saturating_add(1))
        });
        json!({
            "id": space.id,
            "name": { "value": "SubnetSpace", "localizedValue": "Subnet size and usage" },
            "currentValue": space.count,
            "limit": sizes.sum::<u64>(),
            "unit": "Count",
        })
    };
    let values: Vec<_> = spaces(call, id)?.iter().map(show).collect();
    Ok(super::page::list(call, values))
}

fn is_platforms(net: &Ipv4Net, address: Ipv4Addr) -> bool {
    let at = u32::from(address).wrapping_sub(u32::from(net.network()));
    at < PLATFORM || address == net.broadcast()
}

fn is_free(space: &Space, net: &Ipv4Net, address: Ipv4Addr) -> bool {
    !is_platforms(net, address) && !space.taken.contains(&address)
}

/// Returns the subnets of a virtual network.
fn spaces(call: &Call<'_>, id: &ResourceId) -> Result<Vec<Space>, ArmError> {
    let vnet = call
        .state
        .estate
        .show(id)
        .ok_or_else(|| missing(call, id))?;
    let subnets = list_at(&vnet, &["properties", "subnets"]);
    let mut spaces: Vec<Space> = subnets
        .iter()
        .filter_map(|&subnet| space(id, subnet))
        .collect();
    let mut uses: BTreeMap<String, Vec<Option<Ipv4Addr>>> = BTreeMap::new();
    // NICs join subnets of their own subscription only.
    let all = Scope::Subscription(id.scope.subscription().unwrap_or_default().to_owned());
    for nic in call
        .state
        .estate
        .list(&all, "Microsoft.Network/networkInterfaces")
    {
        for config in list_at(&nic, &["properties", "ipConfigurations"]) {
            let subnet = text_at(config, &["properties", "subnet", "id"]);
            let address = text_at(config, &["properties", "privateIPAddress"]);
            let address = address.and_then(|address| address.parse().ok());
            if let Some(subnet) = subnet {
                uses.entry(subnet.to_ascii_lowercase())
                    .or_default()
                    .push(address);
            }
        }
    }
    for space in &mut spaces {
        let uses = uses.remove(&space.id.key()).unwrap_or_default();
        space.count = uses.len();
        space.taken = uses.into_iter().flatten().collect();
    }
    Ok(spaces)
}

fn space(vnet: &ResourceId, subnet: &Value) -> Option<Space> {
    let one = text_at(subnet, &["properties", "addressPrefix"]);
    let more = list_at(subnet, &["properties", "addressPrefixes"]);
    let texts = one
        .into_iter()
        .chain(more.into_iter().filter_map(Value::as_str));
    let mut prefixes: Vec<Ipv4Net> = texts.filter_map(|text| text.parse().ok()).collect();
    prefixes.sort();
    prefixes.dedup();
    Some(Space {
        id: vnet.child("subnets", text_at(subnet, &["name"])?),
        prefixes,
        taken: BTreeSet::new(),
        count: 0,
    })
}

fn at<'v>(value: &'v Value, path: &[&str]) -> Option<&'v Value> {
    path.iter().try_fold(value, |value, name| value.get(name))
}

fn text_at<'v>(value: &'v Value, path: &[&str]) -> Option<&'v str> {
    at(value, path).and_then(Value::as_str)
}

fn list_at<'v>(value: &'v Value, path: &[&str]) -> Vec<&'v Value> {
    let list = at(value, path).and_then(Value::as_array);
    list.into_iter().flatten().collect()
}
