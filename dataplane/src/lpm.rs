//! Longest-prefix match over IPv4: a poptrie, built once and never changed.
//!
//! The first 16 bits of an address index a flat table; each following 6 bits go through a node of
//! 64 slots, kept as two bit maps and two bases (H. Asai and Y. Ohara, "Poptrie: a compressed trie
//! with population count for fast and scalable software IP routing table lookup", SIGCOMM 2015).
//! A lookup touches the table and at most three nodes. Addresses are widened to 34 bits, two zero
//! bits at the end, so that the strides 16 + 6 + 6 + 6 come out even.
//!
//! A few prefixes are a list that is looked through: the flat table takes 256 KiB whatever is in it,
//! and a policy has two tables of a few routes for every virtual network.

use ipnet::Ipv4Net;
use std::net::Ipv4Addr;

const WIDTH: u32 = 34;
const ROOT_BITS: u32 = 16;
const STRIDE: u32 = 6;
const LEAF: u32 = 1 << 31;
const NO_VALUE: u32 = 0;
/// The most prefixes that are a list: these are looked through in about the time of a cache miss.
const FEW: usize = 16;

/// A slot's content: a node's index, or with the top bit set a leaf. A leaf holds the value plus
/// one, or [`NO_VALUE`].
type Slot = u32;

#[derive(Clone, Copy, Debug, Default)]
struct Node {
    /// Bit i: slot i leads to a node.
    inner: u64,
    /// Bit i: slot i is a leaf whose value differs from that of the leaf before it.
    leaves: u64,
    first_node: u32,
    first_leaf: u32,
}

/// A prefix of a short list.
#[derive(Clone, Copy, Debug)]
struct Listed {
    network: u32,
    mask: u32,
    value: u32,
}

/// Longest-prefix match from IPv4 prefixes to values below 2^31 - 1.
#[derive(Clone, Debug, Default)]
pub struct Lpm {
    /// All prefixes where there are few, the longest first; then the rest is empty.
    few: Vec<Listed>,
    root: Vec<Slot>,
    nodes: Vec<Node>,
    leaves: Vec<u32>,
}

#[derive(Clone, Copy)]
struct Entry {
    key: u64,
    len: u32,
    leaf: Slot,
}

/// The prefixes that go on below one slot.
struct Below {
    slot: usize,
    depth: u32,
    inherited: Slot,
    entries: Vec<Entry>,
}

impl Lpm {
    /// Builds the table from prefixes in any order. Of two equal prefixes the later one stands.
    ///
    /// Values of 2^31 - 1 and more cannot be told from inner nodes; prefixes with such a value
    /// are left out.
    #[must_use]
    pub fn new(prefixes: impl IntoIterator<Item = (Ipv4Net, u32)>) -> Self {
        let prefixes: Vec<(Ipv4Net, u32)> = prefixes
            .into_iter()
            .filter(|&(_, value)| value < LEAF - 1)
            .collect();
        if prefixes.len() <= FEW {
            return Self::listed(&prefixes);
        }
        let mut entries: Vec<Entry> = prefixes
            .into_iter()
            .map(|(prefix, value)| Entry {
                key: widen(prefix.network()),
                len: u32::from(prefix.prefix_len()),
                leaf: LEAF | (value + 1),
            })
            .collect();
        let mut lpm = Self::default();
        // Stable, so that of equal prefixes the later one is laid last.
        entries.sort_by_key(|entry| entry.len);
        let (mut root, below) = lay(&entries, 0, ROOT_BITS, LEAF | NO_VALUE);
        for level in below {
            let node = lpm.reserve(1);
            if let Some(slot) = root.get_mut(level.slot) {
                *slot = node;
            }
            lpm.fill(node, &level);
        }
        lpm.root = root;
        lpm
    }

    fn listed(prefixes: &[(Ipv4Net, u32)]) -> Self {
        // The last one first, so that of equal prefixes it is found.
        let mut few: Vec<Listed> = prefixes
            .iter()
            .rev()
            .map(|&(prefix, value)| Listed {
                network: prefix.network().into(),
                mask: prefix.netmask().into(),
                value,
            })
            .collect();
        few.sort_by_key(|listed| std::cmp::Reverse(listed.mask));
        Self {
            few,
            ..Self::default()
        }
    }

    /// Returns the value of the longest prefix that covers `address`.
    #[must_use]
    #[inline]
    pub fn lookup(&self, address: Ipv4Addr) -> Option<u32> {
        if self.root.is_empty() {
            let bits = u32::from(address);
            let mut few = self.few.iter();
            let found = few.find(|listed| bits & listed.mask == listed.network);
            return found.map(|listed| listed.value);
        }
        let key = widen(address);
        let mut slot = *self.root.get(index(key, 0, ROOT_BITS))?;
        let mut depth = ROOT_BITS;
        while slot & LEAF == 0 {
            let node = self.nodes.get(slot as usize)?;
            let at = index(key, depth, STRIDE);
            let upto = u64::MAX >> (63 - at);
            slot = if node.inner >> at & 1 == 1 {
                node.first_node + (node.inner & upto).count_ones() - 1
            } else {
                let leaf = node.first_leaf + (node.leaves & upto).count_ones() - 1;
                *self.leaves.get(leaf as usize)?
            };
            depth += STRIDE;
        }
        (slot & !LEAF).checked_sub(1)
    }

    /// Returns the bytes that the table takes.
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        self.root.len() * size_of::<Slot>()
            + self.nodes.len() * size_of::<Node>()
            + self.leaves.len() * size_of::<u32>()
            + self.few.len() * size_of::<Listed>()
    }

    /// Makes room for `count` nodes side by side and returns the first one's index.
    fn reserve(&mut self, count: usize) -> u32 {
        let first = self.nodes.len();
        self.nodes.resize_with(first + count, Node::default);
        u32::try_from(first).unwrap_or(LEAF - 1)
    }

    fn fill(&mut self, node: u32, level: &Below) {
        let (slots, below) = lay(&level.entries, level.depth, STRIDE, level.inherited);
        let mut made = Node {
            first_node: self.reserve(below.len()),
            first_leaf: u32::try_from(self.leaves.len()).unwrap_or(u32::MAX),
            ..Node::default()
        };
        for level in &below {
            made.inner |= 1 << level.slot;
        }
        let mut last = None;
        for (at, &slot) in slots.iter().enumerate() {
            if made.inner >> at & 1 == 0 && last != Some(slot) {
                made.leaves |= 1 << at;
                self.leaves.push(slot);
                last = Some(slot);
            }
        }
        if let Some(place) = self.nodes.get_mut(node as usize) {
            *place = made;
        }
        for (level, child) in below.iter().zip(made.first_node..) {
            self.fill(child, level);
        }
    }
}

/// Lays `entries`, sorted by length, over the `2^bits` slots that follow the first `depth` bits,
/// and returns the slots together with what goes on below them, in ascending order of slots.
fn lay(entries: &[Entry], depth: u32, bits: u32, inherited: Slot) -> (Vec<Slot>, Vec<Below>) {
    let mut slots = vec![inherited; 1 << bits];
    let (short, long) =
        entries.split_at(entries.partition_point(|entry| entry.len <= depth + bits));
    for entry in short {
        let count = 1usize << (depth + bits - entry.len);
        for slot in slots
            .iter_mut()
            .skip(index(entry.key, depth, bits))
            .take(count)
        {
            *slot = entry.leaf;
        }
    }
    let mut long: Vec<(usize, Entry)> = long
        .iter()
        .map(|entry| (index(entry.key, depth, bits), *entry))
        .collect();
    long.sort_by_key(|&(slot, _)| slot);
    let below = long
        .chunk_by(|(a, _), (b, _)| a == b)
        .filter_map(|group| {
            let &(slot, _) = group.first()?;
            Some(Below {
                slot,
                depth: depth + bits,
                inherited: *slots.get(slot)?,
                entries: group.iter().map(|&(_, entry)| entry).collect(),
            })
        })
        .collect();
    (slots, below)
}

fn widen(address: Ipv4Addr) -> u64 {
    u64::from(u32::from(address)) << (WIDTH - 32)
}

/// Returns the `bits` bits of `key` that follow the first `depth`.
#[inline]
fn index(key: u64, depth: u32, bits: u32) -> usize {
    usize::try_from(key >> (WIDTH - depth - bits) & ((1 << bits) - 1)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn net(text: &str) -> Ipv4Net {
        text.parse().unwrap()
    }

    /// The oracle: look at every prefix.
    fn scan(prefixes: &[(Ipv4Net, u32)], address: Ipv4Addr) -> Option<u32> {
        let mut best: Option<(u8, u32)> = None;
        for &(prefix, value) in prefixes {
            if prefix.contains(&address) && best.is_none_or(|(len, _)| prefix.prefix_len() >= len) {
                best = Some((prefix.prefix_len(), value));
            }
        }
        best.map(|(_, value)| value)
    }

    #[test]
    fn empty_table_matches_nothing() {
        assert_eq!(Lpm::default().lookup(Ipv4Addr::new(1, 2, 3, 4)), None);
        assert_eq!(Lpm::new([]).lookup(Ipv4Addr::new(1, 2, 3, 4)), None);
    }

    #[test]
    fn longest_prefix_wins_at_every_boundary_of_the_strides() {
        let prefixes: Vec<_> = (0..=32u8)
            .map(|len| {
                (
                    Ipv4Net::new_assert(Ipv4Addr::new(10, 85, 170, 85), len).trunc(),
                    u32::from(len),
                )
            })
            .collect();
        let lpm = Lpm::new(prefixes.clone());
        for bit in 0..32 {
            let address = Ipv4Addr::from(u32::from(Ipv4Addr::new(10, 85, 170, 85)) ^ (1 << bit));
            assert_eq!(lpm.lookup(address), scan(&prefixes, address), "{address}");
        }
        assert_eq!(lpm.lookup(Ipv4Addr::new(10, 85, 170, 85)), Some(32));
    }

    #[test]
    fn later_of_two_equal_prefixes_stands() {
        let lpm = Lpm::new([(net("10.0.0.0/8"), 1), (net("10.0.0.0/8"), 2)]);
        assert_eq!(lpm.lookup(Ipv4Addr::new(10, 1, 1, 1)), Some(2));
        // In a table that is no list too.
        let others = (0..20u8).map(|at| (Ipv4Net::new_assert([11, at, 0, 0].into(), 16), 3));
        let both = [(net("10.0.0.0/8"), 1), (net("10.0.0.0/8"), 2)];
        let lpm = Lpm::new(both.into_iter().chain(others));
        assert_eq!(lpm.lookup(Ipv4Addr::new(10, 1, 1, 1)), Some(2));
        assert_eq!(lpm.lookup(Ipv4Addr::new(11, 19, 0, 1)), Some(3));
    }

    #[test]
    fn a_few_prefixes_take_little_room() {
        let few = (0..6u8).map(|at| (Ipv4Net::new_assert([10, at, 0, 0].into(), 16), 1));
        assert!(Lpm::new(few).size_bytes() < 256);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(300))]

        #[test]
        fn agrees_with_a_linear_scan(
            raw in prop::collection::vec((any::<u32>(), 0u8..=32, 0u32..1000), 0..120),
            probes in prop::collection::vec(any::<u32>(), 40),
            // Few distinct high bits make prefixes nest and overlap.
            narrow in any::<bool>(),
        ) {
            let mask = if narrow { 0x0003_ffff } else { u32::MAX };
            let prefixes: Vec<(Ipv4Net, u32)> = raw
                .iter()
                .map(|&(bits, len, value)| {
                    (Ipv4Net::new_assert(Ipv4Addr::from(bits & mask), len).trunc(), value)
                })
                .collect();
            let lpm = Lpm::new(prefixes.iter().copied());
            let edges = prefixes.iter().flat_map(|(prefix, _)| {
                let (first, last) = (u32::from(prefix.network()), u32::from(prefix.broadcast()));
                [first.wrapping_sub(1), first, last, last.wrapping_add(1)]
            });
            for probe in probes.iter().map(|probe| probe & mask).chain(edges) {
                let address = Ipv4Addr::from(probe);
                prop_assert_eq!(lpm.lookup(address), scan(&prefixes, address), "{}", address);
            }
        }
    }
}
