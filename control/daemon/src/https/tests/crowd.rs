//! Those who want everything for themselves.

use super::*;

const TWO: &str = r#"
[[servicePrincipal]]
name = "other"
appId = "44444444-4444-4444-8444-444444444444"
secret = "0ther"
[[servicePrincipal]]
name = "reader"
appId = "55555555-5555-4555-8555-555555555555"
secret = "r3ader"
[[roleAssignment]]
principal = "other"
role = "Owner"
[[roleAssignment]]
principal = "reader"
role = "Reader"
"#;

const GROUP: &str =
    "/subscriptions/11111111-1111-4111-8111-111111111111/resourceGroups/rg?api-version=2024-05-01";

type Tls = StreamOwned<ClientConnection, TcpStream>;

fn start(name: &str) -> Server {
    Server::with(name, &format!("{CONFIG}{TWO}"))
}

impl Server {
    fn auth(&self, app: &str, secret: &str) -> String {
        let answer = self.log_in(app, secret);
        let body = answer.split("\r\n\r\n").nth(1).unwrap_or(&answer);
        let value: Value = serde_json::from_str(body).unwrap_or_else(|_| panic!("{answer}"));
        let token = value["access_token"]
            .as_str()
            .unwrap_or_else(|| panic!("{answer}"));
        format!("Authorization: Bearer {token}\r\n")
    }

    fn log_in(&self, app: &str, secret: &str) -> String {
        let form = format!(
            "grant_type=client_credentials&client_id={app}&client_secret={secret}&scope=https://localhost/.default"
        );
        let path = "/22222222-2222-4222-8222-222222222222/oauth2/v2.0/token";
        self.send(&post(path, "", &form))
    }

    fn reader(&self) -> String {
        self.auth("55555555-5555-4555-8555-555555555555", "r3ader")
    }

    fn other(&self) -> String {
        self.auth("44444444-4444-4444-8444-444444444444", "0ther")
    }

    /// Opens a connection and sends a part of what it should.
    fn part(&self, bytes: &[u8]) -> Tls {
        let mut stream = self.connect_as("localhost");
        stream
            .write_all(bytes)
            .and_then(|()| stream.flush())
            .unwrap();
        stream
    }

    /// Makes a resource group, and returns how long that took.
    fn make_group(&self, auth: &str) -> Duration {
        let begun = Instant::now();
        let body = json!({ "location": "koreacentral" }).to_string();
        let made = self.send(&request("PUT", GROUP, auth, &body));
        assert!(["200", "201"].contains(&status(&made)), "{made}");
        begun.elapsed()
    }
}

fn chunked(auth: &str) -> Vec<u8> {
    format!("PUT {GROUP} HTTP/1.1\r\nHost: localhost\r\n{auth}Transfer-Encoding: chunked\r\n\r\n")
        .into_bytes()
}

/// How long is too long: those who would hold things hold them for 10 s at least.
const SOON: Duration = Duration::from_secs(8);

#[test]
fn a_crowd_of_silent_connections_keeps_nobody_out() {
    let server = start("crowd-silent");
    let auth = server.other();
    // More than there are places, before TLS and after it.
    let silent: Vec<TcpStream> = (0..300)
        .map(|_| TcpStream::connect(server.address).unwrap())
        .collect();
    assert!(server.make_group(&auth) < SOON);
    let greeted: Vec<Tls> = (0..270)
        .map(|_| server.part(b"GET / HTTP/1.1\r\n"))
        .collect();
    assert!(server.make_group(&auth) < SOON);
    assert!(server.make_group(&server.other()) < SOON, "and who logs in");
    drop((silent, greeted));
}

#[test]
fn a_connection_of_who_is_known_outlives_the_crowd() {
    let server = start("crowd-known");
    let auth = server.other();
    let get = format!("GET {GROUP} HTTP/1.1\r\nHost: localhost\r\n{auth}\r\n");
    let mut known = server.part(get.as_bytes());
    let mut bytes = [0; 8192];
    assert!(known.read(&mut bytes).unwrap() > 0);
    let silent: Vec<TcpStream> = (0..600)
        .map(|_| TcpStream::connect(server.address).unwrap())
        .collect();
    assert!(server.make_group(&auth) < SOON);
    known.write_all(get.as_bytes()).unwrap();
    let length = known.read(&mut bytes).unwrap();
    assert!(bytes[..length].starts_with(b"HTTP/1.1 200"));
    drop(silent);
}

#[test]
fn who_may_not_write_is_refused_at_the_head() {
    let server = start("crowd-reader");
    let (reader, owner) = (server.reader(), server.other());
    let told = request(
        "PUT",
        GROUP,
        &format!("{reader}Expect: 100-continue\r\n"),
        "",
    );
    let told = String::from_utf8(told)
        .unwrap()
        .replace("Length: 0", "Length: 1000000");
    let begun = Instant::now();
    let answer = server.send(told.as_bytes());
    assert_eq!(status(&answer), "403", "{answer}");
    assert!(answer.contains("AuthorizationFailed"), "{answer}");
    assert!(begun.elapsed() < SOON, "without a byte of the body");
    let held: Vec<Tls> = (0..40).map(|_| server.part(&chunked(&reader))).collect();
    assert!(server.make_group(&owner) < SOON);
    drop(held);
}

#[test]
fn bodies_that_do_not_come_take_no_room() {
    let server = start("crowd-bodies");
    let own = format!("Authorization: Bearer {}\r\n", server.token());
    let other = server.other();
    let mut held: Vec<Tls> = (0..60).map(|_| server.part(&chunked(&own))).collect();
    assert!(server.make_group(&other) < SOON);
    assert!(server.make_group(&own) < SOON, "nor from who sends them");
    // Nor do those for long that come in part.
    let chunk = format!("{:x}\r\n{}\r\n", 1 << 20, "a".repeat(1 << 20));
    for stream in held.iter_mut().take(12) {
        let _ = stream.write_all(chunk.as_bytes());
    }
    assert!(server.make_group(&other) < SOON);
    // Each is told that it is late.
    let mut answer = String::new();
    let _ = held.swap_remove(50).read_to_string(&mut answer);
    assert_eq!(status(&answer), "408", "{answer}");
}

#[test]
fn wrong_secrets_of_others_lock_nobody_out() {
    let server = start("crowd-guess");
    let app = "44444444-4444-4444-8444-444444444444";
    let codes: Vec<String> = (0..15)
        .map(|number| status(&server.log_in(app, &number.to_string())).to_owned())
        .collect();
    assert_eq!(&codes[..10], ["401"; 10], "{codes:?}");
    assert!(codes[10..].iter().all(|code| code == "429"), "{codes:?}");
    assert!(
        server
            .log_in(app, "x")
            .to_lowercase()
            .contains("retry-after: ")
    );
    assert_eq!(status(&server.log_in(app, "0ther")), "200");
    // Many at once wait in line, and so does the right one, which gets in.
    let guesses = 60;
    let begun = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..6 {
            scope.spawn(|| {
                for number in 0..guesses / 6 {
                    server.log_in(app, &number.to_string());
                }
            });
        }
        assert_eq!(status(&server.log_in(app, "0ther")), "200");
    });
    let least = Duration::from_millis(guesses * 20);
    assert!(
        begun.elapsed() >= least,
        "they are not tried faster: {:?}",
        begun.elapsed()
    );
}

#[test]
fn who_does_not_read_is_cut_off() {
    let server = start("crowd-deaf");
    let mut stream = server.connect_as("localhost");
    let asks = b"GET /metadata/endpoints HTTP/1.1\r\nHost: localhost\r\n\r\n".repeat(200);
    let begun = Instant::now();
    while stream.write_all(&asks).is_ok() {
        assert!(begun.elapsed() < Duration::from_secs(120));
    }
    assert_eq!(
        status(&server.send(&request("GET", "/metadata/endpoints", "", ""))),
        "200"
    );
}
