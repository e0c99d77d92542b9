//! TCP as a middlebox sees it: when a connection is open, when it is over.
//!
//! ```text
//!            SYN              SYN|ACK, SYN             ACK
//!  (miss) ---------> SynSent ------------> SynReceived -----> Established
//!                                                                 | FIN
//!                       FIN of both acknowledged                  v
//!            Closed <------------------------------------------ Closing
//!
//!  any --- RST that its receiver would accept ---> Reset
//!  Reset --- the RST's receiver goes on sending ---> Closing or Established
//! ```
//!
//! `Closed` is the TIME-WAIT of both ends (RFC 9293 section 3.6): late segments still pass, and the
//! translated tuple rests. A reset counts only if its receiver would take it (RFC 9293 section
//! 3.10.7, RFC 5961 section 3); and even then the pair is not dropped at once but kept for a while,
//! because the endpoint may have seen it otherwise (RFC 7857 section 2.2).

use super::Side;
use crate::wire::tcp::{Flags, Segment};

/// Where a connection stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TcpState {
    /// The first SYN went out.
    SynSent,
    /// The responder answered with SYN.
    SynReceived,
    /// The handshake is done.
    Established,
    /// One side, or both, sent FIN.
    Closing,
    /// Both FINs are acknowledged.
    Closed,
    /// An acceptable RST passed.
    Reset,
}

/// What one side has sent. Sixteen bytes, because every flow has room for two of them.
#[derive(Clone, Copy, Debug, Default)]
struct Half {
    /// The sequence number after the last byte sent.
    next: u32,
    /// The last acknowledgement sent: what the side expects next.
    expects: u32,
    /// Where its FIN ends.
    fin_end: u32,
    /// The window that it offers, as it was sent.
    window: u16,
    /// The shift that it announced, at most 14, and times 16 the one that its window was sent with.
    scales: u8,
    /// What happened: of [`SENT`] and the like.
    marks: u8,
}

/// It sent something.
const SENT: u8 = 1;
/// It acknowledged something.
const ACKED: u8 = 2;
/// It sent FIN.
const FIN: u8 = 4;
/// Its FIN is acknowledged.
const FIN_ACKED: u8 = 8;

impl Half {
    #[inline]
    fn has(&self, mark: u8) -> bool {
        self.marks & mark != 0
    }

    /// Returns the window that it offers, in bytes.
    fn window(&self) -> u32 {
        u32::from(self.window) << (self.scales >> 4)
    }

    #[inline]
    fn announce(&mut self, scale: u8) {
        self.scales = self.scales & 0xf0 | scale & 0x0f;
    }

    /// Notes the window of a segment that is scaled, or of one that is not.
    #[inline]
    fn offer(&mut self, window: u16, is_scaled: bool) {
        let scale = self.scales & 0x0f;
        self.window = window;
        self.scales = scale | if is_scaled { scale << 4 } else { 0 };
    }
}

/// The state of one connection.
#[derive(Clone, Copy, Debug)]
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
        let mut track = Self {
            state: TcpState::SynSent,
            halves: [Half::default(); 2],
            resetter: Side::Initiator,
        };
        track.note(Side::Initiator, syn);
        track
    }

    /// Returns where the connection stands.
    #[must_use]
    #[inline]
    pub fn state(&self) -> TcpState {
        self.state
    }

    /// Returns whether a SYN from `side` begins a new connection on the same tuple: the old one is
    /// over (RFC 9293 section 3.6.1, RFC 6191).
    #[must_use]
    #[inline]
    pub fn may_reopen(&self) -> bool {
        matches!(self.state, TcpState::Closed | TcpState::Reset)
    }

    /// Takes a segment of `side` into account.
    #[inline]
    pub fn observe(&mut self, side: Side, segment: &Segment) {
        if segment.flags.has(Flags::RST) {
            if self.is_acceptable_reset(side, segment) {
                self.state = TcpState::Reset;
                self.resetter = side;
            }
            return;
        }
        if segment.flags.opens() && self.state == TcpState::SynSent && side == Side::Initiator {
            // The same SYN again, or a new attempt that gave up the first.
            *self = Self::open(segment);
            return;
        }
        self.note(side, segment);
        self.state = self.next_state(side, segment);
    }

    fn next_state(&self, side: Side, segment: &Segment) -> TcpState {
        let [initiator, responder] = &self.halves;
        match self.state {
            TcpState::SynSent if side == Side::Responder && segment.flags.has(Flags::SYN) => {
                TcpState::SynReceived
            }
            TcpState::SynReceived if side == Side::Initiator && segment.flags.has(Flags::ACK) => {
                self.open_state()
            }
            TcpState::Established | TcpState::Closing => {
                if initiator.has(FIN_ACKED) && responder.has(FIN_ACKED) {
                    TcpState::Closed
                } else {
                    self.open_state()
                }
            }
            TcpState::Reset if side != self.resetter => self.open_state(),
            state => state,
        }
    }

    fn open_state(&self) -> TcpState {
        if self.halves.iter().any(|half| half.has(FIN)) {
            TcpState::Closing
        } else {
            TcpState::Established
        }
    }

    /// Records what `segment` says of `side`, and whether it acknowledges the peer's FIN.
    #[inline]
    fn note(&mut self, side: Side, segment: &Segment) {
        let [initiator, responder] = &mut self.halves;
        let (own, peer) = match side {
            Side::Initiator => (initiator, responder),
            Side::Responder => (responder, initiator),
        };
        let flags = segment.flags;
        if flags.has(Flags::SYN) {
            own.announce(segment.window_scale.unwrap_or(0));
        }
        let end = segment
            .seq
            .wrapping_add(segment.payload_len)
            .wrapping_add(u32::from(flags.has(Flags::SYN)))
            .wrapping_add(u32::from(flags.has(Flags::FIN)));
        if !own.has(SENT) || is_after(end, own.next) {
            own.next = end;
            own.marks |= SENT;
        }
        if flags.has(Flags::FIN) {
            own.marks |= FIN;
            own.fin_end = end;
        }
        // An acknowledgement of what was never sent says nothing (RFC 9293 section 3.10.7.4).
        if flags.has(Flags::ACK) && peer.has(SENT) && !is_after(segment.ack, peer.next) {
            if !own.has(ACKED) || is_after(segment.ack, own.expects) {
                own.expects = segment.ack;
                own.marks |= ACKED;
            }
            // The window of a SYN is never scaled (RFC 7323 section 2.2).
            own.offer(segment.window, !flags.has(Flags::SYN));
            if peer.has(FIN) && !is_after(peer.fin_end, segment.ack) {
                peer.marks |= FIN_ACKED;
            }
        }
    }

    /// Returns whether the receiver of this RST would take it: in SYN-SENT it must acknowledge the
    /// SYN; later its number must lie in the window (RFC 9293 section 3.10.7).
    fn is_acceptable_reset(&self, side: Side, segment: &Segment) -> bool {
        let (own, peer) = self.sides(side);
        if peer.has(ACKED) {
            let ahead = segment.seq.wrapping_sub(peer.expects);
            return ahead < peer.window().max(1);
        }
        match side {
            // Nothing but the SYN is on its way: the initiator gives up.
            Side::Initiator => own.next.wrapping_sub(segment.seq) <= 1,
            Side::Responder => segment.flags.has(Flags::ACK) && segment.ack == peer.next,
        }
    }

    fn sides(&self, side: Side) -> (&Half, &Half) {
        let [initiator, responder] = &self.halves;
        match side {
            Side::Initiator => (initiator, responder),
            Side::Responder => (responder, initiator),
        }
    }

    /// Returns the sequence and acknowledgement number with which `side` is to be reset: what it
    /// expects next, as far as it said so, and what it has sent.
    #[must_use]
    pub fn reset_numbers(&self, side: Side) -> (u32, u32) {
        let (own, peer) = self.sides(side);
        let seq = if own.has(ACKED) {
            own.expects
        } else {
            peer.next
        };
        (seq, own.next)
    }
}

/// Returns whether `a` comes after `b` in sequence space.
#[inline]
fn is_after(a: u32, b: u32) -> bool {
    a != b && a.wrapping_sub(b) < 1 << 31
}

#[cfg(test)]
mod tests;
