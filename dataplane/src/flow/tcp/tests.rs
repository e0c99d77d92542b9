use super::*;

const A: Side = Side::Initiator;
const B: Side = Side::Responder;

fn seg(flags: u8, seq: u32, ack: u32, payload_len: u32) -> Segment {
    Segment {
        seq,
        ack,
        flags: Flags(flags),
        window: 1000,
        window_scale: None,
        payload_len,
    }
}

const FIN: u8 = 0x01;
const SYN: u8 = 0x02;
const RST: u8 = 0x04;
const ACK: u8 = 0x10;

fn established() -> TcpTrack {
    let mut track = TcpTrack::open(&seg(SYN, 100, 0, 0));
    assert_eq!(track.state(), TcpState::SynSent);
    track.observe(B, &seg(SYN | ACK, 500, 101, 0));
    assert_eq!(track.state(), TcpState::SynReceived);
    track.observe(A, &seg(ACK, 101, 501, 0));
    assert_eq!(track.state(), TcpState::Established);
    track
}

#[test]
fn simultaneous_open_is_established() {
    let mut track = TcpTrack::open(&seg(SYN, 100, 0, 0));
    track.observe(B, &seg(SYN, 500, 0, 0));
    assert_eq!(track.state(), TcpState::SynReceived);
    track.observe(A, &seg(SYN | ACK, 100, 501, 0));
    track.observe(B, &seg(SYN | ACK, 500, 101, 0));
    assert_eq!(track.state(), TcpState::Established);
}

#[test]
fn close_needs_both_fins_acknowledged() {
    let mut track = established();
    track.observe(A, &seg(FIN | ACK, 101, 501, 0));
    assert_eq!(track.state(), TcpState::Closing);
    track.observe(B, &seg(ACK, 501, 102, 10));
    assert_eq!(track.state(), TcpState::Closing);
    track.observe(B, &seg(FIN | ACK, 511, 102, 0));
    assert_eq!(track.state(), TcpState::Closing);
    assert!(!track.may_reopen());
    track.observe(A, &seg(ACK, 102, 511, 0));
    assert_eq!(
        track.state(),
        TcpState::Closing,
        "the FIN itself is not acknowledged yet"
    );
    track.observe(A, &seg(ACK, 102, 512, 0));
    assert_eq!(track.state(), TcpState::Closed);
    assert!(track.may_reopen());
}

#[test]
fn simultaneous_close_is_closed() {
    let mut track = established();
    track.observe(A, &seg(FIN | ACK, 101, 501, 0));
    track.observe(B, &seg(FIN | ACK, 501, 101, 0));
    track.observe(A, &seg(ACK, 102, 502, 0));
    assert_eq!(track.state(), TcpState::Closing);
    track.observe(B, &seg(ACK, 502, 102, 0));
    assert_eq!(track.state(), TcpState::Closed);
}

#[test]
fn reset_counts_only_inside_the_window() {
    let mut track = established();
    track.observe(B, &seg(ACK, 501, 101, 0));
    for outside in [100, 1101, 0x8000_0000] {
        track.observe(A, &seg(RST, outside, 0, 0));
        assert_eq!(track.state(), TcpState::Established, "{outside}");
    }
    track.observe(A, &seg(RST, 101, 0, 0));
    assert_eq!(track.state(), TcpState::Reset);
}

#[test]
fn reset_answering_a_syn_must_acknowledge_it() {
    let mut track = TcpTrack::open(&seg(SYN, 100, 0, 0));
    track.observe(B, &seg(RST | ACK, 0, 100, 0));
    assert_eq!(track.state(), TcpState::SynSent);
    track.observe(B, &seg(RST, 0, 101, 0));
    assert_eq!(track.state(), TcpState::SynSent);
    track.observe(B, &seg(RST | ACK, 0, 101, 0));
    assert_eq!(track.state(), TcpState::Reset);
}

#[test]
fn receiver_that_goes_on_revives_the_connection() {
    let mut track = established();
    track.observe(A, &seg(RST, 101, 0, 0));
    track.observe(A, &seg(ACK, 101, 501, 0));
    assert_eq!(
        track.state(),
        TcpState::Reset,
        "the resetter's own late segments prove nothing"
    );
    track.observe(B, &seg(ACK, 501, 101, 0));
    assert_eq!(track.state(), TcpState::Established);
}

#[test]
fn new_attempt_replaces_the_first_syn() {
    let mut track = TcpTrack::open(&seg(SYN, 100, 0, 0));
    track.observe(A, &seg(SYN, 9000, 0, 0));
    track.observe(B, &seg(RST | ACK, 0, 9001, 0));
    assert_eq!(track.state(), TcpState::Reset);
}

#[test]
fn reset_numbers_are_what_each_side_expects() {
    let mut track = established();
    track.observe(A, &seg(ACK, 101, 501, 20));
    track.observe(B, &seg(ACK, 501, 121, 7));
    track.observe(A, &seg(ACK, 121, 508, 0));
    assert_eq!(track.reset_numbers(A), (508, 121));
    assert_eq!(track.reset_numbers(B), (121, 508));
}

#[test]
fn reset_of_a_syn_sent_initiator_acknowledges_its_syn() {
    let track = TcpTrack::open(&seg(SYN, 100, 0, 0));
    assert_eq!(track.reset_numbers(A), (0, 101));
}

#[test]
fn numbers_wrap() {
    let mut track = TcpTrack::open(&seg(SYN, u32::MAX, 0, 0));
    track.observe(B, &seg(SYN | ACK, u32::MAX - 1, 0, 0));
    track.observe(A, &seg(ACK, 0, u32::MAX, 0));
    assert_eq!(track.state(), TcpState::Established);
    track.observe(A, &seg(FIN | ACK, 0, u32::MAX, 4));
    track.observe(B, &seg(FIN | ACK, u32::MAX, 5, 0));
    track.observe(A, &seg(ACK, 5, 0, 0));
    assert_eq!(track.state(), TcpState::Closed);
}

#[test]
fn scaled_window_is_honoured_but_not_for_a_syn() {
    let mut syn = seg(SYN, 100, 0, 0);
    syn.window_scale = Some(7);
    let mut track = TcpTrack::open(&syn);
    track.observe(B, &seg(SYN | ACK, 500, 101, 0));
    track.observe(A, &seg(ACK, 101, 501, 0));
    track.observe(B, &seg(RST, 501 + 100_000, 0, 0));
    assert_eq!(
        track.state(),
        TcpState::Reset,
        "1000 << 7 reaches 128,000 bytes ahead"
    );
}
