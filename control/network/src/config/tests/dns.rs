//! The resolver.

use super::*;
use crate::model::Dns;

fn with_dns(keys: &str) -> Result<Dns, String> {
    let text = format!("{GOOD}[dns]\n{keys}");
    let model = read(&text).map_err(|error| error.to_string())?;
    Ok(model.dns)
}

#[test]
fn it_answers_and_asks_nobody_unless_told_otherwise() {
    let wanted = Dns {
        enabled: true,
        forwarders: Vec::new(),
    };
    assert_eq!(read(GOOD).unwrap().dns, wanted);
    assert_eq!(with_dns(""), Ok(wanted));
    assert!(!with_dns("enabled = false").unwrap().enabled);
}

#[test]
fn forwarders_have_port_53_unless_they_name_another() {
    let keys = "forwarders = [\"192.0.2.53\", \"127.0.0.1:5353\", \"2001:db8::53\", \"[2001:db8::53]:54\"]";
    let texts: Vec<_> = with_dns(keys)
        .unwrap()
        .forwarders
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(
        texts,
        [
            "192.0.2.53:53",
            "127.0.0.1:5353",
            "[2001:db8::53]:53",
            "[2001:db8::53]:54"
        ]
    );
}

#[test]
fn what_cannot_be_asked_is_refused_with_its_place() {
    for text in [
        "",
        "ns.example",
        "192.0.2.53:0",
        "192.0.2.53:65536",
        "0.0.0.0",
        "224.0.0.251",
        "255.255.255.255",
        "168.63.129.16",
        "168.63.129.16:5353",
        "::",
        "ff02::fb",
    ] {
        let error = with_dns(&format!("forwarders = [\"192.0.2.1\", \"{text}\"]")).unwrap_err();
        let wanted = format!("f.toml: dns.forwarders[1] = {text:?}");
        assert!(error.starts_with(&wanted), "{error}");
        assert!(error.contains("accepted: "), "{error}");
        assert_eq!(error.lines().count(), 1, "{error}");
    }
    let error = with_dns("forwarders = [\"192.0.2.1\", \"192.0.2.1:53\"]").unwrap_err();
    assert!(
        error.contains("dns.forwarders[1] = \"192.0.2.1:53\""),
        "{error}"
    );
    let many =
        "forwarders = [\"192.0.2.1\", \"192.0.2.2\", \"192.0.2.3\", \"192.0.2.4\", \"192.0.2.5\"]";
    let error = with_dns(many).unwrap_err();
    assert!(error.contains("5 of them"), "{error}");
    let error = with_dns("forwarder = []").unwrap_err();
    assert!(error.contains("dns.forwarder ="), "{error}");
}
