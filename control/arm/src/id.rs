//! Resource IDs: `/subscriptions/{s}/resourceGroups/{rg}/providers/{ns}/{type}/{name}[/{child}/{name}]`.
//!
//! They compare without case and keep the spelling that they were read with (reference arm-clients,
//! section 3.1).

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::hash::{Hash, Hasher};
use std::str::FromStr;

/// Where something is filed.
#[derive(Clone, Debug, Eq)]
pub enum Scope {
    /// The tenant itself: `/`.
    Tenant,
    /// A subscription.
    Subscription(String),
    /// A resource group of a subscription.
    Group(String, String),
    /// A resource, of which extension resources such as role assignments are part.
    Resource(Box<ResourceId>),
}

/// The ID of a resource.
#[derive(Clone, Debug, Eq)]
pub struct ResourceId {
    /// Where it is filed.
    pub scope: Scope,
    /// The resource provider, such as `Microsoft.Network`.
    pub provider: String,
    /// Type and name of the resource, then of its child, and so on; at least one.
    pub segments: Vec<(String, String)>,
}

/// The text is not the ID of a resource or a scope.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "\"{0}\" is not a resource ID; accepted: /subscriptions/{{id}}/resourceGroups/{{name}}/providers/{{namespace}}/{{type}}/{{name}}"
)]
pub struct NotAnId(pub String);

impl Scope {
    /// Returns the ID of a resource in this scope.
    #[must_use]
    pub fn resource(&self, provider: &str, segments: &[(&str, &str)]) -> ResourceId {
        let own = |(kind, name): &(&str, &str)| ((*kind).to_owned(), (*name).to_owned());
        ResourceId {
            scope: self.clone(),
            provider: provider.to_owned(),
            segments: segments.iter().map(own).collect(),
        }
    }

    /// Returns the subscription.
    #[must_use]
    pub fn subscription(&self) -> Option<&str> {
        match self {
            Self::Tenant => None,
            Self::Subscription(subscription) | Self::Group(subscription, _) => Some(subscription),
            Self::Resource(id) => id.scope.subscription(),
        }
    }

    /// Returns the resource group.
    #[must_use]
    pub fn group(&self) -> Option<&str> {
        match self {
            Self::Tenant | Self::Subscription(_) => None,
            Self::Group(_, group) => Some(group),
            Self::Resource(id) => id.scope.group(),
        }
    }

    /// Returns the form that two spellings of one scope share.
    #[must_use]
    pub fn key(&self) -> String {
        self.to_string().to_ascii_lowercase()
    }

    /// Returns whether `other` is this scope or in it.
    #[must_use]
    pub fn holds(&self, other: &Self) -> bool {
        let (outer, inner) = (self.key(), other.key());
        *self == Self::Tenant
            || inner
                .strip_prefix(&outer)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }
}

impl ResourceId {
    /// Returns the full type, such as `Microsoft.Network/virtualNetworks/subnets`.
    #[must_use]
    pub fn kind(&self) -> String {
        let types = self.segments.iter().map(|(kind, _)| format!("/{kind}"));
        format!("{}{}", self.provider, types.collect::<String>())
    }

    /// Returns whether the resource is of the type, without case.
    #[must_use]
    pub fn is(&self, kind: &str) -> bool {
        self.kind().eq_ignore_ascii_case(kind)
    }

    /// Returns the last name.
    #[must_use]
    pub fn name(&self) -> &str {
        self.segments.last().map_or("", |(_, name)| name)
    }

    /// Returns the ID of the resource that this one is a child of.
    #[must_use]
    pub fn parent(&self) -> Option<Self> {
        let (_, segments) = self.segments.split_last()?;
        (!segments.is_empty()).then(|| Self {
            segments: segments.to_vec(),
            ..self.clone()
        })
    }

    /// Returns the ID of the resource that is no child.
    #[must_use]
    pub fn root(&self) -> Self {
        Self {
            segments: self.segments.iter().take(1).cloned().collect(),
            ..self.clone()
        }
    }

    /// Returns the ID of a child of this resource.
    #[must_use]
    pub fn child(&self, kind: &str, name: &str) -> Self {
        let mut child = self.clone();
        child.segments.push((kind.to_owned(), name.to_owned()));
        child
    }

    /// Returns the form that two spellings of one ID share.
    #[must_use]
    pub fn key(&self) -> String {
        self.to_string().to_ascii_lowercase()
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tenant => f.write_str("/"),
            Self::Subscription(subscription) => write!(f, "/subscriptions/{subscription}"),
            Self::Group(subscription, group) => {
                write!(f, "/subscriptions/{subscription}/resourceGroups/{group}")
            }
            Self::Resource(id) => id.fmt(f),
        }
    }
}

impl fmt::Display for ResourceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.scope != Scope::Tenant {
            self.scope.fmt(f)?;
        }
        write!(f, "/providers/{}", self.provider)?;
        self.segments
            .iter()
            .try_for_each(|(kind, name)| write!(f, "/{kind}/{name}"))
    }
}

impl FromStr for Scope {
    type Err = NotAnId;

    fn from_str(text: &str) -> Result<Self, NotAnId> {
        let bad = || NotAnId(text.to_owned());
        let path = text.strip_prefix('/').ok_or_else(bad)?;
        let path = path.strip_suffix('/').unwrap_or(path);
        if path.is_empty() {
            return Ok(Self::Tenant);
        }
        let parts: Vec<&str> = path.split('/').collect();
        if parts.iter().any(|part| part.is_empty()) {
            return Err(bad());
        }
        read(&parts).ok_or_else(bad)
    }
}

/// Reads a scope from the parts of a path: the last `providers` begins the resource.
fn read(parts: &[&str]) -> Option<Scope> {
    let is = |at: usize, word: &str| {
        parts
            .get(at)
            .is_some_and(|part| part.eq_ignore_ascii_case(word))
    };
    // Type and name alternate behind the provider, so that a `providers` at another place is a name.
    let provider = (0..parts.len().saturating_sub(2)).rev().find(|at| {
        let behind = parts.len().saturating_sub(at.saturating_add(2));
        at % 2 == 0 && is(*at, "providers") && behind >= 2 && behind % 2 == 0
    });
    if let Some(at) = provider {
        let (outer, inner) = parts.split_at_checked(at)?;
        let scope = match outer {
            [] => Scope::Tenant,
            outer => read(outer)?,
        };
        let (provider, rest) = (inner.get(1)?, inner.get(2..)?);
        let pair = |pair: &[&str]| match pair {
            [kind, name] => Some(((*kind).to_owned(), (*name).to_owned())),
            _ => None,
        };
        return Some(Scope::Resource(Box::new(ResourceId {
            scope,
            provider: (*provider).to_owned(),
            segments: rest.chunks(2).map(pair).collect::<Option<_>>()?,
        })));
    }
    match parts {
        [_, subscription] if is(0, "subscriptions") => {
            Some(Scope::Subscription((*subscription).to_owned()))
        }
        [_, subscription, _, group] if is(0, "subscriptions") && is(2, "resourceGroups") => Some(
            Scope::Group((*subscription).to_owned(), (*group).to_owned()),
        ),
        _ => None,
    }
}

impl FromStr for ResourceId {
    type Err = NotAnId;

    fn from_str(text: &str) -> Result<Self, NotAnId> {
        match text.parse()? {
            Scope::Resource(id) => Ok(*id),
            _ => Err(NotAnId(text.to_owned())),
        }
    }
}

impl PartialEq for Scope {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl PartialEq for ResourceId {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl Hash for ResourceId {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.key().hash(state);
    }
}

impl Serialize for Scope {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Scope {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

impl Serialize for ResourceId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ResourceId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SUBNET: &str = "/subscriptions/s/resourceGroups/rg/providers/Microsoft.Network/virtualNetworks/v/subnets/a";

    #[test]
    fn an_id_is_read_and_written_back() {
        let id: ResourceId = SUBNET.parse().unwrap();
        assert_eq!(id.to_string(), SUBNET);
        assert_eq!(id.kind(), "Microsoft.Network/virtualNetworks/subnets");
        assert_eq!(id.name(), "a");
        assert_eq!(id.scope, Scope::Group("s".into(), "rg".into()));
        assert_eq!(id.parent().unwrap().name(), "v");
        assert_eq!(id.parent().unwrap().parent(), None);
        assert_eq!(id.root().child("subnets", "a"), id);
        let other: ResourceId = SUBNET.to_uppercase().parse().unwrap();
        assert_eq!((&other, other.key()), (&id, id.key()));
        assert_ne!(other.to_string(), id.to_string(), "the spelling is kept");
    }

    #[test]
    fn an_extension_is_in_a_resource() {
        let text = format!("{SUBNET}/providers/Microsoft.Authorization/roleAssignments/x");
        let id: ResourceId = text.parse().unwrap();
        assert_eq!(id.to_string(), text);
        assert_eq!(id.kind(), "Microsoft.Authorization/roleAssignments");
        assert_eq!(id.scope, SUBNET.parse().unwrap());
        assert_eq!(id.scope.group(), Some("rg"));
        let tenant: ResourceId = "/providers/Microsoft.Authorization/roleDefinitions/x"
            .parse()
            .unwrap();
        assert_eq!(tenant.scope, Scope::Tenant);
    }

    #[test]
    fn scopes_hold_what_is_in_them() {
        let read = |text: &str| text.parse::<Scope>().unwrap();
        let (group, subnet) = (read("/subscriptions/s/resourcegroups/RG"), read(SUBNET));
        for outer in [&read("/"), &read("/subscriptions/S"), &group, &subnet] {
            assert!(outer.holds(&subnet), "{outer}");
        }
        assert!(!subnet.holds(&group));
        assert!(!read("/subscriptions/s/resourceGroups/r").holds(&subnet));
    }

    #[test]
    fn what_is_no_id_is_refused() {
        for text in [
            "",
            "x",
            "subscriptions/s",
            "/subscriptions",
            "/subscriptions/s/resourceGroups",
            "/subscriptions//resourceGroups/rg",
            "/subscriptions/s/providers/Microsoft.Network/virtualNetworks",
            "/providers/Microsoft.Network",
        ] {
            assert!(text.parse::<ResourceId>().is_err(), "{text}");
        }
        assert!("/subscriptions/s".parse::<ResourceId>().is_err());
        assert!("/subscriptions/s".parse::<Scope>().is_ok());
    }
}
