//! What a policy change does to live flows: reference sections 2.1 and 4.3.

#![allow(clippy::indexing_slicing, reason = "test code")]

mod common;

use common::Rig;
use common::packets::*;
use common::world::*;
use postern_dataplane::engine::SweepReport;
use postern_dataplane::policy::{
    Access, CloseMode, Direction, Epoch, PortId, PublicAddress, PublicSource, ServiceId, Snapshot,
};
use postern_dataplane::stats::DropReason;

/// A TCP connection that a test has opened.
struct Connection {
    /// Client and server port.
    ports: (PortId, PortId),
    /// Client and server address as the client sees them.
    outside: (String, String),
    /// Client and server address as the server sees them.
    inside: (String, String),
}

impl Connection {
    /// Shakes hands: the client's numbers begin at 100, the server's at 500.
    #[track_caller]
    fn open(rig: &mut Rig, (client, from): (PortId, &str), (server, to): (PortId, &str)) -> Self {
        let seen = rig.forward(client, &tcp(from, to, SYN, 100, 0, &[]), server);
        let (a, b) = ends(&seen);
        let it = Self {
            ports: (client, server),
            outside: (from.into(), to.into()),
            inside: (a.to_string(), b.to_string()),
        };
        let answer = tcp(&it.inside.1, &it.inside.0, SYN | ACK, 500, 101, &[]);
        rig.forward(server, &answer, client);
        rig.forward(client, &it.client_sends(ACK, 101, 501, b""), server);
        it
    }

    fn client_sends(&self, flags: u8, seq: u32, ack: u32, payload: &[u8]) -> Vec<u8> {
        tcp(&self.outside.0, &self.outside.1, flags, seq, ack, payload)
    }

    fn server_sends(&self, flags: u8, seq: u32, ack: u32, payload: &[u8]) -> Vec<u8> {
        tcp(&self.inside.1, &self.inside.0, flags, seq, ack, payload)
    }

    /// Sends a byte each way; the server must see the same address as ever.
    #[track_caller]
    fn is_alive(&self, rig: &mut Rig) {
        let seen = rig.forward(
            self.ports.0,
            &self.client_sends(ACK, 101, 501, b"a"),
            self.ports.1,
        );
        assert_eq!(ends(&seen).0.to_string(), self.inside.0);
        rig.forward(
            self.ports.1,
            &self.server_sends(ACK, 501, 101, b"b"),
            self.ports.0,
        );
    }
}

fn report(epoch: u32, kept: u64, closed: u64) -> SweepReport {
    SweepReport {
        epoch: Epoch(epoch),
        kept,
        closed,
        rebound: 0,
        denied: 0,
    }
}

/// The worked example of reference section 2.5.
#[test]
fn enable_resets_the_service_flow_on_both_sides_and_no_other() {
    let mut rig = Rig::new(world(1, &[]));
    let a = Connection::open(&mut rig, (VM0, "10.0.1.4:5000"), (SVC, "52.239.0.10:443"));
    let b = Connection::open(
        &mut rig,
        (VM0, "10.0.1.4:5001"),
        (INET, "93.184.216.34:443"),
    );
    let c = Connection::open(&mut rig, (INET, "93.184.216.34:999"), (VM0, "20.0.0.9:22"));
    let sql = Connection::open(&mut rig, (VM0, "10.0.1.4:5002"), (SVC, "40.79.0.10:1433"));
    let sibling = Connection::open(&mut rig, (VM2, "10.0.2.4:5000"), (SVC, "52.239.0.10:443"));
    let local = Connection::open(&mut rig, (VM2, "10.0.2.4:6000"), (VM0, "10.0.1.4:80"));
    rig.forward(VM0, &udp("10.0.1.4:7", "52.239.0.10:443", b"u"), SVC);
    rig.forward(VM0, &echo("10.0.1.4", "52.239.0.10", true, 1), SVC);

    assert_eq!(rig.apply(world(2, &[STORAGE])), report(2, 7, 1));
    let made = rig.made();
    assert_eq!(made.len(), 2);
    for (emitted, port, from, to, seq) in [
        (&made[0], VM0, "52.239.0.10:443", "10.0.1.4:5000", 501),
        (&made[1], SVC, "20.0.0.9:5000", "52.239.0.10:443", 101),
    ] {
        assert_eq!(emitted.port, port);
        assert_eq!(ends(&emitted.packet), (addr(from), addr(to)));
        assert_eq!(tcp_flags(&emitted.packet), RST | ACK);
        assert_eq!(
            tcp_seq_ack(&emitted.packet).0,
            seq,
            "what the receiver expects next"
        );
    }
    for live in [&b, &c, &sql, &sibling, &local] {
        live.is_alive(&mut rig);
    }
    assert_eq!(rig.made(), []);

    // Late segments are refused, from either side, and open nothing.
    rig.drop(
        VM0,
        &a.client_sends(ACK, 101, 501, b"late"),
        DropReason::FlowClosed,
    );
    rig.drop(
        SVC,
        &a.server_sends(ACK, 501, 101, b"late"),
        DropReason::FlowClosed,
    );
    let made = rig.made();
    assert_eq!((made[0].port, tcp_flags(&made[0].packet)), (VM0, RST));
    assert_eq!(
        tcp_seq_ack(&made[0].packet).0,
        501,
        "the number that the segment acknowledges"
    );
    assert_eq!((made[1].port, tcp_seq_ack(&made[1].packet).0), (SVC, 101));
    rig.drop(
        VM0,
        &a.client_sends(RST, 101, 0, b""),
        DropReason::FlowClosed,
    );
    assert_eq!(rig.made(), [], "a reset is not answered");

    // A new connection takes the new path at once, even from the same port.
    let again = Connection::open(&mut rig, (VM0, "10.0.1.4:5000"), (SVC, "52.239.0.10:443"));
    assert_eq!(again.inside.0, "10.0.1.4:5000");
    again.is_alive(&mut rig);

    // And back.
    assert_eq!(rig.apply(world(3, &[])), report(3, 7, 1));
    let made = rig.made();
    assert_eq!(
        ends(&made[1].packet),
        (addr("10.0.1.4:5000"), addr("52.239.0.10:443"))
    );
    let back = Connection::open(&mut rig, (VM0, "10.0.1.4:5009"), (SVC, "52.239.0.10:443"));
    assert_eq!(back.inside.0, "20.0.0.9:5009");
    for live in [&b, &c, &sql, &sibling, &local] {
        live.is_alive(&mut rig);
    }
}

#[test]
fn packet_that_comes_before_the_sweep_meets_the_new_policy() {
    let mut rig = Rig::new(world(1, &[]));
    let a = Connection::open(&mut rig, (VM0, "10.0.1.4:5000"), (SVC, "52.239.0.10:443"));
    let b = Connection::open(
        &mut rig,
        (VM0, "10.0.1.4:5001"),
        (INET, "93.184.216.34:443"),
    );
    rig.engine
        .install(std::sync::Arc::new(world(2, &[STORAGE])));
    assert!(rig.engine.is_sweeping());
    b.is_alive(&mut rig);
    rig.drop(
        VM0,
        &a.client_sends(ACK, 101, 501, b"x"),
        DropReason::FlowClosed,
    );
    assert_eq!(
        rig.made().len(),
        3,
        "reset both ways, and the answer to this segment"
    );
    rig.pass_time(1);
    assert!(!rig.engine.is_sweeping());
    assert_eq!(rig.made(), []);
}

#[test]
fn shared_source_goes_back_to_its_pool_after_the_cut() {
    let mut rig = Rig::new(world(1, &[]));
    Connection::open(&mut rig, (VM1, "10.0.1.5:5000"), (SVC, "52.239.0.10:443"));
    let kept = Connection::open(&mut rig, (VM1, "10.0.1.5:5001"), (INET, "8.8.8.8:443"));
    assert_eq!(rig.engine.snat()[0].tcp, 2);
    assert_eq!(rig.apply(world(2, &[STORAGE])), report(2, 1, 1));
    rig.made();
    for _ in 0..4 {
        rig.pass_time(15_000);
        kept.is_alive(&mut rig);
    }
    assert_eq!(rig.engine.snat()[0].tcp, 1);
    assert_eq!(rig.engine.flow_count(), 1);
    let direct = Connection::open(&mut rig, (VM1, "10.0.1.5:5000"), (SVC, "52.239.0.10:443"));
    assert_eq!(direct.inside.0, "10.0.1.5:5000");
    assert_eq!(rig.engine.snat()[0].tcp, 1, "an endpoint takes no port");
}

#[test]
fn two_services_on_then_one_off() {
    let mut rig = Rig::new(world(1, &[STORAGE, SQL]));
    let storage = Connection::open(&mut rig, (VM0, "10.0.1.4:1"), (SVC, "52.239.0.10:443"));
    let sql = Connection::open(&mut rig, (VM0, "10.0.1.4:2"), (SVC, "40.79.0.10:1433"));
    assert_eq!(rig.apply(world(2, &[SQL])), report(2, 1, 1));
    rig.made();
    sql.is_alive(&mut rig);
    rig.drop(
        VM0,
        &storage.client_sends(ACK, 101, 501, b"x"),
        DropReason::FlowClosed,
    );
}

#[test]
fn same_policy_with_a_new_number_disturbs_nothing() {
    let mut rig = Rig::new(world(1, &[STORAGE]));
    let all = [
        Connection::open(&mut rig, (VM0, "10.0.1.4:1"), (SVC, "52.239.0.10:443")),
        Connection::open(&mut rig, (VM1, "10.0.1.5:2"), (INET, "8.8.8.8:443")),
        Connection::open(&mut rig, (VM2, "10.0.2.4:3"), (VM0, "10.0.1.4:80")),
    ];
    for epoch in 2..6 {
        assert_eq!(rig.apply(world(epoch, &[STORAGE])), report(epoch, 3, 0));
        all.iter()
            .for_each(|connection| connection.is_alive(&mut rig));
    }
    assert_eq!(rig.made(), []);
}

#[test]
fn silent_mode_cuts_without_a_word() {
    let silent = |epoch, services: &[ServiceId]| {
        let mut snapshot = world(epoch, services);
        snapshot.settings.close_mode = CloseMode::Silent;
        snapshot
    };
    let mut rig = Rig::new(silent(1, &[]));
    let a = Connection::open(&mut rig, (VM0, "10.0.1.4:1"), (SVC, "52.239.0.10:443"));
    assert_eq!(rig.apply(silent(2, &[STORAGE])), report(2, 0, 1));
    rig.drop(
        VM0,
        &a.client_sends(ACK, 101, 501, b"x"),
        DropReason::FlowClosed,
    );
    assert_eq!(rig.made(), []);
}

fn with_nsg(epoch: u32, rules: &[(u32, u16, Access, u16)], reevaluate: bool) -> Snapshot {
    let mut snapshot = world(epoch, &[]);
    snapshot.subnets[0].nsg = Some(nsg(rules));
    snapshot.settings.reevaluate_on_change = reevaluate;
    snapshot
}

#[test]
fn nsg_edit_acts_on_new_connections_only() {
    let open = [(1, 100, Access::Allow, 443)];
    let mut rig = Rig::new(with_nsg(1, &open, false));
    let live = Connection::open(&mut rig, (VM1, "10.0.1.5:1"), (INET, "8.8.8.8:443"));
    assert_eq!(rig.apply(with_nsg(2, &[], false)), report(2, 1, 0));
    live.is_alive(&mut rig);
    let syn = tcp("10.0.1.5:2", "8.8.8.8:443", SYN, 1, 0, &[]);
    rig.drop(VM1, &syn, DropReason::NsgDeniedOut);
}

#[test]
fn nsg_edit_ends_live_connections_where_the_switch_says_so() {
    let open = [(1, 100, Access::Allow, 443)];
    let mut rig = Rig::new(with_nsg(1, &open, true));
    let live = Connection::open(&mut rig, (VM1, "10.0.1.5:1"), (INET, "8.8.8.8:443"));
    let expected = SweepReport {
        denied: 1,
        ..report(2, 0, 0)
    };
    assert_eq!(rig.apply(with_nsg(2, &[], true)), expected);
    rig.drop(
        VM1,
        &live.client_sends(ACK, 101, 501, b"x"),
        DropReason::FlowClosed,
    );
    assert_eq!(rig.made(), [], "an NSG drops, it does not answer");
}

#[test]
fn nsgs_are_asked_in_order_and_the_receiver_counts_its_own_denials() {
    let mut snapshot = world(1, &[]);
    nic_mut(&mut snapshot, VM0).nsg = Some(nsg(&[(10, 100, Access::Allow, 80)]));
    snapshot.subnets[0].nsg = Some(nsg(&[
        (20, 100, Access::Deny, 80),
        (21, 200, Access::Allow, 22),
    ]));
    let mut rig = Rig::new(snapshot);
    let into = |port| tcp("10.0.2.4:1", &format!("10.0.1.4:{port}"), SYN, 1, 0, &[]);
    let denied = (VM0, Direction::Inbound, DropReason::NsgDeniedIn);
    rig.drop_at(VM2, Default::default(), &into(80), denied);
    rig.drop_at(VM2, Default::default(), &into(22), denied);
    // From VM0 its own NSG is asked first, then the subnet's.
    let out = |port| tcp("10.0.1.4:1", &format!("8.8.8.8:{port}"), SYN, 1, 0, &[]);
    rig.drop(VM0, &out(22), DropReason::NsgDeniedOut);
    rig.drop(VM0, &out(80), DropReason::NsgDeniedOut);
    // An inbound NSG sees the private destination, and replies need no rule.
    let inbound = tcp("93.184.216.34:1", "20.0.0.9:22", SYN, 1, 0, &[]);
    rig.drop_at(INET, Default::default(), &inbound, denied);
}

#[test]
fn nat_gateway_added_leaves_live_flows_their_source() {
    let mut rig = Rig::new(world(1, &[]));
    let live = Connection::open(&mut rig, (VM0, "10.0.1.4:1"), (INET, "8.8.8.8:443"));
    let mut with_gateway = world(2, &[]);
    nic_mut(&mut with_gateway, VM0).public =
        PublicSource::Shared(postern_dataplane::policy::SourceId(0));
    assert_eq!(rig.apply(with_gateway), report(2, 1, 0));
    live.is_alive(&mut rig);
    let new = Connection::open(&mut rig, (VM0, "10.0.1.4:2"), (INET, "8.8.8.8:443"));
    assert!(new.inside.0.starts_with(POOL));
}

#[test]
fn public_address_that_is_gone_takes_its_flows_along() {
    let mut rig = Rig::new(world(1, &[]));
    let gone = Connection::open(&mut rig, (VM0, "10.0.1.4:1"), (INET, "8.8.8.8:443"));
    let kept = Connection::open(&mut rig, (VM1, "10.0.1.5:1"), (INET, "8.8.8.8:443"));
    rig.forward(VM0, &udp("10.0.1.4:7", "8.8.8.8:53", b"q"), INET);
    let mut without = world(2, &[]);
    without.publics.remove(&ip("20.0.0.9"));
    let nic = nic_mut(&mut without, VM0);
    nic.public = PublicSource::Shared(postern_dataplane::policy::SourceId(0));
    nic.instance_address = None;
    let expected = SweepReport {
        rebound: 1,
        ..report(2, 1, 1)
    };
    assert_eq!(rig.apply(without), expected);
    rig.made();
    kept.is_alive(&mut rig);
    rig.drop(
        VM0,
        &gone.client_sends(ACK, 101, 501, b"x"),
        DropReason::FlowClosed,
    );
    let anew = rig.forward(VM0, &udp("10.0.1.4:7", "8.8.8.8:53", b"q"), INET);
    assert_eq!(source(&anew), ip(POOL));
}

#[test]
fn public_address_that_went_to_another_nic_does_not_serve_the_first() {
    let mut rig = Rig::new(world(1, &[]));
    Connection::open(&mut rig, (VM0, "10.0.1.4:1"), (INET, "8.8.8.8:443"));
    let mut moved = world(2, &[]);
    moved
        .publics
        .insert(ip("20.0.0.9"), PublicAddress::OneToOne(VM1));
    nic_mut(&mut moved, VM0).public = PublicSource::None;
    nic_mut(&mut moved, VM1).public = PublicSource::OneToOne(ip("20.0.0.9"));
    assert_eq!(rig.apply(moved), report(2, 0, 1));
}

#[test]
fn removed_port_takes_its_flows_along() {
    let mut rig = Rig::new(world(1, &[]));
    let local = Connection::open(&mut rig, (VM2, "10.0.2.4:1"), (VM0, "10.0.1.4:80"));
    let kept = Connection::open(&mut rig, (VM1, "10.0.1.5:1"), (INET, "8.8.8.8:443"));
    let mut without = world(2, &[]);
    without.ports[0] = None;
    without.vnets[0].nics.remove(&ip("10.0.1.4"));
    without.publics.remove(&ip("20.0.0.9"));
    assert_eq!(rig.apply(without), report(2, 1, 1));
    let made = rig.made();
    assert_eq!(
        (made.len(), made[0].port),
        (1, VM2),
        "nothing can be sent to a port that is gone"
    );
    kept.is_alive(&mut rig);
    rig.drop(
        VM2,
        &local.client_sends(ACK, 101, 501, b"x"),
        DropReason::FlowClosed,
    );
}

#[test]
fn over_is_over_a_finished_connection_is_not_reset_again() {
    let mut rig = Rig::new(world(1, &[]));
    let a = Connection::open(&mut rig, (VM0, "10.0.1.4:1"), (SVC, "52.239.0.10:443"));
    rig.forward(VM0, &a.client_sends(FIN | ACK, 101, 501, b""), SVC);
    rig.forward(SVC, &a.server_sends(FIN | ACK, 501, 102, b""), VM0);
    rig.forward(VM0, &a.client_sends(ACK, 102, 502, b""), SVC);
    assert_eq!(rig.apply(world(2, &[STORAGE])), report(2, 0, 0));
    assert_eq!(rig.made(), []);
}

/// All flows of an engine with many, swept in steps, with traffic between the steps.
#[test]
fn sweep_in_steps_reaches_every_flow_once() {
    let mut rig = Rig::new(world(1, &[]));
    let storage: Vec<_> = (0..200)
        .map(|n| {
            Connection::open(
                &mut rig,
                (VM1, &format!("10.0.1.5:{}", 2000 + n)),
                (SVC, "52.239.0.10:443"),
            )
        })
        .collect();
    let others: Vec<_> = (0..200)
        .map(|n| {
            Connection::open(
                &mut rig,
                (VM1, &format!("10.0.1.5:{}", 2000 + n)),
                (INET, "8.8.8.8:443"),
            )
        })
        .collect();
    rig.engine
        .install(std::sync::Arc::new(world(2, &[STORAGE])));
    let now = postern_dataplane::time::Now::from_millis(rig.now);
    let mut steps = 0;
    let done = loop {
        if let Some(report) = rig.engine.advance(now, 16) {
            break report;
        }
        steps += 1;
        rig.made();
        others[steps].is_alive(&mut rig);
        // Some of the doomed are met by traffic before the sweep comes by.
        let doomed = &storage[199 - steps];
        rig.drop(
            VM1,
            &doomed.client_sends(ACK, 101, 501, b"x"),
            DropReason::FlowClosed,
        );
    };
    assert!(steps >= 24);
    assert_eq!(done, report(2, 200, 200));
    rig.made();
}
