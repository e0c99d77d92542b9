//! Random configurations that the loader accepts.

use std::fmt::Write;
use toml::Table;

/// A generator of numbers: SplitMix64.
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.0;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let word = usize::try_from(word ^ (word >> 31)).unwrap();
        word % end
    }

    fn one_in(&mut self, many: usize) -> bool {
        self.below(many) == 0
    }

    fn pick<'t>(&mut self, items: &[&'t str]) -> &'t str {
        items[self.below(items.len())]
    }

    /// Returns a name in another case now and then.
    fn case(&mut self, name: &str) -> String {
        match self.below(3) {
            0 => name.to_uppercase(),
            _ => name.to_owned(),
        }
    }

    /// Returns a line of a key, or nothing.
    fn maybe(&mut self, line: &str) -> String {
        if self.one_in(2) {
            format!("{line}\n")
        } else {
            String::new()
        }
    }
}

const ENDPOINTS: [&str; 5] = [
    "\"Microsoft.Sql\"",
    "\"microsoft.keyvault\"",
    "{ service = \"Microsoft.Web\" }",
    "{ service = \"Microsoft.EventHub\", locations = [\"*\"], provisioningState = \"Succeeded\" }",
    "\"Microsoft.ServiceBus\"",
];

const SERVICES: [(&str, &str); 10] = [
    ("Microsoft.Storage", ""),
    ("Microsoft.Sql", ""),
    ("Microsoft.Sql", "Microsoft.DBforMySQL/servers"),
    ("Microsoft.AzureCosmosDB", ""),
    ("Microsoft.KeyVault", "microsoft.keyvault/vaults"),
    ("Microsoft.EventHub", ""),
    ("Microsoft.ServiceBus", ""),
    ("Microsoft.Web", ""),
    ("Microsoft.ContainerRegistry", ""),
    ("Microsoft.CognitiveServices", ""),
];

/// What a table has, to refer to.
#[derive(Default)]
struct Counts {
    asgs: usize,
    nsgs: usize,
    tables: usize,
    policies: usize,
    gateways: usize,
    /// The subnets of each network.
    subnets: Vec<usize>,
}

/// Returns a random configuration.
pub(super) fn table(seed: u64) -> Table {
    let mut random = Random(seed);
    let counts = Counts {
        asgs: random.below(4),
        nsgs: random.below(4),
        tables: random.below(3),
        policies: random.below(3),
        gateways: random.below(3),
        subnets: (0..random.below(4)).map(|_| random.below(5)).collect(),
    };
    let mut text = root(&mut random);
    for at in 0..counts.asgs {
        let _ = writeln!(text, "[[applicationSecurityGroup]]\nname = \"asg{at}\"");
    }
    for at in 0..counts.nsgs {
        nsg(&mut text, &mut random, at, &counts);
    }
    for at in 0..counts.tables {
        route_table(&mut text, &mut random, at);
    }
    for at in 0..counts.policies {
        policy(&mut text, &mut random, at);
    }
    for at in 0..counts.gateways {
        let timeout =
            random.maybe(["idleTimeoutInMinutes = 4", "idleTimeoutInMinutes = 9"][at % 2]);
        let _ = writeln!(
            text,
            "[[natGateway]]\nname = \"Nat{at}\"\npublicIPAddresses = [\"65.52.1.{at}\", \
             \"65.52.2.{at}\"]\n{timeout}"
        );
    }
    for at in 0..counts.subnets.len() {
        vnet(&mut text, &mut random, at, &counts);
    }
    for at in 0..random.below(5) {
        nic(&mut text, &mut random, at, &counts);
    }
    for at in 0..random.below(6) {
        service(&mut text, &mut random, at, &counts);
    }
    text.parse()
        .unwrap_or_else(|error| panic!("{error}\n{text}"))
}

fn root(random: &mut Random) -> String {
    let mut text = "location = \"koreacentral\"\n".to_owned();
    text += &random.maybe("subscription = \"11111111-1111-1111-1111-111111111111\"");
    text += &random.maybe("resourceGroup = \"Group\"");
    text += &random.maybe("tenant = \"22222222-2222-2222-2222-222222222222\"");
    text += &random.maybe("settings = { closeMode = \"silent\", vsePrecedence = \"tie\" }");
    text += &random.maybe("timers = { tcpIdle = \"90s\" }");
    text += &random.maybe("defaultOutbound = { publicIPAddress = \"20.200.0.1\" }");
    text += &random.maybe("dns = { enabled = false }");
    text += &random.maybe("publicIPPool = { prefixes = [\"20.90.0.0/24\"] }");
    text += &random.maybe(
        "internet = { namespace = \"inet\", addresses = [\"93.184.216.34/24\"], mtu = 1400 }",
    );
    if random.one_in(2) {
        text += "[[bind]]\nname = \"nic?\"\nnamespace = \"ns-{name}\"\nmtu = 1300\n";
        text += "[[bind]]\nname = \"*\"\ndelivery = \"st6\"\nnamespace = \"svc\"\n";
    }
    text
}

fn nsg(text: &mut String, random: &mut Random, at: usize, counts: &Counts) {
    let _ = writeln!(text, "[[networkSecurityGroup]]\nname = \"nsg{at}\"");
    for rule in 0..random.below(4) {
        let peer = |random: &mut Random, side: &str| {
            let (kind, asgs) = (random.below(6), counts.asgs);
            match kind {
                0 => format!("{side}AddressPrefix = \"*\""),
                1 => format!("{side}AddressPrefix = \"virtualnetwork\""),
                2 => format!("{side}AddressPrefix = \"Storage.KoreaCentral\""),
                3 if asgs > 0 => {
                    let asg = random.below(asgs);
                    let asg = random.case(&format!("asg{asg}"));
                    format!("{side}ApplicationSecurityGroups = [\"{asg}\"]")
                }
                4 => format!("{side}AddressPrefixes = [\"10.0.0.0/8\", \"11.1.1.1\"]"),
                _ => format!("{side}AddressPrefix = \"10.1.2.0/24\""),
            }
        };
        let (source, destination) = (peer(random, "source"), peer(random, "destination"));
        let ports = match random.below(3) {
            0 => "destinationPortRange = \"*\"",
            1 => "destinationPortRanges = [\"80\", \"8000-8080\"]\nsourcePortRange = \"1-1024\"",
            _ => "destinationPortRange = \"443\"",
        };
        let protocol = random.pick(&["Tcp", "udp", "*", "Icmp", "ESP", "Ah"]);
        let direction = random.pick(&["Inbound", "outbound"]);
        let access = random.pick(&["allow", "Deny"]);
        let _ = writeln!(
            text,
            "[[networkSecurityGroup.securityRule]]\nname = \"Rule{rule}\"\npriority = {}\n\
             direction = \"{direction}\"\naccess = \"{access}\"\nprotocol = \"{protocol}\"\n\
             {source}\n{destination}\n{ports}",
            100 + rule
        );
    }
}

fn route_table(text: &mut String, random: &mut Random, at: usize) {
    let kept_out = random.maybe("disableBgpRoutePropagation = true");
    let _ = writeln!(text, "[[routeTable]]\nname = \"rt{at}\"\n{kept_out}");
    for route in 0..random.below(4) {
        let hop = match random.below(3) {
            0 => "nextHopType = \"virtualappliance\"\nnextHopIpAddress = \"10.0.0.4\"",
            1 => "nextHopType = \"None\"",
            _ => "nextHopType = \"internet\"",
        };
        let prefix = match random.below(4) {
            0 => "Sql.KoreaCentral".to_owned(),
            _ => format!("198.51.{route}.0/24"),
        };
        // One destination of a table has one route.
        let prefix = if route == 0 {
            prefix
        } else {
            format!("198.51.{route}.0/24")
        };
        let _ = writeln!(
            text,
            "[[routeTable.route]]\nname = \"r{route}\"\naddressPrefix = \"{prefix}\"\n{hop}"
        );
    }
}

fn policy(text: &mut String, random: &mut Random, at: usize) {
    let (audit, group) = (
        random.maybe("audit = true"),
        random.maybe("resourceGroup = \"Other\""),
    );
    let _ = writeln!(
        text,
        "[[serviceEndpointPolicy]]\nname = \"sep{at}\"\n{audit}{group}\
         [[serviceEndpointPolicy.definition]]\nname = \"d\"\nservice = \"microsoft.storage\"\n\
         serviceResources = [\"/subscriptions/s/resourceGroups/g\", \"subscriptions/x\"]\n\
         [[serviceEndpointPolicy.definition]]\nname = \"e\"\nservice = \"Global\"\n\
         description = \"own\"\nserviceResources = [\"/services/Azure/Databricks\"]"
    );
}

fn vnet(text: &mut String, random: &mut Random, at: usize, counts: &Counts) {
    let place = random.maybe("resourceGroup = \"nets\"\ntenant = \"t\"");
    let timeout = random.maybe("flowTimeoutInMinutes = 12");
    let _ = writeln!(
        text,
        "[[virtualNetwork]]\nname = \"Net{at}\"\naddressPrefixes = [\"10.{at}.0.0/16\", \
         \"172.16.{at}.0/24\"]\n{place}{timeout}"
    );
    for subnet in 0..counts.subnets[at] {
        let mut named = |key: &str, name: &str, count: usize| match count {
            0 => String::new(),
            count => {
                let one = random.below(count);
                let name = random.case(&format!("{name}{one}"));
                random.maybe(&format!("{key} = \"{name}\""))
            }
        };
        let mut keys = named("networkSecurityGroup", "nsg", counts.nsgs);
        keys += &named("routeTable", "rt", counts.tables);
        keys += &named("natGateway", "Nat", counts.gateways);
        keys += &random.maybe("defaultOutboundAccess = false");
        let mut endpoints =
            vec![random.pick(&["\"Microsoft.Storage\"", "\"microsoft.storage.global\""])];
        for _ in 0..random.below(3) {
            endpoints.push(random.pick(&ENDPOINTS));
        }
        if random.one_in(2) {
            keys += &format!("serviceEndpoints = [{}]\n", endpoints.join(", "));
            if counts.policies > 0 && random.one_in(2) {
                keys += "serviceEndpointPolicies = [\"SEP0\"]\n";
            }
        }
        let _ = writeln!(
            text,
            "[[virtualNetwork.subnet]]\nname = \"sub{subnet}\"\naddressPrefix = \
             \"10.{at}.{subnet}.0/24\"\n{keys}"
        );
    }
    for remote in (0..counts.subnets.len()).filter(|remote| *remote != at) {
        if random.one_in(2) {
            let remote = random.case(&format!("Net{remote}"));
            let forwarded = random.maybe("allowForwardedTraffic = true");
            let _ = writeln!(
                text,
                "[[virtualNetwork.peering]]\nremote = \"{remote}\"\n{forwarded}"
            );
        }
    }
}

fn nic(text: &mut String, random: &mut Random, at: usize, counts: &Counts) {
    let vnets = 0..counts.subnets.len();
    let with_subnets: Vec<_> = vnets.filter(|vnet| counts.subnets[*vnet] > 0).collect();
    let Some(&vnet) = with_subnets.first() else {
        return;
    };
    let subnet = random.below(counts.subnets[vnet]);
    let mut keys = random.maybe(&format!("publicIPAddress = \"20.90.0.{at}\""));
    keys += &random.maybe(&format!("namespace = \"own{at}\"\noffload = \"off\""));
    keys += &random.maybe("enableIPForwarding = true");
    keys += &random.maybe("mtu = 1450\ndevice = \"eth0\"");
    keys += &random.maybe("resourceGroup = \"nics\"");
    if counts.asgs > 0 {
        keys += &random.maybe("applicationSecurityGroups = [\"ASG0\"]");
    }
    if counts.nsgs > 0 {
        keys += &random.maybe("networkSecurityGroup = \"NSG0\"");
    }
    let vnet_name = random.case(&format!("Net{vnet}"));
    let _ = writeln!(
        text,
        "[[networkInterface]]\nname = \"nic{at}\"\nvirtualNetwork = \"{vnet_name}\"\nsubnet = \
         \"SUB{subnet}\"\nprivateIPAddress = \"10.{vnet}.{subnet}.{}\"\n{keys}",
        at + 4
    );
}

/// Returns some subnet, in some spelling: one that is there, one that is gone, one of elsewhere.
fn subnet(random: &mut Random, counts: &Counts) -> String {
    match random.below(4) {
        0 => "Net0/gone".to_owned(),
        1 => "Elsewhere/sub0".to_owned(),
        2 => "/subscriptions/x/resourcegroups/y/providers/Microsoft.Network/virtualNetworks/Net0\
              /subnets/sub0"
            .to_owned(),
        _ => {
            let vnet = random.below(counts.subnets.len() + 1);
            random.case(&format!("Net{vnet}/sub0"))
        }
    }
}

fn service(text: &mut String, random: &mut Random, at: usize, counts: &Counts) {
    let (service, of) = SERVICES[random.below(SERVICES.len())];
    let mut keys = random.maybe("publicNetworkAccess = \"disabled\"");
    keys += &random.maybe("refusal = \"prohibited\"");
    keys += &random.maybe(&format!("host = \"Own{at}.Example\""));
    keys += &random.maybe("resourceGroup = \"Data\"\ntenant = \"t\"");
    keys += &random.maybe("location = \"koreasouth\"");
    if random.one_in(3) {
        let front = "front = { ports = [443], connect = \"127.0.0.1:1\", protocol = \"tls\" }\n";
        keys += &format!("namespace = \"front{at}\"\ndelivery = \"st6\"\n{front}");
    } else {
        keys += &random.maybe(&format!("namespace = \"svc{at}\"\ndelivery = \"native\""));
    }
    if !of.is_empty() {
        keys += &format!("type = \"{of}\"\n");
    }
    let subnets = [subnet(random, counts), subnet(random, counts)];
    if random.one_in(4) {
        // Nothing is said of who may use it.
    } else {
        keys += &rules(service, random, &subnets);
    }
    let _ = writeln!(
        text,
        "[[service]]\nname = \"Service{at}\"\nservice = \"{service}\"\n{keys}"
    );
}

fn rules(service: &str, random: &mut Random, [one, two]: &[String; 2]) -> String {
    let action = random.pick(&[
        "defaultAction = \"Deny\", ",
        "defaultAction = \"allow\", ",
        "",
    ]);
    let acls = |bypass: &str, ignore: &str| {
        format!(
            "{{ {action}{bypass}virtualNetworkRules = [{{ id = \"{one}\" }}, {{ id = \"{two}\", \
             action = \"Allow\"{ignore} }}], ipRules = [{{ value = \"16.17.18.0/24\" }}] }}"
        )
    };
    let ignore = ", ignoreMissingVnetServiceEndpoint = true";
    match service {
        "Microsoft.Storage" => {
            format!("networkAcls = {}\n", acls("bypass = \"Logging, metrics\", ", ""))
        }
        "Microsoft.KeyVault" | "Microsoft.CognitiveServices" => {
            format!("networkAcls = {}\n", acls("bypass = \"None\", ", ignore))
        }
        "Microsoft.ContainerRegistry" => format!("networkRuleSet = {}\n", acls("", "")),
        "Microsoft.Sql" => {
            let vnets = format!(
                "virtualNetworkRules = [{{ name = \"v\", virtualNetworkSubnetId = \"{one}\"{ignore} \
                 }}, {{ name = \"W\", virtualNetworkSubnetId = \"{two}\" }}]\n"
            );
            let firewall = "firewallRules = [{ name = \"f\", startIpAddress = \"20.0.0.9\", \
                            endIpAddress = \"20.0.0.11\" }, { name = \"any\", startIpAddress = \
                            \"0.0.0.0\", endIpAddress = \"0.0.0.0\" }]\n";
            match random.below(4) {
                0 => "virtualNetworkRules = []\n".to_owned(),
                1 => vnets,
                2 => firewall.to_owned(),
                _ => vnets + firewall,
            }
        }
        "Microsoft.AzureCosmosDB" => {
            let filter = random.maybe("isVirtualNetworkFilterEnabled = true");
            format!(
                "{filter}virtualNetworkRules = [{{ id = \"{one}\", \
                 ignoreMissingVNetServiceEndpoint = true }}]\nipRules = [{{ ipAddressOrRange = \
                 \"16.17.18.0/24\" }}]\n"
            )
        }
        "Microsoft.Web" => {
            "ipSecurityRestrictions = [{ name = \"late\", priority = 300, action = \"deny\", \
             ipAddress = \"Any\" }, { name = \"tag\", priority = 200, ipAddress = \"Storage\", tag = \
             \"ServiceTag\" }, "
                .to_owned()
                + &format!(
                    "{{ name = \"net\", priority = 100, vnetSubnetResourceId = \"{one}\" }}, \
                     {{ name = \"last\", ipAddress = \"16.17.18.0/24\" }}]\n"
                )
        }
        _ => format!(
            "networkRuleSets = {{ {action}trustedServiceAccessEnabled = true, virtualNetworkRules = \
             [{{ subnet = {{ id = \"{one}\" }}{ignore} }}], ipRules = [{{ ipMask = \"16.17.18.0/24\", \
             action = \"Allow\" }}] }}\n"
        ),
    }
}
