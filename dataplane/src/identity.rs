//! VNet identity as bits of an IPv6 address (wire-identity reference, section 1).
//!
//! ```text
//! | fd40 : 16 | vnet key : 32 | subnet key : 16 | region : 16 | neutral : 16 | customer address : 32 |
//! | fd41 : 16 | service : 16 | region : 16 | neutral : 16 | 0 : 32           | public address : 32   |
//! ```
//!
//! The *neutral* word makes the six words of a prefix sum to 0xffff, which is zero in ones'
//! complement (as in RFC 6296): no Internet checksum sees the prefix, and that of a TCP segment is
//! the same over IPv4 and over IPv6. There is one right word for a prefix; a receiver computes it
//! again and compares. It finds damage, it proves no origin.
//!
//! An identity is of the subnet in which a packet entered, never of anything that the packet says.

use crate::wire::checksum::Sum;
use std::net::{Ipv4Addr, Ipv6Addr};

/// The first word of an address that bears the identity of a subnet.
const SUBNET_WORD: u16 = 0xfd40;
/// The first word of an address that stands for a service.
const SERVICE_WORD: u16 = 0xfd41;

/// The number of a virtual network: given once, never given again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct VnetKey(u32);

impl VnetKey {
    /// The smallest key.
    pub const MIN: Self = Self(1);
    /// The largest key: it fits the 24 bits of a VXLAN or Geneve network identifier.
    pub const MAX: Self = Self(0x00ff_fffe);

    /// Returns the key with this number, if it is one.
    #[must_use]
    pub const fn new(key: u32) -> Option<Self> {
        if key >= Self::MIN.0 && key <= Self::MAX.0 {
            Some(Self(key))
        } else {
            None
        }
    }

    /// Returns the number.
    #[must_use]
    pub const fn get(self) -> u32 {
        self.0
    }
}

/// The number of a subnet within its virtual network: given once, never given again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SubnetKey(u16);

impl SubnetKey {
    /// The smallest key.
    pub const MIN: Self = Self(1);
    /// The largest key.
    pub const MAX: Self = Self(u16::MAX);

    /// Returns the key with this number, if it is one.
    #[must_use]
    pub const fn new(key: u16) -> Option<Self> {
        if key == 0 { None } else { Some(Self(key)) }
    }

    /// Returns the number.
    #[must_use]
    pub const fn get(self) -> u16 {
        self.0
    }
}

/// The number of a service on the wire; `control` knows which service it is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ServiceCode(u16);

impl ServiceCode {
    /// Returns the code with this number, if it is one: 0 stands for no service.
    #[must_use]
    pub const fn new(code: u16) -> Option<Self> {
        if code == 0 { None } else { Some(Self(code)) }
    }

    /// Returns the number.
    #[must_use]
    pub const fn get(self) -> u16 {
        self.0
    }
}

/// Who sends: a subnet of a virtual network in a region.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Identity {
    /// The virtual network.
    pub vnet: VnetKey,
    /// The subnet.
    pub subnet: SubnetKey,
    /// The region's number in the service-tag file; 0 if it has none.
    pub region: u16,
}

impl Identity {
    /// Returns the address that stands for `ca`, the customer's own address, in this subnet.
    #[must_use]
    pub fn address(self, ca: Ipv4Addr) -> Ipv6Addr {
        let [v0, v1] = halves(self.vnet.0);
        let neutral = neutral([SUBNET_WORD, v0, v1, self.subnet.0, self.region]);
        let [c0, c1] = halves(u32::from(ca));
        Ipv6Addr::new(
            SUBNET_WORD,
            v0,
            v1,
            self.subnet.0,
            self.region,
            neutral,
            c0,
            c1,
        )
    }

    /// Returns the identity in `address`, and the customer's own address.
    ///
    /// # Errors
    ///
    /// [`BadIdentity`] if it is not, bit for bit, what [`Self::address`] makes.
    pub fn parse(address: Ipv6Addr) -> Result<(Self, Ipv4Addr), BadIdentity> {
        let [first, v0, v1, subnet, region, found, c0, c1] = address.segments();
        if first != SUBNET_WORD {
            return Err(BadIdentity::Prefix {
                found: first,
                wanted: SUBNET_WORD,
            });
        }
        check_neutral(found, [first, v0, v1, subnet, region])?;
        let vnet = join(v0, v1);
        let identity = Self {
            vnet: VnetKey::new(vnet).ok_or(BadIdentity::VnetKey(vnet))?,
            subnet: SubnetKey::new(subnet).ok_or(BadIdentity::SubnetKey)?,
            region,
        };
        Ok((identity, Ipv4Addr::from(join(c0, c1))))
    }
}

/// Who is called: a service in a region.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ServicePrefix {
    /// The service.
    pub service: ServiceCode,
    /// The region's number in the service-tag file; 0 if it has none.
    pub region: u16,
}

impl ServicePrefix {
    /// Returns the address that stands for `vip`, the public address of the service.
    #[must_use]
    pub fn address(self, vip: Ipv4Addr) -> Ipv6Addr {
        let neutral = neutral([SERVICE_WORD, self.service.0, self.region, 0, 0]);
        let [v0, v1] = halves(u32::from(vip));
        Ipv6Addr::new(
            SERVICE_WORD,
            self.service.0,
            self.region,
            neutral,
            0,
            0,
            v0,
            v1,
        )
    }

    /// Returns the service in `address`, and its public address.
    ///
    /// # Errors
    ///
    /// [`BadIdentity`] if it is not, bit for bit, what [`Self::address`] makes.
    pub fn parse(address: Ipv6Addr) -> Result<(Self, Ipv4Addr), BadIdentity> {
        let [first, service, region, found, z0, z1, v0, v1] = address.segments();
        if first != SERVICE_WORD {
            return Err(BadIdentity::Prefix {
                found: first,
                wanted: SERVICE_WORD,
            });
        }
        if (z0, z1) != (0, 0) {
            return Err(BadIdentity::NotZero);
        }
        check_neutral(found, [first, service, region, 0, 0])?;
        let prefix = Self {
            service: ServiceCode::new(service).ok_or(BadIdentity::ServiceCode)?,
            region,
        };
        Ok((prefix, Ipv4Addr::from(join(v0, v1))))
    }
}

/// Returns whether an address lies in fd40::/15, where those of subnets and services are. From a
/// guest, or on a way to the Internet, there are none.
#[must_use]
pub const fn is_reserved(address: Ipv6Addr) -> bool {
    matches!(address.segments()[0], SUBNET_WORD | SERVICE_WORD)
}

/// Why an address bears no identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadIdentity {
    /// The first word is another.
    #[error("the address begins with {found:#06x}, not {wanted:#06x}")]
    Prefix {
        /// The word that is there.
        found: u16,
        /// The word that such an address begins with.
        wanted: u16,
    },
    /// The neutral word is not the right one for the others.
    #[error("the neutral word is {found:#06x}, not {wanted:#06x}")]
    Neutral {
        /// The word that is there.
        found: u16,
        /// The word that belongs there.
        wanted: u16,
    },
    /// The key of the virtual network is out of range.
    #[error("the virtual network's key is {0:#x}; accepted: 0x1 to 0xfffffe")]
    VnetKey(u32),
    /// The key of the subnet is 0.
    #[error("the subnet's key is 0; accepted: 0x1 to 0xffff")]
    SubnetKey,
    /// The code of the service is 0.
    #[error("the service's code is 0; accepted: 0x1 to 0xffff")]
    ServiceCode,
    /// A field that has to be 0 is not.
    #[error("a field that must be 0 is not")]
    NotZero,
}

/// Returns the word that makes a prefix sum to 0xffff. The first word of a prefix is never 0, so
/// that the fold is not 0 and the complement never 0xffff: of the two zeros of ones' complement it
/// is 0x0000.
fn neutral(words: [u16; 5]) -> u16 {
    words.into_iter().fold(Sum::default(), Sum::word).checksum()
}

fn check_neutral(found: u16, words: [u16; 5]) -> Result<(), BadIdentity> {
    let wanted = neutral(words);
    if found == wanted {
        Ok(())
    } else {
        Err(BadIdentity::Neutral { found, wanted })
    }
}

/// Splits a number into its words.
fn halves(number: u32) -> [u16; 2] {
    let [a, b, c, d] = number.to_be_bytes();
    [u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d])]
}

/// Joins two words.
fn join(high: u16, low: u16) -> u32 {
    u32::from(high) << 16 | u32::from(low)
}

#[cfg(test)]
mod tests;
