//! Keys, sessions and locks, without I/O: what is there, and what a change makes of it.

mod change;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::ops::Bound;

use sarsen_store::{KvEntry, KvSession, KvState};
use tokio::time::Instant;

pub(crate) use change::{Change, Refused};

/// The largest value.
pub(crate) const MAX_VALUE: usize = 512 * 1024;
/// How many removals are remembered one by one.
const MAX_GRAVES: usize = 4096;

/// Everything behind `/v1/kv` and `/v1/session`.
#[derive(Debug, Default)]
pub(crate) struct Keyspace {
    entries: BTreeMap<String, KvEntry>,
    sessions: BTreeMap<String, KvSession>,
    /// When keys were removed, so that whoever watches one hears of it.
    graves: BTreeMap<String, u64>,
    /// Removals up to here are no longer known one by one: any key may have been among them.
    forgotten: u64,
    /// Until when a key is not locked anew, because its holder vanished.
    delays: BTreeMap<String, Instant>,
    index: u64,
}

impl Keyspace {
    pub(crate) fn new(state: KvState) -> Self {
        let by_key = |entry: KvEntry| (entry.key.clone(), entry);
        let by_id = |session: KvSession| (session.id.clone(), session);
        Self {
            entries: state.entries.into_iter().map(by_key).collect(),
            sessions: state.sessions.into_iter().map(by_id).collect(),
            // What was removed before the restart is not known: whoever waited has lost the connection anyway.
            index: state.index.max(1),
            ..Self::default()
        }
    }

    /// Counts up with each change.
    pub(crate) fn index(&self) -> u64 {
        self.index
    }

    pub(crate) fn get(&self, key: &str) -> Option<&KvEntry> {
        self.entries.get(key)
    }

    /// The entries under a prefix, in order.
    pub(crate) fn under<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = &'a KvEntry> {
        starting(&self.entries, prefix).map(|(_, entry)| entry)
    }

    pub(crate) fn session(&self, id: &str) -> Option<&KvSession> {
        self.sessions.get(id)
    }

    pub(crate) fn sessions(&self) -> impl Iterator<Item = &KvSession> {
        self.sessions.values()
    }

    /// When a key last changed or was removed; 0 if never.
    pub(crate) fn touched(&self, key: &str) -> u64 {
        let Some(entry) = self.entries.get(key) else {
            let removed = self.graves.get(key).copied();
            return removed.unwrap_or(self.forgotten);
        };
        entry.modify_index
    }

    /// When anything under a prefix last changed or was removed; 0 if never.
    pub(crate) fn touched_under(&self, prefix: &str) -> u64 {
        let changed = self.under(prefix).map(|entry| entry.modify_index).max();
        let removed = starting(&self.graves, prefix)
            .map(|(_, index)| *index)
            .max();
        changed.max(removed).unwrap_or(self.forgotten)
    }

    /// When a session was last made or ended; never 0.
    pub(crate) fn sessions_touched(&self) -> u64 {
        self.index
    }

    /// Begins a change; nothing of it stays unless it is kept.
    pub(crate) fn change(&mut self) -> Change<'_> {
        Change::new(self)
    }
}

/// What begins with a prefix.
fn starting<'a, T>(
    map: &'a BTreeMap<String, T>,
    prefix: &'a str,
) -> impl Iterator<Item = (&'a String, &'a T)> {
    map.range::<str, _>((Bound::Included(prefix), Bound::Unbounded))
        .take_while(move |(key, _)| key.starts_with(prefix))
}
