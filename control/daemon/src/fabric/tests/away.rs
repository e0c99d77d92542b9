//! Ports that wait for their namespace, and devices that somebody changed.

use super::*;
use std::time::{Duration, Instant};

/// The states of the ports that wait, as `NAME: REASON`.
fn waiting(bench: &Bench) -> Vec<String> {
    let detached = bench.fabric.detached().into_iter();
    detached
        .map(|it| format!("{}: {}", it.port, it.reason))
        .collect()
}

fn miss(bench: &Bench, names: &[&str]) {
    let mut missing = bench.state.missing.borrow_mut();
    missing.clear();
    missing.extend(names.iter().map(|&name| name.to_owned()));
}

fn look(bench: &mut Bench) -> Seen {
    bench.fabric.look(&[]).unwrap()
}

#[test]
fn a_start_without_any_namespace_is_one() {
    let mut bench = Bench::bare();
    miss(&bench, &["vm0", "inet", "(own)"]);
    let applied = bench.apply(ONE_NIC).unwrap();
    assert!(matches!(applied, Applied::Changed { .. }));
    assert_eq!(bench.state.steps(), ["install 1 +0 -0"]);
    assert_eq!(
        waiting(&bench),
        [
            "nic/vm0: no namespace vm0",
            "internet: no namespace inet",
            "platform: no namespace (own)"
        ]
    );
    assert_eq!(look(&mut bench), Seen::default());
    // It is the policy in force: nothing changes by asking for it again.
    assert!(bench.changes(ONE_NIC).is_empty());
    assert_eq!(bench.fabric.epoch(), Epoch(1));

    miss(&bench, &["inet"]);
    let seen = look(&mut bench);
    assert!(seen.has_changed && !seen.has_more);
    assert_eq!(
        bench.state.steps(),
        ["attach vm0 as 0", "attach (own) as 2", "install 1 +2 -0"]
    );
    assert_eq!(waiting(&bench), ["internet: no namespace inet"]);
    assert_eq!(bench.fabric.epoch(), Epoch(1), "the policy is the same");
}

#[test]
fn a_change_that_names_a_missing_namespace_is_in_force_and_waits() {
    let mut bench = Bench::new(ONE_NIC);
    miss(&bench, &["vm1"]);
    let two = [ONE_NIC, SECOND_NIC].concat();
    assert_eq!(bench.changes(&two).len(), 1);
    assert_eq!(waiting(&bench), ["nic/vm1: no namespace vm1"]);
    assert_eq!(bench.state.devices(), ["(own)", "inet", "vm0"]);
    // It can be changed and removed like any other.
    let moved = two.replace("10.0.1.5", "10.0.1.6");
    assert_eq!(bench.changes(&moved).len(), 1);
    assert_eq!(bench.changes(ONE_NIC).len(), 1);
    assert!(waiting(&bench).is_empty());
    bench.state.steps();
    miss(&bench, &[]);
    assert_eq!(look(&mut bench), Seen::default());
    assert!(bench.state.steps().is_empty());
}

#[test]
fn a_namespace_that_goes_takes_its_device_along_and_no_other() {
    let two = [ONE_NIC, SECOND_NIC].concat();
    let mut bench = Bench::new(&two);
    let (vm0, vm1) = (bench.number("nic/vm0"), bench.number("nic/vm1"));
    miss(&bench, &["vm0"]);
    assert!(look(&mut bench).has_changed);
    assert_eq!(bench.state.devices(), ["(own)", "inet", "vm1"]);
    assert_eq!(waiting(&bench), ["nic/vm0: no namespace vm0"]);
    assert_ne!(bench.number("nic/vm0"), vm0, "its flows are nobody's");
    assert_eq!(bench.number("nic/vm1"), vm1);
    bench.state.steps();
    assert_eq!(look(&mut bench), Seen::default(), "nothing more to do");
    // The resource can go while it is away.
    assert_eq!(bench.changes(SECOND_NIC_ALONE).len(), 1);
    assert!(waiting(&bench).is_empty());
}

/// The file without the first NIC.
const SECOND_NIC_ALONE: &str = r#"
location = "koreacentral"
[internet]
namespace = "inet"
addresses = ["93.184.216.34/24"]
[defaultOutbound]
publicIPAddress = "20.200.0.1"
[[virtualNetwork]]
name = "VNet1"
addressPrefixes = ["10.0.0.0/16"]
[[virtualNetwork.subnet]]
name = "subnet1"
addressPrefix = "10.0.1.0/24"
[[networkInterface]]
name = "vm1"
virtualNetwork = "VNet1"
subnet = "subnet1"
privateIPAddress = "10.0.1.5"
namespace = "vm1"
"#;

#[test]
fn two_names_that_swap_their_namespaces_get_their_ports_right() {
    let two = [ONE_NIC, SECOND_NIC].concat();
    let mut bench = Bench::new(&two);
    let made = [("vm0".to_owned(), 7), ("vm1".to_owned(), 6)];
    bench.state.remade.borrow_mut().extend(made);
    assert!(look(&mut bench).has_changed);
    assert_eq!(
        bench.state.steps(),
        [
            "install 1 +0 -2",
            "attach vm0 as 4",
            "attach vm1 as 5",
            "install 2 +2 -0"
        ]
    );
    assert_eq!(look(&mut bench), Seen::default());
}

#[test]
fn a_device_that_cannot_be_made_at_the_start_waits_and_refuses_no_change() {
    let mut bench = Bench::bare();
    bench
        .state
        .refuse_attach
        .borrow_mut()
        .insert("vm0".to_owned());
    bench.apply(ONE_NIC).unwrap();
    assert_eq!(
        waiting(&bench),
        ["nic/vm0: namespace `vm0`, device `postern0`: cannot do it: entity already exists"]
    );
    let two = [ONE_NIC, SECOND_NIC].concat();
    assert_eq!(bench.changes(&two).len(), 1, "another NIC can come");
    // The change that brings such a device is refused.
    bench
        .state
        .refuse_attach
        .borrow_mut()
        .insert("vm2".to_owned());
    let third = SECOND_NIC
        .replace("vm1", "vm2")
        .replace("10.0.1.5", "10.0.1.6");
    let error = bench.apply(&[&two, third.as_str()].concat()).unwrap_err();
    assert!(matches!(error, FabricError::Attach { .. }), "{error}");
    // Once nothing is in the way, the device is made.
    bench.state.refuse_attach.borrow_mut().clear();
    let deadline = Instant::now() + Duration::from_secs(60);
    while !waiting(&bench).is_empty() {
        assert!(Instant::now() < deadline);
        look(&mut bench);
    }
}

#[test]
fn a_device_that_somebody_deleted_keeps_its_number() {
    let mut bench = Bench::new(ONE_NIC);
    let number = bench.number("nic/vm0");
    let port = PortId(number);
    let mut attached = bench.fabric.host.attached.borrow_mut();
    attached.retain(|(id, _)| *id != port);
    drop(attached);
    assert!(look(&mut bench).has_changed);
    assert_eq!(
        bench.state.steps(),
        [format!("attach vm0 as {number}"), "install 1 +1 -0".into()]
    );
    assert!(waiting(&bench).is_empty());
}

#[test]
fn a_device_that_somebody_renamed_is_made_anew() {
    let mut bench = Bench::new(ONE_NIC);
    let number = bench.number("nic/vm0");
    bench.state.is_renamed.set(true);
    let deadline = Instant::now() + Duration::from_secs(60);
    while bench.number("nic/vm0") == number {
        assert!(Instant::now() < deadline);
        bench.fabric.look(&[PortId(number)]).unwrap();
    }
    bench.state.is_renamed.set(false);
    assert!(waiting(&bench).is_empty());
    assert_eq!(bench.state.devices(), ["(own)", "inet", "vm0"]);
}

#[test]
fn what_is_taken_off_a_device_is_put_back_or_told() {
    let mut bench = Bench::new(ONE_NIC);
    let port = PortId(bench.number("nic/vm0"));
    bench
        .state
        .taken_off
        .borrow_mut()
        .push("address 10.0.1.4/24".to_owned());
    bench.fabric.look(&[port]).unwrap();
    assert!(bench.state.taken_off.borrow().is_empty());
    assert!(bench.fabric.trouble.impaired.is_empty());
    bench.state.is_held.set(true);
    bench.fabric.look(&[port]).unwrap();
    let told = &bench.fabric.trouble.impaired[&port];
    assert!(told.contains("cannot do it"), "{told}");
    // Tried again without being told to.
    bench.state.is_held.set(false);
    let deadline = Instant::now() + Duration::from_secs(60);
    while !bench.fabric.trouble.impaired.is_empty() {
        assert!(Instant::now() < deadline);
        look(&mut bench);
    }
}

fn process(start: u64, inode: u64) -> Process {
    Process {
        boot: "b".to_owned(),
        start,
        device: 4,
        inode,
    }
}

#[test]
fn another_process_of_the_number_is_never_attached() {
    let text = ONE_NIC.replace("namespace = \"vm0\"", "namespace = \"pid:77\"");
    let mut bench = Bench::bare();
    let live = |bench: &Bench, process: Option<Process>| {
        let mut processes = bench.state.processes.borrow_mut();
        processes.clear();
        processes.extend(process.map(|process| (77, process)));
    };
    live(&bench, Some(process(100, 9)));
    bench.apply(&text).unwrap();
    assert!(waiting(&bench).is_empty());

    live(&bench, None);
    assert!(look(&mut bench).has_changed);
    assert_eq!(waiting(&bench), ["nic/vm0: no process 77"]);
    // The number is another process's, in another namespace, or even in the same one.
    for other in [process(200, 10), process(200, 9), process(100, 10)] {
        live(&bench, Some(other));
        assert_eq!(look(&mut bench), Seen::default());
        assert_eq!(
            waiting(&bench),
            [
                "nic/vm0: pid:77 is not what it was: it was another process when the binding was \
                 written; write it again"
            ]
        );
        // Changes of something else do not count as writing it again.
        assert!(bench.changes(&text).is_empty());
    }
    let model = bench.fabric.model().clone();
    bench
        .fabric
        .apply_rebound(model, &|owner| owner == "nic/vm0")
        .unwrap();
    assert!(waiting(&bench).is_empty());
    assert!(look(&mut bench) == Seen::default());
}

#[test]
fn services_that_mean_different_processes_by_a_number_wait() {
    let service = |name: &str, address: &str| {
        format!(
            "[[service]]\nname = \"{name}\"\nservice = \"Microsoft.Storage\"\n\
             location = \"koreacentral\"\naddress = \"{address}\"\nnamespace = \"pid:77\"\n"
        )
    };
    let mut bench = Bench::bare();
    let put = |bench: &Bench, start| {
        let mut processes = bench.state.processes.borrow_mut();
        processes.insert(77, process(start, start));
    };
    put(&bench, 1);
    let first = [ONE_NIC, &service("first", "20.60.16.5")].concat();
    bench.apply(&first).unwrap();
    assert!(waiting(&bench).is_empty());
    // The number is another process's by now, and for that one the second service is bound.
    put(&bench, 2);
    let both = [first, service("second", "20.60.16.6")].concat();
    bench.apply(&both).unwrap();
    assert_eq!(waiting(&bench).len(), 1, "{:?}", waiting(&bench));
    // Bound again, both mean the same.
    let model = bench.fabric.model().clone();
    bench
        .fabric
        .apply_rebound(model, &|owner| owner == "service/first")
        .unwrap();
    assert!(waiting(&bench).is_empty());
}

/// A file with one service that has a front.
fn with_front() -> String {
    format!(
        "{ONE_NIC}\n[[service]]\nname = \"contoso\"\nservice = \"Microsoft.Storage\"\n\
         location = \"koreacentral\"\naddress = \"20.60.16.5\"\nnamespace = \"svc\"\n\
         [service.front]\nports = [443]\nconnect = \"127.0.0.1:10000\"\n"
    )
}

#[test]
fn a_front_opens_when_its_namespace_comes() {
    let mut bench = Bench::bare();
    miss(&bench, &["svc"]);
    bench.apply(&with_front()).unwrap();
    let listens = |steps: &[String]| steps.iter().any(|step| step == "listen svc 443");
    assert!(!listens(&bench.state.steps()));
    // What is told once it listens.
    let waiting = bench.fabric.trouble.shut.clone();
    assert!(bench.fabric.opened(&waiting).is_empty(), "it waits still");
    let told = bench.fabric.opened(&[]);
    let told: Vec<_> = told.iter().map(|door| door.port).collect();
    assert_eq!(told, [443]);
    miss(&bench, &[]);
    assert!(look(&mut bench).has_changed);
    assert!(listens(&bench.state.steps()));
    assert!(bench.fabric.trouble.shut.is_empty());
}
