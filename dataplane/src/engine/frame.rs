//! A frame at hand, with room for a longer header.

use crate::carrier::st6;
use crate::wire::VnetHdr;

/// One frame: what stands in its `virtio_net_hdr`, and the IP packet, which is rewritten in place.
///
/// A packet whose IP header is replaced by a longer one grows towards the front: payload never
/// moves. The room for it is the caller's to leave.
#[derive(Debug)]
pub struct Frame<'a> {
    /// The header; the default for a device without one.
    pub vnet: VnetHdr,
    /// Room, and the packet.
    bytes: &'a mut [u8],
    /// Where the packet begins.
    start: usize,
}

impl<'a> Frame<'a> {
    /// The most room that a packet needs before it.
    pub const HEADROOM: usize = st6::ADDED;

    /// Returns a frame without room: a packet that would have to grow is dropped.
    #[must_use]
    pub fn new(vnet: VnetHdr, packet: &'a mut [u8]) -> Self {
        Self::with_room(vnet, packet, 0)
    }

    /// Returns a frame whose packet is what follows the first `room` bytes.
    #[must_use]
    #[inline]
    pub fn with_room(vnet: VnetHdr, bytes: &'a mut [u8], room: usize) -> Self {
        Self {
            vnet,
            start: room.min(bytes.len()),
            bytes,
        }
    }

    /// Returns the packet.
    #[must_use]
    #[inline]
    pub fn packet(&self) -> &[u8] {
        self.bytes.get(self.start..).unwrap_or_default()
    }

    /// Returns the packet to change it.
    #[must_use]
    #[inline]
    pub fn packet_mut(&mut self) -> &mut [u8] {
        self.bytes.get_mut(self.start..).unwrap_or_default()
    }

    /// Returns how many bytes of room there are before the packet.
    #[must_use]
    #[inline]
    pub fn room(&self) -> usize {
        self.start
    }

    /// Puts `header` in place of the first `old_len` bytes; the room must be there.
    #[inline]
    pub(super) fn replace_header(&mut self, old_len: usize, header: &[u8]) {
        let end = self.start + old_len;
        let Some(start) = end.checked_sub(header.len()) else {
            return;
        };
        if let Some(place) = self.bytes.get_mut(start..end) {
            place.copy_from_slice(header);
            self.start = start;
        }
    }

    /// Puts `header` before the packet; the room must be there.
    pub(super) fn prepend(&mut self, header: &[u8]) {
        self.replace_header(0, header);
    }
}
