//! The doors of a policy: which resources have a front, and which of them a call is for.

use super::caller::{Caller, Ends};
use super::protocol::Protocol;
use super::refusal::{Cause, Dialect};
use super::sni::host_name;
use crate::attach::NamespaceId;
use postern_dataplane::policy::{
    self, AccessRuleId, AccessTable, DeniedBy, ResourceId, Ruling, SubnetId,
};
use postern_network::model::{NamespaceRef, ServiceFront};
use std::collections::{HashMap, HashSet};
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

/// Where a listener is: a namespace, by its name and by which one it is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Place {
    /// The namespace as it is named.
    pub namespace: NamespaceRef,
    /// Which one it is: one that was made anew under the name is another.
    pub id: NamespaceId,
}

/// A resource with a front.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Door {
    /// The name of the resource.
    pub name: String,
    /// Its number.
    pub resource: ResourceId,
    /// Its DNS name.
    pub host: String,
    /// The service address.
    pub address: Ipv4Addr,
    /// Its words.
    pub dialect: Dialect,
    /// The namespace of the service.
    pub namespace: NamespaceRef,
    /// The ports, and the server behind.
    pub front: ServiceFront,
}

impl Door {
    /// Returns every name of the resource: a storage account has one for each of its services, and
    /// those of its secondary.
    fn hosts(&self) -> Vec<String> {
        const SERVICES: [&str; 6] = ["blob", "dfs", "file", "queue", "table", "web"];
        let Some(host) = host_name(&self.host) else {
            return Vec::new();
        };
        let mut labels = host.splitn(3, '.');
        let parts = (labels.next(), labels.next(), labels.next());
        match parts {
            (Some(account), Some(service), Some(rest))
                if self.dialect == Dialect::Storage && SERVICES.contains(&service) =>
            {
                let name = |service: &&str| {
                    ["", "-secondary"].map(|side| format!("{account}{side}.{service}.{rest}"))
                };
                SERVICES.iter().flat_map(name).collect()
            }
            _ => vec![host],
        }
    }
}

/// Why no door is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoDoor {
    /// The name is no resource's here.
    #[error("no resource here has that name")]
    UnknownName,
    /// There is no name, and no resource or more than one at the address.
    #[error("no name, and not one resource at the address")]
    NotOne,
}

/// What decides, and the names of what it decides by.
#[derive(Clone, Debug, Default)]
pub struct Judge {
    /// The rules.
    pub table: Arc<AccessTable>,
    /// The names of network rules.
    pub rules: HashMap<AccessRuleId, String>,
    /// The names of subnets, as `vnet/subnet`.
    pub subnets: HashMap<SubnetId, String>,
}

impl Judge {
    /// Decides about a call.
    #[must_use]
    pub fn decide(&self, caller: &Caller, resource: ResourceId) -> Ruling {
        let caller = match *caller {
            Caller::Public(address) => policy::Caller::Public(address),
            Caller::Subnet { identity, address } => policy::Caller::Subnet {
                vnet: identity.vnet,
                subnet: identity.subnet,
                address,
            },
        };
        self.table.decide(&caller, resource)
    }

    /// Returns the name of the caller's subnet.
    #[must_use]
    pub fn subnet(&self, caller: &Caller) -> Option<&str> {
        match caller {
            Caller::Public(_) => None,
            Caller::Subnet { identity, .. } => {
                let named = self.subnets.get(&(identity.vnet, identity.subnet));
                named.map(String::as_str)
            }
        }
    }

    /// Returns the name of the rule that decided.
    #[must_use]
    pub fn rule(&self, ruling: Ruling) -> Option<&str> {
        self.rules.get(&ruling.rule()?).map(String::as_str)
    }
}

impl From<DeniedBy> for Cause {
    fn from(by: DeniedBy) -> Self {
        match by {
            DeniedBy::PublicAccessDisabled => Self::PublicAccessDisabled,
            DeniedBy::EndpointPolicy => Self::EndpointPolicy,
            DeniedBy::NoSuchResource
            | DeniedBy::NetworkRules { .. }
            | DeniedBy::HiddenSource { .. } => Self::NetworkRules,
        }
    }
}

/// The doors of a policy.
#[derive(Clone, Debug, Default)]
pub struct Doors {
    doors: Vec<Arc<Door>>,
    by_host: HashMap<(NamespaceRef, String), Arc<Door>>,
    by_address: HashMap<(NamespaceRef, Ipv4Addr), Vec<Arc<Door>>>,
    /// What decides about calls.
    pub judge: Judge,
}

impl Doors {
    /// Indexes doors. Of two with one name in a namespace the first counts.
    #[must_use]
    pub fn new(doors: impl IntoIterator<Item = Door>, judge: Judge) -> Self {
        let mut index = Self {
            judge,
            ..Self::default()
        };
        for door in doors.into_iter().map(Arc::new) {
            for host in door.hosts() {
                let key = (door.namespace.clone(), host);
                index
                    .by_host
                    .entry(key)
                    .or_insert_with(|| Arc::clone(&door));
            }
            let key = (door.namespace.clone(), door.address);
            let at = index.by_address.entry(key).or_default();
            at.push(Arc::clone(&door));
            index.doors.push(door);
        }
        index
    }

    /// Returns every door.
    pub fn iter(&self) -> impl Iterator<Item = &Door> {
        self.doors.iter().map(AsRef::as_ref)
    }

    /// Returns where listeners are needed.
    #[must_use]
    pub fn sockets(&self) -> HashSet<(NamespaceRef, u16)> {
        let sockets = |door: &Arc<Door>| {
            let namespace = door.namespace.clone();
            let ports = door.front.ports.clone().into_iter();
            ports.map(move |(port, _)| (namespace.clone(), port))
        };
        self.doors.iter().flat_map(sockets).collect()
    }

    /// Returns what is spoken at an address and port; `None` if no resource is there. A resource
    /// that is called at another's address is found by its name, so the others of the port count
    /// where the address has none.
    #[must_use]
    pub fn protocol(&self, namespace: &NamespaceRef, ends: &Ends) -> Option<Protocol> {
        let here = self.at(namespace, ends);
        let mut here = here.filter_map(|door| door.front.protocol(ends.port));
        here.next()
    }

    /// Returns how long nothing may pass over a connection to an address and port.
    #[must_use]
    pub fn idle_timeout(&self, namespace: &NamespaceRef, ends: &Ends) -> Duration {
        let here = self
            .at(namespace, ends)
            .map(|door| door.front.idle_timeout(ends.port));
        here.min().unwrap_or_else(|| Protocol::Tls.idle_timeout())
    }

    /// Returns the door that a call is for: by its name, which outranks the address, or by the
    /// address if one resource has it.
    ///
    /// # Errors
    ///
    /// There is no such door.
    pub fn find(
        &self,
        namespace: &NamespaceRef,
        ends: &Ends,
        name: Option<&str>,
    ) -> Result<Arc<Door>, NoDoor> {
        if let Some(name) = name {
            let key = (namespace.clone(), name.to_owned());
            let door = self.by_host.get(&key);
            let door = door.filter(|door| door.front.protocol(ends.port).is_some());
            return door.cloned().ok_or(NoDoor::UnknownName);
        }
        let mut here = self.at(namespace, ends);
        match (here.next(), here.next()) {
            (Some(door), None) => Ok(Arc::clone(door)),
            _ => Err(NoDoor::NotOne),
        }
    }

    /// Returns the doors at an address and port.
    fn at<'d>(
        &'d self,
        namespace: &NamespaceRef,
        ends: &'d Ends,
    ) -> impl Iterator<Item = &'d Arc<Door>> {
        let key = (namespace.clone(), ends.vip);
        let doors = self.by_address.get(&key).into_iter().flatten();
        doors.filter(|door| door.front.protocol(ends.port).is_some())
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use postern_network::model::Backend;

    pub(in crate::front) const VIP: Ipv4Addr = Ipv4Addr::new(20, 60, 16, 5);

    pub(in crate::front) fn door(name: &str, resource: u32, address: Ipv4Addr) -> Door {
        Door {
            name: name.to_owned(),
            resource: ResourceId(resource),
            host: format!("{name}.blob.core.windows.net"),
            address,
            dialect: Dialect::Storage,
            namespace: "svc".parse().unwrap(),
            front: ServiceFront {
                ports: vec![(443, Protocol::Tls)],
                terminates: false,
                idle: None,
                backend: Backend {
                    address: Ipv4Addr::LOCALHOST.into(),
                    port: Some(1),
                    namespace: None,
                    proxy_protocol: false,
                    tls: false,
                },
            },
        }
    }

    fn ends(vip: Ipv4Addr, port: u16) -> Ends {
        Ends {
            caller: Caller::Public(Ipv4Addr::new(20, 0, 0, 9)),
            caller_port: 1,
            vip,
            port,
        }
    }

    fn find(doors: &Doors, ends: Ends, name: Option<&str>) -> Result<String, NoDoor> {
        let svc = "svc".parse().unwrap();
        let door = doors.find(&svc, &ends, name);
        door.map(|door| door.name.clone())
    }

    #[test]
    fn a_name_outranks_the_address() {
        let other = Ipv4Addr::new(20, 60, 16, 6);
        let doors = [door("a", 1, VIP), door("b", 2, other)];
        let doors = Doors::new(doors, Judge::default());
        let call = ends(VIP, 443);
        for (name, found) in [
            ("a.blob.core.windows.net", Ok("a".to_owned())),
            ("b.blob.core.windows.net", Ok("b".to_owned())),
            ("b-secondary.table.core.windows.net", Ok("b".to_owned())),
            ("b.blob.core.windows.org", Err(NoDoor::UnknownName)),
            ("c.blob.core.windows.net", Err(NoDoor::UnknownName)),
        ] {
            assert_eq!(find(&doors, call, Some(name)), found, "{name}");
        }
        assert_eq!(find(&doors, call, None), Ok("a".to_owned()));
        assert_eq!(find(&doors, ends(VIP, 80), None), Err(NoDoor::NotOne));
    }

    #[test]
    fn an_address_of_two_tells_neither() {
        let doors = Doors::new([door("a", 1, VIP), door("b", 2, VIP)], Judge::default());
        assert_eq!(find(&doors, ends(VIP, 443), None), Err(NoDoor::NotOne));
        let name = Some("b.file.core.windows.net");
        assert_eq!(find(&doors, ends(VIP, 443), name), Ok("b".to_owned()));
    }

    #[test]
    fn another_namespace_is_another_world() {
        let doors = Doors::new([door("a", 1, VIP)], Judge::default());
        let name = Some("a.blob.core.windows.net");
        let call = ends(VIP, 443);
        let other = "other".parse().unwrap();
        assert_eq!(doors.find(&other, &call, name), Err(NoDoor::UnknownName));
        assert_eq!(doors.protocol(&other, &call), None);
        assert_eq!(doors.sockets().len(), 1);
    }
}
