//! Makes every part from the configuration and puts them together. Nothing is served yet.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use nix::unistd::{Uid, User, chown};
use sarsen_addons::Catalog;
use sarsen_build::{BuildSettings, Builder};
use sarsen_control::{AcmeSettings, Control, ControlSettings, Parts};
use sarsen_deploy::{DeploySettings, Deployer};
use sarsen_domain::Secret;
use sarsen_git::{RepoSettings, Repos, SubmodulePolicy};
use sarsen_plugins::{PluginSettings, Plugins};
use sarsen_registry::{Backend, Registry};
use sarsen_router::{AccessLog, AcmeIssuer, RouterSettings};
use sarsen_runtime::{DockerRuntime, Runtime};
use sarsen_ssh::{SshServer, SshSettings};
use sarsen_store::{Scope, Store};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::front::Front;
use super::listeners::Listeners;
use super::names::Names;
use super::succession::Program;
use super::{machine, outside};
use crate::config::{Bytes, Config, SshConfig};
use crate::house::House;

/// Submodules are fetched like any source: so long per fetch, so deep, so many.
const SUBMODULE_TIMEOUT: Duration = Duration::from_secs(300);
const SUBMODULE_DEPTH: usize = 5;
const SUBMODULE_COUNT: usize = 100;

/// How long one plugin may take over one trigger.
const TRIGGER_LIMIT: Duration = Duration::from_secs(10 * 60);

/// What is there before and after the daemon, which may be built more than once in one process.
pub(super) struct Premises<'a> {
    pub(super) config: &'a Config,
    pub(super) listeners: &'a Listeners,
    pub(super) program: &'a Program,
    pub(super) proxies: &'a [(String, String)],
}

/// Everything behind the router, ready to run.
pub(super) struct Daemon {
    pub(super) store: Store,
    pub(super) runtime: Runtime,
    pub(super) registry: Registry,
    pub(super) control: Control,
    pub(super) consul: Option<sarsen_consul::Api>,
    /// Work that outlives the command that began it.
    pub(super) tasks: TaskTracker,
    pub(super) shutdown: CancellationToken,
    /// Taken when it starts; none when nobody is to be answered.
    pub(super) names: Option<Names>,
    /// The registries outside, taken when they are published to.
    pub(super) backends: Vec<Backend>,
    ssh: Vec<SshServer<Control>>,
    /// Nobody else may work in the data folder while we do.
    _house: House,
}

impl Daemon {
    pub(super) async fn build(
        premises: &Premises<'_>,
        house: House,
        front: &Front,
    ) -> Result<Self> {
        let &Premises {
            config, listeners, ..
        } = premises;
        let owner = house.owner()?;
        make_roots(config)?;
        let (tasks, shutdown) = (TaskTracker::new(), CancellationToken::new());
        let store = Store::open(&house.database(), &house.seal_key()).await?;
        refuse_foreign_dokku(&store, config).await?;
        seed(&store, config).await?;
        let engine = DockerRuntime::connect(&config.docker.socket)?;
        let runtime: Runtime = Arc::new(engine.with_build_engine(config.docker.build_engine));
        let registry = Registry::kept(
            runtime.clone(),
            outside::settings(&config.registry, &owner),
            store.clone(),
        )
        .await?;
        let recalled = registry.recall(config.state("catalog.json"));
        tracing::debug!("{recalled} containers still run where the last run left them");
        let backends = outside::open(&config.registry, &owner)?;
        let names = Names::new(registry.clone(), &config.dns, listeners.dns.clone())?;
        let deploy = DeploySettings {
            owner: owner.clone(),
            tasks: tasks.clone(),
            name_servers: names.for_apps(),
        };
        let base = Base {
            owner,
            deploy,
            store: store.clone(),
            runtime: runtime.clone(),
            registry: registry.clone(),
            tasks: tasks.clone(),
            shutdown: shutdown.clone(),
        };
        let control = Control::new(parts(premises, base, front)?);
        if let Err(failure) = control.settle().await {
            bail!("cannot settle what the last run left behind: {failure}");
        }
        let ssh = ssh_servers(config, &control, listeners.ssh.len())?;
        let consul = consul(config, listeners, (&registry, &store), &shutdown).await?;
        Ok(Self {
            store,
            runtime,
            registry,
            control,
            consul,
            tasks,
            shutdown,
            names: Some(names),
            backends,
            ssh,
            _house: house,
        })
    }

    /// One server for each listener.
    pub(super) fn take_ssh_servers(&mut self) -> Vec<SshServer<Control>> {
        std::mem::take(&mut self.ssh)
    }
}

/// The Consul API, if it has a port.
async fn consul(
    config: &Config,
    listeners: &Listeners,
    (registry, store): (&Registry, &Store),
    shutdown: &CancellationToken,
) -> Result<Option<sarsen_consul::Api>> {
    let Some(listener) = &listeners.consul else {
        return Ok(None);
    };
    let settings = sarsen_consul::ConsulSettings {
        address: listener.local_addr()?,
        token: config.consul.token_file.as_deref().map(token).transpose()?,
        node_id: config.consul.node_id.as_ref().map(|id| id.0.clone()),
        node_meta: config.consul.node_meta.0.clone(),
        shutdown: shutdown.clone(),
    };
    let api = sarsen_consul::Api::open(registry.clone(), store.clone(), settings).await?;
    Ok(Some(api))
}

/// A token as a file holds it.
fn token(path: &Path) -> Result<Secret<String>> {
    let what = || format!("cannot read {} (consul.token_file)", path.display());
    let text = std::fs::read_to_string(path).with_context(what)?;
    let token = text.trim();
    if token.is_empty() {
        bail!("{} is empty (consul.token_file)", path.display());
    }
    Ok(Secret::new(token.to_owned()))
}

/// What the parts of control are made of.
struct Base {
    owner: String,
    deploy: DeploySettings,
    store: Store,
    runtime: Runtime,
    registry: Registry,
    tasks: TaskTracker,
    shutdown: CancellationToken,
}

fn parts(premises: &Premises<'_>, base: Base, front: &Front) -> Result<Parts> {
    let &Premises {
        config,
        program,
        proxies,
        ..
    } = premises;
    let Base {
        owner,
        deploy,
        store,
        runtime,
        registry,
        tasks,
        shutdown,
    } = base;
    let router = &front.router;
    let env = proxies.to_owned();
    let repos = repo_settings(config, program.binary(), tasks.clone(), env);
    Ok(Parts {
        store,
        repos: Repos::new(repos)?,
        registry,
        router: router.clone(),
        router_ports: front.ports.clone(),
        builder: Builder::new(runtime.clone(), build_settings(config, &owner)),
        deployer: Deployer::new(runtime.clone(), deploy),
        runtime,
        issuer: Arc::new(AcmeIssuer::new(
            router.challenges().clone(),
            router.certificates().clone(),
        )),
        addons: Catalog::load(&config.state("addons"), &sarsen_control::nouns())?,
        plugins: Plugins::new(&plugin_settings(premises, tasks.clone()))?,
        tasks,
        shutdown,
        settings: control_settings(premises, owner),
    })
}

/// The folders of a Dokku that nobody has taken over are not written to.
async fn refuse_foreign_dokku(store: &Store, config: &Config) -> Result<()> {
    let properties = store.properties();
    let adopted = properties.get(&Scope::Global, "dokku", "adopted").await?;
    if config.dokku.prefix.is_none() || adopted.is_some() {
        return Ok(());
    }
    let (root, lib) = (config.dokku_root(), config.dokku_lib_root());
    if root.join(".sshcommand").exists() {
        bail!(
            "{root} belongs to a Dokku: take it over with 'sarsen setup --from-dokku {root} {lib}', or choose another \
             dokku.prefix",
            root = root.display(),
            lib = lib.display()
        );
    }
    properties
        .set(&Scope::Global, "dokku", "adopted", "true")
        .await?;
    Ok(())
}

/// The first start of an installation gives it its domain.
async fn seed(store: &Store, config: &Config) -> Result<()> {
    let properties = store.properties();
    if properties
        .get(&Scope::Global, "domains", "seeded")
        .await?
        .is_none()
    {
        store
            .domains()
            .set(&Scope::Global, std::slice::from_ref(&config.domain))
            .await?;
        properties
            .set(&Scope::Global, "domains", "seeded", "true")
            .await?;
        tracing::info!("apps get addresses under {}", config.domain);
    }
    Ok(())
}

fn control_settings(premises: &Premises<'_>, owner: String) -> ControlSettings {
    let (config, listeners) = (premises.config, premises.listeners);
    let address = listeners.http_address;
    ControlSettings {
        access_log: access_log_path(config),
        owner,
        binary: premises.program.binary().to_owned(),
        data_dir: config.data_dir.clone(),
        dokku_root: config.dokku_root(),
        dokku_lib_root: config.dokku_lib_root(),
        dokku_owner: dokku_owner(config),
        socket: listeners.socket_path.clone(),
        http_ip: address.ip(),
        http_port: address.port(),
        http_public_port: config.http.public_port.unwrap_or(address.port()),
        https_port: listeners.https_address.map(|address| address.port()),
        https_public_port: config
            .https
            .public_port
            .or(listeners.https_address.map(|address| address.port())),
        ssh_host: config.ssh.public_host.clone().unwrap_or_else(machine::name),
        ssh_port: config
            .ssh
            .public_port
            .unwrap_or(listeners.ssh_address.port()),
        dashboard: dashboard_url(config, listeners),
        dashboard_host: config.web.host.clone(),
        dashboard_address: listeners.web_address,
        dashboard_pair: config
            .web
            .certificate
            .clone()
            .zip(config.web.certificate_key.clone()),
        keep_releases: config.deploy.keep_releases,
        acme: AcmeSettings {
            directory: config.acme.directory.clone(),
            email: config.acme.email.clone(),
            ca_root: config.acme.ca_root.clone(),
        },
    }
}

/// Where people find the dashboard: by its own name, or on loopback.
fn dashboard_url(config: &Config, listeners: &Listeners) -> Option<String> {
    let address = listeners.web_address?;
    let Some(host) = &config.web.host else {
        return Some(format!("http://{address}"));
    };
    let port = config.https.public_port;
    let port = port.or(listeners.https_address.map(|address| address.port()));
    Some(match port {
        None | Some(443) => format!("https://{host}"),
        Some(port) => format!("https://{host}:{port}"),
    })
}

/// Makes Dokku's two folders where they are to be on a host set up like Dokku's: others look into them.
pub(crate) fn make_roots(config: &Config) -> Result<()> {
    if config.dokku.prefix.is_none() {
        return Ok(());
    }
    for folder in [config.dokku_root(), config.dokku_lib_root()] {
        if folder.is_dir() {
            continue;
        }
        let made = std::fs::create_dir_all(&folder)
            .and_then(|()| std::fs::set_permissions(&folder, Permissions::from_mode(0o755)));
        made.with_context(|| format!("cannot make {} (dokku.prefix)", folder.display()))?;
        if let Some((user, group)) = dokku_owner(config) {
            chown(&folder, Some(user.into()), Some(group.into()))
                .with_context(|| format!("cannot give {} to dokku", folder.display()))?;
        }
    }
    Ok(())
}

/// The user `dokku`, whose the folders of a host set up like Dokku's are.
fn dokku_owner(config: &Config) -> Option<(u32, u32)> {
    config.dokku.prefix.as_ref()?;
    if !Uid::effective().is_root() {
        return None;
    }
    let user = User::from_name("dokku").ok().flatten()?;
    Some((user.uid.as_raw(), user.gid.as_raw()))
}

pub(crate) fn repo_settings(
    config: &Config,
    binary: &Path,
    tasks: TaskTracker,
    env: Vec<(String, String)>,
) -> RepoSettings {
    RepoSettings {
        root: config.dokku_root(),
        work: Some(config.data_dir.clone()),
        hook_binary: binary.to_owned(),
        hooks: Some(config.state("hooks")),
        max_pack_bytes: config.ssh.max_push.0,
        submodules: SubmodulePolicy {
            allow_private_hosts: config.build.allow_private_hosts,
            timeout: SUBMODULE_TIMEOUT,
            max_depth: SUBMODULE_DEPTH,
            max_count: SUBMODULE_COUNT,
            env,
        },
        tasks,
    }
}

fn plugin_settings(premises: &Premises<'_>, tasks: TaskTracker) -> PluginSettings {
    let (config, listeners) = (premises.config, premises.listeners);
    let mut engine = std::ffi::OsString::from("unix://");
    engine.push(&config.docker.socket);
    PluginSettings {
        root: config.dokku_lib_root().join("plugins"),
        lib_root: config.dokku_lib_root(),
        dokku_root: config.dokku_root(),
        socket: listeners.socket_path.clone(),
        binary: premises.program.binary().to_owned(),
        stack_image: config.build.stack_image.clone(),
        env: vec![("DOCKER_HOST".into(), engine)],
        trigger_time_limit: TRIGGER_LIMIT,
        tasks,
    }
}

fn build_settings(config: &Config, owner: &str) -> BuildSettings {
    let build = &config.build;
    BuildSettings {
        owner: owner.to_owned(),
        stack_image: build.stack_image.clone(),
        cache_dir: config.state("cache/buildpacks"),
        build_memory: build
            .memory
            .map(|Bytes(bytes)| i64::try_from(bytes).unwrap_or(i64::MAX)),
        build_cpus: build.cpus.map(|cpus| cpus.0),
        silence_limit: build.silence_limit,
        time_limit: build.time_limit,
        allow_private_hosts: build.allow_private_hosts,
    }
}

pub(super) fn router_settings(config: &Config) -> Result<RouterSettings> {
    let http = &config.http;
    let access_log = access_log(config)?;
    Ok(RouterSettings {
        head_timeout: http.head_timeout,
        keep_alive_timeout: http.keep_alive_timeout,
        connect_timeout: http.connect_timeout,
        first_byte_timeout: http.first_byte_timeout,
        idle_timeout: http.idle_timeout,
        tunnel_idle_timeout: http.tunnel_idle_timeout,
        shutdown_deadline: config.shutdown.deadline,
        handshake_timeout: config.https.handshake_timeout,
        proxy_protocol: http.proxy_protocol.trusted(),
        tcp_idle_timeout: http.tcp_idle_timeout,
        udp_idle_timeout: http.udp_idle_timeout,
        max_head_bytes: usize::try_from(http.max_head.0).unwrap_or(usize::MAX),
        max_connections: http.max_connections,
        max_connections_per_ip: http.max_connections_per_ip,
        unknown_name: config.https.unknown_host,
        trusted_proxies: http.trusted_proxies.trusted(),
        access_log,
        ..RouterSettings::default()
    })
}

/// A path without a leading slash is one in the data directory.
fn access_log_path(config: &Config) -> Option<PathBuf> {
    let path = config.http.access_log.as_ref()?;
    Some(config.data_dir.join(&path.0))
}

fn access_log(config: &Config) -> Result<AccessLog> {
    let Some(path) = access_log_path(config) else {
        return Ok(AccessLog::none());
    };
    let opened = match path.parent() {
        Some(folder) => std::fs::create_dir_all(folder),
        None => Ok(()),
    };
    opened
        .and_then(|()| AccessLog::to_file(&path, config.http.access_log_max.0))
        .with_context(|| {
            format!(
                "cannot write the access log {} (http.access_log)",
                path.display()
            )
        })
}

fn ssh_servers(
    config: &Config,
    control: &Control,
    count: usize,
) -> Result<Vec<SshServer<Control>>> {
    let settings = ssh_settings(config, &config.ssh);
    let make = |_| SshServer::new(settings.clone(), control.clone());
    let servers = (0..count).map(make).collect::<Result<Vec<_>, _>>()?;
    if let Some(server) = servers.first() {
        tracing::info!("the ssh host key is {}", server.fingerprint());
    }
    Ok(servers)
}

fn ssh_settings(config: &Config, ssh: &SshConfig) -> SshSettings {
    SshSettings {
        users: ssh.users.clone(),
        max_connections: ssh.max_connections,
        max_connections_per_ip: ssh.max_connections_per_ip,
        max_channels: ssh.max_channels,
        auth_timeout: ssh.auth_timeout,
        drain: config.shutdown.deadline,
        ..SshSettings::new(config.state("ssh_host_ed25519_key"))
    }
}
