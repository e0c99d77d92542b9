//! Deploys a template: its resources in their order, nested deployments in themselves, then outputs.

use super::context::{Access, DeployContext, Resources};
use super::log::Log;
use super::place;
use super::record;
use super::request::{DeploymentRequest, Mode};
use super::view::{State, View};
use crate::error::ArmError;
use crate::id::{ResourceId, Scope};
use crate::template::budget::Budget;
use crate::template::evaluate::{Env, Evaluator, Phase};
use crate::template::frame::{Frame, Kind, Place};
use crate::template::instance::{DEPLOYMENTS, Fate, GROUPS, Instance, expand, in_loops};
use crate::template::order::{Directory, Order, circular, order};
use crate::template::outputs::outputs;
use crate::template::parameters::{self, Type};
use crate::template::problem::{Located, Problem};
use crate::template::session::Session;
use crate::template::value::{field, get};
use crate::template::world::Nowhere;
use crate::types::secret;
use serde_json::{Map, Value};
use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

/// Why a template stopped.
pub(super) enum Stop {
    /// It reads a resource of an outer template that is still to be deployed.
    NotYet(u64),
    /// It failed.
    Failed(ArmError),
}

impl From<ArmError> for Stop {
    fn from(error: ArmError) -> Self {
        Self::Failed(error)
    }
}

/// One deployment with all that is nested in it.
pub(super) struct Run<'a, R> {
    pub(super) resources: &'a mut R,
    pub(super) ctx: &'a DeployContext<'a>,
    pub(super) session: &'a Session,
    pub(super) log: Log,
}

/// A template to be deployed.
pub(super) struct Task<'a> {
    /// The ID of the deployment.
    pub(super) id: &'a ResourceId,
    /// What is asked for.
    pub(super) request: &'a DeploymentRequest,
    /// The names that its expressions use.
    pub(super) frame: &'a Frame,
    /// Its parameters, for the record.
    pub(super) types: &'a [(String, Type)],
    /// The loops around it.
    pub(super) loops: &'a [(String, usize)],
    /// The template in whose names it is written.
    pub(super) outer: Option<&'a State<'a>>,
    /// Its place in the outermost template.
    pub(super) path: &'a str,
}

/// How much work it is to look for the declaration of a parameter.
const FIND: usize = 2_000;

/// How much work it is to put a resource, whatever is in it.
const PUT: u64 = 20_000;

/// What the record of a deployment takes for each resource, in bytes.
const LISTED: usize = 1_000;

/// The properties of a resource that say how it is deployed, and are no part of it.
const NOT_OF_THE_BODY: [&str; 14] = [
    "apiVersion",
    "name",
    "type",
    "dependsOn",
    "condition",
    "copy",
    "resources",
    "comments",
    "scope",
    "existing",
    "import",
    "asserts",
    "metadata",
    "extension",
];

impl<R: Resources> Run<'_, R> {
    /// Deploys a template and returns the deployment as GET shows it.
    pub(super) fn template(&mut self, task: &Task<'_>) -> Result<Value, Stop> {
        let template = &task.request.template;
        let stop = |located: Located| stop(located, task.path);
        let evaluator = Evaluator {
            session: self.session,
            frame: task.frame,
            world: &Nowhere,
        };
        if field(template, "resources").is_none() {
            let why = "Required property 'resources' not found in JSON";
            return Err(stop(Problem::Template(why.to_owned()).into()));
        }
        let target = &task.id.scope;
        let expanded = expand(&evaluator, template, target, task.loops).map_err(stop)?;
        let directory = Directory::new(&expanded).map_err(stop)?;
        let instances = expanded.instances;
        let budget = &self.session.budget;
        let order = order(&instances, &directory, target, budget).map_err(stop)?;
        let mut state = State {
            target: target.clone(),
            instances: &instances,
            directory: &directory,
            done: vec![false; instances.len()],
            nested: HashMap::new(),
            locations: vec![Value::Null; instances.len()],
            outer: task.outer,
        };
        for at in &order.instances {
            self.with_needs(task, &mut state, &order, *at)?;
        }
        let view = View {
            state: &state,
            resources: &*self.resources,
            ctx: self.ctx,
        };
        let evaluator = Evaluator {
            world: &view,
            ..evaluator
        };
        let outputs = outputs(&evaluator, template, task.loops).map_err(stop)?;
        let parameters = record::parameters(&evaluator, task.types);
        let parameters = parameters.map_err(|problem| stop(problem.into()))?;
        // The record lists each resource twice, and is put beside them.
        budget
            .keep(instances.len().saturating_mul(LISTED))
            .map_err(|problem| stop(problem.into()))?;
        let record = record::Record {
            id: task.id,
            request: task.request,
            parameters,
            outputs,
            instances: &instances,
            directory: &directory,
            order: &order,
            locations: &state.locations,
            now: self.session.now,
            correlation: &self.ctx.correlation,
        };
        Ok(record.succeeded())
    }

    /// Deploys a resource, and before it those that its expressions turn out to read.
    fn with_needs(
        &mut self,
        task: &Task<'_>,
        state: &mut State<'_>,
        order: &Order,
        at: usize,
    ) -> Result<(), Stop> {
        let mut waiting = vec![at];
        while let Some(at) = waiting.last().copied() {
            if state.done.get(at).copied().unwrap_or(true) {
                waiting.pop();
                continue;
            }
            let number = match self.one(task, state, at) {
                Ok(()) => {
                    if let Some(done) = state.done.get_mut(at) {
                        *done = true;
                    }
                    continue;
                }
                Err(Stop::NotYet(number)) => number,
                Err(failed) => return Err(failed),
            };
            let Some(needed) = state.instances.iter().position(|one| one.number == number) else {
                return Err(Stop::NotYet(number));
            };
            let budget = &self.session.budget;
            let limited = |problem: Problem| stop(problem.into(), task.path);
            for needed in undone(state, order, needed, budget).map_err(limited)? {
                budget.read(waiting.len()).map_err(limited)?;
                if let Some(instance) = state
                    .instances
                    .get(needed)
                    .filter(|_| waiting.contains(&needed))
                {
                    let located = Located::from(circular(&instance.id.to_string()));
                    return Err(stop(located.under(&instance.path), task.path));
                }
                waiting.push(needed);
            }
        }
        Ok(())
    }

    /// Deploys one resource.
    fn one(&mut self, task: &Task<'_>, state: &mut State<'_>, at: usize) -> Result<(), Stop> {
        let (budget, session) = (&self.session.budget, self.session);
        // Puts are bounded each, and there may be many.
        budget
            .spend(PUT)
            .and_then(|()| budget.look())
            .map_err(|problem| stop(problem.into(), task.path))?;
        let mark = budget.mark();
        let done = self.deploy(task, state, at);
        // What is put is kept by the resources, and what is not is worked out again.
        session.budget.release(mark);
        done
    }

    fn deploy(&mut self, task: &Task<'_>, state: &mut State<'_>, at: usize) -> Result<(), Stop> {
        let Some(instance) = state.instances.get(at) else {
            return Ok(());
        };
        if instance.fate != Fate::Deployed {
            return Ok(());
        }
        if instance.id.is(DEPLOYMENTS) {
            let value = self.nested(task, state, instance)?;
            state.nested.insert(at, value);
            return Ok(());
        }
        let mut body = self.body(task, state, instance)?;
        let limited = |problem: Problem| {
            let located = Located::from(problem);
            stop(located.under(&instance.path), task.path)
        };
        // As a resource, as it is put again if others change something meanwhile, and as it is shown.
        self.session.budget.keep_value(&body, 3).map_err(limited)?;
        if let Some(tags) = body.get_mut("tags") {
            self.session.without_secrets(tags).map_err(limited)?;
        }
        if instance.id.is(GROUPS) {
            let scope = Scope::Group(
                instance
                    .id
                    .scope
                    .subscription()
                    .unwrap_or_default()
                    .to_owned(),
                instance.id.name().to_owned(),
            );
            (self.ctx.authorize)(&Access::WriteGroup(&scope))?;
            let value = self.resources.put_group(&scope, body);
            let value = value.map_err(|error| failed(error, &scope.to_string()))?;
            state.nested.insert(at, value);
            return Ok(());
        }
        let id = &instance.id;
        (self.ctx.authorize)(&Access::Write(id, &body))
            .map_err(|error| failed(error, &id.to_string()))?;
        let has_effect = self.resources.has_effect(&id.kind());
        for secret in secret::find(id, &body) {
            self.session.write_secret(&secret);
        }
        match has_effect {
            // What nobody uses is not kept: the password of a machine that there is not.
            false => self.session.without_secrets(&mut body).map_err(limited)?,
            true => self.session.without_carried(&mut body).map_err(limited)?,
        }
        let budget = &self.session.budget;
        self.log
            .writes(id, &*self.resources, has_effect, instance, budget)
            .map_err(limited)?;
        let value = self.resources.put(id, body.clone());
        let mut value = value.map_err(|error| failed(error, &id.to_string()))?;
        self.log.adopted(&body, &value);
        if let (Some(location), Some(known)) =
            (value.get_mut("location"), state.locations.get_mut(at))
        {
            *known = location.take();
        }
        Ok(())
    }

    /// Works out the body of a resource.
    fn body(&self, task: &Task<'_>, state: &State<'_>, instance: &Instance) -> Result<Value, Stop> {
        let own: Map<String, Value> = instance
            .raw
            .iter()
            .filter(|(name, _)| {
                !NOT_OF_THE_BODY
                    .iter()
                    .any(|other| name.eq_ignore_ascii_case(other))
            })
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect();
        // What a secure parameter says is never kept: those that would use it, such as machines, there
        // are none of here.
        let env = Env::new(Phase::Body).without_secrets();
        self.evaluate(task, state, instance, &Value::Object(own), env)
            .map_err(|located| stop(located.under(&instance.path), task.path))
    }

    fn evaluate(
        &self,
        task: &Task<'_>,
        state: &State<'_>,
        instance: &Instance,
        value: &Value,
        env: Env<'_>,
    ) -> Result<Value, Located> {
        let view = View {
            state,
            resources: &*self.resources,
            ctx: self.ctx,
        };
        let evaluator = Evaluator {
            session: self.session,
            frame: task.frame,
            world: &view,
        };
        in_loops(&instance.loops, None, &mut |loops| {
            evaluator.value(value, env.with_loops(loops))
        })
    }

    /// Works out what a nested deployment asks for, and whether its template has names of its own.
    fn nested_request(
        &self,
        task: &Task<'_>,
        state: &State<'_>,
        instance: &Instance,
    ) -> Result<(DeploymentRequest, bool), Stop> {
        let within = |located: Located| {
            let located = located.under("properties").under(&instance.path);
            stop(located, task.path)
        };
        let wrong = |why: &str| within(Problem::Template(why.to_owned()).into());
        let Some(properties) = field(&instance.raw, "properties").and_then(Value::as_object) else {
            return Err(wrong("the nested deployment needs 'properties'"));
        };
        // The template is worked out by the deployment of its own; everything else is of this one.
        let is_template = |name: &str| name.eq_ignore_ascii_case("template");
        let mut secure = BTreeSet::new();
        for (name, raw) in field(properties, "parameters")
            .and_then(Value::as_object)
            .into_iter()
            .flatten()
        {
            let env = Env::new(Phase::Body);
            let value = || self.evaluate(task, state, instance, raw, env);
            let (value, is_secret) = self.session.watch(value);
            if is_secret {
                secure.insert(name.to_ascii_lowercase());
                value
                    .iter()
                    .for_each(|value| self.session.keep_secret(value));
            }
        }
        let (mut template, mut own) = (Map::new(), Map::new());
        self.session
            .budget
            .charge_fields(properties)
            .map_err(|problem| within(problem.into()))?;
        for (name, value) in properties {
            let side = match is_template(name) {
                true => &mut template,
                false => &mut own,
            };
            side.insert(name.clone(), value.clone());
        }
        let env = Env::new(Phase::Body);
        let own = self.evaluate(task, state, instance, &Value::Object(own), env);
        let Value::Object(mut own) = own.map_err(within)? else {
            return Err(wrong("the properties are an object"));
        };
        let scope = field(&own, "expressionEvaluationOptions")
            .and_then(|options| get(options, "scope")?.as_str());
        let is_inner = scope.is_some_and(|scope| scope.eq_ignore_ascii_case("inner"));
        own.extend(template);
        let mut request = DeploymentRequest::of_properties(own).map_err(|error| {
            let path = nested_path(task, instance);
            error.at(path.trim_end_matches(".template"))
        })?;
        request.secure = secure;
        match request.mode {
            Mode::Incremental => Ok((request, is_inner)),
            Mode::Complete => Err(wrong(
                "The mode 'Complete' is not supported for nested deployments; accepted: Incremental",
            )),
        }
    }

    /// Deploys a nested deployment and returns it as GET shows it.
    fn nested(
        &mut self,
        task: &Task<'_>,
        state: &State<'_>,
        instance: &Instance,
    ) -> Result<Value, Stop> {
        let path = nested_path(task, instance);
        let (request, is_inner) = self.nested_request(task, state, instance)?;
        (self.ctx.authorize)(&Access::Write(&instance.id, &Value::Null))?;
        // Its template is written out once, for its hash, and its names and resources are kept as long
        // as it is deployed.
        let before = self.session.budget.kept();
        self.session
            .budget
            .keep_fields(&request.template, 1)
            .map_err(|problem| stop(problem.into(), &path))?;
        let names = self.session.budget.kept().saturating_sub(before);
        let place = place::of(&instance.id, &request, &*self.resources, self.ctx)?;
        let value = match is_inner {
            true => {
                let (frame, types) = frame(self.session, place, &request, &path)?;
                self.template(&Task {
                    id: &instance.id,
                    request: &request,
                    frame: &frame,
                    types: &types,
                    loops: &[],
                    outer: None,
                    path: &path,
                })?
            }
            // Every expression is in the names of the outer template, its resource group included.
            false => self.template(&Task {
                id: &instance.id,
                request: &request,
                frame: task.frame,
                types: &[],
                loops: &instance.loops,
                outer: Some(state),
                path: &path,
            })?,
        };
        self.session.budget.keep_less(names);
        let mut kept = value.clone();
        record::hide(&mut kept, self.session).map_err(|problem| stop(problem.into(), &path))?;
        record::keep(self.resources, &instance.id, &kept)?;
        Ok(value)
    }
}

/// Returns the place of the template of a nested deployment in the outermost one.
fn nested_path(task: &Task<'_>, instance: &Instance) -> String {
    let path = format!("{}.properties.template", instance.path);
    match task.path {
        "" => path,
        outer => format!("{outer}.{path}"),
    }
}

/// Returns what must be deployed before a resource, itself last to be begun with first: as a stack.
fn undone(
    state: &State<'_>,
    order: &Order,
    needed: usize,
    budget: &Budget,
) -> Result<Vec<usize>, Problem> {
    let mut stack = vec![needed];
    let mut seen = HashSet::from([needed]);
    let mut at = 0;
    while let Some(one) = stack.get(at).copied() {
        for other in order.needs(state.directory, one) {
            budget.read(20)?;
            let is_done = state.done.get(other).copied().unwrap_or(true);
            if !is_done && seen.insert(other) {
                stack.push(other);
            }
        }
        at = at.saturating_add(1);
    }
    // In the order of all: what comes first there is on top.
    budget.read(order.instances.len())?;
    let ordered = order.instances.iter().rev();
    Ok(ordered.filter(|one| seen.contains(one)).copied().collect())
}

/// Returns the names of a template with the parameters given to it, all of them worked out.
pub(super) fn frame(
    session: &Session,
    place: Arc<Place>,
    request: &DeploymentRequest,
    path: &str,
) -> Result<(Frame, Vec<(String, Type)>), ArmError> {
    let template = &request.template;
    let limited = |problem: Problem| Located::from(problem).error(path);
    let budget = &session.budget;
    Frame::admit(template, budget).map_err(limited)?;
    // Before they are checked: what does not fit may be quoted.
    for (name, value) in &request.parameters {
        budget.read(FIND).map_err(limited)?;
        if parameters::is_secure(template, name, budget) {
            budget.keep_value(value, 1).map_err(limited)?;
            session.keep_secret(value);
        }
    }
    let sorted = parameters::sort_out(template, &request.parameters, budget)?;
    let is_secure = |(name, kind): &(String, Type)| {
        kind.is_secure() || request.secure.contains(&name.to_ascii_lowercase())
    };
    let secure = sorted.types.iter().filter(|known| is_secure(known));
    let secure: Vec<String> = secure.map(|(name, _)| name.clone()).collect();
    let frame = Frame::new(place, template, sorted.given, sorted.defaults, secure)
        .map_err(|located| located.error(path))?;
    let evaluator = Evaluator {
        session,
        frame: &frame,
        world: &Nowhere,
    };
    let value = |kind, part: &str, name: &str| {
        frame
            .value(kind, name, &evaluator, Env::new(Phase::Variables))
            .map_err(|problem| {
                let located = Located::from(problem);
                located.under(name).under(part).error(path)
            })
    };
    for (name, kind) in &sorted.types {
        let value = value(Kind::Parameter, "parameters", name)?;
        if !value.is_null() {
            parameters::check(template, name, &value, budget)?;
        }
        if kind.is_secure() {
            budget.keep_value(&value, 1).map_err(limited)?;
            session.keep_secret(&value);
        }
    }
    // Those that nothing uses too: what is wrong with them is better known now.
    for name in frame.names(Kind::Variable) {
        value(Kind::Variable, "variables", &name)?;
    }
    Ok((frame, sorted.types))
}

/// Returns why the template stops at a problem.
fn stop(located: Located, path: &str) -> Stop {
    match located.problem {
        Problem::NotYet(number) => Stop::NotYet(number),
        _ => Stop::Failed(located.error(path)),
    }
}

/// Says in an error which resource it is about.
fn failed(error: ArmError, id: &str) -> ArmError {
    match error.target {
        Some(_) => error,
        None => error.at(id),
    }
}
