//! Processes, as bindings remember them.

use serde::{Deserialize, Serialize};

/// A process, told apart from every other one that had or gets its number, and its network namespace.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Process {
    /// The boot of the host that it lives in.
    pub boot: String,
    /// When it began, in the kernel's ticks since then.
    pub start: u64,
    /// The device of its namespace.
    pub device: u64,
    /// The inode of its namespace.
    pub inode: u64,
}

/// What a binding to the number of a process meant when it was written.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Pin {
    /// The number.
    pub pid: u32,
    /// The process that had it; nothing if there was none.
    pub process: Option<Process>,
}
