//! Keys on the disk and the policy in force, kept in step.

use super::*;
use crate::store::Commit;
use postern_arm::estate::Estate;
use postern_arm::seal::Seal;
use std::fs;
use std::ops::{Deref, DerefMut};
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
    fn start(&self, text: &str) -> Kept {
        let mut bench = Bench::bare();
        let (store, saved) = Store::open(&self.0, &Seal::default()).unwrap();
        let store = Arc::new(store);
        bench.fabric.numbers = PortNumbers::with_keys(saved.keys);
        bench.fabric.keeper = Keeper::new(Arc::clone(&store));
        let mut kept = Kept { bench, store };
        kept.apply(text).unwrap();
        kept.state.steps();
        kept
    }
}

/// A fabric and the store that the daemon writes a change to once it is in force.
struct Kept {
    bench: Bench,
    store: Arc<Store>,
}

impl Kept {
    fn apply(&mut self, text: &str) -> Result<(), FabricError> {
        self.bench.apply(text)?;
        let nothing = Estate::default();
        let commit = Commit {
            old: &nothing,
            new: &nothing,
            keys: self.bench.fabric.keys(),
            file: None,
        };
        self.store.commit(&commit).unwrap();
        Ok(())
    }
}

impl Deref for Kept {
    type Target = Bench;

    fn deref(&self) -> &Bench {
        &self.bench
    }
}

impl DerefMut for Kept {
    fn deref_mut(&mut self) -> &mut Bench {
        &mut self.bench
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
fn a_refused_apply_consumes_no_key_until_the_end() {
    let scratch = Scratch::new();
    let mut bench = scratch.start(ONE_NIC);
    let more = two_subnets() + SECOND_NIC;
    let refuse = |bench: &Bench| {
        let mut refused = bench.state.refuse_attach.borrow_mut();
        refused.insert("vm1".to_owned());
    };
    refuse(&bench);
    bench.apply(&more).unwrap_err();
    assert_eq!(bench.key("subnet2"), None);
    bench.state.refuse_attach.borrow_mut().clear();
    bench.apply(&more).unwrap();
    assert_eq!(bench.key("subnet2"), Some(2), "no number was lost");
    drop(bench);
    let mut bench = scratch.start(ONE_NIC);
    refuse(&bench);
    bench.apply(&more).unwrap_err();
    drop(bench);
    let mut bench = scratch.start(ONE_NIC);
    bench.apply(&more).unwrap();
    assert_eq!(
        bench.key("subnet2"),
        Some(4),
        "what a process that ended may have issued is not issued again"
    );
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
fn what_could_not_be_kept_is_undone_with_the_old_keys_and_no_number_comes_again() {
    let scratch = Scratch::new();
    let mut bench = scratch.start(&two_subnets());
    let (model, keys) = (bench.fabric.model().clone(), bench.fabric.keys().clone());
    let other = two_subnets().replace("\"subnet2\"", "\"subnet3\"");
    bench.apply(&other).unwrap();
    assert_eq!(bench.key("subnet3"), Some(3));
    bench.fabric.go_back(model, keys).unwrap();
    assert_eq!(bench.key("subnet2"), Some(2), "the same subnet as before");
    assert_eq!(bench.key("subnet3"), None);
    bench.apply(&other).unwrap();
    assert_eq!(bench.key("subnet3"), Some(4), "3 was in force for a moment");
}
