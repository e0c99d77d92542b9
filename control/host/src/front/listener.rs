//! Listening sockets: made inside the namespace of a service, then served from outside.

use super::caller::Ends;
use super::connection::{Shared, Taken, serve};
use super::counters::ListenerCounters;
use super::door::Place;
use crate::attach::{self, AttachError};
use postern_dataplane::identity::BadIdentity;
use postern_network::model::NamespaceRef;
use rustix::net::{AddressFamily, SocketFlags, SocketType, sockopt};
use std::io;
use std::net::{Ipv6Addr, SocketAddr, SocketAddrV6};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tracing::{debug, warn};

/// Makes a socket that listens on every address of a namespace, IPv4 and IPv6.
///
/// # Errors
///
/// The namespace cannot be entered, or the port is taken.
pub(super) fn open(
    namespace: &NamespaceRef,
    port: u16,
) -> Result<std::net::TcpListener, AttachError> {
    let listening = attach::inside(namespace, || listen(port))?;
    listening.map_err(|source| AttachError::Listen {
        namespace: namespace.clone(),
        port,
        source,
    })
}

fn listen(port: u16) -> io::Result<std::net::TcpListener> {
    const BACKLOG: i32 = 4096;
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = rustix::net::socket_with(AddressFamily::INET6, SocketType::STREAM, flags, None)?;
    // A namespace may have another default.
    sockopt::set_ipv6_v6only(&socket, false)?;
    // Connections of a front before this one may still be closing.
    sockopt::set_socket_reuseaddr(&socket, true)?;
    let address = SocketAddrV6::new(Ipv6Addr::UNSPECIFIED, port, 0, 0);
    rustix::net::bind(&socket, &address)?;
    rustix::net::listen(&socket, BACKLOG)?;
    Ok(socket.into())
}

/// Reads who calls whom from the addresses of the peer and of this side.
pub(super) type ReadEnds = fn(SocketAddr, SocketAddr) -> Result<Ends, BadIdentity>;

/// A listener as its task has it.
#[derive(Debug)]
pub(super) struct Listener {
    pub(super) place: Place,
    pub(super) socket: TcpListener,
    pub(super) counters: Arc<ListenerCounters>,
    /// Reads who calls whom from the two addresses of a connection.
    pub(super) read: ReadEnds,
    /// Its number among those that share places.
    pub(super) room: u64,
}

impl Listener {
    /// Takes connections until the task is ended.
    pub(super) async fn run(self, shared: Arc<Shared>) {
        const PAUSE: Duration = Duration::from_millis(100);
        loop {
            match self.socket.accept().await {
                Ok((stream, peer)) => {
                    self.counters.accepted.count();
                    self.take(&shared, stream, peer);
                }
                // The client gave up in the queue.
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
                Err(error) => {
                    // Out of descriptors, most likely: those at work will give some back.
                    warn!(namespace = %self.place.namespace, %error, "a front cannot accept");
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }

    /// Starts to serve a connection, or resets it if there are too many.
    fn take(&self, shared: &Arc<Shared>, stream: TcpStream, peer: SocketAddr) {
        let ends = stream.local_addr().map(|local| (self.read)(peer, local));
        let ends = match ends {
            Ok(Ok(ends)) => ends,
            Ok(Err(error)) => {
                debug!(%peer, %error, "no caller");
                self.counters.bad_identity.count();
                let _ = stream.set_zero_linger();
                return;
            }
            Err(_) => return self.counters.hung_up.count(),
        };
        let Some(place) = shared.places.enter(self.room, &ends.caller) else {
            self.counters.over_limit.count();
            let _ = stream.set_zero_linger();
            return;
        };
        let leave = place.leave();
        let counters = Arc::clone(&self.counters);
        let taken = Taken {
            stream,
            ends,
            namespace: self.place.namespace.clone(),
            counters: Arc::clone(&self.counters),
            place,
        };
        let served = serve(Arc::clone(shared), taken);
        tokio::spawn(async move {
            tokio::select! {
                () = served => {}
                () = leave.notified() => counters.evicted.count(),
            }
        });
    }
}
