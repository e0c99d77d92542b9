//! TCP peers: a server that tells every client the address it sees and echoes, and its clients.

use crate::netns::Netns;
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{AddressFamily, Shutdown, SocketType, bind, connect, shutdown, socket};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, SocketAddrV4, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// How long a peer may take to answer before the case counts it as lost.
const ANSWER: Duration = Duration::from_secs(10);

/// How a connection ended, as one side saw it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The other side closed.
    Closed,
    /// A reset came.
    Reset,
    /// Anything else.
    Failed(io::ErrorKind),
}

impl End {
    fn of(result: io::Result<usize>) -> Self {
        match result {
            Ok(_) => Self::Closed,
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => Self::Reset,
            Err(error) => Self::Failed(error.kind()),
        }
    }
}

/// One connection as the server saw it.
#[derive(Clone, Debug)]
pub struct Seen {
    /// The client's address as it arrived.
    pub peer: SocketAddrV4,
    /// When it was accepted.
    pub opened: Instant,
    /// When and how it ended, once it has.
    pub ended: Option<(Instant, End)>,
}

#[derive(Debug, Default)]
struct Book {
    seen: Mutex<Vec<Seen>>,
    changed: Condvar,
}

impl Book {
    fn lock(&self) -> MutexGuard<'_, Vec<Seen>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A server that greets every client with the address it sees, then echoes. Stops on drop.
#[derive(Debug)]
pub struct TcpServer {
    listener: Arc<TcpListener>,
    book: Arc<Book>,
}

impl TcpServer {
    /// Listens at `address` inside the namespace.
    ///
    /// # Panics
    ///
    /// Panics if the address is taken or not there.
    #[must_use]
    pub fn start(namespace: &Netns, address: SocketAddrV4) -> Self {
        let listener = namespace
            .enter(|| TcpListener::bind(address))
            .unwrap_or_else(|error| panic!("listen at {address}: {error}"));
        let listener = Arc::new(listener);
        let book = Arc::new(Book::default());
        let (socket, records) = (Arc::clone(&listener), Arc::clone(&book));
        thread::spawn(move || accept_all(&socket, &records));
        Self { listener, book }
    }

    /// Returns every connection so far, in the order of arrival.
    #[must_use]
    pub fn seen(&self) -> Vec<Seen> {
        self.book.lock().clone()
    }

    /// Waits until the connection from `peer` has ended and returns how.
    ///
    /// # Panics
    ///
    /// Panics if it has not ended within `limit`.
    #[track_caller]
    #[must_use]
    pub fn wait_end(&self, peer: SocketAddrV4, limit: Duration) -> End {
        let ended = |seen: &Vec<Seen>| {
            let of_peer = |one: &&Seen| one.peer == peer;
            seen.iter()
                .rev()
                .find(of_peer)
                .and_then(|one| one.ended)
                .map(|(_, end)| end)
        };
        let (seen, _) = self
            .book
            .changed
            .wait_timeout_while(self.book.lock(), limit, |seen| ended(seen).is_none())
            .unwrap_or_else(PoisonError::into_inner);
        ended(&seen).unwrap_or_else(|| panic!("the server still holds {peer} after {limit:?}"))
    }
}

impl Drop for TcpServer {
    fn drop(&mut self) {
        // Wakes the thread that waits in accept().
        let _ = shutdown(&*self.listener, Shutdown::Both);
    }
}

fn accept_all(listener: &TcpListener, book: &Arc<Book>) {
    while let Ok((stream, SocketAddr::V4(peer))) = listener.accept() {
        let index = {
            let mut seen = book.lock();
            seen.push(Seen {
                peer,
                opened: Instant::now(),
                ended: None,
            });
            seen.len() - 1
        };
        let book = Arc::clone(book);
        thread::spawn(move || {
            let end = serve(&stream, peer);
            book.lock()[index].ended = Some((Instant::now(), end));
            book.changed.notify_all();
        });
    }
}

fn serve(mut stream: &TcpStream, peer: SocketAddrV4) -> End {
    let _ = stream.set_nodelay(true);
    if let Err(error) = writeln!(stream, "{peer}") {
        return End::of(Err(error));
    }
    let mut bytes = [0; 16 * 1024];
    loop {
        match stream.read(&mut bytes) {
            Ok(length @ 1..) => {
                if let Err(error) = stream.write_all(&bytes[..length]) {
                    return End::of(Err(error));
                }
            }
            end => return End::of(end),
        }
    }
}

/// A client's open connection to a [`TcpServer`].
#[derive(Debug)]
pub struct Connection {
    stream: BufReader<TcpStream>,
    /// The client's own address.
    pub local: SocketAddrV4,
    /// The client's address as the server sees it.
    pub source: SocketAddrV4,
    said: u32,
}

impl Connection {
    /// Connects from inside the namespace and hears what the server sees.
    ///
    /// # Errors
    ///
    /// Returns why there is no connection or no greeting.
    pub fn open(namespace: &Netns, to: SocketAddrV4) -> io::Result<Self> {
        namespace.enter(|| Self::open_here(to))
    }

    /// As [`Connection::open`], but gives up after `limit`.
    ///
    /// # Errors
    ///
    /// Returns why there is no connection or no greeting.
    pub fn open_within(namespace: &Netns, to: SocketAddrV4, limit: Duration) -> io::Result<Self> {
        namespace.enter(|| Self::greeted(TcpStream::connect_timeout(&to.into(), limit)?))
    }

    /// Connects from the namespace that the thread is in.
    ///
    /// # Errors
    ///
    /// Returns why there is no connection or no greeting.
    pub fn open_here(to: SocketAddrV4) -> io::Result<Self> {
        Self::greeted(TcpStream::connect_timeout(&SocketAddr::V4(to), ANSWER)?)
    }

    /// As [`Connection::open`], from this address and port.
    ///
    /// # Errors
    ///
    /// Returns why there is no connection or no greeting.
    pub fn open_from(namespace: &Netns, from: SocketAddrV4, to: SocketAddrV4) -> io::Result<Self> {
        namespace.enter(|| {
            let socket = socket(AddressFamily::INET, SocketType::STREAM, None)?;
            // It bounds the wait for the connection too.
            set_socket_timeout(&socket, Timeout::Send, Some(ANSWER))?;
            bind(&socket, &from)?;
            connect(&socket, &to)?;
            Self::greeted(TcpStream::from(socket))
        })
    }

    /// Hears what the server sees.
    fn greeted(stream: TcpStream) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(ANSWER))?;
        stream.set_write_timeout(Some(ANSWER))?;
        let SocketAddr::V4(local) = stream.local_addr()? else {
            return Err(io::ErrorKind::Unsupported.into());
        };
        let mut stream = BufReader::new(stream);
        let mut greeting = String::new();
        stream.read_line(&mut greeting)?;
        let source = greeting.trim_end().parse().map_err(|_| {
            io::Error::new(io::ErrorKind::InvalidData, format!("greeting {greeting:?}"))
        })?;
        Ok(Self {
            stream,
            local,
            source,
            said: 0,
        })
    }

    /// Says something new and hears it again.
    ///
    /// # Errors
    ///
    /// Returns why the echo did not come.
    pub fn echo(&mut self) -> io::Result<()> {
        self.said += 1;
        // What the server sees tells it from another network's connection with an equal address.
        let Self {
            said,
            local,
            source,
            ..
        } = self;
        let line = format!("line {said} of {local} as {source}\n");
        self.stream.get_mut().write_all(line.as_bytes())?;
        let mut heard = String::new();
        self.stream.read_line(&mut heard)?;
        if heard == line {
            return Ok(());
        }
        Err(io::Error::new(
            io::ErrorKind::InvalidData,
            format!("said {line:?}, heard {heard:?}"),
        ))
    }

    /// Checks that the connection still carries what is said.
    ///
    /// # Panics
    ///
    /// Panics if it does not.
    #[track_caller]
    pub fn expect_alive(&mut self) {
        if let Err(error) = self.echo() {
            panic!("{} (seen as {}) is cut: {error}", self.local, self.source);
        }
    }

    /// Waits in silence for the end of the connection, and returns how it ended. `Failed(WouldBlock)`
    /// says that it did not end within `limit`.
    ///
    /// # Panics
    ///
    /// Panics if the socket refuses the time limit.
    pub fn wait_end(&mut self, limit: Duration) -> End {
        self.stream
            .get_ref()
            .set_read_timeout(Some(limit))
            .expect("set a time limit");
        End::of(self.stream.get_mut().read(&mut [0; 64]))
    }

    /// Closes in order: this side first, then waits for the other.
    ///
    /// # Errors
    ///
    /// Returns what came instead of the other side's close.
    pub fn close(self) -> io::Result<()> {
        let mut stream = self.stream.into_inner();
        stream.shutdown(std::net::Shutdown::Write)?;
        match stream.read(&mut [0; 64])? {
            0 => Ok(()),
            _ => Err(io::ErrorKind::InvalidData.into()),
        }
    }
}
