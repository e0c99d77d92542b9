//! How much there may be.

use super::*;
use crate::estate::Quotas;

fn limited(quotas: Quotas) -> Stage {
    let mut stage = stage();
    stage.settings = Arc::new(Settings {
        quotas,
        ..settings()
    });
    stage
}

#[test]
fn so_many_of_a_type_in_a_group_and_no_more() {
    let mut stage = limited(Quotas {
        instances: 3,
        ..Quotas::default()
    });
    for at in 0..3 {
        stage.ok(&format!("Contoso.X/things/t{at}"), json!({}));
        stage.ok(&format!("routeTables/t{at}"), json!({}));
    }
    let body = json!({ "location": "koreacentral" });
    let error = stage.api("Contoso.x/Things/t4", body.clone()).unwrap_err();
    assert_eq!(
        (error.status, error.code.as_str()),
        (409, "ResourceQuotaExceeded")
    );
    assert!(
        error.message.contains("current resource count is '3'"),
        "{error}"
    );
    stage.ok("Contoso.X/things/t1", json!({ "a": 1 }));
    stage.ok("Contoso.X/others/t1", json!({}));
    stage
        .delete(&id("Contoso.X/things/t1"), &Conditions::none())
        .unwrap();
    stage.api("Contoso.X/things/t4", body.clone()).unwrap();
    // Azure has no such limit for these.
    for at in 0..5 {
        stage.ok(&format!("networkSecurityGroups/n{at}"), json!({}));
    }
    // What the file declares is the host's own.
    let nothing = Conditions::none();
    let path = id("Contoso.X/things/t5");
    stage.put(&path, body, &nothing, Origin::File).unwrap();
}

#[test]
fn bytes_are_limited_by_group_subscription_and_host() {
    let body = |length: usize| {
        let text = "x".repeat(length);
        json!({ "location": "koreacentral", "properties": { "text": text } })
    };
    for (quotas, what) in [
        (
            Quotas {
                group_bytes: 3_000,
                ..Quotas::default()
            },
            "the resource group",
        ),
        (
            Quotas {
                subscription_bytes: 3_000,
                ..Quotas::default()
            },
            "the subscription",
        ),
        (
            Quotas {
                bytes: 3_000,
                ..Quotas::default()
            },
            "this host",
        ),
    ] {
        let mut stage = limited(quotas);
        stage.api("Contoso.X/things/a", body(1_000)).unwrap();
        stage.api("Contoso.X/others/b", body(1_000)).unwrap();
        let error = stage.api("Contoso.X/things/c", body(1_000)).unwrap_err();
        assert_eq!((error.status, error.code.as_str()), (409, "QuotaExceeded"));
        assert!(error.message.contains(what), "{error}");
        let error = stage.api("Contoso.X/things/a", body(2_500)).unwrap_err();
        assert_eq!(error.code, "QuotaExceeded", "one that grows counts too");
        stage.api("Contoso.X/things/a", body(10)).unwrap();
        stage.api("Contoso.X/things/c", body(1_000)).unwrap();
    }
}

#[test]
fn so_many_groups_of_a_subscription() {
    let mut stage = limited(Quotas {
        groups: 2,
        ..Quotas::default()
    });
    let scope = |text: &str| text.parse::<Scope>().unwrap();
    let body = json!({ "location": "koreacentral" });
    let put = stage.put_group(&scope("/subscriptions/S/resourceGroups/b"), body.clone());
    put.unwrap();
    let third = scope("/subscriptions/s/resourceGroups/c");
    let error = stage.put_group(&third, body.clone()).unwrap_err();
    assert_eq!(
        (error.status, error.code.as_str()),
        (409, "ResourceGroupQuotaExceeded")
    );
    stage.put_group(&scope(GROUP), body.clone()).unwrap();
    let other = scope("/subscriptions/t/resourceGroups/c");
    stage.put_group(&other, body).unwrap();
}

#[test]
fn the_oldest_deployments_make_room() {
    let mut stage = limited(Quotas {
        deployments: 3,
        ..Quotas::default()
    });
    for at in 0..5 {
        let path = format!("Microsoft.Resources/deployments/d{at}");
        stage.api(&path, json!({ "properties": {} })).unwrap();
    }
    let names: Vec<_> = stage
        .estate()
        .documents()
        .map(|it| it.id.name().to_owned())
        .collect();
    assert_eq!(names, ["d2", "d3", "d4"]);
}
