//! The head of the first HTTP/1 request of a connection: whom it is for.
//!
//! The head is bounded by [`MAX_HEAD`] and by [`MAX_FIELDS`]; it is parsed once, when its end has
//! come, by `httparse`. The host follows RFC 9112, 3.2: an absolute target says it, else the one
//! `Host` field, and HTTP/1.1 without it, or any request with two, is refused.

use super::sni::host_name;

/// The longest head that is read, in bytes.
pub const MAX_HEAD: usize = 16 * 1024;

/// The most header fields of a head.
pub const MAX_FIELDS: usize = 100;

/// Why bytes are no request that can be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HeadError {
    /// The head is longer than [`MAX_HEAD`].
    #[error("a request head of more than {MAX_HEAD} bytes")]
    TooLarge,
    /// It is no HTTP/1 request head.
    #[error("not an HTTP/1 request: {0}")]
    Malformed(httparse::Error),
    /// There is no host, or more than one, or none that a host can have.
    #[error("an HTTP request must name one host")]
    BadHost,
}

/// What the front needs of a request head.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Head {
    /// The method, such as `GET`.
    pub method: String,
    /// The host, in lower case and without port; absent if an address is called, or the request is
    /// of HTTP/1.0 and has none.
    pub host: Option<String>,
    /// `Accept`: some services answer in the form that is asked for.
    pub accept: Option<String>,
    /// `x-ms-version`, which answers repeat.
    pub version: Option<String>,
    /// `x-ms-client-request-id`, which answers repeat.
    pub client_request_id: Option<String>,
}

/// A head on its way.
#[derive(Debug, Default)]
pub struct HeadReader {
    /// How many bytes have been searched for the end.
    searched: usize,
}

impl HeadReader {
    /// Looks at all bytes that have come so far; returns the head once it is whole.
    ///
    /// # Errors
    ///
    /// The bytes cannot become a usable head, whatever follows.
    pub fn read(&mut self, bytes: &[u8]) -> Result<Option<Head>, HeadError> {
        // Empty lines may come before a request.
        let is_content = |byte: &u8| !matches!(byte, b'\r' | b'\n');
        let start = bytes.iter().position(is_content).unwrap_or(bytes.len());
        // An end that is split between two reads begins at most three bytes back.
        let from = self.searched.saturating_sub(3).max(start);
        self.searched = bytes.len();
        if bytes.first().is_some_and(|byte| !is_start(*byte)) {
            return Err(HeadError::Malformed(httparse::Error::Token));
        }
        let end = end(bytes.get(from..).unwrap_or_default());
        let end = end.map(|end| from.saturating_add(end));
        match end {
            Some(end) if end <= MAX_HEAD => parse(bytes.get(..end).unwrap_or(bytes)).map(Some),
            None if bytes.len() < MAX_HEAD => Ok(None),
            _ => Err(HeadError::TooLarge),
        }
    }
}

/// Returns whether a request can begin with this byte: a method, or an empty line before it.
fn is_start(byte: u8) -> bool {
    byte.is_ascii_alphabetic() || matches!(byte, b'\r' | b'\n')
}

/// Returns where the head ends: after a line end and an empty line.
fn end(bytes: &[u8]) -> Option<usize> {
    let empty_line = |(at, byte): (usize, &u8)| {
        let rest = bytes.get(at..).filter(|_| *byte == b'\n')?;
        let ends = [&b"\n\n"[..], b"\n\r\n"];
        let end = ends.iter().find(|end| rest.starts_with(end))?;
        Some(at.saturating_add(end.len()))
    };
    bytes.iter().enumerate().find_map(empty_line)
}

fn parse(bytes: &[u8]) -> Result<Head, HeadError> {
    let mut fields = [httparse::EMPTY_HEADER; MAX_FIELDS];
    let mut request = httparse::Request::new(&mut fields);
    let parsed = request.parse(bytes).map_err(|error| match error {
        httparse::Error::TooManyHeaders => HeadError::TooLarge,
        error => HeadError::Malformed(error),
    })?;
    if parsed.is_partial() {
        return Err(HeadError::Malformed(httparse::Error::NewLine));
    }
    let field = |name: &str| text(&request, name);
    let is_1_1 = request.version == Some(1);
    Ok(Head {
        method: request.method.unwrap_or_default().to_owned(),
        host: host(&request, is_1_1)?,
        accept: field("accept"),
        version: field("x-ms-version"),
        client_request_id: field("x-ms-client-request-id"),
    })
}

/// Returns the first value of a field, if it is short printable text that an answer may repeat.
fn text(request: &httparse::Request<'_, '_>, name: &str) -> Option<String> {
    const LONGEST: usize = 1024;
    let is_named = |field: &&httparse::Header<'_>| field.name.eq_ignore_ascii_case(name);
    let value = request.headers.iter().find(is_named)?.value;
    let is_text = value.len() <= LONGEST && value.iter().all(|byte| matches!(byte, b' '..=b'~'));
    is_text.then(|| String::from_utf8_lossy(value).into_owned())
}

fn host(request: &httparse::Request<'_, '_>, is_1_1: bool) -> Result<Option<String>, HeadError> {
    let is_host = |field: &&httparse::Header<'_>| field.name.eq_ignore_ascii_case("host");
    let mut hosts = request.headers.iter().filter(is_host);
    let field = hosts.next();
    if hosts.next().is_some() || (is_1_1 && field.is_none()) {
        return Err(HeadError::BadHost);
    }
    let target = request.path.unwrap_or_default();
    let absolute = target
        .split_once("://")
        .filter(|(scheme, _)| !scheme.contains(['/', '?']))
        .and_then(|(_, rest)| rest.split(['/', '?', '#']).next());
    let field = field.map(|field| std::str::from_utf8(field.value).map_err(|_| HeadError::BadHost));
    match absolute.map(Ok).or(field) {
        None => Ok(None),
        Some(authority) => name_of(authority?.trim()),
    }
}

/// Returns the name in `name:port`; an address is no name.
fn name_of(authority: &str) -> Result<Option<String>, HeadError> {
    let name = match authority.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => authority,
    };
    let is_v6 = name
        .strip_prefix('[')
        .and_then(|name| name.strip_suffix(']'))
        .is_some_and(|name| name.parse::<std::net::Ipv6Addr>().is_ok());
    if is_v6 || name.parse::<std::net::Ipv4Addr>().is_ok() {
        return Ok(None);
    }
    host_name(name).map(Some).ok_or(HeadError::BadHost)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(text: &str) -> Result<Option<Head>, HeadError> {
        HeadReader::default().read(text.as_bytes())
    }

    fn host_of(text: &str) -> Option<String> {
        read(text).unwrap().unwrap().host
    }

    #[test]
    fn the_host_is_read_without_its_port() {
        let head = read(
            "HEAD /c/b?x HTTP/1.1\r\nx-ms-version: 2021-08-06\r\nhost:  Contoso.Blob.core.windows.net:8080 \r\n\
             Accept: application/json\r\nX-MS-Client-Request-Id: abc\r\n\r\nbody",
        );
        assert_eq!(
            head,
            Ok(Some(Head {
                method: "HEAD".to_owned(),
                host: Some("contoso.blob.core.windows.net".to_owned()),
                accept: Some("application/json".to_owned()),
                version: Some("2021-08-06".to_owned()),
                client_request_id: Some("abc".to_owned()),
            }))
        );
    }

    #[test]
    fn an_absolute_target_outranks_the_field() {
        let text = "GET http://b.example:80/x HTTP/1.1\r\nHost: a.example\r\n\r\n";
        assert_eq!(host_of(text).as_deref(), Some("b.example"));
        // A target that only holds one as a parameter.
        let text = "GET /x?u=http://b.example/ HTTP/1.1\r\nHost: a.example\r\n\r\n";
        assert_eq!(host_of(text).as_deref(), Some("a.example"));
    }

    #[test]
    fn an_address_is_no_name() {
        assert_eq!(host_of("GET / HTTP/1.1\r\nHost: 20.60.16.5\r\n\r\n"), None);
        assert_eq!(
            host_of("GET / HTTP/1.1\r\nHost: [fd41::1]:80\r\n\r\n"),
            None
        );
        assert_eq!(host_of("GET / HTTP/1.0\r\n\r\n"), None);
    }

    #[test]
    fn a_request_without_one_host_is_refused() {
        for text in [
            "GET / HTTP/1.1\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a.example\r\nHost: b.example\r\n\r\n",
            "GET / HTTP/1.1\r\nHost:\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a b\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: user@a.example\r\n\r\n",
        ] {
            assert_eq!(read(text), Err(HeadError::BadHost), "{text:?}");
        }
    }

    #[test]
    fn what_is_no_request_is_refused() {
        for text in [
            "\0",
            "\x16\x03\x01",
            " GET",
            "GET\r\n\r\n",
            "GET / HTTP/1.1\r\nA\r\n\r\n",
        ] {
            assert!(
                matches!(read(text), Err(HeadError::Malformed(_))),
                "{text:?}"
            );
        }
        let preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
        assert!(matches!(read(preface), Err(HeadError::Malformed(_))));
    }

    #[test]
    fn a_head_is_bounded_in_bytes_and_fields() {
        let long = format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}", "x".repeat(MAX_HEAD));
        assert_eq!(read(&long), Err(HeadError::TooLarge));
        let whole = format!("{long}\r\n\r\n");
        assert_eq!(read(&whole), Err(HeadError::TooLarge));
        let many = "X: y\r\n".repeat(MAX_FIELDS);
        let many = format!("GET / HTTP/1.1\r\nHost: a\r\n{many}\r\n");
        assert_eq!(read(&many), Err(HeadError::TooLarge));
    }

    #[test]
    fn a_value_that_an_answer_must_not_repeat_is_dropped() {
        let text = "GET / HTTP/1.1\r\nHost: a\r\nx-ms-version: \x7f\u{e9}\r\n\r\n";
        assert!(!read(text).is_ok_and(|head| head.is_some_and(|head| head.version.is_some())));
    }

    #[test]
    fn a_head_that_comes_byte_by_byte_ends_where_it_ends() {
        for text in [
            "GET / HTTP/1.1\r\nHost: a.example\r\n\r\n",
            "\r\nGET / HTTP/1.1\nHost: a.example\n\n",
        ] {
            let mut reader = HeadReader::default();
            for end in 1..text.len() {
                assert_eq!(
                    reader.read(&text.as_bytes()[..end]),
                    Ok(None),
                    "cut at {end}"
                );
            }
            let head = reader.read(text.as_bytes()).unwrap().unwrap();
            assert_eq!(head.host.as_deref(), Some("a.example"));
        }
    }

    proptest! {
        #[test]
        fn damage_never_hurts(
            at in any::<proptest::sample::Index>(),
            value: u8,
        ) {
            let mut bytes = b"GET /a HTTP/1.1\r\nHost: a.example\r\nAccept: */*\r\n\r\n".to_vec();
            let at = at.index(bytes.len());
            bytes[at] = value;
            // Read whole or in two pieces, the outcome is the same unless the first piece is
            // refused already.
            let whole = HeadReader::default().read(&bytes);
            let mut reader = HeadReader::default();
            let first = reader.read(&bytes[..bytes.len() / 2]);
            if first == Ok(None) {
                prop_assert_eq!(reader.read(&bytes), whole);
            } else {
                prop_assert!(first.is_err() || first == whole);
            }
        }

        #[test]
        fn any_bytes_are_read(bytes in proptest::collection::vec(any::<u8>(), 0..2048)) {
            let _ = HeadReader::default().read(&bytes);
        }
    }
}
