//! The end-to-end harness: network namespaces, a running `postern`, and real peers inside.
//!
//! Everything a case makes is removed by a guard when the case ends, also when it fails: namespaces,
//! processes, files. Names carry the process id and a number, so cases may run side by side. All
//! traffic stays inside the namespaces of the case.
//!
//! A case waits on a condition with a deadline ([`until`]); none waits for a time to pass.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "the harness is test code: a case whose surroundings fail stops with the message"
)]

mod arm;
mod azure;
mod bird;
mod control;
mod fabric;
mod flood;
mod icmp;
mod netns;
mod relay;
mod servers;
mod tcp;
mod tools;
mod udp;
mod wait;
mod weekly;
mod world;

pub use arm::{Answer, Arm, group_id, network_id};
pub use azure::{
    Azure, OWNER, READER, SECRET, SUBSCRIPTION, TENANT, az_command, azure_head, bind, free_port,
    planned,
};
pub use bird::{Bird, Speaker};
pub use control::Control;
pub use fabric::{Fabric, Refused, binary};
pub use flood::{Flood, Flooding};
pub use icmp::{EchoTap, ping};
pub use netns::Netns;
pub use relay::TcpRelay;
pub use servers::{ACCOUNT_KEY, Certificate, Server, azurite, nginx, postgresql, python_client};
pub use tcp::{Connection, End, Seen, TcpServer};
pub use tools::{Output, TempDir, open_many_files, privileged, run, serial};
pub use udp::{UdpServer, UdpSocketPair};
pub use wait::{until, within};
pub use weekly::{
    Probe, WEEKLY_INTERNET, WEEKLY_JOINS, WEEKLY_NETWORK, WEEKLY_SQL, WEEKLY_STORAGE, weekly_files,
};
pub use world::{
    INTERNET, KEY_VAULT, PUBLIC_DEFAULT, PUBLIC_VM0, SQL, STORAGE, VM0, VM1, VM2, World, at,
};
