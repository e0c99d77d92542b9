//! Azure's own roles, under their own IDs. The IDs and lists of actions are from memory of Azure's
//! documentation, not from this project's reference.

use super::{Permission, RoleDefinition};
use crate::id::Scope;
use std::sync::OnceLock;

/// Name, ID, description, actions, actions taken away.
type Row = (
    &'static str,
    &'static str,
    &'static str,
    &'static [&'static str],
    &'static [&'static str],
);

const EVERYWHERE: [&str; 6] = [
    "Microsoft.Authorization/*/read",
    "Microsoft.Insights/alertRules/*",
    "Microsoft.ResourceHealth/availabilityStatuses/read",
    "Microsoft.Resources/deployments/*",
    "Microsoft.Resources/subscriptions/resourceGroups/read",
    "Microsoft.Support/*",
];

const ROWS: [Row; 6] = [
    (
        "Owner",
        "8e3af657-a8ff-443c-a75c-2fe8c4bcb635",
        "Grants full access to manage all resources, including the ability to assign roles.",
        &["*"],
        &[],
    ),
    (
        "Contributor",
        "b24988ac-6180-42a0-ab88-20f7382dd24c",
        "Grants full access to manage all resources, but does not allow to assign roles.",
        &["*"],
        &[
            "Microsoft.Authorization/*/Delete",
            "Microsoft.Authorization/*/Write",
            "Microsoft.Authorization/elevateAccess/Action",
            "Microsoft.Blueprint/blueprintAssignments/write",
            "Microsoft.Blueprint/blueprintAssignments/delete",
            "Microsoft.Compute/galleries/share/action",
            "Microsoft.Purview/consents/write",
            "Microsoft.Purview/consents/delete",
            "Microsoft.Resources/deploymentStacks/manageDenySetting/action",
            "Microsoft.Subscription/cancel/action",
            "Microsoft.Subscription/enable/action",
        ],
    ),
    (
        "Reader",
        "acdd72a7-3385-48ef-bd42-f606fba81ae7",
        "View all resources, but does not allow to make any changes.",
        &["*/read"],
        &[],
    ),
    (
        "Network Contributor",
        "4d97b98b-1d4f-4787-a291-c67834d212e7",
        "Lets you manage networks, but not access to them.",
        &["Microsoft.Network/*"],
        &[],
    ),
    (
        "Storage Account Contributor",
        "17d1049b-9a84-46fb-8f53-869881c3d3ab",
        "Lets you manage storage accounts, including accessing storage account keys.",
        &[
            "Microsoft.Insights/diagnosticSettings/*",
            "Microsoft.Network/virtualNetworks/subnets/joinViaServiceEndpoint/action",
            "Microsoft.Storage/storageAccounts/*",
        ],
        &[],
    ),
    (
        "User Access Administrator",
        "18d7d88d-d35e-4fb5-a5c3-7773c20a72d9",
        "Lets you manage user access to Azure resources.",
        &["*/read", "Microsoft.Authorization/*", "Microsoft.Support/*"],
        &[],
    ),
];

/// The roles that manage one thing and may see and deploy around it.
const WITH_EVERYWHERE: [&str; 2] = ["Network Contributor", "Storage Account Contributor"];

/// Returns Azure's own roles, as far as they are known here.
pub fn built_in() -> &'static [RoleDefinition] {
    static ROLES: OnceLock<Vec<RoleDefinition>> = OnceLock::new();
    ROLES.get_or_init(|| ROWS.iter().map(role).collect())
}

/// Returns one of Azure's own roles by its ID.
#[must_use]
pub fn built_in_by_id(id: &str) -> Option<&'static RoleDefinition> {
    let mut all = built_in().iter();
    all.find(|known| known.id.eq_ignore_ascii_case(id))
}

/// Returns one of Azure's own roles by its ID or name: for files of the host, where people write names.
#[must_use]
pub fn find_built_in(role: &str) -> Option<&'static RoleDefinition> {
    let by_name = || {
        let mut all = built_in().iter();
        all.find(|known| known.name.eq_ignore_ascii_case(role))
    };
    built_in_by_id(role).or_else(by_name)
}

fn role(&(name, id, description, actions, not_actions): &Row) -> RoleDefinition {
    let own = |texts: &[&str]| {
        texts
            .iter()
            .map(|&text| text.to_owned())
            .collect::<Vec<_>>()
    };
    let mut actions = own(actions);
    if WITH_EVERYWHERE.contains(&name) {
        actions.extend(own(&EVERYWHERE));
    }
    RoleDefinition {
        id: id.to_owned(),
        name: name.to_owned(),
        description: description.to_owned(),
        is_built_in: true,
        permissions: vec![Permission {
            actions,
            not_actions: own(not_actions),
            ..Permission::default()
        }],
        assignable_scopes: vec![Scope::Tenant],
        tenant: None,
    }
}
