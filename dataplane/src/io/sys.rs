//! The ioctls of a TUN device, and leaving a network namespace. All unsafe code is here: one call per
//! function, behind a safe signature. There is no safe wrapper for these calls in `rustix`;
//! everything else that is asked of the kernel goes through its safe functions.

use rustix::io::Errno;
use rustix::ioctl::{IntegerSetter, Opcode, Setter, Updater, ioctl, opcode};
use rustix::thread::{UnshareFlags, unshare_unsafe};
use std::ffi::{c_int, c_short, c_uint};
use std::os::fd::BorrowedFd;

const TUNSETIFF: Opcode = opcode::write::<c_int>(b'T', 202);
const TUNSETOFFLOAD: Opcode = opcode::write::<c_uint>(b'T', 208);
const TUNSETVNETHDRSZ: Opcode = opcode::write::<c_int>(b'T', 216);

/// A device that carries IP packets without a link-layer header.
pub const IFF_TUN: c_short = 0x0001;
/// No protocol word before each packet.
pub const IFF_NO_PI: c_short = 0x1000;
/// A device that further descriptors may be attached to, each a queue of its own; every one of them
/// has to ask for it.
pub const IFF_MULTI_QUEUE: c_short = 0x0100;
/// A `virtio_net_hdr` before each frame.
pub const IFF_VNET_HDR: c_short = 0x4000;
/// Refuse a name that is taken instead of attaching to the device that has it. It is the sign bit.
pub const IFF_TUN_EXCL: c_short = c_short::MIN;

/// Partial checksums.
pub const TUN_F_CSUM: c_uint = 0x01;
/// TCP super-frames over IPv4.
pub const TUN_F_TSO4: c_uint = 0x02;
/// TCP super-frames over IPv6.
pub const TUN_F_TSO6: c_uint = 0x04;
/// TCP super-frames that carry ECN flags.
pub const TUN_F_TSO_ECN: c_uint = 0x08;
/// UDP super-frames over IPv4; the kernel takes it only together with the next.
pub const TUN_F_USO4: c_uint = 0x20;
/// UDP super-frames over IPv6.
pub const TUN_F_USO6: c_uint = 0x40;

/// Bytes that the kernel keeps for a device name, the closing zero included.
pub const IFNAMSIZ: usize = 16;

/// `struct ifreq` as `TUNSETIFF` uses it: a name, flags, and the rest of the union.
#[repr(C)]
struct InterfaceRequest {
    name: [u8; IFNAMSIZ],
    flags: c_short,
    rest: [u8; 22],
}

const _: () = assert!(
    size_of::<InterfaceRequest>() == 40,
    "the kernel's ifreq has 40 bytes"
);

/// Makes the device `name` and ties it to `tun`; or attaches `tun` to it as one more queue, if it is
/// there and has several.
///
/// # Errors
///
/// What the kernel says; `EBUSY` for a name that is taken if [`IFF_TUN_EXCL`] is asked for.
pub fn set_interface(
    tun: BorrowedFd<'_>,
    name: [u8; IFNAMSIZ],
    flags: c_short,
) -> Result<(), Errno> {
    let mut request = InterfaceRequest {
        name,
        flags,
        rest: [0; 22],
    };
    // SAFETY: TUNSETIFF reads one `struct ifreq` and writes it back. `request` has its layout and
    // its 40 bytes (asserted above), is fully initialised, and is borrowed mutably until the call
    // returns; any bytes the kernel writes are valid for its fields.
    unsafe {
        ioctl(
            tun,
            Updater::<TUNSETIFF, InterfaceRequest>::new(&mut request),
        )
    }
}

/// Sets the length of the header that stands before each frame.
///
/// # Errors
///
/// What the kernel says.
pub fn set_header_length(tun: BorrowedFd<'_>, length: c_int) -> Result<(), Errno> {
    // SAFETY: TUNSETVNETHDRSZ reads one `int` through its argument; `Setter` keeps the value alive
    // and passes its address.
    unsafe { ioctl(tun, Setter::<TUNSETVNETHDRSZ, c_int>::new(length)) }
}

/// Tells the kernel which offloads the reader of the device accepts.
///
/// # Errors
///
/// What the kernel says; `EINVAL` for a flag that it does not know.
pub fn set_offload(tun: BorrowedFd<'_>, flags: c_uint) -> Result<(), Errno> {
    // SAFETY: TUNSETOFFLOAD takes its argument as an integer, not as a pointer, and accepts any
    // value (unknown flags are refused); `c_uint` always fits in `usize` on Linux.
    unsafe {
        ioctl(
            tun,
            IntegerSetter::<TUNSETOFFLOAD>::new_usize(flags as usize),
        )
    }
}

/// Moves the calling thread, and no other, into a new network namespace with nothing in it. It ends
/// with the thread unless a descriptor holds it.
///
/// # Errors
///
/// What the kernel says; `EPERM` without `CAP_SYS_ADMIN`.
pub fn unshare_network() -> Result<(), Errno> {
    // SAFETY: only a new table of file descriptors could make the call unsafe, and it asks for a
    // new network namespace alone.
    unsafe { unshare_unsafe(UnshareFlags::NEWNET) }
}
