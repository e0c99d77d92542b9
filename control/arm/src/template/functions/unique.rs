//! The hash behind `uniqueString`.
//!
//! Azure does not document it (reference azure-semantics, section 12). It is MurmurHash3 in two lanes
//! of 32 bits with a seed of 0, in letters and digits from the highest bits down: with it names are
//! those that the same template has on the platform. The tests have strings that Azure made; the
//! algorithm must never change, as names of resources hang on it.

/// What one of the two lanes mixes with.
struct Lane {
    /// A word is multiplied, turned and multiplied again before it goes in.
    first: u32,
    turn: u32,
    second: u32,
    /// A round turns the lane and adds this at its end.
    own_turn: u32,
    plus: u32,
}

const ONE: Lane = Lane {
    first: 0x239b_961b,
    turn: 15,
    second: 0xab0e_9789,
    own_turn: 19,
    plus: 0x561c_cd1b,
};

const TWO: Lane = Lane {
    first: 0xab0e_9789,
    turn: 17,
    second: 0x239b_961b,
    own_turn: 13,
    plus: 0x0bca_a747,
};

const LETTERS: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";

/// Returns thirteen letters and digits that depend on the text alone.
pub(super) fn letters(text: &str) -> String {
    let hash = hash(text.as_bytes());
    // Thirteen times five bits are one more than there are: the last letter ends with a 0.
    let wide = u128::from(hash) << 1;
    (0..13_u32)
        .rev()
        .map(|at| {
            let five = usize::try_from((wide >> (5 * at)) & 31).unwrap_or_default();
            LETTERS.get(five).copied().map_or('a', char::from)
        })
        .collect()
}

fn hash(bytes: &[u8]) -> u64 {
    let (mut one, mut two) = (0_u32, 0_u32);
    let mut blocks = bytes.chunks_exact(8);
    for block in blocks.by_ref() {
        let (left, right) = block.split_at_checked(4).unwrap_or((block, &[]));
        one = ONE.turned(one ^ ONE.mixed(word(left)), two);
        two = TWO.turned(two ^ TWO.mixed(word(right)), one);
    }
    let rest = blocks.remainder();
    if !rest.is_empty() {
        let (left, right) = rest.split_at_checked(4).unwrap_or((rest, &[]));
        one ^= ONE.mixed(word(left));
        if !right.is_empty() {
            two ^= TWO.mixed(word(right));
        }
    }
    // Texts are bounded far below what a length of 32 bits can say.
    let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    two ^= length;
    one = (one ^ length).wrapping_add(two);
    two = two.wrapping_add(one);
    one = finished(one);
    two = finished(two);
    one = one.wrapping_add(two);
    two = two.wrapping_add(one);
    (u64::from(two) << 32) | u64::from(one)
}

/// Returns up to four bytes as a number, the first the lowest.
fn word(bytes: &[u8]) -> u32 {
    bytes
        .iter()
        .rev()
        .fold(0, |word, byte| (word << 8) | u32::from(*byte))
}

impl Lane {
    fn mixed(&self, word: u32) -> u32 {
        word.wrapping_mul(self.first)
            .rotate_left(self.turn)
            .wrapping_mul(self.second)
    }

    /// Ends a round, which takes the other lane in.
    fn turned(&self, own: u32, other: u32) -> u32 {
        own.rotate_left(self.own_turn)
            .wrapping_add(other)
            .wrapping_mul(5)
            .wrapping_add(self.plus)
    }
}

fn finished(mut lane: u32) -> u32 {
    lane = (lane ^ (lane >> 16)).wrapping_mul(0x85eb_ca6b);
    lane = (lane ^ (lane >> 13)).wrapping_mul(0xc2b2_ae35);
    lane ^ (lane >> 16)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_are_those_of_azure() {
        let group = "/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/my-rg";
        for (text, expected) in [
            ("test", "rbgf3xv4ufgzg"),
            ("t", "fsnwonksnm7cy"),
            ("abc", "cgtzqvhu4i23s"),
            ("hello-world", "a7wkljktk6wne"),
            ("foo-bar-baz", "xzi4ioaxtmth4"),
            ("test-test2-test3", "bqgd334z2uj64"),
            (group, "bmg7c6xu4tw46"),
        ] {
            assert_eq!(letters(text), expected, "{text}");
        }
        assert_eq!(letters("").len(), 13);
    }
}
