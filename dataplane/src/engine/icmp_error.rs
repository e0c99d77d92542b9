//! ICMP errors: translated outside and inside, through the flow that they quote (RFC 5508).

use super::{Context, Dropped, Engine, Unsent, ownership};
use crate::flow::{FlowKey, Life, Pair, Side, Transposition};
use crate::policy::{PortId, PortKind};
use crate::stats::DropReason;
use crate::wire::checksum::{Delta, Sum};
use crate::wire::{Fragment, Headers, Transport, VnetHdr, icmp, ipv4, put_u16};
use std::net::Ipv4Addr;

impl Engine {
    /// Translates an error and returns the port that it leaves by.
    ///
    /// The error comes from whoever received a packet of a flow, and quotes that packet as it was
    /// delivered. It goes to the packet's sender, who must find the packet as it was sent. An
    /// error changes nothing in its flow.
    pub(super) fn translate_error(
        &mut self,
        context: &mut Context<'_, '_>,
    ) -> Result<PortId, Unsent> {
        debug_assert!(
            context.headers.fragment != Fragment::Later,
            "a later fragment has no transport header"
        );
        let no_flow = context.dropped(DropReason::IcmpNoFlow);
        let quote_at = context.headers.ip_header_len + icmp::LEN;
        let quote = context.frame.packet().get(quote_at..).ok_or(no_flow)?;
        let quoted = Headers::parse_quoted(quote).map_err(|_| no_flow)?;
        if !is_sound(&context.headers, context.frame.packet(), &quoted) {
            return Err(context.dropped(DropReason::IcmpChecksum).into());
        }
        if context.headers.destination != quoted.source {
            // An error goes to whoever sent what it quotes (RFC 1122 section 3.2.2).
            return Err(no_flow.into());
        }
        let delivered = FlowKey::of(context.ingress, &quoted);
        let (id, receiver) = self
            .flows
            .find(delivered.reply(context.ingress))
            .ok_or(no_flow)?;
        let pair = self
            .flows
            .get(id)
            .filter(|pair| pair.life == Life::Live)
            .ok_or(no_flow)?;
        if pair.is_tunnelled() {
            // A guest's errors about what a service sent over IPv6 are not carried.
            return Err(context.dropped(DropReason::IcmpUnsupported).into());
        }
        if !is_under_way(pair, receiver.other(), &quoted) {
            return Err(no_flow.into());
        }
        let sent = pair.key(receiver.other());
        let source = self.error_source(context, pair, receiver, quoted.destination)?;
        if source == sent.source() {
            return Err(context.dropped(DropReason::Land).into());
        }
        let egress = sent.port();
        let size = self.size_up(context, egress, false)?;
        let outer = Delta::default()
            .address(context.headers.source, source)
            .address(context.headers.destination, sent.source());
        let packet = context.frame.packet_mut();
        ipv4::set_addresses(packet, source, sent.source(), outer);
        if let Some(quote) = packet.get_mut(quote_at..) {
            Transposition::new(delivered, sent).apply(&VnetHdr::default(), &quoted, quote);
        }
        finish(packet, context.headers.ip_header_len);
        self.send(context, egress, size)
    }

    /// Returns the source that the error is to bear: the address that the flow's sender knows, if
    /// the error comes from there; else the router's own, if it may be seen.
    fn error_source(
        &self,
        context: &Context<'_, '_>,
        pair: &Pair,
        receiver: Side,
        delivered_to: Ipv4Addr,
    ) -> Result<Ipv4Addr, Dropped> {
        let source = context.headers.source;
        let known = pair.key(receiver.other()).destination();
        if source == delivered_to {
            return Ok(known);
        }
        let ingress = context.ingress;
        let Some(port) = self.snapshot.port(ingress) else {
            return Err(context.dropped(DropReason::NoPort));
        };
        ownership::check_router(&self.snapshot, ingress, &port.kind, source)
            .map_err(|reason| context.dropped(reason))?;
        // A private address must not appear where the flow shows a public one.
        let is_hidden = matches!(port.kind, PortKind::Nic(_)) && known != delivered_to;
        Ok(if is_hidden { known } else { source })
    }
}

/// Returns whether the quoted packet may be under way from `sender`: whoever knows addresses and ports of a
/// connection and nothing else makes up errors about what was never sent (RFC 5927).
fn is_under_way(pair: &Pair, sender: Side, quoted: &Headers) -> bool {
    match (&pair.tcp, quoted.transport) {
        (Some(tcp), Transport::Tcp(segment)) => tcp.is_under_way(sender, segment.seq),
        _ => true,
    }
}

/// Returns whether the checksums of an error and of the header that it quotes are right. They have
/// to be: the message gets a new one, which would hide the damage (RFC 5508 section 4.1). Of a
/// fragment they cannot be known.
fn is_sound(headers: &Headers, packet: &[u8], quoted: &Headers) -> bool {
    let message = packet.get(headers.ip_header_len..).unwrap_or_default();
    let quote = message.get(icmp::LEN..).unwrap_or_default();
    let quote = quote.get(..quoted.ip_header_len).unwrap_or_default();
    let is_right = |bytes: &[u8]| Sum::default().bytes(bytes).checksum() == 0;
    headers.fragment == Fragment::Whole && is_right(message) && is_right(quote)
}

/// Computes the checksum of the ICMP message that begins at `at`.
fn finish(packet: &mut [u8], at: usize) {
    if let Some(message) = packet.get_mut(at..) {
        put_u16(message, icmp::CHECKSUM, 0);
        let checksum = Sum::default().bytes(message).checksum();
        put_u16(message, icmp::CHECKSUM, checksum);
    }
}
