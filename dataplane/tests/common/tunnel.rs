//! What the tests of flows over IPv6 share: the ends of one connection and packets of both sides.

use super::Rig;
use super::packets::*;
use super::world::*;
use etherparse::{IpNumber, PacketBuilder};
use postern_dataplane::policy::Snapshot;
use postern_dataplane::wire::VnetHdr;
use std::net::{Ipv6Addr, SocketAddrV6};

pub const CA: &str = "10.0.1.4:50312";
pub const VIP: &str = "52.239.0.10:443";
/// The same as the service sees them; computed by hand from the layout.
pub const CLIENT: &str = "[fd40:0:2a:7:1a:274:a00:104]:50312";
pub const FAR_CLIENT: &str = "[fd40:0:2b:7:1a:273:a00:104]:50312";
pub const SERVICE: &str = "[fd41:1:1a:2a3::34ef:a]:443";

pub fn v6(text: &str) -> SocketAddrV6 {
    text.parse().unwrap()
}

/// A TCP segment over IPv6.
pub fn tcp6(from: &str, to: &str, flags: u8, seq: u32, ack: u32, payload: &[u8]) -> Vec<u8> {
    let (from, to) = (v6(from), v6(to));
    let mut builder = PacketBuilder::ipv6(from.ip().octets(), to.ip().octets(), 64).tcp(
        from.port(),
        to.port(),
        seq,
        1000,
    );
    if flags & FIN != 0 {
        builder = builder.fin();
    }
    if flags & SYN != 0 {
        builder = builder.syn();
    }
    if flags & RST != 0 {
        builder = builder.rst();
    }
    if flags & ACK != 0 {
        builder = builder.ack(ack);
    }
    let mut bytes = Vec::new();
    builder.write(&mut bytes, payload).unwrap();
    bytes
}

/// An IPv6 packet of any protocol.
pub fn ipv6(from: &str, to: &str, next_header: u8, payload: &[u8]) -> Vec<u8> {
    let (from, to): (Ipv6Addr, Ipv6Addr) = (from.parse().unwrap(), to.parse().unwrap());
    let mut bytes = Vec::new();
    PacketBuilder::ipv6(from.octets(), to.octets(), 64)
        .write(&mut bytes, IpNumber(next_header), payload)
        .unwrap();
    bytes
}

/// An ICMPv6 error that quotes the first `quote` bytes of `about`.
pub fn error6(kind: u8, code: u8, word: u32, about: &[u8], quote: usize) -> Vec<u8> {
    let (from, to) = (v6(SERVICE), v6(CLIENT));
    let mut message = vec![kind, code, 0, 0];
    message.extend(word.to_be_bytes());
    message.extend(&about[..about.len().min(quote)]);
    let mut sum = [from.ip().octets(), to.ip().octets()].concat();
    sum.extend(u32::try_from(message.len()).unwrap().to_be_bytes());
    sum.extend([0, 0, 0, 58]);
    sum.extend(&message);
    let checksum = !slow_sum(&sum);
    message[2..4].copy_from_slice(&checksum.to_be_bytes());
    ipv6(&from.ip().to_string(), &to.ip().to_string(), 58, &message)
}

pub fn ends6(packet: &[u8]) -> (SocketAddrV6, SocketAddrV6) {
    let address = |at: usize| {
        let octets: [u8; 16] = packet[at..at + 16].try_into().unwrap();
        Ipv6Addr::from(octets)
    };
    let port = |at: usize| u16::from_be_bytes([packet[at], packet[at + 1]]);
    (
        SocketAddrV6::new(address(8), port(40), 0, 0),
        SocketAddrV6::new(address(24), port(42), 0, 0),
    )
}

pub fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<u8> = hex.bytes().filter(u8::is_ascii_hexdigit).collect();
    digits
        .chunks(2)
        .map(|pair| u8::from_str_radix(core::str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect()
}

/// The tunnel world with another MTU of the service's device.
pub fn with_mtu(mtu: u16) -> Snapshot {
    let mut snapshot = tunnel_world(1);
    snapshot.ports[usize::from(SVC.0)].as_mut().unwrap().mtu = mtu;
    snapshot
}

/// A rig with an open connection from VM0.
pub fn connected(snapshot: Snapshot) -> Rig {
    let mut rig = Rig::new(snapshot);
    rig.cross(
        VM0,
        VnetHdr::default(),
        &tcp(CA, VIP, SYN, 100, 0, &[]),
        SVC,
    );
    let answer = tcp6(SERVICE, CLIENT, SYN | ACK, 500, 101, &[]);
    rig.cross(SVC, VnetHdr::default(), &answer, VM0);
    rig.cross(
        VM0,
        VnetHdr::default(),
        &tcp(CA, VIP, ACK, 101, 501, &[]),
        SVC,
    );
    rig
}
