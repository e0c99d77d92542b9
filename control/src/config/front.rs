//! The front of a service.

use super::problem::Problem;
use super::section::{Errors, Section};
use crate::model::{Backend, Model, NamespaceRef, Protocol, ServiceFront, ServiceInstance};
use std::net::{IpAddr, SocketAddr};

const FRONT_KEYS: &[&str] = &["ports", "connect", "namespace", "protocol", "proxyProtocol"];

const PORTS: &str = "a list of 1 to 16 different TCP ports such as [443]";
const CONNECT: &str =
    "the address of a server, with a port or without, such as \"127.0.0.1:10000\"";
const A_NAMESPACE: &str =
    "a namespace: a name without spaces and slashes, an absolute path, or \"pid:N\"";
const A_PROTOCOL: &str = "\"tls\", \"http\", \"postgresql\", \"mysql\" or \"tds\"";
const MOST_PORTS: usize = 16;

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
    let (address, port) = server?;
    let spoken = |port| told.unwrap_or_else(|| Protocol::of(kind.unwrap_or_default(), port));
    Some(ServiceFront {
        ports: ports?
            .into_iter()
            .map(|port| (port, spoken(port)))
            .collect(),
        backend: Backend {
            address,
            port,
            namespace,
            proxy_protocol,
        },
    })
}

fn server(text: &str) -> Option<(IpAddr, Option<u16>)> {
    let address = text.parse::<IpAddr>().ok().map(|address| (address, None));
    address.or_else(|| {
        let server: SocketAddr = text.parse().ok()?;
        (server.port() > 0).then(|| (server.ip(), Some(server.port())))
    })
}

/// Refuses fronts between which a call could not be told apart: at one address and port they speak
/// one protocol, and one in which the client says whom it calls.
pub(super) fn check(model: &Model, errors: &Errors) {
    for (at, service) in model.services.iter().enumerate() {
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
