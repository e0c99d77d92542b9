//! The catalogue: services, service tags, regions and their pairs.
//!
//! The table of services and the region pairs are part of the program; prefixes come from one of
//! Microsoft's service-tag files, or from the small one that is built in. A catalogue never
//! changes: a newer file is a new catalogue.

mod diff;
mod file;
mod overlap;
mod regions;
mod services;
#[cfg(test)]
mod tests;

pub use diff::{ServiceChange, TagChange};
pub use file::{CatalogError, Tag, ValueProblem};
pub use overlap::Overlap;
pub use regions::Location;
pub use services::{Locations, Scope, Service};

use file::TagFile;
use ipnet::Ipv4Net;
use std::collections::{BTreeSet, HashMap, HashSet};

/// The bundled file; `config/README.md` says where it comes from.
const BUNDLED: &[u8] = include_bytes!("../../../../config/service-tags.json");

/// What errors and status lines call the bundled file.
const BUNDLED_NAME: &str = "built-in service-tags.json";

/// Services and their prefixes, as one service-tag file has them.
#[derive(Clone, Debug)]
pub struct Catalog {
    source: String,
    change_number: u32,
    cloud: String,
    tags: Vec<Tag>,
    /// Tags by lower-case name.
    by_name: HashMap<String, usize>,
    /// Tags of a region by the lower-case name of the tag that they are a part of.
    by_region: HashMap<(String, Location), usize>,
    /// Lower-case names of the tags that have regional parts.
    regional: HashSet<String>,
    locations: BTreeSet<Location>,
    /// The file's numbers of regions.
    region_ids: HashMap<Location, u16>,
}

impl Catalog {
    /// Returns the catalogue of the file that is built in.
    ///
    /// # Errors
    ///
    /// Never, in a build whose tests passed.
    pub fn bundled() -> Result<Self, CatalogError> {
        Self::from_bytes(BUNDLED_NAME, BUNDLED)
    }

    /// Reads the bytes of a service-tag file; `source` is what errors call it.
    ///
    /// # Errors
    ///
    /// They are not JSON, not shaped as Microsoft's files are, or hold no tag of a known service.
    pub fn from_bytes(source: &str, bytes: &[u8]) -> Result<Self, CatalogError> {
        let TagFile {
            change_number,
            cloud,
            tags,
        } = file::parse(source, bytes)?;
        let mut catalog = Self {
            source: source.to_owned(),
            change_number,
            cloud,
            tags: Vec::new(),
            by_name: HashMap::with_capacity(tags.len()),
            by_region: HashMap::new(),
            regional: HashSet::new(),
            locations: regions::known().map(Location::new).collect(),
            region_ids: HashMap::new(),
        };
        for (at, tag) in tags.iter().enumerate() {
            catalog.index(at, tag);
        }
        catalog.tags = tags;
        let needed: BTreeSet<&str> = Service::all()
            .iter()
            .flat_map(|service| service.tags)
            .copied()
            .collect();
        let base = |tag: &Tag| {
            tag.name
                .split('.')
                .next()
                .unwrap_or_default()
                .to_ascii_lowercase()
        };
        let bases: HashSet<String> = catalog.tags.iter().map(base).collect();
        if needed
            .iter()
            .any(|name| bases.contains(&name.to_ascii_lowercase()))
        {
            return Ok(catalog);
        }
        let known = needed.into_iter().collect::<Vec<_>>().join(", ");
        Err(CatalogError::NoService {
            file: source.into(),
            tags: catalog.tags.len(),
            known,
        })
    }

    fn index(&mut self, at: usize, tag: &Tag) {
        let name = tag.name.to_ascii_lowercase();
        if let (Some(location), Some((base, child))) = (&tag.location, name.split_once('.')) {
            // Some regions have a second tag for a stage; the one named after the region stands.
            let key = (base.to_owned(), location.clone());
            if child == location.as_str() || !self.by_region.contains_key(&key) {
                self.by_region.insert(key, at);
                if tag.region_id != 0 {
                    self.region_ids.insert(location.clone(), tag.region_id);
                }
            }
            self.regional.insert(base.to_owned());
            self.locations.insert(location.clone());
        }
        self.by_name.insert(name, at);
    }

    /// Returns the name of the file that the prefixes come from.
    #[must_use]
    pub fn source(&self) -> &str {
        &self.source
    }

    /// Returns the file's change number.
    #[must_use]
    pub fn change_number(&self) -> u32 {
        self.change_number
    }

    /// Returns the cloud that the file is for.
    #[must_use]
    pub fn cloud(&self) -> &str {
        &self.cloud
    }

    /// Returns every tag, in the order of the file.
    #[must_use]
    pub fn tags(&self) -> &[Tag] {
        &self.tags
    }

    /// Returns the tag with this name, in any case.
    #[must_use]
    pub fn tag(&self, name: &str) -> Option<&Tag> {
        self.tags
            .get(*self.by_name.get(&name.to_ascii_lowercase())?)
    }

    /// Returns whether the region is one that the program or the file knows.
    #[must_use]
    pub fn knows(&self, location: &Location) -> bool {
        self.locations.contains(location)
    }

    /// Returns the number that the file has for a region, as service addresses carry it; 0 where it
    /// has none.
    #[must_use]
    pub fn region_id(&self, location: &Location) -> u16 {
        self.region_ids.get(location).copied().unwrap_or_default()
    }

    /// Returns every known region in alphabetical order.
    pub fn locations(&self) -> impl Iterator<Item = &Location> {
        self.locations.iter()
    }

    /// Returns the known regions whose names resemble `location`, all where none does.
    #[must_use]
    pub fn similar_locations(&self, location: &Location) -> Vec<&Location> {
        let letters = |name: &str| name.chars().filter(char::is_ascii_alphabetic).collect();
        let wanted: String = letters(location.as_str());
        let wanted = wanted.get(..4).unwrap_or(&wanted).to_owned();
        let resembles = |known: &&Location| !wanted.is_empty() && known.as_str().contains(&wanted);
        let similar: Vec<_> = self.locations().filter(resembles).collect();
        if similar.is_empty() {
            self.locations().collect()
        } else {
            similar
        }
    }

    /// Returns what the file would need so that an endpoint could be on for the service in
    /// `locations`; nothing if the file has it. An endpoint without a prefix would do nothing.
    #[must_use]
    pub fn lacking(&self, service: &Service, locations: &Locations) -> Option<String> {
        let mut tags = self.supplying_tags(service, locations).into_iter();
        if tags.any(|tag| !tag.prefixes.is_empty()) {
            return None;
        }
        let tags = service.tags.join(" and ");
        Some(match locations {
            Locations::All => tags,
            Locations::Regions(_) => format!("{tags} in {}", locations.values().join(" or ")),
        })
    }

    /// Returns the tags that supply a service's prefixes in `locations`. A tag without any
    /// regional part stands for every region.
    #[must_use]
    pub fn supplying_tags(&self, service: &Service, locations: &Locations) -> Vec<&Tag> {
        let mut tags = Vec::new();
        for &name in service.tags {
            let lower = name.to_ascii_lowercase();
            match locations {
                Locations::Regions(regions) if self.regional.contains(&lower) => {
                    let parts = regions.iter().filter_map(|region| {
                        self.tags
                            .get(*self.by_region.get(&(lower.clone(), region.clone()))?)
                    });
                    tags.extend(parts);
                }
                Locations::All | Locations::Regions(_) => tags.extend(self.tag(name)),
            }
        }
        tags
    }

    /// Returns the prefixes of a service in `locations`, in ascending order, each once.
    #[must_use]
    pub fn prefixes(&self, service: &Service, locations: &Locations) -> Vec<Ipv4Net> {
        let tags = self.supplying_tags(service, locations);
        let mut prefixes: Vec<_> = tags
            .iter()
            .flat_map(|tag| tag.prefixes.iter().copied())
            .collect();
        prefixes.sort_unstable();
        prefixes.dedup();
        prefixes
    }

    /// Returns the prefixes in which a resource of the service in `region` can have its address.
    #[must_use]
    pub fn prefixes_in(&self, service: &Service, region: &Location) -> Vec<Ipv4Net> {
        self.prefixes(service, &Locations::Regions(vec![region.clone()]))
    }

    /// Returns the prefixes that two services claim.
    #[must_use]
    pub fn overlaps(&self) -> Vec<Overlap> {
        overlap::find(self)
    }
}
