//! The REST API on the network: https in front of [`postern_arm::rest::Api`].
//!
//! It listens only where the configuration says so, with a certificate of the local authority. What
//! a client can take is bounded, by address (`gate`) and by principal (`share`): connections, the time
//! for a handshake, a head, a body or an answer, the memory for bodies, requests at work.

mod body;
pub(crate) mod gate;
mod listener;
mod login;
mod pace;
mod serve;
mod settings;
mod share;
#[cfg(test)]
pub(crate) mod tests;

pub use listener::{ApiError, Listener};
pub use login::{Door, LoginError, LoginView, login};
pub use settings::{SettingsError, api_config, token_key};
