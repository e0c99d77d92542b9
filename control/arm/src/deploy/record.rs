//! The deployment itself, as it is kept and as GET shows it.

use super::context::Resources;
use super::request::DeploymentRequest;
use crate::date::Moment;
use crate::error::ArmError;
use crate::id::ResourceId;
use crate::template::evaluate::{Env, Evaluator, Phase};
use crate::template::frame::Kind;
use crate::template::instance::{Fate, Instance};
use crate::template::order::{Directory, Order};
use crate::template::outputs::SECRET;
use crate::template::parameters::Type;
use crate::template::problem::Problem;
use crate::template::session::Session;
use crate::types::secret;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::time::Duration;

/// The most dependencies that a record lists: two loops of a thousand resources that wait for each
/// other would have a million.
const MAX_DEPENDENCIES: usize = 5_000;

/// What a deployment was.
pub(super) struct Record<'a> {
    pub(super) id: &'a ResourceId,
    pub(super) request: &'a DeploymentRequest,
    pub(super) parameters: Map<String, Value>,
    pub(super) outputs: Map<String, Value>,
    pub(super) instances: &'a [Instance],
    pub(super) directory: &'a Directory,
    pub(super) order: &'a Order,
    pub(super) locations: &'a [Value],
    pub(super) now: Duration,
    pub(super) correlation: &'a str,
}

impl Record<'_> {
    /// Returns the deployment that is done.
    pub(super) fn succeeded(self) -> Value {
        let deployed = || {
            self.instances
                .iter()
                .filter(|one| one.fate == Fate::Deployed)
        };
        let ids: Vec<Value> = deployed().map(|one| json!({ "id": one.id })).collect();
        let mut properties = json!({
            "templateHash": template_hash(&self.request.template),
            "parameters": null,
            "mode": self.request.mode.name(),
            "provisioningState": "Succeeded",
            "timestamp": Moment::after_epoch(self.now).timestamp(),
            // Everything is done at one moment: the clock does not go on in between.
            "duration": "PT0S",
            "correlationId": self.correlation,
            "providers": self.providers(),
            "dependencies": self.dependencies(),
            "outputs": null,
            "outputResources": ids,
        });
        // Moved and not copied: they may be big.
        if let Some(fields) = properties.as_object_mut() {
            fields.insert("parameters".to_owned(), Value::Object(self.parameters));
            fields.insert("outputs".to_owned(), Value::Object(self.outputs));
        }
        envelope(self.id, self.request, properties)
    }

    fn providers(&self) -> Vec<Value> {
        type Types = BTreeMap<String, (String, Vec<Value>)>;
        let mut providers: BTreeMap<String, (String, Types)> = BTreeMap::new();
        let located = self.instances.iter().zip(self.locations);
        for (one, location) in located.filter(|(one, _)| one.fate == Fate::Deployed) {
            let kinds: Vec<&str> = one
                .id
                .segments
                .iter()
                .map(|(kind, _)| kind.as_str())
                .collect();
            let kind = kinds.join("/");
            let (_, types) = providers
                .entry(one.id.provider.to_ascii_lowercase())
                .or_insert_with(|| (one.id.provider.clone(), Types::new()));
            let (_, locations) = types
                .entry(kind.to_ascii_lowercase())
                .or_insert_with(|| (kind.clone(), Vec::new()));
            if !locations.contains(location) {
                locations.push(location.clone());
            }
        }
        let shown = |(namespace, types): (String, Types)| {
            let types: Vec<Value> = types
                .into_values()
                .map(|(kind, locations)| json!({ "resourceType": kind, "locations": locations }))
                .collect();
            json!({ "namespace": namespace, "resourceTypes": types })
        };
        providers.into_values().map(shown).collect()
    }

    fn dependencies(&self) -> Vec<Value> {
        let basic = |one: &Instance| {
            let mut fields = Map::new();
            fields.insert("id".to_owned(), one.id.to_string().into());
            fields.insert("resourceType".to_owned(), one.id.kind().into());
            fields.insert("resourceName".to_owned(), one.name.as_str().into());
            fields
        };
        let mut shown = Vec::new();
        let mut listed = 0_usize;
        for (at, one) in self.instances.iter().enumerate() {
            let on: Vec<Value> = self
                .order
                .needs(self.directory, at)
                .filter_map(|at| self.instances.get(at))
                .filter(|other| one.fate == Fate::Deployed && other.fate == Fate::Deployed)
                .map(|other| Value::Object(basic(other)))
                .take(MAX_DEPENDENCIES)
                .collect();
            listed = listed.saturating_add(on.len());
            if listed > MAX_DEPENDENCIES {
                break;
            }
            if !on.is_empty() {
                let mut fields = Map::new();
                fields.insert("dependsOn".to_owned(), on.into());
                fields.extend(basic(one));
                shown.push(Value::Object(fields));
            }
        }
        shown
    }
}

/// Returns the deployment that failed, for its record: nothing of it was done.
pub(super) fn failed(
    id: &ResourceId,
    request: &DeploymentRequest,
    error: &ArmError,
    now: Duration,
    correlation: &str,
) -> Value {
    envelope(
        id,
        request,
        json!({
            "templateHash": template_hash(&request.template),
            "parameters": {},
            "mode": request.mode.name(),
            "provisioningState": "Failed",
            "timestamp": Moment::after_epoch(now).timestamp(),
            "duration": "PT0S",
            "correlationId": correlation,
            "providers": [],
            "dependencies": [],
            "error": error.body().get("error").cloned().unwrap_or_default(),
        }),
    )
}

fn envelope(id: &ResourceId, request: &DeploymentRequest, properties: Value) -> Value {
    let mut shown = Map::new();
    shown.insert("id".to_owned(), id.to_string().into());
    shown.insert("name".to_owned(), id.name().into());
    shown.insert("type".to_owned(), id.kind().into());
    if let Some(location) = &request.location {
        shown.insert("location".to_owned(), location.as_str().into());
    }
    if let Some(tags) = &request.tags {
        shown.insert("tags".to_owned(), tags.clone());
    }
    shown.insert("properties".to_owned(), properties);
    Value::Object(shown)
}

/// Returns the parameters as the record shows them: types, and values unless they are secure.
pub(super) fn parameters(
    evaluator: &Evaluator<'_>,
    types: &[(String, Type)],
) -> Result<Map<String, Value>, Problem> {
    let mut shown = Map::new();
    for (name, kind) in types {
        let mut one = Map::new();
        one.insert("type".to_owned(), kind.name().into());
        let env = Env::new(Phase::Variables);
        let value = || evaluator.frame.value(Kind::Parameter, name, evaluator, env);
        let (value, is_secret) = evaluator.session.watch(value);
        let is_text = value.as_ref().is_ok_and(|value| value.is_string());
        let is_named = is_text && secret::is_secret_name(name);
        if let Ok(value) = value
            && !(kind.is_secure() || is_secret || is_named)
        {
            // In the record, beside it while that is put, in the answer and in its text.
            evaluator.session.budget.keep_value(&value, 4)?;
            one.insert("value".to_owned(), (*value).clone());
        }
        shown.insert(name.clone(), Value::Object(one));
    }
    Ok(shown)
}

/// Takes out of a record what comes from secure parameters.
///
/// # Errors
///
/// There is too much to look through.
pub(super) fn hide(record: &mut Value, session: &Session) -> Result<(), Problem> {
    if let Some(Value::Object(outputs)) = record.pointer_mut("/properties/outputs") {
        for output in outputs.values_mut().filter_map(Value::as_object_mut) {
            if output.shift_remove(SECRET).is_some() {
                output.shift_remove("value");
            }
        }
    }
    if let Some(parameters) = record.pointer_mut("/properties/parameters") {
        session.without_written(parameters)?;
    }
    for part in ["/properties/outputs", "/properties/parameters", "/tags"] {
        if let Some(value) = record.pointer_mut(part) {
            session.without_secrets(value)?;
        }
    }
    Ok(())
}

/// Writes the record beside the resources.
///
/// # Errors
///
/// It cannot be kept.
pub(super) fn keep<R: Resources>(
    resources: &mut R,
    id: &ResourceId,
    record: &Value,
) -> Result<(), ArmError> {
    let mut body = record.clone();
    if let Some(fields) = body.as_object_mut() {
        for name in ["id", "name", "type"] {
            fields.shift_remove(name);
        }
    }
    resources.put(id, body)?;
    Ok(())
}

/// Returns a number that stands for the template, as decimal text as Azure has it. How Azure works it
/// out is not published.
pub(super) fn template_hash(template: &Map<String, Value>) -> String {
    let text = serde_json::to_vec(template).unwrap_or_default();
    let hash = uuid::Uuid::new_v5(&uuid::Uuid::NAMESPACE_OID, &text);
    let (high, low) = hash.as_u64_pair();
    (high ^ low).to_string()
}
