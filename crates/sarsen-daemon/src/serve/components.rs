//! The parts that run for as long as the daemon does: the first of them to end, ends it.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::mpsc;
use tokio::task::AbortHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// More than there are.
const MOST: usize = 64;

/// Everything that runs.
pub(super) struct Components {
    tasks: TaskTracker,
    shutdown: CancellationToken,
    at_work: AtWork,
    ends: (mpsc::Sender<&'static str>, mpsc::Receiver<&'static str>),
    handles: Vec<AbortHandle>,
}

type AtWork = Arc<Mutex<BTreeMap<&'static str, usize>>>;

/// Tells of the end of a component, also when it panics.
struct Farewell {
    name: &'static str,
    at_work: AtWork,
    ends: mpsc::Sender<&'static str>,
}

impl Components {
    pub(super) fn new(shutdown: CancellationToken) -> Self {
        Self {
            tasks: TaskTracker::new(),
            shutdown,
            at_work: AtWork::default(),
            ends: mpsc::channel(MOST),
            handles: Vec::new(),
        }
    }

    /// Runs a part until the daemon ends.
    pub(super) fn start(
        &mut self,
        name: &'static str,
        part: impl Future<Output = ()> + Send + 'static,
    ) {
        let mut at_work = self.at_work.lock().unwrap_or_else(PoisonError::into_inner);
        *at_work.entry(name).or_default() += 1;
        drop(at_work);
        let farewell = Farewell {
            name,
            at_work: Arc::clone(&self.at_work),
            ends: self.ends.0.clone(),
        };
        let task = self.tasks.spawn(async move {
            let _farewell = farewell;
            part.await;
        });
        self.handles.push(task.abort_handle());
    }

    /// Ends all where they are.
    pub(super) fn abort(&self) {
        self.handles.iter().for_each(AbortHandle::abort);
    }

    /// The first part that ends although nobody asked it to.
    pub(super) async fn first_end(&mut self) -> &'static str {
        loop {
            let ended = self.ends.1.recv().await;
            if let (Some(name), false) = (ended, self.shutdown.is_cancelled()) {
                return name;
            }
        }
    }

    /// Waits until all have ended.
    pub(super) async fn wait(&self) {
        self.tasks.close();
        self.tasks.wait().await;
    }

    /// The ones that have not.
    pub(super) fn at_work(&self) -> Vec<&'static str> {
        let at_work = self.at_work.lock().unwrap_or_else(PoisonError::into_inner);
        at_work
            .iter()
            .filter(|(_, count)| **count > 0)
            .map(|(name, _)| *name)
            .collect()
    }
}

impl Drop for Farewell {
    fn drop(&mut self) {
        let mut at_work = self.at_work.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = at_work.get_mut(self.name) {
            *count -= 1;
        }
        drop(at_work);
        // Full or closed: somebody else's end was told already.
        self.ends.try_send(self.name).ok();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_end_and_a_panic_are_told() {
        let shutdown = CancellationToken::new();
        let mut components = Components::new(shutdown.clone());
        components.start("patient", shutdown.clone().cancelled_owned());
        components.start("short", async {});
        assert_eq!(components.first_end().await, "short");
        components.start("broken", async { panic!("on purpose") });
        assert_eq!(components.first_end().await, "broken");
        assert_eq!(components.at_work(), ["patient"]);
        shutdown.cancel();
        components.wait().await;
        assert!(components.at_work().is_empty());
    }

    #[tokio::test]
    async fn who_does_not_end_is_ended() {
        let mut components = Components::new(CancellationToken::new());
        components.start("stubborn", std::future::pending());
        components.abort();
        components.wait().await;
        assert!(components.at_work().is_empty());
    }
}
