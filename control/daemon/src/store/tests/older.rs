//! Stores of earlier versions, which kept secrets.

use super::*;
use crate::store::schema::{CLEAN, HOST, META, TEXT};
use std::fs;

const MARKER: &str = "s3cret-marker-zzz";

/// Makes a store as an earlier version left it.
fn older(scratch: &Scratch) -> (Estate, String) {
    let (store, _) = scratch.open();
    let mut estate = Estate::default();
    put(&mut estate, document("virtualNetworks", "v", json!(1)));
    let change = Commit {
        old: &Estate::default(),
        new: &estate,
        keys: &Keys::default(),
        file: None,
    };
    store.commit(&change).unwrap();
    drop(store);
    let principal = format!("name = \"ci\"\nappId = \"a\"\nsecret = \"{MARKER}\"\n");
    let text = format!("# {MARKER}\n[[servicePrincipal]]\n{principal}");
    let host = json!({
        "servicePrincipal": [{ "name": "ci", "appId": "a", "secret": MARKER }],
    });
    let database = scratch.database();
    let write = database.begin_write().unwrap();
    {
        let mut meta = write.open_table(META).unwrap();
        meta.remove(CLEAN).unwrap();
        meta.insert(TEXT, text.as_bytes()).unwrap();
        meta.insert(HOST, host.to_string().as_bytes()).unwrap();
    }
    write.commit().unwrap();
    (estate, text)
}

/// Returns the files of a directory in which the marker is.
fn found(dir: &Path) -> Vec<PathBuf> {
    let files = fs::read_dir(dir).unwrap().map(|file| file.unwrap().path());
    let has_it = |path: &PathBuf| {
        let bytes = fs::read(path).unwrap();
        let mut windows = bytes.windows(MARKER.len());
        windows.any(|window| window == MARKER.as_bytes())
    };
    files.filter(has_it).collect()
}

#[test]
fn secrets_of_an_earlier_version_are_nowhere_after_the_next_start() {
    let scratch = Scratch::new();
    let (estate, text) = older(&scratch);
    assert_eq!(found(&scratch.0), [scratch.path()]);
    // What was the store is read behind its back.
    let old = fs::File::open(scratch.path()).unwrap();
    let seal = Seal::default();
    let saved = scratch.open().1;
    assert!(found(&scratch.0).is_empty());
    let bytes = std::io::read_to_string(old).unwrap();
    assert!(bytes.bytes().all(|byte| byte == 0), "it was overwritten");
    let documents: Vec<_> = saved.estate.documents().cloned().collect();
    assert_eq!(documents, estate.documents().cloned().collect::<Vec<_>>());
    // The file is known by what it says, so that it does not count as another one.
    assert_eq!(saved.file, Some(mark(&seal, &text.parse().unwrap())));
    let host = saved.estate.host();
    assert!(host["servicePrincipal"][0]["secretDigest"].is_string());
    assert_eq!(scratch.open().1, saved, "and that is done once");
}

#[test]
fn a_replacement_that_was_interrupted_is_finished() {
    let scratch = Scratch::new();
    older(&scratch);
    let left = scratch.0.join("store.redb.old");
    // Before the new one was there: the store itself has two names.
    fs::hard_link(scratch.path(), &left).unwrap();
    let saved = scratch.open().1;
    assert!(!left.exists() && saved.file.is_some());
    // After it.
    fs::write(&left, MARKER).unwrap();
    let old = fs::File::open(&left).unwrap();
    assert_eq!(scratch.open().1, saved);
    assert!(!left.exists());
    let bytes = std::io::read_to_string(old).unwrap();
    assert_eq!(bytes.trim_matches('\0'), "");
}
