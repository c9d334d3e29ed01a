//! Containers: made, started, stopped, removed, looked at, waited for.

use std::collections::HashMap;
use std::time::Duration;

use bollard::Docker;
use bollard::errors::Error;
use bollard::models::ContainerUpdateBody;
use bollard::query_parameters::{
    CreateContainerOptionsBuilder, InspectContainerOptions, ListContainersOptionsBuilder,
    RemoveContainerOptionsBuilder, RenameContainerOptionsBuilder, StartContainerOptions,
    StopContainerOptionsBuilder, WaitContainerOptionsBuilder,
};
use futures_util::{StreamExt, TryStreamExt, stream};
use sarsen_domain::{ContainerId, ContainerName};

use super::error::{engine_error, gone_is_fine};
use super::{DockerRuntime, flags, read, spec};
use crate::{ContainerInfo, ContainerSpec, ContainerStatus, RestartPolicy, Result, RuntimeError};

/// How many containers or images are inspected at a time.
pub(super) const INSPECTIONS: usize = 8;

/// What the engine gets on top of the grace period before its answer to a stop counts as lost.
const STOP_MARGIN: Duration = Duration::from_secs(30);

/// How often a container that was not running when the wait began is looked at besides.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// The first version of the engine's interface in which a volume's folder can be mounted.
const SUBPATHS_SINCE: (usize, usize) = (1, 45);
const ANNOTATIONS_SINCE: (usize, usize) = (1, 43);

/// A code of the engine's when it loses sight of a container.
const UNKNOWN_EXIT: i64 = -1;

impl DockerRuntime {
    pub(super) async fn create_container(&self, container: &ContainerSpec) -> Result<ContainerId> {
        let mut options = CreateContainerOptionsBuilder::new();
        if let Some(name) = &container.name {
            options = options.name(name.as_str());
        }
        let body = spec::create_body(container);
        let client = self.client().await?;
        check_age(&client, container)?;
        let answer = client.create_container(Some(options.build()), body).await;
        let answer = answer.map_err(engine_error)?;
        for warning in &answer.warnings {
            tracing::debug!(container.id = %answer.id, "the engine warns about a new container: {warning}");
        }
        let id = ContainerId::parse(&answer.id).map_err(read::odd)?;
        for network in flags::more_networks(container) {
            let aliases = &container.flags.network_aliases;
            if let Err(error) = self.join_network(&id, &network, aliases).await {
                // The caller never learns of this container.
                self.remove_container(&id).await?;
                return Err(error);
            }
        }
        Ok(id)
    }

    pub(super) async fn start_container(&self, id: &ContainerId) -> Result<()> {
        let client = self.client().await?;
        let started = client.start_container(id.as_str(), None::<StartContainerOptions>);
        started.await.map_err(engine_error)
    }

    pub(super) async fn stop_container(&self, id: &ContainerId, grace: Duration) -> Result<()> {
        let client = self.client().await?.with_timeout(grace + STOP_MARGIN);
        let seconds = i32::try_from(grace.as_secs()).unwrap_or(i32::MAX);
        let options = StopContainerOptionsBuilder::new().t(seconds).build();
        let stopped = client.stop_container(id.as_str(), Some(options)).await;
        gone_is_fine(stopped.map_err(engine_error))
    }

    pub(super) async fn remove_container(&self, id: &ContainerId) -> Result<()> {
        let client = self.client().await?;
        let options = RemoveContainerOptionsBuilder::new()
            .force(true)
            .v(true)
            .build();
        let removed = client.remove_container(id.as_str(), Some(options)).await;
        match removed.map_err(engine_error) {
            // Somebody else's removal (or `auto_remove`) is under way: its end is what was asked for.
            Err(RuntimeError::Conflict(words)) if words.contains("already in progress") => {
                gone_is_fine(await_condition(&client, id, "removed").await.map(|_| ()))
            }
            other => gone_is_fine(other),
        }
    }

    pub(super) async fn rename_container(
        &self,
        id: &ContainerId,
        name: &ContainerName,
    ) -> Result<()> {
        let client = self.client().await?;
        let options = RenameContainerOptionsBuilder::new()
            .name(name.as_str())
            .build();
        let renamed = client.rename_container(id.as_str(), options);
        renamed.await.map_err(engine_error)
    }

    pub(super) async fn update_restart_policy(
        &self,
        id: &ContainerId,
        policy: RestartPolicy,
    ) -> Result<()> {
        let client = self.client().await?;
        let body = ContainerUpdateBody {
            restart_policy: Some(spec::restart_policy(policy)),
            ..ContainerUpdateBody::default()
        };
        let updated = client.update_container(id.as_str(), body);
        updated.await.map_err(engine_error)
    }

    pub(super) async fn inspect_container(&self, id_or_name: &str) -> Result<ContainerInfo> {
        inspect(&self.client().await?, id_or_name).await
    }

    pub(super) async fn inspect_container_json(&self, id: &str) -> Result<String> {
        let client = self.client().await?;
        let answer = client.inspect_container(id, None::<InspectContainerOptions>);
        let answer = answer.await.map_err(engine_error)?;
        serde_json::to_string(&answer).map_err(|error| RuntimeError::Engine(error.to_string()))
    }

    pub(super) async fn find_container(
        &self,
        name: &ContainerName,
    ) -> Result<Option<ContainerInfo>> {
        match self.inspect_container(name.as_str()).await {
            // The engine also takes the first digits of an id for a name.
            Ok(info) => Ok((info.name == name.as_str()).then_some(info)),
            Err(RuntimeError::NotFound(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    pub(super) async fn list_containers(&self, labels: &[String]) -> Result<Vec<ContainerInfo>> {
        let client = self.client().await?;
        let ids = self.container_ids(labels).await?;
        let looks = stream::iter(ids).map(|id| {
            let client = &client;
            async move {
                match inspect(client, id.as_str()).await {
                    // Removed since the list was made.
                    Err(RuntimeError::NotFound(_)) => Ok(None),
                    other => other.map(Some),
                }
            }
        });
        let found = looks
            .buffered(INSPECTIONS)
            .try_filter_map(async |info| Ok(info));
        found.try_collect().await
    }

    pub(super) async fn container_ids(&self, labels: &[String]) -> Result<Vec<ContainerId>> {
        let client = self.client().await?;
        let options = ListContainersOptionsBuilder::new()
            .all(true)
            .filters(&label_filter(labels))
            .build();
        let rows = client.list_containers(Some(options)).await;
        let ids = rows
            .map_err(engine_error)?
            .into_iter()
            .filter_map(|row| row.id);
        ids.map(|id| ContainerId::parse(&id).map_err(super::read::odd))
            .collect()
    }

    pub(super) async fn wait_container(&self, id: &ContainerId) -> Result<i64> {
        let client = self.client().await?;
        let info = inspect(&client, id.as_str()).await?;
        if info.status != ContainerStatus::Created {
            return await_condition(&client, id, "not-running").await;
        }
        // One that was never started is "not running" already; but it may start, and end, before the engine has
        // noted that we wait for its next end.
        tokio::select! {
            code = await_condition(&client, id, "next-exit") => code,
            code = end_by_looking(&client, id) => code,
        }
    }
}

/// What an engine that is too old would leave out without a word.
fn check_age(client: &Docker, spec: &ContainerSpec) -> Result<()> {
    let version = client.client_version();
    let spoken = (version.major_version, version.minor_version);
    let flags = &spec.flags;
    let has_subpath = flags.mounts.iter().any(|mount| mount.subpath.is_some());
    for (is_wanted, since, what, release) in [
        (
            has_subpath,
            SUBPATHS_SINCE,
            "mount a folder of a volume",
            26,
        ),
        (
            !flags.annotations.is_empty(),
            ANNOTATIONS_SINCE,
            "keep annotations (--annotation, storage:annotations:set)",
            24,
        ),
    ] {
        if is_wanted && spoken < since {
            return Err(RuntimeError::Engine(format!(
                "this engine cannot {what}: it needs Docker {release}"
            )));
        }
    }
    Ok(())
}

async fn inspect(client: &Docker, id_or_name: &str) -> Result<ContainerInfo> {
    let answer = client.inspect_container(id_or_name, None::<InspectContainerOptions>);
    read::container_info(answer.await.map_err(engine_error)?)
}

async fn await_condition(client: &Docker, id: &ContainerId, condition: &str) -> Result<i64> {
    let options = WaitContainerOptionsBuilder::new()
        .condition(condition)
        .build();
    let mut answers = std::pin::pin!(client.wait_container(id.as_str(), Some(options)));
    match answers.next().await {
        Some(Ok(answer)) => Ok(answer.status_code),
        // The client library takes every code but 0 for an error.
        Some(Err(Error::DockerContainerWaitError { code, .. })) => Ok(code),
        Some(Err(error)) => Err(engine_error(error)),
        None => Err(RuntimeError::Unreachable(
            "the engine ended a wait without an exit code".to_owned(),
        )),
    }
}

async fn end_by_looking(client: &Docker, id: &ContainerId) -> Result<i64> {
    loop {
        tokio::time::sleep(LOOK_AGAIN).await;
        let info = inspect(client, id.as_str()).await?;
        if matches!(info.status, ContainerStatus::Exited | ContainerStatus::Dead) {
            return Ok(info.exit_code.unwrap_or(UNKNOWN_EXIT));
        }
    }
}

/// The filter of list calls: every one of these labels.
pub(super) fn label_filter(labels: &[String]) -> HashMap<String, Vec<String>> {
    if labels.is_empty() {
        return HashMap::new();
    }
    HashMap::from([("label".to_owned(), labels.to_vec())])
}
