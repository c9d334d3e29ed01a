//! What a container uses at this moment.

use std::time::Duration;

use bollard::query_parameters::StatsOptionsBuilder;
use futures_util::StreamExt;
use sarsen_domain::ContainerId;

use super::DockerRuntime;
use super::error::engine_error;
use crate::{ContainerUsage, Result, RuntimeError};

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
        let cpu = look.cpu_stats.and_then(|cpu| cpu.cpu_usage);
        let memory = look.memory_stats.unwrap_or_default();
        // Pages of files that the kernel gives back when somebody needs them; `docker stats` leaves them out as well.
        let cached = memory
            .stats
            .as_ref()
            .and_then(|stats| stats.get("inactive_file"));
        let used = memory.usage.unwrap_or_default();
        Ok(ContainerUsage {
            cpu: Duration::from_nanos(cpu.and_then(|cpu| cpu.total_usage).unwrap_or_default()),
            memory: used.saturating_sub(cached.copied().unwrap_or_default()),
            memory_limit: memory.limit.filter(|limit| *limit > 0),
        })
    }
}
