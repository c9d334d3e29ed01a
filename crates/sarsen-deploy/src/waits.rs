//! Which one-off commands somebody waits for. What is left of the others, because the engine was away when they ended,
//! can go.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The commands that this run of the daemon waits for, by the marks on their containers.
#[derive(Debug, Clone, Default)]
pub(crate) struct Waits(Arc<Mutex<HashSet<String>>>);

/// A command that is waited for until this is dropped.
#[derive(Debug)]
pub(crate) struct Wait {
    mark: String,
    all: Waits,
}

impl Waits {
    /// From now on a command is waited for. Begin before its container is made: an engine that dies over the request may
    /// make it all the same.
    pub(crate) fn begin(&self) -> Wait {
        let mark = format!("{:016x}", rand::random::<u64>());
        self.marks().insert(mark.clone());
        Wait {
            mark,
            all: self.clone(),
        }
    }

    /// The marks of all commands that are waited for now.
    pub(crate) fn all(&self) -> HashSet<String> {
        self.marks().clone()
    }

    /// Whether somebody waits for the command whose container carries this mark.
    pub(crate) fn contains(&self, mark: &str) -> bool {
        self.marks().contains(mark)
    }

    fn marks(&self) -> MutexGuard<'_, HashSet<String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Wait {
    /// What the command's container is to carry.
    pub(crate) fn mark(&self) -> &str {
        &self.mark
    }
}

impl Drop for Wait {
    fn drop(&mut self) {
        self.all.marks().remove(&self.mark);
    }
}
