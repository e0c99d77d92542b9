//! The resource types that have an effect here, and what the configuration calls them.

/// A resource type, and the key of the configuration that declares its resources.
pub(super) struct Kind {
    /// The type, such as `Microsoft.Network/virtualNetworks`.
    pub(super) arm: &'static str,
    /// The key, such as `virtualNetwork`.
    pub(super) key: &'static str,
}

const fn kind(arm: &'static str, key: &'static str) -> Kind {
    Kind { arm, key }
}

pub(super) const VNET: Kind = kind("Microsoft.Network/virtualNetworks", "virtualNetwork");
pub(super) const NIC: Kind = kind("Microsoft.Network/networkInterfaces", "networkInterface");
pub(super) const NSG: Kind = kind(
    "Microsoft.Network/networkSecurityGroups",
    "networkSecurityGroup",
);
pub(super) const ASG: Kind = kind(
    "Microsoft.Network/applicationSecurityGroups",
    "applicationSecurityGroup",
);
pub(super) const ROUTE_TABLE: Kind = kind("Microsoft.Network/routeTables", "routeTable");
pub(super) const NAT_GATEWAY: Kind = kind("Microsoft.Network/natGateways", "natGateway");
pub(super) const POLICY: Kind = kind(
    "Microsoft.Network/serviceEndpointPolicies",
    "serviceEndpointPolicy",
);

/// The types that the configuration declares, but for those of services.
pub(super) const DECLARED: [Kind; 7] = [NAT_GATEWAY, ROUTE_TABLE, POLICY, VNET, NIC, ASG, NSG];

/// The key that declares the resources of services.
pub(super) const SERVICE: &str = "service";

/// Public addresses, which the configuration writes where they are used.
pub(super) const PUBLIC_IP: &str = "Microsoft.Network/publicIPAddresses";
/// Ranges of public addresses.
pub(super) const PUBLIC_IP_PREFIX: &str = "Microsoft.Network/publicIPPrefixes";
