//! Refused clients that send while the refusal is on its way.

use super::*;
use crate::front::drain::Patience;

const MIB: usize = 1024 * 1024;

/// Sends an upload as most clients do: everything, and then it looks at the answer.
async fn upload<S>(stream: &mut S, bytes: usize, pause: Duration) -> String
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
{
    let head = format!("PUT /c/b HTTP/1.1\r\nHost: {CONTOSO}\r\nContent-Length: {bytes}\r\n\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    let piece = vec![7; 64 * 1024];
    for _ in 0..bytes / piece.len() {
        stream.write_all(&piece).await.unwrap();
        stream.flush().await.unwrap();
        tokio::time::sleep(pause).await;
    }
    rest(stream).await
}

#[tokio::test]
async fn a_whole_upload_is_read_and_the_refusal_with_it() {
    for bytes in [MIB, 2 * MIB, 64 * MIB] {
        let scene = Scene::new(&Plan::new(Protocol::Tls, nobody().await));
        let mut stream = scene.call_tls(OTHER, CONTOSO).await;
        let answer = upload(&mut stream, bytes, Duration::ZERO).await;
        assert!(answer.contains("AuthorizationFailure"), "{bytes}: {answer}");
        let scene = Scene::new(&Plan::new(Protocol::Http, nobody().await));
        let mut stream = scene.call(OTHER).await;
        let answer = upload(&mut stream, bytes, Duration::ZERO).await;
        assert!(answer.contains("AuthorizationFailure"), "{bytes}: {answer}");
    }
}

#[tokio::test]
async fn an_upload_that_takes_longer_than_a_refusal_is_read_too() {
    let plan = Plan {
        limits: Limits {
            refusal: Duration::from_millis(500),
            ..Limits::default()
        },
        ..Plan::new(Protocol::Tls, nobody().await)
    };
    let scene = Scene::new(&plan);
    let mut stream = scene.call_tls(OTHER, CONTOSO).await;
    let answer = upload(&mut stream, 3 * MIB, Duration::from_millis(50)).await;
    assert!(answer.contains("AuthorizationFailure"), "{answer}");
}

#[tokio::test]
async fn a_client_that_waits_for_the_word_to_go_on_hears_no() {
    let scene = Scene::new(&Plan::new(Protocol::Tls, nobody().await));
    let mut stream = scene.call_tls(OTHER, CONTOSO).await;
    let head = format!(
        "PUT /c/b HTTP/1.1\r\nHost: {CONTOSO}\r\nContent-Length: 9\r\nExpect: 100-continue\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    assert!(rest(&mut stream).await.starts_with("HTTP/1.1 403 "));
}

#[tokio::test]
async fn an_upload_without_end_ends_with_the_patience() {
    let plan = Plan {
        limits: Limits {
            drain: Patience {
                bytes: 4 * MIB as u64,
                ..Patience::default()
            },
            ..Limits::default()
        },
        ..Plan::new(Protocol::Http, nobody().await)
    };
    let scene = Scene::new(&plan);
    let mut stream = scene.call(OTHER).await;
    let head = format!("PUT / HTTP/1.1\r\nHost: {CONTOSO}\r\nTransfer-Encoding: chunked\r\n\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    let piece = vec![b'x'; 64 * 1024];
    let mut sent = 0;
    while stream.write_all(&piece).await.is_ok() {
        sent += piece.len();
        assert!(sent < 256 * MIB, "it goes on for ever");
    }
}
