//! The vectors of the wire-identity reference, section 8, byte for byte, and what is refused.

use super::*;
use crate::identity::{BadIdentity, Identity, ServiceCode, ServicePrefix, SubnetKey, VnetKey};
use crate::wire::UDP;
use crate::wire::checksum::pseudo_header;
use crate::wire::ipv4::Ipv4View;
use proptest::prelude::*;
use std::net::Ipv4Addr;

const GUEST: &str = "4500002c123440004006f9530a000104143c1005 \
                     c48801bb11223344000000006002faf063470000020405b4";
const ST6: &str = "6000000000180640 fd400000002a0007001a02740a000104 \
                   fd410001001a02a300000000143c1005 \
                   c48801bb11223344000000006002faf063470000020405b4";
const ETHERNET: &str = "020000000101 000d3a000004";
const NVGRE: &str = "4500006a00010000402f415b14c80001143c1005 2000655800006400";
const VXLAN: &str = "45000072000100004011417114c80001143c1005 c82212b5005e0000 0800000000006400";
const GENEVE: &str = "4500006e000100004011417514c80001143c1005 c82217c1005a0000 \
                      0440655800002a00 ff5081030000002a0007001a00000000";
const GBP: &str = "4500005e000100004011418514c80001143c1005 c82212b5004a0000 8800000700002a00";
/// Stands for the hash: it gives the port 51234.
const HASH: u32 = 2082 + 3 * 16384;
const PEER: Ipv4Addr = Ipv4Addr::new(20, 200, 0, 1);
const PEERS: &[Ipv4Addr] = &[Ipv4Addr::new(20, 200, 0, 9), PEER];

fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<u8> = hex.bytes().filter(u8::is_ascii_hexdigit).collect();
    digits
        .chunks(2)
        .map(|pair| u8::from_str_radix(core::str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect()
}

/// A whole packet of the reference.
fn whole(outer: &str, ether_type: &str, inner: &str) -> Vec<u8> {
    bytes(&[outer, ETHERNET, ether_type, inner].concat())
}

fn ends() -> Ends {
    Ends {
        source: PEER,
        destination: Ipv4Addr::new(20, 60, 16, 5),
        macs: Macs {
            source: [0x00, 0x0d, 0x3a, 0, 0, 4],
            destination: [2, 0, 0, 0, 1, 1],
        },
    }
}

fn identity() -> Identity {
    Identity {
        vnet: VnetKey::new(42).unwrap(),
        subnet: SubnetKey::new(7).unwrap(),
        region: 26,
    }
}

fn without_region() -> Identity {
    Identity {
        region: 0,
        ..identity()
    }
}

/// Puts the checksum of the outer UDP header.
fn put_udp_checksum(packet: &mut [u8]) {
    let ip = Ipv4View::parse(packet).unwrap();
    let (source, destination) = (ip.source(), ip.destination());
    let datagram = &mut packet[20..];
    datagram[6..8].fill(0);
    let len = u16::try_from(datagram.len()).unwrap();
    let pseudo = pseudo_header(source, destination, UDP, len);
    let checksum = pseudo.bytes(datagram).checksum().to_be_bytes();
    datagram[6..8].copy_from_slice(&checksum);
}

/// What any of the decoders gives.
#[derive(Debug, PartialEq)]
struct Opened {
    identity: Option<Identity>,
    packet: Vec<u8>,
}

type Open = fn(&[u8], &[Ipv4Addr]) -> Result<Opened, Refused>;

fn v6(packet: Result<&[u8], Refused>) -> Result<Opened, Refused> {
    let packet = packet?.to_vec();
    Ok(Opened {
        identity: None,
        packet,
    })
}

fn v4(guest: Result<Guest<'_>, Refused>) -> Result<Opened, Refused> {
    let Guest { identity, packet } = guest?;
    Ok(Opened {
        identity: Some(identity),
        packet: packet.to_vec(),
    })
}

const OPEN_NVGRE: Open = |packet, peers| v6(nvgre::open(packet, peers, Key::PLATFORM));
const OPEN_VXLAN: Open = |packet, peers| v6(vxlan::open(packet, peers, Key::PLATFORM));
const OPEN_GENEVE: Open = |packet, peers| v4(geneve::open(packet, peers));
const OPEN_GBP: Open = |packet, peers| v4(vxlan::open_gbp(packet, peers));

/// Every carrier: its packet of the reference, its length, what is in it, its decoder.
fn carriers() -> [(Vec<u8>, usize, Opened, Open); 4] {
    let st6 = || Opened {
        identity: None,
        packet: bytes(ST6),
    };
    let guest = |identity| Opened {
        identity: Some(identity),
        packet: bytes(GUEST),
    };
    [
        (whole(NVGRE, "86dd", ST6), 106, st6(), OPEN_NVGRE),
        (whole(VXLAN, "86dd", ST6), 114, st6(), OPEN_VXLAN),
        (
            whole(GENEVE, "0800", GUEST),
            110,
            guest(identity()),
            OPEN_GENEVE,
        ),
        (
            whole(GBP, "0800", GUEST),
            94,
            guest(without_region()),
            OPEN_GBP,
        ),
    ]
}

#[test]
fn packets_of_the_reference_are_written_byte_for_byte() {
    let (st6, guest, key) = (bytes(ST6), bytes(GUEST), Key::PLATFORM);
    let ends = ends();
    let written = [
        [&nvgre::header(&ends, key, 0, &st6).unwrap()[..], &st6].concat(),
        [&vxlan::header(&ends, key, HASH, &st6).unwrap()[..], &st6].concat(),
        [
            &geneve::header(&ends, identity(), HASH, &guest).unwrap()[..],
            &guest,
        ]
        .concat(),
        [
            &vxlan::header_gbp(&ends, identity(), HASH, &guest).unwrap()[..],
            &guest,
        ]
        .concat(),
    ];
    for (written, (packet, len, ..)) in written.into_iter().zip(carriers()) {
        assert_eq!(written, packet);
        assert_eq!(written.len(), len);
    }
    let added = [
        nvgre::ADDED,
        vxlan::ADDED_ST6,
        geneve::ADDED,
        vxlan::ADDED_GBP,
    ];
    assert_eq!(added, [62, 70, 66, 50]);
}

#[test]
fn packets_of_the_reference_are_read() {
    for (packet, _, opened, open) in carriers() {
        assert_eq!(open(&packet, PEERS), Ok(opened));
    }
    let call = Call {
        identity: identity(),
        client: Ipv4Addr::new(10, 0, 1, 4),
        service: ServicePrefix {
            service: ServiceCode::new(1).unwrap(),
            region: 26,
        },
        address: Ipv4Addr::new(20, 60, 16, 5),
    };
    assert_eq!(Call::of(&bytes(ST6), Way::Request), Ok(call));
    let reply = bytes(
        "6000000000180640 fd410001001a02a300000000143c1005 fd400000002a0007001a02740a000104 \
         01bbc488a0b0c0d0112233456012fe88fe300000020405a0",
    );
    assert_eq!(Call::of(&reply, Way::Reply), Ok(call));
    assert!(matches!(
        Call::of(&reply, Way::Request),
        Err(Refused::BadIdentity(_))
    ));
}

#[test]
fn what_is_not_listed_is_refused_before_anything_else() {
    for (packet, _, _, open) in carriers() {
        for end in [20, packet.len()] {
            let mut packet = packet[..end].to_vec();
            let len = u16::try_from(end).unwrap().to_be_bytes();
            packet[2..4].copy_from_slice(&len);
            let refused = open(&packet, &PEERS[..1]).unwrap_err();
            assert_eq!(refused, Refused::UntrustedPeer(PEER));
            assert_eq!(refused.reason().name(), "untrusted_peer");
        }
    }
}

#[test]
fn what_a_receiver_does_not_look_at_may_be_anything() {
    for (packet, _, opened, open) in carriers() {
        let mut packet = packet;
        packet[1] = 0xff;
        packet[4..6].copy_from_slice(&[9, 9]);
        packet[8] = 1;
        // Padding of a short Ethernet frame.
        packet.extend([0; 6]);
        let len = u16::try_from(packet.len()).unwrap();
        packet[2..4].copy_from_slice(&len.to_be_bytes());
        if packet[9] == 17 {
            packet[24..26].copy_from_slice(&(len - 20).to_be_bytes());
            // A checksum that is there is checked.
            put_udp_checksum(&mut packet);
            let mut wrong = packet.clone();
            wrong[26] ^= 1;
            let refused = open(&wrong, PEERS).unwrap_err();
            assert_eq!(refused, Refused::BadEncap("outer UDP"));
        }
        assert_eq!(open(&packet, PEERS), Ok(opened));
    }
    // The flow in NVGRE and reserved bits of VXLAN.
    let mut packet = whole(NVGRE, "86dd", ST6);
    packet[27] = 0xff;
    OPEN_NVGRE(&packet, PEERS).unwrap();
    let mut packet = whole(VXLAN, "86dd", ST6);
    packet[28] = 0xff;
    packet[29] = 0xff;
    packet[35] = 0xff;
    OPEN_VXLAN(&packet, PEERS).unwrap();
}

/// Changes bytes of a packet and returns why it is refused.
fn refused(packet: &[u8], changes: &[(usize, u8)], open: Open) -> &'static str {
    let mut packet = packet.to_vec();
    for &(at, byte) in changes {
        packet[at] = byte;
    }
    open(&packet, PEERS).unwrap_err().reason().name()
}

#[test]
fn other_headers_are_bad_encap_and_other_keys_bad_key() {
    let [nvgre, vxlan, geneve, gbp] = carriers().map(|(packet, _, _, open)| (packet, open));
    for (at, byte) in [
        (20, 0x30),
        (20, 0x60),
        (20, 0xa0),
        (20, 0x40),
        (21, 1),
        (22, 8),
    ] {
        assert_eq!(
            refused(&nvgre.0, &[(at, byte)], nvgre.1),
            "bad_encap",
            "{at}"
        );
    }
    for (packet, open, key) in [(&nvgre.0, nvgre.1, 26), (&vxlan.0, vxlan.1, 34)] {
        assert_eq!(refused(packet, &[(key, 101)], open), "bad_key");
        assert_eq!(refused(packet, &[(key - 2, 1)], open), "bad_key");
    }
    assert_eq!(refused(&vxlan.0, &[(28, 0xf7)], vxlan.1), "bad_encap");
    assert_eq!(
        refused(&gbp.0, &[(28, 0x08)], gbp.1),
        "bad_encap",
        "no group"
    );
    assert_eq!(
        refused(&gbp.0, &[(28, 0x80)], gbp.1),
        "bad_encap",
        "no identifier"
    );
    assert_eq!(refused(&gbp.0, &[(31, 0)], gbp.1), "bad_identity");
    assert_eq!(refused(&gbp.0, &[(34, 0)], gbp.1), "bad_identity");
    for (packet, open) in [&nvgre, &vxlan, &geneve, &gbp].map(|(packet, open)| (packet, *open)) {
        // Version, a fragment, the protocol; then lengths that do not fit.
        for change in [(0, 0x55), (6, 0x20), (7, 1), (9, 6), (3, 19), (2, 1)] {
            assert_eq!(refused(packet, &[change], open), "bad_encap", "{change:?}");
        }
        if packet[9] == 17 {
            for at in [22, 23, 24, 25] {
                assert_eq!(refused(packet, &[(at, 0xee)], open), "bad_encap", "{at}");
            }
        }
        // Another kind of packet inside, and one that is longer than its frame.
        let inner = packet.len() - open(packet, PEERS).unwrap().packet.len();
        assert_eq!(refused(packet, &[(inner - 1, 6)], open), "bad_encap");
        assert_eq!(refused(packet, &[(inner, 0x10)], open), "bad_encap");
        let len = if packet.len() - inner == 64 { 5 } else { 3 };
        assert_eq!(refused(packet, &[(inner + len, 0xff)], open), "bad_encap");
    }
}

#[test]
fn geneve_takes_exactly_one_right_option() {
    let packet = whole(GENEVE, "0800", GUEST);
    for change in [
        (28, 0x44), // Version 1.
        (28, 0x03), // Fewer words than the option has.
        (28, 0x3f), // More than there are.
        (29, 0x00), // No critical option, it says.
        (29, 0xc0), // Control.
        (30, 0x08), // No Ethernet inside.
        (34, 0x2b), // Another network.
        (36, 0xfe), // A critical option that is not known.
        (38, 0x82), // Another.
        (38, 0x01), // No identity at all.
        (39, 0x02), // Shorter, the rest is no option.
        (49, 0x01), // Flags.
        (51, 0x01), // What has to be zero.
    ] {
        assert_eq!(
            refused(&packet, &[change], OPEN_GENEVE),
            "bad_encap",
            "{change:?}"
        );
    }
    assert_eq!(
        refused(&packet, &[(34, 0), (43, 0)], OPEN_GENEVE),
        "bad_identity"
    );
    assert_eq!(refused(&packet, &[(45, 0)], OPEN_GENEVE), "bad_identity");
    // An ordinary option that is not known is skipped, wherever it stands; the option is not there
    // twice.
    let ordinary = bytes("0102 03 01 00000000");
    let own = packet[36..52].to_vec();
    for (options, is_right) in [
        ([&ordinary[..], &own].concat(), true),
        ([&own[..], &ordinary].concat(), true),
        ([&own[..], &own].concat(), false),
        (ordinary.clone(), false),
        (Vec::new(), false),
    ] {
        let mut packet = [&packet[..36], &options, &packet[52..]].concat();
        packet[28] = u8::try_from(options.len() / 4).unwrap();
        let len = u16::try_from(packet.len()).unwrap();
        packet[2..4].copy_from_slice(&len.to_be_bytes());
        packet[24..26].copy_from_slice(&(len - 20).to_be_bytes());
        assert_eq!(OPEN_GENEVE(&packet, PEERS).is_ok(), is_right, "{options:?}");
    }
}

#[test]
fn every_wrong_identity_in_a_tunnel_is_found() {
    let packet = bytes(ST6);
    for at in (8..20).chain(24..36) {
        let mut damaged = packet.clone();
        damaged[at] ^= 0x10;
        let error = Call::of(&damaged, Way::Request).unwrap_err();
        assert_eq!(error.reason().name(), "bad_identity", "{at}");
    }
    let error = Call::of(&packet[..63], Way::Request).unwrap_err();
    assert_eq!(error.reason().name(), "bad_encap");
    let unknown = Refused::from(BadIdentity::SubnetKey);
    assert_eq!(unknown.reason().name(), "bad_identity");
}

#[test]
fn keys_are_24_bits_and_none_of_the_platform_s_others() {
    for key in [253, 254, 0x0100_0000, u32::MAX] {
        assert_eq!(Key::new(key), None);
    }
    for key in [0, 100, 252, 255, 0x00ff_ffff] {
        assert_eq!(Key::new(key).unwrap().get(), key);
    }
}

#[test]
fn what_would_be_too_long_is_not_written() {
    let inner = vec![0; 65535 - nvgre::LEN + 1];
    assert_eq!(nvgre::header(&ends(), Key::PLATFORM, 0, &inner), None);
    assert!(nvgre::header(&ends(), Key::PLATFORM, 0, &inner[1..]).is_some());
    assert_eq!(geneve::header(&ends(), identity(), 0, &inner), None);
}

proptest! {
    #[test]
    fn what_is_written_is_read(
        vnet in 1u32..=0xff_fffe, subnet in 1u16.., region: u16, key in 255u32..0x100_0000,
        hash: u32, payload in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        let identity = Identity {
            vnet: VnetKey::new(vnet).unwrap(),
            subnet: SubnetKey::new(subnet).unwrap(),
            region,
        };
        let key = Key::new(key).unwrap();
        let [mut st6, mut guest] = [ST6, GUEST].map(bytes);
        st6.extend(&payload);
        guest.extend(&payload);
        let len = u16::try_from(st6.len() - 40).unwrap().to_be_bytes();
        st6[4..6].copy_from_slice(&len);
        let len = u16::try_from(guest.len()).unwrap().to_be_bytes();
        guest[2..4].copy_from_slice(&len);

        let flow = hash.to_be_bytes()[0];
        let packet = [&nvgre::header(&ends(), key, flow, &st6).unwrap()[..], &st6].concat();
        prop_assert_eq!(nvgre::open(&packet, PEERS, key), Ok(&st6[..]));
        let packet = [&vxlan::header(&ends(), key, hash, &st6).unwrap()[..], &st6].concat();
        prop_assert!(u16::from_be_bytes([packet[20], packet[21]]) >= 49152);
        prop_assert_eq!(vxlan::open(&packet, PEERS, key), Ok(&st6[..]));
        let packet = [&geneve::header(&ends(), identity, hash, &guest).unwrap()[..], &guest].concat();
        let expected = Guest { identity, packet: &guest };
        prop_assert_eq!(geneve::open(&packet, PEERS), Ok(expected));
        let packet = [&vxlan::header_gbp(&ends(), identity, hash, &guest).unwrap()[..], &guest].concat();
        let expected = Guest { identity: Identity { region: 0, ..identity }, packet: &guest };
        prop_assert_eq!(vxlan::open_gbp(&packet, PEERS), Ok(expected));
    }

    #[test]
    fn damage_is_refused_or_leaves_a_packet_that_is_whole(
        which in 0usize..4, edits in prop::collection::vec((0usize..120, any::<u8>()), 0..5),
        end in 0usize..120,
    ) {
        let (mut packet, _, _, open) = carriers().into_iter().nth(which).unwrap();
        for (at, byte) in edits {
            if let Some(place) = packet.get_mut(at) {
                *place = byte;
            }
        }
        packet.truncate(end.max(1));
        if let Ok(opened) = open(&packet, PEERS) {
            prop_assert!(opened.packet.len() >= 20 && packet.ends_with(&opened.packet)
                || packet.windows(opened.packet.len()).any(|part| part == opened.packet));
        }
    }
}
