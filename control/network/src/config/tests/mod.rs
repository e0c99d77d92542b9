mod access;
mod addresses;
mod api;
mod binding;
mod dns;
mod fronts;
mod groups;
mod resources;
mod routing;
mod rules;

use super::*;
use crate::compile::{PortNumbers, compile};
use crate::model::{NamespaceRef, Peer, Ports, RuleProtocol, RuleTag};
use postern_dataplane::policy::{Caller, CloseMode, Epoch};
use std::net::Ipv4Addr;
use std::sync::LazyLock;
use std::time::Duration;

static CATALOG: LazyLock<Catalog> = LazyLock::new(|| Catalog::bundled().unwrap());

/// A configuration that is right; the cases below spoil it in one place.
const GOOD: &str = r#"
location = "koreacentral"
[internet]
namespace = "inet"
addresses = ["93.184.216.34/24"]
[defaultOutbound]
publicIPAddress = "20.200.0.1"
[[natGateway]]
name = "nat1"
publicIPAddresses = ["65.52.1.1"]
[[virtualNetwork]]
name = "VNet1"
addressPrefixes = ["10.0.0.0/16"]
[[virtualNetwork.subnet]]
name = "subnet1"
addressPrefix = "10.0.1.0/24"
serviceEndpoints = ["Microsoft.Storage"]
networkSecurityGroup = "nsg1"
natGateway = "nat1"
[[virtualNetwork.subnet]]
name = "subnet2"
addressPrefix = "10.0.2.0/24"
[[networkInterface]]
name = "vm0"
virtualNetwork = "VNet1"
subnet = "subnet1"
privateIPAddress = "10.0.1.4"
publicIPAddress = "20.0.0.9"
namespace = "vm0"
[[networkInterface]]
name = "vm1"
virtualNetwork = "VNet1"
subnet = "subnet2"
privateIPAddress = "10.0.2.4"
namespace = "vm1"
[[networkSecurityGroup]]
name = "nsg1"
[[networkSecurityGroup.securityRule]]
name = "ssh"
priority = 1000
direction = "Inbound"
access = "Allow"
protocol = "Tcp"
sourceAddressPrefix = "*"
destinationAddressPrefix = "10.0.1.0/24"
destinationPortRange = "22"
[[networkSecurityGroup.securityRule]]
name = "storage"
priority = 1000
direction = "Outbound"
access = "Allow"
protocol = "Tcp"
sourceAddressPrefixes = ["10.0.1.4", "10.0.1.8/29"]
destinationAddressPrefix = "storage.koreacentral"
destinationPortRanges = ["443", "8000-8080"]
[[service]]
name = "contoso"
service = "Microsoft.Storage"
address = "20.60.16.5"
namespace = "svc"
[[service]]
name = "fabrikam"
service = "Microsoft.Sql"
address = "52.231.17.4"
namespace = "svc"
"#;

/// Reads a configuration. Errors keep the keys that count, as they arise: what people read of them is
/// of `source`.
fn read(text: &str) -> Result<Model, ConfigErrors> {
    parse(Path::new("f.toml"), text, &CATALOG).map_err(counted)
}

fn counted(errors: ConfigErrors) -> ConfigErrors {
    match errors {
        ConfigErrors::Invalid { file, errors, .. } => ConfigErrors::Invalid {
            file,
            errors,
            places: Box::default(),
        },
        other => other,
    }
}

/// Returns the error lines of the good configuration with `from` replaced by `to` once.
fn refusals(from: &str, to: &str) -> Vec<String> {
    assert!(GOOD.contains(from), "the case does not apply: {from}");
    let error = read(&GOOD.replacen(from, to, 1)).expect_err(to).to_string();
    error.lines().map(str::to_owned).collect()
}

/// Each case: what to replace, by what, and the whole line that is wanted.
fn assert_refused(cases: &[(&str, &str, &str)]) {
    for (from, to, wanted) in cases {
        let lines = refusals(from, to);
        assert_eq!(lines, [format!("f.toml: {wanted}")], "{to}");
    }
}

/// As `assert_refused`, for lines that are too long to write out: their beginning.
fn assert_refused_with(cases: &[(&str, &str, &str)]) {
    for (from, to, wanted) in cases {
        let lines = refusals(from, to);
        assert_eq!(lines.len(), 1, "{lines:#?}");
        assert!(
            lines[0].starts_with(&format!("f.toml: {wanted}")),
            "{to}: {}",
            lines[0]
        );
        assert!(lines[0].contains("; accepted: "), "{}", lines[0]);
    }
}

#[test]
fn the_good_configuration_is_read() {
    let model = read(GOOD).unwrap();
    let vnet = model.vnet("vnet1").unwrap();
    assert_eq!(vnet.location.as_str(), "koreacentral");
    let subnet = vnet.subnet("subnet1").unwrap();
    assert_eq!(subnet.service_endpoints.len(), 1);
    assert_eq!(subnet.nat_gateway.as_deref(), Some("nat1"));
    assert!(vnet.subnet("subnet2").unwrap().default_outbound_access);
    let nic = model.nic("vm0").unwrap();
    assert_eq!(nic.public_address, Some("20.0.0.9".parse().unwrap()));
    assert_eq!(nic.device.namespace, NamespaceRef::Name("vm0".into()));
    assert_eq!(
        (nic.device.name.as_str(), nic.device.mtu, nic.device.offload),
        ("postern0", 1500, true)
    );
    let rule = &model.nsg("NSG1").unwrap().rules[1];
    assert_eq!(rule.source.to_string(), "10.0.1.4/32,10.0.1.8/29");
    assert_eq!(
        rule.destination,
        Peer::Tag(RuleTag::Service("Storage.KoreaCentral".into()))
    );
    assert_eq!(rule.destination_ports.to_string(), "443,8000-8080");
    assert_eq!(
        (rule.protocol, rule.source_ports.clone()),
        (RuleProtocol::Tcp, Ports::Any)
    );
    assert_eq!(model.services.len(), 2);
}

/// What the head of the file says of each caller.
#[test]
fn the_sample_of_secured_services_decides_as_it_says() {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../config/secured-service.toml"
    );
    let text = std::fs::read_to_string(path).unwrap();
    let model = parse(Path::new(path), &text, &CATALOG).unwrap();
    let mut numbers = PortNumbers::default();
    let compiled = compile(&model, &CATALOG, Epoch(1), &mut numbers).unwrap();
    let (vnet, subnet) = numbers.keys().subnet("VNet1", "frontend").unwrap();
    let app = Caller::Subnet {
        vnet,
        subnet,
        address: Ipv4Addr::new(10, 0, 1, 4),
    };
    let public = |text: &str| Caller::Public(text.parse().unwrap());
    let callers = [
        app,
        public("20.0.0.9"),
        public("198.51.100.7"),
        public("203.0.113.9"),
    ];
    for name in ["contoso", "orders"] {
        let service = model.service(name).unwrap();
        let resource = compiled.names.resource_id(&service.id()).unwrap();
        let allowed = callers.map(|caller| {
            let ruling = compiled.snapshot.access.decide(&caller, resource);
            ruling.is_allowed()
        });
        assert_eq!(allowed, [true, false, true, false], "{name}");
        let is_account = name == "contoso";
        assert_eq!(service.front.is_some(), is_account);
        let policy = compiled.snapshot.access.policy((vnet, subnet)).unwrap();
        assert_eq!(policy.allowed.contains(&resource), is_account);
    }
}

#[test]
fn the_sample_is_read_and_its_defaults_are_the_defaults() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../config/two-subnets.toml");
    let path = Path::new(path);
    let text = std::fs::read_to_string(path).unwrap();
    let sample = parse(path, &text, &CATALOG).unwrap();
    assert_eq!(sample.settings, crate::model::Settings::default());
    assert_eq!(sample.timers, postern_dataplane::policy::Timers::default());
    let spelled_out: String = text
        .lines()
        .map(|line| match line.strip_prefix("# ") {
            Some(key) if key.contains(" = ") && !key.contains('`') => format!("{key}\n"),
            _ => format!("{line}\n"),
        })
        .collect();
    assert_ne!(text, spelled_out);
    assert_eq!(read(&spelled_out).unwrap(), sample);
    for key in [
        "sourcePortRange = ",
        "enableIPForwarding",
        "routeTable = ",
        "offload",
        "defaultOutboundAccess",
    ] {
        assert!(spelled_out.contains(&format!("\n{key}")), "{key}");
    }
}

#[test]
fn an_empty_file_is_an_empty_model() {
    assert_eq!(read("").unwrap(), Model::default());
}

#[test]
fn settings_and_timers_are_read() {
    let model = read(
        "[settings]\ncloseMode = \"silent\"\nreevaluateOnChange = true\nsharedSnatIcmp = true\n\
         sharedSnatFragments = true\nmaxFlows = 1000\n\
         natGatewayFlowsPerDestination = 10\nnatGatewayFlows = 20\n\
         natGatewayPortsPerNic = 30\ndefaultOutboundPortsPerNic = 40\n\
         [timers]\ntcpIdle = \"1h\"\nunanswered = \"3s\"\ntombstone = \"500ms\"\n",
    )
    .unwrap();
    assert_eq!(model.settings.close_mode, CloseMode::Silent);
    assert!(model.settings.reevaluate_on_change);
    assert!(model.settings.shared_snat_icmp && model.settings.shared_snat_fragments);
    assert_eq!(model.settings.max_flows, 1000);
    assert_eq!(model.settings.nat_gateway_flows_per_destination, 10);
    assert_eq!(model.settings.nat_gateway_flows, 20);
    assert_eq!(model.settings.nat_gateway_ports_per_nic, Some(30));
    assert_eq!(model.settings.default_outbound_ports_per_nic, Some(40));
    assert_eq!(model.timers.unanswered, Duration::from_secs(3));
    assert_eq!(model.timers.tcp_idle, Duration::from_secs(3600));
    assert_eq!(model.timers.tombstone, Duration::from_millis(500));
    assert_eq!(model.timers.udp_idle, Duration::from_secs(240));
}

#[test]
fn malformed_toml_is_refused_with_line_and_column() {
    for (text, place) in [
        ("location = \"a\"\n[internet\n", "f.toml:2:"),
        ("a = 1\n\n\nb = = 2\n", "f.toml:4:5: not TOML: "),
        (
            "location = \"a\"\nlocation = \"b\"\n",
            "f.toml:2:1: not TOML: ",
        ),
        ("[[virtualNetwork]]\nname = \"unfinished", "f.toml:2:"),
    ] {
        let error = read(text).unwrap_err();
        assert_eq!(error.count(), 1);
        let error = error.to_string();
        assert!(
            error.starts_with(place) && error.ends_with("; accepted: TOML 1.0"),
            "{error}"
        );
        assert_eq!(error.lines().count(), 1);
    }
}

#[test]
fn every_error_is_reported_not_only_the_first() {
    let text = GOOD
        .replace("10.0.2.0/24", "10.0.1.128/25")
        .replace("Microsoft.Sql", "Microsoft.Sqll")
        .replace("name = \"vm1\"", "name = \"vm1\"\nnick = 1")
        .replace(
            "priority = 1000\ndirection = \"Inbound\"",
            "priority = 7\ndirection = \"Up\"",
        );
    let error = read(&text).unwrap_err();
    let lines = error.to_string();
    let keys: Vec<_> = lines
        .lines()
        .map(|line| line.split(' ').nth(1).unwrap())
        .collect();
    assert_eq!(
        keys,
        [
            "virtualNetwork[0].subnet[1].addressPrefix",
            "networkSecurityGroup[0].securityRule[0].priority",
            "networkSecurityGroup[0].securityRule[0].direction",
            "networkInterface[1].nick",
            "networkInterface[1].privateIPAddress",
            "service[1].service",
        ]
    );
    assert_eq!(error.count(), keys.len());
}

#[test]
fn what_is_broken_is_not_missing_too() {
    // The NSG, the subnet and the gateway are declared, only their values are wrong.
    for (from, to) in [
        (
            "addressPrefix = \"10.0.1.0/24\"",
            "addressPrefix = \"10.0.1.0\"",
        ),
        (
            "publicIPAddresses = [\"65.52.1.1\"]",
            "publicIPAddresses = [\"65.52.1\"]",
        ),
        ("priority = 1000", "priority = \"high\""),
        ("location = \"koreacentral\"", "location = \"atlantis\""),
        (
            "name = \"VNet1\"",
            "name = \"VNet1\"\nlocation = \"atlantis\"",
        ),
    ] {
        assert_eq!(refusals(from, to).len(), 1, "{to}");
    }
}

#[test]
fn unknown_keys_are_refused_wherever_they_are() {
    assert_refused_with(&[
        (
            "location =",
            "locations = \"x\"\nlocation =",
            "locations = \"x\": unknown key; accepted: location, subscription,",
        ),
        (
            "[internet]",
            "[internet]\nport = 1",
            "internet.port = 1: unknown key; accepted: namespace, device,",
        ),
        (
            "[internet]",
            "[settings]\nclosemode = \"rst\"\n[internet]",
            "settings.closemode = \"rst\": unknown key; accepted: closeMode,",
        ),
        (
            "[internet]",
            "[timers]\ntcp = \"1s\"\n[internet]",
            "timers.tcp = \"1s\": unknown key; accepted: tcpHalfOpen,",
        ),
        (
            "name = \"subnet2\"",
            "name = \"subnet2\"\nroutes = []",
            "virtualNetwork[0].subnet[1].routes = []: unknown key;",
        ),
        (
            "name = \"nat1\"",
            "name = \"nat1\"\nzone = {}",
            "natGateway[0].zone = {...}: unknown key;",
        ),
        (
            "priority = 1000",
            "priority = 1000\nprio = 1.5",
            "networkSecurityGroup[0].securityRule[0].prio = 1.5: unknown key;",
        ),
        (
            "name = \"contoso\"",
            "name = \"contoso\"\nfqdn = true",
            "service[0].fqdn = true: unknown key;",
        ),
    ]);
}

#[test]
fn wrong_types_and_missing_keys_are_refused() {
    assert_refused_with(&[
        (
            "location = \"koreacentral\"",
            "location = 7",
            "location = 7: not a value of this key;",
        ),
        ("[internet]\n", "[x]\n", "x = {...}: unknown key;"),
        (
            "namespace = \"inet\"",
            "",
            "internet.namespace: missing; accepted: a namespace",
        ),
        (
            "namespace = \"inet\"",
            "namespace = \"a b\"",
            "internet.namespace = \"a b\": not a value",
        ),
        (
            "name = \"vm1\"\n",
            "",
            "networkInterface[1].name: missing; accepted: a name",
        ),
        (
            "privateIPAddress = \"10.0.2.4\"",
            "",
            "networkInterface[1].privateIPAddress: missing",
        ),
        (
            "addressPrefixes = [\"10.0.0.0/16\"]",
            "addressPrefixes = []",
            "virtualNetwork[0].addressPrefixes = []: not a value",
        ),
        (
            "addressPrefixes = [\"10.0.0.0/16\"]",
            "",
            "virtualNetwork[0].addressPrefixes: missing",
        ),
        (
            "publicIPAddresses = [\"65.52.1.1\"]",
            "publicIPAddresses = \"65.52.1.1\"",
            "natGateway[0].publicIPAddresses = \"65.52.1.1\": not a value",
        ),
        (
            "publicIPAddresses = [\"65.52.1.1\"]",
            "publicIPAddresses = []",
            "natGateway[0].publicIPAddresses = []: not a value",
        ),
        (
            "service = \"Microsoft.Sql\"\n",
            "",
            "service[1].service: missing; accepted: the name of a service",
        ),
        (
            "addresses = [\"93.184.216.34/24\"]",
            "addresses = [\"93.184.216.34\"]",
            "internet.addresses[0] = \"93.184.216.34\": not a value",
        ),
        (
            "publicIPAddress = \"20.200.0.1\"",
            "",
            "defaultOutbound.publicIPAddress: missing",
        ),
        (
            "name = \"subnet2\"",
            "name = \"subnet2\"\ndefaultOutboundAccess = \"no\"",
            "virtualNetwork[0].subnet[1].defaultOutboundAccess = \"no\": not a value of this key; accepted: true or false",
        ),
    ]);
    let error = read("virtualNetwork = 3\n[settings]\nmaxFlows = 0\n[timers]\ntcpIdle = \"4\"\n");
    assert_eq!(
        error.unwrap_err().to_string(),
        "f.toml: settings.maxFlows = 0: out of range; accepted: 1 to 67108864\n\
         f.toml: timers.tcpIdle = \"4\": not a value of this key; accepted: a duration such as \
         \"500ms\", \"65s\", \"4m\" or \"1h\", from 1ms to 24h\n\
         f.toml: virtualNetwork = 3: not a value of this key; accepted: tables, each written under [[...]]"
    );
}

#[test]
fn people_read_lines_and_names() {
    let text = GOOD.replacen("\"10.0.2.0/24\"", "\"10.0.1.128/25\"", 1);
    let error = parse(Path::new("f.toml"), &text, &CATALOG).unwrap_err();
    let line = |wanted: &str| text.lines().position(|line| line.contains(wanted)).unwrap() + 1;
    assert_eq!(
        error.to_string().lines().next().unwrap(),
        format!(
            "f.toml:{}: virtualNetwork[VNet1].subnet[subnet2].addressPrefix = \"10.0.1.128/25\": \
             overlaps virtualNetwork[VNet1].subnet[subnet1].addressPrefix (line {}) (10.0.1.0/24); \
             accepted: a prefix outside of it",
            line("10.0.1.128/25"),
            line("10.0.1.0/24")
        )
    );
}
