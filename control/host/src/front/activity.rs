//! When something last passed over a connection: what its idle timeout counts from.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

/// When bytes last passed, in either direction; copies tell of the same connection.
#[derive(Clone, Debug)]
pub struct Activity {
    start: Instant,
    /// Milliseconds after the start.
    last: Arc<AtomicU64>,
}

impl Default for Activity {
    fn default() -> Self {
        Self {
            start: Instant::now(),
            last: Arc::default(),
        }
    }
}

impl Activity {
    /// Notes that something passed.
    pub fn touch(&self) {
        let now = u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX);
        // A number that orders nothing else.
        self.last.store(now, Ordering::Relaxed);
    }

    /// Returns when something last passed.
    #[must_use]
    pub fn last(&self) -> Instant {
        let after = Duration::from_millis(self.last.load(Ordering::Relaxed));
        self.start.checked_add(after).unwrap_or(self.start)
    }

    /// Returns once nothing has passed for so long.
    pub async fn idle(&self, most: Duration) {
        loop {
            let Some(end) = self.last().checked_add(most) else {
                return std::future::pending().await;
            };
            if end <= Instant::now() {
                return;
            }
            tokio::time::sleep_until(end).await;
        }
    }
}

/// A stream whose bytes are noted.
#[derive(Debug)]
pub struct Watched<S> {
    stream: S,
    activity: Activity,
}

impl<S> Watched<S> {
    /// Notes what passes over `stream`.
    pub fn new(stream: S, activity: Activity) -> Self {
        Self { stream, activity }
    }

    /// Returns the stream.
    pub fn into_inner(self) -> S {
        self.stream
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(context, buffer);
        if buffer.filled().len() > before {
            self.activity.touch();
        }
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        if matches!(written, Poll::Ready(Ok(count)) if count > 0) {
            self.activity.touch();
        }
        written
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, pieces);
        if matches!(written, Poll::Ready(Ok(count)) if count > 0) {
            self.activity.touch();
        }
        written
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    #[tokio::test(start_paused = true)]
    async fn idleness_counts_from_the_last_byte_of_either_direction() {
        const MOST: Duration = Duration::from_secs(240);
        let (near, mut far) = tokio::io::duplex(64);
        let activity = Activity::default();
        let start = Instant::now();
        let mut near = Watched::new(near, activity.clone());
        tokio::time::sleep(Duration::from_secs(200)).await;
        near.write_all(b"ask").await.unwrap();
        tokio::time::sleep(Duration::from_secs(200)).await;
        far.write_all(b"answer").await.unwrap();
        near.read_exact(&mut [0; 6]).await.unwrap();
        activity.idle(MOST).await;
        assert_eq!(start.elapsed().as_secs(), 640);
    }
}
