//! Requests over the control socket, without a process for each.

use serde_json::{Value, json};
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;

/// The version of the API that the requests speak.
const VERSION: &str = "2024-05-01";

/// A connection to the control socket of a daemon.
#[derive(Debug)]
pub struct Control {
    stream: BufReader<UnixStream>,
}

impl Control {
    /// Connects to the daemon of this socket.
    ///
    /// # Errors
    ///
    /// Nobody listens there.
    pub fn connect(path: &Path) -> io::Result<Self> {
        let stream = BufReader::new(UnixStream::connect(path)?);
        Ok(Self { stream })
    }

    /// Sends a request of Azure Resource Manager's protocol and returns status and body.
    ///
    /// # Errors
    ///
    /// The daemon is gone before it has answered.
    pub fn arm(&mut self, method: &str, path: &str, body: &Value) -> io::Result<(u16, Value)> {
        let mark = if path.contains('?') { '&' } else { '?' };
        let body = match body {
            Value::Null => String::new(),
            body => body.to_string(),
        };
        let answer = self.ask(&json!({
            "verb": "arm",
            "method": method,
            "target": format!("{path}{mark}api-version={VERSION}"),
            "body": body,
        }))?;
        let result = &answer["result"];
        let status = result["status"].as_u64().unwrap_or_default();
        let status = u16::try_from(status).unwrap_or_default();
        assert_ne!(status, 0, "not an answer: {answer}");
        Ok((status, result["body"].clone()))
    }

    /// Sends any request and returns the answer.
    ///
    /// # Errors
    ///
    /// The daemon is gone before it has answered.
    pub fn ask(&mut self, request: &Value) -> io::Result<Value> {
        self.send(request)?;
        let mut line = String::new();
        if self.stream.read_line(&mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(serde_json::from_str(&line)?)
    }

    /// Sends any request and does not wait for the answer.
    ///
    /// # Errors
    ///
    /// The daemon is gone.
    pub fn send(&mut self, request: &Value) -> io::Result<()> {
        let line = format!("{request}\n");
        self.stream.get_mut().write_all(line.as_bytes())
    }
}
