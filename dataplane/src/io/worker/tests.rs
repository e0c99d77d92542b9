//! The worker on real devices, in namespaces of the test's own; without root, on none.

mod coalescing;
mod netns;
mod several;

use super::*;
use crate::engine::{EngineConfig, Frame, Verdict};
use crate::policy::{
    Direction, Epoch, NextHop, Nic, Port, PortKind, PublicSource, Route, RouteTable, Snapshot,
    Subnet, SubnetIndex, Vnet, VnetIndex,
};
use crate::stats::{DropReason, PortCounters};
use crate::wire::VnetHdr;
use netns::{Netns, is_privileged};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};

const A: PortId = PortId(0);
const B: PortId = PortId(1);
const ADDRESS_A: Ipv4Addr = Ipv4Addr::new(10, 9, 0, 4);
const ADDRESS_B: Ipv4Addr = Ipv4Addr::new(10, 9, 0, 5);
const DEADLINE: Duration = Duration::from_secs(60);

/// Two NICs in one subnet, everything allowed.
fn snapshot(epoch: u32) -> Arc<Snapshot> {
    let nic = |address| {
        let nic = Nic {
            addresses: vec![address],
            ip_forwarding: false,
            subnet: SubnetIndex(0),
            nsg: None,
            public: PublicSource::None,
            instance_address: None,
        };
        Some(Port {
            mtu: 1500,
            kind: PortKind::Nic(nic),
        })
    };
    let prefix = "10.9.0.0/16".parse().unwrap();
    Arc::new(Snapshot {
        epoch: Epoch(epoch),
        ports: vec![nic(ADDRESS_A), nic(ADDRESS_B)],
        vnets: vec![Vnet {
            nics: [(ADDRESS_A, A), (ADDRESS_B, B)].into_iter().collect(),
            flow_timeout: None,
        }],
        subnets: vec![Subnet {
            vnet: VnetIndex(0),
            identity: crate::identity::Identity {
                vnet: crate::identity::VnetKey::MIN,
                subnet: crate::identity::SubnetKey::MIN,
                region: 0,
            },
            nsg: None,
            routes: Arc::new(RouteTable::new(vec![Route::new(
                prefix,
                NextHop::VnetLocal,
            )])),
            rivals: Arc::default(),
            endpoints: Arc::default(),
        }],
        ..Snapshot::default()
    })
}

/// How many workers the cases run with that must not care.
const NUMBERS: [usize; 3] = [1, 2, 4];

fn start(workers: usize) -> WorkerHandle {
    start_each(workers, |_| ())
}

/// Starts workers whose engines were prepared by `prepare`.
fn start_each(workers: usize, prepare: impl Fn(&mut Engine)) -> WorkerHandle {
    let config = EngineConfig::default();
    let share = Share::new(&config, workers);
    let engines = (0..workers).map(|index| {
        let mut engine = Engine::with_share(config, snapshot(1), &share, index);
        prepare(&mut engine);
        engine
    });
    Worker::start(engines.collect(), &share).unwrap()
}

fn open(netns: &Netns, offload: bool, address: Ipv4Addr, queues: usize) -> Tun {
    let tun = netns.inside(move || Tun::open("io0", offload, queues).unwrap());
    netns.ip(&["addr", "add", &format!("{address}/24"), "dev", "io0"]);
    netns.ip(&["link", "set", "io0", "up", "mtu", "1500"]);
    tun
}

/// Two namespaces, a device in each, and a worker between them.
struct Pair {
    worker: WorkerHandle,
    a: Netns,
    b: Netns,
}

impl Pair {
    fn new(workers: usize, offload_a: bool, offload_b: bool) -> Self {
        Self::with(start(workers), offload_a, offload_b)
    }

    fn with(worker: WorkerHandle, offload_a: bool, offload_b: bool) -> Self {
        let (a, b) = (Netns::new(), Netns::new());
        let queues = worker.workers();
        let devices = vec![
            (A, open(&a, offload_a, ADDRESS_A, queues)),
            (B, open(&b, offload_b, ADDRESS_B, queues)),
        ];
        worker.install(snapshot(2), devices, vec![]).unwrap();
        Self { worker, a, b }
    }

    /// Sends `bytes` over TCP from `a` to `b`, and back again, and compares.
    fn echo_tcp(&self, bytes: usize) {
        let listener = self
            .b
            .inside(|| TcpListener::bind(SocketAddr::from((ADDRESS_B, 0))).unwrap());
        let address = listener.local_addr().unwrap();
        let server = self.b.enter(move || {
            let (mut stream, peer) = listener.accept().unwrap();
            assert_eq!(peer.ip(), ADDRESS_A);
            stream.set_read_timeout(Some(DEADLINE)).unwrap();
            let mut received = Vec::new();
            stream.read_to_end(&mut received).unwrap();
            stream.write_all(&received).unwrap();
        });
        let echoed = self.a.inside(move || {
            let sent: Vec<u8> = (0..bytes)
                .map(|at| u8::try_from(at * at % 251).unwrap())
                .collect();
            let mut stream = TcpStream::connect_timeout(&address, DEADLINE).unwrap();
            stream.set_read_timeout(Some(DEADLINE)).unwrap();
            stream.write_all(&sent).unwrap();
            stream.shutdown(std::net::Shutdown::Write).unwrap();
            let mut received = Vec::new();
            stream.read_to_end(&mut received).unwrap();
            received == sent
        });
        server.join().unwrap();
        assert!(echoed, "the bytes came back as they were sent");
    }

    fn frames(&self) -> [u64; 2] {
        let look = |engine: &Engine| {
            [A, B].map(|port| {
                engine
                    .counters()
                    .port(port)
                    .map_or(0, |port| port.received_frames)
            })
        };
        let all = self.worker.query(look).unwrap();
        all.iter().fold([0; 2], |[a, b], of| [a + of[0], b + of[1]])
    }
}

#[test]
fn query_install_and_stop_without_devices() {
    for workers in NUMBERS {
        let worker = start(workers);
        let epochs = || worker.query(|engine| engine.snapshot().epoch);
        assert_eq!(worker.workers(), workers);
        assert_eq!(epochs(), Ok(vec![Epoch(1); workers]));
        let first = worker.install(snapshot(2), vec![], vec![]).unwrap();
        assert_eq!(epochs(), Ok(vec![Epoch(2); workers]));
        assert_eq!(first.recv_timeout(DEADLINE).unwrap().epoch, Epoch(2));
        assert!(first.recv_timeout(DEADLINE).is_err(), "one report of all");
        let other = worker.clone();
        other.stop().unwrap();
        assert_eq!(worker.query(|_| ()), Err(WorkerGone));
        assert!(worker.install(snapshot(3), vec![], vec![]).is_err());
        assert_eq!(worker.stop(), Err(WorkerGone));
    }
}

#[test]
fn overtaken_installer_gets_a_report_too() {
    for workers in NUMBERS {
        let worker = start(workers);
        let receivers: Vec<_> = (2..50)
            .map(|epoch| worker.install(snapshot(epoch), vec![], vec![]).unwrap())
            .collect();
        for (receiver, epoch) in receivers.iter().zip(2..) {
            let reported = receiver.recv_timeout(DEADLINE).unwrap().epoch;
            assert!(
                reported >= Epoch(epoch),
                "{reported:?} reported to the installer of {epoch}"
            );
        }
        worker.stop().unwrap();
    }
}

#[test]
fn installers_at_once_leave_all_workers_with_one_policy() {
    let worker = start(4);
    std::thread::scope(|scope| {
        for installer in 0..4 {
            let worker = &worker;
            scope.spawn(move || {
                for epoch in 0..50 {
                    let epoch = 2 + installer * 50 + epoch;
                    worker.install(snapshot(epoch), vec![], vec![]).unwrap();
                }
            });
        }
    });
    let epochs = worker.query(|engine| engine.snapshot().epoch).unwrap();
    assert_eq!(epochs, vec![epochs[0]; 4]);
    worker.stop().unwrap();
}

#[test]
fn worker_ends_with_its_last_handle() {
    let worker = start(2);
    let (ended, end) = channel::<()>();
    // The closure is dropped unsent with the command queue, or run: either way by a worker.
    worker.query(move |_| _ = &ended).unwrap();
    assert!(end.recv_timeout(DEADLINE).is_err());
    let threads = worker.query(|_| rustix::thread::gettid()).unwrap();
    drop(worker);
    for thread in threads {
        let path = format!("/proc/self/task/{}", thread.as_raw_nonzero());
        within(|| !std::path::Path::new(&path).exists());
    }
}

#[test]
fn worker_goes_before_other_threads() {
    if !is_privileged("worker_goes_before_other_threads") {
        return;
    }
    let niceness = || {
        let thread = rustix::thread::gettid();
        rustix::process::getpriority_process(Some(thread)).unwrap()
    };
    let before = niceness();
    let worker = start(2);
    assert_eq!(worker.query(move |_| niceness()), Ok(vec![NICENESS; 2]));
    assert_eq!(niceness(), before, "and no other thread does");
    worker.stop().unwrap();
}

#[test]
fn device_vanishes_when_it_is_closed() {
    if !is_privileged("device_vanishes_when_it_is_closed") {
        return;
    }
    let netns = Netns::new();
    for (offload, queues) in [(true, 1), (false, 1), (true, 4), (false, 2)] {
        let tun = open(&netns, offload, ADDRESS_A, queues);
        assert_eq!(tun.has_vnet_hdr(), offload);
        assert!(netns.ip(&["-br", "addr"]).contains("10.9.0.4/24"));
        assert!(matches!(
            tun.read(&mut [0; 2000]),
            Err(Errno::AGAIN) | Ok(_)
        ));
        let mut queues: Vec<_> = tun.split();
        assert!(queues.iter().all(|queue| queue.has_vnet_hdr() == offload));
        while let Some(queue) = queues.pop() {
            assert!(netns.ip(&["-br", "addr"]).contains("io0"));
            drop(queue);
        }
        within_a_spawn(|| !netns.ip(&["-br", "addr"]).contains("io0"));
    }
}

#[test]
fn device_that_exists_is_left_alone() {
    if !is_privileged("device_that_exists_is_left_alone") {
        return;
    }
    let netns = Netns::new();
    netns.ip(&["tuntap", "add", "mine", "mode", "tun"]);
    netns.ip(&[
        "link", "add", "veth0", "type", "veth", "peer", "name", "veth1",
    ]);
    for name in ["mine", "veth0", "lo"] {
        for queues in [1, 2] {
            let error = netns
                .inside(move || Tun::open(name, true, queues).map(|_| ()))
                .unwrap_err();
            assert!(
                matches!(&error, IoError::Exists { name: taken } if taken == name),
                "{error}"
            );
        }
    }
    assert!(netns.ip(&["link", "show", "mine"]).contains("mine"));
}

#[test]
fn super_frames_pass_uncut() {
    if !is_privileged("super_frames_pass_uncut") {
        return;
    }
    for workers in NUMBERS {
        let pair = Pair::new(workers, true, true);
        let bytes = 4_000_000;
        pair.echo_tcp(bytes);
        let [frames, _] = pair.frames();
        // Acknowledgements for the way back are among them.
        let packets = u64::try_from(bytes / 1448).unwrap();
        assert!(
            frames < packets,
            "{frames} frames for {packets} packets' worth of bytes"
        );
        pair.worker.stop().unwrap();
    }
}

#[test]
fn transfer_is_whole_whatever_the_devices_offload() {
    if !is_privileged("transfer_is_whole_whatever_the_devices_offload") {
        return;
    }
    for (offload_a, offload_b) in [(true, false), (false, true), (false, false)] {
        for workers in NUMBERS {
            let pair = Pair::new(workers, offload_a, offload_b);
            pair.echo_tcp(1_000_000);
            pair.worker.stop().unwrap();
        }
    }
}

#[test]
fn datagrams_reach_a_device_without_offload() {
    if !is_privileged("datagrams_reach_a_device_without_offload") {
        return;
    }
    let pair = Pair::new(1, true, false);
    let receiver = pair
        .b
        .inside(|| UdpSocket::bind(SocketAddr::from((ADDRESS_B, 0))).unwrap());
    receiver.set_read_timeout(Some(DEADLINE)).unwrap();
    let address = receiver.local_addr().unwrap();
    pair.a.inside(move || {
        let sender = UdpSocket::bind(SocketAddr::from((ADDRESS_A, 0))).unwrap();
        for number in 0..20u8 {
            sender
                .send_to(&vec![number; 1000 + usize::from(number)], address)
                .unwrap();
        }
    });
    let mut buffer = [0; 2000];
    for number in 0..20u8 {
        let len = receiver.recv(&mut buffer).unwrap();
        assert_eq!(buffer[..len], vec![number; 1000 + usize::from(number)]);
    }
    pair.worker.stop().unwrap();
}

/// Workers whose engines have so many flows that frames are read ahead.
fn start_crowded(workers: usize) -> WorkerHandle {
    start_each(workers, |engine| {
        for number in 0..5_000u16 {
            let mut packet = vec![0x45, 0, 0, 28, 0, 0, 0, 0, 64, 17, 0, 0];
            packet.extend(ADDRESS_A.octets());
            packet.extend(ADDRESS_B.octets());
            packet.extend((1_000 + number).to_be_bytes());
            packet.extend([0, 9, 0, 8, 0, 0]);
            let mut frame = Frame::new(VnetHdr::default(), &mut packet);
            let verdict = engine.process(Now::default(), A, &mut frame);
            assert_eq!(verdict, Verdict::Forward(B));
        }
    })
}

#[test]
fn frames_read_ahead_come_whole_and_in_order() {
    if !is_privileged("frames_read_ahead_come_whole_and_in_order") {
        return;
    }
    const SENDERS: u8 = 5;
    for (offload_a, offload_b) in [(true, true), (true, false), (false, true)] {
        let pair = Pair::with(start_crowded(1), offload_a, offload_b);
        pair.echo_tcp(2_000_000);
        let receiver = pair
            .b
            .inside(|| UdpSocket::bind(SocketAddr::from((ADDRESS_B, 0))).unwrap());
        receiver.set_read_timeout(Some(DEADLINE)).unwrap();
        let address = receiver.local_addr().unwrap();
        let mut buffer = [0; 2000];
        for round in 0..20u8 {
            // Short and long ones of several senders, more at once than are read ahead.
            pair.a.inside(move || {
                let bind = |_| UdpSocket::bind(SocketAddr::from((ADDRESS_A, 0))).unwrap();
                let senders: Vec<_> = (0..SENDERS).map(bind).collect();
                for number in 0..20u8 {
                    for (sender, socket) in (0..SENDERS).zip(&senders) {
                        let len = [20, 900, 1400][usize::from(number % 3)];
                        let mut bytes = vec![number; len];
                        bytes[0] = sender;
                        bytes[1] = round;
                        socket.send_to(&bytes, address).unwrap();
                    }
                }
            });
            let mut next = [0u8; SENDERS as usize];
            for _ in 0..20 * SENDERS {
                let len = receiver.recv(&mut buffer).unwrap();
                let [sender, from, ..] = buffer;
                let number = &mut next[usize::from(sender)];
                assert_eq!(
                    (from, len),
                    (round, [20, 900, 1400][usize::from(*number % 3)])
                );
                assert!(buffer[2..len].iter().all(|byte| byte == number));
                *number += 1;
            }
        }
        pair.worker.stop().unwrap();
    }
}

#[test]
fn device_deleted_underneath_is_retired_and_others_go_on() {
    if !is_privileged("device_deleted_underneath_is_retired_and_others_go_on") {
        return;
    }
    for workers in NUMBERS {
        delete_and_replace(&Pair::new(workers, true, true));
    }
}

fn delete_and_replace(pair: &Pair) {
    pair.echo_tcp(10_000);
    pair.b.ip(&["link", "del", "io0"]);
    within(|| pair.worker.devices() == Ok(vec![A]));
    let failures = |engine: &Engine| {
        let port = engine.counters().port(B);
        port.map_or(0, |port| {
            port.dropped(Direction::Inbound, DropReason::OutputFailed)
        })
    };
    within(|| {
        pair.a.inside(|| {
            let sender = UdpSocket::bind(SocketAddr::from((ADDRESS_A, 0))).unwrap();
            sender.send_to(b"lost", (ADDRESS_B, 9)).unwrap();
        });
        pair.worker.query(failures).unwrap().iter().sum::<u64>() > 0
    });

    // The workers sleep although the device would report an error for ever.
    let before = cpu_ticks(&pair.worker);
    std::thread::sleep(Duration::from_millis(600));
    let used = cpu_ticks(&pair.worker) - before;
    assert!(used < 10, "{used} ticks of 10 ms in 600 ms without traffic");

    // A new device takes the port's place.
    let queues = pair.worker.workers();
    let device = open(&pair.b, false, ADDRESS_B, queues);
    pair.worker
        .install(snapshot(3), vec![(B, device)], vec![])
        .unwrap();
    pair.echo_tcp(10_000);

    // Detached, the device is gone when the call returns.
    pair.worker.install(snapshot(4), vec![], vec![B]).unwrap();
    within_a_spawn(|| !pair.b.ip(&["-br", "link"]).contains("io0"));
    pair.worker.clone().stop().unwrap();
    within_a_spawn(|| !pair.a.ip(&["-br", "link"]).contains("io0"));
}

/// Returns the processor time of the workers' threads, in ticks of 10 ms.
fn cpu_ticks(worker: &WorkerHandle) -> u64 {
    let threads = worker.query(|_| rustix::thread::gettid()).unwrap();
    let ticks = threads.iter().map(|thread| {
        let path = format!("/proc/self/task/{}/stat", thread.as_raw_nonzero());
        let stat = std::fs::read_to_string(path).unwrap();
        let after_name = stat.rsplit(')').next().unwrap();
        after_name
            .split_whitespace()
            .skip(11)
            .take(2)
            .map(|field| field.parse::<u64>().unwrap())
            .sum::<u64>()
    });
    ticks.sum()
}

/// Of what holds at once, but for a moment in which a command that another test starts has a copy of
/// every descriptor.
fn within_a_spawn(mut condition: impl FnMut() -> bool) {
    for _ in 0..10 {
        if condition() {
            return;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    panic!("not gone");
}

fn within(mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + DEADLINE;
    while !condition() {
        assert!(Instant::now() < deadline, "not within {DEADLINE:?}");
        std::thread::sleep(Duration::from_millis(5));
    }
}
