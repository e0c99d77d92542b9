//! How much there may be: Azure's counts, and bytes, of which Azure says nothing.
//!
//! Whoever may write can write as much as fits, and no more: the limit of a resource group keeps its
//! owner from taking what the rest of the subscription needs, that of a subscription what the others
//! need. The configuration file is the host's own and counts, but is not limited.

use super::Stage;
use super::group::count_in;
use crate::document::Document;
use crate::error::ArmError;
use crate::id::{ResourceId, Scope};
use serde_json::{Map, Value};

const DEPLOYMENTS: &str = "Microsoft.Resources/deployments";
const ASSIGNMENTS: &str = "Microsoft.Authorization/roleAssignments";
const DEFINITIONS: &str = "Microsoft.Authorization/roleDefinitions";

/// The types that Azure does not limit to so many in a resource group, of those that have an effect
/// here.
const UNLIMITED: &[&str] = &[
    "Microsoft.Compute/virtualMachines",
    "Microsoft.Network/applicationSecurityGroups",
    "Microsoft.Network/networkInterfaces",
    "Microsoft.Network/networkSecurityGroups",
    "Microsoft.Network/publicIPAddresses",
    "Microsoft.Network/serviceEndpointPolicies",
    "Microsoft.Network/virtualNetworks",
];

/// How much there may be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quotas {
    /// Resource groups of a subscription.
    pub groups: usize,
    /// Resources of a type in a resource group.
    pub instances: usize,
    /// Deployments that are remembered of a scope; the oldest make room for new ones.
    pub deployments: usize,
    /// Role assignments of a subscription.
    pub assignments: usize,
    /// Custom roles.
    pub definitions: usize,
    /// Bytes of the resources in a resource group.
    pub group_bytes: u64,
    /// Bytes of those in a subscription.
    pub subscription_bytes: u64,
    /// Bytes of all.
    pub bytes: u64,
}

impl Default for Quotas {
    fn default() -> Self {
        Self {
            groups: 980,
            instances: 800,
            deployments: 800,
            assignments: 4_000,
            definitions: 5_000,
            group_bytes: 32 << 20,
            subscription_bytes: 64 << 20,
            bytes: 256 << 20,
        }
    }
}

/// How many there are, and their bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Usage {
    /// How many.
    pub(super) count: usize,
    /// Their bytes.
    pub(super) bytes: u64,
}

/// Returns what a document counts for, by the name of each count.
pub(super) fn counts(id: &ResourceId) -> Vec<String> {
    let kind = id.kind().to_ascii_lowercase();
    let mut names = vec![String::new(), format!("{kind} in all")];
    let subscription = id.scope.subscription().map(str::to_ascii_lowercase);
    if let Some(subscription) = &subscription {
        names.push(subscription.clone());
        names.push(format!("{kind} of {subscription}"));
    }
    if let (Some(subscription), Some(group)) = (subscription, id.scope.group()) {
        let group = format!("{subscription}/{}", group.to_ascii_lowercase());
        names.push(format!("{kind} in {group}"));
        names.push(group);
    }
    names
}

/// Returns about how many bytes a body takes.
pub(super) fn size(body: &Map<String, Value>) -> u64 {
    /// What stands around a value.
    const AROUND: usize = 8;
    fn of(value: &Value) -> usize {
        let inner = match value {
            Value::String(text) => text.len(),
            Value::Array(items) => items.iter().map(of).sum(),
            Value::Object(fields) => fields
                .iter()
                .map(|(name, field)| name.len().saturating_add(of(field)))
                .sum(),
            Value::Null | Value::Bool(_) | Value::Number(_) => 0,
        };
        inner.saturating_add(AROUND)
    }
    let fields = body.iter();
    let all: usize = fields.map(|(name, field)| name.len() + of(field)).sum();
    u64::try_from(all).unwrap_or(u64::MAX)
}

impl Stage {
    /// Checks that there is room for one more resource group of a subscription.
    pub(super) fn has_room_for_group(&self, scope: &Scope) -> Result<(), ArmError> {
        let (most, count) = (self.settings.quotas.groups, count_in(&self.now, scope));
        if count < most {
            return Ok(());
        }
        let message = format!(
            "Creating the resource group '{}' would exceed the quota of '{most}'. The current resource \
             group count is '{count}', please delete some resource groups before creating a new one.",
            scope.group().unwrap_or_default()
        );
        Err(ArmError::new(409, "ResourceGroupQuotaExceeded", message))
    }

    /// Checks that there is room for a document as it is to be.
    pub(super) fn has_room(
        &mut self,
        id: &ResourceId,
        body: &Map<String, Value>,
        old: Option<&Document>,
    ) -> Result<(), ArmError> {
        if old.is_none() {
            self.has_room_for_one(id)?;
        }
        let more = size(body).saturating_sub(old.map_or(0, |old| size(&old.body)));
        if more == 0 {
            return Ok(());
        }
        let quotas = &self.settings.quotas;
        let subscription = id.scope.subscription().unwrap_or_default();
        let group = format!("{subscription}/{}", id.scope.group().unwrap_or_default());
        let limits = [
            (group, quotas.group_bytes, "the resource group"),
            (
                subscription.to_owned(),
                quotas.subscription_bytes,
                "the subscription",
            ),
            (String::new(), quotas.bytes, "this host"),
        ];
        for (name, most, what) in limits {
            let used = self.now.index.usage(&name.to_ascii_lowercase()).bytes;
            if used.saturating_add(more) > most {
                let message = format!(
                    "Operation results in exceeding quota limits of {what}. Maximum allowed: {most} \
                     bytes of resources, Current in use: {used}, Additional requested: {more}. Please \
                     delete what is not needed before writing more."
                );
                return Err(ArmError::new(409, "QuotaExceeded", message).at(id.to_string()));
            }
        }
        Ok(())
    }

    fn has_room_for_one(&mut self, id: &ResourceId) -> Result<(), ArmError> {
        let quotas = self.settings.quotas.clone();
        let kind = id.kind();
        let of = |place: &str| {
            let name = format!("{kind} {place}").to_ascii_lowercase();
            self.now.index.usage(&name).count
        };
        let subscription = id.scope.subscription().unwrap_or_default();
        let full = |code: &str, message: String| Err(ArmError::new(409, code, message));
        if id.is(ASSIGNMENTS) {
            let is_full = of(&format!("of {subscription}")) >= quotas.assignments;
            let message = "No more role assignments can be created.";
            return match is_full {
                true => full("RoleAssignmentLimitExceeded", message.to_owned()),
                false => Ok(()),
            };
        }
        if id.is(DEFINITIONS) {
            let message = "The custom role definition limit exceeded. No more role definitions can \
                           be created.";
            return match of("in all") >= quotas.definitions {
                true => full("RoleDefinitionLimitExceeded", message.to_owned()),
                false => Ok(()),
            };
        }
        if id.is(DEPLOYMENTS) {
            self.forget_deployments(&id.scope, quotas.deployments);
            return Ok(());
        }
        let Some(group) = id.scope.group() else {
            return Ok(());
        };
        let count = of(&format!("in {subscription}/{group}"));
        let is_limited = !UNLIMITED.iter().any(|known| id.is(known));
        if !is_limited || count < quotas.instances {
            return Ok(());
        }
        let message = format!(
            "Creating the resource of type '{kind}' would exceed the quota of '{}' resources of type \
             '{kind}' per resource group. The current resource count is '{count}', please delete some \
             resources of this type before creating a new one.",
            quotas.instances
        );
        Err(ArmError::new(409, "ResourceQuotaExceeded", message).at(id.to_string()))
    }

    /// Removes the oldest deployments of a scope, so that there is room for one more: Azure does so as
    /// well.
    fn forget_deployments(&mut self, scope: &Scope, most: usize) {
        let own = self.now.documents_in(scope);
        let own = own.filter(|document| document.id.is(DEPLOYMENTS) && document.id.scope == *scope);
        let mut all: Vec<_> = own.map(|one| (one.created, one.id.key())).collect();
        if all.len() < most {
            return;
        }
        all.sort();
        let spare = all.len().saturating_add(1).saturating_sub(most);
        for (_, key) in all.into_iter().take(spare) {
            self.remove_key(&key);
        }
    }
}
