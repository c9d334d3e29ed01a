//! The `sarsen` program: the daemon, the thin client that talks to it, and the commands to set it up.

pub mod client;
pub mod command;
pub mod config;
pub mod doctor;
pub mod house;
mod plugn;
pub mod probe;
mod registrator;
pub mod serve;
pub mod setup;
pub mod socket;
pub mod vars;
pub mod wire;
