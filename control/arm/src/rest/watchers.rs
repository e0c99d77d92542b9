//! Network watchers: there is one for each region with a virtual network, as on the platform, in the
//! group `NetworkWatcherRG`, unless somebody made one of their own. It needs no resource: it
//! follows from the networks.

use super::call::{Answer, Call};
use super::page;
use super::request::Response;
use super::resources::{self, check_scope, missing, visible};
use crate::id::{ResourceId, Scope};
use serde_json::{Value, json};

/// The type.
pub(crate) const KIND: &str = "Microsoft.Network/networkWatchers";

const GROUP: &str = "NetworkWatcherRG";
const PREFIX: &str = "NetworkWatcher_";

/// Returns whether the resource is a network watcher that follows from the networks.
pub(crate) fn is_default(call: &Call<'_>, id: &ResourceId) -> bool {
    let same = |watcher: &Value| {
        let found = watcher.get("id").and_then(Value::as_str);
        found.is_some_and(|found| found.eq_ignore_ascii_case(&id.to_string()))
    };
    id.is(KIND) && defaults(call, &id.scope).iter().any(same)
}

/// Returns the watchers that follow from the networks of the scope's subscription, as far as they
/// are in the scope.
fn defaults(call: &Call<'_>, scope: &Scope) -> Vec<Value> {
    let Some(subscription) = scope.subscription() else {
        return Vec::new();
    };
    if scope
        .group()
        .is_some_and(|group| !group.eq_ignore_ascii_case(GROUP))
    {
        return Vec::new();
    }
    let all = Scope::Subscription(subscription.to_owned());
    let regions = |kind: &str| {
        let found = call.state.estate.find_all(&all, kind).into_iter();
        let mut regions: Vec<String> = found
            .map(|found| found.document.text("location").to_owned())
            .filter(|region| !region.is_empty())
            .collect();
        regions.sort();
        regions.dedup();
        regions
    };
    let made = regions(KIND);
    let mut regions = regions("Microsoft.Network/virtualNetworks");
    regions.retain(|region| !made.contains(region));
    regions
        .iter()
        .map(|region| show(subscription, region))
        .collect()
}

fn show(subscription: &str, region: &str) -> Value {
    let group = Scope::Group(subscription.to_owned(), GROUP.to_owned());
    let name = format!("{PREFIX}{region}");
    json!({
        "id": group.resource("Microsoft.Network", &[("networkWatchers", &name)]),
        "name": name,
        "type": KIND,
        "location": region,
        "etag": format!("W/\"{region}\""),
        "properties": { "provisioningState": "Succeeded", "runningOperationIds": [] },
    })
}

/// Answers a request for one.
pub(crate) fn get(call: &Call<'_>, id: &ResourceId) -> Answer {
    if let Some(value) = call.state.estate.show(id) {
        return Ok(resources::with_etag(200, &value));
    }
    let mut all = defaults(call, &id.scope).into_iter();
    let found = all.find(|watcher| {
        let found = watcher.get("name").and_then(Value::as_str);
        found.is_some_and(|found| found.eq_ignore_ascii_case(id.name()))
    });
    let value = found.ok_or_else(|| missing(call, id))?;
    Ok(Response::json(200, &value))
}

/// Answers a request to make one that is there without having been made, as `az network watcher
/// configure` sends it: it is as it was, and its group needs not be there.
pub(crate) fn keep(call: &Call<'_>, id: &ResourceId) -> Answer {
    get(call, id)
}

/// Answers a request for those of a scope.
pub(crate) fn list(call: &Call<'_>, scope: &Scope) -> Answer {
    if !call.is("GET") {
        return Err(call.no_method("GET"));
    }
    let visible = visible(call, scope, &format!("{KIND}/read"));
    let mut values = call.state.estate.list(scope, KIND);
    let defaults = defaults(call, scope);
    if defaults.is_empty() {
        check_scope(call, scope)?;
    }
    values.extend(defaults);
    values.retain(visible);
    Ok(page::list(call, values))
}
