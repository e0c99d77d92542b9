//! What is asked of an estate: one resource, lists of them, groups.

use super::Estate;
use crate::document::{Document, Group};
use crate::id::{ResourceId, Scope};
use crate::types::{self, Child, Place};
use serde_json::{Map, Value, json};
use std::sync::Arc;

/// A resource where it is kept.
#[derive(Clone, Copy, Debug)]
pub struct Found<'e> {
    /// The document that it is, or that it is inside of.
    pub document: &'e Arc<Document>,
    /// The inline child that it is: its type, and its `name` and `properties`.
    pub child: Option<(&'static Child, &'e Map<String, Value>)>,
}

impl<'e> Found<'e> {
    /// Returns the ID as it was spelled when it was made.
    #[must_use]
    pub fn id(&self) -> ResourceId {
        match self.child {
            None => self.document.id.clone(),
            Some((child, item)) => {
                let name = child.only.unwrap_or_else(|| types::name_of(item));
                self.document.id.child(child.segment, name)
            }
        }
    }

    /// Returns the properties.
    #[must_use]
    pub fn properties(&self) -> Option<&'e Map<String, Value>> {
        match self.child {
            None => self.document.properties(),
            Some((child, item)) if child.only.is_some() => Some(item),
            Some((_, item)) => item.get("properties")?.as_object(),
        }
    }
}

impl Estate {
    /// Returns the document that has the resource: its own, or that of which it is an inline child.
    #[must_use]
    pub fn document(&self, id: &ResourceId) -> Option<&Arc<Document>> {
        self.find(id).map(|found| found.document)
    }

    /// Returns the document with the key, which is that of its ID.
    #[must_use]
    pub fn document_by_key(&self, key: &str) -> Option<&Arc<Document>> {
        self.documents.get(key)
    }

    /// Returns the resource.
    #[must_use]
    pub fn find(&self, id: &ResourceId) -> Option<Found<'_>> {
        let (parent, child) = match types::place(id) {
            Place::Own => {
                let document = self.documents.get(&id.key())?;
                return Some(Found {
                    document,
                    child: None,
                });
            }
            Place::Inline(parent, child) => (parent, child),
        };
        let document = self.documents.get(&parent.key())?;
        let properties = document.properties();
        let item = match child.only {
            Some(_) => properties?.get(child.at)?.as_object()?,
            None => types::items(properties, child)
                .find(|item| types::name_of(item).eq_ignore_ascii_case(id.name()))?,
        };
        Some(Found {
            document,
            child: Some((child, item)),
        })
    }

    /// Returns the resource with the key.
    pub(super) fn find_key(&self, key: &str) -> Option<Found<'_>> {
        self.find(&key.parse().ok()?)
    }

    /// Returns the resource as a GET shows it.
    #[must_use]
    pub fn show(&self, id: &ResourceId) -> Option<Value> {
        self.find(id).map(|found| self.show_found(found))
    }

    /// Returns the ETag of the resource.
    #[must_use]
    pub fn etag(&self, id: &ResourceId) -> Option<String> {
        self.document(id).map(|document| document.etag())
    }

    /// Returns the resources of the full type in a subscription or a resource group, the children of
    /// that type of a resource, or its extensions of that type.
    #[must_use]
    pub fn list(&self, scope: &Scope, kind: &str) -> Vec<Value> {
        self.find_all(scope, kind)
            .into_iter()
            .map(|found| self.show_found(found))
            .collect()
    }

    /// Returns what [`Estate::list`] shows.
    #[must_use]
    pub fn find_all(&self, scope: &Scope, kind: &str) -> Vec<Found<'_>> {
        if let Scope::Resource(parent) = scope {
            let segment = kind.rsplit('/').next().unwrap_or(kind);
            let inline = types::find(&parent.kind()).and_then(|of| {
                of.children
                    .iter()
                    .find(|child| child.segment.eq_ignore_ascii_case(segment))
            });
            if let (Some(child), Some(document)) = (inline, self.documents.get(&parent.key())) {
                let items = types::items(document.properties(), child);
                return items
                    .map(|item| Found {
                        document,
                        child: Some((child, item)),
                    })
                    .collect();
            }
        }
        let is_of = |document: &&Arc<Document>| match scope {
            // Not the children of its children.
            Scope::Resource(parent) if document.id.scope == parent.scope => {
                document.id.segments.len() == parent.segments.len() + 1
                    && is_kind(&document.id, kind)
            }
            _ => is_kind(&document.id, kind),
        };
        self.documents_in(scope)
            .filter(is_of)
            .map(|document| Found {
                document,
                child: None,
            })
            .collect()
    }

    /// Returns the resources of a subscription or a resource group, as `az resource list` has them:
    /// without children, deployments and roles.
    #[must_use]
    pub fn resources_in(&self, scope: &Scope) -> Vec<Value> {
        let is_listed = |document: &&Arc<Document>| {
            let id = &document.id;
            id.segments.len() == 1
                && !matches!(id.scope, Scope::Resource(_))
                && !id.provider.eq_ignore_ascii_case("Microsoft.Authorization")
                && !is_kind(id, "Microsoft.Resources/deployments")
        };
        self.documents_in(scope)
            .filter(is_listed)
            .map(|document| outline(document))
            .collect()
    }

    /// Returns the resource group as a GET shows it.
    #[must_use]
    pub fn show_group(&self, scope: &Scope) -> Option<Value> {
        self.group(scope).map(|group| show_group(group))
    }

    /// Returns the resource groups of the subscription.
    #[must_use]
    pub fn list_groups(&self, subscription: &str) -> Vec<Value> {
        let is_of = |group: &&Arc<Group>| {
            let found = group.scope.subscription().unwrap_or("");
            found.eq_ignore_ascii_case(subscription)
        };
        self.groups()
            .filter(is_of)
            .map(|group| show_group(group))
            .collect()
    }
}

/// Returns whether the ID is of the full type, without building its name.
pub(super) fn is_kind(id: &ResourceId, kind: &str) -> bool {
    let mut parts = kind.split('/');
    let is =
        |part: Option<&str>, text: &str| part.is_some_and(|part| part.eq_ignore_ascii_case(text));
    is(parts.next(), &id.provider)
        && id
            .segments
            .iter()
            .all(|(segment, _)| is(parts.next(), segment))
        && parts.next().is_none()
}

fn outline(document: &Document) -> Value {
    let mut shown = json!({
        "id": document.id,
        "name": document.id.name(),
        "type": super::show::spelled_kind(&document.id),
    });
    if let Some(fields) = shown.as_object_mut() {
        for name in [
            "location",
            "tags",
            "sku",
            "kind",
            "identity",
            "zones",
            "managedBy",
        ] {
            if let Some(value) = document.body.get(name) {
                fields.insert(name.to_owned(), value.clone());
            }
        }
    }
    shown
}

pub(super) fn show_group(group: &Group) -> Value {
    let mut shown = json!({
        "id": group.scope,
        "name": group.scope.group(),
        "type": "Microsoft.Resources/resourceGroups",
    });
    if let Some(fields) = shown.as_object_mut() {
        fields.extend(group.body.clone());
        fields.insert(
            "properties".to_owned(),
            json!({ "provisioningState": "Succeeded" }),
        );
    }
    shown
}
