//! The functions of the language. Names compare without case.
//!
//! Those that work on finished arguments are in one table, each with the number of arguments it takes;
//! those that decide themselves what is worked out (`if`, lambdas) or that ask the template or the
//! resources are in [`forms`] and [`lambda`].

mod collections;
mod dates;
mod encoding;
mod format;
mod forms;
mod lambda;
mod logic;
mod network;
mod numbers;
mod objects;
mod resources;
mod strings;
mod unique;

use super::budget::{Budget, MAX_VALUE, TOO_BIG, size};
use super::evaluate::{Env, Evaluator};
use super::expression::Expression;
use super::problem::{Problem, shortened};
use super::value::{Held, bounded, kind, text};
use serde_json::{Map, Value};
use std::collections::HashMap;
use std::sync::LazyLock;

/// A call of a function, its arguments worked out.
pub(super) struct Call<'a> {
    name: &'a str,
    arguments: Vec<Held>,
    evaluator: &'a Evaluator<'a>,
    env: Env<'a>,
}

/// A function that works on finished arguments.
struct Entry {
    name: &'static str,
    least: usize,
    most: usize,
    run: fn(&Call<'_>) -> Result<Value, Problem>,
}

/// As many arguments as one likes.
const ANY: usize = usize::MAX;

static TABLE: LazyLock<HashMap<String, &'static Entry>> = LazyLock::new(|| {
    [
        collections::ENTRIES,
        dates::ENTRIES,
        encoding::ENTRIES,
        format::ENTRIES,
        logic::ENTRIES,
        network::ENTRIES,
        numbers::ENTRIES,
        objects::ENTRIES,
        resources::ENTRIES,
        strings::ENTRIES,
    ]
    .into_iter()
    .flatten()
    .map(|entry| (entry.name.to_ascii_lowercase(), entry))
    .collect()
});

/// Works out a call.
pub(super) fn call(
    evaluator: &Evaluator<'_>,
    namespace: Option<&str>,
    name: &str,
    arguments: &[Expression],
    env: Env<'_>,
) -> Result<Held, Problem> {
    if let Some(namespace) = namespace {
        return forms::declared(evaluator, namespace, name, arguments, env);
    }
    let key = name.to_ascii_lowercase();
    if let Some(held) = forms::special(evaluator, &key, name, arguments, env) {
        return held;
    }
    if let Some(value) = lambda::special(evaluator, &key, name, arguments, env) {
        return value.map(Held::Own);
    }
    let entry = TABLE
        .get(&key)
        .ok_or_else(|| Problem::UnknownFunction(name.to_owned()))?;
    arity(name, arguments.len(), entry.least, entry.most)?;
    let arguments = arguments
        .iter()
        .map(|argument| evaluator.expression(argument, env))
        .collect::<Result<_, _>>()?;
    let call = Call {
        name,
        arguments,
        evaluator,
        env,
    };
    call.reads_texts()?;
    // What it makes is taken by whoever evaluates the expression.
    (entry.run)(&call).map(Held::Own)
}

/// Checks the number of arguments.
fn arity(name: &str, found: usize, least: usize, most: usize) -> Result<(), Problem> {
    if (least..=most).contains(&found) {
        return Ok(());
    }
    let accepted = match (least, most) {
        (least, ANY) => format!("at least {least}"),
        (least, most) if least == most => least.to_string(),
        (least, most) => format!("{least} to {most}"),
    };
    Err(Problem::Arguments {
        function: name.to_owned(),
        accepted,
        found,
    })
}

impl Call<'_> {
    /// Returns an argument, if it is given.
    fn given(&self, at: usize) -> Option<&Value> {
        self.arguments.get(at).map(|held| &**held)
    }

    /// Returns an argument; those that the table demands are there.
    fn value(&self, at: usize) -> &Value {
        self.given(at).unwrap_or(&Value::Null)
    }

    fn values(&self) -> impl Iterator<Item = &Value> {
        self.arguments.iter().map(|held| &**held)
    }

    fn len(&self) -> usize {
        self.arguments.len()
    }

    fn text(&self, at: usize) -> Result<&str, Problem> {
        self.value(at)
            .as_str()
            .ok_or_else(|| self.wrong(at, "a string"))
    }

    fn integer(&self, at: usize) -> Result<i64, Problem> {
        whole(self.value(at)).ok_or_else(|| self.wrong(at, "an integer"))
    }

    fn boolean(&self, at: usize) -> Result<bool, Problem> {
        self.value(at)
            .as_bool()
            .ok_or_else(|| self.wrong(at, "a boolean"))
    }

    fn array(&self, at: usize) -> Result<&Vec<Value>, Problem> {
        self.value(at)
            .as_array()
            .ok_or_else(|| self.wrong(at, "an array"))
    }

    fn object(&self, at: usize) -> Result<&Map<String, Value>, Problem> {
        self.value(at)
            .as_object()
            .ok_or_else(|| self.wrong(at, "an object"))
    }

    /// Returns the error that an argument is of another type.
    fn wrong(&self, at: usize, accepted: &'static str) -> Problem {
        Problem::Kind {
            function: self.name.to_owned(),
            at: at.saturating_add(1),
            accepted,
            found: kind(self.value(at)),
        }
    }

    /// Returns the error that the arguments cannot be worked with.
    fn bad(&self, why: impl AsRef<str>) -> Problem {
        Problem::Bad {
            function: self.name.to_owned(),
            why: shortened(why.as_ref(), 1_000),
        }
    }

    fn budget(&self) -> &Budget {
        &self.evaluator.session.budget
    }

    /// Takes the work of reading the arguments that are texts: to copy one costs less than to look for
    /// something in it without case, and the latter is what is taken of all.
    fn reads_texts(&self) -> Result<(), Problem> {
        for text in self.values().filter_map(Value::as_str) {
            self.budget().read(text.len().saturating_mul(8))?;
        }
        Ok(())
    }

    /// Takes the work of walking over an argument so many times.
    fn walks(&self, at: usize, times: u64) -> Result<(), Problem> {
        let size = size(self.value(at), usize::MAX);
        self.budget().spend(size.work.saturating_mul(times))
    }

    /// Returns the text of a value as [`text`] does, unless it is longer than a value may be.
    fn shown(&self, value: &Value) -> Result<String, Problem> {
        if !matches!(value, Value::Array(_) | Value::Object(_)) {
            return Ok(text(value));
        }
        self.budget().walk(value)?;
        bounded(value, MAX_VALUE).ok_or(TOO_BIG)
    }

    /// Refuses a text of this many bytes if that is too many, before it is made.
    fn admit(&self, bytes: usize) -> Result<(), Problem> {
        self.evaluator.session.budget.admit(bytes)
    }
}

/// Returns a whole number; JSON may write it as `2.0`.
fn whole(value: &Value) -> Option<i64> {
    value.as_i64().or_else(|| {
        let number = value.as_f64()?;
        (number.fract() == 0.0)
            .then(|| format!("{number:.0}").parse().ok())
            .flatten()
    })
}

#[cfg(test)]
mod tests;
