//! Services of addons, between the store that remembers them and the engine that runs them.

mod backups;
mod schedule;
mod trials;
mod upgrade;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rand::Rng;
use sarsen_addons::{Addon, Catalog, Engine, Exposed, Secrets, Service, Shape};
use sarsen_domain::{AddonName, AppName, Config, EnvKey, ImageRef, ServiceName};
use sarsen_plugins::{PluginName, Trigger};
use sarsen_store::{NewService, Scope, ServiceRecord, ServiceSettings, ServiceState};

use crate::control::Control;
use crate::failure::{Failure, Outcome};

pub(crate) use backups::BackupWish;
pub(crate) use upgrade::Crossing;

/// How long a service may take until it answers; the first start of a database makes its files.
const READY: Duration = Duration::from_secs(120);

/// What tells a second link of one addon from the first: `DOKKU_REDIS_AQUA_URL`.
const COLOURS: [&str; 16] = [
    "AQUA", "BLACK", "BLUE", "FUCHSIA", "GRAY", "GREEN", "LIME", "MAROON", "NAVY", "OLIVE",
    "PURPLE", "RED", "SILVER", "TEAL", "WHITE", "YELLOW",
];

/// The addons, and which services somebody is at work on.
#[derive(Clone)]
pub(crate) struct Addons {
    pub(crate) catalog: Catalog,
    pub(crate) engine: Engine,
    busy: Arc<Mutex<BTreeSet<Key>>>,
}

type Key = (AddonName, ServiceName, Part);

/// What of a service somebody is at work on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Part {
    /// Its container, its links, its settings.
    Service,
    /// Its data, as a whole: it is being read for a backup, or replaced.
    Data,
}

/// A service that is wanted.
pub(crate) struct Wish {
    pub name: ServiceName,
    pub image: ImageRef,
    /// Passwords that somebody chose; the others are made.
    pub secrets: Secrets,
    pub settings: ServiceSettings,
}

/// Keeps others from a service until dropped.
pub(crate) struct Busy {
    key: Key,
    busy: Arc<Mutex<BTreeSet<Key>>>,
}

impl Drop for Busy {
    fn drop(&mut self) {
        let mut busy = self.busy.lock().unwrap_or_else(PoisonError::into_inner);
        busy.remove(&self.key);
    }
}

impl Addons {
    pub(crate) fn new(catalog: Catalog, engine: Engine) -> Self {
        Self {
            catalog,
            engine,
            busy: Arc::default(),
        }
    }

    /// Takes a service for oneself, or says at once that somebody else has it.
    pub(crate) fn take(&self, addon: &AddonName, name: &ServiceName) -> Outcome<Busy> {
        self.take_part(addon, name, Part::Service)
    }

    /// The same for what reads or replaces its data.
    pub(crate) fn take_data(&self, addon: &AddonName, name: &ServiceName) -> Outcome<Busy> {
        self.take_part(addon, name, Part::Data)
    }

    /// The same for what needs the service and its data.
    pub(crate) fn take_whole(
        &self,
        addon: &AddonName,
        name: &ServiceName,
    ) -> Outcome<(Busy, Busy)> {
        Ok((self.take(addon, name)?, self.take_data(addon, name)?))
    }

    /// Whether a command is at work on any service.
    pub(crate) fn are_busy(&self) -> bool {
        let busy = self.busy.lock().unwrap_or_else(PoisonError::into_inner);
        !busy.is_empty()
    }

    fn take_part(&self, addon: &AddonName, name: &ServiceName, part: Part) -> Outcome<Busy> {
        let key = (addon.clone(), name.clone(), part);
        let mut busy = self.busy.lock().unwrap_or_else(PoisonError::into_inner);
        if !busy.insert(key.clone()) {
            let what = match part {
                Part::Service => "",
                Part::Data => " data of the",
            };
            return Err(Failure::new(format!(
                "Another command is at work on the{what} {addon} service {name}: try again when it is done"
            )));
        }
        drop(busy);
        Ok(Busy {
            key,
            busy: self.busy.clone(),
        })
    }
}

/// A stored service in the words of the engine.
pub(crate) fn service(record: &ServiceRecord) -> Service {
    Service {
        id: record.id,
        name: record.name.clone(),
        image: record.image.clone(),
        volume: record.volume.clone(),
        secrets: record.secrets.clone(),
        shape: shape(&record.settings),
    }
}

fn shape(settings: &ServiceSettings) -> Shape {
    let exposed = settings.exposed.iter().map(|one| Exposed {
        port: one.port,
        host_ip: one.host_ip,
        host_port: one.host_port,
    });
    let networks = settings.initial_networks.iter();
    let networks = networks.chain(&settings.post_create_networks);
    let env = settings.env.iter().map(|line| line.expose().to_owned());
    Shape {
        options: settings.options.clone(),
        env: env.collect(),
        memory: settings.memory,
        shm_size: settings.shm_size,
        networks: networks.cloned().collect(),
        late_networks: settings.post_start_networks.clone(),
        exposed: exposed.collect(),
    }
}

/// A volume's name that no other service has had.
fn new_volume(addon: &AddonName, name: &ServiceName) -> String {
    let suffix: u32 = rand::rng().random();
    format!("sarsen.{addon}.{name}.{suffix:08x}")
}

impl Control {
    /// Makes a service and waits until it answers. When that fails nothing is left of it.
    pub(crate) async fn create_service(&self, addon: &Addon, wish: Wish) -> Outcome<ServiceRecord> {
        let name = wish.name.clone();
        let record = self.write_down(addon, wish, ServiceState::Running).await?;
        let started = self.start_service(addon, &record).await;
        if let Err(failure) = started {
            self.clear_away(addon, &record).await;
            return Err(failure);
        }
        tracing::info!("{} service {name} is made", addon.name);
        Ok(record)
    }

    pub(crate) async fn write_down(
        &self,
        addon: &Addon,
        wish: Wish,
        state: ServiceState,
    ) -> Outcome<ServiceRecord> {
        let mut secrets = addon.new_secrets();
        secrets.extend(wish.secrets);
        let new = NewService {
            addon: addon.name.clone(),
            volume: new_volume(&addon.name, &wish.name),
            name: wish.name,
            image: wish.image,
            secrets,
            settings: wish.settings,
            state,
        };
        Ok(self.store.services().create(&new).await?)
    }

    /// Removes a service that came to nothing.
    pub(crate) async fn clear_away(&self, addon: &Addon, record: &ServiceRecord) {
        if let Err(failure) = self.destroy_service(addon, record).await {
            // It is marked, and the reconciler goes on.
            let name = &record.name;
            tracing::warn!(error = %failure, "remains of {} service {name} stay", addon.name);
        }
    }

    /// Tells plugins what is done to a service, as Dokku's datastores do. Before it is done they may stop it.
    pub(crate) async fn service_action(
        &self,
        action: &str,
        record: (&AddonName, &ServiceName),
        app: Option<&AppName>,
    ) -> Outcome {
        let trigger = Trigger::Custom(PluginName::parse("service-action")?);
        let (addon, name) = record;
        let mut args = vec![action, addon.as_str(), name.as_str()];
        args.extend(app.map(AppName::as_str));
        if action.starts_with("pre-") {
            return self.ask_plugins_about(trigger, &args).await;
        }
        self.tell_plugins_about(trigger, &args).await;
        Ok(())
    }

    /// Makes a service run and waits until it answers.
    pub(crate) async fn start_service(&self, addon: &Addon, record: &ServiceRecord) -> Outcome {
        let (engine, service) = (&self.addons.engine, service(record));
        let is_made = engine.find(addon, &service).await?.is_some();
        if !is_made && !engine.has_image(&service.image).await? {
            engine.pull(&service.image).await?;
        }
        engine.up(addon, &service).await?;
        Ok(engine.ready(addon, &service, READY).await?)
    }

    /// Removes a service and its data, unless apps are linked to it.
    pub(crate) async fn destroy_service(&self, addon: &Addon, record: &ServiceRecord) -> Outcome {
        let services = self.store.services();
        services.begin_destroy(record).await?;
        self.addons.engine.remove(addon, &service(record)).await?;
        Ok(services.remove(record.id).await?)
    }

    /// The networks of the services that an app is linked to; each is there.
    pub(crate) async fn app_networks(&self, app: &AppName) -> Outcome<Vec<String>> {
        let mut networks = Vec::new();
        for record in self.store.services().of_app(app).await? {
            let Some(addon) = self.addons.catalog.get(record.addon.as_str()) else {
                tracing::warn!(app.name = %app, "{app} is linked to a service of the addon {}, which is not here", record.addon);
                continue;
            };
            let engine = &self.addons.engine;
            networks.push(engine.ensure_network(addon, &service(&record)).await?);
        }
        Ok(networks)
    }

    /// The name of the config var for a new link of an app.
    pub(crate) async fn link_variable(
        &self,
        addon: &Addon,
        app: &AppName,
        chosen: Option<&str>,
    ) -> Outcome<EnvKey> {
        let config = self.store.config().get(&Scope::App(app.clone())).await?;
        free_variable(addon, &config, chosen)
    }

    /// Makes services agree with the store: those that should run do, those that should be gone go. One that does not
    /// start holds up nothing else.
    pub(crate) async fn revive_services(&self) -> Outcome {
        for record in self.store.services().all().await? {
            let (noun, name) = (&record.addon, &record.name);
            let Some(addon) = self.addons.catalog.get(noun.as_str()) else {
                tracing::warn!("the addon {noun} of service {name} is not here");
                continue;
            };
            // Whoever is at work on it leaves it as it should be.
            let Ok(busy) = self.addons.take(noun, name) else {
                continue;
            };
            self.drop_scratch(&record).await;
            let outcome = match record.state {
                ServiceState::Stopped => Ok(()),
                ServiceState::Destroying => self.destroy_service(addon, &record).await,
                ServiceState::Running => self.revive_service(addon, &record).await,
            };
            drop(busy);
            if let Err(failure) = outcome {
                tracing::error!(error = %failure, "{noun} service {name} is not as it should be");
            }
        }
        Ok(())
    }

    /// Starts what stands still; apps wait for their services themselves.
    async fn revive_service(&self, addon: &Addon, record: &ServiceRecord) -> Outcome {
        let (engine, service) = (&self.addons.engine, service(record));
        let found = engine.find(addon, &service).await?;
        if found
            .as_ref()
            .is_some_and(sarsen_runtime::ContainerInfo::is_running)
        {
            return Ok(());
        }
        engine.up(addon, &service).await?;
        let (noun, name) = (&record.addon, &record.name);
        tracing::info!("{noun} service {name} runs again");
        Ok(())
    }
}

/// What the caller chose, else the addon's usual variable, else one with a colour in it; it must be free.
fn free_variable(addon: &Addon, config: &Config, chosen: Option<&str>) -> Outcome<EnvKey> {
    let is_free = |key: &EnvKey| config.get(key.as_str()).is_none();
    if let Some(alias) = chosen {
        let key = EnvKey::parse(&format!("{}_URL", alias.to_ascii_uppercase()))?;
        if !is_free(&key) {
            return Err(Failure::new(format!(
                "Specified alias {alias} already in use: the app has a config var {key}"
            )));
        }
        return Ok(key);
    }
    if is_free(&addon.variable) {
        return Ok(addon.variable.clone());
    }
    let noun = addon.name.as_str().to_ascii_uppercase();
    for colour in COLOURS {
        let key = EnvKey::parse(&format!("DOKKU_{noun}_{colour}_URL"))?;
        if is_free(&key) {
            return Ok(key);
        }
    }
    Err(Failure::new(format!(
        "The app has no free config var for another {noun} service: choose one with --alias",
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_take_free_variables() {
        let catalog = Catalog::bundled().unwrap();
        let redis = catalog.get("redis").unwrap();
        let mut config = Config::default();
        let mut take = |chosen| {
            let key = free_variable(redis, &config, chosen)?;
            config.set(key.clone(), "x")?;
            Ok::<_, Failure>(key.to_string())
        };
        assert_eq!(take(None).unwrap(), "REDIS_URL");
        assert_eq!(take(None).unwrap(), "DOKKU_REDIS_AQUA_URL");
        assert_eq!(take(None).unwrap(), "DOKKU_REDIS_BLACK_URL");
        assert_eq!(take(Some("sessions")).unwrap(), "SESSIONS_URL");
        assert!(
            take(Some("sessions"))
                .unwrap_err()
                .message
                .contains("in use")
        );
        assert!(take(Some("a b")).is_err());
        for _ in 2..COLOURS.len() {
            take(None).unwrap();
        }
        assert!(take(None).unwrap_err().message.contains("--alias"));
    }

    #[test]
    fn one_command_at_a_time_works_on_a_service() {
        let runtime = std::sync::Arc::new(sarsen_runtime::fake::FakeRuntime::new());
        let engine = Engine::new(runtime, "me", "/nowhere");
        let addons = Addons::new(Catalog::default(), engine);
        let redis = AddonName::parse("redis").unwrap();
        let name = |text: &str| ServiceName::parse(text).unwrap();
        let held = addons.take(&redis, &name("a")).unwrap();
        assert!(addons.take(&redis, &name("a")).is_err());
        assert!(addons.take(&redis, &name("b")).is_ok());
        let data = addons.take_data(&redis, &name("a")).unwrap();
        assert!(addons.take_whole(&redis, &name("a")).is_err());
        drop(data);
        drop(held);
        assert!(addons.take(&redis, &name("a")).is_ok());
    }
}
