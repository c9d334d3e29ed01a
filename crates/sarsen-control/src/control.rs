//! The handle that the front doors hold: takes a request, finds the verb, asks the gate, carries it out.

mod globals;
mod prepare;
mod work;

use std::collections::{BTreeSet, HashMap};
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use sarsen_addons::{Catalog, Engine};
use sarsen_build::Builder;
use sarsen_deploy::Deployer;
use sarsen_domain::{AppName, Domain, Rights, SshKey};
use sarsen_git::Repos;
use sarsen_plugins::{Detail, Plugins};
use sarsen_registry::Registry;
use sarsen_router::{CertIssuer, Router};
use sarsen_runtime::Runtime;
use sarsen_store::{NewEvent, Store};
use tokio::sync::{Notify, oneshot};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::access::Action;
use crate::acme::Acme;
use crate::acme::own_name::OwnCertificate;
use crate::acme::settings::AcmeSettings;
use crate::addons::Addons;
use crate::board::{DiskUse, DomainLooks, HostMeter, Trends};
use crate::build_log::BuildLogs;
use crate::certificates::ReadCertificates;
use crate::control::globals::Globals;
use crate::control::work::Work;
use crate::cron::{CronState, Outputs};
use crate::drains::Drains;
use crate::failure::{Failure, Outcome};
use crate::lock::Locks;
use crate::output::Out;
use crate::plugins::{self, Errands, Foreign, Identity, Tracing};
use crate::routes::{RouterPorts, Turns};
use crate::session::{Actor, Front, HookCall, Io, Request};
use crate::table::{self, Call, Command};
use crate::verbs::{self, help};
use crate::views::Views;
use crate::web::runs::Runs;
use crate::web::throttle::Throttle;

/// What the daemon is told by its configuration and control must know.
#[derive(Debug, Clone)]
pub struct ControlSettings {
    /// Which installation this is; on every container and image.
    pub owner: String,
    /// The folder of all state.
    pub data_dir: PathBuf,
    /// Dokku's `DOKKU_ROOT`, where the repositories are.
    pub dokku_root: PathBuf,
    /// Dokku's `DOKKU_LIB_ROOT`.
    pub dokku_lib_root: PathBuf,
    /// User and group of the files in them that are made for others; none for our own.
    pub dokku_owner: Option<(u32, u32)>,
    /// Our own program, for sshd to start.
    pub binary: PathBuf,
    /// The control socket, for the hooks of git.
    pub socket: PathBuf,
    /// The address that router ports are opened on.
    pub http_ip: IpAddr,
    /// The port where the router takes plain HTTP; a mapping's port 80 means this one.
    pub http_port: u16,
    /// That port as people see it: another one when something in front forwards.
    pub http_public_port: u16,
    /// The port where the router takes requests inside TLS, which a mapping's port 443 means; none when it does not.
    pub https_port: Option<u16>,
    /// That port as people see it.
    pub https_public_port: Option<u16>,
    /// `dokku@host`-style remotes: host and port to show to people.
    pub ssh_host: String,
    /// The port of the SSH listener.
    pub ssh_port: u16,
    /// Where the dashboard answers: `http://127.0.0.1:8180`; none when it is off.
    pub dashboard: Option<String>,
    /// The name that the router leads to the dashboard; none when it leads nothing there.
    pub dashboard_host: Option<Domain>,
    /// Where the dashboard listens.
    pub dashboard_address: Option<SocketAddr>,
    /// The certificate of that name and its key, when somebody brings their own.
    pub dashboard_pair: Option<(PathBuf, PathBuf)>,
    /// Where the router writes a line per request; nowhere when it does not.
    pub access_log: Option<PathBuf>,
    /// How many releases keep their image.
    pub keep_releases: usize,
    /// Where certificates come from.
    pub acme: AcmeSettings,
}

/// The parts that control works with, made by the daemon.
pub struct Parts {
    /// State.
    pub store: Store,
    /// Repositories.
    pub repos: Repos,
    /// The engine.
    pub runtime: Runtime,
    /// The catalog.
    pub registry: Registry,
    /// The proxy.
    pub router: Router,
    /// Its ports beside the main ones.
    pub router_ports: RouterPorts,
    /// Source to image.
    pub builder: Builder,
    /// Release to containers.
    pub deployer: Deployer,
    /// Other people's scripts.
    pub plugins: Plugins,
    /// Who gives certificates.
    pub issuer: Arc<dyn CertIssuer>,
    /// Databases and caches to be had.
    pub addons: Catalog,
    /// Tasks that outlive a command; shutdown waits for them.
    pub tasks: TaskTracker,
    /// Fires when the daemon is to end.
    pub shutdown: CancellationToken,
    /// Settings.
    pub settings: ControlSettings,
}

/// Every use-case, behind one cheap handle.
#[derive(Clone)]
pub struct Control {
    pub(crate) parts: Arc<Parts>,
    pub(crate) locks: Locks,
    pub(crate) work: Work,
    pub(crate) logs: BuildLogs,
    /// Pushes that wait for git to call the pre-receive hook, by token.
    pub(crate) pushes: Arc<Mutex<HashMap<String, oneshot::Sender<HookSession>>>>,
    pub(crate) routing: Arc<Turns>,
    /// Apps whose routes were taken away by hand.
    pub(crate) cleared: Arc<Mutex<BTreeSet<AppName>>>,
    /// Wrong links and tokens.
    pub(crate) throttle: Arc<Throttle>,
    /// Commands said by the dashboard and the API.
    pub(crate) runs: Runs,
    /// What our router proves itself with to our dashboard.
    pub(crate) router_secret: Arc<str>,
    /// The certificate of the dashboard's own name.
    pub(crate) own_certificate: Arc<OwnCertificate>,
    pub(crate) meter: Arc<HostMeter>,
    pub(crate) trends: Arc<Trends>,
    pub(crate) disk: Arc<DiskUse>,
    pub(crate) looks: DomainLooks,
    /// Rings when containers wait to be drained and stopped.
    pub(crate) retirements: Arc<Notify>,
    pub(crate) addons: Addons,
    /// Whom commands of plugins act for.
    pub(crate) errands: Arc<Errands>,
    pub(crate) cron: Arc<CronState>,
    pub(crate) outputs: Outputs,
    pub(crate) drains: Arc<Drains>,
    pub(crate) views: Arc<Views>,
    pub(crate) acme: Acme,
    pub(crate) read_certificates: ReadCertificates,
}

/// A pre-receive hook that waits for its verdict.
pub(crate) struct HookSession {
    pub call: HookCall,
    pub io: Io,
    pub verdict: oneshot::Sender<u8>,
}

impl std::ops::Deref for Control {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.parts
    }
}

impl Control {
    /// Control over these parts.
    pub fn new(parts: Parts) -> Self {
        let outputs = Outputs::new(parts.settings.dokku_lib_root.join("data/cron"));
        let logs = BuildLogs::new(parts.settings.dokku_lib_root.join("data/builds"));
        let engine = Engine::new(
            parts.runtime.clone(),
            &parts.settings.owner,
            &parts.settings.dokku_lib_root,
        );
        verbs::addons::install(&parts.addons);
        Self {
            views: Arc::new(Views::new(&parts.settings)),
            addons: Addons::new(parts.addons.clone(), engine),
            acme: Acme::new(Arc::clone(&parts.issuer)),
            read_certificates: ReadCertificates::default(),
            parts: Arc::new(parts),
            locks: Locks::default(),
            work: Work::default(),
            logs,
            pushes: Arc::default(),
            routing: Arc::default(),
            cleared: Arc::default(),
            throttle: Arc::default(),
            runs: Runs::default(),
            router_secret: crate::web::secrets::make().into(),
            own_certificate: Arc::default(),
            meter: Arc::default(),
            trends: Arc::default(),
            disk: Arc::default(),
            looks: DomainLooks::default(),
            retirements: Arc::default(),
            errands: Arc::default(),
            cron: Arc::new(CronState::new()),
            outputs,
            drains: Arc::default(),
        }
    }

    /// Asks every deploy under way to stop, because the daemon is about to end.
    pub fn cancel_deploys(&self) {
        self.locks.cancel_all();
    }

    /// What our router proves itself with to our dashboard.
    pub fn router_secret(&self) -> &str {
        &self.router_secret
    }

    /// The name that the router leads to the dashboard.
    pub fn dashboard_host(&self) -> Option<&str> {
        self.settings.dashboard_host.as_ref().map(Domain::as_str)
    }

    async fn execute(&self, mut request: Request, io: Io) -> u8 {
        let mut out = Out::new(io.stdout, io.stderr);
        let mut words = match self.understand(&mut request, &mut out).await {
            Ok(words) => words,
            Err(failure) => return say(&mut out, &failure).await,
        };
        let identity = Identity::of(&request.actor, &request.variables);
        let asked = self.let_in(&identity, &words.rest, &mut out, &io.gone);
        if let Err(failure) = asked.await {
            return say(&mut out, &failure).await;
        }
        if let Some(elsewhere) =
            plugins::help_elsewhere(&words.rest, |noun| self.plugins.is_enabled(noun))
        {
            words.rest = elsewhere;
        } else if let Some(outcome) = self.help(&words, &mut out).await {
            return finish(outcome, &mut out).await;
        }
        let split = words.rest.split_first();
        let found = split.and_then(|(name, rest)| Some((self.own(name)?, rest)));
        let Some((command, arguments)) = found else {
            let foreign = Foreign {
                actor: &request.actor,
                identity: &identity,
                words: &words.rest,
                env: words.env(),
                folder: request.folder,
                tracing: self.tracing(words.tracing).await,
                stdin: io.stdin,
                gone: io.gone,
            };
            return finish(self.foreign(foreign, &mut out).await, &mut out).await;
        };
        let actor = &request.actor;
        let (args, app) = match self.prepare(command, actor, &words, arguments).await {
            Ok(parsed) => parsed,
            Err(failure) => return say(&mut out, &failure).await,
        };
        let call = Call {
            actor: request.actor,
            identity,
            command,
            args,
            app,
            out,
            stdin: io.stdin,
            terminal: request.terminal,
            git_protocol: request.git_protocol,
            folder: request.folder,
            gone: io.gone,
            force: words.force,
            verdict: 0,
        };
        self.perform_and_audit(call, words.tracing).await
    }

    /// Who says what: a script of a plugin may act for somebody else than is at the door.
    async fn understand(&self, request: &mut Request, out: &mut Out) -> Outcome<Globals> {
        if let (Actor::Local { .. }, Some(token)) = (
            &request.actor,
            request.variables.get(sarsen_plugins::WITHIN),
        ) && let Some(sender) = self.errands.actor(token)?
        {
            request.actor = sender;
        }
        self.look_up_rights(&mut request.actor).await;
        let mut words = Globals::take(&request.argv)?;
        words.inherit(&request.variables);
        out.quiet = words.quiet;
        if words.rest.is_empty() {
            words.rest.push("help".to_owned());
        }
        Ok(words)
    }

    /// What the caller asks for, or what holds for everybody.
    async fn tracing(&self, asked: Tracing) -> Tracing {
        match asked == Tracing::On || self.is_traced().await {
            true => Tracing::On,
            false => asked,
        }
    }

    async fn perform_and_audit(&self, mut call: Call, tracing: Tracing) -> u8 {
        let started = std::time::Instant::now();
        let _at_work = self.work.begin(call.command.action);
        let outcome = self.perform_verb(&mut call).await;
        self.audit(&mut call, &outcome).await;
        let code = finish(outcome, &mut call.out).await;
        if self.tracing(tracing).await == Tracing::On {
            trace(&mut call, code, started.elapsed()).await;
        }
        code
    }

    /// A key's rights count as they are when the command begins, however long ago the connection was made.
    async fn look_up_rights(&self, actor: &mut Actor) {
        let limit = match actor {
            Actor::Local { .. } => return,
            Actor::Key { .. } => None,
            Actor::Web(web) => web.limit.clone(),
        };
        let found = self.rights_of(&actor.holder(), limit.as_ref()).await;
        let found = found.unwrap_or_else(|failure| {
            tracing::error!(error = %failure, "cannot look up what {} may do", actor.name());
            Rights::default()
        });
        match actor {
            Actor::Local { .. } => {}
            Actor::Key { rights, .. } => *rights = found,
            Actor::Web(web) => web.rights = found,
        }
    }

    /// The help that these words ask for, if they do.
    async fn help(&self, words: &Globals, out: &mut Out) -> Option<Outcome> {
        let (name, arguments) = words.rest.split_first()?;
        let topic = help::topic(name, arguments)?;
        if let Err(failure) = words.refuse_early() {
            return Some(Err(failure));
        }
        let shown = help::show(out, &topic, &self.replaced()).await;
        let of_all = name == "help" && arguments.iter().all(|word| word.starts_with('-'));
        if shown.is_ok() && of_all {
            let everything = arguments.iter().any(|word| word == "--all");
            let detail = if everything {
                Detail::Everything
            } else {
                Detail::Short
            };
            return Some(self.foreign_help(out, detail).await);
        }
        Some(shown)
    }

    /// The verb, between the triggers that belong around it.
    async fn perform_verb(&self, call: &mut Call) -> Outcome {
        self.announce(call).await?;
        let done = (call.command.run)(self, call).await;
        // Plugins that are told look into the files.
        self.show_change(call).await;
        done?;
        self.tell_of(call).await
    }

    /// Carries another command out in place of the one called, for the same caller.
    pub(crate) async fn stand_in(&self, call: &mut Call, words: &[String]) -> Outcome {
        let found = words.split_first();
        let found = found.and_then(|(name, rest)| Some((table::find(name)?, rest)));
        let Some((command, arguments)) = found else {
            let name = words.first().map_or("", String::as_str);
            return Err(Failure::new(format!("There is no command {name}")));
        };
        let globals = Globals::take(words)?;
        let (args, app) = self
            .prepare(command, &call.actor, &globals, arguments)
            .await?;
        let mut inner = Call {
            actor: call.actor.clone(),
            identity: call.identity.clone(),
            command,
            args,
            app,
            out: call.take_out(),
            stdin: call.take_stdin(),
            terminal: None,
            git_protocol: None,
            folder: call.folder.clone(),
            gone: call.gone.clone(),
            force: call.force,
            verdict: 0,
        };
        let outcome = Box::pin(self.perform_verb(&mut inner)).await;
        call.out = inner.out;
        outcome
    }

    /// The verb of this name, unless a plugin takes the place of the addon that it belongs to.
    fn own(&self, name: &str) -> Option<&'static Command> {
        let noun = name.split(':').next().unwrap_or_default();
        let is_addon = verbs::addons::commands()
            .iter()
            .any(|command| command.name == name);
        if is_addon && self.plugins.is_enabled(noun) {
            return None;
        }
        table::find(name)
    }

    /// Addons whose place a plugin has taken.
    pub(crate) fn replaced(&self) -> BTreeSet<String> {
        let names = self.addons.catalog.iter();
        let names = names.map(|addon| addon.name.to_string());
        names.filter(|name| self.plugins.is_enabled(name)).collect()
    }

    /// A command that is none of ours may be a plugin's.
    async fn foreign(&self, foreign: Foreign<'_>, out: &mut Out) -> Outcome {
        let words = foreign.words.join(" ");
        self.offer(foreign, out).await?.ok_or_else(|| {
            Failure::new(format!(
                "`{}` is not a dokku command.\nSee `dokku help` for a list of available commands.",
                words.escape_debug()
            ))
        })
    }

    /// Files for programs written for Dokku follow what the command has changed, even one that failed half way.
    async fn show_change(&self, call: &mut Call) {
        if matches!(call.command.action, Action::List | Action::Read) {
            return;
        }
        match &call.app {
            Some(app) => self.refresh_views(app).await,
            None => self.refresh_global_views().await,
        }
    }

    /// Keeps a record of what was changed, by whom and with what result.
    async fn audit(&self, call: &mut Call, outcome: &Outcome) {
        if matches!(call.command.action, Action::List | Action::Read) {
            return;
        }
        let named = call.app.as_ref().map(|app| app.as_str());
        let object = named.or(call.args.get(0)).unwrap_or_default().to_owned();
        let detail = serde_json::json!({ "exit_code": outcome.as_ref().map_or_else(|f| f.code, |()| call.verdict), "door": call.actor.door() });
        let actor = call.actor.clone();
        let event = NewEvent {
            actor: actor.name(),
            source_ip: actor.source(),
            action: call.command.name,
            object: &object,
            detail: &detail,
        };
        if self.logs_events().await {
            let (actor, action) = (event.actor, event.action);
            tracing::info!(actor.name = actor, action, object = %object.escape_debug(), %detail, "{actor}: {action}");
        }
        if let Err(error) = self.store.events().append(event).await {
            tracing::error!(%error, "cannot append to the audit log");
        }
    }
}

/// Its rights are looked up with each command.
fn holder(key: SshKey, source: IpAddr) -> Actor {
    Actor::Key {
        name: key.name,
        fingerprint: key.fingerprint,
        source,
        rights: Rights::default(),
    }
}

impl Front for Control {
    async fn authenticate(&self, public_key: &str, _: &str, source: IpAddr) -> Option<Actor> {
        match self.store.ssh_keys().find_by_public_key(public_key).await {
            Ok(key) => key.map(|key| holder(key, source)),
            Err(error) => {
                tracing::error!(%error, "cannot look up a key");
                None
            }
        }
    }

    async fn vouched(&self, fingerprint: &str, source: IpAddr) -> Option<Actor> {
        match self.store.ssh_keys().find_by_fingerprint(fingerprint).await {
            Ok(key) => key.map(|key| holder(key, source)),
            Err(error) => {
                tracing::error!(%error, "cannot look up a key");
                None
            }
        }
    }

    async fn run(&self, request: Request, io: Io) -> u8 {
        let started = std::time::Instant::now();
        let (actor, name) = (
            request.actor.name().to_owned(),
            request.argv.first().cloned().unwrap_or_default(),
        );
        let code = Box::pin(self.execute(request, io)).await;
        let millis = started.elapsed().as_millis();
        tracing::debug!(command.name = %name, actor.name = %actor, exit_code = code, millis, "{name} ended");
        code
    }

    async fn hook(&self, call: HookCall, io: Io) -> u8 {
        self.answer_hook(call, io).await
    }
}

/// How a command went. Its name alone: arguments may be secrets.
async fn trace(call: &mut Call, code: u8, took: std::time::Duration) {
    let line = format!("+ {}: exit {code} after {took:?}\n", call.command.name);
    if let Err(gone) = call.out.error_bytes(line.as_bytes()).await {
        tracing::debug!(%gone, "nobody reads the trace");
    }
}

async fn finish(outcome: Outcome, out: &mut Out) -> u8 {
    match outcome {
        Ok(()) => 0,
        Err(failure) => say(out, &failure).await,
    }
}

async fn say(out: &mut Out, failure: &Failure) -> u8 {
    if !failure.message.is_empty()
        && let Err(gone) = out.warn(&failure.message).await
    {
        tracing::debug!(%gone, "nobody is left to read the error");
    }
    failure.code
}
