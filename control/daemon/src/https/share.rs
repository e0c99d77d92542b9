//! What all requests share, and how much of it one principal has at a time.

use postern_arm::error::ArmError;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

/// Memory for bodies, in KiB.
const BODIES: usize = 64 * 1024;
/// That for one principal: four of the longest.
const BODIES_OF_ONE: usize = 16 * 1024;
/// Memory for answers that one principal has not read yet, in KiB; a longer one waits until it is alone.
const ANSWERS_OF_ONE: u32 = 32 * 1024;
/// Requests that read, at work.
const READS: usize = 8;
/// Those of one principal.
const READS_OF_ONE: usize = 4;
/// Requests that write, at work: they wait for each other anyway, and shall not keep readers out.
const WRITES: usize = 2;
/// Those of one principal.
const WRITES_OF_ONE: usize = 1;
/// How long a body waits for room.
const PATIENCE: Duration = Duration::from_secs(5);
/// How many wrong secrets a second are tried from one place for one application, once there were too many.
const GUESSES: u64 = 50;

/// A part of what there is.
#[derive(Debug)]
struct Share {
    bodies: Arc<Semaphore>,
    answers: Arc<Semaphore>,
    reads: Arc<Semaphore>,
    writes: Arc<Semaphore>,
}

impl Share {
    fn new(bodies: usize, reads: usize, writes: usize) -> Self {
        let semaphore = |count| Arc::new(Semaphore::new(count));
        Self {
            bodies: semaphore(bodies),
            answers: semaphore(ANSWERS_OF_ONE as usize),
            reads: semaphore(reads),
            writes: semaphore(writes),
        }
    }
}

/// What all connections share.
#[derive(Debug)]
pub(super) struct Shares {
    all: Share,
    by_who: Mutex<HashMap<String, Arc<Share>>>,
    lines: Mutex<HashMap<String, Arc<tokio::sync::Mutex<()>>>>,
}

/// The share of one principal; those who need no token have one together.
#[derive(Clone, Debug)]
pub(super) struct Own {
    shares: Arc<Shares>,
    own: Arc<Share>,
}

/// Room that a body takes, which grows with it.
#[derive(Debug, Default)]
pub(super) struct Room {
    kib: usize,
    held: Vec<OwnedSemaphorePermit>,
}

/// A turn to be handled.
#[derive(Debug)]
pub(super) struct Turn {
    _held: [OwnedSemaphorePermit; 2],
}

impl Default for Shares {
    fn default() -> Self {
        Self {
            all: Share::new(BODIES, READS, WRITES),
            by_who: Mutex::default(),
            lines: Mutex::default(),
        }
    }
}

impl Shares {
    /// Returns the share of a principal.
    pub(super) fn of(self: &Arc<Self>, who: Option<&str>) -> Own {
        let mut all = self.by_who.lock().unwrap_or_else(PoisonError::into_inner);
        // Those of who is gone; there are as many as principals at most.
        all.retain(|_, share| Arc::strong_count(share) > 1);
        let who = who.unwrap_or_default().to_owned();
        let own = all
            .entry(who)
            .or_insert_with(|| Arc::new(Share::new(BODIES_OF_ONE, READS_OF_ONE, WRITES_OF_ONE)));
        Own {
            own: Arc::clone(own),
            shares: Arc::clone(self),
        }
    }

    /// Waits in a line, which goes on at a bounded rate.
    pub(super) async fn stand(&self, line: String) {
        let own = {
            let mut all = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
            all.retain(|_, line| Arc::strong_count(line) > 1);
            Arc::clone(all.entry(line).or_default())
        };
        // Whoever came first goes first.
        let _turn = own.lock().await;
        tokio::time::sleep(Duration::from_millis(1_000 / GUESSES)).await;
    }
}

impl Own {
    /// Makes room for a body that is so many bytes long by now.
    ///
    /// # Errors
    ///
    /// There is none for some time.
    pub(super) async fn make_room(&self, room: &mut Room, bytes: u64) -> Result<(), ArmError> {
        let wanted = usize::try_from(bytes.div_ceil(1024)).unwrap_or(usize::MAX);
        let more = wanted.saturating_sub(room.kib);
        let Ok(permits) = u32::try_from(more) else {
            return Err(busy());
        };
        if permits == 0 {
            return Ok(());
        }
        for from in [&self.own.bodies, &self.shares.all.bodies] {
            let permit = timeout(PATIENCE, Arc::clone(from).acquire_many_owned(permits)).await;
            let permit = permit.map_err(|_| busy())?;
            room.held.push(permit.map_err(|_| busy())?);
        }
        room.kib = wanted;
        Ok(())
    }

    /// Makes room for an answer, which holds it until it is read.
    ///
    /// # Errors
    ///
    /// There is none for some time: the client does not read what it has.
    pub(super) async fn room_for_answer(
        &self,
        bytes: usize,
    ) -> Result<OwnedSemaphorePermit, ArmError> {
        let wanted = u32::try_from(bytes.div_ceil(1024)).unwrap_or(u32::MAX);
        let wanted = wanted.min(ANSWERS_OF_ONE);
        let permit = Arc::clone(&self.own.answers).acquire_many_owned(wanted);
        let permit = timeout(PATIENCE, permit).await.map_err(|_| busy())?;
        permit.map_err(|_| busy())
    }

    /// Waits for a turn to be handled: behind one's own requests, and then behind those of others.
    pub(super) async fn turn(&self, writes: bool) -> Option<Turn> {
        let of = |share: &Share| match writes {
            true => Arc::clone(&share.writes),
            false => Arc::clone(&share.reads),
        };
        let own = of(&self.own).acquire_owned().await.ok()?;
        let all = of(&self.shares.all).acquire_owned().await.ok()?;
        Some(Turn { _held: [own, all] })
    }
}

/// Returns the error for a request for which there is no room; ARM's own words.
pub(super) fn busy() -> ArmError {
    let message =
        "Too many requests of this client are under way. Please try again after '1' seconds.";
    ArmError::new(429, "TooManyRequests", message)
}
