//! What the network rules of a resource and the endpoint policies of a subnet do to connections,
//! where no front stands before the resource. The cases named `tNN_` are the lines of the
//! conformance checklist.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a case ends with the message of what did not hold"
)]

use postern_tests::{
    Connection, End, Fabric, INTERNET, PUBLIC_DEFAULT, STORAGE, TcpServer, UdpServer, at,
    privileged,
};
use rustix::process::Signal;
use std::fmt::Write as _;
use std::io::ErrorKind;
use std::net::{Ipv4Addr, UdpSocket};
use std::time::Duration;

/// The public address of the reference's example, which one NIC after the other has.
const PIP: Ipv4Addr = Ipv4Addr::new(20, 0, 0, 9);
/// The NIC of subnet1.
const N1: Ipv4Addr = Ipv4Addr::new(10, 0, 1, 4);
/// The NIC of subnet2.
const N2: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 4);
/// The NIC of subnet3.
const N3: Ipv4Addr = Ipv4Addr::new(10, 0, 3, 4);
/// Another address of the Internet's device, which no rule names.
const STRANGER: Ipv4Addr = Ipv4Addr::new(93, 184, 216, 35);
/// Another address of `Storage.KoreaCentral`.
const STORAGE2: Ipv4Addr = Ipv4Addr::new(20, 60, 16, 6);
/// Addresses of `Storage.JapanEast`.
const JAPAN: Ipv4Addr = Ipv4Addr::new(20, 38, 116, 5);
const JAPAN2: Ipv4Addr = Ipv4Addr::new(20, 38, 116, 6);

/// How soon both sides of a cut connection must know.
const CUT: Duration = Duration::from_secs(1);

/// What no rule is about: everybody is let in.
const OPEN: &str = "";

const ON: &str = "serviceEndpoints = [\"Microsoft.Storage\"]\n";

/// Three subnets in Korea Central and one in Japan East, a NIC in each, and accounts of storage.
struct World {
    settings: String,
    /// What each of the subnets 1, 2 and 3 says beside its name and its prefix; without one, neither
    /// it nor its NIC is there.
    subnets: [Option<String>; 3],
    /// The NIC that has [`PIP`].
    holder: &'static str,
    /// What the account `contoso` says of who may use it.
    contoso: String,
    /// Whether the other accounts are there.
    accounts: bool,
    tail: String,
}

impl Default for World {
    fn default() -> Self {
        Self {
            settings: String::new(),
            subnets: [
                Some(ON.to_owned()),
                Some(ON.to_owned()),
                Some(String::new()),
            ],
            holder: "",
            contoso: OPEN.to_owned(),
            accounts: false,
            tail: String::new(),
        }
    }
}

impl World {
    fn nic(&self, name: &str, vnet: &str, subnet: &str, address: &str) -> String {
        let public = match name == self.holder {
            true => format!("publicIPAddress = \"{PIP}\"\n"),
            false => String::new(),
        };
        format!(
            "[[networkInterface]]\nname = \"{name}\"\nvirtualNetwork = \"{vnet}\"\n\
             subnet = \"{subnet}\"\nprivateIPAddress = \"{address}\"\n{public}\
             namespace = \"{name}\"\n"
        )
    }

    fn toml(&self) -> String {
        let mut text = format!(
            "location = \"koreacentral\"\n[settings]\n{}\n[internet]\n\
             addresses = [\"{INTERNET}/24\", \"{STRANGER}/24\"]\nnamespace = \"inet\"\n\
             [defaultOutbound]\npublicIPAddress = \"{PUBLIC_DEFAULT}\"\n\
             [[virtualNetwork]]\nname = \"VNet1\"\naddressPrefixes = [\"10.0.0.0/16\"]\n",
            self.settings
        );
        let mut nics = self.nic("far", "VNet2", "far", "10.8.0.4");
        for (number, subnet) in (1..).zip(&self.subnets) {
            let Some(subnet) = subnet else { continue };
            let _ = write!(
                text,
                "[[virtualNetwork.subnet]]\nname = \"subnet{number}\"\n\
                 addressPrefix = \"10.0.{number}.0/24\"\n{subnet}"
            );
            let (name, address) = (format!("n{number}"), format!("10.0.{number}.4"));
            nics += &self.nic(&name, "VNet1", &format!("subnet{number}"), &address);
        }
        text += "[[virtualNetwork]]\nname = \"VNet2\"\nlocation = \"japaneast\"\n\
                 addressPrefixes = [\"10.8.0.0/16\"]\n\
                 [[virtualNetwork.subnet]]\nname = \"far\"\naddressPrefix = \"10.8.0.0/24\"\n";
        text += &nics;
        text += &account("contoso", "koreacentral", STORAGE, &self.contoso);
        if self.accounts {
            text += &account("other", "koreacentral", STORAGE2, OPEN);
            text += &account("japan", "japaneast", JAPAN, OPEN);
            text += &account("japan2", "japaneast", JAPAN2, OPEN);
        }
        text + &self.tail
    }
}

fn account(name: &str, location: &str, address: Ipv4Addr, access: &str) -> String {
    format!(
        "[[service]]\nname = \"{name}\"\nservice = \"Microsoft.Storage\"\n\
         location = \"{location}\"\naddress = \"{address}\"\nnamespace = \"svc\"\n{access}\n"
    )
}

/// Rules that let in these subnets and public addresses, and nobody else.
fn deny_but(subnets: &[&str], addresses: &[Ipv4Addr]) -> String {
    let subnets = subnets
        .iter()
        .map(|id| format!("{{ id = \"VNet1/{id}\" }}"));
    let addresses = addresses.iter().map(|ip| format!("{{ value = \"{ip}\" }}"));
    let [subnets, addresses] = [subnets.collect::<Vec<_>>(), addresses.collect()];
    format!(
        "networkAcls = {{ defaultAction = \"Deny\", virtualNetworkRules = [{}], ipRules = [{}] }}\n",
        subnets.join(", "),
        addresses.join(", ")
    )
}

fn server(fabric: &Fabric, address: Ipv4Addr) -> TcpServer {
    TcpServer::start(fabric.namespace("svc"), at(address, 443))
}

#[track_caller]
fn connect(fabric: &Fabric, from: &str, to: Ipv4Addr) -> Connection {
    Connection::open(fabric.namespace(from), at(to, 443))
        .unwrap_or_else(|error| panic!("{from} to {to}: {error}"))
}

/// The address of `from` as the account sees it on a new connection.
#[track_caller]
fn source(fabric: &Fabric, from: &str, to: Ipv4Addr) -> Ipv4Addr {
    *connect(fabric, from, to).source.ip()
}

/// Checks that one connection is refused by a reset, and counted for this reason alone.
#[track_caller]
fn expect_refused(fabric: &Fabric, from: &str, to: Ipv4Addr, reason: &str) {
    let before = fabric.drops_of(reason);
    let refused = Connection::open(fabric.namespace(from), at(to, 443));
    let error = refused.expect_err("a refusal");
    assert_eq!(error.kind(), ErrorKind::ConnectionRefused, "{from} to {to}");
    assert_eq!(fabric.drops_of(reason), before + 1, "{:?}", fabric.drops());
}

#[track_caller]
fn expect_denied(fabric: &Fabric, from: &str) {
    expect_refused(fabric, from, STORAGE, "service_denied");
}

/// The state of the only network rule that `contoso` has.
fn rule_state(fabric: &Fabric) -> String {
    let shown = fabric.json(&["service", "show", "contoso"]);
    let rules = &shown["properties"]["networkAcls"]["virtualNetworkRules"];
    assert_eq!(rules.as_array().unwrap().len(), 1, "{shown}");
    rules[0]["state"].as_str().unwrap().to_owned()
}

/// The worked example of the reference, section 6.7, in which one address goes from hand to hand.
#[test]
fn worked_example_of_network_rules() {
    if !privileged() {
        return;
    }
    let mut world = World::default();
    let mut fabric = Fabric::start(&world.toml());
    let storage = server(&fabric, STORAGE);
    // Rules do nothing until the account denies what they do not name.
    world.contoso = deny_but(&["subnet1"], &[PIP]).replace("Deny", "Allow");
    fabric.apply(&world.toml());
    let open = ["n1", "n2", "n3", "far"].map(|from| source(&fabric, from, STORAGE));
    assert_eq!(open, [N1, N2, PUBLIC_DEFAULT, PUBLIC_DEFAULT]);

    world.contoso = deny_but(&["subnet1"], &[PIP, INTERNET]);
    fabric.apply(&world.toml());
    assert_eq!(source(&fabric, "n1", STORAGE), N1);
    world.holder = "n2";
    fabric.apply(&world.toml());
    // By an endpoint, so that the account has no eye for its address.
    expect_denied(&fabric, "n2");
    world.holder = "n3";
    fabric.apply(&world.toml());
    // The address is listed, and hidden from an account of the same region.
    expect_denied(&fabric, "n3");
    world.holder = "far";
    fabric.apply(&world.toml());
    assert_eq!(source(&fabric, "far", STORAGE), PIP, "another region's");
    world.holder = "";
    fabric.apply(&world.toml());
    expect_denied(&fabric, "far");
    // A laptop on the Internet, and its neighbour.
    assert_eq!(source(&fabric, "inet", STORAGE), INTERNET);
    let seen = storage.seen().len();
    let inet = fabric.namespace("inet");
    let refused = Connection::open_from(inet, at(STRANGER, 0), at(STORAGE, 443));
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::ConnectionRefused);
    assert_eq!(storage.seen().len(), seen, "nothing of it came through");
    assert_eq!(source(&fabric, "n1", STORAGE), N1);
    assert_eq!(fabric.drops_of("service_denied"), 4);
}

#[test]
fn t17_a_recreated_subnet_is_denied_by_the_old_rule() {
    if !privileged() {
        return;
    }
    let ruled = || World {
        contoso: deny_but(&["subnet2"], &[]),
        ..World::default()
    };
    let gone = World {
        subnets: [Some(ON.to_owned()), None, Some(String::new())],
        ..ruled()
    };
    let unruled = World {
        contoso: deny_but(&[], &[]),
        ..World::default()
    };
    let mut fabric = Fabric::start(&ruled().toml());
    let storage = server(&fabric, STORAGE);
    let live = connect(&fabric, "n2", STORAGE);
    assert_eq!(*live.source.ip(), N2);
    expect_denied(&fabric, "n1");

    // The rule stays behind, and lets nobody in.
    assert_eq!(rule_state(&fabric), "Succeeded");
    fabric.apply(&gone.toml());
    assert_eq!(rule_state(&fabric), "NetworkSourceDeleted");
    assert_eq!(storage.wait_end(live.source, CUT), End::Reset);
    expect_denied(&fabric, "n1");
    fabric.apply(&ruled().toml());
    expect_denied(&fabric, "n2");
    // It is remembered over a restart which subnet the rule was made for.
    fabric.write("postern.toml", &ruled().toml());
    assert!(fabric.stop(Signal::TERM).success());
    fabric.run();
    assert_eq!(rule_state(&fabric), "NetworkSourceDeleted");
    expect_denied(&fabric, "n2");
    // Only a rule that is made again names the subnet that is there now.
    fabric.apply(&unruled.toml());
    expect_denied(&fabric, "n2");
    fabric.apply(&ruled().toml());
    assert_eq!(source(&fabric, "n2", STORAGE), N2);
    expect_denied(&fabric, "n1");
}

/// The half of the line that needs no front; the refusal in the service's words is the front's.
#[test]
fn t18_an_address_rule_stops_matching_when_the_endpoint_is_on() {
    if !privileged() {
        return;
    }
    // A switched endpoint resets, also where rules act on live connections.
    for reevaluates in ["", "reevaluateOnChange = true\n"] {
        t18_with(&format!(
            "sameRegionPublicSourceHidden = false\n{reevaluates}"
        ));
    }
}

fn t18_with(settings: &str) {
    let mut world = World {
        settings: settings.to_owned(),
        holder: "n3",
        contoso: deny_but(&[], &[PIP]),
        ..World::default()
    };
    let mut fabric = Fabric::start(&world.toml());
    let storage = server(&fabric, STORAGE);
    let mut live = connect(&fabric, "n3", STORAGE);
    assert_eq!(*live.source.ip(), PIP);
    fabric.endpoint("enable", "subnet3", "Microsoft.Storage");
    assert_eq!(live.wait_end(CUT), End::Reset);
    assert_eq!(storage.wait_end(live.source, CUT), End::Reset);
    expect_denied(&fabric, "n3");

    world.subnets[2] = Some(ON.to_owned());
    world.contoso = deny_but(&["subnet3"], &[PIP]);
    fabric.apply(&world.toml());
    assert_eq!(source(&fabric, "n3", STORAGE), N3);
    // Back on the public path the other rule decides again.
    let mut live = connect(&fabric, "n3", STORAGE);
    fabric.endpoint("disable", "subnet3", "Microsoft.Storage");
    assert_eq!(live.wait_end(CUT), End::Reset);
    assert_eq!(source(&fabric, "n3", STORAGE), PIP);
    world.subnets[2] = Some(String::new());
    world.contoso = deny_but(&["subnet3"], &[]);
    fabric.apply(&world.toml());
    expect_denied(&fabric, "n3");
}

/// A policy that lists `contoso` and `japan`.
fn policy(audit: bool) -> String {
    let scope = "/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/postern";
    let id = |name: &str| format!("{scope}/providers/Microsoft.Storage/storageAccounts/{name}");
    format!(
        "[[serviceEndpointPolicy]]\nname = \"sep1\"\naudit = {audit}\n\
         [[serviceEndpointPolicy.definition]]\nname = \"own\"\nservice = \"Microsoft.Storage\"\n\
         serviceResources = [\"{}\", \"{}\"]\n",
        id("contoso"),
        id("JAPAN")
    )
}

/// Whether a route of this NIC's endpoint covers an address of Japan East.
fn reaches_japan(fabric: &Fabric, nic: &str) -> bool {
    let routes = fabric.json(&["routes", nic]);
    let rows = routes["value"].as_array().unwrap();
    rows.iter()
        .filter(|row| row["nextHopType"] == "VirtualNetworkServiceEndpoint")
        .flat_map(|row| row["addressPrefix"].as_array().unwrap())
        .any(|prefix| covers(prefix.as_str().unwrap(), JAPAN))
}

fn covers(prefix: &str, address: Ipv4Addr) -> bool {
    let (network, length) = prefix.split_once('/').unwrap();
    let network: Ipv4Addr = network.parse().unwrap();
    let host_bits = 32 - length.parse::<u32>().unwrap();
    let first_bits = |address: Ipv4Addr| u64::from(address.to_bits()) >> host_bits;
    first_bits(network) == first_bits(address)
}

/// What `flows` says of how this connection of the NIC was let in.
fn admission(fabric: &Fabric, nic: &str, connection: &Connection) -> serde_json::Value {
    let flows = fabric.json(&["flows", "--nic", nic]);
    let source = connection.local.to_string();
    let mut flows = flows["value"].as_array().unwrap().iter();
    let flow = flows.find(|flow| flow["source"] == source.as_str());
    flow.expect("the flow is listed")["admission"].clone()
}

#[test]
fn t19_an_endpoint_policy_widens_to_every_region_and_denies_unlisted_accounts() {
    if !privileged() {
        return;
    }
    let world = |attached: bool, audit: bool| {
        let list = if attached {
            "serviceEndpointPolicies = [\"sep1\"]\n"
        } else {
            ""
        };
        let first = Some(format!("{ON}{list}"));
        World {
            subnets: [first, Some(ON.to_owned()), Some(String::new())],
            accounts: true,
            tail: policy(audit),
            ..World::default()
        }
        .toml()
    };
    let mut fabric = Fabric::start(&world(false, false));
    let servers = [STORAGE, STORAGE2, JAPAN, JAPAN2].map(|address| server(&fabric, address));
    let _internet = TcpServer::start(fabric.namespace("inet"), at(INTERNET, 443));
    let all = [STORAGE, STORAGE2, JAPAN, JAPAN2];
    let sources = |fabric: &Fabric, from: &str| all.map(|to| source(fabric, from, to));
    let narrow = |own| [own, own, PUBLIC_DEFAULT, PUBLIC_DEFAULT];
    assert_eq!(sources(&fabric, "n1"), narrow(N1));
    assert!(!reaches_japan(&fabric, "n1"));
    let mut kept: Vec<_> = [
        ("n1", STORAGE),
        // Not listed, but on its way: a policy decides on new connections.
        ("n1", STORAGE2),
        ("n1", INTERNET),
        ("n2", JAPAN),
        ("n2", STORAGE2),
    ]
    .map(|(from, to)| connect(&fabric, from, to))
    .into();
    let mut moved = [JAPAN, JAPAN2].map(|to| connect(&fabric, "n1", to));

    fabric.apply(&world(true, false));
    for (connection, server) in moved.iter_mut().zip(&servers[2..]) {
        assert_eq!(connection.wait_end(CUT), End::Reset);
        assert_eq!(server.wait_end(connection.source, CUT), End::Reset);
    }
    kept.iter_mut().for_each(Connection::expect_alive);
    assert!(reaches_japan(&fabric, "n1"));
    assert_eq!(
        [STORAGE, JAPAN].map(|to| source(&fabric, "n1", to)),
        [N1; 2]
    );
    for unlisted in [STORAGE2, JAPAN2] {
        expect_refused(&fabric, "n1", unlisted, "endpoint_policy_denied");
    }
    assert_eq!(fabric.drops_of("service_denied"), 0);
    assert!(!reaches_japan(&fabric, "n2"));
    assert_eq!(sources(&fabric, "n2"), narrow(N2));

    fabric.apply(&world(true, true));
    assert_eq!(sources(&fabric, "n1"), [N1; 4], "audited, and let pass");
    for (to, audited) in [(STORAGE, false), (STORAGE2, true)] {
        let open = connect(&fabric, "n1", to);
        let admission = admission(&fabric, "n1", &open);
        assert_eq!(admission["audited"], audited, "{to}: {admission}");
    }
    assert_eq!(fabric.drops_of("endpoint_policy_denied"), 2);
    kept.iter_mut().for_each(Connection::expect_alive);

    let mut moved = connect(&fabric, "n1", JAPAN);
    fabric.apply(&world(false, true));
    assert_eq!(moved.wait_end(CUT), End::Reset);
    assert_eq!(servers[2].wait_end(moved.source, CUT), End::Reset);
    kept.iter_mut().for_each(Connection::expect_alive);
    assert!(!reaches_japan(&fabric, "n1"));
    assert_eq!(sources(&fabric, "n1"), narrow(N1));
}

/// The account of `contoso` refuses everybody but subnet1, in this way.
fn refusing(refusal: &str) -> World {
    World {
        contoso: format!("refusal = \"{refusal}\"\n{}", deny_but(&["subnet1"], &[])),
        ..World::default()
    }
}

#[test]
fn a_refusal_is_a_reset_an_error_or_nothing() {
    if !privileged() {
        return;
    }
    let mut fabric = Fabric::start(&refusing("reset").toml());
    let storage = server(&fabric, STORAGE);
    let attempt = |fabric: &Fabric, from: &str| {
        let before = fabric.drops_of("service_denied");
        let error = Connection::open(fabric.namespace(from), at(STORAGE, 443)).unwrap_err();
        (error.kind(), fabric.drops_of("service_denied") - before)
    };
    // By an endpoint, from behind a shared address, and from the Internet.
    for (refusal, kind) in [
        ("reset", ErrorKind::ConnectionRefused),
        ("prohibited", ErrorKind::HostUnreachable),
    ] {
        fabric.apply(&refusing(refusal).toml());
        for from in ["n2", "n3", "inet"] {
            assert_eq!(attempt(&fabric, from), (kind, 1), "{refusal} {from}");
        }
    }
    fabric.apply(&refusing("silent").toml());
    let (kind, count) = attempt(&fabric, "n2");
    assert_eq!(kind, ErrorKind::TimedOut);
    // A client that hears nothing asks again.
    assert!(count > 1, "{count}");
    assert_eq!(source(&fabric, "n1", STORAGE), N1);
    assert_eq!(
        storage.seen().len(),
        1,
        "nothing of the others came through"
    );
    assert_eq!(fabric.leases(), 0, "refused connections hold no port");
}

/// Sends one datagram to the account, and returns what comes back of it.
fn datagram(fabric: &Fabric, from: &str) -> std::io::Result<usize> {
    fabric.namespace(from).enter(|| {
        let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
        socket.connect(at(STORAGE, 443))?;
        socket.set_read_timeout(Some(Duration::from_secs(5)))?;
        socket.send(b"?")?;
        socket.recv(&mut [0; 64])
    })
}

#[test]
fn datagrams_never_ride_an_endpoint_and_are_refused_by_an_error() {
    if !privileged() {
        return;
    }
    let mut fabric = Fabric::start(&refusing("reset").toml());
    let _storage = server(&fabric, STORAGE);
    let _udp = UdpServer::start(fabric.namespace("svc"), at(STORAGE, 443));
    assert_eq!(source(&fabric, "n1", STORAGE), N1);
    for (refusal, kind) in [
        ("reset", ErrorKind::ConnectionRefused),
        ("prohibited", ErrorKind::HostUnreachable),
    ] {
        fabric.apply(&refusing(refusal).toml());
        // The rule for its subnet is of no use to subnet1 here.
        for from in ["n1", "n3"] {
            let before = fabric.drops_of("service_denied");
            assert_eq!(datagram(&fabric, from).unwrap_err().kind(), kind, "{from}");
            assert_eq!(fabric.drops_of("service_denied"), before + 1);
        }
    }
    fabric.apply(&World::default().toml());
    assert!(datagram(&fabric, "n1").unwrap() > 0, "it had no answer");
}

#[test]
fn a_policy_acts_on_live_connections_where_the_switch_says_so() {
    if !privileged() {
        return;
    }
    let world = |list: &str| World {
        settings: "reevaluateOnChange = true".to_owned(),
        subnets: [Some(format!("{ON}{list}")), Some(ON.to_owned()), None],
        accounts: true,
        tail: policy(false),
        ..World::default()
    };
    let mut fabric = Fabric::start(&world("").toml());
    let _servers = [STORAGE, STORAGE2].map(|address| server(&fabric, address));
    let mut listed = connect(&fabric, "n1", STORAGE);
    let mut unlisted = connect(&fabric, "n1", STORAGE2);
    let mut sibling = connect(&fabric, "n2", STORAGE2);
    fabric.apply(&world("serviceEndpointPolicies = [\"sep1\"]\n").toml());
    listed.expect_alive();
    sibling.expect_alive();
    assert_eq!(unlisted.echo().unwrap_err().kind(), ErrorKind::WouldBlock);
    expect_refused(&fabric, "n1", STORAGE2, "endpoint_policy_denied");
}

#[test]
fn an_account_that_is_closed_to_networks_refuses_those_of_its_rules_too() {
    if !privileged() {
        return;
    }
    let closed = World {
        contoso: format!(
            "publicNetworkAccess = \"Disabled\"\n{}",
            deny_but(&["subnet1"], &[INTERNET])
        ),
        ..World::default()
    };
    let mut fabric = Fabric::start(&closed.toml());
    let _storage = server(&fabric, STORAGE);
    for from in ["n1", "n2", "n3", "inet"] {
        expect_denied(&fabric, from);
    }
    let open = closed.toml().replace("Disabled", "Enabled");
    fabric.apply(&open);
    assert_eq!(source(&fabric, "n1", STORAGE), N1);
    assert_eq!(source(&fabric, "inet", STORAGE), INTERNET);
}

#[test]
fn edits_of_rules_act_on_live_connections_where_the_switch_says_so() {
    if !privileged() {
        return;
    }
    for (settings, survives) in [("", true), ("reevaluateOnChange = true", false)] {
        let with = |rules: String| World {
            settings: settings.to_owned(),
            contoso: rules,
            ..World::default()
        };
        let mut fabric = Fabric::start(&with(deny_but(&["subnet1", "subnet2"], &[])).toml());
        let _storage = server(&fabric, STORAGE);
        let mut named = connect(&fabric, "n1", STORAGE);
        let mut edited = connect(&fabric, "n2", STORAGE);
        fabric.apply(&with(deny_but(&["subnet1"], &[])).toml());
        expect_denied(&fabric, "n2");
        named.expect_alive();
        let echoed = edited.echo().map_err(|error| error.kind());
        // A rule that acts on a live connection does so without a word.
        let lost = Err(ErrorKind::WouldBlock);
        assert_eq!(echoed, if survives { Ok(()) } else { lost }, "{settings}");
        assert_eq!(source(&fabric, "n1", STORAGE), N1);
    }
}
