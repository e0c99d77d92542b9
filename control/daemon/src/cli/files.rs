//! Files that are named on the command line.

use postern_network::catalog::{Catalog, CatalogError};
use postern_network::config::{self, ConfigErrors, Parsed};
use std::fs;
use std::path::Path;
use tracing::warn;

/// Reads a service-tag file.
///
/// # Errors
///
/// It cannot be read, or [`Catalog::from_bytes`] refuses it.
pub(super) fn catalog(path: &Path) -> Result<Catalog, CatalogError> {
    let bytes = fs::read(path).map_err(|source| CatalogError::Read {
        file: path.to_owned(),
        source,
    })?;
    let catalog = Catalog::from_bytes(&path.display().to_string(), &bytes)?;
    let overlaps = catalog.overlaps();
    if let Some(first) = overlaps.first() {
        warn!(
            file = %path.display(), count = overlaps.len(), %first,
            "prefixes of two services overlap: the longest prefix decides, then the name"
        );
    }
    Ok(catalog)
}

/// Reads a configuration file whose TOML is looked at later.
///
/// # Errors
///
/// It cannot be read, or is not TOML.
pub(super) fn config(path: &Path) -> Result<Parsed, ConfigErrors> {
    let text = fs::read_to_string(path).map_err(|source| ConfigErrors::Read {
        file: path.to_owned(),
        source,
    })?;
    config::parse_text(path, &text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_service_tag_file_is_named() {
        let error = catalog(Path::new("/nonexistent/tags.json"))
            .unwrap_err()
            .to_string();
        let wanted = "/nonexistent/tags.json: cannot be read: ";
        assert!(error.starts_with(wanted), "{error}");
    }

    #[test]
    fn a_missing_configuration_is_named() {
        let error = config(Path::new("/nonexistent/f.toml"))
            .unwrap_err()
            .to_string();
        let wanted = "/nonexistent/f.toml: cannot be read: ";
        assert!(error.starts_with(wanted), "{error}");
    }
}
