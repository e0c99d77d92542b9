//! What all templates of one deployment share: what is left to them, expressions already read, and
//! facts of the host.

use super::budget::Budget;
use super::expression::Expression;
use super::problem::Problem;
use crate::error::ArmError;
use serde_json::Value;
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use uuid::Uuid;

/// How much memory and work an expression takes that is read, for each of its characters.
const READ: usize = 24;

/// One deployment with all its nested ones.
#[derive(Debug)]
pub struct Session {
    /// What is left.
    pub budget: Budget,
    /// What `environment()` returns.
    pub environment: Value,
    /// What `tenant()` returns.
    pub tenant: Value,
    /// What `deployer()` returns.
    pub deployer: Value,
    /// The time since 1970 that `utcNow()` tells.
    pub now: Duration,
    /// What `newGuid()` is made of.
    pub entropy: u128,
    expressions: RefCell<HashMap<String, Arc<Expression>>>,
    numbers: Cell<u64>,
    secrets: RefCell<Vec<String>>,
    /// The texts that were written where a type has its secrets, wherever they came from.
    written: RefCell<Vec<String>>,
    /// The texts of outputs that come from them.
    carried: RefCell<Vec<String>>,
    /// Whether what is worked out has used a secure parameter.
    is_secret: Cell<bool>,
}

impl Session {
    /// Begins a deployment.
    #[must_use]
    pub fn new(
        environment: Value,
        tenant: Value,
        deployer: Value,
        now: Duration,
        entropy: u128,
        budget: Budget,
    ) -> Self {
        Self {
            budget,
            environment,
            tenant,
            deployer,
            now,
            entropy,
            expressions: RefCell::default(),
            numbers: Cell::new(0),
            secrets: RefCell::default(),
            carried: RefCell::default(),
            written: RefCell::default(),
            is_secret: Cell::new(false),
        }
    }

    /// Reads an expression, once however often it occurs.
    ///
    /// # Errors
    ///
    /// It is none.
    pub fn parse(&self, text: &str) -> Result<Arc<Expression>, Problem> {
        if let Some(read) = self.expressions.borrow().get(text) {
            return Ok(Arc::clone(read));
        }
        // What is read is kept: a token for every few characters.
        self.budget.read(text.len().saturating_mul(READ))?;
        self.budget.keep(text.len().saturating_mul(READ))?;
        let read = Arc::new(Expression::parse(text)?);
        self.expressions
            .borrow_mut()
            .insert(text.to_owned(), Arc::clone(&read));
        Ok(read)
    }

    /// Returns a number that the session has not given yet.
    pub fn number(&self) -> u64 {
        let number = self.numbers.get().wrapping_add(1);
        self.numbers.set(number);
        number
    }

    /// Returns a GUID that the session has not given yet.
    pub fn guid(&self) -> Uuid {
        let name = self.number().to_be_bytes();
        let bytes = Uuid::new_v5(&Uuid::from_u128(self.entropy), &name).into_bytes();
        uuid::Builder::from_random_bytes(bytes).into_uuid()
    }

    /// Works something out and tells whether it used a secure parameter.
    pub fn watch<R>(&self, then: impl FnOnce() -> R) -> (R, bool) {
        let outer = self.is_secret.replace(false);
        let result = then();
        let is_secret = self.is_secret.get();
        self.is_secret.set(outer || is_secret);
        (result, is_secret)
    }

    /// Notes that a secure parameter was used.
    pub fn uses_secret(&self) {
        self.is_secret.set(true);
    }

    /// Notes the texts in the value of a secure parameter. Short ones tell nothing, and would be found
    /// in everything.
    pub fn keep_secret(&self, value: &Value) {
        note(&self.secrets, value, 4);
    }

    /// Notes the texts in a value that is written where a type has a secret. Parameters that have them
    /// are not shown; an output may be meant to.
    pub fn write_secret(&self, value: &Value) {
        note(&self.written, value, 4);
    }

    /// Takes out what contains a value that was written where a type has a secret.
    ///
    /// # Errors
    ///
    /// As [`Self::without_secrets`].
    pub fn without_written(&self, value: &mut Value) -> Result<(), Problem> {
        self.without(&self.written, value)
    }

    /// Notes the texts in an output that comes from a secure parameter: who deploys a template within
    /// another one can take them from there.
    pub fn carry_secret(&self, value: &Value) {
        self.keep_secret(value);
        note(&self.carried, value, 8);
    }

    /// Takes out what contains an output that comes from a secure parameter.
    ///
    /// # Errors
    ///
    /// As [`Self::without_secrets`].
    pub fn without_carried(&self, value: &mut Value) -> Result<(), Problem> {
        self.without(&self.carried, value)
    }

    /// Returns an error in which the values of secure parameters are not quoted.
    #[must_use]
    pub fn masked(&self, mut error: ArmError) -> ArmError {
        for secrets in [&self.secrets, &self.written] {
            let secrets = secrets.borrow();
            if !secrets.is_empty() {
                mask(&mut error, &secrets);
            }
        }
        error
    }

    /// Takes out what contains the value of a secure parameter.
    ///
    /// # Errors
    ///
    /// That is too much work: every text is looked through for every secret.
    pub fn without_secrets(&self, value: &mut Value) -> Result<(), Problem> {
        self.without(&self.secrets, value)
    }

    fn without(&self, secrets: &RefCell<Vec<String>>, value: &mut Value) -> Result<(), Problem> {
        let secrets = secrets.borrow();
        if secrets.is_empty() {
            return Ok(());
        }
        let once = super::budget::size(value, usize::MAX).work;
        let count = u64::try_from(secrets.len()).unwrap_or(u64::MAX);
        self.budget.spend(once.saturating_mul(count))?;
        strip(value, &secrets);
        Ok(())
    }
}

/// Notes the texts of so many bytes in a value.
fn note(into: &RefCell<Vec<String>>, value: &Value, least: usize) {
    match value {
        Value::String(text) if text.len() >= least => into.borrow_mut().push(text.clone()),
        Value::Array(items) => items.iter().for_each(|item| note(into, item, least)),
        Value::Object(fields) => fields.values().for_each(|field| note(into, field, least)),
        _ => {}
    }
}

fn mask(error: &mut ArmError, secrets: &[String]) {
    // The longest first: one may be a part of another.
    let mut sorted: Vec<&String> = secrets.iter().collect();
    sorted.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
    for secret in sorted {
        let hide = |text: &mut String| {
            if text.contains(secret.as_str()) {
                *text = text.replace(secret.as_str(), "***");
            }
        };
        hide(&mut error.message);
        if let Some(target) = &mut error.target {
            hide(target);
        }
    }
    error
        .details
        .iter_mut()
        .for_each(|inner| mask(inner, secrets));
}

fn strip(value: &mut Value, secrets: &[String]) {
    let is_secret = |value: &Value| {
        value
            .as_str()
            .is_some_and(|text| secrets.iter().any(|secret| text.contains(secret)))
    };
    match value {
        Value::Array(items) => {
            items.retain(|item| !is_secret(item));
            items.iter_mut().for_each(|item| strip(item, secrets));
        }
        Value::Object(fields) => {
            fields.retain(|_, field| !is_secret(field));
            fields.values_mut().for_each(|field| strip(field, secrets));
        }
        _ => {}
    }
}
