//! Connections whose requests are read: HTTP in the clear, and HTTP inside TLS that the front ends.
//!
//! `judge` decides about each request, `http1` and `http2` carry requests to backends and answers
//! back. `messages` is for what else is inside TLS: AMQP and Kafka, where a connection is one call.

mod exchange;
mod http1;
mod http2;
mod judge;
mod messages;

pub(super) use judge::Court;

use super::activity::Watched;
use super::ca::Inside;
use super::drain::{Patience, drain};
use super::opening::Opening;
use super::places::Phase;
use super::refusal::Dialect;
use super::refuse::{Spoken, spoken};
use super::replay::Replay;
use http1::End;
use std::sync::Arc;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_rustls::TlsAcceptor;
use tracing::debug;

/// Serves HTTP in the clear.
pub(super) async fn clear(court: Court, mut stream: TcpStream) {
    let deadline = deadline(&court);
    let (spoken, bytes) = match timeout_at(deadline, spoken(&mut stream, Dialect::Generic)).await {
        Err(_) => return court.counters.timed_out.count(),
        Ok(Err(_)) => return court.counters.hung_up.count(),
        Ok(Ok(spoken)) => spoken,
    };
    let activity = court.place.activity.clone();
    if spoken == Spoken::Http2 {
        let court = Arc::new(court);
        let mut stream = Replay::new(bytes, stream);
        Box::pin(http2::serve(&court, Watched::new(&mut stream, activity))).await;
        let mut stream = stream.into_inner();
        court.place.turn(Phase::Refused);
        return drain(&mut stream, Patience::BRIEF).await;
    }
    let stream = Watched::new(stream, activity);
    let (stream, end) = Box::pin(http1::serve(&court, stream, bytes, deadline)).await;
    finish(&court, stream.into_inner(), end).await;
}

/// Ends TLS, and serves what is inside.
pub(super) async fn inside_tls(court: Court, stream: TcpStream, opening: Opening) {
    let deadline = deadline(&court);
    let Some((door, name)) = court.tls.as_ref() else {
        return;
    };
    let host = name.as_deref().unwrap_or(&door.host);
    let config = match court.shared.certificates.config(host, Inside::Web) {
        Ok(config) => config,
        Err(error) => return debug!(host, %error, "no certificate"),
    };
    let accept = TlsAcceptor::from(config).accept(Replay::new(opening.bytes, stream));
    let mut tls = match timeout_at(deadline, accept.into_fallible()).await {
        Err(_) => return court.counters.timed_out.count(),
        Ok(Err((error, stream))) => {
            debug!(%error, "no handshake");
            court.counters.malformed.count();
            court.place.turn(Phase::Refused);
            return finish(&court, stream.into_inner(), End::Done).await;
        }
        Ok(Ok(tls)) => tls,
    };
    let activity = court.place.activity.clone();
    let dialect = door.dialect;
    let mut bytes = Vec::new();
    let mut is_http2 = tls.get_ref().1.alpn_protocol() == Some(b"h2");
    if !is_http2 {
        let read = timeout_at(deadline, spoken(&mut tls, dialect)).await;
        match read {
            Err(_) => return court.counters.timed_out.count(),
            Ok(Err(_)) => return court.counters.hung_up.count(),
            Ok(Ok((spoken, read))) => {
                if matches!(spoken, Spoken::Amqp | Spoken::Kafka) {
                    return Box::pin(messages::serve(&court, tls, spoken, read)).await;
                }
                is_http2 = spoken == Spoken::Http2;
                bytes = read;
            }
        }
    }
    if is_http2 {
        let court = Arc::new(court);
        let mut stream = Replay::new(bytes, tls);
        Box::pin(http2::serve(&court, Watched::new(&mut stream, activity))).await;
        court.place.turn(Phase::Refused);
        let mut stream = stream.into_inner().into_inner().0.into_inner();
        return drain(&mut stream, Patience::BRIEF).await;
    }
    let stream = Watched::new(tls, activity);
    let (stream, end) = Box::pin(http1::serve(&court, stream, bytes, deadline)).await;
    let stream = stream.into_inner().into_inner().0.into_inner();
    finish(&court, stream, end).await;
}

fn deadline(court: &Court) -> Instant {
    let now = Instant::now();
    now.checked_add(court.shared.limits.opening).unwrap_or(now)
}

/// Ends a connection as its requests ended.
async fn finish(court: &Court, mut stream: TcpStream, end: End) {
    use tokio::io::AsyncWriteExt;
    let patience = match end {
        End::Reset => {
            let _ = stream.set_zero_linger();
            return;
        }
        End::Done => Patience::BRIEF,
        End::Drain => court.shared.limits.drain,
    };
    court.place.turn(Phase::Refused);
    // Where TLS was ended, this direction is already.
    let _ = timeout(court.shared.limits.refusal, stream.shutdown()).await;
    drain(&mut stream, patience).await;
}
