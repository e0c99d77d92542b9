//! The Internet checksum (RFC 1071) and its update by difference (RFC 1624, equation 3).
//!
//! A checksum field holds the complement of a ones' complement sum. When a covered word changes
//! from `m` to `m'`, the field `HC` becomes `!(!HC + !m + m')`. The sum of all `!m + m'` of a
//! rewrite is a [`Delta`]: it depends on the addresses and ports only, so it is computed once when
//! a flow is opened and added to every packet of the flow.
//!
//! A *partial* field (`VIRTIO_NET_HDR_F_NEEDS_CSUM`) holds the plain sum of the pseudo-header, not
//! complemented: the delta of the addresses is added as it is, ports are not part of it.

use super::put_u16;
use std::net::{Ipv4Addr, Ipv6Addr};

/// A ones' complement sum in the making; carries are folded back when it is read.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sum(u64);

impl Sum {
    /// Adds one 16-bit word.
    #[must_use]
    pub fn word(self, word: u16) -> Self {
        Self(self.0 + u64::from(word))
    }

    /// Adds both words of an address.
    #[must_use]
    pub fn address(self, address: Ipv4Addr) -> Self {
        Self(self.0 + u64::from(u32::from(address)))
    }

    /// Adds bytes that begin at an even offset; an odd last byte counts as the high one of a word.
    #[must_use]
    pub fn bytes(self, bytes: &[u8]) -> Self {
        // Four bytes at a time: 2^16 = 1 modulo 2^16 - 1, so that wide words fold to the same sum.
        let mut sum = self.0;
        let mut chunks = bytes.chunks_exact(4);
        for chunk in &mut chunks {
            if let Some(word) = chunk.first_chunk::<4>() {
                sum += u64::from(u32::from_be_bytes(*word));
            }
        }
        for pair in chunks.remainder().chunks(2) {
            sum += match *pair {
                [high, low] => u64::from(u16::from_be_bytes([high, low])),
                [high] => u64::from(high) << 8,
                _ => 0,
            };
        }
        Self(sum)
    }

    /// Returns the sum with all carries added back.
    #[must_use]
    pub fn fold(self) -> u16 {
        let mut sum = self.0;
        while let high @ 1.. = sum >> 16 {
            sum = (sum & 0xffff) + high;
        }
        u16::try_from(sum).unwrap_or(0)
    }

    /// Returns what a checksum field holds for this sum.
    #[must_use]
    pub fn checksum(self) -> u16 {
        !self.fold()
    }
}

/// Returns the sum of the IPv4 pseudo-header (RFC 9293 section 3.1, RFC 768).
#[must_use]
pub fn pseudo_header(source: Ipv4Addr, destination: Ipv4Addr, protocol: u8, len: u16) -> Sum {
    Sum::default()
        .address(source)
        .address(destination)
        .word(u16::from(protocol))
        .word(len)
}

/// Returns the sum of the IPv6 pseudo-header (RFC 8200 section 8.1).
#[must_use]
pub fn pseudo_header_v6(source: Ipv6Addr, destination: Ipv6Addr, protocol: u8, len: u16) -> Sum {
    Sum::default()
        .bytes(&source.octets())
        .bytes(&destination.octets())
        .word(u16::from(protocol))
        .word(len)
}

/// Puts the whole checksum of a segment whose field, at `at`, holds the sum of the pseudo-header, as
/// a device with offload does it.
pub fn complete(segment: &mut [u8], at: usize) {
    // Zero would mean "no checksum" in UDP (RFC 768); 0xffff is the same number and right for both.
    let checksum = match Sum::default().bytes(segment).checksum() {
        0 => 0xffff,
        checksum => checksum,
    };
    put_u16(segment, at, checksum);
}

/// The difference that a rewrite makes to a ones' complement sum.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Delta(u16);

impl Delta {
    /// Returns the delta with a word changed from `old` to `new` added.
    #[must_use]
    pub fn word(self, old: u16, new: u16) -> Self {
        if old == new {
            return self;
        }
        Self(Sum::default().word(self.0).word(!old).word(new).fold())
    }

    /// Returns the delta with an address changed from `old` to `new` added.
    #[must_use]
    pub fn address(self, old: Ipv4Addr, new: Ipv4Addr) -> Self {
        let ([a, b, c, d], [e, f, g, h]) = (old.octets(), new.octets());
        self.word(u16::from_be_bytes([a, b]), u16::from_be_bytes([e, f]))
            .word(u16::from_be_bytes([c, d]), u16::from_be_bytes([g, h]))
    }

    /// Returns the delta of the change back.
    #[must_use]
    pub fn negative(self) -> Self {
        Self(!self.0)
    }

    /// Returns the checksum field `field` after the change (RFC 1624, equation 3).
    #[must_use]
    #[inline]
    pub fn apply(self, field: u16) -> u16 {
        !add(!field, self.0)
    }

    /// Returns the partial checksum field `field` after the change.
    #[must_use]
    #[inline]
    pub fn apply_partial(self, field: u16) -> u16 {
        add(field, self.0)
    }
}

/// Adds two words in ones' complement.
#[inline]
fn add(a: u16, b: u16) -> u16 {
    let (sum, carry) = a.overflowing_add(b);
    sum + u16::from(carry)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The oracle: words one by one, carries folded at each step.
    fn slow_sum(words: &[u16]) -> u16 {
        let mut sum = 0u32;
        for &word in words {
            sum += u32::from(word);
            if sum > 0xffff {
                sum -= 0xffff;
            }
        }
        u16::try_from(sum).unwrap()
    }

    fn to_bytes(words: &[u16]) -> Vec<u8> {
        words.iter().flat_map(|word| word.to_be_bytes()).collect()
    }

    #[test]
    fn example_of_rfc_1071_section_3() {
        let sum = Sum::default().bytes(&[0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7]);
        assert_eq!(sum.fold(), 0xddf2);
        assert_eq!(sum.checksum(), 0x220d);
    }

    #[test]
    fn example_of_rfc_1624_section_4() {
        // The case in which RFC 1141 gives 0xffff: the field must become 0x0000.
        assert_eq!(Delta::default().word(0x5555, 0x3285).apply(0xdd2f), 0x0000);
    }

    #[test]
    fn no_change_keeps_every_field_bit_for_bit() {
        for field in [0x0000, 0x1234, 0xffff] {
            assert_eq!(Delta::default().word(7, 7).apply(field), field);
            assert_eq!(Delta::default().word(7, 7).apply_partial(field), field);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(20_000))]

        #[test]
        fn delta_equals_a_full_sum(
            mut words in prop::collection::vec(any::<u16>(), 8..40),
            edits in prop::collection::vec((0usize..8, any::<u16>()), 1..6),
        ) {
            // A packet always holds a word that is not zero.
            words[7] |= 1;
            let before = !slow_sum(&words);
            let mut delta = Delta::default();
            for &(at, new) in &edits {
                let new = if at == 7 { new | 1 } else { new };
                delta = delta.word(words[at], new);
                words[at] = new;
            }
            prop_assert_eq!(delta.apply(before), !slow_sum(&words));
        }

        #[test]
        fn partial_delta_equals_a_full_pseudo_sum(
            old in any::<[u32; 2]>(), new in any::<[u32; 2]>(), len in 8u16..,
        ) {
            let [a, b] = old.map(Ipv4Addr::from);
            let [c, d] = new.map(Ipv4Addr::from);
            let delta = Delta::default().address(a, c).address(b, d);
            let before = pseudo_header(a, b, 6, len).fold();
            prop_assert_eq!(delta.apply_partial(before), pseudo_header(c, d, 6, len).fold());
        }

        #[test]
        fn wide_sum_equals_word_by_word(words in prop::collection::vec(any::<u16>(), 0..80), odd in any::<Option<u8>>()) {
            let mut bytes = to_bytes(&words);
            let mut padded = words.clone();
            if let Some(odd) = odd {
                bytes.push(odd);
                padded.push(u16::from(odd) << 8);
            }
            prop_assert_eq!(Sum::default().bytes(&bytes).fold(), slow_sum(&padded));
        }
    }
}
