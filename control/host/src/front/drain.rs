//! The last moments of a refused connection: the refusal is written, and the client still sends.
//!
//! A connection that closes with bytes unread is reset, and a reset overtakes what was written: the
//! client of an upload would see a broken connection in place of the refusal. So the front ends its
//! own direction, and reads and forgets until the client has ended the other. That may be a whole
//! upload: many clients look at the answer only when they have sent everything. What a client may
//! send so is bounded here, and how many do so at once where connections get their places.

use std::io;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::{Instant, timeout_at};

/// How long and how much is read after a refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// How long nothing may come.
    pub silence: Duration,
    /// How long something may come.
    pub time: Duration,
    /// How much may come, in bytes.
    pub bytes: u64,
}

impl Patience {
    /// For a client that was told everything and can have nothing more to say.
    pub const BRIEF: Self = Self {
        silence: Duration::from_secs(2),
        time: Duration::from_secs(4),
        bytes: 1024 * 1024,
    };
}

impl Default for Patience {
    /// The largest blob that one request writes has 5,000 MiB; at 100 Mbit/s it takes 7 minutes.
    fn default() -> Self {
        Self {
            silence: Duration::from_secs(30),
            time: Duration::from_secs(15 * 60),
            bytes: 6 * 1024 * 1024 * 1024,
        }
    }
}

/// Writes the last bytes and ends the direction.
///
/// # Errors
///
/// The client hung up.
pub async fn finish<S: AsyncWrite + Unpin>(stream: &mut S, bytes: &[u8]) -> io::Result<()> {
    stream.write_all(bytes).await?;
    stream.flush().await?;
    stream.shutdown().await
}

/// Reads and forgets until the client has ended or patience has.
pub async fn drain<S: AsyncRead + Unpin>(stream: &mut S, patience: Patience) {
    const PIECE: usize = 16 * 1024;
    let start = Instant::now();
    let end = start.checked_add(patience.time).unwrap_or(start);
    // On the heap, so that connections which are not drained have no room for it.
    let mut piece = vec![0; PIECE];
    let mut total = 0_u64;
    while total < patience.bytes {
        let now = Instant::now();
        let silent = now.checked_add(patience.silence).unwrap_or(end);
        match timeout_at(silent.min(end), stream.read(&mut piece)).await {
            Ok(Ok(count)) if count > 0 => total = total.saturating_add(count as u64),
            _ => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn an_upload_that_takes_minutes_is_read_to_its_end() {
        let (mut near, mut far) = tokio::io::duplex(1024);
        let send = async {
            for _ in 0..300 {
                tokio::time::sleep(Duration::from_secs(1)).await;
                far.write_all(&[0; 1000]).await.unwrap();
            }
            drop(far);
        };
        let read = drain(&mut near, Patience::default());
        let ((), ()) = tokio::join!(send, read);
    }

    #[tokio::test(start_paused = true)]
    async fn patience_ends_with_silence_with_time_and_with_bytes() {
        let patience = Patience {
            silence: Duration::from_secs(30),
            time: Duration::from_secs(100),
            bytes: 50,
        };
        for (every, seconds) in [(1000, 30), (20, 100), (1, 50)] {
            let (mut near, mut far) = tokio::io::duplex(1024);
            let start = Instant::now();
            let send = async move {
                loop {
                    tokio::time::sleep(Duration::from_secs(every)).await;
                    far.write_all(&[0]).await.unwrap();
                }
            };
            tokio::select! {
                () = send => {}
                () = drain(&mut near, patience) => {}
            }
            assert_eq!(start.elapsed().as_secs(), seconds, "a byte every {every} s");
        }
    }
}
