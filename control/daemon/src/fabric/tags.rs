//! Another service-tag file under the running model: all of it, or nothing.

use super::draft::{Draft, Ground};
use super::{Applied, Cause, Fabric, FabricError, Host};
use crate::protocol::view::{ServiceTagsView, TagChangeView, TagServiceView, TagsChangesView};
use ipnet::Ipv4Net;
use postern_network::catalog::{Catalog, TagChange};
use postern_network::model::Model;
use std::collections::BTreeSet;
use std::sync::Arc;

/// Another service-tag file, ready to be used.
#[derive(Debug)]
pub struct Retag {
    catalog: Arc<Catalog>,
    /// The policy by it, if the data is another one.
    draft: Option<Draft>,
}

impl<H: Host> Fabric<H> {
    /// Makes ready what runs with another service-tag file: the model is checked against it and
    /// compiled. Returns what differs, too.
    ///
    /// # Errors
    ///
    /// The file does not supply what the model uses, or the model does not compile with it.
    pub fn draft_tags(&self, catalog: Catalog) -> Result<(TagsChangesView, Retag), FabricError> {
        self.model.check_supply(&catalog)?;
        let report = report(&self.model, &self.catalog, &catalog);
        let catalog = Arc::new(catalog);
        let ground = Ground {
            catalog: &catalog,
            ..self.ground()
        };
        let draft = match self.catalog.is_same_data(&catalog) {
            // Another name for the same data; status tells it, packets do not.
            true => None,
            false => self.draft_on(ground, self.model.clone(), Cause::Forced)?,
        };
        Ok((report, Retag { catalog, draft }))
    }

    /// Puts the service-tag file of a draft in the place of the one in use.
    ///
    /// # Errors
    ///
    /// As [`Fabric::enact`]. The file in use and the running policy are then untouched.
    pub fn enact_tags(&mut self, retag: Retag) -> Result<Applied, FabricError> {
        let Some(draft) = retag.draft else {
            self.catalog = retag.catalog;
            return Ok(Applied::Unchanged);
        };
        self.enact(&draft)
    }

    /// Puts another service-tag file in the place of the one in use, as the two halves do.
    #[cfg(test)]
    pub(crate) fn reload_tags(
        &mut self,
        catalog: Catalog,
    ) -> Result<(TagsChangesView, Applied), FabricError> {
        let (report, retag) = self.draft_tags(catalog)?;
        Ok((report, self.enact_tags(retag)?))
    }
}

/// Returns what differs between two service-tag files, seen from a model.
fn report(model: &Model, before: &Catalog, after: &Catalog) -> TagsChangesView {
    let mut used = model.tags_in_use(before);
    used.extend(model.tags_in_use(after));
    let services = before.service_changes(after);
    let in_rules = model.tags_in_rules();
    let in_rules = in_rules
        .iter()
        .filter_map(|name| before.tag_change(after, name));
    TagsChangesView {
        before: file_view(before),
        after: file_view(after),
        services: services
            .iter()
            .map(|change| TagServiceView {
                service: change.service.to_owned(),
                added: texts(&change.added),
                removed: texts(&change.removed),
                tags: change.tags.iter().map(|tag| tag_view(tag, &used)).collect(),
            })
            .collect(),
        rules: in_rules.map(|tag| tag_view(&tag, &used)).collect(),
    }
}

pub(super) fn file_view(catalog: &Catalog) -> ServiceTagsView {
    ServiceTagsView {
        source: catalog.source().to_owned(),
        cloud: catalog.cloud().to_owned(),
        change_number: catalog.change_number(),
    }
}

fn tag_view(change: &TagChange, used: &BTreeSet<&str>) -> TagChangeView {
    TagChangeView {
        name: change.name.clone(),
        in_use: used.contains(change.name.as_str()),
        change_number_before: change.before,
        change_number_after: change.after,
        added: texts(&change.added),
        removed: texts(&change.removed),
    }
}

fn texts(prefixes: &[Ipv4Net]) -> Vec<String> {
    prefixes.iter().map(ToString::to_string).collect()
}
