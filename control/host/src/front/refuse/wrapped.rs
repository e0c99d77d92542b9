//! TLS whose handshake comes in packets of SQL Server's protocol (MS-TDS 2.2.6.5).

use crate::front::refusal::tds::{HEADER, PRELOGIN, packet};
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// The longest packet that is written, header and all: what clients expect before they have agreed
/// on another length.
const LONGEST: usize = 4096;

/// A stream that puts each write into a packet and reads what is in packets, until it is told that
/// bytes come bare.
#[derive(Debug)]
pub(in crate::front) struct Wrapped<S> {
    stream: S,
    is_bare: bool,
    /// The header of the packet that is being read.
    header: Vec<u8>,
    /// Bytes of its content that are still to come.
    left: usize,
    /// Packets that are still to be written.
    out: Vec<u8>,
}

impl<S> Wrapped<S> {
    pub(in crate::front) fn new(stream: S) -> Self {
        Self {
            stream,
            is_bare: false,
            header: Vec::new(),
            left: 0,
            out: Vec::new(),
        }
    }

    /// From here on bytes come bare, in both directions.
    pub(in crate::front) fn unwrap(&mut self) {
        self.is_bare = true;
    }
}

impl<S: AsyncWrite + Unpin> Wrapped<S> {
    fn poll_out(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.out.is_empty() {
            let count = ready!(Pin::new(&mut self.stream).poll_write(context, &self.out))?;
            if count == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.out.drain(..count.min(self.out.len()));
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Wrapped<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.is_bare {
            return Pin::new(&mut this.stream).poll_read(context, buffer);
        }
        while this.left == 0 {
            let mut byte = [0];
            let mut one = ReadBuf::new(&mut byte);
            ready!(Pin::new(&mut this.stream).poll_read(context, &mut one))?;
            let Some(byte) = one.filled().first() else {
                return Poll::Ready(Ok(()));
            };
            this.header.push(*byte);
            if this.header.first() != Some(&PRELOGIN) {
                return Poll::Ready(Err(io::ErrorKind::InvalidData.into()));
            }
            if let [_, _, high, low, _, _, _, _] = this.header[..] {
                let length = usize::from(u16::from_be_bytes([high, low]));
                this.header.clear();
                // An empty packet would let a client send for ever.
                let left = length.checked_sub(HEADER).filter(|left| *left > 0);
                this.left = left.ok_or(io::Error::from(io::ErrorKind::InvalidData))?;
            }
        }
        let room = this.left.min(buffer.remaining());
        let mut part = ReadBuf::new(buffer.initialize_unfilled_to(room));
        ready!(Pin::new(&mut this.stream).poll_read(context, &mut part))?;
        let count = part.filled().len();
        buffer.advance(count);
        this.left = this.left.saturating_sub(count);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Wrapped<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        ready!(this.poll_out(context))?;
        if this.is_bare {
            return Pin::new(&mut this.stream).poll_write(context, bytes);
        }
        let count = bytes.len().min(LONGEST.saturating_sub(HEADER));
        this.out = packet(PRELOGIN, bytes.get(..count).unwrap_or_default());
        // What does not go at once goes before the next write, or with the flush.
        if let Poll::Ready(Err(error)) = this.poll_out(context) {
            return Poll::Ready(Err(error));
        }
        Poll::Ready(Ok(count))
    }

    // TLS that fails writes what it has once, an alert as its last piece.
    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let all: Vec<u8> = pieces
            .iter()
            .flat_map(|piece| piece.iter().copied())
            .collect();
        self.as_mut().poll_write(context, &all)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_out(context))?;
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_out(context))?;
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    #[tokio::test]
    async fn bytes_are_wrapped_until_the_handshake_is_over() {
        let (near, mut far) = tokio::io::duplex(10_000);
        let mut near = Wrapped::new(near);
        near.write_all(&[7; 5000]).await.unwrap();
        near.flush().await.unwrap();
        let mut written = vec![0; 5016];
        far.read_exact(&mut written).await.unwrap();
        assert_eq!(written[..4], [0x12, 1, 0x10, 0]);
        assert_eq!(written[4096..4100], [0x12, 1, 0x03, 0x98]);
        far.write_all(&[
            0x12, 0, 0, 10, 0, 0, 0, 0, 1, 2, 0x12, 1, 0, 9, 0, 0, 0, 0, 3,
        ])
        .await
        .unwrap();
        let mut read = [0; 3];
        near.read_exact(&mut read).await.unwrap();
        assert_eq!(read, [1, 2, 3]);
        near.unwrap();
        near.write_all(&[9]).await.unwrap();
        assert_eq!(far.read_u8().await.unwrap(), 9);
    }

    #[tokio::test]
    async fn what_is_no_packet_is_refused() {
        for bytes in [&[0x16, 3, 1][..], &[0x12, 1, 0, 8, 0, 0, 0, 0]] {
            let (near, mut far) = tokio::io::duplex(100);
            let mut near = Wrapped::new(near);
            far.write_all(bytes).await.unwrap();
            let error = near.read_u8().await.unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        }
    }
}
