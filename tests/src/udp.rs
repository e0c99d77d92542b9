//! UDP peers: a server that answers every datagram by the address it sees.

use crate::netns::Netns;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// How long a client waits for an answer before it asks again.
const ASK_AGAIN: Duration = Duration::from_millis(250);
/// How long a client asks.
const GIVE_UP: Duration = Duration::from_secs(5);

/// A server that sends `answer(datagram, peer)` back to every peer. Stops on drop.
#[derive(Debug)]
pub struct UdpServer {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl UdpServer {
    /// Answers every datagram with `peer ADDRESS` as seen from here.
    #[must_use]
    pub fn start(namespace: &Netns, address: SocketAddrV4) -> Self {
        Self::answering(namespace, address, |_, peer| peer.to_string().into_bytes())
    }

    /// Answers every datagram with what `answer` makes of it.
    ///
    /// # Panics
    ///
    /// Panics if the address is taken or not there.
    #[must_use]
    pub fn answering(
        namespace: &Netns,
        address: SocketAddrV4,
        answer: impl Fn(&[u8], SocketAddr) -> Vec<u8> + Send + 'static,
    ) -> Self {
        let socket = namespace
            .enter(|| UdpSocket::bind(address))
            .unwrap_or_else(|error| panic!("bind {address}: {error}"));
        socket
            .set_read_timeout(Some(Duration::from_millis(50)))
            .expect("set a time limit");
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = thread::spawn(move || {
            let mut bytes = [0; 2048];
            while !stopped.load(Ordering::Relaxed) {
                if let Ok((length, peer)) = socket.recv_from(&mut bytes) {
                    let _ = socket.send_to(&answer(&bytes[..length], peer), peer);
                }
            }
        });
        Self {
            stop,
            thread: Some(thread),
        }
    }
}

impl Drop for UdpServer {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// A client's socket, bound and connected: its pair of addresses stays the same.
#[derive(Debug)]
pub struct UdpSocketPair(UdpSocket);

impl UdpSocketPair {
    /// Makes the socket inside the namespace.
    ///
    /// # Errors
    ///
    /// Returns why there is no socket or no route.
    pub fn open(namespace: &Netns, to: SocketAddrV4) -> io::Result<Self> {
        namespace.enter(|| {
            let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
            socket.connect(to)?;
            socket.set_read_timeout(Some(ASK_AGAIN))?;
            Ok(Self(socket))
        })
    }

    /// Sends `question` until an answer comes.
    ///
    /// # Errors
    ///
    /// Returns the last failure if none came in five seconds.
    pub fn ask(&self, question: &[u8]) -> io::Result<Vec<u8>> {
        let deadline = Instant::now() + GIVE_UP;
        let mut bytes = [0; 2048];
        loop {
            self.0.send(question)?;
            match self.0.recv(&mut bytes) {
                Ok(length) => return Ok(bytes[..length].to_vec()),
                Err(error) if Instant::now() >= deadline => return Err(error),
                Err(_) => {}
            }
        }
    }

    /// Returns the socket's address as a [`UdpServer::start`] server sees it.
    ///
    /// # Panics
    ///
    /// Panics if no server answers.
    #[track_caller]
    #[must_use]
    pub fn source(&self) -> SocketAddrV4 {
        let answer = match self.ask(b"who am I") {
            Ok(answer) => String::from_utf8_lossy(&answer).into_owned(),
            Err(error) => panic!("no answer: {error}"),
        };
        answer
            .parse()
            .unwrap_or_else(|_| panic!("answer {answer:?}"))
    }
}
