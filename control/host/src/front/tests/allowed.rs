//! What allowed callers and their backends see.

use super::*;
use postern_dataplane::carrier::proxy2::{self, Start};

#[tokio::test]
async fn tls_goes_through_to_the_backends_own_certificate() {
    let (listener, address) = backend().await;
    let scene = Scene::new(&Plan::new(Protocol::Tls, address));
    let acceptor = acceptor(&scene.ca.issue(CONTOSO).unwrap());
    let serve = async {
        let (stream, _) = listener.accept().await.unwrap();
        let mut stream = acceptor.accept(stream).await.unwrap();
        let mut request = vec![0; get(CONTOSO).len()];
        stream.read_exact(&mut request).await.unwrap();
        stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
        stream.shutdown().await.unwrap();
        request
    };
    let ask = async {
        let mut stream = scene.call_tls(ALLOWED, CONTOSO).await;
        stream.write_all(get(CONTOSO).as_bytes()).await.unwrap();
        rest(&mut stream).await
    };
    let (request, answer) = tokio::join!(serve, ask);
    assert_eq!(String::from_utf8(request).unwrap(), get(CONTOSO));
    assert_eq!(answer, "HTTP/1.1 200 OK\r\n\r\n");
    let desk = scene.front.desk("contoso");
    assert_eq!(
        (desk.allowed.get(), desk.denied_network_rules.get()),
        (1, 0)
    );
    let call = desk.log.calls().remove(0);
    assert_eq!(
        (call.reason(), call.rule.as_deref()),
        ("networkRule", Some("office"))
    );
}

#[tokio::test]
async fn http_goes_through_to_the_byte() {
    let scene = Scene::new(&Plan::new(Protocol::Http, http_echo().await));
    let mut stream = scene.call(ALLOWED).await;
    let request = format!(
        "PUT /c/b?x=%2F HTTP/1.1\r\nHost:{CONTOSO}\r\nX-Odd:   Case \r\nContent-Length: 7\r\n\r\nbody \0\r"
    );
    let (one, two) = request.split_at(20);
    stream.write_all(one.as_bytes()).await.unwrap();
    stream.write_all(two.as_bytes()).await.unwrap();
    stream.shutdown().await.unwrap();
    assert_eq!(rest(&mut stream).await, echoed(&request));
    let desk = scene.front.desk("contoso");
    assert_eq!(desk.to_backend.get(), request.len() as u64);
    assert_eq!(desk.to_client.get(), echoed(&request).len() as u64);
}

#[tokio::test]
async fn a_connection_on_which_nothing_passes_is_ended() {
    let plan = Plan::new(Protocol::MySql, echo().await);
    let mut scene = Scene::new(&plan);
    let mut doors = doors(&plan, scene.address.port());
    for door in &mut doors {
        door.front.idle = Some(Duration::from_millis(600));
    }
    scene.apply(doors, judge(ALLOWED, OTHER));
    let mut stream = scene.call(ALLOWED).await;
    for _ in 0..4 {
        tokio::time::sleep(Duration::from_millis(200)).await;
        stream.write_all(b"ping").await.unwrap();
        hears(&mut stream, "ping").await;
    }
    let error = stream.read_u8().await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
    assert_eq!(scene.front.desk("contoso").idle.get(), 1);
}

/// Reads a PROXY header from a connection.
async fn header(stream: &mut TcpStream) -> proxy2::Header {
    let mut bytes = Vec::new();
    loop {
        match proxy2::read(&bytes).unwrap() {
            Start::Partial(length) => {
                let have = bytes.len();
                bytes.resize(length, 0);
                stream.read_exact(&mut bytes[have..]).await.unwrap();
            }
            Start::Whole { header, .. } => return header.unwrap(),
        }
    }
}

#[tokio::test]
async fn the_proxy_header_comes_first_and_a_clients_own_is_payload() {
    let (listener, address) = backend().await;
    let plan = Plan {
        proxy_protocol: true,
        ..Plan::new(Protocol::PostgreSql, address)
    };
    let mut scene = Scene::new(&plan);
    scene.apply(
        doors(&plan, scene.address.port()),
        Judge {
            table: Arc::new(AccessTable::new(
                [(
                    ResourceId(1),
                    Resource {
                        service: ServiceId(0),
                        address: ALLOWED,
                        rules: NetworkRules::default(),
                        has_front: true,
                        refusal: Refusal::default(),
                    },
                )],
                [],
            )),
            ..Judge::default()
        },
    );
    for from in [SUBNET, OTHER] {
        let mut client = scene.call(from).await;
        let forged = proxy2::Header {
            source: "10.9.9.9:9".parse().unwrap(),
            destination: "10.9.9.8:8".parse().unwrap(),
            identity: None,
            link_id: None,
        };
        let forged = forged.encode(proxy2::Crc::With);
        client.write_all(forged.as_bytes()).await.unwrap();
        client.shutdown().await.unwrap();
        let (mut stream, _) = listener.accept().await.unwrap();
        let header = header(&mut stream).await;
        let port = client.local_addr().unwrap().port();
        assert_eq!(header.source.port(), port);
        assert_eq!(SocketAddr::from(header.destination), scene.address);
        match subnet_caller() {
            Caller::Subnet { identity, address } if from == SUBNET => {
                assert_eq!(
                    (header.identity, *header.source.ip()),
                    (Some(identity), address)
                );
            }
            _ => assert_eq!((header.identity, *header.source.ip()), (None, from)),
        }
        let mut payload = Vec::new();
        stream.read_to_end(&mut payload).await.unwrap();
        assert_eq!(payload, forged.as_bytes());
    }
}

#[tokio::test]
async fn the_end_of_one_direction_leaves_the_other() {
    let (listener, address) = backend().await;
    let scene = Scene::new(&Plan::new(Protocol::MySql, address));
    // The client ends first, and hears the answer all the same.
    let mut client = scene.call(ALLOWED).await;
    let (mut server, _) = listener.accept().await.unwrap();
    client.write_all(b"all I say").await.unwrap();
    client.shutdown().await.unwrap();
    assert_eq!(rest(&mut server).await, "all I say");
    server.write_all(b"and my answer").await.unwrap();
    drop(server);
    assert_eq!(rest(&mut client).await, "and my answer");
    // The server ends first, and hears the client all the same.
    let mut client = scene.call(ALLOWED).await;
    let (mut server, _) = listener.accept().await.unwrap();
    server.write_all(b"greeting").await.unwrap();
    server.shutdown().await.unwrap();
    assert_eq!(rest(&mut client).await, "greeting");
    client.write_all(b"late").await.unwrap();
    client.shutdown().await.unwrap();
    assert_eq!(rest(&mut server).await, "late");
}

#[tokio::test]
async fn a_reset_of_the_backend_is_a_reset_for_the_client() {
    let (listener, address) = backend().await;
    let scene = Scene::new(&Plan::new(Protocol::MySql, address));
    let mut client = scene.call(ALLOWED).await;
    let (server, _) = listener.accept().await.unwrap();
    server.set_zero_linger().unwrap();
    drop(server);
    let error = client.read_u8().await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
}

#[tokio::test]
async fn a_backend_that_is_down_is_a_reset_and_counted() {
    let scene = Scene::new(&Plan::new(Protocol::MySql, nobody().await));
    let mut client = scene.call(ALLOWED).await;
    let error = client.read_u8().await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
    assert_eq!(scene.front.desk("contoso").backend_failed.get(), 1);
}

#[tokio::test]
async fn a_receiver_that_stalls_stalls_the_sender_and_loses_nothing() {
    const ALL: usize = 64 * 1024 * 1024;
    let (listener, address) = backend().await;
    let scene = Scene::new(&Plan::new(Protocol::MySql, address));
    let mut client = scene.call(ALLOWED).await;
    let (mut server, _) = listener.accept().await.unwrap();
    let piece: Vec<u8> = (0..=250).cycle().take(64 * 1024).collect();
    let mut sent = 0;
    // Until nothing more is taken for a while: what the kernel and the front hold is full.
    while let Ok(count) = tokio::time::timeout(
        Duration::from_millis(500),
        client.write(&piece[sent % 251..]),
    )
    .await
    {
        sent += count.unwrap();
        assert!(sent < ALL, "the front holds back what nobody takes");
    }
    let send = async {
        while sent < ALL {
            let from = sent % 251;
            let to = piece.len().min(from + ALL - sent);
            sent += client.write(&piece[from..to]).await.unwrap();
        }
        client.shutdown().await.unwrap();
    };
    let receive = async {
        let (mut total, mut buffer) = (0_usize, vec![0; 64 * 1024]);
        loop {
            let count = server.read(&mut buffer).await.unwrap();
            if count == 0 {
                return total;
            }
            let from = total % 251;
            assert_eq!(buffer[..count.min(1000)], piece[from..][..count.min(1000)]);
            total += count;
        }
    };
    let ((), total) = tokio::join!(send, receive);
    assert_eq!(total, ALL);
}
