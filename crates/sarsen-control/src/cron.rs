//! Scheduled tasks: what they are, when they are due, and what became of them. The scheduler and its runs are below.

mod host;
mod mail;
mod output;
mod runs;
mod scheduler;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use sarsen_deploy::cron::{Schedule, Zone};
use sarsen_domain::{AppJson, AppName, ConcurrencyPolicy, CronId, CronTask};
use sarsen_store::{CronRun, Scope};
use tokio::sync::{Notify, Semaphore};

pub use sarsen_store::CronRunState;
pub use scheduler::Clock;

use crate::control::Control;
use crate::failure::{Failure, Outcome};
use crate::verbs::cron::CONCERN;

pub(crate) use host::HostTask;
use host::HostTasks;
pub(crate) use mail::sendmail_is_there;
pub(crate) use output::Outputs;
pub(crate) use runs::{Begun, WantedRun};

/// So many runs are brought up at the same time: at midnight many are due.
const STARTS: usize = 4;

/// How long a run may take when nobody says anything else.
pub(crate) const TTL: u64 = 86_400;

/// What the scheduler and its runs share.
#[derive(Debug)]
pub(crate) struct CronState {
    /// Rings when tasks may have changed.
    pub changed: Notify,
    starts: Semaphore,
    /// Held while a run of a task begins, so that two do not overlook each other.
    gates: Mutex<HashMap<(AppName, CronId), Gate>>,
    host: HostTasks,
}

/// Let through by one run of a task at a time.
type Gate = Arc<tokio::sync::Mutex<()>>;

/// A task as people see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskOverview {
    pub id: CronId,
    pub command: String,
    pub schedule: String,
    pub policy: ConcurrencyPolicy,
    /// The time zone that the schedule is read in.
    pub zone: String,
    /// The whole app's tasks wait.
    pub app_in_maintenance: bool,
    /// This task waits, because the file or a person says so.
    pub in_maintenance: bool,
    /// The app is stopped, and its tasks with it.
    pub stopped: bool,
    /// When it is due next, in unix seconds; `None` while it waits.
    pub next_run: Option<i64>,
    /// Its last run that was not left out, which may be under way.
    pub last_run: Option<LastRun>,
}

/// A run as people see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LastRun {
    pub id: i64,
    pub state: CronRunState,
    /// When it was due; `None` when a person asked for it.
    pub due_at: Option<i64>,
    /// Due times before that one that nobody was there for.
    pub missed: u32,
    pub started_at: i64,
    pub finished_at: Option<i64>,
    pub exit_code: Option<i64>,
    /// The container's name.
    pub container: Option<String>,
    /// What there is to say of its end.
    pub message: Option<String>,
}

/// The tasks of an app, and what holds for all of them.
pub(crate) struct AppTasks {
    pub tasks: Vec<CronTask>,
    pub zone: Zone,
    pub in_maintenance: bool,
    pub stopped: bool,
    /// `maintenance.ID`, where a person has set it.
    pub own: HashMap<String, bool>,
}

impl CronState {
    pub(crate) fn new() -> Self {
        Self {
            changed: Notify::new(),
            starts: Semaphore::new(STARTS),
            gates: Mutex::default(),
            host: HostTasks::default(),
        }
    }

    fn gate(&self, app: &AppName, task: &CronId) -> Gate {
        let mut gates = self.gates.lock().unwrap_or_else(PoisonError::into_inner);
        // Nobody but this map holds those: nothing begins there.
        gates.retain(|_, gate| Arc::strong_count(gate) > 1);
        Arc::clone(gates.entry((app.clone(), task.clone())).or_default())
    }
}

impl AppTasks {
    /// Whether a person, or else the file, says that this task waits.
    pub(crate) fn waits(&self, app: &AppName, task: &CronTask) -> bool {
        let own = self.own.get(task.id(app).as_str()).copied();
        own.unwrap_or(task.maintenance)
    }

    pub(crate) fn is_suspended(&self, app: &AppName, task: &CronTask) -> bool {
        self.stopped || self.in_maintenance || self.waits(app, task)
    }
}

impl From<CronRun> for LastRun {
    fn from(run: CronRun) -> Self {
        Self {
            id: run.id,
            state: run.state,
            due_at: run.due_at,
            missed: run.missed,
            started_at: run.created_at,
            finished_at: run.finished_at,
            exit_code: run.exit_code,
            container: run.container,
            message: run.message,
        }
    }
}

impl Control {
    /// The scheduled tasks of an app, in the order of its app.json, with their next and last runs.
    pub async fn cron_tasks(&self, app: &AppName) -> Outcome<Vec<TaskOverview>> {
        let of_app = self.app_tasks(app).await?;
        let mut last = self.store.cron().last_runs(app).await?;
        let now = crate::time::now();
        let mut rows = Vec::new();
        for task in &of_app.tasks {
            let id = task.id(app);
            let next = Schedule::parse(&task.schedule)?.next(now, &of_app.zone);
            rows.push(TaskOverview {
                command: task.command.clone(),
                schedule: task.schedule.clone(),
                policy: task.policy,
                zone: of_app.zone.to_string(),
                app_in_maintenance: of_app.in_maintenance,
                in_maintenance: of_app.waits(app, task),
                stopped: of_app.stopped,
                next_run: next.filter(|_| !of_app.is_suspended(app, task)),
                last_run: last.remove(&id).map(LastRun::from),
                id,
            });
        }
        Ok(rows)
    }

    /// The newest runs of an app's task, newest first.
    pub async fn cron_history(
        &self,
        app: &AppName,
        task: &CronId,
        count: usize,
    ) -> Outcome<Vec<LastRun>> {
        let runs = self.store.cron().runs(app, Some(task), count).await?;
        Ok(runs.into_iter().map(LastRun::from).collect())
    }

    /// What a run that has ended wrote.
    pub async fn cron_output(&self, run: i64) -> Outcome<String> {
        Ok(self.outputs.read(run).await?)
    }

    /// One task of an app, or the advice where to look.
    pub(crate) async fn cron_task(&self, app: &AppName, id: &CronId) -> Outcome<CronTask> {
        let tasks = self.app_tasks(app).await?.tasks;
        let found = tasks.into_iter().find(|task| task.id(app) == *id);
        found.ok_or_else(|| {
            Failure::new(format!(
                "App {app} has no cron task {id}: see 'cron:list {app}'"
            ))
        })
    }

    /// The tasks of the release that serves.
    pub(crate) async fn app_tasks(&self, app: &AppName) -> Outcome<AppTasks> {
        let record = self.store.apps().get(app).await?;
        let live = self.store.releases().live(app).await?;
        let tasks = match live.and_then(|release| release.app_json) {
            Some(text) => AppJson::parse(&text)?.cron,
            None => Vec::new(),
        };
        let of_app = self.with_settings(app, tasks).await?;
        Ok(AppTasks {
            stopped: record.stopped,
            ..of_app
        })
    }

    async fn with_settings(&self, app: &AppName, tasks: Vec<CronTask>) -> Outcome<AppTasks> {
        let all = self
            .store
            .properties()
            .all(&Scope::App(app.clone()), "cron")
            .await?;
        let own = all.iter().filter_map(|(key, value)| {
            let id = key.strip_prefix("maintenance.")?;
            Some((id.to_owned(), value == "true"))
        });
        Ok(AppTasks {
            tasks,
            zone: self.cron_zone(app).await?,
            in_maintenance: CONCERN.effective(self, app, "maintenance").await? == "true",
            stopped: false,
            own: own.collect(),
        })
    }

    async fn cron_zone(&self, app: &AppName) -> Outcome<Zone> {
        let name = CONCERN.effective(self, app, "timezone").await?;
        Ok(if name.is_empty() {
            Zone::system()
        } else {
            Zone::parse(&name)?
        })
    }
}
