//! The index of a direction with many rules: which rules match a value of one field, as bits.
//!
//! The values of a field fall into intervals in which the same rules match. Each interval has a
//! row of bits, one a rule in order of priority, and intervals that agree share a row. A tuple
//! selects one row of each field; the first bit that is set in all of them is the rule that
//! decides (T. V. Lakshman and D. Stiliadis, "High-speed policy-based packet forwarding using
//! efficient multi-dimensional range matching", SIGCOMM 1998).
//!
//! Memory is bounded: a field with more than [`MOST_INTERVALS`] intervals has neighbours put
//! together, whose row then names every rule that matches in any of them. The rules that such rows
//! select are only candidates, and each is held against the tuple before it decides.

use super::{Protocol, Rule, Tuple};
use std::collections::HashMap;

/// The most intervals of one field. A group within Azure's limits has at most 8,001 of its own
/// prefixes or port ranges; service tags come on top.
const MOST_INTERVALS: usize = 16_384;

const WORD_BITS: usize = u64::BITS as usize;

/// An inclusive range of values of one field.
type Range = (u32, u32);

/// The index of one direction.
#[derive(Clone, Debug)]
pub(super) struct Index {
    protocols: Field,
    sources: Field,
    destinations: Field,
    source_ports: Field,
    destination_ports: Field,
}

impl Index {
    /// Builds the index of rules that are in order of priority.
    pub(super) fn new(rules: &[Rule]) -> Self {
        let build = |ranges: &dyn Fn(&Rule) -> Vec<Range>| {
            Field::new(rules.iter().map(ranges), rules.len(), MOST_INTERVALS)
        };
        Self {
            protocols: build(&|rule| match rule.protocol {
                Protocol::Any => vec![(0, u32::MAX)],
                Protocol::Number(number) => vec![(number.into(), number.into())],
            }),
            sources: build(&|rule| rule.source.ranges().to_vec()),
            destinations: build(&|rule| rule.destination.ranges().to_vec()),
            source_ports: build(&|rule| rule.source_ports.ranges()),
            destination_ports: build(&|rule| rule.destination_ports.ranges()),
        }
    }

    /// Returns the first of `rules`, those that the index was built from, that matches.
    pub(super) fn first_match<'r>(&self, rules: &'r [Rule], tuple: &Tuple) -> Option<&'r Rule> {
        let protocol = self.protocols.row(tuple.protocol.into());
        let source = self.sources.row(tuple.source.into());
        let destination = self.destinations.row(tuple.destination.into());
        let words = protocol.iter().zip(source).zip(destination);
        let addresses =
            words.map(|((protocol, source), destination)| protocol & source & destination);
        if !tuple.has_ports() {
            return self.first_of(addresses, rules, tuple);
        }
        let from = self.source_ports.row(tuple.source_port.into());
        let to = self.destination_ports.row(tuple.destination_port.into());
        let ports = from.iter().zip(to).map(|(from, to)| from & to);
        let all = addresses
            .zip(ports)
            .map(|(addresses, ports)| addresses & ports);
        self.first_of(all, rules, tuple)
    }

    /// Returns the rule of the first bit, or where rows are coarse of the first that matches.
    #[inline]
    fn first_of<'r>(
        &self,
        words: impl Iterator<Item = u64>,
        rules: &'r [Rule],
        tuple: &Tuple,
    ) -> Option<&'r Rule> {
        let is_exact = self.is_exact();
        for (at, mut word) in words.enumerate() {
            while word != 0 {
                let rule = rules.get(at * WORD_BITS + word.trailing_zeros() as usize)?;
                if is_exact || rule.matches(tuple) {
                    return Some(rule);
                }
                word &= word - 1;
            }
        }
        None
    }

    fn fields(&self) -> [&Field; 5] {
        [
            &self.protocols,
            &self.sources,
            &self.destinations,
            &self.source_ports,
            &self.destination_ports,
        ]
    }

    fn is_exact(&self) -> bool {
        self.fields().into_iter().all(|field| field.is_exact)
    }

    pub(super) fn size_bytes(&self) -> usize {
        self.fields().into_iter().map(Field::size_bytes).sum()
    }

    /// Returns the most memory that the index of so many rules takes.
    pub(super) const fn max_bytes(rules: usize) -> usize {
        5 * MOST_INTERVALS * (rules.div_ceil(WORD_BITS) * size_of::<u64>() + 2 * size_of::<u32>())
    }
}

/// The intervals of one field and their rows.
#[derive(Clone, Debug)]
struct Field {
    /// Where each interval begins, in ascending order; the first begins at 0.
    starts: Vec<u32>,
    /// Where the row of each interval begins in `bits`.
    rows: Vec<u32>,
    bits: Vec<u64>,
    words: usize,
    is_exact: bool,
}

impl Field {
    /// Builds the field from the ranges of each rule; those of one rule are disjoint.
    fn new(rules: impl Iterator<Item = Vec<Range>>, count: usize, most: usize) -> Self {
        // (value, rule): from this value on the rule matches, or no longer does.
        let mut turns: Vec<(u32, usize)> = Vec::new();
        for (rule, ranges) in rules.enumerate() {
            for (first, last) in ranges {
                turns.push((first, rule));
                turns.extend(last.checked_add(1).map(|after| (after, rule)));
            }
        }
        turns.sort_unstable();
        let mut values = turns.iter().map(|&(value, _)| value);
        let mut intervals = 1;
        let mut before = 0;
        for value in &mut values {
            intervals += usize::from(value != before);
            before = value;
        }
        let together = intervals.div_ceil(most);
        let mut field = Self {
            starts: Vec::new(),
            rows: Vec::new(),
            bits: Vec::new(),
            words: count.div_ceil(WORD_BITS),
            is_exact: together == 1,
        };
        field.sweep(&turns, together);
        field
    }

    /// Goes through the turns and enters a row for each interval, `together` of them at a time.
    fn sweep(&mut self, turns: &[(u32, usize)], together: usize) {
        let mut known = HashMap::new();
        let mut matching = vec![0u64; self.words];
        let mut row = matching.clone();
        let (mut start, mut left) = (0, together);
        let mut groups = turns
            .chunk_by(|(one, _), (other, _)| one == other)
            .peekable();
        // What begins at 0 belongs to the first interval.
        if let Some(group) = groups.next_if(|group| group.iter().all(|&(at, _)| at == 0)) {
            turn(&mut matching, group);
        }
        loop {
            for (row, matching) in row.iter_mut().zip(&matching) {
                *row |= matching;
            }
            left -= 1;
            let next = groups.next();
            if left == 0 || next.is_none() {
                self.enter(start, &row, &mut known);
                row.fill(0);
                left = together;
                start = next
                    .and_then(|group| group.first())
                    .map_or(start, |turn| turn.0);
            }
            match next {
                Some(group) => turn(&mut matching, group),
                None => return,
            }
        }
    }

    fn enter(&mut self, start: u32, row: &[u64], known: &mut HashMap<Vec<u64>, u32>) {
        // Bounded by `MOST_INTERVALS` rows, so that an offset fits.
        let end = u32::try_from(self.bits.len()).unwrap_or(u32::MAX);
        let offset = match known.get(row) {
            Some(&offset) => offset,
            None => {
                self.bits.extend(row);
                known.insert(row.to_vec(), end);
                end
            }
        };
        self.starts.push(start);
        self.rows.push(offset);
    }

    /// Returns the rules that match `value`, as bits.
    #[inline]
    fn row(&self, value: u32) -> &[u64] {
        let after = self.starts.partition_point(|&start| start <= value);
        let offset = after.checked_sub(1).and_then(|at| self.rows.get(at));
        let offset = offset.map_or(usize::MAX, |&offset| offset as usize);
        let end = offset.saturating_add(self.words);
        self.bits.get(offset..end).unwrap_or_default()
    }

    fn size_bytes(&self) -> usize {
        size_of_val(&*self.starts) + size_of_val(&*self.rows) + size_of_val(&*self.bits)
    }
}

/// Flips the bits of the rules that begin or cease to match. A rule that does both, because one of
/// its ranges begins where another ends, is flipped twice.
fn turn(matching: &mut [u64], group: &[(u32, usize)]) {
    for &(_, rule) in group {
        if let Some(word) = matching.get_mut(rule / WORD_BITS) {
            *word ^= 1 << (rule % WORD_BITS);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The rules that match `value`, read from the ranges.
    fn plain(rules: &[Vec<Range>], value: u32) -> Vec<usize> {
        let holds = |ranges: &Vec<Range>| ranges.iter().any(|r| r.0 <= value && value <= r.1);
        (0..rules.len()).filter(|&at| holds(&rules[at])).collect()
    }

    fn bits(row: &[u64]) -> Vec<usize> {
        let is_set = |at: &usize| row[at / WORD_BITS] >> (at % WORD_BITS) & 1 == 1;
        (0..row.len() * WORD_BITS).filter(is_set).collect()
    }

    fn many() -> Vec<Vec<Range>> {
        let ranges = |n: u32| match n % 4 {
            0 => vec![(0, u32::MAX)],
            1 => vec![(n * 10, n * 10 + 9), (n * 10 + 10, n * 10 + 30)],
            2 => vec![(0, n), (u32::MAX - n, u32::MAX)],
            _ => vec![],
        };
        (0..150).map(ranges).collect()
    }

    fn edges(rules: &[Vec<Range>]) -> impl Iterator<Item = u32> {
        let ends = rules
            .iter()
            .flatten()
            .flat_map(|&(first, last)| [first.wrapping_sub(1), first, last, last.wrapping_add(1)]);
        ends.chain([0, 1, u32::MAX])
    }

    #[test]
    fn a_row_names_the_rules_that_match() {
        let rules = many();
        let field = Field::new(rules.iter().cloned(), rules.len(), MOST_INTERVALS);
        assert!(field.is_exact);
        for value in edges(&rules) {
            assert_eq!(bits(field.row(value)), plain(&rules, value), "{value}");
        }
    }

    #[test]
    fn a_coarse_row_names_them_and_maybe_more_within_the_bound() {
        let rules = many();
        for most in [1, 2, 7, 20] {
            let field = Field::new(rules.iter().cloned(), rules.len(), most);
            assert!(!field.is_exact && field.starts.len() <= most, "{most}");
            for value in edges(&rules) {
                let row = bits(field.row(value));
                for rule in plain(&rules, value) {
                    assert!(row.contains(&rule), "{most}: {value} {rule}");
                }
            }
        }
    }

    #[test]
    fn a_field_that_no_rule_limits_is_one_interval() {
        let field = Field::new((0..100).map(|_| vec![(0, u32::MAX)]), 100, 8);
        assert_eq!((field.starts.len(), field.bits.len()), (1, 2));
    }
}
