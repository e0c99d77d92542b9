//! Keys on the disk and the policy in force, kept in step.

use super::*;
use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

const SECOND_SUBNET: &str = r#"
[[virtualNetwork.subnet]]
name = "subnet2"
addressPrefix = "10.0.2.0/24"
[[networkInterface]]
"#;

/// Returns the file with a second subnet.
fn two_subnets() -> String {
    ONE_NIC.replacen("[[networkInterface]]\n", SECOND_SUBNET, 1)
}

/// A state directory of one test, removed with it.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("postern-keeper-{}-{number}", std::process::id());
        Self(std::env::temp_dir().join(name))
    }

    /// Returns a fabric that keeps its keys here, as after a start with `text`.
    fn start(&self, text: &str) -> Bench {
        let mut bench = Bench::bare();
        let (file, keys) = KeyFile::open(&self.0).unwrap();
        bench.fabric.numbers = PortNumbers::with_keys(keys.clone());
        bench.fabric.keeper = Keeper::new(file, keys);
        bench.apply(text).unwrap();
        bench.state.steps();
        bench
    }

    fn file(&self) -> PathBuf {
        self.0.join("keys.json")
    }

    fn text(&self) -> String {
        fs::read_to_string(self.file()).unwrap()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

impl Bench {
    fn key(&self, subnet: &str) -> Option<u16> {
        let keys = self.fabric.numbers.keys().subnet("VNet1", subnet);
        keys.map(|(_, subnet)| subnet.get())
    }
}

#[test]
fn a_refused_apply_consumes_no_key() {
    let scratch = Scratch::new();
    let mut bench = scratch.start(ONE_NIC);
    let before = scratch.text();
    let more = two_subnets() + SECOND_NIC;
    bench
        .state
        .refuse_attach
        .borrow_mut()
        .insert("vm1".to_owned());
    bench.apply(&more).unwrap_err();
    assert_eq!(scratch.text(), before);
    assert_eq!(bench.key("subnet2"), None);
    bench.state.refuse_attach.borrow_mut().clear();
    bench.apply(&more).unwrap();
    assert_eq!(bench.key("subnet2"), Some(2), "no number was lost");
    assert_ne!(scratch.text(), before);
}

#[test]
fn a_restart_keeps_keys_and_remembers_what_was_issued() {
    let scratch = Scratch::new();
    let mut bench = scratch.start(&two_subnets());
    bench.apply(ONE_NIC).unwrap();
    drop(bench);
    let bench = scratch.start(&two_subnets());
    let keys = ["subnet1", "subnet2"].map(|subnet| bench.key(subnet));
    assert_eq!(keys, [Some(1), Some(3)]);
    drop(bench);
    let bench = scratch.start(&two_subnets());
    let keys = ["subnet1", "subnet2"].map(|subnet| bench.key(subnet));
    assert_eq!(keys, [Some(1), Some(3)], "and the same again");
}

#[test]
fn a_policy_whose_keys_cannot_be_kept_does_not_come_into_force() {
    let scratch = Scratch::new();
    let mut bench = scratch.start(ONE_NIC);
    let (before, epoch) = (scratch.text(), bench.fabric.epoch());
    // In the way of the file that is written beside the old one.
    fs::create_dir(scratch.file().with_extension("json.new")).unwrap();
    let error = bench.apply(&two_subnets()).unwrap_err();
    assert!(matches!(error, FabricError::State(_)), "{error}");
    assert_eq!(bench.fabric.epoch(), epoch);
    assert_eq!(scratch.text(), before);
    assert_eq!(
        bench.state.steps(),
        Vec::<String>::new(),
        "nothing was touched"
    );
}
