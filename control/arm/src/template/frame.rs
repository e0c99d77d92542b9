//! The names of one template: its parameters, variables and functions, and the place that it is
//! deployed to.

use super::budget::Budget;
use super::evaluate::{Env, Evaluator, Phase};
use super::limits::Limits;
use super::problem::{Located, Problem, shortened};
use super::value::get;
use crate::id::Scope;
use serde_json::{Map, Value};
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Where a template is deployed to.
#[derive(Clone, Debug)]
pub struct Place {
    /// The resource group or the subscription.
    pub scope: Scope,
    /// What `subscription()` returns.
    pub subscription: Value,
    /// What `resourceGroup()` returns; null at a subscription.
    pub group: Value,
    /// What `deployment()` returns.
    pub deployment: Value,
}

/// The names of one template, by their lower case: the language does not tell cases apart.
#[derive(Debug)]
pub struct Frame {
    /// Where it is deployed to.
    pub place: Arc<Place>,
    parameters: Names,
    variables: Names,
    functions: Arc<Functions>,
    /// The parameters that are secure.
    secure: Arc<BTreeSet<String>>,
}

/// The functions that a template declares, by namespace and name in lower case.
pub type Functions = BTreeMap<(String, String), Function>;

type Names = RefCell<BTreeMap<String, Slot>>;

/// A parameter or a variable.
#[derive(Clone, Debug)]
enum Slot {
    /// As the template has it; worked out when it is asked for.
    Raw(Arc<Value>),
    /// An element of `copy`: `count` and `input`.
    Loop(Arc<Value>),
    /// It is being worked out.
    Busy,
    /// Worked out; whether it is of a secure parameter.
    Done(Arc<Value>, bool),
}

/// A function that a template declares.
#[derive(Clone, Debug)]
pub struct Function {
    /// The names of its parameters in order.
    pub parameters: Vec<String>,
    /// What it returns.
    pub output: Arc<Value>,
}

/// Which names of a frame are meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Those of `parameters('x')`.
    Parameter,
    /// Those of `variables('x')`.
    Variable,
}

impl Frame {
    /// Returns the frame of a template at a place: parameters that are given or have a default value,
    /// and which of them are secure.
    ///
    /// # Errors
    ///
    /// `variables` or `functions` are not as they must be.
    pub fn new(
        place: Arc<Place>,
        template: &Map<String, Value>,
        given: BTreeMap<String, Value>,
        defaults: BTreeMap<String, Value>,
        secure: impl IntoIterator<Item = String>,
    ) -> Result<Self, Located> {
        let secure: BTreeSet<String> = secure
            .into_iter()
            .map(|name| name.to_ascii_lowercase())
            .collect();
        let mut parameters = BTreeMap::new();
        for (name, value) in defaults {
            parameters.insert(name.to_ascii_lowercase(), Slot::Raw(Arc::new(value)));
        }
        for (name, value) in given {
            let key = name.to_ascii_lowercase();
            let is_secret = secure.contains(&key);
            parameters.insert(key, Slot::Done(Arc::new(value), is_secret));
        }
        Ok(Self {
            place,
            parameters: RefCell::new(parameters),
            variables: RefCell::new(variables(template)?),
            functions: Arc::new(functions(template)?),
            secure: Arc::new(secure),
        })
    }

    /// Takes what the names take that a template declares.
    ///
    /// # Errors
    ///
    /// There are too many, or there is not that much left.
    pub fn admit(template: &Map<String, Value>, budget: &Budget) -> Result<(), Problem> {
        for part in ["variables", "functions"] {
            if let Some(declared) = super::value::field(template, part) {
                budget.keep_value(declared, 1)?;
            }
        }
        let declared = super::value::field(template, "variables").and_then(Value::as_object);
        let count = declared
            .into_iter()
            .flatten()
            .map(|(name, value)| match value {
                Value::Array(loops) if name.eq_ignore_ascii_case("copy") => loops.len(),
                _ => 1,
            });
        Limits::check("variables", count.sum(), budget.limits().variables)
    }

    /// Returns the frame of a call of a function that the template declares: it sees its parameters
    /// and the template's functions, and nothing else.
    #[must_use]
    pub fn of_call(&self, function: &Function, arguments: Vec<Arc<Value>>) -> Self {
        let parameters = function
            .parameters
            .iter()
            .map(|name| name.to_ascii_lowercase())
            .zip(arguments.into_iter().map(|value| Slot::Done(value, false)));
        Self {
            place: Arc::clone(&self.place),
            parameters: RefCell::new(parameters.collect()),
            variables: RefCell::default(),
            functions: Arc::clone(&self.functions),
            secure: Arc::default(),
        }
    }

    /// Returns the frame for what a nested template says in the names of this one, at another place.
    #[must_use]
    pub fn at(&self, place: Arc<Place>) -> Self {
        Self {
            place,
            parameters: self.parameters.clone(),
            variables: self.variables.clone(),
            functions: Arc::clone(&self.functions),
            secure: Arc::clone(&self.secure),
        }
    }

    /// Returns a function that the template declares.
    #[must_use]
    pub fn function(&self, namespace: &str, name: &str) -> Option<&Function> {
        let key = (namespace.to_ascii_lowercase(), name.to_ascii_lowercase());
        self.functions.get(&key)
    }

    /// Returns the value of a parameter or a variable.
    ///
    /// # Errors
    ///
    /// There is none, or working it out fails.
    pub fn value(
        &self,
        kind: Kind,
        name: &str,
        evaluator: &Evaluator<'_>,
        env: Env<'_>,
    ) -> Result<Arc<Value>, Problem> {
        let names = match kind {
            Kind::Parameter => &self.parameters,
            Kind::Variable => &self.variables,
        };
        let key = name.to_ascii_lowercase();
        // Nothing of the map is borrowed while the value is worked out: that asks for other names.
        let slot = names.borrow().get(&key).cloned();
        let (raw, repeated) = match slot {
            None => return Err(kind.missing(name)),
            Some(Slot::Done(value, is_secret)) => {
                if is_secret {
                    evaluator.session.uses_secret();
                }
                return Ok(value);
            }
            Some(Slot::Busy) => return Err(Problem::Circular(kind.word(), name.to_owned())),
            Some(Slot::Raw(raw)) => (raw, false),
            Some(Slot::Loop(raw)) => (raw, true),
        };
        names.borrow_mut().insert(key.clone(), Slot::Busy);
        let budget = &evaluator.session.budget;
        let mark = budget.mark();
        let env = env.of_name(match kind {
            Kind::Parameter => Phase::Parameters,
            Kind::Variable => Phase::Variables,
        })?;
        let (value, mut is_secret) = evaluator.session.watch(|| match repeated {
            true => evaluator.repeat(&raw, name, env),
            false => evaluator.value(&raw, env),
        });
        if kind == Kind::Parameter && self.secure.contains(&key) {
            is_secret = true;
            evaluator.session.uses_secret();
        }
        match value {
            Ok(value) => {
                budget.release(mark);
                budget.keep_value(&value, 1)?;
                let value = Arc::new(value);
                let slot = Slot::Done(Arc::clone(&value), is_secret);
                names.borrow_mut().insert(key, slot);
                Ok(value)
            }
            Err(located) => {
                let back = match repeated {
                    true => Slot::Loop(raw),
                    false => Slot::Raw(raw),
                };
                names.borrow_mut().insert(key, back);
                Err(kind.within(name, located))
            }
        }
    }

    /// Returns the names of all parameters or variables, in lower case.
    #[must_use]
    pub fn names(&self, kind: Kind) -> Vec<String> {
        match kind {
            Kind::Parameter => self.parameters.borrow().keys().cloned().collect(),
            Kind::Variable => self.variables.borrow().keys().cloned().collect(),
        }
    }
}

impl Kind {
    fn word(self) -> &'static str {
        match self {
            Self::Parameter => "parameter",
            Self::Variable => "variable",
        }
    }

    fn missing(self, name: &str) -> Problem {
        match self {
            Self::Parameter => Problem::NoParameter(shortened(name, 200)),
            Self::Variable => Problem::NoVariable(shortened(name, 200)),
        }
    }

    /// Says in the problem of an expression that it comes from the value of a name.
    fn within(self, name: &str, located: Located) -> Problem {
        match located.problem {
            // These are about the deployment, not about the place.
            Problem::NotYet(_)
            | Problem::Resource(_)
            | Problem::Limit(_)
            | Problem::Memory(_)
            | Problem::Cancelled => located.problem,
            Problem::Circular(..) => located.problem,
            ref problem => {
                let path = located.path();
                let below = match path.as_str() {
                    "" => String::new(),
                    path => format!(" at '{path}'"),
                };
                let expression = located.expression.as_deref().unwrap_or_default();
                // Variables of variables say it once for each.
                let expression = shortened(expression, 100);
                let problem = shortened(&problem.to_string(), 2_000);
                let name = shortened(name, 100);
                Problem::Template(format!(
                    "the {} '{name}'{below} '{expression}': {problem}",
                    self.word()
                ))
            }
        }
    }
}

/// Reads `variables`: names and values, and `copy`, whose elements are names as well.
fn variables(template: &Map<String, Value>) -> Result<BTreeMap<String, Slot>, Located> {
    let mut slots = BTreeMap::new();
    let declared = match super::value::field(template, "variables") {
        None | Some(Value::Null) => return Ok(slots),
        Some(Value::Object(declared)) => declared,
        Some(_) => return Err(wrong("an object is expected").under("variables")),
    };
    for (name, value) in declared {
        match (name.eq_ignore_ascii_case("copy"), value) {
            (true, Value::Array(loops)) => {
                for (at, element) in loops.iter().enumerate() {
                    let name = get(element, "name").and_then(Value::as_str);
                    let Some(name) = name else {
                        return Err(wrong("'name', 'count' and 'input' are expected")
                            .within(at)
                            .under("copy")
                            .under("variables"));
                    };
                    let raw = Arc::new(element.clone());
                    slots.insert(name.to_ascii_lowercase(), Slot::Loop(raw));
                }
            }
            _ => {
                let raw = Arc::new(value.clone());
                slots.insert(name.to_ascii_lowercase(), Slot::Raw(raw));
            }
        }
    }
    Ok(slots)
}

/// Reads `functions`: `[{"namespace": "n", "members": {"f": {"parameters": [...], "output": {...}}}}]`.
fn functions(template: &Map<String, Value>) -> Result<Functions, Located> {
    let mut functions = Functions::new();
    let declared = match super::value::field(template, "functions") {
        None | Some(Value::Null) => return Ok(functions),
        Some(Value::Array(declared)) => declared,
        Some(_) => return Err(wrong("an array is expected").under("functions")),
    };
    for (at, space) in declared.iter().enumerate() {
        let bad = |why| wrong(why).within(at).under("functions");
        let namespace = get(space, "namespace")
            .and_then(Value::as_str)
            .ok_or_else(|| bad("'namespace' is expected"))?;
        let members = get(space, "members")
            .and_then(Value::as_object)
            .ok_or_else(|| bad("'members' is expected"))?;
        for (name, member) in members {
            let output = get(member, "output")
                .and_then(|output| get(output, "value"))
                .ok_or_else(|| bad("each member needs 'output' with 'value'"))?;
            let parameters = match get(member, "parameters") {
                None | Some(Value::Null) => Vec::new(),
                Some(Value::Array(parameters)) => parameters
                    .iter()
                    .map(|one| get(one, "name").and_then(Value::as_str).map(str::to_owned))
                    .collect::<Option<_>>()
                    .ok_or_else(|| bad("each parameter needs 'name'"))?,
                Some(_) => return Err(bad("'parameters' of a function is an array")),
            };
            let key = (namespace.to_ascii_lowercase(), name.to_ascii_lowercase());
            let output = Arc::new(output.clone());
            functions.insert(key, Function { parameters, output });
        }
    }
    Ok(functions)
}

fn wrong(why: &str) -> Located {
    Problem::Template(why.to_owned()).into()
}
