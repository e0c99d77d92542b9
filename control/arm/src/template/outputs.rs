//! Outputs: what a deployment tells when it is done.

use super::evaluate::{Env, Evaluator, Phase};
use super::instance::in_loops;
use super::limits::Limits;
use super::parameters::Type;
use super::problem::{Located, Problem};
use super::value::{field, get, kind};
use serde_json::{Map, Value, json};

/// The field that marks an output which comes from a secure parameter.
pub const SECRET: &str = "isSecret";

/// Works out the outputs of a template: `{"name": {"type": "String", "value": ...}}`.
///
/// # Errors
///
/// An output has no value, or one of another type than it says.
pub fn outputs(
    evaluator: &Evaluator<'_>,
    template: &Map<String, Value>,
    loops: &[(String, usize)],
) -> Result<Map<String, Value>, Located> {
    let mut found = Map::new();
    let under = |located: Located| located.under("outputs");
    let declared = match field(template, "outputs") {
        None | Some(Value::Null) => return Ok(found),
        Some(Value::Object(declared)) => declared,
        Some(_) => return Err(under(wrong("an object is expected"))),
    };
    let budget = &evaluator.session.budget;
    Limits::check("outputs", declared.len(), budget.limits().outputs)?;
    for (name, declaration) in declared {
        let one = in_loops(loops, None, &mut |loops| {
            let env = Env::new(Phase::Outputs).with_loops(loops);
            output(evaluator, template, declaration, env)
        });
        if let Some(output) = one.map_err(|located| under(located.under(name)))? {
            // In the record, beside it while that is put, in the answer and in its text.
            budget.keep_value(&output, 4)?;
            found.insert(name.clone(), output);
        }
    }
    Ok(found)
}

fn output(
    evaluator: &Evaluator<'_>,
    template: &Map<String, Value>,
    declaration: &Value,
    env: Env<'_>,
) -> Result<Option<Value>, Located> {
    if let Some(condition) = get(declaration, "condition") {
        let under = |located: Located| located.under("condition");
        match evaluator.value(condition, env).map_err(under)? {
            Value::Bool(true) => {}
            Value::Bool(false) => return Ok(None),
            other => {
                return Err(under(wrong(&format!(
                    "a condition is a boolean, not a value of type '{}'",
                    kind(&other)
                ))));
            }
        }
    }
    let wanted = type_of(template, declaration)?;
    let (value, is_secret) =
        evaluator.session.watch(
            || match (get(declaration, "copy"), get(declaration, "value")) {
                (Some(copy), _) => evaluator
                    .repeat(copy, "", env)
                    .map_err(|located| located.under("copy")),
                (None, Some(value)) => evaluator
                    .value(value, env)
                    .map_err(|located| located.under("value")),
                (None, None) => Err(wrong("the output needs 'value' or 'copy'")),
            },
        );
    let value = value?;
    let is_secret = is_secret || wanted.is_secure();
    if is_secret {
        evaluator.session.carry_secret(&value);
    }
    let is_nullable = get(declaration, "nullable").and_then(Value::as_bool) == Some(true);
    let is_valid = wanted.fits(&value) || (is_nullable && value.is_null());
    if !is_valid {
        return Err(wrong(&format!(
            "The template output is not valid: its type is '{}' and its value is of type '{}'",
            wanted.name(),
            kind(&value)
        )));
    }
    Ok(Some(match wanted.is_secure() {
        true => json!({ "type": wanted.name() }),
        // Templates around this one may use it; it is shown to nobody.
        false => {
            let mut shown = Map::from_iter([
                ("type".to_owned(), wanted.name().into()),
                ("value".to_owned(), value),
            ]);
            if is_secret {
                shown.insert(SECRET.to_owned(), true.into());
            }
            Value::Object(shown)
        }
    }))
}

fn type_of(template: &Map<String, Value>, declaration: &Value) -> Result<Type, Located> {
    let mut declaration = declaration;
    // A definition may refer to another one; a circle of them has no type.
    for _ in 0..16 {
        if let Some(name) = get(declaration, "type").and_then(Value::as_str) {
            return Type::parse(name)
                .ok_or_else(|| wrong(&format!("the type '{name}' is not valid")).under("type"));
        }
        let referred = get(declaration, "$ref")
            .and_then(Value::as_str)
            .and_then(|name| name.strip_prefix("#/definitions/"))
            .and_then(|name| get(field(template, "definitions")?, name));
        match referred {
            Some(referred) => declaration = referred,
            None => break,
        }
    }
    Err(wrong("the output needs 'type'"))
}

fn wrong(why: &str) -> Located {
    Problem::Template(why.to_owned()).into()
}
