//! The composed rewrite of one direction of a flow: addresses, ports and checksum deltas.

use super::FlowKey;
use crate::wire::checksum::Delta;
use crate::wire::{Fragment, Headers, ICMP, Transport, VnetHdr};
use crate::wire::{get_u16, icmp, ipv4, put_u16, tcp, udp};
use std::net::Ipv4Addr;

/// What is written into every packet of one direction. All of it is known when the flow is opened,
/// so that a packet costs a few stores and two or three additions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transposition {
    source: Ipv4Addr,
    destination: Ipv4Addr,
    source_port: u16,
    destination_port: u16,
    /// Change of both addresses: the IPv4 header's and a partial checksum's.
    network: Delta,
    /// Change of everything that the transport checksum covers.
    transport: Delta,
    is_identity: bool,
}

impl Transposition {
    /// Returns the rewrite from packets of key `from` into packets of key `to`.
    #[must_use]
    pub fn new(from: FlowKey, to: FlowKey) -> Self {
        let network = Delta::default()
            .address(from.source(), to.source())
            .address(from.destination(), to.destination());
        // The ICMP checksum has no pseudo-header; its identifier stands in for the ports.
        let covered = if from.protocol() == ICMP {
            Delta::default()
        } else {
            network
        };
        let transport = covered
            .word(from.source_port(), to.source_port())
            .word(from.destination_port(), to.destination_port());
        Self {
            source: to.source(),
            destination: to.destination(),
            source_port: to.source_port(),
            destination_port: to.destination_port(),
            network,
            transport,
            is_identity: from.source() == to.source()
                && from.destination() == to.destination()
                && from.source_port() == to.source_port()
                && from.destination_port() == to.destination_port(),
        }
    }

    /// Returns the rewrite into packets that those of key `other` answer, which changes sums by these
    /// deltas.
    #[inline]
    pub(super) fn known(
        other: FlowKey,
        (network, transport): (Delta, Delta),
        is_identity: bool,
    ) -> Self {
        Self {
            source: other.destination(),
            destination: other.source(),
            source_port: other.destination_port(),
            destination_port: other.source_port(),
            network,
            transport,
            is_identity,
        }
    }

    /// Returns the changes: of the addresses, and of all that the transport checksum covers.
    pub(super) fn deltas(&self) -> (Delta, Delta) {
        (self.network, self.transport)
    }

    /// Rewrites `packet`, whose headers are `headers`, in place.
    #[inline]
    pub fn apply(&self, vnet: &VnetHdr, headers: &Headers, packet: &mut [u8]) {
        if self.is_identity {
            return;
        }
        ipv4::set_addresses(packet, self.source, self.destination, self.network);
        if headers.fragment == Fragment::Later {
            return;
        }
        let Some(segment) = packet.get_mut(headers.ip_header_len..) else {
            return;
        };
        match headers.transport {
            Transport::Tcp(_) => {
                self.set_ports(segment);
                self.update(segment, tcp::CHECKSUM, vnet.needs_csum);
            }
            Transport::Udp => {
                self.set_ports(segment);
                self.update_udp(segment, vnet.needs_csum);
            }
            Transport::Echo { request } => {
                let ident = if request {
                    self.source_port
                } else {
                    self.destination_port
                };
                put_u16(segment, icmp::IDENT, ident);
                self.update(segment, icmp::CHECKSUM, false);
            }
            // ESP does not cover the addresses; AH does, and is never translated.
            Transport::Portless | Transport::IcmpError | Transport::None => {}
        }
    }

    #[inline]
    fn set_ports(&self, segment: &mut [u8]) {
        put_u16(segment, 0, self.source_port);
        put_u16(segment, 2, self.destination_port);
    }

    #[inline]
    fn update(&self, segment: &mut [u8], at: usize, partial: bool) {
        let Some(field) = get_u16(segment, at) else {
            return;
        };
        let field = if partial {
            self.network.apply_partial(field)
        } else {
            self.transport.apply(field)
        };
        put_u16(segment, at, field);
    }

    /// Over IPv4 a UDP checksum of 0 means "none" and stays; a computed 0 is sent as 0xffff
    /// (RFC 768). A partial field is no checksum yet: it may be anything.
    #[inline]
    fn update_udp(&self, segment: &mut [u8], partial: bool) {
        if partial {
            return self.update(segment, udp::CHECKSUM, true);
        }
        match get_u16(segment, udp::CHECKSUM) {
            None | Some(0) => {}
            Some(field) => {
                let field = match self.transport.apply(field) {
                    0 => 0xffff,
                    other => other,
                };
                put_u16(segment, udp::CHECKSUM, field);
            }
        }
    }
}
