//! Hand-over: frames that one worker read and another owns.
//!
//! A frame is copied into the owner's inbox, a bounded channel of the standard library. Sending to
//! one that has room, or is full, takes no lock: it is a ring of slots that are claimed by
//! compare-and-swap, and its one lock wakes a receiver that blocks, which a worker never does. What
//! does not fit is dropped and counted. A port may have as much of the room as it leaves to the others, so that
//! what one floods with does not keep out what comes by another. The ring is first in, first out, so the frames that a
//! worker hands to another stay in the order in which it read them. Buffers go back to the sender,
//! so that a flow that is handed over for ever, as one that nobody answers is, allocates nothing.
//!
//! # No wake-up is lost
//!
//! An owner that is awake looks at its inbox by itself, and only one that sleeps is woken by its
//! descriptor. The sender (1) puts the frame into the inbox, then (2) looks whether the alarm is
//! set; the owner (3) sets its alarm, then (4) looks into the inbox once more, and sleeps only if it
//! is empty. Between the two steps of each stands a sequentially consistent fence, and all such
//! fences have one order. If the sender's is the earlier one, (4) sees the frame that (1) put there,
//! and the owner does not sleep. If the owner's is, (2) sees what (3) set, and the sender writes to
//! the descriptor: the owner's `epoll_wait` returns, whether it had begun by then or not, as the
//! descriptor stays readable until it is read. Of several senders only the first that sees the
//! alarm writes: it takes the alarm away, and the frames of the others are in the inbox when the
//! owner, awake, looks at it. An alarm that is seen too late costs a wake-up for nothing.

use crate::engine::{Engine, Share};
use crate::policy::PortId;
use crate::time::Now;
use crate::wire::VnetHdr;
use rustix::event::{EventfdFlags, eventfd};
use rustix::io::Errno;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering, fence};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

/// Frames of one port that may wait at a worker: as many as the kernel lets wait in one queue of a device.
/// Of several ports that fill it each has less.
pub(super) const CAPACITY: usize = 512;
/// Frames of all ports that may wait at a worker.
pub(super) const ROOM: usize = 2 * CAPACITY;
/// Numbers that the frames of all ports are counted by; ports with one number share its part.
const PARTS: usize = 64;
/// Buffers that may wait to be used again, and how long one may be: a super-frame is worth an
/// allocation, and not worth holding on to.
const SPARES: usize = 64;
const SPARE_BYTES: usize = 4096;

/// A frame on its way to its owner.
#[derive(Debug)]
pub(super) struct Parcel {
    /// The port that it came by.
    pub(super) port: PortId,
    /// Its header.
    pub(super) vnet: VnetHdr,
    /// The bytes as they stood in the buffer that the frame was read to.
    pub(super) bytes: Vec<u8>,
    from: usize,
}

/// What wakes a worker.
#[derive(Debug)]
pub(super) struct Alarm {
    descriptor: OwnedFd,
    is_set: AtomicBool,
}

impl Alarm {
    fn new() -> Result<Self, Errno> {
        Ok(Self {
            descriptor: eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?,
            is_set: AtomicBool::new(false),
        })
    }

    /// Wakes the worker, or keeps it from going to sleep.
    pub(super) fn ring(&self) {
        // Fails only if the counter is full, and then the worker is awake anyway.
        let _ = rustix::io::write(&self.descriptor, &1u64.to_ne_bytes());
    }

    /// Takes the wake-ups so far as seen.
    pub(super) fn silence(&self) {
        // Nothing to read means that an earlier round saw them already.
        let _ = rustix::io::read(&self.descriptor, &mut [0; 8]);
    }

    /// Says that the worker goes to sleep unless what it looks at from now on keeps it awake.
    fn set(&self) {
        self.is_set.store(true, Ordering::Relaxed);
        fence(Ordering::SeqCst);
    }

    fn clear(&self) {
        self.is_set.store(false, Ordering::Relaxed);
    }

    /// Wakes the worker if it sleeps, after something was put where it looks.
    fn ring_if_set(&self) {
        fence(Ordering::SeqCst);
        if self.is_set.load(Ordering::Relaxed) && self.is_set.swap(false, Ordering::Relaxed) {
            self.ring();
        }
    }
}

impl AsFd for Alarm {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
    }
}

/// How many frames wait in an inbox, by port. Two senders at once may each take the last place of a
/// part: the channel itself has the last word.
#[derive(Debug)]
struct Waiting {
    parts: [AtomicUsize; PARTS],
    all: AtomicUsize,
}

impl Waiting {
    fn new() -> Self {
        Self {
            parts: [const { AtomicUsize::new(0) }; PARTS],
            all: AtomicUsize::new(0),
        }
    }

    fn part(&self, port: PortId) -> Option<&AtomicUsize> {
        self.parts.get(usize::from(port.0) % PARTS)
    }

    /// Takes a place for a frame of this port, if the port has fewer than it leaves to the others.
    fn take(&self, port: PortId) -> bool {
        let Some(part) = self.part(port) else {
            return false;
        };
        let left = ROOM.saturating_sub(self.all.load(Ordering::Relaxed));
        if part.load(Ordering::Relaxed) >= left {
            return false;
        }
        part.fetch_add(1, Ordering::Relaxed);
        self.all.fetch_add(1, Ordering::Relaxed);
        true
    }

    /// Gives back a place that was taken.
    fn give_back(&self, port: PortId) {
        if let Some(part) = self.part(port) {
            part.fetch_sub(1, Ordering::Relaxed);
        }
        self.all.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Where the frames arrive that others read and this worker owns.
#[derive(Debug)]
pub(super) struct Inbox {
    parcels: Receiver<Parcel>,
    /// Taken out to see whether there is one.
    next: Option<Parcel>,
    waiting: Arc<Waiting>,
    alarm: Arc<Alarm>,
    /// Whether anybody else is there to put something in.
    has_senders: bool,
}

impl Inbox {
    /// Returns what wakes the worker.
    pub(super) fn alarm(&self) -> &Arc<Alarm> {
        &self.alarm
    }

    /// Returns whether a frame waits.
    pub(super) fn has_some(&mut self) -> bool {
        if self.next.is_none() && self.has_senders {
            self.next = self.parcels.try_recv().ok();
        }
        self.next.is_some()
    }

    /// Takes the next frame.
    pub(super) fn take(&mut self) -> Option<Parcel> {
        self.has_some();
        let parcel = self.next.take()?;
        self.waiting.give_back(parcel.port);
        Some(parcel)
    }

    /// Says that the worker is about to sleep, and returns whether it may: from now on, whoever
    /// puts a frame in wakes it.
    pub(super) fn may_sleep(&mut self) -> bool {
        if !self.has_senders {
            return true;
        }
        self.alarm.set();
        !self.has_some()
    }

    /// Says that the worker is awake.
    pub(super) fn wake_up(&self) {
        if self.has_senders {
            self.alarm.clear();
        }
    }
}

/// The way to one worker.
#[derive(Clone, Debug)]
struct Peer {
    parcels: SyncSender<Parcel>,
    waiting: Arc<Waiting>,
    /// Where its buffers go back to.
    spares: SyncSender<Vec<u8>>,
    alarm: Arc<Alarm>,
}

/// The workers as one of them sees them, and who of them owns a frame.
#[derive(Debug)]
pub(super) struct Peers {
    me: usize,
    share: Share,
    all: Vec<Peer>,
    spares: Receiver<Vec<u8>>,
    handed_over: Arc<AtomicU64>,
}

/// Returns for each of so many workers its inbox and its way to all.
pub(super) fn connect(workers: usize, share: &Share) -> Result<Vec<(Inbox, Peers)>, Errno> {
    let (mut all, mut ends) = (Vec::new(), Vec::new());
    for _ in 0..workers {
        let alarm = Arc::new(Alarm::new()?);
        let (parcels, inbox) = sync_channel(ROOM);
        let waiting = Arc::new(Waiting::new());
        let (spares, returned) = sync_channel(SPARES);
        ends.push((inbox, returned, Arc::clone(&waiting), Arc::clone(&alarm)));
        all.push(Peer {
            parcels,
            waiting,
            spares,
            alarm,
        });
    }
    let with_peers = ends.into_iter().enumerate();
    let with_peers = with_peers.map(|(me, (parcels, spares, waiting, alarm))| {
        let inbox = Inbox {
            parcels,
            next: None,
            waiting,
            alarm,
            has_senders: workers > 1,
        };
        let peers = Peers {
            me,
            share: share.clone(),
            all: all.clone(),
            spares,
            handed_over: Arc::default(),
        };
        (inbox, peers)
    });
    Ok(with_peers.collect())
}

impl Peers {
    /// Returns the count of the frames that this worker handed over.
    pub(super) fn handed_over(&self) -> &Arc<AtomicU64> {
        &self.handed_over
    }

    /// Returns the worker that owns a frame that this worker read, if it is another.
    #[inline]
    pub(super) fn owner(&self, now: Now, port: PortId, packet: &[u8]) -> Option<usize> {
        if self.all.len() < 2 {
            return None;
        }
        let owner = self.share.owner(now, port, packet, self.me);
        (owner != self.me).then_some(owner)
    }

    /// Hands the frame in `bytes`, whose packet is `len` bytes long, to its owner, or counts it as
    /// dropped.
    pub(super) fn hand_over(
        &self,
        engine: &mut Engine,
        owner: usize,
        port: PortId,
        vnet: VnetHdr,
        (bytes, len): (&[u8], usize),
    ) {
        let peer = self.all.get(owner);
        let Some(peer) = peer.filter(|peer| peer.waiting.take(port)) else {
            return engine.not_handed_over(port, len);
        };
        let mut copy = self.spares.try_recv().unwrap_or_default();
        copy.clear();
        copy.extend_from_slice(bytes);
        let parcel = Parcel {
            port,
            vnet,
            bytes: copy,
            from: self.me,
        };
        if peer.parcels.try_send(parcel).is_ok() {
            self.handed_over.fetch_add(1, Ordering::Relaxed);
            peer.alarm.ring_if_set();
        } else {
            peer.waiting.give_back(port);
            engine.not_handed_over(port, len);
        }
    }

    /// Gives the buffer of a frame that is done with back to the worker that it came from.
    pub(super) fn give_back(&self, parcel: Parcel) {
        let Parcel { bytes, from, .. } = parcel;
        if bytes.capacity() <= SPARE_BYTES
            && let Some(peer) = self.all.get(from)
        {
            // It has enough of them if there is no room.
            let _ = peer.spares.try_send(bytes);
        }
    }
}

#[cfg(test)]
mod shuffle;
#[cfg(test)]
mod tests;
