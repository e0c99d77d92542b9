//! Rights: which principal may do what where.
//!
//! An action is a resource type and a verb (`Microsoft.Network/virtualNetworks/write`). A role
//! definition lists actions, with `*` for any text, and takes others away; an assignment gives a
//! role to a principal at a scope and everything below it. There is no denying assignment: what one
//! assignment gives, no other takes.
//!
//! A role is told by its ID and never by what people call it. Azure's own roles and those of the host
//! are every tenant's; any other role is of one tenant, and none of another sees it or is given it. A role
//! counts where it may be assigned and nowhere else, whatever was assigned before it was changed.

mod builtin;
pub mod link;
#[cfg(test)]
mod tests;

use crate::id::Scope;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::HashMap;

pub use builtin::{built_in, built_in_by_id, find_built_in};

/// The type of role definitions.
pub const DEFINITIONS: &str = "Microsoft.Authorization/roleDefinitions";
/// The type of role assignments.
pub const ASSIGNMENTS: &str = "Microsoft.Authorization/roleAssignments";

/// One set of actions of a role.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Permission {
    /// What may be done, with `*` for any text.
    pub actions: Vec<String>,
    /// What of that may not be done.
    pub not_actions: Vec<String>,
    /// What may be done with data; kept, and without effect here.
    pub data_actions: Vec<String>,
    /// What of that may not be done.
    pub not_data_actions: Vec<String>,
}

impl Permission {
    fn lists(&self) -> [&Vec<String>; 4] {
        [
            &self.actions,
            &self.not_actions,
            &self.data_actions,
            &self.not_data_actions,
        ]
    }

    /// Returns whether the action is among what may be done.
    #[must_use]
    pub fn allows(&self, action: &str) -> bool {
        let any = |patterns: &[String]| patterns.iter().any(|pattern| matches(pattern, action));
        any(&self.actions) && !any(&self.not_actions)
    }
}

/// Returns whether an action is one of those that a pattern means. Case does not count; `*` is any
/// text, slashes among it.
#[must_use]
pub fn matches(pattern: &str, action: &str) -> bool {
    let Some((first, others)) = pattern.split_once('*') else {
        return pattern.eq_ignore_ascii_case(action);
    };
    let Some((head, rest)) = action.split_at_checked(first.len()) else {
        return false;
    };
    // Nearly all that do not match are told by their beginning.
    if !head.eq_ignore_ascii_case(first) {
        return false;
    }
    let (others, rest) = (others.to_ascii_lowercase(), rest.to_ascii_lowercase());
    let (mut parts, mut rest) = (others.split('*'), rest.as_str());
    let last = parts.next_back().unwrap_or_default();
    for part in parts {
        // The first place is the best: it leaves most for what follows.
        let Some((_, behind)) = rest.split_once(part) else {
            return false;
        };
        rest = behind;
    }
    rest.ends_with(last)
}

/// A role: what may be done by who has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoleDefinition {
    /// Its name in IDs, a GUID.
    pub id: String,
    /// What people call it.
    pub name: String,
    /// What it is for.
    pub description: String,
    /// Whether it is Azure's own.
    pub is_built_in: bool,
    /// What it allows.
    pub permissions: Vec<Permission>,
    /// Where it can be assigned.
    pub assignable_scopes: Vec<Scope>,
    /// The tenant that it is of; none for Azure's own roles and the host's.
    pub tenant: Option<String>,
}

impl RoleDefinition {
    /// The most patterns of actions that a role has, and the most scopes at which it can be assigned.
    pub const MOST: usize = 2_000;
    /// The longest pattern, in bytes.
    pub const LONGEST: usize = 512;

    /// Checks that a role is not so large that to ask what it allows takes long.
    ///
    /// # Errors
    ///
    /// What of it is too large, and what would be accepted.
    pub fn check_size(&self) -> Result<(), String> {
        let patterns = || {
            let lists = self.permissions.iter().flat_map(Permission::lists);
            lists.flatten()
        };
        let most = Self::MOST;
        let count = patterns().count();
        if count > most {
            return Err(format!(
                "its permissions have {count} actions; accepted: at most {most}"
            ));
        }
        if let Some(long) = patterns().find(|pattern| pattern.len() > Self::LONGEST) {
            let (length, longest) = (long.len(), Self::LONGEST);
            return Err(format!(
                "an action has {length} bytes; accepted: at most {longest}"
            ));
        }
        let scopes = self.assignable_scopes.len();
        if scopes > most {
            return Err(format!(
                "`assignableScopes` has {scopes} scopes; accepted: at most {most}"
            ));
        }
        Ok(())
    }

    /// Returns whether who has the role may do that.
    #[must_use]
    pub fn allows(&self, action: &str) -> bool {
        self.permissions.iter().any(|set| set.allows(action))
    }

    /// Returns whether there is the role in a tenant.
    #[must_use]
    pub fn is_of(&self, tenant: &str) -> bool {
        let own = self.tenant.as_deref();
        own.is_none_or(|own| own.eq_ignore_ascii_case(tenant))
    }

    /// Returns whether it can be assigned at a scope.
    #[must_use]
    pub fn is_assignable(&self, at: &Scope) -> bool {
        self.assignable_scopes.iter().any(|scope| scope.holds(at))
    }

    /// Returns its ID, in a subscription or in the tenant.
    #[must_use]
    pub fn path(&self, subscription: Option<&str>) -> String {
        let prefix = subscription.map(|name| format!("/subscriptions/{name}"));
        let prefix = prefix.unwrap_or_default();
        format!("{prefix}/providers/{DEFINITIONS}/{}", self.id)
    }

    /// Returns the definition as ARM shows it.
    #[must_use]
    pub fn show(&self, subscription: Option<&str>) -> Value {
        let kind = if self.is_built_in {
            "BuiltInRole"
        } else {
            "CustomRole"
        };
        let scopes: Vec<_> = self
            .assignable_scopes
            .iter()
            .map(Scope::to_string)
            .collect();
        json!({
            "id": self.path(subscription),
            "name": self.id,
            "type": DEFINITIONS,
            "properties": {
                "roleName": self.name,
                "type": kind,
                "description": self.description,
                "assignableScopes": scopes,
                "permissions": self.permissions,
            }
        })
    }

    /// Reads a definition: as the REST API takes it (`properties` around the fields or not), or as
    /// `az role definition` keeps it in files (`Name`, `Actions`, `AssignableScopes`). `id` is used
    /// where it has none.
    ///
    /// # Errors
    ///
    /// What of it cannot be so.
    pub fn read(value: &Value, id: &str) -> Result<Self, String> {
        let outer = value.as_object().ok_or("it is no object")?;
        let inner = outer.get("properties").and_then(Value::as_object);
        let get = |names: &[&str]| {
            let is_it = |key: &str| names.iter().any(|name| name.eq_ignore_ascii_case(key));
            let find = |map: &serde_json::Map<String, Value>| {
                let found = map.iter().find(|(key, _)| is_it(key));
                found.map(|(_, value)| value.clone())
            };
            inner.and_then(find).or_else(|| find(outer))
        };
        let text = |names: &[&str]| get(names).and_then(|value| value.as_str().map(str::to_owned));
        // `name` at the top of a REST body is the GUID, and in a file of `az` the name for people.
        let name = text(&["roleName"])
            .or_else(|| text(&["name"]))
            .filter(|name| !name.is_empty())
            .ok_or("`roleName` is missing; accepted: a text")?;
        let permissions = match get(&["permissions"]) {
            Some(sets) => serde_json::from_value(sets)
                .map_err(|error| format!("`permissions` cannot be read: {error}"))?,
            None => vec![Permission {
                actions: texts(get(&["actions"]), "actions")?,
                not_actions: texts(get(&["notActions"]), "notActions")?,
                data_actions: texts(get(&["dataActions"]), "dataActions")?,
                not_data_actions: texts(get(&["notDataActions"]), "notDataActions")?,
            }],
        };
        let scopes = texts(get(&["assignableScopes"]), "assignableScopes")?;
        let scopes: Result<Vec<Scope>, _> = scopes.iter().map(|text| text.parse()).collect();
        Ok(Self {
            id: text(&["id"]).map_or_else(|| id.to_owned(), |id| last(&id).to_owned()),
            name,
            description: text(&["description"]).unwrap_or_default(),
            is_built_in: false,
            permissions,
            assignable_scopes: scopes.map_err(|error| error.to_string())?,
            tenant: None,
        })
    }
}

fn texts(value: Option<Value>, name: &str) -> Result<Vec<String>, String> {
    let Some(value) = value else {
        return Ok(Vec::new());
    };
    serde_json::from_value(value).map_err(|_| format!("`{name}` is no list of texts"))
}

/// Returns the last name of an ID.
pub(crate) fn last(id: &str) -> &str {
    id.rsplit('/').next().unwrap_or(id)
}

/// A role given to a principal at a scope.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoleAssignment {
    /// Its name in IDs, a GUID.
    pub id: String,
    /// Where, and everything below.
    pub scope: Scope,
    /// The object ID of the principal.
    pub principal: String,
    /// The kind of principal, such as `ServicePrincipal`.
    pub principal_type: String,
    /// The ID of the role, the last name of it.
    pub role: String,
    /// The tenant of the principal; none if the object is of no more than one tenant anyhow.
    pub tenant: Option<String>,
}

impl RoleAssignment {
    /// Returns whether it is the one of that ID at that scope.
    #[must_use]
    pub fn is_at(&self, id: &str, scope: &Scope) -> bool {
        self.id.eq_ignore_ascii_case(id) && self.scope == *scope
    }

    /// Returns whether it gives the same role to the same principal at the same scope.
    #[must_use]
    pub fn is_like(&self, other: &Self) -> bool {
        self.scope == other.scope
            && self.principal.eq_ignore_ascii_case(&other.principal)
            && self.role.eq_ignore_ascii_case(&other.role)
    }

    /// Returns whether both it and something of the tenant can be of one tenant.
    #[must_use]
    pub fn is_of(&self, tenant: Option<&str>) -> bool {
        let own = self.tenant.as_deref();
        own.zip(tenant)
            .is_none_or(|(own, tenant)| own.eq_ignore_ascii_case(tenant))
    }

    /// Returns the assignment as ARM shows it.
    #[must_use]
    pub fn show(&self) -> Value {
        let prefix = match &self.scope {
            Scope::Tenant => String::new(),
            scope => scope.to_string(),
        };
        let subscription = self.scope.subscription();
        let of = subscription.map(|name| format!("/subscriptions/{name}"));
        json!({
            "id": format!("{prefix}/providers/{ASSIGNMENTS}/{}", self.id),
            "name": self.id,
            "type": ASSIGNMENTS,
            "properties": {
                "scope": self.scope.to_string(),
                "roleDefinitionId":
                    format!("{}/providers/{DEFINITIONS}/{}", of.unwrap_or_default(), self.role),
                "principalId": self.principal,
                "principalType": self.principal_type,
            }
        })
    }
}

/// A principal: an object of a tenant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Who<'a> {
    /// The tenant.
    pub tenant: &'a str,
    /// The object.
    pub object: &'a str,
}

/// The roles that there are and who has them.
#[derive(Clone, Debug, Default)]
pub struct Roles {
    definitions: Vec<RoleDefinition>,
    assignments: Vec<RoleAssignment>,
    /// Places of definitions by their IDs in small letters, and of assignments by their principals.
    by_id: HashMap<String, Vec<usize>>,
    by_principal: HashMap<String, Vec<usize>>,
}

impl Roles {
    /// Returns custom roles and who has which role where. Of two definitions with one ID in one tenant,
    /// the first counts.
    #[must_use]
    pub fn new(definitions: Vec<RoleDefinition>, assignments: Vec<RoleAssignment>) -> Self {
        let (ids, principals) = (
            definitions.iter().map(|role| role.id.as_str()),
            assignments.iter().map(|has| has.principal.as_str()),
        );
        Self {
            by_id: places(ids),
            by_principal: places(principals),
            definitions,
            assignments,
        }
    }

    /// Returns the custom roles.
    #[must_use]
    pub fn definitions(&self) -> &[RoleDefinition] {
        &self.definitions
    }

    /// Returns who has which role where.
    #[must_use]
    pub fn assignments(&self) -> &[RoleAssignment] {
        &self.assignments
    }

    /// Returns the role that an ID is in a tenant.
    #[must_use]
    pub fn role(&self, tenant: &str, id: &str) -> Option<&RoleDefinition> {
        // Azure's own come first, so that nothing can stand in front of them.
        built_in_by_id(id).or_else(|| {
            let all = self.by_id.get(&id.to_ascii_lowercase())?;
            let mut all = all.iter().filter_map(|at| self.definitions.get(*at));
            all.find(|role| role.is_of(tenant))
        })
    }

    /// Returns the roles that a principal has at a scope, or above it.
    pub fn held<'a>(
        &'a self,
        who: Who<'a>,
        at: &'a Scope,
    ) -> impl Iterator<Item = &'a RoleDefinition> {
        let all = self.of(who).filter(|(has, _)| has.scope.holds(at));
        all.map(|(_, role)| role)
    }

    /// Returns whether a principal may do that at a scope.
    #[must_use]
    pub fn allows(&self, who: Who<'_>, action: &str, at: &Scope) -> bool {
        let granted = self.granted(who, action);
        granted.iter().any(|scope| scope.holds(at))
    }

    /// Returns the scopes at which, and below which, a principal may do that.
    #[must_use]
    pub fn granted<'a>(&'a self, who: Who<'a>, action: &str) -> Vec<&'a Scope> {
        let mut asked: HashMap<*const RoleDefinition, bool> = HashMap::new();
        let mut allows = |role: &RoleDefinition| {
            let known = asked.entry(std::ptr::from_ref(role));
            *known.or_insert_with(|| role.allows(action))
        };
        let all = self.of(who).filter(|(_, role)| allows(role));
        all.map(|(has, _)| &has.scope).collect()
    }

    /// Returns whether a principal has any role at the scope, above it or below it.
    #[must_use]
    pub fn is_known(&self, who: Who<'_>, at: &Scope) -> bool {
        self.of(who)
            .any(|(has, _)| has.scope.holds(at) || at.holds(&has.scope))
    }

    /// Returns what a principal was given that counts: the role is there, and it may be assigned there.
    fn of<'a>(
        &'a self,
        who: Who<'a>,
    ) -> impl Iterator<Item = (&'a RoleAssignment, &'a RoleDefinition)> {
        let all = self.by_principal.get(&who.object.to_ascii_lowercase());
        let all = all.into_iter().flatten();
        let all = all.filter_map(|at| self.assignments.get(*at));
        let all = all.filter(move |has| has.is_of(Some(who.tenant)));
        all.filter_map(move |has| {
            let role = self.role(who.tenant, &has.role)?;
            role.is_assignable(&has.scope).then_some((has, role))
        })
    }
}

fn places<'a>(keys: impl Iterator<Item = &'a str>) -> HashMap<String, Vec<usize>> {
    let mut places: HashMap<String, Vec<usize>> = HashMap::new();
    for (at, key) in keys.enumerate() {
        places.entry(key.to_ascii_lowercase()).or_default().push(at);
    }
    places
}
