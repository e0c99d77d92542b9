//! The client's end of the control socket.

use crate::protocol::{Answer, Fault, Request};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{PidfdFlags, pidfd_open};
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

/// Why the daemon could not be asked, or what it refused.
#[derive(Debug, thiserror::Error)]
pub(super) enum ClientError {
    /// Nobody listens there.
    #[error("{}: no postern is running with this socket; start one with `postern run -c FILE`, or \
        name its socket with --socket", .0.display())]
    NotRunning(PathBuf),
    /// The socket exists and cannot be used.
    #[error("{}: cannot use the control socket", path.display())]
    Socket {
        /// The socket.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Somebody listens there who is not to be told anything.
    #[error("{}: another user listens there, who is neither root nor the owner of the directory; \
        nothing was sent. Accepted: a daemon of yours or of root, or another --socket", .0.display())]
    Stranger(PathBuf),
    /// The daemon closed the connection without an answer.
    #[error("{}: the daemon ended before it answered", .0.display())]
    NoAnswer(PathBuf),
    /// The answer is not what this program understands.
    #[error("the daemon's answer is not understood; is it of the same version?")]
    Answer(#[from] serde_json::Error),
    /// The daemon refused.
    #[error(transparent)]
    Fault(#[from] Fault),
    /// The daemon took `down` but still runs.
    #[error("the daemon is stopping, but still runs after {0} s")]
    StillRunning(i64),
}

/// Returns whether who listens may be told secrets: root, the same user, or whoever owns the directory,
/// where nobody else can make a socket in it.
fn is_trusted(stream: &UnixStream, path: &Path) -> bool {
    let Ok(peer) = rustix::net::sockopt::socket_peercred(stream) else {
        return false;
    };
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let owner = std::fs::metadata(directory)
        .ok()
        .filter(|found| found.mode() & 0o022 == 0)
        .map(|found| found.uid());
    let own = rustix::process::geteuid().as_raw();
    let peer = peer.uid.as_raw();
    [Some(0), Some(own), owner].contains(&Some(peer))
}

/// A connection to the daemon.
#[derive(Debug)]
pub(super) struct Client {
    stream: BufReader<UnixStream>,
    path: PathBuf,
}

impl Client {
    /// Connects to the daemon at `path`.
    pub(super) fn connect(path: &Path) -> Result<Self, ClientError> {
        match UnixStream::connect(path) {
            Ok(stream) if !is_trusted(&stream, path) => Err(ClientError::Stranger(path.to_owned())),
            Ok(stream) => Ok(Self {
                stream: BufReader::new(stream),
                path: path.to_owned(),
            }),
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused
                ) =>
            {
                Err(ClientError::NotRunning(path.to_owned()))
            }
            Err(source) => Err(ClientError::Socket {
                path: path.to_owned(),
                source,
            }),
        }
    }

    /// Asks and returns the result as JSON.
    pub(super) fn ask(&mut self, request: &Request) -> Result<Value, ClientError> {
        let mut line = serde_json::to_vec(request)?;
        line.push(b'\n');
        // A daemon that refuses a long request stops reading it: its answer says why, and is
        // worth more than the failed write.
        let written = self.stream.get_mut().write_all(&line);
        let mut answer = String::new();
        let read = self.stream.read_line(&mut answer);
        match (read, written) {
            (Ok(0), Err(source)) | (Err(source), _) => Err(self.failed(source)),
            (Ok(0), Ok(())) => Err(ClientError::NoAnswer(self.path.clone())),
            (Ok(_), _) => match serde_json::from_str(&answer)? {
                Answer::Result(value) => Ok(value),
                Answer::Error(fault) => Err(fault.into()),
            },
        }
    }

    /// Asks and returns the result as the type that the request is answered by.
    pub(super) fn ask_for<T: DeserializeOwned>(
        &mut self,
        request: &Request,
    ) -> Result<T, ClientError> {
        Ok(serde_json::from_value(self.ask(request)?)?)
    }

    /// Asks the daemon to stop and waits until its process is gone.
    pub(super) fn down(mut self, patience_s: i64) -> Result<(), ClientError> {
        let process = self.daemon();
        self.ask(&Request::Down)?;
        match process {
            Some(process) => wait_for_exit(&process, patience_s),
            None => self.wait_for_end(patience_s),
        }
    }

    /// Returns a handle of the daemon's process. It lives while we are connected, so that the
    /// number cannot be another's.
    fn daemon(&self) -> Option<OwnedFd> {
        let peer = rustix::net::sockopt::socket_peercred(self.stream.get_ref()).ok()?;
        pidfd_open(peer.pid, PidfdFlags::empty()).ok()
    }

    /// Waits until the daemon closes the connection: the best there is where its process cannot
    /// be seen from here.
    fn wait_for_end(mut self, patience_s: i64) -> Result<(), ClientError> {
        let patience = std::time::Duration::from_secs(patience_s.unsigned_abs());
        let wait = self.stream.get_ref().set_read_timeout(Some(patience));
        let mut rest = Vec::new();
        match wait.and_then(|()| self.stream.read_to_end(&mut rest)) {
            Ok(_) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                Err(ClientError::StillRunning(patience_s))
            }
            Err(source) => Err(self.failed(source)),
        }
    }

    fn failed(&self, source: io::Error) -> ClientError {
        ClientError::Socket {
            path: self.path.clone(),
            source,
        }
    }
}

fn wait_for_exit(process: &OwnedFd, patience_s: i64) -> Result<(), ClientError> {
    let patience = Timespec {
        tv_sec: patience_s,
        tv_nsec: 0,
    };
    let mut ends = [PollFd::new(process, PollFlags::IN)];
    match poll(&mut ends, Some(&patience)) {
        Ok(0) => Err(ClientError::StillRunning(patience_s)),
        // The descriptor is readable once the process has ended; no other event can come.
        Ok(_) | Err(_) => Ok(()),
    }
}
