//! The first bytes of a connection: read until they say whom it is for.

use super::http::{Head, HeadError, HeadReader, MAX_HEAD};
use super::protocol::Protocol;
use super::sni::{HelloError, HelloReader, MAX_HELLO};
use std::io;
use tokio::io::{AsyncRead, AsyncReadExt};

/// The most bytes that are read of a connection before it is decided: a ClientHello and the headers
/// of its records, or a request head.
pub const MOST: usize = MAX_HELLO + 1024;

/// What a connection opens with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Opening {
    /// All that was read.
    pub bytes: Vec<u8>,
    /// The host that is asked for.
    pub host: Option<String>,
    /// The request, where it can be read.
    pub head: Option<Head>,
}

/// Why a connection does not say whom it is for.
#[derive(Debug, thiserror::Error)]
pub enum OpeningError {
    /// The client closed or broke it.
    #[error("the client hung up")]
    HungUp,
    /// It does not begin with a usable ClientHello.
    #[error(transparent)]
    Hello(#[from] HelloError),
    /// It does not begin with a usable request.
    #[error(transparent)]
    Head(#[from] HeadError),
}

impl OpeningError {
    /// Returns whether it is a matter of length.
    #[must_use]
    pub const fn is_too_large(&self) -> bool {
        matches!(
            self,
            Self::Hello(HelloError::TooLarge(_)) | Self::Head(HeadError::TooLarge)
        )
    }
}

impl From<io::Error> for OpeningError {
    fn from(_: io::Error) -> Self {
        Self::HungUp
    }
}

/// Reads the opening of a protocol; where the client does not name whom it calls, nothing is read.
///
/// # Errors
///
/// The client hung up, or says what cannot be used.
pub async fn read<S: AsyncRead + Unpin>(
    stream: &mut S,
    protocol: Protocol,
) -> Result<Opening, OpeningError> {
    match protocol {
        Protocol::Tls => read_hello(stream).await,
        Protocol::Http => read_head(stream, Vec::new()).await,
        Protocol::PostgreSql | Protocol::MySql | Protocol::Tds => Ok(Opening::default()),
    }
}

async fn read_hello<S: AsyncRead + Unpin>(stream: &mut S) -> Result<Opening, OpeningError> {
    let mut reader = HelloReader::default();
    let mut bytes = Vec::new();
    loop {
        let from = bytes.len();
        read_more(stream, &mut bytes, MOST).await?;
        if let Some(hello) = reader.push(bytes.get(from..).unwrap_or_default())? {
            return Ok(Opening {
                bytes,
                host: hello.server_name,
                head: None,
            });
        }
        if bytes.len() >= MOST {
            return Err(HelloError::TooLarge(bytes.len()).into());
        }
    }
}

/// Reads a request head; `bytes` have been read of it.
///
/// # Errors
///
/// As [`read`].
pub async fn read_head<S: AsyncRead + Unpin>(
    stream: &mut S,
    mut bytes: Vec<u8>,
) -> Result<Opening, OpeningError> {
    let mut reader = HeadReader::default();
    loop {
        if let Some(request) = reader.read(&bytes)? {
            return Ok(Opening {
                bytes,
                host: request.head.host.clone(),
                head: Some(request.head),
            });
        }
        // One more than a head may have, so that the reader sees that it is too long.
        read_more(stream, &mut bytes, MAX_HEAD.saturating_add(1)).await?;
    }
}

/// Appends what comes next, as long as there are fewer than `most` bytes.
///
/// # Errors
///
/// The stream has ended or is broken.
pub async fn read_more<S: AsyncRead + Unpin>(
    stream: &mut S,
    bytes: &mut Vec<u8>,
    most: usize,
) -> io::Result<()> {
    const PIECE: usize = 4096;
    // On the stack while it waits in the kernel: a silent client costs no buffer of its own.
    let mut piece = [0; PIECE];
    let room = most.saturating_sub(bytes.len()).min(PIECE);
    let count = stream
        .read(piece.get_mut(..room).unwrap_or_default())
        .await?;
    if count == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    bytes.extend_from_slice(piece.get(..count).unwrap_or_default());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_hello_in_tiny_records_is_bounded_as_well() {
        // Records of one byte, of a message that claims to be of 16,000 bytes.
        let message: Vec<u8> = [1, 0, 0x3e, 0x80].into_iter().chain([0; 8000]).collect();
        let bytes: Vec<u8> = message
            .iter()
            .flat_map(|byte| [22, 3, 1, 0, 1, *byte])
            .collect();
        let read = read(&mut &bytes[..], Protocol::Tls).await;
        assert!(read.is_err_and(|error| error.is_too_large()));
    }

    #[tokio::test]
    async fn a_head_keeps_what_came_with_it() {
        let bytes = b"POST / HTTP/1.1\r\nHost: a.example\r\n\r\nbody";
        let opening = read(&mut &bytes[..], Protocol::Http).await.unwrap();
        assert_eq!(opening.bytes, bytes);
        assert_eq!(opening.host.as_deref(), Some("a.example"));
    }

    #[tokio::test]
    async fn an_end_before_the_end_is_a_client_that_hung_up() {
        for protocol in [Protocol::Tls, Protocol::Http] {
            let read = read(&mut &b""[..], protocol).await;
            assert!(matches!(read, Err(OpeningError::HungUp)), "{protocol:?}");
        }
        let read = read(&mut &b""[..], Protocol::MySql).await.unwrap();
        assert_eq!(
            read,
            Opening::default(),
            "nothing is read where servers speak first"
        );
    }
}
