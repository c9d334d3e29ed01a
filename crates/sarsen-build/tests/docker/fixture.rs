//! An app of its own for each test, gone afterwards whatever happened.

use std::os::unix::fs::PermissionsExt;
use std::panic::{AssertUnwindSafe, resume_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::{FutureExt, TryStreamExt};
use sarsen_build::{BuildError, BuildOptions, BuildRequest, BuildSettings, Builder, Built};
use sarsen_domain::container::label;
use sarsen_domain::{AppName, BuildId, Config, EnvKey, ImageRef, Progress};
use sarsen_git::SourceTree;
use sarsen_runtime::{ContainerSpec, DockerRuntime, ImageInfo, Runtime};
use tempfile::TempDir;
use tokio::process::Command;
use tokio_util::sync::CancellationToken;

/// Small, and has a shell.
pub(crate) const BASE: &str = "sarsen/base:bookworm";

pub(crate) struct Fixture {
    pub(crate) runtime: Runtime,
    pub(crate) settings: BuildSettings,
    pub(crate) app: AppName,
    pub(crate) dir: TempDir,
    pub(crate) progress: Recorder,
    pub(crate) cancel: CancellationToken,
    pub(crate) config: Config,
    pub(crate) options: BuildOptions,
    /// Another stack than the embedded one.
    pub(crate) stack: Option<ImageRef>,
}

/// Runs a test with a fixture on this engine, and removes all that it made.
pub(crate) async fn run_on(runtime: DockerRuntime, test: impl AsyncFnOnce(&mut Fixture)) {
    let mut fixture = Fixture::new(Arc::new(runtime));
    let outcome = AssertUnwindSafe(test(&mut fixture)).catch_unwind().await;
    fixture.remove_all().await;
    if let Err(panic) = outcome {
        println!("{}", fixture.progress.text());
        resume_unwind(panic);
    }
}

pub(crate) async fn run(test: impl AsyncFnOnce(&mut Fixture)) {
    run_on(engine(), test).await;
}

pub(crate) fn engine() -> DockerRuntime {
    DockerRuntime::connect(Path::new("/var/run/docker.sock")).unwrap()
}

impl Fixture {
    fn new(runtime: Runtime) -> Self {
        let unique = format!("{:08x}", rand::random::<u32>());
        let dir = tempfile::tempdir().unwrap();
        Self {
            runtime,
            settings: BuildSettings {
                owner: format!("test-{unique}"),
                cache_dir: dir.path().join("cache"),
                build_memory: Some(512 << 20),
                silence_limit: Duration::from_secs(120),
                allow_private_hosts: true,
                ..BuildSettings::default()
            },
            app: AppName::parse(&format!("build-test-{unique}")).unwrap(),
            dir,
            progress: Recorder::default(),
            cancel: CancellationToken::new(),
            config: Config::default(),
            options: BuildOptions::default(),
            stack: None,
        }
    }

    pub(crate) fn builder(&self) -> Builder {
        Builder::new(Arc::clone(&self.runtime), self.settings.clone())
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn set_config(&mut self, key: &str, value: &str) {
        self.config.set(EnvKey::parse(key).unwrap(), value).unwrap();
    }

    /// Builds these files as one commit.
    pub(crate) async fn build(&self, files: &[(&str, &str)]) -> Result<Built, BuildError> {
        let folder = self.path("source");
        let source = commit(&folder, files).await;
        let id = BuildId::from_parts(1_700_000_000_000, rand::random());
        let request = BuildRequest {
            app: &self.app,
            build: &id,
            source: &source,
            commit: source.commit(),
            config: &self.config,
            options: self.options.clone(),
        };
        let mut builder = self.builder();
        if let Some(stack) = &self.stack {
            builder = builder
                .on_stack(stack, &self.progress, &self.cancel)
                .await?;
        }
        builder.build(request, &self.progress, &self.cancel).await
    }

    pub(crate) async fn latest(&self) -> Option<ImageInfo> {
        let name = format!("dokku/{}:latest", self.app);
        self.runtime
            .image(&ImageRef::parse(&name).unwrap())
            .await
            .ok()
    }

    pub(crate) fn owned(&self) -> String {
        format!("{}={}", label::OWNER, self.settings.owner)
    }

    /// Panics when a container is left, or an image that is not the app's latest.
    #[track_caller]
    pub(crate) fn nothing_left(&self) -> impl Future<Output = ()> + '_ {
        let caller = std::panic::Location::caller();
        async move {
            let containers = self.runtime.list(&[self.owned()]).await.unwrap();
            let names: Vec<_> = containers.iter().map(|container| &container.name).collect();
            assert!(names.is_empty(), "{caller}: {names:?}");
            let images = self.runtime.images(&[self.owned()]).await.unwrap();
            let latest = format!("dokku/{}:latest", self.app);
            for image in images {
                let helper = image.tags.iter().any(|tag| *tag != latest);
                assert!(!helper, "{caller}: {:?}", image.tags);
            }
        }
    }

    /// Makes a container of an image, owned by this test.
    pub(crate) fn spec(&self, image: &ImageRef) -> ContainerSpec {
        ContainerSpec {
            image: image.to_string(),
            labels: [(label::OWNER.to_owned(), self.settings.owner.clone())].into(),
            ..ContainerSpec::default()
        }
    }

    /// All bytes below some folders of an image, as tars.
    pub(crate) async fn contents(&self, image: &ImageRef, folders: &[&str]) -> Vec<u8> {
        let container = self.runtime.create(&self.spec(image)).await.unwrap();
        let mut all = Vec::new();
        for folder in folders {
            let tar = self.runtime.download(&container, folder).await.unwrap();
            let chunks: Vec<_> = tar.try_collect().await.unwrap();
            all.extend(chunks.concat());
        }
        self.runtime.remove(&container).await.unwrap();
        all
    }

    /// Starts the image's own command and gives what it printed.
    pub(crate) async fn output(&self, spec: ContainerSpec) -> String {
        let container = self.runtime.create(&spec).await.unwrap();
        self.runtime.start(&container).await.unwrap();
        self.runtime.wait(&container).await.unwrap();
        let logs = self
            .runtime
            .logs(&container, sarsen_runtime::LogOptions::default())
            .await
            .unwrap();
        let chunks: Vec<_> = logs
            .map_ok(|chunk| chunk.bytes)
            .try_collect()
            .await
            .unwrap();
        self.runtime.remove(&container).await.unwrap();
        String::from_utf8_lossy(&chunks.concat()).into_owned()
    }

    async fn remove_all(&self) {
        let owned = [self.owned()];
        for container in self.runtime.list(&owned).await.unwrap() {
            self.runtime.remove(&container.id).await.unwrap();
        }
        for image in self.runtime.images(&owned).await.unwrap() {
            for tag in &image.tags {
                let name = ImageRef::parse(tag).unwrap();
                self.runtime.remove_image(&name).await.unwrap();
            }
            if image.tags.is_empty() {
                // An image on which another is built cannot go before it.
                self.runtime.remove_image(&image.id).await.ok();
            }
        }
        let volume = format!("cache-{}", self.app);
        self.runtime.remove_volume(&volume).await.unwrap();
    }
}

/// Makes a repository in a folder (anew) with one commit of these files; scripts below `bin` are executable, and
/// `-> x` is a link.
pub(crate) async fn commit(folder: &Path, files: &[(&str, &str)]) -> SourceTree {
    if folder.exists() {
        std::fs::remove_dir_all(folder).unwrap();
    }
    write_files(folder, files);
    git(folder, &["init", "--quiet"]).await;
    git(folder, &["add", "--all", "--force"]).await;
    git(
        folder,
        &["commit", "--quiet", "--allow-empty", "--message", "x"],
    )
    .await;
    let id = git(folder, &["rev-parse", "HEAD"]).await;
    let id = sarsen_domain::CommitId::parse(id.trim()).unwrap();
    SourceTree::open(&folder.join(".git"), None, &id, None).unwrap()
}

pub(crate) fn write_files(folder: &Path, files: &[(&str, &str)]) {
    std::fs::create_dir_all(folder).unwrap();
    for (path, content) in files {
        let file = folder.join(path);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        if let Some(target) = content.strip_prefix("-> ") {
            std::os::unix::fs::symlink(target, &file).unwrap();
            continue;
        }
        std::fs::write(&file, content).unwrap();
        if path.starts_with("bin/") {
            std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o755)).unwrap();
        }
    }
}

pub(crate) async fn git(folder: &Path, arguments: &[&str]) -> String {
    let person = ["-c", "user.name=T", "-c", "user.email=t@example.com"];
    let output = Command::new("git")
        .args(person)
        .args(["-c", "init.defaultBranch=main"])
        .args(arguments)
        .current_dir(folder)
        .output()
        .await
        .unwrap();
    assert!(output.status.success(), "git {arguments:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// Keeps what a build says.
#[derive(Default)]
pub(crate) struct Recorder(Mutex<Vec<u8>>);

impl Recorder {
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().unwrap()).into_owned()
    }

    /// Waits until the build has said this.
    pub(crate) async fn heard(&self, what: &str) {
        eventually(what, async || self.text().contains(what)).await;
    }
}

impl Progress for Recorder {
    fn write(&self, bytes: &[u8]) {
        self.0.lock().unwrap().extend_from_slice(bytes);
    }
}

/// Polls for a minute.
pub(crate) async fn eventually(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    for _ in 0..1200 {
        if is_so().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("in vain: {what}");
}
