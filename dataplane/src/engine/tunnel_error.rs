//! ICMPv6 errors of a service about packets that it got over IPv6, for guests that sent them over
//! IPv4 (wire-identity reference, section 7).

use super::{Context, Engine, Unsent};
use crate::carrier::st6;
use crate::flow::{FlowKey, Life, Pair, Side, Tunnel};
use crate::policy::PortId;
use crate::stats::DropReason;
use crate::wire::checksum::{Sum, pseudo_header_v6};
use crate::wire::ipv4::{ECN, Ipv4Fields, MIN_LEN};
use crate::wire::ipv6::{self, Ipv6View};
use crate::wire::{ICMP, TCP, get_u16, icmp, put_u16};

/// The quoted header begins here, and what follows it here.
const QUOTE: usize = ipv6::LEN + icmp::LEN;
const QUOTED_SEGMENT: usize = QUOTE + ipv6::LEN;
/// The headers that stand there afterwards.
const HEADERS: usize = MIN_LEN + icmp::LEN + MIN_LEN;

const UNREACHABLE: u8 = 1;
const TOO_BIG: u8 = 2;
const TIME_EXCEEDED: u8 = 3;
/// Codes of [`UNREACHABLE`], and of ICMP's.
const PORT: u8 = 4;
const HOST_V4: u8 = 1;
const PORT_V4: u8 = 3;

impl Engine {
    /// Translates an error and returns the port that it leaves by. It quotes a packet as the service
    /// got it; the guest must find it as it sent it, as far as that is known.
    #[cold]
    pub(super) fn translate_error_v6(
        &mut self,
        context: &mut Context<'_, '_>,
    ) -> Result<PortId, Unsent> {
        let no_flow = context.dropped(DropReason::IcmpNoFlow);
        let packet = context.frame.packet();
        let message = packet.get(ipv6::LEN..).unwrap_or_default();
        let unsupported = context.dropped(DropReason::IcmpUnsupported);
        let head = icmp_head(message).ok_or(unsupported)?;
        let outer = Ipv6View::parse(packet).map_err(|_| no_flow)?;
        let quoted = packet.get(QUOTE..).unwrap_or_default();
        let quoted = Ipv6View::parse_quoted(quoted).map_err(|_| no_flow)?;
        if !is_sound(&outer) {
            return Err(context.dropped(DropReason::IcmpChecksum).into());
        }
        if outer.destination() != quoted.source() {
            return Err(no_flow.into());
        }
        let (key, tunnel) = answer_key(context.ingress, &quoted).ok_or(no_flow)?;
        let found = self.flows.find_tunnelled(key, &tunnel);
        let (id, _) = found.ok_or(no_flow)?;
        let pair = self.flows.get(id).filter(|pair| pair.life == Life::Live);
        let pair = pair.ok_or(no_flow)?;
        if !is_under_way(pair, &quoted) {
            return Err(no_flow.into());
        }
        let sent = pair.key(Side::Initiator);

        let too_big = context.dropped(DropReason::TooBig);
        let total_len = (packet.len() + HEADERS).checked_sub(QUOTED_SEGMENT);
        let total_len = total_len.and_then(|len| u16::try_from(len).ok());
        let total_len = total_len.ok_or(no_flow)?;
        let egress = sent.port();
        let mtu = self.snapshot.port(egress).map_or(0, |port| port.mtu);
        if total_len > mtu {
            return Err(too_big.into());
        }
        let quote = st6::to_v4(&quoted, sent.source(), sent.destination()).ok_or(no_flow)?;
        let fields = Ipv4Fields {
            service_type: outer.traffic_class() & ECN,
            total_len,
            ident: 1,
            flags: 0,
            ttl: outer.hop_limit(),
            protocol: ICMP,
        };
        // A guest knows the service by its public address alone.
        let outer = fields.header(sent.destination(), sent.source());
        context.frame.replace_header(QUOTED_SEGMENT, &quote);
        context.frame.prepend(&head);
        context.frame.prepend(&outer);
        if let Some(message) = context.frame.packet_mut().get_mut(MIN_LEN..) {
            let checksum = Sum::default().bytes(message).checksum();
            put_u16(message, icmp::CHECKSUM, checksum);
        }
        Ok(egress)
    }
}

/// Returns the first eight bytes of the ICMP error that stands for an ICMPv6 message, its checksum
/// still to be put; nothing for messages that have none.
fn icmp_head(message: &[u8]) -> Option<[u8; icmp::LEN]> {
    let &[kind, code, _, _, rest @ ..] = message.first_chunk::<{ icmp::LEN }>()?;
    let mut head = [0; icmp::LEN];
    let (kind, code) = match (kind, code) {
        (TOO_BIG, _) => {
            let mtu = u32::from_be_bytes(rest).saturating_sub(u32::try_from(st6::ADDED).ok()?);
            put_u16(&mut head, 6, u16::try_from(mtu).unwrap_or(u16::MAX));
            (icmp::UNREACHABLE, icmp::FRAGMENTATION_NEEDED)
        }
        (UNREACHABLE, PORT) => (icmp::UNREACHABLE, PORT_V4),
        (UNREACHABLE, _) => (icmp::UNREACHABLE, HOST_V4),
        (TIME_EXCEEDED, code) => (icmp::TIME_EXCEEDED, code),
        _ => return None,
    };
    head[0] = kind;
    head[1] = code;
    Some(head)
}

/// Returns the key by which the answer to a quoted packet would come in, and its ends.
fn answer_key(ingress: PortId, quoted: &Ipv6View<'_>) -> Option<(FlowKey, Tunnel)> {
    // RFC 4443 promises as much as fits; the ports and the sequence number are enough.
    let segment = quoted.payload().first_chunk::<8>()?;
    if quoted.next_header() != TCP {
        return None;
    }
    let ports = (get_u16(segment, 0)?, get_u16(segment, 2)?);
    let tunnel = Tunnel {
        client: quoted.source(),
        service: quoted.destination(),
    };
    let key = FlowKey::tcp_answer(ingress, &tunnel, ports);
    Some((key, tunnel))
}

/// Returns whether the quoted segment may be under way from the guest, as with errors over IPv4.
fn is_under_way(pair: &Pair, quoted: &Ipv6View<'_>) -> bool {
    let Some(&[_, _, _, _, a, b, c, d]) = quoted.payload().first_chunk::<8>() else {
        return false;
    };
    let seq = u32::from_be_bytes([a, b, c, d]);
    let tcp = pair.tcp.as_ref();
    tcp.is_none_or(|tcp| tcp.is_under_way(Side::Initiator, seq))
}

/// Returns whether the checksum of an ICMPv6 message is right: the guest gets a new one, which would
/// hide the damage.
fn is_sound(ip: &Ipv6View<'_>) -> bool {
    let (message, len) = (ip.payload(), ip.payload_len());
    let pseudo = pseudo_header_v6(ip.source(), ip.destination(), ipv6::ICMP, len);
    pseudo.bytes(message).checksum() == 0
}
