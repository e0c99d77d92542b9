//! The services that an endpoint can be switched on for.

use super::regions::Location;
use postern_dataplane::identity::ServiceCode;
use postern_dataplane::policy::ServiceId;
use serde::{Serialize, Serializer};
use std::fmt;

/// Which regions' prefixes an endpoint covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Those of the network's own region.
    OwnRegion,
    /// Those of the network's region and of its pair.
    RegionAndPair,
    /// All of them.
    All,
}

/// A service with endpoints.
#[derive(Debug, PartialEq, Eq)]
pub struct Service {
    /// The value on a subnet, in its canonical case.
    pub name: &'static str,
    /// The tags that supply the prefixes.
    pub tags: &'static [&'static str],
    /// Which of them an endpoint covers.
    pub scope: Scope,
    id: u16,
}

const STORAGE: &[&str] = &["Storage"];

/// Every service, in the order in which they are listed. `Microsoft.Storage.Global` has the number
/// of `Microsoft.Storage`: both name one service, they differ in how far an endpoint reaches.
static SERVICES: [Service; 11] = [
    service("Microsoft.Storage", STORAGE, Scope::RegionAndPair, 0),
    service("Microsoft.Storage.Global", STORAGE, Scope::All, 0),
    service("Microsoft.Sql", &["Sql"], Scope::OwnRegion, 1),
    service("Microsoft.AzureCosmosDB", &["AzureCosmosDB"], Scope::All, 2),
    service("Microsoft.KeyVault", &["AzureKeyVault"], Scope::All, 3),
    service("Microsoft.ServiceBus", &["ServiceBus"], Scope::All, 4),
    service("Microsoft.EventHub", &["EventHub"], Scope::All, 5),
    service(
        "Microsoft.AzureActiveDirectory",
        &["AzureActiveDirectory"],
        Scope::OwnRegion,
        6,
    ),
    service("Microsoft.Web", &["AppService"], Scope::All, 7),
    service(
        "Microsoft.ContainerRegistry",
        &["AzureContainerRegistry"],
        Scope::All,
        8,
    ),
    service(
        "Microsoft.CognitiveServices",
        &["CognitiveServicesManagement", "CognitiveServicesFrontend"],
        Scope::All,
        9,
    ),
];

const fn service(
    name: &'static str,
    tags: &'static [&'static str],
    scope: Scope,
    id: u16,
) -> Service {
    Service {
        name,
        tags,
        scope,
        id,
    }
}

impl Service {
    /// Returns every service.
    #[must_use]
    pub fn all() -> &'static [Self] {
        &SERVICES
    }

    /// Returns the service with this name, in any case.
    #[must_use]
    pub fn find(name: &str) -> Option<&'static Self> {
        SERVICES
            .iter()
            .find(|service| service.name.eq_ignore_ascii_case(name))
    }

    /// Returns the name that a number stands for.
    #[must_use]
    pub fn name_of(id: ServiceId) -> Option<&'static str> {
        SERVICES
            .iter()
            .find(|service| service.id == id.0)
            .map(|service| service.name)
    }

    /// Returns the number by which the packet path knows the service; it never changes.
    #[must_use]
    pub fn id(&self) -> ServiceId {
        ServiceId(self.id)
    }

    /// Returns the code of the service on the wire (wire-identity reference, section 1). The numbers
    /// are in the order of the codes, which begin at 1.
    #[must_use]
    pub fn code(&self) -> Option<ServiceCode> {
        ServiceCode::new(self.id.saturating_add(1))
    }

    /// Returns the service that resources are of: `Microsoft.Storage` for
    /// `Microsoft.Storage.Global`, which only says how far an endpoint reaches.
    #[must_use]
    pub fn family(&'static self) -> &'static Self {
        SERVICES
            .iter()
            .find(|service| service.id == self.id)
            .unwrap_or(self)
    }

    /// Returns whether a subnet may not have both endpoints.
    #[must_use]
    pub fn excludes(&self, other: &Self) -> bool {
        self.id == other.id && self.name != other.name
    }

    /// Returns the regions that an endpoint covers from a network in `region`.
    #[must_use]
    pub fn locations(&self, region: &Location) -> Locations {
        match self.scope {
            Scope::All => Locations::All,
            Scope::OwnRegion => Locations::Regions(vec![region.clone()]),
            Scope::RegionAndPair => {
                Locations::Regions([region.clone()].into_iter().chain(region.pair()).collect())
            }
        }
    }

    /// Returns the names of all services, as error messages list them.
    #[must_use]
    pub fn names() -> String {
        SERVICES
            .iter()
            .map(|service| service.name)
            .collect::<Vec<_>>()
            .join(", ")
    }
}

impl fmt::Display for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

impl Serialize for Service {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name)
    }
}

/// The regions that an endpoint covers, as its `locations` say them.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Locations {
    /// Every region, written `["*"]`.
    All,
    /// These regions.
    Regions(Vec<Location>),
}

impl Locations {
    /// Returns the values of the `locations` array.
    #[must_use]
    pub fn values(&self) -> Vec<&str> {
        match self {
            Self::All => vec!["*"],
            Self::Regions(regions) => regions.iter().map(Location::as_str).collect(),
        }
    }
}

impl Serialize for Locations {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.values().serialize(serializer)
    }
}
