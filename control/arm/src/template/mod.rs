//! ARM's template language: what a template says, as resources to be put.

pub mod budget;
pub mod evaluate;
pub mod expression;
pub mod frame;
mod functions;
pub mod instance;
pub mod limits;
pub mod order;
pub mod outputs;
pub mod parameters;
pub mod problem;
pub mod session;
pub mod text;
pub mod value;
pub mod world;
