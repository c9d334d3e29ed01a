//! Addons: a database or cache that apps are linked to. An addon is a `service.toml`; this crate reads those and
//! makes, starts, stops and removes the containers, networks and volumes of services. It keeps no state: who calls it
//! remembers which services there are.

pub mod backup;
mod catalog;
mod data;
mod definition;
mod engine;
mod error;
mod shape;
mod template;
mod transfer;

pub use catalog::Catalog;
pub use definition::{Addon, Transfer};
pub use engine::{Engine, Service};
pub use error::{AddonError, DefinitionError};
pub use shape::{Exposed, Shape};
pub use template::Secrets;
pub use transfer::{Errand, OfflineImport, Tty};
