//! A place for one test: an engine, names nobody else uses, and a clean-up that also runs when the test fails.

use std::panic::{AssertUnwindSafe, resume_unwind};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use futures_util::{FutureExt, StreamExt, stream};
use sarsen_domain::container::label;
use sarsen_domain::{ContainerId, ContainerName, ImageRef};
use sarsen_runtime::fake::FakeRuntime;
use sarsen_runtime::{
    ContainerRuntime, ContainerSpec, DockerRuntime, EngineStream, LogChunk, Runtime, StdStream,
};

pub(crate) const BASE: &str = "sarsen/base:bookworm";
pub(crate) const SOCKET: &str = "/var/run/docker.sock";

/// No condition takes longer than this to come true.
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) struct Lab {
    pub(crate) runtime: Runtime,
    /// Set when the engine is the fake: how its programs behave has to be said.
    pub(crate) fake: Option<FakeRuntime>,
    /// Begins the name of everything that the test makes.
    pub(crate) name: String,
}

impl Lab {
    pub(crate) fn owner(&self) -> String {
        format!("{}={}", label::OWNER, self.name)
    }

    pub(crate) fn container_name(&self, suffix: &str) -> ContainerName {
        ContainerName::parse(&format!("{}-{suffix}", self.name)).unwrap()
    }

    /// A container of this image with our label, which runs this shell line.
    pub(crate) fn spec(&self, image: &str, script: &str) -> ContainerSpec {
        ContainerSpec {
            image: image.to_owned(),
            command: Some(["sh", "-c", script].map(str::to_owned).to_vec()),
            labels: [(label::OWNER.to_owned(), self.name.clone())].into(),
            ..ContainerSpec::default()
        }
    }

    /// Makes and starts it.
    pub(crate) async fn run(&self, spec: &ContainerSpec) -> ContainerId {
        let id = self.runtime.create(spec).await.unwrap();
        self.runtime.start(&id).await.unwrap();
        id
    }

    async fn clean(&self) {
        for container in self.runtime.list(&[self.owner()]).await.unwrap() {
            self.runtime.remove(&container.id).await.unwrap();
        }
        self.runtime.remove_network(&self.name).await.unwrap();
        for image in self.runtime.images(&[self.owner()]).await.unwrap() {
            for tag in &image.tags {
                self.runtime.remove_image(&image_ref(tag)).await.unwrap();
            }
            self.runtime.remove_image(&image.id).await.ok();
        }
    }
}

/// Runs a test on the real engine, which has to be there.
pub(crate) async fn with_docker(test: impl AsyncFnOnce(&Lab)) {
    let docker = DockerRuntime::connect(Path::new(SOCKET)).unwrap();
    with_runtime(docker, test).await;
}

/// The same on an engine with settings of the test's own.
pub(crate) async fn with_runtime(docker: DockerRuntime, test: impl AsyncFnOnce(&Lab)) {
    docker
        .image(&image_ref(BASE))
        .await
        .expect("the test image");
    let lab = Lab {
        runtime: Arc::new(docker),
        fake: None,
        name: random_name(),
    };
    let outcome = AssertUnwindSafe(test(&lab)).catch_unwind().await;
    lab.clean().await;
    if let Err(panic) = outcome {
        resume_unwind(panic);
    }
}

pub(crate) async fn with_fake(test: impl AsyncFnOnce(&Lab)) {
    let fake = FakeRuntime::new();
    let lab = Lab {
        runtime: Arc::new(fake.clone()),
        fake: Some(fake),
        name: random_name(),
    };
    test(&lab).await;
}

fn random_name() -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    format!("test-{:x}-{:x}", std::process::id(), now.as_nanos())
}

pub(crate) fn image_ref(text: &str) -> ImageRef {
    ImageRef::parse(text).unwrap()
}

/// Asks again until the answer is there.
pub(crate) async fn eventually<T>(what: &str, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(Instant::now() < deadline, "never happened: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Fails the test when this takes too long.
pub(crate) async fn soon<T>(what: &str, work: impl Future<Output = T>) -> T {
    let outcome = tokio::time::timeout(PATIENCE, work).await;
    outcome.unwrap_or_else(|_| panic!("never ended: {what}"))
}

/// All of one stream's output, to its end.
pub(crate) async fn text_of(output: EngineStream<LogChunk>, stream: StdStream) -> String {
    let read = output.filter_map(async |chunk| {
        let chunk = chunk.unwrap();
        (chunk.stream == stream).then_some(chunk.bytes)
    });
    let pieces: Vec<Bytes> = soon("output", read.collect()).await;
    String::from_utf8(pieces.concat()).unwrap()
}

/// A tar stream in small pieces, of files by name.
pub(crate) fn tar_of(files: &[(&str, &str)]) -> EngineStream<Bytes> {
    let mut tar = tar::Builder::new(Vec::new());
    for (name, content) in files {
        let mut header = tar::Header::new_gnu();
        header.set_mode(0o755);
        header.set_size(content.len() as u64);
        tar.append_data(&mut header, name, content.as_bytes())
            .unwrap();
    }
    let bytes = tar.into_inner().unwrap();
    let pieces: Vec<_> = bytes
        .chunks(700)
        .map(|c| Ok(Bytes::copy_from_slice(c)))
        .collect();
    Box::pin(stream::iter(pieces))
}
