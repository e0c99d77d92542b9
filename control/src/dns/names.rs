//! The names that the platform gives: host names of services, and names of NICs inside a network.

use crate::catalog::Service;
use crate::model::{NetworkInterface, ServiceInstance};
use hickory_proto::rr::Name;

/// Below which a NIC has its name, for the NICs of its own network.
const INTERNAL: &str = "internal.cloudapp.net.";

/// The domains in which resources of each service have their names. A storage account has one in
/// each of its domains; which of the databases a server is does not show in its service.
const DOMAINS: &[(&str, &[&str])] = &[
    (
        "Microsoft.Storage",
        &[
            "blob.core.windows.net.",
            "file.core.windows.net.",
            "queue.core.windows.net.",
            "table.core.windows.net.",
            "dfs.core.windows.net.",
        ],
    ),
    (
        "Microsoft.Sql",
        &[
            "database.windows.net.",
            "postgres.database.azure.com.",
            "mysql.database.azure.com.",
        ],
    ),
    ("Microsoft.AzureCosmosDB", &["documents.azure.com."]),
    ("Microsoft.KeyVault", &["vault.azure.net."]),
    ("Microsoft.ServiceBus", &["servicebus.windows.net."]),
    ("Microsoft.EventHub", &["servicebus.windows.net."]),
    ("Microsoft.Web", &["azurewebsites.net."]),
    ("Microsoft.ContainerRegistry", &["azurecr.io."]),
    (
        "Microsoft.CognitiveServices",
        &["cognitiveservices.azure.com."],
    ),
];

/// Returns the domain of the names inside networks.
pub(super) fn internal() -> Name {
    domain(INTERNAL)
}

/// Returns every domain in which services have names.
pub(super) fn service_domains() -> Vec<Name> {
    let mut domains: Vec<_> = DOMAINS
        .iter()
        .flat_map(|(_, domains)| domains.iter().copied().map(domain))
        .collect();
    domains.sort_unstable();
    domains.dedup();
    domains
}

/// Returns the host names of a service: its own in each domain of the service. What cannot be part
/// of a host name has none.
pub(super) fn of_service(service: &ServiceInstance) -> Vec<Name> {
    domains_of(service.service)
        .filter_map(|domain| below(&service.name, &domain))
        .collect()
}

/// Returns the name of a NIC inside its network. What cannot be part of a host name has none.
pub(super) fn of_nic(nic: &NetworkInterface) -> Option<Name> {
    below(&nic.name, &internal())
}

fn domains_of(service: &Service) -> impl Iterator<Item = Name> {
    let found = DOMAINS.iter().find(|(name, _)| *name == service.name);
    let domains = found.map_or(&[] as &[&str], |(_, domains)| domains);
    domains.iter().copied().map(domain)
}

/// Reads one of the names above.
fn domain(text: &str) -> Name {
    // They are well-formed, which a test says; the root would stand for one that is not.
    Name::from_ascii(text).unwrap_or_default()
}

/// Returns `label.domain`, if the label is a host's: letters, digits, hyphens and underscores, 63
/// at most.
fn below(label: &str, domain: &Name) -> Option<Name> {
    const LONGEST: usize = 63;
    let is_host = (1..=LONGEST).contains(&label.len())
        && label
            .bytes()
            .all(|letter| letter.is_ascii_alphanumeric() || matches!(letter, b'-' | b'_'));
    is_host
        .then(|| domain.prepend_label(label.as_bytes()).ok())
        .flatten()
        .map(|name| name.to_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_domain_is_well_formed_and_of_a_service() {
        assert_eq!(internal().to_ascii(), INTERNAL);
        for (service, domains) in DOMAINS {
            assert!(Service::find(service).is_some(), "{service}");
            for text in *domains {
                assert_eq!(domain(text).to_ascii(), *text);
            }
        }
        let domains = service_domains();
        let shared = domain("servicebus.windows.net.");
        assert_eq!(domains.iter().filter(|&other| *other == shared).count(), 1);
    }

    #[test]
    fn what_is_no_label_of_a_host_has_no_name() {
        let at = internal();
        let name = below("VM-0_a", &at).unwrap();
        assert_eq!(name.to_ascii(), "vm-0_a.internal.cloudapp.net.");
        for label in ["", "a.b", "a b", "ä", "*", &"x".repeat(64)] {
            assert_eq!(below(label, &at), None, "{label:?}");
        }
        assert!(below(&"x".repeat(63), &at).is_some());
    }
}
