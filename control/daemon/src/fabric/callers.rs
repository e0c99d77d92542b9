//! The names behind those who call services: subnets by their keys, resources and rules by number.

use super::Fabric;
use crate::protocol::view::{AdmissionView, IdentityView};
use postern_dataplane::engine::{Admission, Tunnel};
use postern_dataplane::identity::Identity;
use postern_dataplane::policy::{ResourceId, SubnetId};
use postern_network::compile::Names;
use postern_network::keys::Keys;
use postern_network::model::Model;
use std::collections::HashMap;
use std::net::Ipv4Addr;

/// The names of subnets, as `vnet/subnet`, by the keys that their packets carry.
pub(super) struct Callers(HashMap<SubnetId, String>);

impl Callers {
    /// Returns the names of the subnets of a model.
    pub(super) fn of(model: &Model, keys: &Keys) -> Self {
        let named = model.vnets.iter().flat_map(|vnet| {
            vnet.subnets.iter().filter_map(move |subnet| {
                let id = keys.subnet(&vnet.name, &subnet.name)?;
                Some((id, format!("{}/{}", vnet.name, subnet.name)))
            })
        });
        Self(named.collect())
    }

    /// Returns `vnet/subnet address`; a subnet that has left the model is told by its keys.
    pub(super) fn name(&self, subnet: SubnetId, address: Ipv4Addr) -> String {
        match self.0.get(&subnet) {
            Some(name) => format!("{name} {address}"),
            None => format!("{}/{} {address}", subnet.0.get(), subnet.1.get()),
        }
    }

    /// Returns what a service sees of a flow that reaches it with an identity.
    pub(super) fn identity(&self, ends: Tunnel) -> IdentityView {
        let caller = match Identity::parse(ends.client) {
            Ok((identity, address)) => self.name((identity.vnet, identity.subnet), address),
            // The engine wrote it, so that this is for completeness.
            Err(problem) => problem.to_string(),
        };
        IdentityView {
            caller,
            raw_address: ends.client.to_string(),
            raw_destination: ends.service.to_string(),
        }
    }
}

impl<H: super::Host> Fabric<H> {
    /// Returns the names of the subnets in force.
    pub(super) fn callers(&self) -> Callers {
        Callers::of(&self.model, self.numbers.keys())
    }
}

/// Returns how a resource let a flow in, by names.
pub(super) fn admission(how: Admission, names: &Names) -> AdmissionView {
    let rule = how.rule.map(|rule| {
        let removed = || format!("rule {} (removed)", rule.0);
        names.access_rule(rule).map_or_else(removed, str::to_owned)
    });
    AdmissionView {
        resource: resource_name(how.resource, names),
        rule,
        audited: how.audited,
    }
}

fn resource_name(resource: ResourceId, names: &Names) -> String {
    let removed = || format!("resource {} (removed)", resource.0);
    names.resource(resource).map_or_else(removed, str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use postern_dataplane::policy::Epoch;
    use postern_network::catalog::Catalog;
    use postern_network::compile::{PortNumbers, compile};
    use postern_network::config;
    use std::path::Path;

    const FILE: &str = r#"
location = "koreacentral"
[[virtualNetwork]]
name = "VNet1"
addressPrefixes = ["10.0.0.0/16"]
[[virtualNetwork.subnet]]
name = "subnet1"
addressPrefix = "10.0.1.0/24"
serviceEndpoints = ["Microsoft.Storage"]
[[service]]
name = "contoso"
service = "Microsoft.Storage"
namespace = "svc"
networkAcls = { defaultAction = "Deny", virtualNetworkRules = [{ id = "VNet1/subnet1" }] }
"#;

    #[test]
    fn an_identity_and_an_admission_are_told_by_names() {
        let catalog = Catalog::bundled().unwrap();
        let model = config::parse(Path::new("f.toml"), FILE, &catalog).unwrap();
        let mut numbers = PortNumbers::default();
        let compiled = compile(&model, &catalog, Epoch(1), &mut numbers).unwrap();
        let callers = Callers::of(&model, numbers.keys());
        let (vnet, subnet) = numbers.keys().subnet("VNet1", "subnet1").unwrap();
        let own = Identity {
            vnet,
            subnet,
            region: 26,
        };
        let ca = Ipv4Addr::new(10, 0, 1, 4);
        let service = "fd41:1:1a:2a3::143c:1005";
        let view = callers.identity(Tunnel {
            client: own.address(ca),
            service: service.parse().unwrap(),
        });
        assert_eq!(view.caller, "VNet1/subnet1 10.0.1.4");
        assert_eq!(view.raw_address, own.address(ca).to_string());
        assert_eq!(view.raw_destination, service);
        let gone = Callers(HashMap::new()).identity(Tunnel {
            client: "fd40:0:2a:7:1a:274:a00:104".parse().unwrap(),
            service: service.parse().unwrap(),
        });
        assert_eq!(gone.caller, "42/7 10.0.1.4");

        let id = model.services[0].id();
        let resource = compiled.names.resource_id(&id).unwrap();
        let rule = compiled.snapshot.access.resource(resource).unwrap();
        let how = Admission {
            resource,
            rule: Some(rule.rules.rules[0].id),
            audited: false,
        };
        let view = admission(how, &compiled.names);
        assert_eq!(view.resource, id.to_ascii_lowercase());
        assert_eq!(
            view.rule.as_deref(),
            Some("contoso/virtualNetworkRules/VNet1/subnet1")
        );
    }
}
