//! The life of one connection: whom is it for, may it, and then on or out.

use super::backend;
use super::ca::Certificates;
use super::caller::Ends;
use super::counters::{Desk, ListenerCounters};
use super::door::{Door, Doors};
use super::limits::{Limits, Undecided, UndecidedGuard};
use super::log::Call;
use super::opening::{self, Opening, OpeningError};
use super::protocol::Protocol;
use super::refusal::alert::Alert;
use super::refusal::{Refusal, bad_request};
use super::refuse::{Refuser, end};
use super::relay;
use crate::model::NamespaceRef;
use postern_dataplane::policy::{DeniedBy, Ruling};
use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::SystemTime;
use tokio::net::TcpStream;
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
    pub(super) undecided: Undecided,
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
            undecided: Undecided::default(),
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

    fn number(&self) -> u128 {
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
    /// Goes when the connection is decided.
    pub(super) undecided: UndecidedGuard,
}

/// Serves a connection to its end.
pub(super) async fn serve(shared: Arc<Shared>, taken: Taken) {
    let Taken {
        mut stream,
        ends,
        namespace,
        counters,
        undecided,
    } = taken;
    let doors = shared.doors();
    let Some(protocol) = doors.protocol(&namespace, &ends) else {
        counters.unknown_name.count();
        return;
    };
    let read = opening::read(&mut stream, protocol);
    let opening = match timeout(shared.limits.opening, read).await {
        Err(_) => {
            counters.timed_out.count();
            return;
        }
        Ok(Err(error)) => {
            drop(undecided);
            return turn_away(&shared, stream, &counters, &error).await;
        }
        Ok(Ok(opening)) => opening,
    };
    let found = doors.find(&namespace, &ends, opening.host.as_deref());
    drop(undecided);
    let door = match found {
        Ok(door) => door,
        Err(error) => {
            debug!(%error, caller = %ends.caller, host = opening.host, "no door");
            counters.unknown_name.count();
            return not_here(&shared, stream, protocol).await;
        }
    };
    let visit = Visit {
        shared: &shared,
        desk: shared.desk(&door.name),
        door: &door,
        ends,
        protocol,
    };
    let ruling = visit.decide(&doors, &opening);
    // A connection may outlive many policies, and must not keep the rules of its own alive.
    drop(doors);
    match ruling {
        Ruling::Allow { .. } => visit.pass(stream, &opening.bytes).await,
        Ruling::Deny(by) => visit.refuse(stream, by, opening).await,
    }
}

/// Ends a connection that does not say whom it is for.
async fn turn_away(
    shared: &Shared,
    mut stream: TcpStream,
    counters: &ListenerCounters,
    error: &OpeningError,
) {
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
        OpeningError::Head(_) => bad_request("Invalid Request", SystemTime::now()),
    };
    let _ = timeout(shared.limits.refusal, end(&mut stream, &answer)).await;
}

/// Ends a connection that is for nobody here.
async fn not_here(shared: &Shared, mut stream: TcpStream, protocol: Protocol) {
    let answer = match protocol {
        Protocol::Tls => Alert::UnrecognizedName.record().to_vec(),
        Protocol::Http => bad_request("Invalid Hostname", SystemTime::now()),
        Protocol::PostgreSql | Protocol::MySql | Protocol::Tds => return,
    };
    let _ = timeout(shared.limits.refusal, end(&mut stream, &answer)).await;
}

/// A connection whose door is known.
struct Visit<'v> {
    shared: &'v Shared,
    desk: Arc<Desk>,
    door: &'v Door,
    ends: Ends,
    protocol: Protocol,
}

impl Visit<'_> {
    /// Decides, counts and logs.
    fn decide(&self, doors: &Doors, opening: &Opening) -> Ruling {
        let (caller, judge) = (&self.ends.caller, &doors.judge);
        let ruling = judge.decide(caller, self.door.resource);
        self.desk.count(ruling);
        let call = Call {
            at: SystemTime::now(),
            caller: *caller,
            caller_port: self.ends.caller_port,
            subnet: judge.subnet(caller).map(str::to_owned),
            port: self.ends.port,
            host: opening.host.clone(),
            ruling,
            rule: judge.rule(ruling).map(str::to_owned),
        };
        debug!(
            resource = %self.door.name,
            caller = %call.caller,
            raw = %call.caller.raw(),
            host = call.host,
            allowed = ruling.is_allowed(),
            reason = call.reason(),
            rule = call.rule,
            "decided"
        );
        self.desk.log.add(call);
        ruling
    }

    /// Passes the connection on to the backend until it ends, or the resource leaves the policy.
    async fn pass(&self, mut client: TcpStream, read: &[u8]) {
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
        let passed = tokio::select! {
            passed = relay::relay(&mut client, &mut backend, header.as_ref(), read) => passed,
            _ = gone.wait_for(|is_gone| *is_gone) => {
                let _ = client.set_zero_linger();
                let _ = backend.set_zero_linger();
                return;
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

    async fn refuse(&self, stream: TcpStream, by: DeniedBy, opening: Opening) {
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
        };
        let refuse = refuser.refuse(stream, self.protocol, opening);
        let refused = timeout(self.shared.limits.refusal, refuse).await;
        if let Err(error) = refused.unwrap_or_else(|late| Err(late.into())) {
            self.desk.unheard.count();
            debug!(resource = %self.door.name, %error, "a refusal was not heard");
        }
    }
}
