//! A request as it arrived, and the answer to it.

use crate::cancel::Cancel;
use crate::error::ArmError;
use crate::json;
use serde_json::Value;
use std::net::IpAddr;

/// How a request came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Via {
    /// By https: it needs a token.
    Https,
    /// By the control socket: who may open that owns everything.
    Socket,
}

/// A request.
#[derive(Clone, Debug)]
pub struct Request {
    /// The method, such as `PUT`.
    pub method: String,
    /// The path as it was sent, with `%` escapes.
    pub path: String,
    /// What stood behind the `?`, without it.
    pub query: String,
    /// Headers in their order; names compare without case.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
    /// How it came.
    pub via: Via,
    /// The address that it came from, if it came by the network.
    pub from: Option<IpAddr>,
    /// Whether the client still waits.
    pub cancel: Cancel,
}

impl Request {
    /// Returns a request without a body that came by the control socket; `target` is the path with
    /// the query.
    #[must_use]
    pub fn local(method: &str, target: &str) -> Self {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        Self {
            method: method.to_owned(),
            path: path.to_owned(),
            query: query.to_owned(),
            headers: Vec::new(),
            body: Vec::new(),
            via: Via::Socket,
            from: None,
            cancel: Cancel::default(),
        }
    }

    /// Gives the request a body.
    #[must_use]
    pub fn with_body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    /// Adds a header.
    #[must_use]
    pub fn with_header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Returns the first value of a header.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        first(&self.headers, name)
    }

    /// Returns the first value of a key of the query, whose name compares without case.
    #[must_use]
    pub fn query(&self, name: &str) -> Option<String> {
        let mut pairs = form(&self.query);
        pairs
            .find(|(key, _)| key.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
    }

    /// Returns the URL that the client knows this server by, without a slash at its end.
    #[must_use]
    pub fn base(&self) -> String {
        format!("https://{}", self.header("host").unwrap_or("localhost"))
    }

    /// Returns the body as JSON; an empty one is null.
    ///
    /// # Errors
    ///
    /// It is not JSON.
    pub fn json(&self) -> Result<Value, ArmError> {
        if self.body.iter().all(u8::is_ascii_whitespace) {
            return Ok(Value::Null);
        }
        let values = json::values(&self.body);
        if values > json::MAX_VALUES {
            return Err(json::too_many(values));
        }
        serde_json::from_slice(&self.body).map_err(|error| {
            let message = format!(
                "The request content was invalid and could not be deserialized: '{error}'."
            );
            ArmError::bad_request("InvalidRequestContent", message)
        })
    }
}

/// Returns the pairs of a form or a query.
pub(crate) fn form(text: &str) -> impl Iterator<Item = (String, String)> {
    text.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        (unescape(key, true), unescape(value, true))
    })
}

/// Returns a text without its `%` escapes; in a form, `+` is a space. What is no escape stays.
pub(crate) fn unescape(text: &str, form: bool) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, behind)) = rest.split_first() {
        let escape = match (first, behind) {
            (b'%', [high, low, ..]) => hex(*high).zip(hex(*low)),
            _ => None,
        };
        if let Some((high, low)) = escape {
            bytes.push(high.wrapping_mul(16).wrapping_add(low));
            rest = behind.get(2..).unwrap_or_default();
        } else {
            bytes.push(if form && *first == b'+' { b' ' } else { *first });
            rest = behind;
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit)
        .to_digit(16)
        .and_then(|value| u8::try_from(value).ok())
}

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// The HTTP status.
    pub status: u16,
    /// Headers.
    pub headers: Vec<(String, String)>,
    /// The body: JSON, or nothing.
    pub body: Vec<u8>,
}

impl Response {
    /// Returns an answer with a body of JSON.
    #[must_use]
    pub fn json(status: u16, body: &Value) -> Self {
        Self::text(status, body.to_string())
    }

    /// Returns an answer with a body of JSON that is text already.
    #[must_use]
    pub fn text(status: u16, body: String) -> Self {
        Self::empty(status)
            .with_header("Content-Type", "application/json; charset=utf-8")
            .with_body(body)
    }

    /// Returns an answer without a body.
    #[must_use]
    pub fn empty(status: u16) -> Self {
        Self {
            status,
            headers: Vec::new(),
            body: Vec::new(),
        }
    }

    /// Adds a header.
    #[must_use]
    pub fn with_header(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    fn with_body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    /// Returns the first value of a header.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        first(&self.headers, name)
    }

    /// Returns the body as JSON, null if there is none.
    #[must_use]
    pub fn value(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }
}

/// Returns the first value of a header, whose name compares without case.
fn first<'h>(headers: &'h [(String, String)], name: &str) -> Option<&'h str> {
    let mut values = headers.iter();
    let found = values.find(|(known, _)| known.eq_ignore_ascii_case(name));
    found.map(|(_, value)| value.as_str())
}

impl From<&ArmError> for Response {
    fn from(error: &ArmError) -> Self {
        Self::json(error.status, &error.body())
    }
}
