//! Who gets in, and who goes.

use super::*;
use crate::front::caller::tests::subnet_caller;
use futures_util::FutureExt;
use std::net::Ipv4Addr;
use std::time::Duration;

fn public(address: [u8; 4]) -> Caller {
    Caller::Public(Ipv4Addr::from(address))
}

fn places(per_listener: usize, total: usize) -> Arc<Places> {
    Places::new(Limits {
        per_listener,
        total,
        per_caller: per_listener,
        undecided_per_caller: per_listener,
        draining: 4,
        draining_per_caller: 3,
        ..Limits::default()
    })
}

fn relayed(places: &Arc<Places>, room: u64, caller: &Caller) -> Option<Place> {
    let place = places.enter(room, caller)?;
    place.turn(Phase::Relayed);
    Some(place)
}

fn fill(places: &Arc<Places>, room: u64, caller: &Caller, count: usize) -> Vec<Place> {
    (0..count)
        .map(|_| relayed(places, room, caller).unwrap())
        .collect()
}

fn left(place: &Place) -> bool {
    place.leave().notified().now_or_never().is_some()
}

#[test]
fn one_caller_that_holds_everything_makes_room_for_another() {
    let places = places(10, 100);
    let (greedy, other) = (public([9, 9, 9, 9]), public([8, 8, 8, 8]));
    let held = fill(&places, 1, &greedy, 10);
    assert!(
        relayed(&places, 1, &greedy).is_none(),
        "it holds most itself"
    );
    let late = fill(&places, 1, &other, 5);
    assert_eq!(held.iter().filter(|place| left(place)).count(), 5);
    // Half each is fair: neither puts the other out.
    assert!(relayed(&places, 1, &other).is_none());
    assert!(late.iter().all(|place| !left(place)));
    drop((held, late));
    assert_eq!(places.held(), 0, "nothing is left behind");
    assert!(places.with(|house| house.rooms.is_empty()));
}

#[test]
fn many_addresses_of_one_party_do_not_outvote_another() {
    let places = places(12, 100);
    let held: Vec<_> = (0..12)
        .map(|at| relayed(&places, 1, &public([9, 9, 9, at])))
        .collect();
    assert!(held.iter().all(Option::is_some));
    assert!(relayed(&places, 1, &public([9, 9, 9, 50])).is_some());
    let late = fill(&places, 1, &subnet_caller(), 6);
    assert!(relayed(&places, 1, &subnet_caller()).is_none());
    assert!(late.iter().all(|place| !left(place)));
}

#[test]
fn who_has_not_said_whom_it_calls_goes_first_and_the_oldest_of_them() {
    let places = places(6, 100);
    let (quiet, busy) = (public([9, 9, 9, 9]), public([8, 8, 8, 8]));
    let at_work = fill(&places, 1, &busy, 3);
    let silent: Vec<_> = (0..3).map(|_| places.enter(1, &quiet).unwrap()).collect();
    let late = places.enter(1, &busy).unwrap();
    assert!(left(&silent[0]) && !left(&silent[1]) && !left(&silent[2]));
    // A flood of silent ones takes only its own places.
    let flood: Vec<_> = (0..50).map(|_| places.enter(1, &quiet).unwrap()).collect();
    assert!(at_work.iter().chain([&late]).all(|place| !left(place)));
    assert!(left(&flood[0]) && !left(&flood[49]));
    assert_eq!(places.held(), 6);
}

#[tokio::test(start_paused = true)]
async fn of_those_at_work_the_idlest_goes() {
    let places = places(4, 100);
    let held = fill(&places, 1, &public([9, 9, 9, 9]), 4);
    tokio::time::sleep(Duration::from_secs(1)).await;
    for at in [0, 1, 3] {
        held[at].activity.touch();
    }
    let _late = relayed(&places, 1, &public([8, 8, 8, 8])).unwrap();
    let gone: Vec<_> = held.iter().map(left).collect();
    assert_eq!(gone, [false, false, true, false]);
}

#[test]
fn a_listener_that_takes_all_places_makes_room_for_another() {
    let places = places(10, 10);
    let held = fill(&places, 1, &public([9, 9, 9, 9]), 10);
    let late = fill(&places, 2, &public([9, 9, 9, 9]), 5);
    assert!(relayed(&places, 2, &public([9, 9, 9, 9])).is_none());
    assert_eq!(held.iter().filter(|place| left(place)).count(), 5);
    assert!(late.iter().all(|place| !left(place)));
}

#[test]
fn refused_ones_that_still_send_are_bounded_by_caller_and_in_all() {
    let places = places(100, 100);
    let refused = |caller: &Caller| {
        let place = places.enter(1, caller).unwrap();
        place.turn(Phase::Refused);
        place
    };
    let (one, other) = (public([9, 9, 9, 9]), public([8, 8, 8, 8]));
    let first: Vec<_> = (0..4).map(|_| refused(&one)).collect();
    let gone: Vec<_> = first.iter().map(left).collect();
    assert_eq!(gone, [true, false, false, false]);
    let second: Vec<_> = (0..2).map(|_| refused(&other)).collect();
    assert!(left(&first[1]), "the one who has most loses its oldest");
    assert!(second.iter().all(|place| !left(place)));
    assert_eq!(places.with(|house| house.count.refused), 4);
}

#[test]
fn a_caller_has_no_more_than_its_limit() {
    let places = Places::new(Limits {
        per_caller: 3,
        undecided_per_caller: 2,
        ..Limits::default()
    });
    let one = public([9, 9, 9, 9]);
    let silent: Vec<_> = (0..3).map(|_| places.enter(1, &one).unwrap()).collect();
    assert!(left(&silent[0]) && !left(&silent[1]));
    drop(silent);
    let _held = fill(&places, 1, &one, 3);
    assert!(places.enter(1, &one).is_none());
    assert!(places.enter(1, &public([9, 9, 9, 8])).is_some());
}
