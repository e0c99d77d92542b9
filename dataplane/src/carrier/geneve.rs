//! `geneve`: the guest's IPv4 packet in Geneve (RFC 8926), its identity in a critical option, for a
//! service that has to see the IPv4 header unchanged.

use super::outer::{self, BRIDGED, ETHERNET_LEN, Ends, EtherType, Guest, Header, Refused, UDP_LEN};
use crate::identity::{BadIdentity, Identity, SubnetKey, VnetKey};
use std::net::Ipv4Addr;

/// The port that Geneve goes to.
pub const PORT: u16 = 6081;

const GENEVE_LEN: usize = 8;
/// The option with its header.
const OPTION_LEN: usize = 16;
/// Version 0, four words of options.
const VERSION_AND_LEN: u8 = 4;
/// The packet is the tunnel ends' own.
const FLAG_CONTROL: u8 = 0x80;
/// A critical option is there.
const FLAG_CRITICAL: u8 = 0x40;
/// In an option's type: who does not know it drops the packet.
const CRITICAL: u8 = 0x80;
/// Class, type and words of the identity: of the experimental range.
const CLASS: u16 = 0xff50;
const TYPE: u8 = 0x81;
const WORDS: u8 = 3;

/// Length of everything before the packet inside.
pub const LEN: usize = UDP_LEN + GENEVE_LEN + OPTION_LEN + ETHERNET_LEN;
/// How much longer a guest's packet becomes.
pub const ADDED: usize = LEN;

const BAD: Refused = Refused::BadEncap("Geneve");

/// Returns what stands before `inner`, a guest's IPv4 packet; nothing if the whole would be too
/// long. `hash` is of the inner flow.
#[must_use]
pub fn header(ends: &Ends, identity: Identity, hash: u32, inner: &[u8]) -> Option<[u8; LEN]> {
    let mut header = Header::over_udp(ends, PORT, hash, inner)?;
    header.push(&[VERSION_AND_LEN, FLAG_CRITICAL]);
    header.push(&BRIDGED.to_be_bytes());
    header.push(&outer::word24(identity.vnet.get()));
    header.push(&CLASS.to_be_bytes());
    header.push(&[TYPE, WORDS]);
    header.push(&identity.vnet.get().to_be_bytes());
    header.push(&identity.subnet.get().to_be_bytes());
    header.push(&identity.region.to_be_bytes());
    header.push(&[0; 4]);
    Some(header.ethernet(ends, EtherType::V4))
}

/// Returns the guest's packet in `packet`, and whose it is.
///
/// # Errors
///
/// [`Refused`].
pub fn open<'a>(packet: &'a [u8], peers: &[Ipv4Addr]) -> Result<Guest<'a>, Refused> {
    let geneve = outer::open_udp(packet, peers, PORT)?;
    let (header, rest) = geneve.split_first_chunk::<GENEVE_LEN>().ok_or(BAD)?;
    let &[version_and_len, flags, p0, p1, n0, n1, n2, _] = header;
    let is_data = version_and_len >> 6 == 0 && flags & FLAG_CONTROL == 0;
    if !is_data || u16::from_be_bytes([p0, p1]) != BRIDGED {
        return Err(BAD);
    }
    let options_len = usize::from(version_and_len & 0x3f) * 4;
    let (options, frame) = rest.split_at_checked(options_len).ok_or(BAD)?;
    let value = identity_option(options)?;
    if flags & FLAG_CRITICAL == 0 {
        return Err(BAD);
    }
    let &[v0, v1, v2, v3, s0, s1, r0, r1, 0, 0, 0, 0] = value else {
        return Err(BAD);
    };
    let vnet = u32::from_be_bytes([v0, v1, v2, v3]);
    if vnet != u32::from_be_bytes([0, n0, n1, n2]) {
        return Err(BAD);
    }
    let packet = outer::inner(frame, EtherType::V4)?;
    let subnet = u16::from_be_bytes([s0, s1]);
    let identity = Identity {
        vnet: VnetKey::new(vnet).ok_or(BadIdentity::VnetKey(vnet))?,
        subnet: SubnetKey::new(subnet).ok_or(BadIdentity::SubnetKey)?,
        region: u16::from_be_bytes([r0, r1]),
    };
    Ok(Guest { identity, packet })
}

/// Returns the value of the identity's option, which has to be there once; ordinary options that are
/// not known are skipped.
fn identity_option(mut options: &[u8]) -> Result<&[u8; 12], Refused> {
    let mut found = None;
    while !options.is_empty() {
        let (header, rest) = options.split_first_chunk::<4>().ok_or(BAD)?;
        let &[c0, c1, kind, words] = header;
        let len = usize::from(words & 0x1f) * 4;
        let (value, after) = rest.split_at_checked(len).ok_or(BAD)?;
        if u16::from_be_bytes([c0, c1]) == CLASS && kind == TYPE {
            let value = value.try_into().map_err(|_| BAD)?;
            if found.replace(value).is_some() {
                return Err(BAD);
            }
        } else if kind & CRITICAL != 0 {
            return Err(BAD);
        }
        options = after;
    }
    found.ok_or(BAD)
}
