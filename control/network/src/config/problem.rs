//! What can be wrong with a configuration, and what would be accepted instead.

use super::section::Accepted;
use super::source::Source;
use crate::catalog::Service;
use ipnet::Ipv4Net;
use std::fmt;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use thiserror::Error;

/// Why a configuration was refused. Prints one line per error, each with the file in front.
#[derive(Debug, Error)]
pub enum ConfigErrors {
    /// The file could not be read.
    #[error("{}: cannot be read: {source}; accepted: a readable TOML file", file.display())]
    Read {
        /// The file.
        file: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file is not TOML.
    #[error("{}:{line}:{column}: not TOML: {message}; accepted: TOML 1.0", file.display())]
    Syntax {
        /// The file.
        file: PathBuf,
        /// The line, from one.
        line: usize,
        /// The column, from one.
        column: usize,
        /// What the parser said, on one line.
        message: String,
    },
    /// Values are missing or cannot stand; every one that was found.
    #[error("{}", Lines { file, errors, places })]
    Invalid {
        /// The file.
        file: PathBuf,
        /// What is wrong; never empty.
        errors: Vec<ConfigError>,
        /// Where the keys of the file are.
        places: Box<Source>,
    },
}

impl ConfigErrors {
    /// Returns how many errors there are.
    #[must_use]
    pub fn count(&self) -> usize {
        match self {
            Self::Read { .. } | Self::Syntax { .. } => 1,
            Self::Invalid { errors, .. } => errors.len(),
        }
    }
}

/// Errors as people read them: the file and the line first, tables by their names.
struct Lines<'e> {
    file: &'e Path,
    errors: &'e [ConfigError],
    places: &'e Source,
}

impl fmt::Display for Lines<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, error) in self.errors.iter().enumerate() {
            if at > 0 {
                f.write_str("\n")?;
            }
            let place = self.places.place(&error.key);
            write!(f, "{}:", self.file.display())?;
            if let Some(line) = place.line {
                write!(f, "{line}:")?;
            }
            write!(f, " {}", place.key)?;
            if let Some(value) = &error.value {
                write!(f, " = {value}")?;
            }
            write!(f, ": {}", self.places.tell(&error.problem.to_string()))?;
        }
        Ok(())
    }
}

/// One thing that is wrong with a configuration.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub struct ConfigError {
    /// Where, such as `virtualNetwork[0].subnet[1].addressPrefix`.
    pub key: String,
    /// The value as TOML; none where it is missing.
    pub value: Option<String>,
    /// What is wrong with it.
    pub problem: Problem,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.key)?;
        if let Some(value) = &self.value {
            write!(f, " = {value}")?;
        }
        write!(f, ": {}", self.problem)
    }
}

/// What is wrong with a value, and what would be accepted.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Problem {
    /// The key means nothing here.
    #[error("unknown key; accepted: {}", .0.join(", "))]
    UnknownKey(&'static [&'static str]),
    /// A required key is absent.
    #[error("missing; accepted: {0}")]
    Missing(Accepted),
    /// The value cannot be read as what belongs here.
    #[error("not a value of this key; accepted: {0}")]
    Malformed(Accepted),
    /// A number is out of range.
    #[error("out of range; accepted: {0} to {1}")]
    OutOfRange(u32, u32),
    /// A prefix has host bits set.
    #[error("bits are set behind the prefix length; accepted: {0}")]
    HostBits(Ipv4Net),
    /// A name breaks the rules for names.
    #[error(
        "not a name; accepted: 1 to 80 letters, digits, \".\", \"_\" and \"-\", first a letter or \
         digit, last a letter, digit or \"_\""
    )]
    BadName,
    /// Another resource of the kind has the name.
    #[error("{0} has the same name; accepted: a name that is used once (case does not count)")]
    DuplicateName(String),
    /// Another resource of the file has the ID.
    #[error(
        "{0} is of the same type and called so in the same resource group; accepted: another \
         resourceName, or another resourceGroup"
    )]
    SameResource(String),
    /// The region is not known.
    #[error("unknown region; accepted: {0}")]
    UnknownRegion(String),
    /// The service is not known.
    #[error("invalid service name; accepted: {}", Service::names())]
    UnknownService,
    /// The service of an endpoint is not known; in the platform's words (reference section 1.1).
    #[error(
        "subnets/{subnet} has an item in ServiceEndpoints array with invalid service name '{name}'; \
         accepted: {known}",
        known = Service::names()
    )]
    UnknownEndpoint {
        /// The subnet.
        subnet: String,
        /// What was written.
        name: String,
    },
    /// The service is only a reach of an endpoint, resources are of another one.
    #[error("only an endpoint can have this service; accepted: {0}")]
    EndpointOnly(&'static str),
    /// Two endpoints exclude each other.
    #[error("{0} is on too, and the two exclude each other; accepted: one of them")]
    ExcludedEndpoint(&'static str),
    /// The service-tag file has no prefixes for the service.
    #[error("{catalog} has no prefixes of {service}; accepted: a service-tag file with {tags}")]
    NoPrefixes {
        /// The service.
        service: &'static str,
        /// The service-tag file.
        catalog: String,
        /// What it would need.
        tags: String,
    },
    /// The tag of a rule is not known. The code is the platform's, from memory.
    #[error(
        "SecurityRuleInvalidAddressPrefix: neither a prefix nor a service tag of {catalog}; accepted: \"*\", an IPv4 prefix or \
         address, VirtualNetwork, Internet, AzureLoadBalancer, AzurePlatformDNS, AzurePlatformIMDS, \
         AzurePlatformLKM, or a tag such as {similar}"
    )]
    UnknownTag {
        /// The service-tag file.
        catalog: String,
        /// Tags whose names resemble it.
        similar: String,
    },
    /// A platform tag where none can be.
    #[error(
        "a platform tag can only be the destination of an Outbound rule; accepted: it there, or \
         another tag or prefix here"
    )]
    PlatformTag,
    /// Members of application security groups that belong together are in several networks.
    #[error("other members are in {vnet}; accepted: members of one virtual network")]
    MixedVnets {
        /// The network of the others.
        vnet: String,
    },
    /// A tag or `*` stands beside something else.
    #[error(
        "SecurityRuleParameterContainsUnsupportedValue: \"*\" or a tag cannot stand beside other values; accepted: it alone, or prefixes"
    )]
    MixedPeers,
    /// `*` stands beside port ranges.
    #[error("\"*\" cannot stand beside other values; accepted: it alone, or port ranges")]
    MixedPorts,
    /// Both the singular and the plural key are there.
    #[error("{0} is there too; accepted: one of the two")]
    BothForms(&'static str),
    /// A port range ends before it begins.
    #[error("the range is reversed; accepted: {0}-{1}")]
    ReversedRange(u16, u16),
    /// Two rules of a direction have the same priority.
    #[error(
        "SecurityRuleConflict: {rule} has the same priority {direction}; accepted: a priority from 100 to 4096 that no \
         other {direction} rule of the group has"
    )]
    DuplicatePriority {
        /// The other rule.
        rule: String,
        /// The direction.
        direction: &'static str,
    },
    /// A list or a count is too long.
    #[error("{0} are too many; accepted: at most {1}")]
    TooMany(usize, usize),
    /// What the value refers to is not there.
    #[error("there is no such {kind}; accepted: {known}")]
    UnknownReference {
        /// The kind that was looked for.
        kind: &'static str,
        /// The names that there are.
        known: String,
    },
    /// A range meets another one that it must not meet.
    #[error("overlaps {other} ({prefix}); accepted: a prefix outside of it")]
    Overlap {
        /// The key of the other range.
        other: String,
        /// The other range.
        prefix: Ipv4Net,
    },
    /// An address space holds addresses that no virtual network may have.
    #[error(
        "holds {0}, which no virtual network may have; accepted: a prefix outside of it, such as \
         10.0.0.0/16"
    )]
    ForbiddenSpace(Ipv4Net),
    /// A prefix leaves too few addresses.
    #[error(
        "too small, five addresses of a subnet are reserved; accepted: a prefix length of at most \
         29"
    )]
    TooSmall,
    /// A subnet is not inside its virtual network.
    #[error("outside of the address space of {vnet}; accepted: a prefix inside {space}")]
    OutsideVnet {
        /// The virtual network.
        vnet: String,
        /// Its address space.
        space: String,
    },
    /// An address is not one of its subnet that a NIC may have.
    #[error("{reason} {subnet} ({prefix}); accepted: {first} to {last}")]
    NotInSubnet {
        /// Whether it is outside or reserved.
        reason: &'static str,
        /// The subnet.
        subnet: String,
        /// Its prefix.
        prefix: Ipv4Net,
        /// The first address that a NIC may have.
        first: Ipv4Addr,
        /// The last one.
        last: Ipv4Addr,
    },
    /// Something has the address.
    #[error("{0} has the same address; accepted: an address that is used once")]
    AddressInUse(String),
    /// Another storage account has the address, and differs in what a packet is delivered by.
    #[error(
        "{0} has the same address; accepted: an address that is used once, or by storage accounts \
         in one namespace and location, with one delivery, all with a front or none"
    )]
    CannotShare(String),
    /// No address of the service is free.
    #[error("every address of {0} in the region is in use; accepted: a service less")]
    NoFreeAddress(&'static str),
    /// A public address is not public.
    #[error(
        "not a public address, it lies in {0}; accepted: a public IPv4 address such as 20.200.0.1"
    )]
    NotPublic(Ipv4Net),
    /// A public address is one of a virtual network.
    #[error(
        "lies in the address space of {0}; accepted: a public IPv4 address outside of every \
         virtual network"
    )]
    InsideVnet(String),
    /// A service address is not one of the service in the region.
    #[error(
        "not an address of {service} in {location}; accepted: an address in {tags}, such as \
         {example}"
    )]
    OutsideService {
        /// The service.
        service: &'static str,
        /// The region.
        location: String,
        /// The tags and how many prefixes they have.
        tags: String,
        /// Prefixes that would do.
        example: String,
    },
    /// Another port is in the namespace.
    #[error(
        "{0} is in the same namespace; accepted: a namespace of its own (services may share one)"
    )]
    NamespaceInUse(String),
    /// Services in one namespace want different devices.
    #[error("{other} shares the namespace and so the device, and has {value}; accepted: {value}")]
    DeviceDiffers {
        /// The key of the other value.
        other: String,
        /// The other value.
        value: String,
    },
    /// A route's destination is neither a prefix nor a tag.
    #[error(
        "neither a prefix nor a service tag of {catalog}; accepted: an IPv4 prefix such as \
         0.0.0.0/0, or a tag such as {similar}"
    )]
    UnknownDestination {
        /// The service-tag file.
        catalog: String,
        /// Tags whose names resemble it.
        similar: String,
    },
    /// Another route of the table has the destination.
    #[error("{0} has the same destination; accepted: one route for a destination and table")]
    DuplicateDestination(String),
    /// The key is another service's way to say it.
    #[error("{service} has other network rules; accepted: {}", keys.join(", "))]
    OtherDialect {
        /// The service.
        service: &'static str,
        /// Its own keys.
        keys: &'static [&'static str],
    },
    /// The service has no resources of the type.
    #[error("not a resource type of the service; accepted: {}", .0.join(", "))]
    OtherType(&'static [&'static str]),
    /// A prefix is so long that the service wants an address.
    #[error("/31 and /32 are not accepted as prefixes; accepted: the bare address, such as {0}")]
    BareAddress(Ipv4Addr),
    /// A range of addresses ends before it begins.
    #[error("the range is reversed; accepted: from {0} to {1}")]
    ReversedAddresses(Ipv4Addr, Ipv4Addr),
    /// A policy is in another region than the network.
    #[error("the policy is in {found}; accepted: a policy in {wanted}, as the virtual network")]
    OtherRegion {
        /// Where it is.
        found: String,
        /// Where it has to be.
        wanted: String,
    },
    /// A subnet has endpoint policies, and no endpoint that they are about.
    #[error("the subnet has no endpoint Microsoft.Storage; accepted: policies together with it")]
    PolicyWithoutEndpoint,
    /// Only the platform makes routes of this type.
    #[error("only the platform makes routes of this type; accepted: {0}")]
    PlatformNextHop(Accepted),
    /// A next hop that is no appliance has an address.
    #[error(
        "only a route whose nextHopType is \"VirtualAppliance\" has one; accepted: no \
         nextHopIpAddress"
    )]
    NextHopForbidden,
    /// A table has too many routes with tags.
    #[error("{0} routes with service tags are too many; accepted: at most {1}")]
    TooManyTagRoutes(usize, usize),
    /// The gateway's subnet would not learn the gateway's routes.
    #[error(
        "the table has disableBgpRoutePropagation, which the subnet of a gateway must not have; \
         accepted: a route table without it"
    )]
    GatewayCutOff,
    /// A network has another gateway.
    #[error("{0} has a gateway for the network; accepted: one gateway for a virtual network")]
    SecondGateway(String),
    /// A network is peered with itself.
    #[error("a virtual network cannot be peered with itself; accepted: another virtual network")]
    PeeredWithItself,
    /// Another peering leads to the same network.
    #[error("{0} leads there too; accepted: one peering for a remote network")]
    DuplicatePeering(String),
    /// The address spaces of networks meet that a peering would join. The code is the platform's, from
    /// memory.
    #[error(
        "VnetAddressSpacesOverlap: {remote} and {other} cannot be peered because their address spaces overlap \
         ({prefixes}); accepted: networks whose prefixes do not meet"
    )]
    PeeringOverlap {
        /// The remote network.
        remote: String,
        /// The network itself, or another peer of it.
        other: String,
        /// The prefixes that meet.
        prefixes: String,
    },
    /// Another resource has the host name.
    #[error("{0} has the same host name; accepted: a name that no other service has")]
    HostInUse(String),
    /// A front leads to what Postern itself answers at.
    #[error("{0}; accepted: a server that is not postern's own")]
    OwnServer(&'static str),
    /// A front could not tell its calls from those of another.
    #[error(
        "service {other} has a front at {address} and this port too; accepted: the same protocol at \
         both, and of those only \"tls\" and \"http\", in which clients say whom they call"
    )]
    FrontShared {
        /// The other service.
        other: String,
        /// The address of both.
        address: Ipv4Addr,
    },
}
