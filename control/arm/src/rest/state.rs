//! What a request sees: one estate and one configuration that belong together.

use super::authorise::roles;
use super::caller::Caller;
use super::config::{ApiConfig, Subscription, Tenant};
use crate::estate::Estate;
use crate::id::Scope;
use crate::roles::{RoleDefinition, Roles, built_in_by_id};
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
        let subscriptions = Arc::new(subscriptions(&estate, &config));
        let roles = Arc::new(roles::of(&estate, &config, &subscriptions));
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
        find(&self.subscriptions, id)
    }

    /// Returns a tenant by its ID or name.
    pub(crate) fn tenant(&self, name: &str) -> Option<&Tenant> {
        let all = || self.config.tenants.iter();
        let by_id = all().find(|known| known.id.eq_ignore_ascii_case(name));
        by_id.or_else(|| all().find(|known| known.name.eq_ignore_ascii_case(name)))
    }

    /// Returns the tenant that owns a scope; none for the root, which every tenant has for itself.
    pub(crate) fn tenant_of(&self, scope: &Scope) -> Option<&str> {
        let subscription = self.subscription(scope.subscription()?)?;
        Some(&subscription.tenant)
    }

    /// Returns the tenants that a scope speaks of: that which owns it; at the root, that of who asks, and
    /// all of them for the host.
    pub(crate) fn tenants_at<'s>(&'s self, caller: &'s Caller, scope: &Scope) -> Vec<&'s str> {
        match (scope.subscription(), caller.tenant()) {
            (Some(_), _) => self.tenant_of(scope).into_iter().collect(),
            (None, Some(own)) => vec![own],
            (None, None) => {
                let all = self.config.tenants.iter();
                all.map(|tenant| tenant.id.as_str()).collect()
            }
        }
    }

    /// Returns a role of Azure or of the host that there is in a tenant.
    pub(crate) fn host_role(&self, tenant: &str, id: &str) -> Option<&RoleDefinition> {
        let declared = || {
            let mut all = self.config.definitions.iter();
            all.find(|role| role.id.eq_ignore_ascii_case(id) && role.is_of(tenant))
        };
        built_in_by_id(id).or_else(declared)
    }

    /// Returns whether anything of a tenant is among the scopes where a role can be assigned.
    pub(crate) fn concerns(&self, role: &RoleDefinition, tenant: &str) -> bool {
        let is_its = |scope: &Scope| {
            let of = self.tenant_of(scope);
            of.is_none_or(|of| of.eq_ignore_ascii_case(tenant))
        };
        role.is_of(tenant) && role.assignable_scopes.iter().any(is_its)
    }
}

/// Returns a subscription of a list.
pub(crate) fn find<'s>(all: &'s [Subscription], id: &str) -> Option<&'s Subscription> {
    all.iter().find(|known| known.id.eq_ignore_ascii_case(id))
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
