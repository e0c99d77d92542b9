//! The rules of role documents, which every way to write one goes through.
//!
//! A definition is of a tenant, and is kept in one of its subscriptions whichever path names it; its ID is
//! taken once a tenant. An assignment is kept at its scope; one at the root is its tenant's own and kept
//! apart from those of other tenants.

use super::Authoriser;
use super::rights;
use crate::document::Document;
use crate::error::ArmError;
use crate::estate::{Estate, ResourceChange};
use crate::id::{ResourceId, Scope};
use crate::rest::config::{ApiConfig, Subscription};
use crate::rest::resources::check_scope_in;
use crate::rest::state::{self, State};
use crate::roles::{
    ASSIGNMENTS, DEFINITIONS, RoleAssignment, RoleDefinition, Roles, built_in, built_in_by_id, last,
};
use serde_json::{Map, Value};
use std::collections::HashMap;
use std::sync::Arc;

const PROVIDER: &str = "Microsoft.Authorization";
/// What stands for the root of one tenant in IDs under which something is kept.
const TENANTS: &str = "Microsoft.Resources/tenants";

type Kept = Result<(ResourceId, Map<String, Value>), ArmError>;

/// Returns every role and assignment, declared or made by requests.
pub(crate) fn of(estate: &Estate, config: &ApiConfig, subscriptions: &[Subscription]) -> Roles {
    let mut definitions = config.definitions.clone();
    let mut assignments = config.assignments.clone();
    for document in estate.documents() {
        // Cheaper than the comparison of the whole type, and most documents are something else.
        if !document.id.provider.eq_ignore_ascii_case(PROVIDER) {
            continue;
        }
        if document.id.is(DEFINITIONS) {
            definitions.extend(definition(document, subscriptions));
        } else if document.id.is(ASSIGNMENTS) {
            assignments.extend(assignment(document, subscriptions));
        }
    }
    Roles::new(definitions, assignments)
}

/// Returns the definition that a document has; none if it is not where definitions are kept.
pub(crate) fn definition(
    document: &Document,
    subscriptions: &[Subscription],
) -> Option<RoleDefinition> {
    let body = Value::Object(document.body.clone());
    let read = RoleDefinition::read(&body, document.id.name()).ok()?;
    let first = read.assignable_scopes.iter().find_map(Scope::subscription);
    let home = match &document.id.scope {
        Scope::Subscription(home) => Some(home.as_str()),
        Scope::Tenant => first,
        Scope::Group(..) | Scope::Resource(_) => None,
    };
    let home = state::find(subscriptions, home?)?;
    Some(RoleDefinition {
        id: document.id.name().to_owned(),
        tenant: Some(home.tenant.clone()),
        ..read
    })
}

/// Returns the assignment that a document has.
pub(crate) fn assignment(
    document: &Document,
    subscriptions: &[Subscription],
) -> Option<RoleAssignment> {
    let properties = document.body.get("properties")?;
    let text = |name: &str| properties.get(name).and_then(Value::as_str);
    let at = &document.id.scope;
    let (scope, tenant) = match root_of(at) {
        Some(tenant) => (Scope::Tenant, Some(tenant.to_owned())),
        None => {
            let home = at.subscription().map(|id| state::find(subscriptions, id));
            let tenant = match home {
                // It was made at the root before roots were told apart: its principal is of one tenant.
                None => None,
                Some(home) => Some(home?.tenant.clone()),
            };
            (at.clone(), tenant)
        }
    };
    Some(RoleAssignment {
        id: document.id.name().to_owned(),
        scope,
        principal: text("principalId")?.to_owned(),
        principal_type: text("principalType")
            .unwrap_or("ServicePrincipal")
            .to_owned(),
        role: last(text("roleDefinitionId")?).to_owned(),
        tenant,
    })
}

/// Returns the scope at which assignments at the root of a tenant are kept.
fn root(tenant: &str) -> Scope {
    let id = Scope::Tenant.resource("Microsoft.Resources", &[("tenants", tenant)]);
    Scope::Resource(Box::new(id))
}

/// Returns the tenant whose root a scope stands for.
fn root_of(scope: &Scope) -> Option<&str> {
    match scope {
        Scope::Resource(id) if id.scope == Scope::Tenant && id.is(TENANTS) => Some(id.name()),
        _ => None,
    }
}

impl Authoriser {
    /// Returns the tenants of whose roles a path can speak: one, but for the host at the root.
    fn tenants_at(&self, scope: &Scope) -> Vec<&str> {
        self.state.tenants_at(&self.caller, scope)
    }

    /// Returns where a role document is kept; none for what is no role document.
    pub(super) fn role_kept(&self, now: &Estate, id: &ResourceId) -> Option<ResourceId> {
        if id.is(DEFINITIONS) {
            let tenants = self.tenants_at(&id.scope);
            let mut found = tenants
                .iter()
                .filter_map(|tenant| find(&self.state, now, tenant, id.name()));
            return Some(found.next().map_or_else(|| id.clone(), |it| it.id.clone()));
        }
        if !id.is(ASSIGNMENTS) {
            return None;
        }
        if id.scope != Scope::Tenant {
            return Some(id.clone());
        }
        let at = |tenant: &&str| root(tenant).resource(PROVIDER, &[("roleAssignments", id.name())]);
        let tenants = self.tenants_at(&id.scope);
        let mut all = tenants.iter().map(at);
        let found = all.find(|kept| now.document(kept).is_some());
        Some(
            found
                .or_else(|| tenants.first().map(at))
                .unwrap_or_else(|| id.clone()),
        )
    }

    /// Checks that the caller may remove a role definition: at each scope where it can be assigned.
    pub(super) fn authorise_delete(&self, now: &Estate, id: &ResourceId) -> Result<(), ArmError> {
        if !id.is(DEFINITIONS) {
            return Ok(());
        }
        let tenants = self.tenants_at(&id.scope);
        let old = tenants
            .iter()
            .find_map(|tenant| find(&self.state, now, tenant, id.name()));
        self.authorise_scopes(old, "delete")
    }

    /// Checks that the caller has a right at each scope where the definition that is there can be assigned.
    fn authorise_scopes(&self, old: Option<&Arc<Document>>, verb: &str) -> Result<(), ArmError> {
        let old = old.and_then(|old| definition(old, &self.state.subscriptions));
        let scopes = old.iter().flat_map(|old| &old.assignable_scopes);
        let action = format!("{DEFINITIONS}/{verb}");
        scopes
            .into_iter()
            .try_for_each(|scope| self.caller.authorise(&self.state, &action, scope))
    }

    /// Returns where and as what a role document is kept that is written so; none for what is none.
    pub(super) fn admit_role(
        &self,
        now: &Estate,
        id: &ResourceId,
        body: &Map<String, Value>,
    ) -> Option<Kept> {
        if id.is(DEFINITIONS) {
            return Some(self.admit_definition(now, id, body));
        }
        id.is(ASSIGNMENTS)
            .then(|| self.admit_assignment(now, id, body))
    }

    fn admit_definition(&self, now: &Estate, id: &ResourceId, body: &Map<String, Value>) -> Kept {
        let bad = |why: &str| {
            let message = format!("The role definition is invalid: {why}.");
            ArmError::bad_request("InvalidRoleDefinition", message)
        };
        let role = RoleDefinition::read(&Value::Object(body.clone()), id.name())
            .map_err(|why| bad(&why))?;
        let role = RoleDefinition {
            id: id.name().to_owned(),
            ..role
        };
        role.check_size().map_err(|why| bad(&why))?;
        let Some(first) = role.assignable_scopes.first() else {
            return Err(bad("`assignableScopes` is empty"));
        };
        let action = rights::on(id, "write").action;
        for scope in &role.assignable_scopes {
            self.caller.authorise(&self.state, &action, scope)?;
        }
        let of = |scope: &Scope| self.state.tenant_of(scope).map(str::to_owned);
        let Some((tenant, home)) = of(first).zip(first.subscription()) else {
            return Err(bad(
                "`assignableScopes` has the root; accepted: subscriptions, and what is in them",
            ));
        };
        let all = std::iter::once(&id.scope)
            .filter(|scope| **scope != Scope::Tenant)
            .chain(&role.assignable_scopes);
        let is_other =
            |scope: &Scope| !of(scope).is_some_and(|it| it.eq_ignore_ascii_case(&tenant));
        if all.clone().any(is_other) {
            return Err(bad("`assignableScopes` is of more than one tenant"));
        }
        if is_read_only(&self.state.config, &role.id) {
            let message = format!(
                "The role definition '{}' is built in or declared by the configuration file, and \
                 cannot be changed.",
                role.id
            );
            return Err(ArmError::new(403, "RoleDefinitionIsReadOnly", message));
        }
        let old = find(&self.state, now, &tenant, &role.id);
        self.authorise_scopes(old, "write")?;
        let home = id.scope.subscription().unwrap_or(home).to_owned();
        let home = Scope::Subscription(home);
        let kept = match old {
            Some(old) => old.id.clone(),
            None => home.resource(PROVIDER, &[("roleDefinitions", &role.id)]),
        };
        Ok((kept, properties(&role.show(None))))
    }

    fn admit_assignment(&self, now: &Estate, id: &ResourceId, body: &Map<String, Value>) -> Kept {
        let wanted = self.read_assignment(now, id, body)?;
        let kept = self.role_kept(now, id).unwrap_or_else(|| id.clone());
        let old = now.document_by_key(&kept.key());
        let declared = self.state.config.assignments.iter();
        let mut declared = declared.filter(|has| has.is_at(&wanted.id, &wanted.scope));
        let known = match old {
            Some(old) => assignment(old, &self.state.subscriptions),
            None => declared.next().cloned(),
        };
        if known.is_some_and(|known| !known.is_like(&wanted)) {
            let message = "Tenant ID, application ID, principal ID, and scope are not allowed to be \
                           updated.";
            let code = "RoleAssignmentUpdateNotPermitted";
            return Err(ArmError::new(409, code, message));
        }
        Ok((kept, properties(&wanted.show())))
    }

    /// Reads an assignment that is written at a scope, with the role and the principal that it names looked
    /// up in the tenant of the scope.
    ///
    /// # Errors
    ///
    /// The scope, the role or the principal is not there, or the role cannot be assigned there.
    pub(crate) fn read_assignment(
        &self,
        now: &Estate,
        id: &ResourceId,
        body: &Map<String, Value>,
    ) -> Result<RoleAssignment, ArmError> {
        check_scope_in(now, &id.scope)?;
        let properties = body.get("properties").and_then(Value::as_object);
        let properties = properties.unwrap_or(body);
        let text = |name: &str| field(properties, name).and_then(Value::as_str);
        let need = |name: &str| {
            text(name).filter(|text| !text.is_empty()).ok_or_else(|| {
                let message = format!(
                    "The request content was invalid: `properties.{name}` is missing; accepted: a \
                     text."
                );
                ArmError::bad_request("InvalidRequestContent", message).at(name)
            })
        };
        let (role, principal) = (need("roleDefinitionId")?, need("principalId")?);
        if field(properties, "condition").is_some_and(|condition| !condition.is_null()) {
            // Without it the assignment would give more than was meant.
            let message = "Conditions of role assignments are not supported here; accepted: no \
                           `condition`.";
            return Err(
                ArmError::bad_request("InvalidRoleAssignmentCondition", message).at("condition"),
            );
        }
        let tenants = self.tenants_at(&id.scope);
        let in_tenant = |known: &&crate::principals::Principal| {
            tenants
                .iter()
                .any(|tenant| tenant.eq_ignore_ascii_case(&known.tenant))
        };
        let known = object_of(&self.state, principal, in_tenant);
        let tenant = known.map(|known| known.tenant.as_str());
        let tenant = tenant
            .or_else(|| tenants.first().copied())
            .unwrap_or_default();
        let found = self.assigned_role(now, tenant, role)?;
        if !found.is_assignable(&id.scope) {
            let scopes = found.assignable_scopes.iter().map(Scope::to_string);
            let message = format!(
                "The role definition '{}' cannot be assigned at the scope '{}'; accepted: {}.",
                found.name,
                id.scope,
                scopes.collect::<Vec<_>>().join(", ")
            );
            return Err(ArmError::bad_request("InvalidRoleAssignmentScope", message));
        }
        // Who says what kind of principal it is knows that it may be too new to be found.
        if known.is_none() && text("principalType").is_none() {
            let message = format!("Principal {principal} does not exist in the directory.");
            return Err(ArmError::bad_request("PrincipalNotFound", message));
        }
        let kind = text("principalType").unwrap_or("ServicePrincipal");
        Ok(RoleAssignment {
            id: id.name().to_owned(),
            scope: id.scope.clone(),
            principal: known
                .map_or(principal, |known| known.object_id.as_str())
                .to_owned(),
            principal_type: kind.to_owned(),
            role: found.id.clone(),
            tenant: Some(tenant.to_owned()),
        })
    }

    /// Returns the role of a tenant that an assignment names by its ID.
    fn assigned_role(
        &self,
        now: &Estate,
        tenant: &str,
        named: &str,
    ) -> Result<RoleDefinition, ArmError> {
        let missing = || {
            let message = format!(
                "The specified role definition with ID '{}' does not exist.",
                last(named)
            );
            ArmError::bad_request("RoleDefinitionDoesNotExist", message)
        };
        let id = match named.contains('/') {
            false => named,
            true => {
                let id: ResourceId = named.parse().map_err(|_| missing())?;
                let home = self.state.tenant_of(&id.scope);
                let is_near = id.scope == Scope::Tenant
                    || home.is_some_and(|home| home.eq_ignore_ascii_case(tenant));
                if !id.is(DEFINITIONS) || !is_near {
                    return Err(missing());
                }
                last(named)
            }
        };
        if let Some(role) = self.state.host_role(tenant, id) {
            return Ok(role.clone());
        }
        let made = find(&self.state, now, tenant, id);
        made.and_then(|made| definition(made, &self.state.subscriptions))
            .ok_or_else(missing)
    }
}

/// Returns the document of a tenant's role definition.
fn find<'e>(state: &State, now: &'e Estate, tenant: &str, id: &str) -> Option<&'e Arc<Document>> {
    let all = state.subscriptions.iter();
    let mut own = all.filter(|known| known.tenant.eq_ignore_ascii_case(tenant));
    own.find_map(|home| {
        let home = Scope::Subscription(home.id.clone());
        let kept = home.resource(PROVIDER, &[("roleDefinitions", id)]);
        now.document_by_key(&kept.key())
    })
}

/// Returns whether a role is Azure's or the host's.
fn is_read_only(config: &ApiConfig, id: &str) -> bool {
    let mut declared = config.definitions.iter();
    built_in_by_id(id).is_some() || declared.any(|role| role.id.eq_ignore_ascii_case(id))
}

/// Returns a principal of the configuration. Its application ID stands for its object: `az` sends that where
/// it has no directory to look the object up in.
pub(crate) fn object_of<'s>(
    state: &'s State,
    principal: &str,
    is_wanted: impl Fn(&&crate::principals::Principal) -> bool,
) -> Option<&'s crate::principals::Principal> {
    let all = || state.config.principals.iter().filter(&is_wanted);
    let by_object = all().find(|known| known.object_id.eq_ignore_ascii_case(principal));
    by_object.or_else(|| all().find(|known| known.app_id.eq_ignore_ascii_case(principal)))
}

fn field<'v>(fields: &'v Map<String, Value>, name: &str) -> Option<&'v Value> {
    let mut all = fields.iter();
    all.find(|(known, _)| known.eq_ignore_ascii_case(name))
        .map(|(_, value)| value)
}

fn properties(shown: &Value) -> Map<String, Value> {
    let properties = shown.get("properties").cloned().unwrap_or_default();
    Map::from_iter([("properties".to_owned(), properties)])
}

/// Checks what a change leaves of roles: names are given once, what is assigned can be, and nothing is
/// assigned twice.
pub(super) fn seal(
    state: &State,
    next: &Estate,
    changes: &[ResourceChange],
) -> Result<(), ArmError> {
    let is_role = |change: &&ResourceChange| {
        let document = change.new.as_ref().or(change.old.as_ref());
        document.is_some_and(|it| it.id.is(DEFINITIONS) || it.id.is(ASSIGNMENTS))
    };
    let changes: Vec<_> = changes.iter().filter(is_role).collect();
    if changes.is_empty() {
        return Ok(());
    }
    let roles = of(next, &state.config, &state.subscriptions);
    let ledger = Ledger::new(&roles);
    for change in changes {
        let document = change.new.as_ref().or(change.old.as_ref());
        let of_definition = document.is_some_and(|it| it.id.is(DEFINITIONS));
        let checked = match (&change.old, &change.new) {
            (old, new) if of_definition => {
                let read = |it: &Arc<Document>| definition(it, &state.subscriptions);
                let (old, new) = (old.as_ref().and_then(read), new.as_ref().and_then(read));
                ledger.definition(old.as_ref(), new.as_ref())
            }
            (None, Some(new)) => match assignment(new, &state.subscriptions) {
                Some(new) => ledger.assignment(&new),
                None => Ok(()),
            },
            _ => Ok(()),
        };
        let id = document.map(|it| it.id.to_string()).unwrap_or_default();
        checked.map_err(|error| error.at(id))?;
    }
    Ok(())
}

/// Two texts that together are a key.
type Pair = (String, String);

/// Roles and assignments by what has to be looked for.
struct Ledger<'r> {
    /// The IDs of roles by their names, each with the role.
    names: HashMap<String, Vec<&'r RoleDefinition>>,
    /// Assignments by role.
    assigned: HashMap<String, Vec<&'r RoleAssignment>>,
    /// Assignments by scope and principal.
    held: HashMap<Pair, Vec<&'r RoleAssignment>>,
}

impl<'r> Ledger<'r> {
    fn new(roles: &'r Roles) -> Self {
        let mut ledger = Self {
            names: HashMap::new(),
            assigned: HashMap::new(),
            held: HashMap::new(),
        };
        let small = |text: &str| text.to_ascii_lowercase();
        for role in built_in().iter().chain(roles.definitions()) {
            let names = ledger.names.entry(role.name.to_lowercase());
            names.or_default().push(role);
        }
        for has in roles.assignments() {
            let of = ledger.assigned.entry(small(&has.role)).or_default();
            of.push(has);
            let key = (has.scope.key(), small(&has.principal));
            ledger.held.entry(key).or_default().push(has);
        }
        ledger
    }

    fn definition(
        &self,
        old: Option<&RoleDefinition>,
        new: Option<&RoleDefinition>,
    ) -> Result<(), ArmError> {
        if let Some(new) = new {
            let tenant = new.tenant.as_deref().unwrap_or_default();
            let same = self.names.get(&new.name.to_lowercase());
            let mut same = same.into_iter().flatten();
            if same.any(|other| other.is_of(tenant) && !other.id.eq_ignore_ascii_case(&new.id)) {
                let message = format!("A custom role with the name '{}' already exists.", new.name);
                let code = "RoleDefinitionWithSameNameExists";
                return Err(ArmError::new(409, code, message));
            }
        }
        let Some(old) = old else {
            return Ok(());
        };
        let tenant = old.tenant.as_deref().unwrap_or_default();
        let assigned = self.assigned.get(&old.id.to_ascii_lowercase());
        let assigned = assigned.into_iter().flatten();
        let mut assigned = assigned.filter(|has| has.is_of(Some(tenant)));
        // One that did not count before, counts no less now.
        let is_lost = |has: &&RoleAssignment| {
            old.is_assignable(&has.scope) && !new.is_some_and(|new| new.is_assignable(&has.scope))
        };
        if assigned.any(is_lost) {
            let message = "There are existing role assignments referencing the role.";
            let code = "RoleDefinitionHasAssignments";
            return Err(ArmError::bad_request(code, message));
        }
        Ok(())
    }

    fn assignment(&self, new: &RoleAssignment) -> Result<(), ArmError> {
        let key = (new.scope.key(), new.principal.to_ascii_lowercase());
        let held = self.held.get(&key);
        let mut same = held.into_iter().flatten().filter(|has| {
            let is_it = has.id.eq_ignore_ascii_case(&new.id);
            !is_it && has.role.eq_ignore_ascii_case(&new.role) && has.is_of(new.tenant.as_deref())
        });
        match same.next() {
            Some(same) => {
                let message = format!(
                    "The role assignment already exists. The ID of the existing role assignment is \
                     {}.",
                    same.id
                );
                Err(ArmError::new(409, "RoleAssignmentExists", message))
            }
            None => Ok(()),
        }
    }
}
