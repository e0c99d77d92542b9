//! Tags that bind a resource to this host.

use super::{Asked, disallowed, is_in};
use crate::config::{Allow, AskedBackend, Permit, host_suffixes, permits};
use crate::spelling::dialect::ServiceType;
use crate::spelling::json::{self, Object};
use crate::spelling::kinds;
use crate::spelling::lower::{bindings, tagged, unknown};
use crate::spelling::refusal::not_a_binding;
use postern_arm::document::Document;
use postern_arm::error::ArmError;
use postern_arm::id::ResourceId;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

/// The tags of a front, which are judged together.
const FRONT: &str = "front-";

/// A resource whose tags changed.
struct Subject<'a> {
    id: &'a ResourceId,
    /// What the file allows it.
    allows: Vec<&'a Allow>,
    asked: &'a Asked<'a>,
}

/// Returns the resources whose bindings change, and what of that is not allowed.
pub(super) fn check(asked: &Asked<'_>) -> (Vec<ResourceId>, Vec<ArmError>) {
    let permits = permits(&json::table_from(asked.now.host()));
    let (mut bound, mut refused) = (Vec::new(), Vec::new());
    for change in &asked.changes {
        let Some(new) = change.new.as_deref().filter(|new| is_bound(&new.id)) else {
            continue;
        };
        let old = change.old.as_deref();
        let before = old.map(tagged).unwrap_or_default();
        let after = tagged(new);
        let differs = |tag: &&String| before.get(*tag) != after.get(*tag);
        let changed: BTreeSet<&String> =
            before.keys().chain(after.keys()).filter(differs).collect();
        if changed.is_empty() {
            continue;
        }
        bound.push(new.id.clone());
        let subject = Subject::new(new, &permits, asked);
        for tag in &changed {
            refused.extend(subject.tag(tag, after.get(*tag)));
        }
        let is_front = |tag: &&&String| tag.starts_with(FRONT) && unknown(&new.id, tag).is_none();
        if changed.iter().any(|tag| is_front(&tag)) {
            refused.extend(subject.front(&change.key, old, new, &after));
        }
    }
    (bound, refused)
}

/// Returns whether tags bind resources of the type to anything.
fn is_bound(id: &ResourceId) -> bool {
    let arm = id.kind();
    let declared = [kinds::NIC, kinds::VNET, kinds::NAT_GATEWAY, kinds::POLICY];
    declared
        .iter()
        .any(|kind| kind.arm.eq_ignore_ascii_case(&arm))
        || ServiceType::find(&arm).is_some()
}

impl<'a> Subject<'a> {
    fn new(document: &'a Document, permits: &'a [Permit], asked: &'a Asked<'a>) -> Self {
        let id = &document.id;
        let allows = permits.iter().filter(|permit| permit.fits(id));
        Self {
            id,
            allows: allows.map(|permit| &permit.allow).collect(),
            asked,
        }
    }

    fn name(&self) -> &str {
        self.id.name()
    }

    fn may(&self, is_allowed: impl Fn(&Allow) -> bool) -> bool {
        self.allows.iter().any(|allow| is_allowed(allow))
    }

    /// Checks one tag that is not of a front; without a value it went.
    fn tag(&self, tag: &str, value: Option<&String>) -> Option<ArmError> {
        if let Some(why) = value.and_then(|_| unknown(self.id, tag)) {
            return Some(not_a_binding(self.id, tag, &why));
        }
        let name = self.name();
        // What is left when a tag goes is what the file says, but for these.
        let Some(text) = value else {
            return match tag {
                "device" if !self.may(|allow| allow.device(None, name)) => {
                    Some(self.refused(tag, value, "devices", |allow| &allow.devices))
                }
                "tenant" if !self.may(|allow| allow.key(tag)) => {
                    Some(self.refused(tag, value, "keys", |allow| &allow.keys))
                }
                _ => None,
            };
        };
        match tag {
            "namespace" => (!self.may(|allow| allow.namespace(text, name)))
                .then(|| self.refused(tag, value, "namespaces", |allow| &allow.namespaces)),
            "device" => (!self.may(|allow| allow.device(Some(text), name)))
                .then(|| self.refused(tag, value, "devices", |allow| &allow.devices)),
            "address" => self.address(text),
            "host" => self.host(text),
            _ if tag.starts_with(FRONT) => None,
            _ => (!self.may(|allow| allow.key(tag)))
                .then(|| self.refused(tag, value, "keys", |allow| &allow.keys)),
        }
    }

    fn address(&self, text: &str) -> Option<ArmError> {
        let address = text.parse::<Ipv4Addr>().ok();
        let mut services = self.asked.in_force.services.iter();
        let is_taken = services.any(|service| {
            Some(service.address) == address && !is_in(&service.resource.scope, self.id)
        });
        if address.is_some_and(|it| self.may(|allow| allow.address(it, is_taken))) {
            return None;
        }
        if is_taken && address.is_some_and(|it| self.may(|allow| allow.address(it, false))) {
            let why = format!(
                "the tag postern-address = '{text}' is the address of a resource of another resource \
                 group; accepted: an address that nobody has, or one that sharedAddresses of an \
                 `allow` has."
            );
            return Some(disallowed(self.id, "tags.postern-address", &why));
        }
        let known = self.allows.iter().flat_map(|allow| &allow.addresses);
        let known = known.map(ToString::to_string).collect();
        Some(self.not_among("address", Some(text), "addresses", known))
    }

    /// Checks a name: it has to be one of the resource's service, and allowed.
    fn host(&self, text: &str) -> Option<ArmError> {
        let suffixes = host_suffixes(&self.id.kind());
        let is_own = text.split_once('.').is_some_and(|(label, rest)| {
            let mut suffixes = suffixes.iter();
            !label.is_empty() && suffixes.any(|suffix| suffix.eq_ignore_ascii_case(rest))
        });
        if !is_own {
            let names: Vec<_> = suffixes.iter().map(|it| format!("NAME.{it}")).collect();
            let why = format!(
                "the tag postern-host = '{text}' is no name of its service; accepted: {}.",
                names.join(", ")
            );
            return Some(disallowed(self.id, "tags.postern-host", &why));
        }
        let is_allowed = self.may(|allow| allow.host(text, self.name()));
        let text = text.to_owned();
        (!is_allowed).then(|| self.refused("host", Some(&text), "hosts", |allow| &allow.hosts))
    }

    /// Checks a front that tags say a part of: what of it differs from before, the server and where it
    /// is as one.
    fn front(
        &self,
        key: &str,
        old: Option<&Document>,
        new: &Document,
        after: &BTreeMap<String, String>,
    ) -> Vec<ArmError> {
        if !after.keys().any(|tag| tag.starts_with(FRONT)) {
            // What is left is the file's.
            return Vec::new();
        }
        let before = old.map(|old| bindings(self.asked.now.binding(key), old));
        let after = bindings(self.asked.next.binding(key), new);
        let before = Front::of(before.as_ref());
        let after = Front::of(Some(&after));
        let mut refused = Vec::new();
        let mut refuse = |tag, value: String, key, known| {
            refused.push(self.not_among(tag, Some(&value), key, known));
        };
        if before.backend() != after.backend() && !self.may_reach(&after) {
            let known = self.allows.iter().flat_map(|allow| &allow.backends);
            let known = known.map(|backend| backend.written.clone()).collect();
            refuse("front-connect", after.to_string(), "backends", known);
        }
        let is_new = |port: &&u16| !before.ports.contains(port);
        let is_allowed = |port: &u16| self.may(|allow| allow.port(*port));
        let port = after.ports.iter().filter(is_new);
        if let Some(port) = port.clone().find(|port| !is_allowed(port)) {
            let ranges = self.allows.iter().flat_map(|allow| &allow.ports);
            let known = ranges.map(|range| match (range.start(), range.end()) {
                (first, last) if first == last => first.to_string(),
                (first, last) => format!("{first}-{last}"),
            });
            refuse("front-ports", port.to_string(), "ports", known.collect());
        }
        // Whether TLS ends here decides whether a connection or each request is judged.
        for (key, before, after) in [
            ("front-protocol", before.protocol, after.protocol),
            ("front-tls", before.tls, after.tls),
            ("front-connect-tls", before.connect_tls, after.connect_tls),
            (
                "front-idle-timeout-in-minutes",
                before.idle_timeout,
                after.idle_timeout,
            ),
        ] {
            if before != after && !self.may(|allow| allow.key(key)) {
                let known = self.allows.iter().flat_map(|allow| allow.keys.clone());
                let value = after.map(|value| match value {
                    Value::String(text) => text.clone(),
                    other => other.to_string(),
                });
                refuse(key, value.unwrap_or_default(), "keys", known.collect());
            }
        }
        refused
    }

    fn may_reach(&self, front: &Front<'_>) -> bool {
        let Some(connect) = front.connect else {
            return false;
        };
        let asked = AskedBackend {
            connect,
            ports: &front.ports,
            namespace: front.namespace,
            proxy_protocol: front.proxy_protocol,
        };
        self.may(|allow| allow.backend(&asked, self.name()))
    }

    fn refused(
        &self,
        tag: &str,
        value: Option<&String>,
        key: &str,
        known: impl Fn(&'a Allow) -> &'a Vec<String>,
    ) -> ArmError {
        let known = self.allows.iter().flat_map(|allow| known(allow).clone());
        self.not_among(tag, value.map(String::as_str), key, known.collect())
    }

    /// Returns the error for a tag whose value no `allow` has.
    fn not_among(&self, tag: &str, value: Option<&str>, key: &str, known: Vec<String>) -> ArmError {
        let what = match value {
            Some(value) => format!("the tag postern-{tag} = '{value}'"),
            None => format!("to take away the tag postern-{tag}"),
        };
        let known = match known.is_empty() {
            true => "there is none for this resource".to_owned(),
            false => format!("for this resource: {}", known.join(", ")),
        };
        let why = format!(
            "{what} is a right of this host; accepted: what the administrator allows by {key} of an \
             `allow` in a [[bind]] of the configuration file ({known})."
        );
        disallowed(self.id, &format!("tags.postern-{tag}"), &why)
    }
}

/// A front as the bindings of a resource have it.
#[derive(Debug, Default)]
struct Front<'a> {
    connect: Option<&'a str>,
    namespace: Option<&'a str>,
    ports: Vec<u16>,
    protocol: Option<&'a Value>,
    tls: Option<&'a Value>,
    connect_tls: Option<&'a Value>,
    idle_timeout: Option<&'a Value>,
    proxy_protocol: bool,
}

impl<'a> Front<'a> {
    fn of(bound: Option<&'a Object>) -> Self {
        let Some(front) = bound.and_then(|bound| json::object(bound, "front")) else {
            return Self::default();
        };
        let port = |value: &Value| u16::try_from(value.as_u64()?).ok();
        let ports = json::list(front, "ports").unwrap_or_default();
        Self {
            connect: json::text(front, "connect"),
            namespace: json::text(front, "namespace"),
            ports: ports.iter().filter_map(port).collect(),
            protocol: json::field(front, "protocol"),
            tls: json::field(front, "tls"),
            connect_tls: json::field(front, "connectTls"),
            idle_timeout: json::field(front, "idleTimeoutInMinutes"),
            proxy_protocol: json::field(front, "proxyProtocol") == Some(&Value::Bool(true)),
        }
    }

    /// Returns what says which server is meant.
    fn backend(&self) -> (Option<&str>, Option<&str>, bool, &[u16]) {
        // The port of the server is that which was called, where it has none of its own.
        let follows = self
            .connect
            .is_some_and(|it| it.parse::<std::net::IpAddr>().is_ok());
        let ports = if follows { self.ports.as_slice() } else { &[] };
        (self.connect, self.namespace, self.proxy_protocol, ports)
    }
}

impl std::fmt::Display for Front<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.connect.unwrap_or_default())?;
        if let Some(namespace) = self.namespace {
            write!(f, " in {namespace}")?;
        }
        if self.proxy_protocol {
            f.write_str(" with PROXY header")?;
        }
        Ok(())
    }
}
