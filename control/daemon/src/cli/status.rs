//! `postern status`.

use super::client::Client;
use super::output::{Format, print, print_json, seconds};
use super::table::Table;
use super::{CliError, ReadArgs};
use crate::protocol::Request;
use crate::protocol::view::{StatusView, SubnetView, WorkerView};

/// Prints what runs.
pub(super) fn status(args: &ReadArgs, client: &mut Client) -> Result<(), CliError> {
    let status: StatusView = client.ask_for(&Request::Status)?;
    match args.output {
        Format::Json => print_json(&status)?,
        Format::Table => print(describe(&status))?,
    }
    Ok(())
}

fn describe(status: &StatusView) -> String {
    let tags = &status.service_tags;
    let sweeping = if status.sweeping {
        " (live flows are being looked at)"
    } else {
        ""
    };
    let mut table = Table::new([
        "PORT",
        "STATE",
        "NAMESPACE",
        "DEVICE",
        "MTU",
        "OFFLOAD",
        "ADDRESSES",
    ])
    .right(&["MTU"]);
    for port in &status.ports {
        table.row([
            port.name.clone(),
            match &port.reason {
                Some(reason) => format!("{}: {reason}", port.state),
                None => port.state.clone(),
            },
            port.namespace.clone(),
            port.device.clone(),
            port.mtu.to_string(),
            if port.offload { "on" } else { "off" }.to_owned(),
            port.addresses.join(","),
        ]);
    }
    let subnets = subnets(&status.subnets);
    format!(
        "postern {}, process {}, up {}\n\
         epoch         {}{sweeping}\n\
         service tags  changeNumber {}, {}, {}\n\
         flows         {} of at most {}\n\
         workers       {}\n\
         \n\
         {table}{subnets}",
        status.version,
        status.pid,
        seconds(status.uptime_seconds),
        status.epoch,
        tags.change_number,
        tags.cloud,
        tags.source,
        status.flows,
        status.max_flows,
        workers(&status.workers),
    )
}

/// Returns how many workers there are, and of several how many frames each handed over.
fn workers(workers: &[WorkerView]) -> String {
    let count = workers.len();
    if count < 2 {
        return count.to_string();
    }
    let handed_over = workers.iter().map(|worker| worker.handed_over.to_string());
    let handed_over: Vec<_> = handed_over.collect();
    format!("{count}, frames handed over: {}", handed_over.join(", "))
}

/// Returns the subnets and their keys, behind an empty line; nothing where there are none.
fn subnets(subnets: &[SubnetView]) -> String {
    if subnets.is_empty() {
        return String::new();
    }
    let header = ["SUBNET", "PREFIX", "VNET KEY", "SUBNET KEY", "IDENTITY"];
    let mut table = Table::new(header).right(&["VNET KEY", "SUBNET KEY"]);
    for subnet in subnets {
        table.row([
            format!("{}/{}", subnet.virtual_network, subnet.subnet),
            subnet.address_prefix.clone(),
            subnet.vnet_key.to_string(),
            subnet.subnet_key.to_string(),
            subnet.identity.clone(),
        ]);
    }
    format!("\n{table}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::view::{PortView, ServiceTagsView};

    #[test]
    fn several_workers_show_what_they_handed_over() {
        let several = [7, 0, 12].map(|handed_over| WorkerView { handed_over });
        assert_eq!(workers(&several), "3, frames handed over: 7, 0, 12");
    }

    #[test]
    fn the_status_names_epoch_tags_and_ports() {
        let status = StatusView {
            version: "0.1.0".to_owned(),
            pid: 42,
            uptime_seconds: 61,
            epoch: 3,
            sweeping: false,
            service_tags: ServiceTagsView {
                source: "tags.json".to_owned(),
                cloud: "Public".to_owned(),
                change_number: 375,
            },
            flows: 2,
            max_flows: 1000,
            workers: vec![WorkerView { handed_over: 0 }],
            ports: vec![PortView {
                number: 0,
                name: "nic/vm0".to_owned(),
                state: "attached".to_owned(),
                reason: None,
                namespace: "vm0".to_owned(),
                device: "postern0".to_owned(),
                mtu: 1500,
                offload: true,
                addresses: vec!["10.0.1.4/24".to_owned()],
            }],
            subnets: vec![SubnetView {
                virtual_network: "VNet1".to_owned(),
                subnet: "subnet1".to_owned(),
                address_prefix: "10.0.1.0/24".to_owned(),
                vnet_key: 42,
                subnet_key: 7,
                region_id: 26,
                identity: "fd40:0:2a:7:1a:274::/96".to_owned(),
            }],
        };
        assert_eq!(
            describe(&status),
            "postern 0.1.0, process 42, up 1m 1s\n\
             epoch         3\n\
             service tags  changeNumber 375, Public, tags.json\n\
             flows         2 of at most 1000\n\
             workers       1\n\
             \n\
             PORT     STATE     NAMESPACE  DEVICE     MTU  OFFLOAD  ADDRESSES\n\
             nic/vm0  attached  vm0        postern0  1500  on       10.0.1.4/24\n\
             \n\
             SUBNET         PREFIX       VNET KEY  SUBNET KEY  IDENTITY\n\
             VNet1/subnet1  10.0.1.0/24        42           7  fd40:0:2a:7:1a:274::/96\n"
        );
    }
}
