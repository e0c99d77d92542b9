//! Names: what the resolver at 168.63.129.16 says to NICs, over real sockets and to real clients.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a case ends with the message of what did not hold"
)]

use postern_tests::{Fabric, Netns, UdpServer, UdpSocketPair, at, privileged, run, until};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddrV4, TcpStream, UdpSocket};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

const RESOLVER: SocketAddrV4 = at(Ipv4Addr::new(168, 63, 129, 16), 53);

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// Between two queries of one asker, of whom 1,000 a second are answered: a fast machine asks more often.
const PAUSE: Duration = Duration::from_millis(2);

/// Two networks with the same addresses and an account of storage. `vm0` and `twin` have one address,
/// `vm1` and `other` have theirs alone. `keys` are more of the subnet that `vm0` and `vm1` are in.
fn networks(keys: &str, tail: &str) -> String {
    let nic = |name: &str, vnet: &str, address: &str| {
        format!(
            "[[networkInterface]]\nname = \"{name}\"\nvirtualNetwork = \"{vnet}\"\n\
             subnet = \"subnet1\"\nprivateIPAddress = \"{address}\"\nnamespace = \"{name}\"\n"
        )
    };
    let vnet = |name: &str, keys: &str| {
        format!(
            "[[virtualNetwork]]\nname = \"{name}\"\naddressPrefixes = [\"10.0.0.0/16\"]\n\
             [[virtualNetwork.subnet]]\nname = \"subnet1\"\naddressPrefix = \"10.0.1.0/24\"\n{keys}\n"
        )
    };
    [
        "location = \"koreacentral\"\n[defaultOutbound]\npublicIPAddress = \"20.200.0.1\"\n",
        &vnet("VNet1", keys),
        &vnet("VNet2", ""),
        &nic("vm0", "VNet1", "10.0.1.4"),
        &nic("vm1", "VNet1", "10.0.1.5"),
        &nic("twin", "VNet2", "10.0.1.4"),
        &nic("other", "VNet2", "10.0.1.6"),
        "[[service]]\nname = \"contoso\"\nservice = \"Microsoft.Storage\"\n\
         address = \"20.60.16.5\"\nnamespace = \"svc\"\n",
        tail,
    ]
    .concat()
}

/// A query for the address of a name, with the letters as they are.
fn query(name: &str) -> Vec<u8> {
    let mut bytes = b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00".to_vec();
    for label in name.split('.') {
        bytes.push(u8::try_from(label.len()).unwrap());
        bytes.extend_from_slice(label.as_bytes());
    }
    bytes.extend_from_slice(b"\x00\x00\x01\x00\x01");
    bytes
}

/// Opens a socket in a namespace that asks the resolver.
fn socket(from: &Netns) -> UdpSocket {
    from.enter(|| {
        let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
        socket.connect(RESOLVER).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket
    })
}

/// Asks once: an answer that is lost is missed.
#[track_caller]
fn ask(socket: &UdpSocket, query: &[u8]) -> Vec<u8> {
    socket.send(query).unwrap();
    let mut bytes = [0; 2048];
    let length = socket.recv(&mut bytes).expect("an answer");
    bytes[..length].to_vec()
}

/// Asks over TCP.
#[track_caller]
fn ask_stream(from: &Netns, query: &[u8]) -> Vec<u8> {
    let mut stream = from.enter(|| TcpStream::connect_timeout(&RESOLVER.into(), PATIENCE).unwrap());
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let length = u16::try_from(query.len()).unwrap().to_be_bytes();
    stream.write_all(&[&length, query].concat()).unwrap();
    let mut length = [0; 2];
    stream.read_exact(&mut length).unwrap();
    let mut bytes = vec![0; u16::from_be_bytes(length).into()];
    stream.read_exact(&mut bytes).unwrap();
    bytes
}

/// Runs `dig` in a namespace and returns what it printed.
#[track_caller]
fn dig(from: &Netns, arguments: &[&str]) -> String {
    let server = format!("@{}", RESOLVER.ip());
    let mut command = from.command("dig");
    command.args([
        &server,
        "+tries=1",
        "+time=8",
        "+noall",
        "+comments",
        "+answer",
    ]);
    run(command.args(arguments)).expect_success().stdout
}

#[test]
fn the_same_bytes_come_before_while_and_after_an_endpoint_is_switched() {
    if !privileged() {
        return;
    }
    let fabric = Fabric::start(&networks("", ""));
    let asked = query("cOntOso.Blob.core.windows.net");
    let mut wanted = asked.clone();
    wanted[2..8].copy_from_slice(b"\x81\x80\x00\x01\x00\x01");
    wanted.extend_from_slice(b"\xc0\x0c\x00\x01\x00\x01\x00\x00\x00\x3c\x00\x04\x14\x3c\x10\x05");
    let names = ["vm0", "vm1", "twin", "other"];
    let all_say_so = || {
        for name in names {
            let from = fabric.namespace(name);
            assert_eq!(ask(&socket(from), &asked), wanted, "{name}");
            assert_eq!(ask_stream(from, &asked), wanted, "{name}, TCP");
        }
    };
    all_say_so();
    let sockets = names.map(|name| socket(fabric.namespace(name)));
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let asking = sockets.each_ref().map(|socket| {
            let (asked, wanted, done) = (&asked, &wanted, &done);
            scope.spawn(move || {
                let mut count = 0;
                while !done.load(Ordering::Relaxed) {
                    assert_eq!(ask(socket, asked), *wanted);
                    count += 1;
                    std::thread::sleep(PAUSE);
                }
                count
            })
        });
        for switch in ["enable", "disable", "enable"] {
            fabric.endpoint(switch, "subnet1", "Microsoft.Storage");
        }
        done.store(true, Ordering::Relaxed);
        for thread in asking {
            assert!(thread.join().unwrap() > 0);
        }
    });
    all_say_so();
}

#[test]
fn one_address_and_port_in_two_networks_get_an_answer_each() {
    if !privileged() {
        return;
    }
    let fabric = Fabric::start(&networks("", ""));
    let sockets = ["vm0", "twin"].map(|name| {
        fabric.namespace(name).enter(|| {
            let socket = UdpSocket::bind("10.0.1.4:5353").unwrap();
            socket.connect(RESOLVER).unwrap();
            socket.set_read_timeout(Some(PATIENCE)).unwrap();
            socket
        })
    });
    let asked = ["contoso.blob.core.windows.net", "absent.vault.azure.net"].map(query);
    for (socket, asked) in sockets.iter().zip(&asked) {
        socket.send(asked).unwrap();
    }
    for (socket, asked) in sockets.iter().zip(&asked) {
        let mut bytes = [0; 512];
        let length = socket.recv(&mut bytes).unwrap();
        assert_eq!(bytes[12..asked.len()], asked[12..]);
        assert!(length > asked.len());
    }
}

/// A subnet that leaves nothing out, and sends all of it elsewhere.
const FORCED: &str = "networkSecurityGroup = \"closed\"\nrouteTable = \"forced\"\n";

/// Its group, with the destination of one more rule that denies.
fn closed(destination: &str) -> String {
    let rule = |name: &str, priority: u16, direction: &str, destination: &str| {
        format!(
            "[[networkSecurityGroup.securityRule]]\nname = \"{name}\"\npriority = {priority}\n\
             direction = \"{direction}\"\naccess = \"Deny\"\nprotocol = \"*\"\n\
             sourceAddressPrefix = \"*\"\ndestinationAddressPrefix = \"{destination}\"\n\
             destinationPortRange = \"*\"\n"
        )
    };
    [
        "[[routeTable]]\nname = \"forced\"\n[[routeTable.route]]\nname = \"all\"\n\
         addressPrefix = \"0.0.0.0/0\"\nnextHopType = \"None\"\n\
         [[networkSecurityGroup]]\nname = \"closed\"\n",
        &rule("nothing-out", 200, "Outbound", "*"),
        &rule("nothing-in", 200, "Inbound", "*"),
        &rule("nor-this", 100, "Outbound", destination),
    ]
    .concat()
}

#[test]
fn a_closed_group_and_a_route_to_nowhere_leave_names_unless_a_rule_denies_them() {
    if !privileged() {
        return;
    }
    let mut fabric = Fabric::start(&networks(FORCED, &closed("198.51.100.0/24")));
    let asked = query("contoso.blob.core.windows.net");
    let told = ask(&socket(fabric.namespace("vm0")), &asked);
    assert!(told.ends_with(&[20, 60, 16, 5]), "{told:x?}");
    assert_eq!(ask_stream(fabric.namespace("vm0"), &asked), told);

    fabric.apply(&networks(FORCED, &closed("AzurePlatformDNS")));
    let denied = socket(fabric.namespace("vm0"));
    denied
        .set_read_timeout(Some(Duration::from_millis(500)))
        .unwrap();
    denied.send(&asked).unwrap();
    assert!(denied.recv(&mut [0; 512]).is_err(), "denied");
    let is_denied = |drop: &String| drop.starts_with("nic/vm0 Outbound nsg_denied_out: ");
    let drops = fabric.drops();
    assert!(drops.iter().any(is_denied), "{drops:?}");
    // The other network has no such rule.
    assert_eq!(ask(&socket(fabric.namespace("twin")), &asked), told);
}

#[test]
fn names_inside_a_network_are_told_inside_it_alone() {
    if !privileged() {
        return;
    }
    let fabric = Fabric::start(&networks("", ""));
    let says = |from: &str, name: &str| dig(fabric.namespace(from), &[name]);
    let vm0 = "VM0.internal.cloudapp.net";
    let told = says("vm1", vm0);
    assert!(told.contains("status: NOERROR"), "{told}");
    let answer = told.lines().find(|line| line.starts_with("VM0."));
    let fields: Vec<_> = answer.unwrap_or_default().split_whitespace().collect();
    assert_eq!(fields[1..], ["10", "IN", "A", "10.0.1.4"], "{told}");
    assert!(says("other", vm0).contains("status: NXDOMAIN"));
    assert!(says("other", "twin.internal.cloudapp.net").contains("10.0.1.4"));
    let back = dig(fabric.namespace("vm1"), &["-x", "10.0.1.4"]);
    assert!(back.contains("vm0.internal.cloudapp.net."), "{back}");
    let back = dig(fabric.namespace("other"), &["-x", "10.0.1.4"]);
    assert!(back.contains("twin.internal.cloudapp.net."), "{back}");
    // `vm0` and `twin` have one address: whose name it is asked for cannot be told.
    for from in ["vm0", "twin"] {
        let told = says(from, vm0);
        assert!(told.contains("status: REFUSED"), "{told}");
        assert!(told.contains("does not tell its virtual network"), "{told}");
    }
}

#[test]
fn without_forwarders_an_unknown_name_is_refused_and_an_absent_account_is_none() {
    if !privileged() {
        return;
    }
    let fabric = Fabric::start(&networks("", ""));
    let vm0 = fabric.namespace("vm0");
    let told = dig(vm0, &["example.com"]);
    assert!(told.contains("status: REFUSED"), "{told}");
    assert!(told.contains("dns.forwarders is empty"), "{told}");
    let told = dig(vm0, &["absent.blob.core.windows.net", "+authority"]);
    assert!(told.contains("status: NXDOMAIN"), "{told}");
    assert!(told.contains("hostmaster.blob.core.windows.net."), "{told}");
    let told = dig(
        vm0,
        &["AAAA", "contoso.blob.core.windows.net", "+authority"],
    );
    assert!(
        told.contains("status: NOERROR") && told.contains("ANSWER: 0"),
        "{told}"
    );
    let told = dig(vm0, &["+tcp", "+noedns", "contoso.dfs.core.windows.net"]);
    assert!(told.contains("20.60.16.5"), "{told}");
}

/// A real name server on the host's loopback; ends on drop.
struct Dnsmasq {
    child: Child,
    port: u16,
}

impl Dnsmasq {
    fn start() -> Self {
        // Free at this moment, for both transports.
        let port = UdpSocket::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        let mut command = Command::new("dnsmasq");
        command.args([
            "--keep-in-foreground",
            "--conf-file=/dev/null",
            "--pid-file=",
            "--no-resolv",
            "--no-hosts",
            "--user=root",
            "--bind-interfaces",
            "--listen-address=127.0.0.1",
            "--address=/fabrikam.example/203.0.113.7",
            "--edns-packet-max=4096",
        ]);
        for number in 0..20 {
            let text = "x".repeat(200);
            command.arg(format!("--txt-record=long.example,{number}{text}"));
        }
        command.arg(format!("--port={port}"));
        let child = command
            .stderr(Stdio::null())
            .spawn()
            .expect("start dnsmasq");
        let server = Self { child, port };
        until("dnsmasq listens", PATIENCE, || {
            TcpStream::connect(("127.0.0.1", port)).is_ok()
        });
        server
    }
}

impl Drop for Dnsmasq {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn an_unknown_name_goes_to_the_forwarder_and_a_known_one_does_not() {
    if !privileged() {
        return;
    }
    let server = Dnsmasq::start();
    let forwarders = format!("[dns]\nforwarders = [\"127.0.0.1:{}\"]\n", server.port);
    let mut fabric = Fabric::start(&networks("", &forwarders));
    for from in ["vm0", "other"] {
        let vm = fabric.namespace(from);
        for transport in ["+notcp", "+tcp"] {
            let told = dig(vm, &[transport, "Fabrikam.example"]);
            assert!(told.contains("status: NOERROR"), "{told}");
            assert!(told.contains("203.0.113.7"), "{told}");
            // dnsmasq would refuse it.
            let told = dig(vm, &[transport, "contoso.blob.core.windows.net"]);
            assert!(told.contains("20.60.16.5"), "{told}");
        }
        // What does not fit into a datagram comes over TCP when the client asks again.
        let told = dig(vm, &["TXT", "long.example"]);
        assert_eq!(told.matches("xxxx\"").count(), 20, "{told}");
        let told = dig(vm, &["+ignore", "TXT", "long.example"]);
        assert!(told.contains(" tc "), "{told}");
    }
    // Without an answer the asker is told so, before it gives up by itself.
    drop(server);
    let told = dig(fabric.namespace("vm0"), &["fabrikam.example"]);
    assert!(told.contains("status: SERVFAIL"), "{told}");
    assert!(told.contains("no forwarder answered"), "{told}");
    fabric.apply(&networks("", ""));
    let told = dig(fabric.namespace("vm0"), &["fabrikam.example"]);
    assert!(told.contains("status: REFUSED"), "{told}");
}

#[test]
fn a_new_file_counts_from_the_next_query_on_and_no_query_is_lost() {
    if !privileged() {
        return;
    }
    let mut fabric = Fabric::start(&networks("", ""));
    let known = query("contoso.blob.core.windows.net");
    let other = query("fabrikam.vault.azure.net");
    let asking = socket(fabric.namespace("vm1"));
    let fresh = socket(fabric.namespace("vm0"));
    assert_eq!(ask(&fresh, &other)[3] & 0xf, 3);
    let vault = "[[service]]\nname = \"fabrikam\"\nservice = \"Microsoft.KeyVault\"\n\
                 address = \"20.44.29.113\"\nnamespace = \"svc\"\n";
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                assert!(ask(&asking, &known).ends_with(&[20, 60, 16, 5]));
                std::thread::sleep(PAUSE);
            }
        });
        fabric.apply(&networks("", vault));
        assert!(ask(&fresh, &other).ends_with(&[20, 44, 29, 113]));
        fabric.apply(&networks("", ""));
        done.store(true, Ordering::Relaxed);
        thread.join().unwrap();
    });
    assert_eq!(ask(&fresh, &other)[3] & 0xf, 3);
}

#[test]
fn the_resolver_follows_the_platforms_namespace_and_leaves_it_when_told() {
    if !privileged() {
        return;
    }
    const NAMED: &str = "[platform]\nnamespace = \"platform\"\n";
    const OFF: &str = "[dns]\nenabled = false\n";
    let asked = query("contoso.blob.core.windows.net");
    let mut fabric = Fabric::start(&networks("", ""));
    let says = |fabric: &Fabric| {
        let pair = UdpSocketPair::open(fabric.namespace("vm0"), RESOLVER).unwrap();
        pair.ask(&asked).unwrap()
    };
    let told = says(&fabric);
    fabric.apply(&networks("", NAMED));
    assert_eq!(says(&fabric), told, "in the named namespace");
    fabric.apply(&networks("", &[NAMED, OFF].concat()));
    let platform = fabric.namespace("platform");
    until("the address is free", PATIENCE, || {
        platform.enter(|| UdpSocket::bind(RESOLVER)).is_ok()
    });
    let own = UdpServer::answering(platform, RESOLVER, |_, _| b"mine".to_vec());
    assert_eq!(says(&fabric), b"mine");
    // Somebody else is there: told, and tried again until he is gone.
    fabric.apply(&networks("", NAMED));
    until("the log tells", PATIENCE, || {
        fabric.log().contains("names are not resolved")
    });
    assert_eq!(says(&fabric), b"mine");
    drop(own);
    until("the resolver is back", PATIENCE, || says(&fabric) == told);
}

#[test]
fn where_somebody_else_answers_already_the_start_is_refused_and_nothing_left() {
    if !privileged() {
        return;
    }
    let file = networks("", "[platform]\nnamespace = \"platform\"\n");
    let fabric = Fabric::prepare(&file);
    let before: Vec<_> = fabric.namespaces().map(Netns::inventory).collect();
    let platform = fabric.namespace("platform");
    let _other = platform.enter(|| UdpSocket::bind("0.0.0.0:53")).unwrap();
    let refused = fabric.postern(&["run", "-c", &fabric.config().to_string_lossy()]);
    assert_eq!(refused.code, Some(1), "{refused}");
    for part in [
        "postern.toml: dns: ",
        "168.63.129.16:53",
        "dns.enabled = false",
    ] {
        assert!(refused.stderr.contains(part), "{part}: {refused}");
    }
    let after: Vec<_> = fabric.namespaces().map(Netns::inventory).collect();
    assert_eq!(after, before);
}

#[test]
fn the_hosts_own_resolver_library_finds_names_through_it() {
    if !privileged() {
        return;
    }
    let fabric = Fabric::start(&networks("", ""));
    let vm1 = fabric.namespace("vm1");
    let _file = ResolvConf::write(vm1);
    let found = |name: &str| run(vm1.command("getent").args(["ahostsv4", name]));
    let told = found("contoso.blob.core.windows.net").expect_success();
    assert!(told.stdout.starts_with("20.60.16.5 "), "{told}");
    // By the search list.
    let told = found("vm0").expect_success();
    assert!(told.stdout.starts_with("10.0.1.4 "), "{told}");
    assert!(!found("absent.blob.core.windows.net").success());
}

/// What `ip netns exec` puts in the place of `/etc/resolv.conf`; removed on drop.
struct ResolvConf(std::path::PathBuf);

impl ResolvConf {
    fn write(namespace: &Netns) -> Self {
        let directory = std::path::Path::new("/etc/netns").join(namespace.name());
        std::fs::create_dir_all(&directory).unwrap();
        let text = format!(
            "nameserver {}\nsearch internal.cloudapp.net\n",
            RESOLVER.ip()
        );
        std::fs::write(directory.join("resolv.conf"), text).unwrap();
        Self(directory)
    }
}

impl Drop for ResolvConf {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
        // Only if it is empty: then it was made here, or nobody misses it.
        let _ = std::fs::remove_dir("/etc/netns");
    }
}
