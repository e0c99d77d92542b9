//! How much a template may take: a few lines of it can ask for any amount of time and memory.

use super::problem::Problem;
use serde_json::Value;
use std::cell::Cell;

/// How many values a deployment may work out.
const MAX_STEPS: u64 = 5_000_000;

/// How many bytes the values that a deployment works out may have together, those thrown away included.
const MAX_BYTES: usize = 256 * 1024 * 1024;

/// How many bytes one value may have: ARM's own bound of a whole template.
const MAX_VALUE: usize = 4 * 1024 * 1024;

/// What a node of a value costs beside its text.
const NODE: usize = 64;

/// How deep the evaluation may be: values in values, expressions, variables of variables, functions.
pub const MAX_DEPTH: usize = 250;

/// The most elements that a `range` or a loop may have. ARM takes 10,000 and 800.
pub const MAX_COUNT: usize = 10_000;

/// What is left to a deployment.
#[derive(Debug, Default)]
pub struct Budget {
    steps: Cell<u64>,
    bytes: Cell<usize>,
}

impl Budget {
    /// Takes one step.
    ///
    /// # Errors
    ///
    /// There is none left.
    pub fn step(&self) -> Result<(), Problem> {
        let steps = self.steps.get().saturating_add(1);
        self.steps.set(steps);
        match steps > MAX_STEPS {
            true => Err(Problem::Limit("more than 5,000,000 steps")),
            false => Ok(()),
        }
    }

    /// Takes what a node with this text costs.
    ///
    /// # Errors
    ///
    /// There is not that much left.
    pub fn take(&self, text: usize) -> Result<(), Problem> {
        let bytes = self.bytes.get().saturating_add(text).saturating_add(NODE);
        self.bytes.set(bytes);
        match bytes > MAX_BYTES {
            true => Err(Problem::Limit("its values have more than 256 MiB")),
            false => Ok(()),
        }
    }

    /// Refuses a text that is about to be made if it is longer than a value may be.
    ///
    /// # Errors
    ///
    /// It is.
    pub fn admit(&self, bytes: usize) -> Result<(), Problem> {
        match bytes > MAX_VALUE {
            true => Err(Problem::Limit("a value has more than 4 MiB")),
            false => Ok(()),
        }
    }

    /// Takes what a value costs.
    ///
    /// # Errors
    ///
    /// The value is too big, or there is not that much left.
    pub fn charge(&self, value: &Value) -> Result<(), Problem> {
        let size = size(value, MAX_VALUE);
        self.admit(size)?;
        self.take(size)
    }
}

/// Returns about how many bytes a value takes, or something above `most` if it is more than that.
pub fn size(value: &Value, most: usize) -> usize {
    let mut sum = NODE;
    let mut add = |more: usize| {
        sum = sum.saturating_add(more);
        sum <= most
    };
    match value {
        Value::String(text) => {
            add(text.len());
        }
        Value::Array(items) => {
            items.iter().all(|item| add(size(item, most)));
        }
        Value::Object(fields) => {
            fields
                .iter()
                .all(|(name, field)| add(name.len().saturating_add(size(field, most))));
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
    sum
}
