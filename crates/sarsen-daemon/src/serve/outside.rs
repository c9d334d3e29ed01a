//! Registries outside: one publisher for each.

use anyhow::{Context, Result, anyhow};
use sarsen_registry::{Backend, Checking, Mark, Publisher, PublisherSettings, Registry};
use std::time::Duration;

use crate::config::RegistryConfig;

/// A registry is asked so often whether it still holds what it should.
const COMPARE_EVERY: Duration = Duration::from_secs(10);

/// Reads every file that is needed; nothing is asked of a registry yet.
pub(super) fn open(config: &RegistryConfig, owner: &str) -> Result<Vec<Backend>> {
    let open = |uri: &sarsen_registry::BackendUri| {
        let mark = Mark {
            owner: owner.to_owned(),
            adopt: None,
        };
        let credentials = uri.credentials().map_err(|error| anyhow!(error))?;
        Ok(uri.open(&credentials, mark)?)
    };
    let backends = config.backends.0.iter().map(open);
    let backends: Result<_> = backends.collect();
    backends.context("registry.backends")
}

pub(super) fn publisher(registry: &Registry, backend: Backend) -> Publisher {
    let settings = PublisherSettings {
        checking: Checking::Ours,
        compare_every: COMPARE_EVERY,
    };
    Publisher::new(registry.clone(), backend, settings)
}
