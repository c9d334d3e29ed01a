//! Retire: the new containers get their names, the replaced ones are drained and stopped in the background.

use sarsen_deploy::{Deployed as Named, Phase, PhaseTask};
use sarsen_domain::{AppJson, AppName, EnvKey, Progress, Release};
use sarsen_plugins::Trigger;
use sarsen_store::Scope;

use crate::control::Control;
use crate::failure::Outcome;
use crate::pipeline::{Job, Routed};
use crate::verbs;

/// Proof that a deploy came to its end; the pusher has read its summary in the log.
pub(crate) struct Deployed(());

fn tell_of_replaced(job: &Job, count: usize) {
    match count {
        0 => {}
        1 => job.log.header("Shutting down the old container"),
        count => job
            .log
            .header(&format!("Shutting down {count} old containers")),
    }
}

impl Control {
    /// Names what is new, sees off what is old. The release serves already, so the deploy stands whatever happens here:
    /// what fails is said, and mended by the reconciler.
    pub(crate) async fn retire(&self, job: &Job, routed: Routed) -> Deployed {
        if let Err(failure) = self.complete(job, routed).await {
            job.log.warn(&format!(
                "The release serves, but not everything is in order: {failure}"
            ));
        }
        Deployed(())
    }

    /// The way's end for a release that is only to be built: it waits for a rollback to it, and nothing that runs is touched.
    pub(crate) async fn shelve(&self, job: &Job, release: &Release) -> Outcome<Deployed> {
        let (app, number) = (&job.app, release.number);
        self.store.releases().shelve(app, number).await?;
        self.store.builds().set_release(&job.build, number).await?;
        job.log.header("Skipping deployment");
        job.log
            .body(&format!("'rollback {app} {number}' deploys this release"));
        Ok(Deployed(()))
    }

    async fn complete(&self, job: &Job, routed: Routed) -> Outcome {
        let Routed {
            candidate,
            replaced,
            switch,
        } = routed;
        self.store.builds().set_stage(&job.build, "retire").await?;
        self.store
            .builds()
            .set_release(&job.build, candidate.release.number)
            .await?;
        let settings = self.app_settings(&candidate.release).await?;
        let named: Vec<_> = candidate
            .started
            .instances
            .iter()
            .map(Named::from)
            .collect();
        if let Err(error) = self.deployer.finish(&job.app, &named, &settings).await {
            job.log.warn(&format!(
                "The new containers keep their provisional names for now: {error}"
            ));
        }
        if let Err(failure) = self.join_later(&job.app, &settings, &named).await {
            job.log.warn(&format!(
                "The new containers are not on all their networks: {failure}"
            ));
        }
        self.store_commit(job, &candidate.release).await?;
        tell_of_replaced(job, replaced.len());
        self.retirements.notify_one();
        self.tell_switch(job, &switch, &replaced).await;
        self.cron.changed.notify_one();
        self.tell_of_types(job, &named).await;
        self.run_postdeploy(job, &candidate.release, &settings)
            .await;
        // Ports and addresses are left empty, as Dokku leaves them: a release has many containers.
        let tag = candidate.release.number.to_string();
        for trigger in [Trigger::CorePostDeploy, Trigger::PostDeploy] {
            self.tell_plugins(job, trigger, &[job.app.as_str(), "", "", &tag])
                .await;
        }
        let keep_images = verbs::builder::CONCERN
            .effective(self, &job.app, "skip-cleanup")
            .await?;
        if keep_images != "true" {
            self.prune_images(&job.app).await;
        }
        let urls = self.urls_told(&job.app, "urls").await?;
        job.log.header2("Application deployed:");
        urls.iter().for_each(|url| job.log.body(url));
        Ok(())
    }

    /// Each process type serves now.
    async fn tell_of_types(&self, job: &Job, named: &[Named]) {
        let mut types: Vec<_> = named.iter().map(|named| &named.process).collect();
        types.dedup();
        for process in types {
            let arguments = [job.app.as_str(), process.as_str()];
            self.tell_plugins(job, Trigger::SchedulerPostDeployProcess, &arguments)
                .await;
        }
    }

    /// Keeps the commit where Dokku does: in the app's config.
    async fn store_commit(&self, job: &Job, release: &Release) -> Outcome {
        let key = verbs::git::CONCERN
            .effective(self, &job.app, "rev-env-var")
            .await?;
        if let (Ok(key), Some(commit)) = (EnvKey::parse(&key), &release.commit) {
            let scope = Scope::App(job.app.clone());
            self.store
                .config()
                .set(&scope, vec![(key, commit.to_string())])
                .await?;
        }
        Ok(())
    }

    async fn run_postdeploy(
        &self,
        job: &Job,
        release: &Release,
        settings: &sarsen_deploy::AppSettings,
    ) {
        let app_json = release
            .app_json
            .as_deref()
            .and_then(|text| AppJson::parse(text).ok())
            .unwrap_or_default();
        let Some(command) = app_json.postdeploy else {
            return;
        };
        let task = PhaseTask {
            release,
            phase: Phase::Postdeploy,
            command: &command,
            settings,
        };
        if let Err(error) = self
            .deployer
            .run_phase(task, &job.log, job.cancelled())
            .await
        {
            job.log
                .warn(&format!("{error}\nThe release serves all the same"));
        }
    }

    /// Removes the names of images whose release can no longer be rolled back to, so that the engine frees them.
    async fn prune_images(&self, app: &AppName) {
        match self
            .store
            .releases()
            .prune(app, self.settings.keep_releases)
            .await
        {
            Ok(gone) => {
                for release in gone {
                    self.remove_image_name(&format!("dokku/{app}:{}", release.number))
                        .await;
                }
            }
            Err(error) => {
                tracing::warn!(app.name = %app, %error, "cannot prune the releases of {app}")
            }
        }
    }

    pub(crate) async fn remove_image_name(&self, name: &str) {
        let Ok(image) = sarsen_domain::ImageRef::parse(name) else {
            return;
        };
        match self.runtime.remove_image(&image).await {
            Ok(()) | Err(sarsen_runtime::RuntimeError::NotFound(_)) => {}
            Err(error) => tracing::info!(image = name, %error, "an old image stays for now"),
        }
    }
}
