//! The vectors of the wire-identity reference, section 8, on own values; what the engine does with
//! the default ones is tested there.

use super::*;
use crate::wire::checksum::{pseudo_header, pseudo_header_v6};
use crate::wire::{get_u16, put_u16, tcp};
use proptest::prelude::*;

const TCP: u8 = 6;

fn v4(text: &str) -> Ipv4Addr {
    text.parse().unwrap()
}

fn v6(text: &str) -> Ipv6Addr {
    text.parse().unwrap()
}

/// A mask of 96 ones.
fn mask_96() -> Ipv6Addr {
    Ipv6Addr::from(u128::MAX << 32)
}

fn reference() -> Correction {
    let source = Mapping::new(v6("fd00:108:0:d204:0:200::"), mask_96());
    let destination = Mapping::new(v6("2603:10e1:100:2::"), mask_96());
    let from = [v4("10.1.1.1"), v4("50.1.2.1")];
    let to = [source.map(from[0]), destination.map(from[1])];
    assert_eq!(
        to,
        [
            v6("fd00:108:0:d204:0:200:a01:101"),
            v6("2603:10e1:100:2::3201:201")
        ]
    );
    Correction::new(from, to)
}

#[test]
fn own_values_of_the_reference() {
    let correction = reference();
    assert_eq!(correction.apply_partial(0), 0x09f4, "K");
    assert_eq!(correction.apply(0x5388), 0x4994);
    assert_eq!(correction.apply_partial(0x3f22), 0x4916);
    assert_eq!(correction.back().apply(0x4994), 0x5388);
    assert_eq!(correction.back().apply_partial(0x4916), 0x3f22);
}

#[test]
fn what_of_a_value_is_outside_of_its_mask_is_cleared() {
    let mapping = Mapping::new(v6("fd00::ffff:ffff:ffff"), mask_96());
    assert_eq!(mapping.map(v4("10.1.1.1")), v6("fd00::ffff:a01:101"));
    // A mask need not be a prefix, and may take all of the address.
    let mapping = Mapping::new(v6("fd00::7"), v6("ffff::ff"));
    assert_eq!(mapping.map(v4("10.1.1.1")), v6("fd00::a01:107"));
    assert!(!mapping.spares_address());
    assert!(Mapping::new(v6("fd00::"), mask_96()).spares_address());
}

#[test]
fn neutral_values_leave_every_field_bit_for_bit() {
    let from = [v4("10.0.1.4"), v4("20.60.16.5")];
    let to = [
        v6("fd40:0:2a:7:1a:274:a00:104"),
        v6("fd41:1:1a:2a3::143c:1005"),
    ];
    let correction = Correction::new(from, to);
    for field in [0, 0x6347, 0x2f63, 0xffff] {
        assert_eq!(correction.apply(field), field);
        assert_eq!(correction.apply_partial(field), field);
        assert_eq!(correction.back().apply(field), field);
    }
}

/// Both zeros are right.
fn is_same(a: u16, b: u16) -> bool {
    let zero = |field| if field == 0xffff { 0 } else { field };
    zero(a) == zero(b)
}

proptest! {
    #[test]
    fn own_values_give_the_checksum_of_a_full_sum(
        from: [u32; 2], values: [u128; 2], masks: [u128; 2],
        mut segment in prop::collection::vec(any::<u8>(), 20..100),
    ) {
        let from = from.map(Ipv4Addr::from);
        let to = [0, 1].map(|at| {
            Mapping::new(values[at].into(), masks[at].into()).map(from[at])
        });
        let correction = Correction::new(from, to);
        let len = u16::try_from(segment.len()).unwrap();
        let [partial_v4, partial_v6] = [
            pseudo_header(from[0], from[1], TCP, len),
            pseudo_header_v6(to[0], to[1], TCP, len),
        ];
        prop_assert!(is_same(
            correction.apply_partial(partial_v4.fold()),
            partial_v6.fold()
        ));
        put_u16(&mut segment, tcp::CHECKSUM, 0);
        let whole = partial_v4.bytes(&segment).checksum();
        put_u16(&mut segment, tcp::CHECKSUM, correction.apply(whole));
        prop_assert_eq!(partial_v6.bytes(&segment).checksum(), 0);
        let field = get_u16(&segment, tcp::CHECKSUM).unwrap();
        prop_assert!(is_same(correction.back().apply(field), whole));
    }
}
