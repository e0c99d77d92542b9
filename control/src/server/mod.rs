//! The control socket: requests in, answers out, and the daemon's life around it.
//!
//! One thread runs an asynchronous runtime for sockets and signals. What takes its time (compiling,
//! attaching, waiting for the worker) runs on the runtime's blocking threads, one change at a time
//! behind a lock. Packets know nothing of all this.

mod answer;
mod connection;
mod learning;
pub mod protocol;
mod socket;

pub use socket::{ControlSocket, DEFAULT_PATH, SocketError};

use crate::catalog::Catalog;
use crate::dns::{DnsError, Resolver};
use crate::fabric::{Fabric, FabricError, Fronts};
use crate::model::Model;
use crate::store::{Store, StoreError};
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::net::UnixListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::Notify;
use tracing::{debug, error, info, warn};

/// Why the daemon could not start, or ended by itself.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// The control socket could not be made.
    #[error(transparent)]
    Socket(#[from] SocketError),
    /// The state cannot be read or kept.
    #[error(transparent)]
    State(#[from] StoreError),
    /// The control runtime or a signal handler could not be made.
    #[error("cannot start the control runtime")]
    Runtime(#[source] io::Error),
    /// The policy could not be brought into force.
    #[error(transparent)]
    Fabric(#[from] FabricError),
    /// The resolver could not be started.
    #[error(transparent)]
    Dns(#[from] DnsError),
    /// The worker ended by itself: no packet flows any more.
    #[error("the packet worker has ended")]
    WorkerGone,
}

/// What connections share.
#[derive(Debug)]
struct Daemon {
    fabric: Mutex<Fabric>,
    /// Told when somebody asks for the end.
    down: Notify,
    /// Told when the model may be another one.
    changed: Notify,
}

impl Daemon {
    fn with<R>(&self, act: impl FnOnce(&mut Fabric) -> R) -> R {
        // A change that panicked is reported where it happened; reading goes on.
        act(&mut self.fabric.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Brings `model` into force, with the keys that `state` holds, and serves the control socket at
/// `path` until a signal or a request ends it; then removes everything that was made but the state.
///
/// # Errors
///
/// The socket or the state directory is another daemon's or cannot be used, the policy cannot be brought into force, or the worker ended by
/// itself. Nothing is left behind in any case.
pub fn serve(path: &Path, state: &Path, model: Model, catalog: Catalog) -> Result<(), ServerError> {
    let socket = ControlSocket::bind(path)?;
    let fronts = Fronts::new(state.join(crate::front::ca::DIRECTORY));
    let (store, saved) = Store::open(state)?;
    let start = move || {
        Fabric::start(
            model,
            Arc::new(catalog),
            Arc::new(store),
            saved.keys,
            fronts,
        )
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(ServerError::Runtime)?;
    let served = runtime.block_on(run(&socket, path, start));
    // A request that is still at work, such as one that waits for a sweep, must not hold up the end.
    runtime.shutdown_timeout(Duration::from_secs(1));
    served
}

async fn run(
    socket: &ControlSocket,
    path: &Path,
    start: impl FnOnce() -> Result<Fabric, FabricError> + Send + 'static,
) -> Result<(), ServerError> {
    // Before anything is made, so that a signal that comes meanwhile is not lost.
    let mut signals = Signals::new().map_err(ServerError::Runtime)?;
    let listener = UnixListener::from_std(socket.listener()?).map_err(ServerError::Runtime)?;
    let fabric = blocking(start).await.map_err(ServerError::Runtime)??;
    let daemon = Arc::new(Daemon {
        fabric: Mutex::new(fabric),
        down: Notify::new(),
        changed: Notify::new(),
    });
    let resolver = match Resolver::start(daemon.with(|fabric| fabric.models())).await {
        Ok(resolver) => resolver,
        Err(error) => {
            stop(&daemon).await;
            return Err(error.into());
        }
    };
    info!(
        epoch = daemon.with(|fabric| fabric.epoch().0),
        socket = %path.display(),
        "ready"
    );
    let ended = tokio::select! {
        name = signals.next() => {
            info!(signal = name, "stopping");
            Ok(())
        }
        () = daemon.down.notified() => {
            info!("stopping as asked");
            Ok(())
        }
        error = accept(&listener, &daemon) => Err(error),
        () = worker_end(&daemon) => Err(ServerError::WorkerGone),
        () = learning::learn(&daemon) => Ok(()),
    };
    drop(resolver);
    stop(&daemon).await;
    info!("stopped");
    ended
}

/// Takes connections for ever.
async fn accept(listener: &UnixListener, daemon: &Arc<Daemon>) -> ServerError {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                tokio::spawn(connection::serve(stream, Arc::clone(daemon)));
            }
            Err(error) => {
                // Out of descriptors, most likely: those at work will give some back.
                warn!(%error, "cannot take a connection");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

/// Returns when the worker has ended by itself.
async fn worker_end(daemon: &Arc<Daemon>) {
    const EVERY: Duration = Duration::from_secs(1);
    loop {
        tokio::time::sleep(EVERY).await;
        let asked = Arc::clone(daemon);
        let alive = blocking(move || asked.with(|fabric| fabric.is_alive())).await;
        if !alive.unwrap_or(true) {
            error!("the packet worker has ended");
            return;
        }
    }
}

/// Stops the worker, which removes every device.
async fn stop(daemon: &Arc<Daemon>) {
    let daemon = Arc::clone(daemon);
    if let Err(error) = blocking(move || daemon.with(Fabric::stop)).await {
        debug!(%error, "stopping was interrupted");
    }
}

/// Runs what takes its time off the runtime's thread.
async fn blocking<R: Send + 'static>(act: impl FnOnce() -> R + Send + 'static) -> io::Result<R> {
    tokio::task::spawn_blocking(act)
        .await
        .map_err(io::Error::other)
}

/// The signals that end the daemon.
#[derive(Debug)]
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn new() -> io::Result<Self> {
        let terminate = signal(SignalKind::terminate())?;
        Ok(Self {
            terminate,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    /// Returns the name of the next signal.
    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}
