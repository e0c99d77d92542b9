//! What is refused, and left as it is.

use super::*;
use crate::store::schema::{META, SCHEMA, Step, number};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use redb::{ReadableDatabase, ReadableTable};
use std::fs;
use std::os::unix::fs::PermissionsExt;

/// Makes a store with some resources in it.
fn filled(scratch: &Scratch) -> Saved {
    let (store, _) = scratch.open();
    let mut estate = Estate::default();
    for at in 0..40 {
        let name = format!("v{at}");
        put(
            &mut estate,
            document("virtualNetworks", &name, json!("x".repeat(at * 20))),
        );
    }
    commit(&store, &Estate::default(), &estate).unwrap();
    drop(store);
    scratch.open().1
}

#[test]
fn the_directory_is_private_and_one_process_has_it() {
    let scratch = Scratch::new();
    let (store, _) = scratch.open();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&scratch.0), 0o700);
    assert_eq!(mode(&scratch.path()), 0o600);
    let error = Store::open(&scratch.0, &Seal::default()).unwrap_err();
    assert!(matches!(error, StoreError::InUse(_)), "{error}");
    drop(store);
    scratch.open();
}

#[test]
fn a_directory_that_others_write_and_a_lock_that_is_a_link_are_refused() {
    let scratch = Scratch::new();
    fs::create_dir(&scratch.0).unwrap();
    let mode = |mode| fs::set_permissions(&scratch.0, fs::Permissions::from_mode(mode)).unwrap();
    for open in [0o777, 0o770, 0o1777] {
        mode(open);
        let error = Store::open(&scratch.0, &Seal::default()).unwrap_err();
        assert!(matches!(error, StoreError::Open(_)), "{open:o}: {error}");
    }
    mode(0o755);
    let victim = scratch.0.join("victim");
    std::os::unix::fs::symlink(&victim, scratch.0.join("lock")).unwrap();
    let error = Store::open(&scratch.0, &Seal::default()).unwrap_err();
    assert!(matches!(error, StoreError::Io { .. }), "{error}");
    assert!(!victim.exists());
    fs::remove_file(scratch.0.join("lock")).unwrap();
    scratch.open();
}

#[test]
fn a_store_that_another_program_has_open_is_left_alone() {
    let scratch = Scratch::new();
    filled(&scratch);
    let other = scratch.database();
    let error = Store::open(&scratch.0, &Seal::default()).unwrap_err();
    assert!(matches!(error, StoreError::InUse(_)), "{error}");
    drop(other);
    scratch.open();
}

#[test]
fn a_file_that_is_no_store_is_refused_and_kept() {
    for bytes in [&b""[..], b"x", &b"hello, this is my diary\n".repeat(4000)] {
        let scratch = Scratch::new();
        fs::create_dir(&scratch.0).unwrap();
        fs::write(scratch.path(), bytes).unwrap();
        let error = scratch.try_open(Schema::CURRENT).unwrap_err();
        let message = postern_network::chain(&error);
        assert!(matches!(error, StoreError::Damaged { .. }), "{message}");
        assert!(
            message.contains(FILE) && message.contains("accepted: "),
            "{message}"
        );
        assert_eq!(fs::read(scratch.path()).unwrap(), bytes);
    }
}

#[test]
fn another_programs_database_is_refused() {
    let scratch = Scratch::new();
    fs::create_dir(&scratch.0).unwrap();
    let other = scratch.database();
    let transaction = other.begin_write().unwrap();
    let table = redb::TableDefinition::<&str, u64>::new("meta");
    transaction
        .open_table(table)
        .unwrap()
        .insert("a", 1)
        .unwrap();
    transaction.commit().unwrap();
    drop(other);
    let error = scratch.try_open(Schema::CURRENT).unwrap_err();
    assert!(matches!(error, StoreError::Damaged { .. }), "{error}");
    let other = scratch.database();
    let table = other.begin_read().unwrap().open_table(table).unwrap();
    assert_eq!(
        table.get("a").unwrap().unwrap().value(),
        1,
        "nothing was lost"
    );
}

#[test]
fn a_store_with_damaged_bytes_is_refused_or_unharmed() {
    let scratch = Scratch::new();
    let whole = filled(&scratch);
    let bytes = fs::read(scratch.path()).unwrap();
    let mut random = StdRng::seed_from_u64(5);
    let mut refused = 0;
    for _ in 0..200 {
        let mut damaged = bytes.clone();
        let at = random.random_range(0..damaged.len());
        match random.random_range(0..3) {
            0 => damaged[at] ^= 1 << random.random_range(0..8),
            1 => damaged[at..].fill(0),
            _ => damaged.truncate(at),
        }
        fs::write(scratch.path(), &damaged).unwrap();
        match scratch.try_open(Schema::CURRENT) {
            // Where nothing is.
            Ok((_, saved)) => assert_eq!(saved, whole),
            Err(error) => {
                assert!(matches!(error, StoreError::Damaged { .. }), "{error}");
                refused += 1;
            }
        }
    }
    assert!(refused > 100, "{refused}");
}

#[test]
fn a_row_that_is_not_ours_is_named() {
    let scratch = Scratch::new();
    filled(&scratch);
    let database = scratch.database();
    let transaction = database.begin_write().unwrap();
    let mut table = transaction.open_table(schema::DOCUMENTS).unwrap();
    table.insert("/some/key", &b"{}"[..]).unwrap();
    drop(table);
    transaction.commit().unwrap();
    drop(database);
    let message = postern_network::chain(&scratch.try_open(Schema::CURRENT).unwrap_err());
    assert!(message.contains("documents \"/some/key\""), "{message}");
}

#[test]
fn a_store_of_a_later_version_is_refused_and_kept() {
    let scratch = Scratch::new();
    let later = Schema(&[|_| Ok(()), |_| Ok(())]);
    drop(scratch.try_open(later).unwrap());
    let error = scratch.try_open(Schema::CURRENT).unwrap_err();
    let expected = matches!(
        error,
        StoreError::Newer {
            found: 3,
            known: 1,
            ..
        }
    );
    assert!(expected, "{error}");
    assert!(error.to_string().contains("accepted: "), "{error}");
    let again = scratch.try_open(later);
    assert!(again.is_ok(), "still of its version");
}

/// The first step of a version that is not there yet: puts a mark on every document.
const MARK: Step = |transaction| {
    let mut table = transaction.open_table(schema::DOCUMENTS)?;
    let rows: Vec<(String, Vec<u8>)> = table
        .iter()?
        .map(|row| row.map(|(key, it)| (key.value().to_owned(), it.value().to_vec())))
        .collect::<Result<_, _>>()?;
    for (key, bytes) in rows {
        let mut document: Document = serde_json::from_slice(&bytes).unwrap();
        document.body.insert("kind".to_owned(), json!("marked"));
        let bytes = serde_json::to_vec(&document).unwrap();
        table.insert(key.as_str(), bytes.as_slice())?;
    }
    Ok(())
};

#[test]
fn an_older_store_goes_through_every_step_that_it_lacks_once() {
    const FAIL: Step = |_| Err(redb::Error::Corrupted("no more".to_owned()));
    let scratch = Scratch::new();
    let whole = filled(&scratch);
    let marked = |saved: &Saved| {
        let documents = saved.estate.documents();
        documents.filter(|it| it.body.contains_key("kind")).count()
    };
    assert_eq!((marked(&whole), whole.estate.documents().count()), (0, 40));
    // A step that fails takes those before it back.
    let error = scratch.try_open(Schema(&[MARK, FAIL])).unwrap_err();
    assert!(matches!(error, StoreError::Damaged { .. }), "{error}");
    assert_eq!(scratch.open().1, whole, "still of its version");
    let (store, saved) = scratch.try_open(Schema(&[MARK])).unwrap();
    assert_eq!(marked(&saved), 40);
    drop(store);
    // Not again: a step that ran is not run.
    let (store, again) = scratch.try_open(Schema(&[FAIL])).unwrap();
    assert_eq!(again, saved);
    drop(store);
    let error = scratch.try_open(Schema::CURRENT).unwrap_err();
    assert!(
        matches!(error, StoreError::Newer { found: 2, .. }),
        "{error}"
    );
}

#[test]
fn a_schema_that_is_no_number_is_refused() {
    let scratch = Scratch::new();
    filled(&scratch);
    for zero in [true, false] {
        let database = scratch.database();
        let transaction = database.begin_write().unwrap();
        if zero {
            number(&transaction, SCHEMA, 0).unwrap();
        } else {
            let mut meta = transaction.open_table(META).unwrap();
            meta.remove(SCHEMA).unwrap();
        }
        transaction.commit().unwrap();
        drop(database);
        let error = scratch.try_open(Schema::CURRENT).unwrap_err();
        assert!(postern_network::chain(&error).contains("schema"), "{error}");
    }
}

#[test]
fn half_of_a_new_store_is_made_anew() {
    let scratch = Scratch::new();
    fs::create_dir(&scratch.0).unwrap();
    // What a crash in the middle of making it leaves.
    fs::write(scratch.path().with_extension("redb.new"), "half").unwrap();
    let (_store, saved) = scratch.open();
    assert_eq!(saved, Saved::default());
    let names = fs::read_dir(&scratch.0).unwrap();
    assert_eq!(names.count(), 2, "the store and the lock");
}
