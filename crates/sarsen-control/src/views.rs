//! Views: the files that programs written for Dokku read, made from the store. They are written after a change has
//! been committed and made true at the start; nothing ever reads them back.
//!
//! Config vars are not among them: they stay sealed, and scripts ask for them (`config:get`).

mod files;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use sarsen_domain::{AppName, Service};
use sarsen_store::{Instance, InstanceState, Scope, StoreError};

use crate::control::{Control, ControlSettings};
use crate::failure::Outcome;
use files::{Files, Folder, Mode, Wanted};

/// The folders that are there even when nothing is in them.
const FOLDERS: [&str; 5] = ["config", "data", "data/apps", "data/storage", "services"];

/// Writes the files, one refresh after the other: an older view must not overwrite a newer one.
pub(crate) struct Views {
    files: Arc<Files>,
    turn: tokio::sync::Mutex<()>,
    /// The containers that each app's files tell of.
    shown: Mutex<HashMap<AppName, Vec<Shown>>>,
}

/// A container as the files tell of it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Shown {
    place: String,
    container: String,
    ip: Option<String>,
    port: Option<u16>,
}

impl Views {
    pub(crate) fn new(settings: &ControlSettings) -> Self {
        let files = Files {
            root: settings.dokku_root.clone(),
            lib: settings.dokku_lib_root.clone(),
            lists: settings.data_dir.join("views"),
            owner: settings.dokku_owner,
        };
        Self {
            files: Arc::new(files),
            turn: tokio::sync::Mutex::default(),
            shown: Mutex::default(),
        }
    }

    /// Remembers what the files of an app tell of its containers; whether that is new.
    fn is_news(&self, app: &AppName, shown: &[Shown]) -> bool {
        let mut known = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        if known.get(app).map_or(&[][..], Vec::as_slice) == shown {
            return false;
        }
        known.insert(app.clone(), shown.to_vec());
        true
    }
}

impl Control {
    /// Makes the files of an app agree with the store; those of an app that is no more go away.
    pub async fn refresh_views(&self, app: &AppName) {
        self.warn_of(app.as_str(), self.try_refresh(Some(app)).await);
    }

    /// Makes the host's own files agree with the store, and every app's when the global domains have changed.
    pub async fn refresh_global_views(&self) {
        let written = self.try_refresh(None).await;
        let named_anew = written.as_ref().is_ok_and(|places| {
            places
                .iter()
                .any(|wanted| *wanted == (Folder::Root, "VHOST".to_owned()))
        });
        self.warn_of(files::GLOBAL, written);
        if named_anew {
            self.refresh_apps().await;
        }
    }

    /// Makes every file agree with the store: at the start. The files of apps come one after the other, while the daemon
    /// serves already: after a clean end they are true anyhow, and there may be thousands of them.
    pub async fn refresh_all_views(&self) {
        let files = Arc::clone(&self.views.files);
        let made = self
            .tasks
            .spawn_blocking(move || files.make_folders(&FOLDERS));
        match made.await.map_err(io::Error::other) {
            Ok(Ok(())) => {}
            Ok(Err(error)) | Err(error) => {
                return tracing::warn!(%error, "cannot make the folders for programs written for Dokku");
            }
        }
        self.warn_of(files::GLOBAL, self.try_refresh(None).await);
        let control = self.clone();
        self.tasks.spawn(async move {
            let refresh = control.refresh_apps();
            control.shutdown.run_until_cancelled(refresh).await;
        });
    }

    /// The files of apps whose containers are others now.
    pub(crate) async fn follow_containers(&self) {
        let instances = match self.store.instances().all().await {
            Ok(instances) => instances,
            Err(error) => return tracing::warn!(%error, "cannot read which containers there are"),
        };
        let catalog = self.registry.catalog();
        let mut by_app: BTreeMap<AppName, Vec<Instance>> = BTreeMap::new();
        for instance in instances {
            by_app
                .entry(instance.app.clone())
                .or_default()
                .push(instance);
        }
        for (app, instances) in by_app {
            if self
                .views
                .is_news(&app, &shown(&instances, catalog.services()))
            {
                self.refresh_views(&app).await;
            }
        }
    }

    async fn refresh_apps(&self) {
        let apps = match self.store.apps().list().await {
            Ok(apps) => apps,
            Err(error) => return tracing::warn!(%error, "cannot read which apps there are"),
        };
        let files = Arc::clone(&self.views.files);
        let listed = self.tasks.spawn_blocking(move || files.listed()).await;
        let known = listed.unwrap_or_default();
        let gone = known.iter().filter_map(|name| AppName::parse(name).ok());
        let gone: Vec<_> = gone.filter(|app| !apps.contains(app)).collect();
        for app in apps.iter().chain(&gone) {
            self.refresh_views(app).await;
        }
    }

    async fn try_refresh(&self, app: Option<&AppName>) -> Outcome<Vec<files::Place>> {
        let _turn = self.views.turn.lock().await;
        let wanted = match app {
            None => self.global_view().await?,
            Some(app) => match self.app_view(app).await {
                Err(failure) if failure.code == crate::failure::NO_SUCH_APP => Vec::new(),
                wanted => wanted?,
            },
        };
        let name = app.map_or(files::GLOBAL, AppName::as_str).to_owned();
        let files = Arc::clone(&self.views.files);
        let work = move || files.apply(&name, &wanted);
        let done = self.tasks.spawn_blocking(work).await;
        Ok(done.map_err(io::Error::other).and_then(|done| done)?)
    }

    /// A view that is not true is a nuisance to a script, and no reason to fail what has been done.
    fn warn_of(&self, name: &str, outcome: Outcome<Vec<files::Place>>) {
        if let Err(failure) = outcome {
            tracing::warn!(error = %failure, "cannot write the files of {name} for programs written for Dokku");
        }
    }

    async fn global_view(&self) -> Outcome<Vec<Wanted>> {
        let domains = self.store.domains().list(&Scope::Global).await?;
        let mut wanted = vec![
            Wanted::root("VHOST", lines(&domains)),
            Wanted::root("HOSTNAME", format!("{}\n", self.settings.ssh_host)),
        ];
        wanted.extend(self.properties(&Scope::Global).await?);
        Ok(wanted)
    }

    async fn app_view(&self, app: &AppName) -> Outcome<Vec<Wanted>> {
        let scope = Scope::App(app.clone());
        let mut wanted = self.properties(&scope).await?;
        let domains = self.app_domains(app).await?;
        if self.store.domains().vhosts_enabled(app).await? {
            wanted.push(Wanted::root(&format!("{app}/VHOST"), lines(&domains)));
        }
        let list = |plugin: &str, key: &str, text: String| {
            Wanted::property(plugin, app.as_str(), key, text).filter(|wanted| !wanted.is_empty())
        };
        let formation = self.store.formation().get(app).await?;
        let scale: String = formation
            .iter()
            .map(|(process, quantity)| format!("{process}={quantity}\n"))
            .collect();
        wanted.extend(list("ps", "scale", scale));
        let ports = self.store.ports().list(app).await?;
        wanted.extend(list("ports", "map", lines(&ports)));
        let buildpacks = self.store.buildpacks().get(app).await?;
        wanted.extend(list("buildpacks", "buildpacks", lines(&buildpacks)));
        // The key stays sealed.
        if let Some(certificate) = self.store.certificates().get(app).await? {
            let path = format!("{app}/tls/server.crt");
            wanted.push(Wanted::root(&path, certificate.chain));
        }
        let instances = self.store.instances().list(app).await?;
        let shown = shown(&instances, self.registry.catalog().services());
        self.views.is_news(app, &shown);
        wanted.extend(shown.iter().flat_map(|shown| shown.files(app)));
        Ok(wanted)
    }

    async fn properties(&self, scope: &Scope) -> Result<Vec<Wanted>, StoreError> {
        let properties = self.store.properties().of_scope(scope).await?;
        let folder = match scope {
            Scope::Global => files::GLOBAL,
            Scope::App(app) => app.as_str(),
        };
        Ok(properties
            .into_iter()
            .filter_map(|(plugin, key, value)| Wanted::property(&plugin, folder, &key, value))
            .collect())
    }
}

impl Shown {
    fn files(&self, app: &AppName) -> Vec<Wanted> {
        let file = |kind: &str, text: &str| {
            Wanted::root(&format!("{app}/{kind}.{}", self.place), text.to_owned())
        };
        let mut files = vec![file("CONTAINER", &self.container)];
        files.extend(self.ip.as_deref().map(|ip| file("IP", ip)));
        files.extend(self.port.map(|port| file("PORT", &port.to_string())));
        files
    }
}

impl Wanted {
    fn root(path: &str, text: String) -> Self {
        Self {
            place: (Folder::Root, path.to_owned()),
            bytes: text.into_bytes(),
            mode: Mode::Public,
        }
    }

    /// A property's file, unless its name cannot be one.
    fn property(plugin: &str, scope: &str, key: &str, value: String) -> Option<Self> {
        let plain = |name: &str| {
            let legal = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
            !name.is_empty() && !name.starts_with('.') && name.chars().all(legal)
        };
        (plain(plugin) && plain(key)).then(|| Self {
            place: (Folder::Lib, format!("config/{plugin}/{scope}/{key}")),
            bytes: value.into_bytes(),
            mode: Mode::Private,
        })
    }

    fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }
}

/// The live containers, with the addresses that the catalog knows.
fn shown(instances: &[Instance], services: &BTreeMap<String, Service>) -> Vec<Shown> {
    let ip = |id: i64| {
        let service = services
            .values()
            .find(|service| service.owner.as_ref().is_some_and(|own| own.instance == id));
        service.map(|service| service.address.ip().to_string())
    };
    let live = instances
        .iter()
        .filter(|instance| instance.state == InstanceState::Live);
    let shown = live.filter_map(|instance| {
        Some(Shown {
            place: format!("{}.{}", instance.process, instance.index),
            container: instance.container.as_ref()?.to_string(),
            ip: ip(instance.id),
            port: instance.port,
        })
    });
    shown.collect()
}

fn lines<T: std::fmt::Display>(items: &[T]) -> String {
    items.iter().map(|item| format!("{item}\n")).collect()
}
