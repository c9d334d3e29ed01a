//! Plugins at work on a source: it is laid out as files for them, and what they make of it is built. Nothing is laid out
//! when no plugin asks for it.

use sarsen_build::{BuildOptions, BuildRequest};
use sarsen_domain::{BuilderKind, CommitId, Config, Progress};
use sarsen_git::{SourceTree, Workbench};
use sarsen_plugins::Trigger;

use crate::control::Control;
use crate::failure::Outcome;
use crate::pipeline::Job;

/// The triggers that get a folder of sources, or are told which builder it calls for.
const ASKED: &[Trigger] = &[
    Trigger::CorePostExtract,
    Trigger::PostExtract,
    Trigger::BuilderDetect,
    Trigger::PreReceiveApp,
    Trigger::PreBuild,
    Trigger::PreBuildBuildpack,
    Trigger::PreBuildDockerfile,
    Trigger::BuilderCreateDokkuImage,
    Trigger::BuilderDokkuImage,
    Trigger::PostBuild,
    Trigger::PostBuildBuildpack,
    Trigger::PostBuildDockerfile,
    Trigger::DockerArgsBuild,
    Trigger::DockerArgsProcessBuild,
];

/// A build as plugins see it.
pub(crate) struct Worked {
    bench: Workbench,
    folder: String,
    pub kind: BuilderKind,
    /// The image to build on, when a plugin names one.
    pub stack: Option<String>,
}

/// What a build begins with.
pub(crate) struct Raw<'a> {
    pub commit: &'a CommitId,
    pub config: &'a Config,
    pub stack: &'a str,
}

impl Control {
    /// Lets plugins work on the source before it is built; `source` and `options` are what they leave.
    pub(crate) async fn work_on(
        &self,
        job: &Job,
        raw: Raw<'_>,
        source: &mut SourceTree,
        options: &mut BuildOptions,
    ) -> Outcome<Option<Worked>> {
        let asked = |trigger: &Trigger| self.plugins.implements(trigger);
        if !ASKED.iter().any(asked) {
            return Ok(None);
        }
        let below = self.settings.data_dir.join("cache/sources");
        let bench = Workbench::lay_out(source, &below).await?;
        let folder = bench.folder().display().to_string();
        let (app, rev) = (job.app.as_str(), raw.commit.as_str());
        for trigger in [Trigger::CorePostExtract, Trigger::PostExtract] {
            self.ask_plugins(job, trigger, &[app, &folder, rev]).await?;
        }
        if options.selected.is_none() {
            let named = self
                .answer_line(Trigger::BuilderDetect, &[app, &folder])
                .await?;
            options.selected = named.map(|name| name.parse()).transpose()?;
        }
        *source = bench.take_up().await?;
        let kind = self
            .builder
            .kind(&request(job, &raw, source, options))
            .await?;
        let builder = kind.as_str();
        self.ask_plugins(job, Trigger::PreReceiveApp, &[app, builder, &folder, rev])
            .await?;
        self.ask_plugins(job, Trigger::PreBuild, &[builder, app, &folder])
            .await?;
        match kind {
            BuilderKind::Herokuish => {
                self.ask_plugins(job, Trigger::PreBuildBuildpack, &[app, &folder])
                    .await?;
            }
            BuilderKind::Dockerfile => {
                self.ask_plugins(job, Trigger::PreBuildDockerfile, &[app])
                    .await?;
            }
            BuilderKind::Null => {}
        }
        let mut worked = Worked {
            bench,
            folder,
            kind,
            stack: None,
        };
        if kind == BuilderKind::Herokuish {
            worked.stack = self.choose_image(job, &worked, raw.stack).await?;
        }
        *source = worked.bench.take_up().await?;
        Ok(Some(worked))
    }

    /// Plugins may put another image in place of the stack, or make one out of it. Each is told what the one before said.
    async fn choose_image(
        &self,
        job: &Job,
        worked: &Worked,
        stack: &str,
    ) -> Outcome<Option<String>> {
        let args = |image: &str| {
            [
                worked.kind.as_str(),
                job.app.as_str(),
                &worked.folder,
                image,
            ]
            .map(str::to_owned)
        };
        let mut chosen = None;
        // The first makes an image, perhaps at length: what it says is for people. The second names it.
        let making = args(stack);
        let making: Vec<_> = making.iter().map(String::as_str).collect();
        self.ask_plugins(job, Trigger::BuilderCreateDokkuImage, &making)
            .await?;
        let asking = args(stack);
        let asking: Vec<_> = asking.iter().map(String::as_str).collect();
        if let Some(image) = self
            .answer_line(Trigger::BuilderDokkuImage, &asking)
            .await?
        {
            job.log.header(&format!("Building on {image}"));
            chosen = Some(image);
        }
        Ok(chosen)
    }

    /// Lets plugins look at what was built.
    pub(crate) async fn built_by(&self, job: &Job, worked: Option<&Worked>) -> Outcome {
        let Some(worked) = worked else { return Ok(()) };
        let (app, folder) = (job.app.as_str(), worked.folder.as_str());
        self.ask_plugins(
            job,
            Trigger::PostBuild,
            &[worked.kind.as_str(), app, folder],
        )
        .await?;
        match worked.kind {
            BuilderKind::Herokuish => {
                self.ask_plugins(job, Trigger::PostBuildBuildpack, &[app, folder])
                    .await
            }
            BuilderKind::Dockerfile => {
                self.ask_plugins(job, Trigger::PostBuildDockerfile, &[app])
                    .await
            }
            BuilderKind::Null => Ok(()),
        }
    }
}

fn request<'a>(
    job: &'a Job,
    raw: &Raw<'a>,
    source: &'a SourceTree,
    options: &BuildOptions,
) -> BuildRequest<'a> {
    BuildRequest {
        app: &job.app,
        build: &job.build,
        source,
        commit: raw.commit,
        config: raw.config,
        options: options.clone(),
    }
}
