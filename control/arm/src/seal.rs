//! What is known of a secret once it is gone: a digest under a key of this host.
//!
//! A digest tells whether a secret that is given again is the same one, to who has the key; to who has
//! not, it tells nothing, and nothing can be tried against it. It names its key, so that one that came
//! from another host is told from a wrong secret.

use crate::principals::random;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::hmac;
use serde_json::Value;
use std::fmt;
use std::sync::LazyLock;

/// What every digest begins with.
const FORM: &str = "hmac-sha256";

/// The key of digests.
#[derive(Clone)]
pub struct Seal {
    key: hmac::Key,
    name: String,
}

impl fmt::Debug for Seal {
    /// Leaves the key out: what is logged is read by others.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Seal").field(&self.name).finish()
    }
}

impl Default for Seal {
    /// Returns a key that lives as long as the process, for who keeps nothing.
    fn default() -> Self {
        static OWN: LazyLock<[u8; 32]> = LazyLock::new(random);
        Self::new(&*OWN)
    }
}

/// Why a text is no digest of this host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoDigest {
    /// It has not the form of one.
    Malformed,
    /// It is of another key.
    Foreign,
}

impl Seal {
    /// Returns the key of these bytes, which nobody else may know.
    #[must_use]
    pub fn new(bytes: &[u8]) -> Self {
        let key = hmac::Key::new(hmac::HMAC_SHA256, bytes);
        let tag = hmac::sign(&key, b"the name of this key");
        let name = tag
            .as_ref()
            .iter()
            .take(4)
            .map(|byte| format!("{byte:02x}"));
        let name = name.collect();
        Self { key, name }
    }

    /// Returns the digest of a text. Those of other purposes are others, so that nobody sees that one
    /// secret is used for two.
    #[must_use]
    pub fn digest(&self, purpose: &str, text: &str) -> String {
        let tag = hmac::sign(&self.key, message(purpose, text).as_bytes());
        format!("{FORM}:{}:{}", self.name, STANDARD.encode(tag))
    }

    /// Returns the digest of a value, whose fields may be in any order.
    #[must_use]
    pub fn digest_value(&self, purpose: &str, value: &Value) -> String {
        let mut text = String::new();
        canonical(value, &mut text);
        self.digest(purpose, &text)
    }

    /// Returns the tag in a digest of this key.
    ///
    /// # Errors
    ///
    /// It is none, or of another key.
    pub fn tag(&self, digest: &str) -> Result<Vec<u8>, NoDigest> {
        let mut parts = digest.split(':');
        let (form, name, tag) = (parts.next(), parts.next(), parts.next());
        let tag = tag.and_then(|tag| STANDARD.decode(tag).ok());
        match (form, name, tag, parts.next()) {
            (Some(FORM), Some(name), Some(tag), None) if tag.len() == 32 => {
                if name == self.name {
                    Ok(tag)
                } else {
                    Err(NoDigest::Foreign)
                }
            }
            _ => Err(NoDigest::Malformed),
        }
    }

    /// Returns whether a tag is that of a text, in a time that does not tell how much of it is right.
    #[must_use]
    pub fn is(&self, purpose: &str, text: &str, tag: &[u8]) -> bool {
        hmac::verify(&self.key, message(purpose, text).as_bytes(), tag).is_ok()
    }
}

/// Returns whether a text has the form of a digest, whatever its key.
#[must_use]
pub fn is_digest(text: &str) -> bool {
    Seal::default().tag(text) != Err(NoDigest::Malformed)
}

fn message(purpose: &str, text: &str) -> String {
    format!("{purpose}\0{text}")
}

/// Writes a value so that equal ones are written alike.
fn canonical(value: &Value, into: &mut String) {
    match value {
        Value::Object(fields) => {
            let mut names: Vec<_> = fields.iter().collect();
            names.sort_by_key(|(name, _)| *name);
            into.push('{');
            for (name, field) in names {
                into.push_str(&Value::from(name.as_str()).to_string());
                into.push(':');
                canonical(field, into);
                into.push(',');
            }
            into.push('}');
        }
        Value::Array(items) => {
            into.push('[');
            for item in items {
                canonical(item, into);
                into.push(',');
            }
            into.push(']');
        }
        other => into.push_str(&other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_digest_is_of_one_text_one_purpose_and_one_key() {
        let (one, other) = (Seal::new(b"one"), Seal::new(b"other"));
        let digest = one.digest("a", "s3cret");
        assert_eq!(digest, one.digest("a", "s3cret"));
        assert_ne!(digest, one.digest("b", "s3cret"));
        assert_ne!(digest, one.digest("a", "s3crets"));
        assert!(!digest.contains("s3cret"));
        let tag = one.tag(&digest).unwrap();
        assert!(one.is("a", "s3cret", &tag));
        assert!(!one.is("a", "S3cret", &tag) && !one.is("b", "s3cret", &tag));
        assert_eq!(other.tag(&digest), Err(NoDigest::Foreign));
        for text in ["", "s3cret", "hmac-sha256:00:AA==", &format!("{digest}:x")] {
            assert_eq!(one.tag(text), Err(NoDigest::Malformed), "{text}");
            assert!(!is_digest(text));
        }
        assert!(is_digest(&digest));
        assert_eq!(format!("{one:?}"), format!("Seal({:?})", one.name));
    }

    #[test]
    fn the_order_of_fields_does_not_count() {
        let seal = Seal::default();
        let digest = |value: Value| seal.digest_value("a", &value);
        assert_eq!(
            digest(json!({ "a": 1, "b": [1, 2] })),
            digest(json!({ "b": [1, 2], "a": 1 }))
        );
        assert_ne!(digest(json!([1, 2])), digest(json!([2, 1])));
        assert_ne!(digest(json!({ "a": "1" })), digest(json!({ "a": 1 })));
    }
}
