//! Changes that need no build: a new config, or an earlier release.

use std::sync::Arc;

use sarsen_domain::{AppName, BuildKind, BuildSource, Config, Release};

use crate::control::Control;
use crate::failure::Outcome;
use crate::pipeline::{Deployed, Job, Rollout};
use crate::push::from_release;
use crate::table::Call;
use crate::verbs::ps::CONCERN;

impl Control {
    /// A new release of the image that runs, with the config of now.
    pub(crate) async fn redeploy_config(&self, call: &mut Call, why: &str) -> Outcome {
        let app = call.app()?;
        let author = call.actor.name().to_owned();
        let job = self
            .start_job(
                &app,
                &author,
                BuildKind::Deploy,
                BuildSource::ConfigRedeploy,
            )
            .await?;
        let why = why.to_owned();
        let line = move |control: Self, job: Arc<Job>| async move {
            let live = control.live_release(&job.app).await?;
            let commit = live.commit.as_ref();
            let config = control.config_to_release(&job.app, commit).await?;
            again(control, job, live, config, why).await
        };
        self.perform(job, call.viewer(), line).await.map(|_| ())
    }

    /// An earlier release once more, as a release of its own. Its config comes back with it; what
    /// was set and is in no release yet goes on waiting.
    pub(crate) async fn roll_back(&self, call: &mut Call, target: Release) -> Outcome {
        let author = call.actor.name().to_owned();
        let job = self
            .start_job(
                &target.app,
                &author,
                BuildKind::Deploy,
                BuildSource::Rollback,
            )
            .await?;
        let line = move |control: Self, job: Arc<Job>| async move {
            let why = format!("Rollback to {}", target.number);
            let live = control.store.releases().live(&job.app).await?;
            let before = live.map_or_else(|| target.config.clone(), |live| live.config);
            let config = target.config.clone();
            let like = target.clone();
            let deployed = again(control.clone(), Arc::clone(&job), like, config, why).await?;
            control.restore_config(&job, &before, &target).await?;
            Ok(deployed)
        };
        self.perform(job, call.viewer(), line).await.map(|_| ())
    }

    /// The first release of a clone: what the app runs that it was cloned from, with the clone's own config.
    pub(crate) async fn deploy_clone(
        &self,
        call: &mut Call,
        old: &AppName,
        new: &AppName,
    ) -> Outcome {
        let Some(live) = self.store.releases().live(old).await? else {
            return Ok(());
        };
        let author = call.actor.name().to_owned();
        let job = self
            .start_job(new, &author, BuildKind::Deploy, BuildSource::Deploy)
            .await?;
        let why = format!("Clone of {old} {}", live.number);
        let line = move |control: Self, job: Arc<Job>| async move {
            let commit = live.commit.as_ref();
            let config = control.config_to_release(&job.app, commit).await?;
            let like = Release {
                app: job.app.clone(),
                ..live
            };
            again(control, job, like, config, why).await
        };
        self.perform(job, call.viewer(), line).await.map(|_| ())
    }

    /// Replaces the containers of an app that runs; one that does not is left alone.
    pub(crate) async fn restart_if_deployed(&self, call: &mut Call, app: &AppName) -> Outcome {
        let record = self.store.apps().get(app).await?;
        if record.deployed && !record.stopped {
            self.restart(call, app, None).await
        } else {
            Ok(())
        }
    }

    /// Whether what is built waits until somebody deploys it: `ps:set APP skip-deploy true`.
    pub(crate) async fn skips_deploy(&self, app: &AppName) -> Outcome<bool> {
        Ok(CONCERN.effective(self, app, "skip-deploy").await? == "true")
    }

    /// False after `ps:set APP restore false`, until the next deploy.
    pub(crate) async fn is_restored(&self, app: &AppName) -> Outcome<bool> {
        Ok(CONCERN.effective(self, app, "restore").await? == "true")
    }
}

pub(crate) async fn again(
    control: Control,
    job: Arc<Job>,
    like: Release,
    config: Config,
    why: String,
) -> Outcome<Deployed> {
    // On the heap, because everything that waits for a deploy would be as large as this.
    let release = Box::pin(control.release_again(&job, like, config, &why)).await?;
    let rollout = Rollout::everything(&release);
    Box::pin(from_release(control, job, release, rollout)).await
}
