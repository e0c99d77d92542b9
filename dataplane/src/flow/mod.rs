//! The flow table: which packets belong together, how they are rewritten, and until when.
//!
//! A *pair* is both directions of one connection: one record, two keys, inserted and removed
//! together. The reply key must be new, and that alone makes a translated tuple unique. A pair
//! remembers why it was decided ([`Why`]), so that it can be explained, and judged again when the
//! policy changes.

mod decisions;
mod fragments;
mod key;
mod pair;
mod parts;
mod shares;
mod table;
mod tcp;
mod transposition;
mod tunnel;
mod wheel;
mod why;

pub use fragments::{FragmentKey, FragmentTable};
pub use key::FlowKey;
pub use pair::{Life, Pair, Side};
pub use parts::{Misfit, Parts};
pub use shares::{Opener, ShareView};
pub use table::{Ended, FlowTable, InsertError, Opening, PairId};
pub use tcp::{TcpState, TcpTrack};
pub use transposition::Transposition;
pub use tunnel::Tunnel;
pub use why::{Admission, RouteKind, SourceKind, Why};
