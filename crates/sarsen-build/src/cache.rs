//! An app's build cache: the volume that its buildpacks find at `/tmp/cache` in every build.

use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use sarsen_domain::container::label;
use sarsen_domain::{AppName, ContainerId};
use sarsen_runtime::EngineStream;

use crate::archive::{self, APP_USER, Input, Rewrite, Rewritten, keep, rebase, rewrite};
use crate::helper::NAME_PREFIX;
use crate::{BuildError, Builder};

/// Where a build finds it.
pub(crate) const FOLDER: &str = "/tmp/cache";

/// Dokku's name for it.
pub(crate) fn volume(app: &AppName) -> String {
    format!("cache-{app}")
}

impl Builder {
    /// Deletes the cache; the next build starts with an empty one.
    pub async fn purge_cache(&self, app: &AppName) -> Result<(), BuildError> {
        // An export that nobody read to its end still holds the volume.
        let prefix = helper_prefix(app);
        for helper in self.own_helpers().await? {
            if helper.name.starts_with(&prefix) {
                self.runtime.remove(&helper.id).await?;
            }
        }
        Ok(self.runtime.remove_volume(&volume(app)).await?)
    }

    /// The cache as a tar whose paths begin at the cache's root. Read it to its end: the container that it is read
    /// through goes then.
    pub async fn export_cache(&self, app: &AppName) -> Result<EngineStream<Bytes>, BuildError> {
        let helper = self.cache_helper(app).await?;
        let archive = match self.runtime.download(&helper, FOLDER).await {
            Ok(archive) => archive,
            Err(error) => {
                self.remove_helper(&helper).await;
                return Err(error.into());
            }
        };
        let tar = rewrite(
            Input::Stream(archive),
            Rewrite::for_app(rebase("cache", "")),
        );
        Ok(self.then_remove(tar, helper))
    }

    /// Unpacks a tar, as [`Self::export_cache`] makes it, over the cache.
    pub async fn import_cache(
        &self,
        app: &AppName,
        tar: EngineStream<Bytes>,
    ) -> Result<(), BuildError> {
        let helper = self.cache_helper(app).await?;
        let change = Rewrite {
            owner: APP_USER,
            caps: archive::CACHE,
            rule: keep(),
        };
        let Rewritten { stream, failure } = rewrite(Input::Stream(tar), change);
        let done = self.runtime.upload(&helper, FOLDER, stream).await;
        self.remove_helper(&helper).await;
        failure.check()?;
        Ok(done?)
    }

    /// Makes the app's volume when it is not there.
    pub(crate) async fn ensure_cache(&self, app: &AppName) -> Result<(), BuildError> {
        let labels = [
            (label::DOKKU.to_owned(), String::new()),
            (label::APP.to_owned(), app.to_string()),
            (label::OWNER.to_owned(), self.settings.owner.clone()),
        ];
        Ok(self.runtime.ensure_volume(&volume(app), &labels).await?)
    }

    /// A container that never runs, for the sake of its mount.
    async fn cache_helper(&self, app: &AppName) -> Result<ContainerId, BuildError> {
        self.ensure_cache(app).await?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let unique = now.unwrap_or_default().as_nanos();
        let mut spec = self.helper_spec(app, &format!("cache-{app}-{unique:x}"))?;
        spec.binds = vec![format!("{}:{FOLDER}", volume(app))];
        self.make_helper(&spec).await
    }

    fn then_remove(&self, tar: Rewritten, helper: ContainerId) -> EngineStream<Bytes> {
        let this = self.clone();
        let state = (tar.stream, Some((this, helper)));
        Box::pin(stream::unfold(state, |(mut tar, mut helper)| async move {
            if let Some(item) = tar.next().await {
                return Some((item, (tar, helper)));
            }
            if let Some((builder, id)) = helper.take() {
                builder.remove_helper(&id).await;
            }
            None
        }))
    }
}

fn helper_prefix(app: &AppName) -> String {
    format!("{NAME_PREFIX}cache-{app}-")
}
