//! HTTP/1 with a client: one request after the other, each judged, each passed on to its backend.
//!
//! Requests and answers go on as they came; what the front reads of them is where they end. A
//! request that cannot be read, or is refused, ends the connection with its answer, so that nothing
//! after it is taken for anything.

use super::exchange::{Answered, Asked, Broken, download, more, upload};
use super::judge::{Case, Court, Verdict};
use crate::front::backend::{self, Stream};
use crate::front::http::{Body, HeadError, HeadReader, Request, Upgrade};
use crate::front::refusal::bad_request;
use crate::front::refusal::reply::Reply;
use futures_util::FutureExt;
use std::io;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::SystemTime;
use tokio::io::{
    AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadHalf, WriteHalf,
    copy_bidirectional_with_sizes, join, split,
};
use tokio::time::{Instant, timeout, timeout_at};
use tracing::debug;

/// How a connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// Everything was said.
    Done,
    /// Everything was said, and the client may still send.
    Drain,
    /// Something is missing.
    Reset,
}

/// One side of a connection.
struct Side<S> {
    read: ReadHalf<S>,
    write: WriteHalf<S>,
    /// What was read and not used yet.
    bytes: Vec<u8>,
}

impl<S: AsyncRead + AsyncWrite> Side<S> {
    fn new(stream: S, bytes: Vec<u8>) -> Self {
        let (read, write) = split(stream);
        Self { read, write, bytes }
    }
}

/// A client and the backend of its last request.
struct Session<'c, S> {
    court: &'c Court,
    client: Side<S>,
    backend: Option<(Case, Side<Stream>)>,
}

/// Serves requests until the connection ends; the first has to come before `deadline`, and `bytes`
/// have been read of it.
pub(super) async fn serve<S>(
    court: &Court,
    client: S,
    bytes: Vec<u8>,
    deadline: Instant,
) -> (S, End)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut session = Session {
        court,
        client: Side::new(client, bytes),
        backend: None,
    };
    let end = session.run(deadline).await;
    if end != End::Reset {
        // The end is told inside TLS too.
        let told = session.client.write.shutdown();
        let _ = timeout(court.shared.limits.refusal, told).await;
    }
    let Side { read, write, .. } = session.client;
    (read.unsplit(write), end)
}

impl<S: AsyncRead + AsyncWrite + Unpin> Session<'_, S> {
    async fn run(&mut self, deadline: Instant) -> End {
        let mut deadline = Some(deadline);
        loop {
            let request = match self.next(deadline.take()).await {
                Ok(request) => request,
                Err(end) => return end,
            };
            let case = match self.court.judge(&request.head) {
                Verdict::Forward(case) => case,
                Verdict::Answer(reply) => return self.tell(&reply, &request).await,
            };
            if let Err(error) = self.reach(&case).await {
                debug!(resource = %case.door.name, %error, "the backend does not answer");
                let reply = self.court.unavailable(&case, &request.head);
                return self.tell(&reply, &request).await;
            }
            if let Some(end) = self.exchange(&case, &request).await {
                return end;
            }
        }
    }

    /// Reads the next request.
    async fn next(&mut self, deadline: Option<Instant>) -> Result<Request, End> {
        let is_first = deadline.is_some();
        if !is_first && self.client.bytes.is_empty() {
            self.wait().await?;
        }
        let now = Instant::now();
        let usual = now.checked_add(self.court.shared.limits.opening);
        let deadline = deadline.or(usual).unwrap_or(now);
        let counters = &self.court.counters;
        match timeout_at(deadline, head(&mut self.client)).await {
            Err(_) => {
                counters.timed_out.count();
                Err(End::Done)
            }
            Ok(Err(Unread::HungUp)) => {
                if is_first {
                    counters.hung_up.count();
                }
                Err(End::Done)
            }
            Ok(Err(Unread::Bad(error))) => {
                let reply = self.court.unreadable(error);
                Err(self.tell(&reply, &Request::default()).await)
            }
            Ok(Ok(request)) => Ok(request),
        }
    }

    /// Waits until the client sends more. The end of the backend is the end of both: it may have
    /// gone away between two requests, as it could without a front.
    async fn wait(&mut self) -> Result<(), End> {
        let idle = self.court.place.activity.idle(self.court.idle);
        let Some((case, backend)) = &mut self.backend else {
            tokio::select! {
                read = more(&mut self.client.read, &mut self.client.bytes) => {
                    return read.map_err(|_| End::Done);
                }
                () = idle => return Err(End::Done),
            }
        };
        let mut gone = case.desk.gone.subscribe();
        let mut byte = [0];
        tokio::select! {
            read = more(&mut self.client.read, &mut self.client.bytes) => {
                read.map_err(|_| End::Done)
            }
            // Nothing was asked: whatever it is, it is no answer.
            _ = backend.read.read(&mut byte) => Err(End::Done),
            _ = gone.wait_for(|is_gone| *is_gone) => Err(End::Reset),
            () = idle => {
                case.desk.idle.count();
                Err(End::Done)
            }
        }
    }

    /// Answers a request, and with that ends the connection.
    async fn tell(&mut self, reply: &Reply, request: &Request) -> End {
        let bytes = reply.encode(SystemTime::now(), request.head.method == "HEAD");
        let tell = async {
            self.client.write.write_all(&bytes).await?;
            self.client.write.flush().await
        };
        match timeout(self.court.shared.limits.refusal, tell).await {
            Ok(Ok(())) => End::Drain,
            _ => End::Reset,
        }
    }

    /// Makes the backend of a door the one that is spoken with.
    async fn reach(&mut self, case: &Case) -> io::Result<()> {
        if let Some((last, side)) = &mut self.backend {
            let is_same = last.door == case.door;
            let mut byte = [0];
            // It may have ended meanwhile, or said what nobody asked.
            let is_quiet =
                side.bytes.is_empty() && side.read.read(&mut byte).now_or_never().is_none();
            if is_same && is_quiet {
                return Ok(());
            }
        }
        self.backend = None;
        let court = self.court;
        let certificates = &court.shared.certificates;
        let open = backend::open(&case.door, &court.ends, certificates, &["http/1.1"]);
        let stream = timeout(court.shared.limits.connect, open).await??;
        self.backend = Some((case.clone(), Side::new(stream, Vec::new())));
        Ok(())
    }

    /// Carries a request and its answer; returns how the connection ends if it does.
    async fn exchange(&mut self, case: &Case, request: &Request) -> Option<End> {
        let (sent, got, begun) = match self.carry(case, request).await {
            Carried::Ended(end) => return Some(end),
            Carried::Answered { sent, got, begun } => (sent, got, begun),
        };
        match got {
            Ok(answered) if answered.upgraded => Some(self.upgraded(case).await),
            // A client that waits for the word to go on may leave its body out, or send it: nobody
            // can know what comes next.
            Ok(answered) if sent != Some(Ok(())) || answered.closes || request.closes => {
                Some(if sent == Some(Ok(())) {
                    End::Done
                } else {
                    End::Drain
                })
            }
            Ok(_) => None,
            Err(Broken::Client) => Some(End::Reset),
            Err(_) if begun => Some(End::Reset),
            Err(Broken::Body) => {
                self.court.counters.malformed.count();
                Some(self.tell(&bad_request("Invalid Request"), request).await)
            }
            Err(Broken::Backend) => {
                let reply = self.court.unavailable(case, &request.head);
                Some(self.tell(&reply, request).await)
            }
        }
    }

    async fn carry(&mut self, case: &Case, request: &Request) -> Carried {
        let Some((_, backend)) = &mut self.backend else {
            return Carried::Ended(End::Reset);
        };
        let client = &mut self.client;
        let host = request.head.host.as_deref().unwrap_or(&case.door.host);
        let head = request.forwarded(&client.bytes, host);
        client.bytes.drain(..request.at.end.min(client.bytes.len()));
        let asked = Asked {
            is_head: request.head.method == "HEAD",
            is_1_0: request.is_1_0,
            web_socket: request.upgrade == Some(Upgrade::WebSocket),
        };
        let begun = AtomicBool::new(false);
        let mut up = pin!(upload(
            (&mut client.read, &mut client.bytes),
            &mut backend.write,
            &head,
            Body::new(request.body),
            &case.desk,
        ));
        let mut down = pin!(download(
            (&mut backend.read, &mut backend.bytes),
            &mut client.write,
            asked,
            &case.desk,
            &begun,
        ));
        self.court.place.activity.touch();
        let mut idle = pin!(self.court.place.activity.idle(self.court.idle));
        let mut gone = case.desk.gone.subscribe();
        let mut gone = pin!(gone.wait_for(|is_gone| *is_gone));
        let (mut sent, mut got) = (None, None);
        loop {
            let goes_on = match (&sent, &got) {
                // An answer that comes before the end of the request: the rest is still passed on,
                // unless nobody wants it.
                (None, Some(Ok(Answered { closes, .. }))) => !request.expects && !*closes,
                (None, None) | (Some(Ok(()) | Err(Broken::Backend)), None) => true,
                _ => false,
            };
            if !goes_on {
                let got = got.unwrap_or_else(|| sent.unwrap_or(Ok(())).and(Err(Broken::Client)));
                return Carried::Answered {
                    sent,
                    got,
                    begun: begun.load(Ordering::Relaxed),
                };
            }
            tokio::select! {
                result = &mut up, if sent.is_none() => sent = Some(result),
                result = &mut down, if got.is_none() => got = Some(result),
                _ = &mut gone => return Carried::Ended(End::Reset),
                () = &mut idle => {
                    case.desk.idle.count();
                    return Carried::Ended(End::Reset);
                }
            }
        }
    }

    /// Passes on what is said over a WebSocket.
    async fn upgraded(&mut self, case: &Case) -> End {
        const BUFFER: usize = 16 * 1024;
        let Some((_, backend)) = &mut self.backend else {
            return End::Reset;
        };
        let client = &mut self.client;
        let first = async {
            backend.write.write_all(&client.bytes).await?;
            client.write.write_all(&backend.bytes).await?;
            client.write.flush().await
        };
        if first.await.is_err() {
            return End::Reset;
        }
        let mut one = join(&mut client.read, &mut client.write);
        let mut other = join(&mut backend.read, &mut backend.write);
        let mut gone = case.desk.gone.subscribe();
        tokio::select! {
            passed = copy_bidirectional_with_sizes(&mut one, &mut other, BUFFER, BUFFER) => {
                match passed {
                    Ok((to_backend, to_client)) => {
                        case.desk.to_backend.add(to_backend);
                        case.desk.to_client.add(to_client);
                        End::Done
                    }
                    Err(_) => End::Reset,
                }
            }
            _ = gone.wait_for(|is_gone| *is_gone) => End::Reset,
            () = self.court.place.activity.idle(self.court.idle) => {
                case.desk.idle.count();
                End::Reset
            }
        }
    }
}

/// How far a request and its answer came.
enum Carried {
    Ended(End),
    Answered {
        sent: Option<Result<(), Broken>>,
        got: Result<Answered, Broken>,
        begun: bool,
    },
}

/// Why there is no request.
enum Unread {
    HungUp,
    Bad(HeadError),
}

async fn head<S>(client: &mut Side<S>) -> Result<Request, Unread>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut reader = HeadReader::default();
    loop {
        if let Some(request) = reader.read(&client.bytes).map_err(Unread::Bad)? {
            return Ok(request);
        }
        let read = more(&mut client.read, &mut client.bytes).await;
        read.map_err(|_| Unread::HungUp)?;
    }
}
