//! TCP as a middlebox sees it: when a connection is open, when it is over.
//!
//! ```text
//!            SYN            SYN|ACK                     ACK
//!  (miss) --------> SynSent -------------> SynReceived -----> Established
//!                                                                 | a FIN acknowledged
//!                       FIN of both acknowledged                  v
//!            Closed <------------------------------------------ Closing
//!
//!  any but Closed --- RST that its receiver takes ---> Reset
//!  Reset --- the RST's receiver goes on sending ---> Closing or Established
//! ```
//!
//! A segment is *believed* if its sender knows the connection: it lies in the window that the other
//! side offers and acknowledges what that side sent (RFC 9293 section 3.10.7.4, RFC 5961 section 5).
//! One that is not believed changes nothing here. It passes all the same: what is seen from the middle
//! may lag behind what the ends know, the ends judge by the same rules, and their challenge (an
//! acknowledgement, and the reset that follows it if there is no connection) has to come through.
//!
//! - RST counts if its number is exactly the next one (RFC 5961 section 3). In the window, but not
//!   exact, it is for its receiver to challenge; what the challenge brings counts. Even then the pair is
//!   not dropped at once but kept for a while, because the end may have seen it otherwise (RFC 7857
//!   section 2.2).
//! - SYN on a live connection changes nothing (RFC 5961 section 4): the reset that answers the challenge
//!   ends it, and the next SYN of the initiator opens it anew. The responder opens nothing.
//! - FIN counts when the other side has acknowledged it.
//!
//! `Closed` is the TIME-WAIT of both ends (RFC 9293 section 3.6): late segments still pass, the
//! translated tuple rests, and no reset cuts that short (RFC 1337).

use super::Side;
use crate::wire::tcp::{Flags, Segment};

/// Where a connection stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TcpState {
    /// The first SYN went out.
    SynSent,
    /// One side has acknowledged the other's SYN.
    SynReceived,
    /// The handshake is done.
    Established,
    /// The FIN of one side is acknowledged.
    Closing,
    /// Both FINs are acknowledged.
    Closed,
    /// A RST passed that its receiver takes.
    Reset,
}

/// What one side has sent. Sixteen bytes, because every flow has room for two of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Half {
    /// The sequence number after the last one sent: behind its FIN, if it sent that.
    next: u32,
    /// The last acknowledgement sent: what the side expects next.
    expects: u32,
    /// The end of the window that it offers, the furthest ever. Before it has acknowledged anything:
    /// its initial sequence number.
    edge: u32,
    /// The window of its SYN.
    window: u16,
    /// The shift of its windows, at most 14: what it announced, but none unless both sides did (RFC 7323
    /// section 2.2).
    scale: u8,
    /// What happened: of [`SENT`] and the like.
    marks: u8,
}

/// It sent something that is believed.
const SENT: u8 = 1;
/// It acknowledged something.
const ACKED: u8 = 2;
/// It sent FIN, which ends at `next`.
const FIN: u8 = 4;
/// Its FIN is acknowledged.
const FIN_ACKED: u8 = 8;
/// It sent a segment in fragments: the numbers of all but the first of them were not seen.
const CUT: u8 = 16;
/// Its SYN announced a shift.
const SCALES: u8 = 32;
/// Not the responder's half yet: the initiator's second attempt, with another number than the first.
const RETRY: u8 = 64;

/// How far numbers can lie behind, at least, in segments that came out of order.
const SPAN: u32 = 0xffff;

/// How far the first segments reach, a SYN with data among them, before anything is acknowledged.
const FIRST: u32 = 2048;

impl Half {
    /// Returns the half of who sent this SYN.
    fn of_syn(syn: &Segment, marks: u8) -> Self {
        Self {
            next: end_of(syn),
            expects: 0,
            edge: syn.seq,
            window: syn.window,
            scale: syn.window_scale.unwrap_or(0),
            marks: marks
                | if syn.window_scale.is_some() {
                    SCALES
                } else {
                    0
                },
        }
    }

    #[inline]
    fn has(&self, mark: u8) -> bool {
        self.marks & mark != 0
    }

    /// Returns whether `ack` acknowledges this side's SYN, while nothing else is.
    fn is_syn_acked_by(&self, ack: u32) -> bool {
        is_after(ack, self.edge) && !is_after(ack, self.next)
    }

    /// Notes an acknowledgement that is believed, with a window of so many bytes.
    #[inline]
    fn acknowledge(&mut self, ack: u32, window: u32) {
        if is_after(ack, self.expects) {
            self.expects = ack;
        }
        let edge = ack.wrapping_add(window);
        if is_after(edge, self.edge) {
            self.edge = edge;
        }
    }
}

/// The state of one connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TcpTrack {
    state: TcpState,
    halves: [Half; 2],
    /// Who sent the reset, in state `Reset`.
    resetter: Side,
}

impl TcpTrack {
    /// Returns the state after the first SYN.
    #[must_use]
    pub fn open(syn: &Segment) -> Self {
        Self {
            state: TcpState::SynSent,
            halves: [Half::of_syn(syn, SENT), Half::default()],
            resetter: Side::Initiator,
        }
    }

    /// Returns where the connection stands.
    #[must_use]
    #[inline]
    pub fn state(&self) -> TcpState {
        self.state
    }

    /// Returns whether a SYN of the initiator begins a new connection on the same tuple: the old one is
    /// over (RFC 9293 section 3.6.1, RFC 6191).
    #[must_use]
    #[inline]
    pub fn may_reopen(&self) -> bool {
        matches!(self.state, TcpState::Closed | TcpState::Reset)
    }

    /// Notes that a segment of `side` comes in fragments, of which only the first one is seen.
    #[cold]
    pub fn cut(&mut self, side: Side) {
        self.sides_mut(side).0.marks |= CUT;
    }

    /// Takes a segment of `side` into account, and returns whether it shows that the connection is
    /// alive. An established one whose numbers may have been missed lives by whatever comes, so that it is
    /// not cut short.
    #[inline]
    pub fn observe(&mut self, side: Side, segment: &Segment) -> bool {
        let kind = segment.flags.0 & (Flags::SYN.0 | Flags::RST.0 | Flags::ACK.0);
        if kind != Flags::ACK.0 || self.state == TcpState::SynSent {
            return self.observe_control(side, segment)
                || self.state == TcpState::Established && self.may_be_lost();
        }
        let [initiator, responder] = &self.halves;
        let marks = (initiator.marks | responder.marks) & (FIN | CUT);
        let is_plain =
            marks == 0 && self.state == TcpState::Established && !segment.flags.has(Flags::FIN);
        if !is_plain || !self.is_in_order(side, segment) {
            return self.observe_rare(side, segment);
        }
        let (own, _) = self.sides_mut(side);
        let end = segment.seq.wrapping_add(segment.payload_len);
        if is_after(end, own.next) {
            own.next = end;
        }
        own.acknowledge(segment.ack, u32::from(segment.window) << (own.scale & 15));
        true
    }

    /// Returns whether a segment of an established connection is one of those that nearly all are.
    #[inline]
    fn is_in_order(&self, side: Side, segment: &Segment) -> bool {
        let (own, peer) = self.sides(side);
        let (seq, ack) = (segment.seq, segment.ack);
        let end = seq.wrapping_add(segment.payload_len);
        // None of these differences is negative: it is not older than what is expected, within the
        // window, acknowledges nothing that was not sent, and nothing long acknowledged.
        let differences = end.wrapping_sub(peer.expects)
            | peer.edge.wrapping_sub(seq)
            | peer.next.wrapping_sub(ack)
            | ack.wrapping_sub(own.expects).wrapping_add(SPAN);
        differences >> 31 == 0
    }

    /// Takes any segment into account that acknowledges something and is no SYN and no RST.
    #[cold]
    fn observe_rare(&mut self, side: Side, segment: &Segment) -> bool {
        if !self.is_believed(side, segment) {
            return self.observe_strange(side, segment);
        }
        self.note(side, segment);
        self.state = self.next_state(side);
        true
    }

    /// Takes a segment into account that is a SYN or a RST or acknowledges nothing, or that comes before
    /// the responder answered.
    #[cold]
    fn observe_control(&mut self, side: Side, segment: &Segment) -> bool {
        let flags = segment.flags;
        if flags.has(Flags::RST) {
            let is_taken = self.is_reset(side, segment);
            if is_taken {
                self.state = TcpState::Reset;
                self.resetter = side;
            }
            return is_taken;
        }
        let acks = flags.has(Flags::ACK);
        if !flags.has(Flags::SYN) || flags.has(Flags::FIN) {
            return false;
        }
        match (self.state, side) {
            (TcpState::SynSent, Side::Initiator) if acks => self.meet(segment),
            (TcpState::SynSent, Side::Initiator) => self.retry(segment),
            (TcpState::SynReceived, Side::Initiator) if acks => self.meet_late(segment),
            (TcpState::SynSent | TcpState::SynReceived, Side::Responder) if acks => {
                self.answer(segment)
            }
            _ => false,
        }
    }

    /// The initiator sends its SYN again, or tries anew with another number. Which of both it means
    /// the responder's answer will tell.
    fn retry(&mut self, syn: &Segment) -> bool {
        let [first, other] = &mut self.halves;
        let is_same = syn.seq == first.edge;
        if !is_same {
            *other = Half::of_syn(syn, RETRY);
        }
        is_same
    }

    /// The initiator acknowledges a SYN of the responder with its own: both open at once (RFC 9293
    /// section 3.5). The responder's SYN alone could be anybody's.
    fn meet(&mut self, answer: &Segment) -> bool {
        let [initiator, responder] = &mut self.halves;
        if answer.seq != initiator.edge {
            return false;
        }
        *responder = Half {
            next: answer.ack,
            expects: initiator.next,
            edge: initiator.next.wrapping_add(SPAN),
            marks: SENT,
            ..Half::default()
        };
        initiator.edge = answer.ack;
        initiator.expects = answer.ack;
        initiator.acknowledge(answer.ack, u32::from(answer.window));
        initiator.marks |= ACKED;
        self.state = TcpState::SynReceived;
        true
    }

    /// As [`Self::meet`], but the responder's own answer came first.
    fn meet_late(&mut self, answer: &Segment) -> bool {
        let [initiator, responder] = &mut self.halves;
        if end_of(answer) != initiator.next || answer.ack != responder.next {
            return false;
        }
        initiator.acknowledge(answer.ack, u32::from(answer.window));
        initiator.marks |= ACKED;
        self.state = self.next_state(Side::Initiator);
        true
    }

    /// The responder answers with a SYN: to the first attempt, to another one, or with another number
    /// than before, as one does that remembers no attempts. All have to acknowledge the SYN.
    fn answer(&mut self, answer: &Segment) -> bool {
        let [initiator, responder] = &mut self.halves;
        if self.state == TcpState::SynReceived {
            let acks = answer.ack == initiator.next;
            if acks && responder.next == end_of(answer) {
                responder.scale = answer.window_scale.unwrap_or(0);
                responder.marks |= answer.window_scale.map_or(0, |_| SCALES);
                responder.acknowledge(answer.ack, u32::from(answer.window));
                responder.marks |= ACKED;
                agree_on_scales(&mut self.halves);
                self.state = self.next_state(Side::Responder);
                return true;
            }
            if !acks || initiator.has(ACKED) {
                return false;
            }
        } else if !initiator.is_syn_acked_by(answer.ack) {
            if !responder.has(RETRY) || !responder.is_syn_acked_by(answer.ack) {
                return false;
            }
            *initiator = *responder;
            initiator.marks = initiator.marks & !RETRY | SENT;
        }
        *responder = Half::of_syn(answer, SENT | ACKED);
        responder.expects = answer.ack;
        responder.edge = answer.ack;
        responder.acknowledge(answer.ack, u32::from(answer.window));
        // What it will acknowledge first; its SYN had a window already.
        initiator.expects = responder.next;
        initiator.edge = responder.next.wrapping_add(u32::from(initiator.window));
        agree_on_scales(&mut self.halves);
        self.state = TcpState::SynReceived;
        true
    }

    /// Takes a plain segment into account that is not believed. One alone can be right: the initiator
    /// acknowledges another SYN of the responder than the last one that was seen.
    #[cold]
    fn observe_strange(&mut self, side: Side, segment: &Segment) -> bool {
        let [initiator, responder] = &mut self.halves;
        let is_first = self.state == TcpState::SynReceived
            && side == Side::Initiator
            && !initiator.has(ACKED)
            && segment.seq == initiator.next;
        if is_first {
            responder.next = segment.ack;
            initiator.expects = segment.ack;
            initiator.edge = segment.ack;
            self.note(side, segment);
            self.state = self.next_state(side);
        }
        is_first || self.state == TcpState::Established && self.may_be_lost()
    }

    /// Returns whether numbers of the connection may have been missed: parts of segments were not seen, or
    /// how far a window reaches is not known.
    fn may_be_lost(&self) -> bool {
        let [initiator, responder] = &self.halves;
        initiator.has(CUT) || responder.has(CUT) || initiator.has(SCALES) != responder.has(SCALES)
    }

    /// Returns whether the sender of a segment that acknowledges something knows the connection.
    fn is_believed(&self, side: Side, segment: &Segment) -> bool {
        let (own, peer) = self.sides(side);
        let ack = segment.ack;
        // A probe of who keeps a connection alive lies just before what is expected.
        let is_new = !is_after(peer.expects.wrapping_sub(1), end_of(segment));
        let is_taken = !is_after(segment.seq, peer.edge);
        let unseen = u32::from(peer.marks & CUT) << 12;
        let is_sent = !is_after(ack, peer.next.wrapping_add(unseen));
        // What overtook it may have acknowledged more, as much as is under way at once.
        let is_since = |span: u32| !is_after(own.expects.wrapping_sub(span), ack);
        is_new
            && is_taken
            && is_sent
            && (is_since(SPAN) || is_since(own.edge.wrapping_sub(own.expects)))
    }

    /// Records what a believed segment says of `side`, and whether it acknowledges the peer's FIN.
    fn note(&mut self, side: Side, segment: &Segment) {
        let (own, peer) = self.sides_mut(side);
        let end = end_of(segment);
        if segment.flags.has(Flags::FIN) || own.has(FIN) {
            own.note_end(segment, end);
        } else if is_after(end, own.next) {
            own.next = end;
        }
        own.acknowledge(segment.ack, u32::from(segment.window) << (own.scale & 15));
        own.marks |= ACKED;
        if peer.has(CUT) && is_after(segment.ack, peer.next) {
            peer.next = segment.ack;
        }
        if peer.has(FIN) && segment.ack == peer.next {
            peer.marks |= FIN_ACKED;
        }
    }

    fn next_state(&self, side: Side) -> TcpState {
        match self.state {
            TcpState::SynReceived if self.halves.iter().all(|half| half.has(ACKED)) => {
                self.open_state()
            }
            TcpState::Established | TcpState::Closing => self.open_state(),
            TcpState::Reset if side != self.resetter => self.open_state(),
            state => state,
        }
    }

    fn open_state(&self) -> TcpState {
        let [initiator, responder] = &self.halves;
        match (initiator.has(FIN_ACKED), responder.has(FIN_ACKED)) {
            (true, true) => TcpState::Closed,
            (false, false) => TcpState::Established,
            _ => TcpState::Closing,
        }
    }

    /// Returns whether the receiver of this RST takes it: before there is a connection it has to
    /// acknowledge the SYN, later its number must be the next one. What that is can be seen from the
    /// middle in two ways, by what was sent and by what was acknowledged; one end resets by the one,
    /// the other one answers by the other.
    fn is_reset(&self, side: Side, segment: &Segment) -> bool {
        let (own, peer) = self.sides(side);
        let acks = segment.flags.has(Flags::ACK);
        let is_next = own.has(SENT) && segment.seq == own.next
            || peer.has(ACKED) && segment.seq == peer.expects;
        match (self.state, side) {
            (TcpState::Closed, _) => false,
            (TcpState::SynSent, Side::Initiator) => is_next || segment.seq == own.edge,
            (TcpState::SynSent, Side::Responder) => {
                let is_retry = own.has(RETRY) && own.is_syn_acked_by(segment.ack);
                acks && (peer.is_syn_acked_by(segment.ack) || is_retry)
            }
            (TcpState::SynReceived, Side::Responder) => {
                is_next || acks && !peer.has(ACKED) && segment.ack == peer.next
            }
            _ => is_next,
        }
    }

    #[inline]
    fn sides(&self, side: Side) -> (&Half, &Half) {
        let [initiator, responder] = &self.halves;
        match side {
            Side::Initiator => (initiator, responder),
            Side::Responder => (responder, initiator),
        }
    }

    #[inline]
    fn sides_mut(&mut self, side: Side) -> (&mut Half, &mut Half) {
        let [initiator, responder] = &mut self.halves;
        match side {
            Side::Initiator => (initiator, responder),
            Side::Responder => (responder, initiator),
        }
    }

    /// Returns whether a segment of `side` that begins at `seq` may be under way: sent, and not acknowledged
    /// yet, as far as that is known. An error that quotes another one is not about this connection, or is
    /// too late to tell anything (RFC 5927 section 4).
    #[must_use]
    pub fn is_under_way(&self, side: Side, seq: u32) -> bool {
        let (own, peer) = self.sides(side);
        if !own.has(SENT) {
            // Of the other half nothing was seen.
            return true;
        }
        if self.state == TcpState::SynSent && peer.has(RETRY) && seq == peer.edge {
            return true;
        }
        let since = match peer.has(ACKED) {
            true => peer.expects,
            false => own.next.wrapping_sub(FIRST),
        };
        let unseen = u32::from(own.marks & CUT) << 12;
        !is_after(since, seq) && !is_after(seq, own.next.wrapping_add(unseen))
    }

    /// Returns the sequence and acknowledgement number with which `side` is to be reset: what it
    /// expects next, as far as it said so, and what it has sent.
    #[must_use]
    pub fn reset_numbers(&self, side: Side) -> (u32, u32) {
        let (own, peer) = self.sides(side);
        let seq = match (own.has(ACKED), peer.has(SENT)) {
            (true, _) => own.expects,
            (false, true) => peer.next,
            (false, false) => 0,
        };
        let sent = if own.has(SENT) { own.next } else { 0 };
        (seq, sent)
    }
}

impl Half {
    /// Notes the end of a segment that is a FIN, or comes from who sent one. Nothing is sent behind a
    /// FIN or in its place: data there show that the FIN was not the sender's.
    #[cold]
    fn note_end(&mut self, segment: &Segment, end: u32) {
        if self.has(FIN_ACKED) {
            return;
        }
        let is_fin = segment.flags.has(Flags::FIN);
        if is_after(end, self.next) {
            self.next = end;
        } else if end != self.next || !is_fin && segment.payload_len == 0 {
            // Sent again, or an acknowledgement behind the FIN.
            return;
        }
        if is_fin {
            self.marks |= FIN;
        } else {
            self.marks &= !FIN;
        }
    }
}

/// Returns the sequence number after a segment.
#[inline]
fn end_of(segment: &Segment) -> u32 {
    let flags = segment.flags.0;
    let control = flags & Flags::FIN.0 | flags >> 1 & 1;
    segment
        .seq
        .wrapping_add(segment.payload_len)
        .wrapping_add(u32::from(control))
}

/// Returns whether `a` comes after `b` in sequence space.
#[inline]
fn is_after(a: u32, b: u32) -> bool {
    b.wrapping_sub(a) >> 31 != 0
}

/// Leaves no shift to either side unless both announced one.
fn agree_on_scales(halves: &mut [Half; 2]) {
    if !halves.iter().all(|half| half.has(SCALES)) {
        for half in halves {
            half.scale = 0;
        }
    }
}

#[cfg(test)]
mod oracle;
#[cfg(test)]
mod tests;
