//! Which record a key leads to: an open-addressed table of hashes, in the order of the hashes.
//!
//! A slot holds 32 bits of a key's hash, its *tag*, and a number that leads to the key itself. The
//! tag also says where the search begins, and it grows with that place: along a run of slots in use
//! tags only grow, so that a search ends as soon as it meets a greater one, found or not. Keys are
//! compared only where tags are equal; among a million pairs that is another key's once in two
//! thousand searches.
//!
//! What is inserted pushes the rest of its run up by a slot, what is removed lets it fall back. So
//! there are no marks of removed entries, nothing is ever hashed anew, and no operation looks at
//! more than one run. The slots are all there from the start; the last few have no search that
//! begins there, so that a run need not go round.

/// A tag and a number, the latter one greater than what it stands for; zero is a free slot.
type Slot = [u32; 2];

/// Of four slots three are used at most: a longer search costs more than what is saved.
const FREE_PART: usize = 3;
/// Slots at the end. A run that grows past them is less likely than a broken machine; what does not
/// find a place then is refused.
const SPARE: usize = 1024;

/// Returns the half of a hash that is a tag.
#[inline]
pub(crate) fn tag_of(hash: u64) -> u32 {
    u32::try_from(hash >> 32).unwrap_or(0)
}

/// The slots.
#[derive(Debug)]
pub(crate) struct Index {
    slots: Vec<Slot>,
    /// How many slots a search may begin at.
    homes: u64,
}

impl Index {
    /// Returns an empty index with room for `keys` keys. Its memory is taken as it is used.
    pub(crate) fn new(keys: usize) -> Self {
        let homes = keys + keys / FREE_PART + 1;
        Self {
            slots: vec![Slot::default(); homes + SPARE.min(keys)],
            homes: homes as u64,
        }
    }

    /// Returns where the search for a tag begins.
    #[inline]
    fn home(&self, tag: u32) -> usize {
        usize::try_from((u64::from(tag) * self.homes) >> 32).unwrap_or(usize::MAX)
    }

    /// Returns the slots from the one on where the search for a tag begins.
    #[inline]
    fn run(&self, tag: u32) -> &[Slot] {
        self.slots.get(self.home(tag)..).unwrap_or_default()
    }

    /// Returns the number inserted with this tag for which `is_it` holds.
    #[inline]
    pub(crate) fn find(&self, tag: u32, is_it: impl Fn(u32) -> bool) -> Option<u32> {
        for &[other, number] in self.run(tag) {
            if number == 0 || other > tag {
                return None;
            }
            if other == tag && is_it(number - 1) {
                return Some(number - 1);
            }
        }
        None
    }

    /// Inserts a number, which must be less than `u32::MAX`, and returns whether there was room.
    pub(crate) fn insert(&mut self, tag: u32, number: u32) -> bool {
        let home = self.home(tag);
        let before = |&[other, number]: &Slot| number != 0 && other <= tag;
        let run = self.slots.get_mut(home..).unwrap_or_default();
        let at = run.iter().position(|slot| !before(slot));
        let end = run.iter().position(|&[_, number]| number == 0);
        let (Some(at), Some(end)) = (at, end) else {
            return false;
        };
        run.copy_within(at..end, at + 1);
        if let Some(slot) = run.get_mut(at) {
            *slot = [tag, number + 1];
        }
        true
    }

    /// Removes a number that was inserted with this tag.
    pub(crate) fn remove(&mut self, tag: u32, number: u32) {
        let home = self.home(tag);
        let wanted = [tag, number + 1];
        let Some(offset) = self.run(tag).iter().position(|&slot| slot == wanted) else {
            return;
        };
        let at = home + offset;
        let follow = self.slots.get(at + 1..).unwrap_or_default();
        // What comes after it falls back by a slot, up to what is at home or free.
        let fallen = (at + 1..)
            .zip(follow)
            .take_while(|&(place, &[other, number])| number != 0 && self.home(other) < place)
            .count();
        self.slots.copy_within(at + 1..=at + fallen, at);
        if let Some(slot) = self.slots.get_mut(at + fallen) {
            *slot = Slot::default();
        }
    }

    /// Reads the slot where the search for a tag begins, so that it is near when that is done.
    #[inline]
    pub(crate) fn touch(&self, tag: u32) -> u32 {
        self.run(tag).first().map_or(0, |&[other, _]| other)
    }

    /// Returns how many bytes the slots take.
    #[cfg(test)]
    pub(crate) fn bytes(&self) -> usize {
        self.slots.len() * size_of::<Slot>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    /// Holds the order that a search relies on.
    fn assert_in_order(index: &Index) {
        let mut last = None;
        for (place, &[tag, number]) in index.slots.iter().enumerate() {
            if number == 0 {
                last = None;
                continue;
            }
            let home = index.home(tag);
            assert!(home <= place);
            assert!(home == place || last.is_some(), "a gap before its place");
            assert!(last.is_none_or(|last| last <= tag), "out of order");
            last = Some(tag);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        /// Tags of few values, near each other and at both ends, so that runs are long and reach the
        /// spare slots.
        #[test]
        fn behaves_like_a_plain_set(
            keys in 1usize..40,
            steps in prop::collection::vec((any::<bool>(), 0u32..8, any::<bool>(), 0u32..40), 0..150),
        ) {
            let mut index = Index::new(keys);
            let mut set = BTreeSet::new();
            for (inserts, low, is_high, number) in steps {
                let tag = if is_high { u32::MAX - low } else { low << 28 };
                if !inserts {
                    index.remove(tag, number);
                    set.remove(&(tag, number));
                } else if set.len() < keys && !set.contains(&(tag, number)) {
                    prop_assert!(index.insert(tag, number));
                    set.insert((tag, number));
                }
                assert_in_order(&index);
                let used = index.slots.iter().filter(|&&[_, number]| number != 0);
                prop_assert_eq!(used.count(), set.len());
                for low in 0..8 {
                    for tag in [u32::MAX - low, low << 28] {
                        for number in 0..40 {
                            let found = index.find(tag, |other| other == number);
                            prop_assert_eq!(found.is_some(), set.contains(&(tag, number)));
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn without_room_nothing_changes() {
        let mut index = Index::new(2);
        let mut taken = 0;
        while index.insert(u32::MAX, taken) {
            taken += 1;
        }
        assert!(taken >= 2);
        assert_in_order(&index);
        for number in 0..taken {
            assert_eq!(index.find(u32::MAX, |other| other == number), Some(number));
        }
        assert_eq!(index.find(u32::MAX, |other| other == taken), None);
    }
}
