//! The service's door: reads who calls and whom, applies network rules and endpoint policies, and
//! answers as the service would.
//!
//! A [`Front`] listens inside the namespaces of services, on a thread of its own with a runtime of
//! its own, so that no flood of calls delays the control socket. A connection lives in
//! `connection`: its opening is read (`opening`, by `sni` and `http`), its door found (`door`), the
//! one decision function of the dataplane asked, and then it is passed on untouched (`relay`) or
//! refused (`refuse`, with the bytes that `refusal` makes).
//!
//! ```text
//! taken -> opening read -> door found -> allowed -> relayed until both ends are done
//!    |          |              |   |        '-----> refused in the service's words, and drained
//!    |          |              |   '-> HTTP in the clear, or TLS that is ended here: each request
//!    |          |              |       is judged by itself (`web`)
//!    |          |              '-> no such name: TLS alert, HTTP 400, or closed
//!    |          '-> too slow, too long, not readable
//!    '-> too many (`places`), or no caller
//! ```
//!
//! What decides is the policy in force when a connection, or a request that is read, is decided; a
//! later one acts on later ones. The host inside TLS that is passed on cannot be read: the server
//! name decides, and a backend that serves several names behind one door answers for what it does
//! with another `Host`. Where that matters, the front ends TLS.

pub mod activity;
pub mod backend;
pub mod ca;
pub mod caller;
mod connection;
pub mod counters;
pub mod date;
pub mod door;
pub mod drain;
pub mod http;
pub mod limits;
mod listener;
pub mod log;
pub mod opening;
mod places;
pub mod protocol;
pub mod refusal;
pub mod refuse;
pub mod relay;
pub mod replay;
pub mod sni;
#[cfg(test)]
mod tests;
mod web;

use crate::attach::{self, AttachError};
use ca::{CaError, Certificates, LocalCa};
use caller::Ends;
use connection::Shared;
use counters::{Desk, ListenerCounters};
use door::{Doors, Place};
use limits::Limits;
use listener::{Listener, ReadEnds};
use postern_network::model::NamespaceRef;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::task::AbortHandle;

/// Why fronts cannot be as a policy wants them.
#[derive(Debug, thiserror::Error)]
pub enum FrontError {
    /// A listener cannot be made.
    #[error(transparent)]
    Listen(#[from] AttachError),
    /// There is no certificate authority to be trusted by.
    #[error(transparent)]
    Ca(#[from] CaError),
    /// The thread of the fronts, or something of it, cannot be made.
    #[error("cannot start the service fronts")]
    Start(#[source] io::Error),
}

/// Listeners that were made for a policy and do not accept yet; dropping them closes them.
#[derive(Debug, Default)]
pub struct Prepared {
    sockets: Vec<(Place, u16, std::net::TcpListener)>,
    /// Where none can be made, and why.
    pub shut: Vec<(NamespaceRef, u16, AttachError)>,
}

/// What a listener has counted, and where it is.
#[derive(Clone, Debug)]
pub struct ListenerReport {
    /// Its namespace.
    pub namespace: NamespaceRef,
    /// Its port.
    pub port: u16,
    /// Its counters.
    pub counters: Arc<ListenerCounters>,
}

/// A listener at work.
#[derive(Debug)]
struct Running {
    task: AbortHandle,
    counters: Arc<ListenerCounters>,
}

/// The fronts of this process. Dropping it closes every socket.
#[derive(Debug)]
pub struct Front {
    shared: Arc<Shared>,
    listeners: HashMap<(Place, u16), Running>,
    runtime: Handle,
    /// Ends the thread when it is dropped.
    end: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Front {
    /// Starts without any listener.
    ///
    /// # Errors
    ///
    /// The thread cannot be made.
    pub fn start(ca: Arc<LocalCa>, limits: Limits) -> Result<Self, FrontError> {
        let limits = limits.within(raise_descriptors());
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(FrontError::Start)?;
        let handle = runtime.handle().clone();
        let (end, ended) = oneshot::channel::<()>();
        let run = move || {
            // An error is the sender's end, which is an end as well.
            let _ = runtime.block_on(ended);
            // A backend's namespace may be in the course of being entered.
            runtime.shutdown_timeout(Duration::from_secs(1));
        };
        let thread = std::thread::Builder::new().name("postern-front".to_owned());
        let thread = thread.spawn(run).map_err(FrontError::Start)?;
        Ok(Self {
            shared: Arc::new(Shared::new(Certificates::new(ca), limits)),
            listeners: HashMap::new(),
            runtime: handle,
            end: Some(end),
            thread: Some(thread),
        })
    }

    /// Makes the listeners that these doors need and that are not there, as far as they can be made.
    /// Nothing is accepted yet.
    #[must_use]
    pub fn prepare(&self, doors: &Doors) -> Prepared {
        let mut prepared = Prepared::default();
        for (namespace, port) in doors.sockets() {
            let opened = place(&namespace).and_then(|place| {
                let is_there = self.listeners.contains_key(&(place.clone(), port));
                let socket = (!is_there).then(|| listener::open(&namespace, port));
                Ok((place, socket.transpose()?))
            });
            match opened {
                Ok((place, Some(socket))) => prepared.sockets.push((place, port, socket)),
                Ok((_, None)) => {}
                Err(error) => prepared.shut.push((namespace, port, error)),
            }
        }
        prepared
    }

    /// Brings doors into force with their listeners. Listeners that are not needed any more close;
    /// connections stay, but those of resources that are gone.
    ///
    /// # Errors
    ///
    /// A socket cannot be served; the others are.
    pub fn commit(&mut self, prepared: Prepared, doors: Doors) -> Result<(), FrontError> {
        let wanted = doors.sockets();
        let lasting = |(place, port): &(Place, u16)| {
            wanted.contains(&(place.namespace.clone(), *port))
                && attach::identify(&place.namespace).is_ok_and(|id| id == place.id)
        };
        self.listeners.retain(|key, running| {
            let lasts = lasting(key);
            if !lasts {
                running.task.abort();
            }
            lasts
        });
        self.shared.set_doors(Arc::new(doors));
        for (place, port, socket) in prepared.sockets {
            self.serve(place, port, socket, Ends::of)?;
        }
        Ok(())
    }

    /// Serves a socket.
    fn serve(
        &mut self,
        place: Place,
        port: u16,
        socket: std::net::TcpListener,
        read: ReadEnds,
    ) -> Result<(), FrontError> {
        let counters = Arc::new(ListenerCounters::default());
        let _inside = self.runtime.enter();
        let listener = Listener {
            place: place.clone(),
            socket: TcpListener::from_std(socket).map_err(FrontError::Start)?,
            counters: Arc::clone(&counters),
            read,
            room: self.shared.room(),
        };
        let task = self.runtime.spawn(listener.run(Arc::clone(&self.shared)));
        let task = task.abort_handle();
        self.listeners
            .insert((place, port), Running { task, counters });
        Ok(())
    }

    /// Returns the doors in force.
    #[must_use]
    pub fn doors(&self) -> Arc<Doors> {
        self.shared.doors()
    }

    /// Returns what a resource's front has done.
    #[must_use]
    pub fn desk(&self, name: &str) -> Arc<Desk> {
        self.shared.desk(name)
    }

    /// Returns every listener with its counters.
    #[must_use]
    pub fn listeners(&self) -> Vec<ListenerReport> {
        let report = |((place, port), running): (&(Place, u16), &Running)| ListenerReport {
            namespace: place.namespace.clone(),
            port: *port,
            counters: Arc::clone(&running.counters),
        };
        self.listeners.iter().map(report).collect()
    }

    /// Closes every socket and waits until that is done.
    pub fn stop(&mut self) {
        self.end.take();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Drop for Front {
    fn drop(&mut self) {
        self.stop();
    }
}

fn place(namespace: &NamespaceRef) -> Result<Place, AttachError> {
    Ok(Place {
        namespace: namespace.clone(),
        id: attach::identify(namespace)?,
    })
}

/// Lets this process have as many descriptors as it may, and returns how many that are: a relayed
/// connection takes two.
pub fn raise_descriptors() -> Option<u64> {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    if let Err(error) = setrlimit(Resource::Nofile, raised) {
        tracing::debug!(%error, "the limit of descriptors stays as it is");
    }
    getrlimit(Resource::Nofile).current
}
