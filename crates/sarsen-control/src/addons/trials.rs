//! Services on trial: made to see whether a backup can be restored, and removed whatever comes of it. Such a service is
//! marked for removal from its beginning, so the next start of the daemon removes one that was left.

use std::path::Path;

use rand::Rng;
use sarsen_addons::Addon;
use sarsen_addons::backup::Key;
use sarsen_domain::ServiceName;
use sarsen_store::{ServiceRecord, ServiceSettings, ServiceState};

use super::{Wish, service};
use crate::control::Control;
use crate::failure::Outcome;

impl Control {
    /// Reads a file of an export into a service that is made like another one and reached by nobody; what is counted
    /// in it then.
    pub(super) async fn try_import(
        &self,
        addon: &Addon,
        like: &ServiceRecord,
        (file, key): (&Path, Option<Key>),
    ) -> Outcome<Option<i64>> {
        let suffix: u64 = rand::rng().random();
        let name = ServiceName::parse(&format!("verify-{suffix:016x}"))?;
        let _busy = self.addons.take(&addon.name, &name)?;
        let own = &like.settings;
        let settings = ServiceSettings {
            options: own.options.clone(),
            env: own.env.clone(),
            memory: own.memory,
            shm_size: own.shm_size,
            ..ServiceSettings::default()
        };
        let wish = Wish {
            name,
            image: like.image.clone(),
            secrets: Default::default(),
            settings,
        };
        let trial = self
            .write_down(addon, wish, ServiceState::Destroying)
            .await?;
        let done = async {
            self.copy_config(addon, like, &trial).await?;
            self.start_service(addon, &trial).await?;
            self.read_import(addon, &trial, file, key).await?;
            Ok(self.addons.engine.count(addon, &service(&trial)).await?)
        };
        let done = Box::pin(done).await;
        self.clear_away(addon, &trial).await;
        done
    }

    /// A server that was tuned by files is tried as it is.
    async fn copy_config(
        &self,
        addon: &Addon,
        from: &ServiceRecord,
        to: &ServiceRecord,
    ) -> Outcome {
        if !addon.has_config_folder() {
            return Ok(());
        }
        let engine = &self.addons.engine;
        let folder = |record: &ServiceRecord| engine.folder(addon, &service(record)).join("config");
        let (from, to) = (folder(from), folder(to));
        tokio::fs::create_dir_all(&to).await?;
        let mut entries = match tokio::fs::read_dir(&from).await {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            entries => entries?,
        };
        while let Some(entry) = entries.next_entry().await? {
            if entry.file_type().await?.is_file() {
                tokio::fs::copy(entry.path(), to.join(entry.file_name())).await?;
            }
        }
        Ok(())
    }
}
