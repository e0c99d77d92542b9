//! Cutting an IPv4 packet for a smaller MTU (RFC 791 section 3.2).
//!
//! A packet that is a fragment itself is cut further: offsets go on from its own, and its last piece
//! says "more fragments" if it did. Options stand in the first piece; later ones keep those that are
//! marked to be copied. Nothing is copied but headers.

use super::checksum::Sum;
use super::ipv4::{CHECKSUM, FLAGS, Ipv4View, MIN_LEN, MORE_FRAGMENTS, OFFSET, TOTAL_LENGTH};
use super::{get_u16, put_u16};

/// The longest header.
const HEADER_MAX: usize = 60;
/// Fragments begin at multiples of this.
const UNIT: usize = 8;

const END_OF_OPTIONS: u8 = 0;
const NO_OPERATION: u8 = 1;
/// In an option's type: it stands in every fragment.
const COPIED: u8 = 0x80;

/// Which bytes of its datagram's payload a fragment holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    /// The first one.
    pub begin: u32,
    /// The one behind the last.
    pub end: u32,
    /// Whether no more follow.
    pub is_last: bool,
}

impl Part {
    /// Returns which part of its datagram `ip` is; the whole one, if it is no fragment.
    #[must_use]
    pub fn of(ip: &Ipv4View<'_>) -> Self {
        let begin = u32::from(ip.fragment_offset()) * 8;
        let len = u32::try_from(ip.payload().len()).unwrap_or(u32::MAX);
        Self {
            begin,
            end: begin.saturating_add(len),
            is_last: !ip.more_fragments(),
        }
    }

    /// Returns whether a datagram can have such a part: it holds something, all but the last are cut at
    /// multiples of eight bytes (RFC 791 section 3.2), and the datagram is no longer than one can be.
    #[must_use]
    pub fn is_sound(self, header_len: usize) -> bool {
        let most = usize::from(u16::MAX).saturating_sub(header_len);
        self.begin < self.end
            && (self.is_last || (self.end - self.begin).is_multiple_of(8))
            && usize::try_from(self.end).is_ok_and(|end| end <= most)
    }
}

/// One fragment.
#[derive(Clone, Copy, Debug)]
pub struct Piece<'a> {
    header: [u8; HEADER_MAX],
    header_len: usize,
    /// What follows the header.
    pub payload: &'a [u8],
}

impl Piece<'_> {
    /// Returns the finished header.
    #[must_use]
    pub fn header(&self) -> &[u8] {
        self.header.get(..self.header_len).unwrap_or_default()
    }
}

/// The fragments of a packet, in order.
#[derive(Clone, Copy, Debug)]
pub struct Pieces<'a> {
    /// The header of the next piece but for what differs from piece to piece.
    header: [u8; HEADER_MAX],
    header_len: usize,
    /// The options that later pieces keep, padded.
    copied: [u8; HEADER_MAX - MIN_LEN],
    copied_len: usize,
    /// What is left of the payload.
    rest: &'a [u8],
    /// Where it begins in the datagram, in units of eight bytes; flags apart.
    offset: u16,
    /// The flags of the packet: "more fragments" and the reserved one.
    flags: u16,
    mtu: usize,
}

impl<'a> Pieces<'a> {
    /// Returns whether anything but headers passes an MTU.
    #[must_use]
    pub fn fits(header_len: usize, mtu: usize) -> bool {
        mtu >= header_len + UNIT
    }

    /// Prepares to cut `packet` into fragments of at most `mtu` bytes. Its header must have been
    /// checked; otherwise, and where [`Self::fits`] does not hold, there are none.
    #[must_use]
    pub fn new(packet: &'a [u8], mtu: usize) -> Self {
        let header_len = packet
            .first()
            .map_or(0, |byte| usize::from(byte & 0x0f) * 4);
        let (from, rest) = packet.split_at_checked(header_len).unwrap_or_default();
        let mut header = [0; HEADER_MAX];
        if let Some(to) = header.get_mut(..from.len()) {
            to.copy_from_slice(from);
        }
        let field = get_u16(from, FLAGS).unwrap_or(0);
        let (copied, copied_len) = copied_options(from.get(MIN_LEN..).unwrap_or_default());
        Self {
            header,
            header_len,
            copied,
            copied_len,
            rest: if Self::fits(header_len, mtu) {
                rest
            } else {
                &[]
            },
            offset: field & OFFSET,
            flags: field & !OFFSET,
            mtu,
        }
    }
}

impl<'a> Iterator for Pieces<'a> {
    type Item = Piece<'a>;

    fn next(&mut self) -> Option<Piece<'a>> {
        if self.rest.is_empty() {
            return None;
        }
        let room = self.mtu.checked_sub(self.header_len)?;
        let is_last = self.rest.len() <= room;
        let taken = if is_last {
            self.rest.len()
        } else {
            room / UNIT * UNIT
        };
        let (payload, rest) = self.rest.split_at_checked(taken)?;
        let more = if is_last { 0 } else { MORE_FRAGMENTS };
        let mut piece = Piece {
            header: self.header,
            header_len: self.header_len,
            payload,
        };
        let total_len = u16::try_from(self.header_len + taken).ok()?;
        let header = piece.header.get_mut(..self.header_len)?;
        put_u16(header, TOTAL_LENGTH, total_len);
        put_u16(header, FLAGS, self.flags | more | self.offset);
        put_u16(header, CHECKSUM, 0);
        put_u16(header, CHECKSUM, Sum::default().bytes(header).checksum());

        self.rest = rest;
        self.offset = (self.offset + u16::try_from(taken / UNIT).ok()?) & OFFSET;
        self.keep_copied_options();
        Some(piece)
    }
}

impl Pieces<'_> {
    /// Brings the header into the shape that it has after the first piece.
    fn keep_copied_options(&mut self) {
        let len = MIN_LEN + self.copied_len;
        let copied = self.copied.get(..self.copied_len).unwrap_or_default();
        if let Some(options) = self.header.get_mut(MIN_LEN..len) {
            options.copy_from_slice(copied);
        }
        if let (Some(first), Ok(words)) = (self.header.first_mut(), u8::try_from(len / 4)) {
            *first = *first & 0xf0 | words;
        }
        self.header_len = len;
    }
}

/// Returns the options that stand in every fragment, padded to whole words, and their length. What
/// cannot be read ends the list.
fn copied_options(options: &[u8]) -> ([u8; HEADER_MAX - MIN_LEN], usize) {
    let mut copied = [END_OF_OPTIONS; HEADER_MAX - MIN_LEN];
    let (mut len, mut rest) = (0, options);
    while let Some(&kind) = rest.first() {
        let option_len = match kind {
            END_OF_OPTIONS => break,
            NO_OPERATION => 1,
            _ => rest.get(1).map_or(0, |&len| usize::from(len)).max(2),
        };
        let Some((option, after)) = rest.split_at_checked(option_len) else {
            break;
        };
        if kind & COPIED != 0
            && let Some(to) = copied.get_mut(len..len + option_len)
        {
            to.copy_from_slice(option);
            len += option_len;
        }
        rest = after;
    }
    (copied, len.next_multiple_of(4))
}

#[cfg(test)]
mod tests;
