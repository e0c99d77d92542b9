//! Refused clients of every kind, real ones with their defaults: each hears the refusal in the
//! service's words, whatever it is sending and however it begins.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a case ends with the message of what did not hold"
)]

use postern_tests::{Fabric, Output, World, az_command, privileged, python_client, run};
use serde_json::Value;
use std::fmt::Write as _;
use std::io::Write as _;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::process::Command;

/// Where every subnet finds the resolver.
const RESOLVER: Ipv4Addr = Ipv4Addr::new(168, 63, 129, 16);

const BLOB: &str = "letters.blob.core.windows.net";
const EVENTS: &str = "events.servicebus.windows.net";
const QUEUES: &str = "queues.servicebus.windows.net";
const SQL: &str = "orders.database.windows.net";
const MYSQL: &str = "stock.mysql.database.azure.com";
const WEB: &str = "shop.azurewebsites.net";

/// The services: their names, types, ports and rules, none of which lets in subnet2.
const SERVICES: [(&str, &str, &str, &str, &str); 6] = [
    (
        "letters",
        "Microsoft.Storage",
        "Microsoft.Storage/storageAccounts",
        "80, 443",
        r#"networkAcls = { defaultAction = "Deny", virtualNetworkRules = [{ id = "VNet1/subnet1" }] }"#,
    ),
    (
        "events",
        "Microsoft.EventHub",
        "Microsoft.EventHub/namespaces",
        "443, 5671, 9093",
        r#"networkRuleSets = { defaultAction = "Deny", virtualNetworkRules = [{ subnet = { id = "VNet1/subnet1" } }] }"#,
    ),
    (
        "queues",
        "Microsoft.ServiceBus",
        "Microsoft.ServiceBus/namespaces",
        "443, 5671",
        r#"networkRuleSets = { defaultAction = "Deny", virtualNetworkRules = [{ subnet = { id = "VNet1/subnet1" } }] }"#,
    ),
    (
        "orders",
        "Microsoft.Sql",
        "Microsoft.Sql/servers",
        "1433",
        r#"virtualNetworkRules = [{ name = "r", virtualNetworkSubnetId = "VNet1/subnet1" }]"#,
    ),
    (
        "stock",
        "Microsoft.Sql",
        "Microsoft.DBforMySQL/servers",
        "3306",
        r#"virtualNetworkRules = [{ name = "r", virtualNetworkSubnetId = "VNet1/subnet1" }]"#,
    ),
    (
        "shop",
        "Microsoft.Web",
        "Microsoft.Web/sites",
        "443",
        r#"ipSecurityRestrictions = [{ name = "all", priority = 1, action = "Deny", ipAddress = "0.0.0.0/0" }]"#,
    ),
];

struct Scene {
    fabric: Fabric,
    ca: PathBuf,
}

impl Scene {
    fn start() -> Self {
        let mut endpoints: Vec<_> = SERVICES.iter().map(|(_, service, ..)| *service).collect();
        endpoints.dedup();
        let mut tail = String::new();
        for (name, service, kind, ports, rules) in SERVICES {
            write!(
                tail,
                "\n[[service]]\nname = \"{name}\"\nservice = \"{service}\"\ntype = \"{kind}\"\n\
                 namespace = \"svc\"\n{rules}\n[service.front]\nports = [{ports}]\n\
                 connect = \"127.0.0.1:9\"\n"
            )
            .unwrap();
        }
        let world = World {
            endpoints1: endpoints.clone(),
            endpoints2: endpoints,
            tail,
            ..World::default()
        };
        let fabric = Fabric::start(&world.to_string());
        fabric.namespace("vm1").resolve_by(RESOLVER);
        let ca = fabric.postern(&["ca"]).expect_success();
        let ca = ca.stdout.trim().into();
        Self { fabric, ca }
    }

    /// Returns what a client of `refused.py` reports; none where it cannot run.
    fn heard(&self, kind: &str, host: &str) -> Option<String> {
        let mut client = python_client(self.fabric.namespace("vm1"), "refused.py");
        let said = run(client.args([kind, host]).arg(&self.ca)).expect_success();
        let said: Value = serde_json::from_str(&said.stdout).unwrap_or_else(|_| panic!("{said}"));
        if let Some(missing) = said["missing"].as_str() {
            assert!(std::env::var("CI").as_deref() != Ok("true"), "{missing}");
            let _ = writeln!(std::io::stderr(), "\nSKIP {kind}: {missing}");
            return None;
        }
        Some(said["heard"].as_str().unwrap_or_default().to_owned())
    }

    #[track_caller]
    fn expect(&self, kind: &str, host: &str, words: &str) {
        if let Some(heard) = self.heard(kind, host) {
            assert!(heard.contains(words), "{kind}: {heard}");
        }
    }

    /// Calls with a program of the system that trusts the CA by an argument.
    fn program(&self, program: &str, arguments: &[&str]) -> Output {
        let mut command: Command = self.fabric.namespace("vm1").command(program);
        let ca = self.ca.to_string_lossy();
        let arguments = arguments.iter().map(|argument| argument.replace("CA", &ca));
        run(command.args(arguments))
    }
}

#[test]
fn uploads_hear_the_403_whatever_their_size_and_however_slow() {
    if !privileged() {
        return;
    }
    let scene = Scene::start();
    scene.expect("blob_upload", BLOB, "AuthorizationFailure");
    scene.expect("blob_trickle", BLOB, "<Code>AuthorizationFailure</Code>");
    let big = scene.fabric.dir().write("big", vec![7; 30_000_000]);
    let big = big.to_string_lossy();
    let url = format!("https://{BLOB}/letters/letter");
    // With the word to go on and without.
    for field in ["Expect: 100-continue", "Expect:"] {
        let heard = scene.program(
            "curl",
            &["-sS", "--cacert", "CA", "-H", field, "-T", &big, &url],
        );
        assert!(heard.stdout.contains("AuthorizationFailure"), "{heard}");
    }
    let mut az = az_command(scene.fabric.namespace("vm1"), &scene.fabric);
    let connection = format!(
        "BlobEndpoint=https://{BLOB};AccountName=letters;AccountKey=cG9zdGVybi1lbmQtdG8tZW5kLXRlc3Q="
    );
    az.env("REQUESTS_CA_BUNDLE", &scene.ca);
    az.args([
        "storage", "blob", "upload", "-c", "letters", "-n", "letter", "-f", &big,
    ]);
    let heard = run(az.args(["--connection-string", &connection]));
    assert!(!heard.success(), "{heard}");
    let words = "request may be blocked by network rules of storage account";
    assert!(heard.stderr.contains(words), "{heard}");
    let log = scene.fabric.json(&["stats"])["fronts"]["resources"].to_string();
    assert!(log.contains("\"unheard\":0"), "{log}");
}

#[test]
fn sql_drivers_hear_40914_with_whatever_encryption() {
    if !privileged() {
        return;
    }
    let scene = Scene::start();
    // The driver leaves the number out of its text, and tells the sentence.
    let words = "Cannot open server 'orders' requested by the login. Client is not allowed to access \
                 the server.";
    for encrypt in [
        "yes",
        "yes;TrustServerCertificate=yes",
        "no",
        "optional",
        "strict",
    ] {
        scene.expect(&format!("sql:{encrypt}"), SQL, words);
    }
    let words = "Client from Azure Virtual Networks is not allowed to access the server.";
    scene.expect("mysql", MYSQL, words);
}

#[test]
fn clients_of_messages_hear_why_in_each_of_their_protocols() {
    if !privileged() {
        return;
    }
    let scene = Scene::start();
    let words = "Ip has been prevented to connect to the endpoint.";
    for kind in ["events:Amqp", "kafka"] {
        scene.expect(kind, EVENTS, words);
    }
    scene.expect("queue:Amqp", QUEUES, words);
    // Over WebSocket it is the status that is told.
    for (kind, host) in [
        ("events:AmqpOverWebsocket", EVENTS),
        ("queue:AmqpOverWebsocket", QUEUES),
    ] {
        scene.expect(kind, host, "403");
    }
}

#[test]
fn clients_of_http2_and_of_old_protocols_hear_the_403() {
    if !privileged() {
        return;
    }
    let scene = Scene::start();
    let heard = scene.heard("http2", WEB).expect("httpx is there");
    assert_eq!(
        heard.matches("HTTP/2 403 <!DOCTYPE html>").count(),
        2,
        "{heard}"
    );
    for option in ["--http1.0", "--http1.1", "--http2"] {
        let url = format!("https://{WEB}/");
        let heard = scene.program("curl", &["-sSi", option, "--cacert", "CA", &url]);
        assert!(heard.stdout.contains(" 403 Ip Forbidden\r\n"), "{heard}");
    }
    let url = format!("http://{BLOB}/");
    for option in ["--http2-prior-knowledge", "--http2"] {
        let heard = scene.program("curl", &["-sSi", option, &url]);
        assert!(heard.stdout.contains("AuthorizationFailure"), "{heard}");
    }
    let tls = format!(
        "echo Q | openssl s_client -connect {WEB}:443 -servername {WEB} -alpn acme-tls/1 2>&1"
    );
    let heard = scene.program("sh", &["-c", &tls]);
    assert!(heard.stdout.contains("no application protocol"), "{heard}");
}
