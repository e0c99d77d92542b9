//! Errors as ARM answers them: a status, a code for programs, a message for people.

use serde_json::{Value, json};

/// Why a request was not done.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {message}")]
pub struct ArmError {
    /// The HTTP status.
    pub status: u16,
    /// Azure's code, such as `ResourceNotFound`.
    pub code: String,
    /// What, where, and what would be accepted.
    pub message: String,
    /// What of the request it is about, such as a path in it or a resource ID.
    pub target: Option<String>,
    /// The errors that this one sums up.
    pub details: Vec<ArmError>,
}

impl ArmError {
    /// Returns an error of this status and code.
    pub fn new(status: u16, code: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            status,
            code: code.into(),
            message: message.into(),
            target: None,
            details: Vec::new(),
        }
    }

    /// Returns a 400.
    pub fn bad_request(code: impl Into<String>, message: impl Into<String>) -> Self {
        Self::new(400, code, message)
    }

    /// Says what the error is about.
    #[must_use]
    pub fn at(mut self, target: impl Into<String>) -> Self {
        self.target = Some(target.into());
        self
    }

    /// Adds the errors that this one sums up.
    #[must_use]
    pub fn with(mut self, details: Vec<Self>) -> Self {
        self.details = details;
        self
    }

    /// Returns the body of the answer: `{"error": {"code": ..., "message": ...}}`.
    #[must_use]
    pub fn body(&self) -> Value {
        json!({ "error": self.inner() })
    }

    fn inner(&self) -> Value {
        let mut inner = json!({ "code": self.code, "message": self.message });
        if let Some(fields) = inner.as_object_mut() {
            if let Some(target) = &self.target {
                fields.insert("target".to_owned(), Value::from(target.as_str()));
            }
            if !self.details.is_empty() {
                let details = self.details.iter().map(Self::inner).collect();
                fields.insert("details".to_owned(), Value::Array(details));
            }
        }
        inner
    }
}
