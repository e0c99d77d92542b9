//! Role definitions and assignments, and what the caller may do.

use super::call::{Answer, Call};
use super::request::Response;
use super::resources::{self, check_scope};
use super::state::State;
use super::{page, resources::with_etag};
use crate::document::Origin;
use crate::error::ArmError;
use crate::estate::{Conditions, Stage};
use crate::id::{ResourceId, Scope};
use crate::roles::{
    ASSIGNMENTS, DEFINITIONS, RoleAssignment, RoleDefinition, built_in, find_built_in, last,
};
use serde_json::{Map, Value, json};

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
        call.authorise(&format!("{DEFINITIONS}/read"), scope)?;
        return definitions(call, scope);
    }
    if is(ASSIGNMENTS) {
        call.authorise(&format!("{ASSIGNMENTS}/read"), scope)?;
        check_scope(call, scope)?;
        return assignments(call, scope);
    }
    if is("Microsoft.Authorization/denyAssignments") {
        // There are none: see the roles.
        call.authorise(&format!("{kind}/read"), scope)?;
        return Ok(page::list(call, Vec::new()));
    }
    resources::list(call, scope, kind)
}

/// Answers a request for one definition or assignment.
pub(crate) fn one(call: &Call<'_>, id: &ResourceId) -> Answer {
    let action = |verb: &str| format!("{}/{verb}", id.kind());
    let of_role = id.is(DEFINITIONS);
    match call.request.method.to_ascii_uppercase().as_str() {
        "GET" => {
            call.authorise(&action("read"), &id.scope)?;
            let found = if of_role {
                find_definition(&call.state, id)
            } else {
                find_assignment(&call.state, id).map(RoleAssignment::show)
            };
            let value = found.ok_or_else(|| missing(id))?;
            Ok(with_etag(200, &value))
        }
        "PUT" => {
            call.authorise(&action("write"), &id.scope)?;
            if of_role {
                put_definition(call, id)
            } else {
                put_assignment(call, id)
            }
        }
        "DELETE" => {
            call.authorise(&action("delete"), &id.scope)?;
            delete(call, id)
        }
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
            let held = call.state.roles.held(&claims.oid, scope);
            held.flat_map(|role| role.permissions.iter().map(|set| json!(set)))
                .collect()
        }
    };
    Ok(Response::json(200, &json!({ "value": sets })))
}

fn definitions(call: &Call<'_>, scope: &Scope) -> Answer {
    let terms = terms(call, &["roleName", "type"])?;
    let subscription = scope.subscription();
    let custom = call.state.roles.definitions.iter();
    let custom = custom.filter(|role| {
        role.is_assignable(scope) || role.assignable_scopes.iter().any(|at| scope.holds(at))
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
    let is_mine = |at: &Scope| {
        tenant.is_none_or(|own| {
            call.state
                .tenant_of(at)
                .is_none_or(|of| of.eq_ignore_ascii_case(own))
        })
    };
    let all = call.state.roles.assignments.iter().filter(|has| {
        let above = has.scope.holds(scope);
        is_mine(&has.scope)
            && (above || scope.holds(&has.scope))
            && terms.iter().all(|term| match term {
                Term::AtScope => above,
                Term::Is(_, value) => {
                    let object = object_of(call, value).unwrap_or(value);
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

fn find_definition(state: &State, id: &ResourceId) -> Option<Value> {
    let mut custom = state.roles.definitions.iter();
    let found = custom.find(|role| role.id.eq_ignore_ascii_case(id.name()));
    let found = found.or_else(|| find_built_in(id.name()));
    found.map(|role| role.show(id.scope.subscription()))
}

fn find_assignment<'s>(state: &'s State, id: &ResourceId) -> Option<&'s RoleAssignment> {
    let mut all = state.roles.assignments.iter();
    all.find(|has| has.id.eq_ignore_ascii_case(id.name()) && has.scope == id.scope)
}

/// Returns the ID under which a definition is kept: in the subscription, as `az` reads it from there.
fn kept_at(id: &ResourceId) -> ResourceId {
    let scope = id.scope.subscription().map(str::to_owned);
    let scope = scope.map_or(Scope::Tenant, Scope::Subscription);
    scope.resource("Microsoft.Authorization", &[("roleDefinitions", id.name())])
}

/// Returns the object ID of a principal of the configuration. Its application ID stands for it: `az` sends
/// that where it has no directory to look the object up in.
fn object_of<'c>(call: &'c Call<'_>, principal: &str) -> Option<&'c str> {
    let mut all = call.state.config.principals.iter();
    let found = all.find(|known| {
        let names = [&known.object_id, &known.app_id];
        names
            .iter()
            .any(|name| name.eq_ignore_ascii_case(principal))
    });
    found.map(|known| known.object_id.as_str())
}

fn put_definition(call: &Call<'_>, id: &ResourceId) -> Answer {
    let body = Value::Object(call.object()?);
    let bad = |message: String| ArmError::bad_request("InvalidRoleDefinition", message);
    let role = RoleDefinition::read(&body, id.name())
        .map_err(|why| bad(format!("The role definition is invalid: {why}.")))?;
    let role = RoleDefinition {
        id: id.name().to_owned(),
        ..role
    };
    if role.assignable_scopes.is_empty() {
        return Err(bad(
            "The role definition is invalid: `assignableScopes` is empty.".to_owned(),
        ));
    }
    for scope in &role.assignable_scopes {
        call.authorise(&format!("{DEFINITIONS}/write"), scope)?;
    }
    let kept = kept_at(id);
    let same = |known: &&RoleDefinition| known.id.eq_ignore_ascii_case(&role.id);
    let declared = call.state.config.definitions.iter();
    if built_in().iter().chain(declared).find(same).is_some() {
        let message = format!(
            "The role definition '{}' is built in or declared by the configuration file, and cannot \
             be changed.",
            role.id
        );
        return Err(ArmError::new(403, "RoleDefinitionIsReadOnly", message));
    }
    let mut named = built_in().iter().chain(&call.state.roles.definitions);
    if named.any(|known| known.name.eq_ignore_ascii_case(&role.name) && !same(&known)) {
        let message = format!(
            "A custom role with the name '{}' already exists.",
            role.name
        );
        return Err(ArmError::new(
            409,
            "RoleDefinitionWithSameNameExists",
            message,
        ));
    }
    let shown = role.show(kept.scope.subscription());
    put(call, &kept, &shown)
}

fn put_assignment(call: &Call<'_>, id: &ResourceId) -> Answer {
    let body = call.object()?;
    check_scope(call, &id.scope)?;
    let wanted = read_assignment(call, id, &body)?;
    if let Some(known) = find_assignment(&call.state, id) {
        if *known == wanted {
            return Ok(Response::json(200, &known.show()));
        }
        let message = "Tenant ID, application ID, principal ID, and scope are not allowed to be \
                       updated.";
        return Err(ArmError::new(
            409,
            "RoleAssignmentUpdateNotPermitted",
            message,
        ));
    }
    let mut all = call.state.roles.assignments.iter();
    let same = all.find(|has| {
        has.scope == wanted.scope
            && has.principal.eq_ignore_ascii_case(&wanted.principal)
            && has.role.eq_ignore_ascii_case(&wanted.role)
    });
    if let Some(same) = same {
        let message = format!(
            "The role assignment already exists. The ID of the existing role assignment is {}.",
            same.id
        );
        return Err(ArmError::new(409, "RoleAssignmentExists", message));
    }
    put(call, id, &wanted.show())
}

fn read_assignment(
    call: &Call<'_>,
    id: &ResourceId,
    body: &Map<String, Value>,
) -> Result<RoleAssignment, ArmError> {
    let properties = body
        .get("properties")
        .and_then(Value::as_object)
        .unwrap_or(body);
    let text = |name: &str| properties.get(name).and_then(Value::as_str);
    let need = |name: &str| {
        text(name).filter(|text| !text.is_empty()).ok_or_else(|| {
            let message = format!(
                "The request content was invalid: `properties.{name}` is missing; accepted: a text."
            );
            ArmError::bad_request("InvalidRequestContent", message).at(name)
        })
    };
    let (role, principal) = (need("roleDefinitionId")?, need("principalId")?);
    let found = call.state.roles.find(last(role)).ok_or_else(|| {
        let message = format!(
            "The specified role definition with ID '{}' does not exist.",
            last(role)
        );
        ArmError::bad_request("RoleDefinitionDoesNotExist", message)
    })?;
    if !found.is_assignable(&id.scope) {
        let message = format!(
            "The role definition '{}' cannot be assigned at the scope '{}'; accepted: {}.",
            found.name,
            id.scope,
            found
                .assignable_scopes
                .iter()
                .map(Scope::to_string)
                .collect::<Vec<_>>()
                .join(", ")
        );
        return Err(ArmError::bad_request("InvalidRoleAssignmentScope", message));
    }
    let known = object_of(call, principal);
    // Who says what kind of principal it is knows that it may be too new to be found.
    if known.is_none() && text("principalType").is_none() {
        let message = format!("Principal {principal} does not exist in the directory.");
        return Err(ArmError::bad_request("PrincipalNotFound", message));
    }
    let principal = known.unwrap_or(principal);
    Ok(RoleAssignment {
        id: id.name().to_owned(),
        scope: id.scope.clone(),
        principal: principal.to_owned(),
        principal_type: text("principalType")
            .unwrap_or("ServicePrincipal")
            .to_owned(),
        role: found.id.clone(),
    })
}

fn put(call: &Call<'_>, id: &ResourceId, shown: &Value) -> Answer {
    let body = json!({ "properties": shown.get("properties") });
    let keep = |stage: &mut Stage| stage.put(id, body, &call.conditions(), Origin::Api);
    let put = call.change(keep)?;
    // Clients of assignments take nothing but 201, even for what was there.
    Ok(Response::json(if put.created { 201 } else { 200 }, shown))
}

fn delete(call: &Call<'_>, id: &ResourceId) -> Answer {
    let (kept, shown) = if id.is(DEFINITIONS) {
        let mut assigned = call.state.roles.assignments.iter();
        if assigned.any(|has| has.role.eq_ignore_ascii_case(id.name())) {
            let message = "There are existing role assignments referencing the role.";
            return Err(ArmError::bad_request(
                "RoleDefinitionHasAssignments",
                message,
            ));
        }
        (kept_at(id), find_definition(&call.state, id))
    } else {
        let found = find_assignment(&call.state, id);
        (id.clone(), found.map(RoleAssignment::show))
    };
    let Some(shown) = shown else {
        return Ok(Response::empty(204));
    };
    let removed = call.change(|stage| stage.delete(&kept, &Conditions::default()))?;
    if removed {
        return Ok(Response::json(200, &shown));
    }
    let message = format!(
        "'{}' is built in or declared by the configuration file, and cannot be removed.",
        id.name()
    );
    Err(ArmError::new(403, "RoleIsReadOnly", message))
}
