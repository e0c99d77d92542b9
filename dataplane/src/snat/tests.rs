use super::*;
use core::cell::Cell;
use proptest::prelude::*;
use rand::SeedableRng;
use std::collections::{BTreeMap, BTreeSet};

const ADDRESS: Ipv4Addr = Ipv4Addr::new(65, 52, 1, 1);
const PORTS: usize = 64_512;

fn way(last: u8) -> Way {
    Way {
        address: ADDRESS,
        protocol: UDP,
        destination: Ipv4Addr::new(8, 8, 8, last),
        destination_port: 53,
    }
}

fn wanted(last: u8) -> Wanted {
    Wanted {
        way: way(last),
        own: 9,
        guest: PortId(1),
        preferred: None,
    }
}

fn of_way(pools: &Pools, last: u8) -> u32 {
    pools.ways.get(&way(last)).map_or(0, Taken::len)
}

const NO_LIMITS: Limits = Limits {
    in_all: None,
    of_guest: None,
};

#[test]
fn numbers_vanish_with_the_last_lease() {
    let mut rng = StdRng::seed_from_u64(1);
    let mut pools = Pools::new(8, 1, Classes::ONE);
    let limits = Limits {
        in_all: Some(2),
        of_guest: None,
    };
    let mut lease = |pools: &mut Pools, last| pools.lease(&mut rng, wanted(last), limits, |_| true);
    let held: Vec<Lease> = [1, 1, 2]
        .into_iter()
        .map(|last| lease(&mut pools, last).unwrap())
        .collect();
    assert_eq!(lease(&mut pools, 1), None, "the way is full");
    assert_eq!([1, 2, 3].map(|last| of_way(&pools, last)), [2, 1, 0]);
    assert!(pools.are_full(&[ADDRESS], 3) && !pools.are_full(&[ADDRESS], 4));
    for lease in held {
        pools.release(lease);
    }
    assert_eq!((pools.ways.len(), pools.leases), (0, 0));
    assert!(!pools.are_full(&[ADDRESS], 1));
}

#[test]
fn what_gets_no_port_is_not_counted() {
    let mut rng = StdRng::seed_from_u64(2);
    let mut pools = Pools::new(8, 1, Classes::ONE);
    let none = pools.lease(&mut rng, wanted(1), NO_LIMITS, |_| false);
    assert_eq!(none, None);
    let mut esp = wanted(1);
    esp.way.protocol = 50;
    assert_eq!(pools.lease(&mut rng, esp, NO_LIMITS, |_| true), None);
    assert_eq!((pools.ways.len(), pools.leases), (0, 0));
}

#[test]
fn addresses_of_another_source_are_not_added() {
    let mut rng = StdRng::seed_from_u64(3);
    let mut pools = Pools::new(8, 1, Classes::ONE);
    let held: Vec<Lease> = (0..3)
        .map(|last| {
            pools
                .lease(&mut rng, wanted(last), NO_LIMITS, |_| true)
                .unwrap()
        })
        .collect();
    assert!(!pools.are_full(&[Ipv4Addr::new(65, 52, 1, 2)], 1));
    assert!(pools.are_full(&[ADDRESS, Ipv4Addr::new(65, 52, 1, 2)], 3));
    for lease in held {
        pools.release(lease);
    }
}

/// Fills ways to one destination and another, and returns how many look-ups each lease took, and the
/// last refusal.
fn asked_while_filling(classes: Classes) -> (Vec<u32>, Vec<u32>) {
    let mut rng = StdRng::seed_from_u64(4);
    let mut pools = Pools::new(2 * PORTS, 1, classes);
    let (mut asked, mut refused) = (vec![], vec![]);
    let mut tables = [BTreeSet::new(), BTreeSet::new()];
    let mut held = vec![];
    // The second destination finds no port that nobody has.
    for (last, table) in (0..).zip(&mut tables) {
        for n in 0..PORTS + 2000 {
            let count = Cell::new(0);
            let is_free = |port: u16| {
                count.set(count.get() + 1);
                !table.contains(&port)
            };
            let own = u16::try_from(1024 + n % PORTS).unwrap();
            let wanted = Wanted {
                own,
                ..wanted(last)
            };
            match pools.lease(&mut rng, wanted, NO_LIMITS, is_free) {
                Some(lease) => {
                    assert!(table.insert(lease.port()), "a port twice");
                    assert_eq!(classes.of(lease.port()), classes.of(own));
                    held.push(lease);
                    asked.push(count.get());
                }
                None => refused.push(count.get()),
            }
        }
        assert_eq!(table.len(), PORTS, "every port is leased");
    }
    for lease in held {
        pools.release(lease);
    }
    assert_eq!(pools.ways.len(), 0);
    (asked, refused)
}

#[test]
fn a_lease_takes_few_looks_and_a_refusal_none_however_full_it_is() {
    for classes in [Classes::ONE, Classes::new(4)] {
        let (asked, refused) = asked_while_filling(classes);
        assert!(asked.iter().all(|&count| count <= 3), "{classes:?}");
        assert!(refused.len() >= 2 * 2000);
        assert!(refused.iter().all(|&count| count == 0), "{classes:?}");
    }
}

#[test]
fn a_crowded_way_that_empties_forgets_its_map() {
    let mut rng = StdRng::seed_from_u64(5);
    let mut pools = Pools::new(1000, 1, Classes::ONE);
    let mut lease = || pools.lease(&mut rng, wanted(1), NO_LIMITS, |_| true);
    let mut held: Vec<Lease> = (0..600).map(|_| lease().unwrap()).collect();
    let is_map = |pools: &Pools| pools.ways.get(&way(1)).unwrap().map().is_some();
    assert!(is_map(&pools));
    for lease in held.drain(60..) {
        pools.release(lease);
    }
    assert!(!is_map(&pools));
    assert_eq!(of_way(&pools, 1), 60);
    for lease in held {
        pools.release(lease);
    }
    assert_eq!(pools.ways.len(), 0);
}

/// What a plain map says of leases: ports by destination, with their guests.
type Plain = BTreeMap<u8, BTreeMap<u16, PortId>>;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Many leases of few ways, so that lists become maps and lists again.
    #[test]
    fn leases_and_refusals_are_those_of_a_plain_map(
        steps in prop::collection::vec((0u8..3, 0u16..3, 1usize..300, any::<bool>()), 1..40),
        limits in (prop::option::of(1u32..900), prop::option::of(1u32..500)),
        workers in 1usize..4,
        seed in any::<u64>(),
    ) {
        let classes = Classes::new(workers);
        let mut rng = StdRng::seed_from_u64(seed);
        let mut pools = Pools::new(20_000, seed, classes);
        let limits = Limits { in_all: limits.0, of_guest: limits.1 };
        let (mut plain, mut held): (Plain, Vec<Lease>) = Default::default();
        for (last, guest, count, takes) in steps {
            for n in 0..count {
                let ports = plain.entry(last).or_default();
                if takes {
                    let guest = PortId(guest);
                    let own = u16::try_from(2000 + n).unwrap();
                    let wanted = Wanted { own, guest, ..wanted(last) };
                    let of_guest = ports.values().filter(|&&other| other == guest).count();
                    let is_full = |most: Option<u32>, count: usize| most.is_some_and(|most| count >= most as usize);
                    let expected = !is_full(limits.in_all, ports.len()) && !is_full(limits.of_guest, of_guest);
                    let lease = pools.lease(&mut rng, wanted, limits, |port| !ports.contains_key(&port));
                    prop_assert_eq!(lease.is_some(), expected);
                    if let Some(lease) = lease {
                        prop_assert_eq!(ports.insert(lease.port(), guest), None);
                        held.push(lease);
                    }
                } else if let Some(lease) = (!held.is_empty()).then(|| held.swap_remove(n * 7919 % held.len())) {
                    let to = lease.way.destination.octets()[3];
                    plain.entry(to).or_default().remove(&lease.port());
                    pools.release(lease);
                }
            }
            for last in 0..3 {
                let ports = plain.get(&last).map_or(0, BTreeMap::len);
                prop_assert_eq!(of_way(&pools, last) as usize, ports);
            }
        }
        for lease in held {
            pools.release(lease);
        }
        prop_assert_eq!(pools.ways.len(), 0);
    }
}
