//! Many datagrams by one system call, and the two socket options of UDP super-frames. All unsafe
//! code is here: `rustix` has no `recvmmsg` and neither of the options.

use std::io;
use std::mem::{size_of, zeroed};
use std::net::SocketAddrV4;
use std::os::fd::{AsFd, AsRawFd};
use std::ptr::{from_mut, from_ref, null_mut};

/// As many datagrams as one system call moves.
pub const BATCH: usize = 64;

/// Lets the kernel, or the device, cut what is sent into datagrams of `size` bytes.
pub fn set_segment(socket: impl AsFd, size: u16) -> io::Result<()> {
    set_option(socket, libc::UDP_SEGMENT, size.into())
}

/// Takes trains of datagrams as they are, uncut.
pub fn set_trains(socket: impl AsFd) -> io::Result<()> {
    set_option(socket, libc::UDP_GRO, 1)
}

fn set_option(socket: impl AsFd, option: libc::c_int, value: libc::c_int) -> io::Result<()> {
    // SAFETY: both options take one `int`; the pointer is to one, of the size that is told, and it
    // lives until the call returns. The descriptor is open as long as `socket` is borrowed.
    let result = unsafe {
        libc::setsockopt(
            socket.as_fd().as_raw_fd(),
            libc::SOL_UDP,
            option,
            from_ref(&value).cast(),
            INT,
        )
    };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

#[allow(
    clippy::cast_possible_truncation,
    reason = "the sizes of two small structures"
)]
const INT: libc::socklen_t = size_of::<libc::c_int>() as libc::socklen_t;
#[allow(clippy::cast_possible_truncation, reason = "as above")]
const ADDRESS: libc::socklen_t = size_of::<libc::sockaddr_in>() as libc::socklen_t;

/// Room for the datagrams of one system call.
pub struct Batch {
    payloads: Vec<Vec<u8>>,
    lengths: [usize; BATCH],
    addresses: [libc::sockaddr_in; BATCH],
}

impl Batch {
    /// Makes room for datagrams of up to `bytes` each.
    pub fn new(bytes: usize) -> Self {
        Self {
            payloads: vec![vec![0; bytes]; BATCH],
            lengths: [bytes; BATCH],
            // SAFETY: a `sockaddr_in` is made of integers alone; zero is a value of each.
            addresses: unsafe { zeroed() },
        }
    }

    /// Returns the bytes of a datagram: all of its room.
    pub fn payload(&mut self, at: usize) -> &mut [u8] {
        &mut self.payloads[at]
    }

    /// Returns the bytes of a datagram that was received.
    pub fn received(&self, at: usize) -> &[u8] {
        &self.payloads[at][..self.lengths[at]]
    }

    /// Says where a datagram is to be sent.
    pub fn set_destination(&mut self, at: usize, to: SocketAddrV4) {
        let address = &mut self.addresses[at];
        address.sin_family = 2; // AF_INET, in the narrow type of this field.
        address.sin_port = to.port().to_be();
        address.sin_addr.s_addr = u32::from(*to.ip()).to_be();
    }

    /// Sends all datagrams; returns how many the kernel took.
    pub fn send(&mut self, socket: impl AsFd) -> io::Result<usize> {
        self.exchange(socket, |socket, headers| {
            // SAFETY: `headers` are BATCH initialised headers whose pointers are valid (see
            // `exchange`), and the kernel writes nothing but their `msg_len`.
            unsafe { libc::sendmmsg(socket, headers.as_mut_ptr(), COUNT, 0) }
        })
    }

    /// Receives what is there, at most [`BATCH`] datagrams; `WouldBlock` if there is none.
    pub fn receive(&mut self, socket: impl AsFd) -> io::Result<usize> {
        self.exchange(socket, |socket, headers| {
            // SAFETY: as above; the kernel writes into the payloads, each no longer than its
            // vector says, and into the headers.
            unsafe {
                libc::recvmmsg(
                    socket,
                    headers.as_mut_ptr(),
                    COUNT,
                    libc::MSG_DONTWAIT,
                    null_mut(),
                )
            }
        })
    }

    /// Builds the headers of all datagrams, makes one call with them, and keeps the lengths.
    fn exchange(
        &mut self,
        socket: impl AsFd,
        call: impl FnOnce(libc::c_int, &mut [libc::mmsghdr; BATCH]) -> libc::c_int,
    ) -> io::Result<usize> {
        // SAFETY: `iovec` and `mmsghdr` are made of pointers and integers; zero is a value of each.
        let (mut vectors, mut headers): ([libc::iovec; BATCH], [libc::mmsghdr; BATCH]) =
            unsafe { zeroed() };
        let parts = self.payloads.iter_mut().zip(&mut self.addresses);
        for ((payload, address), (vector, header)) in
            parts.zip(vectors.iter_mut().zip(&mut headers))
        {
            vector.iov_base = payload.as_mut_ptr().cast();
            vector.iov_len = payload.len();
            header.msg_hdr.msg_name = from_mut(address).cast();
            header.msg_hdr.msg_namelen = ADDRESS;
            header.msg_hdr.msg_iov = from_mut(vector);
            header.msg_hdr.msg_iovlen = 1;
        }
        // Everything that the headers point at lives in `self` or on this stack until here.
        let moved = call(socket.as_fd().as_raw_fd(), &mut headers);
        let moved = usize::try_from(moved).map_err(|_| io::Error::last_os_error())?;
        for (length, header) in self.lengths.iter_mut().zip(&headers).take(moved) {
            *length = usize::try_from(header.msg_len).unwrap_or(0);
        }
        Ok(moved)
    }
}

#[allow(clippy::cast_possible_truncation, reason = "it is 64")]
const COUNT: libc::c_uint = BATCH as libc::c_uint;
