//! Which resource is meant, and what a change of policy does.

use super::*;

#[tokio::test]
async fn the_name_of_another_account_brings_its_rules() {
    let scene = Scene::new(&Plan::new(Protocol::Http, echo().await));
    // Both callers call one address; each is let in to one account of it.
    for (from, host, answer) in [
        (ALLOWED, CONTOSO, "GET /c/b"),
        (ALLOWED, FABRIKAM, "HTTP/1.1 403 "),
        (OTHER, CONTOSO, "HTTP/1.1 403 "),
        (OTHER, FABRIKAM, "GET /c/b"),
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
    let plan = Plan::new(Protocol::Http, echo().await);
    let mut scene = Scene::new(&plan);
    let ask = b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n";
    let mut stream = scene.call(ALLOWED).await;
    stream.write_all(ask).await.unwrap();
    let answer = rest(&mut stream).await;
    assert!(answer.contains("Invalid Hostname"), "{answer}");
    // One alone is meant by the address.
    let mut one = doors(&plan, scene.address.port());
    one.pop();
    scene.apply(one, judge(ALLOWED, OTHER));
    let mut stream = scene.call(ALLOWED).await;
    stream.write_all(ask).await.unwrap();
    stream.shutdown().await.unwrap();
    assert_eq!(rest(&mut stream).await.as_bytes(), ask);
}

/// Returns a connection to the echo that has proved to work.
async fn talk(scene: &Scene, from: Ipv4Addr, host: &str) -> TcpStream {
    let mut stream = scene.call(from).await;
    stream.write_all(get(host).as_bytes()).await.unwrap();
    let mut heard = vec![0; get(host).len()];
    stream.read_exact(&mut heard).await.unwrap();
    assert_eq!(heard, get(host).as_bytes());
    stream
}

async fn still_talks(stream: &mut TcpStream) {
    stream.write_all(b"more").await.unwrap();
    let mut heard = [0; 4];
    stream.read_exact(&mut heard).await.unwrap();
    assert_eq!(&heard, b"more");
}

#[tokio::test]
async fn a_change_of_rules_acts_on_later_connections() {
    let plan = Plan::new(Protocol::Http, echo().await);
    let mut scene = Scene::new(&plan);
    let mut open = talk(&scene, ALLOWED, CONTOSO).await;
    let counters = scene.counters();
    scene.apply(doors(&plan, scene.address.port()), judge(OTHER, OTHER));
    still_talks(&mut open).await;
    let mut stream = scene.call(ALLOWED).await;
    stream.write_all(get(CONTOSO).as_bytes()).await.unwrap();
    assert!(rest(&mut stream).await.starts_with("HTTP/1.1 403 "));
    talk(&scene, OTHER, CONTOSO).await;
    still_talks(&mut open).await;
    assert!(
        Arc::ptr_eq(&counters, &scene.counters()),
        "the listener is the same"
    );
}

#[tokio::test]
async fn a_resource_that_goes_takes_its_connections_and_no_others() {
    let plan = Plan::new(Protocol::Http, echo().await);
    let mut scene = Scene::new(&plan);
    let mut contoso = talk(&scene, ALLOWED, CONTOSO).await;
    let mut fabrikam = talk(&scene, OTHER, FABRIKAM).await;
    let mut one = doors(&plan, scene.address.port());
    one.remove(0);
    scene.apply(one, judge(ALLOWED, OTHER));
    let error = contoso.read_u8().await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
    still_talks(&mut fabrikam).await;
    // With the last one the listener goes.
    scene.apply(Vec::new(), Judge::default());
    until("the port is closed", || {
        std::net::TcpStream::connect(scene.address).is_err()
    })
    .await;
}

#[tokio::test]
async fn stopping_closes_everything() {
    let mut scene = Scene::new(&Plan::new(Protocol::Http, echo().await));
    let mut open = talk(&scene, ALLOWED, CONTOSO).await;
    scene.front.stop();
    assert!(open.read_u8().await.is_err());
    assert!(std::net::TcpStream::connect(scene.address).is_err());
}
