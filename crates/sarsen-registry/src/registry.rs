//! The handle on the catalog, and the one function that brings a container into it.

use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use sarsen_domain::{ContainerId, Service};
use sarsen_runtime::{ContainerInfo, ContainerStatus, Runtime, RuntimeError};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::ledger::{Ledger, Sighting};
use crate::{Catalog, Host, rules};

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
    /// The engine did not say what it is.
    #[error("The container could not be looked at: {0}")]
    Engine(#[from] RuntimeError),
}

/// The service catalog of this host. Cheap to clone.
#[derive(Clone)]
pub struct Registry {
    pub(crate) runtime: Runtime,
    shared: Arc<Shared>,
}

struct Shared {
    settings: RegistrySettings,
    ledger: Mutex<Ledger>,
    catalog: ArcSwap<Catalog>,
    version: watch::Sender<u64>,
    comparisons: watch::Sender<u64>,
}

impl Registry {
    /// An empty catalog; [`Registry::run`] fills it.
    pub fn new(runtime: Runtime, settings: RegistrySettings) -> Self {
        let shared = Shared {
            settings,
            ledger: Mutex::default(),
            catalog: ArcSwap::default(),
            version: watch::Sender::new(0),
            comparisons: watch::Sender::new(0),
        };
        Self {
            runtime,
            shared: Arc::new(shared),
        }
    }

    /// The catalog as it is now.
    pub fn catalog(&self) -> Arc<Catalog> {
        self.shared.catalog.load_full()
    }

    /// The catalog's version, which changes with its content. [`Registry::synced`] says when it can be relied upon.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.shared.version.subscribe()
    }

    /// Counts the full comparisons: one at the start, and one whenever the engine is back after an absence.
    pub fn comparisons(&self) -> watch::Receiver<u64> {
        self.shared.comparisons.subscribe()
    }

    /// Waits until everything that runs has been looked at once.
    pub async fn synced(&self) {
        let mut changes = self.changes();
        // The sender lives as long as `self`.
        changes.wait_for(|version| *version > 0).await.ok();
    }

    /// Registers what a container offers now; nothing when it does not run. Repeating it changes nothing.
    pub async fn register(&self, id: &ContainerId) -> Result<Vec<Service>, RegistryError> {
        let info = match self.runtime.inspect(id).await {
            Ok(info) => Some(info),
            Err(RuntimeError::NotFound(_)) => None,
            Err(error) => return Err(error.into()),
        };
        let Some(sighting) = info.and_then(|info| self.sighting(&info)) else {
            self.change(|ledger| ledger.is_gone(id));
            return Ok(Vec::new());
        };
        let services = sighting.services.clone();
        let mut is_alive = false;
        self.change(|ledger| is_alive = ledger.saw(sighting));
        Ok(if is_alive { services } else { Vec::new() })
    }

    /// Follows the engine until `shutdown`.
    pub async fn run(self, shutdown: CancellationToken) {
        crate::follow::run(&self, &shutdown).await;
    }

    /// What this container's state means for the catalog; `None` when it does not run.
    pub(crate) fn sighting(&self, info: &ContainerInfo) -> Option<Sighting> {
        let runs = matches!(
            info.status,
            ContainerStatus::Running | ContainerStatus::Paused
        );
        let settings = &self.shared.settings;
        runs.then(|| Sighting {
            id: info.id.clone(),
            started: info.started_at.as_deref().map_or(0, nanoseconds),
            services: rules::services_of(info, &settings.host, &settings.owner),
        })
    }

    /// Changes the ledger and publishes what follows from it, when it differs.
    pub(crate) fn change(&self, change: impl FnOnce(&mut Ledger)) {
        self.publish(change, |content_changed, _| content_changed);
    }

    /// The same after a full comparison: the catalog counts as known from then on, even when it is empty.
    pub(crate) fn compare(&self, seen: Vec<Sighting>, listed_at: i64) {
        let update = |ledger: &mut Ledger| ledger.compare(seen, listed_at);
        self.publish(update, |changed, version| changed || version == 0);
        self.shared.comparisons.send_modify(|count| *count += 1);
    }

    fn publish(&self, change: impl FnOnce(&mut Ledger), is_due: impl FnOnce(bool, u64) -> bool) {
        let shared = &*self.shared;
        let mut ledger = shared.ledger.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut ledger);
        let services = ledger.services();
        // Still under the lock, so that an older content cannot overtake a newer one.
        let current = shared.catalog.load();
        if is_due(current.services() != &services, current.version()) {
            let version = current.version() + 1;
            shared
                .catalog
                .store(Arc::new(Catalog::new(services, version)));
            shared.version.send_replace(version);
        }
        drop(ledger);
    }
}

/// An RFC 3339 time in nanoseconds since 1970; 0 when it is none.
fn nanoseconds(text: &str) -> i64 {
    OffsetDateTime::parse(text, &Rfc3339)
        .ok()
        .and_then(|time| i64::try_from(time.unix_timestamp_nanos()).ok())
        .unwrap_or(0)
}
