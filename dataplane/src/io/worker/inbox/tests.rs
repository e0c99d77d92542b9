use super::*;
use crate::engine::EngineConfig;
use crate::policy::Direction;
use crate::stats::DropReason;
use std::time::{Duration, Instant};

const PORT: PortId = PortId(3);

fn pair_of_workers() -> [(Inbox, Peers); 2] {
    let share = Share::new(&EngineConfig::default(), 2);
    connect(2, &share).unwrap().try_into().unwrap()
}

fn engine() -> Engine {
    Engine::new(EngineConfig::default(), Arc::default())
}

#[test]
fn what_does_not_fit_is_counted_and_what_fits_comes_in_order() {
    let [(_, sender), (mut inbox, owner)] = pair_of_workers();
    let mut engine = engine();
    let frames = u16::try_from(CAPACITY).unwrap() + 10;
    for number in 0..frames {
        let bytes = number.to_be_bytes();
        sender.hand_over(&mut engine, 1, PORT, VnetHdr::default(), (&bytes, 100));
    }
    let counters = engine.counters().port(PORT).unwrap();
    let refused = counters.dropped(Direction::Inbound, DropReason::HandOverFull);
    assert_eq!(refused, 10);
    assert_eq!(
        (counters.received_frames, counters.received_bytes),
        (10, 1000)
    );
    assert_eq!(
        sender.handed_over().load(Ordering::Relaxed),
        CAPACITY as u64
    );

    for number in 0..frames - 10 {
        assert!(inbox.has_some());
        let parcel = inbox.take().unwrap();
        assert_eq!(
            (parcel.port, &*parcel.bytes),
            (PORT, &number.to_be_bytes()[..])
        );
        owner.give_back(parcel);
    }
    assert!(!inbox.has_some() && inbox.take().is_none());
    // There is room again.
    sender.hand_over(&mut engine, 1, PORT, VnetHdr::default(), (&[7], 1));
    assert_eq!(inbox.take().unwrap().bytes, [7]);
}

#[test]
fn a_port_that_floods_leaves_room_to_others() {
    let [(_, sender), (mut inbox, _)] = pair_of_workers();
    let mut engine = engine();
    let mut hand_over = |port: u16, count: usize| {
        let before = sender.handed_over().load(Ordering::Relaxed);
        for _ in 0..count {
            let port = PortId(port);
            sender.hand_over(&mut engine, 1, port, VnetHdr::default(), (&[7], 1));
        }
        sender.handed_over().load(Ordering::Relaxed) - before
    };
    assert_eq!(hand_over(1, 10_000), CAPACITY as u64);
    assert_eq!(hand_over(2, 10_000), CAPACITY as u64 / 2, "two flood");
    assert_eq!(hand_over(3, 100), 100, "and another is heard");
    assert_eq!(hand_over(1, 100), 0);
    while inbox.take().is_some() {}
    assert_eq!(
        hand_over(1, 10_000),
        CAPACITY as u64,
        "every place came back"
    );
    let counted = |port| engine.counters().port(PortId(port));
    let refused = counted(1).map(|port| port.dropped(Direction::Inbound, DropReason::HandOverFull));
    assert_eq!(refused, Some(20_100 - 2 * CAPACITY as u64));
}

#[test]
fn an_owner_that_has_ended_costs_the_frame() {
    let [(_, sender), (inbox, _)] = pair_of_workers();
    drop(inbox);
    let mut engine = engine();
    sender.hand_over(&mut engine, 1, PORT, VnetHdr::default(), (&[7], 1));
    let counters = engine.counters().port(PORT).unwrap();
    assert_eq!(
        counters.dropped(Direction::Inbound, DropReason::HandOverFull),
        1
    );
}

#[test]
fn buffers_go_back_and_forth_but_for_long_ones() {
    let [(_, sender), (mut inbox, owner)] = pair_of_workers();
    let mut engine = engine();
    let mut hand_over = |bytes: &[u8]| {
        sender.hand_over(
            &mut engine,
            1,
            PORT,
            VnetHdr::default(),
            (bytes, bytes.len()),
        );
        inbox.take().unwrap()
    };
    let first = hand_over(&[1; 1000]);
    let place = first.bytes.as_ptr();
    owner.give_back(first);
    let second = hand_over(&[2; 900]);
    assert_eq!(second.bytes.as_ptr(), place, "used again");
    assert_eq!(second.bytes, [2; 900]);
    owner.give_back(hand_over(&[3; 60_000]));
    assert!(
        sender.spares.try_recv().is_err(),
        "a super-frame's is not kept"
    );
}

#[test]
fn only_a_sleeping_owner_is_woken_and_once() {
    let [(_, sender), (mut inbox, _)] = pair_of_workers();
    let mut engine = engine();
    let rings = |inbox: &Inbox| {
        let mut counter = [0; 8];
        rustix::io::read(&inbox.alarm.descriptor, &mut counter)
            .map_or(0, |_| u64::from_ne_bytes(counter))
    };
    let mut hand_over = || sender.hand_over(&mut engine, 1, PORT, VnetHdr::default(), (&[7], 1));
    hand_over();
    assert_eq!(rings(&inbox), 0, "it is awake");
    assert!(!inbox.may_sleep(), "one waits");
    inbox.wake_up();
    inbox.take().unwrap();
    assert!(inbox.may_sleep());
    hand_over();
    hand_over();
    assert_eq!(rings(&inbox), 1);
}

/// An owner that goes to sleep after every frame, and a sender that sends the next one at once: with
/// a step or a fence less they miss each other sooner or later, and the owner sleeps for too long.
#[test]
fn no_wake_up_is_lost() {
    const FRAMES: u32 = 200_000;
    let [(_, sender), (mut inbox, owner)] = pair_of_workers();
    let (taken, next) = sync_channel(1);
    let sending = std::thread::spawn(move || {
        let mut engine = engine();
        for number in 0..FRAMES {
            let bytes = number.to_be_bytes();
            sender.hand_over(&mut engine, 1, PORT, VnetHdr::default(), (&bytes, 4));
            next.recv().unwrap();
        }
    });
    let (mut number, mut longest) = (0, Duration::ZERO);
    while number < FRAMES {
        if inbox.may_sleep() {
            let mut fds = [rustix::event::PollFd::new(
                inbox.alarm.as_ref(),
                rustix::event::PollFlags::IN,
            )];
            let limit = rustix::event::Timespec {
                tv_sec: 10,
                tv_nsec: 0,
            };
            let asleep = Instant::now();
            rustix::event::poll(&mut fds, Some(&limit)).unwrap();
            longest = longest.max(asleep.elapsed());
            inbox.alarm.silence();
        }
        inbox.wake_up();
        while let Some(parcel) = inbox.take() {
            assert_eq!(parcel.bytes, number.to_be_bytes());
            number += 1;
            owner.give_back(parcel);
            taken.send(()).unwrap();
        }
    }
    sending.join().unwrap();
    assert!(longest < Duration::from_secs(5), "slept for {longest:?}");
}
