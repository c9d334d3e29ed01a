//! A control over a store in a temporary folder and an engine in memory, for tests of the verbs and what works behind
//! them.

use std::sync::Arc;

use sarsen_domain::{
    AppName, BuildKind, BuildSource, BuilderKind, Config, Formation, KeyName, Procfile, Right,
    Rights, SshKey,
};
use sarsen_router::FakeIssuer;
use sarsen_runtime::fake::{Behaviour, FakeRuntime};
use sarsen_store::{NewRelease, Replace, Scope};
use tokio::io::AsyncReadExt;
use tokio_util::sync::CancellationToken;

use crate::session::{Actor, Front, Io, Request};
use crate::{Control, fake};

/// The image of every release that [`World::release`] makes.
pub(crate) const IMAGE: &str = "test/app:latest";

pub(crate) struct World {
    pub(crate) control: Control,
    pub(crate) engine: FakeRuntime,
    pub(crate) issuer: FakeIssuer,
    pub(crate) folder: Arc<tempfile::TempDir>,
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
        let control = fake::control(folder.path(), &engine, &issuer)
            .await
            .unwrap();
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
        let control = fake::control(self.folder.path(), &self.engine, &self.issuer)
            .await
            .unwrap();
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
            image: self.engine.add_image(IMAGE),
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
        let user = "ada".to_owned();
        self.say_as(Actor::Local { user }, line).await
    }

    /// Makes a key that has this right on one app alone.
    pub(crate) async fn key(&self, name: &str, app: &str, right: Right) -> KeyName {
        let name = KeyName::parse(name).unwrap();
        let store = &self.control.store;
        let key = SshKey {
            fingerprint: format!("SHA256:{name}"),
            public_key: format!("ssh-ed25519 {name}"),
            name: name.clone(),
        };
        store.ssh_keys().add_limited(&key).await.unwrap();
        let scope = Scope::App(app.parse().unwrap());
        store.access().grant(&name, &scope, right).await.unwrap();
        name
    }

    /// The complaint of a command that the holder of a key must not give.
    pub(crate) async fn denied(&self, name: &KeyName, line: &str) -> String {
        let actor = Actor::Key {
            name: name.clone(),
            fingerprint: format!("SHA256:{name}"),
            source: [192, 0, 2, 7].into(),
            rights: Rights::default(),
        };
        let said = self.say_as(actor, line).await;
        assert_ne!(said.code, 0, "{line}: {}", said.stdout);
        said.stderr
    }

    async fn say_as(&self, actor: Actor, line: &str) -> Said {
        let argv = shlex::split(line).unwrap();
        let request = Request {
            actor,
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
