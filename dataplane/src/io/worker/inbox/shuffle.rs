//! Engines on threads of their own, inboxes between them, packets that arrive at one worker now and at
//! another then: every packet arrives once, in the order of its flow, rightly translated.
//!
//! A flow enters at one worker until all of its packets have left, and then, at random times, at
//! another: as where a kernel steers it to another queue. Only the devices are missing.

#[path = "../../../../tests/common/mod.rs"]
mod common;

use super::{Alarm, Inbox, Peers, connect};
use crate::engine::{Engine, EngineConfig, Frame, Share, Verdict};
use crate::policy::PortId;
use crate::stats::Counters;
use crate::time::Now;
use crate::wire::{GsoType, VnetHdr};
use common::packets::*;
use common::tunnel::{SERVICE, ends6, tcp6};
use common::world::*;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

const WORKERS: usize = 4;
const FLOWS: usize = 1000;
const PACKETS: usize = 1_000_000;
/// Packets that are under way at once, fewer than an inbox takes; and those of one flow in a row.
const UNDER_WAY: usize = 400;
const IN_A_ROW: usize = 12;
const ROOM: usize = Frame::HEADROOM;
/// Bytes of payload. It begins with the packet's mark, which stands there once more where a second
/// fragment begins.
const PAYLOAD: usize = 40;
const FIRST_FRAGMENT: usize = 16;

/// A packet as it comes out of a device.
struct Read {
    port: PortId,
    vnet: VnetHdr,
    bytes: Vec<u8>,
}

/// A flow as its client sees it.
struct Flow {
    client_port: PortId,
    server_port: PortId,
    client: String,
    server: String,
    is_tcp: bool,
    is_fragmented: bool,
    /// The source that the server must see; with port 0 any port will do.
    public: &'static str,
}

impl Flow {
    fn new(number: usize) -> Self {
        let kinds = [
            (VM1, INET, "10.0.1.5", "8.8.8.8:443", true, POOL),
            (VM2, INET, "10.0.2.4", "8.8.8.8:53", false, POOL),
            (VM0, INET, "10.0.1.4", "1.1.1.1:443", true, "20.0.0.9"),
            (VM0, SVC, "10.0.1.4", "52.239.0.10:443", true, "over IPv6"),
            (VM1, VM2, "10.0.1.5", "10.0.2.4:9", false, "10.0.1.5"),
            (VM2, VM1, "10.0.2.4", "10.0.1.5:9", false, "10.0.2.4"),
        ];
        let kind = number % kinds.len();
        let (client_port, server_port, client, server, is_tcp, public) = kinds[kind];
        Self {
            client_port,
            server_port,
            client: format!("{client}:{}", 2000 + number),
            server: server.to_owned(),
            is_tcp,
            is_fragmented: kind == 5,
            public,
        }
    }

    fn request(&self, is_first: bool) -> Vec<u8> {
        let flags = if is_first { SYN } else { ACK };
        match self.is_tcp {
            true => tcp(&self.client, &self.server, flags, 1, 2, &[0; PAYLOAD]),
            false => udp(&self.client, &self.server, &[0; PAYLOAD]),
        }
    }

    /// Returns the answer to a request as the server got it.
    fn reply(&self, request: &[u8]) -> Vec<u8> {
        if request[0] >> 4 == 6 {
            let (client, server) = ends6(request);
            let (client, server) = (client.to_string(), server.to_string());
            return tcp6(&server, &client, ACK, 2, 1, &[0; PAYLOAD]);
        }
        let (client, server) = ends(request);
        let (client, server) = (client.to_string(), server.to_string());
        match self.is_tcp {
            true => tcp(&server, &client, ACK, 2, 1, &[0; PAYLOAD]),
            false => udp(&server, &client, &[0; PAYLOAD]),
        }
    }

    /// Asserts that a request has the ends that it must have for the server.
    fn check_public(&self, request: &[u8]) {
        let client = addr(&self.client);
        if request[0] >> 4 == 6 {
            let (from, to) = ends6(request);
            assert_eq!(
                (to.to_string().as_str(), from.port()),
                (SERVICE, client.port())
            );
            assert_eq!(from.ip().octets()[12..], client.ip().octets());
            return;
        }
        let (from, to) = ends(request);
        assert_eq!((to, *from.ip()), (addr(&self.server), ip(self.public)));
        assert!(self.public == POOL || from.port() == client.port());
    }
}

/// What is known of the flows, by all threads.
struct Board {
    flows: Vec<Flow>,
    /// The first request of each flow as its server got it.
    opened: Vec<OnceLock<Vec<u8>>>,
    owners: Vec<OnceLock<usize>>,
    /// How many packets of each flow and direction have arrived, fragments counted apart.
    arrived: [Vec<AtomicU32>; 2],
    all_arrived: AtomicUsize,
    is_over: AtomicBool,
}

/// Ends the test if the thread that has it panics.
struct Fuse<'a>(&'a Board);

impl Drop for Fuse<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.is_over.store(true, Ordering::Relaxed);
        }
    }
}

/// Where the payload of a packet begins, and whether it is a second fragment's.
fn payload_at(packet: &[u8]) -> (usize, bool) {
    if packet[0] >> 4 == 6 {
        return (60, false);
    }
    match (
        u16::from_be_bytes([packet[6], packet[7]]) & 0x1fff,
        packet[9],
    ) {
        (0, 6) => (40, false),
        (0, _) => (28, false),
        _ => (20, true),
    }
}

fn word(bytes: &[u8]) -> usize {
    u32::from_be_bytes(bytes[..4].try_into().unwrap()) as usize
}

impl Board {
    fn new() -> Self {
        let counts = || (0..FLOWS).map(|_| AtomicU32::new(0)).collect();
        Self {
            flows: (0..FLOWS).map(Flow::new).collect(),
            opened: (0..FLOWS).map(|_| OnceLock::new()).collect(),
            owners: (0..FLOWS).map(|_| OnceLock::new()).collect(),
            arrived: [counts(), counts()],
            all_arrived: AtomicUsize::new(0),
            is_over: AtomicBool::new(false),
        }
    }

    /// Checks a packet that `worker` sends out by a port.
    fn arrive(&self, worker: usize, out: PortId, vnet: VnetHdr, packet: &[u8]) {
        let whole = completed(vnet, packet);
        assert_checksums(&whole);
        let (at, is_second) = payload_at(&whole);
        let mark = &whole[at..];
        let (number, sequence) = (word(mark), word(&mark[4..]));
        let (number, side) = (number >> 1, number & 1);
        let flow = &self.flows[number];
        assert_eq!(
            *self.owners[number].get_or_init(|| worker),
            worker,
            "one owner"
        );
        let arrived = &self.arrived[side][number];
        let index = match flow.is_fragmented {
            true => sequence * 2 + usize::from(is_second),
            false => sequence,
        };
        let before = arrived.load(Ordering::Relaxed);
        assert_eq!(before as usize, index, "flow {number}, once and in order");
        match side {
            0 => {
                assert_eq!(out, flow.server_port);
                let opened = self.opened[number].get_or_init(|| {
                    flow.check_public(&whole);
                    whole.clone()
                });
                // Its addresses, and its ports if it has any.
                let ends = match at {
                    60 => 8..44,
                    20 => 12..20,
                    _ => 12..24,
                };
                assert_eq!(whole[ends.clone()], opened[ends], "one binding");
            }
            _ => {
                assert_eq!(out, flow.client_port);
                let [from, to] = [&flow.server, &flow.client].map(|end| addr(end));
                assert_eq!(
                    (source(&whole), destination(&whole)),
                    (*from.ip(), *to.ip())
                );
                assert!(is_second || ends(&whole) == (from, to));
            }
        }
        arrived.store(before + 1, Ordering::Release);
        self.all_arrived.fetch_add(1, Ordering::Release);
    }
}

/// Puts a mark into a packet and a right checksum, or the partial one of a device with offload.
fn marked(mut packet: Vec<u8>, mark: [u32; 2], is_partial: bool) -> (VnetHdr, Vec<u8>) {
    let (at, _) = payload_at(&packet);
    let start = if at == 60 { 40 } else { 20 };
    let is_udp = at == 28;
    let mark = mark.map(u32::to_be_bytes).concat();
    packet[at..at + 8].copy_from_slice(&mark);
    packet[at + FIRST_FRAGMENT..at + FIRST_FRAGMENT + 8].copy_from_slice(&mark);
    let field = start + if is_udp { 6 } else { 16 };
    let pseudo = slow_sum(&pseudo(&packet));
    packet[field..field + 2].copy_from_slice(&pseudo.to_be_bytes());
    let vnet = VnetHdr {
        needs_csum: true,
        gso_type: GsoType::None,
        csum_start: u16::try_from(start).unwrap(),
        csum_offset: u16::try_from(field - start).unwrap(),
        ..VnetHdr::default()
    };
    if is_partial {
        return (vnet, packet);
    }
    let packet = completed(vnet, &packet);
    (VnetHdr::default(), packet)
}

/// One worker: its queue of what devices give, its inbox, its engine.
struct Thread<'a> {
    me: usize,
    engine: Engine,
    queue: Receiver<Read>,
    inbox: Inbox,
    peers: Peers,
    board: &'a Board,
}

impl Thread<'_> {
    fn run(mut self) -> (Counters, u64) {
        let _fuse = Fuse(self.board);
        while !self.board.is_over.load(Ordering::Relaxed) {
            let mut is_idle = true;
            while let Some(mut parcel) = self.inbox.take() {
                self.process(parcel.port, parcel.vnet, &mut parcel.bytes);
                self.peers.give_back(parcel);
                is_idle = false;
            }
            for _ in 0..16 {
                let Ok(Read {
                    port,
                    vnet,
                    mut bytes,
                }) = self.queue.try_recv()
                else {
                    break;
                };
                is_idle = false;
                let packet = &bytes[ROOM..];
                match self.peers.owner(Now::from_millis(1), port, packet) {
                    Some(owner) => {
                        let frame = (&bytes[..], packet.len());
                        self.peers
                            .hand_over(&mut self.engine, owner, port, vnet, frame);
                    }
                    None => self.process(port, vnet, &mut bytes),
                }
            }
            if is_idle {
                self.sleep();
            }
        }
        let handed_over = self.peers.handed_over().load(Ordering::Relaxed);
        (self.engine.counters().clone(), handed_over)
    }

    fn process(&mut self, port: PortId, vnet: VnetHdr, bytes: &mut [u8]) {
        let mut frame = Frame::with_room(vnet, bytes, ROOM);
        match self.engine.process(Now::from_millis(1), port, &mut frame) {
            Verdict::Forward(out) => self.board.arrive(self.me, out, frame.vnet, frame.packet()),
            other => panic!("{other:?} by {port:?}: {:?}", frame.packet()),
        }
    }

    /// Sleeps until somebody hands over, or the feeder has put something in the queue.
    fn sleep(&mut self) {
        let limit = Timespec {
            tv_sec: 0,
            tv_nsec: 1_000_000,
        };
        if self.inbox.may_sleep() {
            let alarm = Arc::clone(self.inbox.alarm());
            let mut fds = [PollFd::from_borrowed_fd(alarm.as_fd(), PollFlags::IN)];
            poll(&mut fds, Some(&limit)).unwrap();
        }
        self.inbox.wake_up();
        self.inbox.alarm().silence();
    }
}

/// The one who sends: what went to which worker, and how much.
struct Feeder<'a> {
    board: &'a Board,
    queues: Vec<(Sender<Read>, Arc<Alarm>)>,
    rng: StdRng,
    requests: Vec<[Vec<u8>; 2]>,
    replies: Vec<Option<Vec<u8>>>,
    /// By flow: packets of both directions so far, and the worker where it enters.
    sent: Vec<[u32; 2]>,
    enters_at: Vec<usize>,
    moves: usize,
    frames: usize,
}

impl Feeder<'_> {
    fn parts(&self, flow: usize) -> u32 {
        if self.board.flows[flow].is_fragmented {
            2
        } else {
            1
        }
    }

    fn is_drained(&self, flow: usize) -> bool {
        let arrived = |side: usize| self.board.arrived[side][flow].load(Ordering::Acquire);
        (0..2).all(|side| arrived(side) == self.sent[flow][side] * self.parts(flow))
    }

    /// Waits until no more frames than these are under way; returns whether that came about.
    fn wait(&self, most: usize) -> bool {
        let begun = Instant::now();
        while self.frames - self.board.all_arrived.load(Ordering::Acquire) > most {
            let is_over = self.board.is_over.load(Ordering::Relaxed);
            if is_over || begun.elapsed() > Duration::from_secs(10) {
                return false;
            }
            std::thread::yield_now();
        }
        true
    }

    /// Sends some packets of one flow in a row; returns how many.
    fn send_some(&mut self, most: usize) -> usize {
        let flow = self.rng.random_range(0..FLOWS);
        if self.is_drained(flow) {
            let worker = self.rng.random_range(0..WORKERS);
            self.moves += usize::from(worker != self.enters_at[flow]);
            self.enters_at[flow] = worker;
        }
        let count = match self.board.opened[flow].get() {
            // The answers are to what the server got.
            None if self.sent[flow] != [0, 0] => return 0,
            None => 1,
            Some(opened) => {
                let about = &self.board.flows[flow];
                self.replies[flow].get_or_insert_with(|| about.reply(opened));
                self.rng.random_range(1..=IN_A_ROW.min(most))
            }
        };
        for _ in 0..count {
            let side = match self.replies[flow] {
                None => 0,
                Some(_) => self.rng.random_range(0..2usize),
            };
            self.send(flow, side);
        }
        self.queues[self.enters_at[flow]].1.ring_if_set();
        count
    }

    fn send(&mut self, flow: usize, side: usize) {
        let about = &self.board.flows[flow];
        let sequence = self.sent[flow][side];
        let packet = match side {
            0 => self.requests[flow][usize::from(sequence > 0)].clone(),
            _ => self.replies[flow].clone().unwrap(),
        };
        let number = u32::try_from(flow << 1 | side).unwrap();
        let is_partial = sequence % 2 == 1 && !about.is_fragmented;
        let (vnet, packet) = marked(packet, [number, sequence], is_partial);
        let port = [about.client_port, about.server_port][side];
        let packets = match about.is_fragmented {
            true => {
                let ident = u16::try_from(sequence & 0xffff).unwrap();
                // Flows between the same ends are told apart by it.
                fragments(
                    &packet,
                    ident ^ u16::try_from(flow << 6).unwrap(),
                    8 + FIRST_FRAGMENT,
                )
            }
            false => vec![packet],
        };
        for packet in packets {
            self.frames += 1;
            let bytes = [&[0; ROOM], &packet[..]].concat();
            let _ = self.queues[self.enters_at[flow]]
                .0
                .send(Read { port, vnet, bytes });
        }
        self.sent[flow][side] += 1;
    }

    /// Sends all packets and waits until they have arrived.
    fn run(&mut self) {
        let mut left = PACKETS;
        while left > 0 {
            left -= self.send_some(left);
            let under_way = self.frames - self.board.all_arrived.load(Ordering::Acquire);
            if under_way > UNDER_WAY - 2 * IN_A_ROW && !self.wait(UNDER_WAY / 4) {
                break;
            }
        }
        let is_done = left == 0 && self.wait(0);
        self.board.is_over.store(true, Ordering::Relaxed);
        assert!(
            is_done,
            "{left} packets were not sent, or some did not arrive"
        );
    }
}

#[test]
fn every_packet_arrives_once_and_in_order_whoever_reads_it() {
    let config = EngineConfig {
        max_flows: 8192,
        seed: 5,
    };
    let snapshot = Arc::new(tunnel_world(1));
    let share = Share::new(&config, WORKERS);
    let board = Board::new();
    let ends = connect(WORKERS, &share).unwrap();
    let begun = Instant::now();
    let (results, frames, moves) = std::thread::scope(|scope| {
        let (mut queues, mut threads) = (vec![], vec![]);
        for (me, (inbox, peers)) in ends.into_iter().enumerate() {
            let (sender, queue) = channel();
            queues.push((sender, Arc::clone(inbox.alarm())));
            let thread = Thread {
                me,
                engine: Engine::with_share(config, Arc::clone(&snapshot), &share, me),
                queue,
                inbox,
                peers,
                board: &board,
            };
            threads.push(scope.spawn(move || thread.run()));
        }
        let mut feeder = Feeder {
            board: &board,
            queues,
            rng: StdRng::seed_from_u64(9),
            requests: (0..FLOWS)
                .map(|flow| [true, false].map(|is_first| board.flows[flow].request(is_first)))
                .collect(),
            replies: vec![None; FLOWS],
            sent: vec![[0; 2]; FLOWS],
            enters_at: (0..FLOWS).map(|flow| flow % WORKERS).collect(),
            moves: 0,
            frames: 0,
        };
        feeder.run();
        let results: Vec<_> = threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .collect();
        (results, feeder.frames, feeder.moves)
    });
    let mut counters = Counters::default();
    let mut handed_over = 0;
    for (of_engine, handed) in &results {
        assert!(
            of_engine.flows_opened > FLOWS as u64 / 8,
            "each owns its part"
        );
        counters.add(of_engine);
        handed_over += handed;
    }
    let ports = (0..6).filter_map(|port| counters.port(PortId(port)));
    let (read, sent) = ports.fold((0, 0), |(read, sent), port| {
        assert_eq!(port.drops().count(), 0);
        (read + port.received_frames, sent + port.sent_frames)
    });
    assert_eq!((read, sent), (frames as u64, frames as u64));
    assert_eq!(counters.flows_opened, FLOWS as u64);
    assert!(handed_over > frames as u64 / 2, "{handed_over} of {frames}");
    assert!(moves > 10 * FLOWS, "{moves}");
    println!(
        "{frames} frames, {handed_over} handed over, {moves} moves, {:?}",
        begun.elapsed()
    );
}
