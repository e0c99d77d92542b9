use super::*;
use crate::catalog::Catalog;
use crate::config;
use std::path::Path;
use std::sync::LazyLock;

static CATALOG: LazyLock<Catalog> = LazyLock::new(|| Catalog::bundled().unwrap());

/// A model of networks with their regions and subnets.
fn model(networks: &[(&str, &str, &[&str])]) -> Model {
    let mut text = String::new();
    for (name, location, subnets) in networks {
        text += &format!(
            "[[virtualNetwork]]\nname = \"{name}\"\nlocation = \"{location}\"\n\
             addressPrefixes = [\"10.0.0.0/16\"]\n"
        );
        for (at, subnet) in subnets.iter().enumerate() {
            text += &format!(
                "[[virtualNetwork.subnet]]\nname = \"{subnet}\"\naddressPrefix = \"10.0.{at}.0/24\"\n"
            );
        }
    }
    config::parse(Path::new("test"), &text, &CATALOG).unwrap()
}

fn numbers(keys: &Keys, vnet: &str, subnet: &str) -> Option<(u32, u16)> {
    let (vnet, subnet) = keys.subnet(vnet, subnet)?;
    Some((vnet.get(), subnet.get()))
}

#[test]
fn keys_stay_while_a_subnet_is_there() {
    let mut keys = Keys::default();
    keys.assign(&model(&[("VNet1", "koreacentral", &["a", "b"])]))
        .unwrap();
    assert_eq!(numbers(&keys, "VNet1", "a"), Some((1, 1)));
    assert_eq!(numbers(&keys, "vnet1", "B"), Some((1, 2)));
    let before = keys.clone();
    // Order and case do not count.
    keys.assign(&model(&[("VNET1", "koreacentral", &["B", "a"])]))
        .unwrap();
    assert_eq!(keys, before);
}

#[test]
fn what_comes_back_is_new() {
    let mut keys = Keys::default();
    let both = model(&[("VNet1", "koreacentral", &["a", "b"])]);
    keys.assign(&both).unwrap();
    keys.assign(&model(&[("VNet1", "koreacentral", &["b"])]))
        .unwrap();
    assert_eq!(numbers(&keys, "VNet1", "a"), None);
    keys.assign(&both).unwrap();
    assert_eq!(numbers(&keys, "VNet1", "a"), Some((1, 3)));
    assert_eq!(
        numbers(&keys, "VNet1", "b"),
        Some((1, 2)),
        "and nothing else is"
    );
    keys.assign(&model(&[])).unwrap();
    keys.assign(&both).unwrap();
    assert_eq!(numbers(&keys, "VNet1", "b"), Some((2, 2)));
}

#[test]
fn a_network_of_another_region_is_another_network() {
    let mut keys = Keys::default();
    keys.assign(&model(&[("VNet1", "koreacentral", &["a"])]))
        .unwrap();
    keys.assign(&model(&[("VNet1", "eastus", &["a"])])).unwrap();
    assert_eq!(numbers(&keys, "VNet1", "a"), Some((2, 1)));
}

#[test]
fn running_out_is_an_error_and_no_wrap_around() {
    let networks = model(&[("VNet1", "koreacentral", &["a", "b"])]);
    let mut keys = Keys {
        next: VnetKey::MAX.get() + 1,
        ..Keys::default()
    };
    let error = keys.assign(&networks).unwrap_err();
    assert!(matches!(error, KeyError::VnetsExhausted { .. }), "{error}");
    let mut keys = Keys::default();
    keys.assign(&model(&[("VNet1", "koreacentral", &[])]))
        .unwrap();
    keys.vnets.get_mut("vnet1").unwrap().next = u32::from(SubnetKey::MAX.get());
    let error = keys.assign(&networks).unwrap_err();
    let expected = KeyError::SubnetsExhausted {
        vnet: "VNet1".to_owned(),
        subnet: "b".to_owned(),
    };
    assert_eq!(error, expected, "a took the last one");
}

#[test]
fn tunnel_keys_of_the_platform_are_never_issued() {
    let mut keys = Keys {
        next: 252,
        ..Keys::default()
    };
    let networks = [
        ("a", "koreacentral", &["s"][..]),
        ("b", "koreacentral", &["s"]),
    ];
    keys.assign(&model(&networks)).unwrap();
    let issued = ["a", "b"].map(|vnet| keys.vnet(vnet).map(VnetKey::get));
    assert_eq!(issued, [Some(252), Some(255)]);
}
