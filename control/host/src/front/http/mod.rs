//! HTTP/1 as it comes over a connection: heads, and where their bodies end.
//!
//! A request is read so strictly that nobody behind can read it otherwise: line ends are CRLF, no
//! line is folded, a body has one length, and the host is said once, or twice the same. What is
//! read otherwise by some servers is refused, not repaired (RFC 9112, 11.2). Answers come from a
//! backend, and are read as they are meant.

mod body;
mod head;
mod response;

pub use body::{BadBody, Body, Length};
pub use head::{Head, HeadError, HeadReader, MAX_FIELDS, MAX_HEAD, Request, Upgrade};
pub use response::{BadResponse, Response, response};
