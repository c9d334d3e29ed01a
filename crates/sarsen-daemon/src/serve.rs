//! `sarsen serve`: the configuration is good already; build everything, run it, and let it drain.

mod assemble;
mod components;
mod handed;
mod listeners;
pub(crate) mod logging;
pub(crate) mod machine;
mod names;
mod outside;
mod signals;

use std::fmt;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use sarsen_control::Control;
use sarsen_runtime::Runtime;
use sd_notify::NotifyState;
use tokio::time::timeout;

use crate::command::warn;
use crate::config::{Config, Loaded};
use crate::house::House;
use crate::vars::Vars;
use assemble::Daemon;
pub(crate) use assemble::{make_roots, repo_settings};
use components::Components;
use handed::Handed;
use listeners::{Listeners, SocketFile};
pub(crate) use signals::Signals;

/// Before requests are taken, what runs already should be known: at most so long.
const CATALOG_PATIENCE: Duration = Duration::from_secs(3);
/// Blocking work that does not notice the end is left behind.
const LEFT_BEHIND: Duration = Duration::from_secs(1);

/// Serves until told to stop. Gives the exit code.
pub fn run(loaded: Loaded, vars: &Vars) -> u8 {
    let ended = begin(loaded, vars);
    match ended {
        Ok(()) => 0,
        Err(error) => {
            // Logging may not be there yet, and people look for the reason in the last line.
            warn(&format!("{error:#}"));
            1
        }
    }
}

fn begin(loaded: Loaded, vars: &Vars) -> Result<()> {
    logging::start(&loaded.config.log)?;
    let handed = Handed::take(vars)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_name("sarsen")
        .build()
        .context("cannot start threads")?;
    let proxies = proxies(vars);
    let ended = runtime.block_on(serve(loaded.config, handed, proxies));
    runtime.shutdown_timeout(LEFT_BEHIND);
    ended
}

/// What git is told about the way to other servers.
fn proxies(vars: &Vars) -> Vec<(String, String)> {
    let known = [
        "http_proxy",
        "https_proxy",
        "all_proxy",
        "no_proxy",
        "ssl_cert_file",
        "ssl_cert_dir",
    ];
    vars.named()
        .filter(|(name, _)| known.contains(&name.to_ascii_lowercase().as_str()))
        .filter_map(|(name, value)| Some((name.to_owned(), value.to_str()?.to_owned())))
        .collect()
}

async fn serve(config: Config, handed: Handed, proxies: Vec<(String, String)>) -> Result<()> {
    let mut signals = Signals::listen()?;
    let (daemon, mut components, socket_file) = start(&config, handed, proxies).await?;
    notify(&[NotifyState::Ready]);
    let end = tokio::select! {
        signal = signals.next() => End::Signal(signal),
        name = components.first_end() => End::Component(name),
    };
    tracing::info!("{end}: stopping");
    notify(&[NotifyState::Stopping]);
    drop(socket_file);
    tokio::select! {
        () = drain(&daemon, &components, config.shutdown.deadline) => daemon.store.close().await,
        signal = signals.next() => warn(&format!("{signal} again: not waiting any longer")),
    }
    tracing::info!("stopped");
    match end {
        End::Signal(_) => Ok(()),
        End::Component(_) => bail!("{end}, which never should: see the log"),
    }
}

async fn start(
    config: &Config,
    handed: Handed,
    proxies: Vec<(String, String)>,
) -> Result<(Daemon, Components, SocketFile)> {
    let house = House::enter(&config.data_dir)?;
    let listeners = Listeners::open(config, handed).await?;
    let mut daemon = Daemon::build(config, house, &listeners, proxies).await?;
    let mut components = Components::new(daemon.shutdown.clone());
    start_discovery(&mut daemon, &mut components).await?;
    start_behind(&daemon, &mut components).await?;
    let socket_file = start_doors(&mut daemon, listeners, &mut components);
    tracing::info!("ready");
    Ok((daemon, components, socket_file))
}

/// Why the daemon ends.
enum End {
    Signal(&'static str),
    Component(&'static str),
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Signal(name) => f.write_str(name),
            Self::Component(name) => write!(f, "{name} has ended by itself"),
        }
    }
}

/// Starts what works behind the doors, and gives it a moment to know what runs already.
async fn start_behind(daemon: &Daemon, components: &mut Components) -> Result<()> {
    let control = &daemon.control;
    let token = || daemon.shutdown.clone();
    components.start("the registry", daemon.registry.clone().run(token()));
    if greet(&daemon.runtime).await {
        // Late is better than never: the routes follow the catalog from here on.
        timeout(CATALOG_PATIENCE, daemon.registry.synced())
            .await
            .ok();
    }
    if let Err(failure) = control.refresh_routes().await {
        bail!("cannot compute the routes: {failure}");
    }
    components.start("the route keeper", control.clone().follow_catalog(token()));
    components.start(
        "the certificate keeper",
        control.clone().keep_certificates(token()),
    );
    components.start(
        "the keeper of the dashboard's name",
        control.clone().keep_own_name(token()),
    );
    components.start("the reconciler", control.clone().reconcile(token()));
    components.start("the watch on usage", control.clone().watch_usage(token()));
    components.start(
        "the retirement of containers",
        control.clone().see_off(token()),
    );
    components.start("the log drains", control.clone().keep_draining(token()));
    components.start(
        "the scheduler",
        control
            .clone()
            .keep_schedule(Control::wall_clock(), token()),
    );
    Ok(())
}

/// Starts what tells others of the catalog.
async fn start_discovery(daemon: &mut Daemon, components: &mut Components) -> Result<()> {
    let token = || daemon.shutdown.clone();
    if let Some(names) = daemon.names.take() {
        let listeners = names.open().await?;
        components.start("the name server", names.run(listeners, token()));
    }
    for backend in std::mem::take(&mut daemon.backends) {
        let publisher = outside::publisher(&daemon.registry, backend);
        components.start("the publisher of services", publisher.run(token()));
    }
    Ok(())
}

/// Whether the engine answers. The daemon starts either way.
async fn greet(runtime: &Runtime) -> bool {
    match runtime.info().await {
        Ok(engine) => {
            let (version, api) = (engine.version, engine.api_version);
            tracing::info!("Docker {version} answers (API {api})");
            true
        }
        Err(error) => {
            tracing::warn!("{error}: apps cannot be deployed or started until it does");
            false
        }
    }
}

/// Opens the doors. The control socket's file goes away with what is returned.
fn start_doors(
    daemon: &mut Daemon,
    listeners: Listeners,
    components: &mut Components,
) -> SocketFile {
    let shutdown = daemon.shutdown.clone();
    let token = || shutdown.clone();
    for listener in listeners.http {
        let (router, token) = (daemon.router.clone(), token());
        components.start("the router", async move {
            if let Err(error) = router.serve(listener, token).await {
                tracing::error!(%error, "the router cannot serve");
            }
        });
    }
    for listener in listeners.https {
        let (router, token) = (daemon.router.clone(), token());
        components.start("the router (HTTPS)", async move {
            if let Err(error) = router.serve_tls(listener, token).await {
                tracing::error!(%error, "the router cannot serve HTTPS");
            }
        });
    }
    for (server, listener) in daemon.take_ssh_servers().into_iter().zip(listeners.ssh) {
        components.start("the ssh server", server.run(listener, token()));
    }
    for listener in listeners.web {
        components.start(
            "the dashboard",
            sarsen_web::run(listener, daemon.control.clone(), token()),
        );
    }
    if let (Some(listener), Some(api)) = (listeners.consul, daemon.consul.clone()) {
        let keeper = api.clone();
        components.start("the sessions of the Consul API", async move {
            keeper.keep().await;
        });
        components.start("the Consul API", sarsen_consul::run(listener, api, token()));
    }
    components.start(
        "the control socket",
        crate::socket::serve(listeners.control, daemon.control.clone(), token()),
    );
    listeners.socket_file
}

/// Everybody finishes what is under way: requests are answered, deploys are given up, commands end.
async fn drain(daemon: &Daemon, components: &Components, deadline: Duration) {
    daemon.control.cancel_deploys();
    daemon.shutdown.cancel();
    daemon.tasks.close();
    let all = async {
        components.wait().await;
        daemon.tasks.wait().await;
    };
    if timeout(deadline + LEFT_BEHIND, all).await.is_err() {
        tracing::warn!(
            "still at work after {deadline:?}: {}; ending anyway",
            components.at_work().join(", ")
        );
    }
}

fn notify(state: &[NotifyState<'_>]) {
    // Without systemd there is nobody to tell.
    if let Err(error) = sd_notify::notify(state) {
        tracing::debug!(%error, "cannot notify the service manager");
    }
}
