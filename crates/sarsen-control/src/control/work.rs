//! Whether anybody would notice if this daemon gave its place to another one now.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crate::access::Action;
use crate::control::Control;

/// Between two looks.
const LOOK: Duration = Duration::from_millis(50);
/// So many looks in a row must find nothing: what has just been asked for may not have begun yet.
const QUIET: u32 = 3;

/// Counts the commands under way that change something or run something; looking on does not count.
#[derive(Debug, Clone, Default)]
pub(crate) struct Work(Arc<AtomicUsize>);

/// Counts for as long as it lives.
#[derive(Debug)]
pub(crate) struct AtWork(Arc<AtomicUsize>);

impl Work {
    pub(crate) fn begin(&self, action: Action) -> Option<AtWork> {
        if matches!(action, Action::List | Action::Read) {
            return None;
        }
        self.0.fetch_add(1, Ordering::Relaxed);
        Some(AtWork(Arc::clone(&self.0)))
    }

    fn is_any(&self) -> bool {
        self.0.load(Ordering::Relaxed) > 0
    }
}

impl Drop for AtWork {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Control {
    /// Waits for a moment without a deploy, a one-off run or any other command that does more than look.
    pub async fn idle(&self) {
        let mut quiet = 0;
        while quiet < QUIET {
            tokio::time::sleep(LOOK).await;
            let is_busy = self.locks.any() || self.work.is_any();
            quiet = if is_busy { 0 } else { quiet + 1 };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn looking_on_is_no_work() {
        let work = Work::default();
        assert!(work.begin(Action::Read).is_none());
        let at_work = work.begin(Action::Deploy);
        assert!(work.is_any());
        drop(at_work);
        assert!(!work.is_any());
    }
}
