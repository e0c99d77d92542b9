//! Network security groups.

use super::*;

#[test]
fn rules_are_checked() {
    const RULE: &str = "networkSecurityGroup[0].securityRule[0]";
    for (from, to, wanted) in [
        (
            "priority = 1000",
            "priority = 99",
            ".priority = 99: out of range; accepted: 100 to 4096",
        ),
        (
            "priority = 1000",
            "priority = 4097",
            ".priority = 4097: out of range; accepted: 100 to 4096",
        ),
        (
            "priority = 1000\n",
            "",
            ".priority: missing; accepted: a number from 100 to 4096",
        ),
        (
            "direction = \"Inbound\"",
            "direction = \"In\"",
            ".direction = \"In\": not a value of this key; accepted: \"Inbound\" or \"Outbound\"",
        ),
        (
            "access = \"Allow\"",
            "access = \"Permit\"",
            ".access = \"Permit\": not a value of this key; accepted: \"Allow\" or \"Deny\"",
        ),
        (
            "protocol = \"Tcp\"",
            "protocol = \"Sctp\"",
            ".protocol = \"Sctp\": not a value of this key; accepted: \"Tcp\", \"Udp\",",
        ),
        (
            "destinationPortRange = \"22\"",
            "destinationPortRange = \"80-22\"",
            ".destinationPortRange = \"80-22\": the range is reversed; accepted: 22-80",
        ),
        (
            "destinationPortRange = \"22\"",
            "destinationPortRange = \"65536\"",
            ".destinationPortRange = \"65536\": not a value",
        ),
        (
            "destinationPortRange = \"22\"",
            "destinationPortRange = \"ssh\"",
            ".destinationPortRange = \"ssh\": not a value",
        ),
        (
            "destinationPortRange = \"22\"",
            "destinationPortRange = 22",
            ".destinationPortRange = 22: not a value",
        ),
        (
            "destinationPortRange = \"22\"",
            "",
            ".destinationPortRange: missing",
        ),
        (
            "destinationPortRange = \"22\"",
            "destinationPortRanges = []",
            ".destinationPortRanges = []: not a value",
        ),
        (
            "destinationPortRange = \"22\"",
            "destinationPortRanges = [\"1\", \"*\"]",
            ".destinationPortRanges[1] = \"*\": \"*\" cannot stand beside",
        ),
        (
            "destinationPortRange = \"22\"",
            "destinationPortRange = \"22\"\ndestinationPortRanges = [\"23\"]",
            ".destinationPortRanges = [\"23\"]: destinationPortRange is there too; accepted: one of the two",
        ),
        (
            "sourceAddressPrefix = \"*\"",
            "",
            ".sourceAddressPrefix: missing",
        ),
        (
            "sourceAddressPrefix = \"*\"",
            "sourceAddressPrefix = \"10.0.0.1/8\"",
            ".sourceAddressPrefix = \"10.0.0.1/8\": bits are set behind the prefix length; accepted: 10.0.0.0/8",
        ),
        (
            "sourceAddressPrefix = \"*\"",
            "sourceAddressPrefix = \"Storage.Atlantis\"",
            ".sourceAddressPrefix = \"Storage.Atlantis\": SecurityRuleInvalidAddressPrefix: neither a prefix nor a service tag of built-in service-tags.json; accepted: \"*\", an IPv4 prefix or address, VirtualNetwork, Internet, AzureLoadBalancer, AzurePlatformDNS, AzurePlatformIMDS, AzurePlatformLKM, or a tag such as Storage, Storage.AustraliaCentral,",
        ),
        (
            "sourceAddressPrefix = \"*\"",
            "sourceAddressPrefix = \"AzureCloud\"",
            ".sourceAddressPrefix = \"AzureCloud\": SecurityRuleInvalidAddressPrefix: neither a prefix nor a service tag",
        ),
        (
            "sourceAddressPrefix = \"*\"",
            "sourceAddressPrefixes = [\"Internet\", \"10.0.0.0/8\"]",
            ".sourceAddressPrefixes[0] = \"Internet\": SecurityRuleParameterContainsUnsupportedValue: \"*\" or a tag cannot stand beside",
        ),
        (
            "sourceAddressPrefix = \"*\"",
            "sourceAddressPrefixes = [\"10.0.0.0/8\", \"*\"]",
            ".sourceAddressPrefixes[1] = \"*\": SecurityRuleParameterContainsUnsupportedValue: \"*\" or a tag cannot stand beside",
        ),
        (
            "sourceAddressPrefix = \"*\"",
            "sourceAddressPrefix = \"*\"\nsourceAddressPrefixes = [\"10.0.0.0/8\"]",
            ".sourceAddressPrefixes = [\"10.0.0.0/8\"]: sourceAddressPrefix is there too",
        ),
    ] {
        let lines = refusals(from, to);
        let wanted = format!("f.toml: {RULE}{wanted}");
        assert!(
            lines.len() == 1 && lines[0].starts_with(&wanted),
            "{to}: {lines:#?}"
        );
        assert!(lines[0].contains("accepted: "), "{}", lines[0]);
    }
}

#[test]
fn a_priority_is_used_once_by_direction() {
    assert_refused(&[(
        "direction = \"Outbound\"",
        "direction = \"inbound\"",
        "networkSecurityGroup[0].securityRule[1].priority = 1000: \
         SecurityRuleConflict: networkSecurityGroup[0].securityRule[0].name has the same priority Inbound; accepted: a \
         priority from 100 to 4096 that no other Inbound rule of the group has",
    )]);
}

#[test]
fn rules_take_every_protocol_tag_and_port_form() {
    for protocol in ["Tcp", "udp", "ICMP", "Esp", "Ah", "*"] {
        let text = GOOD.replacen(
            "protocol = \"Tcp\"",
            &format!("protocol = \"{protocol}\""),
            1,
        );
        let model = read(&text).unwrap();
        let read = model.nsgs[0].rules[0].protocol.to_string();
        assert!(read.eq_ignore_ascii_case(protocol), "{read}");
    }
    for tag in [
        "virtualnetwork",
        "Internet",
        "AzureLoadBalancer",
        "Sql",
        "EventHub.WestUS3",
    ] {
        let text = GOOD.replacen("Prefix = \"*\"", &format!("Prefix = \"{tag}\""), 1);
        let source = read(&text).unwrap().nsgs[0].rules[0].source.to_string();
        assert!(source.eq_ignore_ascii_case(tag), "{source}");
    }
    let portless = GOOD
        .replacen("protocol = \"Tcp\"", "protocol = \"Icmp\"", 1)
        .replacen("destinationPortRange = \"22\"\n", "", 1);
    assert_eq!(
        read(&portless).unwrap().nsgs[0].rules[0].destination_ports,
        Ports::Any
    );
}

#[test]
fn a_group_has_at_most_a_thousand_rules() {
    let rule = |at: usize| {
        format!(
            "[[networkSecurityGroup.securityRule]]\nname = \"r{at}\"\npriority = {}\ndirection = \"Inbound\"\n\
             access = \"Allow\"\nprotocol = \"*\"\nsourceAddressPrefix = \"*\"\n\
             destinationAddressPrefix = \"*\"\ndestinationPortRange = \"*\"\n",
            at + 100
        )
    };
    let group = |count| {
        let rules: String = (0..count).map(rule).collect();
        read(&format!("[[networkSecurityGroup]]\nname = \"n\"\n{rules}"))
    };
    assert_eq!(group(1000).unwrap().nsgs[0].rules.len(), 1000);
    let error = group(1001).unwrap_err().to_string();
    assert!(
        error.contains("networkSecurityGroup[0].securityRule = "),
        "{error}"
    );
    assert!(
        error.ends_with("1001 are too many; accepted: at most 1000"),
        "{error}"
    );
}
