//! From one run to the next, and while the engine says nothing: what can be known of containers without it.

use std::path::PathBuf;

use sarsen_domain::Health;

use crate::Registry;
use crate::memory::Memory;

impl Registry {
    /// Takes over what the last run knew of our containers, as far as they provably still run and have their addresses,
    /// and keeps that file up to date from here on. Says how many there are. Call it before [`Registry::run`].
    pub fn recall(&self, path: PathBuf) -> usize {
        let memory = self.shared.memory.get_or_init(|| Memory::at(path));
        let recalled = memory.recall();
        let count = recalled.len();
        let look = self.begin_look();
        self.change(|book| {
            for sighting in recalled {
                book.ledger.saw(look, sighting);
            }
        });
        count
    }

    /// Writes down for the next run where our containers answer. Does nothing when nothing has changed.
    pub async fn keep(&self) {
        let Some(memory) = self.shared.memory.get() else {
            return;
        };
        let catalog = self.catalog();
        let passes = |id: &str| {
            let service = catalog.services().get(id);
            service.is_some_and(|service| service.health == Health::Passing)
        };
        let watched = self.with_book(|book| book.ledger.watched());
        if let Err(error) = memory.keep(&watched, passes).await {
            tracing::warn!(%error, "cannot write down where containers answer: the next start has to ask Docker first");
        }
    }

    pub(super) async fn keep_up(&self) {
        let mut changes = self.changes();
        while changes.changed().await.is_ok() {
            self.keep().await;
        }
    }

    /// While the engine says nothing, containers are watched without it: one that has ended gets no more requests, as
    /// its address may soon be somebody else's.
    pub(crate) fn bury_the_dead(&self) {
        self.change(|book| book.ledger.bury_the_dead());
    }
}
