//! Who may log in: service principals and their secrets.

use crate::seal::{NoDigest, Seal};
use ring::{digest, rand};
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
    seal: Seal,
    purpose: String,
    tag: Vec<u8>,
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
        let seal = Seal::new(&random::<32>());
        let purpose = purpose("");
        let tag = seal.tag(&seal.digest(&purpose, secret)).unwrap_or_default();
        Self { seal, purpose, tag }
    }

    /// Returns the digest by which the secret of an application is kept.
    #[must_use]
    pub fn digest(seal: &Seal, app_id: &str, secret: &str) -> String {
        seal.digest(&purpose(app_id), secret)
    }

    /// Returns what the secret of such a digest is known by.
    ///
    /// # Errors
    ///
    /// It is no digest, or one of another host.
    pub fn of_digest(seal: &Seal, app_id: &str, digest: &str) -> Result<Self, NoDigest> {
        Ok(Self {
            seal: seal.clone(),
            purpose: purpose(app_id),
            tag: seal.tag(digest)?,
        })
    }

    /// Returns whether `given` is the secret, in a time that does not tell how much of it is right.
    #[must_use]
    pub fn is(&self, given: &str) -> bool {
        self.seal.is(&self.purpose, given, &self.tag)
    }
}

fn purpose(app_id: &str) -> String {
    format!("client secret of {}", app_id.to_ascii_lowercase())
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
    fn a_secret_is_known_by_its_digest_on_the_host_that_made_it() {
        let (seal, other) = (Seal::new(b"here"), Seal::new(b"there"));
        let digest = Secret::digest(&seal, "App", "s3cret");
        let secret = Secret::of_digest(&seal, "aPP", &digest).unwrap();
        assert!(secret.is("s3cret") && !secret.is("s3cre"));
        let of_another = Secret::of_digest(&seal, "b", &digest).unwrap();
        assert!(!of_another.is("s3cret"), "it is of one application");
        let foreign = Secret::of_digest(&other, "App", &digest);
        assert_eq!(foreign.err(), Some(NoDigest::Foreign));
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
