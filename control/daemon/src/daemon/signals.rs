//! What signals do to the daemon.
//!
//! Every signal that would end a process and that a process can catch has a meaning here, so that
//! none takes the daemon away without its devices, its socket and what it was asked last: some end it
//! as `down` does, SIGHUP has it read its file again, the others are noted and no more. A second one
//! of those that end it does so at once. Faults of the program itself (SIGSEGV and the like) stay
//! what they are.

use super::{Daemon, blocking, change};
use crate::protocol::view::AppliedView;
use rustix::process::Signal as Number;
use std::convert::Infallible;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::Notify;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tracing::{error, info, warn};

/// Signals that end the daemon.
const ENDING: [(Number, &str); 6] = [
    (Number::TERM, "SIGTERM"),
    (Number::INT, "SIGINT"),
    (Number::QUIT, "SIGQUIT"),
    (Number::ABORT, "SIGABRT"),
    (Number::XCPU, "SIGXCPU"),
    (Number::POWER, "SIGPWR"),
];

/// Signals that mean nothing here. SIGPIPE is ignored from the start of every Rust program.
const NOTED: [(Number, &str); 13] = [
    (Number::USR1, "SIGUSR1"),
    (Number::USR2, "SIGUSR2"),
    (Number::ALARM, "SIGALRM"),
    (Number::VTALARM, "SIGVTALRM"),
    (Number::PROF, "SIGPROF"),
    (Number::IO, "SIGIO"),
    (Number::STKFLT, "SIGSTKFLT"),
    (Number::TRAP, "SIGTRAP"),
    (Number::SYS, "SIGSYS"),
    // A daemon that a terminal stops would stop all packets.
    (Number::TSTP, "SIGTSTP"),
    (Number::TTIN, "SIGTTIN"),
    (Number::TTOU, "SIGTTOU"),
    // What is written beyond a limit of file sizes fails then, and is reported.
    (Number::XFSZ, "SIGXFSZ"),
];

/// Real-time signals, which a C library leaves to programs; they mean nothing here either.
const REAL_TIME: std::ops::RangeInclusive<i32> = 34..=64;

/// What signals ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Told {
    /// The end, by this signal.
    End(&'static str),
    /// To read the file again.
    Reload,
}

/// The signals that have come and that nobody has heeded yet.
#[derive(Debug)]
pub(super) struct Signals {
    told: UnboundedReceiver<Told>,
    /// Whether the file is to be read again.
    reload: bool,
    /// The control socket, once it is this daemon's.
    socket: Arc<OnceLock<PathBuf>>,
}

impl Signals {
    /// Catches every signal from now on. Call it inside a runtime, before anything is made that a
    /// signal would leave behind.
    ///
    /// # Errors
    ///
    /// A handler cannot be made.
    pub(super) fn new() -> io::Result<Self> {
        let (tell, told) = unbounded_channel();
        let socket = Arc::default();
        for (number, name) in ENDING {
            let caught = signal(SignalKind::from_raw(number.as_raw()))?;
            let (tell, socket) = (tell.clone(), Arc::clone(&socket));
            tokio::spawn(end(caught, number.as_raw(), name, tell, socket));
        }
        let hangup = signal(SignalKind::hangup())?;
        tokio::spawn(reload_on(hangup, tell));
        for (number, name) in NOTED {
            let caught = signal(SignalKind::from_raw(number.as_raw()))?;
            tokio::spawn(note(caught, name.to_owned()));
        }
        for number in REAL_TIME {
            let caught = signal(SignalKind::from_raw(number))?;
            tokio::spawn(note(caught, format!("real-time signal {number}")));
        }
        Ok(Self {
            told,
            reload: false,
            socket,
        })
    }

    /// Says which socket is to be removed where there is no time for a clean end.
    pub(super) fn owns(&self, socket: &Path) {
        let _ = self.socket.set(socket.to_owned());
    }

    /// Returns the name of the next signal that ends the daemon. What others ask for is kept until
    /// [`Self::heed`].
    pub(super) async fn end(&mut self) -> &'static str {
        loop {
            match self.told.recv().await {
                Some(Told::End(name)) => return name,
                Some(Told::Reload) => self.reload = true,
                None => std::future::pending().await,
            }
        }
    }

    /// Heeds signals until one ends the daemon, and returns its name. `file` is what SIGHUP reads.
    pub(super) async fn heed(&mut self, daemon: &Arc<Daemon>, file: &Path) -> &'static str {
        let again = Notify::new();
        if self.reload {
            again.notify_one();
        }
        let listen = async {
            loop {
                match self.told.recv().await {
                    Some(Told::End(name)) => return name,
                    Some(Told::Reload) => again.notify_one(),
                    None => std::future::pending().await,
                }
            }
        };
        tokio::select! {
            name = listen => name,
            never = reload_at(&again, daemon, file) => match never {},
        }
    }
}

/// Tells of the first signal; at the second one, which somebody sends who does not want to wait, the
/// daemon ends as it stands. The kernel takes its devices away.
async fn end(
    mut caught: Signal,
    number: i32,
    name: &'static str,
    tell: UnboundedSender<Told>,
    socket: Arc<OnceLock<PathBuf>>,
) {
    static IS_ENDING: std::sync::atomic::AtomicBool = std::sync::atomic::AtomicBool::new(false);
    while caught.recv().await.is_some() {
        if !IS_ENDING.swap(true, std::sync::atomic::Ordering::Relaxed) {
            let _ = tell.send(Told::End(name));
            continue;
        }
        warn!(signal = name, "stopping at once: a second signal");
        if let Some(socket) = socket.get() {
            let _ = std::fs::remove_file(socket);
        }
        std::process::exit(number.saturating_add(128));
    }
}

async fn reload_on(mut hangup: Signal, tell: UnboundedSender<Told>) {
    while hangup.recv().await.is_some() {
        let _ = tell.send(Told::Reload);
    }
}

async fn note(mut caught: Signal, name: String) {
    while caught.recv().await.is_some() {
        info!(signal = name, "a signal without a meaning here");
    }
}

/// Reads the file whenever it is asked for, once for all who ask meanwhile.
async fn reload_at(again: &Notify, daemon: &Arc<Daemon>, file: &Path) -> Infallible {
    loop {
        again.notified().await;
        let (daemon, file) = (Arc::clone(daemon), file.to_owned());
        if let Err(error) = blocking(move || reload(&daemon, &file)).await {
            error!(%error, "reading the file again was interrupted");
        }
    }
}

/// Makes the file the running policy as `apply` does: all of it, or nothing.
fn reload(daemon: &Daemon, file: &Path) {
    let name = file.display().to_string();
    info!(file = name, "SIGHUP: reading the file again");
    let text = match read(file) {
        Ok(text) => text,
        Err(error) => {
            return error!(file = name, %error, "cannot read the file: the running policy stays");
        }
    };
    if text
        .parse::<toml::Table>()
        .is_ok_and(|table| table.is_empty())
    {
        // An editor that has emptied the file and not written it yet.
        return error!(file = name, "the file is empty: the running policy stays");
    }
    match change::apply(daemon, &name, &text, false) {
        Ok(applied) => log(&name, serde_json::from_value(applied).ok()),
        Err(fault) => {
            for line in fault.message.lines() {
                error!("{line}");
            }
            error!(file = name, "the file is refused: the running policy stays");
        }
    }
}

/// Reads a file; a pipe that was read at the start has nothing more to say, and that must not be
/// taken for an empty configuration.
fn read(file: &Path) -> io::Result<String> {
    if std::fs::metadata(file)?.is_file() {
        std::fs::read_to_string(file)
    } else {
        Err(io::Error::other(
            "not a regular file, so that it cannot be read again",
        ))
    }
}

fn log(file: &str, applied: Option<AppliedView>) {
    let Some(applied) = applied.filter(|applied| applied.changed) else {
        return info!(file, "the file changes nothing");
    };
    for change in &applied.changes {
        info!(file, "{}", change.line());
    }
    info!(file, epoch = applied.epoch, "the file is in force");
}
