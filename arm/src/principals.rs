//! Who may log in: service principals and their secrets.

use ring::{digest, hmac, rand};
use std::fmt;

/// A service principal.
#[derive(Clone, Debug)]
pub struct Principal {
    /// What people call it.
    pub name: String,
    /// What it logs in as: the client ID, a GUID.
    pub app_id: String,
    /// Its object in the tenant, which roles are assigned to, a GUID.
    pub object_id: String,
    /// Its tenant.
    pub tenant: String,
    /// How its secret is told from others.
    pub secret: Secret,
}

impl Principal {
    /// Returns the object ID of an application that is not told one: always the same for the same
    /// application and tenant.
    #[must_use]
    pub fn derive_object_id(tenant: &str, app_id: &str) -> String {
        derive_guid(&format!("{tenant}/{app_id}"))
    }
}

/// Returns a GUID that is always the same for the same text, whose case does not count.
#[must_use]
pub fn derive_guid(text: &str) -> String {
    let text = text.to_ascii_lowercase();
    let hash = digest::digest(&digest::SHA256, text.as_bytes());
    let mut bytes = [0; 16];
    bytes
        .iter_mut()
        .zip(hash.as_ref())
        .for_each(|(to, from)| *to = *from);
    guid(bytes)
}

/// What a secret is known by. The secret itself is not kept.
#[derive(Clone)]
pub struct Secret {
    key: hmac::Key,
    tag: hmac::Tag,
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

impl Secret {
    /// Returns what `secret` is known by.
    #[must_use]
    pub fn new(secret: &str) -> Self {
        // A key of its own, so that neither time nor memory tells anything of the text.
        let key = hmac::Key::new(hmac::HMAC_SHA256, &random::<32>());
        let tag = hmac::sign(&key, secret.as_bytes());
        Self { key, tag }
    }

    /// Returns whether `given` is the secret, in a time that does not tell how much of it is right.
    #[must_use]
    pub fn is(&self, given: &str) -> bool {
        hmac::verify(&self.key, given.as_bytes(), self.tag.as_ref()).is_ok()
    }
}

/// Returns bytes that nobody can guess.
pub(crate) fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    let random = rand::SystemRandom::new();
    // The system's generator fails on no system that this runs on once it has been seeded.
    while rand::SecureRandom::fill(&random, &mut bytes).is_err() {
        std::thread::yield_now();
    }
    bytes
}

/// Returns a GUID that nobody has.
pub(crate) fn new_guid() -> String {
    guid(random())
}

/// Returns bytes as a GUID of version 4.
fn guid(bytes: [u8; 16]) -> String {
    let guid = uuid::Builder::from_random_bytes(bytes).into_uuid();
    guid.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_told_from_others_and_not_shown() {
        let secret = Secret::new("s3cret");
        assert!(secret.is("s3cret"));
        for other in ["", "s3cre", "s3cret ", "S3CRET"] {
            assert!(!secret.is(other), "{other}");
        }
        assert_eq!(format!("{secret:?}"), "Secret");
    }

    #[test]
    fn guids_have_their_form() {
        let one = new_guid();
        assert_ne!(one, new_guid());
        let parts: Vec<_> = one.split('-').map(str::len).collect();
        assert_eq!(parts, [8, 4, 4, 4, 12]);
        assert_eq!(one.as_bytes()[14], b'4');
        assert!(b"89ab".contains(&one.as_bytes()[19]), "{one}");
        let derived = Principal::derive_object_id("T", "a");
        assert_eq!(derived, Principal::derive_object_id("t", "A"));
        assert_ne!(derived, Principal::derive_object_id("t", "b"));
    }
}
