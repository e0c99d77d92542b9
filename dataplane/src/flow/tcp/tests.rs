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
    assert_eq!(track.state(), TcpState::SynSent, "anybody can send a SYN");
    track.observe(A, &seg(SYN | ACK, 100, 501, 0));
    assert_eq!(track.state(), TcpState::SynReceived);
    track.observe(B, &seg(SYN | ACK, 500, 101, 0));
    assert_eq!(track.state(), TcpState::Established);
}

#[test]
fn simultaneous_open_is_established_in_the_other_order_too() {
    let mut track = TcpTrack::open(&seg(SYN, 100, 0, 0));
    track.observe(B, &seg(SYN, 500, 0, 0));
    track.observe(B, &seg(SYN | ACK, 500, 101, 0));
    assert_eq!(track.state(), TcpState::SynReceived);
    track.observe(A, &seg(SYN | ACK, 100, 501, 0));
    assert_eq!(track.state(), TcpState::Established);
}

#[test]
fn close_needs_both_fins_acknowledged() {
    let mut track = established();
    track.observe(A, &seg(FIN | ACK, 101, 501, 0));
    assert_eq!(track.state(), TcpState::Established, "not acknowledged yet");
    track.observe(B, &seg(ACK, 501, 102, 10));
    assert_eq!(
        track.state(),
        TcpState::Closing,
        "half-closed: data goes on"
    );
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
fn a_reset_counts_at_the_next_number_alone() {
    for side in [A, B] {
        let mut track = established();
        track.observe(A, &seg(ACK, 101, 501, 50));
        track.observe(B, &seg(ACK, 501, 101, 60));
        // Sent and not acknowledged: 101 to 150, and 501 to 560.
        let [acked, sent] = if side == A { [101, 151] } else { [501, 561] };
        let before = track;
        for near in [acked - 1, acked + 1, sent - 1, sent + 1, sent + 900] {
            track.observe(side, &seg(RST, near, 0, 0));
            track.observe(side, &seg(RST | ACK, near, 501, 0));
            assert_eq!(track, before, "{near}");
        }
        for exact in [acked, sent] {
            let mut track = before;
            assert!(track.observe(side, &seg(RST, exact, 0, 0)));
            assert_eq!(track.state(), TcpState::Reset, "{exact}");
        }
    }
}

#[test]
fn the_reset_that_answers_a_challenge_is_exact() {
    let mut track = established();
    // B died. What it sends is near, and A challenges it; B answers the challenge.
    track.observe(B, &seg(RST, 700, 0, 0));
    assert_eq!(track.state(), TcpState::Established);
    track.observe(A, &seg(ACK, 101, 501, 0));
    track.observe(B, &seg(RST, 501, 0, 0));
    assert_eq!(track.state(), TcpState::Reset);
}

#[test]
fn no_syn_moves_a_live_connection() {
    for side in [A, B] {
        for flags in [SYN, SYN | ACK, SYN | FIN, SYN | ACK | FIN, SYN | RST] {
            for (seq, ack) in [(77, 77), (101, 501), (501, 101), (0, 0)] {
                let mut track = established();
                let before = track;
                if flags & RST != 0 && (seq == 101 || seq == 501) {
                    continue;
                }
                track.observe(side, &seg(flags, seq, ack, 0));
                assert_eq!(track, before, "{side:?} {flags:#x} {seq}");
            }
        }
    }
}

#[test]
fn a_restarted_initiator_gets_through_by_the_challenge() {
    let mut track = established();
    track.observe(A, &seg(SYN, 9_000, 0, 0));
    assert!(!track.may_reopen());
    track.observe(B, &seg(ACK, 501, 101, 0));
    track.observe(A, &seg(RST, 101, 0, 0));
    assert!(track.may_reopen(), "its next SYN opens");
}

#[test]
fn a_fin_that_is_not_believed_or_not_acknowledged_closes_nothing() {
    let blind = [
        (1, 1),
        (0x7000_0000, 1),
        (501, 0x7000_0000),
        (501 + 5_000, 101),
        (90, 101),
    ];
    for (seq, ack) in blind {
        let mut track = established();
        let before = track;
        track.observe(B, &seg(FIN | ACK, seq, ack, 0));
        assert_eq!(track, before, "{seq} {ack}");
    }
    // In the window, but not the sender's: its data go on through that place.
    let mut track = established();
    track.observe(B, &seg(FIN | ACK, 700, 101, 0));
    track.observe(B, &seg(ACK, 501, 101, 200));
    track.observe(A, &seg(ACK, 101, 701, 0));
    assert_eq!(track.state(), TcpState::Established);
    track.observe(B, &seg(ACK, 701, 101, 300));
    track.observe(A, &seg(ACK, 101, 1_001, 0));
    track.observe(B, &seg(FIN | ACK, 1_001, 101, 0));
    track.observe(A, &seg(ACK, 101, 1_002, 0));
    assert_eq!(track.state(), TcpState::Closing, "the right one counts");
}

#[test]
fn a_fin_sent_again_and_one_overtaken_count_once() {
    let mut track = established();
    // The acknowledgement that A sent behind its FIN overtakes it.
    track.observe(A, &seg(ACK, 102, 501, 0));
    track.observe(A, &seg(FIN | ACK, 101, 501, 0));
    track.observe(A, &seg(FIN | ACK, 101, 501, 0));
    track.observe(B, &seg(ACK, 501, 102, 0));
    assert_eq!(track.state(), TcpState::Closing);
    track.observe(A, &seg(FIN | ACK, 101, 501, 0));
    assert_eq!(track.state(), TcpState::Closing);
    track.observe(B, &seg(FIN | ACK, 501, 102, 0));
    track.observe(B, &seg(FIN | ACK, 501, 102, 0));
    track.observe(A, &seg(ACK, 102, 502, 0));
    assert_eq!(track.state(), TcpState::Closed);
}

#[test]
fn no_reset_cuts_the_rest_of_a_closed_connection_short() {
    let mut track = established();
    track.observe(A, &seg(FIN | ACK, 101, 501, 0));
    track.observe(B, &seg(FIN | ACK, 501, 102, 0));
    track.observe(A, &seg(ACK, 102, 502, 0));
    assert_eq!(track.state(), TcpState::Closed);
    for (side, seq) in [(A, 102), (B, 502)] {
        assert!(!track.observe(side, &seg(RST, seq, 0, 0)));
    }
    assert_eq!(track.state(), TcpState::Closed);
}

#[test]
fn probes_keep_alive_and_zero_windows_stop_nothing() {
    let mut track = established();
    assert!(track.observe(A, &seg(ACK, 100, 501, 0)), "keep-alive");
    assert!(track.observe(A, &seg(ACK, 100, 501, 1)), "with a byte");
    let mut full = seg(ACK, 501, 101, 0);
    full.window = 0;
    assert!(track.observe(B, &full));
    assert!(track.observe(A, &seg(ACK, 101, 501, 1)), "window probe");
    track.observe(A, &seg(FIN | ACK, 101, 501, 0));
    track.observe(B, &seg(ACK, 501, 102, 0));
    assert_eq!(track.state(), TcpState::Closing);
}

#[test]
fn a_connection_whose_numbers_come_in_fragments_is_followed_by_what_is_acknowledged() {
    let mut track = established();
    track.cut(A);
    track.observe(A, &seg(ACK, 101, 501, 100));
    // The rest of the segment was not seen.
    track.observe(B, &seg(ACK, 501, 20_101, 0));
    track.observe(A, &seg(FIN | ACK, 20_101, 501, 0));
    track.observe(B, &seg(FIN | ACK, 501, 20_102, 0));
    track.observe(A, &seg(ACK, 20_102, 502, 0));
    assert_eq!(track.state(), TcpState::Closed);
}

#[test]
fn a_responder_that_answers_anew_is_followed_either_way() {
    for acked in [501, 9_001] {
        let mut track = TcpTrack::open(&seg(SYN, 100, 0, 0));
        track.observe(B, &seg(SYN | ACK, 500, 101, 0));
        track.observe(B, &seg(SYN | ACK, 9_000, 101, 0));
        track.observe(A, &seg(ACK, 101, acked, 0));
        assert_eq!(track.state(), TcpState::Established);
        track.observe(B, &seg(ACK, acked, 101, 10));
        track.observe(A, &seg(RST, 101, 0, 0));
        assert_eq!(track.state(), TcpState::Reset);
    }
}

#[test]
fn a_blind_answer_opens_nothing() {
    for flags in [SYN | ACK, ACK, RST, RST | ACK, FIN | ACK] {
        for ack in [0, 77, 100, 102] {
            let mut track = TcpTrack::open(&seg(SYN, 100, 0, 0));
            let before = track;
            assert!(!track.observe(B, &seg(flags, 77, ack, 0)));
            assert_eq!(track, before, "{flags:#x} {ack}");
        }
    }
}

#[test]
fn a_scale_counts_where_both_announced_one() {
    let reaches = |own: Option<u8>, other: Option<u8>| {
        let (mut syn, mut answer) = (seg(SYN, 100, 0, 0), seg(SYN | ACK, 500, 101, 0));
        (syn.window_scale, answer.window_scale) = (own, other);
        let mut track = TcpTrack::open(&syn);
        track.observe(B, &answer);
        track.observe(A, &seg(ACK, 101, 501, 0));
        let before = track;
        track.observe(B, &seg(ACK, 501 + 100_000, 101, 0));
        track != before
    };
    // 1000 << 7 reaches 128,000 bytes ahead.
    assert!(reaches(Some(7), Some(0)));
    assert!(!reaches(Some(7), None));
    assert!(!reaches(None, Some(7)));
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
