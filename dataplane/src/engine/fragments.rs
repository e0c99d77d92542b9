//! Fragments: they follow the first one of their datagram, each part once.

use super::{Context, Dropped, Engine, Frame, Unsent};
use crate::flow::{FragmentKey, Life, Misfit, PairId, Parts, Side};
use crate::policy::PortId;
use crate::stats::DropReason;
use crate::wire::Headers;
use crate::wire::fragment::Part;
use crate::wire::ipv4::Ipv4View;

impl Engine {
    /// Refuses a first fragment of a datagram of which parts have passed, while others are still to
    /// come: its header could be another one than was judged.
    #[cold]
    pub(super) fn check_first(&mut self, context: &Context<'_, '_>) -> Result<(), Dropped> {
        let key = key(context.ingress, &context.headers);
        let Some((_, parts)) = self.fragments.find_mut(context.now, key) else {
            return Ok(());
        };
        if parts.is_whole() {
            // The identification is in use again.
            return Ok(());
        }
        let taken = part_of(context.frame).map(|part| parts.take(part));
        if taken != Some(Err(Misfit::Again)) {
            self.fragments.forget(key);
        }
        Err(context.dropped(DropReason::FragmentOverlap))
    }

    /// Notes where the later fragments of a datagram belong whose first one passes.
    #[cold]
    pub(super) fn follow_later(&mut self, context: &Context<'_, '_>, place: (PairId, Side)) {
        if let Some(part) = part_of(context.frame) {
            let key = key(context.ingress, &context.headers);
            let noted = (place, Parts::of(part));
            self.fragments.follow(context.now, key, noted);
        }
    }

    #[cold]
    pub(super) fn follow_fragment(
        &mut self,
        context: &mut Context<'_, '_>,
    ) -> Result<PortId, Unsent> {
        let stray = context.dropped(DropReason::FragmentStray);
        let key = key(context.ingress, &context.headers);
        let Some(&((id, side), _)) = self.fragments.find(context.now, key) else {
            return Err(self.stray_fragment(context).into());
        };
        let pair = self.flows.get(id).ok_or(stray)?;
        let flow = pair.key(side);
        let is_same = flow.port() == key.port
            && flow.source() == key.source
            && flow.destination() == key.destination
            && flow.protocol() == key.protocol;
        if !is_same || pair.life != Life::Live || pair.epoch != self.snapshot.epoch {
            return Err(stray.into());
        }
        let (egress, is_tunnelled) = (pair.egress(side), pair.is_tunnelled());
        let size = self.size_up(context, egress, is_tunnelled)?;
        self.take_part(context, key)?;
        self.pass(context, id, side);
        self.send(context, egress, size)
    }

    /// Lets a part of a datagram pass once. Of a datagram whose parts overlap no more passes.
    fn take_part(&mut self, context: &Context<'_, '_>, key: FragmentKey) -> Result<(), Dropped> {
        let overlap = context.dropped(DropReason::FragmentOverlap);
        let noted = self.fragments.find_mut(context.now, key);
        let (Some((_, parts)), Some(part)) = (noted, part_of(context.frame)) else {
            return Err(overlap);
        };
        match parts.take(part) {
            Ok(()) => Ok(()),
            Err(Misfit::Again) => Err(overlap),
            Err(Misfit::Overlap) => {
                self.fragments.forget(key);
                Err(overlap)
            }
        }
    }

    /// Returns why a later fragment without a flow is dropped.
    fn stray_fragment(&self, context: &Context<'_, '_>) -> Dropped {
        context.dropped(if self.is_tunnelled(context) {
            DropReason::StFragment
        } else {
            DropReason::FragmentStray
        })
    }
}

fn part_of(frame: &Frame<'_>) -> Option<Part> {
    Some(Part::of(&Ipv4View::parse(frame.packet()).ok()?))
}

fn key(port: PortId, headers: &Headers) -> FragmentKey {
    FragmentKey {
        port,
        source: headers.source,
        destination: headers.destination,
        protocol: headers.protocol,
        ident: headers.ident,
    }
}
