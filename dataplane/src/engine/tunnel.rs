//! Flows that a service gets over IPv6 with an identity: the carrier `st6`, both ways.
//!
//! Only packets towards such a service and its answers come here. An answer is looked up by all of
//! both addresses and is never judged by a route or a group; without a flow it is dropped without a
//! word, because a service opens nothing.

use super::cut::Size;
use super::evaluate::{NsgMode, Request};
use super::miss::tuple_of;
use super::{Context, Dropped, Engine, Frame, Network, Unsent, make, reason_of};
use crate::carrier::st6;
use crate::flow::{FlowKey, Pair, Side, Tunnel};
use crate::identity::{Identity, ServicePrefix, is_reserved};
use crate::policy::{Direction, PortId, PortKind};
use crate::stats::DropReason;
use crate::time::Now;
use crate::wire::ipv4::Ipv4View;
use crate::wire::ipv6::{self, Ipv6View};
use crate::wire::tcp::{self, Flags};
use crate::wire::{Fragment, GsoType, Headers, Transport, get_u16, ipv4, put_u16};

/// What an IPv6 packet on a service's device leaves of its MTU to the bytes of a TCP segment that
/// reaches the guest with an IPv4 header: the segment's own limit and that of the packet's growth.
const MSS_LESS: u16 = 60;

impl Engine {
    /// Decides on an IPv6 packet.
    pub(super) fn decide_v6(
        &mut self,
        now: Now,
        ingress: PortId,
        direction: Direction,
        frame: &mut Frame<'_>,
    ) -> Result<PortId, Unsent> {
        let dropped = |reason| Dropped {
            port: ingress,
            direction,
            reason,
        };
        let ip = Ipv6View::parse_quoted(frame.packet());
        let ip = ip.map_err(|_| dropped(DropReason::Ipv6))?;
        let tunnel = Tunnel {
            client: ip.destination(),
            service: ip.source(),
        };
        if !is_reserved(tunnel.client) && !is_reserved(tunnel.service) {
            return Err(dropped(DropReason::Ipv6).into());
        }
        let port = self.snapshot.port(ingress).map(|port| &port.kind);
        if !matches!(port, Some(PortKind::Service)) {
            return Err(dropped(DropReason::ForgedIdentity).into());
        }
        let headers = Headers::parse_v6(&frame.vnet, frame.packet());
        let headers = headers.map_err(|error| dropped(reason_of(error)))?;
        let mut context = Context {
            now,
            ingress,
            direction,
            headers,
            network: Network::V6(tunnel),
            frame,
        };
        if headers.transport == Transport::IcmpError {
            return self.translate_error_v6(&mut context);
        }
        let key = FlowKey::of(ingress, &headers).tunnelled();
        match self.flows.find_tunnelled(key, &tunnel) {
            Some((id, side)) => self.hit(&mut context, key, id, side),
            None => {
                let reason = self.stray_answer(ingress, &headers, &tunnel);
                Err(context.dropped(reason).into())
            }
        }
    }

    /// Returns why an answer that has no flow is dropped.
    #[cold]
    fn stray_answer(&self, ingress: PortId, headers: &Headers, tunnel: &Tunnel) -> DropReason {
        if ServicePrefix::parse(tunnel.service).is_err() || Identity::parse(tunnel.client).is_err()
        {
            return DropReason::BadIdentity;
        }
        let answered = FlowKey::of(ingress, headers);
        let is_other = |nic: &PortId| {
            let pair = self.flows.find(answered.reply(*nic));
            let pair = pair.and_then(|(id, _)| self.flows.get(id));
            pair.is_some_and(|pair| pair.is_tunnelled() && pair.egress(Side::Initiator) == ingress)
        };
        let mut vnets = self.snapshot.vnets.iter();
        let is_mismatch =
            vnets.any(|vnet| vnet.nics.get(&headers.destination).is_some_and(is_other));
        if is_mismatch {
            DropReason::StAddrMismatch
        } else {
            DropReason::StNoFlow
        }
    }

    /// Returns whether a later fragment is part of a packet that a service would get over IPv6.
    #[cold]
    pub(super) fn is_tunnelled(&self, context: &Context<'_, '_>) -> bool {
        let path = Request {
            snapshot: &self.snapshot,
            ingress: context.ingress,
            tuple: tuple_of(FlowKey::of(context.ingress, &context.headers)),
            is_fragment: true,
            nsg: NsgMode::Ignore,
        }
        .evaluate();
        path.is_ok_and(|path| path.tunnel.is_some())
    }

    /// Returns whether a packet of a tunnelled flow can leave by `egress`.
    ///
    /// # Errors
    ///
    /// It is a fragment, or larger than the device takes: it cannot be cut, and its sender is told.
    pub(super) fn size_up_tunnelled(
        &mut self,
        context: &Context<'_, '_>,
        egress: PortId,
    ) -> Result<Size, Dropped> {
        let Context { headers, frame, .. } = context;
        if headers.fragment != Fragment::Whole {
            return Err(context.dropped(DropReason::StFragment));
        }
        let port = self.snapshot.port(egress);
        let mtu = port.map_or(0, |port| usize::from(port.mtu));
        let (old, new) = header_lens(context);
        let packet_len = headers.wire_len(&frame.vnet, frame.packet().len());
        let len = packet_len + new - old;
        let is_super = frame.vnet.gso_type != GsoType::None;
        // The segments of a super-frame can be made smaller.
        let least = new + headers.transport_header_len + 1;
        if len > mtu && !(is_super && least <= mtu) {
            self.tell_too_big(context, mtu);
            return Err(context.dropped(DropReason::TooBig));
        }
        if frame.room() + old < new || total_len(context, new).is_none() {
            return Err(context.dropped(DropReason::TooBig));
        }
        Ok(Size::Fits)
    }

    /// Tells the sender of a packet that is too large what would have passed.
    #[cold]
    fn tell_too_big(&mut self, context: &Context<'_, '_>, mtu: usize) {
        let packet = context.frame.packet();
        let told = match context.network {
            Network::V4 => make::fragmentation_needed(packet, mtu.saturating_sub(st6::ADDED)),
            Network::V6(tunnel) => make::packet_too_big(&tunnel, packet, mtu + st6::ADDED),
        };
        if let Some(packet) = told {
            self.emit(context.ingress, packet);
        }
    }

    /// Returns the most that SYN and SYN-ACK of a flow to the service at `port` may announce, and
    /// the MTU of the device at `egress`.
    pub(super) fn limits(&self, port: PortId, egress: PortId) -> Limits {
        let mtu_of = |port| self.snapshot.port(port).map_or(0, |port| port.mtu);
        Limits {
            mss: mtu_of(port).saturating_sub(MSS_LESS),
            mtu: mtu_of(egress),
        }
    }
}

/// How large packets of a tunnelled flow may be.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    mss: u16,
    mtu: u16,
}

/// Returns the length of the IP header that a packet has, and of the one that it will have.
fn header_lens(context: &Context<'_, '_>) -> (usize, usize) {
    let new = match context.network {
        Network::V4 => ipv6::LEN,
        Network::V6(_) => ipv4::MIN_LEN,
    };
    (context.headers.ip_header_len, new)
}

/// Returns what the length field of the new header will hold, if it can.
fn total_len(context: &Context<'_, '_>, new: usize) -> Option<u16> {
    let payload = context.frame.packet().len() - context.headers.ip_header_len;
    let counted = match context.network {
        Network::V4 => payload,
        Network::V6(_) => payload + new,
    };
    u16::try_from(counted).ok()
}

/// Puts the header of the other protocol before a packet of a tunnelled flow. Nothing of the segment
/// changes but a maximum size that is too great.
pub(super) fn transpose(
    context: &mut Context<'_, '_>,
    pair: &Pair,
    tunnel: &Tunnel,
    limits: Limits,
) {
    let (old, new) = header_lens(context);
    let Context {
        headers,
        network,
        frame,
        ..
    } = context;
    if let Transport::Tcp(segment) = &headers.transport
        && segment.flags.has(Flags::SYN)
    {
        clamp(frame, old, limits.mss);
    }
    let least = new + headers.transport_header_len;
    let segment = usize::from(limits.mtu).saturating_sub(least);
    let segment = u16::try_from(segment).unwrap_or(u16::MAX);
    match network {
        Network::V4 => {
            let Ok(ip) = Ipv4View::parse(frame.packet()) else {
                return;
            };
            let header = st6::to_v6(&ip, tunnel.client, tunnel.service);
            frame.vnet = st6::moved(frame.vnet, old, new, GsoType::TcpV6, segment);
            frame.replace_header(old, &header);
        }
        Network::V6(_) => {
            let Ok(ip) = Ipv6View::parse(frame.packet()) else {
                return;
            };
            let sent = pair.key(Side::Initiator);
            let Some(header) = st6::to_v4(&ip, sent.destination(), sent.source()) else {
                return;
            };
            frame.vnet = st6::moved(frame.vnet, old, new, GsoType::TcpV4, segment);
            frame.replace_header(old, &header);
        }
    }
}

/// Lowers the maximum segment size of a SYN, and keeps its checksum as right as it was.
fn clamp(frame: &mut Frame<'_>, at: usize, most: u16) {
    let is_partial = frame.vnet.needs_csum;
    let Some(segment) = frame.packet_mut().get_mut(at..) else {
        return;
    };
    let delta = tcp::clamp_mss(segment, most);
    // A partial sum is that of the pseudo-header alone.
    if !is_partial
        && delta != Default::default()
        && let Some(field) = get_u16(segment, tcp::CHECKSUM)
    {
        put_u16(segment, tcp::CHECKSUM, delta.apply(field));
    }
}
