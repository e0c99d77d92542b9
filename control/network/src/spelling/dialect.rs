//! How the resources of each service spell their network rules, in ARM and in the configuration.

use crate::config::resource_types;

/// The binding of a server that lets everyone in as long as it has no list of rules; in ARM nobody is
/// let in then.
pub(super) const OPEN: &str = "openWithoutRules";

/// A way to spell network rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dialect {
    /// An object of lists at the property of this name.
    Acls(&'static str),
    /// Named rules, each a child of the server.
    Server,
    /// Lists at the account itself, and a switch.
    Account,
    /// A child called `default` with lists.
    RuleSet,
    /// A list in the configuration of the site.
    Site,
}

/// A type whose resources are services here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ServiceType {
    /// The service that they are of, such as `Microsoft.Storage`.
    pub(super) service: &'static str,
    /// The type, such as `Microsoft.Storage/storageAccounts`.
    pub(super) arm: &'static str,
    /// Whether it is the usual one of the service.
    pub(super) is_usual: bool,
    /// How they spell their rules.
    pub(super) dialect: Dialect,
}

impl ServiceType {
    /// Returns the type of this name; case does not count.
    pub(super) fn find(arm: &str) -> Option<Self> {
        let mut kinds = resource_types();
        let found = kinds.find(|(_, known, _)| known.eq_ignore_ascii_case(arm));
        found.map(|(service, arm, is_usual)| Self {
            service,
            arm,
            is_usual,
            dialect: dialect(service),
        })
    }

    /// Returns the usual type of a service; case does not count.
    pub(super) fn usual(service: &str) -> Option<Self> {
        let mut kinds = resource_types();
        let found =
            kinds.find(|(known, _, is_usual)| *is_usual && known.eq_ignore_ascii_case(service));
        Self::find(found?.1)
    }
}

fn dialect(service: &str) -> Dialect {
    match service {
        "Microsoft.Sql" | "Microsoft.AzureActiveDirectory" => Dialect::Server,
        "Microsoft.AzureCosmosDB" => Dialect::Account,
        "Microsoft.EventHub" | "Microsoft.ServiceBus" => Dialect::RuleSet,
        "Microsoft.Web" => Dialect::Site,
        "Microsoft.ContainerRegistry" => Dialect::Acls("networkRuleSet"),
        _ => Dialect::Acls("networkAcls"),
    }
}
