//! Builds with Heroku's buildpacks, in a container of the stack image.
//!
//! The builder container runs `/build` as the app's user on the source, with the app's cache and its config as files
//! (the contract is that of `deploy/stack/bin/build`). What it made is copied into a second container that never
//! runs and has never seen the config, and that one becomes the image.

mod detection;
mod packs;
mod result;

use sarsen_domain::container::label;
use sarsen_domain::{BuilderKind, ContainerId, ImageRef, Procfile, Progress};
use sarsen_runtime::{CommitSpec, ContainerSpec, LogOptions, RuntimeError};

use crate::archive::{Input, Memory, Rewrite, keep, rebase, rewrite};
use crate::fetch::Pack;
use crate::helper::APP_USER_SPEC;
use crate::image::{helper_tag, repository};
use crate::limits::Limits;
use crate::plan::Plan;
use crate::ports::default_ports;
use crate::{BuildError, BuildRequest, Builder, Built, cache, flags};

use result::BuildResult;

/// Where the stack's `/build` works.
const BUILD_DIR: &str = "/tmp/build";

/// Enough for parallel compilers, not for a fork bomb.
const PIDS: i64 = 4096;

impl Builder {
    pub(crate) async fn buildpacks(
        &self,
        request: &BuildRequest<'_>,
        plan: Plan,
        progress: &dyn Progress,
        limits: &Limits,
    ) -> Result<Built, BuildError> {
        let stack = self.stack_name().await?;
        progress.header(&format!(
            "Building {} with buildpacks (stack {stack})",
            request.app
        ));
        if let Some(path) = &plan.unheard {
            progress.warn(&format!(
                "{path} asks for Cloud Native Buildpacks, which are not run here: the classic ones are used \
                 ('builder:set {} selected herokuish' says that this is meant)",
                request.app
            ));
        }
        let packs = self
            .fetcher
            .fetch_all(&plan.buildpacks, progress, limits)
            .await?;
        self.ensure_cache(request.app).await?;
        let builder = self.make_helper(&self.builder_spec(request)?).await?;
        let built = self
            .build_in(&builder, request, packs, progress, limits)
            .await;
        self.remove_helper(&builder).await;
        let (image, result) = match built {
            Ok(built) => built,
            Err(error) => {
                self.drop_helper_tag(request).await;
                return Err(error);
            }
        };
        let info = self.publish(request, &image).await?;
        Ok(Built {
            image: info.id,
            builder: BuilderKind::Herokuish,
            procfile: result.procfile,
            app_json: plan.app_json,
            detected_ports: default_ports(),
            buildpacks: result.buildpacks,
            size: info.size - self.stack_size().await?,
        })
    }

    async fn stack_size(&self) -> Result<i64, BuildError> {
        let image = ImageRef::parse(&self.settings.stack_image)?;
        Ok(self.runtime.image(&image).await?.size)
    }

    /// `heroku-24`: what buildpacks are told the stack is.
    async fn stack_name(&self) -> Result<String, BuildError> {
        let image = ImageRef::parse(&self.settings.stack_image)?;
        let info = match self.runtime.image(&image).await {
            Ok(info) => info,
            Err(RuntimeError::NotFound(_)) => return Err(self.no_stack_image()),
            Err(error) => return Err(error.into()),
        };
        let named = info.env.iter().find_map(|var| var.strip_prefix("STACK="));
        Ok(named.unwrap_or(&self.settings.stack_image).to_owned())
    }

    fn builder_spec(&self, request: &BuildRequest<'_>) -> Result<ContainerSpec, BuildError> {
        let mut spec = self.helper_spec(request.app, &format!("{}-run", request.build))?;
        let build = request.build.to_string();
        spec.labels.insert(label::BUILD.to_owned(), build);
        spec.labels
            .insert(label::CONTAINER_TYPE.to_owned(), "build".to_owned());
        Ok(ContainerSpec {
            entrypoint: Some(Vec::new()),
            command: Some(vec!["/build".to_owned()]),
            env: vec![format!("SOURCE_VERSION={}", request.commit)],
            user: Some(APP_USER_SPEC.to_owned()),
            workdir: Some("/".to_owned()),
            init: true,
            binds: vec![format!("{}:{}", cache::volume(request.app), cache::FOLDER)],
            memory: self.settings.build_memory,
            nano_cpus: self.settings.build_cpus,
            pids_limit: Some(PIDS),
            log_max_size: Some("50m".to_owned()),
            flags: flags::of_buildpacks(&request.options)?,
            ..spec
        })
    }

    async fn build_in(
        &self,
        builder: &ContainerId,
        request: &BuildRequest<'_>,
        packs: Vec<Pack>,
        progress: &dyn Progress,
        limits: &Limits,
    ) -> Result<(ImageRef, BuildResult), BuildError> {
        let source = rewrite(Input::source(request.source), Rewrite::for_app(keep()));
        self.upload(builder, BUILD_DIR, source, limits).await?;
        self.upload_config(builder, request, limits).await?;
        self.upload_packs(builder, packs, limits).await?;
        self.run_build(builder, progress, limits).await?;
        let procfile_path = &request.options.procfile_path;
        let result = self.read_result(builder, procfile_path).await?;
        let image = self.assemble(builder, request, &result, limits).await?;
        Ok((image, result))
    }

    /// One file per config var, for the app's user alone.
    async fn upload_config(
        &self,
        builder: &ContainerId,
        request: &BuildRequest<'_>,
        limits: &Limits,
    ) -> Result<(), BuildError> {
        let failed = || BuildError::io("Could not hand the config to the build");
        let mut files = Memory::new().folder("env", 0o700).map_err(failed())?;
        for (key, value) in request.config.iter() {
            let path = format!("env/{key}");
            files = files
                .file(&path, 0o600, value.as_bytes())
                .map_err(failed())?;
        }
        let tar = files.into_stream().map_err(failed())?;
        limits
            .run(self.runtime.upload(builder, "/tmp", tar))
            .await??;
        Ok(())
    }

    async fn run_build(
        &self,
        builder: &ContainerId,
        progress: &dyn Progress,
        limits: &Limits,
    ) -> Result<(), BuildError> {
        self.runtime.start(builder).await?;
        let follow = LogOptions {
            follow: true,
            ..LogOptions::default()
        };
        let mut output = self.runtime.logs(builder, follow).await?;
        while let Some(chunk) = limits.next(&mut output).await? {
            progress.write(&chunk.bytes);
        }
        let code = limits.run(self.runtime.wait(builder)).await??;
        if code == 0 {
            return Ok(());
        }
        if self.runtime.inspect(builder).await?.oom_killed {
            return Err(BuildError::Failed(
                "The build failed: it needs more memory than a build may have".to_owned(),
            ));
        }
        Err(BuildError::Failed(format!(
            "The build failed: the buildpacks ended with exit code {code}"
        )))
    }

    /// The image: the stack's, with the result as `/app`.
    async fn assemble(
        &self,
        builder: &ContainerId,
        request: &BuildRequest<'_>,
        result: &BuildResult,
        limits: &Limits,
    ) -> Result<ImageRef, BuildError> {
        let mut spec = self.helper_spec(request.app, &format!("{}-app", request.build))?;
        spec.labels = self.image_labels(request, BuilderKind::Herokuish);
        let app = self.make_helper(&spec).await?;
        let filled = self.fill(builder, &app, result, limits).await;
        let image = match filled {
            Ok(()) => self.commit_app(&app, request).await,
            Err(error) => Err(error),
        };
        self.remove_helper(&app).await;
        image
    }

    async fn fill(
        &self,
        builder: &ContainerId,
        app: &ContainerId,
        result: &BuildResult,
        limits: &Limits,
    ) -> Result<(), BuildError> {
        let built = self.runtime.download(builder, BUILD_DIR).await?;
        let tree = rewrite(
            Input::Stream(built),
            Rewrite::for_app(rebase("build", "app")),
        );
        self.upload(app, "/", tree, limits).await?;
        let Some(procfile) = &result.moved_procfile else {
            return Ok(());
        };
        let failed = || BuildError::io("Could not add the Procfile");
        let files = Memory::new()
            .file("Procfile", 0o644, procfile.as_bytes())
            .and_then(Memory::into_stream)
            .map_err(failed())?;
        Ok(self.runtime.upload(app, "/app", files).await?)
    }

    async fn commit_app(
        &self,
        app: &ContainerId,
        request: &BuildRequest<'_>,
    ) -> Result<ImageRef, BuildError> {
        let spec = CommitSpec {
            repository: repository(request.app),
            tag: helper_tag(request.build),
            changes: vec![
                format!("USER {APP_USER_SPEC}"),
                "WORKDIR /app".to_owned(),
                r#"CMD ["/start", "web"]"#.to_owned(),
            ],
        };
        Ok(self.runtime.commit(app, &spec).await?)
    }

    /// What `/build` says it did, and the Procfile as it is after that.
    async fn read_result(
        &self,
        builder: &ContainerId,
        procfile_path: &str,
    ) -> Result<BuildResult, BuildError> {
        let report = self.read_file(builder, "/tmp", "build.json").await?;
        let text = self.read_file(builder, BUILD_DIR, procfile_path).await?;
        let text = text.filter(|text| !text.trim().is_empty());
        let mut procfile = match &text {
            Some(text) => Procfile::parse(text)?,
            None => Procfile::default(),
        };
        let report = result::Report::parse(report.as_deref().unwrap_or("{}"))?;
        procfile.add_defaults(report.process_types);
        Ok(BuildResult {
            procfile,
            moved_procfile: text.filter(|_| procfile_path != "Procfile"),
            buildpacks: report.buildpacks,
        })
    }
}
