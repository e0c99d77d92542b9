mod crash;
mod disk;
mod files;
mod keys;
mod older;

pub(crate) use disk::Disk;

use super::*;
use postern_arm::document::{Document, Group, Origin};
use postern_arm::estate::{Estate, Parts};
use postern_arm::id::ResourceId;
use proptest::prelude::*;
use serde_json::{Map, Value, json};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

/// A state directory of one test, removed with it.
#[derive(Debug)]
pub(super) struct Scratch(PathBuf);

impl Scratch {
    pub(super) fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("postern-store-{}-{number}", std::process::id());
        Self(std::env::temp_dir().join(name))
    }

    fn path(&self) -> PathBuf {
        self.0.join(FILE)
    }

    fn open(&self) -> (Store, Saved) {
        self.try_open(Schema::CURRENT).unwrap()
    }

    /// Opens the store. Other tests start processes: until such a one is what it is to be, it holds
    /// our files too, and with them the lock of a store that was closed.
    fn try_open(&self, schema: Schema) -> Result<(Store, Saved), StoreError> {
        loop {
            match Store::open_as(&self.0, &Seal::default(), schema) {
                Err(StoreError::InUse(_)) => std::thread::yield_now(),
                other => return other,
            }
        }
    }

    /// Opens the file as what it is, a database.
    fn database(&self) -> Database {
        loop {
            match Database::create(self.path()) {
                Err(DatabaseError::DatabaseAlreadyOpen) => std::thread::yield_now(),
                other => return other.unwrap(),
            }
        }
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn id(kind: &str, name: &str) -> ResourceId {
    format!("/subscriptions/s/resourceGroups/rg/providers/Microsoft.Network/{kind}/{name}")
        .parse()
        .unwrap()
}

/// A resource whose only property is `value`.
pub(super) fn document(kind: &str, name: &str, value: Value) -> Document {
    let body = json!({ "location": "eastus", "properties": { "value": value } });
    Document {
        sealed: Default::default(),
        id: id(kind, name),
        alias: name.to_owned(),
        origin: Origin::Api,
        created: 1,
        created_at: 0,
        version: 1,
        body: body.as_object().unwrap().clone(),
    }
}

pub(super) fn put(estate: &mut Estate, document: Document) {
    estate.keep(Document {
        version: estate.version() + 1,
        ..document
    });
}

fn object(value: Value) -> Map<String, Value> {
    value.as_object().unwrap().clone()
}

pub(super) fn commit(store: &Store, old: &Estate, new: &Estate) -> Result<(), StoreError> {
    store.commit(&Commit {
        old,
        new,
        keys: &Keys::default(),
        file: None,
    })
}

#[test]
fn all_of_an_estate_comes_back() {
    let scratch = Scratch::new();
    let (store, saved) = scratch.open();
    assert_eq!(saved, Saved::default());
    let mut estate = Estate::default();
    put(
        &mut estate,
        document("virtualNetworks", "V", json!([1, -2, 0.1, 1e300, u64::MAX])),
    );
    let mut parts = estate.to_parts();
    parts.groups.push(Group {
        scope: "/subscriptions/s/resourceGroups/RG".parse().unwrap(),
        version: 1,
        body: object(json!({ "location": "eastus" })),
    });
    let nic = id("networkInterfaces", "Nic").key();
    parts
        .bindings
        .push((nic, object(json!({ "namespace": "vm0" }))));
    parts.host = object(json!({ "settings": { "closeMode": "rst" }, "a": null }));
    let estate = Estate::from_parts(parts);
    let mark = "what a file says";
    let change = Commit {
        old: &Estate::default(),
        new: &estate,
        keys: &Keys::default(),
        file: Some(mark),
    };
    store.commit(&change).unwrap();
    drop(store);
    let (store, saved) = scratch.open();
    let expected = Saved {
        estate: estate.clone(),
        keys: Keys::default(),
        file: Some(mark.to_owned()),
    };
    assert_eq!(saved, expected);
    // All of it goes again, but for the file that was applied.
    let none = Estate::from_parts(Parts {
        version: 9,
        ..Parts::default()
    });
    commit(&store, &estate, &none).unwrap();
    drop(store);
    let saved = scratch.open().1;
    assert_eq!((saved.estate, saved.file.as_deref()), (none, Some(mark)));
}

#[test]
fn what_does_not_differ_is_not_written() {
    let scratch = Scratch::new();
    let (store, _) = scratch.open();
    let mut estate = Estate::default();
    for name in ["a", "b"] {
        put(&mut estate, document("virtualNetworks", name, json!(1)));
    }
    commit(&store, &Estate::default(), &estate).unwrap();
    let sequence = store.inner().sequence;
    // The same by value, but not shared.
    let copy = Estate::from_parts(estate.to_parts());
    commit(&store, &estate, &copy).unwrap();
    assert_eq!(store.inner().sequence, sequence);
    let mut next = estate.clone();
    put(&mut next, document("virtualNetworks", "b", json!(2)));
    let change = Commit {
        old: &estate,
        new: &next,
        keys: &Keys::default(),
        file: None,
    };
    let rows = Rows::of(&change, &Keys::default(), &BTreeMap::new()).unwrap();
    let text = format!("{rows:?}");
    assert!(
        text.contains("virtualnetworks/b") && !text.contains("virtualnetworks/a"),
        "{text}"
    );
}

#[test]
fn what_could_not_be_read_back_is_not_written() {
    let scratch = Scratch::new();
    let (store, _) = scratch.open();
    let mut deep = json!(1);
    for _ in 0..126 {
        deep = json!([deep]);
    }
    let mut estate = Estate::default();
    put(
        &mut estate,
        document("virtualNetworks", "shallow", json!(1)),
    );
    put(&mut estate, document("virtualNetworks", "deep", deep));
    let error = commit(&store, &Estate::default(), &estate).unwrap_err();
    assert!(
        matches!(&error, StoreError::Unfit { what, .. } if what.contains("deep")),
        "{error}"
    );
    drop(store);
    assert_eq!(scratch.open().1, Saved::default());
}

/// One of few keys and few values, so that changes meet.
fn estates() -> impl Strategy<Value = Estate> {
    let documents = proptest::collection::btree_map("[a-d]", 0..3, 0..4);
    let maps = proptest::collection::btree_map("[a-d]", 0..3, 0..4);
    (documents, maps.clone(), maps, 0..3).prop_map(|(documents, groups, bindings, host)| {
        let mut estate = Estate::default();
        for (name, value) in documents {
            put(
                &mut estate,
                document("virtualNetworks", &name, json!(value)),
            );
        }
        let groups = groups.into_iter().map(|(name, value)| Group {
            scope: format!("/subscriptions/s/resourceGroups/{name}")
                .parse()
                .unwrap(),
            version: 1,
            body: object(json!({ "value": value })),
        });
        let bindings = bindings.into_iter();
        let mut parts = estate.to_parts();
        parts.groups = groups.collect();
        parts.bindings = bindings
            .map(|(key, value)| (key, object(json!({ "value": value }))))
            .collect();
        parts.host = object(json!({ "value": host }));
        Estate::from_parts(parts)
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn every_sequence_of_changes_comes_back_as_its_last(
        sequence in proptest::collection::vec((estates(), any::<bool>()), 1..6)
    ) {
        let scratch = Scratch::new();
        let (mut store, mut last) = (scratch.open().0, Estate::default());
        for (estate, is_reopened) in sequence {
            commit(&store, &last, &estate).unwrap();
            last = estate;
            if is_reopened {
                drop(store);
                let (again, saved) = scratch.open();
                prop_assert_eq!(&saved.estate, &last);
                store = again;
            }
        }
        drop(store);
        prop_assert_eq!(scratch.open().1.estate, last);
    }
}
