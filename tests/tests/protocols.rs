//! Protocols besides TCP, UDP and ICMP, by the kernel's own raw sockets at both ends.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a case ends with the message of what did not hold"
)]

use postern_tests::{
    Fabric, INTERNET, Netns, PUBLIC_VM0, UdpServer, VM0, VM1, VM2, World, at, privileged, until,
};
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{
    AddressFamily, Protocol, RecvFlags, SendFlags, SocketType, ipproto, recv, sendto, socket,
};
use std::net::{Ipv4Addr, UdpSocket};
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

/// A socket that sends and hears packets of one protocol.
struct Raw(OwnedFd);

impl Raw {
    fn open(namespace: &Netns, protocol: Protocol) -> Self {
        let open = || socket(AddressFamily::INET, SocketType::RAW, Some(protocol));
        let socket = namespace.enter(open).unwrap();
        set_socket_timeout(&socket, Timeout::Recv, Some(Duration::from_millis(100))).unwrap();
        Self(socket)
    }

    /// Sends something that begins as ESP does: SPI and sequence number.
    fn send(&self, to: Ipv4Addr, text: &str) {
        let payload = [&[0, 0, 1, 0, 0, 0, 0, 1], text.as_bytes()].concat();
        sendto(&self.0, &payload, SendFlags::empty(), &at(to, 0)).unwrap();
    }

    /// Returns the source of the packet with this text, if it comes within the time.
    fn hear(&self, text: &str, limit: Duration) -> Option<Ipv4Addr> {
        let deadline = Instant::now() + limit;
        let mut bytes = [0; 2048];
        while Instant::now() < deadline {
            let Ok((length, _)) = recv(&self.0, &mut bytes, RecvFlags::empty()) else {
                continue;
            };
            if bytes[..length].ends_with(text.as_bytes()) {
                return Some(Ipv4Addr::new(bytes[12], bytes[13], bytes[14], bytes[15]));
            }
        }
        None
    }

    fn expect(&self, text: &str) -> Ipv4Addr {
        let heard = self.hear(text, Duration::from_secs(30));
        heard.unwrap_or_else(|| panic!("{text:?} did not arrive"))
    }
}

/// Waits until so many frames were dropped for this reason, and no more.
fn counted(fabric: &Fabric, reason: &str, frames: u64) {
    let is_there = || fabric.drops_of(reason) == frames;
    until(reason, Duration::from_secs(30), is_there);
}

/// A group for subnet2 that lets in ESP alone.
const ESP_ALONE: &str = r#"
[[networkSecurityGroup]]
name = "esp"
[[networkSecurityGroup.securityRule]]
name = "esp"
priority = 100
direction = "Inbound"
access = "Allow"
protocol = "Esp"
sourceAddressPrefix = "*"
destinationAddressPrefix = "*"
destinationPortRange = "*"
[[networkSecurityGroup.securityRule]]
name = "nothing-else"
priority = 200
direction = "Inbound"
access = "Deny"
protocol = "*"
sourceAddressPrefix = "*"
destinationAddressPrefix = "*"
destinationPortRange = "*"
"#;

#[test]
fn security_rules_decide_on_esp_and_ah_between_nics() {
    if !privileged() {
        return;
    }
    let world = World {
        nsg2: Some("esp"),
        tail: ESP_ALONE.to_owned(),
        ..World::default()
    };
    let fabric = Fabric::start(&world.to_string());
    let (vm0, vm1) = (fabric.namespace("vm0"), fabric.namespace("vm1"));
    let esp = [vm0, vm1].map(|vm| Raw::open(vm, ipproto::ESP));
    let ah = [vm0, vm1].map(|vm| Raw::open(vm, ipproto::AH));
    esp[0].send(VM1, "there");
    assert_eq!(esp[1].expect("there"), VM0);
    esp[1].send(VM0, "and back");
    assert_eq!(esp[0].expect("and back"), VM1);
    let flows = fabric.json(&["flows"]);
    assert_eq!(flows["value"][0]["protocol"], "esp", "{flows}");
    assert_eq!(flows["value"].as_array().unwrap().len(), 1, "{flows}");

    ah[0].send(VM1, "denied");
    counted(&fabric, "nsg_denied_in", 1);
    ah[1].send(VM0, "outward");
    assert_eq!(
        ah[0].expect("outward"),
        VM1,
        "the group is for what comes in"
    );
    ah[0].send(VM1, "in answer");
    assert_eq!(ah[1].expect("in answer"), VM0);
}

#[test]
fn esp_passes_an_instance_address_and_no_shared_source() {
    if !privileged() {
        return;
    }
    let fabric = Fabric::start(&World::default().to_string());
    let inet = fabric.namespace("inet");
    let outside = Raw::open(inet, ipproto::ESP);
    let own = Raw::open(fabric.namespace("vm0"), ipproto::ESP);
    own.send(INTERNET, "hello");
    assert_eq!(outside.expect("hello"), PUBLIC_VM0);
    outside.send(PUBLIC_VM0, "welcome");
    assert_eq!(own.expect("welcome"), INTERNET);

    Raw::open(fabric.namespace("vm1"), ipproto::ESP).send(INTERNET, "shared");
    Raw::open(fabric.namespace("vm0"), ipproto::AH).send(INTERNET, "covers its addresses");
    Raw::open(inet, ipproto::AH).send(PUBLIC_VM0, "so does this");
    counted(&fabric, "not_translatable", 3);
}

#[test]
fn encapsulated_packets_and_the_hosts_port_are_dropped_by_name() {
    if !privileged() {
        return;
    }
    let fabric = Fabric::start(&World::default().to_string());
    let vm1 = fabric.namespace("vm1");
    for protocol in [ipproto::IPIP, ipproto::IPV6, ipproto::GRE] {
        Raw::open(vm1, protocol).send(VM2, "within");
    }
    counted(&fabric, "encapsulated", 3);

    let server = at(VM2, 53);
    let _server = UdpServer::start(fabric.namespace("vm2"), server);
    let send = |port| {
        let socket = vm1.enter(|| UdpSocket::bind(at(VM1, port))).unwrap();
        socket.connect(server).unwrap();
        socket
            .set_read_timeout(Some(Duration::from_secs(2)))
            .unwrap();
        socket.send(b"who am I").unwrap();
        socket
    };
    drop(send(65_330));
    counted(&fabric, "reserved_port", 1);
    let mut bytes = [0; 64];
    let length = send(65_329).recv(&mut bytes).unwrap();
    assert_eq!(&bytes[..length], b"10.0.2.4:65329");
}
