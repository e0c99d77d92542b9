//! Whom the receiver sees: asked before every measurement, because a translation that failed to
//! load still forwards.

use crate::options::{Failure, Options};
use serde_json::{Value, json};
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::thread;
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(8);

/// Waits for one connection, and for one datagram if `udp=true`; tells the source of each.
pub fn witness(options: &Options) -> Result<Value, Failure> {
    let at: SocketAddr = options.get("at")?;
    let listener = TcpListener::bind(at)?;
    let datagrams = UdpSocket::bind(at)?;
    println!("listening");
    let limit = Instant::now() + PATIENCE;
    listener.set_nonblocking(true)?;
    let (mut stream, by_tcp) = loop {
        match listener.accept() {
            Ok(seen) => break seen,
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => return Err(error.into()),
            Err(_) if Instant::now() > limit => return Err("no connection came".into()),
            Err(_) => thread::sleep(Duration::from_millis(2)),
        }
    };
    stream.write_all(b"seen")?;
    let mut by_udp = None;
    if options.get_or("udp", false)? {
        datagrams.set_read_timeout(Some(PATIENCE))?;
        let (_, from) = datagrams.recv_from(&mut [0; 64])?;
        datagrams.send_to(b"seen", from)?;
        by_udp = Some(from);
    }
    let text = |from: SocketAddr| from.ip().to_canonical().to_string();
    Ok(json!({ "tcp": text(by_tcp), "udp": by_udp.map(text) }))
}

/// Connects, and sends a datagram if `udp=true`, until both were seen.
pub fn knock(options: &Options) -> Result<Value, Failure> {
    let to: SocketAddr = options.get("to")?;
    let mut stream = TcpStream::connect_timeout(&to, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.read_exact(&mut [0; 4])?;
    if options.get_or("udp", false)? {
        let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
        socket.connect(to)?;
        socket.set_read_timeout(Some(Duration::from_millis(500)))?;
        let mut left = 10;
        loop {
            socket.send(b"whom do you see")?;
            match socket.recv(&mut [0; 64]) {
                Ok(_) => break,
                Err(error) if left == 0 => return Err(error.into()),
                Err(_) => left -= 1,
            }
        }
    }
    Ok(Value::Null)
}
