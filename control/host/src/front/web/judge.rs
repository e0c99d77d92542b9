//! What each request of a connection is judged by, where the front reads requests.
//!
//! The door is found anew for each request, by its host, and the policy in force decides. A request
//! is passed on as what it was judged as, or not at all.

use crate::front::caller::{Ends, called};
use crate::front::connection::{Shared, count_and_log};
use crate::front::counters::{Desk, ListenerCounters};
use crate::front::door::{Door, Doors};
use crate::front::http::{Head, HeadError};
use crate::front::log::{Call, Slip};
use crate::front::places::{Phase, Place};
use crate::front::protocol::Protocol;
use crate::front::refusal::reply::Reply;
use crate::front::refusal::{Cause, Refusal, bad_request, misdirected, unavailable};
use postern_dataplane::policy::{DeniedBy, Ruling};
use postern_network::model::NamespaceRef;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

/// What a connection is, as its requests are judged.
#[derive(Debug)]
pub(in crate::front) struct Court {
    pub(in crate::front) shared: Arc<Shared>,
    pub(in crate::front) counters: Arc<ListenerCounters>,
    pub(in crate::front) namespace: NamespaceRef,
    pub(in crate::front) ends: Ends,
    /// Goes with the connection.
    pub(in crate::front) place: Place,
    /// The door that TLS was ended for, and the name that was asked for, if one was.
    pub(in crate::front) tls: Option<(Arc<Door>, Option<String>)>,
    /// How long nothing may pass.
    pub(in crate::front) idle: Duration,
    /// What was decided last, for whom: only what differs is counted and logged.
    pub(in crate::front) last: Mutex<Option<(String, Ruling)>>,
}

/// Where a request goes.
#[derive(Clone, Debug)]
pub(super) struct Case {
    pub(super) door: Arc<Door>,
    pub(super) desk: Arc<Desk>,
}

/// What becomes of a request.
#[derive(Clone, Debug)]
pub(super) enum Verdict {
    /// It goes to the backend of a door.
    Forward(Case),
    /// It goes nowhere.
    Answer(Reply),
}

impl Court {
    /// Judges a request.
    pub(super) fn judge(&self, head: &Head) -> Verdict {
        let name = match (&self.tls, &head.host, head.address) {
            (Some((door, Some(name))), Some(host), _) if name != host => {
                return self.misdirected(door, head);
            }
            (Some((door, Some(_))), None, Some(_)) => return self.misdirected(door, head),
            (Some((_, Some(name))), ..) => Some(name.as_str()),
            // An address that was not called may mean something to the backend.
            (_, None, Some(address)) if called(address).ok() != Some(self.ends.vip) => {
                return self.nobody(head);
            }
            (_, host, _) => host.as_deref(),
        };
        let doors = self.shared.doors();
        let Ok(door) = doors.find(&self.namespace, &self.ends, name) else {
            return self.nobody(head);
        };
        let spoken = door.front.protocol(self.ends.port);
        let is_here = match &self.tls {
            None => spoken == Some(Protocol::Http),
            Some((own, None)) => own.name == door.name,
            Some((_, Some(_))) => door.front.terminates && spoken == Some(Protocol::Tls),
        };
        if !is_here {
            return self.misdirected(&door, head);
        }
        match self.decide(&doors, &door, head.host.clone()) {
            Ok(case) => Verdict::Forward(case),
            Err(cause) => {
                let refusal = self.refusal(&door, name, cause);
                Verdict::Answer(refusal.reply(door.dialect, head))
            }
        }
    }

    /// Decides about a call of a door, and counts and logs what differs from the last.
    pub(super) fn decide(
        &self,
        doors: &Doors,
        door: &Arc<Door>,
        host: Option<String>,
    ) -> Result<Case, Cause> {
        let ruling = doors.judge.decide(&self.ends.caller, door.resource);
        let desk = self.shared.desk(&door.name);
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Some((door.name.clone(), ruling));
        if *last != now || !ruling.is_allowed() {
            *last = now;
            count_and_log(&doors.judge, &desk, door, &self.ends, host, ruling);
        }
        drop(last);
        match ruling {
            Ruling::Allow { .. } => {
                self.place.turn(Phase::Relayed);
                let door = Arc::clone(door);
                Ok(Case { door, desk })
            }
            Ruling::Deny(by) => Err(by.into()),
        }
    }

    /// Returns the refusal of a call of a door, by the name that was asked for.
    pub(super) fn refusal<'r>(
        &'r self,
        door: &'r Door,
        name: Option<&'r str>,
        cause: Cause,
    ) -> Refusal<'r> {
        Refusal {
            resource: &door.name,
            host: name.unwrap_or(&door.host),
            caller: self.ends.caller,
            cause,
            at: SystemTime::now(),
            id: self.shared.number(),
        }
    }

    fn misdirected(&self, door: &Door, head: &Head) -> Verdict {
        self.log(door, head.host.clone(), Slip::Misdirected);
        Verdict::Answer(misdirected())
    }

    /// Logs a request that is answered without a look at the rules of the resource that it reached.
    fn log(&self, door: &Door, host: Option<String>, slip: Slip) {
        let doors = self.shared.doors();
        let caller = self.ends.caller;
        let call = Call {
            at: SystemTime::now(),
            caller,
            caller_port: self.ends.caller_port,
            subnet: doors.judge.subnet(&caller).map(str::to_owned),
            port: self.ends.port,
            host,
            ruling: Ruling::Deny(DeniedBy::NoSuchResource),
            slip: Some(slip),
            rule: None,
        };
        self.shared.desk(&door.name).log.add(call);
    }

    /// Logs a request that is answered by 400 where TLS told which resource it reached: without, it
    /// reached none, and the counters of the listener have it.
    fn log_bad(&self, host: Option<String>) {
        if let Some((door, _)) = &self.tls {
            self.log(door, host, Slip::BadRequest);
        }
    }

    fn nobody(&self, head: &Head) -> Verdict {
        self.counters.unknown_name.count();
        self.log_bad(head.host.clone());
        Verdict::Answer(bad_request("Invalid Hostname"))
    }

    /// Returns the answer to a request that cannot be read.
    pub(super) fn unreadable(&self, error: HeadError) -> Reply {
        if error == HeadError::TooLarge {
            self.counters.too_large.count();
        } else {
            self.counters.malformed.count();
        }
        self.log_bad(None);
        match error {
            HeadError::BadHost => bad_request("Invalid Hostname"),
            _ => bad_request("Invalid Request"),
        }
    }

    /// Returns the answer to a request whose backend does not answer.
    pub(super) fn unavailable(&self, case: &Case, head: &Head) -> Reply {
        case.desk.backend_failed.count();
        let id = self.shared.number();
        unavailable(case.door.dialect, head, id, SystemTime::now())
    }
}
