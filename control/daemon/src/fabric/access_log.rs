//! What the packet path decided about a resource that has no front, as calls are shown.

use super::callers::Callers;
use super::read::ReadError;
use super::{Fabric, LinuxHost};
use crate::protocol::front::CallView;
use crate::protocol::view::DecisionsView;
use postern_dataplane::engine::{AccessEvent, Engine, merged_access};
use postern_dataplane::identity::Identity;
use postern_dataplane::policy::{Caller, SubnetId};
use postern_dataplane::stats::Counters;
use postern_host::front::date::Date;
use postern_host::front::log::why;
use postern_network::compile::Names;
use postern_network::model::{Model, ServiceDelivery, ServiceInstance};
use std::net::IpAddr;
use std::time::SystemTime;

impl Fabric<LinuxHost> {
    /// Returns the last decisions of the packet path on a service, oldest first.
    ///
    /// # Errors
    ///
    /// The worker has ended.
    pub(super) fn decisions(&self, service: &ServiceInstance) -> Result<Vec<CallView>, ReadError> {
        let Some(resource) = self.names.resource_id(&service.id()) else {
            return Ok(Vec::new());
        };
        let look = move |engine: &Engine| {
            let events: Vec<_> = engine.access_log(Some(resource)).copied().collect();
            (events, engine.now())
        };
        let logs = self.host.worker().query(look)?;
        let now = logs.iter().map(|&(_, now)| now).max().unwrap_or_default();
        let events = merged_access(logs.into_iter().map(|(events, _)| events));
        let (wall, callers) = (SystemTime::now(), self.callers());
        let views = events.iter().map(|event| {
            let at = wall.checked_sub(now.since(event.at)).unwrap_or(wall);
            let raw = match event.caller {
                Caller::Subnet { vnet, subnet, .. } => self.raw(service, (vnet, subnet), event),
                Caller::Public(address) => address.into(),
            };
            decision(event, at, raw, (&self.names, &callers))
        });
        Ok(views.collect())
    }

    /// Returns the address that the service sees, or would have seen.
    fn raw(&self, service: &ServiceInstance, id: SubnetId, event: &AccessEvent) -> IpAddr {
        let address = event.caller.address();
        let keys = self.numbers.keys();
        let mut vnets = self.model.vnets.iter();
        let vnet = vnets.find(|vnet| {
            let mut subnets = vnet.subnets.iter();
            subnets.any(|subnet| keys.subnet(&vnet.name, &subnet.name) == Some(id))
        });
        match vnet {
            Some(vnet) if service.delivery == ServiceDelivery::St6 => {
                let identity = Identity {
                    vnet: id.0,
                    subnet: id.1,
                    region: self.catalog.region_id(&vnet.location),
                };
                identity.address(address).into()
            }
            _ => address.into(),
        }
    }
}

/// Returns the counts of the services without a front, in the order of the model.
pub(super) fn decided(model: &Model, names: &Names, counters: &Counters) -> Vec<DecisionsView> {
    let services = model.services.iter();
    let without = services.filter(|service| service.front.is_none());
    let counted = without.filter_map(|service| {
        let counts = counters.resource(names.resource_id(&service.id())?);
        Some(DecisionsView {
            name: service.name.clone(),
            allowed: counts.allowed,
            audited: counts.audited,
            denied_by_rules: counts.denied_by_rules,
            denied_by_policy: counts.denied_by_policy,
        })
    });
    counted.collect()
}

/// Returns a decision as a call. The packet path knows neither the host nor, once it is over, the
/// port that the caller had.
fn decision(
    event: &AccessEvent,
    at: SystemTime,
    raw: IpAddr,
    (names, callers): (&Names, &Callers),
) -> CallView {
    let address = event.caller.address();
    let caller = match event.caller.subnet() {
        Some(subnet) => callers.name(subnet, address),
        None => address.to_string(),
    };
    let verdict = if event.ruling.is_allowed() {
        "Allow"
    } else {
        "Deny"
    };
    let rule = event.ruling.rule().and_then(|rule| names.access_rule(rule));
    CallView {
        time: Date::of(at).to_string(),
        verdict: verdict.to_owned(),
        reason: why(event.ruling).to_owned(),
        rule: rule.map(str::to_owned),
        caller,
        caller_ip_address: address.to_string(),
        raw_address: raw.to_string(),
        host: None,
        port: event.destination.port(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::moment;
    use postern_dataplane::policy::{DeniedBy, Epoch, ResourceId, Ruling};
    use postern_dataplane::time::Now;
    use postern_network::catalog::Catalog;
    use postern_network::compile::{PortNumbers, compile};
    use postern_network::config;
    use postern_network::keys::Keys;
    use std::net::{Ipv4Addr, SocketAddrV4};
    use std::path::Path;

    #[test]
    fn a_decision_reads_as_a_call() {
        let address = Ipv4Addr::new(198, 51, 100, 8);
        let event = AccessEvent {
            at: Now::from_millis(1),
            resource: ResourceId(0),
            caller: Caller::Public(address),
            destination: SocketAddrV4::new(Ipv4Addr::new(52, 231, 17, 4), 5432),
            protocol: 6,
            ruling: Ruling::Deny(DeniedBy::NetworkRules { rule: None }),
        };
        let callers = Callers::of(&Model::default(), &Keys::default());
        let names = Names::default();
        let view = decision(&event, moment(), address.into(), (&names, &callers));
        let told = [&view.verdict, &view.reason, &view.caller, &view.raw_address];
        assert_eq!(
            told,
            ["Deny", "defaultAction", "198.51.100.8", "198.51.100.8"]
        );
        assert_eq!((view.port, view.rule, view.host), (5432, None, None));
        assert_eq!(view.time, Date::of(moment()).to_string());
    }

    #[test]
    fn services_without_a_front_have_counts() {
        let catalog = Catalog::bundled().unwrap();
        let path = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../../config/secured-service.toml"
        );
        let model = config::parse(
            Path::new(path),
            &std::fs::read_to_string(path).unwrap(),
            &catalog,
        );
        let model = model.unwrap();
        let mut numbers = PortNumbers::default();
        let compiled = compile(&model, &catalog, Epoch(1), &mut numbers).unwrap();
        let counts = decided(&model, &compiled.names, &Counters::default());
        let names: Vec<_> = counts.iter().map(|view| view.name.as_str()).collect();
        assert_eq!(names, ["orders"], "contoso has a front");
        assert_eq!(counts[0].allowed, 0);
    }
}
