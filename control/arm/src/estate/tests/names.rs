//! Names that all subscriptions share.

use super::*;

/// Puts a resource into a resource group, which is made where it is not there.
fn put(stage: &mut Stage, group: &str, path: &str, origin: Origin) -> Result<Put, ArmError> {
    let scope: Scope = format!("/subscriptions/{group}/resourceGroups/rg")
        .parse()
        .unwrap();
    let place = json!({ "location": "koreacentral" });
    stage.put_group(&scope, place).unwrap();
    let id: ResourceId = format!("{scope}/providers/{path}").parse().unwrap();
    let body = json!({ "location": "koreacentral", "properties": {} });
    stage.put(&id, body, &Conditions::none(), origin)
}

#[test]
fn a_name_of_the_dns_is_one_resources_in_all_subscriptions() {
    for (path, again, status, code) in [
        (
            "Storage/storageAccounts",
            "",
            409,
            "StorageAccountAlreadyTaken",
        ),
        ("KeyVault/vaults", "", 409, "VaultAlreadyExists"),
        ("Sql/servers", "", 409, "NameAlreadyExists"),
        (
            "DBforPostgreSQL/servers",
            "",
            409,
            "ServerNameAlreadyExists",
        ),
        (
            "DBforPostgreSQL/servers",
            "DBforPostgreSQL/flexibleServers",
            409,
            "ServerNameAlreadyExists",
        ),
        ("DBforMySQL/servers", "", 409, "ServerNameAlreadyExists"),
        ("DBforMariaDB/servers", "", 409, "ServerNameAlreadyExists"),
        ("DocumentDB/databaseAccounts", "", 400, "BadRequest"),
        ("EventHub/namespaces", "", 400, "BadRequest"),
        (
            "ServiceBus/namespaces",
            "EventHub/namespaces",
            400,
            "BadRequest",
        ),
        ("Web/sites", "", 409, "Conflict"),
        ("ContainerRegistry/registries", "", 409, "AlreadyInUse"),
        ("CognitiveServices/accounts", "", 409, "CustomDomainInUse"),
        ("DataLakeStore/accounts", "", 409, "Conflict"),
        ("Cache/redis", "", 409, "NameNotAvailable"),
    ] {
        let again = if again.is_empty() { path } else { again };
        let mut stage = stage();
        put(
            &mut stage,
            "s",
            &format!("Microsoft.{path}/contoso1"),
            Origin::Api,
        )
        .unwrap();
        for origin in [Origin::Api, Origin::File] {
            let other = format!("microsoft.{again}/contoso1");
            let error = put(&mut stage, "t", &other, origin).unwrap_err();
            assert_eq!(
                (error.status, error.code.as_str()),
                (status, code),
                "{path}"
            );
            assert!(error.message.contains("contoso1"), "{error}");
            assert!(error.message.contains("Accepted: "), "{error}");
        }
        // Its own may be written again, and the name is free when it is gone.
        put(
            &mut stage,
            "s",
            &format!("Microsoft.{path}/contoso1"),
            Origin::Api,
        )
        .unwrap();
        let gone = id(&format!("Microsoft.{path}/contoso1"));
        assert!(stage.delete(&gone, &Conditions::none()).unwrap());
        put(
            &mut stage,
            "t",
            &format!("Microsoft.{again}/contoso1"),
            Origin::Api,
        )
        .unwrap();
    }
}

#[test]
fn a_server_of_the_name_does_not_hide_an_account() {
    let mut stage = stage();
    put(
        &mut stage,
        "s",
        "Microsoft.Sql/servers/contoso1",
        Origin::Api,
    )
    .unwrap();
    let account = "Microsoft.Storage/storageAccounts/contoso1";
    put(&mut stage, "t", account, Origin::Api).unwrap();
    let error = put(&mut stage, "u", account, Origin::Api).unwrap_err();
    assert_eq!(error.code, "StorageAccountAlreadyTaken");
}

#[test]
fn names_of_groups_are_their_own() {
    let mut stage = stage();
    for path in [
        "Microsoft.Network/networkSecurityGroups/n",
        "Microsoft.Compute/virtualMachines/vm",
        "Microsoft.Web/serverfarms/plan",
    ] {
        for subscription in ["s", "t"] {
            put(&mut stage, subscription, path, Origin::Api).unwrap();
        }
    }
}
