//! Keys over restarts.

use super::*;
use postern_network::catalog::Catalog;
use postern_network::config;
use std::sync::LazyLock;

static CATALOG: LazyLock<Catalog> = LazyLock::new(|| Catalog::bundled().unwrap());

/// Gives `keys` to these networks of one region and their subnets, and to no others.
pub(super) fn assign(keys: &mut Keys, networks: &[(&str, &[&str])]) {
    let mut text = String::new();
    for (name, subnets) in networks {
        text += &format!(
            "[[virtualNetwork]]\nname = \"{name}\"\nlocation = \"eastus\"\n\
             addressPrefixes = [\"10.0.0.0/16\"]\n"
        );
        for (at, subnet) in subnets.iter().enumerate() {
            text += &format!(
                "[[virtualNetwork.subnet]]\nname = \"{subnet}\"\naddressPrefix = \"10.0.{at}.0/24\"\n"
            );
        }
    }
    let model = config::parse(Path::new("test"), &text, &CATALOG).unwrap();
    keys.assign(&model).unwrap();
}

pub(super) fn numbers(keys: &Keys, vnet: &str, subnet: &str) -> Option<(u32, u16)> {
    let (vnet, subnet) = keys.subnet(vnet, subnet)?;
    Some((vnet.get(), subnet.get()))
}

fn keep(store: &Store, keys: &Keys) {
    let estate = Estate::default();
    let commit = Commit {
        old: &estate,
        new: &estate,
        keys,
        file: None,
    };
    store.commit(&commit).unwrap();
}

#[test]
fn a_restart_keeps_the_keys() {
    let scratch = Scratch::new();
    let (store, saved) = scratch.open();
    let mut keys = saved.keys;
    assign(&mut keys, &[("VNet1", &["a", "b"]), ("VNet2", &["a"])]);
    keep(&store, &keys);
    assign(&mut keys, &[("VNet1", &["b"])]);
    keep(&store, &keys);
    drop(store);
    let mut read = scratch.open().1.keys;
    assert_eq!(read, keys);
    assign(&mut read, &[("VNet1", &["a", "b"]), ("VNet2", &["a"])]);
    assert_eq!(numbers(&read, "VNet1", "b"), Some((1, 2)));
    assert_eq!(numbers(&read, "VNet1", "a"), Some((1, 3)), "as another one");
    assert_eq!(numbers(&read, "VNet2", "a"), Some((3, 1)), "as another one");
}

#[test]
fn numbers_that_were_reserved_are_not_issued_after_a_crash() {
    let scratch = Scratch::new();
    let (store, saved) = scratch.open();
    let mut keys = saved.keys;
    assign(&mut keys, &[("VNet1", &["a"])]);
    keep(&store, &keys);
    let mut more = keys.clone();
    assign(&mut more, &[("VNet1", &["a", "b"]), ("VNet2", &["a"])]);
    store.reserve(&more).unwrap();
    // Killed here: the policy may have been in force, and nobody was told.
    drop(store);
    let (store, saved) = scratch.open();
    let mut read = saved.keys;
    assert_eq!(
        numbers(&read, "VNet1", "a"),
        Some((1, 1)),
        "what was there stays"
    );
    assert_eq!(read.vnet("VNet2"), None);
    assign(&mut read, &[("VNet1", &["a", "b"]), ("VNet2", &["a"])]);
    assert_eq!(numbers(&read, "VNet1", "b"), Some((1, 3)));
    assert_eq!(numbers(&read, "VNet2", "a"), Some((3, 1)));
    // A change that the older counters know nothing of does not take them back.
    keep(&store, &keys);
    drop(store);
    let mut read = scratch.open().1.keys;
    assign(&mut read, &[("VNet1", &["a", "b"]), ("VNet2", &["a"])]);
    assert_eq!(numbers(&read, "VNet1", "b"), Some((1, 3)));
    assert_eq!(numbers(&read, "VNet2", "a"), Some((3, 1)));
}

#[test]
fn the_keys_of_an_earlier_version_are_taken_over_once() {
    let scratch = Scratch::new();
    std::fs::create_dir(&scratch.0).unwrap();
    let old = scratch.0.join("keys.json");
    let text = r#"{"schema":1,"nextVnetKey":5,"virtualNetworks":[{"name":"vnet1","location":"eastus",
        "key":3,"nextSubnetKey":8,"subnets":[{"name":"a","key":6}]}],"networkRules":[]}"#;
    std::fs::write(&old, text).unwrap();
    let (store, saved) = scratch.open();
    assert!(!old.exists());
    drop(store);
    let mut keys = scratch.open().1.keys;
    assert_eq!(keys, saved.keys);
    assign(&mut keys, &[("VNet1", &["a", "b"]), ("VNet2", &["a"])]);
    assert_eq!(numbers(&keys, "VNet1", "a"), Some((3, 6)));
    assert_eq!(numbers(&keys, "VNet1", "b"), Some((3, 8)));
    assert_eq!(numbers(&keys, "VNet2", "a"), Some((5, 1)));
}

#[test]
fn damaged_keys_of_an_earlier_version_are_refused() {
    let network = |key: u32, next: u32, subnets: &str| {
        format!(
            r#"{{"name":"v{key}","location":"eastus","key":{key},"nextSubnetKey":{next},"subnets":[{subnets}]}}"#
        )
    };
    let file = |networks: &[String]| {
        let networks = networks.join(",");
        format!(
            r#"{{"schema":1,"nextVnetKey":5,"virtualNetworks":[{networks}],"networkRules":[]}}"#
        )
    };
    let subnets = |pairs: &[(&str, u32)]| {
        let one = |(name, key): &(&str, u32)| format!(r#"{{"name":"{name}","key":{key}}}"#);
        pairs.iter().map(one).collect::<Vec<_>>().join(",")
    };
    let cases = [
        (String::new(), "EOF"),
        ("[]".to_owned(), "invalid"),
        (r#"{"schema":1,"more":2}"#.to_owned(), "more"),
        (r#"{"schema":2,"other":true}"#.to_owned(), "schema 2"),
        (file(&[network(0, 1, "")]), "which is none"),
        (
            file(&[network(4, 3, &subnets(&[("a", 0)]))]),
            "which is none",
        ),
        (
            file(&[network(4, 70_000, &subnets(&[("a", 65_536)]))]),
            "which is none",
        ),
        (file(&[network(5, 1, "")]), "not issued yet"),
        (
            file(&[network(4, 3, &subnets(&[("a", 3)]))]),
            "not issued yet",
        ),
        (
            file(&[network(4, 3, &subnets(&[("a", 1), ("b", 1)]))]),
            "twice",
        ),
        (
            file(&[network(4, 3, &subnets(&[("a", 1), ("a", 2)]))]),
            "twice",
        ),
        (file(&[network(4, 3, ""), network(4, 3, "")]), "twice"),
    ];
    for (text, expected) in cases {
        let scratch = Scratch::new();
        std::fs::create_dir(&scratch.0).unwrap();
        let old = scratch.0.join("keys.json");
        std::fs::write(&old, &text).unwrap();
        let error = scratch.try_open(Schema::CURRENT).unwrap_err();
        let message = postern_network::chain(&error);
        assert!(
            message.contains("keys.json") && message.contains("accepted: "),
            "{message}"
        );
        assert!(message.contains(expected), "{message}");
        assert_eq!(
            std::fs::read_to_string(&old).unwrap(),
            text,
            "left as it was"
        );
        assert!(!scratch.path().exists(), "and no store beside it");
    }
}
