//! An app's build cache: the volume that its buildpacks find at `/tmp/cache` in every build.

use bytes::Bytes;
use sarsen_domain::AppName;
use sarsen_runtime::EngineStream;

use crate::{BuildError, Builder};

impl Builder {
    /// Deletes the cache; the next build starts with an empty one.
    pub async fn purge_cache(&self, app: &AppName) -> Result<(), BuildError> {
        Ok(self.runtime.remove_volume(&volume(app)).await?)
    }

    /// The cache as a tar whose paths begin at the cache's root.
    pub async fn export_cache(&self, _app: &AppName) -> Result<EngineStream<Bytes>, BuildError> {
        Err(BuildError::Failed("not there yet".to_owned()))
    }

    /// Unpacks a tar, as [`Self::export_cache`] makes it, over the cache.
    pub async fn import_cache(
        &self,
        _app: &AppName,
        _tar: EngineStream<Bytes>,
    ) -> Result<(), BuildError> {
        Err(BuildError::Failed("not there yet".to_owned()))
    }
}

/// Dokku's name for it.
pub(crate) fn volume(app: &AppName) -> String {
    format!("cache-{app}")
}
