//! Several workers: hand-over, its order and its end, and what all of them have to see.

use super::*;

/// Sends `count` numbered datagrams on each of so many flows from `a` to `b`, no more under way than
/// fit, and checks that each arrives once and in the order of its flow.
fn send_flows(pair: &Pair, flows: u16, count: u32) {
    let sockets: Vec<_> = pair.b.inside(move || {
        let bind = |_| UdpSocket::bind(SocketAddr::from((ADDRESS_B, 0))).unwrap();
        (0..flows).map(bind).collect()
    });
    let addresses: Vec<_> = sockets.iter().map(|s| s.local_addr().unwrap()).collect();
    let (credit, granted) = std::sync::mpsc::sync_channel(16);
    let sender = pair.a.enter(move || {
        let bind = |address: &SocketAddr| {
            let socket = UdpSocket::bind(SocketAddr::from((ADDRESS_A, 0))).unwrap();
            socket.connect(address).unwrap();
            socket
        };
        let sockets: Vec<_> = addresses.iter().map(bind).collect();
        for number in 0..count {
            for socket in &sockets {
                socket.send(&number.to_be_bytes()).unwrap();
            }
            granted.recv().unwrap();
        }
    });
    for _ in 0..4 {
        credit.send(()).unwrap();
    }
    for number in 0..count {
        for socket in &sockets {
            socket.set_read_timeout(Some(DEADLINE)).unwrap();
            let mut bytes = [0; 8];
            let len = socket.recv(&mut bytes).unwrap();
            assert_eq!(bytes[..len], number.to_be_bytes());
        }
        // The last of them are granted to nobody.
        let _ = credit.send(());
    }
    sender.join().unwrap();
    for socket in &sockets {
        socket.set_nonblocking(true).unwrap();
        assert!(socket.recv(&mut [0; 8]).is_err(), "none arrives twice");
    }
}

fn handed_over(pair: &Pair) -> u64 {
    pair.worker.handed_over().iter().sum()
}

fn drops(pair: &Pair) -> u64 {
    let look = |engine: &Engine| {
        let counters = engine.counters();
        let ports = [A, B].into_iter().filter_map(|port| counters.port(port));
        let drops = ports.flat_map(PortCounters::drops);
        // Kernels send IPv6 of their own.
        let counted = drops.filter(|&(_, reason, _)| reason != DropReason::Ipv6);
        counted.map(|(_, _, count)| count).sum::<u64>()
    };
    pair.worker.query(look).unwrap().iter().sum()
}

#[test]
fn datagrams_that_are_handed_over_come_once_and_in_order_of_their_flow() {
    if !is_privileged("datagrams_that_are_handed_over_come_once_and_in_order_of_their_flow") {
        return;
    }
    for workers in [2, 4] {
        for crowded in [false, true] {
            let start = if crowded { start_crowded } else { start };
            let pair = Pair::with(start(workers), true, true);
            let before = pair.frames()[0];
            send_flows(&pair, 32, 500);
            assert_eq!(drops(&pair), 0);
            // Nobody answers, so the kernel does not learn where the flows belong: of each with
            // another queue than owner every datagram is handed over. There are 32 flows, so it
            // takes bad luck that no hash has to allow for to see none.
            let handed_over = handed_over(&pair);
            assert!(handed_over >= 500, "{handed_over} handed over");
            assert!(
                pair.frames()[0] - before >= 32 * 500,
                "counted, each by its owner"
            );
            pair.worker.stop().unwrap();
        }
    }
}

#[test]
fn a_connection_is_handed_over_no_more_once_both_sides_have_sent() {
    if !is_privileged("a_connection_is_handed_over_no_more_once_both_sides_have_sent") {
        return;
    }
    for workers in [2, 4] {
        let pair = Pair::new(workers, true, true);
        let mut first_packets = 0;
        for _ in 0..24 {
            let listener = pair
                .b
                .inside(|| TcpListener::bind(SocketAddr::from((ADDRESS_B, 0))).unwrap());
            let address = listener.local_addr().unwrap();
            let before = handed_over(&pair);
            let mut client = pair
                .a
                .inside(move || TcpStream::connect_timeout(&address, DEADLINE).unwrap());
            let (mut server, _) = listener.accept().unwrap();
            let settled = handed_over(&pair);
            first_packets += settled - before;
            let mut bytes = [0; 1000];
            for _ in 0..200 {
                client.write_all(&[7; 1000]).unwrap();
                server.read_exact(&mut bytes).unwrap();
                server.write_all(&bytes).unwrap();
                client.read_exact(&mut bytes).unwrap();
            }
            assert_eq!(
                handed_over(&pair),
                settled,
                "none after the first round trip"
            );
        }
        assert!(
            first_packets > 0,
            "some began at another worker than their owner"
        );
        assert_eq!(drops(&pair), 0);
        pair.worker.stop().unwrap();
    }
}

/// One datagram at a time, each of which wakes workers that sleep.
#[test]
fn a_sleeping_owner_is_woken_for_every_frame() {
    if !is_privileged("a_sleeping_owner_is_woken_for_every_frame") {
        return;
    }
    let pair = Pair::new(4, true, true);
    let socket = pair
        .b
        .inside(|| UdpSocket::bind(SocketAddr::from((ADDRESS_B, 0))).unwrap());
    let address = socket.local_addr().unwrap();
    socket.set_read_timeout(Some(DEADLINE)).unwrap();
    let senders: Vec<_> = pair.a.inside(move || {
        let bind = |_| UdpSocket::bind(SocketAddr::from((ADDRESS_A, 0))).unwrap();
        (0..16).map(bind).collect()
    });
    let ticks = cpu_ticks(&pair.worker);
    // A worker that missed its wake-up would look at its inbox at its next tick.
    let (mut late, mut bytes) = (0, [0; 8]);
    for number in 0..8_000u32 {
        let sender = &senders[number as usize % senders.len()];
        let sent = Instant::now();
        sender.send_to(&number.to_be_bytes(), address).unwrap();
        let len = socket.recv(&mut bytes).unwrap();
        assert_eq!(bytes[..len], number.to_be_bytes());
        late += u32::from(sent.elapsed() >= TICK / 2);
    }
    let handed_over = handed_over(&pair);
    assert!(handed_over >= 500, "{handed_over} handed over");
    // On a busy machine a few wait for their turn; a protocol that loses wake-ups loses every other one
    // of those that find their owner asleep.
    assert!(
        late <= 80,
        "{late} of 8000 late, {} ticks",
        cpu_ticks(&pair.worker) - ticks
    );
    pair.worker.stop().unwrap();
}

#[test]
fn packets_go_on_while_policies_and_devices_come_and_go() {
    if !is_privileged("packets_go_on_while_policies_and_devices_come_and_go") {
        return;
    }
    let pair = Pair::new(4, true, true);
    let extra = PortId(2);
    let other = Netns::new();
    let is_over = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for epoch in 3.. {
                if is_over.load(std::sync::atomic::Ordering::Relaxed) {
                    return;
                }
                let device = other.inside(|| Tun::open("io0", true, 4).unwrap());
                pair.worker
                    .install(snapshot(epoch * 2), vec![(extra, device)], vec![])
                    .unwrap();
                pair.worker
                    .install(snapshot(epoch * 2 + 1), vec![], vec![extra])
                    .unwrap();
            }
        });
        send_flows(&pair, 16, 500);
        pair.echo_tcp(1_000_000);
        is_over.store(true, std::sync::atomic::Ordering::Relaxed);
    });
    assert_eq!(drops(&pair), 0);
    pair.worker.stop().unwrap();
}

#[test]
fn many_idle_workers_use_no_processor() {
    if !is_privileged("many_idle_workers_use_no_processor") {
        return;
    }
    let pair = Pair::with(start_crowded(4), true, true);
    // What the namespaces have to say at first is over by then.
    std::thread::sleep(Duration::from_secs(1));
    let before = cpu_ticks(&pair.worker);
    std::thread::sleep(Duration::from_secs(4));
    let used = cpu_ticks(&pair.worker) - before;
    assert!(
        used <= 2,
        "{used} ticks of 10 ms in 4 s: 0.5% of a processor is 2"
    );
    pair.worker.stop().unwrap();
}
