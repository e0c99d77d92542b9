//! One TUN device: made here, gone when its descriptor closes.
//!
//! The device is never persistent, so the kernel removes it with its addresses and routes when the
//! last descriptor is closed, however the process ends. It belongs to the network namespace of the
//! thread that opened it, and its descriptor keeps that namespace alive.
//!
//! A device may have several queues, a descriptor each, so that several workers read and write it
//! without meeting. The kernel puts a packet into the queue that the last packet the other way was
//! written to, as long as it remembers the flow (about 3 s, and 4,096 flows of a device), and
//! otherwise into one by the flow's hash. Whether there is a header and what is offloaded belongs
//! to the device, not to a queue.

use super::{IoError, sys};
use crate::wire::vnet_hdr::{self, GsoType};
use rustix::fs::{Mode, OFlags};
use rustix::io::{Errno, retry_on_intr};
use std::ffi::c_int;
use std::io::IoSlice;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// Offloads to ask for, from the most to the least that is worth having. The kernel refuses a set
/// that has one flag it does not know, so each step leaves out what came last to the kernel.
const OFFLOADS: [u32; 4] = [
    TCP_OFFLOADS | sys::TUN_F_USO4 | sys::TUN_F_USO6,
    TCP_OFFLOADS,
    sys::TUN_F_CSUM | sys::TUN_F_TSO4 | sys::TUN_F_TSO6,
    sys::TUN_F_CSUM,
];

const TCP_OFFLOADS: u32 = sys::TUN_F_CSUM | sys::TUN_F_TSO4 | sys::TUN_F_TSO6 | sys::TUN_F_TSO_ECN;

/// A queue of an open TUN device, not blocking. As it is opened it is the first one and holds the
/// others, if there are any, until they are [split](Self::split).
#[derive(Debug)]
pub struct Tun {
    fd: OwnedFd,
    name: String,
    has_vnet_hdr: bool,
    /// The offloads that the kernel took.
    offloads: u32,
    others: Vec<OwnedFd>,
}

impl Tun {
    /// Makes a TUN device with so many queues, at least one, in the calling thread's network
    /// namespace.
    ///
    /// With `offload` each frame has a `virtio_net_hdr` of 10 bytes before it, and the kernel may
    /// hand over super-frames and partial checksums; without, each frame is one finished packet.
    /// A device that exists already is left alone, even if nothing is attached to it.
    ///
    /// # Errors
    ///
    /// An [`IoError`] that names the device and the step that failed; nothing is left behind.
    pub fn open(name: &str, offload: bool, queues: usize) -> Result<Self, IoError> {
        let padded = padded_name(name)?;
        let device = || name.to_owned();
        let header = if offload { sys::IFF_VNET_HDR } else { 0 };
        let several = if queues > 1 { sys::IFF_MULTI_QUEUE } else { 0 };
        let flags = sys::IFF_TUN | sys::IFF_NO_PI | header | several;

        let fd = open_driver(name)?;
        let made = sys::set_interface(fd.as_fd(), padded, flags | sys::IFF_TUN_EXCL);
        made.map_err(|source| match source {
            Errno::BUSY | Errno::EXIST => IoError::Exists { name: device() },
            Errno::PERM | Errno::ACCESS => IoError::NotPermitted {
                name: device(),
                source,
            },
            source => IoError::Create {
                name: device(),
                source,
            },
        })?;
        let mut offloads = 0;
        if offload {
            // The kernel's default is 10 too; said aloud because every offset here depends on it.
            let length = c_int::try_from(vnet_hdr::LEN).unwrap_or(c_int::MAX);
            sys::set_header_length(fd.as_fd(), length).map_err(|source| IoError::HeaderLength {
                name: device(),
                source,
            })?;
            offloads = ask_for_offload(fd.as_fd()).map_err(|source| IoError::Offload {
                name: device(),
                source,
            })?;
        }
        // By its name alone: the kernel attaches what is opened to the device that is there.
        let attach = |queue| {
            let fd = open_driver(name)?;
            sys::set_interface(fd.as_fd(), padded, flags).map_err(|source| IoError::Queue {
                name: device(),
                queue,
                source,
            })?;
            Ok(fd)
        };
        Ok(Self {
            others: (1..queues).map(attach).collect::<Result<_, _>>()?,
            fd,
            name: device(),
            has_vnet_hdr: offload,
            offloads,
        })
    }

    /// Returns the queues, in the order of their numbers, each by itself. The device is there until
    /// the last one is dropped.
    #[must_use]
    pub fn split(mut self) -> Vec<Self> {
        let others = std::mem::take(&mut self.others);
        let (name, has_vnet_hdr, offloads) = (self.name.clone(), self.has_vnet_hdr, self.offloads);
        let mut queues = vec![self];
        queues.extend(others.into_iter().map(|fd| Self {
            fd,
            name: name.clone(),
            has_vnet_hdr,
            offloads,
            others: Vec::new(),
        }));
        queues
    }

    /// Returns the name under which the device was made.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns whether a `virtio_net_hdr` stands before each frame.
    #[must_use]
    pub const fn has_vnet_hdr(&self) -> bool {
        self.has_vnet_hdr
    }

    /// Returns whether the device takes super-frames of `kind`: a kernel before 6.2 takes none of UDP.
    #[must_use]
    pub const fn takes(&self, kind: GsoType) -> bool {
        let flags = match kind {
            GsoType::None => return true,
            GsoType::TcpV4 => sys::TUN_F_TSO4,
            GsoType::TcpV6 => sys::TUN_F_TSO6,
            GsoType::UdpL4 => sys::TUN_F_USO4 | sys::TUN_F_USO6,
        };
        self.offloads & flags == flags
    }

    /// Reads one frame, its header first if the device has one, and returns its length. A frame
    /// longer than `buffer` is cut off.
    ///
    /// # Errors
    ///
    /// `EAGAIN` if no frame waits; `EBADFD` if the device is gone.
    pub fn read(&self, buffer: &mut [u8]) -> Result<usize, Errno> {
        retry_on_intr(|| rustix::io::read(&self.fd, &mut *buffer))
    }

    /// Writes one frame, its header first if the device has one.
    ///
    /// # Errors
    ///
    /// `EAGAIN` if the device is full, `EIO` if it is down, `EINVAL` if the header contradicts the
    /// frame, `EBADFD` if the device is gone.
    pub fn write(&self, frame: &[u8]) -> Result<(), Errno> {
        retry_on_intr(|| rustix::io::write(&self.fd, frame)).map(|_| ())
    }

    /// Writes one frame that lies in parts, its header first if the device has one.
    ///
    /// # Errors
    ///
    /// As [`Self::write`].
    pub fn write_parts(&self, parts: &[IoSlice<'_>]) -> Result<(), Errno> {
        retry_on_intr(|| rustix::io::writev(&self.fd, parts)).map(|_| ())
    }

    /// Writes one finished packet, behind a header that asks for nothing if the device has one.
    ///
    /// # Errors
    ///
    /// As [`Self::write`].
    pub fn write_packet(&self, packet: &[u8]) -> Result<(), Errno> {
        if !self.has_vnet_hdr {
            return self.write(packet);
        }
        self.write_parts(&[IoSlice::new(&[0; vnet_hdr::LEN]), IoSlice::new(packet)])
    }
}

impl AsFd for Tun {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

fn open_driver(name: &str) -> Result<OwnedFd, IoError> {
    let flags = OFlags::RDWR | OFlags::NONBLOCK | OFlags::CLOEXEC;
    rustix::fs::open("/dev/net/tun", flags, Mode::empty()).map_err(|source| IoError::Driver {
        name: name.to_owned(),
        source,
    })
}

/// Returns the offloads that the kernel took.
fn ask_for_offload(fd: BorrowedFd<'_>) -> Result<u32, Errno> {
    let mut refusal = Errno::INVAL;
    for offloads in OFFLOADS {
        match sys::set_offload(fd, offloads) {
            Ok(()) => return Ok(offloads),
            Err(source) => refusal = source,
        }
    }
    Err(refusal)
}

/// Checks a device name before anything is made.
///
/// # Errors
///
/// [`IoError::Name`] with what is accepted.
pub fn check_name(name: &str) -> Result<(), IoError> {
    padded_name(name).map(|_| ())
}

/// The kernel would expand a `%d` and would take its own choice for an empty name, so both are
/// refused here.
fn padded_name(name: &str) -> Result<[u8; sys::IFNAMSIZ], IoError> {
    let refuse = || IoError::Name {
        name: name.to_owned(),
    };
    let is_accepted = |b: &u8| b.is_ascii_graphic() && !matches!(b, b'/' | b':' | b'%');
    if name.is_empty() || name == "." || name == ".." || !name.as_bytes().iter().all(is_accepted) {
        return Err(refuse());
    }
    let mut padded = [0; sys::IFNAMSIZ];
    // One byte less than there is room for: the name ends with a zero.
    match padded.get_mut(..name.len()) {
        Some(head) if name.len() < sys::IFNAMSIZ => head.copy_from_slice(name.as_bytes()),
        _ => return Err(refuse()),
    }
    Ok(padded)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_the_kernel_would_refuse_or_expand_are_refused_before() {
        for name in [
            "",
            ".",
            "..",
            "a/b",
            "a:b",
            "tun%d",
            "a b",
            "a\tb",
            "tün0",
            "a123456789012345",
        ] {
            assert!(
                matches!(check_name(name), Err(IoError::Name { .. })),
                "{name:?}"
            );
        }
        for name in ["a", "postern0", "a12345678901234", "x.y", "x-y_z@1"] {
            check_name(name).unwrap_or_else(|error| panic!("{name:?}: {error}"));
        }
    }

    #[test]
    fn offloads_are_asked_for_from_most_to_least() {
        for pair in OFFLOADS.windows(2) {
            assert_eq!(
                pair[0] & pair[1],
                pair[1],
                "each step only leaves something out"
            );
            assert_ne!(pair[0], pair[1]);
        }
    }
}
