//! What needs no token: how to get one.

use super::Api;
use super::path::Target;
use super::request::{Request, Response, form};
use super::state::State;
use crate::date::now;
use crate::error::ArmError;
use crate::principals::{Principal, Secret, new_guid};
use crate::token::{Grant, LIFETIME};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::LazyLock;

/// The longest form that is read.
pub(crate) const MOST: usize = 64 * 1024;

/// Returns whether a path needs no token.
pub(crate) fn is_open(path: &str) -> bool {
    let Ok(Target::Other(words)) = Target::read(path) else {
        return false;
    };
    let lower: Vec<String> = words.iter().map(|word| word.to_ascii_lowercase()).collect();
    let lower: Vec<&str> = lower.iter().map(String::as_str).collect();
    matches!(
        lower.as_slice(),
        ["metadata", "endpoints"]
            | [_, "discovery", "instance" | "keys"]
            | [_, "discovery", "v2.0", "keys"]
            | [_, ".well-known", "openid-configuration"]
            | [_, "v2.0", ".well-known", "openid-configuration"]
            | [_, "oauth2", "token"]
            | [_, "oauth2", "v2.0", "token"]
    )
}

/// Answers a request that needs no token; none if it needs one.
pub(crate) fn open(api: &Api, request: &Request) -> Option<Response> {
    if !is_open(&request.path) {
        return None;
    }
    let Ok(Target::Other(words)) = Target::read(&request.path) else {
        return None;
    };
    let lower: Vec<String> = words.iter().map(|word| word.to_ascii_lowercase()).collect();
    let lower: Vec<&str> = lower.iter().map(String::as_str).collect();
    let base = request.base();
    let get = |value: Value| {
        if ["GET", "HEAD"].contains(&&*request.method.to_ascii_uppercase()) {
            Response::json(200, &value)
        } else {
            let message = "The requested resource takes GET only.";
            Response::from(&ArmError::new(405, "MethodNotAllowed", message))
        }
    };
    Some(match lower.as_slice() {
        ["metadata", "endpoints"] => get(super::metadata::endpoints(request)),
        [_, "discovery", "instance"] => get(super::metadata::discovery(request)),
        [_, ".well-known", "openid-configuration"] => {
            open_id(api, request, &words).map_or_else(|response| response, get)
        }
        [_, "v2.0", ".well-known", "openid-configuration"] => {
            open_id(api, request, &words).map_or_else(|response| response, get)
        }
        // Tokens are for this API alone, which knows its key: there is none for others to check by.
        [_, "discovery", "keys"] | [_, "discovery", "v2.0", "keys"] => get(json!({ "keys": [] })),
        [_, "oauth2", "token"] => token(api, request, &words, &base, false),
        [_, "oauth2", "v2.0", "token"] => token(api, request, &words, &base, true),
        _ => return None,
    })
}

fn open_id(api: &Api, request: &Request, words: &[String]) -> Result<Value, Response> {
    let state = api.state();
    let name = words.first().map(String::as_str).unwrap_or_default();
    let is_general = ["common", "organizations"].contains(&name.to_ascii_lowercase().as_str());
    let tenant = match state.tenant(name) {
        Some(tenant) => tenant.id.clone(),
        None if is_general => name.to_owned(),
        None => return Err(no_tenant(name).response()),
    };
    let is_new = words.len() > 3;
    Ok(super::metadata::open_id(request, &tenant, is_new))
}

/// Why no token is given: in the form of the token endpoint, which is not ARM's.
struct Refusal {
    status: u16,
    error: &'static str,
    code: u32,
    message: String,
    retry_after: Option<u64>,
}

impl Refusal {
    fn new(status: u16, error: &'static str, code: u32, message: String) -> Self {
        Self {
            status,
            error,
            code,
            message,
            retry_after: None,
        }
    }

    fn response(&self) -> Response {
        let (trace, correlation) = (new_guid(), new_guid());
        let body = json!({
            "error": self.error,
            "error_description": format!(
                "AADSTS{}: {} Trace ID: {trace} Correlation ID: {correlation}",
                self.code, self.message
            ),
            "error_codes": [self.code],
            "trace_id": trace,
            "correlation_id": correlation,
        });
        let answer = Response::json(self.status, &body);
        match self.retry_after {
            Some(seconds) => answer.with_header("Retry-After", seconds.to_string()),
            None => answer,
        }
    }
}

fn no_tenant(name: &str) -> Refusal {
    let message = format!("Tenant '{name}' not found. Check that it is the right tenant ID.");
    Refusal::new(400, "invalid_request", 90002, message)
}

fn token(api: &Api, request: &Request, words: &[String], base: &str, is_new: bool) -> Response {
    let name = words.first().map(String::as_str).unwrap_or_default();
    let granted = grant(api, request, name, base, is_new);
    let answer = granted.unwrap_or_else(|refusal| {
        tracing::info!(code = refusal.code, tenant = name, "no token given");
        refusal.response()
    });
    answer
        .with_header("Cache-Control", "no-store")
        .with_header("Pragma", "no-cache")
}

fn grant(
    api: &Api,
    request: &Request,
    name: &str,
    base: &str,
    is_new: bool,
) -> Result<Response, Refusal> {
    let invalid = |code: u32, message: String| Refusal::new(400, "invalid_request", code, message);
    if !request.method.eq_ignore_ascii_case("POST") {
        let message = format!(
            "The endpoint only accepts POST requests. Received a {} request.",
            request.method
        );
        return Err(invalid(900_561, message));
    }
    if request.body.len() > MOST {
        return Err(invalid(
            900_144,
            format!("The request body is longer than {MOST} bytes."),
        ));
    }
    let state = api.state();
    let tenant = state.tenant(name).ok_or_else(|| no_tenant(name))?;
    let text = String::from_utf8_lossy(&request.body);
    let fields: HashMap<String, String> = form(&text).collect();
    let need = |field: &str| {
        let found = fields.get(field).filter(|value| !value.is_empty());
        found.ok_or_else(|| {
            let message =
                format!("The request body must contain the following parameter: '{field}'.");
            invalid(900_144, message)
        })
    };
    let kind = need("grant_type")?;
    if kind != "client_credentials" {
        let message = format!(
            "The app requested an unsupported grant type '{kind}'; accepted: 'client_credentials'."
        );
        return Err(Refusal::new(400, "unsupported_grant_type", 70_003, message));
    }
    let audience = if is_new {
        let scope = need("scope")?;
        let scope = scope.split(' ').next().unwrap_or_default();
        let resource = scope.strip_suffix("/.default");
        resource.map(str::to_owned).ok_or_else(|| {
            let message = format!(
                "The provided value '{scope}' for scope is not valid; accepted: a URL followed by \
                 '/.default'."
            );
            Refusal::new(400, "invalid_scope", 1_002_012, message)
        })?
    } else {
        need("resource")?.clone()
    };
    let client = need("client_id")?;
    let principal = login(
        api,
        &state,
        (&tenant.id, client),
        (request.from, fields.get("client_secret")),
    )?;
    let issuer = format!("{base}/{}/", tenant.id);
    let when = now();
    let grant = Grant {
        issuer: &issuer,
        audience: &audience,
        now: when,
    };
    let token = state
        .config
        .key
        .issue(principal, grant)
        .map_err(|error| Refusal::new(500, "server_error", 90_033, error.to_string()))?;
    Ok(Response::json(
        200,
        &granted(&token, &audience, when, is_new),
    ))
}

fn granted(token: &str, audience: &str, now: u64, is_new: bool) -> Value {
    let left = LIFETIME.saturating_sub(1);
    if is_new {
        return json!({
            "token_type": "Bearer",
            "expires_in": left,
            "ext_expires_in": left,
            "access_token": token,
        });
    }
    // The older form has its numbers as texts.
    json!({
        "token_type": "Bearer",
        "expires_in": left.to_string(),
        "ext_expires_in": left.to_string(),
        "expires_on": now.saturating_add(LIFETIME).to_string(),
        "not_before": now.to_string(),
        "resource": audience,
        "access_token": token,
    })
}

fn login<'s>(
    api: &Api,
    state: &'s State,
    (tenant, client): (&str, &str),
    (from, secret): (Option<IpAddr>, Option<&String>),
) -> Result<&'s Principal, Refusal> {
    let Some(secret) = secret else {
        let message = "The request body must contain the following parameter: 'client_secret' or \
                       'client_assertion'; accepted here: 'client_secret'.";
        return Err(Refusal::new(
            401,
            "invalid_client",
            7_000_218,
            message.to_owned(),
        ));
    };
    if let Some(principal) = find(state, (tenant, client), secret) {
        return Ok(principal);
    }
    // Whether there is such an application is told to nobody who does not know its secret.
    let now = now();
    let wait = api.attempts.wait(from, client, now);
    api.attempts.failed(from, client, now);
    if let Some(seconds) = wait {
        let message = "Too many attempts with a wrong secret; try again later.".to_owned();
        let mut refusal = Refusal::new(429, "temporarily_unavailable", 50_196, message);
        refusal.retry_after = Some(seconds);
        return Err(refusal);
    }
    let message = format!(
        "Invalid client secret provided. Ensure the secret being sent in the request is the client \
         secret value, not the client secret ID, for a secret added to app '{client}'."
    );
    Err(Refusal::new(401, "invalid_client", 7_000_215, message))
}

/// Returns the principal that has the secret. It takes the same time whether there is such a principal
/// and the secret is wrong, or there is none.
fn find<'s>(
    state: &'s State,
    (tenant, client): (&str, &str),
    secret: &str,
) -> Option<&'s Principal> {
    static NOBODY: LazyLock<Secret> = LazyLock::new(|| Secret::new(&new_guid()));
    let mut found = None;
    for known in &state.config.principals {
        if known.app_id.eq_ignore_ascii_case(client) && known.tenant.eq_ignore_ascii_case(tenant) {
            found = Some(known);
        }
    }
    let known = found.map_or(&*NOBODY, |principal| &principal.secret);
    let is_right = known.is(secret);
    found.filter(|_| is_right)
}

/// Returns whether so many wrong secrets came from where a request for a token comes from, for its
/// application, that it has to wait in line; and the name of that line.
pub(crate) fn line(api: &Api, request: &Request) -> Option<String> {
    if !request.method.eq_ignore_ascii_case("POST") || !is_open(&request.path) {
        return None;
    }
    let text = String::from_utf8_lossy(request.body.get(..MOST.min(request.body.len()))?);
    let client = form(&text).find(|(name, _)| name == "client_id")?.1;
    api.attempts.wait(request.from, &client, now())?;
    let place = super::attempts::place(request.from);
    let client = client.to_ascii_lowercase();
    Some(format!("{place:?} {client}"))
}
