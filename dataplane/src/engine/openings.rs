//! How many flows packets from outside may open, where more come than can be judged.

use super::{Context, Dropped, Engine};
use crate::policy::Direction;
use crate::stats::DropReason;

/// The flows that were opened, or were to be, since the limit was set.
#[derive(Clone, Copy, Debug)]
pub(super) struct Openings {
    most: u32,
    tried: u32,
}

impl Default for Openings {
    fn default() -> Self {
        Self {
            most: u32::MAX,
            tried: 0,
        }
    }
}

impl Engine {
    /// Sets how many packets, from now on until the next call, may open a flow from the public side, a
    /// gateway or a service. Further ones are dropped before they are judged.
    pub fn limit_openings(&mut self, most: u32) {
        self.openings = Openings { most, tried: 0 };
    }

    /// Returns how many wanted to since [`Self::limit_openings`].
    #[must_use]
    pub fn openings(&self) -> u32 {
        self.openings.tried
    }

    /// Counts a packet without a flow, and refuses it if it is one too many.
    pub(super) fn count_opening(&mut self, context: &Context<'_, '_>) -> Result<(), Dropped> {
        if context.direction == Direction::Outbound {
            return Ok(());
        }
        let Openings { most, tried } = &mut self.openings;
        *tried = tried.saturating_add(1);
        if *tried > *most {
            return Err(context.dropped(DropReason::TooManyOpenings));
        }
        Ok(())
    }
}
