//! Asking the forwarders of the configuration, from the host's namespace.
//!
//! The question goes on as it came, under a number of our own and from a port of its own, both at
//! random, through a socket that takes datagrams of the asked server only; an answer counts if it
//! has that number and repeats the question. So whoever wants to slip in an answer has to guess
//! both numbers (RFC 5452). Nothing is kept: the next asker asks again.

use super::message::{Query, Transport};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::{Instant, timeout_at};
use tracing::debug;

/// How long one server may take.
const ONE: Duration = Duration::from_millis(1500);

/// How long all of them may take: less than the five seconds after which clients ask again.
const ALL: Duration = Duration::from_millis(4500);

/// The largest datagram that is taken for whole.
const MAX_DATAGRAM: usize = 4096;

/// How often a server is asked.
const ROUNDS: usize = 2;

/// Response codes of servers that cannot or do not want to say: another one may.
const UNHELPFUL: [u8; 3] = [2, 4, 5];

/// Returns the answer of the first server that has one, under the asker's number. If all they have
/// is that they cannot say, that is the answer.
pub(super) async fn ask(
    servers: &[SocketAddr],
    bytes: &[u8],
    query: &Query,
    transport: Transport,
) -> Option<Vec<u8>> {
    let deadline = Instant::now() + ALL;
    let mut unhelpful = None;
    for server in servers
        .iter()
        .cycle()
        .take(servers.len().saturating_mul(ROUNDS))
    {
        let limit = deadline.min(Instant::now() + ONE);
        let asked = Upstream {
            server: *server,
            id: rand::random(),
            bytes,
            question_end: query.question_end,
        };
        match timeout_at(limit, asked.ask(transport)).await {
            Ok(Ok(mut answer)) => {
                asked.give_back(&mut answer, query.id());
                if !answer
                    .get(3)
                    .is_some_and(|code| UNHELPFUL.contains(&(code & 0xf)))
                {
                    return Some(answer);
                }
                unhelpful = Some(answer);
            }
            Ok(Err(error)) => debug!(%server, %error, "the forwarder gives no answer"),
            Err(_) => debug!(%server, "the forwarder gives no answer in time"),
        }
        if Instant::now() >= deadline {
            break;
        }
    }
    unhelpful
}

/// One query to one server.
struct Upstream<'a> {
    server: SocketAddr,
    id: u16,
    /// The message as the asker sent it.
    bytes: &'a [u8],
    question_end: usize,
}

impl Upstream<'_> {
    /// Asks in a datagram, and over TCP what does not fit into one, if the asker can have it.
    async fn ask(&self, transport: Transport) -> io::Result<Vec<u8>> {
        let answer = self.ask_udp().await?;
        let is_marked = answer.get(2).is_some_and(|flags| flags & 2 != 0);
        if (is_marked || answer.len() > MAX_DATAGRAM) && transport == Transport::Tcp {
            self.ask_tcp().await
        } else {
            Ok(answer)
        }
    }

    async fn ask_udp(&self) -> io::Result<Vec<u8>> {
        let any: IpAddr = match self.server {
            SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
            SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
        };
        // The kernel chooses a free port at random.
        let socket = UdpSocket::bind((any, 0)).await?;
        socket.connect(self.server).await?;
        socket.send(&self.message()).await?;
        let mut bytes = vec![0; MAX_DATAGRAM.saturating_add(1)];
        loop {
            let length = socket.recv(&mut bytes).await?;
            if let Some(answer) = bytes.get(..length).filter(|bytes| self.is_answer(bytes)) {
                return Ok(answer.to_vec());
            }
            debug!(server = %self.server, "not the answer to what was asked");
        }
    }

    async fn ask_tcp(&self) -> io::Result<Vec<u8>> {
        let mut stream = TcpStream::connect(self.server).await?;
        stream.write_all(&framed(&self.message())?).await?;
        let mut bytes = vec![0; stream.read_u16().await?.into()];
        stream.read_exact(&mut bytes).await?;
        if self.is_answer(&bytes) {
            Ok(bytes)
        } else {
            Err(io::Error::other("not the answer to what was asked"))
        }
    }

    /// Returns the message as it goes on.
    fn message(&self) -> Vec<u8> {
        let mut bytes = self.bytes.to_vec();
        set_id(&mut bytes, self.id);
        bytes
    }

    /// Returns whether these bytes answer the question.
    fn is_answer(&self, bytes: &[u8]) -> bool {
        const KIND: usize = 4;
        let question = |bytes: &[u8]| {
            let question = bytes.get(12..self.question_end)?;
            let (name, kind) = question.split_at_checked(question.len().checked_sub(KIND)?)?;
            Some((name.to_ascii_lowercase(), kind.to_vec()))
        };
        let has_id = bytes.starts_with(&self.id.to_be_bytes());
        let is_response = bytes.get(2).is_some_and(|flags| flags & 0xf8 == 0x80);
        let has_one_question = bytes.get(4..6) == Some(&[0, 1]);
        has_id && is_response && has_one_question && question(bytes) == question(self.bytes)
    }

    /// Makes the answer one to the asker: his number, and the name as he wrote it.
    fn give_back(&self, answer: &mut [u8], id: u16) {
        set_id(answer, id);
        let asked = self.bytes.get(12..self.question_end);
        if let (Some(to), Some(from)) = (answer.get_mut(12..self.question_end), asked) {
            to.copy_from_slice(from);
        }
    }
}

fn set_id(bytes: &mut [u8], id: u16) {
    if let Some(to) = bytes.first_chunk_mut() {
        *to = id.to_be_bytes();
    }
}

/// Returns a message with its length in front, as a stream carries it.
pub(super) fn framed(message: &[u8]) -> io::Result<Vec<u8>> {
    let length = u16::try_from(message.len()).map_err(io::Error::other)?;
    let mut bytes = length.to_be_bytes().to_vec();
    bytes.extend_from_slice(message);
    Ok(bytes)
}
