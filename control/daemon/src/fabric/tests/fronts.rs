//! Fronts change with the policy, or not at all.

use super::*;

/// A file with one service, which has a front at this port, or none.
fn service(port: Option<u16>) -> String {
    let front = port
        .map(|port| format!("[service.front]\nports = [{port}]\nconnect = \"127.0.0.1:10000\"\n"));
    format!(
        "{ONE_NIC}\n[[service]]\nname = \"contoso\"\nservice = \"Microsoft.Storage\"\n\
         location = \"koreacentral\"\naddress = \"20.60.16.5\"\nnamespace = \"svc\"\n{}",
        front.unwrap_or_default()
    )
}

#[test]
fn fronts_listen_before_the_policy_is_in_force_and_open_after() {
    let mut bench = Bench::new(&service(Some(443)));
    bench.apply(&service(Some(8443))).unwrap();
    let steps = bench.state.steps();
    let order = ["listen svc 8443", "install 2 +0 -0", "open contoso"];
    let kept: Vec<_> = steps
        .iter()
        .filter(|step| order.contains(&step.as_str()))
        .collect();
    assert_eq!(kept, order);
    assert!(
        bench.changes(&service(Some(8443))).is_empty(),
        "the same again"
    );
}

#[test]
fn a_front_that_cannot_listen_leaves_the_policy_that_was() {
    let mut bench = Bench::new(&service(None));
    bench.state.refuse_listen.set(true);
    let error = bench.apply(&service(Some(443))).unwrap_err();
    assert!(matches!(error, FabricError::Shut(_)), "{error}");
    assert_eq!(bench.state.steps(), ["listen svc 443"]);
    assert_eq!(bench.fabric.epoch(), Epoch(1));
}

#[test]
fn a_policy_that_cannot_be_installed_opens_no_front() {
    let mut bench = Bench::new(&service(None));
    bench.state.refuse_update.set(true);
    // The MTU changes the device, which fails.
    let text = service(Some(443)).replace("namespace = \"svc\"", "namespace = \"svc\"\nmtu = 1400");
    assert!(bench.apply(&text).is_err());
    let steps = bench.state.steps();
    assert!(
        !steps.iter().any(|step| step.starts_with("open")),
        "{steps:?}"
    );
}
