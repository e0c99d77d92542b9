//! How other threads speak to the worker: messages, and a descriptor that wakes it.

use super::super::Tun;
use crate::engine::{Engine, SweepReport};
use crate::policy::{PortId, Snapshot};
use std::os::fd::OwnedFd;
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

/// What a worker is told.
pub(super) enum Command {
    /// Take a new policy.
    Install(Box<Install>),
    /// Look at the engine.
    Query(Box<dyn FnOnce(&Engine) + Send>),
    /// Say which ports have a device.
    Devices(SyncSender<Vec<PortId>>),
    /// End.
    Stop,
}

/// A new policy and the devices that come and go with it.
pub(super) struct Install {
    pub(super) snapshot: Arc<Snapshot>,
    pub(super) attach: Vec<(PortId, Tun)>,
    pub(super) detach: Vec<PortId>,
    pub(super) report: Sender<SweepReport>,
    pub(super) done: SyncSender<Removed>,
}

/// What a new policy took the place of, for the caller to drop: the worker has packets to move.
pub(super) struct Removed {
    #[expect(dead_code, reason = "held to be dropped")]
    pub(super) devices: Vec<Tun>,
    #[expect(dead_code, reason = "held to be dropped")]
    pub(super) snapshot: Arc<Snapshot>,
}

/// The worker has ended and answers no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the packet worker has ended")]
pub struct WorkerGone;

/// A line to the worker, for any thread. When the last one is dropped, the worker ends and its
/// devices vanish.
#[derive(Clone, Debug)]
pub struct WorkerHandle {
    line: Arc<Line>,
}

#[derive(Debug)]
struct Line {
    commands: Sender<Command>,
    wake: Arc<OwnedFd>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl WorkerHandle {
    pub(super) fn new(
        commands: Sender<Command>,
        wake: Arc<OwnedFd>,
        thread: JoinHandle<()>,
    ) -> Self {
        Self {
            line: Arc::new(Line {
                commands,
                wake,
                thread: Mutex::new(Some(thread)),
            }),
        }
    }

    /// Puts a new policy in force, between two batches, and returns once that is done.
    ///
    /// Devices in `detach` are taken out and closed, then those in `attach` are put in; a port that
    /// has a device already gets the new one in its place. The receiver gets the report of the
    /// sweep. If a newer policy is installed before the sweep is over, it is the newer sweep's
    /// report that all who wait get, told apart by its epoch. It gets nothing, and is disconnected,
    /// if the worker ends before.
    ///
    /// # Errors
    ///
    /// [`WorkerGone`] if the worker has ended; the devices in `attach` are closed then.
    pub fn install(
        &self,
        snapshot: Arc<Snapshot>,
        attach: Vec<(PortId, Tun)>,
        detach: Vec<PortId>,
    ) -> Result<Receiver<SweepReport>, WorkerGone> {
        let (report, receiver) = channel();
        let (done, removed) = sync_channel(1);
        let install = Install {
            snapshot,
            attach,
            detach,
            report,
            done,
        };
        self.line.tell(Command::Install(Box::new(install)))?;
        drop(removed.recv().map_err(|_| WorkerGone)?);
        Ok(receiver)
    }

    /// Lets `look` see the engine, between two batches, and returns its answer. No packet moves in
    /// the meantime: copy what is needed and format it elsewhere.
    ///
    /// # Errors
    ///
    /// [`WorkerGone`] if the worker has ended.
    pub fn query<R: Send + 'static>(
        &self,
        look: impl FnOnce(&Engine) -> R + Send + 'static,
    ) -> Result<R, WorkerGone> {
        let (answer, receiver) = sync_channel(1);
        let query = move |engine: &Engine| {
            let _ = answer.send(look(engine));
        };
        self.line.tell(Command::Query(Box::new(query)))?;
        receiver.recv().map_err(|_| WorkerGone)
    }

    /// Returns the ports that have a device: one that was deleted in its namespace has none any more.
    ///
    /// # Errors
    ///
    /// [`WorkerGone`] if the worker has ended.
    pub fn devices(&self) -> Result<Vec<PortId>, WorkerGone> {
        let (answer, receiver) = sync_channel(1);
        self.line.tell(Command::Devices(answer))?;
        receiver.recv().map_err(|_| WorkerGone)
    }

    /// Ends the worker and waits until it is gone and all its devices with it.
    ///
    /// # Errors
    ///
    /// [`WorkerGone`] if it had ended by itself before.
    pub fn stop(self) -> Result<(), WorkerGone> {
        let told = self.line.tell(Command::Stop);
        let thread = self
            .line
            .thread
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(thread) = thread {
            thread.join().map_err(|_| WorkerGone)?;
        }
        told
    }
}

impl Line {
    fn tell(&self, command: Command) -> Result<(), WorkerGone> {
        self.commands.send(command).map_err(|_| WorkerGone)?;
        // Fails only if the counter is full, and then the worker is awake anyway.
        let _ = rustix::io::write(&*self.wake, &1u64.to_ne_bytes());
        Ok(())
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        // Not joined: the last handle may be dropped on the worker's own thread, by a query.
        let _ = self.tell(Command::Stop);
    }
}
