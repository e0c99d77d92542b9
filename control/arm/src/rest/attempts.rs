//! Wrong secrets of the last time, by where they came from and whom they were for.
//!
//! Nobody is locked out: a right secret is right whatever came before it. Who has sent too many wrong ones
//! is told so, and the front of the API makes the next ones from there for the same application wait
//! in line, so that guessing has a bounded rate. Those of other places and for others go on at once.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, PoisonError};

/// How many wrong secrets are answered as such in one [`WINDOW`].
pub(crate) const MOST: u32 = 10;
/// In seconds.
pub(crate) const WINDOW: u64 = 10;
/// How many applications are told apart of one place: more of them count together.
const APPLICATIONS: usize = 64;
/// How many places are told apart: more of them count together.
const PLACES: usize = 4_096;

/// Wrong secrets, by place and application.
#[derive(Debug, Default)]
pub(crate) struct Attempts(Mutex<HashMap<Option<IpAddr>, Place>>);

#[derive(Debug, Default)]
struct Place {
    /// The end of the last window.
    until: u64,
    by_application: HashMap<String, (u64, u32)>,
}

impl Attempts {
    /// Returns the seconds for which secrets from there for that application count as too many; none if
    /// they do not.
    pub(crate) fn wait(&self, from: Option<IpAddr>, application: &str, now: u64) -> Option<u64> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let place = all.get_mut(&place(from))?;
        let (since, count) = *place.by_application.get(&name(place, application))?;
        let end = since.saturating_add(WINDOW);
        (count >= MOST && now < end).then(|| end.saturating_sub(now))
    }

    /// Counts a wrong secret.
    pub(crate) fn failed(&self, from: Option<IpAddr>, application: &str, now: u64) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut from = place(from);
        if all.len() >= PLACES && !all.contains_key(&from) {
            all.retain(|_, place| place.until > now);
            if all.len() >= PLACES {
                from = None;
            }
        }
        let place = all.entry(from).or_default();
        place
            .by_application
            .retain(|_, (since, _)| now < since.saturating_add(WINDOW));
        let name = name(place, application);
        let entry = place.by_application.entry(name).or_insert((now, 0));
        entry.1 = entry.1.saturating_add(1);
        place.until = now.saturating_add(WINDOW);
    }
}

/// Returns the name under which the secrets for an application are counted.
fn name(place: &Place, application: &str) -> String {
    /// An ID is shorter.
    const LONGEST: usize = 128;
    let own: String = application.chars().take(LONGEST).collect();
    let own = own.to_ascii_lowercase();
    let known = &place.by_application;
    match known.contains_key(&own) || known.len() < APPLICATIONS {
        true => own,
        false => String::new(),
    }
}

/// Returns the network that one client can choose its address from.
pub(crate) fn place(from: Option<IpAddr>) -> Option<IpAddr> {
    from.map(|address| match address.to_canonical() {
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
        address => address,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Option<IpAddr> {
        Some(text.parse().unwrap())
    }

    #[test]
    fn wrong_secrets_count_where_they_came_from() {
        let attempts = Attempts::default();
        for _ in 0..MOST {
            assert_eq!(attempts.wait(at("10.0.0.1"), "P", 100), None);
            attempts.failed(at("10.0.0.1"), "p", 100);
        }
        assert_eq!(attempts.wait(at("10.0.0.1"), "P", 103), Some(WINDOW - 3));
        assert_eq!(attempts.wait(at("10.0.0.1"), "q", 103), None);
        assert_eq!(attempts.wait(at("10.0.0.2"), "p", 103), None);
        assert_eq!(attempts.wait(at("10.0.0.1"), "p", 100 + WINDOW), None);
        attempts.failed(at("10.0.0.1"), "p", 100 + WINDOW);
        assert_eq!(attempts.wait(at("10.0.0.1"), "p", 100 + WINDOW), None);
    }

    #[test]
    fn addresses_of_one_network_count_together() {
        assert_eq!(place(at("2001:db8::1")), place(at("2001:db8::ffff:1")));
        assert_ne!(place(at("2001:db8::1")), place(at("2001:db8:0:1::1")));
        assert_eq!(place(at("::ffff:10.0.0.1")), at("10.0.0.1"));
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let attempts = Attempts::default();
        for number in 0..20_000_u32 {
            let from = IpAddr::from(number.to_be_bytes());
            attempts.failed(Some(from), "p", 100);
            attempts.failed(at("10.0.0.1"), &format!("p{number}"), 100);
        }
        let all = attempts.0.lock().unwrap();
        assert!(all.len() <= PLACES + 2, "{}", all.len());
        let most = all.values().map(|place| place.by_application.len()).max();
        assert!(most.unwrap() <= APPLICATIONS + 1);
        drop(all);
        assert!(attempts.wait(at("10.0.0.1"), "new", 101).is_some());
        assert!(attempts.wait(None, "p", 101).is_some());
    }
}
