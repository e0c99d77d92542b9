//! Changes that the command line asks for: a file, endpoints.

use super::Daemon;
use super::answer::{encode, finished};
use super::declare::declare;
use super::endpoint::Switch;
use super::said::Said;
use crate::fabric::{Applied, FabricError};
use crate::https::api_config;
use crate::platform::Ticket;
use crate::protocol::view::{ChangeView, DiffView, PreviewView, ResourceChangeView};
use crate::protocol::{Fault, FaultCode};
use crate::store;
use postern_arm::date::now;
use postern_arm::document::Origin;
use postern_arm::error::ArmError;
use postern_arm::estate::{ResourceChange, Stage};
use postern_arm::rest::Preview;
use postern_network::{config, spelling};
use serde_json::Value;
use std::path::Path;
use tracing::warn;

/// Makes a file the running policy, or tells what that would change.
pub(super) fn apply(
    daemon: &Daemon,
    name: &str,
    text: &str,
    dry_run: bool,
) -> Result<Value, Fault> {
    let refused = |errors: config::ConfigErrors| Fault::new(FaultCode::Refused, errors.to_string());
    let path = Path::new(name);
    let parsed = config::parse_text(path, text).map_err(refused)?;
    let catalog = daemon.live.catalog();
    let model = config::check(path, &parsed, &catalog).map_err(refused)?;
    let key = daemon.key();
    let mut raised = spelling::raise(&parsed.table);
    store::seal_host(&key.seal(), &mut raised.host);
    let said = Said::of(&key.seal(), &parsed.table, &raised);
    let settings = spelling::settings(&raised.host, &catalog, now());
    let told = api_config(&model, key, settings).map_err(|error| {
        Fault::new(FaultCode::Refused, postern_network::chain(&error)).in_file(name)
    })?;
    let act = |stage: &mut Stage| declare(stage, raised, |_| true);
    if dry_run {
        return preview(daemon, act).map_err(|fault| fault.in_source(name, &parsed.source));
    }
    let before = daemon.with(|fabric| fabric.model().api.clone());
    let changed = change(daemon, Some(said.text()), act);
    let answer = changed.map_err(|fault| fault.in_source(name, &parsed.source))?;
    daemon.tell(|now| *now = told);
    daemon.know(model.api.principals);
    if (before.listen, &before.names) != (model.api.listen, &model.api.names) {
        warn!("api.listen and api.names count from the next start on");
    }
    Ok(answer)
}

/// Tells where a file and what runs differ: what `apply` would change, and what the file does not have.
pub(super) fn diff(daemon: &Daemon, name: &str, text: &str) -> Result<Value, Fault> {
    let preview = apply(daemon, name, text, true)?;
    let preview = serde_json::from_value(preview)
        .map_err(|error| Fault::new(FaultCode::Internal, error.to_string()))?;
    let estate = daemon.api.estate();
    let by_request = estate
        .documents()
        .filter(|document| document.origin == Origin::Api)
        .map(|document| document.id.to_string());
    encode(&DiffView {
        preview,
        only_running: by_request.collect(),
    })
}

/// Switches endpoints of a subnet.
pub(super) fn switch(daemon: &Daemon, switch: &Switch) -> Result<Value, Fault> {
    let mut fault = None;
    let done = change(daemon, None, |stage| {
        // What is in force is what the stage began with: changes come one at a time.
        let outcome = daemon.with(|fabric| switch.outcome(fabric.model(), fabric.catalog()));
        match outcome {
            Ok(Some(services)) => switch.stage(stage, &services),
            Ok(None) => Ok(()),
            Err(error) => {
                let error = Fault::from(FabricError::from(error));
                let refused = ArmError::bad_request("InvalidResource", error.message.as_str());
                fault = Some(error);
                Err(refused)
            }
        }
    });
    done.map_err(|error| fault.unwrap_or(error))
}

/// Changes the estate, and tells what came of it.
fn change<R>(
    daemon: &Daemon,
    file: Option<String>,
    act: impl FnOnce(&mut Stage) -> Result<R, ArmError>,
) -> Result<Value, Fault> {
    let (changed, ticket) = Ticket::with(file, || daemon.api.change(act));
    if let Err(error) = changed {
        return Err(ticket.fault.unwrap_or_else(|| error.into()));
    }
    let (epoch, applied) = ticket.applied.unwrap_or((0, Applied::Unchanged));
    // Without a lock: others may read, and change, while this one waits.
    let mut view = finished(epoch, applied);
    view.detached = daemon.with(|fabric| fabric.detached());
    encode(&view)
}

/// Tells what a change of the estate would do.
fn preview<R>(
    daemon: &Daemon,
    act: impl FnOnce(&mut Stage) -> Result<R, ArmError>,
) -> Result<Value, Fault> {
    let (previewed, ticket) = Ticket::with(None, || daemon.api.preview(act));
    let Preview {
        now, next, effects, ..
    } = previewed.map_err(|error| ticket.fault.unwrap_or_else(|| error.into()))?;
    let changes = effects.get("changes").cloned().unwrap_or_default();
    let changes: Vec<ChangeView> = serde_json::from_value(changes)
        .map_err(|error| Fault::new(FaultCode::Internal, error.to_string()))?;
    let resources: Vec<ResourceChangeView> = next.changes_since(&now).map(resource_view).collect();
    encode(&PreviewView {
        changed: !(resources.is_empty() && changes.is_empty()),
        resources,
        changes,
        effects,
    })
}

fn resource_view(change: ResourceChange) -> ResourceChangeView {
    let action = match (&change.old, &change.new) {
        (None, _) => "create",
        (_, None) => "delete",
        _ => "modify",
    };
    let document = change.new.or(change.old);
    ResourceChangeView {
        action: action.to_owned(),
        id: document.map_or(change.key, |document| document.id.to_string()),
    }
}
