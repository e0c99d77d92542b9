//! Senders that send as fast as they can: packets of which each opens a flow.

use crate::netns::Netns;
use rustix::net::{AddressFamily, SendFlags, SocketType, ipproto, sendto, socket};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};

/// What a flood is made of.
#[derive(Clone, Copy, Debug)]
pub enum Flood {
    /// Datagrams from this address, to ever other hosts of the Internet.
    Datagrams(Ipv4Addr),
    /// First segments of connections from this address, to ever other hosts of the Internet.
    Connections(Ipv4Addr),
    /// Datagrams of 28 bytes from ever other addresses of the Internet.
    Strangers(SocketAddrV4),
    /// First segments of connections from ever other addresses of the Internet.
    StrangersConnect(SocketAddrV4),
}

const UDP: u8 = 17;
const TCP: u8 = 6;

impl Flood {
    /// Returns the packet with this number, and where it goes.
    fn packet(self, number: u32, bytes: &mut [u8; 40]) -> (usize, Ipv4Addr) {
        let port = 1024 + u16::try_from(number % 60_000).unwrap_or(0);
        let far = Ipv4Addr::from(0x0b00_0000 | number & 0x00ff_ffff);
        let stranger = Ipv4Addr::from(0x0900_0000 | number & 0x00ff_ffff);
        let (protocol, from, to) = match self {
            Self::Datagrams(from) => (UDP, (from, port), (far, 9)),
            Self::Connections(from) => (TCP, (from, port), (far, 9)),
            Self::Strangers(to) => (UDP, (stranger, 5000), (*to.ip(), to.port())),
            Self::StrangersConnect(to) => (TCP, (stranger, 5000), (*to.ip(), to.port())),
        };
        let length: u8 = if protocol == TCP { 40 } else { 28 };
        bytes.fill(0);
        (bytes[0], bytes[3], bytes[8], bytes[9]) = (0x45, length, 64, protocol);
        bytes[12..16].copy_from_slice(&from.0.octets());
        bytes[16..20].copy_from_slice(&to.0.octets());
        bytes[20..22].copy_from_slice(&from.1.to_be_bytes());
        bytes[22..24].copy_from_slice(&to.1.to_be_bytes());
        if protocol == TCP {
            (bytes[32], bytes[33], bytes[34]) = (0x50, 2, 4);
            let sum = sum_of(bytes);
            bytes[36..38].copy_from_slice(&sum.to_be_bytes());
        } else {
            bytes[25] = 8;
        }
        (usize::from(length), to.0)
    }
}

/// The checksum of a TCP segment of 20 bytes behind a header of 20.
fn sum_of(packet: &[u8; 40]) -> u16 {
    let words = packet[12..].chunks(2);
    let sum: u32 = words
        .map(|word| u32::from(u16::from_be_bytes([word[0], word[1]])))
        .sum::<u32>()
        + u32::from(TCP)
        + 20;
    let folded = (sum & 0xffff) + (sum >> 16);
    !u16::try_from((folded & 0xffff) + (folded >> 16)).unwrap_or(0)
}

/// A flood that goes on until it is dropped.
#[derive(Debug)]
pub struct Flooding {
    stop: Arc<AtomicBool>,
    sent: Arc<AtomicU64>,
    thread: Option<JoinHandle<()>>,
}

impl Flooding {
    /// Begins to flood from a namespace.
    ///
    /// # Panics
    ///
    /// Panics if the namespace gives no raw socket.
    #[must_use]
    pub fn start(namespace: &Netns, flood: Flood) -> Self {
        let raw = || socket(AddressFamily::INET, SocketType::RAW, Some(ipproto::RAW));
        let socket = namespace.enter(raw).expect("open a raw socket");
        let (stop, sent) = (
            Arc::new(AtomicBool::new(false)),
            Arc::new(AtomicU64::new(0)),
        );
        let (stopped, count) = (Arc::clone(&stop), Arc::clone(&sent));
        let thread = thread::spawn(move || send_all(&socket, flood, &stopped, &count));
        Self {
            stop,
            sent,
            thread: Some(thread),
        }
    }

    /// Returns how many packets the kernel took so far.
    #[must_use]
    pub fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }
}

fn send_all(socket: &OwnedFd, flood: Flood, stop: &AtomicBool, sent: &AtomicU64) {
    let mut bytes = [0; 40];
    for number in 0u32.. {
        if stop.load(Ordering::Relaxed) {
            return;
        }
        let (length, to) = flood.packet(number, &mut bytes);
        let to = SocketAddr::from((to, 0));
        // A full queue is what a flood finds.
        if sendto(socket, &bytes[..length], SendFlags::empty(), &to).is_ok() {
            sent.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Drop for Flooding {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
