//! One connection: TLS, HTTP/1.1, requests one after the other.

use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Bytes, Incoming};
use hyper::header::{CONNECTION, CONTENT_LENGTH, HeaderMap, HeaderValue};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::Watcher;
use postern_arm::error::ArmError;
use postern_arm::rest::{Api, Request, Response, Via, too_large};
use std::convert::Infallible;
use std::error::Error;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio_rustls::TlsAcceptor;
use tracing::error;

/// How long a client may take for the handshake, or for a head.
const HEAD_TIME: Duration = Duration::from_secs(20);
/// How long a client may take for a body.
const BODY_TIME: Duration = Duration::from_secs(60);
/// The longest head, in bytes.
const HEAD_BYTES: usize = 64 * 1024;
/// The most headers.
const HEADERS: usize = 100;
/// How much of a body that is too long is read and thrown away, so that the client hears why: one that is
/// cut off while it writes does not read the answer.
const THROWN_AWAY: u64 = 64 * 1024 * 1024;

/// What all connections share.
#[derive(Debug)]
pub(super) struct Limits {
    /// Memory for bodies, in KiB.
    bodies: Semaphore,
    /// Requests that read, at work.
    reads: Semaphore,
    /// Requests that write, at work: they wait for each other anyway, and shall not keep readers out.
    writes: Semaphore,
}

impl Limits {
    /// Connections at a time.
    pub(super) const CONNECTIONS: usize = 256;
    const BODIES: usize = 64 * 1024;
    const READS: usize = 8;
    const WRITES: usize = 2;
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            bodies: Semaphore::new(Self::BODIES),
            reads: Semaphore::new(Self::READS),
            writes: Semaphore::new(Self::WRITES),
        }
    }
}

type Shared = (Arc<Api>, Arc<Limits>);

/// Serves a connection until the client or the daemon ends it.
pub(super) async fn serve(
    stream: TcpStream,
    tls: TlsAcceptor,
    shared: Shared,
    watcher: Watcher,
) -> Result<(), Box<dyn Error + Send + Sync>> {
    stream.set_nodelay(true)?;
    let stream = tokio::time::timeout(HEAD_TIME, tls.accept(stream)).await??;
    let service = service_fn(move |request| {
        let shared = shared.clone();
        async move { Ok::<_, Infallible>(answer(request, &shared).await) }
    });
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIME)
        .max_buf_size(HEAD_BYTES)
        .max_headers(HEADERS)
        .serve_connection(TokioIo::new(stream), service);
    watcher.watch(connection).await?;
    Ok(())
}

async fn answer(
    request: hyper::Request<Incoming>,
    (api, limits): &Shared,
) -> hyper::Response<Full<Bytes>> {
    let (head, body) = request.into_parts();
    let headers = head.headers.iter().filter_map(|(name, value)| {
        Some((name.as_str().to_owned(), value.to_str().ok()?.to_owned()))
    });
    let mut request = Request {
        method: head.method.as_str().to_owned(),
        path: head.uri.path().to_owned(),
        query: head.uri.query().unwrap_or_default().to_owned(),
        headers: headers.collect(),
        body: Vec::new(),
        via: Via::Https,
    };
    let admitted = api.admit(&request);
    let most = *admitted.as_ref().unwrap_or(&0);
    let (_held, body) = match read(body, &head.headers, most, limits).await {
        Ok(read) => read,
        Err(error) => return refuse(&error),
    };
    request.body = match (admitted, body) {
        (Err(refused), _) => return into_http(refused),
        (Ok(_), None) => return refuse(&too_large()),
        (Ok(_), Some(body)) => body,
    };
    let is_write = ["PUT", "PATCH", "DELETE"].contains(&head.method.as_str());
    let queue = if is_write {
        &limits.writes
    } else {
        &limits.reads
    };
    let Ok(_turn) = queue.acquire().await else {
        return refuse(&ArmError::new(
            503,
            "ServiceUnavailable",
            "The API has ended.",
        ));
    };
    let api = Arc::clone(api);
    let handled = tokio::task::spawn_blocking(move || api.handle(&request)).await;
    handled.map_or_else(
        |error| {
            error!(%error, "a request to the API was not answered");
            refuse(&ArmError::new(
                500,
                "InternalServerError",
                "The request failed.",
            ))
        },
        into_http,
    )
}

/// Returns a body with the room that it takes, if it is not longer than `most`; none if it is.
async fn read<'l>(
    body: Incoming,
    headers: &HeaderMap,
    most: usize,
    limits: &'l Limits,
) -> Result<(Option<SemaphorePermit<'l>>, Option<Vec<u8>>), ArmError> {
    let told = headers.get(CONTENT_LENGTH);
    let told = told.and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    let most = u64::try_from(most).unwrap_or(u64::MAX);
    // A body of unknown length may be as long as any.
    let room = told.unwrap_or(if body.is_end_stream() { 0 } else { most });
    let room = u32::try_from(room.min(most).div_ceil(1024)).unwrap_or(u32::MAX);
    let read = async {
        let held = limits.bodies.acquire_many(room).await.ok();
        collect(body, told, most).await.map(|body| (held, body))
    };
    tokio::time::timeout(BODY_TIME, read).await.map_err(|_| {
        let message = "The request content did not arrive in time.";
        ArmError::new(408, "RequestTimeout", message)
    })?
}

/// Reads a body to its end, and returns it if it is not longer than `most`.
async fn collect(
    mut body: Incoming,
    told: Option<u64>,
    most: u64,
) -> Result<Option<Vec<u8>>, ArmError> {
    if told.is_some_and(|told| told > THROWN_AWAY) {
        return Err(too_large());
    }
    let (mut bytes, mut length) = (Vec::new(), 0_u64);
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| broken(&error))?;
        let Ok(data) = frame.into_data() else {
            continue;
        };
        length = length.saturating_add(u64::try_from(data.len()).unwrap_or(u64::MAX));
        if length > THROWN_AWAY {
            return Err(too_large());
        }
        if length > most {
            bytes = Vec::new();
        } else {
            bytes.extend_from_slice(&data);
        }
    }
    Ok((length <= most).then_some(bytes))
}

fn broken(error: &hyper::Error) -> ArmError {
    let message = format!("The request content was invalid: {error}.");
    ArmError::bad_request("InvalidRequestContent", message)
}

/// Returns the answer to a request whose body was not read to its end, after which there is no other.
fn refuse(error: &ArmError) -> hyper::Response<Full<Bytes>> {
    let mut answer = into_http(Response::from(error));
    answer
        .headers_mut()
        .insert(CONNECTION, HeaderValue::from_static("close"));
    answer
}

fn into_http(response: Response) -> hyper::Response<Full<Bytes>> {
    let mut builder = hyper::Response::builder().status(response.status);
    for (name, value) in &response.headers {
        // What a client sent is in some of them; what no header can hold is left out.
        if let Ok(value) = HeaderValue::from_str(value) {
            builder = builder.header(name.as_str(), value);
        }
    }
    builder
        .body(Full::new(Bytes::from(response.body)))
        .unwrap_or_else(|error| {
            error!(%error, "an answer of the API cannot be sent");
            let mut failed = hyper::Response::new(Full::default());
            *failed.status_mut() = hyper::StatusCode::INTERNAL_SERVER_ERROR;
            failed
        })
}
