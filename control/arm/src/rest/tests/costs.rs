//! What one request can take: processor time and memory, over a table of those that mean no good.

use super::*;
use crate::clock::processor_time;
use std::fmt::Write as _;
use std::time::Duration;

/// What any one request may take. Without optimisation everything takes many times longer, and what is
/// counted in the same way on every machine decides.
const TIME: Duration = match cfg!(debug_assertions) {
    true => Duration::from_secs(40),
    false => Duration::from_secs(2),
};
const MEMORY: u64 = 64 << 20;

/// Sends a request and returns the answer, the processor time and the most memory that it took.
fn measured(world: &World, method: &str, path: &str, body: &str) -> (Response, Duration, u64) {
    let token = format!("Bearer {}", world.token("owner"));
    let mut answer = None;
    let mut took = Duration::ZERO;
    let taken = allocation_counter::measure(|| {
        let request = request(method, path, None)
            .with_header("Authorization", &token)
            .with_body(body);
        let began = processor_time();
        answer = Some(world.api.handle(&request));
        took = processor_time().saturating_sub(began);
    });
    (answer.unwrap(), took, taken.bytes_max)
}

/// Sends a request that may be refused or not, and asserts that it took no more than it may.
fn assert_bounded(world: &World, name: &str, method: &str, path: &str, body: &str) -> Response {
    let (answer, took, memory) = measured(world, method, path, body);
    let message = String::from_utf8_lossy(&answer.body);
    let message: String = message.chars().take(160).collect();
    println!(
        "{name:40} {:>7.1} ms {:>6.1} MiB {} {message}",
        took.as_secs_f64() * 1e3,
        memory as f64 / f64::from(1 << 20),
        answer.status,
    );
    assert!(took < TIME, "{name} took {took:?}");
    assert!(memory < MEMORY, "{name} took {} MiB", memory >> 20);
    assert_ne!(answer.status, 500, "{name}: {message}");
    answer
}

fn deployment(word: &str) -> String {
    let path = format!(
        "{}/providers/Microsoft.Resources/deployments/d",
        group_path("rg")
    );
    match word {
        "" => path,
        word => format!("{path}/{word}"),
    }
}

fn body(template: &Value, parameters: &Value) -> String {
    json!({ "properties": { "mode": "Incremental", "template": template, "parameters": parameters } })
        .to_string()
}

/// A text of JSON of about four megabytes: `part` again and again between two ends.
fn filled(begin: &str, part: impl Fn(usize) -> String, end: &str) -> String {
    let mut text = String::from(begin);
    let mut at = 0;
    while text.len() < (4 << 20) - 1_000 {
        if at > 0 {
            text.push(',');
        }
        text.push_str(&part(at));
        at += 1;
    }
    text.push_str(end);
    text
}

#[test]
fn bodies_of_all_shapes() {
    let world = World::furnished();
    let start = "{\"location\":\"koreacentral\",\"properties\":{\"x\":";
    let prefix = |at: usize| {
        format!(
            "\"10.{}.{}.{}/32\"",
            at >> 16 & 255,
            at >> 8 & 255,
            at & 255
        )
    };
    let rule = |at: usize, prefixes: usize| {
        let prefixes: Vec<String> = (0..prefixes).map(|no| prefix(at * prefixes + no)).collect();
        format!(
            "{{\"name\":\"r{at}\",\"properties\":{{\"priority\":{},\"direction\":\"Inbound\",\"access\":\"Allow\",\"protocol\":\"*\",\"sourcePortRange\":\"*\",\"destinationPortRange\":\"*\",\"destinationAddressPrefix\":\"*\",\"sourceAddressPrefixes\":[{}]}}}}",
            100 + at % 3_900,
            prefixes.join(",")
        )
    };
    let deep = format!("{start}{}1{}}}}}", "[".repeat(120), "]".repeat(120));
    let generic = format!(
        "{}/providers/Microsoft.Insights/components/t",
        group_path("rg")
    );
    let mut shapes = vec![
        ("zeros", filled(&format!("{start}["), |_| "0".into(), "]}}")),
        (
            "empty objects",
            filled(&format!("{start}["), |_| "{}".into(), "]}}"),
        ),
        (
            "empty texts",
            filled(&format!("{start}["), |_| "\"\"".into(), "]}}"),
        ),
        (
            "short texts",
            filled(
                &format!("{start}["),
                |at| format!("\"text number {at} of a body\""),
                "]}}",
            ),
        ),
        (
            "short fields",
            filled(&format!("{start}{{"), |at| format!("\"f{at}\":1"), "}}}"),
        ),
        (
            "long fields",
            filled(
                &format!("{start}{{"),
                |at| format!("\"field number {at} of the body of a request\":\"and its value\""),
                "}}}",
            ),
        ),
        (
            "one text",
            format!("{start}\"{}\"}}}}", "x".repeat(4_000_000)),
        ),
        (
            "escapes",
            format!("{start}\"{}\"}}}}", "\\u0001".repeat(690_000)),
        ),
        ("digits", format!("{start}{}}}}}", "1".repeat(4_000_000))),
        (
            "digits behind the point",
            format!("{start}0.{}}}}}", "1".repeat(4_000_000)),
        ),
        (
            "many long numbers",
            filled(&format!("{start}["), |_| "1".repeat(700), "]}}"),
        ),
        ("deep", deep),
        (
            "tags",
            filled(
                "{\"location\":\"koreacentral\",\"tags\":{",
                |at| format!("\"t{at}\":\"v\""),
                "}}",
            ),
        ),
        ("spaces", format!("{}{{}}", " ".repeat(4_000_000))),
        ("nothing but an opening", "{\"a\":".repeat(700_000)),
    ];
    let ranges = |end| {
        filled(
            "{\"location\":\"koreacentral\",\"properties\":{\"addressSpace\":{\"addressPrefixes\":[",
            prefix,
            end,
        )
    };
    shapes.push(("ranges of a network", ranges("]}}}")));
    shapes.push(("subnets", filled("{\"location\":\"koreacentral\",\"properties\":{\"addressSpace\":{\"addressPrefixes\":[\"10.0.0.0/8\"]},\"subnets\":[", |at| format!("{{\"name\":\"s{at}\",\"properties\":{{\"addressPrefix\":{}}}}}", prefix(at)), "]}}")));
    shapes.push((
        "rules",
        filled(
            "{\"location\":\"koreacentral\",\"properties\":{\"securityRules\":[",
            |at| rule(at, 1),
            "]}}",
        ),
    ));
    shapes.push((
        "rules of many prefixes",
        filled(
            "{\"location\":\"koreacentral\",\"properties\":{\"securityRules\":[",
            |at| rule(at, 4_000),
            "]}}",
        ),
    ));
    shapes.push(("routes", filled("{\"location\":\"koreacentral\",\"properties\":{\"routes\":[", |at| format!("{{\"name\":\"r{at}\",\"properties\":{{\"addressPrefix\":{},\"nextHopType\":\"None\"}}}}", prefix(at)), "]}}")));
    shapes.push(("peerings", filled("{\"location\":\"koreacentral\",\"properties\":{\"addressSpace\":{\"addressPrefixes\":[\"10.0.0.0/16\"]},\"virtualNetworkPeerings\":[", |at| format!("{{\"name\":\"p{at}\",\"properties\":{{\"remoteVirtualNetwork\":{{\"id\":\"{}{at}\"}}}}}}", net("virtualNetworks/v")), "]}}")));
    shapes.push(("endpoints", filled("{\"location\":\"koreacentral\",\"properties\":{\"addressSpace\":{\"addressPrefixes\":[\"10.0.0.0/16\"]},\"subnets\":[{\"name\":\"a\",\"properties\":{\"addressPrefix\":\"10.0.0.0/24\",\"serviceEndpoints\":[", |_| "{\"service\":\"Microsoft.Storage\",\"locations\":[\"*\"]}".into(), "]}}]}}")));
    for (name, text) in &shapes {
        for (kind, path) in [
            ("generic", generic.clone()),
            ("network", net("virtualNetworks/w")),
            ("group", net("networkSecurityGroups/w")),
            ("table", net("routeTables/w")),
            ("nic", net("networkInterfaces/w")),
            ("account", account("w")),
            ("resource group", group_path("rg")),
        ] {
            for method in ["PUT", "PATCH"] {
                let name = format!("{method} {name} as {kind}");
                assert_bounded(&world, &name, method, &path, text);
            }
        }
        for word in ["", "whatIf", "validate"] {
            let method = if word.is_empty() { "PUT" } else { "POST" };
            let text =
                format!("{{\"properties\":{{\"mode\":\"Incremental\",\"template\":{text}}}}}");
            assert_bounded(
                &world,
                &format!("deployments {word} {name}"),
                method,
                &deployment(word),
                &text,
            );
        }
        for path in [
            format!("/subscriptions/{S}/providers/Microsoft.Storage/checkNameAvailability"),
            format!("{}/exportTemplate", group_path("rg")),
            format!(
                "{}/providers/Microsoft.Resources/tags/default",
                net("virtualNetworks/v")
            ),
            format!(
                "{}/providers/Microsoft.Authorization/roleDefinitions/c0ffee00-0000-4000-8000-000000000001",
                group_path("rg")
            ),
        ] {
            for method in ["POST", "PUT", "PATCH"] {
                let name = format!("{method} {name} at {}", path.rsplit('/').next().unwrap());
                assert_bounded(&world, &name, method, &path, text);
            }
        }
    }
}

#[test]
fn comments_and_loose_json() {
    let world = World::furnished();
    let template =
        |text: &str| format!("{{\"properties\":{{\"mode\":\"Incremental\",template:{text}}}}}");
    for (name, text) in [
        ("comments", "/**/".repeat(1_000_000)),
        ("lines of comments", "//\n".repeat(1_300_000)),
        ("an open comment", format!("/*{}", "*".repeat(4_000_000))),
        ("an open text", format!("'{}", "\\'".repeat(1_900_000))),
        ("marks of order", "\u{feff}".repeat(1_300_000)),
        (
            "names without quotes",
            filled("{", |at| format!("a{at}:1"), "}"),
        ),
        ("a name without end", "a".repeat(4_000_000)),
        ("commas", ",".repeat(4_000_000)),
        ("openings", "[".repeat(4_000_000)),
    ] {
        assert_bounded(
            &world,
            name,
            "POST",
            &deployment("validate"),
            &template(&text),
        );
    }
}

#[test]
fn documents_do_not_grow_for_ever() {
    let world = World::furnished();
    let path = format!(
        "{}/providers/Microsoft.Insights/components/t",
        group_path("rg")
    );
    let first = world.owner("PUT", &path, Some(json!({ "location": "koreacentral" })));
    assert_eq!(first.status, 201, "{}", first.value());
    let statuses: Vec<u16> = (0..8)
        .map(|at| {
            let text =
                json!({ "properties": { format!("p{at}"): "x".repeat(4_000_000) } }).to_string();
            assert_bounded(&world, "PATCH of another 4 MB", "PATCH", &path, &text).status
        })
        .collect();
    assert_eq!((statuses[0], statuses[7]), (200, 413), "{statuses:?}");
    let rules: Vec<u16> = (0..20)
        .map(|at| {
            let path = net(&format!("networkSecurityGroups/n/securityRules/r{at}"));
            if at == 0 {
                world.owner("PUT", &net("networkSecurityGroups/n"), Some(json!({ "location": "koreacentral" })));
            }
            let prefixes: Vec<String> = (0..20_000).map(|no| format!("10.{at}.{}.{}/32", no >> 8, no & 255)).collect();
            let text = json!({ "properties": { "priority": 100 + at, "direction": "Inbound", "access": "Allow", "protocol": "*", "sourcePortRange": "*",
                "destinationPortRange": "*", "destinationAddressPrefix": "*", "sourceAddressPrefixes": prefixes } }).to_string();
            assert_bounded(&world, "PUT of a rule of 20,000 prefixes", "PUT", &path, &text).status
        })
        .collect();
    assert_eq!(rules[19], 413, "{rules:?}");
}

#[test]
fn lists_and_queries() {
    let world = World::furnished();
    for at in 0..300 {
        let body = json!({ "location": "koreacentral", "tags": { "a": "b" }, "properties": { "x": "x".repeat(100_000) } });
        let path = format!(
            "{}/providers/Microsoft.Insights/components/t{at}",
            group_path("rg")
        );
        assert_eq!(world.owner("PUT", &path, Some(body)).status, 201);
    }
    let things = format!(
        "{}/providers/Microsoft.Insights/components",
        group_path("rg")
    );
    let mut filter = String::new();
    for at in 0..3_500 {
        write!(filter, "name%20eq%20'{at}'%20and%20").unwrap();
    }
    for (name, path) in [
        ("a list of everything", format!("{things}?{VERSION}")),
        ("one of a list", format!("{things}?{VERSION}&$top=1")),
        (
            "a list from nowhere",
            format!("{things}?{VERSION}&$skiptoken={}", "z".repeat(60_000)),
        ),
        (
            "resources",
            format!("/subscriptions/{S}/resources?{VERSION}"),
        ),
        (
            "a long filter",
            format!("/subscriptions/{S}/resources?{VERSION}&$filter={filter}"),
        ),
        (
            "many pairs",
            format!(
                "/subscriptions/{S}/resources?{VERSION}{}",
                "&a=b".repeat(16_000)
            ),
        ),
        ("a long path", "/subscriptions".repeat(4_500)),
        (
            "escapes",
            format!("/subscriptions/{S}/{}?{VERSION}", "%2f".repeat(20_000)),
        ),
    ] {
        assert_bounded(&world, name, "GET", &path, "");
    }
    for text in ["{\"resources\":[\"*\"]}", "{}"] {
        let path = format!("{}/exportTemplate?{VERSION}", group_path("rg"));
        assert_bounded(&world, "a template of everything", "POST", &path, text);
    }
    // All of a list comes, a page at a time.
    let (mut path, mut seen) = (format!("{things}?{VERSION}"), 0);
    loop {
        let page = world.owner("GET", &path, None).value();
        seen += page["value"].as_array().unwrap().len();
        match page["nextLink"].as_str() {
            Some(next) => path = next.split_once("8443").unwrap().1.to_owned(),
            None => break,
        }
    }
    assert_eq!(seen, 300);
    let everything = json!({ "resources": [{ "type": "Microsoft.Insights/components", "apiVersion": "2024-01-01", "name": "new", "location": "koreacentral" }] });
    assert_bounded(
        &world,
        "what-if beside big ones",
        "POST",
        &deployment("whatIf"),
        &body(&everything, &json!({})),
    );
}

#[test]
fn what_if_of_what_is_all_different() {
    let world = World::furnished();
    let path = format!(
        "{}/providers/Microsoft.Insights/components/t",
        group_path("rg")
    );
    let deep = |leaf: Value| {
        (0..60).fold(
            leaf,
            |inner, at| json!({ format!("{at}{}", "n".repeat(20_000)): inner }),
        )
    };
    let leaves = |sign: i64| {
        Value::Object(
            (0..2_000)
                .map(|at| (format!("l{at}"), json!(sign * at)))
                .collect(),
        )
    };
    for (name, before, after) in [
        (
            "lists turned round",
            json!((0..45_000).collect::<Vec<_>>()),
            json!((1..45_001).rev().collect::<Vec<_>>()),
        ),
        (
            "lists of names",
            json!(
                (0..9_000)
                    .map(|at| json!({ "name": format!("n{at}"), "v": 1 }))
                    .collect::<Vec<_>>()
            ),
            json!(
                (0..9_000)
                    .rev()
                    .map(|at| json!({ "name": format!("N{at}"), "v": 2 }))
                    .collect::<Vec<_>>()
            ),
        ),
        (
            "long paths to many leaves",
            deep(leaves(1)),
            deep(leaves(-1)),
        ),
    ] {
        let put = world.owner(
            "PUT",
            &path,
            Some(json!({ "location": "koreacentral", "properties": { "x": before } })),
        );
        assert!(put.status < 300, "{name}: {}", put.value());
        let template = json!({ "resources": [{ "type": "Microsoft.Insights/components", "apiVersion": "2024-01-01", "name": "t", "location": "koreacentral", "properties": { "x": after } }] });
        assert_bounded(
            &world,
            name,
            "POST",
            &deployment("whatIf"),
            &body(&template, &json!({})),
        );
    }
}
