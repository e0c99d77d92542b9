//! What a POST to a resource asks of the running fabric: the diagnostics of NICs and network watchers.

use crate::fabric::{Fabric, Host};
use crate::protocol::verify::{FlowDirection, FlowProtocol, FlowTuple};
use postern_arm::error::ArmError;
use postern_arm::estate::Estate;
use postern_arm::id::ResourceId;
use postern_network::diagnose::{effective_routes, next_hop};
use postern_network::model::NetworkInterface;
use postern_network::spelling::json::{self, Object};
use postern_network::spelling::{Ids, kinds};
use serde_json::{Value, json};
use std::net::{Ipv4Addr, SocketAddrV4};

const VM: &str = "Microsoft.Compute/virtualMachines";
const WATCHER: &str = "Microsoft.Network/networkWatchers";

/// What Azure says in the place of a route table for a route of the platform.
const SYSTEM_ROUTE: &str = "System Route";

const AN_ADDRESS: &str = "an IPv4 address";
const A_TARGET: &str = "the resource ID of a virtual machine or of a network interface";

/// Answers a POST to a resource, such as `effectiveRouteTable` of a NIC.
///
/// # Errors
///
/// There is no such resource or action, or its body is not as it must be.
pub fn action<H: Host>(
    fabric: &Fabric<H>,
    estate: &Estate,
    id: &ResourceId,
    action: &str,
    body: &Value,
) -> Result<Value, ArmError> {
    let asked = Asked { fabric, estate };
    let empty = Object::new();
    let body = body.as_object().unwrap_or(&empty);
    let is = |kind, name: &str| id.is(kind) && action.eq_ignore_ascii_case(name);
    if is(kinds::NIC.arm, "effectiveRouteTable") {
        asked.routes(asked.nic(id)?)
    } else if is(kinds::NIC.arm, "effectiveNetworkSecurityGroups") {
        asked.groups(asked.nic(id)?)
    } else if is(WATCHER, "nextHop") {
        asked.next_hop(body)
    } else if is(WATCHER, "ipFlowVerify") {
        asked.verify(body)
    } else {
        let message = format!(
            "{} has no action {action}; accepted: effectiveRouteTable and \
             effectiveNetworkSecurityGroups of {}, nextHop and ipFlowVerify of {WATCHER}",
            id.kind(),
            kinds::NIC.arm
        );
        Err(ArmError::new(404, "InvalidResourceType", message))
    }
}

/// The running fabric and the resources behind it.
struct Asked<'f, H: Host> {
    fabric: &'f Fabric<H>,
    estate: &'f Estate,
}

impl<'f, H: Host> Asked<'f, H> {
    /// Returns the NIC behind a resource.
    fn nic(&self, id: &ResourceId) -> Result<&'f NetworkInterface, ArmError> {
        let document = self.estate.document(id);
        let found = document.and_then(|document| self.fabric.model().nic(&document.alias));
        found.ok_or_else(|| {
            let message = format!(
                "The Resource '{}' under resource group '{}' was not found.",
                id.kind() + "/" + id.name(),
                id.scope.group().unwrap_or_default()
            );
            ArmError::new(404, "ResourceNotFound", message)
        })
    }

    fn routes(&self, nic: &NetworkInterface) -> Result<Value, ArmError> {
        let (model, learned) = (self.fabric.model(), self.fabric.learned());
        let routes = effective_routes(model, learned, self.fabric.catalog(), nic);
        serde_json::to_value(routes).map_err(|error| internal(&error))
    }

    /// Returns the groups that act on a NIC, with IDs in the place of names.
    fn groups(&self, nic: &NetworkInterface) -> Result<Value, ArmError> {
        let ids = Ids::new(self.estate);
        let groups = self.fabric.effective_nsgs(&nic.name);
        let mut groups = groups.map_err(|error| internal(&error))?;
        for group in &mut groups.value {
            let nsg = &mut group.network_security_group.id;
            *nsg = ids.named(kinds::NSG.arm, nsg);
            if let Some(subnet) = &mut group.association.subnet {
                subnet.id = ids.subnet(&subnet.id);
            }
            if let Some(nic) = &mut group.association.network_interface {
                nic.id = ids.named(kinds::NIC.arm, &nic.id);
            }
        }
        serde_json::to_value(groups).map_err(|error| internal(&error))
    }

    fn next_hop(&self, body: &Object) -> Result<Value, ArmError> {
        let source = address(body, "sourceIPAddress")?;
        let destination = address(body, "destinationIPAddress")?;
        let nic = self.target(body, source)?;
        let (model, learned) = (self.fabric.model(), self.fabric.learned());
        let hop = next_hop((model, learned), self.fabric.catalog(), nic, destination);
        let hop = hop.ok_or_else(|| internal(&"the NIC is in no subnet"))?;
        let ids = Ids::new(self.estate);
        let table = hop
            .route_table
            .map(|table| ids.named(kinds::ROUTE_TABLE.arm, &table));
        let mut answer = json!({ "nextHopType": hop.kind });
        if let (Some(address), Some(answer)) = (hop.address, answer.as_object_mut()) {
            answer.insert("nextHopIpAddress".to_owned(), address.to_string().into());
        }
        if let Some(answer) = answer.as_object_mut() {
            let table = table.unwrap_or_else(|| SYSTEM_ROUTE.to_owned());
            answer.insert("routeTableId".to_owned(), table.into());
        }
        Ok(answer)
    }

    fn verify(&self, body: &Object) -> Result<Value, ArmError> {
        let local = address(body, "localIPAddress")?;
        let remote = address(body, "remoteIPAddress")?;
        let directions = [
            ("Inbound", FlowDirection::Inbound),
            ("Outbound", FlowDirection::Outbound),
        ];
        let protocols = [("TCP", FlowProtocol::Tcp), ("UDP", FlowProtocol::Udp)];
        let flow = FlowTuple {
            direction: choice(body, "direction", directions, "Inbound or Outbound")?,
            protocol: choice(body, "protocol", protocols, "TCP or UDP")?,
            local: SocketAddrV4::new(local, port(body, "localPort")?),
            remote: SocketAddrV4::new(remote, port(body, "remotePort")?),
        };
        let nic = self.target(body, local)?;
        if nic.private_address != local {
            let accepted = format!("the address of {}, {}", nic.name, nic.private_address);
            return Err(of_body("localIPAddress", &accepted, body));
        }
        let verdict = self.fabric.verify_flow(&nic.name, &flow);
        let verdict = verdict.map_err(|error| internal(&error))?;
        serde_json::to_value(verdict).map_err(|error| internal(&error))
    }

    /// Returns the NIC that a question is about: one that it names, or that NIC of the virtual machine
    /// which has the address, else its primary one.
    fn target(&self, body: &Object, address: Ipv4Addr) -> Result<&'f NetworkInterface, ArmError> {
        let named = |key| json::text(body, key).and_then(|id| id.parse::<ResourceId>().ok());
        if let Some(nic) = named("targetNicResourceId") {
            return self.nic(&nic);
        }
        let wrong = || of_body("targetResourceId", A_TARGET, body);
        let target = named("targetResourceId").ok_or_else(wrong)?;
        if target.is(kinds::NIC.arm) {
            return self.nic(&target);
        }
        let machine = self.estate.document(&target).filter(|_| target.is(VM));
        let machine = machine.ok_or_else(wrong)?;
        let profile = json::object(json::properties(&machine.body), "networkProfile");
        let nics = profile
            .into_iter()
            .flat_map(|it| json::objects(it, "networkInterfaces"));
        let mut found: Vec<(bool, &NetworkInterface)> = Vec::new();
        for nic in nics {
            let id = json::text(nic, "id").and_then(|id| id.parse().ok());
            let is_primary = json::field(json::properties(nic), "primary");
            let is_primary = is_primary.and_then(Value::as_bool) == Some(true);
            found.push((is_primary, self.nic(&id.ok_or_else(wrong)?)?));
        }
        let with_address = found.iter().find(|(_, nic)| nic.private_address == address);
        let primary = || found.iter().find(|(is_primary, _)| *is_primary);
        let chosen = with_address.or_else(primary).or_else(|| found.first());
        chosen.map(|(_, nic)| *nic).ok_or_else(wrong)
    }
}

fn address(body: &Object, key: &str) -> Result<Ipv4Addr, ArmError> {
    let parsed = json::text(body, key).and_then(|text| text.parse().ok());
    parsed.ok_or_else(|| of_body(key, AN_ADDRESS, body))
}

/// Reads a port, which Azure has as a text.
fn port(body: &Object, key: &str) -> Result<u16, ArmError> {
    let number = match json::field(body, key) {
        Some(Value::String(text)) => text.trim().parse().ok(),
        Some(Value::Number(number)) => number.as_u64().and_then(|it| u16::try_from(it).ok()),
        _ => None,
    };
    number.ok_or_else(|| of_body(key, "a port from 0 to 65535", body))
}

fn choice<T: Copy>(
    body: &Object,
    key: &str,
    choices: [(&str, T); 2],
    accepted: &str,
) -> Result<T, ArmError> {
    let text = json::text(body, key).unwrap_or_default();
    let mut choices = choices.iter();
    let found = choices.find(|(name, _)| name.eq_ignore_ascii_case(text));
    found
        .map(|(_, choice)| *choice)
        .ok_or_else(|| of_body(key, accepted, body))
}

fn internal(error: &impl std::fmt::Display) -> ArmError {
    ArmError::new(500, "InternalServerError", error.to_string())
}

/// Returns an error for a property of a request's body that is not there or not as it must be.
fn of_body(property: &str, accepted: &str, body: &Object) -> ArmError {
    let message = match json::field(body, property) {
        Some(value) => format!("{property} = {value}: accepted: {accepted}"),
        None => format!("{property}: missing; accepted: {accepted}"),
    };
    ArmError::bad_request("InvalidRequestFormat", message).at(property)
}
