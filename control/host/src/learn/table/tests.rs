use super::*;
use rtnetlink::packet_route::route::{RouteHeader, RouteProtocol as Protocol};

const OWN: u32 = 7;
const LAN: u32 = 3;

fn table() -> Table {
    let mut table = Table::new(LearnedRoutes {
        table: 254,
        protocols: Vec::new(),
    });
    table.read(Some(OWN), &[]);
    table
}

/// A route of BIRD by way of a router behind `LAN`; the cases change it in one place.
fn route(prefix: &str, router: &str) -> RouteMessage {
    let prefix: Ipv4Net = prefix.parse().unwrap();
    let mut message = RouteMessage::default();
    message.header = RouteHeader {
        address_family: AddressFamily::Inet,
        destination_prefix_length: prefix.prefix_len(),
        table: 254,
        protocol: Protocol::Bird,
        kind: RouteType::Unicast,
        ..RouteHeader::default()
    };
    let router = router.parse().unwrap();
    message.attributes = vec![
        RouteAttribute::Table(254),
        RouteAttribute::Destination(RouteAddress::Inet(prefix.addr())),
        RouteAttribute::Gateway(RouteAddress::Inet(router)),
        RouteAttribute::Oif(LAN),
        RouteAttribute::Priority(32),
    ];
    message
}

fn with(mut message: RouteMessage, metric: u32) -> RouteMessage {
    message.attributes.pop();
    message.attributes.push(RouteAttribute::Priority(metric));
    message
}

/// The learned routes as text: prefix, router, metric.
fn learned(table: &Table) -> Vec<String> {
    let text = |route: &LearnedRoute| {
        let router = route.next_hop.map(|router| router.to_string());
        let router = router.unwrap_or_default();
        format!("{} {router} {}", route.prefix, route.metric)
    };
    table.learned().iter().map(text).collect()
}

#[test]
fn routes_come_and_go_with_the_kernels_messages() {
    let mut table = table();
    let one = route("192.168.2.0/24", "172.31.0.2");
    let two = route("192.168.1.0/24", "172.31.0.2");
    assert_eq!(table.add(&one, false), Effect::Changed);
    assert_eq!(table.add(&one, false), Effect::None, "told twice");
    assert_eq!(table.add(&two, false), Effect::Changed);
    assert_eq!(
        learned(&table),
        [
            "192.168.1.0/24 172.31.0.2 32",
            "192.168.2.0/24 172.31.0.2 32"
        ]
    );
    assert_eq!(table.remove(&one), Effect::Changed);
    assert_eq!(table.remove(&one), Effect::None);
    assert_eq!(learned(&table), ["192.168.1.0/24 172.31.0.2 32"]);
    table.read(Some(OWN), &[one]);
    assert_eq!(learned(&table), ["192.168.2.0/24 172.31.0.2 32"]);
}

#[test]
fn a_prefix_stands_until_its_last_route_has_gone() {
    let mut table = table();
    let low = with(route("192.168.1.0/24", "172.31.0.2"), 10);
    let high = with(route("192.168.1.0/24", "172.31.0.3"), 20);
    table.add(&high, false);
    table.add(&low, false);
    assert_eq!(learned(&table), ["192.168.1.0/24 172.31.0.2 10"]);
    assert_eq!(table.remove(&low), Effect::Changed);
    assert_eq!(learned(&table), ["192.168.1.0/24 172.31.0.3 20"]);
    assert_eq!(table.remove(&high), Effect::Changed);
    assert!(learned(&table).is_empty());
}

#[test]
fn what_the_kernel_leaves_open_is_read_anew() {
    let mut table = table();
    let first = route("192.168.1.0/24", "172.31.0.2");
    let second = route("192.168.1.0/24", "172.31.0.3");
    assert_eq!(
        table.add(&first, true),
        Effect::Changed,
        "nothing to replace"
    );
    assert_eq!(table.add(&second, true), Effect::Unclear);
    assert_eq!(table.remove(&second), Effect::Unclear, "not the known one");
    let mut by_admin = second.clone();
    by_admin.header.protocol = Protocol::Boot;
    assert_eq!(
        table.add(&by_admin, true),
        Effect::Unclear,
        "in place of a learned one"
    );
}

/// A name, and what makes the route one that is not learned.
type Case = (&'static str, fn(&mut RouteMessage));

#[test]
fn what_no_daemon_learned_stays_out() {
    let spoil: [Case; 9] = [
        ("kernel", |route| route.header.protocol = Protocol::Kernel),
        ("boot", |route| route.header.protocol = Protocol::Boot),
        ("static", |route| route.header.protocol = Protocol::Static),
        ("dhcp", |route| route.header.protocol = Protocol::Dhcp),
        ("blackhole", |route| {
            route.header.kind = RouteType::BlackHole;
        }),
        ("another table", |route| {
            route.attributes[0] = RouteAttribute::Table(1000);
        }),
        ("service class", |route| route.header.tos = 0x10),
        ("IPv6", |route| {
            route.header.address_family = AddressFamily::Inet6;
        }),
        ("the own device", |route| {
            route.attributes[3] = RouteAttribute::Oif(OWN);
        }),
    ];
    for (what, spoil) in spoil {
        let mut table = table();
        let mut message = route("192.168.1.0/24", "172.31.0.2");
        spoil(&mut message);
        assert_eq!(table.add(&message, false), Effect::None, "{what}");
        assert_eq!(table.remove(&message), Effect::None, "{what}");
        assert!(learned(&table).is_empty(), "{what}");
    }
    for prefix in [
        "127.1.0.0/16",
        "224.0.0.0/4",
        "169.254.169.254/32",
        "168.63.129.16/32",
    ] {
        let message = route(prefix, "172.31.0.2");
        assert_eq!(table().add(&message, false), Effect::None, "{prefix}");
    }
}

#[test]
fn one_way_into_the_own_device_is_too_many() {
    let mut message = route("192.168.1.0/24", "172.31.0.2");
    let hop = |device| {
        let mut hop = RouteNextHop::default();
        hop.interface_index = device;
        hop
    };
    let several = |hops| RouteAttribute::MultiPath(hops);
    message.attributes[3] = several(vec![hop(LAN), hop(4)]);
    assert_eq!(table().add(&message, false), Effect::Changed);
    message.attributes[3] = several(vec![hop(LAN), hop(OWN)]);
    assert_eq!(table().add(&message, false), Effect::None);
}

#[test]
fn listed_protocols_alone_are_learned() {
    let mut table = Table::new(LearnedRoutes {
        table: 254,
        protocols: vec![RouteProtocol(4), RouteProtocol(186)],
    });
    for (protocol, effect) in [
        (Protocol::Static, Effect::Changed),
        (Protocol::Bgp, Effect::Changed),
        (Protocol::Bird, Effect::None),
        (Protocol::Kernel, Effect::None),
    ] {
        let mut message = route("192.168.1.0/24", "172.31.0.2");
        message.header.protocol = protocol;
        assert_eq!(table.add(&message, false), effect, "{protocol:?}");
    }
    assert_eq!(learned(&table).len(), 1, "one prefix, two routes");
}

#[test]
fn a_default_route_has_no_destination() {
    let mut table = table();
    let mut message = route("0.0.0.0/0", "172.31.0.2");
    message.attributes.remove(1);
    table.add(&message, false);
    assert_eq!(learned(&table), ["0.0.0.0/0 172.31.0.2 32"]);
}
