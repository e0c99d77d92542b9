use super::*;
use crate::compile::{Compiled, compile};
use crate::config;
use crate::keys::grants::GrantProblem;
use postern_dataplane::policy::{Caller, DeniedBy, Epoch, Ruling};
use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::LazyLock;

static CATALOG: LazyLock<Catalog> = LazyLock::new(|| Catalog::bundled().unwrap());

const PIP: Ipv4Addr = Ipv4Addr::new(20, 0, 0, 9);

/// Networks in Korea Central, its pair and Japan East, each NIC with its public address.
fn world(rules: &str) -> String {
    let mut text = "location = \"koreacentral\"\n".to_owned();
    for (vnet, location, subnets) in [
        (
            "VNet1",
            "koreacentral",
            &[("subnet1", true), ("subnet2", true), ("subnet3", false)][..],
        ),
        ("VNet2", "koreasouth", &[("pair", true)]),
        ("VNet3", "japaneast", &[("far", true)]),
    ] {
        text += &format!(
            "[[virtualNetwork]]\nname = \"{vnet}\"\nlocation = \"{location}\"\naddressPrefixes = [\"10.0.0.0/16\"]\n"
        );
        for (at, (subnet, is_on)) in subnets.iter().enumerate() {
            let services = if *is_on { "\"Microsoft.Storage\"" } else { "" };
            text += &format!(
                "[[virtualNetwork.subnet]]\nname = \"{subnet}\"\naddressPrefix = \"10.0.{at}.0/24\"\nserviceEndpoints = [{services}]\n"
            );
        }
    }
    for (at, (vnet, subnet)) in [("VNet1", "subnet3"), ("VNet3", "far")].iter().enumerate() {
        let host = if *subnet == "far" {
            "10.0.0.4"
        } else {
            "10.0.2.4"
        };
        text += &format!(
            "[[networkInterface]]\nname = \"n{at}\"\nvirtualNetwork = \"{vnet}\"\nsubnet = \"{subnet}\"\nprivateIPAddress = \"{host}\"\npublicIPAddress = \"20.0.0.{}\"\nnamespace = \"n{at}\"\n",
            9 + at
        );
    }
    text + &format!(
        "[[service]]\nname = \"contoso\"\nservice = \"Microsoft.Storage\"\naddress = \"20.60.16.5\"\nnamespace = \"svc\"\n{rules}\n"
    )
}

fn acls(text: &str) -> String {
    format!("networkAcls = {{ defaultAction = \"Deny\", {text} }}")
}

fn attempt(numbers: &mut PortNumbers, text: &str) -> Result<Compiled, CompileError> {
    let model = config::parse(Path::new("f.toml"), text, &CATALOG);
    let model = model.unwrap_or_else(|errors| panic!("{errors}\n{text}"));
    let mut copy = numbers.clone();
    let compiled = compile(&model, &CATALOG, Epoch(1), &mut copy)?;
    *numbers = copy;
    Ok(compiled)
}

/// What a compiled world says of callers to `contoso`.
struct Door {
    compiled: Compiled,
    numbers: PortNumbers,
    id: ResourceId,
}

impl Door {
    fn new(text: &str) -> Self {
        let mut numbers = PortNumbers::default();
        let compiled = attempt(&mut numbers, text).unwrap();
        let id = compiled.snapshot.access.at(Ipv4Addr::new(20, 60, 16, 5))[0];
        Self {
            compiled,
            numbers,
            id,
        }
    }

    fn apply(&mut self, text: &str) {
        self.compiled = attempt(&mut self.numbers, text).unwrap();
    }

    fn endpoint(&self, vnet: &str, subnet: &str) -> Ruling {
        let (vnet, subnet) = self.numbers.keys().subnet(vnet, subnet).unwrap();
        let address = Ipv4Addr::new(10, 0, 0, 4);
        self.decide(&Caller::Subnet {
            vnet,
            subnet,
            address,
        })
    }

    fn public(&self, address: Ipv4Addr) -> Ruling {
        self.decide(&Caller::Public(address))
    }

    fn decide(&self, caller: &Caller) -> Ruling {
        self.compiled.snapshot.access.decide(caller, self.id)
    }

    fn rule(&self, ruling: Ruling) -> &str {
        self.compiled
            .names
            .access_rule(ruling.rule().unwrap())
            .unwrap()
    }
}

/// Reference section 6.7, with each NIC's own address where the example uses one for all.
#[test]
fn worked_example_of_network_rules() {
    let ip_rules = "ipRules = [{ value = \"20.0.0.9\" }, { value = \"20.0.0.10\" }, { value = \"93.184.216.34\" }]";
    let door = Door::new(&world(&acls(&format!(
        "virtualNetworkRules = [{{ id = \"VNet1/subnet1\" }}], {ip_rules}"
    ))));
    let by_subnet = door.endpoint("VNet1", "subnet1");
    assert!(by_subnet.is_allowed());
    assert_eq!(
        door.rule(by_subnet),
        "contoso/virtualNetworkRules/VNet1/subnet1"
    );
    assert!(!door.endpoint("VNet1", "subnet2").is_allowed());
    let hidden = door.public(PIP);
    assert!(
        matches!(hidden, Ruling::Deny(DeniedBy::HiddenSource { .. })),
        "same region"
    );
    assert_eq!(door.rule(hidden), "contoso/ipRules/20.0.0.9");
    assert!(
        door.public(Ipv4Addr::new(20, 0, 0, 10)).is_allowed(),
        "japaneast"
    );
    assert!(
        door.public(Ipv4Addr::new(93, 184, 216, 34)).is_allowed(),
        "a laptop"
    );
    assert!(!door.public(Ipv4Addr::new(93, 184, 216, 35)).is_allowed());
    let seen = format!(
        "[settings]\nsameRegionPublicSourceHidden = false\n{}",
        world(&acls(ip_rules))
    );
    let seen = seen.replacen("location = \"koreacentral\"\n", "", 1);
    let door = Door::new(&format!("location = \"koreacentral\"\n{seen}"));
    assert!(door.public(PIP).is_allowed());
}

/// T17 of the checklist.
#[test]
fn t17_a_rule_does_not_let_in_a_subnet_that_came_back() {
    let ruled = world(&acls("virtualNetworkRules = [{ id = \"VNet1/subnet2\" }]"));
    let gone = ruled.replace("[[virtualNetwork.subnet]]\nname = \"subnet2\"\naddressPrefix = \"10.0.1.0/24\"\nserviceEndpoints = [\"Microsoft.Storage\"]\n", "");
    assert_ne!(gone, ruled);
    let mut door = Door::new(&ruled);
    assert!(door.endpoint("VNet1", "subnet2").is_allowed());
    door.apply(&gone);
    door.apply(&ruled);
    assert!(
        !door.endpoint("VNet1", "subnet2").is_allowed(),
        "it is another subnet"
    );
    door.apply(&world(&acls("virtualNetworkRules = []")));
    door.apply(&ruled);
    assert!(
        door.endpoint("VNet1", "subnet2").is_allowed(),
        "the rule was made again"
    );
}

#[test]
fn a_rule_stays_when_its_subnet_loses_the_endpoint() {
    let ruled = world(&acls("virtualNetworkRules = [{ id = \"VNet1/subnet2\" }]"));
    let off = ruled.replace(
        "addressPrefix = \"10.0.1.0/24\"\nserviceEndpoints = [\"Microsoft.Storage\"]",
        "addressPrefix = \"10.0.1.0/24\"",
    );
    assert_ne!(off, ruled);
    let mut door = Door::new(&ruled);
    door.apply(&off);
    door.apply(&ruled);
    assert!(door.endpoint("VNet1", "subnet2").is_allowed());
}

#[test]
fn rules_that_cannot_be_made_are_refused() {
    let problem = |text: &str| match attempt(&mut PortNumbers::default(), text) {
        Err(CompileError::Grant(errors)) => {
            assert_eq!(errors.0.len(), 1, "{errors}");
            let text = errors.to_string();
            assert!(text.starts_with("service[0]."), "{text}");
            assert!(text.contains("; accepted: "), "{text}");
            (errors.0[0].problem.clone(), text)
        }
        other => panic!("{other:?}"),
    };
    let named = |subnet: &str| {
        world(&acls(&format!(
            "virtualNetworkRules = [{{ id = \"{subnet}\" }}]"
        )))
    };
    let (_, text) = problem(&named("VNet1/subnet3"));
    assert!(
        text.contains("NetworkAclsValidationFailure: SubnetsHaveNoServiceEndpointsConfigured"),
        "{text}"
    );
    let (found, _) = problem(&named("VNet1/nothing"));
    assert!(matches!(found, GrantProblem::NoSuchSubnet { .. }));
    let elsewhere = "/subscriptions/S/resourceGroups/G/providers/Microsoft.Network/virtualNetworks/VNet1/subnets/subnet1";
    let (found, _) = problem(&named(elsewhere));
    assert!(matches!(found, GrantProblem::NoSuchSubnet { .. }));
    let (found, text) = problem(&named("VNet3/far"));
    assert!(matches!(found, GrantProblem::OtherRegion { .. }));
    assert!(
        text.contains("accepted: koreacentral or koreasouth"),
        "{text}"
    );
    attempt(&mut PortNumbers::default(), &named("VNet2/pair")).unwrap();
    let global = named("VNet3/far").replace(
        "\"Microsoft.Storage\"]\n[[networkInterface]]",
        "\"Microsoft.Storage.Global\"]\n[[networkInterface]]",
    );
    attempt(&mut PortNumbers::default(), &global).unwrap();
    // Subscriptions may differ, tenants only where that is switched on.
    let other = |key: &str| {
        named("VNet1/subnet1").replacen(
            "name = \"VNet1\"\n",
            &format!("name = \"VNet1\"\n{key} = \"other\"\n"),
            1,
        )
    };
    attempt(&mut PortNumbers::default(), &other("subscription")).unwrap();
    let (found, _) = problem(&other("tenant"));
    assert!(matches!(found, GrantProblem::OtherTenant { .. }));
    let switched = other("tenant").replacen(
        "[[virtualNetwork]]",
        "[settings]\ncrossTenantRules = \"storage\"\n[[virtualNetwork]]",
        1,
    );
    attempt(&mut PortNumbers::default(), &switched).unwrap();
}

/// Reference section 8.
#[test]
fn endpoint_policies_name_accounts_by_scope() {
    let account = |name: &str, group: &str, host: u8| {
        format!(
            "[[service]]\nname = \"{name}\"\nservice = \"Microsoft.Storage\"\nresourceGroup = \"{group}\"\naddress = \"20.60.16.{host}\"\nnamespace = \"svc\"\n"
        )
    };
    let scope = "/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups";
    let decisions = |resources: &str, audit: bool| -> Vec<bool> {
        let text = world("")
            + &account("fabrikam", "rg2", 6)
            + &account("other", "rg22", 7)
            + &format!(
                "[[serviceEndpointPolicy]]\nname = \"sep1\"\naudit = {audit}\n[[serviceEndpointPolicy.definition]]\nname = \"d\"\nservice = \"Microsoft.Storage\"\nserviceResources = [{resources}]\n"
            );
        let text = text.replacen(
            "serviceEndpoints = [\"Microsoft.Storage\"]\n",
            "serviceEndpoints = [\"Microsoft.Storage\"]\nserviceEndpointPolicies = [\"sep1\"]\n",
            1,
        );
        let door = Door::new(&text);
        let (vnet, subnet) = door.numbers.keys().subnet("VNet1", "subnet1").unwrap();
        let address = Ipv4Addr::new(10, 0, 0, 4);
        let caller = Caller::Subnet {
            vnet,
            subnet,
            address,
        };
        let access = &door.compiled.snapshot.access;
        let ids = [5, 6, 7].map(|host| access.at(Ipv4Addr::new(20, 60, 16, host))[0]);
        assert!(door.endpoint("VNet1", "subnet2").is_allowed(), "a sibling");
        ids.map(|id| access.decide(&caller, id).is_allowed())
            .to_vec()
    };
    assert_eq!(decisions("", false), [false, false, false]);
    assert_eq!(
        decisions(&format!("\"{scope}/RG2\""), false),
        [false, true, false],
        "whole segments"
    );
    assert_eq!(
        decisions(
            &format!("\"{scope}/postern/providers/Microsoft.Storage/storageAccounts/CONTOSO\""),
            false
        ),
        [true, false, false]
    );
    assert_eq!(
        decisions(
            "\"subscriptions/00000000-0000-0000-0000-000000000000\"",
            false
        ),
        [true, true, true]
    );
    assert_eq!(decisions("", true), [true, true, true], "audited");
}

/// Two accounts behind one address, each with its own rules.
#[test]
fn accounts_that_share_an_address_keep_their_own_rules() {
    let other = "[[service]]\nname = \"other\"\nservice = \"Microsoft.Storage\"\naddress = \"20.60.16.5\"\nnamespace = \"svc\"\n";
    let text = world(&acls("virtualNetworkRules = [{ id = \"VNet1/subnet1\" }]"))
        + other
        + &acls("ipRules = [{ value = \"198.51.100.7\" }]");
    let mut numbers = PortNumbers::default();
    let compiled = attempt(&mut numbers, &text).unwrap();
    let table = &compiled.snapshot.access;
    let address = Ipv4Addr::new(20, 60, 16, 5);
    let ids = table.at(address).to_vec();
    assert_eq!(ids.len(), 2);
    assert_eq!(compiled.snapshot.services.len(), 1);
    let ports = compiled.ports.iter();
    let counts: Vec<_> = ports
        .filter(|port| port.namespace == "svc".parse().unwrap())
        .map(|port| port.addresses.len())
        .collect();
    assert_eq!(counts, [1], "one device has the address once");
    let (vnet, subnet) = numbers.keys().subnet("VNet1", "subnet1").unwrap();
    let by_endpoint = Caller::Subnet {
        vnet,
        subnet,
        address: Ipv4Addr::new(10, 0, 0, 4),
    };
    let by_internet = Caller::Public(Ipv4Addr::new(198, 51, 100, 7));
    let allowed = |caller: &Caller| {
        let ruling = |id: &ResourceId| table.decide(caller, *id).is_allowed();
        ids.iter().map(ruling).collect::<Vec<_>>()
    };
    assert_eq!(allowed(&by_endpoint), [true, false]);
    assert_eq!(allowed(&by_internet), [false, true]);
    assert_eq!(allowed(&Caller::Public(PIP)), [false, false]);
    for caller in [by_endpoint, by_internet] {
        let (_, ruling) = table.decide_at(&caller, address).unwrap();
        assert!(ruling.is_allowed(), "one of them is enough for a packet");
    }
}
