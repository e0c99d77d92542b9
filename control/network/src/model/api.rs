//! The REST API: where it listens, who may come, and to what.

use postern_arm::roles::RoleDefinition;
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;

/// What a configuration says about the API.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Api {
    /// Where it listens for https; nowhere without it.
    pub listen: Option<SocketAddr>,
    /// Host names that clients know it by, beside `localhost` and the address itself.
    pub names: Vec<String>,
    /// Tenants beside that of the file: their IDs and what people call them.
    pub tenants: Vec<(String, String)>,
    /// Subscriptions.
    pub subscriptions: Vec<Subscription>,
    /// Who may log in.
    pub principals: Vec<Principal>,
    /// Custom roles, each with the ID that it is told or derived.
    pub definitions: Vec<(String, RoleSource)>,
    /// Who has which role where.
    pub assignments: Vec<Assignment>,
}

/// A subscription.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subscription {
    /// Its ID.
    pub id: String,
    /// What people call it.
    pub name: String,
    /// The tenant that it is of.
    pub tenant: String,
}

/// A service principal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Principal {
    /// What people call it.
    pub name: String,
    /// What it logs in as.
    pub app_id: String,
    /// Its object, which roles are assigned to; derived where it is not told.
    pub object_id: String,
    /// Its tenant.
    pub tenant: String,
    /// Its secret.
    pub secret: SecretSource,
}

/// Where a secret is.
#[derive(Clone, PartialEq, Eq)]
pub enum SecretSource {
    /// In the configuration.
    Text(String),
    /// In a file: its first line.
    File(PathBuf),
    /// Nowhere: what is known of it is a digest under the key of a state directory.
    Digest(String),
}

impl fmt::Debug for SecretSource {
    /// Leaves the secret out: what is logged is read by others.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(_) => f.write_str("Text"),
            Self::File(path) => f.debug_tuple("File").field(path).finish(),
            Self::Digest(_) => f.write_str("Digest"),
        }
    }
}

/// Where a custom role is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RoleSource {
    /// In the configuration.
    Inline(RoleDefinition),
    /// In a file of JSON, as `az role definition` keeps it.
    File(PathBuf),
}

/// A role given to a principal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assignment {
    /// Its ID.
    pub id: String,
    /// The object ID of the principal.
    pub principal: String,
    /// The tenant of the principal.
    pub tenant: String,
    /// The name or ID of the role.
    pub role: String,
    /// Where, and everything below.
    pub scope: String,
}
