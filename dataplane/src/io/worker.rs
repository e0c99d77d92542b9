//! The worker: one plain thread that owns the engine and moves frames between devices.
//!
//! It sleeps in `epoll_wait` until a device has frames, a command comes or the engine's clock must
//! tick. A ready device gives one bounded batch and then waits for its next turn: epoll is
//! level-triggered and puts a device that is still ready behind the others. A frame is read into
//! a buffer that is used for ever, rewritten there by the engine, and written from there; after
//! start a forwarded frame allocates nothing and makes no system call but read and write.
//!
//! Output never waits. A device that does not take a frame costs that frame, counted by
//! [`Engine::output_failed`]. A device that is gone (deleted in its namespace) is taken out of the
//! poll set and closed, with one warning; frames towards it are counted the same way.
//!
//! Between batches, and only there, commands run: a new policy, devices that come and go, queries.

mod forward;
mod handle;

pub use handle::{WorkerGone, WorkerHandle};

use super::{IoError, Tun};
use crate::engine::{Engine, SweepReport};
use crate::policy::PortId;
use crate::time::Now;
use forward::{Buffers, forward_batch, send_emitted};
use handle::{Command, Install, Removed};
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::event::{EventfdFlags, Timespec, eventfd};
use rustix::io::Errno;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

/// Devices that one call of `epoll_wait` reports.
const EVENTS: usize = 64;
/// Flows that the engine looks at before what it made of them is sent and the time is looked at.
const SLICE: usize = 64;
/// How long flows without a packet may keep packets waiting, between two rounds of batches.
const TURN: Duration = Duration::from_micros(250);
/// How often the engine's clock ticks while there are flows, and otherwise.
const TICK: Duration = Duration::from_millis(100);
const IDLE_TICK: Duration = Duration::from_millis(250);
/// The nice value of the worker's thread: a policy that is being compiled takes a whole core for a
/// while, and a packet should not wait for its turn on it.
const NICENESS: i32 = -10;

/// The mark of the wake-up descriptor among the events; ports are smaller.
const WAKE: u64 = u64::MAX;

/// The thread that owns an engine and its devices.
#[derive(Debug)]
pub struct Worker {
    engine: Engine,
    epoll: OwnedFd,
    wake: Arc<OwnedFd>,
    commands: Receiver<Command>,
    devices: Devices,
    buffers: Buffers,
    start: Instant,
    last_tick: Now,
    /// Who waits for the report of the sweep under way.
    reports: Vec<Sender<SweepReport>>,
}

impl Worker {
    /// Starts the worker's thread, with no devices yet.
    ///
    /// # Errors
    ///
    /// [`IoError::Poll`] or [`IoError::Thread`]; nothing is left behind.
    pub fn start(engine: Engine) -> Result<WorkerHandle, IoError> {
        let epoll = epoll::create(CreateFlags::CLOEXEC).map_err(|source| IoError::Poll {
            what: "epoll instance",
            source,
        })?;
        let flags = EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK;
        let wake = eventfd(0, flags)
            .and_then(|wake| {
                epoll::add(&epoll, &wake, EventData::new_u64(WAKE), EventFlags::IN)?;
                Ok(Arc::new(wake))
            })
            .map_err(|source| IoError::Poll {
                what: "wake-up descriptor",
                source,
            })?;
        let (sender, commands) = channel();
        let mut worker = Self {
            engine,
            epoll,
            wake: Arc::clone(&wake),
            commands,
            devices: Devices::default(),
            buffers: Buffers::default(),
            start: Instant::now(),
            last_tick: Now::default(),
            reports: Vec::new(),
        };
        let thread = std::thread::Builder::new()
            .name("postern-worker".to_owned())
            .spawn(move || worker.run())
            .map_err(|source| IoError::Thread { source })?;
        Ok(WorkerHandle::new(sender, wake, thread))
    }

    fn run(&mut self) {
        let thread = rustix::thread::gettid();
        // Of the thread alone, although the call speaks of a process.
        if let Err(error) = rustix::process::setpriority_process(Some(thread), NICENESS) {
            tracing::debug!(%error, "the worker has no right to go before other threads");
        }
        let mut events = Vec::with_capacity(EVENTS);
        loop {
            events.clear();
            let timeout = self.timeout();
            match epoll::wait(
                &self.epoll,
                rustix::buffer::spare_capacity(&mut events),
                Some(&timeout),
            ) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => {
                    tracing::error!(%error, "the worker cannot wait for its devices and stops");
                    return;
                }
            }
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

    /// Returns how long the worker may sleep: not at all while the engine is behind.
    fn timeout(&self) -> Timespec {
        let sleep = if self.engine.is_behind() {
            Duration::ZERO
        } else {
            self.tick_interval()
                .saturating_sub(self.now().since(self.last_tick))
        };
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
                for receiver in self.reports.drain(..) {
                    // Whoever asked may have lost interest.
                    let _ = receiver.send(report);
                }
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
            forward_batch(
                &mut self.engine,
                &self.devices,
                &mut self.buffers,
                now,
                port,
                tun,
            )
        };
        if let Some(error) = error {
            self.retire(port, error);
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
        if let Err(error) = epoll::delete(&self.epoll, &tun) {
            // Closing the descriptor takes it out as well.
            tracing::debug!(port = port.0, %error, "device was not in the poll set");
        }
        Some(tun)
    }

    /// Runs every command that waits.
    fn obey(&mut self) -> Obeyed {
        let mut counter = [0; 8];
        // Nothing to read means that an earlier round saw this wake-up already.
        let _ = rustix::io::read(&*self.wake, &mut counter);
        while let Ok(command) = self.commands.try_recv() {
            match command {
                Command::Install(install) => self.install(*install),
                Command::Query(query) => query(&self.engine),
                Command::Devices(answer) => {
                    let _ = answer.send(self.devices.ports().collect());
                }
                Command::Stop => return Obeyed::Stop,
            }
        }
        Obeyed::GoOn
    }

    fn install(&mut self, install: Install) {
        let Install {
            snapshot,
            attach,
            detach,
            report,
            done,
        } = install;
        // A number may pass from an old device to a new one, so the old ones go first. They are
        // closed by the caller, as the old policy is freed there: both take their time.
        let mut removed: Vec<Tun> = detach
            .into_iter()
            .filter_map(|port| self.remove(port))
            .collect();
        for (port, tun) in attach {
            removed.extend(self.remove(port));
            let data = EventData::new_u64(u64::from(port.0));
            if let Err(error) = epoll::add(&self.epoll, &tun, data, EventFlags::IN) {
                // Out of memory or over a limit of the system: the device can still be written to.
                tracing::error!(port = port.0, device = tun.name(), %error, "device is not polled");
            }
            self.devices.put(port, tun);
        }
        self.reports.push(report);
        let before = self.engine.install(snapshot);
        let _ = done.send(Removed {
            devices: removed,
            snapshot: before,
        });
    }
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
