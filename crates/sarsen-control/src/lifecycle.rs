//! The life of an app as a whole: made, renamed, destroyed.

use sarsen_domain::AppName;
use sarsen_domain::container::label;

use crate::control::Control;
use crate::failure::Outcome;
use crate::lock::DeployLock;

impl Control {
    /// Makes an app and its repository.
    pub(crate) async fn create_app(&self, app: &AppName) -> Outcome {
        self.store.apps().create(app).await?;
        self.repos.init(app).await?;
        self.refresh_routes().await
    }

    /// Removes everything of an app. The row goes first: what is left over after a crash belongs to nobody, and the
    /// reconciler clears it away.
    pub(crate) async fn destroy_app(&self, lock: DeployLock) -> Outcome {
        let app = lock.app().clone();
        self.store.apps().destroy(&app).await?;
        self.refresh_routes().await?;
        self.clear_remains(&app).await?;
        drop(lock);
        Ok(())
    }

    /// Removes containers, images, cache, repository and logs of an app that is in the store no longer.
    pub(crate) async fn clear_remains(&self, app: &AppName) -> Outcome {
        let mine = self.labels_of(app);
        let containers = self.runtime.list(&mine).await?;
        let ids: Vec<_> = containers
            .into_iter()
            .map(|container| container.id)
            .collect();
        for unfinished in self.deployer.abandon(&ids).await {
            tracing::warn!(container.id = %unfinished.container, error = %unfinished.error, "a container stays");
        }
        self.builder.purge_cache(app).await?;
        let prefix = format!("dokku/{app}:");
        for image in self.runtime.images(&mine).await? {
            for tag in image.tags.iter().filter(|tag| tag.starts_with(&prefix)) {
                self.remove_image_name(tag).await;
            }
        }
        self.repos.remove(app).await?;
        self.logs.remove_app(app);
        Ok(())
    }

    /// Gives an app another name. Its containers go on under the old one until they are replaced.
    pub(crate) async fn rename_app(&self, lock: DeployLock, new: &AppName) -> Outcome {
        let old = lock.app().clone();
        self.store.apps().rename(&old, new).await?;
        self.repos.rename(&old, new).await?;
        self.logs.rename_app(&old, new)?;
        for release in self
            .store
            .releases()
            .list(new, self.settings.keep_releases.saturating_mul(2))
            .await?
        {
            let (repository, tag) = (format!("dokku/{new}"), release.number.to_string());
            match self.runtime.tag(&release.image, &repository, &tag).await {
                Ok(()) => self.remove_image_name(&format!("dokku/{old}:{tag}")).await,
                Err(error) => {
                    tracing::info!(%error, "the image of {} keeps its old name", release.number)
                }
            }
        }
        self.refresh_routes().await?;
        drop(lock);
        Ok(())
    }

    fn labels_of(&self, app: &AppName) -> Vec<String> {
        vec![
            format!("{}={app}", label::APP),
            format!("{}={}", label::OWNER, self.settings.owner),
        ]
    }
}
