//! What a container uses at this moment.

use std::time::Duration;

use bollard::models::ContainerStatsResponse;
use bollard::query_parameters::StatsOptionsBuilder;
use futures_util::StreamExt;
use sarsen_domain::ContainerId;

use super::DockerRuntime;
use super::error::engine_error;
use crate::{ContainerUsage, Result, RuntimeError};

mod groups;

impl DockerRuntime {
    /// One look: the engine does not wait a second for another one to compare with.
    pub(super) async fn container_usage(&self, id: &ContainerId) -> Result<ContainerUsage> {
        let client = self.client().await?;
        let once = StatsOptionsBuilder::new()
            .stream(false)
            .one_shot(true)
            .build();
        let mut looks = std::pin::pin!(client.stats(id.as_str(), Some(once)));
        let look = looks.next().await;
        let look = look
            .ok_or_else(|| RuntimeError::NotFound(id.to_string()))?
            .map_err(engine_error)?;
        if let Some(usage) = told(look) {
            return Ok(usage);
        }
        // Some engines cannot read their own control groups and answer with nothing: the kernel tells as well.
        let pid = self.inspect_container(id.as_str()).await?.pid;
        Ok(groups::read(pid).await.unwrap_or_default())
    }
}

fn told(look: ContainerStatsResponse) -> Option<ContainerUsage> {
    let memory = look.memory_stats?;
    let used = memory.usage?;
    // Pages of files that the kernel gives back when somebody needs them; `docker stats` leaves them out as well.
    let cached = memory.stats.as_ref().and_then(|stats| {
        let named = ["inactive_file", "total_inactive_file"];
        named.iter().find_map(|name| stats.get(*name))
    });
    let cpu = look.cpu_stats.and_then(|cpu| cpu.cpu_usage);
    Some(ContainerUsage {
        cpu: Duration::from_nanos(cpu.and_then(|cpu| cpu.total_usage).unwrap_or_default()),
        memory: used.saturating_sub(cached.copied().unwrap_or_default()),
        memory_limit: memory.limit.filter(|limit| *limit > 0),
    })
}
