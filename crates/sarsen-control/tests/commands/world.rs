//! A control over a store in a temporary folder and an engine in memory, with two apps.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sarsen_control::{Actor, Control, Front, Io, Request, fake};
use sarsen_domain::{
    AppName, BuildKind, BuildSource, BuildStatus, BuilderKind, CommitId, Config, Formation,
    ImageRef, Procfile,
};
use sarsen_router::FakeIssuer;
use sarsen_runtime::fake::FakeRuntime;
use sarsen_store::{NewRelease, Replace, Scope, Store};
use tokio::io::AsyncWrite;
use tokio_util::sync::CancellationToken;

pub(crate) struct World {
    control: Control,
    pub(crate) store: Store,
    pub(crate) folder: tempfile::TempDir,
}

/// How a command ended.
pub(crate) struct Ended {
    pub(crate) code: u8,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// What `alpha` has in its app.json.
const APP_JSON: &str = r#"{"cron": [
    {"command": "tidy --all", "schedule": "0 3 * * *"},
    {"command": "mail digest", "schedule": "@daily", "maintenance": true, "concurrency_policy": "forbid"}
]}"#;

impl World {
    pub(crate) async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        furnish(folder.path());
        let control = fake::control(folder.path(), &FakeRuntime::new(), &FakeIssuer::default())
            .await
            .unwrap();
        let store = control.store.clone();
        let global = ["apps.test".parse().unwrap()];
        store.domains().set(&Scope::Global, &global).await.unwrap();
        let world = Self {
            control,
            store,
            folder,
        };
        for name in ["alpha", "beta"] {
            assert_eq!(world.run(&["apps:create", name], "").await.code, 0);
        }
        world.deployed("alpha").await;
        world
    }

    /// Runs a command as somebody on the host.
    pub(crate) async fn run(&self, words: &[&str], stdin: &str) -> Ended {
        let (stdout, stderr) = (Kept::default(), Kept::default());
        let io = Io {
            stdin: Box::new(std::io::Cursor::new(stdin.as_bytes().to_vec())),
            stdout: Box::new(stdout.clone()),
            stderr: Box::new(stderr.clone()),
            gone: CancellationToken::new(),
        };
        let request = Request {
            actor: Actor::Local {
                user: "root".to_owned(),
            },
            argv: words.iter().map(|word| (*word).to_owned()).collect(),
            terminal: None,
            git_protocol: None,
            folder: Some(self.folder.path().to_owned()),
            variables: BTreeMap::new(),
        };
        let code = tokio::time::timeout(Duration::from_secs(30), self.control.run(request, io))
            .await
            .unwrap_or_else(|_| panic!("{words:?} does not end"));
        Ended {
            code,
            stdout: stdout.text(),
            stderr: stderr.text(),
        }
    }

    /// Everything that must survive: the store and the names of all files.
    pub(crate) async fn state(&self) -> String {
        let mut state = self.store.dump().await.unwrap();
        list(self.folder.path(), &mut state);
        state
    }

    /// A release that went live. Its containers are none of the store's business.
    async fn deployed(&self, name: &str) {
        let app = AppName::parse(name).unwrap();
        let builds = self.store.builds();
        let build = builds
            .start(&app, BuildKind::Build, BuildSource::GitHook, "ada")
            .await
            .unwrap();
        let release = NewRelease {
            app: app.clone(),
            image: ImageRef::parse("sha256:0123").unwrap(),
            builder: BuilderKind::Dockerfile,
            commit: Some(CommitId::parse(&"0123abcd".repeat(5)).unwrap()),
            config: Config::default(),
            procfile: Procfile::parse("web: serve\nworker: work").unwrap(),
            formation: Formation::initial(),
            detected_ports: vec!["http:80:5000".parse().unwrap()],
            app_json: Some(APP_JSON.to_owned()),
            build: build.id.clone(),
            author: "ada".to_owned(),
            description: "Deploy 0123abcd".to_owned(),
        };
        let release = self.store.releases().create(release).await.unwrap();
        let instances = self.store.instances();
        instances
            .promote(&app, release.number, &build.id, Replace::All)
            .await
            .unwrap();
        builds
            .finish(&build.id, BuildStatus::Succeeded, Some(0), None)
            .await
            .unwrap();
    }
}

/// What a person on the host has lying about: certificates, a plugin, yesterday's requests.
fn furnish(root: &Path) {
    let write = |path: &str, text: &str| std::fs::write(root.join(path), text).unwrap();
    write("first.crt", include_str!("../files/first.crt"));
    write("first.key", include_str!("../files/first.key"));
    write("second.crt", include_str!("../files/second.crt"));
    write("second.key", include_str!("../files/second.key"));
    write("access.log", include_str!("../files/access.log"));
    let record = include_str!("../files/record");
    plugin(root, "recorder", &RECORDED.map(|trigger| (trigger, record)));
    let scripts = [
        ("greet", include_str!("../files/greet")),
        ("install", "#!/bin/sh\necho installed\n"),
        ("dependencies", "#!/bin/sh\necho nothing to fetch\n"),
        ("update", "#!/bin/sh\necho updated\n"),
        (
            "cron-entries",
            "#!/bin/sh\necho '@daily;dokku greeter:greet everybody;/var/log/greeter.log'\n",
        ),
    ];
    plugin(root, "greeter", &scripts);
}

/// The triggers that the plugin `recorder` writes down, and the one that shows them.
const RECORDED: [&str; 7] = [
    "certs-remove",
    "certs-set",
    "post-certs-remove",
    "post-certs-update",
    "post-domains-update",
    "post-registry-login",
    "told",
];

/// A folder with the scripts of a plugin.
fn plugin(root: &Path, name: &str, scripts: &[(&str, &str)]) {
    let folder = root.join(name);
    std::fs::create_dir(&folder).unwrap();
    let manifest = include_str!("../files/greeter.toml");
    std::fs::write(folder.join("plugin.toml"), manifest).unwrap();
    for (script, text) in scripts {
        std::fs::write(folder.join(script), text).unwrap();
        let executable = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(folder.join(script), executable).unwrap();
    }
}

fn list(folder: &Path, text: &mut String) {
    let entries = std::fs::read_dir(folder).unwrap();
    let entries: BTreeMap<_, _> = entries
        .map(|entry| entry.unwrap())
        .map(|entry| (entry.path(), entry.file_type().unwrap()))
        .collect();
    for (path, kind) in entries {
        text.push_str(&format!("{}\n", path.display()));
        if kind.is_dir() {
            list(&path, text);
        }
    }
}

/// A stream that remembers what was written.
#[derive(Clone, Default)]
struct Kept(Arc<Mutex<Vec<u8>>>);

impl Kept {
    fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().unwrap()).into_owned()
    }
}

impl AsyncWrite for Kept {
    fn poll_write(
        self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
        bytes: &[u8],
    ) -> std::task::Poll<std::io::Result<usize>> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        std::task::Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(
        self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<std::io::Result<()>> {
        std::task::Poll::Ready(Ok(()))
    }

    fn poll_shutdown(
        self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<std::io::Result<()>> {
        std::task::Poll::Ready(Ok(()))
    }
}
