//! Routes that gateways learn from routing daemons.
//!
//! BIRD, FRR or another daemon runs in the namespace of a gateway's port and keeps a table of the
//! kernel. A [`Follower`] follows that table over netlink and tells the prefixes of its unicast
//! routes. Parts, each of which knows nothing of the next: `table` what the kernel has, `socket` how
//! it tells, `follow` when it is passed on. What is made of it is the fabric's matter.

mod follow;
mod socket;
mod table;

pub use follow::{Follower, Told};

use crate::attach::NamespaceId;
use postern_network::model::{LearnedRoutes, NamespaceRef};

/// Where a gateway learns. Another place under the same name is another source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// The gateway.
    pub gateway: String,
    /// The namespace as the configuration names it.
    pub namespace: NamespaceRef,
    /// Which namespace that was when the gateway's device was made in it.
    pub place: NamespaceId,
    /// The gateway's device: routes that lead to it lead into the virtual network.
    pub device: String,
    /// Which routes.
    pub routes: LearnedRoutes,
}
