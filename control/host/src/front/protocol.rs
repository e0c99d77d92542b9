//! Which words a resource uses, by what it is.

use super::refusal::Dialect;

pub use postern_network::model::Protocol;

impl Dialect {
    /// Returns the dialect of a resource of this ARM type, or of a service if it has no type.
    #[must_use]
    pub fn of(kind: &str) -> Self {
        let provider = kind.split('/').next().unwrap_or_default();
        match provider.to_ascii_lowercase().as_str() {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_provider_tells_the_dialect() {
        for (kind, dialect) in [
            ("Microsoft.Storage/storageAccounts", Dialect::Storage),
            ("Microsoft.DocumentDB/databaseAccounts", Dialect::CosmosDb),
            ("Microsoft.ServiceBus", Dialect::Messaging),
            ("Contoso.Things", Dialect::Generic),
        ] {
            assert_eq!(Dialect::of(kind), dialect, "{kind}");
        }
    }
}
