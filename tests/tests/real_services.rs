//! Services that are real servers, called by their real clients: what an application meets whose
//! subnet is let in, and what the others hear.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a case ends with the message of what did not hold"
)]

use postern_tests::{
    Certificate, Fabric, INTERNET, Output, SQL, STORAGE, Server, VM0, World, at, azurite, nginx,
    postgresql, privileged, python_client, run, until,
};
use serde_json::{Value, json};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::Command;
use std::thread;
use std::time::Duration;

const SERVICE: &str = "Microsoft.Storage";
const CONTOSO: &str = "contoso.blob.core.windows.net";
const FABRIKAM: &str = "fabrikam.blob.core.windows.net";
/// Where every subnet finds the resolver.
const RESOLVER: Ipv4Addr = Ipv4Addr::new(168, 63, 129, 16);
/// A host on the Internet that no rule lists.
const STRANGER: Ipv4Addr = Ipv4Addr::new(93, 184, 216, 35);
const PATIENCE: Duration = Duration::from_secs(60);

/// Only subnet1, and whoever shows the address of the host on the Internet.
const RULES: &str = r#"networkAcls = { defaultAction = "Deny", virtualNetworkRules = [{ id = "VNet1/subnet1" }], ipRules = [{ value = "93.184.216.34" }] }"#;

/// What the front of a storage account is; both accounts have one Azurite behind them.
const FRONT: &str =
    "[service.front]\nports = [443]\nconnect = \"127.0.0.1:10000\"\nnamespace = \"store\"\n";

/// Puts lines of its own, and tables behind its own keys, to a service of the world.
fn with_service(file: &str, name: &str, lines: &str, tables: &str) -> String {
    let mark = format!("[[service]]\nname = \"{name}\"\n");
    let (before, own) = file
        .split_once(&mark)
        .expect("the world has such a service");
    let (own, after) = own.split_at(own.find("[[service]]").unwrap_or(own.len()));
    format!("{before}{mark}{lines}\n{own}\n{tables}\n{after}")
}

/// Two accounts at one address with fronts; both subnets have the endpoint. `head` is put before
/// the networks, `subnet2` are more keys of subnet2.
fn storage(head: &str, subnet2: &str) -> String {
    let world = World {
        endpoints1: vec![SERVICE],
        endpoints2: vec![SERVICE],
        head: head.to_owned(),
        ..World::default()
    };
    let prefix = "addressPrefix = \"10.0.2.0/24\"\n";
    let file = world
        .to_string()
        .replace(prefix, &format!("{prefix}{subnet2}\n"));
    let file = with_service(&file, "contoso", RULES, FRONT);
    format!(
        "{file}\n[[service]]\nname = \"fabrikam\"\nservice = \"{SERVICE}\"\n\
         address = \"{STORAGE}\"\nnamespace = \"svc\"\n{FRONT}"
    )
}

/// A fabric with Azurite behind its storage accounts.
struct Store {
    fabric: Fabric,
    ca: PathBuf,
    _azurite: Server,
}

impl Store {
    fn start(file: &str) -> Self {
        let mut fabric = Fabric::prepare(file);
        let at = |name: &str| fabric.dir().path().join(name);
        let certificate = Certificate {
            chain: at("store.pem"),
            key: at("store.key"),
        };
        // One certificate for both accounts.
        let (chain, key) = (&certificate.chain, &certificate.key);
        fabric
            .postern(&[
                "ca",
                "issue",
                "*.blob.core.windows.net",
                "--cert",
                &chain.to_string_lossy(),
                "--key",
                &key.to_string_lossy(),
            ])
            .expect_success();
        let ca = fabric.postern(&["ca"]).expect_success();
        let server = azurite(
            fabric.namespace("store"),
            fabric.dir(),
            &["contoso", "fabrikam"],
            &certificate,
        );
        fabric.run();
        for nic in ["vm0", "vm1"] {
            fabric.namespace(nic).resolve_by(RESOLVER);
        }
        let hosts = format!("{STORAGE} {CONTOSO} {FABRIKAM}\n");
        fabric.namespace("inet").knows_hosts(&hosts);
        Self {
            fabric,
            ca: ca.stdout.trim().into(),
            _azurite: server,
        }
    }

    /// Uploads, lists and downloads by the SDK; returns what it said.
    fn use_blobs(&self, from: &str, host: &str, mebibytes: u32) -> Value {
        let mut client = python_client(self.fabric.namespace(from), "blob.py");
        client.arg(host).arg(&self.ca).arg(mebibytes.to_string());
        let output = run(&mut client).expect_success();
        serde_json::from_str(&output.stdout).unwrap_or_else(|_| panic!("{output}"))
    }

    #[track_caller]
    fn expect_served(&self, from: &str, host: &str, mebibytes: u32) {
        let said = self.use_blobs(from, host, mebibytes);
        assert_eq!(said["bytes"], json!(u64::from(mebibytes) << 20), "{said}");
        assert_eq!(said["sent"], said["received"], "{said}");
        let names = said["names"].as_array().expect("a list of names");
        assert!(names.contains(&said["own"]), "{said}");
    }

    #[track_caller]
    fn expect_refused(&self, from: &str, host: &str) {
        let said = self.use_blobs(from, host, 1);
        assert_eq!(
            (&said["status"], &said["code"]),
            (&json!(403), &json!("AuthorizationFailure")),
            "{said}"
        );
    }

    /// What the last call of a service's log says under a key.
    fn last(&self, service: &str, key: &str) -> Value {
        let log = self.fabric.json(&["service", "log", service]);
        let last = log.as_array().and_then(|calls| calls.last());
        last.unwrap_or_else(|| panic!("no calls of {service}"))[key].clone()
    }
}

#[test]
fn the_sdk_stores_from_the_allowed_subnet_and_its_sibling_hears_the_services_own_refusal() {
    if !privileged() {
        return;
    }
    let store = Store::start(&storage("", ""));
    store.expect_served("vm0", CONTOSO, 64);
    let caller = format!("VNet1/subnet1 {VM0}");
    assert_eq!(store.last("contoso", "caller"), json!(caller));
    store.expect_refused("vm1", CONTOSO);
    assert_eq!(store.last("contoso", "verdict"), json!("Deny"));
    // The other account at the same address has no rules.
    store.expect_served("vm1", FABRIKAM, 1);
}

#[test]
fn a_front_that_ends_tls_keeps_accounts_of_one_server_apart() {
    if !privileged() {
        return;
    }
    let ends = format!("{FRONT}tls = \"terminate\"\nconnectTls = true\n");
    let store = Store::start(&storage("", "").replace(FRONT, &ends));
    store.expect_served("vm0", CONTOSO, 16);
    store.expect_refused("vm1", CONTOSO);
    store.expect_served("vm1", FABRIKAM, 1);
    // The server name of the account that is open, and the host of the one that is not.
    for version in ["--http1.1", "--http2"] {
        let mut curl = store.fabric.namespace("vm1").command("curl");
        curl.args(["-sS", "--max-time", "60", version, "--cacert"]);
        curl.arg(&store.ca);
        curl.args(["-o", "/dev/null", "-w", "%{http_code} %{http_version}"]);
        curl.args(["-H", &format!("Host: {CONTOSO}")]);
        let heard = run(curl.arg(format!("https://{FABRIKAM}/letters"))).expect_success();
        let spoken = if version == "--http2" { "2" } else { "1.1" };
        assert_eq!(heard.stdout, format!("421 {spoken}"), "{heard}");
    }
}

#[test]
fn an_ip_rule_lets_a_host_in_by_its_public_address_alone() {
    if !privileged() {
        return;
    }
    let store = Store::start(&storage("", ""));
    let inet = store.fabric.namespace("inet");
    store.expect_served("inet", CONTOSO, 4);
    let caller = INTERNET.to_string();
    assert_eq!(store.last("contoso", "caller"), json!(caller));
    // The same host behind another address is a stranger.
    inet.sh(&format!(
        "ip address add {STRANGER}/32 dev lo\n\
         ip route replace {STORAGE}/32 dev postern0 src {STRANGER}"
    ));
    store.expect_refused("inet", CONTOSO);
    let caller = STRANGER.to_string();
    assert_eq!(store.last("contoso", "caller"), json!(caller));
}

#[test]
fn switching_the_endpoint_under_load_cuts_the_transfer_and_changes_who_is_let_in() {
    if !privileged() {
        return;
    }
    let store = Store::start(&storage("", ""));
    store.expect_served("vm0", CONTOSO, 1);
    thread::scope(|scope| {
        let transfer = scope.spawn(|| store.use_blobs("vm0", CONTOSO, 512));
        until("the transfer is on its way", PATIENCE, || {
            let flows = store.fabric.json(&["flows"]).to_string();
            flows.contains("established") && flows.contains("ServiceEndpoint")
        });
        store.fabric.endpoint("disable", "subnet1", SERVICE);
        // The connection that carried it is reset; the next one shows the public address.
        let said = transfer.join().expect("the client ends");
        assert!(said["error"].is_string(), "{said}");
    });
    store.expect_refused("vm0", CONTOSO);
    store.fabric.endpoint("enable", "subnet1", SERVICE);
    store.expect_served("vm0", CONTOSO, 4);
}

#[test]
fn an_endpoint_policy_that_names_another_account_refuses_this_one() {
    if !privileged() {
        return;
    }
    let policy = r#"
[[serviceEndpointPolicy]]
name = "only-fabrikam"
[[serviceEndpointPolicy.definition]]
name = "accounts"
service = "Microsoft.Storage"
serviceResources = ["/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/postern/providers/Microsoft.Storage/storageAccounts/fabrikam"]
"#;
    let file = storage(policy, "serviceEndpointPolicies = [\"only-fabrikam\"]");
    // The account itself lets everyone in: it is the policy that refuses.
    let store = Store::start(&file.replace(RULES, ""));
    store.expect_served("vm1", FABRIKAM, 1);
    store.expect_refused("vm1", CONTOSO);
    let reason = store.last("contoso", "reason").to_string();
    assert!(reason.to_lowercase().contains("polic"), "{reason}");
    store.expect_served("vm0", CONTOSO, 1);
}

/// Asks PostgreSQL at the database's address whom it sees.
fn ask_database(fabric: &Fabric, from: &str) -> Output {
    let mut psql = fabric.namespace(from).command("psql");
    let database = format!("host={SQL} port=5432 user=postgres dbname=postgres connect_timeout=10");
    psql.args(["--no-psqlrc", "-A", "-t", "-c"]);
    run(psql.args(["select inet_client_addr()", &database]))
}

#[test]
fn postgresql_sees_the_private_address_of_the_allowed_subnet() {
    if !privileged() {
        return;
    }
    let world = World {
        endpoints1: vec!["Microsoft.Sql"],
        endpoints2: vec!["Microsoft.Sql"],
        ..World::default()
    };
    let lines = "type = \"Microsoft.DBforPostgreSQL/servers\"\nvirtualNetworkRules = [{ name = \
                 \"r1\", virtualNetworkSubnetId = \"VNet1/subnet1\" }]";
    let file = with_service(&world.to_string(), "database", lines, "");
    let fabric = Fabric::start(&file);
    let server = SocketAddr::V4(at(SQL, 5432));
    let _database = postgresql(fabric.namespace("svc"), fabric.dir(), server);
    let heard = ask_database(&fabric, "vm0").expect_success();
    assert_eq!(heard.stdout.trim(), VM0.to_string());
    // Nothing stands before it that could speak: the connection is refused.
    let heard = ask_database(&fabric, "vm1");
    assert!(heard.stderr.contains("Connection refused"), "{heard}");
}

/// Returns whether an nginx can log TLVs of the PROXY header, as it can since 1.23.2.
fn knows_tlvs(version: &str) -> bool {
    let number = version.trim().rsplit('/').next().unwrap_or_default();
    let mut parts = number.split('.').map_while(|part| part.parse::<u32>().ok());
    let version = [(); 3].map(|()| parts.next().unwrap_or(0));
    version >= [1, 23, 2]
}

#[test]
fn nginx_learns_the_callers_address_and_identity_from_the_proxy_header() {
    if !privileged() {
        return;
    }
    let world = World {
        endpoints1: vec![SERVICE],
        ..World::default()
    };
    let front = "[service.front]\nports = [80]\nconnect = \"127.0.0.1:8080\"\nnamespace = \
                 \"store\"\nprotocol = \"http\"\nproxyProtocol = true\n";
    let front = front.replace("\nnamespace = store", "\nnamespace = \"store\"");
    let fabric = Fabric::start(&with_service(&world.to_string(), "contoso", "", &front));
    let version = run(Command::new("nginx").arg("-v")).stderr;
    let knows_tlvs = knows_tlvs(&version);
    let identity = if knows_tlvs {
        " $proxy_protocol_tlv_0xe5"
    } else {
        ""
    };
    let log = fabric.dir().path().join("access.log");
    let http = format!(
        "log_format seen '$proxy_protocol_addr:$proxy_protocol_port \
         $proxy_protocol_server_addr{identity}';\naccess_log {} seen;\nserver {{ listen \
         127.0.0.1:8080 proxy_protocol; location / {{ return 200 \"hello\"; }} }}",
        log.display()
    );
    let listens = SocketAddr::from(([127, 0, 0, 1], 8080));
    let _nginx = nginx(fabric.namespace("store"), fabric.dir(), &http, listens);
    let mut curl = fabric.namespace("vm0").command("curl");
    curl.args(["-sS", "--max-time", "20", "--local-port", "45678"]);
    curl.args(["--resolve", &format!("{CONTOSO}:80:{STORAGE}")]);
    let heard = run(curl.arg(format!("http://{CONTOSO}/"))).expect_success();
    assert_eq!(heard.stdout, "hello");
    let seen = || std::fs::read_to_string(&log).unwrap_or_default();
    until("nginx logs the request", PATIENCE, || {
        seen().contains("45678")
    });
    let expected = format!("{VM0}:45678 {STORAGE}");
    assert!(seen().contains(&expected), "{}", seen());
    if knows_tlvs {
        // Subtype, VNet 1, subnet 1, region 26, flags, zero; nginx escapes bytes for its log.
        let identity = r"\x01\x00\x00\x00\x01\x00\x01\x00\x1A\x00\x00\x00\x00";
        assert!(seen().contains(identity), "{}", seen());
    } else {
        eprintln!("\n{version}: older than 1.23.2, it cannot log the identity TLV");
    }
}
