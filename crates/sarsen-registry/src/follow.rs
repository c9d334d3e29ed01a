//! Keeps the catalog in step with the engine: full comparison at each (re)connect, then its events.

use std::time::Duration;

use futures_util::StreamExt;
use sarsen_runtime::{ContainerEvent, ContainerEventKind, RuntimeError};
use time::OffsetDateTime;
use tokio_util::sync::CancellationToken;

use crate::Registry;

/// Events are asked for from this much before the listing: a container that died just before is still listed as
/// running, and only its death event tells. Hearing an event twice does no harm.
const OVERLAP: Duration = Duration::from_secs(2);
const BACKOFF_MIN: Duration = Duration::from_millis(100);
const BACKOFF_MAX: Duration = Duration::from_secs(5);

pub(crate) async fn run(registry: &Registry, shutdown: &CancellationToken) {
    let mut backoff = BACKOFF_MIN;
    let mut newest = i64::MAX;
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
    let overlap = i64::try_from(OVERLAP.as_nanos()).unwrap_or(0);
    let since = listed_at.min(*newest).saturating_sub(overlap);
    let mut events = match registry.runtime.events(Some(since)).await {
        Ok(events) => events,
        Err(error) => return error,
    };
    let containers = match registry.runtime.list(&[]).await {
        Ok(containers) => containers,
        Err(error) => return error,
    };
    let seen = containers.iter().filter_map(|info| registry.sighting(info));
    registry.compare(seen.collect(), listed_at);
    *backoff = BACKOFF_MIN;
    tracing::debug!(
        containers = containers.len(),
        services = registry.catalog().services().len(),
        "compared with the container engine"
    );
    loop {
        match events.next().await {
            Some(Ok(event)) => {
                if let Err(error) = apply(registry, &event).await {
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
async fn apply(registry: &Registry, event: &ContainerEvent) -> Result<(), RuntimeError> {
    match event.kind {
        ContainerEventKind::Die { .. } => {
            registry.change(|ledger| ledger.died(&event.id, event.at));
            return Ok(());
        }
        ContainerEventKind::Destroy => {
            registry.change(|ledger| ledger.is_gone(&event.id));
            return Ok(());
        }
        // A container that was asked to stop still answers; its own deployer drains it, if it has one.
        ContainerEventKind::Stopping | ContainerEventKind::Oom => return Ok(()),
        ContainerEventKind::Start
        | ContainerEventKind::Pause
        | ContainerEventKind::Unpause
        | ContainerEventKind::Rename
        | ContainerEventKind::Health(_) => {}
    }
    match registry.register(&event.id).await {
        Ok(_) => Ok(()),
        Err(crate::RegistryError::Engine(error @ RuntimeError::Unreachable(_))) => Err(error),
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
