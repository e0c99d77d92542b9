//! Prefixes as two numbers, and what can be asked of them one by one.

use std::fmt;
use std::net::Ipv4Addr;

/// Addresses that begin with the same bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Prefix {
    /// The first address.
    pub first: u32,
    /// How many bits are the same.
    pub length: u8,
}

impl Prefix {
    /// Every address.
    pub const ALL: Self = Self {
        first: 0,
        length: 0,
    };

    /// Returns the prefix of this length that has the address.
    pub fn around(address: u32, length: u8) -> Self {
        let mask = u32::MAX.checked_shl(32 - u32::from(length)).unwrap_or(0);
        Self {
            first: address & mask,
            length,
        }
    }

    /// Returns the prefix that a text means.
    pub fn parse(text: &str) -> Self {
        let (address, length) = text.split_once('/').unwrap();
        let address: Ipv4Addr = address.parse().unwrap();
        Self::around(address.into(), length.parse().unwrap())
    }

    /// Returns the last address.
    pub fn last(self) -> u32 {
        self.first | u32::MAX.checked_shr(u32::from(self.length)).unwrap_or(0)
    }

    /// Returns whether the address is one of them.
    pub fn has(self, address: u32) -> bool {
        (self.first..=self.last()).contains(&address)
    }

    /// Returns whether every address of the other one is one of these.
    pub fn holds(self, other: Self) -> bool {
        self.has(other.first) && self.has(other.last())
    }

    /// Returns whether an address is in both.
    pub fn meets(self, other: Self) -> bool {
        self.holds(other) || other.holds(self)
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", Ipv4Addr::from(self.first), self.length)
    }
}
