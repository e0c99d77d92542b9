//! Requests that are wrong: Azure's code, a message that helps, and nothing changed, neither what the
//! resources are, nor what packets obey, nor how much memory the daemon holds.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a case ends with the message of what did not hold"
)]

use postern_tests::{
    Arm, Azure, Fabric, INTERNET, OWNER, PUBLIC_DEFAULT, azure_head, bind, group_id, network_id,
    privileged,
};
use serde_json::{Value, json};

/// How much more memory the daemon may ever have had for a case of wrong requests.
const MORE_MEMORY_KIB: u64 = 160 * 1024;

/// A fabric with a group, a network and a NIC, and two callers.
struct World {
    fabric: Fabric,
    owner: Arm,
    reader: Arm,
}

impl World {
    fn start() -> Self {
        let fabric = Fabric::start(&format!(
            "{}[publicIPPool]\nprefixes = [\"20.0.0.0/27\"]\n\
             [internet]\naddresses = [\"{INTERNET}/24\"]\nnamespace = \"inet\"\n\
             [defaultOutbound]\npublicIPAddress = \"{PUBLIC_DEFAULT}\"\n{}",
            azure_head(),
            bind("Microsoft.Network/networkInterfaces", "app", "app")
        ));
        let azure = Azure::setup(&fabric);
        let owner = Arm::owner(&azure);
        let here = json!({ "location": "koreacentral" });
        owner.put(&group_id("rg"), &here).expect_success();
        let vnet = json!({ "location": "koreacentral", "properties": {
            "addressSpace": { "addressPrefixes": ["10.0.0.0/16"] },
            "subnets": [{ "name": "apps", "properties": { "addressPrefix": "10.0.1.0/24" } }]
        } });
        owner.put(&hub(), &vnet).expect_success();
        let nic = json!({ "location": "koreacentral", "properties": { "ipConfigurations": [
            { "name": "one", "properties": { "subnet": { "id": apps() } } }
        ] } });
        let id = network_id("rg", "networkInterfaces/app");
        owner.put(&id, &nic).expect_success();
        Self {
            fabric,
            reader: Arm::reader(&azure),
            owner,
        }
    }

    /// What must not change: every resource of the group, the network with its ETags, and the policy.
    fn state(&self) -> (Value, Value, u64) {
        let resources = format!("{}/resources", group_id("rg"));
        let get = |id: &str| self.owner.get(id).expect_success().body;
        (get(&resources), get(&hub()), self.fabric.epoch())
    }

    /// Does `work`, and checks that nothing has changed.
    fn unchanged(&self, work: impl FnOnce()) {
        let (before, memory) = (self.state(), self.fabric.peak_memory_kib());
        work();
        assert_eq!(self.state(), before);
        let more = self.fabric.peak_memory_kib().saturating_sub(memory);
        assert!(more < MORE_MEMORY_KIB, "{more} KiB more than before");
    }
}

fn hub() -> String {
    network_id("rg", "virtualNetworks/hub")
}

fn apps() -> String {
    network_id("rg", "virtualNetworks/hub/subnets/apps")
}

/// A deployment of a template with these members.
fn deployment(members: &Value) -> Value {
    let mut template = json!({
        "$schema": "https://schema.management.azure.com/schemas/2019-04-01/deploymentTemplate.json#",
        "contentVersion": "1.0.0.0",
        "resources": []
    });
    for (key, value) in members.as_object().expect("members") {
        template[key] = value.clone();
    }
    json!({ "properties": { "mode": "Incremental", "template": template } })
}

fn resource(name: &str, depends_on: &[&str]) -> Value {
    json!({
        "type": "Microsoft.Network/networkSecurityGroups", "apiVersion": "2023-09-01",
        "name": name, "location": "koreacentral", "dependsOn": depends_on
    })
}

#[test]
fn wrong_requests_are_refused_in_azures_words() {
    if !privileged() {
        return;
    }
    let world = World::start();
    let arm = &world.owner;
    let json = "Content-Type: application/json";
    world.unchanged(|| {
        let answer = arm.curl(&hub(), &[]);
        answer.expect_error(400, "MissingApiVersionParameter", &["api-version"]);
        let answer = arm.get(&network_id("rg", "virtualNetworkz/hub"));
        answer.expect_error(404, "InvalidResourceType", &["virtualNetworkz"]);
        let put = ["-X", "PUT", "-H", json, "--data-binary", "{\"location\": "];
        let path = format!("{}?api-version=2024-05-01", hub());
        let answer = arm.curl(&path, &put);
        answer.expect_error(400, "InvalidRequestContent", &[]);
        let answer = arm.get(&network_id("rg", "virtualNetworks/none"));
        answer.expect_error(404, "ResourceNotFound", &["virtualNetworks/none"]);
        let answer = arm.get(&network_id("none", "virtualNetworks/none"));
        answer.expect_error(404, "ResourceGroupNotFound", &["none"]);
        let stale = ["If-Match: W/\"11111111-2222-3333-4444-555555555555\""];
        let body = arm.get(&hub()).expect_success().body;
        let answer = arm.send("PUT", &hub(), &body, &stale);
        assert_eq!(answer.status, 412, "{answer:?}");
        let answer = arm.delete(&hub());
        answer.expect_error(400, "InUseSubnetCannotBeDeleted", &["apps", "app"]);
        let nowhere = json!({ "properties": {
            "addressPrefix": "10.0.9.0/24",
            "routeTable": { "id": network_id("rg", "routeTables/none") }
        } });
        let id = network_id("rg", "virtualNetworks/hub/subnets/new");
        let answer = arm.put(&id, &nowhere);
        answer.expect_error(400, "InvalidResourceReference", &["routeTables/none"]);
        let outside = json!({ "properties": { "addressPrefix": "10.9.0.0/24" } });
        let answer = arm.put(&id, &outside);
        answer.expect_error(400, "NetcfgInvalidSubnet", &["new"]);
    });
}

#[test]
fn big_and_deep_bodies_are_refused_and_cost_no_memory() {
    if !privileged() {
        return;
    }
    let world = World::start();
    let arm = &world.owner;
    let dir = world.fabric.dir();
    world.unchanged(|| {
        let tags = "x".repeat(10 << 20);
        let body = format!("{{\"location\": \"koreacentral\", \"tags\": {{\"a\": \"{tags}\"}}}}");
        let file = dir.write("big.json", body);
        let answer = arm.send_file("PUT", &hub(), &file);
        answer.expect_error(413, "RequestContentTooLarge", &[]);
        let depth = 100_000;
        let body = format!("{{\"a\": {}{}}}", "[".repeat(depth), "]".repeat(depth));
        let file = dir.write("deep.json", body);
        let answer = arm.send_file("PUT", &hub(), &file);
        answer.expect_error(400, "InvalidRequestContent", &[]);
        let id = format!(
            "{}/providers/Microsoft.Resources/deployments/deep",
            group_id("rg")
        );
        let body = format!(
            "{{\"properties\": {{\"mode\": \"Incremental\", template: {{\"a\": {}{}}}}}}}",
            "[".repeat(depth),
            "]".repeat(depth)
        );
        let file = dir.write("deep-template.json", body);
        let answer = arm.send_file("PUT", &id, &file);
        assert_eq!(answer.status, 400, "{answer:?}");
    });
}

#[test]
fn wrong_templates_are_refused_with_the_path_of_what_is_wrong() {
    if !privileged() {
        return;
    }
    let world = World::start();
    let arm = &world.owner;
    let id = format!(
        "{}/providers/Microsoft.Resources/deployments/bad",
        group_id("rg")
    );
    let deploy = |members: &Value| arm.put(&id, &deployment(members));
    world.unchanged(|| {
        let circle = [
            resource("a", &["b"]),
            resource("b", &["c"]),
            resource("c", &["a"]),
        ];
        let answer = deploy(&json!({ "resources": circle }));
        answer.expect_error(400, "InvalidTemplate", &["ircular"]);
        let mut unknown = resource("a", &[]);
        unknown["location"] = json!("[nowhere()]");
        let answer = deploy(&json!({ "resources": [unknown] }));
        answer.expect_error(400, "InvalidTemplate", &["nowhere"]);
        // The expression that is its own variable, and one that doubles fifty times.
        let variables = json!({ "a": "[variables('b')]", "b": "[variables('a')]" });
        let outputs = json!({ "a": { "type": "string", "value": "[variables('a')]" } });
        let answer = deploy(&json!({ "variables": variables, "outputs": outputs }));
        answer.expect_error(400, "InvalidTemplate", &[]);
        let mut doubled = serde_json::Map::new();
        doubled.insert("v0".into(), json!("xxxxxxxxxxxxxxxx"));
        for number in 1..50 {
            let before = format!("variables('v{}')", number - 1);
            let value = format!("[concat({before}, {before})]");
            doubled.insert(format!("v{number}"), json!(value));
        }
        let outputs = json!({ "a": { "type": "string", "value": "[variables('v49')]" } });
        let answer = deploy(&json!({ "variables": doubled, "outputs": outputs }));
        answer.expect_error(400, "InvalidTemplate", &[]);
        let nested = format!("[{}'x'{}]", "toLower(".repeat(20_000), ")".repeat(20_000));
        let outputs = json!({ "a": { "type": "string", "value": nested } });
        let body = deployment(&json!({ "outputs": outputs })).to_string();
        let file = world.fabric.dir().write("nested.json", body);
        let answer = arm.send_file("PUT", &id, &file);
        answer.expect_error(400, "InvalidTemplate", &[]);
        let parameters = json!({ "count": { "type": "int" } });
        let mut body = deployment(&json!({ "parameters": parameters }));
        body["properties"]["parameters"] = json!({ "count": { "value": "many" } });
        let answer = arm.put(&id, &body);
        answer.expect_error(400, "InvalidTemplate", &["count"]);
        let answer = arm.put(&id, &deployment(&json!({ "parameters": parameters })));
        answer.expect_error(400, "InvalidTemplate", &["count"]);
        let mut many = resource("[concat('n', copyIndex())]", &[]);
        many["copy"] = json!({ "name": "loop", "count": 100_000_000 });
        let answer = deploy(&json!({ "resources": [many] }));
        answer.expect_error(400, "InvalidTemplate", &["opy"]);
        // The first resource is right, the second is not: neither is there.
        let mut wrong = resource("wrong", &["right"]);
        wrong["properties"] = json!({ "securityRules": [{ "name": "r", "properties": {
            "priority": 5, "direction": "Inbound", "access": "Allow", "protocol": "*"
        } }] });
        let answer = deploy(&json!({ "resources": [resource("right", &[]), wrong] }));
        assert!((400..500).contains(&answer.status), "{answer:?}");
        let right = arm.get(&network_id("rg", "networkSecurityGroups/right"));
        right.expect_error(404, "ResourceNotFound", &["right"]);
    });
}

/// Returns a token with another payload and the signature of the real one.
fn forged(token: &str) -> String {
    let mut parts: Vec<_> = token.split('.').map(str::to_owned).collect();
    assert_eq!(parts.len(), 3, "a JWT");
    let flipped = if parts[1].ends_with('A') { "B" } else { "A" };
    parts[1].pop();
    parts[1].push_str(flipped);
    parts.join(".")
}

#[test]
fn callers_without_a_token_or_a_right_change_nothing() {
    if !privileged() {
        return;
    }
    let world = World::start();
    let arm = &world.owner;
    let vnet = json!({ "location": "koreacentral", "properties": {
        "addressSpace": { "addressPrefixes": ["10.7.0.0/16"] }
    } });
    world.unchanged(|| {
        let answer = arm.with_token("").put(&hub(), &vnet);
        answer.expect_error(401, "AuthenticationFailed", &[]);
        let challenge = answer.header("WWW-Authenticate").unwrap_or_default();
        assert!(challenge.starts_with("Bearer"), "{answer:?}");
        // {"alg":"none"}: signed by nobody.
        let payload = arm.token().split('.').nth(1).unwrap_or_default();
        let unsigned = format!("eyJhbGciOiJub25lIn0.{payload}.");
        for token in ["x", "a.b.c", &forged(arm.token()), &unsigned, EXPIRED] {
            let answer = arm.with_token(token).put(&hub(), &vnet);
            assert_eq!(answer.status, 401, "{token}: {answer:?}");
            assert!(
                answer.code().starts_with("InvalidAuthenticationToken"),
                "{answer:?}"
            );
        }
        let reader = &world.reader;
        reader.get(&hub()).expect_success();
        let answer = reader.put(&hub(), &vnet);
        let words = ["Microsoft.Network/virtualNetworks/write", "hub"];
        answer.expect_error(403, "AuthorizationFailed", &words);
        let answer = reader.delete(&group_id("rg"));
        answer.expect_error(403, "AuthorizationFailed", &["delete"]);
        let deployment = deployment(&json!({ "resources": [resource("a", &[])] }));
        let id = format!(
            "{}/providers/Microsoft.Resources/deployments/d",
            group_id("rg")
        );
        reader
            .put(&id, &deployment)
            .expect_error(403, "AuthorizationFailed", &["write"]);
    });
    let answer = arm.log_in(OWNER, "wrong");
    assert_eq!(
        (answer.status, &answer.body["error"]),
        (401, &json!("invalid_client"))
    );
    // What everybody may ask.
    let answer = arm.with_token("").get("/metadata/endpoints");
    assert_eq!(answer.status, 200, "{answer:?}");
}

/// A token of 2020, with the header of ours and a signature of nobody.
const EXPIRED: &str = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJleHAiOjE1Nzc4MzY4MDB9.AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
