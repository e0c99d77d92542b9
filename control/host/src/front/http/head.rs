//! The head of an HTTP/1 request: whom it is for, and where its body ends.
//!
//! The head is bounded by [`MAX_HEAD`] and by [`MAX_FIELDS`]; it is parsed once, when its end has
//! come, by `httparse`, after line ends that it would forgive were refused. The host follows RFC
//! 9112, 3.2: HTTP/1.1 says it in one `Host` field; an absolute target says the same one.

use super::body::Length;
use crate::front::sni::host_name;
use std::net::IpAddr;
use std::ops::Range;

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
    /// The target is neither a path nor a whole address.
    #[error("an HTTP request must name a path, or a whole address")]
    BadTarget,
    /// Servers could differ about where the body ends.
    #[error("an HTTP request must have one length, or one coding `chunked`")]
    BadLength,
    /// `Connection` makes a field one of this hop by which the request is read.
    #[error("a Connection field must not name what a request is read by")]
    BadConnection,
}

/// What the front needs of a request to judge and to answer it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Head {
    /// The method, such as `GET`.
    pub method: String,
    /// The host, in lower case and without port; absent if an address is called, or the request is
    /// of HTTP/1.0 and has none.
    pub host: Option<String>,
    /// The address in the place of a host.
    pub address: Option<IpAddr>,
    /// `Accept`: some services answer in the form that is asked for.
    pub accept: Option<String>,
    /// `x-ms-version`, which answers repeat.
    pub version: Option<String>,
    /// `x-ms-client-request-id`, which answers repeat.
    pub client_request_id: Option<String>,
    /// Whether a client of gRPC asks, which reads its own status.
    pub is_grpc: bool,
}

/// What a request would turn its connection into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Upgrade {
    /// A WebSocket, which is one call however long it is.
    WebSocket,
    /// Something else, in which more could be asked for.
    Other,
}

/// A request of HTTP/1.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Request {
    /// What it is judged and answered by.
    pub head: Head,
    /// Its body.
    pub body: Length,
    /// Whether the client ends the connection with it.
    pub closes: bool,
    /// Whether it is of HTTP/1.0.
    pub is_1_0: bool,
    /// Whether the client waits for the word to go on before it sends the body.
    pub expects: bool,
    /// What it would turn the connection into.
    pub upgrade: Option<Upgrade>,
    /// Whether its `Host` field says whom it calls by a name.
    pub has_name: bool,
    /// Where in the bytes it is, empty lines before it left out.
    pub at: Range<usize>,
}

/// A head on its way.
#[derive(Debug, Default)]
pub struct HeadReader {
    /// How many bytes have been searched for the end.
    searched: usize,
}

impl HeadReader {
    /// Looks at all bytes that have come so far; returns the request once its head is whole.
    ///
    /// # Errors
    ///
    /// The bytes cannot become a usable head, whatever follows.
    pub fn read(&mut self, bytes: &[u8]) -> Result<Option<Request>, HeadError> {
        const END: &[u8] = b"\r\n\r\n";
        // Empty lines may come before a request.
        let is_content = |byte: &u8| !matches!(byte, b'\r' | b'\n');
        let start = bytes.iter().position(is_content).unwrap_or(bytes.len());
        let from = std::mem::replace(&mut self.searched, bytes.len());
        if bytes.first().is_some_and(|byte| !is_start(*byte)) {
            return Err(HeadError::Malformed(httparse::Error::Token));
        }
        for (at, _) in bytes
            .iter()
            .enumerate()
            .skip(from)
            .filter(|(_, byte)| **byte == b'\n')
        {
            let line = bytes.get(..=at).unwrap_or(bytes);
            if !line.ends_with(b"\r\n") {
                // A line ends here for some servers and not for others.
                return Err(HeadError::Malformed(httparse::Error::NewLine));
            }
            if at > start && line.get(start..).is_some_and(|head| head.ends_with(END)) {
                let end = at.saturating_add(1);
                if end > MAX_HEAD {
                    return Err(HeadError::TooLarge);
                }
                return parse(bytes, start..end).map(Some);
            }
        }
        if bytes.len() < MAX_HEAD {
            Ok(None)
        } else {
            Err(HeadError::TooLarge)
        }
    }
}

/// Returns whether a request can begin with this byte: a method, or an empty line before it.
const fn is_start(byte: u8) -> bool {
    byte.is_ascii_alphabetic() || matches!(byte, b'\r' | b'\n')
}

fn parse(bytes: &[u8], at: Range<usize>) -> Result<Request, HeadError> {
    let mut fields = [httparse::EMPTY_HEADER; MAX_FIELDS];
    let mut parsed = httparse::Request::new(&mut fields);
    let bytes = bytes.get(at.clone()).unwrap_or_default();
    let status = parsed.parse(bytes).map_err(|error| match error {
        httparse::Error::TooManyHeaders => HeadError::TooLarge,
        error => HeadError::Malformed(error),
    })?;
    if status.is_partial() {
        return Err(HeadError::Malformed(httparse::Error::NewLine));
    }
    let fields = Fields(parsed.headers);
    let is_1_0 = parsed.version == Some(0);
    let method = parsed.method.unwrap_or_default();
    let host = host(&fields, method, parsed.path.unwrap_or_default(), is_1_0)?;
    for name in ["host", "content-length", "transfer-encoding"] {
        if fields.has("connection", name) {
            return Err(HeadError::BadConnection);
        }
    }
    let body = length(&fields, is_1_0)?;
    let has_name = host.name().is_some() && fields.all("host").next().is_some();
    let field = |name: &str| fields.text(name);
    Ok(Request {
        head: Head {
            method: method.to_owned(),
            host: host.name().map(str::to_owned),
            address: host.address(),
            accept: field("accept"),
            version: field("x-ms-version"),
            client_request_id: field("x-ms-client-request-id"),
            is_grpc: false,
        },
        body,
        closes: if is_1_0 {
            !fields.has("connection", "keep-alive")
        } else {
            fields.has("connection", "close")
        },
        is_1_0,
        expects: !is_1_0 && fields.has("expect", "100-continue"),
        upgrade: upgrade(&fields, body),
        has_name,
        at,
    })
}

fn upgrade(fields: &Fields<'_, '_>, body: Length) -> Option<Upgrade> {
    let mut values = fields.all("upgrade");
    let first = values.next()?;
    let is_web_socket = first.trim_ascii().eq_ignore_ascii_case(b"websocket")
        && values.next().is_none()
        && body == Length::None;
    Some(if is_web_socket {
        Upgrade::WebSocket
    } else {
        Upgrade::Other
    })
}

/// The fields of a head.
struct Fields<'f, 'b>(&'f [httparse::Header<'b>]);

impl<'b> Fields<'_, 'b> {
    /// Returns every value of a field.
    fn all(&self, name: &str) -> impl Iterator<Item = &'b [u8]> {
        let named = self
            .0
            .iter()
            .filter(move |field| field.name.eq_ignore_ascii_case(name));
        named.map(|field| field.value)
    }

    /// Returns whether one of the values of a field, between commas, is this one.
    fn has(&self, name: &str, token: &str) -> bool {
        self.all(name).any(|value| {
            let mut tokens = value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
            tokens.any(|own| own.eq_ignore_ascii_case(token.as_bytes()))
        })
    }

    /// Returns the first value of a field, if it is short printable text that an answer may repeat.
    fn text(&self, name: &str) -> Option<String> {
        const LONGEST: usize = 1024;
        let value = self.all(name).next()?;
        let is_text =
            value.len() <= LONGEST && value.iter().all(|byte| matches!(byte, b' '..=b'~'));
        is_text.then(|| String::from_utf8_lossy(value).into_owned())
    }
}

/// Returns where the body ends; whatever two servers could read differently is an error (RFC 9112,
/// 6.3).
fn length(fields: &Fields<'_, '_>, is_1_0: bool) -> Result<Length, HeadError> {
    let mut lengths = fields.all("content-length");
    let mut codings = fields.all("transfer-encoding");
    let (length, coding) = (lengths.next(), codings.next());
    if lengths.next().is_some() || codings.next().is_some() {
        return Err(HeadError::BadLength);
    }
    match (length, coding) {
        (None, None) => Ok(Length::None),
        (Some(length), None) => {
            let is_number = !length.is_empty() && length.iter().all(u8::is_ascii_digit);
            let text = std::str::from_utf8(length).ok().filter(|_| is_number);
            let count = text.and_then(|text| text.parse().ok());
            match count.ok_or(HeadError::BadLength)? {
                0 => Ok(Length::None),
                count => Ok(Length::Bytes(count)),
            }
        }
        (None, Some(coding)) if !is_1_0 && coding.eq_ignore_ascii_case(b"chunked") => {
            Ok(Length::Chunked)
        }
        _ => Err(HeadError::BadLength),
    }
}

/// Who is meant by an authority.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Who {
    Nobody,
    Name(String),
    Address(IpAddr),
}

impl Who {
    fn name(&self) -> Option<&str> {
        match self {
            Self::Name(name) => Some(name),
            _ => None,
        }
    }

    const fn address(&self) -> Option<IpAddr> {
        match self {
            Self::Address(address) => Some(*address),
            _ => None,
        }
    }
}

fn host(
    fields: &Fields<'_, '_>,
    method: &str,
    target: &str,
    is_1_0: bool,
) -> Result<Who, HeadError> {
    let mut hosts = fields.all("host");
    let field = hosts.next();
    if hosts.next().is_some() || (!is_1_0 && field.is_none()) {
        return Err(HeadError::BadHost);
    }
    let read = |field: &[u8]| {
        let text = std::str::from_utf8(field).map_err(|_| HeadError::BadHost)?;
        authority(text.trim())
    };
    let field = field.map(read).transpose()?;
    let is_path = target.starts_with('/') || (target == "*" && method == "OPTIONS");
    // What follows `#` stays with clients, and some servers cut it off.
    if target.contains('#') || method == "CONNECT" {
        return Err(HeadError::BadTarget);
    }
    if is_path {
        return Ok(field.map_or(Who::Nobody, |(who, _)| who));
    }
    let (scheme, rest) = target.split_once("://").ok_or(HeadError::BadTarget)?;
    let usual = match scheme.to_ascii_lowercase().as_str() {
        "http" => 80,
        "https" => 443,
        _ => return Err(HeadError::BadTarget),
    };
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (who, port) = authority(rest.get(..end).unwrap_or_default())?;
    match field {
        Some((other, other_port))
            if other != who || other_port.unwrap_or(usual) != port.unwrap_or(usual) =>
        {
            Err(HeadError::BadHost)
        }
        _ => Ok(who),
    }
}

/// Reads `name:port`.
fn authority(text: &str) -> Result<(Who, Option<u16>), HeadError> {
    let (name, port) = match text.rsplit_once(':') {
        Some((name, "")) => (name, None),
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => {
            (name, Some(port.parse().map_err(|_| HeadError::BadHost)?))
        }
        _ => (text, None),
    };
    let inner = name
        .strip_prefix('[')
        .and_then(|name| name.strip_suffix(']'));
    let address = match inner {
        Some(inner) => inner.parse().ok().map(IpAddr::V6),
        None => name.parse().ok().map(IpAddr::V4),
    };
    let who = match address {
        Some(address) => Who::Address(address),
        None => Who::Name(host_name(name).ok_or(HeadError::BadHost)?),
    };
    Ok((who, port))
}

impl Head {
    /// Returns what an answer needs of a request of HTTP/2, whomever it is for.
    #[must_use]
    pub fn of<B>(request: &hyper::Request<B>) -> Self {
        let field = |name: &str| {
            const LONGEST: usize = 1024;
            let value = request.headers().get(name)?.to_str().ok()?;
            (value.len() <= LONGEST).then(|| value.to_owned())
        };
        let kind = field("content-type").unwrap_or_default();
        Self {
            method: request.method().to_string(),
            accept: field("accept"),
            version: field("x-ms-version"),
            client_request_id: field("x-ms-client-request-id"),
            is_grpc: kind.starts_with("application/grpc"),
            ..Self::default()
        }
    }

    /// Returns what a request of HTTP/2 is judged and answered by.
    ///
    /// # Errors
    ///
    /// It names no host, or two.
    pub fn judged<B>(request: &hyper::Request<B>) -> Result<Self, HeadError> {
        if request.method() == hyper::Method::CONNECT {
            return Err(HeadError::BadTarget);
        }
        let mut hosts = request.headers().get_all(hyper::header::HOST).iter();
        let (field, second) = (hosts.next(), hosts.next());
        let field = field.map(|field| {
            let text = field.to_str().map_err(|_| HeadError::BadHost)?;
            authority(text)
        });
        let named = request
            .uri()
            .authority()
            .map(|named| authority(named.as_str()));
        let (who, _) = match (named.transpose()?, field.transpose()?) {
            (Some(named), Some(field)) if named != field => return Err(HeadError::BadHost),
            (Some(one), _) | (None, Some(one)) if second.is_none() => one,
            _ => return Err(HeadError::BadHost),
        };
        Ok(Self {
            host: who.name().map(str::to_owned),
            address: who.address(),
            ..Self::of(request)
        })
    }
}

impl Request {
    /// Returns the head as it goes on to the backend of who has `host`: as it came, but without what
    /// would turn the connection into something in which more could be asked for, unjudged. One that
    /// calls nobody by name gets the name that it was judged by: a server that holds several accounts
    /// would take another from the path.
    #[must_use]
    pub fn forwarded(&self, bytes: &[u8], host: &str) -> Vec<u8> {
        let head = bytes.get(self.at.clone()).unwrap_or_default();
        let is_plain = self.upgrade != Some(Upgrade::Other);
        if is_plain && self.has_name {
            return head.to_vec();
        }
        let mut out = Vec::with_capacity(head.len());
        let mut lines = head.split_inclusive(|byte| *byte == b'\n');
        let first = lines.next().unwrap_or_default();
        if self.has_name {
            out.extend(first);
        } else {
            out.extend(with_path(first));
            out.extend(format!("Host: {host}\r\n").as_bytes());
        }
        for line in lines {
            let name = line.split(|byte| *byte == b':').next().unwrap_or_default();
            let value = line.get(name.len().saturating_add(1)..).unwrap_or_default();
            let is = |other: &str| name.eq_ignore_ascii_case(other.as_bytes());
            if !self.has_name && is("host") {
                continue;
            }
            if is_plain {
                out.extend(line);
            } else if is("connection") {
                out.extend(staying(value));
            } else if !is("upgrade") && !is("http2-settings") {
                out.extend(line);
            }
        }
        out
    }
}

/// Returns a request line whose target is a path, if it was absolute.
fn with_path(line: &[u8]) -> Vec<u8> {
    let mut words = line.splitn(3, |byte| *byte == b' ');
    let [method, target, version] = [(); 3].map(|()| words.next().unwrap_or_default());
    let mark = target.windows(3).position(|at| at == b"://");
    let rest = match mark.filter(|_| !target.starts_with(b"/")) {
        None => return line.to_vec(),
        Some(at) => target.get(at.saturating_add(3)..).unwrap_or_default(),
    };
    let path = rest.iter().position(|byte| matches!(byte, b'/' | b'?'));
    let path = path.and_then(|at| rest.get(at..)).unwrap_or_default();
    let root: &[u8] = if path.starts_with(b"/") { b"" } else { b"/" };
    [method, b" ", root, path, b" ", version].concat()
}

/// Returns the `Connection` field without what asks for another protocol; nothing if that is all.
fn staying(value: &[u8]) -> Vec<u8> {
    let tokens = value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
    let stay: Vec<&[u8]> = tokens
        .filter(|token| {
            !token.eq_ignore_ascii_case(b"upgrade")
                && !token.eq_ignore_ascii_case(b"http2-settings")
        })
        .collect();
    if stay.is_empty() {
        return Vec::new();
    }
    [b"Connection: ", &stay.join(&b", "[..])[..], b"\r\n"].concat()
}

#[cfg(test)]
mod tests;
