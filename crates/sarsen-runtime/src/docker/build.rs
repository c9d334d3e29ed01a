//! Image builds: BuildKit, the classic builder, and the step from the one to the other.

mod buildkit;
mod classic;
mod context;
mod flags;
mod lines;

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use bollard::errors::Error;
use bollard::models::{BuildInfo, BuildInfoAux};
use bollard::query_parameters::{BuildImageOptions, BuildImageOptionsBuilder, BuilderVersion};
use bollard::{Docker, body_try_stream};
use bytes::Bytes;
use futures_util::StreamExt;
use sarsen_domain::ImageRef;

use super::error::engine_error;
use super::produce::{Output, produce};
use super::{BuildEngine, DockerRuntime, read, registry};
use crate::{BuildItem, BuildSpec, EngineStream, Result, RuntimeError};
use context::Context;

/// The item in which BuildKit tells the image's id.
const IMAGE_ID_ITEM: &str = "moby.image.id";

/// How an attempt ended without an image.
enum Failure {
    /// BuildKit itself could not work: the other builder may.
    Builder(RuntimeError),
    /// The build is what is wrong.
    Build(RuntimeError),
}

/// What turns a builder's items into text.
trait Renderer: Send {
    /// The lines that this item makes complete.
    fn render(&mut self, item: &BuildInfo) -> Vec<u8>;
    /// What is left in a line that nobody ended.
    fn rest(&mut self) -> Vec<u8>;
    /// Whether what went wrong is the builder's fault rather than the build's.
    fn blames_builder(&self, words: &str, told: Told) -> bool;
}

/// Where the engine told that a build failed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Told {
    /// In the answer's status: nothing was tried.
    InStatus,
    /// Among the items.
    InItem,
}

struct Job {
    client: Docker,
    spec: BuildSpec,
    out: Output<BuildItem>,
}

impl DockerRuntime {
    pub(super) async fn build_stream(
        &self,
        spec: &BuildSpec,
        context: EngineStream<Bytes>,
    ) -> Result<EngineStream<BuildItem>> {
        let client = self.patient_client().await?;
        flags::check(&spec.flags)?;
        let engine = match self.build_engine {
            // BuildKit takes no limits for one build.
            BuildEngine::Auto if spec.flags.limits_resources() => BuildEngine::Classic,
            BuildEngine::Auto => BuildEngine::Auto,
            BuildEngine::BuildKit => BuildEngine::BuildKit,
            BuildEngine::Classic => BuildEngine::Classic,
        };
        let spec = spec.clone();
        Ok(produce(move |out| {
            Job { client, spec, out }.run(engine, context)
        }))
    }
}

impl Job {
    async fn run(self, engine: BuildEngine, context: EngineStream<Bytes>) -> Result<()> {
        let outcome = match engine {
            BuildEngine::Auto => self.either(context).await,
            BuildEngine::BuildKit => self.buildkit(&Context::once(context)).await,
            BuildEngine::Classic => self.classic(&Context::once(context)).await,
        };
        let image = match outcome {
            Ok(Some(image)) => image,
            Ok(None) => self.tagged().await?,
            Err(Failure::Builder(error) | Failure::Build(error)) => return Err(error),
        };
        self.out.send(BuildItem::Done(image)).await;
        Ok(())
    }

    async fn either(&self, context: EngineStream<Bytes>) -> Outcome {
        let context = Context::repeatable(context).map_err(Failure::Build)?;
        match self.buildkit(&context).await {
            Err(Failure::Builder(error)) => {
                tracing::warn!("BuildKit cannot work, the classic builder takes over: {error}");
                let line =
                    format!("BuildKit cannot work here ({error}); using the classic builder\n");
                self.out.send(BuildItem::Output(line.into())).await;
                self.classic(&context).await
            }
            other => other,
        }
    }

    async fn buildkit(&self, context: &Context) -> Outcome {
        let options = BuildImageOptions {
            version: BuilderVersion::BuilderBuildKit,
            // Two builds with one session would take each other's answers.
            session: Some(session_id()),
            ..self.options()
        };
        let renderer = buildkit::Renderer::default();
        self.attempt(options, context, renderer).await
    }

    async fn classic(&self, context: &Context) -> Outcome {
        let renderer = classic::Renderer::default();
        self.attempt(self.options(), context, renderer).await
    }

    async fn attempt(
        &self,
        options: BuildImageOptions,
        context: &Context,
        mut renderer: impl Renderer,
    ) -> Outcome {
        let pass = context.pass();
        let body = body_try_stream(pass.stream());
        let logins = registry::by_server(&self.spec.logins);
        let logins = (!logins.is_empty()).then_some(logins);
        let mut items = self.client.build_image(options, logins, Some(body)).boxed();
        let mut image = None;
        let mut failed = None;
        while let Some(item) = items.next().await {
            match item {
                Ok(item) => {
                    self.say(renderer.render(&item)).await;
                    image = image_id(item).or(image);
                }
                Err(error) => {
                    failed = Some(error);
                    break;
                }
            }
        }
        self.say(renderer.rest()).await;
        match failed {
            None => Ok(image),
            Some(error) => Err(pass
                .failure()
                .map_or_else(|| failure(error, &renderer), Failure::Build)),
        }
    }

    async fn say(&self, text: Vec<u8>) {
        if !text.is_empty() {
            self.out.send(BuildItem::Output(text.into())).await;
        }
    }

    fn options(&self) -> BuildImageOptions {
        let spec = &self.spec;
        let options = BuildImageOptionsBuilder::new()
            .dockerfile(&spec.dockerfile)
            .t(&spec.tag)
            .nocache(spec.no_cache)
            .rm(true)
            // Also the containers of a build that failed.
            .forcerm(true)
            .build();
        BuildImageOptions {
            buildargs: Some(spec.build_args.clone().into_iter().collect()),
            labels: Some(spec.labels.clone().into_iter().collect()),
            target: spec.target.clone().unwrap_or_default(),
            pull: spec.pull.then(|| "true".to_owned()),
            ..flags::applied(&spec.flags, options)
        }
    }

    /// The id, from an engine that did not tell it.
    async fn tagged(&self) -> Result<ImageRef> {
        let answer = self.client.inspect_image(&self.spec.tag).await;
        let id = answer.map_err(engine_error)?.id.unwrap_or_default();
        ImageRef::parse(&id).map_err(read::odd)
    }
}

type Outcome = std::result::Result<Option<ImageRef>, Failure>;

/// Both builders tell the id in an item without text; the classic one does so for each stage, the last one last.
fn image_id(item: BuildInfo) -> Option<ImageRef> {
    let of_image = item.id.as_deref().is_none_or(|id| id == IMAGE_ID_ITEM);
    match item.aux {
        Some(BuildInfoAux::Default(image)) if of_image => ImageRef::parse(&image.id?).ok(),
        _ => None,
    }
}

fn failure(error: Error, renderer: &impl Renderer) -> Failure {
    let told = if matches!(error, Error::DockerResponseServerError { .. }) {
        Told::InStatus
    } else {
        Told::InItem
    };
    let words = match engine_error(error) {
        error @ RuntimeError::Unreachable(_) => return Failure::Build(error),
        RuntimeError::NotFound(words)
        | RuntimeError::Conflict(words)
        | RuntimeError::BuildFailed(words)
        | RuntimeError::Engine(words) => words,
    };
    let builder = renderer.blames_builder(&words, told);
    let error = RuntimeError::BuildFailed(words);
    if builder {
        Failure::Builder(error)
    } else {
        Failure::Build(error)
    }
}

/// The engine compares nothing but the text: this process, this moment, this build.
fn session_id() -> String {
    static BUILDS: AtomicU64 = AtomicU64::new(0);
    let build = BUILDS.fetch_add(1, Ordering::Relaxed);
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let now = now.map_or(0, |since| since.as_nanos());
    format!("sarsen-{}-{now:x}-{build}", std::process::id())
}
