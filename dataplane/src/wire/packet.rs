//! A whole packet, parsed once: what the engine needs to find its flow.

use super::fragment::Part;
use super::ipv4::{self, Ipv4View};
use super::ipv6::{self, Ipv6View, low_bits};
use super::tcp::{self, Segment, TcpView};
use super::udp::{self, UdpView};
use super::{AH, ENCAPSULATED, ESP, GsoType, ICMP, TCP, UDP, VnetHdr, WireError, icmp, options};
use std::net::Ipv4Addr;

/// What ESP and AH begin with, at least: in ESP the SPI and the sequence number.
const PORTLESS_LEN: usize = 8;

/// Where the header of TCP ends at the earliest, as a fragment's place.
const TCP_HEADER: u32 = 20;

/// Returns the options of a header that has some.
#[cold]
fn options_of<'a>(packet: &'a [u8], headers: &Headers) -> &'a [u8] {
    let options = packet.get(ipv4::MIN_LEN..headers.ip_header_len);
    options.unwrap_or_default()
}

fn not_carried(protocol: u8) -> WireError {
    if ENCAPSULATED.contains(&protocol) {
        WireError::Encapsulated(protocol)
    } else {
        WireError::Protocol(protocol)
    }
}

/// Where a packet stands among the fragments of its datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fragment {
    /// It is the whole datagram.
    Whole,
    /// It is the first fragment: it holds the transport header.
    First,
    /// It is a later fragment: it holds none.
    Later,
}

/// What follows the IPv4 header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// TCP.
    Tcp(Segment),
    /// UDP.
    Udp,
    /// ICMP echo.
    Echo {
        /// Request or reply.
        request: bool,
    },
    /// ESP or AH: a protocol without ports, whose payload is nobody's to read.
    Portless,
    /// An ICMP error that quotes another packet.
    IcmpError,
    /// A later fragment: no header.
    None,
}

/// The headers of one packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Headers {
    /// IANA protocol number.
    pub protocol: u8,
    /// Source address.
    pub source: Ipv4Addr,
    /// Destination address.
    pub destination: Ipv4Addr,
    /// Source port; the identifier of an echo request; otherwise 0.
    pub source_port: u16,
    /// Destination port; the identifier of an echo reply; otherwise 0.
    pub destination_port: u16,
    /// Where the transport header begins.
    pub ip_header_len: usize,
    /// Length of the transport header, 0 if there is none.
    pub transport_header_len: usize,
    /// IPv4 identification.
    pub ident: u16,
    /// Whether routers must not cut the packet.
    pub dont_fragment: bool,
    /// Where the packet stands among fragments.
    pub fragment: Fragment,
    /// What follows the IPv4 header.
    pub transport: Transport,
}

impl Headers {
    /// Parses `packet` and checks that `vnet` asks for nothing that the packet is not.
    ///
    /// # Errors
    ///
    /// A [`WireError`] that says what is wrong; the packet cannot be carried.
    #[inline]
    pub fn parse(vnet: &VnetHdr, packet: &[u8]) -> Result<Self, WireError> {
        let ip = Ipv4View::parse(packet)?;
        let mut headers = Self::network(&ip);
        if headers.ip_header_len > ipv4::MIN_LEN {
            options::check(options_of(packet, &headers))?;
        }
        if headers.fragment != Fragment::Later {
            let parsed = headers.parse_transport(ip.payload());
            match (parsed, headers.fragment) {
                (Err(WireError::Length { .. }), Fragment::First) => {
                    return Err(WireError::TinyFragment);
                }
                (result, _) => result?,
            }
        }
        if headers.fragment != Fragment::Whole {
            headers.check_fragment(Part::of(&ip))?;
        }
        headers.check_offload(vnet)?;
        Ok(headers)
    }

    /// Parses an IPv6 packet of TCP or ICMPv6, and checks that `vnet` asks for nothing that it is
    /// not. The addresses are the low 32 bits of those of the packet; it is a whole one that must not
    /// be cut. What ICMPv6 says is not looked at.
    ///
    /// # Errors
    ///
    /// A [`WireError`] that says what is wrong; [`WireError::Ipv6Fragment`] for a fragment.
    pub fn parse_v6(vnet: &VnetHdr, packet: &[u8]) -> Result<Self, WireError> {
        let ip = Ipv6View::parse(packet)?;
        let mut headers = Self {
            protocol: ip.next_header(),
            source: low_bits(ip.source()),
            destination: low_bits(ip.destination()),
            source_port: 0,
            destination_port: 0,
            ip_header_len: ipv6::LEN,
            transport_header_len: 0,
            ident: 0,
            dont_fragment: true,
            fragment: Fragment::Whole,
            transport: Transport::None,
        };
        match headers.protocol {
            TCP => headers.parse_transport(ip.payload())?,
            ipv6::ICMP => headers.transport = Transport::IcmpError,
            ipv6::FRAGMENT => return Err(WireError::Ipv6Fragment),
            other => return Err(WireError::Protocol(other)),
        }
        headers.check_offload_for(vnet, GsoType::TcpV6)?;
        Ok(headers)
    }

    /// Checks that a fragment can be one, and holds none of the header that the first one has to hold.
    #[cold]
    fn check_fragment(&self, part: Part) -> Result<(), WireError> {
        if !part.is_sound(self.ip_header_len) {
            return Err(WireError::Length {
                header: "IPv4",
                len_bytes: self.ip_header_len,
            });
        }
        match (self.fragment, self.protocol) {
            // Without a transport header it is still only carried for protocols we know.
            (Fragment::Later, UDP | ICMP | ESP | AH) => Ok(()),
            (Fragment::Later, TCP) if part.begin < TCP_HEADER => Err(WireError::TinyFragment),
            (Fragment::Later, TCP) | (Fragment::First | Fragment::Whole, _) => Ok(()),
            (Fragment::Later, other) => Err(not_carried(other)),
        }
    }

    fn network(ip: &Ipv4View<'_>) -> Self {
        let fragment = match (ip.fragment_offset(), ip.more_fragments()) {
            (0, false) => Fragment::Whole,
            (0, true) => Fragment::First,
            _ => Fragment::Later,
        };
        Self {
            protocol: ip.protocol(),
            source: ip.source(),
            destination: ip.destination(),
            source_port: 0,
            destination_port: 0,
            ip_header_len: ip.header_len(),
            transport_header_len: 0,
            ident: ip.ident(),
            dont_fragment: ip.dont_fragment(),
            fragment,
            transport: Transport::None,
        }
    }

    #[inline]
    fn parse_transport(&mut self, payload: &[u8]) -> Result<(), WireError> {
        match self.protocol {
            TCP => {
                let view = TcpView::parse(payload)?;
                self.source_port = view.source_port();
                self.destination_port = view.destination_port();
                self.transport_header_len = view.header_len();
                self.transport = Transport::Tcp(view.segment());
            }
            UDP => {
                let view = UdpView::parse(payload, self.fragment == Fragment::First)?;
                self.source_port = view.source_port();
                self.destination_port = view.destination_port();
                self.transport_header_len = udp::LEN;
                self.transport = Transport::Udp;
            }
            ICMP => {
                self.transport_header_len = icmp::LEN;
                match icmp::parse(payload)? {
                    icmp::Message::Echo { request, ident } => {
                        if request {
                            self.source_port = ident;
                        } else {
                            self.destination_port = ident;
                        }
                        self.transport = Transport::Echo { request };
                    }
                    icmp::Message::Error => self.transport = Transport::IcmpError,
                }
            }
            ESP | AH => {
                if payload.len() < PORTLESS_LEN {
                    return Err(WireError::Length {
                        header: "ESP or AH",
                        len_bytes: payload.len(),
                    });
                }
                self.transport = Transport::Portless;
            }
            other => return Err(not_carried(other)),
        }
        Ok(())
    }

    /// Parses a packet that an ICMP error quotes: the header and at least the ports must be there
    /// (RFC 792 promises 8 bytes), lengths are those of the original.
    ///
    /// # Errors
    ///
    /// A [`WireError`] if too little is quoted, or what is quoted is itself an error or a later
    /// fragment.
    pub fn parse_quoted(packet: &[u8]) -> Result<Self, WireError> {
        let ip = Ipv4View::parse_quoted(packet)?;
        let mut headers = Self::network(&ip);
        if headers.ip_header_len > ipv4::MIN_LEN {
            options::check(options_of(packet, &headers))?;
        }
        let payload = ip.payload();
        let error = WireError::Length {
            header: "quoted",
            len_bytes: payload.len(),
        };
        let Some(&[a, b, c, d, e, f, g, h]) = payload.first_chunk::<8>() else {
            return Err(error);
        };
        match headers.protocol {
            _ if headers.fragment == Fragment::Later => return Err(error),
            TCP | UDP => {
                headers.source_port = u16::from_be_bytes([a, b]);
                headers.destination_port = u16::from_be_bytes([c, d]);
                headers.transport = if headers.protocol == UDP {
                    Transport::Udp
                } else {
                    // Eight bytes end after the sequence number: the rest is not known.
                    Transport::Tcp(Segment {
                        seq: u32::from_be_bytes([e, f, g, h]),
                        ..Segment::default()
                    })
                };
            }
            ICMP => {
                headers.parse_transport(payload)?;
                if headers.transport == Transport::IcmpError {
                    return Err(WireError::IcmpType(a));
                }
            }
            ESP | AH => headers.transport = Transport::Portless,
            other => return Err(not_carried(other)),
        }
        Ok(headers)
    }

    #[inline]
    fn check_offload(&self, vnet: &VnetHdr) -> Result<(), WireError> {
        self.check_offload_for(vnet, GsoType::TcpV4)
    }

    /// Checks the header of a frame, where super-frames of TCP have to be of the kind `tcp_kind`.
    #[inline]
    fn check_offload_for(&self, vnet: &VnetHdr, tcp_kind: GsoType) -> Result<(), WireError> {
        if vnet.needs_csum {
            let offset = match self.transport {
                Transport::Tcp(_) => tcp::CHECKSUM,
                Transport::Udp => udp::CHECKSUM,
                _ => return Err(WireError::Offload),
            };
            if usize::from(vnet.csum_start) != self.ip_header_len
                || usize::from(vnet.csum_offset) != offset
            {
                return Err(WireError::Offload);
            }
        }
        let fits = match vnet.gso_type {
            GsoType::None => true,
            GsoType::UdpL4 => self.transport == Transport::Udp && self.is_cuttable(vnet),
            kind => {
                kind == tcp_kind
                    && matches!(self.transport, Transport::Tcp(_))
                    && self.is_cuttable(vnet)
            }
        };
        if fits {
            Ok(())
        } else {
            Err(WireError::Offload)
        }
    }

    fn is_cuttable(&self, vnet: &VnetHdr) -> bool {
        vnet.gso_size != 0 && vnet.needs_csum && self.fragment == Fragment::Whole
    }

    /// Returns the length of the largest packet that this frame is on a wire.
    #[must_use]
    #[inline]
    pub fn wire_len(&self, vnet: &VnetHdr, packet_len: usize) -> usize {
        match vnet.gso_type {
            GsoType::None => packet_len,
            _ => packet_len
                .min(self.ip_header_len + self.transport_header_len + usize::from(vnet.gso_size)),
        }
    }
}
