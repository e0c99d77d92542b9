//! The API's tables.

use super::*;
use crate::model::{RoleSource, SecretSource};

const TOP: &str = "location = \"koreacentral\"\n";

fn read(text: &str) -> crate::model::Api {
    let text = format!("{TOP}{text}");
    parse(Path::new("a.toml"), &text, &Catalog::bundled().unwrap())
        .map_err(counted)
        .unwrap()
        .api
}

fn refused(text: &str) -> String {
    let text = format!("{TOP}{text}");
    parse(Path::new("a.toml"), &text, &Catalog::bundled().unwrap())
        .map_err(counted)
        .unwrap_err()
        .to_string()
}

#[test]
fn the_api_is_read() {
    let api = read(
        "[api]\nlisten = \"127.0.0.1:8443\"\nnames = [\"p.example\"]\n\
         [[api.tenant]]\nid = \"t2\"\n\
         [[api.subscription]]\nid = \"s1\"\nname = \"one\"\n\
         [[api.subscription]]\nid = \"s2\"\ntenant = \"t2\"\n\
         [[servicePrincipal]]\nname = \"ci\"\nappId = \"a\"\nsecret = \"x\"\n\
         [[servicePrincipal]]\nname = \"two\"\nappId = \"a\"\ntenant = \"t2\"\nobjectId = \"o\"\nsecretFile = \"/x\"\n\
         [[roleDefinition]]\nroleName = \"R\"\nactions = [\"A/*\"]\n\
         [[roleDefinition]]\nfile = \"/r.json\"\n\
         [[roleAssignment]]\nprincipal = \"CI\"\nrole = \"reader\"\n\
         [[roleAssignment]]\nprincipal = \"o\"\nrole = \"R\"\nscope = \"/subscriptions/s2/resourceGroups/g\"\n",
    );
    assert_eq!(api.listen, Some("127.0.0.1:8443".parse().unwrap()));
    assert_eq!(api.tenants, [("t2".to_owned(), "t2".to_owned())]);
    let zero = crate::model::Scope::default();
    assert_eq!(
        (
            api.subscriptions[0].tenant.as_str(),
            api.subscriptions[1].tenant.as_str()
        ),
        (&*zero.tenant, "t2")
    );
    assert_eq!(api.principals[0].object_id.len(), 36, "derived");
    assert_eq!(api.principals[1].object_id, "o");
    assert_eq!(api.principals[1].secret, SecretSource::File("/x".into()));
    assert!(matches!(&api.definitions[0].1, RoleSource::Inline(role) if role.allows("A/b")));
    assert_eq!(
        api.assignments[0].scope,
        format!("/subscriptions/{}", zero.subscription)
    );
    assert_eq!(api.assignments[1].principal, "o");
    assert!(
        !format!("{api:?}").contains("\"x\""),
        "secrets are not shown"
    );
}

#[test]
fn what_cannot_be_is_told_with_its_key() {
    let principal = "[[servicePrincipal]]\nname = \"ci\"\nappId = \"a\"\n";
    for (text, expected) in [
        (
            "[api]\nlisten = \"8443\"\n".to_owned(),
            "api.listen = \"8443\"",
        ),
        ("[api]\nport = 1\n".into(), "api.port = 1: unknown key"),
        (
            "[[api.tenant]]\nname = \"x\"\n".into(),
            "api.tenant[0].id: missing",
        ),
        (
            "[[api.subscription]]\nid = \"a/b\"\n".into(),
            "api.subscription[0].id = \"a/b\"",
        ),
        (
            "[[api.subscription]]\nid = \"a\"\n[[api.subscription]]\nid = \"A\"\n".into(),
            "api.subscription[1].id",
        ),
        (principal.into(), "servicePrincipal[0].secret: missing"),
        (
            format!("{principal}secret = \"\"\n"),
            "servicePrincipal[0].secret: not a value",
        ),
        (
            format!("{principal}secret = 12345\n"),
            "servicePrincipal[0].secret: not a value",
        ),
        (
            format!("{principal}secret = \"x\"\nsecretFile = \"/y\"\n"),
            "servicePrincipal[0].secret: secretFile is there too",
        ),
        (
            format!("{principal}secretDigest = \"12345\"\n"),
            "servicePrincipal[0].secretDigest: not a value",
        ),
        (
            format!("{principal}secretDigest = \"x\"\nsecretFile = \"/y\"\n"),
            "servicePrincipal[0].secret: secretFile is there too",
        ),
        (
            format!("{principal}secretFile = \"y\"\n"),
            "accepted: an absolute path",
        ),
        (
            format!("{principal}secret = \"x\"\n{principal}secret = \"x\"\n"),
            "servicePrincipal[1].appId",
        ),
        (
            "[[roleDefinition]]\nactions = []\n".into(),
            "roleDefinition[0].roleName: missing",
        ),
        (
            "[[roleDefinition]]\nroleName = \"R\"\nassignableScopes = [\"x\"]\n".into(),
            "roleDefinition[0].assignableScopes[0]",
        ),
        (
            "[[roleAssignment]]\nprincipal = \"x\"\nrole = \"Owner\"\n".into(),
            "there is no such servicePrincipal; accepted: none",
        ),
        (
            format!(
                "{principal}secret = \"x\"\n[[roleAssignment]]\nprincipal = \"ci\"\nrole = \"Ownr\"\n"
            ),
            "there is no such role",
        ),
        (
            format!(
                "{principal}secret = \"x\"\n[[roleAssignment]]\nprincipal = \"ci\"\nrole = \"Owner\"\nscope = \"x\"\n"
            ),
            "roleAssignment[0].scope = \"x\"",
        ),
    ] {
        let error = refused(&text);
        assert!(error.contains(expected), "{expected}\n{error}");
        assert!(!error.contains("12345"), "no secret is told: {error}");
    }
}

#[test]
fn a_secret_under_a_wrong_key_is_not_shown() {
    for text in [
        "[[servicePrincipal]]\nname = \"ci\"\nappId = \"a\"\nSecret = \"m4rker\"\n",
        "[[servicePrincipal]]\nname = \"ci\"\nappId = \"a\"\ncredential = \"m4rker\"\n",
        "[[servicePrincipal]]\nname = \"ci\"\nappId = \"a\"\nsecret = [\"m4rker\"]\n",
        "servicePrincipal = \"m4rker\"\n",
        "servicePrincipal = [\"m4rker\"]\n",
        "clientSecret = \"m4rker\"\n",
        "[api]\npassword = \"m4rker\"\n",
        "[[servicePrincipal]]\nname = \"ci\"\nsecret = \"m4rker\n",
    ] {
        let error = refused(text);
        assert!(!error.contains("m4rker"), "{text}: {error}");
    }
    let shown = refused("[[servicePrincipal]]\nname = \"ci\"\nappId = \"a/b\"\nsecret = \"x\"\n");
    assert!(shown.contains("\"a/b\""), "{shown}");
}
