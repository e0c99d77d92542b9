//! Service endpoints of a subnet: others stay as they are.

use postern_arm::error::ArmError;
use postern_arm::estate::{Conditions, Stage};
use postern_arm::id::ResourceId;
use postern_network::catalog::Catalog;
use postern_network::model::{Model, ModelError};
use serde_json::{Value, json};

/// A switch of endpoints, as the command line names them.
#[derive(Debug)]
pub(super) struct Switch {
    pub(super) vnet: String,
    pub(super) subnet: String,
    pub(super) services: Vec<String>,
    pub(super) on: bool,
}

impl Switch {
    /// Returns the services of the subnet after the switch; none if it changes nothing.
    ///
    /// # Errors
    ///
    /// There is no such subnet or service, or the endpoints cannot be so.
    pub(super) fn outcome(
        &self,
        model: &Model,
        catalog: &Catalog,
    ) -> Result<Option<Vec<&'static str>>, ModelError> {
        let mut next = model.clone();
        let mut changed = false;
        for service in &self.services {
            changed |= next.set_endpoint(&self.vnet, &self.subnet, service, self.on, catalog)?;
        }
        if !changed {
            return Ok(None);
        }
        let vnet = next.vnet(&self.vnet);
        let subnet = vnet.and_then(|vnet| {
            let mut subnets = vnet.subnets.iter();
            subnets.find(|subnet| subnet.name.eq_ignore_ascii_case(&self.subnet))
        });
        Ok(subnet.map(|subnet| {
            let services = subnet.service_endpoints.iter();
            services.map(|service| service.name).collect()
        }))
    }

    /// Gives the subnet these endpoints.
    ///
    /// # Errors
    ///
    /// The subnet cannot be so.
    pub(super) fn stage(&self, stage: &mut Stage, services: &[&str]) -> Result<(), ArmError> {
        let is_ours = |id: &ResourceId| id.is("Microsoft.Network/virtualNetworks");
        let found = stage.estate().documents().find(|document| {
            is_ours(&document.id) && document.alias.eq_ignore_ascii_case(&self.vnet)
        });
        let missing = || {
            let name = format!("{}/{}", self.vnet, self.subnet);
            ArmError::new(404, "NotFound", format!("{name}: no such subnet"))
        };
        let vnet = found.ok_or_else(missing)?;
        let (id, origin) = (vnet.id.child("subnets", &self.subnet), vnet.origin);
        let mut subnet = stage.estate().show(&id).ok_or_else(missing)?;
        let properties = subnet.get_mut("properties").and_then(Value::as_object_mut);
        let properties = properties.ok_or_else(missing)?;
        let old = properties.get("serviceEndpoints").and_then(Value::as_array);
        let name = |endpoint: &Value| {
            let name = endpoint.get("service").and_then(Value::as_str);
            name.unwrap_or_default().to_ascii_lowercase()
        };
        let old = old.cloned().unwrap_or_default();
        let endpoint = |service: &&str| {
            let mut old = old.iter();
            let known = old.find(|old| name(old).eq_ignore_ascii_case(service));
            known
                .cloned()
                .unwrap_or_else(|| json!({ "service": service }))
        };
        let endpoints = services.iter().map(endpoint).collect();
        properties.insert("serviceEndpoints".to_owned(), Value::Array(endpoints));
        stage.put(&id, subnet, &Conditions::none(), origin)?;
        Ok(())
    }
}
