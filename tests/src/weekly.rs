//! Two weeks of Microsoft's whole service-tag file, and a network that what differs matters to.

use crate::netns::Netns;
use crate::tools::{TempDir, run};
use crate::udp::UdpSocketPair;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// In `Storage.EastUS` in both weeks.
pub const WEEKLY_STORAGE: Ipv4Addr = Ipv4Addr::new(13, 68, 163, 33);
/// In `Sql.EastUS` in both weeks.
pub const WEEKLY_SQL: Ipv4Addr = Ipv4Addr::new(135, 222, 235, 5);
/// In `Storage.EastUS` in the second week only.
pub const WEEKLY_JOINS: Ipv4Addr = Ipv4Addr::new(20, 153, 124, 7);
/// A host on the Internet.
pub const WEEKLY_INTERNET: Ipv4Addr = Ipv4Addr::new(93, 184, 216, 34);

/// The network: `vm0` behind endpoints and a group with the largest tag there is, `vm1` behind
/// neither.
pub const WEEKLY_NETWORK: &str = r#"
location = "eastus"
[internet]
addresses = ["93.184.216.34/24", "20.153.124.7/32"]
namespace = "inet"
[defaultOutbound]
publicIPAddress = "65.52.1.1"
[[virtualNetwork]]
name = "VNet1"
addressPrefixes = ["10.0.0.0/16"]
[[virtualNetwork.subnet]]
name = "subnet1"
addressPrefix = "10.0.1.0/24"
serviceEndpoints = ["Microsoft.Storage", "Microsoft.Sql", "Microsoft.AzureCosmosDB",
    "Microsoft.KeyVault", "Microsoft.ServiceBus", "Microsoft.EventHub", "Microsoft.Web",
    "Microsoft.AzureActiveDirectory", "Microsoft.ContainerRegistry"]
networkSecurityGroup = "nsg1"
[[virtualNetwork.subnet]]
name = "subnet2"
addressPrefix = "10.0.2.0/24"
[[networkSecurityGroup]]
name = "nsg1"
[[networkSecurityGroup.securityRule]]
name = "cloud"
priority = 100
direction = "Outbound"
access = "Allow"
protocol = "*"
sourceAddressPrefix = "*"
destinationAddressPrefix = "AzureCloud"
destinationPortRange = "*"
[[networkInterface]]
name = "vm0"
virtualNetwork = "VNet1"
subnet = "subnet1"
privateIPAddress = "10.0.1.4"
namespace = "vm0"
[[networkInterface]]
name = "vm1"
virtualNetwork = "VNet1"
subnet = "subnet2"
privateIPAddress = "10.0.2.4"
namespace = "vm1"
[[service]]
name = "contoso"
service = "Microsoft.Storage"
address = "13.68.163.33"
namespace = "svc"
[[service]]
name = "database"
service = "Microsoft.Sql"
address = "135.222.235.5"
namespace = "svc"
"#;

/// Returns the paths of both weeks' files, the earlier one first, where they stand beside the
/// checkout; says so where they do not.
///
/// # Panics
///
/// Panics if the earlier one cannot be unpacked.
#[must_use]
pub fn weekly_files(dir: &TempDir) -> Option<[PathBuf; 2]> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data");
    let earlier = folder.join("ServiceTags_Public_20251013.json.gz");
    let later = folder.join("ServiceTags_Public_20251028.json");
    if !(earlier.exists() && later.exists()) {
        eprintln!("SKIP no full service-tag files in {}", folder.display());
        return None;
    }
    let unpacked = run(Command::new("gzip").arg("-dc").arg(&earlier)).expect_success();
    Some([dir.write("earlier.json", unpacked.stdout), later])
}

/// Asks a server on UDP again and again, and keeps how long each answer took. Stops on drop.
#[derive(Debug)]
pub struct Probe {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<Vec<Duration>>>,
}

impl Probe {
    /// Asks from inside the namespace, and again `pause` after each answer.
    ///
    /// # Panics
    ///
    /// Panics if there is no socket.
    #[must_use]
    pub fn start(namespace: &Netns, to: SocketAddrV4, pause: Duration) -> Self {
        let socket = UdpSocketPair::open(namespace, to).expect("a socket");
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = thread::spawn(move || {
            let mut times = Vec::new();
            while !stopped.load(Ordering::Relaxed) {
                let asked = Instant::now();
                if let Err(error) = socket.ask(b"are you there") {
                    panic!("no answer: {error}");
                }
                times.push(asked.elapsed());
                thread::sleep(pause);
            }
            times
        });
        Self {
            stop,
            thread: Some(thread),
        }
    }

    /// Stops and returns how long the answers took, in the order of the questions.
    ///
    /// # Panics
    ///
    /// Panics if an answer never came.
    #[must_use]
    pub fn stop(mut self) -> Vec<Duration> {
        self.stop.store(true, Ordering::Relaxed);
        let thread = self.thread.take().expect("a probe stops once");
        thread.join().expect("every question is answered")
    }
}

impl Drop for Probe {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
