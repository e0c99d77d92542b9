//! Namespaces that a model needs and the host lacks, said as the configuration says them. A port whose
//! namespace is missing waits; this is for who wants to know beforehand.

use postern_host::attach::{self, AttachError};
use postern_network::model::{Model, NamespaceRef};
use std::fmt;

/// A namespace that cannot be used, and the key that names it.
#[derive(Debug, thiserror::Error)]
#[error("{key} = \"{namespace}\": {source}")]
pub struct NamespaceError {
    /// Where the configuration names it, such as `networkInterface[0].namespace`.
    pub key: String,
    /// The namespace.
    pub namespace: NamespaceRef,
    /// Why.
    pub source: AttachError,
}

/// Every namespace that cannot be used; prints one line each.
#[derive(Debug)]
pub struct NamespaceErrors(pub Vec<NamespaceError>);

impl std::error::Error for NamespaceErrors {}

impl fmt::Display for NamespaceErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, error) in self.0.iter().enumerate() {
            if at > 0 {
                f.write_str("\n")?;
            }
            error.fmt(f)?;
        }
        Ok(())
    }
}

/// Checks that every namespace of the model is there.
///
/// # Errors
///
/// Those that are not, or cannot be used.
pub fn check_namespaces(model: &Model) -> Result<(), NamespaceErrors> {
    let internet = model
        .internet
        .iter()
        .map(|internet| ("internet".to_owned(), &internet.device));
    let platform = [("platform".to_owned(), &model.platform.device)];
    let nics = model.nics.iter().enumerate();
    let nics = nics.map(|(at, nic)| (format!("networkInterface[{at}]"), &nic.device));
    let gateways = model.gateways.iter().enumerate();
    let gateways = gateways.map(|(at, gateway)| (format!("gateway[{at}]"), &gateway.device));
    let services = model.services.iter().enumerate();
    let services = services.map(|(at, service)| (format!("service[{at}]"), &service.device));
    let errors: Vec<_> = internet
        .chain(platform)
        .chain(nics)
        .chain(gateways)
        .chain(services)
        .filter(|(_, device)| device.namespace.is_attached())
        .filter_map(|(key, device)| {
            let source = attach::check(&device.namespace).err()?;
            let (key, namespace) = (format!("{key}.namespace"), device.namespace.clone());
            Some(NamespaceError {
                key,
                namespace,
                source,
            })
        })
        .collect();
    if errors.is_empty() {
        Ok(())
    } else {
        Err(NamespaceErrors(errors))
    }
}
