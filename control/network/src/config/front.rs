//! The front of a service.

use super::problem::Problem;
use super::section::{Errors, Section};
use crate::model::{
    Backend, Model, NamespaceRef, PLATFORM_HOSTS, Protocol, ServiceFront, ServiceInstance,
};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

const FRONT_KEYS: &[&str] = &[
    "ports",
    "connect",
    "connectTls",
    "namespace",
    "protocol",
    "proxyProtocol",
    "tls",
    "idleTimeoutInMinutes",
];

const PORTS: &str = "a list of 1 to 16 different TCP ports such as [443]";
const CONNECT: &str =
    "the address of a server, with a port or without, such as \"127.0.0.1:10000\"";
const A_NAMESPACE: &str =
    "a namespace: a name without spaces and slashes, an absolute path, or \"pid:N\"";
const A_PROTOCOL: &str = "\"tls\", \"http\", \"postgresql\", \"mysql\" or \"tds\"";
const A_WAY: &str = "\"pass\" or \"terminate\"";
/// What `tls` may be, and whether the front ends it.
const WAYS: [(&str, bool); 2] = [("pass", false), ("terminate", true)];
const MOST_PORTS: usize = 16;
/// As the platform's balancers and NAT gateways take it.
const IDLE_MINUTES: (u32, u32) = (4, 120);

/// Reads the front of a service, if it has one; `kind` is what the service is in ARM.
pub(super) fn front(service: &Section<'_>, kind: Option<&str>) -> Option<ServiceFront> {
    let section = service.section("front", FRONT_KEYS)?;
    let ports = section.ports("ports", PORTS);
    if ports.as_ref().is_some_and(|ports| ports.len() > MOST_PORTS) {
        section.refuse("ports", Problem::Malformed(PORTS));
    }
    section.require("connect", CONNECT);
    let connect = section.text("connect", CONNECT);
    let server = connect.and_then(server);
    if connect.is_some() && server.is_none() {
        section.refuse("connect", Problem::Malformed(CONNECT));
    }
    let namespace = section.parse::<NamespaceRef>("namespace", A_NAMESPACE);
    let told = section.choice("protocol", &Protocol::NAMES, A_PROTOCOL);
    let proxy_protocol = section.flag("proxyProtocol", false);
    let terminates = section.choice("tls", &WAYS, A_WAY).unwrap_or(false);
    let tls = section.flag("connectTls", false);
    let minutes = section.number("idleTimeoutInMinutes", IDLE_MINUTES.0, IDLE_MINUTES.1);
    let spoken = |port| told.unwrap_or_else(|| Protocol::of(kind.unwrap_or_default(), port));
    let ports = ports.map(|ports| ports.into_iter().map(|port| (port, spoken(port))));
    let ports: Option<Vec<_>> = ports.map(Iterator::collect);
    let speaks = |wanted| {
        ports
            .iter()
            .flatten()
            .any(|(_, protocol)| *protocol == wanted)
    };
    if terminates && !speaks(Protocol::Tls) {
        section.refuse(
            "tls",
            Problem::Malformed("\"pass\", where no port speaks \"tls\""),
        );
    }
    if tls && !terminates && !speaks(Protocol::Http) {
        let accepted = "false, where the front passes on what clients speak; true with tls = \
                        \"terminate\" or protocol = \"http\"";
        section.refuse("connectTls", Problem::Malformed(accepted));
    }
    let (address, port) = server?;
    Some(ServiceFront {
        ports: ports?,
        terminates,
        idle: minutes.map(|minutes| Duration::from_secs(u64::from(minutes) * 60)),
        backend: Backend {
            address,
            port,
            namespace,
            proxy_protocol,
            tls,
        },
    })
}

/// Reads the address of a server, with a port or without.
pub(super) fn server(text: &str) -> Option<(IpAddr, Option<u16>)> {
    let address = text.parse::<IpAddr>().ok().map(|address| (address, None));
    address.or_else(|| {
        let server: SocketAddr = text.parse().ok()?;
        (server.port() > 0).then(|| (server.ip(), Some(server.port())))
    })
}

/// Refuses fronts between which a call could not be told apart: at one address and port they speak
/// one protocol, and one in which the client says whom it calls. Refuses those that lead to Postern itself.
pub(super) fn check(model: &Model, errors: &Errors) {
    for (at, service) in model.services.iter().enumerate() {
        if let Some(own) = service
            .front
            .as_ref()
            .and_then(|front| own_server(model, front))
        {
            let key = format!("service[{at}].front.connect");
            let value = service.front.as_ref().map(|front| front.backend.address);
            let value = value.map(|address| format!("\"{address}\""));
            errors.add(key, value, Problem::OwnServer(own));
        }
        let before = model.services.iter().take(at);
        let shared = before.flat_map(|other| shared(service, other).map(move |port| (other, port)));
        for (other, port) in shared {
            let key = format!("service[{at}].front.ports");
            let problem = Problem::FrontShared {
                other: other.name.clone(),
                address: service.address,
            };
            errors.add(key, Some(port.to_string()), problem);
        }
    }
}

/// Returns what of Postern's own a front leads to, if it does: a caller would come to the API as somebody
/// of this host, to the platform of the host's own host, or round and round.
fn own_server(model: &Model, front: &ServiceFront) -> Option<&'static str> {
    let backend = &front.backend;
    let address = backend.address.to_canonical();
    let called = front.ports.iter().map(|(port, _)| *port);
    let ports: Vec<u16> = match backend.port {
        Some(port) => vec![port],
        None => called.collect(),
    };
    let is_any_own = address.is_loopback() || address.is_unspecified();
    let platform = PLATFORM_HOSTS.iter().copied().flatten();
    if platform
        .map(|host| IpAddr::V4(host.addr()))
        .any(|host| host == address)
    {
        return Some("it is an address of the platform");
    }
    let Some(namespace) = &backend.namespace else {
        let listen = model
            .api
            .listen
            .filter(|listen| ports.contains(&listen.port()))?;
        let own = listen.ip().to_canonical();
        let is_it = own == address
            || (own.is_unspecified() && is_any_own)
            || (own.is_loopback() && address.is_unspecified());
        return is_it.then_some("the API listens there");
    };
    let mut services = model.services.iter();
    let is_front = services.any(|service| {
        let listens = |front: &ServiceFront| ports.iter().any(|it| front.protocol(*it).is_some());
        service.device.namespace == *namespace
            && service.front.as_ref().is_some_and(listens)
            && (is_any_own || IpAddr::V4(service.address) == address)
    });
    is_front.then_some("a front listens there")
}

/// Returns the ports at which two services cannot both be.
fn shared<'s>(
    one: &'s ServiceInstance,
    other: &'s ServiceInstance,
) -> impl Iterator<Item = u16> + 's {
    let is_one_place =
        one.address == other.address && one.device.namespace == other.device.namespace;
    let ports = one
        .front
        .iter()
        .filter(move |_| is_one_place)
        .flat_map(|front| &front.ports);
    ports.filter_map(|(port, spoken)| {
        let theirs = other.front.as_ref()?.protocol(*port)?;
        (theirs != *spoken || !spoken.names_the_called()).then_some(*port)
    })
}
