//! `sarsen registrator`: in place of gliderlabs/registrator, with no other part of Sarsen running.

mod flags;

use std::net::{IpAddr, Ipv4Addr, UdpSocket};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use sarsen_domain::Secret;
use sarsen_registry::{
    Backend, BackendUri, Checking, Credentials, ExtraTags, Host, Mark, Publisher,
    PublisherSettings, Registry, RegistrySettings, Rules,
};
use sarsen_runtime::{DockerRuntime, Runtime};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::command::{say, warn};
use crate::config::{LogConfig, LogFormat, LogLevel};
use crate::serve::{Signals, logging, machine};
use crate::vars::Vars;
use flags::{Asked, Flags};

/// Registrator's code for a command line that is wrong.
const MISUSED: u8 = 2;
/// Where Registrator's users mount the engine's socket, and where it usually is.
const SOCKETS: [&str; 2] = ["/tmp/docker.sock", "/var/run/docker.sock"];
/// The registry is asked so often whether it still holds what it should.
const COMPARE_EVERY: Duration = Duration::from_secs(10);

/// Runs it; gives the exit code.
pub(crate) fn run(words: &[String], vars: &Vars) -> u8 {
    let flags = match Flags::parse(words) {
        Ok(Asked::Run(flags)) => *flags,
        Ok(Asked::Help) => return say(flags::USAGE),
        Ok(Asked::Version) => return say(concat!("v", env!("CARGO_PKG_VERSION"), "\n")),
        Err(complaint) => {
            warn(&format!(
                "{complaint}\nUsage: sarsen registrator [options] REGISTRY-URI ('sarsen registrator -help' lists them)"
            ));
            return MISUSED;
        }
    };
    match begin(&flags, vars) {
        Ok(()) => 0,
        Err(error) => {
            warn(&format!("{error:#}"));
            1
        }
    }
}

fn begin(flags: &Flags, vars: &Vars) -> Result<()> {
    logging::start(&LogConfig {
        format: LogFormat::Human,
        level: LogLevel::default(),
    })?;
    let engine = DockerRuntime::connect(&engine_socket(vars)?)?;
    let name = machine::name();
    let backend = open(flags, vars, &name)?;
    let registry = Registry::new(Arc::new(engine) as Runtime, settings(flags, name)?);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start")?;
    runtime.block_on(keep(flags, registry, backend))
}

/// Until a signal. What is registered then stays: containers do not end with us.
async fn keep(flags: &Flags, registry: Registry, backend: Backend) -> Result<()> {
    let mut signals = Signals::listen()?;
    tokio::select! {
        found = find(flags, &backend) => found?,
        _ = signals.stop() => return Ok(()),
    }
    let (tasks, shutdown) = (TaskTracker::new(), CancellationToken::new());
    let compare_every = match flags.resync {
        Some(resync) => resync.min(COMPARE_EVERY),
        None => COMPARE_EVERY,
    };
    let settings = PublisherSettings {
        checking: Checking::Theirs,
        compare_every,
    };
    let publisher = Publisher::new(registry.clone(), backend, settings);
    tasks.spawn(registry.run(shutdown.clone()));
    tasks.spawn(publisher.run(shutdown.clone()));
    let signal = signals.stop().await;
    tracing::info!("{signal}: stopping");
    shutdown.cancel();
    tasks.close();
    tasks.wait().await;
    Ok(())
}

/// The registry must answer once before anything begins, at the latest after so many attempts.
async fn find(flags: &Flags, backend: &Backend) -> Result<()> {
    let mut attempts = 0;
    loop {
        let Err(error) = backend.ping().await else {
            return Ok(());
        };
        if flags.retry_attempts.is_some_and(|most| attempts >= most) {
            bail!("{} cannot be used: {error}", backend.name());
        }
        attempts += 1;
        tracing::warn!("{} cannot be used yet: {error}", backend.name());
        tokio::time::sleep(flags.retry_interval).await;
    }
}

fn settings(flags: &Flags, name: String) -> Result<RegistrySettings> {
    let address = match flags.ip {
        Some(ip) => ip,
        None => own_address(),
    };
    let mut rules = Rules::new(Host { name, address });
    rules.ip = flags.ip;
    rules.reach = flags.reach;
    rules.whose = flags.whose;
    rules.address_label.clone_from(&flags.use_ip_from_label);
    if let Some(template) = &flags.tags {
        rules.tags = ExtraTags::parse(template).map_err(|error| anyhow!("-tags: {error}"))?;
    }
    if flags.ip.is_none() {
        tracing::info!(
            "ports published on all addresses are registered at {address}; -ip names another"
        );
    }
    // No container carries an empty owner: all are other people's.
    let mut settings = RegistrySettings::new("", rules.host.clone());
    settings.rules = rules;
    settings.deregister = flags.deregister;
    settings.checking = Checking::Theirs;
    if let Some(resync) = flags.resync {
        settings.comparison = resync.min(settings.comparison);
    }
    Ok(settings)
}

/// The address that this host uses towards others. Nothing is sent: the kernel only chooses a way.
fn own_address() -> IpAddr {
    let chosen = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).and_then(|socket| {
        socket.connect((Ipv4Addr::new(192, 0, 2, 1), 9))?;
        socket.local_addr()
    });
    chosen.map_or(IpAddr::V4(Ipv4Addr::LOCALHOST), |address| address.ip())
}

fn engine_socket(vars: &Vars) -> Result<PathBuf> {
    match vars.text("DOCKER_HOST") {
        None => {
            let [mounted, usual] = SOCKETS.map(Path::new);
            Ok(if mounted.exists() { mounted } else { usual }.to_owned())
        }
        Some(host) => match host.strip_prefix("unix://") {
            Some(path) => Ok(path.into()),
            None => bail!("DOCKER_HOST is {host}: only unix:// is understood"),
        },
    }
}

fn open(flags: &Flags, vars: &Vars, name: &str) -> Result<Backend> {
    let mut uri = flags.uri.clone();
    if let Some(lifetime) = flags.lifetime {
        if uri.knows_lifetimes() {
            uri.set_lifetime(lifetime);
        } else {
            tracing::warn!("{uri} keeps services for ever: -ttl and -ttl-refresh change nothing");
        }
    }
    let mark = Mark {
        owner: name.to_owned(),
        adopt: flags.cleanup.then(|| name.to_owned()),
    };
    Ok(uri.open(&credentials(&uri, vars)?, mark)?)
}

/// What Consul's own client reads from the environment; the URI's own files win.
fn credentials(uri: &BackendUri, vars: &Vars) -> Result<Credentials> {
    let mut credentials = uri.credentials().map_err(|error| anyhow!(error))?;
    if credentials.token.is_none() {
        let token = match vars.text("CONSUL_HTTP_TOKEN_FILE") {
            Some(path) => {
                let text = std::fs::read_to_string(path);
                Some(text.with_context(|| format!("cannot read {path} (CONSUL_HTTP_TOKEN_FILE)"))?)
            }
            None => vars.text("CONSUL_HTTP_TOKEN").map(str::to_owned),
        };
        credentials.token = token.map(|token| Secret::new(token.trim().to_owned()));
    }
    let file = |name: &str| vars.text(name).map(PathBuf::from);
    let tls = &mut credentials.tls;
    tls.ca = tls.ca.take().or_else(|| file("CONSUL_CACERT"));
    let identity = file("CONSUL_CLIENT_CERT").zip(file("CONSUL_CLIENT_KEY"));
    tls.identity = tls.identity.take().or(identity);
    Ok(credentials)
}
