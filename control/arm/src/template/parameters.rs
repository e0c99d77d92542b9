//! Parameters: what is given against what is declared.
//!
//! Messages are Azure's as far as remembered; the reference does not list them.

use super::budget::{Budget, size};
use super::limits::Limits;
use super::problem::{Located, Problem, invalid, shortened};
use super::value::{bounded, equal, field, get, kind, text};
use crate::error::ArmError;
use serde_json::{Map, Value};
use std::borrow::Cow;
use std::collections::BTreeMap;

/// A type of a parameter or an output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Type {
    /// A text.
    String,
    /// A text that is not shown.
    SecureString,
    /// A whole number.
    Int,
    /// True or false.
    Bool,
    /// An object.
    Object,
    /// An object that is not shown.
    SecureObject,
    /// An array.
    Array,
}

impl Type {
    /// Reads a type; its spelling has no fixed case.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Some(match text.to_ascii_lowercase().as_str() {
            "string" => Self::String,
            "securestring" => Self::SecureString,
            "int" => Self::Int,
            "bool" => Self::Bool,
            "object" => Self::Object,
            "secureobject" => Self::SecureObject,
            "array" => Self::Array,
            _ => return None,
        })
    }

    /// Returns the name as Azure's answers spell it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::String => "String",
            Self::SecureString => "SecureString",
            Self::Int => "Int",
            Self::Bool => "Bool",
            Self::Object => "Object",
            Self::SecureObject => "SecureObject",
            Self::Array => "Array",
        }
    }

    /// Returns whether values of the type are kept to themselves.
    #[must_use]
    pub fn is_secure(self) -> bool {
        matches!(self, Self::SecureString | Self::SecureObject)
    }

    /// Returns what JSON must be there.
    fn expected(self) -> &'static str {
        match self {
            Self::String | Self::SecureString => "String, Uri",
            Self::Int => "Integer",
            Self::Bool => "Boolean",
            Self::Object | Self::SecureObject => "Object",
            Self::Array => "Array",
        }
    }

    /// Returns whether a value is of the type.
    #[must_use]
    pub fn fits(self, value: &Value) -> bool {
        match self {
            Self::String | Self::SecureString => value.is_string(),
            Self::Int => value.is_i64() || value.is_u64(),
            Self::Bool => value.is_boolean(),
            Self::Object | Self::SecureObject => value.is_object(),
            Self::Array => value.is_array(),
        }
    }
}

/// The parameters of a template, sorted out.
#[derive(Debug, Default)]
pub struct Parameters {
    /// The values given.
    pub given: BTreeMap<String, Value>,
    /// The default values of those not given, not worked out yet.
    pub defaults: BTreeMap<String, Value>,
    /// Names and types in the order of the template.
    pub types: Vec<(String, Type)>,
}

/// Sorts out what is given against what the template declares. Values that are given are checked;
/// those of defaults are when they are worked out, by [`check`].
///
/// # Errors
///
/// A name is not declared, a value is missing or not accepted, or a declaration is not as it must be.
pub fn sort_out(
    template: &Map<String, Value>,
    given: &Map<String, Value>,
    budget: &Budget,
) -> Result<Parameters, ArmError> {
    let none = Map::new();
    let declared = match field(template, "parameters") {
        None | Some(Value::Null) => &none,
        Some(Value::Object(declared)) => declared,
        Some(_) => {
            return Err(bad(
                "'parameters' of the template is an object",
                "parameters",
            ));
        }
    };
    let most = budget.limits().parameters;
    Limits::check("parameters", declared.len(), most).map_err(taken)?;
    // Each of the names is looked for among the others.
    let names = given.len().saturating_add(declared.len());
    let pairs = names.saturating_mul(declared.len());
    budget.read(pairs.saturating_mul(8)).map_err(taken)?;
    refuse_unknown(declared, given)?;
    let mut sorted = Parameters::default();
    for (name, declaration) in declared {
        let path = format!("parameters.{name}");
        let declaration = resolved(template, declaration, &path, budget)?;
        let kind = type_of(&declaration, &path)?;
        sorted.types.push((name.clone(), kind));
        let value = field(given, name).filter(|value| !value.is_null());
        let is_nullable = get(&declaration, "nullable").and_then(Value::as_bool) == Some(true);
        match (value, get(&declaration, "defaultValue")) {
            (Some(value), _) => {
                check_value(template, name, &declaration, value, budget)?;
                budget.keep_value(value, 1).map_err(taken)?;
                sorted.given.insert(name.clone(), value.clone());
            }
            (None, Some(default)) => {
                budget.keep_value(default, 1).map_err(taken)?;
                sorted.defaults.insert(name.clone(), default.clone());
            }
            (None, None) if is_nullable => {
                sorted.given.insert(name.clone(), Value::Null);
            }
            (None, None) => {
                return Err(bad(
                    &format!(
                        "The value for the template parameter '{name}' is not provided. Please see https://aka.ms/arm-create-parameter-file for usage details"
                    ),
                    &path,
                ));
            }
        }
    }
    Ok(sorted)
}

/// Checks the value of a parameter that came from its default.
///
/// # Errors
///
/// It is not accepted.
pub fn check(
    template: &Map<String, Value>,
    name: &str,
    value: &Value,
    budget: &Budget,
) -> Result<(), ArmError> {
    let declaration = field(template, "parameters").and_then(|declared| get(declared, name));
    match declaration {
        Some(declaration) => {
            let path = format!("parameters.{name}");
            let declaration = resolved(template, declaration, &path, budget)?;
            check_value(template, name, &declaration, value, budget)
        }
        None => Ok(()),
    }
}

/// Returns whether the template declares a parameter as secure.
#[must_use]
pub fn is_secure(template: &Map<String, Value>, name: &str, budget: &Budget) -> bool {
    let declared = field(template, "parameters").and_then(|declared| get(declared, name));
    let declared = declared.and_then(|it| resolved(template, it, name, budget).ok());
    let kind = declared.and_then(|it| Type::parse(get(&it, "type")?.as_str()?));
    kind.is_some_and(Type::is_secure)
}

fn refuse_unknown(
    declared: &Map<String, Value>,
    given: &Map<String, Value>,
) -> Result<(), ArmError> {
    let unknown: Vec<&str> = given
        .keys()
        .filter(|name| field(declared, name).is_none())
        .map(String::as_str)
        .take(100)
        .collect();
    if unknown.is_empty() {
        return Ok(());
    }
    let supported: Vec<&str> = declared.keys().map(String::as_str).collect();
    Err(bad(
        &format!(
            "The template parameters '{}' in the parameters file are not valid; they are not present in the original template and can therefore not be provided at deployment time. The only supported parameters for this template are '{}'. Please see https://aka.ms/arm-pass-parameter-values for usage details",
            shortened(&unknown.join(", "), 2_000),
            shortened(&supported.join(", "), 2_000)
        ),
        "parameters",
    ))
}

fn type_of(declaration: &Value, path: &str) -> Result<Type, ArmError> {
    let name = get(declaration, "type")
        .and_then(Value::as_str)
        .unwrap_or_default();
    Type::parse(name).ok_or_else(|| {
        bad(
            &format!(
                "The type '{name}' of '{path}' is not valid; accepted: string, securestring, int, bool, object, secureObject, array"
            ),
            path,
        )
    })
}

/// Returns a declaration with what it refers to in `definitions` filled in.
fn resolved<'d>(
    template: &Map<String, Value>,
    declaration: &'d Value,
    path: &str,
    budget: &Budget,
) -> Result<Cow<'d, Value>, ArmError> {
    const MOST: usize = 16;
    let mut declaration = Cow::Borrowed(declaration);
    for _ in 0..MOST {
        let Some(reference) = get(&declaration, "$ref").and_then(Value::as_str) else {
            return Ok(declaration);
        };
        let definition = reference
            .strip_prefix("#/definitions/")
            .and_then(|name| get(field(template, "definitions")?, name))
            .and_then(Value::as_object)
            .ok_or_else(|| {
                bad(
                    &format!(
                        "'{path}' refers to '{reference}', which the template does not define"
                    ),
                    path,
                )
            })?;
        let mark = budget.mark();
        budget.charge_fields(definition).map_err(taken)?;
        budget.charge(&declaration).map_err(taken)?;
        budget.release(mark);
        let mut merged = definition.clone();
        if let Value::Object(own) = &*declaration {
            for (name, value) in own.iter().filter(|(name, _)| *name != "$ref") {
                merged.insert(name.clone(), value.clone());
            }
        }
        declaration = Cow::Owned(Value::Object(merged));
    }
    Err(bad(
        &format!("'{path}' refers to definitions in a circle"),
        path,
    ))
}

fn check_value(
    template: &Map<String, Value>,
    name: &str,
    declaration: &Value,
    value: &Value,
    budget: &Budget,
) -> Result<(), ArmError> {
    let checker = Checker {
        template,
        parameter: name,
        budget,
    };
    checker.check(declaration, value, name, 0)
}

struct Checker<'a> {
    template: &'a Map<String, Value>,
    parameter: &'a str,
    budget: &'a Budget,
}

impl Checker<'_> {
    /// Checks a value at a path of a parameter.
    fn check(
        &self,
        declaration: &Value,
        value: &Value,
        path: &str,
        depth: usize,
    ) -> Result<(), ArmError> {
        const MOST: usize = 50;
        if depth > MOST {
            return Err(self.refuse(path, "its type is defined too deep"));
        }
        self.budget.step().map_err(taken)?;
        self.budget.read(path.len()).map_err(taken)?;
        if value.is_null() && get(declaration, "nullable").and_then(Value::as_bool) == Some(true) {
            return Ok(());
        }
        let wanted = type_of(declaration, &format!("parameters.{}", self.parameter))?;
        if !wanted.fits(value) {
            let why = format!(
                "Template parameter JToken type is not valid. Expected '{}'. Actual '{}'. Please see https://aka.ms/arm-create-parameter-file for usage details",
                wanted.expected(),
                kind(value)
            );
            return Err(self.refuse(path, &why));
        }
        self.allowed(declaration, value, wanted, path)?;
        self.bounds(declaration, value, path)?;
        self.inside(declaration, value, path, depth)
    }

    fn refuse(&self, path: &str, why: &str) -> ArmError {
        let (path, why) = (shortened(path, 200), shortened(why, 2_000));
        bad(
            &format!("The provided value for the template parameter '{path}' is not valid. {why}"),
            &format!("parameters.{}", self.parameter),
        )
    }

    fn allowed(
        &self,
        declaration: &Value,
        value: &Value,
        wanted: Type,
        path: &str,
    ) -> Result<(), ArmError> {
        let Some(allowed) = get(declaration, "allowedValues").and_then(Value::as_array) else {
            return Ok(());
        };
        // Each element may be compared with each that is allowed.
        let each = size(value, usize::MAX).work;
        let all = u64::try_from(allowed.len()).unwrap_or(u64::MAX);
        self.budget.spend(each.saturating_mul(all)).map_err(taken)?;
        let is_allowed = |value: &Value| allowed.iter().any(|one| equal(one, value));
        // An array is accepted if all its elements are.
        let fits = is_allowed(value)
            || value
                .as_array()
                .is_some_and(|items| items.iter().all(is_allowed));
        if fits {
            return Ok(());
        }
        let shown: Vec<String> = allowed.iter().take(100).map(brief).collect();
        let value = match wanted.is_secure() {
            true => "***".to_owned(),
            false => brief(value),
        };
        Err(self.refuse(
            path,
            &format!(
                "The parameter value '{value}' is not part of the allowed value(s): '{}'",
                shown.join(",")
            ),
        ))
    }

    fn bounds(&self, declaration: &Value, value: &Value, path: &str) -> Result<(), ArmError> {
        let (size, what, low, high) = match value {
            Value::String(text) => (
                i64::try_from(text.chars().count()).ok(),
                "Length of the value",
                "minLength",
                "maxLength",
            ),
            Value::Array(items) => (
                i64::try_from(items.len()).ok(),
                "Length of the value",
                "minLength",
                "maxLength",
            ),
            Value::Number(number) => (number.as_i64(), "The value", "minValue", "maxValue"),
            _ => return Ok(()),
        };
        let bound = |name| get(declaration, name).and_then(Value::as_i64);
        if let (Some(size), Some(low)) = (size, bound(low))
            && size < low
        {
            let why = format!("{what} should be greater than or equal to '{low}'");
            return Err(self.refuse(path, &why));
        }
        if let (Some(size), Some(high)) = (size, bound(high))
            && size > high
        {
            let why = format!("{what} should be less than or equal to '{high}'");
            return Err(self.refuse(path, &why));
        }
        Ok(())
    }

    /// Checks what is inside an array or object, where the type says something about it.
    fn inside(
        &self,
        declaration: &Value,
        value: &Value,
        path: &str,
        depth: usize,
    ) -> Result<(), ArmError> {
        let depth = depth.saturating_add(1);
        if let (Some(items), Some(inner @ Value::Object(_))) =
            (value.as_array(), get(declaration, "items"))
        {
            let inner = resolved(self.template, inner, path, self.budget)?;
            for (at, item) in items.iter().enumerate() {
                self.check(&inner, item, &format!("{path}[{at}]"), depth)?;
            }
        }
        let Some(fields) = value.as_object() else {
            return Ok(());
        };
        let none = Map::new();
        let properties = get(declaration, "properties").and_then(Value::as_object);
        let (properties_known, found) = (properties.map_or(0, Map::len), fields.len());
        let pairs = properties_known.saturating_mul(found);
        self.budget.read(pairs.saturating_mul(8)).map_err(taken)?;
        for (name, inner) in properties.unwrap_or(&none) {
            let inner = resolved(self.template, inner, path, self.budget)?;
            let path = format!("{path}.{name}");
            match field(fields, name) {
                Some(value) => self.check(&inner, value, &path, depth)?,
                None if get(&inner, "nullable").and_then(Value::as_bool) == Some(true) => {}
                None => return Err(self.refuse(&path, "The property is missing")),
            }
        }
        let is_sealed = get(declaration, "additionalProperties") == Some(&Value::Bool(false));
        let unknown = fields
            .keys()
            .find(|name| properties.is_some_and(|known| field(known, name).is_none()));
        match unknown {
            Some(unknown) if is_sealed => Err(self.refuse(
                &format!("{path}.{unknown}"),
                "The type has no such property",
            )),
            _ => Ok(()),
        }
    }
}

/// Returns a value for an error.
fn brief(value: &Value) -> String {
    bounded(value, 1_000).map_or_else(|| "...".to_owned(), |_| shortened(&text(value), 200))
}

fn taken(problem: Problem) -> ArmError {
    Located::from(problem).under("parameters").error("")
}

fn bad(why: &str, target: &str) -> ArmError {
    invalid(format!("Deployment template validation failed: '{why}'.")).at(target)
}
