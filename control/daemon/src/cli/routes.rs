//! `postern routes NIC` and `postern routes --learned`.

use super::client::Client;
use super::output::{Format, counted, print, print_json};
use super::table::Table;
use super::{CliError, ReadArgs};
use crate::protocol::Request;
use crate::protocol::view::LearnedView;
use clap::Args;
use serde::Deserialize;

/// Arguments of `routes`.
#[derive(Debug, Args)]
pub(super) struct RoutesArgs {
    /// The NIC
    #[arg(required_unless_present = "learned")]
    nic: Option<String>,
    /// Show what gateways have learned from routing daemons, instead of the routes of a NIC
    #[arg(long, conflicts_with_all = ["nic", "all"])]
    learned: bool,
    /// Show every prefix of a route, not the first few (tables only; JSON has them all)
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    read: ReadArgs,
}

/// How many prefixes of a route a table shows.
const FEW: usize = 3;

/// The part of Azure's effective-route answer that a table shows.
#[derive(Debug, Deserialize)]
struct Routes {
    value: Vec<Route>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Route {
    source: String,
    state: String,
    address_prefix: Vec<String>,
    next_hop_type: String,
    next_hop_ip_address: Vec<String>,
}

/// Prints the effective routes of a NIC, with the columns of `az network nic show-effective-route-table`,
/// or what gateways have learned.
pub(super) fn routes(args: &RoutesArgs, client: &mut Client) -> Result<(), CliError> {
    let Some(nic) = &args.nic else {
        return learned(args.read.output, client);
    };
    let answer = client.ask(&Request::Routes { nic: nic.clone() })?;
    if args.read.output == Format::Json {
        return Ok(print_json(&answer)?);
    }
    let routes: Routes = serde_json::from_value(answer).map_err(super::ClientError::from)?;
    Ok(print(table(&routes, args.all))?)
}

fn learned(format: Format, client: &mut Client) -> Result<(), CliError> {
    let learned: LearnedView = client.ask_for(&Request::LearnedRoutes)?;
    match format {
        Format::Json => print_json(&learned)?,
        Format::Table => print(describe(&learned))?,
    }
    Ok(())
}

fn describe(learned: &LearnedView) -> String {
    let mut text = String::new();
    for gateway in &learned.gateways {
        let left_out = match gateway.left_out {
            0 => String::new(),
            1 => " (1 more is left out)".to_owned(),
            count => format!(" ({count} more are left out)"),
        };
        text += &format!(
            "gateway {} of {}, {} of {}: {}{left_out}\n",
            gateway.name,
            gateway.virtual_network,
            gateway.source,
            gateway.namespace,
            counted(gateway.learned, "prefix"),
        );
    }
    let mut table =
        Table::new(["GATEWAY", "NETWORK", "NEXT HOP", "PROTOCOL", "METRIC"]).right(&["METRIC"]);
    for route in &learned.value {
        table.row([
            route.gateway.clone(),
            route.network.clone(),
            route.next_hop.clone().unwrap_or_default(),
            route.protocol.clone(),
            route.metric.to_string(),
        ]);
    }
    format!("{text}\n{table}")
}

fn table(routes: &Routes, all: bool) -> Table {
    let header = [
        "Source",
        "State",
        "Address Prefix",
        "Next Hop Type",
        "Next Hop IP",
    ];
    let mut table = Table::new(header);
    for route in &routes.value {
        table.row([
            route.source.clone(),
            route.state.clone(),
            prefixes(&route.address_prefix, all),
            route.next_hop_type.clone(),
            route.next_hop_ip_address.join(","),
        ]);
    }
    table
}

fn prefixes(prefixes: &[String], all: bool) -> String {
    match prefixes.get(..FEW) {
        Some(few) if !all && prefixes.len() > FEW => {
            format!("{} and {} more", few.join(","), prefixes.len() - FEW)
        }
        _ => prefixes.join(","),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn long_rows_are_cut_unless_all_is_asked_for() {
        let routes: Routes = serde_json::from_value(json!({"nextLink": null, "value": [
            {"name": null, "source": "Default", "state": "Active",
             "addressPrefix": ["10.0.0.0/16"], "nextHopType": "VnetLocal", "nextHopIpAddress": []},
            {"name": null, "source": "Default", "state": "Active",
             "addressPrefix": ["5.0.0.0/24", "4.0.0.0/24", "3.0.0.0/24", "2.0.0.0/24"],
             "nextHopType": "VirtualNetworkServiceEndpoint", "nextHopIpAddress": []}]}))
        .unwrap();
        let text = table(&routes, false).to_string();
        let rows: Vec<Vec<&str>> = text.lines().map(|row| row.split("  ").collect()).collect();
        assert_eq!(rows[0].first(), Some(&"Source"));
        assert!(rows[1].contains(&"10.0.0.0/16"), "{text}");
        assert!(
            rows[2].contains(&"5.0.0.0/24,4.0.0.0/24,3.0.0.0/24 and 1 more"),
            "{text}"
        );
        assert!(
            table(&routes, true)
                .to_string()
                .contains("3.0.0.0/24,2.0.0.0/24")
        );
    }
}
