//! Coalescing through real devices. Where packets are captured, the receiving namespace routes what it got
//! to a device without any offload: so its kernel cuts the super-frames and puts the checksums, and
//! what it made of them is read as it is.

use super::*;
use crate::io::packets::{Checksum, Sample, cut, essence, is_sound, payload};
use crate::io::worker::forward::{BATCH, Buffers, forward_batch};
use crate::io::worker::output::{Outlet, Output};
use crate::wire::vnet_hdr;
use std::fs;
use std::sync::Mutex;
use std::sync::mpsc::sync_channel;

/// Datagrams or segments in one burst.
const BURST: u16 = 200;

/// How many frames the kernel got through the device of this namespace.
fn received_by(netns: &Netns) -> u64 {
    netns.inside(|| {
        let text = fs::read_to_string("/proc/thread-self/net/dev").unwrap();
        let line = text
            .lines()
            .find_map(|line| line.trim().strip_prefix("io0:"));
        line.unwrap()
            .split_whitespace()
            .nth(1)
            .unwrap()
            .parse()
            .unwrap()
    })
}

/// How many packets the kernel of this namespace found to have a wrong checksum.
fn wrong_checksums(netns: &Netns) -> u64 {
    netns.inside(|| {
        let text = fs::read_to_string("/proc/thread-self/net/snmp").unwrap();
        let lines: Vec<_> = text.lines().collect();
        let wrong = lines.chunks(2).flat_map(|pair| {
            let names = pair[0].split_whitespace();
            let values = pair[1].split_whitespace();
            names
                .zip(values)
                .filter(|(name, _)| *name == "InCsumErrors")
        });
        wrong.map(|(_, value)| value.parse::<u64>().unwrap()).sum()
    })
}

/// Has the worker stand still while `work` fills its devices: what it finds then is one batch after
/// the other, each as long as it may be.
fn with_worker_busy(worker: &WorkerHandle, work: impl FnOnce()) {
    let (release, gate) = sync_channel::<()>(0);
    let gate = Mutex::new(gate);
    let (begin, begun) = sync_channel(1);
    let handle = worker.clone();
    let busy = std::thread::spawn(move || {
        handle.query(move |_| {
            begin.send(()).unwrap();
            let _ = gate.lock().unwrap().recv_timeout(DEADLINE);
        })
    });
    begun.recv_timeout(DEADLINE).unwrap();
    work();
    drop(release);
    busy.join().unwrap().unwrap();
}

/// Lets a namespace route between its devices.
fn let_route(netns: &Netns) {
    netns.inside(|| {
        for key in ["ipv4/ip_forward", "ipv6/conf/all/forwarding"] {
            fs::write(format!("/proc/sys/net/{key}"), "1").unwrap();
        }
        for name in ["all", "io0"] {
            fs::write(format!("/proc/sys/net/ipv4/conf/{name}/rp_filter"), "0").unwrap();
        }
    });
}

/// A device without offload beside the port, in a namespace that routes between the two.
struct Tap(Tun);

impl Tap {
    /// `address` is behind it; the rest of the network behind the port.
    fn open(netns: &Netns, address: Ipv4Addr) -> Self {
        let tun = netns.inside(|| Tun::open("raw0", false, 1).unwrap());
        netns.ip(&["link", "set", "raw0", "up", "mtu", "1500"]);
        netns.ip(&["addr", "flush", "dev", "io0"]);
        netns.ip(&["route", "add", &format!("{address}/32"), "dev", "raw0"]);
        netns.ip(&["route", "add", "10.9.0.0/24", "dev", "io0"]);
        let_route(netns);
        Self(tun)
    }

    fn send(&self, sample: &Sample) {
        self.0.write(&sample.frame()[vnet_hdr::LEN..]).unwrap();
    }

    /// Returns the next packets between the two NICs.
    fn receive(&self, count: usize) -> Vec<Vec<u8>> {
        let deadline = Instant::now() + DEADLINE;
        let mut packets = Vec::new();
        let mut buffer = [0; 2000];
        while packets.len() < count {
            assert!(Instant::now() < deadline, "{} of {count}", packets.len());
            match self.0.read(&mut buffer) {
                Ok(len) if is_ours(&buffer[..len]) => packets.push(buffer[..len].to_vec()),
                Ok(_) => {}
                Err(Errno::AGAIN) => std::thread::sleep(Duration::from_millis(1)),
                Err(error) => panic!("{error}"),
            }
        }
        packets
    }
}

/// Whether a packet is TCP or UDP; a kernel that has IPv6 says some things of its own.
fn is_ours(packet: &[u8]) -> bool {
    let protocol = if packet[0] >> 4 == 6 {
        packet[6]
    } else {
        packet[9]
    };
    matches!(protocol, 6 | 17)
}

/// The packet as it is after `hops` routers.
fn routed(mut sample: Sample, hops: u8) -> Vec<u8> {
    sample.hop_limit -= hops;
    essence(&cut(&sample.frame())[0])
}

/// Two routing namespaces with a device at each end, where packets are written and read as they are.
struct Line {
    pair: Pair,
    from: Tap,
    to: Tap,
}

impl Line {
    fn new(offload_b: bool) -> Self {
        let pair = Pair::new(1, true, offload_b);
        let from = Tap::open(&pair.a, ADDRESS_A);
        let to = Tap::open(&pair.b, ADDRESS_B);
        Self { pair, from, to }
    }

    /// Sends a burst and compares what arrives with it; returns how many frames the receiver got.
    fn compare(&self, samples: &[Sample]) -> u64 {
        let before = received_by(&self.pair.b);
        with_worker_busy(&self.pair.worker, || {
            samples.iter().for_each(|sample| self.from.send(sample));
        });
        let packets = self.to.receive(samples.len());
        assert!(packets.iter().all(|packet| is_sound(packet)));
        for (packet, sample) in packets.iter().zip(samples) {
            assert_eq!(essence(packet), routed(sample.clone(), 2));
        }
        received_by(&self.pair.b) - before
    }
}

/// Datagrams of 64 bytes each, but for a longer one and a shorter one among them.
fn datagrams(dont_fragment: bool) -> Vec<Sample> {
    let make = |ident: u16| {
        let [high, low] = ident.to_be_bytes();
        let len = match ident {
            80 => 700,
            120 => 33,
            _ => 64,
        };
        Sample {
            dont_fragment,
            checksum: Checksum::Whole,
            ..Sample::udp(ident, &[vec![high, low], vec![low; len - 2]].concat())
        }
    };
    (0..BURST).map(make).collect()
}

#[test]
fn datagrams_are_cut_by_a_kernel_into_what_was_sent() {
    if !is_privileged("datagrams_are_cut_by_a_kernel_into_what_was_sent") {
        return;
    }
    for offload_b in [true, false] {
        let line = Line::new(offload_b);
        for dont_fragment in [true, false] {
            let frames = line.compare(&datagrams(dont_fragment));
            if offload_b {
                // Four batches; the longer one and what follows it, and what follows the shorter one.
                assert!((4..=8).contains(&frames), "{frames} frames");
            } else {
                assert_eq!(frames, u64::from(BURST));
            }
        }
        line.pair.worker.stop().unwrap();
    }
}

/// Opens a connection, and returns data of it: full segments, PSH on every fiftieth, bare
/// acknowledgements and a short one among them.
fn segments(line: &Line) -> Vec<Sample> {
    let whole = |mut sample: Sample| {
        sample.checksum = Checksum::Whole;
        sample.dont_fragment = true;
        sample
    };
    let mut syn = whole(Sample::tcp(1000, &[]));
    syn.flags = 0x02;
    line.from.send(&syn);
    line.to.receive(1);
    let mut answer = whole(Sample::tcp(76, &[]));
    answer.hosts.reverse();
    answer.ports.reverse();
    answer.flags = 0x12;
    answer.acknowledgement = 1001;
    line.to.send(&answer);
    line.from.receive(1);

    let mut sequence = 1001;
    let make = |number: u16| {
        let len = match number {
            30 | 150 => 0,
            101 => 99,
            _ => 1400,
        };
        let mut sample = whole(Sample::tcp(sequence, &vec![number.to_be_bytes()[1]; len]));
        sample.ident = number;
        if number % 50 == 49 {
            sample.flags |= 0x08;
        }
        sequence += u32::try_from(len).unwrap();
        sample
    };
    (0..BURST).map(make).collect()
}

#[test]
fn segments_are_cut_by_a_kernel_into_what_was_sent() {
    if !is_privileged("segments_are_cut_by_a_kernel_into_what_was_sent") {
        return;
    }
    for offload_b in [true, false] {
        let line = Line::new(offload_b);
        let frames = line.compare(&segments(&line));
        if offload_b {
            // Frames are joined up to 16 KiB: twelve packets, of two hundred.
            assert!((17..40).contains(&frames), "{frames} frames");
        } else {
            assert_eq!(frames, u64::from(BURST));
        }
        line.pair.worker.stop().unwrap();
    }
}

#[test]
fn segments_over_ipv6_are_cut_by_a_kernel_into_what_was_sent() {
    if !is_privileged("segments_over_ipv6_are_cut_by_a_kernel_into_what_was_sent") {
        return;
    }
    let netns = Netns::new();
    let mut devices = Devices::default();
    devices.put(B, open(&netns, true, ADDRESS_B, 1));
    let tap = Tap::open(&netns, ADDRESS_B);
    netns.ip(&["-6", "route", "add", "fd00::/16", "dev", "raw0"]);
    let mut samples = Vec::new();
    for number in 0..40 {
        let byte = u8::try_from(number).unwrap();
        let mut sample = Sample::tcp(number * 1000, &[byte; 1000]);
        sample.is_v6 = true;
        if number % 2 == 0 {
            sample.checksum = Checksum::Whole;
        }
        samples.push(sample);
    }
    let mut frames: Vec<_> = samples.iter().map(Sample::frame).collect();
    let before = received_by(&netns);
    let mut engine = Engine::new(EngineConfig::default(), snapshot(1));
    let mut outlet = Outlet {
        engine: &mut engine,
        devices: &devices,
    };
    let mut output = Output::new();
    for frame in &mut frames {
        let vnet = VnetHdr::parse(*frame.first_chunk().unwrap()).unwrap();
        output.push(&mut outlet, B, &vnet, frame);
    }
    output.flush(&mut outlet);
    let packets = tap.receive(samples.len());
    assert!(packets.iter().all(|packet| is_sound(packet)));
    for (packet, sample) in packets.iter().zip(&samples) {
        assert_eq!(essence(packet), routed(sample.clone(), 1));
    }
    assert_eq!(received_by(&netns) - before, 1);
}

/// Sends a burst of datagrams from a socket, the number first in each.
fn send_datagrams(netns: &Netns, from: u16, is_connected: bool) {
    netns.inside(move || {
        let socket = UdpSocket::bind((ADDRESS_A, from)).unwrap();
        if is_connected {
            socket.connect((ADDRESS_B, 9000)).unwrap();
        }
        for number in 0..BURST {
            let mut bytes = [7; 64];
            bytes[..2].copy_from_slice(&number.to_be_bytes());
            if is_connected {
                socket.send(&bytes).unwrap();
            } else {
                socket.send_to(&bytes, (ADDRESS_B, 9000)).unwrap();
            }
        }
    });
}

#[test]
fn datagrams_of_a_socket_keep_their_bounds() {
    if !is_privileged("datagrams_of_a_socket_keep_their_bounds") {
        return;
    }
    let pair = Pair::new(1, true, true);
    let receiver = pair
        .b
        .inside(|| UdpSocket::bind((ADDRESS_B, 9000)).unwrap());
    receiver.set_read_timeout(Some(DEADLINE)).unwrap();
    for is_connected in [true, false] {
        let before = received_by(&pair.b);
        with_worker_busy(&pair.worker, || {
            send_datagrams(&pair.a, 0, is_connected);
        });
        let mut buffer = [0; 2000];
        for number in 0..BURST {
            assert_eq!(receiver.recv(&mut buffer).unwrap(), 64);
            assert_eq!(buffer[..2], number.to_be_bytes());
        }
        let frames = received_by(&pair.b) - before;
        assert!(frames <= 6, "{frames} frames for {BURST} datagrams");
    }
    assert_eq!(wrong_checksums(&pair.b), 0);
    pair.worker.stop().unwrap();
}

#[test]
fn datagrams_of_a_socket_reach_a_capture_with_right_checksums() {
    if !is_privileged("datagrams_of_a_socket_reach_a_capture_with_right_checksums") {
        return;
    }
    for offload_b in [true, false] {
        let pair = Pair::new(1, true, offload_b);
        let tap = Tap::open(&pair.b, ADDRESS_B);
        let before = received_by(&pair.b);
        // A kernel leaves the checksum of its own datagrams to the device.
        with_worker_busy(&pair.worker, || send_datagrams(&pair.a, 0, true));
        let packets = tap.receive(BURST.into());
        for (number, packet) in (0..BURST).zip(&packets) {
            assert!(is_sound(packet));
            assert_eq!(
                (payload(packet).len(), &payload(packet)[..2]),
                (64, &number.to_be_bytes()[..])
            );
        }
        let frames = received_by(&pair.b) - before;
        assert_eq!(
            frames <= 6,
            offload_b,
            "{frames} frames for {BURST} datagrams"
        );
        pair.worker.stop().unwrap();
    }
}

#[test]
fn transfer_in_single_segments_is_joined() {
    if !is_privileged("transfer_in_single_segments_is_joined") {
        return;
    }
    for offload_b in [true, false] {
        let pair = Pair::new(1, true, offload_b);
        pair.a.ip(&["link", "set", "io0", "gso_max_segs", "1"]);
        pair.echo_tcp(4_000_000);
        let sent = || {
            let sent = |engine: &Engine| engine.counters().port(B).unwrap().sent_frames;
            pair.worker.query(sent).unwrap().iter().sum::<u64>()
        };
        if offload_b {
            let (got, sent) = (received_by(&pair.b), sent());
            assert!(
                got * 10 < sent * 9,
                "{sent} frames were sent, {got} received"
            );
        } else {
            // None is joined, and none was to be cut.
            within(|| sent() == received_by(&pair.b));
        }
        assert_eq!(wrong_checksums(&pair.a) + wrong_checksums(&pair.b), 0);
        pair.worker.stop().unwrap();
    }
}

#[test]
fn batch_allocates_nothing() {
    if !is_privileged("batch_allocates_nothing") {
        return;
    }
    let (a, b) = (Netns::new(), Netns::new());
    let mut devices = Devices::default();
    devices.put(A, open(&a, true, ADDRESS_A, 1));
    devices.put(B, open(&b, true, ADDRESS_B, 1));
    let config = EngineConfig::default();
    let mut engine = Engine::new(config, snapshot(1));
    let ends = inbox::connect(1, &Share::new(&config, 1)).unwrap();
    let (_, peers) = ends.into_iter().next().unwrap();
    let mut buffers = Buffers::default();
    let mut forward = || {
        let tun = devices.get(A).unwrap();
        let before = received_by(&b);
        let info = allocation_counter::measure(|| {
            let end = forward_batch(
                &mut engine,
                &devices,
                &peers,
                &mut buffers,
                Now::default(),
                (A, tun),
                BATCH,
            );
            assert_eq!(end.error(), None);
        });
        (info.count_total, received_by(&b) - before)
    };
    send_datagrams(&a, 4000, true);
    let (first, _) = forward();
    assert!(first > 0, "a new flow allocates: the counter counts");
    for _ in 0..2 {
        assert_eq!(
            forward(),
            (0, 1),
            "64 datagrams of a known flow, in one frame"
        );
    }
}
