//! The handle on the catalog, and the one function that brings a container into it.

use std::sync::Arc;

use sarsen_domain::{ContainerId, Service};
use sarsen_runtime::{Runtime, RuntimeError};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::{Catalog, Host};

/// How this installation is called.
#[derive(Debug, Clone)]
pub struct RegistrySettings {
    /// The value of the owner label on our containers.
    pub owner: String,
    /// The host in service ids, and where published ports are reached.
    pub host: Host,
}

/// Why a container could not be registered.
#[derive(Debug, Clone, thiserror::Error)]
pub enum RegistryError {
    #[error("The container could not be looked at: {0}")]
    Engine(#[from] RuntimeError),
}

/// The service catalog of this host. Cheap to clone.
#[derive(Clone)]
pub struct Registry {
    runtime: Runtime,
    settings: Arc<RegistrySettings>,
}

impl Registry {
    /// An empty catalog; [`Registry::run`] fills it.
    pub fn new(runtime: Runtime, settings: RegistrySettings) -> Self {
        Self {
            runtime,
            settings: Arc::new(settings),
        }
    }

    /// The catalog as it is now.
    pub fn catalog(&self) -> Arc<Catalog> {
        todo!()
    }

    /// The catalog's version, which changes with its content. It becomes 1 or more once everything that runs has been looked at.
    pub fn changes(&self) -> watch::Receiver<u64> {
        todo!()
    }

    /// Registers what a container offers now; nothing when it does not run. Repeating it changes nothing.
    pub async fn register(&self, id: &ContainerId) -> Result<Vec<Service>, RegistryError> {
        todo!()
    }

    /// Follows the engine until `shutdown`.
    pub async fn run(self, shutdown: CancellationToken) {
        todo!()
    }
}
