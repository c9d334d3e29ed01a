//! The later life of containers: final names, retirement, removal, revival, and what runs now.

use std::time::Duration;

use futures_util::future::join_all;
use sarsen_domain::container::label;
use sarsen_domain::{AppName, ContainerId, ContainerName, ProcessIndex, ProcessType};
use sarsen_runtime::{ContainerInfo, ContainerStatus, NetworkPlace, RestartPolicy, RuntimeError};
use time::OffsetDateTime;

use crate::{AppSettings, DeployError, Deployer, Started, spec};

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
    pub index: ProcessIndex,
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
        settings: &AppSettings,
    ) -> Result<(), DeployError> {
        for one in deployed {
            let restart = settings.restart(&one.process);
            let policy = self.runtime.set_restart_policy(&one.container, restart);
            policy.await?;
            let name = spec::final_name(app, &one.process, one.index)?;
            self.take_name(&one.container, &name).await?;
        }
        Ok(())
    }

    async fn take_name(
        &self,
        container: &ContainerId,
        name: &ContainerName,
    ) -> Result<(), DeployError> {
        if let Some(holder) = self.runtime.find(name).await? {
            if holder.id == *container {
                return Ok(());
            }
            // Another installation on this engine, or somebody's own container: not ours to rename.
            if holder.labels.get(label::OWNER) != Some(&self.settings.owner) {
                return Err(DeployError::NameTaken(name.clone()));
            }
            self.move_away(&holder, name).await?;
        }
        Ok(self.runtime.rename(container, name).await?)
    }

    /// `app.web.1` → `app.web.1.<unixtime>`, with a later time when that is taken.
    async fn move_away(
        &self,
        holder: &ContainerInfo,
        name: &ContainerName,
    ) -> Result<(), DeployError> {
        let now = OffsetDateTime::now_utc().unix_timestamp();
        let mut conflict = None;
        for later in 0..10 {
            let aside = spec::name(&format!("{name}.{}", now + later))?;
            match self.runtime.rename(&holder.id, &aside).await {
                Ok(()) | Err(RuntimeError::NotFound(_)) => return Ok(()),
                Err(error @ RuntimeError::Conflict(_)) => conflict = Some(error),
                Err(error) => return Err(error.into()),
            }
        }
        conflict.map_or(Ok(()), |error| Err(error.into()))
    }

    /// Starts a new container, which is on these networks from its first moment.
    pub(crate) async fn start_on(
        &self,
        container: &ContainerId,
        networks: &[NetworkPlace],
    ) -> Result<(), RuntimeError> {
        self.join(container, networks).await?;
        self.runtime.start(container).await
    }

    /// Puts a container on networks; those that it is on already do not mind.
    pub async fn join(
        &self,
        container: &ContainerId,
        networks: &[NetworkPlace],
    ) -> Result<(), RuntimeError> {
        for NetworkPlace { network, aliases } in networks {
            let joined = self.runtime.connect_network(container, network, aliases);
            joined.await?;
        }
        Ok(())
    }

    /// Stops containers with the stop signal, kills those that live on after the grace period, removes all.
    pub async fn retire(&self, containers: &[ContainerId], grace: Duration) -> Vec<Unfinished> {
        let all = containers.iter().map(|container| async move {
            let outcome = match self.runtime.stop(container, grace).await {
                Ok(()) => self.runtime.remove(container).await,
                Err(error) => Err(error),
            };
            unfinished(container, outcome)
        });
        join_all(all).await.into_iter().flatten().collect()
    }

    /// Kills and removes containers.
    pub async fn abandon(&self, containers: &[ContainerId]) -> Vec<Unfinished> {
        let all = containers.iter().map(|container| async move {
            unfinished(container, self.runtime.remove(container).await)
        });
        join_all(all).await.into_iter().flatten().collect()
    }

    /// Starts a container that should be live and is not running; gone is an error.
    pub async fn recover(
        &self,
        container: &ContainerId,
        restart: RestartPolicy,
    ) -> Result<(), DeployError> {
        self.runtime.set_restart_policy(container, restart).await?;
        Ok(self.runtime.start(container).await?)
    }

    /// The app's deployed containers, `web` first, then by process type and index. Candidates and containers that are
    /// being retired are among them; their names tell.
    pub async fn processes(&self, app: &AppName) -> Result<Vec<ProcessStatus>, DeployError> {
        let labels = [
            format!("{}={}", label::OWNER, self.settings.owner),
            format!("{}={app}", label::APP),
            format!("{}=deploy", label::CONTAINER_TYPE),
        ];
        let containers = self.runtime.list(&labels).await?;
        let mut found: Vec<_> = containers.into_iter().filter_map(status).collect();
        found.sort_by(|a, b| {
            let key = |one: &ProcessStatus| (!one.process.is_web(), one.process.clone(), one.index);
            key(a).cmp(&key(b)).then_with(|| a.name.cmp(&b.name))
        });
        Ok(found)
    }
}

/// Gone is as good as removed.
fn unfinished(container: &ContainerId, outcome: Result<(), RuntimeError>) -> Option<Unfinished> {
    match outcome {
        Ok(()) | Err(RuntimeError::NotFound(_)) => None,
        Err(error) => Some(Unfinished {
            container: container.clone(),
            error,
        }),
    }
}

fn status(info: ContainerInfo) -> Option<ProcessStatus> {
    let dyno = info.labels.get(label::DYNO)?.clone();
    let (process, index) = dyno.rsplit_once('.')?;
    Some(ProcessStatus {
        process: ProcessType::parse(process).ok()?,
        index: index.parse().ok()?,
        dyno,
        instance: info
            .labels
            .get(label::INSTANCE)
            .and_then(|id| id.parse().ok()),
        container: info.id,
        name: info.name,
        status: info.status,
        exit_code: info.exit_code,
        restart_count: info.restart_count,
        started_at: info.started_at,
    })
}

#[cfg(test)]
mod tests;
