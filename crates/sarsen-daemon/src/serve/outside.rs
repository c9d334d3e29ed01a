//! How the catalog is made, and the registries outside: one publisher for each.

use anyhow::{Context, Result, anyhow};
use sarsen_registry::{
    Backend, Checking, Host, Mark, Publisher, PublisherSettings, Reach, Registry, RegistrySettings,
    Whose,
};
use std::time::Duration;

use super::machine;
use crate::config::RegistryConfig;

/// A registry is asked so often whether it still holds what it should.
const COMPARE_EVERY: Duration = Duration::from_secs(10);

/// How containers are found and named.
pub(super) fn settings(config: &RegistryConfig, owner: &str) -> RegistrySettings {
    let mut host = Host::local(machine::name());
    host.address = config.ip.unwrap_or(host.address);
    let mut settings = RegistrySettings::new(owner, host);
    let rules = &mut settings.rules;
    rules.ip = config.ip;
    if config.internal {
        rules.reach = Reach::Internal;
    }
    if config.explicit {
        rules.whose = Whose::Named;
    }
    rules.address_label.clone_from(&config.use_ip_from_label);
    rules.tags = config.tags.clone();
    settings.deregister = config.deregister;
    settings.comparison = config.resync.map_or(settings.comparison, |resync| {
        resync.min(settings.comparison)
    });
    settings
}

/// Reads every file that is needed; nothing is asked of a registry yet.
pub(super) fn open(config: &RegistryConfig, owner: &str) -> Result<Vec<Backend>> {
    let open = |uri: &sarsen_registry::BackendUri| {
        let mark = Mark {
            owner: owner.to_owned(),
            adopt: config.cleanup.then(machine::name),
        };
        let credentials = uri.credentials().map_err(|error| anyhow!(error))?;
        Ok(uri.open(&credentials, mark)?)
    };
    let backends = config.backends.0.iter().map(open);
    let backends: Result<_> = backends.collect();
    backends.context("registry.backends")
}

pub(super) fn publisher(registry: &Registry, backend: Backend) -> Publisher {
    let comparison = registry.settings().comparison;
    let settings = PublisherSettings {
        checking: Checking::Ours,
        compare_every: comparison.min(COMPARE_EVERY),
    };
    Publisher::new(registry.clone(), backend, settings)
}
