//! What storage accounts can be asked for beside themselves: whether a name is free, and their keys.

use super::call::{Answer, Call};
use super::request::Response;
use super::resources::missing;
use super::state::State;
use crate::error::ArmError;
use crate::estate::Estate;
use crate::id::ResourceId;
use serde_json::{Map, Value, json};

/// The type.
pub(crate) const KIND: &str = "Microsoft.Storage/storageAccounts";

/// Answers whether a name is free: names of accounts are host names, so all subscriptions share them.
pub(crate) fn check_name(call: &Call<'_>) -> Answer {
    if !call.is("POST") {
        return Err(call.no_method("POST"));
    }
    let body = call.object()?;
    let name = body.get("name").and_then(Value::as_str).ok_or_else(|| {
        let message = "The request content was invalid: `name` is missing; accepted: a text.";
        ArmError::bad_request("InvalidRequestContent", message)
    })?;
    let is_name = (3..=24).contains(&name.len())
        && name
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
    let taken = || {
        let mut all = call.state.estate.documents();
        all.any(|known| known.id.is(KIND) && known.id.name().eq_ignore_ascii_case(name))
    };
    let answer = if !is_name {
        json!({
            "nameAvailable": false,
            "reason": "AccountNameInvalid",
            "message": format!(
                "{name} is not a valid storage account name. Storage account name must be between \
                 3 and 24 characters in length and use numbers and lower-case letters only."
            ),
        })
    } else if taken() {
        json!({
            "nameAvailable": false,
            "reason": "AlreadyExists",
            "message": format!("The storage account named {name} is already taken."),
        })
    } else {
        json!({ "nameAvailable": true })
    };
    Ok(Response::json(200, &answer))
}

/// Answers a POST to an account.
pub(crate) fn action(call: &Call<'_>, id: &ResourceId, word: &str) -> Answer {
    let is = |known: &str| word.eq_ignore_ascii_case(known);
    if !is("listKeys") && !is("regenerateKey") {
        return super::resources::below(call, id, word);
    }
    if call.state.estate.show(id).is_none() {
        return Err(missing(call, id));
    }
    if is("listKeys") {
        return Ok(Response::json(200, &keys(&call.state, id)));
    }
    let body = call.object()?;
    let name = body
        .get("keyName")
        .and_then(Value::as_str)
        .unwrap_or_default();
    let name = NAMES
        .into_iter()
        .find(|known| known.eq_ignore_ascii_case(name));
    let Some(name) = name else {
        let message = format!(
            "`keyName` is missing or unknown; accepted: {}.",
            NAMES.join(", ")
        );
        return Err(ArmError::bad_request("InvalidRequestContent", message).at("keyName"));
    };
    call.change(|stage| {
        let at = kept_at(id, name);
        let count = generation(stage.estate(), &at).saturating_add(1);
        let kept = Map::from_iter([(GENERATION.to_owned(), Value::from(count))]);
        stage.bind(&at, Some(kept));
        Ok(())
    })?;
    Ok(Response::json(200, &keys(&call.api.state(), id)))
}

const NAMES: [&str; 2] = ["key1", "key2"];

const GENERATION: &str = "generation";

/// Returns the ID beside which it is kept how often a key was made anew; no resource has it.
fn kept_at(id: &ResourceId, name: &str) -> ResourceId {
    id.child("keys", name)
}

fn generation(estate: &Estate, at: &ResourceId) -> u64 {
    let kept = estate.binding(&at.key());
    let count = kept.and_then(|kept| kept.get(GENERATION)?.as_u64());
    count.unwrap_or_default()
}

/// Returns the keys of an account.
///
/// They come from the host's own key, so that there is nothing to keep but how often they were made
/// anew: an account has the same keys for as long as the host keeps its own, and one of the same name
/// that is made again has others.
pub(crate) fn keys(state: &State, id: &ResourceId) -> Value {
    let made = state
        .estate
        .document(id)
        .map_or(0, |document| document.created);
    let keys = NAMES.map(|name| {
        let count = generation(&state.estate, &kept_at(id, name));
        let text = format!("{}/{made}/{name}/{count}", id.key());
        let value = state.config.key.derive(&text);
        json!({ "keyName": name, "value": value, "permissions": "FULL" })
    });
    json!({ "keys": keys })
}
