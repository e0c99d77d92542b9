//! Fronts before real servers: who gets through, what the others hear, and what is left behind.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a case ends with the message of what did not hold"
)]

use postern_tests::{
    Fabric, Netns, Output, SQL, STORAGE, Server, VM0, World, at, open_many_files, postgresql,
    privileged, run, until,
};
use serde_json::Value;
use std::io::{self, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(30);
const HOST: &str = "contoso.blob.core.windows.net";

/// How many bytes `/big` is long.
const BIG: u64 = 256 * 1024 * 1024;

/// Answers every GET over TLS: with what was asked, or with many bytes.
const SERVER: &str = r#"
import http.server, ssl, sys
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        big = self.path == "/big"
        body = ("hello from " + self.path).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(int(sys.argv[3]) if big else len(body)))
        self.end_headers()
        if not big:
            self.wfile.write(body)
            return
        piece = bytes(65536)
        for _ in range(int(sys.argv[3]) // len(piece)):
            self.wfile.write(piece)
    def log_message(self, *args):
        pass
server = http.server.ThreadingHTTPServer(("127.0.0.1", 8443), Handler)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(sys.argv[1], sys.argv[2])
server.socket = context.wrap_socket(server.socket, server_side=True)
print("listening", flush=True)
server.serve_forever()
"#;

/// The network rules of both services: subnet1 alone.
const RULES: &str = r#"
networkAcls = { defaultAction = "Deny", virtualNetworkRules = [{ id = "VNet1/subnet1" }] }
"#;

/// Two subnets with both endpoints; a storage account and a database with fronts, their servers in
/// a namespace that no guest reaches.
fn world() -> World {
    let endpoints = vec!["Microsoft.Storage", "Microsoft.Sql"];
    World {
        endpoints1: endpoints.clone(),
        endpoints2: endpoints,
        ..World::default()
    }
}

/// Returns the file of the world with fronts; `rules` are those of the storage account.
fn file(rules: &str) -> String {
    let text = world().to_string();
    let storage = "[[service]]\nname = \"contoso\"\n";
    let front = |port: u16, connect: &str| {
        format!(
            "[service.front]\nports = [{port}]\nconnect = \"{connect}\"\nnamespace = \"back\"\n"
        )
    };
    let database = "[[service]]\nname = \"database\"\n";
    let text = text.replace(storage, &format!("{storage}{rules}"));
    let rule =
        "virtualNetworkRules = [{ name = \"r1\", virtualNetworkSubnetId = \"VNet1/subnet1\" }]\n";
    let kind = "type = \"Microsoft.DBforPostgreSQL/servers\"\n";
    let text = text.replace(database, &format!("{database}{kind}{rule}"));
    // Each section's keys come before its own table.
    let mut parts = text
        .split("[[service]]")
        .map(str::to_owned)
        .collect::<Vec<_>>();
    for part in &mut parts {
        if part.contains("\"contoso\"") {
            part.push_str(&front(443, "127.0.0.1:8443"));
        } else if part.contains("\"database\"") {
            part.push_str(&front(5432, "127.0.0.1:5432"));
        }
    }
    parts.join("[[service]]")
}

/// A fabric with a TLS server behind its storage account.
struct Scene {
    fabric: Fabric,
    ca: PathBuf,
    _server: Server,
}

impl Scene {
    fn start() -> Self {
        let mut fabric = Fabric::prepare(&file(RULES));
        let dir = fabric.dir().path().to_owned();
        let at = |name: &str| dir.join(name).to_string_lossy().into_owned();
        let (cert, key) = (at("back.pem"), at("back.key"));
        let _ = fabric
            .postern(&["ca", "issue", HOST, "--cert", &cert, "--key", &key])
            .expect_success();
        let shown = fabric.postern(&["ca"]).expect_success();
        let script = fabric.dir().write("server.py", SERVER);
        let mut command = fabric.namespace("back").command("python3");
        command.arg(script).args([cert, key, BIG.to_string()]);
        let (log, at) = (
            dir.join("server.log"),
            SocketAddr::from(([127, 0, 0, 1], 8443)),
        );
        let server = Server::start(command, log, fabric.namespace("back"), at);
        fabric.run();
        Self {
            fabric,
            ca: shown.stdout.trim().into(),
            _server: server,
        }
    }

    /// Calls the storage account as `curl` does, by its name and with the local CA.
    fn curl(&self, from: &str, path: &str, arguments: &[&str]) -> Output {
        let mut command = self.fabric.namespace(from).command("curl");
        command
            .args(["-sS", "--max-time", "60", "--resolve"])
            .arg(format!("{HOST}:443:{STORAGE}"))
            .arg("--cacert")
            .arg(&self.ca)
            .args(arguments)
            .arg(format!("https://{HOST}{path}"));
        run(&mut command)
    }

    /// The most memory that `postern` had so far, in bytes.
    fn highest_memory(&self) -> u64 {
        let pid = self.fabric.json(&["status"])["pid"].clone();
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        let mut lines = status.lines();
        let line = lines.find(|line| line.starts_with("VmHWM:")).unwrap();
        let kib = line.split_whitespace().nth(1).unwrap();
        kib.parse::<u64>().unwrap() * 1024
    }

    fn log(&self, service: &str) -> Vec<Value> {
        let log = self.fabric.json(&["service", "log", service]);
        log.as_array().expect("a list of calls").clone()
    }
}

#[test]
fn t18_a_rule_lets_its_subnet_in_and_the_others_hear_403_after_a_handshake() {
    if !privileged() {
        return;
    }
    let scene = Scene::start();
    let heard = scene.curl("vm0", "/c/b", &[]).expect_success();
    assert_eq!(heard.stdout, "hello from /c/b");
    let heard = scene.curl("vm1", "/c/b", &["-i"]).expect_success();
    let answer = heard.stdout;
    assert!(
        answer.starts_with("HTTP/1.1 403 This request is not authorized"),
        "{answer}"
    );
    assert!(
        answer.contains("x-ms-error-code: AuthorizationFailure"),
        "{answer}"
    );
    assert!(
        answer.contains("<Code>AuthorizationFailure</Code>"),
        "{answer}"
    );

    // Without the endpoint the caller has its public address, which no rule lists.
    scene
        .fabric
        .endpoint("disable", "subnet1", "Microsoft.Storage");
    let heard = scene.curl("vm0", "/", &["-I"]).expect_success();
    assert!(heard.stdout.starts_with("HTTP/1.1 403 "), "{heard}");

    let log = scene.log("contoso");
    let told = |at: usize, key: &str| log[at][key].as_str().unwrap_or("none").to_owned();
    assert_eq!(log.len(), 3, "{log:?}");
    assert_eq!(told(0, "caller"), format!("VNet1/subnet1 {VM0}"));
    assert_eq!(
        (told(0, "verdict"), told(0, "host")),
        ("Allow".into(), HOST.into())
    );
    assert!(told(0, "rawAddress").starts_with("fd40:"), "{log:?}");
    assert!(told(0, "rule").contains("contoso/"), "{log:?}");
    assert_eq!(told(1, "caller"), "VNet1/subnet2 10.0.2.4");
    assert_eq!(
        (told(1, "verdict"), told(1, "reason")),
        ("Deny".into(), "defaultAction".into())
    );
    assert_eq!(
        (told(2, "caller"), told(2, "rawAddress")),
        ("20.0.0.9".into(), "20.0.0.9".into())
    );

    let stats = scene.fabric.json(&["stats"]);
    let desk = &stats["fronts"]["resources"][0];
    assert_eq!(
        (&desk["allowed"], &desk["denied"]["networkRules"]),
        (&1.into(), &2.into())
    );
}

#[test]
fn a_new_rule_acts_on_new_connections_and_stopping_leaves_nothing() {
    if !privileged() {
        return;
    }
    let mut scene = Scene::start();
    assert!(
        scene
            .curl("vm1", "/", &[])
            .stdout
            .contains("AuthorizationFailure")
    );
    let open = RULES.replace("subnet1", "subnet2");
    let _ = scene.fabric.apply(&file(&open));
    let heard = scene.curl("vm1", "/", &[]).expect_success();
    assert_eq!(heard.stdout, "hello from /");
    assert!(
        scene
            .curl("vm0", "/", &[])
            .stdout
            .contains("AuthorizationFailure")
    );
    let service = scene.fabric.namespace("svc");
    let sockets = |namespace: &Netns| run(namespace.command("ss").args(["-ltnH"])).stdout;
    assert!(sockets(service).contains(":443 "));
    // Without its front the listener goes, and the database's stays.
    let text = file(RULES).replace("ports = [443]", "ports = [8443]");
    let _ = scene.fabric.apply(&text);
    let service = scene.fabric.namespace("svc");
    until("the listener is gone", PATIENCE, || {
        !sockets(service).contains(":443 ")
    });
    assert!(sockets(service).contains(":5432 ") && sockets(service).contains(":8443 "));
    let _ = scene.fabric.stop(rustix::process::Signal::TERM);
    let service = scene.fabric.namespace("svc");
    assert_eq!(sockets(service), "");
}

/// Returns what the listeners have counted under a name, all of them together.
fn counted(stats: &Value, name: &str) -> u64 {
    let listeners = stats["fronts"]["listeners"].as_array().expect("listeners");
    let counts = listeners.iter().map(|listener| &listener[name]);
    counts.map(|count| count.as_u64().expect("a count")).sum()
}

#[test]
fn ten_thousand_half_open_connections_leave_the_others_served() {
    const MANY: usize = 10_000;
    const SLACK: u64 = 32 * 1024 * 1024;
    if !privileged() {
        return;
    }
    open_many_files();
    let scene = Scene::start();
    let _ = scene.curl("vm0", "/warm", &[]).expect_success();
    let before = scene.highest_memory();
    // They begin to say whom they call, and never end. Those that are too many take the places of the
    // oldest of the same caller.
    let call = |_| {
        let mut stream = TcpStream::connect_timeout(&at(STORAGE, 443).into(), PATIENCE)?;
        stream.write_all(&[22, 3, 1])?;
        Ok::<_, io::Error>(stream)
    };
    let vm1 = scene.fabric.namespace("vm1");
    let calls: Vec<_> = vm1.enter(|| (0..MANY).map(call).collect());
    let is_reset = |call: &io::Result<TcpStream>| {
        let kind = call.as_ref().map_err(io::Error::kind).err();
        kind.is_none_or(|kind| {
            matches!(
                kind,
                io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe
            )
        })
    };
    assert!(calls.iter().all(is_reset), "not even a connection");
    let heard = scene.curl("vm0", "/", &[]).expect_success();
    assert_eq!(heard.stdout, "hello from /");
    let after = scene.highest_memory();
    assert!(after < before + SLACK, "{before} before, {after} after");
    until("each is counted", PATIENCE, || {
        let stats = scene.fabric.json(&["stats"]);
        let names = ["evicted", "overLimit", "timedOut", "hungUp"];
        let ended: u64 = names.iter().map(|name| counted(&stats, name)).sum();
        counted(&stats, "evicted") > 0 && ended >= MANY as u64
    });
}

#[test]
fn a_long_transfer_takes_no_more_memory_than_a_short_one() {
    if !privileged() {
        return;
    }
    const SLACK: u64 = 6 * 1024 * 1024;
    let scene = Scene::start();
    // What the packet path and the front set aside once.
    for _ in 0..4 {
        let _ = scene.curl("vm0", "/warm", &[]).expect_success();
    }
    let before = scene.highest_memory();
    let form = [
        "-o",
        "/dev/null",
        "-w",
        "%{size_download} %{speed_download}",
    ];
    let heard = scene.curl("vm0", "/big", &form).expect_success();
    let after = scene.highest_memory();
    println!(
        "{} bytes/s; highest memory {before} before, {after} after",
        heard.stdout
    );
    assert!(heard.stdout.starts_with(&format!("{BIG} ")), "{heard}");
    assert!(after < before + SLACK, "{before} before, {after} after");
}

#[test]
fn psql_gets_in_from_one_subnet_and_a_fatal_error_from_the_other() {
    if !privileged() {
        return;
    }
    let mut fabric = Fabric::prepare(&file(RULES));
    let server = SocketAddr::from(([127, 0, 0, 1], 5432));
    let _database = postgresql(fabric.namespace("back"), fabric.dir(), server);
    fabric.run();
    let psql = |from: &str, ssl: &str| {
        let target = format!(
            "host={SQL} user=postgres dbname=postgres connect_timeout=20 sslmode={ssl} \
             gssencmode=disable"
        );
        let mut command = fabric.namespace(from).command("psql");
        run(command
            .arg(target)
            .args(["-Atc", "select inet_client_addr(), 6 * 7"]))
    };
    let heard = psql("vm0", "prefer").expect_success();
    // The server sees the front, which has no PROXY header for it.
    assert_eq!(heard.stdout, "127.0.0.1|42\n");
    for ssl in ["disable", "prefer", "require"] {
        let heard = psql("vm1", ssl);
        assert_eq!(heard.code, Some(2), "{heard}");
        let text =
            "FATAL:  Client from Azure Virtual Networks is not allowed to access the server.";
        assert!(heard.stderr.contains(text), "{ssl}: {heard}");
    }
    let log = fabric.json(&["service", "log", "database"]);
    let verdict = |at: usize| log[at]["verdict"].as_str().unwrap_or_default().to_owned();
    assert_eq!(
        (verdict(0), verdict(1)),
        ("Allow".to_owned(), "Deny".to_owned()),
        "{log}"
    );
}
