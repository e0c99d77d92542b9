//! One connection: TLS, HTTP/1.1, requests one after the other.

use super::body;
use super::gate::Place;
use super::pace::Paced;
use super::share::{Shares, busy};
use crate::background::in_background;
use http_body_util::Full;
use hyper::body::{Body, Bytes, Frame, Incoming, SizeHint};
use hyper::header::{CONNECTION, HeaderValue};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::Watcher;
use postern_arm::cancel::Cancel;
use postern_arm::error::ArmError;
use postern_arm::rest::{Api, Lane, Request, Response, Via, too_large};
use std::convert::Infallible;
use std::error::Error;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::sync::OwnedSemaphorePermit;
use tokio_rustls::TlsAcceptor;
use tracing::error;

/// How long a client may take for the handshake.
const HANDSHAKE_TIME: Duration = Duration::from_secs(10);
/// How long a client may take for a head, and so how long a connection may be idle.
const HEAD_TIME: Duration = Duration::from_secs(20);
/// The longest head, in bytes.
const HEAD_BYTES: usize = 64 * 1024;
/// The most headers.
const HEADERS: usize = 100;

/// What a connection needs of all others.
#[derive(Clone)]
pub(super) struct Shared {
    pub(super) api: Arc<Api>,
    pub(super) shares: Arc<Shares>,
    pub(super) place: Arc<Place>,
    /// Where it comes from.
    pub(super) from: IpAddr,
}

/// Serves a connection until the client or the daemon ends it.
pub(super) async fn serve(
    stream: TcpStream,
    tls: TlsAcceptor,
    shared: Shared,
    watcher: Watcher,
) -> Result<(), Box<dyn Error + Send + Sync>> {
    stream.set_nodelay(true)?;
    let place = Arc::clone(&shared.place);
    let served = async {
        let greeted = tls.accept(Paced::new(stream));
        let stream = tokio::time::timeout(HANDSHAKE_TIME, greeted).await??;
        shared.place.greeted();
        let service = service_fn(move |request| {
            let shared = shared.clone();
            async move {
                let answer = answer(request, &shared).await;
                shared.place.rests();
                Ok::<_, Infallible>(answer)
            }
        });
        let connection = hyper::server::conn::http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_TIME)
            .max_buf_size(HEAD_BYTES)
            .max_headers(HEADERS)
            .serve_connection(TokioIo::new(stream), service);
        watcher.watch(connection).await?;
        Ok(())
    };
    tokio::select! {
        served = served => served,
        () = place.taken() => Err("its place was needed".into()),
    }
}

async fn answer(request: hyper::Request<Incoming>, shared: &Shared) -> hyper::Response<Held> {
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
        from: Some(shared.from),
        cancel: Cancel::default(),
    };
    // Dropped with this future, when the client has gone.
    let _waits = request.cancel.on_drop();
    // Rights come before room.
    let admitted = match shared.api.admit(&request) {
        Ok(admitted) => admitted,
        Err(refused) => {
            body::throw_away(body, &head.headers).await;
            return last(into_http(refused));
        }
    };
    if shared.place.sends(admitted.who.as_deref()).is_err() {
        return refuse(&busy());
    }
    let own = shared.shares.of(admitted.who.as_deref());
    let read = body::read(body, &head.headers, admitted.most, &own).await;
    let _room = match read {
        Ok(Some((room, body))) => {
            request.body = body;
            room
        }
        Ok(None) => return refuse(&too_large()),
        Err(error) => return refuse(&error),
    };
    shared.place.waits();
    if let Some(line) = shared.api.line(&request) {
        shared.shares.stand(line).await;
    }
    let api = Arc::clone(&shared.api);
    let (handled, turn) = match Lane::of(&request.method, &request.path) {
        // Templates have turns of the API's own, and take none of those who look and change.
        Lane::Evaluate => {
            let handled = in_background("template", move || api.handle(&request)).await;
            (handled, None)
        }
        Lane::Read | Lane::Write => {
            let Some(turn) = own.turn(admitted.writes).await else {
                return refuse(&ArmError::new(
                    503,
                    "ServiceUnavailable",
                    "The API has ended.",
                ));
            };
            // A change compiles what it touches; the control socket and packets go first.
            let handled = if admitted.writes {
                in_background("change", move || api.handle(&request)).await
            } else {
                let handled = tokio::task::spawn_blocking(move || api.handle(&request)).await;
                handled.map_err(std::io::Error::other)
            };
            (handled, Some(turn))
        }
    };
    let answer = match handled {
        Ok(answer) => answer,
        Err(error) => {
            error!(%error, "a request to the API was not answered");
            return refuse(&ArmError::new(
                500,
                "InternalServerError",
                "The request failed.",
            ));
        }
    };
    // Before the turn ends: until then there are few answers without room.
    let room = own.room_for_answer(answer.body.len()).await;
    drop(turn);
    match room {
        Ok(room) => {
            let mut answer = into_http(answer);
            answer.body_mut().room = Some(room);
            answer
        }
        Err(error) => refuse(&error),
    }
}

/// An answer, and the room that it has until it is sent.
#[derive(Debug, Default)]
struct Held {
    bytes: Full<Bytes>,
    room: Option<OwnedSemaphorePermit>,
}

impl Body for Held {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Pin::new(&mut self.bytes).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.bytes.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.bytes.size_hint()
    }
}

/// Returns the answer to a request whose body was not read to its end, after which there is no other.
fn refuse(error: &ArmError) -> hyper::Response<Held> {
    let mut answer = Response::from(error);
    if error.status == 429 {
        answer = answer.with_header("Retry-After", "1");
    }
    last(into_http(answer))
}

/// Makes an answer the last one of its connection.
fn last(mut answer: hyper::Response<Held>) -> hyper::Response<Held> {
    answer
        .headers_mut()
        .insert(CONNECTION, HeaderValue::from_static("close"));
    answer
}

fn into_http(response: Response) -> hyper::Response<Held> {
    let mut builder = hyper::Response::builder().status(response.status);
    for (name, value) in &response.headers {
        // What a client sent is in some of them; what no header can hold is left out.
        if let Ok(value) = HeaderValue::from_str(value) {
            builder = builder.header(name.as_str(), value);
        }
    }
    builder
        .body(Held {
            bytes: Full::new(Bytes::from(response.body)),
            room: None,
        })
        .unwrap_or_else(|error| {
            error!(%error, "an answer of the API cannot be sent");
            let mut failed = hyper::Response::new(Held::default());
            *failed.status_mut() = hyper::StatusCode::INTERNAL_SERVER_ERROR;
            failed
        })
}
