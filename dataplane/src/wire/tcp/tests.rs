//! The MSS option: found wherever it stands, lowered only, its checksum kept right.

use super::*;
use crate::wire::checksum::Sum;
use proptest::prelude::*;

/// A SYN with these options, padded, and its checksum over no pseudo-header put.
fn syn(options: &[u8]) -> Vec<u8> {
    let mut segment = vec![
        0xc4, 0x88, 0x01, 0xbb, 1, 2, 3, 4, 0, 0, 0, 0, 0, 2, 0xfa, 0xf0, 0, 0, 0, 0,
    ];
    segment.extend(options);
    segment.resize(segment.len().next_multiple_of(4), OPTION_END);
    segment[12] = u8::try_from(segment.len() / 4).unwrap() << 4;
    let checksum = Sum::default().bytes(&segment).checksum();
    put_u16(&mut segment, CHECKSUM, checksum);
    segment
}

/// Clamps, and brings the checksum up to date.
fn clamped(mut segment: Vec<u8>, limit: u16) -> Vec<u8> {
    let delta = clamp_mss(&mut segment, limit);
    let field = get_u16(&segment, CHECKSUM).unwrap();
    put_u16(&mut segment, CHECKSUM, delta.apply(field));
    segment
}

#[test]
fn a_greater_size_is_lowered_and_no_other() {
    assert_eq!(
        clamped(syn(&[2, 4, 0x05, 0xb4]), 1440),
        syn(&[2, 4, 0x05, 0xa0])
    );
    for same in [
        syn(&[2, 4, 0x05, 0xa0]),
        syn(&[2, 4, 0x02, 0x18]),
        syn(&[]),
        syn(&[1, 1, 0, 2, 4, 0x05, 0xb4]),
        syn(&[2, 3, 0x05, 0xb4]),
        syn(&[3, 1, 2, 4, 0x05, 0xb4]),
        syn(&[8, 40, 0, 0]),
    ] {
        assert_eq!(clamped(same.clone(), 1440), same);
    }
}

proptest! {
    #[test]
    fn the_checksum_stays_right_wherever_the_option_stands(
        nops in 0usize..8, mss: u16, limit: u16, tail: [u8; 4],
    ) {
        let [high, low] = mss.to_be_bytes();
        let mut options = vec![OPTION_NOP; nops];
        options.extend([OPTION_MSS, 4, high, low]);
        options.extend(tail);
        let after = clamped(syn(&options), limit);
        let [high, low] = mss.min(limit).to_be_bytes();
        options[nops + 2..nops + 4].copy_from_slice(&[high, low]);
        prop_assert_eq!(after, syn(&options));
    }

    #[test]
    fn any_bytes_are_no_panic(mut bytes in prop::collection::vec(any::<u8>(), 0..64), limit: u16) {
        let len = bytes.len();
        clamp_mss(&mut bytes, limit);
        prop_assert_eq!(bytes.len(), len);
    }
}
