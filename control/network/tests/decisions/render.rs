//! A topology as the files that Postern reads.

use super::topology::{
    Nsg, Ports, Precedence, Protocol, REGIONS, Rule, Side, Table, Target, Topology, UserHop, Vnet,
};
use serde_json::json;
use std::fmt::{Display, Write as _};
use std::net::Ipv4Addr;

/// Returns the service-tag file.
pub fn tags(topology: &Topology) -> String {
    let values = topology.tags.iter().map(|tag| {
        let region = tag.region.as_deref().unwrap_or_default();
        let known = REGIONS.iter().find(|known| known.name == region);
        json!({"name": tag.name, "id": tag.name, "properties": {
            "changeNumber": 1,
            "region": known.map_or(region, |known| known.in_file),
            "addressPrefixes": tag.prefixes.iter().map(ToString::to_string).collect::<Vec<_>>(),
        }})
    });
    let values: Vec<_> = values.collect();
    json!({"changeNumber": 1, "cloud": "Public", "values": values}).to_string()
}

/// Returns the configuration.
pub fn configuration(topology: &Topology) -> String {
    let mut text = String::new();
    head(&mut text, topology);
    for (at, table) in topology.tables.iter().enumerate() {
        route_table(&mut text, topology, at, table);
    }
    for (at, vnet) in topology.vnets.iter().enumerate() {
        network(&mut text, at, vnet);
    }
    for (at, gateway) in topology.gateways.iter().enumerate() {
        let prefixes = quoted(&gateway.prefixes);
        section(
            &mut text,
            "[gateway]",
            &[
                ("name", format!("\"gw{at}\"")),
                ("virtualNetwork", format!("\"v{}\"", gateway.vnet)),
                ("addressPrefixes", prefixes),
                ("namespace", format!("\"onprem{at}\"")),
            ],
        );
    }
    for group in 0..topology.groups.len() {
        let name = ("name", format!("\"a{group}\""));
        section(&mut text, "[applicationSecurityGroup]", &[name]);
    }
    for (at, nsg) in topology.nsgs.iter().enumerate() {
        group(&mut text, topology, at, nsg);
    }
    nics(&mut text, topology);
    for (at, service) in topology.services.iter().enumerate() {
        section(
            &mut text,
            "[service]",
            &[
                ("name", format!("\"s{at}\"")),
                ("service", format!("{:?}", service.kind.name)),
                ("location", format!("{:?}", service.region.name)),
                ("address", address(service.address)),
                ("namespace", format!("\"svc{}\"", service.namespace)),
            ],
        );
    }
    text
}

/// Writes an item of a list, `header` in a second pair of brackets.
fn section(text: &mut String, header: &str, keys: &[(&str, String)]) {
    writeln!(text, "[{header}]").unwrap();
    for (key, value) in keys {
        writeln!(text, "{key} = {value}").unwrap();
    }
}

fn address(address: u32) -> String {
    format!("\"{}\"", Ipv4Addr::from(address))
}

fn quoted(items: &[impl Display]) -> String {
    let items = items.iter().map(|item| format!("\"{item}\""));
    format!("[{}]", items.collect::<Vec<_>>().join(", "))
}

fn head(text: &mut String, topology: &Topology) {
    let settings = &topology.settings;
    let precedence = match settings.precedence {
        Precedence::Strict => "strict",
        Precedence::Tie => "tie",
        Precedence::Observed => "observed",
    };
    let wide = settings.tag_includes_default_route;
    let removes_none = settings.learned_default_removes_none;
    let (icmp, fragments) = (settings.shared_icmp, settings.shared_fragments);
    writeln!(
        text,
        "[settings]\nvsePrecedence = \"{precedence}\"\nvnetTagIncludesDefaultRoute = {wide}\n\
         learnedDefaultRemovesNone = {removes_none}\n\
         sharedSnatIcmp = {icmp}\nsharedSnatFragments = {fragments}"
    )
    .unwrap();
    if topology.has_internet {
        let internet = "[internet]\nnamespace = \"inet\"\naddresses = [\"93.184.216.34/24\"]";
        writeln!(text, "{internet}").unwrap();
    }
    if let Some(public) = topology.default_outbound {
        let public = address(public);
        writeln!(text, "[defaultOutbound]\npublicIPAddress = {public}").unwrap();
    }
    for (at, addresses) in topology.nat_gateways.iter().enumerate() {
        let addresses: Vec<_> = addresses.iter().map(|it| Ipv4Addr::from(*it)).collect();
        section(
            text,
            "[natGateway]",
            &[
                ("name", format!("\"nat{at}\"")),
                ("publicIPAddresses", quoted(&addresses)),
            ],
        );
    }
}

fn route_table(text: &mut String, topology: &Topology, at: usize, table: &Table) {
    section(
        text,
        "[routeTable]",
        &[
            ("name", format!("\"t{at}\"")),
            ("disableBgpRoutePropagation", table.is_cut_off.to_string()),
        ],
    );
    for (at, route) in table.routes.iter().enumerate() {
        let to = match route.to {
            Target::Prefix(prefix) => prefix.to_string(),
            Target::Tag(tag) => topology.tags[tag].name.clone(),
        };
        let hop = match route.hop {
            UserHop::Appliance(_) => "VirtualAppliance",
            UserHop::Gateway => "VirtualNetworkGateway",
            UserHop::VnetLocal => "VnetLocal",
            UserHop::Internet => "Internet",
            UserHop::Nowhere => "None",
        };
        let mut keys = vec![
            ("name", format!("\"r{at}\"")),
            ("addressPrefix", format!("\"{to}\"")),
            ("nextHopType", format!("\"{hop}\"")),
        ];
        if let UserHop::Appliance(at) = route.hop {
            keys.push(("nextHopIpAddress", address(at)));
        }
        section(text, "[routeTable.route]", &keys);
    }
}

fn network(text: &mut String, at: usize, vnet: &Vnet) {
    section(
        text,
        "[virtualNetwork]",
        &[
            ("name", format!("\"v{at}\"")),
            ("location", format!("{:?}", vnet.region.name)),
            ("addressPrefixes", quoted(&vnet.ranges)),
        ],
    );
    for peering in &vnet.peerings {
        section(
            text,
            "[virtualNetwork.peering]",
            &[
                ("remote", format!("\"v{}\"", peering.remote)),
                (
                    "allowForwardedTraffic",
                    peering.allows_forwarded.to_string(),
                ),
            ],
        );
    }
    for (at, subnet) in vnet.subnets.iter().enumerate() {
        let endpoints = subnet.endpoints.iter().map(|kind| kind.name);
        let endpoints: Vec<_> = endpoints.collect();
        let mut keys = vec![
            (
                "name",
                format!("\"{}\"", subnet_name(at, subnet.is_of_gateway)),
            ),
            ("addressPrefix", format!("\"{}\"", subnet.prefix)),
            ("serviceEndpoints", quoted(&endpoints)),
            ("defaultOutboundAccess", subnet.default_outbound.to_string()),
        ];
        let references = [
            ("networkSecurityGroup", "g", subnet.nsg),
            ("routeTable", "t", subnet.table),
            ("natGateway", "nat", subnet.nat_gateway),
        ];
        for (key, letter, at) in references {
            keys.extend(at.map(|at| (key, format!("\"{letter}{at}\""))));
        }
        section(text, "[virtualNetwork.subnet]", &keys);
    }
}

fn subnet_name(at: usize, is_of_gateway: bool) -> String {
    match is_of_gateway {
        true => "GatewaySubnet".to_owned(),
        false => format!("n{at}"),
    }
}

fn nics(text: &mut String, topology: &Topology) {
    for (at, nic) in topology.nics.iter().enumerate() {
        let groups: Vec<_> = nic.groups.iter().map(|group| format!("a{group}")).collect();
        let mut keys = vec![
            ("name", format!("\"vm{at}\"")),
            ("virtualNetwork", format!("\"v{}\"", nic.vnet)),
            ("subnet", format!("\"{}\"", subnet_name(nic.subnet, false))),
            ("privateIPAddress", address(nic.address)),
            ("enableIPForwarding", nic.forwards.to_string()),
            ("applicationSecurityGroups", quoted(&groups)),
            ("namespace", format!("\"vm{at}\"")),
        ];
        keys.extend(
            nic.public
                .map(|public| ("publicIPAddress", address(public))),
        );
        let nsg = nic
            .nsg
            .map(|nsg| ("networkSecurityGroup", format!("\"g{nsg}\"")));
        keys.extend(nsg);
        section(text, "[networkInterface]", &keys);
    }
}

fn group(text: &mut String, topology: &Topology, at: usize, nsg: &Nsg) {
    let name = ("name", format!("\"g{at}\""));
    section(text, "[networkSecurityGroup]", &[name]);
    for (at, rule) in nsg.rules.iter().enumerate() {
        section(
            text,
            "[networkSecurityGroup.securityRule]",
            &keys_of(topology, at, rule),
        );
    }
}

fn keys_of(topology: &Topology, at: usize, rule: &Rule) -> Vec<(&'static str, String)> {
    let word = |is: bool, yes: &str, no: &str| format!("\"{}\"", if is { yes } else { no });
    let protocol = match rule.protocol {
        Protocol::Any => "*",
        Protocol::Tcp => "Tcp",
        Protocol::Udp => "Udp",
        Protocol::Icmp => "Icmp",
        Protocol::Esp => "Esp",
    };
    let source = [
        "sourceAddressPrefix",
        "sourceAddressPrefixes",
        "sourceApplicationSecurityGroups",
    ];
    let destination = [
        "destinationAddressPrefix",
        "destinationAddressPrefixes",
        "destinationApplicationSecurityGroups",
    ];
    vec![
        ("name", format!("\"r{at}\"")),
        ("priority", rule.priority.to_string()),
        ("direction", word(rule.is_inbound, "Inbound", "Outbound")),
        ("access", word(rule.allows, "Allow", "Deny")),
        ("protocol", format!("\"{protocol}\"")),
        side(topology, &rule.source, source),
        ("sourcePortRanges", ports(&rule.source_ports)),
        side(topology, &rule.destination, destination),
        ("destinationPortRanges", ports(&rule.destination_ports)),
    ]
}

fn side(
    topology: &Topology,
    side: &Side,
    [one, many, groups]: [&'static str; 3],
) -> (&'static str, String) {
    let name = match side {
        Side::Any => "*",
        Side::VirtualNetwork => "VirtualNetwork",
        Side::Internet => "Internet",
        Side::LoadBalancer => "AzureLoadBalancer",
        Side::PlatformDns => "AzurePlatformDNS",
        Side::PlatformImds => "AzurePlatformIMDS",
        Side::PlatformLkm => "AzurePlatformLKM",
        Side::Tag(tag) => &topology.tags[*tag].name,
        Side::Prefixes(prefixes) => return (many, quoted(prefixes)),
        Side::Groups(names) => {
            let names: Vec<_> = names.iter().map(|group| format!("a{group}")).collect();
            return (groups, quoted(&names));
        }
    };
    (one, format!("\"{name}\""))
}

fn ports(ports: &Ports) -> String {
    if ports.is_empty() {
        return "[\"*\"]".to_owned();
    }
    let texts = ports.iter().map(|(first, last)| match first == last {
        true => first.to_string(),
        false => format!("{first}-{last}"),
    });
    quoted(&texts.collect::<Vec<_>>())
}
