//! The daemon: the control socket and the thin client that talks to it.

pub mod client;
pub mod socket;
pub mod wire;
