//! What is seen of apps over time: every ten seconds the router's counters and the engine's are read, and what came
//! of it is written in one transaction.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use futures_util::{StreamExt, stream};
use sarsen_domain::{AppName, ContainerId};
use sarsen_router::AppStats;
use sarsen_store::{Instance, InstanceState, Step, Tick, Usage};
use tokio_util::sync::CancellationToken;

use crate::control::Control;
use crate::failure::Outcome;
use traffic::Window;

pub use sarsen_store::{Step as MetricStep, Traffic, Usage as ProcessUsage};

mod traffic;

/// Containers looked at together.
const LOOKS: usize = 4;
/// Restarts are counted once in so many ticks: they take a look of their own.
const RESTARTS_EVERY: u64 = 6;

/// What was seen of one app.
#[derive(Debug, Clone, Default)]
pub struct AppMetrics {
    /// Its requests; steps without any are left out.
    pub traffic: Vec<Traffic>,
    /// Its processes.
    pub usage: Vec<ProcessUsage>,
}

/// What one tick keeps for the next.
#[derive(Default)]
struct Collector {
    ticks: u64,
    before: HashMap<AppName, AppStats>,
    coarse: BTreeMap<AppName, Window>,
    coarse_usage: BTreeMap<(AppName, String), UsageWindow>,
    containers: HashMap<ContainerId, Seen>,
}

/// A container when it was last looked at.
#[derive(Debug, Clone, Copy)]
struct Seen {
    cpu: Duration,
    at: Instant,
    restarts: u64,
}

#[derive(Debug, Default)]
struct UsageWindow {
    looks: u64,
    cpu_millis: u64,
    last: Usage,
}

impl Control {
    /// What was seen of an app since a Unix time, in steps of ten seconds (an hour back) or five minutes (a week back).
    pub async fn metrics(&self, app: &AppName, step: Step, since: i64) -> Outcome<AppMetrics> {
        let metrics = self.store.metrics();
        Ok(AppMetrics {
            traffic: metrics.traffic(app, step, since).await?,
            usage: metrics.usage(app, step, since).await?,
        })
    }

    /// What every app's processes used last, within the last minute.
    pub async fn usage_now(&self) -> Outcome<BTreeMap<AppName, Vec<ProcessUsage>>> {
        Ok(self.store.metrics().last_usage(now() - 60).await?)
    }

    /// Looks every ten seconds until the daemon ends.
    pub async fn watch_usage(self, shutdown: CancellationToken) {
        let mut collector = Collector::default();
        collector.count(&self.router.stats().apps, 0);
        loop {
            let step = u64::try_from(Step::Fine.seconds()).unwrap_or(10);
            let into = u64::try_from(now()).unwrap_or_default() % step;
            tokio::select! {
                () = tokio::time::sleep(Duration::from_secs(step - into)) => {}
                () = shutdown.cancelled() => return,
            }
            if let Err(failure) = self.tick(&mut collector, now()).await {
                tracing::warn!(error = %failure, "cannot write down what apps use");
            }
        }
    }

    async fn tick(&self, collector: &mut Collector, now: i64) -> Outcome {
        self.meter.look();
        let mut tick = Tick {
            traffic: collector.count(&self.router.stats().apps, now),
            usage: self.look(collector, now).await?,
        };
        collector.close_coarse(&mut tick, now);
        collector.ticks += 1;
        self.store.metrics().record(&tick, now).await?;
        self.refresh_trends(now).await?;
        Ok(())
    }

    async fn look(
        &self,
        collector: &mut Collector,
        now: i64,
    ) -> Outcome<Vec<(AppName, Step, Usage)>> {
        let instances = self.store.instances().all().await?;
        let live = instances
            .into_iter()
            .filter(|instance| instance.state == InstanceState::Live)
            .filter_map(|instance| Some((instance.container.clone()?, instance)));
        let seen: HashMap<ContainerId, Seen> = collector.containers.clone();
        let recount = collector.ticks.is_multiple_of(RESTARTS_EVERY);
        let looks: Vec<_> = stream::iter(live)
            .map(|(id, instance)| {
                let before = seen.get(&id).copied();
                // Between recounts the number that was seen last will do.
                let restarts = before.filter(|_| !recount).map(|seen| seen.restarts);
                async move { self.look_at(id, instance, before, restarts).await }
            })
            .buffer_unordered(LOOKS)
            .filter_map(std::future::ready)
            .collect()
            .await;
        collector.containers.clear();
        let at = now - now.rem_euclid(Step::Fine.seconds()) - Step::Fine.seconds();
        let mut rows = Vec::with_capacity(looks.len());
        for (id, seen, app, usage) in looks {
            collector.containers.insert(id, seen);
            if let Some(usage) = usage {
                collector.add_usage(&app, &usage);
                rows.push((app, Step::Fine, Usage { at, ..usage }));
            }
        }
        Ok(rows)
    }

    /// One container. It may be gone, or the engine not there: then there is nothing to tell.
    async fn look_at(
        &self,
        id: ContainerId,
        instance: Instance,
        before: Option<Seen>,
        restarts: Option<u64>,
    ) -> Option<(ContainerId, Seen, AppName, Option<Usage>)> {
        let usage = self.runtime.usage(&id).await.ok()?;
        let restarts = match restarts {
            Some(known) => known,
            None => {
                let info = self.runtime.inspect(&id).await.ok()?;
                u64::try_from(info.restart_count).unwrap_or_default()
            }
        };
        if before.is_some_and(|before| restarts > before.restarts) {
            self.note_crash(&instance, restarts).await;
        }
        let seen = Seen {
            cpu: usage.cpu,
            at: Instant::now(),
            restarts,
        };
        // The engine counts anew when a container starts again.
        let row = before.map(|before| Usage {
            dyno: format!("{}.{}", instance.process, instance.index),
            at: 0,
            cpu_millis: rate(usage.cpu.saturating_sub(before.cpu), before.at.elapsed()),
            memory: usage.memory,
            memory_limit: usage.memory_limit,
            restarts,
        });
        Some((id, seen, instance.app, row))
    }
}

impl Collector {
    /// What every app's counters say has happened since the last look.
    fn count(
        &mut self,
        stats: &[AppStats],
        now: i64,
    ) -> Vec<(AppName, Step, sarsen_store::Traffic)> {
        let at = now - now.rem_euclid(Step::Fine.seconds()) - Step::Fine.seconds();
        let mut rows = Vec::new();
        for app in stats {
            let window = Window::between(self.before.get(&app.app), app);
            if window.is_empty() {
                continue;
            }
            rows.push((app.app.clone(), Step::Fine, window.row(at)));
            if now > 0 {
                self.coarse.entry(app.app.clone()).or_default().add(&window);
            }
        }
        self.before = stats
            .iter()
            .map(|app| (app.app.clone(), app.clone()))
            .collect();
        rows
    }

    fn add_usage(&mut self, app: &AppName, usage: &Usage) {
        let key = (app.clone(), usage.dyno.clone());
        let window = self.coarse_usage.entry(key).or_default();
        window.looks += 1;
        window.cpu_millis += usage.cpu_millis;
        window.last = Usage {
            memory: usage.memory.max(window.last.memory),
            ..usage.clone()
        };
    }

    /// At the end of five minutes their rows are made; until then they are only here.
    fn close_coarse(&mut self, tick: &mut Tick, now: i64) {
        let step = Step::Coarse.seconds();
        if now.rem_euclid(step) >= Step::Fine.seconds() {
            return;
        }
        let at = now - now.rem_euclid(step) - step;
        for (app, window) in std::mem::take(&mut self.coarse) {
            tick.traffic.push((app, Step::Coarse, window.row(at)));
        }
        for ((app, _), window) in std::mem::take(&mut self.coarse_usage) {
            let usage = Usage {
                at,
                cpu_millis: window.cpu_millis / window.looks.max(1),
                ..window.last
            };
            tick.usage.push((app, Step::Coarse, usage));
        }
    }
}

/// Thousandths of a core.
fn rate(cpu: Duration, over: Duration) -> u64 {
    let millis = over.as_millis().max(1);
    u64::try_from(cpu.as_micros() / millis).unwrap_or(u64::MAX)
}

fn now() -> i64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or_default()
}

#[cfg(test)]
mod tests;
