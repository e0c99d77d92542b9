//! A configuration file as a change of the estate.

use super::export::ANYWHERE;
use postern_arm::document::Origin;
use postern_arm::error::ArmError;
use postern_arm::estate::{Conditions, Stage};
use postern_arm::id::{ResourceId, Scope};
use postern_network::spelling::Raised;
use serde_json::{Map, Value, json};
use std::collections::{HashMap, HashSet};

/// Puts what a file declares, as it declares it, where `speaks` says that it speaks of a resource. What
/// an earlier file declared and this one does not goes; what came by requests and deployments stays.
///
/// # Errors
///
/// A resource cannot be as the file has it.
pub(super) fn declare(
    stage: &mut Stage,
    raised: Raised,
    speaks: impl Fn(&ResourceId) -> bool,
) -> Result<(), ArmError> {
    let Raised {
        documents,
        bindings,
        host,
    } = raised;
    let mut bindings: HashMap<String, (ResourceId, Map<String, Value>)> = bindings
        .into_iter()
        .map(|(id, binding)| (id.key(), (id, binding)))
        .collect();
    let declared: HashSet<String> = documents.iter().map(|(id, _)| id.key()).collect();
    let gone: Vec<ResourceId> = stage
        .estate()
        .documents()
        .filter(|document| document.origin == Origin::File)
        .filter(|document| !declared.contains(&document.id.key()))
        .map(|document| document.id.clone())
        .collect();
    for id in &gone {
        stage.remove(id)?;
    }
    // Bindings are the file's alone.
    let unbound: Vec<ResourceId> = stage
        .estate()
        .bindings()
        .filter(|(key, _)| !bindings.contains_key(*key))
        .filter_map(|(key, _)| key.parse().ok())
        .collect();
    for id in &unbound {
        stage.bind(id, None);
    }
    // Before the resources: an address that is bound is one that is not given to another.
    for (id, binding) in bindings.drain().map(|(_, bound)| bound) {
        stage.bind(&id, Some(binding));
    }
    for (id, mut body) in documents.into_iter().filter(|(id, _)| speaks(id)) {
        if !body.contains_key("location") {
            let region = region(stage, &id, &body);
            body.insert("location".to_owned(), region.into());
        }
        group(stage, &id, &body)?;
        stage.put(&id, Value::Object(body), &Conditions::none(), Origin::File)?;
    }
    stage.set_host(host);
    Ok(())
}

/// Makes the resource group of a resource, if it is not there.
fn group(stage: &mut Stage, id: &ResourceId, body: &Map<String, Value>) -> Result<(), ArmError> {
    let (Some(subscription), Some(group)) = (id.scope.subscription(), id.scope.group()) else {
        return Ok(());
    };
    let scope = Scope::Group(subscription.to_owned(), group.to_owned());
    if stage.estate().group(&scope).is_none() {
        let location = body.get("location").and_then(Value::as_str);
        stage.put_group(&scope, json!({ "location": location.unwrap_or(ANYWHERE) }))?;
    }
    Ok(())
}

/// Returns where a resource is for which the file names no region: where its network is or its group.
fn region(stage: &Stage, id: &ResourceId, body: &Map<String, Value>) -> String {
    let subnet = body.get("properties");
    let subnet = subnet.and_then(|properties| {
        let subnet = properties.pointer("/ipConfigurations/0/properties/subnet/id")?;
        subnet.as_str()?.parse::<ResourceId>().ok()
    });
    let network = subnet.and_then(|subnet| stage.estate().document(&subnet.root()));
    let group = stage.estate().group(&id.scope);
    let network = network.map(|network| network.text("location"));
    let group = || group.and_then(|group| group.body.get("location")?.as_str());
    network.or_else(group).unwrap_or(ANYWHERE).to_owned()
}
