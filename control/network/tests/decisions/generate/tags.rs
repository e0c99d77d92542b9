//! Service tags: overlapping ones, or those that are bundled with the program.

use super::{Maker, TagFile};
use crate::prefix::Prefix;
use crate::topology::{REGIONS, Tag};
use serde_json::Value;
use std::sync::LazyLock;

/// Tags of random files, the first of them in every file.
const BASES: [&str; 13] = [
    "Storage",
    "Sql",
    "AzureKeyVault",
    "AzureCosmosDB",
    "AzureActiveDirectory",
    "EventHub",
    "ServiceBus",
    "AppService",
    "AzureContainerRegistry",
    "CognitiveServicesManagement",
    "CognitiveServicesFrontend",
    "ActionGroup",
    "AzureCloud",
];

/// The bundled file, as it is.
pub static BUNDLED: LazyLock<String> = LazyLock::new(|| {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../config/service-tags.json"
    );
    std::fs::read_to_string(path).unwrap()
});

impl Maker {
    pub(super) fn tags(&mut self, file: TagFile) {
        match file {
            TagFile::Bundled => self.topology.tags = bundled(),
            TagFile::Random => self.random_tags(),
        }
        for _ in 0..60 {
            let tag = self.random.below(self.topology.tags.len());
            let prefixes = &self.topology.tags[tag].prefixes;
            let prefix = self.random.any(prefixes);
            self.mentioned.extend(prefix);
        }
    }

    fn random_tags(&mut self) {
        for (at, base) in BASES.into_iter().enumerate() {
            if at > 2 && !self.random.percent(60) {
                continue;
            }
            let mut all = self.tag_prefixes(1, 6, None);
            if base == "AzureCloud" {
                let wide = all
                    .iter()
                    .map(|it| Prefix::around(it.first, it.length / 2 + 6));
                all.extend(wide.collect::<Vec<_>>());
            }
            // Some services are not divided into regions.
            let is_divided = base != "AzureActiveDirectory" && self.random.percent(85);
            for region in REGIONS.iter().filter(|_| is_divided) {
                if self.random.percent(50) {
                    let prefixes = self.tag_prefixes(0, 4, Some(&all));
                    self.topology.tags.push(Tag {
                        base: base.to_owned(),
                        region: Some(region.name.to_owned()),
                        name: format!("{base}.{}", region.in_tags),
                        prefixes,
                    });
                }
            }
            self.topology.tags.push(Tag {
                base: base.to_owned(),
                region: None,
                name: base.to_owned(),
                prefixes: all,
            });
        }
    }

    /// Returns some prefixes, half of them out of those of the whole tag.
    fn tag_prefixes(&mut self, least: usize, most: usize, whole: Option<&[Prefix]>) -> Vec<Prefix> {
        let mut prefixes = Vec::new();
        for _ in 0..self.random.within(least, most) {
            let prefix = match whole.and_then(|whole| self.random.any(whole)) {
                Some(prefix) if self.random.percent(60) => prefix,
                _ => self.prefix(),
            };
            if !prefixes.contains(&prefix) {
                prefixes.push(prefix);
            }
        }
        prefixes
    }
}

/// Reads the bundled file.
fn bundled() -> Vec<Tag> {
    let root: Value = serde_json::from_str(&BUNDLED).unwrap();
    let tags = root["values"].as_array().unwrap().iter();
    tags.map(|tag| {
        let name = tag["name"].as_str().unwrap();
        let region = tag["properties"]["region"].as_str().unwrap();
        let known = REGIONS.iter().find(|known| known.in_file == region);
        let prefixes = tag["properties"]["addressPrefixes"].as_array().unwrap();
        let texts = prefixes.iter().map(|prefix| prefix.as_str().unwrap());
        Tag {
            base: name.split('.').next().unwrap().to_owned(),
            region: (!region.is_empty())
                .then(|| known.map_or(region, |known| known.name).to_owned()),
            name: name.to_owned(),
            prefixes: texts
                .filter(|text| !text.contains(':'))
                .map(Prefix::parse)
                .collect(),
        }
    })
    .collect()
}
