//! Pings, and the address that the pinged side sees.

use crate::netns::Netns;
use crate::tools::run;
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{AddressFamily, RecvFlags, SocketType, ipproto, recv, socket};
use std::net::Ipv4Addr;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

/// Pings once with the real program, from inside the namespace; returns whether the answer came.
#[must_use]
pub fn ping(namespace: &Netns, to: Ipv4Addr) -> bool {
    run(namespace
        .command("ping")
        .args(["-n", "-c", "1", "-W", "3", &to.to_string()]))
    .success()
}

/// Listens to the ICMP echo requests that arrive in a namespace.
#[derive(Debug)]
pub struct EchoTap(OwnedFd);

impl EchoTap {
    /// Starts to listen; what arrives from now on can be asked for.
    ///
    /// # Panics
    ///
    /// Panics if the socket cannot be made.
    #[must_use]
    pub fn start(namespace: &Netns) -> Self {
        let fd = namespace
            .enter(|| socket(AddressFamily::INET, SocketType::RAW, Some(ipproto::ICMP)))
            .expect("make a raw socket");
        set_socket_timeout(&fd, Timeout::Recv, Some(Duration::from_millis(100)))
            .expect("set a time limit");
        Self(fd)
    }

    /// Returns the source of the next echo request.
    ///
    /// # Panics
    ///
    /// Panics if none comes within three seconds.
    #[track_caller]
    #[must_use]
    pub fn next_source(&self) -> Ipv4Addr {
        let deadline = Instant::now() + Duration::from_secs(3);
        let mut bytes = [0_u8; 2048];
        while Instant::now() < deadline {
            let Ok((length, _)) = recv(&self.0, &mut bytes, RecvFlags::empty()) else {
                continue;
            };
            // A raw socket hands out the IP header too.
            let packet = &bytes[..length];
            let header = usize::from(packet[0] & 0x0f) * 4;
            if packet[header] == 8 {
                return Ipv4Addr::new(packet[12], packet[13], packet[14], packet[15]);
            }
        }
        panic!("no echo request arrived");
    }
}
