//! One change of a keyspace: operations that apply together or not at all.

use std::collections::BTreeMap;
use std::time::Duration;

use sarsen_store::{KvChange, KvEntry, KvSession};
use tokio::time::Instant;

use super::{Keyspace, MAX_GRAVES, starting};

/// A change under way. What it replaced is kept until the change is, so that it can be undone.
pub(crate) struct Change<'a> {
    space: &'a mut Keyspace,
    index: u64,
    entries_before: BTreeMap<String, Option<KvEntry>>,
    sessions_before: BTreeMap<String, Option<KvSession>>,
    graves_before: BTreeMap<String, Option<u64>>,
    /// Keys whose holder vanished, and for how long they rest.
    rests: Vec<(String, Duration)>,
}

/// Why an operation cannot be done at all, in Consul's words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refused {
    #[error("invalid session {0:?}")]
    NoSession(String),
}

impl<'a> Change<'a> {
    pub(super) fn new(space: &'a mut Keyspace) -> Self {
        let index = space.index + 1;
        Self {
            space,
            index,
            entries_before: BTreeMap::new(),
            sessions_before: BTreeMap::new(),
            graves_before: BTreeMap::new(),
            rests: Vec::new(),
        }
    }

    /// What is there, with this change.
    pub(crate) fn space(&self) -> &Keyspace {
        self.space
    }

    /// Sets a value. One that is the same already counts as no change.
    pub(crate) fn set(&mut self, key: &str, value: &[u8], flags: u64) {
        let old = self.space.entries.get(key);
        if old.is_some_and(|old| old.value == value && old.flags == flags) {
            return;
        }
        let entry = KvEntry {
            key: key.to_owned(),
            value: value.to_owned(),
            flags,
            lock_index: old.map_or(0, |old| old.lock_index),
            session: old.and_then(|old| old.session.clone()),
            create_index: old.map_or(self.index, |old| old.create_index),
            modify_index: self.index,
        };
        self.put(entry);
    }

    /// Sets a value if the key last changed at `index`, or is not there and that is 0.
    pub(crate) fn set_if(&mut self, key: &str, (value, flags): (&[u8], u64), index: u64) -> bool {
        let known = self
            .space
            .entries
            .get(key)
            .map_or(0, |old| old.modify_index);
        if known != index {
            return false;
        }
        self.set(key, value, flags);
        true
    }

    /// Takes the lock of a key for a session, and sets its value.
    pub(crate) fn lock(
        &mut self,
        key: &str,
        (value, flags): (&[u8], u64),
        session: &str,
    ) -> Result<bool, Refused> {
        if !self.space.sessions.contains_key(session) {
            return Err(Refused::NoSession(session.to_owned()));
        }
        let old = self.space.entries.get(key);
        let holder = old.and_then(|old| old.session.as_deref());
        if holder.is_some_and(|holder| holder != session) || self.rests(key) {
            return Ok(false);
        }
        let times = old.map_or(0, |old| old.lock_index);
        let entry = KvEntry {
            key: key.to_owned(),
            value: value.to_owned(),
            flags,
            lock_index: if holder.is_some() { times } else { times + 1 },
            session: Some(session.to_owned()),
            create_index: old.map_or(self.index, |old| old.create_index),
            modify_index: self.index,
        };
        self.put(entry);
        Ok(true)
    }

    /// Gives the lock of a key back, and sets its value; only its holder can.
    pub(crate) fn unlock(
        &mut self,
        key: &str,
        (value, flags): (&[u8], u64),
        session: &str,
    ) -> Result<bool, Refused> {
        if !self.space.sessions.contains_key(session) {
            return Err(Refused::NoSession(session.to_owned()));
        }
        let old = self.space.entries.get(key);
        let Some(old) = old.filter(|old| old.session.as_deref() == Some(session)) else {
            return Ok(false);
        };
        let entry = KvEntry {
            value: value.to_owned(),
            flags,
            session: None,
            modify_index: self.index,
            ..old.clone()
        };
        self.put(entry);
        Ok(true)
    }

    pub(crate) fn delete(&mut self, key: &str) {
        let Some(old) = self.space.entries.remove(key) else {
            return;
        };
        self.entries_before
            .entry(key.to_owned())
            .or_insert(Some(old));
        let grave = self.space.graves.insert(key.to_owned(), self.index);
        self.graves_before.entry(key.to_owned()).or_insert(grave);
    }

    /// Deletes a key if it last changed at `index`. One that is not there is as it should be.
    pub(crate) fn delete_if(&mut self, key: &str, index: u64) -> bool {
        let entry = self.space.entries.get(key);
        if entry.is_some_and(|entry| entry.modify_index != index) {
            return false;
        }
        self.delete(key);
        true
    }

    pub(crate) fn delete_under(&mut self, prefix: &str) {
        let keys: Vec<_> = starting(&self.space.entries, prefix)
            .map(|(key, _)| key.clone())
            .collect();
        for key in keys {
            self.delete(&key);
        }
    }

    /// Adds a session; its indexes are set here.
    pub(crate) fn begin_session(&mut self, mut session: KvSession) {
        session.create_index = self.index;
        session.modify_index = self.index;
        let id = session.id.clone();
        let old = self.space.sessions.insert(id.clone(), session);
        self.sessions_before.entry(id).or_insert(old);
    }

    /// Ends a session: its keys are unlocked or deleted, as it wanted, and rest for its lock delay.
    pub(crate) fn end_session(&mut self, id: &str) {
        let Some(session) = self.space.sessions.remove(id) else {
            return;
        };
        let held: Vec<KvEntry> = self
            .space
            .entries
            .values()
            .filter(|entry| entry.session.as_deref() == Some(id))
            .cloned()
            .collect();
        for entry in held {
            if session.lock_delay > 0 {
                let delay = Duration::from_millis(session.lock_delay);
                self.rests.push((entry.key.clone(), delay));
            }
            if session.deletes {
                self.delete(&entry.key);
            } else {
                self.put(KvEntry {
                    session: None,
                    modify_index: self.index,
                    ..entry
                });
            }
        }
        self.sessions_before
            .entry(id.to_owned())
            .or_insert(Some(session));
    }

    /// What is to be written down; `None` if nothing changed.
    pub(crate) fn result(&self) -> Option<KvChange> {
        if self.entries_before.is_empty() && self.sessions_before.is_empty() {
            return None;
        }
        let mut change = KvChange {
            index: self.index,
            ..KvChange::default()
        };
        for key in self.entries_before.keys() {
            match self.space.entries.get(key) {
                Some(entry) => change.entries.push(entry.clone()),
                None => change.removed_entries.push(key.clone()),
            }
        }
        for id in self.sessions_before.keys() {
            match self.space.sessions.get(id) {
                Some(session) => change.sessions.push(session.clone()),
                None => change.removed_sessions.push(id.clone()),
            }
        }
        Some(change)
    }

    /// The change is written down.
    pub(crate) fn keep(self) {
        let now = Instant::now();
        let space = self.space;
        space.index = self.index;
        space.delays.retain(|_, until| *until > now);
        let rests = self.rests.into_iter();
        space
            .delays
            .extend(rests.map(|(key, delay)| (key, now + delay)));
        while space.graves.len() > MAX_GRAVES {
            let oldest = space.graves.iter().min_by_key(|(_, index)| **index);
            let Some((key, index)) = oldest.map(|(key, index)| (key.clone(), *index)) else {
                break;
            };
            space.graves.remove(&key);
            space.forgotten = space.forgotten.max(index);
        }
    }

    /// The change is not to be: everything is as before.
    pub(crate) fn undo(self) {
        restore(&mut self.space.entries, self.entries_before);
        restore(&mut self.space.sessions, self.sessions_before);
        restore(&mut self.space.graves, self.graves_before);
    }

    fn put(&mut self, entry: KvEntry) {
        let key = entry.key.clone();
        let old = self.space.entries.insert(key.clone(), entry);
        self.entries_before.entry(key).or_insert(old);
    }

    fn rests(&self, key: &str) -> bool {
        let until = self.space.delays.get(key);
        until.is_some_and(|until| *until > Instant::now())
    }
}

fn restore<T>(map: &mut BTreeMap<String, T>, before: BTreeMap<String, Option<T>>) {
    for (key, old) in before {
        match old {
            Some(old) => map.insert(key, old),
            None => map.remove(&key),
        };
    }
}
