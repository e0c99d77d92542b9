//! `postern nsg list|show|effective|verify`.

use super::client::Client;
use super::output::{Format, print, print_json};
use super::table::Table;
use super::{CliError, ClientError, ReadArgs};
use crate::protocol::Request;
use crate::protocol::nsg::{EffectiveNsg, EffectiveNsgs, EffectiveRule, NsgView, RuleView};
use crate::protocol::verify::{FlowDirection, FlowProtocol, FlowTuple, FlowVerdict};
use clap::{Args, Subcommand};
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::net::SocketAddrV4;

/// What to show of network security groups.
#[derive(Debug, Subcommand)]
pub(super) enum NsgVerb {
    /// List the groups and what they are associated with
    List(ReadArgs),
    /// Show the rules of one group
    Show(ShowArgs),
    /// Show the groups that act on a NIC, with tags expanded
    Effective(EffectiveArgs),
    /// Say whether the groups of a NIC let a packet pass, and by which rule
    Verify(VerifyArgs),
}

/// Arguments of `show`.
#[derive(Debug, Args)]
pub(super) struct ShowArgs {
    /// The group
    name: String,
    #[command(flatten)]
    read: ReadArgs,
}

/// Arguments of `effective`.
#[derive(Debug, Args)]
pub(super) struct EffectiveArgs {
    /// The NIC
    nic: String,
    #[command(flatten)]
    read: ReadArgs,
}

/// Arguments of `verify`.
#[derive(Debug, Args)]
pub(super) struct VerifyArgs {
    /// The NIC
    nic: String,
    /// Which way the packet goes, seen from the NIC
    #[arg(long, ignore_case = true)]
    direction: FlowDirection,
    /// The packet's protocol
    #[arg(long, ignore_case = true)]
    protocol: FlowProtocol,
    /// The NIC's address and port
    #[arg(long, value_name = "IP:PORT")]
    local: SocketAddrV4,
    /// The other address and port
    #[arg(long, value_name = "IP:PORT")]
    remote: SocketAddrV4,
    #[command(flatten)]
    read: ReadArgs,
}

/// Shows network security groups.
pub(super) fn nsg(verb: &NsgVerb, client: &mut Client) -> Result<(), CliError> {
    match verb {
        NsgVerb::List(args) => show(client.ask(&Request::NsgList)?, args.output, list),
        NsgVerb::Show(args) => {
            let answer = client.ask(&Request::NsgShow {
                name: args.name.clone(),
            })?;
            show(answer, args.read.output, rules)
        }
        NsgVerb::Effective(args) => {
            let answer = client.ask(&Request::NsgEffective {
                nic: args.nic.clone(),
            })?;
            show(answer, args.read.output, effective)
        }
        NsgVerb::Verify(args) => {
            let answer = client.ask(&Request::NsgVerify {
                nic: args.nic.clone(),
                flow: FlowTuple {
                    direction: args.direction,
                    protocol: args.protocol,
                    local: args.local,
                    remote: args.remote,
                },
            })?;
            show(answer, args.read.output, verdict)
        }
    }
}

fn show<T: DeserializeOwned>(
    answer: Value,
    format: Format,
    describe: impl FnOnce(&T) -> String,
) -> Result<(), CliError> {
    match format {
        Format::Json => print_json(&answer)?,
        Format::Table => {
            print(describe(
                &serde_json::from_value(answer).map_err(ClientError::from)?,
            ))?;
        }
    }
    Ok(())
}

fn verdict(verdict: &FlowVerdict) -> String {
    let FlowVerdict { access, rule_name } = verdict;
    let rule = rule_name.as_deref().unwrap_or("no rule");
    format!("{access} by {rule}\n")
}

// `show` hands over the type that the answer is read as.
#[allow(clippy::ptr_arg)]
fn list(nsgs: &Vec<NsgView>) -> String {
    let mut table = Table::new(["NAME", "RULES", "SUBNETS", "NICS"]).right(&["RULES"]);
    for nsg in nsgs {
        table.row([
            nsg.name.clone(),
            nsg.security_rules.len().to_string(),
            nsg.subnets.join(","),
            nsg.network_interfaces.join(","),
        ]);
    }
    table.to_string()
}

const RULE_HEADER: [&str; 9] = [
    "PRIORITY",
    "NAME",
    "DIRECTION",
    "ACCESS",
    "PROTOCOL",
    "SOURCE",
    "PORTS",
    "DESTINATION",
    "PORTS",
];

fn rules(nsg: &NsgView) -> String {
    let mut rules: Vec<_> = nsg
        .security_rules
        .iter()
        .chain(&nsg.default_security_rules)
        .collect();
    rules.sort_by(|a, b| (&a.direction, a.priority).cmp(&(&b.direction, b.priority)));
    let mut table = Table::new(RULE_HEADER).right(&["PRIORITY"]);
    for rule in rules {
        let RuleView {
            name,
            direction,
            access,
            protocol,
            ..
        } = rule.clone();
        table.row([
            rule.priority.to_string(),
            name,
            direction,
            access,
            protocol,
            one_or_many(
                rule.source_address_prefix.as_deref(),
                &rule.source_address_prefixes,
            ),
            one_or_many(rule.source_port_range.as_deref(), &rule.source_port_ranges),
            one_or_many(
                rule.destination_address_prefix.as_deref(),
                &rule.destination_address_prefixes,
            ),
            one_or_many(
                rule.destination_port_range.as_deref(),
                &rule.destination_port_ranges,
            ),
        ]);
    }
    table.to_string()
}

fn one_or_many(one: Option<&str>, many: &[String]) -> String {
    one.map_or_else(|| many.join(","), str::to_owned)
}

fn effective(nsgs: &EffectiveNsgs) -> String {
    if nsgs.value.is_empty() {
        return "no network security group acts on this NIC: everything is allowed\n".to_owned();
    }
    let parts: Vec<_> = nsgs.value.iter().map(group).collect();
    parts.join("\n")
}

fn group(nsg: &EffectiveNsg) -> String {
    let association = match (&nsg.association.subnet, &nsg.association.network_interface) {
        (Some(subnet), _) => format!("subnet {}", subnet.id),
        (None, Some(nic)) => format!("network interface {}", nic.id),
        (None, None) => "nothing".to_owned(),
    };
    let mut rules: Vec<_> = nsg.effective_security_rules.iter().collect();
    rules.sort_by(|a, b| (&a.direction, a.priority).cmp(&(&b.direction, b.priority)));
    let mut table = Table::new(RULE_HEADER).right(&["PRIORITY"]);
    for rule in rules {
        let EffectiveRule {
            name,
            direction,
            access,
            protocol,
            ..
        } = rule.clone();
        table.row([
            rule.priority.to_string(),
            name,
            direction,
            access,
            protocol,
            expanded(
                one_or_many(
                    rule.source_address_prefix.as_deref(),
                    &rule.source_address_prefixes,
                ),
                &rule.expanded_source_address_prefix,
            ),
            one_or_many(rule.source_port_range.as_deref(), &rule.source_port_ranges),
            expanded(
                one_or_many(
                    rule.destination_address_prefix.as_deref(),
                    &rule.destination_address_prefixes,
                ),
                &rule.expanded_destination_address_prefix,
            ),
            one_or_many(
                rule.destination_port_range.as_deref(),
                &rule.destination_port_ranges,
            ),
        ]);
    }
    format!(
        "{} on {association}\n{table}",
        nsg.network_security_group.id
    )
}

/// Returns a tag with the number of prefixes that it stands for; JSON has them all.
fn expanded(text: String, prefixes: &[String]) -> String {
    match prefixes {
        [] => text,
        [only] => format!("{text} ({only})"),
        many => format!("{text} ({} prefixes)", many.len()),
    }
}
