//! The scheduler: looks which tasks have come due, and starts them. Level-triggered: what is due follows from the
//! store and the clock, so a task whose time came while the daemon was down runs once when it is up again.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use sarsen_deploy::cron::Schedule;
use sarsen_domain::{AppJson, AppName, CronId, CronTask};
use sarsen_store::NewCronRun;
use tokio_util::sync::CancellationToken;

use super::{AppTasks, TTL};
use crate::control::Control;
use crate::failure::Outcome;

/// Tells the time in unix seconds.
pub type Clock = Arc<dyn Fn() -> i64 + Send + Sync>;

/// The longest pause between two looks: somebody may set the host's clock meanwhile.
const PAUSE_MAX: Duration = Duration::from_secs(20);
/// The pause before another try, when the engine or the store did not answer.
const RETRY: Duration = Duration::from_secs(2);
/// A cursor that is further ahead of the clock than this was set by a clock that was wrong.
const AHEAD_MAX: i64 = 24 * 3600;

impl Control {
    /// The host's own clock.
    pub fn wall_clock() -> Clock {
        Arc::new(crate::time::now)
    }

    /// Runs tasks at their times until the daemon ends.
    pub async fn keep_schedule(self, clock: Clock, shutdown: CancellationToken) {
        let mut adopted = false;
        loop {
            let pause = match self.look_at_schedule(&clock, &mut adopted).await {
                Ok(next) => {
                    let seconds = next.map(|next| next.saturating_sub(clock()).max(0));
                    let wanted = seconds.and_then(|seconds| u64::try_from(seconds).ok());
                    wanted.map_or(PAUSE_MAX, |wanted| {
                        Duration::from_secs(wanted).clamp(Duration::from_millis(200), PAUSE_MAX)
                    })
                }
                Err(failure) => {
                    tracing::warn!(error = %failure, "scheduled tasks must wait");
                    RETRY
                }
            };
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = self.cron.changed.notified() => {}
                () = shutdown.cancelled() => return,
            }
        }
    }

    async fn look_at_schedule(&self, clock: &Clock, adopted: &mut bool) -> Outcome<Option<i64>> {
        if !*adopted {
            self.runtime.ping().await?;
            self.adopt_cron_runs().await?;
            *adopted = true;
        }
        let host = match self.host_tick(clock()).await {
            Ok(next) => next,
            // What plugins have to say must not hold up the apps' tasks.
            Err(failure) => {
                tracing::warn!(error = %failure, "scheduled tasks of plugins must wait");
                None
            }
        };
        let apps = self.cron_tick(clock()).await?;
        Ok([apps, host].into_iter().flatten().min())
    }

    /// Starts what has come due up to `now`; tells when something is due next.
    pub(crate) async fn cron_tick(&self, now: i64) -> Outcome<Option<i64>> {
        let mut cursors = self.store.cron().cursors().await?;
        let mut known = BTreeSet::new();
        let mut next = None;
        for (app, text, stopped) in self.store.cron().app_jsons().await? {
            let Ok(app_json) = AppJson::parse(&text) else {
                continue;
            };
            if app_json.cron.is_empty() {
                continue;
            }
            let mut tasks = self.with_settings(&app, app_json.cron).await?;
            tasks.stopped = stopped;
            for task in &tasks.tasks {
                let id = task.id(&app);
                known.insert((app.clone(), id.clone()));
                let soonest = self.tick_task(&app, &tasks, task, (&cursors, now)).await?;
                next = [next, soonest].into_iter().flatten().min();
            }
        }
        cursors.retain(|key, _| !known.contains(key));
        for (app, task) in cursors.keys() {
            self.store.cron().forget(app, task).await?;
        }
        Ok(next)
    }

    async fn tick_task(
        &self,
        app: &AppName,
        tasks: &AppTasks,
        task: &CronTask,
        (cursors, now): (&BTreeMap<(AppName, CronId), i64>, i64),
    ) -> Outcome<Option<i64>> {
        let id = task.id(app);
        let schedule = Schedule::parse(&task.schedule)?;
        let cursor = cursors.get(&(app.clone(), id.clone())).copied();
        let Some(since) = cursor.filter(|since| *since <= now + AHEAD_MAX) else {
            // Nothing that was due before the task was there is missed.
            self.store.cron().set_cursor(app, &id, now).await?;
            return Ok(schedule.next(now, &tasks.zone));
        };
        let Some(due) = schedule.due(since, now, &tasks.zone) else {
            return Ok(schedule.next(now, &tasks.zone));
        };
        if tasks.is_suspended(app, task) {
            self.store.cron().set_cursor(app, &id, due.at).await?;
            return Ok(schedule.next(now, &tasks.zone));
        }
        if !self.engine_answers().await {
            // It stays due.
            return Ok(Some(now + 2));
        }
        let new = NewCronRun {
            app: app.clone(),
            task: id.clone(),
            command: task.command.clone(),
            due_at: Some(due.at),
            missed: due.earlier,
            ttl: TTL,
        };
        let run = self.store.cron().begin(&new).await?;
        if due.earlier > 0 {
            let count = due.earlier;
            tracing::warn!(app.name = %app, cron.id = %id, "{count} times of a task of {app} have passed: it runs once for all of them");
        }
        self.carry_out(run, app.clone(), task.clone());
        Ok(schedule.next(now, &tasks.zone))
    }

    async fn engine_answers(&self) -> bool {
        match self.runtime.ping().await {
            Ok(()) => true,
            Err(error) => {
                tracing::warn!(%error, "a scheduled task is due and must wait");
                false
            }
        }
    }
}
