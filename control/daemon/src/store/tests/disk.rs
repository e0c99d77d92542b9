//! A disk that fails, and one that loses its power.

use super::*;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use redb::StorageBackend;

/// A disk with a cache: what was written is on it once it was synchronised, and before that perhaps.
#[derive(Clone, Debug, Default)]
pub(crate) struct Disk(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    /// What a program reads.
    seen: Vec<u8>,
    /// What is on the disk for sure.
    synced: Vec<u8>,
    /// What was written since, one after the other.
    since: Vec<Step>,
    /// How many steps are done before one fails.
    credit: Option<u32>,
}

#[derive(Clone, Debug)]
enum Step {
    Length(usize),
    Bytes(usize, Vec<u8>),
}

impl Step {
    fn run(&self, on: &mut Vec<u8>) {
        match self {
            Self::Length(length) => on.resize(*length, 0),
            Self::Bytes(at, bytes) => {
                let end = at + bytes.len();
                if on.len() < end {
                    on.resize(end, 0);
                }
                on[*at..end].copy_from_slice(bytes);
            }
        }
    }
}

impl Disk {
    fn with<R>(&self, act: impl FnOnce(&mut State) -> R) -> R {
        act(&mut self.0.lock().unwrap())
    }

    fn step(&self, step: Option<Step>) -> Result<(), std::io::Error> {
        self.with(|state| {
            if let Some(credit) = &mut state.credit {
                if *credit == 0 {
                    return Err(std::io::Error::from(std::io::ErrorKind::StorageFull));
                }
                *credit -= 1;
            }
            match step {
                Some(step) => {
                    step.run(&mut state.seen);
                    state.since.push(step);
                }
                None => {
                    state.synced.clone_from(&state.seen);
                    state.since.clear();
                }
            }
            Ok(())
        })
    }

    /// Takes the power away: of what was not synchronised some is on the disk, in no order.
    fn lose_power(&self, random: &mut StdRng) -> Self {
        let mut bytes = self.with(|state| state.synced.clone());
        let mut since = self.with(|state| state.since.clone());
        since.retain(|_| random.random());
        for at in (1..since.len()).rev() {
            since.swap(at, random.random_range(0..=at));
        }
        since.iter().for_each(|step| step.run(&mut bytes));
        Self(Arc::new(Mutex::new(State {
            seen: bytes.clone(),
            synced: bytes,
            ..State::default()
        })))
    }

    /// Has every step fail after so many that are done; none fails without a number.
    pub(crate) fn fail_after(&self, credit: Option<u32>) {
        self.with(|state| state.credit = credit);
    }

    pub(crate) fn open(&self) -> Result<(Store, Saved), StoreError> {
        let disk = self.clone();
        let open = Box::new(move || builder().create_with_backend(disk.clone()));
        let (store, contents) = Store::with(PathBuf::from("disk"), open, Schema::CURRENT)?;
        Ok((store, contents.saved))
    }
}

impl StorageBackend for Disk {
    fn len(&self) -> Result<u64, std::io::Error> {
        Ok(self.with(|state| state.seen.len() as u64))
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> Result<(), std::io::Error> {
        let at = usize::try_from(offset).unwrap();
        self.with(|state| {
            let bytes = state.seen.get(at..at + out.len());
            let bytes = bytes.ok_or(std::io::ErrorKind::UnexpectedEof)?;
            out.copy_from_slice(bytes);
            Ok(())
        })
    }

    fn set_len(&self, len: u64) -> Result<(), std::io::Error> {
        self.step(Some(Step::Length(usize::try_from(len).unwrap())))
    }

    fn sync_data(&self) -> Result<(), std::io::Error> {
        self.step(None)
    }

    fn write(&self, offset: u64, data: &[u8]) -> Result<(), std::io::Error> {
        let at = usize::try_from(offset).unwrap();
        self.step(Some(Step::Bytes(at, data.to_vec())))
    }
}

/// Returns the estate after the change `number`: three resources that go together.
fn estate(old: &Estate, number: usize) -> Estate {
    let mut estate = old.clone();
    let part = number % 5;
    for kind in ["virtualNetworks", "routeTables", "networkSecurityGroups"] {
        let text = format!("{number} ").repeat(number % 400);
        put(
            &mut estate,
            document(kind, &format!("r{part}"), json!([number, text])),
        );
    }
    estate
}

#[test]
fn a_write_that_fails_leaves_the_old_state_and_the_next_one_works() {
    for credit in 0..40 {
        let disk = Disk::default();
        let (store, _) = disk.open().unwrap();
        let first = estate(&Estate::default(), 1);
        commit(&store, &Estate::default(), &first).unwrap();
        let second = estate(&first, 399);
        disk.with(|state| state.credit = Some(credit));
        let outcome = commit(&store, &first, &second);
        disk.with(|state| state.credit = None);
        let now = if outcome.is_ok() { &second } else { &first };
        match commit(&store, now, &estate(now, 7)) {
            Ok(()) => {
                drop(store);
                assert_eq!(disk.open().unwrap().1.estate, estate(now, 7), "{credit}");
            }
            // The disk refused even to open the file again.
            Err(error) => {
                assert!(matches!(error, StoreError::Lost(_)), "{error}");
                drop(store);
                let saved = disk.open().unwrap().1.estate;
                assert!(saved == *now || saved == second, "{credit}");
            }
        }
    }
}

#[test]
fn what_was_acknowledged_survives_a_loss_of_power_and_nothing_is_half_there() {
    let mut random = StdRng::seed_from_u64(1);
    let mut disk = Disk::default();
    let mut last = Estate::default();
    let (mut done, mut undone) = (0, 0);
    // A new store is made beside its place: it is complete before its name is there.
    drop(disk.open().unwrap());
    for round in 0..200 {
        let (store, saved) = disk.open().unwrap();
        assert_eq!(saved.estate, last);
        let until = random.random_range(0..60);
        let mut next = last.clone();
        disk.with(|state| state.credit = Some(until));
        for number in round * 10.. {
            next = estate(&last, number);
            match commit(&store, &last, &next) {
                Ok(()) => last = next.clone(),
                Err(_) => break,
            }
        }
        disk = disk.lose_power(&mut random);
        drop(store);
        let saved = disk.open().unwrap().1.estate;
        if saved == last {
            undone += 1;
        } else {
            assert!(saved == next, "round {round}: half of a change");
            done += 1;
        }
        last = saved;
    }
    assert!(undone > 20 && done + undone == 200, "{done} {undone}");
}
