//! The resolver of the virtual networks.

use super::loader::{Claims, Loader};
use super::problem::Problem;
use super::section::Section;
use crate::model::{Dns, PLATFORM};
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

const KEYS: &[&str] = &["enabled", FORWARDERS];
const FORWARDERS: &str = "forwarders";

const SOME_FORWARDERS: &str = "a list of addresses of name servers, with a port where it is not 53, such as \
     [\"192.0.2.53\", \"192.0.2.54:5353\"]";

/// More than this nobody has, and each of them may let a query wait.
const MOST_FORWARDERS: usize = 4;

/// The address of a name server.
struct Forwarder(SocketAddr);

/// It is not one, or nothing can be asked there.
struct NotAForwarder;

impl FromStr for Forwarder {
    type Err = NotAForwarder;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const PORT: u16 = 53;
        let plain = text.parse().map(|address| SocketAddr::new(address, PORT));
        let address: SocketAddr = plain.or_else(|_| text.parse()).map_err(|_| NotAForwarder)?;
        let is_host = match address.ip() {
            // The resolver's own address is the platform's: it would ask itself.
            IpAddr::V4(ip) => !ip.is_broadcast() && !PLATFORM.contains(&ip),
            IpAddr::V6(_) => true,
        };
        let is_one = !address.ip().is_unspecified() && !address.ip().is_multicast();
        (is_host && is_one && address.port() != 0)
            .then_some(Self(address))
            .ok_or(NotAForwarder)
    }
}

impl Loader<'_> {
    /// Reads the resolver.
    pub(super) fn dns(&mut self, root: &Section<'_>) {
        let Some(section) = root.section("dns", KEYS) else {
            return;
        };
        let forwarders = section.parse_list::<Forwarder>(FORWARDERS, SOME_FORWARDERS);
        section.limit(FORWARDERS, forwarders.len(), MOST_FORWARDERS);
        let mut known = Claims::default();
        for forwarder in &forwarders {
            let address = forwarder.value.0;
            if let Err(other) = known.claim(address, &forwarder.key) {
                let value = Some(format!("{:?}", address.to_string()));
                let problem = Problem::AddressInUse(other);
                section.errors().add(&forwarder.key, value, problem);
            }
        }
        self.model.dns = Dns {
            enabled: section.flag("enabled", true),
            forwarders: forwarders.into_iter().map(|it| it.value.0).collect(),
        };
    }
}
