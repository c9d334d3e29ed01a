//! A control over a store in a temporary folder and an engine in memory, and a browser without a network.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::body::Body;
use axum::http::{HeaderMap, Request, StatusCode};
use http_body_util::BodyExt;
use sarsen_addons::Catalog;
use sarsen_build::{BuildSettings, Builder};
use sarsen_control::{AcmeSettings, Control, ControlSettings, Parts};
use sarsen_deploy::{DeploySettings, Deployer};
use sarsen_domain::{
    AppName, BuildId, BuildKind, BuildSource, BuildStatus, BuilderKind, CommitId, Config,
    Formation, ImageRef, Procfile,
};
use sarsen_git::{RepoSettings, Repos, SubmodulePolicy};
use sarsen_plugins::{PluginSettings, Plugins};
use sarsen_registry::{Host, Registry, RegistrySettings};
use sarsen_router::{FakeIssuer, Router, RouterSettings};
use sarsen_runtime::Runtime;
use sarsen_runtime::fake::FakeRuntime;
use sarsen_store::{NewRelease, Replace, Scope, Store};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt;

const COMMIT: &str = "0123abcd0123abcd0123abcd0123abcd0123abcd";

pub(super) struct World {
    pub(super) control: Control,
    pub(super) engine: FakeRuntime,
    pub(super) cookie: Option<String>,
    /// Where the dashboard seems to listen.
    pub(super) address: SocketAddr,
    folder: tempfile::TempDir,
}

pub(super) struct Page {
    pub(super) status: StatusCode,
    pub(super) body: String,
    headers: HeaderMap,
}

impl Page {
    pub(super) fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map_or("", |value| value.to_str().unwrap())
    }
}

impl World {
    pub(super) async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().to_owned();
        let store = Store::open(&root.join("db"), &root.join("key"))
            .await
            .unwrap();
        store
            .domains()
            .set(&Scope::Global, &["apps.test".parse().unwrap()])
            .await
            .unwrap();
        let engine = FakeRuntime::new();
        let runtime: Runtime = Arc::new(engine.clone());
        let tasks = TaskTracker::new();
        let registry = RegistrySettings {
            owner: "test".to_owned(),
            host: Host::local("test"),
        };
        let parts = Parts {
            store,
            repos: Repos::new(repos(&root, &tasks)).unwrap(),
            registry: Registry::new(runtime.clone(), registry),
            router: Router::new(RouterSettings::default()),
            builder: Builder::new(runtime.clone(), BuildSettings::default()),
            deployer: Deployer::new(runtime.clone(), DeploySettings::new("test")),
            plugins: Plugins::new(&plugins(&root, &tasks)).unwrap(),
            issuer: Arc::new(FakeIssuer::default()),
            addons: Catalog::load(&root.join("addons"), &sarsen_control::nouns()).unwrap(),
            runtime,
            tasks,
            shutdown: CancellationToken::new(),
            settings: settings(&root),
        };
        Self {
            control: Control::new(parts),
            engine,
            cookie: None,
            address: ([127, 0, 0, 1], 8180).into(),
            folder,
        }
    }

    pub(super) fn signed_in(mut self) -> Self {
        let token = self.control.logins().issue("ada");
        let session = self.control.logins().redeem(&token).unwrap();
        self.cookie = Some(format!("sarsen_session={session}"));
        self
    }

    pub(super) async fn get(&self, path: &str) -> Page {
        self.ask("GET", path).await
    }

    pub(super) async fn post(&self, path: &str) -> Page {
        self.ask("POST", path).await
    }

    pub(super) async fn ask(&self, method: &str, path: &str) -> Page {
        let mut request = Request::builder().method(method).uri(path);
        if let Some(cookie) = &self.cookie {
            request = request.header("cookie", cookie);
        }
        let routes = crate::routes(self.control.clone(), Some(self.address));
        let response = routes
            .oneshot(request.body(Body::empty()).unwrap())
            .await
            .unwrap();
        let (head, body) = response.into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        Page {
            status: head.status,
            headers: head.headers,
            body: String::from_utf8(bytes.to_vec()).unwrap(),
        }
    }

    pub(super) async fn app(&self, name: &str) {
        self.control.store.apps().create(&app(name)).await.unwrap();
    }

    /// A build that has begun.
    pub(super) async fn begin(&self, name: &str) -> BuildId {
        let builds = self.control.store.builds();
        let build = builds
            .start(&app(name), BuildKind::Build, BuildSource::GitHook, "ada")
            .await
            .unwrap();
        let commit = CommitId::parse(COMMIT).unwrap();
        builds.set_commit(&build.id, &commit).await.unwrap();
        build.id
    }

    /// A build that has ended; a release went live when it succeeded. No container of it is left.
    pub(super) async fn release(&self, name: &str, status: BuildStatus) -> BuildId {
        let build = self.begin(name).await;
        let store = &self.control.store;
        if status == BuildStatus::Succeeded {
            let release = store
                .releases()
                .create(new_release(name, &build))
                .await
                .unwrap();
            store
                .instances()
                .promote(&app(name), release.number, &build, Replace::All)
                .await
                .unwrap();
        }
        let error = (status != BuildStatus::Succeeded).then_some("it broke");
        store
            .builds()
            .finish(&build, status, None, error)
            .await
            .unwrap();
        build
    }

    pub(super) fn log(&self, name: &str, build: &BuildId, text: &str) {
        let folder = self.folder.path().join("data/builds").join(name);
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join(format!("{build}.log")), text).unwrap();
    }
}

fn app(name: &str) -> AppName {
    AppName::parse(name).unwrap()
}

fn new_release(name: &str, build: &BuildId) -> NewRelease {
    NewRelease {
        app: app(name),
        image: ImageRef::parse("sha256:0123").unwrap(),
        builder: BuilderKind::Dockerfile,
        commit: Some(CommitId::parse(COMMIT).unwrap()),
        config: Config::default(),
        procfile: Procfile::default(),
        formation: Formation::initial(),
        detected_ports: vec!["http:80:5000".parse().unwrap()],
        app_json: None,
        build: build.clone(),
        author: "ada".to_owned(),
        description: "Deploy <b>".to_owned(),
    }
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
        access_log: None,
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
        keep_releases: 10,
        acme: AcmeSettings::default(),
    }
}
