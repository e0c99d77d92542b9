//! NICs and services that name no namespace, and the patterns that name one for them.

use super::*;

const NIC: &str = "privateIPAddress = \"10.0.2.4\"\nnamespace = \"vm1\"";
const BARE: &str = "privateIPAddress = \"10.0.2.4\"";

fn namespaces(text: &str) -> Vec<String> {
    let model = read(text).unwrap_or_else(|error| panic!("{error}"));
    let nics = model.nics.iter().map(|nic| &nic.device.namespace);
    let services = model.services.iter().map(|it| &it.device.namespace);
    nics.chain(services).map(ToString::to_string).collect()
}

fn with_bind(bind: &str) -> String {
    let bare = GOOD.replace("namespace = \"vm0\"", "").replace(NIC, BARE);
    format!("{}\n{bind}", bare.replace("namespace = \"svc\"", ""))
}

#[test]
fn what_names_no_namespace_is_unattached() {
    let bare = with_bind("");
    assert_eq!(namespaces(&bare), ["(unattached)"; 4]);
    let model = read(&bare).unwrap();
    let mut numbers = PortNumbers::default();
    let compiled = compile(&model, &CATALOG, Epoch(1), &mut numbers).unwrap();
    let names = |specs: &[crate::compile::PortSpec]| {
        let names = specs.iter().map(|spec| spec.name.clone());
        names.collect::<Vec<_>>()
    };
    assert_eq!(names(&compiled.ports), ["internet", "platform"]);
    let unattached = names(&compiled.unattached);
    assert_eq!(unattached, ["nic/vm0", "nic/vm1", "service/(unattached)"]);
    // The policy knows them all the same.
    let nic = compiled
        .unattached
        .iter()
        .find(|spec| spec.name == "nic/vm0");
    assert!(compiled.snapshot.nic(nic.unwrap().id).is_some());
    assert_eq!(compiled.snapshot.services.len(), 2);
}

#[test]
fn what_has_to_have_a_namespace_says_so() {
    assert_refused_with(&[
        (
            "[internet]\nnamespace = \"inet\"",
            "[internet]",
            "internet.namespace: missing",
        ),
        (
            "address = \"20.60.16.5\"\nnamespace = \"svc\"",
            "front = { ports = [443], connect = \"127.0.0.1:1\" }",
            "service[0].namespace: missing",
        ),
    ]);
}

#[test]
fn patterns_complete_what_is_not_said() {
    let bound = |bind: &str| namespaces(&with_bind(bind));
    assert_eq!(
        bound("[[bind]]\nname = \"vm*\"\nnamespace = \"ns-{name}\""),
        ["ns-vm0", "ns-vm1", "(unattached)", "(unattached)"]
    );
    // The first pattern that fits gives the value; a type, a group and an ID narrow it down.
    let several = r#"
        [[bind]]
        name = "vm1"
        resourceGroup = "other"
        namespace = "wrong"
        [[bind]]
        name = "VM1"
        namespace = "first"
        [[bind]]
        type = "Microsoft.Sql/servers"
        name = "*"
        namespace = "sql"
        [[bind]]
        name = "/subscriptions/*/resourceGroups/POSTERN/providers/*/networkInterfaces/vm?"
        namespace = "{name}"
        mtu = 1400
    "#;
    assert_eq!(bound(several), ["vm0", "first", "(unattached)", "sql"]);
    let model = read(&with_bind(several)).unwrap();
    let mtus: Vec<_> = model.nics.iter().map(|nic| nic.device.mtu).collect();
    assert_eq!(mtus, [1400, 1400]);
    // What a resource says itself stands.
    let own = format!("{GOOD}\n[[bind]]\nname = \"*\"\nnamespace = \"x-{{name}}\"");
    assert_eq!(namespaces(&own), ["vm0", "vm1", "svc", "svc"]);
}

#[test]
fn a_pattern_with_a_key_of_services_is_for_services() {
    let text = with_bind(
        "[[bind]]\nname = \"*\"\nnamespace = \"svc\"\nhost = \"{name}.example\"\n\
         front = { ports = [443], connect = \"10.1.1.1\", namespace = \"{name}\" }\n\
         delivery = \"st6\"",
    );
    assert_eq!(
        namespaces(&text),
        ["(unattached)", "(unattached)", "svc", "svc"]
    );
    let model = read(&text).unwrap();
    assert_eq!(model.services[0].resource.host, "contoso.example");
    let front = model.services[0].front.as_ref().unwrap();
    let backend = front.backend.namespace.as_ref().unwrap();
    assert_eq!(backend.to_string(), "contoso");
}

#[test]
fn wrong_patterns_are_refused_even_if_nothing_fits_them() {
    let first = "location = \"koreacentral\"";
    for (bind, wanted) in [
        ("", "bind[0].name: missing"),
        ("name = \"x\"\ntype = \"y\"", "bind[0].type = \"y\""),
        (
            "name = \"x\"\nnamespace = \"a b\"",
            "bind[0].namespace = \"a b\"",
        ),
        ("name = \"x\"\nmtu = 1", "bind[0].mtu = 1: out of range"),
        (
            "name = \"x\"\naddress = \"y\"",
            "bind[0].address = \"y\": not a value",
        ),
        (
            "name = \"x\"\ncolour = 1",
            "bind[0].colour = 1: unknown key",
        ),
        (
            "name = \"x\"\ntype = \"Microsoft.Network/networkInterfaces\"\nhost = \"h\"",
            "bind[0].host = \"h\": unknown key; accepted: type, name, resourceGroup",
        ),
    ] {
        let text = format!("{first}\n[[bind]]\n{bind}\n");
        let case = [(first, text.as_str(), wanted)];
        assert_refused_with(&case);
    }
    let text = format!("{first}\nbind = 1");
    assert_refused_with(&[(first, &text, "bind = 1: not a value")]);
}

#[test]
fn a_pool_keeps_clear_of_everything_else() {
    let first = "location = \"koreacentral\"";
    let pool = |prefixes: &str| format!("{first}\npublicIPPool.prefixes = {prefixes}");
    let good = GOOD.replacen(first, &pool("[\"20.90.0.0/24\", \"20.0.0.8/30\"]"), 1);
    assert!(read(&good).is_ok(), "a NIC's address may be of the pool");
    for (prefixes, wanted) in [
        ("[\"20.90.0.1/24\"]", "bits are set behind"),
        ("[\"10.90.0.0/24\"]", "not a public address"),
        ("[\"20.0.0.0/8\"]", "overlaps Microsoft."),
        (
            "[\"20.90.0.0/24\", \"20.90.0.0/25\"]",
            "overlaps publicIPPool.prefixes[0]",
        ),
        (
            "[\"20.200.0.0/28\"]",
            "overlaps defaultOutbound.publicIPAddress",
        ),
        ("[\"93.184.216.0/24\"]", "overlaps internet.addresses"),
        ("[]", "not a value of this key"),
    ] {
        let lines = refusals(first, &pool(prefixes));
        assert!(lines[0].contains(wanted), "{lines:?}");
        assert!(
            lines[0].starts_with("f.toml: publicIPPool.prefixes"),
            "{lines:?}"
        );
    }
}

#[test]
fn an_allow_stands_alone_or_beside_values() {
    let text = with_bind(
        "[[bind]]\nresourceGroup = \"team\"\nallow = { namespaces = [\"vm*\", \"{name}\"], ports = [443, \
         \"8000-8010\"], addresses = [\"20.60.16.0/24\", \"20.60.17.1\"], hosts = [\"*.example\"], \
         backends = [\"10.0.0.0/8\", \"[::1]:80\", { connect = \"127.0.0.1\", namespace = \"s?\" }], \
         devices = [], keys = [\"MTU\"] }\n\
         [[bind]]\nname = \"vm*\"\nsubscription = \"0000*\"\nnamespace = \"ns-{name}\"\nallow = {}\n\
         [[bind]]\ntype = \"Microsoft.Network/virtualNetworks\"\nallow = { keys = [\"tenant\"] }\n",
    );
    let wanted = ["ns-vm0", "ns-vm1", "(unattached)", "(unattached)"];
    assert_eq!(namespaces(&text), wanted);
    let other = text.replace("subscription = \"0000*\"", "subscription = \"1*\"");
    assert_eq!(namespaces(&other), ["(unattached)"; 4]);
}

#[test]
fn wrong_allows_are_refused() {
    let first = "location = \"koreacentral\"";
    for (allow, wanted) in [
        (
            "namespaces = [\"pid:1\"]",
            "allow.namespaces[0] = \"pid:1\": not a value",
        ),
        ("namespaces = [\"pid:*\"]", "allow.namespaces[0]"),
        ("namespaces = [\"/run/netns/*\"]", "allow.namespaces[0]"),
        ("namespaces = [\"a b\"]", "allow.namespaces[0]"),
        ("namespaces = \"a\"", "allow.namespaces = \"a\""),
        ("namespaces = [1]", "allow.namespaces[0] = 1"),
        (
            "addresses = [\"20.60.16.5/24\"]",
            "allow.addresses[0] = \"20.60.16.5/24\": bits are set",
        ),
        ("sharedAddresses = [\"x\"]", "allow.sharedAddresses[0]"),
        ("ports = [0]", "allow.ports[0] = 0"),
        ("ports = [\"9-8\"]", "allow.ports[0] = \"9-8\""),
        ("ports = [\"443\"]", "allow.ports[0]"),
        ("ports = [65536]", "allow.ports[0]"),
        (
            "backends = [\"localhost:80\"]",
            "allow.backends[0] = \"localhost:80\"",
        ),
        ("backends = [\"{name}\"]", "allow.backends[0]"),
        ("backends = [1]", "allow.backends[0] = 1"),
        (
            "backends = [{ namespace = \"a\" }]",
            "allow.backends[0].connect: missing",
        ),
        (
            "backends = [{ connect = \"::1\", namespace = \"pid:1\" }]",
            "allow.backends[0].namespace = \"pid:1\"",
        ),
        (
            "backends = [{ connect = \"::1\", port = 1 }]",
            "allow.backends[0].port = 1: unknown key",
        ),
        ("keys = [\"namespace\"]", "allow.keys[0] = \"namespace\""),
        ("hosts = [\"\"]", "allow.hosts[0] = \"\""),
        (
            "colours = []",
            "allow.colours = []: unknown key; accepted: namespaces, devices",
        ),
    ] {
        let text = format!("{first}\n[[bind]]\nresourceGroup = \"g\"\nallow = {{ {allow} }}\n");
        let lines = refusals(first, &text);
        assert_eq!(lines.len(), 1, "{lines:#?}");
        assert!(lines[0].contains(wanted), "{wanted}: {}", lines[0]);
        assert!(lines[0].contains("; accepted: "), "{}", lines[0]);
    }
    // A type that patterns have no value for is for an `allow` alone.
    let kind = "type = \"Microsoft.Network/virtualNetworks\"";
    let text = format!("{first}\n[[bind]]\nname = \"x\"\n{kind}\nmtu = 1400\n");
    assert!(refusals(first, &text)[0].contains("type = \"Microsoft.Network/virtualNetworks\""));
}

#[test]
fn a_name_does_not_choose_what_of_the_host_it_gets() {
    let first = "location = \"koreacentral\"";
    for pattern in ["pid:{name}", "/proc/{name}/ns/net", "/run/{name}/net"] {
        for key in [
            format!("namespace = \"{pattern}\""),
            format!("front = {{ ports = [443], connect = \"::1\", namespace = \"{pattern}\" }}"),
            "front = { ports = [443], connect = \"{name}\" }".to_owned(),
        ] {
            let text = format!("{first}\n[[bind]]\nname = \"x\"\n{key}\n");
            let lines = refusals(first, &text);
            assert_eq!(lines.len(), 1, "{key}: {lines:#?}");
            assert!(
                lines[0].contains("not a value of this key; accepted: "),
                "{}",
                lines[0]
            );
        }
    }
    // What the file gives to something by its own name is nobody's who is only called so.
    let spoiled = |bind: &str, name: &str| {
        let text = with_bind(bind).replace("\"vm1\"", &format!("\"{name}\""));
        let error = read(&text).unwrap_err().to_string();
        assert!(
            error.contains("is in the same namespace; accepted: "),
            "{error}"
        );
        assert_eq!(error.lines().count(), 1, "{error}");
    };
    let named = "[[bind]]\nname = \"*\"\nnamespace = \"{name}\"\n";
    spoiled(named, "inet");
    let services = "[[bind]]\ntype = \"Microsoft.Web/sites\"\nname = \"*\"\nnamespace = \"web\"\n\
                    front = { ports = [443], connect = \"::1\", namespace = \"vault\" }\n";
    spoiled(&format!("{named}{services}"), "web");
    spoiled(&format!("{named}{services}"), "vault");
    // Names that are none are refused as such.
    for name in ["pid:1", "..", "/run/netns/x", "a/b", "-x", "x y"] {
        let text = with_bind(named).replace("\"vm1\"", &format!("\"{name}\""));
        let error = read(&text).unwrap_err().to_string();
        assert!(error.contains("not a name; accepted: "), "{error}");
    }
}

#[test]
fn a_pattern_knows_a_resource_by_its_name_in_arm() {
    let service = "[[service]]\nname = \"alike.team\"\nresourceName = \"alike\"\n\
                   resourceGroup = \"team\"\nservice = \"Microsoft.Storage\"\n";
    let hosts = |bind: &str| {
        let model = read(&format!("{GOOD}\n{service}{bind}")).unwrap();
        let found = model.service("alike.team").unwrap();
        (
            found.resource.host.clone(),
            found.device.namespace.to_string(),
        )
    };
    let of = |host: &str, namespace: &str| (host.to_owned(), namespace.to_owned());
    let own = "alike.blob.core.windows.net";
    assert_eq!(hosts(""), of(own, "(unattached)"));
    for name in [
        "alike",
        "al*",
        "/subscriptions/*/resourceGroups/team/providers/*/alike",
    ] {
        let bind = format!(
            "[[bind]]\nname = \"{name}\"\nhost = \"{{name}}.dfs.core.windows.net\"\n\
             namespace = \"n-{{name}}\"\n"
        );
        // Namespaces are by the name that nobody else has.
        let wanted = of("alike.dfs.core.windows.net", "n-alike.team");
        assert_eq!(hosts(&bind), wanted, "{name}");
    }
    let other = "[[bind]]\nname = \"alike.team\"\nhost = \"x.dfs.core.windows.net\"\n";
    assert_eq!(hosts(other).0, own);
}
