//! What refused callers hear.

use super::*;

/// Sends a request inside TLS and returns the answer.
async fn ask(scene: &Scene, from: Ipv4Addr, name: &'static str, request: &str) -> String {
    let mut stream = scene.call_tls(from, name).await;
    stream.write_all(request.as_bytes()).await.unwrap();
    rest(&mut stream).await
}

#[tokio::test]
async fn over_tls_the_handshake_completes_and_the_service_answers() {
    let scene = Scene::new(&Plan::new(Protocol::Tls, nobody().await));
    let answer = ask(&scene, SUBNET, CONTOSO, &get(CONTOSO)).await;
    assert!(
        answer.starts_with("HTTP/1.1 403 This request is not authorized"),
        "{answer}"
    );
    assert!(
        answer.contains("x-ms-error-code: AuthorizationFailure\r\n"),
        "{answer}"
    );
    let desk = scene.front.desk("contoso");
    assert_eq!(
        (desk.allowed.get(), desk.denied_network_rules.get()),
        (0, 1)
    );
    let call = desk.log.calls().remove(0);
    assert_eq!(call.subnet.as_deref(), Some("VNet1/subnet1"));
    assert_eq!(call.caller, subnet_caller());
    assert_eq!(call.host.as_deref(), Some(CONTOSO));
    assert_eq!(call.reason(), "defaultAction");
}

#[tokio::test]
async fn other_services_of_an_account_answer_in_their_forms() {
    let scene = Scene::new(&Plan::new(Protocol::Tls, nobody().await));
    let name = "contoso.table.core.windows.net";
    let answer = ask(&scene, OTHER, name, &get(name)).await;
    assert!(answer.contains("{\"odata.error\":"), "{answer}");
}

#[tokio::test]
async fn a_refused_request_that_cannot_be_read_is_a_bad_one() {
    let scene = Scene::new(&Plan::new(Protocol::Tls, nobody().await));
    let answer = ask(&scene, OTHER, CONTOSO, "\0\0\r\n\r\n").await;
    assert!(
        answer.starts_with("HTTP/1.1 400 Bad Request\r\n"),
        "{answer}"
    );
}

#[tokio::test]
async fn plain_http_is_refused_by_its_host() {
    let scene = Scene::new(&Plan::new(Protocol::Http, nobody().await));
    let mut stream = scene.call(OTHER).await;
    let request = format!("HEAD / HTTP/1.1\r\nHost: {CONTOSO}:80\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let answer = rest(&mut stream).await;
    assert!(answer.starts_with("HTTP/1.1 403 "), "{answer}");
    assert!(answer.ends_with("\r\n\r\n"), "no body for HEAD: {answer}");
    let mut stream = scene.call(OTHER).await;
    stream
        .write_all(get("nobody.example").as_bytes())
        .await
        .unwrap();
    assert!(
        rest(&mut stream)
            .await
            .contains("Bad Request - Invalid Hostname")
    );
    assert_eq!(scene.counters().unknown_name.get(), 1);
}

#[tokio::test]
async fn a_name_of_nobody_gets_an_alert() {
    let scene = Scene::new(&Plan::new(Protocol::Tls, nobody().await));
    let stream = scene.call(ALLOWED).await;
    let error = tls(&scene.ca, stream, "nobody.example", "http/1.1")
        .await
        .unwrap_err();
    assert!(error.to_string().contains("UnrecognisedName"), "{error}");
    assert_eq!(scene.counters().unknown_name.get(), 1);
}

const PG_TLS: &[u8] = b"\0\0\0\x08\x04\xd2\x16\x2f";
const PG_GSS: &[u8] = b"\0\0\0\x08\x04\xd2\x16\x30";
const PG_SESSION: &[u8] = b"\0\0\0\x1f\0\x03\0\0user\0alice\0database\0d\0\0";

#[tokio::test]
async fn postgresql_refuses_in_the_clear() {
    let scene = Scene::new(&Plan::new(Protocol::PostgreSql, nobody().await));
    let mut stream = scene.call(SUBNET).await;
    stream.write_all(PG_GSS).await.unwrap();
    assert_eq!(stream.read_u8().await.unwrap(), b'N');
    stream.write_all(PG_SESSION).await.unwrap();
    let answer = rest(&mut stream).await;
    assert!(answer.starts_with('E'), "{answer:?}");
    let text = "C28000\0MClient from Azure Virtual Networks is not allowed to access the server.\0";
    assert!(answer.contains(text), "{answer:?}");
}

#[tokio::test]
async fn postgresql_refuses_under_tls() {
    let scene = Scene::new(&Plan::new(Protocol::PostgreSql, nobody().await));
    for asks in [true, false] {
        let mut stream = scene.call(OTHER).await;
        if asks {
            stream.write_all(PG_TLS).await.unwrap();
            assert_eq!(stream.read_u8().await.unwrap(), b'S');
        }
        let mut stream = tls(&scene.ca, stream, CONTOSO, "postgresql").await.unwrap();
        stream.write_all(PG_SESSION).await.unwrap();
        let answer = rest(&mut stream).await;
        let text =
            "no pg_hba.conf entry for host \"127.0.0.2\", user \"alice\", database \"d\", SSL on";
        assert!(answer.contains(text), "{answer:?}");
    }
}

#[tokio::test]
async fn bytes_before_a_postgresql_handshake_are_not_taken_for_bytes_inside() {
    let scene = Scene::new(&Plan::new(Protocol::PostgreSql, nobody().await));
    let mut stream = scene.call(OTHER).await;
    stream
        .write_all(&[PG_TLS, PG_SESSION].concat())
        .await
        .unwrap();
    assert_eq!(rest(&mut stream).await, "S");
}

#[tokio::test]
async fn mysql_refuses_in_place_of_its_greeting() {
    let scene = Scene::new(&Plan::new(Protocol::MySql, nobody().await));
    let mut stream = scene.call(SUBNET).await;
    let answer = rest(&mut stream).await;
    let text = "Client from Azure Virtual Networks is not allowed to access the server.";
    assert!(answer.ends_with(text), "{answer:?}");
}
