//! The resolver that every virtual network has at 168.63.129.16.
//!
//! `names` says which names the platform gives, `zone` what is known of them, `message` reads and
//! writes, `answer` decides: all pure. `serve` and `forward` do the talking, `resolver` keeps them where
//! the platform's address is. Names that the model does not have go to the forwarders of
//! the configuration, and are refused where there are none.
//!
//! An endpoint changes no answer: names resolve to public addresses before and after, and which way
//! the packets go is not for names to say.

mod answer;
mod forward;
mod message;
mod names;
mod pace;
mod resolver;
mod serve;
mod shares;
mod zone;

pub use resolver::{DnsError, Resolver};
