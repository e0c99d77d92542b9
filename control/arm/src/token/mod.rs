//! Bearer tokens: signed when a principal logs in, checked at every request.
//!
//! They are JSON Web Tokens as Azure's are, with the claims that clients read (`tid`, `oid`,
//! `appid`, `exp`), signed by one key that only this host has. Who signs also checks, so a shared
//! secret does: HMAC with SHA-256, and no other algorithm is ever accepted, whatever a token says.

mod crypto;

use crate::error::ArmError;
use crate::principals::Principal;
use crate::seal::Seal;
use base64::Engine;
use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation, decode, encode};
use ring::hmac;
use serde::{Deserialize, Serialize};
use std::fmt;

/// How long a token lives, in seconds.
pub const LIFETIME: u64 = 3600;

/// How far clocks may be apart, in seconds.
const LEEWAY: u64 = 60;

/// What a token says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claims {
    /// What it is for: the URL of the API.
    pub aud: String,
    /// Who made it: the URL of the tenant.
    pub iss: String,
    /// Seconds of Unix time when it was made.
    pub iat: u64,
    /// Seconds of Unix time from when on it counts.
    pub nbf: u64,
    /// Seconds of Unix time until when it counts.
    pub exp: u64,
    /// The application that asked.
    pub appid: String,
    /// The object of the principal in its tenant, which roles are assigned to.
    pub oid: String,
    /// The subject: the same.
    pub sub: String,
    /// The tenant.
    pub tid: String,
    /// The kind of principal: `app`.
    pub idtyp: String,
    /// The version of this form.
    pub ver: String,
}

/// The key that signs tokens.
#[derive(Clone)]
pub struct TokenKey {
    sign: EncodingKey,
    check: DecodingKey,
    derive: hmac::Key,
}

impl fmt::Debug for TokenKey {
    /// Leaves the key out: what is logged is read by others.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenKey")
    }
}

/// Where a token comes from and what for.
#[derive(Clone, Copy, Debug)]
pub struct Grant<'a> {
    /// The URL of the tenant.
    pub issuer: &'a str,
    /// What the client asked for.
    pub audience: &'a str,
    /// Seconds of Unix time.
    pub now: u64,
}

impl TokenKey {
    /// The length of a key in bytes.
    pub const LENGTH: usize = 32;

    /// Returns a key of these bytes, which nobody else may know.
    #[must_use]
    pub fn new(bytes: &[u8; Self::LENGTH]) -> Self {
        crypto::install();
        Self {
            sign: EncodingKey::from_secret(bytes),
            check: DecodingKey::from_secret(bytes),
            derive: hmac::Key::new(hmac::HMAC_SHA512, bytes),
        }
    }

    /// Returns a secret of 64 bytes, in Base64, that is always the same for the same name, and that
    /// tells nothing of the key or of other such secrets.
    #[must_use]
    pub fn derive(&self, name: &str) -> String {
        let tag = hmac::sign(&self.derive, format!("derived: {name}").as_bytes());
        base64::engine::general_purpose::STANDARD.encode(tag)
    }

    /// Returns the key of digests that goes with this one, and tells nothing of it.
    #[must_use]
    pub fn seal(&self) -> Seal {
        let tag = hmac::sign(&self.derive, b"the key of digests");
        Seal::new(tag.as_ref())
    }

    /// Returns a token for a principal.
    ///
    /// # Errors
    ///
    /// It cannot be signed.
    pub fn issue(&self, principal: &Principal, grant: Grant<'_>) -> Result<String, ArmError> {
        let claims = Claims {
            aud: grant.audience.to_owned(),
            iss: grant.issuer.to_owned(),
            iat: grant.now,
            nbf: grant.now,
            exp: grant.now.saturating_add(LIFETIME),
            appid: principal.app_id.clone(),
            oid: principal.object_id.clone(),
            sub: principal.object_id.clone(),
            tid: principal.tenant.clone(),
            idtyp: "app".to_owned(),
            ver: "1.0".to_owned(),
        };
        let header = Header::new(Algorithm::HS256);
        encode(&header, &claims, &self.sign)
            .map_err(|error| ArmError::new(500, "InternalServerError", error.to_string()))
    }

    /// Returns what a token says, if this key signed it and now is its time. Audience and tenant are
    /// for the caller to check.
    ///
    /// # Errors
    ///
    /// The signature is not of this key, the token is over or not yet valid, or is none at all.
    pub fn check(&self, token: &str) -> Result<Claims, ArmError> {
        let mut rules = Validation::new(Algorithm::HS256);
        rules.leeway = LEEWAY;
        rules.validate_nbf = true;
        rules.validate_aud = false;
        rules.set_required_spec_claims(&["exp", "nbf", "aud", "iss", "sub"]);
        let checked = decode::<Claims>(token, &self.check, &rules);
        checked.map(|token| token.claims).map_err(|error| {
            let (code, message) = match error.kind() {
                ErrorKind::ExpiredSignature => (
                    "ExpiredAuthenticationToken",
                    "The access token has expired.",
                ),
                ErrorKind::ImmatureSignature => (
                    "InvalidAuthenticationToken",
                    "The access token is not yet valid.",
                ),
                _ => ("InvalidAuthenticationToken", "The access token is invalid."),
            };
            ArmError::new(401, code, message)
        })
    }
}
