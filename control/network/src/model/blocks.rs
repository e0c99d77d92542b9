//! Address blocks with a meaning of their own. They are data: none of the code that uses them
//! knows what is in them.

use ipnet::Ipv4Net;
use std::net::Ipv4Addr;

const fn block([a, b, c, d]: [u8; 4], length: u8) -> Ipv4Net {
    Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), length)
}

/// The platform's own address: DNS, DHCP and health probes.
pub const PLATFORM: Ipv4Net = block([168, 63, 129, 16], 32);

/// What `AzurePlatformDNS` stands for.
pub const PLATFORM_DNS: &[Ipv4Net] = &[PLATFORM];

/// What `AzurePlatformIMDS` stands for.
pub const PLATFORM_IMDS: &[Ipv4Net] = &[block([169, 254, 169, 254], 32)];

/// What `AzurePlatformLKM` stands for: the addresses that Windows is activated at.
pub const PLATFORM_LKM: &[Ipv4Net] = &[
    block([20, 118, 99, 224], 32),
    block([40, 83, 235, 53], 32),
    block([23, 102, 135, 246], 32),
];

/// The platform's own addresses that every NIC reaches: no table routes them, and no security group
/// concerns them on the way out unless a rule has a platform tag.
pub const PLATFORM_HOSTS: &[&[Ipv4Net]] = &[PLATFORM_DNS, PLATFORM_IMDS];

/// What is not publicly routable: public addresses are outside, and so is the tag `Internet`.
pub const NOT_PUBLIC: &[Ipv4Net] = &[
    block([0, 0, 0, 0], 8),
    block([10, 0, 0, 0], 8),
    block([100, 64, 0, 0], 10),
    block([127, 0, 0, 0], 8),
    PLATFORM,
    block([169, 254, 0, 0], 16),
    block([172, 16, 0, 0], 12),
    block([192, 168, 0, 0], 16),
    block([224, 0, 0, 0], 3),
];

/// What every subnet has a route to nowhere for, unless its network covers the block.
pub const UNROUTED: &[Ipv4Net] = &[
    block([10, 0, 0, 0], 8),
    block([172, 16, 0, 0], 12),
    block([192, 168, 0, 0], 16),
    block([100, 64, 0, 0], 10),
];

/// What no virtual network may hold. The first block is not the platform's rule but the host's:
/// it cannot give such an address to a device.
pub const FORBIDDEN: &[Ipv4Net] = &[
    block([0, 0, 0, 0], 8),
    block([127, 0, 0, 0], 8),
    PLATFORM,
    block([169, 254, 0, 0], 16),
    block([224, 0, 0, 0], 4),
    block([255, 255, 255, 255], 32),
];
