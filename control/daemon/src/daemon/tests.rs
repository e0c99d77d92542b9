//! Changes over a disk that fails, and readers beside one that is under way.

use super::change::switch;
use super::endpoint::Switch;
use super::*;
use crate::fabric::Fronts;
use crate::protocol::Fault;
use crate::store::Disk;
use postern_arm::token::TokenKey;
use postern_network::config;
use serde_json::Value;
use std::path::Path;
use std::sync::mpsc::channel;
use std::time::Duration;

const NETWORK: &str = r#"
location = "koreacentral"
[[virtualNetwork]]
name = "VNet1"
addressPrefixes = ["10.0.0.0/16"]
[[virtualNetwork.subnet]]
name = "subnet1"
addressPrefix = "10.0.1.0/24"
[[networkInterface]]
name = "vm0"
virtualNetwork = "VNet1"
subnet = "subnet1"
privateIPAddress = "10.0.1.4"
namespace = "postern-none-such"
"#;

/// How long a test waits for what must come.
const PATIENCE: Duration = Duration::from_secs(30);

/// Returns a daemon without sockets, in whose state `disk` is.
fn daemon(disk: &Disk) -> Daemon {
    let path = Path::new("test.toml");
    let catalog = Catalog::bundled().unwrap();
    let parsed = config::parse_text(path, NETWORK).unwrap();
    let model = config::check(path, &parsed, &catalog).unwrap();
    let file = ConfigFile {
        path: path.to_owned(),
        table: parsed.table,
        model,
    };
    let (store, saved) = disk.open().unwrap();
    let fronts = Fronts::new(std::env::temp_dir());
    start(store, saved, file, key(), catalog, fronts, 1).unwrap()
}

fn key() -> TokenKey {
    TokenKey::new(&[7; TokenKey::LENGTH])
}

/// Switches the endpoint of the subnet on.
fn enable(daemon: &Daemon, service: &str) -> Result<Value, Fault> {
    let switched = Switch {
        vnet: "VNet1".to_owned(),
        subnet: "subnet1".to_owned(),
        services: vec![service.to_owned()],
        on: true,
    };
    switch(daemon, &switched)
}

/// Returns the epoch in force, and how many endpoints are on in it.
fn in_force(daemon: &Daemon) -> (u32, usize) {
    daemon.with(|fabric| (fabric.epoch().0, fabric.endpoints().len()))
}

#[test]
fn what_the_disk_refuses_is_in_force_at_no_time() {
    let disk = Disk::default();
    let daemon = daemon(&disk);
    assert_eq!(in_force(&daemon), (1, 0));
    disk.fail_after(Some(0));
    for _ in 0..3 {
        let fault = enable(&daemon, "Microsoft.Sql").unwrap_err();
        assert!(fault.message.contains("disk"), "{}", fault.message);
        // A policy that had been in force and gone again would have taken two numbers.
        assert_eq!(in_force(&daemon), (1, 0));
        disk.fail_after(Some(0));
    }
    disk.fail_after(None);
    // After a failure the file may have to be opened anew, which the next change does.
    let _ = enable(&daemon, "Microsoft.Sql");
    enable(&daemon, "Microsoft.Sql").unwrap();
    assert_eq!(in_force(&daemon), (2, 1));
    daemon.live.stop();
}

#[test]
fn readers_go_on_while_a_change_is_compiled() {
    let daemon = daemon(&Disk::default());
    let ((there, is_there), (go, may_go)) = (channel(), channel());
    daemon.live.hold.set(there, may_go);
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| enable(&daemon, "Microsoft.Sql"));
        is_there.recv_timeout(PATIENCE).unwrap();
        let (read, is_read) = channel();
        let daemon = &daemon;
        scope.spawn(move || {
            let status = daemon.with(|fabric| fabric.status().unwrap());
            daemon.with(|fabric| fabric.stats().unwrap());
            daemon.with(|fabric| fabric.flows(10, None).unwrap());
            read.send(status.epoch).unwrap();
        });
        let read = is_read.recv_timeout(PATIENCE);
        // Whatever came of it, so that the test ends.
        go.send(()).unwrap();
        assert_eq!(read, Ok(1), "a reader waits for a change that is compiled");
        writer.join().unwrap().unwrap();
    });
    assert_eq!(in_force(&daemon), (2, 1));
    daemon.live.stop();
}
