//! What docker's flags ask of a container.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::{Mount, MountSource};

/// The engine's, which every container is on that was not given another one.
const DEFAULT_NETWORK: &str = "bridge";

/// Capabilities that an image may be given by whoever deploys: Docker's default set, and pinning memory.
const ORDINARY_CAPABILITIES: [&str; 15] = [
    "AUDIT_WRITE",
    "CHOWN",
    "DAC_OVERRIDE",
    "FOWNER",
    "FSETID",
    "IPC_LOCK",
    "KILL",
    "MKNOD",
    "NET_BIND_SERVICE",
    "NET_RAW",
    "SETFCAP",
    "SETGID",
    "SETPCAP",
    "SETUID",
    "SYS_CHROOT",
];

/// Security options that loosen nothing.
const TIGHTENING: [&str; 3] = [
    "no-new-privileges",
    "no-new-privileges:true",
    "no-new-privileges=true",
];

/// Settings of one container. What is `None` or empty was not asked for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ContainerSettings {
    /// `--volume`, `--mount`, `--tmpfs`
    pub mounts: Vec<Mount>,
    /// `--publish`
    pub publish: Vec<PublishedPort>,
    /// `--expose`
    pub expose: Vec<u16>,
    /// `--env`; later ones win.
    pub env: Vec<(String, String)>,
    /// `--label`
    pub labels: BTreeMap<String, String>,
    /// `--annotation`
    pub annotations: BTreeMap<String, String>,
    /// `--link`
    pub links: Vec<Link>,
    /// `--network`: in the first place of the engine's default network, then besides it.
    pub networks: Vec<NetworkMode>,
    /// `--network-alias`
    pub network_aliases: Vec<String>,
    /// `--add-host`, as `name:address`.
    pub add_hosts: Vec<String>,
    /// `--dns`
    pub dns: Vec<IpAddr>,
    /// `--dns-search`
    pub dns_search: Vec<String>,
    /// `--dns-option`
    pub dns_options: Vec<String>,
    /// `--cap-add`, without `CAP_`.
    pub cap_add: Vec<String>,
    /// `--cap-drop`
    pub cap_drop: Vec<String>,
    /// `--device`
    pub devices: Vec<Device>,
    /// `--gpus`
    pub gpus: Option<Gpus>,
    /// `--privileged`
    pub privileged: Option<bool>,
    /// `--security-opt`
    pub security_opts: Vec<String>,
    /// `--sysctl`
    pub sysctls: BTreeMap<String, String>,
    /// `--ulimit`
    pub ulimits: Vec<Ulimit>,
    /// `--memory`, bytes.
    pub memory: Option<i64>,
    /// `--memory-swap`: memory and swap together; -1 for no limit.
    pub memory_swap: Option<i64>,
    /// `--memory-reservation`
    pub memory_reservation: Option<i64>,
    /// `--memory-swappiness`, 0 to 100.
    pub memory_swappiness: Option<i64>,
    /// `--oom-kill-disable`
    pub oom_kill_disable: Option<bool>,
    /// `--oom-score-adj`
    pub oom_score_adj: Option<i64>,
    /// `--cpus`, billionths.
    pub nano_cpus: Option<i64>,
    /// `--cpu-shares`
    pub cpu_shares: Option<i64>,
    /// `--cpu-period`, microseconds.
    pub cpu_period: Option<i64>,
    /// `--cpu-quota`, microseconds.
    pub cpu_quota: Option<i64>,
    /// `--cpuset-cpus`
    pub cpuset_cpus: Option<String>,
    /// `--cpuset-mems`
    pub cpuset_mems: Option<String>,
    /// `--pids-limit`
    pub pids_limit: Option<i64>,
    /// `--shm-size`, bytes.
    pub shm_size: Option<i64>,
    /// `--user`
    pub user: Option<String>,
    /// `--group-add`
    pub groups: Vec<String>,
    /// `--workdir`
    pub workdir: Option<String>,
    /// `--hostname`
    pub hostname: Option<String>,
    /// `--domainname`
    pub domainname: Option<String>,
    /// `--restart`
    pub restart: Option<RestartFlag>,
    /// `--stop-timeout`, seconds.
    pub stop_timeout: Option<u32>,
    /// `--stop-signal`
    pub stop_signal: Option<String>,
    /// `--init`
    pub init: Option<bool>,
    /// `--read-only`
    pub read_only: Option<bool>,
    /// `--ipc`
    pub ipc: Option<String>,
    /// `--pid`
    pub pid: Option<String>,
    /// `--uts`
    pub uts: Option<String>,
    /// `--health-*`, `--no-healthcheck`
    pub health: HealthFlags,
    /// `--log-driver`
    pub log_driver: Option<String>,
    /// `--log-opt`
    pub log_opts: BTreeMap<String, String>,
}

/// A port of a container that the engine opens on the host, past the router.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublishedPort {
    /// The host's address; all of them when `None`.
    pub address: Option<IpAddr>,
    /// The host's port; a free one when `None`.
    pub host: Option<u16>,
    /// The container's.
    pub container: u16,
    /// Whether it is UDP rather than TCP.
    pub udp: bool,
}

/// Another container of the default network, and what it is called inside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// The other container's name.
    pub container: String,
    /// Its name inside.
    pub alias: String,
}

/// `--network`
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NetworkMode {
    /// A network by name.
    Named(String),
    /// The host's own.
    Host,
    /// None at all.
    None,
    /// That of another container.
    Container(String),
}

/// A device of the host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Device {
    /// Its path on the host.
    pub host: String,
    /// Its path inside.
    pub container: String,
    /// `r`, `w`, `m`.
    pub permissions: String,
}

/// `--gpus`
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Gpus {
    /// Every one.
    All,
    /// So many.
    Count(i64),
    /// These.
    Devices(Vec<String>),
}

/// `--ulimit`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ulimit {
    /// `nofile`
    pub name: String,
    /// The limit that counts.
    pub soft: i64,
    /// How far a process may raise it.
    pub hard: i64,
}

/// `--restart`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RestartFlag {
    /// `no`
    No,
    /// `on-failure[:N]`, 0 for no end.
    OnFailure(u32),
    /// `always`
    Always,
    /// `unless-stopped`
    UnlessStopped,
}

/// The engine's own check of a container.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct HealthFlags {
    /// What is run.
    pub command: Option<HealthCommand>,
    /// Nanoseconds between checks.
    pub interval: Option<i64>,
    /// Nanoseconds that one may take.
    pub timeout: Option<i64>,
    /// Nanoseconds in which failures do not count.
    pub start_period: Option<i64>,
    /// How many failures make it unhealthy.
    pub retries: Option<i64>,
}

/// `--health-cmd` or `--no-healthcheck`
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HealthCommand {
    /// A command line for the container's own shell.
    Shell(String),
    /// None, whatever the image says.
    Off,
}

impl ContainerSettings {
    /// These settings with others laid over them: single values are replaced, lists grow.
    #[must_use]
    pub fn overlaid(mut self, over: Self) -> Self {
        self.add_lists(&over);
        macro_rules! replace {
            ($($field:ident)*) => { $( self.$field = over.$field.or(self.$field); )* };
        }
        replace!(gpus privileged memory memory_swap memory_reservation memory_swappiness);
        replace!(oom_kill_disable oom_score_adj nano_cpus cpu_shares cpu_period cpu_quota);
        replace!(cpuset_cpus cpuset_mems pids_limit shm_size user workdir hostname domainname);
        replace!(restart stop_timeout stop_signal init read_only ipc pid uts log_driver);
        let (health, own) = (over.health, self.health);
        self.health = HealthFlags {
            command: health.command.or(own.command),
            interval: health.interval.or(own.interval),
            timeout: health.timeout.or(own.timeout),
            start_period: health.start_period.or(own.start_period),
            retries: health.retries.or(own.retries),
        };
        self
    }

    fn add_lists(&mut self, over: &Self) {
        macro_rules! extend {
            ($($field:ident)*) => { $( self.$field.extend(over.$field.iter().cloned()); )* };
        }
        extend!(mounts publish env links networks network_aliases add_hosts dns_search dns_options);
        extend!(cap_add cap_drop devices security_opts ulimits groups dns expose);
        self.labels.extend(over.labels.clone());
        self.annotations.extend(over.annotations.clone());
        self.sysctls.extend(over.sysctls.clone());
        self.log_opts.extend(over.log_opts.clone());
    }

    /// What these settings reach on the host itself, as flags: only those who administer the host may ask for it.
    /// Folders below `open` (absolute, no slash at its end) are everybody's to mount.
    pub fn host_powers(&self, open: &str) -> Vec<String> {
        let mut powers = self.shared_namespaces();
        if self.privileged == Some(true) {
            powers.push("--privileged".to_owned());
        }
        for mount in &self.mounts {
            if let MountSource::Host(path) = &mount.source
                && !is_below(path, open)
            {
                powers.push(format!("a mount of {path}"));
            }
        }
        let devices = self.devices.iter();
        powers.extend(devices.map(|device| format!("--device={}", device.host)));
        let beyond = |name: &&String| !ORDINARY_CAPABILITIES.contains(&name.as_str());
        let capabilities = self.cap_add.iter().filter(beyond);
        powers.extend(capabilities.map(|name| format!("--cap-add={name}")));
        let loosens = |option: &&String| !TIGHTENING.contains(&option.as_str());
        let options = self.security_opts.iter().filter(loosens);
        powers.extend(options.map(|option| format!("--security-opt={option}")));
        if self.oom_kill_disable == Some(true) {
            powers.push("--oom-kill-disable".to_owned());
        }
        let spared = self.oom_score_adj.filter(|adjusted| *adjusted < 0);
        powers.extend(spared.map(|adjusted| format!("--oom-score-adj={adjusted}")));
        powers
    }

    /// What these settings reach beyond the app, on the host's inside: other containers, volumes and networks, which belong to
    /// nobody in particular, and folders of others. Folders at and below `own` are the app's.
    pub fn ties(&self, own: &str) -> Vec<String> {
        let links = self.links.iter();
        let mut ties: Vec<_> = links
            .map(|link| format!("--link={}", link.container))
            .collect();
        ties.extend(self.networks.iter().filter_map(NetworkMode::tie));
        ties.extend(self.mounts.iter().filter_map(|mount| mount.tie(own)));
        ties
    }

    fn shared_namespaces(&self) -> Vec<String> {
        let shares = |mode: &&String| *mode == "host" || mode.starts_with("container:");
        let mut powers = Vec::new();
        for (flag, mode) in [("ipc", &self.ipc), ("pid", &self.pid), ("uts", &self.uts)] {
            let shared = mode.as_ref().filter(shares);
            powers.extend(shared.map(|mode| format!("--{flag}={mode}")));
        }
        powers.extend(self.networks.iter().filter_map(NetworkMode::host_power));
        powers
    }
}

impl NetworkMode {
    /// The flag, when it takes a container out of its own network.
    pub(super) fn host_power(&self) -> Option<String> {
        match self {
            Self::Host => Some("--network=host".to_owned()),
            Self::Container(name) => Some(format!("--network=container:{name}")),
            Self::Named(_) | Self::None => None,
        }
    }

    /// The flag, when it puts a container on a network that is not every app's.
    pub fn tie(&self) -> Option<String> {
        match self {
            Self::Named(name) if name != DEFAULT_NETWORK => Some(format!("--network={name}")),
            Self::Named(_) | Self::Host | Self::None | Self::Container(_) => None,
        }
    }
}

impl Mount {
    /// The source, when it is not the app's: volumes are nobody's in particular. Folders at and below `own` are the app's.
    pub fn tie(&self, own: &str) -> Option<String> {
        match &self.source {
            MountSource::Volume(name) => Some(format!("a mount of the volume {name}")),
            MountSource::Host(path) if path != own && !is_below(path, own) => {
                Some(format!("a mount of {path}"))
            }
            MountSource::Host(_) | MountSource::Anonymous | MountSource::Tmpfs { .. } => None,
        }
    }
}

/// The parser lets no `..` through.
fn is_below(path: &str, root: &str) -> bool {
    path.strip_prefix(root)
        .and_then(|rest| rest.strip_prefix('/'))
        .is_some_and(|rest| !rest.is_empty())
}
