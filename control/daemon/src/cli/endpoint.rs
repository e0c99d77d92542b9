//! `postern endpoint add|remove|enable|disable|list`.

use super::client::Client;
use super::output::{Format, print, print_json};
use super::table::Table;
use super::{CliError, ReadArgs, apply};
use crate::protocol::Request;
use crate::protocol::view::EndpointView;
use clap::{Args, Subcommand};
use std::str::FromStr;

/// What to do with endpoints.
#[derive(Debug, Subcommand)]
pub(super) enum EndpointVerb {
    /// Add service endpoints to those of a subnet; the others stay
    Add(ChangeArgs),
    /// Remove service endpoints from those of a subnet; the others stay
    Remove(ChangeArgs),
    /// Switch a service endpoint on: the subnet's TCP reaches the service from private addresses
    Enable(SwitchArgs),
    /// Switch a service endpoint off: the subnet reaches the service from public addresses
    Disable(SwitchArgs),
    /// List the endpoints that are on
    List(ReadArgs),
}

/// Arguments of `enable` and `disable`.
#[derive(Debug, Args)]
pub(super) struct SwitchArgs {
    /// The subnet, as VNET/SUBNET
    #[arg(value_name = "VNET/SUBNET")]
    subnet: SubnetName,
    /// The service, such as Microsoft.Storage
    service: String,
    #[command(flatten)]
    read: ReadArgs,
}

/// Arguments of `add` and `remove`.
#[derive(Debug, Args)]
pub(super) struct ChangeArgs {
    /// The subnet, as VNET/SUBNET
    #[arg(value_name = "VNET/SUBNET")]
    subnet: SubnetName,
    /// The services, such as Microsoft.Storage Microsoft.Sql
    #[arg(required = true, value_name = "SERVICE")]
    services: Vec<String>,
    #[command(flatten)]
    read: ReadArgs,
}

/// A subnet as the command line names it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct SubnetName {
    vnet: String,
    subnet: String,
}

/// The text does not name a subnet.
#[derive(Debug, thiserror::Error)]
#[error("not a subnet; accepted: VNET/SUBNET, such as VNet1/subnet1")]
struct NotASubnet;

impl FromStr for SubnetName {
    type Err = NotASubnet;

    fn from_str(text: &str) -> Result<Self, NotASubnet> {
        match text.split_once('/') {
            Some((vnet, subnet))
                if !vnet.is_empty() && !subnet.is_empty() && !subnet.contains('/') =>
            {
                Ok(Self {
                    vnet: vnet.to_owned(),
                    subnet: subnet.to_owned(),
                })
            }
            _ => Err(NotASubnet),
        }
    }
}

/// Switches or lists endpoints.
pub(super) fn endpoint(verb: &EndpointVerb, client: &mut Client) -> Result<(), CliError> {
    match verb {
        EndpointVerb::Add(args) => change(args, true, client),
        EndpointVerb::Remove(args) => change(args, false, client),
        EndpointVerb::Enable(args) => switch(args, true, client),
        EndpointVerb::Disable(args) => switch(args, false, client),
        EndpointVerb::List(args) => list(args, client),
    }
}

fn change(args: &ChangeArgs, on: bool, client: &mut Client) -> Result<(), CliError> {
    let services = args.services.clone();
    ask(&args.subnet, services, on, &args.read, client)
}

fn switch(args: &SwitchArgs, on: bool, client: &mut Client) -> Result<(), CliError> {
    let services = vec![args.service.clone()];
    ask(&args.subnet, services, on, &args.read, client)
}

fn ask(
    subnet: &SubnetName,
    services: Vec<String>,
    on: bool,
    read: &ReadArgs,
    client: &mut Client,
) -> Result<(), CliError> {
    let SubnetName { vnet, subnet } = subnet.clone();
    let request = Request::Endpoint {
        vnet,
        subnet,
        services,
        on,
    };
    apply::change(client, &request, read.output)
}

fn list(args: &ReadArgs, client: &mut Client) -> Result<(), CliError> {
    let endpoints: Vec<EndpointView> = client.ask_for(&Request::EndpointList)?;
    if args.output == Format::Json {
        return Ok(print_json(&endpoints)?);
    }
    let header = ["SUBNET", "SERVICE", "LOCATIONS", "PREFIXES", "STATE"];
    let mut table = Table::new(header).right(&["PREFIXES"]);
    for endpoint in endpoints {
        table.row([
            format!("{}/{}", endpoint.virtual_network, endpoint.subnet),
            endpoint.service,
            endpoint.locations.join(","),
            endpoint.prefixes.to_string(),
            endpoint.provisioning_state,
        ]);
    }
    Ok(print(table)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subnet_is_named_by_two_names() {
        let name: SubnetName = "VNet1/subnet1".parse().unwrap();
        assert_eq!(
            name,
            SubnetName {
                vnet: "VNet1".to_owned(),
                subnet: "subnet1".to_owned()
            }
        );
        for text in ["", "/", "VNet1", "VNet1/", "/subnet1", "a/b/c"] {
            assert!(text.parse::<SubnetName>().is_err(), "{text:?}");
        }
    }
}
