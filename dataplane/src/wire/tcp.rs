//! TCP (RFC 9293): the fields that state tracking and rewriting need.

use super::checksum::Delta;
use super::{WireError, get_u16, put_u16};

/// Length of a header without options.
pub const MIN_LEN: usize = 20;
/// Where the checksum is, from the start of the header.
pub const CHECKSUM: usize = 16;
/// Where other fields are.
pub(crate) const SEQUENCE: usize = 4;
pub(crate) const FLAGS: usize = 13;

const OPTION_END: u8 = 0;
const OPTION_NOP: u8 = 1;
const OPTION_MSS: u8 = 2;
const OPTION_WINDOW_SCALE: u8 = 3;
/// The largest shift that a receiver uses (RFC 7323 section 2.3).
const MAX_WINDOW_SCALE: u8 = 14;

/// The control bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flags(pub u8);

impl Flags {
    /// FIN.
    pub const FIN: Self = Self(0x01);
    /// SYN.
    pub const SYN: Self = Self(0x02);
    /// RST.
    pub const RST: Self = Self(0x04);
    /// PSH.
    pub const PSH: Self = Self(0x08);
    /// ACK.
    pub const ACK: Self = Self(0x10);
    /// ECE (RFC 3168).
    pub const ECE: Self = Self(0x40);
    /// CWR (RFC 3168).
    pub const CWR: Self = Self(0x80);

    /// Returns whether all bits of `other` are set.
    #[must_use]
    #[inline]
    pub const fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Returns whether this segment may open a connection: SYN without ACK, RST and FIN.
    #[must_use]
    #[inline]
    pub const fn opens(self) -> bool {
        self.0 & (Self::SYN.0 | Self::ACK.0 | Self::RST.0 | Self::FIN.0) == Self::SYN.0
    }
}

/// A segment, as state tracking sees it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Segment {
    /// Sequence number of the first byte, or of SYN.
    pub seq: u32,
    /// Acknowledgement number; meaningful with ACK.
    pub ack: u32,
    /// Control bits.
    pub flags: Flags,
    /// The window field, not scaled.
    pub window: u16,
    /// The shift that a SYN announces (RFC 7323).
    pub window_scale: Option<u8>,
    /// Bytes of payload; of all segments together for a super-frame.
    pub payload_len: u32,
}

/// A checked view of a TCP header.
#[derive(Clone, Copy, Debug)]
pub struct TcpView<'a> {
    header: &'a [u8; MIN_LEN],
    options: &'a [u8],
    payload_len: usize,
}

impl<'a> TcpView<'a> {
    /// Checks lengths and returns the view.
    ///
    /// # Errors
    ///
    /// [`WireError::Length`] if the header is not all there.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, WireError> {
        let error = WireError::Length {
            header: "TCP",
            len_bytes: bytes.len(),
        };
        let header = bytes.first_chunk::<MIN_LEN>().ok_or(error)?;
        let header_len = usize::from(header[12] >> 4) * 4;
        let options = bytes.get(MIN_LEN..header_len).ok_or(error)?;
        Ok(Self {
            header,
            options,
            payload_len: bytes.len() - header_len,
        })
    }

    /// Returns the source port.
    #[must_use]
    #[inline]
    pub fn source_port(&self) -> u16 {
        u16::from_be_bytes([self.header[0], self.header[1]])
    }

    /// Returns the destination port.
    #[must_use]
    #[inline]
    pub fn destination_port(&self) -> u16 {
        u16::from_be_bytes([self.header[2], self.header[3]])
    }

    /// Returns the length of the header with options, in bytes.
    #[must_use]
    #[inline]
    pub fn header_len(&self) -> usize {
        MIN_LEN + self.options.len()
    }

    /// Returns what state tracking needs. Options are read for a SYN only.
    #[must_use]
    #[inline]
    pub fn segment(&self) -> Segment {
        let flags = Flags(self.header[13]);
        let [_, _, _, _, s0, s1, s2, s3, a0, a1, a2, a3, _, _, w0, w1, ..] = *self.header;
        Segment {
            seq: u32::from_be_bytes([s0, s1, s2, s3]),
            ack: u32::from_be_bytes([a0, a1, a2, a3]),
            flags,
            window: u16::from_be_bytes([w0, w1]),
            window_scale: if flags.has(Flags::SYN) {
                self.window_scale()
            } else {
                None
            },
            payload_len: u32::try_from(self.payload_len).unwrap_or(u32::MAX),
        }
    }

    fn window_scale(&self) -> Option<u8> {
        let mut rest = self.options;
        loop {
            rest = match *rest {
                [] | [OPTION_END, ..] => return None,
                [OPTION_NOP, ref after @ ..] => after,
                [OPTION_WINDOW_SCALE, 3, shift, ..] => return Some(shift.min(MAX_WINDOW_SCALE)),
                [_, len @ 2..=u8::MAX, ..] => rest.get(usize::from(len)..)?,
                _ => return None,
            };
        }
    }
}

/// Lowers the maximum segment size that a SYN announces to `limit`, if it is greater, and returns
/// what that changes in a sum over the segment. The checksum is left to the caller.
pub fn clamp_mss(segment: &mut [u8], limit: u16) -> Delta {
    let Some(at) = mss_at(segment) else {
        return Delta::default();
    };
    match get_u16(segment, at) {
        Some(mss) if mss > limit => {}
        _ => return Delta::default(),
    }
    // The value may straddle two words of the sum.
    let words = [at & !1, (at & !1) + 2];
    let before = words.map(|word| get_u16(segment, word));
    put_u16(segment, at, limit);
    let after = words.map(|word| get_u16(segment, word));
    let mut delta = Delta::default();
    for pair in before.into_iter().zip(after) {
        if let (Some(old), Some(new)) = pair {
            delta = delta.word(old, new);
        }
    }
    delta
}

/// Returns where the value of the option "maximum segment size" is.
fn mss_at(segment: &[u8]) -> Option<usize> {
    let header_len = usize::from(*segment.get(12)? >> 4) * 4;
    let header = segment.get(..header_len)?;
    let mut at = MIN_LEN;
    loop {
        at = match *header.get(at..)? {
            [] | [OPTION_END, ..] => return None,
            [OPTION_NOP, ..] => at + 1,
            [OPTION_MSS, 4, _, _, ..] => return Some(at + 2),
            [_, len @ 2..=u8::MAX, ..] => at + usize::from(len),
            _ => return None,
        };
    }
}

#[cfg(test)]
mod tests;
