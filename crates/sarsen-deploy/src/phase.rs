//! Tasks that run once in a deploy, each in a container of its own.

use std::fmt;
use std::time::Duration;

use futures_util::TryStreamExt;
use rand::Rng;
use sarsen_domain::container::label;
use sarsen_domain::{ContainerId, Progress, Release};
use sarsen_runtime::{LogOptions, NetworkPlace};
use tokio_util::sync::CancellationToken;

use crate::lines::Lines;
use crate::oneoff::Attachment;
use crate::{AppSettings, Cause, DeployError, Deployer, command, spec};

/// A task that takes longer is killed.
const TIME_LIMIT: Duration = Duration::from_secs(3600);

/// Which task of a deploy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// `scripts.dokku.predeploy` of app.json.
    Predeploy,
    /// The Procfile's `release` command.
    Release,
    /// `scripts.dokku.postdeploy` of app.json.
    Postdeploy,
    /// `scripts.postdeploy` of app.json, once in the app's life.
    FirstDeploy,
}

impl Phase {
    /// Dokku's name for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Predeploy => "predeploy",
            Self::Release => "release",
            Self::Postdeploy => "postdeploy",
            Self::FirstDeploy => "heroku.postdeploy",
        }
    }

    /// The file that holds the command.
    fn file(self) -> &'static str {
        match self {
            Self::Release => "Procfile",
            Self::Predeploy | Self::Postdeploy | Self::FirstDeploy => "app.json",
        }
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// One task.
#[derive(Clone, Copy)]
pub struct PhaseTask<'a> {
    pub release: &'a Release,
    pub phase: Phase,
    /// The text of the Procfile or app.json, run by a shell in the app's container.
    pub command: &'a str,
    pub settings: &'a AppSettings,
}

impl Deployer {
    /// Runs the task to its end and removes its container. A failing exit code is an error.
    pub async fn run_phase(
        &self,
        task: PhaseTask<'_>,
        progress: &dyn Progress,
        cancel: &CancellationToken,
    ) -> Result<(), DeployError> {
        let (phase, file) = (task.phase, task.phase.file());
        progress.header(&format!("Checking for {phase} task"));
        progress.body(&format!(
            "Executing {phase} task from {file}: {}",
            task.command
        ));
        let wait = self.waits.begin();
        let container = self.create_phase(&task, wait.mark()).await?;
        let networks = task.settings.joined(&task.release.app, "run");
        let work = self.follow_phase(&container, &networks, progress);
        let work = tokio::time::timeout(TIME_LIMIT, work);
        let outcome = cancel.run_until_cancelled(work).await;
        for left in self.abandon(std::slice::from_ref(&container)).await {
            tracing::warn!(container.id = %left.container, error = %left.error, "a task's container was not removed");
        }
        let cause = match outcome {
            None => return Err(DeployError::Cancelled),
            Some(Ok(Ok(()))) => return Ok(()),
            Some(Ok(Err(cause))) => cause,
            Some(Err(_)) => Cause::TimedOut(TIME_LIMIT),
        };
        Err(DeployError::Phase {
            phase,
            command: task.command.to_owned(),
            cause,
        })
    }

    async fn create_phase(
        &self,
        task: &PhaseTask<'_>,
        mark: &str,
    ) -> Result<ContainerId, DeployError> {
        let release = task.release;
        let image = self.runtime.image(&release.image).await?;
        let mut spec = spec::of_one_off(release, task.settings, &self.settings.owner);
        spec.name_servers = self.name_servers();
        let number: u32 = rand::rng().random_range(100_000..1_000_000);
        let dyno = format!("{}.{number}", task.phase);
        spec.name = Some(spec::name(&format!("{}.run.{dyno}", release.app))?);
        spec.command = Some(command::of_task(release, task.command, &image));
        spec::put_env(&mut spec.env, "DYNO", &dyno);
        spec::put_labels(
            &mut spec.labels,
            [
                (label::PHASE_SCRIPT, task.phase.to_string()),
                (label::DEADLINE, TIME_LIMIT.as_secs().to_string()),
                (spec::RUN_LABEL, Attachment::Attached.to_string()),
                (spec::LIFE_LABEL, mark.to_owned()),
            ],
        );
        Ok(self.runtime.create(&spec).await?)
    }

    /// Shows the output line by line, until the task's end.
    async fn follow_phase(
        &self,
        container: &ContainerId,
        networks: &[NetworkPlace],
        progress: &dyn Progress,
    ) -> Result<(), Cause> {
        let engine = |error: sarsen_runtime::RuntimeError| Cause::Engine(error.to_string());
        if let Err(error) = self.start_on(container, networks).await {
            return Err(Cause::CannotStart(error.to_string()));
        }
        let options = LogOptions {
            follow: true,
            ..LogOptions::default()
        };
        let mut output = self
            .runtime
            .logs(container, options)
            .await
            .map_err(engine)?;
        let mut lines = Lines::default();
        while let Some(chunk) = output.try_next().await.map_err(engine)? {
            show(progress, lines.feed(&chunk));
        }
        show(progress, lines.rest());
        let code = self.runtime.wait(container).await.map_err(engine)?;
        if code == 0 {
            return Ok(());
        }
        let info = self.runtime.inspect(container).await.map_err(engine)?;
        Err(if info.oom_killed {
            Cause::OutOfMemory(None)
        } else {
            Cause::Exited(code)
        })
    }
}

fn show(progress: &dyn Progress, lines: Vec<Vec<u8>>) {
    for line in lines {
        progress.write(&[b"       ", line.as_slice(), b"\n"].concat());
    }
}

#[cfg(test)]
mod tests;
