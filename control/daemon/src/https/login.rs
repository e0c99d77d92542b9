//! What a client on this host needs to log in, told over the control socket: whoever may open that owns
//! everything anyway.

use postern_network::model::{ApiPrincipal, Model, SecretSource};
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;

/// Where the API listens, and what it is trusted by.
#[derive(Clone, Debug)]
pub struct Door {
    /// The address.
    pub address: SocketAddr,
    /// The certificate of the authority, in PEM.
    pub ca: String,
}

/// A login that is ready to be used.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LoginView {
    /// The URL of the API, without a slash at its end.
    pub url: String,
    /// The certificate of the authority, in PEM.
    pub ca: String,
    /// The tenant.
    pub tenant: String,
    /// What the principal logs in as.
    pub app_id: String,
    /// Its secret.
    pub secret: String,
    /// The subscriptions of the tenant: ID and name, the one of the configuration first.
    pub subscriptions: Vec<(String, String)>,
}

impl std::fmt::Debug for LoginView {
    /// Leaves the secret out: what is logged is read by others.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LoginView")
            .field("url", &self.url)
            .field("app_id", &self.app_id)
            .finish_non_exhaustive()
    }
}

/// Why there is no login.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum LoginError {
    /// The API is not on the network.
    #[error(
        "the API does not listen; accepted: `[api]` with `listen = \"127.0.0.1:8443\"` in the \
         configuration, and a start with it"
    )]
    NoApi,
    /// Nobody can log in.
    #[error(
        "nobody can log in; accepted: in the configuration, a `[[servicePrincipal]]` with `name`, \
         `appId` and `secret`, and a `[[roleAssignment]]` with `principal` and `role = \"Owner\"`"
    )]
    NoPrincipal,
    /// There is no such principal.
    #[error("--principal {name}: there is no such service principal; accepted: {known}")]
    UnknownPrincipal {
        /// What was asked for.
        name: String,
        /// The names that there are.
        known: String,
    },
    /// The secret cannot be read.
    #[error("the secret of {0} cannot be read; accepted: a file with it that the daemon can read")]
    NoSecret(String),
    /// Only the digest of the secret is known.
    #[error(
        "the secret of {0} is known by its digest alone; accepted: another --principal, or `secret` or \
         `secretFile` in the configuration in the place of `secretDigest`"
    )]
    Unknown(String),
}

/// Returns the login of a principal, or of the first one.
///
/// # Errors
///
/// The API does not listen, or there is no such principal.
pub fn login(
    model: &Model,
    door: Option<&Door>,
    principal: Option<&str>,
) -> Result<LoginView, LoginError> {
    let door = door.ok_or(LoginError::NoApi)?;
    let found = find(&model.api.principals, principal)?;
    let secret = match &found.secret {
        SecretSource::Text(text) => Some(text.clone()),
        SecretSource::File(path) => std::fs::read_to_string(path)
            .ok()
            .and_then(|text| text.lines().next().map(|line| line.trim_end().to_owned())),
        SecretSource::Digest(_) => return Err(LoginError::Unknown(found.name.clone())),
    };
    let secret = secret.ok_or_else(|| LoginError::NoSecret(found.name.clone()))?;
    Ok(LoginView {
        url: url(model, door.address),
        ca: door.ca.clone(),
        tenant: found.tenant.clone(),
        app_id: found.app_id.clone(),
        secret,
        subscriptions: super::settings::subscriptions(model)
            .into_iter()
            .filter(|known| known.tenant.eq_ignore_ascii_case(&found.tenant))
            .map(|known| (known.id, known.name))
            .collect(),
    })
}

fn find<'m>(
    principals: &'m [ApiPrincipal],
    wanted: Option<&str>,
) -> Result<&'m ApiPrincipal, LoginError> {
    let Some(wanted) = wanted else {
        return principals.first().ok_or(LoginError::NoPrincipal);
    };
    let is_it = |known: &&ApiPrincipal| {
        let names = [&known.name, &known.app_id];
        names.iter().any(|name| name.eq_ignore_ascii_case(wanted))
    };
    principals.iter().find(is_it).ok_or_else(|| {
        let names: Vec<_> = principals.iter().map(|known| known.name.as_str()).collect();
        if names.is_empty() {
            return LoginError::NoPrincipal;
        }
        LoginError::UnknownPrincipal {
            name: wanted.to_owned(),
            known: names.join(", "),
        }
    })
}

/// Returns the URL by which clients on this host reach the API under a name of its certificate.
fn url(model: &Model, address: SocketAddr) -> String {
    let (ip, port) = (address.ip(), address.port());
    let host = match model.api.names.first() {
        Some(name) => name.clone(),
        None if ip.is_unspecified() || ip.is_loopback() && ip.to_string().ends_with(".0.0.1") => {
            "localhost".to_owned()
        }
        None if ip.is_ipv6() => format!("[{ip}]"),
        None => ip.to_string(),
    };
    format!("https://{host}:{port}")
}
