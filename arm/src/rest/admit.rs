//! What the head of a request tells: who sends it, whether they may do that at all, and how long a body is
//! worth reading.
//!
//! It is asked before any of the body is read, so that nobody takes room for what will be refused. It
//! never lets anything through by itself: every handler asks for itself again.

use super::authorise::rights;
use super::call::Call;
use super::caller::Caller;
use super::path::{Parent, Target};
use super::request::{Request, Response};
use super::resources::scope_of;
use super::{Api, MAX_BODY, deployments, groups, login, refusal};
use crate::error::ArmError;
use crate::id::Scope;
use crate::principals::new_guid;

/// The longest body of what changes nothing and asks for nothing large.
const SMALL: usize = 64 * 1024;

/// A request whose body is worth reading.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Admitted {
    /// How much of the body is read, in bytes.
    pub most: usize,
    /// Who sends it, by the ID of their object; nobody where no token is needed.
    pub who: Option<String>,
    /// Whether it is to change something.
    pub writes: bool,
}

impl Api {
    /// Returns what the head of a request is worth.
    ///
    /// # Errors
    ///
    /// The request is refused whatever its body is; the answer.
    pub fn admit(&self, head: &Request) -> Result<Admitted, Response> {
        if login::is_open(&head.path) {
            return Ok(Admitted {
                most: login::MOST,
                who: None,
                writes: false,
            });
        }
        self.admit_known(head)
            .map_err(|error| self.dress(refusal(&error, head), head, &new_guid()))
    }

    fn admit_known(&self, head: &Request) -> Result<Admitted, ArmError> {
        let state = self.state();
        let caller = Caller::of(head, &state)?;
        let who = match &caller {
            Caller::Principal(claims, _) => Some(format!("{}/{}", claims.tid, claims.oid)),
            Caller::Local => None,
        };
        let call = Call {
            api: self,
            request: head,
            caller,
            state,
        };
        let method = head.method.to_ascii_uppercase();
        let writes = ["PUT", "PATCH", "DELETE"].contains(&method.as_str());
        let may_be_long = match method.as_str() {
            "PUT" | "PATCH" | "DELETE" | "POST" => call.check_at_the_head(&method)?,
            _ => false,
        };
        let most = if may_be_long { MAX_BODY } else { SMALL };
        Ok(Admitted { most, who, writes })
    }
}

impl Call<'_> {
    /// Checks the right that a request needs in any case, as far as its head tells it; returns whether its
    /// body may be a long one.
    fn check_at_the_head(&self, method: &str) -> Result<bool, ArmError> {
        let Ok(target) = Target::read(&self.request.path) else {
            // What is wrong with it is told when it is handled.
            return Ok(false);
        };
        let verb = if method == "DELETE" {
            "delete"
        } else {
            "write"
        };
        match target {
            Target::Resource(id) if method != "POST" => {
                self.caller.enter(&self.state, &id.scope)?;
                let right = rights::on(&id, verb);
                self.authorise(&right.action, &right.at)?;
                Ok(method != "DELETE")
            }
            Target::Scope(scope @ Scope::Group(..), words) if words.is_empty() => {
                self.caller.enter(&self.state, &scope)?;
                if method != "POST" {
                    self.authorise(&format!("{}/{verb}", groups::KIND), &scope)?;
                }
                Ok(["PUT", "PATCH"].contains(&method))
            }
            Target::Scope(scope, words) => self.check_old_path(method, verb, &scope, &words),
            Target::Word(Parent::Resource(id), word) if method == "POST" => {
                self.caller.enter(&self.state, &id.scope)?;
                self.authorise(&format!("{}/{word}/action", id.kind()), &scope_of(&id))?;
                Ok(id.is(deployments::KIND))
            }
            _ => Ok(false),
        }
    }

    /// As [`Self::check_at_the_head`], for the path of deployments without their provider.
    fn check_old_path(
        &self,
        method: &str,
        verb: &str,
        scope: &Scope,
        words: &[String],
    ) -> Result<bool, ArmError> {
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let ([first, name] | [first, name, _]) = words.as_slice() else {
            return Ok(false);
        };
        if !first.eq_ignore_ascii_case("deployments") {
            return Ok(false);
        }
        self.caller.enter(&self.state, scope)?;
        let kind = deployments::KIND;
        let at = scope.resource("Microsoft.Resources", &[("deployments", name)]);
        let action = match (method, words.get(2)) {
            ("POST", Some(word)) => format!("{kind}/{word}/action"),
            ("POST", None) => return Ok(false),
            _ => format!("{kind}/{verb}"),
        };
        self.authorise(&action, &scope_of(&at))?;
        Ok(method != "DELETE")
    }
}
