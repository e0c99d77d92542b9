//! What the two ends are told, as `KEY=VALUE` words.

use rustix::thread::{CpuSet, sched_setaffinity};
use std::collections::HashMap;
use std::error::Error;
use std::str::FromStr;
use std::time::Duration;

/// Why a role could not be played.
pub type Failure = Box<dyn Error>;

/// The words of the command line after the role.
#[derive(Debug)]
pub struct Options(HashMap<String, String>);

impl Options {
    /// Reads the words; one without `=` is refused.
    pub fn read(words: impl Iterator<Item = String>) -> Result<Self, Failure> {
        let mut values = HashMap::new();
        for word in words {
            let (key, value) = word
                .split_once('=')
                .ok_or_else(|| format!("not KEY=VALUE: {word}"))?;
            values.insert(key.to_owned(), value.to_owned());
        }
        Ok(Self(values))
    }

    /// Returns the value of a key that has to be there.
    pub fn get<T: FromStr>(&self, key: &str) -> Result<T, Failure> {
        self.find(key)?
            .ok_or_else(|| format!("{key}= is missing").into())
    }

    /// Returns the value of a key, or its default.
    pub fn get_or<T: FromStr>(&self, key: &str, default: T) -> Result<T, Failure> {
        Ok(self.find(key)?.unwrap_or(default))
    }

    fn find<T: FromStr>(&self, key: &str) -> Result<Option<T>, Failure> {
        let Some(text) = self.0.get(key) else {
            return Ok(None);
        };
        match text.parse() {
            Ok(value) => Ok(Some(value)),
            Err(_) => Err(format!("{key}={text}: not a value of this key").into()),
        }
    }

    /// Returns how long to go on.
    pub fn seconds(&self) -> Result<Duration, Failure> {
        Ok(Duration::try_from_secs_f64(self.get("seconds")?)?)
    }

    /// Keeps this program on the CPU that `cpu=` names; without it, the scheduler places it.
    pub fn pin(&self) -> Result<(), Failure> {
        if let Some(cpu) = self.find("cpu")? {
            let mut cpus = CpuSet::new();
            cpus.set(cpu);
            sched_setaffinity(None, &cpus)?;
        }
        Ok(())
    }
}
