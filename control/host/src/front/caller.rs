//! Who calls and who is called, as the two addresses of a connection tell it.
//!
//! A connection over an endpoint comes from `fd40::/16` and goes to `fd41::/16` (wire-identity
//! reference, section 1); the dataplane alone writes those, so they are believed if they are well
//! formed and refused if not. Everybody else is a public caller with an IPv4 address.

use postern_dataplane::identity::{BadIdentity, Identity, ServicePrefix};
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Who calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Caller {
    /// A workload of a subnet, over a service endpoint.
    Subnet {
        /// Which subnet.
        identity: Identity,
        /// The private address of the workload.
        address: Ipv4Addr,
    },
    /// Somebody with a public address.
    Public(Ipv4Addr),
}

impl Caller {
    /// Returns who calls from `peer`.
    ///
    /// # Errors
    ///
    /// The address is neither IPv4 nor one that the dataplane makes.
    pub fn of(peer: IpAddr) -> Result<Self, BadIdentity> {
        match public(peer) {
            Ok(address) => Ok(Self::Public(address)),
            Err(peer) => {
                let (identity, address) = Identity::parse(peer)?;
                Ok(Self::Subnet { identity, address })
            }
        }
    }

    /// Returns the caller's own IPv4 address: private over an endpoint, else public.
    #[must_use]
    pub const fn address(&self) -> Ipv4Addr {
        match self {
            Self::Subnet { address, .. } | Self::Public(address) => *address,
        }
    }

    /// Returns the address that the connection comes from, identity and all.
    #[must_use]
    pub fn raw(&self) -> IpAddr {
        match self {
            Self::Subnet { identity, address } => identity.address(*address).into(),
            Self::Public(address) => (*address).into(),
        }
    }

    /// Returns whether the call comes over a service endpoint.
    #[must_use]
    pub const fn is_endpoint(&self) -> bool {
        matches!(self, Self::Subnet { .. })
    }
}

impl fmt::Display for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Subnet { identity, address } => {
                let (vnet, subnet) = (identity.vnet.get(), identity.subnet.get());
                write!(f, "{vnet}/{subnet} {address}")
            }
            Self::Public(address) => address.fmt(f),
        }
    }
}

/// Returns the service address that was called.
///
/// # Errors
///
/// The address is neither IPv4 nor one that the dataplane makes.
pub fn called(local: IpAddr) -> Result<Ipv4Addr, BadIdentity> {
    public(local).or_else(|local| ServicePrefix::parse(local).map(|(_, vip)| vip))
}

/// Both ends of a connection, as the caller sees them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ends {
    /// Who calls.
    pub caller: Caller,
    /// From which port.
    pub caller_port: u16,
    /// The service address that is called.
    pub vip: Ipv4Addr,
    /// The port that is called.
    pub port: u16,
}

impl Ends {
    /// Returns the ends of a connection between two sockets.
    ///
    /// # Errors
    ///
    /// One of the addresses is neither IPv4 nor one that the dataplane makes.
    pub fn of(peer: SocketAddr, local: SocketAddr) -> Result<Self, BadIdentity> {
        Ok(Self {
            caller: Caller::of(peer.ip())?,
            caller_port: peer.port(),
            vip: called(local.ip())?,
            port: local.port(),
        })
    }
}

/// Returns the IPv4 address in `address`, or the IPv6 address that it is.
fn public(address: IpAddr) -> Result<Ipv4Addr, Ipv6Addr> {
    match address {
        IpAddr::V4(address) => Ok(address),
        IpAddr::V6(address) => address.to_ipv4_mapped().ok_or(address),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use postern_dataplane::identity::{SubnetKey, VnetKey};

    /// The caller of the reference's vectors.
    pub(crate) fn subnet_caller() -> Caller {
        Caller::of("fd40:0:2a:7:1a:274:a00:104".parse().unwrap()).unwrap()
    }

    #[test]
    fn an_endpoint_caller_is_read_from_its_address() {
        let caller = subnet_caller();
        let identity = Identity {
            vnet: VnetKey::new(42).unwrap(),
            subnet: SubnetKey::new(7).unwrap(),
            region: 26,
        };
        let address = Ipv4Addr::new(10, 0, 1, 4);
        assert_eq!(caller, Caller::Subnet { identity, address });
        assert_eq!(caller.to_string(), "42/7 10.0.1.4");
        assert_eq!(caller.raw().to_string(), "fd40:0:2a:7:1a:274:a00:104");
        let vip = called("fd41:1:1a:2a3::143c:1005".parse().unwrap());
        assert_eq!(vip, Ok(Ipv4Addr::new(20, 60, 16, 5)));
    }

    #[test]
    fn an_ipv4_caller_is_public() {
        let public = Caller::Public(Ipv4Addr::new(20, 0, 0, 9));
        assert_eq!(Caller::of("20.0.0.9".parse().unwrap()), Ok(public));
        assert_eq!(Caller::of("::ffff:20.0.0.9".parse().unwrap()), Ok(public));
    }

    #[test]
    fn an_address_that_the_dataplane_never_makes_is_refused() {
        // A wrong neutral word, another prefix, a service as caller.
        for peer in [
            "fd40:0:2a:7:1a:275:a00:104",
            "fd42::1",
            "::1",
            "fd41:1:1a:2a3::143c:1005",
        ] {
            assert!(Caller::of(peer.parse().unwrap()).is_err(), "{peer}");
        }
        assert!(called("fd40:0:2a:7:1a:274:a00:104".parse().unwrap()).is_err());
    }
}
