//! What is the host's to say: the owner of a resource group and the host's own against one daemon, and
//! what is there of it in the namespaces.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a case ends with the message of what did not hold"
)]

use postern_tests::{
    Arm, Azure, Fabric, INTERNET, PUBLIC_DEFAULT, azure_head, group_id, network_id, privileged, run,
};
use serde_json::{Value, json};

const POLICY: &str = "RequestDisallowedByPolicy";

/// A fabric with namespaces that nobody is bound to, `free` and `other`, and a network in the group `rg`.
struct World {
    fabric: Fabric,
    owner: Arm,
}

impl World {
    fn start() -> Self {
        // Namespaces are made of what the file names; `other` is named by a pattern for nobody.
        let mut fabric = Fabric::prepare(&format!(
            "{}[publicIPPool]\nprefixes = [\"20.0.0.0/27\"]\n\
             [internet]\naddresses = [\"{INTERNET}/24\"]\nnamespace = \"inet\"\n\
             [defaultOutbound]\npublicIPAddress = \"{PUBLIC_DEFAULT}\"\n\
             [[bind]]\nname = \"nobody\"\nnamespace = \"other\"\n\
             [[bind]]\nname = \"nobody\"\nnamespace = \"free\"\n",
            azure_head()
        ));
        let free = fabric.namespace("free").name().to_owned();
        let file = std::fs::read_to_string(fabric.config()).unwrap();
        let allow =
            format!("[[bind]]\nresourceGroup = \"rg\"\nallow = {{ namespaces = [\"{free}\"] }}\n");
        std::fs::write(fabric.config(), file + &allow).unwrap();
        fabric.run();
        let azure = Azure::setup(&fabric);
        let owner = Arm::owner(&azure);
        let here = json!({ "location": "koreacentral" });
        for group in ["rg", "rg2"] {
            owner.put(&group_id(group), &here).expect_success();
        }
        let vnet = json!({ "location": "koreacentral", "properties": {
            "addressSpace": { "addressPrefixes": ["10.0.0.0/16"] },
            "subnets": [{ "name": "apps", "properties": { "addressPrefix": "10.0.1.0/24" } }]
        } });
        let hub = network_id("rg", "virtualNetworks/hub");
        owner.put(&hub, &vnet).expect_success();
        Self { fabric, owner }
    }

    fn name(&self, label: &str) -> &str {
        self.fabric.namespace(label).name()
    }

    /// Puts a NIC as the host's own does, by the control socket.
    fn put_as_host(&self, id: &str, body: &Value) {
        let file = self.fabric.dir().write("body.json", body.to_string());
        let file = file.to_string_lossy();
        self.fabric
            .postern(&["arm", "PUT", id, "--body", &file])
            .expect_success();
    }
}

fn nic(tags: &Value) -> Value {
    let subnet = network_id("rg", "virtualNetworks/hub/subnets/apps");
    json!({ "location": "koreacentral", "tags": tags, "properties": { "ipConfigurations": [
        { "name": "one", "properties": { "subnet": { "id": subnet } } }
    ] } })
}

fn to(namespace: &str) -> Value {
    json!({ "postern-namespace": namespace })
}

#[test]
fn an_owner_binds_what_the_file_allows_and_the_hosts_own_the_rest() {
    if !privileged() {
        return;
    }
    let world = World::start();
    let other = world.name("other").to_owned();
    let (one, two) = (
        network_id("rg", "networkInterfaces/one"),
        network_id("rg2", "networkInterfaces/two"),
    );
    // Nothing of the host by any spelling, not even of one's own process.
    let pid = format!("pid:{}", std::process::id());
    let path = format!("/run/netns/{other}");
    for namespace in [other.as_str(), &pid, &path] {
        let refused = world.owner.put(&one, &nic(&to(namespace)));
        refused.expect_error(403, POLICY, &["postern-namespace", namespace, "accepted"]);
    }
    assert!(!world.fabric.has_device("other"));
    let free = world.name("free").to_owned();
    let refused = world.owner.put(&two, &nic(&to(&free)));
    refused.expect_error(403, POLICY, &["postern-namespace"]);
    assert!(!world.fabric.has_device("free"));
    world.owner.put(&one, &nic(&to(&free))).expect_success();
    assert!(world.fabric.has_device("free"));

    // What the host's own binds stays when the owner goes on with the resource.
    world.put_as_host(&two, &nic(&to(&other)));
    assert!(world.fabric.has_device("other"));
    let mut same = nic(&to(&other));
    same["tags"]["cost"] = "7".into();
    world.owner.put(&two, &same).expect_success();
    assert!(world.fabric.has_device("other"));
    let moved = world.owner.put(&two, &nic(&to("elsewhere")));
    moved.expect_error(403, POLICY, &["elsewhere"]);
    world.owner.put(&two, &nic(&json!({}))).expect_success();
    assert!(!world.fabric.has_device("other"));
}

#[test]
fn no_owner_answers_for_somebody_else() {
    if !privileged() {
        return;
    }
    let world = World::start();
    for address in [
        "8.8.8.8",
        PUBLIC_DEFAULT.to_string().as_str(),
        INTERNET.to_string().as_str(),
    ] {
        let id = network_id("rg", "publicIPAddresses/p");
        let body = json!({ "location": "koreacentral", "sku": { "name": "Standard" }, "properties": {
            "publicIPAllocationMethod": "Static", "ipAddress": address,
        } });
        let refused = world.owner.put(&id, &body);
        refused.expect_error(403, POLICY, &["ipAddress", address, "20.0.0.0/27"]);
    }
    let account = format!(
        "{}/providers/Microsoft.Storage/storageAccounts/zzz",
        group_id("rg")
    );
    for (tag, value) in [
        ("postern-host", "microsoft.com"),
        ("postern-address", "20.60.16.5"),
        ("postern-front-connect", "127.0.0.1:22"),
    ] {
        let body = json!({ "location": "koreacentral", "kind": "StorageV2", "properties": {},
            "sku": { "name": "Standard_LRS" }, "tags": { tag: value } });
        let refused = world.owner.put(&account, &body);
        refused.expect_error(403, POLICY, &[tag, value, "accepted"]);
        assert_eq!(world.owner.get(&account).status, 404);
    }
    // The resolver goes on to know only what is somebody's.
    let dig = run(world
        .fabric
        .namespace("free")
        .command("ip")
        .args(["link", "show", "postern0"]));
    assert!(!dig.success(), "nothing was attached");
}
