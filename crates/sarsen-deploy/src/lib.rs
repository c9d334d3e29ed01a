//! From a release to running containers: candidates and their checks, phase tasks, one-off runs, logs, retirement.
//!
//! It returns values and keeps no state: who calls it remembers which container belongs to which instance.

mod checks;
mod command;
pub mod cron;
pub mod drain;
mod error;
mod lifecycle;
mod lines;
mod logs;
mod oneoff;
mod phase;
mod plan;
mod spec;
mod start;
#[cfg(test)]
mod testing;
mod waits;

pub use error::{Cause, DeployError};
pub use lifecycle::{Deployed, ProcessStatus, Unfinished};
pub use logs::{LogFormat, LogSource, LogStream, TextStyle};
pub use oneoff::{EnterSpec, ImageRun, RunHandle, RunLabels, RunMode, RunSpec};
pub use phase::{Phase, PhaseTask};
pub use plan::{AppSettings, CheckMode, DeployPlan, PlannedInstance};
pub use start::{Candidate, Created, OnCreated, Started};

use std::net::IpAddr;

use sarsen_runtime::Runtime;
use tokio::sync::watch;
use tokio_util::task::TaskTracker;

use waits::Waits;

/// What is the same for every app.
#[derive(Debug, Clone)]
pub struct DeploySettings {
    /// Which installation the containers belong to: the value of their owner label.
    pub owner: String,
    /// Where clean-up that outlives its caller runs; the daemon waits for it at its end.
    pub tasks: TaskTracker,
    /// The name servers that containers ask from now on; none means the host's.
    pub name_servers: watch::Receiver<Vec<IpAddr>>,
}

impl DeploySettings {
    /// Settings of an installation, with a task tracker of their own.
    pub fn new(owner: impl Into<String>) -> Self {
        Self {
            owner: owner.into(),
            tasks: TaskTracker::new(),
            // Nobody will say otherwise.
            name_servers: watch::channel(Vec::new()).1,
        }
    }
}

/// Makes containers of releases. Cheap to clone.
#[derive(Clone)]
pub struct Deployer {
    runtime: Runtime,
    settings: DeploySettings,
    waits: Waits,
}

impl Deployer {
    /// A deployer on this engine.
    pub fn new(runtime: Runtime, settings: DeploySettings) -> Self {
        Self {
            runtime,
            settings,
            waits: Waits::default(),
        }
    }

    /// The name servers of a container that is made now.
    pub(crate) fn name_servers(&self) -> Vec<IpAddr> {
        self.settings.name_servers.borrow().clone()
    }
}
