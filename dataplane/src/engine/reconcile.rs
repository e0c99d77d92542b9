//! What becomes of a live flow when the policy has changed: one pure function.
//!
//! | the new policy | TCP | other protocols |
//! |---|---|---|
//! | same route, service, kind of source, delivery | keep | keep |
//! | the same, but the flow's public address is no longer ours | close | rebind |
//! | another route, service, kind of source or delivery | close | rebind |
//! | no way there at all | close | rebind |
//! | an NSG denies it, and NSGs are asked again | deny | deny |
//!
//! What is kept can still be refused by the resource at its end, where that is asked again; what goes
//! another way is closed all the same, and asks when it comes anew.
//!
//! Two kinds of public source count as the same: a live flow keeps its address and port when its
//! NIC gets another public source (reference section 9: new flows only).

use super::evaluate::{Denied, Path, Source};
use crate::flow::{RouteKind, SourceKind, Why};
use crate::stats::DropReason;

/// What becomes of a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It goes on as it is, with its binding.
    Keep,
    /// It is forgotten; its next packet opens it anew, with a new binding.
    Rebind,
    /// It is reset on both sides, and late segments are refused.
    Close,
    /// It is cut without a word.
    Deny,
}

/// Judges a live flow by what a new policy says of its first packet. `is_public_ours` is whether
/// the flow's public address, if it has one, is still in the new policy.
#[must_use]
pub fn reconcile(
    why: &Why,
    is_tcp: bool,
    fresh: &Result<Path, Denied>,
    is_public_ours: bool,
) -> Outcome {
    let same = match fresh {
        Err(Denied {
            reason: DropReason::NsgDeniedIn | DropReason::NsgDeniedOut,
            ..
        }) => {
            return Outcome::Deny;
        }
        // A fragment or an echo that a new shared source would not carry: the flow keeps the
        // source that it has.
        Err(Denied {
            reason: DropReason::NotTranslatable,
            ..
        }) => why.source != SourceKind::Private && why.route == RouteKind::Internet,
        Err(_) => false,
        Ok(path) => {
            path.route == why.route
                && path.service == why.service
                && path.egress == why.egress
                && path.destination == why.destination
                && path.tunnel == why.tunnel
                && is_public(path.source.kind()) == is_public(why.source)
                && keeps_instance_address(why, path)
        }
    };
    match (same && is_public_ours, is_tcp) {
        (true, _) => Outcome::Keep,
        (false, true) => Outcome::Close,
        (false, false) => Outcome::Rebind,
    }
}

fn is_public(kind: SourceKind) -> bool {
    kind != SourceKind::Private
}

/// A one-to-one address that went to another NIC is not this flow's any more, although it is still
/// ours; while the NIC has it, or has a shared source, the flow may keep it.
fn keeps_instance_address(why: &Why, path: &Path) -> bool {
    match (why.source, path.source) {
        (SourceKind::OneToOne, Source::OneToOne(address)) => Some(address) == why.public,
        _ => true,
    }
}

#[cfg(test)]
mod tests;
