//! An HTTP answer on its way to bytes.

use crate::front::date::Date;
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

    /// Returns the bytes. The answer to `HEAD` tells the length of the body that it leaves out.
    #[must_use]
    pub fn encode(&self, at: SystemTime, is_head: bool) -> Vec<u8> {
        let mut text = String::with_capacity(1024);
        // Writing to a string cannot fail.
        let _ = write!(text, "HTTP/1.1 {}\r\n", self.status);
        let _ = write!(text, "Content-Length: {}\r\n", self.body.len());
        for (name, value) in &self.fields {
            // What a caller sent must not become a field of its own.
            let value: String = value.chars().filter(|c| !c.is_control()).collect();
            let _ = write!(text, "{name}: {value}\r\n");
        }
        let date = Date::of(at).http();
        let _ = write!(text, "Date: {date}\r\nConnection: close\r\n\r\n");
        if !is_head {
            text.push_str(&self.body);
        }
        text.into_bytes()
    }
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
    fn markup_in_text_is_escaped() {
        assert_eq!(escaped("<a&b>"), "&lt;a&amp;b&gt;");
    }
}
