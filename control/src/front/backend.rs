//! Reaching the server behind a door.

use crate::attach;
use crate::model::Backend;
use rustix::net::{AddressFamily, SocketFlags, SocketType};
use std::io;
use std::net::{IpAddr, SocketAddr};
use tokio::net::{TcpSocket, TcpStream};

/// Connects to a backend; `called` is the port that the client called.
///
/// # Errors
///
/// Nobody answers there, or its namespace cannot be entered.
pub async fn connect(backend: &Backend, called: u16) -> io::Result<TcpStream> {
    let address = SocketAddr::new(backend.address, backend.port.unwrap_or(called));
    let Some(namespace) = backend.namespace.clone() else {
        return TcpStream::connect(address).await;
    };
    // A socket stays in the namespace in which it was made: only that is done over there.
    let is_v4 = matches!(backend.address, IpAddr::V4(_));
    let make = move || attach::inside(&namespace, || socket(is_v4));
    let made = tokio::task::spawn_blocking(make).await;
    let socket = made
        .map_err(io::Error::other)?
        .map_err(io::Error::other)??;
    socket.connect(address).await
}

fn socket(is_v4: bool) -> io::Result<TcpSocket> {
    let family = if is_v4 {
        AddressFamily::INET
    } else {
        AddressFamily::INET6
    };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = rustix::net::socket_with(family, SocketType::STREAM, flags, None)?;
    Ok(TcpSocket::from_std_stream(socket.into()))
}
