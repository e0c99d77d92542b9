//! The types that have an effect here.

use super::Fill::{Flag, List, Number, Text};
use super::{Child, Form, Kind, Reference};
use std::collections::HashMap;
use std::sync::LazyLock;

/// Types of services, which have their names in common on the command line.
pub(super) const SERVICES: &[&str] = &[
    "Microsoft.CognitiveServices/accounts",
    "Microsoft.ContainerRegistry/registries",
    "Microsoft.DBforMariaDB/servers",
    "Microsoft.DBforMySQL/servers",
    "Microsoft.DBforPostgreSQL/servers",
    "Microsoft.DataLakeStore/accounts",
    "Microsoft.DocumentDB/databaseAccounts",
    "Microsoft.EventHub/namespaces",
    "Microsoft.KeyVault/vaults",
    "Microsoft.ServiceBus/namespaces",
    "Microsoft.Sql/servers",
    "Microsoft.Storage/storageAccounts",
    "Microsoft.Web/sites",
];

const SUBNET: &str = "Microsoft.Network/virtualNetworks/subnets";
const NSG: &str = "Microsoft.Network/networkSecurityGroups";
const ASG: &str = "Microsoft.Network/applicationSecurityGroups";
const PUBLIC_IP: &str = "Microsoft.Network/publicIPAddresses";
const PUBLIC_PREFIX: &str = "Microsoft.Network/publicIPPrefixes";

const fn to(path: &'static str, to: &'static str) -> Reference {
    Reference {
        path,
        to,
        binds: true,
        form: Form::Pure,
    }
}

/// A reference to something that may go while it is named.
const fn loose(path: &'static str, to: &'static str, form: Form) -> Reference {
    Reference {
        path,
        to,
        binds: false,
        form,
    }
}

const fn child(segment: &'static str, kind: &'static Kind) -> Child {
    Child {
        segment,
        at: segment,
        only: None,
        is_hidden: false,
        kind,
    }
}

/// A child that its parent does not show.
const fn hidden(segment: &'static str, kind: &'static Kind) -> Child {
    Child {
        is_hidden: true,
        ..child(segment, kind)
    }
}

const PLAIN: Kind = Kind {
    name: "",
    children: &[],
    references: &[],
    read_only: &[],
    defaults: &[],
    only: None,
    has_guid: false,
};

/// A type whose rules are children that it does not show.
const fn ruled(name: &'static str, children: &'static [Child]) -> Kind {
    Kind {
        name,
        children,
        only: Some(&[]),
        ..PLAIN
    }
}

/// A type of which the `networkAcls` alone have an effect.
const fn with_acls(name: &'static str) -> Kind {
    Kind {
        name,
        only: Some(&["networkAcls"]),
        references: ACLS,
        ..PLAIN
    }
}

static ACLS: &[Reference] = &[loose(
    "networkAcls.virtualNetworkRules[]",
    SUBNET,
    Form::Object,
)];

static SUBNETS: Kind = Kind {
    name: SUBNET,
    defaults: &[
        ("delegations", List),
        ("privateEndpointNetworkPolicies", Text("Disabled")),
        ("privateLinkServiceNetworkPolicies", Text("Enabled")),
    ],
    references: &[
        to("networkSecurityGroup", NSG),
        to("routeTable", "Microsoft.Network/routeTables"),
        to("natGateway", "Microsoft.Network/natGateways"),
        to(
            "serviceEndpointPolicies[]",
            "Microsoft.Network/serviceEndpointPolicies",
        ),
        to("serviceEndpoints[].networkIdentifier", PUBLIC_IP),
    ],
    read_only: &[
        "ipConfigurations",
        "ipConfigurationProfiles",
        "privateEndpoints",
        "purpose",
        "resourceNavigationLinks",
        "serviceAssociationLinks",
    ],
    ..PLAIN
};

static PEERINGS: Kind = Kind {
    name: "Microsoft.Network/virtualNetworks/virtualNetworkPeerings",
    defaults: &[
        ("allowVirtualNetworkAccess", Flag(true)),
        ("allowForwardedTraffic", Flag(false)),
        ("allowGatewayTransit", Flag(false)),
        ("useRemoteGateways", Flag(false)),
        ("doNotVerifyRemoteGateways", Flag(false)),
        ("peerCompleteVnets", Flag(true)),
    ],
    // The remote network may go: the peering is then disconnected.
    references: &[loose(
        "remoteVirtualNetwork",
        "Microsoft.Network/virtualNetworks",
        Form::Pure,
    )],
    read_only: &[
        "peeringState",
        "peeringSyncLevel",
        "remoteAddressSpace",
        "remoteVirtualNetworkAddressSpace",
        "remoteBgpCommunities",
        "remoteVirtualNetworkEncryption",
    ],
    has_guid: true,
    ..PLAIN
};

static RULES: Kind = Kind {
    name: "Microsoft.Network/networkSecurityGroups/securityRules",
    references: &[
        to("sourceApplicationSecurityGroups[]", ASG),
        to("destinationApplicationSecurityGroups[]", ASG),
    ],
    ..PLAIN
};

static ROUTES: Kind = Kind {
    name: "Microsoft.Network/routeTables/routes",
    read_only: &["hasBgpOverride"],
    ..PLAIN
};

static DEFINITIONS: Kind = Kind {
    name: "Microsoft.Network/serviceEndpointPolicies/serviceEndpointPolicyDefinitions",
    ..PLAIN
};

static IP_CONFIGURATIONS: Kind = Kind {
    name: "Microsoft.Network/networkInterfaces/ipConfigurations",
    defaults: &[
        ("privateIPAllocationMethod", Text("Dynamic")),
        ("privateIPAddressVersion", Text("IPv4")),
    ],
    references: &[
        to("subnet", SUBNET),
        to("publicIPAddress", PUBLIC_IP),
        to("applicationSecurityGroups[]", ASG),
    ],
    read_only: &["privateLinkConnectionProperties"],
    ..PLAIN
};

static SITE_CONFIG: Kind = Kind {
    name: "Microsoft.Web/sites/config",
    only: Some(&["ipSecurityRestrictions"]),
    references: &[loose(
        "ipSecurityRestrictions[].vnetSubnetResourceId",
        SUBNET,
        Form::Text,
    )],
    ..PLAIN
};

static KINDS: &[Kind] = &[
    Kind {
        name: "Microsoft.Network/virtualNetworks",
        defaults: &[
            ("subnets", List),
            ("virtualNetworkPeerings", List),
            ("enableDdosProtection", Flag(false)),
        ],
        children: &[
            child("subnets", &SUBNETS),
            child("virtualNetworkPeerings", &PEERINGS),
        ],
        has_guid: true,
        ..PLAIN
    },
    Kind {
        name: NSG,
        defaults: &[("securityRules", List)],
        children: &[child("securityRules", &RULES)],
        read_only: &[
            "defaultSecurityRules",
            "networkInterfaces",
            "subnets",
            "flowLogs",
        ],
        has_guid: true,
        ..PLAIN
    },
    Kind {
        name: ASG,
        has_guid: true,
        ..PLAIN
    },
    Kind {
        name: "Microsoft.Network/routeTables",
        defaults: &[
            ("routes", List),
            ("disableBgpRoutePropagation", Flag(false)),
        ],
        children: &[child("routes", &ROUTES)],
        read_only: &["subnets"],
        has_guid: true,
        ..PLAIN
    },
    Kind {
        name: "Microsoft.Network/serviceEndpointPolicies",
        defaults: &[("serviceEndpointPolicyDefinitions", List)],
        children: &[child("serviceEndpointPolicyDefinitions", &DEFINITIONS)],
        read_only: &["subnets"],
        has_guid: true,
        ..PLAIN
    },
    Kind {
        name: PUBLIC_IP,
        defaults: &[
            ("publicIPAddressVersion", Text("IPv4")),
            ("publicIPAllocationMethod", Text("Dynamic")),
            ("idleTimeoutInMinutes", Number(4)),
            ("ipTags", List),
        ],
        references: &[to("publicIPPrefix", PUBLIC_PREFIX)],
        read_only: &[
            "ipConfiguration",
            "natGateway",
            "servicePublicIPAddress",
            "linkedPublicIPAddress",
        ],
        has_guid: true,
        ..PLAIN
    },
    Kind {
        name: PUBLIC_PREFIX,
        defaults: &[
            ("publicIPAddressVersion", Text("IPv4")),
            ("prefixLength", Number(28)),
            ("ipTags", List),
        ],
        read_only: &[
            "publicIPAddresses",
            "natGateway",
            "loadBalancerFrontendIpConfiguration",
        ],
        has_guid: true,
        ..PLAIN
    },
    Kind {
        name: "Microsoft.Network/natGateways",
        defaults: &[("idleTimeoutInMinutes", Number(4))],
        references: &[
            to("publicIpAddresses[]", PUBLIC_IP),
            to("publicIpPrefixes[]", PUBLIC_PREFIX),
        ],
        read_only: &["subnets"],
        has_guid: true,
        ..PLAIN
    },
    Kind {
        name: "Microsoft.Network/networkInterfaces",
        defaults: &[
            ("ipConfigurations", List),
            ("nicType", Text("Standard")),
            ("enableAcceleratedNetworking", Flag(false)),
            ("enableIPForwarding", Flag(false)),
        ],
        children: &[child("ipConfigurations", &IP_CONFIGURATIONS)],
        references: &[to("networkSecurityGroup", NSG)],
        read_only: &[
            "virtualMachine",
            "primary",
            "hostedWorkloads",
            "tapConfigurations",
            "vnetEncryptionSupported",
            "defaultOutboundConnectivityEnabled",
            "privateEndpoint",
            "dscpConfiguration",
        ],
        has_guid: true,
        ..PLAIN
    },
    Kind {
        name: "Microsoft.Compute/virtualMachines",
        references: &[Reference {
            path: "networkProfile.networkInterfaces[]",
            to: "Microsoft.Network/networkInterfaces",
            binds: true,
            form: Form::Object,
        }],
        only: Some(&["networkProfile"]),
        read_only: &["vmId", "timeCreated", "instanceView"],
        ..PLAIN
    },
    Kind {
        name: "Microsoft.Storage/storageAccounts",
        only: Some(&["networkAcls"]),
        references: &[loose(
            "networkAcls.virtualNetworkRules[]",
            SUBNET,
            Form::Object,
        )],
        read_only: &[
            "creationTime",
            "primaryEndpoints",
            "primaryLocation",
            "secondaryEndpoints",
            "secondaryLocation",
            "statusOfPrimary",
            "statusOfSecondary",
            "privateEndpointConnections",
            "keyCreationTime",
            "geoReplicationStats",
            "isHnsMigrationInProgress",
        ],
        ..PLAIN
    },
    with_acls("Microsoft.KeyVault/vaults"),
    with_acls("Microsoft.CognitiveServices/accounts"),
    Kind {
        name: "Microsoft.DocumentDB/databaseAccounts",
        only: Some(&["virtualNetworkRules", "ipRules"]),
        references: &[loose("virtualNetworkRules[]", SUBNET, Form::Object)],
        ..PLAIN
    },
    Kind {
        name: "Microsoft.ContainerRegistry/registries",
        only: Some(&["networkRuleSet"]),
        references: &[loose(
            "networkRuleSet.virtualNetworkRules[]",
            SUBNET,
            Form::Object,
        )],
        ..PLAIN
    },
    ruled("Microsoft.ServiceBus/namespaces", BUS_CHILDREN),
    ruled("Microsoft.EventHub/namespaces", HUB_CHILDREN),
    ruled("Microsoft.Sql/servers", SQL_CHILDREN),
    ruled("Microsoft.DBforPostgreSQL/servers", POSTGRES_CHILDREN),
    ruled("Microsoft.DBforMySQL/servers", MYSQL_CHILDREN),
    ruled("Microsoft.DBforMariaDB/servers", MARIADB_CHILDREN),
    ruled("Microsoft.DataLakeStore/accounts", LAKE_CHILDREN),
    Kind {
        name: "Microsoft.Web/sites",
        only: Some(&["siteConfig"]),
        children: &[Child {
            segment: "config",
            at: "siteConfig",
            only: Some("web"),
            is_hidden: false,
            kind: &SITE_CONFIG,
        }],
        read_only: &["defaultHostName", "hostNames", "state"],
        ..PLAIN
    },
];

/// Declares the types of the rules of a type of servers.
macro_rules! rules_of_servers {
    ($($kind:literal, $children:ident, $vnet:ident, $firewall:ident;)*) => { $(
        static $vnet: Kind = Kind {
            name: concat!($kind, "/virtualNetworkRules"),
            references: &[loose("virtualNetworkSubnetId", SUBNET, Form::Text)],
            read_only: &["state"],
            ..PLAIN
        };
        static $firewall: Kind = Kind {
            name: concat!($kind, "/firewallRules"),
            ..PLAIN
        };
        static $children: &[Child] = &[
            hidden("virtualNetworkRules", &$vnet),
            hidden("firewallRules", &$firewall),
        ];
    )* };
}

rules_of_servers! {
    "Microsoft.Sql/servers", SQL_CHILDREN, SQL_VNET_RULES, SQL_FIREWALL;
    "Microsoft.DBforPostgreSQL/servers", POSTGRES_CHILDREN, POSTGRES_VNET_RULES, POSTGRES_FIREWALL;
    "Microsoft.DBforMySQL/servers", MYSQL_CHILDREN, MYSQL_VNET_RULES, MYSQL_FIREWALL;
    "Microsoft.DBforMariaDB/servers", MARIADB_CHILDREN, MARIADB_VNET_RULES, MARIADB_FIREWALL;
    "Microsoft.DataLakeStore/accounts", LAKE_CHILDREN, LAKE_VNET_RULES, LAKE_FIREWALL;
}

/// Declares the types of the rules of a type of namespaces: the set that there is now, and the
/// children that there were before it.
macro_rules! rules_of_namespaces {
    ($($kind:literal, $children:ident, $set:ident, $vnet:ident, $ip:ident;)*) => { $(
        static $set: Kind = Kind {
            name: concat!($kind, "/networkRuleSets"),
            references: &[loose("virtualNetworkRules[].subnet", SUBNET, Form::Object)],
            ..PLAIN
        };
        static $vnet: Kind = Kind {
            name: concat!($kind, "/virtualNetworkRules"),
            references: &[loose("virtualNetworkSubnetId", SUBNET, Form::Text)],
            ..PLAIN
        };
        static $ip: Kind = Kind {
            name: concat!($kind, "/ipFilterRules"),
            only: Some(&["ipMask"]),
            ..PLAIN
        };
        static $children: &[Child] = &[
            hidden("networkRuleSets", &$set),
            hidden("virtualNetworkRules", &$vnet),
            hidden("ipFilterRules", &$ip),
        ];
    )* };
}

rules_of_namespaces! {
    "Microsoft.ServiceBus/namespaces", BUS_CHILDREN, BUS_SET, BUS_VNET_RULES, BUS_IP_RULES;
    "Microsoft.EventHub/namespaces", HUB_CHILDREN, HUB_SET, HUB_VNET_RULES, HUB_IP_RULES;
}

static BY_NAME: LazyLock<HashMap<String, &'static Kind>> = LazyLock::new(|| {
    let outer = KINDS.iter();
    let inner = KINDS
        .iter()
        .flat_map(|kind| kind.children)
        .map(|child| child.kind);
    outer
        .chain(inner)
        .map(|kind| (kind.name.to_ascii_lowercase(), kind))
        .collect()
});

/// Returns what is particular to the type, if it has an effect here.
#[must_use]
pub fn find(name: &str) -> Option<&'static Kind> {
    BY_NAME.get(&name.to_ascii_lowercase()).copied()
}
