//! Address spaces, subnets, private, public and service addresses.

use super::*;
use ipnet::Ipv4Net;

#[test]
fn address_spaces_are_checked() {
    let space = |to: &str| format!("addressPrefixes = [\"10.0.0.0/16\", \"{to}\"]");
    for (range, wanted) in [
        (
            "10.0.128.0/17",
            "\"10.0.128.0/17\": overlaps virtualNetwork[0].addressPrefixes[0] (10.0.0.0/16); accepted: ",
        ),
        (
            "10.0.0.0/8",
            "\"10.0.0.0/8\": overlaps virtualNetwork[0].addressPrefixes[0]",
        ),
        (
            "10.1.0.1/16",
            "\"10.1.0.1/16\": bits are set behind the prefix length; accepted: 10.1.0.0/16",
        ),
        ("10.1.0.0/30", "\"10.1.0.0/30\": too small,"),
        ("224.0.0.0/8", "\"224.0.0.0/8\": holds 224.0.0.0/4, which"),
        (
            "255.255.255.248/29",
            "\"255.255.255.248/29\": holds 255.255.255.255/32",
        ),
        ("127.1.0.0/16", "\"127.1.0.0/16\": holds 127.0.0.0/8"),
        ("169.254.8.0/24", "\"169.254.8.0/24\": holds 169.254.0.0/16"),
        ("168.63.0.0/16", "\"168.63.0.0/16\": holds 168.63.129.16/32"),
        ("0.0.0.0/16", "\"0.0.0.0/16\": holds 0.0.0.0/8"),
        ("fd00::/64", "\"fd00::/64\": not a value"),
    ] {
        let lines = refusals("addressPrefixes = [\"10.0.0.0/16\"]", &space(range));
        let line = format!("f.toml: virtualNetwork[0].addressPrefixes[1] = {wanted}");
        assert!(
            lines.iter().any(|it| it.starts_with(&line)),
            "{range}: {lines:#?}"
        );
    }
}

#[test]
fn subnets_are_inside_their_network_and_apart() {
    assert_refused_with(&[
        (
            "addressPrefix = \"10.0.1.0/24\"",
            "addressPrefix = \"10.0.1.0/23\"",
            "virtualNetwork[0].subnet[0].addressPrefix = \"10.0.1.0/23\": bits are set behind the prefix length; accepted: 10.0.0.0/23",
        ),
        (
            "addressPrefix = \"10.0.1.0/24\"",
            "addressPrefix = \"10.0.1.0/33\"",
            "virtualNetwork[0].subnet[0].addressPrefix = \"10.0.1.0/33\": not a value of this key; accepted: an IPv4 prefix",
        ),
    ]);
    for (to, wanted) in [
        (
            "10.0.1.128/25",
            "overlaps virtualNetwork[0].subnet[0].addressPrefix (10.0.1.0/24); accepted: a prefix outside of it",
        ),
        (
            "10.0.0.0/22",
            "overlaps virtualNetwork[0].subnet[0].addressPrefix (10.0.1.0/24);",
        ),
        (
            "10.1.2.0/24",
            "outside of the address space of VNet1; accepted: a prefix inside 10.0.0.0/16",
        ),
        ("10.0.2.0/30", "too small,"),
    ] {
        let line = &refusals("10.0.2.0/24", to)[0];
        let wanted =
            format!("f.toml: virtualNetwork[0].subnet[1].addressPrefix = \"{to}\": {wanted}");
        assert!(line.starts_with(&wanted), "{line}");
    }
}

#[test]
fn two_networks_may_have_the_same_addresses() {
    let other = "[[virtualNetwork]]\nname = \"VNet2\"\naddressPrefixes = [\"10.0.0.0/16\"]\n\
                 [[virtualNetwork.subnet]]\nname = \"subnet1\"\naddressPrefix = \"10.0.1.0/24\"\n\
                 [[networkInterface]]\nname = \"twin\"\nvirtualNetwork = \"VNet2\"\nsubnet = \"subnet1\"\n\
                 privateIPAddress = \"10.0.1.4\"\nnamespace = \"twin\"\n";
    let model = read(&format!("{GOOD}{other}")).unwrap();
    assert_eq!(model.nics.len(), 3);
}

#[test]
fn private_addresses_are_free_addresses_of_the_subnet() {
    for (address, wanted) in [
        (
            "10.0.1.4",
            "outside of subnet2 (10.0.2.0/24); accepted: 10.0.2.4 to 10.0.2.254",
        ),
        (
            "10.0.2.0",
            "reserved in subnet2 (10.0.2.0/24); accepted: 10.0.2.4 to 10.0.2.254",
        ),
        ("10.0.2.1", "reserved in subnet2"),
        ("10.0.2.3", "reserved in subnet2"),
        ("10.0.2.255", "reserved in subnet2"),
        (
            "10.0.2",
            "not a value of this key; accepted: an IPv4 address of the subnet",
        ),
    ] {
        let lines = refusals(
            "privateIPAddress = \"10.0.2.4\"",
            &format!("privateIPAddress = \"{address}\""),
        );
        let wanted =
            format!("f.toml: networkInterface[1].privateIPAddress = \"{address}\": {wanted}");
        assert!(lines[0].starts_with(&wanted), "{lines:#?}");
    }
    assert_refused(&[(
        "subnet = \"subnet2\"\nprivateIPAddress = \"10.0.2.4\"",
        "subnet = \"subnet1\"\nprivateIPAddress = \"10.0.1.4\"",
        "networkInterface[1].privateIPAddress = \"10.0.1.4\": networkInterface[0].privateIPAddress has the same address; accepted: an address that is used once",
    )]);
}

#[test]
fn public_addresses_are_public_and_used_once() {
    assert_refused_with(&[
        (
            "20.200.0.1",
            "192.168.0.1",
            "defaultOutbound.publicIPAddress = \"192.168.0.1\": not a public address, it lies in 192.168.0.0/16;",
        ),
        (
            "65.52.1.1",
            "100.64.0.1",
            "natGateway[0].publicIPAddresses[0] = \"100.64.0.1\": not a public address, it lies in 100.64.0.0/10;",
        ),
        (
            "20.0.0.9",
            "240.0.0.1",
            "networkInterface[0].publicIPAddress = \"240.0.0.1\": not a public address, it lies in 224.0.0.0/3;",
        ),
        (
            "20.0.0.9",
            "168.63.129.16",
            "networkInterface[0].publicIPAddress = \"168.63.129.16\": not a public address",
        ),
        (
            "20.0.0.9",
            "20.0.0.256",
            "networkInterface[0].publicIPAddress = \"20.0.0.256\": not a value",
        ),
        (
            "20.0.0.9",
            "20.200.0.1",
            "networkInterface[0].publicIPAddress = \"20.200.0.1\": defaultOutbound.publicIPAddress has the same address;",
        ),
        (
            "\"65.52.1.1\"",
            "\"65.52.1.1\", \"65.52.1.1\"",
            "natGateway[0].publicIPAddresses[1] = \"65.52.1.1\": natGateway[0].publicIPAddresses[0] has the same address;",
        ),
        (
            "20.0.0.9",
            "93.184.216.34",
            "networkInterface[0].publicIPAddress = \"93.184.216.34\": internet.addresses[0] has the same address;",
        ),
        (
            "20.0.0.9",
            "20.60.16.5",
            "service[0].address = \"20.60.16.5\": networkInterface[0].publicIPAddress has the same address;",
        ),
        (
            "addressPrefixes = [\"10.0.0.0/16\"]",
            "addressPrefixes = [\"10.0.0.0/16\", \"65.52.0.0/16\"]",
            "natGateway[0].publicIPAddresses[0] = \"65.52.1.1\": lies in the address space of VNet1;",
        ),
    ]);
    let many: Vec<_> = (1..=17).map(|last| format!("\"65.52.1.{last}\"")).collect();
    let lines = refusals("\"65.52.1.1\"", &many.join(","));
    assert!(
        lines[0].ends_with(": 17 are too many; accepted: at most 16"),
        "{lines:#?}"
    );
}

#[test]
fn service_addresses_are_addresses_of_the_service_in_its_region() {
    assert_refused(&[(
        "20.60.16.5",
        "20.60.45.5",
        "service[0].address = \"20.60.45.5\": not an address of Microsoft.Storage in koreacentral; \
             accepted: an address in Storage.KoreaCentral (17 prefixes), such as 20.33.154.0/24, \
             20.33.203.0/24, 20.47.46.0/24",
    )]);
    assert_refused_with(&[
        (
            "service = \"Microsoft.Sql\"",
            "service = \"Sql\"",
            "service[1].service = \"Sql\": invalid service name; accepted: Microsoft.Storage, ",
        ),
        (
            "service = \"Microsoft.Storage\"",
            "service = \"Microsoft.Storage.Global\"",
            "service[0].service = \"Microsoft.Storage.Global\": only an endpoint can have this service; accepted: Microsoft.Storage",
        ),
        (
            "service = \"Microsoft.Storage\"",
            "service = \"Microsoft.Storage\"\nlocation = \"chinaeast\"",
            "service[0].service = \"Microsoft.Storage\": built-in service-tags.json has no prefixes of Microsoft.Storage; accepted: a service-tag file with Storage in chinaeast",
        ),
        (
            "address = \"52.231.17.4\"",
            "location = \"Korea South\"\naddress = \"52.231.17.4\"",
            "service[1].address = \"52.231.17.4\": not an address of Microsoft.Sql in koreasouth; accepted: an address in Sql.KoreaSouth (",
        ),
        (
            "address = \"52.231.17.4\"",
            "address = \"x\"",
            "service[1].address = \"x\": not a value",
        ),
    ]);
}

const CONTOSO: &str = "service = \"Microsoft.Storage\"\naddress = \"20.60.16.5\"\n";
const FABRIKAM: &str = "service = \"Microsoft.Sql\"\naddress = \"52.231.17.4\"\n";

#[test]
fn storage_accounts_may_share_an_address_and_others_may_not() {
    let two = |more: &str| GOOD.replace(FABRIKAM, &format!("{CONTOSO}{more}"));
    let model = read(&two("")).unwrap();
    assert_eq!(model.services[0].address, model.services[1].address);
    let refused = |text: &str| read(text).unwrap_err().to_string();
    let wanted = "f.toml: service[1].address = \"20.60.16.5\": contoso has the same address; accepted: \
                  an address that is used once, or by storage accounts in one namespace";
    assert!(refused(&two("delivery = \"st6\"\n")).starts_with(wanted));
    let apart = two("").replacen("namespace = \"svc\"", "namespace = \"other\"", 1);
    assert!(refused(&apart).starts_with(wanted));
    let wanted = "f.toml: service[1].address = \"52.231.17.4\": service[0].address has the same address; accepted: \
                  an address that is used once";
    assert_eq!(refused(&GOOD.replace(CONTOSO, FABRIKAM)), wanted);
}

#[test]
fn a_service_without_an_address_gets_one_of_its_real_ones() {
    let own = |text: &str, name: &str| {
        let model = read(text).unwrap_or_else(|errors| panic!("{errors}\n{text}"));
        let service = model.service(name).unwrap();
        let prefixes = CATALOG.prefixes_in(service.service, &service.location);
        let holds = |prefix: &&Ipv4Net| prefix.contains(&service.address);
        assert!(prefixes.iter().any(|prefix| holds(&prefix)));
        service.address
    };
    let without = GOOD.replace("address = \"20.60.16.5\"\n", "");
    let address = own(&without, "contoso");
    let other =
        "[[service]]\nname = \"other\"\nservice = \"Microsoft.Storage\"\nnamespace = \"svc\"\n";
    let first = without.replacen("[[service]]", &format!("{other}[[service]]"), 1);
    assert_eq!(own(&first, "contoso"), address, "another one is before it");
    assert_ne!(own(&first, "other"), address);
    let taken = format!("{without}{other}address = \"{address}\"\n");
    assert_eq!(own(&taken, "other"), address, "what is said comes first");
    assert_ne!(own(&taken, "contoso"), address);
    let network = Ipv4Net::new(address, 24).unwrap().trunc();
    let inside = without.replace(
        "addressPrefixes = [\"10.0.0.0/16\"]",
        &format!("addressPrefixes = [\"10.0.0.0/16\", \"{network}\"]"),
    );
    assert_ne!(own(&inside, "contoso"), address, "a network has it");
    let nowhere = without.replace(
        "service = \"Microsoft.Storage\"\n",
        "service = \"Microsoft.Storage\"\nlocation = \"chinaeast\"\n",
    );
    let error = read(&nowhere).unwrap_err().to_string();
    assert!(error.contains("service[0].service") && error.contains("has no prefixes"));
}
