//! Keeps the catalog in step with the engine: full comparison at each (re)connect and at an interval, and its events.

use std::pin::pin;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use sarsen_domain::ContainerId;
use sarsen_runtime::{
    ContainerEvent, ContainerEventKind, EngineStream, Result as EngineResult, RuntimeError,
};
use time::OffsetDateTime;
use tokio::time::{Instant, MissedTickBehavior, interval_at, timeout};
use tokio_util::sync::CancellationToken;

use crate::ledger::{DRAIN_LIMIT, Deregister};
use crate::registry::LOOK_LIMIT;
use crate::{Registry, RegistryError};

/// Events are asked for from this much before the last one heard. Hearing one twice does no harm.
const OVERLAP: i64 = 2_000_000_000;
/// So many containers are looked at at the same time; further events wait.
const LOOKS_AT_ONCE: usize = 64;
const BACKOFF_MIN: Duration = Duration::from_millis(100);
const BACKOFF_MAX: Duration = Duration::from_secs(5);
/// While the engine says nothing, between two looks at whether containers still run. An engine takes longer than that to
/// start another container.
const LOOK: Duration = Duration::from_millis(100);

/// Signals of the shells and of the engine are told as exit codes above this.
const SIGNALLED: i64 = 128;

pub(crate) async fn run(registry: &Registry, shutdown: &CancellationToken) {
    let mut backoff = BACKOFF_MIN;
    // A container that was asked to stop before we came, and still runs, is known by its event only.
    let mut newest = now() - DRAIN_LIMIT;
    loop {
        let outcome = shutdown
            .run_until_cancelled(follow(registry, &mut newest, &mut backoff))
            .await;
        let Some(error) = outcome else { return };
        // The catalog keeps its content: what runs goes on running while the engine's daemon is away.
        if backoff == BACKOFF_MIN {
            tracing::warn!(%error, "the container engine went away; trying until it is back");
        } else {
            tracing::debug!(%error, retry.after = ?backoff, "the container engine is still away");
        }
        let resting = watching(registry, tokio::time::sleep(backoff));
        let slept = shutdown.run_until_cancelled(resting).await;
        if slept.is_none() {
            return;
        }
        backoff = (backoff * 2).min(BACKOFF_MAX);
    }
}

/// Follows one connection to its end, and says why it ended. `newest` is the time of the last event heard.
async fn follow(registry: &Registry, newest: &mut i64, backoff: &mut Duration) -> RuntimeError {
    let listed_at = now();
    let since = listed_at.min(*newest).saturating_sub(OVERLAP);
    let mut events = match watching(registry, find(registry, since)).await {
        Ok(events) => events,
        Err(error) => return error,
    };
    registry.found_engine();
    *backoff = BACKOFF_MIN;
    tracing::debug!(
        services = registry.catalog().services().len(),
        "compared with the container engine"
    );
    let comparison = registry.settings().comparison;
    let mut ticks = interval_at(Instant::now() + comparison, comparison);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let comparisons = async {
        loop {
            ticks.tick().await;
            registry.change(|book| book.ledger.end_drains(now()));
            if let Err(error) = compare(registry).await {
                return error;
            }
        }
    };
    tokio::select! {
        error = comparisons => error,
        error = hear(registry, &mut events, newest, listed_at) => error,
    }
}

/// What happens from here on, when all that there is has been looked at.
async fn find(registry: &Registry, since: i64) -> EngineResult<EngineStream<ContainerEvent>> {
    let events = registry.runtime.events(Some(since)).await?;
    compare(registry).await?;
    Ok(events)
}

/// Does without the engine's word until the waiting is over.
async fn watching<T>(registry: &Registry, waiting: impl Future<Output = T>) -> T {
    let mut waiting = pin!(waiting);
    loop {
        if let Ok(done) = timeout(LOOK, waiting.as_mut()).await {
            return done;
        }
        registry.bury_the_dead();
    }
}

/// Looks at everything that the engine has.
async fn compare(registry: &Registry) -> EngineResult<()> {
    let look = registry.begin_look();
    let listing = registry.listing().await?;
    registry.compare(look, listing);
    Ok(())
}

/// Follows events until they end, and says why. Looks go on side by side: one that takes long holds up no other
/// container.
async fn hear(
    registry: &Registry,
    events: &mut EngineStream<ContainerEvent>,
    newest: &mut i64,
    listed_at: i64,
) -> RuntimeError {
    let mut looks = FuturesUnordered::new();
    loop {
        tokio::select! {
            Some(looked) = looks.next(), if !looks.is_empty() => {
                if let Err(error) = looked {
                    return error;
                }
            }
            event = events.next(), if looks.len() < LOOKS_AT_ONCE => match event {
                Some(Ok(event)) => {
                    if apply(registry, &event, listed_at) == Then::Look {
                        looks.push(look_at(registry, event.id.clone()));
                    }
                    *newest = event.at;
                }
                Some(Err(error)) => return error,
                None => return RuntimeError::Unreachable("its event stream ended".to_owned()),
            },
        }
    }
}

/// What is to be done about an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Then {
    Nothing,
    Look,
}

/// What one event means.
fn apply(registry: &Registry, event: &ContainerEvent, listed_at: i64) -> Then {
    match event.kind {
        ContainerEventKind::Die { exit_code } => {
            let keeps = registry.settings().deregister == Deregister::OnSuccess;
            let has_failed = exit_code != 0 && exit_code & SIGNALLED == 0;
            registry.change(|book| match keeps && has_failed {
                true => book.ledger.failed(&event.id, event.at),
                false => book.ledger.died(&event.id, event.at),
            });
        }
        ContainerEventKind::Destroy => registry.change(|book| book.ledger.destroyed(&event.id)),
        ContainerEventKind::Stopping => {
            registry.change(|book| book.ledger.stops(&event.id, event.at));
        }
        ContainerEventKind::Oom => {}
        // The comparison looked at it later than that.
        _ if event.at < listed_at => {}
        // Each start and each end has one, too, and tells more itself.
        ContainerEventKind::Network if !knows(registry, event) => {}
        ContainerEventKind::Start
        | ContainerEventKind::Pause
        | ContainerEventKind::Unpause
        | ContainerEventKind::Rename
        | ContainerEventKind::Network
        | ContainerEventKind::Health(_) => return Then::Look,
    }
    Then::Nothing
}

fn knows(registry: &Registry, event: &ContainerEvent) -> bool {
    registry.with_book(|book| book.ledger.is_alive(&event.id))
}

/// An error means that the engine is away.
async fn look_at(registry: &Registry, id: ContainerId) -> Result<(), RuntimeError> {
    match timeout(LOOK_LIMIT, registry.register(&id)).await {
        Ok(Ok(_)) => {}
        Ok(Err(RegistryError::Engine(error @ RuntimeError::Unreachable(_)))) => return Err(error),
        Ok(Err(error)) => {
            tracing::warn!(container.id = %id, %error, "container {} was not registered", id.short());
        }
        // The next comparison asks again.
        Err(_) => {
            tracing::warn!(container.id = %id, "the engine does not say what container {} is", id.short());
        }
    }
    Ok(())
}

fn now() -> i64 {
    i64::try_from(OffsetDateTime::now_utc().unix_timestamp_nanos()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;
