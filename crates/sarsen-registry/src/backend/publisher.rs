//! Keeps one registry outside in step with the catalog: what it holds under our mark is compared with what there is,
//! and only the difference is written. Nothing has to be remembered over an outage, for the next comparison finds it.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::{StreamExt, stream};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;

use super::{Backend, BackendError, Checking, Entry};
use crate::{Instance, Registry, Source};

const BACKOFF_MIN: Duration = Duration::from_millis(100);
const BACKOFF_MAX: Duration = Duration::from_secs(10);
/// So many writes are under way at a time.
const WRITES: usize = 8;

/// How a registry is kept.
#[derive(Debug, Clone, Copy)]
pub struct PublisherSettings {
    /// Who checks the services.
    pub checking: Checking,
    /// How often what the registry holds is compared even though nothing has happened: it may have been restarted
    /// empty, or changed by others.
    pub compare_every: Duration,
}

/// The loop of one registry.
pub struct Publisher {
    registry: Registry,
    backend: Backend,
    settings: PublisherSettings,
    /// What the registry would not take; not tried again before it changes, or the next comparison.
    refused: Entries,
}

/// Name and id: what no two entries of a registry share.
type Key = (String, String);
type Entries = BTreeMap<Key, Entry>;

enum Write {
    Put(Entry),
    Remove(Entry),
}

impl Publisher {
    pub fn new(registry: Registry, backend: Backend, settings: PublisherSettings) -> Self {
        Self {
            registry,
            backend,
            settings,
            refused: Entries::new(),
        }
    }

    /// Publishes until `shutdown`. What is published then stays: services do not end with us.
    pub async fn run(mut self, shutdown: CancellationToken) {
        // Before everything has been looked at, nothing is known to be gone.
        let synced = self.registry.clone();
        if shutdown
            .run_until_cancelled(synced.synced())
            .await
            .is_none()
        {
            return;
        }
        let mut backoff = BACKOFF_MIN;
        loop {
            let session = self.session(&mut backoff);
            let Some(why) = shutdown.run_until_cancelled(session).await else {
                return;
            };
            let name = self.backend.name();
            if backoff == BACKOFF_MIN {
                tracing::warn!("{name} cannot be kept: {why}; trying until it can");
            } else {
                tracing::debug!(retry.after = ?backoff, "{name} still cannot be kept: {why}");
            }
            if shutdown.run_until_cancelled(sleep(backoff)).await.is_none() {
                return;
            }
            backoff = (backoff * 2).min(BACKOFF_MAX);
        }
    }

    /// Keeps it until it goes away, and says why it did.
    async fn session(&mut self, backoff: &mut Duration) -> BackendError {
        let mut changes = self.registry.changes();
        match self.keep(&mut changes, backoff).await {
            Ok(never) => match never {},
            Err(why) => why,
        }
    }

    async fn keep(
        &mut self,
        changes: &mut watch::Receiver<u64>,
        backoff: &mut Duration,
    ) -> Result<std::convert::Infallible, BackendError> {
        self.backend.ping().await?;
        let mut held = self.held().await?;
        tracing::info!(
            "{} answers and holds {} services of ours",
            self.backend.name(),
            held.len()
        );
        let renew_every = self.backend.lifetime().map(|lifetime| lifetime.refresh);
        let mut renew_at = renew_every.map(|every| Instant::now() + every);
        let mut compare_at = Instant::now() + self.settings.compare_every;
        loop {
            changes.mark_unchanged();
            self.settle(&mut held).await?;
            *backoff = BACKOFF_MIN;
            tokio::select! {
                // The sender lives in the registry, which we hold.
                _ = changes.changed() => {}
                () = sleep_until(compare_at) => {
                    held = self.held().await?;
                    self.refused.clear();
                    compare_at = Instant::now() + self.settings.compare_every;
                }
                () = until(renew_at) => {
                    self.backend.renew().await?;
                    renew_at = renew_every.map(|every| Instant::now() + every);
                }
            }
        }
    }

    /// What the registry holds under our mark.
    async fn held(&self) -> Result<Entries, BackendError> {
        let held = self.backend.owned().await?;
        Ok(held.into_iter().map(|entry| (key(&entry), entry)).collect())
    }

    /// What it should hold: the instances that containers of this host stand for.
    fn wanted(&self) -> Entries {
        let catalog = self.registry.catalog();
        let own = catalog.instances().filter(|instance| {
            instance.node.is_none() && matches!(instance.source, Source::Container { .. })
        });
        let entries = own
            .filter(|instance| self.belongs(instance))
            .map(|instance| {
                let entry = Entry::of(instance, self.settings.checking);
                self.backend.shape(entry)
            });
        entries.map(|entry| (key(&entry), entry)).collect()
    }

    /// Where nobody tells of health, what should get no traffic has no entry. That a container is about to stop is
    /// known before any check of others could find out.
    fn belongs(&self, instance: &Instance) -> bool {
        match self.settings.checking {
            Checking::Ours => self.backend.tells_health() || instance.is_available(),
            Checking::Theirs => !instance.is_draining(),
        }
    }

    /// Writes what differs; removals first, for an id may have moved to another name.
    async fn settle(&mut self, held: &mut Entries) -> Result<(), BackendError> {
        let wanted = self.wanted();
        let gone = held.iter().filter(|(key, _)| !wanted.contains_key(*key));
        let removals: Vec<_> = gone
            .map(|(_, entry)| Write::Remove(entry.clone()))
            .collect();
        self.write_all(removals, held).await?;
        let new = wanted.into_iter().filter(|(key, entry)| {
            self.refused.get(key) != Some(entry)
                && held.get(key).is_none_or(|old| !entry.agrees(old))
        });
        let puts: Vec<_> = new.map(|(_, entry)| Write::Put(entry)).collect();
        self.write_all(puts, held).await
    }

    /// Writes side by side. One that is refused holds up no other; a registry that is away ends it.
    async fn write_all(
        &mut self,
        writes: Vec<Write>,
        held: &mut Entries,
    ) -> Result<(), BackendError> {
        let backend = &self.backend;
        let one = async |write: Write| {
            let done = match &write {
                Write::Put(entry) => backend.put(entry).await,
                Write::Remove(entry) => backend.remove(entry).await,
            };
            (write, done)
        };
        let mut done = stream::iter(writes).map(one).buffer_unordered(WRITES);
        let mut away = None;
        while let Some((write, outcome)) = done.next().await {
            let entry = match &write {
                Write::Put(entry) | Write::Remove(entry) => entry,
            };
            match (outcome, &write) {
                (Ok(()), Write::Put(_)) => {
                    tracing::info!(
                        service.id = entry.id,
                        "added {} to {}",
                        entry.id,
                        backend.name()
                    );
                    held.insert(key(entry), entry.clone());
                }
                (Ok(()), Write::Remove(_)) => {
                    tracing::info!(
                        service.id = entry.id,
                        "removed {} from {}",
                        entry.id,
                        backend.name()
                    );
                    held.remove(&key(entry));
                }
                (Err(BackendError::Refused(why)), _) => {
                    tracing::warn!("{} does not take {}: {why}", backend.name(), entry.id);
                    held.remove(&key(entry));
                    self.refused.insert(key(entry), entry.clone());
                }
                (Err(error @ BackendError::Unreachable(_)), _) => away = Some(error),
            }
        }
        away.map_or(Ok(()), Err)
    }
}

fn key(entry: &Entry) -> Key {
    (entry.name.clone(), entry.id.clone())
}

async fn until(at: Option<Instant>) {
    match at {
        Some(at) => sleep_until(at).await,
        None => std::future::pending().await,
    }
}
