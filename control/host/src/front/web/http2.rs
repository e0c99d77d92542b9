//! HTTP/2 with a client: its requests, each judged, over connections of their own to backends.
//!
//! A backend is spoken to in HTTP/1.1, one request at a time on a connection, of which a client has
//! a few; or in HTTP/2, where it agrees on that inside TLS, and for gRPC, which knows nothing else.
//! `hyper` reads and writes the messages, so that nothing of a request's form goes through.

use super::judge::{Case, Court, Verdict};
use crate::front::activity::Watched;
use crate::front::backend::{self, Stream};
use crate::front::http::Head;
use crate::front::refusal::reply::Reply;
use crate::front::refuse::http2::{builder, forget};
use http_body_util::{Either, Full};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::{http1, http2};
use hyper::header::{COOKIE, HOST, HeaderMap, HeaderName, HeaderValue};
use hyper::service::service_fn;
use hyper::{Request, Response, Uri, Version};
use hyper_util::rt::{TokioExecutor, TokioIo};
use std::convert::Infallible;
use std::io;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tracing::debug;

type Answer = Response<Either<Incoming, Full<Bytes>>>;

/// The most connections that one client has to backends at once.
const MOST: usize = 16;

/// Serves requests until the connection ends.
pub(super) async fn serve<S>(court: &Arc<Court>, stream: Watched<S>)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let backends = Arc::new(Backends {
        court: Arc::clone(court),
        own: Arc::new(Semaphore::new(MOST)),
        waiting: Mutex::default(),
        shared: Mutex::default(),
    });
    let service = service_fn(move |request| {
        let backends = Arc::clone(&backends);
        async move { Ok::<_, Infallible>(answer(&backends, request).await) }
    });
    let mut connection = pin!(builder().serve_connection(TokioIo::new(stream), service));
    let gone = async {
        match &court.tls {
            None => std::future::pending().await,
            Some((door, _)) => {
                let mut gone = court.shared.desk(&door.name).gone.subscribe();
                // Its owner going is an end as well.
                let _ = gone.wait_for(|is_gone| *is_gone).await;
            }
        }
    };
    tokio::select! {
        ended = connection.as_mut() => {
            if let Err(error) = ended {
                debug!(%error, "a connection of HTTP/2 broke");
            }
        }
        () = court.place.activity.idle(court.idle) => {
            connection.as_mut().graceful_shutdown();
            let _ = timeout(court.shared.limits.refusal, connection).await;
        }
        () = gone => {}
    }
}

/// Answers a request, by a backend or by what is refused.
async fn answer(backends: &Arc<Backends>, request: Request<Incoming>) -> Answer {
    let court = &backends.court;
    let head = match Head::judged(&request) {
        Ok(head) => head,
        Err(error) => {
            let reply = court.unreadable(error);
            return refused(court, &reply, request);
        }
    };
    match court.judge(&head) {
        Verdict::Answer(reply) => refused(court, &reply, request),
        Verdict::Forward(case) => match backends.forward(&case, &head, request).await {
            Ok(answer) => answer.map(Either::Left),
            Err(error) => {
                debug!(resource = %case.door.name, %error, "the backend does not answer");
                let reply = court.unavailable(&case, &head);
                reply.response(head.method == "HEAD").map(Either::Right)
            }
        },
    }
}

fn refused(court: &Court, reply: &Reply, request: Request<Incoming>) -> Answer {
    let is_head = request.method() == hyper::Method::HEAD;
    forget(
        request.into_body(),
        court.shared.limits.drain,
        Arc::default(),
    );
    reply.response(is_head).map(Either::Right)
}

/// The connections to backends for one client.
struct Backends {
    court: Arc<Court>,
    /// Places for connections of this client.
    own: Arc<Semaphore>,
    /// Connections of HTTP/1 on which nothing is asked, by the name of the resource.
    waiting: Mutex<Vec<(String, http1::SendRequest<Incoming>)>>,
    /// Connections of HTTP/2, by the name of the resource.
    shared: Mutex<Vec<(String, http2::SendRequest<Incoming>)>>,
}

/// A connection to a backend that was just made.
enum Made {
    Http1(http1::SendRequest<Incoming>),
    Http2(http2::SendRequest<Incoming>),
}

impl Backends {
    /// Passes a request on, and returns the answer.
    async fn forward(
        self: &Arc<Self>,
        case: &Case,
        head: &Head,
        request: Request<Incoming>,
    ) -> io::Result<Response<Incoming>> {
        let name = &case.door.name;
        let request = match head.host {
            Some(_) => request,
            None => with_name(request, &case.door.host)?,
        };
        if let Some(mut sender) = self.shared(name) {
            let request = for_http2(request, case.door.front.backend.tls)?;
            return sender.send_request(request).await.map_err(io::Error::other);
        }
        // A request waits here for its turn; how long a client waits is its own affair.
        let own = Arc::clone(&self.own).acquire_owned().await;
        let own = own.map_err(io::Error::other)?;
        let all = Arc::clone(&self.court.shared.streams).acquire_owned().await;
        let all = all.map_err(io::Error::other)?;
        let made = match self.waiting(name) {
            Some(sender) => Made::Http1(sender),
            None => {
                let connect = self.connect(case, head.is_grpc);
                timeout(self.court.shared.limits.connect, connect).await??
            }
        };
        match made {
            Made::Http1(mut sender) => {
                let request = for_http1(request)?;
                let answer = sender
                    .send_request(request)
                    .await
                    .map_err(io::Error::other)?;
                let (backends, name) = (Arc::downgrade(self), name.clone());
                tokio::spawn(async move {
                    let is_ready = sender.ready().await.is_ok();
                    if let Some(backends) = backends.upgrade().filter(|_| is_ready) {
                        lock(&backends.waiting).push((name, sender));
                    }
                    drop((own, all));
                });
                Ok(plain(answer))
            }
            Made::Http2(mut sender) => {
                lock(&self.shared).push((name.clone(), sender.clone()));
                let request = for_http2(request, case.door.front.backend.tls)?;
                sender.send_request(request).await.map_err(io::Error::other)
            }
        }
    }

    /// Returns a connection of HTTP/2 that is there.
    fn shared(&self, name: &str) -> Option<http2::SendRequest<Incoming>> {
        let mut shared = lock(&self.shared);
        shared.retain(|(_, sender)| !sender.is_closed());
        let found = shared.iter().find(|(own, _)| own == name);
        found.map(|(_, sender)| sender.clone())
    }

    /// Returns a connection of HTTP/1 on which nothing is asked.
    fn waiting(&self, name: &str) -> Option<http1::SendRequest<Incoming>> {
        let mut waiting = lock(&self.waiting);
        waiting.retain(|(_, sender)| sender.is_ready());
        let at = waiting.iter().position(|(own, _)| own == name)?;
        Some(waiting.swap_remove(at).1)
    }

    async fn connect(&self, case: &Case, is_grpc: bool) -> io::Result<Made> {
        let court = &self.court;
        let offered: &[&str] = if is_grpc {
            &["h2"]
        } else {
            &["h2", "http/1.1"]
        };
        let certificates = &court.shared.certificates;
        let stream = backend::open(&case.door, &court.ends, certificates, offered).await?;
        let is_http2 = stream.is_http2() || (is_grpc && matches!(stream, Stream::Clear(_)));
        let stream = TokioIo::new(stream);
        if is_http2 {
            let made = http2::Builder::new(TokioExecutor::new())
                .handshake(stream)
                .await;
            let (sender, connection) = made.map_err(io::Error::other)?;
            tokio::spawn(connection);
            return Ok(Made::Http2(sender));
        }
        let made = http1::Builder::new().handshake(stream).await;
        let (sender, connection) = made.map_err(io::Error::other)?;
        tokio::spawn(connection);
        Ok(Made::Http1(sender))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Returns a request that calls an address with the name that it was judged by, as in HTTP/1.
fn with_name(request: Request<Incoming>, host: &str) -> io::Result<Request<Incoming>> {
    let (mut parts, body) = request.into_parts();
    let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
    parts.uri = path.parse::<Uri>().map_err(io::Error::other)?;
    let host = HeaderValue::try_from(host).map_err(io::Error::other)?;
    parts.headers.insert(HOST, host);
    Ok(Request::from_parts(parts, body))
}

/// Returns a request as HTTP/1.1 has it: a path, the host in its field, and no fields of HTTP/2.
fn for_http1(request: Request<Incoming>) -> io::Result<Request<Incoming>> {
    let (mut parts, body) = request.into_parts();
    if let Some(authority) = parts.uri.authority() {
        let host = HeaderValue::try_from(authority.as_str()).map_err(io::Error::other)?;
        parts.headers.insert(HOST, host);
    }
    let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
    parts.uri = path.parse::<Uri>().map_err(io::Error::other)?;
    parts.version = Version::HTTP_11;
    parts.headers.remove("te");
    join_cookies(&mut parts.headers);
    Ok(Request::from_parts(parts, body))
}

/// Returns a request as HTTP/2 has it.
fn for_http2(request: Request<Incoming>, is_tls: bool) -> io::Result<Request<Incoming>> {
    let (mut parts, body) = request.into_parts();
    let host = parts.headers.remove(HOST);
    let mut uri = parts.uri.into_parts();
    if uri.authority.is_none() {
        let host = host.ok_or(io::Error::from(io::ErrorKind::InvalidInput))?;
        uri.authority = Some(host.as_bytes().try_into().map_err(io::Error::other)?);
    }
    let scheme = if is_tls { "https" } else { "http" };
    uri.scheme = scheme.parse().ok();
    parts.uri = Uri::from_parts(uri).map_err(io::Error::other)?;
    parts.version = Version::HTTP_2;
    Ok(Request::from_parts(parts, body))
}

/// Makes one field of cookies, which HTTP/2 may send in several (RFC 9113, 8.2.3).
fn join_cookies(fields: &mut HeaderMap) {
    let cookies: Vec<&[u8]> = fields
        .get_all(COOKIE)
        .iter()
        .map(HeaderValue::as_bytes)
        .collect();
    if cookies.len() > 1
        && let Ok(joined) = HeaderValue::from_bytes(&cookies.join(&b"; "[..]))
    {
        fields.insert(COOKIE, joined);
    }
}

/// Returns an answer of HTTP/1.1 without what was only about its connection (RFC 9110, 7.6.1).
fn plain(mut answer: Response<Incoming>) -> Response<Incoming> {
    let fields = answer.headers_mut();
    let named: Vec<HeaderName> = fields
        .get_all("connection")
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    for name in named {
        fields.remove(name);
    }
    for name in [
        "connection",
        "keep-alive",
        "proxy-connection",
        "transfer-encoding",
        "upgrade",
    ] {
        fields.remove(name);
    }
    answer
}
