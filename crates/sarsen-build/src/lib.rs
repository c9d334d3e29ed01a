//! From source tree to image: picks a builder, runs it, and says what the image needs to be run.
//!
//! Builders are an enum ([`BuilderKind`]). A build leaves one image under `dokku/APP:latest` and nothing else: its
//! containers and helper tags are gone when [`Builder::build`] returns, whichever way it ended. What a killed daemon
//! leaves behind is removed by [`Builder::sweep`].

mod adopt;
mod archive;
mod buildpacks;
mod cache;
mod detect;
mod dockerfile;
mod error;
mod fetch;
mod flags;
mod helper;
mod ignore;
mod image;
mod limits;
mod plan;
mod ports;
mod stack;
mod sweep;

pub use adopt::Pull;
pub use detect::detect;
pub use error::BuildError;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use sarsen_domain::{
    AppJson, AppName, BuildId, BuilderKind, BuildpackRef, CommitId, Config, ContainerSettings,
    ImageRef, Invalid, PortMapping, Procfile, Progress,
};
use sarsen_git::SourceTree;
use sarsen_runtime::{RegistryLogin, Runtime};
use tokio_util::sync::CancellationToken;

use crate::limits::Limits;
use crate::plan::Plan;

/// What is the same for all builds of an installation.
#[derive(Debug, Clone)]
pub struct BuildSettings {
    /// Value of the label [`sarsen_domain::container::label::OWNER`].
    pub owner: String,
    /// The image that buildpacks run in and that apps built by them are laid over: `sarsen/stack:latest`.
    pub stack_image: String,
    /// Where fetched buildpacks are kept.
    pub cache_dir: PathBuf,
    /// Bytes of memory for a buildpack build.
    pub build_memory: Option<i64>,
    /// Billionths of a CPU for a buildpack build.
    pub build_cpus: Option<i64>,
    /// A build that prints nothing for so long is given up.
    pub silence_limit: Duration,
    /// A build that takes longer is given up.
    pub time_limit: Duration,
    /// Whether buildpacks may be fetched from loopback, link-local and private addresses.
    pub allow_private_hosts: bool,
}

impl Default for BuildSettings {
    fn default() -> Self {
        Self {
            owner: "sarsen".to_owned(),
            stack_image: "sarsen/stack:latest".to_owned(),
            cache_dir: PathBuf::from("/var/cache/sarsen/buildpacks"),
            build_memory: None,
            build_cpus: None,
            silence_limit: Duration::from_secs(15 * 60),
            time_limit: Duration::from_secs(60 * 60),
            allow_private_hosts: false,
        }
    }
}

/// What one app asks of its builds.
#[derive(Debug, Clone)]
pub struct BuildOptions {
    /// The builder to use, whatever the source looks like.
    pub selected: Option<BuilderKind>,
    /// Path of the Dockerfile.
    pub dockerfile_path: String,
    /// Path of the Procfile.
    pub procfile_path: String,
    /// Path of app.json.
    pub appjson_path: String,
    /// Buildpacks set by command; they win over those that the source names. Only these may be paths on the host.
    pub buildpacks: Vec<BuildpackRef>,
    /// Build arguments for a Dockerfile.
    pub build_args: BTreeMap<String, String>,
    /// Docker's flags: those of `docker build` for a Dockerfile, those of `docker run` for buildpacks, which run in a
    /// container.
    pub docker_options: Vec<String>,
    /// How much of the host the build may take; over the installation's own limits.
    pub limits: ContainerSettings,
    /// For bases of registries that want to know who asks.
    pub logins: Vec<RegistryLogin>,
    /// Whether buildpacks may be run.
    pub buildpacks_allowed: bool,
    /// Path of project.toml, which names buildpacks of another kind.
    pub projecttoml_path: String,
}

impl Default for BuildOptions {
    fn default() -> Self {
        Self {
            selected: None,
            dockerfile_path: "Dockerfile".to_owned(),
            procfile_path: "Procfile".to_owned(),
            appjson_path: "app.json".to_owned(),
            buildpacks: Vec::new(),
            build_args: BTreeMap::new(),
            docker_options: Vec::new(),
            limits: ContainerSettings::default(),
            logins: Vec::new(),
            buildpacks_allowed: true,
            projecttoml_path: "project.toml".to_owned(),
        }
    }
}

/// One build.
pub struct BuildRequest<'a> {
    pub app: &'a AppName,
    pub build: &'a BuildId,
    /// Opened at the app's build directory, if it has one: all paths are in it.
    pub source: &'a SourceTree,
    pub commit: &'a CommitId,
    /// Given to buildpacks as files; never part of the image.
    pub config: &'a Config,
    pub options: BuildOptions,
}

/// An image, and how to run it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Built {
    /// The image's id.
    pub image: ImageRef,
    pub builder: BuilderKind,
    /// The Procfile with the buildpacks' default process types; empty when there is neither, and then the image's
    /// own command is the `web` process.
    pub procfile: Procfile,
    /// The text of app.json and what it says.
    pub app_json: Option<(String, AppJson)>,
    /// Where the app listens, unless the user has mapped ports; never empty.
    pub detected_ports: Vec<PortMapping>,
    /// Names of the buildpacks that ran, in order.
    pub buildpacks: Vec<String>,
    /// Bytes, as the engine counts them; for buildpacks without the stack, which all such images share.
    pub size: i64,
}

/// Makes images. Cheap to clone.
#[derive(Clone)]
pub struct Builder {
    runtime: Runtime,
    settings: BuildSettings,
    fetcher: fetch::Fetcher,
}

impl Builder {
    /// A builder on this engine.
    pub fn new(runtime: Runtime, settings: BuildSettings) -> Self {
        let fetcher = fetch::Fetcher::new(&settings);
        Self {
            runtime,
            settings,
            fetcher,
        }
    }

    /// The image that buildpacks build on, unless an app has another.
    pub fn stack_image(&self) -> &str {
        &self.settings.stack_image
    }

    /// Whether an image is the stack that comes with Sarsen: its buildpacks are [`sarsen_domain::builder::BUNDLED`].
    pub fn is_own_stack(image: &str) -> bool {
        matches!(image, "sarsen/stack:latest" | "sarsen/stack:bookworm")
    }

    /// The builder that a source calls for.
    pub async fn kind(&self, request: &BuildRequest<'_>) -> Result<BuilderKind, BuildError> {
        Ok(Plan::make(request).await?.builder)
    }

    /// Fetches an archive by http or https, from public hosts and within the size that buildpacks may have.
    pub async fn download(&self, url: &str) -> Result<std::fs::File, BuildError> {
        self.fetcher.content(url).await
    }

    /// Makes an image of the source and names it `dokku/APP:latest`. Until that name moves nothing that runs is
    /// touched; a build that fails or is cancelled leaves neither container nor image.
    pub async fn build(
        &self,
        mut request: BuildRequest<'_>,
        progress: &dyn Progress,
        cancel: &CancellationToken,
    ) -> Result<Built, BuildError> {
        flags::choose_dockerfile(&mut request.options);
        let limits = Limits::new(&self.settings, cancel);
        let plan = Plan::make(&request).await?;
        match plan.builder {
            BuilderKind::Dockerfile => self.dockerfile(&request, plan, progress, &limits).await,
            BuilderKind::Herokuish => self.buildpacks(&request, plan, progress, &limits).await,
            BuilderKind::Null => Err(BuildError::Invalid(Invalid::new(format!(
                "The builder of {} is 'null', which builds nothing: deploy an image with git:from-image, or choose \
                 another builder with builder:set {} selected",
                request.app, request.app
            )))),
        }
    }
}
