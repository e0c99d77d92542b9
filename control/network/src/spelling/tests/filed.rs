//! Resources of one network in groups of their own, as a file and back.

use super::super::kinds;
use super::*;
use std::path::Path;

/// A resource of each kind that the file declares, each in another group; with `twin` behind the names
/// of the file, which ARM does not have, where that is not empty.
fn network(twin: &str, place: u8) -> String {
    let of = |kind: &str, name: &str, more: &str| {
        let resource_name = match twin {
            "" => String::new(),
            _ => format!("resourceName = \"{name}\"\n"),
        };
        format!(
            "[[{kind}]]\nname = \"{name}{twin}\"\n{resource_name}location = \"koreasouth\"\n\
             subscription = \"11111111-1111-4111-8111-111111111111\"\n\
             resourceGroup = \"{kind}s{twin}\"\n{more}\n"
        )
    };
    let nic = of(
        "networkInterface",
        "nic",
        &format!(
            "virtualNetwork = \"net{twin}\"\nsubnet = \"s\"\nprivateIPAddress = \"10.{place}.1.9\"\n\
             publicIPAddress = \"20.90.0.{place}\"\napplicationSecurityGroups = [\"asg{twin}\"]\n\
             networkSecurityGroup = \"nsg{twin}\"\nnamespace = \"vm{place}\""
        ),
    );
    [
        of(
            "routeTable",
            "rt",
            "[[routeTable.route]]\nname = \"r\"\naddressPrefix = \"0.0.0.0/0\"\nnextHopType = \"None\"",
        ),
        of(
            "serviceEndpointPolicy",
            "sep",
            "[[serviceEndpointPolicy.definition]]\nname = \"d\"\nservice = \"Microsoft.Storage\"\n\
             serviceResources = [\"/subscriptions/s\"]",
        ),
        of("applicationSecurityGroup", "asg", ""),
        of(
            "networkSecurityGroup",
            "nsg",
            &format!(
                "[[networkSecurityGroup.securityRule]]\nname = \"r\"\npriority = 100\n\
                 direction = \"Inbound\"\naccess = \"Allow\"\nprotocol = \"Tcp\"\n\
                 sourceApplicationSecurityGroups = [\"asg{twin}\"]\n\
                 destinationAddressPrefix = \"*\"\ndestinationPortRange = \"22\""
            ),
        ),
        of(
            "natGateway",
            "nat",
            &format!("publicIPAddresses = [\"20.90.1.{place}\"]"),
        ),
        of(
            "virtualNetwork",
            "net",
            &format!(
                "addressPrefixes = [\"10.{place}.0.0/16\"]\n[[virtualNetwork.subnet]]\nname = \"s\"\n\
                 addressPrefix = \"10.{place}.1.0/24\"\nserviceEndpoints = [\"Microsoft.Storage\"]\n\
                 routeTable = \"rt{twin}\"\nnetworkSecurityGroup = \"nsg{twin}\"\n\
                 natGateway = \"nat{twin}\"\nserviceEndpointPolicies = [\"sep{twin}\"]"
            ),
        ),
        nic.replace("location = \"koreasouth\"\n", ""),
    ]
    .concat()
}

/// A resource of every service, each in another group.
fn services() -> String {
    let types = config::resource_types().enumerate();
    let tables = types.map(|(at, (service, of, _))| {
        format!(
            "[[service]]\nname = \"own{at}\"\nservice = \"{service}\"\ntype = \"{of}\"\n\
             resourceGroup = \"services{at}\"\n"
        )
    });
    tables.collect()
}

fn read(text: &str) -> Table {
    let source = config::parse_text(Path::new("f.toml"), text).unwrap();
    load(&source.table);
    source.table
}

#[test]
fn resources_in_groups_of_their_own_come_back_there() {
    let text = format!(
        "location = \"koreacentral\"\n{}{}{}",
        network("", 1),
        network("-2", 2),
        services()
    );
    let before = estate(raise(&read(&text)));
    let groups: std::collections::BTreeSet<_> =
        before.documents().map(|it| it.id.scope.key()).collect();
    // A public address is where its owner is.
    assert_eq!(
        groups.len(),
        2 * kinds::DECLARED.len() + config::resource_types().count()
    );
    for kind in &kinds::DECLARED {
        let all = before.documents().filter(|it| it.id.is(kind.arm));
        let names: Vec<_> = all.map(|it| it.id.name().to_owned()).collect();
        assert_eq!(names.len(), 2, "{}", kind.arm);
        assert_eq!(names[0], names[1], "{}", kind.arm);
    }
    let written = toml::to_string(&lower(&before)).unwrap();
    let after = estate(raise(&read(&written)));
    let all = |estate: &Estate| {
        let documents = estate.documents();
        let documents = documents.map(|it| (it.id.to_string(), Value::from(it.body.clone())));
        documents.collect::<Vec<_>>()
    };
    assert_eq!(all(&after), all(&before));
    let models = [&after, &before].map(|it| super::super::load(it, &CATALOG).unwrap());
    assert_eq!(models[0], models[1]);
}

#[test]
fn one_resource_is_declared_once() {
    let twice = network("", 1).replace("-2", "") + &network("-2", 2);
    let text = format!("location = \"koreacentral\"\n{twice}").replace("s-2\"", "s\"");
    let source = config::parse_text(Path::new("f.toml"), &text).unwrap();
    let errors = config::parse_table(&source.table, &CATALOG).unwrap_err();
    for kind in &kinds::DECLARED {
        let said = errors.iter().any(|error| {
            error.key == format!("{}[1].resourceName", kind.key)
                && matches!(&error.problem, config::Problem::SameResource(other)
                    if *other == format!("{}[0].name", kind.key))
        });
        assert!(said, "{}: {errors:#?}", kind.key);
    }
}

#[test]
fn what_arm_calls_a_resource_is_a_name() {
    let text =
        "location = \"koreacentral\"\n[[routeTable]]\nname = \"rt\"\nresourceName = \"a/b\"\n";
    let source = config::parse_text(Path::new("f.toml"), text).unwrap();
    let errors = config::parse_table(&source.table, &CATALOG).unwrap_err();
    let text = errors.iter().map(ToString::to_string).collect::<String>();
    assert!(text.contains("routeTable[0].resourceName"), "{text}");
    assert!(text.contains("not a name"), "{text}");
}
