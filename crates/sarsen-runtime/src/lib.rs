//! The container engine: one trait, its Docker implementation, and an in-memory fake for tests.
//!
//! No type of the engine's client library leaves this crate.

mod docker;
#[cfg(any(test, feature = "fake"))]
pub mod fake;
mod model;

pub use docker::{BuildEngine, DockerRuntime};
pub use model::*;

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::Stream;
use sarsen_domain::{ContainerId, ContainerName, ImageRef};

/// A stream of what the engine says, which ends with the engine's error if there is one.
pub type EngineStream<T> = Pin<Box<dyn Stream<Item = Result<T>> + Send>>;

/// The outcome of asking the engine.
pub type Result<T> = std::result::Result<T, RuntimeError>;

/// A handle on the engine, made once and cloned.
pub type Runtime = Arc<dyn ContainerRuntime>;

/// Why the engine did not do as asked.
#[derive(Debug, Clone, thiserror::Error)]
pub enum RuntimeError {
    /// No such container, image, volume or exec.
    #[error("{0}")]
    NotFound(String),
    /// The name is taken, or the object is in use.
    #[error("{0}")]
    Conflict(String),
    /// The engine does not answer at all.
    #[error("the container engine does not answer: {0}")]
    Unreachable(String),
    /// A step of an image build failed; the text is the engine's.
    #[error("{0}")]
    BuildFailed(String),
    /// Anything else, in the engine's words.
    #[error("{0}")]
    Engine(String),
}

/// A container engine.
///
/// Every operation is safe to repeat: starting what runs and stopping or removing what is gone are not errors.
#[async_trait]
pub trait ContainerRuntime: Send + Sync + 'static {
    /// What engine this is; fails when it does not answer.
    async fn info(&self) -> Result<EngineInfo>;

    /// Fails when the engine does not answer. Cheaper than [`Self::info`], for which an engine starts programs.
    async fn ping(&self) -> Result<()>;

    /// How many CPUs containers can have at the most.
    async fn cpus(&self) -> Result<u32>;

    /// Makes a container without starting it.
    async fn create(&self, spec: &ContainerSpec) -> Result<ContainerId>;
    /// Starts it; already running is fine.
    async fn start(&self, id: &ContainerId) -> Result<()>;
    /// Sends the stop signal (the container's own, SIGTERM by default), and SIGKILL after the grace period.
    async fn stop(&self, id: &ContainerId, grace: Duration) -> Result<()>;
    /// Removes it with its anonymous volumes, running or not.
    async fn remove(&self, id: &ContainerId) -> Result<()>;
    /// Gives it another name.
    async fn rename(&self, id: &ContainerId, name: &ContainerName) -> Result<()>;
    /// Replaces the restart policy of a container that exists.
    async fn set_restart_policy(&self, id: &ContainerId, policy: RestartPolicy) -> Result<()>;
    /// Everything we need to know of one container.
    async fn inspect(&self, id: &ContainerId) -> Result<ContainerInfo>;
    /// Everything that the engine knows of one container, as the engine's own JSON, for people.
    async fn inspect_json(&self, id: &ContainerId) -> Result<String>;
    /// What a container uses at this moment.
    async fn usage(&self, id: &ContainerId) -> Result<ContainerUsage>;
    /// One container by its name, when it is there.
    async fn find(&self, name: &ContainerName) -> Result<Option<ContainerInfo>>;
    /// All containers, running or not, that carry every one of these labels (`key` or `key=value`), inspected.
    async fn list(&self, labels: &[String]) -> Result<Vec<ContainerInfo>>;
    /// Every container, running or not, by id alone. The engine answers this even while it is stuck with one of them.
    async fn ids(&self) -> Result<Vec<ContainerId>>;
    /// Waits for its end and gives the exit code: of its last run when that is over, else of the one that is under
    /// way or, when it was never started, still to come (so it may be called before `start`).
    async fn wait(&self, id: &ContainerId) -> Result<i64>;
    /// Its output, for containers without a terminal. With `follow` the stream ends when the container does.
    async fn logs(&self, id: &ContainerId, options: LogOptions) -> Result<EngineStream<LogChunk>>;
    /// Connects to the standard streams of a container made with `stdin: true`; call before `start`.
    async fn attach(&self, id: &ContainerId) -> Result<Attached>;
    /// Tells the container's terminal its size.
    async fn resize(&self, id: &ContainerId, size: TtySize) -> Result<()>;
    /// Runs a command in a running container; one that is not running is `Conflict`. A command that is not there is
    /// no error: its output says so, and its exit code is 126 or 127.
    async fn exec(&self, id: &ContainerId, spec: &ExecSpec) -> Result<Exec>;
    /// Tells a command's terminal its size.
    async fn resize_exec(&self, exec: &ExecId, size: TtySize) -> Result<()>;
    /// The exit code of a command whose output has ended.
    async fn exec_exit_code(&self, exec: &ExecId) -> Result<i64>;
    /// Unpacks a tar stream into a folder of a container, owners as in the tar.
    async fn upload(&self, id: &ContainerId, path: &str, tar: EngineStream<Bytes>) -> Result<()>;
    /// A path of a container as a tar stream, in the engine's form (`docker cp CONTAINER:PATH -`).
    async fn download(&self, id: &ContainerId, path: &str) -> Result<EngineStream<Bytes>>;

    /// Starts, deaths, renames, health changes of every container, ours or not. After `since` (a value of
    /// [`ContainerEvent::at`]) when given, as far as the engine remembers: some hundred events, none from before
    /// its own start. Ends with an error when the engine goes away.
    async fn events(&self, since: Option<i64>) -> Result<EngineStream<ContainerEvent>>;

    /// Builds an image from a tar stream that holds a Dockerfile. The last item is the image's id; a failing step
    /// is `Err(BuildFailed)`. Dropping the stream cancels the build.
    async fn build(
        &self,
        spec: &BuildSpec,
        context: EngineStream<Bytes>,
    ) -> Result<EngineStream<BuildItem>>;
    /// Makes an image of a container's file system.
    async fn commit(&self, id: &ContainerId, spec: &CommitSpec) -> Result<ImageRef>;
    /// What we need to know of an image; the id it has now.
    async fn image(&self, image: &ImageRef) -> Result<ImageInfo>;
    /// Fetches an image from its registry; items are progress lines.
    async fn pull(
        &self,
        image: &ImageRef,
        login: Option<&RegistryLogin>,
    ) -> Result<EngineStream<String>>;
    /// Sends an image to the registry that its name says; items are progress lines.
    async fn push(
        &self,
        image: &ImageRef,
        login: Option<&RegistryLogin>,
    ) -> Result<EngineStream<String>>;
    /// Asks a registry whether it takes a login.
    async fn check_login(&self, login: &RegistryLogin) -> Result<()>;
    /// Takes images out of an archive that `docker save` made; items are progress lines.
    async fn load(&self, archive: EngineStream<Bytes>) -> Result<EngineStream<String>>;
    /// Adds a name `repository:tag` to an image.
    async fn tag(&self, image: &ImageRef, repository: &str, tag: &str) -> Result<()>;
    /// Images that carry every one of these labels.
    async fn images(&self, labels: &[String]) -> Result<Vec<ImageInfo>>;
    /// Removes an image (or just the name, when it has others). In use is `Conflict`.
    async fn remove_image(&self, image: &ImageRef) -> Result<()>;

    /// Makes a named volume if it is not there.
    async fn ensure_volume(&self, name: &str, labels: &[(String, String)]) -> Result<()>;
    /// Removes a named volume; gone is fine.
    async fn remove_volume(&self, name: &str) -> Result<()>;

    /// Makes a network for containers of this host if none of this name is there.
    async fn ensure_network(&self, name: &str, labels: &[(String, String)]) -> Result<()>;
    /// Every network, by name.
    async fn networks(&self) -> Result<Vec<NetworkInfo>>;
    /// Takes every container off a network and removes it; gone is fine.
    async fn remove_network(&self, name: &str) -> Result<()>;
    /// Puts a container, running or not, on one more network, where others find it under these names too. On it
    /// already is fine.
    async fn connect_network(
        &self,
        id: &ContainerId,
        network: &str,
        aliases: &[String],
    ) -> Result<()>;
}
