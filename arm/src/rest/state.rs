//! What a request sees: one estate and one configuration that belong together.

use super::config::{ApiConfig, Subscription, Tenant};
use crate::document::Document;
use crate::estate::Estate;
use crate::id::Scope;
use crate::roles::{ASSIGNMENTS, DEFINITIONS, RoleAssignment, RoleDefinition, Roles, last};
use serde_json::Value;
use std::sync::Arc;

/// An estate, a configuration, and what follows from the two. It never changes.
#[derive(Clone, Debug)]
pub(crate) struct State {
    /// What is in force.
    pub(crate) estate: Arc<Estate>,
    /// What the host says.
    pub(crate) config: Arc<ApiConfig>,
    /// Every role and assignment, declared or made by requests.
    pub(crate) roles: Arc<Roles>,
    /// Every subscription, declared or found in the estate.
    pub(crate) subscriptions: Arc<Vec<Subscription>>,
}

impl State {
    pub(crate) fn new(estate: Arc<Estate>, config: Arc<ApiConfig>) -> Self {
        let roles = Arc::new(roles(&estate, &config));
        let subscriptions = Arc::new(subscriptions(&estate, &config));
        Self {
            estate,
            config,
            roles,
            subscriptions,
        }
    }

    /// Returns the state with another estate.
    pub(crate) fn with_estate(&self, estate: Arc<Estate>) -> Self {
        Self::new(estate, Arc::clone(&self.config))
    }

    /// Returns the state with another configuration.
    pub(crate) fn with_config(&self, config: Arc<ApiConfig>) -> Self {
        Self::new(Arc::clone(&self.estate), config)
    }

    /// Returns a subscription.
    pub(crate) fn subscription(&self, id: &str) -> Option<&Subscription> {
        let mut all = self.subscriptions.iter();
        all.find(|known| known.id.eq_ignore_ascii_case(id))
    }

    /// Returns a tenant by its ID or name.
    pub(crate) fn tenant(&self, name: &str) -> Option<&Tenant> {
        let mut all = self.config.tenants.iter();
        all.find(|known| {
            known.id.eq_ignore_ascii_case(name) || known.name.eq_ignore_ascii_case(name)
        })
    }

    /// Returns the tenant that owns a scope; none for the root, which every tenant has for itself.
    pub(crate) fn tenant_of(&self, scope: &Scope) -> Option<&str> {
        let subscription = self.subscription(scope.subscription()?)?;
        Some(&subscription.tenant)
    }
}

fn roles(estate: &Estate, config: &ApiConfig) -> Roles {
    let mut roles = Roles {
        definitions: config.definitions.clone(),
        assignments: config.assignments.clone(),
    };
    for document in estate.documents() {
        // Cheaper than the comparison of the whole type, and most documents are something else.
        if !document
            .id
            .provider
            .eq_ignore_ascii_case("Microsoft.Authorization")
        {
            continue;
        }
        if document.id.is(DEFINITIONS) {
            roles.definitions.extend(definition(document));
        } else if document.id.is(ASSIGNMENTS) {
            roles.assignments.extend(assignment(document));
        }
    }
    roles
}

fn definition(document: &Document) -> Option<RoleDefinition> {
    let body = Value::Object(document.body.clone());
    let read = RoleDefinition::read(&body, document.id.name()).ok()?;
    let id = document.id.name().to_owned();
    Some(RoleDefinition { id, ..read })
}

fn assignment(document: &Document) -> Option<RoleAssignment> {
    let properties = document.body.get("properties")?;
    let text = |name: &str| properties.get(name).and_then(Value::as_str);
    Some(RoleAssignment {
        id: document.id.name().to_owned(),
        scope: document.id.scope.clone(),
        principal: text("principalId")?.to_owned(),
        principal_type: text("principalType")
            .unwrap_or("ServicePrincipal")
            .to_owned(),
        role: last(text("roleDefinitionId")?).to_owned(),
    })
}

fn subscriptions(estate: &Estate, config: &ApiConfig) -> Vec<Subscription> {
    let mut all = config.subscriptions.clone();
    let tenant = config.tenants.first().map(|tenant| tenant.id.clone());
    for group in estate.groups() {
        let Some(id) = group.scope.subscription() else {
            continue;
        };
        if !all.iter().any(|known| known.id.eq_ignore_ascii_case(id)) {
            all.push(Subscription {
                id: id.to_owned(),
                name: id.to_owned(),
                tenant: tenant.clone().unwrap_or_default(),
            });
        }
    }
    all
}
