//! Real routing daemons that speak BGP to each other.

use crate::netns::Netns;
use crate::tools::{Output, TempDir, run};
use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// How long BIRD may take to answer on its control socket.
const PATIENCE: Duration = Duration::from_secs(10);

/// What one side of a BGP session is told.
#[derive(Clone, Debug)]
pub struct Speaker {
    /// Its own address on the link, and its identifier.
    pub address: &'static str,
    /// Its autonomous system.
    pub system: u32,
    /// The other side's address and system.
    pub peer: (&'static str, u32),
    /// The prefixes that it announces as its own.
    pub announces: Vec<String>,
    /// Whether it also announces what the kernel has for reasons of others, such as the ranges of
    /// a virtual network.
    pub announces_kernel: bool,
}

impl Speaker {
    fn config(&self) -> String {
        let Self {
            address,
            system,
            peer: (peer, peer_system),
            ..
        } = self;
        let learn = if self.announces_kernel { "learn;" } else { "" };
        let mut text = format!(
            "log stderr all;\nrouter id {address};\nprotocol device {{ scan time 1; }}\n\
             protocol kernel {{ {learn} scan time 1; ipv4 {{ import all; \
             export where source = RTS_BGP; }}; }}\n\
             protocol bgp {{ local {address} as {system}; neighbor {peer} as {peer_system};\n\
             connect delay time 1; connect retry time 1; error wait time 1, 2; hold time 9;\n\
             ipv4 {{ import all; export where source != RTS_BGP; next hop self; }}; }}\n\
             protocol static {{ ipv4;\n"
        );
        for prefix in &self.announces {
            let _ = writeln!(text, "route {prefix} blackhole;");
        }
        text + "}\n"
    }
}

/// A running `bird` in a namespace; killed on drop.
#[derive(Debug)]
pub struct Bird {
    child: Child,
    dir: TempDir,
    speaker: Speaker,
}

impl Bird {
    /// Starts it and waits until it answers.
    ///
    /// # Panics
    ///
    /// Panics if it does not start; the Debian package is `bird2`.
    #[must_use]
    pub fn start(namespace: &Netns, speaker: Speaker) -> Self {
        let dir = TempDir::create();
        let config = dir.write("bird.conf", speaker.config());
        let log = std::fs::File::create(dir.path().join("log")).expect("make a log");
        let socket = dir.path().join("bird.ctl");
        let mut command = namespace.command("bird");
        command
            .arg("-f")
            .arg("-c")
            .arg(config)
            .arg("-s")
            .arg(socket);
        command.stdin(Stdio::null());
        command.stdout(log.try_clone().expect("copy a log"));
        let child = command.stderr(log).spawn().expect("start bird");
        let bird = Self {
            child,
            dir,
            speaker,
        };
        crate::wait::until("bird answers", PATIENCE, || {
            bird.ask(&["show", "status"]).success()
        });
        bird
    }

    /// Announces these prefixes in the place of those so far.
    ///
    /// # Panics
    ///
    /// Panics if it does not take the change.
    pub fn announce(&mut self, prefixes: &[&str]) {
        self.speaker.announces = prefixes.iter().map(ToString::to_string).collect();
        self.dir.write("bird.conf", self.speaker.config());
        let _ = self.ask(&["configure"]).expect_success();
    }

    /// Says something on its control socket.
    #[must_use]
    pub fn ask(&self, words: &[&str]) -> Output {
        run(Command::new("birdc")
            .arg("-s")
            .arg(self.socket())
            .args(words))
    }

    /// Returns whether the session is up.
    #[must_use]
    pub fn is_established(&self) -> bool {
        self.ask(&["show", "protocols"])
            .stdout
            .contains("Established")
    }

    fn socket(&self) -> PathBuf {
        self.dir.path().join("bird.ctl")
    }
}

impl Drop for Bird {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            let log = std::fs::read_to_string(self.dir.path().join("log")).unwrap_or_default();
            eprintln!("-- bird of {}\n{log}", self.speaker.address);
        }
    }
}
