//! Netlink sockets in the namespace of a gateway: one on which the kernel tells of changes, one
//! that it is asked on.
//!
//! A socket belongs to the namespace that it was made in wherever it is used, so only opening them
//! enters the namespace, on a thread that ends at once.

use crate::attach::{self, AttachError};
use postern_network::model::NamespaceRef;
use rtnetlink::packet_core::{
    NLM_F_DUMP, NLM_F_DUMP_INTR, NLM_F_REPLACE, NLM_F_REQUEST, NetlinkBuffer, NetlinkMessage,
    NetlinkPayload,
};
use rtnetlink::packet_route::route::{RouteAttribute, RouteHeader, RouteMessage};
use rtnetlink::packet_route::{AddressFamily, RouteNetlinkMessage};
use rtnetlink::sys::{Socket, SocketAddr, protocols::NETLINK_ROUTE};
use rustix::io::Errno;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};

/// Routes of IPv4 that come and go (`RTNLGRP_IPV4_ROUTE`).
const ROUTES: u32 = 7;

/// What takes routes along without a word about them: devices (`RTNLGRP_LINK`), addresses
/// (`RTNLGRP_IPV4_IFADDR`), and next hops that routes share (`RTNLGRP_NEXTHOP`).
const SILENT: [u32; 3] = [1, 5, 32];

/// The message types that are about routes; every other one that the groups bring is of `SILENT`.
const RTM_NEWROUTE: u16 = 24;
const RTM_DELROUTE: u16 = 25;

/// How often a reading that changes disturbed is begun anew.
const READINGS: usize = 10;

/// What the kernel told.
#[derive(Debug)]
pub(super) enum Event {
    /// It added a route, or put it in the place of another one.
    Added {
        /// The route.
        route: RouteMessage,
        /// Whether another one went for it.
        replaces: bool,
    },
    /// It took a route away.
    Removed(RouteMessage),
    /// Something else, after which routes may have gone, or it could not tell all there was.
    Unclear,
}

/// The two sockets.
pub(super) struct Sockets {
    events: Socket,
    queries: Socket,
}

impl Sockets {
    /// Opens both in a namespace; from then on the kernel tells of changes.
    pub(super) fn open(namespace: &NamespaceRef) -> Result<Self, AttachError> {
        attach::enter(namespace, || {
            Self::connect().map_err(|source| AttachError::Helper {
                namespace: namespace.clone(),
                source,
            })
        })
    }

    fn connect() -> io::Result<Self> {
        let mut events = Socket::new(NETLINK_ROUTE)?;
        events.bind_auto()?;
        for group in SILENT {
            // A kernel without shared next hops has no such group, and no need of it.
            if let Err(error) = events.add_membership(group) {
                tracing::debug!(group, %error, "the kernel does not tell of this");
            }
        }
        events.add_membership(ROUTES)?;
        events.set_non_blocking(true)?;
        let mut queries = Socket::new(NETLINK_ROUTE)?;
        queries.bind_auto()?;
        // With it the kernel reads the one table; without it all of them, and ours are picked out.
        if let Err(error) = queries.set_netlink_get_strict_chk(true) {
            tracing::debug!(%error, "the kernel reads every table");
        }
        Ok(Self { events, queries })
    }

    /// Returns what becomes readable when the kernel tells something.
    pub(super) fn events(&self) -> BorrowedFd<'_> {
        self.events.as_fd()
    }

    /// Returns all that the kernel has told since.
    pub(super) fn read_events(&self) -> io::Result<Vec<Event>> {
        let mut events = Vec::new();
        loop {
            match self.events.recv_from_full() {
                Ok((bytes, _)) => messages(&bytes, |message| events.push(event(message))),
                Err(error) => match Errno::from_io_error(&error) {
                    Some(Errno::AGAIN) => return Ok(events),
                    Some(Errno::INTR) => {}
                    // More was told than the socket holds.
                    Some(Errno::NOBUFS) => events.push(Event::Unclear),
                    _ => return Err(error),
                },
            }
        }
    }

    /// Returns the routes that a table has now.
    pub(super) fn read_table(&self, table: u32) -> io::Result<Vec<RouteMessage>> {
        for _ in 0..READINGS {
            if let Some(routes) = self.read_once(table)? {
                return Ok(routes);
            }
        }
        Err(io::Error::other(
            "the table changes faster than it can be read",
        ))
    }

    /// Reads a table; nothing if it changed meanwhile.
    fn read_once(&self, table: u32) -> io::Result<Option<Vec<RouteMessage>>> {
        self.ask(table)?;
        let (mut routes, mut is_whole, mut end) = (Vec::new(), true, None);
        while end.is_none() {
            let (bytes, _) = self.queries.recv_from_full()?;
            messages(&bytes, |message| {
                is_whole &= message.flags() & NLM_F_DUMP_INTR == 0;
                match decode(message) {
                    Some(NetlinkPayload::InnerMessage(RouteNetlinkMessage::NewRoute(route))) => {
                        routes.push(route);
                    }
                    Some(NetlinkPayload::Done(_)) => end = Some(Ok(())),
                    Some(NetlinkPayload::Error(error)) => end = Some(Err(error.to_io())),
                    _ => {}
                }
            });
        }
        match end.unwrap_or(Ok(())) {
            // There is no such table before its first route.
            Err(error) if Errno::from_io_error(&error) == Some(Errno::NOENT) => {
                Ok(Some(Vec::new()))
            }
            Err(error) => Err(error),
            Ok(()) => Ok(is_whole.then_some(routes)),
        }
    }

    fn ask(&self, table: u32) -> io::Result<()> {
        let mut route = RouteMessage::default();
        route.header = RouteHeader {
            address_family: AddressFamily::Inet,
            ..RouteHeader::default()
        };
        route.attributes.push(RouteAttribute::Table(table));
        let mut message = NetlinkMessage::from(RouteNetlinkMessage::GetRoute(route));
        message.header.flags = NLM_F_REQUEST | NLM_F_DUMP;
        message.finalize();
        let mut bytes = vec![0; message.buffer_len()];
        message.serialize(&mut bytes);
        let sent = self.queries.send_to(&bytes, &SocketAddr::new(0, 0), 0)?;
        debug_assert_eq!(sent, bytes.len(), "a netlink message is sent whole");
        Ok(())
    }

    /// Returns the index of a device in the namespace, if it is there.
    pub(super) fn index(&self, device: &str) -> Option<u32> {
        rustix::net::netdevice::name_to_index(&self.queries, device).ok()
    }
}

type Message<'b> = NetlinkBuffer<&'b [u8]>;

/// Shows each message of a datagram.
fn messages(mut bytes: &[u8], mut show: impl FnMut(&Message<'_>)) {
    while let Ok(message) = NetlinkBuffer::new_checked(bytes) {
        show(&message);
        // The next one begins at a multiple of four.
        let length = usize::try_from(message.length()).unwrap_or(usize::MAX);
        let next = length.max(1).checked_next_multiple_of(4);
        bytes = next.and_then(|next| bytes.get(next..)).unwrap_or_default();
    }
}

fn decode(message: &Message<'_>) -> Option<NetlinkPayload<RouteNetlinkMessage>> {
    match NetlinkMessage::<RouteNetlinkMessage>::deserialize(message.clone().into_inner()) {
        Ok(message) => Some(message.payload),
        Err(error) => {
            tracing::debug!(%error, "a message of the kernel cannot be read");
            None
        }
    }
}

fn event(message: &Message<'_>) -> Event {
    // The other kinds are not looked into: that there was one is enough.
    if ![RTM_NEWROUTE, RTM_DELROUTE].contains(&message.message_type()) {
        return Event::Unclear;
    }
    let replaces = message.flags() & NLM_F_REPLACE != 0;
    match decode(message) {
        Some(NetlinkPayload::InnerMessage(RouteNetlinkMessage::NewRoute(route))) => {
            Event::Added { route, replaces }
        }
        Some(NetlinkPayload::InnerMessage(RouteNetlinkMessage::DelRoute(route))) => {
            Event::Removed(route)
        }
        _ => Event::Unclear,
    }
}
