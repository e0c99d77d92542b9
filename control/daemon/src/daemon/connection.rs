//! One connection: lines in, lines out, until the client hangs up.

use super::{Daemon, answer, blocking};
use crate::background::in_background;
use crate::https::gate::Place;
use crate::protocol::{Answer, Fault, FaultCode, MAX_REQUEST, Request, parse};
use postern_arm::cancel::Cancel;
use postern_arm::rest::Lane;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::time::timeout;
use tracing::debug;

/// How long a client may take for a line that it has begun.
const LINE_TIME: Duration = Duration::from_secs(30);
/// How often it is looked whether the client of a request at work has gone.
const LOOK: Duration = Duration::from_millis(200);

/// Returns whether the client has closed its side for good: one that only writes no more still reads.
fn has_gone(stream: &UnixStream) -> bool {
    let mut polled = [PollFd::new(stream, PollFlags::OUT)];
    let now = Timespec::default();
    let gone = PollFlags::HUP | PollFlags::ERR;
    poll(&mut polled, Some(&now)).is_ok() && polled.iter().any(|fd| fd.revents().intersects(gone))
}

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
            Ok(request) => {
                let stream = reader.get_ref().as_ref();
                (ask(daemon, request, stream).await, false)
            }
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

async fn ask(daemon: &Arc<Daemon>, request: Request, stream: &UnixStream) -> Answer {
    let daemon = Arc::clone(daemon);
    let cancel = Cancel::default();
    let is_template = match &request {
        Request::Arm(asked) => Lane::of(&asked.method, &asked.target) == Lane::Evaluate,
        _ => false,
    };
    let asked = cancel.clone();
    let act = move || answer::answer(&daemon, request, asked);
    let work = async {
        match is_template {
            true => in_background("template", act).await,
            false => blocking(act).await,
        }
    };
    tokio::pin!(work);
    let done = loop {
        tokio::select! {
            done = &mut work => break done,
            () = tokio::time::sleep(LOOK) => {
                if has_gone(stream) {
                    cancel.cancel();
                }
            }
        }
    };
    match done {
        Ok(Ok(value)) => Answer::Result(value),
        Ok(Err(fault)) => Answer::Error(fault),
        Err(error) => Answer::Error(Fault::new(FaultCode::Internal, error.to_string())),
    }
}
