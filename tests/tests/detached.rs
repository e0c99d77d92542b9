//! Bad days of namespaces: missing, gone, made again, another one; and devices that somebody changes.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a case ends with the message of what did not hold"
)]

use postern_tests::{
    Connection, Fabric, Netns, PUBLIC_VM0, STORAGE, TcpServer, VM0, VM1, World, at, ping,
    privileged, run, until,
};
use rustix::process::Signal;
use serde_json::{Value, json};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How long anything may take. What is asked for is a second; a busy machine takes more.
const PATIENCE: Duration = Duration::from_secs(60);

/// Waits until a port is in a state that begins so; says how long it took.
#[track_caller]
fn until_port(fabric: &Fabric, port: &str, state: &str) {
    let begun = Instant::now();
    until(&format!("{port} is {state}"), PATIENCE, || {
        let now = fabric.port_state(port);
        now.is_some_and(|now| now.starts_with(state))
    });
    eprintln!("{port} is {state} after {:?}", begun.elapsed());
}

#[track_caller]
fn until_pings(from: &Netns, to: std::net::Ipv4Addr) {
    until(&format!("a ping to {to}"), PATIENCE, || ping(from, to));
}

#[test]
fn a_start_without_any_namespace_is_ready_and_ports_come_with_theirs() {
    if !privileged() {
        return;
    }
    let platform = World {
        tail: "[platform]\nnamespace = \"platform\"\n".to_owned(),
        ..World::default()
    };
    let mut fabric = Fabric::prepare(&platform.to_string());
    for namespace in fabric.namespaces() {
        namespace.remove();
    }
    fabric.run();
    let name = fabric.namespace("vm0").name().to_owned();
    let table = fabric.postern(&["status"]).expect_success().stdout;
    assert!(
        table.contains(&format!("detached: no namespace {name}")),
        "{table}"
    );
    for port in ["nic/vm0", "nic/vm1", "nic/vm2", "internet", "platform"] {
        let state = fabric.port_state(port).unwrap();
        assert!(state.starts_with("detached: no namespace "), "{state}");
    }
    assert!(fabric.log().contains("detached: no namespace"));
    // Resources can be changed while nothing is there.
    fabric.endpoint("enable", "subnet2", "Microsoft.Sql");

    for label in ["vm0", "svc", "inet"] {
        fabric.namespace_mut(label).make_again();
    }
    for port in ["nic/vm0", "internet"] {
        until_port(&fabric, port, "attached");
    }
    let service = format!("service/{}", fabric.namespace("svc").name());
    until_port(&fabric, &service, "attached");
    let _storage = TcpServer::start(fabric.namespace("svc"), at(STORAGE, 443));
    let mut connection = Connection::open(fabric.namespace("vm0"), at(STORAGE, 443)).unwrap();
    assert_eq!(*connection.source.ip(), PUBLIC_VM0);

    // Nobody hears packets to a port that waits, and they are counted.
    assert!(!ping(fabric.namespace("vm0"), VM1));
    let drops = fabric.drops();
    assert!(
        drops
            .iter()
            .any(|drop| drop.starts_with("nic/vm1 Inbound output_failed")),
        "{drops:?}"
    );
    for label in ["vm1", "vm2", "platform"] {
        fabric.namespace_mut(label).make_again();
    }
    until_port(&fabric, "nic/vm1", "attached");
    until_port(&fabric, "platform", "attached");
    until_pings(fabric.namespace("vm0"), VM1);
    connection.expect_alive();
    until("names are resolved", PATIENCE, || {
        let mut dig = fabric.namespace("vm1").command("dig");
        dig.args(["+short", "+tries=1", "+time=1", "@168.63.129.16"]);
        run(dig.arg("contoso.blob.core.windows.net"))
            .stdout
            .contains("20.60.16.5")
    });
    assert!(fabric.stop(Signal::TERM).success());
}

#[test]
fn a_namespace_that_goes_and_comes_is_noticed_and_nothing_else_is_cut() {
    if !privileged() {
        return;
    }
    let mut fabric = Fabric::start(&World::default().to_string());
    let storage = at(STORAGE, 443);
    let _storage = TcpServer::start(fabric.namespace("svc"), storage);
    let mut bystander = Connection::open(fabric.namespace("vm1"), storage).unwrap();
    let mut own = Connection::open(fabric.namespace("vm0"), storage).unwrap();
    own.expect_alive();

    fabric.namespace("vm0").remove();
    until_port(&fabric, "nic/vm0", "detached: no namespace");
    bystander.expect_alive();
    assert!(!ping(fabric.namespace("vm1"), VM0));
    fabric.namespace_mut("vm0").make_again();
    until_port(&fabric, "nic/vm0", "attached");
    until_pings(fabric.namespace("vm0"), VM1);
    let mut own = Connection::open(fabric.namespace("vm0"), storage).unwrap();
    own.expect_alive();

    // At once, as `ip netns del` and `add` in one line.
    let before = fabric.namespace("vm0").name().to_owned();
    fabric.namespace("vm0").remove();
    fabric.namespace_mut("vm0").make_again();
    assert_eq!(fabric.namespace("vm0").name(), before);
    until_pings(fabric.namespace("vm0"), VM1);
    assert!(fabric.has_device("vm0"));
    bystander.expect_alive();
    assert_eq!(fabric.port_state("nic/vm0").as_deref(), Some("attached"));

    // Two names swap what is behind them.
    let (vm0, vm2) = (name(&fabric, "vm0"), name(&fabric, "vm2"));
    let file = |name: &str| format!("/run/netns/{name}");
    let sh = |script: &str| {
        let _ = run(Command::new("sh").args(["-ec", script])).expect_success();
    };
    let (a, b) = (file(&vm0), file(&vm2));
    let held = fabric.dir().path().join("held");
    let held = held.to_string_lossy();
    sh(&format!(
        "touch {held}0 {held}1; mount --bind {a} {held}0; mount --bind {b} {held}1\n\
         umount -l {a}; umount -l {b}; mount --bind {held}1 {a}; mount --bind {held}0 {b}\n\
         umount {held}0; umount {held}1"
    ));
    let address_of = |name: &str| {
        let shown =
            run(Command::new("ip").args(["-n", name, "-o", "-4", "addr", "show", "postern0"]));
        shown.stdout
    };
    until("each name has its own NIC", PATIENCE, || {
        address_of(&vm0).contains("10.0.1.4/") && address_of(&vm2).contains("10.0.2.5/")
    });
    bystander.expect_alive();
    assert!(fabric.stop(Signal::TERM).success());
}

fn name(fabric: &Fabric, label: &str) -> String {
    fabric.namespace(label).name().to_owned()
}

#[test]
fn what_somebody_takes_off_a_device_is_put_back() {
    if !privileged() {
        return;
    }
    let fabric = Fabric::start(&World::default().to_string());
    let storage = at(STORAGE, 443);
    let _storage = TcpServer::start(fabric.namespace("svc"), storage);
    let mut bystander = Connection::open(fabric.namespace("vm1"), storage).unwrap();
    let mut own = Connection::open(fabric.namespace("vm0"), storage).unwrap();
    let vm0 = fabric.namespace("vm0");
    for (change, put_back) in [
        ("ip address flush dev postern0", "address 10.0.1.4/24"),
        ("ip route delete default", "route 0.0.0.0/0"),
        ("ip link set postern0 down", "up"),
        ("ip link set postern0 mtu 1280", "MTU 1500"),
        (
            "ip address delete 10.0.1.4/24 dev postern0",
            "address 10.0.1.4/24",
        ),
    ] {
        let begun = Instant::now();
        let said = fabric.log().matches("put back: ").count();
        vm0.sh(change);
        until(change, PATIENCE, || {
            let log = fabric.log();
            let last = log
                .rsplit("put back: ")
                .next()
                .unwrap_or_default()
                .to_owned();
            log.matches("put back: ").count() > said
                && last.lines().next().unwrap().contains(put_back)
        });
        eprintln!("{change}: after {:?}", begun.elapsed());
        until_pings(vm0, VM1);
        own.expect_alive();
        bystander.expect_alive();
        assert_eq!(fabric.port_state("nic/vm0").as_deref(), Some("attached"));
    }

    // Deleted, it is made again, and connections through it go on.
    vm0.sh("ip link delete postern0");
    until_pings(vm0, VM1);
    own.expect_alive();
    bystander.expect_alive();

    // Renamed, it is made anew.
    vm0.sh("ip link set postern0 down; ip link set postern0 name mine");
    until("there is one of the name", PATIENCE, || {
        fabric.has_device("vm0")
    });
    until_pings(vm0, VM1);
    assert!(!run(vm0.command("ip").args(["link", "show", "mine"])).success());

    // What somebody else holds cannot be put back: it is told, until he lets go.
    vm0.sh(
        "ip tuntap add other0 mode tun; ip link set other0 up; ip route replace default dev other0",
    );
    until_port(&fabric, "nic/vm0", "attached: ");
    let state = fabric.port_state("nic/vm0").unwrap();
    assert!(state.contains("cannot add route 0.0.0.0/0"), "{state}");
    vm0.sh("ip link delete other0");
    until("it is as it should be", PATIENCE, || {
        fabric.port_state("nic/vm0").as_deref() == Some("attached")
    });
    until_pings(vm0, VM1);
    bystander.expect_alive();
}

#[test]
fn a_device_name_of_somebody_else_holds_up_its_port_alone() {
    if !privileged() {
        return;
    }
    let mut fabric = Fabric::prepare(&World::default().to_string());
    fabric
        .namespace("vm0")
        .sh("ip tuntap add postern0 mode tun");
    fabric.run();
    let state = fabric.port_state("nic/vm0").unwrap();
    assert!(
        state.starts_with("detached: ") && state.contains("exists in this namespace already"),
        "{state}"
    );
    until_pings(fabric.namespace("vm1"), postern_tests::VM2);
    // It stands in nobody's way, and can be taken out.
    fabric.endpoint("enable", "subnet2", "Microsoft.Sql");
    fabric.namespace("vm0").sh("ip link delete postern0");
    until_port(&fabric, "nic/vm0", "attached");
    until_pings(fabric.namespace("vm0"), VM1);
}

/// The ID of the network interface `box`.
const BOX: &str = "/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/postern/providers/\
     Microsoft.Network/networkInterfaces/box";

/// Puts the NIC `box` in a namespace by a request.
fn put_box(fabric: &Fabric, namespace: &str) -> (u16, Value) {
    let mut control = fabric.control();
    let group = "/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/postern";
    let subnet =
        format!("{group}/providers/Microsoft.Network/virtualNetworks/VNet1/subnets/subnet1");
    let body = json!({
        "location": "koreacentral",
        "tags": { "postern-namespace": namespace },
        "properties": { "ipConfigurations": [{ "name": "ipconfig1", "properties": {
            "subnet": { "id": subnet },
            "privateIPAllocationMethod": "Static",
            "privateIPAddress": "10.0.1.77",
        }}]},
    });
    control.arm("PUT", BOX, &body).unwrap()
}

#[test]
fn what_a_device_refuses_does_not_come_back_with_a_restart() {
    if !privileged() {
        return;
    }
    let mut fabric = Fabric::start(&World::default().to_string());
    let taken = Netns::create("taken");
    taken.sh("ip tuntap add postern0 mode tun");
    let before = fabric.json(&["status"])["epoch"].clone();
    let (status, body) = put_box(&fabric, taken.name());
    assert!(status >= 400, "{status} {body}");
    assert_eq!(fabric.json(&["status"])["epoch"], before);
    fabric.stop(Signal::KILL);
    taken.remove();
    fabric.run();
    assert_eq!(fabric.port_state("nic/box"), None);
    until_pings(fabric.namespace("vm0"), VM1);
    assert!(fabric.stop(Signal::TERM).success());
}

#[test]
fn a_nic_whose_namespace_is_gone_stops_no_start_and_can_be_removed() {
    if !privileged() {
        return;
    }
    let mut fabric = Fabric::start(&World::default().to_string());
    let mut gone = Netns::create("gone");
    let (status, body) = put_box(&fabric, gone.name());
    assert!(matches!(status, 200 | 201), "{status} {body}");
    until_port(&fabric, "nic/box", "attached");
    until_pings(&gone, VM0);
    assert!(fabric.stop(Signal::TERM).success());
    gone.remove();
    fabric.run();
    until_port(&fabric, "nic/box", "detached: no namespace");
    until_pings(fabric.namespace("vm0"), VM1);

    // By a kill too.
    fabric.stop(Signal::KILL);
    fabric.run();
    until_port(&fabric, "nic/box", "detached: no namespace");
    // It can be changed, come back, and be removed while it is away.
    gone.make_again();
    until_port(&fabric, "nic/box", "attached");
    until_pings(&gone, VM0);
    gone.remove();
    until_port(&fabric, "nic/box", "detached: no namespace");
    let (status, body) = fabric.control().arm("DELETE", BOX, &Value::Null).unwrap();
    assert!(matches!(status, 200 | 202 | 204), "{status} {body}");
    assert_eq!(fabric.port_state("nic/box"), None);

    // The same from the file, whose answer tells that it waits.
    let lost = "[[networkInterface]]\nname = \"lost\"\nvirtualNetwork = \"VNet1\"\n\
         subnet = \"subnet1\"\nprivateIPAddress = \"10.0.1.78\"\nnamespace = \"/run/netns/pst-nowhere\"\n";
    let world = |tail: &str| World {
        tail: tail.to_owned(),
        ..World::default()
    };
    let told = fabric.apply(&world(lost).to_string());
    assert!(
        told.stdout
            .contains("warning: nic/lost is detached: no namespace /run/netns/pst-nowhere"),
        "{told}"
    );
    let told = fabric.apply(&world("").to_string());
    assert!(
        told.stdout.contains("remove networkInterface lost"),
        "{told}"
    );
    assert!(!told.stdout.contains("warning"), "{told}");
    assert_eq!(fabric.port_state("nic/lost"), None);
    gone.make_again();
}

/// A bind mount, as container engines make one of a container's namespace.
struct Mounted(std::path::PathBuf);

impl Mounted {
    fn put(&self, namespace: &Netns) {
        std::fs::write(&self.0, "").unwrap();
        let from = format!("/run/netns/{}", namespace.name());
        let mut mount = Command::new("mount");
        mount.arg("--bind").arg(from).arg(&self.0);
        assert!(mount.status().unwrap().success());
    }

    fn take(&self) {
        // Lazily, as engines do: who looks at it just now is in nobody's way.
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
        let _ = std::fs::remove_file(&self.0);
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        self.take();
    }
}

#[test]
fn a_container_that_restarts_under_its_path_is_attached_again() {
    if !privileged() {
        return;
    }
    let mut fabric = Fabric::start(&World::default().to_string());
    let storage = at(STORAGE, 443);
    let _storage = TcpServer::start(fabric.namespace("svc"), storage);
    let mut bystander = Connection::open(fabric.namespace("vm1"), storage).unwrap();
    let (first, second) = (Netns::create("first"), Netns::create("second"));
    let path = Mounted(fabric.dir().path().join("sandbox"));
    path.put(&first);
    let (status, body) = put_box(&fabric, &path.0.to_string_lossy());
    assert!(matches!(status, 200 | 201), "{status} {body}");
    until_pings(&first, VM0);
    path.take();
    until_port(&fabric, "nic/box", "detached: no namespace");
    let gone = run(first.command("ip").args(["link", "show", "postern0"]));
    assert!(!gone.success(), "our device keeps no namespace: {gone}");
    path.put(&second);
    until_port(&fabric, "nic/box", "attached");
    until_pings(&second, VM0);
    bystander.expect_alive();
    assert!(fabric.stop(Signal::TERM).success());
}

/// A process that sleeps in a namespace; killed on drop.
struct Sleeper(Child);

impl Sleeper {
    fn start(namespace: &Netns) -> Self {
        // One process, which `exec` turns into the sleeper.
        let path = format!("/run/netns/{}", namespace.name());
        let child = Command::new("nsenter")
            .arg(format!("--net={path}"))
            .args(["sleep", "600"])
            .stdin(Stdio::null())
            .spawn()
            .expect("start nsenter");
        let inside = std::fs::metadata(&path).unwrap();
        let own = format!("/proc/{}/ns/net", child.id());
        until("it is inside", PATIENCE, || {
            use std::os::unix::fs::MetadataExt;
            std::fs::metadata(&own).is_ok_and(|found| found.ino() == inside.ino())
        });
        Self(child)
    }

    fn pid(&self) -> u32 {
        self.0.id()
    }

    fn end(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Drop for Sleeper {
    fn drop(&mut self) {
        self.end();
    }
}

/// Starts a process that has this number; nothing where the kernel does not let us.
fn start_as(pid: u32, namespace: &Netns) -> Option<Sleeper> {
    let deadline = Instant::now() + PATIENCE;
    while Instant::now() < deadline {
        std::fs::write("/proc/sys/kernel/ns_last_pid", (pid - 1).to_string()).ok()?;
        let sleeper = Sleeper::start(namespace);
        if sleeper.pid() == pid {
            return Some(sleeper);
        }
    }
    panic!("no process got the number {pid}");
}

#[test]
fn another_process_that_has_the_number_is_not_attached() {
    if !privileged() {
        return;
    }
    let mut fabric = Fabric::start(&World::default().to_string());
    let storage = at(STORAGE, 443);
    let _storage = TcpServer::start(fabric.namespace("svc"), storage);
    let mut bystander = Connection::open(fabric.namespace("vm1"), storage).unwrap();
    let (first, second) = (Netns::create("first"), Netns::create("second"));
    let mut sleeper = Sleeper::start(&first);
    let pid = sleeper.pid();
    let with_box = World {
        tail: format!(
            "[[networkInterface]]\nname = \"box\"\nvirtualNetwork = \"VNet1\"\n\
             subnet = \"subnet1\"\nprivateIPAddress = \"10.0.1.77\"\nnamespace = \"pid:{pid}\"\n"
        ),
        ..World::default()
    };
    fabric.apply(&with_box.to_string());
    until_pings(&first, VM0);
    sleeper.end();
    until_port(&fabric, "nic/box", &format!("detached: no process {pid}"));
    bystander.expect_alive();

    let Some(mut other) = start_as(pid, &second) else {
        eprintln!("SKIP: no process can be given a number here");
        return;
    };
    let not_that = format!("detached: pid:{pid} is not what it was");
    until_port(&fabric, "nic/box", &not_that);
    let has_device = |namespace: &Netns| {
        run(namespace.command("ip").args(["link", "show", "postern0"])).success()
    };
    assert!(!has_device(&second));
    // Another change, and another start, do not make it the one that was meant.
    fabric.endpoint("enable", "subnet2", "Microsoft.Sql");
    until_port(&fabric, "nic/box", &not_that);
    std::fs::copy(fabric.dir().path().join("next.toml"), fabric.config()).unwrap();
    assert!(fabric.stop(Signal::TERM).success());
    fabric.run();
    until_port(&fabric, "nic/box", &not_that);
    fabric.stop(Signal::KILL);
    fabric.run();
    until_port(&fabric, "nic/box", &not_that);
    assert!(!has_device(&second));
    // Written again, the binding means the one that is there now.
    fabric.apply(&with_box.to_string());
    until_port(&fabric, "nic/box", "attached");
    until_pings(&second, VM0);
    other.end();
    until_port(&fabric, "nic/box", &format!("detached: no process {pid}"));
    assert!(fabric.stop(Signal::TERM).success());
}

/// A file system in memory over a directory; unmounted on drop.
struct SmallDisk(std::path::PathBuf);

impl SmallDisk {
    fn mount(path: std::path::PathBuf) -> Self {
        std::fs::create_dir_all(&path).unwrap();
        let disk = Self(path);
        disk.run(&["-t", "tmpfs", "-o", "size=4m,mode=700", "tmpfs"]);
        disk
    }

    fn run(&self, arguments: &[&str]) {
        let mut mount = Command::new("mount");
        let _ = run(mount.args(arguments).arg(&self.0)).expect_success();
    }

    /// Writes until nothing more fits.
    fn fill(&self) {
        use std::io::Write;
        let mut options = std::fs::OpenOptions::new();
        let filler = options.create(true).append(true);
        let mut filler = filler.open(self.0.join("filler")).unwrap();
        for size in [4096, 1] {
            while filler.write_all(&vec![1; size]).is_ok() {}
        }
    }

    fn empty(&self) {
        std::fs::remove_file(self.0.join("filler")).unwrap();
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        run(Command::new("umount").arg("-l").arg(&self.0));
    }
}

/// The endpoints that are on.
fn endpoints(fabric: &Fabric) -> usize {
    let listed = fabric.json(&["endpoint", "list"]);
    listed.as_array().unwrap().len()
}

fn enable(fabric: &Fabric, endpoint: &str) -> postern_tests::Output {
    fabric.postern(&["endpoint", "enable", "VNet1/subnet1", endpoint])
}

#[test]
fn a_disk_that_takes_no_writing_stops_no_start() {
    if !privileged() {
        return;
    }
    let mut fabric = Fabric::prepare(&World::default().to_string());
    let disk = SmallDisk::mount(fabric.dir().path().join("state"));
    fabric.run();
    fabric.endpoint("enable", "subnet1", "Microsoft.Sql");
    assert!(fabric.stop(Signal::TERM).success());
    disk.run(&["-o", "remount,ro"]);
    for end in [Signal::KILL, Signal::TERM] {
        fabric.run();
        assert!(fabric.log().contains("the state can be read only"));
        assert_eq!(endpoints(&fabric), 1);
        until_pings(fabric.namespace("vm0"), VM1);
        let told = enable(&fabric, "Microsoft.Storage");
        assert_eq!(told.code, Some(1), "{told}");
        assert!(told.stderr.contains("cannot be written"), "{told}");
        assert_eq!(endpoints(&fabric), 1);
        if end == Signal::KILL {
            fabric.stop(end);
        }
    }
    // It is well again, without a restart.
    disk.run(&["-o", "remount,rw"]);
    enable(&fabric, "Microsoft.Storage").expect_success();
    fabric.stop(Signal::KILL);
    fabric.run();
    assert_eq!(endpoints(&fabric), 2);
    assert!(fabric.stop(Signal::TERM).success());
}

#[test]
fn a_full_disk_stops_no_start_and_loses_nothing() {
    if !privileged() {
        return;
    }
    let mut fabric = Fabric::prepare(&World::default().to_string());
    let disk = SmallDisk::mount(fabric.dir().path().join("state"));
    fabric.run();
    let _storage = TcpServer::start(fabric.namespace("svc"), at(STORAGE, 443));
    let mut connection = Connection::open(fabric.namespace("vm0"), at(STORAGE, 443)).unwrap();
    disk.fill();
    // What room the store has of its own is used up before a change is refused.
    let mut is_on = false;
    let refused = (0..500).find_map(|_| {
        let verb = if is_on { "disable" } else { "enable" };
        let told = fabric.postern(&["endpoint", verb, "VNet1/subnet1", "Microsoft.Sql"]);
        is_on ^= told.success();
        (!told.success()).then_some(told)
    });
    if let Some(told) = refused {
        assert!(told.stderr.contains("disk"), "{told}");
        assert!(!told.stderr.contains("damaged"), "{told}");
        // One that would reset the connection if it were in force for a moment.
        let epoch = |fabric: &Fabric| fabric.json(&["status"])["epoch"].clone();
        let before = epoch(&fabric);
        for _ in 0..10 {
            connection.expect_alive();
            let told = enable(&fabric, "Microsoft.Storage");
            assert_eq!(told.code, Some(1), "{told}");
            connection.expect_alive();
        }
        assert_eq!(epoch(&fabric), before);
    }
    for end in [Signal::TERM, Signal::KILL, Signal::TERM] {
        fabric.stop(end);
        disk.fill();
        fabric.run();
        assert_eq!(endpoints(&fabric), usize::from(is_on));
        until_pings(fabric.namespace("vm0"), VM1);
    }
    disk.empty();
    enable(&fabric, "Microsoft.Storage").expect_success();
    fabric.stop(Signal::KILL);
    fabric.run();
    assert_eq!(endpoints(&fabric), usize::from(is_on) + 1);
    assert!(fabric.stop(Signal::TERM).success());
}
