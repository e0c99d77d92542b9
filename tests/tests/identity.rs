//! A service that gets the connections of endpoints over IPv6: an ordinary server on `[::]` reads who
//! calls from its peer address. The case named `t16_` is the line of the conformance checklist.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a case ends with the message of what did not hold"
)]

use postern_tests::{
    Fabric, INTERNET, Netns, STORAGE, at, open_many_files, privileged, run, serial,
};
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{AddressFamily, SendFlags, SocketType, bind, connect, ipproto, sendto, socket};
use serde_json::Value;
use std::collections::HashSet;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// The address of a NIC in either network.
const NIC: Ipv4Addr = Ipv4Addr::new(10, 0, 1, 4);
const FIRST_PORT: u16 = 20_000;
const PATIENCE: Duration = Duration::from_secs(20);

/// Two networks that are alike but for their names, each with one NIC and the endpoint, and a
/// service that tells them apart.
fn twins(mtu: u16, offload_off: &[&str]) -> String {
    let device = |namespace: &str| {
        let offload = if offload_off.contains(&namespace) {
            "off"
        } else {
            "on"
        };
        format!("namespace = \"{namespace}\"\nmtu = {mtu}\noffload = \"{offload}\"\n")
    };
    let mut text = format!(
        "location = \"koreacentral\"\n[internet]\naddresses = [\"{INTERNET}/24\"]\n{}\
         [[service]]\nname = \"contoso\"\nservice = \"Microsoft.Storage\"\naddress = \"{STORAGE}\"\n\
         delivery = \"st6\"\n{}",
        device("inet"),
        device("svc")
    );
    for network in ["near", "far"] {
        text += &format!(
            "[[virtualNetwork]]\nname = \"{network}\"\naddressPrefixes = [\"10.0.0.0/16\"]\n\
             [[virtualNetwork.subnet]]\nname = \"work\"\naddressPrefix = \"10.0.1.0/24\"\n\
             serviceEndpoints = [\"Microsoft.Storage\"]\n\
             [[networkInterface]]\nname = \"{network}\"\nvirtualNetwork = \"{network}\"\n\
             subnet = \"work\"\nprivateIPAddress = \"{NIC}\"\n{}",
            device(network)
        );
    }
    text
}

/// Who calls, as a server reads it: written from the reference alone, without Postern's code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Caller {
    vnet: u32,
    subnet: u16,
    region: u16,
    address: Ipv4Addr,
}

/// Returns whether the six words of a prefix are zero to an Internet checksum.
fn is_neutral(words: &[u16]) -> bool {
    words.iter().map(|&word| u32::from(word)).sum::<u32>() % 0xffff == 0
}

fn v4(high: u16, low: u16) -> Ipv4Addr {
    Ipv4Addr::from(u32::from(high) << 16 | u32::from(low))
}

fn caller(peer: Ipv6Addr) -> Caller {
    let words = peer.segments();
    assert_eq!(words[0], 0xfd40, "{peer}");
    assert!(is_neutral(&words[..6]), "{peer}");
    Caller {
        vnet: u32::from(words[1]) << 16 | u32::from(words[2]),
        subnet: words[3],
        region: words[4],
        address: v4(words[6], words[7]),
    }
}

/// The keys of a network's subnet, as `status` shows them.
fn keys(fabric: &Fabric, network: &str) -> (u32, u16) {
    let status = fabric.json(&["status"]);
    let subnets = status["subnets"].as_array().expect("subnets");
    let is_it = |subnet: &&Value| subnet["virtualNetwork"] == network;
    let subnet = subnets.iter().find(is_it).expect("the subnet");
    let number = |key: &str| subnet[key].as_u64().expect("a key");
    (
        u32::try_from(number("vnetKey")).unwrap(),
        u16::try_from(number("subnetKey")).unwrap(),
    )
}

/// A server of both protocols that greets with both of its ends and echoes lines.
struct Server {
    listener: Arc<TcpListener>,
    accepted: Arc<AtomicUsize>,
}

impl Server {
    fn start(namespace: &Netns, port: u16) -> Self {
        let bound = namespace.enter(|| TcpListener::bind((Ipv6Addr::UNSPECIFIED, port)));
        let listener = Arc::new(bound.expect("listen"));
        let accepted = Arc::new(AtomicUsize::new(0));
        let (socket, count) = (Arc::clone(&listener), Arc::clone(&accepted));
        thread::spawn(move || {
            while let Ok((stream, peer)) = socket.accept() {
                count.fetch_add(1, Ordering::Relaxed);
                let serve = thread::Builder::new().stack_size(128 * 1024);
                let served = serve.spawn(move || echo(&stream, peer));
                served.expect("a thread");
            }
        });
        Self { listener, accepted }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = rustix::net::shutdown(&*self.listener, rustix::net::Shutdown::Both);
    }
}

fn echo(mut stream: &TcpStream, peer: SocketAddr) -> io::Result<()> {
    let _ = stream.set_nodelay(true);
    writeln!(stream, "{peer} {}", stream.local_addr()?)?;
    let mut bytes = [0; 4096];
    loop {
        match stream.read(&mut bytes)? {
            0 => return Ok(()),
            length => stream.write_all(&bytes[..length])?,
        }
    }
}

/// A client of a [`Server`], and what the server sees.
struct Client {
    stream: BufReader<TcpStream>,
    peer: SocketAddr,
    local: SocketAddr,
}

impl Client {
    fn open(namespace: &Netns, from: Option<SocketAddrV4>, to: SocketAddrV4) -> io::Result<Self> {
        let stream = namespace.enter(|| {
            let socket = socket(AddressFamily::INET, SocketType::STREAM, None)?;
            set_socket_timeout(&socket, Timeout::Send, Some(PATIENCE))?;
            if let Some(from) = from {
                bind(&socket, &from)?;
            }
            connect(&socket, &to)?;
            Ok::<_, io::Error>(TcpStream::from(socket))
        })?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let mut stream = BufReader::new(stream);
        let mut greeting = String::new();
        stream.read_line(&mut greeting)?;
        let (peer, local) = greeting.trim_end().split_once(' ').expect("two ends");
        let (peer, local) = (
            peer.parse().expect("a peer"),
            local.parse().expect("an end"),
        );
        Ok(Self {
            stream,
            peer,
            local,
        })
    }

    fn say(&mut self, line: &str) -> io::Result<()> {
        writeln!(self.stream.get_mut(), "{line}")?;
        let mut heard = String::new();
        self.stream.read_line(&mut heard)?;
        if heard.trim_end() == line {
            Ok(())
        } else {
            Err(io::Error::new(io::ErrorKind::InvalidData, heard))
        }
    }

    fn caller(&self) -> Caller {
        match self.peer {
            SocketAddr::V6(peer) => caller(*peer.ip()),
            SocketAddr::V4(peer) => panic!("over IPv4: {peer}"),
        }
    }
}

/// Checks that no receiver found a wrong checksum.
#[track_caller]
fn expect_checksums_right(fabric: &Fabric) {
    for namespace in fabric.namespaces() {
        let wrong = namespace.snmp("Tcp", "InCsumErrors");
        assert_eq!(wrong, 0, "in {}", namespace.name());
    }
}

#[test]
fn an_ordinary_server_reads_network_subnet_and_address_of_its_peer() {
    if !privileged() {
        return;
    }
    let fabric = Fabric::start(&twins(1500, &[]));
    let _server = Server::start(fabric.namespace("svc"), 443);
    let mut keys_seen = HashSet::new();
    for network in ["near", "far"] {
        let (vnet, subnet) = keys(&fabric, network);
        let mut client =
            Client::open(fabric.namespace(network), None, at(STORAGE, 443)).expect(network);
        client.say("hello").expect(network);
        let expected = Caller {
            vnet,
            subnet,
            region: 26,
            address: NIC,
        };
        assert_eq!(client.caller(), expected);
        let SocketAddr::V6(local) = client.local else {
            panic!("over IPv4");
        };
        let words = local.ip().segments();
        // Storage, in region 26.
        assert_eq!(words[..3], [0xfd41, 1, 26]);
        assert!(is_neutral(&words[..6]));
        assert_eq!((v4(words[6], words[7]), local.port()), (STORAGE, 443));
        let client_port = client.stream.get_ref().local_addr().unwrap().port();
        assert_eq!(client.peer.port(), client_port);
        keys_seen.insert((vnet, subnet));
    }
    assert_eq!(keys_seen.len(), 2, "each network has keys of its own");
    // A public caller has no identity.
    let public = Client::open(fabric.namespace("inet"), None, at(STORAGE, 443)).expect("inet");
    let SocketAddr::V6(peer) = public.peer else {
        panic!("the socket is one of IPv6");
    };
    assert_eq!(peer.ip().to_ipv4_mapped(), Some(INTERNET));
    // A port where nothing listens refuses as ever.
    let refused = Client::open(fabric.namespace("near"), None, at(STORAGE, 444));
    let refused = refused.err().expect("nothing listens").kind();
    assert_eq!(refused, io::ErrorKind::ConnectionRefused);
    assert_eq!(fabric.drops(), [""; 0], "nothing else came or went");
}

#[test]
fn t16_two_networks_with_equal_addresses_and_ports_never_mix() {
    const EACH: u16 = 1_000;
    if !privileged() {
        return;
    }
    let _alone = serial();
    open_many_files();
    let fabric = Fabric::start(&twins(1500, &[]));
    let server = Server::start(fabric.namespace("svc"), 443);
    let networks = ["near", "far"].map(|name| (name, keys(&fabric, name).0));
    let mut clients = Vec::new();
    for port in FIRST_PORT..FIRST_PORT + EACH {
        for (network, vnet) in networks {
            let from = Some(at(NIC, port));
            let client = Client::open(fabric.namespace(network), from, at(STORAGE, 443));
            let client = client.unwrap_or_else(|error| panic!("{network} {port}: {error}"));
            assert_eq!(client.caller().vnet, vnet);
            assert_eq!((client.caller().address, client.peer.port()), (NIC, port));
            clients.push((network, port, client));
        }
    }
    for (network, port, client) in &mut clients {
        let line = format!("{network} {port}");
        client
            .say(&line)
            .unwrap_or_else(|error| panic!("{line}: {error}"));
    }
    let seen: HashSet<_> = clients.iter().map(|(_, _, client)| client.peer).collect();
    assert_eq!(seen.len(), usize::from(EACH) * 2);
    assert_eq!(server.accepted.load(Ordering::Relaxed), seen.len());

    fabric
        .postern(&["endpoint", "disable", "near/work", "Microsoft.Storage"])
        .expect_success();
    for (network, port, client) in &mut clients {
        let said = client.say("after");
        match *network {
            "near" => {
                let error = said.expect_err("a connection of the switched subnet lives on");
                assert_eq!(error.kind(), io::ErrorKind::ConnectionReset, "{port}");
            }
            _ => said.unwrap_or_else(|error| panic!("{network} {port}: {error}")),
        }
    }
    expect_checksums_right(&fabric);
}

/// Bytes that tell where they are.
fn pattern(at: usize) -> u8 {
    let [a, b, c, ..] = (at / 7).to_le_bytes();
    a ^ b.rotate_left(3) ^ c.rotate_left(5)
}

fn send_pattern(mut stream: &TcpStream, length: usize) {
    let bytes: Vec<u8> = (0..length).map(pattern).collect();
    stream.write_all(&bytes).expect("send");
    stream.shutdown(std::net::Shutdown::Write).expect("end");
}

#[track_caller]
fn expect_pattern(mut stream: &TcpStream, length: usize) {
    let mut bytes = Vec::new();
    stream.set_read_timeout(Some(PATIENCE)).expect("a limit");
    stream.read_to_end(&mut bytes).expect("receive");
    assert_eq!(bytes.len(), length);
    let wrong = bytes
        .iter()
        .enumerate()
        .position(|(at, &byte)| byte != pattern(at));
    assert_eq!(wrong, None, "the first byte that is wrong");
}

#[test]
fn much_data_crosses_unchanged_whoever_has_offloads() {
    const LENGTH: usize = 24 << 20;
    if !privileged() {
        return;
    }
    let _alone = serial();
    let cases: [(u16, &[&str]); 5] = [
        (1500, &[]),
        (9000, &[]),
        (1500, &["svc"]),
        (1500, &["near"]),
        (1500, &["near", "svc"]),
    ];
    for (mtu, off) in cases {
        let fabric = Fabric::start(&twins(mtu, off));
        let service = fabric.namespace("svc");
        let listener = service.enter(|| TcpListener::bind((Ipv6Addr::UNSPECIFIED, 443)));
        let listener = listener.expect("listen");
        for up in [true, false] {
            let begun = Instant::now();
            let client = fabric
                .namespace("near")
                .enter(|| TcpStream::connect_timeout(&at(STORAGE, 443).into(), PATIENCE))
                .expect("connect");
            let (server, peer) = listener.accept().expect("a connection");
            assert!(matches!(peer, SocketAddr::V6(peer) if caller(*peer.ip()).address == NIC));
            let (from, into) = if up {
                (client, server)
            } else {
                (server, client)
            };
            thread::scope(|scope| {
                scope.spawn(|| send_pattern(&from, LENGTH));
                expect_pattern(&into, LENGTH);
            });
            println!("MTU {mtu}, off: {off:?}, up: {up}: {:?}", begun.elapsed());
        }
        expect_checksums_right(&fabric);
        assert_eq!(fabric.drops(), [""; 0], "MTU {mtu}, off: {off:?}");
    }
}

/// Sends a packet of a protocol from within a namespace; the kernel puts the IPv4 header.
fn send_raw(namespace: &Netns, protocol: rustix::net::Protocol, payload: &[u8]) {
    namespace
        .enter(|| {
            let socket = socket(AddressFamily::INET, SocketType::RAW, Some(protocol))?;
            sendto(&socket, payload, SendFlags::empty(), &at(STORAGE, 0))
        })
        .expect("send");
}

#[test]
fn a_guest_cannot_forge_who_it_is() {
    if !privileged() {
        return;
    }
    let fabric = Fabric::start(&twins(1500, &[]));
    let server = Server::start(fabric.namespace("svc"), 443);
    let near = fabric.namespace("near");
    let client = Client::open(fabric.namespace("far"), None, at(STORAGE, 443)).expect("far");
    let (SocketAddr::V6(far), SocketAddr::V6(service)) = (client.peer, client.local) else {
        panic!("over IPv4");
    };

    // The guest gives itself the other network's identity, and calls the service by its prefix.
    near.sh(&format!(
        "echo 0 > /proc/sys/net/ipv6/conf/postern0/disable_ipv6\n\
         ip -6 addr add {}/128 dev postern0 nodad\n\
         ip -6 route add fd41::/16 dev postern0\n",
        far.ip()
    ));
    let address = SocketAddr::V6(service);
    let called = near.enter(|| TcpStream::connect_timeout(&address, Duration::from_secs(1)));
    assert!(called.is_err(), "a forged connection is open");
    assert_ne!(fabric.drops_of("forged_identity"), 0);
    let before = fabric.drops_of("forged_identity");
    let ping = ["-6", "-c", "2", "-W", "1", &service.ip().to_string()].map(str::to_owned);
    assert!(!run(near.command("ping").args(ping)).success());
    assert!(fabric.drops_of("forged_identity") > before);

    // Other tunnels are not carried at all.
    let mut forged = vec![0x60, 0, 0, 0, 0, 0, 59, 64];
    forged.extend(far.ip().octets());
    forged.extend(service.ip().octets());
    for (protocol, header) in [
        (ipproto::GRE, &[0x20, 0, 0x86, 0xdd, 0, 0, 0x64, 0][..]),
        (ipproto::IPV6, &[]),
        (ipproto::IPIP, &[]),
    ] {
        let before = fabric.drops_of("encapsulated");
        send_raw(near, protocol, &[header, &forged].concat());
        let counted = || fabric.drops_of("encapsulated") > before;
        postern_tests::until("the packet is counted", PATIENCE, counted);
    }
    // An address of the network that is not the NIC's has no identity to lend.
    near.sh("ip addr add 10.0.1.5/32 dev lo");
    let spoofed = near.enter(|| {
        let socket = socket(AddressFamily::INET, SocketType::STREAM, None)?;
        set_socket_timeout(&socket, Timeout::Send, Some(Duration::from_secs(1)))?;
        bind(&socket, &SocketAddrV4::new(Ipv4Addr::new(10, 0, 1, 5), 0))?;
        connect(&socket, &at(STORAGE, 443))
    });
    assert!(spoofed.is_err(), "a spoofed connection is open");
    assert_ne!(fabric.drops_of("source_not_owned"), 0);
    assert_eq!(
        server.accepted.load(Ordering::Relaxed),
        1,
        "only the honest one"
    );
}
