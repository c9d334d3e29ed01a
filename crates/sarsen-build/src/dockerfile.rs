//! Builds with a Dockerfile: the engine does them; we choose what it sees.

use sarsen_domain::{BuilderKind, ImageRef, Procfile, Progress};
use sarsen_runtime::{BuildItem, BuildSpec, RuntimeError};

use crate::archive::{Caps, Input, Rewrite, Rewritten, rewrite, without};
use crate::image::{helper_tag, repository};
use crate::limits::Limits;
use crate::plan::Plan;
use crate::ports::detect_ports;
use crate::{BuildError, BuildRequest, Builder, Built, flags};

impl Builder {
    pub(crate) async fn dockerfile(
        &self,
        request: &BuildRequest<'_>,
        plan: Plan,
        progress: &dyn Progress,
        limits: &Limits,
    ) -> Result<Built, BuildError> {
        let path = &request.options.dockerfile_path;
        progress.header(&format!("Building {} from {path}", request.app));
        let procfile = match &plan.procfile {
            Some(text) => Procfile::parse(text)?,
            None => Procfile::default(),
        };
        let context = Rewrite {
            owner: 0,
            caps: Caps::NONE,
            rule: without(plan.ignore),
        };
        let context = rewrite(Input::source(request.source), context);
        let image = match self.engine_build(request, context, progress, limits).await {
            Ok(image) => image,
            Err(error) => {
                self.drop_helper_tag(request).await;
                return Err(error);
            }
        };
        let info = self.publish(request, &image).await?;
        Ok(Built {
            detected_ports: detect_ports(plan.dockerfile.as_deref(), &info.exposed),
            image: info.id,
            builder: BuilderKind::Dockerfile,
            procfile,
            app_json: plan.app_json,
            buildpacks: Vec::new(),
            size: info.size,
        })
    }

    /// Dropping the engine's stream, which every early return does, cancels the build there.
    async fn engine_build(
        &self,
        request: &BuildRequest<'_>,
        context: Rewritten,
        progress: &dyn Progress,
        limits: &Limits,
    ) -> Result<ImageRef, BuildError> {
        let flags = flags::of_dockerfile(&request.options)?;
        if flags.limits_resources() {
            progress.body("The build has limits, which only the engine's classic builder holds");
        }
        let mut build_args = request.options.build_args.clone();
        build_args.extend(flags.build_args.clone());
        let mut labels = flags.labels.clone();
        labels.extend(self.image_labels(request, BuilderKind::Dockerfile));
        let spec = BuildSpec {
            dockerfile: request.options.dockerfile_path.clone(),
            tag: format!("{}:{}", repository(request.app), helper_tag(request.build)),
            build_args,
            labels,
            target: flags.target.clone(),
            no_cache: flags.no_cache,
            pull: flags.pull,
            logins: request.options.logins.clone(),
            flags,
        };
        let Rewritten { stream, failure } = context;
        let started = limits.run(self.runtime.build(&spec, stream)).await?;
        failure.check()?;
        let mut items = started.map_err(failed)?;
        let mut image = None;
        loop {
            match limits.next(&mut items).await {
                Ok(Some(BuildItem::Output(bytes))) => progress.write(&bytes),
                Ok(Some(BuildItem::Done(id))) => image = Some(id),
                Ok(None) => break,
                Err(BuildError::Engine(error)) => {
                    failure.check()?;
                    return Err(failed(error));
                }
                Err(other) => return Err(other),
            }
        }
        failure.check()?;
        image.ok_or_else(|| BuildError::Failed("The engine made no image".to_owned()))
    }
}

/// The engine's own sentence is the one that helps, but it does not say what failed.
fn failed(error: RuntimeError) -> BuildError {
    match error {
        RuntimeError::Unreachable(_) => BuildError::Engine(error),
        RuntimeError::NotFound(text)
        | RuntimeError::Conflict(text)
        | RuntimeError::BuildFailed(text)
        | RuntimeError::Engine(text) => BuildError::Failed(format!("The build failed: {text}")),
    }
}
