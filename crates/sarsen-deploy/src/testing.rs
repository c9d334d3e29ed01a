//! Values that tests of several modules need.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use sarsen_domain::{
    AppName, BuildId, BuilderKind, Config, EnvKey, Formation, ImageRef, Procfile, Progress,
    Release, ReleaseNumber, ReleaseState,
};
use sarsen_runtime::ImageInfo;
use sarsen_runtime::fake::{Behaviour, FakeRuntime};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::{AppSettings, DeploySettings, Deployer};

/// The image's name on the fake engine.
pub(crate) const IMAGE: &str = "test/app:latest";

/// A release of `app`.
pub(crate) fn release(builder: BuilderKind, procfile: &str) -> Release {
    Release {
        app: AppName::parse("app").unwrap(),
        number: ReleaseNumber(3),
        state: ReleaseState::Pending,
        image: ImageRef::parse(IMAGE).unwrap(),
        builder,
        commit: None,
        config: Config::from_iter([(EnvKey::parse("A").unwrap(), "1".to_owned())]),
        procfile: Procfile::parse(procfile).unwrap(),
        formation: Formation::initial(),
        detected_ports: vec![],
        app_json: None,
        build: BuildId::from_parts(0, 0),
        author: "me".into(),
        description: "Deploy".into(),
        created_at: 0,
    }
}

/// An image with a command of its own.
pub(crate) fn image() -> ImageInfo {
    ImageInfo {
        id: ImageRef::parse(IMAGE).unwrap(),
        tags: vec![],
        labels: Default::default(),
        exposed: vec![],
        env: vec![],
        entrypoint: vec![],
        command: vec!["own".into()],
        workdir: "/".into(),
        user: String::new(),
        has_healthcheck: false,
        size: 0,
        created_at: String::new(),
    }
}

/// An engine in memory with the image of [`release`], and a deployer on it.
pub(crate) struct World {
    pub(crate) engine: FakeRuntime,
    pub(crate) deployer: Deployer,
    pub(crate) output: Recorder,
    pub(crate) cancel: CancellationToken,
    pub(crate) release: Release,
    pub(crate) settings: AppSettings,
    pub(crate) tasks: TaskTracker,
}

impl World {
    /// Every container of the image behaves so.
    pub(crate) fn new(behaviour: Behaviour) -> Self {
        let engine = FakeRuntime::new();
        engine.behave(IMAGE, behaviour);
        let settings = DeploySettings::new("me");
        let tasks = settings.tasks.clone();
        Self {
            deployer: Deployer::new(Arc::new(engine.clone()), settings),
            engine,
            output: Recorder::default(),
            cancel: CancellationToken::new(),
            release: release(BuilderKind::Dockerfile, "web: serve\nworker: work"),
            settings: AppSettings {
                health_window: Duration::from_millis(200),
                ..AppSettings::default()
            },
            tasks,
        }
    }

    /// `name status` of each container.
    pub(crate) fn containers(&self) -> Vec<String> {
        let infos = self.engine.containers().into_iter();
        infos
            .map(|info| format!("{} {}", info.name, info.status.as_str()))
            .collect()
    }
}

/// Progress that can be read again.
#[derive(Default)]
pub(crate) struct Recorder(Mutex<Vec<u8>>);

impl Recorder {
    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl Progress for Recorder {
    fn write(&self, bytes: &[u8]) {
        self.0.lock().unwrap().extend_from_slice(bytes);
    }
}

/// Looks again and again until it is so.
pub(crate) async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    for _ in 0..1000 {
        if is_so() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("{what} did not come about");
}
