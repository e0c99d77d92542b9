//! A configuration as the oracle has it: things refer to each other by their places in lists.

use super::prefix::Prefix;

/// Everything that a configuration declares, and the service tags that it is read with.
#[derive(Debug, Default)]
pub struct Topology {
    pub settings: Settings,
    pub tags: Vec<Tag>,
    pub has_internet: bool,
    pub default_outbound: Option<u32>,
    /// The public addresses of each NAT gateway.
    pub nat_gateways: Vec<Vec<u32>>,
    pub tables: Vec<Table>,
    pub vnets: Vec<Vnet>,
    pub nics: Vec<Nic>,
    pub gateways: Vec<Gateway>,
    pub nsgs: Vec<Nsg>,
    /// The network of the members of each application security group.
    pub groups: Vec<usize>,
    pub services: Vec<Service>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Precedence {
    #[default]
    Strict,
    Tie,
    Observed,
}

#[derive(Clone, Copy, Debug, Default)]
pub struct Settings {
    pub precedence: Precedence,
    pub tag_includes_default_route: bool,
    pub learned_default_removes_none: bool,
    pub shared_icmp: bool,
    pub shared_fragments: bool,
}

/// A region: its programmatic name, its name in tag files, in tag names, and its pair.
#[derive(Debug)]
pub struct Region {
    pub name: &'static str,
    pub in_file: &'static str,
    pub in_tags: &'static str,
    pub pair: Option<&'static str>,
}

const fn region(
    name: &'static str,
    in_file: &'static str,
    in_tags: &'static str,
    pair: Option<&'static str>,
) -> Region {
    Region {
        name,
        in_file,
        in_tags,
        pair,
    }
}

/// Regions with pairs both ways, one way, and none (reference section 1.5), and with names that tag
/// files spell otherwise (5.1).
#[rustfmt::skip]
pub const REGIONS: [Region; 9] = [
    region("koreacentral", "koreacentral", "KoreaCentral", Some("koreasouth")),
    region("koreasouth", "koreasouth", "KoreaSouth", Some("koreacentral")),
    region("eastus", "eastus", "EastUS", Some("westus")),
    region("westus", "westus", "WestUS", Some("eastus")),
    region("westus3", "westus3", "WestUS3", Some("eastus")),
    region("brazilsouth", "brazilsouth", "BrazilSouth", Some("southcentralus")),
    region("norwayeast", "norwaye", "NorwayEast", Some("norwaywest")),
    region("norwaywest", "norwayw", "NorwayWest", Some("norwayeast")),
    region("qatarcentral", "qatarcentral", "QatarCentral", None),
];

/// Which regions an endpoint reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    OwnRegion,
    RegionAndPair,
    Everywhere,
}

/// A service with endpoints.
#[derive(Debug)]
pub struct ServiceKind {
    pub name: &'static str,
    pub tags: &'static [&'static str],
    pub reach: Reach,
    /// What resources of the service are called.
    pub family: &'static str,
}

const fn kind(name: &'static str, tags: &'static [&'static str], reach: Reach) -> ServiceKind {
    ServiceKind {
        name,
        tags,
        reach,
        family: name,
    }
}

/// The services (reference sections 1.1 and 1.3).
#[rustfmt::skip]
pub const SERVICES: [ServiceKind; 11] = [
    kind("Microsoft.Storage", &["Storage"], Reach::RegionAndPair),
    ServiceKind {
        family: "Microsoft.Storage",
        ..kind("Microsoft.Storage.Global", &["Storage"], Reach::Everywhere)
    },
    kind("Microsoft.Sql", &["Sql"], Reach::OwnRegion),
    kind("Microsoft.AzureCosmosDB", &["AzureCosmosDB"], Reach::Everywhere),
    kind("Microsoft.KeyVault", &["AzureKeyVault"], Reach::Everywhere),
    kind("Microsoft.ServiceBus", &["ServiceBus"], Reach::Everywhere),
    kind("Microsoft.EventHub", &["EventHub"], Reach::Everywhere),
    kind("Microsoft.AzureActiveDirectory", &["AzureActiveDirectory"], Reach::OwnRegion),
    kind("Microsoft.Web", &["AppService"], Reach::Everywhere),
    kind("Microsoft.ContainerRegistry", &["AzureContainerRegistry"], Reach::Everywhere),
    kind(
        "Microsoft.CognitiveServices",
        &["CognitiveServicesManagement", "CognitiveServicesFrontend"],
        Reach::Everywhere,
    ),
];

/// A service tag: all of a service's prefixes, or those of one region.
#[derive(Debug)]
pub struct Tag {
    pub base: String,
    /// The programmatic name of the region.
    pub region: Option<String>,
    /// The name in the file.
    pub name: String,
    pub prefixes: Vec<Prefix>,
}

#[derive(Debug)]
pub struct Vnet {
    pub region: &'static Region,
    pub ranges: Vec<Prefix>,
    pub subnets: Vec<Subnet>,
    pub peerings: Vec<Peering>,
}

#[derive(Clone, Copy, Debug)]
pub struct Peering {
    pub remote: usize,
    pub allows_forwarded: bool,
}

#[derive(Debug)]
pub struct Subnet {
    pub is_of_gateway: bool,
    pub prefix: Prefix,
    pub nsg: Option<usize>,
    pub table: Option<usize>,
    pub nat_gateway: Option<usize>,
    pub default_outbound: bool,
    pub endpoints: Vec<&'static ServiceKind>,
}

#[derive(Debug)]
pub struct Nic {
    pub vnet: usize,
    pub subnet: usize,
    pub address: u32,
    pub public: Option<u32>,
    pub forwards: bool,
    pub nsg: Option<usize>,
    pub groups: Vec<usize>,
}

#[derive(Debug)]
pub struct Gateway {
    pub vnet: usize,
    pub prefixes: Vec<Prefix>,
}

#[derive(Debug)]
pub struct Table {
    pub is_cut_off: bool,
    pub routes: Vec<UserRoute>,
}

#[derive(Clone, Copy, Debug)]
pub struct UserRoute {
    pub to: Target,
    pub hop: UserHop,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    Prefix(Prefix),
    Tag(usize),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UserHop {
    Appliance(u32),
    Gateway,
    VnetLocal,
    Internet,
    Nowhere,
}

#[derive(Debug)]
pub struct Nsg {
    pub rules: Vec<Rule>,
}

#[derive(Clone, Debug)]
pub struct Rule {
    pub priority: u16,
    pub is_inbound: bool,
    pub allows: bool,
    pub protocol: Protocol,
    pub source: Side,
    pub source_ports: Ports,
    pub destination: Side,
    pub destination_ports: Ports,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    Any,
    Tcp,
    Udp,
    Icmp,
    Esp,
}

/// Ranges of ports; none stands for every port.
pub type Ports = Vec<(u16, u16)>;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Side {
    Any,
    VirtualNetwork,
    Internet,
    LoadBalancer,
    PlatformDns,
    PlatformImds,
    PlatformLkm,
    Tag(usize),
    Prefixes(Vec<Prefix>),
    Groups(Vec<usize>),
}

#[derive(Debug)]
pub struct Service {
    pub kind: &'static ServiceKind,
    pub region: &'static Region,
    pub address: u32,
    pub namespace: usize,
}

/// A port of the packet path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Port {
    Nic(usize),
    Internet,
    Gateway(usize),
    /// The services in one namespace.
    Services(usize),
    /// The platform's own addresses.
    Platform,
}

/// The platform's own addresses: 168.63.129.16 and 169.254.169.254.
pub const PLATFORM: [u32; 2] = [0xa83f_8110, 0xa9fe_a9fe];

/// The first packet of a flow.
#[derive(Clone, Copy, Debug)]
pub struct Flow {
    pub ingress: Port,
    pub protocol: u8,
    pub source: u32,
    pub source_port: u16,
    pub destination: u32,
    pub destination_port: u16,
    pub is_fragment: bool,
}

impl Topology {
    /// Returns the addresses that a service has in some regions, every region if none is named: the
    /// regional tags, but the whole tag of a service that is not divided into regions.
    pub fn prefixes_of(&self, kind: &ServiceKind, regions: Option<&[&str]>) -> Vec<Prefix> {
        let mut prefixes = Vec::new();
        for base in kind.tags {
            let parts = || self.tags.iter().filter(|tag| tag.base == *base);
            let is_divided = parts().any(|tag| tag.region.is_some());
            for tag in parts() {
                let is_wanted = match (&tag.region, regions) {
                    (None, None) => true,
                    (None, Some(_)) => !is_divided,
                    (Some(_), None) => false,
                    (Some(region), Some(regions)) => regions.contains(&region.as_str()),
                };
                if is_wanted {
                    prefixes.extend(&tag.prefixes);
                }
            }
        }
        prefixes
    }

    /// Returns what an endpoint covers from a network in `region` (reference section 1.4).
    pub fn covered(&self, kind: &ServiceKind, region: &Region) -> Vec<Prefix> {
        match kind.reach {
            Reach::Everywhere => self.prefixes_of(kind, None),
            Reach::OwnRegion => self.prefixes_of(kind, Some(&[region.name])),
            Reach::RegionAndPair => {
                let regions: Vec<&str> = [region.name].into_iter().chain(region.pair).collect();
                self.prefixes_of(kind, Some(&regions))
            }
        }
    }

    /// Returns the peers of a network: both sides have the peering. With each, whether it takes
    /// packets that were only forwarded here.
    pub fn peers(&self, vnet: usize) -> Vec<(usize, bool)> {
        let own = self.vnets[vnet].peerings.iter();
        own.filter_map(|peering| {
            let mut back = self.vnets[peering.remote].peerings.iter();
            let back = back.find(|back| back.remote == vnet)?;
            Some((peering.remote, back.allows_forwarded))
        })
        .collect()
    }

    /// Returns the NIC that has an address in a network.
    pub fn nic_at(&self, vnet: usize, address: u32) -> Option<usize> {
        let is_it = |nic: &Nic| nic.vnet == vnet && nic.address == address;
        self.nics.iter().position(is_it)
    }

    /// Returns the gateway of a network.
    pub fn gateway_of(&self, vnet: usize) -> Option<usize> {
        let mut gateways = self.gateways.iter();
        gateways.position(|gateway| gateway.vnet == vnet)
    }
}
