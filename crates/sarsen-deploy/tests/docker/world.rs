//! One test's app on the engine, and its removal whatever happens.

use std::panic::AssertUnwindSafe;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::FutureExt;
use sarsen_deploy::{
    AppSettings, Candidate, Cause, DeployError, DeployPlan, DeploySettings, Deployer,
    PlannedInstance,
};
use sarsen_domain::container::label;
use sarsen_domain::{
    AppName, BuildId, BuilderKind, Check, Config, Formation, ImageRef, ProcessType, Progress,
    Release, ReleaseNumber, ReleaseState,
};
use sarsen_runtime::{ContainerInfo, DockerRuntime, Runtime};
use tokio_util::sync::CancellationToken;

pub(crate) const IMAGE: &str = "sarsen/base:bookworm";

pub(crate) struct World {
    pub(crate) runtime: Runtime,
    pub(crate) deployer: Deployer,
    pub(crate) owner: String,
    pub(crate) release: Release,
    pub(crate) settings: AppSettings,
    pub(crate) output: Recorder,
    pub(crate) cancel: CancellationToken,
}

/// Runs a test with an app of these processes.
pub(crate) async fn with_app(procfile: &[(&str, &str)], test: impl AsyncFnOnce(&mut World)) {
    let mut world = World::new(procfile);
    let outcome = AssertUnwindSafe(test(&mut world)).catch_unwind().await;
    let labels = [format!("{}={}", label::OWNER, world.owner)];
    for left in world.runtime.list(&labels).await.unwrap() {
        world.runtime.remove(&left.id).await.unwrap();
    }
    if let Err(panic) = outcome {
        std::panic::resume_unwind(panic);
    }
}

impl World {
    fn new(procfile: &[(&str, &str)]) -> Self {
        let socket = Path::new("/var/run/docker.sock");
        let runtime: Runtime = Arc::new(DockerRuntime::connect(socket).unwrap());
        let number = rand::random::<u32>();
        let owner = format!("test-{number}");
        Self {
            deployer: Deployer::new(runtime.clone(), DeploySettings::new(owner.clone())),
            runtime,
            owner,
            release: release(&format!("t{number}"), procfile),
            settings: AppSettings {
                health_window: Duration::from_secs(20),
                stop_timeout: 1,
                ..AppSettings::default()
            },
            output: Recorder::default(),
            cancel: CancellationToken::new(),
        }
    }

    pub(crate) async fn deploy(&self, dynos: &[&str]) -> Result<Candidate, DeployError> {
        let instances: Vec<_> = dynos.iter().zip(1..).map(planned).collect();
        let plan = DeployPlan {
            release: &self.release,
            instances: &instances,
            settings: &self.settings,
        };
        let on_created = |_| async { Ok(()) }.boxed();
        self.deployer
            .start(plan, &self.output, &self.cancel, &on_created)
            .await
    }

    /// The cause of a failing deploy of this dyno, of which nothing must be left.
    pub(crate) async fn failure(&self, dyno: &str) -> Cause {
        let error = self.deploy(&[dyno]).await.unwrap_err();
        assert!(self.containers().await.is_empty());
        let DeployError::NotReady { cause, .. } = error else {
            panic!("{error}");
        };
        cause
    }

    pub(crate) async fn containers(&self) -> Vec<ContainerInfo> {
        let labels = [format!("{}={}", label::OWNER, self.owner)];
        self.runtime.list(&labels).await.unwrap()
    }

    pub(crate) fn check(&mut self, json: serde_json::Value) {
        let check = Check::from_json(json).unwrap().unwrap();
        let checks = self.settings.checks.entry(ProcessType::web());
        checks.or_default().push(check);
    }
}

fn planned((dyno, id): (&&str, i64)) -> PlannedInstance {
    let (process, index) = dyno.split_once('.').unwrap();
    PlannedInstance {
        id,
        process: ProcessType::parse(process).unwrap(),
        index: index.parse().unwrap(),
    }
}

fn release(app: &str, procfile: &[(&str, &str)]) -> Release {
    let commands = procfile
        .iter()
        .map(|(process, command)| (ProcessType::parse(process).unwrap(), (*command).to_owned()));
    Release {
        app: AppName::parse(app).unwrap(),
        number: ReleaseNumber(1),
        state: ReleaseState::Pending,
        image: ImageRef::parse(IMAGE).unwrap(),
        builder: BuilderKind::Dockerfile,
        commit: None,
        config: Config::default(),
        procfile: commands.collect(),
        formation: Formation::initial(),
        detected_ports: vec![],
        app_json: None,
        build: BuildId::from_parts(0, 0),
        author: "me".to_owned(),
        description: "Deploy".to_owned(),
        created_at: 0,
    }
}

/// An HTTP server in one line; `$ENV{PORT}` may stand in the address.
pub(crate) fn server(address: &str, answer: &str) -> String {
    format!(
        "perl -MIO::Socket::INET -e '$| = 1; $s = IO::Socket::INET->new(LocalAddr => \"{address}\", Listen => 9, \
         ReuseAddr => 1) or die $!; print \"listening\\n\"; while ($c = $s->accept) {{ while (<$c>) {{ last if /^\\r/ }} \
         print $c \"HTTP/1.1 {answer}\"; close $c }}'"
    )
}

/// Answers 200 on PORT.
pub(crate) fn good_server() -> String {
    server(
        "0.0.0.0:$ENV{PORT}",
        "200 OK\\r\\nContent-Length: 2\\r\\n\\r\\nhi",
    )
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
