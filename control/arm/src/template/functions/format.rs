//! `format('{0}-{1:D3}', ...)`: .NET's composite format as far as templates use it.

use super::super::problem::Problem;
use super::{ANY, Call, Entry, whole};
use serde_json::Value;

pub(super) const ENTRIES: &[Entry] = &[Entry {
    name: "format",
    least: 1,
    most: ANY,
    run: format,
}];

fn format(call: &Call<'_>) -> Result<Value, Problem> {
    let mut made = String::new();
    let mut rest = call.text(0)?;
    while let Some(at) = rest.find(['{', '}']) {
        let (before, found) = rest.split_at_checked(at).unwrap_or((rest, ""));
        made.push_str(before);
        if let Some(after) = found.strip_prefix("{{") {
            made.push('{');
            rest = after;
        } else if let Some(after) = found.strip_prefix("}}") {
            made.push('}');
            rest = after;
        } else {
            let item = found
                .strip_prefix('{')
                .and_then(|item| item.split_once('}'));
            let Some((item, after)) = item else {
                return Err(call.bad(
                    "a brace of the format string has no partner; '{{' and '}}' stand for braces",
                ));
            };
            let one = one(call, item)?;
            call.budget().step()?;
            call.budget().read(one.len())?;
            made.push_str(&one);
            rest = after;
        }
        call.admit(made.len())?;
    }
    made.push_str(rest);
    Ok(made.into())
}

/// Works out what is between two braces: `index[,width][:format]`.
fn one(call: &Call<'_>, item: &str) -> Result<String, Problem> {
    let (head, how) = match item.split_once(':') {
        Some((head, how)) => (head, Some(how)),
        None => (item, None),
    };
    let (index, width) = match head.split_once(',') {
        Some((index, width)) => (index, Some(width)),
        None => (head, None),
    };
    let value = index
        .trim()
        .parse::<usize>()
        .ok()
        .and_then(|index| call.given(index.checked_add(1)?))
        .ok_or_else(|| {
            call.bad(format!(
                "'{{{item}}}' must have an index from 0 and less than the {} argument(s) after the format string",
                call.len().saturating_sub(1)
            ))
        })?;
    let made = match how {
        None | Some("") => call.shown(value)?,
        Some(how) => number(value, how).ok_or_else(|| {
            call.bad(format!(
                "'{{{item}}}' has a format that is not supported; accepted: D, X, x, N0 or F0 with a number of digits, of an integer"
            ))
        })?,
    };
    let Some(width) = width else {
        return Ok(made);
    };
    let width: i32 = width
        .trim()
        .parse()
        .map_err(|_| call.bad(format!("'{{{item}}}' has a width that is no integer")))?;
    let columns = usize::try_from(width.unsigned_abs()).unwrap_or(usize::MAX);
    call.admit(columns)?;
    Ok(match width < 0 {
        true => format!("{made:<columns$}"),
        false => format!("{made:>columns$}"),
    })
}

/// Formats an integer; `None`: not in this way.
fn number(value: &Value, how: &str) -> Option<String> {
    const MOST: usize = 99;
    let number = whole(value)?;
    let mut letters = how.chars();
    let letter = letters.next()?;
    let digits = match letters.as_str() {
        "" => None,
        digits => Some(
            digits
                .parse::<usize>()
                .ok()
                .filter(|digits| *digits <= MOST)?,
        ),
    };
    let least = digits.unwrap_or_default();
    let sign = match number < 0 {
        true => "-",
        false => "",
    };
    let size = number.unsigned_abs();
    match letter {
        'D' | 'd' => Some(format!("{sign}{size:0least$}")),
        'X' => Some(format!("{number:0least$X}")),
        'x' => Some(format!("{number:0least$x}")),
        'F' | 'f' if digits == Some(0) => Some(format!("{sign}{size}")),
        'N' | 'n' if digits == Some(0) => {
            let plain = size.to_string();
            let mut grouped = String::from(sign);
            for (at, digit) in plain.chars().enumerate() {
                if at > 0 && plain.len().saturating_sub(at) % 3 == 0 {
                    grouped.push(',');
                }
                grouped.push(digit);
            }
            Some(grouped)
        }
        _ => None,
    }
}
