//! Requests in the clear, each of which is judged by itself.

use super::*;

async fn scene() -> Scene {
    Scene::new(&Plan::new(Protocol::Http, http_echo().await))
}

/// Sends bytes and returns everything that comes back.
async fn ask(scene: &Scene, bytes: &str) -> String {
    let mut stream = scene.call(ALLOWED).await;
    stream.write_all(bytes.as_bytes()).await.unwrap();
    rest(&mut stream).await
}

#[tokio::test]
async fn a_later_request_with_another_host_is_judged_as_that() {
    let scene = scene().await;
    let mut stream = scene.call(ALLOWED).await;
    for _ in 0..3 {
        stream.write_all(get(CONTOSO).as_bytes()).await.unwrap();
        hears(&mut stream, &echoed(&get(CONTOSO))).await;
    }
    stream.write_all(get(FABRIKAM).as_bytes()).await.unwrap();
    let answer = rest(&mut stream).await;
    assert!(answer.starts_with("HTTP/1.1 403 "), "{answer}");
    assert_eq!(
        scene.front.desk("contoso").allowed.get(),
        1,
        "one call of three requests"
    );
    assert_eq!(scene.front.desk("fabrikam").denied_network_rules.get(), 1);
}

#[tokio::test]
async fn requests_in_one_piece_are_judged_one_by_one_and_answered_in_order() {
    let scene = scene().await;
    let put = format!(
        "PUT /1 HTTP/1.1\r\nHost: {CONTOSO}\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
    );
    let hidden = get(FABRIKAM);
    let body = format!(
        "PUT /2 HTTP/1.1\r\nHost: {CONTOSO}\r\nContent-Length: {}\r\n\r\n{hidden}",
        hidden.len()
    );
    // What is inside a body is no request; what follows it is.
    let all = [
        &put[..],
        &body,
        &get(CONTOSO),
        &get(FABRIKAM),
        &get(CONTOSO),
    ]
    .concat();
    let heard = ask(&scene, &all).await;
    let expected = [echoed(&put), echoed(&body), echoed(&get(CONTOSO))].concat();
    let refusal = heard
        .strip_prefix(&expected)
        .unwrap_or_else(|| panic!("{heard}"));
    assert!(refusal.starts_with("HTTP/1.1 403 "), "{refusal}");
    assert_eq!(refusal.matches("HTTP/1.1 ").count(), 1, "{refusal}");
}

#[tokio::test]
async fn what_two_could_read_differently_is_refused_and_goes_nowhere() {
    let (listener, address) = backend().await;
    let scene = Scene::new(&Plan::new(Protocol::Http, address));
    let host = format!("Host: {CONTOSO}\r\n");
    for (request, reason) in [
        (
            format!("GET http://{FABRIKAM}/ HTTP/1.1\r\n{host}\r\n"),
            "Invalid Hostname",
        ),
        (
            format!("GET / HTTP/1.1\r\n{host}Host: {FABRIKAM}\r\n\r\n"),
            "Invalid Hostname",
        ),
        (
            format!("GET / HTTP/1.1\r\n{host}{host}\r\n"),
            "Invalid Hostname",
        ),
        (
            format!("CONNECT {CONTOSO}:80 HTTP/1.1\r\n{host}\r\n"),
            "Invalid Request",
        ),
        (
            format!("GET / HTTP/1.1\r\n{host}X: y\r\n z\r\n\r\n"),
            "Invalid Request",
        ),
        (format!("GET / HTTP/1.1\n{host}\r\n"), "Invalid Request"),
        (
            format!("GET / HTTP/1.1\r\n{host}X: y\n\r\n"),
            "Invalid Request",
        ),
        (
            format!(
                "PUT / HTTP/1.1\r\n{host}Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
            ),
            "Invalid Request",
        ),
        (
            format!("PUT / HTTP/1.1\r\n{host}Content-Length: 1\r\nContent-Length: 1\r\n\r\nx"),
            "Invalid Request",
        ),
        (
            format!("PUT / HTTP/1.1\r\n{host}Transfer-Encoding: x\r\n\r\n"),
            "Invalid Request",
        ),
        (
            format!("GET / HTTP/1.1\r\n{host}Connection: host\r\n\r\n"),
            "Invalid Request",
        ),
        (format!("GET / HTTP/9.9\r\n{host}\r\n"), "Invalid Request"),
    ] {
        let heard = ask(&scene, &request).await;
        assert!(
            heard.starts_with("HTTP/1.1 400 Bad Request\r\n"),
            "{request}: {heard}"
        );
        assert!(heard.contains(reason), "{request}: {heard}");
    }
    let none = tokio::time::timeout(Duration::from_millis(200), listener.accept()).await;
    assert!(none.is_err(), "nothing reached the backend");
}

#[tokio::test]
async fn a_chunk_that_cannot_be_read_ends_the_request() {
    let scene = scene().await;
    let head = format!("PUT / HTTP/1.1\r\nHost: {CONTOSO}\r\nTransfer-Encoding: chunked\r\n\r\n");
    for body in ["3\nabc", "3\r\nabcX", "-1\r\n", "0\r\n\n"] {
        let heard = ask(&scene, &format!("{head}{body}")).await;
        assert!(heard.starts_with("HTTP/1.1 400 "), "{body:?}: {heard}");
    }
}

#[tokio::test]
async fn a_head_is_answered_without_a_body_and_the_connection_goes_on() {
    let scene = scene().await;
    let head = format!("HEAD /c HTTP/1.1\r\nHost: {CONTOSO}\r\n\r\n");
    let last = format!("GET / HTTP/1.1\r\nHost: {CONTOSO}\r\nConnection: close\r\n\r\n");
    let heard = ask(&scene, &format!("{head}{last}")).await;
    let first = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", head.len());
    assert_eq!(heard, format!("{first}{}", echoed(&last)));
    let old = "GET / HTTP/1.0\r\nHost: contoso.blob.core.windows.net\r\n\r\n";
    assert_eq!(ask(&scene, old).await, echoed(old));
}

/// A backend that says what it is told to, after it has heard so much.
async fn scripted(
    heard: usize,
    says: &'static [u8],
) -> (SocketAddr, tokio::task::JoinHandle<TcpStream>) {
    let (listener, address) = backend().await;
    let task = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.read_exact(&mut vec![0; heard]).await.unwrap();
        stream.write_all(says).await.unwrap();
        stream
    });
    (address, task)
}

#[tokio::test]
async fn the_word_to_go_on_comes_from_the_backend() {
    let head = format!(
        "PUT / HTTP/1.1\r\nHost: {CONTOSO}\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n"
    );
    let go_on = "HTTP/1.1 100 Continue\r\n\r\n";
    let (address, task) = scripted(head.len(), go_on.as_bytes()).await;
    let scene = Scene::new(&Plan::new(Protocol::Http, address));
    let mut stream = scene.call(ALLOWED).await;
    stream.write_all(head.as_bytes()).await.unwrap();
    hears(&mut stream, go_on).await;
    stream.write_all(b"body").await.unwrap();
    let mut server = task.await.unwrap();
    hears(&mut server, "body").await;
    let done = "HTTP/1.1 204 No Content\r\n\r\n";
    server.write_all(done.as_bytes()).await.unwrap();
    hears(&mut stream, done).await;
    // It says no: what comes next is the body, whatever it looks like.
    let no = "HTTP/1.1 417 No\r\nContent-Length: 0\r\n\r\n";
    let (address, _task) = scripted(head.len(), no.as_bytes()).await;
    let scene = Scene::new(&Plan::new(Protocol::Http, address));
    let heard = ask(&scene, &format!("{head}{}", get(FABRIKAM))).await;
    assert!(heard.starts_with(no), "{heard}");
    assert!(!heard.contains("HTTP/1.1 403 "), "{heard}");
}

#[tokio::test]
async fn a_web_socket_is_one_call_however_long() {
    let switch = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n";
    let web_socket = format!(
        "GET / HTTP/1.1\r\nHost: {CONTOSO}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"
    );
    let (address, task) = scripted(web_socket.len(), switch.as_bytes()).await;
    let scene = Scene::new(&Plan::new(Protocol::Http, address));
    let mut stream = scene.call(ALLOWED).await;
    stream.write_all(web_socket.as_bytes()).await.unwrap();
    hears(&mut stream, switch).await;
    let mut server = task.await.unwrap();
    stream.write_all(get(FABRIKAM).as_bytes()).await.unwrap();
    hears(&mut server, &get(FABRIKAM)).await;
    server.write_all(b"over").await.unwrap();
    drop(server);
    assert_eq!(rest(&mut stream).await, "over");
}

#[tokio::test]
async fn h2c_is_not_asked_for_and_an_unasked_change_is_no_answer() {
    let ask_for = format!(
        "GET / HTTP/1.1\r\nHost: {CONTOSO}\r\nUpgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\n\
         HTTP2-Settings: AA\r\n\r\n"
    );
    let heard = ask(&scene().await, &format!("{ask_for}{}", get(FABRIKAM))).await;
    let plain = get(CONTOSO).replace("/c/b", "/");
    assert!(heard.starts_with(&echoed(&plain)), "{heard}");
    assert!(heard.contains("HTTP/1.1 403 "), "{heard}");
    let (address, _task) = scripted(plain.len(), b"HTTP/1.1 101 Switching Protocols\r\n\r\n").await;
    let scene = Scene::new(&Plan::new(Protocol::Http, address));
    let heard = ask(&scene, &ask_for).await;
    assert!(heard.starts_with("HTTP/1.1 503 "), "{heard}");
}

#[tokio::test]
async fn a_backend_that_does_not_answer_is_told_in_the_services_words() {
    let scene = Scene::new(&Plan::new(Protocol::Http, nobody().await));
    let heard = ask(&scene, &get(CONTOSO)).await;
    assert!(heard.starts_with("HTTP/1.1 503 "), "{heard}");
    assert!(heard.contains("<Code>ServerBusy</Code>"), "{heard}");
    assert_eq!(scene.front.desk("contoso").backend_failed.get(), 1);
    for says in [&b""[..], b"SSH-2.0-x\r\n\r\n"] {
        let (address, task) = scripted(get(CONTOSO).len(), says).await;
        let scene = Scene::new(&Plan::new(Protocol::Http, address));
        let ended = tokio::spawn(async move { drop(task.await) });
        let heard = ask(&scene, &get(CONTOSO)).await;
        assert!(heard.starts_with("HTTP/1.1 503 "), "{heard}");
        ended.await.unwrap();
    }
    // One that breaks off in the middle is a broken connection, not a short answer.
    let half = b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf";
    let (address, task) = scripted(get(CONTOSO).len(), half).await;
    let scene = Scene::new(&Plan::new(Protocol::Http, address));
    let mut stream = scene.call(ALLOWED).await;
    stream.write_all(get(CONTOSO).as_bytes()).await.unwrap();
    drop(task.await.unwrap());
    let mut heard = Vec::new();
    let error = stream.read_to_end(&mut heard).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
}

#[tokio::test]
async fn an_early_answer_is_heard_while_the_upload_goes_on() {
    let head = format!("PUT / HTTP/1.1\r\nHost: {CONTOSO}\r\nContent-Length: 8000000\r\n\r\n");
    let no = "HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    let (address, task) = scripted(head.len(), no.as_bytes()).await;
    let scene = Scene::new(&Plan::new(Protocol::Http, address));
    let mut stream = scene.call(ALLOWED).await;
    stream.write_all(head.as_bytes()).await.unwrap();
    drop(task.await.unwrap());
    stream.write_all(&vec![0; 8_000_000]).await.unwrap();
    assert_eq!(rest(&mut stream).await, no);
}

#[tokio::test]
async fn a_slow_later_head_times_out_and_an_idle_connection_ends() {
    let plan = Plan {
        limits: Limits {
            opening: Duration::from_millis(400),
            ..Limits::default()
        },
        ..Plan::new(Protocol::Http, http_echo().await)
    };
    let mut scene = Scene::new(&plan);
    let mut stream = scene.call(ALLOWED).await;
    let slow = format!("{}GET / HT", get(CONTOSO));
    stream.write_all(slow.as_bytes()).await.unwrap();
    assert_eq!(rest(&mut stream).await, echoed(&get(CONTOSO)));
    assert_eq!(scene.counters().timed_out.get(), 1);
    let mut doors = doors(&plan, scene.address.port());
    doors
        .iter_mut()
        .for_each(|door| door.front.idle = Some(Duration::from_millis(800)));
    scene.apply(doors, judge(ALLOWED, OTHER));
    let mut stream = scene.call(ALLOWED).await;
    stream.write_all(get(CONTOSO).as_bytes()).await.unwrap();
    assert_eq!(rest(&mut stream).await, echoed(&get(CONTOSO)));
    assert_eq!(scene.front.desk("contoso").idle.get(), 1);
}
