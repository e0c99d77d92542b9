use super::*;
use postern_network::catalog::Catalog;
use postern_network::config;
use std::path::Path;

const VM0: Ipv4Addr = Ipv4Addr::new(10, 0, 1, 4);
const STORAGE: Ipv4Addr = Ipv4Addr::new(20, 60, 16, 5);
const STRANGER: Ipv4Addr = Ipv4Addr::new(10, 9, 9, 9);

/// Two networks with the same addresses: `vm0` of the first and `twin` of the second share one,
/// `vm1` and `other` have theirs alone.
pub(in crate::dns) const NETWORKS: &str = r#"
location = "koreacentral"
[[virtualNetwork]]
name = "VNet1"
addressPrefixes = ["10.0.0.0/16"]
[[virtualNetwork.subnet]]
name = "subnet1"
addressPrefix = "10.0.1.0/24"
[[virtualNetwork]]
name = "VNet2"
addressPrefixes = ["10.0.0.0/16"]
[[virtualNetwork.subnet]]
name = "subnet1"
addressPrefix = "10.0.1.0/24"
[[networkInterface]]
name = "VM0"
virtualNetwork = "VNet1"
subnet = "subnet1"
privateIPAddress = "10.0.1.4"
namespace = "vm0"
[[networkInterface]]
name = "vm1"
virtualNetwork = "vnet1"
subnet = "subnet1"
privateIPAddress = "10.0.1.5"
namespace = "vm1"
[[networkInterface]]
name = "twin"
virtualNetwork = "VNet2"
subnet = "subnet1"
privateIPAddress = "10.0.1.4"
namespace = "twin"
[[networkInterface]]
name = "other"
virtualNetwork = "VNet2"
subnet = "subnet1"
privateIPAddress = "10.0.1.6"
namespace = "other"
[[service]]
name = "Contoso"
service = "Microsoft.Storage"
address = "20.60.16.5"
namespace = "svc"
[[service]]
name = "bus"
service = "Microsoft.EventHub"
address = "20.44.26.65"
namespace = "svc"
"#;

pub(in crate::dns) fn zone(more: &str) -> Zone {
    let catalog = Catalog::bundled().unwrap();
    let text = format!("{NETWORKS}{more}");
    Zone::new(&config::parse(Path::new("f.toml"), &text, &catalog).unwrap())
}

fn name(text: &str) -> Name {
    Name::from_ascii(text).unwrap()
}

fn ask(zone: &Zone, text: &str, kind: RecordType, asker: [u8; 4]) -> Found {
    zone.lookup(&name(text), kind, Ipv4Addr::from(asker))
}

#[test]
fn a_storage_account_has_a_name_in_each_of_its_domains_whoever_asks() {
    let zone = zone("");
    for domain in ["blob", "file", "queue", "table", "dfs"] {
        let host = format!("cOnToSo.{domain}.Core.Windows.Net.");
        for asker in [VM0, STRANGER] {
            assert_eq!(
                zone.lookup(&name(&host), RecordType::A, asker),
                Found::Address(STORAGE, 60),
                "{host}"
            );
        }
    }
    let found = ask(
        &zone,
        "bus.servicebus.windows.net.",
        RecordType::ANY,
        [1; 4],
    );
    assert!(matches!(found, Found::Address(..)), "{found:?}");
}

#[test]
fn a_service_has_the_name_that_it_declares_or_that_its_type_gives_it() {
    let zone = zone(
        r#"
[[service]]
name = "db"
service = "Microsoft.Sql"
type = "Microsoft.DBforPostgreSQL/servers"
address = "20.44.24.5"
namespace = "svc"
[[service]]
name = "second"
service = "Microsoft.Storage"
host = "contoso.dfs.core.windows.net"
address = "20.60.16.6"
namespace = "svc"
[[service]]
name = "third"
service = "Microsoft.Web"
host = "www.Example.com"
address = "20.41.66.225"
namespace = "svc"
"#,
    );
    let ask = |text: &str| zone.lookup(&name(text), RecordType::A, VM0);
    let has = |text: &str, address: [u8; 4]| {
        assert_eq!(ask(text), Found::Address(address.into(), 60), "{text}");
    };
    has("db.postgres.database.azure.com.", [20, 44, 24, 5]);
    assert!(matches!(ask("db.database.windows.net."), Found::NoName(_)));
    has("www.example.com.", [20, 41, 66, 225]);
    // What is declared comes before what follows from being an account of storage.
    has("contoso.dfs.core.windows.net.", [20, 60, 16, 6]);
    has("contoso.blob.core.windows.net.", [20, 60, 16, 5]);
}

#[test]
fn no_data_and_no_name_are_told_apart() {
    let zone = zone("");
    let blob = name("blob.core.windows.net.");
    let ask = |text: &str, kind| zone.lookup(&name(text), kind, VM0);
    for kind in [RecordType::AAAA, RecordType::TXT, RecordType::HTTPS] {
        assert_eq!(
            ask("contoso.blob.core.windows.net.", kind),
            Found::NoData(blob.clone())
        );
    }
    for absent in ["fabrikam", "www.contoso"] {
        let host = format!("{absent}.blob.core.windows.net.");
        assert_eq!(ask(&host, RecordType::A), Found::NoName(blob.clone()));
    }
    assert_eq!(
        ask("blob.core.windows.net.", RecordType::A),
        Found::NoData(blob)
    );
    for elsewhere in ["example.com.", "xblob.core.windows.net.", "."] {
        assert_eq!(ask(elsewhere, RecordType::A), Found::Unknown, "{elsewhere}");
    }
}

#[test]
fn with_forwarders_only_what_the_model_has_is_told() {
    let zone = zone("[dns]\nforwarders = [\"192.0.2.53\"]\n");
    let ask = |text: &str, kind| zone.lookup(&name(text), kind, Ipv4Addr::new(10, 0, 1, 5));
    assert_eq!(
        ask("contoso.blob.core.windows.net.", RecordType::A),
        Found::Address(STORAGE, 60)
    );
    for elsewhere in [
        "fabrikam.blob.core.windows.net.",
        "blob.core.windows.net.",
        "example.com.",
        "1.2.0.192.in-addr.arpa.",
    ] {
        assert_eq!(ask(elsewhere, RecordType::A), Found::Unknown, "{elsewhere}");
    }
    let internal = name("internal.cloudapp.net.");
    assert_eq!(
        ask("absent.internal.cloudapp.net.", RecordType::A),
        Found::NoName(internal)
    );
}

#[test]
fn names_inside_are_told_to_their_own_network_alone() {
    let zone = zone("");
    let internal = name("internal.cloudapp.net.");
    let (in_first, in_second) = ([10, 0, 1, 5], [10, 0, 1, 6]);
    let vm0 = "vm0.INTERNAL.cloudapp.net.";
    assert_eq!(
        ask(&zone, vm0, RecordType::A, in_first),
        Found::Address(VM0, 10)
    );
    assert_eq!(
        ask(&zone, vm0, RecordType::AAAA, in_first),
        Found::NoData(internal.clone())
    );
    assert_eq!(
        ask(&zone, vm0, RecordType::A, in_second),
        Found::NoName(internal.clone())
    );
    assert_eq!(
        ask(&zone, "internal.cloudapp.net.", RecordType::A, in_second),
        Found::NoData(internal)
    );
}

#[test]
fn an_address_that_two_networks_use_is_told_nothing_of_either() {
    let zone = zone("");
    for asker in [VM0, STRANGER] {
        for (text, kind) in [
            ("vm1.internal.cloudapp.net.", RecordType::A),
            ("absent.internal.cloudapp.net.", RecordType::A),
            ("5.1.0.10.in-addr.arpa.", RecordType::PTR),
        ] {
            assert_eq!(zone.lookup(&name(text), kind, asker), Found::Unplaced);
        }
    }
}

#[test]
fn addresses_inside_have_names() {
    let zone = zone("");
    let ask = |text: &str, kind| zone.lookup(&name(text), kind, Ipv4Addr::new(10, 0, 1, 5));
    let block = name("1.0.10.in-addr.arpa.");
    assert_eq!(
        ask("4.1.0.10.IN-ADDR.arpa.", RecordType::PTR),
        Found::Pointer(name("vm0.internal.cloudapp.net."), 10)
    );
    assert_eq!(
        ask("4.1.0.10.in-addr.arpa.", RecordType::A),
        Found::NoData(block.clone())
    );
    assert_eq!(
        ask("9.1.0.10.in-addr.arpa.", RecordType::PTR),
        Found::NoName(block)
    );
    // Of no network, not whole, or not as an address is spelled.
    for text in [
        "5.1.2.192.in-addr.arpa.",
        "1.0.10.in-addr.arpa.",
        "04.1.0.10.in-addr.arpa.",
        "x.1.0.10.in-addr.arpa.",
    ] {
        assert_eq!(ask(text, RecordType::PTR), Found::Unknown, "{text}");
    }
}
