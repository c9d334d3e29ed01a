//! The later life of containers: final names, retirement, removal, revival, and what runs now.

use std::time::Duration;

use sarsen_domain::{AppName, ContainerId, ProcessIndex, ProcessType};
use sarsen_runtime::{ContainerStatus, RestartPolicy, RuntimeError};

use crate::{DeployError, Deployer, Started};

/// A container and the place it takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deployed {
    pub container: ContainerId,
    pub process: ProcessType,
    pub index: ProcessIndex,
}

impl From<&Started> for Deployed {
    fn from(started: &Started) -> Self {
        Self {
            container: started.container.clone(),
            process: started.process.clone(),
            index: started.index,
        }
    }
}

/// A container that could not be retired, and why.
#[derive(Debug, Clone)]
pub struct Unfinished {
    pub container: ContainerId,
    pub error: RuntimeError,
}

/// What one container of an app does now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProcessStatus {
    pub process: ProcessType,
    /// `web.1`
    pub dyno: String,
    pub instance: Option<i64>,
    pub container: ContainerId,
    pub name: String,
    pub status: ContainerStatus,
    pub exit_code: Option<i64>,
    pub restart_count: i64,
    /// RFC 3339.
    pub started_at: Option<String>,
}

impl Deployer {
    /// Makes containers live: `app.web.1` becomes theirs (a container that has the name is moved out of the way), and
    /// the engine restarts them from now on. Repeating it changes nothing.
    pub async fn finish(
        &self,
        app: &AppName,
        deployed: &[Deployed],
        restart: RestartPolicy,
    ) -> Result<(), DeployError> {
        todo!()
    }

    /// Stops containers with the stop signal, kills those that live on after the grace period, removes all.
    pub async fn retire(&self, containers: &[ContainerId], grace: Duration) -> Vec<Unfinished> {
        todo!()
    }

    /// Kills and removes containers.
    pub async fn abandon(&self, containers: &[ContainerId]) -> Vec<Unfinished> {
        todo!()
    }

    /// Starts a container that should be live and is not running; gone is an error.
    pub async fn recover(
        &self,
        container: &ContainerId,
        restart: RestartPolicy,
    ) -> Result<(), DeployError> {
        todo!()
    }

    /// The app's deployed containers, by process type and index.
    pub async fn processes(&self, app: &AppName) -> Result<Vec<ProcessStatus>, DeployError> {
        todo!()
    }
}
