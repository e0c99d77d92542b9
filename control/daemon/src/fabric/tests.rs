//! The transaction over a host that fails where it is told to.

mod away;
mod fronts;
mod keys;
mod learned;

use super::*;
use postern_dataplane::io::Tun;
use postern_network::config;
use postern_network::model::{NamespaceRef, Process};
use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::path::Path;
use std::rc::Rc;
use std::sync::mpsc::channel;

const ONE_NIC: &str = r#"
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
name = "vm0"
virtualNetwork = "VNet1"
subnet = "subnet1"
privateIPAddress = "10.0.1.4"
namespace = "vm0"
"#;

const SECOND_NIC: &str = r#"
[[networkInterface]]
name = "vm1"
virtualNetwork = "VNet1"
subnet = "subnet1"
privateIPAddress = "10.0.1.5"
namespace = "vm1"
"#;

/// What the host has and what it shall refuse.
#[derive(Debug, Default)]
struct State {
    /// Namespaces with a device of ours, by device name.
    devices: RefCell<BTreeSet<(String, String)>>,
    /// Every step, in order.
    steps: RefCell<Vec<String>>,
    /// Namespaces in which attaching fails.
    refuse_attach: RefCell<BTreeSet<String>>,
    /// Namespaces that are missing.
    missing: RefCell<BTreeSet<String>>,
    /// Which namespace stands behind a name, where it was made again.
    remade: RefCell<HashMap<String, u64>>,
    /// The processes that there are.
    processes: RefCell<HashMap<u32, Process>>,
    /// What the next look at a device puts back.
    taken_off: RefCell<Vec<String>>,
    /// Whether somebody else holds what a look would put back.
    is_held: Cell<bool>,
    /// Whether devices are not found by their name.
    is_renamed: Cell<bool>,
    refuse_listen: Cell<bool>,
    refuse_update: Cell<bool>,
}

impl State {
    fn note(&self, step: String) {
        self.steps.borrow_mut().push(step);
    }

    /// Returns the steps since the last call.
    fn steps(&self) -> Vec<String> {
        self.steps.take()
    }

    fn devices(&self) -> Vec<String> {
        self.devices
            .borrow()
            .iter()
            .map(|(namespace, _)| namespace.clone())
            .collect()
    }
}

#[derive(Debug)]
struct FakeDevice {
    state: Rc<State>,
    key: (String, String),
}

impl Drop for FakeDevice {
    fn drop(&mut self) {
        self.state.devices.borrow_mut().remove(&self.key);
    }
}

#[derive(Debug, Default)]
struct FakeHost {
    state: Rc<State>,
    attached: RefCell<Vec<(PortId, FakeDevice)>>,
    epoch: Cell<u32>,
}

fn absent(namespace: &NamespaceRef) -> AttachError {
    AttachError::NotFound {
        namespace: namespace.clone(),
        path: "/nowhere".into(),
        reason: rustix::io::Errno::NOENT,
    }
}

fn refused(namespace: &NamespaceRef) -> AttachError {
    AttachError::Configure {
        namespace: namespace.clone(),
        device: "postern0".to_owned(),
        step: "do it".to_owned(),
        source: std::io::ErrorKind::AlreadyExists.into(),
    }
}

impl Host for FakeHost {
    type Device = FakeDevice;

    type Listeners = ();

    fn prepare_fronts(&self, doors: &Doors) -> Result<((), Vec<Shut>), FrontError> {
        let mut shut = Vec::new();
        for (namespace, port) in doors.sockets() {
            if let Err(error) = self.identify(&namespace) {
                shut.push(Shut::new(namespace, port, &error));
                continue;
            }
            self.state.note(format!("listen {namespace} {port}"));
            if self.state.refuse_listen.take() {
                let error = refused(&namespace);
                shut.push(Shut::new(namespace, port, &error));
            }
        }
        Ok(((), shut))
    }

    fn commit_fronts(&self, (): (), doors: Doors) {
        for door in doors.iter() {
            self.state.note(format!("open {}", door.name));
        }
    }

    fn identify(&self, namespace: &NamespaceRef) -> Result<NamespaceId, AttachError> {
        if let NamespaceRef::Pinned(pinned) = namespace {
            let (written, pin) = (&pinned.written, &pinned.pin);
            let there = self.process(pin.pid).ok_or_else(|| absent(written))?;
            if pin.process.as_ref() != Some(&there) {
                return Err(AttachError::OtherProcess {
                    namespace: written.clone(),
                    how: "it was another process",
                });
            }
            return Ok(NamespaceId::new(there.device, there.inode));
        }
        let name = namespace.to_string();
        if self.state.missing.borrow().contains(&name) {
            return Err(absent(namespace));
        }
        let made = self.state.remade.borrow().get(&name).copied();
        Ok(NamespaceId::new(4, made.unwrap_or_default()))
    }

    fn process(&self, pid: u32) -> Option<Process> {
        self.state.processes.borrow().get(&pid).cloned()
    }

    fn mend(&self, spec: &PortSpec, _: NamespaceId) -> Result<Vec<String>, AttachError> {
        if self.state.is_renamed.get() {
            return Err(AttachError::Gone {
                namespace: spec.namespace.clone(),
                device: spec.device.clone(),
            });
        }
        if self.state.is_held.get() {
            return Err(refused(&spec.namespace));
        }
        Ok(self.state.taken_off.take())
    }

    fn attach(&self, spec: &PortSpec) -> Result<(FakeDevice, NamespaceId), AttachError> {
        let place = self.identify(&spec.namespace)?;
        let namespace = spec.namespace.to_string();
        if self.state.refuse_attach.borrow().contains(&namespace) {
            self.state.note(format!("refuse {namespace}"));
            return Err(refused(&spec.namespace));
        }
        let taken = self.state.devices().contains(&namespace);
        assert!(!taken, "{namespace} has a device already");
        self.state
            .note(format!("attach {namespace} as {}", spec.id.0));
        let key = (namespace, spec.device.clone());
        self.state.devices.borrow_mut().insert(key.clone());
        let state = Rc::clone(&self.state);
        Ok((FakeDevice { state, key }, place))
    }

    fn update(&self, old: &PortSpec, new: &PortSpec) -> Result<(), AttachError> {
        self.state.note(format!(
            "update {} to {} routes",
            old.name,
            new.routes.len()
        ));
        if self.state.refuse_update.take() {
            Err(refused(&new.namespace))
        } else {
            Ok(())
        }
    }

    fn devices(&self) -> Result<Vec<PortId>, WorkerGone> {
        Ok(self
            .attached
            .borrow()
            .iter()
            .map(|(port, _)| *port)
            .collect())
    }

    fn install(
        &self,
        snapshot: Arc<Snapshot>,
        attach: Vec<(PortId, FakeDevice)>,
        detach: Vec<PortId>,
    ) -> Result<Receiver<SweepReport>, WorkerGone> {
        let epoch = snapshot.epoch;
        self.state.note(format!(
            "install {} +{} -{}",
            epoch.0,
            attach.len(),
            detach.len()
        ));
        let mut attached = self.attached.borrow_mut();
        attached.retain(|(port, _)| !detach.contains(port));
        attached.extend(attach);
        self.epoch.set(epoch.0);
        let (sender, receiver) = channel();
        let report = SweepReport {
            epoch,
            kept: 1,
            closed: 0,
            rebound: 0,
            denied: 0,
        };
        sender.send(report).unwrap();
        Ok(receiver)
    }
}

struct Bench {
    fabric: Fabric<FakeHost>,
    state: Rc<State>,
}

impl Bench {
    /// Returns a fabric in which nothing is in force yet.
    fn bare() -> Self {
        let state = Rc::new(State::default());
        let host = FakeHost {
            state: Rc::clone(&state),
            ..FakeHost::default()
        };
        let fabric = Fabric::new(host, Arc::new(Catalog::bundled().unwrap()));
        Self { fabric, state }
    }

    /// Returns a fabric in which `text` is in force.
    fn new(text: &str) -> Self {
        let mut bench = Self::bare();
        bench.apply(text).unwrap();
        bench.state.steps();
        bench
    }

    fn apply(&mut self, text: &str) -> Result<Applied, FabricError> {
        let model = config::parse(Path::new("test.toml"), text, self.fabric.catalog());
        self.fabric
            .apply(model.unwrap_or_else(|errors| panic!("{errors}")))
    }

    /// Returns the file, ready to come into force.
    fn draft(&self, text: &str) -> Draft {
        let model = config::parse(Path::new("test.toml"), text, self.fabric.catalog());
        let model = model.unwrap_or_else(|errors| panic!("{errors}"));
        let draft = self.fabric.draft(model, &|_| false).unwrap();
        draft.expect("it differs")
    }

    fn changes(&mut self, text: &str) -> Vec<String> {
        match self.apply(text).unwrap() {
            Applied::Unchanged => Vec::new(),
            Applied::Changed { changes, .. } => changes.iter().map(ToString::to_string).collect(),
        }
    }

    fn number(&self, port: &str) -> u16 {
        self.fabric
            .ports
            .iter()
            .find(|spec| spec.name == port)
            .unwrap()
            .id
            .0
    }
}

#[test]
fn the_first_apply_attaches_everything_then_installs() {
    let mut bench = Bench::new("");
    assert_eq!(bench.fabric.epoch(), Epoch(1), "an empty policy is one too");
    assert_eq!(bench.changes(ONE_NIC).len(), 5);
    assert_eq!(
        bench.state.steps(),
        ["attach vm0 as 1", "attach inet as 2", "install 2 +2 -0"]
    );
    assert_eq!(bench.state.devices(), ["(own)", "inet", "vm0"]);
}

#[test]
fn the_same_file_twice_changes_nothing() {
    let mut bench = Bench::new(ONE_NIC);
    assert!(matches!(bench.apply(ONE_NIC).unwrap(), Applied::Unchanged));
    assert_eq!(bench.fabric.epoch(), Epoch(1));
    assert!(bench.state.steps().is_empty());
}

#[test]
fn an_endpoint_that_is_on_stays_on_without_a_new_epoch() {
    let mut bench = Bench::new(ONE_NIC);
    let mut enable = || {
        bench
            .fabric
            .set_endpoint("vnet1", "SUBNET1", "microsoft.storage", true)
            .unwrap()
    };
    assert!(matches!(enable(), Applied::Changed { .. }));
    assert!(matches!(enable(), Applied::Unchanged));
    assert_eq!(bench.fabric.epoch(), Epoch(2));
    let unknown = bench
        .fabric
        .set_endpoint("VNet1", "subnet1", "Microsoft.Nothing", true);
    assert!(matches!(unknown, Err(FabricError::Model(_))));
}

#[test]
fn ports_come_before_the_policy_and_go_with_it() {
    let mut bench = Bench::new(ONE_NIC);
    let two = [ONE_NIC, SECOND_NIC].concat();
    bench.apply(&two).unwrap();
    assert_eq!(bench.state.steps(), ["attach vm1 as 3", "install 2 +1 -0"]);
    bench.apply(ONE_NIC).unwrap();
    assert_eq!(bench.state.steps(), ["install 3 +0 -1"]);
    assert_eq!(bench.state.devices(), ["(own)", "inet", "vm0"]);
}

#[test]
fn a_port_that_cannot_be_attached_undoes_the_others() {
    let mut bench = Bench::new(ONE_NIC);
    bench
        .state
        .refuse_attach
        .borrow_mut()
        .insert("vm2".to_owned());
    let third = SECOND_NIC
        .replace("vm1", "vm2")
        .replace("10.0.1.5", "10.0.1.6");
    let three = [ONE_NIC, SECOND_NIC, &third].concat();
    let error = bench.apply(&three).unwrap_err();
    assert!(
        matches!(&error, FabricError::Attach { port, .. } if port == "nic/vm2"),
        "{error}"
    );
    assert_eq!(bench.state.steps(), ["attach vm1 as 3", "refuse vm2"]);
    assert_eq!(bench.state.devices(), ["(own)", "inet", "vm0"]);
    assert_eq!(bench.fabric.epoch(), Epoch(1));
    // What failed leaves no trace: the next apply starts from the policy in force.
    bench.state.refuse_attach.borrow_mut().clear();
    assert_eq!(bench.changes(&three).len(), 2);
    assert_eq!(bench.fabric.epoch(), Epoch(2));
}

#[test]
fn a_device_that_cannot_be_updated_is_set_back() {
    let mut bench = Bench::new(ONE_NIC);
    bench.state.refuse_update.set(true);
    let moved = ONE_NIC.replace("20.200.0.1", "20.200.0.2");
    let more = [&moved, SECOND_NIC].concat();
    let error = bench.apply(&more).unwrap_err();
    assert!(
        matches!(&error, FabricError::Attach { port, .. } if port == "internet"),
        "{error}"
    );
    let steps = bench.state.steps();
    assert_eq!(
        steps,
        [
            "attach vm1 as 3",
            "update internet to 1 routes",
            "update internet to 1 routes"
        ]
    );
    assert_eq!(bench.state.devices(), ["(own)", "inet", "vm0"]);
    assert_eq!(bench.fabric.epoch(), Epoch(1));
}

#[test]
fn a_nic_that_moves_gets_a_new_number() {
    let mut bench = Bench::new(ONE_NIC);
    let before = bench.number("nic/vm0");
    let moved = ONE_NIC.replace("namespace = \"vm0\"", "namespace = \"vm9\"");
    bench.apply(&moved).unwrap();
    assert_ne!(bench.number("nic/vm0"), before);
    assert_eq!(bench.state.steps(), ["attach vm9 as 3", "install 2 +1 -1"]);
    assert_eq!(bench.state.devices(), ["(own)", "inet", "vm9"]);
}

#[test]
fn a_namespace_is_freed_before_its_next_port_comes() {
    let mut bench = Bench::new(ONE_NIC);
    let renamed = ONE_NIC.replace("name = \"vm0\"", "name = \"other\"");
    bench.apply(&renamed).unwrap();
    assert_eq!(
        bench.state.steps(),
        ["install 1 +0 -1", "attach vm0 as 3", "install 2 +1 -0"]
    );
    assert_eq!(bench.state.devices(), ["(own)", "inet", "vm0"]);

    let off = renamed.replace(
        "namespace = \"vm0\"",
        "namespace = \"vm0\"\noffload = \"off\"",
    );
    bench.apply(&off).unwrap();
    assert_eq!(
        bench.state.steps(),
        ["install 2 +0 -1", "attach vm0 as 4", "install 3 +1 -0"]
    );
}

#[test]
fn two_nics_may_swap_their_namespaces() {
    let two = [ONE_NIC, SECOND_NIC].concat();
    let mut bench = Bench::new(&two);
    let swapped = two
        .replace("namespace = \"vm0\"", "namespace = \"vmX\"")
        .replace("namespace = \"vm1\"", "namespace = \"vm0\"")
        .replace("namespace = \"vmX\"", "namespace = \"vm1\"");
    bench.apply(&swapped).unwrap();
    assert_eq!(
        bench.state.steps(),
        [
            "install 1 +0 -2",
            "attach vm1 as 4",
            "attach vm0 as 5",
            "install 2 +2 -0"
        ]
    );
}

#[test]
fn a_replacement_that_fails_brings_the_old_port_back() {
    let mut bench = Bench::new(ONE_NIC);
    let off = ONE_NIC.replace(
        "namespace = \"vm0\"",
        "namespace = \"vm0\"\noffload = \"off\"",
    );
    // Refused once: the return of the old device succeeds only if the host lets it.
    bench
        .state
        .refuse_attach
        .borrow_mut()
        .insert("vm0".to_owned());
    assert!(bench.apply(&off).is_err());
    assert_eq!(
        bench.state.steps(),
        [
            "install 1 +0 -1",
            "refuse vm0",
            "refuse vm0",
            "install 1 +0 -0"
        ]
    );
    assert_eq!(bench.fabric.epoch(), Epoch(1));
    assert_eq!(bench.fabric.missing().unwrap(), [PortId(0)]);

    // The port that is away comes back with the next apply, though no resource changes.
    bench.state.refuse_attach.borrow_mut().clear();
    assert!(
        matches!(bench.apply(ONE_NIC).unwrap(), Applied::Changed { changes, .. } if changes.is_empty())
    );
    assert_eq!(bench.state.steps(), ["attach vm0 as 0", "install 2 +1 -0"]);
    assert!(bench.fabric.missing().unwrap().is_empty());
}

#[test]
fn a_device_that_somebody_deleted_is_made_again() {
    let mut bench = Bench::new(ONE_NIC);
    bench.fabric.host.attached.borrow_mut().clear();
    assert_eq!(
        bench.fabric.missing().unwrap(),
        [PortId(0), PortId(1), PortId(2)]
    );
    assert!(matches!(
        bench.apply(ONE_NIC).unwrap(),
        Applied::Changed { .. }
    ));
    assert!(bench.fabric.missing().unwrap().is_empty());
    assert!(matches!(bench.apply(ONE_NIC).unwrap(), Applied::Unchanged));
}

#[test]
fn a_namespace_that_was_made_again_gets_its_port_again() {
    let mut bench = Bench::new(ONE_NIC);
    bench.state.remade.borrow_mut().insert("vm0".to_owned(), 7);
    assert!(matches!(
        bench.apply(ONE_NIC).unwrap(),
        Applied::Changed { .. }
    ));
    assert_eq!(
        bench.state.steps(),
        ["install 1 +0 -1", "attach vm0 as 3", "install 2 +1 -0"]
    );
    assert!(matches!(bench.apply(ONE_NIC).unwrap(), Applied::Unchanged));
}

#[test]
fn the_flow_table_cannot_grow_while_it_is_used() {
    let mut bench = Bench::new(ONE_NIC);
    let larger = ["[settings]\nmaxFlows = 5000\n", ONE_NIC].concat();
    // A top-level key may not follow a table.
    let larger = format!(
        "location = \"koreacentral\"\n{}",
        larger.replace("location = \"koreacentral\"\n", "")
    );
    let error = bench.apply(&larger).unwrap_err();
    assert!(
        matches!(error, FabricError::NeedsRestart { new: 5000, .. }),
        "{error}"
    );
    assert!(bench.state.steps().is_empty());
}

#[test]
fn the_report_of_the_sweep_is_passed_on() {
    let mut bench = Bench::new(ONE_NIC);
    let applied = bench
        .fabric
        .set_endpoint("VNet1", "subnet1", "Microsoft.Storage", true);
    let Ok(Applied::Changed { sweep, .. }) = applied else {
        panic!("{applied:?}")
    };
    let report = sweep
        .recv_timeout(std::time::Duration::from_secs(5))
        .unwrap();
    assert_eq!((report.epoch, report.kept), (Epoch(2), 1));
}

/// The real host's device type is the packet path's own.
#[test]
fn the_real_host_hands_over_tun_devices() {
    fn is_host<H: Host<Device = Tun>>() {}
    is_host::<LinuxHost>();
}

/// A service-tag file with these prefixes of storage in Korea Central.
fn storage_tags(change: u32, near: &str) -> Catalog {
    let text = format!(
        r#"{{"changeNumber":{change},"cloud":"Public","values":[
        {{"name":"Storage.KoreaCentral","id":"1","properties":{{"changeNumber":{change},
          "region":"koreacentral","addressPrefixes":[{near}]}}}},
        {{"name":"Storage.KoreaSouth","id":"2","properties":{{"changeNumber":4,
          "region":"koreasouth","addressPrefixes":["52.239.1.0/24"]}}}}]}}"#
    );
    Catalog::from_bytes(&format!("v{change}.json"), text.as_bytes()).unwrap()
}

#[test]
fn other_tags_come_into_force_whole_or_not_at_all() {
    let with_endpoint = ONE_NIC.replace(
        "addressPrefix = \"10.0.1.0/24\"\n",
        "addressPrefix = \"10.0.1.0/24\"\nserviceEndpoints = [\"Microsoft.Storage\"]\n",
    );
    let mut bench = Bench::new(&with_endpoint);
    bench
        .fabric
        .reload_tags(storage_tags(7, r#""52.239.0.0/24""#))
        .unwrap();
    assert_eq!(bench.fabric.epoch(), Epoch(2));
    bench.state.steps();

    let newer = || storage_tags(8, r#""52.239.0.0/24","52.239.9.0/28""#);
    let (report, applied) = bench.fabric.reload_tags(newer()).unwrap();
    assert!(matches!(applied, Applied::Changed { .. }));
    assert_eq!(bench.state.steps(), ["install 3 +0 -0"]);
    let [service] = &report.services[..] else {
        panic!("{report:?}")
    };
    assert_eq!(service.service, "Microsoft.Storage");
    let [tag] = &service.tags[..] else {
        panic!("one tag differs: {service:?}")
    };
    assert_eq!(
        (tag.name.as_str(), tag.in_use),
        ("Storage.KoreaCentral", true)
    );
    assert_eq!(
        (tag.change_number_before, tag.change_number_after),
        (Some(7), Some(8))
    );
    assert_eq!(
        (&tag.added[..], tag.removed.len()),
        (&["52.239.9.0/28".to_owned()][..], 0)
    );

    // The same data again, and data that lacks what is used.
    let (_, applied) = bench.fabric.reload_tags(newer()).unwrap();
    assert!(matches!(applied, Applied::Unchanged));
    let text = r#"{"changeNumber":9,"cloud":"Public","values":[{"name":"Sql","id":"Sql",
        "properties":{"changeNumber":1,"region":"","addressPrefixes":["40.0.0.0/24"]}}]}"#;
    let without = Catalog::from_bytes("v9.json", text.as_bytes()).unwrap();
    let refused = bench.fabric.reload_tags(without).unwrap_err().to_string();
    assert!(
        refused.starts_with("subnet VNet1/subnet1, serviceEndpoints = \"Microsoft.Storage\": ")
            && refused.contains("accepted: a service-tag file with Storage in koreacentral"),
        "{refused}"
    );
    assert_eq!(bench.fabric.epoch(), Epoch(3));
    assert_eq!(bench.fabric.catalog().change_number(), 8);
    assert!(bench.state.steps().is_empty());
    assert!(matches!(
        bench.apply(&with_endpoint).unwrap(),
        Applied::Unchanged
    ));
}
