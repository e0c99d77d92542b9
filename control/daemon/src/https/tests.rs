//! The listener as clients of good and bad will meet it.

mod crowd;

use super::*;
use crate::clock::processor_time;
use crate::fixtures::Scratch;
use postern_arm::clock::ProcessorTime;
use postern_arm::error::ArmError;
use postern_arm::estate::{Estate, Settings};
use postern_arm::id::ResourceId;
use postern_arm::platform::Platform;
use postern_arm::principals::Secret;
use postern_arm::rest::Api;
use postern_arm::token::TokenKey;
use postern_network::catalog::Catalog;
use postern_network::config;
use postern_network::model::Model;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

const CONFIG: &str = r#"
location = "koreacentral"
subscription = "11111111-1111-4111-8111-111111111111"
tenant = "22222222-2222-4222-8222-222222222222"

[api]
listen = "127.0.0.1:0"
names = ["postern.example"]

[[servicePrincipal]]
name = "ci"
appId = "33333333-3333-4333-8333-333333333333"
secret = "s3cret"

[[roleAssignment]]
principal = "ci"
role = "Owner"
"#;

/// A host without packets, on which everything is well.
pub(crate) struct Host;

impl Platform for Host {
    fn commit(&self, _: &Estate, _: &Estate) -> Result<(), ArmError> {
        Ok(())
    }

    fn preview(&self, _: &Estate, _: &Estate) -> Result<Value, ArmError> {
        Ok(Value::Null)
    }

    fn action(&self, _: &Estate, _: &ResourceId, _: &str, _: &Value) -> Result<Value, ArmError> {
        Ok(Value::Null)
    }

    fn regional(&self, _: &str, _: &str) -> Result<Value, ArmError> {
        Ok(Value::Null)
    }

    fn processor_time(&self) -> ProcessorTime {
        processor_time
    }

    fn locations(&self) -> Vec<String> {
        vec!["koreacentral".into(), "eastus".into()]
    }
}

fn model(text: &str) -> Model {
    config::parse(Path::new("test.toml"), text, &Catalog::bundled().unwrap()).unwrap()
}

/// The API on a port of its own, until it is dropped.
struct Server {
    address: SocketAddr,
    roots: Arc<ClientConfig>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
    _state: Scratch,
}

impl Server {
    fn start(name: &str) -> Self {
        Self::with(name, CONFIG)
    }

    fn with(name: &str, text: &str) -> Self {
        let state = Scratch::new(name);
        let model = model(text);
        let key = token_key(&state.0).unwrap();
        let config = api_config(&model, key, Settings::default()).unwrap();
        let api = Arc::new(Api::new(Arc::new(Host), Estate::default(), config));
        let listener = Listener::open(&model.api, &state.0).unwrap().unwrap();
        let door = listener.door();
        let (stop, stopped) = oneshot::channel();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            let stopped = async {
                let _ = stopped.await;
            };
            runtime.block_on(listener.run(api, stopped)).unwrap();
        });
        let mut roots = RootCertStore::empty();
        roots
            .add(CertificateDer::from_pem_slice(door.ca.as_bytes()).unwrap())
            .unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        Self {
            address: door.address,
            roots: Arc::new(config),
            stop: Some(stop),
            thread: Some(thread),
            _state: state,
        }
    }

    fn connect_as(&self, name: &'static str) -> StreamOwned<ClientConnection, TcpStream> {
        let tcp = TcpStream::connect(self.address).unwrap();
        tcp.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        let name = ServerName::try_from(name).unwrap();
        let tls = ClientConnection::new(Arc::clone(&self.roots), name).unwrap();
        StreamOwned::new(tls, tcp)
    }

    /// Sends bytes on a connection of its own, and returns all that comes until its end.
    fn send(&self, bytes: &[u8]) -> String {
        let (written, answer) = self.exchange(bytes);
        assert!(written.is_ok() || !answer.is_empty(), "{written:?}");
        answer
    }

    /// As [`Self::send`], of bytes that the API may refuse to read to their end: then the system cuts the
    /// connection off, and with it an answer that the client had not read yet.
    fn exchange(&self, bytes: &[u8]) -> (std::io::Result<()>, String) {
        let mut stream = self.connect_as("localhost");
        let written = stream.write_all(bytes).and_then(|()| stream.flush());
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        (written, String::from_utf8_lossy(&answer).into_owned())
    }

    fn token(&self) -> String {
        let form = "grant_type=client_credentials&client_id=33333333-3333-4333-8333-333333333333\
                    &client_secret=s3cret&scope=https://localhost/.default";
        let answer = self.send(&post(
            "/22222222-2222-4222-8222-222222222222/oauth2/v2.0/token",
            "",
            form,
        ));
        let body = answer
            .split("\r\n\r\n")
            .nth(1)
            .unwrap_or_else(|| panic!("{answer}"));
        let value: Value = serde_json::from_str(body).unwrap();
        value["access_token"].as_str().unwrap().to_owned()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.stop.take().map(|stop| stop.send(()));
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

fn post(path: &str, headers: &str, body: &str) -> Vec<u8> {
    request("POST", path, headers, body)
}

fn request(method: &str, path: &str, headers: &str, body: &str) -> Vec<u8> {
    format!(
        "{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{headers}Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

fn status(answer: &str) -> &str {
    answer.get(9..12).unwrap_or(answer)
}

#[test]
fn a_client_logs_in_writes_and_reads() {
    let server = Server::start("api-client");
    let auth = format!("Authorization: Bearer {}\r\n", server.token());
    let group = "/subscriptions/11111111-1111-4111-8111-111111111111/resourceGroups/rg?api-version=2024-05-01";
    let body = json!({ "location": "koreacentral" }).to_string();
    let made = server.send(&request("PUT", group, &auth, &body));
    assert_eq!(status(&made), "201", "{made}");
    let read = server.send(&request("GET", group, &auth, ""));
    assert_eq!(status(&read), "200", "{read}");
    assert!(read.contains("\"name\":\"rg\""), "{read}");
    assert_eq!(
        status(&server.send(&request("HEAD", group, &auth, ""))),
        "204"
    );
    assert_eq!(status(&server.send(&request("GET", group, "", ""))), "401");
}

#[test]
fn the_certificate_is_for_every_name() {
    let server = Server::start("api-names");
    for name in ["localhost", "127.0.0.1", "postern.example"] {
        let mut stream = server.connect_as(name);
        stream
            .write_all(&request("GET", "/metadata/endpoints", "", ""))
            .unwrap();
        let mut answer = String::new();
        let _ = stream.read_to_string(&mut answer);
        assert_eq!(status(&answer), "200", "{name}");
    }
    let mut stream = server.connect_as("other.example");
    assert!(stream.write_all(b"GET / HTTP/1.1\r\n\r\n").is_err());
}

#[test]
fn a_long_body_is_refused_and_the_client_hears_why() {
    let server = Server::start("api-long");
    let auth = format!("Authorization: Bearer {}\r\n", server.token());
    let path = "/subscriptions/11111111-1111-4111-8111-111111111111/resourceGroups/rg?api-version=2024-05-01";
    let body = "[".repeat(10 << 20);
    let told = server.send(&request("PUT", path, &auth, &body));
    assert_eq!(status(&told), "413", "{told:.300}");
    assert!(told.contains("RequestContentTooLarge"));
    // In chunks, whose sum nobody told before.
    let chunk = format!("{:x}\r\n{}\r\n", 1 << 20, "a".repeat(1 << 20));
    let chunked = format!(
        "PUT {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{auth}Transfer-Encoding: chunked\r\n\r\n{}0\r\n\r\n",
        chunk.repeat(6)
    );
    assert_eq!(status(&server.send(chunked.as_bytes())), "413");
    // One that says it is longer than anything is not waited for.
    let liar = format!(
        "PUT {path} HTTP/1.1\r\nHost: localhost\r\n{auth}Content-Length: 99999999999\r\n\r\n["
    );
    assert_eq!(status(&server.send(liar.as_bytes())), "413");
}

#[test]
fn what_is_no_request_ends_the_connection() {
    let server = Server::start("api-bad");
    for bytes in [
        b"nonsense\r\n\r\n".to_vec(),
        b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: x\r\n\r\n".to_vec(),
        b"GET / HTTP/9.9\r\n\r\n".to_vec(),
        b"\x16\x03\x01\x00\x00".to_vec(),
        format!(
            "GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n",
            "a".repeat(200_000)
        )
        .into_bytes(),
        format!(
            "GET / HTTP/1.1\r\nHost: a\r\n{}\r\n",
            "X: y\r\n".repeat(500)
        )
        .into_bytes(),
        format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "a".repeat(100_000)).into_bytes(),
        // Two lengths are how requests are smuggled past each other.
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nabcdef"
            .to_vec(),
    ] {
        let (_, answer) = server.exchange(&bytes);
        assert!(
            answer.is_empty() || answer.starts_with("HTTP/1.1 4"),
            "{answer}"
        );
    }
    // Without TLS.
    let mut plain = TcpStream::connect(server.address).unwrap();
    plain
        .write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        .unwrap();
    let mut answer = Vec::new();
    let _ = plain.read_to_end(&mut answer);
    assert!(!answer.starts_with(b"HTTP"));
    assert_eq!(
        status(&server.send(&request("GET", "/metadata/endpoints", "", ""))),
        "200"
    );
}

#[test]
fn those_who_send_nothing_do_not_keep_others_out() {
    let server = Server::start("api-slow");
    let silent: Vec<TcpStream> = (0..100)
        .map(|_| TcpStream::connect(server.address).unwrap())
        .collect();
    let mut halves: Vec<_> = (0..20).map(|_| server.connect_as("localhost")).collect();
    for half in &mut halves {
        half.write_all(
            b"POST /x/oauth2/token HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nabc",
        )
        .unwrap();
        half.flush().unwrap();
    }
    let begun = Instant::now();
    assert_eq!(
        status(&server.send(&request("GET", "/metadata/endpoints", "", ""))),
        "200"
    );
    // Less than anybody who sends nothing may stay.
    assert!(begun.elapsed() < Duration::from_secs(18));
    drop((silent, halves));
}

#[test]
fn one_connection_takes_many_requests_and_the_end_is_quick() {
    let server = Server::start("api-many");
    let mut stream = server.connect_as("localhost");
    for _ in 0..50 {
        stream
            .write_all(b"GET /metadata/endpoints HTTP/1.1\r\nHost: localhost\r\n\r\n")
            .unwrap();
        let mut bytes = [0; 8192];
        let length = stream.read(&mut bytes).unwrap();
        assert!(bytes[..length].starts_with(b"HTTP/1.1 200"));
    }
    let begun = Instant::now();
    drop(server);
    assert!(
        begun.elapsed() < Duration::from_secs(18),
        "an idle connection is not waited for"
    );
}

#[test]
fn the_key_is_made_once_and_kept_secret() {
    let state = Scratch::new("api-key");
    let first = token_key(&state.0).unwrap();
    let path = state.0.join("token.key");
    assert_eq!(
        std::fs::metadata(&path).unwrap().permissions().mode() & 0o777,
        0o600
    );
    assert_eq!(first.derive("x"), token_key(&state.0).unwrap().derive("x"));
    std::fs::write(&path, "short").unwrap();
    let error = token_key(&state.0).unwrap_err().to_string();
    assert!(error.contains("damaged, 5 bytes"), "{error}");
    assert_eq!(
        std::fs::read(&path).unwrap(),
        b"short",
        "it is not replaced"
    );
}

#[test]
fn an_address_that_is_taken_is_told() {
    let state = Scratch::new("api-taken");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let text = CONFIG.replace("127.0.0.1:0", &taken.local_addr().unwrap().to_string());
    let error = Listener::open(&model(&text).api, &state.0)
        .unwrap_err()
        .to_string();
    assert!(error.starts_with("api.listen = \"127.0.0.1:"), "{error}");
    let none = Listener::open(&model("location = \"koreacentral\"").api, &state.0).unwrap();
    assert!(none.is_none());
}

#[test]
fn secrets_and_roles_come_from_files() {
    let state = Scratch::new("api-files");
    std::fs::create_dir(&state.0).unwrap();
    let (secret, role) = (state.0.join("secret"), state.0.join("role.json"));
    let text = CONFIG
        .replace(
            "secret = \"s3cret\"",
            &format!("secretFile = \"{}\"", secret.display()),
        )
        .replace("role = \"Owner\"", "role = \"Net Reader\"")
        + &format!("[[roleDefinition]]\nfile = \"{}\"\n", role.display());
    let model = model(&text);
    let config = || api_config(&model, token_key(&state.0).unwrap(), Settings::default());
    let error = |expected: &str| {
        let error = config().unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    };
    error("roleDefinition[0].file");
    std::fs::write(&role, "{\"Name\": 5}").unwrap();
    error("roleName");
    let good = json!({ "Name": "Other", "Actions": ["Microsoft.Network/*/read"], "AssignableScopes": ["/"] });
    std::fs::write(&role, good.to_string()).unwrap();
    error("servicePrincipal[0].secretFile");
    std::fs::write(&secret, "\nx").unwrap();
    error("the first line is empty");
    std::fs::write(&secret, "from a file\r\nmore").unwrap();
    error("roleAssignment[0].role = \"Net Reader\"");
    std::fs::write(&role, good.to_string().replace("Other", "Net Reader")).unwrap();
    let config = config().unwrap();
    assert!(config.principals[0].secret.is("from a file"));
    assert_eq!(config.assignments[0].role, config.definitions[0].id);
    assert_eq!(config.hosts, ["localhost", "127.0.0.1", "postern.example"]);
}

#[test]
fn a_digest_stands_for_a_secret_on_the_host_that_made_it() {
    let (key, other) = (TokenKey::new(&[1; 32]), TokenKey::new(&[2; 32]));
    let app = "c0ffee00-0000-4000-8000-000000000001";
    let digest = Secret::digest(&key.seal(), app, "s3cret");
    let text = format!(
        "location = \"koreacentral\"\n[[servicePrincipal]]\nname = \"ci\"\nappId = \"{app}\"\n\
         secretDigest = \"{digest}\"\n"
    );
    let model = model(&text);
    let config = api_config(&model, key, Settings::default()).unwrap();
    assert!(config.principals[0].secret.is("s3cret"));
    assert!(!config.principals[0].secret.is("s3cre"));
    let error = api_config(&model, other, Settings::default()).unwrap_err();
    let error = error.to_string();
    assert!(
        error.starts_with("servicePrincipal[0].secretDigest: of another state directory; accepted"),
        "{error}"
    );
    let door = Door {
        address: "127.0.0.1:8443".parse().unwrap(),
        ca: "pem".into(),
    };
    let found = login(&model, Some(&door), None);
    assert_eq!(found, Err(LoginError::Unknown("ci".into())));
}

#[test]
fn roles_of_a_file_are_told_apart_and_assigned_where_they_may_be() {
    let role = "[[roleDefinition]]\nroleName = \"Mine\"\nactions = [\"*\"]\n";
    let config = |more: &str| {
        let text = CONFIG.replace("role = \"Owner\"", "role = \"Mine\"") + role + more;
        let key = TokenKey::new(&[7; TokenKey::LENGTH]);
        api_config(&model(&text), key, Settings::default())
    };
    let error = |more: &str, expected: &str| {
        let error = config(more).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    };
    let reader = "acdd72a7-3385-48ef-bd42-f606fba81ae7";
    error(role, "roleDefinition[1]: the id");
    error(
        &role.replace("Mine", "reader"),
        "roleDefinition[1]: the roleName",
    );
    let more = role.replace("Mine", "Other") + &format!("id = \"{reader}\"\n");
    error(&more, "roleDefinition[1]: the id");
    error(
        "assignableScopes = [\"/subscriptions/elsewhere\"]\n",
        "roleAssignment[0].scope",
    );
    // What is called like an ID is not what has it.
    let more = role.replace("Mine", reader);
    let text = CONFIG.replace("role = \"Owner\"", &format!("role = \"{reader}\"")) + &more;
    let key = TokenKey::new(&[7; TokenKey::LENGTH]);
    let config = api_config(&model(&text), key, Settings::default()).unwrap();
    assert_eq!(config.assignments[0].role, reader);
}

#[test]
fn a_login_is_told_or_why_there_is_none() {
    let door = Door {
        address: "127.0.0.1:8443".parse().unwrap(),
        ca: "pem".into(),
    };
    let found = login(&model(CONFIG), Some(&door), None).unwrap();
    assert_eq!(
        (found.url.as_str(), found.secret.as_str()),
        ("https://postern.example:8443", "s3cret")
    );
    assert_eq!(found.subscriptions.len(), 1);
    assert!(!format!("{found:?}").contains("s3cret"));
    let plain = model(&CONFIG.replace("names = [\"postern.example\"]", ""));
    for (address, url) in [
        ("127.0.0.1:1", "https://localhost:1"),
        ("0.0.0.0:1", "https://localhost:1"),
        ("127.0.0.2:1", "https://127.0.0.2:1"),
        ("[2001:db8::1]:1", "https://[2001:db8::1]:1"),
    ] {
        let door = Door {
            address: address.parse().unwrap(),
            ..door.clone()
        };
        assert_eq!(login(&plain, Some(&door), Some("CI")).unwrap().url, url);
    }
    assert_eq!(login(&plain, None, None), Err(LoginError::NoApi));
    let nobody = model("location = \"koreacentral\"");
    assert_eq!(
        login(&nobody, Some(&door), None),
        Err(LoginError::NoPrincipal)
    );
    let error = login(&plain, Some(&door), Some("x"))
        .unwrap_err()
        .to_string();
    assert!(error.ends_with("accepted: ci"), "{error}");
}
