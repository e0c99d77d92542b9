//! Datagrams of one flow or of several mixed, counted where they arrive.

use crate::options::{Failure, Options};
use crate::sys::{BATCH, Batch, set_segment, set_trains};
use rustix::event::epoll;
use rustix::net::sockopt::set_socket_recv_buffer_size_force;
use serde_json::{Value, json};
use std::io;
use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket};
use std::time::{Duration, Instant};

/// What a receiver's socket may hold. All paths end in the same one.
const HELD_BYTES: usize = 4 << 20;
/// The most that one datagram, or one train of them, has.
const LARGEST: usize = 65_535;

/// Sends for `seconds=` as fast as the path takes it: datagrams of `bytes=` to `flows=` ports in
/// turn, from one to the next; with `segment=` each is a train that is cut into that size.
pub fn send(options: &Options) -> Result<Value, Failure> {
    let to: SocketAddrV4 = options.get("to")?;
    let flows: u16 = options.get("flows")?;
    let bytes: usize = options.get("bytes")?;
    let segment: u16 = options.get_or("segment", 0)?;
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
    if segment > 0 {
        set_segment(&socket, segment)?;
    }
    let mut batch = Batch::new(bytes);
    let ports: Vec<u16> = (0..flows).map(|flow| to.port() + flow).collect();
    for (at, &port) in (0..BATCH).zip(ports.iter().cycle()) {
        batch.set_destination(at, SocketAddrV4::new(*to.ip(), port));
    }
    let (start, length) = (Instant::now(), options.seconds()?);
    let (mut sent, mut refused, mut number) = (0u64, 0u64, 0u64);
    while start.elapsed() < length {
        for at in 0..BATCH {
            batch.payload(at)[..8].copy_from_slice(&number.to_be_bytes());
            number += 1;
        }
        match batch.send(&socket) {
            Ok(count) => sent += count as u64,
            // A full queue, or the answer to an earlier datagram: what arrives is what counts.
            Err(_) => refused += 1,
        }
    }
    Ok(json!({ "sent": sent, "refused": refused, "seconds": start.elapsed().as_secs_f64() }))
}

/// What one socket has seen.
#[derive(Default)]
struct Count {
    packets: u64,
    bytes: u64,
    late: u64,
    next: u64,
}

impl Count {
    /// Notes a datagram and whether one that was sent after it came before.
    fn note(&mut self, datagram: &[u8]) {
        self.packets += 1;
        self.bytes += datagram.len() as u64;
        if let Some(number) = datagram
            .first_chunk()
            .map(|bytes| u64::from_be_bytes(*bytes))
        {
            self.late += u64::from(number < self.next);
            self.next = self.next.max(number + 1);
        }
    }
}

/// Counts what arrives at `flows=` ports from `at=` on, until the standard input ends. With
/// `trains=true` trains are taken uncut, and only bytes are meant to be read from the result.
pub fn receive(options: &Options) -> Result<Value, Failure> {
    let at: SocketAddrV4 = options.get("at")?;
    let flows: u16 = options.get("flows")?;
    let poll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    let mut sockets = Vec::new();
    for flow in 0..flows {
        let socket = UdpSocket::bind((*at.ip(), at.port() + flow))?;
        set_socket_recv_buffer_size_force(&socket, HELD_BYTES)?;
        if options.get_or("trains", false)? {
            set_trains(&socket)?;
        }
        let data = epoll::EventData::new_u64(flow.into());
        epoll::add(&poll, &socket, data, epoll::EventFlags::IN)?;
        sockets.push((socket, Count::default()));
    }
    let end = epoll::EventData::new_u64(u64::MAX);
    epoll::add(&poll, io::stdin(), end, epoll::EventFlags::IN)?;
    println!("listening");
    let mut source = None;
    let mut batch = Batch::new(LARGEST);
    let mut events = Vec::with_capacity(64);
    let (mut ended, mut first, mut last) = (false, None, None);
    loop {
        // What still waits when the sender is done was received too: read until nothing does.
        let patience = ended.then_some(Duration::from_millis(20));
        let patience = patience.map(rustix::fs::Timespec::try_from).transpose()?;
        events.clear();
        epoll::wait(
            &poll,
            rustix::buffer::spare_capacity(&mut events),
            patience.as_ref(),
        )?;
        if events.is_empty() {
            break;
        }
        for event in &events {
            let Some((socket, count)) = sockets.get_mut(usize::try_from(event.data.u64())?) else {
                ended = true;
                epoll::delete(&poll, io::stdin())?;
                continue;
            };
            if source.is_none() {
                source = Some(socket.peek_from(&mut [0; 8])?.1.ip());
            }
            let moved = match batch.receive(&*socket) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
                moved => moved?,
            };
            (0..moved).for_each(|at| count.note(batch.received(at)));
            let now = Instant::now();
            first.get_or_insert(now);
            last = Some(now);
        }
    }
    let sum = |of: fn(&Count) -> u64| sockets.iter().map(|(_, count)| of(count)).sum::<u64>();
    let spent = first
        .zip(last)
        .map(|(first, last)| (last - first).as_secs_f64());
    Ok(json!({
        "packets": sum(|count| count.packets),
        "bytes": sum(|count| count.bytes),
        "late": sum(|count| count.late),
        "seconds": spent,
        "source": source.map(|source| source.to_string()),
    }))
}
