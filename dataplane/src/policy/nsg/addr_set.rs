//! Sets of addresses.

use ipnet::Ipv4Net;
use std::net::Ipv4Addr;

/// A set of IPv4 addresses: disjoint ranges in ascending order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AddrSet {
    ranges: Vec<(u32, u32)>,
}

impl AddrSet {
    /// Returns the set of all addresses.
    #[must_use]
    pub fn any() -> Self {
        Self {
            ranges: vec![(0, u32::MAX)],
        }
    }

    /// Returns the union of `prefixes`.
    #[must_use]
    pub fn from_prefixes(prefixes: impl IntoIterator<Item = Ipv4Net>) -> Self {
        let ranges = prefixes
            .into_iter()
            .map(|prefix| (u32::from(prefix.network()), u32::from(prefix.broadcast())));
        Self::from_ranges(ranges.collect())
    }

    fn from_ranges(mut ranges: Vec<(u32, u32)>) -> Self {
        ranges.sort_unstable();
        let mut merged: Vec<(u32, u32)> = Vec::with_capacity(ranges.len());
        for (first, last) in ranges {
            match merged.last_mut() {
                Some(open) if first <= open.1.saturating_add(1) => open.1 = open.1.max(last),
                _ => merged.push((first, last)),
            }
        }
        Self { ranges: merged }
    }

    /// Returns the addresses that are not in this set.
    #[must_use]
    pub fn complement(&self) -> Self {
        let mut ranges = Vec::with_capacity(self.ranges.len() + 1);
        let mut next = Some(0u32);
        for &(first, last) in &self.ranges {
            if let Some(from) = next
                && from < first
            {
                ranges.push((from, first - 1));
            }
            next = last.checked_add(1);
        }
        ranges.extend(next.map(|from| (from, u32::MAX)));
        Self { ranges }
    }

    /// Returns the addresses of either set.
    #[must_use]
    pub fn union(&self, other: &Self) -> Self {
        Self::from_ranges(self.ranges.iter().chain(&other.ranges).copied().collect())
    }

    /// Returns whether the set holds `address`.
    #[must_use]
    pub fn contains(&self, address: Ipv4Addr) -> bool {
        let address = u32::from(address);
        let after = self.ranges.partition_point(|&(first, _)| first <= address);
        after
            .checked_sub(1)
            .and_then(|at| self.ranges.get(at))
            .is_some_and(|&(_, last)| address <= last)
    }

    /// Returns the ranges, first and last address of each.
    #[must_use]
    pub fn ranges(&self) -> &[(u32, u32)] {
        &self.ranges
    }
}
