//! Answering at a pair of sockets.
//!
//! What anybody may send is bounded: the length of a query, the queries of one asker that wait for
//! a forwarder and those of all, the connections of one asker and those of all, and how long one
//! may take to send its next query or to read its answer. What does not wait for anybody is
//! answered at once, in the order in which it came.

use super::answer::{Reply, reply};
use super::forward::{self, framed};
use super::message::{Extended, MAX_QUERY, Query, Transport};
use super::pace::Pace;
use super::shares::{Share, Shares};
use super::zone::Zone;
use hickory_proto::op::ResponseCode;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tracing::debug;

/// The queries that wait for forwarders, all together.
const MOST_WAITING: usize = 1024;

/// Those of one asker: as many as the platform lets one machine have.
const MOST_WAITING_EACH: usize = 200;

/// The datagrams of one asker that are looked at in a second: as many as the platform answers one
/// machine. More are not answered, as there.
const MOST_A_SECOND: u32 = 1000;

/// The open connections, all together.
const MOST_CONNECTIONS: usize = 256;

/// Those of one asker.
const MOST_CONNECTIONS_EACH: usize = 16;

/// How long a connection may take to send a query, or to take an answer.
const IDLE: Duration = Duration::from_secs(10);

/// How long to leave a socket alone that fails.
const PAUSE: Duration = Duration::from_millis(100);

/// What answers, wherever its sockets are.
#[derive(Debug)]
pub(super) struct Server {
    zones: watch::Receiver<Arc<Zone>>,
    waiting: Arc<Shares>,
    connections: Arc<Shares>,
}

impl Server {
    /// Returns a server that answers from the newest zone.
    pub(super) fn new(zones: watch::Receiver<Arc<Zone>>) -> Arc<Self> {
        Arc::new(Self {
            zones,
            waiting: Shares::new(MOST_WAITING, MOST_WAITING_EACH),
            connections: Shares::new(MOST_CONNECTIONS, MOST_CONNECTIONS_EACH),
        })
    }

    /// Answers datagrams for ever.
    pub(super) async fn serve_udp(self: Arc<Self>, socket: Arc<UdpSocket>) {
        let mut forwarded = JoinSet::new();
        // One more than is read, so that a query that is too long shows.
        let mut bytes = vec![0; MAX_QUERY.saturating_add(1)];
        let mut pace = Pace::new(MOST_A_SECOND);
        loop {
            let received = socket.recv_from(&mut bytes).await;
            while forwarded.try_join_next().is_some() {}
            let (length, peer) = match received {
                Ok(received) => received,
                Err(error) => {
                    debug!(%error, "cannot take a query");
                    sleep(PAUSE).await;
                    continue;
                }
            };
            let (Some(bytes), Some(asker)) = (bytes.get(..length), ipv4(peer)) else {
                continue;
            };
            if !pace.take(Instant::now(), asker) {
                continue;
            }
            let zone = self.zone();
            match reply(&zone, bytes, asker, Transport::Udp) {
                Reply::Answer(answer) => send(&socket, &answer, peer),
                Reply::Nothing => {}
                Reply::Forward(query) => match self.waiting.take(asker) {
                    None => {
                        let refused = too_many(&query, Transport::Udp);
                        refused
                            .iter()
                            .for_each(|answer| send(&socket, answer, peer));
                    }
                    Some(share) => {
                        let (socket, bytes) = (Arc::clone(&socket), bytes.to_vec());
                        forwarded.spawn(async move {
                            let _held = share;
                            let answer = ask(&zone, &bytes, &query, Transport::Udp).await;
                            answer.iter().for_each(|answer| send(&socket, answer, peer));
                        });
                    }
                },
            }
        }
    }

    /// Takes connections for ever. One that is too many is closed at once: the asker may come again
    /// when another has ended.
    pub(super) async fn serve_tcp(self: Arc<Self>, listener: TcpListener) {
        let mut open = JoinSet::new();
        loop {
            let accepted = listener.accept().await;
            while open.try_join_next().is_some() {}
            let (stream, peer) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    debug!(%error, "cannot take a connection");
                    sleep(PAUSE).await;
                    continue;
                }
            };
            let Some(asker) = ipv4(peer) else { continue };
            match self.connections.take(asker) {
                Some(share) => {
                    open.spawn(Arc::clone(&self).converse(stream, asker, share));
                }
                None => debug!(%asker, "too many connections"),
            }
        }
    }

    async fn converse(self: Arc<Self>, mut stream: TcpStream, asker: Ipv4Addr, _held: Share) {
        loop {
            let more = timeout(IDLE, next(&mut stream)).await;
            let bytes = match more {
                Ok(Ok(bytes)) => bytes,
                Ok(Err(error)) => return debug!(%asker, %error, "the connection ends"),
                Err(_) => return debug!(%asker, "the connection is idle"),
            };
            let zone = self.zone();
            let answer = match reply(&zone, &bytes, asker, Transport::Tcp) {
                Reply::Answer(answer) => Some(answer),
                Reply::Nothing => None,
                Reply::Forward(query) => match self.waiting.take(asker) {
                    None => too_many(&query, Transport::Tcp),
                    Some(_share) => ask(&zone, &bytes, &query, Transport::Tcp).await,
                },
            };
            let Some(Ok(framed)) = answer.map(|answer| framed(&answer)) else {
                // Whoever sends what is no query gets no second chance.
                return;
            };
            match timeout(IDLE, stream.write_all(&framed)).await {
                Ok(Ok(())) => {}
                _ => return debug!(%asker, "the connection takes no answer"),
            }
        }
    }

    fn zone(&self) -> Arc<Zone> {
        Arc::clone(&self.zones.borrow())
    }
}

/// Reads the next query of a connection.
async fn next(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let length = usize::from(stream.read_u16().await?);
    if length > MAX_QUERY {
        return Err(io::Error::other("the query is too long"));
    }
    let mut bytes = vec![0; length];
    stream.read_exact(&mut bytes).await?;
    Ok(bytes)
}

/// Returns the answer of the forwarders, or that there is none.
async fn ask(zone: &Zone, bytes: &[u8], query: &Query, transport: Transport) -> Option<Vec<u8>> {
    match forward::ask(&zone.forwarders, bytes, query, transport).await {
        Some(answer) => query.fit(answer, transport),
        None => {
            let message = query.refusal(ResponseCode::ServFail, Extended::NO_ANSWER);
            query.write(&message, transport)
        }
    }
}

fn too_many(query: &Query, transport: Transport) -> Option<Vec<u8>> {
    let message = query.refusal(ResponseCode::ServFail, Extended::TOO_MANY);
    query.write(&message, transport)
}

/// Sends an answer. If the device takes no more, it is lost, and the asker asks again.
fn send(socket: &UdpSocket, answer: &[u8], peer: SocketAddr) {
    if let Err(error) = socket.try_send_to(answer, peer) {
        debug!(%peer, %error, "cannot send an answer");
    }
}

fn ipv4(peer: SocketAddr) -> Option<Ipv4Addr> {
    match peer {
        SocketAddr::V4(peer) => Some(*peer.ip()),
        SocketAddr::V6(_) => None,
    }
}

#[cfg(test)]
mod tests;
