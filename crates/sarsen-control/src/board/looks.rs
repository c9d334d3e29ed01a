//! Whether domains lead here, as far as that is known. Looking takes as long as name servers like, so it is done beside
//! the page that asks, which shows what was found last.

use std::collections::HashMap;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use sarsen_domain::AppName;
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tokio_util::task::TaskTracker;

use super::DomainCheck;
use crate::control::Control;

/// What is older is looked for once more.
const FRESH: Duration = Duration::from_secs(10);
/// A look that takes longer has found nobody who knows.
const PATIENCE: Duration = Duration::from_secs(20);
/// So many looks are under way at the same time; each may hold a thread.
const AT_ONCE: usize = 16;
/// So many domains are remembered.
const REMEMBERED: usize = 1000;

/// What is known of a domain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DomainState {
    /// Nothing yet: the first look is under way.
    Checking,
    /// What the last look found.
    Checked(DomainCheck),
    /// The last look came to no end.
    Unknown,
}

/// What is known of all domains.
#[derive(Debug, Clone)]
pub(crate) struct DomainLooks {
    known: Arc<Mutex<HashMap<String, Look>>>,
    turns: Arc<Semaphore>,
    patience: Duration,
}

#[derive(Debug)]
struct Look {
    /// What was found last.
    found: DomainState,
    /// When that was; `None` while somebody looks.
    ended: Option<Instant>,
}

impl Look {
    fn is_fresh(&self) -> bool {
        self.ended.is_none_or(|ended| ended.elapsed() < FRESH)
    }
}

impl Default for DomainLooks {
    fn default() -> Self {
        Self {
            known: Arc::default(),
            turns: Arc::new(Semaphore::new(AT_ONCE)),
            patience: PATIENCE,
        }
    }
}

impl DomainLooks {
    /// What is known now. When that is nothing or old, `look` begins.
    fn see<F>(&self, domain: &str, tasks: &TaskTracker, look: F) -> DomainState
    where
        F: Future<Output = Option<DomainCheck>> + Send + 'static,
    {
        let mut known = self.known();
        match known.get_mut(domain) {
            Some(last) if last.is_fresh() => return last.found.clone(),
            Some(last) => last.ended = None,
            None => {
                if known.len() >= REMEMBERED {
                    known.retain(|_, look| look.is_fresh());
                }
                if known.len() >= REMEMBERED {
                    return DomainState::Unknown;
                }
                let first = Look {
                    found: DomainState::Checking,
                    ended: None,
                };
                known.insert(domain.to_owned(), first);
            }
        }
        let before = known.get(domain).map(|last| last.found.clone());
        drop(known);
        let (looks, name) = (self.clone(), domain.to_owned());
        tasks.spawn(async move {
            // Closed never.
            let _turn = looks.turns.acquire().await.ok();
            let found = timeout(looks.patience, look).await.ok().flatten();
            looks.found(name, found);
        });
        before.unwrap_or(DomainState::Unknown)
    }

    fn found(&self, domain: String, check: Option<DomainCheck>) {
        let look = Look {
            found: check.map_or(DomainState::Unknown, DomainState::Checked),
            ended: Some(Instant::now()),
        };
        self.known().insert(domain, look);
    }

    fn known(&self) -> MutexGuard<'_, HashMap<String, Look>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Control {
    /// Whether a domain of an app leads here, as far as is known at once. Ask again for what a look finds that this began.
    pub fn domain_state(&self, app: &AppName, domain: &str) -> DomainState {
        let (control, app, name) = (self.clone(), app.clone(), domain.to_owned());
        let look = async move {
            let look = control.check_domain(&app, &name);
            control.shutdown.run_until_cancelled(look).await?.ok()
        };
        self.looks.see(domain, &self.tasks, look)
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::oneshot;

    use super::*;

    fn check(domain: &str) -> DomainCheck {
        DomainCheck {
            domain: domain.to_owned(),
            addresses: Vec::new(),
            arrives: true,
            problem: None,
        }
    }

    /// Makes what is known older than it is.
    fn age(looks: &DomainLooks) {
        for look in looks.known().values_mut() {
            let old = Instant::now().checked_sub(FRESH);
            look.ended = look.ended.and(old);
        }
    }

    #[tokio::test]
    async fn nobody_waits_for_a_look_and_the_last_one_is_shown_meanwhile() {
        let (looks, tasks) = (DomainLooks::default(), TaskTracker::new());
        let never = || async { panic!("nobody has to look") };
        let (answer, answered) = oneshot::channel();
        let slow = async { answered.await.ok() };
        assert_eq!(looks.see("a.test", &tasks, slow), DomainState::Checking);
        assert_eq!(looks.see("a.test", &tasks, never()), DomainState::Checking);
        answer.send(check("a.test")).unwrap();
        tasks.close();
        tasks.wait().await;
        let known = DomainState::Checked(check("a.test"));
        assert_eq!(looks.see("a.test", &tasks, never()), known);
        age(&looks);
        assert_eq!(looks.see("a.test", &tasks, async { None }), known);
        tasks.wait().await;
        let unknown = looks.see("a.test", &tasks, never());
        assert_eq!(unknown, DomainState::Unknown);
    }

    #[tokio::test]
    async fn a_silent_name_server_is_given_up() {
        let tasks = TaskTracker::new();
        let looks = DomainLooks {
            patience: Duration::from_millis(1),
            ..DomainLooks::default()
        };
        let silent = std::future::pending();
        looks.see("a.test", &tasks, silent);
        tasks.close();
        tasks.wait().await;
        let known = looks.see("a.test", &tasks, async { None });
        assert_eq!(known, DomainState::Unknown);
    }

    #[tokio::test]
    async fn so_many_are_remembered() {
        let (looks, tasks) = (DomainLooks::default(), TaskTracker::new());
        for number in 0..REMEMBERED + 5 {
            let name = format!("{number}.test");
            looks.see(&name, &tasks, async move { None });
        }
        assert_eq!(looks.known().len(), REMEMBERED);
        tasks.close();
        tasks.wait().await;
        age(&looks);
        looks.see("another.test", &tasks, async { None });
        assert_eq!(looks.known().len(), 1);
    }
}
