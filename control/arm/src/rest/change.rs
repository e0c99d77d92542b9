//! The one way by which the desired state changes.

use super::Api;
use super::authorise::Authoriser;
use super::authorise::rights;
use super::caller::Caller;
use super::line::Rank;
use super::state::State;
use crate::date::now;
use crate::error::ArmError;
use crate::estate::{Estate, Settings, Stage};
use serde_json::Value;
use std::sync::Arc;

/// What a change would do.
#[derive(Clone, Debug)]
pub struct Preview<R> {
    /// What the change returned.
    pub result: R,
    /// What was in force when it began.
    pub now: Arc<Estate>,
    /// What would be in force after it.
    pub next: Estate,
    /// What would change beyond the resources, as [`crate::platform::Platform::preview`] tells it.
    pub effects: Value,
}

impl Api {
    /// Changes the desired state as the host's own: `act` works on a copy, and when it is content and the
    /// whole holds together, the copy is brought into force, written to the disk, and only then seen by
    /// others. One change at a time; readers go on with the old state meanwhile.
    ///
    /// # Errors
    ///
    /// `act` failed, the whole does not hold together, or it cannot be brought into force: nothing
    /// has changed.
    pub fn change<R>(
        &self,
        act: impl FnOnce(&mut Stage) -> Result<R, ArmError>,
    ) -> Result<R, ArmError> {
        self.change_as(Rank::Verb, &Caller::Local, |stage, _| act(stage))
            .map(|(result, _)| result)
    }

    /// As [`Self::change`], for a caller who may have no right to this host, and with what was in force
    /// when the change began; returns what is in force after it too, as the end of a change can still add
    /// to what was put.
    pub(crate) fn change_seen<R>(
        &self,
        caller: &Caller,
        act: impl FnOnce(&mut Stage, &State) -> Result<R, ArmError>,
    ) -> Result<(R, Arc<Estate>), ArmError> {
        self.change_as(caller.rank(), caller, act)
    }

    fn change_as<R>(
        &self,
        rank: Rank,
        caller: &Caller,
        act: impl FnOnce(&mut Stage, &State) -> Result<R, ArmError>,
    ) -> Result<(R, Arc<Estate>), ArmError> {
        let writing = self.writers.enter(rank);
        let state = self.state();
        let (result, next) = stage(caller, &state, act)?;
        self.authorise_host(caller, &state, &next)?;
        let next = self.commit(&state, next)?;
        drop(writing);
        Ok((result, next))
    }

    /// Brings what comes after `now` into force; who calls it is the one who changes.
    pub(super) fn commit(&self, now: &State, next: Estate) -> Result<Arc<Estate>, ArmError> {
        self.platform.commit(&now.estate, &next)?;
        let next = Arc::new(next);
        self.publish(|now| now.with_estate(Arc::clone(&next)));
        Ok(next)
    }

    /// Checks that a change leaves alone what is the host's to say.
    ///
    /// # Errors
    ///
    /// It does not, or the caller may not write a resource that it binds to the host.
    pub(super) fn authorise_host(
        &self,
        caller: &Caller,
        state: &State,
        next: &Estate,
    ) -> Result<(), ArmError> {
        if caller.is_host() {
            return Ok(());
        }
        let bound = self.platform.authorise(&state.estate, next)?;
        // Who may tag a resource and nothing more must not change what it does.
        bound.iter().try_for_each(|id| {
            let right = rights::on(id, "write");
            caller.authorise(state, &right.action, &right.at)
        })
    }

    /// Tells what [`Self::change`] would do, and changes nothing.
    ///
    /// # Errors
    ///
    /// As [`Self::change`].
    pub fn preview<R>(
        &self,
        act: impl FnOnce(&mut Stage) -> Result<R, ArmError>,
    ) -> Result<Preview<R>, ArmError> {
        self.preview_seen(&Caller::Local, |stage, _| act(stage))
    }

    /// As [`Self::preview`], for a caller who may have no right to this host, and with what was in force
    /// when it began.
    pub(crate) fn preview_seen<R>(
        &self,
        caller: &Caller,
        act: impl FnOnce(&mut Stage, &State) -> Result<R, ArmError>,
    ) -> Result<Preview<R>, ArmError> {
        let state = self.state();
        let (result, next) = stage(caller, &state, act)?;
        self.authorise_host(caller, &state, &next)?;
        let effects = self.platform.preview(&state.estate, &next)?;
        Ok(Preview {
            result,
            now: Arc::clone(&state.estate),
            next,
            effects,
        })
    }
}

fn stage<R>(
    caller: &Caller,
    state: &Arc<State>,
    act: impl FnOnce(&mut Stage, &State) -> Result<R, ArmError>,
) -> Result<(R, Estate), ArmError> {
    let (mut stage, gate) = begin(caller, state);
    let result = act(&mut stage, state)?;
    Ok((result, finish(stage, &gate)?))
}

/// Begins a change of a state by a caller.
pub(super) fn begin(caller: &Caller, state: &Arc<State>) -> (Stage, Arc<Authoriser>) {
    let settings = Settings {
        now: now(),
        ..state.config.settings.clone()
    };
    let gate = Arc::new(Authoriser::new(caller, state));
    let stage = Stage::new(&state.estate, &settings).behind(Arc::<Authoriser>::clone(&gate));
    (stage, gate)
}

/// Ends a change, if the caller may do all of it and the whole holds together.
pub(super) fn finish(mut stage: Stage, gate: &Authoriser) -> Result<Estate, ArmError> {
    gate.seal(&stage)?;
    stage.check()?;
    Ok(stage.into_estate())
}
