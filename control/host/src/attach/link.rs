//! One device through rtnetlink, in the namespace of the calling thread.

use super::AttachError;
use futures_util::TryStreamExt;
use ipnet::Ipv4Net;
use postern_network::compile::PortSpec;
use rtnetlink::packet_route::address::{AddressAttribute, AddressMessage};
use rtnetlink::packet_route::link::{LinkAttribute, LinkFlags, LinkMessage};
use rtnetlink::packet_route::route::{
    RouteAddress, RouteAttribute, RouteHeader, RouteMessage, RouteProtocol, RouteScope, RouteType,
};
use rtnetlink::{Handle, LinkUnspec, RouteMessageBuilder};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Addresses that bear the identity of a subnet, and those that stand for services (wire-identity
/// reference, section 1).
const SUBNETS: Ipv6Addr = Ipv6Addr::new(0xfd40, 0, 0, 0, 0, 0, 0, 0);
const SERVICES: Ipv6Addr = Ipv6Addr::new(0xfd41, 0, 0, 0, 0, 0, 0, 0);
const PREFIX_LEN: u8 = 16;
/// The table of local addresses, as the kernel numbers it (`RT_TABLE_LOCAL`).
const LOCAL_TABLE: u32 = 255;

/// A device and what it is to become.
pub(super) struct Link<'a> {
    spec: &'a PortSpec,
    handle: Handle,
    index: u32,
    is_up: bool,
    mtu: u32,
}

impl<'a> Link<'a> {
    /// Opens a netlink socket in the calling thread's namespace. Call it inside a runtime.
    pub(super) fn connect(spec: &'a PortSpec) -> Result<Self, AttachError> {
        let (connection, handle, _) =
            rtnetlink::new_connection().map_err(|source| AttachError::Helper {
                namespace: spec.namespace.clone(),
                source,
            })?;
        tokio::spawn(connection);
        Ok(Self {
            spec,
            handle,
            index: 0,
            is_up: false,
            mtu: 0,
        })
    }

    /// Finds the device by its name.
    pub(super) async fn find(&mut self) -> Result<(), AttachError> {
        let links = self
            .handle
            .link()
            .get()
            .match_name(self.spec.device.clone())
            .execute();
        let found: Result<Vec<_>, _> = links.try_collect().await;
        let Some(link) = found.ok().and_then(|links| links.into_iter().next()) else {
            return Err(AttachError::Gone {
                namespace: self.spec.namespace.clone(),
                device: self.spec.device.clone(),
            });
        };
        self.index = link.header.index;
        self.is_up = link.header.flags.contains(LinkFlags::Up);
        self.mtu = mtu_of(&link).unwrap_or_default();
        Ok(())
    }

    /// Refuses a namespace that has a default route where the port would bring one.
    pub(super) async fn refuse_default_route(&self) -> Result<(), AttachError> {
        if !self.spec.routes.iter().any(|route| route.prefix_len() == 0) {
            return Ok(());
        }
        let routes = self.routes().await?;
        let Some(route) = routes
            .iter()
            .find(|route| prefix_of(route).prefix_len() == 0)
        else {
            return Ok(());
        };
        Err(AttachError::DefaultRoute {
            namespace: self.spec.namespace.clone(),
            route: self.describe(route).await,
            device: self.spec.device.clone(),
        })
    }

    /// Makes the device as the port says: what `old` asked for and the port does not goes, what is
    /// missing comes. Returns what came.
    pub(super) async fn converge(
        &self,
        old: Option<&PortSpec>,
    ) -> Result<Vec<String>, AttachError> {
        let wanted = &self.spec.addresses;
        // New addresses first: with its last address a device would lose all its routes.
        let mut come = self.add_missing_addresses().await?;
        for address in old.iter().flat_map(|old| &old.addresses) {
            if !wanted.contains(address) {
                self.remove_address(*address).await?;
            }
        }

        come.extend(self.set_link().await?);

        let wanted: Vec<Ipv4Net> = self.spec.routes.iter().map(Ipv4Net::trunc).collect();
        let mut present = Vec::new();
        for route in self
            .routes()
            .await?
            .into_iter()
            .filter(|route| self.is_mine(route))
        {
            let prefix = prefix_of(&route);
            let is_ours = route.header.protocol == RouteProtocol::Static
                && old.is_some_and(|old| old.routes.iter().any(|old| old.trunc() == prefix));
            if is_ours && !wanted.contains(&prefix) {
                let removed = self.handle.route().del(route).execute().await;
                removed.or_else(|error| self.failed(format!("remove route {prefix}"), error))?;
            } else {
                present.push(prefix);
            }
        }
        for prefix in wanted {
            if !present.contains(&prefix) {
                self.add_route(prefix).await?;
                present.push(prefix);
                come.push(format!("route {prefix}"));
            }
        }
        // Where they are not wanted, they went when IPv6 was switched off on the device.
        if self.spec.has_identities {
            come.extend(self.add_identity_routes().await?);
        }
        Ok(come)
    }

    /// Sets MTU and state of the device, if they are others.
    async fn set_link(&self) -> Result<Vec<String>, AttachError> {
        let mtu = u32::from(self.spec.mtu);
        let mut set = Vec::new();
        if self.mtu != mtu {
            set.push(format!("MTU {mtu}"));
        }
        if !self.is_up {
            set.push("up".to_owned());
        }
        if set.is_empty() {
            return Ok(set);
        }
        let message = LinkUnspec::new_with_index(self.index).mtu(mtu).up().build();
        let done = self.handle.link().set(message).execute().await;
        done.or_else(|error| self.failed(format!("set {}", set.join(" and ")), error))?;
        Ok(set)
    }

    /// Makes the service prefix local, all of it, and routes that of subnets to the device. Both go
    /// with the device.
    async fn add_identity_routes(&self) -> Result<Vec<String>, AttachError> {
        let mut come = Vec::new();
        for (network, kind) in [(SUBNETS, RouteType::Unicast), (SERVICES, RouteType::Local)] {
            let mut message = RouteMessageBuilder::<Ipv6Addr>::new()
                .destination_prefix(network, PREFIX_LEN)
                .output_interface(self.index)
                .kind(kind);
            if kind == RouteType::Local {
                message = message.table_id(LOCAL_TABLE);
            }
            let message = message.build();
            if !self.has_route(network, kind).await? {
                let added = self.handle.route().add(message).execute().await;
                added.or_else(|error| {
                    self.failed(format!("add route {network}/{PREFIX_LEN}"), error)
                })?;
                come.push(format!("route {network}/{PREFIX_LEN}"));
            }
        }
        Ok(come)
    }

    /// Returns whether the device has this IPv6 route.
    async fn has_route(&self, network: Ipv6Addr, kind: RouteType) -> Result<bool, AttachError> {
        let all = RouteMessageBuilder::<Ipv6Addr>::new().build();
        let listed: Result<Vec<_>, _> = self.handle.route().get(all).execute().try_collect().await;
        let destination = RouteAttribute::Destination(RouteAddress::Inet6(network));
        let is_it = |route: &RouteMessage| {
            self.is_mine(route)
                && route.header.kind == kind
                && route.header.destination_prefix_length == PREFIX_LEN
                && route.attributes.contains(&destination)
        };
        match listed {
            Ok(routes) => Ok(routes.iter().any(is_it)),
            Err(error) => self.failed("list routes".to_owned(), error),
        }
    }

    async fn addresses(&self) -> Result<Vec<AddressMessage>, AttachError> {
        let request = self
            .handle
            .address()
            .get()
            .set_link_index_filter(self.index);
        let listed = request.execute().try_collect().await;
        listed.or_else(|error| self.failed("list addresses".to_owned(), error))
    }

    async fn add_missing_addresses(&self) -> Result<Vec<String>, AttachError> {
        let mut come = Vec::new();
        let present: Vec<_> = self
            .addresses()
            .await?
            .iter()
            .filter_map(address_of)
            .collect();
        for address in self
            .spec
            .addresses
            .iter()
            .filter(|address| !present.contains(address))
        {
            let (ip, len) = (IpAddr::V4(address.addr()), address.prefix_len());
            let added = self
                .handle
                .address()
                .add(self.index, ip, len)
                .execute()
                .await;
            added.or_else(|error| self.failed(format!("add address {address}"), error))?;
            come.push(format!("address {address}"));
        }
        Ok(come)
    }

    async fn remove_address(&self, address: Ipv4Net) -> Result<(), AttachError> {
        let present = self.addresses().await?;
        let Some(message) = present
            .into_iter()
            .find(|it| address_of(it) == Some(address))
        else {
            return Ok(());
        };
        let removed = self.handle.address().del(message).execute().await;
        removed.or_else(|error| self.failed(format!("remove address {address}"), error))
    }

    /// Returns the routes of the namespace's main table.
    async fn routes(&self) -> Result<Vec<RouteMessage>, AttachError> {
        let all = RouteMessageBuilder::<Ipv4Addr>::new().build();
        let listed: Result<Vec<_>, _> = self.handle.route().get(all).execute().try_collect().await;
        match listed {
            Ok(routes) => Ok(routes.into_iter().filter(is_in_main_table).collect()),
            Err(error) => self.failed("list routes".to_owned(), error),
        }
    }

    async fn add_route(&self, prefix: Ipv4Net) -> Result<(), AttachError> {
        let message = RouteMessageBuilder::<Ipv4Addr>::new()
            .destination_prefix(prefix.addr(), prefix.prefix_len())
            .output_interface(self.index)
            .scope(RouteScope::Link)
            .build();
        let added = self.handle.route().add(message).execute().await;
        added.or_else(|error| self.failed(format!("add route {prefix}"), error))
    }

    fn is_mine(&self, route: &RouteMessage) -> bool {
        route.attributes.contains(&RouteAttribute::Oif(self.index))
    }

    /// Says a default route as `ip route` would.
    async fn describe(&self, route: &RouteMessage) -> String {
        let mut text = "default".to_owned();
        for attribute in &route.attributes {
            match attribute {
                RouteAttribute::Gateway(RouteAddress::Inet(gateway)) => {
                    text.push_str(&format!(" via {gateway}"));
                }
                RouteAttribute::Oif(index) => {
                    let name = self.name_of(*index).await;
                    text.push_str(&format!(" dev {name}"));
                }
                _ => {}
            }
        }
        text
    }

    async fn name_of(&self, index: u32) -> String {
        let links = self.handle.link().get().match_index(index).execute();
        let found: Result<Vec<_>, _> = links.try_collect().await;
        let attributes = found.into_iter().flatten().flat_map(|link| link.attributes);
        let mut names = attributes.filter_map(|attribute| match attribute {
            LinkAttribute::IfName(name) => Some(name),
            _ => None,
        });
        names.next().unwrap_or_else(|| format!("number {index}"))
    }

    fn failed<T>(&self, step: String, error: rtnetlink::Error) -> Result<T, AttachError> {
        let source = match error {
            rtnetlink::Error::NetlinkError(message) => message.to_io(),
            error => io::Error::other(error),
        };
        Err(AttachError::Configure {
            namespace: self.spec.namespace.clone(),
            device: self.spec.device.clone(),
            step,
            source,
        })
    }
}

fn mtu_of(link: &LinkMessage) -> Option<u32> {
    link.attributes
        .iter()
        .find_map(|attribute| match attribute {
            LinkAttribute::Mtu(mtu) => Some(*mtu),
            _ => None,
        })
}

fn is_in_main_table(route: &RouteMessage) -> bool {
    let table = route
        .attributes
        .iter()
        .find_map(|attribute| match attribute {
            RouteAttribute::Table(table) => Some(*table),
            _ => None,
        });
    table.unwrap_or(route.header.table.into()) == u32::from(RouteHeader::RT_TABLE_MAIN)
}

/// Returns what a route of IPv4 covers.
pub(super) fn prefix_of(route: &RouteMessage) -> Ipv4Net {
    let address = route
        .attributes
        .iter()
        .find_map(|attribute| match attribute {
            RouteAttribute::Destination(RouteAddress::Inet(address)) => Some(*address),
            _ => None,
        });
    // A default route has no destination.
    let address = address.unwrap_or(Ipv4Addr::UNSPECIFIED);
    Ipv4Net::new(address, route.header.destination_prefix_length)
        .unwrap_or_default()
        .trunc()
}

fn address_of(message: &AddressMessage) -> Option<Ipv4Net> {
    let local = message
        .attributes
        .iter()
        .find_map(|attribute| match attribute {
            AddressAttribute::Local(IpAddr::V4(address)) => Some(*address),
            _ => None,
        })?;
    Ipv4Net::new(local, message.header.prefix_len).ok()
}
