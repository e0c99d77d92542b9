//! What the parts of a template become.

use super::*;
use serde_json::json;

fn plain(name: &str) -> Value {
    json!({ "type": "A.B/c", "apiVersion": "2020-01-01", "name": name, "location": "x" })
}

fn with(mut resource: Value, more: Value) -> Value {
    let fields = resource.as_object_mut().unwrap();
    fields.extend(more.as_object().unwrap().clone());
    resource
}

/// Deploys resources alone and returns the names put, in order.
fn put(resources: Value) -> Result<Vec<String>, ArmError> {
    let mut memory = Memory::new();
    memory.deploy(json!({ "resources": resources }))?;
    Ok(memory.names().into_iter().map(str::to_owned).collect())
}

fn refusal(resources: Value) -> ArmError {
    put(resources).unwrap_err()
}

#[test]
fn dependencies_are_found_in_every_form() {
    for on in [
        "[resourceId('A.B/c', 'z')]",
        "[resourceId('a.b/C/', 'Z')]",
        "[concat(resourceId('A.B/c', 'z'), '/')]",
        "z",
        "A.B/c/z",
        "[concat('A.B/c/', 'z')]",
    ] {
        let first = with(plain("a"), json!({ "dependsOn": [on] }));
        assert_eq!(put(json!([first, plain("z")])).unwrap(), ["z", "a"], "{on}");
    }
    let child = json!({ "type": "A.B/c/d", "name": "z/y", "apiVersion": "1" });
    for on in [
        "[resourceId('A.B/c/d', 'z', 'y')]",
        "z/y",
        "A.B/c/z/d/y",
        "A.B/c/d/z/y",
    ] {
        let first = with(plain("a"), json!({ "dependsOn": [on] }));
        let names = put(json!([first, plain("z"), child])).unwrap();
        assert_eq!(names, ["z", "y", "a"], "{on}");
    }
}

#[test]
fn a_loop_is_waited_for_as_a_whole() {
    let first = with(plain("a"), json!({ "dependsOn": ["LOOP"] }));
    let many = with(
        plain("[concat('n', copyIndex(1), '-', copyIndex('loop'))]"),
        json!({ "copy": { "name": "loop", "count": "[add(1, 2)]" } }),
    );
    assert_eq!(
        put(json!([first, many])).unwrap(),
        ["n1-0", "n2-1", "n3-2", "a"]
    );
    let none = with(many, json!({ "copy": { "name": "loop", "count": 0 } }));
    assert_eq!(put(json!([first, none])).unwrap(), ["a"]);
}

#[test]
fn serial_loops_go_batch_by_batch() {
    let serial = with(
        plain("[concat('n', copyIndex())]"),
        json!({
            "copy": { "name": "loop", "count": 4, "mode": "Serial", "batchSize": 2 },
            // The first batch waits for something late, so that the second must as well.
            "dependsOn": "[if(less(copyIndex(), 2), createArray('late'), createArray())]",
        }),
    );
    let names = put(json!([serial, plain("late")])).unwrap();
    assert_eq!(names, ["late", "n0", "n1", "n2", "n3"]);
}

#[test]
fn circles_and_unknown_names_are_refused() {
    let on = |name: &str, other: &str| with(plain(name), json!({ "dependsOn": [other] }));
    let error = refusal(json!([on("a", "b"), on("b", "c"), on("c", "b")]));
    assert_eq!(
        (error.status, error.code.as_str()),
        (400, "InvalidTemplate")
    );
    assert!(error.message.contains("Circular dependency detected on resource: '/subscriptions/s1/resourceGroups/rg/providers/A.B/c/"), "{error}");
    assert!(!error.message.contains("A.B/c/a'"), "{error}");
    let error = refusal(json!([on("a", "nothing")]));
    assert!(
        error
            .message
            .contains("'nothing' is not defined in the template"),
        "{error}"
    );
    assert_eq!(error.target.as_deref(), Some("resources[0].dependsOn"));
    let error = refusal(json!([on("a", "a")]));
    assert!(error.message.contains("Circular"), "{error}");
    let twins =
        json!([on("a", "b"), plain("b"), { "type": "A.B/d", "apiVersion": "1", "name": "b" }]);
    let error = refusal(twins);
    assert!(error.message.contains("'b' is ambiguous"), "{error}");
    let error = refusal(json!([plain("a"), plain("A")]));
    assert!(error.message.contains("defined multiple times"), "{error}");
}

#[test]
fn what_if_tells_the_difference() {
    let mut memory = Memory::new();
    let subnet = |name: &str, prefix: &str| json!({ "name": name, "properties": { "addressPrefix": prefix } });
    let network = |subnets: Value| {
        with(
            plain("net"),
            json!({ "properties": { "subnets": subnets, "on": true } }),
        )
    };
    let old = json!([subnet("a", "10.0.0.0/24"), subnet("b", "10.0.1.0/24")]);
    memory
        .deploy(json!({ "resources": [network(old.clone()), plain("same"), plain("other")] }))
        .unwrap();
    let new = json!([subnet("b", "10.0.2.0/24"), subnet("c", "10.0.3.0/24")]);
    let template = json!({ "resources": [network(new), plain("same"), plain("new")] });
    let mut request = request(template, json!({}));
    let changes = memory.what_if(&request);
    let kinds = |changes: &[Value]| -> Vec<(String, String)> {
        let text = |value: &Value| {
            value
                .as_str()
                .unwrap()
                .rsplit('/')
                .next()
                .unwrap()
                .to_owned()
        };
        let one = |change: &Value| (text(&change["resourceId"]), text(&change["changeType"]));
        changes.iter().map(one).collect()
    };
    let pair = |(name, kind): (&str, &str)| (name.to_owned(), kind.to_owned());
    assert_eq!(
        kinds(&changes),
        [
            ("net", "Modify"),
            ("same", "NoChange"),
            ("new", "Create"),
            ("other", "Ignore")
        ]
        .map(pair)
    );
    let delta = &changes[0]["delta"];
    assert_eq!(delta[0]["path"], "properties.subnets");
    assert_eq!(delta[0]["propertyChangeType"], "Array");
    let children = delta[0]["children"].as_array().unwrap();
    assert_eq!(children.len(), 3);
    assert_eq!(
        children[0]["children"][0]["path"],
        "properties.addressPrefix"
    );
    assert_eq!(children[0]["children"][0]["after"], "10.0.2.0/24");
    assert_eq!(children[1]["propertyChangeType"], "Create");
    assert_eq!(children[2]["propertyChangeType"], "Delete");
    assert_eq!(changes[2]["after"]["apiVersion"], "2020-01-01");
    request.mode = Mode::Complete;
    let last = kinds(&memory.what_if(&request)).pop().unwrap();
    assert_eq!(last, pair(("other", "Delete")));
    let same = json!([subnet("b", "10.0.1.0/24"), subnet("a", "10.0.0.0/24")]);
    let request = super::request(json!({ "resources": [network(same)] }), json!({}));
    assert_eq!(
        memory.what_if(&request)[0]["changeType"],
        "NoChange",
        "the order does not count"
    );
}
