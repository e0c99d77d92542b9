//! The life of one connection: whom is it for, may it, and then on or out.

use super::backend;
use super::ca::Certificates;
use super::caller::Ends;
use super::counters::{Desk, ListenerCounters};
use super::door::{Door, Doors, Judge};
use super::drain::{Patience, drain, finish};
use super::limits::Limits;
use super::log::Call;
use super::opening::{self, Opening, OpeningError};
use super::places::{Phase, Place, Places};
use super::protocol::Protocol;
use super::refusal::alert::Alert;
use super::refusal::{Refusal, bad_request};
use super::refuse::Refuser;
use super::relay;
use super::web::{self, Court};
use postern_dataplane::policy::{DeniedBy, Ruling};
use postern_network::model::NamespaceRef;
use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, SystemTime};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tracing::debug;

/// What connections share.
#[derive(Debug)]
pub(super) struct Shared {
    doors: RwLock<Arc<Doors>>,
    /// By the name of the resource; they outlive the policy.
    desks: Mutex<HashMap<String, Arc<Desk>>>,
    pub(super) certificates: Certificates,
    pub(super) limits: Limits,
    pub(super) places: Arc<Places>,
    /// Connections to backends for requests that share one of the client.
    pub(super) streams: Arc<Semaphore>,
    /// The numbers of listeners.
    rooms: AtomicU64,
    /// Makes the numbers of refusals: a secret of this process, and how many there were.
    seed: RandomState,
    refusals: AtomicU64,
}

impl Shared {
    pub(super) fn new(certificates: Certificates, limits: Limits) -> Self {
        Self {
            doors: RwLock::default(),
            desks: Mutex::default(),
            certificates,
            limits,
            places: Places::new(limits),
            streams: Arc::new(Semaphore::new(limits.streams)),
            rooms: AtomicU64::new(0),
            seed: RandomState::new(),
            refusals: AtomicU64::new(0),
        }
    }

    /// Returns the doors of the policy in force.
    pub(super) fn doors(&self) -> Arc<Doors> {
        Arc::clone(&self.doors.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Makes other doors those of the policy in force. Connections of resources that have none any
    /// more end; the others go on.
    pub(super) fn set_doors(&self, doors: Arc<Doors>) {
        let mut desks = self.desks.lock().unwrap_or_else(PoisonError::into_inner);
        desks.retain(|name, desk| {
            let stays = doors.iter().any(|door| door.name == *name);
            if !stays {
                desk.gone.send_replace(true);
            }
            stays
        });
        drop(desks);
        *self.doors.write().unwrap_or_else(PoisonError::into_inner) = doors;
    }

    /// Returns the desk of a resource.
    pub(super) fn desk(&self, name: &str) -> Arc<Desk> {
        let mut desks = self.desks.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(desks.entry(name.to_owned()).or_default())
    }

    /// Returns a number for a listener.
    pub(super) fn room(&self) -> u64 {
        self.rooms.fetch_add(1, Ordering::Relaxed)
    }

    /// Returns a number for a refusal.
    pub(super) fn number(&self) -> u128 {
        let count = self.refusals.fetch_add(1, Ordering::Relaxed);
        let half = |salt: u64| u128::from(self.seed.hash_one((salt, count)));
        half(0) << 64 | half(1)
    }
}

/// A connection that was taken.
#[derive(Debug)]
pub(super) struct Taken {
    pub(super) stream: TcpStream,
    pub(super) ends: Ends,
    pub(super) namespace: NamespaceRef,
    pub(super) counters: Arc<ListenerCounters>,
    /// Goes with the connection.
    pub(super) place: Place,
}

/// Serves a connection to its end. What comes after the opening is boxed: connections that wait for
/// theirs, of which there may be many, need no room for it.
pub(super) async fn serve(shared: Arc<Shared>, mut taken: Taken) {
    let ends = taken.ends;
    let doors = shared.doors();
    let Some(protocol) = doors.protocol(&taken.namespace, &ends) else {
        return taken.counters.unknown_name.count();
    };
    if protocol == Protocol::Http {
        let idle = doors.idle_timeout(&taken.namespace, &ends);
        drop(doors);
        let (court, stream) = court(shared, taken, None, idle);
        return Box::pin(web::clear(court, stream)).await;
    }
    let read = opening::read(&mut taken.stream, protocol);
    let opening = match timeout(shared.limits.opening, read).await {
        Err(_) => return taken.counters.timed_out.count(),
        Ok(Err(error)) => return turn_away(&shared, taken, &error).await,
        Ok(Ok(opening)) => opening,
    };
    let door = match doors.find(&taken.namespace, &ends, opening.host.as_deref()) {
        Ok(door) => door,
        Err(error) => {
            debug!(%error, caller = %ends.caller, host = opening.host, "no door");
            taken.counters.unknown_name.count();
            return not_here(&shared, taken, protocol).await;
        }
    };
    if protocol == Protocol::Tls && door.front.terminates {
        drop(doors);
        let idle = door.front.idle_timeout(ends.port);
        let tls = (door, opening.host.clone());
        let (court, stream) = court(shared, taken, Some(tls), idle);
        return Box::pin(web::inside_tls(court, stream, opening)).await;
    }
    let visit = Visit {
        shared: &shared,
        desk: shared.desk(&door.name),
        door: &door,
        ends,
        protocol,
        place: taken.place,
    };
    let ruling = doors.judge.decide(&ends.caller, door.resource);
    let host = opening.host.clone();
    count_and_log(&doors.judge, &visit.desk, &door, &ends, host, ruling);
    // A connection may outlive many policies, and must not keep the rules of its own alive.
    drop(doors);
    match ruling {
        Ruling::Allow { .. } => Box::pin(visit.pass(taken.stream, &opening.bytes)).await,
        Ruling::Deny(by) => Box::pin(visit.refuse(taken.stream, by, opening)).await,
    }
}

/// Returns what the requests of a connection are judged by, and the connection.
fn court(
    shared: Arc<Shared>,
    taken: Taken,
    tls: Option<(Arc<Door>, Option<String>)>,
    idle: Duration,
) -> (Court, TcpStream) {
    let court = Court {
        shared,
        counters: taken.counters,
        namespace: taken.namespace,
        ends: taken.ends,
        place: taken.place,
        tls,
        idle,
        last: Mutex::default(),
    };
    (court, taken.stream)
}

/// Counts and logs what was decided about a call.
pub(super) fn count_and_log(
    judge: &Judge,
    desk: &Desk,
    door: &Door,
    ends: &Ends,
    host: Option<String>,
    ruling: Ruling,
) {
    desk.count(ruling);
    let caller = &ends.caller;
    let call = Call {
        at: SystemTime::now(),
        caller: *caller,
        caller_port: ends.caller_port,
        subnet: judge.subnet(caller).map(str::to_owned),
        port: ends.port,
        host,
        ruling,
        slip: None,
        rule: judge.rule(ruling).map(str::to_owned),
    };
    debug!(
        resource = %door.name,
        caller = %call.caller,
        raw = %call.caller.raw(),
        host = call.host,
        allowed = ruling.is_allowed(),
        reason = call.reason(),
        rule = call.rule,
        "decided"
    );
    desk.log.add(call);
}

/// Ends a connection that does not say whom it is for.
async fn turn_away(shared: &Shared, taken: Taken, error: &OpeningError) {
    let counters = &taken.counters;
    if error.is_too_large() {
        counters.too_large.count();
    } else if matches!(error, OpeningError::HungUp) {
        counters.hung_up.count();
    } else {
        counters.malformed.count();
    }
    let answer = match *error {
        OpeningError::HungUp => return,
        OpeningError::Hello(error) => Alert::from(error).record().to_vec(),
        OpeningError::Head(_) => bad_request("Invalid Request").encode(SystemTime::now(), false),
    };
    end(shared, taken, &answer).await;
}

/// Ends a connection that is for nobody here.
async fn not_here(shared: &Shared, taken: Taken, protocol: Protocol) {
    match protocol {
        Protocol::Tls => end(shared, taken, &Alert::UnrecognizedName.record()).await,
        Protocol::Http | Protocol::PostgreSql | Protocol::MySql | Protocol::Tds => {}
    }
}

/// Writes the last bytes of a connection and lets the client read them.
async fn end(shared: &Shared, mut taken: Taken, bytes: &[u8]) {
    taken.place.turn(Phase::Refused);
    let stream = &mut taken.stream;
    let told = timeout(shared.limits.refusal, finish(stream, bytes)).await;
    if matches!(told, Ok(Ok(()))) {
        drain(stream, Patience::BRIEF).await;
    }
}

/// A connection whose door is known.
struct Visit<'v> {
    shared: &'v Shared,
    desk: Arc<Desk>,
    door: &'v Door,
    ends: Ends,
    protocol: Protocol,
    place: Place,
}

impl Visit<'_> {
    /// Passes the connection on to the backend until it ends, or the resource leaves the policy.
    async fn pass(&self, mut client: TcpStream, read: &[u8]) {
        self.place.turn(Phase::Relayed);
        let connect = backend::connect(&self.door.front.backend, self.ends.port);
        let mut backend = match timeout(self.shared.limits.connect, connect).await {
            Ok(Ok(backend)) => backend,
            failed => {
                self.desk.backend_failed.count();
                let error = failed.map_or_else(
                    |error| error.to_string(),
                    |connected| {
                        connected
                            .err()
                            .map(|error| error.to_string())
                            .unwrap_or_default()
                    },
                );
                debug!(resource = %self.door.name, error, "the backend does not answer");
                // As a server that is down would: the client need not wait for an answer.
                let _ = client.set_zero_linger();
                return;
            }
        };
        let header = self
            .door
            .front
            .backend
            .proxy_protocol
            .then(|| relay::header(&self.ends));
        let mut gone = self.desk.gone.subscribe();
        let activity = &self.place.activity;
        activity.touch();
        let passed = tokio::select! {
            passed = relay::relay(&mut client, &mut backend, header.as_ref(), read, activity) => {
                passed
            }
            _ = gone.wait_for(|is_gone| *is_gone) => return,
            () = activity.idle(self.door.front.idle_timeout(self.ends.port)) => {
                return self.desk.idle.count();
            }
        };
        match passed {
            Ok(passed) => {
                self.desk.to_backend.add(passed.to_backend);
                self.desk.to_client.add(passed.to_client);
            }
            Err(error) => debug!(resource = %self.door.name, %error, "a connection broke"),
        }
    }

    async fn refuse(&self, mut stream: TcpStream, by: DeniedBy, opening: Opening) {
        self.place.turn(Phase::Refused);
        // The name that was asked for, so that the certificate fits it.
        let host = opening
            .host
            .clone()
            .unwrap_or_else(|| self.door.host.clone());
        let refuser = Refuser {
            refusal: Refusal {
                resource: &self.door.name,
                host: &host,
                caller: self.ends.caller,
                cause: by.into(),
                at: SystemTime::now(),
                id: self.shared.number(),
            },
            dialect: self.door.dialect,
            certificates: &self.shared.certificates,
            limits: &self.shared.limits,
        };
        let refused = refuser.refuse(&mut stream, self.protocol, opening).await;
        let patience = if let Err(error) = &refused {
            self.desk.unheard.count();
            debug!(resource = %self.door.name, %error, "a refusal was not heard");
            // What was said last, an alert perhaps, is to arrive.
            let _ = stream.shutdown().await;
            Patience::BRIEF
        } else {
            self.shared.limits.drain
        };
        drain(&mut stream, patience).await;
    }
}
