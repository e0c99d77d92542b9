//! Resources that refuse by themselves, and endpoint policies: reference sections 6.1, 6.7 and 8.

#![allow(clippy::indexing_slicing, reason = "test code")]

mod common;

use common::Rig;
use common::packets::*;
use common::world::*;
use postern_dataplane::policy::{
    Access, AccessRule, AccessRuleId, AccessTable, Caller, DeniedBy, EndpointPolicy, NetworkRules,
    Refusal, Resource, ResourceId, Ruling, ServiceId, Snapshot, SubnetId, Who,
};
use postern_dataplane::stats::{DropReason, ResourceCounters};
use std::collections::HashSet;
use std::sync::Arc;

const ACCOUNT: ResourceId = ResourceId(3);
const STORAGE_AT: &str = "52.239.0.10:443";
const INSTANCE: &str = "20.0.0.9";

fn subnet(vnet: u32, number: u16) -> SubnetId {
    let identity = identity(vnet, number);
    (identity.vnet, identity.subnet)
}

/// An account that lets in who a rule names: these subnets, and this public address.
fn account(subnets: &[SubnetId], public: Option<&str>, refusal: Refusal) -> Resource {
    let by_subnet = subnets.iter().map(|&subnet| Who::Subnet(subnet));
    let by_address = public.map(|address| {
        let prefix = net(&format!("{address}/32"));
        Who::Addresses(Arc::new(postern_dataplane::policy::AddrSet::from_prefixes(
            [prefix],
        )))
    });
    let rules = by_subnet
        .chain(by_address)
        .zip(10..)
        .map(|(who, id)| AccessRule {
            id: AccessRuleId(id),
            who,
            access: Access::Allow,
        });
    Resource {
        service: STORAGE,
        address: ip("52.239.0.10"),
        rules: NetworkRules {
            rules: rules.collect(),
            otherwise: Access::Deny,
            ..NetworkRules::default()
        },
        has_front: false,
        refusal,
    }
}

fn with(epoch: u32, services: &[ServiceId], account: Resource) -> Snapshot {
    Snapshot {
        access: Arc::new(AccessTable::new([(ACCOUNT, account)], [])),
        ..world(epoch, services)
    }
}

fn syn(from: &str) -> Vec<u8> {
    tcp(from, STORAGE_AT, SYN, 100, 0, &[])
}

#[test]
fn an_endpoint_is_let_in_by_its_subnet_and_nobody_else_is() {
    let account = account(&[subnet(1, 1)], None, Refusal::Reset);
    let mut rig = Rig::new(with(1, &[STORAGE], account));
    let seen = rig.forward(VM0, &syn("10.0.1.4:5000"), SVC);
    assert_eq!(source(&seen), ip("10.0.1.4"));
    let admission = rig.engine.flows(None, 10)[0].admission.unwrap();
    assert_eq!(
        (admission.resource, admission.rule),
        (ACCOUNT, Some(AccessRuleId(10)))
    );
    // The sibling subnet has no endpoint; the other network has the same address.
    rig.drop(VM2, &syn("10.0.2.4:5000"), DropReason::ServiceDenied);
    rig.drop(FAR, &syn("10.0.1.4:5000"), DropReason::ServiceDenied);
    rig.drop(INET, &syn("93.184.216.34:5000"), DropReason::ServiceDenied);
    let counted = rig.engine.counters().resource(ACCOUNT);
    let expected = ResourceCounters {
        allowed: 1,
        denied_by_rules: 3,
        ..ResourceCounters::default()
    };
    assert_eq!(counted, expected);
    let resets = rig.made();
    let to: Vec<_> = resets
        .iter()
        .map(|made| (made.port, tcp_flags(&made.packet)))
        .collect();
    assert_eq!(to, [(VM2, RST | ACK), (FAR, RST | ACK), (INET, RST | ACK)]);
    assert_eq!(
        ends(&resets[0].packet),
        (addr(STORAGE_AT), addr("10.0.2.4:5000"))
    );
    assert_eq!(tcp_seq_ack(&resets[0].packet), (0, 101));
    assert_eq!(
        rig.engine.flow_count(),
        1,
        "a refused flow leaves nothing behind"
    );
    assert!(
        rig.engine.snat().iter().all(|pool| pool.tcp == 0),
        "and holds no port"
    );
}

#[test]
fn what_was_decided_of_a_resource_goes_with_it() {
    let open = || account(&[subnet(42, 7)], None, Refusal::Reset);
    let mut rig = Rig::new(with(1, &[STORAGE], open()));
    rig.send_any(VM0, &syn("10.0.1.4:4000"));
    let decided = |rig: &Rig| rig.engine.counters().resource(ACCOUNT);
    assert_ne!(decided(&rig), ResourceCounters::default());
    rig.engine.install(Arc::new(with(2, &[STORAGE], open())));
    assert_ne!(decided(&rig), ResourceCounters::default(), "it stays");
    rig.engine.install(Arc::new(world(3, &[STORAGE])));
    assert_eq!(decided(&rig), ResourceCounters::default());
}

/// The order that avoids an outage: reference section 2.1.
#[test]
fn an_address_rule_stops_matching_when_the_endpoint_is_on() {
    let only_address = || account(&[], Some(INSTANCE), Refusal::Reset);
    let mut rig = Rig::new(with(1, &[], only_address()));
    let seen = rig.forward(VM0, &syn("10.0.1.4:5000"), SVC);
    assert_eq!(source(&seen), ip(INSTANCE));
    rig.apply(with(2, &[STORAGE], only_address()));
    rig.made();
    rig.drop(VM0, &syn("10.0.1.4:5001"), DropReason::ServiceDenied);
    rig.apply(with(
        3,
        &[STORAGE],
        account(&[subnet(1, 1)], Some(INSTANCE), Refusal::Reset),
    ));
    rig.forward(VM0, &syn("10.0.1.4:5002"), SVC);
}

#[test]
fn a_refusal_can_be_an_error_or_nothing() {
    let closed = |refusal| with(1, &[STORAGE], account(&[], None, refusal));
    let mut rig = Rig::new(closed(Refusal::Prohibited));
    let packet = syn("10.0.1.4:5000");
    rig.drop(VM0, &packet, DropReason::ServiceDenied);
    let made = rig.made();
    assert_eq!(made[0].port, VM0);
    let error = &made[0].packet;
    assert_eq!(
        (error[9], error[20], error[21]),
        (1, 3, 13),
        "administratively prohibited"
    );
    assert_eq!(
        (source(error), &error[28..68]),
        (ip("52.239.0.10"), &packet[..])
    );
    let mut rig = Rig::new(closed(Refusal::Silent));
    rig.drop(VM0, &packet, DropReason::ServiceDenied);
    assert!(rig.made().is_empty());
    let mut rig = Rig::new(closed(Refusal::Reset));
    rig.drop(
        VM0,
        &udp("10.0.1.4:5000", STORAGE_AT, b"?"),
        DropReason::ServiceDenied,
    );
    let made = rig.made();
    assert_eq!(
        (made[0].packet[20], made[0].packet[21]),
        (3, 3),
        "port unreachable"
    );
}

#[test]
fn an_echo_asks_nothing_of_the_service() {
    let mut rig = Rig::new(with(1, &[STORAGE], account(&[], None, Refusal::Reset)));
    rig.forward(VM0, &echo("10.0.1.4", "52.239.0.10", true, 7), SVC);
}

#[test]
fn rules_act_on_new_connections_unless_told_otherwise() {
    let open = || account(&[subnet(1, 1)], None, Refusal::Reset);
    let closed = || account(&[], None, Refusal::Reset);
    for reevaluate in [false, true] {
        let set = |mut snapshot: Snapshot| {
            snapshot.settings.reevaluate_on_change = reevaluate;
            snapshot
        };
        let mut rig = Rig::new(set(with(1, &[STORAGE], open())));
        let seen = rig.forward(VM0, &syn("10.0.1.4:5000"), SVC);
        let report = rig.apply(set(with(2, &[STORAGE], closed())));
        assert_eq!(
            (report.kept, report.denied),
            if reevaluate { (0, 1) } else { (1, 0) }
        );
        let (client, server) = ends(&seen);
        let answer = tcp(
            &server.to_string(),
            &client.to_string(),
            SYN | ACK,
            500,
            101,
            &[],
        );
        if reevaluate {
            rig.drop(SVC, &answer, DropReason::FlowClosed);
        } else {
            rig.forward(SVC, &answer, VM0);
        }
        rig.drop(VM0, &syn("10.0.1.4:5001"), DropReason::ServiceDenied);
    }
}

/// A path that changes is a reset, whatever the rules say of the new one: the resource is asked again
/// by what comes next.
#[test]
fn a_switched_endpoint_resets_also_where_rules_act_on_live_flows() {
    let set = |epoch, services: &[ServiceId], account| {
        let mut snapshot = with(epoch, services, account);
        snapshot.settings.reevaluate_on_change = true;
        snapshot
    };
    let by_subnet = || account(&[subnet(1, 1)], None, Refusal::Reset);
    let by_address = || account(&[], Some(INSTANCE), Refusal::Reset);
    let on: &[ServiceId] = &[STORAGE];
    for (before, after, account) in [
        (&[][..], on, by_address as fn() -> Resource),
        (on, &[], by_subnet),
    ] {
        let mut rig = Rig::new(set(1, before, account()));
        rig.forward(VM0, &syn("10.0.1.4:5000"), SVC);
        let report = rig.apply(set(2, after, account()));
        assert_eq!((report.closed, report.denied), (1, 0), "{before:?}");
        let to: Vec<_> = rig.made().iter().map(|made| made.port).collect();
        assert_eq!(to.len(), 2, "{before:?}: {to:?}");
        rig.drop(VM0, &syn("10.0.1.4:5001"), DropReason::ServiceDenied);
    }
}

#[test]
fn a_front_gets_everyone() {
    let fronted = Resource {
        has_front: true,
        ..account(&[], None, Refusal::Reset)
    };
    let mut rig = Rig::new(with(1, &[STORAGE], fronted));
    rig.forward(VM0, &syn("10.0.1.4:5000"), SVC);
    assert_eq!(
        rig.engine.counters().resource(ACCOUNT),
        ResourceCounters::default()
    );
}

#[test]
fn an_endpoint_policy_refuses_or_audits() {
    let table = |audit| {
        let open = Resource {
            rules: NetworkRules::default(),
            ..account(&[], None, Refusal::Reset)
        };
        let policy = EndpointPolicy {
            service: STORAGE,
            allowed: HashSet::new(),
            audit,
        };
        Snapshot {
            access: Arc::new(AccessTable::new(
                [(ACCOUNT, open)],
                [(subnet(1, 1), policy)],
            )),
            ..world(1, &[STORAGE])
        }
    };
    let mut rig = Rig::new(table(false));
    rig.drop(VM0, &syn("10.0.1.4:5000"), DropReason::EndpointPolicyDenied);
    rig.forward(VM2, &syn("10.0.2.4:5000"), SVC);
    assert_eq!(rig.made().len(), 1);
    let events: Vec<_> = rig
        .engine
        .access_log(Some(ACCOUNT))
        .map(|event| (event.caller, event.ruling))
        .collect();
    let (vnet, number) = subnet(1, 1);
    let caller = Caller::Subnet {
        vnet,
        subnet: number,
        address: ip("10.0.1.4"),
    };
    assert_eq!(events[0], (caller, Ruling::Deny(DeniedBy::EndpointPolicy)));
    assert_eq!(events[1].0, Caller::Public(ip(POOL)));
    let mut rig = Rig::new(table(true));
    rig.forward(VM0, &syn("10.0.1.4:5000"), SVC);
    let counted = rig.engine.counters().resource(ACCOUNT);
    assert_eq!((counted.allowed, counted.audited), (1, 1));
}
