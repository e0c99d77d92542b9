//! A network namespace of one test's own, removed when the test ends, however it ends.

use std::io::Write;
use std::os::fd::AsFd;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

/// Says so where a test cannot run; past the capture of the test harness.
pub fn is_privileged(test: &str) -> bool {
    let has_root = rustix::process::geteuid().is_root();
    if !has_root || Command::new("ip").arg("-V").output().is_err() {
        let _ = writeln!(
            std::io::stderr(),
            "SKIP {test}: needs root and the `ip` command"
        );
        return false;
    }
    true
}

pub struct Netns(String);

impl Netns {
    pub fn new() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let netns = Self(format!("postern-io-{}-{number}", std::process::id()));
        run(&["netns", "add", &netns.0]);
        netns.ip(&["link", "set", "lo", "up"]);
        netns
    }

    /// Runs `ip` in the namespace and returns what it printed.
    pub fn ip(&self, arguments: &[&str]) -> String {
        let mut all = vec!["-n", &self.0];
        all.extend(arguments);
        run(&all)
    }

    /// Runs `work` on a thread inside the namespace.
    pub fn enter<R: Send + 'static>(
        &self,
        work: impl FnOnce() -> R + Send + 'static,
    ) -> std::thread::JoinHandle<R> {
        let file = std::fs::File::open(format!("/run/netns/{}", self.0)).unwrap();
        std::thread::spawn(move || {
            let kind = rustix::thread::LinkNameSpaceType::Network;
            rustix::thread::move_into_link_name_space(file.as_fd(), Some(kind)).unwrap();
            work()
        })
    }

    pub fn inside<R: Send + 'static>(&self, work: impl FnOnce() -> R + Send + 'static) -> R {
        self.enter(work).join().unwrap()
    }
}

impl Drop for Netns {
    fn drop(&mut self) {
        let _ = Command::new("ip").args(["netns", "del", &self.0]).status();
    }
}

fn run(arguments: &[&str]) -> String {
    let output = Command::new("ip").args(arguments).output().unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "ip {}: {error}",
        arguments.join(" ")
    );
    String::from_utf8(output.stdout).unwrap()
}
