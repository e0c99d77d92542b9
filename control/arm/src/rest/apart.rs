//! Changes that take their time: worked out beside the others, and brought into force in a moment.
//!
//! A template is evaluated on the estate as it was when its turn came, without keeping anybody from
//! changing it. When it is done, the change is brought into force if nobody came before; if somebody did,
//! its steps are done again on what is there now, which takes as long as so many PUTs, and hold if
//! everything that the template read is as it read it. Else the template is evaluated again. No change
//! of anybody is lost: what is in force is always the one before and one change.

use super::Api;
use super::caller::Caller;
use super::change::{begin, finish};
use super::state::State;
use crate::cancel::Cancel;
use crate::deploy::{Journal, Steps};
use crate::error::ArmError;
use crate::estate::Estate;
use crate::template::limits::Limits;
use std::sync::Arc;
use std::time::Duration;

/// How often a change is worked out that others came before.
const TRIES: usize = 5;

/// What may be worked out while all others wait.
const MOMENT: Duration = Duration::from_millis(50);

/// A change that takes its time.
pub(crate) struct Apart<'a, A> {
    /// Who wants it.
    pub(crate) caller: &'a Caller,
    /// Whether anybody still waits for it.
    pub(crate) cancel: &'a Cancel,
    /// Works it out.
    pub(crate) act: A,
}

impl Api {
    /// Changes the desired state as [`Api::change`] does, without keeping others from it while the change
    /// is worked out.
    ///
    /// # Errors
    ///
    /// As [`Api::change`]; or others changed what it rests on time and again; or the client has gone.
    pub(crate) fn change_apart<R, A>(
        &self,
        change: &Apart<'_, A>,
    ) -> Result<(R, Arc<Estate>), ArmError>
    where
        A: Fn(&mut Journal, &State) -> Result<R, ArmError>,
    {
        let clock = self.platform.processor_time();
        let began = clock();
        let took = || clock().saturating_sub(began);
        for _ in 0..TRIES {
            let state = self.state();
            let (stage, gate) = begin(change.caller, &state);
            let mut journal = Journal::new(stage);
            let result = (change.act)(&mut journal, &state)?;
            let (stage, steps) = journal.into_parts();
            let next = finish(stage, &gate)?;
            self.authorise_host(change.caller, &state, &next)?;
            if let Some(next) = self.bring(change, &state, next, steps)? {
                return Ok((result, next));
            }
            // Once more would be more than a request may take.
            if took().saturating_mul(2) > Limits::host().time {
                break;
            }
        }
        if took() > MOMENT {
            let message = "The resources that the template reads were changed by others while it was \
                           evaluated. Please try again after 1 second.";
            return Err(ArmError::new(429, "TooManyRequests", message));
        }
        // It is quick, and was unlucky.
        self.change_seen(change.caller, |stage, state| {
            let mut journal = Journal::new(stage.clone());
            let result = (change.act)(&mut journal, state)?;
            *stage = journal.into_parts().0;
            Ok(result)
        })
    }

    /// Brings a change of `state` into force, or its steps on what came after that; none if they do not
    /// hold any more.
    fn bring<A>(
        &self,
        change: &Apart<'_, A>,
        state: &State,
        next: Estate,
        steps: Steps,
    ) -> Result<Option<Arc<Estate>>, ArmError> {
        let writing = self.writers.enter(change.caller.rank());
        if change.cancel.is_cancelled() {
            return Err(gone());
        }
        let now = self.state();
        let next = match Arc::ptr_eq(&now.estate, &state.estate) {
            true if Arc::ptr_eq(&now.config, &state.config) => Some(next),
            _ if has_same_rules(state, &now) => {
                drop(next);
                let (mut stage, gate) = begin(change.caller, &now);
                // What does not hold now is told by who works it out again.
                let holds = steps.again(&mut stage);
                let next = holds.then(|| finish(stage, &gate).ok()).flatten();
                next.filter(|next| self.authorise_host(change.caller, &now, next).is_ok())
            }
            _ => None,
        };
        let Some(next) = next else {
            return Ok(None);
        };
        let next = self.commit(&now, next)?;
        drop(writing);
        Ok(Some(next))
    }
}

/// Returns whether everybody may do the same in both states, and the host is the same.
fn has_same_rules(old: &State, new: &State) -> bool {
    let mut changes = new.estate.changes_since(&old.estate);
    let is_rule = |provider: &str| provider.eq_ignore_ascii_case("Microsoft.Authorization");
    Arc::ptr_eq(&old.config, &new.config)
        && old.subscriptions == new.subscriptions
        && old.estate.host() == new.estate.host()
        && new
            .estate
            .binding_changes_since(&old.estate)
            .next()
            .is_none()
        && !changes.any(|change| {
            let sides = change.old.iter().chain(&change.new);
            sides.into_iter().any(|one| is_rule(&one.id.provider))
        })
}

/// Says that nobody waits for the answer.
pub(crate) fn gone() -> ArmError {
    let message = "The client has gone before the request was done.";
    ArmError::new(499, "ClientClosedRequest", message)
}
