//! One-off containers (`run`) and commands in running ones (`enter`).

use std::time::Duration;

use sarsen_domain::{ContainerId, ContainerName, ProcessType, Release};
use sarsen_runtime::{Attached, ContainerInfo, Exec, Runtime, TtySize};
use time::OffsetDateTime;
use tokio_util::task::TaskTracker;

use crate::{AppSettings, DeployError, Deployer};

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
    /// Nobody listens; it goes on by itself.
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
}

impl Default for RunSpec {
    fn default() -> Self {
        Self {
            command: Vec::new(),
            env: Vec::new(),
            mode: RunMode::Output,
            ttl: Duration::from_secs(86_400),
        }
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
    runtime: Runtime,
    tasks: TaskTracker,
    armed: bool,
}

impl RunHandle {
    /// Waits for the command's end, removes the container and gives the exit code.
    pub async fn wait(self) -> Result<i64, DeployError> {
        todo!()
    }

    /// Tells its terminal a new size.
    pub async fn resize(&self, size: TtySize) -> Result<(), DeployError> {
        todo!()
    }
}

/// A command in a container that runs.
#[derive(Debug, Clone, Default)]
pub struct EnterSpec {
    /// The words; a shell when empty.
    pub command: Vec<String>,
    pub env: Vec<String>,
    pub mode: RunMode,
}

impl Deployer {
    /// Starts a one-off container of a release.
    pub async fn run(
        &self,
        release: &Release,
        settings: &AppSettings,
        spec: RunSpec,
    ) -> Result<RunHandle, DeployError> {
        todo!()
    }

    /// One-off containers that have outlived their time.
    pub async fn expired_runs(&self, now: OffsetDateTime) -> Result<Vec<ContainerId>, DeployError> {
        todo!()
    }

    /// At start-up: one-off containers whose caller went away with the last daemon, and ended ones.
    pub async fn orphaned_runs(&self) -> Result<Vec<ContainerId>, DeployError> {
        todo!()
    }

    /// All one-off containers of an app.
    pub async fn runs(
        &self,
        app: &sarsen_domain::AppName,
    ) -> Result<Vec<ContainerInfo>, DeployError> {
        todo!()
    }

    /// Runs a command in a running container.
    pub async fn enter(
        &self,
        container: &ContainerId,
        spec: EnterSpec,
    ) -> Result<Exec, DeployError> {
        todo!()
    }
}
