//! The service catalog: what runs on this host, on which port, and whether it may get traffic.
//!
//! Containers register themselves by running: the engine's events and a full comparison at each (re)connect keep the
//! catalog true. It holds its last content while the engine is away, and from one run to the next, but for containers
//! whose first process has ended. Services that are no containers of this host are
//! registered by whoever knows of them ([`Registry::register_external`]). Checks, ours and others', decide which
//! instances belong into answers.

mod backend;
mod book;
mod catalog;
mod check;
mod checks;
mod dns;
mod externals;
mod follow;
mod ledger;
mod memory;
mod metadata;
mod process;
mod registry;
mod rules;
mod tags;

pub use backend::{
    Backend, BackendError, BackendUri, CheckDefinition, Checking, Credentials, Entry, Lifetime,
    Mark, Publisher, PublisherSettings, RegistryBackend, TlsFiles,
};
pub use catalog::{Catalog, Instance, Mesh, Node, Place, Scope, Source, Weights};
pub use check::{Check, CheckSpec, CheckStatus, HttpProbe, Probe};
pub use dns::{Dns, DnsError, DnsListener, DnsSettings, Upstreams, fallbacks};
pub use externals::{CheckRegistration, OtherChecks, Registration, Told};
pub use ledger::Deregister;
pub use registry::{Registry, RegistryError, RegistrySettings};
pub use rules::{Host, Reach, Rules, Whose, duration};
pub use tags::{ExtraTags, TagsError};
