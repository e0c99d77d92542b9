//! The worker on real devices, in namespaces of the test's own; without root, on none.

mod netns;

use super::*;
use crate::engine::{EngineConfig, Frame, Verdict};
use crate::policy::{
    Direction, Epoch, NextHop, Nic, Port, PortKind, PublicSource, Route, RouteTable, Snapshot,
    Subnet, SubnetIndex, Vnet, VnetIndex,
};
use crate::stats::DropReason;
use crate::wire::VnetHdr;
use netns::{Netns, is_privileged};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};

const A: PortId = PortId(0);
const B: PortId = PortId(1);
const ADDRESS_A: Ipv4Addr = Ipv4Addr::new(10, 9, 0, 4);
const ADDRESS_B: Ipv4Addr = Ipv4Addr::new(10, 9, 0, 5);
const DEADLINE: Duration = Duration::from_secs(20);

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

fn start() -> WorkerHandle {
    Worker::start(Engine::new(EngineConfig::default(), snapshot(1))).unwrap()
}

fn open(netns: &Netns, offload: bool, address: Ipv4Addr) -> Tun {
    let tun = netns.inside(move || Tun::open("io0", offload).unwrap());
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
    fn new(offload_a: bool, offload_b: bool) -> Self {
        Self::with(start(), offload_a, offload_b)
    }

    fn with(worker: WorkerHandle, offload_a: bool, offload_b: bool) -> Self {
        let (a, b) = (Netns::new(), Netns::new());
        let devices = vec![
            (A, open(&a, offload_a, ADDRESS_A)),
            (B, open(&b, offload_b, ADDRESS_B)),
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
        self.worker.query(look).unwrap()
    }
}

#[test]
fn query_install_and_stop_without_devices() {
    let worker = start();
    assert_eq!(
        worker.query(|engine| engine.snapshot().epoch).unwrap(),
        Epoch(1)
    );
    let first = worker.install(snapshot(2), vec![], vec![]).unwrap();
    assert_eq!(
        worker.query(|engine| engine.snapshot().epoch).unwrap(),
        Epoch(2)
    );
    assert_eq!(first.recv_timeout(DEADLINE).unwrap().epoch, Epoch(2));
    let other = worker.clone();
    other.stop().unwrap();
    assert_eq!(worker.query(|_| ()), Err(WorkerGone));
    assert!(worker.install(snapshot(3), vec![], vec![]).is_err());
    assert_eq!(worker.stop(), Err(WorkerGone));
}

#[test]
fn overtaken_installer_gets_a_report_too() {
    let worker = start();
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

#[test]
fn worker_ends_with_its_last_handle() {
    let worker = start();
    let (ended, end) = channel::<()>();
    // The closure is dropped unsent with the command queue, or run: either way by the worker.
    worker.query(move |_| drop(ended)).unwrap();
    assert!(end.recv_timeout(DEADLINE).is_err());
    let thread = worker.query(|_| rustix::thread::gettid()).unwrap();
    drop(worker);
    let path = format!("/proc/self/task/{}", thread.as_raw_nonzero());
    within(|| !std::path::Path::new(&path).exists());
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
    let worker = start();
    assert_eq!(worker.query(move |_| niceness()).unwrap(), NICENESS);
    assert_eq!(niceness(), before, "and no other thread does");
    worker.stop().unwrap();
}

#[test]
fn device_vanishes_when_it_is_closed() {
    if !is_privileged("device_vanishes_when_it_is_closed") {
        return;
    }
    let netns = Netns::new();
    for offload in [true, false] {
        let tun = open(&netns, offload, ADDRESS_A);
        assert_eq!(tun.has_vnet_hdr(), offload);
        assert!(netns.ip(&["-br", "addr"]).contains("10.9.0.4/24"));
        assert!(matches!(
            tun.read(&mut [0; 2000]),
            Err(Errno::AGAIN) | Ok(_)
        ));
        drop(tun);
        assert!(!netns.ip(&["-br", "addr"]).contains("io0"));
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
        let error = netns
            .inside(move || Tun::open(name, true).map(|_| ()))
            .unwrap_err();
        assert!(
            matches!(&error, IoError::Exists { name: taken } if taken == name),
            "{error}"
        );
    }
    assert!(netns.ip(&["link", "show", "mine"]).contains("mine"));
}

#[test]
fn super_frames_pass_uncut() {
    if !is_privileged("super_frames_pass_uncut") {
        return;
    }
    let pair = Pair::new(true, true);
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

#[test]
fn transfer_is_whole_whatever_the_devices_offload() {
    if !is_privileged("transfer_is_whole_whatever_the_devices_offload") {
        return;
    }
    for (offload_a, offload_b) in [(true, false), (false, true), (false, false)] {
        let pair = Pair::new(offload_a, offload_b);
        pair.echo_tcp(1_000_000);
        pair.worker.stop().unwrap();
    }
}

#[test]
fn datagrams_reach_a_device_without_offload() {
    if !is_privileged("datagrams_reach_a_device_without_offload") {
        return;
    }
    let pair = Pair::new(true, false);
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

/// A worker whose engine has so many flows that frames are read ahead.
fn start_crowded() -> WorkerHandle {
    let mut engine = Engine::new(EngineConfig::default(), snapshot(1));
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
    Worker::start(engine).unwrap()
}

#[test]
fn frames_read_ahead_come_whole_and_in_order() {
    if !is_privileged("frames_read_ahead_come_whole_and_in_order") {
        return;
    }
    const SENDERS: u8 = 5;
    for (offload_a, offload_b) in [(true, true), (true, false), (false, true)] {
        let pair = Pair::with(start_crowded(), offload_a, offload_b);
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
    let pair = Pair::new(true, true);
    pair.echo_tcp(10_000);
    pair.b.ip(&["link", "del", "io0"]);
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
        pair.worker.query(failures).unwrap() > 0
    });

    // The worker sleeps although the device would report an error for ever.
    let before = cpu_ticks(&pair.worker);
    std::thread::sleep(Duration::from_millis(600));
    let used = cpu_ticks(&pair.worker) - before;
    assert!(used < 10, "{used} ticks of 10 ms in 600 ms without traffic");

    // A new device takes the port's place.
    let device = open(&pair.b, false, ADDRESS_B);
    pair.worker
        .install(snapshot(3), vec![(B, device)], vec![])
        .unwrap();
    pair.echo_tcp(10_000);

    // Detached, the device is gone when the call returns.
    pair.worker.install(snapshot(4), vec![], vec![B]).unwrap();
    assert!(!pair.b.ip(&["-br", "link"]).contains("io0"));
    pair.worker.stop().unwrap();
    assert!(!pair.a.ip(&["-br", "link"]).contains("io0"));
}

/// Returns the processor time of the worker's thread, in ticks of 10 ms.
fn cpu_ticks(worker: &WorkerHandle) -> u64 {
    let thread = worker.query(|_| rustix::thread::gettid()).unwrap();
    let path = format!("/proc/self/task/{}/stat", thread.as_raw_nonzero());
    let stat = std::fs::read_to_string(path).unwrap();
    let after_name = stat.rsplit(')').next().unwrap();
    after_name
        .split_whitespace()
        .skip(11)
        .take(2)
        .map(|field| field.parse::<u64>().unwrap())
        .sum()
}

fn within(mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + DEADLINE;
    while !condition() {
        assert!(Instant::now() < deadline, "not within {DEADLINE:?}");
        std::thread::sleep(Duration::from_millis(5));
    }
}
