//! A request under way: who calls, what they see, and where it goes.

use super::authorise::table::{Path, Place};
use super::caller::Caller;
use super::change::Preview;
use super::path::{Parent, Target};
use super::request::{Request, Response, Via};
use super::state::State;
use super::{Api, authorization, deployments, groups, network, providers, resources, storage};
use super::{subscriptions, tags, watchers};
use crate::error::ArmError;
use crate::estate::{Conditions, Estate, Stage};
use crate::id::{ResourceId, Scope};
use crate::roles;
use serde_json::{Map, Value};
use std::sync::Arc;

/// What becomes of a request.
pub(crate) type Answer = Result<Response, ArmError>;

/// A request under way.
pub(crate) struct Call<'a> {
    pub(crate) api: &'a Api,
    pub(crate) request: &'a Request,
    pub(crate) caller: Caller,
    pub(crate) state: Arc<State>,
}

impl Call<'_> {
    /// Answers the request.
    ///
    /// # Errors
    ///
    /// What the client is told instead.
    pub(crate) fn answer(&self) -> Answer {
        let (target, _) = self.check_head()?;
        match target {
            Target::Other(words) => subscriptions::tenant_level(self, &words),
            Target::Scope(scope, words) => match &scope {
                Scope::Group(..) => groups::group(self, &scope, &words),
                _ => subscriptions::subscription(self, &scope, &words),
            },
            Target::Provider(scope, words) => providers::provider(self, &scope, &words),
            Target::Resource(id) => self.resource(&id),
            Target::Word(Parent::Scope(scope, provider), word) => {
                self.collection(&scope, &provider, &word)
            }
            Target::Word(Parent::Resource(id), word) => self.below(&id, &word),
        }
    }

    /// Checks what the head of the request tells: whether there is such an operation, and whether the
    /// caller may. Returns what the path names, and what it is of.
    ///
    /// # Errors
    ///
    /// The request is refused, whatever its body is.
    pub(crate) fn check_head(&self) -> Result<(Target, Path), ArmError> {
        self.check_version()?;
        let target = Target::read(&self.request.path)?;
        let at = match &target {
            Target::Other(_) => &Scope::Tenant,
            Target::Scope(scope, _) | Target::Provider(scope, _) => scope,
            Target::Resource(id) | Target::Word(Parent::Resource(id), _) => &id.scope,
            Target::Word(Parent::Scope(scope, _), _) => scope,
        };
        self.caller.enter(&self.state, at)?;
        // What is not in the table is not there, and what is, is asked for before anything is done.
        let place = Place::of(&target, &self.request.method).ok_or_else(|| self.no_such_path())?;
        place.authorise(self)?;
        Ok((target, place.path))
    }

    fn resource(&self, id: &ResourceId) -> Answer {
        if id.is(deployments::KIND) || id.is(deployments::OPERATIONS) {
            return deployments::deployment(self, id);
        }
        if id.is(roles::DEFINITIONS) || id.is(roles::ASSIGNMENTS) {
            return authorization::one(self, id);
        }
        if id.is(tags::KIND) {
            return tags::one(self, id);
        }
        if id.is(watchers::KIND) && self.is("GET") {
            return watchers::get(self, id);
        }
        if self.is("PUT") && watchers::is_default(self, id) {
            return watchers::keep(self, id);
        }
        resources::one(self, id)
    }

    fn collection(&self, scope: &Scope, provider: &str, word: &str) -> Answer {
        let kind = format!("{provider}/{word}");
        let is = |known: &str| kind.eq_ignore_ascii_case(known);
        if provider.eq_ignore_ascii_case("Microsoft.Authorization") {
            return authorization::list(self, scope, &kind);
        }
        if is(deployments::KIND) {
            return deployments::list(self, scope);
        }
        if is(watchers::KIND) {
            return watchers::list(self, scope);
        }
        resources::list(self, scope, &kind)
    }

    /// Answers what hangs on a resource: its children, or an action on it.
    fn below(&self, id: &ResourceId, word: &str) -> Answer {
        if id.is(deployments::KIND) {
            return deployments::below(self, id, word);
        }
        if id.is("Microsoft.Storage/storageAccounts") && self.is("POST") {
            return storage::action(self, id, word);
        }
        let on_network = id.is("Microsoft.Network/virtualNetworks") && self.is("GET");
        if on_network && word.eq_ignore_ascii_case("CheckIPAddressAvailability") {
            return network::check_address(self, id);
        }
        if on_network && word.eq_ignore_ascii_case("usages") {
            return network::usages(self, id);
        }
        resources::below(self, id, word)
    }

    /// Returns whether the request has the method.
    pub(crate) fn is(&self, method: &str) -> bool {
        self.request.method.eq_ignore_ascii_case(method)
    }

    /// Returns the error for a method that what the path names does not have.
    pub(crate) fn no_method(&self, accepted: &str) -> ArmError {
        let message = format!(
            "The requested resource does not support http method '{}'; accepted: {accepted}.",
            self.request.method
        );
        ArmError::new(405, "MethodNotAllowed", message)
    }

    /// Returns the error for a path that names nothing.
    pub(crate) fn no_such_path(&self) -> ArmError {
        let message = format!("There is nothing at the path '{}'.", self.request.path);
        ArmError::new(404, "NotFound", message)
    }

    /// Checks that the caller may do that.
    ///
    /// # Errors
    ///
    /// The caller may not.
    pub(crate) fn authorise(&self, action: &str, at: &Scope) -> Result<(), ArmError> {
        self.caller.authorise(&self.state, action, at)
    }

    /// Changes the desired state as the caller.
    ///
    /// # Errors
    ///
    /// As [`Api::change`], or the change brings what is the host's to say.
    pub(crate) fn change<R>(
        &self,
        act: impl FnOnce(&mut Stage) -> Result<R, ArmError>,
    ) -> Result<R, ArmError> {
        self.change_seen(|stage, _| act(stage))
            .map(|(result, _)| result)
    }

    /// As [`Self::change`], with what was in force when the change began and what is after it.
    pub(crate) fn change_seen<R>(
        &self,
        act: impl FnOnce(&mut Stage, &State) -> Result<R, ArmError>,
    ) -> Result<(R, Arc<Estate>), ArmError> {
        self.api.change_seen(&self.caller, act)
    }

    /// Tells what [`Self::change_seen`] would do, and changes nothing.
    pub(crate) fn preview_seen<R>(
        &self,
        act: impl FnOnce(&mut Stage, &State) -> Result<R, ArmError>,
    ) -> Result<Preview<R>, ArmError> {
        self.api.preview_seen(&self.caller, act)
    }

    /// Returns the conditions of the request.
    pub(crate) fn conditions(&self) -> Conditions {
        Conditions {
            if_match: self.request.header("if-match").map(str::to_owned),
            if_none_match: self.request.header("if-none-match").map(str::to_owned),
        }
    }

    /// Returns the body, which must be an object.
    ///
    /// # Errors
    ///
    /// It is not JSON, or no object.
    pub(crate) fn object(&self) -> Result<Map<String, Value>, ArmError> {
        match self.request.json()? {
            Value::Object(body) => Ok(body),
            Value::Null => Err(ArmError::bad_request(
                "InvalidRequestContent",
                "The request content was invalid: the body is empty; accepted: a JSON object.",
            )),
            _ => Err(ArmError::bad_request(
                "InvalidRequestContent",
                "The request content was invalid: it is not a JSON object.",
            )),
        }
    }

    /// Checks the version that the request is written for. All are taken, as clients send dozens of
    /// them; what is no version is a mistake.
    fn check_version(&self) -> Result<(), ArmError> {
        let Some(version) = self.request.query("api-version") else {
            if self.request.via == Via::Socket {
                return Ok(());
            }
            return Err(ArmError::bad_request(
                "MissingApiVersionParameter",
                "The api-version query parameter (?api-version=) is required for all requests.",
            ));
        };
        let date = version.get(..10).unwrap_or_default();
        let is_date = date.bytes().enumerate().all(|(at, byte)| match at {
            4 | 7 => byte == b'-',
            _ => byte.is_ascii_digit(),
        });
        let rest = version.get(10..).unwrap_or_default();
        let is_rest = rest.is_empty()
            || (rest.starts_with('-')
                && rest.len() <= 32
                && rest
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-'));
        if date.len() == 10 && is_date && is_rest {
            return Ok(());
        }
        let message = format!(
            "The api-version '{version}' is invalid; accepted: a date such as '2024-05-01', with or \
             without '-preview'."
        );
        Err(ArmError::bad_request("InvalidApiVersionParameter", message))
    }
}
