//! Runs of scheduled tasks: a container each, which outlives the daemon; its output is kept when it has ended.

use std::path::Path;
use std::time::Duration;

use futures_util::StreamExt;
use sarsen_deploy::{RunLabels, RunMode, RunSpec};
use sarsen_domain::container::label;
use sarsen_domain::{AppName, ConcurrencyPolicy, ContainerId, CronId, CronTask};
use sarsen_runtime::{ContainerInfo, ContainerStatus, LogOptions, RuntimeError};
use sarsen_store::{CronRun, CronRunState, Handled};

use super::mail::{self, Envelope, SENDMAIL};
use super::output::OUTPUT_MAX;
use crate::control::Control;
use crate::failure::{Failure, Outcome};
use crate::verbs::cron::CONCERN;

/// So many runs of a task are remembered, with their output.
const KEEP: usize = 20;
/// The time a run has to end after it was told to.
const GRACE: Duration = Duration::from_secs(30);
/// Output is read by lines; longer runs keep their end.
const OUTPUT_LINES: u32 = 20_000;
/// The pause before the engine is asked again how a run goes.
const RETRY: Duration = Duration::from_secs(2);

/// A run that is to begin.
pub(crate) struct WantedRun<'a> {
    pub id: i64,
    pub app: &'a AppName,
    pub task: &'a CronTask,
    pub ttl: Duration,
}

/// What became of it.
pub(crate) enum Begun {
    /// It runs here.
    Running {
        container: ContainerId,
        name: String,
    },
    /// The one before it has not ended, and they may not meet.
    Skipped,
}

impl Control {
    /// Begins a run and sees it to its end, in the background.
    pub(super) fn carry_out(&self, id: i64, app: AppName, task: CronTask) {
        let control = self.clone();
        self.tasks.spawn(async move {
            let wanted = WantedRun {
                id,
                app: &app,
                task: &task,
                ttl: Duration::from_secs(super::TTL),
            };
            match control.begin_run(wanted).await {
                Ok(Begun::Running { container, .. }) => control.see_through(id, container).await,
                Ok(Begun::Skipped) => {}
                Err(failure) => {
                    tracing::warn!(app.name = %app, error = %failure, "a scheduled task of {app} did not start");
                }
            }
        });
    }

    /// Makes the container of a run that is written down, as the task's policy allows. When this fails, that is how
    /// the run ended.
    pub(crate) async fn begin_run(&self, wanted: WantedRun<'_>) -> Outcome<Begun> {
        let id = wanted.id;
        match self.try_to_begin(wanted).await {
            Ok(begun) => Ok(begun),
            Err(failure) => {
                let end = Handled {
                    state: CronRunState::Failed,
                    exit_code: None,
                    message: Some(failure.message.clone()),
                };
                self.store.cron().finish(id, &end).await?;
                Err(failure)
            }
        }
    }

    async fn try_to_begin(&self, wanted: WantedRun<'_>) -> Outcome<Begun> {
        let WantedRun { id, app, task, ttl } = wanted;
        let task_id = task.id(app);
        let gate = self.cron.gate(app, &task_id);
        let _gate = gate.lock().await;
        let _turn = self.cron.starts.acquire().await;
        if !self.make_way(app, &task_id, task.policy).await? {
            let end = Handled {
                state: CronRunState::Skipped,
                exit_code: None,
                message: Some("the run before it had not ended".to_owned()),
            };
            self.store.cron().finish(id, &end).await?;
            self.forget_old_runs(app, &task_id).await;
            return Ok(Begun::Skipped);
        }
        let release = self.release_to_run(app).await?;
        let mut settings = self.app_settings(&release).await?;
        self.add_run_flags(&release, &mut settings).await?;
        let spec = RunSpec {
            command: vec![task.command.clone()],
            mode: RunMode::Detached,
            ttl,
            labels: RunLabels {
                task: Some(task_id),
                cron_run: Some(id),
                ..RunLabels::default()
            },
            ..RunSpec::default()
        };
        let handle = self.deployer.run(&release, &settings, spec).await?;
        let (container, name) = (handle.container.clone(), handle.name.to_string());
        self.store.cron().set_running(id, &name).await?;
        tracing::info!(app.name = %app, container.name = %name, "a scheduled task of {app} runs as {name}");
        Ok(Begun::Running { container, name })
    }

    /// Whether a run may begin; stops what it replaces.
    pub(crate) async fn make_way(
        &self,
        app: &AppName,
        task: &CronId,
        policy: ConcurrencyPolicy,
    ) -> Outcome<bool> {
        if policy == ConcurrencyPolicy::Allow {
            return Ok(true);
        }
        let running = self.deployer.running_task(app, task).await?;
        if policy == ConcurrencyPolicy::Forbid {
            return Ok(running.is_empty());
        }
        for info in running {
            if let Some(run) = run_of(&info) {
                let end = Handled {
                    state: CronRunState::Replaced,
                    exit_code: None,
                    message: Some("it had to make room for the next one".to_owned()),
                };
                self.store.cron().finish(run, &end).await?;
            }
            self.stop_run(&info).await?;
        }
        Ok(true)
    }

    /// Stops a one-off container. Whoever sees a scheduled run through removes it, when its output is kept.
    pub(crate) async fn stop_run(&self, info: &ContainerInfo) -> Outcome {
        if run_of(info).is_some() {
            return Ok(self.runtime.stop(&info.id, GRACE).await?);
        }
        let left = self
            .deployer
            .retire(std::slice::from_ref(&info.id), GRACE)
            .await;
        match left.into_iter().next() {
            None => Ok(()),
            Some(unfinished) => Err(Failure::new(format!(
                "Cannot stop {}: {}",
                info.name, unfinished.error
            ))),
        }
    }

    /// Waits for a run's end, keeps its output, removes its container. The daemon's end interrupts this; the next
    /// start goes on with it.
    pub(crate) async fn see_through(&self, id: i64, container: ContainerId) {
        loop {
            let outcome = tokio::select! {
                outcome = self.collect(id, &container) => outcome,
                () = self.shutdown.cancelled() => return,
            };
            match outcome {
                Ok(()) => return,
                Err(failure) => {
                    tracing::warn!(error = %failure, "cannot see a scheduled task through yet");
                }
            }
            tokio::time::sleep(RETRY).await;
        }
    }

    async fn collect(&self, id: i64, container: &ContainerId) -> Outcome {
        let end = match self.wait_for_end(container).await {
            Ok(end) => end,
            Err(RuntimeError::NotFound(_)) => return self.lose(id).await,
            Err(error) => return Err(error.into()),
        };
        let output = match self.output_of(container).await {
            Ok(output) => output,
            Err(RuntimeError::NotFound(_)) => return self.lose(id).await,
            Err(error) => return Err(error.into()),
        };
        self.outputs.write(id, &output).await?;
        self.store.cron().finish(id, &end).await?;
        for left in self.deployer.abandon(std::slice::from_ref(container)).await {
            tracing::warn!(container.id = %left.container, error = %left.error, "the container of a scheduled task stays");
        }
        self.conclude_run(id, &output).await;
        Ok(())
    }

    async fn lose(&self, id: i64) -> Outcome {
        let end = Handled {
            state: CronRunState::Failed,
            exit_code: None,
            message: Some("its container was removed, and its output with it".to_owned()),
        };
        Ok(self.store.cron().finish(id, &end).await?)
    }

    async fn wait_for_end(&self, container: &ContainerId) -> Result<Handled, RuntimeError> {
        let info = self.runtime.inspect(container).await?;
        let left = time_left(&info);
        let waited = tokio::time::timeout(left, self.runtime.wait(container)).await;
        let (code, message) = match waited {
            Ok(code) => (code?, None),
            Err(_) => {
                self.runtime.stop(container, GRACE).await?;
                let code = self.runtime.wait(container).await?;
                (code, Some("it ran for longer than it may".to_owned()))
            }
        };
        let killed = self.runtime.inspect(container).await?.oom_killed;
        let message = message.or_else(|| killed.then(|| "it ran out of memory".to_owned()));
        let good = code == 0 && message.is_none();
        Ok(Handled {
            state: if good {
                CronRunState::Succeeded
            } else {
                CronRunState::Failed
            },
            exit_code: Some(code),
            message,
        })
    }

    async fn output_of(&self, container: &ContainerId) -> Result<Vec<u8>, RuntimeError> {
        let options = LogOptions {
            tail: Some(OUTPUT_LINES),
            ..LogOptions::default()
        };
        let mut chunks = self.runtime.logs(container, options).await?;
        let mut output: Vec<u8> = Vec::new();
        while let Some(chunk) = chunks.next().await {
            output.extend_from_slice(&chunk?.bytes);
            if output.len() > 2 * OUTPUT_MAX {
                output.drain(..output.len() - OUTPUT_MAX);
            }
        }
        output.drain(..output.len().saturating_sub(OUTPUT_MAX));
        Ok(output)
    }

    /// Tells who wants to know, and forgets what is old.
    async fn conclude_run(&self, id: i64, output: &[u8]) {
        let outcome: Outcome = async {
            let Some(run) = self.store.cron().get(id).await? else {
                return Ok(());
            };
            let (app, state) = (&run.app, run.state.as_str());
            tracing::info!(app.name = %app, cron.id = %run.task, "a scheduled task of {app} {state}");
            self.send_mail(&run, output).await?;
            self.forget_old_runs(&run.app, &run.task).await;
            Ok(())
        }
        .await;
        if let Err(failure) = outcome {
            tracing::warn!(error = %failure, "not everything was done after a scheduled task");
        }
    }

    async fn send_mail(&self, run: &CronRun, output: &[u8]) -> Outcome {
        let envelope = Envelope {
            from: CONCERN.global(self, "mailfrom").await?,
            to: CONCERN.global(self, "mailto").await?,
        };
        if envelope.to.is_empty() {
            return Ok(());
        }
        let output = String::from_utf8_lossy(output);
        if let Some(text) = mail::compose(&envelope, run, &output)
            && let Err(error) = mail::send(Path::new(SENDMAIL), &text).await
        {
            tracing::warn!(app.name = %run.app, error, "no mail about a scheduled task");
        }
        Ok(())
    }

    async fn forget_old_runs(&self, app: &AppName, task: &CronId) {
        match self.store.cron().prune(app, task, KEEP).await {
            Ok(gone) => self.outputs.remove(&gone).await,
            Err(error) => tracing::warn!(%error, "cannot forget old runs of {app}"),
        }
    }

    /// Takes over what the last daemon left: runs that were to begin do, those under way are seen through.
    pub(super) async fn adopt_cron_runs(&self) -> Outcome {
        let containers = self.deployer.cron_runs().await?;
        let open = self.store.cron().open_runs().await?;
        for info in &containers {
            let known = run_of(info).is_some_and(|id| open.iter().any(|run| run.id == id));
            if !known {
                self.deployer.abandon(std::slice::from_ref(&info.id)).await;
            }
        }
        for run in open {
            let mine = containers.iter().find(|info| run_of(info) == Some(run.id));
            self.adopt(run, mine).await?;
        }
        self.outputs.sweep(&self.store.cron().ids().await?).await?;
        Ok(())
    }

    async fn adopt(&self, run: CronRun, container: Option<&ContainerInfo>) -> Outcome {
        let began = container.filter(|info| info.status != ContainerStatus::Created);
        if let Some(info) = began {
            self.store.cron().set_running(run.id, &info.name).await?;
            let (control, id, container) = (self.clone(), run.id, info.id.clone());
            self.tasks
                .spawn(async move { control.see_through(id, container).await });
            return Ok(());
        }
        if let Some(info) = container {
            self.deployer.abandon(std::slice::from_ref(&info.id)).await;
        }
        match self.cron_task(&run.app, &run.task).await {
            // What a person asked for is asked for again by that person.
            Ok(task) if run.state == CronRunState::Starting && run.due_at.is_some() => {
                self.carry_out(run.id, run.app, task);
                Ok(())
            }
            _ => self.lose(run.id).await,
        }
    }
}

/// The run that a container carries out.
pub(crate) fn run_of(info: &ContainerInfo) -> Option<i64> {
    info.labels.get(label::CRON_RUN)?.parse().ok()
}

/// How long a container may still run, by its own labels.
fn time_left(info: &ContainerInfo) -> Duration {
    let deadline = info.labels.get(label::DEADLINE);
    let seconds: i64 = deadline
        .and_then(|seconds| seconds.parse().ok())
        .unwrap_or(86_400);
    let format = &time::format_description::well_known::Rfc3339;
    let age = time::OffsetDateTime::parse(&info.created_at, format)
        .map_or(0, |created| crate::time::now() - created.unix_timestamp());
    Duration::from_secs(u64::try_from(seconds.saturating_sub(age)).unwrap_or(0))
}
