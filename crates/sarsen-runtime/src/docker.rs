//! The Docker engine behind the trait, over its unix socket.
//!
//! Every request opens a connection of its own, so an engine that was restarted is found again by the next call.

mod archive;
mod build;
mod containers;
mod error;
mod events;
mod flags;
mod hijack;
mod images;
mod networks;
mod produce;
mod progress;
mod read;
mod registry;
mod spec;
mod streams;
mod usage;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bollard::{API_DEFAULT_VERSION, Docker};
use bytes::Bytes;
use sarsen_domain::{ContainerId, ContainerName, ImageRef};
use tokio::sync::OnceCell;

use crate::{
    Attached, BuildItem, BuildSpec, CommitSpec, ContainerEvent, ContainerInfo, ContainerRuntime,
    ContainerSpec, ContainerUsage, EngineInfo, EngineStream, Exec, ExecId, ExecSpec, ImageInfo,
    LogChunk, LogOptions, NetworkInfo, RegistryLogin, RestartPolicy, Result, RuntimeError, TtySize,
};
use error::engine_error;

/// Seconds that the engine may take to begin its answer to an ordinary request.
const ANSWER_SECONDS: u64 = 120;

/// The same where the engine first reads all we send, or all that is on a disk.
const LONG_ANSWER: Duration = Duration::from_secs(3600);

/// The first API version whose engines carry BuildKit.
const BUILDKIT_API: (u32, u32) = (1, 39);

/// Which of the engine's two builders makes images.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum BuildEngine {
    /// BuildKit, and the classic one when BuildKit itself cannot work.
    #[default]
    Auto,
    /// BuildKit only.
    BuildKit,
    /// The classic builder only.
    Classic,
}

/// A handle on a Docker engine.
#[derive(Clone)]
pub struct DockerRuntime {
    socket: PathBuf,
    build_engine: BuildEngine,
    /// Made at the first call: the engine need not be up before.
    client: Arc<OnceCell<Docker>>,
}

impl DockerRuntime {
    /// A handle on the engine that listens, now or later, on this socket.
    pub fn connect(socket: &Path) -> Result<Self> {
        if socket.to_str().is_none() {
            return Err(RuntimeError::Engine(format!(
                "the engine's socket has a name that is not UTF-8: {}",
                socket.display()
            )));
        }
        Ok(Self {
            socket: socket.to_owned(),
            build_engine: BuildEngine::default(),
            client: Arc::new(OnceCell::new()),
        })
    }

    /// The same with this builder.
    #[must_use]
    pub fn with_build_engine(mut self, build_engine: BuildEngine) -> Self {
        self.build_engine = build_engine;
        self
    }

    async fn client(&self) -> Result<Docker> {
        let connect = async {
            let path = self.socket.to_string_lossy();
            let client = Docker::connect_with_unix(&path, ANSWER_SECONDS, API_DEFAULT_VERSION)?;
            client.negotiate_version().await
        };
        let client = self.client.get_or_try_init(|| connect).await;
        client.cloned().map_err(engine_error)
    }

    async fn patient_client(&self) -> Result<Docker> {
        Ok(self.client().await?.with_timeout(LONG_ANSWER))
    }

    async fn engine_info(&self) -> Result<EngineInfo> {
        let version = self.client().await?.version().await.map_err(engine_error)?;
        let api_version = version.api_version.unwrap_or_default();
        Ok(EngineInfo {
            version: version.version.unwrap_or_default(),
            buildkit: has_buildkit(&api_version),
            api_version,
        })
    }
}

#[async_trait]
impl ContainerRuntime for DockerRuntime {
    async fn info(&self) -> Result<EngineInfo> {
        self.engine_info().await
    }

    async fn ping(&self) -> Result<()> {
        let answer = self.client().await?.ping().await;
        answer.map(|_| ()).map_err(engine_error)
    }

    async fn cpus(&self) -> Result<u32> {
        let facts = self.client().await?.info().await.map_err(engine_error)?;
        let cpus = facts.ncpu.and_then(|cpus| u32::try_from(cpus).ok());
        let cpus = cpus.filter(|cpus| *cpus > 0);
        cpus.ok_or_else(|| RuntimeError::Engine("it does not say how many CPUs it has".to_owned()))
    }

    async fn create(&self, spec: &ContainerSpec) -> Result<ContainerId> {
        self.create_container(spec).await
    }

    async fn start(&self, id: &ContainerId) -> Result<()> {
        self.start_container(id).await
    }

    async fn stop(&self, id: &ContainerId, grace: Duration) -> Result<()> {
        self.stop_container(id, grace).await
    }

    async fn remove(&self, id: &ContainerId) -> Result<()> {
        self.remove_container(id).await
    }

    async fn rename(&self, id: &ContainerId, name: &ContainerName) -> Result<()> {
        self.rename_container(id, name).await
    }

    async fn set_restart_policy(&self, id: &ContainerId, policy: RestartPolicy) -> Result<()> {
        self.update_restart_policy(id, policy).await
    }

    async fn inspect(&self, id: &ContainerId) -> Result<ContainerInfo> {
        self.inspect_container(id.as_str()).await
    }

    async fn inspect_json(&self, id: &ContainerId) -> Result<String> {
        self.inspect_container_json(id.as_str()).await
    }

    async fn usage(&self, id: &ContainerId) -> Result<ContainerUsage> {
        self.container_usage(id).await
    }

    async fn find(&self, name: &ContainerName) -> Result<Option<ContainerInfo>> {
        self.find_container(name).await
    }

    async fn list(&self, labels: &[String]) -> Result<Vec<ContainerInfo>> {
        self.list_containers(labels).await
    }

    async fn ids(&self) -> Result<Vec<ContainerId>> {
        self.container_ids(&[]).await
    }

    async fn wait(&self, id: &ContainerId) -> Result<i64> {
        self.wait_container(id).await
    }

    async fn logs(&self, id: &ContainerId, options: LogOptions) -> Result<EngineStream<LogChunk>> {
        self.container_logs(id, options).await
    }

    async fn attach(&self, id: &ContainerId) -> Result<Attached> {
        self.attach_container(id).await
    }

    async fn resize(&self, id: &ContainerId, size: TtySize) -> Result<()> {
        self.resize_container(id, size).await
    }

    async fn exec(&self, id: &ContainerId, spec: &ExecSpec) -> Result<Exec> {
        self.exec_in(id, spec).await
    }

    async fn resize_exec(&self, exec: &ExecId, size: TtySize) -> Result<()> {
        streams::resize_exec(&self.client().await?, exec, size).await
    }

    async fn exec_exit_code(&self, exec: &ExecId) -> Result<i64> {
        self.exec_code(exec).await
    }

    async fn upload(&self, id: &ContainerId, path: &str, tar: EngineStream<Bytes>) -> Result<()> {
        self.unpack_into(id, path, tar).await
    }

    async fn download(&self, id: &ContainerId, path: &str) -> Result<EngineStream<Bytes>> {
        self.pack_from(id, path).await
    }

    async fn events(&self, since: Option<i64>) -> Result<EngineStream<ContainerEvent>> {
        self.event_stream(since).await
    }

    async fn build(
        &self,
        spec: &BuildSpec,
        context: EngineStream<Bytes>,
    ) -> Result<EngineStream<BuildItem>> {
        self.build_stream(spec, context).await
    }

    async fn commit(&self, id: &ContainerId, spec: &CommitSpec) -> Result<ImageRef> {
        self.commit_container(id, spec).await
    }

    async fn image(&self, image: &ImageRef) -> Result<ImageInfo> {
        self.inspect_image(image.as_str()).await
    }

    async fn pull(
        &self,
        image: &ImageRef,
        login: Option<&RegistryLogin>,
    ) -> Result<EngineStream<String>> {
        self.pull_stream(image, login).await
    }

    async fn push(
        &self,
        image: &ImageRef,
        login: Option<&RegistryLogin>,
    ) -> Result<EngineStream<String>> {
        self.push_stream(image, login).await
    }

    async fn check_login(&self, login: &RegistryLogin) -> Result<()> {
        hijack::post(&self.socket, "/auth", registry::body(login)).await
    }

    async fn load(&self, archive: EngineStream<Bytes>) -> Result<EngineStream<String>> {
        self.load_stream(archive).await
    }

    async fn tag(&self, image: &ImageRef, repository: &str, tag: &str) -> Result<()> {
        self.tag_image(image, repository, tag).await
    }

    async fn images(&self, labels: &[String]) -> Result<Vec<ImageInfo>> {
        self.list_images(labels).await
    }

    async fn remove_image(&self, image: &ImageRef) -> Result<()> {
        self.delete_image(image).await
    }

    async fn ensure_volume(&self, name: &str, labels: &[(String, String)]) -> Result<()> {
        self.create_volume(name, labels).await
    }

    async fn remove_volume(&self, name: &str) -> Result<()> {
        self.delete_volume(name).await
    }

    async fn ensure_network(&self, name: &str, labels: &[(String, String)]) -> Result<()> {
        self.create_network(name, labels).await
    }

    async fn networks(&self) -> Result<Vec<NetworkInfo>> {
        self.list_networks().await
    }

    async fn remove_network(&self, name: &str) -> Result<()> {
        self.delete_network(name).await
    }

    async fn connect_network(
        &self,
        id: &ContainerId,
        network: &str,
        aliases: &[String],
    ) -> Result<()> {
        self.join_network(id, network, aliases).await
    }
}

fn has_buildkit(api_version: &str) -> bool {
    let parse = |text: &str| -> Option<(u32, u32)> {
        let (major, minor) = text.split_once('.')?;
        Some((major.parse().ok()?, minor.parse().ok()?))
    };
    parse(api_version).is_some_and(|version| version >= BUILDKIT_API)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buildkit_came_with_an_api_version() {
        for (version, has) in [
            ("1.38", false),
            ("1.39", true),
            ("1.41", true),
            ("2.0", true),
        ] {
            assert_eq!(has_buildkit(version), has, "{version}");
        }
        assert!(!has_buildkit(""));
    }

    #[tokio::test]
    async fn an_engine_that_is_down_is_unreachable() {
        let runtime = DockerRuntime::connect(Path::new("/nonexistent/docker.sock")).unwrap();
        let error = runtime.info().await.unwrap_err();
        assert!(matches!(error, RuntimeError::Unreachable(_)), "{error:?}");
    }
}
