//! Starting, stopping, being killed; and a container as a workload.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a case ends with the message of what did not hold"
)]

use postern_tests::{
    Connection, End, Fabric, INTERNET, Output, PUBLIC_DEFAULT, PUBLIC_VM0, STORAGE, TcpServer,
    TempDir, VM0, World, at, privileged, run, until,
};
use rustix::process::Signal;
use serde_json::json;
use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

fn inventories(fabric: &Fabric) -> Vec<String> {
    fabric
        .namespaces()
        .map(postern_tests::Netns::inventory)
        .collect()
}

/// Checks that the fabric's main job works: a NIC, a public source, a service.
#[track_caller]
fn expect_working(fabric: &Fabric) {
    let _storage = TcpServer::start(fabric.namespace("svc"), at(STORAGE, 443));
    let mut connection =
        Connection::open(fabric.namespace("vm0"), at(STORAGE, 443)).expect("connect");
    assert_eq!(*connection.source.ip(), PUBLIC_VM0);
    connection.expect_alive();
}

#[test]
fn a_signal_removes_every_device_address_and_route() {
    if !privileged() {
        return;
    }
    let ending = [
        Signal::TERM,
        Signal::INT,
        Signal::QUIT,
        Signal::ABORT,
        Signal::XCPU,
        Signal::POWER,
    ];
    for signal in ending {
        let mut fabric = Fabric::prepare(&World::default().to_string());
        let before = inventories(&fabric);
        fabric.run();
        expect_working(&fabric);
        assert!(
            inventories(&fabric)
                .iter()
                .zip(&before)
                .all(|(now, then)| now != then)
        );

        let ended = fabric.stop(signal);
        assert!(ended.success(), "{signal:?}: {ended}");
        assert_eq!(inventories(&fabric), before);
        assert_eq!(files_of(&fabric), ["postern.toml", "state"], "keys stay");
    }
}

#[test]
fn keys_of_subnets_outlive_a_restart_but_not_the_subnet() {
    if !privileged() {
        return;
    }
    let both = World::default().to_string();
    let second = both.find("[[virtualNetwork.subnet]]\nname = \"subnet2\"");
    let (start, end) = (second.unwrap(), both.find("[[networkInterface]]").unwrap());
    let one = both.replace(&both[start..end], "");
    let nics = one.find("[[networkInterface]]\nname = \"vm1\"").unwrap();
    let services = one.find("[[service]]").unwrap();
    let one = one.replace(&one[nics..services], "");
    let keys = |fabric: &Fabric| -> Vec<(String, u64)> {
        let status = fabric.json(&["status"]);
        let subnets = status["subnets"].as_array().unwrap();
        let key = |subnet: &serde_json::Value| {
            let name = subnet["subnet"].as_str().unwrap().to_owned();
            (name, subnet["subnetKey"].as_u64().unwrap())
        };
        subnets.iter().map(key).collect()
    };
    let named = |numbers: &[u64]| -> Vec<(String, u64)> {
        let names = ["subnet1", "subnet2"].map(str::to_owned);
        names.into_iter().zip(numbers.iter().copied()).collect()
    };
    let mut fabric = Fabric::start(&both);
    assert_eq!(keys(&fabric), named(&[1, 2]));
    assert!(fabric.stop(Signal::TERM).success());
    fabric.run();
    assert_eq!(keys(&fabric), named(&[1, 2]));
    fabric.apply(&one);
    assert!(fabric.stop(Signal::TERM).success());
    fabric.run();
    assert_eq!(
        keys(&fabric),
        named(&[1, 3]),
        "it came back, as another one"
    );
}

#[test]
fn down_removes_every_device_address_and_route() {
    if !privileged() {
        return;
    }
    let mut fabric = Fabric::prepare(&World::default().to_string());
    let before = inventories(&fabric);
    fabric.run();
    expect_working(&fabric);
    fabric.postern(&["down"]).expect_success();
    assert_eq!(
        inventories(&fabric),
        before,
        "when `down` returns, it is done"
    );
    assert!(fabric.wait_exit().success());
    assert_eq!(files_of(&fabric), ["postern.toml", "state"], "keys stay");
    let again = fabric.postern(&["down"]);
    assert_eq!(again.code, Some(1), "{again}");
}

/// The files left in the fabric's directory.
fn files_of(fabric: &Fabric) -> Vec<String> {
    let mut names: Vec<_> = std::fs::read_dir(fabric.dir().path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

#[test]
fn ten_thousand_idle_flows_take_no_processor() {
    const FLOWS: u16 = 10_000;
    const TIME: Duration = Duration::from_secs(10);
    if !privileged() {
        return;
    }
    thread::scope(|scope| {
        for workers in ["1", "4"] {
            scope.spawn(move || {
                let mut fabric = Fabric::prepare(&World::default().to_string());
                fabric.run_with(&["--workers", workers]);
                fabric.run();
                let client = fabric.namespace("vm1");
                let socket = client.enter(|| UdpSocket::bind("0.0.0.0:0")).unwrap();
                let flows = || fabric.json(&["status"])["flows"].as_u64().unwrap();
                // A queue may be full on a busy machine, and what a closed port answers is heard
                // by the next call: what did not pass is sent again.
                until("10,000 flows", Duration::from_secs(20), || {
                    for port in 20_000..20_000 + FLOWS {
                        let _ = socket.send_to(b"x", at(INTERNET, port));
                    }
                    flows() >= u64::from(FLOWS)
                });
                // What the namespaces have to say of themselves is over by then.
                thread::sleep(Duration::from_secs(1));
                let before = fabric.processor_time();
                thread::sleep(TIME);
                let used = fabric.processor_time() - before;
                println!("{workers} workers: {used:?} in {TIME:?}");
                assert!(used < TIME / 200, "{workers} workers: {used:?} in {TIME:?}");
                assert!(flows() >= u64::from(FLOWS), "they are still there");
            });
        }
    });
}

#[test]
fn run_works_after_a_kill() {
    if !privileged() {
        return;
    }
    let mut fabric = Fabric::prepare(&World::default().to_string());
    let before = inventories(&fabric);
    for _ in 0..3 {
        fabric.run();
        expect_working(&fabric);
        let ended = fabric.stop(Signal::KILL);
        assert!(!ended.success(), "{ended}");
    }
    fabric.run();
    expect_working(&fabric);
    assert!(fabric.stop(Signal::TERM).success());
    assert_eq!(inventories(&fabric), before);
}

#[test]
fn several_workers_do_the_work_of_one_and_leave_nothing() {
    if !privileged() {
        return;
    }
    let mut fabric = Fabric::prepare(&World::default().to_string());
    let before = inventories(&fabric);
    fabric.run_with(&["--workers", "4"]);
    fabric.run();
    let workers = |fabric: &Fabric| {
        let status = fabric.json(&["status"]);
        let workers = status["workers"].as_array().unwrap().iter();
        let counts = workers.map(|worker| worker["handedOver"].as_u64().unwrap());
        counts.collect::<Vec<_>>()
    };
    let untouched = workers(&fabric);
    assert_eq!(untouched.len(), 4);
    expect_working(&fabric);
    let server = TcpServer::start(fabric.namespace("inet"), at(INTERNET, 443));
    let mut connections: Vec<_> = (0..32)
        .map(|_| Connection::open(fabric.namespace("vm1"), at(INTERNET, 443)).expect("connect"))
        .collect();
    for connection in &mut connections {
        assert_eq!(*connection.source.ip(), PUBLIC_DEFAULT);
        connection.expect_alive();
    }
    let settled: u64 = workers(&fabric).iter().sum();
    assert!(
        settled > untouched.iter().sum(),
        "first packets change hands"
    );
    assert_eq!(fabric.leases(), 32, "one pool for all workers");
    let flows = fabric.json(&["flows", "--nic", "vm1"]);
    assert_eq!(flows["value"].as_array().map(Vec::len), Some(32), "{flows}");
    for _ in 0..5 {
        for connection in &mut connections {
            connection.expect_alive();
        }
    }
    assert_eq!(
        workers(&fabric).iter().sum::<u64>(),
        settled,
        "and no others"
    );
    assert_eq!(fabric.drops(), Vec::<String>::new());
    drop((connections, server));
    fabric.stop(Signal::KILL);
    let limit = Duration::from_secs(30);
    until("the devices are gone", limit, || {
        inventories(&fabric) == before
    });
}

#[test]
fn a_number_of_workers_out_of_range_is_wrong_usage() {
    let fabric = Fabric::prepare(&World::default().to_string());
    for workers in ["0", "65", "two"] {
        let file = fabric.config();
        let arguments = ["run", "-c", &file.to_string_lossy(), "--workers", workers];
        let output = fabric.postern(&arguments);
        assert_eq!(output.code, Some(2), "{output}");
        assert!(
            output
                .stderr
                .contains(&format!("'{workers}' for '--workers")),
            "{output}"
        );
    }
}

#[test]
fn a_second_daemon_is_refused_and_the_first_goes_on() {
    if !privileged() {
        return;
    }
    let fabric = Fabric::start(&World::default().to_string());
    let second = fabric.postern(&["run", "-c", &fabric.config().to_string_lossy()]);
    assert_eq!(second.code, Some(1), "{second}");
    assert!(second.stderr.contains("already running"), "{second}");
    expect_working(&fabric);
}

/// A real container that sleeps, with no network but its loopback; deleted on drop.
struct Container {
    dir: TempDir,
    pid: u32,
}

impl Container {
    const NAME: &str = "postern-test";

    fn start() -> Self {
        let dir = TempDir::create();
        let bin = dir.path().join("rootfs/bin");
        std::fs::create_dir_all(&bin).unwrap();
        std::fs::create_dir(dir.path().join("rootfs/proc")).unwrap();
        let busybox = ["/bin/busybox", "/usr/bin/busybox"]
            .map(PathBuf::from)
            .into_iter()
            .find(|path| path.exists())
            .expect("a static busybox (Debian: busybox-static)");
        std::fs::copy(busybox, bin.join("busybox")).unwrap();
        let namespaces =
            ["pid", "network", "ipc", "uts", "mount"].map(|kind| json!({"type": kind}));
        let config = json!({
            "ociVersion": "1.0.2",
            "process": {
                "terminal": false,
                "user": {"uid": 0, "gid": 0},
                "args": ["/bin/busybox", "sleep", "600"],
                "env": ["PATH=/bin"],
                "cwd": "/",
            },
            "root": {"path": "rootfs", "readonly": true},
            "hostname": "workload",
            "mounts": [{"destination": "/proc", "type": "proc", "source": "proc"}],
            "linux": {"namespaces": namespaces},
        });
        dir.write("config.json", config.to_string());
        let mut container = Self { dir, pid: 0 };
        let pid_file = container.dir.path().join("pid");
        // Not with piped outputs: the container would keep them open.
        let started = container
            .runc()
            .args(["run", "--detach", "--pid-file"])
            .arg(&pid_file)
            .arg("--bundle")
            .arg(container.dir.path())
            .arg(Self::NAME)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .status()
            .expect("start runc");
        assert!(started.success(), "runc: {started}");
        container.pid = std::fs::read_to_string(pid_file)
            .unwrap()
            .trim()
            .parse()
            .unwrap();
        container
    }

    fn runc(&self) -> Command {
        let mut command = Command::new("runc");
        // Its own state directory makes the container's name unique.
        command.arg("--root").arg(self.dir.path().join("state"));
        command
    }

    fn exec(&self, arguments: &[&str]) -> Output {
        run(self
            .runc()
            .args(["exec", Self::NAME, "/bin/busybox"])
            .args(arguments))
    }

    /// Connects from inside and returns the address that the server greets.
    #[track_caller]
    fn source_at(&self, server: SocketAddrV4) -> Ipv4Addr {
        let (address, port) = (server.ip().to_string(), server.port().to_string());
        let output = self
            .exec(&["nc", "-w", "5", &address, &port])
            .expect_success();
        let seen: SocketAddrV4 = output
            .stdout
            .trim()
            .parse()
            .unwrap_or_else(|_| panic!("no greeting: {output}"));
        *seen.ip()
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        run(self.runc().args(["delete", "--force", Self::NAME]));
    }
}

#[test]
fn a_container_attaches_by_its_pid() {
    const CONTAINER: Ipv4Addr = Ipv4Addr::new(10, 0, 1, 77);
    if !privileged() {
        return;
    }
    let mut fabric = Fabric::start(&World::default().to_string());
    let storage = at(STORAGE, 443);
    let _storage = TcpServer::start(fabric.namespace("svc"), storage);
    let _internet = TcpServer::start(fabric.namespace("inet"), at(INTERNET, 443));
    let _vm0 = TcpServer::start(fabric.namespace("vm0"), at(VM0, 8080));
    let mut bystander = Connection::open(fabric.namespace("vm0"), storage).unwrap();

    let container = Container::start();
    let with = |container: &Container| World {
        tail: format!(
            "[[networkInterface]]\nname = \"box\"\nvirtualNetwork = \"VNet1\"\n\
             subnet = \"subnet1\"\nprivateIPAddress = \"{CONTAINER}\"\nnamespace = \"pid:{}\"\n",
            container.pid
        ),
        ..World::default()
    };
    let with_container = with(&container);
    fabric.apply(&with_container.to_string());
    assert_eq!(container.source_at(at(VM0, 8080)), CONTAINER);
    assert_eq!(container.source_at(at(INTERNET, 443)), PUBLIC_DEFAULT);
    assert_eq!(container.source_at(storage), PUBLIC_DEFAULT);
    bystander.expect_alive();

    fabric.endpoint("enable", "subnet1", "Microsoft.Storage");
    assert_eq!(bystander.wait_end(Duration::from_secs(1)), End::Reset);
    assert_eq!(container.source_at(storage), CONTAINER);
    fabric.endpoint("disable", "subnet1", "Microsoft.Storage");
    assert_eq!(container.source_at(storage), PUBLIC_DEFAULT);

    // Detached, the container has its loopback again and nothing else.
    let mut bystander = Connection::open(fabric.namespace("vm0"), storage).unwrap();
    fabric.apply(&World::default().to_string());
    let links = container.exec(&["ip", "-o", "link"]).expect_success();
    assert_eq!(links.stdout.lines().count(), 1, "{links}");

    // A container that dies while attached disturbs nobody, and can be taken out of the file.
    fabric.apply(&with_container.to_string());
    assert_eq!(container.source_at(storage), PUBLIC_DEFAULT);
    drop(container);
    until("its port waits", Duration::from_secs(60), || {
        let state = fabric.port_state("nic/box").unwrap();
        state.starts_with("detached: no process ")
    });
    bystander.expect_alive();
    // Started again it has another number, and the file that has it attaches it.
    let container = Container::start();
    fabric.apply(&with(&container).to_string());
    assert_eq!(container.source_at(storage), PUBLIC_DEFAULT);
    drop(container);
    bystander.expect_alive();
    until(
        "the file without the container applies",
        Duration::from_secs(30),
        || fabric.apply(&World::default().to_string()).success(),
    );
    bystander.expect_alive();
}
