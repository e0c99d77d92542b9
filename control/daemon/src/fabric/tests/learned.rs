//! What gateways learn, over the transaction.

use super::*;
use postern_host::learn::Source;
use postern_network::model::{GatewayRoutes, LearnedRoute, RouteProtocol};

const GATEWAY: &str = r#"
[[gateway]]
name = "vpn"
virtualNetwork = "VNet1"
learnedRoutes = {}
namespace = "gw"
"#;

fn routes(prefixes: &[&str], router: &str) -> GatewayRoutes {
    let route = |prefix: &&str| LearnedRoute {
        prefix: prefix.parse().unwrap(),
        next_hop: router.parse().ok(),
        protocol: RouteProtocol(12),
        metric: 32,
    };
    GatewayRoutes::new(prefixes.iter().map(route).collect())
}

fn bench() -> (Bench, Source) {
    let bench = Bench::new(&[ONE_NIC, GATEWAY].concat());
    let source = bench.fabric.learning().remove(0);
    (bench, source)
}

/// The prefixes that are in force, and how many routes the NIC's subnet has.
fn learned(bench: &Bench) -> (Vec<String>, usize) {
    let view = bench.fabric.learned_view();
    let networks = view.value.into_iter().map(|route| route.network);
    let subnet = &bench.fabric.snapshot.subnets[0];
    (networks.collect(), subnet.routes.routes().len())
}

#[test]
fn learned_routes_make_a_policy_and_leave_the_model_alone() {
    let (mut bench, source) = bench();
    let (_, without) = learned(&bench);
    let model = bench.fabric.model().clone();
    let applied = bench
        .fabric
        .learn(&source, routes(&["192.168.9.0/24"], "172.31.0.2"));
    assert!(
        matches!(applied.unwrap(), Some(Applied::Changed { changes, .. }) if changes.is_empty())
    );
    assert_eq!(bench.fabric.epoch(), Epoch(2));
    assert_eq!(
        learned(&bench),
        (vec!["192.168.9.0/24".to_owned()], without + 1)
    );
    assert_eq!(*bench.fabric.model(), model);
    assert!(
        bench.changes(&[ONE_NIC, GATEWAY].concat()).is_empty(),
        "no change"
    );
    // Another router, or the same again, is no new policy.
    let applied = bench
        .fabric
        .learn(&source, routes(&["192.168.9.0/24"], "172.31.0.6"));
    assert!(matches!(applied.unwrap(), Some(Applied::Unchanged)));
    let view = bench.fabric.learned_view();
    assert_eq!(view.value[0].next_hop.as_deref(), Some("172.31.0.6"));
    assert_eq!(bench.fabric.epoch(), Epoch(2));
    // Another resource keeps what was learned.
    bench
        .apply(&[ONE_NIC, GATEWAY, SECOND_NIC].concat())
        .unwrap();
    assert_eq!(learned(&bench).1, without + 1);
    bench
        .fabric
        .learn(&source, GatewayRoutes::default())
        .unwrap();
    assert_eq!(learned(&bench), (Vec::new(), without));
}

#[test]
fn what_comes_from_elsewhere_is_forgotten_and_not_taken() {
    for other in [
        GATEWAY.replace("learnedRoutes = {}\n", ""),
        GATEWAY.replace("{}", "{ table = 100 }"),
        GATEWAY.replace("\"gw\"", "\"gw2\""),
        GATEWAY.replace("\"vpn\"", "\"other\""),
        String::new(),
    ] {
        let (mut bench, source) = bench();
        let some = routes(&["192.168.9.0/24"], "");
        bench.fabric.learn(&source, some.clone()).unwrap();
        bench.apply(&[ONE_NIC, &other].concat()).unwrap();
        assert!(learned(&bench).0.is_empty(), "{other}");
        let late = bench.fabric.learn(&source, some).unwrap();
        assert!(late.is_none(), "{other}");
    }
}

#[test]
fn a_namespace_that_was_made_again_teaches_anew() {
    let (mut bench, source) = bench();
    bench
        .fabric
        .learn(&source, routes(&["192.168.9.0/24"], ""))
        .unwrap();
    bench.state.remade.borrow_mut().insert("gw".to_owned(), 9);
    bench.apply(&[ONE_NIC, GATEWAY].concat()).unwrap();
    assert!(learned(&bench).0.is_empty());
    let now = bench.fabric.learning().remove(0);
    assert_ne!(now, source);
    assert!(
        bench
            .fabric
            .learn(&now, routes(&["192.168.9.0/24"], ""))
            .unwrap()
            .is_some()
    );
}

#[test]
fn a_port_that_has_to_wait_keeps_no_learned_routes_up() {
    let (mut bench, source) = bench();
    bench
        .fabric
        .learn(&source, routes(&["192.168.9.0/24"], ""))
        .unwrap();
    // The namespace of another port was made again and takes no device.
    bench.state.remade.borrow_mut().insert("vm0".to_owned(), 9);
    bench
        .state
        .refuse_attach
        .borrow_mut()
        .insert("vm0".to_owned());
    let told = bench.fabric.learn(&source, routes(&["192.168.8.0/24"], ""));
    assert!(matches!(told, Ok(Some(Applied::Changed { .. }))));
    assert_eq!(learned(&bench).0, ["192.168.8.0/24"]);
    assert_eq!(bench.fabric.detached().len(), 1);
}
