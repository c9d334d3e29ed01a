//! Makes the checks that are ours to make: each at its interval, all of them within bounds.

mod http;
mod look;

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::BoxFuture;
use tokio::sync::Semaphore;
use tokio::time::{sleep, sleep_until, timeout};
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use crate::Registry;
use crate::catalog::Place;
use crate::check::{Check, CheckSpec, CheckStatus, Probe};
use crate::externals::Spot;
use look::Looker;

/// So many looks are under way at the same time.
const LOOKS_AT_ONCE: usize = 64;
/// The first look comes within this, so that a crowd that starts at once is not looked at all at once.
const FIRST_LOOK: Duration = Duration::from_millis(250);
/// Intervals vary by this share of theirs.
const JITTER: f64 = 0.1;
/// No due time is further away.
const FAR: Duration = Duration::from_secs(3600);

/// What one look says.
type Said = (CheckStatus, String);

/// A check that is ours to make, of one life of its container.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Job {
    place: Place,
    /// Where it shows.
    spot: Spot,
    spec: CheckSpec,
    generation: i64,
}

/// A job that is being done until this is dropped.
struct Underway {
    job: Job,
    _end: DropGuard,
    /// The round in which it was last wanted.
    round: u64,
}

/// Makes checks until `shutdown`.
pub(crate) async fn run(registry: &Registry, shutdown: &CancellationToken) {
    let tasks = TaskTracker::new();
    let looker = Looker::new(registry.runtime().clone());
    let permits = Arc::new(Semaphore::new(LOOKS_AT_ONCE));
    let mut jobs: HashMap<Place, Underway> = HashMap::new();
    let mut changes = registry.watch();
    for round in 1.. {
        changes.mark_unchanged();
        let due = registry.sweep().await;
        for job in news(registry, &mut jobs, round) {
            let end = CancellationToken::new();
            let work = keep_looking(
                registry.clone(),
                job.clone(),
                looker.clone(),
                Arc::clone(&permits),
            );
            let ended = end.clone();
            tasks.spawn(async move {
                ended.run_until_cancelled(work).await;
            });
            let underway = Underway {
                job,
                _end: end.drop_guard(),
                round,
            };
            jobs.insert(underway.job.place.clone(), underway);
        }
        jobs.retain(|_, underway| underway.round == round);
        let due = due.unwrap_or_else(|| Instant::now() + FAR);
        tokio::select! {
            changed = changes.changed() => if changed.is_err() { break },
            () = sleep_until(due.into()) => {}
            () = shutdown.cancelled() => break,
        }
    }
    drop(jobs);
    tasks.close();
    tasks.wait().await;
}

/// The checks that are ours to make and that nobody makes yet; those that are being made are marked as wanted.
fn news(registry: &Registry, jobs: &mut HashMap<Place, Underway>, round: u64) -> Vec<Job> {
    let catalog = registry.catalog();
    let mut new = Vec::new();
    registry.with_book(|book| {
        for check in catalog.checks().filter(|check| is_active(check)) {
            let place = check.place();
            let Some(generation) = book.state_mut(&place).map(|state| state.generation) else {
                continue;
            };
            let spot = Spot::of_check(place.clone(), check.service.as_deref());
            if let Some(known) = jobs.get_mut(&place)
                && known.job.generation == generation
                && known.job.spot == spot
                && known.job.spec == check.spec
            {
                known.round = round;
                continue;
            }
            new.push(Job {
                place,
                spot,
                spec: check.spec.clone(),
                generation,
            });
        }
    });
    new
}

fn is_active(check: &Check) -> bool {
    match check.spec.probe {
        Probe::Http(_) | Probe::Tcp(_) | Probe::Command { .. } => true,
        Probe::Ttl(_) | Probe::Engine | Probe::Set => false,
    }
}

async fn keep_looking(registry: Registry, job: Job, looker: Looker, permits: Arc<Semaphore>) {
    let spec = &job.spec;
    let first = FIRST_LOOK.min(spec.interval);
    sleep(first.mul_f64(rand::random::<f64>())).await;
    // A command that does not end in time cannot be ended from here: no second one is begun beside it.
    let mut hanging: Option<BoxFuture<'static, Said>> = None;
    loop {
        let begun = Instant::now();
        {
            // Closed never.
            let _turn = permits.acquire().await.ok();
            let mut look = hanging
                .take()
                .unwrap_or_else(|| looker.look(spec.probe.clone()));
            let (status, output) = match timeout(spec.timeout, &mut look).await {
                Ok(said) => said,
                Err(_) => {
                    if matches!(spec.probe, Probe::Command { .. }) {
                        hanging = Some(look);
                    }
                    let text = format!("no answer within {:?}", spec.timeout);
                    (CheckStatus::Critical, text)
                }
            };
            registry.observe(&job, status, &output);
        }
        let vary = 1.0 + JITTER * (2.0 * rand::random::<f64>() - 1.0);
        let pause = spec.interval.mul_f64(vary);
        sleep(pause.saturating_sub(begun.elapsed())).await;
    }
}

impl Registry {
    /// Enters what one look said, when its container still lives that life.
    fn observe(&self, job: &Job, status: CheckStatus, output: &str) {
        self.change_at(|book| {
            let state = book.state_mut(&job.place);
            let state = state.filter(|state| state.generation == job.generation);
            let is_news = state.is_some_and(|state| state.observe(status, output));
            is_news.then(|| job.spot.clone()).into_iter().collect()
        });
    }

    /// Ends what is overdue: TTLs that nobody renewed, services whose check has been critical for too long. Gives the
    /// time when something is due next.
    async fn sweep(&self) -> Option<Instant> {
        let now = Instant::now();
        let catalog = self.catalog();
        let mut next: Option<Instant> = None;
        let mut later = |due: Instant| next = Some(next.map_or(due, |other| other.min(due)));
        let mut overdue = Vec::new();
        self.change_at(|book| {
            let mut expired = BTreeSet::new();
            for check in catalog.checks() {
                let place = check.place();
                let Some(state) = book.state_mut(&place) else {
                    continue;
                };
                if let Probe::Ttl(ttl) = check.spec.probe
                    && state.status != CheckStatus::Critical
                {
                    let due = state.reported_at + ttl;
                    if due <= now {
                        state.expire();
                        expired.insert(Spot::of_check(place, check.service.as_deref()));
                    } else {
                        later(due);
                    }
                }
                if let Some(after) = check.spec.deregister_after
                    && state.status == CheckStatus::Critical
                {
                    let due = state.critical_since + after;
                    if due > now {
                        later(due);
                    } else if let Some(id) = &check.service {
                        overdue.push(Place {
                            node: check.node.clone(),
                            id: id.clone(),
                        });
                    }
                }
            }
            expired
        });
        for service in overdue {
            self.forget_overdue(&service).await;
        }
        next
    }

    /// A container that runs stays in the catalog: it goes when it ends.
    async fn forget_overdue(&self, service: &Place) {
        if let Ok(true) = self.deregister(service).await {
            tracing::info!(
                service.id = %service.id,
                "service {} was critical for too long and is forgotten", service.id
            );
        }
    }
}

#[cfg(test)]
mod tests;
