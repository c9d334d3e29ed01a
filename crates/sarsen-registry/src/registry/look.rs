//! Looking at a container: what its state means for the catalog.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::{StreamExt, stream};
use sarsen_domain::{ContainerId, ImageRef};
use sarsen_runtime::{ContainerInfo, ContainerStatus, ImageHealth, ImageInfo, RuntimeError};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tokio::time::timeout;

use crate::check::CheckStatus;
use crate::ledger::{Condition, Listing, Sighting};
use crate::metadata::Metadata;
use crate::process::FirstProcess;
use crate::rules::{Subject, services_of};
use crate::{Checking, Registry};

/// So many images are remembered; then all are looked at anew.
const IMAGES_MAX: usize = 256;
/// So many containers are looked at at the same time.
const LOOKS_AT_ONCE: usize = 8;
/// The engine can get stuck with a container, for example when it is paused while a command in it begins.
pub(crate) const LOOK_LIMIT: Duration = Duration::from_secs(10);

/// What is known of images. An image's id stands for its content, so this never gets old.
#[derive(Debug, Default)]
pub(super) struct Images(Mutex<HashMap<String, Arc<ImageInfo>>>);

impl Images {
    fn get(&self, id: &str) -> Option<Arc<ImageInfo>> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(id).map(Arc::clone)
    }

    fn put(&self, id: &str, image: Arc<ImageInfo>) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= IMAGES_MAX {
            known.clear();
        }
        known.insert(id.to_owned(), image);
    }
}

/// What a look found.
enum Found {
    Running(Sighting),
    Ended(ContainerId),
    Gone,
    Unknown(ContainerId),
}

impl Registry {
    /// What this container's state means for the catalog; `None` when it does not run.
    pub(crate) async fn sighting(
        &self,
        info: &ContainerInfo,
    ) -> Result<Option<Sighting>, RuntimeError> {
        if !runs(info) {
            return Ok(None);
        }
        let settings = self.settings();
        let lent = self.with_lent_network(info).await?;
        let info = lent.as_ref().unwrap_or(info);
        let image = self.image_of(info).await?;
        let tags = self.extra_tags(info).await?;
        let subject = Subject {
            info,
            image: image.as_deref(),
            tags: &tags,
        };
        let mut offers = services_of(subject, &settings.rules, &settings.owner);
        if settings.checking == Checking::Theirs {
            for offer in &mut offers {
                offer.check = None;
            }
        }
        let mut services = offers.iter().map(|offer| &offer.service);
        let ours = services.find(|service| service.owner.is_some());
        Ok(Some(Sighting {
            id: info.id.clone(),
            started: info.started_at.as_deref().map_or(0, nanoseconds),
            process: ours.and_then(|ours| FirstProcess::behind(info.pid, ours.address.ip())),
            offers,
            conditions: conditions(info),
        }))
    }

    /// Everything that the engine has. One container that it is stuck with holds up nobody else.
    pub(crate) async fn listing(&self) -> Result<Listing, RuntimeError> {
        let ids = self.runtime.ids().await?;
        let mut found = stream::iter(ids)
            .map(|id| self.find(id))
            .buffer_unordered(LOOKS_AT_ONCE);
        let mut listing = Listing::default();
        while let Some(found) = found.next().await {
            match found? {
                Found::Running(sighting) => listing.running.push(sighting),
                Found::Ended(id) => {
                    listing.ended.insert(id);
                }
                Found::Unknown(id) => {
                    listing.unknown.insert(id);
                }
                Found::Gone => {}
            }
        }
        Ok(listing)
    }

    async fn find(&self, id: ContainerId) -> Result<Found, RuntimeError> {
        let look = async {
            let info = self.runtime.inspect(&id).await?;
            self.sighting(&info).await
        };
        match timeout(LOOK_LIMIT, look).await {
            Ok(Ok(Some(sighting))) => Ok(Found::Running(sighting)),
            Ok(Ok(None)) => Ok(Found::Ended(id)),
            Ok(Err(RuntimeError::NotFound(_))) => Ok(Found::Gone),
            Ok(Err(error @ RuntimeError::Unreachable(_))) => Err(error),
            Ok(Err(error)) => {
                tracing::warn!(container.id = %id, %error, "container {} was not looked at", id.short());
                Ok(Found::Unknown(id))
            }
            Err(_) => {
                tracing::warn!(container.id = %id, "the engine does not say what container {} is", id.short());
                Ok(Found::Unknown(id))
            }
        }
    }

    /// A container on another's network is found at the other's address.
    async fn with_lent_network(
        &self,
        info: &ContainerInfo,
    ) -> Result<Option<ContainerInfo>, RuntimeError> {
        let Some(lender) = &info.network_of else {
            return Ok(None);
        };
        let mut info = info.clone();
        let lender = match ContainerId::parse(lender) {
            Ok(id) => self.runtime.inspect(&id).await,
            Err(_) => return Ok(Some(info)),
        };
        match lender {
            Ok(lender) => {
                info.addresses = lender.addresses;
                info.host_network = lender.host_network;
            }
            Err(RuntimeError::NotFound(_)) => {}
            Err(error) => return Err(error),
        }
        Ok(Some(info))
    }

    /// The image, when it matters which values came with it.
    async fn image_of(&self, info: &ContainerInfo) -> Result<Option<Arc<ImageInfo>>, RuntimeError> {
        if !Metadata::is_divided(info) {
            return Ok(None);
        }
        let images = &self.shared.images;
        if let Some(known) = images.get(&info.image_id) {
            return Ok(Some(known));
        }
        let Ok(image) = ImageRef::parse(&info.image_id) else {
            return Ok(None);
        };
        match self.runtime.image(&image).await {
            Ok(found) => {
                let found = Arc::new(found);
                images.put(&info.image_id, Arc::clone(&found));
                Ok(Some(found))
            }
            // Removed by force while the container runs.
            Err(RuntimeError::NotFound(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn extra_tags(&self, info: &ContainerInfo) -> Result<Vec<String>, RuntimeError> {
        let tags = &self.settings().rules.tags;
        if let Some(fixed) = tags.fixed() {
            return Ok(fixed);
        }
        let container = match self.runtime.inspect_json(&info.id).await {
            Ok(json) => json,
            Err(RuntimeError::NotFound(_)) => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let container = serde_json::from_str(&container).unwrap_or_default();
        Ok(tags.of(&container).unwrap_or_else(|error| {
            tracing::warn!(container.id = %info.id, %error, "container {} is registered without extra tags", info.id.short());
            Vec::new()
        }))
    }
}

fn runs(info: &ContainerInfo) -> bool {
    matches!(
        info.status,
        ContainerStatus::Running | ContainerStatus::Paused
    )
}

fn conditions(info: &ContainerInfo) -> Vec<Condition> {
    let mut conditions = Vec::new();
    if info.status == ContainerStatus::Paused {
        conditions.push(Condition {
            kind: "_paused",
            name: "Paused",
            status: CheckStatus::Critical,
            output: "The container is paused".to_owned(),
        });
    }
    let output = || info.health_output.clone().unwrap_or_default();
    let healthcheck = match info.health {
        ImageHealth::None => None,
        ImageHealth::Healthy => Some((CheckStatus::Passing, output())),
        ImageHealth::Unhealthy => Some((CheckStatus::Critical, output())),
        ImageHealth::Starting => Some((CheckStatus::Critical, "starting".to_owned())),
    };
    conditions.extend(healthcheck.map(|(status, output)| Condition {
        kind: "docker",
        name: "Docker HEALTHCHECK",
        status,
        output,
    }));
    conditions
}

/// An RFC 3339 time in nanoseconds since 1970; 0 when it is none.
fn nanoseconds(text: &str) -> i64 {
    OffsetDateTime::parse(text, &Rfc3339)
        .ok()
        .and_then(|time| i64::try_from(time.unix_timestamp_nanos()).ok())
        .unwrap_or(0)
}
