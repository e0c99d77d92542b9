//! Heads that are read, and those that are refused.

use super::*;
use proptest::prelude::*;

fn read(text: &str) -> Result<Option<Request>, HeadError> {
    HeadReader::default().read(text.as_bytes())
}

fn host_of(text: &str) -> Option<String> {
    read(text).unwrap().unwrap().head.host
}

#[test]
fn the_host_is_read_without_its_port() {
    let head = read(
        "HEAD /c/b?x HTTP/1.1\r\nx-ms-version: 2021-08-06\r\nhost:  Contoso.Blob.core.windows.net:8080 \r\n\
         Accept: application/json\r\nX-MS-Client-Request-Id: abc\r\n\r\nbody",
    );
    assert_eq!(
        head.unwrap().unwrap().head,
        Head {
            method: "HEAD".to_owned(),
            host: Some("contoso.blob.core.windows.net".to_owned()),
            accept: Some("application/json".to_owned()),
            version: Some("2021-08-06".to_owned()),
            client_request_id: Some("abc".to_owned()),
            ..Head::default()
        }
    );
}

#[test]
fn an_absolute_target_says_the_same_host_or_is_refused() {
    for (target, host, ok) in [
        ("http://a.example/x", "a.example", true),
        ("http://A.example:80/x", "a.example", true),
        ("https://a.example?x", "a.example:443", true),
        ("/x?u=http://b.example/", "a.example", true),
        ("http://b.example/x", "a.example", false),
        ("http://a.example:81/x", "a.example", false),
        ("http://a.example@b.example/x", "a.example", false),
        ("http://b.example\\a.example/", "a.example", false),
    ] {
        let text = format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n");
        let read = read(&text);
        if ok {
            let host = read.unwrap().unwrap().head.host;
            assert_eq!(host.as_deref(), Some("a.example"), "{text}");
        } else {
            assert_eq!(read, Err(HeadError::BadHost), "{text}");
        }
    }
    for target in ["a.example:80", "ftp://a.example/", "*", "/x#y", "x/y"] {
        let text = format!("GET {target} HTTP/1.1\r\nHost: a.example\r\n\r\n");
        assert_eq!(read(&text), Err(HeadError::BadTarget), "{text}");
    }
    let text = "CONNECT a.example:80 HTTP/1.1\r\nHost: a.example\r\n\r\n";
    assert_eq!(read(text), Err(HeadError::BadTarget));
}

#[test]
fn a_body_has_one_length() {
    let read = |fields: &str| {
        let text = format!("PUT / HTTP/1.1\r\nHost: a\r\n{fields}\r\n");
        read(&text).map(|request| request.unwrap().body)
    };
    assert_eq!(read(""), Ok(Length::None));
    assert_eq!(read("content-length: 12\r\n"), Ok(Length::Bytes(12)));
    assert_eq!(read("Transfer-Encoding: Chunked\r\n"), Ok(Length::Chunked));
    for fields in [
        "Content-Length: 1\r\nContent-Length: 1\r\n",
        "Content-Length: 1, 1\r\n",
        "Content-Length: +1\r\n",
        "Content-Length: 0x1\r\n",
        "Content-Length:\r\n",
        "Content-Length: 99999999999999999999\r\n",
        "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: gzip, chunked\r\n",
        "Transfer-Encoding: xchunked\r\n",
        "Transfer-Encoding: identity\r\n",
    ] {
        assert_eq!(read(fields), Err(HeadError::BadLength), "{fields}");
    }
    for fields in [
        "Content-Length : 1\r\n",
        "X: y\r\n folded\r\n",
        " X: y\r\n",
        "X: y\nContent-Length: 1\r\n",
        "X: y\rContent-Length: 1\r\n",
        "X: \0\r\n",
    ] {
        assert!(
            matches!(read(fields), Err(HeadError::Malformed(_))),
            "{fields}"
        );
    }
    for name in ["Host", "x, content-length", "transfer-encoding"] {
        let error = read(&format!("Connection: {name}\r\n"));
        assert_eq!(error, Err(HeadError::BadConnection), "{name}");
    }
    let old = "PUT / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n";
    let old = HeadReader::default().read(old.as_bytes());
    assert_eq!(old, Err(HeadError::BadLength));
}

#[test]
fn who_calls_nobody_by_name_gets_the_name_that_was_judged() {
    for (asked, passed_on) in [
        ("GET /x HTTP/1.0\r\n", "GET /x HTTP/1.0\r\nHost: b\r\n"),
        (
            "GET http://a/x?y HTTP/1.0\r\nX: y\r\n",
            "GET /x?y HTTP/1.0\r\nHost: b\r\nX: y\r\n",
        ),
        (
            "GET /x?u=http://c/ HTTP/1.1\r\nX: y\r\nhOST: 10.0.0.1:80\r\nY: z\r\n",
            "GET /x?u=http://c/ HTTP/1.1\r\nHost: b\r\nX: y\r\nY: z\r\n",
        ),
        (
            "GET HTTP://10.0.0.1?y HTTP/1.1\r\nHost: 10.0.0.1\r\n",
            "GET /?y HTTP/1.1\r\nHost: b\r\n",
        ),
        (
            "GET http://[fd00::1]/ HTTP/1.1\r\nHost: [fd00::1]\r\nUpgrade: h2c\r\n",
            "GET / HTTP/1.1\r\nHost: b\r\n",
        ),
        (
            "GET http://a/ HTTP/1.1\r\nHost: a\r\n",
            "GET http://a/ HTTP/1.1\r\nHost: a\r\n",
        ),
    ] {
        let text = format!("{asked}\r\n");
        let request = HeadReader::default().read(text.as_bytes());
        let request = request.unwrap().unwrap();
        let head = request.forwarded(text.as_bytes(), "b");
        assert_eq!(String::from_utf8(head).unwrap(), format!("{passed_on}\r\n"));
    }
}

#[test]
fn an_upgrade_to_what_could_ask_for_more_is_left_out() {
    let ask = |fields: &str| {
        let text = format!("\r\nGET / HTTP/1.1\r\nHost: a\r\n{fields}\r\n");
        let request = read(&text).unwrap().unwrap();
        let head = request.forwarded(text.as_bytes(), "b");
        (request.upgrade, String::from_utf8(head).unwrap())
    };
    let (upgrade, head) = ask("Upgrade: WebSocket\r\nConnection: Upgrade\r\n");
    assert_eq!(upgrade, Some(Upgrade::WebSocket));
    assert!(head.ends_with("Upgrade: WebSocket\r\nConnection: Upgrade\r\n\r\n"));
    let (upgrade, head) = ask(
        "Connection: Upgrade, HTTP2-Settings\r\nX: y\r\nUpgrade: h2c\r\nHTTP2-Settings: AA\r\n",
    );
    assert_eq!(upgrade, Some(Upgrade::Other));
    assert_eq!(head, "GET / HTTP/1.1\r\nHost: a\r\nX: y\r\n\r\n");
    let (upgrade, head) =
        ask("Connection: keep-alive, upgrade\r\nUpgrade: websocket\r\nContent-Length: 1\r\n");
    assert_eq!(upgrade, Some(Upgrade::Other));
    let expected = "Connection: keep-alive\r\nContent-Length: 1\r\n\r\n";
    assert!(head.ends_with(expected), "{head}");
}

#[test]
fn who_closes_is_told_by_version_and_field() {
    for (text, closes) in [
        ("GET / HTTP/1.1\r\nHost: a\r\n\r\n", false),
        (
            "GET / HTTP/1.1\r\nHost: a\r\nConnection: x, Close\r\n\r\n",
            true,
        ),
        ("GET / HTTP/1.0\r\n\r\n", true),
        ("GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", false),
    ] {
        assert_eq!(read(text).unwrap().unwrap().closes, closes, "{text}");
    }
}

#[test]
fn a_request_of_http2_names_one_host() {
    let ask = |uri: &str, hosts: &[&str]| {
        let mut request = hyper::Request::builder().uri(uri);
        for host in hosts {
            request = request.header("host", *host);
        }
        Head::judged(&request.body(()).unwrap())
    };
    let named = ask("https://A.example/x", &[]).unwrap();
    assert_eq!(named.host.as_deref(), Some("a.example"));
    assert!(ask("https://a.example/x", &["a.example"]).is_ok());
    assert!(ask("/x", &["a.example"]).is_ok());
    for (uri, hosts) in [
        ("https://a.example/x", &["b.example"][..]),
        ("https://a.example/x", &["a.example", "a.example"]),
        ("/x", &["a.example", "b.example"]),
        ("/x", &[]),
        ("https://b@a.example/x", &[]),
    ] {
        assert_eq!(ask(uri, hosts), Err(HeadError::BadHost), "{uri} {hosts:?}");
    }
}

#[test]
fn an_address_is_no_name() {
    assert_eq!(host_of("GET / HTTP/1.1\r\nHost: 20.60.16.5\r\n\r\n"), None);
    assert_eq!(
        host_of("GET / HTTP/1.1\r\nHost: [fd41::1]:80\r\n\r\n"),
        None
    );
    assert_eq!(host_of("GET / HTTP/1.0\r\n\r\n"), None);
}

#[test]
fn a_request_without_one_host_is_refused() {
    for text in [
        "GET / HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a.example\r\nHost: b.example\r\n\r\n",
        "GET / HTTP/1.1\r\nHost:\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a b\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: user@a.example\r\n\r\n",
    ] {
        assert_eq!(read(text), Err(HeadError::BadHost), "{text:?}");
    }
}

#[test]
fn what_is_no_request_is_refused() {
    for text in [
        "\0",
        "\x16\x03\x01",
        " GET",
        "GET\r\n\r\n",
        "GET / HTTP/1.1\r\nA\r\n\r\n",
        "GET / HTTP/1.1\nHost: a.example\n\n",
        "\nGET / HTTP/1.1\r\nHost: a.example\r\n\r\n",
    ] {
        assert!(
            matches!(read(text), Err(HeadError::Malformed(_))),
            "{text:?}"
        );
    }
    let preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    assert!(matches!(read(preface), Err(HeadError::Malformed(_))));
}

#[test]
fn a_head_is_bounded_in_bytes_and_fields() {
    let long = format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}", "x".repeat(MAX_HEAD));
    assert_eq!(read(&long), Err(HeadError::TooLarge));
    let whole = format!("{long}\r\n\r\n");
    assert_eq!(read(&whole), Err(HeadError::TooLarge));
    let many = "X: y\r\n".repeat(MAX_FIELDS);
    let many = format!("GET / HTTP/1.1\r\nHost: a\r\n{many}\r\n");
    assert_eq!(read(&many), Err(HeadError::TooLarge));
}

#[test]
fn a_value_that_an_answer_must_not_repeat_is_dropped() {
    let text = "GET / HTTP/1.1\r\nHost: a\r\nx-ms-version: \x7f\u{e9}\r\n\r\n";
    assert!(!read(text).is_ok_and(|head| head.is_some_and(|read| read.head.version.is_some())));
}

#[test]
fn a_head_that_comes_byte_by_byte_ends_where_it_ends() {
    for text in [
        "GET / HTTP/1.1\r\nHost: a.example\r\n\r\n",
        "\r\nGET / HTTP/1.1\r\nHost: a.example\r\n\r\n",
    ] {
        let mut reader = HeadReader::default();
        for end in 1..text.len() {
            assert_eq!(
                reader.read(&text.as_bytes()[..end]),
                Ok(None),
                "cut at {end}"
            );
        }
        let request = reader.read(text.as_bytes()).unwrap().unwrap();
        assert_eq!(request.head.host.as_deref(), Some("a.example"));
        assert_eq!(request.at.end, text.len());
    }
}

proptest! {
    #[test]
    fn damage_never_hurts(
        at in any::<proptest::sample::Index>(),
        value: u8,
    ) {
        let mut bytes = b"GET /a HTTP/1.1\r\nHost: a.example\r\nAccept: */*\r\n\r\n".to_vec();
        let at = at.index(bytes.len());
        bytes[at] = value;
        // Read whole or in two pieces, the outcome is the same unless the first piece is
        // refused already.
        let whole = HeadReader::default().read(&bytes);
        let mut reader = HeadReader::default();
        let first = reader.read(&bytes[..bytes.len() / 2]);
        if first == Ok(None) {
            prop_assert_eq!(reader.read(&bytes), whole);
        } else {
            prop_assert!(first.is_err() || first == whole);
        }
    }

    #[test]
    fn any_bytes_are_read(bytes in proptest::collection::vec(any::<u8>(), 0..2048)) {
        let _ = HeadReader::default().read(&bytes);
    }
}
