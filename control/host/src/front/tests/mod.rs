//! Whole fronts over loopback, without privileges: real sockets, real TLS, real backends.
//!
//! Callers are told apart by their loopback address: 127.0.0.1 is a public caller whom the rules of
//! `contoso` allow, 127.0.0.2 one whom those of `fabrikam` allow, and 127.0.0.3 stands for a
//! workload of a subnet, whom nobody allows.

mod allowed;
mod dialects;
mod hostile;
mod policy;
mod refused;
mod requests;
mod terminated;
mod uploads;

use super::ca::{Issued, tests::Scratch};
use super::caller::tests::subnet_caller;
use super::door::tests::door;
use super::door::{Door, Judge};
use super::protocol::Protocol;
use super::*;
use crate::front::caller::Caller;
use postern_dataplane::identity::BadIdentity;
use postern_dataplane::policy::{
    Access, AccessRule, AccessRuleId, AccessTable, AddrSet, NetworkRules, Refusal, Resource,
    ResourceId, ServiceId, Who,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio_rustls::client::TlsStream;
use tokio_rustls::{TlsAcceptor, TlsConnector};

const ALLOWED: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 1);
const OTHER: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);
const SUBNET: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 3);
const CONTOSO: &str = "contoso.blob.core.windows.net";
const FABRIKAM: &str = "fabrikam.blob.core.windows.net";
const PATIENCE: Duration = Duration::from_secs(20);

/// Reads ends as the module says.
fn ends(peer: SocketAddr, local: SocketAddr) -> Result<Ends, BadIdentity> {
    let mut ends = Ends::of(peer, local)?;
    if ends.caller == Caller::Public(SUBNET) {
        ends.caller = subnet_caller();
    }
    Ok(ends)
}

/// A front with two resources on one port.
struct Scene {
    front: Front,
    ca: Arc<LocalCa>,
    address: SocketAddr,
    _scratch: Scratch,
}

/// What a scene is made of.
struct Plan {
    protocol: Protocol,
    backend: SocketAddr,
    limits: Limits,
    proxy_protocol: bool,
}

impl Plan {
    fn new(protocol: Protocol, backend: SocketAddr) -> Self {
        Self {
            protocol,
            backend,
            limits: Limits::default(),
            proxy_protocol: false,
        }
    }
}

fn here() -> NamespaceRef {
    "/proc/self/ns/net".parse().unwrap()
}

/// Returns the two doors of a plan; where the client names nobody, `contoso` alone is there.
fn doors(plan: &Plan, port: u16) -> Vec<Door> {
    let make = |(name, id)| {
        let mut door = door(name, id, ALLOWED);
        door.namespace = here();
        door.front.ports = vec![(port, plan.protocol)];
        door.front.backend.address = plan.backend.ip();
        door.front.backend.port = Some(plan.backend.port());
        door.front.backend.proxy_protocol = plan.proxy_protocol;
        door
    };
    let count = if plan.protocol.names_the_called() {
        2
    } else {
        1
    };
    [("contoso", 1), ("fabrikam", 2)]
        .map(make)
        .into_iter()
        .take(count)
        .collect()
}

/// Returns the judge that lets in one address for each resource, as rules `office` and `plant`.
fn judge(contoso: Ipv4Addr, fabrikam: Ipv4Addr) -> Judge {
    let resource = |id, address: Ipv4Addr| {
        let prefix = ipnet::Ipv4Net::from(address);
        let rules = NetworkRules {
            rules: vec![AccessRule {
                id: AccessRuleId(id),
                who: Who::Addresses(Arc::new(AddrSet::from_prefixes([prefix]))),
                access: Access::Allow,
            }],
            otherwise: Access::Deny,
            ..NetworkRules::default()
        };
        let resource = Resource {
            service: ServiceId(0),
            address: ALLOWED,
            rules,
            has_front: true,
            refusal: Refusal::default(),
        };
        (ResourceId(id), resource)
    };
    let identity = match subnet_caller() {
        Caller::Subnet { identity, .. } => identity,
        Caller::Public(_) => unreachable!(),
    };
    Judge {
        table: Arc::new(AccessTable::new(
            [resource(1, contoso), resource(2, fabrikam)],
            [],
        )),
        rules: [(1, "office"), (2, "plant")]
            .map(|(id, name)| (AccessRuleId(id), name.to_owned()))
            .into(),
        subnets: [((identity.vnet, identity.subnet), "VNet1/subnet1".to_owned())].into(),
    }
}

impl Scene {
    fn new(plan: &Plan) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let scratch = Scratch::new(&format!("front-{count}"));
        let ca = Arc::new(LocalCa::open(&scratch.0).unwrap());
        let mut front = Front::start(Arc::clone(&ca), plan.limits).unwrap();
        let socket = std::net::TcpListener::bind((ALLOWED, 0)).unwrap();
        socket.set_nonblocking(true).unwrap();
        let address = socket.local_addr().unwrap();
        let place = place(&here()).unwrap();
        front.serve(place, address.port(), socket, ends).unwrap();
        let mut scene = Self {
            front,
            ca,
            address,
            _scratch: scratch,
        };
        scene.apply(doors(plan, address.port()), judge(ALLOWED, OTHER));
        scene
    }

    fn apply(&mut self, doors: Vec<Door>, judge: Judge) {
        let doors = Doors::new(doors, judge);
        self.front.commit(Prepared::default(), doors).unwrap();
    }

    async fn call(&self, from: Ipv4Addr) -> TcpStream {
        self.try_call(from).await.unwrap()
    }

    async fn try_call(&self, from: Ipv4Addr) -> io::Result<TcpStream> {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind((from, 0).into()).unwrap();
        socket.connect(self.address).await
    }

    async fn call_tls(&self, from: Ipv4Addr, name: &'static str) -> TlsStream<TcpStream> {
        let stream = self.call(from).await;
        tls(&self.ca, stream, name, "http/1.1").await.unwrap()
    }

    fn counters(&self) -> Arc<ListenerCounters> {
        Arc::clone(&self.front.listeners()[0].counters)
    }
}

/// Shakes hands as a client that trusts the authority and nobody else.
async fn tls<S>(
    ca: &LocalCa,
    stream: S,
    name: &'static str,
    inside: &str,
) -> io::Result<TlsStream<S>>
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
{
    tls_offering(ca, stream, name, &["h2", inside]).await
}

/// Shakes hands as a client that offers these protocols.
async fn tls_offering<S>(
    ca: &LocalCa,
    stream: S,
    name: &'static str,
    offered: &[&str],
) -> io::Result<TlsStream<S>>
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
{
    let config = ca.client(offered).unwrap();
    let name = ServerName::try_from(name).unwrap();
    TlsConnector::from(Arc::new(config))
        .connect(name, stream)
        .await
}

/// Returns a TLS server's side with a certificate by the authority.
fn acceptor(issued: &Issued) -> TlsAcceptor {
    let chain = CertificateDer::pem_slice_iter(issued.certificate.as_bytes());
    let chain = chain.collect::<Result<Vec<_>, _>>().unwrap();
    let key = PrivateKeyDer::from_pem_slice(issued.key.as_bytes()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    TlsAcceptor::from(Arc::new(config))
}

/// A listener for a backend.
async fn backend() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind((ALLOWED, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

/// A backend that sends everything back, for ever.
async fn echo() -> SocketAddr {
    let (listener, address) = backend().await;
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            tokio::spawn(async move {
                let (mut from, mut to) = stream.split();
                let _ = tokio::io::copy(&mut from, &mut to).await;
                let _ = to.shutdown().await;
            });
        }
    });
    address
}

/// Returns the answer of [`http_echo`] to a request.
fn echoed(request: &str) -> String {
    format!(
        "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{request}",
        request.len()
    )
}

/// A backend of HTTP/1.1 that answers each request with its own bytes, those of its body included.
async fn http_echo() -> SocketAddr {
    let (listener, address) = backend().await;
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            tokio::spawn(echo_requests(stream));
        }
    });
    address
}

/// Answers requests that come over a stream, as [`http_echo`] does.
async fn echo_requests<S>(mut stream: S)
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
{
    let mut bytes = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let head = text.find("\r\n\r\n").map(|end| end + 4);
        let whole = head.and_then(|head| {
            let fields = text[..head].to_ascii_lowercase();
            let length = fields.split("content-length: ").nth(1);
            let length = length.map_or(0, |length| {
                length.lines().next().unwrap().parse::<usize>().unwrap()
            });
            let chunked = fields.contains("transfer-encoding: chunked");
            let end = if chunked {
                head + text[head..].find("0\r\n\r\n")? + 5
            } else {
                head + length
            };
            (bytes.len() >= end).then_some(end)
        });
        let Some(end) = whole else {
            if stream
                .read_buf(&mut bytes)
                .await
                .is_ok_and(|count| count > 0)
            {
                continue;
            }
            return;
        };
        let request: Vec<u8> = bytes.drain(..end).collect();
        let head = format!(
            "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n",
            request.len()
        );
        let mut answer = head.into_bytes();
        if !request.starts_with(b"HEAD ") {
            answer.extend(request);
        }
        if stream.write_all(&answer).await.is_err() {
            return;
        }
        let _ = stream.flush().await;
    }
}

/// Reads exactly so much as is expected, and checks that it is that.
#[track_caller]
fn hears<'s, S>(stream: &'s mut S, expected: &str) -> impl Future<Output = ()> + use<'s, S>
where
    S: tokio::io::AsyncRead + Unpin,
{
    let expected = expected.to_owned();
    let place = std::panic::Location::caller();
    async move {
        let mut heard = vec![0; expected.len()];
        let read = tokio::time::timeout(PATIENCE, stream.read_exact(&mut heard)).await;
        let heard = String::from_utf8_lossy(&heard);
        assert!(
            matches!(read, Ok(Ok(_))),
            "{place}: {read:?} after {heard:?}"
        );
        assert_eq!(heard, expected, "{place}");
    }
}

/// A place where nobody listens.
async fn nobody() -> SocketAddr {
    backend().await.1
}

/// Reads to the end, as far as it comes.
async fn rest<S: tokio::io::AsyncRead + Unpin>(stream: &mut S) -> String {
    let mut bytes = Vec::new();
    let read = stream.read_to_end(&mut bytes);
    let _ = tokio::time::timeout(PATIENCE, read)
        .await
        .expect("an end in time");
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Waits until something holds.
async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < PATIENCE, "{what}: not in {PATIENCE:?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn get(host: &str) -> String {
    format!("GET /c/b HTTP/1.1\r\nHost: {host}\r\n\r\n")
}
