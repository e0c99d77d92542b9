//! VXLAN (RFC 7348): `st6-vxlan`, IPv6 with a key of the tunnel's own, and `vxlan-gbp`, the guest's
//! IPv4 packet with the network's key for identifier and the subnet's for group.

use super::outer::{self, ETHERNET_LEN, Ends, EtherType, Guest, Header, Key, Refused, UDP_LEN};
use super::st6;
use crate::identity::{BadIdentity, Identity, SubnetKey, VnetKey};
use std::net::Ipv4Addr;

/// The port that VXLAN goes to.
pub const PORT: u16 = 4789;

/// The identifier is valid.
const FLAG_I: u8 = 0x08;
/// The group is valid.
const FLAG_G: u8 = 0x80;
const VXLAN_LEN: usize = 8;

/// Length of everything before the packet inside.
pub const LEN: usize = UDP_LEN + VXLAN_LEN + ETHERNET_LEN;
/// How much longer a guest's packet becomes as `st6-vxlan`.
pub const ADDED_ST6: usize = st6::ADDED + LEN;
/// How much longer a guest's packet becomes as `vxlan-gbp`.
pub const ADDED_GBP: usize = LEN;

/// Returns what stands before `inner`, an IPv6 packet; nothing if the whole would be too long.
/// `hash` is of the inner flow.
#[must_use]
pub fn header(ends: &Ends, key: Key, hash: u32, inner: &[u8]) -> Option<[u8; LEN]> {
    let mut header = Header::over_udp(ends, PORT, hash, inner)?;
    header.push(&[FLAG_I, 0, 0, 0]);
    header.push(&outer::word24(key.get()));
    Some(header.ethernet(ends, EtherType::V6))
}

/// Returns the IPv6 packet in `packet`.
///
/// # Errors
///
/// [`Refused`]; identities are not looked at, see [`super::Call`].
pub fn open<'a>(packet: &'a [u8], peers: &[Ipv4Addr], key: Key) -> Result<&'a [u8], Refused> {
    let (_, number, frame) = parse(packet, peers, FLAG_I)?;
    outer::check_key(number, key)?;
    outer::inner(frame, EtherType::V6)
}

/// Returns what stands before `inner`, a guest's IPv4 packet; nothing if the whole would be too
/// long. The region of the identity is not carried.
#[must_use]
pub fn header_gbp(ends: &Ends, identity: Identity, hash: u32, inner: &[u8]) -> Option<[u8; LEN]> {
    let mut header = Header::over_udp(ends, PORT, hash, inner)?;
    let [g0, g1] = identity.subnet.get().to_be_bytes();
    header.push(&[FLAG_I | FLAG_G, 0, g0, g1]);
    header.push(&outer::word24(identity.vnet.get()));
    Some(header.ethernet(ends, EtherType::V4))
}

/// Returns the guest's packet in `packet`, and whose it is; region 0.
///
/// # Errors
///
/// [`Refused`].
pub fn open_gbp<'a>(packet: &'a [u8], peers: &[Ipv4Addr]) -> Result<Guest<'a>, Refused> {
    let (group, number, frame) = parse(packet, peers, FLAG_I | FLAG_G)?;
    let packet = outer::inner(frame, EtherType::V4)?;
    let identity = Identity {
        vnet: VnetKey::new(number).ok_or(BadIdentity::VnetKey(number))?,
        subnet: SubnetKey::new(group).ok_or(BadIdentity::SubnetKey)?,
        region: 0,
    };
    Ok(Guest { identity, packet })
}

/// Returns group, identifier and frame; `flags` have to be set, all others are ignored.
fn parse<'a>(
    packet: &'a [u8],
    peers: &[Ipv4Addr],
    flags: u8,
) -> Result<(u16, u32, &'a [u8]), Refused> {
    const BAD: Refused = Refused::BadEncap("VXLAN");
    let vxlan = outer::open_udp(packet, peers, PORT)?;
    let (header, frame) = vxlan.split_first_chunk::<VXLAN_LEN>().ok_or(BAD)?;
    let &[found, _, g0, g1, n0, n1, n2, _] = header;
    if found & flags != flags {
        return Err(BAD);
    }
    let number = u32::from_be_bytes([0, n0, n1, n2]);
    Ok((u16::from_be_bytes([g0, g1]), number, frame))
}
