//! Two weeks of Microsoft's file: exactly what came and went, held against a plain reading of both.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "test code"
)]

use postern_network::catalog::{Catalog, ServiceChange};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/data")
        .join(name)
}

fn changes(old: &[u8], new: &[u8]) -> Vec<ServiceChange> {
    let catalog = |bytes| Catalog::from_bytes("tags.json", bytes).unwrap();
    catalog(old).service_changes(&catalog(new))
}

/// IPv4 prefixes that came and went, by tag, read without the catalogue.
type Plain = BTreeMap<String, [BTreeSet<String>; 2]>;

fn plain(old: &[u8], new: &[u8]) -> Plain {
    let tags = |bytes: &[u8]| -> BTreeMap<String, BTreeSet<String>> {
        let root: Value = serde_json::from_slice(bytes).unwrap();
        let values = root["values"].as_array().unwrap().iter();
        values
            .map(|tag| {
                let prefixes = tag["properties"]["addressPrefixes"].as_array().unwrap();
                let texts = prefixes.iter().map(|prefix| prefix.as_str().unwrap());
                let name = tag["name"].as_str().unwrap().to_owned();
                let ipv4 = texts.filter(|text| !text.contains(':')).map(str::to_owned);
                (name, ipv4.collect())
            })
            .collect()
    };
    let (old, new) = (tags(old), tags(new));
    let none = BTreeSet::new();
    let names: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    names
        .into_iter()
        .map(|name| {
            let (old, new) = (
                old.get(name).unwrap_or(&none),
                new.get(name).unwrap_or(&none),
            );
            let less = |one: &BTreeSet<String>, other| -> BTreeSet<String> {
                one.difference(other).cloned().collect()
            };
            (name.clone(), [less(new, old), less(old, new)])
        })
        .filter(|(_, [added, removed])| !added.is_empty() || !removed.is_empty())
        .collect()
}

/// What the catalogue reports, in the same shape.
fn reported(changes: &[ServiceChange]) -> Plain {
    let texts = |prefixes: &[ipnet::Ipv4Net]| prefixes.iter().map(ToString::to_string).collect();
    changes
        .iter()
        .flat_map(|change| &change.tags)
        .map(|tag| (tag.name.clone(), [texts(&tag.added), texts(&tag.removed)]))
        .filter(|(_, [added, removed]): &(String, [BTreeSet<String>; 2])| {
            !added.is_empty() || !removed.is_empty()
        })
        .collect()
}

#[test]
fn the_derived_pair_differs_in_four_prefixes_of_storage() {
    let read = |name| std::fs::read(data(name)).unwrap();
    let (old, new) = (
        read("service-tags-20251013.json"),
        read("service-tags-20251028.json"),
    );
    let changes = changes(&old, &new);
    assert_eq!(reported(&changes), plain(&old, &new));
    let [storage] = &changes[..] else {
        unreachable!("storage alone differs: {changes:?}")
    };
    let texts = |prefixes: &[ipnet::Ipv4Net]| -> Vec<String> {
        prefixes.iter().map(ToString::to_string).collect()
    };
    assert_eq!(storage.service, "Microsoft.Storage");
    assert!(storage.removed.is_empty());
    assert_eq!(
        texts(&storage.added),
        [
            "20.153.124.0/24",
            "20.153.126.0/24",
            "135.130.158.0/23",
            "135.130.160.0/23"
        ]
    );
    let tags: Vec<_> = storage
        .tags
        .iter()
        .map(|tag| (tag.name.as_str(), tag.before, tag.after, texts(&tag.added)))
        .collect();
    let owned = |list: &[&str]| {
        list.iter()
            .map(|text| (*text).to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(
        tags,
        [
            (
                "Storage.CentralUS",
                Some(32),
                Some(33),
                owned(&["20.153.126.0/24"])
            ),
            (
                "Storage.EastUS",
                Some(47),
                Some(48),
                owned(&["20.153.124.0/24", "135.130.160.0/23"])
            ),
            (
                "Storage.EastUS2",
                Some(44),
                Some(45),
                owned(&["135.130.158.0/23"])
            ),
        ]
    );
}

/// The whole files, where they stand beside the checkout.
#[test]
fn the_full_files_differ_as_a_plain_reading_says() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data");
    let old = folder.join("ServiceTags_Public_20251013.json.gz");
    let new = std::fs::read(folder.join("ServiceTags_Public_20251028.json"));
    let (true, Ok(new)) = (old.exists(), new) else {
        eprintln!(
            "SKIP the full service-tag files are not in {}",
            folder.display()
        );
        return;
    };
    let unpacked = Command::new("gzip").arg("-dc").arg(&old).output().unwrap();
    assert!(unpacked.status.success());
    let strip = |bytes: &[u8]| {
        bytes
            .strip_prefix(b"\xef\xbb\xbf")
            .unwrap_or(bytes)
            .to_vec()
    };
    let (old, new) = (strip(&unpacked.stdout), strip(&new));
    let changes = changes(&old, &new);
    let services = postern_network::catalog::Service::all();
    let bases: BTreeSet<_> = services.iter().flat_map(|service| service.tags).collect();
    let mut wanted = plain(&old, &new);
    wanted.retain(|name, _| bases.contains(&name.split('.').next().unwrap()));
    assert_eq!(reported(&changes), wanted);
    assert!(wanted.len() > 5, "{wanted:?}");
}
