//! Functions that take a lambda: `map(array, lambda('x', ...))`.

use super::super::budget::Budget;
use super::super::evaluate::{Binding, Env, Evaluator};
use super::super::expression::Expression;
use super::super::problem::Problem;
use super::super::value::{kind, text};
use super::arity;
use serde_json::{Map, Value};

type Answer = Result<Value, Problem>;

/// A lambda: the names of its variables, and what it returns.
struct Lambda<'a> {
    function: &'a str,
    names: Vec<String>,
    body: &'a Expression,
    evaluator: &'a Evaluator<'a>,
    env: Env<'a>,
}

/// Works out a call of one of these functions; `None`: it is none of them.
pub(super) fn special(
    evaluator: &Evaluator<'_>,
    key: &str,
    name: &str,
    arguments: &[Expression],
    env: Env<'_>,
) -> Option<Answer> {
    let work = match key {
        "map" => map,
        "filter" => filter,
        "reduce" => reduce,
        "sort" => sort,
        "toobject" => to_object,
        "groupby" => group_by,
        "mapvalues" => map_values,
        _ => return None,
    };
    let form = Form {
        evaluator,
        name,
        arguments,
        env,
    };
    Some(work(&form))
}

/// A call, its arguments not worked out.
struct Form<'a> {
    evaluator: &'a Evaluator<'a>,
    name: &'a str,
    arguments: &'a [Expression],
    env: Env<'a>,
}

impl<'a> Form<'a> {
    fn takes(&self, least: usize, most: usize) -> Result<(), Problem> {
        arity(self.name, self.arguments.len(), least, most)
    }

    fn wrong(&self, at: usize, accepted: &'static str, found: &'static str) -> Problem {
        Problem::Kind {
            function: self.name.to_owned(),
            at: at.saturating_add(1),
            accepted,
            found,
        }
    }

    fn value(&self, at: usize) -> Answer {
        match self.arguments.get(at) {
            Some(argument) => {
                let held = self.evaluator.expression(argument, self.env)?;
                self.evaluator.whole(held)
            }
            None => Ok(Value::Null),
        }
    }

    fn array(&self, at: usize) -> Result<Vec<Value>, Problem> {
        match self.value(at)? {
            Value::Array(items) => Ok(items),
            other => Err(self.wrong(at, "an array", kind(&other))),
        }
    }

    /// Returns the argument as a lambda of `least` to `most` variables.
    fn lambda(&self, at: usize, least: usize, most: usize) -> Result<Lambda<'a>, Problem> {
        let (parts, body) = match self.arguments.get(at) {
            Some(Expression::Call {
                namespace: None,
                name,
                arguments,
            }) if name.eq_ignore_ascii_case("lambda") => arguments
                .split_last()
                .map(|(body, parts)| (parts, body))
                .ok_or_else(|| self.wrong(at, "a lambda with a body", "Lambda"))?,
            _ => return Err(self.wrong(at, "a lambda", "Value")),
        };
        let mut names = Vec::new();
        for part in parts {
            let part = self.evaluator.expression(part, self.env)?;
            match self.evaluator.whole(part)? {
                Value::String(name) => names.push(name),
                other => {
                    return Err(self.wrong(at, "a lambda with names of variables", kind(&other)));
                }
            }
        }
        arity("lambda", names.len(), least, most)?;
        Ok(Lambda {
            function: self.name,
            names,
            body,
            evaluator: self.evaluator,
            env: self.env,
        })
    }
}

impl Lambda<'_> {
    fn call(&self, values: &[&Value]) -> Answer {
        self.bind(values, 0, self.env)
    }

    /// Binds the variables one by one, each on the stack of this function, then works out the body.
    fn bind(&self, values: &[&Value], at: usize, env: Env<'_>) -> Answer {
        match (self.names.get(at), values.get(at)) {
            (Some(name), Some(value)) => {
                let binding = Binding {
                    name,
                    value,
                    outer: env.bindings,
                };
                self.bind(
                    values,
                    at.saturating_add(1),
                    env.with_bindings(Some(&binding)),
                )
            }
            _ => {
                let held = self.evaluator.expression(self.body, env)?;
                self.evaluator.whole(held)
            }
        }
    }

    fn budget(&self) -> &Budget {
        &self.evaluator.session.budget
    }

    fn truth(&self, values: &[&Value]) -> Result<bool, Problem> {
        let mark = self.budget().mark();
        let value = self.call(values)?;
        self.budget().release(mark);
        value.as_bool().ok_or_else(|| Problem::Bad {
            function: self.function.to_owned(),
            why: format!(
                "its lambda returns a value of type '{}'; accepted: a boolean",
                kind(&value)
            ),
        })
    }

    fn key(&self, value: &Value) -> Result<String, Problem> {
        match self.call(&[value])? {
            Value::String(key) => Ok(key),
            number @ Value::Number(_) => Ok(text(&number)),
            other => Err(Problem::Bad {
                function: self.function.to_owned(),
                why: format!(
                    "its lambda returns a key of type '{}'; accepted: a string",
                    kind(&other)
                ),
            }),
        }
    }
}

fn map(form: &Form<'_>) -> Answer {
    form.takes(2, 2)?;
    let (items, lambda) = (form.array(0)?, form.lambda(1, 1, 2)?);
    let one = |(at, item)| lambda.call(&[item, &Value::from(at)]);
    Ok(Value::Array(
        items
            .iter()
            .enumerate()
            .map(one)
            .collect::<Result<_, _>>()?,
    ))
}

fn filter(form: &Form<'_>) -> Answer {
    form.takes(2, 2)?;
    let (items, lambda) = (form.array(0)?, form.lambda(1, 1, 2)?);
    let mut kept = Vec::new();
    for (at, item) in items.into_iter().enumerate() {
        if lambda.truth(&[&item, &Value::from(at)])? {
            kept.push(item);
        }
    }
    Ok(Value::Array(kept))
}

fn reduce(form: &Form<'_>) -> Answer {
    form.takes(3, 3)?;
    let items = form.array(0)?;
    let lambda = form.lambda(2, 2, 3)?;
    let budget = lambda.budget();
    let begin = budget.mark();
    let mut current = form.value(1)?;
    for (at, item) in items.iter().enumerate() {
        let mark = budget.mark();
        current = lambda.call(&[&current, item, &Value::from(at)])?;
        // The one before is gone.
        budget.release_between(begin, mark);
    }
    Ok(current)
}

/// `sort(array, lambda('a', 'b', <a goes before b>))`; stable. A predicate that contradicts itself
/// gives some order, never a panic: the merge below makes no use of an order being total.
fn sort(form: &Form<'_>) -> Answer {
    form.takes(2, 2)?;
    let (items, lambda) = (form.array(0)?, form.lambda(1, 2, 2)?);
    let mut runs: Vec<Vec<Value>> = items.into_iter().map(|item| vec![item]).collect();
    while runs.len() > 1 {
        let mut merged = Vec::with_capacity(runs.len().div_ceil(2));
        let mut rest = runs.into_iter();
        while let Some(left) = rest.next() {
            merged.push(match rest.next() {
                Some(right) => merge(&lambda, left, right)?,
                None => left,
            });
        }
        runs = merged;
    }
    Ok(Value::Array(runs.pop().unwrap_or_default()))
}

fn merge(lambda: &Lambda<'_>, left: Vec<Value>, right: Vec<Value>) -> Result<Vec<Value>, Problem> {
    let mut merged = Vec::with_capacity(left.len().saturating_add(right.len()));
    let (mut left, mut right) = (left.into_iter().peekable(), right.into_iter().peekable());
    while let (Some(l), Some(r)) = (left.peek(), right.peek()) {
        // Only if the later one must go before the earlier one: that keeps equal ones in order.
        merged.extend(match lambda.truth(&[r, l])? {
            true => right.next(),
            false => left.next(),
        });
    }
    merged.extend(left);
    merged.extend(right);
    Ok(merged)
}

fn to_object(form: &Form<'_>) -> Answer {
    form.takes(2, 3)?;
    let (items, key) = (form.array(0)?, form.lambda(1, 1, 1)?);
    let value = match form.arguments.len() {
        3 => Some(form.lambda(2, 1, 1)?),
        _ => None,
    };
    let mut fields = Map::new();
    for item in items {
        let name = key.key(&item)?;
        let field = match &value {
            Some(value) => value.call(&[&item])?,
            None => item,
        };
        fields.insert(name, field);
    }
    Ok(Value::Object(fields))
}

fn group_by(form: &Form<'_>) -> Answer {
    form.takes(2, 2)?;
    let (items, key) = (form.array(0)?, form.lambda(1, 1, 1)?);
    let mut groups = Map::new();
    for item in items {
        let name = key.key(&item)?;
        let group = groups
            .entry(name)
            .or_insert_with(|| Value::Array(Vec::new()));
        if let Value::Array(group) = group {
            group.push(item);
        }
    }
    Ok(Value::Object(groups))
}

fn map_values(form: &Form<'_>) -> Answer {
    form.takes(2, 2)?;
    let lambda = form.lambda(1, 1, 1)?;
    match form.value(0)? {
        Value::Object(fields) => {
            let one = |(name, value)| Ok((name, lambda.call(&[&value])?));
            Ok(Value::Object(
                fields
                    .into_iter()
                    .map(one)
                    .collect::<Result<_, Problem>>()?,
            ))
        }
        other => Err(form.wrong(0, "an object", kind(&other))),
    }
}
