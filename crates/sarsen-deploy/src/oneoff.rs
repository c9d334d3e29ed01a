//! One-off containers (`run`) and commands in running ones (`enter`).

use std::fmt;
use std::time::Duration;

use rand::Rng;
use sarsen_domain::container::label;
use sarsen_domain::{
    AppName, BuilderKind, ContainerId, ContainerName, ContainerSettings, CronId, ImageRef,
    ProcessType, Release,
};
use sarsen_runtime::{
    Attached, ContainerInfo, ContainerSpec, Exec, ExecSpec, NetworkPlace, Runtime, RuntimeError,
    TtySize,
};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tokio::io::AsyncWriteExt;
use tokio_util::task::TaskTracker;

use crate::waits::Wait;
use crate::{AppSettings, Cause, DeployError, Deployer, command, spec};

/// Names are random; a taken one is tried again this often.
const NAME_TRIES: usize = 5;

/// How a one-off container's streams are used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum RunMode {
    /// Output only.
    #[default]
    Output,
    /// Standard input too.
    Interactive,
    /// A terminal of this size.
    Terminal(TtySize),
    /// Nobody listens; it goes on by itself, and the engine removes it at its end.
    Detached,
}

/// One command to run in a new container.
#[derive(Debug, Clone)]
pub struct RunSpec {
    /// The words; a first word that is a process type stands for its command. None gives a shell.
    pub command: Vec<String>,
    /// Laid over everything else.
    pub env: Vec<(String, String)>,
    pub mode: RunMode,
    /// How long it may live.
    pub ttl: Duration,
    /// What is to be known of it later.
    pub labels: RunLabels,
}

/// One command to run in a new container of an image, for no app.
#[derive(Debug, Clone)]
pub struct ImageRun {
    pub image: ImageRef,
    pub command: Vec<String>,
    /// `KEY=value`
    pub env: Vec<String>,
    pub mode: RunMode,
    /// A name or an id; else the image's.
    pub user: Option<String>,
    pub settings: ContainerSettings,
    /// The beginning of the container's name.
    pub purpose: &'static str,
}

/// What a one-off container says about itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RunLabels {
    /// The scheduled task that it carries out.
    pub task: Option<CronId>,
    /// The run of that task, as the store counts them. Such a container stays when it ends, until its output has been
    /// kept.
    pub cron_run: Option<i64>,
    /// What people have put on it, as `key=value`.
    pub own: Vec<(String, String)>,
}

impl Default for RunSpec {
    fn default() -> Self {
        Self {
            command: Vec::new(),
            env: Vec::new(),
            mode: RunMode::Output,
            ttl: Duration::from_secs(86_400),
            labels: RunLabels::default(),
        }
    }
}

/// Whether somebody reads a one-off container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Attachment {
    Attached,
    Detached,
}

impl fmt::Display for Attachment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Attached => "attached",
            Self::Detached => "detached",
        })
    }
}

/// A one-off container that runs. Dropping it before its end kills and removes the container, unless it is detached.
pub struct RunHandle {
    /// `app.run.1234`
    pub name: ContainerName,
    pub container: ContainerId,
    /// The process type that the first word named.
    pub procfile: Option<ProcessType>,
    /// The streams, unless it is detached; the caller takes them.
    pub streams: Option<Attached>,
    guard: Guard,
}

impl RunHandle {
    /// Waits for the command's end, removes the container and gives the exit code.
    pub async fn wait(self) -> Result<i64, DeployError> {
        let mut guard = self.guard;
        let code = guard.runtime.wait(&self.container).await?;
        let removed = guard.runtime.remove(&self.container).await;
        guard.armed = false;
        match removed {
            // A detached one is removed by the engine at the same time.
            Ok(()) | Err(RuntimeError::NotFound(_) | RuntimeError::Conflict(_)) => Ok(code),
            Err(error) => Err(error.into()),
        }
    }

    /// Tells its terminal a new size.
    pub async fn resize(&self, size: TtySize) -> Result<(), DeployError> {
        Ok(self.guard.runtime.resize(&self.container, size).await?)
    }
}

/// Kills and removes a container that nobody waits for any more.
struct Guard {
    runtime: Runtime,
    container: ContainerId,
    tasks: TaskTracker,
    armed: bool,
    /// Until the container is gone, or could not be removed.
    wait: Option<Wait>,
}

impl Drop for Guard {
    fn drop(&mut self) {
        // Outside the async runtime the process is at its end, and the next start finds the container.
        let Ok(handle) = tokio::runtime::Handle::try_current() else {
            return;
        };
        if !self.armed {
            return;
        }
        let (runtime, container) = (self.runtime.clone(), self.container.clone());
        let wait = self.wait.take();
        let removal = async move {
            if let Err(error) = runtime.remove(&container).await {
                tracing::warn!(container.id = %container, %error, "a one-off container was not removed");
            }
            // What is still there is nobody's any more.
            drop(wait);
        };
        self.tasks.spawn_on(removal, &handle);
    }
}

/// A command in a container that runs.
#[derive(Debug, Clone, Default)]
pub struct EnterSpec {
    /// The words; a shell when empty.
    pub command: Vec<String>,
    pub env: Vec<String>,
    pub mode: RunMode,
    /// What runs when there are no words; `None` for the shell that the image has.
    pub shell: Option<String>,
}

impl Deployer {
    /// Starts a one-off container of a release.
    pub async fn run(
        &self,
        release: &Release,
        settings: &AppSettings,
        run: RunSpec,
    ) -> Result<RunHandle, DeployError> {
        let image = self.runtime.image(&release.image).await?;
        let one_off = command::of_run(release, &run.command, &image, settings.shell.as_deref());
        let wait = self.waits.begin();
        let mut spec = self.run_spec(release, settings, &run, wait.mark());
        spec.command = Some(one_off.words);
        spec.entrypoint = one_off.clears_entrypoint.then(Vec::new);
        let (name, container) = self.create_run(&release.app, &mut spec).await?;
        let mut guard = Guard {
            runtime: self.runtime.clone(),
            container: container.clone(),
            tasks: self.settings.tasks.clone(),
            armed: true,
            wait: Some(wait),
        };
        let networks = settings.joined(&release.app, "run");
        let streams = self.begin(&container, &networks, run.mode).await?;
        guard.armed = run.mode != RunMode::Detached;
        Ok(RunHandle {
            name,
            container,
            procfile: one_off.procfile,
            streams,
            guard,
        })
    }

    /// Starts a container that belongs to no app: a command in an image, with these settings.
    pub async fn run_image(&self, run: ImageRun) -> Result<RunHandle, DeployError> {
        let mut spec = ContainerSpec {
            image: run.image.to_string(),
            command: Some(run.command),
            // Of a shell that is asked for a shell nothing would come but a shell.
            entrypoint: Some(Vec::new()),
            env: run.env,
            user: run.user,
            stdin: true,
            tty: matches!(run.mode, RunMode::Terminal(_)),
            init: true,
            drop_capabilities: true,
            no_new_privileges: true,
            flags: run.settings,
            ..ContainerSpec::default()
        };
        let wait = self.waits.begin();
        spec::put_labels(
            &mut spec.labels,
            [
                (label::OWNER, self.settings.owner.clone()),
                (label::CONTAINER_TYPE, "run".to_owned()),
                (
                    label::DEADLINE,
                    RunSpec::default().ttl.as_secs().to_string(),
                ),
                (spec::RUN_LABEL, Attachment::Attached.to_string()),
                (spec::LIFE_LABEL, wait.mark().to_owned()),
            ],
        );
        let (name, container) = self.create_named(run.purpose, &mut spec).await?;
        let guard = Guard {
            runtime: self.runtime.clone(),
            container: container.clone(),
            tasks: self.settings.tasks.clone(),
            armed: true,
            wait: Some(wait),
        };
        let streams = self.begin(&container, &[], run.mode).await?;
        Ok(RunHandle {
            name,
            container,
            procfile: None,
            streams,
            guard,
        })
    }

    fn run_spec(
        &self,
        release: &Release,
        settings: &AppSettings,
        run: &RunSpec,
        mark: &str,
    ) -> ContainerSpec {
        let mut spec = spec::of_one_off(release, settings, &self.settings.owner);
        spec.name_servers = self.name_servers();
        let is_detached = run.mode == RunMode::Detached;
        let attachment = if is_detached {
            Attachment::Detached
        } else {
            Attachment::Attached
        };
        for (key, value) in &run.env {
            spec::put_env(&mut spec.env, key, value);
        }
        spec::put_labels(
            &mut spec.labels,
            [
                (label::DEADLINE, run.ttl.as_secs().to_string()),
                (spec::RUN_LABEL, attachment.to_string()),
                (spec::LIFE_LABEL, mark.to_owned()),
            ],
        );
        let RunLabels {
            task,
            cron_run,
            own,
        } = &run.labels;
        // Ours are laid over people's.
        for (key, value) in own {
            let entry = spec.labels.entry(key.clone());
            entry.or_insert_with(|| value.clone());
        }
        if let Some(task) = task {
            spec::put_labels(&mut spec.labels, [(label::CRON, task.to_string())]);
        }
        if let Some(id) = cron_run {
            spec::put_labels(&mut spec.labels, [(label::CRON_RUN, id.to_string())]);
        }
        spec.stdin = !is_detached;
        spec.tty = matches!(run.mode, RunMode::Terminal(_));
        // An attached one is removed by its handle: the engine would take the exit code along.
        spec.auto_remove = is_detached && cron_run.is_none();
        spec
    }

    async fn create_run(
        &self,
        app: &AppName,
        spec: &mut ContainerSpec,
    ) -> Result<(ContainerName, ContainerId), DeployError> {
        self.create_named(&format!("{app}.run"), spec).await
    }

    /// Makes a container with a random number behind its name.
    async fn create_named(
        &self,
        prefix: &str,
        spec: &mut ContainerSpec,
    ) -> Result<(ContainerName, ContainerId), DeployError> {
        let mut taken = RuntimeError::Conflict("No free name for a one-off container".to_owned());
        for _ in 0..NAME_TRIES {
            let number: u32 = rand::rng().random_range(1000..10_000);
            let name = spec::name(&format!("{prefix}.{number}"))?;
            spec::put_env(&mut spec.env, "DYNO", &format!("run.{number}"));
            spec.labels
                .insert(label::DYNO.to_owned(), format!("run.{number}"));
            spec.name = Some(name.clone());
            match self.runtime.create(spec).await {
                Ok(id) => return Ok((name, id)),
                Err(error @ RuntimeError::Conflict(_)) => taken = error,
                Err(error) => return Err(error.into()),
            }
        }
        Err(taken.into())
    }

    async fn begin(
        &self,
        container: &ContainerId,
        networks: &[NetworkPlace],
        mode: RunMode,
    ) -> Result<Option<Attached>, DeployError> {
        let mut streams = match mode {
            RunMode::Detached => None,
            RunMode::Output | RunMode::Interactive | RunMode::Terminal(_) => {
                Some(self.runtime.attach(container).await?)
            }
        };
        if let Err(error) = self.start_on(container, networks).await {
            return Err(cannot_start(&error));
        }
        match (mode, streams.as_mut()) {
            (RunMode::Terminal(size), _) => {
                // A command that has ended already has no terminal to size.
                self.runtime.resize(container, size).await.ok();
            }
            (RunMode::Output, Some(streams)) => {
                // Programs that read would wait for ever; one that has ended does not mind.
                streams.stdin.shutdown().await.ok();
            }
            (RunMode::Output | RunMode::Interactive | RunMode::Detached, _) => {}
        }
        Ok(streams)
    }

    /// All one-off containers of an app, phase tasks included.
    pub async fn runs(&self, app: &AppName) -> Result<Vec<ContainerInfo>, DeployError> {
        let app = format!("{}={app}", label::APP);
        let mut labels = self.run_labels();
        labels.push(app);
        Ok(self.runtime.list(&labels).await?)
    }

    /// Containers of every app that carry out runs of scheduled tasks, ended ones included.
    pub async fn cron_runs(&self) -> Result<Vec<ContainerInfo>, DeployError> {
        let mut labels = self.run_labels();
        labels.push(label::CRON_RUN.to_owned());
        Ok(self.runtime.list(&labels).await?)
    }

    /// Containers that carry out a scheduled task of an app at this moment, whoever started them.
    pub async fn running_task(
        &self,
        app: &AppName,
        task: &CronId,
    ) -> Result<Vec<ContainerInfo>, DeployError> {
        let mut runs = self.runs(app).await?;
        runs.retain(|info| {
            info.labels.get(label::CRON).map(String::as_str) == Some(task.as_str())
                && info.is_running()
        });
        Ok(runs)
    }

    /// All one-off containers of all apps.
    pub async fn all_runs(&self) -> Result<Vec<ContainerInfo>, DeployError> {
        Ok(self.runtime.list(&self.run_labels()).await?)
    }

    /// One-off containers, of one app or of every one, that have outlived their time.
    pub async fn expired_runs(
        &self,
        app: Option<&AppName>,
        now: OffsetDateTime,
    ) -> Result<Vec<ContainerId>, DeployError> {
        let runs = match app {
            Some(app) => self.runs(app).await?,
            None => self.all_runs().await?,
        };
        let expired = runs
            .into_iter()
            .filter(|info| !info.labels.contains_key(label::CRON_RUN) && is_expired(info, now));
        Ok(expired.map(|info| info.id).collect())
    }

    /// One-off containers (but those of scheduled tasks) that nobody waits for, and those that have ended. Their callers
    /// went away with the last daemon, or in this one's life while the engine was away.
    pub async fn orphaned_runs(&self) -> Result<Vec<ContainerInfo>, DeployError> {
        let detached = Attachment::Detached.to_string();
        let before = self.waits.all();
        let runs = self.runtime.list(&self.run_labels()).await?;
        let orphaned = runs.into_iter().filter(|info| {
            // Commands are taken before the engine is looked through for the first time.
            let mark = info.labels.get(spec::LIFE_LABEL);
            // A detached one may have been started, and left to itself, since the engine was asked.
            let is_waited_for =
                mark.is_some_and(|mark| before.contains(mark) || self.waits.contains(mark));
            let is_over = info.labels.get(spec::RUN_LABEL) != Some(&detached) || !info.is_running();
            is_over && !is_waited_for && !info.labels.contains_key(label::CRON_RUN)
        });
        Ok(orphaned.collect())
    }

    fn run_labels(&self) -> Vec<String> {
        vec![
            format!("{}={}", label::OWNER, self.settings.owner),
            format!("{}=run", label::CONTAINER_TYPE),
        ]
    }

    /// Runs a command in a running container.
    pub async fn enter(
        &self,
        container: &ContainerId,
        enter: EnterSpec,
    ) -> Result<Exec, DeployError> {
        let info = self.runtime.inspect(container).await?;
        if !info.is_running() {
            return Err(DeployError::NotRunning(info.name));
        }
        let builder = info.labels.get(label::BUILDER);
        let builder = builder.and_then(|name| name.parse().ok());
        let size = match enter.mode {
            RunMode::Terminal(size) => Some(size),
            RunMode::Output | RunMode::Interactive | RunMode::Detached => None,
        };
        let spec = ExecSpec {
            command: command::of_enter(
                builder.unwrap_or(BuilderKind::Null),
                &enter.command,
                enter.shell.as_deref(),
            ),
            env: enter.env,
            stdin: size.is_some() || enter.mode == RunMode::Interactive,
            tty: size.is_some(),
            size,
            ..ExecSpec::default()
        };
        Ok(self.runtime.exec(container, &spec).await?)
    }
}

fn cannot_start(error: &RuntimeError) -> DeployError {
    DeployError::CannotRun(Cause::CannotStart(error.to_string()))
}

fn is_expired(info: &ContainerInfo, now: OffsetDateTime) -> bool {
    let deadline = info.labels.get(label::DEADLINE);
    let Some(seconds) = deadline.and_then(|seconds| seconds.parse().ok()) else {
        return false;
    };
    OffsetDateTime::parse(&info.created_at, &Rfc3339)
        .is_ok_and(|created| now - created > time::Duration::seconds(seconds))
}

#[cfg(test)]
mod tests;
