//! Regions: their names, the names that the tag files use instead, and their pairs.
//!
//! Pairs are a directed map: the pair of A is B, which says nothing of the pair of B. The reverse
//! is never derived, because some pairs lead one way only.

use serde::Serialize;
use std::fmt;

/// A region by its programmatic name, such as `koreacentral`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct Location(String);

impl Location {
    /// Returns the region that `name` means: case and spaces do not count, so that the display
    /// name `Korea Central` is the same region as `koreacentral`. Whether it exists is the
    /// catalogue's to say.
    #[must_use]
    pub fn new(name: &str) -> Self {
        let plain = name.chars().filter(|letter| !letter.is_whitespace());
        Self(plain.collect::<String>().to_ascii_lowercase())
    }

    /// Returns the programmatic name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the region that takes over for this one, if there is one.
    #[must_use]
    pub fn pair(&self) -> Option<Self> {
        let both_ways = MUTUAL_PAIRS
            .iter()
            .find_map(|&(one, other)| match self.as_str() {
                name if name == one => Some(other),
                name if name == other => Some(one),
                _ => None,
            });
        let one_way = || {
            let pair = ONE_WAY_PAIRS
                .iter()
                .find(|(from, _)| *from == self.as_str());
            pair.map(|&(_, to)| to)
        };
        both_ways.or_else(one_way).map(|name| Self(name.to_owned()))
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Returns the programmatic name of the region that a tag file calls `name`.
pub(super) fn from_file(name: &str) -> Location {
    let known = FILE_NAMES
        .iter()
        .find(|(in_file, _)| in_file.eq_ignore_ascii_case(name));
    Location::new(known.map_or(name, |&(_, programmatic)| programmatic))
}

/// Returns every region that a pair or a tag-file name mentions, and those without either.
pub(super) fn known() -> impl Iterator<Item = &'static str> {
    let mutual = MUTUAL_PAIRS.iter().flat_map(|&(one, other)| [one, other]);
    let one_way = ONE_WAY_PAIRS.iter().flat_map(|&(from, to)| [from, to]);
    mutual.chain(one_way).chain(UNPAIRED.iter().copied())
}

/// Pairs in which each region is the other's.
const MUTUAL_PAIRS: &[(&str, &str)] = &[
    ("eastasia", "southeastasia"),
    ("eastus", "westus"),
    ("northeurope", "westeurope"),
    ("australiaeast", "australiasoutheast"),
    ("eastus2", "centralus"),
    ("francecentral", "francesouth"),
    ("australiacentral", "australiacentral2"),
    ("northcentralus", "southcentralus"),
    ("germanywestcentral", "germanynorth"),
    ("canadacentral", "canadaeast"),
    ("westus2", "westcentralus"),
    ("norwayeast", "norwaywest"),
    ("centralindia", "southindia"),
    ("japaneast", "japanwest"),
    ("switzerlandnorth", "switzerlandwest"),
    ("uksouth", "ukwest"),
    ("koreacentral", "koreasouth"),
    ("swedencentral", "swedensouth"),
    ("chinaeast", "chinanorth"),
    ("southafricanorth", "southafricawest"),
    ("uaenorth", "uaecentral"),
    ("chinaeast2", "chinanorth2"),
    ("chinaeast3", "chinanorth3"),
    ("usdodeast", "usdodcentral"),
];

/// Pairs that lead from the first region to the second only.
const ONE_WAY_PAIRS: &[(&str, &str)] = &[
    ("westindia", "southindia"),
    ("brazilsouth", "southcentralus"),
    ("brazilsoutheast", "brazilsouth"),
    ("westus3", "eastus"),
    ("usgovvirginia", "usgovtexas"),
    ("usgovarizona", "usgovtexas"),
];

/// Regions without a pair.
const UNPAIRED: &[&str] = &[
    "qatarcentral",
    "polandcentral",
    "israelcentral",
    "italynorth",
    "spaincentral",
    "austriaeast",
    "mexicocentral",
    "newzealandnorth",
];

/// Regions whose `region` value in a tag file is not their programmatic name.
const FILE_NAMES: &[(&str, &str)] = &[
    ("brazilne", "brazilnortheast"),
    ("brazilse", "brazilsoutheast"),
    ("centralfrance", "francecentral"),
    ("chilec", "chilecentral"),
    ("germanyn", "germanynorth"),
    ("germanywc", "germanywestcentral"),
    ("norwaye", "norwayeast"),
    ("norwayw", "norwaywest"),
    ("southfrance", "francesouth"),
    ("switzerlandn", "switzerlandnorth"),
    ("switzerlandw", "switzerlandwest"),
    ("usstagec", "southcentralusstg"),
    ("usstagee", "eastusstg"),
];
