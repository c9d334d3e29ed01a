//! Another image for a service. The data is never at risk: the new server is tried on a copy, and the old one goes on
//! with what it had when that fails.

use sarsen_addons::Addon;
use sarsen_domain::ImageRef;
use sarsen_store::{ServiceRecord, ServiceSettings, ServiceState};

use super::{new_volume, service};
use crate::control::Control;
use crate::failure::{Failure, Outcome};

/// How the data came to the new server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Crossing {
    /// There is none.
    Nothing,
    /// The new server took the files over.
    Files,
    /// It does not read the files: they were written out by the old one and read in by the new one.
    Export,
}

impl Control {
    /// Gives a service, which runs, another image and other settings. On failure it runs as before.
    pub(crate) async fn upgrade_service(
        &self,
        addon: &Addon,
        old: &ServiceRecord,
        (image, settings): (ImageRef, ServiceSettings),
    ) -> Outcome<Crossing> {
        let engine = &self.addons.engine;
        if !engine.has_image(&image).await? {
            engine.pull(&image).await?;
        }
        let mut new = old.clone();
        (new.image, new.settings) = (image, settings);
        if addon.data_folder().is_some() {
            new.volume = new_volume(&addon.name, &old.name);
        }
        self.note_scratch(old, Some(new.volume.clone())).await?;
        let crossed = Box::pin(self.cross(addon, old, &new)).await;
        let crossed = match crossed {
            Ok(crossing) => {
                let place = (&new.image, new.volume.as_str());
                let services = self.store.services();
                let replaced = services.replace(old.id, place, &new.settings).await;
                replaced.map(|()| crossing).map_err(Failure::from)
            }
            Err(failure) => Err(failure),
        };
        let Err(failure) = crossed else {
            self.discard(addon, &old.volume).await;
            return crossed;
        };
        self.go_back(addon, old, &new).await;
        Err(match failure.message.is_empty() {
            true => Failure::new("The upgrade came to nothing: the service runs as before"),
            false => failure,
        })
    }

    async fn cross(
        &self,
        addon: &Addon,
        old: &ServiceRecord,
        new: &ServiceRecord,
    ) -> Outcome<Crossing> {
        let engine = &self.addons.engine;
        engine.down(addon, &service(old)).await?;
        if addon.data_folder().is_none() {
            self.start_service(addon, new).await?;
            return Ok(Crossing::Nothing);
        }
        engine
            .copy_volume(addon, &service(old), &new.volume)
            .await?;
        let Err(refusal) = self.start_service(addon, new).await else {
            return Ok(Crossing::Files);
        };
        let way_out = addon.exports() && addon.imports();
        if !way_out || new.image == old.image {
            return Err(refusal);
        }
        let name = &old.name;
        tracing::info!(reason = %refusal, "{} service {name}: the new server does not take the files", addon.name);
        self.cross_by_export(addon, old, new).await?;
        Ok(Crossing::Export)
    }

    async fn cross_by_export(
        &self,
        addon: &Addon,
        old: &ServiceRecord,
        new: &ServiceRecord,
    ) -> Outcome {
        let engine = &self.addons.engine;
        engine.down(addon, &service(new)).await?;
        engine.discard_volume(&new.volume).await?;
        self.start_service(addon, old).await?;
        let spool = self.spool(&format!("upgrade-{}", old.id)).await?;
        let crossed = async {
            self.write_export(addon, old, spool.path(), None).await?;
            engine.down(addon, &service(old)).await?;
            self.start_service(addon, new).await?;
            self.read_import(addon, new, spool.path(), None).await
        };
        crossed.await
    }

    /// The old server on the old data.
    async fn go_back(&self, addon: &Addon, old: &ServiceRecord, new: &ServiceRecord) {
        let back = async {
            self.addons.engine.down(addon, &service(new)).await?;
            if new.volume != old.volume {
                self.addons.engine.discard_volume(&new.volume).await?;
            }
            self.note_scratch(old, None).await?;
            self.start_service(addon, old).await
        };
        if let Err(failure) = back.await {
            let name = &old.name;
            tracing::error!(error = %failure, "{} service {name} does not run again after an upgrade that failed", addon.name);
        }
    }

    async fn discard(&self, addon: &Addon, volume: &str) {
        if addon.data_folder().is_none() {
            return;
        }
        if let Err(error) = self.addons.engine.discard_volume(volume).await {
            tracing::warn!(%error, "the volume {volume} of before an upgrade stays");
        }
    }

    async fn note_scratch(&self, record: &ServiceRecord, volume: Option<String>) -> Outcome {
        let scratch_volume = volume.filter(|volume| *volume != record.volume);
        let settings = ServiceSettings {
            scratch_volume,
            ..record.settings.clone()
        };
        let services = self.store.services();
        Ok(services.set_settings(record.id, &settings).await?)
    }

    /// Clears up after an upgrade that the daemon's end has cut off. Nobody is at work on the service.
    pub(super) async fn drop_scratch(&self, record: &ServiceRecord) {
        let Some(volume) = record.settings.scratch_volume.clone() else {
            return;
        };
        let addon = self.addons.catalog.get(record.addon.as_str());
        let dropped = async {
            if let Some(addon) = addon {
                // Its container may be the new server's.
                self.addons.engine.down(addon, &service(record)).await?;
            }
            self.addons.engine.discard_volume(&volume).await?;
            self.note_scratch(record, None).await
        };
        if let Err(failure) = dropped.await {
            tracing::warn!(error = %failure, "the volume {volume} of an upgrade that was cut off stays");
        }
    }

    /// Makes what was chosen for a service hold: its container is made anew when it runs.
    pub(crate) async fn reshape(
        &self,
        addon: &Addon,
        record: &ServiceRecord,
        settings: ServiceSettings,
    ) -> Outcome<ServiceRecord> {
        let services = self.store.services();
        services.set_settings(record.id, &settings).await?;
        let changed = ServiceRecord {
            settings,
            ..record.clone()
        };
        if record.state != ServiceState::Running {
            return Ok(changed);
        }
        self.addons.engine.down(addon, &service(record)).await?;
        let Err(failure) = self.start_service(addon, &changed).await else {
            return Ok(changed);
        };
        services.set_settings(record.id, &record.settings).await?;
        self.addons.engine.down(addon, &service(record)).await?;
        self.start_service(addon, record).await?;
        Err(failure)
    }
}
