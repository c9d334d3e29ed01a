//! What is kept on disk from one run to the next: where our containers answered when they were last seen.
//!
//! It is believed only as far as the kernel confirms it: the machine has not been booted since, the container's first
//! process still lives, and still has the address. The first comparison with the engine replaces all of it.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use sarsen_domain::service::ServiceOwner;
use sarsen_domain::{AppName, ContainerId, Health, ProcessType, Service};
use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;

use crate::ledger::{Offer, Sighting};
use crate::process::{self, FirstProcess};

/// The file, and what was last written to it.
#[derive(Debug)]
pub(crate) struct Memory {
    path: PathBuf,
    written: Mutex<Option<String>>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Page {
    boot: String,
    containers: Vec<Entry>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Entry {
    container: String,
    started: i64,
    process: FirstProcess,
    services: Vec<Known>,
}

/// A service that passes its checks, without what only other programs want to know of it: that may be anything, secrets included.
#[derive(Debug, Serialize, Deserialize)]
struct Known {
    id: String,
    name: String,
    address: SocketAddr,
    app: String,
    #[serde(rename = "type")]
    process: String,
    instance: i64,
    dyno: String,
}

impl Memory {
    pub(crate) fn at(path: PathBuf) -> Self {
        Self {
            path,
            written: Mutex::default(),
        }
    }

    /// What is still true of what was written down. A file that cannot be read is as good as none: the engine knows.
    pub(crate) fn recall(&self) -> Vec<Sighting> {
        let text = match fs::read_to_string(&self.path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Vec::new(),
            Err(error) => {
                tracing::warn!(%error, "cannot read {}", self.path.display());
                return Vec::new();
            }
        };
        let page: Page = match serde_json::from_str(&text) {
            Ok(page) => page,
            Err(error) => {
                tracing::warn!(%error, "{} makes no sense and is not used", self.path.display());
                return Vec::new();
            }
        };
        if process::boot().is_none_or(|boot| boot != page.boot) {
            return Vec::new();
        }
        page.containers.iter().filter_map(Entry::confirm).collect()
    }

    /// Writes this down, unless it is what the file says already.
    pub(crate) async fn keep(
        &self,
        known: &[Sighting],
        passes: impl Fn(&str) -> bool,
    ) -> io::Result<()> {
        let Some(boot) = process::boot() else {
            return Ok(());
        };
        let page = Page {
            boot,
            containers: known.iter().filter_map(|s| Entry::of(s, &passes)).collect(),
        };
        let text = serde_json::to_string(&page)?;
        let mut written = self.written.lock().await;
        if written.as_ref() == Some(&text) {
            return Ok(());
        }
        let (path, new) = (self.path.clone(), text.clone());
        tokio::task::spawn_blocking(move || write_whole(&path, &new))
            .await
            .map_err(io::Error::other)??;
        *written = Some(text);
        drop(written);
        Ok(())
    }
}

/// Beside it first, then renamed, so that there is never half a file. Nothing is forced to the disk: after a loss of
/// power the file is worth nothing.
fn write_whole(path: &Path, text: &str) -> io::Result<()> {
    let beside = path.with_extension("new");
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&beside)?;
    file.write_all(text.as_bytes())?;
    fs::rename(beside, path)
}

impl Entry {
    /// Nothing for containers that are not ours, that may get no requests, or that only the engine can speak for.
    fn of(sighting: &Sighting, passes: impl Fn(&str) -> bool) -> Option<Self> {
        let services = sighting.offers.iter().map(|offer| &offer.service);
        let services = services.filter(|service| passes(&service.id));
        let services: Vec<_> = services.filter_map(Known::of).collect();
        (!services.is_empty()).then_some(())?;
        Some(Self {
            container: sighting.id.to_string(),
            started: sighting.started,
            process: sighting.process?,
            services,
        })
    }

    fn confirm(&self) -> Option<Sighting> {
        let id = ContainerId::parse(&self.container).ok()?;
        let is_true = self.process.lives()
            && self
                .services
                .iter()
                .all(|known| self.process.has(known.address.ip()));
        is_true.then_some(())?;
        let services = self.services.iter().filter_map(|known| known.service(&id));
        let offers = services.map(|service| Offer {
            service,
            check: None,
        });
        Some(Sighting {
            offers: offers.collect(),
            id,
            started: self.started,
            process: Some(self.process),
            conditions: Vec::new(),
        })
    }
}

impl Known {
    fn of(service: &Service) -> Option<Self> {
        let owner = service.owner.as_ref()?;
        Some(Self {
            id: service.id.clone(),
            name: service.name.clone(),
            address: service.address,
            app: owner.app.to_string(),
            process: owner.process.to_string(),
            instance: owner.instance,
            dyno: owner.dyno.clone(),
        })
    }

    fn service(&self, container: &ContainerId) -> Option<Service> {
        Some(Service {
            id: self.id.clone(),
            name: self.name.clone(),
            address: self.address,
            tags: Vec::new(),
            attributes: BTreeMap::new(),
            health: Health::Passing,
            container: container.clone(),
            owner: Some(ServiceOwner {
                app: AppName::parse(&self.app).ok()?,
                process: ProcessType::parse(&self.process).ok()?,
                instance: self.instance,
                dyno: self.dyno.clone(),
            }),
        })
    }
}

#[cfg(test)]
mod tests;
