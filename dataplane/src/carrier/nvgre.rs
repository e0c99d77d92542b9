//! `st6-nvgre`: IPv6 in Ethernet in NVGRE (RFC 7637), as on the published platform.

use super::outer::{self, BRIDGED, ETHERNET_LEN, Ends, EtherType, Header, Key, Refused};
use super::st6;
use crate::wire::get_u16;
use crate::wire::ipv4::MIN_LEN;
use std::net::Ipv4Addr;

const GRE: u8 = 47;
/// A key is there and nothing else, version 0.
const FLAGS: u16 = 0x2000;
const GRE_LEN: usize = 8;

/// Length of everything before the IPv6 packet.
pub const LEN: usize = MIN_LEN + GRE_LEN + ETHERNET_LEN;
/// How much longer a guest's packet becomes.
pub const ADDED: usize = st6::ADDED + LEN;

/// Returns what stands before `inner`, an IPv6 packet; nothing if the whole would be too long.
/// `flow` spreads flows over paths and may be 0.
#[must_use]
pub fn header(ends: &Ends, key: Key, flow: u8, inner: &[u8]) -> Option<[u8; LEN]> {
    let mut header = Header::new(ends, GRE, inner)?;
    header.push(&FLAGS.to_be_bytes());
    header.push(&BRIDGED.to_be_bytes());
    let [a, b, c, _] = outer::word24(key.get());
    header.push(&[a, b, c, flow]);
    Some(header.ethernet(ends, EtherType::V6))
}

/// Returns the IPv6 packet in `packet`.
///
/// # Errors
///
/// [`Refused`]; identities are not looked at, see [`super::Call`].
pub fn open<'a>(packet: &'a [u8], peers: &[Ipv4Addr], key: Key) -> Result<&'a [u8], Refused> {
    const BAD: Refused = Refused::BadEncap("GRE");
    let (_, gre) = outer::open(packet, peers, GRE)?;
    let (header, frame) = gre.split_at_checked(GRE_LEN).ok_or(BAD)?;
    if get_u16(header, 0) != Some(FLAGS) || get_u16(header, 2) != Some(BRIDGED) {
        return Err(BAD);
    }
    let found = header.get(4..).and_then(outer::number24).ok_or(BAD)?;
    outer::check_key(found, key)?;
    outer::inner(frame, EtherType::V6)
}
