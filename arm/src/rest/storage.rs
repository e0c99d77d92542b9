//! What storage accounts can be asked for beside themselves: whether a name is free, and their keys.

use super::call::{Answer, Call};
use super::request::Response;
use super::resources::{missing, scope_of};
use crate::error::ArmError;
use crate::id::{ResourceId, Scope};
use serde_json::{Value, json};

/// The type.
pub(crate) const KIND: &str = "Microsoft.Storage/storageAccounts";

/// Answers whether a name is free: names of accounts are host names, so all subscriptions share them.
pub(crate) fn check_name(call: &Call<'_>, scope: &Scope) -> Answer {
    if !call.is("POST") {
        return Err(call.no_method("POST"));
    }
    call.authorise("Microsoft.Storage/checknameavailability/read", scope)?;
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
    if !word.eq_ignore_ascii_case("listKeys") {
        return super::resources::below(call, id, word);
    }
    call.authorise(&format!("{KIND}/listkeys/action"), &scope_of(id))?;
    if call.state.estate.show(id).is_none() {
        return Err(missing(call, id));
    }
    let keys = ["key1", "key2"].map(|name| {
        // From the host's own key, so that there is nothing to keep: the same account has the same
        // keys for as long as the host keeps its key.
        let value = call
            .state
            .config
            .key
            .derive(&format!("{}/{name}", id.key()));
        json!({ "keyName": name, "value": value, "permissions": "FULL" })
    });
    Ok(Response::json(200, &json!({ "keys": keys })))
}
