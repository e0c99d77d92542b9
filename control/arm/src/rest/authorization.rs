//! Role definitions and assignments, and what the caller may do.

use super::authorise::Authoriser;
use super::authorise::roles::object_of;
use super::call::{Answer, Call};
use super::caller::who;
use super::request::Response;
use super::resources::{self, check_scope};
use super::state::State;
use super::{page, resources::with_etag};
use crate::document::Origin;
use crate::error::ArmError;
use crate::estate::{Conditions, Stage};
use crate::id::{ResourceId, Scope};
use crate::principals::Principal;
use crate::roles::{ASSIGNMENTS, DEFINITIONS, RoleAssignment, built_in};
use serde_json::{Value, json};

/// Answers a request for a list of Microsoft.Authorization.
pub(crate) fn list(call: &Call<'_>, scope: &Scope, kind: &str) -> Answer {
    if !call.is("GET") {
        return Err(call.no_method("GET"));
    }
    let is = |known: &str| kind.eq_ignore_ascii_case(known);
    if is("Microsoft.Authorization/permissions") {
        return permissions(call, scope);
    }
    if is(DEFINITIONS) {
        return definitions(call, scope);
    }
    if is(ASSIGNMENTS) {
        check_scope(call, scope)?;
        return assignments(call, scope);
    }
    if is("Microsoft.Authorization/denyAssignments") {
        // There are none: see the roles.
        return Ok(page::list(call, Vec::new()));
    }
    resources::list(call, scope, kind)
}

/// Answers a request for one definition or assignment.
pub(crate) fn one(call: &Call<'_>, id: &ResourceId) -> Answer {
    match call.request.method.to_ascii_uppercase().as_str() {
        "GET" => {
            let value = shown(call, &call.state, id).ok_or_else(|| missing(id))?;
            Ok(with_etag(200, &value))
        }
        "PUT" => put(call, id),
        "DELETE" => delete(call, id),
        _ => Err(call.no_method("GET, PUT, DELETE")),
    }
}

/// Returns the error for what is not there. The codes are from memory of Azure's answers.
fn missing(id: &ResourceId) -> ArmError {
    let (code, what) = if id.is(DEFINITIONS) {
        ("RoleDefinitionDoesNotExist", "role definition")
    } else {
        ("RoleAssignmentNotFound", "role assignment")
    };
    let message = format!("The {what} '{}' is not found.", id.name());
    ArmError::new(404, code, message)
}

fn permissions(call: &Call<'_>, scope: &Scope) -> Answer {
    let sets = match &call.caller {
        super::caller::Caller::Local => vec![json!({ "actions": ["*"], "notActions": [] })],
        super::caller::Caller::Principal(claims, _) => {
            let held = call.state.roles.held(who(claims), scope);
            held.flat_map(|role| role.permissions.iter().map(|set| json!(set)))
                .collect()
        }
    };
    Ok(Response::json(200, &json!({ "value": sets })))
}

fn definitions(call: &Call<'_>, scope: &Scope) -> Answer {
    let terms = terms(call, &["roleName", "type"])?;
    let subscription = scope.subscription();
    let tenants = call.state.tenants_at(&call.caller, scope);
    let custom = call.state.roles.definitions().iter();
    let custom = custom.filter(|role| {
        tenants
            .iter()
            .any(|tenant| call.state.concerns(role, tenant))
            && (role.is_assignable(scope)
                || role.assignable_scopes.iter().any(|at| scope.holds(at)))
    });
    let all = built_in().iter().chain(custom).filter(|role| {
        terms.iter().all(|term| match term {
            Term::AtScope => true,
            Term::Is(field, value) if field == "roleName" => role.name.eq_ignore_ascii_case(value),
            Term::Is(_, value) => {
                let kind = if role.is_built_in {
                    "BuiltInRole"
                } else {
                    "CustomRole"
                };
                kind.eq_ignore_ascii_case(value)
            }
        })
    });
    Ok(page::list(
        call,
        all.map(|role| role.show(subscription)).collect(),
    ))
}

fn assignments(call: &Call<'_>, scope: &Scope) -> Answer {
    let terms = terms(call, &["principalId"])?;
    let tenant = call.caller.tenant();
    let all = call.state.roles.assignments().iter().filter(|has| {
        let above = has.scope.holds(scope);
        is_mine(call, has, tenant)
            && (above || scope.holds(&has.scope))
            && terms.iter().all(|term| match term {
                Term::AtScope => above,
                Term::Is(_, value) => {
                    let is_near = |known: &&Principal| {
                        tenant.is_none_or(|own| own.eq_ignore_ascii_case(&known.tenant))
                    };
                    let known = object_of(&call.state, value, is_near);
                    let object = known.map_or(value.as_str(), |known| &known.object_id);
                    has.principal.eq_ignore_ascii_case(object)
                }
            })
    });
    Ok(page::list(call, all.map(RoleAssignment::show).collect()))
}

/// A term of the filters that these lists take.
enum Term {
    /// `atScope()`: here and above, not below.
    AtScope,
    /// A field and its value; `assignedTo('x')` is one.
    Is(String, String),
}

fn terms(call: &Call<'_>, known: &[&str]) -> Result<Vec<Term>, ArmError> {
    let text = call.request.query("$filter").unwrap_or_default();
    let read = |term: &str| {
        let term = term.trim();
        if term.eq_ignore_ascii_case("atScope()") || term.eq_ignore_ascii_case("atScopeAndBelow()")
        {
            return Some(Term::AtScope);
        }
        let lower = term.to_ascii_lowercase();
        if lower.starts_with("assignedto(") {
            let value = term
                .split_once('(')?
                .1
                .strip_suffix(')')?
                .trim_matches('\'');
            return Some(Term::Is("principalId".to_owned(), value.to_owned()));
        }
        let (field, value) = term.split_once(" eq ")?;
        let field = known
            .iter()
            .find(|known| known.eq_ignore_ascii_case(field.trim()))?;
        let value = value.trim().strip_prefix('\'')?.strip_suffix('\'')?;
        Some(Term::Is((*field).to_owned(), value.to_owned()))
    };
    let terms = text.split(" and ").filter(|term| !term.trim().is_empty());
    terms.map(read).collect::<Option<_>>().ok_or_else(|| {
        let message = format!(
            "The filter '{text}' is invalid; accepted: atScope(), assignedTo('ID'), and of {} FIELD \
             eq 'VALUE', several with 'and'.",
            known.join(", ")
        );
        ArmError::bad_request("InvalidFilterInQueryString", message)
    })
}

/// Returns whether an assignment is one of the tenant, if it is of one that asks.
fn is_mine(call: &Call<'_>, has: &RoleAssignment, tenant: Option<&str>) -> bool {
    let at = call.state.tenant_of(&has.scope);
    tenant
        .is_none_or(|own| has.is_of(Some(own)) && at.is_none_or(|of| of.eq_ignore_ascii_case(own)))
}

/// Returns a role document as a GET shows it; none if there is none that the path can speak of.
fn shown(call: &Call<'_>, state: &State, id: &ResourceId) -> Option<Value> {
    if id.is(DEFINITIONS) {
        let tenants = state.tenants_at(&call.caller, &id.scope);
        let mut found = tenants.iter().filter_map(|tenant| {
            let role = state.roles.role(tenant, id.name())?;
            state.concerns(role, tenant).then_some(role)
        });
        return found.next().map(|role| role.show(id.scope.subscription()));
    }
    let mut all = state.roles.assignments().iter();
    let found =
        all.find(|has| has.is_at(id.name(), &id.scope) && is_mine(call, has, call.caller.tenant()));
    found.map(RoleAssignment::show)
}

fn put(call: &Call<'_>, id: &ResourceId) -> Answer {
    let body = call.object()?;
    if id.is(ASSIGNMENTS) {
        // One that the file declares already, and no document has.
        let reader = Authoriser::new(&call.caller, &call.state);
        let wanted = reader.read_assignment(&call.state.estate, id, &body)?;
        let mut declared = call.state.config.assignments.iter();
        let same = declared.find(|has| {
            has.is_at(id.name(), &id.scope)
                && has.is_like(&wanted)
                && has.is_of(wanted.tenant.as_deref())
        });
        if let Some(same) = same {
            return Ok(Response::json(200, &same.show()));
        }
    }
    let body = Value::Object(body);
    let keep = |stage: &mut Stage, _: &State| stage.put(id, body, &call.conditions(), Origin::Api);
    let (put, estate) = call.change_seen(keep)?;
    let state = call.state.with_estate(estate);
    let shown = shown(call, &state, id).unwrap_or(put.value);
    // Clients of assignments take nothing but 201, even for what was there.
    Ok(Response::json(if put.created { 201 } else { 200 }, &shown))
}

fn delete(call: &Call<'_>, id: &ResourceId) -> Answer {
    let Some(shown) = shown(call, &call.state, id) else {
        return Ok(Response::empty(204));
    };
    let removed = call.change(|stage| stage.delete(id, &Conditions::default()))?;
    if removed {
        return Ok(Response::json(200, &shown));
    }
    let message = format!(
        "'{}' is built in or declared by the configuration file, and cannot be removed.",
        id.name()
    );
    Err(ArmError::new(403, "RoleIsReadOnly", message))
}
