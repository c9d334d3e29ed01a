//! The life of an app as a whole: made, renamed, destroyed.

use sarsen_domain::container::label;
use sarsen_domain::{AppName, ImageRef};
use sarsen_plugins::Trigger;

use crate::control::Control;
use crate::failure::Outcome;
use crate::lock::DeployLock;

impl Control {
    /// Makes an app and its repository. A plugin may object: then there is no app.
    pub(crate) async fn create_app(&self, app: &AppName) -> Outcome {
        refuse_reserved(app)?;
        self.store.apps().create(app).await?;
        self.repos.init(app).await?;
        self.refresh_views(app).await;
        self.refresh_routes().await?;
        self.ask_about_new(app).await
    }

    /// A plugin that objects to a new app ends it.
    async fn ask_about_new(&self, app: &AppName) -> Outcome {
        let asked = self
            .ask_plugins_about(Trigger::PostCreate, &[app.as_str()])
            .await;
        // Somebody who deploys it already has made it theirs.
        if asked.is_err()
            && let Ok(lock) = self.locks.take(app)
        {
            self.remove_app(lock, "latest").await?;
        }
        asked
    }

    /// Removes everything of an app, unless a plugin objects.
    pub(crate) async fn destroy_app(&self, lock: DeployLock) -> Outcome {
        let app = lock.app().clone();
        let tag = self.image_tag(&app).await?;
        self.ask_plugins_about(Trigger::PreDelete, &[app.as_str(), &tag])
            .await?;
        self.remove_app(lock, &tag).await
    }

    /// The row goes first: what is left over after a crash belongs to nobody, and the reconciler clears it away.
    async fn remove_app(&self, lock: DeployLock, tag: &str) -> Outcome {
        let app = lock.app().clone();
        self.store.apps().destroy(&app).await?;
        self.refresh_routes().await?;
        self.clear_remains(&app).await?;
        drop(lock);
        self.tell_plugins_about(Trigger::PostDelete, &[app.as_str(), tag])
            .await;
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
        for (_, tag) in self.image_tags(app).await? {
            self.remove_image_name(&format!("dokku/{app}:{tag}")).await;
        }
        self.repos.remove(app).await?;
        self.refresh_views(app).await;
        self.logs.remove_app(app);
        Ok(())
    }

    /// Makes a new app with the settings and the repository of another one, unless a plugin objects. Nothing of it runs
    /// yet.
    pub(crate) async fn clone_app(&self, old: &AppName, new: &AppName) -> Outcome {
        refuse_reserved(new)?;
        self.store.apps().clone_as(old, new).await?;
        let copied = if self.repos.exists(old) {
            self.repos.copy(old, new).await
        } else {
            self.repos.init(new).await
        };
        if let Err(error) = copied {
            self.store.apps().destroy(new).await?;
            return Err(error.into());
        }
        self.refresh_routes().await?;
        self.ask_about_new(new).await?;
        let names = [old.as_str(), new.as_str()];
        self.tell_plugins_about(Trigger::PostAppCloneSetup, &names)
            .await;
        Ok(())
    }

    /// Gives an app another name. Its containers go on under the old one until they are replaced; plugins are told of the
    /// end of it then.
    pub(crate) async fn rename_app(&self, lock: DeployLock, new: &AppName) -> Outcome {
        let old = lock.app().clone();
        refuse_reserved(new)?;
        self.store.apps().rename(&old, new).await?;
        self.repos.rename(&old, new).await?;
        self.logs.rename_app(&old, new)?;
        self.refresh_views(&old).await;
        self.refresh_views(new).await;
        for (image, tag) in self.image_tags(&old).await? {
            match self
                .runtime
                .tag(&image, &format!("dokku/{new}"), &tag)
                .await
            {
                Ok(()) => self.remove_image_name(&format!("dokku/{old}:{tag}")).await,
                Err(error) => tracing::info!(%error, "dokku/{old}:{tag} keeps its old name"),
            }
        }
        self.refresh_routes().await?;
        drop(lock);
        let (made, names) = ([new.as_str()], [old.as_str(), new.as_str()]);
        // As in Dokku the app of the old name is gone then, and plugins let go of it.
        let gone = [old.as_str(), "latest"];
        for (trigger, args) in [
            (Trigger::PostCreate, made.as_slice()),
            (Trigger::PostAppRenameSetup, &names),
            (Trigger::PreDelete, &gone),
            (Trigger::PostDelete, &gone),
        ] {
            self.tell_plugins_about(trigger, args).await;
        }
        Ok(())
    }

    /// The images called `dokku/APP:TAG`, with their tags. An image that was renamed says another app in its label, and
    /// one that was given to us says nothing; only what is another installation's is left out.
    async fn image_tags(&self, app: &AppName) -> Outcome<Vec<(ImageRef, String)>> {
        let prefix = format!("dokku/{app}:");
        let mut found = Vec::new();
        for image in self.runtime.images(&[]).await? {
            let owner = image.labels.get(label::OWNER);
            if owner.is_some_and(|owner| *owner != self.settings.owner) {
                continue;
            }
            let tags = image
                .tags
                .iter()
                .filter_map(|tag| tag.strip_prefix(&prefix));
            found.extend(tags.map(|tag| (image.id.clone(), tag.to_owned())));
        }
        Ok(found)
    }

    fn labels_of(&self, app: &AppName) -> Vec<String> {
        vec![
            format!("{}={app}", label::APP),
            format!("{}={}", label::OWNER, self.settings.owner),
        ]
    }
}

/// A route of our own has this name.
fn refuse_reserved(app: &AppName) -> Outcome {
    match app.as_str() == crate::acme::own_name::NAME {
        true => Err(crate::Failure::new(format!(
            "The name {app} is ours: choose another one"
        ))),
        false => Ok(()),
    }
}
