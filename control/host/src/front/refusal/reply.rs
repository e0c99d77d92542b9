//! An HTTP answer on its way to bytes.

use crate::front::date::Date;
use http_body_util::Full;
use hyper::Response;
use hyper::body::Bytes;
use hyper::header::{CONTENT_LENGTH, HeaderValue};
use std::fmt::Write;
use std::time::SystemTime;

/// An HTTP answer after which the connection closes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    status: &'static str,
    fields: Vec<(&'static str, String)>,
    body: String,
}

impl Reply {
    /// Returns an answer of this status, such as `403 Forbidden`.
    #[must_use]
    pub fn new(status: &'static str, content_type: &str, body: impl Into<String>) -> Self {
        Self {
            status,
            fields: vec![("Content-Type", content_type.to_owned())],
            body: body.into(),
        }
    }

    /// Adds a field.
    #[must_use]
    pub fn field(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.fields.push((name, value.into()));
        self
    }

    /// Adds a field if there is a value.
    #[must_use]
    pub fn maybe(self, name: &'static str, value: Option<&str>) -> Self {
        match value {
            Some(value) => self.field(name, value),
            None => self,
        }
    }

    /// Returns the answer as a client of gRPC reads it: the status of a trailer without any body,
    /// beside that of HTTP.
    #[must_use]
    pub fn for_grpc(self) -> Self {
        const PERMISSION_DENIED: &str = "7";
        let kept = self.fields.into_iter();
        let kept = kept.filter(|(name, _)| *name != "Content-Type").collect();
        let refused = Self {
            status: self.status,
            fields: kept,
            body: String::new(),
        };
        refused
            .field("Content-Type", "application/grpc")
            .field("grpc-status", PERMISSION_DENIED)
            .field("grpc-message", percent(&words(&self.body)))
    }

    /// Returns the answer for HTTP/2.
    #[must_use]
    pub fn response(&self, is_head: bool) -> Response<Full<Bytes>> {
        let body = if is_head { "" } else { self.body.as_str() };
        let mut response = Response::new(Full::from(body.to_owned()));
        let code = self.status.split(' ').next().unwrap_or_default();
        *response.status_mut() = code.parse().unwrap_or_default();
        let fields = response.headers_mut();
        for (name, value) in &self.fields {
            if let (Ok(name), Ok(value)) = (
                hyper::header::HeaderName::try_from(*name),
                HeaderValue::try_from(clean(value)),
            ) {
                fields.append(name, value);
            }
        }
        fields.insert(CONTENT_LENGTH, self.body.len().into());
        response
    }

    /// Returns the bytes. The answer to `HEAD` tells the length of the body that it leaves out.
    #[must_use]
    pub fn encode(&self, at: SystemTime, is_head: bool) -> Vec<u8> {
        let mut text = String::with_capacity(1024);
        // Writing to a string cannot fail.
        let _ = write!(text, "HTTP/1.1 {}\r\n", self.status);
        let _ = write!(text, "Content-Length: {}\r\n", self.body.len());
        for (name, value) in &self.fields {
            let _ = write!(text, "{name}: {}\r\n", clean(value));
        }
        let date = Date::of(at).http();
        let _ = write!(text, "Date: {date}\r\nConnection: close\r\n\r\n");
        if !is_head {
            text.push_str(&self.body);
        }
        text.into_bytes()
    }
}

/// Returns a value without what ends a field: what a caller sent must not become one of its own.
fn clean(value: &str) -> String {
    value.chars().filter(|c| !c.is_control()).collect()
}

/// Returns the words of a body: without the marks of XML and HTML, and their line ends.
fn words(body: &str) -> String {
    let mut text = String::with_capacity(body.len());
    let mut is_mark = false;
    for letter in body.chars() {
        match letter {
            '<' => is_mark = true,
            '>' if is_mark => {
                is_mark = false;
                text.push(' ');
            }
            '\u{feff}' => {}
            _ if is_mark => {}
            _ => text.push(letter),
        }
    }
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Returns text as `grpc-message` has it: all but printable ASCII by its percent code.
fn percent(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if matches!(byte, b' '..=b'~') && byte != b'%' {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

/// Returns text as it stands inside an XML or HTML element.
#[must_use]
pub fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::front::date::tests::moment;

    #[test]
    fn an_answer_is_written_to_the_byte() {
        let reply = Reply::new("403 Forbidden", "text/plain", "no\n")
            .field("X-A", "b\r\nX-C: d")
            .maybe("X-E", None)
            .maybe("X-F", Some("g"));
        let fields = "HTTP/1.1 403 Forbidden\r\nContent-Length: 3\r\nContent-Type: text/plain\r\n\
                      X-A: bX-C: d\r\nX-F: g\r\nDate: Tue, 05 Nov 2019 10:12:03 GMT\r\n\
                      Connection: close\r\n\r\n";
        let bytes = reply.encode(moment(), false);
        assert_eq!(String::from_utf8(bytes).unwrap(), format!("{fields}no\n"));
        let bytes = reply.encode(moment(), true);
        assert_eq!(String::from_utf8(bytes).unwrap(), fields);
    }

    #[test]
    fn an_answer_of_http2_says_the_same() {
        let reply = Reply::new("403 Ip Forbidden", "text/xml", "<a>no</a>\n<b>100%</b>");
        let reply = reply.field("X-A", "b\r\nc");
        let response = reply.response(true);
        assert_eq!(response.status(), 403);
        assert_eq!(response.headers()["x-a"], "bc");
        assert_eq!(response.headers()["content-length"], "21");
        let grpc = reply.for_grpc().response(false);
        assert_eq!(grpc.headers()["grpc-status"], "7");
        assert_eq!(grpc.headers()["grpc-message"], "no 100%25");
        assert_eq!(grpc.headers()["content-type"], "application/grpc");
    }

    #[test]
    fn markup_in_text_is_escaped() {
        assert_eq!(escaped("<a&b>"), "&lt;a&amp;b&gt;");
    }
}
