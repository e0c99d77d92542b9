//! Sums over packets, computed plainly.

/// Ones' complement sum.
fn sum(parts: [&[u8]; 2]) -> u16 {
    let mut sum = 0u64;
    for part in parts {
        let mut words = part.chunks_exact(2);
        for word in &mut words {
            sum += u64::from(u16::from_be_bytes([word[0], word[1]]));
        }
        if let [last] = words.remainder() {
            sum += u64::from(*last) << 8;
        }
    }
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    u16::try_from(sum).unwrap()
}

/// Where the segment begins, its protocol, and the pseudo-header; nothing for what has no segment.
fn segment(packet: &[u8]) -> Option<(usize, u8, Vec<u8>)> {
    let first = packet.first()?;
    if first >> 4 == 4 {
        let start = usize::from(first & 15) * 4;
        if packet.len() < start || start < 20 {
            return None;
        }
        if u16::from_be_bytes([packet[6], packet[7]]) & 0x3fff != 0 {
            return None;
        }
        let len = u16::try_from(packet.len() - start).ok()?;
        let mut pseudo = packet[12..20].to_vec();
        pseudo.extend([0, packet[9]]);
        pseudo.extend(len.to_be_bytes());
        return Some((start, packet[9], pseudo));
    }
    if first >> 4 != 6 || packet.len() < 40 {
        return None;
    }
    let mut pseudo = packet[8..40].to_vec();
    pseudo.extend(u32::try_from(packet.len() - 40).ok()?.to_be_bytes());
    pseudo.extend([0, 0, 0, packet[6]]);
    Some((40, packet[6], pseudo))
}

/// Where the sum is in a segment, and whether the pseudo-header counts.
fn field(protocol: u8) -> Option<(usize, bool)> {
    match protocol {
        6 => Some((16, true)),
        17 => Some((6, true)),
        1 => Some((2, false)),
        58 => Some((2, true)),
        _ => None,
    }
}

fn put(packet: &mut [u8], at: usize, value: u16) {
    if let Some(to) = packet.get_mut(at..at + 2) {
        to.copy_from_slice(&value.to_be_bytes());
    }
}

/// Puts all sums right, as far as there is a place for them.
pub fn fix(packet: &mut [u8]) {
    fix_header(packet);
    let Some((start, protocol, pseudo)) = segment(packet) else {
        return;
    };
    let Some((at, is_with_pseudo)) = field(protocol) else {
        return;
    };
    put(packet, start + at, 0);
    let pseudo = if is_with_pseudo { &pseudo[..] } else { &[] };
    let value = !sum([pseudo, &packet[start..]]);
    put(
        packet,
        start + at,
        if value == 0 && protocol == 17 {
            0xffff
        } else {
            value
        },
    );
}

/// Puts the sum of an IPv4 header right.
pub fn fix_header(packet: &mut [u8]) {
    if packet.first().is_some_and(|first| first >> 4 == 4) {
        let len = (usize::from(packet[0] & 15) * 4).min(packet.len());
        put(packet, 10, 0);
        let value = !sum([&packet[..len], &[]]);
        put(packet, 10, value);
    }
}

/// Returns what stands in the field of a packet whose sum is still to be put.
pub fn partial(packet: &[u8]) -> Option<u16> {
    let (_, _, pseudo) = segment(packet)?;
    Some(sum([&pseudo, &[]]))
}

/// Whether the sum of the IP header is right, and whether that of the segment is or will be; nothing
/// where there is none, or where it cannot be known.
pub fn are_right(needs_csum: bool, packet: &[u8]) -> (Option<bool>, Option<bool>) {
    let header = packet
        .first()
        .filter(|first| **first >> 4 == 4)
        .map(|first| {
            let len = usize::from(first & 15) * 4;
            packet
                .get(..len)
                .is_some_and(|header| sum([header, &[]]) == 0xffff)
        });
    let body = segment(packet).and_then(|(start, protocol, pseudo)| {
        let (at, is_with_pseudo) = field(protocol)?;
        let place = packet.get(start + at..start + at + 2)?;
        let value = u16::from_be_bytes([place[0], place[1]]);
        if needs_csum {
            return Some(value % 0xffff == sum([&pseudo, &[]]) % 0xffff);
        }
        if protocol == 17 && value == 0 {
            return (packet[0] >> 4 == 4).then_some(true);
        }
        let pseudo = if is_with_pseudo { &pseudo[..] } else { &[] };
        Some(sum([pseudo, &packet[start..]]) == 0xffff)
    });
    (header, body)
}
