//! Base64, JSON, and the parts of URIs.

use super::super::budget::VALUE_BYTES;
use super::super::problem::Problem;
use super::{Call, Entry};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

type Answer = Result<Value, Problem>;

pub(super) const ENTRIES: &[Entry] = &[
    Entry {
        name: "base64",
        least: 1,
        most: 1,
        run: base64,
    },
    Entry {
        name: "base64ToJson",
        least: 1,
        most: 1,
        run: base64_to_json,
    },
    Entry {
        name: "base64ToString",
        least: 1,
        most: 1,
        run: base64_to_string,
    },
    Entry {
        name: "dataUri",
        least: 1,
        most: 1,
        run: data_uri,
    },
    Entry {
        name: "dataUriToString",
        least: 1,
        most: 1,
        run: data_uri_to_string,
    },
    Entry {
        name: "json",
        least: 1,
        most: 1,
        run: json,
    },
    Entry {
        name: "uri",
        least: 2,
        most: 2,
        run: uri,
    },
    Entry {
        name: "uriComponent",
        least: 1,
        most: 1,
        run: uri_component,
    },
    Entry {
        name: "uriComponentToString",
        least: 1,
        most: 1,
        run: uri_component_to_string,
    },
];

fn base64(call: &Call<'_>) -> Answer {
    Ok(STANDARD.encode(call.text(0)?).into())
}

fn decode(call: &Call<'_>, text: &str) -> Result<String, Problem> {
    let bytes = STANDARD.decode(text).ok();
    bytes
        .and_then(|bytes| String::from_utf8(bytes).ok())
        .ok_or_else(|| call.bad("the text is not base64 of a UTF-8 text"))
}

fn base64_to_string(call: &Call<'_>) -> Answer {
    Ok(decode(call, call.text(0)?)?.into())
}

fn read_json(call: &Call<'_>, text: &str) -> Answer {
    // A few characters become a value of a hundred bytes.
    let values = crate::json::values(text.as_bytes());
    call.admit(
        values
            .saturating_mul(VALUE_BYTES)
            .saturating_add(text.len()),
    )?;
    let value: Value = serde_json::from_str(text)
        .map_err(|error| call.bad(format!("the text is not JSON: {error}")))?;
    // What walks values recurses: nothing deeper than a template gets in here.
    match super::super::text::depth_over(&value, super::super::text::MAX_DEPTH) {
        true => Err(Problem::Limit("a JSON text nests deeper than 100 levels")),
        false => Ok(value),
    }
}

fn base64_to_json(call: &Call<'_>) -> Answer {
    read_json(call, &decode(call, call.text(0)?)?)
}

fn json(call: &Call<'_>) -> Answer {
    read_json(call, call.text(0)?)
}

fn data_uri(call: &Call<'_>) -> Answer {
    let encoded = STANDARD.encode(call.text(0)?);
    Ok(format!("data:text/plain;charset=utf8;base64,{encoded}").into())
}

fn data_uri_to_string(call: &Call<'_>) -> Answer {
    let text = call.text(0)?;
    let (kind, data) = text
        .strip_prefix("data:")
        .and_then(|rest| rest.split_once(','))
        .ok_or_else(|| call.bad("the text is no data URI"))?;
    match kind.ends_with(";base64") {
        true => Ok(decode(call, data)?.into()),
        false => Ok(unescape(call, data)?.into()),
    }
}

/// `uri(base, relative)`: the relative part in the place of what is after the last slash of the base.
fn uri(call: &Call<'_>) -> Answer {
    let (base, relative) = (call.text(0)?, call.text(1)?);
    let Some((scheme, rest)) = base.split_once("://") else {
        return Err(call.bad("the base is no absolute URI"));
    };
    let relative = relative.strip_prefix('/').unwrap_or(relative);
    let folder = match rest.rfind('/') {
        Some(at) => rest.get(..at).unwrap_or(rest),
        None => rest,
    };
    Ok(format!("{scheme}://{folder}/{relative}").into())
}

fn uri_component(call: &Call<'_>) -> Answer {
    let text = call.text(0)?;
    call.admit(text.len().saturating_mul(3))?;
    call.budget().read(text.len().saturating_mul(40))?;
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                escaped.push(char::from(byte));
            }
            byte => escaped.push_str(&format!("%{byte:02X}")),
        }
    }
    Ok(escaped.into())
}

fn unescape(call: &Call<'_>, text: &str) -> Result<String, Problem> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let code = match (first, after) {
            (b'%', [high, low, ..]) => std::str::from_utf8(&[*high, *low])
                .ok()
                .filter(|pair| pair.bytes().all(|digit| digit.is_ascii_hexdigit()))
                .and_then(|pair| u8::from_str_radix(pair, 16).ok()),
            _ => None,
        };
        bytes.push(code.unwrap_or(*first));
        rest = match code {
            Some(_) => after.get(2..).unwrap_or_default(),
            None => after,
        };
    }
    String::from_utf8(bytes).map_err(|_| call.bad("the escaped text is no UTF-8"))
}

fn uri_component_to_string(call: &Call<'_>) -> Answer {
    Ok(unescape(call, call.text(0)?)?.into())
}
