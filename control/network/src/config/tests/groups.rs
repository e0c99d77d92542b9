use super::*;

/// The good configuration with two application security groups and their members.
fn grouped() -> String {
    let vnet2 = "[[virtualNetwork]]\nname = \"VNet2\"\naddressPrefixes = [\"10.9.0.0/16\"]\n\
                 [[virtualNetwork.subnet]]\nname = \"s\"\naddressPrefix = \"10.9.0.0/24\"\n\
                 [[networkInterface]]\nname = \"far\"\nvirtualNetwork = \"VNet2\"\nsubnet = \"s\"\n\
                 privateIPAddress = \"10.9.0.4\"\nnamespace = \"far\"\n";
    let groups = "[[applicationSecurityGroup]]\nname = \"Web\"\n\
                  [[applicationSecurityGroup]]\nname = \"Db\"\nlocation = \"koreacentral\"\n";
    GOOD.replacen(
        "publicIPAddress = \"20.0.0.9\"",
        "applicationSecurityGroups = [\"web\"]",
        1,
    )
    .replacen(
        "sourceAddressPrefix = \"*\"",
        "sourceApplicationSecurityGroups = [\"WEB\", \"db\", \"Db\"]",
        1,
    ) + vnet2
        + groups
}

fn refused(from: &str, to: &str) -> Vec<String> {
    let text = grouped();
    assert!(text.contains(from), "the case does not apply: {from}");
    let error = read(&text.replacen(from, to, 1)).expect_err(to).to_string();
    error.lines().map(str::to_owned).collect()
}

#[test]
fn groups_are_read_once_each_and_as_declared() {
    let model = read(&grouped()).unwrap();
    assert_eq!(model.asgs.len(), 2);
    assert_eq!(model.nic("vm0").unwrap().asgs, ["Web"]);
    let source = &model.nsgs[0].rules[0].source;
    assert_eq!(*source, Peer::Groups(vec!["Web".into(), "Db".into()]));
}

#[test]
fn groups_are_checked() {
    for (from, to, wanted) in [
        (
            "[\"web\"]",
            "[\"wob\"]",
            "networkInterface[0].applicationSecurityGroups[0] = \"wob\": there is no such \
             applicationSecurityGroup; accepted: Web, Db",
        ),
        (
            "sourceApplicationSecurityGroups",
            "sourceAddressPrefix = \"*\"\nsourceApplicationSecurityGroups",
            "networkSecurityGroup[0].securityRule[0].sourceApplicationSecurityGroups = \
             [\"WEB\", \"db\", \"Db\"]: sourceAddressPrefix is there too; accepted: one of the two",
        ),
        (
            "name = \"Web\"",
            "name = \"db\"",
            "applicationSecurityGroup[1].name = \"Db\": applicationSecurityGroup[0].name has the \
             same name; accepted: a name that is used once (case does not count)",
        ),
    ] {
        let lines = refused(from, to);
        assert!(lines.contains(&format!("f.toml: {wanted}")), "{lines:#?}");
    }
}

#[test]
fn members_and_the_groups_of_a_rule_share_a_network() {
    let far = "name = \"far\"\n";
    let lines = refused(
        far,
        "name = \"far\"\napplicationSecurityGroups = [\"Web\"]\n",
    );
    assert_eq!(
        lines,
        [
            "f.toml: networkInterface[2].applicationSecurityGroups = \"Web\": other members are in \
             VNet1; accepted: members of one virtual network"
        ]
    );
    let lines = refused(
        far,
        "name = \"far\"\napplicationSecurityGroups = [\"Db\"]\n",
    );
    assert_eq!(
        lines,
        [
            "f.toml: networkSecurityGroup[0].securityRule[0].sourceApplicationSecurityGroups = \
             \"Db\": other members are in VNet1; accepted: members of one virtual network"
        ]
    );
}

#[test]
fn groups_have_azures_limits() {
    let declared = |count: usize| {
        let group = |at| format!("[[applicationSecurityGroup]]\nname = \"g{at}\"\n");
        (0..count).map(group).collect::<String>()
    };
    let names = |first: usize, count: usize| {
        let names: Vec<_> = (first..first + count).map(|at| format!("g{at}")).collect();
        format!("{names:?}")
    };
    let end = |text: &str| {
        read(text)
            .err()
            .map(|error| error.to_string())
            .unwrap_or_default()
    };
    let member = |count| {
        let groups = format!("applicationSecurityGroups = {}", names(0, count));
        end(&(GOOD.replacen("publicIPAddress = \"20.0.0.9\"", &groups, 1) + &declared(30)))
    };
    assert_eq!(member(20), "");
    assert!(member(21).ends_with("21 are too many; accepted: at most 20"));
    let side = |count| {
        let groups = format!("sourceApplicationSecurityGroups = {}", names(0, count));
        end(&(GOOD.replacen("sourceAddressPrefix = \"*\"", &groups, 1) + &declared(30)))
    };
    assert_eq!(side(10), "");
    assert!(side(11).ends_with("11 are too many; accepted: at most 10"));
    let rules = |count: usize| {
        let rule = |at: usize| {
            format!(
                "[[networkSecurityGroup.securityRule]]\nname = \"r{at}\"\npriority = {}\n\
                 direction = \"Inbound\"\naccess = \"Allow\"\nprotocol = \"*\"\n\
                 sourceApplicationSecurityGroups = {}\ndestinationAddressPrefix = \"*\"\n\
                 destinationPortRange = \"*\"\n",
                at + 100,
                names(at * 10, 10.min(count - at * 10))
            )
        };
        let rules: String = (0..count.div_ceil(10)).map(rule).collect();
        end(&format!(
            "[[networkSecurityGroup]]\nname = \"n\"\n{rules}{}",
            declared(120)
        ))
    };
    assert_eq!(rules(100), "");
    assert!(rules(101).ends_with("101 are too many; accepted: at most 100"));
    assert_eq!(end(&declared(3000)), "");
    assert!(end(&declared(3001)).ends_with("3001 are too many; accepted: at most 3000"));
    let nsgs = |count: usize| {
        let nsg = |at| format!("[[networkSecurityGroup]]\nname = \"n{at}\"\n");
        end(&(0..count).map(nsg).collect::<String>())
    };
    assert_eq!(nsgs(5000), "");
    assert!(nsgs(5001).ends_with("5001 are too many; accepted: at most 5000"));
}

#[test]
fn a_platform_tag_is_an_outbound_destination() {
    let to = |tag| format!("destinationAddressPrefix = \"{tag}\"");
    let text = GOOD.replacen(&to("storage.koreacentral"), &to("azureplatformdns"), 1);
    let model = read(&text).unwrap();
    let tag = Peer::Tag(RuleTag::AzurePlatformDns);
    assert_eq!(model.nsgs[0].rules[1].destination, tag);
    let wanted = "a platform tag can only be the destination of an Outbound rule; accepted: it \
                  there, or another tag or prefix here";
    let key = "networkSecurityGroup[0].securityRule[0]";
    assert_refused(&[
        (
            "sourceAddressPrefix = \"*\"",
            "sourceAddressPrefix = \"AzurePlatformIMDS\"",
            &format!("{key}.sourceAddressPrefix = \"AzurePlatformIMDS\": {wanted}"),
        ),
        (
            "destinationAddressPrefix = \"10.0.1.0/24\"",
            "destinationAddressPrefixes = [\"AzurePlatformLKM\"]",
            &format!("{key}.destinationAddressPrefixes = [\"AzurePlatformLKM\"]: {wanted}"),
        ),
    ]);
}

#[test]
fn flow_timeout_and_flow_limit_are_read() {
    let with = |line: &str| {
        let text = GOOD.replacen("name = \"VNet1\"", &format!("name = \"VNet1\"\n{line}"), 1);
        read(&text)
    };
    let timeout = |line: &str| with(line).unwrap().vnets[0].flow_timeout;
    assert_eq!(timeout(""), None);
    let four = timeout("flowTimeoutInMinutes = 4");
    assert_eq!(four, Some(Duration::from_secs(240)));
    for minutes in [3, 31] {
        let error = with(&format!("flowTimeoutInMinutes = {minutes}")).unwrap_err();
        let wanted = format!("flowTimeoutInMinutes = {minutes}: out of range; accepted: 4 to 30");
        assert!(error.to_string().ends_with(&wanted), "{error}");
    }
    let settings = "[settings]\nmaxFlowsPerNic = 7\nvnetTagIncludesDefaultRoute = false\n";
    let model = read(&(GOOD.to_owned() + settings)).unwrap();
    assert_eq!(model.settings.max_nic_flows, 7);
    assert!(!model.settings.vnet_tag_includes_default_route);
}
