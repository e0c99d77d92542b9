//! How much of something all askers may have at a time, and how much each of them.

use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, PoisonError};

/// What is shared out.
#[derive(Debug)]
pub(super) struct Shares {
    most: usize,
    most_each: usize,
    taken: Mutex<Taken>,
}

#[derive(Debug, Default)]
struct Taken {
    all: usize,
    /// Only askers that have something, so that it stays as small as what is shared out.
    each: HashMap<Ipv4Addr, usize>,
}

/// One of it; dropping gives it back.
#[derive(Debug)]
pub(super) struct Share {
    shares: Arc<Shares>,
    asker: Ipv4Addr,
}

impl Shares {
    /// Returns what nobody has anything of yet.
    pub(super) fn new(most: usize, most_each: usize) -> Arc<Self> {
        Arc::new(Self {
            most,
            most_each,
            taken: Mutex::default(),
        })
    }

    /// Takes one for an asker, if there is one for him.
    pub(super) fn take(self: &Arc<Self>, asker: Ipv4Addr) -> Option<Share> {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let has = taken.each.get(&asker).copied().unwrap_or(0);
        if taken.all >= self.most || has >= self.most_each {
            return None;
        }
        taken.all = taken.all.saturating_add(1);
        taken.each.insert(asker, has.saturating_add(1));
        Some(Share {
            shares: Arc::clone(self),
            asker,
        })
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let shares = &self.shares;
        let mut taken = shares.taken.lock().unwrap_or_else(PoisonError::into_inner);
        taken.all = taken.all.saturating_sub(1);
        if let Some(has) = taken.each.get_mut(&self.asker) {
            *has = has.saturating_sub(1);
            if *has == 0 {
                taken.each.remove(&self.asker);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neither_one_asker_nor_all_together_get_more_than_there_is() {
        let shares = Shares::new(3, 2);
        let [first, second] = [1, 2].map(|octet| Ipv4Addr::from([octet; 4]));
        let held: Vec<_> = (0..2).map(|_| shares.take(first).unwrap()).collect();
        assert!(shares.take(first).is_none(), "the asker's own limit");
        let other = shares.take(second).unwrap();
        assert!(shares.take(second).is_none(), "the limit of all");
        drop(held);
        let again: Vec<_> = (0..2).map(|_| shares.take(first).unwrap()).collect();
        drop((other, again));
        let taken = shares.taken.lock().unwrap();
        assert_eq!((taken.all, taken.each.len()), (0, 0), "nothing is kept");
    }
}
