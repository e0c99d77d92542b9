//! Templates that would take for ever: they come to an end, go with their clients, and keep nobody from
//! the control socket, from reading, or from changing something.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a case ends with the message of what did not hold"
)]

use postern_tests::{
    Arm, Azure, Control, Fabric, INTERNET, PUBLIC_DEFAULT, azure_head, group_id, network_id,
    privileged, until,
};
use serde_json::{Value, json};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How long anything is waited for: a loaded machine is slow, and that is no fault of what is tested.
const PATIENCE: Duration = Duration::from_secs(120);
/// How many at once.
const CLIENTS: usize = 100;
/// How much more memory the daemon may have had, whatever is asked of it.
const MORE_MEMORY_KIB: u64 = 512 * 1024;

struct World {
    fabric: Fabric,
    owner: Arm,
    ca: std::path::PathBuf,
    url: String,
}

impl World {
    fn start() -> Self {
        let fabric = Fabric::start(&format!(
            "{}[internet]\naddresses = [\"{INTERNET}/24\"]\nnamespace = \"inet\"\n\
             [defaultOutbound]\npublicIPAddress = \"{PUBLIC_DEFAULT}\"\n",
            azure_head(),
        ));
        let azure = Azure::setup(&fabric);
        let owner = Arm::owner(&azure);
        let here = json!({ "location": "koreacentral" });
        owner.put(&group_id("rg"), &here).expect_success();
        let vnet = json!({ "location": "koreacentral", "properties": {
            "addressSpace": { "addressPrefixes": ["10.0.0.0/16"] },
            "subnets": [{ "name": "apps", "properties": { "addressPrefix": "10.0.1.0/24" } }]
        } });
        let hub = network_id("rg", "virtualNetworks/hub");
        owner.put(&hub, &vnet).expect_success();
        Self {
            fabric,
            owner,
            ca: azure.ca().to_owned(),
            url: azure.url().to_owned(),
        }
    }

    /// Sends the bomb and does not wait for the answer.
    fn bomb(&self, file: &Path, number: usize) -> Child {
        let (method, word) = match number % 3 {
            0 => ("PUT", ""),
            1 => ("POST", "/validate"),
            _ => ("POST", "/whatIf"),
        };
        let path = deployment(&format!("bomb{number}"));
        let mut curl = Command::new("curl");
        curl.args(["-sS", "--http1.1", "-X", method, "--cacert"]);
        curl.arg(&self.ca)
            .args(["-H", "Content-Type: application/json"]);
        curl.args([
            "-H",
            &format!("Authorization: Bearer {}", self.owner.token()),
        ]);
        curl.args(["--data-binary", &format!("@{}", file.display())]);
        curl.arg(format!("{}{path}{word}?api-version=2024-05-01", self.url));
        curl.stdout(Stdio::null()).stderr(Stdio::null());
        curl.spawn().expect("curl runs")
    }

    /// Waits until no template is evaluated any more.
    fn await_silence(&self) {
        until("templates are given up", PATIENCE, || {
            self.fabric.threads("template") == 0
        });
    }
}

fn deployment(name: &str) -> String {
    let group = group_id("rg");
    format!("{group}/providers/Microsoft.Resources/deployments/{name}")
}

/// Looks for a text in a long one, ten thousand times.
fn bomb() -> Value {
    let mut variables = json!({ "v0": "[string(range(0, 1000))]" });
    for at in 1..=8 {
        let text = format!("[concat(variables('v{0}'), variables('v{0}'))]", at - 1);
        variables[format!("v{at}")] = text.into();
    }
    let value = "[map(range(0, 10000), lambda('i', indexOf(variables('v8'), 'zzzzzzzz')))]";
    json!({ "properties": { "mode": "Incremental", "template": {
        "variables": variables, "resources": [],
        "outputs": { "x": { "type": "array", "value": value } },
    } } })
}

fn timed(control: &mut Control, request: &Value) -> Duration {
    let begin = Instant::now();
    let answer = control.ask(request).expect("the daemon answers");
    assert!(answer["error"].is_null(), "{answer}");
    begin.elapsed()
}

#[test]
fn a_hundred_bombs_keep_nobody_from_anything() {
    if !privileged() {
        return;
    }
    let world = World::start();
    let file = world.fabric.dir().write("bomb.json", bomb().to_string());
    let before = world.fabric.peak_memory_kib();
    let mut clients: Vec<Child> = (0..CLIENTS).map(|at| world.bomb(&file, at)).collect();
    until("a template is evaluated", PATIENCE, || {
        world.fabric.threads("template") > 0
    });
    let mut control = world.fabric.control();
    let (mut looks, mut switches) = (Vec::new(), Vec::new());
    for turn in 0..10 {
        looks.push(timed(&mut control, &json!({ "verb": "status" })));
        let switch = json!({ "verb": "endpoint", "vnet": "hub", "subnet": "apps",
            "services": ["Microsoft.Storage"], "on": turn % 2 == 0 });
        switches.push(timed(&mut control, &switch));
        world.owner.get(&group_id("rg")).expect_success();
    }
    // One who asks for little is served among them.
    let small = json!({ "properties": { "mode": "Incremental", "template": { "resources": [] } } });
    let (status, answer) = control.arm("PUT", &deployment("small"), &small).unwrap();
    assert_eq!(status, 201, "{answer}");
    looks.sort();
    switches.sort();
    println!("status: {looks:?}\nendpoint: {switches:?}");
    assert!(
        looks
            .iter()
            .chain(&switches)
            .all(|took| *took < Duration::from_secs(30))
    );
    // Their clients go, and so do they.
    for client in &mut clients {
        let _ = client.kill();
        let _ = client.wait();
    }
    world.await_silence();
    let more = world.fabric.peak_memory_kib().saturating_sub(before);
    println!("{more} KiB more than before");
    assert!(more < MORE_MEMORY_KIB, "{more} KiB more than before");
    let spent = world.fabric.processor_time();
    println!("{spent:?} of processor time in all");
}

#[test]
fn a_deployment_that_is_interrupted_is_given_up() {
    if !privileged() {
        return;
    }
    let world = World::start();
    let mut control = world.fabric.control();
    control
        .send(&json!({ "verb": "arm", "method": "PUT",
            "target": format!("{}?api-version=2024-05-01", deployment("bomb")), "body": bomb().to_string() }))
        .unwrap();
    until("the template is evaluated", PATIENCE, || {
        world.fabric.threads("template") > 0
    });
    drop(control);
    world.await_silence();
    assert_eq!(world.owner.get(&deployment("bomb")).status, 404);
}
