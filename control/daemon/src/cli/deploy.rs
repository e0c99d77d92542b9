//! `postern deploy TEMPLATE`: a template becomes resources, all of them or none.

use super::apply::read;
use super::arm::send;
use super::client::Client;
use super::output::{Format, print, print_json};
use super::{CliError, DEFAULT_API_VERSION, ReadArgs, preview};
use crate::protocol::view::DefaultsView;
use crate::protocol::{ArmAnswer, ArmRequest, Request};
use clap::{Args, ValueEnum};
use postern_arm::deploy::DeploymentRequest;
use postern_arm::error::ArmError;
use postern_arm::id::ResourceId;
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::{Path, PathBuf};

const SUBSCRIPTION_SCHEMA: &str =
    "https://schema.management.azure.com/schemas/2018-05-01/subscriptionDeploymentTemplate.json#";

/// Arguments of `deploy`.
#[derive(Debug, Args)]
pub(super) struct DeployArgs {
    /// The template, JSON; `-` reads it from the standard input
    template: PathBuf,
    /// Values of its parameters: files of parameters, or NAME=VALUE; later ones win
    #[arg(short, long, num_args = 1.., value_name = "FILE|NAME=VALUE")]
    parameters: Vec<String>,
    /// Where its resources are filed, made if it is not there [default: as the configuration file]
    #[arg(short = 'g', long, value_name = "NAME")]
    resource_group: Option<String>,
    /// The subscription [default: as the configuration file]
    #[arg(long, value_name = "ID")]
    subscription: Option<String>,
    /// Where a resource group is that has to be made [default: as the configuration file]
    #[arg(short, long, value_name = "REGION")]
    location: Option<String>,
    /// What to call the deployment [default: the template's file name]
    #[arg(short, long)]
    name: Option<String>,
    /// What becomes of other resources of the resource group
    #[arg(long, value_enum, default_value_t = Mode::Incremental)]
    mode: Mode,
    /// Tell what would change, and change nothing
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    read: ReadArgs,
}

/// What becomes of resources of the group that the template does not have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Mode {
    /// They stay
    Incremental,
    /// They are deleted
    Complete,
}

/// Deploys a template.
pub(super) fn deploy(args: &DeployArgs, client: &mut Client) -> Result<(), CliError> {
    let request = request(args)?;
    let defaults: DefaultsView = client.ask_for(&Request::Defaults)?;
    let place = Place::of(args, &request, defaults);
    if args.dry_run {
        return dry_run(&place, args, &request, client);
    }
    let made = place.make_group(client)?;
    if made && args.read.output == Format::Table {
        print(format_args!("resource group {} made\n", place.group_name()))?;
    }
    let body = place.body(args, &request).to_string();
    let answer = send(client, "PUT", &place.path(""), Vec::new(), body)?;
    match args.read.output {
        Format::Json => print_json(&answer.body)?,
        Format::Table => print(describe(&answer.body))?,
    }
    Ok(())
}

/// Returns the request that the files and words of the command line amount to.
fn request(args: &DeployArgs) -> Result<DeploymentRequest, CliError> {
    let (file, text) = read(&args.template, "the template")?;
    let refused = |file: &str, error: &ArmError| CliError::Refused(format!("{file}: {error}"));
    let mut request =
        DeploymentRequest::from_template(&text).map_err(|error| refused(&file, &error))?;
    for given in &args.parameters {
        let path = given.strip_prefix('@').unwrap_or(given);
        let is_file = given.starts_with('@') || !given.contains('=') || Path::new(given).is_file();
        if is_file {
            let (file, text) = read(Path::new(path), "the parameters")?;
            let added = request.add_file(&text);
            added.map_err(|error| refused(&file, &error))?;
        } else {
            let added = request.add_assignment(given);
            added.map_err(|error| refused("--parameters", &error))?;
        }
    }
    Ok(request)
}

/// Where a deployment goes.
#[derive(Debug)]
struct Place {
    subscription: String,
    /// None for a template of a subscription.
    group: Option<String>,
    location: String,
    name: String,
}

impl Place {
    fn of(args: &DeployArgs, request: &DeploymentRequest, defaults: DefaultsView) -> Self {
        let schema = request.template.get("$schema").and_then(Value::as_str);
        let schema = schema.unwrap_or_default().to_ascii_lowercase();
        let is_of_subscription = schema.contains("subscriptiondeploymenttemplate");
        let group = args.resource_group.clone();
        let group = group.unwrap_or(defaults.resource_group);
        let stem = args.template.file_stem().unwrap_or_default();
        let stem = stem.to_string_lossy().replace(['/', '-'], "");
        let fallback = if stem.is_empty() { "template" } else { &stem };
        Self {
            subscription: args.subscription.clone().unwrap_or(defaults.subscription),
            group: (!is_of_subscription).then_some(group),
            location: args.location.clone().unwrap_or(defaults.location),
            name: args.name.clone().unwrap_or_else(|| fallback.to_owned()),
        }
    }

    fn group_name(&self) -> &str {
        self.group.as_deref().unwrap_or_default()
    }

    fn group_path(&self) -> Option<String> {
        let subscription = &self.subscription;
        let group = self.group.as_ref()?;
        Some(format!(
            "/subscriptions/{subscription}/resourceGroups/{group}"
        ))
    }

    /// Returns the path of the deployment, or of something that it can do.
    fn path(&self, action: &str) -> String {
        let scope = self.group_path();
        let scope = scope.unwrap_or_else(|| format!("/subscriptions/{}", self.subscription));
        let name = &self.name;
        format!("{scope}/providers/Microsoft.Resources/deployments/{name}{action}")
    }

    fn body(&self, args: &DeployArgs, request: &DeploymentRequest) -> Value {
        let values = request.parameters.iter();
        let values = values.map(|(name, value)| (name.clone(), json!({ "value": value })));
        let mode = match args.mode {
            Mode::Incremental => "Incremental",
            Mode::Complete => "Complete",
        };
        let mut body = json!({ "properties": {
            "mode": mode,
            "template": request.template,
            "parameters": values.collect::<Map<_, _>>(),
        } });
        if self.group.is_none()
            && let Some(fields) = body.as_object_mut()
        {
            fields.insert("location".to_owned(), self.location.as_str().into());
        }
        body
    }

    /// Returns path and body of a what-if that makes the resource group first: in a deployment of the
    /// subscription, as the group is not there to deploy into.
    fn with_group(&self, inner: &Value) -> (String, Value) {
        let (name, location) = (self.group_name(), &self.location);
        let mut properties = inner.get("properties").cloned().unwrap_or_default();
        if let Some(fields) = properties.as_object_mut() {
            let scope = json!({ "scope": "inner" });
            fields.insert("expressionEvaluationOptions".to_owned(), scope);
            // The outer template would take such values for expressions of its own.
            if let Some(parameters) = fields.get_mut("parameters") {
                *parameters = postern_arm::export::escape(parameters);
            }
        }
        let group = json!({
            "type": "Microsoft.Resources/resourceGroups",
            "apiVersion": "2022-09-01",
            "name": name,
            "location": location,
        });
        let nested = json!({
            "type": "Microsoft.Resources/deployments",
            "apiVersion": "2022-09-01",
            "name": self.name,
            "resourceGroup": name,
            "dependsOn": [name],
            "properties": properties,
        });
        let template = json!({
            "$schema": SUBSCRIPTION_SCHEMA,
            "contentVersion": "1.0.0.0",
            "resources": [group, nested],
        });
        let outer = Self {
            group: None,
            subscription: self.subscription.clone(),
            location: location.clone(),
            name: format!("{}-outer", self.name),
        };
        let properties = json!({ "mode": "Incremental", "template": template });
        let body = json!({ "location": location, "properties": properties });
        (outer.path("/whatIf"), body)
    }

    /// Makes the resource group if it is not there; returns whether it was made.
    fn make_group(&self, client: &mut Client) -> Result<bool, CliError> {
        let Some(path) = self.group_path() else {
            return Ok(false);
        };
        if self.has_group(&path, client)? {
            return Ok(false);
        }
        let body = json!({ "location": self.location }).to_string();
        send(client, "PUT", &path, Vec::new(), body)?;
        Ok(true)
    }

    fn has_group(&self, path: &str, client: &mut Client) -> Result<bool, CliError> {
        let request = ArmRequest {
            method: "GET".to_owned(),
            target: format!("{path}?api-version={DEFAULT_API_VERSION}"),
            headers: Vec::new(),
            body: String::new(),
        };
        let answer: ArmAnswer = client.ask_for(&Request::Arm(request))?;
        Ok(answer.status == 200)
    }
}

/// Tells what a deployment would change.
fn dry_run(
    place: &Place,
    args: &DeployArgs,
    request: &DeploymentRequest,
    client: &mut Client,
) -> Result<(), CliError> {
    let inner = place.body(args, request);
    let (path, body) = match place.group_path() {
        Some(path) if !place.has_group(&path, client)? => place.with_group(&inner),
        _ => (place.path("/whatIf"), inner),
    };
    let answer = send(client, "POST", &path, Vec::new(), body.to_string())?;
    match args.read.output {
        Format::Json => print_json(&answer.body)?,
        Format::Table => print(preview::what_if(&answer.body))?,
    }
    Ok(())
}

/// Returns what became of a deployment, for people.
fn describe(deployment: &Value) -> String {
    let properties = deployment.get("properties").unwrap_or(&Value::Null);
    let list = |name: &str| properties.get(name).and_then(Value::as_array);
    let mut text = String::new();
    for resource in list("outputResources").into_iter().flatten() {
        if let Some(id) = resource.get("id").and_then(Value::as_str) {
            let _ = writeln!(text, "{id}");
        }
    }
    let idle = list("withoutEffect").into_iter().flatten();
    let kind = |id: &Value| Some(id.as_str()?.parse::<ResourceId>().ok()?.kind());
    let idle: BTreeSet<String> = idle.filter_map(kind).collect();
    let outputs = properties.get("outputs").and_then(Value::as_object);
    for (name, output) in outputs.into_iter().flatten() {
        let value = match output.get("value") {
            Some(Value::String(text)) => text.clone(),
            Some(value) => value.to_string(),
            None => continue,
        };
        let _ = writeln!(text, "output {name} = {value}");
    }
    for kind in idle {
        let _ = writeln!(text, "note: {kind} is kept and has no effect here");
    }
    let state = properties.get("provisioningState").and_then(Value::as_str);
    let name = deployment.get("name").and_then(Value::as_str);
    let (name, state) = (name.unwrap_or_default(), state.unwrap_or("unknown"));
    let _ = writeln!(text, "deployment {name}: {state}");
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deployment_tells_resources_outputs_and_what_is_idle() {
        let group = "/subscriptions/s/resourceGroups/rg/providers";
        let deployment = json!({ "name": "d", "properties": {
            "provisioningState": "Succeeded",
            "outputs": { "a": { "type": "String", "value": "x" }, "b": { "type": "Int", "value": 2 } },
            "outputResources": [
                { "id": format!("{group}/Microsoft.Network/virtualNetworks/v") },
                { "id": format!("{group}/Microsoft.Compute/virtualMachines/m") },
            ],
            "withoutEffect": [
                format!("{group}/Microsoft.Compute/virtualMachines/m"),
                format!("{group}/Microsoft.Compute/virtualMachines/n"),
            ],
        } });
        assert_eq!(
            describe(&deployment),
            format!(
                "{group}/Microsoft.Network/virtualNetworks/v\n\
                 {group}/Microsoft.Compute/virtualMachines/m\n\
                 output a = x\n\
                 output b = 2\n\
                 note: Microsoft.Compute/virtualMachines is kept and has no effect here\n\
                 deployment d: Succeeded\n"
            )
        );
    }
}
