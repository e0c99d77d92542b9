//! Refused clients of other protocols than HTTP/1, each in its own way of beginning.

use super::*;
use crate::front::refusal::Dialect;
use crate::front::refuse::PREFACE;
use crate::front::refuse::wrapped::Wrapped;
use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper_util::rt::{TokioExecutor, TokioIo};
use std::error::Error;

/// Returns a request of HTTP/2 to the account, with a body of so many bytes.
fn request(bytes: usize) -> hyper::Request<Full<Bytes>> {
    request_to(CONTOSO, bytes)
}

/// Returns a request of HTTP/2 to a host.
pub(super) fn request_to(host: &str, bytes: usize) -> hyper::Request<Full<Bytes>> {
    hyper::Request::put(format!("https://{host}/c/b"))
        .header("x-ms-version", "2021-08-06")
        .body(Full::from(vec![7; bytes]))
        .unwrap()
}

/// Asks over HTTP/2; returns the heads of the answers with their bodies, after the front has ended
/// the connection if it should.
pub(super) async fn ask_http2<S>(
    stream: S,
    requests: Vec<hyper::Request<Full<Bytes>>>,
    ends: bool,
) -> Vec<(hyper::http::response::Parts, String)>
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
{
    let handshake =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream));
    let (sender, connection) = handshake.await.unwrap();
    let ended = tokio::spawn(connection);
    let ask = |request| {
        let mut sender = sender.clone();
        async move {
            let answer = sender.send_request(request).await.unwrap();
            let (parts, body) = answer.into_parts();
            let body = body.collect().await.unwrap().to_bytes();
            (parts, String::from_utf8_lossy(&body).into_owned())
        }
    };
    let answers = futures_util::future::join_all(requests.into_iter().map(ask)).await;
    if !ends {
        return answers;
    }
    // The front ends the connection, cleanly, although the client still holds it.
    let ended = tokio::time::timeout(PATIENCE, ended).await;
    ended.expect("an end in time").unwrap().unwrap();
    answers
}

#[tokio::test]
async fn a_client_of_http2_alone_hears_the_refusal_and_goaway() {
    let scene = Scene::new(&Plan::new(Protocol::Tls, nobody().await));
    for bytes in [0, 4 * 1024 * 1024] {
        let stream = scene.call(OTHER).await;
        let tls = tls_offering(&scene.ca, stream, CONTOSO, &["h2"])
            .await
            .unwrap();
        assert_eq!(tls.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
        let answers = ask_http2(tls, vec![request(bytes), request(bytes)], true).await;
        for (parts, body) in answers {
            assert_eq!(parts.status, 403);
            assert_eq!(parts.headers["x-ms-error-code"], "AuthorizationFailure");
            assert!(body.contains("<Code>AuthorizationFailure</Code>"), "{body}");
        }
    }
    assert_eq!(scene.front.desk("contoso").unheard.get(), 0);
}

#[tokio::test]
async fn a_client_of_http2_that_agreed_on_nothing_is_understood() {
    let scene = Scene::new(&Plan::new(Protocol::Tls, nobody().await));
    let stream = scene.call(OTHER).await;
    let tls = tls_offering(&scene.ca, stream, CONTOSO, &[]).await.unwrap();
    let answers = ask_http2(tls, vec![request(9)], true).await;
    assert_eq!(answers[0].0.status, 403);
    assert!(PREFACE.starts_with(b"PRI "));
}

#[tokio::test]
async fn a_client_of_grpc_reads_its_own_status() {
    let scene = Scene::new(&Plan::new(Protocol::Tls, nobody().await));
    let stream = scene.call(OTHER).await;
    let tls = tls_offering(&scene.ca, stream, CONTOSO, &["h2"])
        .await
        .unwrap();
    let mut call = request(5);
    let kind = hyper::header::HeaderValue::from_static("application/grpc+proto");
    call.headers_mut().insert("content-type", kind);
    let (parts, body) = ask_http2(tls, vec![call], true).await.remove(0);
    assert_eq!((parts.status.as_u16(), body.as_str()), (403, ""));
    assert_eq!(parts.headers["grpc-status"], "7");
    let message = parts.headers["grpc-message"].to_str().unwrap();
    assert!(
        message.contains("This request is not authorized"),
        "{message}"
    );
}

#[tokio::test]
async fn an_old_protocol_is_spoken_and_an_unknown_one_named() {
    let scene = Scene::new(&Plan::new(Protocol::Tls, nobody().await));
    let stream = scene.call(OTHER).await;
    let mut tls = tls_offering(&scene.ca, stream, CONTOSO, &["http/1.0"])
        .await
        .unwrap();
    tls.write_all(b"GET / HTTP/1.0\r\n\r\n").await.unwrap();
    assert!(rest(&mut tls).await.starts_with("HTTP/1.1 403 "));
    let stream = scene.call(OTHER).await;
    let refused = tls_offering(&scene.ca, stream, CONTOSO, &["acme-tls/1"]).await;
    let error = refused.unwrap_err();
    let alert = error.source().or(error.get_ref().map(|error| error as _));
    assert!(
        alert.is_some_and(|alert| alert.to_string().contains("NoApplicationProtocol")),
        "{error:?}"
    );
}

/// A scene whose one account is a namespace of messages.
async fn messages() -> Scene {
    let plan = Plan::new(Protocol::Tls, nobody().await);
    let mut scene = Scene::new(&plan);
    let mut doors = doors(&plan, scene.address.port());
    for door in &mut doors {
        door.dialect = Dialect::Messaging;
    }
    scene.apply(doors, judge(ALLOWED, OTHER));
    scene
}

async fn messages_tls(scene: &Scene) -> TlsStream<TcpStream> {
    let stream = scene.call(OTHER).await;
    tls_offering(&scene.ca, stream, CONTOSO, &[]).await.unwrap()
}

/// Reads a frame of AMQP.
async fn frame(stream: &mut TlsStream<TcpStream>) -> Vec<u8> {
    let size = stream.read_u32().await.unwrap();
    let mut rest = vec![0; size as usize - 4];
    stream.read_exact(&mut rest).await.unwrap();
    rest
}

async fn header(stream: &mut TlsStream<TcpStream>) -> [u8; 8] {
    let mut header = [0; 8];
    stream.read_exact(&mut header).await.unwrap();
    header
}

#[tokio::test]
async fn amqp_is_opened_and_closed_with_the_reason() {
    const SASL: &[u8] = b"AMQP\x03\x01\0\0";
    const AMQP: &[u8] = b"AMQP\0\x01\0\0";
    let scene = messages().await;
    for with_sasl in [true, false] {
        let mut stream = messages_tls(&scene).await;
        if with_sasl {
            stream.write_all(SASL).await.unwrap();
            assert_eq!(header(&mut stream).await, SASL);
            assert_eq!(frame(&mut stream).await[6], 0x40, "mechanisms");
            // Any way to log in, in two pieces.
            stream.write_all(&[0, 0, 0, 12, 2]).await.unwrap();
            stream.flush().await.unwrap();
            stream
                .write_all(&[1, 0, 0, 0, 0x53, 0x41, 0x45])
                .await
                .unwrap();
            let outcome = frame(&mut stream).await;
            assert_eq!((outcome[6], outcome.last()), (0x44, Some(&0)));
        }
        stream.write_all(AMQP).await.unwrap();
        assert_eq!(header(&mut stream).await, AMQP);
        stream
            .write_all(&[0, 0, 0, 12, 2, 0, 0, 0, 0, 0x53, 0x10, 0x45])
            .await
            .unwrap();
        assert_eq!(frame(&mut stream).await[6], 0x10, "open");
        let close = frame(&mut stream).await;
        assert_eq!(close[6], 0x18, "close");
        let text = String::from_utf8_lossy(&close);
        assert!(text.contains("amqp:unauthorized-access"), "{text:?}");
        assert!(
            text.contains("Ip has been prevented to connect"),
            "{text:?}"
        );
        assert_eq!(rest(&mut stream).await, "");
    }
}

#[tokio::test]
async fn amqp_that_is_none_or_never_ends_is_left() {
    let plan = Plan {
        limits: Limits {
            refusal: Duration::from_millis(500),
            ..Limits::default()
        },
        ..Plan::new(Protocol::Tls, nobody().await)
    };
    let mut scene = Scene::new(&plan);
    let mut doors = doors(&plan, scene.address.port());
    doors
        .iter_mut()
        .for_each(|door| door.dialect = Dialect::Messaging);
    scene.apply(doors, judge(ALLOWED, OTHER));
    for bytes in [
        &b"AMQP\0\0\x09\x01"[..],
        b"AMQP\x03\x01\0\0\xff\xff\xff\xff",
        b"AMQP\x03\x01\0\0\0\0\0\x08\x02\x01\0\0HTTP/1.1",
        b"AMQP\x03\x01\0\0\0\0\x10\0",
        b"AMQ",
    ] {
        let mut stream = messages_tls(&scene).await;
        stream.write_all(bytes).await.unwrap();
        let _ = rest(&mut stream).await;
    }
    // What only begins like AMQP is HTTP.
    let mut stream = messages_tls(&scene).await;
    let ask = format!("AMQP / HTTP/1.1\r\nHost: {CONTOSO}\r\n\r\n");
    stream.write_all(ask.as_bytes()).await.unwrap();
    assert!(rest(&mut stream).await.starts_with("HTTP/1.1 403 "));
}

#[tokio::test]
async fn a_kafka_login_fails_with_the_reason() {
    let scene = messages().await;
    let mut stream = messages_tls(&scene).await;
    for (ask, code) in [
        (&b"\0\0\0\x0a\0\x12\0\x03\0\0\0\x01\xff\xff"[..], 35),
        (b"\0\0\0\x11\0\x11\0\x01\0\0\0\x02\xff\xff\0\x05PLAIN", 0),
        (b"\0\0\0\x0e\0\x24\0\0\0\0\0\x03\xff\xff\0\0\0\0", 58),
    ] {
        stream.write_all(ask).await.unwrap();
        let size = stream.read_u32().await.unwrap();
        let mut answer = vec![0; size as usize];
        stream.read_exact(&mut answer).await.unwrap();
        assert_eq!(answer[4..6], [0, code], "{answer:?}");
        if code == 58 {
            let text = String::from_utf8_lossy(&answer);
            assert!(text.contains("Ip has been prevented"), "{text}");
        }
    }
    assert_eq!(rest(&mut stream).await, "");
}

/// PRELOGIN that asks for this encryption.
fn prelogin(encryption: u8) -> [u8; 20] {
    let mut bytes = [0; 20];
    bytes[..8].copy_from_slice(&[0x12, 1, 0, 20, 0, 0, 0, 0]);
    bytes[8..14].copy_from_slice(&[1, 0, 6, 0, 1, 0xff]);
    bytes[14] = encryption;
    bytes
}

/// A login of version 7.4 that brings so many bytes of its own.
fn login(bytes: usize) -> Vec<u8> {
    let mut content = vec![0; 94 + bytes];
    content[4..8].copy_from_slice(&0x7400_0004_u32.to_le_bytes());
    let mut packets = Vec::new();
    let count = content.chunks(4088).count();
    for (at, piece) in content.chunks(4088).enumerate() {
        let length = u16::try_from(piece.len() + 8).unwrap().to_be_bytes();
        let last = u8::from(at + 1 == count);
        packets.extend([0x10, last, length[0], length[1], 0, 0, 1, 0]);
        packets.extend(piece);
    }
    packets
}

/// Sends PRELOGIN and reads what encryption it is answered.
async fn negotiate<S>(stream: &mut S, wanted: u8) -> u8
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
{
    stream.write_all(&prelogin(wanted)).await.unwrap();
    let mut answer = [0; 26];
    stream.read_exact(&mut answer).await.unwrap();
    answer[25]
}

async fn expect_40615<S>(stream: &mut S, login: &[u8])
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
{
    stream.write_all(login).await.unwrap();
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    assert_eq!(answer[8], 0xaa);
    assert_eq!(answer[11..15], 40_615_u32.to_le_bytes());
    let text: String = answer
        .iter()
        .filter(|byte| byte.is_ascii_graphic())
        .map(|byte| char::from(*byte))
        .collect();
    assert!(text.contains("'127.0.0.2'isnotallowed"), "{text}");
}

#[tokio::test]
async fn tds_refuses_the_login_in_the_clear() {
    let scene = Scene::new(&Plan::new(Protocol::Tds, nobody().await));
    for wanted in [0, 2] {
        let mut stream = scene.call(OTHER).await;
        assert_eq!(negotiate(&mut stream, wanted).await, 2, "no encryption");
        expect_40615(&mut stream, &login(0)).await;
    }
}

#[tokio::test]
async fn tds_refuses_the_login_that_is_encrypted_within() {
    let scene = Scene::new(&Plan::new(Protocol::Tds, nobody().await));
    for (wanted, bytes) in [(1, 0), (3, 0), (1, 100_000)] {
        let mut stream = scene.call(OTHER).await;
        assert_eq!(negotiate(&mut stream, wanted).await, 1);
        let stream = Wrapped::new(stream);
        let mut tls = tls_offering(&scene.ca, stream, CONTOSO, &[]).await.unwrap();
        tls.get_mut().0.unwrap();
        expect_40615(&mut tls, &login(bytes)).await;
    }
    assert_eq!(scene.front.desk("contoso").unheard.get(), 0);
}

#[tokio::test]
async fn tds_refuses_the_login_where_tls_comes_first() {
    let scene = Scene::new(&Plan::new(Protocol::Tds, nobody().await));
    let stream = scene.call(OTHER).await;
    let mut tls = tls_offering(&scene.ca, stream, CONTOSO, &["tds/8.0"])
        .await
        .unwrap();
    assert_eq!(tls.get_ref().1.alpn_protocol(), Some(&b"tds/8.0"[..]));
    assert_eq!(negotiate(&mut tls, 1).await, 2);
    expect_40615(&mut tls, &login(0)).await;
}

#[tokio::test]
async fn bytes_in_the_clear_are_not_taken_for_a_login_under_tls() {
    let scene = Scene::new(&Plan::new(Protocol::Tds, nobody().await));
    let mut stream = scene.call(OTHER).await;
    let both = [&prelogin(1)[..], &login(0)].concat();
    stream.write_all(&both).await.unwrap();
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    assert_eq!(answer.len(), 26, "PRELOGIN alone is answered");
}
