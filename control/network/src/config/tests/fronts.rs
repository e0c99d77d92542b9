//! Fronts of services.

use super::*;
use crate::model::{Protocol, ServiceDelivery, ServiceFront};

/// Returns a file with one service for each of these front sections.
fn file(service: &str, fronts: &[&str]) -> String {
    let addresses = ["20.60.16.5", "20.60.16.6"];
    let service = |(at, front): (usize, &&str)| {
        format!(
            "[[service]]\nname = \"s{at}\"\nservice = \"{service}\"\nlocation = \"koreacentral\"\n\
             address = \"{}\"\nnamespace = \"svc\"\n[service.front]\n{front}\n",
            if service == "Microsoft.Sql" {
                "52.231.17.4"
            } else {
                addresses[at]
            }
        )
    };
    fronts.iter().enumerate().map(service).collect()
}

fn read(service: &str, front: &str) -> Result<ServiceFront, String> {
    let catalog = Catalog::bundled().unwrap();
    let model = parse(Path::new("f.toml"), &file(service, &[front]), &catalog).map_err(counted);
    let model = model.map_err(|errors| errors.to_string())?;
    Ok(model.services[0].front.clone().unwrap())
}

#[test]
fn a_front_has_its_defaults_from_service_and_port() {
    let front = "ports = [443, 80]\nconnect = \"127.0.0.1:10000\"";
    let front = read("Microsoft.Storage", front).unwrap();
    assert_eq!(front.ports, [(443, Protocol::Tls), (80, Protocol::Http)]);
    assert_eq!(front.to_string(), "tls/443 http/80 -> 127.0.0.1:10000");
    let front = "ports = [1433]\nconnect = \"::1\"\nnamespace = \"db\"\nproxyProtocol = true";
    let front = read("Microsoft.Sql", front).unwrap();
    assert_eq!(front.to_string(), "tds/1433 -> ::1 in db with PROXY header");
    let front = "ports = [9443]\nconnect = \"[::1]:7\"\nprotocol = \"HTTP\"";
    let front = read("Microsoft.Storage", front).unwrap();
    assert_eq!(front.to_string(), "http/9443 -> [::1]:7");
    let front = "ports = [443]\nconnect = \"::1\"\ntls = \"terminate\"\nconnectTls = true\n\
                 idleTimeoutInMinutes = 30";
    let front = read("Microsoft.Storage", front).unwrap();
    assert_eq!(
        front.to_string(),
        "tls/443 -> ::1 over TLS, ends TLS, idle for 30 min"
    );
}

#[test]
fn what_a_front_cannot_be_is_refused() {
    for (front, problem) in [
        ("connect = \"127.0.0.1\"", "front.ports: "),
        (
            "ports = []\nconnect = \"127.0.0.1\"",
            "front.ports = []: not a value of this key; accepted: a list of 1 to 16",
        ),
        (
            "ports = [443, 443]\nconnect = \"127.0.0.1\"",
            "accepted: a list of 1 to 16 different",
        ),
        (
            "ports = [0]\nconnect = \"127.0.0.1\"",
            "front.ports = [0]: ",
        ),
        (
            "ports = [65536]\nconnect = \"127.0.0.1\"",
            "front.ports = [65536]: ",
        ),
        (
            "ports = [\"443\"]\nconnect = \"127.0.0.1\"",
            "front.ports = [\"443\"]: ",
        ),
        (
            "ports = 443\nconnect = \"127.0.0.1\"",
            "front.ports = 443: ",
        ),
        ("ports = [443]", "front.connect: "),
        (
            "ports = [443]\nconnect = \"localhost:80\"",
            "front.connect = \"localhost:80\": ",
        ),
        (
            "ports = [443]\nconnect = \"127.0.0.1:0\"",
            "front.connect = \"127.0.0.1:0\": ",
        ),
        (
            "ports = [443]\nconnect = \"::1\"\nnamespace = \"a b\"",
            "front.namespace = \"a b\": ",
        ),
        (
            "ports = [443]\nconnect = \"::1\"\nprotocol = \"ftp\"",
            "front.protocol = \"ftp\": ",
        ),
        (
            "ports = [443]\nconnect = \"::1\"\nproxyProtocol = 1",
            "front.proxyProtocol = 1: ",
        ),
        (
            "ports = [443]\nconnect = \"::1\"\ntls = \"end\"",
            "front.tls = \"end\": not a value of this key; accepted: \"pass\" or \"terminate\"",
        ),
        (
            "ports = [80]\nconnect = \"::1\"\ntls = \"terminate\"",
            "front.tls = \"terminate\": ",
        ),
        (
            "ports = [443]\nconnect = \"::1\"\nconnectTls = true",
            "front.connectTls = true: ",
        ),
        (
            "ports = [443]\nconnect = \"::1\"\nidleTimeoutInMinutes = 3",
            "front.idleTimeoutInMinutes = 3: ",
        ),
        (
            "ports = [443]\nconnect = \"::1\"\nbackend = 1",
            "front.backend = 1: unknown key",
        ),
    ] {
        let error = read("Microsoft.Storage", front).unwrap_err();
        assert!(error.contains(problem), "{front}: {error}");
        assert_eq!(error.lines().count(), 1, "{front}: {error}");
    }
}

#[test]
fn a_front_gets_the_identity() {
    let front = "ports = [443]\nconnect = \"::1\"";
    let text = file("Microsoft.Storage", &[front]);
    let catalog = Catalog::bundled().unwrap();
    let model = parse(Path::new("f.toml"), &text, &catalog).unwrap();
    assert_eq!(model.services[0].delivery, ServiceDelivery::St6);
    let text = text.replace("[service.front]", "delivery = \"native\"\n[service.front]");
    let error = parse(Path::new("f.toml"), &text, &catalog)
        .map_err(counted)
        .unwrap_err();
    let problem = "service[0].delivery = \"native\": not a value of this key; accepted: \"st6\", which the front needs";
    assert!(error.to_string().contains(problem), "{error}");
}

#[test]
fn a_front_does_not_lead_to_postern_itself() {
    let with = |connect: &str, listen: &str| {
        let text = file("Microsoft.Storage", &[connect]);
        let api = format!("[api]\nlisten = \"{listen}\"\n");
        let catalog = Catalog::bundled().unwrap();
        parse(Path::new("f.toml"), &format!("{text}{api}"), &catalog)
            .map_err(|error| counted(error).to_string())
    };
    let local = "127.0.0.1:8443";
    for (front, listen) in [
        ("ports = [443]\nconnect = \"127.0.0.1:8443\"", local),
        ("ports = [443]\nconnect = \"0.0.0.0:8443\"", local),
        ("ports = [443]\nconnect = \"[::]:8443\"", local),
        (
            "ports = [443]\nconnect = \"[::ffff:127.0.0.1]:8443\"",
            local,
        ),
        ("ports = [443, 8443]\nconnect = \"127.0.0.1\"", local),
        (
            "ports = [443]\nconnect = \"127.0.0.2:8443\"",
            "0.0.0.0:8443",
        ),
        ("ports = [443]\nconnect = \"[::1]:8443\"", "[::]:8443"),
        (
            "ports = [443]\nconnect = \"192.0.2.1:8443\"",
            "192.0.2.1:8443",
        ),
        ("ports = [80]\nconnect = \"169.254.169.254:80\"", local),
        (
            "ports = [80]\nconnect = \"::ffff:169.254.169.254\"\nnamespace = \"x\"",
            local,
        ),
        ("ports = [53]\nconnect = \"168.63.129.16\"", local),
        // Round and round.
        (
            "ports = [443]\nconnect = \"127.0.0.1\"\nnamespace = \"svc\"",
            local,
        ),
        (
            "ports = [443, 80]\nconnect = \"[::1]:80\"\nnamespace = \"/run/netns/svc\"",
            local,
        ),
    ] {
        let error = with(front, listen).expect_err(front);
        assert!(error.contains("front.connect"), "{front}: {error}");
        assert!(
            error.contains("accepted: a server that is not postern's own"),
            "{error}"
        );
    }
    for front in [
        "ports = [443]\nconnect = \"127.0.0.1:8444\"",
        "ports = [443]\nconnect = \"127.0.0.2:8443\"",
        "ports = [443]\nconnect = \"127.0.0.1:8443\"\nnamespace = \"x\"",
        "ports = [443]\nconnect = \"127.0.0.1:80\"\nnamespace = \"svc\"",
    ] {
        with(front, local).unwrap_or_else(|error| panic!("{front}: {error}"));
    }
}
