//! `postern stats`.

use super::client::Client;
use super::output::{Format, bytes, print, print_json};
use super::table::Table;
use super::{CliError, ReadArgs};
use crate::protocol::Request;
use crate::protocol::view::StatsView;

/// Prints the counters.
pub(super) fn stats(args: &ReadArgs, client: &mut Client) -> Result<(), CliError> {
    let stats: StatsView = client.ask_for(&Request::Stats)?;
    match args.output {
        Format::Json => print_json(&stats)?,
        Format::Table => print(describe(&stats))?,
    }
    Ok(())
}

fn describe(stats: &StatsView) -> String {
    let mut parts = vec![ports(stats).to_string()];
    if stats.ports.iter().any(|port| !port.drops.is_empty()) {
        parts.push(drops(stats).to_string());
    }
    if !stats.snat.is_empty() {
        parts.push(pools(stats).to_string());
    }
    if !stats.fronts.resources.is_empty() {
        parts.push(fronts(stats).to_string());
    }
    if stats.ports.iter().any(|port| port.flows + port.evicted > 0) {
        parts.push(shares(stats).to_string());
    }
    let flows = &stats.flows;
    parts.push(format!(
        "flows: {} of at most {}, {} opened, {} ended, {} closed by policy, {} gave way\n",
        flows.count, flows.max, flows.opened, flows.ended, flows.closed, flows.evicted
    ));
    parts.join("\n")
}

fn ports(stats: &StatsView) -> Table {
    let header = ["PORT", "FROM", "BYTES", "TO", "BYTES", "MADE", "DROPPED"];
    let mut table = Table::new(header).right(&["FROM", "BYTES", "TO", "MADE", "DROPPED"]);
    for port in &stats.ports {
        let dropped: u64 = port.drops.iter().map(|drop| drop.frames).sum();
        table.row([
            port.name.clone(),
            port.received_frames.to_string(),
            bytes(port.received_bytes),
            port.sent_frames.to_string(),
            bytes(port.sent_bytes),
            port.made_frames.to_string(),
            dropped.to_string(),
        ]);
    }
    table
}

fn shares(stats: &StatsView) -> Table {
    let header = ["PORT", "FLOWS", "UNANSWERED", "GAVE WAY"];
    let mut table = Table::new(header).right(&["FLOWS", "UNANSWERED", "GAVE WAY"]);
    for port in &stats.ports {
        if port.flows + port.evicted > 0 {
            let counts = [port.flows, port.unanswered, port.evicted].map(|count| count.to_string());
            let [flows, unanswered, evicted] = counts;
            table.row([port.name.clone(), flows, unanswered, evicted]);
        }
    }
    table
}

fn drops(stats: &StatsView) -> Table {
    let mut table = Table::new(["PORT", "DIRECTION", "DROPPED", "REASON"]).right(&["DROPPED"]);
    for port in &stats.ports {
        for drop in &port.drops {
            table.row([
                port.name.clone(),
                drop.direction.clone(),
                drop.frames.to_string(),
                drop.reason.clone(),
            ]);
        }
    }
    table
}

fn pools(stats: &StatsView) -> Table {
    let header = ["SNAT ADDRESS", "TCP", "UDP", "ICMP"];
    let mut table = Table::new(header).right(&["TCP", "UDP", "ICMP"]);
    for pool in &stats.snat {
        table.row([
            pool.public_address.clone(),
            pool.tcp.to_string(),
            pool.udp.to_string(),
            pool.icmp.to_string(),
        ]);
    }
    table
}

fn fronts(stats: &StatsView) -> Table {
    let header = ["FRONT", "ALLOWED", "DENIED", "BACKEND FAILED", "IN", "OUT"];
    let mut table = Table::new(header).right(&["ALLOWED", "DENIED", "BACKEND FAILED", "IN", "OUT"]);
    for resource in &stats.fronts.resources {
        table.row([
            resource.name.clone(),
            resource.allowed.to_string(),
            resource.denied.total().to_string(),
            resource.backend_failed.to_string(),
            bytes(resource.to_backend_bytes),
            bytes(resource.to_client_bytes),
        ]);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::front::{DeniedView, DeskView, FrontsView};
    use crate::protocol::view::{DropView, FlowStatsView, PoolStatsView, PortStatsView};

    fn stats() -> StatsView {
        StatsView {
            services: Vec::new(),
            fronts: FrontsView {
                listeners: Vec::new(),
                resources: vec![DeskView {
                    name: "contoso".to_owned(),
                    allowed: 12,
                    audited: 0,
                    denied: DeniedView {
                        network_rules: 3,
                        endpoint_policy: 4,
                        ..DeniedView::default()
                    },
                    backend_failed: 1,
                    unheard: 0,
                    idle: 0,
                    to_backend_bytes: 2048,
                    to_client_bytes: 900,
                }],
            },
            ports: vec![PortStatsView {
                name: "nic/vm0".to_owned(),
                received_frames: 12,
                received_bytes: 2048,
                sent_frames: 9,
                sent_bytes: 900,
                made_frames: 1,
                flows: 3,
                unanswered: 2,
                evicted: 5,
                drops: vec![
                    DropView {
                        direction: "Inbound".to_owned(),
                        reason: "nsg_denied_in".to_owned(),
                        frames: 2,
                    },
                    DropView {
                        direction: "Outbound".to_owned(),
                        reason: "ipv6".to_owned(),
                        frames: 11,
                    },
                ],
            }],
            snat: vec![PoolStatsView {
                public_address: "20.200.0.1".to_owned(),
                tcp: 3,
                udp: 0,
                icmp: 0,
            }],
            flows: FlowStatsView {
                count: 3,
                max: 100,
                opened: 7,
                ended: 3,
                closed: 1,
                evicted: 5,
            },
        }
    }

    #[test]
    fn every_counter_is_shown() {
        assert_eq!(
            describe(&stats()),
            "PORT     FROM    BYTES  TO  BYTES  MADE  DROPPED\n\
             nic/vm0    12  2.0 KiB   9  900 B     1       13\n\
             \n\
             PORT     DIRECTION  DROPPED  REASON\n\
             nic/vm0  Inbound          2  nsg_denied_in\n\
             nic/vm0  Outbound        11  ipv6\n\
             \n\
             SNAT ADDRESS  TCP  UDP  ICMP\n\
             20.200.0.1      3    0     0\n\
             \n\
             FRONT    ALLOWED  DENIED  BACKEND FAILED       IN    OUT\n\
             contoso       12       7               1  2.0 KiB  900 B\n\
             \n\
             PORT     FLOWS  UNANSWERED  GAVE WAY\n\
             nic/vm0      3           2         5\n\
             \n\
             flows: 3 of at most 100, 7 opened, 3 ended, 1 closed by policy, 5 gave way\n"
        );
    }

    #[test]
    fn tables_without_rows_are_left_out() {
        let mut quiet = stats();
        quiet.snat.clear();
        quiet.fronts.resources.clear();
        quiet.ports.iter_mut().for_each(|port| port.drops.clear());
        let text = describe(&quiet);
        assert!(
            !text.contains("REASON") && !text.contains("SNAT") && !text.contains("FRONT"),
            "{text}"
        );
    }
}
