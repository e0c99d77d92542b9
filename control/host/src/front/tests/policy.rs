//! Which resource is meant, and what a change of policy does.

use super::*;

#[tokio::test]
async fn the_name_of_another_account_brings_its_rules() {
    let scene = Scene::new(&Plan::new(Protocol::Http, http_echo().await));
    // Both callers call one address; each is let in to one account of it.
    for (from, host, answer) in [
        (ALLOWED, CONTOSO, "HTTP/1.1 200 OK"),
        (ALLOWED, FABRIKAM, "HTTP/1.1 403 "),
        (OTHER, CONTOSO, "HTTP/1.1 403 "),
        (OTHER, FABRIKAM, "HTTP/1.1 200 OK"),
    ] {
        let mut stream = scene.call(from).await;
        stream.write_all(get(host).as_bytes()).await.unwrap();
        stream.shutdown().await.unwrap();
        let heard = rest(&mut stream).await;
        assert!(heard.starts_with(answer), "{from} {host}: {heard}");
    }
    for (name, rule) in [("contoso", "office"), ("fabrikam", "plant")] {
        let desk = scene.front.desk(name);
        assert_eq!(
            (desk.allowed.get(), desk.denied_network_rules.get()),
            (1, 1)
        );
        let rules: Vec<_> = desk.log.calls().into_iter().map(|call| call.rule).collect();
        assert!(rules.contains(&Some(rule.to_owned())), "{rules:?}");
    }
}

#[tokio::test]
async fn the_server_name_decides_whatever_the_host_inside_says() {
    let scene = Scene::new(&Plan::new(Protocol::Tls, nobody().await));
    let mut stream = scene.call_tls(OTHER, CONTOSO).await;
    // Allowed for this host, but that is not what was named.
    stream.write_all(get(FABRIKAM).as_bytes()).await.unwrap();
    let answer = rest(&mut stream).await;
    assert!(answer.starts_with("HTTP/1.1 403 "), "{answer}");
    assert_eq!(scene.front.desk("contoso").denied_network_rules.get(), 1);
    assert!(scene.front.desk("fabrikam").log.calls().is_empty());
}

#[tokio::test]
async fn without_a_name_an_address_of_two_is_nobodys() {
    let plan = Plan::new(Protocol::Http, http_echo().await);
    let mut scene = Scene::new(&plan);
    let ask = "GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n";
    let mut stream = scene.call(ALLOWED).await;
    stream.write_all(ask.as_bytes()).await.unwrap();
    let answer = rest(&mut stream).await;
    assert!(answer.contains("Invalid Hostname"), "{answer}");
    // One alone is meant by the address, and the server hears its name: it might find another
    // account's in the path.
    let mut one = doors(&plan, scene.address.port());
    one.pop();
    scene.apply(one, judge(ALLOWED, OTHER));
    let mut stream = scene.call(ALLOWED).await;
    stream.write_all(ask.as_bytes()).await.unwrap();
    let named = format!("GET / HTTP/1.1\r\nHost: {CONTOSO}\r\nConnection: close\r\n\r\n");
    assert_eq!(rest(&mut stream).await, echoed(&named));
    // Another address than the one that was called is nobody's: it may mean something to a backend.
    let mut stream = scene.call(ALLOWED).await;
    let ask = ask.replace("127.0.0.1", "127.0.0.9");
    stream.write_all(ask.as_bytes()).await.unwrap();
    assert!(rest(&mut stream).await.contains("Invalid Hostname"));
}

/// Returns a connection to the echo that has proved to work.
async fn talk(scene: &Scene, from: Ipv4Addr, host: &str) -> TcpStream {
    let mut stream = scene.call(from).await;
    still_talks(&mut stream, host).await;
    stream
}

async fn still_talks(stream: &mut TcpStream, host: &str) {
    stream.write_all(get(host).as_bytes()).await.unwrap();
    hears(stream, &echoed(&get(host))).await;
}

async fn pings(stream: &mut TcpStream) {
    stream.write_all(b"ping").await.unwrap();
    hears(stream, "ping").await;
}

#[tokio::test]
async fn a_change_of_rules_acts_on_later_connections() {
    let plan = Plan::new(Protocol::MySql, echo().await);
    let mut scene = Scene::new(&plan);
    let mut open = scene.call(ALLOWED).await;
    pings(&mut open).await;
    let counters = scene.counters();
    scene.apply(doors(&plan, scene.address.port()), judge(OTHER, OTHER));
    pings(&mut open).await;
    let mut stream = scene.call(ALLOWED).await;
    assert!(rest(&mut stream).await.contains("is not allowed"));
    pings(&mut scene.call(OTHER).await).await;
    pings(&mut open).await;
    assert!(
        Arc::ptr_eq(&counters, &scene.counters()),
        "the listener is the same"
    );
}

#[tokio::test]
async fn a_change_of_rules_acts_on_later_requests_in_the_clear() {
    let plan = Plan::new(Protocol::Http, http_echo().await);
    let mut scene = Scene::new(&plan);
    let mut open = talk(&scene, ALLOWED, CONTOSO).await;
    scene.apply(doors(&plan, scene.address.port()), judge(OTHER, OTHER));
    open.write_all(get(CONTOSO).as_bytes()).await.unwrap();
    assert!(rest(&mut open).await.starts_with("HTTP/1.1 403 "));
    talk(&scene, OTHER, CONTOSO).await;
}

#[tokio::test]
async fn a_resource_that_goes_takes_its_connections_and_no_others() {
    let plan = Plan::new(Protocol::Http, http_echo().await);
    let mut scene = Scene::new(&plan);
    let mut contoso = talk(&scene, ALLOWED, CONTOSO).await;
    let mut fabrikam = talk(&scene, OTHER, FABRIKAM).await;
    let mut one = doors(&plan, scene.address.port());
    one.remove(0);
    scene.apply(one, judge(ALLOWED, OTHER));
    let error = contoso.read_u8().await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
    still_talks(&mut fabrikam, FABRIKAM).await;
    // With the last one the listener goes.
    scene.apply(Vec::new(), Judge::default());
    until("the port is closed", || {
        std::net::TcpStream::connect(scene.address).is_err()
    })
    .await;
}

#[tokio::test]
async fn stopping_closes_everything() {
    let mut scene = Scene::new(&Plan::new(Protocol::Http, http_echo().await));
    let mut open = talk(&scene, ALLOWED, CONTOSO).await;
    scene.front.stop();
    assert!(open.read_u8().await.is_err());
    assert!(std::net::TcpStream::connect(scene.address).is_err());
}
