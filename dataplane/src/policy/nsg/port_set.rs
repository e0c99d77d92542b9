//! Sets of ports.

use core::ops::RangeInclusive;

/// A set of ports.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum PortSet {
    /// Every port, and packets that have none.
    #[default]
    Any,
    /// These ranges.
    Ranges(Vec<RangeInclusive<u16>>),
}

impl PortSet {
    pub(super) fn contains(&self, port: u16) -> bool {
        match self {
            Self::Any => true,
            Self::Ranges(ranges) => ranges.iter().any(|range| range.contains(&port)),
        }
    }

    /// Returns the set as disjoint ranges, `Any` as one that holds everything.
    pub(super) fn ranges(&self) -> Vec<(u32, u32)> {
        let Self::Ranges(ranges) = self else {
            return vec![(0, u32::MAX)];
        };
        let mut sorted: Vec<(u32, u32)> = ranges
            .iter()
            .filter(|range| !range.is_empty())
            .map(|range| ((*range.start()).into(), (*range.end()).into()))
            .collect();
        sorted.sort_unstable();
        let mut merged: Vec<(u32, u32)> = Vec::with_capacity(sorted.len());
        for (first, last) in sorted {
            match merged.last_mut() {
                Some(open) if first <= open.1.saturating_add(1) => open.1 = open.1.max(last),
                _ => merged.push((first, last)),
            }
        }
        merged
    }
}
