//! The REST API: `[api]`, `[[servicePrincipal]]`, `[[roleDefinition]]`, `[[roleAssignment]]`.

use super::loader::{Claims, Loader};
use super::problem::Problem;
use super::section::Section;
use crate::model::{ApiAssignment, ApiPrincipal, ApiSubscription, Model, RoleSource, SecretSource};
use postern_arm::id::Scope;
use postern_arm::principals::{Principal, derive_guid};
use postern_arm::roles::{Permission, RoleDefinition, find_built_in};
use postern_arm::seal::is_digest;
use std::path::PathBuf;

const API_KEYS: &[&str] = &["listen", "names", "tenant", "subscription"];
const TENANT_KEYS: &[&str] = &["id", "name"];
const SUBSCRIPTION_KEYS: &[&str] = &["id", "name", "tenant"];
const PRINCIPAL_KEYS: &[&str] = &[
    "name",
    "appId",
    "objectId",
    "tenant",
    "secret",
    "secretDigest",
    "secretFile",
];
const DEFINITION_KEYS: &[&str] = &[
    "id",
    "file",
    "roleName",
    "description",
    "actions",
    "notActions",
    "dataActions",
    "notDataActions",
    "assignableScopes",
];
const ASSIGNMENT_KEYS: &[&str] = &["id", "principal", "role", "scope"];

const AN_ADDRESS: &str = "an address and port such as \"127.0.0.1:8443\"";
const AN_ID: &str = "an ID without \"/\", such as \"c0ffee00-0000-4000-8000-000000000001\"";
const A_TEXT: &str = "a text";
const HOST_NAMES: &str = "a list of host names or addresses";
const AN_ABSOLUTE_PATH: &str = "an absolute path such as \"/etc/postern/secret\"";
const A_SECRET: &str = "a text that is not empty here, or `secretFile`";
const A_DIGEST: &str = "a digest as `postern export --toml` tells it, or `secret`, or `secretFile`";
const ACTIONS: &str = "a list of actions such as [\"Microsoft.Network/*/read\"]";
const SCOPES: &str = "a list of scopes such as [\"/subscriptions/ID\"]";
const A_SCOPE: &str = "a scope: \"/\", \"/subscriptions/ID\", a resource group or a resource";

/// Reads everything about the API.
pub(super) fn api(loader: &mut Loader<'_>, root: &Section<'_>) {
    if let Some(section) = root.section("api", API_KEYS) {
        listener(&mut loader.model, &section);
        tenants(&mut loader.model, &section);
        subscriptions(&mut loader.model, &section);
    }
    let mut claims = Claims::default();
    for section in root.sections("servicePrincipal", PRINCIPAL_KEYS) {
        principal(&mut loader.model, &section, &mut claims);
    }
    for section in root.sections("roleDefinition", DEFINITION_KEYS) {
        definition(&mut loader.model, &section);
    }
    for section in root.sections("roleAssignment", ASSIGNMENT_KEYS) {
        assignment(&mut loader.model, &section);
    }
}

fn listener(model: &mut Model, section: &Section<'_>) {
    model.api.listen = section.parse("listen", AN_ADDRESS);
    let names = section.texts("names", HOST_NAMES);
    model.api.names = names
        .into_iter()
        .map(|name| name.value.to_owned())
        .collect();
}

/// Returns the text of a key that can be a part of a path.
fn id(section: &Section<'_>, key: &str) -> Option<String> {
    let text = section.text(key, AN_ID)?;
    let is_id = !text.is_empty()
        && text.len() <= 128
        && !text.contains(|letter: char| letter.is_control() || "/\\ ".contains(letter));
    if !is_id {
        section.refuse(key, Problem::Malformed(AN_ID));
    }
    is_id.then(|| text.to_owned())
}

fn required_id(section: &Section<'_>, key: &str) -> Option<String> {
    section.require(key, AN_ID);
    id(section, key)
}

fn tenants(model: &mut Model, section: &Section<'_>) {
    let mut claims = Claims::default();
    for section in section.sections("tenant", TENANT_KEYS) {
        let Some(id) = required_id(&section, "id") else {
            continue;
        };
        claim(&section, "id", &mut claims, &id);
        let name = section.text("name", A_TEXT).unwrap_or(&id).to_owned();
        model.api.tenants.push((id, name));
    }
}

fn subscriptions(model: &mut Model, section: &Section<'_>) {
    let mut claims = Claims::default();
    for section in section.sections("subscription", SUBSCRIPTION_KEYS) {
        let Some(own) = required_id(&section, "id") else {
            continue;
        };
        claim(&section, "id", &mut claims, &own);
        let name = section.text("name", A_TEXT).unwrap_or(&own).to_owned();
        let tenant = id(&section, "tenant").unwrap_or_else(|| model.scope.tenant.clone());
        model.api.subscriptions.push(ApiSubscription {
            id: own,
            name,
            tenant,
        });
    }
}

fn claim(section: &Section<'_>, key: &str, claims: &mut Claims<String>, value: &str) {
    if let Err(other) = claims.claim(value.to_ascii_lowercase(), &section.key(key)) {
        section.refuse(key, Problem::DuplicateName(other));
    }
}

fn principal(model: &mut Model, section: &Section<'_>, claims: &mut Claims<String>) {
    section.require("name", A_TEXT);
    let (name, app_id) = (section.text("name", A_TEXT), required_id(section, "appId"));
    let tenant = id(section, "tenant").unwrap_or_else(|| model.scope.tenant.clone());
    let (object_id, secret) = (id(section, "objectId"), secret(section));
    let (Some(name), Some(app_id), Some(secret)) = (name, app_id, secret) else {
        return;
    };
    claim(section, "appId", claims, &format!("{tenant}/{app_id}"));
    let derived = || Principal::derive_object_id(&tenant, &app_id);
    let object_id = object_id.unwrap_or_else(derived);
    model.api.principals.push(ApiPrincipal {
        name: name.to_owned(),
        object_id,
        app_id,
        tenant,
        secret,
    });
}

/// Where a secret may be told.
const SECRETS: [&str; 3] = ["secret", "secretDigest", "secretFile"];

/// Reads a secret. It is in no error: errors are shown and logged.
fn secret(section: &Section<'_>) -> Option<SecretSource> {
    let hidden = |problem| section.errors().add(section.key("secret"), None, problem);
    let told: Vec<&'static str> = SECRETS.into_iter().filter(|key| section.has(key)).collect();
    match told.as_slice() {
        [] => {
            hidden(Problem::Missing(A_SECRET));
            None
        }
        [_, other, ..] => {
            hidden(Problem::BothForms(other));
            None
        }
        ["secret"] => {
            let text = section.hidden("secret").filter(|text| !text.is_empty());
            if text.is_none() {
                hidden(Problem::Malformed(A_SECRET));
            }
            text.map(|text| SecretSource::Text(text.to_owned()))
        }
        ["secretDigest"] => {
            let text = section
                .hidden("secretDigest")
                .filter(|text| is_digest(text));
            if text.is_none() {
                let key = section.key("secretDigest");
                section
                    .errors()
                    .add(key, None, Problem::Malformed(A_DIGEST));
            }
            text.map(|text| SecretSource::Digest(text.to_owned()))
        }
        [_] => path(section, "secretFile").map(SecretSource::File),
    }
}

/// Reads a path. It is absolute: an `apply` is read by the daemon, which is somewhere else than who
/// wrote the file.
fn path(section: &Section<'_>, key: &str) -> Option<PathBuf> {
    let path = PathBuf::from(section.text(key, AN_ABSOLUTE_PATH)?);
    if !path.is_absolute() {
        section.refuse(key, Problem::Malformed(AN_ABSOLUTE_PATH));
        return None;
    }
    Some(path)
}

fn definition(model: &mut Model, section: &Section<'_>) {
    if section.has("file") {
        if let Some(path) = path(section, "file") {
            let derived = || derive_guid(&format!("role/{}", path.display()));
            let id = id(section, "id").unwrap_or_else(derived);
            model.api.definitions.push((id, RoleSource::File(path)));
        }
        return;
    }
    section.require("roleName", A_TEXT);
    let Some(name) = section.text("roleName", A_TEXT) else {
        return;
    };
    let derived = || derive_guid(&format!("role/{name}"));
    let id = id(section, "id").unwrap_or_else(derived);
    let actions = |key: &str| {
        let texts = section.texts(key, ACTIONS);
        texts
            .into_iter()
            .map(|text| text.value.to_owned())
            .collect()
    };
    let permission = Permission {
        actions: actions("actions"),
        not_actions: actions("notActions"),
        data_actions: actions("dataActions"),
        not_data_actions: actions("notDataActions"),
    };
    let scopes = section.parse_list("assignableScopes", SCOPES);
    let mut assignable_scopes: Vec<Scope> = scopes.into_iter().map(|scope| scope.value).collect();
    if !section.has("assignableScopes") {
        assignable_scopes.push(Scope::Tenant);
    }
    let description = section.text("description", A_TEXT).unwrap_or_default();
    let role = RoleDefinition {
        id: id.clone(),
        name: name.to_owned(),
        description: description.to_owned(),
        is_built_in: false,
        permissions: vec![permission],
        assignable_scopes,
        tenant: None,
    };
    model.api.definitions.push((id, RoleSource::Inline(role)));
}

fn assignment(model: &mut Model, section: &Section<'_>) {
    section.require("principal", A_TEXT);
    section.require("role", A_TEXT);
    let principal = section.text("principal", A_TEXT);
    let role = section.text("role", A_TEXT);
    let scope: Option<Scope> = section.parse("scope", A_SCOPE);
    let (Some(principal), Some(role)) = (principal, role) else {
        return;
    };
    let scope = scope.unwrap_or_else(|| Scope::Subscription(model.scope.subscription.clone()));
    let api = &model.api;
    let by = |of: fn(&ApiPrincipal) -> &str| {
        let mut all = api.principals.iter();
        all.find(|known| of(known).eq_ignore_ascii_case(principal))
    };
    // An ID is never taken for what somebody is called.
    let found = by(|known| &known.object_id)
        .or_else(|| by(|known| &known.app_id))
        .or_else(|| by(|known| &known.name));
    let Some(found) = found else {
        let names: Vec<_> = api
            .principals
            .iter()
            .map(|known| known.name.as_str())
            .collect();
        let known = if names.is_empty() {
            "none, the file declares no servicePrincipal".to_owned()
        } else {
            names.join(", ")
        };
        let kind = "servicePrincipal";
        return section.refuse("principal", Problem::UnknownReference { kind, known });
    };
    let (principal, tenant) = (found.object_id.clone(), found.tenant.clone());
    // A role of a file is known when that is read.
    let in_files = api
        .definitions
        .iter()
        .any(|(_, role)| matches!(role, RoleSource::File(_)));
    let declared = |(id, source): &(String, RoleSource)| {
        let name = match source {
            RoleSource::Inline(role) => role.name.as_str(),
            RoleSource::File(_) => "",
        };
        id.eq_ignore_ascii_case(role) || name.eq_ignore_ascii_case(role)
    };
    if find_built_in(role).is_none() && !in_files && !api.definitions.iter().any(declared) {
        let known = "Owner, Contributor, Reader, \"Network Contributor\", \"Storage Account \
                     Contributor\", \"User Access Administrator\", or the roleName of a \
                     roleDefinition";
        let (kind, known) = ("role", known.to_owned());
        return section.refuse("role", Problem::UnknownReference { kind, known });
    }
    let text = scope.to_string();
    let derived = || derive_guid(&format!("{text}/{principal}/{role}"));
    let id = id(section, "id").unwrap_or_else(derived);
    model.api.assignments.push(ApiAssignment {
        id,
        principal,
        tenant,
        role: role.to_owned(),
        scope: text,
    });
}
