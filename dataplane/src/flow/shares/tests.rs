//! The lists against one list of all flows.
#![allow(
    clippy::cast_possible_truncation,
    reason = "test code: all numbers are small"
)]

use super::*;
use proptest::prelude::*;

const MAX: usize = 48;

impl Places for Vec<Place> {
    fn place(&mut self, id: u32) -> Option<&mut Place> {
        self.get_mut(id as usize)
    }
}

/// A flow as the plain list has it, in the order in which they give way.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Flow {
    id: u32,
    opener: Opener,
    waits: bool,
}

fn opener(number: u8) -> Opener {
    match number {
        0..3 => Opener::host(PortId(number.into())),
        3 => Opener::to_platform(PortId(0)),
        _ => Opener::many(PortId(9), u32::from(number)),
    }
}

#[derive(Debug, Default)]
struct Plain(Vec<Flow>);

impl Plain {
    fn count(&self, is_it: impl Fn(&Flow) -> bool) -> u32 {
        self.0.iter().filter(|flow| is_it(flow)).count() as u32
    }

    fn waiting(&self, opener: Opener) -> u32 {
        self.count(|flow| flow.waits && flow.opener == opener)
    }

    fn kept(&self, is_it: impl Fn(Opener) -> bool) -> u32 {
        self.count(|flow| !flow.waits && is_it(flow.opener))
    }

    fn answer(&mut self, at: usize) {
        let flow = self.0[at];
        if !flow.waits {
            return;
        }
        let left = MAX as u32 - self.kept(|_| true);
        let own = self.kept(|other| other == flow.opener);
        let may_keep = if flow.opener.is_many() {
            let whole = self.kept(|other| other.is_many() && other.port == flow.opener.port);
            own + whole < left
        } else {
            own < left
        };
        self.0.remove(at);
        self.0.push(Flow {
            waits: !may_keep,
            ..flow
        });
    }
}

fn check(shares: &Shares, plain: &Plain) {
    assert_eq!(shares.waiting(), plain.count(|flow| flow.waits));
    assert_eq!(shares.kept, plain.kept(|_| true));
    let most = (0..8).map(|n| plain.waiting(opener(n))).max().unwrap();
    for newcomer in (0..9).map(opener) {
        let own = plain.waiting(newcomer);
        let oldest = |of: Opener| plain.0.iter().find(|flow| flow.waits && flow.opener == of);
        match shares.victim(newcomer) {
            None => assert!(
                most == 0 || !newcomer.is_many() && class_of(own) == class_of(most),
                "{newcomer:?} finds nothing"
            ),
            Some(id) => {
                let given = plain.0.iter().find(|flow| flow.id == id).unwrap();
                assert!(
                    given.waits,
                    "an answered flow that is kept gives way to none"
                );
                assert_eq!(Some(given), oldest(given.opener), "the oldest first");
                assert_eq!(class_of(plain.waiting(given.opener)), class_of(most));
                if class_of(own) == class_of(most) {
                    assert!(newcomer.is_many() && given.opener == newcomer);
                }
            }
        }
    }
    for view in shares.views() {
        let of_port = |flow: &&Flow| {
            let is_platform = flow.opener == opener(3);
            flow.opener.port == view.port
                && (is_platform == (view.port == PortId(0) && is_platform))
        };
        assert!(view.flows <= plain.0.iter().filter(of_port).count() as u32);
    }
    let flows: u32 = shares.views().map(|view| view.flows).sum();
    assert_eq!(flows as usize, plain.0.len());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn what_gives_way_is_what_a_plain_list_says(
        steps in prop::collection::vec((0u8..10, 0u8..8, any::<prop::sample::Index>()), 0..250),
    ) {
        let mut shares = Shares::new(MAX);
        let mut places = vec![Place::NEW; MAX];
        let mut plain = Plain::default();
        for (what, who, at) in steps {
            match what {
                0..5 if plain.0.len() < MAX => {
                    let is_free = |id: &u32| plain.0.iter().all(|flow| flow.id != *id);
                    let id = (0..MAX as u32).find(is_free).unwrap();
                    shares.open(&mut places, id, opener(who));
                    plain.0.push(Flow { id, opener: opener(who), waits: true });
                }
                5..8 if !plain.0.is_empty() => {
                    let at = at.index(plain.0.len());
                    shares.answer(&mut places, plain.0[at].id);
                    plain.answer(at);
                }
                8.. if !plain.0.is_empty() => {
                    let flow = plain.0.remove(at.index(plain.0.len()));
                    shares.close(&mut places, flow.id);
                    places[flow.id as usize] = Place::NEW;
                }
                _ => {}
            }
            check(&shares, &plain);
        }
        for flow in core::mem::take(&mut plain.0) {
            shares.close(&mut places, flow.id);
        }
        check(&shares, &plain);
        prop_assert_eq!(shares.index.len(), 0, "every share is forgotten");
        prop_assert_eq!(shares.classes, 0);
    }
}

#[test]
fn classes_grow_with_the_count_and_are_no_wider_than_a_fourth() {
    let mut last = 0;
    for count in (0..5000).chain([1 << 20, (1 << 20) + (1 << 19), u32::MAX]) {
        let class = class_of(count);
        assert!(class >= last && class < CLASSES, "{count}");
        assert!(class == last || class == last + 1 || count > 5000);
        last = class;
        // The fewest of the class.
        let least = (0..=count)
            .rev()
            .take(2000)
            .take_while(|&n| class_of(n) == class);
        let least = least.last().unwrap_or(count);
        assert!(
            !(4..=5000).contains(&count) || (count - least) * 4 <= least,
            "{least} to {count}"
        );
    }
}

#[test]
fn ports_that_keep_all_they_can_leave_some_for_another() {
    let mut shares = Shares::new(1 << 16);
    let mut places = vec![Place::NEW; 1 << 16];
    let (mut id, mut kept) = (0, vec![]);
    for port in 0..4 {
        for _ in 0..shares.max {
            shares.open(&mut places, id, Opener::host(PortId(port)));
            shares.answer(&mut places, id);
            if places[id as usize].waits() {
                break;
            }
            id += 1;
        }
        kept.push(shares.kept);
        id += 1;
    }
    // A half, a quarter of the rest, and so on.
    assert_eq!(kept, [32_768, 49_152, 57_344, 61_440]);
}

#[test]
fn one_service_keeps_no_more_than_it_leaves_to_the_others_of_its_port() {
    let mut shares = Shares::new(9000);
    let mut places = vec![Place::NEW; 9000];
    let mut kept = vec![];
    let mut id = 0;
    for service in 1..4 {
        for _ in 0..4000 {
            shares.open(&mut places, id, Opener::many(PortId(1), service));
            shares.answer(&mut places, id);
            let waits = places[id as usize].waits();
            id += 1;
            if waits {
                break;
            }
        }
        kept.push(shares.kept);
    }
    assert_eq!(kept, [3000, 4000, 4334]);
}
