//! Refusing a client of SQL Server's protocol, with whatever encryption it begins.

use super::wrapped::Wrapped;
use super::{Refuser, unreadable};
use crate::front::ca::Inside;
use crate::front::drain::finish;
use crate::front::opening::read_more;
use crate::front::refusal::tds::{self, Encryption, Kind, Message};
use crate::front::replay::Replay;
use std::io;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;

/// The first byte of TLS.
const HANDSHAKE: u8 = 22;

impl Refuser<'_> {
    /// Refuses a client that speaks TDS, in the clear, with TLS inside its packets, or inside TLS.
    pub(super) async fn tds(&self, stream: &mut TcpStream) -> io::Result<()> {
        let mut bytes = Vec::new();
        read_more(stream, &mut bytes, tds::MAX_MESSAGE).await?;
        if bytes.first() == Some(&HANDSHAKE) {
            let mut tls = self
                .handshake(Replay::new(bytes, stream), Inside::Tds)
                .await?;
            // The handshake is over already, so that encryption in packets is refused.
            return self
                .login(&mut tls, Vec::new(), Encryption::NotSupported)
                .await;
        }
        let first = message(stream, &mut bytes).await?;
        let wanted = match first.kind {
            Kind::PreLogin => Encryption::wanted(&first.content),
            Kind::Login7 => {
                return finish(stream, &tds::error(&self.refusal, &first.content)).await;
            }
        };
        stream.write_all(&tds::prelogin(wanted)).await?;
        if wanted == Encryption::NotSupported {
            return self.login(stream, bytes, wanted).await;
        }
        // What came in the clear must not count as said under TLS.
        if !bytes.is_empty() {
            return Err(unreadable());
        }
        let mut tls = self
            .handshake(Wrapped::new(stream), Inside::TdsPackets)
            .await?;
        tls.get_mut().0.unwrap();
        self.login(&mut tls, Vec::new(), wanted).await
    }

    /// Answers a client's messages until it has logged in.
    pub(super) async fn login<S>(
        &self,
        stream: &mut S,
        mut bytes: Vec<u8>,
        encryption: Encryption,
    ) -> io::Result<()>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        // A client may ask once more; one that asks for ever is left.
        const MOST_MESSAGES: usize = 4;
        for _ in 0..MOST_MESSAGES {
            let message = message(stream, &mut bytes).await?;
            match message.kind {
                Kind::PreLogin => {
                    stream.write_all(&tds::prelogin(encryption)).await?;
                    stream.flush().await?;
                }
                Kind::Login7 => {
                    let error = tds::error(&self.refusal, &message.content);
                    return finish(stream, &error).await;
                }
            }
        }
        Err(unreadable())
    }
}

/// Takes the next message from `bytes`, and from the stream as far as it is not there.
async fn message<S: AsyncRead + Unpin>(stream: &mut S, bytes: &mut Vec<u8>) -> io::Result<Message> {
    loop {
        if let Some(message) = tds::message(bytes).map_err(io::Error::other)? {
            bytes.drain(..message.length.min(bytes.len()));
            return Ok(message);
        }
        read_more(stream, bytes, tds::MAX_MESSAGE).await?;
    }
}
