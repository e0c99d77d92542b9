//! The server name of a TLS connection, read from the ClientHello as its bytes come.
//!
//! A ClientHello (RFC 8446, 4.1.2) may be split over TLS records, and those over TCP segments, at
//! any byte. [`HelloReader`] takes the bytes once, in whatever pieces they come, and keeps no more
//! than [`MAX_HELLO`] of them: a longer message is refused as soon as its length is known, before
//! it has been sent. Nothing is decrypted and nothing is answered here.

use std::net::IpAddr;

/// The longest ClientHello that is read, in bytes, record headers not counted. Those of real
/// clients, post-quantum key shares included, stay under 3 KiB.
pub const MAX_HELLO: usize = 16 * 1024;

/// The longest plaintext record (RFC 8446, 5.1).
const MAX_RECORD: usize = 16 * 1024;
/// Record header: type, version, length.
const RECORD_HEADER: usize = 5;
/// Handshake header: type, 24 bits of length.
const MESSAGE_HEADER: usize = 4;
const HANDSHAKE: u8 = 22;
const CLIENT_HELLO: u8 = 1;
const SERVER_NAME: u16 = 0;
const HOST_NAME: u8 = 0;

/// Why bytes are no ClientHello that can be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HelloError {
    /// The connection does not begin with a TLS handshake record.
    #[error("not a TLS handshake")]
    NotTls,
    /// The first handshake message is another one.
    #[error("not a ClientHello but message {0}")]
    NotHello(u8),
    /// The message is longer than [`MAX_HELLO`].
    #[error("a ClientHello of {0} bytes; accepted: {MAX_HELLO} at most")]
    TooLarge(usize),
    /// A length inside leads outside, or a part is there twice.
    #[error("a damaged ClientHello")]
    Malformed,
    /// The server name is none that a host can have.
    #[error("a server name that is no host name")]
    BadName,
}

/// What a ClientHello says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientHello {
    /// The server name, in lower case; absent if the client names none.
    pub server_name: Option<String>,
}

/// A ClientHello on its way.
#[derive(Debug, Default)]
pub struct HelloReader {
    /// The header of the record that is being read.
    header: Vec<u8>,
    /// Bytes of the record's content that are still to come.
    left: usize,
    /// The handshake message, without the record headers.
    message: Vec<u8>,
}

impl HelloReader {
    /// Takes the next bytes of the connection; returns the ClientHello once it is whole. Bytes
    /// after it are ignored.
    ///
    /// # Errors
    ///
    /// The bytes cannot become a usable ClientHello, whatever follows.
    pub fn push(&mut self, mut bytes: &[u8]) -> Result<Option<ClientHello>, HelloError> {
        while !bytes.is_empty() {
            if self.left == 0 {
                bytes = self.take_header(bytes)?;
                continue;
            }
            let (content, rest) = bytes.split_at(self.left.min(bytes.len()));
            self.left = self.left.saturating_sub(content.len());
            bytes = rest;
            self.message.extend_from_slice(content);
            if let Some(hello) = self.finished()? {
                return Ok(Some(hello));
            }
        }
        Ok(None)
    }

    /// Takes bytes of a record header; what it does not need is returned.
    fn take_header<'b>(&mut self, bytes: &'b [u8]) -> Result<&'b [u8], HelloError> {
        let missing = RECORD_HEADER.saturating_sub(self.header.len());
        let (part, rest) = bytes.split_at(missing.min(bytes.len()));
        self.header.extend_from_slice(part);
        // Each byte is judged when it is there: what is no TLS is not waited for.
        if self.header.first().is_some_and(|kind| *kind != HANDSHAKE)
            || self.header.get(1).is_some_and(|major| *major != 3)
        {
            return Err(HelloError::NotTls);
        }
        if let [_, _, _, high, low] = self.header[..] {
            let length = usize::from(u16::from_be_bytes([high, low]));
            // An empty handshake record is forbidden, and would let a client send for ever.
            if length == 0 || length > MAX_RECORD {
                return Err(HelloError::Malformed);
            }
            self.left = length;
            self.header.clear();
        }
        Ok(rest)
    }

    /// Returns the ClientHello if all of it has come.
    fn finished(&self) -> Result<Option<ClientHello>, HelloError> {
        let Some((&kind, rest)) = self.message.split_first() else {
            return Ok(None);
        };
        if kind != CLIENT_HELLO {
            return Err(HelloError::NotHello(kind));
        }
        let Some(length) = rest.get(..3) else {
            return Ok(None);
        };
        let length = length
            .iter()
            .fold(0, |sum, byte| sum << 8 | usize::from(*byte));
        if length > MAX_HELLO {
            return Err(HelloError::TooLarge(length));
        }
        let end = MESSAGE_HEADER.saturating_add(length);
        self.message.get(MESSAGE_HEADER..end).map(parse).transpose()
    }
}

/// Reads the body of a ClientHello.
fn parse(body: &[u8]) -> Result<ClientHello, HelloError> {
    const VERSION_AND_RANDOM: usize = 2 + 32;
    let mut body = Cursor(body);
    body.take(VERSION_AND_RANDOM)?;
    body.vector8()?; // session identifier
    body.vector16()?; // cipher suites
    body.vector8()?; // compression methods
    let mut server_name = None;
    if body.0.is_empty() {
        // A client older than extensions.
        return Ok(ClientHello { server_name });
    }
    let mut extensions = Cursor(body.vector16()?);
    if !body.0.is_empty() {
        return Err(HelloError::Malformed);
    }
    while !extensions.0.is_empty() {
        let kind = extensions.number16()?;
        let content = extensions.vector16()?;
        if kind != SERVER_NAME {
            continue;
        }
        // The second one could contradict the first.
        if server_name.is_some() {
            return Err(HelloError::Malformed);
        }
        server_name = Some(host_of(content)?);
    }
    Ok(ClientHello { server_name })
}

/// Reads a server name extension (RFC 6066, 3): a list that holds one host name.
fn host_of(extension: &[u8]) -> Result<String, HelloError> {
    let mut extension = Cursor(extension);
    let mut list = Cursor(extension.vector16()?);
    let kind = *list.take(1)?.first().ok_or(HelloError::Malformed)?;
    let name = list.vector16()?;
    if kind != HOST_NAME || !list.0.is_empty() || !extension.0.is_empty() {
        return Err(HelloError::Malformed);
    }
    let name = std::str::from_utf8(name).map_err(|_| HelloError::BadName)?;
    host_name(name).ok_or(HelloError::BadName)
}

/// Returns a host name in lower case and without the dot of the root, or `None` if it is none:
/// empty, too long, an address, or of letters that no host name has.
#[must_use]
pub fn host_name(name: &str) -> Option<String> {
    const LONGEST: usize = 253;
    const LONGEST_LABEL: usize = 63;
    let name = name.strip_suffix('.').unwrap_or(name);
    let is_label = |label: &str| {
        (1..=LONGEST_LABEL).contains(&label.len())
            && label
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
    };
    let is_host =
        name.len() <= LONGEST && name.split('.').all(is_label) && name.parse::<IpAddr>().is_err();
    is_host.then(|| name.to_ascii_lowercase())
}

/// Bytes that are read from the front.
struct Cursor<'b>(&'b [u8]);

impl<'b> Cursor<'b> {
    fn take(&mut self, count: usize) -> Result<&'b [u8], HelloError> {
        let (taken, rest) = self
            .0
            .split_at_checked(count)
            .ok_or(HelloError::Malformed)?;
        self.0 = rest;
        Ok(taken)
    }

    fn number16(&mut self) -> Result<u16, HelloError> {
        match *self.take(2)? {
            [high, low] => Ok(u16::from_be_bytes([high, low])),
            _ => Err(HelloError::Malformed),
        }
    }

    /// Takes bytes that follow their length of 8 bits.
    fn vector8(&mut self) -> Result<&'b [u8], HelloError> {
        let length = *self.take(1)?.first().ok_or(HelloError::Malformed)?;
        self.take(usize::from(length))
    }

    /// Takes bytes that follow their length of 16 bits.
    fn vector16(&mut self) -> Result<&'b [u8], HelloError> {
        let length = self.number16()?;
        self.take(usize::from(length))
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use proptest::prelude::*;
    use rustls::pki_types::ServerName;
    use std::sync::Arc;

    /// Returns a real client that is about to call `name`.
    pub(in crate::front) fn client(name: &'static str) -> rustls::ClientConnection {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(rustls::RootCertStore::empty())
            .with_no_client_auth();
        let name = ServerName::try_from(name).unwrap();
        rustls::ClientConnection::new(Arc::new(config), name).unwrap()
    }

    fn hello_to(name: &'static str) -> Vec<u8> {
        let mut bytes = Vec::new();
        client(name).write_tls(&mut bytes).unwrap();
        bytes
    }

    /// Returns a ClientHello with these extensions, in records of at most `piece` bytes.
    fn hello(extensions: &[u8], piece: usize) -> Vec<u8> {
        let mut body = vec![3, 3];
        body.extend([7; 32]);
        body.push(0);
        body.extend([0, 2, 0x13, 0x01, 1, 0]);
        body.extend(u16::try_from(extensions.len()).unwrap().to_be_bytes());
        body.extend(extensions);
        let length = u32::try_from(body.len()).unwrap().to_be_bytes();
        let mut message = vec![CLIENT_HELLO, length[1], length[2], length[3]];
        message.extend(body);
        message.chunks(piece).flat_map(record).collect()
    }

    fn record(content: &[u8]) -> Vec<u8> {
        let mut record = vec![HANDSHAKE, 3, 1];
        record.extend(u16::try_from(content.len()).unwrap().to_be_bytes());
        record.extend(content);
        record
    }

    fn named(name: &[u8]) -> Vec<u8> {
        let length = u16::try_from(name.len()).unwrap();
        let mut extension = vec![0, 0];
        extension.extend((length + 5).to_be_bytes());
        extension.extend((length + 3).to_be_bytes());
        extension.push(HOST_NAME);
        extension.extend(length.to_be_bytes());
        extension.extend(name);
        extension
    }

    fn read(bytes: &[u8]) -> Result<Option<ClientHello>, HelloError> {
        HelloReader::default().push(bytes)
    }

    fn name_of(bytes: &[u8]) -> Option<String> {
        read(bytes).unwrap().unwrap().server_name
    }

    #[test]
    fn a_real_client_names_its_server() {
        let bytes = hello_to("Contoso.blob.core.windows.net");
        assert_eq!(
            name_of(&bytes).as_deref(),
            Some("contoso.blob.core.windows.net")
        );
    }

    #[test]
    fn a_client_that_calls_an_address_names_nobody() {
        assert_eq!(name_of(&hello_to("20.60.16.5")), None);
    }

    #[test]
    fn a_hello_without_extensions_names_nobody() {
        let mut bytes = hello(&[], 1000);
        assert_eq!(name_of(&bytes), None);
        bytes.truncate(bytes.len() - 2);
        bytes[4] -= 2;
        bytes[8] -= 2;
        assert_eq!(name_of(&bytes), None);
    }

    #[test]
    fn bytes_one_by_one_in_records_of_three_are_read_too() {
        let bytes = hello(&named(b"a.example"), 3);
        let mut reader = HelloReader::default();
        for (at, byte) in bytes.iter().enumerate() {
            let hello = reader.push(&[*byte]).unwrap();
            assert_eq!(hello.is_some(), at + 1 == bytes.len(), "byte {at}");
        }
    }

    #[test]
    fn what_follows_the_hello_is_ignored() {
        let mut bytes = hello(&named(b"a.example"), 1000);
        bytes.extend([0xff; 100]);
        assert_eq!(name_of(&bytes).as_deref(), Some("a.example"));
    }

    #[test]
    fn what_is_no_tls_is_refused_at_its_first_byte() {
        assert_eq!(read(b"G"), Err(HelloError::NotTls));
        assert_eq!(read(&[22, 2]), Err(HelloError::NotTls));
        assert_eq!(read(&record(&[2])), Err(HelloError::NotHello(2)));
        assert_eq!(read(&[22, 3, 1, 0, 0]), Err(HelloError::Malformed));
        assert_eq!(read(&[22, 3, 1, 0x40, 1]), Err(HelloError::Malformed));
    }

    #[test]
    fn a_hello_of_a_mebibyte_is_refused_before_it_is_sent() {
        assert_eq!(
            read(&record(&[1, 0x10, 0, 0])),
            Err(HelloError::TooLarge(1 << 20))
        );
        // The longest that is read, to the byte.
        let padding = |content: usize| {
            let mut extension = vec![0, 21];
            extension.extend(u16::try_from(content).unwrap().to_be_bytes());
            extension.resize(content + 4, 0);
            extension
        };
        let around = 34 + 1 + 4 + 2 + 2 + 4;
        let bytes = hello(&padding(MAX_HELLO - around), 4000);
        assert_eq!(name_of(&bytes), None);
        let bytes = hello(&padding(MAX_HELLO - around + 1), 4000);
        assert_eq!(read(&bytes), Err(HelloError::TooLarge(MAX_HELLO + 1)));
    }

    #[test]
    fn a_name_that_no_host_has_is_refused() {
        for name in [&b""[..], b"a b", b"a..b", b"10.0.0.1", b"\xff", &[b'a'; 64]] {
            assert_eq!(read(&hello(&named(name), 1000)), Err(HelloError::BadName));
        }
        let dotted = hello(&named(b"A.Example."), 1000);
        assert_eq!(name_of(&dotted).as_deref(), Some("a.example"));
    }

    #[test]
    fn two_names_are_refused() {
        let twice = [named(b"a.example"), named(b"b.example")].concat();
        assert_eq!(read(&hello(&twice, 1000)), Err(HelloError::Malformed));
        let mut list = named(b"a.example");
        // A second entry in the list.
        list.extend([0, 0, 1, b'b']);
        list[3] += 4;
        list[5] += 4;
        assert_eq!(read(&hello(&list, 1000)), Err(HelloError::Malformed));
    }

    #[test]
    fn every_cut_hello_waits_for_more() {
        let bytes = hello_to("contoso.blob.core.windows.net");
        for end in 0..bytes.len() {
            assert_eq!(read(&bytes[..end]), Ok(None), "cut at {end}");
        }
    }

    proptest! {
        #[test]
        fn damage_never_hurts_and_pieces_never_matter(
            at in any::<proptest::sample::Index>(),
            value: u8,
            cuts in proptest::collection::vec(1_usize..200, 1..20),
        ) {
            let mut bytes = hello(&named(b"contoso.blob.core.windows.net"), 50);
            let at = at.index(bytes.len());
            bytes[at] = value;
            let whole = read(&bytes);
            let mut reader = HelloReader::default();
            let mut rest = &bytes[..];
            let mut pieces = Ok(None);
            for cut in cuts.iter().cycle() {
                let (piece, after) = rest.split_at((*cut).min(rest.len()));
                rest = after;
                pieces = reader.push(piece);
                if rest.is_empty() || pieces != Ok(None) {
                    break;
                }
            }
            prop_assert_eq!(whole, pieces);
        }

        #[test]
        fn any_bytes_are_bounded(bytes in proptest::collection::vec(any::<u8>(), 0..4096)) {
            let mut reader = HelloReader::default();
            let _ = reader.push(&bytes);
            prop_assert!(reader.message.len() <= MAX_HELLO + MAX_RECORD);
        }
    }
}
