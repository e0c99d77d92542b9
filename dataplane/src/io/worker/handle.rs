//! How other threads speak to the workers: messages to each, and what wakes it.
//!
//! # A new policy reaches all workers without a half state
//!
//! Workers take a new policy one by one while packets go on. A flow has one owner, and only the
//! owner decides on its packets, so that each flow passes from the old policy to the new one at
//! once, whoever reads its packets. Devices need more care, since a frame that one worker reads is
//! decided on by another: no frame of a new device may reach a worker that does not know its port
//! yet, and none of an old device one that knows the port's number as another's. Hence three steps,
//! each over at every worker before the next begins anywhere:
//!
//! 1. Devices that go, or whose place another takes, are read no more. They still take frames.
//! 2. Each worker decides on what it was handed until then, takes out and puts in the devices, and
//!    takes the policy. What was read from a device that goes is in the inboxes by then, so it is
//!    decided on by the old policy. The new devices take frames and are not read yet; what their
//!    namespaces send meanwhile waits in the kernel.
//! 3. The new devices are read: every worker knows their ports.
//!
//! A lock keeps the steps of two callers apart, so all workers see the policies in the same order.

use super::super::Tun;
use super::inbox::Alarm;
use super::sweeps::Sweeps;
use crate::engine::{Engine, SweepReport};
use crate::policy::{PortId, Snapshot};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

/// What a worker is told.
pub(super) enum Command {
    /// Read the devices of these ports no more.
    Mute(Arc<[PortId]>, SyncSender<()>),
    /// Take a new policy.
    Install(Box<Install>),
    /// Read the devices of these ports from now on.
    Listen(Arc<[PortId]>, SyncSender<()>),
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
    /// The worker's queue of each device.
    pub(super) attach: Vec<(PortId, Tun)>,
    pub(super) detach: Arc<[PortId]>,
    /// The number under which the sweep is reported.
    pub(super) round: u64,
    pub(super) done: SyncSender<Removed>,
}

/// What a new policy took the place of, for the caller to drop: the worker has packets to move.
pub(super) struct Removed {
    #[expect(dead_code, reason = "held to be dropped")]
    pub(super) devices: Vec<Tun>,
    #[expect(dead_code, reason = "held to be dropped")]
    pub(super) snapshot: Arc<Snapshot>,
}

/// A worker has ended and answers no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the packet worker has ended")]
pub struct WorkerGone;

/// A line to the workers, for any thread. When the last one is dropped, they end and their devices
/// vanish.
#[derive(Clone, Debug)]
pub struct WorkerHandle {
    line: Arc<Line>,
}

#[derive(Debug)]
struct Line {
    members: Vec<Member>,
    sweeps: Arc<Sweeps>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    /// Held while a policy passes to all workers.
    installing: Mutex<()>,
}

/// A line to one worker.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) commands: Sender<Command>,
    pub(super) alarm: Arc<Alarm>,
    pub(super) handed_over: Arc<AtomicU64>,
}

impl WorkerHandle {
    pub(super) fn new(members: Vec<Member>, sweeps: Arc<Sweeps>) -> Self {
        Self {
            line: Arc::new(Line {
                members,
                sweeps,
                threads: Mutex::default(),
                installing: Mutex::default(),
            }),
        }
    }

    /// Takes the thread of a worker, to wait for it at the end.
    pub(super) fn hold(&self, thread: JoinHandle<()>) {
        let threads = &self.line.threads;
        let mut threads = threads.lock().unwrap_or_else(PoisonError::into_inner);
        threads.push(thread);
    }

    /// Returns how many workers there are: a device needs a queue for each.
    #[must_use]
    pub fn workers(&self) -> usize {
        self.line.members.len()
    }

    /// Returns how many frames each worker read and handed to the one that owns their flow.
    #[must_use]
    pub fn handed_over(&self) -> Vec<u64> {
        let members = self.line.members.iter();
        let counts = members.map(|member| member.handed_over.load(Ordering::Relaxed));
        counts.collect()
    }

    /// Puts a new policy in force at every worker, between two batches, and returns once that is
    /// done.
    ///
    /// Devices in `detach` are taken out and closed, then those in `attach` are put in, which must
    /// have a queue for each worker; a port that has a device already gets the new one in its place.
    /// The receiver gets one report of the sweep, when all workers are done with it. If a newer
    /// policy is installed before the sweep is over, it is the newer sweep's
    /// report that all who wait get, told apart by its epoch. It gets nothing, and is disconnected,
    /// if a worker ends before.
    ///
    /// # Errors
    ///
    /// [`WorkerGone`] if a worker has ended; the devices in `attach` are closed then.
    pub fn install(
        &self,
        snapshot: Arc<Snapshot>,
        attach: Vec<(PortId, Tun)>,
        detach: Vec<PortId>,
    ) -> Result<Receiver<SweepReport>, WorkerGone> {
        let line = &self.line;
        let _one_at_a_time = line
            .installing
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let new: Arc<[PortId]> = attach.iter().map(|&(port, _)| port).collect();
        let old: Arc<[PortId]> = detach.iter().chain(&*new).copied().collect();
        let detach: Arc<[PortId]> = detach.into();
        let mut queues = line.queues(attach).into_iter();
        let (report, receiver) = channel();
        if !old.is_empty() {
            line.ask_all(|done| Command::Mute(Arc::clone(&old), done))?;
        }
        let round = line.sweeps.begin(snapshot.epoch, report);
        let removed = line.ask_all(|done| {
            Command::Install(Box::new(Install {
                snapshot: Arc::clone(&snapshot),
                attach: queues.next().unwrap_or_default(),
                detach: Arc::clone(&detach),
                round,
                done,
            }))
        })?;
        drop(removed);
        if !new.is_empty() {
            line.ask_all(|done| Command::Listen(Arc::clone(&new), done))?;
        }
        Ok(receiver)
    }

    /// Lets `look` see each engine, between two batches, and returns the answers in the order of the
    /// workers. No packet of that worker moves in the meantime: copy what is needed and format it
    /// elsewhere. The engines are not looked at at the same moment.
    ///
    /// # Errors
    ///
    /// [`WorkerGone`] if a worker has ended.
    pub fn query<R: Send + 'static>(
        &self,
        look: impl Fn(&Engine) -> R + Send + Sync + 'static,
    ) -> Result<Vec<R>, WorkerGone> {
        let look = Arc::new(look);
        self.line.ask_all(|answer| {
            let look = Arc::clone(&look);
            Command::Query(Box::new(move |engine: &Engine| {
                let _ = answer.send(look(engine));
            }))
        })
    }

    /// Returns the ports that have a device: one that was deleted in its namespace has none any more.
    ///
    /// # Errors
    ///
    /// [`WorkerGone`] if a worker has ended.
    pub fn devices(&self) -> Result<Vec<PortId>, WorkerGone> {
        let seen = self.line.ask_all(Command::Devices)?;
        let mut ports = seen.first().cloned().unwrap_or_default();
        // A device dies as a whole: a worker that still has it has not looked yet.
        ports.retain(|port| seen.iter().all(|ports| ports.contains(port)));
        Ok(ports)
    }

    /// Ends the workers and waits until they are gone and all their devices with them.
    ///
    /// # Errors
    ///
    /// [`WorkerGone`] if one had ended by itself before.
    pub fn stop(self) -> Result<(), WorkerGone> {
        let told = self.line.stop();
        let threads = &self.line.threads;
        let mut threads = threads.lock().unwrap_or_else(PoisonError::into_inner);
        let joined: Vec<_> = threads.drain(..).map(JoinHandle::join).collect();
        if joined.iter().any(Result::is_err) {
            return Err(WorkerGone);
        }
        told
    }
}

impl Line {
    /// Returns for each worker its queue of every device.
    fn queues(&self, devices: Vec<(PortId, Tun)>) -> Vec<Vec<(PortId, Tun)>> {
        let mut all: Vec<Vec<_>> = self.members.iter().map(|_| Vec::new()).collect();
        for (port, tun) in devices {
            let queues = tun.split();
            debug_assert_eq!(
                queues.len(),
                all.len(),
                "a device needs a queue for each worker"
            );
            for (worker, queue) in all.iter_mut().zip(queues) {
                worker.push((port, queue));
            }
        }
        all
    }

    /// Tells every worker something, and returns what each answers once all have answered.
    fn ask_all<R>(
        &self,
        mut command: impl FnMut(SyncSender<R>) -> Command,
    ) -> Result<Vec<R>, WorkerGone> {
        let ask = |member: &Member| {
            let (answer, receiver) = sync_channel(1);
            member.tell(command(answer))?;
            Ok(receiver)
        };
        let asked: Vec<_> = self.members.iter().map(ask).collect::<Result<_, _>>()?;
        let answers = asked
            .iter()
            .map(|answer| answer.recv().map_err(|_| WorkerGone));
        answers.collect()
    }

    /// Tells every worker to end, also if one has ended already.
    fn stop(&self) -> Result<(), WorkerGone> {
        let told = self.members.iter().map(|member| member.tell(Command::Stop));
        told.fold(Ok(()), Result::and)
    }
}

impl Member {
    fn tell(&self, command: Command) -> Result<(), WorkerGone> {
        self.commands.send(command).map_err(|_| WorkerGone)?;
        self.alarm.ring();
        Ok(())
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        // Not joined: the last handle may be dropped on a worker's own thread, by a query.
        let _ = self.stop();
    }
}
