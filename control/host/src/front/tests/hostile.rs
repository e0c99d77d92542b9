//! Clients that mean harm, and the others that are served all the same.

use super::*;

/// Asks as an honest client and checks that it is served.
async fn honest(scene: &Scene, from: Ipv4Addr) {
    let ask = async {
        let mut stream = scene.call(from).await;
        stream.write_all(get(CONTOSO).as_bytes()).await.unwrap();
        stream.shutdown().await.unwrap();
        rest(&mut stream).await
    };
    let heard = tokio::time::timeout(PATIENCE, ask)
        .await
        .expect("served in time");
    let is_served = heard == echoed(&get(CONTOSO)) || heard.starts_with("HTTP/1.1 403 ");
    assert!(is_served, "{heard}");
}

#[tokio::test]
async fn a_hello_of_a_mebibyte_is_refused() {
    let scene = Scene::new(&Plan::new(Protocol::Tls, nobody().await));
    let mut stream = scene.call(ALLOWED).await;
    // A record of 16 KiB, the first of many.
    stream
        .write_all(&[22, 3, 1, 0x40, 0, 1, 0x10, 0, 0])
        .await
        .unwrap();
    let mut alert = [0; 7];
    stream.read_exact(&mut alert).await.unwrap();
    assert_eq!(alert, [21, 3, 3, 0, 2, 2, 22], "record overflow");
    assert_eq!(scene.counters().too_large.get(), 1);
    // One that claims less and sends more.
    let mut stream = scene.call(ALLOWED).await;
    stream
        .write_all(&[22, 3, 1, 0x40, 0, 1, 0, 0x40, 0])
        .await
        .unwrap();
    let flood = vec![22; 1024 * 1024];
    let _ = stream.write_all(&flood).await;
    let _ = rest(&mut stream).await;
    let counters = scene.counters();
    until("it is refused", || {
        counters.too_large.get() + counters.malformed.get() == 2
    })
    .await;
}

#[tokio::test]
async fn garbage_is_refused_at_once() {
    let counted = |scene: &Scene| {
        let counters = scene.counters();
        counters.malformed.get() + counters.hung_up.get() + counters.too_large.get()
    };
    for protocol in [Protocol::Tls, Protocol::Http] {
        let scene = Scene::new(&Plan::new(protocol, nobody().await));
        let garbage: [&[u8]; 4] = [b"\0\0\0\0", b"\xff\xff", b"\x16\x03\x01\0\0", &[7; 9000]];
        for (at, bytes) in garbage.iter().enumerate() {
            let mut stream = scene.call(ALLOWED).await;
            stream.write_all(bytes).await.unwrap();
            let _ = rest(&mut stream).await;
            until("it is counted", || counted(&scene) == at as u64 + 1).await;
        }
    }
    for protocol in [Protocol::PostgreSql, Protocol::Tds] {
        let scene = Scene::new(&Plan::new(protocol, nobody().await));
        let mut stream = scene.call(OTHER).await;
        stream.write_all(&[0xff; 100]).await.unwrap();
        assert_eq!(rest(&mut stream).await, "");
        let desk = scene.front.desk("contoso");
        until("it is counted", || desk.unheard.get() == 1).await;
    }
}

#[tokio::test]
async fn slow_heads_time_out_and_the_others_are_served() {
    const SLOW: usize = 300;
    let plan = Plan {
        limits: Limits {
            opening: Duration::from_millis(700),
            ..Limits::default()
        },
        ..Plan::new(Protocol::Http, http_echo().await)
    };
    let scene = Scene::new(&plan);
    let mut slow = Vec::new();
    for _ in 0..SLOW {
        let mut stream = scene.call(OTHER).await;
        stream.write_all(b"GET / HTTP/1.1\r\n").await.unwrap();
        slow.push(stream);
    }
    honest(&scene, ALLOWED).await;
    let counters = scene.counters();
    // A header now and then does not buy time.
    until("all have timed out", || {
        for stream in &slow {
            let _ = stream.try_write(b"X: y\r\n");
        }
        counters.timed_out.get() == SLOW as u64
    })
    .await;
    honest(&scene, ALLOWED).await;
}

#[tokio::test]
async fn one_caller_with_many_silent_connections_keeps_nobody_out() {
    let plan = Plan {
        limits: Limits {
            undecided_per_caller: 50,
            per_listener: 100,
            ..Limits::default()
        },
        ..Plan::new(Protocol::Http, http_echo().await)
    };
    let scene = Scene::new(&plan);
    let mut silent = Vec::new();
    for _ in 0..200 {
        // One that is too many may be reset before it is known to be open.
        silent.push(scene.try_call(OTHER).await);
    }
    honest(&scene, ALLOWED).await;
    let counters = scene.counters();
    // Its own newer ones take the places of its oldest.
    until("the others are put out", || counters.evicted.get() == 150).await;
    assert_eq!(counters.over_limit.get(), 0);
    drop(silent);
    until("they are gone", || counters.hung_up.get() == 50).await;
    honest(&scene, OTHER).await;
}

#[tokio::test]
async fn one_allowed_caller_that_holds_every_connection_keeps_nobody_out() {
    let plan = Plan {
        limits: Limits {
            per_listener: 40,
            per_caller: 40,
            ..Limits::default()
        },
        ..Plan::new(Protocol::MySql, echo().await)
    };
    let scene = Scene::new(&plan);
    let mut held = Vec::new();
    for _ in 0..40 {
        let mut stream = scene.call(ALLOWED).await;
        stream.write_all(b"ping").await.unwrap();
        hears(&mut stream, "ping").await;
        held.push(stream);
    }
    // It cannot have more; others get in, and what they have they keep.
    // The reset may come before the connection is seen to be open.
    if let Ok(mut one_more) = scene.try_call(ALLOWED).await {
        assert!(one_more.read_u8().await.is_err());
    }
    for _ in 0..20 {
        let mut stream = scene.call(SUBNET).await;
        assert!(rest(&mut stream).await.contains("is not allowed"));
    }
    let counters = scene.counters();
    assert!(counters.evicted.get() > 0);
    assert_eq!(counters.over_limit.get(), 1);
}

#[tokio::test]
async fn thousands_of_half_open_connections_leave_room_for_one_more() {
    const MANY: usize = 4000;
    let plan = Plan {
        limits: Limits {
            opening: PATIENCE * 10,
            undecided_per_caller: MANY,
            per_caller: MANY,
            per_listener: MANY * 2,
            total: MANY * 2,
            ..Limits::default()
        },
        ..Plan::new(Protocol::Tls, nobody().await)
    };
    let scene = Scene::new(&plan);
    let before = resident();
    let mut open = Vec::new();
    for _ in 0..MANY {
        let mut stream = scene.call(OTHER).await;
        stream.write_all(&[22, 3, 1]).await.unwrap();
        open.push(stream);
    }
    let counters = scene.counters();
    until("all are taken", || counters.accepted.get() == MANY as u64).await;
    let each = resident().saturating_sub(before) / MANY;
    println!("{MANY} half-open connections: {each} bytes each, both ends");
    // Neither a full opening nor a relay's buffers are set aside for them.
    assert!(each < 16 * 1024, "{each} bytes for a half-open connection");
    let mut stream = scene.call_tls(SUBNET, CONTOSO).await;
    stream.write_all(get(CONTOSO).as_bytes()).await.unwrap();
    assert!(rest(&mut stream).await.contains("AuthorizationFailure"));
    drop(open);
    until("all are gone", || counters.hung_up.get() == MANY as u64).await;
}

/// Returns the memory of this process in bytes.
fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmRSS:"))
        .unwrap();
    line.split_whitespace()
        .nth(1)
        .unwrap()
        .parse::<usize>()
        .unwrap()
        * 1024
}

#[tokio::test]
async fn a_caller_with_a_forged_identity_is_reset() {
    // An IPv6 address that the dataplane never makes.
    let mut scene = Scene::new(&Plan::new(Protocol::Http, http_echo().await));
    let socket = std::net::TcpListener::bind("[::1]:0").unwrap();
    socket.set_nonblocking(true).unwrap();
    let address = socket.local_addr().unwrap();
    let place = place(&here()).unwrap();
    scene
        .front
        .serve(place, address.port(), socket, Ends::of)
        .unwrap();
    // On a busy machine the reset is there before the connection is looked at.
    let read = match TcpStream::connect(address).await {
        Ok(mut stream) => stream.read_u8().await,
        Err(error) => Err(error),
    };
    assert_eq!(read.unwrap_err().kind(), io::ErrorKind::ConnectionReset);
    let listeners = scene.front.listeners();
    let counters = listeners
        .iter()
        .find(|report| report.port == address.port())
        .unwrap();
    assert_eq!(counters.counters.bad_identity.get(), 1);
}
