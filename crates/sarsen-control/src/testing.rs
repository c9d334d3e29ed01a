//! A control over a store in a temporary folder and an engine in memory, for tests of the verbs and what works behind
//! them.

use std::sync::Arc;

use sarsen_addons::Catalog;
use sarsen_build::{BuildSettings, Builder};
use sarsen_deploy::{DeploySettings, Deployer};
use sarsen_domain::{
    AppName, BuildKind, BuildSource, BuilderKind, Config, Formation, ImageRef, Procfile,
};
use sarsen_git::{RepoSettings, Repos, SubmodulePolicy};
use sarsen_plugins::{PluginSettings, Plugins};
use sarsen_registry::{Host, Registry, RegistrySettings};
use sarsen_router::{FakeIssuer, Router, RouterSettings};
use sarsen_runtime::Runtime;
use sarsen_runtime::fake::{Behaviour, FakeRuntime};
use sarsen_store::{NewRelease, Replace, Store};
use tokio::io::AsyncReadExt;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::session::{Actor, Front, Io, Request};
use crate::{Control, ControlSettings, Parts};

/// The image of every release that [`World::release`] makes.
pub(crate) const IMAGE: &str = "test/app:latest";

pub(crate) struct World {
    pub(crate) control: Control,
    pub(crate) engine: FakeRuntime,
    pub(crate) issuer: FakeIssuer,
    folder: Arc<tempfile::TempDir>,
}

/// What a command came to.
pub(crate) struct Said {
    pub(crate) code: u8,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl World {
    /// Containers behave so.
    pub(crate) async fn new(behaviour: Behaviour) -> Self {
        let engine = FakeRuntime::new();
        engine.behave(IMAGE, behaviour);
        let folder = Arc::new(tempfile::tempdir().unwrap());
        let issuer = FakeIssuer::default();
        let control = control(&folder, &engine, &issuer).await;
        Self {
            control,
            engine,
            issuer,
            folder,
        }
    }

    /// The same folder and the same engine under another daemon; the first one stops its work as if killed.
    pub(crate) async fn restarted(self) -> Self {
        self.control.shutdown.cancel();
        self.control.tasks.close();
        self.control.tasks.wait().await;
        self.control.store.close().await;
        let control = control(&self.folder, &self.engine, &self.issuer).await;
        Self { control, ..self }
    }

    /// An app with a release that counts as live, without any container.
    pub(crate) async fn release(&self, name: &str, procfile: &str, app_json: Option<&str>) {
        let store = &self.control.store;
        let app = AppName::parse(name).unwrap();
        if !store.apps().exists(&app).await.unwrap() {
            store.apps().create(&app).await.unwrap();
        }
        let (kind, source) = (BuildKind::Build, BuildSource::GitHook);
        let build = store.builds().start(&app, kind, source, "ada").await;
        let build = build.unwrap().id;
        let new = NewRelease {
            app: app.clone(),
            image: ImageRef::parse(IMAGE).unwrap(),
            builder: BuilderKind::Dockerfile,
            commit: None,
            config: Config::default(),
            procfile: Procfile::parse(procfile).unwrap(),
            formation: Formation::initial(),
            detected_ports: Vec::new(),
            app_json: app_json.map(str::to_owned),
            build: build.clone(),
            author: "ada".to_owned(),
            description: "Deploy".to_owned(),
        };
        let release = store.releases().create(new).await.unwrap();
        let instances = store.instances();
        instances
            .promote(&app, release.number, &build, Replace::All)
            .await
            .unwrap();
    }

    /// Says a command as the person on the host.
    pub(crate) async fn say(&self, line: &str) -> Said {
        let argv = shlex::split(line).unwrap();
        let request = Request {
            actor: Actor::Local {
                user: "ada".to_owned(),
            },
            argv,
            terminal: None,
            git_protocol: None,
            folder: None,
            variables: Default::default(),
        };
        let (stdout, mut out) = tokio::io::duplex(1 << 20);
        let (stderr, mut err) = tokio::io::duplex(1 << 20);
        let io = Io {
            stdin: Box::new(tokio::io::empty()),
            stdout: Box::new(stdout),
            stderr: Box::new(stderr),
            gone: CancellationToken::new(),
        };
        let code = self.control.run(request, io).await;
        let mut said = Said {
            code,
            stdout: String::new(),
            stderr: String::new(),
        };
        out.read_to_string(&mut said.stdout).await.unwrap();
        err.read_to_string(&mut said.stderr).await.unwrap();
        said
    }

    /// The output of a command that must succeed.
    pub(crate) async fn ok(&self, line: &str) -> String {
        let said = self.say(line).await;
        assert_eq!(said.code, 0, "{line}: {}", said.stderr);
        said.stdout
    }

    /// The complaint of a command that must fail.
    pub(crate) async fn refused(&self, line: &str) -> String {
        let said = self.say(line).await;
        assert_ne!(said.code, 0, "{line}: {}", said.stdout);
        said.stderr
    }
}

async fn control(folder: &tempfile::TempDir, engine: &FakeRuntime, issuer: &FakeIssuer) -> Control {
    let root = folder.path();
    let runtime: Runtime = Arc::new(engine.clone());
    let tasks = TaskTracker::new();
    let registry = RegistrySettings {
        owner: "test".to_owned(),
        host: Host::local("test"),
    };
    Control::new(Parts {
        store: Store::open(&root.join("db"), &root.join("key"))
            .await
            .unwrap(),
        repos: Repos::new(repos(root, &tasks)).unwrap(),
        registry: Registry::new(runtime.clone(), registry),
        router: Router::new(RouterSettings::default()),
        builder: Builder::new(runtime.clone(), BuildSettings::default()),
        deployer: Deployer::new(runtime.clone(), DeploySettings::new("test")),
        plugins: Plugins::new(&plugins(root, &tasks)).unwrap(),
        issuer: Arc::new(issuer.clone()),
        addons: Catalog::load(&root.join("addons"), &crate::nouns()).unwrap(),
        runtime,
        tasks,
        shutdown: CancellationToken::new(),
        settings: settings(root),
    })
}

fn repos(root: &std::path::Path, tasks: &TaskTracker) -> RepoSettings {
    RepoSettings {
        root: root.join("git"),
        work: None,
        hook_binary: "/bin/false".into(),
        hooks: None,
        max_pack_bytes: 1 << 20,
        submodules: SubmodulePolicy {
            allow_private_hosts: false,
            timeout: std::time::Duration::from_secs(1),
            max_depth: 1,
            max_count: 1,
            env: Vec::new(),
        },
        tasks: tasks.clone(),
    }
}

fn plugins(root: &std::path::Path, tasks: &TaskTracker) -> PluginSettings {
    PluginSettings {
        root: root.join("plugins"),
        lib_root: root.to_owned(),
        dokku_root: root.join("git"),
        socket: root.join("control.sock"),
        binary: "/bin/false".into(),
        stack_image: String::new(),
        env: Vec::new(),
        trigger_time_limit: std::time::Duration::from_secs(1),
        tasks: tasks.clone(),
    }
}

fn settings(root: &std::path::Path) -> ControlSettings {
    ControlSettings {
        owner: "test".to_owned(),
        data_dir: root.to_owned(),
        dokku_root: root.join("git"),
        dokku_lib_root: root.to_owned(),
        dokku_owner: None,
        binary: "/usr/local/bin/sarsen".into(),
        socket: root.join("control.sock"),
        http_ip: [127, 0, 0, 1].into(),
        http_port: 8080,
        http_public_port: 8080,
        https_port: None,
        https_public_port: None,
        ssh_host: "localhost".to_owned(),
        ssh_port: 2222,
        dashboard: None,
        access_log: None,
        keep_releases: 10,
        acme: crate::AcmeSettings::default(),
    }
}
