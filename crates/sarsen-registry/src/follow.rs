//! Keeps the catalog in step with the engine: full comparison at each (re)connect and at an interval, and its events.

use std::time::Duration;

use futures_util::StreamExt;
use sarsen_runtime::{
    ContainerEvent, ContainerEventKind, EngineStream, Result as EngineResult, RuntimeError,
};
use time::OffsetDateTime;
use tokio::time::{Instant, MissedTickBehavior, interval_at};
use tokio_util::sync::CancellationToken;

use crate::ledger::{DRAIN_LIMIT, Deregister};
use crate::{Registry, RegistryError};

/// Events are asked for from this much before the last one heard. Hearing one twice does no harm.
const OVERLAP: i64 = 2_000_000_000;
const BACKOFF_MIN: Duration = Duration::from_millis(100);
const BACKOFF_MAX: Duration = Duration::from_secs(5);

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
        let slept = shutdown
            .run_until_cancelled(tokio::time::sleep(backoff))
            .await;
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
    let mut events = match registry.runtime.events(Some(since)).await {
        Ok(events) => events,
        Err(error) => return error,
    };
    if let Err(error) = compare(registry).await {
        return error;
    }
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

/// Looks at everything that the engine has.
async fn compare(registry: &Registry) -> EngineResult<()> {
    let look = registry.begin_look();
    let listing = registry.listing().await?;
    registry.compare(look, listing);
    Ok(())
}

/// Follows events until they end, and says why.
async fn hear(
    registry: &Registry,
    events: &mut EngineStream<ContainerEvent>,
    newest: &mut i64,
    listed_at: i64,
) -> RuntimeError {
    loop {
        match events.next().await {
            Some(Ok(event)) => {
                if let Err(error) = apply(registry, &event, listed_at).await {
                    return error;
                }
                *newest = event.at;
            }
            Some(Err(error)) => return error,
            None => return RuntimeError::Unreachable("its event stream ended".to_owned()),
        }
    }
}

/// What one event means. An error means that the engine is away.
async fn apply(
    registry: &Registry,
    event: &ContainerEvent,
    listed_at: i64,
) -> Result<(), RuntimeError> {
    match event.kind {
        ContainerEventKind::Die { exit_code } => {
            let keeps = registry.settings().deregister == Deregister::OnSuccess;
            let has_failed = exit_code != 0 && exit_code & SIGNALLED == 0;
            registry.change(|book| match keeps && has_failed {
                true => book.ledger.failed(&event.id, event.at),
                false => book.ledger.died(&event.id, event.at),
            });
            Ok(())
        }
        ContainerEventKind::Destroy => {
            registry.change(|book| book.ledger.destroyed(&event.id));
            Ok(())
        }
        ContainerEventKind::Stopping => {
            registry.change(|book| book.ledger.stops(&event.id, event.at));
            Ok(())
        }
        ContainerEventKind::Oom => Ok(()),
        // The comparison looked at it later than that.
        _ if event.at < listed_at => Ok(()),
        // Each start and each end has one, too, and tells more itself.
        ContainerEventKind::Network if !knows(registry, event) => Ok(()),
        ContainerEventKind::Start
        | ContainerEventKind::Pause
        | ContainerEventKind::Unpause
        | ContainerEventKind::Rename
        | ContainerEventKind::Network
        | ContainerEventKind::Health(_) => look_at(registry, event).await,
    }
}

fn knows(registry: &Registry, event: &ContainerEvent) -> bool {
    registry.with_book(|book| book.ledger.is_alive(&event.id))
}

async fn look_at(registry: &Registry, event: &ContainerEvent) -> Result<(), RuntimeError> {
    match registry.register(&event.id).await {
        Ok(_) => Ok(()),
        Err(RegistryError::Engine(error @ RuntimeError::Unreachable(_))) => Err(error),
        Err(error) => {
            tracing::warn!(container.id = %event.id, %error, "container {} was not registered", event.id.short());
            Ok(())
        }
    }
}

fn now() -> i64 {
    i64::try_from(OffsetDateTime::now_utc().unix_timestamp_nanos()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;
