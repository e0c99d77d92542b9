//! Tags: texts by names, and Azure's limits of both.

use crate::error::ArmError;
use serde_json::{Map, Value};

/// The most tags of one resource or resource group.
const MOST: usize = 50;
/// The most characters of a name.
const LONGEST_NAME: usize = 512;
/// The most characters of a value.
const LONGEST_VALUE: usize = 256;
const RESERVED: &str = "<>%&\\?/";

/// Checks the tags of a body; `old` is what there was, whose tags may stay as they are.
///
/// # Errors
///
/// They are not texts by names, or there are too many, or they are too long.
pub(crate) fn check_tags(
    body: &Map<String, Value>,
    old: Option<&Map<String, Value>>,
) -> Result<(), ArmError> {
    let is_tags = |(name, _): &(&String, &Value)| name.eq_ignore_ascii_case("tags");
    let kept = old.and_then(|old| old.get("tags"));
    let mut all = body.iter().filter(is_tags).map(|(_, tags)| tags);
    all.try_for_each(|tags| match Some(tags) == kept {
        true => Ok(()),
        false => read_tags(tags).map(|_| ()),
    })
}

/// Returns tags that can stand; `null` is none. The codes are from memory, but for
/// `InvalidTagNameCharacters`.
///
/// # Errors
///
/// As [`check_tags`].
pub(crate) fn read_tags(tags: &Value) -> Result<Map<String, Value>, ArmError> {
    let tags = match tags {
        Value::Null => return Ok(Map::new()),
        Value::Object(tags) => tags,
        other => {
            let message = format!(
                "The request content was invalid: `tags` is {}; accepted: an object of texts.",
                kind_of(other)
            );
            return Err(ArmError::bad_request("InvalidRequestContent", message).at("tags"));
        }
    };
    if tags.len() > MOST {
        let message = format!(
            "There are {} tags; accepted: {MOST} of one resource or resource group.",
            tags.len()
        );
        return Err(ArmError::bad_request("TooManyTags", message).at("tags"));
    }
    for (name, value) in tags {
        check_tag(name, value).map_err(|error| error.at(format!("tags.{name}")))?;
    }
    Ok(tags.clone())
}

fn check_tag(name: &str, value: &Value) -> Result<(), ArmError> {
    let refuse = |code, message| Err(ArmError::bad_request(code, message));
    let shown: String = name.chars().take(80).collect();
    let Some(text) = value.as_str() else {
        let message = format!(
            "The request content was invalid: the tag '{shown}' is {}; accepted: a text, such as {}.",
            kind_of(value),
            example(value)
        );
        return refuse("InvalidRequestContent", message);
    };
    let length = name.chars().count();
    if name.trim().is_empty() || length > LONGEST_NAME {
        let message = format!(
            "The tag name '{shown}' has a length of {length}; accepted: 1 to {LONGEST_NAME} characters, not \
             all of them spaces."
        );
        return refuse("InvalidTagNameLength", message);
    }
    let is_reserved = |letter: char| RESERVED.contains(letter) || letter.is_control();
    if name.contains(is_reserved) {
        let message = format!(
            "The tag name '{}' has reserved characters; accepted: none of '<,>,%,&,\\,?,/' and no \
             control characters.",
            shown.escape_debug()
        );
        return refuse("InvalidTagNameCharacters", message);
    }
    let length = text.chars().count();
    if length > LONGEST_VALUE {
        let message = format!(
            "The value of the tag '{shown}' has a length of {length}; accepted: up to {LONGEST_VALUE} \
             characters."
        );
        return refuse("InvalidTagValueLength", message);
    }
    Ok(())
}

fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

/// Returns what was probably meant.
fn example(value: &Value) -> String {
    match value {
        Value::Bool(_) | Value::Number(_) => format!("\"{value}\""),
        _ => "\"text\"".to_owned(),
    }
}
