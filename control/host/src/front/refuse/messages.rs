//! Refusing clients of Event Hubs and Service Bus that do not speak HTTP.

use super::{Refuser, unreadable};
use crate::front::drain::{Patience, drain, finish};
use crate::front::opening::read_more;
use crate::front::refusal::{amqp, kafka};
use std::io;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};

impl Refuser<'_> {
    /// Refuses a client that speaks AMQP; `bytes` have been read of it.
    pub(super) async fn amqp<S>(&self, stream: &mut S, mut bytes: Vec<u8>) -> io::Result<()>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let mut header = take(stream, &mut bytes, amqp::AMQP.len()).await?;
        if header == amqp::SASL {
            let hello = [&amqp::SASL[..], &amqp::mechanisms()].concat();
            say(stream, &hello).await?;
            // Whatever it shows: the first frame is `sasl-init`.
            frame(stream, &mut bytes).await?;
            say(stream, &amqp::outcome()).await?;
            header = take(stream, &mut bytes, amqp::AMQP.len()).await?;
        }
        if header != amqp::AMQP {
            // The version that is spoken here, and the end (2.2).
            return finish(stream, &amqp::AMQP).await;
        }
        say(stream, &amqp::AMQP).await?;
        // The first frame is `open`.
        frame(stream, &mut bytes).await?;
        let end = [amqp::open(&self.refusal), amqp::close(&self.refusal)].concat();
        part(stream, &end).await
    }

    /// Refuses a client that speaks Kafka's protocol; `bytes` have been read of it.
    pub(super) async fn kafka<S>(&self, stream: &mut S, mut bytes: Vec<u8>) -> io::Result<()>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        // Versions, again in the form that was told, the way to log in, the login.
        const MOST_REQUESTS: usize = 8;
        for _ in 0..MOST_REQUESTS {
            let request = loop {
                match kafka::request(&bytes).map_err(io::Error::other)? {
                    Some(request) => break request,
                    None => read_more(stream, &mut bytes, kafka::MAX_REQUEST + 4).await?,
                }
            };
            bytes.drain(..request.length.min(bytes.len()));
            let (answer, is_last) =
                kafka::answer(&request, &self.refusal).map_err(io::Error::other)?;
            if is_last {
                return part(stream, &answer).await;
            }
            say(stream, &answer).await?;
        }
        Err(unreadable())
    }
}

/// Says the last words and leaves the end to the client for a moment: some look at the end of the
/// connection before they look at what came with it.
async fn part<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut S, bytes: &[u8]) -> io::Result<()> {
    const MOMENT: Patience = Patience {
        silence: Duration::from_secs(1),
        ..Patience::BRIEF
    };
    say(stream, bytes).await?;
    drain(stream, MOMENT).await;
    // A client that has gone meanwhile has heard.
    let _ = stream.shutdown().await;
    Ok(())
}

async fn say<S: AsyncWrite + Unpin>(stream: &mut S, bytes: &[u8]) -> io::Result<()> {
    stream.write_all(bytes).await?;
    stream.flush().await
}

/// Takes so many bytes from those that were read, and from the stream as far as they are not there.
async fn take<S: AsyncRead + Unpin>(
    stream: &mut S,
    bytes: &mut Vec<u8>,
    count: usize,
) -> io::Result<Vec<u8>> {
    while bytes.len() < count {
        read_more(stream, bytes, amqp::MAX_FRAME.saturating_mul(2)).await?;
    }
    let rest = bytes.split_off(count);
    Ok(std::mem::replace(bytes, rest))
}

/// Takes a frame.
async fn frame<S: AsyncRead + Unpin>(stream: &mut S, bytes: &mut Vec<u8>) -> io::Result<()> {
    loop {
        if let Some(length) = amqp::length(bytes).map_err(io::Error::other)? {
            take(stream, bytes, length).await?;
            return Ok(());
        }
        read_more(stream, bytes, amqp::MAX_FRAME).await?;
    }
}
