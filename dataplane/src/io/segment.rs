//! The fallback towards a device without `virtio_net_hdr`: finishes partial checksums and cuts
//! super-frames into packets.
//!
//! It owns the arithmetic of segmentation offload (TCP: sequence numbers, flags; UDP, over IPv4
//! alone: lengths; IPv4: total length, identification; IPv6: payload length; checksums) and does no I/O. It trusts nothing that
//! the header says: lengths come from the packet, and a header that contradicts them is an error.
//! It does not look at the device's MTU: segments are as large as the sender asked for. RFC 791, RFC 768, RFC 9293, RFC 3168 section 6.1.2.
//!
//! Nothing is copied but headers. The headers of each segment are written over the end of the one
//! before, which was handed out already:
//!
//! ```text
//! [headers|  payload 1  |  payload 2  |  p3 ]
//! [headers|  payload 1  ]
//!               [headers|  payload 2  ]
//!                             [headers|  p3 ]
//! ```

use crate::wire::checksum::{Sum, pseudo_header, pseudo_header_v6};
use crate::wire::ipv4;
use crate::wire::ipv6::{self, Ipv6View};
use crate::wire::tcp::Flags;
use crate::wire::{GsoType, Headers, Transport, UDP, VnetHdr, WireError, put_u16, tcp, udp};

/// The longest IPv4 header and the longest TCP header.
const HEADERS_MAX: usize = 60 + 60;

/// Which IP a packet is of: the length of its header and which fields a segment has to have new.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Version {
    V4,
    V6,
}

impl Version {
    fn of(packet: &[u8]) -> Self {
        match packet.first().map(|byte| byte >> 4) {
            Some(6) => Self::V6,
            _ => Self::V4,
        }
    }

    fn parse(self, vnet: &VnetHdr, packet: &[u8]) -> Result<Headers, WireError> {
        match self {
            Self::V4 => Headers::parse(vnet, packet),
            Self::V6 => Headers::parse_v6(vnet, packet),
        }
    }
}

const FIN_PSH: u8 = Flags::FIN.0 | Flags::PSH.0;

/// The packets of one frame, one after the other, each finished in every field.
///
/// Not an `Iterator`, because each packet borrows the frame's bytes and is gone when the next is
/// asked for.
#[derive(Debug)]
pub struct Segments<'a> {
    packet: &'a mut [u8],
    /// `None` for a frame that is one packet.
    plan: Option<Plan>,
    /// Bytes of payload that were handed out.
    sent: usize,
    /// Packets that were handed out.
    count: u16,
}

/// How a super-frame is cut.
#[derive(Debug)]
struct Plan {
    version: Version,
    original: Headers,
    /// The headers as they came: the place where they stood is written over.
    bytes: [u8; HEADERS_MAX],
    header_len: usize,
    /// Bytes of payload in each segment but the last.
    size: usize,
}

impl<'a> Segments<'a> {
    /// Prepares to take `packet` apart as `vnet` says. What is in `packet` afterwards is of no use.
    ///
    /// # Errors
    ///
    /// A [`WireError`] if the packet is not one that can be finished, or `vnet` contradicts it.
    pub fn new(vnet: &VnetHdr, packet: &'a mut [u8]) -> Result<Self, WireError> {
        let mut plan = None;
        if vnet.gso_type != GsoType::None {
            plan = Some(Plan::new(vnet, packet)?);
        } else if vnet.needs_csum {
            finish_checksum(&Version::of(packet).parse(vnet, packet)?, packet);
        }
        Ok(Self {
            packet,
            plan,
            sent: 0,
            count: 0,
        })
    }

    /// Returns the next packet, or `None` after the last.
    pub fn next_packet(&mut self) -> Option<&[u8]> {
        let index = self.count;
        self.count = self.count.saturating_add(1);
        let Some(plan) = &self.plan else {
            return (index == 0).then_some(&*self.packet);
        };
        let left = self
            .packet
            .len()
            .checked_sub(plan.header_len)?
            .checked_sub(self.sent)?;
        // A super-frame without payload is still one packet.
        if left == 0 && index != 0 {
            return None;
        }
        let taken = left.min(plan.size);
        // Payload begins `header_len` behind the packet's start and `sent` bytes of it are gone, so
        // the headers of this segment begin at `sent`.
        let segment = self
            .packet
            .get_mut(self.sent..self.sent + plan.header_len + taken)?;
        plan.write(segment, self.sent, index, taken == left)?;
        self.sent += taken;
        Some(segment)
    }
}

impl Plan {
    fn new(vnet: &VnetHdr, packet: &[u8]) -> Result<Self, WireError> {
        // The parser lets a super-frame pass only whole, with a partial checksum, a segment size
        // and the protocol that its kind says.
        let version = Version::of(packet);
        let original = version.parse(vnet, packet)?;
        let header_len = original.ip_header_len + original.transport_header_len;
        let mut bytes = [0; HEADERS_MAX];
        let (Some(to), Some(from)) = (bytes.get_mut(..header_len), packet.get(..header_len)) else {
            return Err(WireError::Length {
                header: "transport",
                len_bytes: packet.len(),
            });
        };
        to.copy_from_slice(from);
        Ok(Self {
            version,
            original,
            bytes,
            header_len,
            size: usize::from(vnet.gso_size),
        })
    }

    /// Writes the headers of one segment before its payload. `None` never comes: the lengths were
    /// checked when the plan was made.
    fn write(&self, segment: &mut [u8], sent: usize, index: u16, is_last: bool) -> Option<()> {
        let headers = self.bytes.get(..self.header_len)?;
        segment.get_mut(..self.header_len)?.copy_from_slice(headers);
        let total_len = u16::try_from(segment.len()).ok()?;
        let (ip, transport) = segment.split_at_mut_checked(self.original.ip_header_len)?;
        let transport_len = u16::try_from(transport.len()).ok()?;
        match self.version {
            Version::V4 => self.write_v4(ip, total_len, index),
            Version::V6 => put_u16(ip, ipv6::PAYLOAD_LENGTH, transport_len),
        }

        match self.original.transport {
            Transport::Tcp(original) => {
                let sequence = original.seq.wrapping_add(u32::try_from(sent).ok()?);
                let field = transport.get_mut(tcp::SEQUENCE..)?.first_chunk_mut::<4>()?;
                *field = sequence.to_be_bytes();
                let flags = transport.get_mut(tcp::FLAGS)?;
                if index != 0 {
                    // "Window reduced" is said once (RFC 3168 section 6.1.2).
                    *flags &= !Flags::CWR.0;
                }
                if !is_last {
                    *flags &= !FIN_PSH;
                }
            }
            _ => put_u16(transport, udp::LENGTH, transport_len),
        }
        // The field holds the sum for the whole super-frame's length: of no use for a segment.
        put_u16(transport, checksum_place(&self.original), 0);
        put_checksum(
            &self.original,
            transport,
            self.pseudo_header(ip, transport_len),
        );
        Some(())
    }

    fn write_v4(&self, ip: &mut [u8], total_len: u16, index: u16) {
        put_u16(ip, ipv4::TOTAL_LENGTH, total_len);
        // Of no meaning where fragments are forbidden, but the kernel counts there too.
        let ident = self.original.ident.wrapping_add(index);
        put_u16(ip, ipv4::IDENT, ident);
        put_u16(ip, ipv4::CHECKSUM, 0);
        put_u16(ip, ipv4::CHECKSUM, Sum::default().bytes(ip).checksum());
    }

    fn pseudo_header(&self, ip: &[u8], len: u16) -> Sum {
        let Headers {
            source,
            destination,
            protocol,
            ..
        } = self.original;
        match self.version {
            Version::V4 => pseudo_header(source, destination, protocol, len),
            Version::V6 => Ipv6View::parse_quoted(ip).map_or(Sum::default(), |ip| {
                pseudo_header_v6(ip.source(), ip.destination(), protocol, len)
            }),
        }
    }
}

/// Puts the whole checksum of a packet that is not cut. Its field holds the sum of the
/// pseudo-header and is added up with the rest, as a device does it.
fn finish_checksum(headers: &Headers, packet: &mut [u8]) {
    let Some(transport) = packet.get_mut(headers.ip_header_len..) else {
        return;
    };
    put_checksum(headers, transport, Sum::default());
}

/// Puts the checksum over `transport`, its checksum field as it stands, and `pseudo`.
fn put_checksum(headers: &Headers, transport: &mut [u8], pseudo: Sum) {
    // Zero would mean "no checksum" in UDP (RFC 768); 0xffff is the same number and right for both.
    let checksum = match pseudo.bytes(transport).checksum() {
        0 => 0xffff,
        checksum => checksum,
    };
    put_u16(transport, checksum_place(headers), checksum);
}

fn checksum_place(headers: &Headers) -> usize {
    if headers.protocol == UDP {
        udp::CHECKSUM
    } else {
        tcp::CHECKSUM
    }
}

#[cfg(test)]
mod tests;
