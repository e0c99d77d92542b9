//! The protocols that a front reads, and which one a port speaks if the configuration is silent.

use super::refusal::Dialect;

/// What clients speak to a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// TLS from the first byte, with HTTP inside.
    Tls,
    /// HTTP without TLS.
    Http,
    /// PostgreSQL.
    PostgreSql,
    /// MySQL and MariaDB.
    MySql,
    /// SQL Server.
    Tds,
}

impl Protocol {
    /// Every protocol with its name in configurations.
    pub const NAMES: [(&'static str, Self); 5] = [
        ("tls", Self::Tls),
        ("http", Self::Http),
        ("postgresql", Self::PostgreSql),
        ("mysql", Self::MySql),
        ("tds", Self::Tds),
    ];

    /// Returns the name in configurations.
    #[must_use]
    pub fn name(self) -> &'static str {
        let named = Self::NAMES.iter().find(|(_, protocol)| *protocol == self);
        named.map_or("", |(name, _)| name)
    }

    /// Returns what a port speaks for a resource of this ARM type, such as
    /// `Microsoft.DBforPostgreSQL/servers`, or of a service if it has no type.
    #[must_use]
    pub fn of(kind: &str, port: u16) -> Self {
        match (namespace(kind).as_str(), port) {
            (_, 1433) => Self::Tds,
            (_, 3306) => Self::MySql,
            (_, 5432) => Self::PostgreSql,
            ("microsoft.dbforpostgresql", _) => Self::PostgreSql,
            ("microsoft.dbformysql" | "microsoft.dbformariadb", _) => Self::MySql,
            ("microsoft.sql" | "microsoft.synapse", _) => Self::Tds,
            (_, 80 | 8080) => Self::Http,
            _ => Self::Tls,
        }
    }

    /// Returns whether a client says whom it calls before it is answered.
    #[must_use]
    pub const fn names_the_called(self) -> bool {
        matches!(self, Self::Tls | Self::Http)
    }
}

impl Dialect {
    /// Returns the dialect of a resource of this ARM type, or of a service if it has no type.
    #[must_use]
    pub fn of(kind: &str) -> Self {
        match namespace(kind).as_str() {
            "microsoft.storage" => Self::Storage,
            "microsoft.keyvault" => Self::KeyVault,
            "microsoft.documentdb" | "microsoft.azurecosmosdb" => Self::CosmosDb,
            "microsoft.eventhub" | "microsoft.servicebus" => Self::Messaging,
            "microsoft.web" => Self::AppService,
            "microsoft.containerregistry" => Self::ContainerRegistry,
            "microsoft.cognitiveservices" => Self::Cognitive,
            _ => Self::Generic,
        }
    }
}

/// Returns the provider of a type in lower case: `microsoft.storage`.
fn namespace(kind: &str) -> String {
    kind.split('/')
        .next()
        .unwrap_or_default()
        .to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn type_and_port_tell_the_protocol() {
        for (kind, port, protocol) in [
            ("Microsoft.Storage/storageAccounts", 443, Protocol::Tls),
            ("Microsoft.Storage", 80, Protocol::Http),
            ("Microsoft.Sql/servers", 1433, Protocol::Tds),
            ("Microsoft.Sql/servers", 11_000, Protocol::Tds),
            ("Microsoft.Sql", 5432, Protocol::PostgreSql),
            (
                "microsoft.dbforpostgresql/servers",
                6432,
                Protocol::PostgreSql,
            ),
            ("Microsoft.DBforMariaDB/servers", 3307, Protocol::MySql),
            ("Microsoft.KeyVault", 8443, Protocol::Tls),
        ] {
            assert_eq!(Protocol::of(kind, port), protocol, "{kind} {port}");
        }
        assert_eq!(Protocol::Tds.name(), "tds");
    }

    #[test]
    fn the_provider_tells_the_dialect() {
        assert_eq!(
            Dialect::of("Microsoft.Storage/storageAccounts"),
            Dialect::Storage
        );
        assert_eq!(
            Dialect::of("Microsoft.DocumentDB/databaseAccounts"),
            Dialect::CosmosDb
        );
        assert_eq!(Dialect::of("Microsoft.ServiceBus"), Dialect::Messaging);
        assert_eq!(Dialect::of("Contoso.Things"), Dialect::Generic);
    }
}
