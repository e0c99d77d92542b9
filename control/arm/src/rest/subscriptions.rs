//! Tenants, subscriptions and regions.

use super::call::{Answer, Call};
use super::config::{Subscription, Tenant};
use super::request::Response;
use super::{groups, page};
use crate::id::Scope;
use serde_json::{Value, json};

pub(crate) const KIND: &str = "Microsoft.Resources/subscriptions";
/// What lists of all resources are read by.
pub(crate) const RESOURCES: &str = "Microsoft.Resources/subscriptions/resources";

/// Answers a request outside of subscriptions.
pub(crate) fn tenant_level(call: &Call<'_>, words: &[String]) -> Answer {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words.as_slice() {
        [word] if word.eq_ignore_ascii_case("tenants") => tenants(call),
        [word] if word.eq_ignore_ascii_case("subscriptions") => list(call),
        _ => Err(call.no_such_path()),
    }
}

fn tenants(call: &Call<'_>) -> Answer {
    if !call.is("GET") {
        return Err(call.no_method("GET"));
    }
    let mine = |id: &str| {
        call.caller
            .tenant()
            .is_none_or(|own| own.eq_ignore_ascii_case(id))
    };
    let tenants = call
        .state
        .config
        .tenants
        .iter()
        .filter(|tenant| mine(&tenant.id));
    Ok(page::list(call, tenants.map(show_tenant).collect()))
}

/// Returns a tenant as ARM lists it.
pub(crate) fn show_tenant(tenant: &Tenant) -> Value {
    json!({
        "id": format!("/tenants/{}", tenant.id),
        "tenantId": tenant.id,
        "displayName": tenant.name,
        "defaultDomain": tenant.name,
        "tenantCategory": "Home",
        "tenantType": "AAD",
    })
}

fn list(call: &Call<'_>) -> Answer {
    if !call.is("GET") {
        return Err(call.no_method("GET"));
    }
    let all = call.state.subscriptions.iter().filter(|subscription| {
        let scope = Scope::Subscription(subscription.id.clone());
        call.caller.is_known(&call.state, &scope)
    });
    Ok(page::list(call, all.map(show).collect()))
}

/// Returns a subscription as ARM lists it.
pub(crate) fn show(subscription: &Subscription) -> Value {
    json!({
        "id": format!("/subscriptions/{}", subscription.id),
        "subscriptionId": subscription.id,
        "displayName": subscription.name,
        "state": "Enabled",
        "tenantId": subscription.tenant,
        "authorizationSource": "RoleBased",
        "subscriptionPolicies": {
            "locationPlacementId": "Public_2014-09-01",
            "quotaId": "PayAsYouGo_2014-09-01",
            "spendingLimit": "Off",
        },
        "managedByTenants": [],
    })
}

/// Answers a request for a subscription (no words) or something of it.
pub(crate) fn subscription(call: &Call<'_>, scope: &Scope, words: &[String]) -> Answer {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let is = |word: &str, known: &str| word.eq_ignore_ascii_case(known);
    match words.as_slice() {
        [] => {
            let found = scope
                .subscription()
                .and_then(|id| call.state.subscription(id));
            let found = found.ok_or_else(|| call.no_such_path())?;
            Ok(Response::json(200, &show(found)))
        }
        [word] if is(word, "locations") => Ok(page::list(call, locations(call, scope))),
        [word] if is(word, "resourceGroups") => groups::list(call, scope),
        [word] if is(word, "resources") => groups::resources(call, scope),
        _ => Err(call.no_such_path()),
    }
}

fn locations(call: &Call<'_>, scope: &Scope) -> Vec<Value> {
    let show = |name: String| {
        let title = display_name(&name);
        json!({
            "id": format!("{scope}/locations/{name}"),
            "name": name,
            "type": "Region",
            "displayName": title,
            "regionalDisplayName": title,
            "metadata": { "regionType": "Physical", "regionCategory": "Recommended" },
        })
    };
    call.api
        .platform
        .locations()
        .into_iter()
        .map(show)
        .collect()
}

/// The words that names of regions are made of; of two that fit, the longer one stands first.
const WORDS: [&str; 37] = [
    "australia",
    "southeast",
    "northeast",
    "southwest",
    "northwest",
    "switzerland",
    "indonesia",
    "germany",
    "malaysia",
    "zealand",
    "central",
    "norway",
    "sweden",
    "israel",
    "poland",
    "mexico",
    "france",
    "canada",
    "brazil",
    "austria",
    "europe",
    "africa",
    "japan",
    "korea",
    "india",
    "china",
    "qatar",
    "italy",
    "spain",
    "chile",
    "north",
    "south",
    "east",
    "west",
    "asia",
    "new",
    "gov",
];

/// Returns how people call a region: `koreacentral` is `Korea Central`.
pub(crate) fn display_name(name: &str) -> String {
    let mut parts: Vec<String> = Vec::new();
    let mut rest = name;
    while !rest.is_empty() {
        let known = ["us", "uk", "uae", "dod"]
            .into_iter()
            .find(|word| rest.starts_with(word));
        let word = WORDS.into_iter().find(|word| rest.starts_with(word));
        let (part, behind) = match (word, known) {
            (Some(word), _) => (title(word), rest.get(word.len()..)),
            (None, Some(word)) => (word.to_ascii_uppercase(), rest.get(word.len()..)),
            // A number, or a name from elsewhere.
            (None, None) => (title(rest), None),
        };
        parts.push(part);
        rest = behind.unwrap_or_default();
    }
    parts.join(" ")
}

fn title(word: &str) -> String {
    let mut letters = word.chars();
    let first = letters.next().map(|letter| letter.to_ascii_uppercase());
    first.into_iter().chain(letters).collect()
}

#[cfg(test)]
mod tests {
    use super::display_name;

    #[test]
    fn regions_have_names_for_people() {
        for (name, title) in [
            ("koreacentral", "Korea Central"),
            ("eastus2", "East US 2"),
            ("uksouth", "UK South"),
            ("southeastasia", "Southeast Asia"),
            ("switzerlandnorth", "Switzerland North"),
            ("northcentralus", "North Central US"),
            ("uaenorth", "UAE North"),
            ("newzealandnorth", "New Zealand North"),
            ("moon", "Moon"),
            ("", ""),
        ] {
            assert_eq!(display_name(name), title);
        }
    }
}
