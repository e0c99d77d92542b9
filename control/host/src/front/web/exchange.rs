//! One request and its answer on their way between a client and a backend.

use crate::front::counters::Desk;
use crate::front::http::{BadBody, Body, response};
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// What is held of one direction at most.
const PIECE: usize = 16 * 1024;

/// What the answer to a request may be.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked {
    pub(super) is_head: bool,
    pub(super) is_1_0: bool,
    pub(super) web_socket: bool,
}

/// How an answer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Answered {
    /// The backend ends the connection with it.
    pub(super) closes: bool,
    /// The connection is a WebSocket from here on.
    pub(super) upgraded: bool,
}

/// Who broke an exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Broken {
    /// The client is gone.
    Client,
    /// The client sends a body that cannot be read.
    Body,
    /// The backend is gone, or what it says is no answer.
    Backend,
}

impl From<BadBody> for Broken {
    fn from(_: BadBody) -> Self {
        Self::Body
    }
}

/// Reads more of a connection; an end is an error.
pub(super) async fn more<R: AsyncRead + Unpin>(
    from: &mut R,
    bytes: &mut Vec<u8>,
) -> io::Result<()> {
    bytes.reserve(PIECE);
    match from.read_buf(bytes).await? {
        0 => Err(io::ErrorKind::UnexpectedEof.into()),
        _ => Ok(()),
    }
}

/// Sends a request: its head, and its body as it comes.
pub(super) async fn upload<R, W>(
    (client, bytes): (&mut R, &mut Vec<u8>),
    backend: &mut W,
    head: &[u8],
    mut body: Body,
    desk: &Desk,
) -> Result<(), Broken>
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    let lost = |_| Broken::Backend;
    backend.write_all(head).await.map_err(lost)?;
    desk.to_backend.add(head.len() as u64);
    while !body.is_done() {
        if bytes.is_empty() {
            backend.flush().await.map_err(lost)?;
            more(client, bytes).await.map_err(|_| Broken::Client)?;
        }
        let count = body.take(bytes)?;
        let piece = bytes.get(..count).unwrap_or_default();
        backend.write_all(piece).await.map_err(lost)?;
        desk.to_backend.add(count as u64);
        bytes.drain(..count);
    }
    backend.flush().await.map_err(lost)
}

/// Passes on the answers to a request until the last; `begun` tells whether the client has heard
/// any of it.
pub(super) async fn download<R, W>(
    (backend, bytes): (&mut R, &mut Vec<u8>),
    client: &mut W,
    asked: Asked,
    desk: &Desk,
    begun: &AtomicBool,
) -> Result<Answered, Broken>
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    const SWITCHING_PROTOCOLS: u16 = 101;
    const FIRST_FINAL: u16 = 200;
    let lost = |_| Broken::Client;
    loop {
        let answer = loop {
            match response(bytes, asked.is_head).map_err(|_| Broken::Backend)? {
                Some(answer) => break answer,
                None => more(backend, bytes).await.map_err(|_| Broken::Backend)?,
            }
        };
        let upgraded = answer.status == SWITCHING_PROTOCOLS;
        if upgraded && !asked.web_socket {
            return Err(Broken::Backend);
        }
        let head: Vec<u8> = bytes.drain(..answer.length).collect();
        let is_final = answer.status >= FIRST_FINAL || upgraded;
        if is_final || !asked.is_1_0 {
            begun.store(true, Ordering::Relaxed);
            client.write_all(&head).await.map_err(lost)?;
            desk.to_client.add(head.len() as u64);
        }
        if !is_final {
            client.flush().await.map_err(lost)?;
            continue;
        }
        let mut body = Body::new(answer.body);
        while !body.is_done() {
            if bytes.is_empty() {
                client.flush().await.map_err(lost)?;
                if more(backend, bytes).await.is_err() {
                    if body.ends_with_connection() {
                        break;
                    }
                    return Err(Broken::Backend);
                }
            }
            let count = body.take(bytes).map_err(|_| Broken::Backend)?;
            let piece = bytes.get(..count).unwrap_or_default();
            client.write_all(piece).await.map_err(lost)?;
            desk.to_client.add(count as u64);
            bytes.drain(..count);
        }
        client.flush().await.map_err(lost)?;
        return Ok(Answered {
            closes: answer.closes && !upgraded,
            upgraded,
        });
    }
}
