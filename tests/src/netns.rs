//! Network namespaces that remove themselves.

use crate::tools::run;
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use std::fs::File;
use std::net::Ipv4Addr;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;

static NEXT: AtomicU32 = AtomicU32::new(0);

/// The first `ip netns add` on a machine makes `/run/netns` a mount of its own; two at once trip
/// over each other.
static ADDING: Mutex<()> = Mutex::new(());

/// A named network namespace with its loopback up, removed on drop.
#[derive(Debug)]
pub struct Netns {
    name: String,
    file: File,
}

impl Netns {
    /// Creates a namespace whose name is unique and ends in `label`.
    ///
    /// # Panics
    ///
    /// Panics if the namespace cannot be made.
    #[must_use]
    pub fn create(label: &str) -> Self {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("pst{}-{number}-{label}", std::process::id());
        let file = Self::add(&name);
        Self { name, file }
    }

    fn add(name: &str) -> File {
        {
            let _one_at_a_time = ADDING
                .lock()
                .unwrap_or_else(std::sync::PoisonError::into_inner);
            run(Command::new("ip").args(["netns", "add", name])).expect_success();
        }
        let file = File::open(format!("/run/netns/{name}")).expect("open the new namespace");
        run(Command::new("ip").args(["-n", name, "link", "set", "lo", "up"])).expect_success();
        file
    }

    /// Takes the name away. What is inside stays as long as somebody holds it.
    ///
    /// # Panics
    ///
    /// Panics if there is no such name.
    #[track_caller]
    pub fn remove(&self) {
        let _ = run(Command::new("ip").args(["netns", "delete", &self.name])).expect_success();
    }

    /// Makes another namespace under the name, which must be free.
    ///
    /// # Panics
    ///
    /// Panics if it cannot be made.
    pub fn make_again(&mut self) {
        self.file = Self::add(&self.name);
    }

    /// Returns the name under `/run/netns`.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Runs `work` on a thread of its own inside the namespace. A socket made there stays in the
    /// namespace wherever it is used afterwards.
    ///
    /// # Panics
    ///
    /// Panics if the namespace cannot be entered, or as `work` does.
    pub fn enter<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        let inside = || {
            move_into_link_name_space(self.file.as_fd(), Some(LinkNameSpaceType::Network))
                .expect("enter the namespace");
            work()
        };
        thread::scope(|scope| match scope.spawn(inside).join() {
            Ok(result) => result,
            Err(panic) => std::panic::resume_unwind(panic),
        })
    }

    /// Returns a command that runs `program` inside the namespace.
    #[must_use]
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.name, program]);
        command
    }

    /// Runs a shell script inside the namespace.
    ///
    /// # Panics
    ///
    /// Panics if a command of it fails.
    #[track_caller]
    pub fn sh(&self, script: &str) {
        let _ = run(self.command("sh").args(["-ec", script])).expect_success();
    }

    /// Makes the namespace pass on packets that are not its own, as they are.
    ///
    /// # Panics
    ///
    /// Panics if the kernel refuses it.
    #[track_caller]
    pub fn forward(&self) {
        self.sh("echo 1 > /proc/sys/net/ipv4/ip_forward");
    }

    /// Makes the namespace pass on packets that are not its own, with its own source.
    ///
    /// # Panics
    ///
    /// Panics if the kernel refuses it.
    #[track_caller]
    pub fn masquerade(&self) {
        self.forward();
        self.sh("nft add table ip nat\n\
             nft add chain ip nat post '{ type nat hook postrouting priority 100; }'\n\
             nft add rule ip nat post oifname postern0 masquerade");
    }

    /// Joins two namespaces by a pair of devices, `near` here and `far` in the other one, each with
    /// its address.
    ///
    /// # Panics
    ///
    /// Panics if the kernel refuses it.
    #[track_caller]
    pub fn join(&self, other: &Self, near: (&str, &str), far: (&str, &str)) {
        let (near, near_address) = near;
        let (far, far_address) = far;
        self.sh(&format!(
            "ip link add {near} type veth peer name {far} netns {other}\n\
             ip addr add {near_address} dev {near}\nip link set {near} up",
            other = other.name
        ));
        other.sh(&format!(
            "ip addr add {far_address} dev {far}\nip link set {far} up"
        ));
    }

    /// Makes programs that [`Self::command`] runs ask this server for names.
    ///
    /// # Panics
    ///
    /// Panics if the file that `ip netns exec` reads cannot be written.
    pub fn resolve_by(&self, server: Ipv4Addr) {
        self.write_etc("resolv.conf", &format!("nameserver {server}\n"));
    }

    /// Makes programs that [`Self::command`] runs know these lines of a hosts file.
    ///
    /// # Panics
    ///
    /// Panics if the file that `ip netns exec` reads cannot be written.
    pub fn knows_hosts(&self, lines: &str) {
        self.write_etc("hosts", lines);
    }

    fn write_etc(&self, name: &str, text: &str) {
        let dir = self.files();
        std::fs::create_dir_all(&dir).expect("make the namespace's directory");
        std::fs::write(dir.join(name), text).expect("write a file of the namespace");
    }

    /// Where `ip netns exec` looks for files of this namespace.
    fn files(&self) -> PathBuf {
        Path::new("/etc/netns").join(&self.name)
    }

    /// Returns everything in the namespace that a program could have left behind: links with their
    /// state, addresses, and the routes and rules of every table.
    #[must_use]
    pub fn inventory(&self) -> String {
        [
            "link",
            "address",
            "rule",
            "route show table all",
            "-6 route show table all",
        ]
        .iter()
        .map(|what| {
            let output = run(Command::new("ip")
                .args(["-o", "-n", &self.name])
                .args(what.split(' ')));
            format!("{what}:\n{}", output.stdout)
        })
        .collect()
    }

    /// Returns one counter of the namespace's `/proc/net/snmp`, as in `("Tcp", "InCsumErrors")`.
    ///
    /// # Panics
    ///
    /// Panics if there is no such counter.
    #[must_use]
    pub fn snmp(&self, group: &str, counter: &str) -> u64 {
        // Through the thread's own directory: /proc/net belongs to the process's main thread.
        let text = self
            .enter(|| std::fs::read_to_string("/proc/thread-self/net/snmp"))
            .expect("read the counters");
        let prefix = format!("{group}:");
        let mut rows = text.lines().filter_map(|line| line.strip_prefix(&prefix));
        let (names, values) = (rows.next().unwrap_or(""), rows.next().unwrap_or(""));
        names
            .split_whitespace()
            .zip(values.split_whitespace())
            .find(|&(name, _)| name == counter)
            .and_then(|(_, value)| value.parse().ok())
            .unwrap_or_else(|| panic!("no counter {group} {counter}"))
    }
}

impl Drop for Netns {
    fn drop(&mut self) {
        run(Command::new("ip").args(["netns", "delete", &self.name]));
        let _ = std::fs::remove_dir_all(self.files());
    }
}
