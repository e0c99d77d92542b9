//! How much is in a JSON text, before it is read: a few bytes of it become a value of a hundred.

use crate::error::ArmError;

/// The most values that a request or a template may have in it: six times those of the biggest public
/// templates, and as many as the memory of a request has room for.
pub const MAX_VALUES: usize = 100_000;

/// Deeper than any of the parsers goes.
const MAX_DEPTH: usize = 2_000;

/// Returns the error for a text with more values than [`MAX_VALUES`].
#[must_use]
pub fn too_many(values: usize) -> ArmError {
    ArmError::new(
        413,
        "RequestContentTooLarge",
        format!(
            "The request content has {values} values and names of properties; accepted: at most {MAX_VALUES}."
        ),
    )
}

/// Returns how many values a JSON text has at most: one more than there are commas, colons and opening
/// brackets outside of its strings and comments. The text need not be valid; where it nests so deep that no
/// parser here goes on, there is no more to count.
#[must_use]
pub fn values(text: &[u8]) -> usize {
    let (mut found, mut depth) = (1_usize, 0_usize);
    let mut rest = text.iter().copied().peekable();
    while let Some(byte) = rest.next() {
        match byte {
            b'[' | b'{' if depth > MAX_DEPTH => return found,
            b'[' | b'{' => {
                depth = depth.saturating_add(1);
                found = found.saturating_add(1);
            }
            b']' | b'}' => depth = depth.saturating_sub(1),
            b',' | b':' => found = found.saturating_add(1),
            b'"' | b'\'' => {
                while let Some(inner) = rest.next() {
                    if inner == b'\\' {
                        rest.next();
                    } else if inner == byte {
                        break;
                    }
                }
            }
            b'/' if rest.peek() == Some(&b'/') => {
                rest.by_ref().find(|inner| *inner == b'\n');
            }
            b'/' if rest.next_if_eq(&b'*').is_some() => {
                let mut last = 0;
                for inner in rest.by_ref() {
                    if (last, inner) == (b'*', b'/') {
                        break;
                    }
                    last = inner;
                }
            }
            _ => {}
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::Value;

    fn count(value: &Value) -> usize {
        1 + match value {
            Value::Array(items) => items.iter().map(count).sum::<usize>(),
            Value::Object(fields) => fields.values().map(count).sum(),
            _ => 0,
        }
    }

    #[test]
    fn strings_and_comments_hold_no_values() {
        for (text, expected) in [
            ("", 1),
            ("[1,2]", 3),
            ("\"a,b:[{\\\",\"", 1),
            ("'a,\"b'", 1),
            ("// a,b\n[1]", 2),
            ("/* [, */ {\"a\": 1}", 3),
            ("/*/ , */ 1", 1),
            ("[1, /", 3),
        ] {
            assert_eq!(values(text.as_bytes()), expected, "{text}");
        }
    }

    proptest! {
        #[test]
        fn never_fewer_than_there_are(text in "[\\[\\]{},:\"a1 \\\\/*'\n]{0,24}") {
            if let Ok(value) = serde_json::from_str::<Value>(&text) {
                prop_assert!(values(text.as_bytes()) >= count(&value), "{}", text);
            }
        }
    }
}
