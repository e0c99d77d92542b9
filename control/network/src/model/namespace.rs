//! Network namespaces, as the configuration names them.

use super::process::Pin;
use serde::{Serialize, Serializer};
use std::fmt;
use std::hash::{Hash, Hasher};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use thiserror::Error;

/// Where named namespaces are mounted; the second one is the first by a symbolic link.
const NAMED: [&str; 2] = ["/run/netns", "/var/run/netns"];

/// A network namespace: by name, by path, by a process that lives in it, Postern's own, or none.
///
/// It is written as it was read. A path below `/run/netns` is equal to the name that it is the
/// mount of, so that equal references mean the same namespace as far as their spelling can tell.
#[derive(Clone, Debug)]
pub enum NamespaceRef {
    /// A name as `ip netns` uses it.
    Name(String),
    /// The path of a file that stands for a namespace.
    Path(PathBuf),
    /// The namespace of this process.
    Pid(u32),
    /// The namespace of a process, written as the first says, and of no other that gets its number.
    Pinned(Box<Pinned>),
    /// A namespace without a name, which Postern makes when it is first needed and which ends with
    /// it. No text names it: it stands where a configuration names none.
    Own,
    /// None: what would be there is kept and has no device. It stands where a configuration names none.
    Unattached,
}

/// A namespace of the process that was meant.
#[derive(Clone, Debug)]
pub struct Pinned {
    /// What was written.
    pub written: NamespaceRef,
    /// The process.
    pub pin: Pin,
}

impl NamespaceRef {
    /// Returns whether there is a namespace.
    #[must_use]
    pub fn is_attached(&self) -> bool {
        !matches!(self, Self::Unattached)
    }

    /// Returns the reference in the spelling that all equal ones share: the name, where there is
    /// one.
    #[must_use]
    pub fn canonical(&self) -> Self {
        match self.name() {
            Some(name) => Self::Name(name.to_owned()),
            None => self.clone(),
        }
    }

    /// Returns the reference as it was written.
    #[must_use]
    pub fn written(&self) -> &Self {
        match self {
            Self::Pinned(pinned) => &pinned.written,
            other => other,
        }
    }

    /// Returns the number of the process by which the namespace is named, however that is written.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        match self {
            Self::Pid(pid) => Some(*pid),
            Self::Pinned(pinned) => Some(pinned.pin.pid),
            Self::Path(path) => {
                let rest = path.strip_prefix("/proc").ok()?;
                let (process, file) = rest.to_str()?.split_once('/')?;
                (file == "ns/net").then(|| process.parse().ok())?
            }
            Self::Name(_) | Self::Own | Self::Unattached => None,
        }
    }

    /// Returns the name of a named namespace, however it is written.
    fn name(&self) -> Option<&str> {
        match self {
            Self::Name(name) => Some(name),
            Self::Path(path) => {
                let parent = path.parent()?;
                let is_named = NAMED.iter().any(|named| parent == Path::new(named));
                path.file_name().filter(|_| is_named)?.to_str()
            }
            Self::Pid(_) | Self::Pinned(..) | Self::Own | Self::Unattached => None,
        }
    }

    /// Returns what two equal references have in common.
    fn identity(&self) -> (Option<&str>, Option<&Path>, Option<u32>, Option<&Pin>) {
        match (self.name(), self) {
            (Some(name), _) => (Some(name), None, None, None),
            (None, Self::Path(path)) => (None, Some(path), None, None),
            (None, Self::Pid(pid)) => (None, None, Some(*pid), None),
            (None, Self::Pinned(pinned)) => (None, None, None, Some(&pinned.pin)),
            // No process has this number.
            (None, Self::Unattached) => (None, None, Some(0), None),
            (None, Self::Name(_) | Self::Own) => (None, None, None, None),
        }
    }
}

impl PartialEq for NamespaceRef {
    fn eq(&self, other: &Self) -> bool {
        self.identity() == other.identity()
    }
}

impl Eq for NamespaceRef {}

impl Hash for NamespaceRef {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.identity().hash(state);
    }
}

/// The text does not name a namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error(
    "not a namespace; accepted: a name without spaces and slashes, an absolute path, or \"pid:N\""
)]
pub struct NotANamespace;

impl FromStr for NamespaceRef {
    type Err = NotANamespace;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const LONGEST_NAME: usize = 255;
        if let Some(pid) = text.strip_prefix("pid:") {
            let pid = pid.parse().ok().filter(|pid| *pid > 0);
            return pid.map(Self::Pid).ok_or(NotANamespace);
        }
        if text.contains(char::is_control) {
            return Err(NotANamespace);
        }
        if text.starts_with('/') {
            return Ok(Self::Path(PathBuf::from(text)));
        }
        let is_name = !matches!(text, "" | "." | "..")
            && text.len() <= LONGEST_NAME
            && !text.contains(|letter: char| letter == '/' || letter.is_whitespace());
        if is_name {
            Ok(Self::Name(text.to_owned()))
        } else {
            Err(NotANamespace)
        }
    }
}

impl fmt::Display for NamespaceRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Path(path) => write!(f, "{}", path.display()),
            Self::Pid(pid) => write!(f, "pid:{pid}"),
            Self::Pinned(pinned) => pinned.written.fmt(f),
            Self::Own => f.write_str("(own)"),
            Self::Unattached => f.write_str("(unattached)"),
        }
    }
}

impl Serialize for NamespaceRef {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn each_spelling_is_read_and_written_back() {
        for (text, wanted) in [
            ("vm0", NamespaceRef::Name("vm0".into())),
            (
                "/proc/7/ns/net",
                NamespaceRef::Path("/proc/7/ns/net".into()),
            ),
            ("pid:123", NamespaceRef::Pid(123)),
        ] {
            assert_eq!(text.parse(), Ok(wanted.clone()));
            assert_eq!(wanted.to_string(), text);
        }
    }

    #[test]
    fn the_mount_of_a_name_is_the_name_and_is_written_as_it_was() {
        let name = NamespaceRef::Name("vm0".into());
        for path in ["/run/netns/vm0", "/var/run/netns/vm0"] {
            let read: NamespaceRef = path.parse().unwrap();
            assert_eq!((&read, read.to_string().as_str()), (&name, path));
            assert_eq!(read.canonical().to_string(), "vm0");
            assert_eq!(HashSet::from([read, name.clone()]).len(), 1);
        }
    }

    #[test]
    fn what_differs_is_not_equal() {
        let read = |text: &str| text.parse::<NamespaceRef>().unwrap();
        for other in ["/run/netns/vm1", "/run/netns/x/vm0", "/vm0", "pid:1", "vm1"] {
            assert_ne!(read("vm0"), read(other), "{other}");
        }
        assert_ne!(read("pid:1"), read("pid:2"));
        assert_ne!(read("/proc/1/ns/net"), read("pid:1"));
        for other in ["vm0", "pid:1", "/vm0", "(own)"] {
            assert_ne!(read(other), NamespaceRef::Own, "{other}");
            assert_ne!(read(other), NamespaceRef::Unattached, "{other}");
        }
        assert_ne!(NamespaceRef::Own, NamespaceRef::Unattached);
        assert_eq!(NamespaceRef::Unattached, NamespaceRef::Unattached);
    }

    #[test]
    fn what_names_nothing_is_refused() {
        for text in [
            "", ".", "..", "a b", "a/b", "pid:", "pid:0", "pid:-1", "pid:x", "a\0", "a\n",
        ] {
            assert_eq!(text.parse::<NamespaceRef>(), Err(NotANamespace), "{text:?}");
        }
    }
}
