//! The ports that a packet is between, read without asking whether the packet is right.

use super::ipv4::Ipv4View;
use super::ipv6::{self, Ipv6View};
use super::{AH, ESP, ICMP, TCP, UDP, get_u16, icmp};

/// The two ports of the flow that a packet belongs to, from whichever side: what
/// [`Headers`](super::Headers) has of a packet that it takes, for an error of the packet that it
/// quotes. An ICMP echo has its identifier and 0, a protocol without ports 0 twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ends {
    /// Of a whole packet.
    Whole(u16, u16),
    /// Of the first fragment of a datagram.
    First(u16, u16),
    /// A later fragment does not say.
    Later,
}

impl Ends {
    /// Returns the ends of a packet, nothing if it is of no kind that is carried.
    #[inline]
    pub(crate) fn of(packet: &[u8]) -> Option<Self> {
        match packet.first()? >> 4 {
            6 => {
                let (one, other) = of_v6(packet)?;
                Some(Self::Whole(one, other))
            }
            _ => Self::of_v4(packet),
        }
    }

    #[inline]
    fn of_v4(packet: &[u8]) -> Option<Self> {
        let ip = Ipv4View::parse_quoted(packet).ok()?;
        if ip.fragment_offset() != 0 {
            return Some(Self::Later);
        }
        let (one, other) = match ip.protocol() {
            TCP | UDP => ports(ip.payload())?,
            ICMP => of_icmp(ip.payload())?,
            ESP | AH => (0, 0),
            _ => return None,
        };
        Some(if ip.more_fragments() {
            Self::First(one, other)
        } else {
            Self::Whole(one, other)
        })
    }
}

fn ports(segment: &[u8]) -> Option<(u16, u16)> {
    Some((get_u16(segment, 0)?, get_u16(segment, 2)?))
}

fn of_icmp(message: &[u8]) -> Option<(u16, u16)> {
    match icmp::parse(message).ok()? {
        icmp::Message::Echo { ident, .. } => Some((ident, 0)),
        icmp::Message::Error => {
            let quoted = Ipv4View::parse_quoted(message.get(icmp::LEN..)?).ok()?;
            match quoted.protocol() {
                _ if quoted.fragment_offset() != 0 => None,
                TCP | UDP => ports(quoted.payload()),
                ICMP => match icmp::parse(quoted.payload()).ok()? {
                    icmp::Message::Echo { ident, .. } => Some((ident, 0)),
                    // An error about an error belongs to no flow.
                    icmp::Message::Error => None,
                },
                ESP | AH => Some((0, 0)),
                _ => None,
            }
        }
    }
}

/// Returns the ports of an IPv6 packet: of a segment, or of the one that an error quotes.
fn of_v6(packet: &[u8]) -> Option<(u16, u16)> {
    let ip = Ipv6View::parse_quoted(packet).ok()?;
    match ip.next_header() {
        TCP => ports(ip.payload()),
        ipv6::ICMP => {
            let quoted = Ipv6View::parse_quoted(ip.payload().get(icmp::LEN..)?).ok()?;
            (quoted.next_header() == TCP)
                .then(|| ports(quoted.payload()))
                .flatten()
        }
        _ => None,
    }
}
