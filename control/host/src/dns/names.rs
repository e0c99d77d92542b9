//! The names that the platform gives: host names of services, and names of NICs inside a network.

use hickory_proto::rr::Name;
use postern_network::model::{NetworkInterface, ServiceInstance};

/// Below which a NIC has its name, for the NICs of its own network.
const INTERNAL: &str = "internal.cloudapp.net.";

/// The domains of storage: an account has its name in each of them.
const STORAGE: [&str; 5] = [
    "blob.core.windows.net.",
    "file.core.windows.net.",
    "queue.core.windows.net.",
    "table.core.windows.net.",
    "dfs.core.windows.net.",
];

/// The domains of the other services.
const OTHERS: [&str; 10] = [
    "database.windows.net.",
    "postgres.database.azure.com.",
    "mysql.database.azure.com.",
    "documents.azure.com.",
    "vault.azure.net.",
    "servicebus.windows.net.",
    "azurewebsites.net.",
    "azurecr.io.",
    "cognitiveservices.azure.com.",
    "azuredatalakestore.net.",
];

/// Returns the domain of the names inside networks.
pub(super) fn internal() -> Name {
    domain(INTERNAL)
}

/// Returns every domain in which services have names.
pub(super) fn service_domains() -> Vec<Name> {
    STORAGE.into_iter().chain(OTHERS).map(domain).collect()
}

/// Returns the host name of a service.
pub(super) fn of_service(service: &ServiceInstance) -> Option<Name> {
    let mut name = Name::from_ascii(&service.resource.host).ok()?;
    name.set_fqdn(true);
    Some(name.to_lowercase())
}

/// Returns the other names of a service that is called `host`: those of an account of storage in its
/// other domains.
pub(super) fn siblings(host: &Name) -> Vec<Name> {
    let domains = STORAGE.map(domain);
    let own = host.base_name();
    let label = host.iter().next().filter(|_| domains.contains(&own));
    let others = domains.iter().filter(|domain| **domain != own);
    others
        .filter_map(|domain| domain.prepend_label(label?).ok())
        .collect()
}

/// Returns the name of a NIC inside its network. What cannot be part of a host name has none.
pub(super) fn of_nic(nic: &NetworkInterface) -> Option<Name> {
    below(&nic.name, &internal())
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
    fn every_domain_is_well_formed() {
        for text in STORAGE.into_iter().chain(OTHERS).chain([INTERNAL]) {
            assert_eq!(domain(text).to_ascii(), text);
        }
    }

    #[test]
    fn only_accounts_of_storage_have_siblings() {
        let host = |text| Name::from_ascii(text).unwrap();
        let siblings_of = |text| {
            let names = siblings(&host(text));
            names.iter().map(Name::to_ascii).collect::<Vec<_>>()
        };
        assert_eq!(
            siblings_of("contoso.queue.core.windows.net."),
            [
                "contoso.blob.core.windows.net.",
                "contoso.file.core.windows.net.",
                "contoso.table.core.windows.net.",
                "contoso.dfs.core.windows.net.",
            ]
        );
        for text in [
            "contoso.vault.azure.net.",
            "a.b.blob.core.windows.net.",
            "contoso.",
        ] {
            assert!(siblings_of(text).is_empty(), "{text}");
        }
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
