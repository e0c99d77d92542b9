//! A secret is in no answer, no export, no log and no file of the state directory; and nobody keeps the
//! control socket from answering.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a case ends with the message of what did not hold"
)]

use postern_tests::{
    Arm, Azure, Fabric, OWNER, READER, SECRET, SUBSCRIPTION, azure_head, group_id, privileged,
};
use rustix::process::Signal;
use serde_json::json;
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

const MARKER: &str = "S3cret-Marker-zzz";
/// A comment is no part of what a file says.
const COMMENT: &str = "# another comment\n";

/// Returns the files below a directory that have one of these texts in them.
fn found(dir: &Path, texts: &[&str]) -> Vec<PathBuf> {
    let mut all = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            all.extend(found(&path, texts));
            continue;
        }
        let Ok(bytes) = std::fs::read(&path) else {
            continue;
        };
        let has = |text: &&str| {
            bytes
                .windows(text.len())
                .any(|part| part == text.as_bytes())
        };
        if texts.iter().any(has) {
            all.push(path);
        }
    }
    all
}

#[test]
fn a_secret_is_nowhere_but_where_it_was_told() {
    if !privileged() {
        return;
    }
    let mut fabric = Fabric::start(&azure_head());
    let azure = Azure::setup(&fabric);
    let (owner, reader) = (Arm::owner(&azure), Arm::reader(&azure));
    let group = group_id("rg");
    owner
        .put(&group, &json!({ "location": "koreacentral" }))
        .expect_success();
    let server = format!("{group}/providers/Microsoft.Sql/servers/s");
    let body = json!({ "location": "koreacentral", "properties": {
        "administratorLogin": "a", "administratorLoginPassword": MARKER } });
    let made = owner.put(&server, &body).expect_success();
    let template = json!({ "$schema": "x", "contentVersion": "1.0.0.0",
        "parameters": { "pw": { "type": "secureString" } },
        "resources": [{
            "type": "Microsoft.Network/virtualNetworks", "apiVersion": "2024-05-01", "name": "v",
            "location": "koreacentral", "tags": { "t": "[parameters('pw')]" },
            "properties": { "addressSpace": { "addressPrefixes": ["10.9.0.0/16"] } },
        }],
        "outputs": { "o": { "type": "string", "value": "[parameters('pw')]" } },
    });
    let deploy = json!({ "properties": { "mode": "Incremental", "template": template,
        "parameters": { "pw": { "value": MARKER } } } });
    let deployment = format!("{group}/providers/Microsoft.Resources/deployments/d");
    let mut told = vec![made.body.to_string()];
    told.push(
        owner
            .put(&deployment, &deploy)
            .expect_success()
            .body
            .to_string(),
    );
    let bad = json!({ "properties": { "mode": "Incremental", "parameters": { "pw": { "value": MARKER } },
        "template": { "$schema": "x", "contentVersion": "1.0.0.0",
            "parameters": { "pw": { "type": "secureString" } }, "resources": [],
            "outputs": { "o": { "type": "int", "value": "[int(parameters('pw'))]" } } } } });
    told.push(owner.put(&format!("{deployment}2"), &bad).body.to_string());
    for caller in [&owner, &reader] {
        for path in [
            &server,
            &deployment,
            &format!("{group}/resources"),
            &format!("/subscriptions/{SUBSCRIPTION}/resources"),
        ] {
            told.push(caller.get(path).expect_success().body.to_string());
        }
    }
    for arguments in [
        &["export"][..],
        &["export", "--toml"],
        &["export", "-g", "rg"],
        &["status"],
    ] {
        told.push(fabric.postern(arguments).expect_success().to_string());
    }
    // Many wrong ones lock nobody out.
    for _ in 0..12 {
        let _ = owner.log_in(OWNER, "wrong");
    }
    owner.log_in(OWNER, SECRET).expect_success();
    told.push(fabric.log());
    for text in &told {
        assert!(!text.contains(MARKER) && !text.contains(SECRET), "{text}");
    }
    let state = fabric.dir().path().join("state");
    let nothing: [PathBuf; 0] = [];
    assert_eq!(found(&state, &[MARKER, SECRET]), nothing);
    // What the store has is enough for the next start, in which a comment counts for nothing.
    let file = std::fs::read_to_string(fabric.config()).unwrap();
    assert!(fabric.stop(Signal::TERM).success());
    std::fs::write(fabric.config(), format!("{COMMENT}{file}")).unwrap();
    fabric.run();
    let again = Arm::owner(&azure).put(&server, &body).expect_success();
    assert_eq!(
        made.body["etag"], again.body["etag"],
        "the same password is no change"
    );
    // The exported file takes the digest in the place of the secret.
    let exported = fabric
        .postern(&["export", "--toml"])
        .expect_success()
        .stdout;
    assert!(exported.contains("secretDigest"), "{exported}");
    let path = fabric.dir().path().join("exported.toml");
    std::fs::write(&path, exported).unwrap();
    fabric
        .postern(&["apply", &path.to_string_lossy()])
        .expect_success();
    Arm::reader(&azure).log_in(READER, SECRET).expect_success();
    assert_eq!(found(&state, &[MARKER, SECRET]), nothing);
}

#[test]
fn a_crowd_keeps_nobody_from_the_control_socket() {
    if !privileged() {
        return;
    }
    let fabric = Fabric::start(&azure_head());
    let azure = Azure::setup(&fabric);
    let address = azure
        .url()
        .trim_start_matches("https://localhost:")
        .to_owned();
    let address: SocketAddr = format!("127.0.0.1:{address}").parse().unwrap();
    let silent: Vec<_> = (0..400)
        .map(|_| TcpStream::connect(address).unwrap())
        .collect();
    let own: Vec<_> = (0..300)
        .map(|_| UnixStream::connect(fabric.socket()).unwrap())
        .collect();
    let begun = Instant::now();
    fabric.postern(&["status"]).expect_success();
    fabric.postern(&["endpoint", "list"]).expect_success();
    assert!(begun.elapsed() < Duration::from_secs(20));
    Arm::owner(&azure)
        .get(&format!("/subscriptions/{SUBSCRIPTION}"))
        .expect_success();
    drop((silent, own));
}
