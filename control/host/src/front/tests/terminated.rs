//! Fronts that end TLS, and judge each request inside.

use super::dialects::{ask_http2, request_to};
use super::*;

/// How the backend of a front that ends TLS is spoken to.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Behind {
    Clear,
    Tls,
}

/// A front that ends TLS before one backend of both accounts.
async fn scene(backend: SocketAddr, behind: Behind) -> Scene {
    let plan = Plan::new(Protocol::Tls, backend);
    let mut scene = Scene::new(&plan);
    let mut doors = doors(&plan, scene.address.port());
    for door in &mut doors {
        door.front.terminates = true;
        door.front.backend.tls = behind == Behind::Tls;
    }
    scene.apply(doors, judge(ALLOWED, OTHER));
    scene
}

/// Begins TLS and offers one protocol.
async fn call(scene: &Scene, from: Ipv4Addr, offered: &str) -> TlsStream<TcpStream> {
    let stream = scene.call(from).await;
    let tls = tls_offering(&scene.ca, stream, CONTOSO, &[offered]).await;
    let tls = tls.unwrap();
    assert_eq!(tls.get_ref().1.alpn_protocol(), Some(offered.as_bytes()));
    tls
}

#[tokio::test]
async fn each_request_is_judged_inside_tls() {
    let scene = scene(http_echo().await, Behind::Clear).await;
    let mut stream = call(&scene, ALLOWED, "http/1.1").await;
    for _ in 0..2 {
        stream.write_all(get(CONTOSO).as_bytes()).await.unwrap();
        hears(&mut stream, &echoed(&get(CONTOSO))).await;
    }
    // Another account behind the same backend, for which the caller has no right.
    stream.write_all(get(FABRIKAM).as_bytes()).await.unwrap();
    let answer = rest(&mut stream).await;
    assert!(
        answer.starts_with("HTTP/1.1 421 Misdirected Request\r\n"),
        "{answer}"
    );
    let mut stream = call(&scene, ALLOWED, "http/1.1").await;
    let address = get("127.0.0.1");
    stream.write_all(address.as_bytes()).await.unwrap();
    assert!(rest(&mut stream).await.starts_with("HTTP/1.1 421 "));
    let mut stream = call(&scene, OTHER, "http/1.1").await;
    stream.write_all(get(CONTOSO).as_bytes()).await.unwrap();
    assert!(
        rest(&mut stream)
            .await
            .contains("<Code>AuthorizationFailure</Code>")
    );
}

#[tokio::test]
async fn what_is_answered_without_a_look_at_the_rules_is_logged_too() {
    let scene = scene(http_echo().await, Behind::Clear).await;
    let unreadable = "GET / HTTP/1.1\r\nHost: a b\r\n\r\n".to_owned();
    for asked in [get(FABRIKAM), get("127.0.0.1"), unreadable] {
        let mut stream = call(&scene, ALLOWED, "http/1.1").await;
        stream.write_all(asked.as_bytes()).await.unwrap();
        assert!(rest(&mut stream).await.starts_with("HTTP/1.1 4"));
    }
    let desk = scene.front.desk("contoso");
    let calls = desk.log.calls();
    let told: Vec<_> = calls
        .iter()
        .map(|call| {
            (
                call.reason(),
                call.ruling.is_allowed(),
                call.host.as_deref(),
            )
        })
        .collect();
    let expected = [
        ("misdirectedRequest", false, Some(FABRIKAM)),
        ("misdirectedRequest", false, None),
        ("badRequest", false, None),
    ];
    assert_eq!(told, expected);
    // Nothing was decided: it counts as no call.
    assert_eq!(desk.denied_network_rules.get(), 0);
    // Whoever names another account tells it nothing.
    assert!(scene.front.desk("fabrikam").log.calls().is_empty());
}

#[tokio::test]
async fn an_old_request_without_a_host_goes_on_with_the_name_of_its_connection() {
    let scene = scene(http_echo().await, Behind::Clear).await;
    for asked in [
        "/fabrikam/c",
        "http://contoso.blob.core.windows.net/fabrikam/c",
    ] {
        let mut stream = call(&scene, ALLOWED, "http/1.1").await;
        let asked = format!("GET {asked} HTTP/1.0\r\n\r\n");
        stream.write_all(asked.as_bytes()).await.unwrap();
        let named = format!("GET /fabrikam/c HTTP/1.0\r\nHost: {CONTOSO}\r\n\r\n");
        assert_eq!(rest(&mut stream).await, echoed(&named));
    }
}

#[tokio::test]
async fn http2_by_the_address_goes_on_with_the_name() {
    let plan = Plan::new(Protocol::Http, http_echo().await);
    let mut scene = Scene::new(&plan);
    let mut one = doors(&plan, scene.address.port());
    one.pop();
    scene.apply(one, judge(ALLOWED, OTHER));
    let stream = scene.call(ALLOWED).await;
    let mut request = request_to("127.0.0.1", 9);
    let uri = request.uri().to_string().replace("https:", "http:");
    *request.uri_mut() = uri.parse().unwrap();
    let (parts, echo) = ask_http2(stream, vec![request], false).await.remove(0);
    assert_eq!(parts.status, 200);
    let echo = echo.to_ascii_lowercase();
    assert!(echo.contains(&format!("\r\nhost: {CONTOSO}\r\n")), "{echo}");
}

#[tokio::test]
async fn each_request_of_http2_is_judged_by_itself() {
    let scene = scene(http_echo().await, Behind::Clear).await;
    for (from, statuses) in [(ALLOWED, [200, 421]), (OTHER, [403, 421])] {
        let stream = call(&scene, from, "h2").await;
        let requests = vec![request_to(CONTOSO, 100_000), request_to(FABRIKAM, 100_000)];
        let answers = ask_http2(stream, requests, false).await;
        let heard: Vec<_> = answers
            .iter()
            .map(|(parts, _)| parts.status.as_u16())
            .collect();
        assert_eq!(heard, statuses);
        if from == ALLOWED {
            let echo = answers[0].1.to_ascii_lowercase();
            assert!(echo.starts_with("put /c/b http/1.1\r\n"), "{echo}");
            assert!(echo.contains(&format!("\r\nhost: {CONTOSO}\r\n")), "{echo}");
            assert!(echo.contains("\r\ncontent-length: 100000\r\n"), "{echo}");
        } else {
            assert_eq!(
                answers[0].0.headers["x-ms-error-code"],
                "AuthorizationFailure"
            );
        }
    }
    let desk = scene.front.desk("contoso");
    assert_eq!(
        (desk.allowed.get(), desk.denied_network_rules.get()),
        (1, 1)
    );
}

#[tokio::test]
async fn many_requests_of_http2_share_a_few_connections_to_the_backend() {
    let scene = scene(http_echo().await, Behind::Clear).await;
    let stream = call(&scene, ALLOWED, "h2").await;
    let requests = (0..60).map(|_| request_to(CONTOSO, 1000)).collect();
    let answers = ask_http2(stream, requests, false).await;
    assert!(answers.iter().all(|(parts, _)| parts.status == 200));
}

#[tokio::test]
async fn a_backend_of_tls_shows_a_certificate_of_the_authority() {
    let (listener, address) = backend().await;
    let scene = scene(address, Behind::Tls).await;
    let acceptor = acceptor(&scene.ca.issue(CONTOSO).unwrap());
    let stranger = Scratch::new("front-stranger");
    let stranger = self::acceptor(&LocalCa::open(&stranger.0).unwrap().issue(CONTOSO).unwrap());
    tokio::spawn(async move {
        for trusted in [true, false] {
            let (stream, _) = listener.accept().await.unwrap();
            let acceptor = if trusted { &acceptor } else { &stranger };
            if let Ok(stream) = acceptor.accept(stream).await {
                echo_requests(stream).await;
            }
        }
    });
    let mut stream = call(&scene, ALLOWED, "http/1.1").await;
    stream.write_all(get(CONTOSO).as_bytes()).await.unwrap();
    hears(&mut stream, &echoed(&get(CONTOSO))).await;
    drop(stream);
    let mut stream = call(&scene, ALLOWED, "http/1.1").await;
    stream.write_all(get(CONTOSO).as_bytes()).await.unwrap();
    let answer = rest(&mut stream).await;
    assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
}

#[tokio::test]
async fn a_backend_that_is_down_is_told_over_http2_too() {
    let scene = scene(nobody().await, Behind::Clear).await;
    let stream = call(&scene, ALLOWED, "h2").await;
    let answers = ask_http2(stream, vec![request_to(CONTOSO, 9)], false).await;
    assert_eq!(answers[0].0.status, 503);
    assert!(answers[0].1.contains("<Code>ServerBusy</Code>"));
}

#[tokio::test]
async fn a_refused_upload_hears_why_and_an_unknown_protocol_is_named() {
    let scene = scene(nobody().await, Behind::Clear).await;
    let mut stream = call(&scene, OTHER, "http/1.1").await;
    let head = format!("PUT /c/b HTTP/1.1\r\nHost: {CONTOSO}\r\nContent-Length: 8000000\r\n\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(&vec![7; 8_000_000]).await.unwrap();
    assert!(rest(&mut stream).await.contains("AuthorizationFailure"));
    let stream = scene.call(ALLOWED).await;
    let refused = tls_offering(&scene.ca, stream, CONTOSO, &["acme-tls/1"]).await;
    let error = refused.unwrap_err().to_string();
    assert!(error.contains("NoApplicationProtocol"), "{error}");
}

#[tokio::test]
async fn amqp_inside_is_one_call_by_the_server_name() {
    const AMQP: &[u8] = b"AMQP\0\x01\0\0";
    let plan = Plan::new(Protocol::Tls, echo().await);
    let mut scene = Scene::new(&plan);
    let mut doors = doors(&plan, scene.address.port());
    for door in &mut doors {
        door.front.terminates = true;
        door.dialect = crate::front::refusal::Dialect::Messaging;
    }
    scene.apply(doors, judge(ALLOWED, OTHER));
    let stream = scene.call(ALLOWED).await;
    let mut tls = tls_offering(&scene.ca, stream, CONTOSO, &[]).await.unwrap();
    tls.write_all(AMQP).await.unwrap();
    hears(&mut tls, "AMQP\0\u{1}\0\0").await;
    let stream = scene.call(OTHER).await;
    let mut tls = tls_offering(&scene.ca, stream, CONTOSO, &[]).await.unwrap();
    tls.write_all(AMQP).await.unwrap();
    hears(&mut tls, "AMQP\0\u{1}\0\0").await;
    tls.write_all(&[0, 0, 0, 12, 2, 0, 0, 0, 0, 0x53, 0x10, 0x45])
        .await
        .unwrap();
    let answer = rest(&mut tls).await;
    assert!(answer.contains("amqp:unauthorized-access"), "{answer:?}");
}

#[tokio::test]
async fn without_a_name_one_door_at_the_address_is_meant_and_no_other() {
    let scene = scene(http_echo().await, Behind::Clear).await;
    // Two accounts have the address: nobody is meant, and the handshake ends.
    let stream = scene.call(ALLOWED).await;
    assert!(
        tls_offering(&scene.ca, stream, "127.0.0.1", &[])
            .await
            .is_err()
    );
}

#[tokio::test]
async fn http2_in_the_clear_is_judged_as_well() {
    let scene = Scene::new(&Plan::new(Protocol::Http, http_echo().await));
    let stream = scene.call(ALLOWED).await;
    let mut requests = vec![request_to(CONTOSO, 9), request_to(FABRIKAM, 9)];
    for request in &mut requests {
        let uri = request.uri().to_string().replace("https:", "http:");
        *request.uri_mut() = uri.parse().unwrap();
    }
    let answers = ask_http2(stream, requests, false).await;
    let heard: Vec<_> = answers
        .iter()
        .map(|(parts, _)| parts.status.as_u16())
        .collect();
    assert_eq!(heard, [200, 403]);
}
