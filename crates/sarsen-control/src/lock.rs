//! One change of what runs per app at a time.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use sarsen_domain::{AppName, BuildId};
use tokio_util::sync::CancellationToken;

use crate::failure::{Failure, Outcome};

/// Which apps are being deployed, and how to stop each deploy. In memory: a daemon that dies holds no lock.
#[derive(Debug, Clone, Default)]
pub(crate) struct Locks(Arc<Mutex<HashMap<AppName, Held>>>);

#[derive(Debug, Clone)]
struct Held {
    build: Option<BuildId>,
    cancel: CancellationToken,
}

/// Holds an app's lock until dropped.
#[derive(Debug)]
pub(crate) struct DeployLock {
    app: AppName,
    locks: Locks,
    cancel: CancellationToken,
}

impl Locks {
    /// Takes the lock, or says at once that somebody has it.
    pub(crate) fn take(&self, app: &AppName) -> Outcome<DeployLock> {
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if held.contains_key(app) {
            return Err(Failure::new(format!(
                "{app} currently has a deploy lock in place. Exiting...\n\
                 A deploy is under way: follow it with 'builds:output {app}', or stop it with 'builds:cancel {app}'"
            )));
        }
        let cancel = CancellationToken::new();
        held.insert(
            app.clone(),
            Held {
                build: None,
                cancel: cancel.clone(),
            },
        );
        drop(held);
        Ok(DeployLock {
            app: app.clone(),
            locks: self.clone(),
            cancel,
        })
    }

    /// The build that holds the lock.
    pub(crate) fn holder(&self, app: &AppName) -> Option<BuildId> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(app)?
            .build
            .clone()
    }

    /// Asks the deploy under way to stop; false when there is none.
    pub(crate) fn cancel(&self, app: &AppName) -> bool {
        let held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        held.get(app).map(|held| held.cancel.cancel()).is_some()
    }

    /// Whether anything is being deployed.
    pub(crate) fn any(&self) -> bool {
        !self
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .is_empty()
    }

    /// Asks every deploy to stop: the daemon is about to end.
    pub(crate) fn cancel_all(&self) {
        let held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        held.values().for_each(|held| held.cancel.cancel());
    }
}

impl DeployLock {
    /// The app.
    pub(crate) fn app(&self) -> &AppName {
        &self.app
    }

    /// Fires when somebody wants this deploy stopped.
    pub(crate) fn cancelled(&self) -> &CancellationToken {
        &self.cancel
    }

    /// Says which build holds the lock.
    pub(crate) fn set_build(&self, build: &BuildId) {
        let mut held = self.locks.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(held) = held.get_mut(&self.app) {
            held.build = Some(build.clone());
        }
    }
}

impl Drop for DeployLock {
    fn drop(&mut self) {
        self.locks
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&self.app);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_at_a_time() {
        let locks = Locks::default();
        let app = AppName::parse("a").unwrap();
        let first = locks.take(&app).unwrap();
        assert!(
            locks
                .take(&app)
                .unwrap_err()
                .message
                .contains("deploy lock")
        );
        assert!(locks.take(&AppName::parse("b").unwrap()).is_ok());
        assert!(locks.cancel(&app));
        assert!(first.cancelled().is_cancelled());
        drop(first);
        assert!(!locks.cancel(&app));
        assert!(locks.take(&app).is_ok());
    }
}
