//! What the kernel tells of a device in its namespace: somebody may have changed it.

use super::{AttachError, NamespaceId, namespace};
use ipnet::Ipv4Net;
use postern_network::model::NamespaceRef;
use rtnetlink::packet_core::{NLM_F_REPLACE, NetlinkBuffer, NetlinkMessage, NetlinkPayload};
use rtnetlink::packet_route::RouteNetlinkMessage;
use rtnetlink::packet_route::route::{RouteAttribute, RouteMessage};
use rtnetlink::sys::{Socket, protocols::NETLINK_ROUTE};
use rustix::io::Errno;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};

/// Devices, addresses of IPv4, routes of IPv4 and of IPv6 (`RTNLGRP_LINK` and so on).
const GROUPS: [u32; 4] = [1, 5, 7, 11];

/// The message types that are of interest.
const RTM_NEWLINK: u16 = 16;
const RTM_DELLINK: u16 = 17;
const RTM_DELADDR: u16 = 21;
const RTM_NEWROUTE: u16 = 24;
const RTM_DELROUTE: u16 = 25;

/// Follows one device.
#[derive(Debug)]
pub struct DeviceEvents {
    socket: Socket,
    device: String,
    index: Option<u32>,
    /// The routes to the device.
    routes: Vec<Ipv4Net>,
}

impl DeviceEvents {
    /// Follows a device from now on, in this very namespace.
    ///
    /// # Errors
    ///
    /// The namespace is not there or another one, or the socket cannot be made.
    pub fn open(
        namespace: &NamespaceRef,
        place: NamespaceId,
        device: &str,
        routes: &[Ipv4Net],
    ) -> Result<Self, AttachError> {
        let socket = namespace::enter_in(namespace, Some(place), |_| {
            connect().map_err(|source| AttachError::Helper {
                namespace: namespace.clone(),
                source,
            })
        })?;
        let mut events = Self {
            socket,
            device: device.to_owned(),
            index: None,
            routes: routes.to_vec(),
        };
        events.index = events.find();
        Ok(events)
    }

    /// Returns whether these routes are the ones that are looked after.
    #[must_use]
    pub fn has(&self, device: &str, routes: &[Ipv4Net]) -> bool {
        self.device == device && self.routes == routes
    }

    /// Returns whether the device is there by its name, and is the one that was found last.
    #[must_use]
    pub fn is_in_place(&self) -> bool {
        self.index.is_some() && self.find() == self.index
    }

    /// Reads all that the kernel has told, and returns whether the device may have changed.
    pub fn is_touched(&mut self) -> bool {
        let mut is_touched = false;
        loop {
            match self.socket.recv_from_full() {
                Ok((bytes, _)) => is_touched |= self.concerns(&bytes),
                Err(error) => match Errno::from_io_error(&error) {
                    Some(Errno::AGAIN) => return is_touched,
                    Some(Errno::INTR) => {}
                    // More was told than the socket holds, or nothing can be told any more.
                    Some(Errno::NOBUFS) => is_touched = true,
                    _ => return true,
                },
            }
        }
    }

    fn concerns(&mut self, mut bytes: &[u8]) -> bool {
        let mut is_touched = false;
        while let Ok(message) = NetlinkBuffer::new_checked(bytes) {
            is_touched |= self.is_about(&message);
            // The next one begins at a multiple of four.
            let length = usize::try_from(message.length()).unwrap_or(usize::MAX);
            let next = length.max(1).checked_next_multiple_of(4);
            bytes = next.and_then(|next| bytes.get(next..)).unwrap_or_default();
        }
        is_touched
    }

    fn is_about(&mut self, message: &NetlinkBuffer<&[u8]>) -> bool {
        match message.message_type() {
            RTM_NEWLINK | RTM_DELLINK => {
                // A device that was made anew, or has another name, has another index here.
                let before = self.index.take();
                self.index = self.find();
                let told = index_in(message);
                // Where there is none by the name, any may be the one that had it.
                before != self.index || before.is_none() || told == before
            }
            RTM_DELADDR => index_in(message) == self.index,
            RTM_DELROUTE => route_in(message).is_some_and(|route| self.is_ours(&route)),
            RTM_NEWROUTE if message.flags() & NLM_F_REPLACE != 0 => {
                route_in(message).is_some_and(|route| {
                    let prefix = super::link::prefix_of(&route);
                    !self.is_ours(&route) && self.routes.iter().any(|own| own.trunc() == prefix)
                })
            }
            _ => false,
        }
    }

    fn is_ours(&self, route: &RouteMessage) -> bool {
        let is_ours = |index| route.attributes.contains(&RouteAttribute::Oif(index));
        self.index.is_some_and(is_ours)
    }

    fn find(&self) -> Option<u32> {
        rustix::net::netdevice::name_to_index(&self.socket, &self.device).ok()
    }
}

impl AsFd for DeviceEvents {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

fn connect() -> io::Result<Socket> {
    let mut socket = Socket::new(NETLINK_ROUTE)?;
    socket.bind_auto()?;
    for group in GROUPS {
        // A kernel without IPv6 has no routes of it.
        if let Err(error) = socket.add_membership(group) {
            tracing::debug!(group, %error, "the kernel does not tell of this");
        }
    }
    socket.set_non_blocking(true)?;
    Ok(socket)
}

/// Returns the index in a message about a device or an address, which have it at the same place.
fn index_in(message: &NetlinkBuffer<&[u8]>) -> Option<u32> {
    let bytes = message.payload().get(4..8)?;
    Some(u32::from_ne_bytes(bytes.try_into().ok()?))
}

fn route_in(message: &NetlinkBuffer<&[u8]>) -> Option<RouteMessage> {
    let read = NetlinkMessage::<RouteNetlinkMessage>::deserialize(message.clone().into_inner());
    match read.ok()?.payload {
        NetlinkPayload::InnerMessage(
            RouteNetlinkMessage::NewRoute(route) | RouteNetlinkMessage::DelRoute(route),
        ) => Some(route),
        _ => None,
    }
}
