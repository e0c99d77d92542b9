//! What one batch made, held until the batch ends and written as few frames.
//!
//! A write costs the same for a packet as for a super-frame, so frames of one flow that follow each other
//! leave as one where the device takes that: by one `writev`, the headers made here, the payloads from
//! where they were read to. What may be joined is told by [`place`] and [`Train`]. Nothing waits for what
//! is not there yet, because whoever fills an [`Output`] flushes it when it has no more.
//!
//! **Order.** Frames of one flow towards one port are written in the order in which they were pushed:
//! what does not fit behind the train of its flow has the train written first. A frame that does not
//! say whose it is, such as a fragment, has everything written first that is held for its port.
//!
//! Nothing is allocated: an [`Output`] is as large as what a batch may hold.

use super::super::coalesce::{Flow, Part, Place, Train, place};
use super::super::segment::Segments;
use super::Devices;
use crate::engine::Engine;
use crate::policy::PortId;
use crate::wire::vnet_hdr::{self, GsoType, VnetHdr};
use std::io::IoSlice;

/// Frames that are held at once; one more has all of them written first.
const HELD: usize = 64;

/// Where frames go, and where those are counted that did not get there.
pub(super) trait Egress {
    /// Returns whether frames towards `port` have a header; else they are cut here.
    fn has_vnet_hdr(&self, port: PortId) -> bool;

    /// Returns whether the device of `port` takes super-frames of `kind`.
    fn takes(&self, port: PortId, kind: GsoType) -> bool;

    /// Writes one frame, its header first, that was made of `count` pushed ones.
    fn write(&mut self, port: PortId, parts: &[IoSlice<'_>], count: usize);

    /// Writes a frame as finished packets; of no use is what is in `frame` afterwards.
    fn write_cut(&mut self, port: PortId, vnet: &VnetHdr, frame: &mut [u8]);
}

/// The devices, and the engine that counts what they do not take.
pub(super) struct Outlet<'a> {
    pub(super) engine: &'a mut Engine,
    pub(super) devices: &'a Devices,
}

impl Egress for Outlet<'_> {
    fn has_vnet_hdr(&self, port: PortId) -> bool {
        self.devices.get(port).is_some_and(|tun| tun.has_vnet_hdr())
    }

    fn takes(&self, port: PortId, kind: GsoType) -> bool {
        self.devices.get(port).is_some_and(|tun| tun.takes(kind))
    }

    fn write(&mut self, port: PortId, parts: &[IoSlice<'_>], count: usize) {
        let written = self.devices.get(port).map(|tun| match parts {
            [frame] => tun.write(frame),
            parts => tun.write_parts(parts),
        });
        if !matches!(written, Some(Ok(()))) {
            for _ in 0..count {
                self.engine.output_failed(port);
            }
        }
    }

    fn write_cut(&mut self, port: PortId, vnet: &VnetHdr, frame: &mut [u8]) {
        if self.cut(port, vnet, frame).is_none() {
            self.engine.output_failed(port);
        }
    }
}

impl Outlet<'_> {
    /// Returns `None` if the device did not take all of it.
    fn cut(&self, port: PortId, vnet: &VnetHdr, frame: &mut [u8]) -> Option<()> {
        let tun = self.devices.get(port)?;
        let (_, packet) = frame.split_at_mut_checked(vnet_hdr::LEN)?;
        let mut segments = Segments::new(vnet, packet).ok()?;
        while let Some(packet) = segments.next_packet() {
            tun.write(packet).ok()?;
        }
        Some(())
    }
}

/// Frames that wait for the end of their batch, in the memory where they were read to.
#[derive(Debug)]
pub(super) struct Output<'b> {
    /// Trains in the order in which their first frames came; `None` where one was written early.
    held: [Option<Held<'b>>; HELD],
    held_len: usize,
    /// The payloads of joined frames, of all trains.
    payloads: [Option<Payload<'b>>; HELD],
    /// How many frames were pushed since everything was written.
    pushed: usize,
}

/// A train and where it goes.
#[derive(Debug)]
struct Held<'b> {
    port: PortId,
    flow: Flow,
    train: Train<'b>,
    /// The first frame as it is, with its header.
    frame: &'b [u8],
    /// How many frames it is made of.
    count: usize,
    /// Where its first payload and its last one are.
    first: usize,
    last: usize,
}

/// A payload and where the one is that follows it.
#[derive(Debug)]
struct Payload<'b> {
    bytes: &'b [u8],
    next: Option<usize>,
}

impl<'b> Output<'b> {
    /// Returns one that holds nothing.
    pub(super) fn new() -> Self {
        Self {
            held: [const { None }; HELD],
            held_len: 0,
            payloads: [const { None }; HELD],
            pushed: 0,
        }
    }

    /// Takes a frame towards `port`, its header first: to write it at once, or to hold it.
    pub(super) fn push(
        &mut self,
        egress: &mut impl Egress,
        port: PortId,
        vnet: &VnetHdr,
        frame: &'b mut [u8],
    ) {
        if !egress.has_vnet_hdr(port) {
            return egress.write_cut(port, vnet, frame);
        }
        let frame: &'b [u8] = frame;
        let packet = frame.get(vnet_hdr::LEN..).unwrap_or_default();
        match place(vnet, packet) {
            Place::Part(flow, part) if egress.takes(port, part.kind()) => {
                self.hold(egress, port, flow, part, frame);
            }
            Place::Part(flow, _) | Place::Alone(flow) => {
                if let Some(at) = self.find(port, flow) {
                    self.write(egress, at);
                }
                egress.write(port, &[IoSlice::new(frame)], 1);
            }
            Place::Unknown => {
                self.flush_port(egress, port);
                egress.write(port, &[IoSlice::new(frame)], 1);
            }
        }
    }

    /// Writes a frame that has no others to be joined with: nothing is held.
    pub(super) fn write_through(
        egress: &mut impl Egress,
        port: PortId,
        vnet: &VnetHdr,
        frame: &mut [u8],
    ) {
        if egress.has_vnet_hdr(port) {
            egress.write(port, &[IoSlice::new(frame)], 1);
        } else {
            egress.write_cut(port, vnet, frame);
        }
    }

    /// Writes everything that is held.
    pub(super) fn flush(&mut self, egress: &mut impl Egress) {
        for at in 0..self.held_len {
            self.write(egress, at);
        }
        self.held_len = 0;
        self.pushed = 0;
    }

    fn flush_port(&mut self, egress: &mut impl Egress, port: PortId) {
        for at in 0..self.held_len {
            let held = self.held.get(at).and_then(Option::as_ref);
            if held.is_some_and(|held| held.port == port) {
                self.write(egress, at);
            }
        }
    }

    /// Joins a frame to the train of its flow, or lets it begin a new one.
    fn hold(
        &mut self,
        egress: &mut impl Egress,
        port: PortId,
        flow: Flow,
        part: Part<'b>,
        frame: &'b [u8],
    ) {
        if self.pushed == HELD {
            self.flush(egress);
        }
        let payload = self.pushed;
        if let Some(place) = self.payloads.get_mut(payload) {
            *place = Some(Payload {
                bytes: part.payload(),
                next: None,
            });
        }
        self.pushed += 1;
        let at = self.find(port, flow);
        if let Some(at) = at {
            if self.join(at, &part, payload) {
                return;
            }
            self.write(egress, at);
        }
        // The train that was just written leaves its place to the next of its flow.
        let at = at.unwrap_or(self.held_len);
        if let Some(place) = self.held.get_mut(at) {
            *place = Some(Held {
                port,
                flow,
                train: Train::new(part),
                frame,
                count: 1,
                first: payload,
                last: payload,
            });
            self.held_len = self.held_len.max(at + 1);
        }
    }

    fn join(&mut self, at: usize, part: &Part<'_>, payload: usize) -> bool {
        let Some(Some(held)) = self.held.get_mut(at) else {
            return false;
        };
        if !held.train.join(part) {
            return false;
        }
        if let Some(Some(last)) = self.payloads.get_mut(held.last) {
            last.next = Some(payload);
        }
        held.last = payload;
        held.count += 1;
        true
    }

    /// Returns where the train of a flow is. There is one at most: what follows it replaces it.
    fn find(&self, port: PortId, flow: Flow) -> Option<usize> {
        let held = self.held.get(..self.held_len)?;
        // From the end, because frames of one flow come together.
        held.iter().rposition(|held| {
            held.as_ref()
                .is_some_and(|held| held.flow == flow && held.port == port)
        })
    }

    /// Writes the train at this place, if there is one.
    fn write(&mut self, egress: &mut impl Egress, at: usize) {
        let Some(held) = self.held.get_mut(at).and_then(Option::take) else {
            return;
        };
        if held.count == 1 {
            return egress.write(held.port, &[IoSlice::new(held.frame)], 1);
        }
        let header = held.train.header();
        let mut parts = [IoSlice::new(&[]); HELD + 1];
        let (front, rest) = parts.split_at_mut(1);
        front.fill(IoSlice::new(header.as_bytes()));
        let mut next = Some(held.first);
        for part in rest {
            let payload = next.and_then(|at| self.payloads.get(at)?.as_ref());
            let Some(payload) = payload else { break };
            *part = IoSlice::new(payload.bytes);
            next = payload.next;
        }
        let parts = parts.get(..=held.count).unwrap_or_default();
        egress.write(held.port, parts, held.count);
    }
}

#[cfg(test)]
mod tests;
