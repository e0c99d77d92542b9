//! The vectors of the wire-identity reference, section 8, and everything that is refused.

use super::*;
use proptest::prelude::*;

const PLAIN: &str = "0d0a0d0a000d0a515549540a 2111001c 0a000104 143c1005 c48801bb \
                     e5000d010000002a0007001a00000000";
const WITH_CRC: &str = "0d0a0d0a000d0a515549540a 21110023 0a000104 143c1005 c48801bb \
                        0300041d16c716 e5000d010000002a0007001a00000000";
const LINK: &str = "0d0a0d0a000d0a515549540a 21110014 0a000104 143c1005 c48801bb ee00050140e20100";

fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<u8> = hex
        .bytes()
        .filter(|byte| !byte.is_ascii_whitespace())
        .collect();
    digits
        .chunks(2)
        .map(|pair| u8::from_str_radix(core::str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect()
}

fn identity() -> Identity {
    Identity {
        vnet: VnetKey::new(42).unwrap(),
        subnet: SubnetKey::new(7).unwrap(),
        region: 26,
    }
}

fn header() -> Header {
    Header {
        source: "10.0.1.4:50312".parse().unwrap(),
        destination: "20.60.16.5:443".parse().unwrap(),
        identity: Some(identity()),
        link_id: None,
    }
}

fn linked() -> Header {
    Header {
        identity: None,
        link_id: Some(123_456),
        ..header()
    }
}

fn whole(header: Header, len: usize) -> Result<Start, Refused> {
    Ok(Start::Whole {
        header: Some(header),
        len,
    })
}

/// A header with these TLVs, its length put right.
fn with_tlvs(tlvs: &[&str]) -> Vec<u8> {
    let mut header = bytes(PLAIN)[..FIXED_LEN + ADDRESSES_LEN].to_vec();
    for tlv in tlvs {
        header.extend(bytes(tlv));
    }
    let len = u16::try_from(header.len() - FIXED_LEN).unwrap();
    put_u16(&mut header, LENGTH, len);
    header
}

const IDENTITY: &str = "e5000d 01 0000002a 0007 001a 0000 0000";

#[test]
fn headers_of_the_reference_are_written_and_read() {
    for (header, crc, hex, len) in [
        (header(), Crc::Without, PLAIN, 44),
        (header(), Crc::With, WITH_CRC, 51),
        (linked(), Crc::Without, LINK, 36),
    ] {
        assert_eq!(header.encode(crc).as_bytes(), bytes(hex));
        assert_eq!(bytes(hex).len(), len);
        assert_eq!(read(&bytes(hex)), whole(header, len));
    }
}

#[test]
fn crc_of_the_standard_check_string() {
    assert_eq!(crc32c([b"123456789"]), 0xe306_9283);
    assert_eq!(crc32c([&[0; 32]]), 0x8a91_36aa);
}

#[test]
fn what_the_client_sends_is_left_alone() {
    let mut stream = bytes(WITH_CRC);
    stream.extend(b"GET / HTTP/1.1\r\n");
    assert_eq!(read(&stream), whole(header(), 51));
}

#[test]
fn a_part_asks_for_more_and_never_for_too_much() {
    let all = bytes(WITH_CRC);
    for end in 0..all.len() {
        let needed = if end < FIXED_LEN {
            FIXED_LEN
        } else {
            all.len()
        };
        assert_eq!(read(&all[..end]), Ok(Start::Partial(needed)), "{end} bytes");
    }
}

#[test]
fn local_has_no_identity_whatever_follows() {
    for hex in [
        "0d0a0d0a000d0a515549540a 20000000",
        "0d0a0d0a000d0a515549540a 2011001c 0a000104 143c1005 c48801bb e5000d010000002a0007001a00000000",
        "0d0a0d0a000d0a515549540a 20000003 e5ffff",
    ] {
        let stream = bytes(hex);
        let len = stream.len();
        assert_eq!(read(&stream), Ok(Start::Whole { header: None, len }));
    }
}

#[test]
fn what_is_no_header_is_refused_at_once() {
    assert_eq!(read(b"GET / HTTP/1.1"), Err(Refused::Signature));
    assert_eq!(read(b"\r\n\r\r"), Err(Refused::Signature));
    let fixed = |rest: &str| bytes(&format!("0d0a0d0a000d0a515549540a {rest}"));
    assert_eq!(read(&fixed("1111000c")), Err(Refused::Command(0x11)));
    assert_eq!(read(&fixed("2211000c")), Err(Refused::Command(0x22)));
    assert_eq!(read(&fixed("2112000c")), Err(Refused::Family(0x12)));
    assert_eq!(read(&fixed("2121000c")), Err(Refused::Family(0x21)));
    assert_eq!(read(&fixed("21000000")), Err(Refused::Family(0)));
    assert_eq!(read(&fixed("2111000b")), Err(Refused::Short));
}

#[test]
fn unknown_tlvs_are_skipped() {
    let stream = with_tlvs(&[
        "040000",
        "ea0003 010203",
        IDENTITY,
        "ee0005 0240e20100",
        "ee0000",
    ]);
    assert_eq!(read(&stream), whole(header(), stream.len()));
}

#[test]
fn tlvs_that_overrun_the_header_are_refused() {
    for tlv in [
        "e5",
        "e500",
        "e5000d",
        "040001",
        "ee0005 01000000",
        "0400ff 0102",
    ] {
        assert_eq!(read(&with_tlvs(&[tlv])), Err(Refused::Overrun), "{tlv}");
    }
    // Bytes of the client do not count.
    let mut stream = with_tlvs(&["040001"]);
    stream.push(0);
    assert_eq!(read(&stream), Err(Refused::Overrun));
}

#[test]
fn an_identity_that_is_not_one_is_refused() {
    for tlv in [
        "e5000c 01 0000002a 0007 001a 0000 00",
        "e5000e 01 0000002a 0007 001a 0000 0000 00",
        "e50000",
        "e5000d 02 0000002a 0007 001a 0000 0000",
        "e5000d 01 00000000 0007 001a 0000 0000",
        "e5000d 01 00ffffff 0007 001a 0000 0000",
        "e5000d 01 0000002a 0000 001a 0000 0000",
        "e5000d 01 0000002a 0007 001a 0001 0000",
        "e5000d 01 0000002a 0007 001a 0000 0001",
    ] {
        assert_eq!(read(&with_tlvs(&[tlv])), Err(Refused::Identity), "{tlv}");
    }
}

#[test]
fn what_may_be_there_once_is_refused_twice() {
    let link = "ee0005 0140e20100";
    let twice = |tlv| read(&with_tlvs(&[tlv, tlv]));
    assert_eq!(twice(IDENTITY), Err(Refused::Twice(0xe5)));
    assert_eq!(twice(link), Err(Refused::Twice(0xee)));
    assert_eq!(twice("030004 00000000"), Err(Refused::CrcForm));
    assert_eq!(read(&with_tlvs(&["030003 000000"])), Err(Refused::CrcForm));
}

#[test]
fn every_damaged_bit_under_the_crc_is_refused() {
    let right = bytes(WITH_CRC);
    for at in 0..right.len() * 8 {
        let mut damaged = right.clone();
        damaged[at / 8] ^= 1 << (at % 8);
        match read(&damaged) {
            Err(_) => {}
            // LOCAL, a longer header, or the CRC's own kind: what is left says nothing of it.
            Ok(Start::Whole { header: None, .. } | Start::Partial(_)) => {
                assert!((12..16).contains(&(at / 8)), "bit {at}");
            }
            Ok(Start::Whole { .. }) => assert_eq!(at / 8, 28, "bit {at}"),
        }
    }
}

proptest! {
    #[test]
    fn what_is_written_is_read(
        addresses: [u32; 2], ports: [u16; 2], vnet in 1u32..=0xff_fffe, subnet in 1u16..,
        region: u16, has_identity: bool, link_id: Option<u32>, has_crc: bool,
    ) {
        let [source, destination] = [0, 1]
            .map(|at| SocketAddrV4::new(Ipv4Addr::from(addresses[at]), ports[at]));
        let identity = Identity {
            vnet: VnetKey::new(vnet).unwrap(),
            subnet: SubnetKey::new(subnet).unwrap(),
            region,
        };
        let identity = has_identity.then_some(identity);
        let header = Header { source, destination, identity, link_id };
        let crc = if has_crc { Crc::With } else { Crc::Without };
        let encoded = header.encode(crc);
        prop_assert_eq!(read(encoded.as_bytes()), whole(header, encoded.as_bytes().len()));
    }

    #[test]
    fn any_tlvs_are_read_without_a_panic(
        mut tail in prop::collection::vec(any::<u8>(), 0..80),
        kinds in prop::collection::vec((0usize..80, prop::sample::select(vec![3u8, 0xe5, 0xee])), 0..4),
    ) {
        for (at, kind) in kinds {
            if let Some(byte) = tail.get_mut(at) {
                *byte = kind;
            }
        }
        let mut stream = bytes(PLAIN)[..FIXED_LEN + ADDRESSES_LEN].to_vec();
        stream.extend(&tail);
        let len = u16::try_from(stream.len() - FIXED_LEN).unwrap();
        put_u16(&mut stream, LENGTH, len);
        if let Ok(start) = read(&stream) {
            let is_all = matches!(start, Start::Whole { header: Some(_), len } if len == stream.len());
            prop_assert!(is_all);
        }
    }
}
