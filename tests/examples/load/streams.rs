//! Requests on connections that stay, and connections that carry one request each.

use crate::options::{Failure, Options};
use rustix::event::epoll::{self, EventData, EventFlags};
use rustix::fs::Timespec;
use rustix::io::Errno;
use rustix::net::{self, AddressFamily, SocketFlags, SocketType, sockopt};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

/// Connections that the kernel keeps until the server takes them.
const BACKLOG: i32 = 4096;

/// Descriptors that are waited for, with a number for each.
struct Poll {
    poll: OwnedFd,
    events: Vec<epoll::Event>,
}

impl Poll {
    fn new() -> Result<Self, Failure> {
        Ok(Self {
            poll: epoll::create(epoll::CreateFlags::CLOEXEC)?,
            events: Vec::with_capacity(256),
        })
    }

    fn add(&self, what: impl AsFd, number: usize, flags: EventFlags) -> Result<(), Failure> {
        let data = EventData::new_u64(number as u64);
        Ok(epoll::add(&self.poll, what, data, flags)?)
    }

    /// Waits; returns the numbers of what is ready, none after `limit`.
    fn wait(&mut self, limit: Option<Duration>) -> Result<Vec<usize>, Failure> {
        let limit = limit.map(Timespec::try_from).transpose()?;
        self.events.clear();
        let room = rustix::buffer::spare_capacity(&mut self.events);
        match epoll::wait(&self.poll, room, limit.as_ref()) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        let number = |event: &epoll::Event| usize::try_from(event.data.u64()).unwrap_or(0);
        Ok(self.events.iter().map(number).collect())
    }
}

/// Gives a socket the congestion control that `congestion=` names; without it, the machine's.
fn set_congestion(socket: impl AsFd, options: &Options) -> Result<(), Failure> {
    let name: String = options.get_or("congestion", String::new())?;
    if !name.is_empty() {
        sockopt::set_tcp_congestion(socket, &name)?;
    }
    Ok(())
}

/// Answers every byte of every connection to `ports=` ports from `at=` on by one byte, until the
/// standard input ends.
pub fn serve(options: &Options) -> Result<Value, Failure> {
    let mut at: SocketAddr = options.get("at")?;
    let mut poll = Poll::new()?;
    poll.add(io::stdin(), 0, EventFlags::IN)?;
    let mut listeners = Vec::new();
    for _ in 0..options.get_or("ports", 1u16)? {
        let listener = TcpListener::bind(at)?;
        net::listen(&listener, BACKLOG)?;
        // What it accepts takes after it.
        set_congestion(&listener, options)?;
        listener.set_nonblocking(true)?;
        listeners.push(listener);
        poll.add(
            &listeners[listeners.len() - 1],
            listeners.len(),
            EventFlags::IN,
        )?;
        at.set_port(at.port() + 1);
    }
    println!("listening");
    let mut clients: Vec<Option<TcpStream>> = Vec::new();
    let mut free = Vec::new();
    let mut sources = BTreeSet::new();
    let (mut accepted, mut answers) = (0u64, 0u64);
    loop {
        for number in poll.wait(None)? {
            if number == 0 {
                let sources: Vec<_> = sources.into_iter().collect();
                return Ok(json!({ "accepted": accepted, "answers": answers, "sources": sources }));
            }
            if let Some(listener) = listeners.get(number - 1) {
                while let Ok((client, from)) = listener.accept() {
                    accepted += 1;
                    client.set_nodelay(true)?;
                    client.set_nonblocking(true)?;
                    sources.insert(from.ip().to_canonical().to_string());
                    let place = free.pop().unwrap_or(clients.len());
                    poll.add(&client, listeners.len() + 1 + place, EventFlags::IN)?;
                    clients.resize_with(clients.len().max(place + 1), || None);
                    clients[place] = Some(client);
                }
                continue;
            }
            let place = number - 1 - listeners.len();
            let Some(mut client) = clients[place].as_ref() else {
                continue;
            };
            match client.read(&mut [0; 64]) {
                Ok(1..) => {
                    answers += 1;
                    // A client that has gone says so at the next read.
                    let _ = client.write(b".");
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Ok(0) | Err(_) => {
                    clients[place] = None;
                    free.push(place);
                }
            }
        }
    }
}

/// Returns the value below which so many hundredths of the sorted times are, in microseconds.
fn quantile(sorted: &[u32], hundredths: usize) -> Option<f64> {
    let place = sorted.len().checked_sub(1)? * hundredths / 100;
    sorted
        .get(place)
        .map(|&nanoseconds| f64::from(nanoseconds) / 1e3)
}

fn summary(mut times: Vec<u32>, failed: u64, spent: Duration) -> Value {
    times.sort_unstable();
    json!({
        "done": times.len(),
        "failed": failed,
        "seconds": spent.as_secs_f64(),
        "p50_us": quantile(&times, 50),
        "p99_us": quantile(&times, 99),
    })
}

fn nanoseconds(since: Instant) -> u32 {
    u32::try_from(since.elapsed().as_nanos()).unwrap_or(u32::MAX)
}

/// Keeps `connections=` open for `seconds=`, a request of one byte on each at any time.
pub fn ask(options: &Options) -> Result<Value, Failure> {
    let to: SocketAddr = options.get("to")?;
    let mut poll = Poll::new()?;
    let mut streams = Vec::new();
    for number in 0..options.get("connections")? {
        let stream = TcpStream::connect_timeout(&to, Duration::from_secs(5))?;
        stream.set_nodelay(true)?;
        set_congestion(&stream, options)?;
        stream.set_nonblocking(true)?;
        poll.add(&stream, number, EventFlags::IN)?;
        streams.push((stream, Instant::now()));
    }
    let (start, length) = (Instant::now(), options.seconds()?);
    let mut times = Vec::with_capacity(1 << 20);
    for (stream, asked) in &mut streams {
        *asked = Instant::now();
        stream.write_all(b"?")?;
    }
    while let Some(left) = length.checked_sub(start.elapsed()) {
        for number in poll.wait(Some(left))? {
            let (stream, asked) = &mut streams[number];
            match stream.read(&mut [0; 64]) {
                Ok(1..) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
                Ok(0) => return Err("the server closed a connection".into()),
                Err(error) => return Err(error.into()),
            }
            times.push(nanoseconds(*asked));
            *asked = Instant::now();
            stream.write_all(b"?")?;
        }
    }
    Ok(summary(times, 0, start.elapsed()))
}

/// One connection of [`connect`]: connecting until its request is sent.
struct Attempt {
    stream: TcpStream,
    start: Instant,
    has_asked: bool,
}

impl Attempt {
    fn start(
        to: SocketAddr,
        number: usize,
        poll: &Poll,
        options: &Options,
    ) -> Result<Self, Failure> {
        let family = AddressFamily::from_raw(if to.is_ipv4() { 2 } else { 10 });
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let socket = net::socket_with(family, SocketType::STREAM, flags, None)?;
        sockopt::set_tcp_nodelay(&socket, true)?;
        set_congestion(&socket, options)?;
        let start = Instant::now();
        match net::connect(&socket, &to) {
            Ok(()) | Err(Errno::INPROGRESS) => {}
            Err(error) => return Err(error.into()),
        }
        poll.add(&socket, number, EventFlags::OUT)?;
        Ok(Self {
            stream: TcpStream::from(socket),
            start,
            has_asked: false,
        })
    }

    /// Takes the next step; returns whether the answer is there.
    fn step(&mut self, number: usize, poll: &Poll) -> io::Result<bool> {
        if self.has_asked {
            return match self.stream.read(&mut [0; 64]) {
                Ok(0) => Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(_) => Ok(true),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(false),
                Err(error) => Err(error),
            };
        }
        if let Some(error) = self.stream.take_error()? {
            return Err(error);
        }
        self.stream.write_all(b"?")?;
        self.has_asked = true;
        let data = EventData::new_u64(number as u64);
        epoll::modify(&poll.poll, &self.stream, data, EventFlags::IN)?;
        Ok(false)
    }
}

/// Connects, asks once and closes, `connections=` at any time, for `seconds=`: to `ports=` ports in
/// turn, because a port that has just served a destination rests before it does so again.
pub fn connect(options: &Options) -> Result<Value, Failure> {
    let to: SocketAddr = options.get("to")?;
    let ports: u16 = options.get("ports")?;
    let mut turns = (0..ports).cycle();
    let mut next = move || {
        let mut to = to;
        to.set_port(to.port() + turns.next().unwrap_or(0));
        to
    };
    let mut poll = Poll::new()?;
    let mut attempts = Vec::new();
    for number in 0..options.get("connections")? {
        attempts.push(Attempt::start(next(), number, &poll, options)?);
    }
    let (start, length) = (Instant::now(), options.seconds()?);
    let mut times = Vec::with_capacity(1 << 18);
    let mut failed = 0;
    while let Some(left) = length.checked_sub(start.elapsed()) {
        for number in poll.wait(Some(left))? {
            let attempt = &mut attempts[number];
            match attempt.step(number, &poll) {
                Ok(false) => continue,
                Ok(true) => times.push(nanoseconds(attempt.start)),
                Err(_) => failed += 1,
            }
            attempts[number] = Attempt::start(next(), number, &poll, options)?;
        }
    }
    Ok(summary(times, failed, start.elapsed()))
}
