//! ICMP (RFC 792): echo, and the errors that quote a packet.

use super::WireError;

/// Length of the header.
pub const LEN: usize = 8;
/// Where the checksum is, from the start of the header.
pub const CHECKSUM: usize = 2;
/// Where the identifier of an echo is, from the start of the header.
pub const IDENT: usize = 4;

/// Type of an echo reply.
pub const ECHO_REPLY: u8 = 0;
/// Type of an echo request.
pub const ECHO_REQUEST: u8 = 8;
/// Type "destination unreachable".
pub const UNREACHABLE: u8 = 3;
/// Code of [`UNREACHABLE`]: the packet is too big and must not be cut (RFC 1191).
pub const FRAGMENTATION_NEEDED: u8 = 4;
/// Code of [`UNREACHABLE`]: nothing listens at the port.
pub const PORT_UNREACHABLE: u8 = 3;
/// Code of [`UNREACHABLE`]: somebody between does not let it pass (RFC 1812).
pub const PROHIBITED: u8 = 13;
/// Type "time exceeded".
pub const TIME_EXCEEDED: u8 = 11;
const PARAMETER_PROBLEM: u8 = 12;

/// What a message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Message {
    /// An echo request or reply with this identifier.
    Echo {
        /// Request or reply.
        request: bool,
        /// The identifier, which plays the part of a port.
        ident: u16,
    },
    /// An error that quotes the packet which caused it.
    Error,
}

/// Returns what the message in `bytes` is.
///
/// # Errors
///
/// [`WireError::Length`] if the header is not all there; [`WireError::IcmpType`] for every type
/// that is not carried, source quench and redirect among them.
pub fn parse(bytes: &[u8]) -> Result<Message, WireError> {
    let Some(&[kind, _, _, _, i0, i1, _, _]) = bytes.first_chunk::<LEN>() else {
        return Err(WireError::Length {
            header: "ICMP",
            len_bytes: bytes.len(),
        });
    };
    match kind {
        ECHO_REQUEST | ECHO_REPLY => Ok(Message::Echo {
            request: kind == ECHO_REQUEST,
            ident: u16::from_be_bytes([i0, i1]),
        }),
        UNREACHABLE | TIME_EXCEEDED | PARAMETER_PROBLEM => Ok(Message::Error),
        other => Err(WireError::IcmpType(other)),
    }
}
