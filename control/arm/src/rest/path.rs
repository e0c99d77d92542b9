//! What a path names. Paths compare without case, and keep their spelling in what they name.

use super::request::unescape;
use crate::error::ArmError;
use crate::id::{ResourceId, Scope};

/// What a path names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// Something outside of the tree of resources: its parts.
    Other(Vec<String>),
    /// Something of a scope that no provider has, such as `resources` or `locations`: empty for the
    /// scope itself.
    Scope(Scope, Vec<String>),
    /// A list of providers (no parts), or a provider, or what it has that is no resource, such as
    /// `register` or `locations/{l}/usages`.
    Provider(Scope, Vec<String>),
    /// A resource.
    Resource(ResourceId),
    /// The resources of a type at a scope, or the children of a resource, or for a POST an action on
    /// it: what it hangs on, and the last word.
    Word(Parent, String),
}

/// What a collection or an action hangs on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Parent {
    /// A scope and a provider.
    Scope(Scope, String),
    /// A resource.
    Resource(ResourceId),
}

impl Target {
    /// Reads a path.
    ///
    /// # Errors
    ///
    /// A part holds what no name can hold, or the path is longer than any.
    pub(crate) fn read(path: &str) -> Result<Self, ArmError> {
        const MOST: usize = 32;
        let parts = path.split('/').filter(|part| !part.is_empty());
        let parts: Vec<String> = parts
            .take(MOST + 1)
            .map(|part| unescape(part, false))
            .collect();
        if parts.len() > MOST {
            let message = format!("The request URI has more than {MOST} parts.");
            return Err(ArmError::bad_request("InvalidRequestUri", message));
        }
        if let Some(part) = parts.iter().find(|part| !is_name(part)) {
            let message = format!(
                "The request URI has the part {part:?}; accepted: at most 260 characters, none of \
                 them a slash, a backslash or a control character, and not '.' or '..'."
            );
            return Err(ArmError::bad_request("InvalidRequestUri", message));
        }
        Ok(read(parts))
    }
}

fn is_name(part: &str) -> bool {
    const LONGEST: usize = 260;
    let bad = |letter: char| letter.is_control() || "/\\".contains(letter);
    part.len() <= LONGEST && part != "." && part != ".." && !part.contains(bad)
}

fn read(parts: Vec<String>) -> Target {
    // Type and name alternate behind a provider, so that a `providers` at another place is a name.
    let at = (0..parts.len()).rev().find(|&at| {
        let word = parts.get(at).map(String::as_str).unwrap_or_default();
        at % 2 == 0 && word.eq_ignore_ascii_case("providers")
    });
    let Some(at) = at else {
        return scope(parts);
    };
    let (outer, rest) = parts.split_at_checked(at).unwrap_or((&parts, &[]));
    let Ok(outer) = format!("/{}", outer.join("/")).parse::<Scope>() else {
        return Target::Other(parts);
    };
    let rest = rest.get(1..).unwrap_or_default();
    let Some((provider, rest)) = rest.split_first().filter(|(_, rest)| !rest.is_empty()) else {
        return Target::Provider(outer, rest.to_vec());
    };
    let is_own = |word: &str| {
        rest.first()
            .is_some_and(|first| first.eq_ignore_ascii_case(word))
    };
    let no_group = !matches!(outer, Scope::Group(..) | Scope::Resource(_));
    if no_group
        && (is_own("locations")
            || (rest.len() == 1 && PROVIDER_VERBS.iter().any(|verb| is_own(verb))))
    {
        let all = std::iter::once(provider).chain(rest);
        return Target::Provider(outer, all.cloned().collect());
    }
    let pairs = rest.chunks_exact(2).filter_map(|pair| match pair {
        [kind, name] => Some((kind.as_str(), name.as_str())),
        _ => None,
    });
    let pairs: Vec<_> = pairs.collect();
    let id = outer.resource(provider, &pairs);
    match (rest.len() % 2, pairs.is_empty(), rest.last()) {
        (0, _, _) => Target::Resource(id),
        (_, true, Some(word)) => Target::Word(Parent::Scope(outer, provider.clone()), word.clone()),
        (_, _, word) => Target::Word(Parent::Resource(id), word.cloned().unwrap_or_default()),
    }
}

/// What a provider can be asked for that is no type of resource.
const PROVIDER_VERBS: [&str; 7] = [
    "register",
    "unregister",
    "checkNameAvailability",
    "operations",
    "usages",
    "skus",
    "resourceTypes",
];

/// Reads a path without a provider: the longest beginning that is a scope, then words.
fn scope(parts: Vec<String>) -> Target {
    let is_subscription = parts.len() >= 2
        && parts
            .first()
            .is_some_and(|part| part.eq_ignore_ascii_case("subscriptions"));
    if !is_subscription {
        return Target::Other(parts);
    }
    let is_group = parts.len() >= 4
        && parts
            .get(2)
            .is_some_and(|part| part.eq_ignore_ascii_case("resourceGroups"));
    let length = if is_group { 4 } else { 2 };
    let (outer, rest) = parts.split_at_checked(length).unwrap_or((&parts, &[]));
    match format!("/{}", outer.join("/")).parse() {
        Ok(scope) => {
            deployments(&scope, rest).unwrap_or_else(|| Target::Scope(scope, rest.to_vec()))
        }
        Err(_) => Target::Other(parts),
    }
}

/// Reads the older path of deployments, without their provider; `az` still uses it.
fn deployments(scope: &Scope, words: &[String]) -> Option<Target> {
    let (first, rest) = words.split_first()?;
    if !matches!(scope, Scope::Group(..)) || !first.eq_ignore_ascii_case("deployments") {
        return None;
    }
    let provider = "Microsoft.Resources";
    let one = |name: &str| scope.resource(provider, &[("deployments", name)]);
    Some(match rest {
        [] => Target::Word(
            Parent::Scope(scope.clone(), provider.to_owned()),
            first.clone(),
        ),
        [name] => Target::Resource(one(name)),
        [name, word] => Target::Word(Parent::Resource(one(name)), word.clone()),
        [name, word, operation] if word.eq_ignore_ascii_case("operations") => {
            Target::Resource(one(name).child("operations", operation))
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(path: &str) -> Target {
        Target::read(path).unwrap()
    }

    #[test]
    fn paths_name_what_they_name() {
        let sub = Scope::Subscription("s".into());
        let group = Scope::Group("s".into(), "rg".into());
        let words = |words: &[&str]| {
            words
                .iter()
                .map(|&word| word.to_owned())
                .collect::<Vec<_>>()
        };
        let net = "Microsoft.Network".to_owned();
        let vnet = group.resource(&net, &[("virtualNetworks", "v")]);
        let rg = "/subscriptions/s/resourcegroups/rg";
        for (path, expected) in [
            ("/", Target::Other(vec![])),
            ("/tenants", Target::Other(words(&["tenants"]))),
            ("/subscriptions", Target::Other(words(&["subscriptions"]))),
            ("//subscriptions/s/", Target::Scope(sub.clone(), vec![])),
            (
                "/SUBSCRIPTIONS/s/locations",
                Target::Scope(sub.clone(), words(&["locations"])),
            ),
            (
                "/subscriptions/s/resourceGroups",
                Target::Scope(sub.clone(), words(&["resourceGroups"])),
            ),
            (rg, Target::Scope(group.clone(), vec![])),
            (
                &format!("{rg}/resources"),
                Target::Scope(group.clone(), words(&["resources"])),
            ),
            ("/providers", Target::Provider(Scope::Tenant, vec![])),
            (
                "/subscriptions/s/providers",
                Target::Provider(sub.clone(), vec![]),
            ),
            (
                "/subscriptions/s/providers/Microsoft.Network",
                Target::Provider(sub.clone(), words(&["Microsoft.Network"])),
            ),
            (
                "/subscriptions/s/providers/N/register",
                Target::Provider(sub.clone(), words(&["N", "register"])),
            ),
            (
                "/subscriptions/s/providers/N/locations/l/serviceTags",
                Target::Provider(sub.clone(), words(&["N", "locations", "l", "serviceTags"])),
            ),
            (
                "/subscriptions/s/providers/Microsoft.Network/virtualNetworks",
                Target::Word(
                    Parent::Scope(sub.clone(), net.clone()),
                    "virtualNetworks".into(),
                ),
            ),
            (
                &format!("{rg}/providers/Microsoft.Network/virtualNetworks/v"),
                Target::Resource(vnet.clone()),
            ),
            (
                &format!("{rg}/providers/Microsoft.Network/virtualNetworks/%76"),
                Target::Resource(vnet.clone()),
            ),
            (
                &format!("{rg}/providers/Microsoft.Network/virtualNetworks/v/subnets"),
                Target::Word(Parent::Resource(vnet.clone()), "subnets".into()),
            ),
            (
                &format!("{rg}/providers/Microsoft.Network/virtualNetworks/v/subnets/providers"),
                Target::Resource(vnet.child("subnets", "providers")),
            ),
            (
                &format!(
                    "{rg}/providers/Microsoft.Network/virtualNetworks/v/providers/Microsoft.Authorization/roleAssignments"
                ),
                Target::Word(
                    Parent::Scope(
                        Scope::Resource(Box::new(vnet)),
                        "Microsoft.Authorization".into(),
                    ),
                    "roleAssignments".into(),
                ),
            ),
        ] {
            assert_eq!(target(path), expected, "{path}");
        }
        let Target::Scope(scope, _) = target(rg) else {
            panic!()
        };
        assert_eq!(scope.group(), Some("rg"));
    }

    #[test]
    fn hostile_paths_are_refused() {
        for path in [
            "/subscriptions/a%2Fb",
            "/subscriptions/..",
            "/subscriptions/%2e%2E/x",
            "/subscriptions/a%00",
            "/subscriptions/a%5cb",
            &"/x".repeat(33),
            &format!("/subscriptions/{}", "a".repeat(300)),
        ] {
            assert!(Target::read(path).is_err(), "{path}");
        }
        assert!(Target::read("/%zz/%").is_ok(), "what is no escape stays");
    }
}
