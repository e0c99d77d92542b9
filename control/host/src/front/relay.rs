//! An allowed connection: bytes in both directions, unread and unchanged.
//!
//! What was read before the decision goes first, after a PROXY header if the backend wants one. A
//! header that the client wrote itself comes after that one, as payload, and is nobody's word.
//! Each direction has one buffer of [`BUFFER`] bytes, however much passes and however slow the
//! receiver is; the end of one direction is passed on without ending the other; a reset is passed
//! on as a reset. Whatever else ends a connection before both directions have ended is a reset too,
//! so that nobody takes it for the end of what was said.

use super::activity::{Activity, Watched};
use super::caller::{Caller, Ends};
use postern_dataplane::carrier::proxy2::{Crc, Encoded, Header};
use std::io;
use std::net::SocketAddrV4;
use std::time::Duration;
use tokio::io::{AsyncWriteExt, copy_bidirectional_with_sizes};
use tokio::net::TcpStream;

/// The bytes that are held for one direction of a connection.
pub const BUFFER: usize = 32 * 1024;

/// Bytes that passed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Passed {
    /// To the backend, the PROXY header not counted.
    pub to_backend: u64,
    /// To the client.
    pub to_client: u64,
}

/// Returns the PROXY header that tells a backend of a connection.
#[must_use]
pub fn header(ends: &Ends) -> Encoded {
    let identity = match ends.caller {
        Caller::Subnet { identity, .. } => Some(identity),
        Caller::Public(_) => None,
    };
    let header = Header {
        source: SocketAddrV4::new(ends.caller.address(), ends.caller_port),
        destination: SocketAddrV4::new(ends.vip, ends.port),
        identity,
        link_id: None,
    };
    header.encode(Crc::With)
}

/// Passes bytes until both directions have ended, and notes when some pass. If it is dropped before,
/// both connections are reset.
///
/// # Errors
///
/// One of the two connections broke; the other one is then broken too.
pub async fn relay(
    client: &mut TcpStream,
    backend: &mut TcpStream,
    header: Option<&Encoded>,
    read: &[u8],
    activity: &Activity,
) -> io::Result<Passed> {
    for stream in [&*client, &*backend] {
        prepare(stream);
        let _ = stream.set_zero_linger();
    }
    let passed = pass(client, backend, header, read, activity).await;
    if passed.is_ok() {
        for stream in [client, backend] {
            // What was written last may still be on its way.
            let _ = rustix::net::sockopt::set_socket_linger(stream, None);
        }
    }
    passed
}

async fn pass(
    client: &mut TcpStream,
    backend: &mut TcpStream,
    header: Option<&Encoded>,
    read: &[u8],
    activity: &Activity,
) -> io::Result<Passed> {
    let client = &mut Watched::new(client, activity.clone());
    if let Some(header) = header {
        backend.write_all(header.as_bytes()).await?;
    }
    backend.write_all(read).await?;
    let (to_backend, to_client) =
        copy_bidirectional_with_sizes(client, backend, BUFFER, BUFFER).await?;
    Ok(Passed {
        to_backend: to_backend.saturating_add(read.len() as u64),
        to_client,
    })
}

/// Sets what a relayed socket needs: small writes at once, and an end for a peer that vanished.
pub(super) fn prepare(stream: &TcpStream) {
    const IDLE: Duration = Duration::from_secs(60);
    let _ = stream.set_nodelay(true);
    let _ = rustix::net::sockopt::set_socket_keepalive(stream, true);
    let _ = rustix::net::sockopt::set_tcp_keepidle(stream, IDLE);
}
