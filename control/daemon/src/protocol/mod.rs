//! What is said between the daemon and its clients: requests, and the shapes of answers.

pub mod front;
mod request;
pub mod service;
pub mod verify;
pub mod view;

pub use postern_network::diagnose::nsg;
pub use request::*;
