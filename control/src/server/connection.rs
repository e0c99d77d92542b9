//! One connection: lines in, lines out, until the client hangs up.

use super::protocol::{Answer, Fault, FaultCode, MAX_REQUEST, Request, parse};
use super::{Daemon, answer, blocking};
use crate::api::gate::Place;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::time::timeout;
use tracing::debug;

/// How long a client may take for a line that it has begun.
const LINE_TIME: Duration = Duration::from_secs(30);

/// Answers requests one after the other, until the client hangs up or its place is needed.
pub(super) async fn serve(stream: UnixStream, daemon: Arc<Daemon>, place: Place) {
    place.greeted();
    let ended = tokio::select! {
        ended = converse(stream, &daemon, &place) => ended,
        () = place.taken() => Err(io::Error::other("its place was needed")),
    };
    if let Err(error) = ended {
        debug!(%error, "connection ended");
    }
}

async fn converse(stream: UnixStream, daemon: &Arc<Daemon>, place: &Place) -> io::Result<()> {
    let (reader, mut writer) = stream.into_split();
    let mut reader = BufReader::new(reader);
    let mut line = Vec::new();
    loop {
        line.clear();
        // Two more than allowed: room for the line end, and for the byte that is too many.
        let limit = (MAX_REQUEST as u64).saturating_add(2);
        // Nothing, for as long as nobody else needs the place.
        if reader.fill_buf().await?.is_empty() {
            return Ok(());
        }
        let mut rest = (&mut reader).take(limit);
        timeout(LINE_TIME, rest.read_until(b'\n', &mut line)).await??;
        place.waits();
        let text = line.strip_suffix(b"\n").unwrap_or(&line);
        if text.len() > MAX_REQUEST {
            let message = format!("the request is too long; accepted: {MAX_REQUEST} bytes at most");
            let fault = Fault::new(FaultCode::RequestTooLarge, message);
            // Where the next request begins is not known any more.
            return writer.write_all(&Answer::Error(fault).to_line()).await;
        }
        let (answer, is_end) = match parse(text) {
            Ok(Request::Down) => (answer::down(), true),
            Ok(request) => (ask(daemon, request).await, false),
            Err(fault) => (Answer::Error(fault), false),
        };
        timeout(LINE_TIME, writer.write_all(&answer.to_line())).await??;
        if !is_end {
            place.rests();
        }
        if is_end {
            daemon.down.notify_one();
            // The client sees the end of the connection when the daemon is gone.
            std::future::pending::<()>().await;
        }
    }
}

async fn ask(daemon: &Arc<Daemon>, request: Request) -> Answer {
    let daemon = Arc::clone(daemon);
    match blocking(move || answer::answer(&daemon, request)).await {
        Ok(Ok(value)) => Answer::Result(value),
        Ok(Err(fault)) => Answer::Error(fault),
        Err(error) => Answer::Error(Fault::new(FaultCode::Internal, error.to_string())),
    }
}
