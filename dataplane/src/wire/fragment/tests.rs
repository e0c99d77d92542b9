use super::*;
use proptest::prelude::*;
use std::collections::BTreeMap;

/// A packet with these options (padded by the caller), flags and payload.
fn packet(options: &[u8], flags: u16, payload: &[u8]) -> Vec<u8> {
    let header_len = MIN_LEN + options.len();
    let total = u16::try_from(header_len + payload.len()).unwrap();
    let mut bytes = vec![0x40 | u8::try_from(header_len / 4).unwrap(), 7];
    bytes.extend(total.to_be_bytes());
    bytes.extend([0xab, 0xcd]);
    bytes.extend(flags.to_be_bytes());
    bytes.extend([64, 17, 0, 0, 10, 0, 0, 4, 8, 8, 8, 8]);
    bytes.extend(options);
    let checksum = !plain_sum(&bytes);
    bytes[10..12].copy_from_slice(&checksum.to_be_bytes());
    bytes.extend(payload);
    bytes
}

/// The sum, word by word.
fn plain_sum(bytes: &[u8]) -> u16 {
    let mut sum = 0u32;
    for pair in bytes.chunks(2) {
        sum += u32::from(pair[0]) << 8 | u32::from(*pair.get(1).unwrap_or(&0));
        sum = (sum & 0xffff) + (sum >> 16);
    }
    u16::try_from(sum).unwrap()
}

fn cut(packet: &[u8], mtu: usize) -> Vec<Vec<u8>> {
    Pieces::new(packet, mtu)
        .map(|piece| [piece.header(), piece.payload].concat())
        .collect()
}

fn word(packet: &[u8], at: usize) -> u16 {
    u16::from_be_bytes([packet[at], packet[at + 1]])
}

fn header_len(packet: &[u8]) -> usize {
    usize::from(packet[0] & 15) * 4
}

/// Puts fragments together as a receiver does; `base` is where the first one begins, in bytes.
fn reassemble(parts: &[Vec<u8>], base: usize) -> (Vec<u8>, bool) {
    let mut bytes = BTreeMap::new();
    let mut more_at_end = false;
    for part in parts {
        let at = usize::from(word(part, 6) & 0x1fff) * 8 - base;
        for (n, &byte) in part[header_len(part)..].iter().enumerate() {
            assert!(bytes.insert(at + n, byte).is_none(), "no byte twice");
        }
        more_at_end = word(part, 6) & 0x2000 != 0;
    }
    let len = bytes.len();
    assert!(bytes.keys().copied().eq(0..len), "no hole");
    (bytes.into_values().collect(), more_at_end)
}

#[test]
fn example_of_rfc_791_section_3_2() {
    // 452 bytes of data at an MTU of 280: 256 and 196 bytes, the second at offset 32.
    let payload: Vec<u8> = (0..452u16)
        .map(|n| u8::try_from(n % 256).unwrap())
        .collect();
    let parts = cut(&packet(&[], 0, &payload), 280);
    let shape: Vec<_> = parts
        .iter()
        .map(|part| (word(part, 2), word(part, 6)))
        .collect();
    assert_eq!(shape, [(276, 0x2000), (216, 32)]);
    assert_eq!(word(&parts[1], 4), 0xabcd, "one identification");
}

#[test]
fn options_without_the_mark_stand_in_the_first_piece_only() {
    // Record route (7, not copied), security (130, copied), no-operation, end.
    let options = [7, 3, 4, 130, 3, 9, 1, 0];
    let parts = cut(&packet(&options, 0, &[1; 100]), 80);
    assert_eq!(parts[0][20..28], options);
    for part in &parts[1..] {
        assert_eq!((header_len(part), &part[20..24]), (24, &[130, 3, 9, 0][..]));
    }
    assert_eq!(reassemble(&parts, 0).0, [1; 100]);
}

#[test]
fn no_piece_without_room_or_header() {
    assert_eq!(cut(&packet(&[], 0, &[1; 100]), 27), Vec::<Vec<u8>>::new());
    assert_eq!(cut(&packet(&[], 0, &[1; 100]), 28).len(), 13);
    assert_eq!(cut(&[0x45, 0, 0], 100), Vec::<Vec<u8>>::new());
    assert_eq!(cut(&[], 100), Vec::<Vec<u8>>::new());
}

proptest! {
    #[test]
    fn pieces_fit_and_make_up_the_packet(
        payload in prop::collection::vec(any::<u8>(), 1..3000),
        options in prop::collection::vec(any::<u8>(), 0..10),
        mtu in 68usize..1600,
        offset in 0u16..1000,
        more: bool,
    ) {
        let options = [options.clone(), vec![0; options.len().next_multiple_of(4) - options.len()]]
            .concat();
        let flags = offset | if more { 0x2000 } else { 0 };
        let original = packet(&options, flags, &payload);
        let parts = cut(&original, mtu);
        for part in &parts {
            prop_assert!(part.len() <= mtu);
            prop_assert_eq!(usize::from(word(part, 2)), part.len());
            prop_assert_eq!(plain_sum(&part[..header_len(part)]), 0xffff);
            prop_assert_eq!(&part[12..20], &original[12..20]);
            prop_assert_eq!(word(part, 4), 0xabcd);
        }
        for part in &parts[..parts.len() - 1] {
            prop_assert_eq!((part.len() - header_len(part)) % 8, 0);
            prop_assert!(word(part, 6) & 0x2000 != 0);
        }
        let (whole, more_at_end) = reassemble(&parts, usize::from(offset) * 8);
        prop_assert_eq!(whole, payload);
        prop_assert_eq!(more_at_end, more, "the last piece says what the packet said");
        prop_assert_eq!(&parts[0][20..20 + options.len()], &options[..]);
    }
}
