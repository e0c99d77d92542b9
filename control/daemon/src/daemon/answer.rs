//! What is done for each request.

use super::Daemon;
use super::change;
use super::endpoint::Switch;
use super::export;
use crate::fabric::{Applied, Fabric, FabricError, ReadError};
use crate::protocol::view::{AppliedView, ChangeView, SweepView, TagsReloadedView};
use crate::protocol::{Answer, ArmAnswer, ArmRequest, Fault, FaultCode, Request};
use postern_arm::cancel::Cancel;
use postern_arm::date::now;
use postern_arm::error::ArmError;
use postern_arm::estate::Settings;
use postern_arm::rest;
use postern_network::catalog::Catalog;
use postern_network::diagnose;
use postern_network::model::Change;
use serde::Serialize;
use serde_json::{Value, json};
use std::time::Duration;

/// How long an answer waits for the sweep of its change.
const SWEEP_PATIENCE: Duration = Duration::from_secs(5);

/// Does what is asked, and returns the result. Blocks.
pub(super) fn answer(daemon: &Daemon, request: Request, cancel: Cancel) -> Result<Value, Fault> {
    match request {
        Request::Apply {
            name,
            text,
            dry_run,
        } => change::apply(daemon, &name, &text, dry_run),
        Request::Arm(request) => encode(&arm(daemon, request, cancel)),
        Request::Defaults => encode(&export::defaults(daemon)),
        Request::Export { group, toml } => export::export(daemon, group.as_deref(), toml),
        Request::Endpoint {
            vnet,
            subnet,
            services,
            on,
        } => {
            let switch = Switch {
                vnet,
                subnet,
                services,
                on,
            };
            change::switch(daemon, &switch)
        }
        Request::TagsReload { name, text } => reload_tags(daemon, &name, &text),
        Request::Diff { name, text } => change::diff(daemon, &name, &text),
        Request::ConfigPath => encode(&daemon.file),
        Request::EndpointList => encode(&daemon.with(|fabric| fabric.endpoints())),
        Request::NsgList => encode(&daemon.with(|fabric| fabric.nsgs())),
        Request::NsgShow { name } => encode(&daemon.with(|fabric| fabric.nsg(&name))?),
        Request::NsgEffective { nic } => {
            encode(&daemon.with(|fabric| fabric.effective_nsgs(&nic))?)
        }
        Request::NsgVerify { nic, flow } => {
            encode(&daemon.with(|fabric| fabric.verify_flow(&nic, &flow))?)
        }
        Request::ServiceList => encode(&daemon.with(|fabric| fabric.services())),
        Request::ServiceShow { name } => encode(&daemon.with(|fabric| fabric.service(&name))?),
        Request::ServiceLog { name } => encode(&daemon.with(|fabric| fabric.service_log(&name))?),
        Request::Routes { nic } => daemon.with(|fabric| routes(fabric, &nic)),
        Request::LearnedRoutes => encode(&daemon.with(|fabric| fabric.learned_view())),
        Request::Flows { limit, nic } => {
            encode(&daemon.with(|fabric| fabric.flows(limit, nic.as_deref()))?)
        }
        Request::Stats => encode(&daemon.with(|fabric| fabric.stats())?),
        Request::Status => encode(&daemon.with(|fabric| fabric.status())?),
        Request::Login { principal } => login(daemon, principal.as_deref()),
        Request::Down => Ok(Value::Null),
    }
}

/// Returns the answer to the request that ends the daemon.
pub(super) fn down() -> Answer {
    Answer::Result(json!({ "pid": std::process::id() }))
}

fn reload_tags(daemon: &Daemon, name: &str, text: &str) -> Result<Value, Fault> {
    // Read without the turn: a full file takes a while.
    let catalog = Catalog::from_bytes(name, text.as_bytes())
        .map_err(|error| Fault::new(FaultCode::Refused, postern_network::chain(&error)))?;
    let reloaded = daemon.live.reload_tags(catalog);
    let (epoch, tags, applied) = reloaded.map_err(|error| Fault::from(error).in_file(name))?;
    let known = postern_network::spelling::settings(
        daemon.api.estate().host(),
        &daemon.live.catalog(),
        now(),
    );
    daemon.tell(|told| {
        told.settings = Settings {
            seal: told.key.seal(),
            ..known
        };
    });
    let AppliedView {
        epoch,
        changed,
        sweep,
        ..
    } = finished(epoch, applied);
    encode(&TagsReloadedView {
        epoch,
        changed,
        tags,
        sweep,
    })
}

fn routes(fabric: &Fabric, nic: &str) -> Result<Value, Fault> {
    let nic = fabric.nic(nic)?;
    encode(&diagnose::effective_routes(
        fabric.model(),
        fabric.learned(),
        fabric.catalog(),
        nic,
    ))
}

/// Returns a login for a client on this host.
fn login(daemon: &Daemon, principal: Option<&str>) -> Result<Value, Fault> {
    let mut model = daemon.with(|fabric| fabric.model().clone());
    model.api.principals = daemon.principals();
    let login = crate::https::login(&model, daemon.door.as_ref(), principal)
        .map_err(|error| Fault::new(FaultCode::Refused, error.to_string()))?;
    encode(&login)
}

/// Asks the API as the owner of everything.
fn arm(daemon: &Daemon, request: ArmRequest, cancel: Cancel) -> ArmAnswer {
    let mut asked = rest::Request::local(&request.method, &request.target).with_body(request.body);
    asked.headers = request.headers;
    asked.cancel = cancel;
    let answer = daemon.api.handle(&asked);
    let body = answer.value();
    ArmAnswer {
        status: answer.status,
        headers: answer.headers,
        body,
    }
}

/// Waits for the sweep of a change, and tells all of it.
pub(super) fn finished(epoch: u32, applied: Applied) -> AppliedView {
    match applied {
        Applied::Unchanged => AppliedView {
            epoch,
            changed: false,
            changes: Vec::new(),
            sweep: None,
            detached: Vec::new(),
        },
        Applied::Changed { changes, sweep } => AppliedView {
            epoch,
            changed: true,
            changes: changes.iter().map(change_view).collect(),
            sweep: sweep
                .recv_timeout(SWEEP_PATIENCE)
                .ok()
                .map(|report| SweepView {
                    kept: report.kept,
                    closed: report.closed,
                    rebound: report.rebound,
                    denied: report.denied,
                }),
            detached: Vec::new(),
        },
    }
}

fn change_view(change: &Change) -> ChangeView {
    ChangeView {
        action: change.action.to_string(),
        kind: change.kind.to_owned(),
        name: change.name.clone(),
        detail: change.detail.clone(),
    }
}

pub(super) fn encode(value: &impl Serialize) -> Result<Value, Fault> {
    serde_json::to_value(value).map_err(|error| Fault::new(FaultCode::Internal, error.to_string()))
}

impl From<&FabricError> for Fault {
    fn from(error: &FabricError) -> Self {
        let code = match error {
            FabricError::Model(_)
            | FabricError::Supply(_)
            | FabricError::Compile(_)
            | FabricError::NeedsRestart { .. } => FaultCode::Refused,
            FabricError::Attach { .. } | FabricError::Shut(_) | FabricError::Front(_) => {
                FaultCode::AttachFailed
            }
            FabricError::State(_) | FabricError::Start(_) | FabricError::WorkerGone(_) => {
                FaultCode::Internal
            }
        };
        Self::new(code, postern_network::chain(error))
    }
}

impl From<FabricError> for Fault {
    fn from(error: FabricError) -> Self {
        Self::from(&error)
    }
}

impl From<ArmError> for Fault {
    fn from(error: ArmError) -> Self {
        let code = match error.status {
            404 => FaultCode::NotFound,
            400..500 => FaultCode::Refused,
            _ => FaultCode::Internal,
        };
        let mut text = error.to_string();
        if let Some(target) = &error.target {
            text = format!("{target}: {text}");
        }
        for detail in error.details {
            text.push('\n');
            text.push_str(&Self::from(detail).message);
        }
        Self::new(code, text)
    }
}

impl From<ReadError> for Fault {
    fn from(error: ReadError) -> Self {
        let code = match error {
            ReadError::NotFound { .. } => FaultCode::NotFound,
            ReadError::WorkerGone(_) => FaultCode::Internal,
        };
        Self::new(code, postern_network::chain(&error))
    }
}
