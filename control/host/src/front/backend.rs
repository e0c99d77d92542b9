//! Reaching the server behind a door.

use super::ca::Certificates;
use super::caller::Ends;
use super::door::Door;
use super::relay;
use crate::attach;
use postern_network::model::Backend;
use rustix::net::{AddressFamily, SocketFlags, SocketType};
use rustls::pki_types::ServerName;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::{TcpSocket, TcpStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

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

/// A connection to a backend over which requests go, in the clear or inside TLS.
#[derive(Debug)]
pub enum Stream {
    /// In the clear.
    Clear(TcpStream),
    /// Inside TLS.
    Tls(Box<TlsStream<TcpStream>>),
}

impl Stream {
    /// Returns whether HTTP/2 was agreed on.
    #[must_use]
    pub fn is_http2(&self) -> bool {
        match self {
            Self::Clear(_) => false,
            Self::Tls(tls) => tls.get_ref().1.alpn_protocol() == Some(b"h2"),
        }
    }
}

/// Connects to the backend of a door for requests: with the PROXY header if it wants one, and with
/// TLS if it speaks that, where these protocols are offered inside.
///
/// # Errors
///
/// As [`connect`]; the backend does not take the header, or its certificate is not by the authority.
pub async fn open(
    door: &Door,
    ends: &Ends,
    certificates: &Certificates,
    inside: &[&str],
) -> io::Result<Stream> {
    let backend = &door.front.backend;
    let mut stream = connect(backend, ends.port).await?;
    relay::prepare(&stream);
    if backend.proxy_protocol {
        stream.write_all(relay::header(ends).as_bytes()).await?;
    }
    if !backend.tls {
        return Ok(Stream::Clear(stream));
    }
    let config = certificates.ca().client(inside).map_err(io::Error::other)?;
    let name = ServerName::try_from(door.host.clone()).map_err(io::Error::other)?;
    let connector = TlsConnector::from(Arc::new(config));
    let tls = connector.connect(name, stream).await?;
    Ok(Stream::Tls(Box::new(tls)))
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Clear(stream) => Pin::new(stream).poll_read(context, buffer),
            Self::Tls(stream) => Pin::new(stream).poll_read(context, buffer),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Clear(stream) => Pin::new(stream).poll_write(context, bytes),
            Self::Tls(stream) => Pin::new(stream).poll_write(context, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Clear(stream) => Pin::new(stream).poll_flush(context),
            Self::Tls(stream) => Pin::new(stream).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Clear(stream) => Pin::new(stream).poll_shutdown(context),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(context),
        }
    }
}
