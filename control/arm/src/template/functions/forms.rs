//! Functions that decide themselves what is worked out, or that ask the template or the resources.

use super::super::evaluate::{Env, Evaluator, Phase};
use super::super::expression::Expression;
use super::super::frame::Kind;
use super::super::problem::{Problem, shortened};
use super::super::value::{Held, kind};
use super::arity;
use serde_json::Value;
use std::sync::Arc;

type Answer = Result<Held, Problem>;

/// Works out a call of one of these functions; `None`: it is none of them.
pub(super) fn special(
    evaluator: &Evaluator<'_>,
    key: &str,
    name: &str,
    arguments: &[Expression],
    env: Env<'_>,
) -> Option<Answer> {
    Some(match key {
        "if" => choose(evaluator, name, arguments, env),
        "and" => all(evaluator, name, arguments, env, true),
        "or" => all(evaluator, name, arguments, env, false),
        "parameters" => named(evaluator, Kind::Parameter, name, arguments, env),
        "variables" => named(evaluator, Kind::Variable, name, arguments, env),
        "lambdavariables" => bound(evaluator, name, arguments, env),
        "copyindex" => copy_index(evaluator, name, arguments, env),
        "reference" => reference(evaluator, name, arguments, env),
        "references" => references(evaluator, name, arguments, env),
        "lambda" => Err(Problem::NotHere {
            function: name.to_owned(),
            accepted: "it is an argument of map, filter, reduce, sort, toObject and their kin",
        }),
        key if key.starts_with("list") => list(evaluator, name, arguments, env),
        _ => return None,
    })
}

/// Works out a call of a function that the template declares.
pub(super) fn declared(
    evaluator: &Evaluator<'_>,
    namespace: &str,
    name: &str,
    arguments: &[Expression],
    env: Env<'_>,
) -> Answer {
    let full = format!("{namespace}.{name}");
    let Some(function) = evaluator.frame.function(namespace, name) else {
        return Err(Problem::UnknownFunction(full));
    };
    let takes = function.parameters.len();
    arity(&full, arguments.len(), takes, takes)?;
    let arguments = arguments
        .iter()
        .map(|argument| match evaluator.expression(argument, env)? {
            Held::Own(value) => Ok(Arc::new(value)),
            Held::Shared(value) => Ok(value),
        })
        .collect::<Result<_, Problem>>()?;
    let frame = evaluator.frame.of_call(function, arguments);
    let inner = Evaluator {
        frame: &frame,
        ..*evaluator
    };
    let value = inner.value(&function.output, env.of_name(Phase::Function)?);
    match value {
        Ok(value) => Ok(Held::Own(value)),
        Err(located) => Err(match located.problem {
            problem @ (Problem::NotYet(_)
            | Problem::Limit(_)
            | Problem::Memory(_)
            | Problem::Cancelled
            | Problem::Resource(_)) => problem,
            problem => Problem::Bad {
                function: full,
                why: shortened(&problem.to_string(), 1_000),
            },
        }),
    }
}

/// Works out an argument that is a string.
fn text(
    evaluator: &Evaluator<'_>,
    name: &str,
    arguments: &[Expression],
    at: usize,
    env: Env<'_>,
) -> Result<Option<String>, Problem> {
    let Some(argument) = arguments.get(at) else {
        return Ok(None);
    };
    let value = evaluator.expression(argument, env)?;
    match evaluator.whole(value)? {
        Value::String(text) => Ok(Some(text)),
        other => Err(Problem::Kind {
            function: name.to_owned(),
            at: at.saturating_add(1),
            accepted: "a string",
            found: kind(&other),
        }),
    }
}

fn truth(
    evaluator: &Evaluator<'_>,
    name: &str,
    argument: &Expression,
    at: usize,
    env: Env<'_>,
) -> Result<bool, Problem> {
    let value = evaluator.expression(argument, env)?;
    value.as_bool().ok_or_else(|| Problem::Kind {
        function: name.to_owned(),
        at: at.saturating_add(1),
        accepted: "a boolean",
        found: kind(&value),
    })
}

/// `if(condition, then, else)`: only the branch taken is worked out.
fn choose(evaluator: &Evaluator<'_>, name: &str, arguments: &[Expression], env: Env<'_>) -> Answer {
    let [condition, yes, no] = arguments else {
        return Err(Problem::Arguments {
            function: name.to_owned(),
            accepted: "3".to_owned(),
            found: arguments.len(),
        });
    };
    let branch = match truth(evaluator, name, condition, 0, env)? {
        true => yes,
        false => no,
    };
    evaluator.expression(branch, env)
}

/// `and` and `or`: the first argument that decides is the last that is worked out.
fn all(
    evaluator: &Evaluator<'_>,
    name: &str,
    arguments: &[Expression],
    env: Env<'_>,
    going_on: bool,
) -> Answer {
    arity(name, arguments.len(), 2, super::ANY)?;
    for (at, argument) in arguments.iter().enumerate() {
        if truth(evaluator, name, argument, at, env)? != going_on {
            return Ok(Value::from(!going_on).into());
        }
    }
    Ok(Value::from(going_on).into())
}

fn named(
    evaluator: &Evaluator<'_>,
    kind: Kind,
    name: &str,
    arguments: &[Expression],
    env: Env<'_>,
) -> Answer {
    arity(name, arguments.len(), 1, 1)?;
    if kind == Kind::Variable && matches!(env.phase, Phase::Parameters | Phase::Function) {
        return Err(Problem::NotHere {
            function: name.to_owned(),
            accepted: "default values of parameters and functions of the template cannot use variables",
        });
    }
    let asked = text(evaluator, name, arguments, 0, env)?.unwrap_or_default();
    let value = evaluator.frame.value(kind, &asked, evaluator, env)?;
    Ok(Held::Shared(value))
}

/// `lambdaVariables('x')`.
fn bound(evaluator: &Evaluator<'_>, name: &str, arguments: &[Expression], env: Env<'_>) -> Answer {
    arity(name, arguments.len(), 1, 1)?;
    let asked = text(evaluator, name, arguments, 0, env)?.unwrap_or_default();
    let mut bindings = env.bindings;
    while let Some(binding) = bindings {
        if binding.name.eq_ignore_ascii_case(&asked) {
            return Ok(Held::Own(binding.value.clone()));
        }
        bindings = binding.outer;
    }
    Err(Problem::Bad {
        function: name.to_owned(),
        why: format!(
            "no lambda around it has the variable '{}'",
            shortened(&asked, 100)
        ),
    })
}

/// `copyIndex([loop], [offset])`.
fn copy_index(
    evaluator: &Evaluator<'_>,
    name: &str,
    arguments: &[Expression],
    env: Env<'_>,
) -> Answer {
    arity(name, arguments.len(), 0, 2)?;
    let (mut wanted, mut offset) = (None, 0_i64);
    for (at, argument) in arguments.iter().enumerate() {
        match evaluator.whole(evaluator.expression(argument, env)?)? {
            Value::String(text) if at == 0 => wanted = Some(text),
            Value::Number(number) if at == 1 || arguments.len() == 1 => {
                offset = number.as_i64().unwrap_or_default();
            }
            other => {
                return Err(Problem::Kind {
                    function: name.to_owned(),
                    at: at.saturating_add(1),
                    accepted: "the name of a loop or an integer offset",
                    found: kind(&other),
                });
            }
        }
    }
    let mut found = None;
    let mut loops = env.loops;
    while let Some(one) = loops {
        let is_it = match &wanted {
            Some(wanted) => one.name.eq_ignore_ascii_case(wanted),
            None => one.is_default,
        };
        if is_it {
            found = Some(one);
            break;
        }
        loops = one.outer;
    }
    // Without a loop of the resource around it, the nearest of a property is all that can be meant.
    let found = found.or_else(|| env.loops.filter(|_| wanted.is_none()));
    let index = found
        .and_then(|one| i64::try_from(one.index).ok())
        .and_then(|index| index.checked_add(offset))
        .ok_or_else(|| {
            let name = wanted.map(|name| format!(" '{}'", shortened(&name, 100)));
            Problem::NoLoop(name.unwrap_or_default())
        })?;
    Ok(Value::from(index).into())
}

/// Refuses a function that needs what is deployed where nothing is deployed yet.
fn needs_resources(name: &str, env: Env<'_>) -> Result<(), Problem> {
    match env.phase {
        Phase::Body | Phase::Outputs => Ok(()),
        _ => Err(Problem::NotHere {
            function: name.to_owned(),
            accepted: "it may be in the properties of a resource and in outputs, as its value is known only after deployment",
        }),
    }
}

/// `reference(resource, [apiVersion], ['Full'])`.
fn reference(
    evaluator: &Evaluator<'_>,
    name: &str,
    arguments: &[Expression],
    env: Env<'_>,
) -> Answer {
    arity(name, arguments.len(), 1, 3)?;
    needs_resources(name, env)?;
    let of = text(evaluator, name, arguments, 0, env)?.unwrap_or_default();
    let version = text(evaluator, name, arguments, 1, env)?;
    let is_full = match text(evaluator, name, arguments, 2, env)? {
        None => false,
        Some(word) if word.eq_ignore_ascii_case("full") => true,
        Some(word) => {
            return Err(Problem::Bad {
                function: name.to_owned(),
                why: format!(
                    "'{word:.100}' is not accepted as the third argument; accepted: 'Full'"
                ),
            });
        }
    };
    let resource = evaluator.world.resource(&of, version.is_some())?;
    Ok(Held::Own(shown(resource, version, is_full)))
}

/// Returns what `reference` shows of a resource.
fn shown(resource: Value, version: Option<String>, is_full: bool) -> Value {
    match (resource, is_full) {
        (Value::Object(mut fields), true) => {
            if let Some(version) = version {
                fields.insert("apiVersion".to_owned(), Value::from(version));
            }
            if let Some(Value::String(id)) = fields.get("id").cloned() {
                let mut parts = id.split('/').skip(2);
                if let Some(subscription) = parts.next() {
                    fields.insert("subscriptionId".to_owned(), Value::from(subscription));
                }
                if let Some(group) = parts.nth(1) {
                    fields.insert("resourceGroupName".to_owned(), Value::from(group));
                }
                fields.insert("resourceId".to_owned(), Value::from(id.as_str()));
            }
            Value::Object(fields)
        }
        (Value::Object(mut fields), false) => fields
            .shift_remove("properties")
            .unwrap_or_else(|| Value::Object(serde_json::Map::new())),
        (other, _) => other,
    }
}

/// `references(loop, ['Full'])`: what `reference` shows of each resource of a loop.
fn references(
    evaluator: &Evaluator<'_>,
    name: &str,
    arguments: &[Expression],
    env: Env<'_>,
) -> Answer {
    arity(name, arguments.len(), 1, 2)?;
    needs_resources(name, env)?;
    let of = text(evaluator, name, arguments, 0, env)?.unwrap_or_default();
    let is_full = text(evaluator, name, arguments, 1, env)?.is_some();
    let Some(ids) = evaluator.world.collection(&of) else {
        return Err(Problem::Bad {
            function: name.to_owned(),
            why: format!("no loop of the template has the symbolic name '{of:.100}'"),
        });
    };
    let mut all = Vec::new();
    for id in ids {
        let resource = evaluator.world.resource(&id, true)?;
        let value = shown(resource, None, is_full);
        evaluator.session.budget.charge(&value)?;
        all.push(value);
    }
    Ok(Held::Own(Value::Array(all)))
}

/// `listKeys(resource, apiVersion, [body])` and its kin: a POST to the resource.
fn list(evaluator: &Evaluator<'_>, name: &str, arguments: &[Expression], env: Env<'_>) -> Answer {
    arity(name, arguments.len(), 2, 3)?;
    needs_resources(name, env)?;
    let of = text(evaluator, name, arguments, 0, env)?.unwrap_or_default();
    text(evaluator, name, arguments, 1, env)?;
    let body = match arguments.get(2) {
        Some(argument) => evaluator.whole(evaluator.expression(argument, env)?)?,
        None => Value::Null,
    };
    Ok(Held::Own(evaluator.world.list(&of, name, &body)?))
}
