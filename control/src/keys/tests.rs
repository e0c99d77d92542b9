use super::file::{Damage, KeyFile, StateError};
use super::*;
use crate::catalog::Catalog;
use crate::config;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU32, Ordering};

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

/// A directory of one test, removed with it.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("postern-keys-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::create_dir(&path).unwrap();
        Self(path)
    }

    fn state(&self) -> PathBuf {
        self.0.join("made").join("state")
    }

    fn file(&self) -> PathBuf {
        self.state().join("keys.json")
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
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

#[test]
fn a_restart_keeps_the_keys() {
    let scratch = Scratch::new();
    let (file, mut keys) = KeyFile::open(&scratch.state()).unwrap();
    assert_eq!(keys, Keys::default());
    keys.assign(&model(&[("VNet1", "koreacentral", &["a", "b"])]))
        .unwrap();
    keys.assign(&model(&[("VNet1", "koreacentral", &["b"])]))
        .unwrap();
    file.write(&keys).unwrap();
    drop(file);
    let (_file, mut read) = KeyFile::open(&scratch.state()).unwrap();
    assert_eq!(read, keys);
    read.assign(&model(&[("VNet1", "koreacentral", &["a", "b"])]))
        .unwrap();
    assert_eq!(
        numbers(&read, "VNet1", "a"),
        Some((1, 3)),
        "also after a restart"
    );
}

#[test]
fn the_directory_is_private_and_one_process_has_it() {
    let scratch = Scratch::new();
    let (file, keys) = KeyFile::open(&scratch.state()).unwrap();
    file.write(&keys).unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&scratch.state()), 0o700);
    assert_eq!(mode(&scratch.file()), 0o600);
    let error = KeyFile::open(&scratch.state()).unwrap_err();
    assert!(matches!(error, StateError::InUse(_)), "{error}");
    drop(file);
    KeyFile::open(&scratch.state()).unwrap();
}

#[test]
fn a_write_that_is_cut_short_leaves_the_old_keys() {
    let scratch = Scratch::new();
    let (file, mut keys) = KeyFile::open(&scratch.state()).unwrap();
    keys.assign(&model(&[("VNet1", "koreacentral", &["a"])]))
        .unwrap();
    file.write(&keys).unwrap();
    drop(file);
    // What a crash in the middle of a write leaves.
    fs::write(
        scratch.file().with_extension("json.new"),
        "{\"schema\": 1, \"next",
    )
    .unwrap();
    let (file, read) = KeyFile::open(&scratch.state()).unwrap();
    assert_eq!(read, keys);
    // And a write that cannot be finished.
    fs::remove_file(scratch.file().with_extension("json.new")).unwrap();
    fs::create_dir(scratch.file().with_extension("json.new")).unwrap();
    let mut more = keys.clone();
    more.assign(&model(&[("VNet1", "koreacentral", &["a", "b"])]))
        .unwrap();
    let error = file.write(&more).unwrap_err();
    assert!(matches!(error, StateError::Io { .. }), "{error}");
    drop(file);
    assert_eq!(KeyFile::open(&scratch.state()).unwrap().1, keys);
}

#[test]
fn damaged_files_are_refused() {
    let scratch = Scratch::new();
    fs::create_dir_all(scratch.state()).unwrap();
    let network = |key: u32, next: u32, subnets: &str| {
        format!(
            r#"{{"name":"v{key}","location":"eastus","key":{key},"nextSubnetKey":{next},"subnets":[{subnets}]}}"#
        )
    };
    let file = |networks: &str| {
        format!(
            r#"{{"schema":1,"nextVnetKey":5,"virtualNetworks":[{networks}],"networkRules":[]}}"#
        )
    };
    let subnet = |name: &str, key: u32| format!(r#"{{"name":"{name}","key":{key}}}"#);
    let refused = |text: &str| {
        fs::write(scratch.file(), text).unwrap();
        let error = KeyFile::open(&scratch.state()).unwrap_err();
        assert!(error.to_string().contains("keys.json"), "{error}");
        assert!(error.to_string().contains("accepted: "), "{error}");
        assert_eq!(
            fs::read_to_string(scratch.file()).unwrap(),
            text,
            "and left as it was"
        );
        match error {
            StateError::Damaged { problem, .. } => problem,
            other => panic!("{text}: {other}"),
        }
    };
    fs::write(scratch.file(), file(&network(4, 3, &subnet("a", 2)))).unwrap();
    KeyFile::open(&scratch.state()).unwrap();
    for text in ["", "{", "[]", r#"{"schema":1}"#, r#"{"schema":1,"more":2}"#] {
        assert!(matches!(refused(text), Damage::Syntax(_)), "{text}");
    }
    for networks in [
        network(0, 1, ""),
        network(4, 3, &subnet("a", 0)),
        network(4, 70_000, &subnet("a", 65_536)),
    ] {
        let problem = refused(&file(&networks));
        assert!(
            matches!(problem, Damage::NotAKey { .. }),
            "{networks}: {problem}"
        );
    }
    for networks in [network(5, 1, ""), network(4, 3, &subnet("a", 3))] {
        let problem = refused(&file(&networks));
        assert!(
            matches!(problem, Damage::NotIssued { .. }),
            "{networks}: {problem}"
        );
    }
    let twice = [
        network(4, 3, &[subnet("a", 1), subnet("b", 1)].join(",")),
        network(4, 3, &[subnet("a", 1), subnet("a", 2)].join(",")),
        [network(4, 3, ""), network(4, 3, "")].join(","),
    ];
    for networks in twice {
        let problem = refused(&file(&networks));
        assert!(
            matches!(problem, Damage::Twice { .. }),
            "{networks}: {problem}"
        );
    }
}

#[test]
fn a_file_of_a_later_version_is_refused() {
    let scratch = Scratch::new();
    fs::create_dir_all(scratch.state()).unwrap();
    fs::write(scratch.file(), r#"{"schema":2,"somethingElse":true}"#).unwrap();
    let error = KeyFile::open(&scratch.state()).unwrap_err();
    assert!(
        matches!(error, StateError::Schema { found: 2, .. }),
        "{error}"
    );
}

#[test]
fn what_is_written_during_a_change_serves_both_ends_of_it() {
    let (old, new) = (
        model(&[
            ("VNet1", "koreacentral", &["a"]),
            ("VNet2", "eastus", &["x"]),
        ]),
        model(&[("VNet1", "koreacentral", &["b"])]),
    );
    let mut before = Keys::default();
    before.assign(&old).unwrap();
    let mut after = before.clone();
    after.assign(&new).unwrap();
    let both = after.with_older(&before);
    let mut back = both.clone();
    back.assign(&old).unwrap();
    for (vnet, subnet) in [("VNet1", "a"), ("VNet2", "x")] {
        assert_eq!(back.subnet(vnet, subnet), before.subnet(vnet, subnet));
    }
    let mut forth = both;
    forth.assign(&new).unwrap();
    assert_eq!(forth, after);
}
