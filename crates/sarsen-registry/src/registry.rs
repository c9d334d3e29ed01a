//! The handle on the catalog, and the one function that brings a container into it.

mod external;
mod keep;
mod look;
mod recall;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use sarsen_domain::{ContainerId, Service};
use sarsen_runtime::{Runtime, RuntimeError};
use sarsen_store::Store;
use time::OffsetDateTime;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::book::Book;
use crate::externals::Spot;
use crate::ledger::{Deregister, Listing, Look};
use crate::memory::Memory;
use crate::{Catalog, Checking, Host, Rules, Scope};
use look::Images;
pub(crate) use look::LOOK_LIMIT;

/// How this installation is called, and how it goes about its containers.
#[derive(Debug, Clone)]
pub struct RegistrySettings {
    /// The value of the owner label on our containers.
    pub owner: String,
    /// How other people's containers are found and named.
    pub rules: Rules,
    /// What becomes of services whose container fails.
    pub deregister: Deregister,
    /// From one full comparison with the engine to the next.
    pub comparison: Duration,
    /// Who makes the checks that containers ask for.
    pub checking: Checking,
}

impl RegistrySettings {
    /// The usual settings.
    pub fn new(owner: impl Into<String>, host: Host) -> Self {
        Self {
            owner: owner.into(),
            rules: Rules::new(host),
            deregister: Deregister::default(),
            comparison: Duration::from_secs(30),
            checking: Checking::Ours,
        }
    }
}

/// Why the catalog could not do as asked.
#[derive(Debug, Clone, thiserror::Error)]
pub enum RegistryError {
    /// The engine did not say what it is.
    #[error("The container could not be looked at: {0}")]
    Engine(#[from] RuntimeError),
    /// A container stands for this service: it goes when the container does.
    #[error("Service {id} is the container {container}'s: stop the container to remove it")]
    OfContainer {
        /// The service.
        id: String,
        /// The container, shortened.
        container: String,
    },
    /// Nobody registered a service of this id.
    #[error("There is no service {0}")]
    NoSuchService(String),
    /// Nobody registered a check of this id.
    #[error("There is no check {0}")]
    NoSuchCheck(String),
    /// The check finds out by itself.
    #[error("Check {0} is not one that is reported: it has no TTL")]
    NotReported(String),
    /// What was asked for makes no sense.
    #[error("{0}")]
    Invalid(String),
    /// It could not be written down.
    #[error("The registration could not be kept: {0}")]
    Store(String),
}

/// The service catalog of this host. Cheap to clone.
#[derive(Clone)]
pub struct Registry {
    pub(crate) runtime: Runtime,
    shared: Arc<Shared>,
}

struct Shared {
    settings: RegistrySettings,
    book: Mutex<Book>,
    images: Images,
    /// Where registrations are kept over restarts.
    store: Option<Store>,
    /// Held while registrations are written, so that what is kept and what is seen change in one order.
    keeping: tokio::sync::Mutex<()>,
    catalog: ArcSwap<Catalog>,
    version: watch::Sender<u64>,
    index: watch::Sender<u64>,
    comparisons: watch::Sender<u64>,
    memory: OnceLock<Memory>,
}

impl Registry {
    /// An empty catalog; [`Registry::run`] fills it. What others register is forgotten with it.
    pub fn new(runtime: Runtime, settings: RegistrySettings) -> Self {
        Self::with(runtime, settings, None)
    }

    /// A catalog that keeps what others register, with all that they did before.
    pub async fn kept(
        runtime: Runtime,
        settings: RegistrySettings,
        store: Store,
    ) -> Result<Self, RegistryError> {
        let registry = Self::with(runtime, settings, Some(store));
        registry.restore().await?;
        Ok(registry)
    }

    fn with(runtime: Runtime, settings: RegistrySettings, store: Option<Store>) -> Self {
        // Milliseconds grow faster than a catalog changes, so that indexes go on growing after a restart.
        let index = u64::try_from(OffsetDateTime::now_utc().unix_timestamp_nanos() / 1_000_000);
        let index = index.unwrap_or(1);
        let shared = Shared {
            settings,
            book: Mutex::default(),
            images: Images::default(),
            store,
            keeping: tokio::sync::Mutex::default(),
            catalog: ArcSwap::from_pointee(Catalog::starting_at(index)),
            version: watch::Sender::new(0),
            index: watch::Sender::new(index),
            comparisons: watch::Sender::new(0),
            memory: OnceLock::new(),
        };
        Self {
            runtime,
            shared: Arc::new(shared),
        }
    }

    /// How this catalog was made.
    pub fn settings(&self) -> &RegistrySettings {
        &self.shared.settings
    }

    /// The engine whose containers it follows.
    pub fn runtime(&self) -> &Runtime {
        &self.runtime
    }

    /// The catalog as it is now.
    pub fn catalog(&self) -> Arc<Catalog> {
        self.shared.catalog.load_full()
    }

    /// The catalog's version, which changes with its content. [`Registry::synced`] says when it can be relied upon.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.shared.version.subscribe()
    }

    /// The catalog's index, which grows with each change of its content.
    pub fn watch(&self) -> watch::Receiver<u64> {
        self.shared.index.subscribe()
    }

    /// Waits until something in scope has an index above `after`, and gives the catalog as it is then. Put a time
    /// limit around it.
    pub async fn wait_past(&self, scope: &Scope, after: u64) -> Arc<Catalog> {
        let mut changes = self.watch();
        loop {
            changes.mark_unchanged();
            let catalog = self.catalog();
            if catalog.index_of(scope) > after {
                return catalog;
            }
            // The sender lives as long as `self`.
            changes.changed().await.ok();
        }
    }

    /// Counts how often the engine was found and compared with: once at the start, and whenever it is back after an
    /// absence.
    pub fn comparisons(&self) -> watch::Receiver<u64> {
        self.shared.comparisons.subscribe()
    }

    /// Waits until everything that runs has been looked at once.
    pub async fn synced(&self) {
        let mut comparisons = self.comparisons();
        // The sender lives as long as `self`.
        comparisons.wait_for(|count| *count > 0).await.ok();
    }

    /// Registers what a container offers now; nothing when it does not run. Repeating it changes nothing.
    pub async fn register(&self, id: &ContainerId) -> Result<Vec<Service>, RegistryError> {
        let look = self.begin_look();
        let info = match self.runtime.inspect(id).await {
            Ok(info) => Some(info),
            Err(RuntimeError::NotFound(_)) => None,
            Err(error) => return Err(error.into()),
        };
        let sighting = match &info {
            Some(info) => self.sighting(info).await?,
            None => None,
        };
        let Some(sighting) = sighting else {
            self.change(|book| book.ledger.is_gone(look, id));
            return Ok(Vec::new());
        };
        let offers = sighting.offers.iter();
        let services = offers.map(|offer| offer.service.clone()).collect();
        let is_alive = self.change(|book| book.ledger.saw(look, sighting));
        Ok(if is_alive { services } else { Vec::new() })
    }

    /// Follows the engine and makes checks until `shutdown`.
    pub async fn run(self, shutdown: CancellationToken) {
        tokio::join!(
            crate::follow::run(&self, &shutdown),
            crate::checks::run(&self, &shutdown),
            shutdown.run_until_cancelled(self.keep_up()),
        );
        self.keep().await;
    }

    pub(crate) fn begin_look(&self) -> Look {
        self.with_book(|book| book.ledger.begin())
    }

    /// Looks into the book, or changes what does not show.
    pub(crate) fn with_book<T>(&self, with: impl FnOnce(&mut Book) -> T) -> T {
        let book = self.shared.book.lock();
        with(&mut book.unwrap_or_else(PoisonError::into_inner))
    }

    /// Changes the book and publishes what follows from it, when it differs.
    pub(crate) fn change<T>(&self, change: impl FnOnce(&mut Book) -> T) -> T {
        self.publish(change, |book, _, current| {
            Some(current.followed_by(book.content()).0)
        })
    }

    /// Changes the book at the spots that the change tells of: the work is that of those spots, whatever else there is.
    pub(crate) fn change_at(&self, change: impl FnOnce(&mut Book) -> BTreeSet<Spot>) {
        self.publish(change, |book, spots, current| {
            let is_something = !spots.is_empty();
            is_something.then(|| current.patched(book.patch(spots, current)))
        });
    }

    /// Makes the book agree with all that the engine has: the catalog counts as known from then on, even when it is
    /// empty.
    pub(crate) fn compare(&self, look: Look, listing: Listing) {
        self.publish(
            |book| book.ledger.compare(look, listing),
            |book, (), current| Some(current.followed_by(book.content()).0.known()),
        );
    }

    /// The engine is there, and all that it has is known.
    pub(crate) fn found_engine(&self) {
        self.shared.comparisons.send_modify(|count| *count += 1);
    }

    fn publish<T>(
        &self,
        change: impl FnOnce(&mut Book) -> T,
        follow: impl FnOnce(&mut Book, &T, &Catalog) -> Option<Catalog>,
    ) -> T {
        let shared = &*self.shared;
        let mut book = shared.book.lock().unwrap_or_else(PoisonError::into_inner);
        let outcome = change(&mut book);
        // Still under the lock, so that an older content cannot overtake a newer one.
        let current = shared.catalog.load();
        if let Some(catalog) = follow(&mut book, &outcome, &current) {
            let (version, index) = (catalog.version(), catalog.index());
            shared.catalog.store(Arc::new(catalog));
            let moves_to = |new: u64| move |old: &mut u64| std::mem::replace(old, new) != new;
            shared.version.send_if_modified(moves_to(version));
            shared.index.send_if_modified(moves_to(index));
        }
        drop(book);
        outcome
    }
}
