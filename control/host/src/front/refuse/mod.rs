//! Carrying a refusal to a client, in the protocol that it speaks.
//!
//! Where the client begins TLS, the front ends it here, and looks at what is inside: HTTP of any
//! version, or, at the services of messages, AMQP and Kafka. A refusal leaves the connection open
//! towards the client, so that what it still sends can be drained.

pub mod http2;
mod messages;
mod sql;
pub(super) mod wrapped;

use super::ca::{Certificates, Inside};
use super::drain::finish;
use super::limits::Limits;
use super::opening::{self, Opening, OpeningError, read_more};
use super::protocol::Protocol;
use super::refusal::{Dialect, Refusal, bad_request, mysql, postgresql};
use super::replay::Replay;
use postgresql::Startup;
use std::future::Future;
use std::io;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// How HTTP/2 begins (RFC 9113, 3.4).
pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// What a refusal needs.
#[derive(Clone, Copy, Debug)]
pub struct Refuser<'r> {
    /// The refusal.
    pub refusal: Refusal<'r>,
    /// The service's words.
    pub dialect: Dialect,
    /// Certificates for clients that speak TLS.
    pub certificates: &'r Certificates,
    /// How long it may take.
    pub limits: &'r Limits,
}

/// What a client speaks inside TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spoken {
    /// HTTP/1, or nothing that is known.
    Http1,
    /// HTTP/2.
    Http2,
    /// AMQP.
    Amqp,
    /// Kafka's protocol.
    Kafka,
}

impl Refuser<'_> {
    /// Refuses a connection that began with `opening`. The stream stays open, so that the caller
    /// can read what the client still sends.
    ///
    /// # Errors
    ///
    /// The client hung up, was too slow, or does not speak the protocol.
    pub async fn refuse(
        &self,
        stream: &mut TcpStream,
        protocol: Protocol,
        opening: Opening,
    ) -> io::Result<()> {
        match protocol {
            Protocol::Tls => self.tls(Replay::new(opening.bytes, stream)).await,
            Protocol::Http => {
                let head = opening.head.unwrap_or_default();
                self.in_time(finish(stream, &self.refusal.http(self.dialect, &head)))
                    .await
            }
            Protocol::MySql => {
                self.in_time(finish(stream, &mysql::error(&self.refusal)))
                    .await
            }
            Protocol::PostgreSql => self.in_time(self.postgresql(stream)).await,
            Protocol::Tds => self.in_time(self.tds(stream)).await,
        }
    }

    async fn in_time<T>(&self, act: impl Future<Output = io::Result<T>>) -> io::Result<T> {
        timeout(self.limits.refusal, act).await?
    }

    async fn tls<S>(&self, stream: S) -> io::Result<()>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let mut tls = self
            .in_time(self.handshake(stream, Inside::Service))
            .await?;
        self.inside(&mut tls).await
    }

    /// Refuses a client inside TLS.
    ///
    /// # Errors
    ///
    /// As [`Self::refuse`].
    pub async fn inside<S>(&self, tls: &mut TlsStream<S>) -> io::Result<()>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        if tls.get_ref().1.alpn_protocol() == Some(b"h2") {
            return self.http2(tls).await;
        }
        let (spoken, bytes) = self.in_time(spoken(tls, self.dialect)).await?;
        match spoken {
            Spoken::Http2 => self.http2(Replay::new(bytes, tls)).await,
            Spoken::Http1 => self.in_time(self.http1(tls, bytes)).await,
            Spoken::Amqp | Spoken::Kafka => self.messages(tls, spoken, bytes).await,
        }
    }

    /// Refuses a client of messages, of which `bytes` have been read.
    ///
    /// # Errors
    ///
    /// As [`Self::refuse`].
    pub async fn messages<S>(
        &self,
        stream: &mut S,
        spoken: Spoken,
        bytes: Vec<u8>,
    ) -> io::Result<()>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        match spoken {
            Spoken::Kafka => self.in_time(self.kafka(stream, bytes)).await,
            _ => self.in_time(self.amqp(stream, bytes)).await,
        }
    }

    async fn http1<S>(&self, stream: &mut S, bytes: Vec<u8>) -> io::Result<()>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let answer = match opening::read_head(stream, bytes).await {
            Ok(Opening {
                head: Some(head), ..
            }) => self.refusal.http(self.dialect, &head),
            Err(OpeningError::HungUp) => return Err(io::ErrorKind::UnexpectedEof.into()),
            _ => bad_request("Invalid Request").encode(self.refusal.at, false),
        };
        finish(stream, &answer).await
    }

    async fn handshake<S>(&self, stream: S, inside: Inside) -> io::Result<TlsStream<S>>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let config = self.certificates.config(self.refusal.host, inside);
        let config = config.map_err(io::Error::other)?;
        TlsAcceptor::from(config).accept(stream).await
    }

    async fn postgresql(&self, stream: &mut TcpStream) -> io::Result<()> {
        const HANDSHAKE: u8 = 22;
        // Both encryptions and the session may be asked for, each once.
        const MOST_MESSAGES: usize = 3;
        let mut bytes = Vec::new();
        for _ in 0..MOST_MESSAGES {
            if bytes.is_empty() {
                read_more(stream, &mut bytes, postgresql::MAX_STARTUP).await?;
            }
            // TLS without asking, as newer clients may.
            if bytes.first() == Some(&HANDSHAKE) {
                return self.postgresql_tls(bytes, stream).await;
            }
            match startup(stream, &mut bytes).await? {
                Startup::Gss => stream.write_all(b"N").await?,
                Startup::Cancel => return Ok(()),
                Startup::Session { user, database } => {
                    return finish(stream, &self.error(&user, &database, false)).await;
                }
                Startup::Tls => {
                    stream.write_all(b"S").await?;
                    // What came unasked in the clear must not count as said under TLS.
                    if !bytes.is_empty() {
                        return Err(unreadable());
                    }
                    return self.postgresql_tls(bytes, stream).await;
                }
            }
        }
        Err(unreadable())
    }

    async fn postgresql_tls(&self, bytes: Vec<u8>, stream: &mut TcpStream) -> io::Result<()> {
        let stream = Replay::new(bytes, stream);
        let mut tls = self.handshake(stream, Inside::PostgreSql).await?;
        let mut bytes = Vec::new();
        if let Startup::Session { user, database } = startup(&mut tls, &mut bytes).await? {
            finish(&mut tls, &self.error(&user, &database, true)).await?;
        }
        Ok(())
    }

    fn error(&self, user: &str, database: &str, is_tls: bool) -> Vec<u8> {
        postgresql::error(&self.refusal, user, database, is_tls)
    }
}

/// Reads as much of what a client says inside TLS as tells what it speaks; returns that too.
///
/// # Errors
///
/// The client hung up.
pub async fn spoken<S: AsyncRead + Unpin>(
    stream: &mut S,
    dialect: Dialect,
) -> io::Result<(Spoken, Vec<u8>)> {
    const AMQP: &[u8] = b"AMQP";
    let mut bytes = Vec::new();
    loop {
        read_more(stream, &mut bytes, PREFACE.len()).await?;
        let begins = |whole: &[u8]| whole.starts_with(&bytes) || bytes.starts_with(whole);
        let spoken = match bytes.first() {
            Some(0) if dialect == Dialect::Messaging => Spoken::Kafka,
            // A number follows the name, which no method of HTTP has there.
            Some(b'A') if dialect == Dialect::Messaging && begins(AMQP) => {
                match bytes.get(AMQP.len()) {
                    None => continue,
                    Some(0..=3) => Spoken::Amqp,
                    Some(_) => Spoken::Http1,
                }
            }
            Some(b'P') if bytes.len() < PREFACE.len() && begins(PREFACE) => continue,
            Some(b'P') if bytes == PREFACE => Spoken::Http2,
            _ => Spoken::Http1,
        };
        return Ok((spoken, bytes));
    }
}

/// Takes the next PostgreSQL message from `bytes`, and from the stream as far as it is not there.
async fn startup<S: AsyncRead + Unpin>(stream: &mut S, bytes: &mut Vec<u8>) -> io::Result<Startup> {
    loop {
        if let Some((message, length)) = postgresql::startup(bytes).map_err(io::Error::other)? {
            bytes.drain(..length);
            return Ok(message);
        }
        read_more(stream, bytes, postgresql::MAX_STARTUP).await?;
    }
}

/// Returns the error for a client that does not speak its protocol.
fn unreadable() -> io::Error {
    io::ErrorKind::InvalidData.into()
}
