//! Bad input: refused with file, key, value and what would be accepted, the running policy untouched.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a case ends with the message of what did not hold"
)]

use postern_tests::{
    Connection, Fabric, PUBLIC_VM0, Refused, STORAGE, TcpServer, World, at, privileged,
};

/// A way to spoil a good file: what is replaced by what, and what the refusal must name.
struct Spoiled {
    case: &'static str,
    good: &'static str,
    bad: &'static str,
    key: &'static str,
    value: &'static str,
}

const fn spoiled(
    case: &'static str,
    good: &'static str,
    bad: &'static str,
    key: &'static str,
    value: &'static str,
) -> Spoiled {
    Spoiled {
        case,
        good,
        bad,
        key,
        value,
    }
}

const GROUP: &str = r#"
[[networkSecurityGroup]]
name = "nsg1"
[[networkSecurityGroup.securityRule]]
name = "first"
priority = 100
direction = "Inbound"
access = "Allow"
protocol = "Tcp"
sourceAddressPrefix = "*"
sourcePortRange = "*"
destinationAddressPrefix = "*"
destinationPortRange = "80-90"
[[networkSecurityGroup.securityRule]]
name = "second"
priority = 200
direction = "Inbound"
access = "Deny"
protocol = "*"
sourceAddressPrefix = "*"
sourcePortRange = "*"
destinationAddressPrefix = "*"
destinationPortRange = "*"
"#;

const CASES: [Spoiled; 20] = [
    spoiled(
        "malformed TOML",
        "privateIPAddress = \"10.0.1.4\"",
        "privateIPAddress = \"10.0.1.4",
        "bad.toml:",
        "not TOML",
    ),
    spoiled(
        "overlapping subnets",
        "addressPrefix = \"10.0.2.0/24\"",
        "addressPrefix = \"10.0.0.0/22\"",
        "addressPrefix",
        "10.0.0.0/22",
    ),
    spoiled(
        "a subnet outside its network",
        "addressPrefix = \"10.0.2.0/24\"",
        "addressPrefix = \"10.1.2.0/24\"",
        "addressPrefix",
        "10.1.2.0/24",
    ),
    spoiled(
        "a prefix with host bits",
        "addressPrefix = \"10.0.2.0/24\"",
        "addressPrefix = \"10.0.2.1/24\"",
        "addressPrefix",
        "10.0.2.1/24",
    ),
    spoiled(
        "an unknown service of an endpoint",
        "serviceEndpoints = []",
        "serviceEndpoints = [\"Microsoft.Storrage\"]",
        "serviceEndpoints",
        "Microsoft.Storrage",
    ),
    spoiled(
        "an unknown service",
        "service = \"Microsoft.Storage\"",
        "service = \"Contoso.Storage\"",
        "service",
        "Contoso.Storage",
    ),
    spoiled(
        "an address that is not of its service",
        "address = \"20.60.16.5\"",
        "address = \"93.184.216.40\"",
        "address",
        "93.184.216.40",
    ),
    spoiled(
        "an address outside its subnet",
        "privateIPAddress = \"10.0.1.4\"",
        "privateIPAddress = \"10.0.9.4\"",
        "privateIPAddress",
        "10.0.9.4",
    ),
    spoiled(
        "an address that the subnet reserves",
        "privateIPAddress = \"10.0.1.4\"",
        "privateIPAddress = \"10.0.1.1\"",
        "privateIPAddress",
        "10.0.1.1",
    ),
    spoiled(
        "an address twice",
        "privateIPAddress = \"10.0.2.5\"",
        "privateIPAddress = \"10.0.2.4\"",
        "privateIPAddress",
        "10.0.2.4",
    ),
    spoiled(
        "no address at all",
        "privateIPAddress = \"10.0.1.4\"",
        "privateIPAddress = \"10.0.1\"",
        "privateIPAddress",
        "10.0.1",
    ),
    spoiled(
        "an unknown subnet",
        "subnet = \"subnet1\"",
        "subnet = \"subnet7\"",
        "subnet",
        "subnet7",
    ),
    spoiled(
        "an unknown group",
        "networkSecurityGroup = \"nsg1\"",
        "networkSecurityGroup = \"nsg7\"",
        "networkSecurityGroup",
        "nsg7",
    ),
    spoiled(
        "a port range reversed",
        "destinationPortRange = \"80-90\"",
        "destinationPortRange = \"90-80\"",
        "destinationPortRange",
        "90-80",
    ),
    spoiled(
        "a port too large",
        "destinationPortRange = \"80-90\"",
        "destinationPortRange = \"80-65536\"",
        "destinationPortRange",
        "80-65536",
    ),
    spoiled(
        "a duplicate priority",
        "priority = 200",
        "priority = 100",
        "priority",
        "100",
    ),
    spoiled(
        "a priority out of range",
        "priority = 200",
        "priority = 99",
        "priority",
        "99",
    ),
    spoiled(
        "an unknown direction",
        "direction = \"Inbound\"",
        "direction = \"In\"",
        "direction",
        "In",
    ),
    spoiled(
        "an unknown key",
        "priority = 200",
        "prioritee = 200",
        "prioritee",
        "",
    ),
    spoiled(
        "an unknown location",
        "location = \"koreacentral\"",
        "location = \"mars\"",
        "location",
        "mars",
    ),
];

fn good_file() -> String {
    World {
        tail: GROUP.to_owned(),
        nsg2: Some("nsg1"),
        ..World::default()
    }
    .to_string()
}

#[test]
fn a_bad_file_is_refused_and_the_running_policy_untouched() {
    if !privileged() {
        return;
    }
    let good = good_file();
    let mut fabric = Fabric::start(&good);
    let _storage = TcpServer::start(fabric.namespace("svc"), at(STORAGE, 443));
    let mut open = Connection::open(fabric.namespace("vm0"), at(STORAGE, 443)).unwrap();
    let before = (
        fabric.epoch(),
        fabric.json(&["endpoint", "list"]),
        fabric.json(&["nsg", "list"]),
    );

    let mut unclear = Vec::new();
    for case in &CASES {
        assert!(good.contains(case.good), "{}", case.case);
        let path = fabric.write("bad.toml", &good.replacen(case.good, case.bad, 1));
        for verb in ["check", "apply"] {
            let output = fabric.postern(&[verb, &path.to_string_lossy()]);
            let expected = Refused {
                key: case.key,
                value: case.value,
            };
            if let Err(reason) = Fabric::is_refused(&output, &path, expected) {
                unclear.push(format!("{}: {reason}\n", case.case));
            }
        }
        open.expect_alive();
    }
    assert!(unclear.is_empty(), "{}", unclear.join("\n"));
    let after = (
        fabric.epoch(),
        fabric.json(&["endpoint", "list"]),
        fabric.json(&["nsg", "list"]),
    );
    assert_eq!(after, before);
    let fresh = Connection::open(fabric.namespace("vm0"), at(STORAGE, 443)).unwrap();
    assert_eq!(*fresh.source.ip(), PUBLIC_VM0);
}

#[test]
fn a_corrupted_service_tag_file_is_refused() {
    const TAGS: &str = r#"{"changeNumber": 1, "cloud": "Public", "values": [{
        "name": "Storage.KoreaCentral", "id": "Storage.KoreaCentral",
        "properties": {"changeNumber": 1, "region": "koreacentral", "regionId": 50,
        "platform": "Azure", "systemService": "AzureStorage",
        "addressPrefixes": ["20.60.16.0/24"], "networkFeatures": ["API", "NSG"]}}]}"#;
    if !privileged() {
        return;
    }
    let fabric = Fabric::prepare(&good_file());
    let config = fabric.config();
    for (name, content, key, value) in [
        ("cut.json", TAGS[..TAGS.len() / 2].to_owned(), "", ""),
        ("text.json", "no tags".to_owned(), "", ""),
        ("binary.json", "\u{0}\u{1}\u{2}".to_owned(), "", ""),
        ("list.json", "[]".to_owned(), "", ""),
        (
            "prefix.json",
            TAGS.replace("/24", "/33"),
            "addressPrefixes",
            "20.60.16.0/33",
        ),
        (
            "kind.json",
            TAGS.replace("[\"20.60.16.0/24\"]", "7"),
            "addressPrefixes",
            "7",
        ),
    ] {
        let path = fabric.dir().write(name, content);
        for arguments in [vec!["check"], vec!["run", "-c"]] {
            let mut line = arguments;
            let (config, tags) = (config.to_string_lossy(), path.to_string_lossy());
            line.extend([&*config, "--service-tags", &*tags]);
            let output = fabric.postern(&line);
            if let Err(reason) = Fabric::is_refused(&output, &path, Refused { key, value }) {
                panic!("{name}: {reason}");
            }
        }
    }
    let missing = fabric.postern(&[
        "check",
        &config.to_string_lossy(),
        "--service-tags",
        "/nowhere",
    ]);
    assert_eq!(missing.code, Some(1), "{missing}");
    assert!(missing.stderr.contains("/nowhere"), "{missing}");
}

#[test]
fn verbs_refuse_what_does_not_exist() {
    if !privileged() {
        return;
    }
    let fabric = Fabric::start(&good_file());
    let epoch = fabric.epoch();
    for (line, named) in [
        (
            "endpoint enable VNet1/subnet1 Microsoft.Storrage",
            "Microsoft.Storrage",
        ),
        ("endpoint enable VNet1/subnet7 Microsoft.Storage", "subnet7"),
        ("endpoint enable VNet7/subnet1 Microsoft.Storage", "VNet7"),
        (
            "endpoint disable VNet1/subnet7 Microsoft.Storage",
            "subnet7",
        ),
        ("routes vm7", "vm7"),
        ("nsg show nsg7", "nsg7"),
        ("apply /nowhere.toml", "/nowhere.toml"),
        ("check /nowhere.toml", "/nowhere.toml"),
    ] {
        let words: Vec<_> = line.split(' ').collect();
        let output = fabric.postern(&words);
        assert_eq!(output.code, Some(1), "{output}");
        assert!(output.stderr.contains(named), "{output}");
        assert_eq!(output.stderr.lines().count(), 1, "{output}");
    }
    for line in ["", "fly", "endpoint enable VNet1/subnet1", "stats -o yaml"] {
        let words: Vec<_> = line.split(' ').filter(|word| !word.is_empty()).collect();
        let output = fabric.postern(&words);
        assert_eq!(output.code, Some(2), "{output}");
    }
    assert_eq!(fabric.epoch(), epoch);
}

/// What the cases below spoil: a route table on GatewaySubnet and on subnet1, and a peering.
const ROUTING: &str = r#"
[[routeTable]]
name = "rt"
[[routeTable.route]]
name = "all"
addressPrefix = "0.0.0.0/0"
nextHopType = "VirtualAppliance"
nextHopIpAddress = "10.0.2.4"
[[virtualNetwork]]
name = "VNet2"
addressPrefixes = ["10.2.0.0/16"]
[[virtualNetwork.peering]]
remote = "VNet3"
[[virtualNetwork.subnet]]
name = "GatewaySubnet"
addressPrefix = "10.2.0.0/24"
routeTable = "rt"
[[virtualNetwork]]
name = "VNet3"
addressPrefixes = ["10.3.0.0/16"]
"#;

/// What Azure refuses of routes, rules, peerings and endpoints, and what the refusal must say: where
/// the platform's own code or words are known, those.
const REFUSED_BY_AZURE: [Spoiled; 12] = [
    spoiled(
        "an appliance without an address",
        "nextHopIpAddress = \"10.0.2.4\"\n",
        "",
        "routeTable[rt].route[all].nextHopIpAddress",
        "missing",
    ),
    spoiled(
        "an address without an appliance",
        "\"VirtualAppliance\"",
        "\"Internet\"",
        "routeTable[rt].route[all].nextHopIpAddress",
        "10.0.2.4",
    ),
    spoiled(
        "an endpoint's route written by a user",
        "\"VirtualAppliance\"",
        "\"VirtualNetworkServiceEndpoint\"",
        "routeTable[rt].route[all].nextHopType",
        "only the platform makes routes of this type",
    ),
    spoiled(
        "peered networks that overlap",
        "\"10.3.0.0/16\"",
        "\"10.2.128.0/17\"",
        "virtualNetwork[VNet2].peering[VNet3].remote",
        "VnetAddressSpacesOverlap",
    ),
    spoiled(
        "two rules with one priority",
        "priority = 200",
        "priority = 100",
        "securityRule[second].priority",
        "SecurityRuleConflict",
    ),
    spoiled(
        "a tag among prefixes",
        "sourceAddressPrefix = \"*\"",
        "sourceAddressPrefixes = [\"10.0.0.0/8\", \"Internet\"]",
        "sourceAddressPrefixes",
        "SecurityRuleParameterContainsUnsupportedValue",
    ),
    spoiled(
        "an unknown tag",
        "destinationAddressPrefix = \"*\"",
        "destinationAddressPrefix = \"Storrage\"",
        "destinationAddressPrefix",
        "SecurityRuleInvalidAddressPrefix",
    ),
    spoiled(
        "an endpoint for no service",
        "serviceEndpoints = []",
        "serviceEndpoints = [\"Microsoft.Blob\"]",
        "serviceEndpoints = ",
        "subnets/subnet1 has an item in ServiceEndpoints array with invalid service name 'Microsoft.Blob'",
    ),
    spoiled(
        "two services in one item",
        "serviceEndpoints = []",
        "serviceEndpoints = [\"Microsoft.Storage Microsoft.Sql\"]",
        "serviceEndpoints = ",
        "invalid service name",
    ),
    spoiled(
        "two reaches of one service",
        "serviceEndpoints = []",
        "serviceEndpoints = [\"Microsoft.Storage\", \"Microsoft.Storage.Global\"]",
        "serviceEndpoints = ",
        "exclude each other",
    ),
    spoiled(
        "a gateway's subnet without propagation",
        "name = \"rt\"\n",
        "name = \"rt\"\ndisableBgpRoutePropagation = true\n",
        "routeTable",
        "the subnet of a gateway must not have",
    ),
    spoiled(
        "an unknown key of an endpoint",
        "serviceEndpoints = []",
        "serviceEndpoints = [{ service = \"Microsoft.Sql\", location = \"*\" }]",
        "serviceEndpoints[Microsoft.Sql].location",
        "unknown key",
    ),
];

#[test]
fn what_azure_refuses_is_refused_in_its_words() {
    if !privileged() {
        return;
    }
    let good = good_file() + ROUTING;
    let mut fabric = Fabric::prepare(&good);
    let config = fabric.config().to_string_lossy().into_owned();
    let _ = fabric.postern(&["check", &config]).expect_success();
    for case in &REFUSED_BY_AZURE {
        assert!(good.contains(case.good), "{}: does not apply", case.case);
        let bad = fabric.write("bad.toml", &good.replacen(case.good, case.bad, 1));
        let output = fabric.postern(&["check", &bad.to_string_lossy()]);
        let expected = Refused {
            key: case.key,
            value: case.value,
        };
        Fabric::is_refused(&output, &bad, expected)
            .unwrap_or_else(|error| panic!("{}: {error}", case.case));
    }
    // Limits: one more than Azure has.
    let routes: String = (0..401)
        .map(|at| {
            let (high, low) = (at / 256, at % 256);
            format!(
                "[[routeTable.route]]\nname = \"r{at}\"\naddressPrefix = \"172.{high}.{low}.0/24\"\n\
                 nextHopType = \"None\"\n"
            )
        })
        .collect();
    let rules: String = (0..1001)
        .map(|at| {
            format!(
                "[[networkSecurityGroup.securityRule]]\nname = \"r{at}\"\npriority = {}\n\
                 direction = \"Inbound\"\naccess = \"Deny\"\nprotocol = \"*\"\n\
                 sourceAddressPrefix = \"*\"\ndestinationAddressPrefix = \"*\"\n\
                 destinationPortRange = \"*\"\n",
                at + 100
            )
        })
        .collect();
    for (more, key, most) in [
        (
            format!("[[routeTable]]\nname = \"long\"\n{routes}"),
            "routeTable[long].route",
            "at most 400",
        ),
        (
            format!("[[networkSecurityGroup]]\nname = \"long\"\n{rules}"),
            "networkSecurityGroup[long].securityRule",
            "at most 1000",
        ),
    ] {
        let bad = fabric.write("bad.toml", &format!("{good}{more}"));
        let output = fabric.postern(&["check", &bad.to_string_lossy()]);
        Fabric::is_refused(&output, &bad, Refused { key, value: most })
            .unwrap_or_else(|error| panic!("{error}"));
    }
}

/// What is accepted and probably not meant, and how the warning of it begins behind the line.
const ODD: [(&str, &str, &str); 3] = [
    (
        "nextHopIpAddress = \"10.0.2.4\"",
        "nextHopIpAddress = \"10.0.2.9\"",
        "routeTable[rt].route[all].nextHopIpAddress: warning: no network interface of VNet2",
    ),
    (
        "remote = \"VNet3\"",
        "remote = \"VNet3\"",
        "virtualNetwork[VNet2].peering[VNet3]: warning: VNet3 has no peering with VNet2",
    ),
    (
        "name = \"contoso\"",
        "name = \"Contoso-1\"",
        "service[Contoso-1].name: warning: Azure refuses this name",
    ),
];

#[test]
fn check_asks_no_host_and_warns_of_what_is_not_meant() {
    let directory = postern_tests::TempDir::create();
    let postern = |arguments: &[&str]| {
        postern_tests::run(std::process::Command::new(postern_tests::binary()).args(arguments))
    };
    let good = good_file() + ROUTING;
    for (from, to, told) in ODD {
        assert!(good.contains(from), "does not apply: {from}");
        let text = good.replacen(from, to, 1);
        let at = text.lines().position(|line| line.contains(to)).unwrap() + 1;
        let path = directory.write("odd.toml", &text);
        let file = path.to_string_lossy();
        let taken = postern(&["check", &file]).expect_success();
        let warned = taken.stderr.lines().find(|line| line.contains(told));
        let warned = warned.unwrap_or_else(|| panic!("{told}: {taken}"));
        let (place, rest) = warned.split_once(": ").unwrap();
        assert!(
            rest.starts_with(told) && rest.contains("; accepted: "),
            "{warned}"
        );
        let (_, line) = place.rsplit_once(':').unwrap();
        // A table is where its header is, a key where it stands.
        assert!(line.parse::<usize>().unwrap().abs_diff(at) <= 1, "{warned}");
        let strict = postern(&["check", "--strict", &file]);
        assert_eq!(strict.code, Some(1), "{strict}");
        // The namespaces of the file are of no host.
        let host = postern(&["check", "--host", &file]);
        assert_eq!(host.code, Some(1), "{host}");
        assert!(
            host.stderr.contains("networkInterface[vm0].namespace = "),
            "{host}"
        );
    }
    let empty = directory.write("empty.toml", "# nothing\n");
    let empty = postern(&["check", &empty.to_string_lossy()]).expect_success();
    assert!(empty.stderr.contains("empty.toml: warning: "), "{empty}");
}
