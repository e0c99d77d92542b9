//! The REST API on the network: https in front of [`postern_arm::rest::Api`].
//!
//! It listens only where the configuration says so, with a certificate of the local authority. What
//! a client can take is bounded: connections, the time for a head or a body, the memory for bodies,
//! requests at work.

mod listener;
mod login;
mod serve;
mod settings;
#[cfg(test)]
pub(crate) mod tests;

pub use listener::{ApiError, Listener};
pub use login::{Door, LoginError, LoginView, login};
pub use settings::{SettingsError, api_config, token_key};
