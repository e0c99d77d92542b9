//! Carrying a refusal to a client, in the protocol that it speaks.
//!
//! The front ends TLS only here. After the answer it reads on for a moment: a connection that
//! closes with bytes unread is reset, and a reset overtakes the answer.

use super::ca::Certificates;
use super::opening::{self, Opening, OpeningError, read_more};
use super::protocol::Protocol;
use super::refusal::{Dialect, Refusal, bad_request, postgresql, tds};
use super::replay::Replay;
use postgresql::Startup;
use std::io;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

const HTTP: &str = "http/1.1";
const POSTGRESQL: &str = "postgresql";

/// What a refusal needs.
#[derive(Clone, Copy, Debug)]
pub struct Refuser<'r> {
    /// The refusal.
    pub refusal: Refusal<'r>,
    /// The service's words.
    pub dialect: Dialect,
    /// Certificates for clients that speak TLS.
    pub certificates: &'r Certificates,
}

impl Refuser<'_> {
    /// Refuses a connection that began with `opening`.
    ///
    /// # Errors
    ///
    /// The client hung up, or does not speak the protocol.
    pub async fn refuse(
        &self,
        mut stream: TcpStream,
        protocol: Protocol,
        opening: Opening,
    ) -> io::Result<()> {
        match protocol {
            Protocol::Tls => {
                let stream = Replay::new(opening.bytes, stream);
                let mut tls = self.handshake(stream, HTTP).await?;
                let answer = match opening::read_head(&mut tls).await {
                    Ok(Opening {
                        head: Some(head), ..
                    }) => self.refusal.http(self.dialect, &head),
                    Err(OpeningError::HungUp) => return Err(io::ErrorKind::UnexpectedEof.into()),
                    _ => bad_request("Invalid Request", self.refusal.at),
                };
                finish(&mut tls, &answer).await?;
                drain(tls.get_mut().0.stream_mut()).await;
                Ok(())
            }
            Protocol::Http => {
                let head = opening.head.unwrap_or_default();
                end(&mut stream, &self.refusal.http(self.dialect, &head)).await
            }
            Protocol::MySql => {
                let error = super::refusal::mysql::error(&self.refusal);
                end(&mut stream, &error).await
            }
            Protocol::PostgreSql => self.postgresql(stream).await,
            Protocol::Tds => self.tds(stream).await,
        }
    }

    async fn handshake<S>(&self, stream: S, inside: &'static str) -> io::Result<TlsStream<S>>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let config = self.certificates.config(self.refusal.host, inside);
        let config = config.map_err(io::Error::other)?;
        TlsAcceptor::from(config).accept(stream).await
    }

    async fn postgresql(&self, mut stream: TcpStream) -> io::Result<()> {
        const HANDSHAKE: u8 = 22;
        // Both encryptions and the session may be asked for, each once.
        const MOST_MESSAGES: usize = 3;
        let mut bytes = Vec::new();
        for _ in 0..MOST_MESSAGES {
            if bytes.is_empty() {
                read_more(&mut stream, &mut bytes, postgresql::MAX_STARTUP).await?;
            }
            // TLS without asking, as newer clients may.
            if bytes.first() == Some(&HANDSHAKE) {
                return self.postgresql_tls(bytes, stream).await;
            }
            match startup(&mut stream, &mut bytes).await? {
                Startup::Gss => stream.write_all(b"N").await?,
                Startup::Cancel => return Ok(()),
                Startup::Session { user, database } => {
                    return end(&mut stream, &self.error(&user, &database, false)).await;
                }
                Startup::Tls => {
                    stream.write_all(b"S").await?;
                    // What came unasked in the clear must not count as said under TLS.
                    if !bytes.is_empty() {
                        return Err(io::ErrorKind::InvalidData.into());
                    }
                    return self.postgresql_tls(bytes, stream).await;
                }
            }
        }
        Err(io::ErrorKind::InvalidData.into())
    }

    async fn postgresql_tls(&self, bytes: Vec<u8>, stream: TcpStream) -> io::Result<()> {
        let mut tls = self
            .handshake(Replay::new(bytes, stream), POSTGRESQL)
            .await?;
        let mut bytes = Vec::new();
        if let Startup::Session { user, database } = startup(&mut tls, &mut bytes).await? {
            finish(&mut tls, &self.error(&user, &database, true)).await?;
            drain(tls.get_mut().0.stream_mut()).await;
        }
        Ok(())
    }

    fn error(&self, user: &str, database: &str, is_tls: bool) -> Vec<u8> {
        postgresql::error(&self.refusal, user, database, is_tls)
    }

    async fn tds(&self, mut stream: TcpStream) -> io::Result<()> {
        let mut bytes = Vec::new();
        loop {
            let message = tds::message(&bytes).map_err(io::Error::other)?;
            let Some(message) = message else {
                let most = tds::MAX_MESSAGE;
                read_more(&mut stream, &mut bytes, most).await?;
                continue;
            };
            bytes.drain(..message.length);
            match message.kind {
                tds::Kind::PreLogin => stream.write_all(&tds::prelogin()).await?,
                tds::Kind::Login7 => {
                    let error = tds::error(&self.refusal, &message.content);
                    return end(&mut stream, &error).await;
                }
            }
        }
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

/// Writes the last bytes and ends the direction.
async fn finish<S: AsyncWrite + Unpin>(stream: &mut S, bytes: &[u8]) -> io::Result<()> {
    stream.write_all(bytes).await?;
    stream.flush().await?;
    stream.shutdown().await
}

/// Writes the last bytes of a connection and lets the client read them.
///
/// # Errors
///
/// The client hung up.
pub async fn end(stream: &mut TcpStream, bytes: &[u8]) -> io::Result<()> {
    finish(stream, bytes).await?;
    drain(stream).await;
    Ok(())
}

/// Reads and forgets what the client still sends, for a while.
async fn drain(stream: &mut TcpStream) {
    const PATIENCE: Duration = Duration::from_secs(2);
    const MOST: usize = 1024 * 1024;
    let mut piece = [0; 4096];
    let read = async {
        let mut total = 0_usize;
        while total < MOST {
            match stream.read(&mut piece).await {
                Ok(0) | Err(_) => return,
                Ok(count) => total = total.saturating_add(count),
            }
        }
    };
    let _ = tokio::time::timeout(PATIENCE, read).await;
}
