//! What is written and never shown.

use super::*;
use crate::seal::Seal;

/// What stands for a secret; `find` looks for it in any case.
const MARKER: &str = "S3cret-Marker-zzz";

/// Types, and properties of theirs with secrets; `$` stands for one.
fn bodies() -> Vec<(&'static str, Value)> {
    let pool = json!({ "name": "p", "properties": { "password": "$", "data": "$", "x": 1 } });
    vec![
        (
            "Microsoft.Sql/servers/s",
            json!({ "administratorLogin": "a", "administratorLoginPassword": "$" }),
        ),
        (
            "Microsoft.Sql/managedInstances/s",
            json!({ "AdministratorLoginPassword": "$" }),
        ),
        (
            "Microsoft.DBforPostgreSQL/servers/s",
            json!({ "administratorLoginPassword": "$", "version": "11" }),
        ),
        (
            "Microsoft.DBforMySQL/flexibleServers/s",
            json!({ "administratorLoginPassword": "$" }),
        ),
        (
            "Microsoft.Synapse/workspaces/s",
            json!({ "sqlAdministratorLoginPassword": "$" }),
        ),
        (
            "Microsoft.Compute/virtualMachines/v",
            json!({
                "osProfile": {
                    "adminUsername": "a", "adminPassword": "$", "customData": "$",
                    "secrets": [{ "sourceVault": { "id": "$" } }],
                    "windowsConfiguration": { "additionalUnattendContent": [{ "passName": "o", "content": "$" }] },
                },
                "userData": "$",
            }),
        ),
        (
            "Microsoft.Compute/virtualMachines/v/extensions/e",
            json!({
                "settings": { "a": 1 }, "protectedSettings": { "any": { "thing": "$" }, "list": ["$"] },
            }),
        ),
        (
            "Microsoft.Network/connections/c",
            json!({ "sharedKey": "$", "authorizationKey": "$", "connectionType": "IPsec" }),
        ),
        (
            "Microsoft.Network/vpnServerConfigurations/c",
            json!({
                "radiusServerSecret": "$", "radiusServers": [{ "radiusServerAddress": "10.0.0.1", "radiusServerSecret": "$" }],
            }),
        ),
        (
            "Microsoft.Network/virtualNetworkGateways/g",
            json!({ "vpnClientConfiguration": { "radiusServerSecret": "$" } }),
        ),
        (
            "Microsoft.Network/applicationGateways/g",
            json!({ "sslCertificates": [pool.clone(), pool] }),
        ),
        (
            "Microsoft.Network/expressRouteCircuits/e",
            json!({
                "authorizations": [{ "name": "a", "properties": { "authorizationKey": "$" } }],
                "peerings": [{ "name": "p", "properties": { "sharedKey": "$" } }],
            }),
        ),
        (
            "Microsoft.KeyVault/vaults/v/secrets/s",
            json!({ "value": "$", "contentType": "text" }),
        ),
        (
            "Microsoft.Web/sites/w",
            json!({ "siteConfig": {
            "appSettings": [{ "name": "A", "value": "$" }, { "name": "B", "value": "$" }],
            "connectionStrings": [{ "name": "C", "connectionString": "$", "type": "SQLAzure" }],
        } }),
        ),
        (
            "Microsoft.Web/sites/w/config/appsettings",
            json!({ "A": "$", "B": "$" }),
        ),
        (
            "Microsoft.Web/sites/w/config/connectionstrings",
            json!({ "C": { "value": "$", "type": "Custom" } }),
        ),
        (
            "Microsoft.Web/sites/w/config/authsettings",
            json!({ "clientId": "x", "facebookAppSecret": "$" }),
        ),
        (
            "Microsoft.Web/certificates/c",
            json!({ "pfxBlob": "$", "password": "$" }),
        ),
        (
            "Microsoft.ContainerInstance/containerGroups/c",
            json!({
                "containers": [{ "name": "c", "properties": { "environmentVariables": [{ "name": "E", "secureValue": "$" }] } }],
                "imageRegistryCredentials": [{ "server": "s", "username": "u", "password": "$" }],
                "volumes": [{ "name": "v", "secret": { "key": "$" }, "azureFile": { "storageAccountKey": "$" } }],
            }),
        ),
        (
            "Microsoft.Resources/deploymentScripts/d",
            json!({
                "environmentVariables": [{ "name": "E", "secureValue": "$" }, { "name": "F", "value": "shown" }],
                "storageAccountSettings": { "storageAccountName": "a", "storageAccountKey": "$" },
            }),
        ),
        (
            "Microsoft.App/containerApps/c",
            json!({ "configuration": { "secrets": [{ "name": "any", "value": "$" }] } }),
        ),
        (
            "Microsoft.DataFactory/factories/f/linkedServices/l",
            json!({ "typeProperties": { "password": { "type": "SecureString", "value": "$" } } }),
        ),
        (
            "Microsoft.Automation/automationAccounts/a/variables/v",
            json!({ "isEncrypted": true, "value": "$" }),
        ),
        (
            "Contoso.Unknown/things/t",
            json!({
                "clientSecret": "$", "Deep": [[{ "admin_password": "$" }], { "api-key": "$" }], "connectionString": "$",
            }),
        ),
    ]
}

fn filled(value: &Value, secret: &str) -> Value {
    match value {
        Value::String(text) if text == "$" => secret.into(),
        Value::Array(items) => items.iter().map(|item| filled(item, secret)).collect(),
        Value::Object(fields) => {
            let fields = fields
                .iter()
                .map(|(name, field)| (name.clone(), filled(field, secret)));
            Value::Object(fields.collect())
        }
        other => other.clone(),
    }
}

fn finds(text: &str) -> bool {
    text.to_ascii_lowercase()
        .contains(&MARKER.to_ascii_lowercase())
}

/// Makes the parents of a resource.
fn parents(stage: &mut Stage, path: &str) {
    let mut parent = id(path).parent();
    let mut all = Vec::new();
    while let Some(one) = parent {
        parent = one.parent();
        all.push(one);
    }
    for one in all.into_iter().rev() {
        let body = json!({ "location": "koreacentral", "properties": {} });
        stage
            .put(&one, body, &Conditions::none(), Origin::Api)
            .unwrap();
    }
}

#[test]
fn no_secret_of_any_type_is_shown_or_kept_and_each_counts_as_a_change() {
    for (path, properties) in bodies() {
        let mut stage = stage();
        parents(&mut stage, path);
        let with = |secret: &str| json!({ "location": "koreacentral", "tags": { "a": "b" }, "properties": filled(&properties, secret) });
        let put = stage.api(path, with(MARKER)).unwrap();
        stage.commit();
        assert!(!finds(&put.value.to_string()), "{path}: {}", put.value);
        let kept = serde_json::to_string(&stage.estate().to_parts()).unwrap();
        assert!(!finds(&kept), "{path}: {kept}");
        let shown = stage.get(path);
        let again = stage.api(path, with(MARKER)).unwrap();
        assert!(!again.changed, "{path}: the same secret is no change");
        assert_eq!(stage.get(path), shown, "{path}");
        let again = stage.api(path, shown.clone()).unwrap();
        assert!(!again.changed, "{path}: what is not mentioned stays");
        let again = stage.api(path, with("another-marker")).unwrap();
        assert!(again.changed, "{path}: another secret is a change");
        let tags = json!({ "tags": { "c": "d" } });
        stage.patch(&id(path), tags, &Conditions::none()).unwrap();
        let again =
            json!({ "tags": { "c": "d" }, "properties": filled(&properties, "another-marker") });
        let before = stage.get(path)["etag"].clone();
        stage.patch(&id(path), again, &Conditions::none()).unwrap();
        assert_eq!(
            stage.get(path)["etag"],
            before,
            "{path}: no change by PATCH"
        );
    }
}

#[test]
fn what_is_no_secret_stays() {
    let mut stage = stage();
    let properties = json!({
        "administratorLogin": "sa", "keyVaultSecretId": "https://v/secrets/s", "passwordSecretRef": "ref",
        "allowSharedKeyAccess": true, "password": null, "environmentVariables": [{ "name": "F", "value": "shown" }],
        "tokenLifetime": "PT1H", "publicCertData": "MII", "secretName": "name",
    });
    stage.ok("Contoso.Unknown/things/t", properties.clone());
    let shown = stage.get("Contoso.Unknown/things/t");
    for (name, value) in properties.as_object().unwrap() {
        assert!(
            value.is_null() || shown["properties"][name] == *value,
            "{name}: {shown}"
        );
    }
    assert_eq!(stage.get("Contoso.Unknown/things/t")["tags"], Value::Null);
}

#[test]
fn a_refusal_quotes_no_secret() {
    let mut stage = stage();
    let body = json!({ "location": MARKER, "properties": { "adminPassword": MARKER } });
    let error = stage.api("virtualNetworks/v", body).unwrap_err();
    assert!(error.message.contains("is not available"), "{error}");
    // Where the password is no text but something that cannot be read.
    let body = json!({ "location": "koreacentral", "properties": { "administratorLoginPassword": [MARKER], "networkAcls": MARKER } });
    let error = stage.api("Microsoft.KeyVault/vaults/v", body).unwrap_err();
    assert!(!finds(&format!("{error:?}")), "{error:?}");
}

#[test]
fn what_was_kept_before_is_sealed() {
    let seal = Seal::default();
    for (path, properties) in bodies() {
        let mut stage = stage();
        parents(&mut stage, path);
        stage.ok(path, filled(&properties, "x"));
        let mut parts = stage.estate().to_parts();
        let document = parts.documents.iter_mut().find(|it| it.id == id(path));
        let document = document.unwrap();
        let expected = document.sealed.keys().cloned().collect::<Vec<_>>();
        document.sealed.clear();
        let body = json!({ "properties": filled(&properties, MARKER) });
        document.body = body.as_object().unwrap().clone();
        document.seal(&seal);
        assert!(
            !finds(&serde_json::to_string(&*document).unwrap()),
            "{path}"
        );
        assert_eq!(document.sealed.len(), expected.len(), "{path}");
    }
}
