//! The key of one direction of a flow.

use super::Tunnel;
use crate::policy::PortId;
use crate::snat::Way;
use crate::wire::ipv6::low_bits;
use crate::wire::{Headers, ICMP, TCP, Transport, UDP};
use std::net::Ipv4Addr;

/// The port a packet came in by, its addresses, protocol and ports, packed in two words.
///
/// The ingress port is part of the key, so that equal addresses in two virtual networks never
/// meet. ICMP echo has its identifier where the sender of the request has its port, and a mark
/// that tells requests from replies: otherwise two hosts that ping each other with the same
/// identifier would share one flow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct FlowKey {
    addresses: u64,
    rest: u64,
}

/// What a packet of a flow is, beside its protocol.
const PLAIN: u8 = 0;
const ECHO_REQUEST: u8 = 1;
const ECHO_REPLY: u8 = 2;
const TUNNELLED: u8 = 3;

impl FlowKey {
    /// Returns the key of a packet that came in by `port`.
    #[must_use]
    #[inline]
    pub fn of(port: PortId, headers: &Headers) -> Self {
        let mark = match headers.transport {
            Transport::Echo { request: true } => ECHO_REQUEST,
            Transport::Echo { request: false } => ECHO_REPLY,
            _ => PLAIN,
        };
        Self {
            addresses: addresses(headers.source, headers.destination),
            rest: u64::from(headers.source_port) << 48
                | u64::from(headers.destination_port) << 32
                | u64::from(port.0) << 16
                | u64::from(headers.protocol) << 8
                | u64::from(mark),
        }
    }

    /// Returns the key that an IPv4 packet of TCP or UDP most likely has, which came in by `port`. Nothing
    /// is checked: it is good for looking ahead, not for a decision.
    #[must_use]
    #[inline]
    pub fn guess(port: PortId, packet: &[u8]) -> Option<Self> {
        let (addresses, _) = packet.get(12..)?.split_first_chunk::<8>()?;
        let &[version, .., protocol, _, _] = packet.first_chunk::<12>()?;
        let ports = packet.get(usize::from(version & 0x0f) * 4..)?;
        if version >> 4 != 4 || !matches!(protocol, TCP | UDP) {
            return None;
        }
        Some(Self {
            addresses: u64::from_be_bytes(*addresses),
            rest: u64::from(u32::from_be_bytes(*ports.first_chunk()?)) << 32
                | u64::from(port.0) << 16
                | u64::from(protocol) << 8,
        })
    }

    /// Returns this key for a packet that comes over IPv6, with addresses that end with those of this
    /// key: it is none of the same packet's over IPv4.
    #[must_use]
    #[inline]
    pub fn tunnelled(self) -> Self {
        Self {
            rest: self.rest & !u64::from(u8::MAX) | u64::from(TUNNELLED),
            ..self
        }
    }

    /// Returns whether packets of this key come over IPv6.
    #[must_use]
    #[inline]
    pub fn is_tunnelled(self) -> bool {
        let [.., mark] = self.rest.to_be_bytes();
        mark == TUNNELLED
    }

    /// Returns whether packets of `other` go from where those of this key go to, to where they come
    /// from: same addresses, same ports.
    #[must_use]
    #[inline]
    pub fn mirrors(self, other: Self) -> bool {
        let ports = |rest: u64| u32::try_from(rest >> 32).unwrap_or(0);
        self.addresses == other.addresses.rotate_left(32)
            && ports(self.rest) == ports(other.rest).rotate_left(16)
    }

    /// Returns the key of the answers of a tunnelled flow's responder, which come in by `port`, given
    /// the initiator's port and the responder's.
    #[must_use]
    pub fn tcp_answer(port: PortId, tunnel: &Tunnel, (client, service): (u16, u16)) -> Self {
        let key = Self {
            addresses: addresses(low_bits(tunnel.service), low_bits(tunnel.client)),
            rest: u64::from(service) << 48
                | u64::from(client) << 32
                | u64::from(port.0) << 16
                | u64::from(TCP) << 8,
        };
        key.tunnelled()
    }

    /// Returns the key of the answers to packets of this key that come in by `port`.
    #[must_use]
    pub fn reply(self, port: PortId) -> Self {
        let [s0, s1, d0, d1, _, _, protocol, mark] = self.rest.to_be_bytes();
        let mark = match mark {
            ECHO_REQUEST => ECHO_REPLY,
            ECHO_REPLY => ECHO_REQUEST,
            other => other,
        };
        let [p0, p1] = port.0.to_be_bytes();
        Self {
            addresses: self.addresses.rotate_left(32),
            rest: u64::from_be_bytes([d0, d1, s0, s1, p0, p1, protocol, mark]),
        }
    }

    /// Returns this key with other addresses and source port, as after translation.
    #[must_use]
    pub fn translated(self, source: Ipv4Addr, source_port: u16, destination: Ipv4Addr) -> Self {
        let [_, _, d0, d1, p0, p1, protocol, mark] = self.rest.to_be_bytes();
        let [s0, s1] = source_port.to_be_bytes();
        Self {
            addresses: addresses(source, destination),
            rest: u64::from_be_bytes([s0, s1, d0, d1, p0, p1, protocol, mark]),
        }
    }

    /// Returns what a flow that is sent with this key, and gets this public address, must not have in
    /// common with another of the same public port.
    #[must_use]
    pub fn way(self, address: Ipv4Addr) -> Way {
        Way {
            address,
            protocol: self.protocol(),
            destination: self.destination(),
            destination_port: match self.protocol() {
                ICMP => 0,
                _ => self.destination_port(),
            },
        }
    }

    /// Returns both words, for hashing.
    #[must_use]
    #[inline]
    pub fn words(self) -> (u64, u64) {
        (self.addresses, self.rest)
    }

    /// Returns the port that packets of this key come in by.
    #[must_use]
    #[inline]
    pub fn port(self) -> PortId {
        let [_, _, _, _, p0, p1, _, _] = self.rest.to_be_bytes();
        PortId(u16::from_be_bytes([p0, p1]))
    }

    /// Returns the source address.
    #[must_use]
    #[inline]
    pub fn source(self) -> Ipv4Addr {
        let [a, b, c, d, ..] = self.addresses.to_be_bytes();
        Ipv4Addr::new(a, b, c, d)
    }

    /// Returns the destination address.
    #[must_use]
    #[inline]
    pub fn destination(self) -> Ipv4Addr {
        let [.., a, b, c, d] = self.addresses.to_be_bytes();
        Ipv4Addr::new(a, b, c, d)
    }

    /// Returns the source port; the identifier for an echo request.
    #[must_use]
    #[inline]
    pub fn source_port(self) -> u16 {
        let [a, b, ..] = self.rest.to_be_bytes();
        u16::from_be_bytes([a, b])
    }

    /// Returns the destination port; the identifier for an echo reply.
    #[must_use]
    #[inline]
    pub fn destination_port(self) -> u16 {
        let [_, _, a, b, ..] = self.rest.to_be_bytes();
        u16::from_be_bytes([a, b])
    }

    /// Returns the IANA protocol number.
    #[must_use]
    #[inline]
    pub fn protocol(self) -> u8 {
        let [.., protocol, _] = self.rest.to_be_bytes();
        protocol
    }
}

fn addresses(source: Ipv4Addr, destination: Ipv4Addr) -> u64 {
    u64::from(u32::from(source)) << 32 | u64::from(u32::from(destination))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::Fragment;

    fn headers(transport: Transport, source_port: u16, destination_port: u16) -> Headers {
        Headers {
            protocol: if transport == Transport::Udp { 17 } else { 1 },
            source: Ipv4Addr::new(10, 0, 0, 4),
            destination: Ipv4Addr::new(10, 0, 0, 5),
            source_port,
            destination_port,
            ip_header_len: 20,
            transport_header_len: 8,
            ident: 0,
            dont_fragment: false,
            fragment: Fragment::Whole,
            transport,
        }
    }

    #[test]
    fn reply_swaps_both_ends_and_takes_the_other_port() {
        let key = FlowKey::of(PortId(3), &headers(Transport::Udp, 1000, 53));
        let reply = key.reply(PortId(9));
        assert_eq!(reply.port(), PortId(9));
        assert_eq!(
            (reply.source(), reply.source_port()),
            (Ipv4Addr::new(10, 0, 0, 5), 53)
        );
        assert_eq!(
            (reply.destination(), reply.destination_port()),
            (Ipv4Addr::new(10, 0, 0, 4), 1000)
        );
        assert_eq!(reply.protocol(), 17);
        assert_eq!(reply.reply(PortId(3)), key);
    }

    #[test]
    fn request_of_the_peer_is_not_a_reply_to_mine() {
        let mine = FlowKey::of(PortId(1), &headers(Transport::Echo { request: true }, 7, 0));
        let mut theirs = headers(Transport::Echo { request: true }, 7, 0);
        core::mem::swap(&mut theirs.source, &mut theirs.destination);
        assert_ne!(mine.reply(PortId(2)), FlowKey::of(PortId(2), &theirs));
        let mut answer = headers(Transport::Echo { request: false }, 0, 7);
        core::mem::swap(&mut answer.source, &mut answer.destination);
        assert_eq!(mine.reply(PortId(2)), FlowKey::of(PortId(2), &answer));
    }

    #[test]
    fn guess_is_the_key_of_what_is_most_common() {
        let mut packet = vec![0x45, 0, 0, 40, 0, 1, 0, 0, 64, 0, 0, 0];
        packet.extend([10, 0, 0, 4, 10, 0, 0, 5, 0x13, 0x88, 0, 53]);
        packet.extend([0, 20, 0, 0, 0, 0, 0, 0, 0x50, 0x10, 0, 0, 0, 0, 0, 0]);
        for protocol in [TCP, UDP] {
            packet[9] = protocol;
            packet[24..26].copy_from_slice(&[0, 20]);
            let headers = Headers::parse(&Default::default(), &packet).unwrap();
            let key = FlowKey::of(PortId(3), &headers);
            assert_eq!(FlowKey::guess(PortId(3), &packet), Some(key));
            assert_eq!(FlowKey::guess(PortId(3), &packet[..23]), None, "no ports");
        }
        packet[9] = ICMP;
        assert_eq!(FlowKey::guess(PortId(3), &packet), None);
        packet[9] = TCP;
        packet[0] = 0x65;
        assert_eq!(FlowKey::guess(PortId(3), &packet), None);
    }

    #[test]
    fn translation_changes_only_what_it_names() {
        let key = FlowKey::of(PortId(3), &headers(Transport::Udp, 1000, 53));
        let public = key.translated(Ipv4Addr::new(20, 0, 0, 9), 4000, key.destination());
        assert_eq!(
            (public.source(), public.source_port()),
            (Ipv4Addr::new(20, 0, 0, 9), 4000)
        );
        assert_eq!(
            (public.destination(), public.destination_port()),
            (key.destination(), 53)
        );
        assert_eq!((public.port(), public.protocol()), (PortId(3), 17));
    }
}
