//! Seeing containers off: replaced ones finish what they are doing, then stop, then go. Level-triggered: whatever is
//! `retiring` in the store is worked on, after a crash as well.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sarsen_domain::AppName;
use sarsen_plugins::Trigger;
use sarsen_store::{Instance, InstanceState};
use tokio_util::sync::CancellationToken;

use crate::control::Control;
use crate::failure::Outcome;
use crate::policies::parse_time;
use crate::verbs;

/// How long websockets may go on in a container that is replaced.
const TUNNEL_PATIENCE: Duration = Duration::from_secs(10);

impl Control {
    /// Works off retiring containers until the daemon ends; begins when `alone`, as an earlier daemon may still have requests
    /// under way there.
    pub async fn see_off(self, alone: CancellationToken, shutdown: CancellationToken) {
        let waited = shutdown.run_until_cancelled(alone.cancelled()).await;
        if waited.is_none() {
            return;
        }
        let under_way: Arc<Mutex<BTreeSet<i64>>> = Arc::default();
        loop {
            match self.retiring().await {
                Ok(instances) => {
                    for instance in instances {
                        let new = under_way
                            .lock()
                            .unwrap_or_else(PoisonError::into_inner)
                            .insert(instance.id);
                        if new {
                            self.see_off_one(instance, Arc::clone(&under_way));
                        }
                    }
                }
                Err(failure) => {
                    tracing::error!(error = %failure, "cannot look for containers to stop")
                }
            }
            tokio::select! {
                () = self.retirements.notified() => {}
                () = shutdown.cancelled() => return,
            }
        }
    }

    async fn retiring(&self) -> Outcome<Vec<Instance>> {
        let all = self.store.instances().all().await?;
        Ok(all
            .into_iter()
            .filter(|instance| instance.state == InstanceState::Retiring)
            .collect())
    }

    fn see_off_one(&self, instance: Instance, under_way: Arc<Mutex<BTreeSet<i64>>>) {
        let control = self.clone();
        let shutdown = self.shutdown.clone();
        self.tasks.spawn(async move {
            let id = instance.id;
            // The daemon's end does not wait for slow goodbyes: the next start goes on with them.
            tokio::select! {
                () = control.drain_and_stop(&instance) => {}
                () = shutdown.cancelled() => {}
            }
            under_way
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .remove(&id);
        });
    }

    async fn drain_and_stop(&self, instance: &Instance) {
        let requests = self.wait_to_retire(instance).await;
        let tunnels = self
            .patience(&instance.app, "websocket-drain-timeout", TUNNEL_PATIENCE)
            .await;
        let drained = self.router.drain_with(instance.id, requests, tunnels).await;
        if drained.cut > 0 {
            let (app, cut) = (&instance.app, drained.cut);
            tracing::warn!(app.name = %app, cut, "{cut} requests to a replaced container of {app} had not ended");
        }
        if let Err(failure) = self.stop_and_forget(instance).await {
            // Stays `retiring` in the store: the next ring tries again.
            tracing::warn!(app.name = %instance.app, error = %failure, "cannot see off a container yet");
        }
    }

    async fn patience(&self, app: &AppName, key: &str, usual: Duration) -> Duration {
        let set = verbs::router::CONCERN.effective(self, app, key).await;
        set.ok()
            .and_then(|set| parse_time(&set).ok())
            .unwrap_or(usual)
    }

    async fn stop_and_forget(&self, instance: &Instance) -> Outcome {
        if let Some(container) = &instance.container {
            let grace = self.stop_grace(instance).await;
            let left = self
                .deployer
                .retire(std::slice::from_ref(container), grace)
                .await;
            if let Some(unfinished) = left.into_iter().next() {
                let told = [instance.app.as_str(), container.as_str()];
                self.tell_plugins_about(Trigger::RetireContainerFailed, &told)
                    .await;
                return Err(unfinished.error.into());
            }
        }
        self.store.instances().forget(&[instance.id]).await?;
        Ok(())
    }

    /// How long requests may go on in a container that is replaced, before it is told to stop. Stopping gives it its own
    /// grace period on top.
    async fn wait_to_retire(&self, instance: &Instance) -> Duration {
        let seconds = verbs::checks::CONCERN
            .effective(self, &instance.app, "wait-to-retire")
            .await;
        Duration::from_secs(
            seconds
                .ok()
                .and_then(|seconds| seconds.parse().ok())
                .unwrap_or(60),
        )
    }

    async fn stop_grace(&self, instance: &Instance) -> Duration {
        let seconds = verbs::ps::CONCERN
            .effective(self, &instance.app, "stop-timeout-seconds")
            .await;
        Duration::from_secs(
            seconds
                .ok()
                .and_then(|seconds| seconds.parse().ok())
                .unwrap_or(30),
        )
    }
}

#[cfg(test)]
mod tests;
