//! One connection: lines in, lines out, until the client hangs up.

use super::protocol::{Answer, Fault, FaultCode, MAX_REQUEST, Request, parse};
use super::{Daemon, answer, blocking};
use std::io;
use std::sync::Arc;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tracing::debug;

/// Answers requests one after the other.
pub(super) async fn serve(stream: UnixStream, daemon: Arc<Daemon>) {
    if let Err(error) = converse(stream, &daemon).await {
        debug!(%error, "connection ended");
    }
}

async fn converse(stream: UnixStream, daemon: &Arc<Daemon>) -> io::Result<()> {
    let (reader, mut writer) = stream.into_split();
    let mut reader = BufReader::new(reader);
    let mut line = Vec::new();
    loop {
        line.clear();
        // Two more than allowed: room for the line end, and for the byte that is too many.
        let limit = (MAX_REQUEST as u64).saturating_add(2);
        if (&mut reader)
            .take(limit)
            .read_until(b'\n', &mut line)
            .await?
            == 0
        {
            return Ok(());
        }
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
        writer.write_all(&answer.to_line()).await?;
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
