//! The service catalog: what runs on this host, on which port, and whether it may get traffic.
//!
//! Containers register themselves by running: the engine's events and a full comparison at each (re)connect keep the
//! catalog true. It holds its last content while the engine is away.

mod catalog;
mod follow;
mod ledger;
mod metadata;
mod registry;
mod rules;

pub use catalog::Catalog;
pub use registry::{Registry, RegistryError, RegistrySettings};
pub use rules::{Host, services_of};
