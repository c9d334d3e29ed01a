//! The configuration: defaults, then one file, then the environment, then flags. Everything is checked before anything is
//! done, and every complaint names the setting, where it was made and what would be right.

mod keys;
mod layers;
#[cfg(test)]
mod tests;
mod values;

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use sarsen_domain::Domain;
use sarsen_registry::{Deregister, ExtraTags};
use sarsen_router::UnknownName;
use sarsen_runtime::BuildEngine;

pub use layers::{Origin, Sources};
pub use values::{
    Backends, Bytes, Cpus, DnsPlace, LogFile, LogFormat, LogLevel, Mode, NodeId, NodeMeta, Proxies,
};

/// Where the file is looked for when nobody says otherwise.
pub const DEFAULT_FILE: &str = "/etc/sarsen/sarsen.toml";
/// The control socket when nobody says otherwise; the client knows no other default.
pub const DEFAULT_SOCKET: &str = "/run/sarsen/control.sock";
/// The file that explains every setting; `sarsen setup` installs it.
pub const TEMPLATE: &str = include_str!("../../../deploy/sarsen.toml");

/// Every setting.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    pub data_dir: PathBuf,
    pub domain: Domain,
    pub dokku: DokkuConfig,
    pub control: ControlConfig,
    pub ssh: SshConfig,
    pub http: HttpConfig,
    pub https: HttpsConfig,
    pub acme: AcmeConfig,
    pub web: WebConfig,
    pub consul: ConsulConfig,
    pub docker: DockerConfig,
    pub registry: RegistryConfig,
    pub dns: DnsConfig,
    pub build: BuildConfig,
    pub deploy: DeployConfig,
    pub log: LogConfig,
    pub shutdown: ShutdownConfig,
}

/// Where programs that are written for Dokku find files.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct DokkuConfig {
    /// `/` on a host that is set up like Dokku's; none inside the data folder.
    pub prefix: Option<PathBuf>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct ControlConfig {
    pub socket: PathBuf,
    pub mode: Mode,
    pub group: Option<String>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct SshConfig {
    pub listen: Vec<SocketAddr>,
    pub users: Vec<String>,
    pub public_host: Option<String>,
    pub public_port: Option<u16>,
    pub max_connections: usize,
    pub max_connections_per_ip: usize,
    pub max_channels: usize,
    pub auth_timeout: Duration,
    pub max_push: Bytes,
}

#[derive(Debug, Clone, PartialEq)]
pub struct HttpConfig {
    pub listen: Vec<SocketAddr>,
    pub public_port: Option<u16>,
    pub head_timeout: Duration,
    pub keep_alive_timeout: Duration,
    pub connect_timeout: Duration,
    pub first_byte_timeout: Duration,
    pub idle_timeout: Duration,
    pub tunnel_idle_timeout: Duration,
    pub max_head: Bytes,
    pub max_connections: usize,
    pub max_connections_per_ip: usize,
    pub trusted_proxies: Proxies,
    pub proxy_protocol: Proxies,
    pub tcp_idle_timeout: Duration,
    pub udp_idle_timeout: Duration,
    pub access_log: Option<LogFile>,
    pub access_log_max: Bytes,
}

#[derive(Debug, Clone, PartialEq)]
pub struct HttpsConfig {
    pub listen: Vec<SocketAddr>,
    pub public_port: Option<u16>,
    pub handshake_timeout: Duration,
    pub unknown_host: UnknownName,
}

#[derive(Debug, Clone, Default, PartialEq)]
pub struct AcmeConfig {
    pub directory: Option<String>,
    pub email: Option<String>,
    pub ca_root: Option<PathBuf>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct WebConfig {
    pub listen: Option<SocketAddr>,
    pub host: Option<Domain>,
    pub certificate: Option<PathBuf>,
    pub certificate_key: Option<PathBuf>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct ConsulConfig {
    pub listen: Option<SocketAddr>,
    /// A file that holds the token which every caller must show.
    pub token_file: Option<PathBuf>,
    /// The id of this host's node; none: made of the host's name.
    pub node_id: Option<NodeId>,
    pub node_meta: NodeMeta,
}

impl ConsulConfig {
    /// Where Consul's clients look.
    pub const USUAL: SocketAddr =
        SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 8500);
}

#[derive(Debug, Clone, PartialEq)]
pub struct DockerConfig {
    pub socket: PathBuf,
    pub build_engine: BuildEngine,
}

#[derive(Debug, Clone, Default, PartialEq)]
pub struct RegistryConfig {
    pub backends: Backends,
    pub ip: Option<IpAddr>,
    pub internal: bool,
    pub explicit: bool,
    pub use_ip_from_label: Option<String>,
    pub tags: ExtraTags,
    pub deregister: Deregister,
    pub cleanup: bool,
    pub resync: Option<Duration>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct DnsConfig {
    pub listen: Vec<DnsPlace>,
    pub domain: String,
    pub ttl: Duration,
    pub forward: bool,
    pub upstream: Vec<SocketAddr>,
    pub apps: bool,
}

#[derive(Debug, Clone, PartialEq)]
pub struct BuildConfig {
    pub stack_image: String,
    pub memory: Option<Bytes>,
    pub cpus: Option<Cpus>,
    pub time_limit: Duration,
    pub silence_limit: Duration,
    pub allow_private_hosts: bool,
}

#[derive(Debug, Clone, PartialEq)]
pub struct DeployConfig {
    pub keep_releases: usize,
}

#[derive(Debug, Clone, PartialEq)]
pub struct LogConfig {
    pub format: LogFormat,
    pub level: LogLevel,
}

#[derive(Debug, Clone, PartialEq)]
pub struct ShutdownConfig {
    pub deadline: Duration,
}

/// A configuration, and where each part of it comes from.
#[derive(Debug, Clone)]
pub struct Loaded {
    pub config: Config,
    /// The file that was read, if there is one.
    pub file: Option<PathBuf>,
    /// In the order of the key table.
    origins: Vec<Origin>,
}

/// Everything that is wrong with a configuration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct ConfigError(pub Vec<String>);

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("\n"))
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            data_dir: "/var/lib/sarsen".into(),
            domain: values::known_domain(),
            dokku: DokkuConfig::default(),
            control: ControlConfig {
                socket: DEFAULT_SOCKET.into(),
                mode: Mode(0o660),
                group: None,
            },
            ssh: SshConfig::default(),
            http: HttpConfig::default(),
            https: HttpsConfig {
                listen: Vec::new(),
                public_port: None,
                handshake_timeout: sarsen_router::RouterSettings::default().handshake_timeout,
                unknown_host: UnknownName::default(),
            },
            acme: AcmeConfig::default(),
            web: WebConfig {
                listen: Some(([127, 0, 0, 1], 8180).into()),
                host: None,
                certificate: None,
                certificate_key: None,
            },
            consul: ConsulConfig {
                listen: Some(ConsulConfig::USUAL),
                token_file: None,
                node_id: None,
                node_meta: NodeMeta::default(),
            },
            docker: DockerConfig {
                socket: "/var/run/docker.sock".into(),
                build_engine: BuildEngine::Auto,
            },
            registry: RegistryConfig::default(),
            dns: DnsConfig::default(),
            build: BuildConfig::default(),
            deploy: DeployConfig { keep_releases: 10 },
            log: LogConfig {
                format: LogFormat::Human,
                level: LogLevel::default(),
            },
            shutdown: ShutdownConfig {
                deadline: Duration::from_secs(30),
            },
        }
    }
}

impl Default for SshConfig {
    fn default() -> Self {
        let usual = sarsen_ssh::SshSettings::new(PathBuf::new());
        Self {
            listen: vec![([0, 0, 0, 0], 2222).into()],
            users: usual.users,
            public_host: None,
            public_port: None,
            max_connections: usual.max_connections,
            max_connections_per_ip: usual.max_connections_per_ip,
            max_channels: usual.max_channels,
            auth_timeout: usual.auth_timeout,
            max_push: Bytes(2 << 30),
        }
    }
}

impl Default for HttpConfig {
    fn default() -> Self {
        let usual = sarsen_router::RouterSettings::default();
        Self {
            listen: vec![([0, 0, 0, 0], 80).into()],
            public_port: None,
            head_timeout: usual.head_timeout,
            keep_alive_timeout: usual.keep_alive_timeout,
            connect_timeout: usual.connect_timeout,
            first_byte_timeout: usual.first_byte_timeout,
            idle_timeout: usual.idle_timeout,
            tunnel_idle_timeout: usual.tunnel_idle_timeout,
            max_head: Bytes(usual.max_head_bytes as u64),
            max_connections: usual.max_connections,
            max_connections_per_ip: usual.max_connections_per_ip,
            trusted_proxies: Proxies::default(),
            proxy_protocol: Proxies::default(),
            tcp_idle_timeout: usual.tcp_idle_timeout,
            udp_idle_timeout: usual.udp_idle_timeout,
            access_log: Some(LogFile(PathBuf::from("logs/access.log"))),
            access_log_max: Bytes(100 << 20),
        }
    }
}

impl Default for DnsConfig {
    fn default() -> Self {
        Self {
            listen: vec![DnsPlace::Bridge(53)],
            domain: "sarsen".to_owned(),
            ttl: Duration::from_secs(1),
            forward: true,
            upstream: Vec::new(),
            apps: true,
        }
    }
}

impl Default for BuildConfig {
    fn default() -> Self {
        let usual = sarsen_build::BuildSettings::default();
        Self {
            stack_image: usual.stack_image,
            memory: None,
            cpus: None,
            time_limit: usual.time_limit,
            silence_limit: usual.silence_limit,
            allow_private_hosts: usual.allow_private_hosts,
        }
    }
}

impl Config {
    /// A place in the folder of all state.
    pub fn state(&self, path: &str) -> PathBuf {
        self.data_dir.join(path)
    }

    /// Dokku's `DOKKU_ROOT`: the apps' repositories, and what else it keeps in its home.
    pub fn dokku_root(&self) -> PathBuf {
        match &self.dokku.prefix {
            Some(prefix) => prefix.join("home/dokku"),
            None => self.state("git"),
        }
    }

    /// Dokku's `DOKKU_LIB_ROOT`: plugins, properties, persistent storage.
    pub fn dokku_lib_root(&self) -> PathBuf {
        match &self.dokku.prefix {
            Some(prefix) => prefix.join("var/lib/dokku"),
            None => self.data_dir.clone(),
        }
    }

    /// What no single setting can get wrong alone.
    fn contradictions(&self) -> Vec<String> {
        let mut found = Vec::new();
        for (key, list) in [
            ("ssh.listen", &self.ssh.listen),
            ("http.listen", &self.http.listen),
        ] {
            if list.is_empty() {
                found.push(format!("{key} is empty: name at least one address"));
            }
        }
        for (key, list) in [
            ("http.listen", &self.http.listen),
            ("https.listen", &self.https.listen),
        ] {
            let mut ports = list.iter().map(SocketAddr::port);
            let first = ports.next();
            if ports.any(|port| Some(port) != first) {
                found.push(format!(
                    "{key} names different ports: apps are reached on one port, on any number of addresses"
                ));
            }
        }
        found.extend(self.web.contradictions(&self.https));
        found.extend(self.registry.contradictions());
        if !self.dns.forward && !self.dns.upstream.is_empty() {
            found.push("dns.upstream names servers that dns.forward = false never asks".to_owned());
        }
        if self.build.silence_limit > self.build.time_limit {
            found.push(
                "build.silence_limit is longer than build.time_limit, so it would never count"
                    .to_owned(),
            );
        }
        found
    }
}

impl RegistryConfig {
    fn contradictions(&self) -> Vec<String> {
        let mut found = Vec::new();
        if self.internal && self.ip.is_some() {
            found.push(
                "registry.ip is the address of published ports, and registry.internal = true goes without them: choose one"
                    .to_owned(),
            );
        }
        if self.cleanup && self.backends.0.is_empty() {
            found.push(
                "registry.cleanup removes what others left in registry.backends, and there are none"
                    .to_owned(),
            );
        }
        found
    }
}

impl WebConfig {
    fn contradictions(&self, https: &HttpsConfig) -> Vec<String> {
        let mut found = Vec::new();
        if self.host.is_some() && https.listen.is_empty() {
            found.push(
                "web.host needs https.listen: the dashboard is never served to others in the clear"
                    .to_owned(),
            );
        }
        if self.host.is_some() && self.listen.is_none() {
            found
                .push("web.host needs web.listen, where the router finds the dashboard".to_owned());
        }
        if self.certificate.is_some() != self.certificate_key.is_some() {
            found.push("web.certificate and web.certificate_key go together".to_owned());
        }
        found
    }
}

impl Loaded {
    /// Reads all layers.
    pub fn read(sources: &Sources<'_>) -> Result<Self, ConfigError> {
        let mut config = Config::default();
        let mut origins = vec![Origin::Default; keys::KEYS.len()];
        let (file, given, mut problems) = layers::gather(sources);
        for given in given {
            match keys::find(&given.key) {
                None => problems.push(unknown(&given)),
                Some((place, key)) => match (key.set)(&mut config, &given.value) {
                    Ok(()) => {
                        if let Some(origin) = origins.get_mut(place) {
                            *origin = given.origin;
                        }
                    }
                    Err(allowed) => problems.push(format!(
                        "{} cannot be {} ({}): {allowed}",
                        given.key, given.value, given.origin
                    )),
                },
            }
        }
        if problems.is_empty() {
            problems = config.contradictions();
        }
        if problems.is_empty() {
            Ok(Self {
                config,
                file,
                origins,
            })
        } else {
            Err(ConfigError(problems))
        }
    }

    /// The whole configuration as a file would say it, with the origin of what is not the default.
    pub fn show(&self) -> String {
        let mut text = String::new();
        let mut section = "";
        for (key, origin) in keys::KEYS.iter().zip(&self.origins) {
            let (folder, name) = key.name.rsplit_once('.').unwrap_or(("", key.name));
            if folder != section {
                text.push_str(&format!("\n[{folder}]\n"));
                section = folder;
            }
            text.push_str(&format!("{name} = {}", (key.show)(&self.config)));
            if *origin != Origin::Default {
                text.push_str(&format!("  # {origin}"));
            }
            text.push('\n');
        }
        text
    }
}

impl Loaded {
    /// The documented file, with the settings that flags have made.
    pub fn config_text(&self) -> String {
        let mut section = "";
        let mut text = String::new();
        for line in TEMPLATE.lines() {
            if let Some(name) = line
                .strip_prefix('[')
                .and_then(|rest| rest.strip_suffix(']'))
            {
                section = name;
            }
            let setting = line
                .strip_prefix('#')
                .and_then(|rest| rest.split_once(" = "));
            let made = setting.and_then(|(name, _)| self.made_by_flag(section, name));
            text.push_str(made.as_deref().unwrap_or(line));
            text.push('\n');
        }
        text
    }

    fn made_by_flag(&self, section: &str, name: &str) -> Option<String> {
        let full = match section {
            "" => name.to_owned(),
            section => format!("{section}.{name}"),
        };
        let (place, key) = keys::find(&full)?;
        let by_flag = matches!(self.origins.get(place), Some(Origin::Flag));
        by_flag.then(|| format!("{name} = {}", (key.show)(&self.config)))
    }
}

/// Whether a file is there to be read when none was named.
fn default_file() -> Option<PathBuf> {
    let path = Path::new(DEFAULT_FILE);
    path.exists().then(|| path.to_owned())
}

fn unknown(given: &layers::Given) -> String {
    let hint = keys::nearest(&given.key).map_or_else(
        || "see docs/configuration.md for all of them".to_owned(),
        |near| format!("did you mean {near}?"),
    );
    format!(
        "There is no setting {} ({}): {hint}",
        given.key, given.origin
    )
}
