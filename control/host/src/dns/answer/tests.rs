use super::super::zone::tests::zone;
use super::*;

/// A query for a name: no EDNS, recursion desired.
fn query(name: &[u8], kind: u8, class: u8) -> Vec<u8> {
    let header = b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00";
    [header, name, &[0, 0, kind, 0, class]].concat()
}

const CONTOSO: &[u8] = b"\x07cOnToSo\x04bLob\x04core\x07windows\x03net";
const ASKER: Ipv4Addr = Ipv4Addr::new(10, 0, 1, 5);

fn answer(zone: &Zone, bytes: &[u8]) -> Vec<u8> {
    match reply(zone, bytes, ASKER, Transport::Udp) {
        Reply::Answer(bytes) => bytes,
        other => panic!("{other:?} for {bytes:x?}"),
    }
}

#[test]
fn an_address_is_answered_bit_for_bit() {
    let asked = query(CONTOSO, 1, 1);
    let mut wanted = asked.clone();
    wanted[2..8].copy_from_slice(b"\x81\x80\x00\x01\x00\x01");
    // The name of the answer points to the question, whose case it so keeps.
    wanted.extend_from_slice(b"\xc0\x0c\x00\x01\x00\x01\x00\x00\x00\x3c\x00\x04\x14\x3c\x10\x05");
    assert_eq!(answer(&zone(""), &asked), wanted);
}

#[test]
fn an_absent_kind_is_no_data_with_the_zone_that_says_so() {
    let asked = query(b"\x07cOnToSo\x04blob\x04core\x07windows\x03net", 28, 1);
    let mut wanted = asked.clone();
    wanted[2..10].copy_from_slice(b"\x81\x80\x00\x01\x00\x00\x00\x01");
    // The zone is within the question, behind its first label.
    wanted.extend_from_slice(b"\xc0\x14\x00\x06\x00\x01\x00\x00\x00\x0a");
    let answered = answer(&zone(""), &asked);
    assert_eq!(answered[..wanted.len()], wanted);
    assert_eq!(answered[answered.len() - 4..], [0, 0, 0, 10], "its minimum");
    let absent = answer(
        &zone(""),
        &query(b"\x06absent\x04blob\x04core\x07windows\x03net", 28, 1),
    );
    assert_eq!(absent[2..10], *b"\x81\x83\x00\x01\x00\x00\x00\x01");
}

#[test]
fn what_nobody_here_knows_is_refused_without_forwarders_and_forwarded_with_them() {
    let asked = query(b"\x07example\x03com", 1, 1);
    let refused = answer(&zone(""), &asked);
    assert_eq!(refused[2..4], *b"\x81\x85");
    assert_eq!(refused.len(), asked.len());
    let zone = zone("[dns]\nforwarders = [\"192.0.2.53\"]\n");
    let forwarded = reply(&zone, &asked, ASKER, Transport::Udp);
    assert!(matches!(forwarded, Reply::Forward(_)), "{forwarded:?}");
    let known = reply(&zone, &query(CONTOSO, 1, 1), ASKER, Transport::Udp);
    assert!(matches!(known, Reply::Answer(_)), "{known:?}");
}

#[test]
fn other_classes_and_transfers_are_refused_even_with_forwarders() {
    let zone = zone("[dns]\nforwarders = [\"192.0.2.53\"]\n");
    for (kind, class) in [(16, 3), (1, 4), (252, 1), (251, 1), (41, 1)] {
        let refused = answer(&zone, &query(b"\x07version\x04bind", kind, class));
        assert_eq!(refused[3] & 0xf, 5, "type {kind}, class {class}");
    }
}

#[test]
fn an_address_inside_is_answered_by_its_name() {
    let asked = query(b"\x014\x011\x010\x0210\x07in-addr\x04arpa", 12, 1);
    let answered = answer(&zone(""), &asked);
    assert_eq!(answered[2..8], *b"\x81\x80\x00\x01\x00\x01");
    let tail = b"\x03vm0\x08internal\x08cloudapp\x03net\x00";
    assert!(answered.ends_with(tail), "{answered:x?}");
}

#[test]
fn nobody_is_answered_who_did_not_ask() {
    let mut response = query(CONTOSO, 1, 1);
    response[2] |= 0x80;
    for bytes in [&response[..], b"", b"\x00"] {
        let nothing = reply(&zone(""), bytes, ASKER, Transport::Udp);
        assert!(matches!(nothing, Reply::Nothing), "{nothing:?}");
    }
}
