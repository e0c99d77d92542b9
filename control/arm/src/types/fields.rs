//! The properties of known types: how Azure spells them, and what their values are.
//!
//! Azure reads names and enumerations without case and numbers from texts; templates rely on it.

use std::collections::HashMap;
use std::sync::LazyLock;

/// What a value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    /// A text.
    Text,
    /// One of these texts, without case.
    Enum(&'static [&'static str]),
    /// A whole number.
    Number,
    /// True or false.
    Flag,
    /// Texts.
    Texts,
    /// An object.
    Object,
    /// Objects.
    Objects,
    /// Anything.
    Any,
}

use Shape::{Any, Enum, Flag, Number, Object, Objects, Text, Texts};

const ON_OFF: Shape = Enum(&["Enabled", "Disabled"]);
const ALLOCATION: Shape = Enum(&["Dynamic", "Static"]);
const VERSION: Shape = Enum(&["IPv4", "IPv6"]);
const ACCESS: Shape = Enum(&["Allow", "Deny"]);

const FIELDS: &[(&str, Shape)] = &[
    ("access", ACCESS),
    ("action", ACCESS),
    ("addressPrefix", Text),
    ("addressPrefixes", Texts),
    ("addressSpace", Object),
    ("allowForwardedTraffic", Flag),
    ("allowGatewayTransit", Flag),
    ("allowVirtualNetworkAccess", Flag),
    ("applicationSecurityGroups", Objects),
    ("bypass", Text),
    ("contextualServiceEndpointPolicies", Texts),
    ("defaultAction", ACCESS),
    ("defaultOutboundAccess", Flag),
    ("defaultSecurityRules", Any),
    ("delegations", Objects),
    ("description", Text),
    ("destinationAddressPrefix", Text),
    ("destinationAddressPrefixes", Texts),
    ("destinationApplicationSecurityGroups", Objects),
    ("destinationPortRange", Text),
    ("destinationPortRanges", Texts),
    ("dhcpOptions", Object),
    ("direction", Enum(&["Inbound", "Outbound"])),
    ("disableBgpRoutePropagation", Flag),
    ("dnsServers", Texts),
    ("dnsSettings", Object),
    ("domainNameLabel", Text),
    ("enableAcceleratedNetworking", Flag),
    ("enableDdosProtection", Flag),
    ("enableIPForwarding", Flag),
    ("enableVmProtection", Flag),
    ("endIpAddress", Text),
    ("flowTimeoutInMinutes", Number),
    ("fqdn", Text),
    ("id", Text),
    ("idleTimeoutInMinutes", Number),
    ("internalDnsNameLabel", Text),
    ("ipAddress", Text),
    ("ipConfiguration", Any),
    ("ipConfigurations", Objects),
    ("ipPrefix", Text),
    ("ipRules", Objects),
    ("ipSecurityRestrictions", Objects),
    ("ipTags", Objects),
    ("isVirtualNetworkFilterEnabled", Flag),
    ("linkedPublicIPAddress", Any),
    ("locations", Texts),
    ("macAddress", Text),
    ("natGateway", Object),
    ("networkAcls", Object),
    ("networkIdentifier", Object),
    ("networkInterfaces", Objects),
    ("networkProfile", Object),
    ("networkRuleSet", Object),
    ("networkSecurityGroup", Object),
    (
        "nextHopType",
        Enum(&[
            "VirtualNetworkGateway",
            "VnetLocal",
            "Internet",
            "VirtualAppliance",
            "None",
        ]),
    ),
    ("nextHopIpAddress", Text),
    ("prefixLength", Number),
    ("primary", Flag),
    ("priority", Number),
    ("privateEndpointNetworkPolicies", Text),
    ("privateIPAddress", Text),
    ("privateIPAddressVersion", VERSION),
    ("privateIPAllocationMethod", ALLOCATION),
    ("privateLinkServiceNetworkPolicies", ON_OFF),
    ("properties", Object),
    ("protocol", Enum(&["Tcp", "Udp", "Icmp", "Esp", "Ah", "*"])),
    ("provisioningState", Any),
    ("publicIPAddress", Object),
    ("publicIPAddressVersion", VERSION),
    ("publicIPAllocationMethod", ALLOCATION),
    ("publicIPPrefix", Object),
    ("publicIpAddresses", Objects),
    ("publicIpPrefixes", Objects),
    ("publicNetworkAccess", Text),
    ("remoteAddressSpace", Any),
    ("remoteVirtualNetwork", Object),
    ("resourceAccessRules", Objects),
    ("resourceGuid", Any),
    ("routeTable", Object),
    ("routes", Objects),
    ("scope", Text),
    ("securityRules", Objects),
    ("service", Text),
    ("serviceAlias", Text),
    ("serviceEndpointPolicies", Objects),
    ("serviceEndpointPolicyDefinitions", Objects),
    ("serviceEndpoints", Objects),
    ("serviceName", Text),
    ("serviceResources", Texts),
    ("siteConfig", Object),
    ("sourceAddressPrefix", Text),
    ("sourceAddressPrefixes", Texts),
    ("sourceApplicationSecurityGroups", Objects),
    ("sourcePortRange", Text),
    ("sourcePortRanges", Texts),
    ("startIpAddress", Text),
    ("subnet", Object),
    ("subnets", Objects),
    ("trustedServiceAccessEnabled", Flag),
    ("useRemoteGateways", Flag),
    ("virtualMachine", Any),
    ("virtualNetworkPeerings", Objects),
    ("virtualNetworkRules", Objects),
    ("virtualNetworkSubnetId", Text),
    ("vnetSubnetResourceId", Text),
];

static BY_NAME: LazyLock<HashMap<String, (&'static str, Shape)>> = LazyLock::new(|| {
    let entry = |&(name, shape): &(&'static str, Shape)| (name.to_ascii_lowercase(), (name, shape));
    FIELDS.iter().map(entry).collect()
});

/// Returns Azure's spelling of a name, and what its value is; none if it is not a name that means
/// something here.
pub(super) fn find(name: &str) -> Option<(&'static str, Shape)> {
    BY_NAME.get(&name.to_ascii_lowercase()).copied()
}
