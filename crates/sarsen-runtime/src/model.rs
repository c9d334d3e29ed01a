//! What is said to and by a container engine.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use sarsen_domain::docker_flags::RestartFlag;
use sarsen_domain::{BuildFlags, ContainerId, ContainerName, ContainerSettings, ImageRef, Secret};
use tokio::io::{AsyncRead, AsyncWrite};

use crate::EngineStream;

/// The engine's own words about itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EngineInfo {
    /// `20.10.24`
    pub version: String,
    /// `1.41`
    pub api_version: String,
    /// Whether builds can use BuildKit.
    pub buildkit: bool,
}

/// A container to be made.
#[derive(Debug, Clone, Default)]
pub struct ContainerSpec {
    /// Its name; the engine chooses one when empty.
    pub name: Option<ContainerName>,
    /// The image, by name or id.
    pub image: String,
    /// Replaces the image's entry point when given (`[]` clears it).
    pub entrypoint: Option<Vec<String>>,
    /// Replaces the image's command when given.
    pub command: Option<Vec<String>>,
    /// `KEY=value`
    pub env: Vec<String>,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// Working folder, else the image's.
    pub workdir: Option<String>,
    /// `user[:group]`, else the image's.
    pub user: Option<String>,
    /// TCP ports to expose (not publish).
    pub expose: Vec<u16>,
    /// Whether standard input is open.
    pub stdin: bool,
    /// Whether it has a terminal.
    pub tty: bool,
    /// Runs the engine's init process as PID 1.
    pub init: bool,
    /// What the engine does when it exits.
    pub restart: RestartPolicy,
    /// Seconds between the stop signal and the kill.
    pub stop_timeout: Option<u32>,
    /// `volume-or-path:container-path[:options]`
    pub binds: Vec<String>,
    /// Bytes of memory, without swap.
    pub memory: Option<i64>,
    /// Billionths of a CPU.
    pub nano_cpus: Option<i64>,
    /// The number of processes it may have.
    pub pids_limit: Option<i64>,
    /// Drops every capability but those of Docker's default set an app can need; see the implementation.
    pub drop_capabilities: bool,
    /// Sets no-new-privileges.
    pub no_new_privileges: bool,
    /// The largest size of one log file, such as `10m`; unbounded when `None`.
    pub log_max_size: Option<String>,
    /// Removed by the engine when it ends.
    pub auto_remove: bool,
    /// The network it is on instead of the engine's default one.
    pub network: Option<NetworkPlace>,
    /// The name servers it asks, the first one first; empty means the host's.
    pub name_servers: Vec<IpAddr>,
    /// What docker's flags ask of it, laid over all the rest but our own labels.
    pub flags: ContainerSettings,
}

/// A network of the engine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NetworkInfo {
    pub id: String,
    pub name: String,
    pub driver: String,
    pub scope: String,
    pub internal: bool,
    pub ipv6: bool,
    /// The host's own address on it.
    pub gateway: Option<IpAddr>,
    pub labels: BTreeMap<String, String>,
    /// RFC 3339.
    pub created_at: String,
}

/// What a registry knows somebody by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegistryLogin {
    /// `host[:port]`; `docker.io` for Docker's own.
    pub server: String,
    pub username: String,
    pub password: Secret<String>,
}

/// A container's place on a network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NetworkPlace {
    pub network: String,
    /// Names that others on the network find it by, besides its own.
    pub aliases: Vec<String>,
}

impl From<RestartFlag> for RestartPolicy {
    fn from(flag: RestartFlag) -> Self {
        match flag {
            RestartFlag::No => Self::No,
            RestartFlag::OnFailure(most) => Self::OnFailure(most),
            RestartFlag::Always => Self::Always,
            RestartFlag::UnlessStopped => Self::UnlessStopped,
        }
    }
}

/// What the engine does when a container exits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum RestartPolicy {
    /// Nothing.
    #[default]
    No,
    /// Starts it again, with growing pauses, up to so many times (0: for ever), unless the exit code is 0.
    OnFailure(u32),
    /// Starts it again always.
    Always,
    /// Starts it again unless a person stopped it.
    UnlessStopped,
}

/// What a container is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ContainerStatus {
    Created,
    Running,
    Paused,
    Restarting,
    Removing,
    Exited,
    Dead,
}

impl ContainerStatus {
    /// Docker's word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Restarting => "restarting",
            Self::Removing => "removing",
            Self::Exited => "exited",
            Self::Dead => "dead",
        }
    }
}

/// A container's own HEALTHCHECK, as the engine sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ImageHealth {
    /// It has none.
    None,
    Starting,
    Healthy,
    Unhealthy,
}

/// A container that exists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContainerInfo {
    pub id: ContainerId,
    /// Without the leading slash.
    pub name: String,
    /// The reference it was made from.
    pub image: String,
    /// The image's id.
    pub image_id: String,
    /// The words it was started with: entry point and command.
    pub command: Vec<String>,
    pub status: ContainerStatus,
    pub health: ImageHealth,
    /// The last output of the HEALTHCHECK, for messages.
    pub health_output: Option<String>,
    /// PID of its first process on the host; 0 when it does not run.
    pub pid: u32,
    /// Of the last run, when it has ended.
    pub exit_code: Option<i64>,
    pub oom_killed: bool,
    /// The engine's reason when it could not start.
    pub error: Option<String>,
    pub restart_count: i64,
    pub env: Vec<String>,
    pub labels: BTreeMap<String, String>,
    /// Address on each network, by network name.
    pub addresses: BTreeMap<String, IpAddr>,
    /// Ports the container exposes.
    pub ports: Vec<ContainerPort>,
    /// Whether it shares the host's network.
    pub host_network: bool,
    /// The container whose network it shares, by id.
    pub network_of: Option<String>,
    pub tty: bool,
    /// RFC 3339.
    pub created_at: String,
    /// RFC 3339; `None` when it never ran.
    pub started_at: Option<String>,
}

impl ContainerInfo {
    /// Whether its processes run now.
    pub fn is_running(&self) -> bool {
        self.status == ContainerStatus::Running
    }

    /// The address that the router connects to: the default bridge's, else that of the first network by name.
    pub fn address(&self) -> Option<IpAddr> {
        self.addresses
            .get("bridge")
            .or_else(|| self.addresses.values().next())
            .copied()
    }
}

/// One exposed port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContainerPort {
    pub port: u16,
    pub udp: bool,
    /// Where it is published on the host.
    pub published: Option<(IpAddr, u16)>,
}

/// Which stream of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum StdStream {
    Stdout,
    Stderr,
}

/// A piece of a container's output; not cut at lines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogChunk {
    pub stream: StdStream,
    pub bytes: Bytes,
}

/// Which part of the output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LogOptions {
    /// Goes on until the container ends.
    pub follow: bool,
    /// Only so many last lines.
    pub tail: Option<u32>,
    /// Puts an RFC 3339 time before each line.
    pub timestamps: bool,
}

/// A terminal's size in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TtySize {
    pub columns: u16,
    pub rows: u16,
}

/// The standard streams of a container or a command. With a terminal, all output comes as stdout, raw.
pub struct Attached {
    /// Closing it (shutdown) ends the process's standard input.
    pub stdin: Pin<Box<dyn AsyncWrite + Send>>,
    pub output: EngineStream<LogChunk>,
}

/// A command to run in a container.
#[derive(Debug, Clone, Default)]
pub struct ExecSpec {
    pub command: Vec<String>,
    pub env: Vec<String>,
    pub user: Option<String>,
    pub workdir: Option<String>,
    pub stdin: bool,
    pub tty: bool,
    pub size: Option<TtySize>,
}

/// The engine's id of a running command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExecId(pub String);

/// A command that runs in a container.
pub struct Exec {
    pub id: ExecId,
    pub streams: Attached,
}

/// Anything that reads and writes, as one raw connection does.
pub trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Duplex for T {}

/// What happened to a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContainerEvent {
    pub id: ContainerId,
    pub kind: ContainerEventKind,
    /// Nanoseconds since 1970, by the engine's clock.
    pub at: i64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ContainerEventKind {
    Start,
    Die {
        exit_code: i64,
    },
    /// The stop signal was sent (`kill` event with the container's stop signal or SIGTERM/SIGKILL).
    Stopping,
    Pause,
    Unpause,
    Rename,
    /// It was put on a network or taken off one.
    Network,
    Health(ImageHealth),
    Destroy,
    Oom,
}

/// An image to be built from a context that holds a Dockerfile.
#[derive(Debug, Clone, Default)]
pub struct BuildSpec {
    /// Path of the Dockerfile in the context.
    pub dockerfile: String,
    /// Name `repository:tag` for the result.
    pub tag: String,
    pub build_args: BTreeMap<String, String>,
    pub labels: BTreeMap<String, String>,
    pub target: Option<String>,
    pub no_cache: bool,
    /// Pulls newer bases.
    pub pull: bool,
    /// What docker's flags ask for that is not said above.
    pub flags: BuildFlags,
    /// For bases of registries that want to know who asks.
    pub logins: Vec<RegistryLogin>,
}

/// What a build says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BuildItem {
    /// Output; bytes as they come, lines ended with `\n`.
    Output(Bytes),
    /// The image is there. Always last.
    Done(ImageRef),
}

/// How a container becomes an image.
#[derive(Debug, Clone, Default)]
pub struct CommitSpec {
    pub repository: String,
    pub tag: String,
    /// Dockerfile instructions: `CMD ["/start", "web"]`, `USER x`, `LABEL a=b`.
    pub changes: Vec<String>,
}

/// An image that exists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageInfo {
    /// `sha256:…`
    pub id: ImageRef,
    pub tags: Vec<String>,
    pub labels: BTreeMap<String, String>,
    pub exposed: Vec<(u16, bool)>,
    pub env: Vec<String>,
    pub entrypoint: Vec<String>,
    pub command: Vec<String>,
    pub workdir: String,
    pub user: String,
    pub has_healthcheck: bool,
    pub size: i64,
    pub created_at: String,
}

/// What a container uses.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ContainerUsage {
    /// Since it was started, of all cores together.
    pub cpu: Duration,
    /// In bytes, without what the kernel keeps of files.
    pub memory: u64,
    /// The most that it may have; the host's when nobody set one.
    pub memory_limit: Option<u64>,
}
