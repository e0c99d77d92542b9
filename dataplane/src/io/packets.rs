//! Packets as tests see them: built, summed, cut and compared the slow way. Nothing of what is judged
//! by it is used here, not even a parser.

const DONT_FRAGMENT: u8 = 0x40;

/// How a packet's checksum stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Checksum {
    Whole,
    Partial,
    /// A wrong number, of either kind.
    WrongWhole,
    WrongPartial,
    /// None, which UDP over IPv4 may do.
    Absent,
}

/// What a sender hands over: one packet, or a super-frame.
#[derive(Clone, Debug)]
pub struct Sample {
    pub is_v6: bool,
    pub is_udp: bool,
    /// The last byte of both addresses, and the ports.
    pub hosts: [u8; 2],
    pub ports: [u16; 2],
    pub traffic_class: u8,
    pub hop_limit: u8,
    pub flow_label: u8,
    pub dont_fragment: bool,
    /// Further bits beside "don't fragment", and the offset.
    pub fragment: u16,
    pub ident: u16,
    pub ip_options: Vec<u8>,
    pub is_ip_sum_wrong: bool,
    pub sequence: u32,
    pub acknowledgement: u32,
    pub reserved: u8,
    pub flags: u8,
    pub window: u16,
    pub options: Vec<u8>,
    pub payload: Vec<u8>,
    /// How much more or less than it is the UDP length says.
    pub udp_length_off: i16,
    pub checksum: Checksum,
    /// The segment size of a super-frame.
    pub gso_size: Option<u16>,
    pub is_gso_ecn: bool,
}

impl Sample {
    pub fn udp(ident: u16, payload: &[u8]) -> Self {
        Self {
            is_v6: false,
            is_udp: true,
            hosts: [4, 5],
            ports: [40_000, 53],
            traffic_class: 0,
            hop_limit: 64,
            flow_label: 0,
            dont_fragment: false,
            fragment: 0,
            ident,
            ip_options: vec![],
            is_ip_sum_wrong: false,
            sequence: 0,
            acknowledgement: 0,
            reserved: 0,
            flags: 0,
            window: 0,
            options: vec![],
            payload: payload.to_vec(),
            udp_length_off: 0,
            checksum: Checksum::Partial,
            gso_size: None,
            is_gso_ecn: false,
        }
    }

    pub fn tcp(sequence: u32, payload: &[u8]) -> Self {
        Self {
            is_udp: false,
            dont_fragment: true,
            sequence,
            acknowledgement: 77,
            flags: 0x10,
            window: 500,
            // Two bytes of padding and a timestamp.
            options: vec![1, 1, 8, 10, 0, 0, 1, 2, 0, 0, 3, 4],
            ..Self::udp(9, payload)
        }
    }

    fn ip(&self, transport_len: usize) -> Vec<u8> {
        let short = |len: usize| u16::try_from(len).unwrap().to_be_bytes();
        let protocol = if self.is_udp { 17 } else { 6 };
        if self.is_v6 {
            let mut ip = vec![0x60 | self.traffic_class >> 4, self.traffic_class << 4];
            ip.extend([0, self.flow_label]);
            ip.extend(short(transport_len));
            ip.extend([protocol, self.hop_limit]);
            for host in self.hosts {
                ip.extend([0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 10, 9, 0, host]);
            }
            return ip;
        }
        let ip_len = 20 + self.ip_options.len();
        let mut ip = vec![0x40 | u8::try_from(ip_len / 4).unwrap(), self.traffic_class];
        ip.extend(short(ip_len + transport_len));
        ip.extend(self.ident.to_be_bytes());
        let dont_fragment = u16::from(self.dont_fragment) << 14;
        ip.extend((dont_fragment | self.fragment).to_be_bytes());
        ip.extend([self.hop_limit, protocol, 0, 0]);
        for host in self.hosts {
            ip.extend([10, 9, 0, host]);
        }
        ip.extend(&self.ip_options);
        let sum = !slow_sum(&ip) ^ u16::from(self.is_ip_sum_wrong);
        ip[10..12].copy_from_slice(&sum.to_be_bytes());
        ip
    }

    fn transport(&self) -> Vec<u8> {
        let mut bytes: Vec<u8> = self
            .ports
            .iter()
            .flat_map(|port| port.to_be_bytes())
            .collect();
        if self.is_udp {
            let len =
                i32::try_from(8 + self.payload.len()).unwrap() + i32::from(self.udp_length_off);
            bytes.extend(u16::try_from(len).unwrap().to_be_bytes());
            bytes.extend([0, 0]);
        } else {
            bytes.extend(self.sequence.to_be_bytes());
            bytes.extend(self.acknowledgement.to_be_bytes());
            let words = u8::try_from(5 + self.options.len() / 4).unwrap();
            bytes.extend([words << 4 | self.reserved, self.flags]);
            bytes.extend(self.window.to_be_bytes());
            bytes.extend([0; 4]);
            bytes.extend(&self.options);
        }
        bytes.extend(&self.payload);
        bytes
    }

    /// The frame, its 10-byte header first.
    pub fn frame(&self) -> Vec<u8> {
        let mut transport = self.transport();
        let ip = self.ip(transport.len());
        let at = if self.is_udp { 6 } else { 16 };
        let pseudo = slow_sum(&pseudo_header(&ip, transport.len()));
        let is_partial = matches!(self.checksum, Checksum::Partial | Checksum::WrongPartial);
        let sum = match self.checksum {
            Checksum::Absent => 0,
            Checksum::Partial => pseudo,
            Checksum::WrongPartial => pseudo ^ 0x0101,
            Checksum::Whole | Checksum::WrongWhole => {
                let whole = match !slow_sum(&[&pseudo.to_be_bytes(), transport.as_slice()].concat())
                {
                    0 => 0xffff,
                    sum => sum,
                };
                whole ^ u16::from(self.checksum == Checksum::WrongWhole)
            }
        };
        transport[at..at + 2].copy_from_slice(&sum.to_be_bytes());

        let gso = match self.gso_size {
            None => 0,
            Some(_) if self.is_udp => 5,
            Some(_) if self.is_v6 => 4,
            Some(_) => 1,
        };
        let mut frame = vec![u8::from(is_partial), gso | u8::from(self.is_gso_ecn) << 7];
        frame.extend([0xad, 0xde]);
        frame.extend(self.gso_size.unwrap_or(0).to_ne_bytes());
        frame.extend(u16::try_from(ip.len()).unwrap().to_ne_bytes());
        frame.extend(u16::try_from(at).unwrap().to_ne_bytes());
        frame.extend(ip);
        frame.extend(transport);
        frame
    }
}

/// Sums words one by one.
pub fn slow_sum(bytes: &[u8]) -> u16 {
    let mut sum = 0u32;
    for pair in bytes.chunks(2) {
        sum += u32::from(pair[0]) * 256 + pair.get(1).map_or(0, |&low| u32::from(low));
        if sum > 0xffff {
            sum -= 0xffff;
        }
    }
    u16::try_from(sum).unwrap()
}

fn pseudo_header(packet: &[u8], transport_len: usize) -> Vec<u8> {
    let (addresses, protocol) = match packet[0] >> 4 {
        6 => (&packet[8..40], packet[6]),
        _ => (&packet[12..20], packet[9]),
    };
    let mut bytes = addresses.to_vec();
    bytes.extend([0, protocol]);
    bytes.extend(u16::try_from(transport_len).unwrap().to_be_bytes());
    bytes
}

pub fn ip_len(packet: &[u8]) -> usize {
    match packet[0] >> 4 {
        6 => 40,
        _ => usize::from(packet[0] & 15) * 4,
    }
}

pub fn protocol(packet: &[u8]) -> u8 {
    if packet[0] >> 4 == 6 {
        packet[6]
    } else {
        packet[9]
    }
}

fn headers_len(packet: &[u8]) -> usize {
    let at = ip_len(packet);
    at + match protocol(packet) {
        17 => 8,
        _ => usize::from(packet[at + 12] >> 4) * 4,
    }
}

pub fn payload(packet: &[u8]) -> &[u8] {
    &packet[headers_len(packet)..]
}

/// The packets that a frame is on a wire, as a network card makes them of it: it takes the sum of the
/// pseudo-header as it finds it, and so spreads a wrong one.
pub fn cut(frame: &[u8]) -> Vec<Vec<u8>> {
    let (header, packet) = frame.split_at(10);
    let field = |at: usize| usize::from(u16::from_ne_bytes([header[at], header[at + 1]]));
    let checksum_at = field(6) + field(8);
    if header[1] & 0x7f == 0 {
        let mut packet = packet.to_vec();
        if header[0] & 1 != 0 {
            finish(&mut packet, field(6), checksum_at);
        }
        return vec![packet];
    }
    assert_eq!(header[0] & 1, 1, "a super-frame has a partial checksum");
    let (ip_len, headers_len) = (ip_len(packet), headers_len(packet));
    let kind = if protocol(packet) == 17 {
        5
    } else if packet[0] >> 4 == 6 {
        4
    } else {
        1
    };
    assert_eq!(header[1] & 0x7f, kind);
    let transport_len = |payload: usize| u16::try_from(headers_len - ip_len + payload).unwrap();
    let whole = &packet[headers_len..];
    let told = match packet[0] >> 4 {
        6 => u16::from_be_bytes([packet[4], packet[5]]),
        _ => u16::from_be_bytes([packet[2], packet[3]]) - u16::try_from(ip_len).unwrap(),
    };
    assert_eq!(
        told,
        transport_len(whole.len()),
        "the length of the super-frame"
    );
    if kind == 5 {
        assert_eq!(packet[ip_len + 4..ip_len + 6], told.to_be_bytes());
    }
    let chunks: Vec<_> = whole.chunks(field(4)).collect();
    let mut cut = Vec::new();
    for (index, chunk) in chunks.iter().enumerate() {
        let mut segment = [&packet[..headers_len], chunk].concat();
        let len = transport_len(chunk.len());
        if kind == 4 {
            segment[4..6].copy_from_slice(&len.to_be_bytes());
        } else {
            let total = len + u16::try_from(ip_len).unwrap();
            segment[2..4].copy_from_slice(&total.to_be_bytes());
            let ident = u16::from_be_bytes([packet[4], packet[5]]);
            let ident = ident.wrapping_add(u16::try_from(index).unwrap());
            segment[4..6].copy_from_slice(&ident.to_be_bytes());
            segment[10..12].fill(0);
            let sum = !slow_sum(&segment[..ip_len]);
            segment[10..12].copy_from_slice(&sum.to_be_bytes());
        }
        if kind == 5 {
            segment[ip_len + 4..ip_len + 6].copy_from_slice(&len.to_be_bytes());
        } else {
            let at = ip_len + 4;
            let sequence = u32::from_be_bytes(packet[at..at + 4].try_into().unwrap());
            let sent = u32::try_from(index * field(4)).unwrap();
            segment[at..at + 4].copy_from_slice(&sequence.wrapping_add(sent).to_be_bytes());
            if index + 1 != chunks.len() {
                segment[ip_len + 13] &= !0x09;
            }
            if index != 0 {
                segment[ip_len + 13] &= !0x80;
            }
        }
        // The field covers the length of the whole; that of the segment takes its place.
        let partial = [
            &packet[checksum_at..checksum_at + 2],
            &(!told).to_be_bytes(),
            &len.to_be_bytes(),
        ];
        let partial = slow_sum(&partial.concat());
        segment[checksum_at..checksum_at + 2].copy_from_slice(&partial.to_be_bytes());
        finish(&mut segment, field(6), checksum_at);
        cut.push(segment);
    }
    cut
}

fn finish(packet: &mut [u8], start: usize, at: usize) {
    let sum = match !slow_sum(&packet[start..]) {
        0 => 0xffff,
        sum => sum,
    };
    packet[at..at + 2].copy_from_slice(&sum.to_be_bytes());
}

/// Whether the checksums of a finished packet are right; UDP without one is.
pub fn is_sound(packet: &[u8]) -> bool {
    let (ip, transport) = packet.split_at(ip_len(packet));
    let has_none = protocol(packet) == 17 && transport[6..8] == [0, 0];
    let covered = [&pseudo_header(packet, transport.len()), transport].concat();
    let is_ip_sound = packet[0] >> 4 == 6 || slow_sum(ip) == 0xffff;
    is_ip_sound && (has_none || slow_sum(&covered) == 0xffff)
}

/// The packet with what a receiver may not rely on taken out: the identification of one that must not be
/// cut (RFC 6864), with it its sum, if that is right; and 0 for 0xffff as a checksum of TCP.
pub fn essence(packet: &[u8]) -> Vec<u8> {
    let mut packet = packet.to_vec();
    let at = ip_len(&packet);
    if packet[0] >> 4 == 4 {
        let is_right = slow_sum(&packet[..at]) == 0xffff;
        if packet[6] & DONT_FRAGMENT != 0 && is_right {
            packet[4..6].fill(0);
            packet[10..12].fill(0);
        }
    }
    if protocol(&packet) == 6 && packet.get(at + 16..at + 18) == Some(&[0, 0]) {
        packet[at + 16..at + 18].fill(0xff);
    }
    packet
}
