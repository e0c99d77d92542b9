//! The REST protocol of Azure Resource Manager: a request in, an answer out, no socket.
//!
//! [`Api::handle`] takes any request: it answers what needs no token (metadata, the token endpoint),
//! finds out who is calling, whether they may do that, and does it. [`Api::change`] is the one way
//! by which the desired state changes, for requests, templates and the command line alike.
//!
//! What clients send and check is in the reference, arm-clients.

mod admit;
mod apart;
mod attempts;
mod authorise;
mod authorization;
mod call;
mod caller;
mod change;
mod config;
mod deployments;
mod groups;
mod line;
mod login;
mod metadata;
mod network;
mod page;
mod path;
mod providers;
mod request;
mod resources;
mod state;
mod storage;
mod subscriptions;
mod tags;
#[cfg(test)]
mod tests;
mod turns;
mod watchers;

pub use admit::Admitted;
pub use change::Preview;
pub use config::{ApiConfig, Subscription, Tenant};
pub use request::{Request, Response, Via};

use crate::error::ArmError;
use crate::estate::Estate;
use crate::platform::Platform;
use crate::principals::new_guid;
use attempts::Attempts;
use call::{Answer, Call};
use caller::Caller;
use line::Line;
use state::State;
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};
use turns::Turns;

/// The API over one desired state.
pub struct Api {
    platform: Arc<dyn Platform>,
    /// Where those wait who change.
    writers: Line,
    current: RwLock<Arc<State>>,
    attempts: Attempts,
    /// By which templates are evaluated.
    turns: Turns,
}

/// What a request needs to be answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lane {
    /// A look at what there is.
    Read,
    /// A change, which waits for others.
    Write,
    /// The evaluation of a template, which waits for its turn and then takes a processor for a while.
    Evaluate,
}

impl Lane {
    /// Returns what a request of this method and path needs, as far as that can be told from these.
    #[must_use]
    pub fn of(method: &str, path: &str) -> Self {
        let is = |known: &[&str]| known.iter().any(|known| method.eq_ignore_ascii_case(known));
        let is_deployment = || path.to_ascii_lowercase().contains("/deployments/");
        match (is(&["PUT", "POST"]), is(&["PUT", "PATCH", "DELETE"])) {
            (true, _) if is_deployment() => Self::Evaluate,
            (_, true) => Self::Write,
            _ => Self::Read,
        }
    }
}

/// The longest body of a request, in bytes; as the platform has it for templates.
pub const MAX_BODY: usize = 4 * 1024 * 1024;

impl fmt::Debug for Api {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Api").finish_non_exhaustive()
    }
}

impl Api {
    /// Returns the API over `estate`, which `platform` has in force.
    #[must_use]
    pub fn new(platform: Arc<dyn Platform>, estate: Estate, config: ApiConfig) -> Self {
        let state = State::new(Arc::new(estate), Arc::new(config));
        Self {
            platform,
            writers: Line::default(),
            current: RwLock::new(Arc::new(state)),
            attempts: Attempts::default(),
            turns: Turns::default(),
        }
    }

    /// Returns the desired state that is in force.
    #[must_use]
    pub fn estate(&self) -> Arc<Estate> {
        Arc::clone(&self.state().estate)
    }

    /// Makes another configuration count from the next request on.
    pub fn configure(&self, config: ApiConfig) {
        self.publish(|now| now.with_config(Arc::new(config)));
    }

    pub(crate) fn state(&self) -> Arc<State> {
        let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(&current)
    }

    fn publish(&self, next: impl FnOnce(&State) -> State) {
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        *current = Arc::new(next(&current));
    }

    /// Returns the name of the line that a request for a token has to wait in, before it is handled: there
    /// were too many wrong secrets from where it comes from, for its application.
    pub fn line(&self, request: &Request) -> Option<String> {
        login::line(self, request)
    }

    /// Answers a request.
    pub fn handle(&self, request: &Request) -> Response {
        let id = new_guid();
        let header = |name: &str| request.header(name).unwrap_or_default();
        tracing::debug!(
            method = request.method,
            path = request.path,
            query = request.query,
            request = id,
            client_request = header("x-ms-client-request-id"),
            command = header("commandname"),
            "request"
        );
        let answer = self.answer(request).unwrap_or_else(|error| {
            if error.status >= 500 {
                tracing::error!(%error, request = id, "a request failed");
            }
            refusal(&error, request)
        });
        tracing::debug!(request = id, status = answer.status, "answered");
        self.dress(answer, request, &id)
    }

    /// Adds the headers that every answer has.
    #[allow(clippy::unused_self, reason = "what an answer has is the API's to say")]
    fn dress(&self, answer: Response, request: &Request, id: &str) -> Response {
        let correlation = request.header("x-ms-correlation-request-id").unwrap_or(id);
        let mut answer = answer
            .with_header("x-ms-request-id", id)
            .with_header("x-ms-correlation-request-id", correlation)
            .with_header(
                "Strict-Transport-Security",
                "max-age=31536000; includeSubDomains",
            )
            .with_header("X-Content-Type-Options", "nosniff");
        if answer.header("cache-control").is_none() {
            answer = answer.with_header("Cache-Control", "no-cache");
        }
        if request.method.eq_ignore_ascii_case("HEAD") {
            answer.body.clear();
        }
        answer
    }

    fn answer(&self, request: &Request) -> Answer {
        if request.body.len() > MAX_BODY {
            return Err(too_large());
        }
        if let Some(answer) = login::open(self, request) {
            return Ok(answer);
        }
        let state = self.state();
        let caller = Caller::of(request, &state)?;
        let call = Call {
            api: self,
            request,
            caller,
            state,
        };
        call.answer()
    }
}

/// Returns the error for a body that is longer than [`MAX_BODY`].
#[must_use]
pub fn too_large() -> ArmError {
    let message = format!(
        "The request content size exceeds the maximum size of {} MB.",
        MAX_BODY >> 20
    );
    ArmError::new(413, "RequestContentTooLarge", message)
}

/// Returns the answer that says why there is no other one.
fn refusal(error: &ArmError, request: &Request) -> Response {
    let answer = Response::from(error);
    match error.status {
        401 => {
            let description = error.message.replace('"', "'");
            let challenge = format!(
                "Bearer authorization_uri=\"{}/common\", error=\"invalid_token\", \
                 error_description=\"{description}\"",
                request.base()
            );
            answer.with_header("WWW-Authenticate", challenge)
        }
        429 | 503 => answer.with_header("Retry-After", "1"),
        _ => answer,
    }
}
