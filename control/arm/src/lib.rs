//! Azure Resource Manager (ARM) without a network: what its resources are, and what becomes of a request.
//!
//! [`estate::Estate`] is the desired state: every resource as ARM has it. `rest` turns a request of
//! a client into a change of it or an answer from it, `deploy` does so for a template. What stands
//! behind the resources (packets, devices, the disk) is the caller's, behind [`platform::Platform`].
//!
//! Dependencies point one way: `id, error, date <- document <- estate, types <- template, deploy, roles,
//! token <- rest`. Nothing here knows a packet, a socket or the TOML file.

pub mod cancel;
pub mod clock;
pub mod date;
pub mod deploy;
pub mod document;
pub mod error;
pub mod estate;
pub mod export;
pub mod id;
pub(crate) mod json;
pub mod platform;
pub mod principals;
pub mod rest;
pub mod roles;
pub mod seal;
pub mod template;
pub mod token;
pub mod types;
