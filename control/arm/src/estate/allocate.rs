//! Addresses: of NICs from their subnets, public ones from the pools of the host. What was given is
//! written into the document and kept until it goes.

use super::index::child_key;
use super::refer::spelled;
use super::stage::Stage;
use super::{Estate, guid};
use crate::document::Document;
use crate::error::ArmError;
use crate::types::{self, Kind};
use ipnet::Ipv4Net;
use serde_json::{Map, Value};
use std::net::Ipv4Addr;

/// Addresses at the start of a subnet that nobody gets: the network, the gateway, two for names
/// (reference section 3.5); the last one is reserved too.
const RESERVED: u32 = 4;

impl Stage {
    /// Gives the document the addresses that it needs and does not have.
    pub(super) fn allocate(
        &self,
        kind: &Kind,
        key: &str,
        body: &mut Map<String, Value>,
        old: Option<&Document>,
    ) -> Result<(), ArmError> {
        let Some(Value::Object(properties)) = body.get_mut("properties") else {
            return Ok(());
        };
        let old = old.and_then(Document::properties);
        match kind.name {
            "Microsoft.Network/networkInterfaces" => {
                self.hardware(key, properties, old);
                self.private(kind, key, properties, old)
            }
            "Microsoft.Network/publicIPAddresses" => self.public(key, properties, old),
            "Microsoft.Network/publicIPPrefixes" => self.block(key, properties, old),
            _ => Ok(()),
        }
    }

    /// Gives a NIC its hardware address.
    fn hardware(
        &self,
        key: &str,
        properties: &mut Map<String, Value>,
        old: Option<&Map<String, Value>>,
    ) {
        const NAME: &str = "macAddress";
        let is_written = |value: &&Value| value.as_str().is_some_and(|text| !text.is_empty());
        if properties.get(NAME).filter(is_written).is_some() {
            return;
        }
        let kept = old.and_then(|old| old.get(NAME)).cloned();
        let address = kept.unwrap_or_else(|| {
            let hash = guid(&[key, &self.now.version().to_string(), "mac"]).to_ascii_uppercase();
            let part = |at: std::ops::Range<usize>| hash.get(at).unwrap_or("00").to_owned();
            // 00-0D-3A is Azure's, as the flow logs of the reference have it.
            let own = [part(0..2), part(2..4), part(4..6)].join("-");
            Value::from(format!("00-0D-3A-{own}"))
        });
        properties.insert(NAME.to_owned(), address);
    }

    fn private(
        &self,
        kind: &Kind,
        key: &str,
        properties: &mut Map<String, Value>,
        old: Option<&Map<String, Value>>,
    ) -> Result<(), ArmError> {
        let Some(child) = kind.children.first() else {
            return Ok(());
        };
        let Some(Value::Array(items)) = properties.get_mut(child.at) else {
            return Ok(());
        };
        let mut given: Vec<(String, Ipv4Addr)> = Vec::new();
        for item in items.iter_mut().filter_map(Value::as_object_mut) {
            let name = types::name_of(item).to_owned();
            let was = types::items(old, child)
                .find(|old| types::name_of(old).eq_ignore_ascii_case(&name))
                .and_then(|old| old.get("properties")?.as_object());
            let Some(Value::Object(own)) = item.get_mut("properties") else {
                continue;
            };
            let by = child_key(key, child, &name);
            if let Some((subnet, address)) = self.private_of(&by, own, was, &given)? {
                own.insert(
                    "privateIPAddress".to_owned(),
                    Value::from(address.to_string()),
                );
                given.push((subnet, address));
            }
        }
        Ok(())
    }

    /// Returns the subnet and the address of an IP configuration; none if its subnet is not there yet.
    fn private_of(
        &self,
        by: &str,
        own: &Map<String, Value>,
        was: Option<&Map<String, Value>>,
        given: &[(String, Ipv4Addr)],
    ) -> Result<Option<(String, Ipv4Addr)>, ArmError> {
        let text = |fields: &Map<String, Value>, name: &str| {
            fields.get(name).and_then(Value::as_str).map(str::to_owned)
        };
        let subnet_of = |fields: &Map<String, Value>| {
            fields
                .get("subnet")?
                .get("id")?
                .as_str()
                .map(str::to_ascii_lowercase)
        };
        let (Some(subnet), Some("IPv4")) = (
            subnet_of(own),
            text(own, "privateIPAddressVersion").as_deref(),
        ) else {
            return Ok(None);
        };
        let wanted = text(own, "privateIPAddress");
        if text(own, "privateIPAllocationMethod").as_deref() == Some("Static") {
            let wanted = wanted.unwrap_or_default();
            let address = wanted.parse().map_err(|_| bad_address(&wanted, by))?;
            if let Some(prefix) = prefix_of(&self.now, &subnet) {
                is_in(prefix, address)?;
            }
            return Ok(Some((subnet, address)));
        }
        let Some(prefix) = prefix_of(&self.now, &subnet) else {
            return Ok(None);
        };
        let is_free = |address: &Ipv4Addr| {
            let mut leases = self.now.index.leases(&subnet, *address);
            let taken = leases.find(|lease| lease.by != by);
            taken.is_none_or(|lease| lease.first != *address)
                && !given
                    .iter()
                    .any(|(other, one)| *other == subnet && one == address)
        };
        let kept = was.filter(|was| subnet_of(was).as_deref() == Some(&subnet));
        let kept = kept.and_then(|was| text(was, "privateIPAddress")?.parse().ok());
        let first = [kept, wanted.and_then(|wanted| wanted.parse().ok())]
            .into_iter()
            .flatten();
        let mut first = first.filter(|address| is_in(prefix, *address).is_ok());
        let address = first.find(is_free).or_else(|| {
            let skip: Vec<Ipv4Addr> = given.iter().map(|(_, address)| *address).collect();
            self.lowest(&subnet, prefix, &skip)
        });
        match address {
            Some(address) => Ok(Some((subnet, address))),
            None => Err(full(&self.now, &subnet, prefix)),
        }
    }

    /// Returns the lowest address of the subnet that nobody has.
    fn lowest(&self, subnet: &str, prefix: Ipv4Net, skip: &[Ipv4Addr]) -> Option<Ipv4Addr> {
        let (first, end) = usable(prefix);
        let mut candidate = first;
        let mut taken = self
            .now
            .index
            .leases(subnet, Ipv4Addr::from(first))
            .peekable();
        while candidate < end {
            while taken
                .peek()
                .is_some_and(|lease| u32::from(lease.first) < candidate)
            {
                taken.next();
            }
            let address = Ipv4Addr::from(candidate);
            let is_taken = taken.peek().is_some_and(|lease| lease.first == address);
            if !is_taken && !skip.contains(&address) {
                return Some(address);
            }
            candidate += 1;
        }
        None
    }

    fn public(
        &self,
        key: &str,
        properties: &mut Map<String, Value>,
        old: Option<&Map<String, Value>>,
    ) -> Result<(), ArmError> {
        if !is_ipv4(properties) {
            return Ok(());
        }
        if let Some(text) = properties.get("ipAddress").and_then(Value::as_str) {
            let address: Result<Ipv4Addr, _> = text.parse();
            return address.map(|_| ()).map_err(|_| bad_address(text, key));
        }
        let prefix = |of: &Map<String, Value>| {
            of.get("publicIPPrefix")?
                .get("id")?
                .as_str()
                .map(str::to_ascii_lowercase)
        };
        let from = prefix(properties);
        let kept = old
            .filter(|old| prefix(old) == from)
            .and_then(|old| old.get("ipAddress"));
        let address = match (kept, &from) {
            (Some(kept), _) => Some(kept.clone()),
            (None, Some(from)) => self
                .in_prefix(from)?
                .map(|address| Value::from(address.to_string())),
            (None, None) => self
                .in_pools(0)?
                .map(|block| Value::from(block.network().to_string())),
        };
        if let Some(address) = address {
            properties.insert("ipAddress".to_owned(), address);
        }
        Ok(())
    }

    fn block(
        &self,
        key: &str,
        properties: &mut Map<String, Value>,
        old: Option<&Map<String, Value>>,
    ) -> Result<(), ArmError> {
        if !is_ipv4(properties) {
            return Ok(());
        }
        let length = properties
            .get("prefixLength")
            .and_then(Value::as_u64)
            .unwrap_or(28);
        let length = u8::try_from(length)
            .ok()
            .filter(|length| (8..=32).contains(length));
        let length = length.ok_or_else(|| {
            // The code is from memory.
            let message =
                "The prefixLength of a public IP prefix is out of range; accepted: 8 to 32.";
            ArmError::bad_request("InvalidPublicIpPrefixLength", message).at(key)
        })?;
        let written = properties
            .get("ipPrefix")
            .or_else(|| old?.get("ipPrefix"))
            .cloned();
        if let Some(written) = written {
            let prefix: Option<Ipv4Net> = written.as_str().and_then(|text| text.parse().ok());
            return match prefix {
                Some(prefix) if prefix.prefix_len() == length => {
                    properties.insert("ipPrefix".to_owned(), written);
                    Ok(())
                }
                Some(prefix) => Err(ArmError::bad_request(
                    "PropertyChangeNotAllowed",
                    format!(
                        "The public IP prefix is {prefix}; its prefixLength cannot become {length}."
                    ),
                )),
                None => Err(ArmError::bad_request(
                    "InvalidAddressPrefixFormat",
                    format!(
                        "ipPrefix {written} is not a prefix; accepted: one such as 20.0.0.0/31."
                    ),
                )),
            };
        }
        if let Some(block) = self.in_pools(32 - length)? {
            properties.insert("ipPrefix".to_owned(), Value::from(block.to_string()));
        }
        Ok(())
    }

    /// Returns an address of the public IP prefix with the key; none if it is not there yet.
    fn in_prefix(&self, prefix: &str) -> Result<Option<Ipv4Addr>, ArmError> {
        let Some(net) = prefix_of(&self.now, prefix) else {
            return Ok(None);
        };
        let mut taken = self
            .now
            .index
            .leases(prefix, net.network())
            .map(|lease| lease.first)
            .peekable();
        for address in net.network().to_bits()..=net.broadcast().to_bits() {
            match taken.next_if_eq(&Ipv4Addr::from(address)) {
                Some(_) => {}
                None => return Ok(Some(Ipv4Addr::from(address))),
            }
        }
        let message = format!(
            "Public IP prefix {} has no free address ({net}).",
            spelled(&self.now, prefix)
        );
        // The code is from memory.
        Err(ArmError::bad_request(
            "PublicIpPrefixOutOfIpAddresses",
            message,
        ))
    }

    /// Returns a block of 2^`bits` public addresses that nobody has; none if the host has no pools.
    fn in_pools(&self, bits: u8) -> Result<Option<Ipv4Net>, ArmError> {
        let (pools, reserved) = (&self.settings().pools, &self.settings().reserved);
        if pools.is_empty() {
            return Ok(None);
        }
        let size = 1_u64 << bits;
        for pool in pools {
            let first = u64::from(pool.network().to_bits());
            let end = u64::from(pool.broadcast().to_bits()) + 1;
            // The first and the last address of a wide pool are no host's.
            let is_wide = pool.prefix_len() < 31;
            let edges = |at: u64| is_wide && size == 1 && (at == first || at + 1 == end);
            let mut at = first;
            while at + size <= end {
                match self.meets(at, at + size - 1, reserved) {
                    Some(behind) => at = behind.div_ceil(size) * size,
                    None if edges(at) => at += size,
                    None => {
                        let address = u32::try_from(at).map(Ipv4Addr::from);
                        let net = address.ok().and_then(|at| Ipv4Net::new(at, 32 - bits).ok());
                        return Ok(net);
                    }
                }
            }
        }
        let names: Vec<String> = pools.iter().map(ToString::to_string).collect();
        let message = format!(
            "Cannot allocate {size} public IP address(es): none is free in {}; accepted: fewer of \
             them, or a larger [publicIPPool].",
            names.join(", ")
        );
        Err(ArmError::bad_request("PublicIPCountLimitReached", message))
    }

    /// Returns the address behind what has or reserves one of these.
    fn meets(&self, first: u64, last: u64, reserved: &[Ipv4Net]) -> Option<u64> {
        let barred = reserved.iter().map(|net| (net.network(), net.broadcast()));
        // A lease that begins before may reach in; there are no nested ones, and those that begin before
        // are few: prefixes are aligned to their size, so that the lease of the widest begins there.
        let from = u32::try_from(first).unwrap_or(u32::MAX) & 0xff00_0000;
        let leases = self.now.index.leases("", Ipv4Addr::from(from));
        let leases = leases.map(|lease| (lease.first, lease.last));
        leases
            .take_while(|(begin, _)| u64::from(begin.to_bits()) <= last)
            .chain(barred)
            .filter(|(begin, end)| {
                u64::from(begin.to_bits()) <= last && u64::from(end.to_bits()) >= first
            })
            .map(|(_, end)| u64::from(end.to_bits()) + 1)
            .max()
    }
}

/// Returns the first usable address of a subnet and the one behind the last.
fn is_ipv4(properties: &Map<String, Value>) -> bool {
    let version = properties.get("publicIPAddressVersion");
    version.and_then(Value::as_str) == Some("IPv4")
}

fn usable(prefix: Ipv4Net) -> (u32, u32) {
    let first = prefix.network().to_bits().saturating_add(RESERVED);
    (first, prefix.broadcast().to_bits())
}

/// Returns the IPv4 prefix of a subnet or of a public IP prefix, by its key.
pub(super) fn prefix_of(estate: &Estate, key: &str) -> Option<Ipv4Net> {
    let properties = estate.find_key(key)?.properties()?;
    let many = properties.get("addressPrefixes").and_then(Value::as_array);
    let one = properties
        .get("addressPrefix")
        .or_else(|| properties.get("ipPrefix"));
    let mut texts = one.into_iter().chain(many.into_iter().flatten());
    texts.find_map(|text| text.as_str()?.parse().ok())
}

/// Checks that a NIC in the subnet may have the address.
pub(super) fn is_in(prefix: Ipv4Net, address: Ipv4Addr) -> Result<(), ArmError> {
    let (first, end) = usable(prefix);
    if !prefix.contains(&address) {
        let message = format!(
            "Private static IP address {address} does not belong to the range of subnet prefix \
             {prefix}."
        );
        return Err(ArmError::bad_request(
            "PrivateIPAddressNotInSubnet",
            message,
        ));
    }
    if !(first..end).contains(&address.to_bits()) {
        let message = format!(
            "Private static IP address {address} falls within reserved IP range of subnet prefix \
             {prefix}."
        );
        return Err(ArmError::bad_request(
            "PrivateIPAddressInReservedRange",
            message,
        ));
    }
    Ok(())
}

fn bad_address(text: &str, by: &str) -> ArmError {
    // The code is from memory.
    let message = format!("'{text}' is not a valid IPv4 address; accepted: one such as 10.0.0.4.");
    ArmError::bad_request("InvalidIPAddressFormat", message).at(by)
}

fn full(estate: &Estate, subnet: &str, prefix: Ipv4Net) -> ArmError {
    let id = spelled(estate, subnet);
    let name = id.rsplit('/').next().unwrap_or("");
    let message = format!(
        "Subnet {name} with address prefix {prefix} does not have enough capacity for 1 IP addresses."
    );
    ArmError::bad_request("SubnetIsFull", message).at(id)
}
