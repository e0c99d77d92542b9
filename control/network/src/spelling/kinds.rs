//! The resource types that have an effect here, and what the configuration calls them.

/// A resource type, and the key of the configuration that declares its resources.
pub struct Kind {
    /// The type, such as `Microsoft.Network/virtualNetworks`.
    pub arm: &'static str,
    /// The key, such as `virtualNetwork`.
    pub key: &'static str,
}

const fn kind(arm: &'static str, key: &'static str) -> Kind {
    Kind { arm, key }
}

/// Virtual networks.
pub const VNET: Kind = kind("Microsoft.Network/virtualNetworks", "virtualNetwork");
/// Network interfaces.
pub const NIC: Kind = kind("Microsoft.Network/networkInterfaces", "networkInterface");
/// Network security groups.
pub const NSG: Kind = kind(
    "Microsoft.Network/networkSecurityGroups",
    "networkSecurityGroup",
);
/// Application security groups.
pub const ASG: Kind = kind(
    "Microsoft.Network/applicationSecurityGroups",
    "applicationSecurityGroup",
);
/// Route tables.
pub const ROUTE_TABLE: Kind = kind("Microsoft.Network/routeTables", "routeTable");
/// NAT gateways.
pub const NAT_GATEWAY: Kind = kind("Microsoft.Network/natGateways", "natGateway");
/// Service endpoint policies.
pub const POLICY: Kind = kind(
    "Microsoft.Network/serviceEndpointPolicies",
    "serviceEndpointPolicy",
);

/// The types that the configuration declares, but for those of services.
pub const DECLARED: [Kind; 7] = [NAT_GATEWAY, ROUTE_TABLE, POLICY, VNET, NIC, ASG, NSG];

/// The key that declares the resources of services.
pub const SERVICE: &str = "service";

/// Public addresses, which the configuration writes where they are used.
pub const PUBLIC_IP: &str = "Microsoft.Network/publicIPAddresses";
/// Ranges of public addresses.
pub const PUBLIC_IP_PREFIX: &str = "Microsoft.Network/publicIPPrefixes";
