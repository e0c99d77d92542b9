//! The head of a backend's answer.

use super::body::Length;

/// The longest head of an answer, in bytes.
const MAX_HEAD: usize = 64 * 1024;
const MAX_FIELDS: usize = 256;

/// Why bytes are no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadResponse {
    /// The head is too long.
    #[error("an answer whose head has more than {MAX_HEAD} bytes")]
    TooLarge,
    /// It is no HTTP/1 answer.
    #[error("not an HTTP/1 answer: {0}")]
    Malformed(httparse::Error),
    /// Its body cannot be told from what follows.
    #[error("an answer without one length")]
    BadLength,
}

/// An answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Response {
    /// Its status.
    pub status: u16,
    /// Its body.
    pub body: Length,
    /// Whether the connection ends with it.
    pub closes: bool,
    /// How many bytes the head has.
    pub length: usize,
}

/// Reads the head of an answer, to a `HEAD` perhaps; returns it once it is whole.
///
/// # Errors
///
/// The bytes cannot become one, whatever follows.
pub fn response(bytes: &[u8], to_head: bool) -> Result<Option<Response>, BadResponse> {
    let mut fields = [httparse::EMPTY_HEADER; MAX_FIELDS];
    let mut parsed = httparse::Response::new(&mut fields);
    let length = match parsed.parse(bytes).map_err(BadResponse::Malformed)? {
        httparse::Status::Complete(length) => length,
        httparse::Status::Partial if bytes.len() < MAX_HEAD => return Ok(None),
        httparse::Status::Partial => return Err(BadResponse::TooLarge),
    };
    let status = parsed.code.unwrap_or_default();
    let values = |name: &'static str| {
        let fields = parsed.headers.iter();
        let named = fields.filter(move |field| field.name.eq_ignore_ascii_case(name));
        named.map(|field| String::from_utf8_lossy(field.value).into_owned())
    };
    let has = |name, token: &str| {
        values(name).any(|value| {
            let mut tokens = value.split(',').map(str::trim);
            tokens.any(|own| own.eq_ignore_ascii_case(token))
        })
    };
    let closes = if parsed.version == Some(1) {
        has("connection", "close")
    } else {
        !has("connection", "keep-alive")
    };
    let body = if to_head || status < 200 || matches!(status, 204 | 304) {
        Length::None
    } else if values("transfer-encoding").next().is_some() {
        let last = values("transfer-encoding").next_back().unwrap_or_default();
        let coding = last.rsplit(',').next().unwrap_or_default().trim();
        if coding.eq_ignore_ascii_case("chunked") {
            Length::Chunked
        } else {
            Length::UntilClose
        }
    } else {
        told_length(values("content-length"))?
    };
    Ok(Some(Response {
        status,
        body,
        closes: closes || body == Length::UntilClose,
        length,
    }))
}

/// Returns the length that fields tell, the same each time.
fn told_length(mut values: impl Iterator<Item = String>) -> Result<Length, BadResponse> {
    let Some(first) = values.next() else {
        return Ok(Length::UntilClose);
    };
    let is_number = first.bytes().all(|byte| byte.is_ascii_digit());
    let length = first.parse().ok().filter(|_| is_number);
    if values.any(|value| value != first) {
        return Err(BadResponse::BadLength);
    }
    length.map(Length::Bytes).ok_or(BadResponse::BadLength)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(fields: &str) -> Length {
        let text = format!("HTTP/1.1 200 OK\r\n{fields}\r\n");
        response(text.as_bytes(), false).unwrap().unwrap().body
    }

    #[test]
    fn the_body_is_told_by_status_method_and_fields() {
        assert_eq!(body("Content-Length: 5\r\n"), Length::Bytes(5));
        assert_eq!(
            body("Content-Length: 5\r\ncontent-length: 5\r\n"),
            Length::Bytes(5)
        );
        assert_eq!(body("Transfer-Encoding: Chunked\r\n"), Length::Chunked);
        assert_eq!(body(""), Length::UntilClose);
        let head = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n";
        assert_eq!(response(head, true).unwrap().unwrap().body, Length::None);
        for status in [101, 103, 204, 304] {
            let text = format!("HTTP/1.1 {status} X\r\nContent-Length: 5\r\n\r\n");
            let response = response(text.as_bytes(), false).unwrap().unwrap();
            assert_eq!((response.status, response.body), (status, Length::None));
        }
    }

    #[test]
    fn what_is_no_answer_is_told() {
        assert!(response(b"SSH-2.0-x\r\n", false).is_err());
        assert_eq!(response(b"HTTP/1.1 200 OK\r\nContent", false), Ok(None));
        for length in ["-1", "5, 5", "x", "+5"] {
            let text = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n");
            let read = response(text.as_bytes(), false);
            assert_eq!(read, Err(BadResponse::BadLength), "{length}");
        }
    }

    #[test]
    fn who_closes_is_told_by_version_and_field() {
        for (text, closes) in [
            ("HTTP/1.1 204 X\r\n\r\n", false),
            ("HTTP/1.1 204 X\r\nConnection: x, Close\r\n\r\n", true),
            ("HTTP/1.0 204 X\r\n\r\n", true),
            ("HTTP/1.0 204 X\r\nConnection: keep-alive\r\n\r\n", false),
        ] {
            let response = response(text.as_bytes(), false).unwrap().unwrap();
            assert_eq!(response.closes, closes, "{text}");
        }
    }
}
