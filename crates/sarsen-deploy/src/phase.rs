//! Tasks that run once in a deploy, each in a container of its own.

use std::fmt;

use sarsen_domain::{Progress, Release};
use tokio_util::sync::CancellationToken;

use crate::{AppSettings, DeployError, Deployer};

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
        todo!()
    }
}
