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
fn a_draft_that_is_not_kept_touches_nothing() {
    let scratch = Scratch::new();
    let bench = scratch.start(&two_subnets());
    let other = two_subnets().replace("\"subnet2\"", "\"subnet3\"") + SECOND_NIC;
    let draft = bench.draft(&other);
    assert!(
        draft.keys().subnet("VNet1", "subnet3").is_some(),
        "it is all there"
    );
    drop(draft);
    assert_eq!(bench.state.steps(), Vec::<String>::new());
    assert_eq!(bench.key("subnet2"), Some(2), "the same subnet as before");
    assert_eq!(bench.key("subnet3"), None);
    assert_eq!(bench.fabric.epoch(), Epoch(1));
}

#[test]
fn what_the_disk_does_not_give_back_comes_into_force_and_the_refused_port_waits() {
    let mut bench = Bench::new(ONE_NIC);
    let refuse = |state: &State, is_refused: bool| {
        let mut refused = state.refuse_attach.borrow_mut();
        match is_refused {
            true => refused.insert("vm1".to_owned()),
            false => refused.remove("vm1"),
        };
    };
    refuse(&bench.state, true);
    let draft = bench.draft(&(two_subnets() + SECOND_NIC));
    bench.fabric.enact(&draft).unwrap_err();
    assert_eq!(bench.fabric.epoch(), Epoch(1), "the policy that was");
    bench.state.refuse_update.set(true);
    bench.fabric.enact_kept(&draft).unwrap();
    assert_eq!(bench.key("subnet2"), Some(2));
    let waiting = bench.fabric.detached();
    let waiting: Vec<&str> = waiting.iter().map(|view| view.port.as_str()).collect();
    assert!(waiting.contains(&"nic/vm1"), "{waiting:?}");
    refuse(&bench.state, false);
    bench.fabric.look(&[]).unwrap();
    let waiting = bench.fabric.detached();
    assert!(waiting.is_empty(), "{waiting:?}");
}
