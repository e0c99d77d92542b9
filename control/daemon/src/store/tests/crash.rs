//! `kill -9` in the middle of writes: a child process writes, and is killed, again and again.

use super::keys::{assign, numbers};
use super::*;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};
use std::sync::mpsc::{Sender, channel};
use std::time::Duration;

const ROUNDS: u32 = 200;
/// Where the child finds its store.
const DIR: &str = "POSTERN_TEST_STORE";

/// Returns the estate after the change `number`: a network with its rules and its routes in one
/// change, or the loss of all three.
fn estate(number: u32) -> Estate {
    let mut estate = Estate::from_parts(Parts {
        version: number.into(),
        ..Parts::default()
    });
    for part in 0..7 {
        // The last change of this part.
        let Some(last) = (number + 7 - part)
            .checked_rem(7)
            .and_then(|behind| number.checked_sub(behind))
        else {
            continue;
        };
        if last == 0 || last % 4 == 3 {
            continue;
        }
        for kind in ["virtualNetworks", "routeTables", "networkSecurityGroups"] {
            let text = format!("{last} ").repeat(usize::try_from(last % 300).unwrap());
            estate.keep(document(kind, &format!("r{part}"), json!([last, text])));
        }
    }
    estate
}

/// Returns the network and the subnet that the change `number` makes.
fn names(number: u32) -> (String, String) {
    (format!("VNet{}", number / 9), format!("s{number}"))
}

fn keys(old: &Keys, number: u32) -> Keys {
    let mut keys = old.clone();
    let (vnet, subnet) = names(number);
    assign(&mut keys, &[(&vnet, &[&subnet])]);
    keys
}

/// The child: does one change after the other, and tells what it does.
#[test]
#[ignore = "it is the child of the other test, which kills it"]
fn child() {
    let Some(dir) = std::env::var_os(DIR) else {
        return;
    };
    let (store, saved) = Store::open(Path::new(&dir), &Seal::default()).unwrap();
    let (mut old, mut last) = (saved.estate, saved.keys);
    let mut number = u32::try_from(old.version()).unwrap();
    loop {
        number += 1;
        let (new, next) = (estate(number), keys(&last, number));
        store.reserve(&next).unwrap();
        let (vnet, subnet) = names(number);
        let (vnet, subnet) = numbers(&next, &vnet, &subnet).unwrap();
        tell(&format!("carries {vnet} {subnet}"));
        let commit = Commit {
            old: &old,
            new: &new,
            keys: &next,
            file: None,
        };
        store.commit(&commit).unwrap();
        tell(&format!("acknowledges {number}"));
        (old, last) = (new, next);
    }
}

fn tell(line: &str) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}").unwrap();
    out.flush().unwrap();
}

/// What the child has told.
#[derive(Debug, Default)]
struct Told {
    carried: Vec<(u32, u16)>,
    acknowledged: Option<u32>,
}

/// Reads what the child tells; each change that it acknowledges is passed on at once.
fn listen(out: impl std::io::Read, changed: &Sender<()>) -> Told {
    let mut told = Told::default();
    for line in BufReader::new(out).lines() {
        let line = line.unwrap();
        match line.split(' ').collect::<Vec<_>>()[..] {
            ["carries", vnet, subnet] => {
                let key = (vnet.parse().unwrap(), subnet.parse().unwrap());
                told.carried.push(key);
            }
            ["acknowledges", number] => {
                told.acknowledged = Some(number.parse().unwrap());
                // Nobody waits for those after the kill.
                let _ = changed.send(());
            }
            _ => {}
        }
    }
    told
}

#[test]
fn two_hundred_kills_lose_nothing_halve_nothing_and_issue_no_key_twice() {
    let scratch = Scratch::new();
    let mut random = StdRng::seed_from_u64(9);
    let (mut last, mut carried, mut unsure) = (0, BTreeSet::new(), 0);
    for round in 0..ROUNDS {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args([
                "--exact",
                "store::tests::crash::child",
                "--ignored",
                "--nocapture",
            ])
            .env(DIR, &scratch.0)
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .unwrap();
        let out = child.stdout.take().unwrap();
        let (changed, changes) = channel();
        let listener = std::thread::spawn(move || listen(out, &changed));
        // From before it has opened the store to a dozen changes later, however long they take here.
        for _ in 0..random.random_range(0..12) {
            let change = changes.recv_timeout(Duration::from_secs(120));
            change.expect("the child writes one change after the other");
        }
        // And then somewhere in the middle of the next one.
        std::thread::sleep(Duration::from_micros(random.random_range(0..3_000)));
        child.kill().unwrap();
        child.wait().unwrap();
        let told = listener.join().unwrap();
        for key in told.carried {
            assert!(
                carried.insert(key),
                "round {round}: {key:?} is issued twice"
            );
        }
        last = told.acknowledged.unwrap_or(last);
        let saved = scratch.open().1;
        let found = u32::try_from(saved.estate.version()).unwrap();
        assert!(
            found == last || found == last + 1,
            "round {round}: {found}, not {last}"
        );
        unsure += found - last;
        assert_eq!(saved.estate, estate(found), "round {round}");
        if found > 0 {
            let (vnet, subnet) = names(found);
            let key = numbers(&saved.keys, &vnet, &subnet).unwrap();
            assert!(
                carried.contains(&key),
                "round {round}: {key:?} is not what was in force"
            );
        }
        last = found;
    }
    println!("{ROUNDS} kills, {last} changes, {unsure} of them done but not acknowledged");
    assert!(last > ROUNDS, "too few changes: {last}");
}
