//! Resources as a template declares them, and what they become: loops taken apart, children with their
//! full names, conditions decided.

use super::evaluate::{Env, Evaluator, Loop, Phase};
use super::limits::Limits;
use super::problem::{Located, Problem};
use super::value::{field, get, kind, text};
use crate::id::{ResourceId, Scope};
use serde_json::{Map, Value};
use std::sync::Arc;

/// What becomes of a resource of the template.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It is deployed.
    Deployed,
    /// Its condition is false.
    Left,
    /// It is there already, and only read.
    Existing,
}

/// A resource to be deployed: one of those that a loop makes, or the only one.
#[derive(Clone, Debug)]
pub struct Instance {
    /// A number that no other instance of the session has.
    pub number: u64,
    /// Its place in the template, such as `resources[2]`.
    pub path: String,
    /// Its symbolic name, with its index in a loop.
    pub symbol: Option<String>,
    /// The symbolic name or the loop's name that it shares with others.
    pub shared: Vec<String>,
    /// Its ID.
    pub id: ResourceId,
    /// Its name as the template gives it, such as `vnet1/subnet1`.
    pub name: String,
    /// The API version it is written for.
    pub api_version: Option<String>,
    /// The declaration.
    pub raw: Arc<Map<String, Value>>,
    /// The loops around it from the outside in: names and indexes.
    pub loops: Vec<(String, usize)>,
    /// What it depends on, as the template says it.
    pub dependencies: Vec<String>,
    /// What becomes of it.
    pub fate: Fate,
    /// Where it stands in a serial loop: the loop's name and its batch.
    pub batch: Option<(String, usize)>,
}

/// What the resources of a template become.
#[derive(Clone, Debug, Default)]
pub struct Expanded {
    /// The resources.
    pub instances: Vec<Instance>,
    /// The names of all loops, of those too that make nothing.
    pub loops: Vec<String>,
}

/// The type of nested deployments.
pub const DEPLOYMENTS: &str = "Microsoft.Resources/deployments";

/// The type of resource groups in templates.
pub const GROUPS: &str = "Microsoft.Resources/resourceGroups";

/// What an instance takes beside its declaration and its dependencies, in bytes of memory and of work.
const INSTANCE_BYTES: usize = 1_500;
const INSTANCE_WORK: u64 = 8_000;

/// The most resources that a deployment may have, loops taken apart and nested templates with it.
pub const MAX_RESOURCES: usize = 10_000;

/// Calls a function inside loops.
pub fn in_loops<R>(
    loops: &[(String, usize)],
    outer: Option<&Loop<'_>>,
    then: &mut dyn FnMut(Option<&Loop<'_>>) -> R,
) -> R {
    match loops.split_first() {
        None => then(outer),
        Some(((name, index), rest)) => {
            let inner = Loop {
                name,
                index: *index,
                is_default: true,
                outer,
            };
            in_loops(rest, Some(&inner), then)
        }
    }
}

/// Takes the resources of a template apart: what is filed at `target` unless it says otherwise, inside
/// the loops of the deployment that it is nested in.
///
/// # Errors
///
/// A declaration is not as it must be, or an expression that is needed for it has no value.
pub fn expand(
    evaluator: &Evaluator<'_>,
    template: &Map<String, Value>,
    target: &Scope,
    loops: &[(String, usize)],
) -> Result<Expanded, Located> {
    let mut expansion = Expansion {
        evaluator,
        target,
        found: Vec::new(),
        loops: Vec::new(),
    };
    let under = |located: Located| located.under("resources");
    match field(template, "resources") {
        None | Some(Value::Null) => {}
        Some(Value::Array(declared)) => {
            for (at, raw) in declared.iter().enumerate() {
                let place = Declared {
                    path: format!("resources[{at}]"),
                    symbol: None,
                    parent: None,
                    loops: loops.to_vec(),
                };
                expansion
                    .declaration(raw, &place)
                    .map_err(|located| under(located.within(at)))?;
            }
        }
        Some(Value::Object(declared)) => {
            for (symbol, raw) in declared {
                let place = Declared {
                    path: format!("resources.{symbol}"),
                    symbol: Some(symbol.clone()),
                    parent: None,
                    loops: loops.to_vec(),
                };
                expansion
                    .declaration(raw, &place)
                    .map_err(|located| under(located.under(symbol)))?;
            }
        }
        Some(_) => return Err(under(wrong("an array of resources is expected"))),
    }
    Ok(Expanded {
        instances: expansion.found,
        loops: expansion.loops,
    })
}

struct Expansion<'a> {
    evaluator: &'a Evaluator<'a>,
    target: &'a Scope,
    found: Vec<Instance>,
    loops: Vec<String>,
}

/// Where a declaration stands.
struct Declared {
    path: String,
    symbol: Option<String>,
    parent: Option<Parent>,
    loops: Vec<(String, usize)>,
}

/// The resource in whose `resources` a declaration is.
#[derive(Clone)]
struct Parent {
    kind: String,
    name: String,
    scope: Scope,
    fate: Fate,
}

impl Expansion<'_> {
    fn declaration(&mut self, raw: &Value, place: &Declared) -> Result<(), Located> {
        let raw = match raw {
            Value::Object(raw) => {
                self.evaluator.session.budget.charge_fields(raw)?;
                Arc::new(raw.clone())
            }
            other => {
                return Err(wrong(&format!(
                    "a resource is an object, not of type '{}'",
                    kind(other)
                )));
            }
        };
        let env = Env::new(Phase::Names);
        let Some(copy) = field(&raw, "copy").filter(|copy| copy.is_object()) else {
            return self.one(&raw, place, None);
        };
        let under = |located: Located| located.under("copy");
        let name = match get(copy, "name").and_then(Value::as_str) {
            Some(name) => self.evaluator.string(name, env).map_err(under)?,
            None => place.symbol.clone().map(Value::from).unwrap_or_default(),
        };
        let Value::String(name) = name else {
            return Err(under(wrong("the loop needs 'name'")));
        };
        let count = in_loops(&place.loops, None, &mut |loops| {
            self.evaluator.count(copy, env.with_loops(loops))
        })
        .map_err(under)?;
        let size = self.batch(copy).map_err(under)?;
        self.loops.push(name.clone());
        self.loops.extend(place.symbol.clone());
        for index in 0..count {
            let mut inner = place.loops.clone();
            inner.push((name.clone(), index));
            let place = Declared {
                path: place.path.clone(),
                symbol: place.symbol.clone(),
                parent: place.parent.clone(),
                loops: inner,
            };
            let batch = size.map(|size| (name.clone(), index / size));
            self.one(&raw, &place, Some((index, batch)))?;
        }
        Ok(())
    }

    /// Returns the size of the batches of a serial loop.
    fn batch(&self, copy: &Value) -> Result<Option<usize>, Located> {
        let mode = get(copy, "mode")
            .and_then(Value::as_str)
            .unwrap_or("parallel");
        if mode.eq_ignore_ascii_case("parallel") {
            return Ok(None);
        }
        if !mode.eq_ignore_ascii_case("serial") {
            return Err(wrong(&format!(
                "the copy mode '{mode:.100}' is not valid; accepted: Parallel, Serial"
            ))
            .under("mode"));
        }
        let size = match get(copy, "batchSize") {
            None => Value::from(1),
            Some(size) => self.evaluator.value(size, Env::new(Phase::Names))?,
        };
        match size.as_u64().and_then(|size| usize::try_from(size).ok()) {
            Some(size) if size > 0 => Ok(Some(size)),
            _ => Err(wrong("the batch size is a whole number from 1").under("batchSize")),
        }
    }

    fn one(
        &mut self,
        raw: &Arc<Map<String, Value>>,
        place: &Declared,
        of_loop: Option<(usize, Option<(String, usize)>)>,
    ) -> Result<(), Located> {
        let budget = &self.evaluator.session.budget;
        let count = self.found.len().saturating_add(1);
        Limits::check("resources", count, budget.limits().resources)?;
        budget.resources(1)?;
        budget.spend(INSTANCE_WORK)?;
        budget.keep(INSTANCE_BYTES)?;
        let head = in_loops(&place.loops, None, &mut |loops| {
            self.head(raw, place, Env::new(Phase::Names).with_loops(loops))
        })?;
        let (symbol, mut shared, mut batch) = (place.symbol.clone(), Vec::new(), None);
        let symbol = match (symbol, of_loop) {
            (symbol, None) => symbol,
            (symbol, Some((index, in_batch))) => {
                batch = in_batch;
                shared.extend(place.loops.last().map(|(name, _)| name.clone()));
                // Mostly a loop has the symbolic name as its own.
                let differs =
                    |symbol: &String| !shared.iter().any(|name| name.eq_ignore_ascii_case(symbol));
                let other = symbol.clone().filter(differs);
                shared.extend(other);
                symbol.map(|symbol| format!("{symbol}[{index}]"))
            }
        };
        let parent = Parent {
            kind: head.kind,
            name: head.name.clone(),
            scope: head.scope,
            fate: head.fate,
        };
        self.found.push(Instance {
            number: self.evaluator.session.number(),
            path: place.path.clone(),
            symbol,
            shared,
            id: head.id,
            name: head.name,
            api_version: head.api_version,
            raw: Arc::clone(raw),
            loops: place.loops.clone(),
            dependencies: head.dependencies,
            fate: head.fate,
            batch,
        });
        self.children(raw, place, &parent)
    }

    fn children(
        &mut self,
        raw: &Map<String, Value>,
        place: &Declared,
        parent: &Parent,
    ) -> Result<(), Located> {
        let under = |located: Located| located.under("resources");
        let at = |step: &str, symbol: Option<&String>| Declared {
            path: format!("{}.resources{step}", place.path),
            symbol: symbol.cloned(),
            parent: Some(parent.clone()),
            loops: place.loops.clone(),
        };
        match field(raw, "resources") {
            None | Some(Value::Null) => Ok(()),
            Some(Value::Array(children)) => {
                children.iter().enumerate().try_for_each(|(index, child)| {
                    self.declaration(child, &at(&format!("[{index}]"), None))
                        .map_err(|located| under(located.within(index)))
                })
            }
            Some(Value::Object(children)) => children.iter().try_for_each(|(symbol, child)| {
                self.declaration(child, &at(&format!(".{symbol}"), Some(symbol)))
                    .map_err(|located| under(located.under(symbol)))
            }),
            Some(_) => Err(under(wrong("an array of resources is expected"))),
        }
    }

    /// Works out what must be known of a resource before anything is deployed.
    fn head(
        &self,
        raw: &Map<String, Value>,
        place: &Declared,
        env: Env<'_>,
    ) -> Result<Head, Located> {
        let own_kind = self
            .text(raw, "type", env)?
            .ok_or_else(|| missing("type"))?;
        let own_name = self
            .text(raw, "name", env)?
            .ok_or_else(|| missing("name"))?;
        let (kind, name) = match &place.parent {
            None => (own_kind, own_name),
            Some(parent) => below(parent, &own_kind, &own_name),
        };
        let scope = self.scope(raw, &kind, place, env)?;
        let id = identify(&scope, &kind, &name).map_err(|why| wrong(&why).under("name"))?;
        let fate = self.fate(raw, place, env)?;
        let mut dependencies = Vec::new();
        if fate == Fate::Deployed
            && let Some(declared) = field(raw, "dependsOn")
        {
            let under = |located: Located| located.under("dependsOn");
            match self.evaluator.value(declared, env).map_err(under)? {
                Value::Null => {}
                Value::String(one) => dependencies.push(one),
                Value::Array(all) => {
                    for (at, one) in all.into_iter().enumerate() {
                        match one {
                            Value::String(one) => dependencies.push(one),
                            other => {
                                return Err(under(
                                    wrong(&format!(
                                        "a dependency is a string, not of type '{}'",
                                        value_kind(&other)
                                    ))
                                    .within(at),
                                ));
                            }
                        }
                    }
                }
                _ => return Err(under(wrong("an array of strings is expected"))),
            }
        }
        let api_version = self.text(raw, "apiVersion", env)?;
        Ok(Head {
            kind,
            name,
            scope,
            id,
            api_version,
            dependencies,
            fate,
        })
    }

    fn text(
        &self,
        raw: &Map<String, Value>,
        name: &str,
        env: Env<'_>,
    ) -> Result<Option<String>, Located> {
        let under = |located: Located| located.under(name);
        match field(raw, name) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => match self.evaluator.value(value, env).map_err(under)? {
                Value::String(text) => Ok(Some(text)),
                number @ Value::Number(_) => Ok(Some(text(&number))),
                other => Err(under(wrong(&format!(
                    "a string is expected, not a value of type '{}'",
                    kind(&other)
                )))),
            },
        }
    }

    fn fate(
        &self,
        raw: &Map<String, Value>,
        place: &Declared,
        env: Env<'_>,
    ) -> Result<Fate, Located> {
        if field(raw, "existing") == Some(&Value::Bool(true)) {
            return Ok(Fate::Existing);
        }
        let condition = match field(raw, "condition") {
            None => Value::Bool(true),
            Some(condition) => self
                .evaluator
                .value(condition, env)
                .map_err(|located| located.under("condition"))?,
        };
        let parent = place.parent.as_ref().map(|parent| parent.fate);
        match condition {
            Value::Bool(true) if parent == Some(Fate::Left) => Ok(Fate::Left),
            Value::Bool(true) => Ok(Fate::Deployed),
            Value::Bool(false) => Ok(Fate::Left),
            other => Err(wrong(&format!(
                "a condition is a boolean, not a value of type '{}'",
                value_kind(&other)
            ))
            .under("condition")),
        }
    }

    /// Returns where a resource is filed: where the template is deployed to, unless it says otherwise.
    fn scope(
        &self,
        raw: &Map<String, Value>,
        kind: &str,
        place: &Declared,
        env: Env<'_>,
    ) -> Result<Scope, Located> {
        let own = self.target;
        if let Some(scope) = self.text(raw, "scope", env)? {
            return scope_of(own, &scope).ok_or_else(|| {
                wrong(&format!(
                    "'{scope:.200}' is no scope; accepted: a resource ID, or type and name of a resource of the template"
                ))
                .under("scope")
            });
        }
        if let Some(parent) = &place.parent {
            return Ok(parent.scope.clone());
        }
        if kind.eq_ignore_ascii_case(GROUPS) {
            let subscription = own.subscription().unwrap_or_default();
            return Ok(Scope::Subscription(subscription.to_owned()));
        }
        let subscription = self.text(raw, "subscriptionId", env)?;
        let group = self.text(raw, "resourceGroup", env)?;
        Ok(match (subscription, group) {
            (None, None) => own.clone(),
            (subscription, Some(group)) => {
                let subscription = subscription
                    .or_else(|| own.subscription().map(str::to_owned))
                    .unwrap_or_default();
                Scope::Group(subscription, group)
            }
            (Some(subscription), None) => Scope::Subscription(subscription),
        })
    }
}

struct Head {
    kind: String,
    name: String,
    scope: Scope,
    id: ResourceId,
    api_version: Option<String>,
    dependencies: Vec<String>,
    fate: Fate,
}

fn value_kind(value: &Value) -> &'static str {
    kind(value)
}

/// Returns full type and name of a child; one that is written out in full already is taken as it is.
fn below(parent: &Parent, kind: &str, name: &str) -> (String, String) {
    let prefix = format!("{}/", parent.kind).to_ascii_lowercase();
    let is_full = kind.to_ascii_lowercase().starts_with(&prefix)
        && kind.matches('/').count() == name.matches('/').count().saturating_add(1);
    match is_full {
        true => (kind.to_owned(), name.to_owned()),
        false => (
            format!("{}/{kind}", parent.kind),
            format!("{}/{name}", parent.name),
        ),
    }
}

/// Returns the scope that `scope` of a resource means.
fn scope_of(own: &Scope, text: &str) -> Option<Scope> {
    match text.starts_with('/') {
        true => text.parse().ok(),
        false => {
            let base = match own {
                Scope::Tenant => String::new(),
                own => own.to_string(),
            };
            format!("{base}/providers/{text}").parse().ok()
        }
    }
}

/// Returns the ID of a resource of this full type and name: `A.B/t1/t2` and `n1/n2`. A `providers` among
/// the types begins an extension resource, whose provider stands among the names.
///
/// # Errors
///
/// Says what is wrong with them.
pub fn identify(scope: &Scope, kind: &str, name: &str) -> Result<ResourceId, String> {
    let mut types = kind.trim_end_matches('/').split('/');
    let provider = types.next().unwrap_or_default();
    let types: Vec<&str> = types.collect();
    let names: Vec<&str> = name.split('/').collect();
    if types.len() != names.len() || provider.is_empty() || types.is_empty() {
        return Err(format!(
            "The template resource '{name:.200}' of type '{kind:.200}' has incorrect segment lengths. A resource name must have one segment less than its type. Please see https://aka.ms/arm-syntax-resources for usage details"
        ));
    }
    if names.iter().chain(&types).any(|part| part.is_empty()) {
        return Err(format!(
            "The template resource '{name:.200}' of type '{kind:.200}' has an empty segment in its name or type"
        ));
    }
    let mut id = ResourceId {
        scope: scope.clone(),
        provider: provider.to_owned(),
        segments: Vec::new(),
    };
    for (kind, name) in types.into_iter().zip(names) {
        if kind.eq_ignore_ascii_case("providers") && !id.segments.is_empty() {
            id = ResourceId {
                scope: Scope::Resource(Box::new(id)),
                provider: name.to_owned(),
                segments: Vec::new(),
            };
        } else {
            id.segments.push((kind.to_owned(), name.to_owned()));
        }
    }
    match id.segments.is_empty() {
        true => Err(format!(
            "The template resource '{name:.200}' of type '{kind:.200}' has no type behind its provider"
        )),
        false => Ok(id),
    }
}

fn wrong(why: &str) -> Located {
    Problem::Template(why.to_owned()).into()
}

fn missing(name: &str) -> Located {
    wrong(&format!("the resource needs '{name}'"))
}
