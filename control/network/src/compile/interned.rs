//! Names with numbers, which outlive a policy.
//!
//! A flow remembers the rule that let it in by its number, and tells it by name as long as it lives. So
//! a name keeps its number while policies have it, and for a good while after: until many others have
//! gone since. Then name and number are forgotten, or whoever makes rules and takes them away again would
//! fill the memory with their names. A number that is forgotten is not given again before all others were.

use super::CompileError;
use std::collections::{HashMap, VecDeque};
use std::hash::Hash;

/// How many names that no policy has any more keep their numbers.
const MOST_RESTING: usize = 16_384;

/// Names of one kind.
#[derive(Clone, Debug)]
pub(super) struct Interned<N> {
    numbers: HashMap<N, u32>,
    names: HashMap<u32, Known<N>>,
    next: u32,
    /// Counts policies.
    round: u64,
    /// The numbers that this policy has, so far, and that the last one had.
    in_use: Vec<u32>,
    before: Vec<u32>,
    /// The numbers that are out of use, and the last policy that had each.
    resting: VecDeque<(u32, u64)>,
}

#[derive(Clone, Debug)]
struct Known<N> {
    name: N,
    /// The last policy that had it.
    round: u64,
}

impl<N> Default for Interned<N> {
    fn default() -> Self {
        Self {
            numbers: HashMap::new(),
            names: HashMap::new(),
            next: 0,
            round: 0,
            in_use: Vec::new(),
            before: Vec::new(),
            resting: VecDeque::new(),
        }
    }
}

impl<N: Clone + Eq + Hash> Interned<N> {
    /// Begins a policy: names that are not asked for until its end are out of use.
    pub(super) fn begin(&mut self) {
        self.round = self.round.saturating_add(1);
        self.before = std::mem::take(&mut self.in_use);
    }

    /// Returns the number of a name that the policy has.
    pub(super) fn number(&mut self, what: &'static str, name: &N) -> Result<u32, CompileError> {
        let number = match self.numbers.get(name) {
            Some(&number) => number,
            None => self.give(what, name)?,
        };
        if let Some(known) = self.names.get_mut(&number)
            && known.round != self.round
        {
            known.round = self.round;
            self.in_use.push(number);
        }
        Ok(number)
    }

    /// Gives a new name its number.
    fn give(&mut self, what: &'static str, name: &N) -> Result<u32, CompileError> {
        let most = usize::try_from(u32::MAX).unwrap_or(usize::MAX);
        if self.names.len() >= most {
            let count = self.names.len();
            return Err(CompileError::TooMany { what, count, most });
        }
        while self.names.contains_key(&self.next) {
            self.next = self.next.wrapping_add(1);
        }
        let number = self.next;
        self.next = number.wrapping_add(1);
        let name = name.clone();
        self.numbers.insert(name.clone(), number);
        self.names.insert(number, Known { name, round: 0 });
        Ok(number)
    }

    /// Ends a policy: what it has no more rests, and what has rested longest is forgotten.
    pub(super) fn end(&mut self) {
        for number in std::mem::take(&mut self.before) {
            let known = self.names.get(&number);
            if let Some(known) = known.filter(|known| known.round != self.round) {
                self.resting.push_back((number, known.round));
            }
        }
        while self.resting.len() > MOST_RESTING
            && let Some((number, round)) = self.resting.pop_front()
        {
            // It may have come into use again since.
            if self.names.get(&number).is_some_and(|it| it.round == round)
                && let Some(known) = self.names.remove(&number)
            {
                self.numbers.remove(&known.name);
            }
        }
    }

    /// Returns the names by their numbers.
    pub(super) fn names(&self) -> HashMap<u32, N> {
        let names = self.names.iter();
        names
            .map(|(&number, known)| (number, known.name.clone()))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(names: &mut Interned<String>, of: impl IntoIterator<Item = usize>) -> Vec<u32> {
        names.begin();
        let numbers = of
            .into_iter()
            .map(|at| names.number("names", &at.to_string()).unwrap())
            .collect();
        names.end();
        numbers
    }

    #[test]
    fn a_name_keeps_its_number_over_policies_and_while_it_rests() {
        let mut names = Interned::default();
        assert_eq!(policy(&mut names, [7, 8, 7]), [0, 1, 0]);
        assert_eq!(policy(&mut names, [8, 9]), [1, 2]);
        assert_eq!(names.names()[&0], "7", "a flow may have it");
        assert_eq!(policy(&mut names, [7, 9]), [0, 2]);
    }

    #[test]
    fn names_that_come_and_go_do_not_pile_up() {
        let mut names = Interned::default();
        let kept = policy(&mut names, [0]);
        for round in 1..=40 {
            let others = (0..1000).map(|at| round * 1000 + at);
            let numbers = policy(&mut names, others.chain([0]));
            assert_eq!(numbers.last(), kept.first());
        }
        let all = names.names();
        assert!(all.len() <= MOST_RESTING + 1001, "{}", all.len());
        assert_eq!(names.numbers.len(), all.len());
        assert_eq!(all.get(&kept[0]).map(String::as_str), Some("0"));
        assert!(!all.contains_key(&1), "the oldest is forgotten");
    }

    #[test]
    fn numbers_begin_again_and_pass_over_those_in_use() {
        let mut names = Interned::default();
        policy(&mut names, [5]);
        names.next = u32::MAX;
        assert_eq!(policy(&mut names, [5, 6, 7]), [0, u32::MAX, 1]);
    }
}
