//! Microsoft's `ServiceTags_<Cloud>_<date>.json`: read, checked, turned into tags.
//!
//! The document is walked by hand, not deserialised into a type, so that a refusal can name the
//! tag, the place and the value.

use super::regions::{self, Location};
use ipnet::{IpNet, Ipv4Net};
use serde_json::{Map, Value};
use std::collections::HashSet;
use std::io;
use std::path::PathBuf;
use thiserror::Error;

/// Why a service-tag file was refused.
#[derive(Debug, Error)]
pub enum CatalogError {
    /// The file could not be read.
    #[error(
        "{}: cannot be read: {source}; accepted: a ServiceTags_*.json file as Microsoft publishes \
         it",
        file.display()
    )]
    Read {
        /// The file.
        file: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file is not JSON.
    #[error(
        "{}:{}:{}: not JSON: {source}; accepted: a complete ServiceTags_*.json file as Microsoft \
         publishes it",
        file.display(), source.line(), source.column()
    )]
    Syntax {
        /// The file.
        file: PathBuf,
        /// Where and why.
        source: serde_json::Error,
    },
    /// A value is missing or is not what it must be.
    #[error("{}: {place} = {value}: {problem}", file.display())]
    Value {
        /// The file.
        file: PathBuf,
        /// The JSON path, with the tag's name where it is known.
        place: String,
        /// The value as the file has it, shortened; `nothing` where it is missing.
        value: String,
        /// What is wrong with it.
        problem: ValueProblem,
    },
    /// No tag of the file supplies prefixes to any service.
    #[error(
        "{}: values = {tags} tags: none of them belongs to a service with endpoints; accepted: a \
         ServiceTags_*.json file that holds at least one of {known}", file.display()
    )]
    NoService {
        /// The file.
        file: PathBuf,
        /// How many tags it has.
        tags: usize,
        /// Names of the tags that were looked for.
        known: String,
    },
}

/// What is wrong with one value of a service-tag file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum ValueProblem {
    /// The value is missing or has another type.
    #[error("not what belongs here; accepted: {0}")]
    NotA(&'static str),
    /// A prefix cannot be read.
    #[error("not a prefix; accepted: an IPv4 or IPv6 prefix such as 20.60.16.0/24")]
    NotAPrefix,
    /// A prefix has host bits set.
    #[error("bits are set behind the prefix length; accepted: {0}")]
    HostBits(IpNet),
    /// Two tags have the same name.
    #[error("another tag has the same name; accepted: each name once")]
    DuplicateTag,
}

/// A service tag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tag {
    /// The name, such as `Storage.KoreaCentral`.
    pub name: String,
    /// The region, for a tag that belongs to one.
    pub location: Option<Location>,
    /// The number of the region in the file; 0 where it has none.
    pub region_id: u16,
    /// The number that grows with each change of the tag.
    pub change_number: u64,
    /// Whether the file says that the tag can be used for endpoints.
    pub is_endpoint: bool,
    /// IPv4 prefixes in ascending order, each once. IPv6 prefixes are accepted and left out:
    /// endpoints carry IPv4 only.
    pub prefixes: Vec<Ipv4Net>,
}

/// The content of a service-tag file.
#[derive(Debug)]
pub(super) struct TagFile {
    pub(super) change_number: u32,
    pub(super) cloud: String,
    pub(super) tags: Vec<Tag>,
}

/// Reads a document; `file` is what errors call it.
pub(super) fn parse(file: &str, bytes: &[u8]) -> Result<TagFile, CatalogError> {
    let text = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let root: Value = serde_json::from_slice(text).map_err(|source| CatalogError::Syntax {
        file: file.into(),
        source,
    })?;
    let place = Place { file, path: "" };
    let root = place.object(&root)?;
    let change_number = place.number(root, "changeNumber")?;
    let change_number = u32::try_from(change_number).map_err(|_| {
        let problem = ValueProblem::NotA("a number below 2^32");
        place.error("changeNumber", root.get("changeNumber"), problem)
    })?;
    let cloud = place.text(root, "cloud")?.to_owned();
    let values = place.array(root, "values")?;
    let mut names = HashSet::new();
    let mut tags = Vec::with_capacity(values.len());
    for (at, value) in values.iter().enumerate() {
        let tag = parse_tag(file, at, value)?;
        if !names.insert(tag.name.to_ascii_lowercase()) {
            let path = format!("values[{at}].name");
            let name = value.get("name");
            return Err(place.error(&path, name, ValueProblem::DuplicateTag));
        }
        tags.push(tag);
    }
    Ok(TagFile {
        change_number,
        cloud,
        tags,
    })
}

fn parse_tag(file: &str, at: usize, value: &Value) -> Result<Tag, CatalogError> {
    let path = format!("values[{at}]");
    let place = Place { file, path: &path };
    let tag = place.object(value)?;
    let name = place.text(tag, "name")?;
    let path = format!("values[{at}] ({name}).properties");
    let place = Place { file, path: &path };
    let properties = place.object(tag.get("properties").unwrap_or(&Value::Null))?;
    let region = place.text(properties, "region")?;
    Ok(Tag {
        name: name.to_owned(),
        location: (!region.is_empty()).then(|| regions::from_file(region)),
        region_id: region_id(&place, properties)?,
        change_number: place.number(properties, "changeNumber")?,
        is_endpoint: features(&place, properties)?
            .iter()
            .any(|feature| feature == "VSE"),
        prefixes: prefixes(&place, properties)?,
    })
}

/// Returns the number of the region, 0 where old files have none.
fn region_id(place: &Place<'_>, properties: &Map<String, Value>) -> Result<u16, CatalogError> {
    const KEY: &str = "regionId";
    if !properties.contains_key(KEY) {
        return Ok(0);
    }
    let problem = ValueProblem::NotA("a number below 65536");
    u16::try_from(place.number(properties, KEY)?)
        .map_err(|_| place.error(KEY, properties.get(KEY), problem))
}

/// Returns the features, none where old files have null or nothing.
fn features<'v>(
    place: &Place<'_>,
    properties: &'v Map<String, Value>,
) -> Result<&'v [Value], CatalogError> {
    match properties.get("networkFeatures") {
        None | Some(Value::Null) => Ok(&[]),
        Some(_) => place.array(properties, "networkFeatures"),
    }
}

fn prefixes(
    place: &Place<'_>,
    properties: &Map<String, Value>,
) -> Result<Vec<Ipv4Net>, CatalogError> {
    let values = place.array(properties, "addressPrefixes")?;
    let mut prefixes = Vec::with_capacity(values.len());
    for (at, value) in values.iter().enumerate() {
        let refuse = |problem| place.error(&format!("addressPrefixes[{at}]"), Some(value), problem);
        let prefix = value.as_str().and_then(|text| text.parse::<IpNet>().ok());
        let prefix = prefix.ok_or_else(|| refuse(ValueProblem::NotAPrefix))?;
        if prefix != prefix.trunc() {
            return Err(refuse(ValueProblem::HostBits(prefix.trunc())));
        }
        match prefix {
            IpNet::V4(prefix) => prefixes.push(prefix),
            IpNet::V6(_) => {}
        }
    }
    prefixes.sort_unstable();
    prefixes.dedup();
    Ok(prefixes)
}

/// Where in the document a value is looked for.
struct Place<'p> {
    file: &'p str,
    path: &'p str,
}

impl Place<'_> {
    fn object<'v>(&self, value: &'v Value) -> Result<&'v Map<String, Value>, CatalogError> {
        let wanted = ValueProblem::NotA("an object as in Microsoft's ServiceTags_*.json");
        value
            .as_object()
            .ok_or_else(|| self.error("", Some(value), wanted))
    }

    fn text<'v>(&self, map: &'v Map<String, Value>, key: &str) -> Result<&'v str, CatalogError> {
        let value = map.get(key);
        let refuse = || self.error(key, value, ValueProblem::NotA("a string"));
        value.and_then(Value::as_str).ok_or_else(refuse)
    }

    fn number(&self, map: &Map<String, Value>, key: &str) -> Result<u64, CatalogError> {
        let value = map.get(key);
        let refuse = || self.error(key, value, ValueProblem::NotA("a whole number"));
        value.and_then(Value::as_u64).ok_or_else(refuse)
    }

    fn array<'v>(
        &self,
        map: &'v Map<String, Value>,
        key: &str,
    ) -> Result<&'v [Value], CatalogError> {
        let value = map.get(key);
        let refuse = || self.error(key, value, ValueProblem::NotA("an array"));
        value
            .and_then(Value::as_array)
            .map(Vec::as_slice)
            .ok_or_else(refuse)
    }

    fn error(&self, key: &str, value: Option<&Value>, problem: ValueProblem) -> CatalogError {
        let place = match (self.path, key) {
            ("", "") => "document".to_owned(),
            ("", key) => key.to_owned(),
            (path, "") => path.to_owned(),
            (path, key) => format!("{path}.{key}"),
        };
        let value = value.map_or_else(|| "nothing".to_owned(), shortened);
        CatalogError::Value {
            file: self.file.into(),
            place,
            value,
            problem,
        }
    }
}

/// Returns the value as JSON, cut where it is too long for a line.
fn shortened(value: &Value) -> String {
    const LONGEST: usize = 60;
    let text = value.to_string();
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}...", text.get(..end).unwrap_or_default()),
        None => text,
    }
}
