//! What the host says about the API: who may come, and to what.

use crate::estate::Settings;
use crate::principals::Principal;
use crate::roles::{RoleAssignment, RoleDefinition};
use crate::token::TokenKey;

/// A tenant: a directory of principals, which subscriptions are of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tenant {
    /// Its GUID.
    pub id: String,
    /// What people call it; it stands for the ID in the URL of the token endpoint too.
    pub name: String,
}

/// A subscription.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subscription {
    /// Its GUID.
    pub id: String,
    /// What people call it.
    pub name: String,
    /// The ID of the tenant that it is of.
    pub tenant: String,
}

/// Everything that the host says about the API.
#[derive(Clone, Debug)]
pub struct ApiConfig {
    /// Tenants; the first one has the subscriptions that are not declared.
    pub tenants: Vec<Tenant>,
    /// Subscriptions; others come to be with the resources in them.
    pub subscriptions: Vec<Subscription>,
    /// Who may log in.
    pub principals: Vec<Principal>,
    /// Custom roles that are declared; others are made by requests.
    pub definitions: Vec<RoleDefinition>,
    /// Role assignments that are declared; others are made by requests.
    pub assignments: Vec<RoleAssignment>,
    /// The host names that this API has, without ports. A token must be for one of them.
    pub hosts: Vec<String>,
    /// The key that signs tokens, and from which the keys of storage accounts come.
    pub key: TokenKey,
    /// What a change of the estate has to know.
    pub settings: Settings,
}

impl ApiConfig {
    /// Returns the configuration of one tenant and one subscription, with nobody who may log in.
    #[must_use]
    pub fn new(tenant: &str, subscription: &str, key: TokenKey) -> Self {
        Self {
            tenants: vec![Tenant {
                id: tenant.to_owned(),
                name: "Postern".to_owned(),
            }],
            subscriptions: vec![Subscription {
                id: subscription.to_owned(),
                name: "Postern".to_owned(),
                tenant: tenant.to_owned(),
            }],
            principals: Vec::new(),
            definitions: Vec::new(),
            assignments: Vec::new(),
            hosts: vec!["localhost".to_owned()],
            settings: Settings {
                seal: key.seal(),
                ..Settings::default()
            },
            key,
        }
    }
}
