//! TUN devices and the worker: the only part of this crate that does I/O.
//!
//! [`Tun`] opens a device in the calling thread's network namespace, [`Worker`] owns an engine on a
//! plain thread and moves frames between devices, and [`segment`] is the fallback towards a device
//! that takes neither super-frames nor partial checksums; `coalesce` is its reverse, for frames that one
//! batch holds anyway. `sys` is the only place with unsafe code.

mod coalesce;
#[cfg(test)]
mod packets;
pub mod segment;
#[allow(unsafe_code)]
mod sys;
mod tun;
mod worker;

pub use sys::unshare_network;
pub use tun::{Tun, check_name};
pub use worker::{Worker, WorkerGone, WorkerHandle};

use rustix::io::Errno;

/// Why a device could not be opened or a worker not started.
#[derive(Debug, thiserror::Error)]
pub enum IoError {
    /// The name is not one that the kernel takes for a device.
    #[error(
        "device name `{name}` is not valid; accepted: 1 to 15 printable ASCII characters, \
         no `/`, `:`, `%` or space, and neither `.` nor `..`"
    )]
    Name {
        /// The name as asked for.
        name: String,
    },
    /// `/dev/net/tun` cannot be opened.
    #[error(
        "cannot open /dev/net/tun for device `{name}`; the tun driver must be present and \
         accessible"
    )]
    Driver {
        /// The device that was to be made.
        name: String,
        /// What the kernel said.
        source: Errno,
    },
    /// The namespace has a device of this name already; it is never taken over.
    #[error(
        "device `{name}` exists in this namespace already; choose another name or remove that \
         device"
    )]
    Exists {
        /// The name that is taken.
        name: String,
    },
    /// The process may not make network devices.
    #[error("not permitted to make device `{name}`; CAP_NET_ADMIN in its namespace is needed")]
    NotPermitted {
        /// The device that was to be made.
        name: String,
        /// What the kernel said.
        source: Errno,
    },
    /// The kernel did not make the device.
    #[error("cannot make device `{name}`")]
    Create {
        /// The device that was to be made.
        name: String,
        /// What the kernel said.
        source: Errno,
    },
    /// The kernel did not give the device another queue.
    #[error("cannot make queue {queue} of device `{name}`")]
    Queue {
        /// The device.
        name: String,
        /// The queue's number.
        queue: usize,
        /// What the kernel said.
        source: Errno,
    },
    /// The kernel did not take the length of the header before each frame.
    #[error("device `{name}` does not take a frame header of 10 bytes")]
    HeaderLength {
        /// The device.
        name: String,
        /// What the kernel said.
        source: Errno,
    },
    /// The kernel takes no checksum offload at all.
    #[error("device `{name}` takes no offload; attach it with offload off")]
    Offload {
        /// The device.
        name: String,
        /// What the kernel said.
        source: Errno,
    },
    /// The worker's epoll instance or its wake-up descriptor could not be made.
    #[error("cannot make the worker's {what}")]
    Poll {
        /// Which of the two.
        what: &'static str,
        /// What the kernel said.
        source: Errno,
    },
    /// The worker's thread could not be started.
    #[error("cannot start the worker's thread")]
    Thread {
        /// What the system said.
        source: std::io::Error,
    },
}
