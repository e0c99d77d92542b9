//! The resolver's life: it follows the model, and moves when the platform's address does.

use super::serve::Server;
use super::zone::Zone;
use crate::attach::{self, AttachError, NamespaceId};
use postern_network::model::{Model, NamespaceRef, PLATFORM};
use std::io;
use std::net::{Ipv4Addr, SocketAddrV4, TcpListener, UdpSocket};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::sleep;
use tracing::{debug, error, info};

/// The port of name servers.
const PORT: u16 = 53;

/// How many bytes of queries wait in the kernel at most.
const ROOM: usize = 4 * 1024 * 1024;

/// How long until the sockets are tried again after they could not be made.
const TRY_AGAIN: Duration = Duration::from_secs(1);

/// Why the resolver cannot answer.
#[derive(Debug, thiserror::Error)]
pub enum DnsError {
    /// The platform's namespace cannot be entered.
    #[error("dns: {0}")]
    Namespace(#[from] AttachError),
    /// The sockets cannot be made.
    #[error(
        "dns: cannot answer at {address} ({transport}) in the platform's namespace `{namespace}`: \
         {source}; accepted: nobody else there, or dns.enabled = false"
    )]
    Bind {
        /// Where.
        address: SocketAddrV4,
        /// `udp` or `tcp`.
        transport: &'static str,
        /// In which namespace.
        namespace: NamespaceRef,
        /// What the system said.
        source: io::Error,
    },
    /// The sockets were made but cannot be used.
    #[error("dns: cannot use the sockets")]
    Sockets(#[source] io::Error),
}

impl DnsError {
    /// Returns whether somebody else has the address.
    fn is_taken(&self) -> bool {
        matches!(self, Self::Bind { source, .. } if source.kind() == io::ErrorKind::AddrInUse)
    }
}

/// The running resolver; dropping it closes its sockets.
#[derive(Debug)]
pub struct Resolver(JoinHandle<()>);

impl Resolver {
    /// Answers by the newest of `models` from now on, as soon as the platform's namespace and addresses
    /// are there. Call it inside a runtime.
    ///
    /// # Errors
    ///
    /// Somebody else answers there at the start. Whatever else is in the way is waited for.
    pub async fn start(models: watch::Receiver<Arc<Model>>) -> Result<Self, DnsError> {
        let mut serving = Serving::new();
        let model = Arc::clone(&models.borrow());
        match serving.bring(&model).await {
            Err(error) if error.is_taken() => return Err(error),
            // The follower tries again, and says so.
            _ => {}
        }
        Ok(Self(tokio::spawn(follow(models, serving))))
    }
}

impl Drop for Resolver {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Follows the models until there are no more.
async fn follow(mut models: watch::Receiver<Arc<Model>>, mut serving: Serving) {
    let mut said = String::new();
    loop {
        let model = Arc::clone(&models.borrow_and_update());
        let brought = serving.bring(&model).await;
        let problem = brought
            .as_ref()
            .err()
            .map(|error| postern_network::chain(error))
            .unwrap_or_default();
        if !problem.is_empty() && problem != said {
            error!(error = problem, "names are not resolved");
        }
        said = problem;
        tokio::select! {
            changed = models.changed() => if changed.is_err() { return },
            () = sleep(TRY_AGAIN), if brought.is_err() => {}
        }
    }
}

/// Which namespace the sockets are in.
type Place = (NamespaceRef, NamespaceId);

/// The sockets, where they are, and what is answered there.
struct Serving {
    zones: watch::Sender<Arc<Zone>>,
    server: Arc<Server>,
    place: Option<Place>,
    tasks: JoinSet<()>,
}

impl Serving {
    fn new() -> Self {
        let (zones, receiver) = watch::channel(Arc::default());
        Self {
            zones,
            server: Server::new(receiver),
            place: None,
            tasks: JoinSet::new(),
        }
    }

    /// Answers by `model` from the next query on; moves the sockets if they are not where they
    /// belong, and otherwise leaves them and what waits at them alone.
    async fn bring(&mut self, model: &Model) -> Result<(), DnsError> {
        self.zones.send_replace(Arc::new(Zone::new(model)));
        let wanted = model
            .dns
            .enabled
            .then_some(&model.platform.device.namespace);
        let wanted = match wanted {
            Some(namespace) => match attach::identify(namespace) {
                Ok(id) => Some((namespace.clone(), id)),
                Err(error) => {
                    // They would keep alive a namespace that nobody can name any more.
                    self.close().await;
                    return Err(error.into());
                }
            },
            None => None,
        };
        if self.place == wanted {
            return Ok(());
        }
        // Until their end, the old sockets may be in the way of the new ones.
        self.close().await;
        if let Some((namespace, id)) = wanted {
            self.open(&namespace).await?;
            info!(%namespace, address = %address(), "names are resolved");
            self.place = Some((namespace, id));
        } else {
            debug!("names are not resolved: dns.enabled = false");
        }
        Ok(())
    }

    async fn close(&mut self) {
        self.place = None;
        self.tasks.shutdown().await;
    }

    async fn open(&mut self, namespace: &NamespaceRef) -> Result<(), DnsError> {
        let place = namespace.clone();
        let made = tokio::task::spawn_blocking(move || bind(&place)).await;
        let (socket, listener) = made.map_err(|error| DnsError::Sockets(error.into()))??;
        let socket = tokio::net::UdpSocket::from_std(socket).map_err(DnsError::Sockets)?;
        let listener = tokio::net::TcpListener::from_std(listener).map_err(DnsError::Sockets)?;
        let server = &self.server;
        self.tasks
            .spawn(Arc::clone(server).serve_udp(Arc::new(socket)));
        self.tasks.spawn(Arc::clone(server).serve_tcp(listener));
        Ok(())
    }
}

/// Where the resolver answers.
fn address() -> SocketAddrV4 {
    let address: Ipv4Addr = PLATFORM.addr();
    SocketAddrV4::new(address, PORT)
}

/// Makes the sockets inside a namespace.
fn bind(namespace: &NamespaceRef) -> Result<(UdpSocket, TcpListener), DnsError> {
    let failed = |transport| {
        move |source| DnsError::Bind {
            address: address(),
            transport,
            namespace: namespace.clone(),
            source,
        }
    };
    attach::inside(namespace, || {
        let socket = UdpSocket::bind(address()).map_err(failed("udp"))?;
        let listener = TcpListener::bind(address()).map_err(failed("tcp"))?;
        socket.set_nonblocking(true).map_err(DnsError::Sockets)?;
        // Who asks without a pause is passed over faster than he asks, but not before the next turn of
        // the processor. Less room than this works too.
        let _ = rustix::net::sockopt::set_socket_recv_buffer_size_force(&socket, ROOM);
        listener.set_nonblocking(true).map_err(DnsError::Sockets)?;
        Ok((socket, listener))
    })?
}
