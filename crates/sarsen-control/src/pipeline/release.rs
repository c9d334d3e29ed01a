//! Release: image, config and formation become a numbered release; then its one-off tasks run.

use sarsen_deploy::{Phase, PhaseTask};
use sarsen_domain::{
    AppJson, BuilderKind, Config, Formation, ImageRef, ProcessType, Progress, Release,
};
use sarsen_plugins::Trigger;
use sarsen_store::NewRelease;

use crate::control::Control;
use crate::failure::Outcome;
use crate::pipeline::Job;
use crate::pipeline::build::Image;

impl Control {
    /// Writes the release down and runs its tasks; a task that fails ends the deploy.
    pub(crate) async fn release(&self, job: &Job, image: Image, why: &str) -> Outcome<Release> {
        self.enter_stage(job, "release").await?;
        let Image { built, commit } = image;
        if let Some((_, app_json)) = &built.app_json {
            // Before anything is set: what cannot be read ends the deploy.
            for task in &app_json.cron {
                sarsen_deploy::cron::Schedule::parse(&task.schedule)?;
            }
            self.set_wanted_env(job, app_json).await?;
        }
        let config = self.config_to_release(&job.app, commit.as_ref()).await?;
        let (text, app_json) = built.app_json.map_or((None, None), |(text, app_json)| {
            (Some(text), Some(app_json))
        });
        let formation = self.fix_formation(job, app_json.as_ref()).await?;
        let image = self.prepare_image(job, built.image, built.builder).await?;
        let release = NewRelease {
            app: job.app.clone(),
            image,
            builder: built.builder,
            commit,
            config,
            procfile: built.procfile,
            formation,
            detected_ports: built.detected_ports,
            app_json: text,
            build: job.build.clone(),
            author: job.author.clone(),
            description: why.to_owned(),
        };
        self.create_release(job, release).await
    }

    /// Plugins may commit onto the image before it is released: what is called `latest` after that is released.
    async fn prepare_image(
        &self,
        job: &Job,
        image: ImageRef,
        builder: BuilderKind,
    ) -> Outcome<ImageRef> {
        let app = job.app.as_str();
        let legacy = match builder {
            BuilderKind::Herokuish => Trigger::PreReleaseBuildpack,
            BuilderKind::Dockerfile | BuilderKind::Null => Trigger::PreReleaseDockerfile,
        };
        let asked = [&Trigger::PreReleaseBuilder, &legacy];
        if !asked.iter().any(|trigger| self.plugins.implements(trigger)) {
            return Ok(image);
        }
        let repository = format!("dokku/{app}");
        self.runtime.tag(&image, &repository, "latest").await?;
        let latest = format!("{repository}:latest");
        self.ask_plugins(
            job,
            Trigger::PreReleaseBuilder,
            &[builder.as_str(), app, &latest],
        )
        .await?;
        self.ask_plugins(job, legacy, &[app, "latest"]).await?;
        self.called(job, &latest, image).await
    }

    /// The image that has this name now.
    async fn called(&self, job: &Job, name: &str, before: ImageRef) -> Outcome<ImageRef> {
        let now = self.runtime.image(&ImageRef::parse(name)?).await?.id;
        if now != before {
            job.log
                .header(&format!("A plugin has changed the image: {now}"));
        }
        Ok(now)
    }

    /// A release like an earlier one, with another config: after a config change or for a rollback.
    pub(crate) async fn release_again(
        &self,
        job: &Job,
        like: Release,
        config: Config,
        why: &str,
    ) -> Outcome<Release> {
        self.enter_stage(job, "release").await?;
        let formation = self.store.formation().get(&job.app).await?;
        let release = NewRelease {
            app: job.app.clone(),
            image: like.image,
            builder: like.builder,
            commit: like.commit,
            config,
            procfile: like.procfile,
            formation,
            detected_ports: like.detected_ports,
            app_json: like.app_json,
            build: job.build.clone(),
            author: job.author.clone(),
            description: why.to_owned(),
        };
        self.create_release(job, release).await
    }

    async fn create_release(&self, job: &Job, new: NewRelease) -> Outcome<Release> {
        let release = self.store.releases().create(new).await?;
        job.log
            .header(&format!("Releasing {} {}...", job.app, release.number));
        // The tag pins the image: the engine removes no image that has a name.
        let repository = format!("dokku/{}", job.app);
        self.runtime
            .tag(&release.image, &repository, &release.number.to_string())
            .await?;
        self.push_release(job, &release).await?;
        self.run_tasks(job, &release).await?;
        self.finish_image(job, release).await
    }

    /// Plugins may commit onto the released image, too: the release is what has its name after that.
    async fn finish_image(&self, job: &Job, mut release: Release) -> Outcome<Release> {
        if !self.plugins.implements(&Trigger::PostReleaseBuilder) {
            return Ok(release);
        }
        let image = format!("dokku/{}:{}", job.app, release.number);
        let arguments = [release.builder.as_str(), job.app.as_str(), &image];
        self.ask_plugins(job, Trigger::PostReleaseBuilder, &arguments)
            .await?;
        let now = self.called(job, &image, release.image.clone()).await?;
        if now != release.image {
            let releases = self.store.releases();
            releases.set_image(&job.app, release.number, &now).await?;
            release.image = now;
        }
        Ok(release)
    }

    async fn run_tasks(&self, job: &Job, release: &Release) -> Outcome {
        let settings = self.app_settings(release).await?;
        let app_json = release
            .app_json
            .as_deref()
            .map(AppJson::parse)
            .transpose()?
            .unwrap_or_default();
        let first = !self.store.apps().get(&job.app).await?.deployed;
        let release_command = ProcessType::parse("release")
            .ok()
            .and_then(|name| release.procfile.command(&name));
        let tasks = [
            (Phase::Predeploy, app_json.predeploy.as_deref()),
            (Phase::Release, release_command),
            (
                Phase::FirstDeploy,
                app_json.first_deploy.as_deref().filter(|_| first),
            ),
        ];
        for (phase, command) in tasks {
            let Some(command) = command else { continue };
            let task = PhaseTask {
                release,
                phase,
                command,
                settings: &settings,
            };
            self.deployer
                .run_phase(task, &job.log, job.cancelled())
                .await?;
        }
        Ok(())
    }

    /// app.json may fix quantities; they hold from this release on.
    async fn fix_formation(&self, job: &Job, app_json: Option<&AppJson>) -> Outcome<Formation> {
        let formations = self.store.formation();
        if let Some(fixed) = app_json
            .map(|app_json| &app_json.formation)
            .filter(|fixed| fixed.iter().next().is_some())
        {
            formations.set(&job.app, fixed).await?;
        }
        Ok(formations.get(&job.app).await?)
    }
}
