//! What others registered outlives the daemon: it is written down before anybody sees it.

use std::collections::BTreeSet;

use sarsen_store::{RegistrationKey, Store, StoreError};
use serde::{Deserialize, Serialize};

use crate::catalog::Place;
use crate::check::CheckStatus;
use crate::externals::{Entry, Key, Kind, Told};
use crate::{Registry, RegistryError};

/// A registration as it is written down.
#[derive(Debug, Serialize, Deserialize)]
struct Kept {
    entry: Entry,
    /// What a check said when that last changed by a report.
    #[serde(default)]
    status: Option<CheckStatus>,
    #[serde(default)]
    output: String,
}

impl Registry {
    /// Makes changes to what others registered.
    pub(super) async fn enter(
        &self,
        entries: Vec<Entry>,
        gone: Vec<Key>,
    ) -> Result<(), RegistryError> {
        self.enter_told(entries, Vec::new(), gone).await
    }

    /// The same, with checks of which it is told what they say.
    pub(super) async fn enter_told(
        &self,
        entries: Vec<Entry>,
        told: Vec<Told>,
        gone: Vec<Key>,
    ) -> Result<(), RegistryError> {
        let _turn = self.shared.keeping.lock().await;
        if let Some(store) = &self.shared.store {
            let gone: Vec<_> = gone.iter().map(stored_key).collect();
            let mut kept = Vec::new();
            for entry in &entries {
                let key = stored_key(&entry.key());
                let (status, output) = self.said_of(entry);
                kept.push((key, written(entry, status, output)?));
            }
            for told in &told {
                let entry = Entry::Check(told.check.clone());
                let text = written(&entry, Some(told.status), told.output.clone())?;
                kept.push((stored_key(&entry.key()), text));
            }
            let stored = store.registrations().change(&kept, &gone).await;
            stored.map_err(not_kept)?;
        }
        self.change_at(|book| {
            let mut spots = BTreeSet::new();
            for key in &gone {
                spots.extend(book.externals.spot_of(key));
                book.externals.remove(key);
            }
            for entry in entries {
                // A check can move from one service to another.
                let key = entry.key();
                spots.extend(book.externals.spot_of(&key));
                book.externals.enter(entry);
                spots.extend(book.externals.spot_of(&key));
            }
            for told in told {
                let key = Key::of_check(&told.check.place());
                spots.extend(book.externals.spot_of(&key));
                book.restore(told.check, told.status, &told.output);
                spots.extend(book.externals.spot_of(&key));
            }
            spots
        });
        Ok(())
    }

    /// Writes down what a registered check says. Those of containers begin anew with the daemon.
    pub(super) async fn keep_status(
        &self,
        place: &Place,
        status: CheckStatus,
        output: &str,
    ) -> Result<(), RegistryError> {
        let _turn = self.shared.keeping.lock().await;
        let Some(store) = &self.shared.store else {
            return Ok(());
        };
        let check = self.with_book(|book| book.externals.checks.get(place).cloned());
        let Some(entry) = check.map(Entry::Check) else {
            return Ok(());
        };
        let key = stored_key(&entry.key());
        let text = written(&entry, Some(status), output.to_owned())?;
        let stored = store.registrations().change(&[(key, text)], &[]).await;
        stored.map_err(not_kept)
    }

    /// Reads what was written down.
    pub(super) async fn restore(&self) -> Result<(), RegistryError> {
        let Some(store) = &self.shared.store else {
            return Ok(());
        };
        let all = read(store).await?;
        self.change(|book| {
            for kept in all {
                match (kept.entry, kept.status) {
                    (Entry::Check(check), Some(status)) => {
                        book.restore(check, status, &kept.output);
                    }
                    (entry, _) => book.externals.enter(entry),
                }
            }
        });
        Ok(())
    }

    /// What a check that is registered again as it was says.
    fn said_of(&self, entry: &Entry) -> (Option<CheckStatus>, String) {
        let Entry::Check(check) = entry else {
            return (None, String::new());
        };
        let catalog = self.catalog();
        let known = catalog.check(&check.place());
        let known = known.filter(|known| known.spec == check.spec);
        known.map_or((None, String::new()), |known| {
            (Some(known.status), known.output.clone())
        })
    }
}

fn stored_key(key: &Key) -> RegistrationKey {
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    RegistrationKey {
        kind: key.kind.as_str(),
        node: text(&key.place.node),
        id: key.place.id.clone(),
    }
}

fn written(
    entry: &Entry,
    status: Option<CheckStatus>,
    output: String,
) -> Result<String, RegistryError> {
    let kept = Kept {
        entry: entry.clone(),
        status,
        output,
    };
    serde_json::to_string(&kept).map_err(|error| RegistryError::Store(error.to_string()))
}

async fn read(store: &Store) -> Result<Vec<Kept>, RegistryError> {
    let all = store.registrations().all().await.map_err(not_kept)?;
    let mut kept: Vec<Kept> = Vec::new();
    for text in all {
        let one = serde_json::from_str(&text);
        kept.push(one.map_err(|error| RegistryError::Store(error.to_string()))?);
    }
    // Nothing is seen before what it is on.
    kept.sort_by_key(|kept| match kept.entry.key().kind {
        Kind::Node => 0,
        Kind::Service => 1,
        Kind::Check => 2,
    });
    Ok(kept)
}

#[expect(clippy::needless_pass_by_value, reason = "the shape of `map_err`")]
fn not_kept(error: StoreError) -> RegistryError {
    RegistryError::Store(error.to_string())
}
