//! The resolver of the virtual networks.

use std::net::SocketAddr;

/// What answers DNS at 168.63.129.16.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dns {
    /// Whether Postern answers there; if not, the address is free for a server of the user's own.
    pub enabled: bool,
    /// Who is asked, from the host's namespace, for names that the model does not have; tried in
    /// this order.
    pub forwarders: Vec<SocketAddr>,
}

impl Default for Dns {
    fn default() -> Self {
        Self {
            enabled: true,
            forwarders: Vec::new(),
        }
    }
}
