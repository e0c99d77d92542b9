//! The control socket: requests in, answers out, and the daemon's life around it.
//!
//! One thread runs an asynchronous runtime for sockets and signals. What takes its time (compiling,
//! attaching, waiting for the worker) runs on the runtime's blocking threads, one change at a time; who
//! reads does not wait for it (`live`). Packets know nothing of all this.

mod answer;
mod begin;
mod change;
mod connection;
mod declare;
mod endpoint;
mod export;
mod learning;
mod said;
mod signals;
mod socket;
#[cfg(test)]
mod tests;
mod watch;

pub use socket::{ControlSocket, DEFAULT_PATH, SocketError};

use crate::fabric::{Fabric, FabricError, Fronts};
use crate::https::gate::Gate;
use crate::https::{ApiError, Door, Listener, SettingsError, api_config, token_key};
use crate::platform::Live;
use crate::store::{Commit, Saved, Store, StoreError, seal_host};
use postern_arm::rest::{Api, ApiConfig};
use postern_arm::token::TokenKey;
use postern_host::dns::{DnsError, Resolver};
use postern_network::catalog::Catalog;
use postern_network::keys::Keys;
use postern_network::model::{ApiPrincipal, Model};
use said::Said;
use signals::Signals;
use std::io;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::net::UnixListener;
use tokio::runtime::Runtime;
use tokio::sync::{Notify, oneshot};
use tracing::{debug, error, info, warn};
use watch::Watching;

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
    /// The resources of the file and those of the store do not go together, or cannot be brought
    /// into force; in the words of the file, a line an error.
    #[error("{0}")]
    Estate(String),
    /// The resolver could not be started.
    #[error(transparent)]
    Dns(#[from] DnsError),
    /// The API cannot listen.
    #[error(transparent)]
    Api(#[from] ApiError),
    /// What the API is told cannot be read.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// The worker ended by itself: no packet flows any more.
    #[error("the packet worker has ended")]
    WorkerGone,
}

/// A configuration file that the loader accepts.
#[derive(Clone, Debug)]
pub struct ConfigFile {
    /// Where it is, to be read again.
    pub path: PathBuf,
    /// What the text says.
    pub table: toml::Table,
    /// What that amounts to by itself.
    pub model: Model,
}

/// What connections share.
#[derive(Debug)]
struct Daemon {
    live: Arc<Live>,
    /// The one way to the estate.
    api: Arc<Api>,
    /// Where the API is on the network.
    door: Option<Door>,
    /// What the API was told last.
    told: Mutex<ApiConfig>,
    /// Who may log in, with their secrets as the file tells them: the estate has digests alone.
    principals: Mutex<Vec<ApiPrincipal>>,
    /// The configuration file that it was started with.
    file: PathBuf,
    /// Told when somebody asks for the end.
    down: Notify,
}

impl Daemon {
    fn with<R>(&self, read: impl FnOnce(&Fabric) -> R) -> R {
        read(&self.live.fabric())
    }

    /// Returns what signs tokens.
    fn key(&self) -> TokenKey {
        let told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        told.key.clone()
    }

    /// Returns who may log in, with their secrets as the file tells them.
    fn principals(&self) -> Vec<ApiPrincipal> {
        let principals = self.principals.lock();
        principals.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Makes others those who may log in.
    fn know(&self, principals: Vec<ApiPrincipal>) {
        let known = self.principals.lock();
        *known.unwrap_or_else(PoisonError::into_inner) = principals;
    }

    /// Tells the API something else from now on.
    fn tell(&self, change: impl FnOnce(&mut ApiConfig)) {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut told);
        self.api.configure(told.clone());
    }
}

/// The runtime of the control side, and every signal caught: from here on no signal ends the process but
/// as it is meant to. The first thing that a daemon makes, as reading its files takes a while.
#[derive(Debug)]
pub struct Caught {
    runtime: Runtime,
    signals: Signals,
}

impl Caught {
    /// Catches all signals.
    ///
    /// # Errors
    ///
    /// The runtime or a handler cannot be made.
    pub fn new() -> Result<Self, ServerError> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(ServerError::Runtime)?;
        let signals = {
            let _inside = runtime.enter();
            Signals::new().map_err(ServerError::Runtime)?
        };
        Ok(Self { runtime, signals })
    }

    /// Does what comes before anything is made, such as reading files, which may be pipes that nobody
    /// writes. Returns nothing if a signal ends the daemon first.
    ///
    /// # Errors
    ///
    /// It panicked.
    pub fn first<R: Send + 'static>(
        mut self,
        act: impl FnOnce() -> R + Send + 'static,
    ) -> Result<Option<(Self, R)>, ServerError> {
        let signals = &mut self.signals;
        let done = self.runtime.block_on(async {
            tokio::select! {
                done = blocking(act) => Ok(done),
                name = signals.end() => Err(name),
            }
        });
        match done {
            Ok(done) => Ok(Some((self, done.map_err(ServerError::Runtime)?))),
            Err(name) => {
                info!(signal = name, "stopped before the start");
                // What it reads may never come.
                self.runtime.shutdown_background();
                Ok(None)
            }
        }
    }
}

/// Brings into force what the store in `state` has, with what `file` has changed since it was applied
/// last, its packets moved by so many workers, and serves the control socket at `path` until a signal or a request ends it; then removes
/// everything that was made but the state.
///
/// # Errors
///
/// The socket or the state directory is another daemon's or cannot be used, the policy cannot be
/// brought into force, or the worker ended by itself. Nothing is left behind in any case.
pub fn serve(
    caught: Caught,
    path: &Path,
    state: &Path,
    file: ConfigFile,
    catalog: Catalog,
    workers: usize,
) -> Result<(), ServerError> {
    let Caught { runtime, signals } = caught;
    let socket = ControlSocket::bind(path)?;
    signals.owns(path);
    let reread = file.path.clone();
    let fronts = Fronts::new(state.join(postern_host::front::ca::DIRECTORY));
    let key = token_key(state)?;
    let (store, saved) = Store::open(state, &key.seal())?;
    // Open before anything is made: it may be that it cannot be.
    let listener = Listener::open(&file.model.api, state)?;
    let start = move || start(store, saved, file, key, catalog, fronts, workers);
    let served = runtime.block_on(run(&socket, path, listener, start, signals, &reread));
    // A request that is still at work, such as one that waits for a sweep, must not hold up the end.
    runtime.shutdown_timeout(Duration::from_secs(1));
    served
}

/// Brings the estate into force that the store and the file amount to, and writes it.
fn start(
    store: Store,
    saved: Saved,
    file: ConfigFile,
    key: TokenKey,
    catalog: Catalog,
    fronts: Fronts,
    workers: usize,
) -> Result<Daemon, ServerError> {
    let seal = key.seal();
    let mut raised = postern_network::spelling::raise(&file.table);
    seal_host(&seal, &mut raised.host);
    let said = Said::of(&seal, &file.table, &raised);
    let catalog = Arc::new(catalog);
    let settings =
        postern_network::spelling::settings(&raised.host, &catalog, postern_arm::date::now());
    let config = api_config(&file.model, key, settings)?;
    let known = saved.file.as_deref().map(Said::read);
    let estate = begin::estate(
        &saved.estate,
        &config.settings,
        raised,
        (&said, known.as_ref()),
    )
    .map_err(|error| ServerError::Estate(error.message))?;
    let mark = said.text();
    let model = postern_network::spelling::load(&estate, &catalog)
        .map_err(|refused| ServerError::Estate(refused.keys))?;
    let store = Arc::new(store);
    let kept = Arc::clone(&store);
    let keep = |keys: &Keys| {
        store.commit(&Commit {
            old: &saved.estate,
            new: &estate,
            keys,
            file: Some(&mark)
                .filter(|mark| saved.file.as_ref() != Some(mark))
                .map(String::as_str),
        })
    };
    let started = Fabric::start(model, catalog, kept, saved.keys, fronts, workers, keep);
    let fabric = started.map_err(|error| match error {
        FabricError::State(error) => ServerError::State(error),
        error => ServerError::Estate(crate::platform::explain(&estate, &error).keys),
    })?;
    begin::log_changes(&file.path, &saved.estate, &fabric);
    let live = Arc::new(Live::new(fabric, store));
    let platform: Arc<Live> = Arc::clone(&live);
    Ok(Daemon {
        live,
        api: Arc::new(Api::new(platform, estate, config.clone())),
        told: Mutex::new(config),
        principals: Mutex::new(file.model.api.principals),
        door: None,
        file: file.path,
        down: Notify::new(),
    })
}

async fn run(
    socket: &ControlSocket,
    path: &Path,
    api: Option<Listener>,
    start: impl FnOnce() -> Result<Daemon, ServerError> + Send + 'static,
    mut signals: Signals,
    file: &Path,
) -> Result<(), ServerError> {
    let listener = UnixListener::from_std(socket.listener()?).map_err(ServerError::Runtime)?;
    let mut daemon = blocking(start).await.map_err(ServerError::Runtime)??;
    daemon.door = api.as_ref().map(Listener::door);
    let daemon = Arc::new(daemon);
    let resolver = match Resolver::start(daemon.with(|fabric| fabric.models())).await {
        Ok(resolver) => resolver,
        Err(error) => {
            stop(&daemon).await;
            return Err(error.into());
        }
    };
    let watching = Watching::start(&daemon).map_err(ServerError::Runtime)?;
    let over = Arc::new(Notify::new());
    let served = api.map(|listener| serve_api(listener, &daemon, Arc::clone(&over)));
    let served = match served.transpose() {
        Ok(served) => served,
        Err(error) => {
            stop(&daemon).await;
            return Err(ServerError::Runtime(error));
        }
    };
    info!(
        epoch = daemon.with(|fabric| fabric.epoch().0),
        socket = %path.display(),
        "ready"
    );
    let ended = tokio::select! {
        name = signals.heed(&daemon, file) => {
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
    drop((resolver, watching));
    if let Some(served) = served {
        // Requests at work are answered, and what they changed is kept, before packets stop.
        over.notify_one();
        let _ = served.await;
    }
    stop(&daemon).await;
    info!("stopped");
    ended
}

/// Serves the API until `over`, on a thread of its own: whatever comes from the network, the control
/// socket does not wait for it. What is returned ends with the thread.
fn serve_api(
    listener: Listener,
    daemon: &Daemon,
    over: Arc<Notify>,
) -> io::Result<oneshot::Receiver<()>> {
    info!(address = %listener.address(), "the API listens");
    let api = Arc::clone(&daemon.api);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let (ends, ended) = oneshot::channel::<()>();
    let serve = move || {
        // Dropped at the end, however that comes.
        let _ends = ends;
        if let Err(error) = runtime.block_on(listener.run(api, over.notified())) {
            error!(%error, "the API has ended");
        }
        // A request that is still at work must not hold up the end.
        runtime.shutdown_timeout(Duration::from_secs(1));
    };
    let thread = std::thread::Builder::new().name("api".to_owned());
    thread.spawn(serve)?;
    Ok(ended)
}

/// Takes connections for ever.
async fn accept(listener: &UnixListener, daemon: &Arc<Daemon>) -> ServerError {
    let gate = Arc::new(Gate::default());
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                let place = gate.place(Ipv4Addr::LOCALHOST.into()).await;
                tokio::spawn(connection::serve(stream, Arc::clone(daemon), place));
            }
            Err(error) => {
                // Out of descriptors, most likely: one that does nothing has to give one back.
                warn!(%error, "cannot take a connection");
                gate.shed();
                tokio::time::sleep(Duration::from_millis(20)).await;
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
    if let Err(error) = blocking(move || daemon.live.stop()).await {
        debug!(%error, "stopping was interrupted");
    }
}

/// Runs what takes its time off the runtime's thread.
async fn blocking<R: Send + 'static>(act: impl FnOnce() -> R + Send + 'static) -> io::Result<R> {
    tokio::task::spawn_blocking(act)
        .await
        .map_err(io::Error::other)
}
