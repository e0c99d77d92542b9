use super::*;
use crate::compile::{PortNumbers, compile};
use crate::config;
use crate::model::RuleTag;
use postern_dataplane::policy::{Access, Decision, Epoch, Tuple};
use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::LazyLock;

static CATALOG: LazyLock<Catalog> = LazyLock::new(|| Catalog::bundled().unwrap());

const NETWORK: &str = r#"
location = "koreacentral"
[[applicationSecurityGroup]]
name = "Web"
[[applicationSecurityGroup]]
name = "Db"
[[virtualNetwork]]
name = "VNet1"
addressPrefixes = ["10.0.0.0/16"]
[[virtualNetwork.subnet]]
name = "s"
addressPrefix = "10.0.1.0/24"
networkSecurityGroup = "nsg1"
serviceEndpoints = ["Microsoft.Storage"]
"#;

fn nic(name: &str, address: &str, groups: &[&str]) -> String {
    format!(
        "[[networkInterface]]\nname = \"{name}\"\nvirtualNetwork = \"VNet1\"\nsubnet = \"s\"\n\
         privateIPAddress = \"{address}\"\napplicationSecurityGroups = {groups:?}\n\
         namespace = \"{name}\"\n"
    )
}

/// A rule as the configuration has it: what is not given is any.
fn rule(priority: u16, way: &str, access: &str, protocol: &str, rest: &str) -> String {
    let suffix = if way == "Inbound" && priority == 4096 {
        "in"
    } else {
        ""
    };
    let mut text = format!(
        "[[networkSecurityGroup.securityRule]]\nname = \"r{priority}{suffix}\"\npriority = {priority}\n\
         direction = \"{way}\"\naccess = \"{access}\"\nprotocol = \"{protocol}\"\n{rest}\n"
    );
    for (part, key) in [
        ("sourceA", "sourceAddressPrefix = \"*\"\n"),
        ("destinationA", "destinationAddressPrefix = \"*\"\n"),
        ("destinationPort", "destinationPortRange = \"*\"\n"),
    ] {
        if !rest.contains(part) {
            text += key;
        }
    }
    text
}

/// The group as compiled, and the name of the rule of a decision.
struct Group {
    nsg: Arc<Nsg>,
    names: crate::compile::Names,
}

fn model(rules: &[String]) -> Model {
    let nics = nic("web0", "10.0.1.4", &["web"])
        + &nic("web1", "10.0.1.5", &["Web", "web"])
        + &nic("db0", "10.0.1.6", &["Db"])
        + &nic("both", "10.0.1.7", &["Db", "Web"]);
    let group = "[[networkSecurityGroup]]\nname = \"nsg1\"\n".to_owned() + &rules.concat();
    let text = NETWORK.to_owned() + &nics + &group;
    config::parse(Path::new("f.toml"), &text, &CATALOG).unwrap()
}

fn group(rules: &[String]) -> Group {
    let model = model(rules);
    let compiled = compile(&model, &CATALOG, Epoch(1), &mut PortNumbers::default()).unwrap();
    Group {
        nsg: compiled.snapshot.subnets[0].nsg.clone().unwrap(),
        names: compiled.names,
    }
}

impl Group {
    fn decide(
        &self,
        direction: Direction,
        protocol: u8,
        from: &str,
        to: &str,
        port: u16,
    ) -> String {
        let address = |text: &str| text.parse::<Ipv4Addr>().unwrap();
        let Decision { access, rule } = self.nsg.evaluate(
            direction,
            &Tuple {
                protocol,
                source: address(from),
                source_port: 40_000,
                destination: address(to),
                destination_port: port,
            },
        );
        let name = rule.map(|rule| self.names.rule(rule).unwrap().rule.clone());
        let name = name.unwrap_or_else(|| "exempt".to_owned());
        let short = name.rsplit('/').next().unwrap_or_default();
        match access {
            Access::Allow => format!("allow {short}"),
            Access::Deny => format!("deny {short}"),
        }
    }

    fn out(&self, to: &str, port: u16) -> String {
        self.decide(Direction::Outbound, 6, "10.0.1.4", to, port)
    }
}

#[test]
fn groups_stand_for_their_members_in_the_network() {
    let sides = "sourceApplicationSecurityGroups = [\"web\"]\n\
                 destinationApplicationSecurityGroups = [\"DB\"]\ndestinationPortRange = \"1433\"";
    let group = group(&[
        rule(100, "Inbound", "Allow", "Tcp", sides),
        rule(200, "Inbound", "Deny", "*", ""),
    ]);
    let decide = |from, to, port| group.decide(Direction::Inbound, 6, from, to, port);
    assert_eq!(decide("10.0.1.4", "10.0.1.6", 1433), "allow r100");
    assert_eq!(decide("10.0.1.5", "10.0.1.7", 1433), "allow r100");
    assert_eq!(decide("10.0.1.4", "10.0.1.6", 1434), "deny r200");
    assert_eq!(decide("10.0.1.6", "10.0.1.6", 1433), "deny r200", "no web");
    assert_eq!(decide("10.0.1.4", "10.0.1.5", 1433), "deny r200", "no db");
    assert_eq!(decide("10.0.1.8", "10.0.1.6", 1433), "deny r200", "nobody");
}

#[test]
fn protocols_without_ports_match_whatever_the_ports_of_the_rule() {
    for (name, number) in [("Icmp", 1), ("Esp", 50), ("Ah", 51)] {
        let ports = "destinationPortRange = \"443\"\nsourcePortRange = \"1-5\"";
        let group = group(&[
            rule(100, "Outbound", "Deny", name, ports),
            rule(101, "Outbound", "Deny", "Tcp", ports),
        ]);
        let decide =
            |protocol| group.decide(Direction::Outbound, protocol, "10.0.1.4", "8.8.8.8", 0);
        assert_eq!(decide(number), "deny r100", "{name}");
        assert_eq!(decide(17), "allow AllowInternetOutBound", "{name}");
        assert_eq!(decide(6), "allow AllowInternetOutBound", "{name}");
    }
}

#[test]
fn platform_addresses_are_exempt_unless_a_platform_tag_names_them() {
    let all = || rule(4096, "Outbound", "Deny", "*", "");
    let only = group(&[all(), rule(4096, "Inbound", "Deny", "*", "")]);
    for to in ["168.63.129.16", "169.254.169.254"] {
        assert_eq!(only.out(to, 53), "allow exempt", "{to}");
    }
    assert_eq!(only.out("169.254.169.253", 53), "deny r4096");
    assert_eq!(only.out("8.8.8.8", 53), "deny r4096");
    let probe = only.decide(Direction::Inbound, 6, "168.63.129.16", "10.0.1.4", 80);
    assert_eq!(probe, "deny r4096in", "probes are AzureLoadBalancer's");

    let dns = "destinationAddressPrefix = \"AzurePlatformDNS\"\ndestinationPortRange = \"53\"";
    let named = group(&[rule(300, "Outbound", "Deny", "Tcp", dns), all()]);
    assert_eq!(named.out("168.63.129.16", 53), "deny r300");
    assert_eq!(named.out("168.63.129.16", 80), "allow exempt");
    assert_eq!(named.out("169.254.169.254", 53), "allow exempt");

    let lkm = "destinationAddressPrefix = \"azureplatformlkm\"";
    let named = group(&[
        rule(300, "Outbound", "Deny", "Tcp", lkm),
        rule(
            200,
            "Outbound",
            "Allow",
            "Tcp",
            "destinationPortRange = \"443\"",
        ),
    ]);
    assert_eq!(named.out("23.102.135.246", 1688), "deny r300");
    assert_eq!(named.out("23.102.135.246", 443), "allow r200", "in order");
}

/// The worked example of reference section 4.8.
#[test]
fn worked_example_of_section_4_8() {
    let storage = "destinationAddressPrefix = \"Storage.KoreaCentral\"\n\
                   destinationPortRange = \"443\"";
    let internet = "destinationAddressPrefix = \"Internet\"";
    let rules = [
        rule(100, "Outbound", "Allow", "Tcp", storage),
        rule(200, "Outbound", "Deny", "*", internet),
    ];
    let group = group(&rules);
    assert_eq!(group.out("52.231.80.65", 443), "allow r100");
    assert_eq!(group.out("52.231.80.65", 80), "deny r200");
    assert_eq!(group.out("52.231.168.65", 443), "deny r200", "KoreaSouth");
    assert_eq!(group.out("10.0.2.5", 443), "allow AllowVnetOutBound");
    assert_eq!(group.out("8.8.8.8", 443), "deny r200");
}

#[test]
fn a_route_for_everything_is_virtual_network_and_leaves_no_internet() {
    let model = model(&[]);
    let (vnet, mut tags) = (&model.vnets[0], Tags::new(&CATALOG));
    let mut holds = |tag, routed: &[Ipv4Net], address: &str| {
        let place = VnetTags::with_routed(&model, vnet, routed);
        let set = tags.expand(&Peer::Tag(tag), &place).unwrap();
        set.contains(address.parse().unwrap())
    };
    let all: [Ipv4Net; 1] = ["0.0.0.0/0".parse().unwrap()];
    let some: [Ipv4Net; 1] = ["8.8.0.0/16".parse().unwrap()];
    assert!(!holds(RuleTag::VirtualNetwork, &[], "8.8.8.8"));
    assert!(holds(RuleTag::Internet, &[], "8.8.8.8"));
    assert!(holds(RuleTag::VirtualNetwork, &all, "8.8.8.8"));
    assert!(!holds(RuleTag::Internet, &all, "8.8.8.8"));
    assert!(holds(RuleTag::VirtualNetwork, &some, "8.8.8.8"));
    assert!(!holds(RuleTag::VirtualNetwork, &some, "8.9.0.1"));
    assert!(holds(RuleTag::Internet, &some, "8.9.0.1"));
}
