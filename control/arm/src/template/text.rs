//! Template files and request bodies as people and clients write them: JSON with comments, trailing
//! commas, line breaks in strings and unquoted names of properties.
//!
//! `az` sends a file as it is, behind an unquoted `template` (reference arm-clients, section 3.6).

use crate::error::ArmError;
use crate::json;
use jsonc_parser::{ParseOptions, errors::ParseError, parse_to_serde_value};
use serde_json::Value;

/// The most bytes a template or a request body may have: ARM's own bound of a template is 4 MB.
pub const MAX_TEXT: usize = 4 * 1024 * 1024;

/// How deep objects and arrays may be in each other. The parser's own bound is higher, but what walks
/// the values after it recurses too.
pub const MAX_DEPTH: usize = 100;

/// Reads a text; `what` says in an error what it is, such as `template`.
///
/// # Errors
///
/// It is too long, too deep, or not even lenient JSON; the error says at which line and column.
pub fn parse(text: &str, what: &str) -> Result<Value, ArmError> {
    if text.len() > MAX_TEXT {
        return Err(ArmError::new(
            413,
            "RequestContentTooLarge",
            format!(
                "The {what} has {} bytes; accepted: at most {MAX_TEXT}.",
                text.len()
            ),
        ));
    }
    let values = json::values(text.as_bytes());
    if values > json::MAX_VALUES {
        return Err(json::too_many(values).at(what));
    }
    let options = ParseOptions {
        allow_comments: true,
        allow_loose_object_property_names: true,
        allow_trailing_commas: true,
        allow_missing_commas: false,
        // Some of the quickstarts have them, and the platform's parser takes them.
        allow_single_quoted_strings: true,
        allow_hexadecimal_numbers: false,
        allow_unary_plus_numbers: false,
        allow_bare_decimal_point_numbers: false,
        allow_non_finite_numbers: false,
        allow_extended_string_escapes: false,
    };
    // Files of Windows begin with a byte order mark, and in a body of `az` it is in the middle.
    let clean;
    let text = if text.contains('\u{feff}') {
        clean = text.replace('\u{feff}', " ");
        &clean
    } else {
        text
    };
    let value: Value = parse_to_serde_value(text, &options).map_err(|error| bad(&error, what))?;
    if value.is_null() {
        return Err(invalid(format!("The {what} is empty.")));
    }
    if depth_over(&value, MAX_DEPTH) {
        return Err(invalid(format!(
            "The {what} nests objects and arrays deeper than {MAX_DEPTH} levels."
        )));
    }
    Ok(value)
}

/// Returns whether the value nests deeper than `limit`.
pub fn depth_over(value: &Value, limit: usize) -> bool {
    let Some(rest) = limit.checked_sub(1) else {
        return matches!(value, Value::Array(_) | Value::Object(_));
    };
    match value {
        Value::Array(items) => items.iter().any(|item| depth_over(item, rest)),
        Value::Object(fields) => fields.values().any(|field| depth_over(field, rest)),
        _ => false,
    }
}

fn bad(error: &ParseError, what: &str) -> ArmError {
    // The parser's own words end with "on line L column C".
    invalid(format!("The {what} is not valid JSON: {error}."))
}

fn invalid(message: String) -> ArmError {
    // Code from memory: what ARM answers to a body that it cannot read.
    ArmError::bad_request("InvalidRequestContent", message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_body_of_az_is_read() {
        let body = "{\"properties\": {\"parameters\": {\"a\": {\"value\": 1}}, \"mode\": \"Incremental\", \
                    template:\u{feff}{ // the file\n \"x\": \"line\none\", /* and */ \"y\": [1, 2,], }}}";
        assert_eq!(
            parse(body, "request body").unwrap(),
            json!({"properties": {"parameters": {"a": {"value": 1}}, "mode": "Incremental",
                "template": {"x": "line\none", "y": [1, 2]}}})
        );
    }

    #[test]
    fn an_error_says_where() {
        for (text, place) in [
            ("{\"a\": 1 \"b\": 2}", "line 1 column"),
            ("{\n  \"a\": ]\n}", "line 2 column 8"),
            ("{\"a\": \"\\q\"}", "line 1 column"),
            ("{\"a\": ", "line 1 column"),
            ("{} {}", "line 1 column 4"),
            ("{\"a\": 1e999}", "line 1 column"),
        ] {
            let error = parse(text, "template").unwrap_err();
            assert_eq!(error.code, "InvalidRequestContent");
            assert!(error.message.contains(place), "{text}: {error}");
        }
        assert!(parse("", "template").is_err());
        assert!(parse(" // nothing", "template").is_err());
    }

    #[test]
    fn bombs_are_refused() {
        let deep = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
        assert!(parse(&deep(MAX_DEPTH), "template").is_ok());
        assert!(parse(&deep(MAX_DEPTH + 1), "template").is_err());
        assert!(parse(&deep(100_000), "template").is_err());
        assert!(parse(&"{\"a\":".repeat(100_000), "template").is_err());
        let long = format!("\"{}\"", "x".repeat(MAX_TEXT));
        assert_eq!(parse(&long, "template").unwrap_err().status, 413);
    }
}
