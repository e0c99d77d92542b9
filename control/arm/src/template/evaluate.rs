//! Works out expressions, and whole values with expressions in them.

use super::budget::{MAX_COUNT, MAX_DEPTH, size};
use super::expression::{Expression, Text, classify};
use super::frame::Frame;
use super::functions;
use super::problem::{Located, Problem, shortened};
use super::session::Session;
use super::value::{Held, field, get, kind};
use super::world::World;
use serde_json::{Map, Value};

/// The part of a template that is worked out: not every function is for every part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Default values of parameters.
    Parameters,
    /// Variables.
    Variables,
    /// The output of a function of the template's own.
    Function,
    /// What must be known before anything is deployed: names, conditions, counts, dependencies.
    Names,
    /// The rest of a resource.
    Body,
    /// Outputs.
    Outputs,
}

/// A copy loop that is around an expression.
#[derive(Clone, Copy, Debug)]
pub struct Loop<'a> {
    /// Its name.
    pub name: &'a str,
    /// The iteration, from 0.
    pub index: usize,
    /// Whether `copyIndex()` without a name means it: loops of resources and outputs, not those of
    /// properties and variables.
    pub is_default: bool,
    /// The loop around it.
    pub outer: Option<&'a Loop<'a>>,
}

/// The value of a lambda's variable.
#[derive(Clone, Copy, Debug)]
pub struct Binding<'a> {
    /// The name of the variable.
    pub name: &'a str,
    /// Its value.
    pub value: &'a Value,
    /// The binding around it.
    pub outer: Option<&'a Binding<'a>>,
}

/// What is around an expression.
#[derive(Clone, Copy, Debug)]
pub struct Env<'a> {
    /// The part of the template.
    pub phase: Phase,
    /// The copy loops.
    pub loops: Option<&'a Loop<'a>>,
    /// The variables of lambdas.
    pub bindings: Option<&'a Binding<'a>>,
    /// Whether properties and elements that use a secure parameter are left out.
    pub leaves_secrets: bool,
    depth: usize,
}

/// What is needed to work something out.
#[derive(Clone, Copy)]
pub struct Evaluator<'a> {
    /// The deployment.
    pub session: &'a Session,
    /// The names of the template.
    pub frame: &'a Frame,
    /// The resources.
    pub world: &'a dyn World,
}

impl<'a> Env<'a> {
    /// Returns an environment without loops.
    #[must_use]
    pub fn new(phase: Phase) -> Self {
        Self {
            phase,
            loops: None,
            bindings: None,
            leaves_secrets: false,
            depth: 0,
        }
    }

    /// Returns the environment with another loop in it.
    #[must_use]
    pub fn with_loops(self, loops: Option<&'a Loop<'a>>) -> Self {
        Self { loops, ..self }
    }

    /// Returns the environment that leaves secrets out.
    #[must_use]
    pub fn without_secrets(self) -> Self {
        Self {
            leaves_secrets: true,
            ..self
        }
    }

    /// Returns the environment with a lambda's variables in it.
    #[must_use]
    pub fn with_bindings(self, bindings: Option<&'a Binding<'a>>) -> Self {
        Self { bindings, ..self }
    }

    /// Returns the environment of the value of a name or of a function: it sees no loop and no
    /// lambda, and is as deep as whoever asks.
    ///
    /// # Errors
    ///
    /// It is too deep.
    pub fn of_name<'b>(self, phase: Phase) -> Result<Env<'b>, Problem> {
        Ok(Env {
            phase,
            loops: None,
            bindings: None,
            leaves_secrets: false,
            depth: self.deeper()?.depth,
        })
    }

    /// Returns the environment one level deeper.
    ///
    /// # Errors
    ///
    /// It is too deep.
    pub fn deeper(self) -> Result<Self, Problem> {
        let depth = self.depth.saturating_add(1);
        match depth > MAX_DEPTH {
            true => Err(Problem::Limit("it nests deeper than 250 levels")),
            false => Ok(Self { depth, ..self }),
        }
    }
}

impl Evaluator<'_> {
    /// Works out a value: strings that are expressions, names of properties that are, and `copy` of
    /// properties.
    ///
    /// # Errors
    ///
    /// An expression has no value; the error says where.
    pub fn value(&self, value: &Value, env: Env<'_>) -> Result<Value, Located> {
        self.session.budget.step()?;
        match value {
            Value::String(text) => self.string(text, env),
            Value::Array(items) => {
                self.session.budget.take(0)?;
                let env = env.deeper()?;
                let mut result = Vec::with_capacity(items.len());
                for (at, item) in items.iter().enumerate() {
                    let item = self.kept(item, env).map_err(|located| located.within(at))?;
                    result.extend(item);
                }
                Ok(Value::Array(result))
            }
            Value::Object(fields) => Ok(Value::Object(self.object(fields, env)?)),
            Value::Null | Value::Bool(_) | Value::Number(_) => {
                self.session.budget.take(0)?;
                Ok(value.clone())
            }
        }
    }

    /// Works out a property or an element; `None`: it is a secret to be left out.
    fn kept(&self, value: &Value, env: Env<'_>) -> Result<Option<Value>, Located> {
        match value {
            Value::String(text) if env.leaves_secrets => {
                let (value, is_secret) = self.session.watch(|| self.value(value, env));
                let is_secret = is_secret && matches!(classify(text), Text::Expression(_));
                value.map(|value| Some(value).filter(|_| !is_secret))
            }
            value => self.value(value, env).map(Some),
        }
    }

    /// Works out a string.
    ///
    /// # Errors
    ///
    /// It is an expression without a value.
    pub fn string(&self, text: &str, env: Env<'_>) -> Result<Value, Located> {
        match classify(text) {
            Text::Literal(text) => {
                self.session.budget.take(text.len())?;
                Ok(Value::from(text))
            }
            Text::Expression(inner) => {
                let evaluate = || {
                    let read = self.session.parse(inner)?;
                    self.whole(self.expression(&read, env)?)
                };
                let (value, is_secret) = self.session.watch(evaluate);
                value.map_err(|problem| match is_secret {
                    true => Located::of(problem.hidden(), text),
                    false => Located::of(problem, text),
                })
            }
        }
    }

    /// Takes a value over.
    pub(super) fn whole(&self, held: Held) -> Result<Value, Problem> {
        if let Held::Shared(shared) = &held {
            self.session.budget.charge(shared)?;
        }
        Ok(held.into_value())
    }

    fn object(
        &self,
        fields: &Map<String, Value>,
        env: Env<'_>,
    ) -> Result<Map<String, Value>, Located> {
        self.session.budget.take(0)?;
        let env = env.deeper()?;
        let mut result = Map::with_capacity(fields.len());
        for (name, value) in fields {
            let under = |located: Located| located.under(name);
            if let Some(loops) = property_loops(name, value) {
                for (at, element) in loops.iter().enumerate() {
                    let under = |located: Located| located.within(at).under(name);
                    let target = self.loop_name(element, env).map_err(under)?;
                    let items = || self.repeat(element, &target, env);
                    let (items, is_secret) = self.session.watch(items);
                    let items = items.map_err(under)?;
                    // Elements that are objects leave their own out.
                    let is_whole = get(element, "input").is_some_and(Value::is_string);
                    if !(env.leaves_secrets && is_secret && is_whole) {
                        result.insert(target, items);
                    }
                }
                continue;
            }
            let Some(value) = self.kept(value, env).map_err(under)? else {
                continue;
            };
            match classify(name) {
                Text::Literal(name) => {
                    self.session.budget.take(name.len())?;
                    result.insert(name.to_owned(), value);
                }
                Text::Expression(_) => match self.kept(&Value::from(name.as_str()), env) {
                    Ok(None) => {}
                    Ok(Some(Value::String(name))) => {
                        result.insert(name, value);
                    }
                    Err(located) => return Err(under(located)),
                    Ok(Some(other)) => {
                        return Err(under(Located::of(
                            Problem::Template(format!(
                                "the name of a property is a string, not of type '{}'",
                                kind(&other)
                            )),
                            name,
                        )));
                    }
                },
            }
        }
        Ok(result)
    }

    fn loop_name(&self, element: &Value, env: Env<'_>) -> Result<String, Located> {
        let name = get(element, "name").and_then(Value::as_str);
        let name = name.ok_or_else(|| {
            Problem::Template("'name', 'count' and 'input' are expected".to_owned())
        })?;
        match self.string(name, env)? {
            Value::String(name) => Ok(name),
            _ => Err(Problem::Template("the name of a loop is a string".to_owned()).into()),
        }
    }

    /// Works out an element of a `copy` of properties or variables: an array of `count` times `input`.
    ///
    /// # Errors
    ///
    /// `count` is no count, or an expression has no value.
    pub fn repeat(&self, element: &Value, name: &str, env: Env<'_>) -> Result<Value, Located> {
        let count = self.count(element, env)?;
        let input = get(element, "input")
            .ok_or_else(|| Problem::Template("'input' of the loop is missing".to_owned()))?;
        let one = |index| {
            let inner = Loop {
                name,
                index,
                is_default: false,
                outer: env.loops,
            };
            self.value(input, env.with_loops(Some(&inner)))
                .map_err(|located| located.under("input"))
        };
        Ok(Value::Array((0..count).map(one).collect::<Result<_, _>>()?))
    }

    /// Works out `count` of a loop.
    ///
    /// # Errors
    ///
    /// It is no whole number from 0 to [`MAX_COUNT`].
    pub fn count(&self, element: &Value, env: Env<'_>) -> Result<usize, Located> {
        let raw = get(element, "count")
            .ok_or_else(|| Problem::Template("'count' of the loop is missing".to_owned()))?;
        let value = self
            .value(raw, env)
            .map_err(|located| located.under("count"))?;
        let count = value.as_i64().and_then(|count| usize::try_from(count).ok());
        match count {
            Some(count) if count <= MAX_COUNT => Ok(count),
            _ => Err(Located::from(Problem::Template(format!(
                "The copy count must be a whole number from 0 to {MAX_COUNT}. The provided value is '{}'.",
                shortened(&value.to_string(), 200)
            )))
            .under("count")),
        }
    }

    /// Works out an expression.
    ///
    /// # Errors
    ///
    /// It has no value.
    pub fn expression(&self, expression: &Expression, env: Env<'_>) -> Result<Held, Problem> {
        let budget = &self.session.budget;
        budget.step()?;
        let env = env.deeper()?;
        let mark = budget.mark();
        let held = match expression {
            Expression::Text(text) => Value::from(text.as_str()).into(),
            Expression::Integer(number) => Value::from(*number).into(),
            Expression::Call {
                namespace,
                name,
                arguments,
            } => functions::call(self, namespace.as_deref(), name, arguments, env)?,
            Expression::Property(..) | Expression::Index(..) => self.select(expression, env)?,
        };
        budget.settle(mark, &held)?;
        Ok(held)
    }

    /// Works out a row of properties and indexes. Only what is at its end is copied.
    fn select(&self, expression: &Expression, env: Env<'_>) -> Result<Held, Problem> {
        let mut steps = Vec::new();
        let mut base = expression;
        loop {
            match base {
                Expression::Property(of, name) => {
                    steps.push(Value::from(name.as_str()));
                    base = of;
                }
                Expression::Index(of, index) => {
                    steps.push(self.expression(index, env)?.into_value());
                    base = of;
                }
                Expression::Text(_) | Expression::Integer(_) | Expression::Call { .. } => break,
            }
        }
        let base = self.expression(base, env)?;
        let mut at: &Value = &base;
        for step in steps.iter().rev() {
            self.looks_for(at, step)?;
            at = select(at, step)?;
        }
        // Bounded before it is copied, and taken when the expression ends.
        let size = size(at, usize::MAX).bytes;
        self.session.budget.admit(size)?;
        Ok(Held::Own(at.clone()))
    }
}

impl Evaluator<'_> {
    /// Takes the work of looking for a property whose name is spelled in another way.
    pub(super) fn looks_for(&self, value: &Value, step: &Value) -> Result<(), Problem> {
        match (value, step) {
            (Value::Object(fields), Value::String(name)) if !fields.contains_key(name) => {
                self.session.budget.read(fields.len().saturating_mul(8))
            }
            _ => Ok(()),
        }
    }
}

/// Returns the element or property of a value.
///
/// # Errors
///
/// There is none.
pub fn select<'v>(value: &'v Value, step: &Value) -> Result<&'v Value, Problem> {
    match (value, step) {
        (Value::Object(fields), Value::String(name)) => {
            field(fields, name).ok_or_else(|| Problem::NoProperty {
                name: shortened(name, 200),
                available: available(fields),
            })
        }
        (Value::Array(items), Value::Number(number)) => {
            let index = number.as_i64().unwrap_or(i64::MAX);
            usize::try_from(index)
                .ok()
                .and_then(|index| items.get(index))
                .ok_or(Problem::NoElement {
                    index,
                    length: items.len(),
                })
        }
        (value, step) => Err(Problem::NotSelectable {
            name: shortened(&super::value::text(step), 200),
            found: kind(value),
        }),
    }
}

fn available(fields: &Map<String, Value>) -> String {
    const MOST: usize = 20;
    let mut names: Vec<String> = fields
        .keys()
        .take(MOST)
        .map(|name| shortened(name, 100))
        .collect();
    if fields.len() > MOST {
        names.push("...".to_owned());
    }
    names.join(", ")
}

/// Returns the loops that `copy` in an object stands for; an array of that name that holds other things
/// is a property like any other.
fn property_loops<'v>(name: &str, value: &'v Value) -> Option<&'v Vec<Value>> {
    let loops = value.as_array()?;
    let is_loop = |element: &Value| {
        get(element, "name").is_some()
            && get(element, "count").is_some()
            && get(element, "input").is_some()
    };
    (name.eq_ignore_ascii_case("copy") && !loops.is_empty() && loops.iter().all(is_loop))
        .then_some(loops)
}
