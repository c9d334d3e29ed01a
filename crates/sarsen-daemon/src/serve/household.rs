//! Everything behind the router: built, started, and ended as a whole. A process may do that more than once, when a daemon
//! that was to take its place does not come up.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use sarsen_control::Control;
use sarsen_runtime::Runtime;
use sarsen_ssh::Logins;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::LEFT_BEHIND;
use super::assemble::{Daemon, Premises};
use super::components::Components;
use super::front::Front;
use super::listeners::Listeners;
use super::outside;
use super::succession::Program;
use crate::config::Config;
use crate::house::House;

/// Before requests are taken, what runs already should be known: at most so long.
const CATALOG_PATIENCE: Duration = Duration::from_secs(10);
/// Commands that are to end for another daemon's sake do so within this time.
const LEAVING: Duration = Duration::from_secs(5);
/// The daemon before us has left the data folder already, but its last children may still hold the lock for a moment.
const LOCK_PATIENCE: Duration = Duration::from_secs(5);
const LOCK_LOOK: Duration = Duration::from_millis(20);

/// What runs behind the router.
pub(super) struct Household {
    daemon: Daemon,
    pub(super) components: Components,
    logins: Vec<Logins>,
}

/// How the data folder is entered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Entry {
    /// Nobody is there.
    Free,
    /// Another daemon is just leaving.
    Succeeding,
}

/// Enters the data folder.
pub(super) async fn enter(config: &Config, entry: Entry) -> Result<House> {
    let begun = Instant::now();
    loop {
        let entered = House::enter(&config.data_dir);
        if entered.is_ok() || entry == Entry::Free || begun.elapsed() > LOCK_PATIENCE {
            return entered;
        }
        sleep(LOCK_LOOK).await;
    }
}

impl Household {
    /// Builds and starts everything, and opens the router when there are routes. `alone` fires when no other daemon has
    /// requests under way.
    pub(super) async fn start(
        premises: &Premises<'_>,
        house: House,
        front: &mut Front,
        alone: &CancellationToken,
    ) -> Result<Self> {
        let mut daemon = Daemon::build(premises, house, front).await?;
        let mut components = Components::new(daemon.shutdown.clone());
        start_discovery(&mut daemon, &mut components).await?;
        start_behind(&daemon, &mut components, alone).await?;
        front.open(premises.listeners)?;
        let logins = start_doors(&mut daemon, premises.listeners, &mut components)?;
        tracing::info!("ready");
        Ok(Self {
            daemon,
            components,
            logins,
        })
    }

    /// Makes sure that a successor could start, and waits for a good moment to leave, all the while serving as ever.
    pub(super) async fn prepare_to_leave(&self, program: &Program, limit: Duration) -> Result<()> {
        program.check().await?;
        let is_idle = self.idle(limit).await;
        // Whoever is just logging in shall have an answer here; those who come later wait for the successor.
        self.logins.iter().for_each(Logins::close);
        for logins in &self.logins {
            logins.settled().await;
        }
        if is_idle {
            self.idle(limit).await;
        }
        Ok(())
    }

    /// Waits for the commands under way; whether they have ended.
    async fn idle(&self, limit: Duration) -> bool {
        let is_idle = timeout(limit, self.daemon.control.idle()).await.is_ok();
        if !is_idle {
            tracing::warn!(
                "commands are still under way after {limit:?}: they are ended, as by a restart"
            );
        }
        is_idle
    }

    /// Ends everything but the router, quickly, and leaves the data folder.
    pub(super) async fn leave(self) {
        if timeout(LEAVING, self.end()).await.is_err() {
            let at_work = self.components.at_work().join(", ");
            tracing::warn!("still at work after {LEAVING:?}: {at_work}; ended");
            self.components.abort();
            self.components.wait().await;
        }
        // Work that is left behind may still be reading.
        timeout(LEFT_BEHIND, self.daemon.store.close()).await.ok();
    }

    /// Ends everything but the router; commands have their deadline.
    pub(super) async fn close(&self, deadline: Duration) {
        if timeout(deadline, self.end()).await.is_err() {
            let at_work = self.components.at_work().join(", ");
            tracing::warn!("still at work after {deadline:?}: {at_work}; ending anyway");
            return;
        }
        self.daemon.store.close().await;
    }

    async fn end(&self) {
        self.daemon.control.cancel_deploys();
        self.daemon.shutdown.cancel();
        self.daemon.tasks.close();
        self.components.wait().await;
        self.daemon.tasks.wait().await;
    }
}

/// Starts what works behind the doors, and gives it a moment to know what runs already.
async fn start_behind(
    daemon: &Daemon,
    components: &mut Components,
    alone: &CancellationToken,
) -> Result<()> {
    let control = &daemon.control;
    let token = || daemon.shutdown.clone();
    components.start("the registry", daemon.registry.clone().run(token()));
    let runtime = daemon.runtime.clone();
    let greeting = daemon.tasks.spawn(async move { greet(&runtime).await });
    let is_known = control.knows_its_containers().await;
    let is_known = is_known.map_err(|failure| anyhow::anyhow!("{failure}"));
    // Else they are not where they were: Docker has to be asked, if it answers.
    if !is_known.context("cannot look up what runs")? && greeting.await.unwrap_or(false) {
        // Late is better than never: the routes follow the catalog from here on.
        timeout(CATALOG_PATIENCE, daemon.registry.synced())
            .await
            .ok();
    }
    control.recall_own_name();
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
        control.clone().see_off(alone.clone(), token()),
    );
    components.start("the log drains", control.clone().keep_draining(token()));
    components.start(
        "the scheduler",
        control
            .clone()
            .keep_schedule(Control::wall_clock(), token()),
    );
    components.start(
        "the backups of services",
        control.clone().keep_backups(Control::wall_clock(), token()),
    );
    Ok(())
}

/// Starts what tells others of the catalog.
async fn start_discovery(daemon: &mut Daemon, components: &mut Components) -> Result<()> {
    let shutdown = daemon.shutdown.clone();
    let token = || shutdown.clone();
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

/// Opens the doors for commands.
fn start_doors(
    daemon: &mut Daemon,
    listeners: &Listeners,
    components: &mut Components,
) -> Result<Vec<Logins>> {
    let shutdown = daemon.shutdown.clone();
    let token = || shutdown.clone();
    let mut logins = Vec::new();
    let ssh = listeners.ssh.listeners()?;
    for (server, listener) in daemon.take_ssh_servers().into_iter().zip(ssh) {
        logins.push(server.logins());
        components.start("the ssh server", server.run(listener, token()));
    }
    for listener in listeners.web.listeners()? {
        components.start(
            "the dashboard",
            sarsen_web::run(listener, daemon.control.clone(), token()),
        );
    }
    if let (Some(listener), Some(api)) = (listeners.consul()?, daemon.consul.clone()) {
        let keeper = api.clone();
        components.start("the sessions of the Consul API", async move {
            keeper.keep().await;
        });
        components.start("the Consul API", sarsen_consul::run(listener, api, token()));
    }
    components.start(
        "the control socket",
        crate::socket::serve(listeners.control()?, daemon.control.clone(), token()),
    );
    Ok(logins)
}
