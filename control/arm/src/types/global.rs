//! Names that all subscriptions share: those of resources that are called by them in the DNS.

use crate::error::ArmError;
use crate::id::ResourceId;

/// A type whose resources have names in the DNS.
struct Global {
    kind: &'static str,
    /// The domain in which they have them; types of one domain share their names.
    domain: &'static str,
    status: u16,
    code: &'static str,
    /// What is said of a name that is taken, with `{}` in its place.
    message: &'static str,
}

const fn global(
    kind: &'static str,
    domain: &'static str,
    (status, code): (u16, &'static str),
    message: &'static str,
) -> Global {
    Global {
        kind,
        domain,
        status,
        code,
        message,
    }
}

const DATABASE: (u16, &str) = (409, "ServerNameAlreadyExists");
const DATABASE_MESSAGE: &str = "Specified server name '{}' is already used.";
const BUS: (u16, &str) = (400, "BadRequest");
const BUS_MESSAGE: &str = "The specified name '{}' is not available.";

/// The types. Codes are those that Azure's resource providers answer with, as far as they are known, and
/// `Conflict` elsewhere; the sentences are from memory.
static GLOBAL: &[Global] = &[
    global(
        "Microsoft.Storage/storageAccounts",
        "core.windows.net",
        (409, "StorageAccountAlreadyTaken"),
        "The storage account named {} is already taken.",
    ),
    global(
        "Microsoft.KeyVault/vaults",
        "vault.azure.net",
        (409, "VaultAlreadyExists"),
        "The vault name '{}' is already in use.",
    ),
    global(
        "Microsoft.Sql/servers",
        "database.windows.net",
        (409, "NameAlreadyExists"),
        "The name '{}' already exists. Choose a different name.",
    ),
    global(
        "Microsoft.DBforPostgreSQL/servers",
        "postgres.database.azure.com",
        DATABASE,
        DATABASE_MESSAGE,
    ),
    global(
        "Microsoft.DBforPostgreSQL/flexibleServers",
        "postgres.database.azure.com",
        DATABASE,
        DATABASE_MESSAGE,
    ),
    global(
        "Microsoft.DBforMySQL/servers",
        "mysql.database.azure.com",
        DATABASE,
        DATABASE_MESSAGE,
    ),
    global(
        "Microsoft.DBforMySQL/flexibleServers",
        "mysql.database.azure.com",
        DATABASE,
        DATABASE_MESSAGE,
    ),
    global(
        "Microsoft.DBforMariaDB/servers",
        "mariadb.database.azure.com",
        DATABASE,
        DATABASE_MESSAGE,
    ),
    global(
        "Microsoft.DocumentDB/databaseAccounts",
        "documents.azure.com",
        (400, "BadRequest"),
        "Dns record for {} under zone Document is already taken.",
    ),
    global(
        "Microsoft.EventHub/namespaces",
        "servicebus.windows.net",
        BUS,
        BUS_MESSAGE,
    ),
    global(
        "Microsoft.ServiceBus/namespaces",
        "servicebus.windows.net",
        BUS,
        BUS_MESSAGE,
    ),
    global(
        "Microsoft.Relay/namespaces",
        "servicebus.windows.net",
        BUS,
        BUS_MESSAGE,
    ),
    global(
        "Microsoft.Web/sites",
        "azurewebsites.net",
        (409, "Conflict"),
        "Website with given name {} already exists.",
    ),
    global(
        "Microsoft.ContainerRegistry/registries",
        "azurecr.io",
        (409, "AlreadyInUse"),
        "The registry DNS name {}.azurecr.io is already in use.",
    ),
    global(
        "Microsoft.CognitiveServices/accounts",
        "cognitiveservices.azure.com",
        (409, "CustomDomainInUse"),
        "The subdomain name '{}' is already used by a resource.",
    ),
    global(
        "Microsoft.DataLakeStore/accounts",
        "azuredatalakestore.net",
        (409, "Conflict"),
        "An account named '{}' already exists.",
    ),
    global(
        "Microsoft.Cache/redis",
        "redis.cache.windows.net",
        (409, "NameNotAvailable"),
        "The name '{}' of the cache is not available.",
    ),
];

fn find(id: &ResourceId) -> Option<&'static Global> {
    GLOBAL.iter().find(|global| id.is(global.kind))
}

/// Returns the name, in its domain, that nobody else may have beside the resource; none where its name is
/// its resource group's alone.
pub(crate) fn global_name(id: &ResourceId) -> Option<(&'static str, String)> {
    find(id).map(|global| (global.domain, id.name().to_ascii_lowercase()))
}

/// Says that the name of a resource is another's.
pub(crate) fn name_taken(id: &ResourceId) -> ArmError {
    let (status, code, message) = find(id).map_or(
        (409, "Conflict", "The name '{}' is already taken."),
        |global| (global.status, global.code, global.message),
    );
    let message = message.replace("{}", id.name());
    let message = format!("{message} Accepted: a name that no other resource anywhere has.");
    ArmError::new(status, code, message).at(id.to_string())
}
