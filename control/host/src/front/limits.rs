//! How much of what clients may take, and how many connections one caller holds open.

use super::drain::Patience;
use std::time::Duration;

/// The limits of fronts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// How long a client may take to say whom it calls.
    pub opening: Duration,
    /// How long it may take to hear a refusal.
    pub refusal: Duration,
    /// How long and how much a client may still send after it.
    pub drain: Patience,
    /// How long a backend may take to answer.
    pub connect: Duration,
    /// The most connections of all listeners.
    pub total: usize,
    /// The most connections of one listener.
    pub per_listener: usize,
    /// The most connections of one caller to one listener: the rest is for others, at once and
    /// without putting anybody out.
    pub per_caller: usize,
    /// The most connections of one caller to one listener that have not said yet whom they call.
    pub undecided_per_caller: usize,
    /// The most refused connections whose clients still send.
    pub draining: usize,
    /// The most of those of one caller to one listener.
    pub draining_per_caller: usize,
    /// The most connections to backends for requests of HTTP/2, which share one of the client.
    pub streams: usize,
}

impl Limits {
    /// Returns the limits for a process that may have so many descriptors open, of which a
    /// connection takes two.
    #[must_use]
    pub fn within(self, descriptors: Option<u64>) -> Self {
        // For devices, sockets of guests' namespaces, the store and the API.
        const OTHERS: u64 = 1024;
        let Some(descriptors) = descriptors else {
            return self;
        };
        let own = descriptors.saturating_sub(OTHERS).max(descriptors / 4);
        let most = usize::try_from(own / 2).unwrap_or(usize::MAX).max(1);
        let total = self
            .total
            .min(most.saturating_sub(self.streams.min(most / 4)).max(1));
        Self {
            total,
            per_listener: self.per_listener.min(total),
            per_caller: self.per_caller.min((total.saturating_mul(3) / 4).max(1)),
            streams: self.streams.min((most / 4).max(1)),
            ..self
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            opening: Duration::from_secs(10),
            refusal: Duration::from_secs(10),
            drain: Patience::default(),
            connect: Duration::from_secs(5),
            total: 8192,
            per_listener: 4096,
            per_caller: 3072,
            undecided_per_caller: 512,
            draining: 1024,
            draining_per_caller: 256,
            streams: 2048,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_descriptors_mean_few_connections() {
        let limits = Limits::default();
        assert_eq!(limits.within(None), limits);
        assert_eq!(limits.within(Some(1 << 20)), limits);
        let few = limits.within(Some(4096));
        assert!(few.total * 2 + few.streams * 2 <= 4096 - 1024, "{few:?}");
        assert!(few.per_caller < few.per_listener && few.per_listener <= few.total);
        let none = limits.within(Some(8));
        assert!(none.total >= 1 && none.per_caller >= 1, "{none:?}");
    }
}
