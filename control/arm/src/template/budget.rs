//! How much a template may take: a few lines of it can ask for any amount of time and memory.
//!
//! Three things are counted. **Work** is in bytes: what functions read, what they make, and a fixed
//! amount for each value and each step, so that a template is accepted or refused alike on every machine.
//! **Memory** is what values take that are there at one time: an expression that is done gives back what
//! its arguments took. **Processor time** and whether the client still waits are looked at now and then,
//! as a last bound should the counts fall short.

use super::limits::Limits;
use super::problem::Problem;
use super::value::Held;
use crate::cancel::Cancel;
use crate::clock::ProcessorTime;
use serde_json::{Map, Value};
use std::cell::Cell;
use std::time::Duration;

/// How many bytes one value may have: ARM's own bound of a whole template.
pub const MAX_VALUE: usize = 4 * 1024 * 1024;

/// The problem of a value that is bigger.
pub const TOO_BIG: Problem = Problem::Limit("a value has more than 4 MiB");

/// How much work a step is beside what it reads and makes.
const STEP: u64 = 250;

/// How much work it is to make a value or to walk over it, beside its text.
const NODE: u64 = 60;

/// What a value takes in memory beside its text, and what a property takes beside its value.
pub const VALUE_BYTES: usize = 88;
const FIELD_BYTES: usize = 64;

/// After how much work the clock and the client are looked at.
const LOOK: u64 = 1 << 20;

/// How deep the evaluation may be: values in values, expressions, variables of variables, functions.
pub const MAX_DEPTH: usize = 250;

/// The most elements that a `range` or a loop may have. ARM takes 10,000 and 800.
pub const MAX_COUNT: usize = 10_000;

/// What a deployment has taken, and what it may.
#[derive(Debug)]
pub struct Budget {
    limits: Limits,
    cancel: Cancel,
    clock: ProcessorTime,
    began: Duration,
    work: Cell<u64>,
    look: Cell<u64>,
    /// Bytes of values under way.
    live: Cell<usize>,
    /// Bytes of what stays: names that are worked out, resources that are put, the answer.
    kept: Cell<usize>,
    peak: Cell<usize>,
    resources: Cell<usize>,
}

/// How much memory values under way had at a moment.
#[derive(Clone, Copy, Debug)]
pub struct Mark(usize);

/// What a deployment has taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Taken {
    /// Work, in bytes.
    pub work: u64,
    /// The most memory that values had at one time, in bytes.
    pub memory: usize,
}

impl Budget {
    /// Returns a budget of which nothing is taken.
    #[must_use]
    pub fn new(limits: Limits, clock: ProcessorTime, cancel: Cancel) -> Self {
        Self {
            limits,
            cancel,
            began: clock(),
            clock,
            work: Cell::new(0),
            look: Cell::new(LOOK),
            live: Cell::new(0),
            kept: Cell::new(0),
            peak: Cell::new(0),
            resources: Cell::new(0),
        }
    }

    /// Returns the bounds.
    #[must_use]
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Returns what is taken so far.
    #[must_use]
    pub fn taken(&self) -> Taken {
        Taken {
            work: self.work.get(),
            memory: self.peak.get(),
        }
    }

    /// Takes work.
    ///
    /// # Errors
    ///
    /// There is not that much left, the time is over, or the client has gone.
    pub fn spend(&self, work: u64) -> Result<(), Problem> {
        let work = self.work.get().saturating_add(work);
        self.work.set(work);
        if work > self.limits.work {
            return Err(Problem::Limit(
                "its functions read and make more than 1,000,000,000 bytes, each step and each value counted as some",
            ));
        }
        match work >= self.look.get() {
            true => self.look(),
            false => Ok(()),
        }
    }

    /// Takes the work of reading so many bytes or elements.
    ///
    /// # Errors
    ///
    /// As [`Self::spend`].
    pub fn read(&self, bytes: usize) -> Result<(), Problem> {
        self.spend(u64::try_from(bytes).unwrap_or(u64::MAX))
    }

    /// Looks at the clock and at the client.
    ///
    /// # Errors
    ///
    /// The time is over, or the client has gone.
    pub fn look(&self) -> Result<(), Problem> {
        self.look.set(self.work.get().saturating_add(LOOK));
        if self.cancel.is_cancelled() {
            return Err(Problem::Cancelled);
        }
        match (self.clock)().saturating_sub(self.began) > self.limits.time {
            true => Err(Problem::Limit("it takes more than 1.5 s of processor time")),
            false => Ok(()),
        }
    }

    /// Takes one step.
    ///
    /// # Errors
    ///
    /// As [`Self::spend`].
    pub fn step(&self) -> Result<(), Problem> {
        self.spend(STEP)
    }

    /// Takes the work of walking over a value.
    ///
    /// # Errors
    ///
    /// As [`Self::spend`].
    pub fn walk(&self, value: &Value) -> Result<(), Problem> {
        self.spend(size(value, usize::MAX).work)
    }

    /// Takes what a value without others in it costs to make, which has this text.
    ///
    /// # Errors
    ///
    /// There is not that much left.
    pub fn take(&self, text: usize) -> Result<(), Problem> {
        self.spend(NODE.saturating_add(u64::try_from(text).unwrap_or(u64::MAX)))?;
        self.hold(VALUE_BYTES.saturating_add(text))
    }

    /// Refuses a text that is about to be made if it is longer than a value may be.
    ///
    /// # Errors
    ///
    /// It is.
    pub fn admit(&self, bytes: usize) -> Result<(), Problem> {
        match bytes > MAX_VALUE {
            true => Err(TOO_BIG),
            false => Ok(()),
        }
    }

    /// Takes what a value costs that is copied.
    ///
    /// # Errors
    ///
    /// The value is too big, or there is not that much left.
    pub fn charge(&self, value: &Value) -> Result<(), Problem> {
        let size = size(value, MAX_VALUE);
        self.admit(size.bytes)?;
        self.spend(size.work)?;
        self.hold(size.bytes)
    }

    /// Takes what the fields of an object cost that are copied, of any size.
    ///
    /// # Errors
    ///
    /// There is not that much left.
    pub fn charge_fields(&self, fields: &Map<String, Value>) -> Result<(), Problem> {
        for (name, value) in fields {
            let size = size(value, usize::MAX);
            self.spend(size.work)?;
            self.hold(size.bytes.saturating_add(name.len()))?;
        }
        Ok(())
    }

    /// Returns how much memory values under way have now.
    #[must_use]
    pub fn mark(&self) -> Mark {
        Mark(self.live.get())
    }

    /// Gives back the memory of everything made since the mark.
    pub fn release(&self, mark: Mark) {
        self.live.set(mark.0);
    }

    /// Gives back the memory of everything made between `from` and `to`, and keeps what came after.
    pub fn release_between(&self, from: Mark, to: Mark) {
        let after = self.live.get().saturating_sub(to.0);
        self.live.set(from.0.saturating_add(after));
    }

    /// Ends an expression: of what was made since the mark, its value alone is left.
    ///
    /// # Errors
    ///
    /// The value is too big, or there is not that much left.
    pub fn settle(&self, mark: Mark, value: &Held) -> Result<(), Problem> {
        let size = match value {
            Held::Own(value) => size(value, MAX_VALUE),
            Held::Shared(_) => Size::default(),
        };
        self.admit(size.bytes)?;
        self.spend(size.work)?;
        self.release(mark);
        self.hold(size.bytes)
    }

    /// Takes memory for something that stays to the end.
    ///
    /// # Errors
    ///
    /// There is not that much left.
    pub fn keep(&self, bytes: usize) -> Result<(), Problem> {
        self.kept.set(self.kept.get().saturating_add(bytes));
        self.hold(0)
    }

    /// Takes memory for so many copies of a value that stay to the end.
    ///
    /// # Errors
    ///
    /// There is not that much left.
    pub fn keep_value(&self, value: &Value, copies: usize) -> Result<(), Problem> {
        let size = size(value, usize::MAX);
        self.spend(size.work)?;
        self.keep(size.bytes.saturating_mul(copies))
    }

    /// Takes memory for so many copies of an object that stay to the end.
    ///
    /// # Errors
    ///
    /// There is not that much left.
    pub fn keep_fields(&self, fields: &Map<String, Value>, copies: usize) -> Result<(), Problem> {
        let mark = self.mark();
        self.charge_fields(fields)?;
        let bytes = self.live.get().saturating_sub(mark.0);
        self.release(mark);
        self.keep(bytes.saturating_mul(copies))
    }

    /// Returns how much stays to the end, for [`Self::keep_less`].
    #[must_use]
    pub fn kept(&self) -> usize {
        self.kept.get()
    }

    /// Gives back so much of what was to stay to the end.
    pub fn keep_less(&self, bytes: usize) {
        self.kept.set(self.kept.get().saturating_sub(bytes));
    }

    /// Takes so many resources.
    ///
    /// # Errors
    ///
    /// All templates of the deployment have more than they may.
    pub fn resources(&self, count: usize) -> Result<(), Problem> {
        let resources = self.resources.get().saturating_add(count);
        self.resources.set(resources);
        match resources > super::instance::MAX_RESOURCES {
            true => Err(Problem::Limit("more than 10,000 resources")),
            false => Ok(()),
        }
    }

    fn hold(&self, bytes: usize) -> Result<(), Problem> {
        let live = self.live.get().saturating_add(bytes);
        self.live.set(live);
        let all = live.saturating_add(self.kept.get());
        self.peak.set(self.peak.get().max(all));
        match all > self.limits.memory {
            true => Err(Problem::Memory(self.limits.memory >> 20)),
            false => Ok(()),
        }
    }
}

/// What a value takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Size {
    /// Memory, in bytes.
    pub bytes: usize,
    /// Work, to copy it or to walk over it.
    pub work: u64,
}

impl Size {
    fn add(&mut self, bytes: usize, text: usize) {
        self.bytes = self.bytes.saturating_add(bytes).saturating_add(text);
        let text = u64::try_from(text).unwrap_or(u64::MAX);
        self.work = self.work.saturating_add(NODE).saturating_add(text);
    }
}

/// Returns about what a value takes, or something of more than `most` bytes if it is more than that.
#[must_use]
pub fn size(value: &Value, most: usize) -> Size {
    let mut sum = Size::default();
    count(value, most, &mut sum);
    sum
}

/// Returns about how much memory an object takes, or something of more than `most` bytes.
#[must_use]
pub fn fields_size(fields: &Map<String, Value>, most: usize) -> usize {
    let mut sum = Size::default();
    for (name, field) in fields {
        sum.add(FIELD_BYTES, name.len());
        count(field, most, &mut sum);
        if sum.bytes > most {
            break;
        }
    }
    sum.bytes
}

fn count(value: &Value, most: usize, sum: &mut Size) {
    sum.add(VALUE_BYTES, 0);
    if sum.bytes > most {
        return;
    }
    match value {
        Value::String(text) => {
            sum.bytes = sum.bytes.saturating_add(text.len());
            let text = u64::try_from(text.len()).unwrap_or(u64::MAX);
            sum.work = sum.work.saturating_add(text);
        }
        Value::Array(items) => {
            for item in items {
                count(item, most, sum);
                if sum.bytes > most {
                    return;
                }
            }
        }
        Value::Object(fields) => {
            for (name, field) in fields {
                sum.add(FIELD_BYTES, name.len());
                count(field, most, sum);
                if sum.bytes > most {
                    return;
                }
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}
