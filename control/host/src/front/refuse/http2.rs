//! Refusing a client of HTTP/2: each of its requests by an answer, then the connection.

use super::Refuser;
use crate::front::activity::{Activity, Watched};
use crate::front::caller::Caller;
use crate::front::drain::Patience;
use crate::front::http::Head;
use crate::front::refusal::{Cause, Dialect, Refusal};
use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Bytes, Incoming};
use hyper::server::conn::http2::Builder;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use std::convert::Infallible;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::Notify;
use tokio::time::error::Elapsed;
use tokio::time::timeout;

/// How long nothing passes before everything was said.
const QUIET: Duration = Duration::from_millis(500);
/// The most requests that a client of HTTP/2 has under way on a connection.
const STREAMS: u32 = 64;
/// How much of a body it may send before that is taken.
const WINDOW: u32 = 64 * 1024;
/// The most bytes of the fields of a request.
const FIELDS: u32 = 16 * 1024;

/// A refusal that outlives the connection's own: each request is answered in a task.
struct Words {
    resource: String,
    host: String,
    caller: Caller,
    cause: Cause,
    at: SystemTime,
    id: u128,
    dialect: Dialect,
    told: AtomicU64,
    first: Notify,
    patience: Patience,
    /// One for each body that is still on its way, and one.
    bodies: Arc<()>,
}

impl Words {
    fn answer(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let count = self.told.fetch_add(1, Ordering::Relaxed);
        let refusal = Refusal {
            resource: &self.resource,
            host: &self.host,
            caller: self.caller,
            cause: self.cause,
            at: self.at,
            id: self.id.wrapping_add(u128::from(count)),
        };
        let head = Head::of(&request);
        let reply = refusal.reply(self.dialect, &head);
        forget(request.into_body(), self.patience, Arc::clone(&self.bodies));
        self.first.notify_one();
        reply.response(head.method == "HEAD")
    }
}

impl Words {
    /// Returns how a connection ended: what breaks when everything was said broke no refusal.
    fn unless_told(&self, ended: hyper::Result<()>) -> io::Result<()> {
        match ended {
            Err(_) if self.told.load(Ordering::Relaxed) > 0 => Ok(()),
            ended => ended.map_err(io::Error::other),
        }
    }
}

/// Reads and forgets a body beside its answer: a client that still sends may look at the answer only
/// when it has sent everything, and takes a stream that ends early for broken. `mark` is dropped at
/// the end.
pub(in crate::front) fn forget(mut body: Incoming, patience: Patience, mark: Arc<()>) {
    if body.is_end_stream() {
        return;
    }
    tokio::spawn(timeout(patience.time, async move {
        let _mark = mark;
        let mut total = 0_u64;
        while total < patience.bytes {
            match timeout(patience.silence, body.frame()).await {
                Ok(Some(Ok(frame))) => {
                    let count = frame.data_ref().map_or(0, Bytes::len);
                    total = total.saturating_add(count as u64);
                }
                _ => return,
            }
        }
    }));
}

impl Refuser<'_> {
    /// Refuses a client that speaks HTTP/2.
    pub(super) async fn http2<S>(&self, stream: S) -> io::Result<()>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let words = Arc::new(Words {
            resource: self.refusal.resource.to_owned(),
            host: self.refusal.host.to_owned(),
            caller: self.refusal.caller,
            cause: self.refusal.cause,
            at: self.refusal.at,
            id: self.refusal.id,
            dialect: self.dialect,
            told: AtomicU64::new(0),
            first: Notify::new(),
            patience: self.limits.drain,
            bodies: Arc::default(),
        });
        let answered = Arc::clone(&words);
        let service = service_fn(move |request| {
            std::future::ready(Ok::<_, Infallible>(answered.answer(request)))
        });
        let activity = Activity::default();
        let stream = TokioIo::new(Watched::new(stream, activity.clone()));
        let mut connection = pin!(builder().serve_connection(stream, service));
        let heard = async {
            timeout(self.limits.refusal, words.first.notified()).await?;
            // Clients that hear of the end first do not look at the answer any more: it waits until
            // everything was said, by both.
            loop {
                activity.idle(QUIET).await;
                if Arc::strong_count(&words.bodies) == 1 {
                    return Ok::<_, Elapsed>(());
                }
                tokio::time::sleep(QUIET).await;
            }
        };
        tokio::select! {
            // The client has ended, or what it says is no HTTP/2.
            ended = connection.as_mut() => return words.unless_told(ended),
            heard = timeout(self.limits.drain.time, heard) => {
                heard.unwrap_or(Ok(())).map_err(io::Error::from)?;
            }
        }
        connection.as_mut().graceful_shutdown();
        let ended = timeout(self.limits.refusal, connection).await;
        words.unless_told(ended.unwrap_or(Ok(())))
    }
}

/// Returns how HTTP/2 is spoken with clients.
pub(in crate::front) fn builder() -> Builder<TokioExecutor> {
    const MOST_SENT: usize = 64 * 1024;
    const RESETS: usize = 32;
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .max_concurrent_streams(STREAMS)
        .initial_stream_window_size(WINDOW)
        .initial_connection_window_size(WINDOW.saturating_mul(4))
        .max_header_list_size(FIELDS)
        .max_send_buf_size(MOST_SENT)
        .max_pending_accept_reset_streams(RESETS);
    builder
}
