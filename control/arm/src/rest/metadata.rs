//! What clients read before they log in: where what is. Everything is here.

use super::request::Request;
use serde_json::{Value, json};

/// Returns the endpoints of this cloud, in the shape of the version that is asked for.
pub(crate) fn endpoints(request: &Request) -> Value {
    let base = request.base();
    let version = request.query("api-version").unwrap_or_default();
    if version.as_str() < "2018-01-01" {
        return json!({
            "galleryEndpoint": base,
            "graphEndpoint": base,
            "portalEndpoint": base,
            "authentication": { "loginEndpoint": format!("{base}/"), "audiences": [base] },
        });
    }
    let cloud = json!({
        "name": "Postern",
        "portal": base,
        "authentication": {
            "loginEndpoint": base,
            "audiences": [base],
            "tenant": "common",
            "identityProvider": "AAD",
        },
        "graph": base,
        "graphAudience": base,
        "microsoftGraphResourceId": base,
        "resourceManager": base,
        "gallery": base,
        "media": base,
        "batch": base,
        "sqlManagement": base,
        "vmImageAliasDoc": format!("{base}/aliases.json"),
        "activeDirectoryDataLake": base,
        "suffixes": {
            "storage": "core.windows.net",
            "keyVaultDns": "vault.azure.net",
            "sqlServerHostname": "database.windows.net",
            "mysqlServerEndpoint": "mysql.database.azure.com",
            "postgresqlServerEndpoint": "postgres.database.azure.com",
            "mariadbServerEndpoint": "mariadb.database.azure.com",
            "acrLoginServer": "azurecr.io",
            "azureDataLakeStoreFileSystem": "azuredatalakestore.net",
            "azureDataLakeAnalyticsCatalogAndJob": "azuredatalakeanalytics.net",
        },
    });
    // One version is a list of clouds; those before and after it are of this one.
    let is_list = ("2019-01-01".."2022-09-01").contains(&version.as_str());
    if is_list { json!([cloud]) } else { cloud }
}

/// Returns what the template function `environment()` tells: the URLs of this host, and Azure's suffixes,
/// which the services here have too.
pub(crate) fn environment(base: &str) -> Value {
    json!({
        "name": "AzureCloud",
        "gallery": base,
        "graph": base,
        "portal": base,
        "graphAudience": base,
        "activeDirectoryDataLake": base,
        "batch": base,
        "media": base,
        "sqlManagement": base,
        "vmImageAliasDoc": format!("{base}/aliases.json"),
        "resourceManager": base,
        "authentication": {
            "loginEndpoint": base,
            "audiences": [base],
            "tenant": "common",
            "identityProvider": "AAD",
        },
        "suffixes": {
            "acrLoginServer": ".azurecr.io",
            "azureDatalakeAnalyticsCatalogAndJob": "azuredatalakeanalytics.net",
            "azureDatalakeStoreFileSystem": "azuredatalakestore.net",
            "azureFrontDoorEndpointSuffix": "azurefd.net",
            "keyvaultDns": ".vault.azure.net",
            "sqlServerHostname": ".database.windows.net",
            "storage": "core.windows.net",
        },
    })
}

/// Returns where the tenants of this authority are described.
pub(crate) fn discovery(request: &Request) -> Value {
    let base = request.base();
    let host = base.trim_start_matches("https://");
    json!({
        "tenant_discovery_endpoint": format!("{base}/common/v2.0/.well-known/openid-configuration"),
        "api-version": "1.1",
        "metadata": [{ "preferred_network": host, "preferred_cache": host, "aliases": [host] }],
    })
}

/// Returns where the tokens of a tenant come from.
pub(crate) fn open_id(request: &Request, tenant: &str, is_new: bool) -> Value {
    let base = request.base();
    let (issuer, middle) = if is_new {
        (format!("{base}/{tenant}/v2.0"), "oauth2/v2.0")
    } else {
        (format!("{base}/{tenant}/"), "oauth2")
    };
    let keys = if is_new { "v2.0/keys" } else { "keys" };
    json!({
        "issuer": issuer,
        "token_endpoint": format!("{base}/{tenant}/{middle}/token"),
        "authorization_endpoint": format!("{base}/{tenant}/{middle}/authorize"),
        "device_authorization_endpoint": format!("{base}/{tenant}/{middle}/devicecode"),
        "jwks_uri": format!("{base}/{tenant}/discovery/{keys}"),
        "token_endpoint_auth_methods_supported": ["client_secret_post"],
        "response_modes_supported": ["query"],
        "response_types_supported": ["token"],
        "subject_types_supported": ["pairwise"],
        "id_token_signing_alg_values_supported": ["HS256"],
        "scopes_supported": ["openid"],
        "claims_supported": ["aud", "iss", "iat", "nbf", "exp", "appid", "oid", "sub", "tid"],
        "tenant_region_scope": null,
        "cloud_instance_name": "postern",
    })
}
