//! Who may do what: the one place that is asked, by every way that reads or writes.
//!
//! A request is asked for its right before its body is read, by the [`table`] of all operations. Whatever changes the
//! estate is asked again inside of the change, by an [`Authoriser`] that stands before the stage: it sees
//! each resource that is written or removed, whether a request names it, a template, a template inside of
//! one, or the end of a complete deployment, and what-if and validation as well. When all is staged,
//! [`Authoriser::seal`] looks at the difference as a whole. So a way that forgets to ask is refused too,
//! and rights that were taken away between a request's begin and its turn are gone.
//!
//! What belongs to the difference and to who asks for it has its place in `seal`: the caller, what was in
//! force and what would be are all there.
//!
//! Three rights are asked on something else than what is named:
//!
//! - a role definition is written by who may write definitions at each scope where it could be assigned
//!   and at each where it can be from now on, so nobody rewrites what reaches further than they do;
//! - role documents and tags are asked for at what they are on;
//! - the end of a resource group is asked for at the group alone, as on Azure: who may delete the group
//!   may end all that is in it.

pub(crate) mod rights;
pub(crate) mod roles;
pub(crate) mod table;

use super::caller::Caller;
use super::state::State;
use crate::error::ArmError;
use crate::estate::{Ask, Estate, Gate, ResourceChange, Stage};
use crate::id::{ResourceId, Scope};
use crate::types::{self, Place};
use serde_json::{Map, Value};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// Stands before a change: who asks for it, and what was in force when it began.
#[derive(Debug)]
pub(crate) struct Authoriser {
    pub(crate) caller: Caller,
    pub(crate) state: Arc<State>,
    /// What was asked for, by the document that it is kept in.
    asked: Mutex<HashMap<String, ResourceId>>,
}

impl Authoriser {
    pub(crate) fn new(caller: &Caller, state: &Arc<State>) -> Self {
        Self {
            caller: caller.clone(),
            state: Arc::clone(state),
            asked: Mutex::default(),
        }
    }

    /// Checks the difference that a change makes, when all of it is staged.
    ///
    /// # Errors
    ///
    /// The caller may not make something refer to what it newly refers to, or what it would leave of roles
    /// cannot stand.
    pub(crate) fn seal(&self, stage: &Stage) -> Result<(), ArmError> {
        let changes = stage.changes();
        self.authorise_links(stage.estate(), &changes)?;
        roles::seal(&self.state, stage.estate(), &changes)
    }

    /// Checks the new references of everything that was written.
    fn authorise_links(&self, next: &Estate, changes: &[ResourceChange]) -> Result<(), ArmError> {
        if self.caller.is_host() {
            return Ok(());
        }
        let asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        for change in changes {
            let Some(new) = &change.new else {
                continue;
            };
            let id = asked.get(&change.key).unwrap_or(&new.id);
            let action = rights::on(id, "write").action;
            self.caller
                .authorise_links(&self.state, next, id, &action)?;
        }
        Ok(())
    }

    fn note(&self, id: &ResourceId) {
        let key = match types::place(id) {
            Place::Own => id.key(),
            Place::Inline(parent, _) => parent.key(),
        };
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        asked.entry(key).or_insert_with(|| id.clone());
    }
}

impl Gate for Authoriser {
    fn ask(&self, now: &Estate, ask: &Ask<'_>) -> Result<(), ArmError> {
        if self.caller.is_host() {
            // Whether it can be is told by the rules; the host may do anything.
            return Ok(());
        }
        let right = rights::of(ask);
        self.caller
            .authorise(&self.state, &right.action, &right.at)?;
        match ask {
            Ask::Write(id) => self.note(id),
            Ask::Delete(id) => self.authorise_delete(now, id)?,
            Ask::WriteGroup(_) | Ask::DeleteGroup(_) | Ask::Tag(_) => {}
        }
        Ok(())
    }

    fn kept(&self, now: &Estate, id: &ResourceId) -> ResourceId {
        self.role_kept(now, id).unwrap_or_else(|| id.clone())
    }

    fn admit(
        &self,
        now: &Estate,
        id: &ResourceId,
        body: Map<String, Value>,
    ) -> Result<(ResourceId, Map<String, Value>), ArmError> {
        if let Some(role) = self.admit_role(now, id, &body) {
            return role;
        }
        check_place(id)?;
        Ok((id.clone(), body))
    }
}

/// Checks that a resource is one that is kept as it is written: of a subscription, with an ID that reads
/// back as itself, and of no type that stands for something else.
fn check_place(id: &ResourceId) -> Result<(), ArmError> {
    let text = id.to_string();
    let refused = |message: String| Err(ArmError::bad_request("InvalidResourceId", message));
    if id.scope.subscription().is_none() {
        return refused(format!(
            "'{text}' is in no subscription; accepted: a resource of a subscription or a resource group."
        ));
    }
    let again = text.parse::<ResourceId>();
    if !again.is_ok_and(|again| is_same(&again, id)) {
        return refused(format!(
            "'{text}' does not read back as the ID of a resource of the type '{}'; accepted: types \
             without 'providers'.",
            id.kind()
        ));
    }
    let elsewhere = [
        "resourceGroups",
        "subscriptions",
        "tenants",
        "resources",
        "providers",
    ];
    let top = id.segments.first().map_or("", |(kind, _)| kind.as_str());
    if id.provider.eq_ignore_ascii_case("Microsoft.Resources")
        && elsewhere.iter().any(|kind| top.eq_ignore_ascii_case(kind))
    {
        return refused(format!(
            "'{text}' is not kept as a resource of its own; accepted: \
             /subscriptions/ID/resourceGroups/NAME for a resource group."
        ));
    }
    Ok(())
}

/// Returns whether two IDs are the same piece by piece: two with one spelling need not be.
fn is_same(one: &ResourceId, other: &ResourceId) -> bool {
    let of_scope = match (&one.scope, &other.scope) {
        (Scope::Resource(one), Scope::Resource(other)) => is_same(one, other),
        (one, other) => {
            std::mem::discriminant(one) == std::mem::discriminant(other) && one == other
        }
    };
    of_scope && one.provider == other.provider && one.segments == other.segments
}
