//! A snapshot of all services.

use std::collections::BTreeMap;

use sarsen_domain::{AppName, ContainerId, Service};

/// All services at one moment, by id.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Catalog {
    services: BTreeMap<String, Service>,
    version: u64,
}

impl Catalog {
    pub(crate) fn new(services: BTreeMap<String, Service>, version: u64) -> Self {
        Self { services, version }
    }

    /// Counts up with each change of content; 0 before the first look at the engine.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// All services, by id.
    pub fn services(&self) -> &BTreeMap<String, Service> {
        &self.services
    }

    /// The services of one container.
    pub fn by_container<'a>(&'a self, id: &'a ContainerId) -> impl Iterator<Item = &'a Service> {
        self.services
            .values()
            .filter(move |service| service.container == *id)
    }

    /// The services of one app's containers.
    pub fn by_app<'a>(&'a self, app: &'a AppName) -> impl Iterator<Item = &'a Service> {
        self.services
            .values()
            .filter(move |service| service.owner.as_ref().is_some_and(|o| o.app == *app))
    }
}
