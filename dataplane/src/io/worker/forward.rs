//! One batch of frames: out of a device, through the engine, into others.
//!
//! Small frames that wait already are read before the first of them is decided on, so that those of one
//! flow can leave as one ([`output`](super::output)). A large one is decided on and written at once, while
//! it is in the cache. With many flows, what the engine needs of each is far away in memory; then it
//! looks ahead at all that were read at once. No frame waits for one that is not there yet.
//!
//! With several workers, a frame whose flow another owns goes to that one's inbox instead.

use super::super::Tun;
use super::Devices;
use super::inbox::{Inbox, Parcel, Peers};
use super::output::{Outlet, Output};
use crate::engine::{Emitted, Engine, Frame, Verdict};
use crate::policy::PortId;
use crate::time::Now;
use crate::wire::ipv6;
use crate::wire::vnet_hdr::{self, VnetHdr};
use rustix::io::Errno;

/// Frames that one device, or the inbox, may give before the next has its turn.
pub(super) const BATCH: usize = 64;
/// Frames that are read before the first of them is decided on, at most.
const AHEAD: usize = BATCH;
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
/// Frames begin at multiples of this, so that the headers of a small one lie in few lines of the cache.
const LINE: usize = 64;
/// Where frames are read to: what is read ahead, one behind the other, and the longest one after it.
const MEMORY: usize = AHEAD_BYTES + AHEAD * (PACKET + LINE) + BUFFER;
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

/// What the header of a frame says, and the length of its packet.
type Head = (VnetHdr, usize);

/// Where frames are read to.
#[derive(Debug)]
pub(super) struct Buffers(Vec<u8>);

impl Default for Buffers {
    fn default() -> Self {
        Self(vec![0; MEMORY])
    }
}

/// How a batch of a device ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BatchEnd {
    /// Nothing more waited.
    Drained,
    /// It had as many frames as a batch may; more may wait.
    Full,
    /// The device is gone.
    Gone(Errno),
}

impl BatchEnd {
    /// Returns why the device is gone, if it is.
    pub(super) fn error(self) -> Option<Errno> {
        match self {
            Self::Drained | Self::Full => None,
            Self::Gone(error) => Some(error),
        }
    }
}

/// Moves up to `most` frames, and no more than [`BATCH`], out of a device.
pub(super) fn forward_batch(
    engine: &mut Engine,
    devices: &Devices,
    peers: &Peers,
    buffers: &mut Buffers,
    now: Now,
    (port, tun): (PortId, &Tun),
    most: usize,
) -> BatchEnd {
    let mut left = most.min(BATCH);
    let mut heads = [(VnetHdr::default(), 0); AHEAD];
    while left > 0 {
        let room = heads.get_mut(..left).unwrap_or_default();
        let (count, end) = read_ahead(tun, buffers, room);
        match heads.get(..count).unwrap_or_default() {
            [] => {}
            &[head] => forward_lone(engine, devices, peers, buffers, head, now, port),
            heads => forward_all(engine, devices, peers, buffers, heads, now, port),
        }
        match end {
            None => left -= count,
            Some(Errno::AGAIN) => return BatchEnd::Drained,
            Some(error) => return BatchEnd::Gone(error),
        }
    }
    BatchEnd::Full
}

/// Decides on the only frame that was read, which has nothing to be joined with, and sends what becomes
/// of it: super-frames in bulk, and single requests.
#[inline]
fn forward_lone(
    engine: &mut Engine,
    devices: &Devices,
    peers: &Peers,
    buffers: &mut Buffers,
    (vnet, len): Head,
    now: Now,
    port: PortId,
) {
    let Some(bytes) = buffers.0.get_mut(..PACKET + len) else {
        return;
    };
    let packet = bytes.get(PACKET..).unwrap_or_default();
    if let Some(owner) = peers.owner(now, port, packet) {
        return peers.hand_over(engine, owner, port, vnet, (bytes, len));
    }
    if let Some((out, vnet, frame)) = decide(engine, bytes, vnet, now, port) {
        Output::write_through(&mut Outlet { engine, devices }, out, &vnet, frame);
    }
    send_emitted(engine, devices);
}

/// Decides on the frames that were read, and sends what becomes of them.
fn forward_all(
    engine: &mut Engine,
    devices: &Devices,
    peers: &Peers,
    buffers: &mut Buffers,
    heads: &[Head],
    now: Now,
    port: PortId,
) {
    if engine.flow_count() > FEW_FLOWS {
        engine.anticipate(port, buffers.packets(heads));
    }
    let mut output = Output::new();
    for (&(vnet, len), bytes) in heads.iter().zip(buffers.frames(heads)) {
        let packet = bytes.get(PACKET..).unwrap_or_default();
        if let Some(owner) = peers.owner(now, port, packet) {
            peers.hand_over(engine, owner, port, vnet, (bytes, len));
        } else {
            forward(engine, devices, &mut output, bytes, vnet, now, port);
        }
    }
    output.flush(&mut Outlet { engine, devices });
}

/// Decides on up to `most` frames that others read and sends what becomes of them; returns whether there
/// were as many.
pub(super) fn forward_inbox(
    engine: &mut Engine,
    devices: &Devices,
    peers: &Peers,
    inbox: &mut Inbox,
    now: Now,
    most: usize,
) -> bool {
    let mut left = most;
    while left > 0 {
        let mut parcels = [const { None::<Parcel> }; BATCH];
        let (mut count, mut bytes) = (0, 0);
        for place in parcels.iter_mut().take(left) {
            let Some(parcel) = inbox.take() else { break };
            bytes += parcel.bytes.len();
            *place = Some(parcel);
            count += 1;
            if bytes >= AHEAD_BYTES {
                break;
            }
        }
        if count == 0 {
            return false;
        }
        let mut output = Output::new();
        for parcel in parcels.iter_mut().flatten() {
            let (bytes, vnet) = (&mut parcel.bytes, parcel.vnet);
            forward(engine, devices, &mut output, bytes, vnet, now, parcel.port);
        }
        output.flush(&mut Outlet { engine, devices });
        for parcel in parcels.into_iter().flatten() {
            peers.give_back(parcel);
        }
        left -= count;
    }
    true
}

impl Buffers {
    /// Returns the frames that were read, as [`decide`] takes them.
    fn frames<'b>(&'b mut self, heads: &[Head]) -> impl Iterator<Item = &'b mut [u8]> {
        let mut rest = self.0.as_mut_slice();
        heads.iter().map_while(move |&(_, len)| {
            let (frame, after) = std::mem::take(&mut rest).split_at_mut_checked(stride(len))?;
            rest = after;
            frame.get_mut(..PACKET + len)
        })
    }

    /// Returns the packets of the frames that were read.
    fn packets(&self, heads: &[Head]) -> impl Iterator<Item = &[u8]> {
        let mut rest = self.0.as_slice();
        heads.iter().map_while(move |&(_, len)| {
            let (frame, after) = rest.split_at_checked(stride(len))?;
            rest = after;
            frame.get(PACKET..PACKET + len)
        })
    }
}

/// Returns how far from a frame the next one begins.
fn stride(packet_len: usize) -> usize {
    (PACKET + packet_len).next_multiple_of(LINE)
}

/// Reads frames, up to [`AHEAD_BYTES`]. Returns how many there are and why there are no more, if it
/// is not for want of room.
fn read_ahead(tun: &Tun, buffers: &mut Buffers, heads: &mut [Head]) -> (usize, Option<Errno>) {
    let (mut count, mut bytes) = (0, 0);
    let mut rest = buffers.0.as_mut_slice();
    for head in heads {
        *head = match read_frame(tun, rest) {
            Ok(head) => head,
            Err(error) => return (count, Some(error)),
        };
        count += 1;
        bytes += head.1;
        if bytes >= AHEAD_BYTES {
            break;
        }
        rest = rest.get_mut(stride(head.1)..).unwrap_or_default();
    }
    (count, None)
}

/// Decides on a frame whose packet begins at [`PACKET`] of `bytes`, and has what becomes of it held or
/// sent. Where the frame lies is all the same, as long as it stays there until `output` is flushed.
#[inline]
fn forward<'b>(
    engine: &mut Engine,
    devices: &Devices,
    output: &mut Output<'b>,
    bytes: &'b mut [u8],
    vnet: VnetHdr,
    now: Now,
    port: PortId,
) {
    if let Some((out, vnet, frame)) = decide(engine, bytes, vnet, now, port) {
        output.push(&mut Outlet { engine, devices }, out, &vnet, frame);
    }
    while let Some(emitted) = engine.take_emitted() {
        // It may be of a flow of which something is held, and comes after it.
        output.flush(&mut Outlet { engine, devices });
        send_one(engine, devices, &emitted);
    }
}

/// Decides on a frame whose packet begins at [`PACKET`] of `bytes`; returns what leaves, its header
/// first, and by which port.
#[inline]
fn decide<'b>(
    engine: &mut Engine,
    bytes: &'b mut [u8],
    vnet: VnetHdr,
    now: Now,
    port: PortId,
) -> Option<(PortId, VnetHdr, &'b mut [u8])> {
    let mut frame = Frame::with_room(vnet, bytes, PACKET);
    let Verdict::Forward(out) = engine.process(now, port, &mut frame) else {
        return None;
    };
    let (vnet, start) = (frame.vnet, frame.room());
    if start != PACKET {
        // The header goes where the packet went; it may have changed with it.
        put_header(bytes, start, vnet);
    }
    let frame = bytes.get_mut(start.saturating_sub(vnet_hdr::LEN)..);
    Some((out, vnet, frame.unwrap_or_default()))
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
fn read_frame(tun: &Tun, buffer: &mut [u8]) -> Result<(VnetHdr, usize), Errno> {
    let frame = buffer.get_mut(FRAME..BUFFER).ok_or(Errno::INVAL)?;
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

/// Writes what the engine made itself: resets and ICMP errors, finished packets.
pub(super) fn send_emitted(engine: &mut Engine, devices: &Devices) {
    while let Some(emitted) = engine.take_emitted() {
        send_one(engine, devices, &emitted);
    }
}

fn send_one(engine: &mut Engine, devices: &Devices, emitted: &Emitted) {
    let written = devices
        .get(emitted.port)
        .map(|tun| tun.write_packet(&emitted.packet));
    if !matches!(written, Some(Ok(()))) {
        engine.output_failed(emitted.port);
    }
}
