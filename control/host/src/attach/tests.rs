//! Attachments in namespaces of the test's own.

use super::*;
use ipnet::Ipv4Net;
use postern_dataplane::policy::PortId;
use postern_network::compile::PortKindName;
use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// A namespace that is removed when its test ends.
struct Netns(String);

impl Netns {
    /// Returns `None`, and says so past the test harness, where there are no privileges.
    fn new(test: &str) -> Option<Self> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let has_root = rustix::process::geteuid().is_root();
        if !has_root || Command::new("ip").arg("-V").output().is_err() {
            let _ = writeln!(
                std::io::stderr(),
                "SKIP {test}: needs root and the `ip` command"
            );
            return None;
        }
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let netns = Self(format!("postern-attach-{}-{number}", std::process::id()));
        ip(&["netns", "add", &netns.0]);
        Some(netns)
    }

    fn ip(&self, arguments: &str) -> String {
        let mut all = vec!["-n", &self.0];
        all.extend(arguments.split(' '));
        ip(&all)
    }

    fn spec(&self, addresses: &[&str], routes: &[&str]) -> PortSpec {
        let nets = |texts: &[&str]| -> Vec<Ipv4Net> {
            texts.iter().map(|text| text.parse().unwrap()).collect()
        };
        PortSpec {
            id: PortId(0),
            name: "nic/test".to_owned(),
            kind: PortKindName::Nic,
            namespace: NamespaceRef::Name(self.0.clone()),
            device: "postern0".to_owned(),
            mtu: 1400,
            offload: true,
            addresses: nets(addresses),
            routes: nets(routes),
            has_identities: false,
        }
    }

    fn addresses(&self) -> Vec<String> {
        let shown = self.ip("-o -4 addr show dev postern0");
        let mut found: Vec<String> = shown
            .lines()
            .map(|line| line.split_whitespace().nth(3).unwrap().to_owned())
            .collect();
        found.sort();
        found
    }

    fn routes(&self) -> Vec<String> {
        let shown = self.ip("route show proto static");
        let mut found: Vec<String> = shown
            .lines()
            .map(|line| line.trim().trim_end_matches(" linkdown").to_owned())
            .collect();
        found.sort();
        found
    }
}

impl Drop for Netns {
    fn drop(&mut self) {
        let _ = Command::new("ip").args(["netns", "del", &self.0]).status();
    }
}

fn ip(arguments: &[&str]) -> String {
    let output = Command::new("ip").args(arguments).output().unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "ip {}: {error}",
        arguments.join(" ")
    );
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn missing_namespace_is_named_with_what_is_accepted() {
    for (text, path) in [
        ("postern-none", "/run/netns/postern-none"),
        ("/tmp/postern/none", "/tmp/postern/none"),
        ("pid:4194999", "/proc/4194999/ns/net"),
    ] {
        let error = check(&text.parse().unwrap()).unwrap_err().to_string();
        assert!(
            error.contains(&format!("`{text}` not found at {path}")),
            "{error}"
        );
        assert!(error.contains("accepted: "), "{error}");
    }
}

#[test]
fn what_is_no_network_namespace_is_refused() {
    for text in ["/etc/passwd", "/proc/self/ns/mnt", "/tmp"] {
        let error = check(&text.parse().unwrap()).unwrap_err();
        assert!(
            matches!(error, AttachError::NotNetwork { .. }),
            "{text}: {error}"
        );
    }
    check(&NamespaceRef::Pid(std::process::id())).unwrap();
    check(&"/proc/self/ns/net".parse().unwrap()).unwrap();
}

#[test]
fn mounted_namespace_is_a_network_one_or_refused() {
    let Some(netns) = Netns::new("mounted_namespace_is_a_network_one_or_refused") else {
        return;
    };
    check(&NamespaceRef::Name(netns.0.clone())).unwrap();
    let path = std::env::temp_dir().join(format!("{}-uts", netns.0));
    std::fs::write(&path, "").unwrap();
    let other = NamespaceRef::Path(path.clone());
    assert!(
        matches!(check(&other), Err(AttachError::NotNetwork { .. })),
        "a plain file"
    );
    let mounted = Command::new("mount")
        .args(["--bind", "/proc/self/ns/uts"])
        .arg(&path)
        .status();
    assert!(mounted.unwrap().success());
    let error = check(&other);
    Command::new("umount").arg(&path).status().unwrap();
    std::fs::remove_file(&path).unwrap();
    assert!(
        matches!(error, Err(AttachError::NotNetwork { .. })),
        "{error:?}"
    );
}

#[test]
fn port_is_configured_and_vanishes_with_its_descriptor() {
    let Some(netns) = Netns::new("port_is_configured_and_vanishes_with_its_descriptor") else {
        return;
    };
    let before = (netns.ip("-o addr"), netns.ip("route show table all"));
    for (offload, queues) in [(true, 1), (false, 1), (true, 3)] {
        let mut spec = netns.spec(&["10.0.1.4/24", "10.0.1.5/24"], &["0.0.0.0/0"]);
        spec.offload = offload;
        let attachment = attach(&spec, queues).unwrap();
        assert_eq!(attachment.tun.has_vnet_hdr(), offload);
        assert_eq!(netns.addresses(), ["10.0.1.4/24", "10.0.1.5/24"]);
        assert_eq!(netns.routes(), ["default dev postern0 scope link"]);
        let link = netns.ip("link show postern0");
        assert!(link.contains("mtu 1400") && link.contains(",UP"), "{link}");
        let v6 = netns.ip("-o -6 addr");
        assert!(!v6.contains("postern0"), "no IPv6 of its own: {v6}");
        let queues = attachment.tun.split();
        assert!(netns.ip("link show postern0").contains(",UP"));
        drop(queues);
        within(|| (netns.ip("-o addr"), netns.ip("route show table all")) == before);
    }
}

#[test]
fn namespace_is_found_by_pid_and_by_path() {
    let Some(netns) = Netns::new("namespace_is_found_by_pid_and_by_path") else {
        return;
    };
    let sleeper = Command::new("ip")
        .args(["netns", "exec", &netns.0, "sleep", "60"])
        .spawn();
    let mut sleeper = sleeper.unwrap();
    let pid = sleeper.id();
    // Not any process: the `ip` that asks may be inside as well.
    let pids = format!("netns pids {}", netns.0);
    within(|| netns.ip(&pids).lines().any(|line| line == pid.to_string()));
    for namespace in [
        NamespaceRef::Pid(pid),
        NamespaceRef::Path(format!("/proc/{pid}/ns/net").into()),
    ] {
        let spec = PortSpec {
            namespace,
            ..netns.spec(&["10.0.1.4/24"], &["0.0.0.0/0"])
        };
        let attachment = attach(&spec, 1).unwrap();
        assert_eq!(netns.addresses(), ["10.0.1.4/24"]);
        drop(attachment);
        // A program that another test starts right now may hold a copy of the descriptor until it runs.
        within(|| !netns.ip("link show").contains("postern0"));
    }
    sleeper.kill().unwrap();
    sleeper.wait().unwrap();
}

#[test]
fn default_route_of_another_is_never_replaced() {
    let Some(netns) = Netns::new("default_route_of_another_is_never_replaced") else {
        return;
    };
    netns.ip("tuntap add eth0 mode tun");
    netns.ip("addr add 192.0.2.2/24 dev eth0");
    netns.ip("link set eth0 up");
    netns.ip("route add default via 192.0.2.1");
    let error = attach(&netns.spec(&["10.0.1.4/24"], &["0.0.0.0/0"]), 1).unwrap_err();
    assert!(matches!(error, AttachError::DefaultRoute { .. }), "{error}");
    assert!(
        error.to_string().contains("default via 192.0.2.1 dev eth0"),
        "{error}"
    );
    assert!(!netns.ip("-br link").contains("postern0"));
    // A port that brings no default route does not mind.
    drop(attach(&netns.spec(&["93.184.216.34/24"], &["20.0.0.9/32"]), 1).unwrap());
}

#[test]
fn failure_half_way_leaves_nothing() {
    let Some(netns) = Netns::new("failure_half_way_leaves_nothing") else {
        return;
    };
    netns.ip("tuntap add eth0 mode tun");
    netns.ip("link set eth0 up");
    netns.ip("route add 20.0.0.9/32 dev eth0");
    let error = attach(
        &netns.spec(&["10.0.1.4/24"], &["20.0.0.8/32", "20.0.0.9/32"]),
        1,
    )
    .unwrap_err();
    assert!(
        error.to_string().ends_with("cannot add route 20.0.0.9/32"),
        "{error}"
    );
    assert!(!netns.ip("-br link").contains("postern0"));
}

#[test]
fn device_of_the_same_name_is_left_alone() {
    let Some(netns) = Netns::new("device_of_the_same_name_is_left_alone") else {
        return;
    };
    let spec = netns.spec(&["10.0.1.4/24"], &[]);
    let first = attach(&spec, 1).unwrap();
    let error = attach(&spec, 1).unwrap_err();
    let taken = matches!(
        &error,
        AttachError::Device {
            source: IoError::Exists { .. },
            ..
        }
    );
    assert!(taken, "{error}");
    assert_eq!(netns.addresses(), ["10.0.1.4/24"]);
    drop(first);
}

#[test]
fn update_changes_in_place_and_back() {
    let Some(netns) = Netns::new("update_changes_in_place_and_back") else {
        return;
    };
    let old = netns.spec(
        &["10.0.1.4/24", "10.0.1.5/24"],
        &["20.0.0.1/32", "20.0.0.2/32"],
    );
    let new = netns.spec(
        &["10.0.1.5/24", "10.0.1.6/24"],
        &["20.0.0.2/32", "20.0.0.3/32"],
    );
    let none_in_common = netns.spec(&["10.7.0.1/32"], &["0.0.0.0/0", "20.0.0.3/32"]);
    let _attachment = attach(&old, 1).unwrap();
    // Somebody else's, and none of our business.
    netns.ip("route add 198.51.100.0/24 dev postern0 proto static");

    let scoped = |names: &[&str]| -> Vec<String> {
        let mut all: Vec<String> = names
            .iter()
            .map(|name| format!("{name} dev postern0 scope link"))
            .collect();
        all.sort();
        all
    };
    let check_new = || {
        assert_eq!(netns.addresses(), ["10.0.1.5/24", "10.0.1.6/24"]);
        assert_eq!(
            netns.routes(),
            scoped(&["198.51.100.0/24", "20.0.0.2", "20.0.0.3"])
        );
    };
    update(&old, &new).unwrap();
    check_new();
    update(&old, &new).unwrap();
    check_new();
    update(&new, &none_in_common).unwrap();
    assert_eq!(netns.addresses(), ["10.7.0.1/32"]);
    assert_eq!(
        netns.routes(),
        scoped(&["198.51.100.0/24", "20.0.0.3", "default"])
    );
    update(&none_in_common, &new).unwrap();
    check_new();
    update(&new, &old).unwrap();
    assert_eq!(netns.addresses(), ["10.0.1.4/24", "10.0.1.5/24"]);
    assert_eq!(
        netns.routes(),
        scoped(&["198.51.100.0/24", "20.0.0.1", "20.0.0.2"])
    );

    netns.ip("link del postern0");
    assert!(matches!(update(&old, &new), Err(AttachError::Gone { .. })));
}

#[test]
fn identities_pass_where_they_are_wanted_and_nothing_else_of_ipv6() {
    let Some(netns) = Netns::new("identities_pass_where_they_are_wanted_and_nothing_else_of_ipv6")
    else {
        return;
    };
    let native = netns.spec(&["20.60.16.5/32"], &["0.0.0.0/0"]);
    let mut tunnel = native.clone();
    tunnel.has_identities = true;
    let routes = || {
        let shown = netns.ip("-6 route show table all dev postern0");
        let mut found: Vec<String> = shown
            .lines()
            // The kernel's own, of any device with IPv6.
            .filter(|line| !line.starts_with("multicast "))
            .map(|line| line.split(" proto").next().unwrap().trim().to_owned())
            .collect();
        found.sort();
        found
    };
    let both = ["fd40::/16", "local fd41::/16 table local"];

    let before = netns.ip("-6 route show table all");
    let attachment = attach(&tunnel, 1).unwrap();
    assert_eq!(routes(), both);
    let addresses = netns.ip("-o -6 addr show dev postern0");
    assert_eq!(addresses, "", "no address of its own");
    update(&tunnel, &tunnel).unwrap();
    assert_eq!(routes(), both);
    update(&tunnel, &native).unwrap();
    assert_eq!(routes(), [""; 0]);
    update(&native, &tunnel).unwrap();
    assert_eq!(routes(), both);
    drop(attachment);
    // But for a moment in which a command that another test starts has a copy of the descriptor.
    within(|| netns.ip("-6 route show table all") == before);
}

const HELD: &str = "POSTERN_TEST_HOLD";

/// Not a test of its own: the process that the next test kills.
#[test]
fn holder_of_an_attachment() {
    let Ok(name) = std::env::var(HELD) else {
        return;
    };
    let netns = std::mem::ManuallyDrop::new(Netns(name));
    let _attachment = attach(&netns.spec(&["10.0.1.4/24"], &["0.0.0.0/0"]), 1).unwrap();
    let _ = writeln!(std::io::stderr(), "attached");
    loop {
        std::thread::park();
    }
}

#[test]
fn killed_process_leaves_nothing() {
    let Some(netns) = Netns::new("killed_process_leaves_nothing") else {
        return;
    };
    let before = (netns.ip("-o addr"), netns.ip("route show table all"));
    for _ in 0..2 {
        let mut holder = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "attach::tests::holder_of_an_attachment"])
            .env(HELD, &netns.0)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(holder.stderr.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        assert_eq!(line, "attached\n");
        assert_eq!(netns.addresses(), ["10.0.1.4/24"]);
        holder.kill().unwrap();
        holder.wait().unwrap();
        within(|| (netns.ip("-o addr"), netns.ip("route show table all")) == before);
    }
}

fn within(mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !condition() {
        assert!(Instant::now() < deadline, "not within a minute");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn the_own_namespace_is_made_once_and_holds_what_is_attached() {
    let own = NamespaceRef::Own;
    check(&own).unwrap();
    if Netns::new("the_own_namespace_is_made_once_and_holds_what_is_attached").is_none() {
        return;
    }
    let host = identify(&NamespaceRef::Pid(std::process::id())).unwrap();
    let made = identify(&own).unwrap();
    assert_ne!(made, host);
    assert_eq!(identify(&own).unwrap(), made);
    let here = std::fs::read_link("/proc/thread-self/ns/net").unwrap();
    let there = inside(&own, || std::fs::read_link("/proc/thread-self/ns/net")).unwrap();
    assert_ne!(there.unwrap(), here);

    let address: Ipv4Net = "168.63.129.16/32".parse().unwrap();
    let spec = PortSpec {
        id: PortId(0),
        name: "platform".to_owned(),
        kind: PortKindName::Platform,
        namespace: own.clone(),
        device: "postern0".to_owned(),
        mtu: 1500,
        offload: true,
        addresses: vec![address],
        routes: vec![Ipv4Net::default()],
        has_identities: false,
    };
    let has_device = || {
        let devices = inside(&own, || {
            std::fs::read_to_string("/proc/thread-self/net/dev")
        });
        devices.unwrap().unwrap().contains("postern0:")
    };
    assert!(!has_device());
    let attachment = attach(&spec, 1).unwrap();
    assert!(has_device());
    inside(&own, || std::net::UdpSocket::bind((address.addr(), 53)))
        .unwrap()
        .unwrap();
    drop(attachment);
    // A child that another test is about to start may hold the descriptor for a moment longer.
    within(|| !has_device());
}
