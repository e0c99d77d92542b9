//! Rights as they are written down, apart from the code that decides them: everything in plain lists and
//! texts, looked through from the begin each time.

use std::collections::{BTreeMap, BTreeSet};

/// Who calls: a tenant and an object in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Person {
    pub(crate) tenant: &'static str,
    pub(crate) object: String,
}

#[derive(Clone, Debug)]
pub(crate) struct Role {
    /// None for what is every tenant's.
    pub(crate) tenant: Option<&'static str>,
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) actions: Vec<String>,
    pub(crate) not: Vec<String>,
    pub(crate) scopes: Vec<String>,
    /// Whether it is Azure's or the host's.
    pub(crate) fixed: bool,
}

#[derive(Clone, Debug)]
pub(crate) struct Given {
    pub(crate) id: String,
    pub(crate) scope: String,
    pub(crate) to: String,
    pub(crate) role: String,
    pub(crate) tenant: &'static str,
}

/// What somebody does. Scopes are paths in small letters, empty for the root.
#[derive(Clone, Debug)]
pub(crate) enum Deed {
    GetNsg(String),
    PutNsg(String),
    PatchNsg(String),
    TagNsg(String),
    DeleteNsg(String),
    PutNetwork(String, Option<String>),
    DeleteNetwork(String),
    GetGroup(String),
    PutGroup(String),
    DeleteGroup(String),
    GetRole(String, String),
    PutRole(String, Role),
    DeleteRole(String, String),
    GetGiven(String, String),
    /// The assignment, and the subscription in whose path the role is named.
    Give(Given, Option<String>),
    Take(String, String),
    List(String),
    ListAll(String),
    Export(String),
    /// A template that reads a resource.
    Refer(String),
    Subscriptions,
}

/// How it is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    Rest,
    Put,
    WhatIf,
    Validate,
}

/// What has to become of it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Verdict {
    /// Whether the caller may.
    pub(crate) may: bool,
    /// Whether it can be, for somebody who may.
    pub(crate) can: bool,
}

#[derive(Debug, Default)]
pub(crate) struct Oracle {
    /// Subscriptions, as scopes, and their tenants.
    pub(crate) homes: Vec<(String, &'static str)>,
    pub(crate) people: Vec<Person>,
    pub(crate) roles: Vec<Role>,
    pub(crate) given: Vec<Given>,
    pub(crate) groups: BTreeSet<String>,
    pub(crate) nsgs: BTreeSet<String>,
    /// Networks and the group that their subnet has.
    pub(crate) networks: BTreeMap<String, Option<String>>,
}

const NSG: &str = "Microsoft.Network/networkSecurityGroups";
const NETWORK: &str = "Microsoft.Network/virtualNetworks";
const GROUP: &str = "Microsoft.Resources/subscriptions/resourceGroups";
const ROLE: &str = "Microsoft.Authorization/roleDefinitions";
const GIVEN: &str = "Microsoft.Authorization/roleAssignments";
const DEPLOYMENT: &str = "Microsoft.Resources/deployments";

fn in_scope(inner: &str, outer: &str) -> bool {
    inner == outer || inner.starts_with(&format!("{outer}/"))
}

/// Returns whether a pattern means an action: letter by letter, every split at a star tried.
fn means(pattern: &[u8], action: &[u8]) -> bool {
    match (pattern.first(), action.first()) {
        (None, None) => true,
        (Some(b'*'), _) => {
            means(&pattern[1..], action) || (!action.is_empty() && means(pattern, &action[1..]))
        }
        (Some(p), Some(a)) => p.eq_ignore_ascii_case(a) && means(&pattern[1..], &action[1..]),
        _ => false,
    }
}

fn group_of(path: &str) -> String {
    path.split("/providers/").next().unwrap().to_owned()
}

impl Role {
    fn permits(&self, action: &str) -> bool {
        let any = |all: &[String]| {
            all.iter()
                .any(|one| means(one.as_bytes(), action.as_bytes()))
        };
        any(&self.actions) && !any(&self.not)
    }

    fn fits(&self, scope: &str) -> bool {
        self.scopes.iter().any(|outer| in_scope(scope, outer))
    }

    fn is_of(&self, tenant: &str) -> bool {
        self.tenant.is_none_or(|own| own == tenant)
    }
}

impl Oracle {
    fn home(&self, scope: &str) -> Option<&'static str> {
        let mut homes = self.homes.iter();
        homes
            .find(|(home, _)| in_scope(scope, home))
            .map(|(_, tenant)| *tenant)
    }

    fn role(&self, tenant: &str, id: &str) -> Option<&Role> {
        let mut fixed = self.roles.iter().filter(|role| role.fixed);
        let mut own = self
            .roles
            .iter()
            .filter(|role| !role.fixed && role.is_of(tenant));
        fixed
            .find(|role| role.id == id)
            .or_else(|| own.find(|role| role.id == id))
    }

    /// What of a person's counts in their own tenant.
    fn held<'a>(&'a self, who: &'a Person) -> impl Iterator<Item = (&'a Given, &'a Role)> {
        let mine = self
            .given
            .iter()
            .filter(|it| it.to == who.object && it.tenant == who.tenant);
        mine.filter_map(|it| {
            let role = self.role(who.tenant, &it.role)?;
            role.fits(&it.scope).then_some((it, role))
        })
    }

    /// Returns whether a person may do that there.
    pub(crate) fn may(&self, who: &Person, action: &str, scope: &str) -> bool {
        let near = if scope.is_empty() {
            Some(who.tenant)
        } else {
            self.home(scope)
        };
        near == Some(who.tenant)
            && self
                .held(who)
                .any(|(it, role)| in_scope(scope, &it.scope) && role.permits(action))
    }

    fn knows(&self, who: &Person, scope: &str) -> bool {
        self.home(scope) == Some(who.tenant)
            && self
                .held(who)
                .any(|(it, _)| in_scope(scope, &it.scope) || in_scope(&it.scope, scope))
    }

    fn is_used(&self, nsg: &str, but: Option<&str>) -> bool {
        let mut users = self.networks.iter();
        users.any(|(path, uses)| {
            uses.as_deref() == Some(nsg) && !but.is_some_and(|group| in_scope(path, group))
        })
    }

    fn is_there(&self, scope: &str) -> bool {
        scope.is_empty()
            || self.homes.iter().any(|(home, _)| home == scope)
            || self.groups.contains(scope)
            || self.nsgs.contains(scope)
            || self.networks.contains_key(scope)
    }

    /// Returns what has to become of a deed.
    pub(crate) fn verdict(&self, who: &Person, deed: &Deed) -> Verdict {
        let at =
            |verb: &str, kind: &str, scope: &str| self.may(who, &format!("{kind}/{verb}"), scope);
        let (may, can) = match deed {
            Deed::GetNsg(path) => (at("read", NSG, path), self.nsgs.contains(path)),
            Deed::PutNsg(path) => (
                at("write", NSG, path),
                self.groups.contains(&group_of(path)),
            ),
            Deed::PatchNsg(path) => (at("write", NSG, path), self.nsgs.contains(path)),
            Deed::TagNsg(path) => {
                let kind = "Microsoft.Resources/tags";
                (at("write", kind, path), self.nsgs.contains(path))
            }
            Deed::DeleteNsg(path) => (at("delete", NSG, path), !self.is_used(path, None)),
            Deed::PutNetwork(path, nsg) => {
                let old = self.networks.get(path).cloned().flatten();
                let joins = nsg
                    .iter()
                    .all(|nsg| old.as_ref() == Some(nsg) || at("join/action", NSG, nsg));
                let there = nsg.iter().all(|nsg| self.nsgs.contains(nsg));
                let can = there && self.groups.contains(&group_of(path));
                (at("write", NETWORK, path) && joins, can)
            }
            Deed::DeleteNetwork(path) => (at("delete", NETWORK, path), true),
            Deed::GetGroup(path) => (at("read", GROUP, path), self.groups.contains(path)),
            Deed::PutGroup(path) => (at("write", GROUP, path), true),
            Deed::DeleteGroup(path) => {
                let inside = self.nsgs.iter().filter(|nsg| in_scope(nsg, path));
                let free = inside.into_iter().all(|nsg| !self.is_used(nsg, Some(path)));
                (
                    at("delete", GROUP, path),
                    free && self.groups.contains(path),
                )
            }
            Deed::GetRole(scope, id) => {
                (at("read", ROLE, scope), self.role(who.tenant, id).is_some())
            }
            Deed::PutRole(scope, role) => self.put_role(who, scope, role),
            Deed::DeleteRole(scope, id) => self.delete_role(who, scope, id),
            Deed::GetGiven(scope, id) => {
                let found = self
                    .given
                    .iter()
                    .any(|it| it.id == *id && it.scope == *scope && it.tenant == who.tenant);
                (at("read", GIVEN, scope), found)
            }
            Deed::Give(given, named) => self.give(who, given, named.as_deref()),
            Deed::Take(scope, _) => (at("delete", GIVEN, scope), true),
            Deed::List(scope) => {
                let may = at("read", NSG, scope) || self.knows(who, scope);
                (may, self.is_there(scope))
            }
            Deed::ListAll(scope) => {
                let kind = "Microsoft.Resources/subscriptions/resources";
                (
                    at("read", kind, scope) || self.knows(who, scope),
                    self.is_there(scope),
                )
            }
            Deed::Export(group) => (
                at("exportTemplate/action", GROUP, group),
                self.groups.contains(group),
            ),
            Deed::Refer(path) => (at("read", NSG, path), self.nsgs.contains(path)),
            Deed::Subscriptions => (true, true),
        };
        Verdict { may, can }
    }

    /// Returns what has to become of a deed by a template that is deployed to a group.
    pub(crate) fn by_template(&self, who: &Person, deed: &Deed, way: Way, group: &str) -> Verdict {
        let verdict = self.verdict(who, deed);
        let may = |verb: &str| self.may(who, &format!("{DEPLOYMENT}/{verb}"), group);
        let word = match way {
            Way::Rest => return verdict,
            Way::Put => true,
            Way::WhatIf => may("whatIf/action"),
            Way::Validate => may("validate/action"),
        };
        Verdict {
            may: verdict.may && word && may("write"),
            can: verdict.can && self.groups.contains(group),
        }
    }

    fn put_role(&self, who: &Person, scope: &str, role: &Role) -> (bool, bool) {
        let writes = |scope: &String| self.may(who, &format!("{ROLE}/write"), scope);
        let old = self
            .roles
            .iter()
            .find(|old| old.id == role.id && !old.fixed && old.is_of(who.tenant));
        let may = writes(&scope.to_owned())
            && role.scopes.iter().all(writes)
            && old.is_none_or(|old| old.scopes.iter().all(writes));
        let mut others = self.roles.iter().filter(|other| other.is_of(who.tenant));
        let same_name =
            others.any(|other| other.id != role.id && other.name.eq_ignore_ascii_case(&role.name));
        let fixed = self
            .roles
            .iter()
            .any(|other| other.fixed && other.id == role.id);
        let lost = self.given.iter().any(|it| {
            it.role == role.id && it.tenant == who.tenant && old.is_some() && !role.fits(&it.scope)
        });
        let group = group_of(scope);
        let place = !scope.contains("/resourcegroups/") || self.groups.contains(&group);
        let rooted = role.scopes.iter().any(String::is_empty);
        (
            may,
            !fixed && !same_name && !lost && place && !rooted && !role.scopes.is_empty(),
        )
    }

    fn delete_role(&self, who: &Person, scope: &str, id: &str) -> (bool, bool) {
        let deletes = |scope: &String| self.may(who, &format!("{ROLE}/delete"), scope);
        let Some(role) = self.role(who.tenant, id) else {
            return (deletes(&scope.to_owned()), true);
        };
        let all = role.fixed || role.scopes.iter().all(deletes);
        let used = self
            .given
            .iter()
            .any(|it| it.role == id && it.tenant == who.tenant);
        (deletes(&scope.to_owned()) && all, !role.fixed && !used)
    }

    fn give(&self, who: &Person, given: &Given, named: Option<&str>) -> (bool, bool) {
        let may = self.may(who, &format!("{GIVEN}/write"), &given.scope);
        let tenant = self.home(&given.scope).unwrap_or(who.tenant);
        let role = self.role(tenant, &given.role);
        let near = named.is_none_or(|home| self.home(home) == Some(tenant));
        let fits = role.is_some_and(|role| role.fits(&given.scope));
        let known = self
            .people
            .iter()
            .any(|one| one.object == given.to && one.tenant == tenant);
        let mine = || {
            self.given
                .iter()
                .filter(|it| it.tenant == tenant && it.scope == given.scope)
        };
        let is_like = |it: &Given| it.to == given.to && it.role == given.role;
        let clash = mine()
            .any(|it| (it.id == given.id) != is_like(it) && (it.id == given.id || is_like(it)));
        (
            may,
            self.is_there(&given.scope) && near && fits && known && !clash,
        )
    }

    /// Takes over what was done.
    pub(crate) fn done(&mut self, who: &Person, deed: &Deed) {
        match deed {
            Deed::PutNsg(path) => {
                self.nsgs.insert(path.clone());
            }
            Deed::DeleteNsg(path) => {
                self.nsgs.remove(path);
                self.given.retain(|it| !in_scope(&it.scope, path));
            }
            Deed::PutNetwork(path, nsg) => {
                self.networks.insert(path.clone(), nsg.clone());
            }
            Deed::DeleteNetwork(path) => {
                self.networks.remove(path);
                self.given.retain(|it| !in_scope(&it.scope, path));
            }
            Deed::PutGroup(path) => {
                self.groups.insert(path.clone());
            }
            Deed::DeleteGroup(path) => {
                self.groups.remove(path);
                self.nsgs.retain(|it| !in_scope(it, path));
                self.networks.retain(|it, _| !in_scope(it, path));
                // What the file gives at a group outlives it.
                self.given
                    .retain(|it| !in_scope(&it.scope, path) || it.id.starts_with("declared"));
            }
            Deed::PutRole(_, role) => {
                self.roles
                    .retain(|old| old.id != role.id || old.tenant != Some(who.tenant));
                let tenant = Some(who.tenant);
                self.roles.push(Role {
                    tenant,
                    ..role.clone()
                });
            }
            Deed::DeleteRole(_, id) => {
                self.roles
                    .retain(|old| old.id != *id || old.tenant != Some(who.tenant));
            }
            Deed::Give(given, _) => {
                let tenant = self.home(&given.scope).unwrap_or(who.tenant);
                self.given.retain(|it| {
                    it.id != given.id || it.scope != given.scope || it.tenant != tenant
                });
                self.given.push(Given {
                    tenant,
                    ..given.clone()
                });
            }
            Deed::Take(scope, id) => {
                self.given
                    .retain(|it| it.id != *id || it.scope != *scope || it.tenant != who.tenant);
            }
            _ => {}
        }
    }

    /// Returns what a list or an export has to have, by names of paths.
    pub(crate) fn listed(&self, who: &Person, deed: &Deed) -> Option<BTreeSet<String>> {
        let reads = |kind: &str, path: &String| self.may(who, &format!("{kind}/read"), path);
        let nsgs = |scope: &str| -> BTreeSet<String> {
            let all = self.nsgs.iter().filter(|path| in_scope(path, scope));
            all.filter(|path| reads(NSG, path)).cloned().collect()
        };
        match deed {
            Deed::List(scope) => Some(nsgs(scope)),
            Deed::ListAll(scope) | Deed::Export(scope) => {
                let networks = self.networks.keys().filter(|path| in_scope(path, scope));
                let networks = networks.filter(|path| reads(NETWORK, path)).cloned();
                Some(nsgs(scope).into_iter().chain(networks).collect())
            }
            Deed::Subscriptions => {
                let all = self.homes.iter().map(|(home, _)| home.clone());
                Some(all.filter(|home| self.knows(who, home)).collect())
            }
            _ => None,
        }
    }

    /// Returns the paths of what somebody may not read.
    pub(crate) fn hidden<'a>(&'a self, who: &'a Person) -> impl Iterator<Item = &'a String> {
        let reads = |path: &&String| !self.may(who, &format!("{NSG}/read"), path);
        self.nsgs.iter().filter(reads)
    }
}
