//! Every operation of the API, and what it asks for. What is not in the table is not done.

use super::rights::{self, Right};
use crate::error::ArmError;
use crate::id::{ResourceId, Scope};
use crate::rest::call::Call;
use crate::rest::path::{Parent, Target};
use crate::rest::{deployments, groups, subscriptions, tags};
use crate::roles::{ASSIGNMENTS, DEFINITIONS};

/// What a path is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Path {
    Tenants,
    Subscriptions,
    Subscription,
    Locations,
    Groups,
    Resources,
    Group,
    Export,
    Providers,
    Register,
    CheckName,
    Skus,
    Regional,
    Deployments,
    Deployment,
    DeploymentAction,
    Operations,
    Operation,
    Roles,
    Role,
    Permissions,
    Tags,
    List,
    Resource,
    FreeAddress,
    Usages,
    Action,
}

/// What an operation asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asks {
    /// A token: it tells of nothing but what is the caller's.
    Token,
    /// The right to read there, or any role at, above or below it: it tells of what the caller may read.
    AnyRole,
    /// The right for the verb.
    To(&'static str),
    /// The right for the word that the path ends with.
    Word,
}

/// An operation.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Operation {
    pub(crate) method: &'static str,
    pub(crate) path: Path,
    pub(crate) asks: Asks,
}

const fn row(method: &'static str, path: Path, asks: Asks) -> Operation {
    Operation { method, path, asks }
}

const READ: Asks = Asks::To("read");
const WRITE: Asks = Asks::To("write");
const DELETE: Asks = Asks::To("delete");

/// The operations. Writes are asked for once more inside of the change, by [`super::Authoriser`].
pub(crate) const OPERATIONS: [Operation; 43] = [
    row("GET", Path::Tenants, Asks::Token),
    row("GET", Path::Subscriptions, Asks::Token),
    row("GET", Path::Subscription, Asks::AnyRole),
    row("GET", Path::Locations, Asks::AnyRole),
    row("GET", Path::Groups, Asks::AnyRole),
    row("GET", Path::Resources, Asks::AnyRole),
    row("GET", Path::Group, READ),
    row("HEAD", Path::Group, READ),
    row("PUT", Path::Group, WRITE),
    row("PATCH", Path::Group, WRITE),
    row("DELETE", Path::Group, DELETE),
    row("POST", Path::Export, Asks::Word),
    row("GET", Path::Providers, Asks::Token),
    row("POST", Path::Register, Asks::Word),
    row("POST", Path::CheckName, READ),
    row("GET", Path::Skus, READ),
    row("GET", Path::Regional, READ),
    row("GET", Path::Deployments, Asks::AnyRole),
    row("GET", Path::Deployment, READ),
    row("HEAD", Path::Deployment, READ),
    row("PUT", Path::Deployment, WRITE),
    row("DELETE", Path::Deployment, DELETE),
    row("POST", Path::DeploymentAction, Asks::Word),
    row("GET", Path::Operations, READ),
    row("GET", Path::Operation, READ),
    row("GET", Path::Roles, READ),
    row("GET", Path::Role, READ),
    row("PUT", Path::Role, WRITE),
    row("DELETE", Path::Role, DELETE),
    row("GET", Path::Permissions, Asks::Token),
    row("GET", Path::Tags, READ),
    row("PUT", Path::Tags, WRITE),
    row("PATCH", Path::Tags, WRITE),
    row("DELETE", Path::Tags, DELETE),
    row("GET", Path::List, Asks::AnyRole),
    row("GET", Path::Resource, READ),
    row("HEAD", Path::Resource, READ),
    row("PUT", Path::Resource, WRITE),
    row("PATCH", Path::Resource, WRITE),
    row("DELETE", Path::Resource, DELETE),
    row("GET", Path::FreeAddress, READ),
    row("GET", Path::Usages, READ),
    row("POST", Path::Action, Asks::Word),
];

/// What of a path the right is on.
#[derive(Clone, Debug, PartialEq, Eq)]
enum On {
    /// A scope, with a type such as `Microsoft.Network/virtualNetworks`.
    Scope(Scope, String),
    /// A resource.
    Id(ResourceId),
}

/// A path of which it is known what it is of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) path: Path,
    on: On,
    /// The last word, such as `listKeys`.
    word: String,
}

impl Place {
    /// Returns what a path is of; none for what nothing is at.
    pub(crate) fn of(target: &Target, method: &str) -> Option<Self> {
        let place = |path, on, word: &str| {
            let word = word.to_owned();
            Some(Self { path, on, word })
        };
        match target {
            Target::Other(words) => {
                let at = On::Scope(Scope::Tenant, subscriptions::KIND.to_owned());
                match words.as_slice() {
                    [word] if is(word, "tenants") => place(Path::Tenants, at, ""),
                    [word] if is(word, "subscriptions") => place(Path::Subscriptions, at, ""),
                    _ => None,
                }
            }
            Target::Scope(scope, words) => of_scope(scope, words),
            Target::Provider(scope, words) => of_provider(scope, words),
            Target::Resource(id) => {
                let path = if id.is(deployments::OPERATIONS) {
                    Path::Operation
                } else if id.is(deployments::KIND) {
                    Path::Deployment
                } else if id.is(DEFINITIONS) || id.is(ASSIGNMENTS) {
                    Path::Role
                } else if id.is(tags::KIND) {
                    Path::Tags
                } else {
                    Path::Resource
                };
                place(path, On::Id(id.clone()), "")
            }
            Target::Word(Parent::Scope(scope, provider), word) => {
                let kind = format!("{provider}/{word}");
                let path = if is(&kind, "Microsoft.Authorization/permissions") {
                    Path::Permissions
                } else if is(provider, "Microsoft.Authorization") {
                    let strict = ["roleDefinitions", "roleAssignments", "denyAssignments"];
                    match strict.iter().any(|known| is(word, known)) {
                        true => Path::Roles,
                        false => Path::List,
                    }
                } else if is(&kind, deployments::KIND) {
                    Path::Deployments
                } else {
                    Path::List
                };
                place(path, On::Scope(scope.clone(), kind), "")
            }
            Target::Word(Parent::Resource(id), word) => {
                let path = below(id, word, method);
                let on = match path {
                    Path::List => {
                        let kind = format!("{}/{word}", id.kind());
                        On::Scope(Scope::Resource(Box::new(id.clone())), kind)
                    }
                    _ => On::Id(id.clone()),
                };
                place(path, on, word)
            }
        }
    }

    /// Returns the right that an operation on it asks for.
    fn right(&self, asks: Asks) -> Right {
        let verb = match asks {
            Asks::To(verb) => verb.to_owned(),
            Asks::Token | Asks::AnyRole => "read".to_owned(),
            // The platform writes the keys of accounts small.
            Asks::Word
                if ["listKeys", "regenerateKey"]
                    .iter()
                    .any(|it| is(&self.word, it)) =>
            {
                format!("{}/action", self.word.to_ascii_lowercase())
            }
            Asks::Word => format!("{}/action", self.word),
        };
        match &self.on {
            On::Scope(at, kind) => Right {
                action: format!("{kind}/{verb}"),
                at: at.clone(),
            },
            On::Id(id) => match self.path {
                Path::Operations => rights::on(id, "operations/read"),
                Path::Usages => rights::on(id, "usages/read"),
                _ => rights::on(id, &verb),
            },
        }
    }

    /// Finds the operation of a request and checks that the caller may.
    ///
    /// # Errors
    ///
    /// There is no such operation, or the caller may not.
    pub(crate) fn authorise(&self, call: &Call<'_>) -> Result<&'static Operation, ArmError> {
        let here = || OPERATIONS.iter().filter(|row| row.path == self.path);
        let Some(operation) = here().find(|row| call.is(row.method)) else {
            let mut accepted: Vec<_> = here().map(|row| row.method).collect();
            if self.path == Path::Action {
                // What hangs on a resource is a list of its children for a GET.
                accepted.insert(0, "GET");
            }
            return Err(call.no_method(&accepted.join(", ")));
        };
        let right = self.right(operation.asks);
        match operation.asks {
            Asks::Token => {}
            Asks::AnyRole if call.caller.is_known(&call.state, &right.at) => {}
            Asks::AnyRole | Asks::To(_) | Asks::Word => {
                call.authorise(&right.action, &right.at)?;
            }
        }
        Ok(operation)
    }
}

fn is(word: &str, known: &str) -> bool {
    word.eq_ignore_ascii_case(known)
}

fn of_scope(scope: &Scope, words: &[String]) -> Option<Place> {
    let place = |path, kind: &str, word: &str| {
        Some(Place {
            path,
            on: On::Scope(scope.clone(), kind.to_owned()),
            word: word.to_owned(),
        })
    };
    let is_group = matches!(scope, Scope::Group(..));
    match words {
        [] if is_group => place(Path::Group, groups::KIND, ""),
        [] => place(Path::Subscription, subscriptions::KIND, ""),
        [word] if is(word, "resources") => place(Path::Resources, subscriptions::RESOURCES, ""),
        [word] if is_group && is(word, "exportTemplate") => {
            place(Path::Export, groups::KIND, "exportTemplate")
        }
        [word] if !is_group && is(word, "locations") => {
            place(Path::Locations, subscriptions::KIND, "")
        }
        [word] if !is_group && is(word, "resourceGroups") => place(Path::Groups, groups::KIND, ""),
        _ => None,
    }
}

fn of_provider(scope: &Scope, words: &[String]) -> Option<Place> {
    let place = |path, kind: &str, word: &str| {
        Some(Place {
            path,
            on: On::Scope(scope.clone(), kind.to_owned()),
            word: word.to_owned(),
        })
    };
    let is_storage = |name: &str| is(name, "Microsoft.Storage");
    match words {
        _ if matches!(scope, Scope::Group(..) | Scope::Resource(_)) => None,
        [] | [_] => place(Path::Providers, "Microsoft.Resources/providers", ""),
        [name, verb] if is(verb, "register") || is(verb, "unregister") => {
            place(Path::Register, name, verb)
        }
        [name, verb] if is_storage(name) && is(verb, "checkNameAvailability") => place(
            Path::CheckName,
            "Microsoft.Storage/checknameavailability",
            "",
        ),
        [name, verb] if is_storage(name) && is(verb, "skus") => {
            place(Path::Skus, "Microsoft.Storage/skus", "")
        }
        [name, locations, _, what @ ..] if is(locations, "locations") && !what.is_empty() => {
            let kind = format!("{name}/locations/{}", what.join("/"));
            place(Path::Regional, &kind, "")
        }
        _ => None,
    }
}

/// Returns what hangs on a resource: its children, a question or an action.
fn below(id: &ResourceId, word: &str, method: &str) -> Path {
    let is_get = is(method, "GET");
    if id.is(deployments::KIND) {
        return match is_get && is(word, "operations") {
            true => Path::Operations,
            false => Path::DeploymentAction,
        };
    }
    let on_network = is_get && id.is("Microsoft.Network/virtualNetworks");
    match word {
        _ if on_network && is(word, "CheckIPAddressAvailability") => Path::FreeAddress,
        _ if on_network && is(word, "usages") => Path::Usages,
        _ if is_get => Path::List,
        _ => Path::Action,
    }
}
