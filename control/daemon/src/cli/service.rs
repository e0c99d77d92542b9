//! `postern service list|show|log`.

use super::client::Client;
use super::output::{Format, print, print_json};
use super::table::Table;
use super::{CliError, ReadArgs};
use crate::protocol::Request;
use crate::protocol::front::CallView;
use crate::protocol::service::ServiceView;
use clap::{Args, Subcommand};

/// What to ask about services.
#[derive(Debug, Subcommand)]
pub(super) enum ServiceVerb {
    /// List the services, as ARM resources
    List(ReadArgs),
    /// Show one service, its network rules and what became of each
    Show(NameArgs),
    /// Show the last calls of a service, and by which rule each was decided
    Log(NameArgs),
}

/// Arguments of `show` and `log`.
#[derive(Debug, Args)]
pub(super) struct NameArgs {
    /// The service
    name: String,
    #[command(flatten)]
    read: ReadArgs,
}

/// Asks about services.
pub(super) fn service(verb: &ServiceVerb, client: &mut Client) -> Result<(), CliError> {
    match verb {
        ServiceVerb::List(args) => list(args, client),
        ServiceVerb::Show(args) => show(args, client),
        ServiceVerb::Log(args) => log(args, client),
    }
}

fn list(args: &ReadArgs, client: &mut Client) -> Result<(), CliError> {
    let services: Vec<ServiceView> = client.ask_for(&Request::ServiceList)?;
    match args.output {
        Format::Json => print_json(&services)?,
        Format::Table => print(table_of(services))?,
    }
    Ok(())
}

fn show(args: &NameArgs, client: &mut Client) -> Result<(), CliError> {
    let name = args.name.clone();
    let service: ServiceView = client.ask_for(&Request::ServiceShow { name })?;
    match args.read.output {
        Format::Json => print_json(&service)?,
        Format::Table => print(rules_of(service))?,
    }
    Ok(())
}

fn table_of(services: Vec<ServiceView>) -> Table {
    let header = [
        "NAME", "TYPE", "LOCATION", "ADDRESS", "HOST", "FRONT", "RULES", "DEFAULT",
    ];
    let mut table = Table::new(header).right(&["RULES"]);
    for service in services {
        let own = service.postern;
        table.row([
            service.name,
            service.kind,
            service.location,
            own.address,
            own.host,
            if own.has_front { "yes" } else { "no" }.to_owned(),
            own.rules.len().to_string(),
            own.otherwise,
        ]);
    }
    table
}

/// Returns the rules in the order in which they decide; the last row is the default.
fn rules_of(service: ServiceView) -> Table {
    let mut table = Table::new(["RULE", "WHO", "ACCESS", "STATE"]);
    let access = service.properties.get("publicNetworkAccess");
    if access.is_some_and(|access| access == "Disabled") {
        let cells = ["publicNetworkAccess", "Any", "Deny", "Disabled"];
        table.row(cells.map(str::to_owned));
    }
    for rule in service.postern.rules {
        table.row([rule.name, rule.who, rule.access, rule.state]);
    }
    let otherwise = service.postern.otherwise;
    table.row([
        "default".to_owned(),
        "Any".to_owned(),
        otherwise,
        String::new(),
    ]);
    table
}

fn log(args: &NameArgs, client: &mut Client) -> Result<(), CliError> {
    let name = args.name.clone();
    let calls: Vec<CallView> = client.ask_for(&Request::ServiceLog { name })?;
    match args.read.output {
        Format::Json => print_json(&calls)?,
        Format::Table => print(describe(calls))?,
    }
    Ok(())
}

fn describe(calls: Vec<CallView>) -> Table {
    let header = [
        "TIME", "VERDICT", "REASON", "RULE", "CALLER", "FROM", "HOST", "PORT",
    ];
    let mut table = Table::new(header);
    for call in calls {
        table.row([
            call.time,
            call.verdict,
            call.reason,
            call.rule.unwrap_or_default(),
            call.caller,
            call.raw_address,
            call.host.unwrap_or_default(),
            call.port.to_string(),
        ]);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::service::{OwnView, RuleView};
    use serde_json::json;

    fn account(access: &str) -> ServiceView {
        ServiceView {
            id: String::new(),
            name: "contoso".to_owned(),
            kind: "Microsoft.Storage/storageAccounts".to_owned(),
            location: "koreacentral".to_owned(),
            properties: json!({ "publicNetworkAccess": access }),
            postern: OwnView {
                service: "Microsoft.Storage".to_owned(),
                address: "20.60.16.5".to_owned(),
                host: "contoso.blob.core.windows.net".to_owned(),
                namespace: "svc".to_owned(),
                delivery: "st6".to_owned(),
                has_front: true,
                otherwise: "Deny".to_owned(),
                rules: vec![RuleView {
                    name: "virtualNetworkRules/VNet1/subnet1".to_owned(),
                    who: "VNet1/subnet1".to_owned(),
                    access: "Allow".to_owned(),
                    state: "NetworkSourceDeleted".to_owned(),
                }],
            },
        }
    }

    fn words(table: &Table) -> Vec<Vec<String>> {
        let words = |line: &str| line.split_whitespace().map(str::to_owned).collect();
        table.to_string().lines().skip(1).map(words).collect()
    }

    #[test]
    fn rules_are_shown_in_order_with_their_states_and_the_default_last() {
        let rule = [
            "virtualNetworkRules/VNet1/subnet1",
            "VNet1/subnet1",
            "Allow",
            "NetworkSourceDeleted",
        ];
        let default = ["default", "Any", "Deny", "-"];
        assert_eq!(
            words(&rules_of(account("Enabled"))),
            [&rule[..], &default[..]]
        );
        let closed = words(&rules_of(account("Disabled")));
        assert_eq!(
            closed[0],
            ["publicNetworkAccess", "Any", "Deny", "Disabled"]
        );
        assert_eq!(closed.len(), 3);
    }

    #[test]
    fn a_service_is_one_row_of_the_list() {
        assert_eq!(
            words(&table_of(vec![account("Enabled")])),
            [[
                "contoso",
                "Microsoft.Storage/storageAccounts",
                "koreacentral",
                "20.60.16.5",
                "contoso.blob.core.windows.net",
                "yes",
                "1",
                "Deny",
            ]]
        );
    }
}
