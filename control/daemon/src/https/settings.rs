//! From the model to what the API is told: secrets and roles are read from their files, the key of tokens
//! from the state directory.

use super::listener::hosts;
use postern_arm::estate::Settings;
use postern_arm::id::Scope;
use postern_arm::principals::{Principal, Secret};
use postern_arm::rest::{ApiConfig, Subscription, Tenant};
use postern_arm::roles::{RoleAssignment, RoleDefinition, built_in, built_in_by_id, find_built_in};
use postern_arm::token::TokenKey;
use postern_network::model::{self, Model, RoleSource, SecretSource};
use rand::Rng;
use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// The file of the key in the state directory.
const KEY_FILE: &str = "token.key";

/// The longest file of a secret or role, in bytes.
const LONGEST: u64 = 1024 * 1024;

/// Why the API cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// A file cannot be read or made.
    #[error("{key}: {}: cannot be read or made; accepted: a file that the daemon can read", path.display())]
    File {
        /// Who wants it.
        key: String,
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file of a secret is empty.
    #[error("{key}: {}: the first line is empty; accepted: a secret in it", path.display())]
    EmptySecret {
        /// Who wants it.
        key: String,
        /// The file.
        path: PathBuf,
    },
    /// A digest is of another state directory.
    #[error(
        "servicePrincipal[{at}].secretDigest: of another state directory; accepted: one that this host told, or `secret`, or `secretFile`"
    )]
    ForeignDigest {
        /// Which principal.
        at: usize,
    },
    /// A file of a role holds none.
    #[error("{key}: {}: {problem}; accepted: a role definition as `az role definition create` takes it", path.display())]
    Role {
        /// Who wants it.
        key: String,
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// A role is assigned that is not there.
    #[error(
        "roleAssignment[{at}].role = \"{role}\": there is no such role; accepted: a built-in role, or the roleName of a roleDefinition"
    )]
    NoRole {
        /// Which assignment.
        at: usize,
        /// The role.
        role: String,
    },
    /// A role is told as another one is.
    #[error(
        "roleDefinition[{at}]: the {what} \"{value}\" is another role's; accepted: one that no built-in role and no other roleDefinition has"
    )]
    RoleTaken {
        /// Which definition.
        at: usize,
        /// What of it is taken.
        what: &'static str,
        /// As it is there.
        value: String,
    },
    /// A role is assigned where it cannot be.
    #[error(
        "roleAssignment[{at}].scope = \"{scope}\": the role \"{role}\" cannot be assigned there; accepted: {accepted}, and what is in them"
    )]
    NotAssignable {
        /// Which assignment.
        at: usize,
        /// The role.
        role: String,
        /// The scope.
        scope: String,
        /// Where it can be assigned.
        accepted: String,
    },
    /// The file of the key is not one.
    #[error("{}: damaged, {length} bytes; accepted: the file as postern made it, or none, which ends all logins", path.display())]
    Key {
        /// The file.
        path: PathBuf,
        /// How long it is.
        length: usize,
    },
}

/// Returns what the API is told by a model. `key` signs tokens; `settings` is for changes.
///
/// # Errors
///
/// A file of a secret or a role cannot be read, or a role is not there.
pub fn api_config(
    model: &Model,
    key: TokenKey,
    settings: Settings,
) -> Result<ApiConfig, SettingsError> {
    let api = &model.api;
    let definitions = definitions(api)?;
    let settings = Settings {
        seal: key.seal(),
        ..settings
    };
    Ok(ApiConfig {
        tenants: tenants(model),
        subscriptions: subscriptions(model),
        principals: principals(api, &key)?,
        assignments: assignments(api, &definitions)?,
        definitions,
        hosts: hosts(api),
        key,
        settings,
    })
}

fn tenants(model: &Model) -> Vec<Tenant> {
    let own = model.scope.tenant.clone();
    let declared = model.api.tenants.iter().cloned();
    let named = declared
        .clone()
        .find(|(id, _)| id.eq_ignore_ascii_case(&own));
    let first = named.unwrap_or_else(|| (own.clone(), "Postern".to_owned()));
    let subscriptions = model
        .api
        .subscriptions
        .iter()
        .map(|known| known.tenant.clone());
    let services = model
        .services
        .iter()
        .map(|service| service.resource.scope.tenant.clone());
    let principals = model
        .api
        .principals
        .iter()
        .map(|known| known.tenant.clone());
    let others = subscriptions.chain(services).chain(principals);
    let others = others.map(|id| (id.clone(), id));
    let mut tenants: Vec<Tenant> = Vec::new();
    for (id, name) in std::iter::once(first).chain(declared).chain(others) {
        if !tenants
            .iter()
            .any(|known| known.id.eq_ignore_ascii_case(&id))
        {
            tenants.push(Tenant { id, name });
        }
    }
    tenants
}

/// Returns the subscriptions of a model, declared or used.
pub(super) fn subscriptions(model: &Model) -> Vec<Subscription> {
    let declared = model.api.subscriptions.iter().map(|known| Subscription {
        id: known.id.clone(),
        name: known.name.clone(),
        tenant: known.tenant.clone(),
    });
    let scopes = model.services.iter().map(|service| &service.resource.scope);
    let used = std::iter::once(&model.scope).chain(scopes);
    let used = used.map(|scope| Subscription {
        id: scope.subscription.clone(),
        name: scope.subscription.clone(),
        tenant: scope.tenant.clone(),
    });
    let mut subscriptions: Vec<Subscription> = Vec::new();
    for one in declared.chain(used) {
        if !subscriptions
            .iter()
            .any(|known| known.id.eq_ignore_ascii_case(&one.id))
        {
            subscriptions.push(one);
        }
    }
    subscriptions
}

fn principals(api: &model::Api, key: &TokenKey) -> Result<Vec<Principal>, SettingsError> {
    let seal = key.seal();
    let read = |(at, known): (usize, &model::ApiPrincipal)| {
        let secret = match &known.secret {
            SecretSource::Text(text) => Secret::new(text),
            SecretSource::Digest(digest) => Secret::of_digest(&seal, &known.app_id, digest)
                .map_err(|_| SettingsError::ForeignDigest { at })?,
            SecretSource::File(path) => {
                let key = format!("servicePrincipal[{at}].secretFile");
                let text = read_file(&key, path)?;
                let line = text.lines().next().unwrap_or_default().trim_end();
                if line.is_empty() {
                    let path = path.clone();
                    return Err(SettingsError::EmptySecret { key, path });
                }
                Secret::new(line)
            }
        };
        Ok(Principal {
            name: known.name.clone(),
            app_id: known.app_id.clone(),
            object_id: known.object_id.clone(),
            tenant: known.tenant.clone(),
            secret,
        })
    };
    api.principals.iter().enumerate().map(read).collect()
}

fn definitions(api: &model::Api) -> Result<Vec<RoleDefinition>, SettingsError> {
    let read = |(at, (id, source)): (usize, &(String, RoleSource))| match source {
        RoleSource::Inline(role) => Ok(role.clone()),
        RoleSource::File(path) => {
            let key = format!("roleDefinition[{at}].file");
            let text = read_file(&key, path)?;
            let value = serde_json::from_str(&text).map_err(|error| error.to_string());
            let role = value.and_then(|value| RoleDefinition::read(&value, id));
            role.map_err(|problem| SettingsError::Role {
                key,
                path: path.clone(),
                problem,
            })
        }
    };
    let all: Vec<RoleDefinition> = api
        .definitions
        .iter()
        .enumerate()
        .map(read)
        .collect::<Result<_, _>>()?;
    for (at, role) in all.iter().enumerate() {
        let others = built_in().iter().chain(all.iter().take(at));
        for other in others {
            for (what, own, taken) in [
                ("id", &role.id, &other.id),
                ("roleName", &role.name, &other.name),
            ] {
                if own.eq_ignore_ascii_case(taken) {
                    let value = own.clone();
                    return Err(SettingsError::RoleTaken { at, what, value });
                }
            }
        }
    }
    Ok(all)
}

fn assignments(
    api: &model::Api,
    definitions: &[RoleDefinition],
) -> Result<Vec<RoleAssignment>, SettingsError> {
    let read = |(at, has): (usize, &model::ApiAssignment)| {
        let by_id = |known: &&RoleDefinition| known.id.eq_ignore_ascii_case(&has.role);
        let by_name = |known: &&RoleDefinition| known.name.eq_ignore_ascii_case(&has.role);
        // An ID is never taken for what a role is called.
        let found = built_in_by_id(&has.role)
            .or_else(|| definitions.iter().find(by_id))
            .or_else(|| definitions.iter().find(by_name))
            .or_else(|| find_built_in(&has.role));
        let Some((role, scope)) = found.zip(has.scope.parse().ok()) else {
            let role = has.role.clone();
            return Err(SettingsError::NoRole { at, role });
        };
        if !role.is_assignable(&scope) {
            let accepted: Vec<_> = role
                .assignable_scopes
                .iter()
                .map(Scope::to_string)
                .collect();
            return Err(SettingsError::NotAssignable {
                at,
                role: has.role.clone(),
                scope: has.scope.clone(),
                accepted: accepted.join(", "),
            });
        }
        Ok(RoleAssignment {
            id: has.id.clone(),
            scope,
            principal: has.principal.clone(),
            principal_type: "ServicePrincipal".to_owned(),
            role: role.id.clone(),
            tenant: Some(has.tenant.clone()),
        })
    };
    api.assignments.iter().enumerate().map(read).collect()
}

fn read_file(key: &str, path: &Path) -> Result<String, SettingsError> {
    let at = |source| SettingsError::File {
        key: key.to_owned(),
        path: path.to_owned(),
        source,
    };
    let mut text = String::new();
    let file = fs::File::open(path).map_err(at)?;
    file.take(LONGEST).read_to_string(&mut text).map_err(at)?;
    Ok(text)
}

/// Returns the key that signs tokens, which is made at the first start and kept in the state directory,
/// so that who is logged in stays so over a restart.
///
/// # Errors
///
/// The file cannot be read or made, or is damaged.
pub fn token_key(state: &Path) -> Result<TokenKey, SettingsError> {
    let path = state.join(KEY_FILE);
    let at = |source| SettingsError::File {
        key: "state directory".to_owned(),
        path: path.clone(),
        source,
    };
    let bytes = match fs::read(&path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            make_key(state, &path).map_err(at)?
        }
        Err(error) => return Err(at(error)),
    };
    let length = bytes.len();
    match <[u8; TokenKey::LENGTH]>::try_from(bytes) {
        Ok(bytes) => Ok(TokenKey::new(&bytes)),
        Err(_) => Err(SettingsError::Key { path, length }),
    }
}

fn make_key(state: &Path, path: &Path) -> io::Result<Vec<u8>> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(state)?;
    let mut bytes = vec![0; TokenKey::LENGTH];
    rand::rng().fill_bytes(&mut bytes);
    let draft = path.with_extension(format!("{}.new", std::process::id()));
    let mut options = OpenOptions::new();
    let mut file = options
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&draft)?;
    let written = file
        .write_all(&bytes)
        .and_then(|()| file.sync_all())
        // Never over another one: who starts at the same moment has the same key.
        .and_then(|()| match fs::hard_link(&draft, path) {
            Err(error) if error.kind() == io::ErrorKind::Unsupported => fs::rename(&draft, path),
            linked => linked,
        });
    let _ = fs::remove_file(&draft);
    match written {
        Ok(()) => Ok(bytes),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => fs::read(path),
        Err(error) => Err(error),
    }
}
