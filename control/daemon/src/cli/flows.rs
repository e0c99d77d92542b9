//! `postern flows`.

use super::CliError;
use super::ReadArgs;
use super::client::Client;
use super::output::{Format, bytes, counted, print, print_json};
use crate::protocol::Request;
use crate::protocol::view::{AdmissionView, FlowRow, FlowsView};
use clap::Args;
use std::fmt::Write;

/// Arguments of `flows`.
#[derive(Debug, Args)]
pub(super) struct FlowsArgs {
    /// How many flows at most
    #[arg(long, value_name = "N", default_value_t = 1000)]
    limit: usize,
    /// Only flows from or to this NIC
    #[arg(long, value_name = "NIC")]
    nic: Option<String>,
    #[command(flatten)]
    read: ReadArgs,
}

/// Prints live flows, one a line: what the initiator sends, how it goes, what the responder sees.
pub(super) fn flows(args: &FlowsArgs, client: &mut Client) -> Result<(), CliError> {
    let request = Request::Flows {
        limit: args.limit,
        nic: args.nic.clone(),
    };
    let flows: FlowsView = client.ask_for(&request)?;
    if args.read.output == Format::Json {
        return Ok(print_json(&flows)?);
    }
    let mut text = String::new();
    for flow in &flows.value {
        let _ = writeln!(text, "{}", line(flow));
    }
    if flows.truncated {
        let _ = writeln!(
            text,
            "{} shown, of {} on all NICs; --limit N shows more",
            counted(flows.value.len(), "flow"),
            flows.count
        );
    }
    Ok(print(text)?)
}

fn line(flow: &FlowRow) -> String {
    let mut text = format!(
        "{} {} -> {}  via {}",
        flow.protocol, flow.source, flow.destination, flow.route
    );
    if let Some(service) = &flow.service {
        let _ = write!(text, " {service}");
    }
    let _ = write!(
        text,
        "  source {} {}",
        flow.translated_source, flow.source_kind
    );
    if flow.translated_destination != flow.destination {
        let _ = write!(text, "  to {}", flow.translated_destination);
    }
    if let Some(identity) = &flow.identity {
        let _ = write!(text, "  as {} {}", identity.caller, identity.raw_address);
    }
    let _ = write!(text, "  state {}  rules {}", flow.state, rules(flow));
    if let Some(admission) = &flow.admission {
        let _ = write!(text, "  admitted by {}", admitted(admission));
    }
    let _ = write!(
        text,
        "  out {} frames {}  in {} frames {}  idle {} s",
        flow.forward.frames,
        bytes(flow.forward.bytes),
        flow.reply.frames,
        bytes(flow.reply.bytes),
        flow.idle_ms / 1000
    );
    text
}

/// Returns the network rule that let a flow in, which begins with the resource's name.
fn admitted(admission: &AdmissionView) -> String {
    let resource = admission.resource.rsplit('/').next().unwrap_or_default();
    let default = || format!("{resource}/default");
    let rule = admission.rule.clone().unwrap_or_else(default);
    let audited = if admission.audited { " (audited)" } else { "" };
    format!("{rule}{audited}")
}

/// Returns the rules in the order in which they are evaluated.
fn rules(flow: &FlowRow) -> String {
    let rules = &flow.rules;
    let in_order = [
        &rules.outbound_nic,
        &rules.outbound_subnet,
        &rules.inbound_subnet,
        &rules.inbound_nic,
    ];
    let named: Vec<_> = in_order.into_iter().flatten().map(String::as_str).collect();
    if named.is_empty() {
        "none".to_owned()
    } else {
        named.join(", ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::view::{FlowRules, IdentityView, TrafficView};

    fn flow() -> FlowRow {
        FlowRow {
            protocol: "tcp".to_owned(),
            state: "established".to_owned(),
            ingress: "nic/vm0".to_owned(),
            egress: "service/svc".to_owned(),
            source: "10.0.1.4:50312".to_owned(),
            destination: "20.60.16.5:443".to_owned(),
            translated_source: "10.0.1.4:50312".to_owned(),
            translated_destination: "20.60.16.5:443".to_owned(),
            route: "ServiceEndpoint".to_owned(),
            service: Some("Microsoft.Storage".to_owned()),
            source_kind: "private".to_owned(),
            rules: FlowRules {
                outbound_subnet: Some("nsg1/AllowInternetOutBound".to_owned()),
                ..FlowRules::default()
            },
            admission: None,
            identity: None,
            epoch: 2,
            age_ms: 12_000,
            idle_ms: 2_500,
            forward: TrafficView {
                frames: 5,
                bytes: 800,
            },
            reply: TrafficView {
                frames: 4,
                bytes: 4096,
            },
        }
    }

    #[test]
    fn a_flow_is_one_line_that_says_why() {
        assert_eq!(
            line(&flow()),
            "tcp 10.0.1.4:50312 -> 20.60.16.5:443  via ServiceEndpoint Microsoft.Storage  \
             source 10.0.1.4:50312 private  state established  \
             rules nsg1/AllowInternetOutBound  out 5 frames 800 B  in 4 frames 4.0 KiB  idle 2 s"
        );
    }

    #[test]
    fn a_flow_to_a_resource_says_who_it_is_and_what_let_it_in() {
        let admission = |rule: Option<&str>, audited| AdmissionView {
            resource: "/subscriptions/s/providers/microsoft.storage/storageaccounts/contoso"
                .to_owned(),
            rule: rule.map(str::to_owned),
            audited,
        };
        let told = |admission| {
            line(&FlowRow {
                admission: Some(admission),
                identity: Some(IdentityView {
                    caller: "VNet1/subnet1 10.0.1.4".to_owned(),
                    raw_address: "fd40:0:2a:7:1a:274:a00:104".to_owned(),
                    raw_destination: "fd41:1:1a:2a3::143c:1005".to_owned(),
                }),
                ..flow()
            })
        };
        let by_rule = told(admission(
            Some("contoso/virtualNetworkRules/VNet1/subnet1"),
            false,
        ));
        assert!(
            by_rule.contains("  as VNet1/subnet1 10.0.1.4 fd40:0:2a:7:1a:274:a00:104  state "),
            "{by_rule}"
        );
        let wanted = "  admitted by contoso/virtualNetworkRules/VNet1/subnet1  out ";
        assert!(by_rule.contains(wanted), "{by_rule}");
        let by_default = told(admission(None, true));
        assert!(
            by_default.contains("  admitted by contoso/default (audited)  out "),
            "{by_default}"
        );
    }

    #[test]
    fn a_translated_destination_shows_only_where_it_differs() {
        let inbound = FlowRow {
            translated_destination: "10.0.1.4:22".to_owned(),
            ..flow()
        };
        assert!(line(&inbound).contains("  to 10.0.1.4:22  "));
        assert!(!line(&flow()).contains("  to "));
        assert!(
            line(&FlowRow {
                rules: FlowRules::default(),
                ..flow()
            })
            .contains("rules none")
        );
    }
}
