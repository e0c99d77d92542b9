use super::*;
use hickory_proto::rr::rdata::A;
use hickory_proto::rr::{RData, Record};
use std::net::Ipv4Addr;

/// A query for `cOntoso.` in the plain form: no EDNS, recursion desired.
const PLAIN: &[u8] =
    b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x07cOntoso\x00\x00\x01\x00\x01";

/// An EDNS record: payload of 4096 octets, version 0, DO.
const EDNS: &[u8] = b"\x00\x00\x29\x10\x00\x00\x00\x80\x00\x00\x00";

fn with_edns(edns: &[u8]) -> Vec<u8> {
    let mut bytes = [PLAIN, edns].concat();
    bytes[11] = 1;
    bytes
}

/// The bytes of the error that a message is answered with.
fn refusal(bytes: &[u8]) -> Vec<u8> {
    match Query::read(bytes) {
        Err(Unreadable::Refused(message)) => write(&message).unwrap(),
        other => panic!("{other:?} for {bytes:x?}"),
    }
}

#[test]
fn a_response_repeats_the_question_case_and_all() {
    let query = Query::read(PLAIN).unwrap();
    assert_eq!(query.id(), 0x1234);
    assert_eq!(query.question_end, PLAIN.len());
    let bytes = write(&query.response(ResponseCode::NXDomain)).unwrap();
    let mut wanted = PLAIN.to_vec();
    wanted[2..4].copy_from_slice(b"\x81\x83");
    assert_eq!(bytes, wanted);
}

#[test]
fn edns_is_answered_by_edns_and_only_then() {
    let query = Query::read(&with_edns(EDNS)).unwrap();
    let bytes = write(&query.response(ResponseCode::NoError)).unwrap();
    let mut wanted = with_edns(b"\x00\x00\x29\x04\xd0\x00\x00\x80\x00\x00\x00");
    wanted[2..4].copy_from_slice(b"\x81\x80");
    assert_eq!(bytes, wanted);
}

#[test]
fn what_is_no_query_is_ignored() {
    let mut response = PLAIN.to_vec();
    response[2] |= 0x80;
    for bytes in [&b""[..], &PLAIN[..11], &response] {
        assert!(
            matches!(Query::read(bytes), Err(Unreadable::Ignored)),
            "{bytes:x?}"
        );
    }
}

#[test]
fn malformed_queries_are_answered_by_their_header_alone() {
    let formerr = b"\x12\x34\x81\x81\x00\x00\x00\x00\x00\x00\x00\x00";
    let header = |counts: &[u8], rest: &[u8]| [b"\x12\x34\x01\x00", counts, rest].concat();
    let one: &[u8] = b"\x00\x01\x00\x00\x00\x00\x00\x00";
    let many: &[u8] = b"\xff\xff\xff\xff\xff\xff\xff\xff";
    let long = [b"\x3f".as_slice(), &[b'x'; 63]].concat();
    for bytes in [
        // Nothing behind the header; cut in the name; cut behind it.
        header(one, b""),
        PLAIN[..16].to_vec(),
        PLAIN[..PLAIN.len() - 1].to_vec(),
        // A pointer to itself, a pair that points at each other, one that points ahead.
        header(one, b"\xc0\x0c\x00\x01\x00\x01"),
        header(one, b"\xc0\x0e\xc0\x0c\x00\x01\x00\x01"),
        header(one, b"\x01a\xc0\x20\x00\x01\x00\x01"),
        // A label of a kind that there is not; a name that is too long.
        header(one, b"\x40a\x00\x00\x01\x00\x01"),
        header(
            one,
            &[&long.repeat(4), b"\x00\x00\x01\x00\x01".as_slice()].concat(),
        ),
        // No question, two of them, records where none belong, counts that cannot be.
        header(b"\x00\x00\x00\x00\x00\x00\x00\x00", b""),
        header(b"\x00\x02\x00\x00\x00\x00\x00\x00", &PLAIN[12..].repeat(2)),
        header(b"\x00\x01\x00\x01\x00\x00\x00\x00", &PLAIN[12..]),
        header(b"\x00\x01\x00\x00\x00\x01\x00\x00", &PLAIN[12..]),
        header(many, &PLAIN[12..]),
        // Bytes behind the end; two EDNS records; one that is cut; one whose length lies.
        [PLAIN, b"\x00"].concat(),
        header(
            b"\x00\x01\x00\x00\x00\x00\x00\x02",
            &[&PLAIN[12..], EDNS, EDNS].concat(),
        ),
        with_edns(&EDNS[..EDNS.len() - 1]),
        with_edns(b"\x00\x00\x29\x10\x00\x00\x00\x00\x00\x00\x05"),
    ] {
        assert_eq!(refusal(&bytes), formerr, "{bytes:x?}");
    }
    let huge = [PLAIN, &[0; MAX_QUERY]].concat();
    assert_eq!(refusal(&huge), formerr);
}

#[test]
fn other_operations_are_not_implemented() {
    for op in [1, 2, 4, 5, 15] {
        let mut bytes = PLAIN.to_vec();
        bytes[2] = op << 3;
        let answer = refusal(&bytes);
        assert_eq!(answer[2..4], [0x80 | op << 3, 0x84], "operation {op}");
        assert_eq!(answer.len(), 12);
    }
}

#[test]
fn an_edns_version_to_come_is_refused_by_its_own_code() {
    let answer = refusal(&with_edns(b"\x00\x00\x29\x10\x00\x00\x01\x00\x00\x00\x00"));
    // 16 is split: its low bits in the header, 1 above them in the EDNS record of version 0.
    assert_eq!(answer[3] & 0xf, 0);
    assert_eq!(
        answer[PLAIN.len()..],
        *b"\x00\x00\x29\x04\xd0\x01\x00\x00\x00\x00\x00"
    );
}

#[test]
fn what_is_too_long_for_a_datagram_is_cut_and_marked() {
    let plain = Query::read(PLAIN).unwrap();
    let edns = Query::read(&with_edns(EDNS)).unwrap();
    for (query, most) in [(plain, 512), (edns, 1232)] {
        let mut message = query.response(ResponseCode::NoError);
        let fits = |message: &Message| write(message).unwrap().len() <= most;
        let record = |octet| {
            let name = query.question.name().clone();
            Record::from_rdata(name, 60, RData::A(A(Ipv4Addr::from([octet; 4]))))
        };
        while fits(&message) {
            let whole = write(&message).unwrap();
            assert_eq!(query.write(&message, Transport::Udp), Some(whole));
            message.add_answer(record(1));
        }
        let cut = query.write(&message, Transport::Udp).unwrap();
        assert_eq!(cut[2] & 2, 2, "the mark");
        assert_eq!(cut[6..8], [0, 0], "no answers");
        assert_eq!(cut[12..PLAIN.len()], PLAIN[12..]);
        let whole = write(&message);
        assert_eq!(query.write(&message, Transport::Tcp), whole);
    }
}

#[test]
fn a_small_payload_counts_as_512() {
    let query = Query::read(&with_edns(b"\x00\x00\x29\x00\x20\x00\x00\x00\x00\x00\x00")).unwrap();
    assert_eq!(query.limit(Transport::Udp), 512);
    assert_eq!(query.limit(Transport::Tcp), 65535);
}

#[test]
fn a_refusal_says_why_to_those_who_can_read_it() {
    let told = |bytes: &[u8]| {
        let query = Query::read(bytes).unwrap();
        write(&query.refusal(ResponseCode::Refused, Extended::NO_FORWARDER)).unwrap()
    };
    let text = Extended::NO_FORWARDER.text.as_bytes();
    let answer = told(&with_edns(EDNS));
    let (rest, tail) = answer.split_at(answer.len() - text.len());
    assert_eq!(tail, text);
    assert!(rest.ends_with(b"\x00\x14"), "code 20: {rest:x?}");
    assert_eq!(told(PLAIN).len(), PLAIN.len());
}

#[test]
fn no_bytes_make_it_panic() {
    // Every cut and every changed octet of a query with everything in it.
    let whole = with_edns(b"\x00\x00\x29\x10\x00\x00\x00\x80\x00\x00\x05\x00\x0a\x00\x01\x07");
    for at in 0..whole.len() {
        let _ = Query::read(&whole[..at]);
        for value in 0..=u8::MAX {
            let mut bytes = whole.clone();
            bytes[at] = value;
            if let Ok(query) = Query::read(&bytes) {
                assert!(
                    query
                        .write(&query.response(ResponseCode::NoError), Transport::Udp)
                        .is_some()
                );
            }
        }
    }
}
