//! A proxy that knows one destination: it takes connections and opens its own ones.

use crate::netns::Netns;
use rustix::net::{Shutdown, shutdown};
use std::io::{self, Write};
use std::net::{SocketAddrV4, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;

/// A proxy inside a namespace. What it opens has the namespace's source. Stops on drop.
#[derive(Debug)]
pub struct TcpRelay(Arc<TcpListener>);

impl TcpRelay {
    /// Listens at `address` inside the namespace, and connects from there to `to` for each client.
    /// Where that fails it closes the client's connection.
    ///
    /// # Panics
    ///
    /// Panics if the address is taken or not there.
    #[must_use]
    pub fn start(namespace: &Netns, address: SocketAddrV4, to: SocketAddrV4) -> Self {
        let listener = namespace
            .enter(|| TcpListener::bind(address))
            .unwrap_or_else(|error| panic!("listen at {address}: {error}"));
        let listener = Arc::new(listener);
        let socket = Arc::clone(&listener);
        // A thread stays in the namespace that it was started from.
        namespace.enter(move || {
            thread::spawn(move || {
                while let Ok((client, _)) = socket.accept() {
                    thread::spawn(move || relay(&client, to));
                }
            });
        });
        Self(listener)
    }
}

impl Drop for TcpRelay {
    fn drop(&mut self) {
        // Wakes the thread that waits in accept().
        let _ = shutdown(&*self.0, Shutdown::Both);
    }
}

fn relay(client: &TcpStream, to: SocketAddrV4) -> io::Result<()> {
    let service = TcpStream::connect(to)?;
    thread::scope(|scope| {
        scope.spawn(|| pump(client, &service));
        pump(&service, client)
    })
}

/// Carries bytes one way to their end, and then ends the other side too.
fn pump(mut from: &TcpStream, mut to: &TcpStream) -> io::Result<()> {
    let copied = io::copy(&mut from, &mut to).and_then(|_| to.flush());
    to.shutdown(std::net::Shutdown::Write)?;
    copied
}
