//! Services on the container engine: made, started, waited for, stopped, removed.
//!
//! A service is a container on a network of its own, and a volume. Everything but the volume can be made anew at any
//! time, so whatever is missing or broken is.

mod values;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};
use sarsen_domain::container::label;
use sarsen_domain::{ContainerId, ContainerName, ImageRef, ServiceName};
use sarsen_runtime::{
    ContainerInfo, ContainerSpec, ContainerStatus, ExecSpec, LogOptions, NetworkPlace,
    RestartPolicy, Runtime, RuntimeError,
};
use tokio::net::TcpStream;

use crate::{Addon, AddonError, Secrets, Shape};
pub(crate) use values::{Values, tar_of};

/// Which service a container belongs to: the id that the caller gave.
pub(crate) const SERVICE_LABEL: &str = "com.sarsen.service";
/// What the container was made like.
const SHAPE_LABEL: &str = "com.sarsen.shape";
/// How long a server gets to write its data down.
const GRACE: Duration = Duration::from_secs(60);
const PIDS: i64 = 4096;
const LOOK_AGAIN: Duration = Duration::from_millis(100);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
/// How much of a failed service's output is shown.
const LOG_LINES: u32 = 20;

/// A service, as it is to be.
#[derive(Debug, Clone)]
pub struct Service {
    /// Never used for another one.
    pub id: i64,
    pub name: ServiceName,
    pub image: ImageRef,
    /// The volume with its data.
    pub volume: String,
    pub secrets: Secrets,
    /// What people chose for it.
    pub shape: Shape,
}

/// Makes services. Cheap to clone.
#[derive(Clone)]
pub struct Engine {
    pub(crate) runtime: Runtime,
    pub(crate) owner: String,
    /// `services/ADDON/SERVICE/config` of it are the folders with more configuration.
    folder: PathBuf,
}

impl Engine {
    /// On this container engine; `owner` is the installation that containers belong to, and `folder` the host's folder
    /// of files for services.
    pub fn new(runtime: Runtime, owner: impl Into<String>, folder: impl Into<PathBuf>) -> Self {
        Self {
            runtime,
            owner: owner.into(),
            folder: folder.into(),
        }
    }

    /// The host's folder of a service.
    pub fn folder(&self, addon: &Addon, service: &Service) -> PathBuf {
        let (addon, name) = (addon.name.as_str(), service.name.as_str());
        self.folder.join("services").join(addon).join(name)
    }

    /// Whether an image is on this host.
    pub async fn has_image(&self, image: &ImageRef) -> Result<bool, AddonError> {
        match self.runtime.image(image).await {
            Ok(_) => Ok(true),
            Err(RuntimeError::NotFound(_)) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Fetches an image.
    pub async fn pull(&self, image: &ImageRef) -> Result<(), AddonError> {
        let pulled = async {
            let mut progress = self.runtime.pull(image, None).await?;
            while progress.try_next().await?.is_some() {}
            Ok(())
        };
        pulled.await.map_err(|error: RuntimeError| match error {
            RuntimeError::Unreachable(_) => error.into(),
            RuntimeError::NotFound(_)
            | RuntimeError::Conflict(_)
            | RuntimeError::BuildFailed(_)
            | RuntimeError::Engine(_) => AddonError::NoImage {
                image: image.clone(),
                reason: error.to_string(),
            },
        })
    }

    /// The service's container, when there is one.
    pub async fn find(
        &self,
        addon: &Addon,
        service: &Service,
    ) -> Result<Option<ContainerInfo>, AddonError> {
        let found = self.namesake(addon, service).await?;
        Ok(found.filter(|info| is_of(info, service)))
    }

    /// Makes the service run: whatever of it is missing is made, and its container is started. Its image must be there.
    pub async fn up(&self, addon: &Addon, service: &Service) -> Result<ContainerId, AddonError> {
        self.ensure_network(addon, service).await?;
        if addon.config.is_some() {
            make_folder(&self.folder(addon, service).join("config")).await?;
        }
        if addon.data.is_some() {
            let labels = self.labels(addon, service).into_iter().collect::<Vec<_>>();
            let volume = self.runtime.ensure_volume(&service.volume, &labels);
            volume.await?;
        }
        match self.namesake(addon, service).await? {
            Some(info) if is_of(&info, service) && self.is_as_wanted(addon, service, &info)? => {
                match self.runtime.start(&info.id).await {
                    Ok(()) => {
                        self.join_late(service, &info.id).await?;
                        return Ok(info.id);
                    }
                    Err(error @ RuntimeError::Unreachable(_)) => return Err(error.into()),
                    Err(error) => {
                        tracing::warn!(container.id = %info.id, %error, "{} does not start and is made anew", info.name);
                        self.runtime.remove(&info.id).await?;
                    }
                }
            }
            // Something else was chosen for it since.
            Some(info) if is_of(&info, service) => {
                self.runtime.stop(&info.id, GRACE).await?;
                self.runtime.remove(&info.id).await?;
            }
            // Of a service that had the name before.
            Some(info) => self.runtime.remove(&info.id).await?,
            None => {}
        }
        self.make(addon, service).await
    }

    /// Makes the service's network if it is not there; gives its name.
    pub async fn ensure_network(
        &self,
        addon: &Addon,
        service: &Service,
    ) -> Result<String, AddonError> {
        let network = format!("sarsen.{}.{}", addon.name, service.name);
        let labels: Vec<_> = self.labels(addon, service).into_iter().collect();
        self.runtime.ensure_network(&network, &labels).await?;
        Ok(network)
    }

    /// Waits until the service answers.
    pub async fn ready(
        &self,
        addon: &Addon,
        service: &Service,
        within: Duration,
    ) -> Result<(), AddonError> {
        let deadline = Instant::now() + within;
        loop {
            let Some(info) = self.find(addon, service).await? else {
                return Err(AddonError::NotRunning(service.name.to_string()));
            };
            let ended = matches!(info.status, ContainerStatus::Exited | ContainerStatus::Dead);
            if ended || info.restart_count > 0 && !info.is_running() {
                return Err(AddonError::Ended {
                    code: info.exit_code.unwrap_or_default(),
                    output: self.last_lines(&info.id).await,
                });
            }
            if info.is_running() && self.answers(addon, service, &info).await? {
                return Ok(());
            }
            if Instant::now() >= deadline {
                return Err(AddonError::NotReady {
                    seconds: within.as_secs(),
                    output: self.last_lines(&info.id).await,
                });
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }

    /// Stops the service's container, which stays.
    pub async fn stop(&self, addon: &Addon, service: &Service) -> Result<(), AddonError> {
        if let Some(info) = self.find(addon, service).await? {
            self.runtime.stop(&info.id, GRACE).await?;
        }
        Ok(())
    }

    /// Stops the service's container and removes it; the data stays.
    pub async fn down(&self, addon: &Addon, service: &Service) -> Result<(), AddonError> {
        if let Some(info) = self.find(addon, service).await? {
            self.runtime.stop(&info.id, GRACE).await?;
            self.runtime.remove(&info.id).await?;
        }
        Ok(())
    }

    /// Removes the service, data and all. What is gone already is fine.
    pub async fn remove(&self, addon: &Addon, service: &Service) -> Result<(), AddonError> {
        let found = match self.find(addon, service).await {
            // Then ours was never made.
            Err(AddonError::NameTaken(_)) => return self.remove_volume(service).await,
            found => found?,
        };
        if let Some(info) = found {
            self.runtime.remove(&info.id).await?;
        }
        self.remove_volume(service).await?;
        remove_folder(&self.folder(addon, service)).await?;
        let network = format!("sarsen.{}.{}", addon.name, service.name);
        Ok(self.runtime.remove_network(&network).await?)
    }

    async fn remove_volume(&self, service: &Service) -> Result<(), AddonError> {
        Ok(self.runtime.remove_volume(&service.volume).await?)
    }

    /// The URL that linked apps get.
    pub fn url(addon: &Addon, service: &Service) -> String {
        Values::of(addon, service).fill(&addon.url)
    }

    /// The container of this name, if it is this installation's.
    async fn namesake(
        &self,
        addon: &Addon,
        service: &Service,
    ) -> Result<Option<ContainerInfo>, AddonError> {
        let name = container_name(addon, service)?;
        match self.runtime.find(&name).await? {
            Some(info) if info.labels.get(label::OWNER) != Some(&self.owner) => {
                Err(AddonError::NameTaken(name.to_string()))
            }
            found => Ok(found),
        }
    }

    async fn make(&self, addon: &Addon, service: &Service) -> Result<ContainerId, AddonError> {
        let spec = self.spec(addon, service)?;
        let id = self.runtime.create(&spec).await?;
        let started = async {
            if !(addon.files.is_empty() && addon.hooks.is_empty()) {
                let files = tar_of(addon, &Values::of(addon, service))?;
                let files = Box::pin(stream::iter([Ok(files)]));
                self.runtime.upload(&id, "/", files).await?;
            }
            self.runtime.start(&id).await?;
            self.join_late(service, &id).await
        };
        if let Err(error) = started.await {
            if let Err(error) = self.runtime.remove(&id).await {
                tracing::warn!(container.id = %id, %error, "a container that did not start stays");
            }
            return Err(error.into());
        }
        Ok(id)
    }

    async fn join_late(&self, service: &Service, id: &ContainerId) -> Result<(), RuntimeError> {
        for network in &service.shape.late_networks {
            self.runtime.connect_network(id, network, &[]).await?;
        }
        Ok(())
    }

    fn is_as_wanted(
        &self,
        addon: &Addon,
        service: &Service,
        info: &ContainerInfo,
    ) -> Result<bool, AddonError> {
        let wanted = self.spec(addon, service)?;
        Ok(info.labels.get(SHAPE_LABEL) == wanted.labels.get(SHAPE_LABEL))
    }

    fn spec(&self, addon: &Addon, service: &Service) -> Result<ContainerSpec, AddonError> {
        let values = Values::of(addon, service);
        let command: Vec<_> = addon.command.iter().map(|word| values.fill(word)).collect();
        let mut spec = self.basis(addon, service);
        spec.name = Some(container_name(addon, service)?);
        spec.command = (!command.is_empty()).then_some(command);
        spec.expose.clone_from(&addon.ports);
        spec.restart = RestartPolicy::UnlessStopped;
        spec.stop_timeout = u32::try_from(GRACE.as_secs()).ok();
        spec.network = Some(NetworkPlace {
            network: format!("sarsen.{}.{}", addon.name, service.name),
            aliases: vec![addon.host(&service.name)],
        });
        service.shape.apply(&mut spec);
        spec.flags.network_aliases = vec![addon.host(&service.name)];
        let shape = service.shape.describe(&spec);
        spec.labels.insert(SHAPE_LABEL.to_owned(), shape);
        Ok(spec)
    }

    /// What every container with the service's data has.
    pub(crate) fn basis(&self, addon: &Addon, service: &Service) -> ContainerSpec {
        let data = addon.data.iter();
        let data = data.map(|data| format!("{}:{data}", service.volume));
        let folder = self.folder(addon, service);
        let config = addon.config.iter();
        let config = config.map(|config| format!("{}/config:{config}:ro", folder.display()));
        let mut env = Values::of(addon, service).env(&addon.env);
        for line in &service.shape.env {
            let key = line.split('=').next().unwrap_or_default();
            env.retain(|own| own.split('=').next() != Some(key));
            env.push(line.clone());
        }
        ContainerSpec {
            image: service.image.to_string(),
            env,
            labels: self.labels(addon, service),
            binds: data.chain(config).collect(),
            pids_limit: Some(PIDS),
            drop_capabilities: true,
            no_new_privileges: true,
            log_max_size: Some("10m".to_owned()),
            ..ContainerSpec::default()
        }
    }

    pub(crate) fn labels(&self, addon: &Addon, service: &Service) -> BTreeMap<String, String> {
        [
            (label::DOKKU, "service".to_owned()),
            ("dokku.service", addon.name.to_string()),
            ("SERVICE_NAME", addon.host(&service.name)),
            (SERVICE_LABEL, service.id.to_string()),
            (label::OWNER, self.owner.clone()),
        ]
        .map(|(key, value)| (key.to_owned(), value))
        .into()
    }

    async fn answers(
        &self,
        addon: &Addon,
        service: &Service,
        info: &ContainerInfo,
    ) -> Result<bool, AddonError> {
        if addon.ready.is_empty() {
            let (Some(address), Some(port)) = (info.address(), addon.ports.first()) else {
                return Ok(false);
            };
            let connected = TcpStream::connect((address, *port));
            let connected = tokio::time::timeout(CONNECT_TIMEOUT, connected).await;
            return Ok(matches!(connected, Ok(Ok(_))));
        }
        let values = Values::of(addon, service);
        let spec = ExecSpec {
            command: addon.ready.iter().map(|word| values.fill(word)).collect(),
            env: values.env(&addon.exec_env),
            ..ExecSpec::default()
        };
        let mut exec = match self.runtime.exec(&info.id, &spec).await {
            Ok(exec) => exec,
            // It ended a moment ago, which the next look tells.
            Err(RuntimeError::Conflict(_) | RuntimeError::NotFound(_)) => return Ok(false),
            Err(error) => return Err(error.into()),
        };
        while exec.streams.output.try_next().await?.is_some() {}
        Ok(self.runtime.exec_exit_code(&exec.id).await? == 0)
    }

    pub(crate) async fn last_lines(&self, id: &ContainerId) -> String {
        let options = LogOptions {
            tail: Some(LOG_LINES),
            ..LogOptions::default()
        };
        let Ok(output) = self.runtime.logs(id, options).await else {
            return String::new();
        };
        let chunks = output.filter_map(async |chunk| chunk.ok().map(|chunk| chunk.bytes));
        let bytes: Vec<Bytes> = chunks.collect().await;
        String::from_utf8_lossy(&bytes.concat())
            .trim_end()
            .to_owned()
    }
}

fn container_name(addon: &Addon, service: &Service) -> Result<ContainerName, AddonError> {
    let name = format!("dokku.{}.{}", addon.name, service.name);
    Ok(ContainerName::parse(&name)?)
}

/// Made for the server in the container to read, whoever that is there.
async fn make_folder(path: &Path) -> Result<(), AddonError> {
    let made = tokio::fs::create_dir_all(path).await;
    made.map_err(|error| unusable(path, &error))
}

async fn remove_folder(path: &Path) -> Result<(), AddonError> {
    match tokio::fs::remove_dir_all(path).await {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(unusable(path, &error)),
        _ => Ok(()),
    }
}

fn unusable(path: &Path, error: &std::io::Error) -> AddonError {
    AddonError::Unsupported(format!("Cannot use {}: {error}", path.display()))
}

fn is_of(info: &ContainerInfo, service: &Service) -> bool {
    info.labels.get(SERVICE_LABEL) == Some(&service.id.to_string())
}

#[cfg(test)]
mod tests;
