//! What the handlers share: the catalog, the keyspace, and how to wait for a change of either.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::response::Response;
use sarsen_domain::Secret;
use sarsen_registry::{Catalog, Instance, Mesh, Place, Registry, Source, Weights};
use sarsen_store::{KvChange, Store, StoreError};
use serde_json::Value;
use sha2::{Digest, Sha256};
use tokio::sync::{RwLock, RwLockReadGuard, Semaphore, SemaphorePermit, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::answer::{self, Fault, Found};
use crate::ask::{Ask, Sieve};
use crate::events::Events;
use crate::keyspace::{Change, Keyspace};
use crate::sessions::Deadlines;

/// How many callers may wait for a change at once.
const WAITING: usize = 1024;

/// How this Consul is called.
#[derive(Debug, Clone)]
pub struct ConsulSettings {
    /// Where it listens.
    pub address: SocketAddr,
    /// Asked from every caller, if there is one.
    pub token: Option<Secret<String>>,
    /// The id of this host's node; without one it follows from the host's name.
    pub node_id: Option<String>,
    /// What is to be known of this host's node.
    pub node_meta: BTreeMap<String, String>,
    /// Ends waiting.
    pub shutdown: CancellationToken,
}

/// The state behind the API. Cheap to clone.
#[derive(Clone)]
pub struct Api(Arc<Shared>);

struct Shared {
    registry: Registry,
    store: Store,
    settings: ConsulSettings,
    node_id: String,
    node_meta: BTreeMap<String, String>,
    own: Arc<Instance>,
    keys: RwLock<Keyspace>,
    keys_changed: watch::Sender<u64>,
    deadlines: Deadlines,
    events: Mutex<Events>,
    waiting: Semaphore,
}

impl Api {
    /// Reads the keys and sessions that were there before.
    pub async fn open(
        registry: Registry,
        store: Store,
        settings: ConsulSettings,
    ) -> Result<Self, StoreError> {
        let keys = Keyspace::new(store.key_values().load().await?);
        let deadlines = Deadlines::default();
        for session in keys.sessions() {
            deadlines.renew(session);
        }
        let host = &registry.settings().rules.host.name;
        let first = registry.catalog().first_index();
        let node_id = settings.node_id.clone().unwrap_or_else(|| node_id(host));
        let mut node_meta = settings.node_meta.clone();
        node_meta.insert("consul-network-segment".to_owned(), String::new());
        let shared = Shared {
            node_id,
            node_meta,
            own: Arc::new(own_service(&settings, first)),
            keys_changed: watch::Sender::new(keys.index()),
            keys: RwLock::new(keys),
            deadlines,
            events: Mutex::default(),
            waiting: Semaphore::new(WAITING),
            registry,
            store,
            settings,
        };
        Ok(Self(Arc::new(shared)))
    }

    /// Ends sessions that nobody renewed, until `shutdown`.
    pub async fn keep(&self) {
        crate::sessions::keep(self).await;
    }

    pub(crate) fn settings(&self) -> &ConsulSettings {
        &self.0.settings
    }

    pub(crate) fn registry(&self) -> &Registry {
        &self.0.registry
    }

    pub(crate) fn catalog(&self) -> Arc<Catalog> {
        self.0.registry.catalog()
    }

    /// The name of this host.
    pub(crate) fn node(&self) -> &str {
        &self.0.registry.settings().rules.host.name
    }

    pub(crate) fn node_address(&self) -> String {
        self.0.registry.settings().rules.host.address.to_string()
    }

    pub(crate) fn node_id(&self) -> &str {
        &self.0.node_id
    }

    /// What is known of this host's node.
    pub(crate) fn node_meta(&self) -> &BTreeMap<String, String> {
        &self.0.node_meta
    }

    /// Whether the caller wants what is on this node; `None` is this host.
    pub(crate) fn takes_node(&self, ask: &Ask, catalog: &Catalog, node: Option<&str>) -> bool {
        match node {
            None => ask.takes_node(&self.0.node_meta),
            Some(name) => match catalog.nodes().get(name) {
                Some(node) => ask.takes_node(&node.attributes),
                None => ask.takes_node(&BTreeMap::new()),
            },
        }
    }

    /// The service `consul`, which is this API.
    pub(crate) fn own(&self) -> &Arc<Instance> {
        &self.0.own
    }

    pub(crate) fn deadlines(&self) -> &Deadlines {
        &self.0.deadlines
    }

    pub(crate) fn catalog_changes(&self) -> watch::Receiver<u64> {
        self.0.registry.watch()
    }

    pub(crate) async fn keys(&self) -> RwLockReadGuard<'_, Keyspace> {
        self.0.keys.read().await
    }

    /// Does something with the events.
    pub(crate) fn events<T>(&self, with: impl FnOnce(&mut Events) -> T) -> T {
        with(&mut self.0.events.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Makes a change of keys and sessions: written down first, then seen. What `change` refuses has never been.
    pub(crate) async fn change<T, E: From<StoreError>>(
        &self,
        change: impl FnOnce(&mut Change<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        let mut keys = self.0.keys.write().await;
        let mut draft = keys.change();
        let outcome = match change(&mut draft) {
            Ok(outcome) => outcome,
            Err(refused) => {
                draft.undo();
                return Err(refused);
            }
        };
        let Some(result) = draft.result() else {
            return Ok(outcome);
        };
        if let Err(error) = self.write_down(&result).await {
            draft.undo();
            return Err(error.into());
        }
        draft.keep();
        drop(keys);
        self.0.keys_changed.send_replace(result.index);
        Ok(outcome)
    }

    async fn write_down(&self, change: &KvChange) -> Result<(), StoreError> {
        self.0.store.key_values().apply(change).await
    }

    /// Reads from the catalog, again and again while the caller waits.
    pub(crate) async fn watch_catalog<T>(
        &self,
        ask: &Ask,
        read: impl Fn(&Catalog) -> Found<T>,
    ) -> Result<Found<T>, Fault> {
        let mut wait = self.wait(ask, Asked::by_index(ask), self.catalog_changes())?;
        loop {
            let found = read(&self.catalog());
            let is_news = ask.index == 0 || found.touched > ask.index;
            if is_news || !wait.goes_on().await {
                return Ok(found);
            }
        }
    }

    /// The answer that is made of rows of the catalog: those that the caller's filter lets through.
    pub(crate) async fn rows(
        &self,
        ask: &Sieve,
        read: impl Fn(&Catalog) -> Found<Vec<Value>>,
    ) -> Result<Response, Fault> {
        let found = self.watch_catalog(ask, read).await?;
        Ok(answer::json(ask.rows(found)?, ask))
    }

    /// Reads one thing from the catalog, again and again while the caller waits for another `hash` of it.
    pub(crate) async fn watch_content<T>(
        &self,
        ask: &Ask,
        read: impl Fn(&Catalog) -> Result<(String, T), Fault>,
    ) -> Result<(String, T), Fault> {
        let known = ask.get("hash");
        let mut wait = self.wait(ask, Asked::by_hash(known), self.catalog_changes())?;
        loop {
            let found = read(&self.catalog())?;
            if known != Some(found.0.as_str()) || !wait.goes_on().await {
                return Ok(found);
            }
        }
    }

    /// Reads the events, again and again while the caller waits for another index of theirs.
    pub(crate) async fn watch_events<T>(
        &self,
        ask: &Ask,
        read: impl Fn(&Events) -> Found<T>,
    ) -> Result<Found<T>, Fault> {
        let changes = self.events(|events| events.watch());
        let mut wait = self.wait(ask, Asked::by_index(ask), changes)?;
        loop {
            let found = self.events(|events| read(events));
            // Theirs do not grow: they are made of ids.
            if found.index != ask.index || !wait.goes_on().await {
                return Ok(found);
            }
        }
    }

    /// Reads keys and sessions, again and again while the caller waits.
    pub(crate) async fn watch_keys<T>(
        &self,
        ask: &Ask,
        read: impl Fn(&Keyspace) -> Found<T>,
    ) -> Result<Found<T>, Fault> {
        let mut wait = self.wait(ask, Asked::by_index(ask), self.0.keys_changed.subscribe())?;
        loop {
            let found = read(&*self.keys().await);
            let is_news = ask.index == 0 || found.touched > ask.index;
            if is_news || !wait.goes_on().await {
                return Ok(found);
            }
        }
    }

    fn wait(
        &self,
        ask: &Ask,
        asked: Asked,
        changes: watch::Receiver<u64>,
    ) -> Result<Wait<'_>, Fault> {
        let place = match asked {
            Asked::Now => None,
            Asked::ToWait => Some(self.0.waiting.try_acquire()),
        };
        let place = place.transpose();
        Ok(Wait {
            end: Instant::now() + ask.wait + jitter(ask.wait),
            changes,
            shutdown: &self.0.settings.shutdown,
            _place: place.map_err(|_| Fault::too_many())?,
        })
    }
}

/// Whether a caller wants to wait, and so takes one of the places.
#[derive(Debug, Clone, Copy)]
enum Asked {
    Now,
    ToWait,
}

impl Asked {
    fn by_index(ask: &Ask) -> Self {
        if ask.index > 0 {
            Self::ToWait
        } else {
            Self::Now
        }
    }

    fn by_hash(hash: Option<&str>) -> Self {
        if hash.is_some() {
            Self::ToWait
        } else {
            Self::Now
        }
    }
}

/// A caller who may wait for a change.
struct Wait<'a> {
    end: Instant,
    changes: watch::Receiver<u64>,
    shutdown: &'a CancellationToken,
    _place: Option<SemaphorePermit<'a>>,
}

impl Wait<'_> {
    /// Waits until there may be something new; false when the time is over.
    async fn goes_on(&mut self) -> bool {
        tokio::select! {
            changed = self.changes.changed() => changed.is_ok(),
            () = tokio::time::sleep_until(self.end) => false,
            () = self.shutdown.cancelled() => false,
        }
    }
}

/// Up to a sixteenth more, so that those who began together do not end together.
fn jitter(wait: Duration) -> Duration {
    (wait / 16).mul_f64(rand::random::<f64>())
}

/// The same for the same name at each start, in the form of a UUID.
fn node_id(name: &str) -> String {
    uuid(&Sha256::digest(name))
}

/// Sixteen bytes in the form of a UUID.
pub(crate) fn uuid(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(36);
    for (place, byte) in bytes.iter().take(16).enumerate() {
        if matches!(place, 4 | 6 | 8 | 10) {
            text.push('-');
        }
        text.push_str(&format!("{byte:02x}"));
    }
    text
}

fn own_service(settings: &ConsulSettings, index: u64) -> Instance {
    let place = Place::here("consul");
    Instance {
        node: place.node,
        name: place.id.clone(),
        id: place.id,
        address: String::new(),
        port: settings.address.port(),
        tags: Vec::new(),
        attributes: BTreeMap::new(),
        weights: Weights::default(),
        tagged_addresses: BTreeMap::new(),
        tags_are_open: false,
        mesh: Mesh::default(),
        source: Source::External {
            registrant: "consul".to_owned(),
        },
        checks: Vec::new(),
        create_index: index,
        modify_index: index,
    }
}
