//! When what a table has is passed on: once things have settled, and at the latest after a while.
//!
//! ```text
//!   quiet --(the kernel tells)--> settling --(50 ms of silence, or 300 ms in all)--> passed on
//!     ^                                                                                  |
//!     '---------------(the same prefixes as before, or taken; else again in 1 s)---------'
//! ```

use super::Source;
use super::socket::{Event, Sockets};
use super::table::{Effect, Table};
use crate::attach::AttachError;
use postern_network::model::GatewayRoutes;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use std::io::{self, PipeReader, PipeWriter};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};
use tracing::{debug, warn};

/// How long the kernel must have told nothing before what it told is passed on.
const SILENCE: Duration = Duration::from_millis(50);

/// How long it may go on telling until then: a table that flaps makes no policy for each route.
const LONGEST: Duration = Duration::from_millis(300);

/// How long until what was not taken is told again.
const AGAIN: Duration = Duration::from_secs(1);

/// What became of what was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    /// It was taken.
    Taken,
    /// It could not be taken; it is to be told again.
    NotNow,
    /// Nobody wants to know any more.
    Over,
}

/// Follows the routes of one source on a thread of its own, until it is dropped.
#[derive(Debug)]
pub struct Follower {
    /// The thread sees when this is closed.
    _life: PipeWriter,
    has_ended: Arc<AtomicBool>,
}

impl Follower {
    /// Starts to follow: `tell` gets what there is, and then what there is after each change.
    ///
    /// # Errors
    ///
    /// The namespace cannot be entered, or a thread or a socket cannot be made.
    pub fn start(
        source: &Source,
        tell: impl FnMut(GatewayRoutes) -> Told + Send + 'static,
    ) -> Result<Self, AttachError> {
        let failed = |error| AttachError::Helper {
            namespace: source.namespace.clone(),
            source: error,
        };
        let sockets = Sockets::open(&source.namespace)?;
        let (end, life) = io::pipe().map_err(failed)?;
        let has_ended = Arc::new(AtomicBool::new(false));
        let follow = Follow {
            table: Table::new(source.routes.clone()),
            source: source.clone(),
            sockets,
            end,
            tell,
            told: None,
        };
        let ended = Arc::clone(&has_ended);
        thread::Builder::new()
            .name("postern-learn".to_owned())
            .spawn(move || {
                let gateway = follow.source.gateway.clone();
                if let Err(error) = follow.run() {
                    warn!(gateway, %error, "cannot follow the routes of the gateway's namespace");
                }
                ended.store(true, Ordering::Relaxed);
            })
            .map_err(failed)?;
        Ok(Self {
            _life: life,
            has_ended,
        })
    }

    /// Returns whether it has ended by itself: the kernel failed it, or nobody wants to know.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.has_ended.load(Ordering::Relaxed)
    }
}

struct Follow<T> {
    source: Source,
    sockets: Sockets,
    end: PipeReader,
    table: Table,
    tell: T,
    /// What was taken last.
    told: Option<GatewayRoutes>,
}

/// What the kernel has told and is not passed on yet.
#[derive(Clone, Copy, Debug)]
struct Settling {
    /// Whether the table is to be read anew.
    is_unclear: bool,
    /// When it is passed on at the latest.
    last: Instant,
    /// When it is passed on if nothing else is told.
    due: Instant,
}

impl<T: FnMut(GatewayRoutes) -> Told> Follow<T> {
    fn run(mut self) -> io::Result<()> {
        let now = Instant::now();
        let mut settling = Some(Settling {
            is_unclear: true,
            last: now,
            due: now,
        });
        loop {
            let wait =
                settling.map(|settling| settling.due.saturating_duration_since(Instant::now()));
            let (is_told, is_over) = self.wait(wait)?;
            if is_over {
                return Ok(());
            }
            if is_told {
                let effect = self.take_events()?;
                settling = settle(settling, effect, Instant::now());
            }
            let is_due = |settling: &Settling| settling.due <= Instant::now();
            let Some(due) = settling.take_if(|settling| is_due(settling)) else {
                continue;
            };
            match self.pass_on(due.is_unclear)? {
                Told::Taken => {}
                Told::NotNow => settling = settle(None, Effect::Unclear, Instant::now() + AGAIN),
                Told::Over => return Ok(()),
            }
        }
    }

    /// Waits until the kernel tells something, the follower is dropped, or the time is up.
    fn wait(&self, time: Option<Duration>) -> io::Result<(bool, bool)> {
        let (events, end) = (self.sockets.events(), &self.end);
        let mut polled = [
            PollFd::from_borrowed_fd(events, PollFlags::IN),
            PollFd::new(end, PollFlags::IN),
        ];
        let time = time.and_then(|time| Timespec::try_from(time).ok());
        match poll(&mut polled, time.as_ref()) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        let [events, end] = polled.map(|polled| !polled.revents().is_empty());
        Ok((events, end))
    }

    fn take_events(&mut self) -> io::Result<Effect> {
        let mut effect = Effect::None;
        for event in self.sockets.read_events()? {
            effect = effect.max(match event {
                Event::Added { route, replaces } => self.table.add(&route, replaces),
                Event::Removed(route) => self.table.remove(&route),
                Event::Unclear => Effect::Unclear,
            });
        }
        Ok(effect)
    }

    fn pass_on(&mut self, is_unclear: bool) -> io::Result<Told> {
        if is_unclear {
            let own = self.sockets.index(&self.source.device);
            let routes = match self.sockets.read_table(self.source.routes.table) {
                Ok(routes) => routes,
                Err(error) if Errno::from_io_error(&error).is_none() => {
                    debug!(gateway = self.source.gateway, %error, "the table is read again later");
                    return Ok(Told::NotNow);
                }
                Err(error) => return Err(error),
            };
            self.table.read(own, &routes);
        }
        let routes = GatewayRoutes::new(self.table.learned());
        if self.told.as_ref() == Some(&routes) {
            return Ok(Told::Taken);
        }
        let told = (self.tell)(routes.clone());
        if told == Told::Taken {
            self.told = Some(routes);
        }
        Ok(told)
    }
}

/// Returns when to pass on what was told by now.
fn settle(settling: Option<Settling>, effect: Effect, now: Instant) -> Option<Settling> {
    if effect == Effect::None {
        return settling;
    }
    let last = settling.map_or(now + LONGEST, |settling| settling.last);
    let was_unclear = settling.is_some_and(|settling| settling.is_unclear);
    Some(Settling {
        is_unclear: was_unclear || effect == Effect::Unclear,
        last,
        due: last.min(now + SILENCE),
    })
}

#[cfg(test)]
mod tests;
