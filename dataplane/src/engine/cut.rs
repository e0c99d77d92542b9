//! Packets that are larger than their output: cut if they allow it, else dropped with word to the
//! sender. All of it is off the fast path, which only compares a length.

use super::{Context, Dropped, Emitted, Engine, Unsent, make};
use crate::policy::PortId;
use crate::stats::DropReason;
use crate::wire::fragment::Pieces;
use crate::wire::{Fragment, GsoType, checksum};

/// How a packet compares with its output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Size {
    /// It passes as it is; a super-frame, because its segments do.
    Fits,
    /// It has to be cut into packets of this size.
    Large(usize),
}

impl Engine {
    /// Returns whether the packet must be cut on its way out by `egress`.
    ///
    /// # Errors
    ///
    /// It is too large and cannot be cut.
    #[inline]
    pub(super) fn size_up(
        &mut self,
        context: &Context<'_, '_>,
        egress: PortId,
        is_tunnelled: bool,
    ) -> Result<Size, Dropped> {
        if is_tunnelled {
            return self.size_up_tunnelled(context, egress);
        }
        let mtu = self
            .snapshot
            .port(egress)
            .map_or(0, |port| usize::from(port.mtu));
        let len = context
            .headers
            .wire_len(&context.frame.vnet, context.frame.packet().len());
        if len <= mtu {
            return Ok(Size::Fits);
        }
        if is_cuttable(context, mtu) {
            return Ok(Size::Large(mtu));
        }
        Err(self.too_big(context, mtu))
    }

    /// Lets a packet that is rewritten already leave by `egress`, whole or in fragments.
    #[inline]
    pub(super) fn send(
        &mut self,
        context: &mut Context<'_, '_>,
        egress: PortId,
        size: Size,
    ) -> Result<PortId, Unsent> {
        match size {
            Size::Fits => Ok(egress),
            Size::Large(mtu) => {
                self.cut_up(context, egress, mtu);
                Err(Unsent::Cut(egress))
            }
        }
    }

    #[cold]
    fn cut_up(&mut self, context: &mut Context<'_, '_>, egress: PortId, mtu: usize) {
        let vnet = context.frame.vnet;
        if vnet.needs_csum
            && let Some(segment) = context
                .frame
                .packet_mut()
                .get_mut(context.headers.ip_header_len..)
        {
            checksum::complete(segment, usize::from(vnet.csum_offset));
        }
        for piece in Pieces::new(context.frame.packet(), mtu) {
            let packet = [piece.header(), piece.payload].concat();
            if let Some(counters) = self.counters.port_mut(egress) {
                counters.sent_frames += 1;
                counters.sent_bytes += packet.len() as u64;
            }
            self.emitted.push_back(Emitted {
                port: egress,
                packet,
            });
        }
    }

    /// Drops a packet that the output device does not take, and tells its sender if the packet
    /// must not be cut (RFC 1191).
    #[cold]
    fn too_big(&mut self, context: &Context<'_, '_>, mtu: usize) -> Dropped {
        if context.headers.dont_fragment
            && let Some(packet) = make::fragmentation_needed(context.frame.packet(), mtu)
        {
            self.emit(context.ingress, packet);
        }
        context.dropped(DropReason::TooBig)
    }
}

/// Returns whether a packet can be cut for `mtu`. A super-frame is cut by its own rules only, and a
/// fragment cannot carry a checksum that is still to be put.
fn is_cuttable(context: &Context<'_, '_>, mtu: usize) -> bool {
    let (headers, vnet) = (&context.headers, &context.frame.vnet);
    !headers.dont_fragment
        && vnet.gso_type == GsoType::None
        && (headers.fragment == Fragment::Whole || !vnet.needs_csum)
        && Pieces::fits(headers.ip_header_len, mtu)
}
