//! Candidates: containers of a new release, started and found healthy, not yet live.

use std::net::IpAddr;

use futures_util::future::BoxFuture;
use sarsen_domain::{ContainerId, ContainerName, ProcessIndex, ProcessType, Progress};
use tokio_util::sync::CancellationToken;

use crate::{DeployError, DeployPlan, Deployer};

/// A container that was just created and is about to be started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Created {
    /// The planned instance's id.
    pub instance: i64,
    pub container: ContainerId,
    /// `app.web.1.upcoming-…`
    pub name: ContainerName,
}

/// Called for each container before it is started, and waited for: writes it down. An error ends the deploy.
pub type OnCreated<'a> = &'a (dyn Fn(Created) -> BoxFuture<'a, Result<(), String>> + Send + Sync);

/// Healthy containers of a release.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Candidate {
    pub instances: Vec<Started>,
}

/// One healthy container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Started {
    /// The planned instance's id.
    pub instance: i64,
    pub process: ProcessType,
    pub index: ProcessIndex,
    pub container: ContainerId,
    /// The name it has until [`Deployer::finish`].
    pub name: ContainerName,
    pub address: Option<IpAddr>,
    /// Its PORT, for web.
    pub port: Option<u16>,
}

impl Deployer {
    /// Starts the plan's instances, web first, and waits until they are healthy. When that fails, or when `cancel`
    /// fires, whatever was made is removed before this returns.
    pub async fn start(
        &self,
        plan: DeployPlan<'_>,
        progress: &dyn Progress,
        cancel: &CancellationToken,
        on_created: OnCreated<'_>,
    ) -> Result<Candidate, DeployError> {
        todo!()
    }
}
