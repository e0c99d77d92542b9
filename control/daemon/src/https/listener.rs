//! The socket and its certificate.

use super::gate::Gate;
use super::login::Door;
use super::serve::{Shared, serve};
use super::share::Shares;
use postern_arm::rest::Api;
use postern_host::front::ca::{CaError, DIRECTORY, LocalCa};
use postern_network::model;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tracing::{debug, error, warn};

/// Why the API does not listen.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// The address cannot be used.
    #[error(
        "api.listen = \"{address}\": cannot listen there; accepted: an address of this host and a free port"
    )]
    Bind {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// There is no certificate for it.
    #[error(transparent)]
    Ca(#[from] CaError),
}

/// How long the certificate is used; it is valid for longer.
const RENEW: Duration = Duration::from_secs(30 * 86_400);

/// How long requests at work may take when the daemon stops.
const PATIENCE: Duration = Duration::from_secs(3);

/// The API's socket, open.
#[derive(Debug)]
pub struct Listener {
    listener: std::net::TcpListener,
    address: SocketAddr,
    ca: LocalCa,
    names: Vec<String>,
}

impl Listener {
    /// Opens the socket that the configuration asks for, if it asks for one; `state` is the state
    /// directory, with the authority in it.
    ///
    /// # Errors
    ///
    /// The address cannot be used, or there is no certificate for it.
    pub fn open(settings: &model::Api, state: &Path) -> Result<Option<Self>, ApiError> {
        let Some(address) = settings.listen else {
            return Ok(None);
        };
        let bind = |source| ApiError::Bind { address, source };
        let ca = LocalCa::open(&state.join(DIRECTORY))?;
        let listener = std::net::TcpListener::bind(address).map_err(bind)?;
        listener.set_nonblocking(true).map_err(bind)?;
        let bound = listener.local_addr().map_err(bind)?;
        let listener = Self {
            listener,
            address: bound,
            ca,
            names: hosts(settings),
        };
        // A name that no certificate can have is told at the start.
        listener.tls()?;
        Ok(Some(listener))
    }

    /// Returns where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns where clients find it and what they trust it by.
    #[must_use]
    pub fn door(&self) -> Door {
        Door {
            address: self.address,
            ca: self.ca.pem().to_owned(),
        }
    }

    fn tls(&self) -> Result<TlsAcceptor, CaError> {
        let names: Vec<&str> = self.names.iter().map(String::as_str).collect();
        let config = self.ca.server(&names, "http/1.1")?;
        Ok(TlsAcceptor::from(Arc::new(config)))
    }

    /// Takes connections until `stop` is there, and lets requests at work end.
    ///
    /// # Errors
    ///
    /// The runtime does not take the socket.
    pub async fn run(self, api: Arc<Api>, stop: impl Future<Output = ()>) -> io::Result<()> {
        let listener = TcpListener::from_std(self.listener.try_clone()?)?;
        let (gate, shares) = (Arc::new(Gate::default()), Arc::new(Shares::default()));
        let graceful = hyper_util::server::graceful::GracefulShutdown::new();
        let (mut tls, mut since) = (self.tls().map_err(io::Error::other)?, Instant::now());
        tokio::pin!(stop);
        loop {
            let taken = tokio::select! {
                taken = listener.accept() => taken,
                () = &mut stop => break,
            };
            let (stream, peer) = match taken {
                Ok(taken) => taken,
                Err(error) => {
                    // Out of descriptors, most likely: a stranger has to give one back.
                    warn!(%error, "the API cannot take a connection");
                    gate.shed();
                    tokio::time::sleep(Duration::from_millis(20)).await;
                    continue;
                }
            };
            if since.elapsed() > RENEW {
                match self.tls() {
                    Ok(renewed) => (tls, since) = (renewed, Instant::now()),
                    Err(error) => error!(%error, "the API's certificate cannot be renewed"),
                }
            }
            let from = peer.ip();
            // Where everybody is at work, the next ones wait in the queue of the kernel, in their order.
            let place = tokio::select! {
                place = gate.place(from) => Arc::new(place),
                () = &mut stop => break,
            };
            let (api, shares) = (Arc::clone(&api), Arc::clone(&shares));
            let shared = Shared {
                api,
                shares,
                place,
                from,
            };
            let (tls, watcher) = (tls.clone(), graceful.watcher());
            tokio::spawn(async move {
                if let Err(error) = serve(stream, tls, shared, watcher).await {
                    debug!(%peer, %error, "a connection to the API ended");
                }
            });
        }
        let ended = tokio::time::timeout(PATIENCE, graceful.shutdown()).await;
        if ended.is_err() {
            debug!("requests were still at work at the end of the API");
        }
        Ok(())
    }
}

/// Returns the host names of the API: what its certificate is for, and what tokens may be for.
pub(super) fn hosts(settings: &model::Api) -> Vec<String> {
    let mut names = vec!["localhost".to_owned()];
    let mut add = |name: String| {
        if !names.iter().any(|known| known.eq_ignore_ascii_case(&name)) {
            names.push(name);
        }
    };
    match settings.listen {
        // Every address of the host: those that it has from outside are for `names` to say.
        Some(address) if address.ip().is_unspecified() => add("127.0.0.1".to_owned()),
        Some(address) => add(address.ip().to_string()),
        None => {}
    }
    settings.names.iter().cloned().for_each(add);
    names
}
