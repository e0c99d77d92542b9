//! Where the body of a message ends.

/// How the end of a body is told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Length {
    /// There is no body.
    #[default]
    None,
    /// By its length.
    Bytes(u64),
    /// By the last chunk and what follows it.
    Chunked,
    /// By the end of the connection.
    UntilClose,
}

/// Chunks that cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a chunked body that is damaged")]
pub struct BadBody;

/// A body on its way.
#[derive(Clone, Debug)]
pub struct Body(At);

/// Where in a body the next byte is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    Done,
    Forever,
    Bytes(u64),
    /// In the length of a chunk, after so many digits.
    Size {
        digits: u8,
        size: u64,
    },
    /// In the extension of a chunk, after so many bytes.
    Extension {
        length: u16,
        size: u64,
    },
    /// At the end of the line of a length.
    SizeEnd(u64),
    Chunk(u64),
    ChunkCr,
    ChunkLf,
    /// At the begin of a line after the last chunk, of which there were so many bytes.
    Trailer(u16),
    /// Inside of such a line.
    TrailerLine(u16),
    TrailerLf(u16),
    LastLf,
}

impl Body {
    /// Returns the body of a message.
    #[must_use]
    pub const fn new(length: Length) -> Self {
        Self(match length {
            Length::None | Length::Bytes(0) => At::Done,
            Length::Bytes(count) => At::Bytes(count),
            Length::Chunked => At::Size { digits: 0, size: 0 },
            Length::UntilClose => At::Forever,
        })
    }

    /// Returns whether all of it has come.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.0 == At::Done
    }

    /// Returns whether the end of the connection is its end.
    #[must_use]
    pub fn ends_with_connection(&self) -> bool {
        matches!(self.0, At::Done | At::Forever)
    }

    /// Returns how many of these bytes, which follow those before, belong to it.
    ///
    /// # Errors
    ///
    /// They cannot be read as chunks.
    pub fn take(&mut self, bytes: &[u8]) -> Result<usize, BadBody> {
        let mut taken = 0_usize;
        while let Some(rest) = bytes.get(taken..).filter(|rest| !rest.is_empty()) {
            let most = rest.len() as u64;
            let count = match self.0 {
                At::Done => break,
                At::Forever => rest.len(),
                At::Bytes(left) | At::Chunk(left) => usize::try_from(left.min(most)).unwrap_or(0),
                _ => 1,
            };
            self.0 = self.after(count as u64, rest.first().copied().unwrap_or_default())?;
            taken = taken.saturating_add(count);
        }
        Ok(taken)
    }

    /// Returns where the next byte is after so many, the first of which is `byte`.
    fn after(&self, count: u64, byte: u8) -> Result<At, BadBody> {
        const LONGEST: u16 = 8 * 1024;
        const DIGITS: u8 = 15;
        let text = |length: u16| {
            let is_text = byte == b'\t' || (byte >= b' ' && byte != 0x7f);
            (is_text && length < LONGEST).then_some(length.saturating_add(1))
        };
        let at = match (self.0, byte) {
            (At::Done, _) => At::Done,
            (At::Forever, _) => At::Forever,
            (At::Bytes(left), _) if left <= count => At::Done,
            (At::Bytes(left), _) => At::Bytes(left.saturating_sub(count)),
            (At::Chunk(left), _) if left <= count => At::ChunkCr,
            (At::Chunk(left), _) => At::Chunk(left.saturating_sub(count)),
            (At::Size { digits, size }, b'\r') if digits > 0 => At::SizeEnd(size),
            (At::Size { digits, size }, b';') if digits > 0 => At::Extension { length: 0, size },
            (At::Size { digits, size }, _) if digits < DIGITS => {
                let digit = char::from(byte).to_digit(16).ok_or(BadBody)?;
                At::Size {
                    digits: digits.saturating_add(1),
                    size: size << 4 | u64::from(digit),
                }
            }
            (At::Extension { size, .. }, b'\r') => At::SizeEnd(size),
            (At::Extension { length, size }, _) => At::Extension {
                length: text(length).ok_or(BadBody)?,
                size,
            },
            (At::SizeEnd(0), b'\n') => At::Trailer(0),
            (At::SizeEnd(size), b'\n') => At::Chunk(size),
            (At::ChunkCr, b'\r') => At::ChunkLf,
            (At::ChunkLf, b'\n') => At::Size { digits: 0, size: 0 },
            (At::Trailer(_), b'\r') => At::LastLf,
            // A folded line.
            (At::Trailer(_), b' ' | b'\t') => return Err(BadBody),
            (At::TrailerLine(length), b'\r') => At::TrailerLf(length),
            (At::Trailer(length) | At::TrailerLine(length), _) => {
                At::TrailerLine(text(length).ok_or(BadBody)?)
            }
            (At::TrailerLf(length), b'\n') => At::Trailer(length),
            (At::LastLf, b'\n') => At::Done,
            _ => return Err(BadBody),
        };
        Ok(at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn take(length: Length, bytes: &[u8]) -> Result<(usize, bool), BadBody> {
        let mut body = Body::new(length);
        let taken = body.take(bytes)?;
        Ok((taken, body.is_done()))
    }

    #[test]
    fn a_body_ends_where_its_length_says() {
        assert_eq!(take(Length::None, b"GET"), Ok((0, true)));
        assert_eq!(take(Length::Bytes(0), b"GET"), Ok((0, true)));
        assert_eq!(take(Length::Bytes(4), b"bodyGET"), Ok((4, true)));
        assert_eq!(take(Length::Bytes(9), b"body"), Ok((4, false)));
        assert_eq!(take(Length::UntilClose, b"body"), Ok((4, false)));
        let chunks = b"4\r\nbody\r\nA;x=\"y\"\r\n0123456789\r\n0\r\nX: y\r\n\r\nGET";
        assert_eq!(take(Length::Chunked, chunks), Ok((chunks.len() - 3, true)));
        for end in 0..chunks.len() - 3 {
            let cut = take(Length::Chunked, &chunks[..end]);
            assert_eq!(cut, Ok((end, false)), "cut at {end}");
        }
    }

    #[test]
    fn chunks_that_two_could_read_differently_are_refused() {
        for bytes in [
            &b"\r\n"[..],
            b"4\nbody",
            b" 4\r\n",
            b"4 \r\n",
            b"+4\r\n",
            b"0x4\r\n",
            b"4\r\nbodyX",
            b"4\r\nbody\n",
            b"4\rX",
            b"4;a\nb",
            b"4;a\0",
            b"1234567890abcdef\r\n",
            b"0\r\n X: y\r\n",
            b"0\r\nX: y\n",
            b"0\r\n\rX",
        ] {
            assert_eq!(take(Length::Chunked, bytes), Err(BadBody), "{bytes:?}");
        }
        let long = [b"0\r\nX:", &[b'y'; 9000][..]].concat();
        assert_eq!(take(Length::Chunked, &long), Err(BadBody));
    }

    proptest! {
        #[test]
        fn pieces_never_matter(
            chunks in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 1..40), 0..6),
            cut in 1_usize..9,
        ) {
            let mut bytes = Vec::new();
            for chunk in &chunks {
                bytes.extend(format!("{:x}\r\n", chunk.len()).into_bytes());
                bytes.extend(chunk);
                bytes.extend(b"\r\n");
            }
            bytes.extend(b"0\r\n\r\nGET / HTTP/1.1");
            let mut body = Body::new(Length::Chunked);
            let mut taken = 0;
            for piece in bytes.chunks(cut) {
                taken += body.take(piece).unwrap();
            }
            prop_assert!(body.is_done());
            prop_assert_eq!(&bytes[taken..], b"GET / HTTP/1.1");
        }

        #[test]
        fn any_bytes_are_read(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            if let Ok((taken, _)) = take(Length::Chunked, &bytes) {
                prop_assert!(taken <= bytes.len());
            }
        }
    }
}
