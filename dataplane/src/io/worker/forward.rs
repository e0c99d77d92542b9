//! One batch of frames: out of a device, through the engine, into others.
//!
//! With few flows a frame is read, decided on and written before the next one is read. With many, what
//! the engine needs of a flow is far away in memory; then some small frames are read first, so that
//! the engine can look ahead at all of them at once. No frame waits for one that is not there yet.
//!
//! With several workers, a frame whose flow another owns goes to that one's inbox instead.

use super::super::Tun;
use super::super::segment::Segments;
use super::Devices;
use super::inbox::{Inbox, Peers};
use crate::engine::{Engine, Frame, Verdict};
use crate::policy::PortId;
use crate::time::Now;
use crate::wire::ipv6;
use crate::wire::vnet_hdr::{self, VnetHdr};
use rustix::io::Errno;

/// Frames that one device, or the inbox, may give before the next has its turn.
pub(super) const BATCH: usize = 64;
/// Frames that are read before the first of them is decided on, at most.
const AHEAD: usize = 16;
/// Bytes after which no further frame is read ahead: more would push the first one out of the cache.
const AHEAD_BYTES: usize = 16 * 1024;
/// Flows of which what is needed of them stays near without being looked ahead at.
const FEW_FLOWS: usize = 4096;

/// The longest IP packet: of IPv6 it is longer than of IPv4 by the header.
const PACKET_MAX: usize = ipv6::LEN + 65535;
/// Where a frame is read to, so that its packet can grow towards the front.
const FRAME: usize = Frame::HEADROOM;
/// Where its packet begins.
const PACKET: usize = FRAME + vnet_hdr::LEN;
/// Room, a header and the longest packet.
const BUFFER: usize = PACKET + PACKET_MAX;
/// What stands for a header of a kind that is not known: the engine refuses it for every packet and
/// so counts the frame as a bad offload. The kernel sends none, as none was asked for.
const UNKNOWN_OFFLOAD: VnetHdr = VnetHdr {
    needs_csum: true,
    csum_start: u16::MAX,
    csum_offset: u16::MAX,
    gso_type: vnet_hdr::GsoType::None,
    gso_ecn: false,
    hdr_len: 0,
    gso_size: 0,
};

type Buffer = [u8; BUFFER];

/// Where frames are read to. Memory is taken as it is used: of all but the first when there are many
/// flows.
#[derive(Debug)]
pub(super) struct Buffers(Vec<Buffer>);

impl Default for Buffers {
    fn default() -> Self {
        Self(vec![[0; BUFFER]; AHEAD])
    }
}

/// Moves up to [`BATCH`] frames out of `tun`; returns an error only if the device is gone.
pub(super) fn forward_batch(
    engine: &mut Engine,
    devices: &Devices,
    peers: &Peers,
    buffers: &mut Buffers,
    now: Now,
    port: PortId,
    tun: &Tun,
) -> Option<Errno> {
    let mut left = BATCH;
    while left > 0 {
        let most = match engine.flow_count() {
            0..=FEW_FLOWS => 1,
            _ => AHEAD.min(left),
        };
        let buffers = buffers.0.get_mut(..most)?;
        let mut heads = [(VnetHdr::default(), 0); AHEAD];
        let (count, end) = read_ahead(tun, buffers, &mut heads);
        if count > 1 {
            let frames = buffers.iter().zip(&heads).take(count);
            engine.anticipate(
                port,
                frames.map(|(buffer, &(_, len))| packet_of(buffer, len)),
            );
        }
        for (buffer, &(vnet, len)) in buffers.iter_mut().zip(&heads).take(count) {
            let bytes = buffer.get_mut(..PACKET + len)?;
            let packet = bytes.get(PACKET..).unwrap_or_default();
            if let Some(owner) = peers.owner(now, port, packet) {
                peers.hand_over(engine, owner, port, vnet, (bytes, len));
                continue;
            }
            forward(engine, devices, bytes, vnet, now, port);
        }
        match end {
            None => left -= count,
            Some(Errno::AGAIN) => return None,
            Some(error) => return Some(error),
        }
    }
    None
}

/// Decides on up to `most` frames that others read and sends what becomes of them.
pub(super) fn forward_inbox(
    engine: &mut Engine,
    devices: &Devices,
    peers: &Peers,
    inbox: &mut Inbox,
    now: Now,
    most: usize,
) {
    for _ in 0..most {
        let Some(mut parcel) = inbox.take() else {
            return;
        };
        let (bytes, vnet) = (&mut parcel.bytes, parcel.vnet);
        forward(engine, devices, bytes, vnet, now, parcel.port);
        peers.give_back(parcel);
    }
}

fn packet_of(buffer: &Buffer, len: usize) -> &[u8] {
    buffer.get(PACKET..PACKET + len).unwrap_or_default()
}

/// Reads frames into the buffers, up to [`AHEAD_BYTES`]. Returns how many there are and why there
/// are no more, if it is not for want of room; of each, `heads` gets the header and the packet's
/// length.
fn read_ahead(
    tun: &Tun,
    buffers: &mut [Buffer],
    heads: &mut [(VnetHdr, usize)],
) -> (usize, Option<Errno>) {
    let (mut count, mut bytes) = (0, 0);
    for (buffer, head) in buffers.iter_mut().zip(heads) {
        *head = match read_frame(tun, buffer) {
            Ok(head) => head,
            Err(error) => return (count, Some(error)),
        };
        count += 1;
        bytes += head.1;
        if bytes >= AHEAD_BYTES {
            break;
        }
    }
    (count, None)
}

/// Decides on a frame whose packet begins at [`PACKET`] of `bytes`, and sends what becomes of it.
#[inline]
fn forward(
    engine: &mut Engine,
    devices: &Devices,
    bytes: &mut [u8],
    vnet: VnetHdr,
    now: Now,
    port: PortId,
) {
    let mut frame = Frame::with_room(vnet, bytes, PACKET);
    if let Verdict::Forward(out) = engine.process(now, port, &mut frame) {
        let (vnet, start) = (frame.vnet, frame.room());
        if start != PACKET {
            // The header goes where the packet went; it may have changed with it.
            put_header(bytes, start, vnet);
        }
        let sent = bytes.get_mut(start.saturating_sub(vnet_hdr::LEN)..);
        if !send_frame(devices.get(out), &vnet, sent.unwrap_or_default()) {
            engine.output_failed(out);
        }
    }
    send_emitted(engine, devices);
}

/// Writes the header of a frame whose packet begins at `start`.
#[cold]
fn put_header(bytes: &mut [u8], start: usize, vnet: VnetHdr) {
    let header = bytes.get_mut(start.saturating_sub(vnet_hdr::LEN)..start);
    if let Some(header) = header.and_then(<[u8]>::first_chunk_mut) {
        *header = vnet.to_bytes();
    }
}

/// Reads one frame so that its packet begins at [`PACKET`], whether or not the device sends a
/// header, and returns what the header says and the packet's length.
fn read_frame(tun: &Tun, buffer: &mut Buffer) -> Result<(VnetHdr, usize), Errno> {
    let (_, frame) = buffer.split_at_mut(FRAME);
    if tun.has_vnet_hdr() {
        let read = tun.read(frame)?;
        let header = frame
            .first_chunk::<{ vnet_hdr::LEN }>()
            .ok_or(Errno::INVAL)?;
        let vnet = VnetHdr::parse(*header).unwrap_or(UNKNOWN_OFFLOAD);
        Ok((vnet, read.saturating_sub(vnet_hdr::LEN).min(PACKET_MAX)))
    } else {
        let (header, packet) = frame
            .split_first_chunk_mut::<{ vnet_hdr::LEN }>()
            .ok_or(Errno::INVAL)?;
        *header = VnetHdr::default().to_bytes();
        Ok((VnetHdr::default(), tun.read(packet)?.min(PACKET_MAX)))
    }
}

/// Writes a frame as it is, or as finished packets to a device without a header; returns whether
/// the device took all of it.
fn send_frame(tun: Option<&Tun>, vnet: &VnetHdr, frame: &mut [u8]) -> bool {
    let Some(tun) = tun else { return false };
    if tun.has_vnet_hdr() {
        return tun.write(frame).is_ok();
    }
    let Some((_, packet)) = frame.split_at_mut_checked(vnet_hdr::LEN) else {
        return false;
    };
    let Ok(mut segments) = Segments::new(vnet, packet) else {
        return false;
    };
    while let Some(packet) = segments.next_packet() {
        if tun.write(packet).is_err() {
            return false;
        }
    }
    true
}

/// Writes what the engine made itself: resets and ICMP errors, finished packets.
pub(super) fn send_emitted(engine: &mut Engine, devices: &Devices) {
    while let Some(emitted) = engine.take_emitted() {
        let written = devices
            .get(emitted.port)
            .map(|tun| tun.write_packet(&emitted.packet));
        if !matches!(written, Some(Ok(()))) {
            engine.output_failed(emitted.port);
        }
    }
}
