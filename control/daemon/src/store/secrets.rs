//! What is kept in the place of secrets: digests under the key of the state directory.

use postern_arm::principals::Secret;
use postern_arm::seal::Seal;
use serde_json::{Map, Value};
use toml::Table;

/// Returns what a configuration file is known by: a digest of what it says. Its comments, its layout and
/// the order of its keys are no part of that, and its text is not kept, as it has secrets in it.
#[must_use]
pub fn mark(seal: &Seal, table: &Table) -> String {
    let value = serde_json::to_value(table).unwrap_or_default();
    seal.digest_value("configuration", &value)
}

/// Puts digests in the place of the secrets in what a configuration file says of the host.
pub fn seal_host(seal: &Seal, host: &mut Map<String, Value>) {
    let principals = host.get_mut("servicePrincipal");
    let principals = principals.and_then(Value::as_array_mut);
    for principal in principals.into_iter().flatten() {
        let Some(fields) = principal.as_object_mut() else {
            continue;
        };
        let app_id = fields.get("appId").and_then(Value::as_str);
        let app_id = app_id.unwrap_or_default().to_owned();
        if let Some(Value::String(secret)) = fields.remove("secret") {
            let digest = Secret::digest(seal, &app_id, &secret);
            fields.insert("secretDigest".to_owned(), digest.into());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_file_is_known_by_what_it_says() {
        let seal = Seal::default();
        let mark = |text: &str| mark(&seal, &text.parse().unwrap());
        let file = mark("a = 1\nb = [1, 2]\n[c]\nd = 1979-05-27T07:32:00Z\n");
        for same in [
            "# a comment\nb=[ 1,\n2 ] # another\na = 0x1\nc.d = 1979-05-27T07:32:00Z",
            "b = [1, 2]\na = 1\nc = { d = 1979-05-27T07:32:00Z }\n\n\n",
        ] {
            assert_eq!(mark(same), file, "{same}");
        }
        for other in ["", "a = 1\nb = [2, 1]\n[c]\nd = 1979-05-27T07:32:00Z\n"] {
            assert_ne!(mark(other), file, "{other}");
        }
    }

    #[test]
    fn secrets_of_principals_become_digests() {
        let seal = Seal::default();
        let mut host = json!({
            "servicePrincipal": [
                { "name": "a", "appId": "A", "secret": "s3cret" },
                { "name": "b", "appId": "B", "secretFile": "/s" },
            ],
            "location": "x",
        });
        seal_host(&seal, host.as_object_mut().unwrap());
        assert!(!host.to_string().contains("s3cret"));
        let digest = host["servicePrincipal"][0]["secretDigest"]
            .as_str()
            .unwrap();
        assert!(Secret::of_digest(&seal, "a", digest).unwrap().is("s3cret"));
        assert_eq!(host["servicePrincipal"][1]["secretFile"], "/s");
        let once = host.clone();
        seal_host(&seal, host.as_object_mut().unwrap());
        assert_eq!(host, once);
    }
}
