//! What requests may bind by tags: `allow` of a `[[bind]]`.
//!
//! A namespace, a backend, an address and a name are things of this host. Its administrator says in
//! the file which of them a resource's tags may take; what no `allow` that fits the resource has, only
//! the host's own may write.

use crate::config::front::server;
use crate::config::glob::{exact, sample};
use crate::config::problem::Problem;
use crate::config::section::Section;
use crate::model::{Device, NamespaceRef};
use ipnet::{IpNet, Ipv4Net};
use std::net::Ipv4Addr;
use std::ops::RangeInclusive;
use toml::Value;

/// The keys of an `allow` table.
const KEYS: &[&str] = &[
    "namespaces",
    "devices",
    "addresses",
    "sharedAddresses",
    "addressSpaces",
    "hosts",
    "ports",
    "backends",
    "keys",
];
const BACKEND_KEYS: &[&str] = &["connect", "namespace", "proxyProtocol"];

/// The tags whose values name nothing of the host, as `keys` lists them.
const PLAIN: &[&str] = &[
    "mtu",
    "offload",
    "delivery",
    "refusal",
    "front-protocol",
    "front-tls",
    "front-connect-tls",
    "front-idle-timeout-in-minutes",
    "audit",
    "tenant",
    "open-without-rules",
    "follows-timer",
];

const NAMESPACES: &str = "a list of namespaces by name, in which \"*\" and \"?\" stand for anything \
                          and one character and \"{name}\" for the name of the resource, such as \
                          [\"vm*\"]; neither paths nor \"pid:N\"";
const DEVICES: &str =
    "a list of device names, with \"*\", \"?\" and \"{name}\", such as [\"postern*\"]";
const ADDRESSES: &str = "a list of IPv4 prefixes or addresses such as [\"20.60.16.0/24\"]";
const HOSTS: &str =
    "a list of host names, with \"*\", \"?\" and \"{name}\", such as [\"*.blob.core.windows.net\"]";
const PORTS: &str = "a list of TCP ports and ranges such as [443, \"8000-8010\"]";
const BACKENDS: &str = "a list of servers such as [\"127.0.0.1:10000\", \"10.0.0.0/24\", { connect = \
                        \"127.0.0.1:10000\", namespace = \"store*\", proxyProtocol = true }]";
const A_BACKEND: &str =
    "an address, with a port or without, or a prefix, such as \"127.0.0.1:10000\"";
const A_NAMESPACE: &str = "a namespace by name, with \"*\", \"?\" and \"{name}\"";
const SOME_KEYS: &str = "a list of \"mtu\", \"offload\", \"delivery\", \"refusal\", \
                         \"front-protocol\", \"front-tls\", \"front-connect-tls\", \
                         \"front-idle-timeout-in-minutes\", \"audit\", \"tenant\", \
                         \"open-without-rules\" and \"follows-timer\"";

/// What the tags of a resource may say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Allow {
    /// Patterns of namespaces.
    pub(crate) namespaces: Vec<String>,
    /// Patterns of devices.
    pub(crate) devices: Vec<String>,
    /// Addresses that nobody else has.
    pub(crate) addresses: Vec<Ipv4Net>,
    /// Addresses that resources of other groups may have too.
    pub(crate) shared: Vec<Ipv4Net>,
    /// Public ranges that virtual networks may have.
    pub(crate) spaces: Vec<Ipv4Net>,
    /// Patterns of host names.
    pub(crate) hosts: Vec<String>,
    /// Ports of fronts.
    pub(crate) ports: Vec<RangeInclusive<u16>>,
    /// Servers behind fronts.
    pub(crate) backends: Vec<AllowedBackend>,
    /// Tags that may have any value.
    pub(crate) keys: Vec<String>,
}

/// A server that fronts may lead to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AllowedBackend {
    servers: IpNet,
    /// Its port; without one, any.
    port: Option<u16>,
    /// The pattern of the namespace that it is in; without one, that of the daemon.
    namespace: Option<String>,
    /// Whether it is sent PROXY headers: one that wants them believes them.
    proxy_protocol: bool,
    /// As the file has it.
    pub(crate) written: String,
}

/// The server behind a front, as tags and the file say it together.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AskedBackend<'a> {
    /// Its address, with a port or without.
    pub(crate) connect: &'a str,
    /// The ports of the front, which count where `connect` has none.
    pub(crate) ports: &'a [u16],
    /// The namespace that it is in.
    pub(crate) namespace: Option<&'a str>,
    /// Whether it is sent PROXY headers.
    pub(crate) proxy_protocol: bool,
}

impl Allow {
    /// Returns whether a resource may be in the namespace. One by path or process is the host's own to
    /// give: neither is a name.
    pub(crate) fn namespace(&self, namespace: &str, name: &str) -> bool {
        fits_namespace(self.namespaces.iter(), namespace, name)
    }

    /// Returns whether a resource may have a device of this name; the usual one without a tag.
    pub(crate) fn device(&self, device: Option<&str>, name: &str) -> bool {
        let device = device.unwrap_or(Device::DEFAULT_NAME);
        let mut devices = self.devices.iter();
        devices.any(|pattern| exact(pattern, name, device))
    }

    /// Returns whether a resource may have the address; `is_taken` tells whether another group's has it.
    pub(crate) fn address(&self, address: Ipv4Addr, is_taken: bool) -> bool {
        let holds = |prefixes: &[Ipv4Net]| prefixes.iter().any(|it| it.contains(&address));
        holds(&self.shared) || (!is_taken && holds(&self.addresses))
    }

    /// Returns whether a virtual network may have the range, which is public.
    pub(crate) fn space(&self, range: &Ipv4Net) -> bool {
        self.spaces.iter().any(|it| it.contains(range))
    }

    /// Returns whether a resource may be called so.
    pub(crate) fn host(&self, host: &str, name: &str) -> bool {
        let lower = |text: &str| text.to_ascii_lowercase();
        let mut hosts = self.hosts.iter();
        hosts.any(|pattern| exact(&lower(pattern), &lower(name), &lower(host)))
    }

    /// Returns whether a front may have the port.
    pub(crate) fn port(&self, port: u16) -> bool {
        self.ports.iter().any(|range| range.contains(&port))
    }

    /// Returns whether a front may lead there.
    pub(crate) fn backend(&self, asked: &AskedBackend<'_>, name: &str) -> bool {
        self.backends.iter().any(|known| known.fits(asked, name))
    }

    /// Returns whether a tag may have any value.
    pub(crate) fn key(&self, tag: &str) -> bool {
        self.keys.iter().any(|key| key.eq_ignore_ascii_case(tag))
    }
}

impl AllowedBackend {
    fn fits(&self, asked: &AskedBackend<'_>, name: &str) -> bool {
        let Some((address, port)) = server(asked.connect) else {
            return false;
        };
        let is_port = |port: u16| self.port.is_none_or(|own| own == port);
        let is_there = match (&self.namespace, asked.namespace) {
            (None, None) => true,
            (Some(own), Some(asked)) => fits_namespace([own].into_iter(), asked, name),
            _ => false,
        };
        is_there
            && self.proxy_protocol == asked.proxy_protocol
            && self.servers.contains(&address)
            && match port {
                Some(port) => is_port(port),
                None => asked.ports.iter().all(|port| is_port(*port)),
            }
    }
}

fn fits_namespace<'p>(
    mut patterns: impl Iterator<Item = &'p String>,
    namespace: &str,
    name: &str,
) -> bool {
    let is_name = matches!(namespace.parse(), Ok(NamespaceRef::Name(_)));
    is_name && patterns.any(|pattern| exact(pattern, name, namespace))
}

/// Reads the `allow` of a `[[bind]]`, if it has one.
pub(super) fn allow(bind: &Section<'_>) -> Option<Allow> {
    let section = bind.section("allow", KEYS)?;
    let is_namespace = |pattern: &str| matches!(sample(pattern).parse(), Ok(NamespaceRef::Name(_)));
    let is_pattern = |pattern: &str| !pattern.is_empty();
    Some(Allow {
        namespaces: patterns(&section, "namespaces", NAMESPACES, is_namespace),
        devices: patterns(&section, "devices", DEVICES, is_pattern),
        addresses: prefixes(&section, "addresses"),
        shared: prefixes(&section, "sharedAddresses"),
        spaces: prefixes(&section, "addressSpaces"),
        hosts: patterns(&section, "hosts", HOSTS, is_pattern),
        ports: ports(&section),
        backends: backends(&section),
        keys: patterns(&section, "keys", SOME_KEYS, |key| {
            PLAIN.iter().any(|known| known.eq_ignore_ascii_case(key))
        }),
    })
}

fn patterns(
    section: &Section<'_>,
    key: &str,
    accepted: &'static str,
    is_good: impl Fn(&str) -> bool,
) -> Vec<String> {
    let texts = section.texts(key, accepted).into_iter();
    let good = texts.filter_map(|text| {
        if is_good(text.value) {
            return Some(text.value.to_owned());
        }
        let value = Some(format!("{:?}", text.value));
        section
            .errors()
            .add(text.key, value, Problem::Malformed(accepted));
        None
    });
    good.collect()
}

fn prefixes(section: &Section<'_>, key: &str) -> Vec<Ipv4Net> {
    let texts = section.texts(key, ADDRESSES).into_iter();
    let read = texts.filter_map(|text| {
        let address = text.value.parse::<Ipv4Addr>().ok().map(Ipv4Net::from);
        let prefix = address.or_else(|| text.value.parse::<Ipv4Net>().ok());
        let problem = match prefix {
            Some(prefix) if prefix == prefix.trunc() => return Some(prefix),
            Some(prefix) => Problem::HostBits(prefix.trunc()),
            None => Problem::Malformed(ADDRESSES),
        };
        let value = Some(format!("{:?}", text.value));
        section.errors().add(text.key, value, problem);
        None
    });
    read.collect()
}

fn ports(section: &Section<'_>) -> Vec<RangeInclusive<u16>> {
    let range = |value: &Value| match value {
        Value::Integer(port) => u16::try_from(*port).ok().map(|port| port..=port),
        Value::String(text) => {
            let (first, last) = text.split_once('-')?;
            Some(first.trim().parse().ok()?..=last.trim().parse().ok()?)
        }
        _ => None,
    };
    let range = |value: &Value| range(value).filter(|it| *it.start() > 0 && !it.is_empty());
    let read = section.items("ports", PORTS).into_iter();
    let read = read.filter_map(|item| {
        let range = range(item.value);
        if range.is_none() {
            section.refuse_item(&item, Problem::Malformed(PORTS));
        }
        range
    });
    read.collect()
}

fn backends(section: &Section<'_>) -> Vec<AllowedBackend> {
    let read = section.items("backends", BACKENDS).into_iter();
    let read = read.filter_map(|item| match item.value {
        Value::String(text) => {
            let found = backend(text);
            if found.is_none() {
                section.refuse_item(&item, Problem::Malformed(BACKENDS));
            }
            found
        }
        Value::Table(table) => {
            let inner = Section::open(table, item.key, section.errors(), BACKEND_KEYS);
            inner.require("connect", A_BACKEND);
            let text = inner.text("connect", A_BACKEND)?;
            let found = backend(text);
            if found.is_none() {
                inner.refuse("connect", Problem::Malformed(A_BACKEND));
            }
            let namespace = inner.text("namespace", A_NAMESPACE);
            let is_name = |text: &str| matches!(sample(text).parse(), Ok(NamespaceRef::Name(_)));
            if namespace.is_some_and(|text| !is_name(text)) {
                inner.refuse("namespace", Problem::Malformed(A_NAMESPACE));
            }
            let proxy_protocol = inner.flag("proxyProtocol", false);
            let place = namespace.map_or_else(String::new, |text| format!(" in {text}"));
            let proxy = if proxy_protocol {
                " with PROXY header"
            } else {
                ""
            };
            Some(AllowedBackend {
                namespace: namespace.map(str::to_owned),
                proxy_protocol,
                written: format!("{text}{place}{proxy}"),
                ..found?
            })
        }
        _ => {
            section.refuse_item(&item, Problem::Malformed(BACKENDS));
            None
        }
    });
    read.collect()
}

fn backend(text: &str) -> Option<AllowedBackend> {
    let prefix = text.parse::<IpNet>().ok().map(|prefix| (prefix, None));
    let (servers, port) = prefix.or_else(|| {
        let (address, port) = server(text)?;
        Some((IpNet::from(address), port))
    })?;
    Some(AllowedBackend {
        servers,
        port,
        namespace: None,
        proxy_protocol: false,
        written: text.to_owned(),
    })
}
