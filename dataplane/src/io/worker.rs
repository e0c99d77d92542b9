//! The worker: one plain thread that owns an engine and moves frames between devices.
//!
//! It sleeps in `epoll_wait` until a device has frames, a command comes or the engine's clock must
//! tick; while packets come and go at once, it looks for the next for a moment before it sleeps
//! ([`spin`]). A ready device gives one bounded batch and then waits for its next turn: epoll is
//! level-triggered and puts a device that is still ready behind the others. A frame is read into
//! a buffer that is used for ever, rewritten there by the engine, and written from there; after
//! start a forwarded frame allocates nothing and makes no system call but read and write.
//! Frames of one flow that a batch holds anyway are written as one ([`output`]).
//!
//! **Several workers.** Each has an engine, a thread and one queue of every device. A flow has one
//! owner, which any worker can tell from a packet ([`Share::owner`]): only it decides on the flow's
//! packets, so engines share nothing on the way of a packet. A frame that another owns is handed
//! over ([`inbox`]), which takes its turn there as a device does. A worker writes to its own queue
//! of a device, and the kernel delivers what comes back to the queue that was written to: after the
//! first packet each way of a flow, both ends deliver to its owner and nothing is handed over, for
//! as long as the kernel remembers. Packets of a flow keep their order by either way; only those
//! that wait in one queue when the kernel changes over to another can be overtaken, which a
//! handshake does not let happen. How a new policy reaches all is told in [`handle`].
//!
//! Output never waits. A device that does not take a frame costs that frame, counted by
//! [`Engine::output_failed`]. A device that is gone (deleted in its namespace) is taken out of the
//! poll set and closed, with one warning; frames towards it are counted the same way.
//!
//! Between batches, and only there, commands run: a new policy, devices that come and go, queries.

mod forward;
mod handle;
mod inbox;
mod output;
mod pressure;
mod spin;
mod sweeps;

pub use handle::{WorkerGone, WorkerHandle};

use super::{IoError, Tun};
use crate::engine::{Engine, Share};
use crate::policy::PortId;
use crate::time::Now;
use forward::{BatchEnd, Buffers, forward_batch, forward_inbox, send_emitted};
use handle::{Command, Install, Member, Removed};
use inbox::{Inbox, Peers, ROOM};
use pressure::{Batch, Pressure, Pressures};
use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::io::Errno;
use spin::Spin;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use sweeps::Sweeps;

/// Devices that one call of `epoll_wait` reports.
const EVENTS: usize = 64;
/// Flows that the engine looks at before what it made of them is sent and the time is looked at.
const SLICE: usize = 64;
/// How long flows without a packet may keep packets waiting, between two rounds of batches.
const TURN: Duration = Duration::from_micros(250);
/// How often the engine's clock ticks while there are flows, and otherwise.
const TICK: Duration = Duration::from_millis(100);
const IDLE_TICK: Duration = Duration::from_millis(250);
/// The nice value of a worker's thread: a policy that is being compiled takes a whole core for a
/// while, and a packet should not wait for its turn on it.
const NICENESS: i32 = -10;

/// The mark of the wake-up descriptor among the events; ports are smaller.
const WAKE: u64 = u64::MAX;

/// The thread that owns an engine and its queues of the devices.
#[derive(Debug)]
pub struct Worker {
    engine: Engine,
    epoll: OwnedFd,
    commands: Receiver<Command>,
    inbox: Inbox,
    peers: Peers,
    devices: Devices,
    buffers: Buffers,
    /// Of the devices, and of the inbox.
    pressures: (Pressures, Pressure),
    spin: Spin,
    /// The same for all workers.
    start: Instant,
    last_tick: Now,
    sweeps: Arc<Sweeps>,
    /// The number under which the sweep under way is reported.
    round: u64,
}

impl Worker {
    /// Starts a worker's thread for each engine, with no devices yet. The engines, at least one, are
    /// all those of `share`, in the order of their numbers.
    ///
    /// # Errors
    ///
    /// [`IoError::Poll`] or [`IoError::Thread`]; nothing is left behind.
    pub fn start(engines: Vec<Engine>, share: &Share) -> Result<WorkerHandle, IoError> {
        let ends = inbox::connect(engines.len(), share).map_err(|source| IoError::Poll {
            what: "wake-up descriptor",
            source,
        })?;
        let sweeps = Arc::new(Sweeps::new(engines.len()));
        let start = Instant::now();
        let (mut workers, mut members) = (Vec::new(), Vec::new());
        for (engine, (inbox, peers)) in engines.into_iter().zip(ends) {
            let (sender, commands) = channel();
            members.push(Member {
                commands: sender,
                alarm: Arc::clone(inbox.alarm()),
                handed_over: Arc::clone(peers.handed_over()),
            });
            workers.push(Self {
                engine,
                epoll: poll_set(&inbox)?,
                commands,
                inbox,
                peers,
                devices: Devices::default(),
                buffers: Buffers::default(),
                pressures: <(Pressures, Pressure)>::default(),
                spin: Spin::default(),
                start,
                last_tick: Now::default(),
                sweeps: Arc::clone(&sweeps),
                round: 0,
            });
        }
        let handle = WorkerHandle::new(members, sweeps);
        for (number, worker) in workers.into_iter().enumerate() {
            match spawn(worker, number) {
                Ok(thread) => handle.hold(thread),
                Err(source) => {
                    // Those that run already.
                    let _ = handle.stop();
                    return Err(IoError::Thread { source });
                }
            }
        }
        Ok(handle)
    }

    fn run(&mut self) {
        let thread = rustix::thread::gettid();
        // Of the thread alone, although the call speaks of a process.
        if let Err(error) = rustix::process::setpriority_process(Some(thread), NICENESS) {
            tracing::debug!(%error, "the worker has no right to go before other threads");
        }
        let mut events = Vec::with_capacity(EVENTS);
        loop {
            if let Err(error) = self.wait(&mut events) {
                tracing::error!(%error, "the worker cannot wait for its devices and stops");
                return;
            }
            // First, because what was handed over was read before what a device has now.
            self.serve_inbox(self.pressures.1.frames());
            let mut is_woken = false;
            for &Event { flags, data, .. } in &events {
                match u16::try_from(data.u64()) {
                    Ok(port) => self.serve(PortId(port), flags),
                    Err(_) => is_woken = true,
                }
            }
            if is_woken && self.obey().is_stop() {
                return;
            }
            self.tick();
        }
    }

    /// Waits until there is something to do, and puts into `events` what the poll set has to say:
    /// looks for it for a moment where that has paid before, and sleeps then. While the engine is behind
    /// there is always something.
    fn wait(&mut self, events: &mut Vec<Event>) -> Result<(), Errno> {
        events.clear();
        if self.engine.is_behind() {
            return self.poll(events, Timespec::default());
        }
        if self.look(events)? {
            return Ok(());
        }
        let begun = Instant::now();
        let timeout = if self.inbox.may_sleep() {
            self.timeout()
        } else {
            Timespec::default()
        };
        let waited = self.poll(events, timeout);
        self.inbox.wake_up();
        if !events.is_empty() || self.inbox.has_some() {
            self.spin.woken_after(begun.elapsed());
        }
        waited
    }

    /// Looks for something to do without sleep for as long as the worker has patience; returns whether
    /// there is something.
    fn look(&mut self, events: &mut Vec<Event>) -> Result<bool, Errno> {
        let patience = self.spin.patience();
        if patience.is_zero() {
            return Ok(false);
        }
        let begun = Instant::now();
        loop {
            self.poll(events, Timespec::default())?;
            if !events.is_empty() || self.inbox.has_some() {
                self.spin.found();
                return Ok(true);
            }
            if begun.elapsed() >= patience {
                self.spin.missed();
                return Ok(false);
            }
            core::hint::spin_loop();
        }
    }

    fn poll(&self, events: &mut Vec<Event>, timeout: Timespec) -> Result<(), Errno> {
        let space = rustix::buffer::spare_capacity(events);
        match epoll::wait(&self.epoll, space, Some(&timeout)) {
            Ok(_) | Err(Errno::INTR) => Ok(()),
            Err(error) => Err(error),
        }
    }

    fn now(&self) -> Now {
        Now::default().plus(self.start.elapsed())
    }

    fn tick_interval(&self) -> Duration {
        if self.engine.flow_count() == 0 {
            IDLE_TICK
        } else {
            TICK
        }
    }

    /// Returns how long the worker may sleep.
    fn timeout(&self) -> Timespec {
        let sleep = self
            .tick_interval()
            .saturating_sub(self.now().since(self.last_tick));
        // Shorter than a second in every case, so the conversion cannot fail.
        Timespec::try_from(sleep).unwrap_or(Timespec {
            tv_sec: 0,
            tv_nsec: 0,
        })
    }

    /// Lets the engine's time pass if a tick is due or the engine is behind, for no longer than a
    /// turn: packets go first.
    fn tick(&mut self) {
        let now = self.now();
        let is_due = now.since(self.last_tick) >= self.tick_interval();
        if !is_due && !self.engine.is_behind() {
            return;
        }
        self.last_tick = now;
        loop {
            if let Some(report) = self.engine.advance(now, SLICE) {
                self.sweeps.report(self.round, report);
            }
            send_emitted(&mut self.engine, &self.devices);
            if !self.engine.is_behind() || self.now().since(now) >= TURN {
                return;
            }
        }
    }

    /// Forwards one batch of a device, or takes the device out if it is gone.
    fn serve(&mut self, port: PortId, flags: EventFlags) {
        // Events of a device that was retired in this round have no device any more.
        let Some(tun) = self.devices.get(port) else {
            return;
        };
        let error = if flags.intersects(EventFlags::ERR | EventFlags::HUP) {
            Some(Errno::BADFD)
        } else {
            let now = self.now();
            let pressure = self.pressures.0.of(port);
            self.engine.limit_openings(pressure.most());
            let end = forward_batch(
                &mut self.engine,
                &self.devices,
                &self.peers,
                &mut self.buffers,
                now,
                (port, tun),
                pressure.frames(),
            );
            let batch = batch_of(&self.engine, end == BatchEnd::Full);
            self.pressures.0.note(port, now, batch);
            end.error()
        };
        if let Some(error) = error {
            self.retire(port, error);
        }
    }

    /// Decides on frames that others read, up to `most`.
    fn serve_inbox(&mut self, most: usize) {
        if self.inbox.has_some() {
            let now = self.now();
            let (devices, peers) = (&self.devices, &self.peers);
            let pressure = &mut self.pressures.1;
            self.engine.limit_openings(pressure.most());
            let inbox = &mut self.inbox;
            let is_full = forward_inbox(&mut self.engine, devices, peers, inbox, now, most);
            pressure.note(now, batch_of(&self.engine, is_full));
        }
    }

    /// Takes a device that is gone out of the poll set, so that it cannot wake the worker for ever.
    fn retire(&mut self, port: PortId, error: Errno) {
        if let Some(tun) = self.remove(port) {
            tracing::warn!(port = port.0, device = tun.name(), %error, "device is gone");
        }
    }

    fn remove(&mut self, port: PortId) -> Option<Tun> {
        let tun = self.devices.take(port)?;
        self.pressures.0.forget(port);
        if let Err(error) = epoll::delete(&self.epoll, &tun) {
            // It was read no more already, and closing the descriptor takes it out as well.
            tracing::trace!(port = port.0, %error, "device was not in the poll set");
        }
        Some(tun)
    }

    /// Runs every command that waits.
    fn obey(&mut self) -> Obeyed {
        self.inbox.alarm().silence();
        while let Ok(command) = self.commands.try_recv() {
            match command {
                Command::Mute(ports, done) => {
                    self.mute(&ports);
                    let _ = done.send(());
                }
                Command::Install(install) => self.install(*install),
                Command::Listen(ports, done) => {
                    self.listen(&ports);
                    let _ = done.send(());
                }
                Command::Query(query) => query(&self.engine),
                Command::Devices(answer) => {
                    let _ = answer.send(self.devices.ports().collect());
                }
                Command::Stop => return Obeyed::Stop,
            }
        }
        Obeyed::GoOn
    }

    /// Reads the devices of these ports no more.
    fn mute(&self, ports: &[PortId]) {
        for tun in ports.iter().filter_map(|&port| self.devices.get(port)) {
            if let Err(error) = epoll::delete(&self.epoll, tun) {
                tracing::debug!(device = tun.name(), %error, "device was not in the poll set");
            }
        }
    }

    /// Reads the devices of these ports from now on.
    fn listen(&self, ports: &[PortId]) {
        for &port in ports {
            let Some(tun) = self.devices.get(port) else {
                continue;
            };
            let data = EventData::new_u64(u64::from(port.0));
            if let Err(error) = epoll::add(&self.epoll, tun, data, EventFlags::IN) {
                // Out of memory or over a limit of the system: the device can still be written to.
                tracing::error!(port = port.0, device = tun.name(), %error, "device is not polled");
            }
        }
    }

    fn install(&mut self, install: Install) {
        let Install {
            snapshot,
            attach,
            detach,
            round,
            done,
        } = install;
        // All that was handed over from devices that go now: the inbox holds no more, and one frame
        // may be out of it already.
        self.serve_inbox(ROOM + 1);
        // A number may pass from an old device to a new one, so the old ones go first. They are
        // closed by the caller, as the old policy is freed there: both take their time.
        let mut removed: Vec<Tun> = detach
            .iter()
            .filter_map(|&port| self.remove(port))
            .collect();
        for (port, tun) in attach {
            removed.extend(self.remove(port));
            self.devices.put(port, tun);
        }
        self.round = round;
        let before = self.engine.install(snapshot);
        let _ = done.send(Removed {
            devices: removed,
            snapshot: before,
        });
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // Nobody is to wait for a report that needs this worker's.
        self.sweeps.end();
    }
}

/// Returns what the batch was like that the engine has just had.
fn batch_of(engine: &Engine, is_full: bool) -> Batch {
    Batch {
        is_full,
        openings: engine.openings(),
    }
}

/// Returns a poll set that has the worker's alarm in it.
fn poll_set(inbox: &Inbox) -> Result<OwnedFd, IoError> {
    let epoll = epoll::create(CreateFlags::CLOEXEC).map_err(|source| IoError::Poll {
        what: "epoll instance",
        source,
    })?;
    let data = EventData::new_u64(WAKE);
    epoll::add(&epoll, inbox.alarm(), data, EventFlags::IN).map_err(|source| IoError::Poll {
        what: "wake-up descriptor",
        source,
    })?;
    Ok(epoll)
}

/// Starts the thread of the worker of this number.
fn spawn(mut worker: Worker, number: usize) -> std::io::Result<JoinHandle<()>> {
    let name = match number {
        0 => "postern-worker".to_owned(),
        // The kernel keeps 15 characters.
        number => format!("postern-work-{number}"),
    };
    let thread = std::thread::Builder::new().name(name);
    thread.spawn(move || worker.run())
}

/// Whether the worker goes on after its commands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Obeyed {
    GoOn,
    Stop,
}

impl Obeyed {
    fn is_stop(self) -> bool {
        self == Self::Stop
    }
}

/// The devices, at the index of their port.
#[derive(Debug, Default)]
struct Devices(Vec<Option<Tun>>);

impl Devices {
    fn get(&self, port: PortId) -> Option<&Tun> {
        self.0.get(usize::from(port.0))?.as_ref()
    }

    fn ports(&self) -> impl Iterator<Item = PortId> {
        (0..)
            .zip(&self.0)
            .filter_map(|(port, tun)| tun.as_ref().map(|_| PortId(port)))
    }

    fn take(&mut self, port: PortId) -> Option<Tun> {
        self.0.get_mut(usize::from(port.0))?.take()
    }

    fn put(&mut self, port: PortId, tun: Tun) {
        let at = usize::from(port.0);
        if at >= self.0.len() {
            self.0.resize_with(at + 1, || None);
        }
        if let Some(slot) = self.0.get_mut(at) {
            *slot = Some(tun);
        }
    }
}

#[cfg(test)]
mod tests;
