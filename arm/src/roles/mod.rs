//! Rights: which principal may do what where.
//!
//! An action is a resource type and a verb (`Microsoft.Network/virtualNetworks/write`). A role
//! definition lists actions, with `*` for any text, and takes others away; an assignment gives a
//! role to a principal at a scope and everything below it. There is no denying assignment: what one
//! assignment gives, no other takes.

mod builtin;
pub mod link;
#[cfg(test)]
mod tests;

use crate::id::Scope;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

pub use builtin::{built_in, find_built_in};

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
    let (pattern, action) = (pattern.to_ascii_lowercase(), action.to_ascii_lowercase());
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = action.strip_prefix(first) else {
        return false;
    };
    let Some(last) = parts.next_back() else {
        // Without a star.
        return rest.is_empty();
    };
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
}

impl RoleDefinition {
    /// Returns whether who has the role may do that.
    #[must_use]
    pub fn allows(&self, action: &str) -> bool {
        self.permissions.iter().any(|set| set.allows(action))
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
}

impl RoleAssignment {
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

/// The roles that there are and who has them.
#[derive(Clone, Debug, Default)]
pub struct Roles {
    /// Custom roles.
    pub definitions: Vec<RoleDefinition>,
    /// Who has which role where.
    pub assignments: Vec<RoleAssignment>,
}

impl Roles {
    /// Returns a role by its ID or its name.
    #[must_use]
    pub fn find(&self, role: &str) -> Option<&RoleDefinition> {
        let role = last(role);
        let mut custom = self.definitions.iter();
        custom
            .find(|known| {
                known.id.eq_ignore_ascii_case(role) || known.name.eq_ignore_ascii_case(role)
            })
            .or_else(|| find_built_in(role))
    }

    /// Returns the roles that a principal has at a scope, or above it.
    pub fn held<'a>(
        &'a self,
        principal: &'a str,
        at: &'a Scope,
    ) -> impl Iterator<Item = &'a RoleDefinition> {
        let of = self.of(principal).filter(|has| has.scope.holds(at));
        of.filter_map(|has| self.find(&has.role))
    }

    /// Returns whether a principal may do that at a scope.
    #[must_use]
    pub fn allows(&self, principal: &str, action: &str, at: &Scope) -> bool {
        self.held(principal, at).any(|role| role.allows(action))
    }

    /// Returns whether a principal has any role at the scope, above it or below it.
    #[must_use]
    pub fn is_known(&self, principal: &str, at: &Scope) -> bool {
        self.of(principal)
            .any(|has| has.scope.holds(at) || at.holds(&has.scope))
    }

    fn of<'a>(&'a self, principal: &'a str) -> impl Iterator<Item = &'a RoleAssignment> {
        let mut all = self.assignments.iter();
        std::iter::from_fn(move || all.find(|has| has.principal.eq_ignore_ascii_case(principal)))
    }
}
