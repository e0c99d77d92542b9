//! The 10-byte `virtio_net_hdr` that stands before each frame of a TUN device with `IFF_VNET_HDR`
//! (virtio 1.2, section 5.1.6; Linux `include/uapi/linux/virtio_net.h`, host byte order here).

/// Length of the header in bytes.
pub const LEN: usize = 10;

const F_NEEDS_CSUM: u8 = 1;
const GSO_ECN: u8 = 0x80;

/// How a super-frame is to be cut.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum GsoType {
    /// Not at all: the frame is one packet.
    #[default]
    None,
    /// TCP over IPv4.
    TcpV4,
    /// TCP over IPv6.
    TcpV6,
    /// UDP datagrams of equal size (USO), IPv4 or IPv6.
    UdpL4,
}

/// What the header says of its frame.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct VnetHdr {
    /// Whether the checksum field holds only the pseudo-header's sum; the sum from `csum_start` on
    /// is still to be put at `csum_start + csum_offset`.
    pub needs_csum: bool,
    /// How the frame is to be cut.
    pub gso_type: GsoType,
    /// Whether the frame carries TCP CWR that only the first segment may keep.
    pub gso_ecn: bool,
    /// Bytes of headers; a hint that is never trusted.
    pub hdr_len: u16,
    /// Bytes of payload in each segment.
    pub gso_size: u16,
    /// Where the sum begins, in bytes from the start of the packet.
    pub csum_start: u16,
    /// Where the sum is put, in bytes from `csum_start`.
    pub csum_offset: u16,
}

impl VnetHdr {
    /// Returns what `bytes` say; `None` for a type of super-frame that is not known.
    #[must_use]
    pub fn parse(bytes: [u8; LEN]) -> Option<Self> {
        let [flags, gso, l0, l1, s0, s1, c0, c1, o0, o1] = bytes;
        let gso_type = match gso & !GSO_ECN {
            0 => GsoType::None,
            1 => GsoType::TcpV4,
            4 => GsoType::TcpV6,
            5 => GsoType::UdpL4,
            _ => return None,
        };
        Some(Self {
            needs_csum: flags & F_NEEDS_CSUM != 0,
            gso_type,
            gso_ecn: gso & GSO_ECN != 0,
            hdr_len: u16::from_ne_bytes([l0, l1]),
            gso_size: u16::from_ne_bytes([s0, s1]),
            csum_start: u16::from_ne_bytes([c0, c1]),
            csum_offset: u16::from_ne_bytes([o0, o1]),
        })
    }

    /// Returns the header's bytes.
    #[must_use]
    pub fn to_bytes(self) -> [u8; LEN] {
        let gso = match self.gso_type {
            GsoType::None => 0,
            GsoType::TcpV4 => 1,
            GsoType::TcpV6 => 4,
            GsoType::UdpL4 => 5,
        } | if self.gso_ecn { GSO_ECN } else { 0 };
        let [l0, l1] = self.hdr_len.to_ne_bytes();
        let [s0, s1] = self.gso_size.to_ne_bytes();
        let [c0, c1] = self.csum_start.to_ne_bytes();
        let [o0, o1] = self.csum_offset.to_ne_bytes();
        [
            u8::from(self.needs_csum),
            gso,
            l0,
            l1,
            s0,
            s1,
            c0,
            c1,
            o0,
            o1,
        ]
    }
}
