//! Watches the namespaces and devices of ports, and has the fabric look when something happens.
//!
//! The kernel tells of names that come and go (inotify on their directories, and the table of mounts,
//! as a named namespace is one), of processes that end, and of what is changed at a device. What it
//! cannot tell of, or has no descriptor left for, a look every second finds.

use super::Daemon;
use crate::fabric::{Seen, Watched};
use postern_dataplane::policy::PortId;
use postern_host::attach::{DeviceEvents, NamespaceId};
use postern_network::model::NamespaceRef;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::inotify::{self, CreateFlags, WatchFlags};
use rustix::process::{Pid, PidfdFlags, Resource, getrlimit, pidfd_open};
use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io::{self, PipeReader, PipeWriter};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};
use std::thread;
use std::time::Duration;
use tracing::{debug, error};

/// How often is looked where nothing is told.
const EVERY: Duration = Duration::from_secs(1);

/// What comes together is looked at together.
const GATHER: Duration = Duration::from_millis(20);

/// How many devices that are not followed are looked at every second.
const TURN: usize = 8;

/// Where named namespaces are.
const NAMED: &str = "/run/netns";

/// Watches until it is dropped.
#[derive(Debug)]
pub(super) struct Watching {
    /// The thread sees when this is closed.
    _life: PipeWriter,
}

impl Watching {
    /// Starts to watch.
    ///
    /// # Errors
    ///
    /// The thread cannot be made.
    pub(super) fn start(daemon: &Arc<Daemon>) -> io::Result<Self> {
        let (end, life) = io::pipe()?;
        let descriptors = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
        let watch = Watch {
            daemon: Arc::downgrade(daemon),
            end,
            names: inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK).ok(),
            directories: HashMap::new(),
            mounts: File::open("/proc/self/mountinfo").ok(),
            processes: HashMap::new(),
            ended: HashSet::new(),
            devices: HashMap::new(),
            most: usize::try_from(descriptors / 4).unwrap_or(usize::MAX),
            unwatched: Vec::new(),
            turn: 0,
            trouble: String::new(),
        };
        let thread = thread::Builder::new().name("postern-watch".to_owned());
        thread.spawn(move || watch.run())?;
        Ok(Self { _life: life })
    }
}

struct Watch {
    daemon: Weak<Daemon>,
    end: PipeReader,
    names: Option<OwnedFd>,
    /// The directories whose names are told of, with their number there.
    directories: HashMap<PathBuf, i32>,
    mounts: Option<File>,
    /// Processes whose end is told.
    processes: HashMap<u32, OwnedFd>,
    /// Those that have ended: of a zombie it would be told for ever.
    ended: HashSet<u32>,
    /// The devices of ports, each in the namespace that it is in.
    devices: HashMap<PortId, (NamespaceId, DeviceEvents)>,
    /// How many devices are followed at most: each takes a descriptor, and others need some too.
    most: usize,
    /// Ports whose device is not followed: some are looked at every second, in turns.
    unwatched: Vec<PortId>,
    turn: usize,
    /// What went wrong last, to say it once.
    trouble: String,
}

impl Watch {
    fn run(mut self) {
        let mut touched = Vec::new();
        loop {
            let Some(daemon) = self.daemon.upgrade() else {
                return;
            };
            let (seen, watched) = daemon.live.look(&touched);
            let has_more = self.take(&daemon, seen);
            drop(daemon);
            touched = self.follow(&watched);
            let wait = if has_more || !touched.is_empty() {
                Duration::ZERO
            } else {
                EVERY
            };
            match self.wait(wait) {
                Ok(told) if told.is_over => return,
                Ok(told) => touched.extend(told.touched),
                Err(error) => {
                    error!(%error, "namespaces are looked at every second only");
                    thread::sleep(EVERY);
                }
            }
        }
    }

    /// Passes on what a look found, and says what went wrong, once.
    fn take(&mut self, daemon: &Daemon, seen: Result<Seen, crate::fabric::FabricError>) -> bool {
        match seen {
            Ok(seen) => {
                self.trouble.clear();
                if seen.has_changed {
                    daemon.live.changed.notify_one();
                }
                seen.has_more
            }
            Err(error) => {
                let error = postern_network::chain(&error);
                if self.trouble != error {
                    error!(error, "namespaces have changed and ports cannot follow");
                    self.trouble = error;
                }
                false
            }
        }
    }

    /// Watches what there is now, and no more. Returns the ports whose devices are to be looked at:
    /// until they were followed, nobody told of them.
    fn follow(&mut self, watched: &[Watched]) -> Vec<PortId> {
        self.follow_names(watched);
        let pids: HashSet<u32> = watched.iter().filter_map(|at| at.namespace.pid()).collect();
        self.processes.retain(|pid, _| pids.contains(pid));
        self.ended.retain(|pid| pids.contains(pid));
        for pid in pids {
            if !self.processes.contains_key(&pid)
                && !self.ended.contains(&pid)
                && let Some(process) = i32::try_from(pid).ok().and_then(Pid::from_raw)
                && let Ok(process) = pidfd_open(process, PidfdFlags::empty())
            {
                self.processes.insert(pid, process);
            }
        }
        self.follow_devices(watched)
    }

    fn follow_names(&mut self, watched: &[Watched]) {
        let Some(names) = &self.names else {
            return;
        };
        let wanted: HashSet<PathBuf> = watched
            .iter()
            .filter_map(|at| directory(&at.namespace))
            .collect();
        self.directories.retain(|directory, number| {
            let is_wanted = wanted.contains(directory);
            if !is_wanted {
                let _ = inotify::remove_watch(names, *number);
            }
            is_wanted
        });
        let changes = WatchFlags::CREATE
            | WatchFlags::DELETE
            | WatchFlags::MOVED_FROM
            | WatchFlags::MOVED_TO
            | WatchFlags::ATTRIB
            | WatchFlags::DELETE_SELF;
        for directory in wanted {
            // Again each time: it may have been made anew. Of the same one nothing changes by it.
            if let Ok(number) = inotify::add_watch(names, &directory, changes) {
                self.directories.insert(directory, number);
            } else {
                self.directories.remove(&directory);
            }
        }
    }

    fn follow_devices(&mut self, watched: &[Watched]) -> Vec<PortId> {
        let placed: HashMap<PortId, &Watched> = watched
            .iter()
            .filter(|at| at.place.is_some())
            .map(|at| (at.port, at))
            .collect();
        self.devices.retain(|port, (place, events)| {
            placed
                .get(port)
                .is_some_and(|at| at.place == Some(*place) && events.has(&at.device, &at.routes))
        });
        let mut touched = Vec::new();
        let (mut unwatched, mut is_full) = (Vec::new(), false);
        for (port, at) in placed {
            let Some(place) = at.place.filter(|_| !self.devices.contains_key(&port)) else {
                continue;
            };
            if is_full || self.devices.len() >= self.most {
                unwatched.push(port);
                continue;
            }
            match DeviceEvents::open(&at.namespace, place, &at.device, &at.routes) {
                Ok(events) => {
                    self.devices.insert(port, (place, events));
                    touched.push(port);
                }
                Err(error) => {
                    debug!(port = port.0, %error, "the device is not followed");
                    // Out of descriptors, most likely: the others would fare the same.
                    is_full = !error.is_absence();
                    unwatched.push(port);
                }
            }
        }
        unwatched.sort_unstable();
        self.unwatched = unwatched;
        touched
    }

    /// Waits until something is told, or the time is up.
    fn wait(&mut self, time: Duration) -> io::Result<ToldOf> {
        let is_told = self.poll(time)?;
        if is_told && time > Duration::ZERO {
            // Not for long, as the end may be what is told.
            thread::sleep(GATHER);
        }
        let mut touched: Vec<PortId> = Vec::new();
        for (port, (_, events)) in &mut self.devices {
            if events.is_touched() || !events.is_in_place() {
                touched.push(*port);
            }
        }
        if !is_told && !self.unwatched.is_empty() {
            let first = self.turn % self.unwatched.len();
            let turn = self.unwatched.iter().cycle().skip(first);
            touched.extend(turn.take(TURN.min(self.unwatched.len())));
            self.turn = first + TURN;
        }
        self.drain();
        Ok(ToldOf {
            touched,
            is_over: self.is_over()?,
        })
    }

    fn poll(&self, time: Duration) -> io::Result<bool> {
        let mut polled = vec![PollFd::new(&self.end, PollFlags::IN)];
        polled.extend(self.names.iter().map(|fd| PollFd::new(fd, PollFlags::IN)));
        let mounts = self.mounts.iter();
        polled.extend(mounts.map(|file| PollFd::new(file, PollFlags::PRI)));
        let processes = self.processes.values();
        polled.extend(processes.map(|fd| PollFd::new(fd, PollFlags::IN)));
        let devices = self.devices.values();
        polled.extend(
            devices.map(|(_, events)| PollFd::from_borrowed_fd(events.as_fd(), PollFlags::IN)),
        );
        let time = Timespec::try_from(time).ok();
        match poll(&mut polled, time.as_ref()) {
            Ok(ready) => Ok(ready > 0),
            Err(rustix::io::Errno::INTR) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    fn is_over(&self) -> io::Result<bool> {
        let mut polled = [PollFd::new(&self.end, PollFlags::IN)];
        let ready = poll(&mut polled, Some(&Timespec::default()))?;
        Ok(ready > 0)
    }

    /// Takes what was told, so that it is not told again.
    fn drain(&mut self) {
        if let Some(names) = &self.names {
            let mut buffer = [0; 4096];
            while rustix::io::read(names, &mut buffer).is_ok_and(|length| length > 0) {}
        }
        let has_ended = |fd: &OwnedFd| {
            let mut polled = [PollFd::new(fd, PollFlags::IN)];
            poll(&mut polled, Some(&Timespec::default())).is_ok_and(|ready| ready > 0)
        };
        let ended = self.processes.extract_if(|_, fd| has_ended(fd));
        self.ended.extend(ended.map(|(pid, _)| pid));
    }
}

/// What was told in a wait.
struct ToldOf {
    touched: Vec<PortId>,
    is_over: bool,
}

/// Returns the directory in which the name of a namespace comes and goes.
fn directory(namespace: &NamespaceRef) -> Option<PathBuf> {
    match namespace.written() {
        NamespaceRef::Name(_) => Some(PathBuf::from(NAMED)),
        NamespaceRef::Path(path) if namespace.pid().is_none() => path.parent().map(Path::to_owned),
        _ => None,
    }
}
