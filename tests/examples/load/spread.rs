//! Datagrams of very many flows, touched in random order, from several NICs by one program.

use crate::options::{Failure, Options};
use crate::sys::{BATCH, Batch};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use serde_json::{Value, json};
use std::fs::File;
use std::io::{self, BufRead};
use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

/// Ports that the flows of one destination address go to.
const PORTS: u32 = 60_000;
const FIRST_PORT: u32 = 2_000;
/// Flows are opened slower than touched: one that meets a full queue would have to be tried again.
const OPENING: (usize, Duration) = (BATCH, Duration::from_micros(400));

/// The flows of all NICs: so many of each socket, which differ in their destination.
struct Flows {
    sockets: Vec<UdpSocket>,
    each: u32,
    to: Ipv4Addr,
    batch: Batch,
    random: u64,
}

impl Flows {
    /// Makes a socket in every namespace; it stays there when the program goes on to the next.
    fn new(options: &Options) -> Result<Self, Failure> {
        let mut sockets = Vec::new();
        for path in options.get::<String>("namespaces")?.split(',') {
            let namespace = File::open(path)?;
            move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))?;
            sockets.push(UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 5_000))?);
        }
        let each = options.get::<u32>("flows")? / u32::try_from(sockets.len())?;
        Ok(Self {
            sockets,
            each,
            to: options.get("to")?,
            batch: Batch::new(64),
            random: 0x2545_f491_4f6c_dd1d,
        })
    }

    /// Returns the destination of a socket's flow.
    fn destination(&self, flow: u32) -> Result<SocketAddrV4, Failure> {
        let address = Ipv4Addr::from(u32::from(self.to) + flow / PORTS);
        let port = u16::try_from(FIRST_PORT + flow % PORTS)?;
        Ok(SocketAddrV4::new(address, port))
    }

    /// Returns a number below `limit` (xorshift64*, of which the upper half is used).
    fn below(&mut self, limit: u32) -> u32 {
        self.random ^= self.random >> 12;
        self.random ^= self.random << 25;
        self.random ^= self.random >> 27;
        let upper = self.random.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 32;
        u32::try_from((upper * u64::from(limit)) >> 32).unwrap_or(0)
    }

    /// Sends one datagram of every flow, in order; returns how many the kernel took.
    fn open(&mut self) -> Result<u64, Failure> {
        let mut sent = 0;
        let step = u32::try_from(BATCH)?;
        let mut due = Instant::now();
        for first in (0..self.each).step_by(BATCH) {
            for at in 0..BATCH {
                // The last batch goes back to the first flows.
                let flow = (first + u32::try_from(at)? % step) % self.each;
                let to = self.destination(flow)?;
                self.batch.set_destination(at, to);
            }
            for socket in &self.sockets {
                sent += self.batch.send(socket).unwrap_or(0) as u64;
                due += OPENING.1;
                while Instant::now() < due {
                    std::thread::sleep(OPENING.1 / 4);
                }
            }
        }
        Ok(sent)
    }

    /// Sends datagrams of random flows of random NICs.
    fn touch(&mut self, length: Duration) -> Result<(u64, f64), Failure> {
        let start = Instant::now();
        let mut sent = 0;
        while start.elapsed() < length {
            for at in 0..BATCH {
                let flow = self.below(self.each);
                let to = self.destination(flow)?;
                self.batch.set_destination(at, to);
            }
            let nic = self.below(u32::try_from(self.sockets.len())?);
            let socket = &self.sockets[usize::try_from(nic)?];
            sent += self.batch.send(socket).unwrap_or(0) as u64;
        }
        Ok((sent, start.elapsed().as_secs_f64()))
    }
}

/// Makes `flows=` flows in all from the `namespaces=` to addresses from `to=` on. Each line of the
/// standard input is a command: `open`, or `touch SECONDS`; each is answered by a line of JSON.
pub fn spread(options: &Options) -> Result<Value, Failure> {
    let mut flows = Flows::new(options)?;
    println!("listening");
    for line in io::stdin().lock().lines() {
        let line = line?;
        let answer = match line.split_once(' ') {
            None => json!({ "sent": flows.open()? }),
            Some((_, seconds)) => {
                let length = Duration::try_from_secs_f64(seconds.parse()?)?;
                let (sent, seconds) = flows.touch(length)?;
                json!({ "sent": sent, "seconds": seconds })
            }
        };
        println!("{answer}");
    }
    Ok(Value::Null)
}
